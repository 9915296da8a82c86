use super::*;
use crate::expect::Expect;
use platform_core::window::WindowLength;
use std::collections::BTreeMap;

const START: i64 = 1_767_225_600 * SECOND;

/// Requests, health and p99 by (service, start of the window in seconds since the start of the demo).
fn play(seed: u64, offset: i64, seconds: u64) -> BTreeMap<(String, i64), (u64, String, f64)> {
    let demo = Demo::new(seed);
    let start = EventTime(START + offset * SECOND);
    let mut expect = Expect::new(WindowLength::new(Duration::from_secs(10)).unwrap());
    let mut out = Vec::new();
    for tick in 0..seconds * 5 {
        out.clear();
        let facts = demo.tick(start, tick, &mut out);
        assert_eq!(facts.len(), out.iter().filter(|byte| **byte == b'\n').count());
        for fact in facts {
            if let Fact::Event(event) = fact {
                assert!(event.time < start.plus((tick as i64 + 1) * TICK_NANOS), "nothing comes from the future");
            }
            expect.record(&fact);
        }
    }
    assert!(expect.totals().dead_letters.values().sum::<u64>() >= seconds / 15, "a bad record now and then");
    let mut csv = Vec::new();
    expect.write(demo.names(), &mut csv).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        let text = fields[0];
        let part = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
        assert!(text.starts_with("2026-01-01T") || text.starts_with("2025-12-31T23:59"), "{text}");
        let second = part(11..13) * 3600 + part(14..16) * 60 + part(17..19);
        let second = if text.starts_with("2025") { second - 86_400 } else { second } - offset;
        ((fields[1].to_owned(), second), (fields[2].parse().unwrap(), fields[14].to_owned(), fields[10].parse().unwrap()))
    };
    String::from_utf8(csv).unwrap().lines().skip(1).map(row).collect()
}

#[test]
fn planned_services_turn_critical_and_recover_and_no_other_does() {
    let cycle = CYCLE.as_secs() as i64;
    for (seed, offset) in [(1, 0), (2, 3), (3, 7), (4, 9)] {
        let rows = play(seed, offset, 2 * CYCLE.as_secs() + 20);
        for ((service, from), (_, health, _)) in &rows {
            let overlaps = |incident: &&Incident| {
                let (at, to) = (i64::from(incident.from), i64::from(incident.to));
                incident.service == service.as_str() && [0, cycle, 2 * cycle].iter().any(|c| *from < c + to && c + at < from + 10)
            };
            let within = |incident: &Incident| {
                let (at, to) = (i64::from(incident.from), i64::from(incident.to));
                [0, cycle, 2 * cycle].iter().any(|c| c + at <= *from && from + 10 <= c + to)
            };
            let fails = |incident: &&Incident| matches!(incident.kind, Kind::Failing(_));
            match Demo::timetable().iter().find(overlaps).filter(fails) {
                None => assert_eq!(health, "healthy", "{service} at {from} s"),
                Some(incident) if within(incident) => assert_eq!(health, "critical", "{service} at {from} s"),
                Some(_) => {} // windows at its edges may say either
            }
        }
        assert!(rows.values().any(|(_, health, _)| health == "critical"));
    }
}

#[test]
fn a_first_change_of_health_and_the_recovery_come_within_two_minutes() {
    let rows = play(1, 4, 120);
    for service in ["payment", "checkout"] {
        let healths: Vec<&str> = rows.iter().filter(|((name, _), _)| name == service).map(|(_, (_, health, _))| health.as_str()).collect();
        let first = healths.iter().position(|health| *health == "critical").unwrap();
        assert!(first > 0, "{service} starts healthy");
        assert!(healths[first..].contains(&"healthy"), "{service} recovers");
    }
}

#[test]
fn services_that_turn_critical_have_enough_requests_in_every_window() {
    let rows = play(5, 6, 240);
    for incident in Demo::timetable().iter().filter(|incident| matches!(incident.kind, Kind::Failing(_))) {
        for ((service, from), (requests, ..)) in &rows {
            // The first and last windows are cut off by the start and the end.
            assert!(service != incident.service || !(0..220).contains(from) || *requests > 110, "{service} at {from}: {requests}");
        }
    }
    assert!(rows.iter().all(|((service, _), (requests, ..))| service != "mailer" || *requests < 10), "a low-traffic service");
}

#[test]
fn the_slow_dependency_shows_in_p99_alone() {
    let rows = play(6, 0, 240);
    let p99 = |from: i64| rows[&("catalog".to_owned(), from)].2;
    for slow in [60, 70, 80, 90] {
        assert!(p99(slow) > 5.0 * p99(20), "{} at {slow} s, {} before", p99(slow), p99(20));
        assert_eq!(rows[&("catalog".to_owned(), slow)].1, "healthy");
    }
    assert!(p99(110) < 2.0 * p99(20));
}

#[test]
fn a_tick_is_a_pure_function_of_seed_and_number() {
    let tick = |seed, number| {
        let mut out = Vec::new();
        let facts = Demo::new(seed).tick(EventTime(START), number, &mut out);
        (facts, out)
    };
    assert!(tick(1, 149) == tick(1, 149));
    assert!(tick(1, 149) != tick(2, 149) && tick(1, 149) != tick(1, 150));
    assert!(tick(1, 10_000_000_000).0.len() > 10, "after sixty years too");
}

#[test]
fn late_events_and_disorder_are_in_it() {
    let demo = Demo::new(1);
    let start = EventTime(START);
    let (mut moved, mut late) = (0, 0);
    for tick in 0..300 {
        for fact in demo.tick(start, tick, &mut Vec::new()) {
            let Fact::Event(event) = fact else { continue };
            let age = start.plus((tick as i64 + 1) * TICK_NANOS).since(event.time);
            late += u64::from(age > 10 * SECOND);
            moved += u64::from(age > SECOND && age < 10 * SECOND);
        }
    }
    assert_eq!(late, 2);
    assert!(moved > 100, "{moved}");
}

#[test]
fn gauges_come_every_five_seconds_and_show_the_incidents() {
    let demo = Demo::new(7);
    let used = |second: u64, service: &str, metric: &str| -> f64 {
        let document = demo.gauges(EventTime(START), second * 5 - 1).unwrap();
        let json: serde_json::Value = serde_json::from_str(&document).unwrap();
        let of_service = |of: &&serde_json::Value| of["resource"]["attributes"][0]["value"]["stringValue"] == service;
        let first = json["resourceMetrics"].as_array().unwrap().iter().find(of_service).unwrap();
        let metrics = first["scopeMetrics"][0]["metrics"].as_array().unwrap();
        let found = metrics.iter().find(|found| found["name"] == metric).unwrap();
        let point = found.get("gauge").or(found.get("sum")).unwrap()["dataPoints"][0].clone();
        point["asDouble"].as_f64().unwrap_or_else(|| point["asInt"].as_str().unwrap().parse().unwrap())
    };
    assert!((0..100).filter(|tick| demo.gauges(EventTime(START), *tick).is_some()).eq([24, 49, 74, 99]));
    assert_eq!(demo.gauges(EventTime(START), 24), Demo::new(7).gauges(EventTime(START), 24), "the same each time");
    assert!(used(5, "catalog", "container.cpu.usage") < 0.6 && used(80, "catalog", "container.cpu.usage") > 0.9);
    assert!(used(5, "payment", "db.client.connection.count") < 10.0);
    assert_eq!(used(50, "payment", "db.client.connection.count"), used(50, "payment", "db.client.connection.max"));
}
