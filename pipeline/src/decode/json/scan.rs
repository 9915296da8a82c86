//! Strict JSON (RFC 8259), pulled value by value out of borrowed text, without a tree and without allocating.
//!
//! Stricter than most parsers, because two readers of one record must never see two events in it: a key that comes twice in one object,
//! a byte order mark, a lone surrogate and bytes behind the value are faults, also in parts that nobody asked for. Nesting stops at
//! `MAX_DEPTH`, so that recursion is bounded. Numbers stay text: what they mean is exact decimal arithmetic elsewhere, never a float.
//!
//! Duplicate keys cost n log n at worst: the first few are compared one by one, a large object is sorted when it closes.
//!
//! ```
//! use golden_pipeline::decode::json::scan::{Fault, Keys, Scan, Value};
//!
//! let mut keys = Keys::default();
//! let mut scan = Scan::new(r#"{"skipped": [1, 2], "name": "a\"b"}"#, &mut keys);
//! let mut name = String::new();
//! scan.object(|scan, key| {
//!     if key.is("name") {
//!         if let Value::Text(text) = scan.value()? {
//!             text.unescape_into(&mut name);
//!         }
//!         return Ok(());
//!     }
//!     scan.skip()
//! })?;
//! scan.end()?;
//! assert_eq!(name, "a\"b");
//! # Ok::<(), Fault>(())
//! ```

use crate::decode::{MAX_DEPTH, Reason};
use std::cmp::Ordering;
use std::fmt;
use wide::u8x16;

/// Keys up to this number are compared as they come; larger objects are sorted when they close.
const FEW: usize = 16;

/// A position in a text and what is read there. Values are asked for in order; each is read exactly once.
#[derive(Debug)]
pub struct Scan<'a, 'k> {
    text: &'a str,
    at: usize,
    depth: usize,
    keys: &'k mut Keys,
}

/// Memory for the keys of the objects that are open. Kept between scans, so that scanning does not allocate.
#[derive(Debug, Default)]
pub struct Keys {
    open: Vec<Key>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    /// The first 8 bytes of the key, big-endian: decides nearly every comparison.
    prefix: u64,
    from: usize,
    to: usize,
    escaped: bool,
}

/// A text value or a key: what stands between the quotes, already checked.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    raw: &'a str,
    escaped: bool,
}

/// The next value.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A text, read.
    Text(Text<'a>),
    /// A number, read: its text, of JSON's grammar, of any size.
    Number(&'a str),
    /// `true` or `false`, read.
    Bool(bool),
    /// `null`, read.
    Null,
    /// An object, not read yet: call `object` or `skip`.
    Object,
    /// An array, not read yet: call `array` or `skip`.
    Array,
}

/// Where and why a text is not JSON as we take it. Holds no part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Byte offset in the scanned text.
    pub at: u32,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The text ends inside a value.
    End,
    /// A byte that cannot stand there.
    Byte,
    /// Not a number of JSON's grammar.
    Number,
    /// An unknown or broken escape.
    Escape,
    /// Half of a surrogate pair.
    Surrogate,
    /// A control character inside a text.
    Control,
    /// A key for the second time in one object.
    DuplicateKey,
    /// Nesting deeper than `MAX_DEPTH`.
    Depth,
    /// More behind the value.
    Trailing,
    /// A byte order mark.
    ByteOrderMark,
    /// Another kind of value than asked for.
    Kind,
}

impl Fault {
    fn new(at: usize, kind: FaultKind) -> Self {
        Self { at: u32::try_from(at).unwrap_or(u32::MAX), kind }
    }

    /// The dead letter's reason.
    #[must_use]
    pub fn reason(self) -> Reason {
        match self.kind {
            FaultKind::Depth => Reason::DepthExceeded,
            _ => Reason::DecodeJson,
        }
    }

