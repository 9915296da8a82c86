//! What is known of the variables at a place in an expression: the ranges they start with, narrowed by the conditions on the way there.
//!
//! Used by the checks only, to see what can never be taken and what may be zero or missing. It errs to one side: what it calls certain is
//! certain, and what it does not see is left to the run.

use crate::language::names::{Kind, Number, OUTCOMES, Text};
use crate::language::syntax::{Arithmetic, Comparison};
use crate::language::tree::{NumberTree, TextTree, YesNoTree};

/// Between which bounds, both included, a number lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// It has no fraction.
    pub(crate) whole: bool,
}

impl Range {
    pub(crate) const ANY: Self = Self { low: f64::NEG_INFINITY, high: f64::INFINITY, whole: false };

    pub(crate) fn only(value: f64) -> Self {
        Self { low: value, high: value, whole: value.fract() == 0.0 }
    }

    pub(crate) fn holds(self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Bounds of what lies in one of the two.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high), whole: self.whole && other.whole }
    }

    pub(crate) fn negative(self) -> Self {
        Self { low: -self.high, high: -self.low, ..self }
    }

    pub(crate) fn absolute(self) -> Self {
        let high = self.high.max(-self.low);
        Self { low: if self.holds(0.0) { 0.0 } else { self.low.abs().min(self.high.abs()) }, high, ..self }
    }

    pub(crate) fn rounded(self) -> Self {
        Self { low: self.low.round(), high: self.high.round(), whole: true }
    }

    pub(crate) fn least(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.min(other.high), whole: self.whole && other.whole }
    }

    pub(crate) fn greatest(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.max(other.high), whole: self.whole && other.whole }
    }

    pub(crate) fn calculated(self, operator: Arithmetic, other: Self) -> Self {
        let corners = |f: fn(f64, f64) -> f64| {
            let values = [f(self.low, other.low), f(self.low, other.high), f(self.high, other.low), f(self.high, other.high)];
            let low = values.into_iter().fold(f64::INFINITY, f64::min);
            let high = values.into_iter().fold(f64::NEG_INFINITY, f64::max);
            // 0 · ∞ and the like: nothing is known.
            if values.iter().any(|v| v.is_nan()) { Self::ANY } else { Self { low, high, whole: false } }
        };
        let whole = self.whole && other.whole;
        match operator {
            Arithmetic::Add => Self { whole, ..corners(|a, b| a + b) },
            Arithmetic::Subtract => Self { whole, ..corners(|a, b| a - b) },
            Arithmetic::Multiply => Self { whole, ..corners(|a, b| a * b) },
            Arithmetic::Divide if other.holds(0.0) => Self::ANY,
            Arithmetic::Divide => corners(|a, b| a / b),
        }
    }

    /// Whether a comparison always or never holds.
    pub(crate) fn compared(self, how: Comparison, other: Self) -> Option<bool> {
        match how {
            Comparison::Below if self.high < other.low => Some(true),
            Comparison::Below if self.low >= other.high => Some(false),
            Comparison::AtMost if self.high <= other.low => Some(true),
            Comparison::AtMost if self.low > other.high => Some(false),
            Comparison::Equal if self.high < other.low || self.low > other.high => Some(false),
            Comparison::Equal if self.low == self.high && self == other => Some(true),
            Comparison::Below | Comparison::AtMost | Comparison::Equal => None,
            Comparison::Above | Comparison::AtLeast => other.compared(how.flipped(), self),
            Comparison::NotEqual => self.compared(Comparison::Equal, other).map(|holds| !holds),
        }
    }

    /// What is left when this comparison with a constant holds; unchanged when nothing would be.
    fn narrowed(self, how: Comparison, value: f64) -> Self {
        let (under, over) = if self.whole { (value.ceil() - 1.0, value.floor() + 1.0) } else { (value.next_down(), value.next_up()) };
        let mut left = self;
        match how {
            Comparison::Below => left.high = left.high.min(under),
            Comparison::AtMost => left.high = left.high.min(if self.whole { value.floor() } else { value }),
            Comparison::Above => left.low = left.low.max(over),
            Comparison::AtLeast => left.low = left.low.max(if self.whole { value.ceil() } else { value }),
            Comparison::Equal => (left.low, left.high) = (left.low.max(value), left.high.min(value)),
            Comparison::NotEqual if left.low == value => left.low = over,
            Comparison::NotEqual if left.high == value => left.high = under,
            Comparison::NotEqual => {}
        }
        if left.low <= left.high { left } else { self }
    }
}

/// Which texts a text can be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Possible {
    OneOf(Vec<Box<str>>),
    NoneOf(Vec<Box<str>>),
}

impl Possible {
    pub(crate) fn any() -> Self {
        Self::NoneOf(Vec::new())
    }

