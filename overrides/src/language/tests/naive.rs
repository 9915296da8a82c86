//! A second evaluator, as plain as can be: it walks the unchecked tree with values of any type, and allocates as it likes.

use crate::language::names::{Number, Text};
use crate::language::syntax::{Arithmetic, Ast, Comparison, Constant, Form, Operator};
use crate::scope::Scope;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    YesNo(bool),
}

use Value::{Number as N, Text as T, YesNo as B};

/// `None` where the run fails; panics where the types are wrong, which the checks must not let through.
pub(super) fn evaluate(ast: &Ast<'_>, scope: &dyn Scope) -> Option<Value> {
    let value = match &ast.form {
        Form::Number(value, _) => N(*value),
        Form::Text(text) => T(text.to_string()),
        Form::Name(name) => match Number::named(name) {
            Some(number) => N(scope.number(number)?),
            None => T(scope.text(Text::named(name).unwrap()).to_owned()),
        },
        Form::Negative(inner) => N(-number(inner, scope)?),
        Form::Not(inner) => B(!yes_no(inner, scope)?),
        Form::If(condition, then, otherwise) => evaluate(if yes_no(condition, scope)? { then } else { otherwise }, scope)?,
        Form::Binary(Operator::And, a, b) => B(if yes_no(a, scope)? { yes_no(b, scope)? } else { false }),
        Form::Binary(Operator::Or, a, b) => B(if yes_no(a, scope)? { true } else { yes_no(b, scope)? }),
        Form::Binary(Operator::Compare(how), a, b) => {
            let (a, b) = (evaluate(a, scope)?, evaluate(b, scope)?);
            B(match (how, &a, &b) {
                (Comparison::Equal, ..) => a == b,
                (Comparison::NotEqual, ..) => a != b,
                (Comparison::Below, N(a), N(b)) => a < b,
                (Comparison::AtMost, N(a), N(b)) => a <= b,
                (Comparison::Above, N(a), N(b)) => a > b,
                (Comparison::AtLeast, N(a), N(b)) => a >= b,
                _ => panic!("types"),
            })
        }
        Form::Binary(Operator::Arithmetic(operator), a, b) => {
            let (a, b) = (number(a, scope)?, number(b, scope)?);
            let value = match operator {
                Arithmetic::Add => a + b,
                Arithmetic::Subtract => a - b,
                Arithmetic::Multiply => a * b,
                Arithmetic::Divide => a / b,
            };
            if !value.is_finite() {
                return None;
            }
            N(value)
        }
        Form::In(value, list, outside) => {
            let value = evaluate(value, scope)?;
            let found = list.iter().any(|(constant, _)| match constant {
                Constant::Number(number, _) => value == N(*number),
                Constant::Text(text) => value == T(text.to_string()),
            });
            B(found != *outside)
        }
        Form::Call(name, arguments) => match (*name, arguments.as_slice()) {
            ("lower", [a]) => T(text(a, scope)?.chars().map(|c| c.to_ascii_lowercase()).collect()),
            ("tag", [Ast { form: Form::Text(name), .. }]) => T(scope.tag(name).to_owned()),
            ("startsWith", [a, b]) => B(text(a, scope)?.starts_with(&text(b, scope)?)),
            ("endsWith", [a, b]) => B(text(a, scope)?.ends_with(&text(b, scope)?)),
            ("contains", [a, b]) => B(text(a, scope)?.contains(&text(b, scope)?)),
            ("abs", [a]) => N(number(a, scope)?.abs()),
            ("round", [a]) => N(number(a, scope)?.round()),
            ("min", [a, b]) => N(number(a, scope)?.min(number(b, scope)?)),
            ("max", [a, b]) => N(number(a, scope)?.max(number(b, scope)?)),
            _ => panic!("{name} is not generated"),
        },
    };
    Some(value)
}

fn number(ast: &Ast<'_>, scope: &dyn Scope) -> Option<f64> {
    match evaluate(ast, scope)? {
        N(value) => Some(value),
        other => panic!("{other:?} is no number"),
    }
}

fn text(ast: &Ast<'_>, scope: &dyn Scope) -> Option<String> {
    match evaluate(ast, scope)? {
        T(value) => Some(value),
        other => panic!("{other:?} is no text"),
    }
}

fn yes_no(ast: &Ast<'_>, scope: &dyn Scope) -> Option<bool> {
    match evaluate(ast, scope)? {
        B(value) => Some(value),
        other => panic!("{other:?} is no condition"),
    }
}

/// The same in evalexpr's words, where it has them: arithmetic, comparisons and conditions of numbers.
pub(super) fn to_evalexpr(ast: &Ast<'_>) -> Option<String> {
    Some(match &ast.form {
        Form::Number(value, _) => format!("{value:?}"),
        Form::Name(name) => (*name).to_owned(),
        Form::Negative(inner) => format!("(-({}))", to_evalexpr(inner)?),
        Form::Not(inner) => format!("(!({}))", to_evalexpr(inner)?),
        Form::Binary(operator, a, b) => {
            let sign = match operator {
                Operator::And => "&&",
                Operator::Or => "||",
                Operator::Compare(Comparison::Equal) => "==",
                Operator::Compare(Comparison::NotEqual) => "!=",
                Operator::Compare(Comparison::Below) => "<",
                Operator::Compare(Comparison::AtMost) => "<=",
                Operator::Compare(Comparison::Above) => ">",
                Operator::Compare(Comparison::AtLeast) => ">=",
                Operator::Arithmetic(Arithmetic::Add) => "+",
                Operator::Arithmetic(Arithmetic::Subtract) => "-",
                Operator::Arithmetic(Arithmetic::Multiply) => "*",
                Operator::Arithmetic(Arithmetic::Divide) => "/",
            };
            format!("({} {sign} {})", to_evalexpr(a)?, to_evalexpr(b)?)
        }
        _ => return None,
    })
}
