//! A transactional writer, and what becomes of its requests.

use super::broker::Action;
use super::{SimLog, newest};
use platform_core::log::{Claim, CommitError, Committed, MAX_METADATA, Writer};
use platform_core::planted::{Bug, planted};
use platform_core::record::{NewRecord, Partition};
use platform_core::time::AppendTime;
use std::time::Duration;

/// A late request arrives within this time.
const LATE: u64 = 30_000;

pub(super) struct SimWriter {
    log: SimLog,
    id: String,
    epoch: u64,
    newest: Option<AppendTime>,
    /// It has doubted: whoever goes on with it makes a mistake.
    doubted: bool,
    /// What was appended or given up while it was cut off: its transaction can only be left to whoever takes its id next.
    severed: bool,
}

impl SimWriter {
    pub(super) fn new(log: SimLog, id: &str, epoch: u64) -> Self {
        Self { log, id: id.to_owned(), epoch, newest: None, doubted: false, severed: false }
    }

    /// The open transaction, begun if there is none.
    fn open(&self) -> Result<u64, CommitError> {
        if self.doubted && !planted(Bug::WriterKeptAfterDoubt) {
            return Err(CommitError::Failed("a writer was used after a doubtful outcome".to_owned()));
        }
        self.log.wait(|broker| (!broker.is_settling(&self.id) || !broker.is_newest(&self.id, self.epoch)).then_some(()));
        let now = self.log.now();
        self.log.broker().open(&self.id, self.epoch, now).ok_or_else(|| self.fenced())
    }

    fn fenced(&self) -> CommitError {
        CommitError::Fenced(format!("a newer writer has taken {}", self.id))
    }

    /// A refused transaction is rolled back.
    fn rolled_back(&mut self, error: CommitError) -> CommitError {
        self.abort();
        error
    }

    fn is_severed(&mut self) -> bool {
        self.severed |= self.log.is_alone();
        self.severed
    }

    fn doubtful(&mut self, why: &str) -> CommitError {
        self.doubted = true;
        CommitError::Doubtful(why.to_owned())
    }
}

impl Writer for SimWriter {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        if self.is_severed() {
            // It stands in a buffer.
            return Ok(());
        }
        let number = self.open()?;
        let apart = planted(Bug::DeadLettersApart) && to.topic.as_str().ends_with("dead-letters");
        let appended = self.log.broker().append(to, &record, (!apart).then_some(number), &self.log.clock);
        let (_, time) = appended.map_err(|error| CommitError::Failed(error.to_string()))?;
        self.newest = self.newest.max(Some(time));
        Ok(())
    }

    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        if self.is_severed() {
            self.log.request();
            return Err(self.doubtful("no broker answers"));
        }
        let number = self.open()?;
        self.log.request();
        if self.is_severed() {
            return Err(self.doubtful("no broker answers"));
        }
        let now = self.log.now();
        let chances = self.log.broker().chances;
        if !self.log.broker().is_newest(&self.id, self.epoch) {
            return Err(self.fenced());
        }
        if self.log.broker().happens("refused", chances.refused) {
            return Err(self.rolled_back(CommitError::Aborted("on command".to_owned())));
        }
        if let Some((partition, _)) = read.iter().find(|(_, committed)| committed.metadata.len() > MAX_METADATA) {
            return Err(CommitError::Failed(format!("the metadata of {partition} is over {MAX_METADATA} bytes")));
        }
        let added = self.log.broker().add_positions(number, claim, read);
        added.map_err(|error| self.rolled_back(error))?;
        if self.log.broker().happens("end lost", chances.lost) {
            return Err(self.doubtful("the end of the transaction was lost"));
        }
        if self.log.broker().happens("end late", chances.late) {
            let mut broker = self.log.broker();
            let delay = Duration::from_millis(broker.seed.below(LATE));
            broker.schedule(now + delay, Action::End { id: self.id.clone(), epoch: self.epoch, commit: true });
            drop(broker);
            return Err(self.doubtful("the end of the transaction is late"));
        }
        self.log.broker().end(&self.id, true, now);
        let unanswered = self.log.broker().happens("end unanswered", chances.unanswered);
        self.log.request();
        if unanswered {
            return Err(self.doubtful("the end of the transaction was not answered"));
        }
        Ok(newest(self.newest))
    }

    fn abort(&mut self) {
        if self.is_severed() || !self.log.broker().is_open(&self.id, self.epoch) {
            return;
        }
        self.log.request();
        let now = self.log.now();
        let mut broker = self.log.broker();
        if broker.is_newest(&self.id, self.epoch) {
            broker.end(&self.id, false, now);
        }
    }
}
