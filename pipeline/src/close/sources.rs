//! What CLOSE knows of the source partitions: what was applied, how far their watermarks are, and which are absent.
//!
//! A partition that for `hold` of log-active time neither advanced nor was claimed idle is *absent*: windows close without it and say so.
//! Log-active time is that of this partition's own messages, and a gap between two counts as at most two seconds: after an outage of
//! everything, not everyone is absent. Facts in, decisions out; reads no clock.

use super::origins::Origin;
use crate::fold::partial::Range;
use crate::signal::completeness::Completeness;
use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::invariants::ranges_are_contiguous;
use platform_core::planted::{Bug, planted};
use platform_core::record::Offset;
use platform_core::time::{AppendTime, EventTime, SECOND};
use platform_core::watermark::combine;
use platform_core::window::Window;
use std::collections::VecDeque;

/// Largest step of log-active time between two messages, in ns.
const LARGEST_STEP: i64 = 2 * SECOND;
/// Parts of `hold` by which messages are remembered for a restore from nothing.
const MARKS: i64 = 8;

/// How a range fits behind what was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It follows.
    Next,
    /// All of it was applied before.
    Replayed,
    /// Something between is missing, or it overlaps.
    Torn,
}

/// One declared source partition.
#[derive(Clone, Copy, Debug)]
struct Source {
    /// Its place among those of all sources.
    place: u32,
    /// Next offset to come; `None` before the first range.
    applied: Option<Offset>,
    /// `MIN` before any was said.
    watermark: EventTime,
    /// Log-active time when it last advanced or was claimed idle.
    moved_at: i64,
    /// Message that brought the watermark.
    at: Offset,
    /// Up to this event time its input has a gap.
    gap_until: Option<EventTime>,
}

impl Default for Source {
    fn default() -> Self {
        Self { place: 0, applied: None, watermark: EventTime::MIN, moved_at: 0, at: Offset(0), gap_until: None }
    }
}

/// All declared source partitions, as one partition of `partials` sees them.
#[derive(Clone, Debug)]
pub struct Sources {
    /// By place, ascending.
    list: Vec<Source>,
    hold: i64,
    active: i64,
    last_append: Option<AppendTime>,
    watermark: EventTime,
    ended: bool,
    /// Messages and the log-active time at them, a part of `hold` apart: the first one lies further back than `hold`, if any does.
    marks: VecDeque<(Offset, i64)>,
}

impl Sources {
    /// Declared partitions by their places, none of which has said anything.
    #[must_use]
    pub fn new(declared: &[u32], hold: i64) -> Self {
        let mut list: Vec<Source> = declared.iter().map(|place| Source { place: *place, ..Source::default() }).collect();
        list.sort_unstable_by_key(|source| source.place);
        Self { list, hold, active: 0, last_append: None, watermark: EventTime::MIN, ended: false, marks: VecDeque::new() }
    }

    fn find(&self, place: u32) -> Option<usize> {
        self.list.binary_search_by_key(&place, |source| source.place).ok()
    }

    /// How a range fits. Of a partition that has said nothing the first range is adopted.
    #[must_use]
    pub fn fit(&self, range: &Range) -> Fit {
        let applied = self.find(range.source).and_then(|at| self.list.get(at)).and_then(|s| s.applied);
        match applied {
            None => Fit::Next,
            Some(applied) if ranges_are_contiguous(applied, range.from, range.to) => Fit::Next,
            Some(applied) if range.to <= applied => Fit::Replayed,
            Some(_) => Fit::Torn,
        }
    }

    /// A message came; `append` moves log-active time.
    pub fn tick(&mut self, message: Offset, append: Option<AppendTime>) {
        #[cfg(planted)]
        let append = if planted(Bug::ClockInClose) { Some(AppendTime(platform_core::planted::now())) } else { append };
        if let Some(append) = append {
            let step = self.last_append.map_or(0, |last| append.0.saturating_sub(last.0));
            let largest = if planted(Bug::AbsenceByGaps) { i64::MAX } else { LARGEST_STEP };
            self.active = self.active.saturating_add(step.clamp(0, largest));
            self.last_append = Some(self.last_append.map_or(append, |last| last.max(append)));
        }
        if self.marks.back().is_none_or(|(_, at)| self.active - at >= self.hold / MARKS) {
            self.marks.push_back((message, self.active));
            while self.marks.get(1).is_some_and(|(_, at)| self.active - at > self.hold) {
                self.marks.pop_front();
            }
        }
    }

