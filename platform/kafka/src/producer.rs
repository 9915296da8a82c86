//! Appends from outside, durable once they return: acknowledged by all replicas in sync.

use crate::client::{Context, Use, config, words};
use crate::log::{Shared, index, lock, offset};
use platform_core::log::{AppendError, LogError, Producer};
use platform_core::record::{NewRecord, Offset, Partition};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use rdkafka::statistics::Statistics;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// What became of the records of one append.
#[derive(Default)]
struct Outcome {
    reported: Mutex<Reported>,
    changed: Condvar,
}

#[derive(Default)]
struct Reported {
    count: usize,
    first: Option<Offset>,
    failed: Option<KafkaError>,
}

struct AppendContext(Context);

impl ClientContext for AppendContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.0.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.0.stats(statistics);
    }
}

impl ProducerContext for AppendContext {
    type DeliveryOpaque = Arc<Outcome>;

    fn delivery(&self, result: &DeliveryResult<'_>, outcome: Arc<Outcome>) {
        let mut reported = lock(&outcome.reported);
        reported.count += 1;
        match result {
            Ok(message) => {
                let at = offset(message.offset());
                reported.first = Some(reported.first.map_or(at, |first| first.min(at)));
            }
            Err((error, _)) => reported.failed = reported.failed.take().or_else(|| Some(error.clone())),
        }
        drop(reported);
        outcome.changed.notify_all();
    }
}

/// The producer of a process. One that met a missing right, or was refused by the brokers, is of no more use, and is made anew.
pub(crate) struct KafkaProducer {
    shared: Arc<Shared>,
    current: Mutex<Arc<ThreadedProducer<AppendContext>>>,
}

impl KafkaProducer {
    pub(crate) fn new(shared: &Arc<Shared>) -> Result<Self, LogError> {
        let current = Mutex::new(Arc::new(Self::make(shared)?));
        Ok(Self { shared: Arc::clone(shared), current })
    }

    fn make(shared: &Arc<Shared>) -> Result<ThreadedProducer<AppendContext>, LogError> {
        let config = config(&shared.settings, &shared.client_id, Use::Appends).map_err(Shared::failed)?;
        let context = AppendContext(shared.context("producer"));
        config.create_with_context(context).map_err(|e| Shared::failed(words("making a producer", "WRITE", &e).text))
    }

    /// What to say of a failed append, and the next one has a producer that works again.
    fn failed(&self, used: &Arc<ThreadedProducer<AppendContext>>, to: &Partition, error: &KafkaError) -> AppendError {
        let mut current = lock(&self.current);
        let spent = used.client().fatal_error().is_some() || self.shared.state.is_refused();
        // Others may have seen to it already.
        if spent && Arc::ptr_eq(used, &current) {
            match Self::make(&self.shared) {
                Ok(anew) => *current = Arc::new(anew),
                Err(error) => tracing::warn!(%error, "the producer could not be made anew"),
            }
        }
        AppendError::Failed(words(&format!("appending to {}", to.topic), "WRITE", error).text)
    }
}

impl Producer for KafkaProducer {
    fn append(&self, to: &Partition, records: &[NewRecord<'_>]) -> Result<Offset, AppendError> {
        let outcome = Arc::new(Outcome::default());
        let producer = Arc::clone(&lock(&self.current));
        let mut sent = 0;
        let mut refused = None;
        for record in records {
            let mut base: BaseRecord<'_, [u8], [u8], Arc<Outcome>> =
                BaseRecord::with_opaque_to(to.topic.as_str(), Arc::clone(&outcome)).partition(index(to));
            base.key = record.key;
            base.payload = record.value;
            if !record.headers.is_empty() {
                let headers = OwnedHeaders::new_with_capacity(record.headers.len());
                base.headers =
                    Some(record.headers.iter().fold(headers, |all, (key, value)| all.insert(Header { key, value: Some(*value) })));
            }
            match producer.send(base) {
                Ok(()) => sent += 1,
                Err((error, _)) => {
                    refused = Some(error);
                    break;
                }
            }
        }
        let reported = lock(&outcome.reported);
        let reported = outcome.changed.wait_while(reported, |reported| reported.count < sent).unwrap_or_else(PoisonError::into_inner);
        match (refused, &reported.failed) {
            (Some(KafkaError::MessageProduction(Code::QueueFull)), _) if sent == 0 => Err(AppendError::Overloaded),
            (Some(error), _) => Err(self.failed(&producer, to, &error)),
            (None, Some(error)) => Err(self.failed(&producer, to, error)),
            (None, None) => Ok(reported.first.unwrap_or_default()),
        }
    }
}
