//! `GET /api/v1/history`: what is kept, how far back, and how much it takes.

use super::params::Params;
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::Json;
use axum::extract::State;
use axum::http::Uri;
use golden_pipeline::history::Held;
use golden_pipeline::history::keys::HOUR;
use platform_core::time::SECOND;
use serde::Serialize;
use utoipa::ToSchema;

/// What is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Kept {
    /// Single windows.
    pub records: KeptKind,
    /// Sums of ten minutes.
    pub ten_minutes: KeptKind,
    /// Sums of hours.
    pub hours: KeptKind,
    /// Bytes of these three, which `bound_bytes` bounds.
    pub bytes: u64,
    /// Lines of the late ledger, kept as long as single windows and not bounded in bytes.
    pub late: KeptKind,
    /// Bytes of what is kept of each service's newest windows; bounded by the number of services.
    pub services_bytes: u64,
    /// Bytes of all that is told here.
    pub total_bytes: u64,
    /// Most bytes (`history.max_mib`): above it the oldest windows go first, then the oldest sums.
    pub bound_bytes: u64,
    /// How long each is kept, s of event time.
    pub retention: KeptFor,
    /// Hours of services and groupings that are not rolled up yet, or again: they are read window by window.
    pub open: u64,
    /// Records that came for windows that were thrown away already, and changed nothing.
    pub missed: u64,
}

/// One kind of what is kept.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptKind {
    /// First hour that has something, RFC 3339; null where there is nothing.
    pub from: Option<String>,
    /// End of the last hour that has something.
    pub to: Option<String>,
    /// Bytes of keys and values, before they are compressed.
    pub bytes: u64,
}

/// How long each is kept, s.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptFor {
    /// Single windows (`history.retention`).
    pub records_seconds: i64,
    /// Sums of ten minutes (`history.ten_minutes`).
    pub ten_minutes_seconds: i64,
    /// Sums of hours (`history.hours`).
    pub hours_seconds: i64,
}

/// Gives what is kept, how far back, and how much it takes.
#[utoipa::path(
    get, path = "/api/v1/history", tag = "operation", operation_id = "kept",
    responses(
        (status = 200, body = Kept),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn history(State(state): State<AppState>, uri: Uri) -> Result<Json<Kept>, Problem> {
    Params::of(&uri, &[])?;
    super::blocking(state, |state| {
        let parts = &state.inner().parts;
        let sizes = parts.history.sizes()?;
        let kind = |held: Held| KeptKind {
            from: held.hours.map(|(first, _)| rfc3339(first)),
            to: held.hours.map(|(_, last)| rfc3339(last.plus(HOUR))),
            bytes: held.bytes,
        };
        let bytes = sizes.records.bytes + sizes.ten_minutes.bytes + sizes.hours.bytes;
        Ok(Json(Kept {
            records: kind(sizes.records),
            ten_minutes: kind(sizes.ten_minutes),
            hours: kind(sizes.hours),
            bytes,
            late: kind(sizes.late),
            services_bytes: sizes.services,
            total_bytes: bytes + sizes.late.bytes + sizes.services,
            bound_bytes: parts.retention.bytes,
            retention: KeptFor {
                records_seconds: parts.retention.windows / SECOND,
                ten_minutes_seconds: parts.retention.ten_minutes / SECOND,
                hours_seconds: parts.retention.hours / SECOND,
            },
            open: sizes.open,
            missed: sizes.missed,
        }))
    })
    .await
}
