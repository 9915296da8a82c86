//! The checked expression and its evaluation. Types are three enums, so an expression of mixed types cannot be built.
//!
//! Lazy: only what decides is evaluated, so a guard protects what stands behind it. Total: every failure is a `RunError`. Nothing is
//! allocated; the stack holds at most one frame per node.

use crate::language::names::{Number, Text};
use crate::language::syntax::{Arithmetic, Comparison};
use crate::language::view::View;
use crate::language::wilson;
use crate::scope::Scope;

/// Why an expression gave no result; the default rule decides then.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum RunError {
    /// A number without a value was read.
    #[error("{} has no value", .0.name())]
    Missing(Number),
    /// The divisor was 0.
    #[error("division by zero")]
    DivisionByZero,
    /// A result too large for a number.
    #[error("a result is not finite")]
    NotFinite,
    /// A health rule gave something else than 0, 1, 2 or 3.
    #[error("{0} is no health level")]
    NotALevel(f64),
    /// A classifier gave something else than an outcome.
    #[error("the result is no outcome")]
    NotAnOutcome,
}

/// An expression that gives a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NumberTree {
    Constant(f64),
    Variable(Number),
    Negative(Box<NumberTree>),
    Calculate(Arithmetic, Box<(NumberTree, NumberTree)>),
    If(Box<(YesNoTree, NumberTree, NumberTree)>),
    Least(Box<[NumberTree]>),
    Greatest(Box<[NumberTree]>),
    Absolute(Box<NumberTree>),
    Round(Box<NumberTree>),
    /// Quantile of the confidence.
    AvailabilityLower(f64),
}

/// An expression that gives a text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TextTree {
    Constant(Box<str>),
    Variable(Text),
    Tag(Box<str>),
    Lower(Box<TextTree>),
    If(Box<(YesNoTree, TextTree, TextTree)>),
}

/// An expression that holds or does not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum YesNoTree {
    And(Box<(YesNoTree, YesNoTree)>),
    Or(Box<(YesNoTree, YesNoTree)>),
    Not(Box<YesNoTree>),
    Compare(Comparison, Box<(NumberTree, NumberTree)>),
    /// One of these numbers.
    NumberIn(Box<NumberTree>, Box<[f64]>),
    SameText(Box<(TextTree, TextTree)>),
    /// One of these texts, which are sorted.
    TextIn(Box<TextTree>, Box<[Box<str>]>),
    StartsWith(Box<(TextTree, TextTree)>),
    EndsWith(Box<(TextTree, TextTree)>),
    Contains(Box<(TextTree, TextTree)>),
    If(Box<(YesNoTree, YesNoTree, YesNoTree)>),
}

impl NumberTree {
    pub(crate) fn evaluate<S: Scope + ?Sized>(&self, scope: &S) -> Result<f64, RunError> {
        match self {
            Self::Constant(value) => Ok(*value),
            Self::Variable(name) => read(scope, *name),
            Self::Negative(inner) => Ok(-inner.evaluate(scope)?),
            Self::Calculate(operator, sides) => calculate(*operator, sides.0.evaluate(scope)?, sides.1.evaluate(scope)?),
            Self::If(parts) => if parts.0.evaluate(scope)? { &parts.1 } else { &parts.2 }.evaluate(scope),
            Self::Least(of) => of.iter().try_fold(f64::INFINITY, |least, one| Ok(least.min(one.evaluate(scope)?))),
            Self::Greatest(of) => of.iter().try_fold(f64::NEG_INFINITY, |most, one| Ok(most.max(one.evaluate(scope)?))),
            Self::Absolute(inner) => Ok(inner.evaluate(scope)?.abs()),
            Self::Round(inner) => Ok(inner.evaluate(scope)?.round()),
            Self::AvailabilityLower(z) => {
                let (requests, errors) = (read(scope, Number::RequestCount)?, read(scope, Number::ErrorCount)?);
                wilson::lower(requests, errors, *z).ok_or(RunError::Missing(Number::Availability))
            }
        }
    }
}

/// A value that is not a number counts as none: whatever a caller does, a result is finite.
pub(crate) fn read<S: Scope + ?Sized>(scope: &S, name: Number) -> Result<f64, RunError> {
    scope.number(name).filter(|value| value.is_finite()).ok_or(RunError::Missing(name))
}

pub(crate) fn calculate(operator: Arithmetic, left: f64, right: f64) -> Result<f64, RunError> {
    let result = match operator {
        Arithmetic::Add => left + right,
        Arithmetic::Subtract => left - right,
        Arithmetic::Multiply => left * right,
        Arithmetic::Divide if right == 0.0 => return Err(RunError::DivisionByZero),
        Arithmetic::Divide => left / right,
    };
    if result.is_finite() { Ok(result) } else { Err(RunError::NotFinite) }
}

impl TextTree {
    pub(crate) fn evaluate<'a, S: Scope + ?Sized>(&'a self, scope: &'a S) -> Result<View<'a>, RunError> {
        match self {
            Self::Constant(text) => Ok(View::of(text)),
            Self::Variable(name) => Ok(View::of(scope.text(*name))),
            Self::Tag(name) => Ok(View::of(scope.tag(name))),
            Self::Lower(inner) => Ok(inner.evaluate(scope)?.lower()),
            Self::If(parts) => if parts.0.evaluate(scope)? { &parts.1 } else { &parts.2 }.evaluate(scope),
        }
    }
}

impl YesNoTree {
    pub(crate) fn evaluate<S: Scope + ?Sized>(&self, scope: &S) -> Result<bool, RunError> {
        match self {
            Self::And(sides) => Ok(sides.0.evaluate(scope)? && sides.1.evaluate(scope)?),
            Self::Or(sides) => Ok(sides.0.evaluate(scope)? || sides.1.evaluate(scope)?),
            Self::Not(inner) => Ok(!inner.evaluate(scope)?),
            Self::Compare(how, sides) => Ok(how.holds(sides.0.evaluate(scope)?, sides.1.evaluate(scope)?)),
            Self::NumberIn(value, list) => {
                let value = value.evaluate(scope)?;
                Ok(list.contains(&value))
            }
            Self::SameText(sides) => Ok(sides.0.evaluate(scope)?.equals(sides.1.evaluate(scope)?)),
            Self::TextIn(value, list) => {
                let value = value.evaluate(scope)?;
                match &**list {
                    [only] => Ok(value.equals(View::of(only))),
                    _ => Ok(list.binary_search_by(|one| View::of(one).compare(value)).is_ok()),
                }
            }
            Self::StartsWith(sides) => Ok(sides.0.evaluate(scope)?.starts_with(sides.1.evaluate(scope)?)),
            Self::EndsWith(sides) => Ok(sides.0.evaluate(scope)?.ends_with(sides.1.evaluate(scope)?)),
            Self::Contains(sides) => Ok(sides.0.evaluate(scope)?.contains(sides.1.evaluate(scope)?)),
            Self::If(parts) => if parts.0.evaluate(scope)? { &parts.1 } else { &parts.2 }.evaluate(scope),
        }
    }
}
