//! CLOSE driven by partials: messages in, records out, without a log.

use super::*;
use crate::emit::read::PublicRecord;
use crate::event::Event;
use crate::fold::partial::{Range, put_entry};
use crate::identity::sortable;
use crate::outcome::Outcome;
use crate::overrides::activation::Activation;
use crate::overrides::record::Activate;
use crate::resource::{Instance, Measure};
use crate::series::OVERFLOW;
use golden_overrides::archive::Files;
use platform_core::log::CommitError;
use platform_core::record::{Headers, NewRecord, Partition};
use platform_core::time::{AppendTime, SECOND};
use platform_runtime::memory::MemoryStore;
use std::time::Duration;

const EPOCH: u32 = 1;

/// Everything that came out, one text for each record, and how many bytes of it.
#[derive(Default)]
struct Out {
    texts: Vec<String>,
    raw: Vec<Vec<u8>>,
    size: usize,
}

impl Emit for Out {
    fn append(&mut self, _: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        let value = record.value.unwrap();
        let header = |name| record.headers.iter().find(|(n, _)| *n == name).map(|(_, v)| String::from_utf8_lossy(v).into_owned()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(value).unwrap();
        let text = match header(crate::names::SCHEMA).as_str() {
            crate::names::SCHEMA_PROGRESS => {
                format!("done {} finals={} events={}", json["window_start"].as_i64().unwrap() / SECOND, json["finals"], json["events"])
            }
            crate::names::SCHEMA_LATE => format!("late {} {} events={}", json["service"].as_str().unwrap(), seconds(&json), json["events"]),
            _ => {
                let r = PublicRecord::parse(value).unwrap();
                let dimensions: Vec<&str> = r.dimensions.values().map(|v| &**v).collect();
                let health = r.health.as_ref().map_or(String::new(), |h| format!(" {}<{}", h.state, h.previous));
                let used = r.saturation.as_ref().map_or(String::new(), |s| format!(" {}={}", s.resource, s.ratio));
                format!(
                    "{}[{}] {} events={} errors={} late={} complete={}{health}{used}",
                    r.service,
                    dimensions.join(","),
                    seconds(&json),
                    r.events,
                    r.errors.count,
                    r.late_events,
                    r.completeness
                )
            }
        };
        self.texts.push(text);
        let mut raw = value.to_vec();
        for (name, value) in record.headers {
            raw.extend_from_slice(name.as_bytes());
            raw.extend_from_slice(value);
        }
        self.size += raw.len();
        self.raw.push(raw);
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }
}

/// Seconds of a record's window start, within the first hour of 1970.
fn seconds(json: &serde_json::Value) -> u64 {
    let start = json["window_start"].as_str().unwrap();
    let number = |at: usize| start[at..at + 2].parse::<u64>().unwrap();
    number(11) * 3600 + number(14) * 60 + number(17)
}

fn settings() -> CloseSettings {
    let groupings =
        std::collections::BTreeMap::from([("service".to_owned(), vec![]), ("service_operation".to_owned(), vec!["operation".to_owned()])]);
    CloseSettings {
        stamp: Stamp { colour: "blue", epoch: EPOCH, tenant: "t".into() },
        owned_from: 0,
        groupings: Groupings::new(&groupings).unwrap(),
        window: WindowLength::new(Duration::from_secs(60)).unwrap(),
        retain: 600 * SECOND,
        hold: 45 * SECOND,
        series_ttl: 300 * SECOND,
        caps: Caps { series_per_service: 100, services: 100, series_total: 1000 },
        min_completeness: Completeness::FULL,
        empty_windows: false,
        health_of_all: false,
        histogram: false,
        suppress_low_confidence: false,
        keep: Keep::All,
        declared: vec![0],
        signals: Topic::new("signals"),
        partitions: 1,
    }
}

/// `count` events of which `errors` are errors, with hashes from `from` on.
fn events(count: u64, errors: u64, from: u64) -> Aggregate {
    let mut aggregate = Aggregate::default();
    for n in 0..count {
        let bad = n < errors;
        let event = Event {
            duration: Some(1_000_000 + n),
            outcome: if bad { Outcome::Error } else { Outcome::Ok },
            error_type: if bad { "e" } else { "" },
            ..Event::EMPTY
        };
        aggregate.add(&event, (from + n).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
    aggregate
}

/// Window, kind, series, encoded content.
type Entry<'a> = (i64, EntryKind, &'a str, Vec<u8>);

fn encoded(aggregate: &Aggregate) -> Vec<u8> {
    let mut out = Vec::new();
    aggregate.encode(&mut out);
    out
}

fn key(series: &str) -> Vec<u8> {
    let (service, operation) = series.split_once('/').unwrap_or((series, ""));
    if series.contains('/') { format!("t\0\0{service}\0{operation}\0").into_bytes() } else { format!("t\0\0{service}\0").into_bytes() }
}

fn folded(window: i64, series: &str, count: u64) -> Entry<'_> {
    (window, EntryKind::Folded, series, encoded(&events(count, 0, 7)))
}

fn late(window: i64, service: &str, count: u64) -> Entry<'_> {
    (window, EntryKind::Late, service, encoded(&events(count, 0, 7)))
}

fn unique(window: i64, series: &str, id: u128) -> Entry<'_> {
    (window, EntryKind::Unique(id), series, encoded(&events(1, 0, id as u64)))
}

/// What one instance used of its processors, in millionths of two cores.
fn gauge<'a>(window: i64, service: &'a str, instance: &str, used: u64) -> Entry<'a> {
    let mut resources = Resources::default();
    resources.note(Instance::of(instance, ""), Measure::CpuUsed, 2 * used);
    resources.note(Instance::of(instance, ""), Measure::CpuLimit, 2_000_000);
    let mut out = Vec::new();
    resources.encode(&mut out);
    (window, EntryKind::Gauges, service, out)
}

/// Source, from, to, watermark in seconds.
fn range(source: u32, from: u64, to: u64, watermark: i64) -> Range {
    Range { source, from: Offset(from), to: Offset(to), idle: from == to, watermark: EventTime(watermark * SECOND) }
}

