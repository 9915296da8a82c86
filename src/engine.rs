//! What a run stands on: the embedded log, or Kafka; and the state stores, which are this process's own either way.
//!
//! The rest of the program does not know which log it is.

use crate::failure::Failure;
use crate::settings::Settings;
use golden_pipeline::history;
use golden_pipeline::names::Topics;
use golden_router::deployment::Colour;
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::metric::{Family, Kind, Value};
use platform_core::record::Topic;
use platform_kafka::log::Kafka;
use platform_kafka::topics::Needed;
use platform_rocks::log::RocksLog;
use platform_rocks::rocks::{self, OpenError, Rocks, TopicSettings};
use platform_rocks::stores::RocksStores;
use platform_runtime::task::Place;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a request of a person waits for brokers.
const PATIENCE: Duration = Duration::from_secs(5);
/// Keeps the name of a process over its restarts.
const INSTANCE: &str = "INSTANCE";

/// A log with stores beside it.
pub(crate) struct Engine {
    rocks: Rocks,
    kafka: Option<Kafka>,
    place: Place,
}

/// What can be asked while the engine runs, also from other threads.
#[derive(Clone)]
pub(crate) struct Gauge {
    embedded: Arc<RocksLog>,
    kafka: Option<Kafka>,
}

impl Engine {
    /// Opens the data folder, and with Kafka waits until the cluster is there and fit for use.
    ///
    /// # Errors
    /// What cannot be used, and what to do.
    pub(crate) fn open(settings: &Settings, kafka: Option<Kafka>, accept_loss: bool, clock: &Arc<dyn Clock>) -> Result<Self, Failure> {
        let needed = needed(settings);
        let embedded = if kafka.is_some() { Vec::new() } else { needed.iter().map(embedded).collect() };
        let reserve = settings.log.reserve_mib << 20;
        let rocks = rocks::Settings { topics: embedded, accept_loss, reserve, ..rocks::Settings::default() };
        let rocks = Rocks::open(&settings.data, &rocks, Arc::clone(clock)).map_err(|error| match error {
            OpenError::Io { .. } | OpenError::InUse { .. } | OpenError::NotOurs { .. } | OpenError::PartitionsChanged { .. } => {
                Failure::usage(error)
            }
            error => Failure::missing(error),
        })?;
        let mut place = Place::default();
        if let Some(kafka) = &kafka {
            check(kafka, &needed)?;
            place.instance = match &settings.log.instance {
                Some(name) => name.clone(),
                None => kept_instance(&settings.data)?,
            };
            // Whoever answers people answers for all partitions.
            place.whole = [history::SIGNALS_STAGE, history::LATE_STAGE].map(str::to_owned).to_vec();
        }
        Ok(Self { rocks, kafka, place })
    }

    /// For tasks: waits for brokers as long as it takes.
    pub(crate) fn log(&self) -> Arc<dyn Log> {
        match &self.kafka {
            Some(kafka) => Arc::new(kafka.clone()),
            None => self.rocks.log(),
        }
    }

    /// For requests: does not keep people waiting.
    pub(crate) fn log_of_requests(&self) -> Arc<dyn Log> {
        match &self.kafka {
            Some(kafka) => Arc::new(kafka.impatient(PATIENCE)),
            None => self.rocks.log(),
        }
    }

    pub(crate) fn stores(&self) -> Arc<RocksStores> {
        self.rocks.stores()
    }

    pub(crate) fn place(&self) -> Place {
        self.place.clone()
    }

    pub(crate) fn gauge(&self) -> Gauge {
        Gauge { embedded: self.rocks.log(), kafka: self.kafka.clone() }
    }

    /// Ends all waiting for brokers after a while: what a stop does when they do not come back in time.
    pub(crate) fn close_after(&self, wait: Duration) -> std::io::Result<()> {
        let Some(kafka) = self.kafka.clone() else { return Ok(()) };
        let close = move || {
            std::thread::park_timeout(wait);
            kafka.close();
        };
        std::thread::Builder::new().name("closing".to_owned()).spawn(close).map(drop)
    }
}

