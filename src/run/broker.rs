//! The demo's own Kafka: one broker on loopback, run by the script that the tests use, gone with the demo.

use crate::failure::Failure;
use crate::settings::Settings;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The script and the list of packages it fetches, part of the program so that the demo needs nothing beside it.
const FILES: [(&str, &str); 2] =
    [("kafka", include_str!("../../tests/kafka/kafka")), ("pom.xml", include_str!("../../tests/kafka/pom.xml"))];

/// A broker that runs as long as this lives.
pub(super) struct Broker {
    script: PathBuf,
    folder: PathBuf,
}

impl Broker {
    /// Starts a broker beside the demo's data, and sets it as the log.
    pub(super) fn start(settings: &mut Settings) -> Result<Self, Failure> {
        let base = settings.data.with_extension("kafka");
        let failed = |error: std::io::Error| Failure::missing(format!("cannot prepare a broker in {}: {error}", base.display()));
        std::fs::create_dir_all(&base).map_err(failed)?;
        for (name, text) in FILES {
            std::fs::write(base.join(name), text).map_err(failed)?;
        }
        let broker = Self { script: base.join("kafka"), folder: base.join("cluster") };
        eprintln!("Starting a Kafka broker; the first time this fetches it, which takes a minute.");
        broker.does(&["install"])?;
        let folder = broker.folder.display().to_string();
        let bootstrap = broker.does(&["start", "--dir", &folder])?;
        settings.log.kafka =
            Some(platform_kafka::settings::Settings { bootstrap: bootstrap.trim().to_owned(), dev: true, ..Default::default() });
        Ok(broker)
    }

    fn does(&self, args: &[&str]) -> Result<String, Failure> {
        let output = Command::new("bash").arg(&self.script).args(args).output();
        let output = output.map_err(|error| Failure::missing(format!("cannot run bash: {error}")))?;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Failure::missing(format!("no Kafka broker can be started: {why}")));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let folder = self.folder.display().to_string();
        if let Err(error) = self.does(&["stop", &folder, "--now"]) {
            tracing::warn!(?error, "the demo's broker could not be stopped");
        }
        let base = self.script.parent().unwrap_or(Path::new("."));
        if let Err(error) = std::fs::remove_dir_all(base) {
            tracing::warn!(folder = %base.display(), %error, "the broker's folder could not be removed");
        }
    }
}
