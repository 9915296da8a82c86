//! `GET /api/v1/services/{service}/explain`: why a service had the level it had in a window.

use super::params::Params;
use super::{find_service, service_name};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_pipeline::overrides::explain::{Explained, explained};

/// Explains the health of a service in one window.
///
/// Gives the rule in force, with its file, version and author; the branches that its expression took and each comparison on the way, with
/// both values and the distance between them; the values of all variables; what weighed most in the other groupings; and exemplar traces.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/explain", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("at" = Option<String>, Query, description = "An instant in the window, RFC 3339 or seconds since 1970; the newest window unless told"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
    ),
    responses(
        (status = 200, body = serde_json::Value),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn explain(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Explained>, Problem> {
    let service = service_name(service)?;
    let params = Params::of(&uri, &["at", "namespace"])?;
    let at = params.time("at")?;
    super::blocking(state, move |state| {
        let parts = &state.inner().parts;
        let found = find_service(&parts.history, &service, params.text("namespace"))?;
        let at = at.unwrap_or(found.window_start);
        let told = explained(&parts.history, &parts.settings, &parts.board.timeline(), &found.key, at)?;
        let newest = rfc3339(found.window_start);
        let nothing = || Problem::not_found(format!("{service:?} has no window at {}; its newest starts at {newest}", rfc3339(at)));
        told.map(Json).ok_or_else(nothing)
    })
    .await
}
