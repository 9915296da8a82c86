//! The doors of the running service, as a sender and an operator see them: what each format becomes, what is refused and how, what a stop
//! and a restart keep. What a body of each kind must look like in detail is shown in `pipeline/http`.

use super::process::{Service, eventually};
use flate2::Compression;
use flate2::write::GzEncoder;
use platform_core::clock::Clock;
use platform_core::codec::{put_bytes, put_u64};
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Windows that close soon.
const SETTINGS: &str =
    "pipeline: {window: 10s, bound: 1s, hold: 5s, exemplars: false}\nruntime: {commit_interval: 100ms}\nlog: {partitions: 2, reserve_mib: ";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const JSON: (&str, &str) = ("content-type", "application/json");
const SECOND: i64 = 1_000_000_000;

struct Answer {
    status: u16,
    retry_after: Option<String>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a body; `None` when nobody answered.
fn send(url: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20))).build();
    let request = headers
        .iter()
        .fold(ureq::Agent::from(config).post(&format!("{url}{path}")), |request, (name, value)| request.header(*name, *value));
    let mut answer = request.send(body).ok()?;
    let retry_after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok()).map(str::to_owned);
    Some(Answer { status: answer.status().as_u16(), retry_after, body: answer.body_mut().read_to_string().ok()? })
}

fn text(service: &Service, path: &str) -> Option<String> {
    ureq::get(&format!("{}{path}", service.url)).call().ok()?.body_mut().read_to_string().ok()
}

/// Events of all published windows of a service; of each the newest revision.
fn published(service: &Service, name: &str) -> u64 {
    let signals = service.get(&format!("/api/v1/services/{name}/signals"));
    signals.and_then(|s| Some(s["records"].as_array()?.iter().filter_map(|r| r["events"].as_u64()).sum())).unwrap_or(0)
}

/// The samples of one counter on the metrics page.
fn counters(service: &Service, name: &str) -> BTreeMap<String, f64> {
    let page = text(service, "/metrics").unwrap_or_default();
    let samples = page.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit_once(' '));
    samples.map(|(series, value)| (series.to_owned(), value.parse().unwrap())).collect()
}

fn event(service: &str, time: i64) -> String {
    json!({"service": service, "timestamp": time, "duration_ns": 5_000_000, "status": 200}).to_string()
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A length-delimited field of a Protobuf message.
fn field(number: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u64(&mut out, number << 3 | 2);
    put_bytes(&mut out, value);
    out
}

/// An `ExportTraceServiceRequest` with one server span of a service.
fn otlp_proto(service: &str, time: i64) -> Vec<u8> {
    let attribute = [field(1, b"service.name"), field(2, &field(1, service.as_bytes()))].concat();
    let mut span = [field(1, &[1; 16]), field(2, &[2; 8]), field(5, b"GET /")].concat();
    span.extend([6 << 3, 2]); // kind: server
    for (tag, at) in [(7 << 3 | 1, time - 5_000_000), (8 << 3 | 1, time)] {
        span.push(tag);
        span.extend(at.to_le_bytes());
    }
    field(1, &[field(1, &field(1, &attribute)), field(2, &field(2, &span))].concat())
}

fn start(folder: &Path, reserve_mib: u32) -> Service {
    let config = folder.join("golden.yaml");
    std::fs::write(&config, format!("{SETTINGS}{reserve_mib}}}\n")).unwrap();
    let data = folder.join("data").display().to_string();
    let service = Service::start(&["--data", &data], Some(&config));
    eventually("it is ready", 20, || text(&service, "/-/ready").is_some());
    service
}

/// Name, requests to see, path, headers, body.
type Door<'a> = (&'a str, u64, &'a str, &'a [(&'a str, &'a str)], Vec<u8>);

