//! Cuts a body into log records of at most `MAX_ITEM` bytes, at the borders of its items and nowhere else.
//!
//! A body that fits is one record, byte for byte as it came. Items keep their numbers: each piece knows where in the body it begins. An
//! item that fits into no record is named as oversized; the others go on. What an item says is the decoder's business.

use super::door::Shape;
use super::otlp;
use super::refusal::Refusal;
use golden_pipeline::decode::{MAX_ITEM, Reason};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A body in pieces.
#[derive(Debug, Default)]
pub(super) struct Split<'a> {
    pub pieces: Vec<Piece<'a>>,
    /// Items above `MAX_ITEM`, as numbered in the body.
    pub oversized: Vec<u32>,
}

/// One record to be.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// What to add to an item's place in this record for its place in the body.
    pub base: u32,
}

/// Cuts `body`.
pub(super) fn split(body: &[u8], shape: Shape) -> Result<Split<'_>, Refusal> {
    if shape == Shape::Batch {
        return batch(body);
    }
    if body.len() <= MAX_ITEM {
        return Ok(Split { pieces: vec![Piece { bytes: body.into(), base: 0 }], oversized: Vec::new() });
    }
    match shape {
        Shape::Lines => Ok(lines(body)),
        Shape::Json if body.trim_ascii_start().first() == Some(&b'[') => array(body),
        Shape::Json => objects(body),
        Shape::OtlpProto => otlp::split_proto(body),
        Shape::OtlpJson => otlp::split_json(body),
        Shape::Batch | Shape::Single => Ok(Split { pieces: Vec::new(), oversized: vec![0] }),
    }
}

pub(super) fn not_json(error: &serde_json::Error) -> Refusal {
    let detail = format!("not JSON at line {}, column {}", error.line(), error.column());
    Refusal::Unreadable { reason: Reason::DecodeJson, detail }
}

fn elements(body: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    serde_json::from_slice(body).map_err(|e| not_json(&e))
}

fn batch(body: &[u8]) -> Result<Split<'_>, Refusal> {
    let mut split = Split::default();
    for (element, base) in elements(body)?.into_iter().zip(0..) {
        let bytes = element.get().as_bytes();
        if bytes.len() > MAX_ITEM {
            split.oversized.push(base);
        } else {
            split.pieces.push(Piece { bytes: bytes.into(), base });
        }
    }
    Ok(split)
}

fn array(body: &[u8]) -> Result<Split<'_>, Refusal> {
    let mut split = Split::default();
    let mut open: Option<(Vec<u8>, u32)> = None;
    let close = |open: &mut Option<(Vec<u8>, u32)>, split: &mut Split<'_>| {
        if let Some((mut bytes, base)) = open.take() {
            bytes.push(b']');
            split.pieces.push(Piece { bytes: bytes.into(), base });
        }
    };
    for (element, number) in elements(body)?.into_iter().zip(0..) {
        let bytes = element.get().as_bytes();
        if bytes.len() + 2 > MAX_ITEM {
            close(&mut open, &mut split);
            split.oversized.push(number);
            continue;
        }
        if open.as_ref().is_some_and(|(piece, _)| piece.len() + bytes.len() + 2 > MAX_ITEM) {
            close(&mut open, &mut split);
        }
        let (piece, _) = open.get_or_insert_with(|| (Vec::with_capacity(MAX_ITEM), number));
        piece.push(if piece.is_empty() { b'[' } else { b',' });
        piece.extend_from_slice(bytes);
    }
    close(&mut open, &mut split);
    Ok(split)
}

fn lines(body: &[u8]) -> Split<'_> {
    let ends = memchr::memchr_iter(b'\n', body).map(|at| at + 1).chain([body.len()]);
    ranges(body, ends)
}

/// Objects one after the other, over several lines or not.
fn objects(body: &[u8]) -> Result<Split<'_>, Refusal> {
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let mut ends = Vec::new();
    while let Some(object) = stream.next() {
        object.map_err(|e| not_json(&e))?;
        ends.push(stream.byte_offset());
    }
    Ok(ranges(body, ends.into_iter()))
}

/// Pieces of whole items, which end at `ends`. Places of items are byte offsets here.
fn ranges(body: &[u8], ends: impl Iterator<Item = usize>) -> Split<'_> {
    let mut pieces = Vec::new();
    let mut oversized = Vec::new();
    let base = |from| u32::try_from(from).unwrap_or(u32::MAX);
    let mut push = |from: usize, to: usize| {
        let bytes = body.get(from..to).unwrap_or_default();
        if !bytes.trim_ascii().is_empty() {
            pieces.push(Piece { bytes: bytes.into(), base: base(from) });
        }
    };
    let (mut from, mut upto) = (0, 0);
    for end in ends {
        if end - upto > MAX_ITEM {
            push(from, upto);
            oversized.push(base(upto));
            from = end;
        } else if end - from > MAX_ITEM {
            push(from, upto);
            from = upto;
        }
        upto = end;
    }
    push(from, upto);
    Split { pieces, oversized }
}

#[cfg(test)]
mod tests;
