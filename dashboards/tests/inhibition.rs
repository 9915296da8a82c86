//! Inhibitions, as a real Alertmanager applies them to alerts of every name: what is held back while something worse is known, and what never is.
//!
//! Where it is neither installed nor can be built this test fails, and says how to get it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use golden_dashboards::alerts;
use golden_dashboards::rules::Rule;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn stack(args: &[&str]) -> Output {
    Command::new(here("../tests/prometheus/prometheus-stack")).args(args).output().unwrap()
}

fn done(output: Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{said}\nthis test wants Alertmanager: `tests/prometheus/prometheus-stack install` builds it, once, with Go 1.26 or newer"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// An Alertmanager with the configuration that is installed; it ends with the test.
struct Alertmanager {
    folder: tempfile::TempDir,
    url: String,
}

impl Alertmanager {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = std::fs::read_to_string(here("alertmanager/alertmanager.yml")).unwrap();
        let templates = here("alertmanager/templates").display().to_string();
        let path = folder.path().join("config.yml");
        std::fs::write(&path, config.replace("templates/*.tmpl", &format!("{templates}/*.tmpl"))).unwrap();
        let (dir, config, owner) = (folder.path().join("stack"), path.display().to_string(), std::process::id().to_string());
        let dir = dir.display().to_string();
        done(stack(&["start", "--dir", &dir, "--owner", &owner, "--alertmanager-config", &config]));
        let addresses = done(stack(&["env", &dir]));
        let url = addresses.lines().find_map(|line| line.strip_prefix("export ALERTMANAGER_URL=")).unwrap().to_owned();
        Self { folder, url }
    }

    fn fires(&self, labels: &str) {
        let at = format!("--alertmanager.url={}", self.url);
        let args: Vec<&str> = ["amtool", &at, "alert", "add"].into_iter().chain(labels.split(' ')).collect();
        done(stack(&args));
    }

    /// Alerts by their labels, in the order of names, and whether each is held back.
    fn held_back(&self) -> BTreeMap<String, bool> {
        let at = format!("--alertmanager.url={}", self.url);
        let text = done(stack(&["amtool", &at, "alert", "query", "--active", "--inhibited", "--unprocessed", "-o", "json"]));
        let all: Vec<Value> = serde_json::from_str(&text).unwrap();
        let labels = |alert: &Value| {
            let labels = alert["labels"].as_object().unwrap().iter();
            labels.map(|(name, value)| format!("{name}={}", value.as_str().unwrap())).collect::<Vec<_>>().join(" ")
        };
        let by = |alert: &Value| !alert["status"]["inhibitedBy"].as_array().unwrap().is_empty();
        all.iter().map(|alert| (labels(alert), by(alert))).collect()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        drop(stack(&["stop", &self.folder.path().join("stack").display().to_string()]));
    }
}

#[test]
fn what_is_no_news_is_held_back_and_nothing_else() {
    let alertmanager = Alertmanager::start();
    let cart = "service_name=cart tenant=default";
    // In the order of labels, as they are shown; whether it is to be held back.
    let cases = [
        (format!("alertname=GoldenSignalsServiceCritical {cart}"), false),
        (format!("alertname=GoldenSignalsServiceDegraded {cart}"), true),
        (format!("alertname=GoldenSignalsHealthUnknown {cart}"), true),
        (format!("alertname=GoldenSignalsSaturationHigh {cart}"), true),
        (format!("alertname=GoldenSignalsErrorBudgetBurn {cart}"), true),
        // Nothing that its owner could not see by looking at the outage.
        (format!("alertname=GoldenSignalsLateLedgerGrows {cart}"), false),
        (format!("alertname=GoldenSignalsOverrideRejected {cart}"), false),
        // Others are down, or they are no others.
        ("alertname=GoldenSignalsServiceDegraded service_name=shop tenant=default".to_owned(), false),
        ("alertname=GoldenSignalsServiceDegraded service_name=cart tenant=other".to_owned(), false),
        ("alertname=GoldenSignalsServiceDegraded service_name=cart service_namespace=b tenant=default".to_owned(), false),
        // A fast burn is a slow one as well, of the same objective.
        ("alertname=GoldenSignalsErrorBudgetBurn service_name=mail severity=critical sloth_slo=availability".to_owned(), false),
        ("alertname=GoldenSignalsErrorBudgetBurn service_name=mail severity=warning sloth_slo=availability".to_owned(), true),
        ("alertname=GoldenSignalsErrorBudgetBurn service_name=mail severity=warning sloth_slo=latency".to_owned(), false),
    ];
    cases.iter().for_each(|(labels, _)| alertmanager.fires(labels));
    assert_eq!(alertmanager.held_back(), BTreeMap::from(cases));

    // While signals are stale, all that is made of them is; what must never be stays visible.
    let rules = alerts::groups().into_iter().flat_map(|group| group.rules);
    let names: BTreeSet<String> = rules.filter_map(|rule| if let Rule::Alert(alert) = rule { Some(alert.alert) } else { None }).collect();
    assert!(names.len() > 15);
    names.iter().for_each(|name| alertmanager.fires(&format!("alertname={name} team=x")));
    alertmanager.fires("alertname=SomebodyElses");
    for (labels, held) in alertmanager.held_back() {
        let free =
            ["alertname=GoldenSignalsSignalsStale team=x", "alertname=GoldenSignalsInvariantBroken team=x", "alertname=SomebodyElses"];
        assert_eq!(held, !free.contains(&labels.as_str()), "{labels}");
    }
}
