//! Golden signals of services: from service events to availability, requests, errors, latency and health, per service and window.
//!
//! The modules stand in the order of flow; `topology` alone knows the whole chain. Nothing here reads a clock, a file or a socket.

/// Integer state of one window and series.
pub mod aggregate;
/// CLOSE, the keyed stage: partials to finals and corrections.
pub mod close;
/// What could not be read, and where it lies.
pub mod dead_letter;
/// Bytes to events, under limits; what cannot be read becomes a dead letter.
pub mod decode;
/// What leaves: public records and metrics.
pub mod emit;
/// One finished request, as the service that answered it saw it.
pub mod event;
/// FOLD, the map stage: events of one transaction to partials.
pub mod fold;
/// By which dimensions events are summed.
pub mod grouping;
/// What was published, kept for readers: a cache that the log rebuilds.
pub mod history;
/// Identity of a record: series and window.
pub mod identity;
/// Every topic, header and schema name.
pub mod names;
/// Names of operations: paths become templates.
pub mod operation;
/// The outcome of a request: ok, error or ignored.
pub mod outcome;
/// Rules of teams, in force from a window on.
pub mod overrides;
/// What instances use of resources: the integers behind saturation.
pub mod resource;
/// From texts to one small number, once per distinct set of texts.
pub mod series;
/// What a pipeline computes and how long it waits.
pub mod settings;
/// The signals, one formula per file.
pub mod signal;
/// Distribution of durations: mergeable, exact in its bins, small when sparse.
pub mod sketch;
/// What services promise, and how much of their error budgets is left.
pub mod slo;
/// Where a source's events come from and what its fields mean.
pub mod source;
/// What became of every decoded item.
pub mod tally;
/// The whole chain: which stages there are and how they are joined.
pub mod topology;
/// Recomputation of published windows, and the comparison.
pub mod verify;
