//! Changes of health by webhook from a whole process: whatever is away, refuses or is killed when, each change that was published is told, under
//! its own key, signed, and nothing else is.

use crate::avro::{Stands, committed, opened};
use crate::process::{Service, eventually};
use crate::receiver::{Call, Receiver};
use aws_lc_rs::{digest, hmac};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, exemplars: false}\nruntime: {commit_interval: 100ms}\n\
     log: {partitions: 2, reserve_mib: 1}\n";
pub(crate) const SECRET: &str = "a canary of sixteen";
/// What the receiver does with a call.
const FAILS: u8 = 0;
const TAKES: u8 = 1;
/// It says nothing until it is to do something else.
const HOLDS: u8 = 2;

/// Bodies of the notices that these records of the public topic ask for, by key: one for each window of a service, if it is its newest, in which
/// the state is not what it was before.
pub(crate) fn changes(public: &[Stands]) -> BTreeMap<String, Value> {
    let mut told = BTreeMap::new();
    let mut last: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let signals = public.iter().filter(|stands| stands.headers["schema"] == b"golden-signals/1");
    for (stands, record) in signals.map(|stands| (stands, serde_json::from_slice::<Value>(&stands.value).unwrap())) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let (start, state) = (text(&record["window_start"]), record["health"]["state"].as_str());
        let Some(state) = state.filter(|_| record["grouping"] == "service") else { continue };
        let series = (text(&record["service_namespace"]), text(&record["service"]));
        let known = last.get(&series).cloned();
        if known.as_ref().is_some_and(|(newest, _)| *newest > start) {
            continue;
        }
        let levels = ["healthy", "degraded", "impaired", "critical"];
        let before = known.map_or_else(|| levels[record["health"]["previous"].as_u64().unwrap() as usize].to_owned(), |(_, state)| state);
        if before != state {
            let of = [&stands.headers["identity"][..], &record["revision"].as_u64().unwrap().to_be_bytes()].concat();
            let key = hex(digest::digest(&digest::SHA256, &of).as_ref());
            let (health, counts) = (&record["health"], |what: &str| record[what]["count"].clone());
            let notice = json!({
                "schema": "golden-signals-health/1", "tenant": record["tenant"], "service_namespace": series.0, "service": series.1,
                "window_start": start, "window_end": record["window_end"], "revision": record["revision"], "before": before, "state": state,
                "level": health["level"], "reason": health["reason"], "requests": counts("requests"), "errors": counts("errors"),
                "availability_ratio": record["availability_ratio"], "completeness": record["completeness"], "override": record["override"],
            });
            assert_eq!(told.insert(key, notice), None, "a key of its own");
        }
        last.insert(series, (start, state.to_owned()));
    }
    told
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The key and the body of a call, whose signature is right.
pub(crate) fn checked(call: &Call) -> (String, Value) {
    let (time, code) = call.header("x-golden-signature").strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).unwrap();
    let seconds: i64 = time.parse().unwrap();
    assert!((SystemClock::new().wall() / 1_000_000_000 - seconds).abs() < 600, "{seconds} is not now");
    let said: Vec<u8> = (0..code.len() / 2).map(|n| u8::from_str_radix(&code[2 * n..2 * n + 2], 16).unwrap()).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, &[format!("{time}.").as_bytes(), &call.body].concat(), &said).expect("the signature is of this body");
    assert!(call.path == "/hook" && call.header("content-type") == "application/json");
    (call.header("idempotency-key").to_owned(), call.json())
}

/// Sends as many requests of now as a verdict needs.
fn send(service: &Service, name: &str, status: u32) {
    let now = SystemClock::new().wall();
    let event = |_| json!({"service": name, "timestamp": now, "duration_ns": 1_000_000, "status": status}).to_string();
    let body = (0..70).map(event).collect::<Vec<_>>().join("\n");
    let post = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    assert!(post.send(body.as_bytes()).unwrap().status().is_success());
}

