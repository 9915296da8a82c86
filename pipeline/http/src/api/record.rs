//! The fields of a public record that overviews show, and what a record is worth now.

use crate::problem::Problem;
use crate::state::AppState;
use golden_pipeline::history::ServiceNow;
use platform_core::time::nanos;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A public record, as far as overviews go.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub window_start: String,
    pub window_end: String,
    pub completeness: f64,
    pub requests: Rate,
    pub errors: Rate,
    pub availability_ratio: Option<f64>,
    pub latency: Option<Latency>,
    pub health: Health,
}

#[derive(Debug, Deserialize)]
pub(super) struct Rate {
    pub count: u64,
    pub rate: f64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Latency {
    pub all: Option<Quantiles>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Quantiles {
    pub p50: Option<f64>,
    pub p99: Option<f64>,
}

/// Health of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
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

impl Record {
    pub(super) fn of(service: &ServiceNow) -> Result<Self, Problem> {
        serde_json::from_slice(&service.json).map_err(|error| {
            tracing::error!(%error, service = service.key.service, "a public record cannot be read");
            Problem::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, "a defect", "a published record cannot be read; the program's log says more")
        })
    }
}

/// Whether nothing came for so long that the last health says nothing about now: past the window's end, one more window, and `stale_after`.
pub(super) fn is_stale(state: &AppState, service: &ServiceNow) -> bool {
    let parts = &state.inner().parts;
    let last = service.window_start.plus(service.window_nanos).plus(service.window_nanos);
    parts.clock.wall() > last.plus(nanos(parts.limits.stale_after)).0
}

/// The health that counts now.
pub(super) fn health_now(recorded: &Health, stale: bool) -> Health {
    if stale {
        Health { level: None, state: "unknown".into(), reason: "stale".into(), previous: recorded.level.or(recorded.previous) }
    } else {
        recorded.clone()
    }
}
