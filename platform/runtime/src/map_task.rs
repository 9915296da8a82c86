//! Drives a map stage: poll, process, and every commit interval one transaction of outputs and positions.
//!
//! Each commit carries the positions of *all* owned partitions, so that a claim which is out of date fences idle ones too. Beside each stands
//! `number: varint`, which rises with every transaction: it tells a doubtful transaction that moved no position from the one before; and
//! behind it what is known of deaths at this position (`care`).
//! The first transaction after an assignment is always made, also an empty one: it fetches the log's time. An idle claim needs a time that the
//! log gave *before* the partition's end was asked for; it makes a transaction even when the stage has nothing to say about it, since only
//! the next transaction brings a newer time to claim with. After a refusal the stage forgets and the reader goes back to the committed
//! positions; a full log is thereby back-pressure.

use crate::care::{Care, Caution, Lived, Plan, Site};
use crate::moments::Moment;
use crate::task::{Backoff, StatusCell, Step, TaskError, TaskSetup, TaskState};
use crate::transactions::{Outcome, Read, Transactions};
use platform_core::codec::{Cursor, put_u64};
use platform_core::log::{Assignment, Claim, Committed, LogError, Polled, Positions, Reader};
use platform_core::planted::{Bug, planted};
use platform_core::record::{Batch, Offset, Partition};
use platform_core::stage::MapStage;
use platform_core::time::AppendTime;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A map stage with its partitions.
pub struct MapTask {
    setup: TaskSetup,
    stage: Box<dyn MapStage>,
    reader: Box<dyn Reader>,
    transactions: Transactions,
    claim: Option<Claim>,
    owned: Vec<Owned>,
    /// Number of the next transaction.
    number: u64,
    /// The newest time that the log gave with a commit.
    known: Option<AppendTime>,
    /// The newest time that the stage was asked with.
    asked: Option<AppendTime>,
    /// No transaction was made since the assignment.
    fresh: bool,
    /// The stage needs a newer time than is known: the next transaction is made, also an empty one.
    waits: bool,
    /// Bytes read since the last commit.
    read: usize,
    last_commit: Duration,
    backoff: Backoff,
    /// Monotonic time before which nothing is read.
    not_before: Duration,
    /// Records that the task read alone, and lived, and that are not committed; partitions may be another's by now.
    lived: BTreeMap<Partition, Lived>,
    /// One of them was to be committed and was refused: that the task lived is said before it reads on.
    owes: bool,
    status: Arc<StatusCell>,
}

struct Owned {
    partition: Partition,
    committed: Offset,
    /// Up to here the stage was told what there is; the reader may be further, behind offsets that the log uses for itself. This is what is
    /// committed: what a stage says of its input and the position beside it must agree.
    told: Offset,
    /// A record came since the last commit.
    active: bool,
    caution: Caution,
    #[cfg(planted)]
    was_at_end: bool,
}

impl Owned {
    /// These were read, or put aside without a look; gives the record that was read alone.
    fn took(&mut self, batch: &Batch<'_>, looked: bool) -> Option<Lived> {
        self.active = true;
        self.told = batch.next_offset().unwrap_or(self.told);
        self.caution.took(batch, looked)
    }
}

impl MapTask {
    /// A task that reads through `reader`, which brings an assignment first. Fences an earlier task of the same name.
    ///
    /// # Errors
    /// When the log gives no writer.
    pub fn new(setup: TaskSetup, stage: Box<dyn MapStage>, reader: Box<dyn Reader>) -> Result<Self, TaskError> {
        let transactions = Transactions::new(&setup)?;
        let now = setup.clock.monotonic();
        let status = StatusCell::new(setup.task_name(), now);
        Ok(Self {
            setup,
            stage,
            reader,
            transactions,
            claim: None,
            owned: Vec::new(),
            number: 0,
            known: None,
            asked: None,
            fresh: true,
            waits: false,
            read: 0,
            last_commit: now,
            backoff: Backoff::default(),
            not_before: now,
            lived: BTreeMap::new(),
            owes: false,
            status,
        })
    }

    /// What it shows of itself.
    #[must_use]
    pub fn status(&self) -> Arc<StatusCell> {
        Arc::clone(&self.status)
    }

