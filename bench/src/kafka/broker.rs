//! The broker of a benchmark: started by the script of the tests, asked for its CPU time, stopped at the end.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Clock ticks in a second, as Linux shows them to programs on every machine.
const TICKS: f64 = 100.0;

/// One broker in a folder of its own.
pub(crate) struct Broker {
    script: PathBuf,
    folder: PathBuf,
    /// `host:port`.
    pub(crate) bootstrap: String,
}

impl Broker {
    /// Starts it on an empty folder.
    pub(crate) fn start(script: &Path, folder: &Path) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        let mut broker = Self { script: script.to_owned(), folder: folder.to_owned(), bootstrap: String::new() };
        broker.script("install", &[])?;
        // Kafka's own default; the script's brokers wait for no second member, so that tests start soon. Then the first task is given all partitions
        // and loses some before it has read anything, which looks like a death there: the next task reads them with care.
        let delay = "group.initial.rebalance.delay.ms=3000";
        let output = Command::new(script).args(["start", "--set", delay, "--dir"]).arg(folder).output()?;
        broker.bootstrap = said(output)?.trim().to_owned();
        Ok(broker)
    }

    /// Deletes topics by a pattern, and all positions of groups; which nobody may be using.
    pub(crate) fn delete(&self, topics: &str) -> Result<()> {
        self.script("tool", &["TopicCommand", "--delete", "--if-exists", "--topic", topics])?;
        // A group that is left over shows in the next result, which lacks what it has read.
        self.script("tool", &["consumer.group.ConsumerGroupCommand", "--delete", "--all-groups"])?;
        Ok(())
    }

    /// CPU-seconds since its start.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let status = self.script("status", &[])?;
        let pid = status.split_whitespace().skip_while(|word| *word != "pid").nth(1).context("the broker does not run")?;
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name, which may hold anything: user and system time are the 14th and 15th field.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<f64>().ok()).context("not a line of /proc");
        Ok((ticks(14)? + ticks(15)?) / TICKS)
    }

    fn script(&self, command: &str, args: &[&str]) -> Result<String> {
        let mut script = Command::new(&self.script);
        script.arg(command);
        if command != "install" {
            script.arg(&self.folder);
        }
        said(script.args(args).output().with_context(|| format!("cannot run {}", self.script.display()))?)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.script("stop", &["--now"]));
    }
}

fn said(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

/// How busy the machine is, over the last minute.
pub(crate) fn load_average() -> Result<String> {
    Ok(std::fs::read_to_string("/proc/loadavg")?.split(' ').next().unwrap_or_default().to_owned())
}
