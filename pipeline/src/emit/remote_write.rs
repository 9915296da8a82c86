//! Prometheus remote write, versions 1.0 and 2.0: samples of a window as requests, ready to be sent.
//!
//! A series of ours becomes several of Prometheus': one for each metric, error type, outcome and bucket. Labels are sorted; timestamps are
//! ends of windows, in ms. A counter that is new has a zero at the start of its window before its first sample, so that the first increase
//! is seen; what has no value any more gets Prometheus' stale marker. 2.0 carries start timestamps, exemplars, types, helps and units as
//! well; 1.0 does not know of most of these. Nothing is sent here, and answers are understood elsewhere (`answer.rs`).

/// The messages of both versions.
pub mod messages;

use crate::emit::exponential::{Exponential, Native};
use crate::emit::prometheus::Compatibility;
use crate::emit::prometheus::families::Family;
use crate::emit::prometheus::points::{Buckets, Entry, Kind, Point, Trace, Value};
use crate::emit::scrape::push::Samples;
use messages::{v1, v2};
use platform_core::map::Map;
use platform_core::metric;
use platform_core::time::EventTime;
use prost::Message as _;
use std::collections::BTreeMap;

/// What says that a series has ended: a NaN with these bits.
pub const STALE: u64 = 0x7ff0_0000_0000_0002;

/// What a receiver gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Histograms with fixed buckets, one series each.
    pub classic: bool,
    /// Native histograms.
    pub native: bool,
    /// Labels that every series gets, as `cluster`.
    pub labels: BTreeMap<String, String>,
    /// Names of other tools.
    pub compatibility: Compatibility,
}

impl Default for Shown {
    fn default() -> Self {
        Self { classic: true, native: true, labels: BTreeMap::new(), compatibility: Compatibility::default() }
    }
}

/// A request of version 2.0, compressed, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// To be sent as it is.
    pub body: Vec<u8>,
    /// What the receiver should say that it has written.
    pub content: Content,
}

/// What is in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Samples, zeros and stale markers included.
    pub samples: u64,
    /// Samples that are native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

/// One series of Prometheus, with what happened to it in this window.
struct Line<'a> {
    family: &'static Family,
    /// Sorted.
    labels: &'a [(&'a str, &'a str)],
    body: Body<'a>,
    /// Since when it counts, ms; 0 for gauges.
    start: i64,
    trace: Option<Trace>,
}

enum Body<'a> {
    /// Value and ms, ascending.
    Plain(&'a [(f64, i64)]),
    /// Native histograms; `None` is the stale marker.
    Native(&'a [(Option<Buckets<'a>>, i64)]),
}

