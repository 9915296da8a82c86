//! Cuts a large OTLP request into smaller ones of the same meaning, between spans (or metrics): each repeats the resource and scope of
//! its spans.
//!
//! Protobuf is walked on the wire and never decoded into messages; JSON is walked as raw values. Fields that are not known are kept.

use super::refusal::Refusal;
use super::split::{Piece, not_json, rebuilt};
use golden_pipeline::decode::{MAX_ITEM, Reason};
use platform_core::codec::{CodecError, Cursor, put_bytes, put_u64};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;

/// Bytes that a span, or a group of spans, takes beside its content: tags, lengths, punctuation.
const PER_SPAN: usize = 8;
const PER_GROUP: usize = 96;

/// A span's surroundings: all fields of its resource and of its scope but the nested lists, in the form of the encoding.
struct Heads {
    resource: Vec<u8>,
    scope: Vec<u8>,
}

/// Spans of one scope, in order.
struct Group<'a> {
    heads: Heads,
    spans: Vec<&'a [u8]>,
}

pub(super) fn split_proto(body: &[u8]) -> Result<Vec<Piece<'static>>, Refusal> {
    let groups = proto_groups(body).map_err(|e| Refusal::Unreadable { reason: Reason::DecodeProtobuf, detail: e.to_string() })?;
    Ok(pack(&groups, put_proto, b""))
}

pub(super) fn split_json(body: &[u8], lists: &Lists) -> Result<Vec<Piece<'static>>, Refusal> {
    let groups = json_groups(body, lists).map_err(|e| not_json(&e))?;
    Ok(pack(&groups, |out, heads, spans| put_json(out, lists, heads, spans), b"]}"))
}

/// What the nested lists are called in JSON, by today's and by an older name. In Protobuf those of metrics have the numbers of traces.
pub(super) struct Lists {
    resources: [&'static str; 2],
    scopes: [&'static str; 2],
    items: [&'static str; 2],
}

/// Of traces.
pub(super) const TRACES: Lists =
    Lists { resources: ["resourceSpans", "batches"], scopes: ["scopeSpans", "instrumentationLibrarySpans"], items: ["spans", "spans"] };
/// Of metrics.
pub(super) const METRICS: Lists = Lists {
    resources: ["resourceMetrics", "resourceMetrics"],
    scopes: ["scopeMetrics", "instrumentationLibraryMetrics"],
    items: ["metrics", "metrics"],
};

/// Puts spans into pieces, in order; each piece ends with `end`.
fn pack(groups: &[Group<'_>], put: impl Fn(&mut Vec<u8>, &Heads, &[&[u8]]), end: &[u8]) -> Vec<Piece<'static>> {
    let mut pieces = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    let close = |open: &mut Vec<u8>, pieces: &mut Vec<Piece<'static>>| {
        if !open.is_empty() {
            open.extend_from_slice(end);
            pieces.push(rebuilt(std::mem::take(open)));
        }
    };
    for Group { heads, spans } in groups {
        let around = heads.resource.len() + heads.scope.len() + PER_GROUP;
        let mut rest = spans.as_slice();
        while let Some((first, others)) = rest.split_first() {
            if around + first.len() + PER_SPAN > MAX_ITEM {
                close(&mut open, &mut pieces);
                pieces.push(Piece::Oversized { offset: 0 });
                rest = others;
                continue;
            }
            let mut room = MAX_ITEM.saturating_sub(open.len() + around);
            let mut fits = |span: &[u8]| {
                let left = room.checked_sub(span.len() + PER_SPAN);
                room = left.unwrap_or(room);
                left.is_some()
            };
            let (now, later) = rest.split_at(rest.iter().take_while(|span| fits(span)).count());
            if now.is_empty() {
                close(&mut open, &mut pieces);
            } else {
                put(&mut open, heads, now);
                rest = later;
            }
        }
    }
    close(&mut open, &mut pieces);
    pieces
}

/// One field of a message: its number, itself with its tag, and its content when it has a length.
struct Field<'a> {
    number: u64,
    whole: &'a [u8],
    content: Option<&'a [u8]>,
}

fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, CodecError>> {
    let mut cursor = Cursor::new(message);
    std::iter::from_fn(move || {
        if cursor.is_empty() {
            return None;
        }
        let field = field(&mut cursor);
        if field.is_err() {
            cursor = Cursor::new(&[]);
        }
        Some(field)
    })
}

fn field<'a>(cursor: &mut Cursor<'a>) -> Result<Field<'a>, CodecError> {
    let before = cursor.rest();
    let tag = cursor.u64()?;
    let content = match tag & 7 {
        0 => cursor.u64().map(|_| None)?,
        1 => cursor.take(8).map(|_| None)?,
        2 => Some(cursor.bytes()?),
        5 => cursor.take(4).map(|_| None)?,
        kind => return Err(CodecError::Unknown { what: "wire type", value: kind }),
    };
    let length = before.len() - cursor.rest().len();
    Ok(Field { number: tag >> 3, whole: before.get(..length).unwrap_or_default(), content })
}

/// The contents of the repeated field `list`, and all other fields as they are.
fn apart(message: &[u8], list: u64) -> Result<(Vec<&[u8]>, Vec<u8>), CodecError> {
    let (mut items, mut head) = (Vec::new(), Vec::new());
    for field in fields(message) {
        let field = field?;
        match field.content {
            Some(content) if field.number == list => items.push(content),
            _ => head.extend_from_slice(field.whole),
        }
    }
    Ok((items, head))
}

fn proto_groups(body: &[u8]) -> Result<Vec<Group<'_>>, CodecError> {
    let mut groups = Vec::new();
    for resource_spans in apart(body, 1)?.0 {
        let (scopes, resource) = apart(resource_spans, 2)?;
        for scope_spans in scopes {
            let (spans, scope) = apart(scope_spans, 2)?;
            groups.push(Group { heads: Heads { resource: resource.clone(), scope }, spans });
        }
    }
    Ok(groups)
}

