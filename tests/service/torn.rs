//! A torn transaction, end to end (I4): positions of FOLD moved on and what belongs to them is not there. That is an alarm and an incomplete
//! window, never a wrong number that looks right.

use crate::ledger::{SECOND, rfc3339};
use crate::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_core::log::{Committed, Log, Polled, Subscription};
use platform_core::record::{NewRecord, Partition, Topic};
use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use std::sync::Arc;
use std::time::Duration;

const CONFIG: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, retain: 60s, series_ttl: 60s}\n\
                      runtime: {commit_interval: 100ms}\n\
                      log: {partitions: 1, reserve_mib: 1}\n";

fn event(time: i64) -> String {
    format!(r#"{{"timestamp":{time},"service":"shop","operation":"pay","status":200,"duration_ns":1000}}"#)
}

fn post(service: &Service, time: i64) {
    let url = format!("{}/api/v1/events", service.url);
    assert_eq!(ureq::post(&url).content_type("application/x-ndjson").send(event(time)).unwrap().status(), 200);
}

/// The newest record of the service's window that holds a time.
fn window(service: &Service, time: i64) -> Option<serde_json::Value> {
    let start = time - time.rem_euclid(10 * SECOND);
    let (from, to) = (rfc3339(start), rfc3339(start + 10 * SECOND));
    let answer = service.get(&format!("/api/v1/services/shop/signals?from={from}&to={to}"))?;
    answer["records"].as_array()?.iter().find(|record| record["window_start"] == rfc3339(start).as_str()).cloned()
}

/// FOLD's position moves behind everything in the source, and nothing else is written: what a transaction leaves that was torn in two.
fn tear(data: &std::path::Path, lost: i64) {
    let (events, group) = (Topic::new("service-events"), "golden-signals.blue.1.fold");
    let names = ["service-events", "golden-signals.blue.partials", "golden-signals.blue.signals", "golden-signals"];
    let more = ["golden-signals.late", "golden-signals.dead-letters"];
    let topics = names.iter().chain(&more).map(|name| TopicSettings { topic: Topic::new(name), partitions: 1, retention: Duration::MAX });
    let settings = Settings { topics: topics.collect(), reserve: 0, ..Settings::default() };
    let rocks = Rocks::open(data, &settings, Arc::new(SystemClock::new())).unwrap();
    let (log, zero) = (rocks.log(), Partition::new(&events, 0));
    let text = event(lost);
    log.producer().unwrap().append(&zero, &[NewRecord { value: Some(text.as_bytes()), ..NewRecord::default() }]).unwrap();
    let mut reader = log.reader(&Subscription { group: Some(group.to_owned()), topics: vec![events] }).unwrap();
    let claim = loop {
        if let Polled::Assigned(assignment) = reader.poll(Duration::from_secs(1)).unwrap() {
            break assignment.claim;
        }
    };
    let metadata = log.committed(group, &zero).unwrap().unwrap().metadata;
    let offset = log.bounds(&zero).unwrap().1;
    log.writer("golden-signals.blue.1.fold.0").unwrap().commit(&claim, &[(zero, Committed { offset, metadata })]).unwrap();
}

#[test]
fn i4_a_torn_transaction_is_an_alarm_and_an_incomplete_window() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("golden.yaml"));
    std::fs::write(&config, CONFIG).unwrap();
    let text = data.display().to_string();
    let start = || Service::start(&["--data", &text], Some(&config));
    let clock = SystemClock::new();
    let mut service = start();
    let before = clock.wall();
    post(&service, before);
    eventually("a window is published", 60, || window(&service, before).is_some());
    assert_eq!(window(&service, before).unwrap()["completeness"], 1.0);
    assert!(service.stop());

    let lost = clock.wall();
    tear(&data, lost);
    service = start();
    post(&service, lost);
    eventually("the window of what is missing is published", 60, || window(&service, lost).is_some());
    let record = window(&service, lost).unwrap();
    assert!(record["completeness"].as_f64().unwrap() < 1.0 && record["health"]["state"] == "unknown", "{record}");
    assert_eq!(record["events"], 1, "one of two is there");
    let metrics = ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let alarm = metrics.lines().find(|line| line.starts_with("platform_invariant_violations_total") && line.contains("name=\"I4 torn\""));
    assert!(alarm.is_some_and(|line| !line.ends_with(" 0")), "{alarm:?}");

    let after = clock.wall() + 10 * SECOND;
    eventually("the torn window is over", 60, || clock.wall() >= after);
    post(&service, after);
    eventually("a later window is published", 60, || window(&service, after).is_some());
    assert_eq!(window(&service, after).unwrap()["completeness"], 1.0);
    assert!(service.stop());
}
