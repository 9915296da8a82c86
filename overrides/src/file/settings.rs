//! What is no expression: groupings, objectives, capacity, and the resources that count.

use crate::diagnostic::{Code, Diagnostic};
use crate::file::Reader;
use crate::language::Unit;
use crate::yaml::Node;
use std::collections::BTreeMap;

/// Most groupings of a file.
const MAX_GROUPINGS: usize = 8;
/// Most dimensions of a grouping.
const MAX_DIMENSIONS: usize = 4;
/// Groupings that every pipeline has.
const BUILT_IN: [&str; 2] = ["service", "service_operation"];
/// Resources with a capacity that no gauge tells.
pub(crate) const CAPACITIES: [&str; 3] = ["threads", "queue", "max_requests_per_second"];
/// Resources that saturation is taken from (SIGNALS §6.5).
pub const RESOURCES: [&str; 7] = ["cpu", "memory", "threads", "connections", "queue", "replicas", "requests"];
/// Bounds of the classic buckets, in ms: a latency objective that is none of them could not be read from metrics (SIGNALS §9).
pub const LATENCY_BOUNDS_MS: [f64; 14] =
    [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1_000.0, 2_500.0, 5_000.0, 7_500.0, 10_000.0];
pub(crate) const OBJECTIVE_KEYS: [&str; 4] = ["availability", "latency", "period", "min_requests"];
/// How much hangs on a service, from little to much.
pub const CRITICALITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// Periods that follow the calendar, in UTC; weeks begin on Mondays.
pub(crate) const CALENDAR: [(&str, Period); 3] = [("week", Period::Week), ("month", Period::Month), ("quarter", Period::Quarter)];
/// Longest rolling period, in days: what is kept of the past must hold a quarter.
pub const MAX_DAYS: u32 = 90;
/// Requests below which a budget or a burn rate says nothing, unless told otherwise.
pub const MIN_REQUESTS: u64 = 60;
pub(crate) const LATENCY_KEYS: [&str; 2] = ["threshold", "share"];

/// What a service promises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objectives {
    /// Share of requests that succeed, 0 to 100.
    pub availability: Option<f64>,
    /// Share of requests that are fast.
    pub latency: Option<LatencyObjective>,
    /// The time that the promise is of.
    pub period: Period,
    /// Requests below which a budget or a burn rate says nothing.
    pub min_requests: u64,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { availability: None, latency: None, period: Period::Days(30), min_requests: MIN_REQUESTS }
    }
}

/// The time that an objective is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// The last so many days.
    Days(u32),
    /// Since Monday.
    Week,
    /// Since the first of the month.
    Month,
    /// Since the first of January, April, July or October.
    Quarter,
}

impl Period {
    /// A period by its spelling: `30d`, `week`, `month`, `quarter`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let days = || text.strip_suffix('d')?.parse().ok().filter(|days| (1..=MAX_DAYS).contains(days)).map(Self::Days);
        CALENDAR.iter().find(|(name, _)| *name == text).map(|(_, period)| *period).or_else(days)
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Days(days) => write!(f, "{days}d"),
            Self::Week => f.write_str("week"),
            Self::Month => f.write_str("month"),
            Self::Quarter => f.write_str("quarter"),
        }
    }
}

/// A share of requests that are answered within a time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyObjective {
    /// In ms; one of `LATENCY_BOUNDS_MS`.
    pub threshold_ms: f64,
    /// 0 to 100.
    pub share: f64,
}

