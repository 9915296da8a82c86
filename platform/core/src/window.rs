//! Tumbling windows: half-open `[start, end)`, aligned to the epoch in UTC.
//!
//! `start = floor(t / length) * length`, right before 1970 too. A length divides one hour, so hours are sums of windows.

use crate::time::{EventTime, SECOND};
use std::time::Duration;

/// Length of every window of a pipeline: a divisor of one hour, from 10 s to 1 h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLength(i64);

/// Why a duration cannot be a window's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a window must divide one hour and last from 10s to 1h, and {}s does not: try 10s, 30s, 60s, 5m or 1h", .0.as_secs_f64())]
pub struct BadWindowLength(pub Duration);

impl WindowLength {
    /// Checks a duration once, so that holding a length proves it fit.
    ///
    /// # Errors
    /// When it is shorter than 10 s, longer than 1 h, or does not divide 1 h.
    pub fn new(length: Duration) -> Result<Self, BadWindowLength> {
        let nanos = crate::time::nanos(length);
        let hour = 3600 * SECOND;
        if (10 * SECOND..=hour).contains(&nanos) && hour % nanos == 0 { Ok(Self(nanos)) } else { Err(BadWindowLength(length)) }
    }

    /// Nanoseconds.
    #[must_use]
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// Whole seconds; exact, since every divisor of an hour that is accepted and used is one of whole seconds.
    #[must_use]
    pub fn seconds(self) -> f64 {
        self.0 as f64 / SECOND as f64
    }

    /// The window that holds `time`.
    #[must_use]
    pub fn window_of(self, time: EventTime) -> Window {
        let start = time.0 - time.0.rem_euclid(self.0);
        Window { start: EventTime(start), end: EventTime(start.saturating_add(self.0)) }
    }

    /// The window that ends at `end`, which must be aligned.
    #[must_use]
    pub fn window_ending(self, end: EventTime) -> Window {
        debug_assert_eq!(end.0.rem_euclid(self.0), 0, "window ends are aligned");
        Window { start: end.plus(-self.0), end }
    }
}

/// One window: holds `start`, not `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First instant in the window.
    pub start: EventTime,
    /// First instant after it.
    pub end: EventTime,
}

impl Window {
    /// Whether `time` falls into this window.
    #[must_use]
    pub fn holds(self, time: EventTime) -> bool {
        self.start <= time && time < self.end
    }

    /// Whether a watermark closes this window: it closes when the watermark equals its end.
    #[must_use]
    pub fn closed_by(self, watermark: EventTime) -> bool {
        watermark >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> WindowLength {
        WindowLength::new(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn a_window_holds_its_start_and_not_its_end() {
        let w = minute().window_of(EventTime(60 * SECOND));
        assert!(w.holds(EventTime(60 * SECOND)) && !w.holds(EventTime(120 * SECOND)));
        assert_eq!(w, minute().window_of(EventTime(120 * SECOND - 1)));
    }

    #[test]
    fn windows_before_1970_are_aligned_downwards() {
        assert_eq!(minute().window_of(EventTime(-1)).start, EventTime(-60 * SECOND));
    }

    #[test]
    fn a_window_closes_when_the_watermark_equals_its_end() {
        let w = minute().window_of(EventTime(0));
        assert!(!w.closed_by(EventTime(60 * SECOND - 1)) && w.closed_by(EventTime(60 * SECOND)));
    }

    #[test]
    fn lengths_that_do_not_divide_an_hour_are_refused() {
        for bad in [0, 1, 7, 9, 70, 3601, 7200] {
            assert!(WindowLength::new(Duration::from_secs(bad)).is_err(), "{bad}");
        }
        assert!(WindowLength::new(Duration::from_secs(10)).is_ok() && WindowLength::new(Duration::from_secs(3600)).is_ok());
    }
}
