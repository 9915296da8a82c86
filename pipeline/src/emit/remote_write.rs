//! Prometheus remote write.

/// The messages of both versions.
pub mod messages;
