//! The public record of one series and window, and the line of the late ledger: fixed key order, no white space, no wall-clock value
//! (SIGNALS §8).
//!
//! The revision is the one number that a later stage may set: the encoder says where in the value it stands, so that it can be replaced
//! without reading the rest. Absent means switched off (`histogram`, `sources`); null means that there is no value.

use crate::aggregate::{Aggregate, Counts, Exemplar};
use crate::emit::json::{put_f64, put_hex, put_option, put_text, put_time, put_u64};
use crate::names;
use crate::signal::completeness::Completeness;
use crate::signal::health::{Health, Level};
use crate::signal::latency::{self, ABSOLUTE_BOUND_MS, QUANTILES, RELATIVE_BOUND, Summary};
use crate::signal::saturation::Saturation;
use crate::signal::{availability, errors, requests};
use crate::sketch::{Scratch, Sketch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform_core::time::EventTime;
use platform_core::window::{Window, WindowLength};

/// Name under which what goes over a cap is counted together.
pub const OVERFLOW: &str = "__overflow__";
/// Names of the status classes in records, in the order of the numbers of `StatusClass`.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// What of the record is a choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordSettings {
    /// Whether the bins are published, as `HdrHistogram` V2.
    pub histogram: bool,
    /// Whether quantiles of low confidence are null.
    pub suppress_low_confidence: bool,
}

/// Who a record is about: a series without its window.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Namespace of the service; may be empty.
    pub namespace: &'a str,
    /// Name of the service.
    pub service: &'a str,
    /// Name of the grouping.
    pub grouping: &'a str,
    /// Names and values of the grouping's dimensions, in its order.
    pub dimensions: &'a [(&'a str, &'a str)],
    /// Whether it stands for what went over a cap.
    pub overflow: bool,
}

/// A result, ready to be published.
#[derive(Clone, Copy, Debug)]
pub struct Final<'a> {
    /// Who.
    pub subject: Subject<'a>,
    /// When: start of the window.
    pub window_start: EventTime,
    /// Length of the window.
    pub window: WindowLength,
    /// 0 for the first result.
    pub revision: u64,
    /// Share of the input that has been seen.
    pub completeness: Completeness,
    /// All counts.
    pub aggregate: &'a Aggregate,
    /// How much of its resources it used, where that is known.
    pub saturation: Option<Saturation>,
    /// The verdict, where the grouping has one.
    pub health: Option<Health>,
    /// Version of the bundle in force; 0 is the built-in rule.
    pub override_version: u64,
    /// SHA-256 of the file in force for the service, 64 hex digits.
    pub override_sha256: &'a str,
    /// Smallest covering offsets of the counted events, if they are to be published.
    pub sources: Option<&'a [SourceRange<'a>]>,
}

/// Offsets of one source partition that cover all counted events, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceRange<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: u32,
    /// Offset of the first event.
    pub first_offset: u64,
    /// Offset of the last event.
    pub last_offset: u64,
}

/// What came too late for its window, counted by service and window of append time.
#[derive(Clone, Copy, Debug)]
pub struct LateLine<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Namespace of the service; may be empty.
    pub namespace: &'a str,
    /// Name of the service.
    pub service: &'a str,
    /// Start of the window of append time.
    pub window_start: EventTime,
    /// Length of the window.
    pub window: WindowLength,
    /// 0 for the first line.
    pub revision: u64,
    /// All counts.
    pub aggregate: &'a Aggregate,
}

/// What a rule that is tried gives a service in a window, beside the rule in force.
#[derive(Clone, Copy, Debug)]
pub struct ShadowLine<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// Namespace of the service; may be empty.
    pub namespace: &'a str,
    /// Name of the service.
    pub service: &'a str,
    /// Start of the window.
    pub window_start: EventTime,
    /// Length of the window.
    pub window: WindowLength,
    /// 0 for the first line.
    pub revision: u64,
    /// The verdict that counts.
    pub live: Option<Health>,
    /// The verdict of the rule that is tried.
    pub shadow: Health,
    /// Version of the bundle that it is of.
    pub version: u64,
    /// SHA-256 of its file.
    pub sha256: &'a str,
}

