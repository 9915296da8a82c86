//! The outcome of a request: ok, error or ignored (SIGNALS §2, first matching row wins).
//!
//! A decoder gathers what its format says into a `Status`; `classify` judges it. The table is one for all formats, so the same request is
//! the same verdict whether a span or a log line told of it. 4xx is not an error: it has a class of its own. Nothing here allocates.

use crate::decode::Reason;
use crate::event::StatusClass;

/// The verdict on one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)] // in state: never renumber
pub enum Outcome {
    /// Answered as it should be; 4xx too.
    Ok = 0,
    /// The service failed.
    Error = 1,
    /// Neither: the caller went away.
    Ignored = 2,
}

impl Outcome {
    /// An outcome by its name, as an explicit `outcome` field or a source's rule states it; any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [("ok", Self::Ok), ("error", Self::Error), ("ignored", Self::Ignored)]
            .into_iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name))
            .map(|(_, o)| o)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Ignored => "ignored",
        }
    }
}

/// Everything a format says about how a request ended. All of it may be absent: that is a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status<'a> {
    /// Stated by a source's rule or an explicit `outcome` field: stands in front of the table.
    pub stated: Option<Outcome>,
    /// HTTP status as given; 0 is "no response".
    pub http: Option<i64>,
    /// gRPC status.
    pub grpc: Option<Grpc>,
    /// Envoy's response flags, one or several separated by commas; `-` and empty are none.
    pub envoy_flag: Option<&'a str>,
    /// The span says that it failed.
    pub span_error: bool,
    /// The request was seen by its caller: 4xx is then an error.
    pub client_span: bool,
    /// Status as a word; empty is none.
    pub text: Option<&'a str>,
    /// Explicit `error.type`; empty is none.
    pub error_type: Option<&'a str>,
}

impl<'a> Status<'a> {
    /// Nothing is said.
    pub const NONE: Self = Self {
        stated: None,
        http: None,
        grpc: None,
        envoy_flag: None,
        span_error: false,
        client_span: false,
        text: None,
        error_type: None,
    };

    /// Takes a status that may be a number or a word: numeric text is an HTTP status, empty text is nothing.
    pub fn set_text(&mut self, text: &'a str) {
        match whole_number(text) {
            Some(number) => self.http = Some(number),
            None => self.text = Some(text).filter(|t| !t.is_empty()),
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    /// Ok, error or ignored.
    pub outcome: Outcome,
    /// Kind of error; empty unless the outcome is an error.
    pub error_type: &'a str,
    /// Class of the HTTP status.
    pub status_class: StatusClass,
}

/// Judges a status by the table; the row's number stands at each step.
///
/// # Errors
/// `StatusInvalid` when no row matches: an unknown word, HTTP 1 to 99, 1000 and above, or below zero.
pub fn classify<'a>(status: &Status<'a>) -> Result<Verdict<'a>, Reason> {
    let outcome = outcome(status)?;
    let error_type = if outcome == Outcome::Error { error_type(status) } else { "" };
    Ok(Verdict { outcome, error_type, status_class: status.http.map_or(StatusClass::None, status_class) })
}

fn outcome(status: &Status<'_>) -> Result<Outcome, Reason> {
    // The common cases leave early: an HTTP status alone, or nothing at all.
    if let Some(stated) = status.stated {
        return Ok(stated); // 1
    }
    let http = status.http;
    let text = status.text.filter(|t| !t.is_empty());
    let flags = status.envoy_flag.unwrap_or_default();
    let word = |words: &[&str]| text.is_some_and(|t| words.iter().any(|w| t.eq_ignore_ascii_case(w)));

    let http_alone = status.grpc.is_none() && text.is_none() && flags.is_empty() && !status.span_error && !status.client_span;
    if http_alone && http.is_some_and(|code| (100..499).contains(&code)) {
        return Ok(Outcome::Ok); // 7: no row before it can match
    }
    let cancelled = http == Some(499) || status.grpc == Some(Grpc::Cancelled) || word(&["cancelled", "canceled", "ignored"]);
    if cancelled || (http.unwrap_or(0) < 500 && flags.split(',').any(|f| f.trim() == "DC")) {
        return Ok(Outcome::Ignored); // 2
    }
    let http_failed =
        http.is_some_and(|code| code == 0 || (500..1000).contains(&code) || (status.client_span && (400..500).contains(&code)));
    let failed = status.grpc.is_some_and(Grpc::is_failure) // 3
        || http_failed || flags.split(',').any(is_failure_flag) // 4
        || status.span_error // 5
        || word(&["error", "fail", "failed", "failure", "down", "timeout"]); // 6
    if failed {
        return Ok(Outcome::Error);
    }
    let good = http.is_some_and(|code| (100..500).contains(&code)) || status.grpc.is_some() || word(&["ok", "success", "up", "pass"]);
    if good || (http.is_none() && text.is_none()) {
        return Ok(Outcome::Ok); // 7
    }
    Err(Reason::StatusInvalid) // 8
}

