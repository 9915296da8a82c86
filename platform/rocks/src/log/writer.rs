//! Writers gather a transaction in memory and hand it over at the commit; producers hand over at once. Both then wait for the answer.

use super::Shared;
use super::committer::{Records, Request, Transaction};
use crate::wait::lock;
use platform_core::log::{AppendError, Claim, CommitError, Committed, MAX_METADATA, Producer, Writer};
use platform_core::record::{NewRecord, Offset, Partition};
use platform_core::time::AppendTime;
use std::sync::{Arc, mpsc};

/// A transactional writer. An open transaction is nowhere but here, so dropping the writer aborts it.
pub(super) struct RocksWriter {
    shared: Arc<Shared>,
    id: String,
    epoch: u64,
    open: Records,
}

impl RocksWriter {
    pub(super) fn new(shared: &Arc<Shared>, id: &str, epoch: u64) -> Self {
        Self { shared: Arc::clone(shared), id: id.to_owned(), epoch, open: Records::default() }
    }
}

impl Writer for RocksWriter {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        let slot = self.shared.find(to).map_err(|error| CommitError::Failed(error.to_string()))?;
        self.open.push(slot, &record);
        Ok(())
    }

    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        let records = std::mem::take(&mut self.open);
        let mut positions = Vec::with_capacity(read.len());
        for (partition, committed) in read {
            if committed.metadata.len() > MAX_METADATA {
                return Err(CommitError::Failed(format!("metadata of {partition} has {} bytes", committed.metadata.len())));
            }
            let slot = self.shared.find(partition).map_err(|error| CommitError::Failed(error.to_string()))?;
            positions.push((slot, committed.clone()));
        }
        let size = records.size();
        let transaction = Transaction { id: self.id.clone(), epoch: self.epoch, claim: claim.clone(), read: positions, records };
        let (reply, answer) = mpsc::sync_channel(1);
        let request = Request::Commit { transaction, reply };
        lock(&self.shared.queue).push(request, size).map_err(|error| CommitError::Failed(error.to_string()))?;
        self.shared.arrived.notify_one();
        answer.recv().unwrap_or_else(|_| Err(CommitError::Failed(self.shared.reason())))
    }

    fn abort(&mut self) {
        self.open.clear();
    }
}

/// A producer.
pub(super) struct RocksProducer {
    shared: Arc<Shared>,
}

impl RocksProducer {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        Self { shared: Arc::clone(shared) }
    }
}

impl Producer for RocksProducer {
    fn append(&self, to: &Partition, records: &[NewRecord<'_>]) -> Result<Offset, AppendError> {
        let failed = |error: platform_core::log::LogError| AppendError::Failed(error.to_string());
        let slot = self.shared.find(to).map_err(failed)?;
        if records.is_empty() {
            return self.shared.slot(slot).map(|slot| Offset(slot.end())).map_err(failed);
        }
        let mut encoded = Records::default();
        records.iter().for_each(|record| encoded.push(slot, record));
        let size = encoded.size();
        let (reply, answer) = mpsc::sync_channel(1);
        {
            let mut queue = lock(&self.shared.queue);
            // A single append larger than the whole queue is still taken when nothing else waits.
            if queue.bytes > 0 && queue.bytes + size > self.shared.settings.max_queued_bytes {
                return Err(AppendError::Overloaded);
            }
            queue.push(Request::Append { records: encoded, reply }, size).map_err(failed)?;
        }
        self.shared.arrived.notify_one();
        answer.recv().unwrap_or_else(|_| Err(AppendError::Failed(self.shared.reason())))
    }
}

impl Shared {
    /// Why nobody answers any more.
    fn reason(&self) -> String {
        self.failed.get().cloned().unwrap_or_else(|| "the log is closed".into())
    }
}
