//! Drives a keyed stage: one fold, with one store, for each owned partition.
//!
//! The rules, in the order in which they are used:
//! - *Restore.* The store holds the state as of `applied`. Ahead of the committed position, or behind the log's start: cleared. Then the log is
//!   read from `applied`, or from `replay_from` when there is nothing, up to the committed position, *silently*. A log that begins behind
//!   `replay_from` is refused as `state_lost`.
//! - *Live.* After each record everything that is due is emitted before the next one is applied. An emission over the budget leaves in several
//!   transactions, all at the position *of* its record, each with a cursor; what stands beside that position is from before the record.
//!   What leaves once in each commit leaves with the first part as well, so a restart inside an emission forgets it once before it goes on.
//! - *Commit.* After each interval, and after a fifth of it once there are outputs. Outputs and positions of all owned partitions in one
//!   transaction, sealed once: a refused one is sent again byte for byte, and nothing is applied before it is through. State is never
//!   rolled back. What a stage keeps beside its position may change while no record comes (a sink has sent something): that is committed, too.
//! - *Full.* A stage that takes no more records has its partition paused, from the record behind the last one applied, until it does.
//! - *Store.* Changes are written only after the commit that covers them, with the position that they stand for, and never inside an emission.

mod fold;

use crate::moments::Moment;
use crate::outputs::Outputs;
use crate::task::{Backoff, StatusCell, Step, TaskError, TaskSetup, TaskState};
use crate::transactions::{Outcome, Read, Transactions};
use fold::Fold;
use platform_core::log::{Assignment, Claim, Polled, Positions, Reader};
use platform_core::pipeline::MakeKeyed;
use platform_core::planted::{Bug, planted};
use platform_core::record::{Batch, NewRecord, Offset, Partition};
use platform_core::stage::Emit as _;
use platform_core::store::Stores;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// With outputs, the longest time between two commits is the interval divided by this.
const WITH_OUTPUT: u32 = 5;

/// What a keyed stage is made of: shared by its tasks.
#[derive(Clone)]
pub struct KeyedParts {
    /// Makes the fold of one partition.
    pub make: Arc<MakeKeyed>,
    /// Format of its stores.
    pub format: u32,
    /// Where they are.
    pub stores: Arc<dyn Stores>,
}

/// A keyed stage with its partitions.
pub struct KeyedTask {
    reader: Box<dyn Reader>,
    core: Core,
}

/// All but the reader, whose batch is borrowed while records are applied.
struct Core {
    setup: TaskSetup,
    parts: KeyedParts,
    transactions: Transactions,
    claim: Option<Claim>,
    folds: Vec<Fold>,
    /// Partitions that are not read, since their stage takes nothing.
    paused: BTreeSet<Partition>,
    out: Outputs,
    /// Positions of the transaction that waits to be committed; while there is one, nothing is applied.
    sealed: Option<Read>,
    /// Bytes read since the last commit.
    read: usize,
    last_commit: Duration,
    backoff: Backoff,
    status: Arc<StatusCell>,
}

impl KeyedTask {
    /// A task that reads through `reader`, which brings an assignment first. Fences an earlier task of the same name.
    ///
    /// # Errors
    /// When the log gives no writer.
    pub fn new(setup: TaskSetup, parts: KeyedParts, reader: Box<dyn Reader>) -> Result<Self, TaskError> {
        let transactions = Transactions::new(&setup)?;
        let now = setup.clock.monotonic();
        let status = StatusCell::new(setup.task_name(), now);
        let core = Core {
            setup,
            parts,
            transactions,
            claim: None,
            folds: Vec::new(),
            paused: BTreeSet::new(),
            out: Outputs::default(),
            sealed: None,
            read: 0,
            last_commit: now,
            backoff: Backoff::default(),
            status,
        };
        Ok(Self { reader, core })
    }

    /// What it shows of itself.
    #[must_use]
    pub fn status(&self) -> Arc<StatusCell> {
        Arc::clone(&self.core.status)
    }

