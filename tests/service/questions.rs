//! Questions to a running service: they do not hold up what comes in, however many are asked, and what they are answered from can be lost.

use super::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const SETTINGS: &str =
    "pipeline: {window: 10s, bound: 1s, hold: 5s}\nruntime: {commit_interval: 100ms}\nlog: {partitions: 2, reserve_mib: 1}\n";
const SECOND: i64 = 1_000_000_000;

fn start(folder: &Path) -> Service {
    let config = folder.join("golden.yaml");
    std::fs::write(&config, SETTINGS).unwrap();
    let service = Service::start(&["--data", &folder.join("data").display().to_string()], Some(&config));
    eventually("it is ready", 60, || ask(&service, "/-/ready").is_some_and(|answer| answer.status == 200));
    service
}

struct Answer {
    status: u16,
    kind: String,
    retry_after: Option<u64>,
    body: String,
}

fn ask(service: &Service, path: &str) -> Option<Answer> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(60))).build();
    let mut answer = ureq::Agent::from(config).get(&format!("{}{path}", service.url)).call().ok()?;
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let (kind, retry_after) = (header("content-type").unwrap_or_default(), header("retry-after").and_then(|seconds| seconds.parse().ok()));
    Some(Answer { status: answer.status().as_u16(), kind, retry_after, body: answer.body_mut().read_to_string().ok()? })
}

fn send(service: &Service, events: &str) -> bool {
    let post = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    post.send(events).is_ok_and(|answer| answer.status() == 200)
}

fn put(events: &mut String, service: &str, operation: &str, time: i64, n: i64) {
    let status = if n % 7 == 0 { 500 } else { 200 };
    let tags = json!({"trace_id": format!("{:032x}", n + 1), "span_id": format!("{:016x}", n + 1)});
    let event = json!({
        "service": service, "timestamp": time, "duration_ns": 1_000_000 + n * 10_000, "status": status, "operation": operation, "tags": tags,
    });
    let _ = writeln!(events, "{event}");
}

/// Events of all published windows of a service that start at `from` or later.
fn published(service: &Service, name: &str, from: i64) -> u64 {
    let path = format!("/api/v1/services/{name}/signals?limit=10000&from={}", from / SECOND);
    let signals = service.get(&path);
    signals.and_then(|s| Some(s["records"].as_array()?.iter().filter_map(|r| r["events"].as_u64()).sum())).unwrap_or(0)
}

fn newest(service: &Service, name: &str) -> Option<String> {
    let all: Value = service.get("/api/v1/services")?;
    all["services"].as_array()?.iter().find(|of| of["service"] == name)?["window_end"].as_str().map(str::to_owned)
}

#[test]
fn a_flood_of_heavy_questions_is_refused_with_advice_and_events_come_through_meanwhile() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path());
    let clock = SystemClock::new();
    let begin = clock.wall() - 300 * SECOND;
    // Something to read: half an hour's worth of a service with many operations, in order of time.
    for window in 0..30 {
        let mut events = String::new();
        (0..200).for_each(|n| put(&mut events, "wide", &format!("GET /{n}"), begin + window * 10 * SECOND, n));
        assert!(send(&service, &events));
    }
    eventually("there is something to ask for", 120, || published(&service, "wide", begin - 60 * SECOND) >= 29 * 200);

    let (over, sent, answered, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let begun = clock.wall();
    std::thread::scope(|scope| {
        // A test that fails ends its threads.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ends = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut events = String::new();
                (0..10).for_each(|n| put(&mut events, "steady", "GET /", clock.wall(), n));
                assert!(send(&service, &events), "events are taken while questions are refused");
                sent.fetch_add(10, Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(50));
            }
        });
        for asker in 0..40 {
            let (over, answered, refused, service) = (&over, &answered, &refused, &service);
            let paths = [
                "/api/v1/services/wide/range?grouping=service_operation&step=10&limit=100",
                "/api/v1/services/wide/heatmap?grouping=service_operation",
                "/api/v1/services/wide/signals?grouping=service_operation&limit=10000",
                "/api/v1/services/wide/timeline",
                "/api/v1/slo?limit=10000",
                "/api/v1/dead-letters?limit=1000&payload=true",
                "/api/v1/services/wide/range?from=1000000000",
            ];
            scope.spawn(move || {
                for path in paths.iter().cycle().skip(asker) {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    let Some(answer) = ask(service, path) else { continue };
                    match answer.status {
                        200 => answered.fetch_add(1, Ordering::Relaxed),
                        422 | 429 | 503 => {
                            assert_eq!(answer.kind, "application/problem+json", "{}", answer.body);
                            let problem: Value = serde_json::from_str(&answer.body).unwrap();
                            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(':')), "{problem}");
                            assert_eq!(answer.retry_after.is_some(), answer.status != 422, "{problem}");
                            refused.fetch_add(1, Ordering::Relaxed)
                        }
                        _ => panic!("{path}: {} {}", answer.status, answer.body),
                    };
                }
            });
        }
        // Windows that began after the flood did are published while it goes on: three of them.
        let enough = rfc3339(begun + 40 * SECOND);
        eventually("windows close while questions are asked", 180, || newest(&service, "steady").is_some_and(|end| end >= enough));
        eventually("some questions are refused and some are answered", 60, || {
            refused.load(Ordering::Relaxed) > 40 && answered.load(Ordering::Relaxed) > 40
        });
        drop(ends);
    });
    let sent = sent.into_inner();
    eventually("every event counts", 120, || published(&service, "steady", begun - 60 * SECOND) == sent);
    assert!(service.stop());
}

