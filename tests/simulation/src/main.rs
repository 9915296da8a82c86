//! `golden-simulate`: runs seeds, says how fast, and prints what fails with the command that repeats it.

use anyhow::bail;
use clap::Parser;
use golden_simulation::{Report, run, run_flips};
use std::time::Instant;

/// Runs the pipeline on simulated brokers while everything goes wrong, and judges what comes out.
#[derive(Parser)]
#[command(name = "golden-simulate")]
struct Arguments {
    /// How many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Instead, seeds in which people order flips every few seconds, until so many flips were made
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "planted"])]
    flips: Option<u64>,
    /// Print the plan of each seed and all that is wrong
    #[arg(long)]
    verbose: bool,
    /// Plant each mistake in turn, and say after how many seeds it is found (needs a build with --cfg planted)
    #[arg(long)]
    planted: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.planted {
        return planted(&arguments);
    }
    let start = now();
    let (mut failed, mut compared) = (0, 0);
    let mut injected = std::collections::BTreeMap::<&str, u64>::new();
    let mut seeds = 0;
    let mut made = 0;
    for seed in arguments.from.. {
        if arguments.flips.map_or(seeds >= arguments.seeds, |flips| made >= flips) {
            break;
        }
        let report = if arguments.flips.is_some() { run_flips(seed) } else { run(seed, None) };
        seeds += 1;
        made += report.injected.get("flip").copied().unwrap_or(0);
        compared += report.compared;
        for (name, count) in &report.injected {
            *injected.entry(name).or_default() += count;
        }
        if arguments.verbose {
            println!("seed {seed}: {}", report.plan);
            report.history.iter().for_each(|line| println!("  {line}"));
        }
        if !report.violations.is_empty() {
            failed += 1;
            tell(seed, &report, &arguments);
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    for (name, count) in injected {
        println!("{count:>9}  {name}");
    }
    println!("{seeds} seeds, {made} flips, {compared} results compared, {:.1} seeds a second, {failed} failed", seeds as f64 / seconds);
    if failed > 0 {
        bail!("{failed} seeds failed");
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how fast seeds run is measured; nothing of it enters a run")]
fn now() -> Instant {
    Instant::now()
}

fn tell(seed: u64, report: &Report, arguments: &Arguments) {
    let again = if arguments.flips.is_some() { "--flips 1" } else { "--seeds 1" };
    println!("seed {seed} failed; again: golden-simulate --from {seed} {again} --verbose");
    let shown = if arguments.verbose { usize::MAX } else { 3 };
    report.violations.iter().take(shown).for_each(|violation| println!("  {violation}"));
    if report.violations.len() > shown {
        println!("  and {} more", report.violations.len() - shown);
    }
}

#[cfg(not(planted))]
fn planted(_: &Arguments) -> anyhow::Result<()> {
    bail!("no mistakes are compiled in: build with RUSTFLAGS='--cfg planted', as `make simulate-planted` does")
}

#[cfg(planted)]
fn planted(arguments: &Arguments) -> anyhow::Result<()> {
    use platform_core::planted::Bug;
    let mut missed = 0;
    println!("| mistake | found at seed | by |\n| --- | --- | --- |");
    std::panic::set_hook(Box::new(|_| {}));
    for bug in Bug::ALL {
        let found = (arguments.from..arguments.from + arguments.seeds).find_map(|seed| {
            let report = run(seed, Some(bug));
            // It is found only where nothing is wrong without it.
            let found = report.violations.first().filter(|_| run(seed, None).violations.is_empty());
            found.map(|violation| (seed, violation.chars().take(60).collect::<String>()))
        });
        match found {
            Some((seed, by)) => println!("| {bug:?} | {seed} | {by} |"),
            None => {
                missed += 1;
                println!("| {bug:?} | not found | |");
            }
        }
    }
    if missed > 0 {
        bail!("{missed} mistakes were not found within {} seeds", arguments.seeds);
    }
    Ok(())
}
