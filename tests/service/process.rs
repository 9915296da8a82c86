//! A `golden run` of a test: started on a free port, told to stop, or killed.

use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A running service.
pub(crate) struct Service {
    child: Child,
    /// The last lines it said.
    said: Arc<Mutex<VecDeque<String>>>,
    /// `http://127.0.0.1:PORT`; empty for one that stopped itself, or died, before it listened.
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
        Self::of(command)
    }

    /// Starts what `command` says, and waits until it says where it listens, or has stopped itself or died at a fail point before.
    pub(crate) fn of(command: Command) -> Self {
        Self::try_of(command).unwrap_or_else(|said| panic!("it did not start: {said:#?}"))
    }

    /// The same, for one that may end before it listens: then what it said.
    pub(crate) fn try_of(mut command: Command) -> Result<Self, VecDeque<String>> {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = VecDeque::new();
        let url = loop {
            let Some(Ok(line)) = lines.next() else {
                child.kill().and_then(|()| child.wait()).unwrap();
                return Err(said);
            };
            said.push_back(line);
            let Some(line) = said.back() else { continue };
            if let Some(url) = line.strip_suffix("/metrics").and_then(|line| line.find("http://").map(|at| &line[at..])) {
                break url.to_owned();
            }
            if line.starts_with("stopped at") || line.starts_with("aborts at") {
                break String::new();
            }
        };
        let said = Arc::new(Mutex::new(said));
        let kept = Arc::clone(&said);
        let keep = move || {
            for line in lines.map_while(Result::ok) {
                let mut kept = kept.lock().unwrap();
                kept.push_back(line);
                if kept.len() > 60 {
                    kept.pop_front();
                }
            }
        };
        std::thread::Builder::new().name("stderr".to_owned()).spawn(keep).unwrap();
        Ok(Self { child, said, url })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; gives whether it ended with success.
    pub(crate) fn stop(&mut self) -> bool {
        self.signal("-TERM");
        self.child.wait().unwrap().success()
    }

    /// SIGTERM, and `kill -9` for one that does not end in time.
    pub(crate) fn end(&mut self) {
        self.signal("-TERM");
        if !within(15, || self.has_ended()) {
            self.kill();
        }
    }

    /// Whether it stands still: stopped by itself or by another.
    pub(crate) fn stands_still(&self) -> bool {
        let state = Command::new("ps").args(["-o", "state=", "-p", &self.child.id().to_string()]).output().unwrap();
        state.stdout.trim_ascii_start().first() == Some(&b'T')
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether one that has ended did so with success.
    pub(crate) fn was_success(&mut self) -> bool {
        self.child.wait().unwrap().success()
    }

    /// The last lines it said.
    pub(crate) fn said(&self) -> String {
        self.said.lock().unwrap().iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// SIGSTOP: it stands still and knows nothing of it.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// SIGCONT.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// The answer to a GET, as JSON; `None` while there is none.
    pub(crate) fn get(&self, path: &str) -> Option<serde_json::Value> {
        let mut answer = ureq::get(&format!("{}{path}", self.url)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }
}

/// A test that fails leaves nothing running, and shows what was said last.
impl Drop for Service {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {} said last:\n{}", self.url, self.said());
        }
        // An error says that it has ended already.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

/// Waits for something to be so; panics with `what` when it is not within `seconds`.
pub(crate) fn eventually(what: &str, seconds: u64, so: impl FnMut() -> bool) {
    assert!(within(seconds, so), "not within {seconds} s: {what}");
}

/// Waits for something to be so; gives whether it came to be within about `seconds`.
pub(crate) fn within(seconds: u64, mut so: impl FnMut() -> bool) -> bool {
    let clock = SystemClock::new();
    let deadline = clock.monotonic() + Duration::from_secs(seconds);
    loop {
        if so() {
            return true;
        }
        if clock.monotonic() > deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(100));
    }
}
