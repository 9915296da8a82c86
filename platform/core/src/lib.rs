//! What every stage of a pipeline shares: time, windows, watermarks, records, and the seams to logs and stores.
//!
//! Pure by rule: no I/O, no async, no clock of its own, no C library. Everything here compiles and tests in seconds.
//! Read in this order.
#![warn(missing_docs)]

/// The one clock, handed in.
pub mod clock;
/// Variable-length integers and bounds-checked reading, for all encoded forms.
pub mod codec;
/// A control log as it is read.
pub mod control;
/// What a router must know of a result.
pub mod growth;
/// Predicates that production, simulator and checker assert alike.
pub mod invariants;
/// The log: partitioned, transactional, append-only.
pub mod log;
/// Hash maps whose order does not differ from run to run.
pub mod map;
/// Metrics as plain values, before any format.
pub mod metric;
/// Which partition a key belongs to.
pub mod partitioner;
/// Which stages there are and how they are joined.
pub mod pipeline;
/// Mistakes planted on purpose, in builds for the simulation only.
pub mod planted;
/// How far back in its input a fold looks.
pub mod reach;
/// Records, their coordinates, and batches of borrowed bytes.
pub mod record;
/// A text that is never shown.
pub mod secret;
/// What a stage is: the two kinds, and what the runtime asks of each.
pub mod stage;
/// Ordered keyed state of one task.
pub mod store;
/// Event time and append time, in nanoseconds since the Unix epoch.
pub mod time;
/// How far event time has certainly come, from facts that no producer can set.
pub mod watermark;
/// Half-open windows of event time.
pub mod window;
