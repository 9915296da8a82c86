//! Drives a merge stage: for each owned partition number one fold over its own output, with one store and all inputs of that number.
//!
//! The rules, in the order in which they are used:
//! - *Restore.* The task takes its transactional id first, which ends whatever an earlier owner left open. Then it reads its own outputs from
//!   where the store stands to their ends (the high watermark: a committed record may wait for its marker), and only then its inputs. So it
//!   sees all that any earlier owner has written, or has fenced it.
//! - *Live.* Records are applied one by one; an input that the stage holds back goes to the record that was held and is not read until the
//!   stage lets it go on. Between records the stage may look at what comes from elsewhere.
//! - *Commit.* Outputs and the positions of all inputs in one transaction, sealed once: a refused one is sent again byte for byte, and nothing
//!   is applied before it is through. Beside each position stands what the stage says, and the number of the transaction, which tells a
//!   doubtful one that moved no position from the one before.
//! - *Store.* Changes are written only after the commit that covers them.

use crate::moments::Moment;
use crate::outputs::Outputs;
use crate::task::{Backoff, StatusCell, Step, TaskError, TaskSetup, TaskState};
use crate::transactions::{Outcome, Read, Transactions};
use platform_core::log::{Assignment, Claim, Committed, Polled, Positions, Reader, Subscription};
use platform_core::pipeline::MakeMerge;
use platform_core::record::{Batch, Offset, Partition};
use platform_core::stage::{COMMIT_NUMBER, Emit as _, MergeStage, StageError, Taken};
use platform_core::store::{Changes, Store, Stores};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// With outputs, the longest time between two commits is the interval divided by this.
const WITH_OUTPUT: u32 = 5;

/// What a merge stage is made of: shared by its tasks.
#[derive(Clone)]
pub struct MergeParts {
    /// Makes the stage of one partition number.
    pub make: Arc<MakeMerge>,
    /// Format of its stores.
    pub format: u32,
    /// Where they are.
    pub stores: Arc<dyn Stores>,
}

/// A merge stage with its partitions.
pub struct MergeTask {
    reader: Box<dyn Reader>,
    core: Core,
}

/// All but the reader, whose batch is borrowed while records are applied.
struct Core {
    setup: TaskSetup,
    parts: MergeParts,
    transactions: Transactions,
    claim: Option<Claim>,
    merges: Vec<Merge>,
    /// Reads the own outputs, while they are read.
    restoring: Option<Restoring>,
    out: Outputs,
    /// Positions of the transaction that waits to be committed; while there is one, nothing is applied.
    sealed: Option<Read>,
    /// Number of the next transaction.
    number: u64,
    /// Something moved or was emitted since the last commit.
    touched: bool,
    /// Of the inputs, which are not read.
    paused: BTreeSet<Partition>,
    last_commit: Duration,
    last_look: Duration,
    backoff: Backoff,
    status: Arc<StatusCell>,
}

/// One partition number.
struct Merge {
    stage: Box<dyn MergeStage>,
    store: Box<dyn Store>,
    inputs: BTreeMap<Partition, Offset>,
    changes: Changes,
}

struct Restoring {
    reader: Box<dyn Reader>,
    /// Ends of the own outputs, to be reached.
    until: Positions,
    since: Duration,
}