    /// Waits up to `wait` for records, and commits when it is time.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn step(&mut self, wait: Duration) -> Result<Step, TaskError> {
        let now = self.setup.clock.monotonic();
        let turn = self.not_before.checked_sub(now).filter(|left| !left.is_zero());
        if let Some(left) = self.backoff.remaining(now).or(turn) {
            self.setup.signal.pause(left.min(wait));
            return Ok(Step::Idle);
        }
        if self.owes {
            self.commit_now()?;
            return Ok(Step::Progress);
        }
        let step = match self.reader.poll(wait.min(self.until_due(now)))? {
            Polled::Batch(batch)
                if batch.newest().is_some_and(|newest| !ready(&mut *self.stage, &self.setup, &mut self.asked, newest, self.known)) =>
            {
                let partition = batch.partition.clone();
                let back = self.owned.iter().find(|o| o.partition == partition).map(|o| o.told);
                self.reader.seek(&back.map(|told| (partition, told)).into_iter().collect())?;
                self.waits = true;
                self.setup.signal.pause(wait.min(self.until_due(now)));
                Step::Idle
            }
            Polled::Batch(batch) => {
                self.setup.reached(Moment::AfterPoll);
                self.read += batch.size();
                self.transactions.metrics.records.increment(batch.len() as u64);
                self.transactions.metrics.bytes.increment(batch.size() as u64);
                match self.owned.iter_mut().find(|o| o.partition == *batch.partition) {
                    Some(owned) if owned.caution.limit() < usize::MAX => {
                        let copy = batch.copied();
                        copy.batch().map_or(Ok(()), |batch| self.read_carefully(&batch))?;
                    }
                    owned => {
                        self.setup.place.moments.reading(&self.setup.stage, &batch);
                        self.stage.process(&batch);
                        if let Some(owned) = owned {
                            owned.took(&batch, true);
                        }
                    }
                }
                Step::Progress
            }
            Polled::Assigned(assignment) => {
                self.assigned(assignment)?;
                Step::Progress
            }
            Polled::Nothing => Step::Idle,
        };
        let now = self.setup.clock.monotonic();
        self.status.update(|s| s.last_progress = now);
        let held = self.stage.held();
        // What shows that a start got further does not wait: until then another member would take this one for dead.
        let shows = self.owned.iter().any(|o| o.told != o.committed && o.caution.is_doubted());
        if shows || self.until_due(now).is_zero() || held > self.setup.settings.held_budget || self.read > self.setup.settings.read_budget {
            self.transactions.metrics.held.set(held as f64);
            self.commit_now()?;
        }
        Ok(step)
    }

    /// Commits what there is to commit. `false`: the log refused, the input was rewound, and the next steps read it again.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn commit_now(&mut self) -> Result<bool, TaskError> {
        let Some(claim) = self.claim.as_ref() else { return Ok(true) };
        self.last_commit = self.setup.clock.monotonic();
        self.read = 0;
        let mut claimed = false;
        for owned in &mut self.owned {
            let active = std::mem::take(&mut owned.active);
            let Some(known) = self.known.filter(|_| !active) else { continue };
            if !ready(&mut *self.stage, &self.setup, &mut self.asked, known, Some(known)) {
                self.waits = true;
                continue;
            }
            // The end is asked for after the commit that `known` came from.
            let position = self.reader.position(&owned.partition);
            let at_end = self.reader.end(&owned.partition)? == Some(position);
            #[cfg(planted)]
            let at_end = if planted(Bug::IdleTimeAfterEnd) { std::mem::replace(&mut owned.was_at_end, at_end) } else { at_end };
            if at_end {
                self.stage.idle(&owned.partition, position, known);
                owned.told = position;
                claimed = true;
                self.setup.reached(Moment::IdleClaim);
            }
        }
        let number = self.number;
        // What this commit settles needs no word.
        let settled = |partition: &Partition, at: Offset| self.owned.iter().any(|o| o.partition == *partition && o.told > at);
        let unsettled: Vec<_> = self.lived.iter().filter(|(partition, lived)| !settled(partition, lived.offset)).collect();
        let position = |o: &Owned| {
            let mut metadata = Vec::with_capacity(20);
            put_u64(&mut metadata, number);
            let lived = unsettled.iter().filter_map(|(partition, lived)| Some((self.site(partition)?, **lived)));
            o.caution.next(o.told, o.told != o.committed, number).put(lived, &mut metadata);
            let mut offset = o.told;
            if planted(Bug::PositionOfLastRecord) && offset > o.committed {
                offset = Offset(offset.0 - 1);
            }
            (o.partition.clone(), Committed { offset, metadata })
        };
        let read: Read = self.owned.iter().map(position).collect();
        let moved = read.iter().zip(&self.owned).any(|((_, to), o)| to.offset != o.committed);
        let marks = self.owned.iter().any(|o| o.caution.is_marking());
        // Refused as well, it would keep the task from hearing that its partitions have gone.
        let owed = std::mem::take(&mut self.owes);
        if read.is_empty() || !(self.fresh || self.waits || claimed || moved || marks || owed || self.stage.has_output()) {
            return self.look_at_lag().map(|()| true);
        }
        let stage = &mut self.stage;
        #[cfg(planted)]
        let read = if planted(Bug::UnchangedPositionsLeftOut) && !moved { Read::new() } else { read };
        let outcome = self.transactions.run(claim, &read, |out| stage.emit(out))?;
        let now = self.setup.clock.monotonic();
        self.transactions.metrics.commit_seconds.record(now.saturating_sub(self.last_commit));
        match outcome {
            Outcome::Committed(newest) => {
                self.stage.committed();
                self.number += 1;
                // A doubtful one that took place has fetched no time: one more.
                self.fresh &= newest.is_none();
                self.waits = false;
                // A log that has given no time yet says the least there is.
                self.known = newest.filter(|t| t.0 > i64::MIN).or(self.known);
                self.backoff.clear();
                for (owned, (_, to)) in self.owned.iter_mut().zip(&read) {
                    owned.caution.committed(owned.told, owned.told != owned.committed, number);
                    owned.committed = to.offset;
                    if self.lived.get(&owned.partition).is_some_and(|lived| lived.offset < owned.committed) {
                        self.lived.remove(&owned.partition);
                    }
                }
                self.look_at_lag()?;
                Ok(true)
            }
            Outcome::Refused => {
                self.rewind()?;
                self.owes = !owed && self.lived.values().any(|lived| lived.mark.is_some());
                self.backoff.refused(now);
                self.status.update(|s| s.state = TaskState::Refused);
                Ok(false)
            }
        }
    }

    /// The input is bounded and has ended: commits what is held, then says so downstream.
    ///
    /// # Errors
    /// Then the task has ended.
    pub fn end(&mut self) -> Result<(), TaskError> {
        self.stage.ended();
        self.fresh = true; // also when the stage holds nothing else
        self.commit_now().map(drop)
    }

    fn assigned(&mut self, assignment: Assignment) -> Result<(), TaskError> {
        self.claim = Some(assignment.claim);
        self.owned.iter().for_each(|owned| self.transactions.metrics.no_lag(&owned.partition));
        self.owned.clear();
        // The next commit of this task writes over it.
        let said: Vec<_> = assignment.partitions.iter().filter_map(|(_, c)| c.as_ref()).flat_map(said_in).collect();
        let mut from = Vec::with_capacity(assignment.partitions.len());
        let mut begin = Positions::new();
        for (partition, committed) in assignment.partitions {
            let (offset, number, care) = match committed {
                Some(c) => {
                    let mut cursor = Cursor::new(&c.metadata);
                    // What cannot be read as a number was not written by such a task; counting goes on from the others.
                    (c.offset, cursor.u64().map_or(0, |n| n + 1), Care::read(&mut cursor))
                }
                None => {
                    let start = match self.stage.begins_at(&partition) {
                        Some(declared) => declared,
                        None => self.setup.log.bounds(&partition)?.0,
                    };
                    begin.insert(partition.clone(), start);
                    (start, 0, Care::default())
                }
            };
            let care = self.site(&partition).map_or(care, |site| care.heard(site, &said));
            if self.lived.get(&partition).is_some_and(|lived| lived.offset < offset) {
                self.lived.remove(&partition);
            }
            let harmless = self.lived.get(&partition).map(|lived| lived.offset);
            let caution = Caution::new(care, offset, self.reader.end(&partition)?, harmless);
            if caution.starts() > 0 {
                let (task, starts) = (self.setup.task_name(), caution.starts());
                tracing::warn!(%task, %partition, %offset, starts, "a process died here, perhaps of a record: read with care");
            }
            self.number = self.number.max(number);
            from.push((partition.clone(), Committed { offset, metadata: Vec::new() }));
            self.owned.push(Owned {
                partition,
                committed: offset,
                told: offset,
                active: false,
                caution,
                #[cfg(planted)]
                was_at_end: false,
            });
        }
        self.stage.assigned(&from);
        self.setup.reached(Moment::InAssign);
        if !begin.is_empty() {
            self.reader.seek(&begin)?; // the others begin where they were committed
        }
        // A time from before the assignment is still a time from before any end asked for now.
        (self.fresh, self.read) = (true, 0);
        let wait = self.owned.iter().map(|o| o.caution.wait(self.setup.slot)).max().unwrap_or_default();
        self.not_before = self.setup.clock.monotonic().saturating_add(wait);
        tracing::info!(task = %self.setup.task_name(), partitions = from.len(), "assigned");
        Ok(())
    }

    /// Reads a batch in parts that leave a trace when the process dies of them. What it does not get to in time comes again.
    fn read_carefully(&mut self, batch: &Batch<'_>) -> Result<(), TaskError> {
        let most = self.owned.iter().find(|o| o.partition == *batch.partition).map_or(1, |o| o.caution.limit());
        let deadline = self.setup.clock.monotonic().saturating_add(self.setup.settings.commit_interval);
        let mut parts = batch.parts(most).peekable();
        while let Some(part) = parts.next() {
            let suspect = self.owned.iter().find(|o| o.partition == *batch.partition).and_then(|o| o.caution.suspects(&part));
            let acquitted = suspect.map_or(Ok(false), |mark| self.was_lived_through(batch.partition, mark))?;
            let Some(owned) = self.owned.iter_mut().find(|o| o.partition == *batch.partition) else { return Ok(()) };
            if acquitted {
                owned.caution.acquit();
            }
            let plan = owned.caution.plan(&part, self.known.unwrap_or(AppendTime(i64::MIN)));
            if let Plan::CommitFirst | Plan::Mark(..) = plan {
                // There is more of it, so nobody may claim it idle.
                owned.active = true;
                owned.caution.mark(if let Plan::Mark(offset, now) = plan { Some((offset, now)) } else { None });
                if !self.commit_now()? {
                    return Ok(());
                }
            }
            if plan == Plan::PutAside {
                let offset = part.iter().next().map(|record| record.offset.0);
                tracing::error!(task = %self.setup.task_name(), partition = %batch.partition, offset, "it kills who reads it: put aside");
                self.stage.crashed(&part);
            } else {
                self.setup.place.moments.reading(&self.setup.stage, &part);
                self.stage.process(&part);
            }
            if let Some(owned) = self.owned.iter_mut().find(|o| o.partition == *batch.partition)
                && let Some(alone) = owned.took(&part, plan != Plan::PutAside)
            {
                self.lived.insert(batch.partition.clone(), alone);
            }
            let late = self.setup.clock.monotonic() >= deadline || self.setup.signal.is_stopping();
            if late && parts.peek().is_some() {
                return if self.commit_now()? { self.rewind() } else { Ok(()) };
            }
        }
        // No mark stands longer than it takes to read the record.
        if most == 1 { self.commit_now().map(drop) } else { Ok(()) }
    }

    /// Whether some process says that it lived through this mark.
    fn was_lived_through(&self, partition: &Partition, mark: Lived) -> Result<bool, LogError> {
        let (group, log) = (self.setup.group(), &self.setup.log);
        let Some(site) = self.site(partition) else { return Ok(false) };
        for topic in &self.setup.reads {
            for index in 0..log.partitions(topic)? {
                let Some(committed) = log.committed(&group, &Partition::new(topic, index))? else { continue };
                if said_in(&committed).contains(&(site, mark)) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// A partition as commits name it.
    fn site(&self, partition: &Partition) -> Option<Site> {
        let topic = self.setup.reads.iter().position(|topic| *topic == partition.topic)?;
        Some((topic as u64, u64::from(partition.index)))
    }

    fn rewind(&mut self) -> Result<(), TaskError> {
        self.stage.aborted();
        if planted(Bug::NoSeekAfterAbort) {
            return Ok(());
        }
        for owned in &mut self.owned {
            owned.told = owned.committed;
            owned.caution.refused();
        }
        let to: Positions = self.owned.iter().map(|o| (o.partition.clone(), o.committed)).collect();
        Ok(self.reader.seek(&to)?)
    }

    fn until_due(&self, now: Duration) -> Duration {
        match &self.claim {
            None => Duration::MAX,
            Some(_) if self.fresh && !self.owned.is_empty() => Duration::ZERO,
            Some(_) => self.last_commit.saturating_add(self.setup.settings.commit_interval).saturating_sub(now),
        }
    }

    fn look_at_lag(&self) -> Result<(), TaskError> {
        let mut lag = 0;
        for owned in &self.owned {
            let Some(end) = self.reader.end(&owned.partition)? else { continue };
            let behind = end.0.saturating_sub(owned.committed.0);
            self.transactions.metrics.lag(&owned.partition, behind);
            lag += behind;
        }
        self.status.update(|s| {
            s.state = TaskState::Running;
            s.lag = lag;
            s.positions = self.owned.iter().map(|o| (o.partition.clone(), o.committed)).collect();
        });
        Ok(())
    }
}

/// What a task said beside a position of what it lived through.
fn said_in(committed: &Committed) -> Vec<(Site, Lived)> {
    let mut cursor = Cursor::new(&committed.metadata);
    if cursor.u64().is_ok() { Care::read_lived(&mut cursor).collect() } else { Vec::new() }
}

/// Whether the stage may go on to `newest`.
fn ready(
    stage: &mut dyn MapStage,
    setup: &TaskSetup,
    asked: &mut Option<AppendTime>,
    newest: AppendTime,
    known: Option<AppendTime>,
) -> bool {
    let ready = stage.ready(newest, known);
    if known > std::mem::replace(asked, known) {
        setup.reached(Moment::ControlRead);
    }
    ready
}
