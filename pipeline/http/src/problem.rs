//! Errors of the API: `application/problem+json` (RFC 9457), each saying what to do about it.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use golden_pipeline::overrides::backtest::{HistoryError, Unusable};
use platform_core::log::LogError;
use platform_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// The type of all problems: what a program may decide by is the status, what a person needs is the detail.
pub(crate) const BLANK: &str = "about:blank";

/// What went wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// `about:blank`: the title and the status say all there is.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Says the kind of error in a few words; the same for the same kind.
    pub title: &'static str,
    /// The HTTP status again.
    pub status: u16,
    /// What is wrong with this request, and what to do.
    pub detail: String,
    /// Names that were perhaps meant.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub suggestions: Box<[String]>,
    /// What is wrong with files that were sent: `file`, `start`, `end`, `severity`, `code`, `message` and perhaps `help`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub diagnostics: Vec<serde_json::Value>,
    /// Seconds to wait before trying again; also in the header `Retry-After`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: BLANK,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            suggestions: Box::default(),
            diagnostics: Vec::new(),
            retry_after: None,
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the request cannot be understood", detail)
    }

    /// `detail` says what to narrow.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "the question is too large", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is no such thing", detail)
    }

    pub(crate) fn with_suggestions(mut self, suggestions: Vec<String>) -> Self {
        self.suggestions = suggestions.into();
        self
    }

    pub(crate) fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        with_status(self.status, self.retry_after, Json(self))
    }
}

/// A JSON body as a problem.
pub(crate) fn with_status(status: u16, retry_after: Option<u64>, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// Details of engines go to the log, not to strangers.
fn unavailable(what: &str, error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, what, "a request could not be served");
    let detail = format!("{what} cannot be read just now; try again, and look into the program's log if it stays so");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not available", detail).with_retry_after(10)
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        unavailable("the history", &error)
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        match error {
            HistoryError::Store(error) => error.into(),
            HistoryError::Record(error) => error.into(),
        }
    }
}

/// A record of the history that this program cannot have written.
impl From<Unusable> for Problem {
    fn from(error: Unusable) -> Self {
        tracing::error!(%error, "the history cannot be used");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect", error.to_string())
    }
}

impl From<LogError> for Problem {
    fn from(error: LogError) -> Self {
        unavailable("the log", &error)
    }
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        tracing::error!(%error, "an answer could not be written");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect", "the answer cannot be written; the program's log says more")
    }
}

/// Sums of what this program has summed before fit.
impl From<golden_pipeline::sketch::Overflow> for Problem {
    fn from(error: golden_pipeline::sketch::Overflow) -> Self {
        tracing::error!(%error, "the history cannot be used");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect", error.to_string())
    }
}

impl From<tokio::task::JoinError> for Problem {
    fn from(error: tokio::task::JoinError) -> Self {
        tracing::error!(%error, "a request could not be served");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "a defect", "the request met a defect in this program; its log says more")
    }
}
