//! Tasks of the word pipeline, driven step by step over a log and stores with faults. Asserts nothing.

use crate::words::{Adder, Closer, counts, partials, source};
use platform_core::clock::Clock;
use platform_core::log::{Log, Polled, Subscription};
use platform_core::record::{NewRecord, Partition, Topic};
use platform_core::time::SECOND;
use platform_rocks::rocks;
use platform_runtime::keyed_task::{KeyedParts, KeyedTask};
use platform_runtime::map_task::MapTask;
use platform_runtime::memory::{AppendTimes, MemoryLog, TopicSettings};
use platform_runtime::task::{RuntimeSettings, Step, TaskError, TaskSetup};
use platform_testkit::clock::SimClock;
use platform_testkit::log::FaultyLog;
use platform_testkit::store::FaultyStores;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const SOURCES: u32 = 2;
pub(crate) const PARTITIONS: u32 = 2;

/// The logs that the tests run on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum On {
    Memory,
    Embedded,
}

impl On {
    pub(crate) const EACH: [Self; 2] = [Self::Memory, Self::Embedded];

    /// A log that holds these topics, and the folder in which it does.
    pub(crate) fn log(self, clock: Arc<dyn Clock>, topics: &[(Topic, u32)]) -> (Arc<dyn Log>, Option<tempfile::TempDir>) {
        match self {
            Self::Memory => (Arc::new(memory(clock, topics)), None),
            Self::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                let topic = |(topic, partitions): &(Topic, u32)| rocks::TopicSettings {
                    topic: topic.clone(),
                    partitions: *partitions,
                    retention: Duration::MAX,
                };
                let topics = topics.iter().map(topic).collect();
                let settings = rocks::Settings { topics, group_commit_wait: Duration::ZERO, reserve: 0, ..rocks::Settings::default() };
                (rocks::Rocks::open(folder.path(), &settings, clock).unwrap().log(), Some(folder))
            }
        }
    }
}

fn memory(clock: Arc<dyn Clock>, topics: &[(Topic, u32)]) -> MemoryLog {
    let log = MemoryLog::new(AppendTimes::Clock(clock));
    for (topic, partitions) in topics {
        log.create_topic(topic, *partitions, TopicSettings { markers: *topic != source(), ..TopicSettings::default() });
    }
    log
}

pub(crate) fn topics() -> [(Topic, u32); 3] {
    [(source(), SOURCES), (partials(), PARTITIONS), (counts(), PARTITIONS)]
}

pub(crate) struct World {
    pub(crate) clock: Arc<SimClock>,
    pub(crate) log: FaultyLog,
    /// The log inside, where it is the one in memory.
    pub(crate) memory: Option<MemoryLog>,
    /// What the log inside lies in; gone with it.
    _folder: Option<tempfile::TempDir>,
    pub(crate) stores: FaultyStores,
    pub(crate) settings: RuntimeSettings,
    /// What map tasks read.
    pub(crate) sources: Vec<Topic>,
}

impl World {
    /// On the log in memory, which can be told to put members out and to forget.
    pub(crate) fn new(settings: RuntimeSettings) -> Self {
        let clock = Arc::new(SimClock::at(1000 * SECOND));
        let memory = memory(Arc::clone(&clock) as Arc<dyn Clock>, &topics());
        let log = FaultyLog::new(Arc::new(memory.clone()));
        let sources = vec![source()];
        Self { clock, log, memory: Some(memory), _folder: None, stores: FaultyStores::default(), settings, sources }
    }

    pub(crate) fn on(on: On, settings: RuntimeSettings) -> Self {
        let clock = Arc::new(SimClock::at(1000 * SECOND));
        let (log, folder) = on.log(Arc::clone(&clock) as Arc<dyn Clock>, &topics());
        let (log, sources) = (FaultyLog::new(log), vec![source()]);
        Self { clock, log, memory: None, _folder: folder, stores: FaultyStores::default(), settings, sources }
    }

    /// Puts every member out of the group of the keyed stage, where the log can be told to.
    pub(crate) fn evict(&self) {
        if let Some(memory) = &self.memory {
            memory.evict("words.close");
        }
    }

    pub(crate) fn setup(&self, stage: &str, slot: usize, reads: &[Topic]) -> TaskSetup {
        TaskSetup {
            pipeline: "words".into(),
            stage: stage.into(),
            reads: reads.to_vec(),
            slot,
            place: Arc::default(),
            log: Arc::new(self.log.clone()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            settings: self.settings,
            signal: Arc::default(),
        }
    }

    pub(crate) fn reader(&self, setup: &TaskSetup) -> Box<dyn platform_core::log::Reader> {
        self.log.reader(&setup.subscription()).unwrap()
    }

    pub(crate) fn map_task(&self, slot: usize) -> Result<MapTask, TaskError> {
        let setup = self.setup("add", slot, &self.sources);
        let reader = self.reader(&setup);
        MapTask::new(setup, Box::new(Adder::new(SOURCES, PARTITIONS)), reader)
    }

    pub(crate) fn keyed_task(&self, slot: usize) -> Result<KeyedTask, TaskError> {
        let setup = self.setup("close", slot, &[partials()]);
        let reader = self.reader(&setup);
        KeyedTask::new(setup, self.keyed_parts(), reader)
    }

    pub(crate) fn keyed_parts(&self) -> KeyedParts {
        let make: platform_core::pipeline::MakeKeyed = Box::new(|partition| Box::new(Closer::new(SOURCES, partition)));
        KeyedParts { make: Arc::new(make), format: 1, stores: Arc::new(self.stores.clone()) }
    }

    pub(crate) fn write(&self, topic: &Topic, partition: u32, value: &str) {
        let record = NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() };
        self.log.producer().unwrap().append(&Partition::new(topic, partition), &[record]).unwrap();
    }

    /// Everything visible in one partition of the last topic.
    pub(crate) fn outputs(&self, partition: u32) -> Vec<String> {
        self.texts(&counts(), partition)
    }

    /// Everything visible in one partition.
    pub(crate) fn texts(&self, topic: &Topic, partition: u32) -> Vec<String> {
        let wanted = Partition::new(topic, partition);
        let mut reader = self.log.inner().reader(&Subscription { group: None, topics: vec![topic.clone()] }).unwrap();
        let mut all = Vec::new();
        loop {
            match reader.poll(Duration::ZERO).unwrap() {
                Polled::Batch(batch) if *batch.partition == wanted => {
                    all.extend(batch.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()));
                }
                Polled::Batch(_) | Polled::Assigned(_) => {}
                Polled::Nothing => return all,
            }
        }
    }
}

/// What can be stepped: a crash or a fence ends it.
pub(crate) trait Steps {
    fn go(&mut self) -> Result<Step, TaskError>;
}

impl Steps for MapTask {
    fn go(&mut self) -> Result<Step, TaskError> {
        self.step(Duration::ZERO)
    }
}

impl Steps for KeyedTask {
    fn go(&mut self) -> Result<Step, TaskError> {
        self.step(Duration::ZERO)
    }
}
