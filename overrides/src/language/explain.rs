//! Why an expression gave what it gave: the branches it took, the comparisons it met on the way, and the values of all that it names.
//!
//! Walks the expression as it was written, so that every step has its place in the text, and reads, calculates and fails by the same
//! functions as `tree`; a property test holds the two results together. Allocates as it likes: this is for people, never for the data path.

use crate::diagnostic::Span;
use crate::language::check::confidence;
use crate::language::names::{Number, Text};
use crate::language::syntax::{Ast, Comparison as How, Constant, Form, Operator};
use crate::language::tree::{RunError, calculate, read};
use crate::language::{Reads, Rule, parser, wilson};
use crate::scope::Scope;
use serde::{Deserialize, Serialize};

/// One evaluation, told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What the expression gave; `None` when it failed.
    pub result: Option<Value>,
    /// Why it failed.
    pub failure: Option<String>,
    /// Every `?:` on the way, in the order in which they were decided.
    pub branches: Vec<Branch>,
    /// Every comparison on the way, in the order in which they were made.
    pub comparisons: Vec<Comparison>,
    /// All that the expression names, whether it was reached or not.
    pub variables: Vec<Variable>,
}

/// A value of any type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Of a condition.
    YesNo(bool),
    /// In the unit of its name; times are ms.
    Number(f64),
    /// A text; `""` when it is not known.
    Text(String),
}

/// A part of the expression.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// As it is written.
    pub text: String,
}

/// A `?:` that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Branch {
    /// What decided.
    pub condition: Part,
    /// Whether it held.
    pub holds: bool,
    /// The side that was taken.
    pub taken: Part,
}

/// A comparison that was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// All of it.
    pub at: Part,
    /// Left side, or first argument.
    pub left: Value,
    /// `<`, `in`, `startsWith` and the like.
    pub sign: String,
    /// Right side, or second argument; of a list the text of it.
    pub right: Value,
    /// Whether it held.
    pub holds: bool,
    /// How far the left number is above the right one (below: negative); when the left one is the constant, the other way round.
    pub distance: Option<f64>,
}

/// Something that the expression names.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Variable {
    /// As it is spelled: `availability`, `tag("name")`.
    pub name: String,
    /// `None`: it has no value.
    pub value: Option<Value>,
}

/// Why a walk ends early.
enum Stop {
    Run(RunError),
    /// Types that do not fit: the checks let none through.
    Type,
}

impl From<RunError> for Stop {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

/// Evaluates an expression of a kind and tells how it went. `None`: it is refused by the checks.
#[must_use]
pub fn explain<R: Rule>(source: &str, scope: &dyn Scope) -> Option<Explanation> {
    let reads = R::compile(source).rule?.reads().clone();
    let tree = parser::parse(source).ok()?;
    let mut walk = Walk { source, scope, branches: Vec::new(), comparisons: Vec::new() };
    let (result, failure) = match walk.value(&tree) {
        Ok(value) => (Some(value), None),
        Err(Stop::Run(error)) => (None, Some(error.to_string())),
        Err(Stop::Type) => return None,
    };
    let Walk { branches, comparisons, .. } = walk;
    Some(Explanation { result, failure, branches, comparisons, variables: variables(&reads, scope) })
}

fn variables(reads: &Reads, scope: &dyn Scope) -> Vec<Variable> {
    let number = |name: &Number| Variable { name: name.name().to_owned(), value: read(scope, *name).ok().map(Value::Number) };
    let text = |name: &Text| Variable { name: name.name().to_owned(), value: Some(Value::Text(scope.text(*name).to_owned())) };
    let tag = |name: &str| Variable { name: format!("tag({name:?})"), value: Some(Value::Text(scope.tag(name).to_owned())) };
    reads.numbers.iter().map(number).chain(reads.texts.iter().map(text)).chain(reads.tags.iter().map(|name| tag(name))).collect()
}

struct Walk<'a> {
    source: &'a str,
    scope: &'a dyn Scope,
    branches: Vec<Branch>,
    comparisons: Vec<Comparison>,
}

