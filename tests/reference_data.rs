//! `golden replay`, as a whole process, over real data whose exact results are known (tests/data): requests, errors, availability and the
//! maximum are equal in every row, percentiles lie within 1 % above the exact nearest rank, and no row is missing or extra.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

type Row = BTreeMap<String, String>;
type Rows = BTreeMap<(String, String), Row>;

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

fn replay(args: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).arg("replay").args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

fn parse(text: &str) -> Vec<Row> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    lines.map(|line| header.iter().zip(line.split(',')).map(|(name, cell)| ((*name).to_owned(), cell.to_owned())).collect()).collect()
}

/// Rows by window and service; a row that comes twice is an error.
fn keyed(rows: Vec<Row>) -> Rows {
    let mut all = Rows::new();
    for row in rows {
        let key = (row["window_start"].clone(), row["service"].clone());
        assert!(all.insert(key.clone(), row).is_none(), "{key:?} comes twice");
    }
    all
}

fn reference(path: &str) -> Rows {
    keyed(parse(&std::fs::read_to_string(data(path)).unwrap()))
}

fn results(args: &[&str]) -> Rows {
    let output = replay(&[args, &["--output", "csv"]].concat());
    keyed(parse(&String::from_utf8(output.stdout).unwrap()))
}

fn compare(expected: &Rows, got: &Rows) {
    assert!(!expected.is_empty());
    assert_eq!(expected.keys().collect::<Vec<_>>(), got.keys().collect::<Vec<_>>(), "rows missing or extra");
    for (key, want) in expected {
        let have = &got[key];
        for name in ["requests", "errors", "latency_count"] {
            assert_eq!(want[name], have[name], "{key:?} {name}");
        }
        let number = |row: &Row, name: &str| row[name].parse::<f64>().unwrap();
        assert_eq!(number(want, "availability_pct"), number(have, "availability_pct"), "{key:?}");
        for name in ["p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"] {
            let Some(exact) = want.get(name) else { continue };
            if exact.is_empty() {
                assert_eq!(have[name], "", "{key:?} {name}");
                continue;
            }
            let (exact, published) = (number(want, name), number(have, name));
            let room = if name == "max_ms" { 0.0 } else { (exact * 0.01).max(0.001) };
            assert!(exact <= published && published <= exact + room, "{key:?} {name}: exact {exact}, published {published}");
        }
    }
}

fn mapping(folder: &tempfile::TempDir, yaml: &str) -> String {
    let path = folder.path().join("mapping.yaml");
    std::fs::write(&path, yaml).unwrap();
    path.display().to_string()
}

fn path(name: &str) -> String {
    data(name).display().to_string()
}

#[test]
fn onlineboutique_gives_its_reference() {
    let events = path("nezha-onlineboutique-0822/events.ndjson.zst");
    let expected = reference("nezha-onlineboutique-0822/reference.csv");
    assert_eq!(expected.len(), 359);
    compare(&expected, &results(&[&events, "--event-time", "given"]));
    compare(&expected, &results(&[&events, "--format", "json", "--threads", "2"]));
}

#[test]
fn onlineboutique_without_copies_gives_its_reference() {
    let folder = tempfile::tempdir().unwrap();
    let mapping = mapping(&folder, "source: nezha\nformat: json\ndedup: {id: [tags.trace_id, tags.span_id]}\n");
    let events = path("nezha-onlineboutique-0822/events.ndjson.zst");
    compare(&reference("nezha-onlineboutique-0822/reference_dedup.csv"), &results(&[&events, "--mapping", &mapping]));
    let summary = String::from_utf8(replay(&[&events, "--mapping", &mapping, "--output", "csv"]).stderr).unwrap();
    assert!(summary.contains("duplicates   876") && summary.contains("counted      120182"), "{summary}");
}

/// Windows that close as they go give the same totals by their highest revision, and say which events came late.
#[test]
fn onlineboutique_streamed_gives_its_reference_by_highest_revision() {
    let events = path("nezha-onlineboutique-0822/events.ndjson.zst");
    let output = replay(&[&events, "--streaming", "--output", "csv"]);
    let mut newest = Rows::new();
    let mut next: BTreeMap<(String, String), u64> = BTreeMap::new();
    for row in parse(&String::from_utf8(output.stdout).unwrap()) {
        let key = (row["window_start"].clone(), row["service"].clone());
        let expected = next.entry(key.clone()).or_default();
        assert_eq!(row["revision"], expected.to_string(), "revisions are 0, 1, 2 …: {key:?}");
        *expected += 1;
        newest.insert(key, row);
    }
    compare(&reference("nezha-onlineboutique-0822/reference.csv"), &newest);
    let late: Vec<&Row> = newest.values().filter(|r| r["late_events"] != "0").collect();
    let events: u64 = late.iter().map(|r| r["late_events"].parse::<u64>().unwrap()).sum();
    assert!((1..=1483).contains(&events) && late.len() <= 18, "{events} late events in {} rows", late.len());
    assert!(late.iter().all(|r| ["2022-08-22T05:18:00Z", "2022-08-22T05:19:00Z"].contains(&r["window_start"].as_str())));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("ledger"));
}

