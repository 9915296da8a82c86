//! What the brokers hold and do: partitions, transactions, groups, and what is due at which time. Decides nothing for clients.

use super::{Arrival, Chances, SESSION, TRANSACTION};
use crate::clock::SimClock;
use crate::seed::Seed;
use platform_core::clock::Clock;
use platform_core::log::{Claim, CommitError, Committed, LogError};
use platform_core::planted::{Bug, planted};
use platform_core::record::{Headers, NewRecord, Offset, Partition, Record, Topic, put_headers};
use platform_core::time::{AppendTime, nanos};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub(super) struct Broker {
    pub(super) seed: Seed,
    pub(super) chances: Chances,
    pub(super) injected: BTreeMap<&'static str, u64>,
    topics: BTreeMap<Topic, Vec<Part>>,
    groups: BTreeMap<String, Group>,
    producers: BTreeMap<String, Producer>,
    transactions: BTreeMap<u64, Transaction>,
    /// By time, then by number.
    agenda: BTreeMap<(Duration, u64), Action>,
    /// Processes that do not give signs of life, and whether they are dead.
    away: BTreeMap<u64, bool>,
    /// Processes that reach nobody, and until when.
    cut_off: BTreeMap<u64, Duration>,
    /// Processes that read record by record.
    slow: BTreeSet<u64>,
    /// Of members, transactions and actions.
    numbers: u64,
}

/// What happens at its time.
pub(super) enum Action {
    Arrive(Arrival),
    /// A transaction's marker is written in one partition.
    Mark(u64, Partition),
    /// A transaction's positions become those of their groups.
    Position(u64),
    /// A request to end a transaction arrives.
    End {
        id: String,
        epoch: u64,
        commit: bool,
    },
    /// A transaction has been open for long enough.
    Expire(u64),
    /// A process has been silent for long enough.
    SessionOver(u64),
    /// A member that could not say goodbye has been silent for long enough.
    MemberOver(String, u64),
    /// A transaction from outside ends.
    EndArrival {
        at: Partition,
        transaction: u64,
        commit: bool,
    },
}

#[derive(Default)]
struct Part {
    end: u64,
    entries: VecDeque<Entry>,
    /// First record of each open transaction.
    open: BTreeMap<u64, u64>,
    newest: Option<AppendTime>,
    /// How far its leader's clock is ahead.
    ahead: i64,
    leaderless_until: Option<Duration>,
}

struct Entry {
    offset: u64,
    append_time: AppendTime,
    key: Option<Box<[u8]>>,
    headers: Box<[u8]>,
    value: Option<Box<[u8]>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Visible,
    Open(u64),
    Aborted,
}

#[derive(Default)]
struct Group {
    generation: u64,
    /// Topics and process of each.
    members: BTreeMap<u64, (Vec<Topic>, u64)>,
    committed: BTreeMap<Partition, Committed>,
}

#[derive(Default)]
struct Producer {
    epoch: u64,
    open: Option<u64>,
    settling: Option<u64>,
}

struct Transaction {
    id: String,
    partitions: BTreeSet<Partition>,
    positions: Vec<(String, Partition, Committed)>,
    /// Whether it commits, once that is decided.
    commits: Option<bool>,
    /// Markers and positions that are still to come.
    outstanding: usize,
}

/// A position stands in a transaction whose outcome is not there yet.
pub(super) struct Unstable;

