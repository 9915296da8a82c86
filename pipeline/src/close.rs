//! CLOSE, a keyed stage: partials of one partition in; finals, corrections, progress records and the lines of the late ledger out.
//!
//! Applies one message at a time, in log order. When the watermark passes a window's end, the window closes with the content it has *now*:
//! one final per series of each grouping (roll-ups are sums of the finest series), in the order of identities, then a progress record.
//! Entries of a window that is closed but retained make corrections: full totals, once per commit and key, as of their last change.
//! Nothing is dropped without a count. State is a fold over the partition: no clock, no randomness, no batch size enters it.
//! What CLOSE does not do: it numbers no revisions (that is the router's), and it does not judge lateness (that is FOLD's).

/// Windows on their way out.
mod closing;
/// Records out of aggregates.
mod emission;
/// Samples of resources that wait for their windows.
mod gauges;
/// Known series and services, and the caps on them.
pub mod index;
/// What the store keeps.
mod kept;
/// Keys of the store.
pub mod keys;
/// Where a restore from nothing begins.
pub mod origins;
/// What is known of the source partitions.
pub mod sources;
/// What is in memory of one window.
pub mod window;

use crate::aggregate::Aggregate;
use crate::dead_letter::Stamp;
use crate::fold::partial::{EntryKind, Head, entry};
use crate::grouping::Groupings;
use crate::overrides::rules::{Rules, Timeline};
use crate::resource::Resources;
use crate::signal::completeness::Completeness;
use crate::tally::Tally;
use closing::{Closing, Discard};
use emission::Emission;
use gauges::Gauges;
use index::{Caps, Index};
use keys::{KeyKind, behind, in_window, of_window, split};
use origins::{Origin, Origins};
use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::planted::{Bug, planted};
use platform_core::record::{Offset, Record, Topic};
use platform_core::stage::{Emit, Emitted, KeyedStage, StageError};
use platform_core::store::{Change, Changes, Store, StoreError};
use platform_core::time::EventTime;
use platform_core::window::{Window, WindowLength};
use sources::{Fit, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use window::WindowState;

/// What is kept of windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Everything that a restart and a correction need: live runs.
    All,
    /// Closed windows, for corrections: bounded runs that close windows as they go. There is no restart.
    Closed,
    /// Nothing: bounded runs whose windows close at the end of the input. There is no restart and no correction.
    Nothing,
}

/// Settings of CLOSE.
#[derive(Clone, Debug)]
pub struct CloseSettings {
    /// Who is said to have written its outputs, and the tenant.
    pub stamp: Stamp,
    /// First window that it answers for, as the first eight bytes of identities, read as a number; 0: all. Of earlier ones, whose input it
    /// has not seen whole, nothing leaves.
    pub owned_from: u64,
    /// What to sum by.
    pub groupings: Groupings,
    /// Length of windows.
    pub window: WindowLength,
    /// How long a closed window can still be corrected, in ns.
    pub retain: i64,
    /// How long a silent source partition holds the others back, in ns.
    pub hold: i64,
    /// How long a series without events keeps its place, in ns; at most `retain`.
    pub series_ttl: i64,
    /// Caps on series.
    pub caps: Caps,
    /// A less complete window is never healthy.
    pub min_completeness: Completeness,
    /// Whether services without events get a record with zero requests.
    pub empty_windows: bool,
    /// Whether records of every grouping carry a health, or only those of whole services.
    pub health_of_all: bool,
    /// Whether records carry the histogram.
    pub histogram: bool,
    /// Whether quantiles of too few samples are left out.
    pub suppress_low_confidence: bool,
    /// What is kept of windows.
    pub keep: Keep,
    /// Declared source partitions, by their places.
    pub declared: Vec<u32>,
    /// Where outputs go.
    pub signals: Topic,
    /// Partitions of `partials` and `signals`.
    pub partitions: u32,
}

