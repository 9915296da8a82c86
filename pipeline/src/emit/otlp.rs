//! OTLP metrics: samples of a window as an export request: sums, gauges and exponential histograms with their start times.
//!
//! Names, units and attributes are OpenTelemetry's (SIGNALS §9). Counters are totals since their start, or on request what
//! came since the last point. A total that is new has a zero point at its start, so that a receiver
//! that looks at differences sees its first growth; what has no value any more gets a point that says so. Nothing is sent here.

/// The messages.
pub mod messages;

use crate::emit::exponential::MAX_SCALE;
use crate::emit::prometheus::Compatibility;
use crate::emit::prometheus::families::Family;
use crate::emit::prometheus::points::{Entry, Kind, Point, Trace, Value};
use crate::emit::scrape::push::{MOMENT, Samples};
use messages::{
    AnyValue, CUMULATIVE, Counts, DELTA, Exemplar, ExponentialPoint, Exponentials, KeyValue, Metric, NO_RECORDED_VALUE, NumberPoint,
    Numbers, Request, Resource, ResourceMetrics, Scope, ScopeMetrics, Sum,
};
use platform_core::metric;
use platform_core::time::EventTime;
use prost::Message as _;
use std::collections::BTreeMap;

/// Attributes of labels that are more than their dots.
const ATTRIBUTES: [(&str, &str); 18] = [
    ("service_name", "service.name"),
    ("service_namespace", "service.namespace"),
    ("service_version", "service.version"),
    ("deployment_environment_name", "deployment.environment.name"),
    ("cloud_region", "cloud.region"),
    ("cloud_availability_zone", "cloud.availability_zone"),
    ("k8s_cluster_name", "k8s.cluster.name"),
    ("k8s_namespace_name", "k8s.namespace.name"),
    ("k8s_deployment_name", "k8s.deployment.name"),
    ("http_request_method", "http.request.method"),
    ("http_route", "http.route"),
    ("rpc_method", "rpc.method"),
    ("server_address", "server.address"),
    ("error_type", "error.type"),
    ("span_name", "span.name"),
    ("span_kind", "span.kind"),
    ("status_code", "status.code"),
    ("otel_metric_overflow", "otel.metric.overflow"),
];

/// What points of counters and histograms are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporality {
    /// Totals since their start.
    #[default]
    Cumulative,
    /// What came since the last point. The samples must be able to tell it (`Push::with_growth`, `Samples::growth`).
    Delta,
}

/// The request of a chunk, and the number of points in it. `names`: of other tools, beside our own.
#[must_use]
pub fn encode(samples: &Samples, temporality: Temporality, names: Compatibility) -> (Vec<u8>, u64) {
    let mut metrics = Metrics { temporality, ..Metrics::default() };
    for entry in &samples.entries {
        let common: Vec<KeyValue> = entry.labels().iter().map(|(name, value)| attribute(name, value)).collect();
        let times = Times::of(samples, entry);
        entry.points(samples.window, &mut |point| metrics.add(&point, &common, &times));
        entry.renamed(samples.window, names, &mut |labels, point| {
            let labels: Vec<KeyValue> = labels.iter().map(|(name, value)| attribute(name, value)).collect();
            metrics.add(&point, &labels, &times);
        });
    }
    let points = metrics.points;
    let scope = Scope { name: "golden-signals".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope), metrics: metrics.by_name.into_values().collect() }];
    let resource = Resource { attributes: vec![attribute("service_name", "golden-signals")] };
    let request = Request { resource_metrics: vec![ResourceMetrics { resource: Some(resource), scope_metrics }] };
    (request.encode_to_vec(), points)
}

/// When an entry's points are, ns.
struct Times {
    ended: bool,
    start: u64,
    zero: u64,
    at: u64,
}

impl Times {
    /// As in remote write, for the same reasons.
    fn of(samples: &Samples, entry: &Entry) -> Self {
        let ended = entry.kind() == Kind::Ended;
        let begin = nanos(samples.window.start);
        let moment = MOMENT as u64;
        let zero = begin + if samples.incarnation > 1 { moment } else { 0 };
        Self { ended, start: nanos(entry.start()), zero, at: if ended { begin + moment } else { nanos(samples.window.end) } }
    }
}

