use super::*;
use crate::fact::Bad;
use crate::generator::Generator;
use crate::settings::Settings;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

fn window() -> WindowLength {
    WindowLength::new(Duration::from_secs(60)).unwrap()
}

fn settings() -> Settings {
    Settings {
        events: 30_000,
        rate: 100,
        services: 12,
        operations: 5,
        error_share: 0.01,
        ignored_share: 0.01,
        no_latency_share: 0.02,
        late_share: 0.05,
        bad_share: 0.02,
        duplicate_share: 0.03,
        ..Settings::default()
    }
}

/// The results by the slow way: every line read as JSON, windows and operations cut out of texts.
fn recomputed(lines: &[u8], by_operation: bool, without_duplicates: bool) -> String {
    let mut groups: BTreeMap<(String, String, String), Vec<Value>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(value) = serde_json::from_slice::<Value>(line) else { continue };
        // Good lines have a span; bad ones that can be read have none.
        if value["tags"]["span_id"].is_null() || (!seen.insert(line) && without_duplicates) {
            continue;
        }
        let minute = format!("{}:00Z", &value["timestamp"].as_str().unwrap()[..16]);
        let text = |key: &str| value[key].as_str().unwrap().to_owned();
        let operation = if by_operation { text("operation") } else { String::new() };
        groups.entry((minute, text("service"), operation)).or_default().push(value);
    }
    let by = if by_operation { ",operation" } else { "" };
    let mut csv = format!(
        "window_start,service{by},requests,errors,availability_pct,latency_count,p50_ms,p75_ms,p90_ms,p95_ms,p99_ms,p999_ms,max_ms,mean_ms,health,completeness\n"
    );
    for ((minute, service, operation), values) in groups {
        let counted: Vec<&Value> = values.iter().filter(|value| value["status"] != 499).collect();
        let errors = counted.iter().filter(|value| value["status"].as_u64().unwrap() >= 500).count();
        let mut latencies: Vec<f64> = counted.iter().filter_map(|value| value["latency_ms"].as_f64()).collect();
        latencies.sort_by(f64::total_cmp);
        let (requests, n) = (counted.len(), latencies.len());
        let availability = 100.0 * (requests - errors) as f64 / requests as f64;
        write!(csv, "{minute},{service}").unwrap();
        if by_operation {
            write!(csv, ",{operation}").unwrap();
        }
        write!(csv, ",{requests},{errors},").unwrap();
        if requests > 0 {
            write!(csv, "{}", format!("{availability:.10}").parse::<f64>().unwrap()).unwrap();
        }
        write!(csv, ",{n}").unwrap();
        for q in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0] {
            // The least value with at least the share q of all values up to it.
            let exact = latencies.iter().enumerate().find(|(at, _)| (at + 1) as f64 >= q * n as f64 - 1e-9);
            csv.push(',');
            csv.push_str(&exact.map(|(_, ms)| ms.to_string()).unwrap_or_default());
        }
        csv.push(',');
        if n > 0 {
            let sum: u64 = latencies.iter().map(|ms| (ms * 1e6).round() as u64).sum();
            write!(csv, "{}", sum as f64 / 1e6 / n as f64).unwrap();
        }
        let health = if requests >= 60 && availability <= 99.0 { "critical" } else { "healthy" };
        writeln!(csv, ",{health},1").unwrap();
    }
    csv
}

#[test]
fn results_agree_with_a_slow_recomputation_from_the_lines() {
    for (by_operation, without_duplicates) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut generator = Generator::new(&settings()).unwrap();
        let mut expect = Expect::new(window());
        expect = if by_operation { expect.by_operation() } else { expect };
        expect = if without_duplicates { expect.without_duplicates() } else { expect };
        let mut lines = Vec::new();
        while let Some(fact) = generator.next_line(&mut lines) {
            expect.record(&fact);
        }
        let totals = expect.totals().clone();
        assert_eq!(totals.decoded, 30_000);
        let dead: u64 = totals.dead_letters.values().sum();
        assert_eq!(totals.decoded, totals.counted + totals.ignored + totals.duplicates + dead);
        assert_eq!(totals.duplicates > 0, without_duplicates);
        assert!(totals.ignored > 0 && dead > 0);
        let mut csv = Vec::new();
        expect.write(generator.names(), &mut csv).unwrap();
        let (ours, theirs) = (String::from_utf8(csv).unwrap(), recomputed(&lines, by_operation, without_duplicates));
        assert_eq!(ours.lines().count(), theirs.lines().count());
        for (ours, theirs) in ours.lines().zip(theirs.lines()) {
            assert_eq!(ours, theirs);
        }
        assert!(ours.contains(",critical,") && ours.contains(",healthy,"));
    }
}

fn csv(events: impl IntoIterator<Item = (Outcome, Option<u64>)>) -> String {
    let mut expect = Expect::new(window());
    for (outcome, latency) in events {
        let time = EventTime(61_000_000_000);
        expect.record(&Fact::Event(Event { time, service: 0, operation: 0, outcome, latency, duplicate: false }));
    }
    let mut out = Vec::new();
    expect.write(&Names::new(vec!["a".to_owned()], vec![]), &mut out).unwrap();
    String::from_utf8(out).unwrap().lines().skip(1).collect()
}

#[test]
fn percentiles_are_of_the_nearest_rank() {
    let row = csv((1..=10).map(|ms| (Outcome::Ok, Some(ms * 1_000_000))));
    assert_eq!(row, "1970-01-01T00:01:00Z,a,10,0,100,10,5,8,9,10,10,10,10,5.5,healthy,1");
}

#[test]
fn what_has_no_value_is_an_empty_field() {
    assert_eq!(csv([(Outcome::Ok, None)]), "1970-01-01T00:01:00Z,a,1,0,100,0,,,,,,,,,healthy,1");
    assert_eq!(csv([(Outcome::Ignored, Some(5))]), "1970-01-01T00:01:00Z,a,0,0,,0,,,,,,,,,healthy,1");
}

#[test]
fn health_is_by_the_default_rule() {
    let row = |requests: usize, errors: usize| csv((0..requests).map(|at| (if at < errors { Outcome::Error } else { Outcome::Ok }, None)));
    assert!(row(59, 59).ends_with(",healthy,1"), "too few to tell");
    assert!(row(60, 1).ends_with(",critical,1"));
    assert!(row(100, 1).ends_with(",critical,1"), "99.0 is not above 99.0");
    assert_eq!(row(101, 1), "1970-01-01T00:01:00Z,a,101,1,99.0099009901,0,,,,,,,,,healthy,1");
}

#[test]
fn bad_records_are_counted_by_reason() {
    let mut expect = Expect::new(window());
    for bad in [Bad::NotATime, Bad::ZeroTime, Bad::NoService] {
        expect.record(&Fact::Bad(bad));
    }
    assert_eq!(expect.totals().dead_letters, BTreeMap::from([("service_missing", 1), ("time_invalid", 2)]));
    assert_eq!(expect.totals().decoded, 3);
}