fn put_proto(out: &mut Vec<u8>, heads: &Heads, spans: &[&[u8]]) {
    const RESOURCE_SPANS: u64 = 1 << 3 | 2;
    const LIST: u64 = 2 << 3 | 2;
    let mut scope_spans = heads.scope.clone();
    for span in spans {
        put_u64(&mut scope_spans, LIST);
        put_bytes(&mut scope_spans, span);
    }
    let mut resource_spans = heads.resource.clone();
    put_u64(&mut resource_spans, LIST);
    put_bytes(&mut resource_spans, &scope_spans);
    put_u64(out, RESOURCE_SPANS);
    put_bytes(out, &resource_spans);
}

/// The fields of a JSON object, in order.
struct Object<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    fields.push(entry);
                }
                Ok(Object(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

impl<'a> Object<'a> {
    /// The elements of the lists of these names, and all other fields as text.
    fn apart(self, lists: [&str; 2]) -> Result<(Vec<&'a RawValue>, Vec<u8>), serde_json::Error> {
        let (mut items, mut head) = (Vec::new(), Vec::new());
        for (name, value) in self.0 {
            if lists.contains(&&*name) {
                items.extend(serde_json::from_str::<Option<Vec<&RawValue>>>(value.get())?.unwrap_or_default());
            } else {
                serde_json::to_writer(&mut head, &name)?;
                head.push(b':');
                head.extend_from_slice(value.get().as_bytes());
                head.push(b',');
            }
        }
        Ok((items, head))
    }
}

fn json_groups<'a>(body: &'a [u8], lists: &Lists) -> Result<Vec<Group<'a>>, serde_json::Error> {
    let mut groups = Vec::new();
    let request: Object<'_> = serde_json::from_slice(body)?;
    for resource_spans in request.apart(lists.resources)?.0 {
        let (scopes, resource) = serde_json::from_str::<Object<'_>>(resource_spans.get())?.apart(lists.scopes)?;
        for scope_spans in scopes {
            let (spans, scope) = serde_json::from_str::<Object<'_>>(scope_spans.get())?.apart(lists.items)?;
            let spans = spans.into_iter().map(|span| span.get().as_bytes()).collect();
            groups.push(Group { heads: Heads { resource: resource.clone(), scope }, spans });
        }
    }
    Ok(groups)
}

fn put_json(out: &mut Vec<u8>, lists: &Lists, heads: &Heads, spans: &[&[u8]]) {
    let [resources, _] = lists.resources;
    let [scopes, _] = lists.scopes;
    let [items, _] = lists.items;
    if out.is_empty() {
        out.extend_from_slice(format!("{{\"{resources}\":[{{").as_bytes());
    } else {
        out.extend_from_slice(b",{");
    }
    out.extend_from_slice(&heads.resource);
    out.extend_from_slice(format!("\"{scopes}\":[{{").as_bytes());
    out.extend_from_slice(&heads.scope);
    out.extend_from_slice(format!("\"{items}\":[").as_bytes());
    for (i, span) in spans.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(span);
    }
    out.extend_from_slice(b"]}]}");
}
