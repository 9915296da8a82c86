//! JSON documents that hold many spans: checked as a whole, then walked.
//!
//! A fault anywhere condemns the record before a first event leaves it, so that no two readers see different events in it. After the check
//! walking cannot fail, and what stands behind its spans (a resource, a process) is found by going back to a remembered position.

use crate::decode::fields::{Layer, Names, Refusal, Slot};
use crate::decode::ids;
use crate::decode::json::scan::{Fault, Keys, Scan, Text, Value};
use crate::decode::line::{named, scalar, slot_of};
use crate::decode::{Items, Reason};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// An item that should be an object and is none.
pub(crate) const NO_OBJECT: Refusal = Refusal::Dead(Reason::SchemaMismatch, "the item is no object");
/// A document without the keys of its format.
pub(crate) const NO_SPANS: Refusal = Refusal::Dead(Reason::SchemaMismatch, "the document holds no spans of this format");

/// The document's text when it is JSON throughout; else the record is dead.
pub(crate) fn open<'a>(value: &'a [u8], keys: &mut Keys, items: &mut dyn Items) -> Option<&'a str> {
    let refusal = match std::str::from_utf8(value) {
        Ok("") => Reason::EmptyValue.into(),
        Ok(text) => {
            let mut scan = Scan::new(text, keys);
            match scan.skip().and_then(|()| scan.end()) {
                Ok(()) => return Some(text),
                Err(fault) => Refusal::Dead(fault.reason(), fault.what()),
            }
        }
        Err(_) => Reason::DecodeUtf8.into(),
    };
    refusal.tell(0, value, items);
    None
}

/// Where the next object starts, which is then to be walked; another value is passed over and gives nothing.
pub(crate) fn object_at(scan: &mut Scan<'_, '_>) -> Result<Option<usize>, Fault> {
    match scan.value()? {
        Value::Object => Ok(Some(scan.position())),
        Value::Array => scan.skip().map(|()| None),
        _ => Ok(None),
    }
}

/// Where the next object or array starts, which is passed over like any other value.
pub(crate) fn container_at(scan: &mut Scan<'_, '_>) -> Result<Option<usize>, Fault> {
    if let Value::Object | Value::Array = scan.value()? {
        let at = scan.position();
        return scan.skip().map(|()| Some(at));
    }
    Ok(None)
}

/// Walks an array, or an object that stands for an array of itself; of scalars nothing.
pub(crate) fn each<'a, 'k>(scan: &mut Scan<'a, 'k>, mut element: impl FnMut(&mut Scan<'a, 'k>) -> Result<(), Fault>) -> Result<(), Fault> {
    match scan.value()? {
        Value::Array => scan.array(element),
        Value::Object => element(scan),
        _ => Ok(()),
    }
}

/// Walks an object; of any other value nothing.
pub(crate) fn members<'a, 'k>(
    scan: &mut Scan<'a, 'k>,
    member: impl FnMut(&mut Scan<'a, 'k>, Text<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if object_at(scan)?.is_some() { scan.object(member) } else { Ok(()) }
}

/// Reads a list of `{"key": …, "value": …}` and keeps the texts of the names that are looked for.
pub(crate) fn pairs<'a>(scan: &mut Scan<'a, '_>, names: &Names, layer: &mut Layer<'a>, kept: &mut String) -> Result<(), Fault> {
    each(scan, |scan| {
        let (mut name, mut value) = (None, None);
        members(scan, |scan, key| {
            if key.is("key") {
                match scan.value()? {
                    Value::Text(text) => name = named(names, text, kept),
                    Value::Object | Value::Array => scan.skip()?,
                    _ => {}
                }
            } else if key.is("value") {
                value = any_value(scan, kept)?;
            } else if is_typed_value(key) {
                value = scalar(scan, kept)?;
            } else {
                scan.skip()?;
            }
            Ok(())
        })?;
        if let Some((name, slot)) = name.zip(value) {
            layer.set(name, slot);
        }
        Ok(())
    })
}

/// A scalar, or an object that holds one under the name of its type.
fn any_value<'a>(scan: &mut Scan<'a, '_>, kept: &mut String) -> Result<Option<Slot<'a>>, Fault> {
    let mut found = None;
    match scan.value()? {
        Value::Object => scan.object(|scan, key| {
            if is_typed_value(key) {
                found = scalar(scan, kept)?;
                return Ok(());
            }
            scan.skip()
        })?,
        Value::Array => scan.skip()?,
        value => found = slot_of(value, kept),
    }
    Ok(found)
}

/// The names of scalar types in OTLP, where they stand inside `value`, and in Jaeger's single spans, where they stand for it.
fn is_typed_value(key: Text<'_>) -> bool {
    let plain = key.as_plain().unwrap_or_default();
    matches!(plain, "stringValue" | "intValue" | "boolValue" | "doubleValue" | "vStr" | "vInt64" | "vBool" | "vFloat64")
}

/// A trace id in hex, or its 16 bytes in base64.
pub(crate) fn trace_id(text: &str) -> Option<u128> {
    ids::trace_id(text).or_else(|| base64_bytes(text).map(u128::from_be_bytes)).filter(|id| *id != 0)
}

/// A span id in hex, or its 8 bytes in base64.
pub(crate) fn span_id(text: &str) -> Option<u64> {
    ids::span_id(text).or_else(|| base64_bytes(text).map(u64::from_be_bytes)).filter(|id| *id != 0)
}

/// Exactly `N` bytes in base64, padded or not.
fn base64_bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; 18]; // room for what 24 digits may hold
    let digits = Some(text.trim_end_matches('=')).filter(|digits| digits.len() == (N * 8).div_ceil(6))?;
    let length = STANDARD_NO_PAD.decode_slice(digits, &mut bytes).ok()?;
    bytes.get(..length)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_in_hex_and_base64() {
        let id = 0x83a9_efd1_5c1c_98a9_77e0_711c_c93e_e28b;
        assert_eq!(trace_id("83a9efd15c1c98a977e0711cc93ee28b"), Some(id));
        assert_eq!(trace_id("g6nv0VwcmKl34HEcyT7iiw=="), Some(id));
        assert_eq!(trace_id("g6nv0VwcmKl34HEcyT7iiw"), Some(id));
        assert_eq!(span_id("4SevmePj4HQ="), Some(0xe127_af99_e3e3_e074));
        for bad in ["", "AAAAAAAAAAAAAAAAAAAAAA==", "not base64 at all, no..", "g6nv0VwcmKl34HEcyT7ii!=="] {
            assert_eq!((trace_id(bad), span_id(bad)), (None, None), "{bad}");
        }
    }
}
