//! Folds one public partition into its history store.
//!
//! What this transaction changed lies in memory until `changes` hands it over; every look-up asks there first. Records older than the
//! horizon, `retention` behind the newest hour seen, are passed over, and the horizon moves by whole hours: the store is the same whatever
//! the batches were. Records of other schemas (progress, cuts) are passed over.
//!
//! Rolling up: what a record of an hour changes is *open* until, some time after the hour's end, all records of that service and grouping
//! are summed by ten minutes and by the hour. A correction opens it again, so a sum is either exact or said to be open, and its records stay
//! as long as it is. Each record that is applied pays for a few that are read for this, so the work is spread and the same in a rebuild.

use super::keys::{self, KeyKind};
use super::range::Reach;
use super::roll::{Detail, Rolled, Tens};
use super::value::{Latest, Recent, Stored, StoredRef};
use crate::identity::Identity;
use crate::names;
use crate::slo::counts::Counts;
use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::record::{Offset, Record};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Changes, Store, StoreError};
use platform_core::time::EventTime;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// How long what is kept, in ns of event time; each is at least as long as the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Single windows.
    pub windows: i64,
    /// Sums of ten minutes.
    pub ten_minutes: i64,
    /// Sums of hours.
    pub hours: i64,
    /// Most bytes of keys and values of one partition. Above it the oldest windows go first, then the oldest sums of ten minutes, then of
    /// hours; the newest day of each stays.
    pub bytes: u64,
    /// How long after its end an hour is rolled up: corrections that come before that cost nothing more.
    pub settle: i64,
}

impl Default for Retention {
    fn default() -> Self {
        let month = 30 * keys::DAY;
        Self { windows: month, ten_minutes: 395 * keys::DAY, hours: 395 * keys::DAY, bytes: u64::MAX, settle: keys::HOUR }
    }
}

/// Records read for rolling up, for each record applied. More than one, so that rolling up catches up; not much more, so that what is due
/// at the start of an hour is spread over many records.
const CREDIT: i64 = 4;
/// Most of it that is kept for later.
const MOST_CREDIT: i64 = 64;

/// Where rolling up and expiry stand: `credit | first instant of windows, of ten minutes, of hours | missed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Records that may be read for rolling up; below 0 after a large group.
    credit: i64,
    reach: Reach,
    /// Records that came for windows that were thrown away already.
    pub missed: u64,
}

impl Default for Standing {
    fn default() -> Self {
        let reach = Reach { records: EventTime::MIN, ten_minutes: EventTime::MIN, hours: EventTime::MIN };
        Self { credit: 0, reach, missed: 0 }
    }
}

impl Standing {
    /// How far back what is kept reaches.
    pub(super) fn reach(&self) -> Reach {
        self.reach
    }

    /// Reads it from a store.
    pub(super) fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let Some(bytes) = store.get(&keys::standing())? else { return Ok(Self::default()) };
        Self::decode(&bytes).map_err(|error| StoreError(error.to_string()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_i64(&mut out, self.credit);
        for from in [self.reach.records, self.reach.ten_minutes, self.reach.hours] {
            put_i64(&mut out, from.0);
        }
        put_u64(&mut out, self.missed);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let credit = from.i64()?;
        let mut time = || from.i64().map(EventTime);
        let reach = Reach { records: time()?, ten_minutes: time()?, hours: time()? };
        let missed = from.u64()?;
        from.end()?;
        Ok(Self { credit, reach, missed })
    }
}

/// Bytes of keys and values of one hour: windows, sums of ten minutes, sums of the hour.
pub(super) type Bytes = [u64; 3];

/// Reads the bytes of an hour.
pub(super) fn bytes_of(value: &[u8]) -> Result<Bytes, CodecError> {
    let mut from = Cursor::new(value);
    let bytes = [from.u64()?, from.u64()?, from.u64()?];
    from.end()?;
    Ok(bytes)
}

/// The stage of one partition.
pub struct HistoryStage {
    retention: Retention,
    schemas: &'static [&'static str],
    /// Hours of event time that are held → offset of the first record in them.
    hours: BTreeMap<EventTime, Offset>,
    /// From the committed metadata, while nothing is held.
    replay_from: Option<Offset>,
    /// Not yet handed over; `None` removes the key.
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Keys of what is not rolled up.
    open: BTreeSet<Vec<u8>>,
    /// Bytes by hour, their sum, and the hours that changed since the last hand-over.
    sizes: BTreeMap<EventTime, Bytes>,
    size: u64,
    resized: BTreeSet<EventTime>,
    standing: Standing,
    /// Whether the standing changed since the last hand-over.
    moved: bool,
    /// Whether something expired since the last hand-over.
    expired: bool,
    held: usize,
}

