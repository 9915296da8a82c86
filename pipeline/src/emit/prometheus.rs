//! The metrics page: counters and histograms that only grow, and gauges of each series' newest window (SIGNALS §9).
//!
//! The state is a fold over the public records of one partition. A record of an identity that was counted before adds what it has more,
//! so a correction makes counters grow by the late events and nothing is counted twice. Gauges move forward in window time alone: what was
//! shown for a window is never rewritten. State holds integers; it is kept per series (`encode_series`, `load_series`) beside the read
//! position, so that a restart resets no counter. Which records have been applied is the caller's to know.
//!
//! Durations are counted twice: in classic buckets and in an exponential histogram, whose scale only falls. Counters say when they began
//! to count: at the start of the window that brought their series.
//!
//! The page itself is made in `prometheus/page.rs`, series by series, and written in one of three forms by `prometheus/write.rs`.
//!
//! Rules of labels: a series has `grouping`, `service_name`, `service_namespace` unless empty, its dimensions, and `tenant` where the page
//! serves several. Counters of a service (late events, corrections, clamped durations) hang on its series of grouping `service`; they carry
//! the namespace too, since two services may share a name.

use crate::aggregate::{Aggregate, Exemplar, Latency};
use crate::emit::exponential::Exponential;
use crate::emit::read::PublicRecord;
use crate::emit::record::OVERFLOW;
use crate::identity::Identity;
use crate::resource::{Resource, millionths};
use crate::signal::completeness::Completeness;
use crate::signal::health::Level;
use crate::signal::latency::QUANTILES;
use crate::sketch::range_of;
use labels::Labels;
use platform_core::codec::{self, CodecError, Cursor};
use platform_core::time::{AppendTime, EventTime};
use platform_core::window::Window;
use std::collections::BTreeMap;

mod compatible;
/// Metrics by their names.
pub mod families;
mod labels;
mod page;
/// The counters as points of time, for outputs that push.
pub mod points;
mod protobuf;
mod write;

pub use compatible::Compatibility;
pub use labels::is_own_label;
pub use page::{PageSettings, Parts, put_page};
pub use write::Format;

/// Upper bounds of the histogram's buckets, µs, and as labels have them, s, in the form that Prometheus itself gives them. One more bucket
/// has no bound.
const BOUNDS: [(u64, &str); 14] = [
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (75_000, "0.075"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (750_000, "0.75"),
    (1_000_000, "1.0"),
    (2_500_000, "2.5"),
    (5_000_000, "5.0"),
    (7_500_000, "7.5"),
    (10_000_000, "10.0"),
];
/// Buckets of a histogram, the unbounded one included.
const BUCKETS: usize = BOUNDS.len() + 1;
/// Error types counted by name in one series, over all time; first come, since a counter that has been shown must not vanish.
const ERROR_TYPES: usize = 20;
/// The grouping that speaks for a service as a whole.
const SERVICE: &str = "service";
/// First byte of the kept form of a series.
const VERSION: u8 = 2;
/// Upper bounds of the buckets of detection times, s.
const DETECTION: [u32; 15] = [1, 2, 5, 10, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300, 600];

/// Everything one public partition has to show.
#[derive(Clone, Debug, Default)]
pub struct ScrapeState {
    /// By `series_key`.
    series: BTreeMap<Vec<u8>, Series>,
    detection: Detection,
}

/// How long it took until a level that rose was told, from the start of its window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Detection {
    /// Not cumulative; one more than there are bounds.
    counts: [u64; DETECTION.len() + 1],
    sum_ns: u128,
    /// Start of the first window that was judged.
    created: Option<i64>,
}

