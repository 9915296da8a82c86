//! Wrong flags, files and settings: exit code 2 and one message that says what, where, and what would be right.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use std::path::Path;
use std::process::{Command, Output};

fn golden(args: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(folder).output().unwrap()
}

/// Runs it in a folder with these files; gives the exit code and what it said.
fn said(args: &[&str], files: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = golden(args, folder.path());
    assert!(!folder.path().join("data").exists(), "{args:?} has written something before it was refused");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
}

/// Arguments, files by name, and what must be said.
type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let event = ("e.ndjson", "{\"timestamp\":1767225600,\"service\":\"a\"}\n");
    let cases: &[Case<'_>] = &[
        (&["replay", "none.ndjson"], &[], &["none.ndjson", "No such file"]),
        (&["replay", "."], &[], &["folder"]),
        (&["replay", "x"], &[("x", "hello\n")], &["x:", "--format"]),
        (&["replay", "e.ndjson", "--format", "jsn"], &[event], &["jsn", "did you mean `json`"]),
        (&["replay", "e.ndjson", "--by", "operation"], &[event], &["--by service,operation"]),
        (&["replay", "e.ndjson", "--by", "service,operation,operation"], &[event], &["--by", "operation"]),
        (&["replay", "e.ndjson", "--window", "7s"], &[event], &["--window", "divide one hour"]),
        (&["replay", "e.ndjson", "--window", "soon"], &[event], &["--window", "10s"]),
        (&["replay", "e.ndjson", "--span-kinds", "servr"], &[event], &["servr", "did you mean `server`"]),
        (&["replay", "e.ndjson", "--mapping", "m.yaml"], &[event], &["m.yaml"]),
        (
            &["replay", "e.ndjson", "--mapping", "m.yaml"],
            &[event, ("m.yaml", "source: x\nformt: json\n")],
            &["m.yaml", "line 2", "did you mean `format`"],
        ),
        (&["replay", "e.ndjson", "--ouput", "csv"], &[event], &["--ouput", "--output"]),
        (
            &["replay", "e.ndjson", "l.log"],
            &[event, ("l.log", "1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 1 \"-\" \"a\"\n")],
            &["l.log", "apart"],
        ),
        (&["replay", "e.ndjson", "--dead-letters", "no/such/folder"], &[event], &["no/such/folder"]),
        (&["generate", "--out", "-", "--zipf", "9"], &[], &["zipf", "from 0 to 4"]),
        (&["generate", "--events", "1"], &[], &["--out", "--http"]),
        (&["generate", "--out", "x", "--start", "monday"], &[], &["--start", "monday"]),
        (&["config", "check"], &[("golden.yaml", "pipeline: {windw: 10s}\n")], &["golden.yaml", "pipeline.windw", "did you mean `window`"]),
        (&["config", "check"], &[("golden.yaml", "pipeline: {window: 7s}\n")], &["golden.yaml", "divide one hour"]),
        (&["config", "check"], &[("golden.yaml", "pipeline: {series_ttl: 2h}\n")], &["series_ttl", "pipeline.retain"]),
        (&["config", "check"], &[("golden.yaml", "log: {partitions: 0}\n")], &["log.partitions", "1 to 256"]),
        (&["config", "check"], &[("golden.yaml", "router: {warm: 5s, lag: 5s}\n")], &["router.warm is 5s", "at least 10s"]),
        (&["config", "check"], &[("golden.yaml", "router: {error_share: 5}\n")], &["router.error_share is 5", "from 0 to 1"]),
        (
            &["config", "check"],
            &[("golden.yaml", "router: {health: {blue: [nohost]}}\n")],
            &["router.health", "`nohost`", "http://host:8080"],
        ),
        (
            &["config", "check"],
            &[("golden.yaml", "outputs: {remote_write: {url: ftp://x/y}}\n")],
            &["outputs.remote_write.url", "http:// or https://"],
        ),
        (&["config", "check"], &[("golden.yaml", "outputs: {webhook: {url: https://x/y}}\n")], &["outputs.webhook", "secret_file"]),
        (
            &["config", "check"],
            &[("golden.yaml", "outputs: {avro: {}}\n")],
            &["outputs.avro", "log.kafka.registry", "frame: single_object"],
        ),
        (
            &["run", "--listen", "127.0.0.1:0", "--data", "data"],
            &[("golden.yaml", "outputs: {avro: {frame: single_object, topic: golden-signals}}\n")],
            &["outputs.avro.topic is golden-signals", "another use"],
        ),
        (
            &["config", "check"],
            &[("golden.yaml", "outputs: {avro: {frame: single_object, topic: \"a/b\"}}\n")],
            &["outputs.avro.topic is `a/b`", "letters"],
        ),
        (
            &["config", "check"],
            &[("golden.yaml", "outputs: {otlp: {url: \"collector:4317\", protocol: grpc}}\n")],
            &["outputs.otlp", "https://host:port"],
        ),
        (&["config", "check"], &[("golden.yaml", "mapping: none.yaml\n")], &["none.yaml"]),
        (&["config", "check", "--config", "other.yaml"], &[], &["other.yaml"]),
        (&["rum"], &[], &["rum", "run"]),
        (&["run", "--listen", "nowhere"], &[], &["--listen", "nowhere"]),
    ];
    for (args, files, parts) in cases {
        let (code, text) = said(args, files);
        assert_eq!(code, Some(2), "{args:?}: {text}");
        for part in *parts {
            assert!(text.contains(part), "{args:?} does not say {part:?}: {text}");
        }
        assert!(!text.contains("panicked"), "{args:?}: {text}");
    }
}

