//! The router: the last stage before the public topic, and the controller that chooses what it forwards.
//!
//! Two complete deployments of a pipeline (blue, green) compute side by side. Workers forward exactly one of them to the public topic, without
//! reading results: identity, completeness and totals come in headers (`platform_core::growth`), values pass through as bytes. The control
//! log says which one (`orders`); each worker cuts its own partition by a record in it (`marks`). It knows no golden signal.

/// Who ordered what, when, and what came of it.
pub mod audit;
/// Which deployment answers for a window.
pub mod authority;
/// Each order says what it was given upon.
pub mod chain;
/// Orders read from the control log, and given.
pub mod control;
/// The controller: sees, decides, orders.
pub mod controller;
/// What is seen → what is done.
pub mod decide;
/// Colours and epochs.
pub mod deployment;
/// How the results of both deployments differ.
pub mod diff;
/// What processes say of themselves.
pub mod health;
/// What workers write beside results.
pub mod marks;
/// What the control log says.
pub mod orders;
/// What can be proved of a flip.
pub mod receipt;
/// The growth rule: whether a result is published, and under which number.
pub mod rule;
/// What a controller looks at, and by what it judges.
pub mod settings;
/// How everything stands, for people.
pub mod status;
/// The newest part of a topic.
pub mod tail;
/// The stage of one partition.
pub mod worker;
#[cfg(test)]
mod world;
