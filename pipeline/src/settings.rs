//! Settings of the golden-signals pipeline: plain values with the defaults of the specification, checked once.
//!
//! Where they come from (file, environment, flags) is not known here.

use crate::close::index::Caps;
use crate::grouping::{BadGroupings, Groupings};
use crate::signal::completeness::Completeness;
use platform_core::time::nanos;
use platform_core::watermark::WatermarkLimits;
use platform_core::window::{BadWindowLength, WindowLength};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::time::Duration;

/// A duration written as people do: `10s`, `5m`, `1h`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// Text that is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write a whole number and a unit, as in 500ms, 10s, 5m, 1h or 7d")]
pub struct BadSpan(pub String);

impl std::str::FromStr for Span {
    type Err = BadSpan;
    fn from_str(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.to_owned());
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| bad())?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(bad()),
        };
        Ok(Self(Duration::from_millis(number.checked_mul(millis).ok_or_else(bad)?)))
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")];
        let (size, unit) = units.into_iter().find(|(size, _)| millis != 0 && millis.is_multiple_of(*size)).unwrap_or((1000, "s"));
        write!(f, "{}{unit}", millis / size)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// What FOLD needs to read the control log while events come in.
const MARGIN: Duration = Duration::from_secs(2);

/// What a pipeline computes and how long it waits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PipelineSettings {
    /// Length of windows: a divisor of 1 h from 10 s to 1 h.
    pub window: Span,
    /// How far an event may lie behind the newest of its source partition and still be in revision 0.
    pub bound: Span,
    /// How long one silent or slow-clocked source partition may hold back everyone.
    pub hold: Span,
    /// How far the clocks of brokers may be apart; nothing where one process gives all append times.
    pub broker_skew: Span,
    /// How far an event may be ahead of its append.
    pub skew: Span,
    /// From the append of a decision (which overrides are in force) to the first window that it can touch.
    pub lead: Span,
    /// Largest age at append that still counts in its window.
    pub retain: Span,
    /// How long a service without events stays known; at most `retain`.
    pub series_ttl: Span,
    /// By what to sum: name → dimensions (`operation`, `svc_host`, or a tag).
    pub groupings: BTreeMap<String, Vec<String>>,
    /// Caps on series.
    pub limits: Limits,
    /// A less complete window is never healthy; 0 to 1.
    pub min_completeness: f64,
    /// Whether records carry the histogram.
    pub histogram: bool,
    /// Whether records carry exemplars, which need trace ids.
    pub exemplars: bool,
    /// Whether quantiles of too few samples are left out.
    pub suppress_low_confidence: bool,
}

/// Caps on series (SIGNALS §5).
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Series of one service.
    pub series_per_service: usize,
    /// Services of one tenant.
    pub services_per_tenant: usize,
    /// Series of the pipeline.
    pub series_total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { series_per_service: 1000, services_per_tenant: 10_000, series_total: 1_000_000 }
    }
}

