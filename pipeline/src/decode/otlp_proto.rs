//! `ExportTraceServiceRequest` in Protobuf, walked field by field where it lies: no tree, no allocation.
//!
//! The containers (request, resource spans, scope spans) are walked to their ends before any span is read: if one is broken, the record is
//! one dead letter. A span is bounded by its own length, so a broken one is dead alone. Unknown fields are passed over by their wire type.
//! A text is checked to be UTF-8 only where it is used.

use crate::decode::fields::{Layer, Name, Refusal, Slot, View};
use crate::decode::span::{Dialect, HOST_NAME, Item, Kind, SERVER_ADDRESS, Span, Spans, threshold};
use crate::decode::{Decoder, Input, Items, MAX_DEPTH, Reason, Wanted};
use crate::source::Source;
use platform_core::codec::{CodecError, Cursor};
use std::fmt::Write as _;

/// Where a span's attributes lie, counted in messages from the request.
const ATTRIBUTE_DEPTH: usize = 5;

/// Meaning of OTLP spans, in both encodings.
pub(super) const DIALECT: Dialect = Dialect { unknown_service: "unknown_service", host: &[HOST_NAME, SERVER_ADDRESS], shared_ids: false };

/// Reads OTLP in Protobuf.
pub struct OtlpProto {
    spans: Spans,
    /// Numbers among the attributes as text: those of the resource, then of the scope, then of the span.
    kept: String,
}

impl OtlpProto {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self { spans: Spans::new(DIALECT, source, wanted), kept: String::new() }
    }
}

impl Decoder for OtlpProto {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let checked = if input.value.is_empty() { Err(Reason::EmptyValue) } else { check(input.value) };
        if let Err(reason) = checked {
            return Refusal::from(reason).tell(0, input.value, items);
        }
        let mut layers = Layers::default();
        let mut at = 0;
        for resource_spans in messages(input.value, 1) {
            self.kept.clear();
            layers.resource.clear();
            // A resource, a scope: one that comes twice is merged, as Protobuf says. It may stand behind its spans.
            let outer = messages(resource_spans, 1)
                .try_for_each(|resource| attributes(resource, 1, ATTRIBUTE_DEPTH - 1, &self.spans, &mut layers.resource, &mut self.kept));
            let resource_end = self.kept.len();
            for scope_spans in messages(resource_spans, 2) {
                self.kept.truncate(resource_end);
                layers.scope.clear();
                let outer = messages(scope_spans, 1)
                    .try_for_each(|scope| attributes(scope, 3, ATTRIBUTE_DEPTH, &self.spans, &mut layers.scope, &mut self.kept))
                    .and(outer);
                let scope_end = self.kept.len();
                for bytes in messages(scope_spans, 2) {
                    self.kept.truncate(scope_end);
                    layers.span.clear();
                    match span(bytes, &self.spans, &mut layers.span, &mut self.kept) {
                        // What the span is nested in matters to a span that counts, and to no other.
                        Ok(span) if outer.is_ok() || !self.spans.counts(span.kind) => {
                            let layers = [&layers.span, &layers.scope, &layers.resource];
                            self.spans.take(&span, &Item { at, view: View { layers: &layers, kept: &self.kept }, bytes, input }, items);
                        }
                        Ok(_) => Refusal::from(outer.err().unwrap_or(Reason::DecodeProtobuf)).tell(at, bytes, items),
                        Err(reason) => Refusal::from(reason).tell(at, bytes, items),
                    }
                    at += 1;
                }
            }
        }
    }
}

#[derive(Default)]
struct Layers<'a> {
    resource: Layer<'a>,
    scope: Layer<'a>,
    span: Layer<'a>,
}

/// A field's value on the wire.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    /// Passed over.
    Group,
}

/// Fields of a message in order; ends behind the first that cannot be read.
struct Fields<'a> {
    cursor: Option<Cursor<'a>>,
}

