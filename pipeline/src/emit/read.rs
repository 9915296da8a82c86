//! The public record, read back: for tables, CSV and checks. Texts are borrowed where they hold no escapes; unknown keys are passed over,
//! so that records of a later minor version still read.

use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A record of SIGNALS §8. Rates are per second, ratios 0 to 1, times of `latency` ms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct PublicRecord<'a> {
    /// Name and version of this form.
    #[serde(borrow)]
    pub schema: Cow<'a, str>,
    /// Tenant.
    #[serde(borrow)]
    pub tenant: Cow<'a, str>,
    /// Namespace of the service; may be empty.
    #[serde(borrow)]
    pub service_namespace: Cow<'a, str>,
    /// Name of the service.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// Name of the grouping.
    #[serde(borrow)]
    pub grouping: Cow<'a, str>,
    /// Dimension values by name.
    #[serde(borrow)]
    pub dimensions: BTreeMap<Cow<'a, str>, Cow<'a, str>>,
    /// Whether it stands for what went over a cap.
    pub overflow: bool,
    /// RFC 3339.
    #[serde(borrow)]
    pub window_start: Cow<'a, str>,
    /// RFC 3339.
    #[serde(borrow)]
    pub window_end: Cow<'a, str>,
    /// Length of the window.
    pub window_seconds: f64,
    /// Higher ones replace lower ones.
    pub revision: u64,
    /// Share of the input that has been seen.
    pub completeness: f64,
    /// Raw events.
    pub events: u64,
    /// Those of them that were merged after the close.
    pub late_events: u64,
    /// Requests.
    pub requests: Requests,
    /// Errors.
    #[serde(borrow)]
    pub errors: Errors<'a>,
    /// Σ weight of the ignored.
    pub ignored: u64,
    /// Σ weight by HTTP class.
    #[serde(borrow)]
    pub status_classes: BTreeMap<Cow<'a, str>, u64>,
    /// `None` without requests.
    pub availability_ratio: Option<f64>,
    /// `None` without a duration.
    #[serde(borrow)]
    pub latency: Option<LatencyBlock<'a>>,
    /// `None` where it is not known.
    #[serde(borrow)]
    pub saturation: Option<SaturationBlock<'a>>,
    /// `None` where the grouping has no verdict.
    #[serde(borrow)]
    pub health: Option<HealthBlock<'a>>,
    /// The rule in force.
    #[serde(borrow, rename = "override")]
    pub rule: RuleBlock<'a>,
    /// A few traces.
    #[serde(borrow, default)]
    pub exemplars: Vec<ExemplarBlock<'a>>,
}

/// Requests of a record.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Requests {
    /// Weighted.
    pub count: u64,
    /// Per second.
    pub rate: f64,
}

/// Errors of a record.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Errors<'a> {
    /// Weighted.
    pub count: u64,
    /// Per second.
    pub rate: f64,
    /// `None` without requests.
    pub ratio: Option<f64>,
    /// Weighted, by error type.
    #[serde(borrow)]
    pub by_type: BTreeMap<Cow<'a, str>, u64>,
}

/// Latency of a record, ms.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LatencyBlock<'a> {
    /// Raw events with a duration.
    pub samples: u64,
    /// Those of them beyond one hour.
    pub clamped: u64,
    /// Both outcomes.
    pub all: Option<Durations>,
    /// Outcome ok.
    pub ok: Option<Durations>,
    /// Outcome error.
    pub error: Option<Durations>,
    /// Quantiles that too few samples stand behind.
    #[serde(borrow)]
    pub low_confidence: Vec<Cow<'a, str>>,
}

/// Durations of one outcome, ms; a quantile is `None` when it is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Durations {
    /// Weighted.
    pub count: u64,
    /// Exact.
    pub sum: f64,
    /// Exact.
    pub mean: f64,
    /// Exact.
    pub max: f64,
    /// Median.
    pub p50: Option<f64>,
    /// 75 of 100 take no longer.
    pub p75: Option<f64>,
    /// 90 of 100 take no longer.
    pub p90: Option<f64>,
    /// 95 of 100 take no longer.
    pub p95: Option<f64>,
    /// 99 of 100 take no longer.
    pub p99: Option<f64>,
    /// 999 of 1,000 take no longer.
    pub p999: Option<f64>,
}

/// Saturation of a record; ratios are 0 to 1, and above.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct SaturationBlock<'a> {
    /// The largest utilization.
    pub ratio: f64,
    /// What it is of.
    #[serde(borrow)]
    pub resource: Cow<'a, str>,
    /// By resource.
    #[serde(borrow)]
    pub utilization: BTreeMap<Cow<'a, str>, f64>,
}

/// Health of a record.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct HealthBlock<'a> {
    /// 0 to 3; `None`: unknown.
    pub level: Option<u8>,
    /// Name of the level, or `unknown`.
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    /// Why.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// Last known level before.
    pub previous: u8,
}

/// Rule in force of a record.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RuleBlock<'a> {
    /// Version of the bundle; 0 is the built-in rule.
    pub version: u64,
    /// SHA-256 of the rule's file.
    #[serde(borrow)]
    pub sha256: Cow<'a, str>,
}

/// Exemplar of a record.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ExemplarBlock<'a> {
    /// What it is an example of.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// 32 hex digits.
    #[serde(borrow)]
    pub trace_id: Cow<'a, str>,
    /// 16 hex digits.
    #[serde(borrow)]
    pub span_id: Cow<'a, str>,
    /// Its operation.
    #[serde(borrow)]
    pub operation: Cow<'a, str>,
    /// `ok` or `error`.
    #[serde(borrow)]
    pub outcome: Cow<'a, str>,
    /// ms, if known.
    pub latency_ms: Option<f64>,
    /// RFC 3339.
    #[serde(borrow)]
    pub event_time: Cow<'a, str>,
}

impl<'a> PublicRecord<'a> {
    /// Reads one record.
    ///
    /// # Errors
    /// When it is not JSON, or lacks a key of this version.
    pub fn parse(json: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}