impl Gauge {
    /// What is wrong with the log at present.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.kafka.as_ref().and_then(Kafka::trouble)
    }

    /// Metrics of the embedded log; Kafka's come with all others.
    pub(crate) fn figures(&self) -> Vec<Family> {
        if self.kafka.is_some() {
            return vec![];
        }
        let figures = self.embedded.figures();
        let all = [
            ("platform_log_queued_bytes", Kind::Gauge, "Bytes of records that wait to be written.", figures.queued_bytes as f64),
            ("platform_log_syncs_total", Kind::Counter, "Syncs of the log to its device.", figures.syncs as f64),
            ("platform_log_sync_seconds_total", Kind::Counter, "Time spent in syncs.", figures.sync_time.as_secs_f64()),
        ];
        let family = |(name, kind, help, value)| {
            let mut family = Family::new(name, kind, help);
            family.push(&[], Value::Number(value));
            family
        };
        all.into_iter().map(family).collect()
    }
}

/// The cluster that is set, if one is.
///
/// # Errors
/// When its settings cannot be used.
pub(crate) fn kafka(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Option<Kafka>, Failure> {
    let Some(set) = &settings.log.kafka else { return Ok(None) };
    Ok(Some(Kafka::new(set, "golden-signals", Arc::clone(clock)).map_err(Failure::usage)?))
}

/// The topics of a deployment.
pub(crate) fn topics(settings: &Settings, colour: Colour) -> Topics {
    Topics { events: Topic::new(&settings.log.source.topic), ..Topics::of(colour.name()) }
}

/// Topics as the settings want them, with those of both colours: the router reads both.
pub(crate) fn needed(settings: &Settings) -> Vec<Needed> {
    let topics = topics(settings, Colour::Blue);
    let retain = settings.pipeline.retain.0;
    // Own topics reach back as far as a restart may have to read.
    let own = retain * 2 + Duration::from_secs(3600);
    // A lost history is rebuilt from the public topics, so they reach back further than it does.
    let public = settings.log.public_retention.0.max(settings.history.retention.0 + Duration::from_secs(2 * 3600));
    let partitions = settings.log.partitions;
    let topic = |topic: &Topic, partitions, retention: Duration| Needed { topic: topic.clone(), partitions, retention, foreign: false };
    let others = settings
        .log
        .sources
        .iter()
        .map(|other| Needed { foreign: true, ..topic(&Topic::new(&other.topic), partitions, settings.log.events_retention.0) });
    let coloured = Colour::ALL.map(|colour| self::topics(settings, colour));
    let coloured = coloured.iter().flat_map(|of| [topic(&of.partials, partitions, own), topic(&of.signals, partitions, own)]);
    let coloured: Vec<Needed> = coloured.collect();
    let shared = [
        Needed { foreign: settings.log.source.foreign, ..topic(&topics.events, partitions, settings.log.events_retention.0) },
        topic(&topics.public, partitions, public),
        topic(&topics.late, partitions, public),
        topic(&topics.dead_letters, 1, public),
        topic(&topics.control, 1, Duration::MAX),
    ];
    let avro = settings.outputs.avro.iter().map(|of| topic(&Topic::new(&of.topic), partitions, public));
    shared.into_iter().chain(avro).chain(coloured).chain(others).collect()
}

fn embedded(needed: &Needed) -> TopicSettings {
    TopicSettings { topic: needed.topic.clone(), partitions: needed.partitions, retention: needed.retention }
}

/// Waits for what is missing, and refuses a cluster on which results could be lost or doubled.
fn check(kafka: &Kafka, needed: &[Needed]) -> Result<(), Failure> {
    let plan = kafka.plan_when_there(needed).map_err(Failure::missing)?;
    if plan.is_done() { Ok(()) } else { Err(Failure::missing(plan)) }
}

/// The name of the process that owns this folder, made when there is none.
fn kept_instance(data: &Path) -> Result<String, Failure> {
    let path = data.join(INSTANCE);
    let failed = |error: std::io::Error| Failure::usage(format!("cannot keep this process's name in {}: {error}", path.display()));
    match std::fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let mut bytes = [0; 6];
    std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)).map_err(failed)?;
    let name: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    std::fs::write(&path, format!("{name}\n")).map_err(failed)?;
    Ok(name)
}
