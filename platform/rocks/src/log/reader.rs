//! Readers: a share of the partitions, read in turn, one batch of one partition at each poll.

use super::{Shared, Slot};
use crate::keys;
use crate::wait::{Bell, lock};
use platform_core::log::{Assignment, Claim, LogError, Polled, Positions, Reader, Subscription};
use platform_core::record::{BatchBuffer, Offset, Partition};
use rocksdb::ReadOptions;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A batch ends with the record that passes this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Most records of a batch.
const BATCH_RECORDS: usize = 8192;

/// A reader, alone or as a member of a group.
pub(super) struct RocksReader {
    shared: Arc<Shared>,
    /// `None` reads alone.
    group: Option<String>,
    /// Slots of each subscribed topic.
    subscribed: Vec<Range<usize>>,
    /// Id and generation, once it has an assignment; 0 and 0 alone.
    membership: Option<(u64, u64)>,
    owned: Vec<Owned>,
    /// Which of `owned` is looked at first.
    turn: usize,
    buffer: BatchBuffer,
    bell: Arc<Bell>,
}

#[derive(Clone, Copy)]
struct Owned {
    slot: usize,
    position: u64,
    paused: bool,
}

impl RocksReader {
    pub(super) fn new(shared: &Arc<Shared>, subscription: &Subscription) -> Result<Self, LogError> {
        let mut subscribed = Vec::new();
        for topic in &subscription.topics {
            let slots = shared.topic(topic)?;
            subscribed.push(slots.first..slots.first + slots.partitions as usize);
        }
        let mut reader = Self {
            shared: Arc::clone(shared),
            group: subscription.group.clone(),
            subscribed,
            membership: None,
            owned: Vec::new(),
            turn: 0,
            buffer: BatchBuffer::default(),
            bell: Arc::default(),
        };
        // Alone, everything is owned from the beginning, so that it can seek before the first poll.
        if reader.group.is_none() {
            let owned = reader.subscribed.clone();
            reader.own(owned.into_iter().flatten().map(|slot| (slot, None)))?;
        }
        Ok(reader)
    }

    /// Takes these slots in place of what was owned; `None` starts where the log does.
    fn own(&mut self, slots: impl Iterator<Item = (usize, Option<u64>)>) -> Result<(), LogError> {
        self.disown();
        for (index, position) in slots {
            let slot = self.shared.slot(index)?;
            lock(&slot.watchers).push(Arc::clone(&self.bell));
            self.owned.push(Owned { slot: index, position: position.unwrap_or_else(|| slot.start()), paused: false });
        }
        Ok(())
    }

    fn disown(&mut self) {
        for owned in self.owned.drain(..) {
            if let Some(slot) = self.shared.slots.get(owned.slot) {
                lock(&slot.watchers).retain(|bell| !Arc::ptr_eq(bell, &self.bell));
            }
        }
        self.turn = 0;
    }

    /// The assignment that the caller has not heard of yet, if there is one.
    fn new_assignment(&mut self) -> Result<Option<Assignment>, LogError> {
        let Some(group) = self.group.clone() else {
            if self.membership.is_some() {
                return Ok(None);
            }
            self.membership = Some((0, 0));
            let partitions: Result<_, LogError> =
                self.owned.iter().map(|owned| Ok((self.shared.slot(owned.slot)?.partition.clone(), None))).collect();
            return Ok(Some(Assignment { claim: Claim { group: String::new(), member: 0, generation: 0 }, partitions: partitions? }));
        };
        if let Some((_, generation)) = self.membership
            && self.bell.generation.load(Ordering::Acquire) == generation
        {
            return Ok(None);
        }
        let shared = Arc::clone(&self.shared);
        // Share and committed positions are read under one lock, so that no commit under an older claim comes in between.
        let mut groups = lock(&shared.groups);
        let member = match self.membership {
            Some((member, _)) => member,
            None => groups.join(&group, &self.subscribed, &self.bell),
        };
        let share = groups.share(&group, member).map(|(generation, slots)| (generation, slots.to_vec()));
        let (generation, slots) = share.ok_or_else(|| LogError::Engine(format!("member {member} of group {group} is gone")))?;
        self.membership = Some((member, generation));
        let mut partitions = Vec::new();
        for index in &slots {
            let slot = shared.slot(*index)?;
            partitions.push((slot.partition.clone(), shared.committed(&group, slot)?));
        }
        drop(groups);
        self.own(slots.into_iter().zip(partitions.iter().map(|(_, committed)| committed.as_ref().map(|c| c.offset.0))))?;
        Ok(Some(Assignment { claim: Claim { group, member, generation }, partitions }))
    }

