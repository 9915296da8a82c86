//! Why a service had the level it had in a window: the rule in force and whose it is, how its expression went, and what weighed most.
//!
//! Made from the published record, its integers and what the control log says; the expression is evaluated again with the same values that
//! CLOSE gave it. Files that no window which is still open can ask for are not in memory any more: then the file is named, not shown.

use crate::emit::read::PublicRecord;
use crate::history::{History, Query, ServiceKey, Stored};
use crate::overrides::activation::Activation;
use crate::overrides::backtest::{HistoryError, Judging, Published, Unusable};
use crate::overrides::of_windows::WindowScope;
use crate::overrides::rules::Timeline;
use crate::settings::Checked;
use crate::signal::health::{DEFAULT_RULE, DEFAULT_RULE_SHA256};
use golden_overrides::file::Override;
use golden_overrides::language::HealthRule;
use golden_overrides::language::explain::{Explanation, explain};
use golden_overrides::report::place;
use platform_core::time::EventTime;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Most contributors of a grouping.
pub const MAX_CONTRIBUTORS: usize = 5;

/// The level of one window, explained.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Explained {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// RFC 3339.
    pub window_start: String,
    /// RFC 3339.
    pub window_end: String,
    /// Of the record that is explained.
    pub revision: u64,
    /// As published.
    pub health: Verdict,
    /// The rule in force.
    pub rule: RuleInForce,
    /// How its expression went; `None` when it is not known any more.
    pub explanation: Option<Explanation>,
    /// How the default rule went, which decided because the rule in force failed.
    pub fallback: Option<Explanation>,
    /// Whether the same level comes out again; `None` when the expression is not known any more.
    pub agrees: Option<bool>,
    /// Utilization of the resources that count, as published, 0 to 1 and above; empty when none is known.
    #[serde(default)]
    pub utilization: BTreeMap<String, f64>,
    /// What weighed most, by grouping: errors first, then share of errors, then requests.
    pub contributors: BTreeMap<String, Vec<Contributor>>,
    /// Exemplars of the record, as published.
    pub exemplars: Vec<Box<RawValue>>,
}

/// A published verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// 0 to 3; null: unknown.
    pub level: Option<u8>,
    /// As a word.
    pub state: String,
    /// `rule`, `rule_error` or `incomplete`.
    pub reason: String,
    /// Last known level before.
    pub previous: u8,
}

/// Which rule decided, and whose it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleInForce {
    /// The expression; empty when it is not known any more.
    pub expression: String,
    /// Whether it is the default rule: no file, or a file without a health rule.
    pub default: bool,
    /// Version of the bundle; 0 without a file.
    pub version: u64,
    /// SHA-256 of the file; that of the default rule without one.
    pub sha256: String,
    /// Path of the file below the folder of overrides; empty without one.
    pub path: String,
    /// Line in the file at which the expression starts, from 1; 0 without one.
    pub line: usize,
    /// Who answers for the file.
    pub owner: String,
    /// Who published that version, as they said.
    pub published_by: String,
    /// When, as they said.
    pub published_at: String,
    /// The commit that it was made from, as they said.
    pub commit: String,
}

/// One series of a grouping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributor {
    /// Values of its dimensions, by name.
    pub dimensions: BTreeMap<String, String>,
    /// Requests.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
    /// Its errors by its requests, 0 to 1; null without requests.
    pub error_ratio: Option<f64>,
    /// Its share of the service's errors, 0 to 1; null without errors.
    pub share_of_errors: Option<f64>,
    /// Its share of the service's requests, 0 to 1; null without requests.
    pub share_of_requests: Option<f64>,
    /// ms; null without durations.
    pub latency_p99: Option<f64>,
}

/// Explains the window of a service that holds `at`. `None`: nothing was published of it.
///
/// # Errors
/// When the history cannot be read.
pub fn explained(
    history: &History,
    settings: &Checked,
    timeline: &Timeline,
    key: &ServiceKey,
    at: EventTime,
) -> Result<Option<Explained>, HistoryError> {
    let window = settings.window.window_of(at);
    let query = Query { from: window.start, to: window.end, limit: 1 };
    let Some(stored) = history.signals(key, "service", &query)?.records.pop() else { return Ok(None) };
    let record = PublicRecord::parse(&stored.json).map_err(|error| Unusable::Form(error.to_string()))?;
    let published = Published::of(&stored)?;
    let found = found(timeline, key, &record);
    let names = settings.groupings.list().iter().map(|grouping| grouping.name.clone());
    let own = found.iter().flat_map(|(_, file)| file.groupings.keys().cloned());
    let mut contributors = BTreeMap::new();
    for grouping in names.chain(own).filter(|name| name != "service") {
        let all = history.signals(key, &grouping, &Query { limit: usize::MAX, ..query.clone() })?.records;
        let most = most(&all, &record)?;
        if !most.is_empty() {
            contributors.insert(grouping, most);
        }
    }
    let health = record.health.as_ref();
    let verdict = Verdict {
        level: health.and_then(|health| health.level),
        state: health.map_or("unknown", |health| &health.state).to_owned(),
        reason: health.map_or("", |health| &health.reason).to_owned(),
        previous: health.map_or(0, |health| health.previous),
    };
    let rule = rule_in_force(found, &record);
    let Told { explanation, fallback, agrees } = told(&rule, found.map(|(_, file)| file), &published, Judging::of(settings), key);
    Ok(Some(Explained {
        service: key.service.clone(),
        namespace: key.namespace.clone(),
        window_start: record.window_start.to_string(),
        window_end: record.window_end.to_string(),
        revision: record.revision,
        health: verdict,
        rule,
        explanation,
        fallback,
        agrees,
        utilization: record
            .saturation
            .iter()
            .flat_map(|of| of.utilization.iter().map(|(name, ratio)| (name.to_string(), *ratio)))
            .collect(),
        contributors,
        exemplars: exemplars(&stored),
    }))
}

