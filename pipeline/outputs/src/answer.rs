//! What an answer of a receiver means for what was sent. Pure.
//!
//! What can become right without changing what is sent is tried again: a receiver that is away or overloaded, and one that does not know
//! us, our path or our form (401 to 405, 408, 415, 425, 429), since whoever runs it can repair that while the outbox holds everything. Only what the
//! receiver says about the content itself (400, 409, 413, 422 and the like) is final.

use std::time::Duration;

/// The longest wait that a receiver may ask for.
const MOST: u64 = 300;

/// What becomes of what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Taken.
    Taken,
    /// To be sent again, after as long as the receiver says.
    Again(Option<Duration>),
    /// Refused for good.
    Refused,
    /// Refused for its size.
    TooLarge,
}

/// By status and the header `Retry-After`, of which only seconds are understood.
pub(crate) fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
    let wait = || retry_after.and_then(|text| text.trim().parse().ok()).map(|seconds: u64| Duration::from_secs(seconds.min(MOST)));
    match status {
        200..300 => Verdict::Taken,
        413 => Verdict::TooLarge,
        401..=405 | 407 | 408 | 415 | 425 | 429 => Verdict::Again(wait()),
        400..500 => Verdict::Refused,
        _ => Verdict::Again(wait()),
    }
}

/// The same by a status of gRPC. What OTLP calls worth another try is tried again, and so is what whoever runs the receiver can repair: 2
/// (no gRPC at all), 5, 7, 12 and 16 (not found, not permitted, not implemented, not known).
pub(crate) fn verdict_of_grpc(status: u32) -> Verdict {
    match status {
        0 => Verdict::Taken,
        3 | 6 | 9 | 13 => Verdict::Refused,
        _ => Verdict::Again(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_said_about_the_content_is_final() {
        for status in [200, 202, 204] {
            assert_eq!(verdict(status, None), Verdict::Taken);
        }
        for status in [400, 409, 422] {
            assert_eq!(verdict(status, Some("9")), Verdict::Refused);
        }
        for status in [301, 302, 401, 403, 404, 408, 415, 500, 502, 503, 599] {
            assert_eq!(verdict(status, None), Verdict::Again(None));
        }
        assert_eq!(verdict(413, None), Verdict::TooLarge);
    }

    #[test]
    fn a_receiver_says_how_long_to_wait_up_to_a_bound() {
        assert_eq!(verdict(429, Some(" 7 ")), Verdict::Again(Some(Duration::from_secs(7))));
        assert_eq!(verdict(503, Some("86400")), Verdict::Again(Some(Duration::from_secs(300))));
        assert_eq!(verdict(503, Some("Wed, 21 Oct 2015 07:28:00 GMT")), Verdict::Again(None));
    }
}