    /// Fills the buffer from the next owned partition that has something. Gives whether one had.
    fn fill(&mut self) -> Result<bool, LogError> {
        let count = self.owned.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(owned) = self.owned.get_mut(at) else { continue };
            let slot = self.shared.slot(owned.slot)?;
            if owned.paused || owned.position == slot.end() {
                continue;
            }
            owned.position = read(&self.shared, slot, owned.position, &mut self.buffer)?;
            self.turn = at + 1;
            return Ok(true);
        }
        Ok(false)
    }

    fn find_owned(&self, partition: &Partition) -> Option<usize> {
        let slot = self.shared.find(partition).ok()?;
        self.owned.iter().position(|owned| owned.slot == slot)
    }
}

/// Reads one batch from `position` on, which is not the end. Gives the position behind it.
fn read(shared: &Shared, slot: &Slot, position: u64, buffer: &mut BatchBuffer) -> Result<u64, LogError> {
    let end = slot.end();
    let out_of_range = || LogError::OutOfRange {
        partition: slot.partition.clone(),
        position: Offset(position),
        start: Offset(slot.start()),
        end: Offset(end),
    };
    if position < slot.start() || position > end {
        return Err(out_of_range());
    }
    let mut options = ReadOptions::default();
    options.set_iterate_upper_bound(slot.key(end));
    let mut iterator = shared.db.raw_iterator_opt(options);
    iterator.seek(slot.key(position));
    buffer.start(&slot.partition);
    let mut next = position;
    while let Some((key, value)) = iterator.item() {
        if keys::record_offset(key) != Some(next) {
            break;
        }
        let stored = keys::read_record(value)
            .map_err(|error| LogError::Engine(format!("record {next} of {} is damaged: {error}", slot.partition)))?;
        buffer.push(Offset(next), Some(stored.time), stored.key, stored.headers, stored.value);
        next += 1;
        if buffer.size() >= BATCH_BYTES || buffer.len() >= BATCH_RECORDS {
            return Ok(next);
        }
        iterator.next();
    }
    iterator.status().map_err(|error| LogError::Engine(error.to_string()))?;
    // Offsets are dense, so a gap is either retention that came in between, or a loss.
    match next {
        next if next == end => Ok(next),
        next if next < slot.start() => Err(out_of_range()),
        next => Err(LogError::Engine(format!("record {next} of {} is missing", slot.partition))),
    }
}

impl Reader for RocksReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError> {
        let mut waited = false;
        loop {
            self.shared.check()?;
            self.bell.silence();
            if let Some(assignment) = self.new_assignment()? {
                return Ok(Polled::Assigned(assignment));
            }
            if self.fill()? {
                break;
            }
            if waited || !self.bell.wait(wait) {
                return Ok(Polled::Nothing);
            }
            waited = true;
        }
        Ok(self.buffer.batch().map_or(Polled::Nothing, Polled::Batch))
    }

    fn seek(&mut self, to: &Positions) -> Result<(), LogError> {
        for (partition, offset) in to {
            let at =
                self.find_owned(partition).ok_or_else(|| LogError::Engine(format!("partition {partition} is not owned by this reader")))?;
            if let Some(owned) = self.owned.get_mut(at) {
                owned.position = offset.0;
            }
        }
        Ok(())
    }

    fn pause(&mut self, these: &BTreeSet<Partition>) -> Result<(), LogError> {
        for owned in &mut self.owned {
            owned.paused = these.contains(&self.shared.slot(owned.slot)?.partition);
        }
        // Something may wait in those that are not paused any more.
        self.bell.ring();
        Ok(())
    }

    fn position(&self, of: &Partition) -> Offset {
        self.find_owned(of).and_then(|at| self.owned.get(at)).map(|owned| Offset(owned.position)).unwrap_or_default()
    }

    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError> {
        self.shared.check()?;
        Ok(Some(Offset(self.shared.slot(self.shared.find(of)?)?.end())))
    }
}

impl Drop for RocksReader {
    fn drop(&mut self) {
        self.disown();
        if let (Some(group), Some((member, _))) = (&self.group, self.membership) {
            lock(&self.shared.groups).leave(group, member);
        }
    }
}
