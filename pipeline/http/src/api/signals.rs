//! `GET /api/v1/services/{service}/signals`: the public records of a service, as they were published.

use super::params::Params;
use super::{find_service, service_name};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use golden_pipeline::history::{Page, Query};
use platform_core::time::{EventTime, SECOND};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// Span of time when none is asked for.
const DEFAULT_SPAN: i64 = 3600 * SECOND;

/// Records of a service, by window and dimensions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Signals {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// What the records are summed by.
    pub grouping: String,
    /// First instant that a window may start at.
    pub from: String,
    /// First instant behind.
    pub to: String,
    /// Public records (`golden-signals/1`), highest revision each.
    #[schema(value_type = Vec<Object>)]
    pub records: Vec<Box<RawValue>>,
    /// Where to go on: `from` of the next page; null when this is all.
    pub next_from: Option<String>,
}

/// Gives the records of a service, window by window.
///
/// Windows start in `[from, to)`; unless told, the last hour up to the service's newest window. A page ends with the window in which `limit`
/// is reached, so that no window is cut.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/signals", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970"),
        ("grouping" = Option<String>, Query, description = "What to sum by; `service` unless told"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
        ("limit" = Option<usize>, Query, description = "1 to 10000; 1000 unless told"),
    ),
    responses(
        (status = 200, body = Signals),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn signals(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Signals>, Problem> {
    let service = service_name(service)?;
    let params = Params::of(&uri, &["from", "to", "grouping", "namespace", "limit"])?;
    let (from, to, limit) = (params.time("from")?, params.time("to")?, params.limit(1000, 10_000)?);
    super::blocking(state, move |state| {
        let history = &state.inner().parts.history;
        let found = find_service(history, &service, params.text("namespace"))?;
        let to = to.unwrap_or(found.window_start.plus(found.window_nanos));
        let from = from.unwrap_or(to.plus(-DEFAULT_SPAN));
        let query = range(from, to, limit)?;
        let grouping = params.text("grouping").unwrap_or("service").to_owned();
        let page = history.signals(&found.key, &grouping, &query)?;
        let next_from = page.next_from.map(rfc3339);
        let (service, namespace) = (found.key.service, found.key.namespace);
        Ok(Json(Signals { service, namespace, grouping, from: rfc3339(from), to: rfc3339(to), records: raw(page)?, next_from }))
    })
    .await
}

pub(super) fn range(from: EventTime, to: EventTime, limit: usize) -> Result<Query, Problem> {
    if from >= to {
        return Err(Problem::bad_request(format!("from ({}) must lie before to ({})", rfc3339(from), rfc3339(to))));
    }
    Ok(Query { from, to, limit })
}

/// Records as they are.
pub(super) fn raw(page: Page) -> Result<Vec<Box<RawValue>>, Problem> {
    let raw = |json| String::from_utf8(json).ok().and_then(|text| RawValue::from_string(text).ok());
    let all: Option<Vec<_>> = page.records.into_iter().map(|stored| raw(stored.json)).collect();
    all.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect", "a published record is not JSON"))
}
