//! Writes pages: Prometheus text 0.0.4, `OpenMetrics` 1.0, and protobuf with native histograms.
//!
//! Families have a body each, so that whoever has the values visits a series once, whatever it has to show, and its labels are rendered
//! once. What a form cannot say is left out: text 0.0.4 has no exemplars and no created times, and only protobuf has native histograms.
//! A family without samples is not on the page.

use super::labels;
use super::protobuf::{self, METRIC, MetricBody, Timestamp};
use crate::emit::exponential::{Exponential, Native};
use crate::emit::json::put_f64;
use platform_core::metric::{Family, Kind, Value};
use prost::Message as _;
use std::borrow::Cow;

/// Which form of the page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text, 0.0.4.
    Text,
    /// `OpenMetrics` 1.0: exemplars, created times, and an end mark.
    OpenMetrics,
    /// Protobuf of Prometheus, delimited: native histograms too.
    Protobuf,
}

impl Format {
    /// The page's media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        }
    }
}

/// A sampled trace, for the bucket that its duration falls into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Example {
    pub(super) trace_id: u128,
    /// ns.
    pub(super) duration: u64,
    /// ns since 1970.
    pub(super) at: i64,
}

impl Example {
    fn seconds(&self) -> f64 {
        self.duration as f64 / 1e9
    }
}

/// A histogram as a page shows it.
pub(super) struct Distribution<'a> {
    /// Upper bounds in s, as numbers and as labels have them.
    pub(super) bounds: &'a [(f64, Cow<'static, str>)],
    /// Not cumulative; one more than there are bounds.
    pub(super) counts: &'a [u64],
    /// s.
    pub(super) sum: f64,
    /// When it began to count, ns since 1970.
    pub(super) created: Option<i64>,
    pub(super) example: Option<Example>,
    pub(super) native: Option<&'a Exponential>,
}

/// A number that a counter or gauge shows.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Count(u64),
    Float(f64),
}

impl Number {
    fn float(self) -> f64 {
        match self {
            Self::Count(count) => count as f64,
            Self::Float(number) => number,
        }
    }
}

struct Started {
    name: Cow<'static, str>,
    kind: Kind,
    help: Cow<'static, str>,
    body: Vec<u8>,
}

