//! Golden signals of services: from service events to availability, requests, errors, latency and health, per service and window.
//!
//! The modules stand in the order of flow; `topology` alone knows the whole chain. Nothing here reads a clock, a file or a socket.

/// One finished request, as the service that answered it saw it.
pub mod event;
/// Bytes to events, under limits; what cannot be read becomes a dead letter.
pub mod decode;
/// Where a source's events come from and what its fields mean.
pub mod source;
/// The outcome of a request: ok, error or ignored.
pub mod outcome;
/// Names of operations: paths become templates.
pub mod operation;
/// Distribution of durations: mergeable, exact in its bins, small when sparse.
pub mod sketch;
/// Every topic, header and schema name.
pub mod names;
/// Identity of a record: series and window.
pub mod identity;
/// Integer state of one window and series.
pub mod aggregate;
/// What was published, kept for readers: a cache that the log rebuilds.
pub mod history;
/// The signals, one formula per file.
pub mod signal;
/// What leaves: public records and metrics.
pub mod emit;
