//! Speed against the plain reference: whole processes on the same file, in turn, round by round; outputs checked before a speed counts.

use crate::load::{BLOCK, Load};
use crate::measure::{Took, measured};
use crate::{check, decode};
use anyhow::{Context, Result, ensure};
use clap::Args;
use golden_generate::{expect::Expect, generator::Generator};
use platform_core::window::WindowLength;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// What to run.
#[derive(Args, Debug)]
pub(crate) struct Speed {
    /// The `golden` program; without it, decoding and the reference only.
    #[arg(long)]
    golden: Option<PathBuf>,
    /// The plain reference; by default the one beside this program.
    #[arg(long)]
    reference: Option<PathBuf>,
    /// Folder for the events and results, best on a tmpfs; 2 GB.
    #[arg(long)]
    dir: PathBuf,
    /// Rounds; each runs every case once.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    #[command(flatten)]
    load: Load,
}

/// One way to read the file.
struct Case {
    name: &'static str,
    command: Vec<OsString>,
    checks: Checks,
    rounds: Vec<Took>,
}

/// When a case's output is right.
enum Checks {
    /// The exact results.
    Results,
    /// A line that begins with the number of events.
    Count,
}

/// Cases by their names in the table.
const PARSE: &str = "serde_json, borrowed: parse only";
const DECODE: &str = "golden: decode only";
const REFERENCE: &str = "plain reference";
const ONE: &str = "golden replay, 1 thread";
const TWO: &str = "golden replay, 2 threads";

impl Speed {
    pub(crate) fn run(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let (events, exact) = (self.dir.join("events.ndjson"), self.dir.join("exact.csv"));
        let bytes = self.make(&events, &exact)?;
        eprintln!("{} events, {:.1} bytes each", self.load.events, bytes as f64 / self.load.events.max(1) as f64);
        let mut cases = self.cases(&events)?;
        for round in 1..=self.rounds {
            for case in &mut cases {
                let took = case.run(&self.dir, &exact, self.load.events)?;
                eprintln!("round {round}: {}: {:.2} s, {:.2} CPU-s, {:.0} MiB", case.name, took.wall, took.cpu, took.peak);
                case.rounds.push(took);
            }
        }
        print!("{}", report(&cases, self.load.events));
        Ok(())
    }

    /// Writes the events and their exact results; bytes of events.
    fn make(&self, events: &Path, exact: &Path) -> Result<u64> {
        let mut generator = Generator::new(&self.load.settings())?;
        let mut expect = Expect::new(WindowLength::new(Duration::from_secs(60))?).by_operation();
        let mut out = File::create(events).with_context(|| format!("cannot write {}", events.display()))?;
        let (mut lines, mut bytes, mut more) = (Vec::new(), 0, true);
        while more {
            lines.clear();
            for _ in 0..BLOCK {
                let Some(fact) = generator.next_line(&mut lines) else {
                    more = false;
                    break;
                };
                expect.record(&fact);
            }
            out.write_all(&lines)?;
            bytes += lines.len() as u64;
        }
        expect.write(generator.names(), &mut BufWriter::new(File::create(exact)?))?;
        Ok(bytes)
    }

    fn cases(&self, events: &Path) -> Result<Vec<Case>> {
        let bench = std::env::current_exe()?;
        let reference = self.reference.clone().unwrap_or_else(|| bench.with_file_name("golden-reference"));
        let command = |program: &Path, args: &[&str]| {
            let mut command = vec![OsString::from(program)];
            command.extend(args.iter().map(|arg| if *arg == "FILE" { events.into() } else { OsString::from(arg) }));
            command
        };
        let case = |name, command, checks| Case { name, command, checks, rounds: Vec::new() };
        let mut cases = vec![
            case(PARSE, command(&reference, &["--parse-only", "FILE"]), Checks::Count),
            case(DECODE, command(&bench, &["decode", "FILE"]), Checks::Count),
            case(REFERENCE, command(&reference, &["FILE"]), Checks::Results),
        ];
        if let Some(golden) = &self.golden {
            for (name, threads) in [(ONE, "1"), (TWO, "2")] {
                let args = ["replay", "FILE", "--by", "service,operation", "--threads", threads, "--output", "csv"];
                cases.push(case(name, command(golden, &args), Checks::Results));
            }
        }
        Ok(cases)
    }
}