/// The file that a record names: of its version, or the same file in another one.
fn found<'t>(timeline: &'t Timeline, key: &ServiceKey, record: &PublicRecord<'_>) -> Option<(&'t Activation, &'t Override)> {
    let of = |version: &'t Activation| {
        let (_, file) = version.find(&key.namespace, &key.service).filter(|(_, file)| file.sha256 == *record.rule.sha256)?;
        Some((version, file))
    };
    let versions = || timeline.versions().iter().map(|version| &**version);
    versions().find(|version| version.said.version == record.rule.version).and_then(of).or_else(|| versions().rev().find_map(of))
}

fn rule_in_force(found: Option<(&Activation, &Override)>, record: &PublicRecord<'_>) -> RuleInForce {
    let plain = RuleInForce { version: record.rule.version, sha256: record.rule.sha256.to_string(), ..RuleInForce::default() };
    let Some((version, file)) = found else {
        let default = *record.rule.sha256 == *DEFAULT_RULE_SHA256;
        return RuleInForce { expression: if default { DEFAULT_RULE.to_owned() } else { String::new() }, default, ..plain };
    };
    let content = version.files().iter().find(|(_, content)| golden_overrides::archive::sha256(content) == file.sha256);
    let source = content.map(|(_, content)| String::from_utf8_lossy(content)).unwrap_or_default();
    let (expression, line) = match &file.health {
        Some(written) => (written.text.clone(), place(&source, written.span.start).line),
        None => (DEFAULT_RULE.to_owned(), 0),
    };
    RuleInForce {
        expression,
        default: file.health.is_none(),
        path: content.map(|(path, _)| path.clone()).unwrap_or_default(),
        line,
        owner: file.owner.clone(),
        published_by: version.said.published_by.clone(),
        published_at: version.said.published_at.clone(),
        commit: version.said.commit.clone(),
        ..plain
    }
}

struct Told {
    explanation: Option<Explanation>,
    fallback: Option<Explanation>,
    agrees: Option<bool>,
}

fn told(rule: &RuleInForce, file: Option<&Override>, of: &Published, judging: Judging, key: &ServiceKey) -> Told {
    if rule.expression.is_empty() {
        return Told { explanation: None, fallback: None, agrees: None };
    }
    let scope = WindowScope::new(&of.aggregate, judging.window, of.completeness, of.previous, &key.service, &[], file);
    let (health, failure) = judging.health(&key.service, file, of, of.previous);
    let fallback = failure.and_then(|_| explain::<HealthRule>(DEFAULT_RULE, &scope));
    Told { explanation: explain::<HealthRule>(&rule.expression, &scope), fallback, agrees: Some(health.level == of.level) }
}

/// What weighs most of the series of one grouping and window.
fn most(records: &[Stored], whole: &PublicRecord<'_>) -> Result<Vec<Contributor>, Unusable> {
    let share = |part: u64, of: u64| (of > 0).then(|| part as f64 / of as f64);
    let mut all = Vec::with_capacity(records.len());
    for stored in records {
        let record = PublicRecord::parse(&stored.json).map_err(|error| Unusable::Form(error.to_string()))?;
        let (requests, errors) = (record.requests.count, record.errors.count);
        all.push(Contributor {
            dimensions: record.dimensions.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            requests,
            errors,
            error_ratio: record.errors.ratio,
            share_of_errors: share(errors, whole.errors.count),
            share_of_requests: share(requests, whole.requests.count),
            latency_p99: record.latency.as_ref().and_then(|latency| latency.all.as_ref()?.p99),
        });
    }
    // Each key falls; the first difference decides, and names settle what is alike.
    all.sort_by(|a, b| {
        let ratio = b.error_ratio.unwrap_or(0.0).total_cmp(&a.error_ratio.unwrap_or(0.0));
        b.errors.cmp(&a.errors).then(ratio).then(b.requests.cmp(&a.requests)).then(a.dimensions.cmp(&b.dimensions))
    });
    all.truncate(MAX_CONTRIBUTORS);
    Ok(all)
}

#[derive(Deserialize)]
struct Exemplars {
    #[serde(default)]
    exemplars: Vec<Box<RawValue>>,
}

fn exemplars(stored: &Stored) -> Vec<Box<RawValue>> {
    serde_json::from_slice::<Exemplars>(&stored.json).map(|of| of.exemplars).unwrap_or_default()
}
