//! The signals: one file each, with its formula in the header. Integers in, numbers out, nothing else known or remembered.
//!
//! State holds integers; a ratio is one IEEE-754 division here, at the edge, so the same input gives the same bytes everywhere. A signal
//! that cannot be computed has no value (`None`), which is not zero.

/// How many requests there were, and how many per second.
pub mod requests;
/// How many of them failed.
pub mod errors;
/// Which share of them did not fail.
pub mod availability;
/// How long they took.
pub mod latency;
/// Which share of its input a window has seen.
pub mod completeness;
/// The verdict on a service.
pub mod health;
