//! `GET /api/v1/services/{service}/health`: how a service is now, and what that rests on.

use super::params::Params;
use super::record::{Health, health_now, is_stale, published, record_of};
use super::{find_service, service_name};
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

/// Health of a service now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceHealth {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// Health now: `unknown` once stale.
    pub health: Health,
    /// Health as it was published with the newest window.
    pub published: Health,
    /// Nothing was published for so long that the health says nothing about now.
    pub stale: bool,
    /// Start of the newest window, RFC 3339.
    pub window_start: String,
    /// End of the newest window, RFC 3339.
    pub window_end: String,
    /// Requests in it.
    pub requests: u64,
    /// Errors in it.
    pub errors: u64,
    /// Share of requests that did not fail, 0 to 1; null without requests.
    pub availability_ratio: Option<f64>,
    /// Share of the window's input that was seen, 0 to 1.
    pub completeness: f64,
}

/// Gives the health of a service.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/health", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
    ),
    responses(
        (status = 200, body = ServiceHealth),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn health(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ServiceHealth>, Problem> {
    let service = service_name(service)?;
    let params = Params::of(&uri, &["namespace"])?;
    super::blocking(state, move |state| {
        let found = find_service(&state.inner().parts.history, &service, params.text("namespace"))?;
        let record = record_of(&found)?;
        let stale = is_stale(state, &found);
        let published = published(&record);
        Ok(Json(ServiceHealth {
            service: found.key.service.clone(),
            namespace: found.key.namespace.clone(),
            health: health_now(&published, stale),
            published,
            stale,
            window_start: record.window_start.to_string(),
            window_end: record.window_end.to_string(),
            requests: record.requests.count,
            errors: record.errors.count,
            availability_ratio: record.availability_ratio,
            completeness: record.completeness,
        }))
    })
    .await
}