impl HistoryStage {
    /// Keeps the signals records of the public topic.
    #[must_use]
    pub fn signals(retention: Retention) -> Self {
        Self::of(&[names::SCHEMA_SIGNALS, names::SCHEMA_SHADOW], retention)
    }

    /// Keeps the lines of the late ledger for `retention` ns of event time.
    #[must_use]
    pub fn late(retention: i64) -> Self {
        Self::of(&[names::SCHEMA_LATE], Retention { windows: retention, ..Retention::default() })
    }

    fn of(schemas: &'static [&'static str], retention: Retention) -> Self {
        let windows = retention.windows.max(keys::HOUR);
        let ten_minutes = retention.ten_minutes.max(windows);
        let retention = Retention { windows, ten_minutes, hours: retention.hours.max(ten_minutes), ..retention };
        Self {
            retention,
            schemas,
            hours: BTreeMap::new(),
            replay_from: None,
            pending: BTreeMap::new(),
            open: BTreeSet::new(),
            sizes: BTreeMap::new(),
            size: 0,
            resized: BTreeSet::new(),
            standing: Standing::default(),
            moved: false,
            expired: false,
            held: 0,
        }
    }

    fn newest(&self) -> Option<EventTime> {
        self.hours.last_key_value().map(|(newest, _)| *newest)
    }

    /// First hour that is kept; everything is while nothing was seen.
    fn horizon(&self) -> EventTime {
        self.newest().map_or(EventTime::MIN, |newest| keys::hour_of(newest.plus(-self.retention.windows)))
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

    /// Sets a key whose bytes are counted, in the hour and as the kind that they belong to; `before` is the length of what was there.
    fn set_counted(&mut self, hour: EventTime, kind: usize, key: Vec<u8>, before: Option<usize>, value: Vec<u8>) {
        let added = (key.len() + value.len()) as u64;
        let taken = before.map_or(0, |before| (key.len() + before) as u64);
        if let Some(bytes) = self.sizes.entry(hour).or_default().get_mut(kind) {
            *bytes = (*bytes + added).saturating_sub(taken);
            self.size = (self.size + added).saturating_sub(taken);
        }
        self.resized.insert(hour);
        self.set(key, Some(value));
    }

    /// Notes the hour of a record; false when it lies behind the horizon.
    fn admit(&mut self, start: EventTime, offset: Offset, store: &dyn Store) -> Result<bool, StageError> {
        let hour = keys::hour_of(start);
        let before = self.horizon();
        if hour < before.max(self.standing.reach.records) {
            self.standing.missed += 1;
            self.moved = true;
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
        self.expired = true;
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

    /// The first hour that is not rolled up.
    fn first_open(&self) -> Result<Option<EventTime>, CodecError> {
        self.open.first().map(|key| Ok(keys::open_of(key)?.0)).transpose()
    }

    /// Rolls up what is due, as far as the credit goes.
    fn roll_due(&mut self, store: &dyn Store) -> Result<Result<(), CodecError>, StageError> {
        if self.open.is_empty() {
            return Ok(Ok(()));
        }
        let Some(newest) = self.newest() else { return Ok(Ok(())) };
        let settled = newest.plus(-self.retention.settle).plus(-keys::HOUR);
        let credit = self.standing.credit.saturating_add(CREDIT).min(MOST_CREDIT);
        self.moved |= credit != self.standing.credit;
        self.standing.credit = credit;
        while self.standing.credit > 0 {
            match self.first_open() {
                Ok(Some(hour)) if hour <= settled => {}
                Ok(_) => break,
                Err(damage) => return Ok(Err(damage)),
            }
            let Some(key) = self.open.pop_first() else { break };
            match self.roll(&key, store)? {
                Ok(read) => self.standing.credit -= read + 1,
                Err(damage) => return Ok(Err(damage)),
            }
            self.set(key, None);
        }
        Ok(Ok(()))
    }

    /// Rolls up the records of one grouping of a service in an hour, and gives how many they were.
    fn roll(&mut self, open: &[u8], store: &dyn Store) -> Result<Result<i64, CodecError>, StageError> {
        let (hour, texts) = match keys::open_of(open) {
            Ok(of) => of,
            Err(damage) => return Ok(Err(damage)),
        };
        let (from, to) = keys::records_of(hour, &texts);
        let (mut sums, mut read, mut damage) = (BTreeMap::new(), 0, None);
        let mut take = |key: &[u8], value: &[u8]| {
            read += 1;
            if let Err(error) = added(&mut sums, hour, key, value) {
                damage = Some(error);
            }
        };
        // What was not handed over yet stands before what is stored; both are in order.
        let mut pending = self.pending.range(from.clone()..to.clone()).peekable();
        store.scan(&from, &to, &mut |key, value| {
            while let Some((_, Some(value))) = pending.peek().filter(|(at, _)| at.as_slice() < key)
                && let Some((key, _)) = pending.next()
            {
                take(key, value);
            }
            match pending.next_if(|(at, _)| at.as_slice() == key) {
                Some((_, Some(newer))) => take(key, newer),
                Some((_, None)) => {}
                None => take(key, value),
            }
        })?;
        for (key, value) in pending {
            value.iter().for_each(|value| take(key, value));
        }
        if let Some(damage) = damage {
            return Ok(Err(damage));
        }
        for (dimensions, spans) in sums {
            let dimensions: Vec<&str> = dimensions.iter().map(String::as_str).collect();
            let (mut whole, mut tens) = (Rolled::default(), Tens::default());
            for (number, span) in spans {
                let mut bytes = Vec::new();
                span.encode(&mut bytes);
                if let Err(damage) = whole.merge_encoded(&bytes, Detail::ALL) {
                    return Ok(Err(damage));
                }
                tens.0.push((number, bytes));
            }
            let mut hour_sum = Vec::new();
            whole.encode(&mut hour_sum);
            let kinds =
                [(1, keys::tens(hour, &texts, &dimensions), tens.encode()), (2, keys::hours_roll(hour, &texts, &dimensions), hour_sum)];
            for (kind, key, value) in kinds {
                let before = self.get(&key, store)?.map(|value| value.len());
                self.set_counted(hour, kind, key, before, value);
            }
        }
        Ok(Ok(read))
    }

    /// Moves on how far back what is kept reaches. What is not rolled up stays.
    fn expire(&mut self) -> Result<(), CodecError> {
        let Some(newest) = self.newest() else { return Ok(()) };
        let rolled = self.first_open()?.unwrap_or(EventTime::MAX);
        let hour = |back: i64| keys::hour_of(newest.plus(-back)).min(rolled);
        let Retention { windows, ten_minutes, hours, bytes, .. } = self.retention;
        let Reach { records: was_records, ten_minutes: was_tens, hours: was_hours } = self.standing.reach;
        let mut reach = Reach {
            records: was_records.max(hour(windows)),
            ten_minutes: was_tens.max(hour(ten_minutes)),
            hours: was_hours.max(keys::day_of(hour(hours))),
        };
        if reach == self.standing.reach && self.size <= bytes {
            return Ok(());
        }
        // A day of each stays, so that there is always something to show.
        let most = keys::day_of(hour(keys::DAY));
        let limits = [(0, was_records, &mut reach.records), (1, was_tens, &mut reach.ten_minutes), (2, was_hours, &mut reach.hours)];
        for (kind, was, limit) in limits {
            if *limit > was {
                self.forget(kind, *limit);
            }
            while self.size > bytes && *limit < most {
                let has = |of: &(&EventTime, &Bytes)| of.1.get(kind).is_some_and(|bytes| *bytes > 0);
                let Some((oldest, _)) = self.sizes.range(*limit..most).find(has) else { break };
                *limit = if kind == 2 { keys::day_of(*oldest).plus(keys::DAY) } else { oldest.plus(keys::HOUR) };
                self.forget(kind, *limit);
            }
        }
        if reach != self.standing.reach {
            (self.standing.reach, self.moved, self.expired) = (reach, true, true);
        }
        Ok(())
    }

    /// Takes the bytes of a kind before an hour out of the count.
    fn forget(&mut self, kind: usize, before: EventTime) {
        for (hour, bytes) in self.sizes.range_mut(..before) {
            if let Some(bytes) = bytes.get_mut(kind).filter(|bytes| **bytes > 0) {
                self.size = self.size.saturating_sub(std::mem::take(bytes));
                self.resized.insert(*hour);
            }
        }
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

    fn keep(
        &mut self,
        identity: &Identity,
        stored: Stored,
        is_summed: bool,
        store: &dyn Store,
    ) -> Result<Result<(), CodecError>, StageError> {
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
        let hour = keys::hour_of(identity.window_start);
        self.set_counted(hour, 0, key, known.map(|known| known.len()), stored.encode());
        if is_summed {
            let open = keys::open(hour, &[&identity.tenant, &identity.service, &identity.namespace, &identity.grouping]);
            if self.open.insert(open.clone()) {
                self.set(open, Some(Vec::new()));
            }
        }
        Ok(Ok(()))
    }
}

/// Sums of ten minutes by dimension values and number in the hour.
type Spans = BTreeMap<Vec<String>, BTreeMap<u8, Rolled>>;

/// Adds a record to the sum that it belongs to.
fn added(sums: &mut Spans, hour: EventTime, key: &[u8], value: &[u8]) -> Result<(), CodecError> {
    let start = keys::window_start_of(key)?;
    let number = u8::try_from(start.since(hour) / keys::TEN_MINUTES).map_err(|_| CodecError::Overlong)?;
    let dimensions = keys::dimensions_of(key)?.into_iter().map(str::to_owned).collect();
    let sum = sums.entry(dimensions).or_default().entry(number).or_default();
    sum.add(start, &StoredRef::decode(value)?, Detail::ALL)
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

/// Identity and content of a record, and whether it is one of those that are rolled up; `None` when it is of another schema.
fn read(record: &Record<'_>, schemas: &[&str]) -> Result<Option<(Identity, Stored, bool)>, CodecError> {
    let found = record.headers.get(names::SCHEMA);
    let is_summed = found == Some(names::SCHEMA_SIGNALS.as_bytes());
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
    let window_nanos = identity.window_nanos;
    Ok(Some((identity, Stored { revision, window_nanos, json, aggregate }, is_summed)))
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
        let (from, to) = keys::all_open();
        self.open.clear();
        store.scan(&from, &to, &mut |key, _| self.open.extend([key.to_vec()]))?;
        let (from, to) = keys::sizes();
        self.sizes.clear();
        store.scan(&from, &to, &mut |key, value| match (keys::hour_of_key(key), bytes_of(value)) {
            (Ok(hour), Ok(bytes)) => drop(self.sizes.insert(hour, bytes)),
            (Err(source), _) | (_, Err(source)) => damage = Some(source),
        })?;
        self.size = self.sizes.values().flatten().sum();
        self.standing = Standing::read(store)?;
        self.pending.clear();
        self.resized.clear();
        (self.moved, self.expired) = (false, false);
        damage.map_or(Ok(()), |source| Err(unreadable(source)))
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: record.offset, source };
        let Some((identity, stored, is_summed)) = read(record, self.schemas).map_err(unreadable)? else {
            return Ok(());
        };
        if self.admit(identity.window_start, record.offset, store)? {
            self.keep(&identity, stored, is_summed, store)?.map_err(unreadable)?;
        }
        self.roll_due(store)?.map_err(unreadable)?;
        self.expire().map_err(unreadable)
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
        for hour in std::mem::take(&mut self.resized) {
            match self.sizes.get(&hour).filter(|bytes| **bytes != Bytes::default()) {
                Some(bytes) => {
                    let mut value = Vec::new();
                    bytes.iter().for_each(|bytes| put_u64(&mut value, *bytes));
                    changes.put(&keys::size(hour), value);
                }
                None => {
                    self.sizes.remove(&hour);
                    changes.delete(&keys::size(hour));
                }
            }
        }
        if std::mem::take(&mut self.moved) {
            changes.put(&keys::standing(), self.standing.encode());
        }
        // Behind the puts: what came in the same transaction and lies before the horizon goes as well.
        if std::mem::take(&mut self.expired) {
            let Reach { records, ten_minutes, hours } = self.standing.reach;
            let horizon = self.horizon();
            let sums = keys::hour_of(horizon.plus(self.retention.windows).plus(-keys::SUMS.max(self.retention.windows)));
            let kinds = [
                (KeyKind::Record, records),
                (KeyKind::Hour, horizon),
                (KeyKind::Sums, sums),
                (KeyKind::Tens, ten_minutes),
                (KeyKind::Hours, hours),
            ];
            for (kind, before) in kinds {
                let (from, to) = keys::before(kind, before);
                changes.delete_range(&from, &to);
            }
        }
        self.held = 0;
    }

    fn held(&self) -> usize {
        self.held
    }
}