/// Appends a line of a rule that is tried, and returns where in `out` the digits of its revision start.
pub fn put_shadow(line: &ShadowLine<'_>, out: &mut Vec<u8>) -> usize {
    put_subject(out, names::SCHEMA_SHADOW, line.tenant, line.namespace, line.service);
    put_window(out, line.window.window_of(line.window_start), line.window);
    let revision_at = put_revision(out, line.revision);
    put_health(out, line.live);
    out.extend_from_slice(b",\"shadow\":");
    put_verdict(out, line.shadow);
    let agree = line.live.is_some_and(|live| live.level == line.shadow.level);
    out.extend_from_slice(if agree { b",\"agree\":true" } else { b",\"agree\":false" });
    out.extend_from_slice(b",\"override\":{\"version\":");
    put_u64(out, line.version);
    out.extend_from_slice(b",\"sha256\":");
    put_text(out, line.sha256);
    out.extend_from_slice(b"}}");
    revision_at
}

/// Writes records; keeps what it needs for that between them.
#[derive(Default)]
pub struct RecordEncoder {
    settings: RecordSettings,
    scratch: Scratch,
}

impl RecordEncoder {
    /// An encoder with these choices.
    #[must_use]
    pub fn new(settings: RecordSettings) -> Self {
        Self { settings, scratch: Scratch::default() }
    }

    /// Appends the record of a final, and returns where in `out` the digits of its revision start.
    pub fn put_final(&mut self, result: &Final<'_>, out: &mut Vec<u8>) -> usize {
        let Final { subject, aggregate, .. } = result;
        let counts = aggregate.counts();
        put_subject(out, names::SCHEMA_SIGNALS, subject.tenant, subject.namespace, subject.service);
        out.extend_from_slice(b",\"grouping\":");
        put_text(out, subject.grouping);
        out.extend_from_slice(b",\"dimensions\":{");
        for (n, (name, value)) in subject.dimensions.iter().enumerate() {
            put_key(out, n, name);
            put_text(out, value);
        }
        out.extend_from_slice(b"},\"overflow\":");
        out.extend_from_slice(if subject.overflow { b"true" } else { b"false" });
        put_window(out, result.window.window_of(result.window_start), result.window);
        let revision_at = put_revision(out, result.revision);
        out.extend_from_slice(b",\"completeness\":");
        put_f64(out, result.completeness.ratio());
        put_events(out, counts);
        put_signals(out, aggregate, result.window);
        out.extend_from_slice(b",\"availability_ratio\":");
        put_option(out, availability::ratio(counts.requests(), counts.errors));
        self.put_latency(out, aggregate);
        put_saturation(out, result.saturation.as_ref());
        put_health(out, result.health);
        out.extend_from_slice(b",\"override\":{\"version\":");
        put_u64(out, result.override_version);
        out.extend_from_slice(b",\"sha256\":");
        put_text(out, result.override_sha256);
        out.push(b'}');
        self.put_histogram(out, aggregate);
        put_sources(out, result.sources);
        put_exemplars(out, aggregate);
        out.push(b'}');
        revision_at
    }

    /// Appends the line of the late ledger, and returns where in `out` the digits of its revision start.
    pub fn put_late(&mut self, line: &LateLine<'_>, out: &mut Vec<u8>) -> usize {
        put_subject(out, names::SCHEMA_LATE, line.tenant, line.namespace, line.service);
        put_window(out, line.window.window_of(line.window_start), line.window);
        let revision_at = put_revision(out, line.revision);
        put_events(out, line.aggregate.counts());
        put_signals(out, line.aggregate, line.window);
        self.put_latency(out, line.aggregate);
        self.put_histogram(out, line.aggregate);
        out.push(b'}');
        revision_at
    }

    fn put_latency(&self, out: &mut Vec<u8>, aggregate: &Aggregate) {
        out.extend_from_slice(b",\"latency\":");
        let Counts { samples, clamped, .. } = *aggregate.counts();
        let ok = latency::summary(aggregate.ok_latency());
        let error = aggregate.error_latency().and_then(latency::summary);
        // Most windows have one outcome: its numbers are those of all.
        let all = if ok.is_some() && error.is_some() { latency::summary_of_all(aggregate) } else { ok.or(error) };
        if all.is_none() {
            return out.extend_from_slice(b"null");
        }
        out.extend_from_slice(b"{\"unit\":\"ms\",\"samples\":");
        put_u64(out, samples);
        out.extend_from_slice(b",\"clamped\":");
        put_u64(out, clamped);
        out.extend_from_slice(b",\"all\":");
        let start = out.len();
        self.put_summary(out, all.as_ref(), samples);
        let written = start..out.len();
        for (key, summary) in [(&b",\"ok\":"[..], ok), (b",\"error\":", error)] {
            out.extend_from_slice(key);
            if summary == all { out.extend_from_within(written.clone()) } else { self.put_summary(out, summary.as_ref(), samples) }
        }
        out.extend_from_slice(b",\"low_confidence\":[");
        for (n, name) in latency::low_confidence(samples).enumerate() {
            if n > 0 {
                out.push(b',');
            }
            put_text(out, name);
        }
        out.extend_from_slice(b"],\"error_bound\":{\"relative\":");
        put_f64(out, RELATIVE_BOUND);
        out.extend_from_slice(b",\"absolute\":");
        put_f64(out, ABSOLUTE_BOUND_MS);
        out.extend_from_slice(b"}}");
    }

