//! Overrides in the pipeline: FOLD and CLOSE driven by hand over a control log in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use golden_overrides::archive::Files;
use golden_pipeline::close::index::Caps;
use golden_pipeline::close::{Close, CloseSettings, Keep};
use golden_pipeline::dead_letter::Stamp;
use golden_pipeline::decode::decoder;
use golden_pipeline::fold::verdict::VerdictLimits;
use golden_pipeline::fold::{Fold, FoldSettings, FoldSource, TimeMode};
use golden_pipeline::grouping::Groupings;
use golden_pipeline::names::{SCHEMA, SCHEMA_SHADOW, SCHEMA_SIGNALS, Topics};
use golden_pipeline::overrides::activate::{Activated, Content, activate};
use golden_pipeline::overrides::activation::Activation;
use golden_pipeline::overrides::record::Activate;
use golden_pipeline::overrides::rules::{Rules, Timeline};
use golden_pipeline::signal::completeness::Completeness;
use golden_pipeline::signal::health::DEFAULT_RULE_SHA256;
use golden_pipeline::source::{Format, Source};
use platform_core::log::{CommitError, Committed, Log as _, Positions};
use platform_core::record::{BatchBuffer, Headers, NewRecord, Offset, Partition, Record, Topic};
use platform_core::stage::{Emit, Emitted, KeyedStage, MapStage};
use platform_core::store::{Changes, Store as _};
use platform_core::time::{AppendTime, EventTime, SECOND};
use platform_core::watermark::WatermarkLimits;
use platform_core::window::WindowLength;
use platform_runtime::memory::{AppendTimes, MemoryLog, MemoryStore, TopicSettings};
use platform_testkit::clock::SimClock;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const LEAD: i64 = 120;
const SKEW: i64 = 60;
/// A minute that starts a window, in seconds.
const NOW: i64 = 1_700_000_040;
const HOST_RULE: &str = "owner: shop\ntags:\n  swimlane: \"svcHost in ['host1.example.com'] ? \\\"ec2\\\" : \\\"\\\"\"\n";

fn window() -> WindowLength {
    WindowLength::new(Duration::from_secs(60)).unwrap()
}

fn groupings() -> Groupings {
    let named = [("service", vec![]), ("service_swimlane", vec!["swimlane"]), ("service_operation", vec!["operation"])];
    let named = named.map(|(name, of)| (name.to_owned(), of.into_iter().map(str::to_owned).collect()));
    Groupings::new(&BTreeMap::from(named)).unwrap()
}

fn stamp() -> Stamp {
    Stamp { colour: "blue", epoch: 1, tenant: "default".to_owned() }
}

fn files(files: &[(&str, &str)]) -> Files {
    files.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

fn said(version: u64) -> Activate {
    Activate {
        version,
        bundle: format!("bundle {version}"),
        live: String::new(),
        shadow: String::new(),
        from_window: 0,
        lead: LEAD * SECOND,
        published_by: String::new(),
        published_at: String::new(),
        commit: String::new(),
        rollback_of: None,
        rejected: vec![],
    }
}

/// Rules that are in force always, without a log.
fn fixed(live: &[(&str, &str)], shadow: &[(&str, &str)]) -> Arc<Rules> {
    Rules::fixed([Activation::compile(Offset(0), EventTime::MIN, said(1), files(live), files(shadow)).unwrap()])
}

/// A control log at a time that is told.
struct World {
    log: Arc<MemoryLog>,
    clock: Arc<SimClock>,
    control: Topic,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(SimClock::at(NOW * SECOND));
        let log = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as _));
        let control = Topics::of("blue").control;
        log.create_topic(&control, 1, TopicSettings::default());
        Self { log: Arc::new(log), clock, control }
    }

    fn rules(&self) -> Arc<Rules> {
        Rules::of_log(Arc::clone(&self.log) as _, &self.control, window(), 3 * 3600 * SECOND)
    }

    fn activate(&self, version: u64, live: &[(&str, &str)]) -> Activated {
        let content = |_: &Vec<Arc<Activation>>| Ok(Content { said: said(version), live: files(live), shadow: Files::new() });
        activate(&*self.log, &self.control, &self.rules(), version, content).unwrap()
    }
}

