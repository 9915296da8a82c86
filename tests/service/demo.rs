//! The demo, as a whole process: signals within 20 seconds, and every planned incident seen, turned critical and recovered in time; and a
//! release whose health fails is taken back by the controller, without a gap, and without a request more or less in Prometheus.

use crate::counted::Counted;
use crate::ledger::Stopping;
use crate::process::{Service, eventually};
use golden_generate::demo::{Demo, Kind};
use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use platform_core::time::SECOND;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::atomic::AtomicBool;

/// Length of the demo's windows in ns.
const WINDOW: i64 = 10 * SECOND;

/// The states of each service, in the order in which they were seen.
type Seen = BTreeMap<String, Vec<String>>;

fn look(service: &Service, seen: &mut Seen) {
    let Some(all) = service.get("/api/v1/services") else { return };
    for one in all["services"].as_array().unwrap() {
        let state = one["health"]["state"].as_str().unwrap_or("none").to_owned();
        let states = seen.entry(one["service"].as_str().unwrap().to_owned()).or_default();
        if states.last() != Some(&state) {
            states.push(state);
        }
    }
}

fn recovered(seen: &Seen, name: &str) -> bool {
    let states = seen.get(name).map(Vec::as_slice).unwrap_or_default();
    states.iter().any(|s| s == "critical") && states.last().is_some_and(|s| s == "healthy")
}

#[test]
fn the_planned_services_turn_critical_and_recover_and_the_others_stay_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let mut service = Service::start(&["--demo", "--data", &data], None);
    eventually("first signals", 20, || {
        service.get("/api/v1/services").is_some_and(|s| s["services"].as_array().is_some_and(|all| all.len() >= 7))
    });

    let failing: Vec<&str> = Demo::timetable().iter().filter(|i| matches!(i.kind, Kind::Failing(_))).map(|i| i.service).collect();
    assert!(failing.len() >= 2);
    let mut seen: Seen = Seen::new();
    eventually("every failing service turns critical and recovers", 120, || {
        look(&service, &mut seen);
        failing.iter().all(|name| recovered(&seen, name))
    });
    for (name, states) in seen.iter().filter(|(name, _)| !failing.contains(&name.as_str())) {
        assert!(!states.iter().any(|s| s == "critical"), "{name}: {states:?}");
    }
    // It has objectives of its own.
    let promises = service.get("/api/v1/slo").unwrap();
    let names: BTreeSet<&str> = promises["slos"].as_array().unwrap().iter().filter_map(|one| one["service"].as_str()).collect();
    assert_eq!(names, ["checkout", "payment"].into(), "{promises:#}");
    assert!(service.stop(), "it stops in order");
}

fn nanos_of(time: &str) -> i64 {
    Timestamps::new(TimeUnit::Rfc3339, None).parse_text(time).unwrap()
}

#[test]
fn a_release_whose_health_fails_is_taken_back_without_a_gap() {
    let (counted, stop) = (Counted::new(), AtomicBool::new(false));
    let mut service = counted.start(&["--demo", "--flip"]);
    std::thread::scope(|scope| {
        let stopping = Stopping(&stop);
        let ledger = scope.spawn(|| counted.feed(&stop));
        flipped_twice(&service);
        drop(stopping);
        counted.judge(ledger.join().unwrap());
    });
    assert!(service.stop(), "it stops in order");
}

/// Why the controller takes the release back, and by nothing else.
const WHY: &str = "green.2 is live and fails: it puts aside more of the same input than the other one. blue.1 is well";