/// Before 1970 nothing can be said.
fn nanos(time: EventTime) -> u64 {
    u64::try_from(time.0).unwrap_or(0)
}

fn attribute(label: &str, value: &str) -> KeyValue {
    let key = ATTRIBUTES.iter().find(|(name, _)| *name == label).map_or(label, |(_, key)| key);
    KeyValue { key: key.to_owned(), value: Some(AnyValue { string: Some(value.to_owned()) }) }
}

#[derive(Default)]
struct Metrics {
    by_name: BTreeMap<&'static str, Metric>,
    points: u64,
    temporality: Temporality,
}

impl Metrics {
    fn add(&mut self, point: &Point<'_>, common: &[KeyValue], times: &Times) {
        let common = || common.iter().filter(|pair| !(point.of_service && pair.key == "grouping")).cloned();
        let attributes = || common().chain(point.labels.iter().map(|(name, value)| attribute(name, value))).collect();
        let none = if times.ended { NO_RECORDED_VALUE } else { 0 };
        let number = |start, time| NumberPoint { start, time, attributes: attributes(), flags: none, ..NumberPoint::default() };
        let delta = self.temporality == Temporality::Delta;
        let zero = point.fresh && !times.ended && !delta;
        let metric = self.by_name.entry(point.family.otel).or_insert_with(|| empty(point.family, if delta { DELTA } else { CUMULATIVE }));
        let mut added = 0;
        match (&point.value, &mut metric.sum, &mut metric.gauge, &mut metric.exponential) {
            (Value::Count(count), Some(sum), ..) => {
                if zero {
                    sum.points.push(NumberPoint { int: Some(0), ..number(times.start, times.zero) });
                    added += 1;
                }
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                sum.points.push(NumberPoint { int: Some(count).filter(|_| !times.ended), ..number(times.start, times.at) });
                added += 1;
            }
            (Value::Number(value), _, Some(gauge), _) => {
                gauge.points.push(NumberPoint { double: Some(*value).filter(|_| !times.ended), ..number(0, times.at) });
                added += 1;
            }
            (Value::Absent, _, Some(gauge), _) => {
                gauge.points.push(NumberPoint { flags: NO_RECORDED_VALUE, ..number(0, times.at) });
                added += 1;
            }
            (Value::Durations(buckets), _, _, Some(histogram)) => {
                let empty = |time| ExponentialPoint {
                    attributes: attributes(),
                    start: times.start,
                    time,
                    flags: none,
                    ..ExponentialPoint::default()
                };
                if zero {
                    // At the finest scale: a receiver takes a scale that rises for a reset.
                    histogram.points.push(ExponentialPoint { sum: Some(0.0), scale: i32::from(MAX_SCALE), ..empty(times.zero) });
                    added += 1;
                }
                let mut last = empty(times.at);
                if !times.ended {
                    let native = buckets.native;
                    last.count = native.count();
                    last.sum = Some(buckets.sum_seconds());
                    last.scale = native.scale();
                    last.zero_count = native.zero_count();
                    last.positive = Some(Counts { offset: native.offset(), counts: native.bucket_counts().to_vec() });
                    last.exemplars = point.trace.map(exemplar).into_iter().collect();
                }
                histogram.points.push(last);
                added += 1;
            }
            // A family has values of its own sort only.
            _ => {}
        }
        self.points += added;
    }
}

fn empty(family: &Family, temporality: i32) -> Metric {
    let mut metric =
        Metric { name: family.otel.to_owned(), description: family.help.to_owned(), unit: family.unit.to_owned(), ..Metric::default() };
    match family.kind {
        metric::Kind::Counter => metric.sum = Some(Sum { points: vec![], temporality, is_monotonic: true }),
        metric::Kind::Gauge => metric.gauge = Some(Numbers::default()),
        metric::Kind::Histogram => metric.exponential = Some(Exponentials { points: vec![], temporality }),
    }
    metric
}

fn exemplar(trace: Trace) -> Exemplar {
    Exemplar { time: nanos(trace.at), double: Some(trace.duration as f64 / 1e9), trace_id: trace.id.to_be_bytes().to_vec() }
}

#[cfg(test)]
mod tests;
