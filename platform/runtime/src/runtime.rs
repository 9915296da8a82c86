//! Whole pipelines on threads: one named thread for each task, each with its own reader and writer.
//!
//! All readers join their groups before any task polls, and stay members until the whole run is dropped: partitions are assigned once, not
//! once for each task that starts or ends. A task that fails or panics is reported by name and does not take others with it; whoever holds
//! the run decides what a failure means. Restarting is not done here: a process that failed ends, and what is committed brings it back.

use crate::keyed_task::{KeyedParts, KeyedTask};
use crate::map_task::MapTask;
use crate::merge_task::{MergeParts, MergeTask};
use crate::metrics;
use crate::task::{Place, RuntimeSettings, Signal, StatusCell, TaskError, TaskSetup, TaskState, TaskStatus, lock};
use platform_core::clock::Clock;
use platform_core::log::{Log, LogError};
use platform_core::pipeline::{BadPipeline, Kind, Pipeline};
use platform_core::store::Stores;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How long a stop may take, unless it is said otherwise.
pub const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// How long a step may wait for records; also how soon a quiet task notices a stop.
const POLL: Duration = Duration::from_millis(100);
/// How long tasks get to notice that not even a commit is wanted any more.
const ABANDON: Duration = Duration::from_millis(500);

/// Why a pipeline does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The description is not one of a pipeline.
    #[error(transparent)]
    Pipeline(#[from] BadPipeline),
    /// A bounded run is one map stage, then keyed stages, each reading what the one before writes.
    #[error("a bounded run cannot drive this pipeline: {0}")]
    Unbounded(&'static str),
    /// A task ended by an error, or could not begin.
    #[error("task {task}: {error}")]
    Task {
        /// `<pipeline>.<stage>.<slot>`.
        task: String,
        /// Why.
        error: TaskError,
    },
    /// The system gave no thread.
    #[error("no thread for {task}: {error}")]
    Thread {
        /// For which task.
        task: String,
        /// Why.
        error: std::io::Error,
    },
    /// These tasks did not end within the deadline. What they had not committed is not visible and will be done again.
    #[error("not stopped within the deadline: {}", .0.join(", "))]
    Late(Vec<String>),
}

/// Starts pipelines.
pub struct Runtime;

impl Runtime {
    /// Starts every task of these pipelines, whose topics must exist.
    ///
    /// # Errors
    /// When the description is wrong, the log refuses, or there is no thread; then nothing runs.
    pub fn start(
        pipelines: Vec<Pipeline>,
        log: Arc<dyn Log>,
        stores: Arc<dyn Stores>,
        clock: Arc<dyn Clock>,
        settings: RuntimeSettings,
        place: Place,
    ) -> Result<Running, RunError> {
        pipelines.iter().try_for_each(Pipeline::check)?;
        let place = Arc::new(place);
        let signal = Arc::new(Signal::default());
        let mut readers = Vec::new();
        for (pipeline, stage) in pipelines.iter().flat_map(|pipeline| pipeline.stages.iter().map(|stage| (&pipeline.name, stage))) {
            for slot in 0..stage.tasks {
                let setup = TaskSetup {
                    pipeline: pipeline.clone(),
                    stage: stage.name.clone(),
                    reads: stage.reads.clone(),
                    slot,
                    place: Arc::clone(&place),
                    log: Arc::clone(&log),
                    clock: Arc::clone(&clock),
                    settings,
                    signal: Arc::clone(&signal),
                };
                let failed = |error: TaskError| RunError::Task { task: setup.task_name(), error };
                let reader = log.reader(&setup.subscription()).map_err(|e| failed(e.into()))?;
                readers.push((setup, reader));
            }
        }
        let mut readers = readers.into_iter();
        let mut tasks = Vec::new();
        for stage in pipelines.into_iter().flat_map(|pipeline| pipeline.stages) {
            let count = stage.tasks;
            let make = MakeTask::new(stage.kind, &stores);
            for (setup, reader) in readers.by_ref().take(count) {
                let task = setup.task_name();
                tasks.push(make.task(setup, reader).map_err(|error| RunError::Task { task, error })?);
            }
        }
        let statuses = tasks.iter().map(|t| t.status()).collect();
        let ended = Arc::new(Ended { state: Mutex::default(), changed: Condvar::new() });
        let mut running = Running { signal, watch: Watch { statuses, ended }, threads: Vec::new() };
        for task in tasks {
            running.spawn(task)?;
        }
        Ok(running)
    }
}

/// How the tasks of one stage are made.
enum MakeTask {
    Map(platform_core::pipeline::MakeMap),
    Keyed(KeyedParts),
    Merge(MergeParts),
}

impl MakeTask {
    fn new(kind: Kind, stores: &Arc<dyn Stores>) -> Self {
        match kind {
            Kind::Map(make) => Self::Map(make),
            Kind::Keyed(make, format) => Self::Keyed(KeyedParts { make: Arc::new(make), format, stores: Arc::clone(stores) }),
            Kind::Merge(make, format) => Self::Merge(MergeParts { make: Arc::new(make), format, stores: Arc::clone(stores) }),
        }
    }

    fn task(&self, setup: TaskSetup, reader: Box<dyn platform_core::log::Reader>) -> Result<Task, TaskError> {
        Ok(match self {
            Self::Map(make) => Task::Map(Box::new(MapTask::new(setup, make(), reader)?)),
            Self::Keyed(parts) => Task::Keyed(Box::new(KeyedTask::new(setup, parts.clone(), reader)?)),
            Self::Merge(parts) => Task::Merge(Box::new(MergeTask::new(setup, parts.clone(), reader)?)),
        })
    }
}

enum Task {
    Map(Box<MapTask>),
    Keyed(Box<KeyedTask>),
    Merge(Box<MergeTask>),
}

impl Task {
    fn status(&self) -> Arc<StatusCell> {
        match self {
            Self::Map(task) => task.status(),
            Self::Keyed(task) => task.status(),
            Self::Merge(task) => task.status(),
        }
    }

    /// Works until told to stop, then finishes what it has and commits it.
    fn run(&mut self, signal: &Signal) -> Result<(), TaskError> {
        while !signal.is_stopping() {
            match self {
                Self::Map(task) => task.step(POLL)?,
                Self::Keyed(task) => task.step(POLL)?,
                Self::Merge(task) => task.step(POLL)?,
            };
        }
        while !signal.is_abandoned() {
            let done = match self {
                // What the log refuses now is read again after the restart; the second time there is nothing left but what a task has to say.
                Self::Map(task) => task.commit_now()? || task.commit_now().map(|_| true)?,
                Self::Keyed(task) => task.drain(POLL)?,
                Self::Merge(task) => task.drain(POLL)?,
            };
            if done {
                break;
            }
        }
        Ok(())
    }
}

/// Pipelines that run. Dropping it abandons what is not committed; `stop` ends it in order.
pub struct Running {
    signal: Arc<Signal>,
    watch: Watch,
    threads: Vec<(String, JoinHandle<()>)>,
}

/// What running pipelines show of themselves, for whoever watches it from another thread.
#[derive(Clone)]
pub struct Watch {
    statuses: Vec<Arc<StatusCell>>,
    ended: Arc<Ended>,
}

struct Ended {
    state: Mutex<EndedTasks>,
    changed: Condvar,
}

#[derive(Default)]
struct EndedTasks {
    /// Kept, so that their partitions are not given to tasks that still run.
    tasks: Vec<Task>,
    names: Vec<String>,
    failure: Option<Arc<RunError>>,
}

impl Watch {
    /// What every task shows of itself, in the order of flow.
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskStatus> {
        self.statuses.iter().map(|s| s.get()).collect()
    }

    /// The first task that ended by an error, if one did.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<RunError>> {
        lock(&self.ended.state).failure.clone()
    }

    /// Waits up to `wait` for a task to end by an error.
    #[must_use]
    pub fn wait_failed(&self, wait: Duration) -> Option<Arc<RunError>> {
        let state = lock(&self.ended.state);
        let waited = self.ended.changed.wait_timeout_while(state, wait, |s| s.failure.is_none());
        waited.unwrap_or_else(PoisonError::into_inner).0.failure.clone()
    }
}