    fn put_summary(&self, out: &mut Vec<u8>, summary: Option<&Summary>, samples: u64) {
        let Some(summary) = summary else { return out.extend_from_slice(b"null") };
        out.extend_from_slice(b"{\"count\":");
        put_u64(out, summary.count);
        for (key, value) in [(&b",\"sum\":"[..], summary.sum_ms()), (b",\"mean\":", summary.mean_ms()), (b",\"max\":", summary.max_ms())] {
            out.extend_from_slice(key);
            put_f64(out, value);
        }
        for ((name, k), value) in QUANTILES.iter().zip(summary.quantiles_ms()) {
            put_name(out, name);
            let suppressed = self.settings.suppress_low_confidence && latency::is_low_confidence(samples, *k);
            put_option(out, (!suppressed).then_some(value));
        }
        out.push(b'}');
    }

    fn put_histogram(&mut self, out: &mut Vec<u8>, aggregate: &Aggregate) {
        if !self.settings.histogram {
            return;
        }
        out.extend_from_slice(b",\"histogram\":{\"encoding\":\"hdr-v2\",\"unit\":\"us\"");
        for (key, latency) in [(&b",\"ok\":"[..], Some(aggregate.ok_latency())), (b",\"error\":", aggregate.error_latency())] {
            out.extend_from_slice(key);
            match latency.filter(|l| !l.sketch.is_empty()) {
                Some(latency) => self.put_v2(out, &latency.sketch),
                None => out.extend_from_slice(b"null"),
            }
        }
        out.push(b'}');
    }

    fn put_v2(&mut self, out: &mut Vec<u8>, sketch: &Sketch) {
        let bytes = self.scratch.v2(sketch);
        out.push(b'"');
        let start = out.len();
        out.resize(start + bytes.len().div_ceil(3) * 4, 0);
        let written = STANDARD.encode_slice(bytes, out.get_mut(start..).unwrap_or_default()).unwrap_or(0);
        out.truncate(start + written);
        out.push(b'"');
    }
}

/// Key of a pair of an object; the first has no comma before it.
fn put_key(out: &mut Vec<u8>, n: usize, name: &str) {
    if n > 0 {
        out.push(b',');
    }
    put_text(out, name);
    out.push(b':');
}

/// One of our own keys, which need no escapes, behind a comma.
fn put_name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn put_subject(out: &mut Vec<u8>, schema: &str, tenant: &str, namespace: &str, service: &str) {
    out.push(b'{');
    for (n, (key, value)) in
        [("schema", schema), ("tenant", tenant), ("service_namespace", namespace), ("service", service)].iter().enumerate()
    {
        put_key(out, n, key);
        put_text(out, value);
    }
}

fn put_window(out: &mut Vec<u8>, window: Window, length: WindowLength) {
    out.extend_from_slice(b",\"window_start\":\"");
    put_time(out, window.start.0);
    out.extend_from_slice(b"\",\"window_end\":\"");
    put_time(out, window.end.0);
    out.extend_from_slice(b"\",\"window_seconds\":");
    put_f64(out, length.seconds());
}

fn put_revision(out: &mut Vec<u8>, revision: u64) -> usize {
    out.extend_from_slice(b",\"revision\":");
    let at = out.len();
    put_u64(out, revision);
    at
}

fn put_events(out: &mut Vec<u8>, counts: &Counts) {
    out.extend_from_slice(b",\"events\":");
    put_u64(out, counts.events);
    out.extend_from_slice(b",\"late_events\":");
    put_u64(out, counts.late_events);
}

