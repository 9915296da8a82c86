//! The log: connecting, and what is asked of it between readers and writers.
//!
//! One client of each kind that asks is kept and shared; every reader and every writer has its own. A claim of `core` is two numbers, while
//! Kafka's is opaque: the metadata taken at assignment stays here under those numbers, only the newest of each member, so that a stale claim
//! has nothing to send.

use crate::client::{Context, Use, config};
use crate::producer::KafkaProducer;
use crate::reader::{AloneReader, MemberReader};
use crate::retry::State;
use crate::settings::{BadSettings, Settings};
use crate::writer::KafkaWriter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use platform_core::clock::Clock;
use platform_core::log::{Claim, Committed, Log, LogError, Producer, Reader, Subscription, Writer};
use platform_core::record::{Offset, Partition, Topic};
use platform_core::time::AppendTime;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, ConsumerGroupMetadata};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset as Position, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// How long one question to the brokers may take; then it is asked again.
pub(crate) const ASK: Duration = Duration::from_secs(5);
/// In ns: what Kafka counts time in.
const MILLI: i64 = 1_000_000;
/// Most of what a client is told between two questions that get no answer.
const EVENTS: usize = 100;

impl ConsumerContext for Context {}

/// What happens inside a call of the client, where its caller cannot see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// A member was told that it loses partitions, and has not given them up.
    Revoked,
    /// The client is asked next to commit a transaction.
    Committing,
}

type Listener = dyn Fn(Inside, &str) + Send + Sync;

/// A Kafka cluster as a log. Clones are the same.
#[derive(Clone)]
pub struct Kafka {
    shared: Arc<Shared>,
    /// How long questions are asked again before they fail; `None`: until the log is closed.
    patience: Option<Duration>,
    /// Topics whose headers nobody needs.
    bare: Vec<Topic>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) client_id: String,
    pub(crate) state: Arc<State>,
    /// For how long something took only.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who asks: by group for its committed positions; in no group, reading uncommitted, for ends and all else.
    asking: Mutex<BTreeMap<Option<String>, Arc<BaseConsumer<Context>>>>,
    claims: Mutex<BTreeMap<u64, (u64, Arc<ConsumerGroupMetadata>)>>,
    last_member: AtomicU64,
    listener: OnceLock<Box<Listener>>,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] BadSettings),
    /// librdkafka refuses a setting or cannot start.
    #[error("log.kafka: {0}")]
    Client(String),
}

impl Kafka {
    /// Prepares the clients. Does not wait for a broker: what needs one tries until it is there.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings, client_id: &str, clock: Arc<dyn Clock>) -> Result<Self, ConnectError> {
        let state = Arc::new(State::default());
        settings.check()?;
        let shared = Shared {
            settings: settings.clone(),
            client_id: client_id.to_owned(),
            state,
            clock,
            asking: Mutex::default(),
            claims: Mutex::default(),
            last_member: AtomicU64::new(0),
            listener: OnceLock::new(),
        };
        shared.asking(None).map_err(|error| ConnectError::Client(error.to_string()))?;
        Ok(Self { shared: Arc::new(shared), patience: None, bare: Vec::new() })
    }

    /// The same log for callers that cannot wait for ever, such as requests of people.
    #[must_use]
    pub fn impatient(&self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self.clone() }
    }

    /// The same log for callers that look at no headers in these topics: readers in groups give their records without any. The client makes
    /// a buffer of its own for each message whose headers it is asked for, also when there are none.
    #[must_use]
    pub fn without_headers(&self, topics: Vec<Topic>) -> Self {
        Self { bare: topics, ..self.clone() }
    }

    /// What is wrong at present, in words for people; `None` when all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.state.trouble()
    }

    /// Does `attempt` until it succeeds, with growing waits; meanwhile what it says is shown by `trouble`. For what a task needs beside the
    /// brokers, such as a schema registry. `None` once the log is closed.
    pub fn insist<T>(&self, name: &'static str, attempt: impl FnMut() -> Result<T, String>) -> Option<T> {
        self.shared.state.insist(name, attempt)
    }

    /// From now on `listener` is told what happens inside, with the group or the transactional id; the client waits for it. The first one stays.
    pub fn tell(&self, listener: impl Fn(Inside, &str) + Send + Sync + 'static) {
        drop(self.shared.listener.set(Box::new(listener)));
    }

    /// Ends all waiting: calls that try again fail with `Closed` from now on.
    pub fn close(&self) {
        self.shared.state.close();
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience
    }
}

