//! Names, types, units and ranges of a written expression; what passes becomes a tree that can be evaluated.
//!
//! All mistakes are collected, not only the first. A doubt is raised only where the expression can come: in a branch that is never taken
//! the branch itself is the finding.

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::language::Reads;
use crate::language::facts::{Facts, Possible, Range};
use crate::language::names::{FUNCTIONS, Kind, Number, OUTCOMES, Text, Unit, variables};
use crate::language::syntax::{Arithmetic, Ast, Comparison, Constant, Form, Operator};
use crate::language::tree::{NumberTree, TextTree, YesNoTree};
use crate::language::wilson;

/// Longest name of a tag, in bytes.
const MAX_TAG_NAME: usize = 128;

/// A checked part, with what is known of its value.
pub(crate) enum Typed {
    Number(NumberTree, Range, Unit),
    Text(TextTree, Possible),
    YesNo(YesNoTree, Option<bool>),
}

impl Typed {
    fn kind(&self) -> &'static str {
        match self {
            Self::Number(..) => "a number",
            Self::Text(..) => "a text",
            Self::YesNo(..) => "a condition",
        }
    }
}

/// Whether a part is the result of the whole, in one of its branches, or only on the way to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Result,
    Inner,
}

/// Checks one expression.
pub(crate) struct Checker<'s> {
    source: &'s str,
    kind: Kind,
    found: Vec<Diagnostic>,
    reads: Reads,
    /// In how many branches that are never taken this place lies.
    dead: usize,
}

impl<'s> Checker<'s> {
    /// The checked tree, unless there are errors; what it reads; and all that was found.
    pub(crate) fn check(source: &'s str, kind: Kind, tree: &Ast<'_>) -> (Option<Typed>, Reads, Vec<Diagnostic>) {
        let mut checker = Self { source, kind, found: Vec::new(), reads: Reads::default(), dead: 0 };
        let typed = checker.part(tree, &Facts::new(kind), Role::Result);
        let typed = typed.filter(|_| !checker.found.iter().any(Diagnostic::is_error));
        (typed, checker.reads, checker.found)
    }

