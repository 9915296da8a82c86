//! What only this log does; what every log does is in the scripts of calibration.

use super::*;

struct Stopped;

impl Clock for Stopped {
    fn wall(&self) -> i64 {
        77
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

fn log_of(partitions: u32, settings: TopicSettings) -> (MemoryLog, Topic) {
    let log = MemoryLog::new(AppendTimes::Clock(Arc::new(Stopped)));
    let topic = Topic::new("t");
    log.create_topic(&topic, partitions, settings);
    (log, topic)
}

fn member(log: &MemoryLog, topic: &Topic) -> Box<dyn Reader> {
    log.reader(&Subscription { group: Some("g".into()), topics: vec![topic.clone()] }).unwrap()
}

fn assignment(reader: &mut dyn Reader) -> Assignment {
    match reader.poll(Duration::ZERO).unwrap() {
        Polled::Assigned(assignment) => assignment,
        other => panic!("no assignment but {other:?}"),
    }
}

fn values(reader: &mut dyn Reader) -> Vec<String> {
    match reader.poll(Duration::ZERO).unwrap() {
        Polled::Batch(batch) => batch.iter().map(|r| String::from_utf8_lossy(r.value.unwrap()).into_owned()).collect(),
        Polled::Nothing => Vec::new(),
        other => panic!("no records but {other:?}"),
    }
}

fn value(text: &str) -> NewRecord<'_> {
    NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() }
}

fn at(offset: u64) -> Committed {
    Committed { offset: Offset(offset), metadata: Vec::new() }
}

#[test]
fn a_member_that_was_put_out_commits_nothing_and_joins_again() {
    let (log, topic) = log_of(2, TopicSettings::default());
    let partition = Partition::new(&topic, 0);
    let mut reader = member(&log, &topic);
    let claim = assignment(&mut *reader).claim;
    log.evict("g");
    let mut writer = log.writer("w").unwrap();
    assert!(matches!(writer.commit(&claim, &[(partition.clone(), at(1))]), Err(CommitError::Aborted(_))));
    let again = assignment(&mut *reader);
    assert_eq!(again.partitions.len(), 2);
    writer.commit(&again.claim, &[(partition, at(1))]).unwrap();
}

#[test]
fn markers_use_offsets_and_reading_goes_past_them_to_the_end() {
    let (log, topic) = log_of(1, TopicSettings { markers: true, ..TopicSettings::default() });
    let partition = Partition::new(&topic, 0);
    let mut reader = member(&log, &topic);
    let claim = assignment(&mut *reader).claim;
    let mut writer = log.writer("w").unwrap();
    for text in ["a", "b"] {
        writer.append(&partition, value(text)).unwrap();
        writer.commit(&claim, &[]).unwrap();
    }
    assert_eq!(values(&mut *reader), ["a", "b"]);
    assert_eq!((reader.position(&partition), reader.end(&partition).unwrap()), (Offset(4), Some(Offset(4))));
    reader.seek(&Positions::from([(partition.clone(), Offset(3))])).unwrap();
    assert!(values(&mut *reader).is_empty());
    assert_eq!(reader.position(&partition), Offset(4));
}

#[test]
fn what_a_group_has_read_can_be_forgotten_and_is_not_read_as_if_empty() {
    let (log, topic) = log_of(1, TopicSettings { forget_after_read: true, ..TopicSettings::default() });
    let partition = Partition::new(&topic, 0);
    log.producer().unwrap().append(&partition, &[value("a"), value("b"), value("c")]).unwrap();
    let mut reader = member(&log, &topic);
    let claim = assignment(&mut *reader).claim;
    log.writer("w").unwrap().commit(&claim, &[(partition.clone(), at(2))]).unwrap();
    assert_eq!(log.bounds(&partition).unwrap(), (Offset(2), Offset(3)));
    assert!(matches!(reader.poll(Duration::ZERO), Err(LogError::OutOfRange { .. })));
    reader.seek(&Positions::from([(partition, Offset(2))])).unwrap();
    assert_eq!(values(&mut *reader), ["c"]);
}
