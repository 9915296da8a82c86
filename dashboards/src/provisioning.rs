//! The alerts once more, as rules that Grafana evaluates itself, for those who have no Prometheus rules or Alertmanager. Deploy one of both.

use crate::rules::{Alert, Group, Rule};
use serde_json::{Value, json};

/// Grafana's file of them, for a data source with the uid `golden-signals-prometheus`.
#[must_use]
pub fn yaml(groups: &[Group]) -> String {
    let groups: Vec<Value> = groups
        .iter()
        .map(|group| {
            let alerts = group.rules.iter().filter_map(|rule| if let Rule::Alert(alert) = rule { Some(alert) } else { None });
            json!({"orgId": 1, "name": group.name, "folder": "Golden Signals", "interval": "1m", "rules": alerts.map(one).collect::<Vec<_>>()})
        })
        .collect();
    // JSON always has a form in YAML.
    let text = serde_yaml_ng::to_string(&json!({"apiVersion": 1, "groups": groups})).unwrap_or_default();
    format!(
        "# Made by `make dashboards` from dashboards/src; a test holds both equal. They need the recording rules of prometheus/.\n\
         # Prometheus' own alerts (prometheus/alerts.yaml) are the same: deploy one of both.\n{text}"
    )
}

fn one(alert: &Alert) -> Value {
    let severity = alert.labels.get("severity").map_or("", String::as_str);
    // At most 40 characters, and never another one for the same rule.
    let uid = format!("gs-{}-{severity}", alert.alert.trim_start_matches("GoldenSignals").to_lowercase());
    let model = json!({"refId": "A", "expr": alert.expr, "instant": true, "range": false, "editorMode": "code"});
    let condition = json!({
        "refId": "B", "type": "threshold", "expression": "A",
        // The query has series only while its condition holds; whatever their value is, it is true.
        "conditions": [{"type": "query", "evaluator": {"type": "outside_range", "params": [0.0, 0.0]}}],
    });
    json!({
        "uid": uid, "title": format!("{} {severity}", alert.alert), "condition": "B",
        "data": [
            {"refId": "A", "relativeTimeRange": {"from": 600, "to": 0}, "datasourceUid": "golden-signals-prometheus", "model": model},
            {"refId": "B", "relativeTimeRange": {"from": 0, "to": 0}, "datasourceUid": "__expr__", "model": condition},
        ],
        "noDataState": "OK", "execErrState": "Error", "for": alert.r#for, "keepFiringFor": alert.keep_firing_for,
        "labels": alert.labels, "annotations": alert.annotations,
    })
}
