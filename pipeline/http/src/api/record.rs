//! The newest record of a service, and what its health is worth now.

use crate::problem::Problem;
use crate::state::AppState;
use axum::http::StatusCode;
use golden_pipeline::emit::read::PublicRecord;
use golden_pipeline::history::ServiceNow;
use platform_core::time::nanos;
use serde::Serialize;
use utoipa::ToSchema;

/// Health of a service.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct Health {
    /// 0 healthy, 1 degraded, 2 impaired, 3 critical; null when unknown.
    pub level: Option<u8>,
    /// The level as a word: `healthy`, `degraded`, `impaired`, `critical`, `unknown`.
    pub state: String,
    /// Why: `rule`, `rule_error`, `incomplete` (part of the input is missing), `stale` (nothing was published for a while).
    pub reason: String,
    /// The level before.
    pub previous: Option<u8>,
}

/// The record of a service's newest window.
pub(super) fn record_of(service: &ServiceNow) -> Result<PublicRecord<'_>, Problem> {
    serde_json::from_slice(&service.json).map_err(|error| {
        tracing::error!(%error, service = service.key.service, "a public record cannot be read");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect", "a published record cannot be read; the program's log says more")
    })
}

/// Whether nothing came for so long that the last health says nothing about now: past the window's end, one more window, and `stale_after`.
pub(crate) fn is_stale(state: &AppState, service: &ServiceNow) -> bool {
    let parts = &state.inner().parts;
    let last = service.window_start.plus(service.window_nanos).plus(service.window_nanos);
    parts.clock.wall() > last.plus(nanos(parts.limits.stale_after)).0
}

/// The health as it was published.
pub(super) fn published(record: &PublicRecord<'_>) -> Health {
    match &record.health {
        Some(h) => Health { level: h.level, state: h.state.to_string(), reason: h.reason.to_string(), previous: Some(h.previous) },
        None => Health { level: None, state: "unknown".into(), reason: "rule".into(), previous: None },
    }
}

/// The health that counts now.
pub(super) fn health_now(published: &Health, stale: bool) -> Health {
    if stale {
        Health { level: None, state: "unknown".into(), reason: "stale".into(), previous: published.level.or(published.previous) }
    } else {
        published.clone()
    }
}
