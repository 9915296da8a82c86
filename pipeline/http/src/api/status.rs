//! `GET /api/v1/status`: how the pipeline itself is doing.

use super::params::Params;
use crate::problem::Problem;
use crate::state::{AppState, Status};
use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};

/// Tells how the pipeline is doing: tasks, watermark, lag; at most a second old.
#[utoipa::path(
    get, path = "/api/v1/status", tag = "operation",
    responses((status = 200, body = Status), (status = 400, body = Problem, content_type = "application/problem+json"))
)]
pub(crate) async fn status(State(state): State<AppState>, uri: Uri) -> Result<Response, Problem> {
    Params::of(&uri, &[])?;
    let status = super::blocking(state, |state| Ok(state.status())).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], status.to_string()).into_response())
}
