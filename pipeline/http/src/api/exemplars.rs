//! `GET /api/v1/services/{service}/exemplars`: traces to look at. Of each step, the slowest request, the slowest error and the first error
//! that had a trace.

use super::asked::Question;
use super::service_name;
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_pipeline::aggregate::Exemplar;
use golden_pipeline::history::Detail;
use golden_pipeline::signal::latency::ms;
use platform_core::time::EventTime;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most steps that are looked at: of each, three traces at most.
const STEPS: i64 = 60;

/// Traces to look at.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Exemplars {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// First instant that a window may start at, RFC 3339.
    pub from: String,
    /// First instant behind.
    pub to: String,
    /// Newest first. None where events have no trace ids.
    pub exemplars: Vec<Example>,
}

/// One traced request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Example {
    /// 32 hex digits.
    pub trace_id: String,
    /// 16 hex digits; null when it was not told.
    pub span_id: Option<String>,
    /// ms; null when it was not told.
    pub duration_ms: Option<f64>,
    /// When it happened, RFC 3339.
    pub timestamp: String,
    /// Its operation; null when it was not told.
    pub operation: Option<String>,
    /// Whether it failed.
    pub error: bool,
    /// Whether the trace was kept.
    pub sampled: bool,
    /// What it is an example of: `slowest`, `slowest_error`, `first_error`, of its step.
    pub reason: &'static str,
}

/// Gives traces to look at.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/exemplars", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; an hour before `to` unless told"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; the end of the newest window unless told"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
        ("limit" = Option<usize>, Query, description = "At most this many, 1 to 200; 50 unless told"),
    ),
    responses(
        (status = 200, body = Exemplars),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn exemplars(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Exemplars>, Problem> {
    let service = service_name(service)?;
    let params = super::params::Params::of(&uri, &["from", "to", "namespace", "limit"])?;
    let limit = params.limit(50, 200)?;
    super::blocking(state, move |state| {
        let asked = Question::of(state, &service, &params, super::range::DEFAULT_SPAN)?;
        let least = asked.to.since(asked.from) / STEPS;
        let step = (least + asked.step - 1) / asked.step * asked.step;
        let step = step.max(asked.step);
        let sums = asked.sums(state, step, Detail { trail: false, aggregate: true })?;
        let mut found: BTreeMap<(Reverse<EventTime>, u128, u64), Example> = BTreeMap::new();
        for (_, sum) in sums.values().flatten() {
            let of = &sum.aggregate;
            for (reason, exemplar) in [("slowest", of.slowest()), ("slowest_error", of.slowest_error()), ("first_error", of.first_error())]
            {
                if let Some(exemplar) = exemplar {
                    let key = (Reverse(EventTime(exemplar.event_time)), exemplar.trace_id, exemplar.span_id);
                    found.entry(key).or_insert_with(|| example(reason, exemplar));
                }
            }
        }
        Ok(Json(Exemplars {
            service: asked.service.key.service,
            namespace: asked.service.key.namespace,
            from: rfc3339(asked.from),
            to: rfc3339(asked.to),
            exemplars: found.into_values().take(limit).collect(),
        }))
    })
    .await
}

fn example(reason: &'static str, of: &Exemplar) -> Example {
    Example {
        trace_id: format!("{:032x}", of.trace_id),
        span_id: (of.span_id != 0).then(|| format!("{:016x}", of.span_id)),
        duration_ms: of.duration.map(ms),
        timestamp: rfc3339(EventTime(of.event_time)),
        operation: Some(of.operation.clone()).filter(|operation| !operation.is_empty()),
        error: of.error,
        sampled: of.sampled,
        reason,
    }
}
