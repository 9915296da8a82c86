//! A pipeline over inputs that end: one map stage over several readers, then keyed and merge stages of one input each, each partition a chain
//! of its own.
//!
//! A *bounded reader* is a `Reader` that brings an assignment first (any claim, every partition with a committed position), then batches,
//! and `Nothing` exactly when its input has ended; until then it waits as long as it takes, whatever the wait it is given. It is never asked
//! to go back, since nothing refuses a transaction here.
//!
//! Every reader has a thread (the caller's, when there is one reader). Between its batches a thread also drives the chains of its partitions,
//! so that what lies between the stages stays bounded. Once all readers have ended, one map stage says so downstream, and the last topic is
//! *pulled*: a chain is driven only as far as its caller asks for records, so large outputs are never held as a whole.
//! Nothing outlives the process; for live runs see `runtime.rs`.

use crate::keyed_task::{KeyedParts, KeyedTask};
use crate::map_task::MapTask;
use crate::memory::MemoryLog;
use crate::merge_task::{MergeParts, MergeTask};
use crate::runtime::{RunError, panicked};
use crate::task::{RuntimeSettings, Signal, Step, TaskError, TaskSetup};
use platform_core::clock::Clock;
use platform_core::log::{Log, LogError, Polled, Reader};
use platform_core::pipeline::{Kind, MakeMap, Pipeline};
use platform_core::record::{Batch, Partition, Topic};
use platform_core::store::Stores;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

/// Takes records of the last topic while inputs are still read: of one partition in order, of several in any, from several threads.
pub type WhileReading<'a> = Option<&'a (dyn Fn(&Batch<'_>) + Sync)>;

/// A bounded run.
pub struct Bounded {
    /// One map stage, then keyed or merge stages, each reading the first topic that the one before writes.
    pub pipeline: Pipeline,
    /// Holds the topics written, all but the source's; those between stages need equal partition counts and should forget what is read.
    pub log: MemoryLog,
    /// Where keyed stages keep state.
    pub stores: Arc<dyn Stores>,
    /// For commit intervals.
    pub clock: Arc<dyn Clock>,
    /// How much to gather before a commit.
    pub settings: RuntimeSettings,
}

impl Bounded {
    /// Reads all inputs to their end. What comes back gives the records of the last topic, by partition, that `while_reading` did not get.
    ///
    /// # Errors
    /// When the pipeline has another shape, or a task fails.
    pub fn run(self, readers: Vec<Box<dyn Reader>>, while_reading: WhileReading<'_>) -> Result<Vec<Chain>, RunError> {
        let signal = Arc::new(Signal::default());
        let mut workers = self.build(readers, &signal)?;
        run_all(&mut workers, &signal, while_reading)?;
        if let Some(worker) = workers.first_mut() {
            worker.map.end().map_err(|error| RunError::Task { task: worker.name.clone(), error })?;
        }
        let mut chains: Vec<Chain> = workers.into_iter().flat_map(|w| w.chains).collect();
        chains.sort_by_key(|c| c.output.index);
        Ok(chains)
    }

    fn build(self, readers: Vec<Box<dyn Reader>>, signal: &Arc<Signal>) -> Result<Vec<Worker>, RunError> {
        self.pipeline.check()?;
        let (name, log) = (self.pipeline.name, self.log);
        let setup = |stage: &str, reads: Vec<Topic>, slot: usize| TaskSetup {
            pipeline: name.clone(),
            stage: stage.to_owned(),
            reads,
            slot,
            place: Arc::default(),
            log: Arc::new(log.clone()),
            clock: Arc::clone(&self.clock),
            settings: self.settings,
            signal: Arc::clone(signal),
        };
        let mut map: Option<(String, Vec<Topic>, MakeMap)> = None;
        let mut keyed = Vec::new();
        let mut between: Option<Topic> = None;
        for stage in self.pipeline.stages {
            let follows = between.as_ref().is_some_and(|topic| stage.reads == [topic.clone()]);
            match stage.kind {
                Kind::Map(make) if map.is_none() => map = Some((stage.name, stage.reads, make)),
                Kind::Map(_) => return Err(RunError::Unbounded("it has a second map stage")),
                _ if !follows => return Err(RunError::Unbounded("a stage does not read what the stage before writes")),
                Kind::Keyed(make, format) => {
                    let parts = KeyedParts { make: Arc::new(make), format, stores: Arc::clone(&self.stores) };
                    keyed.push((stage.name, between.clone(), LinkParts::Keyed(parts)));
                }
                Kind::Merge(make, format) => {
                    let parts = MergeParts { make: Arc::new(make), format, stores: Arc::clone(&self.stores) };
                    keyed.push((stage.name, between.clone(), LinkParts::Merge(parts)));
                }
            }
            between = stage.writes.first().cloned();
        }
        let (Some((map_name, sources, make)), Some(last)) = (map, between) else {
            return Err(RunError::Unbounded("it does not begin with a map stage, or its last stage writes nothing"));
        };

        let failed = |task: &str, error: TaskError| RunError::Task { task: task.to_owned(), error };
        let mut workers = Vec::new();
        for (slot, reader) in readers.into_iter().enumerate() {
            let setup = setup(&map_name, sources.clone(), slot);
            let name = setup.task_name();
            let map = MapTask::new(setup, make(), reader).map_err(|e| failed(&name, e))?;
            workers.push(Worker { name, map, chains: Vec::new() });
        }
        let count = workers.len().max(1);
        for index in 0..log.partitions(&last).map_err(|e| failed(&map_name, e.into()))? {
            let mut tasks = Vec::new();
            for (stage, topic, parts) in &keyed {
                let setup = setup(stage, topic.iter().cloned().collect(), index as usize);
                let reads: Vec<Partition> = topic.iter().map(|t| Partition::new(t, index)).collect();
                let reader = log.reader_of(&setup.group(), &reads);
                let task = match parts {
                    LinkParts::Keyed(parts) => KeyedTask::new(setup, parts.clone(), reader).map(Link::Keyed),
                    LinkParts::Merge(parts) => MergeTask::new(setup, parts.clone(), reader).map(Link::Merge),
                };
                tasks.push(task.map_err(|e| failed(stage, e))?);
            }
            let output = Partition::new(&last, index);
            let mut reader = log.reader_of(&format!("{name}.output"), std::slice::from_ref(&output));
            reader.poll(Duration::ZERO).map_err(|e| failed(&map_name, e.into()))?; // the assignment
            if let Some(worker) = workers.get_mut(index as usize % count) {
                worker.chains.push(Chain { tasks, log: log.clone(), output, reader });
            }
        }
        Ok(workers)
    }
}

struct Worker {
    name: String,
    map: MapTask,
    chains: Vec<Chain>,
}

impl Worker {
    fn run(&mut self, signal: &Signal, while_reading: WhileReading<'_>) -> Result<(), RunError> {
        let work = || self.read_to_the_end(signal, while_reading);
        let result = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(panicked(&*panic)));
        result.map_err(|error| {
            signal.stop(); // the others need not read on
            RunError::Task { task: self.name.clone(), error }
        })
    }

    fn read_to_the_end(&mut self, signal: &Signal, while_reading: WhileReading<'_>) -> Result<(), TaskError> {
        while !signal.is_stopping() && self.map.step(Duration::MAX)? == Step::Progress {
            for chain in &mut self.chains {
                chain.keep_up(while_reading)?;
            }
        }
        self.map.commit_now().map(drop)
    }
}

/// The first worker on the calling thread, the others on threads of their own.
fn run_all(workers: &mut [Worker], signal: &Signal, while_reading: WhileReading<'_>) -> Result<(), RunError> {
    let Some((first, others)) = workers.split_first_mut() else { return Ok(()) };
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        let mut result = Ok(());
        for worker in others {
            let task = worker.name.clone();
            let thread = Builder::new().name(task.clone()).spawn_scoped(scope, move || worker.run(signal, while_reading));
            match thread {
                Ok(thread) => threads.push((task, thread)),
                Err(error) => {
                    signal.stop();
                    result = result.and(Err(RunError::Thread { task, error }));
                }
            }
        }
        result = result.and(first.run(signal, while_reading));
        for (task, thread) in threads {
            let joined = thread.join().unwrap_or_else(|panic| Err(RunError::Task { task, error: panicked(&*panic) }));
            result = result.and(joined);
        }
        result
    })
}

