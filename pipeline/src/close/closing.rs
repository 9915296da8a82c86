//! Windows on their way out: which of them closes next, who gets a place in it, what leaves CLOSE for it, and when it is forgotten.
//!
//! A window closes in parts when its records do not fit into one commit; a silent replay passes over what left before. What comes into
//! windows is the business of [`super`], and what the store keeps of them that of [`super::kept`].

use super::emission::{Closed, Written, shadow_key};
use super::index::{Index, Lost};
use super::keys::{self, KeyKind, in_window, of_window};
use super::{Close, Failure, Keep};
use crate::aggregate::Aggregate;
use crate::identity::sortable;
use crate::signal::completeness::Completeness;
use crate::signal::health::Level;
use platform_core::codec::{put_i64, put_u64};
use platform_core::record::{NewRecord, Partition};
use platform_core::stage::{Emit, Emitted};
use platform_core::store::{Change, Store};
use platform_core::time::EventTime;
use platform_core::window::{Window, WindowLength};
use std::collections::BTreeMap;

/// A window on its way out.
pub(super) struct Closing {
    window: Window,
    completeness: Completeness,
    /// Services in key order, each with its series in key order.
    plan: Vec<(u32, Vec<u32>)>,
    done: usize,
    written: Written,
}

impl Close {
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
    pub(super) fn open_from(&self) -> i64 {
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
    pub(super) fn close_due(&mut self, budget: usize, out: &mut dyn Emit) -> Result<Emitted, Failure> {
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
    pub(super) fn idle_now(&self) -> i64 {
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

    /// Whether it answers for the window that starts here.
    fn owns(&self, start: EventTime) -> bool {
        u64::from_be_bytes(sortable(start)) >= self.settings.owned_from
    }

    pub(super) fn emit_corrections(&mut self, store: &dyn Store, out: &mut dyn Emit) -> Result<(), Failure> {
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
pub(super) struct Discard;

impl Emit for Discard {
    fn append(&mut self, _to: &Partition, _record: NewRecord<'_>) -> Result<(), platform_core::log::CommitError> {
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}
