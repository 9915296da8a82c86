//! A source: its format, and what its fields mean (SIGNALS §4.2, the source mapping file).
//!
//! Plain values, complete once read: what a file does not say has the default of its format. A file is refused as a whole, with the place,
//! the mistake and what would be right, before any record is read with it. Decoding does not happen here.
//!
//! ```
//! use golden_pipeline::source::{Format, Source};
//!
//! let source = Source::from_yaml("sources/uptime.yaml", "
//! source: uptime-checks
//! format: json
//! defaults: {namespace: shop, env: prod}
//! filter: {path: tags.kind, not_in: [probe]}
//! ").unwrap();
//! assert_eq!(source.format, Format::Json);
//!
//! let error = Source::from_yaml("sources/uptime.yaml", "source: uptime-checks\nformat: jsn\n").unwrap_err();
//! let said = error.to_string();
//! assert!(said.starts_with("sources/uptime.yaml") && said.contains("`jsn`; did you mean `json`?"), "{said}");
//! ```

use crate::decode::timestamp::{Moment, Placing, TimeUnit, Unit};
use crate::outcome::Outcome;
use crate::resource::Measure;

/// Reading a mapping file, and what it must hold.
mod file;
/// Where schemas come from.
mod schemas;

pub use file::SourceError;
pub use schemas::{SchemaError, SchemaSource, SchemaTexts, Schemas, UnknownSchema};

/// Encoding of a source's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Told by the record itself.
    #[default]
    Auto,
    /// Objects, arrays of objects, or newline-delimited objects, with names from the mapping.
    Json,
    /// `ExportTraceServiceRequest`, Protobuf.
    OtlpProto,
    /// `ExportTraceServiceRequest`, JSON.
    OtlpJson,
    /// `ExportMetricsServiceRequest`, Protobuf: resources, for saturation.
    OtlpMetricsProto,
    /// `ExportMetricsServiceRequest`, JSON.
    OtlpMetricsJson,
    /// Prometheus remote write 1.0, snappy: resources, for saturation.
    RemoteWrite,
    /// Prometheus remote write 2.0, snappy.
    RemoteWrite2,
    /// Zipkin v2 list or single span.
    ZipkinJson,
    /// Jaeger UI export, or one span per record.
    JaegerJson,
    /// Istio's and Envoy's access log, JSON.
    EnvoyJson,
    /// Istio's default access log line.
    EnvoyText,
    /// nginx with `escape=json`.
    NginxJson,
    /// ingress-nginx's default line.
    NginxIngress,
    /// nginx `combined` and Apache `combined`.
    Combined,
    /// CloudEvents, structured or binary, around `json`.
    CloudEvents,
    /// Avro in Confluent's frame, with names from the mapping.
    Avro,
}

impl Format {
    /// Every format that is read.
    pub const ALL: [Self; 17] = [
        Self::Auto,
        Self::Json,
        Self::OtlpProto,
        Self::OtlpJson,
        Self::OtlpMetricsProto,
        Self::OtlpMetricsJson,
        Self::RemoteWrite,
        Self::RemoteWrite2,
        Self::ZipkinJson,
        Self::JaegerJson,
        Self::EnvoyJson,
        Self::EnvoyText,
        Self::NginxJson,
        Self::NginxIngress,
        Self::Combined,
        Self::CloudEvents,
        Self::Avro,
    ];

    /// Its name in mapping files and dead letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::OtlpProto => "otlp_proto",
            Self::OtlpJson => "otlp_json",
            Self::OtlpMetricsProto => "otlp_metrics_proto",
            Self::OtlpMetricsJson => "otlp_metrics_json",
            Self::RemoteWrite => "remote_write",
            Self::RemoteWrite2 => "remote_write_2",
            Self::ZipkinJson => "zipkin_json",
            Self::JaegerJson => "jaeger_json",
            Self::EnvoyJson => "envoy_json",
            Self::EnvoyText => "envoy_text",
            Self::NginxJson => "nginx_json",
            Self::NginxIngress => "nginx_ingress",
            Self::Combined => "combined",
            Self::CloudEvents => "cloudevents",
            Self::Avro => "avro",
        }
    }

    /// A format by its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    /// Whether its items are spans, which have a kind.
    #[must_use]
    pub fn is_spans(self) -> bool {
        matches!(self, Self::OtlpProto | Self::OtlpJson | Self::ZipkinJson | Self::JaegerJson)
    }

    /// Whether names of fields come from the mapping (`auto` may turn out to be `json`).
    #[must_use]
    pub fn is_mapped(self) -> bool {
        matches!(self, Self::Auto | Self::Json | Self::CloudEvents | Self::Avro)
    }
}