impl Reader<'_> {
    pub(super) fn groupings(&mut self, node: &Node) -> BTreeMap<String, Vec<String>> {
        let entries = self.map(node);
        if entries.len() > MAX_GROUPINGS {
            let message = format!("{} groupings; at most {MAX_GROUPINGS} are allowed", entries.len());
            self.found.push(Diagnostic::error(Code::Limit, node.span, message));
            return BTreeMap::new();
        }
        let mut groupings = BTreeMap::new();
        for (key, node) in entries {
            let letters = key.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !letters || !(1..=63).contains(&key.name.len()) || !key.name.starts_with(|c: char| c.is_ascii_lowercase()) {
                self.found.push(Diagnostic::error(Code::Range, key.span, "a grouping has 1 to 63 lower-case letters, digits and `_`"));
            } else if BUILT_IN.contains(&key.name.as_str()) {
                self.found.push(Diagnostic::error(Code::Duplicate, key.span, format!("every service has the grouping `{}`", key.name)));
            }
            groupings.insert(key.name.clone(), self.dimensions(node));
        }
        groupings
    }

    fn dimensions(&mut self, node: &Node) -> Vec<String> {
        let list = self.list(node);
        if list.len() > MAX_DIMENSIONS {
            self.found.push(Diagnostic::error(Code::Limit, node.span, format!("at most {MAX_DIMENSIONS} dimensions are allowed")));
            return Vec::new();
        }
        let mut dimensions: Vec<String> = Vec::new();
        for one in list {
            let Some(name) = self.name(one, "a dimension") else { continue };
            match name {
                "service" => self.found.push(Diagnostic::error(Code::Duplicate, one.span, "every grouping has the service already")),
                "svcHost" => {
                    let found = Diagnostic::error(Code::UnknownName, one.span, "as a dimension the host has another name");
                    self.found.push(found.help("did you mean `svc_host`?"));
                }
                name if dimensions.iter().any(|known| known == name) => {
                    self.found.push(Diagnostic::error(Code::Duplicate, one.span, format!("`{name}` stands here twice")));
                }
                name => dimensions.push(name.to_owned()),
            }
        }
        if list.is_empty() {
            self.found
                .push(Diagnostic::error(Code::Range, node.span, "no dimension").help("`[operation]`, `[svc_host]`, or tags: `[region]`"));
        }
        dimensions
    }

    pub(super) fn objectives(&mut self, node: &Node) -> Objectives {
        let mut objectives = Objectives::default();
        for (key, node) in self.known(node, &OBJECTIVE_KEYS) {
            match key.name.as_str() {
                "availability" => objectives.availability = self.share(node),
                "latency" => objectives.latency = self.latency(node),
                "period" => objectives.period = self.period(node).unwrap_or(objectives.period),
                _ => objectives.min_requests = self.count(node).unwrap_or(objectives.min_requests),
            }
        }
        objectives
    }

    fn period(&mut self, node: &Node) -> Option<Period> {
        let text = self.text(node)?;
        let period = Period::parse(text);
        if period.is_none() {
            let found = Diagnostic::error(Code::Range, node.span, format!("`{text}` is no period"));
            self.found.push(found.help(format!("`30d` (at most {MAX_DAYS}d), or the calendar's `week`, `month`, `quarter`")));
        }
        period
    }

    fn count(&mut self, node: &Node) -> Option<u64> {
        match self.quantity(node)? {
            (value, Unit::Plain) if value.fract() == 0.0 && (0.0..=1e9).contains(&value) => Some(value as u64),
            _ => self.error(Code::Range, node.span, "a whole number from 0 to 1000000000 is needed here"),
        }
    }

    pub(super) fn criticality(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if !CRITICALITIES.contains(&text) {
            let found = Diagnostic::error(Code::UnknownName, node.span, format!("unknown criticality `{text}`"));
            self.found.push(found.help(format!("known are {}", CRITICALITIES.join(", "))));
            return None;
        }
        Some(text.to_owned())
    }

    /// A percentage below 100, which leaves something to fail.
    fn share(&mut self, node: &Node) -> Option<f64> {
        let (value, unit) = self.quantity(node)?;
        if !matches!(unit, Unit::Plain | Unit::Percent) {
            return self.error(Code::Unit, node.span, format!("a percentage is needed here, not {}", unit.name()));
        }
        if unit == Unit::Plain && value > 0.0 && value <= 1.0 {
            let meant = (value * 1e12).round() / 1e10;
            self.found.push(Diagnostic::error(Code::Scale, node.span, "an objective is 0–100").help(format!("did you mean {meant:?}?")));
            return None;
        }
        if !(0.0..100.0).contains(&value) || value == 0.0 {
            let found = Diagnostic::error(Code::Range, node.span, "an objective lies above 0 and below 100");
            self.found.push(found.help("100 leaves no error budget: the first error would break it for 30 days"));
            return None;
        }
        Some(value)
    }

    fn latency(&mut self, node: &Node) -> Option<LatencyObjective> {
        let (mut threshold_ms, mut share) = (None, None);
        let entries = self.known(node, &LATENCY_KEYS);
        for (key, node) in &entries {
            match key.name.as_str() {
                "threshold" => threshold_ms = self.threshold(node),
                _ => share = self.share(node),
            }
        }
        if entries.len() < LATENCY_KEYS.len() {
            let found = Diagnostic::error(Code::Range, node.span, "a latency objective has a threshold and a share");
            self.found.push(found.help("`latency: {threshold: 250ms, share: 99%}`"));
        }
        Some(LatencyObjective { threshold_ms: threshold_ms?, share: share? })
    }

    fn threshold(&mut self, node: &Node) -> Option<f64> {
        let (value, unit) = self.quantity(node)?;
        if unit != Unit::Millis {
            self.found.push(Diagnostic::error(Code::Unit, node.span, "a time is needed here").help("`250ms`, `1s`"));
            return None;
        }
        if !LATENCY_BOUNDS_MS.contains(&value) {
            let nearest = LATENCY_BOUNDS_MS.into_iter().min_by(|a, b| (a - value).abs().total_cmp(&(b - value).abs()))?;
            let found = Diagnostic::error(Code::Range, node.span, "a threshold is a bound of the latency buckets");
            self.found.push(found.help(format!("the nearest is {nearest}ms")));
            return None;
        }
        Some(value)
    }

    pub(super) fn capacity(&mut self, node: &Node) -> BTreeMap<String, f64> {
        let mut capacity = BTreeMap::new();
        for (key, node) in self.known(node, &CAPACITIES) {
            match self.quantity(node) {
                Some((value, Unit::Plain)) if value > 0.0 => drop(capacity.insert(key.name.clone(), value)),
                Some(_) => self.found.push(Diagnostic::error(Code::Range, node.span, "a capacity is a number above 0")),
                None => {}
            }
        }
        capacity
    }

    pub(super) fn resources(&mut self, node: &Node) -> Vec<String> {
        let mut resources: Vec<String> = Vec::new();
        for one in self.list(node) {
            let Some(name) = self.text(one) else { continue };
            if !RESOURCES.contains(&name) {
                let found = Diagnostic::error(Code::UnknownName, one.span, format!("unknown resource `{name}`")).suggest(name, RESOURCES);
                let all = format!("known are {}", RESOURCES.join(", "));
                self.found.push(if found.help.is_none() { found.help(all) } else { found });
            } else if resources.iter().any(|known| known == name) {
                self.found.push(Diagnostic::error(Code::Duplicate, one.span, format!("`{name}` stands here twice")));
            } else {
                resources.push(name.to_owned());
            }
        }
        resources
    }
}