/// CLOSE, for one partition.
pub struct Close {
    settings: CloseSettings,
    tally: Arc<Tally>,
    rules: Arc<Rules>,
    /// What of them the messages so far have let in.
    timeline: Timeline,
    /// How far the control log had been read where a restart goes on.
    control: Offset,
    sources: Sources,
    index: Index,
    windows: BTreeMap<i64, WindowState>,
    gauges: Gauges,
    /// End of the newest closed window.
    closed_through: EventTime,
    /// End of the newest purged window.
    purged_through: EventTime,
    closing: Option<Closing>,
    /// Closed windows that were not complete when they closed.
    incomplete: BTreeMap<i64, Completeness>,
    corrections: Corrections,
    /// Changes to the store that are not aggregates.
    pending: Changes,
    next_chunk: u32,
    /// The message being applied was applied before.
    passing_over: bool,
    duplicates: u64,
    /// Where the emission of the next closing resumes: its window, and how many services are done.
    resume: Option<(i64, u64)>,
    /// First messages that feed the windows that are kept.
    origins: Origins,
    /// In a restore from nothing, before its first message that is applied in full.
    before: Option<Origin>,
    /// Of the message whose last chunk has not come.
    message: Option<Origin>,
    /// Behind the last record.
    next: Offset,
    /// A chunk of that message is missing.
    torn: bool,
    /// Lines of the late ledger that changed since the last commit, in windows that were closed before.
    late_lines: BTreeSet<(i64, Vec<u8>)>,
    emission: Emission,
}

/// What changed in closed windows since the last commit: (window, service key).
type Corrections = BTreeMap<(i64, Box<[u8]>), Changed>;

/// What changed of a service in a closed window.
#[derive(Default)]
struct Changed {
    /// Keys of the series with late events.
    series: BTreeSet<Box<[u8]>>,
    /// Samples of the service as they were at the last of these changes: one that came behind it, in the same commit or not, must not
    /// show. `None` where no event brought the correction.
    resources: Option<Option<Resources>>,
}

impl Close {
    /// A CLOSE of partition `partition`.
    #[must_use]
    pub fn new(settings: CloseSettings, partition: u32, rules: Arc<Rules>, tally: Arc<Tally>) -> Self {
        let emission = Emission::new(&settings, partition);
        Self {
            sources: Sources::new(&settings.declared, settings.hold),
            index: Index::new(settings.caps, partition, settings.partitions),
            windows: BTreeMap::new(),
            gauges: Gauges::new(settings.caps.services),
            closed_through: EventTime::MIN,
            purged_through: EventTime::MIN,
            closing: None,
            incomplete: BTreeMap::new(),
            corrections: BTreeMap::new(),
            pending: Changes::default(),
            next_chunk: 0,
            passing_over: false,
            duplicates: 0,
            resume: None,
            origins: Origins::default(),
            before: None,
            message: None,
            next: Offset(0),
            torn: false,
            late_lines: BTreeSet::new(),
            emission,
            rules,
            timeline: Timeline::default(),
            control: Offset(0),
            tally,
            settings,
        }
    }

    fn apply_message(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), Failure> {
        let mut from = Cursor::new(record.value.ok_or(CodecError::Truncated)?);
        let head = Head::decode(&mut from)?;
        // Also of what is passed over: a restore must not ask for it again.
        self.next = record.offset.next();
        if head.epoch != self.settings.stamp.epoch && !planted(Bug::EpochIgnored) {
            metrics::counter!("golden_signals_foreign_epoch_total").increment(1);
            return Ok(());
        }
        self.control = self.control.max(head.control);
        self.read_control()?;
        if let Some(origin) = self.before.take_if(|origin| origin.message <= record.offset) {
            self.sources.decided(origin.watermark);
            self.closed_through = self.closed_through.max(origin.closed_through);
        }
        if head.chunk == 0 {
            self.message = Some(self.sources.origin(record.offset, self.closed_through));
            self.sources.tick(record.offset, record.append_time);
            self.passing_over = head.ranges.iter().any(|r| self.sources.fit(r) == Fit::Replayed);
            self.torn = false;
            if self.passing_over {
                self.broken("I4 replayed");
            }
        }
        if head.chunk != self.next_chunk {
            self.broken("I4 torn");
            self.torn |= head.chunk > 0;
        }
        self.next_chunk = if head.last { 0 } else { head.chunk + 1 };
        if self.passing_over {
            return Ok(());
        }
        // What comes before the first message of all windows that are kept says who is absent, and no more.
        let message = self.message.unwrap_or_else(|| self.sources.origin(record.offset, self.closed_through));
        while self.before.is_none() && !from.is_empty() {
            let (start, kind, key) = entry(&head, &mut from)?;
            self.merge(start, kind, key, &mut from, message, store)?;
        }
        if head.last {
            self.message = None;
            for range in &head.ranges {
                let fit = if self.torn { Fit::Torn } else { self.sources.fit(range) };
                if fit == Fit::Torn {
                    self.broken("I4 torn");
                }
                self.sources.apply(range, fit, message.message);
            }
            if head.ended {
                self.sources.end();
            }
        }
        Ok(())
    }

