//! `GET /api/v1/services/{service}/heatmap`: how many requests took how long, step by step.
//!
//! Rows are made of whole bins of the sketches, so every count is exact. Their bounds follow the data: from the fastest to the slowest.

use super::asked::{Question, parameters};
use super::service_name;
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use golden_pipeline::history::Detail;
use golden_pipeline::sketch::range_of;
use platform_core::time::SECOND;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most rows.
const ROWS: u16 = 64;

/// Counts of durations over time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Heatmap {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// What the windows are summed by; all series that fit the parameters count together.
    pub grouping: String,
    /// First instant that a window may start at, RFC 3339.
    pub from: String,
    /// First instant behind.
    pub to: String,
    /// Length of a step, s.
    pub step_seconds: i64,
    /// Upper bounds of the rows, ms, ascending; a row begins above the bound before. At most 64, none without a duration.
    pub bounds_ms: Vec<f64>,
    /// One for each step that has a duration, in order of time.
    pub columns: Vec<Column>,
    /// The largest count.
    pub max_count: u64,
}

/// One step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Column {
    /// First instant, RFC 3339.
    pub start: String,
    /// Weighted count of each row.
    pub counts: Vec<u64>,
}

/// Gives how many requests took how long, step by step.
#[utoipa::path(
    get, path = "/api/v1/services/{service}/heatmap", tag = "signals",
    params(
        ("service" = String, Path, description = "Name of the service, percent-encoded (`/` as `%2F`)"),
        ("from" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; an hour before `to` unless told"),
        ("to" = Option<String>, Query, description = "RFC 3339, or seconds since 1970; the end of the newest window unless told"),
        ("step" = Option<u64>, Query, description = "Length of a step, s: a multiple of the window; unless told, so that there are at most 240"),
        ("grouping" = Option<String>, Query, description = "What to sum by; `service` unless told"),
        ("dimension" = Option<String>, Query, description = "Only this value of a dimension of the grouping; the parameter has the dimension's name, as in `operation=GET%20%2F`"),
        ("namespace" = Option<String>, Query, description = "Needed when several namespaces have a service of this name"),
    ),
    responses(
        (status = 200, body = Heatmap),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 404, body = Problem, content_type = "application/problem+json"),
        (status = 422, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn heatmap(
    State(state): State<AppState>,
    service: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Json<Heatmap>, Problem> {
    let service = service_name(service)?;
    let params = parameters(&state, &uri)?;
    super::blocking(state, move |state| {
        let asked = Question::of(state, &service, &params, super::range::DEFAULT_SPAN)?;
        let sums = asked.sums(state, asked.step, Detail { trail: false, aggregate: true })?;
        let mut columns: BTreeMap<_, BTreeMap<u16, u64>> = BTreeMap::new();
        for (start, sum) in sums.values().flatten() {
            let both = [Some(sum.aggregate.ok_latency()), sum.aggregate.error_latency()];
            for (bin, count) in both.into_iter().flatten().flat_map(|latency| latency.sketch.bins()) {
                let held = columns.entry(*start).or_default().entry(bin).or_default();
                *held = held.saturating_add(count);
            }
        }
        let bins = || columns.values().flat_map(BTreeMap::keys);
        let (first, last) = (bins().min().copied().unwrap_or(0), bins().max().copied());
        let rows = Rows { first, each: last.map_or(1, |last| (last - first) / ROWS + 1) };
        let count = last.map_or(0, |last| usize::from(rows.of(last)) + 1);
        let columns: Vec<Column> = columns
            .into_iter()
            .map(|(start, bins)| {
                let mut counts = vec![0_u64; count];
                for (bin, of) in bins {
                    if let Some(held) = counts.get_mut(usize::from(rows.of(bin))) {
                        *held = held.saturating_add(of);
                    }
                }
                Column { start: rfc3339(asked.bounds(start).0), counts }
            })
            .collect();
        Ok(Json(Heatmap {
            service: asked.service.key.service.clone(),
            namespace: asked.service.key.namespace.clone(),
            grouping: asked.grouping.clone(),
            from: rfc3339(asked.from),
            to: rfc3339(asked.to),
            step_seconds: asked.step / SECOND,
            bounds_ms: (0..count).map(|row| rows.bound_ms(row)).collect(),
            max_count: columns.iter().flat_map(|column| &column.counts).max().copied().unwrap_or(0),
            columns,
        }))
    })
    .await
}

/// Rows of so many bins each.
struct Rows {
    first: u16,
    each: u16,
}

impl Rows {
    fn of(&self, bin: u16) -> u16 {
        bin.saturating_sub(self.first) / self.each
    }

    /// Bins count whole µs.
    fn bound_ms(&self, row: usize) -> f64 {
        let last = usize::from(self.first) + (row + 1) * usize::from(self.each) - 1;
        range_of(u16::try_from(last).unwrap_or(u16::MAX)).1 as f64 / 1000.0
    }
}
