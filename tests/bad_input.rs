//! Bad input: each class among good items becomes a dead letter with its reason and place; the neighbours are counted, the process goes on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use base64::Engine as _;
use std::fmt::Write as _;
use std::process::Command;

struct Ran {
    rows: String,
    said: String,
    dead: Vec<serde_json::Value>,
}

fn replay(bytes: &[u8], args: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let (file, dead) = (folder.path().join("input"), folder.path().join("dead"));
    std::fs::write(&file, bytes).unwrap();
    let (file, dead_path) = (file.display().to_string(), dead.display().to_string());
    let output = Command::new(env!("CARGO_BIN_EXE_golden"))
        .args([&["replay", &file, "--dead-letters", &dead_path, "--output", "csv"], args].concat())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    let dead = std::fs::read_to_string(dead).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    Ran { rows: String::from_utf8(output.stdout).unwrap(), said, dead }
}

/// A line between two good ones.
fn among_good(bad: &[u8]) -> Vec<u8> {
    let good = br#"{"timestamp":"2026-01-01T00:00:01Z","service":"good","status":200,"latency_ms":1}"#;
    [good, b"\n".as_slice(), bad, b"\n", good, b"\n"].concat()
}

#[test]
fn every_class_of_bad_json_is_a_dead_letter_between_good_ones() {
    let deep = format!(r#"{{"timestamp":1767225600,"service":"a","x":{}{}}}"#, "[".repeat(40), "]".repeat(40));
    let huge = format!(r#"{{"timestamp":1767225600,"service":"a","x":"{}"}}"#, "y".repeat(1_100_000));
    let long_name = format!(r#"{{"timestamp":1767225600,"service":"{}"}}"#, "s".repeat(257));
    let cases: &[(&[u8], &str)] = &[
        (b"{\"timestamp\":1767225600,\"service\":", "decode_json"),
        (br#"{"timestamp":1767225600,"service":"a"} x"#, "decode_json"),
        (br#"{"timestamp":1767225600,"service":"a","service":"b"}"#, "decode_json"),
        (br#"{"timestamp":1767225600,"service":"a","latency_ms":NaN}"#, "decode_json"),
        (b"\xef\xbb\xbf{\"timestamp\":1767225600,\"service\":\"a\"}", "decode_json"),
        (b"{\"timestamp\":1767225600,\"service\":\"\xff\"}", "decode_utf8"),
        (deep.as_bytes(), "depth_exceeded"),
        (huge.as_bytes(), "size_exceeded"),
        (br#"{"service":"a"}"#, "time_missing"),
        (br#"{"timestamp":0,"service":"a"}"#, "time_invalid"),
        (br#"{"timestamp":-5,"service":"a"}"#, "time_invalid"),
        (br#"{"timestamp":"yesterday","service":"a"}"#, "time_invalid"),
        (br#"{"timestamp":1e300,"service":"a"}"#, "time_invalid"),
        (br#"{"timestamp":1767225600}"#, "service_missing"),
        (long_name.as_bytes(), "service_invalid"),
        (br#"{"timestamp":1767225600,"service":"a\u0000b"}"#, "service_invalid"),
        ("{\"timestamp\":1767225600,\"service\":\"a\u{202e}b\"}".as_bytes(), "service_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","latency_ms":-1}"#, "latency_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","latency_ms":1e308}"#, "latency_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","latency_ms":"fast"}"#, "latency_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","status":99}"#, "status_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","status":"weird"}"#, "status_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","weight":0}"#, "weight_invalid"),
        (br#"{"timestamp":1767225600,"service":"a","weight":9223372036854775808}"#, "weight_invalid"),
        (br#"{"timestamp":1767225600,"service":{"name":"a"}}"#, "mapping_failed"),
        (br#"42"#, "schema_mismatch"),
    ];
    for (bad, reason) in cases {
        let shown = String::from_utf8_lossy(bad.get(..120).unwrap_or(bad)).into_owned();
        let ran = replay(&among_good(bad), &["--format", "json"]);
        assert!(ran.rows.contains(",good,2,0,100,"), "{shown}: the neighbours are counted: {}", ran.rows);
        assert_eq!(ran.rows.lines().count(), 2, "{shown}: {}", ran.rows);
        assert_eq!(ran.dead.len(), 1, "{shown}: {:?}", ran.dead);
        assert_eq!(ran.dead[0]["reason"], *reason, "{shown}: {:?}", ran.dead[0]);
        assert_eq!((&ran.dead[0]["partition"], &ran.dead[0]["offset"]), (&0.into(), &0.into()));
        assert!(ran.said.contains(reason), "{}", ran.said);
    }
}

#[test]
fn lines_that_are_no_log_lines_and_documents_that_are_broken_are_dead_letters() {
    let line = "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"a\"\n";
    let ran = replay(format!("{line}garbage\n{line}").as_bytes(), &["--format", "combined", "--service", "web"]);
    assert!(ran.rows.contains(",web,2,0,100,"), "{}", ran.rows);
    assert_eq!(ran.dead[0]["reason"], "decode_text");
    for (bytes, format, reason) in [
        (&b"[{\"traceId\":"[..], "zipkin_json", "decode_json"),
        (b"{\"resourceSpans\":[", "otlp_json", "decode_json"),
        (b"{\"data\":[", "jaeger_json", "decode_json"),
        (b"\x0a\xff\xff\xff", "otlp_proto", "decode_protobuf"),
        (
            b"[{\"traceId\":\"1\",\"id\":\"2\",\"kind\":\"SERVER\",\"localEndpoint\":{\"serviceName\":\"s\"}}]",
            "zipkin_json",
            "time_missing",
        ),
    ] {
        let ran = replay(bytes, &["--format", format]);
        assert_eq!(ran.dead.len(), 1, "{format}");
        assert_eq!(ran.dead[0]["reason"], reason, "{format}");
    }
}

/// A line whose event is refused only after decoding stands alone in its dead letter, at its own place.
#[test]
fn a_dead_letter_holds_the_bad_line_and_not_its_neighbours() {
    let line = |upstream: &str| {
        format!(
            "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"a\" 10 0.5 [{upstream}] [] 10.0.0.1:80 5 0.4 200 id\n"
        )
    };
    let (good, bad) = (line("web"), line(&"w".repeat(257)));
    let ran = replay(format!("{good}{bad}{good}").as_bytes(), &["--format", "nginx_ingress"]);
    assert!(ran.rows.contains(",web,2,0,100,"), "{}", ran.rows);
    assert_eq!((ran.dead.len(), &ran.dead[0]["reason"]), (1, &"service_invalid".into()), "{:?}", ran.dead);
    assert_eq!(ran.dead[0]["item"], good.len());
    assert_eq!(
        base64::engine::general_purpose::STANDARD.decode(ran.dead[0]["payload_base64"].as_str().unwrap()).unwrap(),
        bad.trim_end().as_bytes()
    );
}

#[test]
fn what_goes_over_a_cap_is_counted_together_and_totals_stay_exact() {
    let mut lines = String::new();
    for n in 0..1500 {
        let weight = if n < 1000 { 2 } else { 1 };
        for _ in 0..weight {
            writeln!(lines, r#"{{"timestamp":1767225600,"service":"s","operation":"op{n:04}","status":200}}"#).unwrap();
        }
    }
    let ran = replay(lines.as_bytes(), &["--by", "service,operation"]);
    let requests = |row: &str| row.split(',').nth(3).unwrap().parse::<u64>().unwrap();
    let rows: Vec<&str> = ran.rows.lines().skip(1).collect();
    assert_eq!(rows.len(), 1001);
    assert_eq!(rows.iter().map(|r| requests(r)).sum::<u64>(), 2500);
    let overflow: Vec<&&str> = rows.iter().filter(|r| r.contains("__overflow__")).collect();
    assert_eq!((overflow.len(), requests(overflow[0])), (1, 500), "the busiest series have the places");
}

/// Generated load in which every tenth line is bad in some way: each is a dead letter, and the rest is exact.
#[test]
fn a_tenth_of_rubbish_changes_no_other_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let golden = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_golden")).args(args).output().unwrap();
    for seed in ["1", "2"] {
        let args = ["--seed", seed, "--events", "40000", "--bad", "0.1", "--ignored", "0.02", "--no-latency", "0.05", "--errors", "0.03"];
        let made = golden(&[&["generate", "--out", &path("e"), "--expect", &path("x"), "--services", "20"], &args[..]].concat());
        assert!(made.status.success());
        let got = golden(&["replay", &path("e"), "--format", "json", "--output", "csv", "--threads", "2"]);
        let (want, have) = (std::fs::read_to_string(path("x")).unwrap(), String::from_utf8(got.stdout).unwrap());
        let expected = String::from_utf8_lossy(&made.stderr).lines().map(|l| l.split(": ").nth(1).unwrap().to_owned()).collect::<Vec<_>>();
        assert!(expected.len() > 5);
        let said = String::from_utf8_lossy(&got.stderr).into_owned();
        for reason in expected {
            assert!(said.contains(&reason), "{reason}: {said}");
        }
        let (want, have): (Vec<&str>, Vec<&str>) = (want.lines().collect(), have.lines().collect());
        assert_eq!(want.len(), have.len());
        for (want, have) in want.iter().zip(&have).skip(1) {
            let (want, have): (Vec<&str>, Vec<&str>) = (want.split(',').collect(), have.split(',').collect());
            // Counts, availability, maximum and health are exact, the mean to its last digit; percentiles are bounded.
            for column in [0, 1, 2, 3, 4, 5, 12, 14, 15] {
                assert_eq!(want[column], have[column], "{want:?} {have:?}");
            }
            let mean = |cells: &[&str]| cells[13].parse::<f64>().unwrap_or(0.0);
            assert!((mean(&want) - mean(&have)).abs() <= mean(&want) * 1e-12, "{want:?} {have:?}");
            for column in 6..12 {
                let (Ok(exact), Ok(published)) = (want[column].parse::<f64>(), have[column].parse::<f64>()) else { continue };
                assert!(exact <= published && published <= exact + (exact * 0.01).max(0.001), "{want:?} {have:?}");
            }
        }
    }
}