/// The first that is present and names a failure: a gRPC `OK` or an HTTP status below 400 beside a failed span says nothing about the kind.
pub(crate) fn error_type<'a>(status: &Status<'a>) -> &'a str {
    if let Some(explicit) = status.error_type.filter(|t| !t.is_empty()) {
        return explicit;
    }
    if let Some(grpc) = status.grpc.filter(|g| *g != Grpc::Ok) {
        return grpc.name();
    }
    if let Some(flag) = main_flag(status.envoy_flag.unwrap_or_default()) {
        return flag;
    }
    match status.http {
        Some(0) => "no_response",
        Some(code @ 400..1000) => http_text(code),
        _ => "_OTHER",
    }
}

/// The flag that made the request fail, else the first one.
fn main_flag(flags: &str) -> Option<&str> {
    let present = || flags.split(',').map(str::trim).filter(|f| !f.is_empty() && *f != "-");
    present().find(|f| is_failure_flag(f)).or_else(|| present().next())
}

fn is_failure_flag(flag: &str) -> bool {
    matches!(flag.trim(), "UF" | "UH" | "UO" | "URX" | "UT" | "UC" | "UR" | "LR" | "LH" | "NC" | "UPE" | "UMSDR" | "DT" | "OM" | "DF")
}

/// Class of an HTTP status; what is none (0, below 100) has no class.
#[must_use]
pub fn status_class(http: i64) -> StatusClass {
    match http {
        100..200 => StatusClass::Informational,
        200..300 => StatusClass::Success,
        300..400 => StatusClass::Redirection,
        400..500 => StatusClass::ClientError,
        500.. => StatusClass::ServerError,
        _ => StatusClass::None,
    }
}

/// A whole number with an optional sign and nothing else; one that does not fit stops at the ends of the range, where no status is.
#[must_use]
pub fn whole_number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        all => (false, all),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |sum, d| sum.saturating_mul(10).saturating_add(i64::from(d - b'0')));
    Some(if negative { -value } else { value })
}

/// Texts of all HTTP statuses of three digits, so that an error's kind is a static text.
static HTTP_TEXT: [[u8; 3]; 1000] = {
    let mut table = [[b'0'; 3]; 1000];
    let mut rest: &mut [[u8; 3]] = &mut table;
    let mut code = 0_u16;
    while let [first, others @ ..] = rest {
        *first = [b'0' + (code / 100) as u8, b'0' + (code / 10 % 10) as u8, b'0' + (code % 10) as u8];
        code += 1;
        rest = others;
    }
    table
};

/// An HTTP status as text; `_OTHER` outside 0 to 999.
#[must_use]
pub fn http_text(code: i64) -> &'static str {
    usize::try_from(code).ok().and_then(|c| HTTP_TEXT.get(c)).and_then(|t| std::str::from_utf8(t).ok()).unwrap_or("_OTHER")
}

macro_rules! grpc {
    ($($variant:ident = $number:literal $name:literal,)+) => {
        /// A gRPC status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Grpc {
            $(
                #[doc = $name]
                $variant = $number,
            )+
        }

        impl Grpc {
            /// Its name in the specification, in capitals.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// A code by its number.
            #[must_use]
            pub fn from_number(number: i64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)+ _ => None }
            }

            /// A code by its number or name. Names in any case, with or without underscores: `NOT_FOUND`, `not_found`, `NotFound`.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                if let Some(number) = whole_number(text) {
                    return Self::from_number(number);
                }
                [$(Self::$variant,)+].into_iter().find(|code| same_name(code.name(), text)).or_else(|| same_name("CANCELED", text).then_some(Self::Cancelled))
            }
        }
    };
}

grpc! {
    Ok = 0 "OK",
    Cancelled = 1 "CANCELLED",
    Unknown = 2 "UNKNOWN",
    InvalidArgument = 3 "INVALID_ARGUMENT",
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED",
    NotFound = 5 "NOT_FOUND",
    AlreadyExists = 6 "ALREADY_EXISTS",
    PermissionDenied = 7 "PERMISSION_DENIED",
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED",
    FailedPrecondition = 9 "FAILED_PRECONDITION",
    Aborted = 10 "ABORTED",
    OutOfRange = 11 "OUT_OF_RANGE",
    Unimplemented = 12 "UNIMPLEMENTED",
    Internal = 13 "INTERNAL",
    Unavailable = 14 "UNAVAILABLE",
    DataLoss = 15 "DATA_LOSS",
    Unauthenticated = 16 "UNAUTHENTICATED",
}

impl Grpc {
    /// Whether the service failed, and not its caller.
    #[must_use]
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Unknown | Self::DeadlineExceeded | Self::Unimplemented | Self::Internal | Self::Unavailable | Self::DataLoss)
    }
}

fn same_name(name: &str, text: &str) -> bool {
    let plain = |t: &'_ str| -> usize { t.bytes().filter(|b| *b != b'_').count() };
    plain(name) == plain(text)
        && name.bytes().filter(|b| *b != b'_').zip(text.bytes().filter(|b| *b != b'_')).all(|(a, b)| a.eq_ignore_ascii_case(&b))
}

#[cfg(test)]
mod tests;
