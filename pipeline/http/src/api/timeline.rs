//! `GET /api/v1/services/{service}/timeline`: the health of a service over time, as spans of equal level and reason.

use super::asked::Question;
use super::service_name;
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_pipeline::history::{Detail, Stretch};
use golden_pipeline::signal::availability;
use golden_pipeline::signal::latency::ms;
use platform_core::time::SECOND;
use serde::Serialize;
use utoipa::ToSchema;

/// Span of time when none is asked for.
const DEFAULT_SPAN: i64 = 24 * 3600 * SECOND;
/// A step that no span is longer than.
const ALL: i64 = i64::MAX / 4;

/// Health of a service over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timeline {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// First instant that a window may start at, RFC 3339.
    pub from: String,
    /// First instant behind.
    pub to: String,
    /// In order of time. Where no window was published, there is no span.
    pub spans: Vec<HealthSpan>,
    /// How often level or reason changed.
    pub changes: usize,
}

/// Windows in a row with equal level and reason.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HealthSpan {
    /// Start of the first window, RFC 3339.
    pub from: String,
    /// End of the last.
    pub to: String,
    /// 0 healthy, 1 degraded, 2 impaired, 3 critical; null when unknown.
    pub level: Option<u8>,
    /// The level as a word.
    pub state: String,
    /// Why: `rule`, `rule_error`, `incomplete`.
    pub reason: String,
    /// How many windows.
    pub windows: u64,
    /// Requests in them.
    pub requests: u64,
    /// Errors in them.
    pub errors: u64,
    /// The window with the lowest availability, of equal ones the slowest, then the first.
    pub worst: WorstWindow,
}

/// The worst window of a span.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorstWindow {
    /// Its start, RFC 3339: `at` of an explanation.
    pub window_start: String,
    /// Share of its requests that did not fail, 0 to 1; null without requests.
    pub availability_ratio: Option<f64>,
    /// 99th percentile of its latency, ms; null without a duration.
    pub p99_ms: Option<f64>,
}

/// Gives the health of a service over time.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/timeline", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; a day before `to` unless told"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; the end of the newest window unless told"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
    ),
    responses(
        (status = 200, body = Timeline),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn timeline(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Timeline>, Problem> {
    let service = service_name(service)?;
    let params = super::params::Params::of(&uri, &["from", "to", "namespace"])?;
    super::blocking(state, move |state| {
        let asked = Question::of(state, &service, &params, DEFAULT_SPAN)?;
        let sums = asked.sums(state, ALL, Detail { trail: true, aggregate: false })?;
        let stretches: Vec<Stretch> = sums.into_values().flatten().flat_map(|(_, sum)| sum.trail).collect();
        let changes = stretches.windows(2).filter(|pair| matches!(pair, [a, b] if (a.level, &a.reason) != (b.level, &b.reason))).count();
        Ok(Json(Timeline {
            service: asked.service.key.service,
            namespace: asked.service.key.namespace,
            from: rfc3339(asked.from),
            to: rfc3339(asked.to),
            spans: stretches.into_iter().map(span).collect(),
            changes,
        }))
    })
    .await
}

fn span(of: Stretch) -> HealthSpan {
    let Stretch { from, to, level, reason, windows, requests, errors, worst } = of;
    HealthSpan {
        from: rfc3339(from),
        to: rfc3339(to),
        level,
        state: super::services::state_of(level).to_owned(),
        reason,
        windows,
        requests,
        errors,
        worst: WorstWindow {
            window_start: rfc3339(worst.start),
            availability_ratio: availability::ratio(worst.requests, worst.errors),
            p99_ms: worst.p99.map(ms),
        },
    }
}
