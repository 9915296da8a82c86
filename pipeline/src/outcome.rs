//! The outcome of a request: ok, error or ignored (SIGNALS §2, first matching row wins).

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