    /// What is wrong, in words.
    #[must_use]
    pub fn what(self) -> &'static str {
        match self.kind {
            FaultKind::End => "the text ends inside a value",
            FaultKind::Byte => "unexpected character",
            FaultKind::Number => "not a JSON number",
            FaultKind::Escape => "unknown or broken escape",
            FaultKind::Surrogate => "half of a surrogate pair",
            FaultKind::Control => "control character inside a text",
            FaultKind::DuplicateKey => "duplicate key",
            FaultKind::Depth => "nested deeper than 32",
            FaultKind::Trailing => "more text behind the value",
            FaultKind::ByteOrderMark => "byte order mark",
            FaultKind::Kind => "another kind of value than expected",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.what(), self.at)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Reason {
    fn from(fault: Fault) -> Self {
        fault.reason()
    }
}

impl<'a, 'k> Scan<'a, 'k> {
    /// Starts before the first value of `text`.
    pub fn new(text: &'a str, keys: &'k mut Keys) -> Self {
        Self::starting(text, 0, keys)
    }

    /// Starts before the value at byte `at` of `text`; positions count from the start of `text`.
    pub fn starting(text: &'a str, at: usize, keys: &'k mut Keys) -> Self {
        keys.open.clear();
        Self { text, at, depth: 0, keys }
    }

    /// Starts inside containers that somebody else has opened, so that the depth bound holds over both.
    pub(crate) fn nested(text: &'a str, at: usize, depth: usize, keys: &'k mut Keys) -> Self {
        keys.open.clear();
        Self { text, at, depth, keys }
    }

    /// Byte offset of what is read next (white space may come first).
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }

