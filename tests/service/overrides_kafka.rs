//! Overrides on Apache Kafka: two processes share the work under load while a version is published that turns outcomes round. All of them
//! change at the same window W, in records and in tags, and `golden verify` agrees over the change.

use crate::fleet::{Cluster, Fleet, ONE};
use crate::ledger::verify;
use crate::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_core::log::{Log, Polled, Reader, Subscription};
use platform_core::record::Topic;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// With one task each, so that no process can have all partitions.
const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, retain: 60s, series_ttl: 60s, skew: 2s, lead: 6s, exemplars: false,\n  \
                        groupings: {service: [], service_swimlane: [swimlane]}}\nruntime: {commit_interval: 100ms, fold_tasks: 1}\n";
/// Services with the override, enough for all partitions; the others have none.
const RULED: [&str; 6] = ["cart", "till", "shop", "bank", "post", "mill"];
const PLAIN: [&str; 2] = ["barn", "dock"];

fn golden(args: &[&str]) {
    let done = Command::new(env!("CARGO_BIN_EXE_golden")).args(args).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

fn publish(folder: &Path, file: &str) {
    let (git, bundles) = (folder.join("git"), folder.join("bundles"));
    std::fs::create_dir_all(git.join("team")).unwrap();
    for service in RULED {
        std::fs::write(git.join(format!("team/{service}.yaml")), file).unwrap();
    }
    golden(&["overrides", "publish", git.to_str().unwrap(), "--to", bundles.to_str().unwrap()]);
}

/// Posts two requests of each service, one of them a 429.
fn feed(url: &str, now: i64) {
    let mut lines = String::new();
    for service in RULED.iter().chain(&PLAIN) {
        for status in [200, 429] {
            let event = json!({"service": service, "timestamp": now, "duration_ns": 5_000_000, "status": status, "host": "h1"});
            writeln!(lines, "{event}").unwrap();
        }
    }
    // What is not taken is missing for all who count.
    drop(ureq::post(&format!("{url}/api/v1/events")).header("content-type", "application/x-ndjson").send(lines.as_bytes()));
}

/// Takes in what the public topic has: records with their partitions, each revision.
fn take(public: &mut dyn Reader, records: &mut Vec<(u32, Value)>) {
    loop {
        match public.poll(Duration::from_millis(50)).unwrap() {
            Polled::Batch(batch) => {
                let value = |value: Option<&[u8]>| serde_json::from_slice::<Value>(value.unwrap()).unwrap();
                let all = batch.iter().map(|record| (batch.partition.index, value(record.value)));
                records.extend(all.filter(|(_, value)| value["schema"] == "golden-signals/1"));
            }
            Polled::Assigned(_) => {}
            Polled::Nothing => return,
        }
    }
}

/// Starts of windows with this version, of services with the override.
fn windows(records: &[(u32, Value)], version: u64) -> BTreeSet<String> {
    let of_it = records.iter().filter(|(_, r)| ruled(r) && r["override"]["version"] == version);
    of_it.map(|(_, r)| r["window_start"].as_str().unwrap().to_owned()).collect()
}

fn ruled(record: &Value) -> bool {
    RULED.contains(&record["service"].as_str().unwrap())
}

/// What a record with events must say, when its window does or does not begin at or behind W.
fn check(record: &Value, changed: bool) {
    let events = record["events"].as_u64().unwrap();
    if events == 0 {
        return;
    }
    assert_eq!(record["override"]["version"], u64::from(changed), "{record}");
    let errors = if changed { events / 2 } else { 0 };
    assert_eq!(record["errors"]["count"], errors, "{record}");
    match record["grouping"].as_str().unwrap() {
        "service" => assert_eq!(record["health"]["level"] == 3, changed, "{record}"),
        _ => assert_eq!(record["dimensions"]["swimlane"], if changed { "ec2" } else { "" }, "{record}"),
    }
}

/// Whether tasks of a stage have committed something in this process.
fn works(service: &Service, stage: &str) -> bool {
    let Ok(mut answer) = ureq::get(&format!("{}/metrics", service.url)).call() else { return false };
    let pipeline = if stage == "router" { "golden-signals" } else { "golden-signals.blue.1" };
    let start = format!("platform_transactions_total{{pipeline=\"{pipeline}\",stage=\"{stage}\",outcome=\"committed\"}} ");
    let text = answer.body_mut().read_to_string().unwrap();
    text.lines().filter_map(|line| line.strip_prefix(start.as_str())).any(|count| count != "0")
}

#[test]
fn all_processes_change_to_a_version_at_the_same_window_and_verify_agrees() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    cluster.prepare(folder, "", "");
    let golden_yaml = folder.join("golden.yaml");
    let prepared = std::fs::read_to_string(&golden_yaml).unwrap();
    let of_log = prepared.lines().find(|line| line.starts_with("log:")).unwrap();
    let overrides = format!("overrides: {{from: {:?}, poll: 1s}}\n", folder.join("bundles").to_str().unwrap());
    std::fs::write(&golden_yaml, format!("{SETTINGS}{of_log}\n{overrides}")).unwrap();

    let (clock, urls, stop) = (SystemClock::new(), Mutex::new(Vec::new()), AtomicBool::new(false));
    let mut fleet = Fleet::start(folder, 2, 2, &urls);
    let of_public = Subscription { group: None, topics: vec![Topic::new("golden-signals")] };
    let log = cluster.log();
    let mut public = log.reader(&of_public).unwrap();
    let mut records = Vec::new();
    std::thread::scope(|scope| {
        let _stopping = crate::ledger::Stopping(&stop);
        for url in urls.lock().unwrap().clone() {
            let (stop, clock) = (&stop, &clock);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    feed(&url, clock.wall());
                    std::thread::park_timeout(Duration::from_millis(50));
                }
            });
        }
        let mut seen = |what: &str, version, count| {
            eventually(what, 60, || {
                take(&mut *public, &mut records);
                windows(&records, version).len() >= count
            });
        };
        seen("a window without overrides", 0, 1);
        let all_work = || fleet.services.iter().all(|service| works(service, "fold") && works(service, "close"));
        eventually("both processes take part", 30, all_work);
        publish(
            folder,
            "owner: team\nhealth: 'errorCount > 0 ? 3 : 1'\nerrors: 'status == 429 ? \"error\" : outcome'\n\
             tags: {swimlane: \"svcHost == 'h1' ? 'ec2' : ''\"}\n",
        );
        seen("two windows with overrides", 1, 2);
    });
    take(&mut *public, &mut records);

    let first = windows(&records, 1).pop_first().unwrap();
    for (_, record) in &records {
        check(record, ruled(record) && record["window_start"].as_str().unwrap() >= first.as_str());
    }
    let partitions: BTreeSet<u32> = records.iter().filter(|(_, r)| ruled(r)).map(|(partition, _)| *partition).collect();
    assert_eq!(partitions.len(), 2, "services of both processes have the override");
    // What each process answers is what was published, of all partitions.
    let mut newest = BTreeMap::new();
    for (_, record) in records.iter().filter(|(_, r)| r["service"] == "cart" && r["grouping"] == "service") {
        newest.insert(record["window_start"].as_str().unwrap(), record);
    }
    for service in &fleet.services {
        let shown = |start: &str| {
            let page = service.get("/api/v1/services/cart/signals?grouping=service&limit=10000")?;
            page["records"].as_array()?.iter().find(|record| record["window_start"] == start).cloned()
        };
        for (start, record) in &newest {
            eventually("the history has it", 20, || shown(start).is_some_and(|shown| shown["override"] == record["override"]));
        }
    }
    assert!(fleet.services.iter_mut().all(Service::stop));
    let (code, text) = verify(folder, &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
    eprintln!("W is {first}: {} windows before, {} from there on", windows(&records, 0).len(), windows(&records, 1).len());
}
