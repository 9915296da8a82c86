//! What a sender is told, in the form that its protocol expects.
//!
//! Remote write: 204 when all is stored, to version 2.0 with how much that was. Events and Zipkin: JSON, problems as `application/problem+json`. OTLP/HTTP: an
//! `ExportTraceServiceResponse` (or that of metrics), or on failure a `google.rpc.Status`, in the encoding of the request; both are a few bytes and written by hand.

use super::door::Door;
use super::refusal::Refusal;
use super::verdict::{Rejected, Verdict};
use crate::problem::{BLANK, Problem, with_status};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use golden_pipeline::emit::remote_write::Content;
use platform_core::codec::{put_bytes, put_u64};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

/// Everything was taken, durably.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Accepted {
    /// Requests that will be counted.
    pub accepted: u64,
    /// Items that are well-formed but no requests of a service (client spans, for example).
    pub skipped: u64,
}

/// Some items were refused. The good ones were taken, durably; if there was none, nothing was.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartlyRefused {
    /// `about:blank`: the title and the status say all there is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// A few words.
    pub title: &'static str,
    /// The HTTP status again.
    pub status: u16,
    /// What happened and what to do.
    pub detail: String,
    /// Requests that will be counted. Do not send these again.
    pub accepted: u64,
    /// Items that are no requests of a service.
    pub skipped: u64,
    /// The refused items, at most 100 of them.
    pub rejected: Vec<Rejected>,
    /// How many were refused.
    pub rejected_total: u64,
}

/// Which encoding an OTLP answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Protobuf,
    Json,
}

fn encoding(content_type: Option<&HeaderValue>) -> Encoding {
    let json =
        content_type.and_then(|v| v.to_str().ok()).is_some_and(|v| v.trim_start().to_ascii_lowercase().starts_with("application/json"));
    if json { Encoding::Json } else { Encoding::Protobuf }
}

pub(super) fn answer(door: Door, content_type: Option<&HeaderValue>, outcome: Result<Verdict, Refusal>) -> Response {
    match (door, outcome) {
        (Door::Traces, outcome) => otlp(encoding(content_type), "rejectedSpans", outcome),
        (Door::Metrics, outcome) => otlp(encoding(content_type), "rejectedDataPoints", outcome),
        (Door::RemoteWrite, Ok(verdict)) if !verdict.is_all_bad() => written(verdict.content),
        (_, Err(refusal)) => refused(&refusal),
        (_, Ok(verdict)) if verdict.rejected_total > 0 => partly(verdict),
        (door, Ok(verdict)) => {
            let status = if door == Door::Zipkin { StatusCode::ACCEPTED } else { StatusCode::OK };
            (status, Json(Accepted { accepted: verdict.accepted, skipped: verdict.skipped })).into_response()
        }
    }
}

/// A sender of 2.0 takes a request for lost when it is not told that all was written; what is passed over is, too: nothing would come of it if it
/// were sent again.
fn written(content: Option<Content>) -> Response {
    let Some(Content { samples, histograms, exemplars }) = content else { return StatusCode::NO_CONTENT.into_response() };
    let header = |what: &str, count: u64| (format!("x-prometheus-remote-write-{what}-written"), count.to_string());
    (StatusCode::NO_CONTENT, AppendHeaders([header("samples", samples), header("histograms", histograms), header("exemplars", exemplars)]))
        .into_response()
}

fn refused(refusal: &Refusal) -> Response {
    let problem = Problem::new(refusal.status(), refusal.title(), refusal.detail());
    match refusal.retry_after() {
        Some(seconds) => problem.with_retry_after(seconds).into_response(),
        None => problem.into_response(),
    }
}

fn partly(verdict: Verdict) -> Response {
    let status = StatusCode::BAD_REQUEST.as_u16();
    let detail = explain(&verdict);
    let Verdict { accepted, skipped, rejected, rejected_total, .. } = verdict;
    let title = "items were refused";
    with_status(status, None, Json(PartlyRefused { kind: BLANK, title, status, detail, accepted, skipped, rejected, rejected_total }))
}

fn explain(verdict: &Verdict) -> String {
    let Verdict { accepted, skipped, rejected_total, rejected, .. } = verdict;
    let first = rejected.first().map(|r| format!(" (first: item {}, {}: {})", r.item, r.reason, r.detail)).unwrap_or_default();
    if verdict.is_all_bad() {
        format!("all {rejected_total} items were refused and nothing was stored{first}")
    } else {
        format!("{rejected_total} items were refused{first}; the other {} are stored: send only the mended ones again", accepted + skipped)
    }
}

fn otlp(encoding: Encoding, rejected: &str, outcome: Result<Verdict, Refusal>) -> Response {
    match outcome {
        Ok(verdict) if verdict.is_all_bad() => status(encoding, StatusCode::BAD_REQUEST, &explain(&verdict), None),
        Ok(verdict) => partial_success(encoding, rejected, &verdict),
        Err(refusal) => status(encoding, refusal.status(), &format!("{}: {}", refusal.title(), refusal.detail()), refusal.retry_after()),
    }
}

/// `name` is what JSON calls the number of refused items.
fn partial_success(encoding: Encoding, name: &str, verdict: &Verdict) -> Response {
    let message = explain(verdict);
    let rejected = verdict.rejected_total;
    let body = match encoding {
        Encoding::Protobuf if rejected == 0 => Vec::new(),
        Encoding::Protobuf => {
            // ExportTraceServiceResponse { partial_success = 1: { rejected_spans = 1, error_message = 2 } }, and that of metrics
            let mut partial = Vec::new();
            put_u64(&mut partial, 1 << 3);
            put_u64(&mut partial, rejected);
            put_u64(&mut partial, 2 << 3 | 2);
            put_bytes(&mut partial, message.as_bytes());
            let mut body = Vec::new();
            put_u64(&mut body, 1 << 3 | 2);
            put_bytes(&mut body, &partial);
            body
        }
        Encoding::Json if rejected == 0 => b"{}".to_vec(),
        Encoding::Json => json!({"partialSuccess": {name: rejected.to_string(), "errorMessage": message}}).to_string().into_bytes(),
    };
    encoded(encoding, StatusCode::OK, body)
}

fn status(encoding: Encoding, status: StatusCode, message: &str, retry_after: Option<u64>) -> Response {
    let code = code(status);
    let body = match encoding {
        Encoding::Protobuf => {
            // google.rpc.Status { code = 1, message = 2 }
            let mut body = Vec::new();
            put_u64(&mut body, 1 << 3);
            put_u64(&mut body, code);
            put_u64(&mut body, 2 << 3 | 2);
            put_bytes(&mut body, message.as_bytes());
            body
        }
        Encoding::Json => json!({"code": code, "message": message}).to_string().into_bytes(),
    };
    let mut response = encoded(encoding, status, body);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The gRPC code nearest to an HTTP status.
fn code(status: StatusCode) -> u64 {
    match status {
        StatusCode::REQUEST_TIMEOUT => 4,
        StatusCode::TOO_MANY_REQUESTS => 8,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        StatusCode::INTERNAL_SERVER_ERROR => 13,
        _ => 3,
    }
}

fn encoded(encoding: Encoding, status: StatusCode, body: Vec<u8>) -> Response {
    let content_type = match encoding {
        Encoding::Protobuf => "application/x-protobuf",
        Encoding::Json => "application/json",
    };
    (status, [(header::CONTENT_TYPE, content_type)], body).into_response()
}
