//! Bytes to events, under limits.
//!
//! A record holds one item or many (lines, array elements, spans). Each item becomes exactly one thing: an event, a skip with its reason, or
//! a dead letter with its reason; so `decoded = events + skipped + dead`. An item that is bad does not touch its neighbours. Decoders are
//! synchronous, borrow everything, keep their scratch between records, and allocate nothing per event once they are warm.
//! What this does not do: it keeps no state that an outcome depends on, and knows nothing of windows, lateness or series.

use crate::emit::remote_write::Content;
use crate::event::Event;
use crate::resource::Gauge;
use crate::source::{Format, Source};
use std::sync::Arc;

/// Ids of events and traces, and weights.
pub mod ids;
/// JSON: a strict scanner, and events out of objects.
pub mod json;

/// Largest item in bytes; a larger one is `size_exceeded`.
pub const MAX_ITEM: usize = 1 << 20;
/// Deepest nesting; deeper is `depth_exceeded`.
pub const MAX_DEPTH: usize = 32;

/// Which tags are needed downstream (dimensions of groupings, names in expressions): decoders look for these and pass over the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Canonical tag names (`env`, `region`, …, or any other), at most `MAX_WANTED`; `Event::tags` has the same order.
    pub tags: Vec<String>,
    /// Whether trace and span ids are needed (exemplars).
    pub traces: bool,
}

/// What a decoder makes of a record, item by item, in order.
pub trait Items {
    /// A request. `at` is the item's place in the record (its number from 0, or for text lines and NDJSON its byte offset).
    fn event(&mut self, at: u32, event: &Event<'_>);

    /// Well-formed, but not a request here.
    fn skipped(&mut self, at: u32, reason: Skip);

    /// A sample of a resource: no event, and no item of its own; the record that holds it is skipped as `Skip::Metrics`.
    fn gauge(&mut self, _gauge: &Gauge<'_>) {}

    /// All that a request of remote write 2.0 holds, looked at or passed over: its sender wants to be told.
    fn content(&mut self, _content: Content) {}

    /// Cannot be counted. `detail` says what is wrong without any text of the payload; `bytes` is the item, or the record when it
    /// cannot be opened.
    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]);
}

/// Decodes records of one source.
pub trait Decoder: Send {
    /// Reads one record to its end. Never fails, never panics on purpose: what is bad is given to `items` as dead.
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items);
}

/// Makes a decoder of one source that looks for these tags.
pub type MakeDecoder = Arc<dyn Fn(&Wanted) -> Box<dyn Decoder> + Send + Sync>;

/// A record as a decoder sees it.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Headers of the record.
    pub headers: platform_core::record::Headers<'a>,
    /// Key of the record.
    pub key: Option<&'a [u8]>,
    /// The bytes.
    pub value: &'a [u8],
    /// Where the record lies. Only the rounding of fractional weights asks for it, for events without an id.
    pub coordinate: Coordinate,
}

impl<'a> Input<'a> {
    /// A value alone: no headers, no key, the first record of the first partition.
    #[must_use]
    pub fn new(value: &'a [u8]) -> Self {
        Self { headers: platform_core::record::Headers::default(), key: None, value, coordinate: Coordinate::default() }
    }
}

/// Place of a record in its source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coordinate {
    /// Partition, from 0.
    pub partition: u32,
    /// Offset in it.
    pub offset: u64,
}

/// Why an item is not a request here. Labels of `golden_signals_skipped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// A span of a kind that is not counted.
    SpanKind,
    /// The other side of a request that is counted once.
    Direction,
    /// A null value.
    Tombstone,
    /// The source's filter says so.
    Filtered,
    /// Another signal: logs, a TCP line.
    OtherSignal,
    /// A record of metrics, which holds no event by its form: whatever came before it in its partition has been read. Counted as another
    /// signal.
    Metrics,
}