/// Where a source's events come from and what its fields mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Label `source` of the counters; unique among the sources.
    pub name: String,
    /// Topic that is read; none for files and standard input.
    pub topic: Option<String>,
    /// Encoding of the records.
    pub format: Format,
    /// Schemas of the records, for `avro`.
    pub schemas: SchemaSource,
    /// What a number means as a time.
    pub timestamp_unit: TimeUnit,
    /// Seconds east of UTC for dates without an offset; without it they are refused.
    pub timezone: Option<i32>,
    /// What the given time denotes, and what the event time shall be.
    pub placing: Placing,
    /// Whether operations are templates already.
    pub operation: OperationRule,
    /// Kinds of span that are requests.
    pub span_kinds: SpanKinds,
    /// Which end of a mesh counts a request.
    pub direction: Direction,
    /// Whether Envoy's operation is the route's name instead of the templated path.
    pub route: Route,
    /// Whether Envoy's `authority` may name the service; the caller chooses it.
    pub authority: bool,
    /// A file, a replay, a backtest: it has no append times, and it ends.
    pub bounded: bool,
    /// What stands in for absent fields.
    pub defaults: Defaults,
    /// Where an object's fields are, for formats whose names come from the mapping.
    pub fields: Fields,
    /// Names of further gauges, and what they measure; for metrics.
    pub gauges: Vec<(String, Measure)>,
    /// Rules in front of the table of outcomes; the first that matches wins.
    pub outcome: Vec<OutcomeRule>,
    /// All must hold, else the item is skipped.
    pub filter: Vec<Condition>,
    /// Which events are one and the same.
    pub dedup: Dedup,
    /// Who owns the events.
    pub tenant: Tenant,
}

/// Whether operations are templates already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationRule {
    /// Taken as they are.
    Verbatim,
    /// Raw paths, to be made into templates.
    Template,
}

/// Kinds of span that are requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanKinds {
    /// The service answered a request.
    pub server: bool,
    /// The service took a message.
    pub consumer: bool,
    /// The service asked another one.
    pub client: bool,
    /// The service sent a message.
    pub producer: bool,
    /// Inside one service.
    pub internal: bool,
}

/// Which end of a mesh counts a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Where it comes in.
    Inbound,
    /// Where it goes out: gateways.
    Outbound,
    /// Each line counts.
    Both,
}

/// What Envoy's operation is made of, beside the method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The path, made into a template.
    Path,
    /// `route_name`, as it is.
    RouteName,
}

/// What stands in for absent fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Name of the service.
    pub service: Option<String>,
    /// Namespace of the service.
    pub namespace: Option<String>,
    /// Operation.
    pub operation: Option<String>,
    /// Host.
    pub host: Option<String>,
    /// Tags by canonical name, in order of name.
    pub tags: Vec<(String, String)>,
}

impl Defaults {
    /// The default of a tag; empty when it has none.
    #[must_use]
    pub fn tag(&self, name: &str) -> &str {
        self.tags.iter().find(|(tag, _)| tag == name).map_or("", |(_, value)| value)
    }
}

/// A place in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Path {
    /// Keys from the outermost object inwards, without characters that JSON escapes. A key that holds the dots itself is found too.
    Body(Vec<String>),
    /// A header of the record.
    Header(String),
    /// The record's key.
    Key,
}

impl Path {
    /// A place by its spelling in mapping files: dotted, `header:NAME` or `key`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "key" {
            return Some(Self::Key);
        }
        if let Some(name) = text.strip_prefix("header:") {
            return (!name.is_empty()).then(|| Self::Header(name.to_owned()));
        }
        let keys: Vec<String> = text.split('.').map(str::to_owned).collect();
        let plain = |key: &String| !key.is_empty() && !key.chars().any(|c| c.is_control() || matches!(c, '"' | '\\'));
        (keys.len() <= crate::decode::MAX_DEPTH && keys.iter().all(plain)).then_some(Self::Body(keys))
    }
}

