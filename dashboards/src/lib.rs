//! Dashboards, recording rules and alerts as typed definitions, and the files that are made of them.
//!
//! The files are what people install; they lie beside the definitions, and a test holds them equal. Nothing here talks to Grafana or
//! Prometheus: that every query gives an answer is proved by the service's tests.

/// Alerts: what pages whom, when, and for how long.
pub mod alerts;
/// The parts of a dashboard, and Grafana's JSON of them.
pub mod board;
/// The dashboards, one file each.
pub mod boards;
/// Names of the metrics that golden-signals exports, with their labels: what queries may use.
pub mod metrics;
/// The rules that Grafana evaluates itself, for those without Alertmanager.
pub mod provisioning;
/// Selectors of queries, spelled in one place.
pub mod query;
/// Recording rules: rates and ratios of services.
pub mod recording;
/// The parts of a rule file, and Prometheus' YAML of them.
pub mod rules;
/// Service levels: error ratios over eight windows, budgets, burn rates.
pub mod slo;

use std::collections::BTreeMap;

/// Every file that is made here: its path below `dashboards/`, and its content.
#[must_use]
pub fn files() -> BTreeMap<String, String> {
    let boards = boards::all().into_iter().map(|(name, board)| (format!("grafana/{name}.json"), board.json()));
    let grafana = ("provisioning/alerting/golden-signals.yaml".to_owned(), provisioning::yaml(&alerts::groups()));
    boards.chain(prometheus(|groups| groups)).chain([grafana]).collect()
}

/// The rule files for windows that are `times` shorter than a minute, as those of the demo.
#[must_use]
pub fn rules_for(times: u64) -> BTreeMap<String, String> {
    prometheus(|groups| rules::hastened(groups, times)).collect()
}

fn prometheus(change: impl Fn(Vec<rules::Group>) -> Vec<rules::Group>) -> impl Iterator<Item = (String, String)> {
    let all = [("rules", recording::groups()), ("slo", slo::groups()), ("alerts", alerts::groups())];
    all.into_iter().map(move |(name, groups)| (format!("prometheus/{name}.yaml"), rules::yaml(&change(groups))))
}
