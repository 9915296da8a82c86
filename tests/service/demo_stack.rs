//! `dashboards/demo-stack`, as `make demo-stack` calls it, on ports of its own: what it starts knows each other, the links that it prints answer, and
//! it leaves nothing behind.

use crate::process::eventually;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The script with all that it has started; it is ended with it.
struct Stack {
    child: Child,
    /// What it prints behind the links; it would end if nobody took it.
    _out: BufReader<ChildStdout>,
    /// Its temporary folder stands in here.
    folder: tempfile::TempDir,
    links: Vec<String>,
}

/// The program that writes rules, built as this test was.
fn dashboards() -> PathBuf {
    let profile = if cfg!(debug_assertions) { &[][..] } else { &["--release"] };
    let args = [&["build", "--quiet", "--locked", "--workspace", "--bin", "golden-dashboards"], profile].concat();
    assert!(Command::new(env!("CARGO")).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).status().unwrap().success());
    Path::new(env!("CARGO_BIN_EXE_golden")).with_file_name("golden-dashboards")
}

impl Stack {
    /// Starts it, and waits until it says how it ends.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // A suite that runs in the background was told to ignore SIGINT, and a shell cannot trap what it was told to ignore.
        let mut command = Command::new("env");
        command.arg("--default-signal=INT").arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/demo-stack"));
        command.arg(env!("CARGO_BIN_EXE_golden")).arg(dashboards()).arg("127.0.0.1:0").env("TMPDIR", folder.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut said, mut links) = (String::new(), vec![]);
        while !said.contains("Ctrl-C ends it all") {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended: {said}");
            links.extend(line.split_whitespace().filter(|word| word.starts_with("http://127.0.0.1:")).map(str::to_owned));
            said += &line;
        }
        Self { child, _out: out, folder, links }
    }

    /// The first link that ends so, without that.
    fn base(&self, end: &str) -> String {
        self.links.iter().find_map(|link| link.strip_suffix(end)).unwrap_or_else(|| panic!("no {end} in {:?}", self.links)).to_owned()
    }

    /// Command lines of processes that were started for it.
    fn processes(&self) -> Vec<String> {
        let folder = self.folder.path().display().to_string();
        let lines = std::fs::read_dir("/proc").unwrap().filter_map(|entry| std::fs::read(entry.unwrap().path().join("cmdline")).ok());
        lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).filter(|line| line.contains(&folder)).collect()
    }

    /// Sends a signal to the script alone.
    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// The signal ends it with success, and all that it started, and its folder is gone.
    fn ends_by(&mut self, signal: &str) {
        assert!(self.processes().len() > 2, "{:#?}", self.processes());
        self.signal(signal);
        let mut ended = None;
        eventually("it ends", 60, || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        assert!(ended.unwrap().success(), "{signal}: {ended:?}");
        eventually("nothing is left of it", 10, || self.processes().is_empty());
        assert_eq!(std::fs::read_dir(self.folder.path()).unwrap().count(), 0, "its folder is gone");
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.signal("-TERM");
            drop(self.child.wait());
        }
    }
}

fn get(url: &str) -> Option<String> {
    ureq::get(url).call().ok()?.body_mut().read_to_string().ok()
}

/// The field `data` of an answer of Prometheus.
fn data(url: &str) -> Value {
    get(url).and_then(|text| serde_json::from_str::<Value>(&text).ok()).map(|answer| answer["data"].clone()).unwrap_or_default()
}

#[test]
fn the_demo_stack_is_wired_and_ends_without_a_trace() {
    let mut stack = Stack::start();
    let (alertmanager, rules) = (stack.links.last().unwrap().clone(), stack.base("/rules"));
    assert_eq!(stack.links.len(), 5, "{:?}", stack.links);
    for link in &stack.links {
        assert!(get(link).is_some_and(|page| !page.is_empty()), "{link} does not answer");
    }
    let prometheus = format!("{}/api/v1", rules.trim_end_matches("/api/v1"));
    eventually("Prometheus has scraped golden", 60, || {
        let found = data(&format!("{prometheus}/query?query=sum(golden_signals_requests_total%7Bjob=%22golden-signals%22%7D)"));
        found["result"][0]["value"][1].as_str().and_then(|value| value.parse::<f64>().ok()).is_some_and(|requests| requests > 0.0)
    });
    eventually("all rules are loaded and were evaluated", 60, || {
        let groups = data(&format!("{prometheus}/rules"))["groups"].as_array().cloned().unwrap_or_default();
        let rules: Vec<&Value> = groups.iter().flat_map(|group| group["rules"].as_array().unwrap()).collect();
        let wanted: usize = golden_dashboards::rules_for(6).values().map(|text| text.lines().filter(|l| is_rule(l)).count()).sum();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
        rules.len() == wanted && rules.iter().all(|rule| rule["health"] == "ok")
    });
    eventually("Prometheus tells Alertmanager", 60, || {
        let found = data(&format!("{prometheus}/alertmanagers"));
        found["activeAlertmanagers"]
            .as_array()
            .is_some_and(|all| all.len() == 1 && all[0]["url"].as_str().unwrap().starts_with(&alertmanager))
    });
    stack.ends_by("-TERM");
    let mut stack = Stack::start();
    stack.ends_by("-INT");
}

fn is_rule(line: &str) -> bool {
    let line = line.trim_start().trim_start_matches("- ");
    line.starts_with("record:") || line.starts_with("alert:")
}
