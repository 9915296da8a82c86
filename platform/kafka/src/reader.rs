//! Readers: members of a group, and readers that own all partitions of their topics alone.
//!
//! librdkafka calls back inside `poll` when partitions come or go. Coming: the claim is taken there (R3); going: they are given up there.
//! Everything else happens in the next `poll` of the task, which hears of every change as an assignment of all that it then owns. Nothing is
//! lost by giving up at once: a task writes only inside a commit, and what it had not committed is read again by the next owner.
//!
//! Partitions are assigned once, with explicit positions, after the caller has had its chance to seek; a later seek is librdkafka's own. A
//! position follows librdkafka's, which steps over the offsets that transactions use for themselves.

use crate::client::{Context, Use, config, heals, is_of_connections, is_passing, words};
use crate::log::{Inside, Shared, asking_for_ends, index, lock, offset, positions};
use crate::retry::State;
use platform_core::log::{Assignment, Claim, Committed, LogError, Polled, Positions, Reader};
use platform_core::record::{BatchBuffer, Offset, Partition, Topic, put_headers};
use platform_core::time::AppendTime;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata, RebalanceProtocol};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers as _, Message, Timestamp};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset as Position, TopicPartitionList};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A batch ends with the record that passes this many bytes.
const BATCH_BYTES: usize = 1 << 20;
/// Most records of a batch.
const BATCH_RECORDS: usize = 8192;
/// How long a seek may take.
const SEEK: Duration = Duration::from_secs(5);
/// How long a partition may stand still short of its end before it is fetched anew: longer than any open transaction holds readers back.
/// librdkafka is known to forget a partition now and then when its leader moves.
const STILL: Duration = Duration::from_secs(30);
/// How long a leader that did not answer is not asked again: each time holds up the other partitions of its task.
const SILENT: Duration = Duration::from_secs(30);

/// What happened to a member's partitions inside `poll`.
enum Change {
    /// These came, under this claim.
    Came(Vec<Partition>, Option<ConsumerGroupMetadata>),
    /// These went; for the eager protocol that is all.
    Went(Vec<Partition>),
}

/// The context of a member: hears of changes.
struct MemberContext {
    inner: Context,
    shared: Arc<Shared>,
    topics: Vec<Topic>,
    changes: Mutex<Vec<Change>>,
}

impl ClientContext for MemberContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.inner.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.inner.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.inner.stats(statistics);
    }
}

impl ConsumerContext for MemberContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let named = list.elements().iter().filter_map(|e| self.partition(e.topic(), e.partition())).collect();
        let cooperative = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let change = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            // Assigned for good by the next poll, once the caller has said from where. The claim is taken here, and never again.
            let claim = consumer.group_metadata();
            if list.count() == 0 {
                // There is nothing to say from where; until it is taken, the group waits for this member.
                let taken = if cooperative { consumer.incremental_assign(list) } else { consumer.assign(list) };
                if let Err(error) = taken {
                    tracing::warn!(client = %self.inner.name, %error, "an empty assignment could not be taken");
                }
            }
            Change::Came(named, claim)
        } else {
            self.shared.reached(Inside::Revoked, &self.inner.name);
            let given_up = if cooperative { consumer.incremental_unassign(list) } else { consumer.unassign() };
            if let Err(error) = given_up {
                tracing::warn!(client = %self.inner.name, %error, "partitions could not be given up");
            }
            Change::Went(named)
        };
        lock(&self.changes).push(change);
    }

    fn main_queue_min_poll_interval(&self) -> rdkafka::util::Timeout {
        Duration::from_millis(100).into()
    }
}

impl MemberContext {
    fn partition(&self, topic: &str, index: i32) -> Option<Partition> {
        let topic = self.topics.iter().find(|known| known.as_str() == topic)?;
        Some(Partition::new(topic, u32::try_from(index).ok()?))
    }
}

/// Batches out of single messages, and how far each partition was handed out.
struct Intake {
    /// What the caller looks at.
    current: BatchBuffer,
    /// The first message behind it, of another partition.
    next: BatchBuffer,
    next_of: Option<Partition>,
    headers: Vec<u8>,
    /// Topics whose headers nobody needs.
    bare: Vec<Topic>,
    /// Owned partitions: where the caller goes on.
    handed: BTreeMap<Partition, Offset>,
    /// For people: who reads.
    doing: String,
}

