//! The log on real brokers: each test that needs one starts its own cluster, and says `not run` where there is no Java or no Kafka.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

#[path = "common/cluster.rs"]
mod cluster;

use cluster::{Cluster, WAIT, alone, assigned, at, member, need, value, values};
use platform_core::log::{Claim, CommitError, Log, LogError, Polled, Reader, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::settings::{Protocol, Settings};
use platform_kafka::topics::{Needed, Plan, Step};
use platform_runtime::clock::SystemClock;
use platform_testkit::calibration::{Script, Terms};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn transactions_groups_and_fencing_are_those_of_every_log() {
    let Some(cluster) = Cluster::start(1) else { return };
    plan_names_what_is_missing_and_apply_makes_it(&cluster);
    every_script_shows_what_it_shows_on_every_log(&cluster);
    a_member_without_partitions_gets_those_of_one_that_leaves(&cluster);
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        members_share_partitions_and_only_the_newest_claims_commit(&cluster, protocol);
    }
    a_position_outside_of_the_log_is_refused(&cluster);
    members_leave_out_headers_of_topics_that_need_none(&cluster);
    records_keep_their_order_over_seeks_in_the_middle_of_runs(&cluster);
    a_large_record_comes_whole(&cluster);
}

fn records_keep_their_order_over_seeks_in_the_middle_of_runs(cluster: &Cluster) {
    const RECORDS: u64 = 3000;
    let (log, topic) = cluster.with("runs");
    let producer = log.producer().unwrap();
    let texts: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
    for run in texts.chunks(250) {
        let records: Vec<NewRecord<'_>> = run.iter().map(|text| value(text)).collect();
        for index in 0..2 {
            producer.append(&Partition::new(&topic, index), &records).unwrap();
        }
    }
    // By members, who are assigned anew each time, and by a reader that is told its partitions once.
    for kind in ["member", "member", "alone"] {
        let mut reader = if kind == "alone" { alone(&log, &topic) } else { member(&log, &topic) };
        assigned(&mut *reader, 2);
        let mut next = [0_u64; 2];
        let mut polls = 0;
        while next.iter().any(|at| *at < RECORDS) {
            polls += 1;
            assert!(polls < 2000, "{next:?}");
            if let Polled::Batch(batch) = reader.poll(WAIT).unwrap() {
                let at = &mut next[batch.partition.index as usize];
                for record in batch.iter() {
                    assert_eq!((record.offset, record.value), (Offset(*at), Some(at.to_string().as_bytes())));
                    *at += 1;
                }
            }
            for (index, at) in next.iter_mut().enumerate() {
                let of = Partition::new(&topic, index as u32);
                assert_eq!(reader.position(&of), Offset(*at), "{kind}, partition {index}, {polls} polls");
                // Back a little or a lot, in the middle of what the client has fetched, now of one partition and then of the other.
                if *at > 0 && polls < 30 && polls % 3 == index {
                    *at = at.saturating_sub(150 * polls as u64);
                    reader.seek(&[(of, Offset(*at))].into()).unwrap();
                }
            }
        }
    }
}

fn a_large_record_comes_whole(cluster: &Cluster) {
    let (log, topic) = cluster.with("large");
    // Larger than what is asked for at once, and of bytes that do not compress.
    let mut state = 1_u32;
    let random = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let large: Vec<u8> = (0..3 << 20).map(random).collect();
    let records = [value("before"), NewRecord { value: Some(&large), ..NewRecord::default() }, value("after")];
    log.producer().unwrap().append(&Partition::new(&topic, 0), &records).unwrap();
    let mut reader = alone(&log, &topic);
    let mut sizes = Vec::new();
    for _ in 0..100 {
        if sizes.len() == 3 {
            break;
        }
        if let Polled::Batch(batch) = reader.poll(WAIT).unwrap() {
            sizes.extend(batch.iter().map(|record| record.value.unwrap().len()));
        }
    }
    assert_eq!(sizes, [6, 3 << 20, 5]);
}

fn members_leave_out_headers_of_topics_that_need_none(cluster: &Cluster) {
    let (log, bare) = cluster.with("bare");
    let (_, full) = cluster.with("full");
    let log = log.without_headers(vec![bare.clone()]);
    let producer = log.producer().unwrap();
    for topic in [&bare, &full] {
        let headers = [("x", b"y".as_slice())];
        producer.append(&Partition::new(topic, 0), &[NewRecord { headers: &headers, ..value("v") }]).unwrap();
    }
    let seen = |mut reader: Box<dyn Reader>| {
        (0..100).find_map(|_| match reader.poll(WAIT).unwrap() {
            Polled::Batch(batch) => batch.iter().map(|r| (r.value == Some(b"v"), r.headers.get("x") == Some(b"y"))).next(),
            _ => None,
        })
    };
    let group = |topic: &Topic| Subscription { group: Some("bare".to_owned()), topics: vec![topic.clone()] };
    assert_eq!(seen(log.reader(&group(&bare)).unwrap()), Some((true, false)));
    assert_eq!(seen(log.reader(&group(&full)).unwrap()), Some((true, true)));
    assert_eq!(seen(alone(&log, &bare)), Some((true, true)), "who reads alone may be asked for headers by a person");
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
            let failure = script.run(&log, Terms { open_shows: true, wait: Duration::from_millis(100) }).err();
            failures.lock().unwrap().extend(failure);
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