    /// Goes on with what is unfinished, else waits up to `wait` for records; commits when it is time. One part of a large emission at most.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn step(&mut self, wait: Duration) -> Result<Step, TaskError> {
        let now = self.core.now();
        if self.core.sealed.is_some() {
            if let Some(left) = self.core.backoff.remaining(now) {
                self.core.setup.signal.pause(left.min(wait));
                return Ok(Step::Idle);
            }
            return Ok(if self.retry()? { Step::Progress } else { Step::Idle });
        }
        self.core.status.update(|s| s.last_progress = now);
        if let Some(place) = self.core.folds.iter().position(|f| f.emitting.is_some()) {
            self.core.go_on(place)?;
            return Ok(Step::Progress);
        }
        self.pause_full()?;
        let mut step = match self.reader.poll(wait.min(self.core.until_due(now)))? {
            Polled::Batch(batch) => {
                self.core.setup.reached(Moment::AfterPoll);
                if let Some(from) = self.core.take(&batch)? {
                    let back = Positions::from([(batch.partition.clone(), from)]);
                    self.reader.seek(&back)?;
                }
                Step::Progress
            }
            Polled::Assigned(assignment) => {
                self.assigned(assignment)?;
                Step::Progress
            }
            Polled::Nothing => Step::Idle,
        };
        if self.core.folds.iter().any(Fold::is_restoring) {
            for fold in &mut self.core.folds {
                fold.reached(self.reader.position(&fold.partition), &self.core.setup, &self.core.transactions.metrics)?;
            }
            self.look_at_lag()?;
        }
        if self.core.sealed.is_none() && self.core.is_due() {
            if self.core.has_uncommitted() {
                step = Step::Progress;
            }
            self.commit_now()?;
        }
        Ok(step)
    }

    /// Commits what there is to commit. `false`: the log refused, and a later step or call tries the same transaction again.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn commit_now(&mut self) -> Result<bool, TaskError> {
        let committed = self.core.commit()?;
        if committed {
            self.look_at_lag()?;
        }
        Ok(committed)
    }

    /// Whether anything was applied or emitted that is not committed.
    #[must_use]
    pub fn has_uncommitted(&self) -> bool {
        self.core.has_uncommitted()
    }

    /// Commits everything that was read, a large emission to its end, for an orderly stop; waits up to `wait` where it must. `false`: not yet; call again.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn drain(&mut self, wait: Duration) -> Result<bool, TaskError> {
        if self.core.sealed.is_some() {
            self.step(wait)?;
        } else if let Some(place) = self.core.folds.iter().position(|f| f.emitting.is_some()) {
            self.core.go_on(place)?;
        } else {
            return self.commit_now();
        }
        Ok(false)
    }

    /// Reads the partitions whose stages take records, and no others.
    fn pause_full(&mut self) -> Result<(), TaskError> {
        let full = self.core.folds.iter().filter(|fold| !fold.goes_on()).map(|fold| fold.partition.clone());
        let full: BTreeSet<Partition> = full.collect();
        if full != self.core.paused {
            self.reader.pause(&full)?;
            self.core.paused = full;
        }
        Ok(())
    }

    /// A refused transaction again, unless the partitions have gone to others meanwhile.
    fn retry(&mut self) -> Result<bool, TaskError> {
        let at: Positions = self.core.folds.iter().map(|f| (f.partition.clone(), self.reader.position(&f.partition))).collect();
        match self.reader.poll(Duration::ZERO)? {
            Polled::Assigned(assignment) => return self.assigned(assignment).map(|()| true),
            Polled::Batch(_) => self.reader.seek(&at)?,
            Polled::Nothing => {}
        }
        self.commit_now()
    }

    fn assigned(&mut self, assignment: Assignment) -> Result<(), TaskError> {
        let core = &mut self.core;
        core.forget();
        core.claim = Some(assignment.claim);
        let mut from = Positions::new();
        for (partition, committed) in assignment.partitions {
            let (fold, start) = Fold::restore(partition, committed, &core.parts, &core.setup, &core.transactions.metrics)?;
            from.insert(fold.partition.clone(), start);
            core.folds.push(fold);
        }
        tracing::info!(task = %core.setup.task_name(), partitions = from.len(), "assigned");
        core.setup.reached(Moment::InAssign);
        self.reader.seek(&from)?;
        self.look_at_lag()
    }

    fn look_at_lag(&self) -> Result<(), TaskError> {
        let mut positions = Positions::new();
        let mut lag = 0;
        for fold in &self.core.folds {
            let position = fold.committed_offset();
            positions.insert(fold.partition.clone(), position);
            let Some(end) = self.reader.end(&fold.partition)? else { continue };
            let behind = end.0.saturating_sub(position.0);
            self.core.transactions.metrics.lag(&fold.partition, behind);
            lag += behind;
        }
        let restoring = self.core.folds.iter().any(Fold::is_restoring);
        let state = if restoring { TaskState::Restoring } else { TaskState::Running };
        self.core.status.update(|s| (s.state, s.positions, s.lag) = (state, positions, lag));
        Ok(())
    }
}

impl Core {
    fn now(&self) -> Duration {
        self.setup.clock.monotonic()
    }

