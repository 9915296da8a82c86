//! The ways in: which path takes which media types, and as which format the pipeline then reads the records.
//!
//! A content-type is required everywhere: without one (or with that of an HTML form) a foreign web page could make a browser send events.

use super::refusal::Refusal;
use axum::http::{HeaderMap, header};
use golden_pipeline::source::Format;

/// Which path a body came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// `POST /api/v1/events`
    Events,
    /// `POST /v1/traces`
    Traces,
    /// `POST /v1/metrics`
    Metrics,
    /// `POST /api/v1/write`
    RemoteWrite,
    /// `POST /api/v2/spans`
    Zipkin,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub format: Format,
    /// The value of the header `content-type` of the records.
    pub content_type: &'static str,
    pub shape: Shape,
}

/// How a body holds its items; where it may be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Objects one after the other, or one array of them.
    Json,
    /// One object a line.
    Lines,
    /// One array, each element its own record.
    Batch,
    /// Not split.
    Single,
    /// OTLP: traces or metrics, which are built alike.
    OtlpProto,
    /// Traces of OTLP.
    OtlpJson,
    /// Metrics of OTLP.
    OtlpMetricsJson,
}

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const PROTOBUF: &str = "application/x-protobuf";
const CLOUDEVENT: &str = "application/cloudevents+json";
const CLOUDEVENTS: &str = "application/cloudevents-batch+json";

impl Door {
    /// What a body with these headers is.
    pub(super) fn kind(self, headers: &HeaderMap) -> Result<Kind, Refusal> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match self {
            Self::Events => events(&media, headers.contains_key("ce-specversion")),
            Self::Traces => match &*media {
                PROTOBUF => Ok(kind(Format::OtlpProto, PROTOBUF, Shape::OtlpProto)),
                JSON => Ok(kind(Format::OtlpJson, JSON, Shape::OtlpJson)),
                _ => Err(Refusal::MediaType("send content-type: application/x-protobuf or application/json")),
            },
            Self::Metrics => match &*media {
                PROTOBUF => Ok(kind(Format::OtlpMetricsProto, PROTOBUF, Shape::OtlpProto)),
                JSON => Ok(kind(Format::OtlpMetricsJson, JSON, Shape::OtlpMetricsJson)),
                _ => Err(Refusal::MediaType("send content-type: application/x-protobuf or application/json")),
            },
            Self::RemoteWrite => remote_write(&media, content_type),
            Self::Zipkin => match &*media {
                JSON => Ok(kind(Format::ZipkinJson, JSON, Shape::Json)),
                _ => Err(Refusal::MediaType("send content-type: application/json (Zipkin v2 JSON); other encodings are not taken")),
            },
        }
    }
}

fn events(media: &str, binary_cloudevent: bool) -> Result<Kind, Refusal> {
    match media {
        JSON if binary_cloudevent => Ok(kind(Format::CloudEvents, JSON, Shape::Single)),
        CLOUDEVENT => Ok(kind(Format::CloudEvents, CLOUDEVENT, Shape::Single)),
        CLOUDEVENTS => Ok(kind(Format::CloudEvents, CLOUDEVENT, Shape::Batch)),
        JSON => Ok(kind(Format::Json, JSON, Shape::Json)),
        NDJSON | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => Ok(kind(Format::Json, NDJSON, Shape::Lines)),
        _ => Err(Refusal::MediaType(
            "send content-type: application/json (one object, an array, or objects one after the other), application/x-ndjson, \
             application/cloudevents+json or application/cloudevents-batch+json",
        )),
    }
}

/// Versions are told by the parameter `proto`; without it, it is 1.0.
fn remote_write(media: &str, content_type: &str) -> Result<Kind, Refusal> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let proto =
        parameters.filter(|(name, _)| name.trim().eq_ignore_ascii_case("proto")).map(|(_, value)| value.trim().trim_matches('"')).next();
    match (media, proto) {
        (PROTOBUF, None | Some("prometheus.WriteRequest")) => Ok(kind(Format::RemoteWrite, PROTOBUF, Shape::Single)),
        (PROTOBUF, Some("io.prometheus.write.v2.Request")) => Ok(kind(Format::RemoteWrite2, PROTOBUF, Shape::Single)),
        _ => {
            Err(Refusal::MediaType("send content-type: application/x-protobuf, for version 2.0 with proto=io.prometheus.write.v2.Request"))
        }
    }
}

fn kind(format: Format, content_type: &'static str, shape: Shape) -> Kind {
    Kind { format, content_type, shape }
}