impl Default for PipelineSettings {
    fn default() -> Self {
        let seconds = |s| Span(Duration::from_secs(s));
        Self {
            window: seconds(60),
            bound: seconds(30),
            hold: seconds(45),
            broker_skew: seconds(1),
            skew: seconds(60),
            lead: seconds(120),
            retain: seconds(3600),
            series_ttl: seconds(3600),
            groupings: BTreeMap::from([("service".to_owned(), vec![]), ("service_operation".to_owned(), vec!["operation".to_owned()])]),
            limits: Limits::default(),
            min_completeness: 1.0,
            histogram: false,
            exemplars: true,
            suppress_low_confidence: false,
        }
    }
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// The length of windows.
    #[error("pipeline.window: {0}")]
    Window(#[from] BadWindowLength),
    /// The groupings.
    #[error("pipeline.groupings: {0}")]
    Groupings(#[from] BadGroupings),
    /// A duration that must not pass another.
    #[error("pipeline.{name} is {value}, and must be at most {limit_name}, which is {limit}")]
    Longer {
        /// Which one.
        name: &'static str,
        /// Its value.
        value: Span,
        /// What bounds it.
        limit_name: &'static str,
        /// The bound.
        limit: Span,
    },
    /// A lead that decisions could be overtaken in.
    #[error("pipeline.lead is {value}, and must be at least {least}: pipeline.skew, pipeline.broker_skew and 2s")]
    Lead {
        /// Its value.
        value: Span,
        /// What it must be.
        least: Span,
    },
    /// A number outside of its range.
    #[error("pipeline.{name} is {value}, and must be {range}")]
    Range {
        /// Which one.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What would be right.
        range: &'static str,
    },
}

/// Settings that hold together, ready for stages.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Length of windows.
    pub window: WindowLength,
    /// What to sum by.
    pub groupings: Groupings,
    /// Clamps of watermarks.
    pub watermark: WatermarkLimits,
    /// When an event counts in its window.
    pub verdicts: crate::fold::verdict::VerdictLimits,
    /// ns.
    pub series_ttl: i64,
    /// A less complete window is never healthy.
    pub min_completeness: Completeness,
    /// What was checked.
    pub plain: PipelineSettings,
}

impl PipelineSettings {
    /// Checks all values once.
    ///
    /// # Errors
    /// The first one that cannot be used.
    pub fn check(&self) -> Result<Checked, BadSettings> {
        let window = WindowLength::new(self.window.0)?;
        let groupings = Groupings::new(&self.groupings)?;
        if self.series_ttl > self.retain {
            return Err(BadSettings::Longer {
                name: "series_ttl",
                value: self.series_ttl,
                limit_name: "pipeline.retain",
                limit: self.retain,
            });
        }
        // FOLD reads the control log about once a second, and waits for it when less than this is left.
        let least = Span(self.skew.0 + self.broker_skew.0 + MARGIN);
        if self.lead < least {
            return Err(BadSettings::Lead { value: self.lead, least });
        }
        if !(0.0..=1.0).contains(&self.min_completeness) {
            return Err(BadSettings::Range { name: "min_completeness", value: self.min_completeness, range: "from 0 to 1" });
        }
        let limits = [
            ("limits.series_per_service", self.limits.series_per_service),
            ("limits.services_per_tenant", self.limits.services_per_tenant),
            ("limits.series_total", self.limits.series_total),
        ];
        if let Some((name, value)) = limits.into_iter().find(|(_, value)| *value == 0) {
            return Err(BadSettings::Range { name, value: value as f64, range: "at least 1" });
        }
        Ok(Checked {
            window,
            groupings,
            watermark: WatermarkLimits { bound: nanos(self.bound.0), hold: nanos(self.hold.0), broker_skew: nanos(self.broker_skew.0) },
            verdicts: crate::fold::verdict::VerdictLimits { retain: nanos(self.retain.0), skew: nanos(self.skew.0) },
            series_ttl: nanos(self.series_ttl.0),
            min_completeness: Completeness::from_ratio(self.min_completeness),
            plain: self.clone(),
        })
    }
}

impl Checked {
    /// Caps of one of `partitions` partitions. The total is split evenly; a service lies in one partition, so its cap is whole.
    #[must_use]
    pub fn caps(&self, partitions: u32) -> Caps {
        let limits = self.plain.limits;
        Caps {
            series_per_service: limits.series_per_service,
            services: limits.services_per_tenant,
            series_total: limits.series_total.div_ceil(partitions.max(1) as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written_as_people_do() {
        for text in ["500ms", "10s", "5m", "1h", "7d", "90s"] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), text);
        }
        for bad in ["", "10", "s", "1.5s", "10 s", "1w", "-1s", "99999999999999999999d"] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_that_do_not_hold_together_are_refused() {
        let refused = |change: fn(&mut PipelineSettings)| {
            let mut settings = PipelineSettings::default();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(PipelineSettings::default().check().is_ok());
        assert!(refused(|s| s.window = Span(Duration::from_secs(7))).contains("divide one hour"));
        assert!(refused(|s| s.series_ttl = Span(Duration::from_secs(7200))).contains("pipeline.retain"));
        assert!(refused(|s| s.min_completeness = 2.0).contains("from 0 to 1"));
        assert!(refused(|s| s.limits.series_total = 0).contains("series_total"));
        assert!(refused(|s| s.groupings.clear()).contains("service: []"));
    }
}
