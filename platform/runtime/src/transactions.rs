//! Transactions of one task, and what becomes of each: the one place that turns a commit error into what to do next.
//!
//! A doubtful outcome is settled by the log itself: a new writer of the same id ends or fences whatever the old one left open, and the
//! committed positions then say whether the transaction took place. That needs positions which differ from the ones committed before;
//! tasks see to it with what they put beside them.

use crate::metrics::TaskMetrics;
use crate::moments::Moment;
use crate::task::{TaskError, TaskSetup};
use platform_core::log::{Claim, CommitError, Committed, Writer};
use platform_core::planted::{Bug, planted};
use platform_core::record::{NewRecord, Partition};
use platform_core::stage::Emit;
use platform_core::time::AppendTime;

pub(crate) type Read = Vec<(Partition, Committed)>;

/// What became of a transaction.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Visible; with the newest append time that the log has given, when the log could still say it.
    Committed(Option<AppendTime>),
    /// Nothing of it is visible, and it may be tried again.
    Refused,
}

pub(crate) struct Transactions {
    setup: TaskSetup,
    id: String,
    writer: Box<dyn Writer>,
    pub(crate) metrics: TaskMetrics,
}

impl Transactions {
    /// Takes the writer, and with it fences whoever had the task before.
    pub(crate) fn new(setup: &TaskSetup) -> Result<Self, TaskError> {
        let id = setup.transactional_id();
        let writer = setup.log.writer(&id)?;
        setup.reached(Moment::InInit);
        Ok(Self { setup: setup.clone(), id, writer, metrics: setup.metrics() })
    }

    /// A transaction whose outputs `emit` writes, with the positions `read`.
    pub(crate) fn run(
        &mut self,
        claim: &Claim,
        read: &Read,
        emit: impl FnOnce(&mut dyn Emit) -> Result<(), CommitError>,
    ) -> Result<Outcome, TaskError> {
        let span = tracing::debug_span!("commit", task = %self.id, bytes = tracing::field::Empty, outcome = tracing::field::Empty);
        let _entered = span.enter();
        let mut out = Appends { writer: &mut *self.writer, setup: &self.setup, size: 0 };
        let result = emit(&mut out).map(|()| out.size);
        let result = result.and_then(|size| {
            span.record("bytes", size);
            if planted(Bug::PositionsApart) {
                self.writer.commit(claim, &Read::new())?;
            }
            self.setup.reached(Moment::BeforeCommit);
            self.writer.commit(claim, read)
        });
        let (outcome, label) = match result {
            Ok(newest) => {
                self.setup.reached(Moment::AfterCommit);
                (Outcome::Committed(Some(newest)), "committed")
            }
            Err(error) => self.settle(error, read)?,
        };
        span.record("outcome", label);
        self.metrics.outcome(label);
        Ok(outcome)
    }

    fn settle(&mut self, error: CommitError, read: &Read) -> Result<(Outcome, &'static str), TaskError> {
        // Aborts come with every change of assignment and cost nothing but doing it again.
        if matches!(error, CommitError::Aborted(_)) {
            tracing::info!(task = %self.id, %error, "transaction refused");
        } else {
            tracing::warn!(task = %self.id, %error, "transaction refused");
        }
        match error {
            CommitError::Aborted(_) => {
                self.writer.abort();
                Ok((Outcome::Refused, "aborted"))
            }
            CommitError::Full(_) => {
                self.writer.abort();
                Ok((Outcome::Refused, "full"))
            }
            CommitError::Doubtful(_) if planted(Bug::WriterKeptAfterDoubt) => {
                self.writer.abort();
                Ok((Outcome::Refused, "aborted"))
            }
            CommitError::Doubtful(_) => {
                self.writer = self.setup.log.writer(&self.id)?;
                let done = self.took_place(read)?;
                Ok(if done { (Outcome::Committed(None), "doubtful_committed") } else { (Outcome::Refused, "doubtful_aborted") })
            }
            CommitError::Fenced(_) | CommitError::Failed(_) => Err(TaskError::from_commit(error)),
        }
    }

    fn took_place(&self, read: &Read) -> Result<bool, TaskError> {
        let group = self.setup.group();
        for (partition, wanted) in read {
            if self.setup.log.committed(&group, partition)?.as_ref() != Some(wanted) {
                return Ok(false);
            }
        }
        Ok(!read.is_empty())
    }
}

/// Appends straight into the writer.
struct Appends<'a> {
    writer: &'a mut dyn Writer,
    setup: &'a TaskSetup,
    size: usize,
}

impl Emit for Appends<'_> {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.size += size_of(&record);
        self.writer.append(to, record)?;
        self.setup.reached(Moment::MidProduce);
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }
}

/// Bytes of a record's key, headers and value.
pub(crate) fn size_of(record: &NewRecord<'_>) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.map_or(0, <[u8]>::len) + headers + record.value.map_or(0, <[u8]>::len)
}