fn chunk(head: &Head, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut head = head.clone();
    head.windows = entries.iter().map(|e| EventTime(e.0 * SECOND)).collect();
    let mut bytes = Vec::new();
    head.encode(&mut bytes);
    for (place, (_, kind, series, content)) in entries.iter().enumerate() {
        put_entry(place, *kind, &key(series), &mut bytes);
        bytes.extend_from_slice(content);
    }
    bytes
}

fn head(ranges: &[Range]) -> Head {
    Head { epoch: EPOCH, last: true, ranges: ranges.to_vec(), ..Head::default() }
}

fn message(ranges: &[Range], entries: &[Entry<'_>]) -> Vec<u8> {
    chunk(&head(ranges), entries)
}

struct Run {
    close: Close,
    store: MemoryStore,
    out: Out,
    next: u64,
    /// Append time of the next message, in seconds.
    now: i64,
    budget: usize,
}

impl Run {
    fn new(settings: &CloseSettings) -> Self {
        Self::over(settings, MemoryStore::default(), 0)
    }

    fn over(settings: &CloseSettings, store: MemoryStore, next: u64) -> Self {
        Self::ruled(settings, Rules::none(), store, next)
    }

    fn ruled(settings: &CloseSettings, rules: Arc<Rules>, store: MemoryStore, next: u64) -> Self {
        let mut close = Close::new(settings.clone(), 0, rules, Arc::default());
        close.restore(&store, b"").unwrap();
        Self { close, store, out: Out::default(), next, now: i64::try_from(next).unwrap(), budget: usize::MAX }
    }

    fn apply_only(&mut self, value: &[u8]) {
        let append_time = Some(AppendTime(self.now * SECOND));
        let record = Record { offset: Offset(self.next), append_time, key: None, headers: Headers::default(), value: Some(value) };
        self.close.apply(&record, &self.store).unwrap();
        self.next += 1;
        self.now += 1;
    }

    /// Applies a message and emits what is due; no commit.
    fn apply(&mut self, value: &[u8]) {
        self.apply_only(value);
        assert_eq!(self.close.emit_due(self.budget, &self.store, &mut self.out).unwrap(), Emitted::All);
    }

    fn commit(&mut self) {
        self.close.emit_at_commit(&self.store, &mut self.out).unwrap();
        self.save();
    }

    fn save(&mut self) {
        let mut changes = Changes::default();
        self.close.changes(&mut changes);
        self.store.write(&changes, Offset(self.next)).unwrap();
    }

    /// Applies and commits, and gives what came out.
    fn step(&mut self, value: &[u8]) -> Vec<String> {
        self.apply(value);
        self.commit();
        self.taken()
    }

    fn taken(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out).texts
    }
}

#[test]
fn a_window_closes_exactly_when_the_watermark_equals_its_end_with_what_it_holds_then() {
    let mut run = Run::new(&settings());
    assert!(run.step(&message(&[range(0, 0, 1, 59)], &[folded(0, "a/x", 2), folded(60, "a/x", 9)])).is_empty());
    let mut just_before = range(0, 1, 2, 60);
    just_before.watermark = EventTime(60 * SECOND - 1);
    assert!(run.step(&message(&[just_before], &[folded(0, "a/y", 1)])).is_empty());
    // The message that closes it brings an event of it too; what comes in the same commit after it does not count.
    run.apply(&message(&[range(0, 2, 3, 60)], &[folded(0, "a/x", 1)]));
    assert_eq!(
        run.taken(),
        [
            "a[] 0 events=4 errors=0 late=0 complete=1 healthy<0",
            "a[x] 0 events=3 errors=0 late=0 complete=1",
            "a[y] 0 events=1 errors=0 late=0 complete=1",
            "done 0 finals=3 events=4"
        ]
    );
    run.apply(&message(&[range(0, 3, 4, 61)], &[folded(0, "a/x", 5)]));
    run.commit();
    assert_eq!(run.taken(), ["a[] 0 events=9 errors=0 late=5 complete=1 healthy<0", "a[x] 0 events=8 errors=0 late=5 complete=1"]);
}

#[test]
fn corrections_carry_full_totals_once_in_a_commit() {
    let mut run = Run::new(&settings());
    run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 2), folded(0, "b/x", 1)]));
    run.apply(&message(&[range(0, 1, 2, 60)], &[folded(0, "a/x", 3)]));
    run.apply(&message(&[range(0, 2, 3, 60)], &[folded(0, "a/y", 4), folded(0, "a/x", 1)]));
    assert!(run.out.texts.is_empty());
    run.commit();
    let expected = [
        "a[] 0 events=10 errors=0 late=8 complete=1 healthy<0",
        "a[x] 0 events=6 errors=0 late=4 complete=1",
        "a[y] 0 events=4 errors=0 late=4 complete=1",
    ];
    assert_eq!(run.taken(), expected);
    run.commit();
    assert!(run.taken().is_empty());
    assert_eq!(run.step(&message(&[range(0, 3, 4, 60)], &[folded(0, "a/x", 1)]))[1], "a[x] 0 events=7 errors=0 late=5 complete=1");
}

#[test]
fn nothing_leaves_of_windows_before_the_first_that_is_answered_for() {
    let owned_from = u64::from_be_bytes(sortable(EventTime(120 * SECOND)));
    let owns = CloseSettings { owned_from, empty_windows: true, ..settings() };
    let mut run = Run::new(&owns);
    assert!(run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 2), late(0, "a", 1), folded(60, "a/x", 1)])).is_empty());
    // Neither a correction, nor a line of the ledger, nor a final.
    assert!(run.step(&message(&[range(0, 1, 2, 120)], &[folded(0, "a/x", 3), late(0, "a", 1)])).is_empty());
    let told = run.step(&message(&[range(0, 2, 3, 180)], &[folded(120, "a/x", 1)]));
    assert_eq!(told.last().unwrap(), "done 120 finals=2 events=1");
    // A window that began before it and is corrected beside one that is answered for.
    let told = run.step(&message(&[range(0, 3, 4, 180)], &[folded(60, "a/x", 1), folded(120, "a/x", 1)]));
    assert!(told.len() == 2 && told.iter().all(|text| text.contains(" 120 ")), "{told:?}");
    // A restart is no reason to say more.
    let Run { store, next, .. } = run;
    let told = Run::over(&owns, store, next).step(&message(&[range(0, 4, 5, 240)], &[folded(60, "a/x", 1)]));
    assert_eq!(told.last().unwrap(), "done 180 finals=1 events=0");
}