impl Shared {
    pub(crate) fn context(&self, name: &str) -> Context {
        Context { state: Arc::clone(&self.state), name: name.into() }
    }

    pub(crate) fn failed(error: impl std::fmt::Display) -> LogError {
        LogError::Engine(error.to_string())
    }

    pub(crate) fn reached(&self, inside: Inside, of: &str) {
        if let Some(listener) = self.listener.get() {
            listener(inside, of);
        }
    }

    /// Number of a new member.
    pub(crate) fn new_member(&self) -> u64 {
        self.last_member.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps the newest claim of a member.
    pub(crate) fn keep_claim(&self, claim: &Claim, metadata: Option<ConsumerGroupMetadata>) {
        let mut claims = lock(&self.claims);
        match metadata {
            Some(metadata) => claims.insert(claim.member, (claim.generation, Arc::new(metadata))),
            None => claims.remove(&claim.member),
        };
    }

    /// What was kept, when the claim is still the newest of its member.
    pub(crate) fn claim(&self, claim: &Claim) -> Option<Arc<ConsumerGroupMetadata>> {
        let claims = lock(&self.claims);
        claims.get(&claim.member).filter(|(generation, _)| *generation == claim.generation).map(|(_, metadata)| Arc::clone(metadata))
    }

    /// First offset held, and the high watermark.
    pub(crate) fn bounds(&self, partition: &Partition, patience: Option<Duration>) -> Result<(Offset, Offset), LogError> {
        let (low, high) = self.ask(None, &asking_for_ends(partition), "DESCRIBE", patience, |client| {
            client.fetch_watermarks(partition.topic.as_str(), index(partition), ASK)
        })?;
        Ok((offset(low), offset(high)))
    }

    /// The first offset whose record was taken at `from` or later.
    pub(crate) fn offset_at(&self, partition: &Partition, from: AppendTime, patience: Option<Duration>) -> Result<Offset, LogError> {
        // Asked first: what comes between the two questions is younger than nothing was found to be.
        let (_, end) = self.bounds(partition, patience)?;
        let millis = from.0.div_euclid(MILLI) + i64::from(from.0.rem_euclid(MILLI) > 0);
        let mut asked = TopicPartitionList::new();
        let mut element = asked.add_partition(partition.topic.as_str(), index(partition));
        // Negative ones mean something else to brokers.
        element.set_offset(Position::Offset(millis.max(0))).map_err(Self::failed)?;
        let doing = format!("asking for the offset of a time in {partition}");
        let found = self.ask(None, &doing, "DESCRIBE", patience, |client| {
            let found = client.offsets_for_times(asked.clone(), ASK)?;
            found.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
            Ok(found)
        })?;
        let found = found.find_partition(partition.topic.as_str(), index(partition));
        Ok(match found.map(|found| found.offset()) {
            Some(Position::Offset(at)) => offset(at),
            _ => end,
        })
    }

    /// How many partitions each topic has.
    pub(crate) fn partitions(&self, topic: &Topic, patience: Option<Duration>) -> Result<u32, LogError> {
        let doing = format!("asking for topic {topic}");
        let count = self.ask(None, &doing, "DESCRIBE", patience, |client| {
            let metadata = client.fetch_metadata(Some(topic.as_str()), ASK)?;
            let found = metadata.topics().iter().find(|found| found.name() == topic.as_str());
            match found.map(|found| (found.error(), found.partitions().len())) {
                Some((None, count)) if count > 0 => Ok(count),
                Some((Some(error), _)) => Err(KafkaError::MetadataFetch(error.into())),
                _ => Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)),
            }
        })?;
        u32::try_from(count).map_err(Self::failed)
    }

    /// Committed positions of a group; waits for those that an open transaction holds.
    pub(crate) fn committed(
        &self,
        group: &str,
        partitions: &[Partition],
        patience: Option<Duration>,
    ) -> Result<Vec<Option<Committed>>, LogError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = TopicPartitionList::new();
        for partition in partitions {
            asked.add_partition(partition.topic.as_str(), index(partition));
        }
        let doing = format!("asking for the committed positions of group {group}");
        let found = self.ask(Some(group), &doing, "DESCRIBE", patience, |client| {
            let found = client.committed_offsets(asked.clone(), ASK)?;
            found.elements().iter().try_for_each(rdkafka::topic_partition_list::TopicPartitionListElem::error)?;
            Ok(found)
        })?;
        partitions.iter().map(|partition| read_committed(group, partition, &found)).collect()
    }

    /// Asks until there is an answer. What is wrong with connections is told to whoever polls, so a client that gets none is polled.
    pub(crate) fn ask<T>(
        &self,
        group: Option<&str>,
        doing: &str,
        right: &str,
        patience: Option<Duration>,
        mut attempt: impl FnMut(&BaseConsumer<Context>) -> Result<T, KafkaError>,
    ) -> Result<T, LogError> {
        self.state.keep_trying(doing, right, patience, || {
            let client = self.asking(group)?;
            let answer = attempt(&client);
            if answer.is_err() {
                // Log lines and statistics are among what it is told, one by a poll.
                for _ in 0..EVENTS {
                    drop(client.poll(Duration::ZERO));
                }
                if self.state.is_refused() {
                    lock(&self.asking).remove(&group.map(str::to_owned));
                }
            }
            answer
        })
    }

    /// Whoever asks next has a client of its own.
    pub(crate) fn forget_who_asks(&self) {
        lock(&self.asking).clear();
    }

    fn asking(&self, group: Option<&str>) -> Result<Arc<BaseConsumer<Context>>, KafkaError> {
        let mut clients = lock(&self.asking);
        let key = group.map(str::to_owned);
        if let Some(client) = clients.get(&key) {
            return Ok(Arc::clone(client));
        }
        let config =
            config(&self.settings, &self.client_id, Use::Asks(group)).map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let client = Arc::new(config.create_with_context(self.context(group.unwrap_or(&self.client_id)))?);
        clients.insert(key, Arc::clone(&client));
        Ok(client)
    }
}

