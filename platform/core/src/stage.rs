//! The three kinds of stage, and what the runtime asks of each. There is no fourth kind: these compose to any chain.
//!
//! A **map stage** keeps nothing between transactions: it reads any partitions, pre-aggregates, and writes to the partition that owns each
//! key. After an abort its input comes again and what it held is forgotten.
//!
//! A **keyed stage** is a deterministic function of one partition of its input: no clock, no randomness, no second input, no host, no batch
//! size enters its state or its output. Its state is restored by taking any earlier state and applying the log again *silently* up to the
//! committed position. After an abort its outputs are sent again; the state is not rolled back.
//!
//! A **merge stage** reads several inputs, which have no order between them, so its state is a fold over what does have one: its own output.
//! It may hold an input back. It is restored by taking any earlier state and reading its own output to the end.
//!
//! Stages know neither threads nor transactions; the runtime owns both.

use crate::codec::CodecError;
use crate::log::{CommitError, Committed, LogError, Positions};
use crate::record::{Batch, Headers, NewRecord, Offset, Partition, Record};
use crate::store::{Changes, Store, StoreError};
use crate::time::AppendTime;

/// Where a stage puts its output records.
pub trait Emit {
    /// Adds a record to the transaction.
    ///
    /// # Errors
    /// As a commit; the stage passes them on.
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError>;

    /// Adds a record that was read, with all of its headers and the record's own ones behind them. Whoever keeps records as bytes need not
    /// look at headers that go on as they came.
    ///
    /// # Errors
    /// As `append`.
    fn pass_on(&mut self, to: &Partition, headers: Headers<'_>, record: NewRecord<'_>) -> Result<(), CommitError> {
        let all: Vec<(&str, &[u8])> = headers.iter().chain(record.headers.iter().copied()).collect();
        self.append(to, NewRecord { headers: &all, ..record })
    }

    /// Bytes emitted into this transaction so far.
    fn size(&self) -> usize;
}

/// Why a stage cannot go on with its partition. Bad *input of users* is never such an error: that is a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum StageError {
    /// A record of our own that cannot be read. Skipping it would give a wrong number, so the partition stops.
    #[error("record {offset} cannot be read: {source}")]
    Unreadable {
        /// Where it lies.
        offset: Offset,
        /// What is wrong with it.
        source: CodecError,
    },
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The output cannot be written.
    #[error(transparent)]
    Emit(#[from] CommitError),
    /// The control log does not come as far as a record of the input says. Going on without it would give another result.
    #[error("the control log cannot be read: {0}")]
    Control(LogError),
}

/// A stage that keeps nothing between transactions.
pub trait MapStage: Send {
    /// From now on these partitions, each from its committed position; whatever is not committed is forgotten.
    fn assigned(&mut self, partitions: &[(Partition, Committed)]);

    /// Where it begins with a partition of which nothing was ever committed; `None`: at the start of the log.
    fn begins_at(&self, _partition: &Partition) -> Option<Offset> {
        None
    }

    /// Whether records up to this append time may be processed, when `known` is the newest time that the log gave. `false`: not before a
    /// newer time is known; the runtime makes a transaction for one, and offers the records again.
    fn ready(&mut self, _newest: AppendTime, _known: Option<AppendTime>) -> bool {
        true
    }

    /// Takes records. Bad ones become dead letters; nothing fails here.
    fn process(&mut self, batch: &Batch<'_>);

    /// Takes a record, a batch of one, that has killed every process that looked into it: it becomes a dead letter, and is not looked into.
    fn crashed(&mut self, batch: &Batch<'_>);

    /// An owned partition was read to its end at `position`, and the log's time `known_before` was known before that end was asked for.
    fn idle(&mut self, partition: &Partition, position: Offset, known_before: AppendTime);

    /// Memory that a commit would free, in bytes. The runtime commits early when it passes the budget.
    fn held(&self) -> usize;

    /// Whether there is anything to say: outputs, or a watermark that moved.
    fn has_output(&self) -> bool;

    /// Writes the outputs of this transaction.
    ///
    /// # Errors
    /// When the log refuses.
    fn emit(&mut self, out: &mut dyn Emit) -> Result<(), CommitError>;

    /// The transaction is visible: forget what it held.
    fn committed(&mut self);

    /// The transaction is gone and its input will come again: forget what it held.
    fn aborted(&mut self);

    /// The input is bounded and has ended; the next `emit` says so downstream.
    fn ended(&mut self);
}

/// How far an emission came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Emitted {
    /// Everything that was due.
    All,
    /// The budget is used up; go on from this cursor in the next transaction. Under 128 bytes.
    Part(Vec<u8>),
}

/// A deterministic fold over one partition. What has a default is for stages that emit: a sink has nothing to say, skip or resume.
pub trait KeyedStage: Send {
    /// Called once before anything else. The store holds the state as of its `applied`, or nothing. `committed` is what this stage's
    /// `metadata` gave at the committed position, empty when there is none.
    ///
    /// # Errors
    /// When the store fails or holds what cannot be read.
    fn restore(&mut self, store: &dyn Store, committed: &[u8]) -> Result<(), StageError>;

