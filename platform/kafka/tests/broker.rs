//! The log on real brokers: each test that needs one starts its own cluster, and says `not run` where there is no Java or no Kafka.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

#[path = "common/cluster.rs"]
mod cluster;

use cluster::{Cluster, WAIT, alone, assigned, at, member, need, nothing, value, values};
use platform_core::log::{Claim, CommitError, Log, LogError, Polled, Positions, Reader, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::settings::{Protocol, Settings};
use platform_kafka::topics::{Needed, Plan, Step};
use platform_runtime::clock::SystemClock;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn transactions_groups_and_fencing_are_those_of_every_log() {
    let Some(cluster) = Cluster::start(1) else { return };
    plan_names_what_is_missing_and_apply_makes_it(&cluster);
    outputs_and_positions_are_visible_together_or_not_at_all(&cluster);
    records_come_back_as_they_were_written(&cluster);
    an_aborted_transaction_is_never_seen_and_reading_goes_back(&cluster);
    a_new_writer_fences_the_old_one_and_ends_its_transaction(&cluster);
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        members_share_partitions_and_only_the_newest_claims_commit(&cluster, protocol);
    }
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
    assert!(log.plan(&[foreign]).unwrap().awaited[0].contains("topic theirs is missing"));
    let other = Settings { cluster: Some("other".into()), ..cluster.settings() };
    let plan = Kafka::new(&other, "test", Arc::new(SystemClock::new())).unwrap().plan(&[]).unwrap();
    assert!(plan.awaited[0].contains("log.kafka.cluster wants other"), "{plan:?}");
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

/// Polls two members until each has one partition.
fn shared_out(mut readers: [&mut dyn Reader; 2]) -> Option<[(Claim, Partition); 2]> {
    let mut have = [None, None];
    for _ in 0..200 {
        for (reader, has) in readers.iter_mut().zip(&mut have) {
            if let Polled::Assigned(assignment) = reader.poll(WAIT).unwrap() {
                let mut partitions = assignment.partitions;
                *has = partitions.pop().filter(|_| partitions.is_empty()).map(|(partition, _)| (assignment.claim, partition));
            }
        }
        if let [Some(one), Some(other)] = &have {
            return Some([one.clone(), other.clone()]);
        }
    }
    None
}

fn members_share_partitions_and_only_the_newest_claims_commit(cluster: &Cluster, protocol: Protocol) {
    let name = format!("shared-{protocol:?}").to_lowercase();
    let topic = cluster.with(&name).1;
    let log = || Kafka::new(&Settings { protocol, ..cluster.settings() }, "test", Arc::new(SystemClock::new())).unwrap();
    let (log, other) = (log(), log());
    let mut first = member(&log, &topic);
    let (old, partitions) = assigned(&mut *first, 2);
    let all: Vec<_> = partitions.iter().map(|(p, _)| (p.clone(), at(0, b""))).collect();
    let mut writer = log.writer(&format!("{name}-first")).unwrap();
    writer.append(&all[0].0, value("alone")).unwrap();
    writer.commit(&old, &all).unwrap();
    // Another process joins; both go on polling until each has half.
    let mut second = member(&other, &topic);
    let [(mine, one), (theirs, two)] = shared_out([&mut *first, &mut *second]).unwrap();
    assert_ne!(one, two);
    writer.append(&all[0].0, value("zombie")).unwrap();
    let refused = writer.commit(&old, &all);
    assert!(matches!(refused, Err(CommitError::Aborted(_))), "{refused:?}");
    writer.abort();
    writer.append(&one, value("mine")).unwrap();
    writer.commit(&mine, &[(one.clone(), at(0, b"mine"))]).unwrap();
    let mut writer = other.writer(&format!("{name}-second")).unwrap();
    writer.append(&two, value("theirs")).unwrap();
    writer.commit(&theirs, &[(two.clone(), at(0, b"theirs"))]).unwrap();
    for (partition, beside) in [(&one, &b"mine"[..]), (&two, b"theirs")] {
        assert_eq!(log.committed("g", partition).unwrap().map(|committed| committed.metadata), Some(beside.to_vec()));
    }
    let mut seen = values(&mut *alone(&log, &topic), 3);
    seen.sort();
    assert_eq!(seen, ["alone", "mine", "theirs"]);
    // Who is left has all again.
    drop(second);
    assigned(&mut *first, 2);
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

#[test]
#[ignore = "a member has to stand still for more than a minute: `make faults`"]
fn a_member_that_stood_still_until_others_took_over_is_refused_by_the_broker() {
    let Some(cluster) = Cluster::start(1) else { return };
    std::thread::scope(|scope| {
        for protocol in [Protocol::Classic, Protocol::Consumer] {
            let cluster = &cluster;
            scope.spawn(move || stands_still(cluster, protocol));
        }
    });
}

fn stands_still(cluster: &Cluster, protocol: Protocol) {
    let name = format!("still-{protocol:?}").to_lowercase();
    let topic = cluster.with(&name).1;
    let log = || Kafka::new(&Settings { protocol, ..cluster.settings() }, "test", Arc::new(SystemClock::new())).unwrap();
    let group = |log: &Kafka| log.reader(&Subscription { group: Some(name.clone()), topics: vec![topic.clone()] }).unwrap();
    let (log, other) = (log(), log());
    let mut first = group(&log);
    let (old, partitions) = assigned(&mut *first, 2);
    let all: Vec<_> = partitions.iter().map(|(p, _)| (p.clone(), at(0, b""))).collect();
    let mut second = group(&other);
    // It goes on sending heartbeats, and is put out all the same, because it does not poll.
    let newer = (0..500).find_map(|_| match second.poll(WAIT).unwrap() {
        Polled::Assigned(assignment) if assignment.partitions.len() == 2 => Some(assignment.claim),
        _ => None,
    });
    let mut writer = log.writer(&format!("{name}-first")).unwrap();
    writer.append(&all[0].0, value("zombie")).unwrap();
    let refused = writer.commit(&old, &all);
    assert!(matches!(refused, Err(CommitError::Aborted(_))), "{protocol:?}: {refused:?}");
    writer.abort();
    let mut writer = other.writer(&format!("{name}-second")).unwrap();
    writer.append(&all[0].0, value("theirs")).unwrap();
    writer.commit(&newer.unwrap(), &all).unwrap();
    assert_eq!(values(&mut *alone(&other, &topic), 1), ["theirs"]);
}