impl MergeTask {
    /// A task that reads through `reader`, which brings an assignment first. Fences an earlier task of the same name.
    ///
    /// # Errors
    /// When the log gives no writer.
    pub fn new(setup: TaskSetup, parts: MergeParts, reader: Box<dyn Reader>) -> Result<Self, TaskError> {
        let transactions = Transactions::new(&setup)?;
        let now = setup.clock.monotonic();
        let status = StatusCell::new(setup.task_name(), now);
        let core = Core {
            setup,
            parts,
            transactions,
            claim: None,
            merges: Vec::new(),
            restoring: None,
            out: Outputs::default(),
            sealed: None,
            number: 0,
            touched: false,
            paused: BTreeSet::new(),
            last_commit: now,
            last_look: now,
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

    /// Goes on with what is unfinished, else waits up to `wait` for records; commits when it is time.
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
        if self.core.restoring.is_some() {
            return self.restore_on(wait);
        }
        let due = self.core.until_due(now).min(self.core.until_look(now));
        let mut step = match self.reader.poll(wait.min(due))? {
            Polled::Batch(batch) => {
                self.core.setup.reached(Moment::AfterPoll);
                if let Some(held) = self.core.take(&batch)? {
                    let back = Positions::from([(batch.partition.clone(), held)]);
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
        if self.core.restoring.is_some() {
            return Ok(step);
        }
        if self.core.sealed.is_none() && self.core.until_look(self.core.now()).is_zero() && self.core.look()? {
            step = Step::Progress;
        }
        if self.core.sealed.is_none() && self.core.is_due() {
            if self.core.touched {
                step = Step::Progress;
            }
            self.commit_now()?;
        }
        self.go_on()?;
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
        self.core.touched || self.core.sealed.is_some()
    }

    /// Commits everything that was read, for an orderly stop; waits up to `wait` where it must. `false`: not yet; call again.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn drain(&mut self, wait: Duration) -> Result<bool, TaskError> {
        if self.core.restoring.is_some() {
            return Ok(true);
        }
        if self.core.sealed.is_some() {
            self.step(wait)?;
            return Ok(false);
        }
        self.commit_now()
    }

    /// A refused transaction again, unless the partitions have gone to others meanwhile.
    fn retry(&mut self) -> Result<bool, TaskError> {
        let at: Positions = self.core.merges.iter().flat_map(|m| &m.inputs).map(|(p, at)| (p.clone(), *at)).collect();
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
        let mut by_number: BTreeMap<u32, Vec<(Partition, Option<Committed>)>> = BTreeMap::new();
        for (partition, committed) in assignment.partitions {
            by_number.entry(partition.index).or_default().push((partition, committed));
        }
        let mut from = Positions::new();
        for (number, inputs) in by_number {
            from.extend(core.restore(number, inputs)?);
        }
        self.core.paused = self.core.inputs().keys().cloned().collect();
        self.reader.seek(&self.core.inputs())?;
        self.reader.pause(&self.core.paused)?;
        tracing::info!(task = %self.core.setup.task_name(), partitions = self.core.paused.len(), "assigned");
        self.core.setup.reached(Moment::InAssign);
        self.core.open(from)?;
        self.look_at_lag()
    }

    /// Reads on in the own outputs; the inputs are not read meanwhile, but whoever reads them stays a member.
    fn restore_on(&mut self, wait: Duration) -> Result<Step, TaskError> {
        match self.reader.poll(Duration::ZERO)? {
            Polled::Assigned(assignment) => {
                self.assigned(assignment)?;
                return Ok(Step::Progress);
            }
            Polled::Batch(_) => self.reader.seek(&self.core.inputs())?,
            Polled::Nothing => {}
        }
        let step = self.core.recall(wait)?;
        if self.core.restoring.is_none() {
            self.core.look()?;
            self.go_on()?;
            self.look_at_lag()?;
        }
        Ok(step)
    }

    /// Reads the inputs that the stage wants, and no others.
    fn go_on(&mut self) -> Result<(), TaskError> {
        if self.core.restoring.is_some() {
            return Ok(());
        }
        let paused: BTreeSet<Partition> = self.core.merges.iter().flat_map(Merge::held_back).collect();
        if paused != self.core.paused {
            self.reader.pause(&paused)?;
            self.core.paused = paused;
        }
        Ok(())
    }

    fn look_at_lag(&self) -> Result<(), TaskError> {
        let positions = self.core.inputs();
        let mut lag = 0;
        for (partition, position) in &positions {
            let Some(end) = self.reader.end(partition)? else { continue };
            let behind = end.0.saturating_sub(position.0);
            self.core.transactions.metrics.lag(partition, behind);
            // What is held back on purpose is no lag.
            if !self.core.paused.contains(partition) {
                lag += behind;
            }
        }
        let state = if self.core.restoring.is_some() { TaskState::Restoring } else { TaskState::Running };
        self.core.status.update(|s| (s.state, s.positions, s.lag) = (state, positions, lag));
        Ok(())
    }
}

impl Merge {
    fn held_back(&self) -> impl Iterator<Item = Partition> + '_ {
        self.inputs.keys().filter(|input| !self.stage.goes_on(input)).cloned()
    }

    fn write_changes(&mut self, number: u64) -> Result<(), TaskError> {
        self.changes.list.clear();
        self.stage.changes(&mut self.changes);
        if !self.changes.is_empty() {
            self.store.write(&self.changes, Offset(number))?;
        }
        Ok(())
    }
}

impl Core {
    fn now(&self) -> Duration {
        self.setup.clock.monotonic()
    }

    fn inputs(&self) -> Positions {
        self.merges.iter().flat_map(|m| &m.inputs).map(|(p, at)| (p.clone(), *at)).collect()
    }

    /// Makes the stage of one number from its store; gives from where its outputs must be read.
    fn restore(&mut self, number: u32, inputs: Vec<(Partition, Option<Committed>)>) -> Result<Positions, TaskError> {
        let mut plain = Vec::new();
        let mut at = BTreeMap::new();
        for (partition, committed) in inputs {
            let start = || self.setup.log.bounds(&partition).map(|(start, _)| start);
            at.insert(partition.clone(), committed.as_ref().map_or_else(start, |c| Ok(c.offset))?);
            let committed = committed.map(|mut committed| {
                let length = committed.metadata.len().saturating_sub(COMMIT_NUMBER);
                let last = committed.metadata.split_off(length);
                self.number = self.number.max(<[u8; COMMIT_NUMBER]>::try_from(last).map_or(0, u64::from_be_bytes) + 1);
                committed
            });
            plain.push((partition, committed));
        }
        let mut store = self.parts.stores.open(&self.setup.stores(), number, self.parts.format)?;
        let mut stage = (self.parts.make)(number);
        let failed = |number, source: StageError| TaskError::Stage { partition: name_of(&at, number), source };
        let mut from = stage.restore(&*store, &plain).map_err(|source| failed(number, source))?;
        if !self.lies_within(&from)? {
            // It stands for another log, or for one that was cut off.
            tracing::warn!(number, "store discarded");
            self.transactions.metrics.discarded.increment(1);
            store.clear()?;
            stage = (self.parts.make)(number);
            from = stage.restore(&*store, &plain).map_err(|source| failed(number, source))?;
        }
        self.merges.push(Merge { stage, store, inputs: at, changes: Changes::default() });
        Ok(from)
    }

    fn lies_within(&self, positions: &Positions) -> Result<bool, TaskError> {
        for (partition, at) in positions {
            if *at > self.setup.log.bounds(partition)?.1 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Begins to read the own outputs.
    fn open(&mut self, from: Positions) -> Result<(), TaskError> {
        let outputs: BTreeSet<Partition> = self.merges.iter().flat_map(|m| m.stage.outputs()).collect();
        let topics: BTreeSet<_> = outputs.iter().map(|output| output.topic.clone()).collect();
        let subscription = Subscription { group: None, topics: topics.into_iter().collect() };
        let mut reader = self.setup.log.reader(&subscription)?;
        let mut others = BTreeSet::new();
        for topic in &subscription.topics {
            let all = (0..self.setup.log.partitions(topic)?).map(|index| Partition::new(topic, index));
            others.extend(all.filter(|partition| !outputs.contains(partition)));
        }
        reader.pause(&others)?;
        let (mut at, mut until) = (Positions::new(), Positions::new());
        for output in outputs {
            let (start, end) = self.setup.log.bounds(&output)?;
            at.insert(output.clone(), from.get(&output).copied().unwrap_or(start).max(start));
            until.insert(output, end);
        }
        reader.seek(&at)?;
        self.restoring = Some(Restoring { reader, until, since: self.now() });
        Ok(())
    }

    /// Takes what the own outputs have next; ends the restore at their ends.
    fn recall(&mut self, wait: Duration) -> Result<Step, TaskError> {
        let Some(restoring) = &mut self.restoring else { return Ok(Step::Idle) };
        let reached = |reader: &dyn Reader, until: &Positions| until.iter().all(|(output, end)| reader.position(output) >= *end);
        let mut step = Step::Idle;
        if !reached(&*restoring.reader, &restoring.until) {
            if let Polled::Batch(batch) = restoring.reader.poll(wait)? {
                step = Step::Progress;
                if let Some(merge) = self.merges.iter_mut().find(|m| m.stage.outputs().contains(batch.partition)) {
                    for record in batch.iter() {
                        let recalled = merge.stage.recall(batch.partition, &record, &*merge.store);
                        recalled.map_err(|source| TaskError::Stage { partition: batch.partition.clone(), source })?;
                        self.setup.reached(Moment::Replay);
                    }
                    if merge.stage.held() > self.setup.settings.held_budget {
                        merge.write_changes(self.number)?;
                    }
                }
            }
            if !reached(&*restoring.reader, &restoring.until) {
                return Ok(step);
            }
        }
        for merge in &mut self.merges {
            merge.stage.recalled(&restoring.until);
        }
        let since = restoring.since;
        self.restoring = None;
        self.transactions.metrics.restore_seconds.record(self.now().saturating_sub(since));
        tracing::info!(task = %self.setup.task_name(), "live");
        Ok(Step::Progress)
    }

    /// Outputs wait for less: they come when a window closes, and each stage behind would add its own wait.
    fn until_due(&self, now: Duration) -> Duration {
        let interval = self.setup.settings.commit_interval;
        let interval = if self.out.is_empty() { interval } else { interval / WITH_OUTPUT };
        self.last_commit.saturating_add(interval).saturating_sub(now)
    }

    fn until_look(&self, now: Duration) -> Duration {
        self.last_look.saturating_add(self.setup.settings.commit_interval / WITH_OUTPUT).saturating_sub(now)
    }

    fn is_due(&self) -> bool {
        let held: usize = self.merges.iter().map(|m| m.stage.held()).sum();
        let settings = &self.setup.settings;
        self.until_due(self.now()).is_zero() || self.out.size() >= settings.emit_budget || held > settings.held_budget
    }

    /// Applies records in order. `Some`: it could not go on to the end, and the reader must come back to this offset.
    fn take(&mut self, batch: &Batch<'_>) -> Result<Option<Offset>, TaskError> {
        let Some(place) = self.merges.iter().position(|m| m.inputs.contains_key(batch.partition)) else { return Ok(None) };
        self.transactions.metrics.records.increment(batch.len() as u64);
        self.transactions.metrics.bytes.increment(batch.size() as u64);
        for record in batch.iter() {
            let Some(merge) = self.merges.get_mut(place) else { break };
            let taken = merge.stage.apply(batch.partition, &record, &*merge.store, &mut self.out);
            let taken = taken.map_err(|source| TaskError::Stage { partition: batch.partition.clone(), source })?;
            if taken == Taken::Held {
                return Ok(Some(record.offset));
            }
            self.setup.reached(Moment::Applied);
            self.touched = true;
            let next = record.offset.next();
            if let Some(at) = merge.inputs.get_mut(batch.partition) {
                *at = next;
            }
            if self.out.size() >= self.setup.settings.emit_budget && !self.commit()? {
                return Ok(Some(next).filter(|next| Some(*next) != batch.next_offset()));
            }
        }
        Ok(None)
    }

    /// Lets the stages look at what comes from elsewhere. `true`: there is more to do.
    fn look(&mut self) -> Result<bool, TaskError> {
        self.last_look = self.now();
        let mut more = false;
        for merge in &mut self.merges {
            let looked = merge.stage.look(&*merge.store, &mut self.out);
            more |= looked.map_err(|source| TaskError::Stage { partition: name_of(&merge.inputs, 0), source })?;
        }
        if more {
            // What is done beside the inputs goes on at once.
            self.last_look = Duration::ZERO;
        }
        self.touched |= !self.out.is_empty();
        Ok(more)
    }

    fn commit(&mut self) -> Result<bool, TaskError> {
        let start = self.now();
        self.last_commit = start;
        let Some(claim) = &self.claim else { return Ok(true) };
        let read = match self.sealed.take() {
            Some(read) => read,
            None if !self.touched || self.restoring.is_some() => return Ok(true),
            None => self.positions(),
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
        self.touched = false;
        self.number += 1;
        self.backoff.clear();
        for merge in &mut self.merges {
            merge.write_changes(self.number)?;
            self.setup.reached(Moment::StoreWrite);
        }
        Ok(true)
    }

    /// Positions of all inputs, with what stands beside them.
    fn positions(&self) -> Read {
        let mut read = Read::new();
        for merge in &self.merges {
            for (partition, at) in &merge.inputs {
                let mut metadata = merge.stage.metadata(partition);
                metadata.extend_from_slice(&self.number.to_be_bytes());
                read.push((partition.clone(), Committed { offset: *at, metadata }));
            }
        }
        read
    }

    /// Drops everything uncommitted.
    fn forget(&mut self) {
        self.inputs().keys().for_each(|input| self.transactions.metrics.no_lag(input));
        self.merges.clear();
        self.restoring = None;
        self.out.clear();
        self.sealed = None;
        self.touched = false;
        self.backoff.clear();
        self.status.update(|s| s.state = TaskState::Restoring);
    }
}

/// For messages: an input of a partition number.
fn name_of(inputs: &BTreeMap<Partition, Offset>, number: u32) -> Partition {
    inputs.keys().next().cloned().unwrap_or_else(|| Partition::new(&platform_core::record::Topic::new("none"), number))
}
