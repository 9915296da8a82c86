//! The demo, as a whole process: signals within 20 seconds, and every planned incident seen, turned critical and recovered in time.

#[path = "support/process.rs"]
mod process;

use golden_generate::demo::{Demo, Kind};
use process::{Service, eventually};
use std::collections::BTreeMap;

#[test]
fn the_planned_services_turn_critical_and_recover_and_the_others_stay_healthy() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let service = Service::start(&["--demo", "--data", &data], None);
    eventually("first signals", 20, || service.get("/api/v1/services").is_some_and(|s| s["services"].as_array().is_some_and(|all| all.len() >= 7)));

    let failing: Vec<&str> = Demo::timetable().iter().filter(|i| matches!(i.kind, Kind::Failing(_))).map(|i| i.service).collect();
    assert!(failing.len() >= 2);
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut look = || {
        let Some(all) = service.get("/api/v1/services") else { return };
        for one in all["services"].as_array().unwrap() {
            let state = one["health"]["state"].as_str().unwrap_or("none").to_owned();
            let states = seen.entry(one["service"].as_str().unwrap().to_owned()).or_default();
            if states.last() != Some(&state) {
                states.push(state);
            }
        }
    };
    let done = |seen: &BTreeMap<String, Vec<String>>| failing.iter().all(|s| seen.get(*s).is_some_and(|h| h.iter().any(|x| x == "critical") && h.last().is_some_and(|x| x == "healthy")));
    for _ in 0..1200 {
        look();
        std::thread::park_timeout(std::time::Duration::from_millis(100));
        if seen.values().any(|h| h.iter().any(|x| x == "critical")) && failing.iter().all(|s| seen[*s].len() >= 3) {
            break;
        }
    }
    look();
    assert!(done(&seen), "{seen:?}");
    for (name, states) in seen.iter().filter(|(name, _)| !failing.contains(&name.as_str())) {
        assert!(!states.iter().any(|s| s == "critical"), "{name}: {states:?}");
    }
    assert!(service.stop(), "it stops in order");
}
