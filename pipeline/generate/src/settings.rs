//! What load is asked for, as plain values, and the check that it can be made.

use crate::zipf::MOST_SERIES;
use platform_core::time::{EventTime, SECOND, nanos};
use std::time::Duration;

/// What load is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Lines, bad ones and duplicates among them: up to 10 000 000 000.
    pub events: u64,
    /// Same settings and seed, same bytes.
    pub seed: u64,
    /// Event time of the first line, before disorder.
    pub start: EventTime,
    /// Lines per second of event time, from 1.
    pub rate: u64,
    /// Services, from 1; with `operations`, at most 10 000 000 series.
    pub services: u32,
    /// Operations of each service, from 1.
    pub operations: u32,
    /// Hosts of each service, from 1.
    pub hosts: u32,
    /// Exponent of Zipf's law over the series, 0 (all alike) to 4.
    pub zipf: f64,
    /// Share of errors (5xx) among the events of most services, 0 to 1. Every tenth service has ten times as many.
    pub error_share: f64,
    /// Share of requests that their caller gave up (499), 0 to 1.
    pub ignored_share: f64,
    /// Share of events without a latency, 0 to 1.
    pub no_latency_share: f64,
    /// Median latency of the typical service; services differ by a few octaves around it.
    pub latency: Duration,
    /// Share of requests that take twenty times as long as they would, 0 to 1.
    pub slow_share: f64,
    /// How far an event's time may lie from its place in the order of lines, either way.
    pub disorder: Duration,
    /// Share of events that are older still, 0 to 1.
    pub late_share: f64,
    /// Most by which those are older.
    pub lateness: Duration,
    /// Share of bad records, all kinds alike, 0 to 1.
    pub bad_share: f64,
    /// Share of lines that repeat a recent one byte by byte, 0 to 1.
    pub duplicate_share: f64,
}

impl Default for Settings {
    /// A million events of a hundred services, 10 000 a second from 2026 on, out of order by up to five seconds; nothing late or bad.
    fn default() -> Self {
        Self {
            events: 1_000_000,
            seed: 1,
            start: EventTime(1_767_225_600 * SECOND),
            rate: 10_000,
            services: 100,
            operations: 10,
            hosts: 4,
            zipf: 1.0,
            error_share: 0.005,
            ignored_share: 0.0,
            no_latency_share: 0.0,
            latency: Duration::from_millis(20),
            slow_share: 0.01,
            disorder: Duration::from_secs(5),
            late_share: 0.0,
            lateness: Duration::from_secs(120),
            bad_share: 0.0,
            duplicate_share: 0.0,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{name} must be from {low} to {high}, and is {value}")]
pub struct BadSetting {
    /// The setting.
    pub name: &'static str,
    /// What it is.
    pub value: f64,
    /// The least it may be.
    pub low: f64,
    /// The most it may be.
    pub high: f64,
}

impl Settings {
    /// Checks every range.
    ///
    /// # Errors
    /// The first setting that is outside its range.
    pub fn check(&self) -> Result<(), BadSetting> {
        let most = MOST_SERIES as f64;
        // Event times must be after 1970.
        let earliest = nanos(self.disorder).saturating_add(nanos(self.lateness)).saturating_add(1) as f64 / SECOND as f64;
        let ranges = [
            ("events", self.events as f64, 0.0, 1e10),
            ("start (seconds since 1970)", self.start.0 as f64 / SECOND as f64, earliest, 9e9),
            ("rate", self.rate as f64, 1.0, 1e12),
            ("services", f64::from(self.services), 1.0, most),
            ("operations", f64::from(self.operations), 1.0, most),
            ("services times operations", f64::from(self.services) * f64::from(self.operations), 1.0, most),
            ("hosts", f64::from(self.hosts), 1.0, 1e6),
            ("zipf", self.zipf, 0.0, 4.0),
            ("error share", self.error_share, 0.0, 1.0),
            ("ignored share", self.ignored_share, 0.0, 1.0),
            ("share without latency", self.no_latency_share, 0.0, 1.0),
            ("latency (seconds)", self.latency.as_secs_f64(), 1e-9, 3600.0),
            ("slow share", self.slow_share, 0.0, 1.0),
            ("late share", self.late_share, 0.0, 1.0),
            ("bad share", self.bad_share, 0.0, 1.0),
            ("duplicate share", self.duplicate_share, 0.0, 1.0),
        ];
        let bad = ranges.into_iter().find(|(_, value, low, high)| !(low..=high).contains(&value));
        bad.map_or(Ok(()), |(name, value, low, high)| Err(BadSetting { name, value, low, high }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_in_range_and_what_is_not_is_named() {
        assert_eq!(Settings::default().check(), Ok(()));
        let bad = Settings { late_share: 1.5, ..Settings::default() }.check().unwrap_err();
        assert_eq!(bad.to_string(), "late share must be from 0 to 1, and is 1.5");
        for bad in [
            Settings { zipf: f64::NAN, ..Settings::default() },
            Settings { services: 4_000, operations: 4_000, ..Settings::default() },
            Settings { start: EventTime(0), ..Settings::default() },
            Settings { rate: 0, ..Settings::default() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
