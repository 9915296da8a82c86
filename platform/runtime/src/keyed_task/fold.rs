//! One partition of a keyed task: the stage's state, its store, and where both stand against what is committed.
//!
//! Holds no transaction and reads no log; see the rules in `keyed_task.rs`.

use super::KeyedParts;
use crate::beside::Beside;
use crate::metrics::TaskMetrics;
use crate::outputs::{Discard, Outputs};
use crate::task::{TaskError, TaskSetup};
use platform_core::invariants;
use platform_core::log::Committed;
use platform_core::planted::{Bug, planted};
use platform_core::record::{Offset, Partition, Record};
use platform_core::stage::{Emitted, KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use std::time::Duration;

pub(super) struct Fold {
    pub(super) partition: Partition,
    stage: Box<dyn KeyedStage>,
    store: Box<dyn Store>,
    /// As it stands in the log; `None`: never committed.
    committed: Option<Committed>,
    /// Position behind the last record applied.
    next: Offset,
    restoring: Option<Restoring>,
    /// Cursor to go on from once the record at `next` is applied.
    resume: Option<Vec<u8>>,
    /// What stood beside the position before the last record was applied.
    before: Beside,
    /// The last record is being emitted, up to this cursor.
    pub(super) emitting: Option<Vec<u8>>,
    /// Something was applied or emitted since the last commit, or the stage has something else to note.
    pub(super) touched: bool,
    /// The stage's metadata as of the last commit.
    noted: Vec<u8>,
    /// What the stage held when its changes were last taken, and holds now.
    held_then: usize,
    held: usize,
    changes: Changes,
}

struct Restoring {
    until: Offset,
    since: Duration,
}

impl Fold {
    /// Opens the store, rebuilds what it can from it, and says where the log must be read from.
    pub(super) fn restore(
        partition: Partition,
        committed: Option<Committed>,
        parts: &KeyedParts,
        setup: &TaskSetup,
        metrics: &TaskMetrics,
    ) -> Result<(Self, Offset), TaskError> {
        let (start, _) = setup.log.bounds(&partition)?;
        let unreadable = |source| TaskError::Metadata { partition: partition.clone(), source };
        let position = committed.as_ref().map_or(start, |c| c.offset);
        let beside = Beside::decode(committed.as_ref().map_or(&[], |c| &c.metadata), position).map_err(unreadable)?;
        let mut store = parts.stores.open(&setup.stores(), partition.index, parts.format)?;
        let make = || (parts.make)(partition.index);
        let mut stage = make();

        let kept = store.applied()?;
        let usable = kept
            .filter(|applied| (invariants::store_is_not_ahead(*applied, position) || planted(Bug::StoreBeforeCommit)) && *applied >= start);
        let restored = usable.map(|applied| stage.restore(&*store, &beside.stage).map(|()| applied));
        let from = if let Some(Ok(applied)) = restored {
            applied
        } else {
            if let Some(applied) = kept {
                let error = restored.and_then(Result::err).map(tracing::field::display);
                tracing::warn!(%partition, %applied, %position, %start, error, "store discarded");
                metrics.discarded.increment(1);
            }
            store.clear()?;
            stage = make();
            stage.restore(&*store, &beside.stage).map_err(|source| TaskError::Stage { partition: partition.clone(), source })?;
            if planted(Bug::ReplayFromPosition) { position } else { beside.replay_from.min(position) }
        };
        if from < start {
            return Err(TaskError::StateLost { partition, needed: from, start });
        }
        tracing::info!(%partition, %from, %position, "restoring");
        let held = stage.held();
        let mut fold = Self {
            partition,
            stage,
            store,
            committed,
            next: from,
            restoring: Some(Restoring { until: position, since: setup.clock.monotonic() }),
            resume: beside.cursor.filter(|_| !planted(Bug::CursorForgotten)),
            before: Beside::default(),
            emitting: None,
            touched: false,
            noted: vec![],
            held_then: held,
            held,
            changes: Changes::default(),
        };
        fold.reached(from, setup, metrics)?;
        Ok((fold, from))
    }

    pub(super) fn is_restoring(&self) -> bool {
        self.restoring.is_some()
    }

    pub(super) fn committed_offset(&self) -> Offset {
        self.committed.as_ref().map_or(self.next, |c| c.offset)
    }

    /// What was committed before the restart is taken in any case.
    pub(super) fn goes_on(&self) -> bool {
        self.is_restoring() || self.stage.goes_on()
    }

    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Bytes gathered since the last commit. What a stage holds on to for good must not make it commit with every record.
    pub(super) fn gathered(&self) -> usize {
        self.held.saturating_sub(self.held_then)
    }

    /// Takes a record that was committed before the restart, silently. `false`: it is a new one, and the fold is live.
    pub(super) fn replays(&mut self, record: &Record<'_>, setup: &TaskSetup, metrics: &TaskMetrics) -> Result<bool, TaskError> {
        if record.offset < self.next {
            return Ok(true); // applied already: the reader came back for its partition as a whole
        }
        match &self.restoring {
            Some(restoring) if record.offset < restoring.until => {
                self.stage.apply(record, &*self.store).map_err(|e| self.failed(e))?;
                self.stage.skip_output();
                self.next = record.offset.next();
                Ok(true)
            }
            Some(_) => self.reached(record.offset, setup, metrics).map(|()| false),
            None => Ok(false),
        }
    }

    /// The log was read up to `position`: goes live when that is as far as was committed.
    pub(super) fn reached(&mut self, position: Offset, setup: &TaskSetup, metrics: &TaskMetrics) -> Result<(), TaskError> {
        let Some(Restoring { since, .. }) = self.restoring.take_if(|r| position >= r.until) else { return Ok(()) };
        metrics.restore_seconds.record(setup.clock.monotonic().saturating_sub(since));
        self.next = self.committed_offset().max(self.next);
        self.noted = self.stage.metadata();
        self.write_changes()?;
        if let Some(cursor) = &self.resume {
            self.stage.resume_at(cursor);
        }
        tracing::info!(partition = %self.partition, next = %self.next, "live");
        Ok(())
    }

    pub(super) fn apply(&mut self, record: &Record<'_>) -> Result<(), TaskError> {
        self.before = self.beside(self.next);
        self.stage.apply(record, &*self.store).map_err(|e| self.failed(e))?;
        self.next = record.offset.next();
        self.touched = true;
        if self.resume.take().is_some() {
            // It left with the first part of this emission.
            self.stage.emit_at_commit(&*self.store, &mut Discard).map_err(|e| self.failed(e))?;
        }
        Ok(())
    }

    /// A sink that waits for others has come further while no record came: what stands beside the position is committed once more.
    pub(super) fn look_for_news(&mut self) {
        let settled = !self.is_restoring() && self.resume.is_none() && self.emitting.is_none() && self.committed.is_some();
        self.touched |= settled && self.stage.metadata() != self.noted;
    }

    /// Emits what is due; `false` when the budget is used up first.
    pub(super) fn emit(&mut self, budget: usize, out: &mut Outputs) -> Result<bool, TaskError> {
        self.touched = true;
        self.emitting = match self.stage.emit_due(budget, &*self.store, out).map_err(|e| self.failed(e))? {
            Emitted::All => None,
            Emitted::Part(cursor) => Some(cursor),
        };
        Ok(self.emitting.is_none())
    }

    /// Bounds memory in a long silent replay; a live fold is bounded by its commits.
    pub(super) fn batch_done(&mut self, budget: usize) -> Result<(), TaskError> {
        self.held = self.stage.held();
        if self.is_restoring() && self.gathered() > budget { self.write_changes() } else { Ok(()) }
    }

    /// Emits what leaves with each commit, and gives the position for the transaction.
    pub(super) fn seal(&mut self, out: &mut Outputs) -> Result<(Partition, Committed), TaskError> {
        if !self.touched
            && let Some(committed) = &self.committed
        {
            return Ok((self.partition.clone(), committed.clone()));
        }
        if self.touched {
            self.stage.emit_at_commit(&*self.store, out).map_err(|e| self.failed(e))?;
        }
        if planted(Bug::StoreBeforeCommit) && self.emitting.is_none() {
            self.write_changes()?;
        }
        let (offset, beside) = match &self.emitting {
            // The position of the record itself: a restart applies it again and goes on behind the cursor.
            Some(cursor) => (Offset(self.next.0.saturating_sub(1)), Beside { cursor: Some(cursor.clone()), ..self.before.clone() }),
            None => (self.next, self.beside(self.next)),
        };
        self.noted.clone_from(&beside.stage);
        Ok((self.partition.clone(), Committed { offset, metadata: beside.encode() }))
    }

    /// The transaction is through: what it covers may go to the store.
    pub(super) fn committed(&mut self, committed: Committed) -> Result<(), TaskError> {
        self.committed = Some(committed);
        if std::mem::take(&mut self.touched) && self.emitting.is_none() {
            self.write_changes()?;
        }
        Ok(())
    }

    /// Changes up to `next`, which is committed.
    fn write_changes(&mut self) -> Result<(), TaskError> {
        self.changes.list.clear();
        self.stage.changes(&mut self.changes);
        self.store.write(&self.changes, self.next)?;
        self.held = self.stage.held();
        self.held_then = self.held;
        Ok(())
    }

    /// What stands beside `position`, when everything below it and nothing else is applied.
    fn beside(&self, position: Offset) -> Beside {
        Beside { replay_from: self.stage.replay_from(position), cursor: None, stage: self.stage.metadata() }
    }

    fn failed(&self, source: StageError) -> TaskError {
        TaskError::Stage { partition: self.partition.clone(), source }
    }
}
