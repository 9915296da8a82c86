//! What a page shows: which series, and which samples of each (SIGNALS §9).
//!
//! Series are copied a few hundred at a time, which is all that the lock of their state is held for: writing them takes some twenty times as
//! long, and would keep the pipeline waiting. A series is shown as it stood when it was visited; two series may differ by a record.
//!
//! Above the cap those with most errors stay, then those with most requests; grouping `service` goes first. What is left out is counted.
//! A gauge that cannot be right is not shown: without requests there is no availability, and behind a stale window nothing but the state
//! `unknown`. Compatibility names repeat the series of grouping `service_operation`, without that label.

use super::compatible::{Compatibility, Tool};
use super::families::{
    AVAILABILITY, CLAMPED, CORRECTIONS, DURATION, ERRORS, HTTP_SERVER, IGNORED, LATE, LEVEL, REQUESTS, RPC_SERVER, RULE, SATURATION,
    SPAN_METRICS_CALLS, SPAN_METRICS_DURATION, SPANMETRICS_CALLS, SPANMETRICS_LATENCY, STATE, UTILIZATION,
};
use super::labels::{self, Labels};
use super::write::{Distribution, Example, Format, Number, Writer};
use super::{BOUNDS, DETECTION, Durations, Newest, ScrapeState, Series, Shown};
use crate::emit::record::OVERFLOW;
use crate::signal::availability;
use crate::signal::completeness::Completeness;
use crate::signal::health::{Level, UNKNOWN, is_stale};
use crate::signal::latency::QUANTILES;
use platform_core::metric::{Family, Kind};
use platform_core::time::EventTime;
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

/// Series that are copied or looked at under one lock.
const CHUNK: usize = 256;
/// Quantiles as labels, in the order of `QUANTILES`.
const QUANTILE_LABELS: [&str; QUANTILES.len()] = ["0.5", "0.75", "0.9", "0.95", "0.99", "0.999"];

/// How a page is written.
#[derive(Clone, Copy, Debug)]
pub struct PageSettings {
    /// Form.
    pub format: Format,
    /// Whether series carry their tenant.
    pub tenant_label: bool,
    /// Most series on the page; those of grouping `service` come first.
    pub max_series: usize,
    /// ns after the window behind a series' last one until its health is unknown.
    pub stale_after_nanos: i64,
    /// Whether there are gauges of quantiles, which cannot be aggregated.
    pub quantiles: bool,
    /// Names that others use for the same numbers.
    pub compatibility: Compatibility,
}

/// What a page is made of.
pub struct Parts<'a> {
    /// States of the public topic's partitions.
    pub signals: &'a [Arc<Mutex<ScrapeState>>],
    /// States of the late ledger's partitions.
    pub late: &'a [Arc<Mutex<ScrapeState>>],
    /// What else there is, behind it.
    pub others: &'a [Family],
}

/// The families, in the order of the page.
#[derive(Clone, Copy)]
enum Of {
    Requests,
    Errors,
    Ignored,
    Durations,
    Availability,
    Saturation,
    Utilization,
    Level,
    State,
    Quantile,
    Completeness,
    Rule,
    Late,
    Corrections,
    Clamped,
    Overflow,
    Detection,
    LeftOut,
    HttpServer,
    RpcServer,
    SpanmetricsCalls,
    SpanmetricsLatency,
    SpanMetricsCalls,
    SpanMetricsDuration,
}

