//! The demo, as a whole process: signals within 20 seconds, and every planned incident seen, turned critical and recovered in time.

use crate::process::{Service, eventually};
use golden_generate::demo::{Demo, Kind};
use std::collections::BTreeMap;

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
    assert!(service.stop(), "it stops in order");
}
