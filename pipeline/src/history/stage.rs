//! Folds one public partition into its history store.
//!
//! What this transaction changed lies in memory until `changes` hands it over; every look-up asks there first. Records older than the
//! horizon, `retention` behind the newest hour seen, are passed over, and the horizon moves by whole hours: the store is the same whatever
//! the batches were. Records of other schemas (progress, cuts) are passed over.

use super::keys;
use super::value::{Latest, Recent, Stored};
use crate::identity::Identity;
use crate::names;
use crate::slo::counts::Counts;
use platform_core::codec::{CodecError, Cursor, put_u64};
use platform_core::record::{Offset, Record};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use platform_core::time::EventTime;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The stage of one partition.
pub struct HistoryStage {
    retention: i64,
    schemas: &'static [&'static str],
    /// Hours of event time that are held → offset of the first record in them.
    hours: BTreeMap<EventTime, Offset>,
    /// From the committed metadata, while nothing is held.
    replay_from: Option<Offset>,
    /// Not yet handed over; `None` removes the key.
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// The horizon moved to here since the last hand-over.
    expire: Option<EventTime>,
    held: usize,
}

impl HistoryStage {
    /// Keeps the signals records of the public topic for `retention` ns of event time.
    #[must_use]
    pub fn signals(retention: i64) -> Self {
        Self::of(&[names::SCHEMA_SIGNALS, names::SCHEMA_SHADOW], retention)
    }

    /// Keeps the lines of the late ledger for `retention` ns of event time.
    #[must_use]
    pub fn late(retention: i64) -> Self {
        Self::of(&[names::SCHEMA_LATE], retention)
    }

    fn of(schemas: &'static [&'static str], retention: i64) -> Self {
        let retention = retention.max(keys::HOUR);
        Self { retention, schemas, hours: BTreeMap::new(), replay_from: None, pending: BTreeMap::new(), expire: None, held: 0 }
    }

    /// First hour that is kept; everything is while nothing was seen.
    fn horizon(&self) -> EventTime {
        self.hours.last_key_value().map_or(EventTime::MIN, |(newest, _)| keys::hour_of(newest.plus(-self.retention)))
    }

    fn get(&self, key: &[u8], store: &dyn Store) -> Result<Option<Vec<u8>>, StageError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(store.get(key)?),
        }
    }

    fn set(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.held += key.len() + value.as_ref().map_or(0, Vec::len) + 64;
        self.pending.insert(key, value);
    }

    /// Notes the hour of a record; false when it lies behind the horizon.
    fn admit(&mut self, start: EventTime, offset: Offset, store: &dyn Store) -> Result<bool, StageError> {
        let hour = keys::hour_of(start);
        let before = self.horizon();
        if hour < before {
            return Ok(false);
        }
        if self.hours.contains_key(&hour) {
            return Ok(true);
        }
        self.hours.insert(hour, offset);
        let mut value = Vec::new();
        put_u64(&mut value, offset.0);
        self.set(keys::hour(hour), Some(value));
        let horizon = self.horizon();
        if horizon > before {
            self.drop_before(horizon, store)?;
        }
        Ok(true)
    }

    fn drop_before(&mut self, horizon: EventTime, store: &dyn Store) -> Result<(), StageError> {
        self.hours = self.hours.split_off(&horizon);
        self.expire = Some(horizon);
        let mut silent: Vec<Vec<u8>> = Vec::new();
        let (from, to) = keys::all_services();
        let mut note = |key: &[u8], value: &[u8]| {
            // A value that cannot be read goes too: its service comes back with its next record.
            if Latest::window_start_of(value).is_ok_and(|start| start >= horizon) {
                return;
            }
            silent.push(key.to_vec());
        };
        store.scan(&from, &to, &mut |key, value| {
            if !self.pending.contains_key(key) {
                note(key, value);
            }
        })?;
        for (key, value) in self.pending.range(from..to) {
            if let Some(value) = value {
                note(key, value);
            }
        }
        silent.into_iter().for_each(|key| self.set(key, None));
        Ok(())
    }

    /// Keeps the sums of the window's hour.
    fn sum(
        &mut self,
        identity: &Identity,
        earlier: Option<&[u8]>,
        stored: &Stored,
        store: &dyn Store,
    ) -> Result<Result<(), CodecError>, StageError> {
        let hour = keys::hour_of(identity.window_start);
        let key = keys::sums(hour, &identity.tenant, &identity.service, &identity.namespace);
        let sum = self.get(&key, store)?;
        Ok(exchanged(sum.as_deref(), earlier, stored).map(|counts| self.set(key, Some(counts.encode()))))
    }

    fn keep(&mut self, identity: &Identity, stored: Stored, store: &dyn Store) -> Result<Result<(), CodecError>, StageError> {
        let key = keys::record(identity);
        let known = self.get(&key, store)?;
        if let Some(known) = &known {
            match Stored::revision_of(known) {
                Ok(revision) if revision >= stored.revision => return Ok(Ok(())),
                Ok(_) => {}
                Err(damage) => return Ok(Err(damage)),
            }
        }
        if identity.grouping == "service"
            && let Err(damage) = self.sum(identity, known.as_deref(), &stored, store)?
        {
            return Ok(Err(damage));
        }
        if identity.grouping == "service" {
            let key = keys::service(&identity.tenant, &identity.service, &identity.namespace);
            let known = self.get(&key, store)?;
            match latest(known.as_deref(), identity, &stored) {
                Ok(latest) => self.set(key, Some(latest.encode())),
                Err(damage) => return Ok(Err(damage)),
            }
        }
        self.set(key, Some(stored.encode()));
        Ok(Ok(()))
    }
}