#[test]
fn every_format_is_acknowledged_and_shows_in_signals_and_a_restart_keeps_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path(), 1);
    assert_eq!(text(&service, "/-/healthy").as_deref(), Some("healthy\n"));
    let api = service.get("/api/openapi.json").unwrap();
    assert!(api["openapi"].as_str().is_some_and(|v| v.starts_with("3.")) && api["paths"]["/api/v1/events"]["post"].is_object());
    for page in ["/", "/api/docs"] {
        assert!(text(&service, page).is_some_and(|page| page.contains("<html")), "{page}");
    }

    let now = SystemClock::new().wall();
    let e = |name: &str| event(name, now);
    let cloud = |name: &str| {
        json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t", "datacontenttype": "application/json", "data": serde_json::from_str::<Value>(&e(name)).unwrap()}).to_string()
    };
    let zipkin = json!([{"traceId": "0af7651916cd43dd", "id": "b7ad6b7169203331", "kind": "SERVER", "timestamp": now / 1000, "duration": 5, "localEndpoint": {"serviceName": "zipkin"}}]);
    let span = json!({"kind": 2, "name": "GET /", "startTimeUnixNano": (now - 5).to_string(), "endTimeUnixNano": now.to_string()});
    let otlp = json!({"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "otlp-json"}}]}, "scopeSpans": [{"spans": [span]}]}]});
    let binary = [JSON, ("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
    let events = "/api/v1/events";
    #[rustfmt::skip]
    let bodies: [Door<'_>; 11] = [
        ("ndjson", 2, events, &[NDJSON], format!("{}\n{}\n", e("ndjson"), e("ndjson")).into()),
        ("array", 2, events, &[JSON], format!("[{},{}]", e("array"), e("array")).into()),
        ("object", 1, events, &[JSON], e("object").into()),
        ("gzip", 1, events, &[NDJSON, ("content-encoding", "gzip")], gzip(e("gzip").as_bytes())),
        ("zstd", 1, events, &[NDJSON, ("content-encoding", "zstd")], zstd::encode_all(e("zstd").as_bytes(), 1).unwrap()),
        ("structured", 1, events, &[("content-type", "application/cloudevents+json")], cloud("structured").into()),
        ("batch", 2, events, &[("content-type", "application/cloudevents-batch+json")], format!("[{},{}]", cloud("batch"), cloud("batch")).into()),
        ("binary", 1, events, &binary, e("binary").into()),
        ("zipkin", 1, "/api/v2/spans", &[JSON], zipkin.to_string().into()),
        ("otlp-json", 1, "/v1/traces", &[JSON], otlp.to_string().into()),
        ("otlp-proto", 1, "/v1/traces", &[("content-type", "application/x-protobuf")], otlp_proto("otlp-proto", now)),
    ];
    for (name, _, path, headers, body) in &bodies {
        let answer = send(&service.url, path, headers, body).unwrap();
        assert!((200..=202).contains(&answer.status), "{name}: {} {}", answer.status, answer.body);
    }

    // What is refused is named, and what stands beside it counts.
    let partly =
        send(&service.url, events, &[NDJSON], format!("{}\n{{\"service\":\"partly\"}}\n{}\n", e("partly"), e("partly")).as_bytes())
            .unwrap();
    let named = partly.json();
    assert_eq!((partly.status, &named["accepted"], &named["rejected_total"]), (400, &json!(2), &json!(1)));
    assert_eq!((&named["rejected"][0]["item"], &named["rejected"][0]["reason"]), (&json!(1), &json!("time_missing")));
    let large = send(&service.url, events, &[NDJSON, ("content-encoding", "gzip")], &gzip(&vec![b' '; 17 << 20])).unwrap();
    assert_eq!(large.status, 413);
    for kind in ["text/plain", "application/x-protobuf"] {
        assert_eq!(send(&service.url, events, &[("content-type", kind)], b"{}").unwrap().status, 415);
    }
    let late = send(&service.url, events, &[NDJSON], event("ledger", now - 7200 * SECOND).as_bytes()).unwrap();
    assert_eq!(late.status, 200);

    let wanted: Vec<(&str, u64)> = bodies.iter().map(|(name, count, ..)| (*name, *count)).chain([("partly", 2)]).collect();
    eventually("every acknowledged event is in a signal", 40, || wanted.iter().all(|(name, count)| published(&service, name) == *count));
    eventually("the late one is in the ledger", 20, || {
        service.get("/api/v1/late?service=ledger").is_some_and(|l| l["lines"][0]["events"] == 1)
    });
    // The body with one bad line was stored as it came; what was refused whole was never in the log.
    let letters = service.get("/api/v1/dead-letters").unwrap()["dead_letters"].as_array().unwrap().clone();
    assert_eq!(letters.iter().map(|l| l["reason"].as_str().unwrap()).collect::<Vec<_>>(), ["time_missing"]);
    assert!(service.get("/api/v1/status").unwrap()["watermark"].is_string());
    assert_eq!(counters(&service, "platform_watermark_timestamp_seconds{").len(), 2);
    let completeness = counters(&service, "golden_signals_window_completeness_ratio ");
    assert_eq!(completeness.into_values().collect::<Vec<_>>(), [1.0]);
    let requests = "golden_signals_requests_total{";
    eventually("the counters show it", 20, || counters(&service, requests).len() > wanted.len());
    let before = counters(&service, requests);

    assert!(service.stop());
    let mut service = start(folder.path(), 1);
    let after = counters(&service, requests);
    for (series, value) in &before {
        assert!(after.get(series).is_some_and(|now| now >= value), "{series} was {value} and is {:?}", after.get(series));
    }
    for (name, count) in &wanted {
        assert_eq!(published(&service, name), *count, "{name} after the restart");
    }

    // What is under way when it is told to stop is answered, and what was answered counts.
    let (url, acked) = (service.url.clone(), AtomicU64::new(0));
    let clock = SystemClock::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while send(&url, events, &[NDJSON], event("drain", clock.wall()).as_bytes()).is_some_and(|a| a.status == 200) {
                acked.fetch_add(1, Ordering::Relaxed);
            }
        });
        eventually("a load", 20, || acked.load(Ordering::Relaxed) > 20);
        let begun = clock.monotonic();
        assert!(service.stop());
        let took = clock.monotonic() - begun;
        assert!(took < Duration::from_secs(10), "it took {took:?} to stop");
    });
    let mut service = start(folder.path(), 1);
    let acked = acked.into_inner();
    // The last request may have been taken without its answer coming through.
    eventually("what was answered before the stop counts", 40, || (acked..=acked + 1).contains(&published(&service, "drain")));
    assert!(service.stop());
}

