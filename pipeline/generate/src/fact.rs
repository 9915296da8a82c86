//! What a line means: the known answer, drawn before the line was written.
//!
//! The pipeline's own words for outcome and reasons are not used on purpose: an answer that shares code with what it judges is none.

use platform_core::time::EventTime;

/// What one line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fact {
    /// An event.
    Event(Event),
    /// A record that must become a dead letter.
    Bad(Bad),
}

/// One event as it was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it happened.
    pub time: EventTime,
    /// Number of its service in `Names`.
    pub service: u32,
    /// Number of its operation in `Names`.
    pub operation: u32,
    /// What must be made of its status.
    pub outcome: Outcome,
    /// ns; absent when the line has no latency.
    pub latency: Option<u64>,
    /// Whether the line repeats an earlier one, byte by byte.
    pub duplicate: bool,
}

/// The verdict on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered as it should be; 4xx too.
    Ok,
    /// The service failed: 5xx.
    Error,
    /// Given up by its caller: 499.
    Ignored,
}

macro_rules! bad {
    ($($(#[$doc:meta])* $variant:ident = $reason:literal,)+) => {
        /// A kind of bad record. Each has one fault, so that the reason does not depend on the order of checks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bad { $($(#[$doc])* $variant,)+ }

        impl Bad {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The reason code that its dead letter must have where the source's format is `json`. (`auto` may find no format at all.)
            #[must_use]
            pub fn reason(self) -> &'static str {
                match self { $(Self::$variant => $reason,)+ }
            }
        }
    };
}

bad! {
    /// The first half of a line.
    Truncated = "decode_json",
    /// A line of text.
    NotJson = "decode_json",
    /// The same key twice in one object.
    RepeatedKey = "decode_json",
    /// A second value behind the object.
    TrailingBytes = "decode_json",
    /// A byte that cannot stand in UTF-8.
    NotUtf8 = "decode_utf8",
    /// No timestamp.
    NoTime = "time_missing",
    /// A timestamp that is a word.
    NotATime = "time_invalid",
    /// A timestamp of zero.
    ZeroTime = "time_invalid",
    /// No service.
    NoService = "service_missing",
    /// A service with a control character in its name.
    ControlInService = "service_invalid",
    /// A service with a name of 300 bytes.
    LongService = "service_invalid",
    /// A service that is an object.
    ServiceIsObject = "mapping_failed",
    /// A latency below zero.
    NegativeLatency = "latency_invalid",
    /// A latency that is a word.
    LatencyIsText = "latency_invalid",
    /// A status that is a word without meaning.
    StatusIsText = "status_invalid",
    /// A status that HTTP does not have.
    StatusOutOfRange = "status_invalid",
    /// A weight of zero.
    ZeroWeight = "weight_invalid",
    /// Tags nested 40 deep.
    TooDeep = "depth_exceeded",
}
