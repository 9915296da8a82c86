//! Overrides: what teams say of their own service, in Git, as small expressions in one file per service.

/// What is wrong, and where.
pub mod diagnostic;
/// The language of expressions.
pub mod language;
/// What an expression reads while it runs.
pub mod scope;
