//! The log on real brokers: each test that needs one starts its own cluster, and says `not run` where there is no Java or no Kafka.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use platform_core::log::{Claim, CommitError, Committed, Log, LogError, Polled, Positions, Reader, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::settings::Settings;
use platform_kafka::topics::{Needed, Plan, Step};
use platform_runtime::clock::SystemClock;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
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

/// That nothing comes.
fn nothing(reader: &mut dyn Reader) {
    for _ in 0..5 {
        match reader.poll(WAIT).unwrap() {
            Polled::Batch(batch) => panic!("{} records came", batch.len()),
            Polled::Assigned(_) | Polled::Nothing => {}
        }
    }
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
    outputs_and_positions_are_visible_together_or_not_at_all(&cluster);
    records_come_back_as_they_were_written(&cluster);
    an_aborted_transaction_is_never_seen_and_reading_goes_back(&cluster);
    a_new_writer_fences_the_old_one_and_ends_its_transaction(&cluster);
    a_claim_from_before_a_change_of_members_is_refused(&cluster);
    a_member_without_partitions_gets_those_of_one_that_leaves(&cluster);
    the_end_counts_open_transactions_and_the_position_reaches_it(&cluster);
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

fn outputs_and_positions_are_visible_together_or_not_at_all(cluster: &Cluster) {
    let (log, input) = cluster.with("atomic-in");
    let (_, output) = cluster.with("atomic-out");
    let zero = Partition::new(&output, 0);
    let mut reader = member(&log, &input);
    let (claim, partitions) = assigned(&mut *reader, 2);
    assert!(partitions.iter().all(|(_, committed)| committed.is_none()));
    let mut writer = log.writer("atomic").unwrap();
    let mut outside = alone(&log, &output);
    writer.append(&zero, value("a")).unwrap();
    writer.append(&Partition::new(&output, 1), value("b")).unwrap();
    nothing(&mut *outside);
    let read: Vec<_> = partitions.iter().map(|(p, _)| (p.clone(), at(0, b"beside\0"))).collect();
    let newest = writer.commit(&claim, &read).unwrap();
    assert!(newest.0 > 1_700_000_000_000_000_000, "{newest:?}");
    let mut seen = values(&mut *outside, 2);
    seen.sort();
    assert_eq!(seen, ["a", "b"]);
    for (partition, committed) in &read {
        assert_eq!(log.committed("g", partition).unwrap().as_ref(), Some(committed));
    }
    assert_eq!(log.committed("other", &read[0].0).unwrap(), None);
}

fn records_come_back_as_they_were_written(cluster: &Cluster) {
    let (log, topic) = cluster.with("content");
    let one = Partition::new(&topic, 1);
    let headers: [(&str, &[u8]); 2] = [("schema", b"x/1"), ("empty", b"")];
    let producer = log.producer().unwrap();
    let large = "y".repeat(3 << 20);
    let records = [
        NewRecord { key: Some(b"k"), headers: &headers, value: Some(b"v") },
        NewRecord { key: None, headers: &[], value: None },
        value(&large),
    ];
    assert_eq!(producer.append(&one, &records).unwrap(), Offset(0));
    assert_eq!(producer.append(&one, &records[..1]).unwrap(), Offset(3));
    let mut reader = alone(&log, &topic);
    let mut seen = 0;
    for _ in 0..50 {
        let Polled::Batch(batch) = reader.poll(WAIT).unwrap() else { continue };
        assert_eq!(*batch.partition, one);
        for record in batch.iter() {
            assert_eq!(record.offset, Offset(seen));
            assert!(record.append_time.is_some());
            match seen {
                0 | 3 => {
                    assert_eq!((record.key, record.value), (Some(&b"k"[..]), Some(&b"v"[..])));
                    assert_eq!((record.headers.get("schema"), record.headers.get("empty")), (Some(&b"x/1"[..]), Some(&b""[..])));
                }
                1 => assert_eq!((record.key, record.value), (None, None)),
                _ => assert_eq!(record.value.map(<[u8]>::len), Some(large.len())),
            }
            seen += 1;
        }
        if seen == 4 {
            break;
        }
    }
    assert_eq!((seen, reader.position(&one), reader.end(&one).unwrap()), (4, Offset(4), Some(Offset(4))));
    assert_eq!(log.bounds(&one).unwrap(), (Offset(0), Offset(4)));
}

fn an_aborted_transaction_is_never_seen_and_reading_goes_back(cluster: &Cluster) {
    let (log, topic) = cluster.with("aborted");
    let zero = Partition::new(&topic, 0);
    log.producer().unwrap().append(&zero, &[value("1"), value("2"), value("3")]).unwrap();
    let mut writer = log.writer("aborting").unwrap();
    writer.append(&zero, value("never")).unwrap();
    writer.abort();
    let mut reader = member(&log, &topic);
    let (claim, partitions) = assigned(&mut *reader, 2);
    assert_eq!(values(&mut *reader, 3), ["1", "2", "3"]);
    reader.seek(&Positions::from([(zero.clone(), Offset(1))])).unwrap();
    assert_eq!(values(&mut *reader, 2), ["2", "3"]);
    nothing(&mut *reader);
    // The offsets of what was aborted are stepped over.
    assert_eq!(Some(reader.position(&zero)), reader.end(&zero).unwrap());
    let read: Vec<_> = partitions.iter().map(|(p, _)| (p.clone(), at(reader.position(p).0, b""))).collect();
    writer.append(&zero, value("4")).unwrap();
    writer.commit(&claim, &read).unwrap();
    assert_eq!(values(&mut *reader, 1), ["4"]);
    drop(reader);
    let mut again = member(&log, &topic);
    let (_, partitions) = assigned(&mut *again, 2);
    assert_eq!(partitions[0].1.as_ref().map(|c| c.offset), Some(read[0].1.offset));
    assert_eq!(values(&mut *again, 1), ["4"], "it goes on from what was committed");
}

fn a_new_writer_fences_the_old_one_and_ends_its_transaction(cluster: &Cluster) {
    let (log, topic) = cluster.with("fenced");
    let zero = Partition::new(&topic, 0);
    let nobody = Claim { group: String::new(), member: 0, generation: 0 };
    let mut old = log.writer("slot").unwrap();
    old.append(&zero, value("old")).unwrap();
    let mut new = log.writer("slot").unwrap();
    new.append(&zero, value("new")).unwrap();
    new.commit(&nobody, &[]).unwrap();
    let refused = old.commit(&nobody, &[]);
    assert!(matches!(refused, Err(CommitError::Fenced(_))), "{refused:?}");
    let mut reader = alone(&log, &topic);
    assert_eq!(values(&mut *reader, 1), ["new"]);
    nothing(&mut *reader);
}

fn a_claim_from_before_a_change_of_members_is_refused(cluster: &Cluster) {
    let (log, topic) = cluster.with("zombie");
    let mut first = member(&log, &topic);
    let (claim, partitions) = assigned(&mut *first, 2);
    let mut writer = log.writer("zombie").unwrap();
    let all: Vec<_> = partitions.iter().map(|(p, _)| (p.clone(), at(0, b""))).collect();
    // Another process joins; the first one goes on polling until it has lost half.
    let other = cluster.log();
    let mut second = member(&other, &topic);
    let mut news = None;
    let mut theirs = None;
    for _ in 0..200 {
        if let Polled::Assigned(assignment) = first.poll(WAIT).unwrap() {
            news = Some(assignment).filter(|a| a.partitions.len() == 1);
        }
        if let Polled::Assigned(assignment) = second.poll(WAIT).unwrap() {
            theirs = Some(assignment).filter(|a| a.partitions.len() == 1);
        }
        if news.is_some() && theirs.is_some() {
            break;
        }
    }
    let (news, theirs) = (news.unwrap(), theirs.unwrap());
    assert_ne!(news.partitions[0].0, theirs.partitions[0].0);
    writer.append(&all[0].0, value("zombie")).unwrap();
    let refused = writer.commit(&claim, &all);
    assert!(matches!(refused, Err(CommitError::Aborted(_))), "{refused:?}");
    writer.abort();
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

fn the_end_counts_open_transactions_and_the_position_reaches_it(cluster: &Cluster) {
    let (log, topic) = cluster.with("ends");
    let zero = Partition::new(&topic, 0);
    let nobody = Claim { group: String::new(), member: 0, generation: 0 };
    let mut writer = log.writer("open").unwrap();
    writer.append(&zero, value("1")).unwrap();
    writer.commit(&nobody, &[]).unwrap();
    let mut open = log.writer("still-open").unwrap();
    open.append(&zero, value("2")).unwrap();
    // Written, not committed: reported once the broker has it.
    let mut reader = alone(&log, &topic);
    assert_eq!(values(&mut *reader, 1), ["1"]);
    for _ in 0..50 {
        if reader.end(&zero).unwrap() == Some(Offset(3)) {
            break;
        }
        nothing(&mut *reader);
    }
    assert_eq!(reader.end(&zero).unwrap(), Some(Offset(3)), "record, marker, open record");
    assert!(reader.position(&zero) < Offset(3));
    open.commit(&nobody, &[]).unwrap();
    assert_eq!(values(&mut *reader, 1), ["2"]);
    for _ in 0..50 {
        nothing(&mut *reader);
        if Some(reader.position(&zero)) == reader.end(&zero).unwrap() {
            break;
        }
    }
    assert_eq!(reader.position(&zero), Offset(4));
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
