//! A log in memory that behaves as Kafka does where stages can notice.
//!
//! Members of a group share partitions by range, topic by topic, so that equal partition numbers of several topics meet in one member.
//! Each join or leave begins a generation; positions under an older one, or of a member that is gone, are `Aborted`.
//! A reader of fixed partitions commits under the name of a group that never had members.
//! A transaction enters the log as a whole when it commits, so the end never shows an open one; with `markers` it then uses one more offset
//! of each partition, as Kafka's does. Nothing is written to a disk.

use super::lock;
use platform_core::clock::Clock;
use platform_core::log::{
    AppendError, Assignment, Claim, CommitError, Committed, Log, LogError, MAX_METADATA, Polled, Positions, Producer, Reader, Subscription,
    Writer,
};
use platform_core::record::{BatchBuffer, NewRecord, Offset, Partition, Topic, put_headers};
use platform_core::time::AppendTime;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A poll lends out at most this many bytes, unless one record alone is larger.
const BATCH_BYTES: usize = 1 << 20;
/// Number of a reader of fixed partitions, which no member has.
const FIXED: u64 = 0;
/// A poll lends out at most this many records.
const BATCH_RECORDS: usize = 4096;

/// Where append times come from.
#[derive(Clone)]
pub enum AppendTimes {
    /// The clock's wall time, never going back.
    Clock(Arc<dyn Clock>),
    /// Records have none, as those of bounded inputs.
    None,
}

/// How a topic treats its records.
#[derive(Debug, Clone, Copy, Default)]
pub struct TopicSettings {
    /// Records are dropped once any group has committed a position behind them: a bounded run needs them once.
    pub forget_after_read: bool,
    /// Each transaction uses one offset more than it has records, as Kafka's markers do.
    pub markers: bool,
}

/// A log in memory. Clones are the same log.
#[derive(Clone)]
pub struct MemoryLog {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    times: AppendTimes,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<Topic, TopicState>,
    groups: BTreeMap<String, Group>,
    /// Of each transactional id, how often a writer was taken.
    epochs: BTreeMap<String, u64>,
    newest: Option<AppendTime>,
    members: u64,
    closed: bool,
}

struct TopicState {
    settings: TopicSettings,
    partitions: Vec<Part>,
}

#[derive(Default)]
struct Part {
    start: u64,
    end: u64,
    records: VecDeque<Stored>,
}

struct Stored {
    offset: u64,
    append_time: Option<AppendTime>,
    key: Option<Box<[u8]>>,
    headers: Box<[u8]>,
    value: Option<Box<[u8]>>,
}

#[derive(Default)]
struct Group {
    generation: u64,
    members: BTreeMap<u64, Vec<Topic>>,
    committed: BTreeMap<Partition, Committed>,
}

impl MemoryLog {
    /// An empty log.
    #[must_use]
    pub fn new(times: AppendTimes) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), times }) }
    }

    /// Makes a topic; one that is there stays as it is.
    pub fn create_topic(&self, topic: &Topic, partitions: u32, settings: TopicSettings) {
        let fresh = || TopicState { settings, partitions: (0..partitions).map(|_| Part::default()).collect() };
        lock(&self.shared.state).topics.entry(topic.clone()).or_insert_with(fresh);
    }

    /// Drops the records below `offset`, as retention does.
    pub fn forget_before(&self, partition: &Partition, offset: Offset) {
        if let Some(part) = lock(&self.shared.state).part_mut(partition) {
            part.forget_before(offset.0);
        }
    }

    /// Takes every member out of a group, as a coordinator does whose sessions ran out. Their claims are void; a poll joins again.
    pub fn evict(&self, group: &str) {
        if let Some(group) = lock(&self.shared.state).groups.get_mut(group) {
            group.members.clear();
            group.generation += 1;
        }
        self.shared.changed.notify_all();
    }

    /// Refuses everything from now on.
    pub fn close(&self) {
        lock(&self.shared.state).closed = true;
        self.shared.changed.notify_all();
    }

    /// A reader of fixed partitions, which commits under the name of a group that has no members.
    #[must_use]
    pub fn reader_of(&self, group: &str, partitions: &[Partition]) -> Box<dyn Reader> {
        let member = Member { group: group.to_owned(), id: FIXED, seen: None, fixed: Some(partitions.to_vec()) };
        Box::new(MemoryReader {
            log: self.clone(),
            topics: Vec::new(),
            member: Some(member),
            told: true,
            owned: Vec::new(),
            paused: BTreeSet::new(),
            turn: 0,
            buffer: BatchBuffer::default(),
        })
    }

    fn now(&self, newest: Option<AppendTime>) -> Option<AppendTime> {
        match &self.shared.times {
            AppendTimes::Clock(clock) => Some(AppendTime(clock.wall())).max(newest),
            AppendTimes::None => None,
        }
    }
}

