//! What only this log does; what every log does is in the scripts of calibration.

use super::*;
use platform_core::log::{Claim, CommitError, Polled};
use platform_core::time::SECOND;

fn world() -> (SimLog, Partition) {
    let log = SimLog::new(Seed::new(1), Arc::new(SimClock::at(1_000 * SECOND)));
    let topic = Topic::new("t");
    log.create_topic(&topic, 2, Duration::ZERO);
    (log, Partition::new(&topic, 0))
}

fn calm() -> Chances {
    Chances::default()
}

fn record(text: &str) -> NewRecord<'_> {
    NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() }
}

fn nobody() -> Claim {
    Claim { group: String::new(), member: 0, generation: 0 }
}

fn visible(log: &SimLog, partition: &Partition) -> Vec<String> {
    let mut all = Vec::new();
    log.visible(partition, Offset(0), |record| all.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap()));
    all
}

fn member(log: &SimLog, group: &str) -> Box<dyn Reader> {
    log.reader(&Subscription { group: Some(group.to_owned()), topics: vec![Topic::new("t")] }).unwrap()
}

fn assigned(reader: &mut dyn Reader) -> platform_core::log::Assignment {
    for _ in 0..100 {
        if let Polled::Assigned(assignment) = reader.poll(Duration::ZERO).unwrap() {
            return assignment;
        }
    }
    panic!("no assignment came");
}

#[test]
fn an_open_transaction_moves_the_end_and_hides_what_lies_behind_it() {
    let (log, zero) = world();
    let mut writer = log.writer("w").unwrap();
    writer.append(&zero, record("open")).unwrap();
    log.producer().unwrap().append(&zero, &[record("behind")]).unwrap();
    assert_eq!(log.bounds(&zero).unwrap().1, Offset(2));
    assert_eq!(visible(&log, &zero), [""; 0]);
    writer.commit(&nobody(), &[]).unwrap();
    log.pass(Duration::ZERO);
    assert_eq!(visible(&log, &zero), ["open", "behind"]);
    assert_eq!(log.bounds(&zero).unwrap().1, Offset(3), "the marker uses an offset");
}

#[test]
fn markers_come_after_the_answer_when_they_are_late() {
    let (log, zero) = world();
    log.set_chances(Chances { late_markers: 1000, ..calm() });
    let mut writer = log.writer("w").unwrap();
    writer.append(&zero, record("late")).unwrap();
    writer.commit(&nobody(), &[]).unwrap();
    assert_eq!(visible(&log, &zero), [""; 0]);
    log.pass(Duration::from_secs(5));
    assert_eq!(visible(&log, &zero), ["late"]);
}

#[test]
fn an_end_that_comes_late_is_refused_once_a_new_writer_has_come_and_taken_when_none_has() {
    for renewed in [true, false] {
        let (log, zero) = world();
        log.set_chances(Chances { late: 1000, ..calm() });
        let mut writer = log.writer("w").unwrap();
        writer.append(&zero, record("x")).unwrap();
        assert!(matches!(writer.commit(&nobody(), &[]), Err(CommitError::Doubtful(_))));
        log.set_chances(calm());
        if renewed {
            drop(log.writer("w").unwrap());
        }
        // Longer than any request is late, in steps: the transaction itself runs out after ten seconds.
        log.pass(Duration::from_secs(31));
        let arrived = log.injected().contains_key("late end arrived");
        let expired = log.injected().contains_key("transaction timed out");
        assert_eq!(visible(&log, &zero).len(), usize::from(arrived));
        assert_eq!((renewed, arrived || expired), (renewed, !renewed));
    }
}

#[test]
fn a_transaction_that_stays_open_is_ended_and_its_writer_fenced() {
    let (log, zero) = world();
    let mut writer = log.writer("w").unwrap();
    writer.append(&zero, record("x")).unwrap();
    log.pass(TRANSACTION);
    assert!(matches!(writer.commit(&nobody(), &[]), Err(CommitError::Fenced(_))));
    assert_eq!(visible(&log, &zero), [""; 0]);
}

#[test]
fn a_dead_process_keeps_its_partitions_for_a_session_and_a_paused_one_is_put_out() {
    let (log, _) = world();
    let (one, two) = (log.of_process(1), log.of_process(2));
    let mut first = member(&one, "g");
    assert_eq!(assigned(&mut *first).partitions.len(), 2);
    one.kill(1);
    drop(first);
    let mut second = member(&two, "g");
    assert_eq!(assigned(&mut *second).partitions.len(), 1, "the dead one still counts");
    log.pass(SESSION);
    assert_eq!(assigned(&mut *second).partitions.len(), 2);
    log.pause(2);
    log.pass(SESSION);
    log.resume(2);
    let again = assigned(&mut *second);
    assert_eq!(again.partitions.len(), 2, "it joins again when it goes on");
}

