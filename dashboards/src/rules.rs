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
    pub interval: Option<&'static str>,
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
    pub r#for: &'static str,
    /// How long it goes on after it holds no more, so that a flapping condition tells once.
    pub keep_firing_for: &'static str,
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