    /// Reads the next value: scalars wholly; of an object or an array only that it is one.
    ///
    /// # Errors
    /// A fault of the text; the scan is of no use then.
    pub fn value(&mut self) -> Result<Value<'a>, Fault> {
        match self.peek()? {
            b'"' => self.quoted().map(Value::Text),
            b'-' | b'0'..=b'9' => {
                let from = self.at;
                self.at = number_end(self.text.as_bytes(), from)?;
                Ok(Value::Number(self.text.get(from..self.at).unwrap_or_default()))
            }
            b't' => self.word("true").map(|()| Value::Bool(true)),
            b'f' => self.word("false").map(|()| Value::Bool(false)),
            b'n' => self.word("null").map(|()| Value::Null),
            b'{' => Ok(Value::Object),
            b'[' => Ok(Value::Array),
            _ => Err(self.unexpected()),
        }
    }

    /// Walks an object: `member` gets each key and must read exactly one value, with `value`, `object`, `array` or `skip`.
    ///
    /// # Errors
    /// A fault of the text, no object here, or what `member` gives.
    pub fn object<E: From<Fault>>(&mut self, mut member: impl FnMut(&mut Self, Text<'a>) -> Result<(), E>) -> Result<(), E> {
        self.open(b'{')?;
        let base = self.keys.open.len();
        let walked = self.members(base, &mut member);
        self.keys.open.truncate(base);
        self.depth -= 1;
        walked
    }

    /// Walks an array: `element` must read exactly one value.
    ///
    /// # Errors
    /// A fault of the text, no array here, or what `element` gives.
    pub fn array<E: From<Fault>>(&mut self, mut element: impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        self.open(b'[')?;
        let walked = self.elements(&mut element);
        self.depth -= 1;
        walked
    }

    /// Passes over one value, as strictly as if it were wanted.
    ///
    /// # Errors
    /// A fault of the text.
    pub fn skip(&mut self) -> Result<(), Fault> {
        match self.value()? {
            Value::Object => self.object(|scan, _| scan.skip()),
            Value::Array => self.array(Self::skip),
            _ => Ok(()),
        }
    }

    /// Passes over one value and gives its text.
    ///
    /// # Errors
    /// A fault of the text.
    pub fn skip_raw(&mut self) -> Result<&'a str, Fault> {
        self.peek()?;
        let from = self.at;
        self.skip()?;
        Ok(self.text.get(from..self.at).unwrap_or_default())
    }

    /// Nothing but white space may follow.
    ///
    /// # Errors
    /// Something follows.
    pub fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(Fault::new(self.at, FaultKind::Trailing)) }
    }

    /// First byte of the next value.
    fn peek(&mut self) -> Result<u8, Fault> {
        self.space();
        self.byte().ok_or_else(|| Fault::new(self.at, FaultKind::End))
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        self.at = space_end(self.text.as_bytes(), self.at);
    }

    fn unexpected(&self) -> Fault {
        let kind = match self.text.as_bytes().get(self.at..) {
            None | Some([]) => FaultKind::End,
            Some([0xEF, 0xBB, 0xBF, ..]) => FaultKind::ByteOrderMark,
            Some([b'+' | b'.' | b'N' | b'I', ..]) => FaultKind::Number,
            Some(_) => FaultKind::Byte,
        };
        Fault::new(self.at, kind)
    }

    fn word(&mut self, word: &str) -> Result<(), Fault> {
        self.at = word_end(self.text.as_bytes(), self.at, word)?;
        Ok(())
    }

    /// Reads a text; the opening quote is next.
    fn quoted(&mut self) -> Result<Text<'a>, Fault> {
        let from = self.at + 1;
        let (to, escaped) = text_end(self.text.as_bytes(), from)?;
        self.at = to + 1;
        Ok(Text { raw: self.text.get(from..to).unwrap_or_default(), escaped })
    }

    fn open(&mut self, bracket: u8) -> Result<(), Fault> {
        if self.peek()? != bracket {
            let fault = self.unexpected();
            let other = matches!(self.byte(), Some(b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n' | b'{' | b'['));
            return Err(if other { Fault { kind: FaultKind::Kind, ..fault } } else { fault });
        }
        if self.depth >= MAX_DEPTH {
            return Err(Fault::new(self.at, FaultKind::Depth));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn members<E: From<Fault>>(&mut self, base: usize, member: &mut impl FnMut(&mut Self, Text<'a>) -> Result<(), E>) -> Result<(), E> {
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            if self.peek()? != b'"' {
                return Err(self.unexpected().into());
            }
            let from = self.at + 1;
            let key = self.quoted()?;
            self.keys.add(self.text, base, Key { prefix: prefix(key), from, to: self.at - 1, escaped: key.escaped })?;
            if self.peek()? != b':' {
                return Err(self.unexpected().into());
            }
            self.at += 1;
            member(self, key)?;
            match self.peek()? {
                b',' => self.at += 1,
                b'}' => {
                    self.at += 1;
                    return Ok(self.keys.close(self.text, base)?);
                }
                _ => return Err(self.unexpected().into()),
            }
        }
    }

    fn elements<E: From<Fault>>(&mut self, element: &mut impl FnMut(&mut Self) -> Result<(), E>) -> Result<(), E> {
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            match self.peek()? {
                b',' => self.at += 1,
                b']' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.unexpected().into()),
            }
        }
    }
}

impl Keys {
    /// Adds a key to the innermost object, whose keys start at `base`.
    fn add(&mut self, text: &str, base: usize, key: Key) -> Result<(), Fault> {
        let siblings = self.open.get(base..).unwrap_or_default();
        if siblings.len() < FEW && siblings.iter().any(|other| other.prefix == key.prefix && order(text, other, &key).is_eq()) {
            return Err(Fault::new(key.from, FaultKind::DuplicateKey));
        }
        self.open.push(key);
        Ok(())
    }

    /// Checks an object that was too large to be checked key by key.
    fn close(&mut self, text: &str, base: usize) -> Result<(), Fault> {
        let siblings = self.open.get_mut(base..).unwrap_or_default();
        if siblings.len() <= FEW {
            return Ok(());
        }
        siblings.sort_unstable_by(|a, b| a.prefix.cmp(&b.prefix).then_with(|| order(text, a, b)));
        let mut pairs = siblings.iter().zip(siblings.iter().skip(1));
        match pairs.find(|(a, b)| a.prefix == b.prefix && order(text, a, b).is_eq()) {
            Some((a, b)) => Err(Fault::new(a.from.max(b.from), FaultKind::DuplicateKey)),
            None => Ok(()),
        }
    }
}

/// Order of two keys by their bytes, escapes undone.
fn order(text: &str, a: &Key, b: &Key) -> Ordering {
    let slice = |key: &Key| Text { raw: text.get(key.from..key.to).unwrap_or_default(), escaped: key.escaped };
    let (a, b) = (slice(a), slice(b));
    if a.escaped || b.escaped { a.chars().cmp(b.chars()) } else { a.raw.as_bytes().cmp(b.raw.as_bytes()) }
}

/// The first 8 bytes of a key as a number that orders as they do.
fn prefix(key: Text<'_>) -> u64 {
    if key.escaped {
        let mut word = [0; 8];
        let mut free = word.iter_mut();
        for c in key.chars() {
            for (from, to) in c.encode_utf8(&mut [0; 4]).bytes().zip(free.by_ref()) {
                *to = from;
            }
        }
        return u64::from_be_bytes(word);
    }
    let raw = key.raw.as_bytes();
    let mut word = [0; 8];
    word.iter_mut().zip(raw).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(word)
}

impl<'a> Text<'a> {
    /// From the bytes between two quotes that a scanner has checked.
    pub(crate) fn checked(raw: &'a str, escaped: bool) -> Self {
        Self { raw, escaped }
    }

    /// The text, when it has no escapes.
    #[must_use]
    pub fn as_plain(self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw)
    }

    /// The text as it stands between the quotes.
    #[must_use]
    pub fn raw(self) -> &'a str {
        self.raw
    }

    /// Whether the text, escapes undone, is `other`.
    #[must_use]
    pub fn is(self, other: &str) -> bool {
        if self.escaped { self.chars().eq(other.chars()) } else { self.raw == other }
    }

    /// Appends the text, escapes undone.
    pub fn unescape_into(self, out: &mut String) {
        if self.escaped {
            out.extend(self.chars());
        } else {
            out.push_str(self.raw);
        }
    }

    /// The characters, escapes undone.
    pub fn chars(self) -> impl Iterator<Item = char> + 'a {
        let mut rest = self.raw.chars();
        let escaped = self.escaped;
        std::iter::from_fn(move || {
            let c = rest.next()?;
            if c != '\\' || !escaped {
                return Some(c);
            }
            Some(match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let high = unit(&mut rest)?;
                    if (0xD800..0xDC00).contains(&high) {
                        rest.nth(1)?; // `\u`: the scanner has seen the pair
                        let low = unit(&mut rest)?;
                        char::from_u32(0x1_0000 + ((high & 0x3FF) << 10 | low & 0x3FF))?
                    } else {
                        char::from_u32(high)?
                    }
                }
                other => other,
            })
        })
    }
}

