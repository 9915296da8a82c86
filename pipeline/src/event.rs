//! The service event: one finished request as seen by the service that answered it.
//!
//! Every decoder fills this record; nothing downstream sees a source format. Texts are borrowed from the input as they came: whether a
//! service's name may be one, and how a long tag is cut, is decided once per distinct series (`tag`), not here and not per event.

use crate::outcome::{Outcome, Status};
use platform_core::time::EventTime;

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// When it happened, after the source's `event_time` rule.
    pub event_time: EventTime,
    /// How long it took, in ns; 0 is a value. Absent: counted as a request, leaves latency alone.
    pub duration: Option<u64>,
    /// Raw name of the service; never empty.
    pub service: &'a str,
    /// Raw namespace; may be empty.
    pub namespace: &'a str,
    /// `METHOD route-template`, or the RPC method, or the span's name; `unknown` when absent.
    pub operation: &'a str,
    /// The verdict on it.
    pub outcome: Outcome,
    /// Kind of error; empty unless the outcome is an error.
    pub error_type: &'a str,
    /// What the verdict was made from, for classifiers of teams.
    pub status: &'a Status<'a>,
    /// HTTP class for the status counts.
    pub status_class: StatusClass,
    /// Host that served it; empty when unknown.
    pub host: &'a str,
    /// Values of the wanted tags (`decode::Wanted`), in that order; empty text for a tag that is not set.
    pub tags: &'a [&'a str],
    /// Requests that this event stands for: 1 to 1 000 000.
    pub weight: u32,
    /// Trace and span, when the source names them.
    pub trace: Option<Trace>,
    /// Hash of the source's de-duplication id; `None` when the source does not de-duplicate, or the event has no id.
    pub dedup: Option<u128>,
    /// The item as it came, for a dead letter; empty when the record as a whole has to do.
    pub raw: &'a [u8],
}

impl Event<'static> {
    /// A request of which nothing is known but that it was well, for those who make events themselves: benchmarks and tests. No decoder gives
    /// it, since a service has a name.
    pub const EMPTY: Self = Self {
        event_time: EventTime(1),
        duration: None,
        service: "",
        namespace: "",
        operation: "",
        outcome: Outcome::Ok,
        error_type: "",
        status: &Status::NONE,
        status_class: StatusClass::None,
        host: "",
        tags: &[],
        weight: 1,
        trace: None,
        dedup: None,
        raw: &[],
    };
}

/// A request's place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// 16 bytes; shorter ids are left-padded with zeros.
    pub trace_id: u128,
    /// 8 bytes.
    pub span_id: u64,
    /// Whether the trace was kept; no flag = kept.
    pub sampled: bool,
}

/// Class of an HTTP status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)] // in state: never renumber
pub enum StatusClass {
    /// No HTTP status, or 0.
    #[default]
    None = 0,
    /// 100 to 199.
    Informational = 1,
    /// 200 to 299.
    Success = 2,
    /// 300 to 399.
    Redirection = 3,
    /// 400 to 499.
    ClientError = 4,
    /// 500 to 599, and what lies above.
    ServerError = 5,
}

/// Most bytes of a name: service, operation, tag value, host.
pub const MAX_NAME: usize = 256;
/// Largest weight.
pub const MAX_WEIGHT: u32 = 1_000_000;
/// Most tags that may be wanted at once.
pub const MAX_WANTED: usize = 32;
