//! What leaves the pipeline: the public record, the line of the late ledger, and the metrics page.
//!
//! Written by hand into reused buffers, in a fixed order, from integers and what `signal/` makes of them: the same input gives the same
//! bytes. Nothing here decides anything about a window, and nothing is sent.

/// The public topic once more, in Avro.
pub mod avro;
/// Exponential histograms: native ones of Prometheus, those of OTLP.
pub mod exponential;
/// The sink that tells changes of health.
pub mod health;
/// Pieces of JSON: texts, numbers, times.
pub mod json;
/// Samples as requests of OpenTelemetry.
pub mod otlp;
/// What an output has still to send.
pub mod outbox;
/// The metrics page: counters that never go back, gauges of the newest window.
pub mod prometheus;
/// The public record, read back.
pub mod read;
/// The public record and the line of the late ledger.
pub mod record;
/// Samples as requests of Prometheus remote write.
pub mod remote_write;
/// The sink that keeps the counters of the metrics page.
pub mod scrape;