/// A small file system of its own, for as long as this lives.
struct SmallDisk<'a>(&'a Path);

impl<'a> SmallDisk<'a> {
    /// `None` without the right to mount.
    fn mount(at: &'a Path) -> Option<Self> {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=192m", "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|o| o.status.success()).then_some(Self(at))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

#[test]
fn on_a_full_disk_nothing_is_taken_until_there_is_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(folder.path()) else { return eprintln!("not run: a full disk needs the right to mount one") };
    let mut service = start(disk.0, 32);
    let clock = SystemClock::new();
    let post = |name: &str| send(&service.url, "/api/v1/events", &[NDJSON], event(name, clock.wall()).as_bytes()).unwrap();
    assert_eq!(post("before").status, 200);
    let path = disk.0.join("filler");
    let mut filler = std::fs::File::create(&path).unwrap();
    let (mut taken, piece) = (0, vec![1; 4 << 20]);
    let refused = loop {
        filler.write_all(&piece).unwrap();
        match post("during") {
            Answer { status: 200, .. } => taken += 1,
            other => break other,
        }
    };
    assert!(refused.status == 503 && refused.retry_after.is_some_and(|s| s.parse::<u64>().is_ok()), "{} {}", refused.status, refused.body);
    assert!(text(&service, "/-/healthy").is_some());
    std::fs::remove_file(&path).unwrap();
    drop(filler);
    eventually("events are taken again", 20, || post("after").status == 200);
    eventually("they count", 60, || published(&service, "before") == 1 && published(&service, "after") == 1);
    assert_eq!(published(&service, "during"), taken);
    eventually("it is ready again", 20, || text(&service, "/-/ready").is_some());
    assert!(service.stop());
}

#[test]
fn a_data_folder_in_use_or_damaged_is_refused_and_what_is_in_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path(), 1);
    assert_eq!(send(&service.url, "/api/v1/events", &[NDJSON], event("kept", SystemClock::new().wall()).as_bytes()).unwrap().status, 200);
    let data = folder.path().join("data");
    let refused = |code: i32, said: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_golden"))
            .args(["run", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(said) && text.contains(&data.display().to_string()), "{text}");
    };
    refused(2, "in use by another process");
    service.kill();

    let mut files = std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let manifest = files.find(|path| path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST")).unwrap();
    let whole = std::fs::read(&manifest).unwrap();
    let damaged: Vec<u8> = whole.iter().map(|byte| byte ^ 0x55).collect();
    std::fs::write(&manifest, &damaged).unwrap();
    refused(3, "is damaged");
    assert_eq!(std::fs::read(&manifest).unwrap(), damaged);
    std::fs::write(&manifest, &whole).unwrap();

    let mut service = start(folder.path(), 1);
    eventually("what was accepted counts", 60, || published(&service, "kept") == 1);
    assert!(service.stop());
}