    /// Applies a range of the message that starts at `message`. A torn one leaves a gap: every window open now is incomplete. Now is the log's
    /// time, for what is missing may be newer than all that was said: a FOLD that has begun again says nothing of time before it has read.
    pub fn apply(&mut self, range: &Range, fit: Fit, message: Offset) {
        let active = self.active;
        let Some(source) = self.find(range.source).and_then(|at| self.list.get_mut(at)) else { return };
        // A fact of the message alone: a restart that begins at any message in between knows as much.
        let moved = range.from < range.to || range.idle;
        source.applied = Some(source.applied.map_or(range.to, |applied| applied.max(range.to)));
        // A FOLD that has begun again says less until it has read something.
        if source.watermark <= range.watermark {
            source.at = message;
        }
        source.watermark = source.watermark.max(range.watermark);
        if moved {
            source.moved_at = active;
        }
        if fit == Fit::Torn {
            let now = self.last_append.map_or(EventTime::MIN, |append| EventTime(append.0));
            source.gap_until = Some(source.watermark.max(now).plus(1));
        }
    }

    /// The bounded input has ended: every window closes.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Whether the partition at `place` is absent.
    #[must_use]
    pub fn is_absent(&self, place: usize) -> bool {
        self.list.get(place).is_some_and(|s| self.active.saturating_sub(s.moved_at) > self.hold)
    }

    /// The partition's watermark now: the least of those that are not absent. Never goes back.
    pub fn watermark(&mut self) -> EventTime {
        let present = self.list.iter().enumerate().filter(|(place, _)| !self.is_absent(*place));
        let times: Vec<EventTime> = present.map(|(_, s)| s.watermark).collect();
        self.watermark = if self.ended { EventTime::MAX } else { combine(self.watermark, times.into_iter()) };
        self.watermark
    }

    /// The least watermark of *all* partitions, absent ones too: nothing that will still count is older than this less `retain`.
    #[must_use]
    pub fn least(&self) -> EventTime {
        if self.ended {
            return EventTime::MAX;
        }
        let counts = |place: usize| !planted(Bug::PurgePastAbsent) || !self.is_absent(place);
        let all = self.list.iter().enumerate().filter(|(place, _)| counts(*place));
        all.map(|(_, s)| s.watermark).min().unwrap_or(EventTime::MIN)
    }

    /// First message that a restore from nothing needs to know the watermarks again, and who is absent: whoever has not moved for `hold`.
    #[must_use]
    pub fn replay_from(&self) -> Option<Offset> {
        let watermarks = self.list.iter().filter(|s| s.watermark > EventTime::MIN).map(|s| s.at);
        watermarks.chain(self.marks.front().map(|(message, _)| *message)).min()
    }

    /// What was decided before `message`, the one that comes next.
    #[must_use]
    pub fn origin(&self, message: Offset, closed_through: EventTime) -> Origin {
        let from = self.replay_from().map_or(message, |from| from.min(message));
        Origin { message, from, watermark: self.watermark, closed_through }
    }

    /// It was decided before, by messages that are not read again, that the watermark is here.
    pub fn decided(&mut self, watermark: EventTime) {
        self.watermark = self.watermark.max(watermark);
    }

    /// Whether every partition, absent ones too, has passed a window's end.
    #[must_use]
    pub fn have_passed(&self, window: Window) -> bool {
        self.ended || self.list.iter().all(|s| window.closed_by(s.watermark))
    }

    /// Share of a window's input that was seen. A bounded input without declared partitions is complete once it has ended.
    #[must_use]
    pub fn completeness(&self, window: Window) -> Completeness {
        if self.ended && self.list.iter().all(|s| s.gap_until.is_none()) {
            return Completeness::FULL;
        }
        Completeness::of(window, self.list.iter().map(|s| Some(s.watermark).filter(|_| s.gap_until.is_none_or(|gap| window.start >= gap))))
    }

