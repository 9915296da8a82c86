//! The counters of a series as points of time, for outputs that push: every metric of the page once more, but at the end of a window
//! instead of now, with what changed since the last sample, and without text.
//!
//! An `Entry` is a series as it stood when a window was done; `Entry::points` walks its metrics, and `Entry::renamed` those that go by the names
//! of other tools. No protocol is known here.
//!
//! What a page can leave out, a pushed series must say: a gauge that has no value any more is `Value::Absent`, a counter that is new is
//! `fresh` (a zero belongs before its first sample), and a series that ended is an entry of kind `Ended`.

use super::compatible::{Compatibility, Tool};
use super::families::{
    AVAILABILITY, CLAMPED, CORRECTIONS, DURATION, ERRORS, Family, HTTP_SERVER, IGNORED, LATE, LEVEL, REQUESTS, RPC_SERVER, RULE,
    SATURATION, SPAN_METRICS_CALLS, SPAN_METRICS_DURATION, SPANMETRICS_CALLS, SPANMETRICS_LATENCY, STATE, UTILIZATION,
};
use super::{BOUNDS, Durations, ScrapeState, Series, labels};
use crate::emit::exponential::Exponential;
use crate::emit::record::OVERFLOW;
use crate::signal::availability;
use crate::signal::health::{Level, UNKNOWN};
use platform_core::codec::{self, CodecError, Cursor};
use platform_core::time::EventTime;
use platform_core::window::Window;

/// Labels: name and value of each.
pub type Pairs<'a> = [(&'a str, &'a str)];

/// Why there is an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something came for the series.
    Sample,
    /// Nothing came for so long that the series ends.
    Ended,
    /// Something came, but only its gauges are told; its counters are with the next window.
    Gauges,
}

/// A series as it stood when a window was done.
#[derive(Debug)]
pub struct Entry {
    kind: Kind,
    /// Since when its counters count.
    start: EventTime,
    before: Shape,
    series: Series,
    /// Its last sample and when that was, where growth is asked for and there was one.
    last: Option<(EventTime, Series)>,
}

/// A sample that was made: its time, and the series' kept form then, or nothing where growth is not asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last {
    /// End of its window.
    pub end: EventTime,
    /// The kept form.
    pub series: Vec<u8>,
}

/// Which counters of a series there were at its last sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// There was a sample at all.
    any: bool,
    other_types: bool,
    ok: bool,
    error: bool,
    /// Names ascending.
    types: Vec<Box<str>>,
}

/// A value of a metric.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// Of a counter.
    Count(u64),
    /// Of a gauge.
    Number(f64),
    /// Of a gauge that has no value at this window.
    Absent,
    /// Of a histogram.
    Durations(Buckets<'a>),
}

/// A histogram that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Buckets<'a> {
    /// Counts, not cumulative; the last one is of what lies above all bounds.
    pub counts: &'a [u64],
    /// Exact, ns.
    pub sum_ns: u128,
    /// The same counts in exponential buckets.
    pub native: &'a Exponential,
}

impl Buckets<'_> {
    /// Upper bounds in µs, and in s as labels have them.
    pub const BOUNDS: &'static [(u64, &'static str)] = &BOUNDS;

    /// All of them.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().fold(0, u64::saturating_add)
    }

    /// Exact to a double, s.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

/// A sampled trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its id.
    pub id: u128,
    /// Its duration, ns.
    pub duration: u64,
    /// When it happened.
    pub at: EventTime,
}

/// One metric of a series.
#[derive(Clone, Copy, Debug)]
pub struct Point<'a> {
    /// Which one.
    pub family: &'static Family,
    /// Labels beside those of the series.
    pub labels: &'a Pairs<'a>,
    /// It is about the service as a whole: without the series' label `grouping`.
    pub of_service: bool,
    /// Its value at the end of the window.
    pub value: Value<'a>,
    /// It is a counter that had no sample before.
    pub fresh: bool,
    /// An example, for histograms.
    pub trace: Option<Trace>,
}

