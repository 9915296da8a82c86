//! CLOSE, a keyed stage: partials of one partition in; finals, corrections, progress records and the lines of the late ledger out.
//!
//! Applies one message at a time, in log order. When the watermark passes a window's end, the window closes with the content it has *now*:
//! one final per series of each grouping (roll-ups are sums of the finest series), in the order of identities, then a progress record.
//! Entries of a window that is closed but retained make corrections: full totals, once per commit and key, as of their last change.
//! Nothing is dropped without a count. State is a fold over the partition: no clock, no randomness, no batch size enters it.
//! What CLOSE does not do: it numbers no revisions (that is the router's), and it does not judge lateness (that is FOLD's).

/// Records out of aggregates.
mod emission;
/// Samples of resources that wait for their windows.
mod gauges;
/// Known series and services, and the caps on them.
pub mod index;
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
use crate::identity::{sortable, unsortable};
use crate::overrides::rules::{Rules, Timeline};
use crate::resource::Resources;
use crate::signal::completeness::Completeness;
use crate::signal::health::Level;
use crate::tally::Tally;
use emission::{Closed, Emission, Written, shadow_key};
use gauges::Gauges;
use index::{Caps, Index, Lost};
use keys::{KeyKind, behind, in_window, of_window, split};
use origins::{Origin, Origins};
use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::planted::{Bug, planted};
use platform_core::record::{NewRecord, Offset, Partition, Record, Topic};
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

/// A window on its way out.
struct Closing {
    window: Window,
    completeness: Completeness,
    /// Services in key order, each with its series in key order.
    plan: Vec<(u32, Vec<u32>)>,
    done: usize,
    written: Written,
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

    /// The next window that the watermark has passed, if any.
    fn next_due(&mut self) -> Option<Window> {
        let watermark = self.sources.watermark();
        let length = self.settings.window;
        let held = self.windows.range(self.open_from()..).next().map(|(_, state)| state.window);
        let empty = self.next_empty(length);
        let next = match (held, empty) {
            (Some(held), Some(empty)) => Some(if held.start <= empty.start { held } else { empty }),
            (held, empty) => held.or(empty),
        };
        next.filter(|w| w.closed_by(watermark))
    }

    /// Start of the first window that can still be open.
    fn open_from(&self) -> i64 {
        self.closed_through.0
    }

    /// The next window in which a known service is silent.
    fn next_empty(&self, length: WindowLength) -> Option<Window> {
        if !self.settings.empty_windows || self.closed_through == EventTime::MIN {
            return None;
        }
        let next = length.window_of(self.closed_through);
        self.index.services().any(|(_, s)| self.is_known(s.last_closed, next)).then_some(next)
    }

    /// Whether a service whose newest closed window with an event starts at `last` is still known in `window`. What it has in later windows
    /// says nothing of this one.
    fn is_known(&self, last: i64, window: Window) -> bool {
        last > i64::MIN && last >= window.start.plus(-self.settings.series_ttl).0
    }

    /// Closes a window: decides which series keep a place, and plans its records.
    fn begin(&mut self, window: Window) {
        self.settle(window);
        let mut by_service: BTreeMap<Box<[u8]>, (u32, Vec<u32>)> = BTreeMap::new();
        if let Some(state) = self.windows.get(&window.start.0) {
            for series in state.series() {
                let Some(known) = self.index.series(series) else { continue };
                let Some(service) = self.index.service(known.service) else { continue };
                match by_service.get_mut(&service.key) {
                    Some((_, list)) => list.push(series),
                    None => drop(by_service.insert(service.key.clone(), (known.service, vec![series]))),
                }
            }
        }
        if self.settings.empty_windows {
            for (number, service) in self.index.services().filter(|(_, s)| self.is_known(s.last_closed, window)) {
                by_service.entry(service.key.clone()).or_insert_with(|| (number, vec![]));
            }
        }
        let mut plan: Vec<(u32, Vec<u32>)> = by_service.into_values().collect();
        for (_, list) in &mut plan {
            list.sort_unstable_by(|a, b| self.index.series(*a).map(|s| &s.key).cmp(&self.index.series(*b).map(|s| &s.key)));
        }
        for (service, _) in plan.iter().filter(|(_, list)| !list.is_empty()) {
            if let Some(known) = self.index.service_mut(*service) {
                known.last_closed = known.last_closed.max(window.start.0);
            }
        }
        let completeness = self.sources.completeness(window);
        if !completeness.is_full() {
            self.note_incomplete(window, completeness);
        }
        self.closing = Some(Closing { window, completeness, plan, done: 0, written: Written::default() });
    }

