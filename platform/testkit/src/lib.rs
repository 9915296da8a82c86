//! What tests put around stages: a log and stores that fail on command, time that jumps, seeded choices, and the ledger checker.
//!
//! Everything is deterministic: the same seed gives the same faults. Knows no application.
#![warn(missing_docs)]

/// Scripts whose visible results are the same on every log.
pub mod calibration;
/// Time that stands until it is moved.
pub mod clock;
/// Compares what came out with a plain recomputation of what went in.
pub mod ledger;
/// A log that aborts, doubts, fences, fills up and delays on command.
pub mod log;
/// Choices from a seed.
pub mod seed;
/// A log that behaves as a cluster of brokers does when everything goes wrong.
pub mod sim;
/// Stores that lose what was not flushed.
pub mod store;