impl State {
    fn part(&self, of: &Partition) -> Option<&Part> {
        self.topics.get(&of.topic)?.partitions.get(of.index as usize)
    }

    fn part_mut(&mut self, of: &Partition) -> Option<&mut Part> {
        self.topics.get_mut(&of.topic)?.partitions.get_mut(of.index as usize)
    }

    fn join(&mut self, group: &str, topics: &[Topic]) -> u64 {
        self.members += 1;
        let id = self.members;
        let group = self.groups.entry(group.to_owned()).or_default();
        group.members.insert(id, topics.to_vec());
        group.generation += 1;
        id
    }

    /// Partitions of one member: a range of each of its topics.
    fn share(&self, group: &Group, member: u64) -> Vec<Partition> {
        let mut owned = Vec::new();
        for topic in group.members.get(&member).into_iter().flatten() {
            let readers: Vec<u64> = group.members.iter().filter(|(_, topics)| topics.contains(topic)).map(|(id, _)| *id).collect();
            let count = self.topics.get(topic).map_or(0, |t| t.partitions.len());
            let Some(place) = readers.iter().position(|id| *id == member) else { continue };
            let (each, more) = (count / readers.len(), count % readers.len());
            let from = place * each + place.min(more);
            let to = from + each + usize::from(place < more);
            owned.extend((from..to).filter_map(|i| Some(Partition::new(topic, u32::try_from(i).ok()?))));
        }
        owned
    }

    fn check_claim(&self, claim: &Claim) -> Result<(), CommitError> {
        let held = match self.groups.get(&claim.group).filter(|group| group.generation > 0) {
            Some(group) => group.generation == claim.generation && group.members.contains_key(&claim.member),
            None => claim.member == FIXED && !claim.group.is_empty(),
        };
        if held {
            return Ok(());
        }
        let Claim { group, member, generation } = claim;
        Err(CommitError::Aborted(format!("member {member} of group {group} has no claim in generation {generation} any more")))
    }

    fn append(&mut self, records: impl Iterator<Item = (Partition, Stored)>, append_time: Option<AppendTime>, transaction: bool) {
        let mut touched: Vec<Partition> = Vec::new();
        for (to, mut record) in records {
            let Some(part) = self.part_mut(&to) else { continue };
            record.offset = part.end;
            record.append_time = append_time;
            part.end += 1;
            part.records.push_back(record);
            if transaction && !touched.contains(&to) {
                touched.push(to);
            }
        }
        for partition in touched {
            if let Some(topic) = self.topics.get_mut(&partition.topic).filter(|t| t.settings.markers)
                && let Some(part) = topic.partitions.get_mut(partition.index as usize)
            {
                part.end += 1;
            }
        }
    }
}

impl Part {
    fn forget_before(&mut self, offset: u64) {
        let offset = offset.min(self.end);
        while self.records.front().is_some_and(|r| r.offset < offset) {
            self.records.pop_front();
        }
        self.start = self.start.max(offset);
    }

    fn index_at(&self, position: u64) -> usize {
        self.records.partition_point(|r| r.offset < position)
    }
}

fn stored(record: &NewRecord<'_>) -> Stored {
    let mut headers = Vec::new();
    put_headers(&mut headers, record.headers);
    Stored { offset: 0, append_time: None, key: record.key.map(Into::into), headers: headers.into(), value: record.value.map(Into::into) }
}

impl Log for MemoryLog {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        let mut state = lock(&self.shared.state);
        let mut all = Vec::new();
        for topic in &subscription.topics {
            let found = state.topics.get(topic).ok_or_else(|| LogError::UnknownTopic(topic.clone()))?;
            all.extend((0_u32..).zip(&found.partitions).map(|(i, part)| (Partition::new(topic, i), part.start)));
        }
        let member = subscription.group.as_ref().map(|group| {
            let id = state.join(group, &subscription.topics);
            all.clear();
            Member { group: group.clone(), id, seen: None, fixed: None }
        });
        drop(state);
        self.shared.changed.notify_all();
        let topics = subscription.topics.clone();
        let told = member.is_some();
        Ok(Box::new(MemoryReader {
            log: self.clone(),
            topics,
            member,
            told,
            owned: all,
            paused: BTreeSet::new(),
            turn: 0,
            buffer: BatchBuffer::default(),
        }))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        let mut state = lock(&self.shared.state);
        if state.closed {
            return Err(LogError::Closed);
        }
        let epoch = state.epochs.entry(transactional_id.to_owned()).or_default();
        *epoch += 1;
        Ok(Box::new(MemoryWriter { log: self.clone(), id: transactional_id.to_owned(), epoch: *epoch, staged: Vec::new() }))
    }

    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        if lock(&self.shared.state).closed { Err(LogError::Closed) } else { Ok(Box::new(MemoryProducer { log: self.clone() })) }
    }

    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        let state = lock(&self.shared.state);
        let found = state.topics.get(topic).ok_or_else(|| LogError::UnknownTopic(topic.clone()))?;
        Ok(u32::try_from(found.partitions.len()).unwrap_or(u32::MAX))
    }

    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        let state = lock(&self.shared.state);
        let part = state.part(partition).ok_or_else(|| LogError::UnknownTopic(partition.topic.clone()))?;
        Ok((Offset(part.start), Offset(part.end)))
    }

    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        let state = lock(&self.shared.state);
        let part = state.part(partition).ok_or_else(|| LogError::UnknownTopic(partition.topic.clone()))?;
        let older = part.records.partition_point(|record| record.append_time.is_some_and(|time| time < from));
        Ok(Offset(part.records.get(older).map_or(part.end, |record| record.offset)))
    }

    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        Ok(lock(&self.shared.state).groups.get(group).and_then(|g| g.committed.get(partition).cloned()))
    }
}

