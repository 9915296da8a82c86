//! The demo, as a whole process: signals within 20 seconds, and every planned incident seen, turned critical and recovered in time; and a
//! release that fails is taken back by the controller, without a gap, and without a request more or less in Prometheus.

use crate::counted::Counted;
use crate::ledger::Stopping;
use crate::process::{Service, eventually};
use golden_generate::demo::{Demo, Kind};
use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use platform_core::time::SECOND;
use std::collections::{BTreeMap, BTreeSet};
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
fn a_release_that_fails_is_taken_back_without_a_gap() {
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

/// Waits for both flips of the demo's story, and looks at what they left.
fn flipped_twice(service: &Service) {
    let flips = || service.get("/api/v1/router").and_then(|status| status["flips"].as_array().cloned()).unwrap_or_default();
    eventually("two flips have receipts", 300, || flips().iter().filter(|flip| !flip["lost_and_doubled"].is_null()).count() == 2);
    let (both, status) = (flips(), service.get("/api/v1/router").unwrap());
    let of = |at: usize, field: &str| both[at][field].as_str().unwrap_or_default().to_owned();
    // The newest comes first.
    assert!(of(0, "kind") == "failure" && of(0, "by").starts_with("controller"), "{status:#}");
    assert!(of(1, "kind") == "planned" && of(1, "by") == "the demo", "{status:#}");
    assert_eq!(status["live"]["colour"], "blue", "{status:#}");
    for flip in [1, 2] {
        let receipt = service.get(&format!("/api/v1/router/receipts/{flip}?verify=true")).unwrap();
        assert_eq!(receipt["clean"], true, "{receipt:#}");
        let lines = receipt["verified"].as_array().unwrap();
        assert!(!lines.is_empty() && lines.iter().all(|line| line["said"] == line["found"]), "{receipt:#}");
    }
    for name in Demo::timetable().iter().map(|incident| incident.service) {
        let found = service.get(&format!("/api/v1/services/{name}/signals?limit=1000")).unwrap();
        let records = found["records"].as_array().unwrap();
        let starts: BTreeSet<i64> = records.iter().map(|record| nanos_of(record["window_start"].as_str().unwrap())).collect();
        let (first, last) = (starts.first().unwrap(), starts.last().unwrap());
        assert!(starts.len() >= 5, "{name}: {starts:?}");
        assert_eq!((last - first) / WINDOW + 1, i64::try_from(starts.len()).unwrap(), "{name} has a gap: {starts:?}");
    }
}
