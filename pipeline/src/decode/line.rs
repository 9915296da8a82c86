//! Access logs: a record's lines or objects one by one, and the pieces that their formats share.
//!
//! A line that is bad is one dead letter; its neighbours are read. Inside a JSON array, and in an object over several lines, what follows a
//! fault cannot be told apart and is dead with it.

use crate::decode::fields::{Layer, Names, Refusal, Slot};
use crate::decode::json::scan::{Fault, FaultKind, Keys, Scan, Text, Value};
use crate::decode::{Items, MAX_ITEM, Reason};
use crate::operation;
use crate::source::OperationRule;

/// Gives every line that is not blank to `read`, with its byte offset; what `read` refuses goes to `items`.
pub(crate) fn each_line<'a>(
    value: &'a [u8],
    items: &mut dyn Items,
    mut read: impl FnMut(u32, &'a str, &mut dyn Items) -> Result<(), Refusal>,
) {
    if value.is_empty() {
        Refusal::from(Reason::EmptyValue).tell(0, value, items);
    }
    let mut from = 0;
    for line in value.split(|b| *b == b'\n') {
        let at = offset(from);
        from += line.len() + 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let result = match std::str::from_utf8(line) {
            _ if line.len() > MAX_ITEM => Err(Reason::SizeExceeded.into()),
            Ok(text) => read(at, text, items),
            Err(_) => Err(Reason::DecodeUtf8.into()),
        };
        if let Err(refusal) = result {
            refusal.tell(at, line, items);
        }
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Where an object starts, its text, and what is wrong with it.
pub(crate) struct Object<'a> {
    pub(crate) at: u32,
    pub(crate) text: &'a str,
    pub(crate) result: Result<(), Refusal>,
}

/// Walks the objects of a record: one, one a line, or an array of them.
pub(crate) struct Objects<'a> {
    text: &'a str,
    at: usize,
    /// Added to offsets: the text may be a part of the record.
    base: usize,
    array: bool,
}

impl<'a> Objects<'a> {
    /// Before the first object of `text`, which lies at `base` in its record.
    pub(crate) fn new(text: &'a str, base: usize) -> Self {
        let at = text.len() - text.trim_ascii_start().len();
        let array = text.as_bytes().get(at) == Some(&b'[');
        let mut objects = Self { text, at: at + usize::from(array), base, array };
        if array && objects.next_byte() == Some(b']') {
            objects.at += 1; // an empty array; what follows it is a fault of `next`
            objects.array = false;
        }
        objects
    }

    /// Reads the next object with `read`, which must read one value.
    pub(crate) fn next(
        &mut self,
        keys: &mut Keys,
        read: impl FnOnce(&mut Scan<'a, '_>) -> Result<Result<(), Refusal>, Fault>,
    ) -> Option<Object<'a>> {
        self.next_byte()?;
        let from = self.at;
        let mut scan = Scan::nested(self.text, from, usize::from(self.array), keys);
        let result = match read(&mut scan) {
            Ok(result) => {
                self.at = scan.position();
                self.separated().map(|()| result)
            }
            Err(fault) => Err(fault),
        };
        let (to, result) = match result {
            Ok(result) => (self.at, result),
            Err(fault) => (self.give_up(from, fault), Err(Refusal::Dead(fault.reason(), fault.what()))),
        };
        // The separator belongs to nobody, but is no harm in a dead letter either.
        let text = self.text.get(from..to).unwrap_or_default();
        let result = if text.len() > MAX_ITEM { Err(Reason::SizeExceeded.into()) } else { result };
        Some(Object { at: offset(self.base + from), text, result })
    }

    /// Next byte that is no white space.
    fn next_byte(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    /// Passes what stands between two objects: a comma in an array, else a line's end.
    fn separated(&mut self) -> Result<(), Fault> {
        let fault = |at, kind| Err(Fault { at: offset(at), kind });
        let behind = self.at;
        match (self.next_byte(), self.array) {
            (Some(b','), true) => {
                self.at += 1;
                if matches!(self.next_byte(), None | Some(b']')) { fault(self.at, FaultKind::Byte) } else { Ok(()) }
            }
            (Some(b']'), true) => {
                self.at += 1;
                self.array = false;
                if self.next_byte().is_some() { fault(self.at, FaultKind::Trailing) } else { Ok(()) }
            }
            (None, true) => fault(self.at, FaultKind::End),
            (Some(_), true) => fault(self.at, FaultKind::Byte),
            (None, false) => Ok(()),
            (Some(_), false) => {
                let gap = self.text.get(behind..self.at).unwrap_or_default();
                if gap.contains('\n') { Ok(()) } else { fault(self.at, FaultKind::Trailing) }
            }
        }
    }

    /// Goes on behind a fault: on the next line, when the object was on one line; else nowhere. Returns where the bad part ends.
    fn give_up(&mut self, from: usize, fault: Fault) -> usize {
        let rest = self.text.get(from..).unwrap_or_default();
        let line = from + rest.find('\n').unwrap_or(rest.len());
        let to = if self.array || usize::try_from(fault.at).unwrap_or(usize::MAX) > line { self.text.len() } else { line };
        self.at = to;
        self.array = false;
        to
    }
}