#[test]
fn who_is_cut_off_hears_nothing_doubts_what_it_commits_and_is_put_out() {
    let (log, zero) = world();
    let (one, two) = (log.of_process(1), log.of_process(2));
    let mut first = member(&one, "g");
    let claim = assigned(&mut *first).claim;
    let (mut before, mut within) = (one.writer("before").unwrap(), one.writer("within").unwrap());
    before.append(&zero, record("before")).unwrap();
    let until = one.now() + Duration::from_secs(60);
    one.cut_off(1, until);
    log.producer().unwrap().append(&zero, &[record("seen by others")]).unwrap();
    assert!(matches!(first.poll(Duration::ZERO).unwrap(), Polled::Nothing));
    assert_eq!(first.end(&zero).unwrap(), None);
    within.append(&zero, record("within")).unwrap();
    for writer in [&mut before, &mut within] {
        assert!(matches!(writer.commit(&claim, &[]), Err(CommitError::Doubtful(_))));
    }
    assert!(one.producer().unwrap().append(&zero, &[record("alone")]).is_err());
    log.pass(SESSION);
    let mut second = member(&two, "g");
    assert_eq!(assigned(&mut *second).partitions.len(), 2, "the other one is out of the group");
    log.pass(until.saturating_sub(one.now()));
    assert_eq!(one.is_cut_off(1), None);
    assert_eq!(visible(&log, &zero), ["seen by others"], "what it had begun has run out");
    assert_eq!(assigned(&mut *first).partitions.len(), 1, "it joins again");
}

#[test]
fn who_leaves_while_it_is_cut_off_keeps_its_partitions_for_a_session() {
    let (log, _) = world();
    let (one, two) = (log.of_process(1), log.of_process(2));
    let mut first = member(&one, "g");
    assert_eq!(assigned(&mut *first).partitions.len(), 2);
    one.cut_off(1, one.now() + Duration::from_secs(1));
    drop(first);
    let mut second = member(&two, "g");
    assert_eq!(assigned(&mut *second).partitions.len(), 1, "nobody heard that it left");
    log.pass(SESSION);
    assert_eq!(assigned(&mut *second).partitions.len(), 2);
}

#[test]
fn an_assignment_waits_for_positions_in_an_open_transaction() {
    let (log, zero) = world();
    log.set_chances(Chances { lost: 1000, ..calm() });
    let mut first = member(&log.of_process(1), "g");
    let claim = assigned(&mut *first).claim;
    let mut writer = log.writer("w").unwrap();
    let at = vec![(zero.clone(), Committed { offset: Offset(7), metadata: Vec::new() })];
    assert!(matches!(writer.commit(&claim, &at), Err(CommitError::Doubtful(_))));
    log.set_chances(calm());
    drop(first);
    let mut second = member(&log.of_process(2), "g");
    assert!(matches!(second.poll(Duration::ZERO).unwrap(), Polled::Nothing));
    log.pass(TRANSACTION);
    let share = assigned(&mut *second).partitions;
    assert!(share.iter().all(|(_, committed)| committed.is_none()), "it was never committed");
}

#[test]
fn a_partition_without_a_leader_is_not_read_has_no_known_end_and_holds_up_no_other() {
    let (log, zero) = world();
    let one = Partition::new(&zero.topic, 1);
    let producer = log.producer().unwrap();
    producer.append(&zero, &[record("0")]).unwrap();
    producer.append(&one, &[record("1")]).unwrap();
    log.lose_leader(&zero, Duration::from_secs(20));
    log.schedule(Duration::from_secs(1), Arrival { to: zero.clone(), value: Some(b"later".to_vec()), transaction: None });
    let mut reader = log.reader(&Subscription { group: None, topics: vec![zero.topic.clone()] }).unwrap();
    assigned(&mut *reader);
    let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() else { panic!("nothing came") };
    assert_eq!(batch.partition, &one);
    assert_eq!((reader.end(&zero).unwrap(), reader.end(&one).unwrap()), (None, Some(Offset(1))));
    log.pass(Duration::from_secs(20));
    assert_eq!(visible(&log, &zero), ["0", "later"]);
}

#[test]
fn the_same_seed_gives_the_same_faults() {
    let faults = |seed| {
        let log = SimLog::new(Seed::new(seed), Arc::new(SimClock::at(0)));
        let topic = Topic::new("t");
        log.create_topic(&topic, 1, Duration::from_millis(500));
        log.set_chances(Chances { refused: 300, unanswered: 300, late_markers: 500, slow: 100, ..calm() });
        let outcomes: Vec<_> = (0..50)
            .map(|_| {
                let mut writer = log.writer("w").unwrap();
                writer.append(&Partition::new(&topic, 0), record("x")).unwrap();
                writer.commit(&nobody(), &[])
            })
            .collect();
        (format!("{outcomes:?}"), log.injected())
    };
    assert_eq!(faults(3), faults(3));
    assert_ne!(faults(3).0, faults(4).0);
}