    /// Lets in what stands in the control log up to where FOLD had read it.
    fn read_control(&mut self) -> Result<(), Failure> {
        if self.timeline.position() < self.control || (self.control == Offset(0) && self.timeline.is_empty()) {
            self.rules.up_to(self.control, &mut self.timeline).map_err(StageError::Control).map_err(Failure::Stage)?;
        }
        Ok(())
    }

    /// Adds one entry to the window that it is of.
    fn merge(
        &mut self,
        start: EventTime,
        kind: EntryKind,
        key: &[u8],
        from: &mut Cursor<'_>,
        message: Origin,
        store: &dyn Store,
    ) -> Result<(), Failure> {
        let window = self.settings.window.window_of(start);
        let mut aggregate = None;
        if window.end <= self.purged_through {
            // I22: FOLD counts nothing this old. Its events would be missing from the account, so this is an alarm.
            if kind == EntryKind::Gauges {
                drop(Resources::decode(from)?)
            } else {
                drop(Aggregate::decode(from)?)
            }
            self.broken("I22 purged");
            return Ok(());
        }
        self.origins.note(window.start, message);
        let closed = window.closed_by(self.closed_through);
        if kind == EntryKind::Gauges {
            // Behind the close only who is known may take room: nothing else bounds what comes for windows that are not in memory.
            let idle = self.idle_now();
            let known = self.index.find_service(key).and_then(|number| self.index.service(number));
            if closed && known.is_none_or(|service| service.last < idle) {
                return gauges::left_out(from);
            }
            return self.gauges.merge(window.start, closed, key, from, store, &mut self.pending);
        }
        if kind == EntryKind::Late {
            return self.merge_late(window, closed, key, from, store);
        }
        if closed && planted(Bug::LateByClose) {
            Aggregate::decode(from)?;
            return Ok(());
        }
        let (service, other) = self.index.service_of(key);
        if closed {
            // The watermark may have passed it while a partition was away and nothing was in it.
            if !self.sources.have_passed(window) && !self.incomplete.contains_key(&window.start.0) {
                self.note_incomplete(window, self.sources.completeness(window));
            }
            self.load(window, service, store)?;
        }
        if let EntryKind::Unique(id) = kind {
            let event = Aggregate::decode(from)?;
            if !self.first_of_id(window, closed, id, key, store)? {
                self.duplicates += event.counts().events;
                return Ok(());
            }
            aggregate = Some(event);
        }
        let series = self.place(window, service, other, key);
        self.index.touch(series, window.start.0, closed);
        let state = self.windows.entry(window.start.0).or_insert_with(|| WindowState::new(window));
        let into = state.change(series, service);
        if closed {
            let mut late = match aggregate {
                Some(aggregate) => aggregate,
                None => Aggregate::decode(from)?,
            };
            late.mark_late();
            into.merge(&late).map_err(CodecError::from)?;
            self.correct(window, service, series);
        } else if let Some(aggregate) = aggregate {
            into.merge(&aggregate).map_err(CodecError::from)?;
        } else {
            into.merge_encoded(from)?;
        }
        Ok(())
    }

    /// Adds to a line of the late ledger. Its window is closed only if its source partition was absent: then the whole line goes out again.
    fn merge_late(&mut self, window: Window, closed: bool, key: &[u8], from: &mut Cursor<'_>, store: &dyn Store) -> Result<(), Failure> {
        let state = self.windows.entry(window.start.0).or_insert_with(|| WindowState::new(window));
        if closed && !state.late.contains_key(key) {
            let stored = store.get(&in_window(KeyKind::LateLine, window.start, key))?;
            let before = stored.map(|bytes| Aggregate::decode(&mut Cursor::new(&bytes))).transpose()?;
            state.late.insert(key.to_vec(), before.unwrap_or_default());
        }
        state.late.entry(key.to_vec()).or_default().merge_encoded(from)?;
        if closed {
            self.late_lines.insert((window.start.0, key.to_vec()));
        }
        Ok(())
    }

    /// The series that counts a key in a window: its own, or the overflow of its service.
    fn place(&mut self, window: Window, service: u32, other: bool, key: &[u8]) -> u32 {
        let state = self.windows.get(&window.start.0);
        let known = self.index.find(key).filter(|_| !other);
        let apart = state.map_or(0, |s| s.apart(service));
        let closed = window.closed_by(self.closed_through);
        let caps = self.index.caps();
        let limit = if closed { caps.series_per_service } else { caps.series_per_service.saturating_mul(4) };
        let own = known.is_some_and(|s| state.is_some_and(|w| w.holds(s)) || self.index.series(s).is_some_and(|s| s.admitted) && !closed);
        if own || !other && apart < limit && self.index.active() < caps.series_total.saturating_mul(4) {
            return self.index.intern(key, service);
        }
        metrics::counter!("golden_signals_overflow_events_total").increment(1);
        let overflow = self.index.overflow_key(service, self.settings.groupings.dimensions().len());
        self.index.intern(&overflow, service)
    }

