//! What a real Prometheus makes of a chunk, by remote write 1.0 and 2.0 and by OTLP: the same numbers, and of what it refuses nothing else is lost.

use super::samples::chunk_at;
use golden_outputs::sender::{Outcome, Output};
use golden_outputs::settings::{Access, Histograms, OtlpSettings, Protocol, RemoteWriteSettings, Temporality, Version};
use golden_outputs::{Otlp, RemoteWrite};
use platform_core::clock::Clock;
use platform_core::time::{EventTime, SECOND};
use platform_runtime::clock::SystemClock;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

/// A Prometheus in a folder of its own; it ends with it.
struct Prometheus {
    folder: tempfile::TempDir,
    url: String,
}

fn stack(args: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/prometheus/prometheus-stack");
    let output = Command::new(script).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}\n`tests/prometheus/prometheus-stack install` builds Prometheus, once, with Go 1.26 or newer");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Prometheus {
    /// One that takes nothing that is older than what a series has.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dir, owner) = (folder.path().display().to_string(), std::process::id().to_string());
        let url = stack(&["start", "--dir", &dir, "--owner", &owner, "--ooo", "0s"]);
        Self { folder, url }
    }

    fn get(&self, path: &str, query: &str, more: &[(&str, &str)]) -> Value {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(30))).build().into();
        let form = [("query", query)].into_iter().chain(more.iter().copied());
        let mut answer = agent.post(format!("{}/api/v1/{path}", self.url)).send_form(form).unwrap();
        serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
    }

    /// Values of a query, by the order of its answer.
    fn values(&self, query: &str) -> Vec<f64> {
        let answer = self.get("query", query, &[]);
        let all = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}")).clone();
        all.iter().map(|one| one["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }

    fn value(&self, query: &str) -> f64 {
        let values = self.values(query);
        assert_eq!(values.len(), 1, "{query}: {values:?}");
        values[0]
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        stack(&["stop", &self.folder.path().display().to_string()]);
    }
}

/// The newest whole minute but one.
fn last_minute() -> EventTime {
    EventTime(SystemClock::new().wall().div_euclid(MINUTE) * MINUTE - 2 * MINUTE)
}

fn remote_write(prometheus: &Prometheus, version: Version) -> RemoteWrite {
    let settings = RemoteWriteSettings {
        url: format!("{}/api/v1/write", prometheus.url),
        version,
        histograms: Histograms::Both,
        labels: [("by".to_owned(), "write".to_owned())].into(),
        http: Access::default(),
    };
    RemoteWrite::new(&settings).unwrap()
}

fn through(outcome: Outcome) -> (u64, Vec<(&'static str, u64)>) {
    let Outcome::Through { sent, dropped } = outcome else { panic!("{outcome:?}") };
    (sent, dropped)
}

/// What the service `busy` did in its window stands there, of the series that this selects.
fn is_busy(prometheus: &Prometheus, by: &str, end: i64) {
    let at = |metric: &str, more: &str| format!("{metric}{{{by},service_name=\"busy\"{more}}} @ {end}");
    let value = |metric: &str, more: &str| prometheus.value(&at(metric, more));
    let ok = ",outcome=\"ok\"";
    assert_eq!(value("golden_signals_requests_total", ""), 300.0);
    assert_eq!(prometheus.value(&format!("sum({})", at("golden_signals_errors_total", ""))), 10.0);
    assert!((value("golden_signals_availability_ratio", "") - 290.0 / 300.0).abs() < 1e-12);
    assert_eq!(value("golden_signals_saturation_ratio", ",resource=\"cpu\""), 0.7);
    assert_eq!(prometheus.values(&at("golden_signals_saturation_ratio", "")), [0.7], "one resource is the fullest");
    assert_eq!(value("golden_signals_utilization_ratio", ",resource=\"memory\""), 0.25);
    // 1 to 300 ms without every thirtieth.
    let histogram = at("golden_signals_request_duration_seconds", ok);
    assert_eq!(prometheus.value(&format!("histogram_count({histogram})")), 290.0);
    assert!((prometheus.value(&format!("histogram_sum({histogram})")) - 43.5).abs() < 1e-9);
    for (q, wanted) in [("0.1", 0.030), ("0.5", 0.150), ("0.9", 0.270), ("0.99", 0.297)] {
        let found = prometheus.value(&format!("histogram_quantile({q}, {histogram})"));
        assert!((found / wanted - 1.0).abs() < 0.03, "{by}, q{q}: {found}, not {wanted}");
    }
}

/// One chunk into a Prometheus that has something newer of one of its services.
fn only_what_is_refused_is_dropped(version: Version) {
    let prometheus = Prometheus::start();
    let mut output = remote_write(&prometheus, version);
    let now = last_minute();
    let before = now.plus(-10 * MINUTE);
    let (alone, dropped) = through(output.send(&chunk_at(now, &["late"])));
    assert!(alone > 20 && dropped.is_empty(), "{alone}, {dropped:?}");
    let (sent, dropped) = through(output.send(&chunk_at(before, &["a", "busy", "late", "traced"])));
    // The same series, so as many samples.
    assert!(dropped.iter().all(|(reason, _)| *reason == "refused"), "{dropped:?}");
    assert_eq!(dropped.iter().map(|(_, count)| count).sum::<u64>(), alone, "{version:?}");
    assert!(sent > 2 * alone);
    let end = (before.0 + MINUTE) / SECOND;
    is_busy(&prometheus, "by=\"write\"", end);
    assert_eq!(prometheus.value(&format!("golden_signals_requests_total{{service_name=\"a\"}} @ {end}")), 1.0);
    assert_eq!(prometheus.value("count_over_time(golden_signals_requests_total{service_name=\"late\"}[1h])"), 2.0, "its first ones alone");
    let range = [("start", "0"), ("end", "9999999999")];
    let traces = prometheus.get("query_exemplars", "{service_name=\"traced\"}", &range).to_string();
    // By version 1.0 Prometheus looks at traces before histograms, so a native one that is new has none yet.
    let of = if version == Version::V1 {
        "golden_signals_request_duration_seconds_bucket\""
    } else {
        "golden_signals_request_duration_seconds\""
    };
    assert!(traces.contains(&format!("{:032x}", 0xabc)) && traces.contains(of), "{traces}");
    // Sent once more, as after a kill: every sample is there already, so nothing changes.
    through(output.send(&chunk_at(before, &["a", "busy", "traced"])));
    is_busy(&prometheus, "by=\"write\"", end);
}

#[test]
fn by_version_1_only_what_is_refused_is_dropped() {
    only_what_is_refused_is_dropped(Version::V1);
}

#[test]
fn by_version_2_only_what_is_refused_is_dropped() {
    only_what_is_refused_is_dropped(Version::V2);
}

#[test]
fn exponential_histograms_of_otlp_are_the_native_ones_of_remote_write() {
    let prometheus = Prometheus::start();
    let start = last_minute();
    let chunk = chunk_at(start, &["busy"]);
    let mut otlp = Otlp::new(&OtlpSettings {
        url: format!("{}/api/v1/otlp/v1/metrics", prometheus.url),
        protocol: Protocol::Http,
        temporality: Temporality::Cumulative,
        http: Access::default(),
    })
    .unwrap();
    assert_eq!(through(otlp.send(&chunk)).1, []);
    assert_eq!(through(remote_write(&prometheus, Version::V2).send(&chunk)).1, []);
    let end = (start.0 + MINUTE) / SECOND;
    for by in ["job=\"golden-signals\"", "by=\"write\""] {
        is_busy(&prometheus, by, end);
    }
    let of = |function: &str, by: &str| {
        let series = format!("golden_signals_request_duration_seconds{{{by},service_name=\"busy\",outcome=\"ok\"}} @ {end}");
        prometheus.value(&format!("{function}{series})"))
    };
    for percent in (0..=100).step_by(5) {
        let quantile = format!("histogram_quantile({}, ", f64::from(percent) / 100.0);
        let (one, other) = (of(&quantile, "job=\"golden-signals\""), of(&quantile, "by=\"write\""));
        assert!((one - other).abs() <= 1e-12, "p{percent}: {one} and {other}");
    }
}
