//! `golden run` as a whole process: what it promises while it runs, is killed, and starts again.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

mod demo;
mod http;
mod kill;
mod process;