#[test]
fn what_was_passed_over_is_not_asked_for_again() {
    let mut run = Run::new(&settings());
    run.next = 7;
    let foreign = Head { epoch: EPOCH + 1, ..head(&[range(0, 0, 9, 600)]) };
    assert!(run.step(&chunk(&foreign, &[folded(0, "a/x", 1)])).is_empty());
    assert_eq!(run.close.replay_from(Offset(8)), Offset(8));
}

#[test]
fn a_foreign_epoch_is_passed_over() {
    let mut run = Run::new(&settings());
    let foreign = Head { epoch: EPOCH + 1, ..head(&[range(0, 0, 9, 600)]) };
    assert!(run.step(&chunk(&foreign, &[folded(0, "a/x", 9)])).is_empty());
    assert_eq!(run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 1)]))[0], "a[] 0 events=1 errors=0 late=0 complete=1 healthy<0");
}

#[test]
fn i4_a_replayed_message_counts_nothing() {
    let mut run = Run::new(&settings());
    let first = message(&[range(0, 0, 5, 10)], &[folded(0, "a/x", 2)]);
    run.step(&first);
    run.step(&first);
    assert_eq!(run.step(&message(&[range(0, 5, 6, 60)], &[]))[0], "a[] 0 events=2 errors=0 late=0 complete=1 healthy<0");
}

#[test]
fn i4_a_gap_makes_open_windows_incomplete_for_good_and_later_ones_not() {
    let mut run = Run::new(&settings());
    run.step(&message(&[range(0, 0, 5, 10)], &[folded(0, "a/x", 2)]));
    run.step(&message(&[range(0, 6, 7, 59)], &[folded(0, "a/x", 1)]));
    let closing = run.step(&message(&[range(0, 7, 8, 60)], &[folded(60, "a/x", 1)]));
    assert_eq!(closing[0], "a[] 0 events=3 errors=0 late=0 complete=0 unknown<0");
    assert_eq!(run.step(&message(&[range(0, 8, 9, 120)], &[]))[0], "a[] 60 events=1 errors=0 late=0 complete=1 healthy<0");
}

#[test]
fn i4_a_gap_reaches_up_to_the_logs_time_whatever_was_said_of_time() {
    let mut run = Run::new(&settings());
    run.step(&message(&[range(0, 0, 5, 10)], &[folded(0, "a/x", 2)]));
    run.now = 70;
    // A FOLD that has begun again: what is missing may be of a window newer than all that it has said.
    run.step(&message(&[range(0, 6, 6, 10)], &[]));
    let closing = run.step(&message(&[range(0, 6, 8, 180)], &[folded(60, "a/x", 1), folded(120, "a/x", 1)]));
    assert_eq!(closing[0], "a[] 0 events=2 errors=0 late=0 complete=0 unknown<0");
    assert!(closing.iter().any(|line| line.starts_with("a[] 60 events=1 errors=0 late=0 complete=0 unknown")), "{closing:?}");
    assert!(closing.iter().any(|line| line.starts_with("a[] 120 events=1 errors=0 late=0 complete=1 healthy")), "{closing:?}");
}

#[test]
fn i4_a_missing_chunk_makes_its_windows_incomplete() {
    let mut run = Run::new(&settings());
    let ranges = [range(0, 0, 5, 10)];
    let first = Head { last: false, ..head(&ranges) };
    let third = Head { chunk: 2, ..head(&ranges) };
    run.step(&chunk(&first, &[folded(0, "a/x", 2)]));
    run.step(&chunk(&third, &[folded(0, "a/y", 1)]));
    assert_eq!(run.step(&message(&[range(0, 5, 6, 60)], &[]))[0], "a[] 0 events=3 errors=0 late=0 complete=0 unknown<0");
}

#[test]
fn chunks_of_a_message_count_together_and_close_behind_the_last() {
    let mut run = Run::new(&settings());
    let ranges = [range(0, 0, 5, 60)];
    assert!(run.step(&chunk(&Head { last: false, ..head(&ranges) }, &[folded(0, "a/x", 2)])).is_empty());
    assert_eq!(
        run.step(&chunk(&Head { chunk: 1, ..head(&ranges) }, &[folded(0, "a/x", 1)]))[0],
        "a[] 0 events=3 errors=0 late=0 complete=1 healthy<0"
    );
}

fn two_sources() -> CloseSettings {
    CloseSettings { declared: vec![0, 1], empty_windows: true, ..settings() }
}

/// Source 1 says something once and is then silent for longer than `hold`.
fn with_an_absent_source() -> (Run, Vec<String>) {
    let mut run = Run::new(&two_sources());
    run.step(&message(&[range(0, 0, 1, 30), range(1, 0, 1, 0)], &[folded(0, "a/x", 2), folded(0, "quiet/x", 1)]));
    let mut seen = vec![];
    for second in 1..=80 {
        let entries = if second == 40 { vec![folded(60, "a/x", 3)] } else { vec![] };
        seen.extend(run.step(&message(&[range(0, second, second + 1, 60 + second as i64)], &entries)));
    }
    (run, seen)
}

#[test]
fn an_absent_partition_makes_windows_incomplete_and_its_return_completes_them() {
    let (mut run, seen) = with_an_absent_source();
    assert_eq!(seen.iter().filter(|t| t.contains("complete=0.5")).count(), 7, "{seen:?}");
    assert_eq!(seen[0], "a[] 0 events=2 errors=0 late=0 complete=0.5 unknown<0");
    assert!(seen.contains(&"quiet[] 60 events=0 errors=0 late=0 complete=0.5 unknown<0".to_owned()), "{seen:?}");
    // It comes back, late for the first window, which becomes whole; then the second, with the service that had nothing in it.
    let back = run.step(&message(&[range(1, 1, 2, 60)], &[folded(0, "a/x", 1)]));
    let first = ["a[] 0 events=3 errors=0 late=1 complete=1 healthy<0", "a[x] 0 events=3 errors=0 late=1 complete=1"];
    assert_eq!(
        back,
        [&first[..], &["quiet[] 0 events=1 errors=0 late=0 complete=1 healthy<0", "quiet[x] 0 events=1 errors=0 late=0 complete=1"]]
            .concat()
    );
    let back = run.step(&message(&[range(1, 2, 3, 120)], &[]));
    assert_eq!(
        back,
        [
            "a[] 60 events=3 errors=0 late=0 complete=1 healthy<0",
            "a[x] 60 events=3 errors=0 late=0 complete=1",
            "quiet[] 60 events=0 errors=0 late=0 complete=1 healthy<0"
        ]
    );
    assert!(run.step(&message(&[range(1, 3, 4, 130)], &[])).is_empty(), "once");
}

