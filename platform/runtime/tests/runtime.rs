//! The runtime's promises, shown on a small pipeline that counts words in windows.
//!
//! `words` is that pipeline, `world` drives its tasks step by step over a log and stores with faults; each other file shows some promises.

#[path = "runtime/bounded.rs"]
mod bounded;
#[path = "runtime/chain.rs"]
mod chain;
#[path = "runtime/keyed.rs"]
mod keyed;
#[path = "runtime/live.rs"]
mod live;
#[path = "runtime/words.rs"]
mod words;
#[path = "runtime/world.rs"]
mod world;
