//! Reading the results of the deployment behind one that is out once more, from the start of its log up to where the worker stands in it.
//!
//! What it published of windows before a cut was passed over when it came, because the other deployment answered for them then. The growth rule
//! makes it safe to offer all of it again, as often as a restart wants. Keeps no state: a restart begins anew.

use crate::deployment::Deployment;
use platform_core::log::{Log, LogError, Polled, Positions, Reader, Subscription};
use platform_core::record::{Offset, Partition, Record};
use platform_core::stage::StageError;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest wait of one piece.
const WAIT: Duration = Duration::from_millis(20);

pub(super) struct Reconcile {
    reader: Box<dyn Reader>,
    partition: Partition,
    until: Offset,
    of: Deployment,
    flips: Vec<u64>,
    pub(super) looked_at: u64,
    pub(super) revisions: u64,
}

/// Why a piece was not read.
pub(super) enum Stopped {
    Log(LogError),
    Stage(StageError),
}

impl Reconcile {
    pub(super) fn new(log: &dyn Log, of: Deployment, flips: Vec<u64>, partition: &Partition, until: Offset) -> Result<Self, LogError> {
        let mut reader = log.reader(&Subscription { group: None, topics: vec![partition.topic.clone()] })?;
        let all = (0..log.partitions(&partition.topic)?).map(|index| Partition::new(&partition.topic, index));
        reader.pause(&all.filter(|other| other != partition).collect::<BTreeSet<_>>())?;
        reader.seek(&Positions::from([(partition.clone(), log.bounds(partition)?.0)]))?;
        Ok(Self { reader, partition: partition.clone(), until, of, flips, looked_at: 0, revisions: 0 })
    }

    pub(super) fn of(&self) -> Deployment {
        self.of
    }

    pub(super) fn flips(&self) -> &[u64] {
        &self.flips
    }

    /// Offers what comes next. `each` says of a record whether it was published; `None`: not looked at. `false`: that was all.
    pub(super) fn read(&mut self, mut each: impl FnMut(&Record<'_>) -> Result<Option<bool>, StageError>) -> Result<bool, Stopped> {
        if self.reader.position(&self.partition) < self.until
            && let Polled::Batch(batch) = self.reader.poll(WAIT).map_err(Stopped::Log)?
            && *batch.partition == self.partition
        {
            for record in batch.iter().filter(|record| record.offset < self.until) {
                if let Some(published) = each(&record).map_err(Stopped::Stage)? {
                    self.looked_at += 1;
                    self.revisions += u64::from(published);
                }
            }
        }
        Ok(self.reader.position(&self.partition) < self.until)
    }
}
