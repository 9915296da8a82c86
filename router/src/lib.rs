//! The router: the last stage before the public topic.
//!
//! It forwards results without reading them and numbers their revisions, so that the same input again publishes nothing. It knows no golden
//! signal: identity, completeness and totals come in headers (`platform_core::growth`), values pass through as bytes. With one colour
//! there is nothing to choose; the rule is the same that makes a choice between two safe.

/// The growth rule: whether a result is published, and under which number.
pub mod rule;
/// The stage of one partition.
pub mod worker;
