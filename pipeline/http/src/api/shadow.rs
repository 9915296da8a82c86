//! `GET /api/v1/overrides/{service}/shadow`: how a rule that is tried agrees with the one in force.

use super::params::Params;
use super::signals::range;
use super::{find_service, service_name};
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_pipeline::overrides::shadow::{Trial, trial};
use platform_core::time::SECOND;

/// Span of time when none is asked for.
const DEFAULT_SPAN: i64 = 24 * 3600 * SECOND;

/// Gives how the file that is tried for a service agrees with the one in force.
///
/// Windows in which both gave a verdict, how many agree, and those that differ (`old` counts, `new` is tried), for the newest file that is
/// tried, since the first window with it.
#[utoipa::path(
    get, path = "/api/v1/overrides/{service}/shadow", tag = "overrides",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; 24 hours before `to` unless told"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; behind the newest window unless told"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
    ),
    responses(
        (status = 200, body = serde_json::Value),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn shadow(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Trial>, Problem> {
    let service = service_name(service)?;
    let params = Params::of(&uri, &["from", "to", "namespace"])?;
    let (from, to) = (params.time("from")?, params.time("to")?);
    super::blocking(state, move |state| {
        let history = &state.inner().parts.history;
        let found = find_service(history, &service, params.text("namespace"))?;
        let to = to.unwrap_or(found.window_start.plus(found.window_nanos));
        let query = range(from.unwrap_or(to.plus(-DEFAULT_SPAN)), to, usize::MAX)?;
        let trial = trial(history, &found.key, query)?;
        if trial.sha256.is_empty() {
            let detail = format!("nothing was tried for {service:?} in this time: a file with `shadow: true` is");
            return Err(Problem::not_found(detail));
        }
        Ok(Json(trial))
    })
    .await
}
