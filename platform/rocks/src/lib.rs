//! The embedded log and the state stores, on RocksDB: one data folder, one process, no other server.
//!
//! `Rocks::open` takes a folder for itself and gives a `Log` and `Stores`. Whatever would lose or mix up data is refused at the door, in
//! words that say what to do, before anything in the folder changes. Not done here: running stages, metrics, settings files.
//! Read in this order.
#![warn(missing_docs)]

/// The data folder: whose it is, of which format, and how much room is left.
pub mod folder;
/// The embedded log.
pub mod log;
/// What is set, and how a data folder is opened.
pub mod rocks;
/// The state stores.
pub mod stores;

/// The clock of append times.
mod append_clock;
/// What both databases share: memory, options, kinds of failure.
mod engine;
/// Who reads what, and who is fenced.
mod groups;
/// Kinds of key of the log, and the forms of their values.
mod keys;
/// How far the log is certainly on the device.
mod synced;
/// Locks and bells that outlive a panic.
mod wait;