    fn has_uncommitted(&self) -> bool {
        !self.out.is_empty() || self.folds.iter().any(|f| f.touched)
    }

    /// Outputs wait for less: they come when a window closes, and each stage behind would add its own wait.
    fn until_due(&self, now: Duration) -> Duration {
        let interval = self.setup.settings.commit_interval;
        let interval = if self.out.is_empty() { interval } else { interval / WITH_OUTPUT };
        self.last_commit.saturating_add(interval).saturating_sub(now)
    }

    fn is_due(&self) -> bool {
        let gathered: usize = self.folds.iter().map(Fold::gathered).sum();
        let settings = &self.setup.settings;
        self.until_due(self.now()).is_zero()
            || self.read > settings.read_budget
            || gathered > settings.held_budget
            || self.out.size() >= settings.emit_budget
    }

    /// Applies records in order. `Some`: it could not go on to the end, and the reader must come back to this offset.
    fn take(&mut self, batch: &Batch<'_>) -> Result<Option<Offset>, TaskError> {
        let Some(place) = self.folds.iter().position(|f| f.partition == *batch.partition) else { return Ok(None) };
        self.transactions.metrics.records.increment(batch.len() as u64);
        self.transactions.metrics.bytes.increment(batch.size() as u64);
        for record in batch.iter() {
            let Some(fold) = self.folds.get_mut(place) else { break };
            if fold.replays(&record, &self.setup, &self.transactions.metrics)? {
                self.setup.reached(Moment::Replay);
                continue;
            }
            fold.apply(&record)?;
            self.setup.reached(Moment::Applied);
            let waits = planted(Bug::EmitAtBatchEnd) && batch.next_offset() != Some(record.offset.next());
            let whole = waits || fold.emit(self.setup.settings.emit_budget, &mut self.out)?;
            let plain = NewRecord { key: record.key, headers: &[], value: record.value };
            self.read += crate::transactions::size_of(&plain);
            let full = self.out.size() >= self.setup.settings.emit_budget;
            let committed = (whole && !full) || self.commit()?;
            let goes_on = self.folds.get(place).is_none_or(Fold::goes_on);
            if !(whole && committed && goes_on) {
                let next = record.offset.next();
                return Ok(Some(next).filter(|next| Some(*next) != batch.next_offset()));
            }
        }
        if let Some(fold) = self.folds.get_mut(place) {
            fold.batch_done(self.setup.settings.held_budget)?;
        }
        let held: usize = self.folds.iter().map(Fold::held).sum();
        self.transactions.metrics.held.set(held as f64);
        Ok(None)
    }

    /// The next part of an emission that is under way.
    fn go_on(&mut self, place: usize) -> Result<(), TaskError> {
        if let Some(fold) = self.folds.get_mut(place)
            && !fold.emit(self.setup.settings.emit_budget, &mut self.out)?
        {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<bool, TaskError> {
        let start = self.now();
        self.last_commit = start;
        let Some(claim) = &self.claim else { return Ok(true) };
        if self.sealed.is_none() {
            self.folds.iter_mut().for_each(Fold::look_for_news);
        }
        let read = match self.sealed.take() {
            Some(read) => read,
            None if !self.has_uncommitted() => return Ok(true),
            None => self.folds.iter_mut().map(|f| f.seal(&mut self.out)).collect::<Result<Read, TaskError>>()?,
        };
        let out = &self.out;
        let outcome = self.transactions.run(claim, &read, |to| out.send(to))?;
        let now = self.now();
        self.transactions.metrics.commit_seconds.record(now.saturating_sub(start));
        if outcome == Outcome::Refused {
            self.sealed = Some(read);
            self.backoff.refused(now);
            self.status.update(|s| s.state = TaskState::Refused);
            return Ok(false);
        }
        self.out.clear();
        self.read = 0;
        self.backoff.clear();
        for (fold, (_, committed)) in self.folds.iter_mut().zip(read) {
            fold.committed(committed)?;
            self.setup.reached(if fold.emitting.is_some() { Moment::MidCursor } else { Moment::StoreWrite });
        }
        Ok(true)
    }

    /// Drops everything uncommitted.
    fn forget(&mut self) {
        self.folds.iter().for_each(|fold| self.transactions.metrics.no_lag(&fold.partition));
        self.folds.clear();
        // A new assignment reads all again.
        self.paused.clear();
        self.out.clear();
        self.sealed = None;
        self.read = 0;
        self.backoff.clear();
        self.status.update(|s| s.state = TaskState::Restoring);
    }
}
