//! Keys of objects, below the folder or prefix that is published to.

/// The pointer to what counts.
pub(crate) const CURRENT: &str = "current.json";

/// Written by each publisher, to see whether conditions are kept. Its content means nothing.
pub(crate) const PROBE: &str = "probe";

/// The archive with this SHA-256.
pub(crate) fn bundle(sha256: &str) -> String {
    format!("bundles/{sha256}")
}

/// A copy of a pointer that was replaced.
pub(crate) fn version(version: u64) -> String {
    format!("versions/{version}.json")
}
