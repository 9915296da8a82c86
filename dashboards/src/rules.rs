//! The parts of a rule file, and Prometheus' YAML of them.

use serde::Serialize;
use std::collections::BTreeMap;

/// Rules that are evaluated together, in order: later ones see what earlier ones made.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// Unique in its file.
    pub name: &'static str,
    /// How often; none: the server's setting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// In order.
    pub rules: Vec<Rule>,
}

/// A rule.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Rule {
    /// A series that is made of others.
    Record(Record),
    /// A condition that somebody is told of.
    Alert(Alert),
}

/// A recording rule.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// `level:metric:operations`.
    pub record: String,
    /// `PromQL`.
    pub expr: String,
    /// Added to each series.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<&'static str, String>,
}

/// An alerting rule.
#[derive(Clone, Debug, Serialize)]
pub struct Alert {
    /// Its name, which is its runbook's too.
    pub alert: String,
    /// `PromQL`; fires for every series it has.
    pub expr: String,
    /// How long it must hold before somebody is told.
    pub r#for: String,
    /// How long it goes on after it holds no more, so that a flapping condition tells once.
    pub keep_firing_for: String,
    /// `severity`, and `team` where it is the same for all.
    pub labels: BTreeMap<&'static str, String>,
    /// `summary`, `description`, `runbook_url`, `dashboard_url`.
    pub annotations: BTreeMap<&'static str, String>,
}

impl Rule {
    /// A recording rule without labels.
    #[must_use]
    pub fn record(name: impl Into<String>, expr: impl Into<String>) -> Self {
        Self::Record(Record { record: name.into(), expr: expr.into(), labels: BTreeMap::new() })
    }

    /// Its query.
    #[must_use]
    pub fn expr(&self) -> &str {
        match self {
            Self::Record(rule) => &rule.expr,
            Self::Alert(rule) => &rule.expr,
        }
    }
}

/// The groups for windows that are `times` shorter than a minute: alerts wait, and go on, that much shorter. For demo and tests.
#[must_use]
pub fn hastened(mut groups: Vec<Group>, times: u64) -> Vec<Group> {
    for group in &mut groups {
        group.interval = group.interval.as_ref().map(|interval| shorter(interval, times));
        for rule in &mut group.rules {
            if let Rule::Alert(alert) = rule {
                alert.r#for = shorter(&alert.r#for, times);
                alert.keep_firing_for = shorter(&alert.keep_firing_for, times);
            }
        }
    }
    groups
}

/// `15m` divided: `150s`.
fn shorter(span: &str, times: u64) -> String {
    let (number, unit) = span.split_at(span.len().saturating_sub(1));
    let seconds = if unit == "h" { 3600 } else { 60 };
    // Spans of rules are whole minutes or hours.
    format!("{}s", number.parse::<u64>().unwrap_or(0) * seconds / times.max(1))
}

/// The rule file.
#[must_use]
pub fn yaml(groups: &[Group]) -> String {
    #[derive(Serialize)]
    struct File<'a> {
        groups: &'a [Group],
    }
    // Texts and lists always have a form in YAML.
    let text = serde_yaml_ng::to_string(&File { groups }).unwrap_or_default();
    format!("# Made by `make dashboards` from dashboards/src; a test holds both equal.\n{text}")
}
