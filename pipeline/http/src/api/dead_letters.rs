//! `GET /api/v1/dead-letters`: the newest refused items, read from the end of their topic.
//!
//! Both colours write dead letters; each coordinate is shown once. No state: every request reads the log's end, a bounded piece of it.

use super::params::Params;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use golden_pipeline::names::{SCHEMA, SCHEMA_DEAD_LETTER};
use platform_core::log::{Log, LogError, Polled, Positions, Subscription};
use platform_core::record::{Offset, Partition, Record, Topic};
use platform_core::time::AppendTime;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use utoipa::ToSchema;

/// Bytes read for one request; dead letters that lie deeper are not shown.
const MAX_READ: usize = 32 << 20;
/// The field that holds the refused bytes.
const PAYLOAD: &str = "payload_base64";

/// Dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetters {
    /// `golden-signals-dead-letter/1`; without the refused bytes unless asked for.
    #[schema(value_type = Vec<Object>)]
    pub dead_letters: Vec<Map<String, Value>>,
}

/// Gives the newest refused items, each with its reason and where it lies.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "operation",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 1000; 100 unless told"),
        ("payload" = Option<bool>, Query, description = "Whether to give the refused bytes, in base64"),
    ),
    responses(
        (status = 200, body = DeadLetters),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn dead_letters(State(state): State<AppState>, uri: Uri) -> Result<Json<DeadLetters>, Problem> {
    let params = Params::of(&uri, &["limit", "payload"])?;
    let (limit, payload) = (params.limit(100, 1000)?, params.flag("payload")?);
    super::blocking(state, move |state| {
        let parts = &state.inner().parts;
        Ok(Json(DeadLetters { dead_letters: newest(&*parts.log, &parts.topics.dead_letters, limit, payload)? }))
    })
    .await
}

/// How long one poll waits, and how many may bring nothing before what was found is given.
const WAIT: Duration = Duration::from_millis(100);
const QUIET: u32 = 20;

type Found = BTreeMap<Vec<u8>, (Option<AppendTime>, Map<String, Value>)>;

fn newest(log: &dyn Log, topic: &Topic, limit: usize, payload: bool) -> Result<Vec<Map<String, Value>>, LogError> {
    let mut found: Found = BTreeMap::new();
    let budget = MAX_READ / usize::try_from(log.partitions(topic)?).unwrap_or(1).max(1);
    for index in 0..log.partitions(topic)? {
        found.append(&mut newest_of(log, &Partition::new(topic, index), limit, payload, budget)?);
    }
    let mut all: Vec<_> = found.into_iter().collect();
    all.sort_by(|(a_key, (a, _)), (b_key, (b, _))| b.cmp(a).then_with(|| b_key.cmp(a_key)));
    all.truncate(limit);
    Ok(all.into_iter().map(|(_, (_, letter))| letter).collect())
}

/// Reads the end of one partition, from further back each time until there are enough: offsets do not say how many records they span.
fn newest_of(log: &dyn Log, partition: &Partition, limit: usize, payload: bool, budget: usize) -> Result<Found, LogError> {
    let (start, end) = log.bounds(partition)?;
    let mut span = 2 * limit as u64;
    loop {
        let from = Offset(end.0.saturating_sub(span).max(start.0));
        let (found, used) = read(log, partition, from, end, payload)?;
        if found.len() >= limit || from == start || used >= budget {
            return Ok(found);
        }
        span = span.saturating_mul(4);
    }
}

fn read(log: &dyn Log, partition: &Partition, from: Offset, end: Offset, payload: bool) -> Result<(Found, usize), LogError> {
    let mut found: Found = BTreeMap::new();
    let mut used = 0;
    let mut reader = log.reader(&Subscription { group: None, topics: vec![partition.topic.clone()] })?;
    // The other partitions are put to their ends, so that only this one brings records.
    let mut positions = Positions::new();
    for index in 0..log.partitions(&partition.topic)? {
        let other = Partition::new(&partition.topic, index);
        let position = if other == *partition { from } else { log.bounds(&other)?.1 };
        positions.insert(other, position);
    }
    reader.seek(&positions)?;
    let mut quiet = 0;
    while reader.position(partition) < end && quiet < QUIET {
        quiet += 1;
        match reader.poll(WAIT)? {
            Polled::Batch(batch) if batch.partition == partition => {
                (used, quiet) = (used + batch.size(), 0);
                for record in batch.iter() {
                    if let Some((key, letter)) = letter(&record, payload) {
                        found.entry(key).or_insert((record.append_time, letter));
                    }
                }
            }
            // A reader of Kafka takes a while to begin, and an open transaction may hide the end.
            Polled::Batch(_) | Polled::Assigned(_) | Polled::Nothing => {}
        }
    }
    Ok((found, used))
}

fn letter(record: &Record<'_>, payload: bool) -> Option<(Vec<u8>, Map<String, Value>)> {
    let schema = record.headers.get(SCHEMA);
    if schema.is_some_and(|schema| schema != SCHEMA_DEAD_LETTER.as_bytes()) {
        return None;
    }
    let mut letter: Map<String, Value> = serde_json::from_slice(record.value?).ok()?;
    if !payload {
        letter.remove(PAYLOAD);
    }
    Some((record.key?.to_vec(), letter))
}
