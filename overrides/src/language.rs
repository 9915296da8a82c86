//! The language of overrides: small expressions that give a health level, the value of a tag, or what a request counts as.
//!
//! ```text
//! requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3
//! svcHost in ['host1.example.com'] ? "ec2" : ""
//! status == 429 ? "ok" : outcome
//! ```
//! An expression is read once (`lexer`, `parser`), checked (`check`, with what `facts` knows of ranges) and then evaluated as often as
//! wanted (`tree`) against a `Scope`. Total and bounded: 4 KiB, 512 tokens, depth 32, 256 parts; no loops, no assignment, no regular
//! expressions, no randomness, no clock, and nothing that two machines would round differently.
//!
//! Evaluation is our own, not evalexpr's. Inside a cage that lowers leaves to evalexpr the health rule costs about 200 ns and allocates;
//! walking our own checked tree costs a tenth of that and allocates nothing, and the cage would be more code than the four operators and
//! six comparisons that it saves. evalexpr `=11.3.1` stays as what it is best at: a second opinion on arithmetic in the property tests,
//! beside a naive evaluator of the unchecked tree.
//!
//! A run that fails (a number without a value, a division by zero) says why; the caller falls back to the default rule.

mod check;
/// One evaluation, told step by step.
pub mod explain;
mod facts;
mod lexer;
mod names;
mod parser;
mod syntax;
mod tree;
mod view;
mod wilson;

#[cfg(test)]
mod tests;

use crate::diagnostic::Diagnostic;
use crate::scope::Scope;
use check::{Checker, Typed};
pub use lexer::{MAX_SOURCE, MAX_TEXT, MAX_TOKENS};
pub(crate) use names::Unit;
pub use names::{Kind, Number, OUTCOMES, Text};
pub use parser::{MAX_DEPTH, MAX_NODES, MAX_SIGNS};
use std::collections::BTreeSet;
use syntax::Ast;
pub use tree::RunError;
use tree::{NumberTree, TextTree};

/// What an expression may read: which values a caller has to have at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Numbers.
    pub numbers: BTreeSet<Number>,
    /// Texts.
    pub texts: BTreeSet<Text>,
    /// Names given to `tag()`.
    pub tags: BTreeSet<Box<str>>,
}

/// What became of a written expression.
#[derive(Clone, Debug)]
pub struct Compiled<R> {
    /// The rule, unless there are errors.
    pub rule: Option<R>,
    /// All that was found; places are bytes of the expression.
    pub diagnostics: Vec<Diagnostic>,
}

/// A health rule that passed all checks.
#[derive(Clone, Debug, PartialEq)]
pub struct HealthRule {
    tree: NumberTree,
    reads: Reads,
}

/// A checked expression for the value of a tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TagRule {
    tree: TextTree,
    reads: Reads,
}

/// A checked classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeRule {
    tree: TextTree,
    reads: Reads,
}

/// An expression of one kind.
pub trait Rule: Sized {
    /// Reads and checks an expression.
    fn compile(source: &str) -> Compiled<Self>;
    /// What it may read.
    fn reads(&self) -> &Reads;
}

impl Rule for HealthRule {
    fn compile(source: &str) -> Compiled<Self> {
        compile(source, Kind::Health, |typed, reads| match typed {
            Typed::Number(tree, ..) => Some(Self { tree, reads }),
            Typed::Text(..) | Typed::YesNo(..) => None,
        })
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }
}

impl HealthRule {
    /// The level, 0 to 3.
    ///
    /// # Errors
    /// When the expression fails or gives something else.
    pub fn level<S: Scope + ?Sized>(&self, scope: &S) -> Result<u8, RunError> {
        let value = self.tree.evaluate(scope)?;
        (0..=3).find(|level| f64::from(*level) == value).ok_or(RunError::NotALevel(value))
    }
}

impl Rule for TagRule {
    fn compile(source: &str) -> Compiled<Self> {
        compile(source, Kind::Tag, |typed, reads| match typed {
            Typed::Text(tree, _) => Some(Self { tree, reads }),
            Typed::Number(..) | Typed::YesNo(..) => None,
        })
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }
}

impl TagRule {
    /// The tag's value; `""` leaves it unset. `room` is used, and perhaps grown, only when `lower` changed the result.
    ///
    /// # Errors
    /// When the expression fails.
    pub fn value<'a, S: Scope + ?Sized>(&'a self, scope: &'a S, room: &'a mut String) -> Result<&'a str, RunError> {
        Ok(self.tree.evaluate(scope)?.into_text(room))
    }
}

impl Rule for OutcomeRule {
    fn compile(source: &str) -> Compiled<Self> {
        compile(source, Kind::Outcome, |typed, reads| match typed {
            Typed::Text(tree, _) => Some(Self { tree, reads }),
            Typed::Number(..) | Typed::YesNo(..) => None,
        })
    }

    fn reads(&self) -> &Reads {
        &self.reads
    }
}

impl OutcomeRule {
    /// One of `OUTCOMES`.
    ///
    /// # Errors
    /// When the expression fails or gives something else.
    pub fn outcome<S: Scope + ?Sized>(&self, scope: &S) -> Result<&'static str, RunError> {
        let found = self.tree.evaluate(scope)?;
        OUTCOMES.into_iter().find(|name| found.equals(view::View::of(name))).ok_or(RunError::NotAnOutcome)
    }
}

fn compile<R>(source: &str, kind: Kind, build: impl FnOnce(Typed, Reads) -> Option<R>) -> Compiled<R> {
    let tree: Ast<'_> = match parser::parse(source) {
        Ok(tree) => tree,
        Err(diagnostic) => return Compiled { rule: None, diagnostics: vec![diagnostic] },
    };
    let (typed, reads, diagnostics) = Checker::check(source, kind, &tree);
    Compiled { rule: typed.and_then(|typed| build(typed, reads)), diagnostics }
}

/// A number as settings write it, with a unit: `99.9%`, `250ms`, `-3`.
pub(crate) fn literal(text: &str) -> Option<(f64, Unit)> {
    let (sign, digits) = text.strip_prefix('-').map_or((1.0, text), |digits| (-1.0, digits));
    match lexer::tokens(digits).ok()?.as_slice() {
        [(lexer::Token::Number(value, unit), span), _] if span.start == 0 && span.end == digits.len() => Some((sign * value, *unit)),
        _ => None,
    }
}
