//! Two times, never mixed: when it happened, and when the log took it.
//!
//! Both count nanoseconds since the Unix epoch in UTC, in an `i64` (years 1678 to 2262). Differences are plain `i64` nanoseconds.
//! This file does not read a clock (see `clock.rs`) and parses no text.

use std::time::Duration;

/// Nanoseconds in one second.
pub const SECOND: i64 = 1_000_000_000;

/// When something happened, as its producer says; nothing is taken on trust from it but the window it falls in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

/// When the log took a record: the one clock that no producer can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendTime(pub i64);

impl EventTime {
    /// Before every event: the watermark of a partition of which nothing is known.
    pub const MIN: Self = Self(i64::MIN);
    /// After every event: the watermark of an input that has ended.
    pub const MAX: Self = Self(i64::MAX);

    /// This time moved by `nanos`, stopping at the ends of the range.
    #[must_use]
    pub fn plus(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// Nanoseconds from `earlier` to this time; negative when `earlier` is later. Stops at the ends of the range.
    #[must_use]
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl AppendTime {
    /// How old an event was when the log took it, in ns; negative when its producer's clock was ahead.
    #[must_use]
    pub fn age_of(self, event: EventTime) -> i64 {
        self.0.saturating_sub(event.0)
    }

    /// This time moved by `nanos`, stopping at the ends of the range.
    #[must_use]
    pub fn plus(self, nanos: i64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// The same instant on the axis of event time, for comparison with events.
    #[must_use]
    pub fn as_event_time(self) -> EventTime {
        EventTime(self.0)
    }
}

/// A settings duration as nanoseconds; centuries and more stop at `i64::MAX`.
#[must_use]
pub fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_stops_at_the_ends_instead_of_wrapping() {
        assert_eq!(EventTime::MAX.plus(1), EventTime::MAX);
        assert_eq!(EventTime::MIN.plus(-1), EventTime::MIN);
        assert_eq!(AppendTime(i64::MAX).age_of(EventTime(-5)), i64::MAX);
        assert_eq!(nanos(Duration::MAX), i64::MAX);
    }

    #[test]
    fn an_event_ahead_of_its_append_has_a_negative_age() {
        assert_eq!(AppendTime(10).age_of(EventTime(25)), -15);
    }
}
