//! The signals: one file each, with its formula in the header. Integers in, numbers out, nothing else known or remembered.
//!
//! State holds integers; a ratio is one IEEE-754 division here, at the edge, so the same input gives the same bytes everywhere. A signal
//! that cannot be computed has no value (`None`), which is not zero.

/// Which share of them did not fail.
pub mod availability;
/// Which share of its input a window has seen.
pub mod completeness;
/// How many of them failed.
pub mod errors;
/// The verdict on a service.
pub mod health;
/// How long they took.
pub mod latency;
/// How many requests there were, and how many per second.
pub mod requests;
/// How much of its resources a service used.
pub mod saturation;
