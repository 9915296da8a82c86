//! The expression as it was written: a tree with places, before names and types are known.

use crate::diagnostic::Span;
use crate::language::names::Unit;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ast<'s> {
    pub(crate) span: Span,
    pub(crate) form: Form<'s>,
}

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Form<'s> {
    Number(f64, Unit),
    Text(Box<str>),
    Name(&'s str),
    Call(&'s str, Vec<Ast<'s>>),
    Negative(Box<Ast<'s>>),
    Not(Box<Ast<'s>>),
    Binary(Operator, Box<Ast<'s>>, Box<Ast<'s>>),
    /// Value, constants, and whether it must be outside: `not in`.
    In(Box<Ast<'s>>, Vec<(Constant, Span)>, bool),
    /// Condition, value, value otherwise.
    If(Box<Ast<'s>>, Box<Ast<'s>>, Box<Ast<'s>>),
}

/// An element of a list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Constant {
    Number(f64, Unit),
    Text(Box<str>),
}

/// Between two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Or,
    And,
    Compare(Comparison),
    Arithmetic(Arithmetic),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Comparison {
    /// The same with its sides exchanged: `1 < x` is `x > 1`.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Self::Below => Self::Above,
            Self::AtMost => Self::AtLeast,
            Self::Above => Self::Below,
            Self::AtLeast => Self::AtMost,
            same => same,
        }
    }

    /// What holds when this does not.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
            Self::Above => Self::AtMost,
            Self::AtLeast => Self::Below,
        }
    }

    /// As it is written.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }

    pub(crate) fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Below => left < right,
            Self::AtMost => left <= right,
            Self::Above => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// A calculation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
}
