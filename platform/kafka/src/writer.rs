//! Transactions of one slot. What becomes of each follows the table of errors in the design: `Aborted` is rolled back here, `Doubtful` is left to
//! the caller, who takes a new writer of the same id, and so does every writer that committed slowly, because a late request of its own could
//! otherwise land in its next transaction.
//!
//! Reports of delivery are awaited by polls before a commit: librdkafka's own flush waits in steps of 100 ms, and an abort with reports
//! outstanding never returns.
//!
//! Positions are sent from a thread that may be left behind; see `send_positions`.

use crate::client::{Context, Use, config, heals, is_denied, is_fence, words};
use crate::log::{Inside, Shared, index, lock, positions};
use crate::reader::reading_as;
use platform_core::log::{Claim, CommitError, Committed, LogError, MAX_METADATA, Writer};
use platform_core::record::{NewRecord, Partition};
use platform_core::time::AppendTime;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::statistics::Statistics;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::Builder;
use std::time::Duration;

/// How long taking over a transactional id may take in one attempt.
const INIT: Duration = Duration::from_secs(30);
/// How long reports of delivery are awaited before a commit.
const DRAIN: Duration = Duration::from_secs(5);
/// How long a retriable step is tried again before the transaction is given up.
const RETRY: Duration = Duration::from_secs(2);
/// A commit that took longer may have a second request under way.
const SLOW: Duration = Duration::from_secs(2);
/// Brokers that are well answer within this time.
const LIKELY: Duration = Duration::from_millis(50);
const TICK: Duration = Duration::from_millis(1);

/// What became of the records sent.
#[derive(Default)]
struct Delivered {
    newest: Option<i64>,
    failed: Option<(String, KafkaError)>,
}

struct WriterContext {
    inner: Context,
    delivered: Mutex<Delivered>,
}

impl ClientContext for WriterContext {
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

impl ProducerContext for WriterContext {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut delivered = lock(&self.delivered);
        match result {
            Ok(message) => {
                if let Timestamp::LogAppendTime(millis) = message.timestamp() {
                    delivered.newest = delivered.newest.max(Some(millis));
                }
            }
            Err((error, message)) => {
                delivered.failed = delivered.failed.take().or_else(|| Some((message.topic().to_owned(), error.clone())));
            }
        }
    }
}

/// A transactional writer.
pub(crate) struct KafkaWriter {
    shared: Arc<Shared>,
    id: String,
    producer: Arc<BaseProducer<WriterContext>>,
    open: bool,
    /// The producer has to go before anything more is written.
    spent: bool,
    /// A newer owner has taken over. A new producer would fence that one in turn, so there is none any more.
    fenced: Option<CommitError>,
}

impl KafkaWriter {
    /// Takes over the id: ends the transaction of an earlier owner, and fences it.
    pub(crate) fn new(shared: &Arc<Shared>, id: &str, patience: Option<Duration>) -> Result<Self, LogError> {
        let producer = take_over(shared, id, patience)?;
        Ok(Self { shared: Arc::clone(shared), id: id.to_owned(), producer, open: false, spent: false, fenced: None })
    }

    fn begin(&mut self) -> Result<(), CommitError> {
        if let Some(fenced) = &self.fenced {
            return Err(fenced.clone());
        }
        if self.open {
            return Ok(());
        }
        if self.spent {
            self.producer = take_over(&self.shared, &self.id, None).map_err(|error| CommitError::Failed(error.to_string()))?;
            self.spent = false;
        }
        self.producer.begin_transaction().map_err(|error| self.failed("beginning a transaction", &error))?;
        self.open = true;
        lock(&self.producer.context().delivered).failed = None;
        Ok(())
    }

    fn since(&self, start: Duration) -> Duration {
        self.shared.clock.monotonic().saturating_sub(start)
    }

    /// Waits until every record sent has been reported.
    fn drain(&self, limit: Duration) -> bool {
        let start = self.shared.clock.monotonic();
        while self.producer.in_flight_count() > 0 {
            if self.since(start) > limit || self.shared.state.is_closed() {
                return false;
            }
            // A poll that waits spends its last millisecond looking at the clock: this one does not wait, and the pause between is asleep.
            let before = self.producer.in_flight_count();
            self.producer.poll(Duration::ZERO);
            if self.producer.in_flight_count() == before {
                self.shared.state.pause(if self.since(start) < LIKELY { TICK } else { LIKELY });
            }
        }
        true
    }

