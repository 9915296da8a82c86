//! A text that is looked at, perhaps as if it were in lower case: `lower` costs nothing until somebody wants the letters.
//!
//! Lower case means A–Z to a–z and nothing else: the length stays, and no table of a Unicode version decides what two builds see.

use std::cmp::Ordering;

/// A borrowed text, seen as it is or in lower case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    text: &'a str,
    lower: bool,
}

impl<'a> View<'a> {
    /// As it is.
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, lower: false }
    }

    /// In lower case.
    pub(crate) fn lower(self) -> Self {
        Self { lower: true, ..self }
    }

    fn bytes(self) -> impl DoubleEndedIterator<Item = u8> + 'a {
        self.text.bytes().map(move |b| if self.lower { b.to_ascii_lowercase() } else { b })
    }

    pub(crate) fn equals(self, other: Self) -> bool {
        if self.lower || other.lower {
            return self.text.len() == other.text.len() && self.bytes().eq(other.bytes());
        }
        self.text == other.text
    }

    pub(crate) fn compare(self, other: Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }

    pub(crate) fn starts_with(self, start: Self) -> bool {
        start.text.len() <= self.text.len() && self.bytes().zip(start.bytes()).all(|(a, b)| a == b)
    }

    pub(crate) fn ends_with(self, end: Self) -> bool {
        end.text.len() <= self.text.len() && self.bytes().rev().zip(end.bytes().rev()).all(|(a, b)| a == b)
    }

    pub(crate) fn contains(self, part: Self) -> bool {
        if !self.lower && !part.lower {
            return self.text.contains(part.text);
        }
        let seen = |byte: &u8, lower: bool| if lower { byte.to_ascii_lowercase() } else { *byte };
        part.text.is_empty()
            || self
                .text
                .as_bytes()
                .windows(part.text.len())
                .any(|at| at.iter().zip(part.text.as_bytes()).all(|(a, b)| seen(a, self.lower) == seen(b, part.lower)))
    }

    /// The text itself; `room` holds it when it had to be changed.
    pub(crate) fn into_text(self, room: &'a mut String) -> &'a str {
        if !self.lower || !self.text.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.text;
        }
        room.clear();
        room.push_str(self.text);
        room.make_ascii_lowercase();
        room
    }
}
