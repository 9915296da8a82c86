//! Wanted fields of objects, read at the speed of what was expected.
//!
//! Objects of one source look alike. The reader keeps a tree of the keys it has met and, for each, which key followed it last time; so a
//! key costs one comparison of bytes instead of a search, in any order and with any of them missing. Every byte is still read by the
//! grammar of `scan`; a key that comes twice is found by the item's number left at the key. What the tree cannot hold (keys with escapes,
//! too many different ones) and every fault is read again by the strict scanner: it alone refuses, so both ways accept the same texts.
//!
//! Captured values are positions, so nothing is borrowed between items and nothing is allocated once the keys are known.

use super::scan::{Fault, Keys, Scan, Text, Value, number_end, space_end, text_end, word_end};
use crate::decode::MAX_DEPTH;

/// Keys that are remembered beside the wanted ones. When more turn up, those learned so far are forgotten.
const MAX_LEARNED: usize = 256;
/// No key.
const NONE: usize = usize::MAX;

/// Reads objects of one source.
#[derive(Debug)]
pub struct Reader {
    /// The first is the object itself, then the wanted keys, then the learned ones.
    nodes: Vec<Node>,
    wanted: usize,
    /// Number of the item being read; keys that bear it have come.
    item: u64,
    /// Which wanted places the item has, as `Slot::bit`.
    seen: u64,
    /// Wanted texts of this item that have escapes.
    escaped: Vec<usize>,
    unescaped: String,
    misshapen: bool,
    /// Objects that held a key for which there was no room.
    crowded: usize,
    keys: Keys,
}

/// A place of which the value is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(usize);

impl Slot {
    /// The place's bit in `Reader::seen`.
    #[must_use]
    pub fn bit(self) -> u64 {
        bit(self.0)
    }
}

/// The bit of a node; beyond the 64th they are shared.
fn bit(node: usize) -> u64 {
    1 << (node % 64)
}

/// A scalar at a wanted place. Null, an empty text and an empty array are absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A text, escapes undone.
    Text(&'a str),
    /// A number as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// An object or an array, where a scalar was wanted.
    Container,
}

impl<'a> Found<'a> {
    /// A scalar as text; nothing for a container.
    #[must_use]
    pub fn as_text(self) -> Option<&'a str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Container => None,
        }
    }
}

/// A key at its place.
#[derive(Debug)]
struct Node {
    lead: Lead,
    children: Vec<usize>,
    /// The child that came first last time.
    first: usize,
    /// The sibling that followed last time.
    next: usize,
    /// The last item that had this key.
    item: u64,
    /// The place's bit in `Reader::seen`; none: not wanted itself.
    bit: u64,
    wanted_below: bool,
    kind: Kind,
    from: usize,
    to: usize,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Null,
    Text,
    /// In `unescaped`.
    Unescaped,
    Number,
    True,
    False,
    Container,
}

/// The tree does not do; the strict scanner decides.
struct Unusual;

impl From<Fault> for Unusual {
    fn from(_: Fault) -> Self {
        Self
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            nodes: vec![Node::new("")],
            wanted: 1,
            item: 0,
            seen: 0,
            escaped: Vec::new(),
            unescaped: String::new(),
            misshapen: false,
            crowded: 0,
            keys: Keys::default(),
        }
    }
}

/// `"key":`, ready to be compared.
#[derive(Debug)]
struct Lead {
    /// Its beginning, and which bits of it count.
    words: [u64; LEAD],
    mask: [u64; LEAD],
    literal: Box<[u8]>,
}

/// Words of a lead that are compared at once.
const LEAD: usize = 3;

impl Lead {
    fn new(key: &str) -> Self {
        let literal = format!("\"{key}\":").into_bytes();
        let word = |at: usize, of: &dyn Fn(u8) -> u8| {
            let mut word = [0; 8];
            word.iter_mut().zip(literal.iter().skip(8 * at)).for_each(|(to, from)| *to = of(*from));
            u64::from_le_bytes(word)
        };
        Self {
            words: std::array::from_fn(|at| word(at, &|byte| byte)),
            mask: std::array::from_fn(|at| word(at, &|_| 0xFF)),
            literal: literal.into(),
        }
    }

    fn len(&self) -> usize {
        self.literal.len()
    }

