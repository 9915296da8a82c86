//! What both kinds of task share: what a step is, why a task ends, its budgets, what it shows of itself, and how it is told to stop.
//!
//! A task is driven by `step` on one thread. A step never waits longer than it is told to, never sleeps, and leaves the task in a state
//! from which the next step goes on; whoever drives it may stop between any two.

use crate::metrics::TaskMetrics;
use crate::moments::{Moment, Moments};
use platform_core::clock::Clock;
use platform_core::codec::CodecError;
use platform_core::log::{CommitError, Log, LogError, Positions, Subscription};
use platform_core::record::{Offset, Partition, Topic};
use platform_core::stage::StageError;
use platform_core::store::StoreError;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a step brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Something was read, assigned, emitted or committed; the next step may bring more at once.
    Progress,
    /// Nothing came within the wait, or a refused transaction waits to be tried again.
    Idle,
}

/// Why a task ends before it is told to. No remedy lies inside the task; a new one starts from what is committed.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// A newer owner has its partitions or its transactional id. It has written nothing since.
    #[error("fenced by a newer owner: {0}")]
    Fenced(String),
    /// State cannot be rebuilt: totals from the rest of the log would be too small and look right. Deploy under a new epoch.
    #[error("state_lost: restoring {partition} must read from {needed}, and the log begins at {start}")]
    StateLost {
        /// Of which partition.
        partition: Partition,
        /// First offset that a restore must read.
        needed: Offset,
        /// First offset that the log still holds.
        start: Offset,
    },
    /// What stands beside a committed position cannot be read.
    #[error("the metadata committed for {partition} cannot be read: {source}")]
    Metadata {
        /// Of which partition.
        partition: Partition,
        /// What is wrong with it.
        source: CodecError,
    },
    /// A stage cannot go on with its partition.
    #[error("{partition}: {source}")]
    Stage {
        /// Which partition.
        partition: Partition,
        /// Why.
        source: StageError,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log cannot be trusted to take writes any more.
    #[error("the log cannot be written: {0}")]
    Write(String),
    /// The state store failed, also after it was cleared.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task's code panicked; the text is the panic's.
    #[error("the task panicked: {0}")]
    Panicked(String),
}

impl TaskError {
    /// What a commit error means once trying again has been ruled out.
    pub(crate) fn from_commit(error: CommitError) -> Self {
        match error {
            CommitError::Fenced(reason) => Self::Fenced(reason),
            other => Self::Write(other.to_string()),
        }
    }
}

/// How much a task may gather before it commits.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeSettings {
    /// Longest time between commits while there is something to commit.
    pub commit_interval: Duration,
    /// Bytes read in one transaction.
    pub read_budget: usize,
    /// Bytes that stages may hold; a keyed stage counts what it gathered since its last commit.
    pub held_budget: usize,
    /// Bytes emitted by keyed stages in one transaction.
    pub emit_budget: usize,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self { commit_interval: Duration::from_secs(1), read_budget: 64 << 20, held_budget: 256 << 20, emit_budget: 8 << 20 }
    }
}

/// A process among those that share the work of a pipeline.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// Its name: never that of two processes at once, and the same after a restart. Empty for a process that is alone.
    pub instance: String,
    /// Stages that every process runs over all partitions, for itself, such as sinks that answer its own callers.
    pub whole: Vec<String>,
    /// Who is told when a task comes to a named moment of its work.
    pub moments: Moments,
}

impl Place {
    /// Consumer group of a stage: `<pipeline>.<stage>`, and behind it the process where it shares the stage with no other.
    #[must_use]
    pub fn group(&self, pipeline: &str, stage: &str) -> String {
        let own = !self.instance.is_empty() && self.whole.iter().any(|whole| whole == stage);
        if own { format!("{pipeline}.{stage}.{}", self.instance) } else { format!("{pipeline}.{stage}") }
    }
}

/// Where a task runs and by what names it is known.
#[derive(Clone)]
pub struct TaskSetup {
    /// Name of the pipeline.
    pub pipeline: String,
    /// Name of the stage.
    pub stage: String,
    /// Topics that the stage reads.
    pub reads: Vec<Topic>,
    /// Place among the tasks of the stage.
    pub slot: usize,
    /// The process.
    pub place: Arc<Place>,
    /// The log it writes to and commits in.
    pub log: Arc<dyn Log>,
    /// For commit intervals and durations only; nothing of it enters state or outputs.
    pub clock: Arc<dyn Clock>,
    /// How much it may gather.
    pub settings: RuntimeSettings,
    /// Cuts its waits short.
    pub signal: Arc<Signal>,
}

impl TaskSetup {
    /// Consumer group.
    #[must_use]
    pub fn group(&self) -> String {
        self.place.group(&self.pipeline, &self.stage)
    }