impl Skip {
    /// The name in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SpanKind => "span_kind",
            Self::Direction => "direction",
            Self::Tombstone => "tombstone",
            Self::Filtered => "filtered",
            Self::OtherSignal | Self::Metrics => "other_signal",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why an item became a dead letter. Names are stable: new ones may be added, none is renamed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The code in dead letters, metrics and answers.
            #[must_use]
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// Zero bytes.
    EmptyValue = "empty_value",
    /// Not valid JSON: also BOM, duplicate keys, trailing bytes.
    DecodeJson = "decode_json",
    /// Not valid Protobuf.
    DecodeProtobuf = "decode_protobuf",
    /// Not valid Avro.
    DecodeAvro = "decode_avro",
    /// Not valid Thrift.
    DecodeThrift = "decode_thrift",
    /// A text line that is not of the declared format.
    DecodeText = "decode_text",
    /// Not UTF-8.
    DecodeUtf8 = "decode_utf8",
    /// `auto` found nothing.
    FormatUnknown = "format_unknown",
    /// A wrapper is broken.
    EnvelopeInvalid = "envelope_invalid",
    /// A schema id that the registry does not know.
    SchemaUnknown = "schema_unknown",
    /// Mapped fields absent or of another type.
    SchemaMismatch = "schema_mismatch",
    /// An item above 1 MiB, or a field over its limit that has no code of its own.
    SizeExceeded = "size_exceeded",
    /// Nesting above 32.
    DepthExceeded = "depth_exceeded",
    /// Inner data above 8 MiB or a ratio above 100.
    DecompressLimit = "decompress_limit",
    /// No time.
    TimeMissing = "time_missing",
    /// A time that is zero, negative, not a time, or not representable.
    TimeInvalid = "time_invalid",
    /// Further ahead of its append time than `skew`.
    TimeFuture = "time_future",
    /// No service and no default.
    ServiceMissing = "service_missing",
    /// A service name of a bad length, or with control or bidi characters.
    ServiceInvalid = "service_invalid",
    /// A duration that is negative, not a number, infinite, or beyond a u64 of ns; an end before the start.
    LatencyInvalid = "latency_invalid",
    /// A status that is none.
    StatusInvalid = "status_invalid",
    /// A weight outside 1 to 1 000 000.
    WeightInvalid = "weight_invalid",
    /// A tenant that is not configured.
    TenantUnknown = "tenant_unknown",
    /// A mapped path has the wrong shape.
    MappingFailed = "mapping_failed",
    /// Decoding killed the process, or panicked.
    Crash = "crash",
}

/// What the decoders of access logs share.
mod access_log;
/// Formats told by the records themselves.
pub mod auto;
/// Avro in Confluent's frame.
pub mod avro;
/// Records that say themselves in which format they came.
pub mod by_header;
/// CloudEvents around `json`.
pub mod cloudevents;
/// JSON documents of many spans.
mod document;
/// Compression, log shippers, Kafka Connect: what lies around a payload.
pub mod envelope;
/// Access logs of Envoy and Istio.
pub mod envoy;
/// Named texts of an item, and the step from them to an event.
mod fields;
/// What named samples mean.
mod gauges;
/// Panics become dead letters.
pub mod guarded;
/// Jaeger in JSON.
pub mod jaeger;
/// Lines and objects of access logs.
mod line;
/// Access logs of nginx and Apache.
pub mod nginx;
/// OTLP in JSON.
pub mod otlp_json;
/// Metrics of OTLP.
pub mod otlp_metrics;
/// OTLP in Protobuf.
pub mod otlp_proto;
/// Prometheus remote write.
pub mod remote_write;
/// Tells what a file is by its first bytes.
pub mod sniff;
/// What spans of all formats mean.
mod span;
/// Times and durations, exact.
pub mod timestamp;
/// Zipkin v2 in JSON.
pub mod zipkin;

/// The decoder of a source, with wrappers taken off and panics caught: the only way in which decoders are made for use.
#[must_use]
pub fn decoder(source: &Source, wanted: &Wanted) -> Box<dyn Decoder> {
    let (source, wanted) = (source.clone(), wanted.clone());
    Box::new(guarded::Guarded::new(Box::new(move || {
        let inner = match source.format {
            Format::Json => envelope::Inner::Json(Box::new(json::Json::new(&source, &wanted))),
            Format::Auto => envelope::Inner::Auto(auto::open(&source, &wanted)),
            _ => envelope::Inner::Other(auto::open(&source, &wanted)),
        };
        Box::new(envelope::Unwrap::new(inner))
    })))
}

/// For tests: what a decoder made of a record.
#[cfg(test)]
mod collected;