/// Comparable as text.
fn rfc3339(nanos: i64) -> String {
    golden_pipeline::emit::json::rfc3339(platform_core::time::EventTime(nanos / SECOND * SECOND))
}

#[test]
fn what_questions_are_answered_from_is_built_again_from_the_log_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path());
    let now = SystemClock::new().wall();
    let begin = (now - 300 * SECOND) / (10 * SECOND) * 10 * SECOND;
    for window in 0..20 {
        let mut events = String::new();
        (0..30).for_each(|n| put(&mut events, "cart", ["GET /", "POST /"][usize::from(n % 3 == 0)], begin + window * 10 * SECOND, n));
        (0..10).for_each(|n| put(&mut events, "search", "GET /q", begin + window * 10 * SECOND, n));
        assert!(send(&service, &events));
    }
    let wanted = |name: &str, count: u64| eventually(name, 120, || published(&service, name, begin) == count);
    wanted("cart", 600);
    wanted("search", 200);
    // Corrections, and lines of the late ledger.
    let mut events = String::new();
    (0..5).for_each(|n| put(&mut events, "cart", "GET /", begin + 3 * 10 * SECOND, n));
    (0..4).for_each(|n| put(&mut events, "cart", "GET /", now - 7200 * SECOND, n));
    assert!(send(&service, &events));
    wanted("cart", 605);
    eventually("late events are in the ledger", 60, || {
        service.get("/api/v1/late?service=cart").is_some_and(|late| late["lines"][0]["events"] == 4)
    });

    // Of a span that is over: what is live gets further, empty, windows each ten seconds.
    let span = format!("from={}&to={}", begin / SECOND, begin / SECOND + 200);
    let at = begin / SECOND + 30;
    let mut paths = vec!["/api/v1/late".to_owned()];
    for name in ["cart", "search"] {
        for route in [
            "range?grouping=service_operation&",
            "range?step=10&",
            "heatmap?",
            "timeline?",
            "exemplars?",
            "signals?",
            "signals?grouping=service_operation&",
        ] {
            paths.push(format!("/api/v1/services/{name}/{route}{span}"));
        }
        paths.push(format!("/api/v1/services/{name}/explain?at={at}"));
    }
    let answers = |service: &Service| -> Option<Vec<String>> {
        paths.iter().map(|path| ask(service, path).filter(|answer| answer.status == 200).map(|answer| answer.body)).collect()
    };
    let before = answers(&service).unwrap();
    assert!(before.iter().all(|body| body.len() > 100), "{before:?}");
    assert!(service.stop());
    std::fs::remove_dir_all(folder.path().join("data/state")).unwrap();

    let mut service = start(folder.path());
    let mut after = None;
    eventually("it answers as before", 120, || {
        after = answers(&service);
        after.as_ref() == Some(&before)
    });
    let health = service.get("/api/v1/services/cart/health").unwrap();
    assert!(health["published"]["state"].is_string(), "{health}");
    assert!(service.stop());
}
