//! Events in, over HTTP.
//!
//! Each body is decoded once with the pipeline's own decoder, only to answer: what is written is what came (large bodies in pieces, cut
//! between items). An answer of 2xx is given once the log has it durably. Bad items of a body that also has good ones are written too, and
//! become dead letters with their coordinates; a body without a good item is not written at all. One body goes to one partition in one append.

mod answer;
mod body;
mod door;
mod otlp;
mod refusal;
mod split;
mod verdict;

pub(crate) use answer::{Accepted, PartlyRefused};
pub(crate) use body::Budget;

use crate::problem::Problem;
use crate::state::{AppState, Inner};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use body::{Coding, Held};
use bytes::Bytes;
use door::{Door, Kind, Shape};
use golden_pipeline::names;
use golden_pipeline::source::Format;
use platform_core::record::{Headers, NewRecord, Partition, put_headers};
use refusal::Refusal;
use split::Piece;
use std::sync::atomic::Ordering;
use verdict::Verdict;

/// Longest value of a CloudEvents header that is kept.
const MAX_ATTRIBUTE: usize = 1024;

/// Takes events.
///
/// JSON: one object, an array, or objects one after the other (NDJSON); or CloudEvents, structured, batched or binary. Bodies may be
/// compressed with gzip or zstd and have 16 MiB after that. Answered with 2xx once everything is stored durably.
#[utoipa::path(
    post, path = "/api/v1/events", tag = "ingest",
    request_body(description = "Events. A generic event has `service` and `timestamp` (RFC 3339, or a number of s, ms, µs or ns since 1970), and may have `latency_ms`, `status`, `operation`, `host`, `namespace`, `tags`, `weight`, `id`, `outcome`.",
        content((serde_json::Value = "application/json"), (String = "application/x-ndjson"), (serde_json::Value = "application/cloudevents+json"), (serde_json::Value = "application/cloudevents-batch+json"))),
    responses(
        (status = 200, description = "All are stored", body = Accepted),
        (status = 400, description = "Some were refused; the good ones are stored. If there was none, nothing is", body = PartlyRefused, content_type = "application/problem+json"),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "Unknown content-type or content-encoding", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much at once: send it again after Retry-After seconds", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The disk is full or the log failed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn events(state: State<AppState>, headers: HeaderMap, body: Body) -> Response {
    ingest(state, Door::Events, headers, body).await
}

/// Takes OTLP/HTTP traces.
///
/// `ExportTraceServiceRequest` as Protobuf or JSON. Point an OpenTelemetry exporter at this server (`OTEL_EXPORTER_OTLP_ENDPOINT`).
/// Spans of kind server and consumer are requests; others are skipped.
#[utoipa::path(
    post, path = "/v1/traces", tag = "ingest",
    request_body(content((String = "application/x-protobuf"), (serde_json::Value = "application/json"))),
    responses(
        (status = 200, description = "`ExportTraceServiceResponse` in the encoding of the request, with `partial_success` when spans were refused"),
        (status = 400, description = "`google.rpc.Status`: nothing could be decoded, nothing is stored"),
        (status = 429, description = "Too much at once: send it again after Retry-After seconds"),
        (status = 503, description = "The disk is full or the log failed"),
    )
)]
pub(crate) async fn traces(state: State<AppState>, headers: HeaderMap, body: Body) -> Response {
    ingest(state, Door::Traces, headers, body).await
}

/// Takes OTLP/HTTP metrics, for saturation.
///
/// `ExportMetricsServiceRequest` as Protobuf or JSON. Gauges of resources (CPU, memory, threads, connections, queues, replicas) are taken;
/// everything else in it is passed over. No metric is an event.
#[utoipa::path(
    post, path = "/v1/metrics", tag = "ingest", operation_id = "otlp_metrics",
    request_body(content((String = "application/x-protobuf"), (serde_json::Value = "application/json"))),
    responses(
        (status = 200, description = "`ExportMetricsServiceResponse` in the encoding of the request"),
        (status = 400, description = "`google.rpc.Status`: nothing could be decoded, nothing is stored"),
        (status = 429, description = "Too much at once: send it again after Retry-After seconds"),
        (status = 503, description = "The disk is full or the log failed"),
    )
)]
pub(crate) async fn metrics(state: State<AppState>, headers: HeaderMap, body: Body) -> Response {
    ingest(state, Door::Metrics, headers, body).await
}