    /// Gives free places to new series, by errors, then requests, then name; what gets none becomes overflow.
    fn settle(&mut self, window: Window) {
        let Some(state) = self.windows.get_mut(&window.start.0) else { return };
        let index = &mut self.index;
        let dimensions = self.settings.groupings.dimensions().len();
        let mut waiting: Vec<u32> = state.series().filter(|s| index.series(*s).is_some_and(|s| !s.admitted)).collect();
        let rank = |index: &Index, series: u32| {
            let counts = state.get(series).map(|a| *a.counts()).unwrap_or_default();
            let key = index.series(series).map(|s| s.key.clone()).unwrap_or_default();
            (std::cmp::Reverse(counts.errors), std::cmp::Reverse(counts.requests()), key)
        };
        // Ranking is only worth it when places are short.
        let mut wanting: BTreeMap<u32, usize> = BTreeMap::new();
        for series in waiting.iter().filter_map(|s| index.series(*s)) {
            *wanting.entry(series.service).or_default() += 1;
        }
        let full = |(service, count): (&u32, &usize)| {
            index.service(*service).is_some_and(|s| s.admitted + count > index.caps().series_per_service)
        };
        if index.admitted() + waiting.len() > index.caps().series_total || wanting.iter().any(full) {
            waiting.sort_by_cached_key(|s| rank(index, *s));
        }
        for series in waiting {
            let Some(service) = index.series(series).map(|s| s.service) else { continue };
            let overflow = index.overflow_key(service, dimensions);
            if dimensions == 0 || index.series(series).is_some_and(|s| *s.key == *overflow) {
                continue;
            }
            if index.has_place(service) {
                index.admit(series);
                if let Some(series) = index.series(series) {
                    self.pending.put(&keys::admitted(&series.key), vec![]);
                }
                continue;
            }
            if let Some(key) = index.series(series).map(|s| s.key.clone()) {
                self.pending.delete(&in_window(KeyKind::Aggregate, window.start, &key));
            }
            let into = index.intern(&overflow, service);
            index.touch(into, window.start.0, false);
            if let Some(aggregate) = state.take(series, service) {
                // A sum of sums that each were bounded when they were read cannot pass 63 bits here.
                if state.change(into, service).merge(&aggregate).is_err() {
                    tracing::error!("the overflow series is full");
                }
            }
        }
    }

    /// Closes what is due.
    fn close_due(&mut self, budget: usize, out: &mut dyn Emit) -> Result<Emitted, Failure> {
        loop {
            if self.closing.is_none() {
                let Some(window) = self.next_due() else { return Ok(Emitted::All) };
                self.begin(window);
            }
            let Some(mut closing) = self.closing.take() else { return Ok(Emitted::All) };
            while let Some((service, list)) = closing.plan.get(closing.done) {
                let skip = !self.owns(closing.window.start)
                    || self.resume.is_some_and(|(start, done)| (closing.window.start.0, closing.done as u64) < (start, done));
                let target: &mut dyn Emit = if skip { &mut Discard } else { &mut *out };
                let written = self.close_service(&closing, *service, list, target)?;
                closing.written.add(&written);
                closing.done += 1;
                if !skip && out.size() >= budget {
                    let mut cursor = Vec::new();
                    put_i64(&mut cursor, closing.window.start.0);
                    put_u64(&mut cursor, closing.done as u64);
                    self.closing = Some(closing);
                    return Ok(Emitted::Part(cursor));
                }
            }
            let skip = !self.owns(closing.window.start) || self.resume.is_some_and(|(start, _)| closing.window.start.0 < start);
            if self.resume.is_some_and(|(start, _)| closing.window.start.0 >= start) {
                self.resume = None;
            }
            let target: &mut dyn Emit = if skip { &mut Discard } else { &mut *out };
            self.finish(&closing, target)?;
        }
    }

