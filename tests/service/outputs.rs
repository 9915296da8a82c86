//! Outputs of a whole process into a real Prometheus: what was published stands there window by window, whatever is killed when.

use crate::process::{Service, eventually};
use crate::prometheus::Prometheus;
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, exemplars: false}\nruntime: {commit_interval: 100ms}\n";
const SERVICES: [&str; 3] = ["cart", "checkout", "search"];

/// Sends requests of each service, a few of them failed, until told to stop; whoever listens gets them.
fn feed(url: &Mutex<String>, stop: &AtomicBool, clock: &SystemClock) {
    let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    let mut n = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        let of = |service: &&str| {
            let status = if n.is_multiple_of(7) { 503 } else { 200 };
            json!({"service": service, "timestamp": clock.wall(), "duration_ns": 1_000_000 * (n % 300 + 1), "status": status}).to_string()
        };
        let body = SERVICES.iter().map(of).collect::<Vec<_>>().join("\n");
        let to = format!("{}/api/v1/events", url.lock().unwrap());
        // What is not acknowledged may count or not: what was published decides.
        drop(agent.post(&to).header("content-type", "application/x-ndjson").send(body.as_bytes()));
        std::thread::park_timeout(Duration::from_millis(100));
    }
}

/// Requests and errors by end of the window, s, as they were published; and the first window that was corrected.
fn published(service: &Service, name: &str) -> (BTreeMap<i64, (u64, u64)>, i64) {
    let answer = service.get(&format!("/api/v1/services/{name}/signals?limit=10000")).unwrap();
    let records = answer["records"].as_array().unwrap();
    let end = |record: &Value| {
        let text = record["window_end"].as_str().unwrap();
        golden_end(text)
    };
    let count = |record: &Value, what: &str| record[what]["count"].as_u64().unwrap();
    let corrected = records.iter().filter(|record| record["revision"] != 0).map(end).min().unwrap_or(i64::MAX);
    (records.iter().map(|record| (end(record), (count(record, "requests"), count(record, "errors")))).collect(), corrected)
}

/// Seconds of a day of a time like `2026-01-05T10:01:00Z`: a test is over before it ends twice.
fn golden_end(text: &str) -> i64 {
    let part = |from: usize| text[from..from + 2].parse::<i64>().unwrap();
    part(11) * 3600 + part(14) * 60 + part(17)
}

/// Samples of the one series of a query over the last hour, by second of the day.
fn samples(prometheus: &Prometheus, query: &str) -> BTreeMap<i64, f64> {
    let found = prometheus.query(&format!("{query}[1h]")).unwrap();
    assert!(found.len() <= 1, "{query}: {found:?}");
    let values = found.first().and_then(|series| series["values"].as_array().cloned()).unwrap_or_default();
    let pair = |value: &Value| (value[0].as_f64().unwrap() as i64 % 86_400, value[1].as_str().unwrap().parse().unwrap());
    values.iter().map(pair).collect()
}

#[test]
fn a_killed_process_leaves_neither_a_gap_nor_another_value_in_prometheus() {
    let folder = tempfile::tempdir().unwrap();
    let prometheus = Prometheus::start(&["--ooo", "2h"]);
    let (data, config) = (folder.path().join("data").display().to_string(), folder.path().join("golden.yaml"));
    let at = &prometheus.url;
    let outputs = format!(
        "outputs:\n  remote_write: {{url: \"{at}/api/v1/write\", labels: {{by: write}}}}\n  otlp: {{url: \"{at}/api/v1/otlp/v1/metrics\"}}\n"
    );
    std::fs::write(&config, format!("{SETTINGS}log: {{partitions: 2, reserve_mib: 1}}\n{outputs}")).unwrap();
    let start = || Service::start(&["--data", &data], Some(&config));
    let mut service = start();
    let (url, stop, clock) = (Mutex::new(service.url.clone()), AtomicBool::new(false), SystemClock::new());
    let sum = |by: &str| prometheus.value(&format!("sum(golden_signals_requests_total{{{by},grouping=\"service\"}})")).unwrap_or(0.0);
    let (write, otlp) = ("by=\"write\"", "job=\"golden-signals\"");
    std::thread::scope(|scope| {
        scope.spawn(|| feed(&url, &stop, &clock));
        for round in 1..=3 {
            let before = sum(write);
            eventually("a window more stands in Prometheus", 90, || sum(write) > before && sum(otlp) > 0.0);
            if round == 2 {
                // Something waits to be sent when the process dies.
                prometheus.pause();
                let waits = |page: &str| page.lines().any(|l| l.starts_with("golden_signals_output_queue_bytes") && !l.ends_with(" 0"));
                let page = || ureq::get(&format!("{}/metrics", service.url)).call().ok()?.body_mut().read_to_string().ok();
                eventually("something waits", 60, || page().is_some_and(|page| waits(&page)));
            }
            service.kill();
            if round == 2 {
                prometheus.resume();
            }
            service = start();
            *url.lock().unwrap() = service.url.clone();
        }
        stop.store(true, Ordering::Relaxed);
    });
    for name in SERVICES {
        for by in [write, otlp] {
            let series = |metric: &str, more: &str| format!("{metric}{{{by},grouping=\"service\",service_name=\"{name}\"{more}}}");
            let requests = series("golden_signals_requests_total", "");
            eventually("everything that was published stands in Prometheus", 90, || {
                let total: u64 = published(&service, name).0.values().map(|(requests, _)| requests).sum();
                total > 0 && prometheus.value(&requests) == Some(total as f64)
            });
            let (windows, corrected) = published(&service, name);
            let shown = samples(&prometheus, &requests);
            let (first, last) = (*windows.keys().next().unwrap(), *shown.keys().last().unwrap());
            assert_eq!(shown[&(first - 10)], 0.0, "{requests}: a zero before the first sample");
            let mut total = 0;
            for (end, (requests, _)) in windows.range(..=last) {
                total += requests;
                let sample = shown.get(end).unwrap_or_else(|| panic!("{name} by {by} has no sample at {end}: {shown:?}"));
                assert!(*end >= corrected || *sample == total as f64, "{name} by {by} at {end}: {sample} is not {total}");
            }
            assert_eq!(shown.len(), windows.range(..=last).count() + 1, "one sample for each window, and the zero");
            let failed: u64 = windows.range(..=last).map(|(_, (_, errors))| errors).sum();
            let errors = format!("sum(last_over_time({}[1h]))", series("golden_signals_errors_total", ",error_type!=\"\""));
            assert_eq!(prometheus.value(&errors), Some(failed as f64));
            let histogram = format!("histogram_count(sum(last_over_time({}[1h])))", series("golden_signals_request_duration_seconds", ""));
            assert_eq!(prometheus.value(&histogram), Some(total as f64), "native histograms hold the same requests");
        }
    }
    let page = ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let dropped: Vec<&str> = page.lines().filter(|line| line.starts_with("golden_signals_output_dropped_total")).collect();
    assert!(dropped.is_empty(), "{dropped:?}");
    assert!(service.stop(), "it stops in order");
}
