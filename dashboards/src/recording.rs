//! Recording rules: rates and ratios of services and their operations, over 5 minutes.
//!
//! Numerator and denominator are recorded apart, so that a ratio over any set of them is a ratio of sums. `without`, not `by`: labels that a
//! scrape adds stay. Requests that were not made have no ratio, rather than one that is not a number.

use crate::rules::{Group, Rule};

/// The groups of `rules.yaml`.
#[must_use]
pub fn groups() -> Vec<Group> {
    [("golden-signals-service", "service"), ("golden-signals-service-operation", "service_operation")]
        .into_iter()
        .map(|(name, level)| Group { name, interval: None, rules: of(level) })
        .collect()
}

fn of(level: &str) -> Vec<Rule> {
    let rate =
        |metric: &str, more: &str| format!("sum without (instance, pod{more}) (rate(golden_signals_{metric}{{grouping=\"{level}\"}}[5m]))");
    vec![
        Rule::record(format!("{level}:golden_signals_requests:rate5m"), rate("requests_total", "")),
        Rule::record(format!("{level}:golden_signals_errors:rate5m"), rate("errors_total", ", error_type")),
        Rule::record(
            format!("{level}:golden_signals_errors_per_request:ratio_rate5m"),
            format!("{level}:golden_signals_errors:rate5m / ({level}:golden_signals_requests:rate5m > 0)"),
        ),
        Rule::record(format!("{level}:golden_signals_request_duration_seconds_bucket:rate5m"), rate("request_duration_seconds_bucket", "")),
    ]
}
