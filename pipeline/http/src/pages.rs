//! Pages: the live table of services, and the documentation of the API. Self-contained: nothing is loaded from elsewhere, nothing is inline.

use crate::openapi;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// All pages and what they are made of.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let openapi = openapi::json();
    Router::new()
        .route("/", get(|| asset(HTML, include_str!("assets/index.html"))))
        .route("/assets/services.js", get(|| asset(JS, include_str!("assets/services.js"))))
        .route("/assets/docs.js", get(|| asset(JS, include_str!("assets/docs.js"))))
        .route("/assets/style.css", get(|| asset(CSS, include_str!("assets/style.css"))))
        .route("/api/docs", get(|| asset(HTML, include_str!("assets/docs.html"))))
        .route("/api/openapi.json", get(move || async move { ([(header::CONTENT_TYPE, "application/json")], openapi) }))
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}