    /// Why the open transaction can only be aborted, where a right is missing. Its records are thrown away then, and their reports say no more;
    /// but no other transaction can begin, and that says why.
    fn missing_right(&self) -> Option<KafkaError> {
        let error = self.producer.begin_transaction().err()?;
        error.rdkafka_error_code().is_some_and(is_denied).then_some(error)
    }

    /// Does a step again while that may help.
    fn retried(&self, mut step: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
        let start = self.shared.clock.monotonic();
        loop {
            match step() {
                Err(KafkaError::Transaction(error)) if error.is_retriable() && self.since(start) < RETRY => {
                    self.producer.poll(TICK * 10);
                }
                done => return done,
            }
        }
    }

    /// Sends positions, from a thread of their own: while the group's coordinator is away librdkafka's call forgets its time limit, and one
    /// that has left the cluster it awaits for ever (its issues 5456 and 5511). `None`: it has not returned. Whatever it still does is fenced
    /// by the next producer of this id, and its own goes when it returns, or never.
    fn send_positions(&self, list: &TopicPartitionList, group: &Arc<ConsumerGroupMetadata>) -> Option<Result<(), KafkaError>> {
        let (producer, list, group) = (Arc::clone(&self.producer), list.clone(), Arc::clone(group));
        let limit = self.shared.settings.takeover();
        let (tell, told) = channel();
        // Nobody may listen any more.
        let send = move || drop(tell.send(producer.send_offsets_to_transaction(&list, &group, limit)));
        if let Err(error) = Builder::new().name("positions".to_owned()).spawn(send) {
            return Some(Err(KafkaError::ClientCreation(format!("no thread: {error}"))));
        }
        told.recv_timeout(limit + limit / 2).ok()
    }

    /// Commits, or says why not and leaves the transaction open.
    fn end(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        self.begin()?;
        if let Some((partition, _)) = read.iter().find(|(_, committed)| committed.metadata.len() > MAX_METADATA) {
            return Err(CommitError::Failed(format!("the metadata of {partition} is over {MAX_METADATA} bytes")));
        }
        let drained = self.drain(DRAIN);
        let lost = lock(&self.producer.context().delivered).failed.take();
        if let Some((topic, error)) = lost {
            let error = self.missing_right().unwrap_or(error);
            return Err(self.failed(&format!("writing to {topic}"), &error));
        }
        if !read.is_empty() {
            let Some(metadata) = self.shared.claim(claim) else {
                return Err(CommitError::Aborted(format!("the claim on group {} is not the newest of its member", claim.group)));
            };
            let all = read.iter().map(|(partition, at)| (partition, at.offset, Some(at.metadata.as_slice())));
            let doing = format!("committing positions of group {}", claim.group);
            let list = positions(all).map_err(|error| self.failed(&doing, &error))?;
            let mut lost = false;
            let sent = self.retried(|| {
                self.send_positions(&list, &metadata).unwrap_or_else(|| {
                    lost = true;
                    Ok(())
                })
            });
            if lost {
                (self.open, self.spent) = (false, true);
                metrics::counter!("platform_kafka_lost_calls_total", "task" => self.id.clone()).increment(1);
                return Err(CommitError::Doubtful("committing positions: the group's coordinator has not answered in time".to_owned()));
            }
            sent.map_err(|error| self.failed(&doing, &error))?;
        }
        if !drained {
            return Err(CommitError::Aborted("records were not acknowledged in time".to_owned()));
        }
        let start = self.shared.clock.monotonic();
        self.shared.reached(Inside::Committing, &self.id);
        let done = self.producer.commit_transaction(self.shared.settings.takeover());
        let took = self.since(start);
        metrics::histogram!("platform_kafka_end_transaction_seconds", "task" => self.id.clone()).record(took);
        self.open = false;
        if let Err(error) = done {
            self.spent = true;
            let text = words("committing", "WRITE", &error).text;
            let fenced = error.rdkafka_error_code().is_some_and(is_fence);
            return Err(if fenced { self.fenced(text) } else { CommitError::Doubtful(text) });
        }
        self.spent = took > SLOW;
        self.shared.state.connected();
        self.shared.state.well(&writing_as(&self.id));
        if !read.is_empty() {
            // Brokers take positions only from who may read.
            self.shared.state.well(&reading_as(&claim.group));
        }
        Ok(AppendTime(lock(&self.producer.context().delivered).newest.map_or(i64::MIN, |millis| millis.saturating_mul(1_000_000))))
    }

