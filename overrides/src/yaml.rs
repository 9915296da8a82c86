//! YAML with places: a tree of texts, lists and maps in which every part knows its bytes in the file.
//!
//! Only what a file of overrides needs: one document, no anchors, aliases, tags or complex keys (each refused where it stands, before any
//! of it is expanded), a bounded number of parts and depth. Scalars stay texts; what they mean is decided by whoever reads them. Serde is
//! not used for that: it stops at the first mistake and cannot say where the third letter of an expression is.

use crate::diagnostic::{Code, Diagnostic, Span};
use saphyr_parser::{Event, Parser, ScalarStyle};

/// Most parts of a file.
const MAX_PARTS: usize = 4096;
/// Deepest nesting.
const MAX_DEPTH: usize = 8;

/// A part of a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// Text, and whether it was quoted or a block: then it is no number.
    Scalar(String, bool),
    List(Vec<Node>),
    /// Keys in the order of the file; none twice.
    Map(Vec<(Key, Node)>),
}

/// Key of a map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) name: String,
}

/// The tree of a file; an empty file is an empty map.
pub(crate) fn parse(source: &str) -> Result<Node, Diagnostic> {
    let mut reader = Reader { source, starts: byte_starts(source), parser: Parser::new_from_str(source).keep_tags(true), parts: 0 };
    let mut root = None;
    loop {
        let (event, span) = reader.next()?;
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(_) if root.is_some() => return Err(Diagnostic::error(Code::Yaml, span, "a second document")),
            Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd | Event::Nothing => {}
            event => root = Some(reader.node(event, span, 0)?),
        }
    }
    Ok(root.unwrap_or(Node { span: Span::default(), value: Value::Map(Vec::new()) }))
}

/// Byte where each character starts, and the end: the parser counts characters.
fn byte_starts(source: &str) -> Vec<usize> {
    source.char_indices().map(|(at, _)| at).chain([source.len()]).collect()
}

struct Reader<'s> {
    source: &'s str,
    starts: Vec<usize>,
    parser: Parser<'s, saphyr_parser::StrInput<'s>>,
    parts: usize,
}

impl<'s> Reader<'s> {
    fn byte(&self, character: usize) -> usize {
        self.starts.get(character).copied().unwrap_or(self.source.len())
    }

    fn next(&mut self) -> Result<(Event<'s>, Span), Diagnostic> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let span = Span { start: self.byte(span.start.index()), end: self.byte(span.end.index()) };
                Ok((event, span))
            }
            Some(Err(error)) => {
                let start = self.byte(error.marker().index());
                let found = Diagnostic::error(Code::Yaml, Span { start, end: start }, format!("not YAML: {}", error.info()));
                let line = self.source.get(..start).unwrap_or_default().rsplit('\n').next().unwrap_or_default().len();
                let line = self.source.get(start - line..).unwrap_or_default().lines().next().unwrap_or_default();
                // The commonest mistake: to YAML, the `: ` of a choice is a key.
                let choice = line.contains(" ? ") || line.contains(" : ");
                Err(if choice { found.help("put an expression in quotes, or on its own line behind `|`") } else { found })
            }
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn node(&mut self, event: Event<'s>, span: Span, depth: usize) -> Result<Node, Diagnostic> {
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(Diagnostic::error(Code::Limit, span, format!("more than {MAX_PARTS} parts")));
        }
        if depth > MAX_DEPTH {
            return Err(Diagnostic::error(Code::Limit, span, format!("nested more than {MAX_DEPTH} deep")));
        }
        let refused = |what: &str| Diagnostic::error(Code::Yaml, span, format!("{what} are not allowed"));
        match event {
            Event::Alias(_) => Err(refused("aliases")),
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _) if anchor != 0 => {
                Err(refused("anchors"))
            }
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => Err(refused("tags")),
            Event::Scalar(text, style, ..) => Ok(Node { span, value: Value::Scalar(text.into_owned(), style != ScalarStyle::Plain) }),
            Event::SequenceStart(..) => self.list(span, depth),
            Event::MappingStart(..) => self.map(span, depth),
            _ => Err(refused("such things")),
        }
    }

    fn list(&mut self, start: Span, depth: usize) -> Result<Node, Diagnostic> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, end) => return Ok(Node { span: start.to(end), value: Value::List(list) }),
                (event, span) => list.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, start: Span, depth: usize) -> Result<Node, Diagnostic> {
        let mut map: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Node { span: start.to(span), value: Value::Map(map) });
            }
            let key = self.node(event, span, depth + 1)?;
            let Value::Scalar(name, _) = key.value else {
                return Err(Diagnostic::error(Code::Yaml, span, "a key is a text"));
            };
            if map.iter().any(|(known, _)| known.name == name) {
                return Err(Diagnostic::error(Code::Duplicate, span, format!("key `{name}` stands here twice")));
            }
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            map.push((Key { span: key.span, name }, value));
        }
    }
}

/// Place in the file of bytes of a scalar's text, whatever its style: quotes, escapes, indentation and folded lines lie between.
///
/// The letters of the text stand in the file in the same order, with only white space, quotes and backslashes between them. Where an
/// escape wrote a letter as something else, the place is the nearest before it.
pub(crate) fn place_within(source: &str, scalar: Span, text: &str, part: Span) -> Span {
    let written = source.get(scalar.start..scalar.end).unwrap_or_default();
    let (mut start, mut end) = (None, None);
    let mut at = 0;
    for (byte, sign) in text.char_indices() {
        if sign.is_whitespace() {
            continue;
        }
        if byte >= part.end && end.is_some() {
            break;
        }
        let rest = written.get(at..).unwrap_or_default();
        let skipped = rest.find(|c: char| c == sign || !(c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))).unwrap_or(rest.len());
        // A quote that opens the scalar is not the same quote within it.
        let skipped = if at == 0 && skipped == 0 && written.starts_with(['"', '\'']) { 1 + inner(written, sign) } else { skipped };
        if !written.get(at + skipped..).unwrap_or_default().starts_with(sign) {
            break;
        }
        if start.is_none() && byte >= part.start {
            start = Some(at + skipped);
        }
        at += skipped + sign.len_utf8();
        if byte < part.end {
            end = Some(at);
        }
    }
    let start = scalar.start + start.unwrap_or(at);
    Span { start, end: (scalar.start + end.unwrap_or(at)).max(start) }
}

/// How far behind an opening quote a sign stands.
fn inner(written: &str, sign: char) -> usize {
    let rest = written.get(1..).unwrap_or_default();
    rest.find(|c: char| c == sign || !(c.is_whitespace() || matches!(c, '"' | '\'' | '\\'))).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests;
