//! What the handlers share: handles that the program made, limits, and what the running pipeline says about itself.

use crate::crowd::{Crowd, CrowdLimits};
use crate::fleet::Fleet;
use crate::ingest::Budget;
use crate::shared::Shared;
use golden_pipeline::decode::Decoder;
use golden_pipeline::emit::prometheus::Format as MetricsFormat;
use golden_pipeline::history::{History, Most, Retention};
use golden_pipeline::names::Topics;
use golden_pipeline::overrides::board::Board;
use golden_pipeline::settings::Checked;
use golden_pipeline::source::Format;
use platform_core::clock::Clock;
use platform_core::log::{Log, LogError, Producer};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;
use tokio::sync::Semaphore;
use utoipa::ToSchema;

/// Shared by all handlers.
#[derive(Clone)]
pub struct AppState(Arc<Inner>);

/// What the program hands in.
pub struct Parts {
    /// Where events go and dead letters come from.
    pub log: Arc<dyn Log>,
    /// Names of the topics.
    pub topics: Topics,
    /// What was published.
    pub history: History,
    /// What is known of overrides.
    pub board: Arc<Board>,
    /// How windows are summed and judged.
    pub settings: Checked,
    /// Decides what is stale; nothing else.
    pub clock: Arc<dyn Clock>,
    /// Makes the decoder that the pipeline uses for records of this format.
    pub decoders: MakeDecoder,
    /// What the running pipeline says about itself.
    pub vitals: Arc<dyn Vitals>,
    /// The router, in a process that has one.
    pub router: Option<Arc<dyn RouterDoor>>,
    /// How much is taken in.
    pub limits: Limits,
    /// What the page needs to know of settings.
    pub page: Page,
    /// How long what is kept, and most bytes of all partitions.
    pub retention: Retention,
}

/// What the page needs to know of settings.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Where a trace is shown, with `{trace_id}` in it.
    pub trace_link: Option<String>,
    /// Where Grafana is.
    pub grafana: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Whether this is the demo.
    pub demo: bool,
}

/// Makes a decoder of a format.
pub type MakeDecoder = Box<dyn Fn(Format) -> Box<dyn Decoder> + Send + Sync>;

/// How much is taken in. The defaults suit one machine.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest body in bytes, before and after inflating.
    pub body: usize,
    /// Bytes of bodies held at once over all requests; above it requests are answered 429.
    pub held: usize,
    /// How long a body may take to arrive.
    pub body_wait: Duration,
    /// How long after its window's end a service's health counts, beyond one further window.
    pub stale_after: Duration,
    /// How much clients may have under way.
    pub crowd: CrowdLimits,
    /// How much one answer about time may take.
    pub answer: Most,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 16 << 20,
            held: 256 << 20,
            body_wait: Duration::from_secs(30),
            stale_after: Duration::from_secs(180),
            crowd: CrowdLimits::default(),
            answer: Most::default(),
        }
    }
}

/// What the running pipeline says about itself.
pub trait Vitals: Send + Sync {
    /// Whether every task is restored and runs; if not, what is being waited for. Answers at once.
    ///
    /// # Errors
    /// What is not ready, in a few words.
    fn ready(&self) -> Result<(), String>;

    /// Tasks, watermark, lag.
    fn status(&self) -> Status;

    /// Appends all metrics in one of Prometheus' forms.
    fn metrics(&self, format: MetricsFormat, out: &mut Vec<u8>);
}

/// What a router answers; this crate does not know how. Calls may wait for a log.
pub trait RouterDoor: Send + Sync {
    /// How everything stands.
    ///
    /// # Errors
    /// When it cannot be known.
    fn status(&self) -> Result<serde_json::Value, RouterError>;

    /// Does what a person asks for.
    ///
    /// # Errors
    /// Why not.
    fn ask(&self, request: &RouterRequest) -> Result<serde_json::Value, RouterError>;

    /// The receipt of a flip or a refusal; with `verify` compared with the public topic.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    fn receipt(&self, id: &str, verify: bool) -> Result<serde_json::Value, RouterError>;

    /// How both deployments differ in the newest `windows` windows.
    ///
    /// # Errors
    /// When they cannot be compared.
    fn diff(&self, windows: usize) -> Result<serde_json::Value, RouterError>;

    /// Everything that was ordered and refused, oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    fn log(&self) -> Result<serde_json::Value, RouterError>;
}

/// What a person asks a router for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterRequest {
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Only says what would happen.
    pub dry_run: bool,
    /// What.
    pub order: RouterOrder,
}

