//! The metrics page: counters and histograms that only grow, and gauges of each series' newest window (SIGNALS §9).
//!
//! The state is a fold over the public records of one partition. A record of an identity that was counted before adds what it has more,
//! so a correction makes counters grow by the late events and nothing is counted twice. Gauges move forward in window time alone: what was
//! shown for a window is never rewritten. State holds integers; it is kept per series (`encode_series`, `load_series`) beside the read
//! position, so that a restart resets no counter. Which records have been applied is the caller's to know.
//!
//! Rules of labels: a series has `grouping`, `service_name`, `service_namespace` unless empty, its dimensions, and `tenant` where the page
//! serves several. Counters of a service (late events, corrections, clamped durations) hang on its series of grouping `service`; they carry
//! the namespace too, since two services may share a name.

use crate::aggregate::{Aggregate, Latency};
use crate::emit::json::put_f64;
use crate::emit::read::PublicRecord;
use crate::emit::record::OVERFLOW;
use crate::identity::Identity;
use crate::signal::availability;
use crate::signal::completeness::Completeness;
use crate::signal::health::{Level, UNKNOWN, is_stale};
use crate::sketch::range_of;
use platform_core::codec::{self, CodecError, Cursor};
use platform_core::time::EventTime;
use platform_core::window::Window;
use std::collections::BTreeMap;

/// The counters as points of time, for outputs that push.
pub mod points;

/// Upper bounds of the histogram's buckets, µs, and as labels have them, s. One more bucket has no bound.
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
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (7_500_000, "7.5"),
    (10_000_000, "10"),
];
/// Buckets of a histogram, the unbounded one included.
const BUCKETS: usize = BOUNDS.len() + 1;
/// Error types counted by name in one series, over all time; first come, since a counter that has been shown must not vanish.
const ERROR_TYPES: usize = 20;
/// The grouping that speaks for a service as a whole.
const SERVICE: &str = "service";
/// First byte of the kept form of a series.
const VERSION: u8 = 1;

/// Everything one public partition has to show.
#[derive(Clone, Debug, Default)]
pub struct ScrapeState {
    /// By `series_key`.
    series: BTreeMap<Vec<u8>, Series>,
}

/// Counters and newest window of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Series {
    /// Rendered once: `grouping="…",service_name="…",…`, without the tenant.
    labels: Box<str>,
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
    exemplar: Option<Shown>,
}

/// A sampled trace, for the bucket that its duration falls into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    error: bool,
    trace_id: u128,
    duration: u64,
    event_time: i64,
}

/// Which form of the page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, 0.0.4.
    Text,
    /// `OpenMetrics` 1.0: exemplars, and an end mark.
    OpenMetrics,
}

impl Format {
    /// The page's media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

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
            Series::new(&identity.grouping, &identity.service, &identity.namespace, dimensions)
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
        let new = || Series::new(SERVICE, &identity.service, &identity.namespace, std::iter::empty());
        let series = self.series.entry(key.clone()).or_insert_with(new);
        series.late_ledger = series.late_ledger.saturating_add(more(previous, aggregate, |a| a.counts().events));
        series.last_end = series.last_end.max(identity.window_start.plus(identity.window_nanos).0);
        key
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
    fn new<'a>(grouping: &str, service: &str, namespace: &str, dimensions: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut labels = Labels { text: String::new(), names: Vec::new() };
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
        Self { labels: labels.text.into(), ..Self::default() }
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