impl Case {
    fn run(&self, dir: &Path, exact: &Path, events: u64) -> Result<Took> {
        let output = dir.join("output.csv");
        let took = measured(&self.command, Stdio::null(), &output)?;
        match self.checks {
            Checks::Results => {
                check::equals(&output, exact).with_context(|| format!("{}: wrong result in {}", self.name, output.display()))?
            }
            Checks::Count => {
                let text = std::fs::read_to_string(&output)?;
                ensure!(text.starts_with(&decode::says(events)), "{}: wrong count: {text}", self.name);
            }
        }
        Ok(took)
    }
}

/// One case compared with another, both of the same round.
struct Ratio {
    says: &'static str,
    above: &'static str,
    below: &'static str,
    part: fn(&Took) -> f64,
    reach: &'static str,
}

/// The tables, in Markdown.
fn report(cases: &[Case], events: u64) -> String {
    let million = events as f64 / 1e6;
    let mut text = String::from("\n| Case | CPU-s per 1 M events | M events/s | Peak MiB |\n|---|---|---|---|\n");
    for case in cases {
        let of = |part: fn(&Took) -> f64| Spread::of(case.rounds.iter().map(part));
        let (cpu, rate, peak) = (of(Took::cpu), of(Took::rate), of(|took| took.peak));
        text += &format!(
            "| {} | {:.3} ({:.3}–{:.3}) | {:.2} | {:.0} |\n",
            case.name,
            cpu.median / million,
            cpu.least / million,
            cpu.most / million,
            million * rate.median,
            peak.median
        );
    }
    text += "\n| Ratio, round by round | Median | Range | To reach |\n|---|---|---|---|\n";
    let ratio = |says, above, below, part, reach| Ratio { says, above, below, part, reach };
    for Ratio { says, above, below, part, reach } in [
        ratio("CPU of replay, 1 thread / reference", ONE, REFERENCE, Took::cpu, "≤ 0.7"),
        ratio("throughput of replay, 2 threads / 1", TWO, ONE, Took::rate, "≥ 1.7"),
        ratio("CPU of replay, 2 threads / 1", TWO, ONE, Took::cpu, ""),
        ratio("decode rate / serde_json parse rate, per CPU-s", DECODE, PARSE, Took::rate_per_cpu, "≥ 1.5"),
        ratio("replay rate / decode rate, per CPU-s", ONE, DECODE, Took::rate_per_cpu, "≥ 0.4"),
    ] {
        let rounds = |name| cases.iter().find(|case| case.name == name).map(|case| case.rounds.as_slice());
        if let (Some(above), Some(below)) = (rounds(above), rounds(below)) {
            let Spread { least, median, most } = Spread::of(above.iter().zip(below).map(|(above, below)| part(above) / part(below)));
            text += &format!("| {says} | {median:.2} | {least:.2}–{most:.2} | {reach} |\n");
        }
    }
    text
}

/// Least, median (the lower of two) and most of some figures; 0 when there are none.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        let at = |place: usize| figures.get(place).copied().unwrap_or(0.0);
        let last = figures.len().saturating_sub(1);
        Self { least: at(0), median: at(last / 2), most: at(last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(name: &'static str, rounds: &[(f64, f64)]) -> Case {
        let rounds = rounds.iter().map(|(wall, cpu)| Took { wall: *wall, cpu: *cpu, peak: 30.0 }).collect();
        Case { name, command: vec![], checks: Checks::Count, rounds }
    }

    #[test]
    fn ratios_are_taken_within_a_round_before_their_median() {
        let cases = [case(REFERENCE, &[(1.0, 1.0), (4.0, 4.0), (2.0, 2.0)]), case(ONE, &[(1.0, 0.5), (4.0, 3.0), (2.0, 1.2)])];
        let text = report(&cases, 2_000_000);
        assert!(text.contains("| plain reference | 1.000 (0.500–2.000) | 1.00 | 30 |"), "{text}");
        assert!(text.contains("| CPU of replay, 1 thread / reference | 0.60 | 0.50–0.75 | ≤ 0.7 |"), "{text}");
        assert!(!text.contains("2 threads / 1"), "a case that did not run has no ratio: {text}");
    }
}
