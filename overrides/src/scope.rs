//! What an expression reads while it runs: numbers, texts and tags of one series or one event, borrowed from whoever has them.

use crate::language::{Number, Text};
use std::collections::BTreeMap;

/// Gives an expression its values. Nothing is asked for that the expression does not reach.
pub trait Scope {
    /// A number in the unit of its name; `None` when it has no value, which makes an expression that reads it fail.
    fn number(&self, name: Number) -> Option<f64>;
    /// A text; `""` when it is not known.
    fn text(&self, name: Text) -> &str;
    /// A tag; `""` when it is not set.
    fn tag(&self, name: &str) -> &str;
}

/// Values that are held, not borrowed: for examples, tests and tools. Whatever was not put in has no value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    numbers: BTreeMap<Number, f64>,
    texts: BTreeMap<Text, String>,
    tags: BTreeMap<String, String>,
}

impl Sample {
    /// With this number.
    #[must_use]
    pub fn number(mut self, name: Number, value: f64) -> Self {
        self.numbers.insert(name, value);
        self
    }

    /// With this text.
    #[must_use]
    pub fn text(mut self, name: Text, value: &str) -> Self {
        self.texts.insert(name, value.to_owned());
        self
    }

    /// With this tag.
    #[must_use]
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.insert(name.to_owned(), value.to_owned());
        self
    }
}

impl Scope for Sample {
    fn number(&self, name: Number) -> Option<f64> {
        self.numbers.get(&name).copied()
    }

    fn text(&self, name: Text) -> &str {
        self.texts.get(&name).map_or("", String::as_str)
    }

    fn tag(&self, name: &str) -> &str {
        self.tags.get(name).map_or("", String::as_str)
    }
}
