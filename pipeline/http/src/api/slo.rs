//! `GET /api/v1/services/{service}/slo` and `GET /api/v1/slo`: what services promise, and how much of their error budgets is left.

use super::params::Params;
use super::{find_service, service_name};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_overrides::file::Override;
use golden_pipeline::history::ServiceKey;
use golden_pipeline::slo::{self, Budget, Burned};
use serde::Serialize;
use utoipa::ToSchema;

/// The promises of one service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceLevels {
    /// Namespace; may be empty.
    pub namespace: String,
    /// Name.
    pub service: String,
    /// Who answers for it.
    pub team: String,
    /// How much hangs on it; empty when its file does not say.
    pub criticality: String,
    /// Where all this stands: the end of the newest window, RFC 3339.
    pub at: String,
    /// Its promises; none when its file has no objectives.
    pub slos: Vec<ServiceLevel>,
}

/// A promise, its budget, and how fast that burns.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceLevel {
    #[serde(flatten)]
    pub level: Level,
    /// Burn rates, the shortest window first.
    pub burn_rates: Vec<BurnRate>,
}

/// A promise and its budget.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Level {
    /// `availability` or `latency`.
    pub slo: &'static str,
    /// Share of requests that must be good, 0 to 1.
    pub objective_ratio: f64,
    /// Of `latency`: a request that takes longer is bad.
    pub threshold_seconds: Option<f64>,
    /// The period: its name, and its first instant, RFC 3339. It ends at `at`.
    pub period: String,
    /// RFC 3339.
    pub from: String,
    /// The first hour of the period of which something is known; null when nothing is. Before it nothing was counted, or it is not kept.
    pub known_from: Option<String>,
    /// Requests below which budget and burn rates are null.
    pub min_requests: u64,
    /// Requests in the period.
    pub requests: u64,
    /// Those of them that broke the promise.
    pub bad: u64,
    /// How many may break it, of as many requests.
    pub allowed: f64,
    /// What is left of the budget: 1 when nothing is used, 0 when all is, below 0 when it is overdrawn; null below `min_requests`.
    pub budget_remaining_ratio: Option<f64>,
}

/// How fast a budget burns: 1 is as fast as the period allows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BurnRate {
    /// `5m` to `30d`.
    pub window: &'static str,
    /// First instant, RFC 3339; of windows of a day and more a whole hour.
    pub from: String,
    /// Requests in it.
    pub requests: u64,
    /// Those of them that broke the promise.
    pub bad: u64,
    /// Null below `min_requests`.
    pub burn_rate: Option<f64>,
}

/// All promises, the one with the least budget left first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fleet {
    /// Where all this stands: the end of the newest window, RFC 3339; null before the first one.
    pub at: Option<String>,
    /// At most `limit`.
    pub slos: Vec<OfFleet>,
    /// How many there are.
    pub total: usize,
}

/// A promise of one service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OfFleet {
    /// Namespace; may be empty.
    pub namespace: String,
    /// Name.
    pub service: String,
    /// Who answers for it.
    pub team: String,
    /// How much hangs on it; empty when its file does not say.
    pub criticality: String,
    #[serde(flatten)]
    pub level: Level,
}

fn level(budget: &Budget) -> Level {
    let Budget { promise, period, from, to: _, known_from, min_requests, counts, remaining } = budget;
    Level {
        slo: promise.name,
        objective_ratio: promise.objective(),
        threshold_seconds: promise.threshold_ms.map(|ms| ms / 1000.0),
        period: period.clone(),
        from: rfc3339(*from),
        known_from: known_from.map(rfc3339),
        min_requests: *min_requests,
        requests: counts.requests,
        bad: promise.bad(counts),
        allowed: promise.allowed(counts),
        budget_remaining_ratio: *remaining,
    }
}

