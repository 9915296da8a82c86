//! What leaves for whom, over windows, corrections, restarts and moves.

use super::*;
use crate::aggregate::Aggregate;
use crate::emit::outbox::Chunk;
use crate::emit::prometheus::points::Value;
use crate::emit::record::{Final, RecordEncoder, Subject};
use crate::emit::remote_write::{Shown, encode_v1};
use crate::event::Event;
use crate::outcome::Outcome;
use crate::signal::completeness::Completeness;
use crate::signal::health::{DEFAULT_RULE_SHA256, Health, Level, Reason};
use platform_core::record::{BatchBuffer, Partition, Topic, put_headers};
use platform_core::time::SECOND;
use platform_core::window::WindowLength;
use platform_runtime::memory::MemoryStore;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

/// A partition of the public topic: value and headers of each record.
#[derive(Default)]
pub(crate) struct Log(pub(crate) Vec<(Vec<u8>, Vec<u8>)>);

impl Log {
    pub(crate) fn push(&mut self, headers: &[(&str, &[u8])], value: &[u8]) {
        let mut encoded = Vec::new();
        put_headers(&mut encoded, headers);
        self.0.push((encoded, value.to_vec()));
    }

    /// `ok` requests of 20 ms and one error of each of these types, in the minute `minute`; totals, whatever the revision.
    pub(crate) fn result(&mut self, service: &str, minute: i64, revision: u64, ok: u64, errors: &[&str]) {
        self.result_of(service, None, minute, revision, ok, errors);
    }

    /// The same of an operation.
    pub(crate) fn result_of(&mut self, service: &str, operation: Option<&str>, minute: i64, revision: u64, ok: u64, errors: &[&str]) {
        let grouping = if operation.is_some() { "service_operation" } else { "service" };
        let dimensions: Vec<(&str, &str)> = operation.iter().map(|operation| ("operation", *operation)).collect();
        let mut aggregate = Aggregate::default();
        let event = |outcome, error_type| Event {
            event_time: EventTime(minute * MINUTE + 1),
            duration: Some(20_000_000),
            outcome,
            error_type,
            ..Event::EMPTY
        };
        (0..ok).for_each(|n| aggregate.add(&event(Outcome::Ok, ""), n));
        errors.iter().for_each(|name| aggregate.add(&event(Outcome::Error, name), 0));
        let mut value = Vec::new();
        let level = if errors.is_empty() { Level::Healthy } else { Level::Critical };
        let result = Final {
            subject: Subject { tenant: "default", namespace: "", service, grouping, dimensions: &dimensions, overflow: false },
            window_start: EventTime(minute * MINUTE),
            window: WindowLength::new(Duration::from_secs(60)).unwrap(),
            revision,
            completeness: Completeness::FULL,
            aggregate: &aggregate,
            saturation: None,
            health: operation.is_none().then_some(Health { level: Some(level), reason: Reason::Rule, previous: Level::Healthy }),
            override_version: 0,
            override_sha256: DEFAULT_RULE_SHA256,
            sources: None,
        };
        RecordEncoder::default().put_final(&result, &mut value);
        let (mut identity, mut integers) = (Vec::new(), Vec::new());
        let id = Identity {
            window_start: EventTime(minute * MINUTE),
            window_nanos: MINUTE,
            tenant: "default".to_owned(),
            namespace: String::new(),
            service: service.to_owned(),
            grouping: grouping.to_owned(),
            dimensions: operation.iter().map(|operation| (*operation).to_owned()).collect(),
        };
        id.encode(&mut identity);
        aggregate.encode(&mut integers);
        self.push(&[(SCHEMA, SCHEMA_SIGNALS.as_bytes()), (IDENTITY, &identity), (AGGREGATE, &integers)], &value);
    }

    /// The minute is done.
    pub(crate) fn progress(&mut self, minute: i64) {
        let value = format!(r#"{{"window_start":{},"window_end":{}}}"#, minute * MINUTE, (minute + 1) * MINUTE);
        self.push(&[(SCHEMA, SCHEMA_PROGRESS.as_bytes())], value.as_bytes());
    }
}

/// A stage with its store and outbox.
pub(crate) struct Sink {
    outbox: Arc<Outbox>,
    store: MemoryStore,
    stage: Push,
    position: usize,
}

impl Sink {
    pub(crate) fn new(store: MemoryStore, committed: &[u8], position: usize) -> Self {
        Self::limited(store, committed, position, 1 << 20)
    }

    pub(crate) fn with_growth(store: MemoryStore) -> Self {
        let mut sink = Self::new(store, &[], 0);
        sink.stage.growth = true;
        sink
    }

