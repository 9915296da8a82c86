//! Bounded runs: the same outputs whatever the number of readers, pulled by partition, and nothing left behind.

use crate::words::{Adder, Closer, WINDOW, counts, partials, source};
use crate::world::PARTITIONS;
use platform_core::log::{Assignment, Claim, Committed, Log, LogError, Polled, Positions, Reader};
use platform_core::pipeline::{Kind, Pipeline, Stage};
use platform_core::record::{Batch, BatchBuffer, Offset, Partition};
use platform_runtime::bounded::Bounded;
use platform_runtime::memory::{AppendTimes, MemoryLog, MemoryStores, TopicSettings};
use platform_runtime::runtime::RunError;
use platform_runtime::task::RuntimeSettings;
use platform_testkit::clock::SimClock;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Lines of one file, a few in each batch.
struct Lines {
    partition: Partition,
    lines: Vec<String>,
    position: usize,
    assigned: bool,
    buffer: BatchBuffer,
}

impl Reader for Lines {
    fn poll(&mut self, _: Duration) -> Result<Polled<'_>, LogError> {
        if !std::mem::replace(&mut self.assigned, true) {
            let claim = Claim { group: "files".into(), member: 0, generation: 0 };
            return Ok(Polled::Assigned(Assignment { claim, partitions: vec![(self.partition.clone(), Some(Committed::default()))] }));
        }
        self.buffer.start(&self.partition);
        for line in self.lines.iter().skip(self.position).take(7) {
            self.buffer.push(Offset(self.position as u64), None, None, &[], Some(line.as_bytes()));
            self.position += 1;
        }
        Ok(self.buffer.batch().filter(|b| !b.is_empty()).map_or(Polled::Nothing, Polled::Batch))
    }

    fn seek(&mut self, _: &Positions) -> Result<(), LogError> {
        Err(LogError::Engine("a file is read once".into()))
    }

    fn pause(&mut self, _: &std::collections::BTreeSet<Partition>) -> Result<(), LogError> {
        Err(LogError::Engine("a file is read in one go".into()))
    }

    fn position(&self, _: &Partition) -> Offset {
        Offset(self.position as u64)
    }

    fn end(&self, _: &Partition) -> Result<Option<Offset>, LogError> {
        Ok(Some(Offset(self.lines.len() as u64)))
    }
}

const EVENTS: u64 = 500;

fn line(n: u64) -> (u64, String) {
    (n / 10, format!("word{}", n * 7 % 13))
}

fn expected() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (time, word) in (0..EVENTS).map(line) {
        *all.entry(format!("final {} {word}", time / WINDOW)).or_default() += 1;
    }
    all
}

fn bounded(readers: u64, make: fn(u32, u32) -> Adder) -> (Bounded, Vec<Box<dyn Reader>>) {
    let log = MemoryLog::new(AppendTimes::None);
    for topic in [partials(), counts()] {
        log.create_topic(&topic, PARTITIONS, TopicSettings { forget_after_read: true, ..TopicSettings::default() });
    }
    let sources = u32::try_from(readers).unwrap();
    let map = Kind::Map(Box::new(move || Box::new(make(sources, PARTITIONS))));
    let keyed = Kind::Keyed(Box::new(move |partition| Box::new(Closer::new(sources, partition))), 1);
    let stages = vec![
        Stage { name: "add".into(), reads: vec![source()], writes: vec![partials()], tasks: 1, kind: map },
        Stage { name: "close".into(), reads: vec![partials()], writes: vec![counts()], tasks: 1, kind: keyed },
    ];
    let settings = RuntimeSettings { commit_interval: Duration::MAX, read_budget: 400, held_budget: 1 << 20, emit_budget: 200 };
    let files = (0..sources).map(|file| {
        let lines = (0..EVENTS).filter(|n| n % readers == u64::from(file)).map(line).map(|(time, word)| format!("{time} {word}")).collect();
        let partition = Partition::new(&source(), file);
        Box::new(Lines { partition, lines, position: 0, assigned: false, buffer: BatchBuffer::default() }) as Box<dyn Reader>
    });
    let pipeline = Pipeline { name: "words".into(), stages };
    (Bounded { pipeline, log, stores: Arc::new(MemoryStores::default()), clock: Arc::new(SimClock::default()), settings }, files.collect())
}

fn texts(batch: &Batch<'_>) -> Vec<String> {
    batch.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

/// Latest count of each identity.
fn latest(outputs: Vec<String>) -> BTreeMap<String, u64> {
    let lines = outputs.iter().filter(|o| !o.starts_with("done")).map(|o| o.split(' ').collect::<Vec<_>>());
    lines.map(|f| (format!("final {} {}", f[1], f[2]), f[3].parse().unwrap())).collect()
}

#[test]
fn every_number_of_readers_gives_the_totals_of_the_input() {
    for readers in [1, 2, 3] {
        let (bounded, files) = bounded(readers, Adder::holding);
        let log = bounded.log.clone();
        let mut outputs = Vec::new();
        for mut chain in bounded.run(files, None).unwrap() {
            while let Some(batch) = chain.next_batch().unwrap() {
                outputs.extend(texts(&batch));
            }
        }
        assert_eq!(latest(outputs), expected(), "{readers} readers");
        for partition in (0..PARTITIONS).map(|i| Partition::new(&partials(), i)) {
            let (start, end) = log.bounds(&partition).unwrap();
            assert_eq!(start, end, "what was read is forgotten");
        }
    }
}

#[test]
fn an_output_larger_than_its_budget_is_made_only_as_it_is_asked_for() {
    let (bounded, files) = bounded(1, Adder::holding);
    let log = bounded.log.clone();
    let mut chains = bounded.run(files, None).unwrap();
    let (mut batches, mut most) = (0, 0);
    while let Some(batch) = chains[1].next_batch().unwrap() {
        most = most.max(batch.size());
        batches += 1;
        let (start, end) = log.bounds(&Partition::new(&counts(), 1)).unwrap();
        assert!(end.0 - start.0 < 20, "{start} to {end} are held at once");
    }
    assert!(batches > 3 && most < 400, "{batches} batches of up to {most} bytes");
}

#[test]
fn records_that_come_while_reading_can_be_taken_at_once() {
    let (bounded, files) = bounded(2, Adder::new);
    let early = Mutex::new(Vec::new());
    let take = |batch: &Batch<'_>| early.lock().unwrap().extend(texts(batch));
    let chains = bounded.run(files, Some(&take)).unwrap();
    let mut outputs = early.into_inner().unwrap();
    assert!(!outputs.is_empty());
    for mut chain in chains {
        while let Some(batch) = chain.next_batch().unwrap() {
            outputs.extend(texts(&batch));
        }
    }
    assert_eq!(latest(outputs), expected());
}

#[test]
fn a_pipeline_of_another_shape_is_refused() {
    let (mut bounded, files) = bounded(1, Adder::holding);
    bounded.pipeline.stages.remove(0);
    assert!(matches!(bounded.run(files, None), Err(RunError::Unbounded(_))));
}