const FAMILIES: [(&str, Kind, &str); 24] = [
    REQUESTS.shown(),
    ERRORS.shown(),
    IGNORED.shown(),
    DURATION.shown(),
    AVAILABILITY.shown(),
    SATURATION.shown(),
    UTILIZATION.shown(),
    LEVEL.shown(),
    STATE.shown(),
    ("golden_signals_request_duration_quantile_seconds", Kind::Gauge, "Quantiles of the newest window, not aggregatable."),
    ("golden_signals_window_completeness_ratio", Kind::Gauge, "Share of its input that the newest window has seen."),
    RULE.shown(),
    LATE.shown(),
    CORRECTIONS.shown(),
    CLAMPED.shown(),
    (
        "golden_signals_overflow_series",
        Kind::Gauge,
        "Series of newest windows that stand for what went over a cap, by the label that was replaced.",
    ),
    (
        "golden_signals_detection_duration_seconds",
        Kind::Histogram,
        "From the start of a window whose level rose to the append of its record: at most a window more than from its first error.",
    ),
    ("golden_signals_scrape_series_left_out", Kind::Gauge, "Series that this page has no room for."),
    HTTP_SERVER.shown(),
    RPC_SERVER.shown(),
    SPANMETRICS_CALLS.shown(),
    SPANMETRICS_LATENCY.shown(),
    SPAN_METRICS_CALLS.shown(),
    SPAN_METRICS_DURATION.shown(),
];

/// Appends the page, and returns how many samples it has. `now` is for the age of series; without it none is stale.
pub fn put_page(parts: &Parts<'_>, settings: &PageSettings, now: Option<EventTime>, out: &mut Vec<u8>) -> u64 {
    let mut page = Page::new(settings, now, parts);
    match chosen(parts.signals, settings.max_series) {
        None => parts.signals.iter().for_each(|state| page.all(state)),
        Some((chosen, left_out)) => {
            page.left_out = left_out;
            parts.signals.iter().zip(chosen).for_each(|(state, keys)| page.those(state, &keys));
        }
    }
    page.rest(parts, out)
}

