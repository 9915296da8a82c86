//! `POST /api/v1/overrides/backtest`: what overrides would have made of the windows that were published.
//!
//! Changes nothing: files come with the request and go with it. One backtest runs at a time; the next is asked to come again.

use crate::instant;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use golden_overrides::archive::Files;
use golden_overrides::set::Set;
use golden_pipeline::overrides::backtest::replay::{self, Against, BacktestError, Range};
use golden_pipeline::overrides::backtest::{Judging, Report};
use golden_pipeline::settings::Span;
use platform_core::time::{EventTime, nanos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Largest body in bytes.
const MAX_BODY: usize = 1 << 20;
/// How far back unless told.
const DEFAULT_SPAN: Duration = Duration::from_secs(24 * 3600);

/// What is to be tested.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Content of files by path, `<team>/<service>.yaml`; each service that has one is tested.
    pub files: BTreeMap<String, String>,
    /// What they are compared with; `current` unless told.
    #[serde(default)]
    pub against: Other,
    /// How far back from `to`, as in `24h` or `90m`; 24 hours unless told.
    #[serde(default)]
    pub window: Option<String>,
    /// First instant that a window may start at, RFC 3339 or seconds since 1970.
    #[serde(default)]
    pub from: Option<String>,
    /// First instant behind; behind the service's newest window unless told.
    #[serde(default)]
    pub to: Option<String>,
    /// One service alone.
    #[serde(default)]
    pub service: Option<String>,
    /// Whether reports list the levels of every window.
    #[serde(default)]
    pub levels: bool,
}

/// What files are compared with.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Other {
    /// The newest version that was activated.
    #[default]
    Current,
    /// The default rule.
    Default,
    /// Other files, by path.
    Files(BTreeMap<String, String>),
}

/// What came of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Backtested {
    /// One for each service, by namespace and name: minutes per level, episodes and flaps of both sides, and what changed when
    /// (docs/overrides.md).
    #[schema(value_type = Vec<Object>)]
    pub reports: Vec<Report>,
}

/// Tests overrides against the windows that were published.
///
/// Published counts go through both rules with the evaluator that decides on new windows. A file that is refused is answered with 400 and
/// its diagnostics.
#[utoipa::path(
    post, path = "/api/v1/overrides/backtest", tag = "overrides",
    request_body = Order,
    responses(
        (status = 200, body = Backtested),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 413, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn backtest(State(state): State<AppState>, uri: Uri, body: Body) -> Result<Json<Backtested>, Problem> {
    super::params::Params::of(&uri, &[])?;
    let too_large = |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too large", format!("a backtest takes at most {MAX_BODY} bytes"));
    let body = to_bytes(body, MAX_BODY).await.map_err(too_large)?;
    let order: Order = serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("the body is no order: {error}")))?;
    let running = Arc::clone(&state.inner().backtests).try_acquire_owned().map_err(|_| {
        let busy = "another backtest is running; they run one by one";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "busy", busy).with_retry_after(2)
    })?;
    super::blocking(state, move |state| {
        let _running = running;
        tested(state, order)
    })
    .await
}

fn tested(state: &AppState, order: Order) -> Result<Json<Backtested>, Problem> {
    let parts = &state.inner().parts;
    let new = compiled(order.files, "files")?;
    let newest = parts.board.newest();
    let (current, other) = match order.against {
        Other::Current => (newest.as_deref(), None),
        Other::Default => (None, None),
        Other::Files(files) => (None, Some(compiled(files, "against")?)),
    };
    let against = match (current, &other) {
        (Some(newest), _) => Against::Version(newest),
        (None, Some(set)) => Against::Files(set),
        (None, None) => Against::Default,
    };
    let range = Range {
        from: time("from", order.from.as_deref())?,
        to: time("to", order.to.as_deref())?,
        length: nanos(match &order.window {
            None => DEFAULT_SPAN,
            Some(text) => text.parse::<Span>().map_err(|error| Problem::bad_request(format!("window: {error}")))?.0,
        }),
    };
    let order = replay::Order { tenant: crate::TENANT, new: &new, against, service: order.service.as_deref(), range, levels: order.levels };
    let reports = replay::backtest(&parts.history, Judging::of(&parts.settings), &order).map_err(|error| match error {
        BacktestError::Store(error) => error.into(),
        BacktestError::TooMany { .. } => Problem::too_large(error.to_string()),
        BacktestError::Empty => Problem::bad_request(error.to_string()),
        BacktestError::Record(error) => error.into(),
    })?;
    Ok(Json(Backtested { reports }))
}

fn compiled(files: BTreeMap<String, String>, name: &str) -> Result<Set, Problem> {
    let files: Files = files.into_iter().map(|(path, content)| (path, content.into_bytes())).collect();
    let set = Set::compile(&files).map_err(|error| Problem::bad_request(format!("{name}: {error}")))?;
    if !set.has_errors() {
        return Ok(set);
    }
    let mut problem = Problem::bad_request(format!("{name}: a file is refused; `diagnostics` says why"));
    problem.diagnostics = set.reports().flat_map(|report| report.to_json().as_array().cloned().unwrap_or_default()).collect();
    Err(problem)
}

fn time(name: &str, text: Option<&str>) -> Result<Option<EventTime>, Problem> {
    let no_time = || Problem::bad_request(format!("{name} is no time: give RFC 3339 (2022-08-22T03:52:00Z) or seconds since 1970"));
    text.map(|text| instant::parse(text).ok_or_else(no_time)).transpose()
}