    /// The finals of one service.
    fn close_service(&mut self, closing: &Closing, service: u32, list: &[u32], out: &mut dyn Emit) -> Result<Written, Failure> {
        let state = self.windows.get(&closing.window.start.0);
        let series: Vec<(&[u8], &Aggregate)> =
            list.iter().filter_map(|s| Some((&*self.index.series(*s)?.key, state.and_then(|w| w.get(*s))?))).collect();
        let Some(known) = self.index.service(service) else { return Ok(Written::default()) };
        let ttl = self.settings.series_ttl;
        let previous = |level: Option<(u8, i64)>| level.filter(|(_, at)| *at >= closing.window.start.plus(-ttl).0).map(|(level, _)| level);
        let index = &self.index;
        let mut levels: Vec<(Box<[u8]>, u8, Option<u8>)> = Vec::new();
        let written = self.emission.service(
            &Closed {
                window: closing.window,
                completeness: closing.completeness,
                version: self.timeline.in_force(closing.window.start).map(|version| &**version),
                resources: self.gauges.get(closing.window.start, &known.key),
            },
            &known.key,
            &series,
            None,
            &mut |key| {
                let level = match key {
                    key if *key == *known.key => known.level,
                    key if key.strip_prefix(&*known.key) == Some(b"\xff") => known.shadow_level,
                    key => index.find(key).and_then(|s| index.series(s)?.level),
                };
                previous(level).unwrap_or(Level::Healthy.number())
            },
            &mut |key, before, level| levels.push((key.into(), before, level)),
            out,
        )?;
        for (key, before, level) in levels {
            if self.settings.keep != Keep::Nothing {
                self.pending.put(&in_window(KeyKind::Health, closing.window.start, &key), vec![before, level.unwrap_or(u8::MAX)]);
            }
            let Some(level) = level else { continue };
            let noted = Some((level, closing.window.start.0));
            if self.settings.keep != Keep::Nothing {
                let at = sortable(closing.window.start);
                self.pending.put(&keys::level(&key), [&[level][..], &at].concat());
            }
            if self.index.service(service).is_some_and(|s| *s.key == *key) {
                if let Some(known) = self.index.service_mut(service) {
                    known.level = noted;
                }
            } else if self.index.service(service).is_some_and(|s| *shadow_key(&s.key) == *key) {
                if let Some(known) = self.index.service_mut(service) {
                    known.shadow_level = noted;
                }
            } else if let Some(known) = self.index.find(&key).and_then(|s| self.index.series_mut(s)) {
                known.level = noted;
            }
        }
        Ok(written)
    }

    /// The end of a closing: late ledger, progress record, expiry.
    fn finish(&mut self, closing: &Closing, out: &mut dyn Emit) -> Result<(), Failure> {
        let window = closing.window;
        for (key, aggregate) in self.windows.get(&window.start.0).iter().flat_map(|state| &state.late) {
            self.emission.late(window, key, aggregate, out)?;
        }
        let times = (self.sources.watermark(), self.purged_through);
        self.emission.progress(window, times, &closing.written, out)?;
        self.closed_through = self.closed_through.max(window.end);
        if self.settings.keep == Keep::Nothing {
            self.windows.remove(&window.start.0);
            self.gauges.forget(window.start);
        } else if let Some(state) = self.windows.get_mut(&window.start.0) {
            state.whole = true;
        }
        self.purge();
        let oldest_held = self.windows.keys().next().copied().unwrap_or(i64::MAX);
        let idle_before = self.idle_before(window);
        // Numbers of series may be used again only when nothing in memory holds them any more.
        let pending = &mut self.pending;
        self.index.expire(idle_before, idle_before <= oldest_held, |lost| match lost {
            Lost::Place(key) => pending.delete(&keys::admitted(key)),
            Lost::Level(key) => pending.delete(&keys::level(key)),
            Lost::ShadowLevel(service) => pending.delete(&keys::level(&shadow_key(service))),
        });
        Ok(())
    }

