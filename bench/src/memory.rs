//! Peak memory with a million series: events through a pipe, uniform over the series, in exactly two windows that are open to the end.

use crate::{check, load::Load, measure};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What to run.
#[derive(Args, Debug)]
pub(crate) struct Memory {
    /// The `golden` program.
    #[arg(long)]
    golden: PathBuf,
    /// Folder for the output; about 400 MB.
    #[arg(long)]
    dir: PathBuf,
    /// Number of services, of a hundred operations each.
    #[arg(long, default_value_t = 10_000)]
    services: u32,
    /// Events of each series, over both windows.
    #[arg(long, default_value_t = 120)]
    each: u64,
    /// Threads of `golden`.
    #[arg(long, default_value_t = 1)]
    threads: u32,
}

impl Memory {
    pub(crate) fn run(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let series = u64::from(self.services) * 100;
        let events = series * self.each;
        // From 5 s after a minute for 110 s, moved by up to 5 s: two whole minutes.
        let load = Load {
            events,
            seed: 1,
            rate: (events / 110 + 1).max(1),
            services: self.services,
            operations: 100,
            zipf: 0.0,
            disorder: 5,
            offset: 5,
        };
        let mut generate = Command::new(std::env::current_exe()?);
        let mut generate = generate.arg("generate").args(load.flags()).stdout(Stdio::piped()).spawn()?;
        let pipe = generate.stdout.take().context("a pipe was asked for")?;
        let mut command: Vec<OsString> = vec![self.golden.clone().into()];
        let threads = self.threads.to_string();
        command.extend(["replay", "-", "--by", "service,operation", "--threads", &threads, "--output", "csv"].map(OsString::from));
        let output = self.dir.join("memory.csv");
        let took = measure::measured(&command, pipe.into(), &output);
        let fed = generate.wait()?;
        let took = took?;
        ensure!(fed.success(), "the generator ended with {fed}");
        let (rows, requests) = check::totals(&output)?;
        ensure!(requests == events, "{requests} requests counted instead of {events}");
        std::fs::remove_file(&output)?;
        println!("| Series | Events | Rows | Peak MiB | Bytes per row | CPU-s per 1 M events |\n|---|---|---|---|---|---|");
        let (per_row, cpu) = (took.peak * 1_048_576.0 / rows.max(1) as f64, took.cpu * 1e6 / events.max(1) as f64);
        println!("| {series} | {events} | {rows} | {:.0} | {per_row:.0} | {cpu:.3} |", took.peak);
        println!("\nTo reach: 1 000 000 series with 120 events each in two open windows below 4096 MiB.");
        Ok(())
    }
}