/// The requests of a chunk in version 2.0: one.
#[must_use]
pub fn encode_v2(samples: &Samples, shown: &Shown) -> Request {
    let mut symbols = Symbols::new();
    let mut content = Content::default();
    let mut timeseries = Vec::new();
    lines(samples, shown, &mut |line| {
        let mut series = v2::TimeSeries::default();
        series.labels_refs.reserve(line.labels.len() * 2);
        for (name, value) in line.labels {
            series.labels_refs.extend([symbols.of(name), symbols.of(value)]);
        }
        match line.body {
            Body::Plain(plain) => {
                series.samples.extend(plain.iter().map(|(value, at)| v2::Sample {
                    value: *value,
                    timestamp: *at,
                    start_timestamp: line.start,
                }));
            }
            Body::Native(natives) => {
                series.histograms.extend(natives.iter().map(|(buckets, at)| native(buckets.as_ref(), *at, line.start)));
            }
        }
        if let Some(trace) = line.trace {
            series.exemplars.push(v2::Exemplar {
                labels_refs: vec![symbols.of("trace_id"), symbols.of(&trace_id(trace))],
                value: trace.duration as f64 / 1e9,
                timestamp: millis(trace.at),
            });
        }
        let r#type = match line.family.kind {
            metric::Kind::Counter => v2::COUNTER,
            metric::Kind::Gauge => v2::GAUGE,
            metric::Kind::Histogram => v2::HISTOGRAM,
        };
        // Units as Prometheus writes them: words, and only where the name ends with one.
        let unit = if line.family.unit == "s" { "seconds" } else { "" };
        series.metadata = Some(v2::Metadata { r#type, help_ref: symbols.of(line.family.help), unit_ref: symbols.of(unit) });
        content.samples += series.samples.len() as u64;
        content.histograms += series.histograms.len() as u64;
        content.exemplars += series.exemplars.len() as u64;
        timeseries.push(series);
    });
    Request { body: compressed(&v2::Request { symbols: symbols.list, timeseries }.encode_to_vec()), content }
}

/// The series of a chunk in version 1.0, to be put into requests as the receiver takes them (`pack_v1`).
#[must_use]
pub fn encode_v1(samples: &Samples, shown: &Shown) -> Vec<v1::TimeSeries> {
    let mut all = Vec::new();
    let label = |name: &str, value: &str| v1::Label { name: name.to_owned(), value: value.to_owned() };
    lines(samples, shown, &mut |line| {
        let labels = line.labels.iter().map(|(name, value)| label(name, value)).collect();
        let mut series = v1::TimeSeries { labels, ..v1::TimeSeries::default() };
        match line.body {
            Body::Plain(plain) => {
                series.samples.extend(plain.iter().map(|(value, at)| v1::Sample { value: *value, timestamp: *at }));
            }
            Body::Native(natives) => {
                // Version 1.0 has no start times; its other fields are the same.
                series.histograms.extend(natives.iter().map(|(buckets, at)| native(buckets.as_ref(), *at, 0)));
            }
        }
        if let Some(trace) = line.trace {
            let labels = vec![label("trace_id", &trace_id(trace))];
            series.exemplars.push(v1::Exemplar { labels, value: trace.duration as f64 / 1e9, timestamp: millis(trace.at) });
        }
        all.push(series);
    });
    all
}

/// A request of version 1.0, compressed.
#[must_use]
pub fn pack_v1(series: &[v1::TimeSeries]) -> Vec<u8> {
    compressed(&v1::WriteRequest { timeseries: series.to_vec() }.encode_to_vec())
}

fn compressed(plain: &[u8]) -> Vec<u8> {
    // It fails above 4 GiB only, and chunks are a thousand times smaller.
    snap::raw::Encoder::new().compress_vec(plain).unwrap_or_default()
}

fn trace_id(trace: Trace) -> String {
    format!("{:032x}", trace.id)
}

fn millis(time: EventTime) -> i64 {
    time.0.div_euclid(1_000_000)
}

/// Walks all series of Prometheus of a chunk.
fn lines(samples: &Samples, shown: &Shown, put: &mut dyn FnMut(Line<'_>)) {
    for entry in &samples.entries {
        let labels = entry.labels();
        let own: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let common = with_given(&own, shown);
        let times = Times::of(samples, entry);
        entry.points(samples.window, &mut |point| point_lines(&point, &common, &times, shown, put));
        entry.renamed(samples.window, shown.compatibility, &mut |own, point| {
            point_lines(&point, &with_given(own, shown), &times, shown, put);
        });
    }
}

/// Labels of a series and those that are set for all. A dimension may have the name of one that is set: what the series says of itself stays,
/// since a name twice is refused.
fn with_given<'a>(own: &[(&'a str, &'a str)], shown: &'a Shown) -> Vec<(&'a str, &'a str)> {
    let given = shown.labels.iter().filter(|(name, _)| !own.iter().any(|(own, _)| own == name));
    own.iter().copied().chain(given.map(|(name, value)| (name.as_str(), value.as_str()))).collect()
}

/// When an entry's samples are, ms.
struct Times {
    ended: bool,
    start: i64,
    zero: i64,
    at: i64,
}

impl Times {
    fn of(samples: &Samples, entry: &Entry) -> Self {
        let window = samples.window;
        let ended = entry.kind() == Kind::Ended;
        // An earlier beginning may have had its last sample right at the start of this window, and an ended series may come back in
        // the next window, whose start is the end of this one.
        let after = |moment: bool| millis(window.start) + i64::from(moment);
        let at = if ended { after(true) } else { millis(window.end) };
        Self { ended, start: millis(entry.start()), zero: after(samples.incarnation > 1), at }
    }
}

fn point_lines(point: &Point<'_>, common: &[(&str, &str)], times: &Times, shown: &Shown, put: &mut dyn FnMut(Line<'_>)) {
    let Times { ended, start, zero, at } = *times;
    let stale = f64::from_bits(STALE);
    let mut line = |suffix: &str, more: Option<(&str, &str)>, body: Body<'_>, start: i64, trace: Option<Trace>| {
        let name = [point.family.name, suffix].concat();
        let own = point.labels.iter().copied().chain(more);
        let common = common.iter().copied().filter(|(name, _)| !(point.of_service && *name == "grouping"));
        let mut labels: Vec<(&str, &str)> = [("__name__", name.as_str())].into_iter().chain(common).chain(own).collect();
        labels.sort_unstable();
        put(Line { family: point.family, labels: &labels, body, start, trace });
    };
    // A counter's samples of this window: up to two.
    let counted = |value: f64| if ended { [(stale, at); 2] } else { [(0.0, zero), (value, at)] };
    let from = usize::from(ended || !point.fresh);
    match point.value {
        Value::Count(count) => line("", None, Body::Plain(counted(count as f64).get(from..).unwrap_or_default()), start, None),
        Value::Number(number) => line("", None, Body::Plain(&[(if ended { stale } else { number }, at)]), 0, None),
        Value::Absent => line("", None, Body::Plain(&[(stale, at)]), 0, None),
        Value::Durations(buckets) => {
            if shown.classic {
                let mut below = 0_u64;
                let bounds = Buckets::BOUNDS.iter().map(|(micros, text)| (*micros, *text)).chain([(u64::MAX, "+Inf")]);
                let mut trace = point.trace.filter(|_| !ended);
                for ((micros, bound), count) in bounds.zip(buckets.counts) {
                    below = below.saturating_add(*count);
                    let here = trace.take_if(|trace| trace.duration.div_ceil(1000) <= micros);
                    let body = counted(below as f64);
                    line("_bucket", Some(("le", bound)), Body::Plain(body.get(from..).unwrap_or_default()), start, here);
                }
                let sum = counted(buckets.sum_seconds());
                line("_sum", None, Body::Plain(sum.get(from..).unwrap_or_default()), start, None);
                let count = counted(below as f64);
                line("_count", None, Body::Plain(count.get(from..).unwrap_or_default()), start, None);
            }
            if shown.native {
                // At the finest scale: a receiver takes a scale that rises for a reset.
                let nothing = Exponential::default();
                let nothing = Buckets { counts: &[], sum_ns: 0, native: &nothing };
                let both = if ended { [(None, at); 2] } else { [(Some(nothing), zero), (Some(buckets), at)] };
                let trace = point.trace.filter(|_| !ended);
                line("", None, Body::Native(both.get(from..).unwrap_or_default()), start, trace);
            }
        }
    }
}