impl ScrapeState {
    /// Which counters a series has; none are there when there is no such series.
    pub(in crate::emit) fn shape(&self, key: &[u8]) -> Shape {
        self.series.get(key).map(Shape::of).unwrap_or_default()
    }

    /// Whether there is such a series.
    pub(in crate::emit) fn has(&self, key: &[u8]) -> bool {
        self.series.contains_key(key)
    }

    /// Whether its gauges are of this window.
    pub(in crate::emit) fn is_newest(&self, key: &[u8], window: Window) -> bool {
        let newest = self.series.get(key).and_then(|series| series.newest.as_ref());
        newest.is_some_and(|newest| newest.window == window)
    }

    /// Keys and kept forms of the series that `expire` would drop.
    pub(in crate::emit) fn expiring(&self, end: EventTime) -> Vec<(Vec<u8>, Vec<u8>)> {
        let silent = self.series.iter().filter(|(_, series)| series.last_end < end.0);
        let kept = silent.map(|(key, series)| {
            let mut bytes = Vec::new();
            series.encode(&mut bytes);
            (key.clone(), bytes)
        });
        kept.collect()
    }
}

impl Shape {
    fn of(series: &Series) -> Self {
        Self {
            any: true,
            other_types: series.other_types > 0,
            ok: series.ok.count() > 0,
            error: series.error.count() > 0,
            types: series.error_types.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Whether a sample of a counter is its first one. What ends has had one.
    fn lacks(&self, known: bool, kind: Kind) -> bool {
        kind == Kind::Sample && !(self.any && known)
    }

    /// Appends `flags | names`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let flags = [self.any, self.other_types, self.ok, self.error];
        out.push(flags.iter().enumerate().map(|(bit, set)| u8::from(*set) << bit).sum());
        codec::put_u64(out, self.types.len() as u64);
        self.types.iter().for_each(|name| codec::put_bytes(out, name.as_bytes()));
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes end early.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let flags = from.u8()?;
        let flag = |bit: u8| flags >> bit & 1 != 0;
        let mut shape = Self { any: flag(0), other_types: flag(1), ok: flag(2), error: flag(3), types: vec![] };
        for _ in 0..from.count()? {
            shape.types.push(from.text()?.into());
        }
        Ok(shape)
    }
}

impl Entry {
    /// Appends an entry: `kind | start | shape before | kept form of the series | end and kept form of its last sample`.
    pub fn put(kind: Kind, start: EventTime, before: &Shape, series: &[u8], last: Option<&Last>, out: &mut Vec<u8>) {
        out.push(kind as u8);
        codec::put_i64(out, start.0);
        before.encode(out);
        codec::put_bytes(out, series);
        codec::put_i64(out, last.map_or(0, |last| last.end.0));
        codec::put_bytes(out, last.map_or(&[], |last| &last.series));
    }

