//! How the program fails: one message that says what, where, and what would be right, and an exit code that scripts can tell apart.

use std::fmt::Display;
use std::process::ExitCode;

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    message: String,
}

/// What a command gives.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// A check failed, or the program was stopped by an error of its own.
    pub(crate) fn failed(message: impl Display) -> Self {
        Self { code: 1, message: message.to_string() }
    }

    /// Flags, files or settings are not as they must be.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { code: 2, message: message.to_string() }
    }

    /// Something that the program depends on is missing.
    pub(crate) fn missing(message: impl Display) -> Self {
        Self { code: 3, message: message.to_string() }
    }

    /// Says it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("error: {}", self.message);
        ExitCode::from(self.code)
    }
}

/// ", did you mean `x`?" when one of `known` is close to `given`.
pub(crate) fn suggestion<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let close = known.into_iter().map(|k| (strsim::damerau_levenshtein(given, k), k)).min();
    close.filter(|(distance, k)| *distance <= 2.max(k.len() / 3)).map(|(_, k)| format!(", did you mean `{k}`?")).unwrap_or_default()
}