/// What a member does, for people.
pub(crate) fn reading_as(group: &str) -> String {
    format!("reading as group {group}")
}

impl Intake {
    fn new(doing: String, bare: &[Topic]) -> Self {
        let (current, next) = (BatchBuffer::default(), BatchBuffer::default());
        Self { current, next, next_of: None, headers: Vec::new(), bare: bare.to_vec(), handed: BTreeMap::new(), doing }
    }

    fn own(&mut self, partitions: impl Iterator<Item = (Partition, Offset)>) {
        self.handed = partitions.collect();
        self.next_of = None;
    }

    fn owned(&self, topic: &str, partition: i32) -> Option<Partition> {
        let index = u32::try_from(partition).ok()?;
        self.handed.keys().find(|owned| owned.index == index && owned.topic.as_str() == topic).cloned()
    }

    /// The partition of which something was read ahead, where it is one of these, and where the caller goes on with it.
    fn read_ahead(&self, these: &BTreeSet<Partition>) -> Option<(Partition, Offset)> {
        let of = self.next_of.as_ref().filter(|of| these.contains(*of))?;
        Some((of.clone(), *self.handed.get(of)?))
    }

    /// Forgets what was read ahead of these partitions.
    fn moved(&mut self, to: &Positions) {
        if self.next_of.as_ref().is_some_and(|partition| to.contains_key(partition)) {
            self.next_of = None;
        }
        for (partition, offset) in to {
            self.handed.insert(partition.clone(), *offset);
        }
    }

    fn push(buffer: &mut BatchBuffer, scratch: &mut Vec<u8>, message: &BorrowedMessage<'_>, bare: bool) {
        scratch.clear();
        if let Some(headers) = message.headers().filter(|_| !bare) {
            let list: Vec<(&str, &[u8])> = headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect();
            put_headers(scratch, &list);
        }
        let time = match message.timestamp() {
            Timestamp::LogAppendTime(millis) | Timestamp::CreateTime(millis) => Some(AppendTime(millis.saturating_mul(1_000_000))),
            Timestamp::NotAvailable => None,
        };
        buffer.push(offset(message.offset()), time, message.key(), scratch, message.payload());
    }

    /// Where the caller goes on with an owned partition.
    fn handed_of(&self, of: &Partition) -> Offset {
        self.handed.get(of).copied().unwrap_or_default()
    }

    /// Whether a message was not handed out before: what goes on at `next` brings nothing that lies before it.
    fn is_new(&self, message: &BorrowedMessage<'_>, next: Offset) -> bool {
        let is_new = offset(message.offset()) >= next;
        if !is_new {
            metrics::counter!("platform_kafka_brought_again_total", "client" => self.doing.clone()).increment(1);
        }
        is_new
    }