#[test]
fn windows_are_kept_until_every_partition_is_retain_past_them_absent_ones_too() {
    let (mut run, _) = with_an_absent_source();
    run.step(&message(&[range(0, 81, 82, 5000)], &[]));
    assert!(
        run.step(&message(&[range(1, 1, 2, 1)], &[folded(0, "a/x", 1)]))
            .contains(&"a[x] 0 events=3 errors=0 late=1 complete=0.5".to_owned())
    );
    let key = in_window(KeyKind::Aggregate, EventTime(0), &key("a/x"));
    run.step(&message(&[range(1, 2, 3, 659)], &[]));
    // Purging goes with the next closing or correction.
    run.step(&message(&[range(1, 3, 4, 659)], &[folded(60, "a/x", 1)]));
    assert!(run.store.get(&key).unwrap().is_some());
    assert_eq!(run.close.purged_through, EventTime(0), "the router forgets what starts before this");
    run.step(&message(&[range(1, 4, 5, 660)], &[folded(60, "a/x", 1)]));
    run.step(&message(&[range(1, 5, 6, 660)], &[]));
    assert!(run.store.get(&key).unwrap().is_none());
    assert_eq!(run.close.purged_through, EventTime(60 * SECOND));
}

#[test]
fn a_silent_service_has_empty_records_until_its_ttl_also_when_later_windows_have_events() {
    let mut run = Run::new(&CloseSettings { empty_windows: true, ..settings() });
    run.step(&message(&[range(0, 0, 1, 30)], &[folded(0, "a/x", 1), folded(120, "a/x", 1)]));
    let seen = run.step(&message(&[range(0, 1, 2, 900)], &[]));
    let empty: Vec<String> = seen.iter().filter(|t| t.contains("events=0") && !t.starts_with("done")).cloned().collect();
    let expected: Vec<String> =
        [60, 180, 240, 300, 360, 420].iter().map(|s| format!("a[] {s} events=0 errors=0 late=0 complete=1 healthy<0")).collect();
    assert_eq!(empty, expected, "silent at 60, and for 300 s behind 120, only as a whole");
    assert!(run.step(&message(&[range(0, 2, 3, 2000)], &[])).is_empty(), "nobody is known any more");
}

#[test]
fn a_level_is_the_next_windows_previous_and_corrections_keep_the_one_first_used() {
    let mut run = Run::new(&settings());
    let bad = |window, from| (window, EntryKind::Folded, "a/x", encoded(&events(100, 50, from)));
    let seen = run.step(&message(&[range(0, 0, 1, 120)], &[bad(0, 1), (60, EntryKind::Folded, "a/x", encoded(&events(100, 0, 7)))]));
    assert!(seen[0].ends_with("critical<0") && seen[3].ends_with("healthy<3"), "{seen:?}");
    // The first window turns out well after all: the second's record still says what was known.
    let seen =
        run.step(&message(&[range(0, 1, 2, 120)], &[(0, EntryKind::Folded, "a/x", encoded(&events(100_000, 0, 7))), folded(60, "a/x", 1)]));
    assert!(seen[0].ends_with("healthy<0") && seen[2].ends_with("healthy<3"), "{seen:?}");
    let seen = run.step(&message(&[range(0, 2, 3, 180)], &[folded(120, "a/x", 1)]));
    assert!(seen[0].ends_with("healthy<0"), "{seen:?}");
}

/// One override, in force always.
fn ruled(path: &str, text: &str) -> Arc<Rules> {
    let said = Activate {
        version: 1,
        bundle: String::new(),
        live: String::new(),
        shadow: String::new(),
        from_window: 0,
        lead: 0,
        published_by: String::new(),
        published_at: String::new(),
        commit: String::new(),
        rollback_of: None,
        rejected: vec![],
    };
    let files = Files::from([(path.to_owned(), text.as_bytes().to_vec())]);
    Rules::fixed([Activation::compile(Offset(0), EventTime::MIN, said, files, Files::new()).unwrap()])
}

#[test]
fn i5_a_service_that_a_late_event_wakes_has_no_level_also_after_a_restart() {
    let settings = CloseSettings { empty_windows: true, retain: 900 * SECOND, ..settings() };
    let rules = ruled("t/a.yaml", "owner: t\nhealth: 'requestCount > 0 ? 0 : 2'\n");
    let mut run = Run::ruled(&settings, Arc::clone(&rules), MemoryStore::default(), 0);
    // Silent for longer than its ttl, with records that say so up to then; an event of long ago wakes it.
    let silent = run.step(&message(&[range(0, 0, 1, 540)], &[folded(0, "a/x", 1), folded(480, "b/x", 1)]));
    assert!(silent.iter().any(|text| text.starts_with("a[] 300 events=0") && text.ends_with("impaired<2")), "{silent:?}");
    run.step(&message(&[range(0, 1, 2, 540)], &[folded(240, "a/x", 1)]));
    let mut again = Run::ruled(&settings, rules, run.store.fork(), run.next);
    again.now = run.now;
    let closes = message(&[range(0, 2, 3, 600)], &[folded(540, "b/x", 1)]);
    let (straight, restored) = (run.step(&closes), again.step(&closes));
    assert!(straight.iter().any(|text| text.starts_with("a[] 540 events=0") && text.ends_with("impaired<0")), "{straight:?}");
    assert_eq!(straight, restored);
}

fn capped(series_per_service: usize, services: usize) -> CloseSettings {
    CloseSettings { caps: Caps { series_per_service, services, series_total: 1000 }, ..settings() }
}

