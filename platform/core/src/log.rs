//! The log: partitioned, transactional, append-only. Apache Kafka, the embedded log, and the one in memory all look like this.
//!
//! Blocking on purpose: one thread owns a task. A *writer* is transactional: what it appends and the read positions it commits become
//! visible together or not at all. A *producer* has no transactions: it is how events come in from outside, and what it answers is durable.
//! Positions are offsets, never counts. A *claim* is taken when partitions are assigned, given back with each commit, and never refreshed in
//! between: that is what fences a task which lost its partitions while it was away.

use crate::record::{Batch, NewRecord, Offset, Partition, Topic};
use crate::time::AppendTime;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Per partition, the next offset to read.
pub type Positions = BTreeMap<Partition, Offset>;

/// Largest metadata beside a committed position, in bytes.
pub const MAX_METADATA: usize = 256;

/// A committed position and what the stage wrote beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Next offset to read.
    pub offset: Offset,
    /// At most `MAX_METADATA` bytes.
    pub metadata: Vec<u8>,
}

/// Membership at the moment of assignment: who, and in which generation of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The group.
    pub group: String,
    /// The member.
    pub member: u64,
    /// Rises with every change of assignment.
    pub generation: u64,
}

/// Who reads what.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Consumer group: members share the partitions, and positions are committed under its name. `None` reads all partitions, alone.
    pub group: Option<String>,
    /// Topics, which must exist.
    pub topics: Vec<Topic>,
}

/// What a reader's `poll` brings.
#[derive(Debug)]
pub enum Polled<'a> {
    /// Records of one partition; never empty.
    Batch(Batch<'a>),
    /// From now on these partitions, all of them, each from its committed position, and under this claim; what was owned before is gone.
    Assigned(Assignment),
    /// Nothing came within the wait. That proves nothing: whether a partition was read to its end, its position and its end say.
    Nothing,
}

/// Partitions that a member owns under one claim.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// Given back with each commit.
    pub claim: Claim,
    /// Owned partitions and where they were last committed; `None`: never.
    pub partitions: Vec<(Partition, Option<Committed>)>,
}

/// Why a log cannot be read or opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No such topic.
    #[error("there is no topic {0}")]
    UnknownTopic(Topic),
    /// A position outside of what the log holds; going on elsewhere would lose records silently.
    #[error("position {position} of {partition} is outside the log, which holds {start} to {end}")]
    OutOfRange {
        /// Which partition.
        partition: Partition,
        /// What was asked for.
        position: Offset,
        /// First offset held.
        start: Offset,
        /// End of the log.
        end: Offset,
    },
    /// The log is shutting down.
    #[error("the log is closed")]
    Closed,
    /// The engine below failed.
    #[error("the log failed: {0}")]
    Engine(String),
}

/// Why a transaction did not commit; named by what the caller must do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Nothing of it is visible: seek back to the committed positions and do it again.
    #[error("the transaction was aborted: {0}")]
    Aborted(String),
    /// It may or may not be visible: take a new writer of the same id, and read the committed positions, which are the outcome.
    #[error("the outcome of the transaction is unknown: {0}")]
    Doubtful(String),
    /// A newer owner has taken over: leave, write nothing more.
    #[error("fenced by a newer owner: {0}")]
    Fenced(String),
    /// No room: nothing of it is visible; wait, then as aborted.
    #[error("the log is full: {0}")]
    Full(String),
    /// The log cannot be trusted any more: stop the process.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// Why a producer's append was not taken. In every case nothing of it is visible, unless it says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much is waiting: try again later.
    #[error("the log cannot keep up")]
    Overloaded,
    /// No room on the device: try again later.
    #[error("the log is full: {0}")]
    Full(String),
    /// The log failed; whether it was taken is unknown.
    #[error("the log failed: {0}")]
    Failed(String),
}

/// A log.
pub trait Log: Send + Sync {
    /// A reader. Its first `poll` that brings anything brings an assignment; a reader without a group may seek before that.
    ///
    /// # Errors
    /// When a topic does not exist.
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError>;

    /// A transactional writer. Taking one fences every earlier writer of the same id and ends its open transaction.
    ///
    /// # Errors
    /// When the log is closed.
    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError>;

    /// A producer for what comes from outside.
    ///
    /// # Errors
    /// When the log is closed.
    fn producer(&self) -> Result<Box<dyn Producer>, LogError>;

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// When it does not exist.
    fn partitions(&self, topic: &Topic) -> Result<u32, LogError>;

    /// First offset held, and the end.
    ///
    /// # Errors
    /// When the partition does not exist.
    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError>;

    /// Where to read from for everything that the log took at `from` or later: all records before it are older, and none behind it is. The
    /// end, when there is no such record; the first offset held, where records have no append time.
    ///
    /// # Errors
    /// When the partition does not exist.
    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError>;

    /// What a group last committed.
    ///
    /// # Errors
    /// When the partition does not exist.
    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError>;
}

/// Reads committed records in order.
pub trait Reader: Send {
    /// Waits up to `wait` for records or a new assignment.
    ///
    /// # Errors
    /// When a position lies outside of the log, or the engine fails.
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError>;

    /// Goes on from these positions; partitions not named stay where they are.
    ///
    /// # Errors
    /// When a partition is not owned.
    fn seek(&mut self, to: &Positions) -> Result<(), LogError>;

    /// From now on nothing comes of these partitions, and something of all others; a new assignment reads all again. Positions stay.
    ///
    /// # Errors
    /// When the engine fails.
    fn pause(&mut self, these: &BTreeSet<Partition>) -> Result<(), LogError>;

    /// Next offset to read; 0 for a partition that is not owned.
    fn position(&self, of: &Partition) -> Offset;

    /// The end of a partition, open transactions included (Kafka's high watermark), so that position = end proves it was read to its end.
    /// `None` while nobody can say: one partition without a leader must not hold up the others of its task.
    ///
    /// # Errors
    /// When the partition does not exist.
    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError>;
}

/// Writes transactions. The first append after a commit or an abort begins one; a commit ends it, also one that is refused.
pub trait Writer: Send {
    /// Adds a record to the open transaction.
    ///
    /// # Errors
    /// As `commit`.
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError>;

    /// Makes the appended records and the read positions visible together. Gives the newest append time that the log has given so far.
    /// Positions under a claim that is not of the group's present generation are `Aborted`; without positions no claim is looked at.
    ///
    /// # Errors
    /// Named by what to do next.
    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError>;

    /// Drops the open transaction.
    fn abort(&mut self);
}

/// Appends single records or a few, durably.
pub trait Producer: Send + Sync {
    /// Appends all of `records` to one partition and returns once they are durable, with the offset of the first.
    ///
    /// # Errors
    /// Then none of them is there, except after `Failed`.
    fn append(&self, to: &Partition, records: &[NewRecord<'_>]) -> Result<Offset, AppendError>;
}