    /// What an error before the commit means for the caller.
    fn failed(&mut self, doing: &str, error: &KafkaError) -> CommitError {
        let text = words(doing, "WRITE", error).text;
        let code = error.rdkafka_error_code();
        let fatal = self.producer.client().fatal_error().map(|(code, _)| code);
        if let Some(denied) = code.into_iter().chain(fatal).find(|code| is_denied(*code)) {
            // Rights may be granted, and it is tried until they are. What is fatal ends this producer, not the slot.
            let words = words(doing, "WRITE", &KafkaError::Global(denied));
            let text = words.text.clone();
            self.shared.state.troubled(&writing_as(&self.id), words);
            self.spent = fatal.is_some();
            return if self.spent { CommitError::Doubtful(text) } else { CommitError::Aborted(text) };
        }
        if code.is_some_and(is_fence) || matches!(error, KafkaError::Transaction(error) if error.is_fatal()) || fatal.is_some() {
            return self.fenced(text);
        }
        let lost_claim =
            matches!(code, Some(Code::IllegalGeneration | Code::UnknownMemberId | Code::RebalanceInProgress | Code::StaleMemberEpoch));
        match error {
            KafkaError::Transaction(error) if error.txn_requires_abort() || error.is_retriable() || lost_claim => {
                CommitError::Aborted(text)
            }
            KafkaError::MessageProduction(_) => CommitError::Aborted(text),
            _ if lost_claim => CommitError::Aborted(text),
            _ => {
                self.spent = true;
                CommitError::Doubtful(text)
            }
        }
    }

    fn fenced(&mut self, text: String) -> CommitError {
        let fenced = CommitError::Fenced(text);
        self.fenced = Some(fenced.clone());
        fenced
    }
}

fn writing_as(id: &str) -> String {
    format!("writing as {id}")
}

fn take_over(shared: &Arc<Shared>, id: &str, patience: Option<Duration>) -> Result<Arc<BaseProducer<WriterContext>>, LogError> {
    let doing = format!("taking over transactional id {id}");
    shared.state.keep_trying(&doing, "WRITE", patience, || {
        let config = config(&shared.settings, &shared.client_id, Use::Transactions(id))
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        let context = WriterContext { inner: shared.context(id), delivered: Mutex::default() };
        let producer: BaseProducer<WriterContext> = config.create_with_context(context)?;
        producer.init_transactions(INIT)?;
        Ok(Arc::new(producer))
    })
}

impl Writer for KafkaWriter {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.begin()?;
        let mut base: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(to.topic.as_str()).partition(index(to));
        base.key = record.key;
        base.payload = record.value;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            base.headers = Some(record.headers.iter().fold(headers, |all, (key, value)| all.insert(Header { key, value: Some(*value) })));
        }
        // Most records never wait: the clock is asked for those that do.
        let mut waits_since = None;
        loop {
            match self.producer.send(base) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(Code::QueueFull), again))
                    if self.since(*waits_since.get_or_insert_with(|| self.shared.clock.monotonic())) < self.shared.settings.takeover() =>
                {
                    self.producer.poll(TICK * 10);
                    base = again;
                }
                Err((error, _)) => return Err(self.failed(&format!("writing to {to}"), &error)),
            }
        }
    }

    fn commit(&mut self, claim: &Claim, read: &[(Partition, Committed)]) -> Result<AppendTime, CommitError> {
        let done = self.end(claim, read);
        if matches!(done, Err(CommitError::Aborted(_))) {
            self.abort();
        }
        done
    }

    fn abort(&mut self) {
        if !std::mem::take(&mut self.open) {
            return;
        }
        if !self.drain(DRAIN) {
            self.spent = true;
            return;
        }
        if let Err(error) = self.retried(|| self.producer.abort_transaction(self.shared.settings.takeover())) {
            tracing::info!(id = %self.id, %error, heals = heals(&error), "an abort failed; the writer is made anew");
            self.spent = true;
        }
    }
}

impl Drop for KafkaWriter {
    fn drop(&mut self) {
        self.shared.state.well(&writing_as(&self.id));
    }
}
