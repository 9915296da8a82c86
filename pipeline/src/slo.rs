//! Service levels: what a service promised, and how much of its error budget is left, exactly.
//!
//! budget remaining = 1 − bad / ((1 − objective) · requests), over the period, from counts by event time: a request is bad for
//! `availability` when it failed, and for `latency` when it took longer than the threshold, which is a bound of the classic buckets, so that
//! metrics say the same. A burn rate is the share of bad requests over a window divided by the budget. All sums are of integers; the one
//! division stands at the end, and a ratio is never made from ratios. Below `min_requests` there is no value: two requests of which one
//! failed say nothing.
//!
//! Sums of whole hours are kept for a quarter of a year beside the history (`counts.rs`); windows shorter than a day are summed from their
//! records. So a new or changed objective has its budget at once. What is not kept any more, or was not yet there, is not guessed: answers
//! name the first hour that they know.

/// Sums that budgets are made of.
pub mod counts;
/// As metrics.
pub mod families;
/// Documents of OpenSLO.
pub mod openslo;
/// When a period began.
pub mod period;

use crate::history::{History, ServiceKey};
use crate::overrides::activation::Activation;
use counts::Counts;
use golden_overrides::file::{Objectives, Override};
use platform_core::store::StoreError;
use platform_core::time::{EventTime, SECOND};

/// Windows of burn rates: name and length in ns. The shorter ones are exact to a window, the others begin at a whole hour.
pub const WINDOWS: [(&str, i64); 8] = [
    ("5m", 5 * MINUTE),
    ("30m", 30 * MINUTE),
    ("1h", HOUR),
    ("2h", 2 * HOUR),
    ("6h", 6 * HOUR),
    ("1d", 24 * HOUR),
    ("3d", 72 * HOUR),
    ("30d", 720 * HOUR),
];
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Windows up to this length are summed from records.
const BY_RECORD: i64 = 6 * HOUR;
/// One in parts per billion: what an objective is turned into.
const BILLION: i128 = 1_000_000_000;

/// One promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// `availability` or `latency`.
    pub name: &'static str,
    /// Share of requests that are good, in parts per billion: above 0, below 10^9.
    pub objective_ppb: i128,
    /// Of latency, ms: one of the classic bounds.
    pub threshold_ms: Option<f64>,
}

impl Promise {
    /// Share of requests that are good, 0 to 1.
    #[must_use]
    pub fn objective(&self) -> f64 {
        self.objective_ppb as f64 / BILLION as f64
    }

    /// The threshold as the bound of a bucket is labelled; empty when there is none.
    #[must_use]
    pub fn threshold_seconds(&self) -> String {
        self.threshold_ms.map_or(String::new(), |ms| format!("{}", ms / 1000.0))
    }

    /// Requests that broke the promise.
    #[must_use]
    pub fn bad(&self, counts: &Counts) -> u64 {
        match self.threshold_ms {
            Some(ms) => counts.slower_than(ms),
            None => counts.errors,
        }
    }

    /// Requests that may be bad, of as many as there were.
    #[must_use]
    pub fn allowed(&self, counts: &Counts) -> f64 {
        let allowed = (BILLION - self.objective_ppb) * i128::from(counts.requests);
        allowed as f64 / BILLION as f64
    }

    /// Share of bad requests, by the budget; `None` below `least` requests.
    #[must_use]
    pub fn burn_rate(&self, counts: &Counts, least: u64) -> Option<f64> {
        let (bad, allowed) = self.against(counts, least)?;
        Some(bad as f64 / allowed as f64)
    }

    /// What is left of the budget, 1 at first and below 0 when it is overdrawn; `None` below `least` requests.
    #[must_use]
    pub fn remaining(&self, counts: &Counts, least: u64) -> Option<f64> {
        let (bad, allowed) = self.against(counts, least)?;
        Some((allowed - bad) as f64 / allowed as f64)
    }

    /// Bad requests, and those that the budget allows, both in parts per billion of a request.
    fn against(&self, counts: &Counts, least: u64) -> Option<(i128, i128)> {
        if counts.requests == 0 || counts.requests < least {
            return None;
        }
        Some((i128::from(self.bad(counts)) * BILLION, (BILLION - self.objective_ppb) * i128::from(counts.requests)))
    }
}

