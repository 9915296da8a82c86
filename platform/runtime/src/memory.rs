//! Log and stores in memory: what bounded runs use between their stages, and what the test kit puts faults around.
//!
//! They behave as the durable ones do (groups, generations, fencing, transactions); nothing outlives the process.

mod log;
mod store;

pub use log::{AppendTimes, MemoryLog, TopicSettings};
pub use store::{MemoryStore, MemoryStores};

use crate::task::lock;