fn burn_rates(budget: &Budget, burned: &[Burned]) -> Vec<BurnRate> {
    let rate = |of: &Burned| BurnRate {
        window: of.window,
        from: rfc3339(of.from),
        requests: of.counts.requests,
        bad: budget.promise.bad(&of.counts),
        burn_rate: budget.promise.burn_rate(&of.counts, budget.min_requests),
    };
    burned.iter().map(rate).collect()
}

/// Gives the budgets and burn rates of a service.
///
/// Exact sums of requests by event time, corrections included; never a mean of ratios. A changed objective has its budget at once. Windows of
/// burn rates below one day end with the newest window of any service and are exact to a window; longer ones, and rolling periods, begin
/// at a whole hour.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/slo", tag = "slo", operation_id = "slo",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
    ),
    responses(
        (status = 200, body = ServiceLevels),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn of_service(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ServiceLevels>, Problem> {
    let service = service_name(service)?;
    let params = Params::of(&uri, &["namespace"])?;
    super::blocking(state, move |state| {
        let parts = &state.inner().parts;
        let now = find_service(&parts.history, &service, params.text("namespace"))?;
        let at = slo::newest(&parts.history)?.unwrap_or(now.window_start.plus(now.window_nanos));
        let rules = parts.board.newest();
        let found: Option<&Override> = rules.as_ref().and_then(|rules| Some(rules.find(&now.key.namespace, &now.key.service)?.1));
        let mut slos = Vec::new();
        if let Some(found) = found {
            let budgets = slo::budgets(&parts.history, &now.key, found, at)?;
            let burned = if budgets.is_empty() { vec![] } else { slo::burned(&parts.history, &now.key, at)? };
            slos.extend(budgets.iter().map(|budget| ServiceLevel { level: level(budget), burn_rates: burn_rates(budget, &burned) }));
        }
        let ServiceKey { namespace, service, .. } = now.key.clone();
        let said = |text: fn(&Override) -> &String| found.map(text).cloned().unwrap_or_default();
        let (team, criticality) = (said(|found| &found.owner), said(|found| &found.criticality));
        Ok(Json(ServiceLevels { namespace, service, team, criticality, at: rfc3339(at), slos }))
    })
    .await
}

/// Lists the promises of all services, the one with the least budget left first; those with too few requests stand at the end.
#[utoipa::path(
    get, path = "/api/v1/slo", tag = "slo", operation_id = "slos",
    params(("limit" = Option<usize>, Query, description = "At most this many, 1 to 10000; 1000 unless told")),
    responses(
        (status = 200, body = Fleet),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn fleet(State(state): State<AppState>, uri: Uri) -> Result<Json<Fleet>, Problem> {
    let params = Params::of(&uri, &["limit"])?;
    let limit = params.limit(1000, 10_000)?;
    super::blocking(state, move |state| {
        let parts = &state.inner().parts;
        let at = slo::newest(&parts.history)?;
        let mut slos = Vec::new();
        if let Some(rules) = parts.board.newest() {
            for (key, budgets) in slo::all_budgets(&parts.history, crate::TENANT, &rules)? {
                let found = rules.find(&key.namespace, &key.service).map(|(_, found)| found);
                let said = |text: fn(&Override) -> &String| found.map(text).cloned().unwrap_or_default();
                slos.extend(budgets.iter().map(|budget| OfFleet {
                    namespace: key.namespace.clone(),
                    service: key.service.clone(),
                    team: said(|found| &found.owner),
                    criticality: said(|found| &found.criticality),
                    level: level(budget),
                }));
            }
        }
        let left = |of: &OfFleet| of.level.budget_remaining_ratio.unwrap_or(f64::INFINITY);
        slos.sort_by(|a, b| {
            left(a).total_cmp(&left(b)).then_with(|| (&a.service, &a.namespace, a.level.slo).cmp(&(&b.service, &b.namespace, b.level.slo)))
        });
        let total = slos.len();
        slos.truncate(limit);
        Ok(Json(Fleet { at: at.map(rfc3339), slos, total }))
    })
    .await
}