    fn refuse<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.found.push(diagnostic);
        None
    }

    fn doubt(&mut self, diagnostic: Diagnostic) {
        if self.dead == 0 && !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    fn quoted(&self, span: Span) -> &'s str {
        self.source.get(span.start..span.end).unwrap_or_default()
    }

    fn part(&mut self, ast: &Ast<'_>, facts: &Facts, role: Role) -> Option<Typed> {
        if let Form::If(condition, then, otherwise) = &ast.form {
            return self.choice(condition, then, otherwise, facts, role);
        }
        let typed = match &ast.form {
            Form::Number(value, unit) => Typed::Number(NumberTree::Constant(*value), Range::only(*value), *unit),
            Form::Text(text) => Typed::Text(TextTree::Constant(text.clone()), Possible::OneOf(vec![text.clone()])),
            Form::Name(name) => self.variable(name, ast.span, facts)?,
            Form::Call(name, arguments) => self.call(name, arguments, ast.span, facts)?,
            Form::Negative(inner) => {
                let (tree, range, unit) = self.number(inner, facts)?;
                Typed::Number(negative(tree), range.negative(), unit)
            }
            Form::Not(inner) => {
                let (tree, known) = self.yes_no(inner, facts)?;
                Typed::YesNo(YesNoTree::Not(Box::new(tree)), known.map(|holds| !holds))
            }
            Form::Binary(Operator::And, left, right) => self.joined(true, left, right, facts)?,
            Form::Binary(Operator::Or, left, right) => self.joined(false, left, right, facts)?,
            Form::Binary(Operator::Compare(how), left, right) => self.comparison(*how, left, right, ast.span, facts)?,
            Form::Binary(Operator::Arithmetic(operator), left, right) => self.calculation(*operator, left, right, ast.span, facts)?,
            Form::In(value, list, outside) => self.membership(value, list, *outside, ast.span, facts)?,
            Form::If(..) => return None,
        };
        if role == Role::Result {
            self.result(&typed, ast.span);
        }
        Some(typed)
    }

    fn choice(&mut self, condition: &Ast<'_>, then: &Ast<'_>, otherwise: &Ast<'_>, facts: &Facts, role: Role) -> Option<Typed> {
        let before = self.found.len();
        let decided = self.yes_no(condition, facts);
        let known = decided.as_ref().and_then(|(_, known)| *known);
        if let (Some(holds), true) = (known, self.found.len() == before) {
            let never = if holds { otherwise } else { then };
            let why = format!("`{}` is always {holds} here", self.quoted(condition.span));
            self.doubt(Diagnostic::warning(Code::NeverTaken, never.span, "this branch is never taken").help(why));
        }
        let known_when = |holds| decided.as_ref().map_or_else(|| facts.clone(), |(tree, _)| facts.assume(tree, holds));
        let first = self.branch(then, &known_when(true), role, known == Some(false));
        let second = self.branch(otherwise, &known_when(false), role, known == Some(true));
        let (condition, _) = decided?;
        match (first?, second?) {
            (Typed::Number(a, a_range, a_unit), Typed::Number(b, b_range, b_unit)) => {
                let unit = if a_unit == b_unit { a_unit } else { Unit::Plain };
                Some(Typed::Number(NumberTree::If(Box::new((condition, a, b))), a_range.or(b_range), unit))
            }
            (Typed::Text(a, some), Typed::Text(b, others)) => Some(Typed::Text(TextTree::If(Box::new((condition, a, b))), some.or(others))),
            (Typed::YesNo(a, x), Typed::YesNo(b, y)) => {
                Some(Typed::YesNo(YesNoTree::If(Box::new((condition, a, b))), if x == y { x } else { None }))
            }
            (a, b) => {
                let message = format!("one branch gives {}, the other {}", a.kind(), b.kind());
                self.refuse(Diagnostic::error(Code::Type, then.span.to(otherwise.span), message))
            }
        }
    }

    fn branch(&mut self, ast: &Ast<'_>, facts: &Facts, role: Role, dead: bool) -> Option<Typed> {
        self.dead += usize::from(dead);
        let typed = self.part(ast, facts, role);
        self.dead -= usize::from(dead);
        typed
    }

    fn number(&mut self, ast: &Ast<'_>, facts: &Facts) -> Option<(NumberTree, Range, Unit)> {
        match self.part(ast, facts, Role::Inner)? {
            Typed::Number(tree, range, unit) => Some((tree, range, unit)),
            other => self.refuse(Diagnostic::error(Code::Type, ast.span, format!("a number is needed here, not {}", other.kind()))),
        }
    }

    fn text(&mut self, ast: &Ast<'_>, facts: &Facts) -> Option<TextTree> {
        match self.part(ast, facts, Role::Inner)? {
            Typed::Text(tree, _) => Some(tree),
            other => self.refuse(Diagnostic::error(Code::Type, ast.span, format!("a text is needed here, not {}", other.kind()))),
        }
    }

    fn yes_no(&mut self, ast: &Ast<'_>, facts: &Facts) -> Option<(YesNoTree, Option<bool>)> {
        match self.part(ast, facts, Role::Inner)? {
            Typed::YesNo(tree, known) => Some((tree, known)),
            other => {
                let found = Diagnostic::error(Code::Type, ast.span, format!("a condition is needed here, not {}", other.kind()));
                self.refuse(match other {
                    Typed::Number(..) => found.help("compare it: `… > 0`; to negate a whole comparison write `not` or brackets"),
                    _ => found.help("compare it: `… == 'text'`; to negate a whole comparison write `not` or brackets"),
                })
            }
        }
    }

    fn variable(&mut self, name: &str, span: Span, facts: &Facts) -> Option<Typed> {
        if let Some(number) = Number::named(name).filter(|n| n.is_for(self.kind)) {
            self.reads.numbers.insert(number);
            if number.needs_requests() && !facts.has_requests() {
                self.may_be_missing(name, span);
            }
            return Some(Typed::Number(NumberTree::Variable(number), facts.number(number), number.unit()));
        }
        if let Some(text) = Text::named(name).filter(|t| t.is_for(self.kind)) {
            self.reads.texts.insert(text);
            let tree = TextTree::Variable(text);
            let possible = facts.text(&tree);
            return Some(Typed::Text(tree, possible));
        }
        if Number::named(name).is_some() || Text::named(name).is_some() {
            let found = Diagnostic::error(Code::NotHere, span, format!("`{name}` cannot be read in {}", self.kind.article()));
            return self.refuse(found.help(match self.kind {
                Kind::Health => "a health rule sees the numbers of a whole window, and texts that its series is grouped by",
                Kind::Tag => "a tag is made of the texts of one event and its tags",
                Kind::Outcome => "a classifier sees one event: its status, latency, texts and tags",
            }));
        }
        let found = Diagnostic::error(Code::UnknownName, span, format!("unknown name `{name}`"));
        if let Some((_, usage)) = FUNCTIONS.iter().find(|(known, _)| *known == name) {
            return self.refuse(found.help(format!("it is a function: `{usage}`")));
        }
        let found = found.suggest(name, variables(self.kind));
        self.refuse(if found.help.is_none() { found.help(format!("if it is a text, put it in quotes: '{name}'")) } else { found })
    }

    fn may_be_missing(&mut self, name: &str, span: Span) {
        let message = format!("`{name}` has no value in a window without requests; the rule fails there");
        // Once per name: the same guard cures all places.
        if !self.found.iter().any(|d| d.message == message) {
            self.doubt(Diagnostic::warning(Code::MayBeMissing, span, message).help("guard it: `requestCount < 60 ? 0 : …`"));
        }
    }

    /// `&&` (`all`) or `||`.
    fn joined(&mut self, all: bool, left: &Ast<'_>, right: &Ast<'_>, facts: &Facts) -> Option<Typed> {
        let first = self.operand(left, facts);
        let decided = first.as_ref().is_some_and(|(_, known)| *known == Some(!all));
        let then = first.as_ref().map_or_else(|| facts.clone(), |(tree, _)| facts.assume(tree, all));
        self.dead += usize::from(decided);
        let second = self.operand(right, &then);
        self.dead -= usize::from(decided);
        let ((a, x), (b, y)) = (first?, second?);
        let known = match (x, y) {
            (Some(x), _) if x != all => Some(x),
            (_, Some(y)) if y != all => Some(y),
            (Some(_), Some(_)) => Some(all),
            _ => None,
        };
        let sides = Box::new((a, b));
        Some(Typed::YesNo(if all { YesNoTree::And(sides) } else { YesNoTree::Or(sides) }, known))
    }

    /// One side of `&&` or `||`, which should not be certain.
    fn operand(&mut self, ast: &Ast<'_>, facts: &Facts) -> Option<(YesNoTree, Option<bool>)> {
        let before = self.found.len();
        let (tree, known) = self.yes_no(ast, facts)?;
        if let (Some(holds), true) = (known, self.found.len() == before) {
            let message = format!("`{}` is always {holds} here", self.quoted(ast.span));
            self.doubt(Diagnostic::warning(Code::NeverTaken, ast.span, message));
        }
        Some((tree, known))
    }

    fn comparison(&mut self, how: Comparison, left: &Ast<'_>, right: &Ast<'_>, span: Span, facts: &Facts) -> Option<Typed> {
        let sides = (self.part(left, facts, Role::Inner), self.part(right, facts, Role::Inner));
        match (sides.0?, sides.1?) {
            (Typed::Number(a, a_range, a_unit), Typed::Number(b, b_range, b_unit)) => {
                self.same_unit(a_unit, b_unit, span)?;
                self.scale(a_unit, left, &b, b_unit, right.span);
                self.scale(b_unit, right, &a, a_unit, left.span);
                Some(Typed::YesNo(YesNoTree::Compare(how, Box::new((a, b))), a_range.compared(how, b_range)))
            }
            (Typed::Text(a, some), Typed::Text(b, others)) => {
                if !matches!(how, Comparison::Equal | Comparison::NotEqual) {
                    return self.refuse(Diagnostic::error(Code::Type, span, "texts have no order; they are equal or not"));
                }
                let (tree, known) = match (a, b) {
                    (a, TextTree::Constant(b)) => text_in(a, &some, vec![b]),
                    (TextTree::Constant(a), b) => text_in(b, &others, vec![a]),
                    (a, b) => (YesNoTree::SameText(Box::new((a, b))), None),
                };
                Some(negated(how == Comparison::NotEqual, tree, known))
            }
            (Typed::YesNo(..), _) | (_, Typed::YesNo(..)) => {
                self.refuse(Diagnostic::error(Code::Type, span, "a condition cannot be compared").help("join conditions with and, or, not"))
            }
            (a, b) => {
                let found = Diagnostic::error(Code::Type, span, format!("{} compared with {}", bare(&a), bare(&b)));
                self.refuse(match (&left.form, &right.form) {
                    (_, Form::Text(text)) | (Form::Text(text), _) if text.parse::<f64>().is_ok() => {
                        found.help(format!("write {text} without quotes"))
                    }
                    (_, Form::Number(value, _)) | (Form::Number(value, _), _) => found.help(format!("write '{value}' in quotes")),
                    _ => found,
                })
            }
        }
    }

    /// Refuses milliseconds with percent, counts with rates, and so on.
    fn same_unit(&mut self, a: Unit, b: Unit, span: Span) -> Option<Unit> {
        match (a, b) {
            (Unit::Plain, unit) | (unit, Unit::Plain) => Some(unit),
            (a, b) if a == b => Some(a),
            (a, b) => {
                let found = Diagnostic::error(Code::Unit, span, format!("{} and {} do not go together", a.name(), b.name()));
                self.refuse(match (a, b) {
                    (Unit::Percent, Unit::Ratio) | (Unit::Ratio, Unit::Percent) => found.help("99% is the ratio 0.99"),
                    _ => found,
                })
            }
        }
    }

    /// Doubts a constant between 0 and 1 beside a percentage, and one above 1 beside a ratio.
    fn scale(&mut self, unit: Unit, named: &Ast<'_>, constant: &NumberTree, of: Unit, span: Span) {
        let NumberTree::Constant(value) = constant else { return };
        let name = self.quoted(named.span);
        match unit {
            Unit::Percent if of == Unit::Plain && *value > 0.0 && *value <= 1.0 => {
                let meant = tidy(value * 100.0);
                self.doubt(Diagnostic::warning(Code::Scale, span, format!("{name} is 0–100")).help(format!("did you mean {meant:?}?")));
            }
            Unit::Ratio if *value > 1.0 && *value <= 100.0 => {
                let meant = tidy(value / 100.0);
                self.doubt(Diagnostic::warning(Code::Scale, span, format!("{name} is 0–1")).help(format!("did you mean {meant:?}?")));
            }
            _ => {}
        }
    }

    fn calculation(&mut self, operator: Arithmetic, left: &Ast<'_>, right: &Ast<'_>, span: Span, facts: &Facts) -> Option<Typed> {
        let sides = (self.number(left, facts), self.number(right, facts));
        let ((a, a_range, a_unit), (b, b_range, b_unit)) = (sides.0?, sides.1?);
        let unit = match operator {
            Arithmetic::Add | Arithmetic::Subtract => self.same_unit(a_unit, b_unit, span)?,
            // What a product of two units is, nobody needs to know here: it fits all.
            Arithmetic::Multiply | Arithmetic::Divide => Unit::Plain,
        };
        if operator == Arithmetic::Divide && b_range == Range::only(0.0) {
            return self.refuse(Diagnostic::error(Code::DivisionByZero, right.span, "division by zero"));
        }
        if operator == Arithmetic::Divide && b_range.holds(0.0) {
            let divisor = self.quoted(right.span);
            let found = Diagnostic::warning(Code::DivisionByZero, right.span, format!("`{divisor}` can be 0; the expression fails then"));
            self.doubt(found.help(format!("guard it: `{divisor} > 0 ? … : …`")));
        }
        Some(Typed::Number(NumberTree::Calculate(operator, Box::new((a, b))), a_range.calculated(operator, b_range), unit))
    }

    fn membership(&mut self, value: &Ast<'_>, list: &[(Constant, Span)], outside: bool, span: Span, facts: &Facts) -> Option<Typed> {
        match self.part(value, facts, Role::Inner)? {
            Typed::Number(tree, range, unit) => {
                let mut numbers = Vec::with_capacity(list.len());
                for (constant, at) in list {
                    let Constant::Number(number, of) = constant else {
                        return self.refuse(Diagnostic::error(Code::Type, *at, "text compared with number"));
                    };
                    self.same_unit(unit, *of, *at)?;
                    self.scale(unit, value, &NumberTree::Constant(*number), *of, *at);
                    numbers.push(*number);
                }
                let known = if numbers.iter().any(|n| range.holds(*n)) { None } else { Some(false) };
                Some(negated(outside, YesNoTree::NumberIn(Box::new(tree), numbers.into()), known))
            }
            Typed::Text(tree, possible) => {
                let mut texts = Vec::with_capacity(list.len());
                for (constant, at) in list {
                    let Constant::Text(text) = constant else {
                        return self.refuse(Diagnostic::error(Code::Type, *at, "text compared with number").help("put it in quotes"));
                    };
                    texts.push(text.clone());
                }
                let (tree, known) = text_in(tree, &possible, texts);
                Some(negated(outside, tree, known))
            }
            Typed::YesNo(..) => self.refuse(Diagnostic::error(Code::Type, span, "a condition is in no list")),
        }
    }

    fn call(&mut self, name: &str, arguments: &[Ast<'_>], span: Span, facts: &Facts) -> Option<Typed> {
        let Some((_, usage)) = FUNCTIONS.iter().find(|(known, _)| *known == name) else {
            let found = Diagnostic::error(Code::UnknownName, span, format!("unknown function `{name}`"));
            return self.refuse(found.suggest(name, FUNCTIONS.iter().map(|(known, _)| *known)));
        };
        let two_texts = |checker: &mut Self, a, b| -> Option<Box<(TextTree, TextTree)>> {
            let sides = (checker.text(a, facts), checker.text(b, facts));
            Some(Box::new((sides.0?, sides.1?)))
        };
        Some(match (name, arguments) {
            ("startsWith", [a, b]) => Typed::YesNo(YesNoTree::StartsWith(two_texts(self, a, b)?), None),
            ("endsWith", [a, b]) => Typed::YesNo(YesNoTree::EndsWith(two_texts(self, a, b)?), None),
            ("contains", [a, b]) => Typed::YesNo(YesNoTree::Contains(two_texts(self, a, b)?), None),
            ("lower", [a]) => {
                let tree = TextTree::Lower(Box::new(self.text(a, facts)?));
                let possible = facts.text(&tree);
                Typed::Text(tree, possible)
            }
            ("tag", [Ast { form: Form::Text(tag), .. }]) if (1..=MAX_TAG_NAME).contains(&tag.len()) => {
                self.reads.tags.insert(tag.clone());
                let tree = TextTree::Tag(tag.clone());
                let possible = facts.text(&tree);
                Typed::Text(tree, possible)
            }
            ("abs", [a]) => {
                let (tree, range, unit) = self.number(a, facts)?;
                Typed::Number(NumberTree::Absolute(Box::new(tree)), range.absolute(), unit)
            }
            ("round", [a]) => {
                let (tree, range, unit) = self.number(a, facts)?;
                Typed::Number(NumberTree::Round(Box::new(tree)), range.rounded(), unit)
            }
            ("min" | "max", [_, _, ..]) => self.extreme(name == "min", arguments, span, facts)?,
            ("availabilityLower", [a]) => self.availability_lower(a, span, facts)?,
            _ => {
                return self
                    .refuse(Diagnostic::error(Code::Type, span, format!("`{name}` is not called like this")).help(format!("`{usage}`")));
            }
        })
    }

    fn extreme(&mut self, least: bool, arguments: &[Ast<'_>], span: Span, facts: &Facts) -> Option<Typed> {
        let checked: Vec<_> = arguments.iter().map(|one| self.number(one, facts)).collect();
        let mut trees = Vec::with_capacity(checked.len());
        let mut all: Option<(Range, Unit)> = None;
        for one in checked {
            let (tree, range, unit) = one?;
            trees.push(tree);
            all = Some(match all {
                None => (range, unit),
                Some((so_far, of)) => (if least { so_far.least(range) } else { so_far.greatest(range) }, self.same_unit(of, unit, span)?),
            });
        }
        let (range, unit) = all?;
        let trees = trees.into_boxed_slice();
        Some(Typed::Number(if least { NumberTree::Least(trees) } else { NumberTree::Greatest(trees) }, range, unit))
    }

    fn availability_lower(&mut self, confidence: &Ast<'_>, span: Span, facts: &Facts) -> Option<Typed> {
        if self.kind != Kind::Health {
            return self.refuse(Diagnostic::error(
                Code::NotHere,
                span,
                format!("`availabilityLower` cannot be used in {}", self.kind.article()),
            ));
        }
        let value = self::confidence(confidence);
        if !wilson::CONFIDENCE.contains(&value) {
            let found = Diagnostic::error(Code::Range, confidence.span, "the confidence is a constant from 0.5 to 0.9999");
            return self.refuse(found.help("`availabilityLower(0.95)`: the availability is at least this, with 95 % certainty"));
        }
        self.reads.numbers.extend([Number::RequestCount, Number::ErrorCount]);
        if !facts.has_requests() {
            self.may_be_missing("availabilityLower", span);
        }
        let range = Range { low: 0.0, high: 100.0, whole: false };
        Some(Typed::Number(NumberTree::AvailabilityLower(wilson::quantile(value)), range, Unit::Percent))
    }

    /// What an expression may give, by its kind.
    fn result(&mut self, typed: &Typed, span: Span) {
        let found = match (self.kind, typed) {
            (Kind::Health, Typed::Number(_, range, unit)) => return self.level(*range, *unit, span),
            (Kind::Outcome, Typed::Text(_, possible)) => return self.outcome(possible, span),
            (Kind::Tag, Typed::Text(..)) => return,
            (Kind::Health, other) => Diagnostic::error(Code::Type, span, format!("a health rule gives 0, 1, 2 or 3, not {}", other.kind())),
            (Kind::Tag, other) => Diagnostic::error(Code::Type, span, format!("a tag is a text, not {}", other.kind())),
            (Kind::Outcome, other) => {
                Diagnostic::error(Code::Type, span, format!("a classifier gives \"ok\", \"error\" or \"ignored\", not {}", other.kind()))
            }
        };
        let choose = match self.kind {
            Kind::Health => "choose: `condition ? 3 : 0`",
            Kind::Tag => "choose: `condition ? \"a\" : \"\"`",
            Kind::Outcome => "choose: `condition ? \"error\" : outcome`",
        };
        self.found.push(if matches!(typed, Typed::YesNo(..)) { found.help(choose) } else { found });
    }

    fn level(&mut self, range: Range, unit: Unit, span: Span) {
        const MESSAGE: &str = "a health level is 0, 1, 2 or 3";
        let levels = "0 healthy, 1 degraded, 2 impaired, 3 critical";
        if !matches!(unit, Unit::Plain | Unit::Level) {
            let message = format!("a health level is 0, 1, 2 or 3, not {}", unit.name());
            self.found.push(Diagnostic::error(Code::Range, span, message).help(levels));
        } else if ![0.0, 1.0, 2.0, 3.0].into_iter().any(|level| range.holds(level)) {
            self.found.push(Diagnostic::error(Code::Range, span, MESSAGE).help(levels));
        } else if !(range.whole && range.low >= 0.0 && range.high <= 3.0) {
            let message = "this can be something else than 0, 1, 2 or 3; the default rule decides then";
            self.doubt(Diagnostic::warning(Code::Range, span, message).help(levels));
        }
    }

    fn outcome(&mut self, possible: &Possible, span: Span) {
        let Possible::OneOf(texts) = possible else {
            let found =
                Diagnostic::error(Code::Range, span, "a classifier gives \"ok\", \"error\" or \"ignored\", and this can be any text");
            return self.found.push(found.help("`outcome` is what the request counts as without an override"));
        };
        for text in texts.iter().filter(|text| !OUTCOMES.contains(&&***text)) {
            let found =
                Diagnostic::error(Code::Range, span, format!("{text:?} is no outcome; there are \"ok\", \"error\" and \"ignored\""));
            self.found.push(if &**text == "client_error" {
                found.help("4xx is counted apart, by status class; give \"ok\" or \"error\"")
            } else {
                found.suggest(text, OUTCOMES)
            });
        }
    }
}

/// The confidence that is asked for: 0 to 1, NaN when it is no constant.
pub(crate) fn confidence(of: &Ast<'_>) -> f64 {
    match &of.form {
        Form::Number(value, Unit::Plain) => *value,
        Form::Number(value, Unit::Percent) => tidy(value / 100.0),
        _ => f64::NAN,
    }
}

fn negative(tree: NumberTree) -> NumberTree {
    match tree {
        NumberTree::Constant(value) => NumberTree::Constant(-value),
        other => NumberTree::Negative(Box::new(other)),
    }
}

fn negated(negative: bool, tree: YesNoTree, known: Option<bool>) -> Typed {
    if negative { Typed::YesNo(YesNoTree::Not(Box::new(tree)), known.map(|holds| !holds)) } else { Typed::YesNo(tree, known) }
}

/// Whether a text is in a list; certain too when it is in lower case and the list is not.
fn text_in(text: TextTree, possible: &Possible, mut list: Vec<Box<str>>) -> (YesNoTree, Option<bool>) {
    let capitals = |one: &str| one.bytes().any(|b| b.is_ascii_uppercase());
    let never = matches!(text, TextTree::Lower(_)) && list.iter().all(|one| capitals(one));
    let known = if never { Some(false) } else { possible.is_in(&list) };
    list.sort();
    list.dedup();
    (YesNoTree::TextIn(Box::new(text), list.into()), known)
}

fn bare(typed: &Typed) -> &'static str {
    typed.kind().trim_start_matches("a ")
}

/// Without the last digits, which only say that 0.57 · 100 is not quite 57.
fn tidy(value: f64) -> f64 {
    (value * 1e10).round() / 1e10
}