    /// Reads what `put` wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let kind = match from.u8()? {
            0 => Kind::Sample,
            1 => Kind::Ended,
            2 => Kind::Gauges,
            kind => return Err(CodecError::Unknown { what: "kind of an entry", value: kind.into() }),
        };
        let start = EventTime(from.i64()?);
        let before = Shape::decode(from)?;
        let series = Series::decode(from.bytes()?)?;
        let (end, last) = (EventTime(from.i64()?), from.bytes()?);
        let last = if last.is_empty() { None } else { Some((end, Series::decode(last)?)) };
        Ok(Self { kind, start, before, series, last })
    }

    /// The same with what its counters have grown by since its last sample, which is then its start.
    #[must_use]
    pub fn growth(mut self) -> Self {
        if let Some((end, last)) = self.last.take() {
            self.start = end;
            self.series = self.series.since(&last);
        }
        self
    }

    /// Why it is there.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Since when its counters count.
    #[must_use]
    pub fn start(&self) -> EventTime {
        self.start
    }

    /// Labels of the series, by name.
    #[must_use]
    pub fn labels(&self) -> Vec<(String, String)> {
        let mut all = Vec::new();
        labels::each(&self.series.labels, |name, value| all.push((name.to_owned(), value.to_owned())));
        all.sort_unstable();
        all
    }

    /// Walks its metrics. Gauges are of the newest window, so there are none when only an earlier one was corrected.
    pub fn points(&self, window: Window, put: &mut dyn FnMut(Point<'_>)) {
        if self.kind != Kind::Gauges {
            self.counters(put);
            self.durations(window, put);
        }
        self.gauges(window, put);
    }

    /// Walks its metrics under the names of other tools, with all labels of their series.
    pub fn renamed(&self, window: Window, names: Compatibility, put: &mut dyn FnMut(&Pairs<'_>, Point<'_>)) {
        if self.kind == Kind::Gauges {
            return;
        }
        names.each(&self.series, &mut |renamed| {
            let (calls, durations) = match renamed.tool {
                Tool::HttpServer => (None, &HTTP_SERVER),
                Tool::RpcServer => (None, &RPC_SERVER),
                Tool::Spanmetrics => (Some(&SPANMETRICS_CALLS), &SPANMETRICS_LATENCY),
                Tool::SpanMetrics => (Some(&SPAN_METRICS_CALLS), &SPAN_METRICS_DURATION),
            };
            if let Some(family) = calls {
                let (value, fresh) = (Value::Count(renamed.calls), self.before.lacks(true, self.kind));
                put(renamed.labels, Point { family, labels: renamed.outcome, of_service: false, value, fresh, trace: None });
            }
            if let Some(point) = self.duration(window, durations, renamed.is_error, renamed.outcome) {
                put(renamed.labels, point);
            }
        });
    }

    fn counters(&self, put: &mut dyn FnMut(Point<'_>)) {
        let (series, before, kind) = (&self.series, &self.before, self.kind);
        let mut count = |family: &'static Family, labels: &[(&str, &str)], count, known: bool| {
            let of_service = [&LATE, &CORRECTIONS, &CLAMPED].contains(&family);
            put(Point { family, labels, of_service, value: Value::Count(count), fresh: before.lacks(known, kind), trace: None });
        };
        count(&REQUESTS, &[], series.requests, true);
        count(&ERRORS, &[], 0, true);
        for (name, errors) in &series.error_types {
            count(&ERRORS, &[("error_type", name)], *errors, before.types.binary_search(name).is_ok());
        }
        if series.other_types > 0 {
            // A series that overflows itself says so already.
            let twice = series.labels.contains("otel_metric_overflow=");
            let all = [("error_type", OVERFLOW), ("otel_metric_overflow", "true")];
            count(&ERRORS, if twice { &all[..1] } else { &all }, series.other_types, before.other_types);
        }
        count(&IGNORED, &[], series.ignored, true);
        if series.service_labels().is_some() {
            count(&LATE, &[("disposition", "merged")], series.late_merged, true);
            count(&CORRECTIONS, &[], series.corrections, true);
            count(&CLAMPED, &[], series.clamped, true);
        }
    }

    fn durations(&self, window: Window, put: &mut dyn FnMut(Point<'_>)) {
        for (outcome, is_error) in [("ok", false), ("error", true)] {
            let labels = [("outcome", outcome)];
            self.duration(window, &DURATION, is_error, &labels).into_iter().for_each(&mut *put);
        }
    }

    /// Durations of one outcome, if there were any.
    fn duration<'a>(&'a self, window: Window, family: &'static Family, is_error: bool, labels: &'a Pairs<'a>) -> Option<Point<'a>> {
        let (durations, known) = if is_error { (&self.series.error, self.before.error) } else { (&self.series.ok, self.before.ok) };
        let newest = self.series.newest.as_ref().filter(|newest| newest.window == window);
        let shown = newest.and_then(|newest| newest.example(is_error));
        let trace = shown.map(|shown| Trace { id: shown.trace_id, duration: shown.duration, at: EventTime(shown.at) });
        let (value, fresh) = (Value::Durations(durations.as_buckets()), self.before.lacks(known, self.kind));
        (durations.count() > 0).then_some(Point { family, labels, of_service: false, value, fresh, trace })
    }

    fn gauges(&self, window: Window, put: &mut dyn FnMut(Point<'_>)) {
        let ended = self.kind == Kind::Ended;
        let Some(newest) = self.series.newest.as_ref().filter(|newest| ended || newest.window == window) else { return };
        let mut gauge = |family: &'static Family, labels: &[(&str, &str)], number: Option<f64>| {
            let value = number.map_or(Value::Absent, Value::Number);
            put(Point { family, labels, of_service: *family == RULE, value, fresh: false, trace: None });
        };
        gauge(&AVAILABILITY, &[], availability::ratio(newest.requests, newest.errors));
        // One sample of saturation, under the resource that it is of now; most services have no resource, and nothing to end.
        let most = newest.saturation().map(|(resource, _)| resource);
        for (resource, ratio) in newest.utilizations() {
            gauge(&SATURATION, &[("resource", resource.name())], (most == Some(resource)).then_some(ratio));
            gauge(&UTILIZATION, &[("resource", resource.name())], Some(ratio));
        }
        if let Some(level) = newest.health {
            gauge(&LEVEL, &[], level.map(|level| f64::from(level.number())));
            let current = level.map_or(UNKNOWN, Level::name);
            for state in Level::ALL.map(Level::name).into_iter().chain([UNKNOWN]) {
                gauge(&STATE, &[("state", state)], Some(f64::from(u8::from(state == current))));
            }
        }
        if self.series.service_labels().is_some() {
            let (version, sha256) = &newest.rule;
            gauge(&RULE, &[("revision", itoa::Buffer::new().format(*version)), ("sha256", sha256)], Some(1.0));
        }
    }
}

impl Series {
    /// What it has above an earlier state of itself; what is no counter stays.
    fn since(&self, last: &Self) -> Self {
        let mut grown = self.clone();
        for (counter, before) in [
            (&mut grown.requests, last.requests),
            (&mut grown.ignored, last.ignored),
            (&mut grown.clamped, last.clamped),
            (&mut grown.late_merged, last.late_merged),
            (&mut grown.corrections, last.corrections),
            (&mut grown.other_types, last.other_types),
        ] {
            *counter = counter.saturating_sub(before);
        }
        for (name, count) in &mut grown.error_types {
            let before = last.error_types.iter().find(|(held, _)| held == name).map_or(0, |(_, before)| *before);
            *count = count.saturating_sub(before);
        }
        for (durations, before) in [(&mut grown.ok, &last.ok), (&mut grown.error, &last.error)] {
            durations.buckets.iter_mut().zip(before.buckets).for_each(|(bucket, before)| *bucket = bucket.saturating_sub(before));
            durations.sum_ns = durations.sum_ns.saturating_sub(before.sum_ns);
            durations.native = durations.native.since(&before.native);
        }
        grown
    }
}

impl Durations {
    fn as_buckets(&self) -> Buckets<'_> {
        Buckets { counts: &self.buckets, sum_ns: self.sum_ns, native: &self.native }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_comes_back() {
        let shape = Shape { any: true, other_types: false, ok: true, error: true, types: vec!["a".into(), "b".into()] };
        let mut bytes = Vec::new();
        shape.encode(&mut bytes);
        assert_eq!(Shape::decode(&mut Cursor::new(&bytes)), Ok(shape));
        assert!(Shape::decode(&mut Cursor::new(&[1, 9])).is_err());
    }
}
