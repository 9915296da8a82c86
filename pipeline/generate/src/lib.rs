//! Seeded load with known answers: service events as lines of our `json` format, and exactly what must come out of them.
//!
//! Everything is a pure function of settings and seed: the same settings give the same bytes in every run. The answers are computed from
//! what was drawn, never by reading the lines back, and share no code with the pipeline, so they can judge it. Nothing here reads a clock,
//! opens a file or sends anything.
//!
//! ```
//! use golden_generate::{expect::Expect, generator::Generator, settings::Settings};
//! use platform_core::window::WindowLength;
//! use std::time::Duration;
//!
//! let settings = Settings { events: 1_000, ..Settings::default() };
//! let mut generator = Generator::new(&settings)?;
//! let mut expect = Expect::new(WindowLength::new(Duration::from_secs(60))?);
//! let mut lines = Vec::new();
//! while let Some(fact) = generator.next_line(&mut lines) {
//!     expect.record(&fact);
//! }
//! assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 1_000);
//! let mut csv = Vec::new();
//! expect.write(generator.names(), &mut csv)?;
//! assert!(csv.starts_with(b"window_start,service,requests,"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs)]

/// A small web shop with incidents on a timetable, second by second.
pub mod demo;
/// The exact results of what was generated.
pub mod expect;
/// What a line means: the event that was drawn, or the reason for which it must be refused.
pub mod fact;
/// Lines of load, one by one, each with what it means.
pub mod generator;
/// Names of services and operations behind the numbers in facts.
pub mod names;
/// What load is asked for, as plain values, and the check that it can be made.
pub mod settings;

mod latency;
mod line;
mod random;
mod timestamp;
mod zipf;