    /// Fills the current batch with what follows of one partition. `false`: there is nothing.
    fn fill<C: ConsumerContext>(&mut self, consumer: &BaseConsumer<C>, wait: Duration, state: &State) -> Result<bool, LogError> {
        let mut of = self.next_of.take();
        if of.is_some() {
            std::mem::swap(&mut self.current, &mut self.next);
        }
        let mut wait = if of.is_some() { Duration::ZERO } else { wait };
        // Where the batch goes on. Nothing says that the client brings each offset once: whoever reads counts on it.
        let mut next = self.current.batch().filter(|_| of.is_some()).and_then(|batch| batch.next_offset()).unwrap_or_default();
        // Of the last message that belonged to the batch. The client has one handle for a topic as long as it reads it, so that names need not
        // be compared for each message.
        let mut last = None;
        let mut bare = of.as_ref().is_some_and(|of| self.bare.contains(&of.topic));
        while of.is_none() || (self.current.size() < BATCH_BYTES && self.current.len() < BATCH_RECORDS) {
            let message = match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) => match self.trouble(&error, state) {
                    Some(failure) => return Err(failure),
                    None if of.is_some() => break,
                    None => return Ok(false),
                },
            };
            wait = Duration::ZERO;
            let place = Some((message.topic_ptr(), message.partition()));
            if place == last {
                if self.is_new(&message, next) {
                    Self::push(&mut self.current, &mut self.headers, &message, bare);
                    next = offset(message.offset()).next();
                }
                continue;
            }
            match &of {
                Some(partition) if index(partition) == message.partition() && partition.topic.as_str() == message.topic() => {
                    last = place;
                    if self.is_new(&message, next) {
                        Self::push(&mut self.current, &mut self.headers, &message, bare);
                        next = offset(message.offset()).next();
                    }
                }
                Some(_) => {
                    // A message of another partition waits for the next batch; one of a partition that has gone, for nothing.
                    let owned = self.owned(message.topic(), message.partition());
                    if let Some(other) = owned.filter(|other| self.is_new(&message, self.handed_of(other))) {
                        self.next.start(&other);
                        Self::push(&mut self.next, &mut self.headers, &message, self.bare.contains(&other.topic));
                        self.next_of = Some(other);
                        break;
                    }
                }
                None => {
                    let Some(partition) = self.owned(message.topic(), message.partition()) else { continue };
                    next = self.handed_of(&partition);
                    if !self.is_new(&message, next) {
                        continue;
                    }
                    next = offset(message.offset()).next();
                    self.current.start(&partition);
                    bare = self.bare.contains(&partition.topic);
                    Self::push(&mut self.current, &mut self.headers, &message, bare);
                    (of, last) = (Some(partition), place);
                }
            }
        }
        let Some(partition) = of else { return Ok(false) };
        state.well(&self.doing);
        if let Some(next) = self.current.batch().and_then(|batch| batch.next_offset()) {
            self.handed.insert(partition, next);
        }
        Ok(true)
    }

    /// What an error of reading means: `None` passes by itself.
    fn trouble(&self, error: &KafkaError, state: &State) -> Option<LogError> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => {
                Some(LogError::Engine(format!("a position lies outside of the log, which was truncated, expired or made anew: {error}")))
            }
            Some(Code::PartitionEOF) => None,
            // Said by the client itself, whatever it is used for.
            Some(code) if is_of_connections(code) => None,
            _ if is_passing(error) => None,
            _ if matches!(error, KafkaError::MessageConsumptionFatal(_)) || !heals(error) => {
                Some(LogError::Engine(words(&self.doing, "READ", error).text))
            }
            _ => {
                state.troubled(&self.doing, words(&self.doing, "READ", error));
                None
            }
        }
    }

    /// Where the caller goes on. librdkafka's own position counts when everything before it was handed out.
    fn position<C: ConsumerContext>(&self, consumer: &BaseConsumer<C>, of: &Partition) -> Offset {
        let Some(handed) = self.handed.get(of).copied() else { return Offset(0) };
        if self.next_of.as_ref() == Some(of) {
            return handed;
        }
        let own = consumer.position().ok().and_then(|list| list.find_partition(of.topic.as_str(), index(of)).map(|e| e.offset()));
        match own {
            Some(Position::Offset(at)) => handed.max(offset(at)),
            _ => handed,
        }
    }
}

/// A member of a group.
pub(crate) struct MemberReader {
    shared: Arc<Shared>,
    group: String,
    member: u64,
    generation: u64,
    consumer: BaseConsumer<MemberContext>,
    intake: Intake,
    /// Partitions that came and are not assigned yet: the caller may say from where.
    unassigned: Vec<Partition>,
    /// Owned partitions that nothing is to come of.
    paused: BTreeSet<Partition>,
    /// Those of them that the client was told of. To resume one that is not paused would throw away what it has fetched of it.
    held: BTreeSet<Partition>,
    /// librdkafka waits to be told of partitions that came, also when there are none: until then it takes part in no change of the group.
    owes: bool,
    /// Partitions short of their ends: where they stand, and since when.
    behind: RefCell<BTreeMap<Partition, (Offset, Duration)>>,
    /// Partitions whose leader did not answer, and until when it is not asked again.
    silent: RefCell<BTreeMap<Partition, Duration>>,
}

