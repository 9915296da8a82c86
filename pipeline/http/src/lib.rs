//! HTTP for golden signals: events in, signals out, and the page.
//!
//! Edge only: the log, the history and the pipeline's vitals are handed in as handles; what blocks runs on threads that may. Read in this order.
//! What this crate does not do: it computes no signal, and no answer of it changes what was computed.

/// Which form of the metrics is asked for.
mod accept;
/// The JSON API: services, signals, health, late ledger, dead letters, status.
mod api;
/// How much one client may have under way.
mod crowd;
/// All services, ready to be sent.
mod fleet;
/// Headers of every answer.
mod headers;
/// Events in.
mod ingest;
/// Instants as text.
mod instant;
/// What the API looks like, as OpenAPI.
mod openapi;
/// Metrics and probes.
mod ops;
/// The pages.
mod pages;
/// Errors as `application/problem+json`.
mod problem;
/// The loop that accepts connections.
mod serve;
/// Answers that are the same for everybody.
mod shared;
/// What the handlers share.
mod state;
#[cfg(test)]
mod tests;

pub use crowd::CrowdLimits;
pub use serve::serve;
pub use state::{
    AppState, DeploymentStatus, Lag, Limits, MakeDecoder, Page, Parts, RouterDoor, RouterError, RouterOrder, RouterRequest, Status,
    TaskStatus, Vitals,
};

pub use axum::Router;
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use problem::Problem;

/// The only tenant.
pub const TENANT: &str = "default";

/// Which routes a process has, beside those for whoever runs it and the documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doors {
    /// Events in.
    pub ingest: bool,
    /// The API and the pages.
    pub api: bool,
    /// What concerns the router, which is part of the API, too.
    pub router: bool,
}

/// The routes of a process.
pub fn router(state: AppState, doors: Doors) -> Router {
    let crowd = || axum::middleware::from_fn_with_state(state.clone(), crowd::enter);
    let mut router = Router::new()
        .route("/api/v1/status", get(api::status::status))
        .merge(pages::documentation())
        .route_layer(crowd())
        // Below are those that are not counted: probes, scrapes, and events, which have a budget of their own.
        .route("/metrics", get(ops::metrics))
        .route("/-/healthy", get(ops::healthy))
        .route("/-/ready", get(ops::ready));
    if doors.ingest {
        router = router
            .route("/api/v1/events", post(ingest::events))
            .route("/v1/traces", post(ingest::traces))
            .route("/v1/metrics", post(ingest::metrics))
            .route("/api/v1/write", post(ingest::remote_write))
            .route("/api/v2/spans", post(ingest::zipkin));
    }
    if doors.api {
        let api = Router::new()
            .route("/api/v1/stream", get(api::stream::stream))
            .route("/api/v1/page", get(api::page::page))
            .route("/api/v1/services", get(api::services::services))
            .route("/api/v1/services/{service}/signals", get(api::signals::signals))
            .route("/api/v1/services/{service}/health", get(api::health::health))
            .route("/api/v1/services/{service}/range", get(api::range::range))
            .route("/api/v1/services/{service}/heatmap", get(api::heatmap::heatmap))
            .route("/api/v1/services/{service}/timeline", get(api::timeline::timeline))
            .route("/api/v1/services/{service}/exemplars", get(api::exemplars::exemplars))
            .route("/api/v1/services/{service}/value", get(api::value::value))
            .route("/api/v1/services/{service}/explain", get(api::explain::explain))
            .route("/api/v1/services/{service}/slo", get(api::slo::of_service))
            .route("/api/v1/slo", get(api::slo::fleet))
            .route("/api/v1/late", get(api::late::late))
            .route("/api/v1/overrides", get(api::overrides::overrides))
            .route("/api/v1/overrides/backtest", post(api::backtest::backtest))
            .route("/api/v1/overrides/{service}", get(api::overrides::of_service))
            .route("/api/v1/overrides/{service}/shadow", get(api::shadow::shadow))
            .route("/api/v1/history", get(api::history::history))
            .route("/api/v1/dead-letters", get(api::dead_letters::dead_letters))
            .merge(pages::routes())
            .route_layer(crowd());
        router = router.merge(api);
    }
    if doors.api || doors.router {
        let of_router = Router::new()
            .route("/api/v1/router", get(api::router::status))
            .route("/api/v1/router/flip", post(api::router::flip))
            .route("/api/v1/router/rollback", post(api::router::rollback))
            .route("/api/v1/router/hold", post(api::router::hold))
            .route("/api/v1/router/receipts/{id}", get(api::router::receipt))
            .route("/api/v1/router/diff", get(api::router::diff))
            .route("/api/v1/router/log", get(api::router::log))
            .route_layer(crowd());
        router = router.merge(of_router);
    }
    router
        .fallback(|| async { Problem::not_found("there is nothing at this path: GET /api/docs shows every one") })
        .method_not_allowed_fallback(|| async {
            let status = axum::http::StatusCode::METHOD_NOT_ALLOWED;
            Problem::new(status, "wrong method", "this path takes another method: see GET /api/docs")
        })
        .layer(axum::middleware::from_fn(headers::add))
        .with_state(state)
}

/// What answers while the process waits for its log: it lives, it is not ready, and says why. Programs get a problem, people and probes a line.
pub fn lobby(why: impl Fn() -> String + Clone + Send + Sync + 'static) -> Router {
    const RETRY_AFTER: u64 = 5;
    let starting = move |uri: axum::http::Uri| {
        let why = why();
        async move {
            let status = axum::http::StatusCode::SERVICE_UNAVAILABLE;
            if uri.path().starts_with("/-/") || uri.path() == "/" {
                return (status, [(axum::http::header::RETRY_AFTER, RETRY_AFTER)], format!("not ready: {why}\n")).into_response();
            }
            let detail = format!("this process waits for its log ({why}): ask again");
            Problem::new(status, "not ready", detail).with_retry_after(RETRY_AFTER).into_response()
        }
    };
    Router::new().route("/-/healthy", get(ops::healthy)).fallback(starting).layer(axum::middleware::from_fn(headers::add))
}