    /// Whether it stands at `at`. Keys are short: a few words decide at once, without a branch for each or a call to compare memory.
    #[inline]
    fn stands(&self, bytes: &[u8], at: usize) -> bool {
        let Some(there) = bytes.get(at..).and_then(|rest| rest.first_chunk::<{ 8 * LEAD }>()) else { return self.stands_wholly(bytes, at) };
        let words = there.as_chunks::<8>().0.iter().zip(self.words.iter().zip(&self.mask));
        words.fold(0, |differ, (there, (word, mask))| differ | ((u64::from_le_bytes(*there) ^ word) & mask)) == 0
            && (self.len() <= 8 * LEAD || self.stands_wholly(bytes, at))
    }

    /// The same for long keys and in the last bytes.
    #[cold]
    fn stands_wholly(&self, bytes: &[u8], at: usize) -> bool {
        bytes.get(at..at + self.len()) == Some(&self.literal)
    }
}

impl Node {
    fn new(key: &str) -> Self {
        Self {
            lead: Lead::new(key),
            children: Vec::new(),
            first: NONE,
            next: NONE,
            item: 0,
            bit: 0,
            wanted_below: false,
            kind: Kind::Null,
            from: 0,
            to: 0,
        }
    }

    fn wanted(&self) -> bool {
        self.bit != 0
    }

    fn key(&self) -> &[u8] {
        self.lead.literal.get(1..self.lead.len() - 2).unwrap_or_default()
    }
}

impl Reader {
    /// Wants what stands at these keys, from the outermost object inwards. To be asked before anything is read.
    pub fn want(&mut self, keys: &[&str]) -> Slot {
        let mut at = 0;
        for key in keys {
            if let Some(node) = self.nodes.get_mut(at) {
                node.wanted_below = true;
            }
            at = self.child(at, key.as_bytes(), NONE).unwrap_or_else(|| self.add(at, key));
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.bit = bit(at);
        }
        self.wanted = self.nodes.len();
        Slot(at)
    }

    /// Reads the object at byte `at` of `text`, inside `depth` open containers, and gives the offset behind it.
    ///
    /// # Errors
    /// A fault of the text. What was captured is then of no use.
    #[inline]
    pub fn read(&mut self, text: &str, at: usize, depth: usize) -> Result<usize, Fault> {
        self.start();
        if text.as_bytes().get(at) == Some(&b'{')
            && let Ok(end) = self.members(text, at + 1, 0, depth + 1)
        {
            if !self.escaped.is_empty() {
                self.unescape(text);
            }
            return Ok(end);
        }
        self.read_strictly(text, at, depth)
    }

    /// The same by the strict scanner alone, which decides in doubt.
    ///
    /// # Errors
    /// A fault of the text.
    #[cold]
    pub fn read_strictly(&mut self, text: &str, at: usize, depth: usize) -> Result<usize, Fault> {
        self.start();
        let mut keys = std::mem::take(&mut self.keys);
        let mut scan = Scan::nested(text, at, depth, &mut keys);
        let read = self.walk(&mut scan, 0).map(|()| scan.position());
        self.keys = keys;
        self.unescape(text);
        read
    }

    /// Which wanted places the item has: a place whose bit is not set is absent, so a search for several can end before it begins.
    #[must_use]
    #[inline]
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// What stands at a wanted place of the item that was read from `text`.
    #[must_use]
    #[inline(always)]
    pub fn get<'t>(&'t self, slot: Slot, text: &'t str) -> Option<Found<'t>> {
        let node = self.nodes.get(slot.0).filter(|node| node.item == self.item)?;
        match node.kind {
            Kind::Text => text.get(node.from..node.to).filter(|t| !t.is_empty()).map(Found::Text),
            _ => self.get_other(node, text),
        }
    }

    fn get_other<'t>(&'t self, node: &Node, text: &'t str) -> Option<Found<'t>> {
        let slice = |text: &'t str| text.get(node.from..node.to).filter(|t| !t.is_empty());
        match node.kind {
            Kind::Null => None,
            Kind::Text => slice(text).map(Found::Text),
            Kind::Unescaped => slice(&self.unescaped).map(Found::Text),
            Kind::Number => slice(text).map(Found::Number),
            Kind::True => Some(Found::Bool(true)),
            Kind::False => Some(Found::Bool(false)),
            Kind::Container => Some(Found::Container),
        }
    }

