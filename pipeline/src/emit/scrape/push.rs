//! The sink of an output that pushes metrics: the counters of the page (`Scrape`), sampled at the end of each window.
//!
//! When a window's progress record comes, every series that something came for since the last one gives an entry, in the order of keys;
//! entries leave in chunks (`outbox.rs`) of bounded size. So a correction shows in the sample of the next window, and no sample is ever
//! made twice. What was sampled and which counters there were then is kept beside the series, so that a restart goes on where it was.
//!
//! A new beginning (see `outbox.rs`) counts nothing of what an earlier owner has sent: it only learns what corrections must be compared
//! with. Its counters start at 0 behind that, which a receiver takes for a reset. Of windows that an earlier owner may have sent it tells
//! the gauges once more, which are the same; what it counts of them shows with the next window. So a counter's zero is never put
//! before a sample that is there already, which would make a receiver count everything before it twice.

use super::{Scrape, Scrapes};
use crate::emit::outbox::{Outbox, Past, Shelf};
use crate::emit::prometheus::points::{Entry, Kind, Last, Shape};
use crate::emit::prometheus::series_key;
use crate::identity::Identity;
use crate::names::{AGGREGATE, IDENTITY, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use platform_core::codec::{self, CodecError, Cursor};
use platform_core::record::{Offset, Record};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use platform_core::time::EventTime;
use platform_core::window::Window;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Number of the state's format: that of the counters, and the one of what is kept beside them.
pub const FORMAT: u32 = super::FORMAT << 8 | 1;
/// `32 | series key` → what was sampled of it.
const SAMPLED: u8 = 32;
/// `33 | series key` → an ended series, to be told with the next window.
const ENDED: u8 = 33;
/// `34` → end of the newest window that was sampled.
const NEWEST: [u8; 1] = [34];
/// Most entries and bytes of a chunk, the last entry left out.
const CHUNK_ENTRIES: usize = 250;
const CHUNK_BYTES: usize = 512 << 10;
/// The shortest time that all protocols tell apart, ns.
pub(crate) const MOMENT: i64 = 1_000_000;

/// What was sampled of a series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Sampled {
    /// Something came for it since.
    due: bool,
    /// Since when it counts; none before its first sample.
    start: Option<EventTime>,
    shape: Shape,
    /// Its last sample.
    last: Option<Last>,
}

/// The samples of one chunk.
#[derive(Debug)]
pub struct Samples {
    /// The window at whose end they stand.
    pub window: Window,
    /// Of the beginning that made them; from 1.
    pub incarnation: u64,
    /// One for each series.
    pub entries: Vec<Entry>,
}

impl Samples {
    /// Reads the body of a chunk.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(body: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(body);
        let window = Window { start: EventTime(from.i64()?), end: EventTime(from.i64()?) };
        let incarnation = from.u64()?;
        let mut entries = Vec::new();
        while !from.is_empty() {
            entries.push(Entry::decode(&mut from)?);
        }
        Ok(Self { window, incarnation, entries })
    }

    /// The same with what counters have grown by since the last sample of their series.
    #[must_use]
    pub fn growth(mut self) -> Self {
        self.entries = self.entries.into_iter().map(Entry::growth).collect();
        self
    }

    /// Two of half the size each.
    ///
    /// # Errors
    /// Itself, when there is only one entry or none.
    pub fn halves(mut self) -> Result<(Self, Self), Self> {
        if self.entries.len() < 2 {
            return Err(self);
        }
        let entries = self.entries.split_off(self.entries.len() / 2);
        let (window, incarnation) = (self.window, self.incarnation);
        Ok((self, Self { window, incarnation, entries }))
    }
}

/// The window of a progress record.
#[derive(Deserialize)]
struct Progress {
    window_start: i64,
    window_end: i64,
}

/// The sink of one partition of the public topic.
pub struct Push {
    counters: Scrape,
    shelf: Shelf,
    /// By series key.
    sampled: BTreeMap<Vec<u8>, Sampled>,
    /// Of these, what has to be written.
    changed: BTreeSet<Vec<u8>>,
    /// Kept forms of ended series by key, and those of the store that are told.
    ended: BTreeMap<Vec<u8>, Vec<u8>>,
    ended_changed: BTreeSet<Vec<u8>>,
    newest: EventTime,
    newest_changed: bool,
    /// What an earlier owner has sent, or may have.
    past: Past,
    /// Whether entries carry the sample before, so that growth can be told.
    growth: bool,
}

impl Push {
    /// The sink of a partition. `remember` and `ttl` are those of `Scrape::signals`.
    #[must_use]
    pub fn new(outbox: &Arc<Outbox>, partition: u32, remember: i64, ttl: i64) -> Self {
        Self {
            counters: Scrape::signals(&Scrapes::default(), partition, remember, ttl),
            shelf: Shelf::new(outbox, partition),
            sampled: BTreeMap::new(),
            changed: BTreeSet::new(),
            ended: BTreeMap::new(),
            ended_changed: BTreeSet::new(),
            newest: EventTime::MIN,
            newest_changed: false,
            past: Past::default(),
            growth: false,
        }
    }

