//! `GET /api/v1/services`: every service with its newest window, as `fleet` keeps it.

use super::params::Params;
pub(crate) use super::record::is_stale;
use super::record::{Health, health_now, published, record_of};
use crate::fleet::Entry;
use crate::problem::Problem;
use crate::state::AppState;
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use golden_pipeline::history::ServiceNow;
use golden_pipeline::signal::latency::ms;
use platform_core::time::SECOND;
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// Services, by namespace and name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Services<'a> {
    /// At most `limit`.
    #[schema(value_type = Vec<Service>)]
    pub services: Vec<&'a RawValue>,
    /// How many there are that fit the parameters.
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
    /// 95th percentile of latency in ms.
    pub p95_ms: Option<f64>,
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
    /// Who answers for it; empty when no override says so.
    pub team: String,
    /// How much hangs on it; empty when no override says so.
    pub criticality: String,
    /// Values of the dimension `swimlane` in its newest two windows, where a grouping has it.
    pub swimlanes: Vec<String>,
    /// Values of the dimension `region` in its newest two windows, where a grouping has it.
    pub regions: Vec<String>,
    /// Its last windows.
    pub recent: RecentWindows,
}

/// The last windows of a service, oldest first: one list for each thing, all equally long, because a fleet's answer has thousands of these.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct RecentWindows {
    /// Starts of the windows, s since 1970.
    pub starts: Vec<i64>,
    /// Requests.
    pub requests: Vec<u64>,
    /// Errors.
    pub errors: Vec<u64>,
    /// 99th percentiles of latency in ms; null when no event had a duration.
    pub p99_ms: Vec<Option<f64>>,
    /// Levels of health, 0 to 3; null where it was unknown.
    pub levels: Vec<Option<u8>>,
}

/// Lists services with the signals of their newest window.
#[utoipa::path(
    get, path = "/api/v1/services", tag = "signals",
    params(
        ("namespace" = Option<String>, Query, description = "Only services of this namespace"),
        ("team" = Option<String>, Query, description = "Only services that this team answers for"),
        ("swimlane" = Option<String>, Query, description = "Only services seen in this swimlane"),
        ("region" = Option<String>, Query, description = "Only services seen in this region"),
        ("state" = Option<String>, Query, description = "Only services of this health: `healthy`, `degraded`, `impaired`, `critical` or `unknown`"),
        ("q" = Option<String>, Query, description = "Only services whose name has this in it, in upper or lower case"),
        ("limit" = Option<usize>, Query, description = "At most this many, 1 to 10000; 1000 unless told"),
    ),
    responses(
        (status = 200, body = Services),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn services(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["namespace", "team", "swimlane", "region", "state", "q", "limit"])?;
    let limit = params.limit(1000, 10_000)?;
    if let Some(unknown) = params.text("state").filter(|state| !STATES.contains(state)) {
        let detail = format!("there is no state {unknown:?}: one of {}", STATES.join(", "));
        return Err(Problem::bad_request(detail).with_suggestions(super::params::nearest(unknown, STATES.into_iter())));
    }
    super::blocking(state, move |state| {
        let seen = state.inner().fleet.seen(state)?;
        let part = params.text("q").map(str::to_lowercase);
        let is = |name: &str, value: &str| params.text(name).is_none_or(|wanted| wanted == value);
        let has = |name: &str, values: &BTreeSet<String>| params.text(name).is_none_or(|wanted| values.contains(wanted));
        let wanted = |entry: &&std::sync::Arc<Entry>| {
            let key = &entry.now.key;
            is("namespace", &key.namespace)
                && is("team", &entry.team)
                && is("state", &entry.state)
                && has("swimlane", &entry.swimlanes)
                && has("region", &entry.regions)
                && part.as_ref().is_none_or(|part| key.service.to_lowercase().contains(part))
        };
        let all: Vec<&RawValue> = seen.entries.iter().filter(wanted).map(|entry| &*entry.json).collect();
        let total = all.len();
        let body = serde_json::to_vec(&Services { services: all.into_iter().take(limit).collect(), total })?;
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    })
    .await
}

/// Words for health.
const STATES: [&str; 5] = ["healthy", "degraded", "impaired", "critical", "unknown"];

/// The word for a level.
pub(super) fn state_of(level: Option<u8>) -> &'static str {
    level.and_then(|level| STATES.get(usize::from(level)).copied()).unwrap_or(golden_pipeline::signal::health::UNKNOWN)
}

/// Values of a dimension in the newest two windows of a service. The records of a window may come in two transactions, and the newest may
/// not be whole yet.
pub(crate) fn values(state: &AppState, service: &ServiceNow, dimension: &str) -> Result<BTreeSet<String>, Problem> {
    let parts = &state.inner().parts;
    let groupings = &parts.settings.groupings;
    let Some(place) = groupings.dimensions().iter().position(|name| name == dimension) else { return Ok(BTreeSet::new()) };
    // The grouping with the fewest dimensions says it with the fewest records.
    let carries = groupings.list().iter().filter_map(|of| Some((of, of.dimensions.iter().position(|at| *at == place)?)));
    let Some((grouping, at)) = carries.min_by_key(|(of, _)| of.dimensions.len()) else { return Ok(BTreeSet::new()) };
    let (from, to) = (service.window_start.plus(-service.window_nanos), service.window_start.plus(1));
    Ok(parts.history.values(&service.key, &grouping.name, at, from, to)?)
}

pub(crate) fn overview(
    service: &ServiceNow,
    stale: bool,
    (team, criticality): (&str, &str),
    (swimlanes, regions): (&BTreeSet<String>, &BTreeSet<String>),
) -> Result<Service, Problem> {
    let record = record_of(service)?;
    let latency = record.latency.as_ref().and_then(|l| l.all.as_ref());
    let mut recent = RecentWindows::default();
    for window in &service.trail {
        recent.starts.push(window.window_start.0.div_euclid(SECOND));
        recent.requests.push(window.requests);
        recent.errors.push(window.errors);
        recent.p99_ms.push(window.p99.map(ms));
        recent.levels.push(window.level);
    }
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
        p95_ms: latency.and_then(|l| l.p95),
        p99_ms: latency.and_then(|l| l.p99),
        saturation_ratio: record.saturation.as_ref().map(|saturation| saturation.ratio),
        saturated_resource: record.saturation.as_ref().map(|saturation| saturation.resource.to_string()),
        health: health_now(&published(&record), stale),
        completeness: record.completeness,
        stale,
        team: team.to_owned(),
        criticality: criticality.to_owned(),
        swimlanes: swimlanes.iter().cloned().collect(),
        regions: regions.iter().cloned().collect(),
        recent,
    })
}