impl Broker {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            chances: Chances::default(),
            injected: BTreeMap::new(),
            topics: BTreeMap::new(),
            groups: BTreeMap::new(),
            producers: BTreeMap::new(),
            transactions: BTreeMap::new(),
            agenda: BTreeMap::new(),
            away: BTreeMap::new(),
            cut_off: BTreeMap::new(),
            slow: BTreeSet::new(),
            numbers: 0,
        }
    }

    pub(super) fn create_topic(&mut self, topic: &Topic, partitions: u32, clocks: Duration) {
        let seed = &mut self.seed;
        let mut ahead = || i64::try_from(seed.below(nanos(clocks).unsigned_abs() + 1)).unwrap_or(0);
        let parts = (0..partitions).map(|_| Part { ahead: ahead(), ..Part::default() }).collect();
        self.topics.entry(topic.clone()).or_insert(parts);
    }

    pub(super) fn set_slow(&mut self, process: u64, slow: bool) {
        if slow {
            *self.injected.entry("slow process").or_default() += 1;
            self.slow.insert(process);
        } else {
            self.slow.remove(&process);
        }
    }

    pub(super) fn is_slow(&self, process: u64) -> bool {
        self.slow.contains(&process)
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Whether a thing of this chance happens now; counted by its name.
    pub(super) fn happens(&mut self, name: &'static str, per_mille: u64) -> bool {
        let happens = per_mille > 0 && self.seed.chance(per_mille);
        if happens {
            self.count(name);
        }
        happens
    }

    pub(super) fn count(&mut self, name: &'static str) {
        *self.injected.entry(name).or_default() += 1;
    }

    /// How long a request takes.
    pub(super) fn latency(&mut self) -> Duration {
        if self.happens("slow request", self.chances.slow) {
            Duration::from_millis(self.seed.below(2000))
        } else {
            Duration::from_micros(self.seed.below(1500))
        }
    }

    pub(super) fn schedule(&mut self, due: Duration, action: Action) {
        let number = self.number();
        self.agenda.insert((due, number), action);
    }

    pub(super) fn next_due(&mut self, end: Duration) -> Option<(Duration, Action)> {
        let next = self.agenda.first_entry().filter(|entry| entry.key().0 <= end)?;
        let (due, _) = *next.key();
        Some((due, next.remove()))
    }

    pub(super) fn act(&mut self, action: Action, clock: &SimClock) {
        match action {
            Action::Arrive(arrival) => self.arrive(arrival, clock),
            Action::Mark(transaction, partition) => self.mark(transaction, &partition),
            Action::Position(transaction) => self.position(transaction),
            Action::End { id, epoch, commit } => {
                if self.producers.get(&id).is_some_and(|p| p.epoch == epoch && p.open.is_some()) {
                    self.count("late end arrived");
                    self.end(&id, commit, clock.monotonic());
                }
            }
            Action::Expire(number) => {
                let id = self.transactions.get(&number).filter(|t| t.commits.is_none()).map(|t| t.id.clone());
                if let Some(id) = id {
                    self.count("transaction timed out");
                    // The coordinator raises the epoch, so that the owner notices.
                    self.next_epoch(&id);
                    self.end(&id, false, clock.monotonic());
                }
            }
            Action::SessionOver(process) => {
                if self.away.contains_key(&process) || self.is_cut_off(process, clock.monotonic()).is_some() {
                    self.put_out(|_, of| of == process);
                }
            }
            Action::MemberOver(group, member) => self.leave(&group, member),
            Action::EndArrival { at, transaction, commit } => {
                if let Some(part) = self.part_mut(&at) {
                    part.settle(transaction, commit);
                }
            }
        }
    }

    fn arrive(&mut self, arrival: Arrival, clock: &SimClock) {
        let now = clock.monotonic();
        let until = self.part(&arrival.to).and_then(|part| part.leaderless_until).filter(|until| *until > now);
        if let Some(until) = until {
            // Its producer tries again.
            self.schedule(until, Action::Arrive(arrival));
            return;
        }
        let record = NewRecord { value: arrival.value.as_deref(), ..NewRecord::default() };
        let transaction = arrival.transaction.map(|how| (self.number(), how));
        // The topics of a simulation are there.
        let appended = self.append(&arrival.to, &record, transaction.map(|(number, _)| number), clock);
        if let (Ok(_), Some((transaction, (open, commit)))) = (appended, transaction) {
            self.count("open transaction from outside");
            self.schedule(now + open, Action::EndArrival { at: arrival.to, transaction, commit });
        }
    }

    pub(super) fn append(
        &mut self,
        to: &Partition,
        record: &NewRecord<'_>,
        transaction: Option<u64>,
        clock: &SimClock,
    ) -> Result<(Offset, AppendTime), LogError> {
        let part = self.part_mut(to).ok_or_else(|| LogError::UnknownTopic(to.topic.clone()))?;
        let append_time = Some(AppendTime(clock.wall() + part.ahead)).max(part.newest).unwrap_or(AppendTime(0));
        part.newest = Some(append_time);
        let offset = part.end;
        part.end += 1;
        let mut headers = Vec::new();
        put_headers(&mut headers, record.headers);
        let state = transaction.map_or(State::Visible, State::Open);
        if let Some(number) = transaction {
            part.open.entry(number).or_insert(offset);
        }
        part.entries.push_back(Entry {
            offset,
            append_time,
            key: record.key.map(Into::into),
            headers: headers.into(),
            value: record.value.map(Into::into),
            state,
        });
        if let Some(transaction) = transaction.and_then(|number| self.transactions.get_mut(&number)) {
            transaction.partitions.insert(to.clone());
        }
        Ok((Offset(offset), append_time))
    }

    // Transactions.

    /// The open transaction of a producer, begun if there is none; `None` for a producer that is not the newest of its id.
    pub(super) fn open(&mut self, id: &str, epoch: u64, now: Duration) -> Option<u64> {
        let producer = self.producers.get(id).filter(|p| p.epoch == epoch)?;
        if let Some(number) = producer.open {
            return Some(number);
        }
        let number = self.number();
        let transaction =
            Transaction { id: id.to_owned(), partitions: BTreeSet::new(), positions: Vec::new(), commits: None, outstanding: 0 };
        self.transactions.insert(number, transaction);
        self.producers.entry(id.to_owned()).or_default().open = Some(number);
        self.schedule(now + TRANSACTION, Action::Expire(number));
        Some(number)
    }

    pub(super) fn is_newest(&self, id: &str, epoch: u64) -> bool {
        self.producers.get(id).is_some_and(|p| p.epoch == epoch)
    }

    /// Whether a producer is the newest of its id and has begun a transaction.
    pub(super) fn is_open(&self, id: &str, epoch: u64) -> bool {
        self.producers.get(id).is_some_and(|p| p.epoch == epoch && p.open.is_some())
    }

    /// Whether the last transaction of a producer still has markers to come.
    pub(super) fn is_settling(&self, id: &str) -> bool {
        self.producers.get(id).is_some_and(|p| p.settling.is_some())
    }

    pub(super) fn next_epoch(&mut self, id: &str) -> u64 {
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        producer.epoch
    }

    /// Ends what an earlier owner left open.
    pub(super) fn end_open(&mut self, id: &str, now: Duration) {
        if self.producers.get(id).is_some_and(|p| p.open.is_some()) {
            self.next_epoch(id);
            self.end(id, false, now);
        }
    }

    /// Decides the open transaction of a producer. Markers and positions follow.
    pub(super) fn end(&mut self, id: &str, commit: bool, now: Duration) {
        let Some(number) = self.producers.get_mut(id).and_then(|p| p.open.take()) else { return };
        let Some(transaction) = self.transactions.get_mut(&number) else { return };
        transaction.commits = Some(commit);
        let partitions = std::mem::take(&mut transaction.partitions);
        transaction.outstanding = partitions.len() + 1;
        if let Some(producer) = self.producers.get_mut(id) {
            producer.settling = Some(number);
        }
        for partition in partitions {
            let delay = self.marker_delay();
            self.schedule(now + delay, Action::Mark(number, partition));
        }
        let delay = self.marker_delay();
        self.schedule(now + delay, Action::Position(number));
    }

    fn marker_delay(&mut self) -> Duration {
        if self.happens("late marker", self.chances.late_markers) { Duration::from_millis(self.seed.below(5000)) } else { Duration::ZERO }
    }

    fn mark(&mut self, number: u64, partition: &Partition) {
        let commit = self.transactions.get(&number).is_some_and(|t| t.commits == Some(true));
        if let Some(part) = self.part_mut(partition) {
            part.settle(number, commit);
        }
        self.settled(number);
    }

    fn position(&mut self, number: u64) {
        let Some(transaction) = self.transactions.get_mut(&number) else { return };
        let positions = std::mem::take(&mut transaction.positions);
        if transaction.commits == Some(true) {
            for (group, partition, committed) in positions {
                self.groups.entry(group).or_default().committed.insert(partition, committed);
            }
        }
        self.settled(number);
    }

    /// One marker or the positions of a transaction are written.
    fn settled(&mut self, number: u64) {
        let Some(transaction) = self.transactions.get_mut(&number) else { return };
        transaction.outstanding -= 1;
        if transaction.outstanding > 0 {
            return;
        }
        let id = transaction.id.clone();
        self.transactions.remove(&number);
        if let Some(producer) = self.producers.get_mut(&id)
            && producer.settling == Some(number)
        {
            producer.settling = None;
        }
    }

    pub(super) fn add_positions(&mut self, number: u64, claim: &Claim, read: &[(Partition, Committed)]) -> Result<(), CommitError> {
        // A list without positions is not even sent, and so no claim is checked.
        let group = self.groups.get(&claim.group);
        let held = group.is_some_and(|group| group.members.contains_key(&claim.member) && group.generation == claim.generation);
        if !read.is_empty() && !held && !planted(Bug::ClaimRefreshed) {
            self.count("stale claim");
            return Err(CommitError::Aborted(format!("the claim on group {} is not of its generation", claim.group)));
        }
        if let Some(transaction) = self.transactions.get_mut(&number) {
            for (partition, committed) in read {
                transaction.positions.retain(|(group, of, _)| (group, of) != (&claim.group, partition));
                transaction.positions.push((claim.group.clone(), partition.clone(), committed.clone()));
            }
        }
        Ok(())
    }

    /// What a group has committed, once that is certain.
    pub(super) fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, Unstable> {
        let pending = |t: &Transaction| t.positions.iter().any(|(of, at, _)| of == group && at == partition);
        if self.transactions.values().any(pending) {
            return Err(Unstable);
        }
        Ok(self.groups.get(group).and_then(|g| g.committed.get(partition).cloned()))
    }

    // Groups.

    pub(super) fn join(&mut self, group: &str, topics: &[Topic], process: u64) -> u64 {
        let id = self.number();
        if self.is_dead(process) {
            // It died while it asked for this.
            return id;
        }
        let group = self.groups.entry(group.to_owned()).or_default();
        group.members.insert(id, (topics.to_vec(), process));
        group.generation += 1;
        id
    }

    pub(super) fn leave(&mut self, group: &str, member: u64) {
        if let Some(group) = self.groups.get_mut(group)
            && group.members.remove(&member).is_some()
        {
            group.generation += 1;
        }
    }

    /// Generation, and whether the member belongs to it.
    pub(super) fn generation(&self, group: &str, member: u64) -> (u64, bool) {
        self.groups.get(group).map_or((0, false), |g| (g.generation, g.members.contains_key(&member)))
    }

    /// Partitions of one member: a range of each of its topics.
    pub(super) fn share(&self, group: &str, member: u64) -> Vec<Partition> {
        let Some(group) = self.groups.get(group) else { return Vec::new() };
        let mut owned = Vec::new();
        for topic in group.members.get(&member).into_iter().flat_map(|(topics, _)| topics) {
            let readers: Vec<u64> = group.members.iter().filter(|(_, (topics, _))| topics.contains(topic)).map(|(id, _)| *id).collect();
            let count = self.topics.get(topic).map_or(0, Vec::len);
            let Some(place) = readers.iter().position(|id| *id == member) else { continue };
            let (each, more) = (count / readers.len(), count % readers.len());
            let from = place * each + place.min(more);
            let to = from + each + usize::from(place < more);
            owned.extend((from..to).filter_map(|i| Some(Partition::new(topic, u32::try_from(i).ok()?))));
        }
        owned
    }

    pub(super) fn evict(&mut self, group: &str) {
        if let Some(group) = self.groups.get_mut(group) {
            group.members.clear();
            group.generation += 1;
        }
        self.count("group begun anew");
    }

    fn put_out(&mut self, who: impl Fn(u64, u64) -> bool) {
        for group in self.groups.values_mut() {
            let before = group.members.len();
            group.members.retain(|id, (_, process)| !who(*id, *process));
            group.generation += u64::from(group.members.len() < before);
        }
    }

    pub(super) fn away(&mut self, process: u64, now: Duration, dead: bool) {
        self.away.insert(process, dead);
        self.schedule(now + SESSION, Action::SessionOver(process));
    }

    pub(super) fn back(&mut self, process: u64) {
        self.away.remove(&process);
    }

    pub(super) fn cut_off(&mut self, process: u64, now: Duration, until: Duration) {
        self.count("process cut off");
        self.cut_off.insert(process, until);
        self.schedule(now + SESSION, Action::SessionOver(process));
    }

    pub(super) fn is_cut_off(&self, process: u64, now: Duration) -> Option<Duration> {
        self.cut_off.get(&process).copied().filter(|until| *until > now)
    }

    pub(super) fn is_dead(&self, process: u64) -> bool {
        self.away.get(&process) == Some(&true)
    }

    // Partitions.

    pub(super) fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        let found = self.topics.get(topic).ok_or_else(|| LogError::UnknownTopic(topic.clone()))?;
        Ok(u32::try_from(found.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        let part = self.part(partition).ok_or_else(|| LogError::UnknownTopic(partition.topic.clone()))?;
        let end = if planted(Bug::EndIsStableOffset) { part.stable() } else { part.end };
        Ok((Offset(0), Offset(end)))
    }

    /// The first record, committed or not, that was taken at `from` or later; the end when there is none.
    pub(super) fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        let part = self.part(partition).ok_or_else(|| LogError::UnknownTopic(partition.topic.clone()))?;
        let older = part.entries.partition_point(|entry| entry.append_time < from);
        Ok(Offset(part.entries.get(older).map_or(part.end, |entry| entry.offset)))
    }

    /// The end of a partition as its leader has it.
    pub(super) fn high(&self, partition: &Partition) -> u64 {
        self.part(partition).map_or(0, |part| part.end)
    }

    pub(super) fn has_leader(&self, partition: &Partition, now: Duration) -> bool {
        self.part(partition).is_some_and(|part| part.leaderless_until.is_none_or(|until| until <= now))
    }

    pub(super) fn lose_leader(&mut self, of: &Partition, until: Duration) {
        self.count("no leader");
        if let Some(part) = self.part_mut(of) {
            part.leaderless_until = part.leaderless_until.max(Some(until));
        }
    }

    /// Calls with committed records from `position` on, at most `most`; gives the position behind what was passed.
    pub(super) fn read(&self, partition: &Partition, position: u64, most: usize, each: &mut dyn FnMut(&Record<'_>)) -> u64 {
        let Some(part) = self.part(partition) else { return position };
        let stable = part.stable();
        let from = part.entries.partition_point(|entry| entry.offset < position);
        let visible = part.entries.range(from..).filter(|entry| entry.offset < stable && entry.state == State::Visible);
        for (given, entry) in visible.enumerate() {
            if given == most {
                return entry.offset;
            }
            each(&entry.record());
        }
        position.max(stable)
    }

    fn part(&self, of: &Partition) -> Option<&Part> {
        self.topics.get(&of.topic)?.get(of.index as usize)
    }

    fn part_mut(&mut self, of: &Partition) -> Option<&mut Part> {
        self.topics.get_mut(&of.topic)?.get_mut(of.index as usize)
    }
}

impl Part {
    /// The last stable offset: below it every outcome is known.
    fn stable(&self) -> u64 {
        self.open.values().copied().min().unwrap_or(self.end)
    }

    /// Writes a marker.
    fn settle(&mut self, transaction: u64, commit: bool) {
        let Some(first) = self.open.remove(&transaction) else { return };
        let from = self.entries.partition_point(|entry| entry.offset < first);
        for entry in self.entries.range_mut(from..).filter(|entry| entry.state == State::Open(transaction)) {
            entry.state = if commit { State::Visible } else { State::Aborted };
        }
        self.end += 1;
    }
}

impl Entry {
    fn record(&self) -> Record<'_> {
        Record {
            offset: Offset(self.offset),
            append_time: Some(self.append_time),
            key: self.key.as_deref(),
            headers: Headers::from_encoded(&self.headers),
            value: self.value.as_deref(),
        }
    }
}