impl Started {
    /// Name of the family in `OpenMetrics`, where a counter's has no suffix, and its type: a counter must have had one.
    fn open_metrics(&self) -> (&str, &'static str) {
        match (self.kind, self.name.strip_suffix("_total")) {
            (Kind::Counter, Some(base)) => (base, "counter"),
            (Kind::Counter, None) => (&self.name, "unknown"),
            (kind, _) => (&self.name, word(kind)),
        }
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// The unit that stands at the end of a name, if one does.
fn unit(base: &str) -> Option<&'static str> {
    ["seconds", "bytes", "ratio"].into_iter().find(|unit| base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')))
}

/// A page that is being written.
pub(super) struct Writer {
    format: Format,
    families: Vec<Started>,
    /// Labels of the present series, in the page's form; in text they end in a comma unless there are none.
    prefix: Vec<u8>,
    scratch: Vec<u8>,
    native: Native,
    lines: u64,
}

impl Writer {
    pub(super) fn new(format: Format) -> Self {
        Self { format, families: vec![], prefix: vec![], scratch: vec![], native: Native::default(), lines: 0 }
    }

    /// Begins a family; samples name it by the number that this returns, which counts from 0.
    pub(super) fn family(&mut self, name: impl Into<Cow<'static, str>>, kind: Kind, help: impl Into<Cow<'static, str>>) -> usize {
        self.families.push(Started { name: name.into(), kind, help: help.into(), body: vec![] });
        self.families.len() - 1
    }

    /// Samples that follow have these labels, as `Labels` rendered them, with the tenant in front if there is one.
    pub(super) fn series(&mut self, tenant: Option<&str>, text: &str) {
        self.prefix.clear();
        let prefix = &mut self.prefix;
        if self.format == Format::Protobuf {
            tenant.into_iter().for_each(|tenant| protobuf::put_label("tenant", tenant, prefix));
            return labels::each(text, |name, value| protobuf::put_label(name, value, prefix));
        }
        if let Some(tenant) = tenant {
            // A tenant is made of letters, digits and hyphens.
            prefix.extend_from_slice(b"tenant=\"");
            prefix.extend_from_slice(tenant.as_bytes());
            prefix.extend_from_slice(b"\",");
        }
        if !text.is_empty() {
            prefix.extend_from_slice(text.as_bytes());
            prefix.push(b',');
        }
    }

    /// A sample of a counter or a gauge. `created`: when a counter began, ns since 1970.
    pub(super) fn number(&mut self, family: usize, more: &[(&str, &str)], number: Number, created: Option<i64>) {
        if self.format == Format::Protobuf {
            let counts = self.families.get(family).is_some_and(|of| of.kind == Kind::Counter);
            let value = Some(number.float());
            let created = created.map(Timestamp::of);
            let body = if counts {
                MetricBody { counter: Some(protobuf::Counter { value, created }), ..MetricBody::default() }
            } else {
                MetricBody { gauge: Some(protobuf::Gauge { value }), ..MetricBody::default() }
            };
            return self.metric(family, more, &body);
        }
        let open = self.format == Format::OpenMetrics;
        let Some(of) = self.families.get_mut(family) else { return };
        let body = &mut of.body;
        body.extend_from_slice(of.name.as_bytes());
        put_labels(&self.prefix, more, body);
        put_number(number, body);
        body.push(b'\n');
        self.lines += 1;
        let base = of.name.strip_suffix("_total").filter(|_| open && of.kind == Kind::Counter);
        if let Some((base, created)) = base.zip(created) {
            body.extend_from_slice(base.as_bytes());
            put_created(&self.prefix, more, created, body);
            self.lines += 1;
        }
    }

    /// A histogram.
    pub(super) fn histogram(&mut self, family: usize, more: &[(&str, &str)], of: &Distribution<'_>) {
        if self.format == Format::Protobuf {
            let body = MetricBody { histogram: Some(self.native_and_classic(of)), ..MetricBody::default() };
            return self.metric(family, more, &body);
        }
        let open = self.format == Format::OpenMetrics;
        let Some(Started { name, body, .. }) = self.families.get_mut(family) else { return };
        // All of a bucket's line up to its bound is that of the bucket before.
        let head = &mut self.scratch;
        head.clear();
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b"_bucket{");
        head.extend_from_slice(&self.prefix);
        more.iter().for_each(|(name, value)| put_label(name, value, head));
        head.extend_from_slice(b"le=\"");
        let place = of.example.filter(|_| open).map(|e| (e, of.bounds.partition_point(|(bound, _)| *bound < e.seconds())));
        let mut below = 0_u64;
        let bounds = of.bounds.iter().map(|(_, text)| &**text).chain(["+Inf"]);
        for (n, (bound, count)) in bounds.zip(of.counts).enumerate() {
            below = below.saturating_add(*count);
            body.extend_from_slice(head);
            body.extend_from_slice(bound.as_bytes());
            body.extend_from_slice(b"\"} ");
            body.extend_from_slice(itoa::Buffer::new().format(below).as_bytes());
            if let Some((example, _)) = place.filter(|(_, place)| *place == n) {
                put_example(&example, body);
            }
            body.push(b'\n');
        }
        for (suffix, number) in [("_sum", Number::Float(of.sum)), ("_count", Number::Count(below))] {
            body.extend_from_slice(name.as_bytes());
            body.extend_from_slice(suffix.as_bytes());
            put_labels(&self.prefix, more, body);
            put_number(number, body);
            body.push(b'\n');
        }
        self.lines += of.counts.len() as u64 + 2;
        if let Some(created) = of.created.filter(|_| open) {
            body.extend_from_slice(name.as_bytes());
            put_created(&self.prefix, more, created, body);
            self.lines += 1;
        }
    }

    /// A family of plain values.
    pub(super) fn plain(&mut self, family: &Family) {
        let of = self.family(family.name.clone(), family.kind, family.help.clone());
        self.series(None, "");
        for sample in &family.samples {
            let more: Vec<(&str, &str)> = sample.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            match &sample.value {
                Value::Count(count) => self.number(of, &more, Number::Count(*count), None),
                Value::Number(number) => self.number(of, &more, Number::Float(*number), None),
                Value::Histogram { bounds, counts, sum } => {
                    let bounds: Vec<_> = bounds.iter().map(|bound| (*bound, Cow::Owned(canonical(*bound)))).collect();
                    let plain = Distribution { bounds: &bounds, counts, sum: *sum, created: None, example: None, native: None };
                    self.histogram(of, &more, &plain);
                }
            }
        }
    }

    /// Appends the page, and returns how many samples it has.
    pub(super) fn finish(self, out: &mut Vec<u8>) -> u64 {
        out.reserve(self.families.iter().map(|family| family.body.len() + 256).sum());
        for family in self.families.iter().filter(|family| !family.body.is_empty()) {
            match self.format {
                Format::Text => {
                    put_head(b"# HELP ", &family.name, &[&help(&family.help, false)], out);
                    put_head(b"# TYPE ", &family.name, &[word(family.kind)], out);
                }
                Format::OpenMetrics => {
                    let (base, kind) = family.open_metrics();
                    put_head(b"# TYPE ", base, &[kind], out);
                    if let Some(unit) = unit(base) {
                        put_head(b"# UNIT ", base, &[unit], out);
                    }
                    put_head(b"# HELP ", base, &[&help(&family.help, true)], out);
                }
                Format::Protobuf => {
                    let base = family.name.strip_suffix("_total").unwrap_or(&family.name);
                    let head = protobuf::FamilyHead {
                        name: Some(family.name.to_string()),
                        help: Some(family.help.to_string()),
                        kind: Some(protobuf::kind(family.kind)),
                        unit: unit(base).map(str::to_owned),
                    };
                    prost::encoding::encode_varint((head.encoded_len() + family.body.len()) as u64, out);
                    head.encode_raw(out);
                }
            }
            out.extend_from_slice(&family.body);
        }
        if self.format == Format::OpenMetrics {
            out.extend_from_slice(b"# EOF\n");
        }
        self.lines
    }

    /// Appends a metric with the present labels.
    fn metric(&mut self, family: usize, more: &[(&str, &str)], metric: &MetricBody) {
        self.lines += 1;
        let Some(of) = self.families.get_mut(family) else { return };
        self.scratch.clear();
        more.iter().for_each(|(name, value)| protobuf::put_label(name, value, &mut self.scratch));
        of.body.push(METRIC);
        let length = self.prefix.len() + self.scratch.len() + metric.encoded_len();
        prost::encoding::encode_varint(length as u64, &mut of.body);
        of.body.extend_from_slice(&self.prefix);
        of.body.extend_from_slice(&self.scratch);
        metric.encode_raw(&mut of.body);
    }

    fn native_and_classic(&mut self, of: &Distribution<'_>) -> protobuf::Histogram {
        let example = of.example.map(|example| {
            let label = protobuf::Label { name: Some("trace_id".to_owned()), value: Some(format!("{:032x}", example.trace_id)) };
            let at = Some(Timestamp::of(example.at));
            protobuf::Exemplar { labels: vec![label], value: Some(example.seconds()), at }
        });
        let place = of.example.map(|example| of.bounds.partition_point(|(bound, _)| *bound < example.seconds()));
        let mut below = 0_u64;
        let bounds = of.bounds.iter().map(|(bound, _)| *bound).chain([f64::INFINITY]);
        let buckets = bounds.zip(of.counts).enumerate().map(|(n, (bound, count))| {
            below = below.saturating_add(*count);
            let exemplar = example.clone().filter(|_| place == Some(n));
            protobuf::Bucket { cumulative: Some(below), bound: Some(bound), exemplar }
        });
        let buckets = buckets.collect();
        let mut histogram = protobuf::Histogram {
            count: Some(below),
            sum: Some(of.sum),
            buckets,
            created: of.created.map(Timestamp::of),
            ..protobuf::Histogram::default()
        };
        if let Some(native) = of.native {
            native.native(&mut self.native);
            histogram.schema = Some(native.scale());
            histogram.zero_threshold = Some(0.0);
            histogram.zero_count = Some(native.zero_count());
            let span = |(offset, length): &(i32, u32)| protobuf::Span { offset: Some(*offset), length: Some(*length) };
            histogram.spans = self.native.spans.iter().map(span).collect();
            histogram.deltas = std::mem::take(&mut self.native.deltas);
            histogram.exemplars = example.into_iter().collect();
        }
        histogram
    }
}

/// `name="value",`, escaped.
fn put_label(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    if value.contains(['\\', '"', '\n']) {
        let mut escaped = String::new();
        labels::push_escaped(&mut escaped, value);
        out.extend_from_slice(escaped.as_bytes());
    } else {
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"\",");
}

/// All labels in braces, if there are any, and the blank before the value.
fn put_labels(prefix: &[u8], more: &[(&str, &str)], out: &mut Vec<u8>) {
    if !prefix.is_empty() || !more.is_empty() {
        out.push(b'{');
        out.extend_from_slice(prefix);
        more.iter().for_each(|(name, value)| put_label(name, value, out));
        // The last comma.
        out.pop();
        out.push(b'}');
    }
    out.push(b' ');
}

fn put_created(prefix: &[u8], more: &[(&str, &str)], created: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"_created");
    put_labels(prefix, more, out);
    put_seconds(created, out);
    out.push(b'\n');
}

