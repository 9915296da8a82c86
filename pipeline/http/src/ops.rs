//! For those who run it: `/metrics`, `/-/healthy`, `/-/ready`.

use crate::accept;
use crate::state::AppState;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

/// Below this a page is sent as it is.
const WORTH_PACKING: usize = 1 << 10;

/// Metrics for Prometheus: text, `OpenMetrics`, or protobuf with native histograms, as `Accept` asks.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Response {
    let of = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let format = accept::format(of(header::ACCEPT));
    let packs = accept::gzip(of(header::ACCEPT_ENCODING));
    let page = tokio::task::spawn_blocking(move || {
        let mut page = Vec::new();
        state.inner().parts.vitals.metrics(format, &mut page);
        // Writing to memory does not fail; should it, the page goes as it is.
        let packed = if packs && page.len() >= WORTH_PACKING { packed(&page).ok() } else { None };
        packed.map_or((page, false), |packed| (packed, true))
    });
    let vary = (header::VARY, "accept, accept-encoding");
    let kind = (header::CONTENT_TYPE, format.content_type());
    match page.await {
        Ok((page, false)) => ([kind, vary], page).into_response(),
        Ok((page, true)) => ([kind, vary, (header::CONTENT_ENCODING, "gzip")], page).into_response(),
        Err(error) => crate::problem::Problem::from(error).into_response(),
    }
}

/// Packed quickly rather than well: pages repeat themselves so much that it hardly matters.
fn packed(page: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
    encoder.write_all(page)?;
    encoder.finish()
}

/// The process lives and answers.
#[utoipa::path(get, path = "/-/healthy", tag = "operation", responses((status = 200, description = "It lives", body = String, content_type = "text/plain")))]
pub(crate) async fn healthy() -> &'static str {
    "healthy\n"
}

/// The pipeline is restored and runs.
#[utoipa::path(
    get, path = "/-/ready", tag = "operation",
    responses(
        (status = 200, description = "It runs", body = String, content_type = "text/plain"),
        (status = 503, description = "What is being waited for", body = String, content_type = "text/plain"),
    )
)]
pub(crate) async fn ready(State(state): State<AppState>) -> Response {
    match state.inner().parts.vitals.ready() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n")).into_response(),
    }
}
