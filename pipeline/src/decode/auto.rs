//! The `auto` format: told by the record itself, header first, then first byte, then the keys of the first object (SIGNALS §4).
//!
//! Each format that turns up gets a decoder of its own, made when it is first met. Text formats are declared, never guessed. Protobuf
//! cannot be told from other bytes: a content type, or the usual topic, must say it. Looking costs a second reading of the first object,
//! so a source that knows its format is faster.

use super::avro::Avro;
use super::cloudevents::{CloudEvents, header};
use super::envelope::{Time, Wrapped, unwrap};
use super::envoy::{EnvoyJson, EnvoyText};
use super::jaeger::JaegerJson;
use super::json::scan::{Fault, Keys, Scan, Value, space_end};
use super::json::{Around, Json};
use super::nginx::{Combined, NginxIngress, NginxJson};
use super::otlp_json::OtlpJson;
use super::otlp_metrics::{Encoding, OtlpMetrics};
use super::otlp_proto::OtlpProto;
use super::remote_write::{RemoteWrite, Version};
use super::zipkin::ZipkinJson;
use super::{Decoder, Input, Items, Reason, Skip, Wanted};
use crate::source::{Format, Source};

/// Topic that OpenTelemetry collectors fill with Protobuf unless told otherwise.
const OTLP_TOPIC: &str = "otlp_spans";
/// The same for metrics.
const OTLP_METRICS_TOPIC: &str = "otlp_metrics";
/// Wrappers inside wrappers that are taken off.
const MAX_WRAPPERS: usize = 3;

/// What a record looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detected {
    /// A format.
    Is(Format),
    /// An object that a log shipper or Kafka Connect may have wrapped.
    Wrapper,
    /// Nothing known; why.
    Unknown(&'static str),
}

/// Tells the format of a record, compression already undone. `topic` is that of the source.
pub fn detect(input: &Input<'_>, topic: Option<&str>, keys: &mut Keys) -> Detected {
    let content_type = content_type(input).unwrap_or_default();
    let is = |prefix: &str| content_type.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()));
    if is("application/cloudevents") || header(input, "specversion").is_some() {
        return Detected::Is(Format::CloudEvents);
    }
    if is("application/x-protobuf") || is("application/protobuf") || is("application/vnd.google.protobuf") {
        return Detected::Is(if topic == Some(OTLP_METRICS_TOPIC) { Format::OtlpMetricsProto } else { Format::OtlpProto });
    }
    if input.headers.get("__value_schema_id").is_some() {
        return Detected::Unknown("a record of a schema registry, which this version does not read");
    }
    match *input.value {
        [0x00, _, _, _, _, ..] => return Detected::Unknown("looks like a Confluent schema id, which this version does not read"),
        [0x03, 0x00 | 0x05, ..] if input.value.len() >= 18 => {
            return Detected::Unknown("looks like a Glue schema id, which this version does not read");
        }
        [0x0C, ..] => return Detected::Unknown("looks like Zipkin's Thrift, which this version does not read"),
        [0x0A, ..] if topic == Some(OTLP_TOPIC) => return Detected::Is(Format::OtlpProto),
        [0x0A, ..] if topic == Some(OTLP_METRICS_TOPIC) => return Detected::Is(Format::OtlpMetricsProto),
        _ => {}
    }
    match input.value.get(space_end(input.value, 0)) {
        Some(b'{' | b'[') => by_keys(input.value, keys),
        _ if input.value.starts_with("\u{feff}".as_bytes()) => Detected::Is(Format::Json), // which refuses the mark
        _ => Detected::Unknown("no JSON, and no mark of another format; text formats must be declared"),
    }
}

/// Content type of a record; the case of the header's name does not matter.
fn content_type<'a>(input: &Input<'a>) -> Option<&'a [u8]> {
    input.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, value)| value)
}

/// Keys of the first object that tell a format.
#[derive(Default)]
struct Seen {
    otlp: bool,
    metrics: bool,
    cloud_events: bool,
    schema: bool,
    payload: bool,
    trace_id: bool,
    jaeger_trace_id: bool,
    id: bool,
    operation_name: bool,
    spans: bool,
    response_flags: bool,
    shipped: bool,
}

/// Tells a JSON format by the keys of the first object. Broken JSON is `json`, which says what is wrong.
fn by_keys(value: &[u8], keys: &mut Keys) -> Detected {
    let text = std::str::from_utf8(value).or_else(|error| std::str::from_utf8(value.get(..error.valid_up_to()).unwrap_or_default()));
    let text = text.unwrap_or_default();
    let mut start = space_end(value, 0);
    if value.get(start) == Some(&b'[') {
        start = space_end(value, start + 1);
    }
    let mut seen = Seen::default();
    let mut scan = Scan::starting(text, start, keys);
    let _broken = scan.object(|scan, key| {
        match key.as_plain() {
            Some("resourceSpans" | "batches" | "resourceLogs") => seen.otlp = true,
            Some("resourceMetrics") => seen.metrics = true,
            Some("specversion") => seen.cloud_events = true,
            Some("schema") => seen.schema = true,
            Some("payload") => seen.payload = true,
            Some("traceId") => seen.trace_id = true,
            Some("traceID") => seen.jaeger_trace_id = true,
            Some("id") => seen.id = true,
            Some("operationName") => seen.operation_name = true,
            Some("response_flags") => seen.response_flags = true,
            Some("log" | "message") => seen.shipped = true,
            Some("data") => {
                return match scan.value()? {
                    Value::Object => has_spans(scan, &mut seen.spans),
                    Value::Array => scan.array(|scan| match scan.value()? {
                        Value::Object => has_spans(scan, &mut seen.spans),
                        Value::Array => scan.skip(),
                        _ => Ok(()),
                    }),
                    _ => Ok(()),
                };
            }
            _ => {}
        }
        scan.skip()
    });
    seen.format()
}