    /// `VERSION | labels | counters | types | histograms | last end | newest window`; integers are varints.
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        codec::put_bytes(out, self.labels.as_bytes());
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
        let mut series = Self { labels: from.text()?.into(), ..Self::default() };
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
        let exemplar = aggregate.slowest().filter(|e| e.sampled).and_then(|e| {
            let duration = e.duration?;
            Some(Shown { error: e.error, trace_id: e.trace_id, duration, event_time: e.event_time })
        });
        Self {
            window,
            requests: counts.requests(),
            errors: counts.errors,
            completeness: Completeness::from_ratio(record.completeness),
            health: record.health.as_ref().map(|health| health.level.and_then(|level| Level::of(f64::from(level)))),
            rule: (record.rule.version, (&*record.rule.sha256).into()),
            exemplar,
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
        // 0: no exemplar; 1: of outcome ok; 2: of an error.
        out.push(self.exemplar.map_or(0, |e| 1 + u8::from(e.error)));
        if let Some(exemplar) = self.exemplar {
            codec::put_u128(out, exemplar.trace_id);
            codec::put_u64(out, exemplar.duration);
            codec::put_i64(out, exemplar.event_time);
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
        let exemplar = match from.u8()? {
            0 => None,
            kind => Some(Shown { error: kind > 1, trace_id: from.u128()?, duration: from.u64()?, event_time: from.i64()? }),
        };
        Ok(Self { window, requests, errors, completeness, health, rule, exemplar })
    }
}

/// Builds the label text of a series.
struct Labels {
    text: String,
    names: Vec<String>,
}

/// Labels that a dimension must not take: those of the samples, and those that a scrape adds.
const RESERVED: [&str; 11] =
    ["tenant", "outcome", "le", "error_type", "state", "disposition", "revision", "sha256", "otel_metric_overflow", "job", "instance"];

impl Labels {
    fn put(&mut self, name: &str, value: &str) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(name);
        self.text.push_str("=\"");
        push_escaped(&mut self.text, value);
        self.text.push('"');
        self.names.push(name.to_owned());
    }

    /// Two dimensions may map to one label name; a page that has a label twice is refused as a whole.
    fn put_dimension(&mut self, dimension: &str, value: &str) {
        let mut name = label_name(dimension);
        while self.names.contains(&name) || RESERVED.contains(&name.as_str()) {
            name.push('_');
        }
        self.put(&name, value);
    }
}

