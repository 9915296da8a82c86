//! `GET /api/v1/late`: the late ledger, what came too late for its window.

use super::params::Params;
use super::signals::{range, raw};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use platform_core::time::EventTime;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Lines of the late ledger, by window.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LateLines {
    /// Ledger lines (`golden-signals-late/1`), highest revision each.
    #[schema(value_type = Vec<Object>)]
    pub lines: Vec<Box<RawValue>>,
    /// Where to go on: `from` of the next page; null when this is all.
    pub next_from: Option<String>,
}

/// Gives what came more than an hour late, by service and by the window in which it arrived.
#[utoipa::path(
    get, path = "/api/v1/late", tag = "signals",
    params(
        ("service" = Option<String>, Query, description = "Only this service"),
        ("namespace" = Option<String>, Query, description = "With `service`: only the one of this namespace; may be empty"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; the beginning unless told"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; the end unless told"),
        ("limit" = Option<usize>, Query, description = "1 to 10000; 1000 unless told"),
    ),
    responses(
        (status = 200, body = LateLines),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn late(State(state): State<AppState>, uri: Uri) -> Result<Json<LateLines>, Problem> {
    let params = Params::of(&uri, &["service", "namespace", "from", "to", "limit"])?;
    if params.text("namespace").is_some() && params.text("service").is_none() {
        return Err(Problem::bad_request("namespace says which of several services of one name is meant: add service="));
    }
    let (from, to) = (params.time("from")?.unwrap_or(EventTime::MIN), params.time("to")?.unwrap_or(EventTime::MAX));
    let query = range(from, to, params.limit(1000, 10_000)?)?;
    super::blocking(state, move |state| {
        let page = state.inner().parts.history.late(crate::TENANT, params.text("service"), params.text("namespace"), &query)?;
        let next_from = page.next_from.map(rfc3339);
        Ok(Json(LateLines { lines: raw(page)?, next_from }))
    })
    .await
}