/// Takes what an earlier revision of a window said out of a sum, and puts in what the new one says.
fn exchanged(sum: Option<&[u8]>, earlier: Option<&[u8]>, stored: &Stored) -> Result<Counts, CodecError> {
    let mut counts = sum.map(Counts::decode).transpose()?.unwrap_or_default();
    if let Some(earlier) = earlier {
        counts.take_off(&Counts::of_bytes(&Stored::decode(earlier)?.aggregate)?);
    }
    counts.add(&Counts::of_bytes(&stored.aggregate)?);
    Ok(counts)
}

/// What the trail shows.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    requests: Count,
    #[serde(default)]
    errors: Count,
    #[serde(default)]
    latency: Option<OfAll>,
    #[serde(default)]
    health: Option<Judged>,
}

#[derive(Deserialize)]
struct OfAll {
    all: Option<Quantiles>,
}

#[derive(Deserialize)]
struct Quantiles {
    p99: Option<f64>,
}

#[derive(Deserialize)]
struct Judged {
    level: Option<u8>,
}

#[derive(Default, Deserialize)]
struct Count {
    count: u64,
}

fn latest(known: Option<&[u8]>, identity: &Identity, stored: &Stored) -> Result<Latest, CodecError> {
    let counts: Shown = serde_json::from_slice(&stored.json).map_err(|_| CodecError::Text)?;
    let newest = |trail| Latest {
        window_start: identity.window_start,
        window_nanos: identity.window_nanos,
        revision: stored.revision,
        json: stored.json.clone(),
        trail,
    };
    let mut latest = match known.map(Latest::decode).transpose()? {
        Some(known) if known.window_start > identity.window_start => known,
        Some(known) => newest(known.trail),
        None => newest(Vec::new()),
    };
    let p99 = counts.latency.and_then(|latency| latency.all?.p99).map(|ms| (ms * 1e6).round() as u64);
    let level = counts.health.and_then(|health| health.level);
    let (window_start, requests, errors) = (identity.window_start, counts.requests.count, counts.errors.count);
    latest.note(Recent { window_start, requests, errors, p99, level });
    Ok(latest)
}

/// Identity and content of a record; `None` when it is of another schema.
fn read(record: &Record<'_>, schemas: &[&str]) -> Result<Option<(Identity, Stored)>, CodecError> {
    let found = record.headers.get(names::SCHEMA);
    if schemas.iter().all(|schema| found != Some(schema.as_bytes())) {
        return Ok(None);
    }
    let identity = Identity::decode(record.headers.get(names::IDENTITY).ok_or(CodecError::Truncated)?)?;
    let revision = match record.headers.get(names::REVISION) {
        Some(text) => std::str::from_utf8(text).ok().and_then(|t| t.parse().ok()).ok_or(CodecError::Text)?,
        None => 0,
    };
    let json = record.value.ok_or(CodecError::Truncated)?.to_vec();
    let aggregate = record.headers.get(names::AGGREGATE).unwrap_or_default().to_vec();
    Ok(Some((identity, Stored { revision, json, aggregate })))
}

impl KeyedStage for HistoryStage {
    fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: Offset::default(), source };
        self.replay_from = if committed.is_empty() { None } else { Some(Offset(Cursor::new(committed).u64().map_err(unreadable)?)) };
        let (from, to) = keys::hours();
        let mut damage = None;
        let hours = &mut self.hours;
        hours.clear();
        store.scan(&from, &to, &mut |key, value| match (keys::hour_of_key(key), Cursor::new(value).u64()) {
            (Ok(hour), Ok(offset)) => {
                hours.insert(hour, Offset(offset));
            }
            (Err(source), _) | (_, Err(source)) => damage = Some(source),
        })?;
        self.pending.clear();
        self.expire = None;
        damage.map_or(Ok(()), |source| Err(unreadable(source)))
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: record.offset, source };
        let Some((identity, stored)) = read(record, self.schemas).map_err(unreadable)? else {
            return Ok(());
        };
        if self.admit(identity.window_start, record.offset, store)? {
            self.keep(&identity, stored, store)?.map_err(unreadable)?;
        }
        Ok(())
    }

    fn replay_from(&self, position: Offset) -> Offset {
        self.hours.values().min().copied().or(self.replay_from).unwrap_or(position)
    }

    fn metadata(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Some(from) = self.hours.values().min().copied().or(self.replay_from) {
            put_u64(&mut out, from.0);
        }
        out
    }

    fn changes(&mut self, changes: &mut Changes) {
        for (key, value) in std::mem::take(&mut self.pending) {
            match value {
                Some(value) => changes.put(&key, value),
                None => changes.delete(&key),
            }
        }
        // Behind the puts: what came in the same transaction and lies before the horizon goes as well.
        if let Some(horizon) = self.expire.take() {
            let (from, to) = keys::records_before(horizon);
            changes.delete_range(&from, &to);
            let (from, to) = keys::hours_before(horizon);
            changes.delete_range(&from, &to);
            let newest = horizon.plus(self.retention);
            let (from, to) = keys::sums_before(keys::hour_of(newest.plus(-keys::SUMS.max(self.retention))));
            changes.delete_range(&from, &to);
        }
        self.held = 0;
    }

    fn held(&self) -> usize {
        self.held
    }
}
