//! The clock of append times: wall time at start, carried on by the monotonic clock, never going back.
//!
//! It is pulled towards the wall clock by at most 1 % of the time that passes. Why: a stepped wall clock would be a fast clock for every
//! producer at once, while one that is never corrected drifts away over months. How far it is off is a figure that somebody watches.

use platform_core::clock::Clock;
use platform_core::time::{AppendTime, nanos};
use std::time::Duration;

/// Gives append times.
pub(crate) struct AppendClock {
    last: AppendTime,
    read_at: Duration,
}

impl AppendClock {
    /// Starts at the wall time, or at `last`, the newest time that the log has given, if that is later.
    pub(crate) fn start(clock: &dyn Clock, last: AppendTime) -> Self {
        Self { last: last.max(AppendTime(clock.wall())), read_at: clock.monotonic() }
    }

    /// The time now, never before an earlier answer; and how far it is ahead of the wall clock, in ns.
    pub(crate) fn now(&mut self, clock: &dyn Clock) -> (AppendTime, i64) {
        let read_at = clock.monotonic();
        let passed = nanos(read_at.saturating_sub(self.read_at));
        self.read_at = read_at;
        let carried = self.last.plus(passed);
        let wall = clock.wall();
        let pull = wall.saturating_sub(carried.0).clamp(-(passed / 100), passed / 100);
        self.last = carried.plus(pull);
        (self.last, self.last.0.saturating_sub(wall))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::time::SECOND;
    use std::sync::Mutex;

    struct Hands(Mutex<(i64, Duration)>);

    impl Clock for Hands {
        fn wall(&self) -> i64 {
            self.0.lock().unwrap().0
        }
        fn monotonic(&self) -> Duration {
            self.0.lock().unwrap().1
        }
    }

    #[test]
    fn a_step_of_the_wall_clock_is_followed_by_one_percent_and_never_back() {
        let hands = Hands(Mutex::new((1_000 * SECOND, Duration::ZERO)));
        let mut clock = AppendClock::start(&hands, AppendTime(0));
        *hands.0.lock().unwrap() = (500 * SECOND, Duration::from_secs(100));
        assert_eq!(clock.now(&hands), (AppendTime(1_099 * SECOND), 599 * SECOND));
        *hands.0.lock().unwrap() = (9_000 * SECOND, Duration::from_secs(200));
        assert_eq!(clock.now(&hands), (AppendTime(1_200 * SECOND), -7_800 * SECOND));
        assert_eq!(clock.now(&hands).0, AppendTime(1_200 * SECOND));
    }

    #[test]
    fn it_starts_no_earlier_than_the_newest_time_in_the_log() {
        let hands = Hands(Mutex::new((10, Duration::from_nanos(7))));
        let mut clock = AppendClock::start(&hands, AppendTime(50));
        assert_eq!(clock.now(&hands).0, AppendTime(50));
    }
}