    /// Whether the item has something else where an object with wanted keys in it was expected.
    #[must_use]
    pub fn misshapen(&self) -> bool {
        self.misshapen
    }

    fn start(&mut self) {
        if self.crowded > MAX_LEARNED {
            self.forget();
        }
        self.item += 1;
        self.seen = 0;
        self.escaped.clear();
        self.misshapen = false;
    }

    /// Reads an object's members, from behind its bracket on.
    fn members(&mut self, text: &str, at: usize, parent: usize, depth: usize) -> Result<usize, Unusual> {
        let bytes = text.as_bytes();
        let mut at = space_end(bytes, at);
        if depth > MAX_DEPTH {
            return Err(Unusual);
        }
        if bytes.get(at) == Some(&b'}') {
            return Ok(at + 1);
        }
        let mut previous = NONE;
        let mut expected = self.nodes.get(parent).map_or(NONE, |node| node.first);
        loop {
            let node;
            (node, at) = match self.nodes.get(expected).map(|node| &node.lead) {
                Some(lead) if lead.stands(bytes, at) => (expected, at + lead.len()),
                _ => self.find(text, at, parent, previous)?,
            };
            at = space_end(bytes, at);
            let Some(key) = self.nodes.get_mut(node) else { return Err(Unusual) };
            if key.item == self.item {
                return Err(Unusual); // for the second time
            }
            key.item = self.item;
            self.seen |= key.bit;
            let from = at;
            (key.kind, key.from, at) = match bytes.get(at) {
                Some(b'"') => {
                    let (end, escaped) = text_end(bytes, at + 1)?;
                    if escaped && key.wanted() {
                        self.escaped.push(node);
                    }
                    key.to = end;
                    (Kind::Text, from + 1, end + 1)
                }
                Some(b'-' | b'0'..=b'9') => {
                    let end = number_end(bytes, at)?;
                    key.to = end;
                    (Kind::Number, from, end)
                }
                Some(b'n') => (Kind::Null, from, word_end(bytes, at, "null")?),
                Some(b't') => (Kind::True, from, word_end(bytes, at, "true")?),
                Some(b'f') => (Kind::False, from, word_end(bytes, at, "false")?),
                Some(_) => (Kind::Container, from, NONE),
                None => return Err(Unusual),
            };
            let odd = key.wanted_below && !key.wanted();
            expected = key.next;
            if at == NONE {
                at = self.container(text, from, node, depth)?;
            } else if odd {
                self.misshapen |= !matches!(self.nodes.get(node), Some(Node { kind: Kind::Null, .. }));
            }
            at = space_end(bytes, at);
            match bytes.get(at) {
                Some(b',') => at = space_end(bytes, at + 1),
                Some(b'}') => return Ok(at + 1),
                _ => return Err(Unusual),
            }
            previous = node;
        }
    }

    /// Reads the object or array at `from`, the value of `node`.
    fn container(&mut self, text: &str, from: usize, node: usize, depth: usize) -> Result<usize, Unusual> {
        let wanted_below = self.nodes.get(node).is_some_and(|node| node.wanted_below);
        if text.as_bytes().get(from) == Some(&b'{') {
            match self.members(text, from + 1, node, depth + 1) {
                Err(Unusual) if !wanted_below => {} // nothing in it is wanted: no need to read all again
                read => {
                    self.opened(node);
                    return read;
                }
            }
        }
        let mut scan = Scan::nested(text, from, depth, &mut self.keys);
        let raw = scan.skip_raw()?;
        let end = scan.position();
        self.array(node, raw);
        Ok(end)
    }