/// States of a service's windows, as they were published.
fn states(service: &Service, name: &str) -> Vec<String> {
    let found = service.get(&format!("/api/v1/services/{name}/signals?limit=10000")).unwrap_or_default();
    let records = found["records"].as_array().cloned().unwrap_or_default();
    records.iter().filter_map(|record| record["health"]["state"].as_str().map(str::to_owned)).collect()
}

fn page(service: &Service) -> String {
    ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap()
}

#[test]
fn each_change_is_told_once_under_its_key_whatever_is_away_or_killed() {
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens on yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    std::fs::write(folder.path().join("secret"), SECRET).unwrap();
    let webhook = format!("{{url: \"http://{address}/hook\", secret_file: {:?}, allow: [\"127.0.0.1\"]}}", folder.path().join("secret"));
    let config = folder.path().join("golden.yaml");
    std::fs::write(&config, format!("{SETTINGS}outputs: {{webhook: {webhook}}}\n")).unwrap();
    let data = folder.path().join("data").display().to_string();
    let start = || Service::start(&["--data", &data], Some(&config));

    // Away, and killed while it waits.
    let mut service = start();
    send(&service, "steady", 200);
    send(&service, "shop", 503);
    eventually("shop is critical", 60, || states(&service, "shop").iter().any(|state| state == "critical"));
    let retried = r#"golden_signals_output_retried_total{output="webhook"} "#;
    eventually("nobody answers", 60, || page(&service).lines().any(|line| line.strip_prefix(retried).is_some_and(|n| n != "0")));
    assert!(!service.said().contains("canary") && !page(&service).contains("canary"));
    service.kill();

    // Out of order for a while.
    let (does, holds) = (Arc::new(AtomicU8::new(FAILS)), Arc::new(AtomicBool::new(false)));
    let (mode, reached) = (Arc::clone(&does), Arc::clone(&holds));
    let receiver = Receiver::at(&address, move |_| {
        loop {
            match mode.load(Ordering::SeqCst) {
                FAILS => return (500, String::new()),
                TAKES => return (200, String::new()),
                _ => reached.store(true, Ordering::SeqCst),
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    });
    let mut service = start();
    eventually("it calls again and again", 60, || receiver.calls().len() > 2);
    does.store(TAKES, Ordering::SeqCst);
    let taken = |name: &str, state: &str| {
        let calls = receiver.calls();
        calls
            .iter()
            .filter(|call| call.status == 200)
            .map(Call::json)
            .filter(|said| said["service"] == name && said["state"] == state)
            .count()
    };
    // Windows without requests are healthy.
    eventually("what waited is told, and that shop is well again", 90, || taken("shop", "critical") > 0 && taken("shop", "healthy") > 0);

    // Killed while a call is being answered: it cannot know that it was taken.
    does.store(HOLDS, Ordering::SeqCst);
    send(&service, "pay", 500);
    eventually("a call waits for its answer", 90, || holds.load(Ordering::SeqCst));
    service.kill();
    does.store(TAKES, Ordering::SeqCst);
    let mut service = start();
    eventually("that pay is well again is told", 90, || taken("pay", "healthy") > 0);
    assert!(service.stop(), "{}", service.said());

    let rocks = opened(folder.path());
    let wanted = changes(&committed(&*rocks.log(), "golden-signals"));
    let (mut told, mut answers): (BTreeMap<_, Value>, BTreeMap<_, Vec<u16>>) = <_>::default();
    for call in receiver.calls() {
        let (key, body) = checked(&call);
        answers.entry((body["service"].as_str().unwrap().to_owned(), key.clone())).or_default().push(call.status);
        let before = told.insert(key, body.clone());
        assert!(before.is_none_or(|before| before == body), "the same key, and another body: {body}");
    }
    assert_eq!(told, wanted);
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told.values().all(|notice| notice["service"] != "steady"));
    let mut answers: Vec<Vec<u16>> = answers.into_values().collect();
    answers.sort_unstable();
    // Only the one whose answer was lost is told again once it was taken.
    let (last, once) = answers.split_last().unwrap();
    assert!(last.len() > 3 && last[..last.len() - 1].iter().all(|status| *status == 500) && last.last() == Some(&200), "{last:?}");
    assert_eq!(once, [vec![200], vec![200], vec![200, 200]]);
}
