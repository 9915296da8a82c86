//! A real Prometheus and Alertmanager for a test: started on loopback, asked, and stopped with the test.
//!
//! Where they are neither installed nor can be built the test fails and says how to get them: dashboards and alerts are promises that nothing
//! else proves.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Both servers, in a folder of their own; they end with it.
pub(crate) struct Prometheus {
    folder: tempfile::TempDir,
    /// `http://127.0.0.1:PORT`
    pub(crate) url: String,
}

impl Prometheus {
    /// Starts both with arguments of `tests/prometheus/prometheus-stack start`, and waits until they are ready.
    pub(crate) fn start(args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (dir, owner) = (folder.path().display().to_string(), std::process::id().to_string());
        let start = ["start", "--dir", &dir, "--owner", &owner];
        let url = script(&[&start, args].concat()).trim().to_owned();
        Self { folder, url }
    }

    /// Makes it stand still: connections stay open, and nobody answers.
    pub(crate) fn pause(&self) {
        script(&["pause", &self.folder.path().display().to_string()]);
    }

    /// Goes on.
    pub(crate) fn resume(&self) {
        script(&["resume", &self.folder.path().display().to_string()]);
    }

    /// What the series of an instant query are now, or why it has no answer.
    pub(crate) fn query(&self, expression: &str) -> Result<Vec<serde_json::Value>, String> {
        let mut answer =
            agent().post(format!("{}/api/v1/query", self.url)).send_form([("query", expression)]).map_err(|e| e.to_string())?;
        let text = answer.body_mut().read_to_string().map_err(|e| e.to_string())?;
        let answer: serde_json::Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
        match answer["data"]["resultType"].as_str() {
            Some("vector" | "matrix") => Ok(answer["data"]["result"].as_array().cloned().unwrap_or_default()),
            Some("scalar" | "string") => Ok(vec![answer["data"]["result"].clone()]),
            _ => Err(text),
        }
    }

    /// The only value of a query; none while it has no series.
    pub(crate) fn value(&self, expression: &str) -> Option<f64> {
        self.query(expression).unwrap().first()?["value"][1].as_str()?.parse().ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for name in ["prometheus.log", "alertmanager.log"] {
                eprintln!("--- {name}:\n{}", std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default());
            }
        }
        drop(command(&["stop", &self.folder.path().display().to_string()]).output());
    }
}

/// Errors of HTTP are answers, too.
fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(20))).build().into()
}

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/prometheus/prometheus-stack"));
    command.args(args);
    command
}

/// What the script says; panics when it fails.
fn script(args: &[&str]) -> String {
    let output = command(args).output().unwrap();
    assert!(
        output.status.success(),
        "prometheus-stack {args:?}: {}\nget it with `tests/prometheus/prometheus-stack install`, which needs Go 1.26 or newer",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
