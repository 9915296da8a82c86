//! A pipeline as code describes it: named stages, what each reads and writes, and how to make one.
//!
//! The description is data. Running it is the runtime's business; drawing or checking it is anybody's.

use crate::record::Topic;
use crate::stage::{KeyedStage, MapStage, MergeStage};

/// A pipeline.
pub struct Pipeline {
    /// Prefix of groups, transactional ids, and the label `pipeline` of metrics.
    pub name: String,
    /// In the order of flow.
    pub stages: Vec<Stage>,
}

/// One stage of a pipeline.
pub struct Stage {
    /// Unique in the pipeline; part of the group, the transactional ids, the stores' names.
    pub name: String,
    /// Topics read; a keyed stage reads exactly one.
    pub reads: Vec<Topic>,
    /// Topics written.
    pub writes: Vec<Topic>,
    /// How many tasks share the partitions.
    pub tasks: usize,
    /// What it does.
    pub kind: Kind,
}

/// Makes a map stage, one for each task.
pub type MakeMap = Box<dyn Fn() -> Box<dyn MapStage> + Send + Sync>;
/// Makes a keyed stage, one for each partition.
pub type MakeKeyed = Box<dyn Fn(u32) -> Box<dyn KeyedStage> + Send + Sync>;

/// Makes a merge stage, one for each partition number.
pub type MakeMerge = Box<dyn Fn(u32) -> Box<dyn MergeStage> + Send + Sync>;

/// The three kinds of stage.
pub enum Kind {
    /// Keeps nothing between transactions.
    Map(MakeMap),
    /// A fold over one partition, whose stores carry this format number; another number starts from an empty store.
    Keyed(MakeKeyed, u32),
    /// A fold over its own output, one for each partition number of its inputs; its stores carry this format number too.
    Merge(MakeMerge, u32),
}

/// Why a description is not a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPipeline {
    /// Two stages of one name would share state and positions.
    #[error("two stages are named {0}")]
    SameName(String),
    /// A keyed stage is a function of one partition of one topic.
    #[error("keyed stage {0} must read exactly one topic")]
    KeyedReads(String),
    /// A stage that nobody runs.
    #[error("stage {0} has no task")]
    NoTask(String),
}

impl Pipeline {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), BadPipeline> {
        for (i, stage) in self.stages.iter().enumerate() {
            if self.stages.iter().take(i).any(|s| s.name == stage.name) {
                return Err(BadPipeline::SameName(stage.name.clone()));
            }
            if matches!(stage.kind, Kind::Keyed(..)) && stage.reads.len() != 1 {
                return Err(BadPipeline::KeyedReads(stage.name.clone()));
            }
            if stage.tasks == 0 {
                return Err(BadPipeline::NoTask(stage.name.clone()));
            }
        }
        Ok(())
    }

    /// Every topic read or written, each once, in the order of flow.
    #[must_use]
    pub fn topics(&self) -> Vec<Topic> {
        let mut topics: Vec<Topic> = Vec::new();
        for topic in self.stages.iter().flat_map(|s| s.reads.iter().chain(&s.writes)) {
            if !topics.contains(topic) {
                topics.push(topic.clone());
            }
        }
        topics
    }
}
