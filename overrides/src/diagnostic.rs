//! What is wrong with an expression or a file, and where: one type for everything that a check can say.
//!
//! A diagnostic knows a place as bytes of a text, not as line and column: whoever shows it (`report`) has the text. Codes are stable, so
//! that a team may search for one; messages may change.

/// Bytes `start..end` of the text that was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte; never below `start`.
    pub end: usize,
}

impl Span {
    /// From the start of this one to the end of another that lies behind it.
    #[must_use]
    pub fn to(self, end: Self) -> Self {
        Self { start: self.start, end: end.end.max(self.start) }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, and is probably not what was meant.
    Warning,
    /// It is refused: the service keeps its last good version.
    Error,
}

impl Severity {
    /// As reports have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What kind of mistake it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// A character, number or text that cannot be read.
    Token,
    /// Tokens in an order that means nothing.
    Syntax,
    /// Too long, too deep, too many.
    Limit,
    /// No variable, function, key or resource has this name.
    UnknownName,
    /// Known, but not to be used here.
    NotHere,
    /// Text where a number is needed, or the like.
    Type,
    /// Milliseconds with percent, or the like.
    Unit,
    /// A ratio where a percentage is needed, or the reverse.
    Scale,
    /// A result or setting outside what is allowed.
    Range,
    /// A divisor that is or can be zero.
    DivisionByZero,
    /// A number that has no value when there were no requests.
    MayBeMissing,
    /// A branch or operand that can never matter.
    NeverTaken,
    /// Not the YAML that is read here.
    Yaml,
    /// The file does not lie where a file of a service lies.
    Path,
    /// Two files for one service, or two keys of one name.
    Duplicate,
    /// An example gives something else than it expects.
    Example,
}

impl Code {
    /// As reports have it; never renamed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Syntax => "syntax",
            Self::Limit => "limit",
            Self::UnknownName => "unknown-name",
            Self::NotHere => "not-here",
            Self::Type => "type",
            Self::Unit => "unit",
            Self::Scale => "scale",
            Self::Range => "range",
            Self::DivisionByZero => "division-by-zero",
            Self::MayBeMissing => "may-be-missing",
            Self::NeverTaken => "never-taken",
            Self::Yaml => "yaml",
            Self::Path => "path",
            Self::Duplicate => "duplicate",
            Self::Example => "example",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Refused, or only doubtful.
    pub severity: Severity,
    /// Kind of mistake.
    pub code: Code,
    /// What is wrong, in lower case, without a stop.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A mistake that is refused.
    #[must_use]
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, code, message: message.into(), span, help: None }
    }

    /// A doubt.
    #[must_use]
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// The same, with advice.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same, with the closest known name as advice, when one is close.
    #[must_use]
    pub fn suggest<'n>(self, given: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        match closest(given, known) {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Whether it refuses.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// The known name that `given` was most likely meant to be; `None` when none is near.
fn closest<'n>(given: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let given = given.to_ascii_lowercase();
    let scored = known.into_iter().map(|name| (strsim::normalized_damerau_levenshtein(&given, &name.to_ascii_lowercase()), name));
    scored.filter(|(score, _)| *score >= 0.6).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}