impl MemberReader {
    pub(crate) fn new(shared: &Arc<Shared>, group: &str, topics: &[Topic], bare: &[Topic]) -> Result<Self, LogError> {
        let config = config(&shared.settings, &shared.client_id, Use::Member(group)).map_err(Shared::failed)?;
        let context =
            MemberContext { inner: shared.context(group), shared: Arc::clone(shared), topics: topics.to_vec(), changes: Mutex::default() };
        let failed = |error: KafkaError| Shared::failed(words("joining a group", "READ", &error).text);
        let consumer: BaseConsumer<MemberContext> = config.create_with_context(context).map_err(failed)?;
        let names: Vec<&str> = topics.iter().map(Topic::as_str).collect();
        consumer.subscribe(&names).map_err(failed)?;
        let doing = reading_as(group);
        let (shared, group, member) = (Arc::clone(shared), group.to_owned(), shared.new_member());
        Ok(Self {
            shared,
            group,
            member,
            generation: 0,
            consumer,
            intake: Intake::new(doing, bare),
            unassigned: Vec::new(),
            paused: BTreeSet::new(),
            held: BTreeSet::new(),
            owes: false,
            behind: RefCell::default(),
            silent: RefCell::default(),
        })
    }

    /// Notes how far a partition is from its end, for `wake`.
    fn note(&self, of: &Partition, end: Offset) {
        if self.paused.contains(of) {
            self.behind.borrow_mut().remove(of);
            return;
        }
        let (position, now) = (self.position(of), self.shared.clock.monotonic());
        let mut behind = self.behind.borrow_mut();
        match behind.get(of) {
            _ if position >= end => {
                behind.remove(of);
            }
            Some((stood, _)) if *stood == position => {}
            _ => {
                behind.insert(of.clone(), (position, now));
            }
        }
    }