#[test]
fn free_places_go_by_errors_then_requests_then_name_and_totals_stay_exact() {
    let mut run = Run::new(&capped(2, 10));
    let entry = |series, count, errors| (0, EntryKind::Folded, series, encoded(&events(count, errors, 7)));
    let entries = [entry("a/big", 50, 0), entry("a/bad", 2, 1), entry("a/c", 3, 0), entry("a/b", 3, 0)];
    let seen = run.step(&message(&[range(0, 0, 1, 60)], &entries));
    let [all, lines @ ..] = &seen[..] else { panic!() };
    assert!(all.starts_with("a[] 0 events=58 errors=1"));
    let names: Vec<&str> = lines.iter().map(|l| l.split(" errors").next().unwrap()).collect();
    assert_eq!(names, ["a[__overflow__] 0 events=6", "a[bad] 0 events=2", "a[big] 0 events=50", "done 0 finals=4 events=58"]);
    // A place is kept while there is one event within the ttl: one place only is free, and errors win it, not the name.
    let mut run = Run::new(&capped(2, 10));
    run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/kept", 1)]));
    let seen =
        run.step(&message(&[range(0, 1, 2, 120)], &[folded(60, "a/b", 9), (60, EntryKind::Folded, "a/z", encoded(&events(1, 1, 7)))]));
    assert!(seen[1].starts_with("a[__overflow__] 60 events=9") && seen[2].starts_with("a[z] 60 events=1"), "{seen:?}");
}

#[test]
fn four_times_the_cap_are_told_apart_and_more_goes_to_overflow_on_arrival() {
    let mut run = Run::new(&capped(2, 10));
    let names: Vec<String> = (0..8).map(|n| format!("a/s{n}")).collect();
    let entries: Vec<Entry<'_>> = names.iter().map(|n| folded(0, n, 1)).collect();
    run.step(&message(&[range(0, 0, 1, 30)], &entries));
    let seen = run.step(&message(&[range(0, 1, 2, 60)], &[folded(0, "a/too-late", 500), folded(0, "a/s7", 40), folded(0, "a/s3", 30)]));
    let names: Vec<&str> = seen.iter().map(|l| l.split(" errors").next().unwrap()).collect();
    assert_eq!(
        names,
        ["a[] 0 events=578", "a[__overflow__] 0 events=506", "a[s3] 0 events=31", "a[s7] 0 events=41", "done 0 finals=4 events=578"]
    );
}

#[test]
fn places_come_free_after_the_ttl() {
    let mut run = Run::new(&capped(1, 10));
    run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/old", 1)]));
    let seen = run.step(&message(&[range(0, 1, 2, 360)], &[folded(300, "a/new", 1)]));
    assert!(seen[1].starts_with("a[__overflow__]"), "{seen:?}");
    // `old` had its last event at 0: at the close of 360 it is idle, and 420 finds the place free.
    run.step(&message(&[range(0, 2, 3, 420)], &[folded(360, "a/new", 1)]));
    let seen = run.step(&message(&[range(0, 3, 4, 480)], &[folded(420, "a/new", 1)]));
    assert!(seen[1].starts_with("a[new]"), "{seen:?}");
}

#[test]
fn services_above_the_cap_are_one_and_places_come_free() {
    let mut run = Run::new(&capped(10, 2));
    let seen =
        run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 1), folded(0, "b/x", 1), folded(0, "c/x", 2), folded(0, "d/y", 3)]));
    let names: Vec<&str> = seen.iter().map(|l| l.split(" errors").next().unwrap()).collect();
    assert_eq!(names[..2], ["__overflow__[] 0 events=5", "__overflow__[__overflow__] 0 events=5"]);
    assert_eq!(names[2..], ["a[] 0 events=1", "a[x] 0 events=1", "b[] 0 events=1", "b[x] 0 events=1", "done 0 finals=6 events=7"]);
    // A late event of a capped service is counted where it was before.
    assert!(run.step(&message(&[range(0, 1, 2, 60)], &[folded(0, "d/y", 1)]))[0].starts_with("__overflow__[] 0 events=6"));
    run.step(&message(&[range(0, 2, 3, 420)], &[folded(360, "a/x", 1)]));
    let seen = run.step(&message(&[range(0, 3, 4, 480)], &[folded(420, "e/x", 1)]));
    assert!(seen[0].starts_with("e[] 420"), "the places of b and c are free: {seen:?}");
}

#[test]
fn an_id_counts_once_in_its_window_and_service_also_when_that_is_closed() {
    let mut run = Run::new(&settings());
    run.step(&message(
        &[range(0, 0, 1, 30)],
        &[unique(0, "a/x", 1), unique(0, "a/x", 1), unique(0, "a/y", 1), unique(0, "b/x", 1), unique(60, "a/x", 1)],
    ));
    let seen = run.step(&message(&[range(0, 1, 2, 60)], &[unique(0, "a/x", 1), unique(0, "a/x", 2)]));
    assert!(seen[0].starts_with("a[] 0 events=2") && seen[2].starts_with("b[] 0 events=1"), "{seen:?}");
    let seen = run.step(&message(&[range(0, 2, 3, 60)], &[unique(0, "a/y", 2), unique(0, "a/x", 3), unique(0, "a/x", 3)]));
    assert!(seen[0].starts_with("a[] 0 events=3 errors=0 late=1") && seen.len() == 2, "{seen:?}");
    assert_eq!(run.close.tally.duplicate_events(), 5);
}

#[test]
fn ledger_lines_leave_once_when_the_window_of_append_time_closes() {
    let mut run = Run::new(&settings());
    assert!(run.step(&message(&[range(0, 0, 1, 59)], &[late(0, "a", 1), late(60, "b", 1)])).is_empty());
    assert_eq!(run.step(&message(&[range(0, 1, 2, 60)], &[late(0, "a", 2)])), ["late a 0 events=3", "done 0 finals=0 events=0"]);
    assert_eq!(run.step(&message(&[range(0, 2, 3, 120)], &[])), ["late b 60 events=1", "done 60 finals=0 events=0"]);
}