    /// The same with entries that can tell growth (`Entry::growth`), at twice the size.
    #[must_use]
    pub fn with_growth(mut self) -> Self {
        self.growth = true;
        self
    }

    /// Counts a record of a window that starts at `start`, and notes the series that end with it.
    fn count(&mut self, record: &Record<'_>, start: EventTime, store: &dyn Store) -> Result<(), StageError> {
        let mut silent = vec![];
        if start > self.counters.newest {
            silent = self.counters.state().expiring(start.plus(-self.counters.ttl));
        }
        self.counters.apply(record, store)?;
        let state = self.counters.state();
        silent.retain(|(key, _)| !state.has(key));
        drop(state);
        for (key, series) in silent {
            self.ended_changed.insert(key.clone());
            self.ended.insert(key, series);
        }
        Ok(())
    }

    /// Before a record is counted: which counters its series has.
    fn prepare(&mut self, identity: &Identity) {
        let state = self.counters.state();
        let key = series_key(identity);
        if self.ended.remove(&key).is_some() {
            // It goes on under the same labels at once: a reset, no end.
            self.ended_changed.insert(key.clone());
            self.sampled.remove(&key);
        }
        let sampled = self.sampled.entry(key.clone()).or_default();
        if !std::mem::replace(&mut sampled.due, true) {
            if sampled.start.is_some() {
                sampled.shape = state.shape(&key);
            }
            if let Some(last) = sampled.last.as_mut().filter(|_| self.growth) {
                state.encode_series(&key, &mut last.series);
            }
            self.changed.insert(key);
        }
    }

    /// An earlier owner has counted and sent it: corrections are compared with it, and nothing else.
    fn learn(&mut self, record: &Record<'_>, identity: &Identity) -> Result<(), CodecError> {
        let header = |name| record.headers.get(name).ok_or(CodecError::Truncated);
        let start = identity.window_start;
        self.counters.counted.insert(header(IDENTITY)?.to_vec(), header(AGGREGATE)?.to_vec());
        self.counters.reach.note(super::window_number(start), record.offset);
        self.counters.newest = self.counters.newest.max(start);
        Ok(())
    }

    /// A window is done: samples of everything that is due.
    fn sample(&mut self, window: Window, through: Offset) {
        if window.end <= self.newest {
            return;
        }
        (self.newest, self.newest_changed) = (window.end, true);
        let mut chunks = Chunks { head: head(window, self.shelf.incarnation()), body: vec![], entries: 0, done: vec![] };
        // An earlier beginning may have had its last sample right at the start of this window.
        let begin = if self.shelf.incarnation() > 1 { window.start.plus(MOMENT) } else { window.start };
        let perhaps_sent = through <= self.past.shown;
        let ended = if perhaps_sent { BTreeMap::new() } else { std::mem::take(&mut self.ended) };
        for (key, series) in ended {
            if let Some(sampled) = self.sampled.remove(&key) {
                chunks.put(|out| Entry::put(Kind::Ended, sampled.start.unwrap_or(window.start), &sampled.shape, &series, None, out));
            }
            self.changed.insert(key.clone());
            self.ended_changed.insert(key);
        }
        let state = self.counters.state();
        let mut series = Vec::new();
        for (key, sampled) in self.sampled.iter_mut().filter(|(_, sampled)| sampled.due) {
            series.clear();
            state.encode_series(key, &mut series);
            if perhaps_sent {
                if state.is_newest(key, window) {
                    chunks.put(|out| Entry::put(Kind::Gauges, begin, &sampled.shape, &series, None, out));
                }
                continue;
            }
            let start = *sampled.start.get_or_insert(begin);
            if !series.is_empty() {
                chunks.put(|out| Entry::put(Kind::Sample, start, &sampled.shape, &series, sampled.last.as_ref(), out));
            }
            let last = Some(Last { end: window.end, series: vec![] });
            (sampled.due, sampled.shape, sampled.last) = (false, Shape::default(), last);
            self.changed.insert(key.clone());
        }
        drop(state);
        // A window without samples leaves no chunk; it is done with the next one that does.
        let mut done = chunks.done().into_iter().peekable();
        while let Some(body) = done.next() {
            let last = done.peek().is_none().then_some(through);
            self.shelf.put(body, window.end, last);
        }
    }