fn put_example(example: &Example, out: &mut Vec<u8>) {
    out.extend_from_slice(b" # {trace_id=\"");
    crate::emit::json::put_hex(out, &example.trace_id.to_be_bytes());
    out.extend_from_slice(b"\"} ");
    put_f64(out, example.seconds());
    out.push(b' ');
    put_seconds(example.at, out);
}

/// ns since 1970 as seconds, to the millisecond: a float of seconds holds no more than a microsecond of today.
fn put_seconds(nanos: i64, out: &mut Vec<u8>) {
    put_f64(out, nanos.div_euclid(1_000_000) as f64 / 1e3);
}

fn put_number(number: Number, out: &mut Vec<u8>) {
    match number {
        Number::Count(count) => out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes()),
        Number::Float(number) if number.is_finite() => put_f64(out, number),
        Number::Float(number) if number.is_nan() => out.extend_from_slice(b"NaN"),
        Number::Float(number) => out.extend_from_slice(if number > 0.0 { b"+Inf" } else { b"-Inf" }),
    }
}

/// A bound as readers of today write it: whole numbers with `.0`.
fn canonical(bound: f64) -> String {
    ryu::Buffer::new().format(bound).to_owned()
}

fn put_head(start: &[u8], name: &str, rest: &[&str], out: &mut Vec<u8>) {
    out.extend_from_slice(start);
    out.extend_from_slice(name.as_bytes());
    for part in rest {
        out.push(b' ');
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'\n');
}

/// Help texts have no line ends, and in `OpenMetrics` no bare quotes.
fn help(text: &str, quotes: bool) -> Cow<'_, str> {
    if !text.contains(['\\', '\n', '"']) {
        return Cow::Borrowed(text);
    }
    let escaped = text.replace('\\', "\\\\").replace('\n', "\\n");
    Cow::Owned(if quotes { escaped.replace('"', "\\\"") } else { escaped })
}
