//! `GET /api/v1/status`: how the pipeline itself is doing.

use super::params::Params;
use crate::problem::Problem;
use crate::state::{AppState, Status};
use axum::Json;
use axum::extract::State;
use axum::http::Uri;

/// Tells how the pipeline is doing: tasks, watermark, lag.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "operation",
    responses((status = 200, body = Status), (status = 400, body = Problem, content_type = "application/problem+json"))
)]
pub(crate) async fn status(State(state): State<AppState>, uri: Uri) -> Result<Json<Status>, Problem> {
    Params::of(&uri, &[])?;
    super::blocking(state, |state| Ok(Json(state.inner().parts.vitals.status()))).await
}
