//! Runs the stages of a pipeline over a log: transactions, abort and rewind, silent replay, bounded memory, back-pressure, orderly stop.
//!
//! Knows no engine (a `Log` and `Stores` are handed in) and no application. Live runs are threads that call `step` on tasks; bounded runs
//! and tests call the same `step` themselves. Read in this order.
#![warn(missing_docs)]

/// What both kinds of task share: steps, errors, budgets, status, the signal to stop.
pub mod task;

/// Drives a map stage.
pub mod map_task;
/// Drives a merge stage.
pub mod merge_task;

mod care;

/// Drives a keyed stage, one fold for each owned partition.
pub mod keyed_task;

/// What a keyed stage keeps beside its committed position, as bytes.
pub mod beside;

/// Named moments of the transaction loop, for tests of whole processes.
pub mod moments;

mod transactions;

mod outputs;

/// A whole pipeline on threads.
pub mod runtime;

/// A pipeline over inputs that end.
pub mod bounded;

/// Files as a bounded source.
pub mod files;

/// Log and stores in memory.
pub mod memory;

/// The system's clock.
pub mod clock;

/// Every metric of the runtime: name, labels, unit, meaning.
pub mod metrics;

/// Log lines and traces.
pub mod traces;
