//! Speed against the plain reference: whole processes on the same file, in turn, round by round; outputs checked before a speed counts.

use crate::load::{BLOCK, Load};
use crate::measure::{Took, measured};
use crate::report::{Case, Ratio, figures, ratios};
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
struct Way {
    command: Vec<OsString>,
    checks: Checks,
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

/// What is compared.
const RATIOS: &[Ratio] = &[
    Ratio { says: "CPU of replay, 1 thread / reference", above: ONE, below: REFERENCE, part: Took::cpu, reach: "≤ 0.7" },
    Ratio { says: "throughput of replay, 2 threads / 1", above: TWO, below: ONE, part: Took::rate, reach: "≥ 1.7" },
    Ratio { says: "CPU of replay, 2 threads / 1", above: TWO, below: ONE, part: Took::cpu, reach: "" },
    Ratio {
        says: "decode rate / serde_json parse rate, per CPU-s", above: DECODE, below: PARSE, part: Took::rate_per_cpu, reach: "≥ 1.5"
    },
    Ratio { says: "replay rate / decode rate, per CPU-s", above: ONE, below: DECODE, part: Took::rate_per_cpu, reach: "≥ 0.4" },
];

impl Speed {
    pub(crate) fn run(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let (events, exact) = (self.dir.join("events.ndjson"), self.dir.join("exact.csv"));
        let bytes = self.make(&events, &exact)?;
        eprintln!("{} events, {:.1} bytes each", self.load.events, bytes as f64 / self.load.events.max(1) as f64);
        let mut cases = self.cases(&events)?;
        for round in 1..=self.rounds {
            for (case, way) in &mut cases {
                let took = way.run(&self.dir, &exact, self.load.events).context(case.name())?;
                case.add(round, took);
            }
        }
        let cases: Vec<Case> = cases.into_iter().map(|(case, _)| case).collect();
        print!("{}{}", figures(&cases, self.load.events), ratios(&cases, RATIOS));
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

    fn cases(&self, events: &Path) -> Result<Vec<(Case, Way)>> {
        let bench = std::env::current_exe()?;
        let reference = self.reference.clone().unwrap_or_else(|| bench.with_file_name("golden-reference"));
        let command = |program: &Path, args: &[&str]| {
            let mut command = vec![OsString::from(program)];
            command.extend(args.iter().map(|arg| if *arg == "FILE" { events.into() } else { OsString::from(arg) }));
            command
        };
        let case = |name, command, checks| (Case::new(name), Way { command, checks });
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

impl Way {
    fn run(&self, dir: &Path, exact: &Path, events: u64) -> Result<Took> {
        let output = dir.join("output.csv");
        let took = measured(&self.command, Stdio::null(), &output)?;
        match self.checks {
            Checks::Results => check::equals(&output, exact).with_context(|| format!("wrong result in {}", output.display()))?,
            Checks::Count => {
                let text = std::fs::read_to_string(&output)?;
                ensure!(text.starts_with(&decode::says(events)), "wrong count: {text}");
            }
        }
        Ok(took)
    }
}