/// Counters and newest window of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Series {
    /// Rendered once: `grouping="…",service_name="…",…`, without the tenant.
    labels: Box<str>,
    /// When its counters began: the start of the window that brought it, ns since 1970.
    created: i64,
    requests: u64,
    ignored: u64,
    clamped: u64,
    late_merged: u64,
    late_ledger: u64,
    corrections: u64,
    /// Σ weight by error type, names ascending.
    error_types: Vec<(Box<str>, u64)>,
    other_types: u64,
    ok: Durations,
    error: Durations,
    newest: Option<Newest>,
    /// End of the newest window of event or append time that anything came for.
    last_end: i64,
}

/// A histogram that only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Durations {
    /// Not cumulative.
    buckets: [u64; BUCKETS],
    native: Exponential,
    sum_ns: u128,
}

/// What gauges show.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Newest {
    window: Window,
    requests: u64,
    errors: u64,
    completeness: Completeness,
    /// Outer: whether the grouping has a verdict; inner: the level, unless unknown.
    health: Option<Option<Level>>,
    /// Version and SHA-256 of the rule in force.
    rule: (u64, Box<str>),
    /// The slowest of all.
    exemplar: Option<Shown>,
    /// The slowest error, where the slowest of all is none.
    error_exemplar: Option<Shown>,
    /// Quantiles of both outcomes that enough samples stand behind: place in `QUANTILES`, ns.
    quantiles: Box<[(u8, u64)]>,
    /// Utilization of the resources that count: place in `Resource::ALL`, millionths.
    utilization: Box<[(u8, u64)]>,
}

impl Newest {
    /// Resources that count, with their utilization, 0 to 1 and above.
    fn utilizations(&self) -> impl Iterator<Item = (Resource, f64)> {
        let of = |(place, millionths): &(u8, u64)| Some((*Resource::ALL.get(usize::from(*place))?, *millionths as f64 / 1e6));
        self.utilization.iter().filter_map(of)
    }

    /// The largest of them; of equal ones the first.
    fn saturation(&self) -> Option<(Resource, f64)> {
        self.utilizations().reduce(|most, next| if next.1 > most.1 { next } else { most })
    }
}

/// A sampled trace, for the bucket that its duration falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    error: bool,
    trace_id: u128,
    duration: u64,
    event_time: i64,
}

/// Key of a series in the state: its identity without the window.
#[must_use]
pub fn series_key(identity: &Identity) -> Vec<u8> {
    let mut key = Vec::new();
    identity.encode(&mut key);
    key.split_off(WINDOW_BYTES.min(key.len()))
}

/// Bytes of an encoded identity that name its window.
const WINDOW_BYTES: usize = 16;

impl ScrapeState {
    /// Takes a revision of a record, whose integers are `aggregate`; `previous` are those of the revision that was applied before it for the
    /// same identity. To be called once for each revision, in order. Returns the key of the series that changed.
    pub fn apply(
        &mut self,
        identity: &Identity,
        record: &PublicRecord<'_>,
        previous: Option<&Aggregate>,
        aggregate: &Aggregate,
    ) -> Vec<u8> {
        let key = series_key(identity);
        let series = self.series.entry(key.clone()).or_insert_with(|| {
            let dimensions = record.dimensions.iter().map(|(name, value)| (&**name, &**value));
            let new = Series::new(&identity.grouping, &identity.service, &identity.namespace, dimensions);
            Series { created: identity.window_start.0, ..new }
        });
        series.grow(previous, aggregate);
        series.corrections = series.corrections.saturating_add(u64::from(record.revision > 0));
        let window = Window { start: identity.window_start, end: identity.window_start.plus(identity.window_nanos) };
        series.last_end = series.last_end.max(window.end.0);
        if series.newest.as_ref().is_none_or(|held| held.window.start < window.start) {
            series.newest = Some(Newest::of(window, record, aggregate));
        }
        key
    }

