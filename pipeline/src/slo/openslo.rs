//! OpenSLO v1: documents of others become the `objectives` of overrides, or are refused with the reason.
//!
//! A ratio metric is availability, or latency when its good requests are counted by the bucket of a histogram (`le="0.25"`); a threshold
//! metric is latency, in seconds. What queries they were made of does not matter here: budgets are made of our own counts, and whoever imports
//! should look whether both mean the same requests. What cannot be said in `objectives` is refused as a whole, never bent: time slices,
//! other thresholds than bounds of our buckets, periods beyond 90 days or with a time zone. Reads and writes no files.

use golden_overrides::file::{LATENCY_BOUNDS_MS, MAX_DAYS, Period};
use serde::Deserialize;
use serde_yaml_ng::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a file says of one service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Imported {
    /// Percent, as written.
    pub availability: Option<f64>,
    /// Threshold in ms, and percent.
    pub latency: Option<(f64, f64)>,
    /// The time that both are of.
    pub period: Option<Period>,
}

/// A document that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its number in the file, from 1, and its name.
    pub document: String,
    /// Why.
    pub reason: String,
}

/// What came of a file: by service, and what was refused.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// By service.
    pub services: BTreeMap<String, Imported>,
    /// Refused documents, in order.
    pub refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Value,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Slo {
    service: String,
    indicator: Option<Inline>,
    indicator_ref: Option<String>,
    #[serde(default)]
    time_window: Vec<TimeWindow>,
    budgeting_method: Option<String>,
    #[serde(default)]
    objectives: Vec<Objective>,
}

