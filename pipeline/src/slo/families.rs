//! Service levels as metrics: what was promised, by whom, and how much of the budget is left.
//!
//! Rules of Prometheus join on the first two; the last one is exact, where a rule can only sum increases.

use super::{Budget, all_budgets};
use crate::history::History;
use crate::overrides::activation::Activation;
use platform_core::metric::{Family, Kind, Value};
use platform_core::store::StoreError;

/// `golden_signals_service_info`, `golden_signals_slo_objective_ratio`, `golden_signals_slo_min_requests` and `golden_signals_slo_error_budget_remaining_ratio`.
///
/// # Errors
/// When the history cannot be read.
pub fn families(history: &History, tenant: &str, rules: &Activation) -> Result<Vec<Family>, StoreError> {
    let mut info =
        Family::new("golden_signals_service_info", Kind::Gauge, "Who answers for a service, and how much hangs on it; always 1.");
    for file in rules.live() {
        let of_file = [("team", &*file.owner), ("criticality", &*file.criticality)];
        info.push(&labels(&file.service, &file.namespace, &of_file), Value::Number(1.0));
    }
    let mut objective = Family::new(
        "golden_signals_slo_objective_ratio",
        Kind::Gauge,
        "Share of requests that must be good; of latency, good is a request that takes no longer than the threshold.",
    );
    let mut fewest = Family::new(
        "golden_signals_slo_min_requests",
        Kind::Gauge,
        "Requests below which nothing is said of a service's objectives: a rule alerts on no window that holds fewer.",
    );
    let mut remaining = Family::new(
        "golden_signals_slo_error_budget_remaining_ratio",
        Kind::Gauge,
        "What is left of the error budget in its period: 1 when nothing is used, below 0 when it is overdrawn. Exact, by event time.",
    );
    for (key, budgets) in all_budgets(history, tenant, rules)? {
        if let Some(budget) = budgets.first() {
            fewest.push(&labels(&key.service, &key.namespace, &[]), Value::Number(budget.min_requests as f64));
        }
        for Budget { promise, remaining: left, .. } in budgets {
            let threshold = promise.threshold_seconds();
            let own = [("slo", promise.name), ("threshold_seconds", &*threshold)];
            let labels = labels(&key.service, &key.namespace, &own);
            objective.push(&labels, Value::Number(promise.objective()));
            if let Some(left) = left {
                remaining.push(&labels, Value::Number(left));
            }
        }
    }
    Ok(vec![info, objective, fewest, remaining])
}

/// Labels of a service, then others; what is empty is left out, as everywhere.
fn labels<'a>(service: &'a str, namespace: &'a str, others: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let own = [("service_name", service), ("service_namespace", namespace)];
    own.into_iter().chain(others.iter().copied()).filter(|(_, value)| !value.is_empty()).collect()
}