fn has_spans(scan: &mut Scan<'_, '_>, spans: &mut bool) -> Result<(), Fault> {
    scan.object(|scan, key| {
        *spans |= key.is("spans");
        scan.skip()
    })
}

impl Seen {
    fn format(&self) -> Detected {
        let is = Detected::Is;
        match self {
            Self { otlp: true, .. } => is(Format::OtlpJson),
            Self { metrics: true, .. } => is(Format::OtlpMetricsJson),
            Self { cloud_events: true, .. } => is(Format::CloudEvents),
            Self { schema: true, payload: true, .. } => Detected::Wrapper,
            Self { trace_id: true, id: true, .. } => is(Format::ZipkinJson),
            Self { operation_name: true, .. } if self.trace_id || self.jaeger_trace_id => is(Format::JaegerJson),
            Self { spans: true, .. } => is(Format::JaegerJson),
            Self { response_flags: true, .. } => is(Format::EnvoyJson),
            Self { shipped: true, .. } => Detected::Wrapper,
            _ => is(Format::Json),
        }
    }
}

/// Decodes records of any format that can be told.
pub struct Auto {
    source: Source,
    wanted: Wanted,
    json: Box<Json>,
    others: Vec<(Format, Box<dyn Decoder>)>,
    keys: Keys,
}

impl Auto {
    /// A decoder for one source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        let json = Box::new(Json::new(&source.as_format(Format::Json), wanted));
        Self { source: source.clone(), wanted: wanted.clone(), json, others: Vec::new(), keys: Keys::default() }
    }

    fn decode_detected(&mut self, input: &Input<'_>, time: Option<&str>, wrappers: usize, items: &mut dyn Items) {
        match detect(input, self.source.topic.as_deref(), &mut self.keys) {
            Detected::Unknown(_) if input.value.is_empty() => items.dead(0, Reason::EmptyValue, "zero bytes", input.value),
            Detected::Unknown(detail) => items.dead(0, Reason::FormatUnknown, detail, input.value),
            Detected::Is(Format::Json) => self.json.decode_bytes(input.value, &Around { time, ..Around::of(input) }, items),
            Detected::Is(format) => self.of_format(format).decode(input, items),
            Detected::Wrapper => {
                let mut keys = std::mem::take(&mut self.keys);
                match unwrap(input.value, &mut keys) {
                    Wrapped::Nothing => items.skipped(0, Skip::Tombstone),
                    Wrapped::Broken(detail) => items.dead(0, Reason::EnvelopeInvalid, detail, input.value),
                    Wrapped::Holds(text, at) if wrappers < MAX_WRAPPERS => {
                        let (mut payload, mut kept) = (String::new(), String::new());
                        text.unescape_into(&mut payload);
                        let time = at.map(|at: Time<'_>| at.text(&mut kept)).or(time);
                        self.decode_detected(&Input { value: payload.as_bytes(), ..*input }, time, wrappers + 1, items);
                    }
                    // An object of its own that happens to have such a field.
                    Wrapped::Bare | Wrapped::Holds(..) => {
                        self.json.decode_bytes(input.value, &Around { time, ..Around::of(input) }, items);
                    }
                }
                self.keys = keys;
            }
        }
    }

    fn of_format(&mut self, format: Format) -> &mut dyn Decoder {
        let known = self.others.iter().position(|(of, _)| *of == format).unwrap_or_else(|| {
            self.others.push((format, open(&self.source.as_format(format), &self.wanted)));
            self.others.len() - 1
        });
        match self.others.get_mut(known) {
            Some((_, decoder)) => decoder.as_mut(),
            None => self.json.as_mut(),
        }
    }
}

impl Decoder for Auto {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.decode_detected(input, None, 0, items);
    }
}

/// The bare decoder of a source's format, without wrappers.
pub(crate) fn open(source: &Source, wanted: &Wanted) -> Box<dyn Decoder> {
    match source.format {
        Format::Auto => Box::new(Auto::new(source, wanted)),
        Format::Json => Box::new(Json::new(source, wanted)),
        Format::OtlpProto => Box::new(OtlpProto::new(source, wanted)),
        Format::OtlpJson => Box::new(OtlpJson::new(source, wanted)),
        Format::OtlpMetricsProto => Box::new(OtlpMetrics::new(Encoding::Proto, source)),
        Format::OtlpMetricsJson => Box::new(OtlpMetrics::new(Encoding::Json, source)),
        Format::RemoteWrite => Box::new(RemoteWrite::new(Version::One, source)),
        Format::RemoteWrite2 => Box::new(RemoteWrite::new(Version::Two, source)),
        Format::ZipkinJson => Box::new(ZipkinJson::new(source, wanted)),
        Format::JaegerJson => Box::new(JaegerJson::new(source, wanted)),
        Format::EnvoyJson => Box::new(EnvoyJson::new(source, wanted)),
        Format::EnvoyText => Box::new(EnvoyText::new(source, wanted)),
        Format::NginxJson => Box::new(NginxJson::new(source, wanted)),
        Format::NginxIngress => Box::new(NginxIngress::new(source, wanted)),
        Format::Combined => Box::new(Combined::new(source, wanted)),
        Format::CloudEvents => Box::new(CloudEvents::new(source, wanted)),
        Format::Avro => Box::new(Avro::new(source, wanted)),
    }
}

#[cfg(test)]
mod tests;