    /// Fetches everything anew, from where the caller is, when a partition stands still.
    fn wake(&mut self) {
        let now = self.shared.clock.monotonic();
        let mut behind = self.behind.borrow_mut();
        let still = behind.iter().find(|(of, (_, since))| now.saturating_sub(*since) > STILL && self.intake.handed.contains_key(of));
        let Some((partition, (position, _))) = still else { return };
        tracing::warn!(%partition, %position, "a partition stands still: it is fetched anew");
        metrics::counter!("platform_kafka_fetched_anew_total", "client" => self.group.clone()).increment(1);
        behind.clear();
        let at: Vec<(Partition, Offset)> =
            self.intake.handed.keys().map(|of| (of.clone(), self.intake.position(&self.consumer, of))).collect();
        self.intake.own(at.into_iter());
        if !matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
            self.unassigned = self.intake.handed.keys().cloned().collect();
            self.owes = true;
        }
    }

    /// Partitions and where they begin for the caller that has not said otherwise.
    fn assign(&mut self) -> Result<(), LogError> {
        self.owes = false;
        let mut list = Vec::new();
        for partition in std::mem::take(&mut self.unassigned) {
            let at = self.intake.handed.get(&partition).copied().unwrap_or_default();
            list.push((partition, at));
        }
        // What is not fetched yet loses nothing by being let go.
        let stays = self.held.iter().filter(|p| !list.iter().any(|(came, _)| came == *p)).cloned().collect();
        hold(&self.consumer, &mut self.held, stays)?;
        let cooperative = matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let assigned = positions(list.iter().map(|(partition, at)| (partition, *at, None)))
            .and_then(|list| if cooperative { self.consumer.incremental_assign(&list) } else { self.consumer.assign(&list) });
        assigned.map_err(|error| Shared::failed(words("taking partitions", "READ", &error).text))?;
        self.hold_paused()
    }

    /// What came or went since the last poll, as an assignment of all that is owned now.
    fn changed(&mut self) -> Result<Option<Assignment>, LogError> {
        let changes = std::mem::take(&mut *lock(&self.consumer.context().changes));
        if changes.is_empty() {
            return Ok(None);
        }
        let mut owned: Vec<Partition> = self.intake.handed.keys().cloned().collect();
        let cooperative = matches!(self.consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
        let mut metadata = None;
        for change in changes {
            match change {
                Change::Came(came, claim) => {
                    self.owes = true;
                    self.unassigned.extend(came.iter().cloned());
                    owned.extend(came);
                    metadata = claim;
                }
                Change::Went(went) => {
                    owned.retain(|partition| !went.contains(partition));
                    self.unassigned.retain(|partition| !went.contains(partition));
                    metadata = None;
                    // Giving up was the answer.
                    self.owes &= cooperative;
                }
            }
        }
        owned.sort();
        owned.dedup();
        if metadata.is_none() && !owned.is_empty() {
            metadata = self.consumer.group_metadata();
        }
        self.generation += 1;
        let claim = Claim { group: self.group.clone(), member: self.member, generation: self.generation };
        self.shared.keep_claim(&claim, metadata);
        let committed = self.shared.committed(&self.group, &owned, None)?;
        for (partition, committed) in owned.iter().zip(&committed) {
            let Some(committed) = committed else { continue };
            // One without a leader must not hold up the others; fetching from it will say the same.
            let (start, end) = match self.shared.bounds(partition, Some(Duration::ZERO)) {
                Err(LogError::Engine(_)) => continue,
                bounds => bounds?,
            };
            if committed.offset < start || committed.offset > end {
                return Err(LogError::OutOfRange { partition: partition.clone(), position: committed.offset, start, end });
            }
        }
        let begins = committed.iter().map(|c| c.as_ref().map_or(Offset(0), |c| c.offset));
        self.behind.borrow_mut().clear();
        self.paused.clear();
        self.forget_silent();
        self.shared.state.well(&self.intake.doing);
        self.intake.own(owned.iter().cloned().zip(begins));
        // What was kept over the change goes back to what is committed, like the rest.
        let kept: Positions =
            self.intake.handed.iter().filter(|(p, _)| !self.unassigned.contains(p)).map(|(p, at)| (p.clone(), *at)).collect();
        self.seek_assigned(&kept)?;
        self.hold_paused()?;
        Ok(Some(Assignment { claim, partitions: owned.into_iter().zip(committed).collect::<Vec<(Partition, Option<Committed>)>>() }))
    }

    /// Nobody asks for the ends of partitions that have gone: what was wrong with them is not wrong with us any more.
    fn forget_silent(&self) {
        for (partition, _) in self.silent.take() {
            self.shared.state.well(&asking_for_ends(&partition));
        }
    }

    /// Tells the client which of the partitions that it fetches are paused.
    fn hold_paused(&mut self) -> Result<(), LogError> {
        let fetched = |p: &&Partition| self.intake.handed.contains_key(*p) && !self.unassigned.contains(p);
        let these = self.paused.iter().filter(fetched).cloned().collect();
        hold(&self.consumer, &mut self.held, these)
    }

    fn seek_assigned(&self, to: &Positions) -> Result<(), LogError> {
        seek(&self.consumer, to)
    }
}

fn seek<C: ConsumerContext>(consumer: &BaseConsumer<C>, to: &Positions) -> Result<(), LogError> {
    if to.is_empty() {
        return Ok(());
    }
    let failed = |error: KafkaError| Shared::failed(words("going back to a position", "READ", &error).text);
    let list = positions(to.iter().map(|(partition, at)| (partition, *at, None))).map_err(failed)?;
    let sought = consumer.seek_partitions(list, SEEK).map_err(failed)?;
    sought.elements().iter().try_for_each(|element| element.error()).map_err(failed)
}

/// From now on nothing is fetched of these, and everything of others that were `held` before. One that is not paused must not be resumed: the
/// client would throw away what it has fetched of it, and begin where it was assigned.
fn hold<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    held: &mut BTreeSet<Partition>,
    these: BTreeSet<Partition>,
) -> Result<(), LogError> {
    let list = |of: Vec<&Partition>| {
        let mut list = TopicPartitionList::with_capacity(of.len());
        for partition in of {
            list.add_partition(partition.topic.as_str(), index(partition));
        }
        list
    };
    let (pause, resume) = (list(these.difference(held).collect()), list(held.difference(&these).collect()));
    let done = consumer.pause(&pause).and_then(|()| consumer.resume(&resume));
    *held = these;
    done.map_err(|error| Shared::failed(words("holding partitions", "READ", &error).text))
}

