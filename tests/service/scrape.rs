//! The metrics page, read by a real Prometheus in all three forms: it holds what the public topic says, and a restart resets nothing.

use crate::process::{Service, eventually};
use crate::prometheus::Prometheus;
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// Windows that close soon.
const SETTINGS: &str =
    "pipeline: {window: 10s, bound: 1s, hold: 5s}\nruntime: {commit_interval: 100ms}\nlog: {partitions: 2, reserve_mib: 1}\n";
/// One job for each form.
const JOBS: [(&str, &str); 3] = [
    ("text", "scrape_protocols: [PrometheusText0.0.4]"),
    ("open", "scrape_protocols: [OpenMetricsText1.0.0]"),
    ("protobuf", "scrape_protocols: [PrometheusProto]\n  scrape_native_histograms: true\n  always_scrape_classic_histograms: true"),
];
const MILLI: u64 = 1_000_000;

/// Finals of the public topic, added up: requests, errors, and the durations' count and sum in s of outcome ok.
#[derive(Debug, PartialEq)]
struct Published {
    requests: f64,
    errors: f64,
    durations: f64,
    seconds: f64,
}

fn published(service: &Service) -> Option<Published> {
    let signals = service.get("/api/v1/services/shop/signals")?;
    let sum = |pointer: &str| {
        let numbers = signals["records"].as_array().unwrap().iter().map(|record| record.pointer(pointer).and_then(Value::as_f64));
        numbers.map(|number| number.unwrap_or(0.0)).sum::<f64>()
    };
    Some(Published {
        requests: sum("/requests/count"),
        errors: sum("/errors/count"),
        durations: sum("/latency/ok/count"),
        seconds: sum("/latency/ok/sum") / 1e3,
    })
}

fn start(folder: &Path, listen: &str) -> Service {
    let config = folder.join("golden.yaml");
    std::fs::write(&config, SETTINGS).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
    command.args(["run", "--listen", listen, "--data"]).arg(folder.join("data")).arg("--config").arg(&config);
    let service = Service::of(command);
    eventually("it is ready", 30, || ureq::get(&format!("{}/-/ready", service.url)).call().is_ok());
    service
}

/// Sends events of now: 300, every tenth an error, all of them traced.
fn post(service: &Service) {
    let now = SystemClock::new().wall();
    let event = |n: u64| {
        let status = if n.is_multiple_of(10) { 503 } else { 200 };
        json!({"service": "shop", "timestamp": now, "duration_ns": (n + 1) * MILLI, "status": status,
               "trace_id": format!("{:032x}", n + 1), "span_id": format!("{:016x}", n + 1)})
    };
    let body: Vec<String> = (0..300).map(|n| event(n).to_string()).collect();
    let request = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    assert!(request.send(body.join("\n").as_bytes()).unwrap().status().is_success());
}

/// What a job's newest scrape says of the service.
fn scraped(prometheus: &Prometheus, job: &str) -> Option<Published> {
    let shop = format!(r#"job="{job}",grouping="service",service_name="shop""#);
    let ok = format!(r#"{shop},outcome="ok""#);
    let value = |query: String| prometheus.value(&query);
    Some(Published {
        requests: value(format!("golden_signals_requests_total{{{shop}}}"))?,
        errors: value(format!("sum(golden_signals_errors_total{{{shop}}})"))?,
        durations: value(format!("golden_signals_request_duration_seconds_count{{{ok}}}"))?,
        seconds: value(format!("golden_signals_request_duration_seconds_sum{{{ok}}}"))?,
    })
}

fn equal(one: &Published, other: &Published) -> bool {
    let exact = (one.requests, one.errors, one.durations) == (other.requests, other.errors, other.durations);
    // Records have doubles of ms, which were added here.
    exact && (one.seconds - other.seconds).abs() < 1e-6
}

fn eventually_equal(service: &Service, prometheus: &Prometheus, requests: f64) {
    eventually("all is published", 60, || published(service).is_some_and(|found| found.requests == requests));
    let finals = published(service).unwrap();
    for (job, _) in JOBS {
        let mut seen = None;
        let so = crate::process::within(30, || {
            seen = scraped(prometheus, job);
            seen.as_ref().is_some_and(|seen| equal(seen, &finals))
        });
        assert!(so, "{job}: scraped {seen:?}, published {finals:?}");
    }
}

/// Has `promtool` look at the page.
fn checked(service: &Service) {
    let page = ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let mut promtool = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prometheus/prometheus-stack"));
    promtool.args(["promtool", "check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    assert!(output.status.success() && said.trim().is_empty(), "promtool says: {said}\n{page}");
}

#[test]
fn every_form_of_the_page_says_what_the_public_topic_says_and_a_restart_resets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut service = start(folder.path(), "127.0.0.1:0");
    let address = service.url.trim_start_matches("http://").to_owned();
    let jobs = JOBS.map(|(job, more)| format!("- job_name: {job}\n  {more}\n  static_configs: [{{targets: ['{address}']}}]\n")).concat();
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, format!("global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n{jobs}")).unwrap();
    let prometheus = Prometheus::start(&["--config", &config.display().to_string()]);

    post(&service);
    eventually_equal(&service, &prometheus, 300.0);
    checked(&service);
    let ok = r#"{job="protobuf",grouping="service",service_name="shop",outcome="ok"}"#;
    let native = |function: &str| prometheus.value(&format!("{function}golden_signals_request_duration_seconds{ok})")).unwrap();
    let finals = published(&service).unwrap();
    assert_eq!((native("histogram_count("), native("histogram_sum(")), (finals.durations, finals.seconds));
    // The 135th of 270 durations is 150 ms; buckets are 1.09 % wide at scale 6, and the sketch's 1 %.
    let median = native("histogram_quantile(0.5, ");
    assert!((0.145..=0.155).contains(&median), "{median}");
    for (job, name) in [("open", "golden_signals_request_duration_seconds_bucket"), ("protobuf", "golden_signals_request_duration_seconds")]
    {
        let query = format!("{}/api/v1/query_exemplars?query={name}%7Bjob=%22{job}%22%7D&start=0&end=9999999999", prometheus.url);
        let mut text = String::new();
        eventually("exemplars are there", 20, || {
            text = ureq::get(&query).call().unwrap().body_mut().read_to_string().unwrap();
            // The slowest of all; the slowest error was faster.
            text.contains(&format!("{:032x}", 300)) && text.contains(&format!("{:032x}", 291))
        });
    }

    assert!(service.stop());
    let mut service = start(folder.path(), &address);
    eventually_equal(&service, &prometheus, 300.0);
    post(&service);
    eventually_equal(&service, &prometheus, 600.0);
    let again = |metric: &str| prometheus.query(&format!("resets({metric}{{service_name=\"shop\"}}[10m]) > 0")).unwrap();
    for metric in ["golden_signals_requests_total", "golden_signals_errors_total", "golden_signals_request_duration_seconds"] {
        assert_eq!(again(metric), Vec::<Value>::new(), "{metric}");
    }
    checked(&service);
    assert!(service.stop());
}