    fn limited(store: MemoryStore, committed: &[u8], position: usize, limit: usize) -> Self {
        let outbox = Arc::new(Outbox::new(limit));
        let mut stage = Push::new(&outbox, 0, 120 * MINUTE, 10 * MINUTE);
        stage.restore(&store, committed).unwrap();
        Self { outbox, store, stage, position }
    }

    pub(crate) fn read_one(&mut self, log: &Log) {
        let (headers, value) = &log.0[self.position];
        let mut buffer = BatchBuffer::default();
        buffer.start(&Partition::new(&Topic::new("public"), 0));
        buffer.push(Offset(self.position as u64), None, None, headers, Some(value));
        for record in buffer.batch().unwrap().iter() {
            self.stage.apply(&record, &self.store).unwrap();
        }
        self.position += 1;
    }

    pub(crate) fn commit(&mut self) -> Vec<u8> {
        let committed = self.stage.metadata();
        let mut changes = Changes::default();
        self.stage.changes(&mut changes);
        self.store.write(&changes, Offset(self.position as u64)).unwrap();
        committed
    }

    pub(crate) fn read(&mut self, log: &Log) {
        while self.position < log.0.len() {
            self.read_one(log);
        }
        self.commit();
    }

    /// Takes all that waits.
    pub(crate) fn send(&self) -> Vec<Chunk> {
        let mut sent = vec![];
        while let Some((partition, chunk)) = self.outbox.next(Duration::ZERO) {
            self.outbox.sent(partition, &chunk);
            sent.push((*chunk).clone());
        }
        sent
    }
}

/// What a chunk says of one metric: `minute of the sample: labels = value`, with `+0` where a zero belongs before it.
fn told(chunks: &[Chunk], family: &str) -> Vec<String> {
    let mut lines = vec![];
    for chunk in chunks {
        let samples = Samples::decode(&chunk.body).unwrap();
        for entry in &samples.entries {
            let service = entry.labels().iter().find(|(name, _)| name == "service_name").unwrap().1.clone();
            let ended = if entry.kind() == Kind::Ended { " ended" } else { "" };
            entry.points(samples.window, &mut |point| {
                if point.family.name == family {
                    let value = match point.value {
                        Value::Count(count) => count.to_string(),
                        Value::Number(number) => number.to_string(),
                        Value::Absent => "absent".to_owned(),
                        Value::Durations(buckets) => format!("{} in {:.3}", buckets.count(), buckets.sum_seconds()),
                    };
                    let labels: Vec<&str> = point.labels.iter().map(|(_, value)| *value).collect();
                    let fresh = if point.fresh { " +0" } else { "" };
                    let end = samples.window.end.0 / MINUTE;
                    lines.push(format!("{end}: {service} {} = {value}{fresh}{ended}", labels.join(",")));
                }
            });
        }
    }
    lines
}

const REQUESTS: &str = "golden_signals_requests_total";
const ERRORS: &str = "golden_signals_errors_total";

#[test]
fn every_window_has_one_sample_of_each_series_and_a_new_counter_a_zero_before_it() {
    let (mut log, mut sink) = (Log::default(), Sink::new(MemoryStore::default(), &[], 0));
    log.result("cart", 10, 0, 3, &[]);
    log.result("shop", 10, 0, 1, &[]);
    log.progress(10);
    log.result("cart", 11, 0, 2, &["timeout"]);
    log.progress(11);
    log.result("cart", 12, 0, 0, &["timeout"]);
    log.progress(12);
    sink.read(&log);
    let sent = sink.send();
    assert_eq!(told(&sent, REQUESTS), ["11: cart  = 3 +0", "11: shop  = 1 +0", "12: cart  = 6", "13: cart  = 7"]);
    assert_eq!(
        told(&sent, ERRORS),
        ["11: cart  = 0 +0", "11: shop  = 0 +0", "12: cart  = 0", "12: cart timeout = 1 +0", "13: cart  = 0", "13: cart timeout = 2"]
    );
    assert_eq!(
        told(&sent, "golden_signals_request_duration_seconds"),
        [
            "11: cart ok = 3 in 0.060 +0",
            "11: shop ok = 1 in 0.020 +0",
            "12: cart ok = 5 in 0.100",
            "12: cart error = 1 in 0.020 +0",
            "13: cart ok = 5 in 0.100",
            "13: cart error = 2 in 0.040"
        ]
    );
    assert!(told(&sent, "golden_signals_availability_ratio").contains(&"13: cart  = 0".to_owned()));
    assert_eq!(sent.last().unwrap().through, Offset(7));
}

#[test]
fn a_correction_shows_in_the_next_window_and_rewrites_no_gauge() {
    let (mut log, mut sink) = (Log::default(), Sink::new(MemoryStore::default(), &[], 0));
    log.result("cart", 10, 0, 3, &[]);
    log.progress(10);
    log.result("cart", 10, 1, 5, &[]);
    log.progress(11);
    sink.read(&log);
    let sent = sink.send();
    assert_eq!(told(&sent, REQUESTS), ["11: cart  = 3 +0", "12: cart  = 5"]);
    assert_eq!(told(&sent, "golden_signals_availability_ratio"), ["11: cart  = 1"]);
    assert_eq!(told(&sent, "golden_signals_corrections_total"), ["11: cart  = 0 +0", "12: cart  = 1"]);
}

/// A few windows with everything in them.
fn busy() -> Log {
    let mut log = Log::default();
    for minute in 10..24 {
        if minute < 12 {
            log.result("brief", minute, 0, 1, &[]);
        }
        log.result("cart", minute, 0, 3, if minute % 2 == 0 { &[] } else { &["timeout", "reset"] });
        if minute == 15 {
            log.result("cart", 12, 1, 4, &["late"]);
        }
        log.progress(minute);
    }
    log
}

#[test]
fn a_kill_at_any_record_changes_no_byte_of_what_is_sent() {
    let log = busy();
    let mut whole = Sink::new(MemoryStore::default(), &[], 0);
    whole.read(&log);
    let wanted = whole.send();
    assert_eq!(told(&wanted, REQUESTS).iter().filter(|line| line.ends_with("ended")).count(), 1);
    for (at, kept) in (0..log.0.len()).flat_map(|at| [(at, at), (at, at.saturating_sub(2))]) {
        let mut first = Sink::new(MemoryStore::default(), &[], 0);
        while first.position < kept {
            first.read_one(&log);
        }
        first.commit();
        // Committed in the log, and then killed before the store had it.
        while first.position < at {
            first.read_one(&log);
        }
        let committed = first.stage.metadata();
        let (mut sent, store) = (first.send(), first.store.fork());
        drop(first);
        let mut second = Sink::new(store, &committed, kept);
        second.read(&log);
        // What was sent and not deleted is sent again, the same.
        let again = second.send();
        sent.retain(|chunk| again.iter().all(|other| other.number != chunk.number));
        sent.extend(again);
        assert_eq!(sent, wanted, "killed at record {at}, store at {kept}");
    }
}

#[test]
fn what_is_sent_is_deleted_and_what_is_not_is_shown_again() {
    let log = busy();
    let mut sink = Sink::new(MemoryStore::default(), &[], 0);
    while sink.position < log.0.len() - 1 {
        sink.read_one(&log);
    }
    sink.commit();
    let sent = sink.send();
    assert!(sink.outbox.size() == 0 && sink.outbox.oldest().is_none());
    sink.read(&log);
    let Sink { store, .. } = sink;
    let again = Sink::new(store, &[], log.0.len());
    let left = again.send();
    assert_eq!((left.len(), left[0].number), (1, sent.len() as u64));
}

#[test]
fn a_series_that_ends_says_so_once_and_begins_anew_when_it_comes_back() {
    let mut log = busy();
    log.result("brief", 30, 0, 7, &[]);
    log.progress(30);
    let mut sink = Sink::new(MemoryStore::default(), &[], 0);
    sink.read(&log);
    let brief: Vec<String> = told(&sink.send(), REQUESTS).into_iter().filter(|line| line.contains("brief")).collect();
    assert_eq!(brief, ["11: brief  = 1 +0", "12: brief  = 2", "24: brief  = 2 ended", "31: brief  = 7 +0"]);
}

#[test]
fn a_new_beginning_counts_on_behind_what_was_sent() {
    let (mut log, mut first) = (Log::default(), Sink::new(MemoryStore::default(), &[], 0));
    log.result("cart", 10, 0, 3, &[]);
    log.progress(10);
    log.result("cart", 11, 0, 2, &[]);
    first.read(&log);
    assert_eq!(first.send().len(), 1);
    log.progress(11);
    log.result("cart", 10, 1, 4, &[]);
    log.progress(12);
    first.read(&log);
    let (old, committed) = (first.store.fork(), first.commit());
    assert_eq!(first.stage.replay_from(Offset(6)), Offset(0));
    // Another process, whose store is empty. It cannot know whether the window of minute 11 and the correction were sent.
    log.result("cart", 13, 0, 5, &[]);
    log.progress(13);
    let mut second = Sink::new(MemoryStore::default(), &committed, 0);
    second.read(&log);
    let sent = second.send();
    assert_eq!(told(&sent, REQUESTS), ["14: cart  = 8 +0"]);
    assert_eq!(told(&sent, "golden_signals_availability_ratio"), ["12: cart  = 1", "14: cart  = 1"]);
    assert_eq!(Samples::decode(&sent[0].body).unwrap().incarnation, 2);
    // The first one may not go on with what it has.
    let committed = second.commit();
    let mut stage = Push::new(&Arc::new(Outbox::new(1)), 0, MINUTE, MINUTE);
    assert!(matches!(stage.restore(&old, &committed), Err(StageError::Unreadable { .. })));
}

/// What a receiver has of a counter: by ms, and the first value for each, as Prometheus keeps it.
fn received(chunks: &[Chunk], family: &str, service: &str, into: &mut BTreeMap<i64, f64>) {
    let shown = Shown { native: false, ..Shown::default() };
    for chunk in chunks {
        for series in encode_v1(&Samples::decode(&chunk.body).unwrap(), &shown) {
            let has = |name: &str, value: &str| series.labels.iter().any(|label| label.name == name && label.value == value);
            if has("__name__", family) && has("service_name", service) {
                for sample in &series.samples {
                    into.entry(sample.timestamp).or_insert(sample.value);
                }
            }
        }
    }
}

/// `increase()` over all of it: a value that is less than the one before counts from 0.
fn increase(samples: &BTreeMap<i64, f64>) -> f64 {
    let values: Vec<f64> = samples.values().copied().collect();
    values.windows(2).map(|two| if two[1] < two[0] { two[1] } else { two[1] - two[0] }).sum()
}

#[test]
fn a_lost_store_doubles_at_most_what_was_sent_and_not_noted() {
    let log = busy();
    let all = |chunks: &[Chunk]| {
        let mut samples = BTreeMap::new();
        received(chunks, REQUESTS, "cart", &mut samples);
        samples
    };
    let mut whole = Sink::new(MemoryStore::default(), &[], 0);
    whole.read(&log);
    let truth = increase(&all(&whole.send()));
    assert_eq!(truth, 58.0, "of a process that never stopped");
    let mut doubled = 0;
    for (at, noted, unnoted) in (0..log.0.len() - 2).flat_map(|at| (0..4).flat_map(move |noted| (0..3).map(move |rest| (at, noted, rest))))
    {
        let mut first = Sink::new(MemoryStore::default(), &[], 0);
        while first.position < at {
            first.read_one(&log);
        }
        first.commit();
        let take = |most: usize| {
            let next = || first.outbox.next(Duration::ZERO).inspect(|(partition, chunk)| first.outbox.sent(*partition, chunk));
            std::iter::from_fn(next).take(most).map(|(_, chunk)| (*chunk).clone()).collect::<Vec<Chunk>>()
        };
        // Behind in sending by some windows; those of `unnoted` were through when the machine was lost.
        let mut sent = if noted == 3 { take(usize::MAX) } else { take(noted) };
        let committed = first.stage.metadata();
        let before = increase(&all(&sent));
        sent.extend(take(unnoted));
        let lost = increase(&all(&sent)) - before;
        drop(first);
        let mut second = Sink::new(MemoryStore::default(), &committed, 0);
        second.read(&log);
        sent.extend(second.send());
        let counted = increase(&all(&sent));
        assert_eq!(counted, truth + lost, "lost at record {at}, {noted} noted, {unnoted} sent and not noted");
        doubled += u32::from(lost > 0.0);
    }
    assert!(doubled > 50, "{doubled}");
}

#[test]
fn a_full_outbox_takes_no_more_until_something_was_sent() {
    let (mut log, mut sink) = (Log::default(), Sink::limited(MemoryStore::default(), &[], 0, 100));
    assert!(sink.stage.goes_on());
    log.result("cart", 10, 0, 3, &[]);
    log.progress(10);
    sink.read_one(&log);
    assert!(sink.stage.goes_on());
    sink.read_one(&log);
    assert!(!sink.stage.goes_on(), "it counts what is not in the store yet");
    sink.commit();
    assert!(!sink.stage.goes_on());
    assert_eq!(sink.send().len(), 1);
    assert!(sink.stage.goes_on());
}

#[test]
fn many_series_leave_in_several_chunks_of_which_the_last_one_stands_for_the_window() {
    let (mut log, mut sink) = (Log::default(), Sink::new(MemoryStore::default(), &[], 0));
    (0..600).for_each(|n| log.result(&format!("s{n}"), 10, 0, 1, &[]));
    log.progress(10);
    sink.read(&log);
    let sent = sink.send();
    assert_eq!(sent.iter().map(|chunk| chunk.through.0).collect::<Vec<_>>(), [0, 0, 601]);
    assert_eq!(told(&sent, REQUESTS).len(), 600);
}