#[test]
fn ledger_lines_that_an_absent_partition_brings_behind_the_close_leave_with_full_totals() {
    let (mut run, _) = with_an_absent_source();
    assert_eq!(run.step(&message(&[range(1, 1, 2, 1)], &[late(0, "a", 1)])), ["late a 0 events=1"]);
    assert_eq!(run.step(&message(&[range(1, 2, 3, 2)], &[late(0, "a", 2)])), ["late a 0 events=3"]);
    assert!(run.step(&message(&[range(1, 3, 4, 3)], &[])).is_empty());
}

#[test]
fn damage_stops_the_partition() {
    let mut run = Run::new(&settings());
    let whole = message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 2)]);
    let cut = &whole[..whole.len() - 1];
    let record = Record { offset: Offset(3), append_time: None, key: None, headers: Headers::default(), value: Some(cut) };
    assert!(matches!(run.close.apply(&record, &run.store), Err(StageError::Unreadable { offset: Offset(3), .. })));
}

/// A history with everything in it: late events, ledger, ids, caps, an absent partition, gaps in time, many services.
fn history(seed: u64) -> Vec<Vec<u8>> {
    let mut seed = platform_testkit::seed::Seed::new(seed);
    let (mut from, mut newest) = ([0_u64; 2], 0_i64);
    let mut messages = Vec::new();
    for n in 0..160 {
        newest += i64::try_from(seed.below(14)).unwrap();
        let source = usize::try_from(seed.below(2)).unwrap();
        if source == 1 && (60..110).contains(&n) {
            continue;
        }
        let mut names = Vec::new();
        for _ in 0..seed.below(5) {
            let back = if seed.chance(150) { 400 } else { 80 };
            let window = (newest - i64::try_from(seed.below(back)).unwrap()).max(0) / 60 * 60;
            let name = format!("s{}/o{}", seed.below(5), seed.below(7));
            names.push((window, seed.below(10), name, seed.below(9), u128::from(seed.below(30))));
        }
        let services: Vec<String> = names.iter().map(|(_, _, name, ..)| name.split('/').next().unwrap().to_owned()).collect();
        let entry = |at: usize| -> Entry<'_> {
            let (window, kind, name, count, id) = &names[at];
            match kind {
                0 => (newest / 60 * 60, EntryKind::Late, services[at].as_str(), encoded(&events(1 + count, 0, *id as u64))),
                1..3 => unique(*window, name, *id),
                3 => gauge(*window, services[at].as_str(), &count.to_string(), 1000 * *id as u64),
                _ => (*window, EntryKind::Folded, name.as_str(), encoded(&events(1 + count, count / 4, *id as u64))),
            }
        };
        let to = from[source] + 1 + seed.below(3);
        let ranges = [range(u32::try_from(source).unwrap(), from[source], to, newest - 30)];
        from[source] = to;
        let entries: Vec<Entry<'_>> = (0..names.len()).map(entry).collect();
        if entries.len() > 2 && seed.chance(300) {
            messages.push(chunk(&Head { last: false, ..head(&ranges) }, &entries[..2]));
            messages.push(chunk(&Head { chunk: 1, ..head(&ranges) }, &entries[2..]));
        } else {
            messages.push(message(&ranges, &entries));
        }
    }
    messages
}

fn tight() -> CloseSettings {
    let caps = Caps { series_per_service: 3, services: 4, series_total: 9 };
    CloseSettings { caps, declared: vec![0, 1], empty_windows: true, health_of_all: true, histogram: true, hold: 20 * SECOND, ..settings() }
}

fn straight(settings: &CloseSettings, messages: &[Vec<u8>]) -> Run {
    let mut run = Run::new(settings);
    for message in messages {
        run.apply(message);
        run.commit();
    }
    run
}

#[test]
fn i5_a_restart_at_any_point_changes_no_byte() {
    for number in 0..4 {
        let _show = platform_testkit::seed::ShowSeed(number);
        let messages = history(number);
        let whole = straight(&tight(), &messages);
        assert!(whole.out.texts.iter().any(|t| t.contains(OVERFLOW)) && whole.out.texts.iter().any(|t| t.starts_with("late ")));
        assert!(
            whole.out.texts.iter().any(|t| t.contains(" cpu="))
                && whole.out.texts.iter().any(|t| t.contains(" cpu=") && !t.contains(" late=0 "))
        );
        for stop in (1..messages.len()).step_by(19) {
            let mut first = straight(&tight(), &messages[..stop]);
            let mut run = Run::over(&tight(), first.store.clone(), stop as u64);
            run.out = std::mem::take(&mut first.out);
            for message in &messages[stop..] {
                run.apply(message);
                run.commit();
            }
            assert_eq!(run.out.texts, whole.out.texts, "restart before message {stop}");
            assert!(run.out.raw == whole.out.raw, "restart before message {stop}");
        }
    }
}

#[test]
fn i5_finals_and_the_last_correction_of_a_key_do_not_depend_on_commits() {
    for number in 0..6 {
        let _show = platform_testkit::seed::ShowSeed(number);
        let messages = history(number);
        let finals = |every: usize| {
            let mut run = Run::new(&tight());
            let (mut finals, mut last) = (Vec::new(), BTreeMap::new());
            let mut note = |texts: Vec<String>| {
                for text in texts.iter().filter(|t| !t.starts_with("done")) {
                    let mut words = text.split(' ');
                    let identity = if text.starts_with("late ") {
                        words.by_ref().take(3).collect::<Vec<_>>().join(" ")
                    } else {
                        words.by_ref().take(2).collect::<Vec<_>>().join(" ")
                    };
                    last.insert(identity, text.clone());
                }
            };
            for (n, message) in messages.iter().enumerate() {
                run.apply(message);
                let texts = run.taken();
                finals.extend(texts.clone());
                note(texts);
                if n % every == every - 1 || n + 1 == messages.len() {
                    run.commit();
                    note(run.taken());
                }
            }
            (finals, last)
        };
        let each = finals(1);
        for every in [2, 5, 1000] {
            let other = finals(every);
            assert_eq!(other.0, each.0, "a commit every {every} messages");
            for (identity, text) in &each.1 {
                assert_eq!(other.1.get(identity), Some(text), "a commit every {every} messages");
            }
            assert_eq!(other.1.len(), each.1.len());
        }
    }
}

