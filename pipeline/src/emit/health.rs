//! The sink of an output that tells changes of health: a notice for each window in which a service's state is not what it was before.
//!
//! What counts is the newest window of a series, in its newest revision: a correction of it that changes the state is told, one of an
//! earlier window is not. `unknown` is a state like the others. A notice's key follows from identity and revision alone, so one that is
//! made twice has the same key. Only the grouping `service` is told of.

use crate::emit::json::{put_f64, put_option, put_text, put_u64};
use crate::emit::outbox::{Outbox, Shelf};
use crate::emit::prometheus::series_key;
use crate::emit::read::PublicRecord;
use crate::identity::Identity;
use crate::names::{IDENTITY, SCHEMA, SCHEMA_SIGNALS};
use crate::signal::health::{Level, UNKNOWN};
use platform_core::codec::{self, CodecError, Cursor};
use platform_core::record::{Offset, Record};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use platform_core::time::EventTime;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of the state's format.
pub const FORMAT: u32 = 1;
/// `1 | series key` → start of its newest window, and the state in it.
const SERIES: u8 = 1;

/// What is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// By which a receiver knows it again.
    pub key: String,
    /// The body of the call.
    pub json: Vec<u8>,
}

impl Notice {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::put_bytes(&mut out, self.key.as_bytes());
        out.extend_from_slice(&self.json);
        out
    }

    /// Reads the body of a chunk.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(body: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(body);
        Ok(Self { key: from.text()?.to_owned(), json: from.rest().to_vec() })
    }
}

/// The newest window of a series.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    start: EventTime,
    state: String,
}

/// The sink of one partition of the public topic.
pub struct HealthNotices {
    shelf: Shelf,
    /// Not in the store yet.
    last: BTreeMap<Vec<u8>, Last>,
    /// Records before this offset were told by an earlier owner.
    told_before: Offset,
}

impl HealthNotices {
    /// The sink of a partition.
    #[must_use]
    pub fn new(outbox: &Arc<Outbox>, partition: u32) -> Self {
        Self { shelf: Shelf::new(outbox, partition), last: BTreeMap::new(), told_before: Offset(0) }
    }

    fn take(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: record.offset, source };
        let bytes = record.headers.get(IDENTITY).ok_or_else(|| unreadable(CodecError::Truncated))?;
        let identity = Identity::decode(bytes).map_err(unreadable)?;
        if identity.grouping != "service" {
            return Ok(());
        }
        let public = PublicRecord::parse(record.value.unwrap_or_default()).map_err(|_| unreadable(CodecError::Text))?;
        let Some(health) = &public.health else { return Ok(()) };
        let key = series_key(&identity);
        let known = match self.last.get(&key) {
            Some(last) => Some(last.clone()),
            None => store.get(&place(&key))?.map(|bytes| Last::decode(&bytes)).transpose().map_err(unreadable)?,
        };
        if known.as_ref().is_some_and(|last| last.start > identity.window_start) {
            return Ok(());
        }
        let previous = || Level::of(f64::from(health.previous)).map_or(UNKNOWN, Level::name).to_owned();
        let before = known.map_or_else(previous, |last| last.state);
        if before != health.state && record.offset >= self.told_before {
            let revision = public.revision.to_be_bytes();
            let digest = Sha256::new().chain_update(bytes).chain_update(revision).finalize();
            let mut hex = Vec::new();
            crate::emit::json::put_hex(&mut hex, &digest);
            let notice = Notice { key: String::from_utf8(hex).unwrap_or_default(), json: json(&public, &before) };
            let end = identity.window_start.plus(identity.window_nanos);
            self.shelf.put(notice.encode(), end, Some(record.offset.next()));
        }
        self.last.insert(key, Last { start: identity.window_start, state: health.state.clone().into_owned() });
        Ok(())
    }
}

/// Fixed order of keys, no white space, no wall-clock value.
fn json(record: &PublicRecord<'_>, before: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, name: &str, value: &str| {
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        put_text(out, value);
    };
    out.extend_from_slice(br#"{"schema":"golden-signals-health/1""#);
    text(&mut out, "tenant", &record.tenant);
    text(&mut out, "service_namespace", &record.service_namespace);
    text(&mut out, "service", &record.service);
    text(&mut out, "window_start", &record.window_start);
    text(&mut out, "window_end", &record.window_end);
    out.extend_from_slice(br#","revision":"#);
    put_u64(&mut out, record.revision);
    text(&mut out, "before", before);
    if let Some(health) = &record.health {
        text(&mut out, "state", &health.state);
        out.extend_from_slice(br#","level":"#);
        match health.level {
            Some(level) => put_u64(&mut out, u64::from(level)),
            None => out.extend_from_slice(b"null"),
        }
        text(&mut out, "reason", &health.reason);
    }
    out.extend_from_slice(br#","requests":"#);
    put_u64(&mut out, record.requests.count);
    out.extend_from_slice(br#","errors":"#);
    put_u64(&mut out, record.errors.count);
    out.extend_from_slice(br#","availability_ratio":"#);
    put_option(&mut out, record.availability_ratio);
    out.extend_from_slice(br#","completeness":"#);
    put_f64(&mut out, record.completeness);
    out.extend_from_slice(br#","override":{"version":"#);
    put_u64(&mut out, record.rule.version);
    text(&mut out, "sha256", &record.rule.sha256);
    out.extend_from_slice(b"}}");
    out
}

fn place(key: &[u8]) -> Vec<u8> {
    [&[SERIES], key].concat()
}

impl Last {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        codec::put_i64(&mut out, self.start.0);
        codec::put_bytes(&mut out, self.state.as_bytes());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let last = Self { start: EventTime(from.i64()?), state: from.text()?.to_owned() };
        from.end()?;
        Ok(last)
    }
}

impl KeyedStage for HealthNotices {
    fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<(), StageError> {
        self.told_before = self.shelf.restore(store, committed)?.sent;
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        if record.headers.get(SCHEMA) == Some(SCHEMA_SIGNALS.as_bytes()) {
            self.take(record, store)?;
        }
        self.shelf.passed(record.offset.next());
        Ok(())
    }

    fn replay_from(&self, position: Offset) -> Offset {
        // A new beginning knows what was told by the records' own `previous`.
        position.min(self.shelf.sent_through())
    }

    fn metadata(&self) -> Vec<u8> {
        self.shelf.metadata()
    }

    fn goes_on(&self) -> bool {
        !self.shelf.is_full()
    }

    fn changes(&mut self, changes: &mut Changes) {
        for (key, last) in std::mem::take(&mut self.last) {
            changes.put(&place(&key), last.encode());
        }
        self.shelf.changes(changes);
    }

    fn held(&self) -> usize {
        self.last.iter().map(|(key, last)| key.len() + last.state.len() + 64).sum::<usize>() + self.shelf.held()
    }
}

#[cfg(test)]
mod tests;