#[derive(Default)]
struct Out {
    values: Vec<Vec<u8>>,
    records: Vec<(String, Value)>,
}

impl Emit for Out {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        let value = record.value.unwrap();
        if to.topic.as_str() == "partials" {
            self.values.push(value.to_vec());
        } else {
            let schema = record.headers.iter().find(|(name, _)| *name == SCHEMA).unwrap().1;
            self.records.push((String::from_utf8(schema.to_vec()).unwrap(), serde_json::from_slice(value).unwrap()));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

fn fold(rules: Arc<Rules>) -> Fold {
    let settings = FoldSettings {
        stamp: stamp(),
        groupings: groupings(),
        window: window(),
        verdicts: VerdictLimits { retain: 3600 * SECOND, skew: SKEW * SECOND },
        watermark: WatermarkLimits { bound: 30 * SECOND, hold: 45 * SECOND, broker_skew: SECOND },
        time: TimeMode::Live,
        traces: false,
        lead: LEAD * SECOND,
        partials: Topic::new("partials"),
        partitions: 1,
        dead_letters: Topic::new("dead"),
        starts: Positions::new(),
    };
    let source = Source::for_format(Format::Json);
    let events = Topic::new("events");
    let source = FoldSource { topic: events.clone(), name: "s".to_owned(), decoder: Arc::new(move |wanted| decoder(&source, wanted)) };
    let mut fold = Fold::new(settings, vec![source], rules, Arc::default());
    fold.assigned(&[(Partition::new(&events, 0), Committed::default())]);
    fold
}

fn at(seconds: i64) -> AppendTime {
    AppendTime((NOW + seconds) * SECOND)
}

/// Folds records, each with its append time in seconds from now, and gives the message.
fn fold_records(fold: &mut Fold, from: u64, records: &[(i64, String)]) -> Vec<u8> {
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("events"), 0));
    for (n, (append, value)) in records.iter().enumerate() {
        buffer.push(Offset(from + n as u64), Some(at(*append)), None, &[], Some(value.as_bytes()));
    }
    fold.process(&buffer.batch().unwrap());
    let mut out = Out::default();
    fold.emit(&mut out).unwrap();
    fold.committed();
    assert_eq!(out.values.len(), 1);
    out.values.pop().unwrap()
}