    /// Applies one record to the state.
    ///
    /// # Errors
    /// When the record is one of our own and damaged, or the store fails.
    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError>;

    /// Emits what must leave before the next record is applied, in a fixed order, until `out.size()` reaches `budget`.
    ///
    /// # Errors
    /// When the store fails or the log refuses.
    fn emit_due(&mut self, _budget: usize, _store: &dyn Store, _out: &mut dyn Emit) -> Result<Emitted, StageError> {
        Ok(Emitted::All)
    }

    /// Emits what leaves once in each commit.
    ///
    /// # Errors
    /// When the store fails or the log refuses.
    fn emit_at_commit(&mut self, _store: &dyn Store, _out: &mut dyn Emit) -> Result<(), StageError> {
        Ok(())
    }

    /// Everything that is due now was committed before the restart (silent replay): forget it without emitting.
    fn skip_output(&mut self) {}

    /// The record applied next was emitted in part before the restart, up to this cursor: go on behind it.
    fn resume_at(&mut self, _cursor: &[u8]) {}

    /// First offset that a restore from nothing must read, when everything below `position` is applied.
    fn replay_from(&self, position: Offset) -> Offset;

    /// What to keep beside the committed position. Under 64 bytes. If it changes between records, it is committed once more.
    fn metadata(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Entries changed since the last call, to be written with the position that they stand for.
    fn changes(&mut self, changes: &mut Changes);

    /// Whether more records may come. A sink that waits for somebody else says no, and is asked again and again.
    fn goes_on(&self) -> bool {
        true
    }

    /// Memory held, in bytes; a commit lets the stage move what it can to its store.
    fn held(&self) -> usize;
}

/// What a merge stage says to a record of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is dealt with; the position moves behind it.
    Yes,
    /// Not now. The input stays before it until `goes_on` says otherwise.
    Held,
}

/// Length of the transaction's number, which a merge task puts behind what its stage keeps beside a position.
pub const COMMIT_NUMBER: usize = size_of::<u64>();

/// A fold over its own output: for one partition number, all inputs and outputs of that number. Nobody else writes its outputs.
pub trait MergeStage: Send {
    /// The partitions that its state is a fold of.
    fn outputs(&self) -> Vec<Partition>;

    /// Called once before anything else. The store holds the state as of some earlier time, or nothing; `inputs` are the committed positions
    /// with what this stage's `metadata` gave beside them. Gives from where each output must be read; one that is not named, from its start.
    ///
    /// # Errors
    /// When the store fails or holds what cannot be read.
    fn restore(&mut self, store: &dyn Store, inputs: &[(Partition, Option<Committed>)]) -> Result<Positions, StageError>;

    /// A record of an own output, in order within that output; some may be part of the state already.
    ///
    /// # Errors
    /// When it is one of our own and damaged, or the store fails.
    fn recall(&mut self, of: &Partition, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError>;

    /// Its outputs were read up to these ends, and it may go on.
    fn recalled(&mut self, ends: &Positions);

    /// Whether an input is to be read.
    fn goes_on(&self, input: &Partition) -> bool;

    /// Takes a record of an input, and emits what follows from it.
    ///
    /// # Errors
    /// When the store fails or the log refuses. An input that cannot be read is held, for others may go on.
    fn apply(&mut self, input: &Partition, record: &Record<'_>, store: &dyn Store, out: &mut dyn Emit) -> Result<Taken, StageError>;

    /// Called now and then, between records: a look at what comes from elsewhere, and a piece of what is done beside the inputs.
    /// Gives whether there is more of it.
    ///
    /// # Errors
    /// As `apply`.
    fn look(&mut self, store: &dyn Store, out: &mut dyn Emit) -> Result<bool, StageError>;

    /// What to keep beside the committed position of an input. Under 192 bytes. In the log `COMMIT_NUMBER` bytes stand behind it.
    fn metadata(&self, input: &Partition) -> Vec<u8>;

    /// Entries changed since the last call, once they are committed.
    fn changes(&mut self, changes: &mut Changes);

    /// Memory held, in bytes; a commit lets the stage move what it can to its store.
    fn held(&self) -> usize;
}