    /// Notes an object that holds wanted places: its own place then has no scalar, which is no mistake.
    fn opened(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node).filter(|node| node.wanted_below) {
            node.kind = Kind::Null;
        }
    }

    /// Notes an array where something else may have been wanted.
    fn array(&mut self, node: usize, raw: &str) {
        let Some(node) = self.nodes.get_mut(node).filter(|_| raw.starts_with('[')) else { return };
        // Some languages write an empty map as `[]`.
        if raw.get(1..raw.len() - 1).is_some_and(|inner| inner.trim_ascii().is_empty()) {
            node.kind = Kind::Null;
        } else {
            self.misshapen |= node.wanted_below && !node.wanted();
        }
    }

    /// Reads a key that was not expected here; learns it when there is room.
    #[cold]
    fn find(&mut self, text: &str, at: usize, parent: usize, previous: usize) -> Result<(usize, usize), Unusual> {
        let bytes = text.as_bytes();
        if bytes.get(at) != Some(&b'"') {
            return Err(Unusual);
        }
        let (end, escaped) = text_end(bytes, at + 1)?;
        let colon = space_end(bytes, end + 1);
        let Some(key) = text.get(at + 1..end).filter(|_| !escaped && bytes.get(colon) == Some(&b':')) else { return Err(Unusual) };
        let node = match self.child(parent, key.as_bytes(), NONE) {
            Some(node) => node,
            None if self.nodes.len() < self.wanted + MAX_LEARNED => self.add(parent, key),
            None => {
                self.crowded += 1;
                return Err(Unusual);
            }
        };
        match self.nodes.get_mut(previous) {
            Some(previous) => previous.next = node,
            None => self.nodes.get_mut(parent).into_iter().for_each(|parent| parent.first = node),
        }
        Ok((node, colon + 1))
    }

    /// The child of this key, among the nodes up to number `below`.
    fn child(&self, parent: usize, key: &[u8], below: usize) -> Option<usize> {
        let children = &self.nodes.get(parent)?.children; // in order of their numbers
        let mut below = children.iter().copied().take_while(|child| *child < below);
        below.find(|child| self.nodes.get(*child).is_some_and(|node| node.key() == key))
    }

    fn add(&mut self, parent: usize, key: &str) -> usize {
        let node = self.nodes.len();
        self.nodes.push(Node::new(key));
        if let Some(parent) = self.nodes.get_mut(parent) {
            parent.children.push(node);
        }
        node
    }

    /// Forgets the learned keys: they came in such numbers that most were of one time only.
    fn forget(&mut self) {
        self.crowded = 0;
        self.nodes.truncate(self.wanted);
        for node in &mut self.nodes {
            node.children.retain(|child| *child < self.wanted);
            node.first = NONE;
            node.next = NONE;
        }
    }

    /// Reads an object strictly. Learns nothing.
    fn walk(&mut self, scan: &mut Scan<'_, '_>, parent: usize) -> Result<(), Fault> {
        scan.object(|scan, key| {
            let child = match key.as_plain() {
                Some(plain) => self.child(parent, plain.as_bytes(), self.wanted),
                None => {
                    let mut plain = String::new();
                    key.unescape_into(&mut plain);
                    self.child(parent, plain.as_bytes(), self.wanted)
                }
            };
            let Some(node) = child else { return scan.skip() };
            let wanted_below = self.nodes.get(node).is_some_and(|node| node.wanted_below);
            let value = scan.value()?;
            let end = scan.position();
            let (kind, length) = match value {
                Value::Text(text) => {
                    if text.as_plain().is_none() {
                        self.escaped.push(node);
                    }
                    (Kind::Text, text.raw().len() + 1)
                }
                Value::Number(number) => (Kind::Number, number.len()),
                Value::Bool(true) => (Kind::True, 0),
                Value::Bool(false) => (Kind::False, 0),
                Value::Null => (Kind::Null, 0),
                Value::Object | Value::Array => (Kind::Container, 0),
            };
            if let Some(node) = self.nodes.get_mut(node) {
                node.item = self.item;
                self.seen |= node.bit;
                node.kind = kind;
                node.from = end - length;
                node.to = end - usize::from(matches!(kind, Kind::Text));
                self.misshapen |= node.wanted_below && !node.wanted() && !matches!(kind, Kind::Null | Kind::Container);
            }
            match value {
                Value::Object if wanted_below => {
                    self.opened(node);
                    self.walk(scan, node)
                }
                Value::Object | Value::Array => scan.skip_raw().map(|raw| self.array(node, raw)),
                _ => Ok(()),
            }
        })
    }

    /// Undoes the escapes of the wanted texts.
    #[cold]
    fn unescape(&mut self, text: &str) {
        self.unescaped.clear();
        for node in &self.escaped {
            let Some(node) = self.nodes.get_mut(*node) else { continue };
            let from = self.unescaped.len();
            Text::checked(text.get(node.from..node.to).unwrap_or_default(), true).unescape_into(&mut self.unescaped);
            (node.kind, node.from, node.to) = (Kind::Unescaped, from, self.unescaped.len());
        }
    }
}

#[cfg(test)]
mod tests;