/// Waits for both flips of the demo's story, and looks at what they left.
fn flipped_twice(service: &Service) {
    // What a person reads meanwhile, in this order.
    for line in [
        "a release of green computes the same windows beside it",
        "flip 1, blue.1 to green.2, is ordered",
        "receipt 1: lost 0, doubled 0",
        "the health of the release fails",
        &format!("flip 2, green.2 to blue.1, ordered by controller: {WHY}"),
        "green.2 was given up, so its tasks have ended",
        "receipt 2: lost 0, doubled 0",
        "blue.1 is live again",
    ] {
        eventually(&format!("`{line}` is said"), 200, || service.said().contains(line));
    }
    let flips = || service.get("/api/v1/router").and_then(|status| status["flips"].as_array().cloned()).unwrap_or_default();
    eventually("two flips have receipts", 10, || flips().iter().filter(|flip| !flip["lost_and_doubled"].is_null()).count() == 2);
    let (both, status) = (flips(), service.get("/api/v1/router").unwrap());
    let of = |at: usize, field: &str| both[at][field].as_str().unwrap_or_default().to_owned();
    // The newest comes first.
    assert!(of(0, "kind") == "failure" && of(0, "by").starts_with("controller") && of(0, "reason") == WHY, "{status:#}");
    assert!(of(1, "kind") == "planned" && of(1, "by") == "the demo", "{status:#}");
    assert_eq!(status["live"]["colour"], "blue", "{status:#}");
    // The release really put aside a part of what blue could read.
    let said = service.get("/api/v1/status").unwrap();
    let share = |at: usize| {
        let of = |field: &str| said["deployments"][at][field].as_f64().unwrap();
        of("dead_letters") / of("decoded")
    };
    assert!(share(1) > 2.0 * share(0), "{said:#}");
    // Who ordered both, why, and what was live before and after.
    let audit = service.get("/api/v1/router/log").unwrap();
    let live = |entry: &Value| ["before", "after"].map(|when| entry[when]["colour"].as_str().unwrap_or_default().to_owned());
    let ordered = audit["entries"].as_array().unwrap().iter().filter(|entry| entry["what"].as_str().unwrap().starts_with("flip "));
    let ordered: Vec<_> = ordered.map(|entry| (live(entry), entry["by"].as_str().unwrap(), entry["reason"].as_str().unwrap())).collect();
    let turned = |from: &str, to: &str| [from.to_owned(), to.to_owned()];
    assert_eq!(
        ordered,
        [(turned("blue", "green"), "the demo", "a release of green"), (turned("green", "blue"), "controller", WHY)],
        "{audit:#}"
    );
    assert_eq!(audit["broken"], Value::Null);
    for flip in [1_usize, 2] {
        let receipt = service.get(&format!("/api/v1/router/receipts/{flip}?verify=true")).unwrap();
        assert_eq!(receipt["clean"], true, "{receipt:#}");
        let (by, why) = [("the demo", "a release of green"), ("controller", WHY)][flip - 1];
        assert_eq!((&receipt["receipt"]["by"], &receipt["receipt"]["reason"]), (&Value::from(by), &Value::from(why)), "{receipt:#}");
        let lines = receipt["verified"].as_array().unwrap();
        assert!(!lines.is_empty() && lines.iter().all(|line| line["said"] == line["found"]), "{receipt:#}");
    }
    // What was given up does not come back.
    let output =
        Command::new(env!("CARGO_BIN_EXE_golden")).args(["router", "flip", "--to", "green", "--server", &service.url]).output().unwrap();
    let refused = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2)
            && refused.contains("green.2 was given up and does not come back: deploy green anew, under epoch 3"),
        "{refused}"
    );
    assert_eq!(service.get("/api/v1/router").unwrap()["live"]["colour"], "blue");
    for name in Demo::timetable().iter().map(|incident| incident.service) {
        let mut starts = BTreeSet::new();
        eventually("windows of before, between and behind both flips", 60, || {
            let found = service.get(&format!("/api/v1/services/{name}/signals?limit=1000")).unwrap();
            let records = found["records"].as_array().unwrap();
            starts = records.iter().map(|record| nanos_of(record["window_start"].as_str().unwrap())).collect();
            starts.len() >= 5
        });
        let (first, last) = (starts.first().unwrap(), starts.last().unwrap());
        assert_eq!((last - first) / WINDOW + 1, i64::try_from(starts.len()).unwrap(), "{name} has a gap: {starts:?}");
    }
}
