//! A reader of committed records, alone or as a member of a group that it hears from late.

use super::broker::Action;
use super::{SESSION, SimLog};
use platform_core::log::{Assignment, Claim, LogError, Polled, Positions, Reader, Subscription};
use platform_core::record::{BatchBuffer, Offset, Partition, Topic, put_headers};
use std::collections::BTreeSet;
use std::time::Duration;

/// A poll brings at most this many records.
const MOST: u64 = 64;

pub(super) struct SimReader {
    log: SimLog,
    topics: Vec<Topic>,
    member: Option<Member>,
    /// Without a group: whether the caller has heard that it owns everything.
    told: bool,
    /// Partition and next offset.
    owned: Vec<(Partition, u64)>,
    paused: BTreeSet<Partition>,
    turn: usize,
    buffer: BatchBuffer,
}

struct Member {
    group: String,
    id: u64,
    /// Generation whose assignment was handed out.
    seen: Option<u64>,
}

impl SimReader {
    pub(super) fn new(log: SimLog, subscription: &Subscription) -> Result<Self, LogError> {
        let mut owned = Vec::new();
        for topic in &subscription.topics {
            let count = log.broker().partitions(topic)?;
            owned.extend((0..count).map(|i| (Partition::new(topic, i), 0)));
        }
        let member = subscription.group.as_ref().map(|group| {
            owned.clear();
            Member { group: group.clone(), id: log.broker().join(group, &subscription.topics, log.process), seen: None }
        });
        let told = member.is_some();
        Ok(Self {
            log,
            topics: subscription.topics.clone(),
            member,
            told,
            owned,
            paused: BTreeSet::new(),
            turn: 0,
            buffer: BatchBuffer::default(),
        })
    }

    /// The next assignment, when there is one that the member hears of.
    fn assignment(&mut self) -> Option<Assignment> {
        if !std::mem::replace(&mut self.told, true) {
            let claim = Claim { group: String::new(), member: 0, generation: 0 };
            return Some(Assignment { claim, partitions: self.owned.iter().map(|(partition, _)| (partition.clone(), None)).collect() });
        }
        let member = self.member.as_mut()?;
        let mut broker = self.log.broker();
        let (generation, belongs) = broker.generation(&member.group, member.id);
        if belongs && member.seen == Some(generation) {
            return None;
        }
        let per_mille = broker.chances.unnoticed;
        if !self.owned.is_empty() && broker.happens("unnoticed generation", per_mille) {
            return None;
        }
        // What was owned is given up before anything new is known.
        let owned = std::mem::take(&mut self.owned);
        self.paused.clear();
        if !belongs {
            member.id = broker.join(&member.group, &self.topics, self.log.process);
        }
        let (generation, _) = broker.generation(&member.group, member.id);
        let share = broker.share(&member.group, member.id);
        let claim = Claim { group: member.group.clone(), member: member.id, generation };
        let mut partitions = Vec::with_capacity(share.len());
        for partition in share {
            let Ok(committed) = broker.committed(&member.group, &partition) else {
                // A position in an open transaction is waited for. Meanwhile nothing is owned, and that is said.
                self.owned.clear();
                return (!owned.is_empty()).then(|| Assignment { claim, partitions: Vec::new() });
            };
            self.owned.push((partition.clone(), committed.as_ref().map_or(0, |c| c.offset.0)));
            partitions.push((partition, committed));
        }
        member.seen = Some(generation);
        Some(Assignment { claim, partitions })
    }

    /// Fills the buffer from the next partition that has something.
    fn fill(&mut self) -> Result<bool, LogError> {
        let now = self.log.now();
        let mut broker = self.log.broker();
        let most = usize::try_from(1 + broker.seed.below(MOST)).unwrap_or(1);
        let most = if broker.is_slow(self.log.process) { 1 } else { most };
        let count = self.owned.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let Some((partition, position)) = self.owned.get_mut(place) else { continue };
            if self.paused.contains(partition) || !broker.has_leader(partition, now) {
                continue;
            }
            let end = broker.high(partition);
            if *position > end {
                let (start, end) = (Offset(0), Offset(end));
                return Err(LogError::OutOfRange { partition: partition.clone(), position: Offset(*position), start, end });
            }
            self.buffer.start(partition);
            let buffer = &mut self.buffer;
            *position = broker.read(partition, *position, most, &mut |record| {
                let mut headers = Vec::new();
                put_headers(&mut headers, &record.headers.iter().collect::<Vec<_>>());
                buffer.push(record.offset, record.append_time, record.key, &headers, record.value);
            });
            if !self.buffer.is_empty() {
                self.turn = place + 1;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Reader for SimReader {
    fn poll(&mut self, _wait: Duration) -> Result<Polled<'_>, LogError> {
        self.log.request();
        if self.log.is_alone() {
            return Ok(Polled::Nothing);
        }
        if let Some(assignment) = self.assignment() {
            return Ok(Polled::Assigned(assignment));
        }
        let found = self.fill()?;
        Ok(if found { self.buffer.batch().map_or(Polled::Nothing, Polled::Batch) } else { Polled::Nothing })
    }

    fn seek(&mut self, to: &Positions) -> Result<(), LogError> {
        for (partition, offset) in to {
            let owned = self.owned.iter_mut().find(|(p, _)| p == partition);
            owned.ok_or_else(|| LogError::Engine(format!("{partition} is not owned")))?.1 = offset.0;
        }
        Ok(())
    }

    fn pause(&mut self, these: &BTreeSet<Partition>) -> Result<(), LogError> {
        self.paused.clone_from(these);
        Ok(())
    }

    fn position(&self, of: &Partition) -> Offset {
        Offset(self.owned.iter().find(|(p, _)| p == of).map_or(0, |(_, position)| *position))
    }

    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError> {
        let now = self.log.now();
        let end = self.log.broker().bounds(of)?.1;
        let known = self.log.broker().has_leader(of, now) && !self.log.is_alone();
        // The answer travels while the log moves on.
        self.log.request();
        Ok(known.then_some(end))
    }
}

impl Drop for SimReader {
    fn drop(&mut self) {
        let Some(member) = &self.member else { return };
        let (now, alone) = (self.log.now(), self.log.is_alone());
        let mut broker = self.log.broker();
        if broker.is_dead(self.log.process) {
            return;
        }
        if alone {
            broker.schedule(now + SESSION, Action::MemberOver(member.group.clone(), member.id));
        } else {
            broker.leave(&member.group, member.id);
        }
    }
}
