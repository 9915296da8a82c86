//! Service levels: error ratios over eight windows, budgets and burn rates, under the names and labels of Sloth, so that its dashboards and
//! whoever knows them find what they expect.
//!
//! Objectives are a metric (`golden_signals_slo_objective_ratio`), so no rule changes when a team changes its objective. Every ratio is one of
//! sums over its window, 30 days included, never a mean of ratios. A request is bad for `availability` when it failed, for `latency` when it
//! took longer than the threshold; that is a bound of the classic buckets, which are therefore needed beside native histograms: a native
//! one gives the share below a number that is written in the query, not below one that a series brings along.

use crate::rules::{Group, Record, Rule};
use std::collections::BTreeMap;

/// Windows that pages are made of.
const SHORT: [&str; 5] = ["5m", "30m", "1h", "2h", "6h"];
/// Windows that are dear to evaluate and change slowly.
const LONG: [&str; 3] = ["1d", "3d", "30d"];
/// Fewest requests in the long window of a burn alert, where a service says nothing else.
const MIN_REQUESTS: u32 = 60;
/// Labels of objectives that the requests of a service do not have.
const SLOTH: &str = "sloth_id, sloth_service, sloth_slo";

/// The groups of `slo.yaml`.
#[must_use]
pub fn groups() -> Vec<Group> {
    let windows = |windows: &[&'static str]| windows.iter().flat_map(|window| window_rules(window)).collect();
    vec![
        Group { name: "golden-signals-slo-objectives", interval: None, rules: objectives() },
        Group { name: "golden-signals-slo-short", interval: None, rules: windows(&SHORT) },
        Group { name: "golden-signals-slo-long", interval: Some("2m".to_owned()), rules: windows(&LONG) },
        Group { name: "golden-signals-slo-burn", interval: None, rules: burn() },
    ]
}

fn objectives() -> Vec<Rule> {
    // One objective for each service and kind, whatever processes say during a change of it. Whole seconds get the form that Prometheus gives
    // to bounds of buckets.
    let one = "topk without (threshold_seconds) (1, max without (instance, pod) (golden_signals_slo_objective_ratio))";
    let bound = format!(
        "label_replace(\n  label_replace({one}, \"le\", \"$1\", \"threshold_seconds\", \"(.+)\"),\n  \"le\", \"$1.0\", \"threshold_seconds\", \"([0-9]+)\"\n)"
    );
    let named = format!(
        "label_replace(\n  label_join({bound}, \"sloth_service\", \"/\", \"tenant\", \"service_namespace\", \"service_name\"),\n  \
         \"sloth_service\", \"$1\", \"sloth_service\", \"/*(.*)\"\n)"
    );
    let info = format!(
        "max without (slo, threshold_seconds) (\n  label_join(\n    label_replace({named}, \"sloth_slo\", \"$1\", \"slo\", \"(.*)\"),\n    \
         \"sloth_id\", \"-\", \"sloth_service\", \"sloth_slo\"\n  )\n)"
    );
    // Sloth has the objective in percent as a label.
    let percent = "count_values without () (\"sloth_objective\", round(slo:objective:ratio * 100, 0.000001))";
    let made_by = [("sloth_version", env!("CARGO_PKG_VERSION")), ("sloth_mode", "golden-signals"), ("sloth_spec", "golden-signals/v1")];
    let made_by = made_by.map(|(name, value)| (name, value.to_owned())).into();
    vec![
        // With `le`, the bound of a latency objective: how the rules below find its bucket.
        Rule::record("slo:objective_bound:ratio", info),
        Rule::record("slo:objective:ratio", "max without (le) (slo:objective_bound:ratio)"),
        Rule::record("slo:error_budget:ratio", "1 - slo:objective:ratio"),
        Rule::record("slo:time_period:days", "slo:objective:ratio * 0 + 30"),
        // One for each: what requests are joined with. It has no labels but those of the others.
        Rule::record("slo:objective:count", "slo:objective:ratio * 0 + 1"),
        Rule::Record(Record { record: "sloth_slo_info".to_owned(), expr: percent.to_owned(), labels: made_by }),
        // Of a program that does not say it yet, what is the case unless told.
        Rule::record(
            "slo:min_requests:count",
            format!(
                "slo:objective:count * ignoring ({SLOTH}) group_left () max without (instance, pod) (golden_signals_slo_min_requests)\n\
                 or slo:objective:count * {MIN_REQUESTS}"
            ),
        ),
    ]
}

/// Requests, bad requests and their ratio over a window, for every objective.
fn window_rules(window: &str) -> Vec<Rule> {
    let sum = |metric: &str, more: &str| {
        format!("sum without (instance, pod, grouping{more}) (increase(golden_signals_{metric}{{grouping=\"service\"}}[{window}]))")
    };
    let total = format!("slo:objective:count * ignoring ({SLOTH}) group_left () {}", sum("requests_total", ""));
    let failed = format!(
        "slo:objective:count{{sloth_slo=\"availability\"}} * ignoring ({SLOTH}) group_left () {}",
        sum("errors_total", ", error_type")
    );
    // Of all requests with a duration, those that are not below the bound.
    let slow = format!(
        "slo:objective:count{{sloth_slo=\"latency\"}} * ignoring ({SLOTH}) group_left () {}\n- ignoring (le) (\n  \
         (slo:objective_bound:ratio{{sloth_slo=\"latency\"}} * 0 + 1) * ignoring ({SLOTH}) group_left ()\n  {}\n)",
        sum("request_duration_seconds_count", ", outcome"),
        sum("request_duration_seconds_bucket", ", outcome"),
    );
    let labels = BTreeMap::from([("sloth_window", window.to_owned())]);
    let ratio = format!("(\n{failed}\nor clamp_min(\n{slow},\n0)\n)\n/ (slo:sli_total:increase{window} > 0)");
    vec![
        Rule::record(format!("slo:sli_total:increase{window}"), total),
        Rule::Record(Record { record: format!("slo:sli_error:ratio_rate{window}"), expr: ratio, labels }),
    ]
}

fn burn() -> Vec<Rule> {
    let rate = |window| format!("max without (sloth_window) (slo:sli_error:ratio_rate{window}) / slo:error_budget:ratio");
    vec![
        Rule::record("slo:current_burn_rate:ratio", rate("5m")),
        Rule::record("slo:period_burn_rate:ratio", rate("30d")),
        Rule::record("slo:period_error_budget_remaining:ratio", "1 - slo:period_burn_rate:ratio"),
    ]
}
