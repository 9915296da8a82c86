//! The same input gives the same signals, whatever the batching, the tasks, the restarts and the faults.

#[cfg(test)]
#[path = "determinism/chain.rs"]
mod chain;
