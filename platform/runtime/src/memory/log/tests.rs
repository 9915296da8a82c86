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
fn a_transaction_is_seen_whole_or_not_at_all() {
    let (log, topic) = log_of(2, TopicSettings::default());
    let (a, b) = (Partition::new(&topic, 0), Partition::new(&topic, 1));
    let mut all = log.reader(&Subscription { group: None, topics: vec![topic.clone()] }).unwrap();
    let claim = assignment(&mut *member(&log, &topic)).claim; // gone by now
    let mut writer = log.writer("w").unwrap();
    writer.append(&a, value("1")).unwrap();
    writer.append(&b, value("2")).unwrap();
    assert!(values(&mut *all).is_empty());
    assert!(matches!(writer.commit(&claim, &[(a.clone(), at(0))]), Err(CommitError::Fenced(_))));
    writer.abort();

    let mut reader = member(&log, &topic);
    let claim = assignment(&mut *reader).claim;
    writer.append(&a, value("3")).unwrap();
    writer.append(&b, value("4")).unwrap();
    assert_eq!(writer.commit(&claim, &[(a.clone(), at(1))]), Ok(AppendTime(77)));
    assert_eq!([values(&mut *all), values(&mut *all)].concat(), ["3", "4"]);
    assert_eq!(log.committed("g", &a).unwrap(), Some(at(1)));
    assert_eq!(log.committed("g", &b).unwrap(), None);
}

#[test]
fn a_newer_writer_of_the_same_id_fences_the_older() {
    let (log, topic) = log_of(1, TopicSettings::default());
    let mut reader = member(&log, &topic);
    let claim = assignment(&mut *reader).claim;
    let mut old = log.writer("w").unwrap();
    old.append(&Partition::new(&topic, 0), value("zombie")).unwrap();
    log.writer("w").unwrap().commit(&claim, &[]).unwrap();
    assert!(matches!(old.commit(&claim, &[]), Err(CommitError::Fenced(_))));
    assert!(values(&mut *reader).is_empty());
}

#[test]
fn members_share_by_range_and_an_older_generation_commits_nothing() {
    let (log, topic) = log_of(5, TopicSettings::default());
    let mut first = member(&log, &topic);
    let before = assignment(&mut *first);
    assert_eq!(before.partitions.len(), 5);
    let mut second = member(&log, &topic);
    let mut writer = log.writer("w").unwrap();
    assert!(matches!(writer.commit(&before.claim, &[]), Err(CommitError::Aborted(_))));
    let indexes = |a: Assignment| a.partitions.iter().map(|(p, _)| p.index).collect::<Vec<_>>();
    assert_eq!((indexes(assignment(&mut *first)), indexes(assignment(&mut *second))), (vec![0, 1, 2], vec![3, 4]));
    log.evict("g");
    assert!(matches!(writer.commit(&before.claim, &[]), Err(CommitError::Fenced(_))));
    assert_eq!(indexes(assignment(&mut *first)), [0, 1, 2, 3, 4]); // it joined again, alone
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