#[test]
fn apache_logs_give_their_reference_from_json_and_from_the_raw_log() {
    let expected: Rows = reference("elastic-apache-logs/reference.csv").into_iter().map(|((w, _), r)| ((w, "web".to_owned()), r)).collect();
    for (file, more) in [("events.ndjson.zst", &[][..]), ("apache_logs.raw.zst", &[]), ("apache_logs.raw.zst", &["--format", "combined"])] {
        let file = path(&format!("elastic-apache-logs/{file}"));
        let got = results(&[&[file.as_str(), "--service", "web", "--event-time", "given"], more].concat());
        compare(&expected, &got);
        let client_errors: u64 = got
            .iter()
            .map(|(key, row)| {
                assert_eq!(row["status_4xx"], expected[key]["status_4xx"]);
                row["status_4xx"].parse::<u64>().unwrap()
            })
            .sum();
        assert_eq!(client_errors, 217);
    }
}

#[test]
fn uptime_checks_give_their_reference_with_and_without_an_outcome_rule() {
    let folder = tempfile::tempdir().unwrap();
    let rule = mapping(&folder, "source: uptime\nformat: json\noutcome:\n  - {path: tags.state, in: [down], is: error}\n");
    let events = path("upptime-4hse/events.ndjson.zst");
    let expected = reference("upptime-4hse/reference.csv");
    compare(&expected, &results(&[&events, "--mapping", &rule]));
    let got = results(&[&events]);
    for (key, row) in &expected {
        assert_eq!(row["errors_if_5xx_or_0"], got[key]["errors"], "{key:?}");
    }
    let sum = |name: &str| expected.values().map(|r| r[name].parse::<u64>().unwrap()).sum::<u64>();
    assert_eq!((sum("errors"), sum("errors_if_5xx_or_0")), (50, 35));
}

#[test]
fn spans_of_every_format_give_their_expected_results_told_or_found() {
    let formats = [
        ("zipkin-smartthings-install", "zipkin_json"),
        ("zipkin-yelp", "zipkin_json"),
        ("jaeger-ride-sharing", "jaeger_json"),
        ("jaeger-telemetrygen", "jaeger_json"),
        ("otlp-telemetrygen", "otlp_json"),
        ("otlp-proto-example", "otlp_json"),
    ];
    for (name, format) in formats {
        let file = path(&format!("raw-formats/{name}.json"));
        let expected = reference(&format!("raw-formats/expected/{name}.csv"));
        let args = [file.as_str(), "--event-time", "start", "--span-kinds", "server"];
        compare(&expected, &results(&args));
        compare(&expected, &results(&[&args[..], &["--format", format]].concat()));
    }
}

/// Threads, packing and the way in do not show in the result.
#[test]
fn the_same_input_gives_the_same_bytes() {
    let packed = std::fs::read(data("nezha-onlineboutique-0822/events.ndjson.zst")).unwrap();
    let plain = zstd::decode_all(packed.as_slice()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (file, zipped) = (folder.path().join("events.ndjson"), folder.path().join("events.ndjson.gz"));
    std::fs::write(&file, &plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(std::fs::File::create(&zipped).unwrap(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    gzip.finish().unwrap();
    let (file, zipped, packed) =
        (file.display().to_string(), zipped.display().to_string(), path("nezha-onlineboutique-0822/events.ndjson.zst"));
    let with = |file: &str, threads: &str| replay(&[file, "--by", "service,operation", "--threads", threads, "--output", "ndjson"]).stdout;
    let expected = with(&file, "1");
    assert!(!expected.is_empty());
    for (name, threads) in [(&file, "2"), (&file, "3"), (&zipped, "1"), (&zipped, "2"), (&packed, "2")] {
        assert!(with(name, threads) == expected, "{name} with {threads} threads differs");
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_golden"))
        .args(["replay", "-", "--by", "service,operation", "--output", "ndjson", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&plain).unwrap());
        child.wait_with_output().unwrap()
    });
    assert!(writer.stdout == expected, "standard input differs");
}

/// Two logs whose licence keeps them out of this repository.
#[test]
fn access_logs_under_another_licence_give_their_results_where_they_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/raw-formats");
    if !folder.exists() {
        eprintln!("not run: the access logs under the Elastic License are not here");
        return;
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let sum = |rows: &Rows, name: &str| rows.values().map(|r| r[name].parse::<u64>().unwrap()).sum::<u64>();
    let nginx = results(&[&file("nginx-ingress-access.log"), "--format", "nginx_ingress", "--service", "edge"]);
    assert_eq!((sum(&nginx, "requests"), sum(&nginx, "errors")), (24, 1));
    // Six lines of this file are inbound and two outbound; each request counts where it was answered.
    let istio = results(&[&file("istio-envoy-access.log")]);
    assert_eq!((sum(&istio, "requests"), sum(&istio, "errors")), (6, 0));
}
