//! JSON.

/// Strict pulling of values out of JSON text.
pub mod scan;
