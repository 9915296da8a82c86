//! Wrappers around a record's payload: compression, log shippers, Kafka Connect. They are taken off in front of any format.
//!
//! Compressed data is read to 8 MiB or a ratio of 100, whichever comes first, so that a small record cannot fill the memory. A shipper's
//! record is one object with `@timestamp` and the payload in `log` or `message`; Kafka Connect's holds `schema` and `payload`. Only records
//! that are one object are wrappers. For the `json` format, whose own objects may have such fields, a wrapper is told by its first key:
//! there shippers and Connect put their own.

use super::json::scan::{Keys, Scan, Text, Value, space_end};
use super::json::{Around, Json};
use super::{Decoder, Input, Items, Reason, Skip};
use std::io::Read;

/// Most bytes of what a compressed record holds.
const MAX_INNER: u64 = 8 << 20;
/// Most bytes for each compressed byte.
const MAX_RATIO: u64 = 100;
/// Largest window of zstd: 8 MiB, the memory that a decoder takes.
const MAX_WINDOW_LOG: u32 = 23;

/// Takes wrappers off and gives what was in them to a decoder.
pub struct Unwrap {
    inner: Inner,
    /// What a compressed record held.
    plain: Vec<u8>,
    /// What a shipper's text held.
    payload: String,
    time: String,
    keys: Keys,
}

/// The decoder behind the wrappers.
pub enum Inner {
    /// Objects of a mapping: a wrapper's time stands in for theirs.
    Json(Box<Json>),
    /// A format with a time of its own.
    Other(Box<dyn Decoder>),
    /// A format that looks for wrappers in JSON itself.
    Auto(Box<dyn Decoder>),
}

/// What a record is, as far as wrappers go.
pub(crate) enum Wrapped<'a> {
    /// No wrapper.
    Bare,
    /// A wrapper that holds this text (escaped, if it was a text in JSON) and may give a time.
    Holds(Text<'a>, Option<Time<'a>>),
    /// A wrapper around null.
    Nothing,
    /// A wrapper whose payload cannot be one.
    Broken(&'static str),
}

/// A shipper's time.
#[derive(Clone, Copy)]
pub(crate) enum Time<'a> {
    Text(Text<'a>),
    Number(&'a str),
}

impl Unwrap {
    /// Takes wrappers off in front of `inner`.
    #[must_use]
    pub fn new(inner: Inner) -> Self {
        Self { inner, plain: Vec::new(), payload: String::new(), time: String::new(), keys: Keys::default() }
    }
}

impl Decoder for Unwrap {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let Self { inner, plain, payload, time, keys } = self;
        let value = match decompress(input.value, plain) {
            Ok(true) => plain.as_slice(),
            Ok(false) => input.value,
            Err((reason, detail)) => return items.dead(0, reason, detail, input.value),
        };
        let wrapped = match inner {
            Inner::Json(_) if starts_like_wrapper(value) => unwrap(value, keys),
            Inner::Other(_) => unwrap(value, keys),
            Inner::Json(_) | Inner::Auto(_) => Wrapped::Bare,
        };
        let (value, given) = match wrapped {
            Wrapped::Bare => (value, None),
            Wrapped::Nothing => return items.skipped(0, Skip::Tombstone),
            Wrapped::Broken(detail) => return items.dead(0, Reason::EnvelopeInvalid, detail, value),
            Wrapped::Holds(text, at) => {
                payload.clear();
                text.unescape_into(payload);
                (payload.as_bytes(), at)
            }
        };
        let input = Input { value, ..*input };
        match inner {
            Inner::Json(json) => {
                let time = given.map(|at| at.text(time));
                json.decode_bytes(value, &Around { time, ..Around::of(&input) }, items);
            }
            Inner::Other(decoder) | Inner::Auto(decoder) => decoder.decode(&input, items),
        }
    }
}

impl Time<'_> {
    /// The time as text, unescaped into `kept`.
    pub(crate) fn text(self, kept: &mut String) -> &str {
        kept.clear();
        match self {
            Self::Text(text) => text.unescape_into(kept),
            Self::Number(number) => kept.push_str(number),
        }
        kept
    }
}

