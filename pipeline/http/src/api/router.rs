//! `GET /api/v1/router` and below: which deployment is forwarded, flips and their receipts; the same by `POST` for whoever may flip.
//!
//! The router is not known here: whoever has one hands in a door, and JSON passes through. What is asked for needs a name and a reason, and
//! stands in the control log afterwards, refusals too. A body must say that it is JSON, which no form of another site can.

use super::params::Params;
use super::service_name;
use crate::problem::Problem;
use crate::state::{AppState, RouterDoor, RouterError, RouterOrder, RouterRequest};
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;

/// Largest body in bytes.
const MAX_BODY: usize = 16 << 10;
/// How many windows are compared unless told.
const WINDOWS: usize = 5;

/// Asks for a flip.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flip {
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Which colour is to be live, `blue` or `green`; the other one unless told.
    #[serde(default)]
    pub to: Option<String>,
    /// Only says what would happen, and every precondition.
    #[serde(default)]
    pub dry_run: bool,
    /// Flips although windows differ between both.
    #[serde(default)]
    pub accept_difference: bool,
}

/// Asks for a flip back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rollback {
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Only says what would happen, and every precondition.
    #[serde(default)]
    pub dry_run: bool,
    /// Flips although windows differ between both.
    #[serde(default)]
    pub accept_difference: bool,
}

/// Asks for no automatic flips, or for them again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether flips are held; `false` releases them.
    pub hold: bool,
}

/// What the router says (docs/router.md).
#[derive(Debug, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object)]
pub(crate) struct Said(Value);

/// Gives how everything stands: both colours, what is live, what each partition forwards, the newest flips and refusals.
#[utoipa::path(
    get, path = "/api/v1/router", tag = "router", operation_id = "router_status",
    responses(
        (status = 200, body = Said),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn status(State(state): State<AppState>, uri: Uri) -> Result<Json<Said>, Problem> {
    Params::of(&uri, &[])?;
    asked(state, |door| door.status()).await
}

/// Gives a receipt; with `verify` the public topic is read again, and both are compared line by line.
#[utoipa::path(
    get, path = "/api/v1/router/receipts/{id}", tag = "router",
    params(
        ("id" = String, Path, description = "Number of a flip, or of a refusal with an `r` before it"),
        ("verify" = Option<bool>, Query, description = "Whether it is recomputed"),
    ),
    responses(
        (status = 200, body = Said),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn receipt(
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Said>, Problem> {
    let id = service_name(id)?;
    let verify = Params::of(&uri, &["verify"])?.flag("verify")?;
    asked(state, move |door| door.receipt(&id, verify)).await
}

/// Gives how the results of both deployments differ in the newest windows.
#[utoipa::path(
    get, path = "/api/v1/router/diff", tag = "router",
    params(("limit" = Option<usize>, Query, description = "How many windows, 1 to 60; 5 unless told")),
    responses(
        (status = 200, body = Said),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn diff(State(state): State<AppState>, uri: Uri) -> Result<Json<Said>, Problem> {
    let windows = Params::of(&uri, &["limit"])?.limit(WINDOWS, 60)?;
    asked(state, move |door| door.diff(windows)).await
}

/// Gives the audit record: everything that was ordered or refused, by whom, why, and what was live before and after, oldest first.
#[utoipa::path(
    get, path = "/api/v1/router/log", tag = "router", operation_id = "router_log",
    responses(
        (status = 200, body = Said),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn log(State(state): State<AppState>, uri: Uri) -> Result<Json<Said>, Problem> {
    Params::of(&uri, &[])?;
    asked(state, |door| door.log()).await
}

/// Forwards another deployment, if every precondition holds.
#[utoipa::path(
    post, path = "/api/v1/router/flip", tag = "router", request_body = Flip,
    responses(
        (status = 200, body = Said),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn flip(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Result<Json<Said>, Problem> {
    let Flip { by, reason, to, dry_run, accept_difference } = body_of(&headers, body).await?;
    order(state, RouterRequest { by, reason, dry_run, order: RouterOrder::Flip { to, accept_difference } }).await
}

/// Forwards again what was forwarded before the last flip, if every precondition holds.
#[utoipa::path(
    post, path = "/api/v1/router/rollback", tag = "router", request_body = Rollback,
    responses(
        (status = 200, body = Said),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 409, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn rollback(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Result<Json<Said>, Problem> {
    let Rollback { by, reason, dry_run, accept_difference } = body_of(&headers, body).await?;
    order(state, RouterRequest { by, reason, dry_run, order: RouterOrder::Rollback { accept_difference } }).await
}

/// Leaves flips to people, or no longer.
#[utoipa::path(
    post, path = "/api/v1/router/hold", tag = "router", request_body = Hold,
    responses(
        (status = 200, body = Said),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn hold(State(state): State<AppState>, headers: HeaderMap, body: Body) -> Result<Json<Said>, Problem> {
    let Hold { by, reason, hold } = body_of(&headers, body).await?;
    order(state, RouterRequest { by, reason, dry_run: false, order: RouterOrder::Hold { hold } }).await
}

async fn body_of<T: for<'a> Deserialize<'a>>(headers: &HeaderMap, body: Body) -> Result<T, Problem> {
    let json = headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !json {
        let detail = "orders are JSON: send them with content-type application/json";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "another media type", detail));
    }
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", format!("an order takes at most {MAX_BODY} bytes"));
    let body = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body is no order: {error}")))
}

async fn order(state: AppState, request: RouterRequest) -> Result<Json<Said>, Problem> {
    for (name, text) in [("by", &request.by), ("reason", &request.reason)] {
        if text.trim().is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            return Err(Problem::bad_request(format!(
                "{name} is empty, longer than 256 bytes, or has control characters: say who and why"
            )));
        }
    }
    asked(state, move |door| door.ask(&request)).await
}

async fn asked(
    state: AppState,
    ask: impl FnOnce(&dyn RouterDoor) -> Result<Value, RouterError> + Send + 'static,
) -> Result<Json<Said>, Problem> {
    let door = state.inner().parts.router.clone();
    let door: Arc<dyn RouterDoor> =
        door.ok_or_else(|| Problem::not_found("this process is no router: ask one that has the role `router`"))?;
    let refused = |error| match error {
        RouterError::Bad(detail) => Problem::bad_request(detail),
        RouterError::Unknown(detail) => Problem::not_found(detail),
        RouterError::Refused(detail) => Problem::new(StatusCode::CONFLICT, "refused", detail),
        RouterError::Away(detail) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not available", detail).with_retry_after(5),
    };
    super::blocking(state, move |_| ask(&*door).map(|said| Json(Said(said))).map_err(refused)).await
}
