//! Overrides in the pipeline: from a decision in the control log to the rule that is in force for an event or a window.
//!
//! `record` is how a decision stands in the control log, `activate` writes one, `rules` reads them for all tasks of a process, and
//! `activation` is one of them, compiled. FOLD asks `of_events` for tags and outcomes, CLOSE asks `of_windows` for health.
//! A decision is in force *from a window on*, and which windows that can be is bounded from below by its own append time: whoever has read
//! the control log to its end knows every decision that touches a window which starts less than `lead` later.

/// Writes a decision.
pub mod activate;
/// One version, compiled.
pub mod activation;
/// Published windows through other rules.
pub mod backtest;
/// What a process shows of overrides.
pub mod board;
/// Why a level is what it is.
pub mod explain;
/// Tags and outcomes.
pub mod of_events;
/// Health.
pub mod of_windows;
/// A decision as it stands in the control log.
pub mod record;
/// Sums by other rules, held against each other.
pub mod recount;
/// All versions, for all tasks of a process.
pub mod rules;
/// How a rule that is tried agrees with the one in force.
pub mod shadow;
