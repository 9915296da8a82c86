//! What one command took: a process that starts it, waits, and reads the kernel's account of its children.
//!
//! CPU is user + system time of the command and all its waited-for descendants, in µs as the kernel counts them; memory is the largest
//! resident set among them. The process in between exists because that account is of all children of a process together.

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs a command with its own input and output.
#[derive(Args, Debug)]
pub(crate) struct Measure {
    /// Where to write what it took.
    #[arg(long)]
    report: PathBuf,
    /// The command and its arguments.
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// What one command took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of user and system time.
    pub(crate) cpu: f64,
    /// Peak of the resident set in MiB.
    pub(crate) peak: f64,
}

impl Measure {
    pub(crate) fn run(&self) -> Result<()> {
        let [program, args @ ..] = self.command.as_slice() else { bail!("no command") };
        let start = now();
        let status = Command::new(program).args(args).status().with_context(|| format!("cannot run {}", program.display()))?;
        let wall = now().duration_since(start).as_secs_f64();
        if !status.success() {
            bail!("{} ended with {status}", program.display());
        }
        let cpu = used_by_children()?;
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() as f64 / 1024.0; // Linux gives KiB
        Ok(std::fs::write(&self.report, format!("{wall} {cpu} {peak}"))?)
    }
}

impl Took {
    /// CPU-seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu
    }

    /// Runs in a second.
    pub(crate) fn rate(&self) -> f64 {
        1.0 / self.wall
    }

    /// Runs in a CPU-second.
    pub(crate) fn rate_per_cpu(&self) -> f64 {
        1.0 / self.cpu
    }
}

/// Runs a command with its output in a file, and says what it took. `input` is its standard input.
pub(crate) fn measured(command: &[OsString], input: Stdio, output: &Path) -> Result<Took> {
    let report = output.with_extension("took");
    let mut measure = Command::new(std::env::current_exe()?);
    measure.arg("measure").arg("--report").arg(&report).arg("--").args(command);
    let status = measure.stdin(input).stdout(File::create(output)?).status()?;
    if !status.success() {
        bail!("{} failed", command.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" "));
    }
    let text = std::fs::read_to_string(&report)?;
    let numbers: Vec<f64> = text.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    let [wall, cpu, peak] = numbers.as_slice() else { bail!("{} is not a report: {text}", report.display()) };
    Ok(Took { wall: *wall, cpu: *cpu, peak: *peak })
}

/// CPU-seconds, user and system, of all children that were waited for so far, and of theirs.
pub(crate) fn used_by_children() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time; nothing else here reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