impl Walk<'_> {
    fn part(&self, span: Span) -> Part {
        let Span { start, end } = span;
        Part { start, end, text: self.source.get(start..end).unwrap_or_default().to_owned() }
    }

    fn value(&mut self, ast: &Ast<'_>) -> Result<Value, Stop> {
        Ok(match &ast.form {
            Form::Number(value, _) => Value::Number(*value),
            Form::Text(text) => Value::Text(text.to_string()),
            Form::Name(name) => match (Number::named(name), Text::named(name)) {
                (Some(number), _) => Value::Number(read(self.scope, number)?),
                (None, Some(text)) => Value::Text(self.scope.text(text).to_owned()),
                (None, None) => return Err(Stop::Type),
            },
            Form::Negative(inner) => Value::Number(-self.number(inner)?),
            Form::Not(inner) => Value::YesNo(!self.yes_no(inner)?),
            Form::Binary(Operator::And, left, right) => Value::YesNo(self.yes_no(left)? && self.yes_no(right)?),
            Form::Binary(Operator::Or, left, right) => Value::YesNo(self.yes_no(left)? || self.yes_no(right)?),
            Form::Binary(Operator::Arithmetic(operator), left, right) => {
                Value::Number(calculate(*operator, self.number(left)?, self.number(right)?)?)
            }
            Form::Binary(Operator::Compare(how), left, right) => self.compare(ast.span, *how, left, right)?,
            Form::In(value, list, outside) => self.membership(ast.span, value, list, *outside)?,
            Form::If(condition, then, otherwise) => {
                let holds = self.yes_no(condition)?;
                let taken = if holds { then } else { otherwise };
                let branch = Branch { condition: self.part(condition.span), holds, taken: self.part(taken.span) };
                self.branches.push(branch);
                self.value(taken)?
            }
            Form::Call(name, arguments) => self.call(ast.span, name, arguments)?,
        })
    }

    fn number(&mut self, ast: &Ast<'_>) -> Result<f64, Stop> {
        match self.value(ast)? {
            Value::Number(value) => Ok(value),
            _ => Err(Stop::Type),
        }
    }

    fn text(&mut self, ast: &Ast<'_>) -> Result<String, Stop> {
        match self.value(ast)? {
            Value::Text(text) => Ok(text),
            _ => Err(Stop::Type),
        }
    }

    fn yes_no(&mut self, ast: &Ast<'_>) -> Result<bool, Stop> {
        match self.value(ast)? {
            Value::YesNo(holds) => Ok(holds),
            _ => Err(Stop::Type),
        }
    }

    fn compare(&mut self, span: Span, how: How, left: &Ast<'_>, right: &Ast<'_>) -> Result<Value, Stop> {
        let (a, b) = (self.value(left)?, self.value(right)?);
        let (holds, distance) = match (&a, &b) {
            (Value::Number(a), Value::Number(b)) => {
                let constant = |ast: &Ast<'_>| matches!(ast.form, Form::Number(..));
                let distance = if constant(left) && !constant(right) { b - a } else { a - b };
                (how.holds(*a, *b), Some(distance))
            }
            (Value::Text(a), Value::Text(b)) => ((how == How::Equal) == (a == b), None),
            _ => return Err(Stop::Type),
        };
        self.met(span, a, how.sign(), b, holds, distance);
        Ok(Value::YesNo(holds))
    }

    fn membership(&mut self, span: Span, value: &Ast<'_>, list: &[(Constant, Span)], outside: bool) -> Result<Value, Stop> {
        let value = self.value(value)?;
        let same = |constant: &Constant| match (constant, &value) {
            (Constant::Number(one, _), Value::Number(value)) => one == value,
            (Constant::Text(one), Value::Text(value)) => **one == **value,
            _ => false,
        };
        let holds = list.iter().any(|(constant, _)| same(constant)) != outside;
        let first = list.first().map_or(span, |(_, at)| *at);
        let written = self.part(Span { start: first.start, end: span.end }).text;
        self.met(span, value, if outside { "not in" } else { "in" }, Value::Text(format!("[{written}")), holds, None);
        Ok(Value::YesNo(holds))
    }

    fn call(&mut self, span: Span, name: &str, arguments: &[Ast<'_>]) -> Result<Value, Stop> {
        Ok(match (name, arguments) {
            ("startsWith" | "endsWith" | "contains", [a, b]) => {
                let (a, b) = (self.text(a)?, self.text(b)?);
                let holds = match name {
                    "startsWith" => a.starts_with(&b),
                    "endsWith" => a.ends_with(&b),
                    _ => a.contains(&b),
                };
                self.met(span, Value::Text(a), name, Value::Text(b), holds, None);
                Value::YesNo(holds)
            }
            ("lower", [a]) => Value::Text(self.text(a)?.to_ascii_lowercase()),
            ("tag", [Ast { form: Form::Text(tag), .. }]) => Value::Text(self.scope.tag(tag).to_owned()),
            ("abs", [a]) => Value::Number(self.number(a)?.abs()),
            ("round", [a]) => Value::Number(self.number(a)?.round()),
            ("min", _) => {
                Value::Number(arguments.iter().try_fold(f64::INFINITY, |least, one| Ok::<_, Stop>(least.min(self.number(one)?)))?)
            }
            ("max", _) => {
                Value::Number(arguments.iter().try_fold(f64::NEG_INFINITY, |most, one| Ok::<_, Stop>(most.max(self.number(one)?)))?)
            }
            ("availabilityLower", [a]) => {
                let (requests, errors) = (read(self.scope, Number::RequestCount)?, read(self.scope, Number::ErrorCount)?);
                let bound = wilson::lower(requests, errors, wilson::quantile(confidence(a)));
                Value::Number(bound.ok_or(RunError::Missing(Number::Availability))?)
            }
            _ => return Err(Stop::Type),
        })
    }

    fn met(&mut self, span: Span, left: Value, sign: &str, right: Value, holds: bool, distance: Option<f64>) {
        let distance = distance.filter(|distance| distance.is_finite());
        self.comparisons.push(Comparison { at: self.part(span), left, sign: sign.to_owned(), right, holds, distance });
    }
}