    /// What has no event in a window from here on is idle once `window` is closed.
    fn idle_before(&self, window: Window) -> i64 {
        window.start.plus(-self.settings.series_ttl).0
    }

    /// The same as of the newest closed window.
    fn idle_now(&self) -> i64 {
        if self.closed_through == EventTime::MIN {
            i64::MIN
        } else {
            self.idle_before(self.settings.window.window_ending(self.closed_through))
        }
    }

    /// Forgets windows that nothing can reach any more: `retain` behind the least watermark of all partitions.
    fn purge(&mut self) {
        // The watermark may be far ahead of what is closed. Who is not idle yet is known by its windows after a restart: these stay.
        let known = EventTime(self.idle_now());
        let mut through = self.sources.least().plus(-self.settings.retain).min(self.closed_through).min(known);
        // What still has to leave stays until it has left.
        if let Some(((start, _), _)) = self.corrections.first_key_value() {
            through = through.min(EventTime(*start));
        }
        if let Some((start, _)) = self.late_lines.first() {
            through = through.min(EventTime(*start));
        }
        if through <= self.purged_through {
            return;
        }
        // Whole windows: one that is kept may still be corrected, and progress records say so to those who remember what was published.
        let through = self.settings.window.window_of(through).start;
        if through <= self.purged_through {
            return;
        }
        self.purged_through = through;
        self.windows.retain(|_, state| !state.window.closed_by(through));
        self.gauges.forget_before(through);
        self.incomplete.retain(|start, _| *start >= through.0);
        self.origins.forget_before(through);
        if self.settings.keep != Keep::Nothing {
            for kind in [KeyKind::Aggregate, KeyKind::Health, KeyKind::Unique, KeyKind::Incomplete, KeyKind::LateLine, KeyKind::Gauges] {
                self.pending.delete_range(&[kind as u8], &of_window(kind, through));
            }
        }
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

    /// Whether it answers for the window that starts here.
    fn owns(&self, start: EventTime) -> bool {
        u64::from_be_bytes(sortable(start)) >= self.settings.owned_from
    }

    fn emit_corrections(&mut self, store: &dyn Store, out: &mut dyn Emit) -> Result<(), Failure> {
        for ((start, service_key), changed) in std::mem::take(&mut self.corrections) {
            if !self.owns(EventTime(start)) {
                continue;
            }
            let window = self.settings.window.window_of(EventTime(start));
            let service = self.index.named_service(&service_key);
            self.load(window, service, store)?;
            let Some(state) = self.windows.get(&start) else { continue };
            let mut series: Vec<(&[u8], &Aggregate)> = state
                .series()
                .filter_map(|s| self.index.series(s).filter(|k| k.service == service).map(|k| (&*k.key, s)))
                .filter_map(|(key, s)| Some((key, state.get(s)?)))
                .collect();
            series.sort_unstable_by_key(|(key, _)| *key);
            let completeness = self.incomplete.get(&start).copied().unwrap_or(Completeness::FULL);
            let mut unreadable = None;
            let mut before = |key: &[u8]| {
                let key = in_window(KeyKind::Health, window.start, key);
                let pending = self.pending.list.iter().rev().find_map(|c| match c {
                    Change::Put(k, v) if *k == key => Some(v.clone()),
                    _ => None,
                });
                let stored = pending.map_or_else(|| store.get(&key), |v| Ok(Some(v)));
                stored
                    .unwrap_or_else(|error| {
                        unreadable = Some(error);
                        None
                    })
                    .and_then(|v| v.first().copied())
                    .unwrap_or(0)
            };
            let version = self.timeline.in_force(window.start).map(|version| &**version);
            let resources = match changed.resources {
                Some(resources) => resources,
                None => self.gauges.find(window.start, &service_key, store)?,
            };
            let closed = Closed { window, completeness, version, resources: resources.as_ref() };
            self.emission.service(&closed, &service_key, &series, Some(&changed.series), &mut before, &mut |_, _, _| {}, out)?;
            if let Some(error) = unreadable {
                return Err(error.into());
            }
        }
        for (start, key) in std::mem::take(&mut self.late_lines) {
            if !self.owns(EventTime(start)) {
                continue;
            }
            let line = self.windows.get(&start).and_then(|state| Some((state.window, state.late.get(&key)?)));
            if let Some((window, aggregate)) = line {
                self.emission.late(window, &key, aggregate, out)?;
            }
        }
        self.purge();
        Ok(())
    }
}

/// Takes outputs that were committed before, in a silent replay.
struct Discard;

impl Emit for Discard {
    fn append(&mut self, _to: &Partition, _record: NewRecord<'_>) -> Result<(), platform_core::log::CommitError> {
        Ok(())
    }