    /// Takes a line of the late ledger, as `apply` does a record; `identity` is the service's, in grouping `service`, with the window
    /// of append time.
    pub fn apply_late(&mut self, identity: &Identity, previous: Option<&Aggregate>, aggregate: &Aggregate) -> Vec<u8> {
        let key = series_key(identity);
        let new = || {
            let new = Series::new(SERVICE, &identity.service, &identity.namespace, std::iter::empty());
            Series { created: identity.window_start.0, ..new }
        };
        let series = self.series.entry(key.clone()).or_insert_with(new);
        series.late_ledger = series.late_ledger.saturating_add(more(previous, aggregate, |a| a.counts().events));
        series.last_end = series.last_end.max(identity.window_start.plus(identity.window_nanos).0);
        key
    }

    /// Takes how long a level that rose in a final of a whole service took to be told, at `told`, when the log took the record. It counts
    /// from the start of the window, before which its first error cannot have happened: when that one came is in no record, so this is
    /// never less than it was, and at most a window more.
    pub fn detect(&mut self, identity: &Identity, record: &PublicRecord<'_>, told: AppendTime) {
        if identity.grouping != SERVICE || record.revision > 0 {
            return;
        }
        let start = identity.window_start.0;
        self.detection.created = Some(self.detection.created.unwrap_or(start));
        if record.health.as_ref().is_some_and(|health| health.level.is_some_and(|level| level > health.previous)) {
            self.detection.count(u64::try_from(told.0.saturating_sub(start)).unwrap_or(0));
        }
    }

    /// Appends the kept form of what belongs to no series.
    pub fn encode_rest(&self, out: &mut Vec<u8>) {
        self.detection.encode(out);
    }

    /// Takes back what `encode_rest` wrote.
    ///
    /// # Errors
    /// When the bytes are damaged; the state is unchanged then.
    pub fn load_rest(&mut self, bytes: &[u8]) -> Result<(), CodecError> {
        self.detection = Detection::decode(bytes)?;
        Ok(())
    }

    /// Drops the series for which nothing came since the windows that ended before `end`, and returns their keys: their counters end.
    pub fn expire(&mut self, end: EventTime) -> Vec<Vec<u8>> {
        self.series.extract_if(.., |_, series| series.last_end < end.0).map(|(key, _)| key).collect()
    }

    /// Number of series.
    #[must_use]
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there is nothing to show.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Appends the kept form of one series; nothing if there is no such series.
    pub fn encode_series(&self, key: &[u8], out: &mut Vec<u8>) {
        if let Some(series) = self.series.get(key) {
            series.encode(out);
        }
    }

    /// Takes back a kept series.
    ///
    /// # Errors
    /// When the bytes are damaged; the state is unchanged then.
    pub fn load_series(&mut self, key: &[u8], bytes: &[u8]) -> Result<(), CodecError> {
        let series = Series::decode(bytes)?;
        self.series.insert(key.to_vec(), series);
        Ok(())
    }
}

/// By how much a total has grown. It cannot have shrunk (growth rule); if it has all the same, a counter still does not go back.
fn more(previous: Option<&Aggregate>, new: &Aggregate, total: impl Fn(&Aggregate) -> u64) -> u64 {
    total(new).saturating_sub(previous.map_or(0, total))
}

impl Series {
    /// Requests that failed, by weight.
    fn errors(&self) -> u64 {
        self.error_types.iter().fold(self.other_types, |sum, (_, count)| sum.saturating_add(*count))
    }

