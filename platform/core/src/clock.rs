//! The clock, handed in. Production has one implementation (in the runtime), the test kit another that jumps.

use std::time::Duration;

/// Wall time and a wait that a test can jump over.
pub trait Clock: Send + Sync {
    /// Nanoseconds since the Unix epoch. May step; nothing that ends up in state may depend on it.
    fn wall(&self) -> i64;
    /// Time since some fixed moment of this process. Never steps back.
    fn monotonic(&self) -> Duration;
}