/// Takes Prometheus remote write 1.0 and 2.0, for saturation.
///
/// A snappy block of `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`, at most 1 MiB. Series of resources are taken; everything
/// else in it is passed over, so send no more than those (`write_relabel_configs`).
#[utoipa::path(
    post, path = "/api/v1/write", tag = "ingest",
    request_body(content((String = "application/x-protobuf"))),
    responses(
        (status = 204, description = "All is stored; of version 2.0 the headers X-Prometheus-Remote-Write-…-Written say how much that was"),
        (status = 400, description = "It could not be decoded; nothing is stored", body = PartlyRefused, content_type = "application/problem+json"),
        (status = 415, description = "Unknown content-type or content-encoding", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too much at once: send it again after Retry-After seconds", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The disk is full or the log failed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn remote_write(state: State<AppState>, headers: HeaderMap, body: Body) -> Response {
    ingest(state, Door::RemoteWrite, headers, body).await
}

/// Takes Zipkin v2 spans.
#[utoipa::path(
    post, path = "/api/v2/spans", tag = "ingest",
    request_body(content((serde_json::Value = "application/json"))),
    responses(
        (status = 202, description = "All are stored", body = Accepted),
        (status = 400, description = "Some were refused; the good ones are stored. If there was none, nothing is", body = PartlyRefused, content_type = "application/problem+json"),
        (status = 429, description = "Too much at once", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The disk is full or the log failed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn zipkin(state: State<AppState>, headers: HeaderMap, body: Body) -> Response {
    ingest(state, Door::Zipkin, headers, body).await
}

async fn ingest(State(state): State<AppState>, door: Door, headers: HeaderMap, body: Body) -> Response {
    let outcome = take(state, door, &headers, body).await;
    answer::answer(door, headers.get(header::CONTENT_TYPE), outcome)
}

async fn take(state: AppState, door: Door, headers: &HeaderMap, body: Body) -> Result<Verdict, Refusal> {
    if headers.get("x-scope-orgid").is_some_and(|tenant| tenant != crate::TENANT) {
        return Err(Refusal::Tenant);
    }
    let kind = door.kind(headers)?;
    let coding = Coding::of(headers, door)?;
    let attributes = attributes(headers, kind);
    let limits = state.inner().parts.limits;
    let mut held = state.inner().budget.hold();
    let read = tokio::time::timeout(limits.body_wait, body::read(body, limits.body, &mut held));
    let body = read.await.map_err(|_| Refusal::TooSlow)??;
    held.arrived()?;
    let stored = tokio::task::spawn_blocking(move || store(state.inner(), kind, coding, &attributes, body, &mut held));
    stored.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a body could not be handled");
        Err(Refusal::Defect)
    })
}

/// Attributes of a binary CloudEvent, from `ce-…` headers; nothing else of the request gets into a record.
fn attributes(headers: &HeaderMap, kind: Kind) -> Vec<(String, Vec<u8>)> {
    let named = headers.iter().filter_map(|(name, value)| Some((name.as_str().strip_prefix("ce-")?, value)));
    let kept = named.filter(|(_, value)| kind.shape == Shape::Single && value.len() <= MAX_ATTRIBUTE);
    kept.map(|(name, value)| (format!("ce_{name}"), value.as_bytes().to_vec())).collect()
}

fn store(
    inner: &Inner,
    kind: Kind,
    coding: Coding,
    attributes: &[(String, Vec<u8>)],
    body: Bytes,
    held: &mut Held,
) -> Result<Verdict, Refusal> {
    let body = body::inflate(body, coding, inner.parts.limits.body, held)?;
    if body.is_empty() && kind.shape == Shape::OtlpProto {
        return Ok(Verdict::default()); // a request without spans has no bytes at all
    }
    let pieces = split::split(&body, kind.shape)?;
    let mut headers = vec![(names::CONTENT_TYPE, kind.content_type.as_bytes()), (names::FORMAT, kind.format.name().as_bytes())];
    headers.extend(attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice())));
    let mut encoded = Vec::new();
    put_headers(&mut encoded, &headers);
    let mut decoder = (inner.parts.decoders)(kind.format);
    let lines = kind.format == Format::Json && body.trim_ascii_start().first() != Some(&b'[');
    let verdict = Verdict::of(&body, &pieces, Headers::from_encoded(&encoded), &mut *decoder, lines);
    if verdict.accepted + verdict.skipped > 0 {
        let values = pieces.iter().filter_map(|piece| match piece {
            Piece::Record { bytes, .. } => Some(&**bytes),
            Piece::Oversized { .. } => None,
        });
        let records: Vec<NewRecord<'_>> = values.map(|value| NewRecord { key: None, headers: &headers, value: Some(value) }).collect();
        let turn = inner.turn.fetch_add(1, Ordering::Relaxed) % inner.partitions.max(1);
        inner.producer.append(&Partition::new(&inner.parts.topics.events, turn), &records)?;
    }
    Ok(verdict)
}