    /// What its reader reads, as a member of the group.
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        Subscription { group: Some(self.group()), topics: self.reads.clone() }
    }

    /// Name of the stores, which are the process's own: `<pipeline>.<stage>`.
    #[must_use]
    pub fn stores(&self) -> String {
        format!("{}.{}", self.pipeline, self.stage)
    }

    /// Name of the task, in metrics, messages and on its thread: `<pipeline>.<stage>.<slot>`.
    #[must_use]
    pub fn task_name(&self) -> String {
        format!("{}.{}", self.stores(), self.slot)
    }

    /// Transactional id: the task's name, with the process before the slot where there are several.
    #[must_use]
    pub fn transactional_id(&self) -> String {
        match self.place.instance.as_str() {
            "" => self.task_name(),
            instance => format!("{}.{instance}.{}", self.stores(), self.slot),
        }
    }

    /// Says that the task has come to a moment of its work.
    #[inline]
    pub(crate) fn reached(&self, moment: Moment) {
        self.place.moments.reached(&self.stage, moment);
    }

    pub(crate) fn metrics(&self) -> TaskMetrics {
        TaskMetrics::new(&self.pipeline, &self.stage, &self.task_name())
    }
}

/// How far a run is told to go down: not at all, in order, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Run,
    Stop,
    Abandon,
}

/// Tells tasks to stop, and lets them wait in a way that the telling interrupts.
#[derive(Debug)]
pub struct Signal {
    level: Mutex<Level>,
    raised: Condvar,
}

impl Default for Signal {
    fn default() -> Self {
        Self { level: Mutex::new(Level::Run), raised: Condvar::new() }
    }
}

impl Signal {
    /// Asks for an orderly end: finish, commit, leave.
    pub fn stop(&self) {
        self.raise(Level::Stop);
    }

    /// Asks for an end without another commit.
    pub fn abandon(&self) {
        self.raise(Level::Abandon);
    }

    /// Whether an end was asked for.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *lock(&self.level) >= Level::Stop
    }

    /// Whether not even a commit is wanted any more.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        *lock(&self.level) == Level::Abandon
    }

    /// Waits up to `wait`, or until more of an end is asked for than now.
    pub fn pause(&self, wait: Duration) {
        let level = lock(&self.level);
        let now = *level;
        drop(self.raised.wait_timeout_while(level, wait, |level| *level == now));
    }

    fn raise(&self, to: Level) {
        let mut level = lock(&self.level);
        *level = to.max(*level);
        drop(level);
        self.raised.notify_all();
    }
}

/// What a task is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// Rebuilding state; nothing is emitted for these partitions yet.
    Restoring,
    /// Doing its work.
    Running,
    /// The log refuses its transaction for now; it reads no further until that is through.
    Refused,
    /// Ended in order.
    Stopped,
    /// Ended by an error.
    Failed,
}

impl TaskState {
    /// One word for people and pages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Refused => "refused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What a task shows of itself, for readiness and operators.
#[derive(Clone, Debug)]
pub struct TaskStatus {
    /// `<pipeline>.<stage>.<slot>`.
    pub name: String,
    /// What it is doing.
    pub state: TaskState,
    /// Monotonic time of the last step that was not held up.
    pub last_progress: Duration,
    /// Committed positions of its partitions.
    pub positions: Positions,
    /// Records between its positions and the ends of its partitions, as of the last look.
    pub lag: u64,
}

/// A task's status, written by its thread and read by others.
#[derive(Debug)]
pub struct StatusCell(Mutex<TaskStatus>);

impl StatusCell {
    pub(crate) fn new(name: String, now: Duration) -> Arc<Self> {
        let positions = Positions::new();
        Arc::new(Self(Mutex::new(TaskStatus { name, state: TaskState::Restoring, last_progress: now, positions, lag: 0 })))
    }

    /// As it is now.
    #[must_use]
    pub fn get(&self) -> TaskStatus {
        lock(&self.0).clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut TaskStatus)) {
        change(&mut lock(&self.0));
    }
}

/// Waits between attempts of a refused transaction: 10 ms, doubled each time up to 1 s.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    refusals: u32,
    until: Option<Duration>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const MOST: Duration = Duration::from_secs(1);

    pub(crate) fn refused(&mut self, now: Duration) {
        let wait = Self::FIRST.saturating_mul(1 << self.refusals.min(10)).min(Self::MOST);
        self.refusals += 1;
        self.until = Some(now.saturating_add(wait));
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn remaining(&self, now: Duration) -> Option<Duration> {
        self.until.and_then(|until| until.checked_sub(now)).filter(|left| !left.is_zero())
    }
}

/// Locks even after a panic elsewhere: every change below is complete before its lock is given back.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
