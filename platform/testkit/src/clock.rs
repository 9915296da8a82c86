//! Time that stands until it is moved.

use platform_core::clock::Clock;
use platform_core::time::nanos;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A clock that a test moves. Share it in an `Arc`.
#[derive(Debug, Default)]
pub struct SimClock {
    now: Mutex<(i64, Duration)>,
}

impl SimClock {
    /// A clock whose wall stands at `wall`, in ns since 1970.
    #[must_use]
    pub fn at(wall: i64) -> Self {
        Self { now: Mutex::new((wall, Duration::ZERO)) }
    }

    /// Time passes.
    pub fn advance(&self, by: Duration) {
        self.change(|(wall, monotonic)| {
            *wall = wall.saturating_add(nanos(by));
            *monotonic = monotonic.saturating_add(by);
        });
    }

    /// The wall clock is set forward or back, in ns; monotonic time does not notice.
    pub fn step_wall(&self, by: i64) {
        self.change(|(wall, _)| *wall = wall.saturating_add(by));
    }

    fn change(&self, change: impl FnOnce(&mut (i64, Duration))) {
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn now(&self) -> (i64, Duration) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for SimClock {
    fn wall(&self) -> i64 {
        self.now().0
    }

    fn monotonic(&self) -> Duration {
        self.now().1
    }
}
