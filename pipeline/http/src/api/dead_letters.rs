//! `GET /api/v1/dead-letters`: the newest refused items, read from the end of their topic.
//!
//! Both colours write dead letters; each coordinate is shown once. No state: every request reads the log's end, a bounded piece of it. What
//! was refused has no service; `named` says which bytes name one.

mod named;

use super::params::Params;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
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

/// The field that says how the bytes name the service that is asked for.
const NAMED_BY: &str = "named_by";

/// Dead letters, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeadLetters {
    /// `golden-signals-dead-letter/1`; without the refused bytes unless asked for. With `service`, `named_by` says how they name it: `text`
    /// (a text of the JSON is exactly the name) or `word` (no JSON; the name stands in it as a whole word).
    #[schema(value_type = Vec<Object>)]
    pub dead_letters: Vec<Map<String, Value>>,
    /// How many were looked into for these.
    pub searched: usize,
    /// Of those, how many were written without their bytes, as in a flood: whom these name, nobody can tell.
    pub without_bytes: usize,
    /// Whether there are older ones that were not looked into.
    pub more: bool,
}

/// Gives the newest refused items, each with its reason and where it lies.
///
/// Items that could not be read have no service: with `service`, those whose bytes name it.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "operation",
    params(
        ("limit" = Option<usize>, Query, description = "1 to 1000; 100 unless told"),
        ("payload" = Option<bool>, Query, description = "Whether to give the refused bytes, in base64"),
        ("service" = Option<String>, Query, description = "Only those whose bytes name this service, exactly"),
    ),
    responses(
        (status = 200, body = DeadLetters),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn dead_letters(State(state): State<AppState>, uri: Uri) -> Result<Json<DeadLetters>, Problem> {
    let params = Params::of(&uri, &["limit", "payload", "service"])?;
    let wish =
        Wish { limit: params.limit(100, 1000)?, payload: params.flag("payload")?, service: params.text("service").map(str::to_owned) };
    super::blocking(state, move |state| {
        let parts = &state.inner().parts;
        Ok(Json(newest(&*parts.log, &parts.topics.dead_letters, &wish)?))
    })
    .await
}

/// How long one poll waits, and how many may bring nothing before what was found is given.
const WAIT: Duration = Duration::from_millis(100);
const QUIET: u32 = 20;

/// What is asked for.
struct Wish {
    limit: usize,
    payload: bool,
    service: Option<String>,
}

/// When a letter was written, and the letter if it is wanted.
type Seen = (Option<AppendTime>, Option<Map<String, Value>>);

/// What was read, by coordinates.
#[derive(Default)]
struct Found {
    letters: BTreeMap<Vec<u8>, Seen>,
    without_bytes: usize,
    more: bool,
}

impl Found {
    fn wanted(&self) -> usize {
        self.letters.values().filter(|(_, letter)| letter.is_some()).count()
    }
}

fn newest(log: &dyn Log, topic: &Topic, wish: &Wish) -> Result<DeadLetters, LogError> {
    let mut found = Found::default();
    let budget = MAX_READ / usize::try_from(log.partitions(topic)?).unwrap_or(1).max(1);
    for index in 0..log.partitions(topic)? {
        let mut here = newest_of(log, &Partition::new(topic, index), wish, budget)?;
        found.letters.append(&mut here.letters);
        found.without_bytes += here.without_bytes;
        found.more |= here.more;
    }
    let searched = found.letters.len();
    let mut all: Vec<_> = found.letters.into_iter().filter_map(|(key, (at, letter))| Some((key, at, letter?))).collect();
    all.sort_by(|(a_key, a, _), (b_key, b, _)| b.cmp(a).then_with(|| b_key.cmp(a_key)));
    let more = found.more || all.len() > wish.limit;
    all.truncate(wish.limit);
    let dead_letters = all.into_iter().map(|(_, _, letter)| letter).collect();
    Ok(DeadLetters { dead_letters, searched, without_bytes: found.without_bytes, more })
}

/// Reads the end of one partition, from further back each time until there are enough: offsets do not say how many records they span.
fn newest_of(log: &dyn Log, partition: &Partition, wish: &Wish, budget: usize) -> Result<Found, LogError> {
    let (start, end) = log.bounds(partition)?;
    let mut span = 2 * wish.limit as u64;
    loop {
        let from = Offset(end.0.saturating_sub(span).max(start.0));
        let (mut found, used) = read(log, partition, from, end, wish)?;
        if found.wanted() >= wish.limit || from == start || used >= budget {
            found.more = from > start;
            return Ok(found);
        }
        span = span.saturating_mul(4);
    }
}

fn read(log: &dyn Log, partition: &Partition, from: Offset, end: Offset, wish: &Wish) -> Result<(Found, usize), LogError> {
    let mut found = Found::default();
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
                    found.look(&record, wish);
                }
            }
            // A reader of Kafka takes a while to begin, and an open transaction may hide the end.
            Polled::Batch(_) | Polled::Assigned(_) | Polled::Nothing => {}
        }
    }
    Ok((found, used))
}

impl Found {
    /// Takes one record of the topic, unless it is of a coordinate that was there already.
    fn look(&mut self, record: &Record<'_>, wish: &Wish) {
        let schema = record.headers.get(SCHEMA);
        if schema.is_some_and(|schema| schema != SCHEMA_DEAD_LETTER.as_bytes()) {
            return;
        }
        let (Some(key), Some(value)) = (record.key, record.value) else { return };
        if self.letters.contains_key(key) {
            return;
        }
        let Ok(mut letter) = serde_json::from_slice::<Map<String, Value>>(value) else { return };
        let payload = if wish.payload { letter.get(PAYLOAD).cloned() } else { letter.remove(PAYLOAD) };
        self.without_bytes += usize::from(payload.is_none());
        let letter = match &wish.service {
            None => Some(letter),
            Some(service) => {
                let bytes = payload.as_ref().and_then(Value::as_str).and_then(|text| STANDARD.decode(text).ok());
                bytes.and_then(|bytes| named::named(&bytes, service)).map(|by| {
                    letter.insert(NAMED_BY.to_owned(), by.word().into());
                    letter
                })
            }
        };
        self.letters.insert(key.to_vec(), (record.append_time, letter));
    }
}
