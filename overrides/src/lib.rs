//! Overrides: what teams say of their own service, in Git, as small expressions in one file per service.
//!
//! From the file to its effect: `path` says whose a file is, `yaml` reads it with the place of every part, `file` checks it and compiles
//! its expressions (`language`), `set` puts all files of one version together, `archive` makes one object of them, and `report` tells
//! what was found. Afterwards a rule is evaluated against a `scope` that lends it values. Nothing here reads a file, a socket or a clock.
//!
//! ```
//! use golden_overrides::language::{HealthRule, Number, Rule};
//! use golden_overrides::report::Report;
//! use golden_overrides::scope::Sample;
//!
//! let rule = HealthRule::compile("requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3").rule.unwrap();
//! let window = Sample::default().number(Number::RequestCount, 1000.0).number(Number::Availability, 98.5);
//! assert_eq!(rule.level(&window), Ok(3));
//!
//! let source = "requestCount < 60 ? 0 : availability > 0.99 ? 0 : 3";
//! let found = HealthRule::compile(source).diagnostics;
//! let text = Report { file: "overrides/shop/cart.yaml", source, diagnostics: &found }.to_text();
//! assert_eq!(text, "\
//! ⚠ availability is 0–100 [scale]
//!    ╭─[overrides/shop/cart.yaml:1:40]
//!  1 │ requestCount < 60 ? 0 : availability > 0.99 ? 0 : 3
//!    ·                                        ────
//!    ╰────
//!   help: did you mean 99.0?
//!
//! ");
//! ```

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
