//! The log on real brokers: each test that needs one starts its own cluster, and says `not run` where there is no Java or no Kafka.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use platform_core::log::{Claim, CommitError, Committed, Log, LogError, Polled, Reader, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::settings::Settings;
use platform_kafka::topics::{Needed, Plan, Step};
use platform_runtime::clock::SystemClock;
use platform_testkit::calibration::{Script, Terms};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(200);

/// Brokers in a folder of their own; they end with it.
struct Cluster {
    folder: tempfile::TempDir,
    bootstrap: String,
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/kafka/kafka"))
}

impl Cluster {
    /// `None`, and a line that says so, where there can be none.
    fn start(brokers: u32) -> Option<Self> {
        let installed = script().arg("install").output();
        if !installed.as_ref().is_ok_and(|output| output.status.success()) {
            let why = installed.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
            eprintln!("not run: no Kafka broker can be had here: {why}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let output = script().args(["start", "--brokers", &brokers.to_string(), "--dir"]).arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Self { folder, bootstrap: String::from_utf8(output.stdout).unwrap().trim().to_owned() })
    }

    fn does(&self, command: &str, broker: &str) {
        let output = script().arg(command).arg(self.folder.path()).arg(broker).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn settings(&self) -> Settings {
        Settings { bootstrap: self.bootstrap.clone(), dev: true, ..Settings::default() }
    }

    fn log(&self) -> Kafka {
        Kafka::new(&self.settings(), "test", Arc::new(SystemClock::new())).unwrap()
    }

    /// A log with this topic of two partitions.
    fn with(&self, topic: &str) -> (Kafka, Topic) {
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

fn need(topic: &Topic, partitions: u32) -> Needed {
    Needed { topic: topic.clone(), partitions, retention: Duration::from_secs(3600), foreign: false }
}

fn value(text: &str) -> NewRecord<'_> {
    NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() }
}

fn at(offset: u64, metadata: &[u8]) -> Committed {
    Committed { offset: Offset(offset), metadata: metadata.to_vec() }
}

/// Polls until there is an assignment of `count` partitions.
fn assigned(reader: &mut dyn Reader, count: usize) -> (Claim, Vec<(Partition, Option<Committed>)>) {
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
fn values(reader: &mut dyn Reader, count: usize) -> Vec<String> {
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

fn alone(log: &Kafka, topic: &Topic) -> Box<dyn Reader> {
    log.reader(&Subscription { group: None, topics: vec![topic.clone()] }).unwrap()
}

fn member(log: &Kafka, topic: &Topic) -> Box<dyn Reader> {
    log.reader(&Subscription { group: Some("g".to_owned()), topics: vec![topic.clone()] }).unwrap()
}

#[test]
fn transactions_groups_and_fencing_are_those_of_every_log() {
    let Some(cluster) = Cluster::start(1) else { return };
    plan_names_what_is_missing_and_apply_makes_it(&cluster);
    every_script_shows_what_it_shows_on_every_log(&cluster);
    a_member_without_partitions_gets_those_of_one_that_leaves(&cluster);
    a_position_outside_of_the_log_is_refused(&cluster);
}

fn plan_names_what_is_missing_and_apply_makes_it(cluster: &Cluster) {
    let (log, topic) = (cluster.log(), Topic::new("planned"));
    let plan = log.plan(&[need(&topic, 3)]).unwrap();
    assert!(matches!(plan.steps.as_slice(), [Step::Create { partitions: 3, .. }]), "{plan:?}");
    log.apply(&plan).unwrap();
    assert_eq!(log.plan(&[need(&topic, 3)]).unwrap(), Plan::default());
    assert_eq!(log.partitions(&topic).unwrap(), 3);
    let longer = Needed { retention: Duration::from_secs(7200), ..need(&topic, 3) };
    let plan = log.plan(std::slice::from_ref(&longer)).unwrap();
    assert_eq!(plan.steps.len(), 1, "{plan:?}");
    assert!(plan.steps[0].to_string().contains("retention.ms=7200000 (is 3600000)"), "{}", plan.steps[0]);
    log.apply(&plan).unwrap();
    assert!(log.plan(&[longer]).unwrap().is_done());
    let plan = log.plan(&[need(&topic, 5)]).unwrap();
    assert!(plan.refused[0].contains("has 3 partitions"), "{plan:?}");
    // Without `dev` one broker is not enough, and every reason says what to do.
    let strict = Kafka::new(&Settings { dev: false, ..cluster.settings() }, "test", Arc::new(SystemClock::new())).unwrap();
    let plan = strict.plan(&[need(&topic, 3)]).unwrap();
    let all = plan.refused.join("\n");
    for part in
        ["planned has 1 copies, and 3 are needed", "transaction.state.log.replication.factor is 1", "offsets.topic.replication.factor"]
    {
        assert!(all.contains(part), "{part}: {all}");
    }
    assert!(plan.steps.iter().any(|step| step.to_string().contains("min.insync.replicas=2")), "{plan:?}");
    let foreign = Needed { foreign: true, ..need(&Topic::new("theirs"), 1) };
    assert!(log.plan(&[foreign]).unwrap().refused[0].contains("topic theirs is missing"));
    let other = Settings { cluster: Some("other".into()), ..cluster.settings() };
    let plan = Kafka::new(&other, "test", Arc::new(SystemClock::new())).unwrap().plan(&[]).unwrap();
    assert!(plan.refused[0].contains("log.kafka.cluster wants other"), "{plan:?}");
}

/// The scripts of calibration, several at a time: they mostly wait for members to notice each other.
fn every_script_shows_what_it_shows_on_every_log(cluster: &Cluster) {
    let (log, scripts) = (cluster.log(), Script::all());
    let topics: Vec<Needed> = scripts.iter().flat_map(Script::topics).map(|(topic, partitions)| need(&topic, partitions)).collect();
    log.apply(&log.plan(&topics).unwrap()).unwrap();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
            // Missing topics are waited for, but not for ever.
            let log = cluster.log().impatient(Duration::from_secs(1));
            failures.lock().unwrap().extend(script.run(&log, Terms { open_shows: true, wait: Duration::from_millis(100) }).err());
        }
    };
    std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn a_member_without_partitions_gets_those_of_one_that_leaves(cluster: &Cluster) {
    let (log, topic) = (cluster.log(), Topic::new("idle-member"));
    log.apply(&log.plan(&[need(&topic, 1)]).unwrap()).unwrap();
    let mut members = [Some(member(&log, &topic)), None];
    assigned(&mut **members[0].as_mut().unwrap(), 1);
    members[1] = Some(member(&log, &topic));
    // How many partitions each has since the second one came.
    let mut has = [None, None];
    for _ in 0..100 {
        for (member, has) in members.iter_mut().zip(&mut has) {
            if let Polled::Assigned(assignment) = member.as_mut().unwrap().poll(WAIT).unwrap() {
                *has = Some(assignment.partitions.len());
            }
        }
        if has.iter().flatten().count() == 2 && has.iter().flatten().sum::<usize>() == 1 {
            break;
        }
    }
    let idle = has.iter().position(|count| *count == Some(0)).unwrap();
    members[1 - idle] = None;
    assigned(&mut **members[idle].as_mut().unwrap(), 1);
}

fn a_position_outside_of_the_log_is_refused(cluster: &Cluster) {
    let (log, topic) = cluster.with("truncated");
    let mut reader = member(&log, &topic);
    let (claim, partitions) = assigned(&mut *reader, 2);
    let mut writer = log.writer("truncated").unwrap();
    let beyond: Vec<_> = partitions.iter().map(|(p, _)| (p.clone(), at(99, b""))).collect();
    writer.commit(&claim, &beyond).unwrap();
    drop(reader);
    let mut reader = member(&log, &topic);
    let refused = (0..100).find_map(|_| reader.poll(WAIT).err());
    assert!(matches!(refused, Some(LogError::OutOfRange { position: Offset(99), end: Offset(0), .. })), "{refused:?}");
}

#[test]
fn a_broker_that_dies_costs_time_and_nothing_else() {
    let Some(cluster) = Cluster::start(1) else { return };
    let (log, topic) = cluster.with("crash");
    let zero = Partition::new(&topic, 0);
    let nobody = Claim { group: String::new(), member: 0, generation: 0 };
    let mut writer = log.writer("crash").unwrap();
    writer.append(&zero, value("before")).unwrap();
    writer.commit(&nobody, &[]).unwrap();
    writer.append(&zero, value("during")).unwrap();
    cluster.does("kill", "1");
    let outcome = writer.commit(&nobody, &[]);
    assert!(matches!(outcome, Err(CommitError::Aborted(_) | CommitError::Doubtful(_) | CommitError::Fenced(_))), "{outcome:?}");
    writer.abort();
    drop(writer);
    let refused = log.impatient(Duration::ZERO).bounds(&zero);
    assert!(matches!(&refused, Err(LogError::Engine(text)) if text.contains("log.kafka.bootstrap")), "{refused:?}");
    assert!(log.trouble().is_some_and(|text| text.contains("log.kafka.bootstrap")), "{:?}", log.trouble());
    cluster.does("restart", "1");
    let mut writer = log.writer("crash").unwrap();
    writer.append(&zero, value("after")).unwrap();
    writer.commit(&nobody, &[]).unwrap();
    let mut reader = alone(&log, &topic);
    let seen = values(&mut *reader, 2);
    assert!(seen == ["before", "after"] || seen == ["before", "during", "after"], "{seen:?}");
    // Clients notice one after the other that the broker is there again.
    let well = (0..100).any(|_| {
        drop(reader.poll(WAIT));
        log.trouble().is_none()
    });
    assert!(well, "{:?}", log.trouble());
}
