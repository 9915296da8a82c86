//! The log as the router's controller uses it, with the moments of an order: the controller itself knows nothing of fail points.
//!
//! `in_init`: it has taken the transactional id of orders, and fenced whoever had it. `mid_produce`: it has read the control log to its end and
//! handed over the order. `before_commit`: it is about to ask for its commit. `after_commit`: the order stands, and nothing has followed from it.

use platform_core::log::{Claim, CommitError, Committed, Log, LogError, Producer, Reader, Subscription, Writer};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_core::time::AppendTime;
use platform_runtime::moments::{Moment, Moments};
use std::sync::Arc;

/// As in the transactional id of orders.
const STAGE: &str = "control";

struct Watched {
    log: Arc<dyn Log>,
    moments: Moments,
}

struct WatchedWriter {
    writer: Box<dyn Writer>,
    moments: Moments,
}

/// The same log, and `moments` is told of orders.
pub(crate) fn watched(log: Arc<dyn Log>, moments: Moments) -> Arc<dyn Log> {
    Arc::new(Watched { log, moments })
}

impl Log for Watched {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        self.log.reader(subscription)
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        let writer = self.log.writer(transactional_id)?;
        self.moments.reached(STAGE, Moment::InInit);
        Ok(Box::new(WatchedWriter { writer, moments: self.moments.clone() }))
    }

    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        self.log.producer()
    }

    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        self.log.partitions(topic)
    }

    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        self.log.bounds(partition)
    }

    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        self.log.offset_at(partition, from)
    }

    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        self.log.committed(group, partition)
    }
}

impl Writer for WatchedWriter {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.writer.append(to, record)?;
        self.moments.reached(STAGE, Moment::MidProduce);
        Ok(())
    }

    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        self.moments.reached(STAGE, Moment::BeforeCommit);
        let done = self.writer.commit(claim, read)?;
        self.moments.reached(STAGE, Moment::AfterCommit);
        Ok(done)
    }

    fn abort(&mut self) {
        self.writer.abort();
    }
}
