use super::*;
use platform_core::record::NewRecord;
use platform_core::time::SECOND;
use platform_runtime::memory::{AppendTimes, MemoryLog, TopicSettings};
use platform_testkit::clock::SimClock;

#[test]
fn a_tail_begins_at_a_time_and_reads_on_from_where_it_ended() {
    let clock = Arc::new(SimClock::at(0));
    let memory = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as _));
    let topic = Topic::new("t");
    memory.create_topic(&topic, 2, TopicSettings::default());
    let log: Arc<dyn Log> = Arc::new(memory);
    let producer = log.producer().unwrap();
    let put = |partition, n: u64| {
        clock.advance(Duration::from_secs(1));
        producer
            .append(&Partition::new(&topic, partition), &[NewRecord { value: Some(&n.to_be_bytes()), ..NewRecord::default() }])
            .unwrap();
    };
    (0..500).for_each(|n| put(0, n));
    let from = back_to(&log, &topic, &|newest| newest - 20 * SECOND).unwrap();
    let begins = from[&Partition::new(&topic, 0)].0;
    assert!((300..480).contains(&begins), "{begins}");
    let mut tail = Tail::new(Arc::clone(&log), &topic, from);
    let read = |tail: &mut Tail| {
        let mut all = vec![];
        assert!(tail.read(&mut |partition, record| all.push((partition, record.offset.0))).unwrap());
        all
    };
    assert_eq!(read(&mut tail), (begins..500).map(|n| (0, n)).collect::<Vec<_>>());
    put(1, 7);
    put(0, 8);
    let mut next = read(&mut tail);
    next.sort_unstable();
    assert_eq!(next, [(0, 500), (1, 0)]);
    assert_eq!(read(&mut tail), []);
}

#[test]
fn a_topic_that_is_not_there_is_an_error_and_an_empty_one_is_read_to_its_end() {
    let memory = MemoryLog::new(AppendTimes::None);
    let topic = Topic::new("t");
    let log: Arc<dyn Log> = Arc::new(memory.clone());
    assert!(matches!(back_to(&log, &topic, &|_| 0), Err(LogError::UnknownTopic(_))));
    memory.create_topic(&topic, 1, TopicSettings::default());
    let from = back_to(&log, &topic, &|_| 0).unwrap();
    assert!(Tail::new(log, &topic, from).read(&mut |_, _| panic!("a record")).unwrap());
}