#[test]
fn a_server_that_is_not_there_is_named_with_how_to_start_one() {
    let (code, text) = said(&["router", "status", "--server", "http://127.0.0.1:1"], &[]);
    assert_eq!(code, Some(3), "{text}");
    assert!(["http://127.0.0.1:1 does not answer", "'golden run' starts one", "--server"].iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn settings_show_where_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("golden.yaml"), "pipeline: {bound: 5s, groupings: {service: []}}\n").unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_golden"))
        .args(["config", "show"])
        .current_dir(folder.path())
        .env("GOLDEN_PIPELINE__WINDOW", "10s")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for line in ["pipeline.bound: \"5s\"  # file", "pipeline.window: \"10s\"  # environment", "pipeline.hold: \"45s\"  # default"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("service_operation"), "given groupings replace the default ones");
}

#[test]
fn data_folders_that_cannot_be_used_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = |data: &Path| {
        let data = data.display().to_string();
        let output = golden(&["run", "--listen", "127.0.0.1:0", "--data", &data], folder.path());
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), "dear").unwrap();
    let (code, text) = run(&other);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("other") && text.contains("not ours"), "{text}");
    assert_eq!(std::fs::read_to_string(other.join("letter.txt")).unwrap(), "dear");

    // Of a newer program, and damaged: a marker of our format, then nothing that we can read.
    for (format, said) in [("golden-signals data folder, format 999\n", "start the newer program"), ("golden-signals\n", "is damaged")] {
        let data = folder.path().join(said.replace(' ', "-"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("FORMAT"), format).unwrap();
        let (code, text) = run(&data);
        assert_eq!(code, Some(3), "{text}");
        assert!(text.contains(said), "{text}");
        assert_eq!(std::fs::read_to_string(data.join("FORMAT")).unwrap(), format);
    }

    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = busy.local_addr().unwrap().to_string();
    let unused = folder.path().join("unused");
    let output = golden(&["run", "--listen", &address, "--data", &unused.display().to_string()], folder.path());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(&address) && text.contains("--listen") && !unused.exists(), "{text}");
}

#[test]
fn completions_and_help_are_there() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = golden(&["completions", shell], folder.path());
        assert!(String::from_utf8(output.stdout).unwrap().contains("replay"), "{shell}");
    }
    for (command, parts) in [
        ("run", &["--demo", "--data", "--accept-loss"][..]),
        ("replay", &["--format", "--by", "--event-time", "--dead-letters", "--streaming"]),
        ("generate", &["--expect", "--seed", "--http"]),
    ] {
        let text = String::from_utf8(golden(&[command, "--help"], folder.path()).stdout).unwrap();
        assert!(parts.iter().all(|p| text.contains(p)), "{command}: {text}");
    }
}
