//! Brokers of a test, and what tests of the log do with them. Where there is no Java or no Kafka they say `not run`.

#![allow(dead_code, reason = "each test file uses a part")]

use platform_core::log::{Claim, Committed, Log, Polled, Reader, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::settings::Settings;
use platform_kafka::topics::Needed;
use platform_runtime::clock::SystemClock;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const WAIT: Duration = Duration::from_millis(200);

/// Brokers in a folder of their own; they end with it.
pub(crate) struct Cluster {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) bootstrap: String,
}

pub(crate) fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kafka/kafka"))
}

impl Cluster {
    /// `None`, and a line that says so, where there can be none.
    pub(crate) fn start(brokers: u32) -> Option<Self> {
        Self::with_options(&["--brokers", &brokers.to_string()])
    }

    /// As `start`, with these options of the script.
    pub(crate) fn with_options(options: &[&str]) -> Option<Self> {
        let installed = script().arg("install").output();
        if !installed.as_ref().is_ok_and(|output| output.status.success()) {
            let why = installed.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
            eprintln!("not run: no Kafka broker can be had here: {why}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = script().arg("start").args(options).arg("--dir").arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Self { folder, bootstrap: String::from_utf8(output.stdout).unwrap().trim().to_owned() })
    }

    pub(crate) fn does(&self, command: &str, broker: &str) {
        let output = script().arg(command).arg(self.folder.path()).arg(broker).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings { bootstrap: self.bootstrap.clone(), dev: true, ..Settings::default() }
    }

    pub(crate) fn log(&self) -> Kafka {
        Kafka::new(&self.settings(), "test", Arc::new(SystemClock::new())).unwrap()
    }

    /// A log with this topic of two partitions.
    pub(crate) fn with(&self, topic: &str) -> (Kafka, Topic) {
        let (log, topic) = (self.log(), Topic::new(topic));
        log.apply(&log.plan(&[need(&topic, 2)]).unwrap()).unwrap();
        (log, topic)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(script().arg("stop").arg(self.folder.path()).arg("--now").output());
    }
}

pub(crate) fn need(topic: &Topic, partitions: u32) -> Needed {
    Needed { topic: topic.clone(), partitions, retention: Duration::from_secs(3600), foreign: false }
}

pub(crate) fn value(text: &str) -> NewRecord<'_> {
    NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() }
}

pub(crate) fn at(offset: u64, metadata: &[u8]) -> Committed {
    Committed { offset: Offset(offset), metadata: metadata.to_vec() }
}

/// Polls until there is an assignment of `count` partitions.
pub(crate) fn assigned(reader: &mut dyn Reader, count: usize) -> (Claim, Vec<(Partition, Option<Committed>)>) {
    for _ in 0..200 {
        if let Polled::Assigned(assignment) = reader.poll(WAIT).unwrap()
            && assignment.partitions.len() == count
        {
            return (assignment.claim, assignment.partitions);
        }
    }
    panic!("no assignment of {count} partitions")
}

/// What comes until `count` values are there, in the order in which it came.
pub(crate) fn values(reader: &mut dyn Reader, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..100 {
        if all.len() >= count {
            break;
        }
        if let Polled::Batch(batch) = reader.poll(WAIT).unwrap() {
            all.extend(batch.iter().map(|r| String::from_utf8(r.value.unwrap_or(b"-").to_vec()).unwrap()));
        }
    }
    all
}

/// That nothing comes.
pub(crate) fn nothing(reader: &mut dyn Reader) {
    for _ in 0..5 {
        match reader.poll(WAIT).unwrap() {
            Polled::Batch(batch) => panic!("{} records came", batch.len()),
            Polled::Assigned(_) | Polled::Nothing => {}
        }
    }
}

pub(crate) fn alone(log: &Kafka, topic: &Topic) -> Box<dyn Reader> {
    log.reader(&Subscription { group: None, topics: vec![topic.clone()] }).unwrap()
}

pub(crate) fn member(log: &Kafka, topic: &Topic) -> Box<dyn Reader> {
    log.reader(&Subscription { group: Some("g".to_owned()), topics: vec![topic.clone()] }).unwrap()
}
