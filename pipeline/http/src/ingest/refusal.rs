//! Why a body is refused whole, and what its sender should do. Nothing of it is written, except after `LogFailed`, where that is unknown.

use axum::http::StatusCode;
use golden_pipeline::decode::Reason;
use platform_core::log::AppendError;

/// Why nothing of a body was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too much is held or waiting.
    Overloaded,
    /// No room on the device.
    Full,
    /// The log failed.
    LogFailed,
    /// The body, inflated, is above this many bytes.
    TooLarge { limit: usize },
    /// The body did not arrive in time.
    TooSlow,
    /// An unknown content-encoding.
    Coding,
    /// A content-type that this path does not take; what it does.
    MediaType(&'static str),
    /// Another tenant than the only one.
    Tenant,
    /// The body's envelope is broken.
    Broken(&'static str),
    /// The document cannot be opened.
    Unreadable { reason: Reason, detail: String },
    /// A defect here.
    Defect,
}

impl Refusal {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Overloaded => StatusCode::TOO_MANY_REQUESTS,
            Self::Full | Self::LogFailed => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Coding | Self::MediaType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Tenant | Self::Broken(_) | Self::Unreadable { .. } => StatusCode::BAD_REQUEST,
            Self::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    pub(super) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Overloaded => Some(1),
            Self::Full | Self::LogFailed => Some(10),
            _ => None,
        }
    }

    pub(super) fn title(&self) -> &'static str {
        match self {
            Self::Overloaded => "too much at once",
            Self::Full => "the disk is full",
            Self::LogFailed => "the log failed",
            Self::TooLarge { .. } => "the body is too large",
            Self::TooSlow => "the body came too slowly",
            Self::Coding | Self::MediaType(_) => "the body is of an unknown kind",
            Self::Tenant => "unknown tenant",
            Self::Broken(_) | Self::Unreadable { .. } => "the body cannot be opened",
            Self::Defect => "a defect",
        }
    }

    pub(super) fn detail(&self) -> String {
        match self {
            Self::Overloaded => "nothing was stored: send the same again after the time in Retry-After".into(),
            Self::Full => "nothing was stored: make room, or lower the retention; then send the same again".into(),
            Self::LogFailed => "whether this was stored is unknown; the program's log says more".into(),
            Self::TooLarge { limit } => format!(
                "a body may have {} MiB after inflating, and at most 200 times what was sent: send smaller batches",
                limit.div_ceil(1 << 20)
            ),
            Self::TooSlow => "nothing was stored: send smaller batches".into(),
            Self::Coding => "content-encoding may be gzip, zstd or identity".into(),
            Self::MediaType(takes) => (*takes).into(),
            Self::Tenant => "the only tenant is `default`: send X-Scope-OrgID: default, or leave the header out".into(),
            Self::Broken(what) => (*what).into(),
            Self::Unreadable { reason, detail } => format!("{}: {detail}; nothing was stored", reason.code()),
            Self::Defect => "the body met a defect in this program and was not stored; the program's log says more".into(),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Overloaded => Self::Overloaded,
            AppendError::Full(detail) => {
                tracing::warn!(%detail, "the log is full");
                Self::Full
            }
            AppendError::Failed(detail) => {
                tracing::error!(%detail, "the log failed");
                Self::LogFailed
            }
        }
    }
}
