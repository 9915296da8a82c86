//! A `golden run`, seen from outside.

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::Child;
use std::time::Duration;

/// How long a run may take.
const LIMIT: Duration = Duration::from_secs(600);
/// Ticks of the kernel's clock in a second.
const TICKS: f64 = 100.0;

/// A running one.
pub(crate) struct Running(Child);

impl Running {
    /// Takes charge of a process.
    pub(crate) fn new(child: Child) -> Self {
        Self(child)
    }

    /// Whether it still may run.
    pub(crate) fn check(&mut self, since: Duration) -> Result<()> {
        if let Some(status) = self.0.try_wait()? {
            bail!("golden ended with {status}");
        }
        ensure!(since < LIMIT, "golden has not published everything within {} s", LIMIT.as_secs());
        Ok(())
    }

    /// Peak of the resident set so far, MiB.
    pub(crate) fn peak(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
    }

    /// CPU-seconds so far, user and system, to a hundredth.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // Behind the name, which may hold spaces, the twelfth and thirteenth.
        let (_, rest) = stat.rsplit_once(')').context("no name")?;
        let ticks = rest.split_whitespace().skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
        Ok(ticks / TICKS)
    }

    /// Ends it as a person would.
    pub(crate) fn stop(&mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGTERM)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "golden ended with {status}");
        Ok(())
    }
}

/// A benchmark that fails leaves nothing running.
impl Drop for Running {
    fn drop(&mut self) {
        // An error says that it has ended already.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}