    fn new<'a>(grouping: &str, service: &str, namespace: &str, dimensions: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut labels = Labels::default();
        labels.put("grouping", grouping);
        labels.put("service_name", service);
        if !namespace.is_empty() {
            labels.put("service_namespace", namespace);
        }
        let mut overflow = service == OVERFLOW;
        for (name, value) in dimensions {
            overflow |= value == OVERFLOW;
            // An empty label is no label.
            if !value.is_empty() {
                labels.put_dimension(name, value);
            }
        }
        if overflow {
            labels.put("otel_metric_overflow", "true");
        }
        Self { labels: labels.text(), ..Self::default() }
    }

    fn grow(&mut self, previous: Option<&Aggregate>, new: &Aggregate) {
        let counts = [
            (&mut self.requests, more(previous, new, |a| a.counts().requests())),
            (&mut self.ignored, more(previous, new, |a| a.counts().ignored)),
            (&mut self.clamped, more(previous, new, |a| a.counts().clamped)),
            (&mut self.late_merged, more(previous, new, |a| a.counts().late_events)),
        ];
        counts.into_iter().for_each(|(counter, more)| *counter = counter.saturating_add(more));
        self.ok.grow(previous.map(Aggregate::ok_latency), Some(new.ok_latency()));
        self.error.grow(previous.and_then(Aggregate::error_latency), new.error_latency());
        self.grow_types(previous, new);
    }

    /// A type may have moved from its name to the rest since the previous revision, never back: what it had by name stays there, and the
    /// rest grows by so much less.
    fn grow_types(&mut self, previous: Option<&Aggregate>, new: &Aggregate) {
        let of = |aggregate: &Aggregate, name: &str| {
            let types = aggregate.error_types();
            types.binary_search_by(|(held, _)| (**held).cmp(name)).ok().and_then(|at| types.get(at)).map_or(0, |(_, count)| *count)
        };
        for (name, count) in new.error_types() {
            let more = count.saturating_sub(previous.map_or(0, |p| of(p, name)));
            self.count_error(name, more);
        }
        let before = previous.map_or(&[][..], Aggregate::error_types);
        let moved: u64 = before.iter().map(|(name, count)| count.saturating_sub(of(new, name))).fold(0, u64::saturating_add);
        let rest = more(previous, new, Aggregate::other_error_types).saturating_sub(moved);
        self.other_types = self.other_types.saturating_add(rest);
    }

    fn count_error(&mut self, name: &str, more: u64) {
        if more == 0 {
            return;
        }
        let counter = match self.error_types.binary_search_by(|(held, _)| (**held).cmp(name)) {
            Ok(at) => self.error_types.get_mut(at).map(|(_, count)| count),
            Err(at) if self.error_types.len() < ERROR_TYPES => {
                self.error_types.insert(at, (name.into(), 0));
                self.error_types.get_mut(at).map(|(_, count)| count)
            }
            Err(_) => Some(&mut self.other_types),
        };
        if let Some(counter) = counter {
            *counter = counter.saturating_add(more);
        }
    }

    /// Labels of the counters of a whole service; none for other series.
    fn service_labels(&self) -> Option<&str> {
        let rest = self.labels.strip_prefix("grouping=\"service\",")?;
        (!rest.is_empty()).then_some(rest)
    }

    /// `VERSION | labels | created | counters | types | histograms | last end | newest window`; integers are varints.
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        codec::put_bytes(out, self.labels.as_bytes());
        codec::put_i64(out, self.created);
        for counter in [self.requests, self.ignored, self.clamped, self.late_merged, self.late_ledger, self.corrections, self.other_types] {
            codec::put_u64(out, counter);
        }
        codec::put_u64(out, self.error_types.len() as u64);
        for (name, count) in &self.error_types {
            codec::put_bytes(out, name.as_bytes());
            codec::put_u64(out, *count);
        }
        for durations in [&self.ok, &self.error] {
            durations.buckets.iter().for_each(|bucket| codec::put_u64(out, *bucket));
            codec::put_u128(out, durations.sum_ns);
            durations.native.encode(out);
        }
        codec::put_i64(out, self.last_end);
        out.push(u8::from(self.newest.is_some()));
        if let Some(newest) = &self.newest {
            newest.encode(out);
        }
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(CodecError::Unknown { what: "version of a scraped series", value: u64::from(version) });
        }
        let mut series = Self { labels: from.text()?.into(), created: from.i64()?, ..Self::default() };
        for counter in [
            &mut series.requests,
            &mut series.ignored,
            &mut series.clamped,
            &mut series.late_merged,
            &mut series.late_ledger,
            &mut series.corrections,
            &mut series.other_types,
        ] {
            *counter = from.u64()?;
        }
        for _ in 0..from.count()? {
            series.error_types.push((from.text()?.into(), from.u64()?));
        }
        for durations in [&mut series.ok, &mut series.error] {
            for bucket in &mut durations.buckets {
                *bucket = from.u64()?;
            }
            durations.sum_ns = from.u128()?;
            durations.native = Exponential::decode(&mut from)?;
        }
        series.last_end = from.i64()?;
        if from.u8()? != 0 {
            series.newest = Some(Newest::decode(&mut from)?);
        }
        from.end()?;
        Ok(series)
    }
}

