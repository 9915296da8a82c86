//! Cuts a body into log records of at most `MAX_ITEM` bytes, at the borders of its items and nowhere else.
//!
//! A body that fits is one record, byte for byte as it came. Items stay in order. An item that fits into no record is named as oversized,
//! in its place; the others go on. What an item says is the decoder's business.

use super::door::Shape;
use super::otlp;
use super::refusal::Refusal;
use golden_pipeline::decode::{MAX_ITEM, Reason};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A record to be.
    Record {
        bytes: Cow<'a, [u8]>,
        /// Where in the body it begins; 0 when it was put together anew.
        offset: usize,
    },
    /// One item above `MAX_ITEM`.
    Oversized { offset: usize },
}

/// Cuts `body`.
pub(super) fn split(body: &[u8], shape: Shape) -> Result<Vec<Piece<'_>>, Refusal> {
    if shape == Shape::Batch {
        return batch(body);
    }
    if body.len() <= MAX_ITEM {
        return Ok(vec![Piece::Record { bytes: body.into(), offset: 0 }]);
    }
    match shape {
        Shape::Lines => Ok(ranges(body, memchr::memchr_iter(b'\n', body).map(|at| at + 1).chain([body.len()]))),
        Shape::Json if body.trim_ascii_start().first() == Some(&b'[') => array(body),
        Shape::Json => objects(body),
        Shape::OtlpProto => otlp::split_proto(body),
        Shape::OtlpJson => otlp::split_json(body, &otlp::TRACES),
        Shape::OtlpMetricsJson => otlp::split_json(body, &otlp::METRICS),
        Shape::Batch | Shape::Single => Ok(vec![Piece::Oversized { offset: 0 }]),
    }
}

pub(super) fn not_json(error: &serde_json::Error) -> Refusal {
    let detail = format!("not JSON at line {}, column {}", error.line(), error.column());
    Refusal::Unreadable { reason: Reason::DecodeJson, detail }
}

/// A record that was put together anew.
pub(super) fn rebuilt(bytes: Vec<u8>) -> Piece<'static> {
    Piece::Record { bytes: bytes.into(), offset: 0 }
}

fn elements(body: &[u8]) -> Result<Vec<&RawValue>, Refusal> {
    serde_json::from_slice(body).map_err(|e| not_json(&e))
}

fn batch(body: &[u8]) -> Result<Vec<Piece<'_>>, Refusal> {
    let one = |element: &RawValue| {
        let bytes = element.get().as_bytes();
        if bytes.len() <= MAX_ITEM { rebuilt(bytes.to_vec()) } else { Piece::Oversized { offset: 0 } }
    };
    Ok(elements(body)?.into_iter().map(one).collect())
}

fn array(body: &[u8]) -> Result<Vec<Piece<'_>>, Refusal> {
    fn close(open: &mut Vec<u8>, pieces: &mut Vec<Piece<'_>>) {
        if !open.is_empty() {
            open.push(b']');
            pieces.push(rebuilt(std::mem::take(open)));
        }
    }
    let mut pieces = Vec::new();
    let mut open: Vec<u8> = Vec::new();
    for element in elements(body)? {
        let bytes = element.get().as_bytes();
        if bytes.len() + 2 > MAX_ITEM {
            close(&mut open, &mut pieces);
            pieces.push(Piece::Oversized { offset: 0 });
            continue;
        }
        if open.len() + bytes.len() + 2 > MAX_ITEM {
            close(&mut open, &mut pieces);
        }
        open.push(if open.is_empty() { b'[' } else { b',' });
        open.extend_from_slice(bytes);
    }
    close(&mut open, &mut pieces);
    Ok(pieces)
}

/// Objects one after the other, over several lines or not.
fn objects(body: &[u8]) -> Result<Vec<Piece<'_>>, Refusal> {
    let mut stream = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let mut ends = Vec::new();
    while let Some(object) = stream.next() {
        object.map_err(|e| not_json(&e))?;
        ends.push(stream.byte_offset());
    }
    Ok(ranges(body, ends.into_iter()))
}

/// Pieces of whole items, which end at `ends`.
fn ranges(body: &[u8], ends: impl Iterator<Item = usize>) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let push = |pieces: &mut Vec<_>, from: usize, to: usize| {
        let bytes = body.get(from..to).unwrap_or_default();
        if !bytes.trim_ascii().is_empty() {
            pieces.push(Piece::Record { bytes: bytes.into(), offset: from });
        }
    };
    let (mut from, mut upto) = (0, 0);
    for end in ends {
        if end - upto > MAX_ITEM {
            push(&mut pieces, from, upto);
            pieces.push(Piece::Oversized { offset: upto });
            from = end;
        } else if end - from > MAX_ITEM {
            push(&mut pieces, from, upto);
            from = upto;
        }
        upto = end;
    }
    push(&mut pieces, from, upto);
    pieces
}

#[cfg(test)]
mod tests;