    /// Whether an id is seen for the first time in its window and service.
    fn first_of_id(&mut self, window: Window, closed: bool, id: u128, key: &[u8], store: &dyn Store) -> Result<bool, Failure> {
        let mut scoped = id.to_le_bytes().to_vec();
        scoped.extend_from_slice(key.get(..crate::series::service_length(key)).unwrap_or(key));
        let id = xxhash_rust::xxh3::xxh3_128(&scoped);
        let state = self.windows.entry(window.start.0).or_insert_with(|| WindowState::new(window));
        if !state.ids.insert(id) {
            return Ok(false);
        }
        if closed && store.get(&in_window(KeyKind::Unique, window.start, &id.to_be_bytes()))?.is_some() {
            return Ok(false);
        }
        state.unsaved_ids.push(id);
        Ok(true)
    }

    /// Brings a closed window's stored content of one service into memory.
    fn load(&mut self, window: Window, service: u32, store: &dyn Store) -> Result<(), Failure> {
        let state = self.windows.entry(window.start.0).or_insert_with(|| WindowState::new(window));
        let Some(head) = self.index.service(service).map(|s| s.key.clone()) else { return Ok(()) };
        if state.whole || !state.loaded.insert(service) {
            return Ok(());
        }
        self.gauges.load(window.start, &head, store)?;
        let prefix = in_window(KeyKind::Aggregate, window.start, &head);
        let (index, mut damaged) = (&mut self.index, None);
        store.scan(&prefix, &behind(&prefix), &mut |key, value| {
            let Some((_, key)) = split(key) else { return };
            let series = index.intern(key, service);
            if !state.holds(series) {
                match Aggregate::decode(&mut Cursor::new(value)) {
                    Ok(aggregate) => state.load(series, service, aggregate),
                    Err(error) => damaged = Some(error),
                }
            }
            index.touch(series, window.start.0, true);
        })?;
        damaged.map_or(Ok(()), |error| Err(Failure::Codec(error)))
    }

    fn note_incomplete(&mut self, window: Window, completeness: Completeness) {
        self.incomplete.insert(window.start.0, completeness);
        let mut value = Vec::new();
        put_u64(&mut value, u64::from(completeness.millionths()));
        self.pending.put(&of_window(KeyKind::Incomplete, window.start), value);
    }

    fn correct(&mut self, window: Window, service: u32, series: u32) {
        let (Some(service), Some(series)) = (self.index.service(service), self.index.series(series)) else { return };
        let resources = self.gauges.get(window.start, &service.key).cloned();
        let changed = self.corrections.entry((window.start.0, service.key.clone())).or_default();
        changed.series.insert(series.key.clone());
        changed.resources = Some(resources);
    }

    /// Counts a broken invariant: an alarm, never a wrong number in silence.
    fn broken(&self, name: &'static str) {
        let pipeline = crate::names::part_of(self.settings.stamp.colour, self.settings.stamp.epoch);
        metrics::counter!("platform_invariant_violations_total", "pipeline" => pipeline, "name" => name).increment(1);
        tracing::error!(invariant = name, "an invariant is broken");
    }

    /// Windows that were closed without a partition which has passed them now: their keys go out again, as complete.
    fn completed(&mut self, store: &dyn Store) -> Result<(), Failure> {
        let done: Vec<i64> = self
            .incomplete
            .keys()
            .copied()
            .filter(|start| self.sources.completeness(self.settings.window.window_of(EventTime(*start))).is_full())
            .collect();
        for start in done {
            self.incomplete.remove(&start);
            let window = self.settings.window.window_of(EventTime(start));
            self.pending.delete(&of_window(KeyKind::Incomplete, window.start));
            let prefix = of_window(KeyKind::Aggregate, window.start);
            let mut keys: Vec<Vec<u8>> = Vec::new();
            if !self.windows.get(&start).is_some_and(|state| state.whole) {
                store.scan(&prefix, &behind(&prefix), &mut |key, _| keys.extend(split(key).map(|(_, key)| key.to_vec())))?;
            }
            if let Some(state) = self.windows.get(&start) {
                keys.extend(state.series().filter_map(|s| Some(self.index.series(s)?.key.to_vec())));
            }
            // A service without events has a record too.
            let prefix = of_window(KeyKind::Health, window.start);
            let mut silent = |key: &[u8]| {
                if let Some((_, key)) = split(key).filter(|(_, key)| crate::series::service_length(key) == key.len()) {
                    self.corrections.entry((start, key.into())).or_default();
                }
            };
            store.scan(&prefix, &behind(&prefix), &mut |key, _| silent(key))?;
            for change in &self.pending.list {
                if let Change::Put(key, _) = change
                    && key.starts_with(&prefix)
                {
                    silent(key);
                }
            }
            for key in keys {
                let service = self.index.named_service(&key);
                self.load(window, service, store)?;
                let series = self.index.intern(&key, service);
                self.correct(window, service, series);
            }
        }
        Ok(())
    }
}

