//! `GET /api/v1/services/{service}/value`: one number about one service, for those who can only read one: analyses of Argo Rollouts, scalers
//! of KEDA, scripts. On request the answer waits until windows have been published that the question is about.

use super::params::Params;
use super::record::{health_now, is_stale, published};
use super::{find_service, service_name};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use golden_pipeline::emit::read::{Durations, PublicRecord};
use golden_pipeline::history::{Query, ServiceNow};
use platform_core::time::EventTime;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, timeout};
use utoipa::ToSchema;

/// How often it is looked for a new window.
const LOOK: Duration = Duration::from_millis(500);
/// How long an answer waits unless told, and at most, s.
const WAIT: (u64, u64) = (120, 300);
/// Most windows that are waited for.
const MOST: i64 = 60;
/// What can be asked for, and its unit.
const SIGNALS: [(&str, &str); 20] = [
    ("availability", "1"),
    ("requests", "{request}"),
    ("requests_rate", "{request}/s"),
    ("errors", "{request}"),
    ("errors_rate", "{request}/s"),
    ("errors_ratio", "1"),
    ("ignored", "{request}"),
    ("mean", "ms"),
    ("max", "ms"),
    ("p50", "ms"),
    ("p75", "ms"),
    ("p90", "ms"),
    ("p95", "ms"),
    ("p99", "ms"),
    ("p999", "ms"),
    ("samples", "{event}"),
    ("late_events", "{event}"),
    ("saturation", "1"),
    ("health", "{level}"),
    ("completeness", "1"),
];

/// One number about one service.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ServiceValue {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// What the window is summed by.
    pub grouping: String,
    /// What was asked for.
    pub signal: String,
    /// Its unit: `1` for ratios from 0 to 1, `ms`, `{request}/s` and the like.
    pub unit: String,
    /// The number; `default`, or null, where there is none: no requests, no durations, unknown health.
    pub value: Option<f64>,
    /// Start of the window that it is of, RFC 3339.
    pub window_start: String,
    /// Its end, RFC 3339: `after` of the next question.
    pub window_end: String,
    /// Revision of the window's record.
    pub revision: u64,
    /// Share of the window's input that was seen, 0 to 1.
    pub completeness: f64,
    /// Nothing was published for so long that this says nothing about now.
    pub stale: bool,
}

