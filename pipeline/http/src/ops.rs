//! For those who run it: `/metrics`, `/-/healthy`, `/-/ready`.

use crate::state::AppState;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Metrics in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "operation", responses((status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
pub(crate) async fn metrics(State(state): State<AppState>) -> Response {
    let text = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        state.inner().parts.vitals.metrics(&mut text);
        text
    });
    match text.await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => crate::problem::Problem::from(error).into_response(),
    }
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
