//! The runtime's promises, shown on a small pipeline that counts words in windows.
//!
//! `words` is that pipeline, `world` drives its tasks step by step over a log and stores with faults; each other file shows some promises.

#[cfg(test)]
#[path = "runtime/bounded.rs"]
mod bounded;
#[cfg(test)]
#[path = "runtime/chain.rs"]
mod chain;
#[cfg(test)]
#[path = "runtime/full.rs"]
mod full;
#[cfg(test)]
#[path = "runtime/keyed.rs"]
mod keyed;
#[cfg(test)]
#[path = "runtime/live.rs"]
mod live;
#[cfg(test)]
#[path = "runtime/poison.rs"]
mod poison;
#[cfg(test)]
#[path = "runtime/words.rs"]
mod words;
#[cfg(test)]
#[path = "runtime/world.rs"]
mod world;