/// Whether the first key is one with which wrappers begin.
fn starts_like_wrapper(value: &[u8]) -> bool {
    let Some(b'{') = value.get(space_end(value, 0)) else { return false };
    let key = space_end(value, space_end(value, 0) + 1);
    let rest = value.get(key..).unwrap_or_default();
    ["\"@timestamp\"", "\"schema\"", "\"payload\"", "\"log\"", "\"message\""].iter().any(|first| rest.starts_with(first.as_bytes()))
}

/// What a record wraps. What is not one object of strict JSON is no wrapper: the format says what is wrong with it.
pub(crate) fn unwrap<'a>(value: &'a [u8], keys: &mut Keys) -> Wrapped<'a> {
    if value.get(space_end(value, 0)) != Some(&b'{') {
        return Wrapped::Bare;
    }
    let Ok(text) = std::str::from_utf8(value) else { return Wrapped::Bare };
    let mut scan = Scan::new(text, keys);
    let (mut time, mut log, mut message, mut payload, mut schema, mut members) = (None, None, None, None, false, 0);
    let walked = scan.object(|scan, key| {
        members += 1;
        if key.is("@timestamp") {
            time = match scan.value()? {
                Value::Text(text) => Some(Time::Text(text)),
                Value::Number(number) => Some(Time::Number(number)),
                Value::Object | Value::Array => return scan.skip(),
                _ => None,
            };
        } else if key.is("log") {
            log = Some(held(scan)?);
        } else if key.is("message") {
            message = Some(held(scan)?);
        } else if key.is("payload") {
            payload = Some(held(scan)?);
        } else {
            schema |= key.is("schema");
            return scan.skip();
        }
        Ok(())
    });
    if walked.and_then(|()| scan.end()).is_err() {
        return Wrapped::Bare;
    }
    let (held, time) = match (payload, log.or(message), time) {
        (Some(payload), _, _) if schema && members == 2 => (payload, None),
        (_, Some(log), Some(time)) => (log, Some(time)),
        _ => return Wrapped::Bare,
    };
    match held {
        Held::Text(text) => Wrapped::Holds(text, time),
        Held::Nothing => Wrapped::Nothing,
        Held::Scalar => Wrapped::Broken("a wrapper that holds neither text nor object"),
    }
}

/// What stands where a wrapper has its payload.
enum Held<'a> {
    Text(Text<'a>),
    Nothing,
    Scalar,
}

fn held<'a>(scan: &mut Scan<'a, '_>) -> Result<Held<'a>, super::json::scan::Fault> {
    Ok(match scan.value()? {
        Value::Text(text) => Held::Text(text),
        Value::Object | Value::Array => Held::Text(Text::checked(scan.skip_raw()?, false)),
        Value::Null => Held::Nothing,
        Value::Number(_) | Value::Bool(_) => Held::Scalar,
    })
}

/// Decompresses into `plain` what is compressed; says whether it was.
fn decompress(value: &[u8], plain: &mut Vec<u8>) -> Result<bool, (Reason, &'static str)> {
    let limit = MAX_INNER.min(MAX_RATIO * value.len() as u64);
    let read = match value {
        [0x1F, 0x8B, ..] => fill(plain, flate2::read::MultiGzDecoder::new(value), limit),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => zstd::Decoder::with_buffer(value).and_then(|mut decoder| {
            decoder.window_log_max(MAX_WINDOW_LOG)?;
            fill(plain, decoder, limit)
        }),
        _ => return Ok(false),
    };
    match read {
        Ok(size) if size > limit => Err((Reason::DecompressLimit, "more than 8 MiB, or than 100 times its size, when decompressed")),
        Ok(_) => Ok(true),
        Err(_) => Err((Reason::EnvelopeInvalid, "compressed data is damaged or cut")),
    }
}

/// Reads to the end, or one byte beyond the limit.
fn fill(plain: &mut Vec<u8>, from: impl Read, limit: u64) -> std::io::Result<u64> {
    plain.clear();
    from.take(limit + 1).read_to_end(plain).map(|size| size as u64)
}

#[cfg(test)]
mod tests;
