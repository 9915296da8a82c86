//! The load of a benchmark, by flags.

use anyhow::Result;
use clap::Args;
use golden_generate::{generator::Generator, settings::Settings};
use platform_core::time::EventTime;
use std::io::Write;
use std::time::Duration;

/// Lines that are made before they are written.
pub(crate) const BLOCK: u64 = 2_000;

/// What events to make.
#[derive(Args, Clone, Debug)]
pub(crate) struct Load {
    /// Number of events.
    #[arg(long, default_value_t = 5_000_000)]
    pub(crate) events: u64,
    /// Same seed, same bytes.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Events per second of event time.
    #[arg(long, default_value_t = 10_000)]
    pub(crate) rate: u64,
    /// Number of services.
    #[arg(long, default_value_t = 100)]
    pub(crate) services: u32,
    /// Operations of each service.
    #[arg(long, default_value_t = 10)]
    pub(crate) operations: u32,
    /// Exponent of Zipf's law over the series; 0: all alike.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) zipf: f64,
    /// Seconds by which events may be out of order, either way.
    #[arg(long, default_value_t = 5)]
    pub(crate) disorder: u64,
    /// Seconds from the start of a minute to the first event.
    #[arg(long, default_value_t = 5)]
    pub(crate) offset: u32,
}

impl Load {
    /// The generator's settings.
    pub(crate) fn settings(&self) -> Settings {
        let plain = Settings::default();
        Settings {
            events: self.events,
            seed: self.seed,
            rate: self.rate,
            services: self.services,
            operations: self.operations,
            zipf: self.zipf,
            disorder: Duration::from_secs(self.disorder),
            start: EventTime(plain.start.0 + i64::from(self.offset) * platform_core::time::SECOND),
            ..plain
        }
    }

    /// The flags that ask for this load.
    pub(crate) fn flags(&self) -> Vec<String> {
        let flags = [
            ("--events", self.events.to_string()),
            ("--seed", self.seed.to_string()),
            ("--rate", self.rate.to_string()),
            ("--services", self.services.to_string()),
            ("--operations", self.operations.to_string()),
            ("--zipf", self.zipf.to_string()),
            ("--disorder", self.disorder.to_string()),
            ("--offset", self.offset.to_string()),
        ];
        flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
    }

    /// Writes all events to standard output.
    pub(crate) fn write(&self) -> Result<()> {
        let mut generator = Generator::new(&self.settings())?;
        let (mut lines, mut out) = (Vec::new(), std::io::stdout().lock());
        while generator.fill(&mut lines, BLOCK) > 0 {
            out.write_all(&lines)?;
            lines.clear();
        }
        Ok(out.flush()?)
    }
}
