//! Examples: what a file's expressions give for given values, written beside them and run whenever the file is checked.
//!
//! `expect: 3` is of the health rule, `expect: ok` of the classifier, `expect: {swimlane: ec2}` of tags. What `given` leaves out has no
//! value, with these exceptions: `previousHealth` is 0, `completeness` is 1, and the availability follows from the two counts.

use crate::diagnostic::{Code, Diagnostic, Span};
use crate::file::{Override, Reader};
use crate::language::{Number, OUTCOMES, RunError, Text, Unit};
use crate::scope::{Sample, Scope};
use crate::yaml::{Node, Value};

/// Most examples of a file.
const MAX_EXAMPLES: usize = 64;
pub(crate) const EXAMPLE_KEYS: [&str; 2] = ["given", "expect"];

/// Values and what they must give.
pub(super) struct Example {
    given: Sample,
    expect: Expect,
    /// Where the expectation stands.
    span: Span,
}

enum Expect {
    Level(u8),
    Outcome(&'static str),
    /// Tag and value.
    Tags(Vec<(String, String)>),
}

impl Example {
    /// What is wrong with the file or with the example, if they do not agree.
    pub(super) fn run(&self, of: &Override) -> Option<Diagnostic> {
        let complaint = match &self.expect {
            Expect::Level(level) => match &of.health {
                None => Some("there is no `health` rule to give a level".to_owned()),
                Some(health) => difference(*level, health.rule.level(&self.given)),
            },
            Expect::Outcome(outcome) => match &of.errors {
                None => Some("there is no `errors` rule to give an outcome".to_owned()),
                Some(errors) => difference(*outcome, errors.rule.outcome(&self.given)),
            },
            Expect::Tags(tags) => tags.iter().find_map(|(tag, value)| match of.tags.get(tag) {
                None => Some(format!("there is no rule for the tag `{tag}`")),
                Some(written) => difference(value.as_str(), written.rule.value(&self.given, &mut String::new())),
            }),
        };
        complaint.map(|message| Diagnostic::error(Code::Example, self.span, message))
    }
}

fn difference<T: std::fmt::Debug + PartialEq>(expected: T, given: Result<T, RunError>) -> Option<String> {
    match given {
        Ok(given) if given == expected => None,
        Ok(given) => Some(format!("the example gives {given:?}, not {expected:?}")),
        Err(error) => Some(format!("the example fails: {error}")),
    }
}

impl Reader<'_> {
    pub(super) fn examples(&mut self, node: &Node) -> Vec<Example> {
        let list = self.list(node);
        if list.len() > MAX_EXAMPLES {
            self.found.push(Diagnostic::error(Code::Limit, node.span, format!("at most {MAX_EXAMPLES} examples are allowed")));
            return Vec::new();
        }
        list.iter().filter_map(|one| self.example(one)).collect()
    }

    fn example(&mut self, node: &Node) -> Option<Example> {
        let (mut given, mut expect) = (None, None);
        for (key, node) in self.known(node, &EXAMPLE_KEYS) {
            match key.name.as_str() {
                "given" => given = Some(self.given(node)),
                _ => expect = Some((self.expect(node), node.span)),
            }
        }
        let (Some(given), Some((expect, span))) = (given, expect) else {
            let found = Diagnostic::error(Code::Range, node.span, "an example has `given` and `expect`");
            self.found.push(found.help("`- {given: {requestCount: 100, availability: 98}, expect: 3}`"));
            return None;
        };
        Some(Example { given, expect: expect?, span })
    }

    fn given(&mut self, node: &Node) -> Sample {
        let mut sample = Sample::default().number(Number::PreviousHealth, 0.0).number(Number::Completeness, 1.0);
        let numbers = Number::ALL.map(Number::name);
        let texts = Text::ALL.map(Text::name);
        let keys: Vec<&str> = numbers.into_iter().chain(texts).chain(["tags"]).collect();
        for (key, node) in self.known(node, &keys) {
            if let Some(number) = Number::named(&key.name) {
                if let Some(value) = self.value_of(number, node) {
                    sample = sample.number(number, value);
                }
            } else if let Some(text) = Text::named(&key.name) {
                sample = sample.text(text, self.text(node).unwrap_or_default());
            } else {
                for (tag, node) in self.map(node) {
                    sample = sample.tag(&tag.name, self.text(node).unwrap_or_default());
                }
            }
        }
        let value = |name| Scope::number(&sample, name);
        match (value(Number::Availability), value(Number::RequestCount), value(Number::ErrorCount)) {
            (None, Some(requests), Some(errors)) if requests > 0.0 => {
                sample.number(Number::Availability, 100.0 * (requests - errors).max(0.0) / requests)
            }
            _ => sample,
        }
    }

    fn value_of(&mut self, number: Number, node: &Node) -> Option<f64> {
        let (value, unit) = self.quantity(node)?;
        if unit != Unit::Plain && unit != number.unit() {
            return self.error(Code::Unit, node.span, format!("`{}` is not {}", number.name(), unit.name()));
        }
        if !(0.0..=number.greatest()).contains(&value) || (number.is_whole() && value.fract() != 0.0) {
            let whole = if number.is_whole() { "a whole number " } else { "" };
            let bounds = if number.greatest().is_finite() { format!("from 0 to {}", number.greatest()) } else { "not below 0".to_owned() };
            return self.error(Code::Range, node.span, format!("`{}` is {whole}{bounds}", number.name()));
        }
        Some(value)
    }

    fn expect(&mut self, node: &Node) -> Option<Expect> {
        match &node.value {
            Value::Map(_) => {
                let tags = self.map(node).into_iter().map(|(tag, node)| Some((tag.name.clone(), self.text(node)?.to_owned())));
                Some(Expect::Tags(tags.collect::<Option<_>>()?))
            }
            Value::Scalar(text, false) if text.parse::<f64>().is_ok() => match text.parse::<u8>() {
                Ok(level @ 0..=3) => Some(Expect::Level(level)),
                _ => self.error(Code::Range, node.span, "a health level is 0, 1, 2 or 3"),
            },
            Value::Scalar(text, _) => match OUTCOMES.into_iter().find(|outcome| outcome == text) {
                Some(outcome) => Some(Expect::Outcome(outcome)),
                None => {
                    let found = Diagnostic::error(Code::Range, node.span, format!("`{text}` is neither a health level nor an outcome"));
                    self.found.push(found.help("a level is `expect: 3`, an outcome `expect: ok`, a tag `expect: {swimlane: ec2}`"));
                    None
                }
            },
            Value::List(_) => self.error(Code::Type, node.span, "a level, an outcome, or tags with values are needed here"),
        }
    }
}