impl Running {
    /// What it shows of itself.
    #[must_use]
    pub fn watch(&self) -> &Watch {
        &self.watch
    }

    /// Asks every task to finish and commit, and joins those that do so within `deadline`.
    ///
    /// # Errors
    /// The names of tasks that did not end. An earlier failure is not one of this stop; ask `failure` for it.
    pub fn stop(&mut self, deadline: Duration) -> Result<(), RunError> {
        self.signal.stop();
        let all = self.threads.len();
        for wait in [deadline, ABANDON] {
            let state = lock(&self.watch.ended.state);
            drop(self.watch.ended.changed.wait_timeout_while(state, wait, |s| s.names.len() < all));
            self.signal.abandon();
        }
        let ended = lock(&self.watch.ended.state).names.clone();
        let mut late = Vec::new();
        for (name, thread) in self.threads.drain(..) {
            if !ended.contains(&name) || thread.join().is_err() {
                late.push(name);
            }
        }
        if late.is_empty() { Ok(()) } else { Err(RunError::Late(late)) }
    }

    fn spawn(&mut self, mut task: Task) -> Result<(), RunError> {
        let status = task.status();
        let name = status.get().name;
        let (signal, ended, thread_name) = (Arc::clone(&self.signal), Arc::clone(&self.watch.ended), name.clone());
        let body = move || {
            let result = catch_unwind(AssertUnwindSafe(|| task.run(&signal))).unwrap_or_else(|panic| Err(panicked(&*panic)));
            let result = match result {
                // Told to stop while the log was away: what was not committed is done again after the start.
                Err(TaskError::Log(LogError::Closed)) if signal.is_stopping() => Ok(()),
                result => result,
            };
            let state = if result.is_ok() { TaskState::Stopped } else { TaskState::Failed };
            status.update(|s| s.state = state);
            let mut all = lock(&ended.state);
            if let Err(error) = result {
                tracing::error!(task = %thread_name, %error, "task failed");
                metrics::task_failed(&thread_name);
                all.failure.get_or_insert(Arc::new(RunError::Task { task: thread_name.clone(), error }));
            }
            all.names.push(thread_name);
            all.tasks.push(task);
            drop(all);
            ended.changed.notify_all();
        };
        let thread = Builder::new().name(name.clone()).spawn(body).map_err(|error| RunError::Thread { task: name.clone(), error })?;
        self.threads.push((name, thread));
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal.abandon();
    }
}

/// A caught panic as an error.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> TaskError {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    TaskError::Panicked(text.unwrap_or_else(|| "no message".to_owned()))
}