impl Reader for MemberReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError> {
        if self.shared.state.is_closed() {
            return Err(LogError::Closed);
        }
        self.wake();
        if self.owes {
            self.assign()?;
        }
        let filled = self.intake.fill(&self.consumer, wait, &self.shared.state)?;
        if let Some(assignment) = self.changed()? {
            return Ok(Polled::Assigned(assignment)); // what was read is read again
        }
        Ok(if filled { self.intake.current.batch().map_or(Polled::Nothing, Polled::Batch) } else { Polled::Nothing })
    }

    fn seek(&mut self, to: &Positions) -> Result<(), LogError> {
        if let Some(stranger) = to.keys().find(|partition| !self.intake.handed.contains_key(partition)) {
            return Err(LogError::Engine(format!("partition {stranger} is not owned by this reader")));
        }
        let assigned: Positions = to.iter().filter(|(p, _)| !self.unassigned.contains(p)).map(|(p, at)| (p.clone(), *at)).collect();
        self.seek_assigned(&assigned)?;
        self.intake.moved(to);
        Ok(())
    }

    fn pause(&mut self, these: &BTreeSet<Partition>) -> Result<(), LogError> {
        self.paused.clone_from(these);
        let ahead = self.intake.read_ahead(these);
        self.hold_paused()?;
        ahead.map_or(Ok(()), |(partition, at)| self.seek(&Positions::from([(partition, at)])))
    }

    fn position(&self, of: &Partition) -> Offset {
        if self.unassigned.contains(of) {
            return self.intake.handed.get(of).copied().unwrap_or_default();
        }
        self.intake.position(&self.consumer, of)
    }

    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError> {
        let now = self.shared.clock.monotonic();
        if self.silent.borrow().get(of).is_some_and(|until| now < *until) {
            return Ok(None);
        }
        match self.shared.bounds(of, Some(Duration::ZERO)) {
            Ok((_, end)) => {
                self.silent.borrow_mut().remove(of);
                self.note(of, end);
                Ok(Some(end))
            }
            Err(LogError::Engine(_)) => {
                self.silent.borrow_mut().insert(of.clone(), self.shared.clock.monotonic().saturating_add(SILENT));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for MemberReader {
    fn drop(&mut self) {
        let claim = Claim { group: self.group.clone(), member: self.member, generation: self.generation };
        self.shared.keep_claim(&claim, None);
        self.shared.state.well(&self.intake.doing);
        self.forget_silent();
    }
}

/// A reader that owns all partitions of its topics, and commits nothing.
pub(crate) struct AloneReader {
    shared: Arc<Shared>,
    consumer: BaseConsumer<Context>,
    intake: Intake,
    patience: Option<Duration>,
    paused: BTreeSet<Partition>,
    held: BTreeSet<Partition>,
    told: bool,
    assigned: bool,
}

impl AloneReader {
    pub(crate) fn new(shared: &Arc<Shared>, topics: &[Topic], patience: Option<Duration>) -> Result<Self, LogError> {
        let config = config(&shared.settings, &shared.client_id, Use::Alone).map_err(Shared::failed)?;
        let consumer =
            config.create_with_context(shared.context("reader")).map_err(|e| Shared::failed(words("reading", "READ", &e).text))?;
        let mut intake = Intake::new("reading".to_owned(), &[]);
        let mut partitions = Vec::new();
        for topic in topics {
            for index in 0..shared.partitions(topic, patience)? {
                let partition = Partition::new(topic, index);
                let start = shared.bounds(&partition, patience)?.0;
                partitions.push((partition, start));
            }
        }
        intake.own(partitions.into_iter());
        Ok(Self {
            shared: Arc::clone(shared),
            consumer,
            intake,
            patience,
            paused: BTreeSet::new(),
            held: BTreeSet::new(),
            told: false,
            assigned: false,
        })
    }
}

impl Reader for AloneReader {
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError> {
        if self.shared.state.is_closed() {
            return Err(LogError::Closed);
        }
        if !self.told {
            self.told = true;
            let claim = Claim { group: String::new(), member: 0, generation: 0 };
            return Ok(Polled::Assigned(Assignment { claim, partitions: self.intake.handed.keys().map(|p| (p.clone(), None)).collect() }));
        }
        if !self.assigned {
            let list = positions(self.intake.handed.iter().map(|(partition, at)| (partition, *at, None)));
            list.and_then(|list| self.consumer.assign(&list)).map_err(|e| Shared::failed(words("reading", "READ", &e).text))?;
            self.assigned = true;
            hold(&self.consumer, &mut self.held, self.paused.clone())?;
        }
        Ok(match self.intake.fill(&self.consumer, wait, &self.shared.state)? {
            true => self.intake.current.batch().map_or(Polled::Nothing, Polled::Batch),
            false => Polled::Nothing,
        })
    }

    fn seek(&mut self, to: &Positions) -> Result<(), LogError> {
        if let Some(stranger) = to.keys().find(|partition| !self.intake.handed.contains_key(partition)) {
            return Err(LogError::Engine(format!("partition {stranger} is not owned by this reader")));
        }
        if self.assigned {
            seek(&self.consumer, to)?;
        }
        self.intake.moved(to);
        Ok(())
    }

    fn pause(&mut self, these: &BTreeSet<Partition>) -> Result<(), LogError> {
        self.paused.clone_from(these);
        if !self.assigned {
            return Ok(());
        }
        let ahead = self.intake.read_ahead(these);
        hold(&self.consumer, &mut self.held, these.clone())?;
        ahead.map_or(Ok(()), |(partition, at)| self.seek(&Positions::from([(partition, at)])))
    }

    fn position(&self, of: &Partition) -> Offset {
        if self.assigned { self.intake.position(&self.consumer, of) } else { self.intake.handed.get(of).copied().unwrap_or_default() }
    }

    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError> {
        self.shared.bounds(of, self.patience).map(|(_, end)| Some(end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Kafka;
    use crate::settings::Settings;
    use platform_core::log::Log;
    use platform_core::record::NewRecord;
    use platform_runtime::clock::SystemClock;
    use rdkafka::mocking::MockCluster;

    /// Readers promise it to map tasks, which would count twice; so it does not hang on the client.
    #[test]
    fn what_the_client_brings_again_is_not_handed_out_again_and_what_is_sought_is() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 2, 1).unwrap();
        let settings = Settings { bootstrap: cluster.bootstrap_servers(), dev: true, ..Settings::default() };
        let kafka = Kafka::new(&settings, "test", Arc::new(SystemClock::new())).unwrap();
        let topic = Topic::new("t");
        let partitions = [0, 1].map(|index| Partition::new(&topic, index));
        let append = |count: usize| {
            let record = NewRecord { value: Some(b"x"), ..NewRecord::default() };
            for to in &partitions {
                kafka.producer().unwrap().append(to, &vec![record; count]).unwrap();
            }
        };
        let mut reader = AloneReader::new(kafka.shared(), std::slice::from_ref(&topic), None).unwrap();
        let read = |reader: &mut AloneReader, until: u64| {
            let mut seen: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
            for _ in 0..500 {
                if let Polled::Batch(batch) = reader.poll(Duration::from_millis(20)).unwrap() {
                    seen.entry(batch.partition.index).or_default().extend(batch.iter().map(|record| record.offset.0));
                }
                if partitions.iter().all(|of| reader.intake.handed_of(of) >= Offset(until)) {
                    break;
                }
            }
            seen
        };
        append(5);
        let both = |offsets: std::ops::Range<u64>| BTreeMap::from([0, 1].map(|index| (index, offsets.clone().collect::<Vec<_>>())));
        assert_eq!(read(&mut reader, 5), both(0..5));
        // Behind the reader's back.
        let begin = |at| partitions.iter().map(|of| (of.clone(), Offset(at))).collect::<Positions>();
        seek(&reader.consumer, &begin(2)).unwrap();
        append(3);
        assert_eq!(read(&mut reader, 8), both(5..8));
        Reader::seek(&mut reader, &begin(6)).unwrap();
        assert_eq!(read(&mut reader, 8), both(6..8));
    }
}