/// What may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterOrder {
    /// Forward another colour.
    Flip {
        /// Which one; none: the one that is not live.
        to: Option<String>,
        /// Whether windows may differ.
        accept_difference: bool,
    },
    /// Forward again what was forwarded before.
    Rollback {
        /// Whether windows may differ.
        accept_difference: bool,
    },
    /// No automatic flips, or again.
    Hold {
        /// Whether.
        hold: bool,
    },
}

/// Why a router did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouterError {
    /// It cannot be understood.
    Bad(String),
    /// There is no such thing.
    Unknown(String),
    /// Something does not hold; nothing changed.
    Refused(String),
    /// A log cannot be read or written just now.
    Away(String),
}

/// How the pipeline is doing.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Event time up to which windows are closed, RFC 3339; absent before the first event.
    pub watermark: Option<String>,
    /// Every task.
    pub tasks: Vec<TaskStatus>,
    /// Records not yet read, by what is read.
    pub lag: Vec<Lag>,
    /// What this process is waiting for; absent once all of its tasks run.
    pub waits_for: Option<String>,
    /// What it computes.
    pub deployments: Vec<DeploymentStatus>,
}

/// A deployment that a process computes, or a part of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DeploymentStatus {
    /// Its colour.
    pub colour: String,
    /// Its epoch.
    pub epoch: u32,
    /// Items of sources that were decoded since the process began.
    pub decoded: u64,
    /// Those of them that were put aside.
    pub dead_letters: u64,
}

/// One task.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct TaskStatus {
    /// `golden-signals`, or the part of one deployment: `golden-signals.<colour>.<epoch>`.
    pub pipeline: String,
    /// Name of its stage.
    pub stage: String,
    /// Its number among the stage's tasks.
    pub task: u32,
    /// `starting`, `restoring`, `running`, `stopped` or `failed`.
    pub state: String,
    /// What it failed with.
    pub error: Option<String>,
}

/// Records of one partition that a stage has not yet read.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Lag {
    /// `golden-signals`, or the part of one deployment: `golden-signals.<colour>.<epoch>`.
    pub pipeline: String,
    /// Who reads.
    pub stage: String,
    /// What is read.
    pub topic: String,
    /// Which part of it.
    pub partition: u32,
    /// Offset that is read next; how fast it grows is how fast the stage reads.
    pub position: u64,
    /// Offsets between the read position and the end.
    pub records: u64,
}

pub(crate) struct Inner {
    pub parts: Parts,
    pub producer: Box<dyn Producer>,
    /// Partitions of the events topic, and the one whose turn it is.
    pub partitions: u32,
    pub turn: AtomicU32,
    pub budget: Arc<Budget>,
    /// All services, ready to be sent.
    pub fleet: Fleet,
    /// How the pipeline is doing, as JSON: it asks the log about every partition.
    pub status: Shared<String>,
    /// What the router says, as JSON; empty where there is none, or it cannot be known.
    pub router: Shared<String>,
    /// Who has what under way.
    pub crowd: Crowd,
    /// When this process began, in ns since 1970: ids of events count from here.
    pub begun: i64,
    /// Held by a backtest that is running: they take a processor for a while.
    pub backtests: Arc<Semaphore>,
    /// Held by requests that wait for windows.
    pub waiting: Semaphore,
}

/// Most requests that wait for windows at once.
const WAITING: usize = 256;

impl AppState {
    /// Takes a producer from the log.
    ///
    /// # Errors
    /// When the log is closed or has no topic of events.
    pub fn new(parts: Parts) -> Result<Self, LogError> {
        let producer = parts.log.producer()?;
        let partitions = parts.log.partitions(&parts.topics.events)?;
        let (crowd, begun) = (Crowd::new(parts.limits.crowd), parts.clock.wall());
        let budget = Arc::new(Budget::new(parts.limits.held));
        let backtests = Arc::new(Semaphore::new(1));
        Ok(Self(Arc::new(Inner {
            parts,
            producer,
            partitions,
            turn: AtomicU32::new(0),
            budget,
            fleet: Fleet::default(),
            status: Shared::default(),
            router: Shared::default(),
            crowd,
            begun,
            backtests,
            waiting: Semaphore::new(WAITING),
        })))
    }

    /// How the pipeline is doing, as JSON, at most a second old. Blocks while the log is asked.
    pub(crate) fn status(&self) -> Arc<String> {
        let vitals = &self.0.parts.vitals;
        self.0.status.get(self.0.parts.clock.monotonic(), || serde_json::to_string(&vitals.status()).unwrap_or_default())
    }

    /// What the router says, as JSON, at most a second old.
    pub(crate) fn router(&self) -> Arc<String> {
        let said = || self.0.parts.router.as_ref().and_then(|door| door.status().ok()).map(|said| said.to_string());
        self.0.router.get(self.0.parts.clock.monotonic(), || said().unwrap_or_default())
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }
}