/// A native histogram; of nothing, a stale marker.
fn native(buckets: Option<&Buckets<'_>>, timestamp: i64, start_timestamp: i64) -> v2::Histogram {
    let Some(buckets) = buckets else {
        return v2::Histogram { sum: f64::from_bits(STALE), timestamp, start_timestamp, ..v2::Histogram::default() };
    };
    let mut spans = Native::default();
    buckets.native.native(&mut spans);
    v2::Histogram {
        count_int: Some(buckets.native.count()),
        sum: buckets.sum_seconds(),
        schema: buckets.native.scale(),
        zero_count_int: Some(buckets.native.zero_count()),
        positive_spans: spans.spans.iter().map(|(offset, length)| v2::BucketSpan { offset: *offset, length: *length }).collect(),
        positive_deltas: spans.deltas,
        timestamp,
        start_timestamp,
        ..v2::Histogram::default()
    }
}

/// Every text once; number 0 is the empty one.
struct Symbols {
    list: Vec<String>,
    known: Map<Box<str>, u32>,
}

impl Symbols {
    fn new() -> Self {
        Self { list: vec![String::new()], known: [("".into(), 0)].into_iter().collect() }
    }

    fn of(&mut self, text: &str) -> u32 {
        if let Some(number) = self.known.get(text) {
            return *number;
        }
        let number = self.list.len() as u32;
        self.list.push(text.to_owned());
        self.known.insert(text.into(), number);
        number
    }
}

#[cfg(test)]
mod tests;
