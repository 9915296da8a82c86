//! `GET /api/v1/services/{service}/range`: sums over steps of any length, by any grouping, with percentiles of the merged sketches.
//!
//! A percentile is never made from percentiles: the stored sketches of all windows of a step are merged, exactly.

use super::asked::{Question, parameters};
use super::service_name;
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_pipeline::history::{Detail, Rolled};
use golden_pipeline::signal::availability;
use golden_pipeline::signal::latency::summary_of_all;
use platform_core::time::{EventTime, SECOND};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Span of time when none is asked for.
pub(super) const DEFAULT_SPAN: i64 = 3600 * SECOND;

/// Sums of a service over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Range {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// What the windows are summed by.
    pub grouping: String,
    /// First instant that a window may start at, RFC 3339.
    pub from: String,
    /// First instant behind.
    pub to: String,
    /// Length of a step, s.
    pub step_seconds: i64,
    /// How fine the data is over the whole span, s: the window, 600 or 3600. Where it is not the window, `from` and `to` were widened to it.
    pub window_seconds: i64,
    /// One for each combination of dimension values, most requests first.
    pub groups: Vec<Group>,
    /// How many more there are.
    pub other_groups: usize,
}

/// One combination of dimension values.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Group {
    /// Values by name; empty for `service`.
    pub dimensions: BTreeMap<String, String>,
    /// All of its windows.
    pub total: Point,
    /// Its steps, in order of time; those without a window are absent.
    pub points: Vec<Point>,
}

/// The sum of some windows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Point {
    /// First instant, RFC 3339.
    pub start: String,
    /// First instant behind.
    pub end: String,
    /// How many windows.
    pub windows: u64,
    /// Requests.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
    /// Share of requests that did not fail, 0 to 1; null without requests.
    pub availability_ratio: Option<f64>,
    /// Durations, of the merged sketches; null without one.
    pub latency: Option<PointLatency>,
    /// The largest utilization of any window; null when none is known.
    pub saturation_ratio: Option<f64>,
    /// Share of its input that the least complete window has seen, 0 to 1.
    pub completeness: f64,
    /// The worst known level of health, 0 to 3; null where none is known, and for groupings without a verdict.
    pub level: Option<u8>,
}

/// Durations of a step, ok and errors together.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PointLatency {
    /// How many, weighted.
    pub count: u64,
    /// Exact, ms.
    pub mean_ms: f64,
    /// Median, ms; percentiles are at most 1 % or 1 µs above the exact one.
    pub p50_ms: f64,
    /// 75th percentile, ms.
    pub p75_ms: f64,
    /// 90th percentile, ms.
    pub p90_ms: f64,
    /// 95th percentile, ms.
    pub p95_ms: f64,
    /// 99th percentile, ms.
    pub p99_ms: f64,
    /// 99.9th percentile, ms.
    pub p99_9_ms: f64,
    /// Exact, ms.
    pub max_ms: f64,
}

/// Gives sums of a service over time, by a grouping.
///
/// Windows are merged exactly, corrections included: percentiles are those of all events of a step, not means of percentiles. A question that
/// would take too much is refused with what to narrow.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/range", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; an hour before `to` unless told"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; the end of the newest window unless told"),
        ("step" = Option<u64>, Query, description = "Length of a step, s: a multiple of the window; unless told, so that there are at most 240"),
        ("grouping" = Option<String>, Query, description = "What to sum by; `service` unless told"),
        ("dimension" = Option<String>, Query, description = "Only this value of a dimension of the grouping; the parameter has the dimension's name, as in `operation=GET%20%2F`"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
        ("limit" = Option<usize>, Query, description = "At most this many groups, 1 to 100; 20 unless told"),
    ),
    responses(
        (status = 200, body = Range),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn range(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Range>, Problem> {
    let service = service_name(service)?;
    let params = parameters(&state, &uri)?;
    let limit = params.limit(20, 100)?;
    super::blocking(state, move |state| {
        let asked = Question::of(state, &service, &params, DEFAULT_SPAN)?;
        let sums = asked.sums(state, asked.step, Detail { trail: false, aggregate: true })?;
        let mut groups = Vec::with_capacity(sums.len());
        for (values, steps) in sums {
            let mut total = Rolled::default();
            for sum in steps.values() {
                total.merge(sum)?;
            }
            groups.push((values, total, steps));
        }
        groups.sort_by_key(|(_, total, _)| Reverse(total.aggregate.counts().requests()));
        let other_groups = groups.len().saturating_sub(limit);
        groups.truncate(limit);
        let group = |(values, total, steps): (Vec<String>, Rolled, BTreeMap<EventTime, Rolled>)| Group {
            dimensions: asked.named(&values),
            total: point((asked.from, asked.to), &total),
            points: steps.iter().map(|(start, sum)| point(asked.bounds(*start), sum)).collect(),
        };
        Ok(Json(Range {
            service: asked.service.key.service.clone(),
            namespace: asked.service.key.namespace.clone(),
            grouping: asked.grouping.clone(),
            from: rfc3339(asked.from),
            to: rfc3339(asked.to),
            step_seconds: asked.step / SECOND,
            window_seconds: asked.resolution / SECOND,
            groups: groups.into_iter().map(group).collect(),
            other_groups,
        }))
    })
    .await
}

fn point((start, end): (EventTime, EventTime), sum: &Rolled) -> Point {
    let counts = sum.aggregate.counts();
    let latency = summary_of_all(&sum.aggregate).map(|of| {
        let [p50_ms, p75_ms, p90_ms, p95_ms, p99_ms, p99_9_ms] = of.quantiles_ms();
        PointLatency { count: of.count, mean_ms: of.mean_ms(), p50_ms, p75_ms, p90_ms, p95_ms, p99_ms, p99_9_ms, max_ms: of.max_ms() }
    });
    Point {
        start: rfc3339(start),
        end: rfc3339(end),
        windows: sum.windows,
        requests: counts.requests(),
        errors: counts.errors,
        availability_ratio: availability::ratio(counts.requests(), counts.errors),
        latency,
        saturation_ratio: sum.saturation.map(|millionths| millionths as f64 / 1e6),
        completeness: sum.completeness().ratio(),
        level: sum.level,
    }
}