/// Why something inside CLOSE failed; the record's offset is added outside.
enum Failure {
    Codec(CodecError),
    Stage(StageError),
}

impl From<CodecError> for Failure {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Stage(error.into())
    }
}

impl From<platform_core::log::CommitError> for Failure {
    fn from(error: platform_core::log::CommitError) -> Self {
        Self::Stage(error.into())
    }
}

impl Failure {
    fn at(self, offset: Offset) -> StageError {
        match self {
            Self::Codec(source) => StageError::Unreadable { offset, source },
            Self::Stage(error) => error,
        }
    }
}

impl Drop for Close {
    fn drop(&mut self) {
        self.tally.gone(self.emission.partition());
    }
}

impl KeyedStage for Close {
    fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: Offset(0), source };
        let mut from = Cursor::new(committed);
        if !from.is_empty() {
            from.i64().map_err(unreadable)?;
        }
        // Before any message is applied: windows that close in a silent replay had what the messages before them let in.
        let beside = if from.is_empty() { Offset(0) } else { Offset(from.u64().map_err(unreadable)?) };
        // What was committed by an earlier form ends here.
        let origin = if from.is_empty() { None } else { Some(Origin::decode(&mut from).map_err(unreadable)?) };
        if !self.restore_from(store).map_err(|f| f.at(Offset(0)))? {
            self.before = origin;
        }
        self.control = self.control.max(beside);
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        self.apply_message(record, store).and_then(|()| self.completed(store)).map_err(|f| f.at(record.offset))
    }

    fn emit_due(&mut self, budget: usize, _store: &dyn Store, out: &mut dyn Emit) -> Result<Emitted, StageError> {
        self.close_due(budget, out).map_err(|f| f.at(Offset(0)))
    }

    fn emit_at_commit(&mut self, store: &dyn Store, out: &mut dyn Emit) -> Result<(), StageError> {
        self.tally.duplicates(std::mem::take(&mut self.duplicates));
        self.tally.reached(self.emission.partition(), self.sources.watermark());
        self.emit_corrections(store, out).map_err(|f| f.at(Offset(0)))
    }

    fn skip_output(&mut self) {
        // Closing without a log to write to cannot fail.
        if self.close_due(usize::MAX, &mut Discard).is_err() {
            tracing::error!("a silent replay failed to close a window");
        }
        self.corrections.clear();
        self.late_lines.clear();
        self.duplicates = 0;
    }

    fn resume_at(&mut self, cursor: &[u8]) {
        let mut from = Cursor::new(cursor);
        self.resume = from.i64().and_then(|start| Ok((start, from.u64()?))).ok();
    }

    fn replay_from(&self, position: Offset) -> Offset {
        position.min(self.origin().from).min(self.sources.replay_from().unwrap_or(position))
    }

    fn metadata(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_i64(&mut out, self.closed_through.0);
        put_u64(&mut out, self.control.0);
        self.origin().encode(&mut out);
        out
    }

    fn changes(&mut self, changes: &mut Changes) {
        self.save(changes);
    }

    fn held(&self) -> usize {
        // Only what a commit can move to the store counts: closed windows that were loaded for corrections.
        self.windows.range(..self.open_from()).map(|(_, state)| state.len() * (size_of::<Aggregate>() + 256)).sum()
    }
}

impl Close {
    /// Where a restore from nothing begins to apply messages in full.
    fn origin(&self) -> Origin {
        let known = [self.before, self.message, self.origins.first()].into_iter().flatten();
        known.min_by_key(|origin| origin.message).unwrap_or_else(|| self.sources.origin(self.next, self.closed_through))
    }
}

#[cfg(test)]
mod tests;
