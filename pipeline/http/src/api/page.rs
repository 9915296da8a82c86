//! `GET /api/v1/page`: what the page needs to know of this installation.

use super::params::Params;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use serde::Serialize;
use utoipa::ToSchema;

/// What the page needs to know of this installation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct About {
    /// URL that shows a trace, with `{trace_id}` in it; null when none is set.
    pub trace_link: Option<String>,
    /// URL of Grafana; null when none is set.
    pub grafana: Option<String>,
    /// Version of the program.
    pub version: String,
    /// Length of windows, s.
    pub window_seconds: f64,
    /// Groupings by name, each with its dimensions.
    pub groupings: std::collections::BTreeMap<String, Vec<String>>,
    /// Whether this is the demo.
    pub demo: bool,
}

/// Gives what the page needs to know of this installation.
#[utoipa::path(
    get, path = "/api/v1/page", tag = "operation",
    responses((status = 200, body = About), (status = 400, body = Problem, content_type = "application/problem+json"))
)]
pub(crate) async fn page(State(state): State<AppState>, uri: Uri) -> Result<Json<About>, Problem> {
    Params::of(&uri, &[])?;
    let parts = &state.inner().parts;
    let page = parts.page.clone();
    Ok(Json(About {
        trace_link: page.trace_link,
        grafana: page.grafana,
        version: page.version,
        window_seconds: parts.settings.window.seconds(),
        groupings: parts.settings.plain.groupings.clone(),
        demo: page.demo,
    }))
}
