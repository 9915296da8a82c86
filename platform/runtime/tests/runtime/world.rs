//! Tasks of the word pipeline, driven step by step over a log and stores with faults. Asserts nothing.

use crate::words::{Adder, Closer, counts, partials, source};
use platform_core::clock::Clock;
use platform_core::log::{Log, Polled, Subscription};
use platform_core::record::{NewRecord, Partition, Topic};
use platform_core::time::SECOND;
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

pub(crate) struct World {
    pub(crate) clock: Arc<SimClock>,
    pub(crate) log: FaultyLog,
    pub(crate) stores: FaultyStores,
    pub(crate) settings: RuntimeSettings,
}

impl World {
    pub(crate) fn new(settings: RuntimeSettings) -> Self {
        let clock = Arc::new(SimClock::at(1000 * SECOND));
        let log = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as Arc<dyn Clock>));
        let markers = TopicSettings { markers: true, ..TopicSettings::default() };
        log.create_topic(&source(), SOURCES, TopicSettings::default());
        log.create_topic(&partials(), PARTITIONS, markers);
        log.create_topic(&counts(), PARTITIONS, markers);
        Self { clock, log: FaultyLog::new(log), stores: FaultyStores::default(), settings }
    }

    pub(crate) fn setup(&self, stage: &str, slot: usize) -> TaskSetup {
        TaskSetup {
            pipeline: "words".into(),
            stage: stage.into(),
            slot,
            place: Arc::default(),
            log: Arc::new(self.log.clone()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            settings: self.settings,
            signal: Arc::default(),
        }
    }

    fn reader(&self, stage: &str, topic: Topic) -> Box<dyn platform_core::log::Reader> {
        self.log.reader(&Subscription { group: Some(format!("words.{stage}")), topics: vec![topic] }).unwrap()
    }

    pub(crate) fn map_task(&self, slot: usize) -> Result<MapTask, TaskError> {
        MapTask::new(self.setup("add", slot), Box::new(Adder::new(SOURCES, PARTITIONS)), self.reader("add", source()))
    }

    pub(crate) fn keyed_task(&self, slot: usize) -> Result<KeyedTask, TaskError> {
        KeyedTask::new(self.setup("close", slot), self.keyed_parts(), self.reader("close", partials()))
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
