//! The embedded log and the state stores, on RocksDB: one data folder, one process, no other server.
//!
//! `Rocks::open` takes a folder for itself and gives a `Log` and `Stores`. Whatever would lose or mix up data is refused at the door, in
//! words that say what to do, before anything in the folder changes. Not done here: running stages, metrics, settings files.
//!
//! ```
//! use platform_core::{clock::Clock, log::{Log, Polled, Producer, Subscription}, record::{NewRecord, Partition, Topic}};
//! use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
//! use std::{sync::Arc, time::Duration};
//! # struct Stopped;
//! # impl Clock for Stopped {
//! #     fn wall(&self) -> i64 { 0 }
//! #     fn monotonic(&self) -> Duration { Duration::ZERO }
//! # }
//! # let clock = Arc::new(Stopped);
//! # let dir = tempfile::tempdir()?;
//! let topic = Topic::new("events");
//! let topics = vec![TopicSettings { topic: topic.clone(), partitions: 2, retention: Duration::from_secs(3600) }];
//! let rocks = Rocks::open(dir.path(), &Settings { topics, ..Settings::default() }, clock)?;
//!
//! // Durable once this returns.
//! let hello = NewRecord { value: Some(b"hello"), ..NewRecord::default() };
//! rocks.log().producer()?.append(&Partition::new(&topic, 1), &[hello])?;
//!
//! let mut reader = rocks.log().reader(&Subscription { group: Some("greeters".into()), topics: vec![topic] })?;
//! let Polled::Assigned(assignment) = reader.poll(Duration::ZERO)? else { panic!("the first thing is an assignment") };
//! assert_eq!(assignment.partitions.len(), 2);
//! let Polled::Batch(batch) = reader.poll(Duration::ZERO)? else { panic!("there is a record") };
//! assert_eq!(batch.iter().next().and_then(|record| record.value), Some(&b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
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
