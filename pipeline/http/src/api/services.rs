//! `GET /api/v1/services`: every service with its newest window.

use super::params::Params;
use super::record::{Health, health_now, is_stale, published, record_of};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use golden_pipeline::history::ServiceNow;
use serde::Serialize;
use utoipa::ToSchema;

/// Services, by namespace and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Services {
    /// At most `limit`.
    pub services: Vec<Service>,
    /// How many there are.
    pub total: usize,
}

/// A service and its newest window.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ServiceNow)]
pub(crate) struct Service {
    /// Namespace; may be empty.
    pub namespace: String,
    /// Name.
    pub service: String,
    /// Start of the window, RFC 3339.
    pub window_start: String,
    /// End of the window, RFC 3339.
    pub window_end: String,
    /// Rises with each correction of the window.
    pub revision: u64,
    /// Requests in the window.
    pub requests: u64,
    /// Requests per second.
    pub requests_per_second: f64,
    /// Errors in the window.
    pub errors: u64,
    /// Share of requests that did not fail, 0 to 1; null without requests.
    pub availability_ratio: Option<f64>,
    /// Median latency in ms; null when no event had a duration.
    pub p50_ms: Option<f64>,
    /// 99th percentile of latency in ms.
    pub p99_ms: Option<f64>,
    /// The largest utilization of its resources, 0 to 1 and above; null when none is known.
    pub saturation_ratio: Option<f64>,
    /// The resource that it is of; null when none is known.
    pub saturated_resource: Option<String>,
    /// Health now: `unknown` once stale.
    pub health: Health,
    /// Share of the window's input that was seen, 0 to 1.
    pub completeness: f64,
    /// Nothing was published for so long that the health says nothing about now.
    pub stale: bool,
    /// Counts of the last windows, oldest first.
    pub recent: Vec<RecentWindow>,
}

/// Counts of one window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecentWindow {
    /// Start of the window, RFC 3339.
    pub window_start: String,
    /// Requests.
    pub requests: u64,
    /// Errors.
    pub errors: u64,
}

/// Lists services with the signals of their newest window.
#[utoipa::path(
    get, path = "/api/v1/services", tag = "signals",
    params(
        ("namespace" = Option<String>, Query, description = "Only services of this namespace"),
        ("limit" = Option<usize>, Query, description = "At most this many, 1 to 10000; 1000 unless told"),
    ),
    responses(
        (status = 200, body = Services),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn services(State(state): State<AppState>, uri: Uri) -> Result<Json<Services>, Problem> {
    let params = Params::of(&uri, &["namespace", "limit"])?;
    let limit = params.limit(1000, 10_000)?;
    super::blocking(state, move |state| {
        let all = state.inner().parts.history.services()?;
        let wanted = |s: &&ServiceNow| s.key.tenant == crate::TENANT && params.text("namespace").is_none_or(|n| n == s.key.namespace);
        let services = all.iter().filter(wanted).take(limit).map(|s| overview(state, s)).collect::<Result<_, _>>()?;
        Ok(Json(Services { services, total: all.iter().filter(wanted).count() }))
    })
    .await
}

fn overview(state: &AppState, service: &ServiceNow) -> Result<Service, Problem> {
    let record = record_of(service)?;
    let stale = is_stale(state, service);
    let latency = record.latency.as_ref().and_then(|l| l.all.as_ref());
    let recent =
        service.trail.iter().map(|r| RecentWindow { window_start: rfc3339(r.window_start), requests: r.requests, errors: r.errors });
    Ok(Service {
        namespace: service.key.namespace.clone(),
        service: service.key.service.clone(),
        window_start: record.window_start.to_string(),
        window_end: record.window_end.to_string(),
        revision: service.revision,
        requests: record.requests.count,
        requests_per_second: record.requests.rate,
        errors: record.errors.count,
        availability_ratio: record.availability_ratio,
        p50_ms: latency.and_then(|l| l.p50),
        p99_ms: latency.and_then(|l| l.p99),
        saturation_ratio: record.saturation.as_ref().map(|saturation| saturation.ratio),
        saturated_resource: record.saturation.as_ref().map(|saturation| saturation.resource.to_string()),
        health: health_now(&published(&record), stale),
        completeness: record.completeness,
        stale,
        recent: recent.collect(),
    })
}