fn event(at: i64, service: &str, more: &str) -> String {
    format!(r#"{{"timestamp":{},"service":"{service}","operation":"o","latency_ms":5{more}}}"#, NOW + at)
}

struct CloseRun {
    close: Close,
    store: MemoryStore,
    next: u64,
    rules: Arc<Rules>,
}

impl CloseRun {
    fn new(rules: Arc<Rules>) -> Self {
        Self::over(rules, MemoryStore::default(), 0, &[])
    }

    fn over(rules: Arc<Rules>, store: MemoryStore, next: u64, committed: &[u8]) -> Self {
        let settings = CloseSettings {
            stamp: stamp(),
            owned_from: 0,
            groupings: groupings(),
            window: window(),
            retain: 3600 * SECOND,
            hold: 45 * SECOND,
            series_ttl: 3600 * SECOND,
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
        };
        let mut close = Close::new(settings, 0, Arc::clone(&rules), Arc::default());
        close.restore(&store, committed).unwrap();
        Self { close, store, next, rules }
    }

    /// Applies a message and commits; gives what came out.
    fn apply(&mut self, value: &[u8]) -> Vec<(String, Value)> {
        let append_time = Some(at(i64::try_from(self.next).unwrap()));
        let record = Record { offset: Offset(self.next), append_time, key: None, headers: Headers::default(), value: Some(value) };
        self.close.apply(&record, &self.store).unwrap();
        self.next += 1;
        let mut out = Out::default();
        assert_eq!(self.close.emit_due(usize::MAX, &self.store, &mut out).unwrap(), Emitted::All);
        self.close.emit_at_commit(&self.store, &mut out).unwrap();
        let mut changes = Changes::default();
        self.close.changes(&mut changes);
        self.store.write(&changes, Offset(self.next)).unwrap();
        out.records
    }

    /// The same partition after a restart, from its store.
    fn restarted(self) -> Self {
        let beside = self.close.metadata();
        Self::over(self.rules, self.store, self.next, &beside)
    }
}

/// (seconds of the window from now, grouping, override version, level) of signals.
fn verdicts(records: &[(String, Value)]) -> Vec<(i64, String, u64, Option<u64>)> {
    let start = |value: &Value| {
        let text = value["window_start"].as_str().unwrap();
        golden_pipeline::decode::timestamp::Timestamps::new(golden_pipeline::decode::timestamp::TimeUnit::Rfc3339, None)
            .parse_text(text)
            .unwrap()
    };
    let of = |value: &Value| {
        let grouping = value["grouping"].as_str().unwrap().to_owned();
        (start(value) / SECOND - NOW, grouping, value["override"]["version"].as_u64().unwrap(), value["health"]["level"].as_u64())
    };
    records.iter().filter(|(schema, _)| schema == SCHEMA_SIGNALS).map(|(_, value)| of(value)).collect()
}

fn of_service(records: &[(String, Value)]) -> Vec<(i64, u64, Option<u64>)> {
    verdicts(records).into_iter().filter(|v| v.1 == "service").map(|(at, _, version, level)| (at, version, level)).collect()
}

/// A rule that makes any request critical.
const ANGRY: &str = "owner: shop\nhealth: 'requestCount > 0 ? 3 : 0'\n";

#[test]
fn a_version_counts_from_the_first_window_that_starts_lead_after_its_append_for_fold_and_close_alike() {
    let world = World::new();
    assert_eq!(world.activate(4, &[("shop/cart.yaml", ANGRY)]), Activated::Written);
    assert_eq!(world.activate(4, &[]), Activated::Known, "the log has it already");
    assert_eq!(world.activate(3, &[]), Activated::Known, "versions only rise");
    let mut fold = fold(world.rules());
    assert!(fold.ready(at(1), Some(at(0))));
    let events = [60, 119, 120, 180].map(|time| (time, event(time, "cart", "")));
    let message = fold_records(&mut fold, 0, &events);
    let closing = fold_records(&mut fold, 4, &[(400, event(400, "other", ""))]);
    let mut close = CloseRun::new(world.rules());
    let out = [close.apply(&message), close.apply(&closing)].concat();
    assert_eq!(of_service(&out), [(60, 0, Some(0)), (120, 4, Some(3)), (180, 4, Some(3))]);
    let shas: Vec<&str> =
        out.iter().filter(|(_, v)| v["grouping"] == "service").map(|(_, v)| v["override"]["sha256"].as_str().unwrap()).collect();
    assert_eq!((shas[0], shas[1] == shas[2], shas[1] == shas[0]), (DEFAULT_RULE_SHA256, true, false));
}

#[test]
fn close_knows_what_fold_knew_and_nothing_later_also_after_a_restart() {
    let world = World::new();
    let mut fold_task = fold(world.rules());
    assert!(fold_task.ready(at(0), Some(at(0))));
    let before = fold_records(&mut fold_task, 0, &[(180, event(180, "cart", ""))]);
    world.activate(1, &[("shop/cart.yaml", ANGRY)]);
    // Another process has read further; this message lets in nothing of it.
    let rules = world.rules();
    rules.refresh(&mut Timeline::default()).unwrap();
    let mut close = CloseRun::new(rules);
    close.apply(&before);
    let closing = fold_records(&mut fold_task, 1, &[(280, event(280, "cart", ""))]);
    assert_eq!(of_service(&close.apply(&closing)), [(180, 0, Some(0))], "FOLD had not read it, so it does not count");

    assert!(fold_task.ready(at(290), Some(at(290))));
    let seen = fold_records(&mut fold_task, 2, &[(300, event(300, "cart", ""))]);
    close.apply(&seen);
    // From its store, the same partition knows what it knew.
    let mut close = close.restarted();
    let last = fold_records(&mut fold_task, 3, &[(500, event(500, "cart", ""))]);
    assert_eq!(of_service(&close.apply(&last)), [(240, 1, Some(3)), (300, 1, Some(3))]);
}

#[test]
fn a_correction_is_judged_by_the_version_of_its_own_window() {
    let world = World::new();
    let mut fold_task = fold(world.rules());
    assert!(fold_task.ready(at(0), Some(at(0))));
    let first = fold_records(&mut fold_task, 0, &[(100, event(100, "cart", ""))]);
    let mut close = CloseRun::new(world.rules());
    close.apply(&first);
    world.activate(1, &[("shop/cart.yaml", ANGRY)]);
    assert!(fold_task.ready(at(150), Some(at(150))));
    let closing = fold_records(&mut fold_task, 1, &[(400, event(400, "cart", ""))]);
    assert_eq!(of_service(&close.apply(&closing)), [(60, 0, Some(0))]);
    let late = fold_records(&mut fold_task, 2, &[(401, event(110, "cart", ""))]);
    assert_eq!(of_service(&close.apply(&late)), [(60, 0, Some(0))], "in force only from a later window on");
}

#[test]
fn without_the_control_log_fold_goes_on_for_a_while_and_then_waits() {
    let world = World::new();
    let mut fold_task = fold(world.rules());
    assert!(!fold_task.ready(at(0), None), "nothing is known yet");
    assert!(fold_task.ready(at(0), Some(at(0))));
    // Read at 0: a version that was not seen touches nothing that starts before 120 - 1, and an event is at most 60 ahead.
    assert!(fold_task.ready(at(58), None));
    assert!(!fold_task.ready(at(59), None));
    assert!(!fold_task.ready(at(59), Some(AppendTime(at(0).0 + 1))), "it was asked less than a second before");
    assert!(fold_task.ready(at(59), Some(at(2))));
}

/// Tags of the series and outcomes that FOLD makes of events of `shop/cart`, by service and swimlane: requests and errors.
fn counted(rules: Arc<Rules>, events: &[String]) -> BTreeMap<String, (u64, u64)> {
    let mut fold = fold(Arc::clone(&rules));
    let records: Vec<(i64, String)> = events.iter().map(|event| (1, event.clone())).collect();
    let mut close = CloseRun::new(rules);
    close.apply(&fold_records(&mut fold, 0, &records));
    let out = close.apply(&fold_records(&mut fold, events.len() as u64, &[(200, event(200, "other", ""))]));
    let of = |value: &Value| {
        let swimlane = value["dimensions"]["swimlane"].as_str().unwrap();
        let count = |name: &str| value[name]["count"].as_u64().unwrap();
        (format!("{}/{swimlane}", value["service"].as_str().unwrap()), (count("requests"), count("errors")))
    };
    out.iter().filter(|(_, value)| value["grouping"] == "service_swimlane").map(|(_, value)| of(value)).collect()
}

#[test]
fn a_tag_rule_sets_a_dimension_and_touches_no_other_service() {
    let host = |host: &str| format!(r#","host":"{host}","tags":{{"swimlane":"given"}}"#);
    let events = ["host1.example.com", "host2.example.com"].map(|name| event(0, "cart", &host(name)));
    let other = event(0, "till", &host("host1.example.com"));
    let all = [events.to_vec(), events.to_vec(), vec![other]].concat();
    let found = counted(fixed(&[("shop/cart.yaml", HOST_RULE)], &[]), &all);
    let expected = [("cart/", (2, 0)), ("cart/ec2", (2, 0)), ("till/given", (1, 0))];
    assert_eq!(found, expected.map(|(name, counts)| (name.to_owned(), counts)).into());
}

#[test]
fn rules_read_tags_that_nothing_is_grouped_by() {
    let rule = "owner: shop\ntags:\n  swimlane: \"tag('k8s.pod') != '' ? tag('k8s.pod') : 'none'\"\n";
    let tagged = [event(0, "cart", r#","tags":{"k8s.pod":"p1"}"#), event(0, "cart", "")];
    let found = counted(fixed(&[("shop/cart.yaml", rule)], &[]), &tagged);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["cart/none", "cart/p1"]);
}

#[test]
fn a_classifier_decides_what_is_an_error_and_one_that_fails_decides_nothing() {
    let statuses = [200, 429, 503, 503].map(|status| event(0, "cart", &format!(r#","status":{status}"#)));
    let none = [event(0, "cart", "")];
    let all = [statuses.to_vec(), none.to_vec()].concat();
    let of = |rule: &str| counted(fixed(&[("shop/cart.yaml", &format!("owner: shop\nerrors: {rule}\n"))], &[]), &all)["cart/"];
    assert_eq!(counted(Rules::none(), &all)["cart/"], (5, 2));
    assert_eq!(of("'status == 429 ? \"error\" : outcome'"), (5, 3), "without a status the rule fails, and the usual outcome stands");
    assert_eq!(of("'outcome == \"error\" ? \"ok\" : outcome'"), (5, 0));
    assert_eq!(of("'latency >= 5ms ? \"error\" : outcome'"), (5, 5));
}

#[test]
fn errors_made_by_a_rule_have_a_kind() {
    let rules = fixed(&[("shop/cart.yaml", "owner: shop\nerrors: 'status == 429 ? \"error\" : outcome'\n")], &[]);
    let mut fold = fold(Arc::clone(&rules));
    let mut close = CloseRun::new(rules);
    close.apply(&fold_records(&mut fold, 0, &[(1, event(0, "cart", r#","status":429"#))]));
    let out = close.apply(&fold_records(&mut fold, 1, &[(200, event(200, "other", ""))]));
    assert_eq!(out[0].1["errors"]["by_type"]["429"], 1);
}

#[test]
fn a_health_rule_that_fails_leaves_the_verdict_to_the_default_rule() {
    let rules = fixed(&[("shop/cart.yaml", "owner: shop\nhealth: 'latencyP99 > 1s ? 3 : 2'\n")], &[]);
    let mut fold = fold(Arc::clone(&rules));
    let mut close = CloseRun::new(rules);
    let without = event(0, "cart", "").replace(r#","latency_ms":5"#, "");
    close.apply(&fold_records(&mut fold, 0, &[(1, without), (61, event(60, "cart", ""))]));
    let out = close.apply(&fold_records(&mut fold, 2, &[(300, event(300, "other", ""))]));
    assert_eq!(of_service(&out), [(0, 1, Some(0)), (60, 1, Some(2))]);
    let reasons: Vec<&Value> = out.iter().filter(|(_, v)| v["grouping"] == "service").map(|(_, v)| &v["health"]["reason"]).collect();
    assert_eq!(reasons, ["rule_error", "rule"]);
}

#[test]
fn a_rule_remembers_its_own_level_and_one_that_is_tried_remembers_its() {
    // Critical at first, then degraded for as long as it was worse before.
    let sticky = "owner: shop\nhealth: 'errorCount > 0 ? 3 : previousHealth > 0 ? previousHealth - 1 : 0'\n";
    let calm = "owner: shop\nhealth: 'errorCount > 0 ? 1 : 0'\n";
    let rules = fixed(&[("shop/cart.yaml", calm)], &[("shop/cart.yaml", sticky)]);
    let mut fold = fold(Arc::clone(&rules));
    let mut close = CloseRun::new(rules);
    let records = [(1, event(0, "cart", r#","status":503"#)), (61, event(60, "cart", "")), (121, event(120, "cart", ""))];
    let mut out = close.apply(&fold_records(&mut fold, 0, &records));
    out.extend(close.apply(&fold_records(&mut fold, 3, &[(161, event(160, "other", ""))])));
    // The levels of both outlive a restart.
    let mut close = close.restarted();
    out.extend(close.apply(&fold_records(&mut fold, 4, &[(300, event(300, "other", ""))])));
    assert_eq!(of_service(&out).iter().filter(|v| v.1 == 1).map(|v| v.2).collect::<Vec<_>>(), [Some(1), Some(0), Some(0)]);
    let shadows = out
        .iter()
        .filter(|(schema, _)| schema == SCHEMA_SHADOW)
        .map(|(_, value)| (value["health"]["level"].as_u64(), value["shadow"]["level"].as_u64(), value["agree"].as_bool()));
    assert_eq!(
        shadows.collect::<Vec<_>>(),
        [(Some(1), Some(3), Some(false)), (Some(0), Some(2), Some(false)), (Some(0), Some(1), Some(false))]
    );
}

#[test]
fn groupings_of_a_team_sum_what_series_have_and_leave_out_the_rest() {
    let rule = "owner: shop\ngroupings:\n  by_both: [swimlane, operation]\n  by_pod: [k8s.pod]\n";
    let rules = fixed(&[("shop/cart.yaml", rule)], &[]);
    let mut fold = fold(Arc::clone(&rules));
    let mut close = CloseRun::new(rules);
    close.apply(&fold_records(&mut fold, 0, &[(1, event(0, "cart", "")), (1, event(0, "till", ""))]));
    let out = close.apply(&fold_records(&mut fold, 2, &[(200, event(200, "other", ""))]));
    let names: Vec<String> = out
        .iter()
        .filter(|(schema, _)| schema == SCHEMA_SIGNALS)
        .map(|(_, v)| format!("{} {}", v["service"].as_str().unwrap(), v["grouping"].as_str().unwrap()))
        .collect();
    let everybodys = ["service", "service_operation", "service_swimlane"];
    let expected = ["by_both"].iter().chain(&everybodys).map(|g| format!("cart {g}")).chain(everybodys.iter().map(|g| format!("till {g}")));
    assert_eq!(names, expected.collect::<Vec<_>>());
}

#[test]
fn two_controllers_at_once_never_write_a_version_twice() {
    let world = World::new();
    // The second takes over while the first decides: the first is fenced, and finds out on its next try.
    let first = activate(&*world.log, &world.control, &world.rules(), 1, |_| {
        assert_eq!(world.activate(1, &[("a/b.yaml", ANGRY)]), Activated::Written);
        Ok(Content { said: said(1), live: Files::new(), shadow: Files::new() })
    });
    assert!(first.is_err(), "{first:?}");
    assert_eq!(world.activate(1, &[]), Activated::Known);
    let mut timeline = Timeline::default();
    world.rules().refresh(&mut timeline).unwrap().unwrap();
    assert_eq!(timeline.versions().len(), 1);
    assert_eq!(timeline.versions()[0].files().len(), 1);
}

#[test]
fn a_decision_that_cannot_be_read_changes_nothing() {
    let world = World::new();
    world.activate(1, &[("shop/cart.yaml", ANGRY)]);
    let mut writer = world.log.writer("somebody").unwrap();
    let headers = [(SCHEMA, b"golden-signals-activate/1".as_slice())];
    for value in [b"{}".as_slice(), br#"{"version":2,"bundle":"","live":"abc","from_window":0,"lead":0}"#] {
        writer.append(&Partition::new(&world.control, 0), NewRecord { key: None, headers: &headers, value: Some(value) }).unwrap();
    }
    writer.commit(&platform_core::log::Claim { group: String::new(), member: 0, generation: 0 }, &[]).unwrap();
    let mut timeline = Timeline::default();
    world.rules().refresh(&mut timeline).unwrap().unwrap();
    assert_eq!(timeline.versions().iter().map(|v| v.said.version).collect::<Vec<_>>(), [1]);
    assert_eq!(world.activate(3, &[]), Activated::Written);
}

#[test]
fn versions_that_no_window_can_ask_for_are_dropped_from_memory() {
    let world = World::new();
    let rules = world.rules();
    let mut timeline = Timeline::default();
    for version in 1..=5 {
        world.activate(version, &[("shop/cart.yaml", ANGRY)]);
        world.clock.advance(Duration::from_secs(2 * 3600));
        rules.refresh(&mut timeline).unwrap().unwrap();
    }
    // Three hours back: the one in force then, and those after it.
    assert_eq!(timeline.versions().iter().map(|v| v.said.version).collect::<Vec<_>>(), [3, 4, 5]);
}