struct Member {
    group: String,
    id: u64,
    /// Generation whose assignment was handed out.
    seen: Option<u64>,
    fixed: Option<Vec<Partition>>,
}

impl Member {
    fn has_news(&self, state: &State) -> bool {
        match &self.fixed {
            Some(_) => self.seen.is_none(),
            None => self.seen != state.groups.get(&self.group).map(|g| g.generation),
        }
    }

    fn assignment(&mut self, state: &mut State, topics: &[Topic]) -> Assignment {
        let known = |state: &State, id| state.groups.get(&self.group).is_some_and(|g| g.members.contains_key(&id));
        if self.fixed.is_none() && !known(state, self.id) {
            self.id = state.join(&self.group, topics);
        }
        let group = state.groups.get(&self.group);
        let generation = group.map_or(0, |g| g.generation);
        let partitions = self.fixed.clone().or_else(|| group.map(|g| state.share(g, self.id))).unwrap_or_default();
        let with_position = |p: Partition| {
            let committed = group.and_then(|g| g.committed.get(&p).cloned());
            (p, committed)
        };
        self.seen = Some(generation);
        let claim = Claim { group: self.group.clone(), member: self.id, generation };
        Assignment { claim, partitions: partitions.into_iter().map(with_position).collect() }
    }
}

struct MemoryReader {
    log: MemoryLog,
    topics: Vec<Topic>,
    member: Option<Member>,
    /// Without a group: whether the caller has heard that it owns everything.
    told: bool,
    /// Partition and next offset.
    owned: Vec<(Partition, u64)>,
    /// Of those, which are not read.
    paused: BTreeSet<Partition>,
    /// Where the next poll begins to look, so that no partition starves another.
    turn: usize,
    buffer: BatchBuffer,
}

impl MemoryReader {
    /// Takes the next assignment, or fills the buffer; `None` when there is nothing.
    fn next(&mut self, state: &mut State) -> Result<Option<Found>, LogError> {
        if state.closed {
            return Err(LogError::Closed);
        }
        if let Some(member) = &mut self.member
            && member.has_news(state)
        {
            let assignment = member.assignment(state, &self.topics);
            let start = |p: &Partition| state.part(p).map_or(0, |part| part.start);
            self.paused.clear();
            self.owned =
                assignment.partitions.iter().map(|(p, c)| (p.clone(), c.as_ref().map_or_else(|| start(p), |c| c.offset.0))).collect();
            return Ok(Some(Found::Assigned(assignment)));
        }
        if !std::mem::replace(&mut self.told, true) {
            let claim = Claim { group: String::new(), member: FIXED, generation: 0 };
            let partitions = self.owned.iter().map(|(partition, _)| (partition.clone(), None)).collect();
            return Ok(Some(Found::Assigned(Assignment { claim, partitions })));
        }
        let count = self.owned.len();
        for step in 0..count {
            let place = (self.turn + step) % count;
            let Some((partition, position)) = self.owned.get_mut(place) else { continue };
            if self.paused.contains(partition) {
                continue;
            }
            let part = state.part(partition).ok_or_else(|| LogError::UnknownTopic(partition.topic.clone()))?;
            if *position < part.start || *position > part.end {
                let (start, end) = (Offset(part.start), Offset(part.end));
                return Err(LogError::OutOfRange { partition: partition.clone(), position: Offset(*position), start, end });
            }
            self.buffer.start(partition);
            let from = part.index_at(*position);
            *position = part.end;
            for record in part.records.range(from..) {
                if self.buffer.len() >= BATCH_RECORDS || self.buffer.size() >= BATCH_BYTES {
                    *position = record.offset;
                    break;
                }
                self.buffer.push(
                    Offset(record.offset),
                    record.append_time,
                    record.key.as_deref(),
                    &record.headers,
                    record.value.as_deref(),
                );
            }
            if !self.buffer.is_empty() {
                self.turn = place + 1;
                return Ok(Some(Found::Batch));
            }
        }
        Ok(None)
    }