/// Where an object's fields are; of several places the first present one wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    /// When it happened.
    pub timestamp: Vec<Path>,
    /// How long it took; each place has its unit.
    pub duration: Vec<(Path, Unit)>,
    /// Name of the service.
    pub service: Vec<Path>,
    /// Namespace of the service.
    pub namespace: Vec<Path>,
    /// Operation.
    pub operation: Vec<Path>,
    /// HTTP status, or a word.
    pub status: Vec<Path>,
    /// gRPC status, a number or a name.
    pub grpc_status: Vec<Path>,
    /// Outcome as the producer states it.
    pub outcome: Vec<Path>,
    /// Kind of error.
    pub error_type: Vec<Path>,
    /// Host that served the request.
    pub host: Vec<Path>,
    /// Requests that an event stands for.
    pub weight: Vec<Path>,
    /// Trace.
    pub trace_id: Vec<Path>,
    /// Span.
    pub span_id: Vec<Path>,
    /// Whether the trace was kept.
    pub sampled: Vec<Path>,
    /// Tags by canonical name; a tag that is not listed is `tags.NAME`.
    pub tags: Vec<(String, Vec<Path>)>,
}

impl Default for Fields {
    /// The names of the `json` format.
    fn default() -> Self {
        let body = |names: &[&str]| names.iter().filter_map(|name| Path::parse(name)).collect::<Vec<_>>();
        let units = [Unit::Millis, Unit::Nanos];
        Self {
            timestamp: body(&["timestamp"]),
            duration: body(&["latency_ms", "duration_ns"]).into_iter().zip(units).collect(),
            service: body(&["service"]),
            namespace: body(&["namespace"]),
            operation: body(&["operation"]),
            status: body(&["status"]),
            grpc_status: Vec::new(),
            outcome: body(&["outcome"]),
            error_type: body(&["error_type"]),
            host: body(&["host"]),
            weight: body(&["weight"]),
            trace_id: body(&["trace_id", "tags.trace_id"]),
            span_id: body(&["span_id", "tags.span_id"]),
            sampled: Vec::new(),
            tags: Vec::new(),
        }
    }
}

impl Fields {
    /// The places of a tag.
    #[must_use]
    pub fn tag(&self, name: &str) -> Vec<Path> {
        let listed = self.tags.iter().find(|(tag, _)| tag == name).map(|(_, paths)| paths.clone());
        listed.unwrap_or_else(|| Path::parse(&format!("tags.{name}")).into_iter().collect())
    }
}

/// A condition on one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The place.
    pub path: Path,
    /// Texts, or classes of status such as `5xx`.
    pub values: Vec<String>,
    /// Whether the place must hold one of them (`in`), or none (`not_in`; also when it is absent).
    pub inside: bool,
}

impl Condition {
    /// Whether the condition holds for what stands at the place.
    #[must_use]
    pub fn holds(&self, value: Option<&str>) -> bool {
        self.inside == value.is_some_and(|value| self.values.iter().any(|pattern| matches(pattern, value)))
    }
}

/// Whether a text is a pattern's: equal, or three digits of its class (`5xx`).
fn matches(pattern: &str, value: &str) -> bool {
    match (pattern.as_bytes(), value.as_bytes()) {
        ([class @ b'1'..=b'9', b'x', b'x'], [first, b'0'..=b'9', b'0'..=b'9']) => class == first,
        (pattern, value) => pattern == value,
    }
}

/// A rule in front of the table of outcomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRule {
    /// When it applies.
    pub when: Condition,
    /// Services it is for; none: all.
    pub services: Vec<String>,
    /// The outcome.
    pub is: Outcome,
}

/// Which events are one and the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dedup {
    /// Each is another.
    Off,
    /// Those with the id that the format has for it: trace and span, `source` and `id`, `request_id`, or `id`.
    OfFormat,
    /// Those with the same texts at these places. An event that lacks one has no id.
    By(Vec<Path>),
}

