//! The log of a pipeline on Apache Kafka, by librdkafka: the same `Log` as the embedded one and the one in memory.
//!
//! What a caller relies on is Kafka's own: consumer groups place the work, transactions make outputs and read positions visible together,
//! transactional ids fence a slot's earlier process, a group's generation fences a member that lost its partitions. Calls block and belong
//! on a task's own thread. What heals by itself (a broker away, a coordinator that moves) is tried again here, with growing waits, until it
//! is there again or the log is closed; meanwhile `Kafka::trouble` says what is wrong, which setting it concerns, and what to do.
//!
//! Not done here: running stages, deciding what a program does about trouble.
//!
//! Read in this order.
#![warn(missing_docs)]

/// What reading alone costs.
pub mod drain;
/// The log.
pub mod log;
/// What is set: servers, security, names.
pub mod settings;
/// Topics and settings that a pipeline needs: shown, made, checked.
pub mod topics;

/// Clients: their settings, what happens to them, and errors in words.
mod client;
/// Appends from outside.
mod producer;
/// Members of groups, and readers that read alone.
mod reader;
/// Waiting and trying again.
mod retry;
/// Transactions.
mod writer;