/// Four hex digits.
fn unit(digits: &mut std::str::Chars<'_>) -> Option<u32> {
    (0..4).try_fold(0, |unit, _| Some(unit << 4 | digits.next()?.to_digit(16)?))
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The 8 bytes at `at`, the first one lowest.
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|word| u64::from_le_bytes(*word))
}

/// Bytes that are looked at at once for the end of plain text. Nearly every text of an event has less, so one step finds its end without
/// a branch on its length.
const STRIDE: usize = 32;

/// A bit for every byte that ends a run of plain text: quote, backslash, control.
fn stops(bytes: [u8; 16]) -> u32 {
    let bytes = u8x16::new(bytes);
    let control = bytes.min(u8x16::splat(0x1F)).simd_eq(bytes);
    (bytes.simd_eq(u8x16::splat(b'"')) | bytes.simd_eq(u8x16::splat(b'\\')) | control).to_bitmask()
}

/// Number of digits that a word begins with.
pub(crate) fn leading_digits(word: u64) -> u32 {
    let value = word ^ (ONES * 0x30);
    ((((value & !HIGH) + ONES * 0x76) | value) & HIGH).trailing_zeros() / 8
}

/// Offset behind white space from `at` on.
#[inline]
pub(crate) fn space_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

/// Offset of the quote that ends the text starting at `at`, and whether there are escapes in it.
#[inline]
pub(crate) fn text_end(bytes: &[u8], mut at: usize) -> Result<(usize, bool), Fault> {
    while let Some([low, high]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<STRIDE>()).map(|next| next.as_chunks().0) {
        let found = stops(*low) | stops(*high) << 16;
        if found != 0 {
            at += found.trailing_zeros() as usize;
            if bytes.get(at) == Some(&b'"') {
                return Ok((at, false));
            }
            break;
        }
        at += STRIDE;
    }
    text_end_slow(bytes, at)
}