impl<'a> Fields<'a> {
    fn of(message: &'a [u8]) -> Self {
        Self { cursor: Some(Cursor::new(message)) }
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<(u32, Wire<'a>), Reason> {
        let (number, wire) = key(cursor)?;
        let value = match wire {
            0 => Wire::Varint(cursor.u64().map_err(broken)?),
            1 => Wire::Fixed64(u64::from_le_bytes(fixed(cursor)?)),
            2 => Wire::Bytes(cursor.bytes().map_err(broken)?),
            3 => {
                skip_group(cursor, number, 1)?;
                Wire::Group
            }
            5 => Wire::Fixed32(u32::from_le_bytes(fixed(cursor)?)),
            _ => return Err(Reason::DecodeProtobuf),
        };
        Ok((number, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Wire<'a>), Reason>;

    fn next(&mut self) -> Option<Self::Item> {
        let cursor = self.cursor.as_mut().filter(|cursor| !cursor.is_empty())?;
        let field = Self::read(cursor);
        if field.is_err() {
            self.cursor = None;
        }
        Some(field)
    }
}

fn broken(_: CodecError) -> Reason {
    Reason::DecodeProtobuf
}

fn fixed<const N: usize>(cursor: &mut Cursor<'_>) -> Result<[u8; N], Reason> {
    cursor.take(N).ok().and_then(|bytes| bytes.try_into().ok()).ok_or(Reason::DecodeProtobuf)
}

/// Number and wire type of a field.
fn key(cursor: &mut Cursor<'_>) -> Result<(u32, u8), Reason> {
    let key = u32::try_from(cursor.u64().map_err(broken)?).map_err(|_| Reason::DecodeProtobuf)?;
    if key >> 3 == 0 { Err(Reason::DecodeProtobuf) } else { Ok((key >> 3, (key & 7) as u8)) }
}

/// Passes over a group, an old form of nesting that new programs still have to skip.
fn skip_group(cursor: &mut Cursor<'_>, number: u32, depth: usize) -> Result<(), Reason> {
    if depth > MAX_DEPTH {
        return Err(Reason::DepthExceeded);
    }
    loop {
        let (inner, wire) = key(cursor)?;
        match wire {
            0 => drop(cursor.u64().map_err(broken)?),
            1 => drop(fixed::<8>(cursor)?),
            2 => drop(cursor.bytes().map_err(broken)?),
            3 => skip_group(cursor, inner, depth + 1)?,
            4 if inner == number => return Ok(()),
            5 => drop(fixed::<4>(cursor)?),
            _ => return Err(Reason::DecodeProtobuf),
        }
    }
}

/// The messages in a field, of a message that has been checked.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::of(message).filter_map(move |field| match field {
        Ok((n, Wire::Bytes(bytes))) if n == number => Some(bytes),
        _ => None,
    })
}

/// Whether the containers are whole: every field can be read, and those that hold messages do.
fn check(request: &[u8]) -> Result<(), Reason> {
    each_message(request, &[1], |_, resource_spans| {
        each_message(resource_spans, &[1, 2], |number, inner| match number {
            1 => each_message(inner, &[1], |_, _| Ok(())),
            _ => each_message(inner, &[1, 2], |number, inner| if number == 1 { each_message(inner, &[3], |_, _| Ok(())) } else { Ok(()) }),
        })
    })
}

fn each_message<'a>(message: &'a [u8], numbers: &[u32], mut inner: impl FnMut(u32, &'a [u8]) -> Result<(), Reason>) -> Result<(), Reason> {
    Fields::of(message).try_for_each(|field| match field? {
        (number, Wire::Bytes(bytes)) if numbers.contains(&number) => inner(number, bytes),
        (number, _) if numbers.contains(&number) => Err(Reason::DecodeProtobuf),
        _ => Ok(()),
    })
}

/// Reads the attributes in field `number` of a message; `depth` is theirs.
fn attributes<'a>(
    message: &'a [u8],
    number: u32,
    depth: usize,
    spans: &Spans,
    layer: &mut Layer<'a>,
    kept: &mut String,
) -> Result<(), Reason> {
    messages(message, number).try_for_each(|bytes| attribute(bytes, depth, spans, layer, kept))
}

/// Reads a `KeyValue` and keeps its value as text if the name is looked for.
fn attribute<'a>(bytes: &'a [u8], depth: usize, spans: &Spans, layer: &mut Layer<'a>, kept: &mut String) -> Result<(), Reason> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in Fields::of(bytes) {
        match field? {
            (1, Wire::Bytes(bytes)) => key = bytes,
            (2, Wire::Bytes(bytes)) => value = bytes,
            (1 | 2, _) => return Err(Reason::DecodeProtobuf),
            _ => {}
        }
    }
    // A name that is looked for is UTF-8; another need not be looked at.
    let name = std::str::from_utf8(key).ok().and_then(|key| spans.preset.names.get(key));
    any_value(value, depth + 1, name, layer, kept)
}