/// Gives one number of a service's newest window, or of the window that is waited for.
///
/// With `wait_for_windows=n` the answer waits until n windows have been published that end after the question was asked, or that start at
/// `after` or later; the number is that of the last of them. When they do not come in time the answer is 503: an analysis that must not pass
/// without them does not.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/value", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("signal" = String, Query, description = "`availability`, `requests`, `requests_rate`, `errors`, `errors_rate`, `errors_ratio`, `ignored`, `mean`, `max`, `p50`, `p75`, `p90`, `p95`, `p99`, `p999`, `samples`, `late_events`, `saturation`, `health` or `completeness`"),
        ("grouping" = Option<String>, Query, description = "What to sum by; `service` unless told"),
        ("dimensions" = Option<String>, Query, description = "Which series of the grouping: `name:value`, several separated by commas"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
        ("wait_for_windows" = Option<u32>, Query, description = "How many further windows to wait for: 0 to 60; 0 unless told, 1 with `after`"),
        ("after" = Option<String>, Query, description = "Only windows that start then or later; RFC 3339, or seconds since 1970"),
        ("wait" = Option<u32>, Query, description = "How long to wait at most, s: up to 300; 120 unless told"),
        ("default" = Option<f64>, Query, description = "The number to give where there is none"),
    ),
    responses(
        (status = 200, body = ServiceValue),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn value(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<ServiceValue>, Problem> {
    let question = Arc::new(Question::of(service_name(service)?, &uri)?);
    let asked = Arc::clone(&question);
    let found = super::blocking(state.clone(), move |state| asked.newest(state)).await?;
    let (window, end) = (found.window_nanos, found.window_start.plus(found.window_nanos));
    let target = question.target(end, window);
    if end < target {
        question.wait_for(&state, target).await?;
    }
    super::blocking(state, move |state| question.answer(state, Some(target.plus(-window)).filter(|_| question.waits()))).await
}

/// What is asked for.
struct Question {
    service: String,
    namespace: Option<String>,
    signal: &'static str,
    unit: &'static str,
    grouping: String,
    /// By name.
    dimensions: Vec<(String, String)>,
    windows: i64,
    after: Option<EventTime>,
    wait: Duration,
    default: Option<f64>,
}

impl Question {
    fn of(service: String, uri: &Uri) -> Result<Self, Problem> {
        let names = ["signal", "grouping", "dimensions", "namespace", "wait_for_windows", "after", "wait", "default"];
        let params = Params::of(uri, &names)?;
        let known = || SIGNALS.map(|(name, _)| name).join(", ");
        let wanted = params.text("signal").ok_or_else(|| Problem::bad_request(format!("signal is missing: one of {}", known())))?;
        let Some((signal, unit)) = SIGNALS.iter().find(|(name, _)| *name == wanted) else {
            let names = super::params::nearest(wanted, SIGNALS.iter().map(|(name, _)| *name));
            return Err(Problem::bad_request(format!("there is no signal {wanted:?}: one of {}", known())).with_suggestions(names));
        };
        let number = |name: &str, default: u64, most: u64| match params.text(name).map(str::parse::<u64>) {
            None => Ok(default),
            Some(Ok(number)) if number <= most => Ok(number),
            Some(_) => Err(Problem::bad_request(format!("{name} is a number from 0 to {most}"))),
        };
        let after = params.time("after")?;
        let default = match params.text("default").map(str::parse::<f64>) {
            None => None,
            Some(Ok(number)) if number.is_finite() => Some(number),
            Some(_) => return Err(Problem::bad_request("default is no number")),
        };
        let pair = |text: &str| text.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let dimensions = params.text("dimensions").map_or(Some(vec![]), |text| text.split(',').map(pair).collect());
        let windows = number("wait_for_windows", u64::from(after.is_some()), MOST.unsigned_abs())?;
        Ok(Self {
            service,
            namespace: params.text("namespace").map(str::to_owned),
            signal,
            unit,
            grouping: params.text("grouping").unwrap_or("service").to_owned(),
            dimensions: dimensions.ok_or_else(|| Problem::bad_request("dimensions are name:value, several separated by commas"))?,
            windows: i64::try_from(windows).unwrap_or(MOST),
            after,
            wait: Duration::from_secs(number("wait", WAIT.0, WAIT.1)?),
            default,
        })
    }

    fn newest(&self, state: &AppState) -> Result<ServiceNow, Problem> {
        find_service(&state.inner().parts.history, &self.service, self.namespace.as_deref())
    }

    fn waits(&self) -> bool {
        self.windows > 0
    }

    /// End of the last window that is waited for, when the newest one ends at `end`.
    fn target(&self, end: EventTime, window: i64) -> EventTime {
        let from = self.after.map_or(end, |after| {
            let over = after.0.rem_euclid(window.max(1));
            after.plus(if over == 0 { 0 } else { window - over })
        });
        from.plus(window.saturating_mul(self.windows))
    }

    /// Looks until a window that ends at `target` or later is there.
    async fn wait_for(self: &Arc<Self>, state: &AppState, target: EventTime) -> Result<(), Problem> {
        let late = |detail: String| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not published yet", detail).with_retry_after(5);
        let Ok(_waiting) = state.inner().waiting.try_acquire() else {
            let detail = "too many requests wait for windows: ask again";
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many", detail).with_retry_after(5));
        };
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let published = async {
            loop {
                look.tick().await;
                let asked = Arc::clone(self);
                let found = super::blocking(state.clone(), move |state| asked.newest(state)).await?;
                if found.window_start.plus(found.window_nanos) >= target {
                    return Ok(());
                }
            }
        };
        match timeout(self.wait, published).await {
            Ok(done) => done,
            Err(_) => Err(late(format!("the window that ends at {} was not published within {} s", rfc3339(target), self.wait.as_secs()))),
        }
    }

    /// The number of the window that starts at `start`, or of the newest one.
    fn answer(&self, state: &AppState, start: Option<EventTime>) -> Result<Json<ServiceValue>, Problem> {
        let found = self.newest(state)?;
        let start = start.unwrap_or(found.window_start);
        let query = Query { from: start, to: start.plus(1), limit: 10_000 };
        let page = state.inner().parts.history.signals(&found.key, &self.grouping, &query)?;
        let mut records =
            page.records.iter().filter_map(|stored| PublicRecord::parse(&stored.json).ok()).filter(|record| self.means(record));
        let none = || {
            let of = format!("grouping {:?} of {:?} in the window that starts at {}", self.grouping, self.service, rfc3339(start));
            Problem::not_found(format!("there is no record of {of} with these dimensions"))
        };
        let record = records.next().ok_or_else(none)?;
        if records.next().is_some() {
            return Err(Problem::bad_request(format!(
                "grouping {:?} has several series: choose one with dimensions=name:value",
                self.grouping
            )));
        }
        let stale = is_stale(state, &found);
        let value = if self.signal == "health" {
            health_now(&published(&record), stale).level.map(f64::from)
        } else {
            number(&record, self.signal)
        };
        Ok(Json(ServiceValue {
            service: found.key.service.clone(),
            namespace: found.key.namespace.clone(),
            grouping: self.grouping.clone(),
            signal: self.signal.to_owned(),
            unit: self.unit.to_owned(),
            value: value.or(self.default),
            window_start: record.window_start.to_string(),
            window_end: record.window_end.to_string(),
            revision: record.revision,
            completeness: record.completeness,
            stale,
        }))
    }

    /// Whether a record is of the series that is asked for.
    fn means(&self, record: &PublicRecord<'_>) -> bool {
        self.dimensions.iter().all(|(name, value)| record.dimensions.get(name.as_str()).is_some_and(|held| held == value))
    }
}

/// A number of a record, but for its health.
fn number(record: &PublicRecord<'_>, signal: &str) -> Option<f64> {
    let all = record.latency.as_ref().and_then(|latency| latency.all);
    let of = |quantile: fn(&Durations) -> Option<f64>| all.as_ref().and_then(quantile);
    match signal {
        "availability" => record.availability_ratio,
        "requests" => Some(record.requests.count as f64),
        "requests_rate" => Some(record.requests.rate),
        "errors" => Some(record.errors.count as f64),
        "errors_rate" => Some(record.errors.rate),
        "errors_ratio" => record.errors.ratio,
        "ignored" => Some(record.ignored as f64),
        "mean" => all.map(|all| all.mean),
        "max" => all.map(|all| all.max),
        "p50" => of(|all| all.p50),
        "p75" => of(|all| all.p75),
        "p90" => of(|all| all.p90),
        "p95" => of(|all| all.p95),
        "p99" => of(|all| all.p99),
        "p999" => of(|all| all.p999),
        "samples" => record.latency.as_ref().map(|latency| latency.samples as f64),
        "late_events" => Some(record.late_events as f64),
        "saturation" => record.saturation.as_ref().map(|saturation| saturation.ratio),
        "completeness" => Some(record.completeness),
        _ => None,
    }
}
