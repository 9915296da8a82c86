//! A real S3 server of a test, by the script of this repository.

use golden_bundle::s3::{S3, S3Settings};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/s3/s3");
pub(crate) const BUCKET: &str = "golden";

pub(crate) struct Server {
    folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl Server {
    /// Starts one; `None`, and a line that says so, where it is not installed and cannot be built.
    pub(crate) fn start() -> Option<Self> {
        let cached = Command::new(SCRIPT).arg("install").output().unwrap();
        if !cached.status.success() {
            // Not by a macro, whose lines the test harness keeps to itself.
            let why = String::from_utf8_lossy(&cached.stderr).trim().to_owned();
            std::io::stderr().write_all(format!("SKIPPED: a test on a real S3 server: {why}\n").as_bytes()).unwrap();
            return None;
        }
        let mut server = Self { folder: tempfile::tempdir().unwrap(), url: String::new() };
        server.restart();
        Some(server)
    }

    /// Starts it again after it was killed, with its data, at the same place.
    pub(crate) fn restart(&mut self) {
        let owner = std::process::id().to_string();
        let dir = self.folder.path().display().to_string();
        self.url = run(&["start", "--dir", &dir, "--bucket", BUCKET, "--owner", &owner]);
    }

    pub(crate) fn kill(&self) {
        run(&["kill", &self.folder.path().display().to_string()]);
    }

    pub(crate) fn pause(&self) {
        run(&["pause", &self.folder.path().display().to_string()]);
    }

    pub(crate) fn resume(&self) {
        run(&["resume", &self.folder.path().display().to_string()]);
    }

    pub(crate) fn credentials(&self) -> PathBuf {
        self.folder.path().join("credentials")
    }

    /// Where an object lies on this machine.
    pub(crate) fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join("data").join(BUCKET).join(key)
    }

    /// Reached by this URL, which may be a proxy's.
    pub(crate) fn settings(&self, url: &str) -> S3Settings {
        S3Settings {
            endpoint: Some(url.to_owned()),
            region: Some("us-east-1".to_owned()),
            credentials: Some(self.credentials()),
            path_style: None,
            patience: Duration::from_secs(20),
        }
    }

    pub(crate) fn open(&self) -> S3 {
        self.open_by(&self.url)
    }

    pub(crate) fn open_by(&self, url: &str) -> S3 {
        S3::new(BUCKET, "team/overrides", self.settings(url)).unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Killed already, in some tests.
        drop(Command::new(SCRIPT).arg("kill").arg(self.folder.path()).output());
    }
}

fn run(args: &[&str]) -> String {
    let output = Command::new(Path::new(SCRIPT)).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
