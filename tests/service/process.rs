//! A `golden run` of a test: started on a free port, told to stop, or killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A running service.
pub(crate) struct Service {
    child: Child,
    /// `http://127.0.0.1:PORT`.
    pub(crate) url: String,
}

impl Service {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(args: &[&str], config: Option<&Path>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        command.args(["run", "--listen", "127.0.0.1:0"]).args(args);
        if let Some(config) = config {
            command.arg("--config").arg(config);
        }
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else { panic!("it did not start: {said}") };
            if let Some(at) = line.find("http://").filter(|_| line.contains("send events to")) {
                break line[at..].trim_end_matches("/api/v1/events").to_owned();
            }
            said += &line;
            said.push('\n');
        };
        std::thread::Builder::new().name("stderr".to_owned()).spawn(move || lines.for_each(drop)).unwrap();
        Self { child, url }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; gives whether it ended with success.
    pub(crate) fn stop(&mut self) -> bool {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }

    /// The answer to a GET, as JSON; `None` while there is none.
    pub(crate) fn get(&self, path: &str) -> Option<serde_json::Value> {
        let mut answer = ureq::get(&format!("{}{path}", self.url)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }
}

/// A test that fails leaves nothing running.
impl Drop for Service {
    fn drop(&mut self) {
        // An error says that it has ended already.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Waits for something to be so; panics with `what` when it is not within `seconds`.
pub(crate) fn eventually(what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    for _ in 0..seconds * 10 {
        if so() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
    panic!("not within {seconds} s: {what}");
}
