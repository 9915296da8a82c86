//! The dashboards, one file each. A service's row is requests and errors left, latency right, saturation after them, the same everywhere.

mod explain;
mod fleet;
mod overrides;
mod pipeline;
mod router;
mod service;
mod slo;

use crate::board::{Dashboard, Kind, Panel, Threshold, Unit};
use crate::query::quantile;

/// Every board, with the name of its file.
#[must_use]
pub fn all() -> Vec<(&'static str, Dashboard)> {
    vec![
        ("fleet", fleet::board()),
        ("service", service::board()),
        ("explain", explain::board()),
        ("slo", slo::board()),
        ("overrides", overrides::board()),
        ("router", router::board()),
        ("pipeline", pipeline::board()),
    ]
}

/// Availability that the built-in rule wants, and one that deserves a look.
const AVAILABILITY: [Threshold; 3] = [(f64::NEG_INFINITY, "red"), (0.99, "yellow"), (0.995, "green")];
/// Share of a resource in use.
const SATURATION: [Threshold; 2] = [(0.7, "yellow"), (0.9, "red")];
/// From one on it is a matter to look at.
const ANY: [Threshold; 1] = [(1.0, "yellow")];
/// From one on it is an alarm.
const ALARM: [Threshold; 1] = [(1.0, "red")];

/// Requests and errors per second of the chosen services: the left of a service's row.
fn traffic() -> Panel {
    Panel::new(
        Kind::Timeseries,
        "Requests and errors",
        Unit::RequestsPerSecond,
        "Requests that count (ok and error; client cancels are left out) and those of them that failed, per second.",
    )
    .query("sum(rate(golden_signals_requests_total{service}[$__rate_interval]))", "requests")
    .query("sum(rate(golden_signals_errors_total{service}[$__rate_interval]))", "errors")
    .coloured(&[("errors", "red"), ("requests", "blue")])
    .range(Some(0.0), None)
}

/// Quantiles of latency with traces, of the chosen services and one outcome.
fn latency(title: &'static str, outcome: &str, description: &'static str) -> Panel {
    let selector = format!("service,outcome=\"{outcome}\"");
    Panel::new(Kind::Timeseries, title, Unit::Seconds, description)
        .query(&quantile("0.5", "", &selector), "p50")
        .query(&quantile("0.9", "", &selector), "p90")
        .query(&quantile("0.99", "", &selector), "p99")
        .exemplars()
        .range(Some(0.0), None)
}

/// Availability as a ratio of sums over the rate interval, without a value where nothing was asked.
fn availability(by: &str, selector: &str) -> String {
    format!(
        "1 - sum by ({by}) (rate(golden_signals_errors_total{{{selector}}}[$__rate_interval]))\n\
         / (sum by ({by}) (rate(golden_signals_requests_total{{{selector}}}[$__rate_interval])) > 0)"
    )
}