/// Walks an `AnyValue`, and keeps a scalar under `name`.
fn any_value<'a>(value: &'a [u8], depth: usize, name: Option<Name>, layer: &mut Layer<'a>, kept: &mut String) -> Result<(), Reason> {
    if depth > MAX_DEPTH {
        return Err(Reason::DepthExceeded);
    }
    // One of several fields: the last one counts.
    let mut last = None;
    for field in Fields::of(value) {
        match field? {
            (5, Wire::Bytes(array)) => {
                each_message(array, &[1], |_, value| any_value(value, depth + 2, None, layer, kept))?;
                last = None;
            }
            (6, Wire::Bytes(list)) => {
                each_message(list, &[1], |_, pair| each_message(pair, &[2], |_, value| any_value(value, depth + 3, None, layer, kept)))?;
                last = None;
            }
            (7, Wire::Bytes(_)) => last = None,
            field @ ((1, Wire::Bytes(_)) | (2 | 3, Wire::Varint(_)) | (4, Wire::Fixed64(_))) => last = Some(field),
            (1..=7, _) => return Err(Reason::DecodeProtobuf),
            _ => {}
        }
    }
    let Some((name, (number, scalar))) = name.zip(last) else { return Ok(()) };
    let from = kept.len();
    let slot = match (number, scalar) {
        (1, Wire::Bytes(text)) => Slot::Borrowed(std::str::from_utf8(text).map_err(|_| Reason::DecodeUtf8)?),
        (2, Wire::Varint(value)) => Slot::Borrowed(if value == 0 { "false" } else { "true" }),
        (_, Wire::Varint(value)) => {
            kept.push_str(itoa::Buffer::new().format(value.cast_signed()));
            Slot::Kept(from, kept.len())
        }
        (_, Wire::Fixed64(bits)) => {
            // Writing to a text cannot fail.
            let _ = write!(kept, "{}", f64::from_bits(bits));
            Slot::Kept(from, kept.len())
        }
        _ => return Ok(()),
    };
    layer.set(name, slot);
    Ok(())
}

/// Reads a span; only the kind of one that is not counted.
fn span<'a>(bytes: &'a [u8], spans: &Spans, layer: &mut Layer<'a>, kept: &mut String) -> Result<Span<'a>, Reason> {
    let mut span = Span::default();
    let (mut name, mut tracestate): (&[u8], &[u8]) = (&[], &[]);
    let (mut start, mut end) = (None, 0);
    for field in Fields::of(bytes) {
        match field? {
            (1, Wire::Bytes(id)) => span.trace_id = identifier(id, 16),
            (2, Wire::Bytes(id)) => span.span_id = identifier(id, 8).and_then(|id| u64::try_from(id).ok()),
            (3, Wire::Bytes(text)) => tracestate = text,
            (5, Wire::Bytes(text)) => name = text,
            // An enum is an int32 on the wire, cut to 32 bits.
            (6, Wire::Varint(kind)) => span.kind = Kind::from_number(i64::from(kind as i32)),
            (7, Wire::Fixed64(time)) => start = Some(time),
            (8, Wire::Fixed64(time)) => end = time,
            // The kind comes first in what SDKs write, so the attributes of most spans that are not counted are passed over.
            (9, Wire::Bytes(_)) if span.kind != Kind::Unspecified && !spans.counts(span.kind) => {}
            (9, Wire::Bytes(pair)) => attribute(pair, ATTRIBUTE_DEPTH, spans, layer, kept)?,
            (15, Wire::Bytes(status)) => {
                for field in Fields::of(status) {
                    match field? {
                        (3, Wire::Varint(code)) => span.failed = code as i32 == 2,
                        (3, _) => return Err(Reason::DecodeProtobuf),
                        _ => {}
                    }
                }
            }
            (16, Wire::Fixed32(flags)) => span.sampled = flags & 1 == 1,
            (1..=9 | 15 | 16, wire) if !matches!(wire, Wire::Bytes(_)) => return Err(Reason::DecodeProtobuf),
            (6..=8 | 16, _) => return Err(Reason::DecodeProtobuf),
            _ => {}
        }
    }
    (span.start, span.duration) = times(start, end);
    if spans.counts(span.kind) {
        span.name = Slot::Borrowed(std::str::from_utf8(name).map_err(|_| Reason::DecodeUtf8)?);
        span.threshold = if tracestate.is_empty() { 0 } else { std::str::from_utf8(tracestate).map_or(0, threshold) };
    }
    Ok(span)
}

/// An id of `length` bytes or fewer; nothing when it is empty, all zeros, or longer.
fn identifier(bytes: &[u8], length: usize) -> Option<u128> {
    let id = bytes.iter().fold(0_u128, |id, byte| id << 8 | u128::from(*byte));
    (bytes.len() <= length && id != 0).then_some(id)
}

/// Start and duration from start and end; an end of 0 is none.
pub(super) fn times(start: Option<u64>, end: u64) -> (Result<i64, Reason>, Result<Option<u64>, Reason>) {
    let Some(start) = start else { return (Err(Reason::TimeMissing), Ok(None)) };
    let time = i64::try_from(start).ok().filter(|time| *time > 0).ok_or(Reason::TimeInvalid);
    let duration = if end == 0 { Ok(None) } else { end.checked_sub(start).map(Some).ok_or(Reason::LatencyInvalid) };
    (time, duration)
}

#[cfg(test)]
pub(super) mod tests;