/// The same from somewhere inside, with escapes, or in the last bytes.
#[inline(never)]
fn text_end_slow(bytes: &[u8], mut at: usize) -> Result<(usize, bool), Fault> {
    let mut escaped = false;
    loop {
        while let Some(next) = bytes.get(at..).and_then(|rest| rest.first_chunk()).filter(|next| stops(**next) == 0) {
            at += next.len();
        }
        match bytes.get(at) {
            None => return Err(Fault::new(at, FaultKind::End)),
            Some(b'"') => return Ok((at, escaped)),
            Some(b'\\') => {
                at = escape_end(bytes, at)?;
                escaped = true;
            }
            Some(..0x20) => return Err(Fault::new(at, FaultKind::Control)),
            Some(_) => at += 1,
        }
    }
}

/// Offset behind the escape whose backslash is at `at`.
fn escape_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let fault = |kind| Err(Fault::new(at, kind));
    match bytes.get(at + 1) {
        None => fault(FaultKind::End),
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => match utf16(bytes, at + 2) {
            None => fault(FaultKind::Escape),
            Some(0xDC00..0xE000) => fault(FaultKind::Surrogate),
            Some(0xD800..0xDC00) => {
                let pair = bytes.get(at + 6..at + 8) == Some(br"\u") && matches!(utf16(bytes, at + 8), Some(0xDC00..0xE000));
                if pair { Ok(at + 12) } else { fault(FaultKind::Surrogate) }
            }
            Some(_) => Ok(at + 6),
        },
        Some(_) => fault(FaultKind::Escape),
    }
}

fn utf16(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Offset behind the number that starts at `at`.
#[inline]
pub(crate) fn number_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match short_number_end(bytes, at) {
        Some(end) => Ok(end),
        None => long_number_end(bytes, at),
    }
}

/// Most numbers have no sign, no exponent, and less than eight digits on either side of the point: a word each tells.
#[inline]
fn short_number_end(bytes: &[u8], at: usize) -> Option<usize> {
    let whole = word_at(bytes, at)?;
    let mut digits = leading_digits(whole) as usize;
    if digits > 1 && whole as u8 == b'0' {
        return None;
    }
    let mut end = at + digits;
    if digits > 0 && bytes.get(end) == Some(&b'.') {
        digits = leading_digits(word_at(bytes, end + 1)?) as usize;
        end += 1 + digits;
    }
    ((1..8).contains(&digits) && !matches!(bytes.get(end), Some(b'.' | b'e' | b'E'))).then_some(end)
}

fn long_number_end(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let digits = |mut to: usize| {
        while let Some(word) = word_at(bytes, to) {
            let found = leading_digits(word) as usize;
            to += found;
            if found < size_of_val(&word) {
                return to;
            }
        }
        while let Some(b'0'..=b'9') = bytes.get(to) {
            to += 1;
        }
        to
    };
    let bad = |at| Err(Fault::new(at, FaultKind::Number));
    let first = if bytes.get(at) == Some(&b'-') { at + 1 } else { at };
    let mut end = digits(first);
    if end == first || (end > first + 1 && bytes.get(first) == Some(&b'0')) {
        return bad(at);
    }
    if bytes.get(end) == Some(&b'.') {
        let fraction = end + 1;
        end = digits(fraction);
        if end == fraction {
            return bad(at);
        }
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = end + 1 + sign;
        end = digits(exponent);
        if end == exponent {
            return bad(at);
        }
    }
    Ok(end)
}

/// Offset behind `word`, which must stand at `at`.
#[inline]
pub(crate) fn word_end(bytes: &[u8], at: usize, word: &str) -> Result<usize, Fault> {
    let end = at + word.len();
    if bytes.get(at..end) == Some(word.as_bytes()) {
        return Ok(end);
    }
    let cut = bytes.get(at..).is_some_and(|rest| word.as_bytes().starts_with(rest));
    Err(Fault::new(at, if cut { FaultKind::End } else { FaultKind::Byte }))
}

#[cfg(test)]
mod tests;