    fn take(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: record.offset, source };
        let schema = record.headers.get(SCHEMA).unwrap_or_default();
        if schema == SCHEMA_SIGNALS.as_bytes() {
            let identity = record.headers.get(IDENTITY).ok_or(CodecError::Truncated).and_then(Identity::decode).map_err(unreadable)?;
            if record.offset < self.past.sent {
                return self.learn(record, &identity).map_err(unreadable);
            }
            self.prepare(&identity);
            return self.count(record, identity.window_start, store);
        }
        if schema == SCHEMA_PROGRESS.as_bytes() {
            let value = record.value.unwrap_or_default();
            let progress: Progress = serde_json::from_slice(value).map_err(|_| unreadable(CodecError::Text))?;
            let window = Window { start: EventTime(progress.window_start), end: EventTime(progress.window_end) };
            self.count(record, window.start, store)?;
            if record.offset >= self.past.sent {
                self.sample(window, record.offset.next());
            }
        }
        Ok(())
    }
}

fn head(window: Window, incarnation: u64) -> Vec<u8> {
    let mut head = Vec::new();
    codec::put_i64(&mut head, window.start.0);
    codec::put_i64(&mut head, window.end.0);
    codec::put_u64(&mut head, incarnation);
    head
}

/// Bodies under way.
struct Chunks {
    head: Vec<u8>,
    body: Vec<u8>,
    entries: usize,
    done: Vec<Vec<u8>>,
}

impl Chunks {
    fn put(&mut self, entry: impl FnOnce(&mut Vec<u8>)) {
        if self.entries == 0 {
            self.body.extend_from_slice(&self.head);
        }
        entry(&mut self.body);
        self.entries += 1;
        if self.entries >= CHUNK_ENTRIES || self.body.len() >= CHUNK_BYTES {
            self.done.push(std::mem::take(&mut self.body));
            self.entries = 0;
        }
    }

    fn done(mut self) -> Vec<Vec<u8>> {
        if self.entries > 0 {
            self.done.push(self.body);
        }
        self.done
    }
}

impl Sampled {
    /// `due | start, or nothing | shape | last sample, or nothing`.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.due), u8::from(self.start.is_some())];
        codec::put_i64(&mut out, self.start.map_or(0, |start| start.0));
        self.shape.encode(&mut out);
        if let Some(last) = &self.last {
            codec::put_i64(&mut out, last.end.0);
            codec::put_bytes(&mut out, &last.series);
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let (due, started) = (from.u8()? != 0, from.u8()? != 0);
        let start = EventTime(from.i64()?);
        let shape = Shape::decode(&mut from)?;
        let mut last = None;
        if !from.is_empty() {
            last = Some(Last { end: EventTime(from.i64()?), series: from.bytes()?.to_vec() });
        }
        from.end()?;
        Ok(Self { due, start: started.then_some(start), shape, last })
    }
}

impl KeyedStage for Push {
    fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<(), StageError> {
        self.counters.restore(store, &[])?;
        self.past = self.shelf.restore(store, committed)?;
        let unreadable = |source| StageError::Unreadable { offset: Offset(0), source };
        let mut damaged = None;
        let rest = |key: &[u8]| key.get(1..).unwrap_or_default().to_vec();
        store.scan(&[SAMPLED], &[SAMPLED + 1], &mut |key, value| match Sampled::decode(value) {
            Ok(sampled) => drop(self.sampled.insert(rest(key), sampled)),
            Err(source) => damaged = Some(source),
        })?;
        store.scan(&[ENDED], &[ENDED + 1], &mut |key, value| drop(self.ended.insert(rest(key), value.to_vec())))?;
        if let Some(newest) = store.get(&NEWEST)? {
            self.newest = EventTime(Cursor::new(&newest).i64().map_err(unreadable)?);
        }
        damaged.map_or(Ok(()), |source| Err(unreadable(source)))
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        self.take(record, store)
    }

    fn replay_from(&self, position: Offset) -> Offset {
        self.counters.replay_from(position).min(self.shelf.sent_through())
    }

    fn metadata(&self) -> Vec<u8> {
        self.shelf.metadata()
    }

    fn goes_on(&self) -> bool {
        !self.shelf.is_full()
    }

    fn changes(&mut self, changes: &mut Changes) {
        self.counters.changes(changes);
        for key in std::mem::take(&mut self.changed) {
            let place = [&[SAMPLED], key.as_slice()].concat();
            match self.sampled.get(&key) {
                Some(sampled) => changes.put(&place, sampled.encode()),
                None => changes.delete(&place),
            }
        }
        for key in std::mem::take(&mut self.ended_changed) {
            let place = [&[ENDED], key.as_slice()].concat();
            match self.ended.get(&key) {
                Some(series) => changes.put(&place, series.clone()),
                None => changes.delete(&place),
            }
        }
        if std::mem::take(&mut self.newest_changed) {
            let mut newest = Vec::new();
            codec::put_i64(&mut newest, self.newest.0);
            changes.put(&NEWEST, newest);
        }
        self.shelf.changes(changes);
    }

    fn held(&self) -> usize {
        self.counters.held() + self.shelf.held()
    }
}

#[cfg(test)]
pub(crate) mod tests;