/// The promises of a service, availability first.
#[must_use]
pub fn promises(objectives: &Objectives) -> Vec<Promise> {
    // Percent to parts per billion, to the nearest: 99.9 becomes 999 000 000.
    let ppb = |percent: f64| ((percent * 1e7).round() as i128).clamp(1, BILLION - 1);
    let availability = objectives.availability.map(|share| Promise { name: "availability", objective_ppb: ppb(share), threshold_ms: None });
    let latency = objectives.latency.map(|latency| Promise {
        name: "latency",
        objective_ppb: ppb(latency.share),
        threshold_ms: Some(latency.threshold_ms),
    });
    availability.into_iter().chain(latency).collect()
}

/// A promise and how it is kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    /// The promise.
    pub promise: Promise,
    /// Name of its period, as in overrides.
    pub period: String,
    /// First instant of the period.
    pub from: EventTime,
    /// First instant behind.
    pub to: EventTime,
    /// Start of the first hour in it of which something is known.
    pub known_from: Option<EventTime>,
    /// Requests below which there is no value.
    pub min_requests: u64,
    /// Sums over the period.
    pub counts: Counts,
    /// What is left of the budget; `None` with too few requests.
    pub remaining: Option<f64>,
}

/// The budgets of a service, at an instant that is the end of a window.
///
/// # Errors
/// When the history cannot be read.
pub fn budgets(history: &History, key: &ServiceKey, found: &Override, to: EventTime) -> Result<Vec<Budget>, StoreError> {
    let objectives = &found.objectives;
    let promises = promises(objectives);
    if promises.is_empty() {
        return Ok(vec![]);
    }
    let from = period::start(objectives.period, to);
    let (counts, known_from) = history.counts(key, from, to)?;
    let budget = |promise: Promise| Budget {
        promise,
        period: objectives.period.to_string(),
        from,
        to,
        known_from,
        min_requests: objectives.min_requests,
        counts: counts.clone(),
        remaining: promise.remaining(&counts, objectives.min_requests),
    };
    Ok(promises.into_iter().map(budget).collect())
}

/// Sums over one of `WINDOWS`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burned {
    /// Name of the window.
    pub window: &'static str,
    /// First instant.
    pub from: EventTime,
    /// Sums.
    pub counts: Counts,
}

/// The sums that burn rates are made of, for all windows that end at `to`.
///
/// # Errors
/// When the history cannot be read.
pub fn burned(history: &History, key: &ServiceKey, to: EventTime) -> Result<Vec<Burned>, StoreError> {
    let windows = history.windows(key, to.plus(-BY_RECORD), to)?;
    WINDOWS
        .iter()
        .map(|(window, length)| {
            let from = to.plus(-length);
            if *length > BY_RECORD {
                let from = crate::history::keys::hour_of(from);
                return Ok(Burned { window, from, counts: history.counts(key, from, to)?.0 });
            }
            let mut counts = Counts::default();
            windows.iter().filter(|(start, _)| *start >= from).for_each(|(_, of_window)| counts.add(of_window));
            Ok(Burned { window, from, counts })
        })
        .collect()
}

/// Where service levels stand: the end of the newest window of any service, so that a silent service is seen as it is now.
///
/// # Errors
/// When the history cannot be read.
pub fn newest(history: &History) -> Result<Option<EventTime>, StoreError> {
    Ok(history.services()?.iter().map(|service| service.window_start.plus(service.window_nanos)).max())
}

/// The budgets of all services that have objectives, in the order of the files.
///
/// # Errors
/// When the history cannot be read.
pub fn all_budgets(history: &History, tenant: &str, rules: &Activation) -> Result<Vec<(ServiceKey, Vec<Budget>)>, StoreError> {
    let Some(to) = newest(history)? else { return Ok(vec![]) };
    let mut all = Vec::new();
    for found in rules.live() {
        let key = ServiceKey { tenant: tenant.to_owned(), namespace: found.namespace.clone(), service: found.service.clone() };
        let budgets = budgets(history, &key, found, to)?;
        if !budgets.is_empty() {
            all.push((key, budgets));
        }
    }
    Ok(all)
}