    fn size(&self) -> usize {
        0
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

    fn save(&mut self, changes: &mut Changes) {
        changes.list.append(&mut self.pending.list);
        let keep = self.settings.keep;
        if keep == Keep::Nothing {
            changes.list.clear();
            return;
        }
        let (index, closed_through) = (&self.index, self.closed_through);
        for state in self.windows.values_mut().filter(|s| keep == Keep::All || s.window.closed_by(closed_through)) {
            let start = state.window.start;
            state.save(|series, aggregate| {
                let Some(series) = index.series(series) else { return };
                let mut value = Vec::new();
                aggregate.encode(&mut value);
                changes.put(&in_window(KeyKind::Aggregate, start, &series.key), value);
            });
            for id in state.unsaved_ids.drain(..) {
                changes.put(&in_window(KeyKind::Unique, start, &id.to_be_bytes()), vec![]);
            }
            for (key, aggregate) in &state.late {
                let mut value = Vec::new();
                aggregate.encode(&mut value);
                changes.put(&in_window(KeyKind::LateLine, start, key), value);
            }
        }
        let length = self.settings.window;
        let closed = |start| length.window_of(EventTime(start)).closed_by(closed_through);
        self.gauges.save(|start| keep == Keep::All || closed(start), closed, changes);
        // What is closed lives in the store from now on; late events bring it back.
        self.windows.retain(|_, state| !state.window.closed_by(closed_through));
        let mut meta = Vec::new();
        self.sources.encode(&mut meta);
        put_i64(&mut meta, self.closed_through.0);
        put_i64(&mut meta, self.purged_through.0);
        put_u64(&mut meta, u64::from(self.next_chunk));
        meta.push(u8::from(self.passing_over) | u8::from(self.torn) << 1 | u8::from(self.before.is_some()) << 2);
        put_u64(&mut meta, self.next.0);
        meta.push(u8::from(self.message.is_some()));
        if let Some(message) = &self.message {
            message.encode(&mut meta);
        }
        self.origins.encode(&mut meta);
        put_u64(&mut meta, self.control.0);
        if let Some(before) = &self.before {
            before.encode(&mut meta);
        }
        changes.put(&keys::meta(), meta);
    }

    /// `false`: the store is empty.
    fn restore_from(&mut self, store: &dyn Store) -> Result<bool, Failure> {
        let Some(meta) = store.get(&keys::meta())? else { return Ok(false) };
        let mut from = Cursor::new(&meta);
        self.sources = Sources::decode(&mut from, &self.settings.declared, self.settings.hold)?;
        self.closed_through = EventTime(from.i64()?);
        self.purged_through = EventTime(from.i64()?);
        self.next_chunk = u32::try_from(from.u64()?).unwrap_or(0);
        let flags = from.u8()?;
        (self.passing_over, self.torn) = (flags & 1 != 0, flags & 2 != 0);
        self.next = Offset(from.u64()?);
        self.message = if from.u8()? == 1 { Some(Origin::decode(&mut from)?) } else { None };
        self.origins = Origins::decode(&mut from)?;
        self.control = Offset(from.u64()?);
        // Restored from nothing once, and the message from which on everything is applied has not come yet.
        self.before = if flags & 4 != 0 { Some(Origin::decode(&mut from)?) } else { None };
        self.restore_windows(store)?;
        self.gauges.restore(self.closed_through, store)?;
        self.restore_levels(store)?;
        let prefix = [KeyKind::Incomplete as u8];
        let incomplete = &mut self.incomplete;
        store.scan(&prefix, &behind(&prefix), &mut |key, value| {
            let millionths = Cursor::new(value).u64().unwrap_or(0);
            incomplete
                .extend(split(key).map(|(start, _)| (start.0, Completeness::from_millionths(u32::try_from(millionths).unwrap_or(0)))));
        })?;
        Ok(true)
    }

    /// Open windows come into memory; of closed ones only who is known.
    fn restore_windows(&mut self, store: &dyn Store) -> Result<(), Failure> {
        let (length, closed_through) = (self.settings.window, self.closed_through);
        let idle_before = self.idle_now();
        let (index, windows) = (&mut self.index, &mut self.windows);
        index.expire(idle_before, true, |_| {});
        let mut damaged = None;
        store.scan(&of_window(KeyKind::Aggregate, EventTime(idle_before)), &behind(&[KeyKind::Aggregate as u8]), &mut |key, value| {
            let Some((start, key)) = split(key) else { return };
            let window = length.window_of(start);
            let closed = window.closed_by(closed_through);
            let service = index.named_service(key);
            let series = index.intern(key, service);
            index.touch(series, start.0, closed);
            if closed {
                return;
            }
            let state = windows.entry(start.0).or_insert_with(|| WindowState::new(window));
            match Aggregate::decode(&mut Cursor::new(value)) {
                Ok(aggregate) => state.load(series, service, aggregate),
                Err(error) => damaged = Some(error),
            }
        })?;
        let prefix = [KeyKind::Admitted as u8];
        store.scan(&prefix, &behind(&prefix), &mut |key, _| {
            if let Some(series) = key.get(1..).and_then(|key| index.find(key)) {
                index.admit(series);
            }
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
        for kind in [KeyKind::Unique, KeyKind::LateLine] {
            let first = of_window(kind, closed_through);
            store.scan(&first, &behind(&[kind as u8]), &mut |key, value| {
                let Some((start, rest)) = split(key) else { return };
                let state = windows.entry(start.0).or_insert_with(|| WindowState::new(length.window_of(start)));
                match kind {
                    KeyKind::Unique => state.ids.extend(rest.try_into().ok().map(u128::from_be_bytes)),
                    _ => state.late.extend(Aggregate::decode(&mut Cursor::new(value)).ok().map(|a| (rest.to_vec(), a))),
                }
            })?;
        }
        Ok(())
    }

    /// The last levels of those who are known. What became idle and was woken by a late event has none, as before the restart.
    fn restore_levels(&mut self, store: &dyn Store) -> Result<(), Failure> {
        let index = &mut self.index;
        let prefix = [KeyKind::Level as u8];
        store.scan(&prefix, &behind(&prefix), &mut |key, value| {
            let (Some(key), Some((level, at))) = (key.get(1..), value.split_first()) else { return };
            let Some(at) = at.first_chunk().map(|at| unsortable(*at)) else { return };
            let noted = Some((*level, at.0));
            if let Some(tried) = key.strip_suffix(b"\xff").and_then(|head| index.find_service(head)) {
                index.service_mut(tried).into_iter().for_each(|service| service.shadow_level = noted);
                return;
            }
            let service = index.find_service(key).filter(|s| index.service(*s).is_some_and(|s| *s.key == *key));
            if let Some(known) = service.and_then(|s| index.service_mut(s)) {
                known.level = noted;
            } else if let Some(known) = index.find(key).and_then(|s| index.series_mut(s)) {
                known.level = noted;
            }
        })?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