impl Durations {
    fn grow(&mut self, previous: Option<&Latency>, new: Option<&Latency>) {
        let Some(new) = new else { return };
        let before = previous.map(buckets_of).unwrap_or_default();
        for ((bucket, new), old) in self.buckets.iter_mut().zip(buckets_of(new)).zip(before) {
            *bucket = bucket.saturating_add(new.saturating_sub(old));
        }
        self.native.grow(previous.map(|latency| &latency.sketch), &new.sketch);
        let more = new.sum_ns.saturating_sub(previous.map_or(0, |p| p.sum_ns));
        self.sum_ns = self.sum_ns.saturating_add(more);
    }

    fn count(&self) -> u64 {
        self.buckets.iter().copied().fold(0, u64::saturating_add)
    }
}

/// A count goes where the highest duration of its bin falls.
fn buckets_of(latency: &Latency) -> [u64; BUCKETS] {
    let mut buckets = [0; BUCKETS];
    for (bin, count) in latency.sketch.bins() {
        if let Some(bucket) = buckets.get_mut(bucket_of(range_of(bin).1)) {
            *bucket += count;
        }
    }
    buckets
}

fn bucket_of(micros: u64) -> usize {
    BOUNDS.partition_point(|(bound, _)| *bound < micros)
}

impl Newest {
    fn of(window: Window, record: &PublicRecord<'_>, aggregate: &Aggregate) -> Self {
        let counts = aggregate.counts();
        let shown = |e: &Exemplar| {
            let duration = e.duration.filter(|_| e.sampled)?;
            Some(Shown { error: e.error, trace_id: e.trace_id, duration, event_time: e.event_time })
        };
        let exemplar = aggregate.slowest().and_then(shown);
        let error_exemplar = aggregate.slowest_error().and_then(shown).filter(|_| exemplar.is_none_or(|slowest| !slowest.error));
        Self {
            window,
            requests: counts.requests(),
            errors: counts.errors,
            completeness: Completeness::from_ratio(record.completeness),
            health: record.health.as_ref().map(|health| health.level.and_then(|level| Level::of(f64::from(level)))),
            rule: (record.rule.version, (&*record.rule.sha256).into()),
            exemplar,
            error_exemplar,
            quantiles: quantiles_of(record),
            utilization: utilization_of(record),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        codec::put_i64(out, self.window.start.0);
        codec::put_i64(out, self.window.end.0);
        codec::put_u64(out, self.requests);
        codec::put_u64(out, self.errors);
        codec::put_u64(out, u64::from(self.completeness.millionths()));
        // 0: no verdict; 1: unknown; level + 2.
        out.push(self.health.map_or(0, |level| level.map_or(1, |l| l.number() + 2)));
        codec::put_u64(out, self.rule.0);
        codec::put_bytes(out, self.rule.1.as_bytes());
        for exemplar in [self.exemplar, self.error_exemplar] {
            // 0: no exemplar; 1: of outcome ok; 2: of an error.
            out.push(exemplar.map_or(0, |e| 1 + u8::from(e.error)));
            if let Some(exemplar) = exemplar {
                codec::put_u128(out, exemplar.trace_id);
                codec::put_u64(out, exemplar.duration);
                codec::put_i64(out, exemplar.event_time);
            }
        }
        codec::put_u64(out, self.quantiles.len() as u64);
        for (place, nanos) in &self.quantiles {
            out.push(*place);
            codec::put_u64(out, *nanos);
        }
        codec::put_u64(out, self.utilization.len() as u64);
        for (place, millionths) in &self.utilization {
            out.push(*place);
            codec::put_u64(out, *millionths);
        }
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let window = Window { start: EventTime(from.i64()?), end: EventTime(from.i64()?) };
        let [requests, errors] = [from.u64()?, from.u64()?];
        let completeness = Completeness::from_millionths(u32::try_from(from.u64()?).unwrap_or(u32::MAX));
        let health = match from.u8()? {
            0 => None,
            1 => Some(None),
            level => Some(Some(Level::of(f64::from(level) - 2.0).ok_or(CodecError::Unknown { what: "level", value: u64::from(level) })?)),
        };
        let rule = (from.u64()?, from.text()?.into());
        let (exemplar, error_exemplar) = (Shown::decode(from)?, Shown::decode(from)?);
        let mut pairs = || (0..from.count()?).map(|_| Ok((from.u8()?, from.u64()?))).collect::<Result<_, CodecError>>();
        let (quantiles, utilization) = (pairs()?, pairs()?);
        Ok(Self { window, requests, errors, completeness, health, rule, exemplar, error_exemplar, quantiles, utilization })
    }
}

impl Shown {
    /// 0: no exemplar; 1: of outcome ok; 2: of an error.
    fn decode(from: &mut Cursor<'_>) -> Result<Option<Self>, CodecError> {
        Ok(match from.u8()? {
            0 => None,
            kind => Some(Self { error: kind > 1, trace_id: from.u128()?, duration: from.u64()?, event_time: from.i64()? }),
        })
    }
}

/// The utilization of the resources that the record names; it has whole millionths.
fn utilization_of(record: &PublicRecord<'_>) -> Box<[(u8, u64)]> {
    let Some(saturation) = &record.saturation else { return Box::default() };
    let of = |(place, resource): (u8, Resource)| Some((place, millionths(*saturation.utilization.get(resource.name())?)?));
    (0..).zip(Resource::ALL).filter_map(of).collect()
}

/// The quantiles of both outcomes that enough samples stand behind.
fn quantiles_of(record: &PublicRecord<'_>) -> Box<[(u8, u64)]> {
    let Some((latency, all)) = record.latency.as_ref().and_then(|latency| latency.all.as_ref().map(|all| (latency, all))) else {
        return Box::default();
    };
    let values = [all.p50, all.p75, all.p90, all.p95, all.p99, all.p999];
    let sure = (0_u8..).zip(QUANTILES).zip(values).filter(|((_, (name, _)), _)| latency.low_confidence.iter().all(|low| low != name));
    sure.filter_map(|((place, _), ms)| Some((place, (ms? * 1e6).round() as u64))).collect()
}

impl Detection {
    fn count(&mut self, nanos: u64) {
        let place = DETECTION.partition_point(|bound| u64::from(*bound) * 1_000_000_000 < nanos);
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
        self.sum_ns = self.sum_ns.saturating_add(u128::from(nanos));
    }

    /// `VERSION | created | counts | sum`.
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        out.push(u8::from(self.created.is_some()));
        codec::put_i64(out, self.created.unwrap_or_default());
        self.counts.iter().for_each(|count| codec::put_u64(out, *count));
        codec::put_u128(out, self.sum_ns);
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let version = from.u8()?;
        if version != VERSION {
            return Err(CodecError::Unknown { what: "version of detection times", value: u64::from(version) });
        }
        let known = from.u8()? != 0;
        let mut detection = Self { created: Some(from.i64()?).filter(|_| known), ..Self::default() };
        for count in &mut detection.counts {
            *count = from.u64()?;
        }
        detection.sum_ns = from.u128()?;
        from.end()?;
        Ok(detection)
    }
}

#[cfg(test)]
mod tests;