#[derive(Deserialize)]
struct Inline {
    spec: Indicator,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Indicator {
    threshold_metric: Option<Value>,
    ratio_metric: Option<Ratio>,
}

#[derive(Clone, Deserialize)]
struct Ratio {
    good: Option<Value>,
    raw: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TimeWindow {
    duration: String,
    #[serde(default)]
    is_rolling: bool,
    calendar: Option<Calendar>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Calendar {
    time_zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Objective {
    op: Option<String>,
    value: Option<f64>,
    target: Option<f64>,
    target_percent: Option<f64>,
    composite_weight: Option<Value>,
    indicator: Option<Value>,
    indicator_ref: Option<Value>,
}

/// Reads a file of documents.
///
/// # Errors
/// When it is not YAML; of a document that cannot be taken, `refused` says why.
pub fn read(text: &str) -> Result<Import, serde_yaml_ng::Error> {
    let mut documents = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        documents.push(Value::deserialize(document)?);
    }
    let parsed: Vec<Result<Document, String>> = documents
        .into_iter()
        .filter(|value| !value.is_null())
        .map(|value| serde_yaml_ng::from_value(value).map_err(|e| e.to_string()))
        .collect();
    let mut indicators = BTreeMap::new();
    for document in parsed.iter().flatten().filter(|document| document.kind == "SLI") {
        if let Ok(indicator) = serde_yaml_ng::from_value::<Indicator>(document.spec.clone()) {
            indicators.insert(document.metadata.name.clone(), indicator);
        }
    }
    let mut import = Import::default();
    for (number, document) in parsed.into_iter().enumerate() {
        let name = document.as_ref().map_or("", |document| &document.metadata.name).to_owned();
        let taken = document.and_then(|document| match &*document.kind {
            _ if document.api_version != "openslo/v1" => Err(format!("apiVersion is `{}`: only openslo/v1 is read", document.api_version)),
            "SLO" => slo(document.spec, &indicators).and_then(|(service, new)| join(&mut import.services, service, new)),
            // These say where numbers come from and whom to call: neither is part of an objective.
            "SLI" | "Service" | "DataSource" | "AlertPolicy" | "AlertCondition" | "AlertNotificationTarget" => Ok(()),
            kind => Err(format!("unknown kind `{kind}`")),
        });
        if let Err(reason) = taken {
            import.refused.push(Refused { document: format!("document {} ({name})", number + 1), reason });
        }
    }
    Ok(import)
}

/// A service has one objective of each kind, and one period for both.
fn join(services: &mut BTreeMap<String, Imported>, service: String, new: Imported) -> Result<(), String> {
    let known = services.get(&service).cloned().unwrap_or_default();
    if known.availability.is_some() && new.availability.is_some() {
        return Err(format!("{service} has an objective of availability already; one can be kept"));
    }
    if known.latency.is_some() && new.latency.is_some() {
        return Err(format!("{service} has an objective of latency already; one can be kept"));
    }
    if known.period.is_some() && known.period != new.period {
        return Err(format!("{service} has an objective over another period; one period is kept for both"));
    }
    let both =
        Imported { availability: known.availability.or(new.availability), latency: known.latency.or(new.latency), period: new.period };
    services.insert(service, both);
    Ok(())
}

fn slo(spec: Value, indicators: &BTreeMap<String, Indicator>) -> Result<(String, Imported), String> {
    let slo: Slo = serde_yaml_ng::from_value(spec).map_err(|error| error.to_string())?;
    if let Some(method) = slo.budgeting_method.as_deref().filter(|method| *method != "Occurrences") {
        return Err(format!("budgetingMethod `{method}`: budgets are of requests (Occurrences), not of time slices"));
    }
    let indicator = match (slo.indicator, slo.indicator_ref) {
        (Some(inline), None) => inline.spec,
        (None, Some(name)) => indicators.get(&name).cloned().ok_or_else(|| format!("indicatorRef `{name}`: no such SLI in this file"))?,
        _ => return Err("needs either `indicator` or `indicatorRef`".to_owned()),
    };
    let period = period(&slo.time_window)?;
    let [objective] = slo.objectives.as_slice() else {
        return Err(format!("{} objectives: one document says one", slo.objectives.len()));
    };
    if objective.composite_weight.is_some() || objective.indicator.is_some() || objective.indicator_ref.is_some() {
        return Err("composite objectives cannot be expressed".to_owned());
    }
    let share = share(objective)?;
    let mut imported = Imported { period: Some(period), ..Imported::default() };
    match (indicator.ratio_metric, indicator.threshold_metric) {
        (Some(ratio), None) => {
            if ratio.raw.is_some() {
                return Err("a raw ratio is a ready-made ratio, and budgets are made of counts".to_owned());
            }
            let good = ratio.good.map(|good| texts(&good)).unwrap_or_default();
            match bucket(&good) {
                Some(seconds) => imported.latency = Some((threshold(seconds)?, share)),
                None => imported.availability = Some(share),
            }
        }
        (None, Some(_)) => {
            if !matches!(objective.op.as_deref(), Some("lte" | "lt")) {
                return Err("op: latency is good when it is `lte` a value".to_owned());
            }
            let seconds = objective.value.ok_or("an objective on a threshold metric needs `value`, in seconds")?;
            imported.latency = Some((threshold(seconds)?, share));
        }
        _ => return Err("needs either `ratioMetric` or `thresholdMetric`".to_owned()),
    }
    Ok((slo.service, imported))
}

/// The target in percent.
fn share(objective: &Objective) -> Result<f64, String> {
    let percent = match (objective.target, objective.target_percent) {
        // 0.999 is 99.9, not 99.90000000000001.
        (Some(target), None) => (target * 1e9).round() / 1e7,
        (None, Some(percent)) => percent,
        _ => return Err("an objective needs either `target` or `targetPercent`".to_owned()),
    };
    let fits = percent > 0.0 && percent < 100.0;
    if fits { Ok(percent) } else { Err(format!("a target of {percent} %: it must lie above 0 and below 100, or there is no budget")) }
}

fn threshold(seconds: f64) -> Result<f64, String> {
    let ms = (seconds * 1e6).round() / 1e3;
    if LATENCY_BOUNDS_MS.contains(&ms) {
        return Ok(ms);
    }
    let all: Vec<String> = LATENCY_BOUNDS_MS.iter().map(|bound| (bound / 1e3).to_string()).collect();
    Err(format!("a threshold of {seconds} s is no bound of the latency buckets; these are {} s", all.join(", ")))
}

fn period(windows: &[TimeWindow]) -> Result<Period, String> {
    let [window] = windows else { return Err(format!("{} time windows: one is needed", windows.len())) };
    let text = window.duration.as_str();
    let refused = |why: &str| Err(format!("time window `{text}`: {why}"));
    let Some((number, unit)) = text.split_at_checked(text.len().saturating_sub(1)) else { return refused("no duration") };
    let Ok(number) = number.parse::<u32>() else { return refused("no duration") };
    if window.is_rolling {
        let days = match unit {
            "d" => Some(number),
            "w" => number.checked_mul(7),
            "h" if number % 24 == 0 => Some(number / 24),
            _ => None,
        };
        return match days.filter(|days| (1..=MAX_DAYS).contains(days)) {
            Some(days) => Ok(Period::Days(days)),
            None => refused(&format!("a rolling one has 1 to {MAX_DAYS} whole days")),
        };
    }
    if let Some(zone) =
        window.calendar.as_ref().and_then(|calendar| calendar.time_zone.as_deref()).filter(|zone| !matches!(*zone, "UTC" | "Etc/UTC"))
    {
        return refused(&format!("calendars are those of UTC, not of {zone}"));
    }
    match (number, unit) {
        (1, "w") => Ok(Period::Week),
        (1, "M") => Ok(Period::Month),
        (1, "Q") | (3, "M") => Ok(Period::Quarter),
        _ => refused("a calendar's one is 1w, 1M or 1Q"),
    }
}

/// All texts of a value, one after the other: a query stands somewhere in it.
fn texts(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text}\n"),
        Value::Sequence(list) => list.iter().map(texts).collect(),
        Value::Mapping(map) => map.values().map(texts).collect(),
        _ => String::new(),
    }
}

/// The bound of the bucket that a query counts, in seconds.
fn bucket(query: &str) -> Option<f64> {
    let at = query
        .find("le=\"")
        .filter(|at| !query.get(..*at).unwrap_or_default().ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))?;
    query.get(at + 4..)?.split('"').next()?.parse().ok()
}

/// The section of an overrides file.
#[must_use]
pub fn section(imported: &Imported) -> String {
    let mut out = "objectives:\n".to_owned();
    if let Some(percent) = imported.availability {
        let _ = writeln!(out, "  availability: {percent}%");
    }
    if let Some((ms, percent)) = imported.latency {
        let _ = writeln!(out, "  latency: {{threshold: {ms}ms, share: {percent}%}}");
    }
    if let Some(period) = imported.period.filter(|period| *period != Period::Days(30)) {
        let _ = writeln!(out, "  period: {period}");
    }
    out
}

/// An overrides file with this section in the place of the one it has, or at its end. Nothing else of it changes.
#[must_use]
pub fn with_section(file: &str, section: &str) -> String {
    let mut out = String::with_capacity(file.len() + section.len());
    let (mut inside, mut written) = (false, false);
    for line in file.split_inclusive('\n') {
        if line.starts_with("objectives:") {
            inside = true;
            written = true;
            out.push_str(section);
            continue;
        }
        // What is indented belongs to the key above; an empty line ends nothing.
        inside &= line.starts_with([' ', '\t']) || line.trim().is_empty();
        if !inside || line.trim().is_empty() {
            out.push_str(line);
        }
    }
    if !written {
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(section);
    }
    out
}

#[cfg(test)]
mod tests;
