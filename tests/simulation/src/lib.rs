//! Deterministic simulation of the whole pipeline: the real FOLD, CLOSE and router, in simulated processes, on simulated brokers, while
//! everything goes wrong that may; afterwards a checker judges what is there against a plain recomputation.
//!
//! One seed is one run, the same each time. What is not simulated here: HTTP, the sinks, RocksDB, librdkafka and the network below it.
#![warn(missing_docs)]

/// Counts broken invariants that the pipeline itself reports.
mod alarms;
/// Judges a run.
mod check;
/// What processes run.
mod parts;
/// What comes in, and what may happen, in one run.
mod plan;
/// Processes, time, and who goes next.
mod world;

pub use plan::Plan;

use platform_core::planted::Bug;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// What is not as promised; empty when all is well.
    pub violations: Vec<String>,
    /// What went wrong around the pipeline, by name.
    pub injected: BTreeMap<&'static str, u64>,
    /// Results that were compared.
    pub compared: u64,
    /// The plan, in words.
    pub plan: String,
    /// Orders, and what each public partition has of them, in order.
    pub history: Vec<String>,
}

/// Runs one seed, with a mistake planted or none.
///
/// `bug` has an effect in builds with `--cfg planted` only.
#[must_use]
pub fn run(seed: u64, bug: Option<Bug>) -> Report {
    #[cfg(planted)]
    platform_core::planted::plant(bug);
    #[cfg(not(planted))]
    let _ = bug;
    run_plan(Plan::new(seed))
}

/// Runs a seed in which somebody orders something every few seconds.
#[must_use]
pub fn run_flips(seed: u64) -> Report {
    run_plan(Plan::of_flips(seed))
}

fn run_plan(plan: Plan) -> Report {
    let words = format!("{plan:?}");
    let alarms = alarms::Alarms::default();
    let run = || metrics::with_local_recorder(&alarms, || world::run(plan, &alarms));
    let mut report = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
        Report { violations: vec![format!("panic: {}", text.unwrap_or_default())], ..Report::default() }
    });
    report.violations.extend(alarms.broken());
    report.plan = words;
    report
}

/// Seeds that once found a mistake nobody had planted. What they found is mended, and they are run with every change.
pub const FOUND: &[u64] = &[2, 23, 86, 154, 272, 289, 349, 386, 779, 2195, 3619, 5168, 5280, 5421, 5822, 61_817];

/// The same of seeds with many flips.
pub const FOUND_WITH_FLIPS: &[u64] = &[500_424, 501_168, 501_537, 503_028, 504_366];