/// Label of a dimension.
fn label_name(dimension: &str) -> String {
    let known = match dimension {
        "env" => "deployment_environment_name",
        "region" => "cloud_region",
        "zone" => "cloud_availability_zone",
        "version" => "service_version",
        "cluster" => "k8s_cluster_name",
        "k8s_namespace" => "k8s_namespace_name",
        "deployment" => "k8s_deployment_name",
        "svc_host" => "server_address",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let allowed = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' { c } else { '_' };
    let name: String = dimension.chars().flat_map(char::to_lowercase).map(allowed).collect();
    // No label starts with a digit, and two underscores in front are Prometheus' own.
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && !name.starts_with("__");
    if plain { name } else { format!("x{name}") }
}

fn push_escaped(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

/// Appends the page of several partitions. `now` is for the age of series; without it none is stale.
pub fn put_page(states: &[&ScrapeState], settings: &PageSettings, now: Option<EventTime>, out: &mut Vec<u8>) {
    let mut series: Vec<(&[u8], &Series)> =
        states.iter().flat_map(|s| s.series.iter().map(|(key, series)| (key.as_slice(), series))).collect();
    series.sort_unstable_by_key(|(key, series)| (series.service_labels().is_none(), *key));
    let left_out = series.len().saturating_sub(settings.max_series);
    series.truncate(settings.max_series);
    let mut page = Page { out, settings, series: &series };
    page.counters();
    page.durations();
    page.gauges(now);
    page.service_counters();
    if left_out > 0 && settings.format == Format::Text {
        page.text(&format!("# {left_out} series are left out: the page ends at {}\n", settings.max_series));
    }
    if settings.format == Format::OpenMetrics {
        page.text("# EOF\n");
    }
}

struct Page<'a> {
    out: &'a mut Vec<u8>,
    settings: &'a PageSettings,
    series: &'a [(&'a [u8], &'a Series)],
}

impl<'a> Page<'a> {
    fn counters(&mut self) {
        let requests = "golden_signals_requests_total";
        self.family(requests, "counter", "Requests, ok and error, by weight.");
        self.each(|page, key, series| page.count(requests, key, &series.labels, &[], series.requests));
        let errors = "golden_signals_errors_total";
        self.family(errors, "counter", "Requests with outcome error; the sample without error_type is always 0.");
        self.each(|page, key, series| {
            page.count(errors, key, &series.labels, &[], 0);
            for (name, count) in &series.error_types {
                page.count(errors, key, &series.labels, &[("error_type", name)], *count);
            }
            if series.other_types > 0 {
                // A series that overflows itself says so already.
                let twice = series.labels.contains("otel_metric_overflow=");
                let all = [("error_type", OVERFLOW), ("otel_metric_overflow", "true")];
                page.count(errors, key, &series.labels, if twice { &all[..1] } else { &all }, series.other_types);
            }
        });
        let ignored = "golden_signals_ignored_total";
        self.family(ignored, "counter", "Requests with outcome ignored, by weight.");
        self.each(|page, key, series| page.count(ignored, key, &series.labels, &[], series.ignored));
    }

    fn durations(&mut self) {
        self.family("golden_signals_request_duration_seconds", "histogram", "Durations of requests, by outcome.");
        self.each(|page, key, series| {
            let exemplar = series.newest.as_ref().and_then(|n| n.exemplar).filter(|_| page.settings.format == Format::OpenMetrics);
            for (outcome, durations, is_error) in [("ok", &series.ok, false), ("error", &series.error, true)] {
                if durations.count() > 0 {
                    page.histogram(key, &series.labels, outcome, durations, exemplar.filter(|e| e.error == is_error));
                }
            }
        });
    }

    fn histogram(&mut self, key: &[u8], labels: &str, outcome: &str, durations: &Durations, exemplar: Option<Shown>) {
        let mut below = 0_u64;
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (n, (bound, count)) in bounds.zip(durations.buckets).enumerate() {
            below = below.saturating_add(count);
            self.open("golden_signals_request_duration_seconds_bucket", key, labels, &[("outcome", outcome), ("le", bound)]);
            self.number(below);
            if let Some(shown) = exemplar.filter(|e| bucket_of(e.duration.div_ceil(1000)) == n) {
                self.text(&format!(" # {{trace_id=\"{:032x}\"}} ", shown.trace_id));
                put_f64(self.out, shown.duration as f64 / 1e9);
                self.text(" ");
                put_f64(self.out, shown.event_time as f64 / 1e9);
            }
            self.text("\n");
        }
        self.value("golden_signals_request_duration_seconds_sum", key, labels, &[("outcome", outcome)], durations.sum_ns as f64 / 1e9);
        self.count("golden_signals_request_duration_seconds_count", key, labels, &[("outcome", outcome)], below);
    }

    fn gauges(&mut self, now: Option<EventTime>) {
        let available = "golden_signals_availability_ratio";
        self.family(available, "gauge", "Share of the requests of the newest window that did not fail.");
        self.each(|page, key, series| {
            if let Some(ratio) = series.newest.as_ref().and_then(|n| availability::ratio(n.requests, n.errors)) {
                page.value(available, key, &series.labels, &[], ratio);
            }
        });
        let stale_after = self.settings.stale_after_nanos;
        // Outer: there is a verdict; inner: it is known.
        let level = |series: &Series| {
            let newest = series.newest.as_ref()?;
            let stale = now.is_some_and(|now| is_stale(now, newest.window, stale_after));
            newest.health.map(|level| level.filter(|_| !stale))
        };
        let levels = "golden_signals_health_level";
        self.family(levels, "gauge", "Health: 0 healthy, 1 degraded, 2 impaired, 3 critical; absent when unknown.");
        self.each(|page, key, series| {
            if let Some(level) = level(series).flatten() {
                page.count(levels, key, &series.labels, &[], u64::from(level.number()));
            }
        });
        let states = "golden_signals_health_state";
        self.family(states, "gauge", "Health by name: 1 for the state it is in, else 0.");
        self.each(|page, key, series| {
            let Some(level) = level(series) else { return };
            let current = level.map_or(UNKNOWN, Level::name);
            for state in Level::ALL.map(Level::name).into_iter().chain([UNKNOWN]) {
                page.count(states, key, &series.labels, &[("state", state)], u64::from(state == current));
            }
        });
        self.completeness();
        let rule = "golden_signals_override_info";
        self.family(rule, "gauge", "Rule in force for a service: bundle version (0: built in) and SHA-256 of its file.");
        self.each(|page, key, series| {
            if let (Some(labels), Some(Newest { rule: (version, sha256), .. })) = (series.service_labels(), &series.newest) {
                page.count(rule, key, labels, &[("revision", itoa::Buffer::new().format(*version)), ("sha256", sha256)], 1);
            }
        });
    }

    /// The lowest completeness in the newest window of all.
    fn completeness(&mut self) {
        let name = "golden_signals_window_completeness_ratio";
        self.family(name, "gauge", "Share of its input that the newest window has seen.");
        let newest = self.series.iter().filter_map(|(_, series)| series.newest.as_ref());
        let Some(end) = newest.clone().map(|n| n.window.end).max() else { return };
        if let Some(lowest) = newest.filter(|n| n.window.end == end).map(|n| n.completeness).min() {
            self.text(name);
            self.text(" ");
            put_f64(self.out, lowest.ratio());
            self.text("\n");
        }
    }

    fn service_counters(&mut self) {
        let late = "golden_signals_late_events_total";
        self.family(late, "counter", "Events that came after the close of their window, merged into it or counted in the late ledger.");
        self.each_service(|page, key, labels, series| {
            for (disposition, count) in [("merged", series.late_merged), ("ledger", series.late_ledger)] {
                page.count(late, key, labels, &[("disposition", disposition)], count);
            }
        });
        let corrections = "golden_signals_corrections_total";
        self.family(corrections, "counter", "Records that replaced an earlier one of the same window.");
        self.each_service(|page, key, labels, series| page.count(corrections, key, labels, &[], series.corrections));
        let clamped = "golden_signals_latency_clamped_total";
        self.family(clamped, "counter", "Events whose duration was counted as one hour, being longer.");
        self.each_service(|page, key, labels, series| page.count(clamped, key, labels, &[], series.clamped));
    }

    fn each(&mut self, mut put: impl FnMut(&mut Self, &'a [u8], &'a Series)) {
        for (key, series) in self.series {
            put(self, key, series);
        }
    }

    fn each_service(&mut self, mut put: impl FnMut(&mut Self, &'a [u8], &'a str, &'a Series)) {
        self.each(|page, key, series| {
            if let Some(labels) = series.service_labels() {
                put(page, key, labels, series);
            }
        });
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // OpenMetrics names a counter's family without the suffix of its samples.
        let family = if self.settings.format == Format::OpenMetrics && kind == "counter" { name.trim_end_matches("_total") } else { name };
        self.text(&format!("# HELP {family} {help}\n# TYPE {family} {kind}\n"));
    }

    fn count(&mut self, name: &str, key: &[u8], labels: &str, more: &[(&str, &str)], count: u64) {
        self.open(name, key, labels, more);
        self.number(count);
        self.text("\n");
    }

    fn value(&mut self, name: &str, key: &[u8], labels: &str, more: &[(&str, &str)], value: f64) {
        self.open(name, key, labels, more);
        put_f64(self.out, value);
        self.text("\n");
    }

    /// Name and labels, up to the blank before the value.
    fn open(&mut self, name: &str, key: &[u8], labels: &str, more: &[(&str, &str)]) {
        self.text(name);
        self.text("{");
        if self.settings.tenant_label {
            // A tenant is made of letters, digits and hyphens, and is the first text of a key.
            self.text("tenant=\"");
            self.out.extend_from_slice(key.split(|b| *b == 0).next().unwrap_or_default());
            self.text("\",");
        }
        self.text(labels);
        for (name, value) in more {
            self.text(",");
            self.text(name);
            self.text("=\"");
            if value.contains(['\\', '"', '\n']) {
                let mut escaped = String::new();
                push_escaped(&mut escaped, value);
                self.text(&escaped);
            } else {
                self.text(value);
            }
            self.text("\"");
        }
        self.text("} ");
    }

    fn number(&mut self, number: u64) {
        self.text(itoa::Buffer::new().format(number));
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests;
