//! Two colours, one worker, and flips between them: on the log in memory, with the runtime that drives workers in production.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, unreachable_pub, reason = "tests fail by panicking")]

#[path = "flips/history.rs"]
mod history;
#[path = "flips/scenes.rs"]
mod scenes;
#[path = "flips/world.rs"]
mod world;