/// Restored from the log alone to where `kept` is.
fn from_nothing(settings: &CloseSettings, messages: &[Vec<u8>], kept: &Run) -> Run {
    let from = kept.close.replay_from(Offset(messages.len() as u64)).0;
    let mut run = Run::over(settings, MemoryStore::default(), from);
    run.close.restore(&MemoryStore::default(), &kept.close.metadata()).unwrap();
    for message in &messages[usize::try_from(from).unwrap()..] {
        run.apply_only(message);
        run.close.skip_output();
    }
    run.save();
    // And is restarted before anything new has come.
    let mut close = Close::new(settings.clone(), 0, Rules::none(), Arc::default());
    close.restore(&run.store, &kept.close.metadata()).unwrap();
    Run { close, ..run }
}

#[test]
fn a_restart_before_the_first_message_that_a_restore_from_nothing_applies_forgets_nothing() {
    let settings = two_sources();
    let mut messages = vec![message(&[range(1, 0, 1, 10)], &[])];
    // The other one is away for longer than `hold`: the watermark goes on without it, and nothing is kept.
    messages.extend((1..60).map(|n| message(&[range(0, n, n + 1, 60 * i64::try_from(n).unwrap())], &[])));
    // It comes back far behind: the watermark stays where it was, and what is read again, of little more than `hold`, does not say where.
    messages.extend((1..21).map(|n| message(&[range(1, n, n + 1, 20)], &[])));
    let mut kept = straight(&settings, &messages);
    let mut run = from_nothing(&settings, &messages, &kept);
    let back = message(&[range(1, 21, 22, 21)], &[folded(0, "a/x", 1)]);
    for run in [&mut run, &mut kept] {
        run.out = Out::default();
        run.step(&back);
    }
    assert_eq!(run.close.sources.watermark(), kept.close.sources.watermark());
    assert_eq!(run.close.closed_through, kept.close.closed_through);
    assert_eq!(run.out.texts, kept.out.texts);
}

#[test]
fn a_restore_from_nothing_reads_from_replay_from_and_goes_on_as_before() {
    // Who has a place under a cap depends on all that was ever admitted, which the retained input does not tell.
    let loose = CloseSettings { caps: settings().caps, ..tight() };
    for number in 0..4 {
        let _show = platform_testkit::seed::ShowSeed(number);
        let messages = history(number);
        for stop in [messages.len() / 2, messages.len() - 20] {
            let mut kept = straight(&loose, &messages[..stop]);
            kept.out = Out::default();
            let mut run = from_nothing(&loose, &messages[..stop], &kept);
            assert_eq!(run.close.sources.watermark(), kept.close.sources.watermark());
            assert_eq!(run.close.closed_through, kept.close.closed_through);
            for message in &messages[stop..] {
                for run in [&mut run, &mut kept] {
                    run.apply(message);
                    run.commit();
                }
            }
            assert_eq!(run.out.texts, kept.out.texts, "to {stop}");
        }
    }
}

#[test]
fn a_restore_from_nothing_knows_what_was_closed_while_a_partition_was_absent_that_has_come_back_behind_it() {
    let settings = two_sources();
    let source_0 =
        |n: u64| message(&[range(0, n, n + 1, 60 * i64::try_from(n).unwrap())], &[folded(60 * i64::try_from(n).unwrap(), "a/x", 1)]);
    let mut messages = vec![message(&[range(1, 0, 1, 10)], &[])];
    // One catches up: a minute in a second. The other is away for longer than `hold`, and so windows close without it.
    messages.extend((1..60).map(source_0));
    // It comes back 20 minutes behind, and windows older than `retain` are forgotten.
    messages.extend((1..20).map(|n| message(&[range(1, n, n + 1, 2400 + i64::try_from(n).unwrap())], &[])));
    for stop in 61..messages.len() {
        let mut kept = straight(&settings, &messages[..stop]);
        let mut run = from_nothing(&settings, &messages[..stop], &kept);
        assert_eq!(run.close.sources.watermark(), kept.close.sources.watermark(), "at {stop}");
        assert_eq!(run.close.closed_through, kept.close.closed_through, "at {stop}");
    }
}

#[test]
fn replay_from_reaches_the_newest_watermark_of_every_partition() {
    let mut run = Run::new(&two_sources());
    run.step(&message(&[range(0, 0, 1, 30)], &[folded(0, "a/x", 1)]));
    run.step(&message(&[range(1, 0, 1, 5)], &[]));
    run.step(&message(&[range(0, 1, 2, 31)], &[]));
    assert_eq!(run.close.replay_from(Offset(3)), Offset(0), "window 0 is kept");
    let mut run = Run::new(&two_sources());
    run.step(&message(&[], &[]));
    run.step(&message(&[range(1, 0, 1, 5)], &[]));
    run.step(&message(&[range(0, 1, 2, 31)], &[folded(0, "a/x", 1)]));
    assert_eq!(run.close.replay_from(Offset(3)), Offset(0), "what came within `hold` says who is absent");
}

#[test]
fn an_emission_in_parts_gives_each_record_once_over_restarts() {
    let mut entries = vec![];
    let names: Vec<String> = (0..40).map(|n| format!("s{n:02}/o{}", n % 3)).collect();
    for window in [0, 60] {
        entries.extend(names.iter().map(|name| folded(window, name, 1 + u64::from(window > 0))));
    }
    let first = message(&[range(0, 0, 1, 30)], &entries);
    let second = message(&[range(0, 1, 2, 150)], &[folded(0, "s07/o1", 5), late(60, "s01", 2)]);
    let mut whole = Run::new(&settings());
    whole.step(&first);
    whole.apply(&second);
    whole.commit();
    for budget in [1, 3_000, 20_000] {
        let mut before = Run::new(&settings());
        before.step(&first);
        let mut raw: Vec<Vec<u8>> = vec![];
        let mut cursor: Option<Vec<u8>> = None;
        let mut parts = 0;
        loop {
            // Every part is the work of a new process, from the state before the message.
            let mut run = Run::over(&settings(), before.store.fork(), 1);
            if let Some(cursor) = &cursor {
                run.close.resume_at(cursor);
            }
            run.apply_only(&second);
            if cursor.is_some() {
                run.close.emit_at_commit(&run.store, &mut Discard).unwrap();
            }
            let emitted = run.close.emit_due(budget, &run.store, &mut run.out).unwrap();
            run.close.emit_at_commit(&run.store, &mut run.out).unwrap();
            raw.append(&mut run.out.raw);
            parts += 1;
            match emitted {
                Emitted::All => break,
                Emitted::Part(next) => cursor = Some(next),
            }
        }
        assert!(raw == whole.out.raw && (budget > 10_000 || parts > 10), "budget {budget}, {parts} parts");
    }
}