    /// Appends all of it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.list.len() as u64);
        for source in &self.list {
            put_u64(out, u64::from(source.place));
            put_u64(out, source.applied.map_or(0, |o| o.0 + 1));
            put_i64(out, source.watermark.0);
            put_i64(out, source.moved_at);
            put_u64(out, source.at.0);
            put_i64(out, source.gap_until.map_or(i64::MIN, |g| g.0));
        }
        put_i64(out, self.active);
        put_i64(out, self.last_append.map_or(i64::MIN, |a| a.0));
        put_i64(out, self.watermark.0);
        out.push(u8::from(self.ended));
        put_u64(out, self.marks.len() as u64);
        for (message, active) in &self.marks {
            put_u64(out, message.0);
            put_i64(out, *active);
        }
    }

    /// Reads what `encode` wrote; what is declared now and was not then has said nothing.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(from: &mut Cursor<'_>, declared: &[u32], hold: i64) -> Result<Self, CodecError> {
        let some = |time: i64| (time != i64::MIN).then_some(time);
        let mut sources = Self::new(declared, hold);
        for _ in 0..from.count()? {
            let place = from.u64()?;
            let applied = from.u64()?.checked_sub(1).map(Offset);
            let watermark = EventTime(from.i64()?);
            let moved_at = from.i64()?;
            let at = Offset(from.u64()?);
            let gap_until = some(from.i64()?).map(EventTime);
            let place = u32::try_from(place).map_err(|_| CodecError::Unknown { what: "place of a source", value: place })?;
            if let Some(known) = sources.find(place).and_then(|found| sources.list.get_mut(found)) {
                *known = Source { place, applied, watermark, moved_at, at, gap_until };
            }
        }
        sources.active = from.i64()?;
        sources.last_append = some(from.i64()?).map(AppendTime);
        sources.watermark = EventTime(from.i64()?);
        sources.ended = from.u8()? == 1;
        for _ in 0..from.count()? {
            sources.marks.push_back((Offset(from.u64()?), from.i64()?));
        }
        Ok(sources)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(source: u32, from: u64, to: u64, watermark: i64) -> Range {
        Range { source, from: Offset(from), to: Offset(to), idle: from == to, watermark: EventTime(watermark) }
    }

    fn apply(sources: &mut Sources, r: Range) -> Fit {
        let fit = sources.fit(&r);
        sources.apply(&r, fit, Offset(r.from.0));
        fit
    }

    #[test]
    fn the_first_range_is_adopted_and_later_ones_must_follow() {
        let mut sources = Sources::new(&[0], 100);
        assert_eq!(apply(&mut sources, range(0, 5, 9, 1)), Fit::Next);
        assert_eq!(sources.fit(&range(0, 5, 9, 1)), Fit::Replayed);
        assert_eq!(sources.fit(&range(0, 10, 12, 1)), Fit::Torn);
        assert_eq!(sources.fit(&range(0, 8, 12, 1)), Fit::Torn);
        assert_eq!(apply(&mut sources, range(0, 9, 9, 7)), Fit::Next);
    }

    #[test]
    fn a_partition_that_has_said_nothing_holds_the_watermark_until_it_is_absent() {
        let mut sources = Sources::new(&[0, 1], 45 * SECOND);
        for second in 0..=46 {
            sources.tick(Offset(second as u64), Some(AppendTime(second * SECOND)));
            apply(&mut sources, range(0, second as u64, second as u64 + 1, second));
            let expected = if second <= 45 { EventTime::MIN } else { EventTime(second) };
            assert_eq!(sources.watermark(), expected, "at {second}");
        }
        assert_eq!(sources.least(), EventTime::MIN);
        apply(&mut sources, range(1, 0, 1, 3));
        assert_eq!(sources.watermark(), EventTime(46));
    }

    #[test]
    fn a_restore_from_nothing_needs_the_newest_watermark_of_each_and_what_came_within_hold() {
        for declared in [&[0][..], &[0, 1]] {
            let mut sources = Sources::new(declared, 10 * SECOND);
            for second in 0..30_i64 {
                let message = Offset(second.unsigned_abs());
                sources.tick(message, Some(AppendTime(second * SECOND)));
                for source in if second == 3 { 0..2 } else { 0..1 } {
                    let r = range(source, message.0, message.0 + 1, second);
                    sources.apply(&r, Fit::Next, message);
                }
            }
            let from = sources.replay_from().unwrap().0;
            assert!(if declared.len() == 1 { (15..=19).contains(&from) } else { from == 3 }, "{from} of {declared:?}");
        }
    }

    #[test]
    fn after_an_outage_of_everything_nobody_is_absent() {
        let mut sources = Sources::new(&[0, 1], 45 * SECOND);
        sources.tick(Offset(0), Some(AppendTime(0)));
        sources.tick(Offset(1), Some(AppendTime(3600 * SECOND)));
        assert!(!sources.is_absent(0) && !sources.is_absent(1));
    }

    #[test]
    fn completeness_is_the_mean_share_and_a_gap_counts_nothing() {
        let window = Window { start: EventTime(0), end: EventTime(60) };
        let mut sources = Sources::new(&[0, 1], 100);
        assert_eq!(sources.completeness(window), Completeness::NONE);
        apply(&mut sources, range(0, 0, 1, 60));
        assert_eq!(sources.completeness(window).millionths(), 500_000);
        apply(&mut sources, range(1, 0, 1, 20));
        assert_eq!(sources.completeness(window).millionths(), 666_666);
        apply(&mut sources, range(1, 2, 3, 70));
        assert_eq!(sources.completeness(window).millionths(), 500_000);
        assert_eq!(sources.completeness(Window { start: EventTime(120), end: EventTime(180) }), Completeness::NONE);
    }

    #[test]
    fn what_is_stored_comes_back() {
        let mut sources = Sources::new(&[0, 1], 100);
        sources.tick(Offset(0), Some(AppendTime(7)));
        apply(&mut sources, range(0, 3, 9, 60));
        let (mut bytes, mut again) = (vec![], vec![]);
        sources.encode(&mut bytes);
        Sources::decode(&mut Cursor::new(&bytes), &[0, 1], 100).unwrap().encode(&mut again);
        assert_eq!(bytes, again);
    }
}