/// Gives the parts of a record that can be walked as `Objects` to `walk`: the whole, or line by line when it is not all UTF-8.
pub(crate) fn each_text<'a>(value: &'a [u8], items: &mut dyn Items, mut walk: impl FnMut(Objects<'a>, &mut dyn Items)) {
    match std::str::from_utf8(value) {
        Ok("") => Refusal::from(Reason::EmptyValue).tell(0, value, items),
        Ok(text) => walk(Objects::new(text, 0), items),
        Err(_) => {
            let mut from = 0;
            for line in value.split(|b| *b == b'\n') {
                match std::str::from_utf8(line) {
                    Ok(text) => walk(Objects::new(text, from), items),
                    Err(_) => Refusal::from(Reason::DecodeUtf8).tell(offset(from), line, items),
                }
                from += line.len() + 1;
            }
        }
    }
}

/// Reads an object of scalars and keeps the texts of the names that are looked for. `-`, empty and `null` are absent.
pub(crate) fn flat_object<'a>(
    scan: &mut Scan<'a, '_>,
    names: &Names,
    layer: &mut Layer<'a>,
    kept: &mut String,
) -> Result<Result<(), Refusal>, Fault> {
    match scan.value()? {
        Value::Object => {}
        other => {
            if let Value::Array = other {
                scan.skip()?;
            }
            return Ok(Err(Refusal::Dead(Reason::SchemaMismatch, "the item is no object")));
        }
    }
    scan.object(|scan, key| {
        let Some(name) = named(names, key, kept) else { return scan.skip() };
        if let Some(slot) = scalar(scan, kept)? {
            set(layer, name, slot, kept);
        }
        Ok(())
    })?;
    Ok(Ok(()))
}

/// The number of a key that is looked for; an escaped key is one like any other.
pub(crate) fn named(names: &Names, key: Text<'_>, kept: &mut String) -> Option<u8> {
    if let Some(plain) = key.as_plain() {
        return names.get(plain);
    }
    let mark = kept.len();
    key.unescape_into(kept);
    let number = kept.get(mark..).and_then(|name| names.get(name));
    kept.truncate(mark);
    number
}

/// A scalar as text; `null`, objects and arrays are none.
pub(crate) fn scalar<'a>(scan: &mut Scan<'a, '_>, kept: &mut String) -> Result<Option<Slot<'a>>, Fault> {
    let value = scan.value()?;
    if let Value::Object | Value::Array = value {
        scan.skip()?;
    }
    Ok(slot_of(value, kept))
}

/// The text of a scalar that has been read.
pub(crate) fn slot_of<'a>(value: Value<'a>, kept: &mut String) -> Option<Slot<'a>> {
    match value {
        Value::Text(text) => Some(text_slot(text, kept)),
        Value::Number(text) => Some(Slot::Borrowed(text)),
        Value::Bool(true) => Some(Slot::Borrowed("true")),
        Value::Bool(false) => Some(Slot::Borrowed("false")),
        Value::Null | Value::Object | Value::Array => None,
    }
}

