//! Watermarks: no earlier event time is expected in revision 0.
//!
//! Of one source partition, over its records: `max(min(event_time, t_in), t_in - hold) - bound`. Clamped above by the append time
//! `t_in`, so that a fast clock closes nothing early; clamped below by `t_in - hold`, so that a slow one holds nobody up.
//! A record without a usable event time (bad, skipped) counts with its append time alone.
//! Idleness is a fact, not a timeout: an idle claim needs a broker time that was known *before* the partition's end was asked for,
//! because then every record not yet seen has a later append time. Nothing here ever goes back.

use crate::planted::{Bug, planted};
use crate::time::{AppendTime, EventTime};

/// The clamps of a source partition's watermark, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkLimits {
    /// How far an event may lie behind the newest of its partition and still be on time.
    pub bound: i64,
    /// How long one silent or slow-clocked partition may hold back everyone.
    pub hold: i64,
    /// Assumed largest difference between broker clocks.
    pub broker_skew: i64,
}

/// Watermark of one source partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionWatermark(EventTime);

impl Default for PartitionWatermark {
    fn default() -> Self {
        Self(EventTime::MIN)
    }
}

impl PartitionWatermark {
    /// A watermark restored from where it stood.
    #[must_use]
    pub fn at(time: EventTime) -> Self {
        Self(time)
    }

    /// Where it stands.
    #[must_use]
    pub fn time(self) -> EventTime {
        self.0
    }

    /// A record with a usable event time was read.
    pub fn observe(&mut self, event: EventTime, append: AppendTime, limits: &WatermarkLimits) {
        let above = if planted(Bug::NoClampAbove) { EventTime::MAX } else { append.as_event_time() };
        let below = if planted(Bug::NoClampBelow) { EventTime::MIN } else { append.as_event_time().plus(-limits.hold) };
        let clamped = event.min(above).max(below);
        self.advance(clamped.plus(-limits.bound));
    }

    /// A record without a usable event time was read.
    pub fn observe_append(&mut self, append: AppendTime, limits: &WatermarkLimits) {
        self.advance(append.as_event_time().plus(-limits.hold).plus(-limits.bound));
    }

    /// The partition was read to its end, and `known_before` is a broker time from before that end was asked for.
    pub fn claim_idle(&mut self, known_before: AppendTime, limits: &WatermarkLimits) {
        self.advance(known_before.as_event_time().plus(-limits.broker_skew).plus(-limits.bound));
    }

    /// Moves forward to `time`; a step back is no step.
    pub fn advance(&mut self, time: EventTime) {
        self.0 = self.0.max(time);
    }
}

/// The watermark over several partitions: the smallest of theirs, never going back, and staying where it is when there are none.
pub fn combine(current: EventTime, partitions: impl Iterator<Item = EventTime>) -> EventTime {
    partitions.min().map_or(current, |least| current.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::SECOND;

    const LIMITS: WatermarkLimits = WatermarkLimits { bound: 30 * SECOND, hold: 45 * SECOND, broker_skew: SECOND };

    #[test]
    fn a_fast_clock_closes_nothing_early() {
        let mut wm = PartitionWatermark::default();
        wm.observe(EventTime(9_000 * SECOND), AppendTime(100 * SECOND), &LIMITS);
        assert_eq!(wm.time(), EventTime(70 * SECOND));
    }

    #[test]
    fn a_slow_clock_holds_nobody_up_for_longer_than_hold() {
        let mut wm = PartitionWatermark::default();
        wm.observe(EventTime(1), AppendTime(100 * SECOND), &LIMITS);
        assert_eq!(wm.time(), EventTime(25 * SECOND));
    }

    #[test]
    fn a_bad_record_counts_with_its_append_time_alone() {
        let mut wm = PartitionWatermark::default();
        wm.observe_append(AppendTime(100 * SECOND), &LIMITS);
        assert_eq!(wm.time(), EventTime(25 * SECOND));
    }

    #[test]
    fn an_idle_claim_never_passes_a_record_that_comes_later() {
        let mut wm = PartitionWatermark::default();
        wm.claim_idle(AppendTime(100 * SECOND), &LIMITS);
        assert_eq!(wm.time(), EventTime(69 * SECOND));
    }

    #[test]
    fn a_watermark_never_goes_back() {
        let mut wm = PartitionWatermark::at(EventTime(50));
        wm.advance(EventTime(10));
        assert_eq!(wm.time(), EventTime(50));
        assert_eq!(combine(EventTime(50), [EventTime(10), EventTime(20)].into_iter()), EventTime(50));
        assert_eq!(combine(EventTime(50), std::iter::empty()), EventTime(50));
        assert_eq!(combine(EventTime(5), [EventTime(10), EventTime(20)].into_iter()), EventTime(10));
    }
}
