//! What an answer of a receiver means for what was sent. Pure.
//!
//! A receiver that is away or overloaded (no answer, 5xx, 429) is waited for. What it says about the content itself (400, 409, 413, 422 and the
//! like) is final. Between the two stands one that does not know us, our path or our form (401 to 405, 407, 408, 415, 425): the specification
//! of remote write calls these final as well, but whoever runs the receiver can repair them, and a token that expired at night is no reason to
//! lose the night. They are tried again for as long as `patience` is set to, and dropped then.

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
    /// Refused for something that whoever runs the receiver can repair, by this reason: tried again for a while.
    Denied(&'static str),
    /// Refused for its size.
    TooLarge,
}

/// By status and the header `Retry-After`, of which only seconds are understood.
pub(crate) fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
    let wait = || retry_after.and_then(|text| text.trim().parse().ok()).map(|seconds: u64| Duration::from_secs(seconds.min(MOST)));
    match status {
        200..300 => Verdict::Taken,
        413 => Verdict::TooLarge,
        429 => Verdict::Again(wait()),
        401 => Verdict::Denied("unauthorized"),
        402 => Verdict::Denied("payment_required"),
        403 => Verdict::Denied("forbidden"),
        404 => Verdict::Denied("not_found"),
        405 => Verdict::Denied("method_not_allowed"),
        407 => Verdict::Denied("proxy_unauthorized"),
        408 => Verdict::Denied("request_timeout"),
        415 => Verdict::Denied("unsupported_form"),
        425 => Verdict::Denied("too_early"),
        400..500 => Verdict::Refused,
        _ => Verdict::Again(wait()),
    }
}

/// The same by a status of gRPC: what OTLP calls worth another try is tried again, and 2 as well (no gRPC at all).
pub(crate) fn verdict_of_grpc(status: u32) -> Verdict {
    match status {
        0 => Verdict::Taken,
        3 | 6 | 9 | 13 => Verdict::Refused,
        5 => Verdict::Denied("not_found"),
        7 => Verdict::Denied("forbidden"),
        12 => Verdict::Denied("unsupported_form"),
        16 => Verdict::Denied("unauthorized"),
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
        for status in [301, 302, 429, 500, 502, 503, 599] {
            assert_eq!(verdict(status, None), Verdict::Again(None));
        }
        assert_eq!(verdict(413, None), Verdict::TooLarge);
    }

    #[test]
    fn of_4xx_only_429_is_tried_again_without_end() {
        let mut reasons = std::collections::BTreeSet::new();
        for status in 400..500 {
            let named = matches!(status, 401..=405 | 407 | 408 | 415 | 425);
            match verdict(status, Some("7")) {
                Verdict::Again(wait) => assert_eq!((status, wait), (429, Some(Duration::from_secs(7)))),
                Verdict::Denied(reason) => assert!(named && reasons.insert(reason), "{status}: {reason}"),
                Verdict::Refused => assert!(!named && status != 413, "{status}"),
                Verdict::TooLarge => assert_eq!(status, 413),
                Verdict::Taken => panic!("{status}"),
            }
        }
        assert_eq!(reasons.len(), 9);
        assert_eq!(verdict_of_grpc(16), Verdict::Denied("unauthorized"));
        assert_eq!([1, 2, 4, 8, 10, 11, 14, 15].map(verdict_of_grpc), [const { Verdict::Again(None) }; 8]);
    }

    #[test]
    fn a_receiver_says_how_long_to_wait_up_to_a_bound() {
        assert_eq!(verdict(429, Some(" 7 ")), Verdict::Again(Some(Duration::from_secs(7))));
        assert_eq!(verdict(503, Some("86400")), Verdict::Again(Some(Duration::from_secs(300))));
        assert_eq!(verdict(503, Some("Wed, 21 Oct 2015 07:28:00 GMT")), Verdict::Again(None));
    }
}