/// What a link of a chain is made of.
enum LinkParts {
    Keyed(KeyedParts),
    Merge(MergeParts),
}

/// A link of a chain.
enum Link {
    Keyed(KeyedTask),
    Merge(MergeTask),
}

impl Link {
    fn step(&mut self) -> Result<Step, TaskError> {
        match self {
            Self::Keyed(task) => task.step(Duration::ZERO),
            Self::Merge(task) => task.step(Duration::ZERO),
        }
    }

    fn has_uncommitted(&self) -> bool {
        match self {
            Self::Keyed(task) => task.has_uncommitted(),
            Self::Merge(task) => task.has_uncommitted(),
        }
    }

    fn commit_now(&mut self) -> Result<bool, TaskError> {
        match self {
            Self::Keyed(task) => task.commit_now(),
            Self::Merge(task) => task.commit_now(),
        }
    }
}

/// The stages of one partition behind the first, one behind the other, and what the last one wrote.
pub struct Chain {
    tasks: Vec<Link>,
    log: MemoryLog,
    output: Partition,
    reader: Box<dyn Reader>,
}

impl Chain {
    /// Which partition of the last topic it gives.
    #[must_use]
    pub fn partition(&self) -> &Partition {
        &self.output
    }

    /// The next records of the last topic, in order, driving the stages as far as that needs; `None` at the end.
    ///
    /// # Errors
    /// When a stage fails.
    pub fn next_batch(&mut self) -> Result<Option<Batch<'_>>, TaskError> {
        while !self.has_output()? {
            if !self.advance()? {
                return Ok(None);
            }
        }
        Ok(self.take_output()?)
    }

    fn has_output(&self) -> Result<bool, LogError> {
        Ok(self.reader.end(&self.output)?.is_some_and(|end| self.reader.position(&self.output) < end))
    }

    fn take_output(&mut self) -> Result<Option<Batch<'_>>, LogError> {
        // What was lent out before has been copied out of the log.
        let position = self.reader.position(&self.output);
        self.log.forget_before(&self.output, position);
        match self.reader.poll(Duration::ZERO)? {
            Polled::Batch(batch) => Ok(Some(batch)),
            Polled::Assigned(_) | Polled::Nothing => Ok(None),
        }
    }

    /// One step of the stage furthest down that has something to do; `false` when none has.
    fn advance(&mut self) -> Result<bool, TaskError> {
        for task in self.tasks.iter_mut().rev() {
            if task.step()? == Step::Progress {
                return Ok(true);
            }
        }
        for task in &mut self.tasks {
            if task.has_uncommitted() {
                task.commit_now()?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Applies what has come while inputs are read.
    fn keep_up(&mut self, while_reading: WhileReading<'_>) -> Result<(), TaskError> {
        for task in &mut self.tasks {
            while task.step()? == Step::Progress {}
        }
        if let Some(take) = while_reading {
            while let Some(batch) = self.take_output()? {
                take(&batch);
            }
        }
        Ok(())
    }
}
