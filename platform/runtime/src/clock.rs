//! The system's clock: the one file that reads it. Everything else takes a `Clock`.

use platform_core::clock::Clock;
use platform_core::time::nanos;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock")]
    fn wall(&self) -> i64 {
        // A machine whose clock stands before 1970 counts as 1970.
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, nanos)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
