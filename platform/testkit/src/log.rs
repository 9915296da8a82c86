//! A log that fails on command: by a script, one entry for each commit, then by a seed.
//!
//! Faults are those that a stage can notice. A writer that has doubted must not be used again, and says so with `Failed`, so that a task
//! which keeps it is caught. Bytes are never altered.

use crate::seed::Seed;
use platform_core::log::{Claim, CommitError, Committed, Log, LogError, Polled, Positions, Producer, Reader, Subscription, Writer};
use platform_core::record::{BatchBuffer, NewRecord, Offset, Partition, Topic, put_headers};
use platform_core::time::AppendTime;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What goes wrong with one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Aborted.
    Abort,
    /// Doubtful, and it took place.
    DoubtfulCommitted,
    /// Doubtful, and it did not take place.
    DoubtfulLost,
    /// Another writer of the same id was taken meanwhile.
    Fenced,
    /// No room.
    Full,
    /// The log gives up.
    Failed,
    /// It takes place, the end moves, and its records can be read only after this many further polls.
    Delayed(u32),
}

/// A log with faults. Clones are the same log.
#[derive(Clone)]
pub struct FaultyLog {
    inner: Arc<dyn Log>,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    script: VecDeque<Option<Fault>>,
    seeded: Option<Seeded>,
    injected: Vec<Fault>,
    /// Where readers must stop, and for how many polls still.
    hidden: BTreeMap<Partition, (Offset, u32)>,
}

struct Seeded {
    seed: Seed,
    per_mille: u64,
    kinds: Vec<Fault>,
}

impl FaultyLog {
    /// A log around `inner` that works.
    #[must_use]
    pub fn new(inner: Arc<dyn Log>) -> Self {
        Self { inner, shared: Arc::default() }
    }

    /// The log inside.
    #[must_use]
    pub fn inner(&self) -> &dyn Log {
        &*self.inner
    }

    /// What the next commits meet, one entry each; `None` is none.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        self.shared().script.extend(faults);
    }

    /// Once the script is used up, `per_mille` of a thousand commits meet one of `kinds`.
    pub fn seeded(&self, seed: u64, per_mille: u64, kinds: &[Fault]) {
        self.shared().seeded = Some(Seeded { seed: Seed::new(seed), per_mille, kinds: kinds.to_vec() });
    }

    /// Ends all faults.
    pub fn heal(&self) {
        let mut shared = self.shared();
        shared.script.clear();
        shared.seeded = None;
        shared.hidden.clear();
    }

    /// The faults that took place so far: a test whose faults never came has shown nothing.
    #[must_use]
    pub fn injected(&self) -> Vec<Fault> {
        self.shared().injected.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut shared = self.shared();
        let fault = match shared.script.pop_front() {
            Some(scripted) => scripted,
            None => shared.seeded.as_mut().and_then(|s| if s.seed.chance(s.per_mille) { s.seed.pick(&s.kinds).copied() } else { None }),
        };
        shared.injected.extend(fault);
        fault
    }
}

impl Log for FaultyLog {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(FaultyReader { log: self.clone(), inner: self.inner.reader(subscription)?, buffer: BatchBuffer::default() }))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        let inner = self.inner.writer(transactional_id)?;
        Ok(Box::new(FaultyWriter { log: self.clone(), id: transactional_id.to_owned(), inner, touched: Vec::new(), doubted: false }))
    }

    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        self.inner.producer()
    }

    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        self.inner.partitions(topic)
    }

    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        self.inner.bounds(partition)
    }

    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        self.inner.offset_at(partition, from)
    }

    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        self.inner.committed(group, partition)
    }
}

struct FaultyWriter {
    log: FaultyLog,
    id: String,
    inner: Box<dyn Writer>,
    touched: Vec<Partition>,
    doubted: bool,
}

impl FaultyWriter {
    fn usable(&self) -> Result<(), CommitError> {
        if self.doubted { Err(CommitError::Failed("a writer was used after a doubtful outcome".into())) } else { Ok(()) }
    }
}

impl Writer for FaultyWriter {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.usable()?;
        if !self.touched.contains(to) {
            self.touched.push(to.clone());
        }
        self.inner.append(to, record)
    }

    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        self.usable()?;
        let touched = std::mem::take(&mut self.touched);
        match self.log.next_fault() {
            None => self.inner.commit(claim, read),
            Some(Fault::Abort) => Err(CommitError::Aborted("on command".into())),
            Some(Fault::Full) => Err(CommitError::Full("on command".into())),
            Some(Fault::Failed) => Err(CommitError::Failed("on command".into())),
            Some(Fault::DoubtfulLost) => {
                self.doubted = true;
                Err(CommitError::Doubtful("on command".into()))
            }
            Some(Fault::DoubtfulCommitted) => {
                self.inner.commit(claim, read)?;
                self.doubted = true;
                Err(CommitError::Doubtful("on command".into()))
            }
            Some(Fault::Fenced) => {
                drop(self.log.inner.writer(&self.id));
                self.inner.commit(claim, read)
            }
            Some(Fault::Delayed(polls)) => {
                let ends: Vec<_> = touched.into_iter().filter_map(|p| Some((p.clone(), self.log.bounds(&p).ok()?.1))).collect();
                let newest = self.inner.commit(claim, read)?;
                let mut shared = self.log.shared();
                for (partition, end) in ends {
                    let (_, left) = shared.hidden.entry(partition).or_insert((end, 0));
                    *left = polls.max(*left);
                }
                Ok(newest)
            }
        }
    }

    fn abort(&mut self) {
        self.touched.clear();
        self.inner.abort();
    }
}

struct FaultyReader {
    log: FaultyLog,
    inner: Box<dyn Reader>,
    buffer: BatchBuffer,
}

impl Reader for FaultyReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError> {
        let hidden = {
            let mut shared = self.log.shared();
            let hidden = shared.hidden.clone();
            shared.hidden.values_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
            shared.hidden.retain(|_, (_, left)| *left > 0);
            hidden
        };
        if hidden.is_empty() {
            return self.inner.poll(wait);
        }
        let batch = match self.inner.poll(Duration::ZERO)? {
            Polled::Batch(batch) => batch,
            Polled::Assigned(assignment) => return Ok(Polled::Assigned(assignment)),
            Polled::Nothing => return Ok(Polled::Nothing),
        };
        let limit = hidden.get(batch.partition).map(|(offset, _)| *offset);
        self.buffer.start(batch.partition);
        for record in batch.iter().filter(|r| limit.is_none_or(|limit| r.offset < limit)) {
            let mut headers = Vec::new();
            put_headers(&mut headers, &record.headers.iter().collect::<Vec<_>>());
            self.buffer.push(record.offset, record.append_time, record.key, &headers, record.value);
        }
        let partition = batch.partition.clone();
        if let Some(limit) = limit
            && self.inner.position(&partition) > limit
        {
            self.inner.seek(&Positions::from([(partition, limit)]))?;
        }
        Ok(self.buffer.batch().filter(|b| !b.is_empty()).map_or(Polled::Nothing, Polled::Batch))
    }

    fn seek(&mut self, to: &Positions) -> Result<(), LogError> {
        self.inner.seek(to)
    }

    fn pause(&mut self, these: &BTreeSet<Partition>) -> Result<(), LogError> {
        self.inner.pause(these)
    }

    fn position(&self, of: &Partition) -> Offset {
        self.inner.position(of)
    }

    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError> {
        self.inner.end(of)
    }
}