/// Requests, errors, ignored and status classes.
fn put_signals(out: &mut Vec<u8>, aggregate: &Aggregate, window: WindowLength) {
    let counts = aggregate.counts();
    let (requests, errors) = (counts.requests(), counts.errors);
    out.extend_from_slice(b",\"requests\":{\"count\":");
    put_u64(out, requests);
    out.extend_from_slice(b",\"rate\":");
    put_f64(out, requests::rate(requests, window));
    out.extend_from_slice(b"},\"errors\":{\"count\":");
    put_u64(out, errors);
    out.extend_from_slice(b",\"rate\":");
    put_f64(out, requests::rate(errors, window));
    out.extend_from_slice(b",\"ratio\":");
    put_option(out, errors::ratio(requests, errors));
    out.extend_from_slice(b",\"by_type\":{");
    let others = Some((OVERFLOW, aggregate.other_error_types())).filter(|(_, count)| *count > 0);
    let types = aggregate.error_types().iter().map(|(name, count)| (&**name, *count));
    for (n, (name, count)) in types.chain(others).enumerate() {
        put_key(out, n, name);
        put_u64(out, count);
    }
    out.extend_from_slice(b"}},\"ignored\":");
    put_u64(out, counts.ignored);
    out.extend_from_slice(b",\"status_classes\":{");
    // `none` is the first in state and the last in records.
    let classes = CLASSES.iter().zip(counts.status_classes);
    for (n, (name, count)) in classes.clone().skip(1).chain(classes.take(1)).enumerate() {
        put_key(out, n, name);
        put_u64(out, count);
    }
    out.push(b'}');
}

fn put_saturation(out: &mut Vec<u8>, saturation: Option<&Saturation>) {
    out.extend_from_slice(b",\"saturation\":");
    let Some(saturation) = saturation else { return out.extend_from_slice(b"null") };
    out.extend_from_slice(b"{\"ratio\":");
    put_f64(out, saturation.ratio());
    out.extend_from_slice(b",\"resource\":");
    put_text(out, saturation.resource.name());
    out.extend_from_slice(b",\"utilization\":{");
    for (n, (resource, ratio)) in saturation.utilizations().enumerate() {
        put_key(out, n, resource.name());
        put_f64(out, ratio);
    }
    out.extend_from_slice(b"}}");
}

fn put_health(out: &mut Vec<u8>, health: Option<Health>) {
    out.extend_from_slice(b",\"health\":");
    let Some(health) = health else { return out.extend_from_slice(b"null") };
    put_verdict(out, health);
}

fn put_verdict(out: &mut Vec<u8>, health: Health) {
    out.extend_from_slice(b"{\"level\":");
    put_option(out, health.level.map(|level| f64::from(level.number())));
    out.extend_from_slice(b",\"state\":");
    put_text(out, health.state());
    out.extend_from_slice(b",\"reason\":");
    put_text(out, health.reason.name());
    out.extend_from_slice(b",\"previous\":");
    put_u64(out, u64::from(Level::number(health.previous)));
    out.push(b'}');
}

fn put_sources(out: &mut Vec<u8>, sources: Option<&[SourceRange<'_>]>) {
    let Some(sources) = sources else { return };
    out.extend_from_slice(b",\"sources\":[");
    for (n, range) in sources.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"topic\":");
        put_text(out, range.topic);
        let numbers = [("partition", u64::from(range.partition)), ("first_offset", range.first_offset), ("last_offset", range.last_offset)];
        for (key, number) in numbers {
            put_name(out, key);
            put_u64(out, number);
        }
        out.push(b'}');
    }
    out.push(b']');
}

fn put_exemplars(out: &mut Vec<u8>, aggregate: &Aggregate) {
    out.extend_from_slice(b",\"exemplars\":[");
    let all = [("slowest", aggregate.slowest()), ("slowest_error", aggregate.slowest_error()), ("first_error", aggregate.first_error())];
    for (n, (reason, exemplar)) in all.iter().filter_map(|(reason, e)| e.map(|e| (*reason, e))).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        put_exemplar(out, reason, exemplar);
    }
    out.push(b']');
}

fn put_exemplar(out: &mut Vec<u8>, reason: &str, exemplar: &Exemplar) {
    out.extend_from_slice(b"{\"reason\":");
    put_text(out, reason);
    out.extend_from_slice(b",\"trace_id\":\"");
    put_hex(out, &exemplar.trace_id.to_be_bytes());
    out.extend_from_slice(b"\",\"span_id\":\"");
    put_hex(out, &exemplar.span_id.to_be_bytes());
    out.extend_from_slice(b"\",\"operation\":");
    put_text(out, &exemplar.operation);
    out.extend_from_slice(b",\"outcome\":");
    put_text(out, if exemplar.error { "error" } else { "ok" });
    out.extend_from_slice(b",\"latency_ms\":");
    put_option(out, exemplar.duration.map(latency::ms));
    out.extend_from_slice(b",\"event_time\":\"");
    put_time(out, exemplar.event_time);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
pub(crate) mod tests;