pub(crate) fn asking_for_ends(partition: &Partition) -> String {
    format!("asking for the ends of {partition}")
}

fn read_committed(group: &str, partition: &Partition, found: &TopicPartitionList) -> Result<Option<Committed>, LogError> {
    let Some(found) = found.find_partition(partition.topic.as_str(), index(partition)) else { return Ok(None) };
    let Position::Offset(at) = found.offset() else { return Ok(None) };
    let metadata = BASE64
        .decode(found.metadata())
        .map_err(|error| LogError::Engine(format!("what group {group} committed beside {partition} is not ours: {error}")))?;
    Ok(Some(Committed { offset: offset(at), metadata }))
}

/// Positions as Kafka takes them. What stands beside one is base64: Kafka wants text there.
pub(crate) fn positions<'a>(
    read: impl Iterator<Item = (&'a Partition, Offset, Option<&'a [u8]>)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, at, metadata) in read {
        let at = i64::try_from(at.0).unwrap_or(i64::MAX);
        let mut element = list.add_partition(partition.topic.as_str(), index(partition));
        element.set_offset(Position::Offset(at))?;
        if let Some(metadata) = metadata {
            element.set_metadata(BASE64.encode(metadata));
        }
    }
    Ok(list)
}

pub(crate) fn index(partition: &Partition) -> i32 {
    i32::try_from(partition.index).unwrap_or(i32::MAX)
}

pub(crate) fn offset(at: i64) -> Offset {
    Offset(u64::try_from(at).unwrap_or(0))
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log for Kafka {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        for topic in &subscription.topics {
            self.shared.partitions(topic, self.patience)?;
        }
        match &subscription.group {
            Some(group) => Ok(Box::new(MemberReader::new(&self.shared, group, &subscription.topics, &self.bare)?)),
            None => Ok(Box::new(AloneReader::new(&self.shared, &subscription.topics, self.patience)?)),
        }
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        Ok(Box::new(KafkaWriter::new(&self.shared, transactional_id, self.patience)?))
    }

    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        Ok(Box::new(KafkaProducer::new(&self.shared)?))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        self.shared.partitions(topic, self.patience)
    }

    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        self.shared.bounds(partition, self.patience)
    }

    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        self.shared.offset_at(partition, from, self.patience)
    }

    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        Ok(self.shared.committed(group, std::slice::from_ref(partition), self.patience)?.pop().flatten())
    }
}
