//! Pages: golden signals' own page, built from dashboards/page and embedded, and the documentation of the API. Nothing is loaded from
//! elsewhere, nothing is inline.
//!
//! The page is compressed once, at the start, and a browser that has it is told so: its tag is the hash of the sources it is built from.

use crate::openapi;
use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const TEXT: &str = "text/plain; charset=utf-8";

/// SHA-256 over the sources of the page; a test computes it anew.
pub(crate) const SOURCES: &str = include_str!("../../../dashboards/page/dist/sources.sha256");

macro_rules! built {
    ($path:literal) => {
        include_bytes!(concat!("../../../dashboards/page/dist/", $path))
    };
}

/// What documents the API. It describes every route, and a process may have some of them only.
pub(crate) fn documentation<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let openapi = openapi::json();
    Router::new()
        .route("/assets/docs.js", get(|| asset(JS, include_str!("assets/docs.js"))))
        .route("/assets/docs.css", get(|| asset(CSS, include_str!("assets/docs.css"))))
        .route("/api/docs", get(|| asset(HTML, include_str!("assets/docs.html"))))
        .route("/api/openapi.json", get(move || async move { ([(header::CONTENT_TYPE, "application/json")], openapi) }))
}

/// The page and what it is made of.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let built: [(&str, &str, &[u8]); 6] = [
        ("/", HTML, built!("index.html")),
        ("/assets/page.js", JS, built!("assets/page.js")),
        ("/assets/page.css", CSS, built!("assets/page.css")),
        ("/assets/theme.js", JS, built!("assets/theme.js")),
        ("/assets/icon.svg", SVG, built!("assets/icon.svg")),
        ("/assets/licences.txt", TEXT, built!("assets/licences.txt")),
    ];
    built.into_iter().fold(Router::new(), |router, (path, content_type, bytes)| {
        let file = File::new(content_type, bytes);
        router.route(path, get(move |headers: HeaderMap| async move { file.answer(&headers) }))
    })
}

async fn asset(content_type: &'static str, text: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, content_type)], text)
}

/// A file of the page, as it is and compressed.
#[derive(Clone)]
struct File {
    content_type: &'static str,
    plain: &'static [u8],
    gzip: Bytes,
    tag: HeaderValue,
}

impl File {
    fn new(content_type: &'static str, plain: &'static [u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let gzip = encoder.write_all(plain).and_then(|()| encoder.finish()).expect("a Vec takes all that is written");
        let tag = HeaderValue::from_str(&format!("W/\"{}\"", SOURCES.trim())).expect("a hash in hexadecimal fits a header");
        Self { content_type, plain, gzip: gzip.into(), tag }
    }

    fn answer(&self, asked: &HeaderMap) -> Response {
        let says = |name: header::HeaderName, word: &str| {
            asked.get_all(name).iter().filter_map(|value| value.to_str().ok()).any(|value| value.split(',').any(|v| v.trim() == word))
        };
        let tag = (header::ETAG, self.tag.clone());
        if self.tag.to_str().is_ok_and(|tag| says(header::IF_NONE_MATCH, tag)) {
            return (StatusCode::NOT_MODIFIED, [tag]).into_response();
        }
        let content_type = (header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        let vary = (header::VARY, HeaderValue::from_static("accept-encoding"));
        if says(header::ACCEPT_ENCODING, "gzip") {
            let encoding = (header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            return ([content_type, vary, tag, encoding], self.gzip.clone()).into_response();
        }
        ([content_type, vary, tag], Bytes::from_static(self.plain)).into_response()
    }
}
