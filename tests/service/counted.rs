//! Requests whose number is known, while a real Prometheus scrapes the process and is written to: whatever happens to deployments meanwhile, its
//! counters never fall, miss no window, and grow by exactly these requests.

use crate::process::{Service, eventually};
use crate::prometheus::Prometheus;
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A service of our own beside others.
const SERVICE: &str = "counted";
/// Length of the demo's windows, s.
const WINDOW: f64 = 10.0;

/// What was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    requests: u64,
    failed: u64,
}

/// A Prometheus, and where the process that it looks at has to listen.
pub(crate) struct Counted {
    prometheus: Prometheus,
    folder: tempfile::TempDir,
    address: String,
}

impl Counted {
    pub(crate) fn new() -> Self {
        // A port that nobody listens on yet.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let target = format!("scrape={address}/metrics");
        let prometheus = Prometheus::start(&["--interval", "1s", "--ooo", "2h", "--scrape", &target]);
        let folder = tempfile::tempdir().unwrap();
        let outputs = format!("outputs: {{remote_write: {{url: \"{}/api/v1/write\", labels: {{by: write}}}}}}\n", prometheus.url);
        std::fs::write(folder.path().join("golden.yaml"), outputs).unwrap();
        Self { prometheus, folder, address }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A `golden run` that Prometheus sees.
    pub(crate) fn start(&self, args: &[&str]) -> Service {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        command.args(["run", "--listen", &self.address, "--data"]).arg(self.data());
        command.arg("--config").arg(self.folder.path().join("golden.yaml")).args(args);
        Service::of(command)
    }

    /// Sends requests until told to stop; all of them must be taken.
    pub(crate) fn feed(&self, stop: &AtomicBool) -> Ledger {
        self.feed_on(Ledger::default(), |_| stop.load(Ordering::Relaxed))
    }

    /// The same, beside what was taken before.
    fn feed_on(&self, mut ledger: Ledger, stop: impl Fn(Ledger) -> bool) -> Ledger {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(20))).build().into();
        let clock = SystemClock::new();
        while !stop(ledger) {
            let event = |n: u64| {
                let status = if n.is_multiple_of(7) { 503 } else { 200 };
                json!({"service": SERVICE, "timestamp": clock.wall(), "duration_ns": 1_000_000 * (n % 300 + 1), "status": status})
            };
            let numbers = ledger.requests..ledger.requests + 3;
            ledger.failed += numbers.clone().filter(|n| n.is_multiple_of(7)).count() as u64;
            ledger.requests = numbers.end;
            let body = numbers.map(|n| event(n).to_string()).collect::<Vec<_>>().join("\n");
            let to = format!("http://{}/api/v1/events", self.address);
            agent.post(&to).header("content-type", "application/x-ndjson").send(body.as_bytes()).unwrap();
            std::thread::park_timeout(Duration::from_millis(100));
        }
        ledger
    }

    /// Samples of the only series of a query, in the order of time: s, value.
    fn samples(&self, series: &str) -> Vec<(f64, f64)> {
        let found = self.prometheus.query(&format!("{series}[1h]")).unwrap();
        assert_eq!(found.len(), 1, "{series}: {found:?}");
        let pair = |value: &Value| (value[0].as_f64().unwrap(), value[1].as_str().unwrap().parse().unwrap());
        found[0]["values"].as_array().unwrap().iter().map(pair).collect()
    }

    /// Holds Prometheus to the ledger.
    pub(crate) fn judge(&self, ledger: Ledger) {
        self.judge_by(&[r#"by="write""#, r#"job="scrape""#], ledger);
    }

    /// The same for some of the ways there.
    fn judge_by(&self, ways: &[&str], ledger: Ledger) {
        let Ledger { requests, failed } = ledger;
        assert!(failed > 10, "{ledger:?}");
        for by in ways {
            let of = format!(r#"{by},grouping="service",service_name="{SERVICE}""#);
            let series = |metric: &str, more: &str| format!("{metric}{{{of}{more}}}");
            let counter = series("golden_signals_requests_total", "");
            let mut seen = None;
            let all = crate::process::within(90, || {
                seen = self.prometheus.value(&counter);
                seen == Some(requests as f64)
            });
            assert!(all, "{counter} is {seen:?} and not {requests}: {:?}", self.samples(&counter));
            let samples = self.samples(&counter);
            let falls: Vec<_> = samples.windows(2).filter(|two| two[1].1 < two[0].1).collect();
            assert!(falls.is_empty(), "{counter} falls: {falls:?}");
            // Of each error type, too, and of each bucket.
            for metric in ["golden_signals_requests_total", "golden_signals_errors_total", "golden_signals_request_duration_seconds_bucket"]
            {
                let resets = format!("resets({}[1h]) > 0", series(metric, ""));
                assert_eq!(self.prometheus.query(&resets).unwrap(), Vec::<Value>::new(), "{resets}");
            }
            let sum = |metric: &str, more: &str| self.prometheus.value(&format!("sum({})", series(metric, more)));
            eventually("errors and durations come with the requests", 30, || {
                sum("golden_signals_errors_total", r#",error_type!="""#) == Some(failed as f64)
                    && sum("golden_signals_request_duration_seconds_count", "") == Some(requests as f64)
            });
            if by.starts_with("by") {
                // From the zero before the first window to the last sample there is nothing to extrapolate: it is exact.
                let (first, last) = (samples[0], samples[samples.len() - 1]);
                let increase = |metric: &str, more: &str| {
                    let range = format!("{}[1h] @ {}", series(metric, more), last.0);
                    self.prometheus.value(&format!("sum(increase({range}))")).unwrap()
                };
                assert_eq!(first.1, 0.0, "{samples:?}");
                assert!((increase("golden_signals_requests_total", "") - requests as f64).abs() < 1e-6);
                let grown = increase("golden_signals_errors_total", r#",error_type!="""#);
                assert!((grown - failed as f64).abs() < 1e-6, "{grown} errors, not {failed}");
                let windows = samples.windows(2).filter(|two| two[1].0 - two[0].0 != WINDOW).collect::<Vec<_>>();
                assert!(windows.is_empty(), "one sample for each window: {windows:?}");
            }
        }
        eprintln!("{ledger:?} stand in Prometheus, by {ways:?}");
    }

    /// Holds what was pushed to the ledger, over so many resets.
    fn judge_increase(&self, Ledger { requests, failed }: Ledger, resets: u64) {
        let of = format!(r#"by="write",grouping="service",service_name="{SERVICE}""#);
        for (series, wanted) in [
            (format!("golden_signals_requests_total{{{of}}}"), requests),
            (format!(r#"golden_signals_errors_total{{{of},error_type!=""}}"#), failed),
            (format!("golden_signals_request_duration_seconds_count{{{of},outcome=\"error\"}}"), failed),
        ] {
            let mut increase = 0.0;
            let all = crate::process::within(90, || {
                let samples = self.samples(&series);
                increase = samples.windows(2).map(|two| if two[1].1 < two[0].1 { two[1].1 } else { two[1].1 - two[0].1 }).sum();
                increase == wanted as f64
            });
            assert!(all, "{series} grew by {increase} and not by {wanted}: {:?}", self.samples(&series));
            assert_eq!(self.prometheus.value(&format!("resets({series}[1h])")), Some(resets as f64));
        }
    }

    /// Feeds for about two windows.
    fn feed_some(&self, ledger: Ledger) -> Ledger {
        self.feed_on(ledger, |now| now.requests >= ledger.requests + 600)
    }
}

#[test]
fn a_killed_process_and_one_that_lost_its_stores_leave_increases_as_the_ledger_says() {
    let counted = Counted::new();
    let start = || counted.start(&["--demo"]);
    let mut service = start();
    let mut ledger = counted.feed_some(Ledger::default());
    service.kill();
    service = start();
    ledger = counted.feed_some(ledger);
    counted.judge(ledger);

    // Without its stores: counters of the page are made again from the public topic, and none of them falls. Those that are pushed begin anew
    // behind what was noted as sent, which is a reset, and grow by what came since (docs/outputs.md).
    assert!(service.stop());
    std::fs::remove_dir_all(counted.data().join("state")).unwrap();
    service = start();
    ledger = counted.feed_some(ledger);
    counted.judge_by(&[r#"job="scrape""#], ledger);
    counted.judge_increase(ledger, 1);
    assert!(service.stop());
}