/// Under a state's lock.
fn with<R>(state: &Mutex<ScrapeState>, see: impl FnOnce(&ScrapeState) -> R) -> R {
    see(&state.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Whether a series is of grouping `service`, its errors and requests; its key; number of its state.
type Ranked = ((bool, u64, u64), Reverse<Vec<u8>>, usize);

/// Keys of the series that are shown, by state, and how many are not; nothing when there is room for all.
fn chosen(states: &[Arc<Mutex<ScrapeState>>], most: usize) -> Option<(Vec<BTreeSet<Vec<u8>>>, usize)> {
    let all: usize = states.iter().map(|state| with(state, ScrapeState::len)).sum();
    if all <= most {
        return None;
    }
    // The smallest of those that stay is on top. Ties go to the smaller key, whatever the order.
    let mut stay: BinaryHeap<Reverse<Ranked>> = BinaryHeap::new();
    let mut seen = 0;
    for (number, state) in states.iter().enumerate() {
        each_series(state, &mut |key, series| {
            seen += 1;
            let rank = (series.service_labels().is_some(), series.errors(), series.requests);
            let beaten = |Reverse((least, Reverse(held), _)): &Reverse<Ranked>| (*least, Reverse(held.as_slice())) > (rank, Reverse(key));
            if stay.len() >= most && stay.peek().is_some_and(beaten) {
                return;
            }
            stay.push(Reverse((rank, Reverse(key.to_vec()), number)));
            if stay.len() > most {
                stay.pop();
            }
        });
    }
    let mut keys = vec![BTreeSet::new(); states.len()];
    let left_out = seen - stay.len();
    for Reverse((_, Reverse(key), number)) in stay {
        if let Some(keys) = keys.get_mut(number) {
            keys.insert(key);
        }
    }
    Some((keys, left_out))
}

/// Looks at the series of a state, a chunk under each lock.
fn each_series(state: &Mutex<ScrapeState>, visit: &mut dyn FnMut(&[u8], &Series)) {
    let mut last: Option<Vec<u8>> = None;
    loop {
        let next = with(state, |state| {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut held = None;
            for (key, series) in state.series.range::<[u8], _>((from, Bound::Unbounded)).take(CHUNK) {
                visit(key, series);
                held = Some(key);
            }
            held.cloned()
        });
        match next {
            Some(key) => last = Some(key),
            None => return,
        }
    }
}

struct Page<'a> {
    writer: Writer,
    settings: &'a PageSettings,
    now: Option<EventTime>,
    bounds: Vec<(f64, Cow<'static, str>)>,
    /// Late ledgers that have not been shown yet: by series key, labels, count and when it began.
    ledgers: BTreeMap<Vec<u8>, (Box<str>, u64, i64)>,
    /// End of the newest window, and the lowest completeness of its results.
    completeness: Option<(EventTime, Completeness)>,
    /// By labels of the service, and the label that was replaced.
    overflow: BTreeMap<(String, String), u64>,
    left_out: usize,
}

impl<'a> Page<'a> {
    fn new(settings: &'a PageSettings, now: Option<EventTime>, parts: &Parts<'_>) -> Self {
        let mut writer = Writer::new(settings.format);
        for (name, kind, help) in FAMILIES {
            writer.family(name, kind, help);
        }
        let mut ledgers = BTreeMap::new();
        for state in parts.late {
            each_series(state, &mut |key, series| {
                let labels = series.service_labels().unwrap_or_default().into();
                ledgers.insert(key.to_vec(), (labels, series.late_ledger, series.created));
            });
        }
        let bounds = BOUNDS.iter().map(|(micros, text)| (*micros as f64 / 1e6, Cow::Borrowed(*text))).collect();
        Self { writer, settings, now, bounds, ledgers, completeness: None, overflow: BTreeMap::new(), left_out: 0 }
    }

    fn all(&mut self, state: &Mutex<ScrapeState>) {
        let mut last: Option<Vec<u8>> = None;
        loop {
            let from = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
            let mut copies = with(state, |state| {
                let next = state.series.range::<[u8], _>((from, Bound::Unbounded)).take(CHUNK);
                next.map(|(key, series)| (key.clone(), series.clone())).collect::<Vec<_>>()
            });
            copies.iter().for_each(|(key, series)| self.series(key, series));
            match copies.pop() {
                Some((key, _)) => last = Some(key),
                None => return,
            }
        }
    }

    fn those(&mut self, state: &Mutex<ScrapeState>, keys: &BTreeSet<Vec<u8>>) {
        let mut keys = keys.iter().peekable();
        while keys.peek().is_some() {
            let copies = with(state, |state| {
                let next = keys.by_ref().take(CHUNK);
                next.filter_map(|key| Some((key, state.series.get(key)?.clone()))).collect::<Vec<_>>()
            });
            copies.iter().for_each(|(key, series)| self.series(key, series));
        }
    }

    /// Everything that one series shows.
    fn series(&mut self, key: &[u8], series: &Series) {
        // The first text of a key.
        let tenant = key.split(|b| *b == 0).next().and_then(|bytes| std::str::from_utf8(bytes).ok());
        let tenant = tenant.filter(|_| self.settings.tenant_label);
        self.writer.series(tenant, &series.labels);
        self.counters(series);
        self.durations(series);
        self.gauges(series);
        self.overflows(series);
        if let Some(labels) = series.service_labels() {
            let ledger = self.ledgers.remove(key).map_or(series.late_ledger, |(_, count, _)| count);
            self.writer.series(tenant, labels);
            self.of_service(series, ledger);
        }
        self.compatible(tenant, series);
    }

    fn count(&mut self, of: Of, more: &[(&str, &str)], count: u64, created: i64) {
        self.writer.number(of as usize, more, Number::Count(count), Some(created));
    }

    fn gauge(&mut self, of: Of, more: &[(&str, &str)], value: f64) {
        self.writer.number(of as usize, more, Number::Float(value), None);
    }

    fn counters(&mut self, series: &Series) {
        let created = series.created;
        self.count(Of::Requests, &[], series.requests, created);
        self.count(Of::Errors, &[], 0, created);
        for (name, count) in &series.error_types {
            self.count(Of::Errors, &[("error_type", name)], *count, created);
        }
        if series.other_types > 0 {
            // A series that overflows itself says so already.
            let twice = series.labels.contains("otel_metric_overflow=");
            let all = [("error_type", OVERFLOW), ("otel_metric_overflow", "true")];
            self.count(Of::Errors, if twice { &all[..1] } else { &all }, series.other_types, created);
        }
        self.count(Of::Ignored, &[], series.ignored, created);
    }

    fn durations(&mut self, series: &Series) {
        for (outcome, is_error) in [("ok", false), ("error", true)] {
            self.histogram(Of::Durations, &[("outcome", outcome)], series, is_error);
        }
    }

    fn histogram(&mut self, of: Of, more: &[(&str, &str)], series: &Series, is_error: bool) {
        let durations: &Durations = if is_error { &series.error } else { &series.ok };
        if durations.count() == 0 {
            return;
        }
        let distribution = Distribution {
            bounds: &self.bounds,
            counts: &durations.buckets,
            sum: durations.sum_ns as f64 / 1e9,
            created: Some(series.created),
            example: series.newest.as_ref().and_then(|newest| newest.example(is_error)),
            native: Some(&durations.native),
        };
        self.writer.histogram(of as usize, more, &distribution);
    }

    fn gauges(&mut self, series: &Series) {
        let Some(newest) = &series.newest else { return };
        let stale = self.now.is_some_and(|now| is_stale(now, newest.window, self.settings.stale_after_nanos));
        if let Some(level) = newest.health {
            let level = level.filter(|_| !stale);
            if let Some(level) = level {
                self.gauge(Of::Level, &[], f64::from(level.number()));
            }
            let current = level.map_or(UNKNOWN, Level::name);
            for state in Level::ALL.map(Level::name).into_iter().chain([UNKNOWN]) {
                self.gauge(Of::State, &[("state", state)], f64::from(u8::from(state == current)));
            }
        }
        if stale {
            return;
        }
        if let Some(ratio) = availability::ratio(newest.requests, newest.errors) {
            self.gauge(Of::Availability, &[], ratio);
        }
        if let Some((resource, ratio)) = newest.saturation() {
            self.gauge(Of::Saturation, &[("resource", resource.name())], ratio);
        }
        for (resource, ratio) in newest.utilizations() {
            self.gauge(Of::Utilization, &[("resource", resource.name())], ratio);
        }
        if self.settings.quantiles {
            for (place, nanos) in &newest.quantiles {
                if let Some(quantile) = QUANTILE_LABELS.get(usize::from(*place)) {
                    self.gauge(Of::Quantile, &[("quantile", quantile)], *nanos as f64 / 1e9);
                }
            }
        }
        let (end, seen) = (newest.window.end, newest.completeness);
        self.completeness = Some(match self.completeness {
            Some((newer, lowest)) if newer > end => (newer, lowest),
            Some((same, lowest)) if same == end => (end, lowest.min(seen)),
            _ => (end, seen),
        });
    }

    fn overflows(&mut self, series: &Series) {
        let fresh = |newest: &Newest| {
            newest.requests > 0 && !self.now.is_some_and(|now| is_stale(now, newest.window, self.settings.stale_after_nanos))
        };
        if !series.labels.contains("otel_metric_overflow=") || !series.newest.as_ref().is_some_and(fresh) {
            return;
        }
        let mut service = Labels::default();
        let mut replaced = None;
        labels::each(&series.labels, |name, value| {
            if name == "service_name" || name == "service_namespace" {
                service.put(name, value);
            }
            if replaced.is_none() && value.starts_with(OVERFLOW) {
                replaced = Some(name.to_owned());
            }
        });
        if let Some(label) = replaced {
            *self.overflow.entry((service.text().into(), label)).or_default() += 1;
        }
    }

    /// Counters of a whole service, whose labels the writer has.
    fn of_service(&mut self, series: &Series, ledger: u64) {
        if let Some(Newest { rule: (version, sha256), .. }) = &series.newest {
            self.gauge(Of::Rule, &[("revision", itoa::Buffer::new().format(*version)), ("sha256", sha256)], 1.0);
        }
        for (disposition, count) in [("merged", series.late_merged), ("ledger", ledger)] {
            self.count(Of::Late, &[("disposition", disposition)], count, series.created);
        }
        self.count(Of::Corrections, &[], series.corrections, series.created);
        self.count(Of::Clamped, &[], series.clamped, series.created);
    }

    /// What belongs to no series, and other families.
    fn rest(mut self, parts: &Parts<'_>, out: &mut Vec<u8>) -> u64 {
        for (_, (labels, count, created)) in std::mem::take(&mut self.ledgers) {
            self.writer.series(None, &labels);
            self.count(Of::Late, &[("disposition", "ledger")], count, created);
        }
        for ((service, label), count) in std::mem::take(&mut self.overflow) {
            self.writer.series(None, &service);
            self.gauge(Of::Overflow, &[("label", &label)], count as f64);
        }
        self.writer.series(None, "");
        if let Some((_, lowest)) = self.completeness {
            self.gauge(Of::Completeness, &[], lowest.ratio());
        }
        self.gauge(Of::LeftOut, &[], self.left_out as f64);
        self.detection(parts);
        parts.others.iter().for_each(|family| self.writer.plain(family));
        self.writer.finish(out)
    }

    /// How long levels that rose took to be told, over all partitions; nothing before the first window was judged.
    fn detection(&mut self, parts: &Parts<'_>) {
        let (mut counts, mut sum_ns, mut created) = ([0_u64; DETECTION.len() + 1], 0_u128, None);
        for state in parts.signals {
            let of = with(state, |state| state.detection.clone());
            counts.iter_mut().zip(of.counts).for_each(|(sum, count)| *sum = sum.saturating_add(count));
            sum_ns = sum_ns.saturating_add(of.sum_ns);
            created = created.into_iter().chain(of.created).min();
        }
        let Some(created) = created else { return };
        let bounds: Vec<_> = DETECTION.iter().map(|bound| (f64::from(*bound), Cow::Owned(format!("{bound}.0")))).collect();
        let all = Distribution {
            bounds: &bounds,
            counts: &counts,
            sum: sum_ns as f64 / 1e9,
            created: Some(created),
            example: None,
            native: None,
        };
        self.writer.histogram(Of::Detection as usize, &[("stage", "total")], &all);
    }

    /// The series once more under names of others.
    fn compatible(&mut self, tenant: Option<&str>, series: &Series) {
        self.settings.compatibility.each(series, &mut |renamed| {
            let (calls, durations) = match renamed.tool {
                Tool::HttpServer => (None, Of::HttpServer),
                Tool::RpcServer => (None, Of::RpcServer),
                Tool::Spanmetrics => (Some(Of::SpanmetricsCalls), Of::SpanmetricsLatency),
                Tool::SpanMetrics => (Some(Of::SpanMetricsCalls), Of::SpanMetricsDuration),
            };
            let mut labels = Labels::default();
            renamed.labels.iter().for_each(|(name, value)| labels.put(name, value));
            self.writer.series(tenant, &labels.text());
            if let Some(calls) = calls {
                self.count(calls, renamed.outcome, renamed.calls, series.created);
            }
            self.histogram(durations, renamed.outcome, series, renamed.is_error);
        });
    }
}

impl Newest {
    /// A sampled trace of an outcome.
    pub(super) fn example(&self, is_error: bool) -> Option<Example> {
        let shown = |shown: Shown| Example { trace_id: shown.trace_id, duration: shown.duration, at: shown.event_time };
        [self.exemplar, self.error_exemplar].into_iter().flatten().find(|shown| shown.error == is_error).map(shown)
    }
}