/// A text, unescaped if it must be.
fn text_slot<'a>(text: Text<'a>, kept: &mut String) -> Slot<'a> {
    text.as_plain().map_or_else(
        || {
            let from = kept.len();
            text.unescape_into(kept);
            Slot::Kept(from, kept.len())
        },
        Slot::Borrowed,
    )
}

/// Keeps a field of a log unless it is `-` or empty, which both mean that it is absent.
pub(crate) fn set<'a>(layer: &mut Layer<'a>, name: u8, slot: Slot<'a>, kept: &str) {
    if !matches!(slot.text(kept), "" | "-") {
        layer.set(name, slot);
    }
}

/// `METHOD target HTTP/1.1` as method and target; the target may hold spaces, and the protocol may be absent.
pub(crate) fn request_line(line: &str) -> (&str, &str) {
    let Some((method, rest)) = line.split_once(' ') else { return (line, "") };
    let target = match rest.rsplit_once(' ') {
        Some((target, protocol)) if protocol.starts_with("HTTP/") => target,
        _ if rest.starts_with("HTTP/") => "",
        _ => rest,
    };
    (method, target)
}

/// Writes the operation of a request with this method and path; nothing without a method.
pub(crate) fn write_operation(out: &mut String, rule: OperationRule, method: &str, path: &str) {
    out.clear();
    if path.is_empty() {
        out.push_str(if method.is_empty() { "" } else { operation::method(method) });
    } else if method.is_empty() {
        operation::push_template(out, path);
    } else if rule == OperationRule::Template {
        operation::with_path(out, method, path);
    } else {
        operation::with_route(out, method, path);
    }
}

/// Reads `"…"` off the front, where a backslash hides the next character, as Apache and nginx write it.
pub(crate) fn quoted(text: &str) -> Option<(&str, &str)> {
    let text = text.strip_prefix('"')?;
    let mut hidden = false;
    let end = text.bytes().position(|b| {
        let ends = b == b'"' && !hidden;
        hidden = b == b'\\' && !hidden;
        ends
    })?;
    Some((text.get(..end)?, text.get(end + 1..)?))
}

/// What `combined` and ingress-nginx begin with.
pub(crate) struct Head<'a> {
    pub(crate) address: &'a str,
    pub(crate) user: &'a str,
    pub(crate) time: &'a str,
    pub(crate) request: &'a str,
    pub(crate) status: &'a str,
    pub(crate) bytes: &'a str,
}

impl<'a> Head<'a> {
    /// Reads `address ident user [time] "request" status bytes` off the front; what follows starts behind a space, or is empty.
    ///
    /// The caller chooses the user's name, with spaces and brackets in it if it likes, but no quotes: so the time is what stands in the last
    /// brackets before the first quote.
    pub(crate) fn read(line: &'a str) -> Option<(Self, &'a str)> {
        let (front, rest) = line.split_at_checked(line.find('"')?)?;
        let (who, time) = front.strip_suffix("] ")?.rsplit_once(" [")?;
        let (address, names) = who.split_once(' ')?;
        let (_, user) = names.split_once(' ')?;
        let (request, rest) = quoted(rest)?;
        let (status, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
        let (bytes, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let number = |text: &str| text == "-" || (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
        let valid = number(status) && number(bytes) && !address.is_empty();
        valid.then_some((Self { address, user, time, request, status, bytes }, rest))
    }
}

/// Reads `"referrer" "agent"` off the front.
pub(crate) fn referrer_and_agent(text: &str) -> Option<(&str, &str, &str)> {
    let (referrer, rest) = quoted(text)?;
    let (agent, rest) = quoted(rest.strip_prefix(' ')?)?;
    Some((referrer, agent, rest))
}

#[cfg(test)]
mod tests;