#[test]
fn samples_show_in_the_record_of_their_service_whichever_came_first() {
    let (event, sample) = (folded(0, "a/x", 2), gauge(0, "a", "1", 400_000));
    for entries in [vec![event.clone(), sample.clone()], vec![sample.clone(), event.clone()]] {
        let mut run = Run::new(&settings());
        run.apply(&message(&[range(0, 0, 1, 0)], &entries));
        run.apply(&message(&[range(0, 1, 2, 0)], &[gauge(0, "a", "2", 900_000), gauge(0, "a", "2", 100_000), gauge(0, "b", "1", 1)]));
        let out = run.step(&message(&[range(0, 2, 3, 60)], &[]));
        assert_eq!(
            out,
            [
                "a[] 0 events=2 errors=0 late=0 complete=1 healthy<0 cpu=0.65",
                "a[x] 0 events=2 errors=0 late=0 complete=1",
                "done 0 finals=2 events=2"
            ],
            "a service without events has no record, and parts of a service have no resources"
        );
    }
}

#[test]
fn a_rule_reads_how_full_the_fullest_resource_is_in_percent() {
    let rules = ruled("t/a.yaml", "owner: t\nhealth: 'saturation > 60 ? 2 : 0'\n");
    for (used, shown) in [(599_999, "healthy<0 cpu=0.599999"), (600_000, "healthy<0 cpu=0.6"), (600_001, "impaired<0 cpu=0.600001")] {
        let mut run = Run::ruled(&settings(), Arc::clone(&rules), MemoryStore::default(), 0);
        let out = run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 2), gauge(0, "a", "1", used)]));
        assert_eq!(out[0], format!("a[] 0 events=2 errors=0 late=0 complete=1 {shown}"));
    }
}

#[test]
fn a_sample_behind_the_close_makes_no_correction_and_shows_in_the_next_one() {
    let mut run = Run::new(&settings());
    run.apply(&message(&[range(0, 0, 1, 0)], &[folded(0, "a/x", 2)]));
    let out = run.step(&message(&[range(0, 1, 2, 60)], &[]));
    assert_eq!(out[0], "a[] 0 events=2 errors=0 late=0 complete=1 healthy<0");
    for at in 2..4 {
        let sample = gauge(0, "a", &at.to_string(), 100_000 * at);
        assert_eq!(run.step(&message(&[range(0, at, at + 1, 60)], &[sample])), Vec::<String>::new());
    }
    let out = run.step(&message(&[range(0, 4, 5, 60)], &[folded(0, "a/x", 1)]));
    assert_eq!(out[0], "a[] 0 events=3 errors=0 late=1 complete=1 healthy<0 cpu=0.25", "from the store, over commits");
    // Who is not known takes no room behind the close.
    run.step(&message(&[range(0, 5, 6, 60)], &[gauge(0, "b", "1", 100_000)]));
    let out = run.step(&message(&[range(0, 6, 7, 60)], &[folded(0, "b/x", 1)]));
    assert_eq!(out[0], "b[] 0 events=1 errors=0 late=1 complete=1 healthy<0");
}

#[test]
fn a_sample_opens_no_window_and_makes_no_service_known() {
    let mut run = Run::new(&CloseSettings { empty_windows: true, ..settings() });
    let out = run.step(&message(&[range(0, 0, 1, 200)], &[gauge(0, "a", "1", 1), gauge(60, "b", "1", 1)]));
    assert_eq!(out, Vec::<String>::new());
    run.step(&message(&[range(0, 1, 2, 240)], &[folded(180, "a/x", 1)]));
    let out = run.step(&message(&[range(0, 2, 3, 300)], &[gauge(240, "a", "1", 300_000)]));
    assert_eq!(out[0], "a[] 240 events=0 errors=0 late=0 complete=1 healthy<0 cpu=0.3", "a known service that is silent");
}

#[test]
fn of_more_services_than_the_cap_the_smallest_names_keep_their_samples() {
    for order in [["a", "b", "c"], ["c", "b", "a"], ["b", "c", "a"]] {
        let mut run = Run::new(&capped(10, 2));
        for (at, service) in (0..).zip(order) {
            run.step(&message(&[range(0, at, at + 1, 0)], &[gauge(0, service, "1", 500_000)]));
        }
        run.apply(&message(&[range(0, 3, 4, 0)], &[folded(0, "a/x", 1), folded(0, "c/x", 1)]));
        let out = run.step(&message(&[range(0, 4, 5, 60)], &[]));
        let with: Vec<&String> = out.iter().filter(|text| text.contains("cpu")).collect();
        assert_eq!(with, ["a[] 0 events=1 errors=0 late=0 complete=1 healthy<0 cpu=0.5"], "{order:?}");
    }
}

#[test]
fn i5_a_sample_behind_the_last_event_does_not_show_in_its_correction_whatever_the_commits() {
    let last = |together: bool| {
        let mut run = Run::new(&settings());
        run.step(&message(&[range(0, 0, 1, 60)], &[folded(0, "a/x", 2)]));
        run.step(&message(&[range(0, 1, 2, 60)], &[gauge(0, "a", "1", 100_000)]));
        run.apply(&message(&[range(0, 2, 3, 60)], &[folded(0, "a/x", 1)]));
        if !together {
            run.commit();
        }
        run.apply(&message(&[range(0, 3, 4, 60)], &[gauge(0, "a", "1", 900_000)]));
        run.commit();
        run.taken()
    };
    assert_eq!(last(true)[0], "a[] 0 events=3 errors=0 late=1 complete=1 healthy<0 cpu=0.1");
    assert_eq!(last(true), last(false));
}