    /// Whether `next` would bring something; `next` has moved all positions over gaps before.
    fn waits(&self, state: &State) -> bool {
        let news = self.member.as_ref().is_some_and(|m| m.has_news(state));
        !state.closed
            && !news
            && self.owned.iter().all(|(p, position)| self.paused.contains(p) || state.part(p).is_some_and(|part| part.end == *position))
    }
}

enum Found {
    Assigned(Assignment),
    Batch,
}

impl Reader for MemoryReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError> {
        let shared = Arc::clone(&self.log.shared);
        let mut state = lock(&shared.state);
        let mut found = self.next(&mut state)?;
        if found.is_none() && !wait.is_zero() {
            state = shared.changed.wait_timeout_while(state, wait, |s| self.waits(s)).unwrap_or_else(PoisonError::into_inner).0;
            found = self.next(&mut state)?;
        }
        drop(state);
        Ok(match found {
            Some(Found::Assigned(assignment)) => Polled::Assigned(assignment),
            Some(Found::Batch) => self.buffer.batch().map_or(Polled::Nothing, Polled::Batch),
            None => Polled::Nothing,
        })
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
        Ok(Some(self.log.bounds(of)?.1))
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        if let Some(member) = self.member.as_ref().filter(|m| m.fixed.is_none()) {
            if let Some(group) = lock(&self.log.shared.state).groups.get_mut(&member.group)
                && group.members.remove(&member.id).is_some()
            {
                group.generation += 1;
            }
            self.log.shared.changed.notify_all();
        }
    }
}

struct MemoryWriter {
    log: MemoryLog,
    id: String,
    epoch: u64,
    staged: Vec<(Partition, Stored)>,
}

impl Writer for MemoryWriter {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.staged.push((to.clone(), stored(&record)));
        Ok(())
    }

    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        let staged = std::mem::take(&mut self.staged);
        let mut guard = lock(&self.log.shared.state);
        let state = &mut *guard;
        if state.closed {
            return Err(CommitError::Failed("the log is closed".into()));
        }
        if state.epochs.get(&self.id) != Some(&self.epoch) {
            return Err(CommitError::Fenced(format!("a newer writer has taken {}", self.id)));
        }
        // Without positions no claim is sent, and so none is checked.
        if !read.is_empty() {
            state.check_claim(claim)?;
        }
        if let Some((to, _)) = staged.iter().find(|(to, _)| state.part(to).is_none()) {
            return Err(CommitError::Failed(format!("there is no partition {to}")));
        }
        if let Some((partition, _)) = read.iter().find(|(_, c)| c.metadata.len() > MAX_METADATA) {
            return Err(CommitError::Failed(format!("the metadata of {partition} is over {MAX_METADATA} bytes")));
        }
        let append_time = self.log.now(state.newest);
        // An empty transaction is given a time as well: every record that comes later has none before it.
        state.newest = append_time.or(state.newest);
        state.append(staged.into_iter(), append_time, true);
        let group = state.groups.entry(claim.group.clone()).or_default();
        for (partition, committed) in read {
            group.committed.insert(partition.clone(), committed.clone());
            if let Some(topic) = state.topics.get_mut(&partition.topic).filter(|t| t.settings.forget_after_read)
                && let Some(part) = topic.partitions.get_mut(partition.index as usize)
            {
                part.forget_before(committed.offset.0);
            }
        }
        let newest = state.newest.unwrap_or(AppendTime(i64::MIN));
        drop(guard);
        self.log.shared.changed.notify_all();
        Ok(newest)
    }

    fn abort(&mut self) {
        self.staged.clear();
    }
}

struct MemoryProducer {
    log: MemoryLog,
}

impl Producer for MemoryProducer {
    fn append(&self, to: &Partition, records: &[NewRecord<'_>]) -> Result<Offset, AppendError> {
        let mut state = lock(&self.log.shared.state);
        let first = state.part(to).filter(|_| !state.closed).map(|p| Offset(p.end));
        let first = first.ok_or_else(|| AppendError::Failed(format!("the log is closed or has no partition {to}")))?;
        let append_time = self.log.now(state.newest);
        state.newest = append_time.or(state.newest);
        state.append(records.iter().map(|r| (to.clone(), stored(r))), append_time, false);
        drop(state);
        self.log.shared.changed.notify_all();
        Ok(first)
    }
}

#[cfg(test)]
mod tests;
