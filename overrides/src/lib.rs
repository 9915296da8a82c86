//! Overrides: what teams say of their own service, in Git, as small expressions in one file per service.

/// Many files as one object with one name.
pub mod archive;
/// What is wrong, and where.
pub mod diagnostic;
/// One file: all that a team says of one service.
pub mod file;
/// The language of expressions.
pub mod language;
/// Where a file lies says whose it is.
pub mod path;
/// Diagnostics as people and tools read them.
pub mod report;
/// What an expression reads while it runs.
pub mod scope;
/// All files of one version.
pub mod set;
mod yaml;

/// JSON Schema of a file of overrides, for editors; `file` is what decides.
pub const SCHEMA: &str = include_str!("../schema.json");