/// Who owns the events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// One tenant for all.
    Fixed(String),
    /// The one named by this header of the record.
    Header(String),
    /// The one named by the record's key.
    Key,
}

impl Source {
    /// The built-in mapping of a format. Its name is the format's.
    #[must_use]
    pub fn for_format(format: Format) -> Self {
        let given = match format {
            Format::EnvoyJson | Format::EnvoyText | Format::Combined => Some(Moment::Start),
            Format::NginxJson | Format::NginxIngress => Some(Moment::End),
            _ if format.is_spans() => Some(Moment::Start),
            _ => None,
        };
        Self {
            name: format.name().to_owned(),
            topic: None,
            format,
            schemas: SchemaSource::None,
            timestamp_unit: TimeUnit::Auto,
            timezone: None,
            placing: Placing { given, wanted: format.is_spans().then_some(Moment::End) },
            operation: if format.is_mapped() || format.is_spans() { OperationRule::Verbatim } else { OperationRule::Template },
            span_kinds: SpanKinds { server: true, consumer: true, client: false, producer: false, internal: false },
            direction: Direction::Inbound,
            route: Route::Path,
            authority: false,
            bounded: false,
            defaults: Defaults::default(),
            fields: Fields::default(),
            gauges: Vec::new(),
            outcome: Vec::new(),
            filter: Vec::new(),
            dedup: Dedup::Off,
            tenant: Tenant::Fixed("default".to_owned()),
        }
    }

    /// This source with another format: what `auto` found in a record. Times are then placed as that format needs it.
    #[must_use]
    pub fn as_format(&self, format: Format) -> Self {
        let of_format = Self::for_format(format);
        let placing = if self.placing == Placing::default() { of_format.placing } else { self.placing };
        Self { format, placing, operation: of_format.operation, ..self.clone() }
    }

    /// Every place of a record that it names, that of the tenant apart.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Path> {
        // Whole, so that no field can be forgotten.
        let Fields {
            timestamp,
            duration,
            service,
            namespace,
            operation,
            status,
            grpc_status,
            outcome,
            error_type,
            host,
            weight,
            trace_id,
            span_id,
            sampled,
            tags,
        } = &self.fields;
        let lists =
            [timestamp, service, namespace, operation, status, grpc_status, outcome, error_type, host, weight, trace_id, span_id, sampled];
        let id: &[Path] = if let Dedup::By(places) = &self.dedup { places } else { &[] };
        let fields = lists.into_iter().chain(tags.iter().map(|(_, places)| places)).flatten();
        let rules = self.outcome.iter().map(|rule| &rule.when).chain(&self.filter).map(|condition| &condition.path);
        fields.chain(duration.iter().map(|(place, _)| place)).chain(rules).chain(id)
    }

    /// Whether decoding looks at headers of records. Only mapped objects may do without: other formats may be told by headers.
    #[must_use]
    pub fn looks_at_headers(&self) -> bool {
        let by_place = self.places().any(|place| matches!(place, Path::Header(_)));
        self.format != Format::Json || by_place || matches!(self.tenant, Tenant::Header(_))
    }

    /// Reads a mapping file; `file` names it in errors.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub fn from_yaml(file: &str, yaml: &str) -> Result<Self, SourceError> {
        file::read(file, yaml)
    }

    /// The outcome that the source's own rules state, if any. `value` gives the text at the place of the rule with this number.
    #[must_use]
    pub fn stated_outcome<'v>(&self, service: &str, value: impl Fn(usize, &Path) -> Option<&'v str>) -> Option<Outcome> {
        let applies = |rule: &OutcomeRule| rule.services.is_empty() || rule.services.iter().any(|s| s == service);
        let mut rules = self.outcome.iter().enumerate();
        rules.find(|(number, rule)| applies(rule) && rule.when.holds(value(*number, &rule.when.path))).map(|(_, rule)| rule.is)
    }

    /// Whether the source's filter lets an item pass. `value` gives the text at the place of the condition with this number.
    #[must_use]
    pub fn passes<'v>(&self, value: impl Fn(usize, &Path) -> Option<&'v str>) -> bool {
        self.filter.iter().enumerate().all(|(number, condition)| condition.holds(value(number, &condition.path)))
    }
}

#[cfg(test)]
mod tests;