    pub(crate) fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::OneOf(mut a), Self::OneOf(b)) => {
                a.extend(b);
                Self::OneOf(a)
            }
            (Self::NoneOf(a), Self::NoneOf(b)) => Self::NoneOf(a.into_iter().filter(|text| b.contains(text)).collect()),
            (Self::NoneOf(out), Self::OneOf(some)) | (Self::OneOf(some), Self::NoneOf(out)) => {
                Self::NoneOf(out.into_iter().filter(|text| !some.contains(text)).collect())
            }
        }
    }

    /// Whether it is always or never in a list.
    pub(crate) fn is_in(&self, list: &[Box<str>]) -> Option<bool> {
        match self {
            Self::OneOf(some) if some.iter().all(|text| list.contains(text)) => Some(true),
            Self::OneOf(some) if !some.iter().any(|text| list.contains(text)) => Some(false),
            Self::NoneOf(out) if list.iter().all(|text| out.contains(text)) => Some(false),
            _ => None,
        }
    }

    fn narrowed(&self, list: &[Box<str>], inside: bool) -> Self {
        match self {
            Self::OneOf(some) => Self::OneOf(some.iter().filter(|text| list.contains(text) == inside).cloned().collect()),
            Self::NoneOf(out) if inside => Self::OneOf(list.iter().filter(|text| !out.contains(text)).cloned().collect()),
            Self::NoneOf(out) => Self::NoneOf(out.iter().chain(list).cloned().collect()),
        }
    }
}

/// What is known at a place.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    numbers: Vec<(Number, Range)>,
    texts: Vec<(TextTree, Possible)>,
}

impl Facts {
    /// At the start of an expression.
    pub(crate) fn new(kind: Kind) -> Self {
        let range = |n: Number| Range { low: 0.0, high: n.greatest(), whole: n.is_whole() };
        let numbers = Number::ALL.into_iter().filter(|n| n.is_for(kind)).map(|n| (n, range(n))).collect();
        let outcomes = Possible::OneOf(OUTCOMES.into_iter().map(Box::from).collect());
        Self { numbers, texts: vec![(TextTree::Variable(Text::Outcome), outcomes)] }
    }

    pub(crate) fn number(&self, name: Number) -> Range {
        self.numbers.iter().find(|(known, _)| *known == name).map_or(Range::ANY, |(_, range)| *range)
    }

    pub(crate) fn text(&self, of: &TextTree) -> Possible {
        match of {
            TextTree::Constant(text) => Possible::OneOf(vec![text.clone()]),
            _ => self.texts.iter().find(|(known, _)| known == of).map_or_else(Possible::any, |(_, possible)| possible.clone()),
        }
    }

    /// Whether the window certainly has requests.
    pub(crate) fn has_requests(&self) -> bool {
        [Number::RequestCount, Number::RequestRate, Number::ErrorCount, Number::ErrorRate].into_iter().any(|n| self.number(n).low > 0.0)
    }

    /// What is known once a condition holds, or does not.
    pub(crate) fn assume(&self, condition: &YesNoTree, holds: bool) -> Self {
        let mut known = self.clone();
        known.learn(condition, holds);
        known
    }

    fn learn(&mut self, condition: &YesNoTree, holds: bool) {
        match condition {
            YesNoTree::Not(inner) => self.learn(inner, !holds),
            YesNoTree::And(sides) if holds => {
                self.learn(&sides.0, true);
                self.learn(&sides.1, true);
            }
            YesNoTree::Or(sides) if !holds => {
                self.learn(&sides.0, false);
                self.learn(&sides.1, false);
            }
            YesNoTree::Compare(how, sides) => {
                let (how, name, value) = match (&sides.0, &sides.1) {
                    (NumberTree::Variable(name), NumberTree::Constant(value)) => (*how, *name, *value),
                    (NumberTree::Constant(value), NumberTree::Variable(name)) => (how.flipped(), *name, *value),
                    _ => return,
                };
                self.narrow(name, if holds { how } else { how.opposite() }, value);
            }
            YesNoTree::NumberIn(value, list) => {
                if let (NumberTree::Variable(name), true) = (&**value, holds) {
                    self.narrow(*name, Comparison::AtLeast, list.iter().copied().fold(f64::INFINITY, f64::min));
                    self.narrow(*name, Comparison::AtMost, list.iter().copied().fold(f64::NEG_INFINITY, f64::max));
                }
            }
            YesNoTree::TextIn(value, list) => {
                let possible = self.text(value).narrowed(list, holds);
                match self.texts.iter_mut().find(|(known, _)| *known == **value) {
                    Some((_, known)) => *known = possible,
                    None => self.texts.push(((**value).clone(), possible)),
                }
            }
            _ => {}
        }
    }

    fn narrow(&mut self, name: Number, how: Comparison, value: f64) {
        if let Some((_, range)) = self.numbers.iter_mut().find(|(known, _)| *known == name) {
            *range = range.narrowed(how, value);
        }
    }
}
