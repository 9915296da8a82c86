//! CloudEvents around `json`: binary (attributes in headers, data as the value), structured (one object with `data`), and batches of those.
//!
//! Headers are Kafka's `ce_…` or HTTP's `ce-…`. The event's `time` stands in for data without one; `source` and `id` are the id that
//! `dedup: on` means. Data that is an array holds several requests under one id, which is then not theirs. What is no CloudEvent is
//! `envelope_invalid`; data that is no JSON object is `schema_mismatch`.

use super::json::scan::{Fault, Keys, Scan, Text, Value, space_end};
use super::json::{Around, Json, dead_text};
use super::{Decoder, Input, Items, Reason, Wanted};
use crate::source::Source;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Decodes CloudEvents of one source.
#[derive(Debug)]
pub struct CloudEvents {
    json: Json,
    keys: Keys,
    attributes: Attributes,
    data: Vec<u8>,
}

/// Attributes of one event, unescaped.
#[derive(Debug, Default)]
struct Attributes {
    /// Also where base64 is unescaped, before the id comes.
    id: String,
    source: String,
    time: String,
}

/// One event in structured mode, as it stands in the text.
#[derive(Default)]
struct Structured<'a> {
    version: bool,
    id: Option<Text<'a>>,
    source: Option<Text<'a>>,
    time: Option<Text<'a>>,
    other_type: bool,
    data: Option<&'a str>,
    base64: Option<Text<'a>>,
}

impl CloudEvents {
    /// A decoder for one source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self { json: Json::new(source, wanted), keys: Keys::default(), attributes: Attributes::default(), data: Vec::new() }
    }

    fn decode_binary(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let attribute = |name| header(input, name).map(std::str::from_utf8).transpose();
        let (Ok(Some(id)), Ok(Some(source)), Ok(time)) = (attribute("id"), attribute("source"), attribute("time")) else {
            return items.dead(0, Reason::EnvelopeInvalid, "a CloudEvent without id or source", input.value);
        };
        if header(input, "specversion").is_none_or(|version| !is_known(version)) {
            return items.dead(0, Reason::EnvelopeInvalid, "not a CloudEvent of version 1.0 or 0.3", input.value);
        }
        let single = input.value.get(space_end(input.value, 0)) == Some(&b'{');
        let around = Around { time, id: single.then_some([source, id]), ..Around::of(input) };
        self.json.decode_bytes(input.value, &around, items);
    }

    fn decode_structured(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        if input.value.is_empty() {
            return items.dead(0, Reason::EmptyValue, "zero bytes", input.value);
        }
        let Ok(text) = std::str::from_utf8(input.value) else {
            return items.dead(0, Reason::DecodeUtf8, "not UTF-8", input.value);
        };
        let mut keys = std::mem::take(&mut self.keys);
        let mut scan = Scan::new(text, &mut keys);
        match scan.skip().and_then(|()| scan.end()) {
            Err(fault) => dead_text(0, fault, text, items),
            Ok(()) => {
                let mut scan = Scan::new(text, &mut keys);
                let walked = if text.trim_ascii_start().starts_with('[') {
                    scan.array(|scan| self.decode_one(text, scan, input, items))
                } else {
                    self.decode_one(text, &mut scan, input, items)
                };
                debug_assert_eq!(walked, Ok(()), "the text was checked");
            }
        }
        self.keys = keys;
    }

    /// Decodes the event that comes next in a text that was checked.
    fn decode_one(&mut self, text: &str, scan: &mut Scan<'_, '_>, input: &Input<'_>, items: &mut dyn Items) -> Result<(), Fault> {
        let from = space_end(text.as_bytes(), scan.position());
        let at = u32::try_from(from).unwrap_or(u32::MAX);
        let Value::Object = scan.value()? else {
            let raw = text.get(from..scan.position()).unwrap_or_default();
            items.dead(at, Reason::EnvelopeInvalid, "a CloudEvent that is no object", raw.as_bytes());
            return if raw.is_empty() { scan.skip() } else { Ok(()) };
        };
        let event = structured(scan)?;
        let raw = text.get(from..scan.position()).unwrap_or_default().as_bytes();
        let (true, Some(id), Some(source)) = (event.version, event.id, event.source) else {
            items.dead(at, Reason::EnvelopeInvalid, "not a CloudEvent of version 1.0 or 0.3 with id and source", raw);
            return Ok(());
        };
        let Self { json, attributes, data, .. } = self;
        data.clear();
        match (event.data, event.base64) {
            (Some(raw), _) if !event.other_type => data.extend_from_slice(raw.as_bytes()),
            (_, Some(base64)) if !event.other_type => {
                attributes.id.clear();
                base64.unescape_into(&mut attributes.id);
                let decoded = STANDARD.decode_vec(&attributes.id, data);
                if decoded.is_err() {
                    items.dead(at, Reason::EnvelopeInvalid, "data_base64 is not base64", raw);
                    return Ok(());
                }
            }
            _ => {}
        }
        if !matches!(data.get(space_end(data, 0)), Some(b'{' | b'[')) {
            items.dead(at, Reason::SchemaMismatch, "no data, or data that is no JSON object", raw);
            return Ok(());
        }
        attributes.set(id, source, event.time);
        let time = event.time.map(|_| attributes.time.as_str());
        let single = data.get(space_end(data, 0)) == Some(&b'{');
        let id = single.then_some([attributes.source.as_str(), attributes.id.as_str()]);
        let around = Around { time, id, ..Around::of(input) };
        json.decode_bytes(data, &around, &mut Shifted { items, by: at });
        Ok(())
    }
}

impl Decoder for CloudEvents {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        if header(input, "specversion").is_some() {
            self.decode_binary(input, items);
        } else {
            self.decode_structured(input, items);
        }
    }
}

impl Attributes {
    fn set(&mut self, id: Text<'_>, source: Text<'_>, time: Option<Text<'_>>) {
        for (to, from) in [(&mut self.id, Some(id)), (&mut self.source, Some(source)), (&mut self.time, time)] {
            to.clear();
            from.into_iter().for_each(|text| text.unescape_into(to));
        }
    }
}

/// Items of a part of the record, at their places in the whole.
struct Shifted<'i> {
    items: &'i mut dyn Items,
    by: u32,
}

impl Items for Shifted<'_> {
    fn event(&mut self, at: u32, event: &crate::event::Event<'_>) {
        self.items.event(at.saturating_add(self.by), event);
    }

    fn skipped(&mut self, at: u32, reason: super::Skip) {
        self.items.skipped(at.saturating_add(self.by), reason);
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]) {
        self.items.dead(at.saturating_add(self.by), reason, detail, bytes);
    }
}

/// An attribute in a header: Kafka's spelling, or HTTP's, of which case does not matter.
pub(crate) fn header<'a>(input: &Input<'a>, attribute: &str) -> Option<&'a [u8]> {
    let is = |name: &str| {
        let prefix = name.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("ce_") || p.eq_ignore_ascii_case("ce-"));
        prefix && name.get(3..).is_some_and(|rest| rest.eq_ignore_ascii_case(attribute))
    };
    input.headers.iter().find(|(name, _)| is(name)).map(|(_, value)| value)
}

fn is_known(version: &[u8]) -> bool {
    matches!(version, b"1.0" | b"0.3")
}

fn structured<'a>(scan: &mut Scan<'a, '_>) -> Result<Structured<'a>, Fault> {
    let mut event = Structured::default();
    scan.object(|scan, key| {
        if key.is("data") {
            event.data = Some(scan.skip_raw()?);
            return Ok(());
        }
        let text = match scan.value()? {
            Value::Text(text) => text,
            Value::Object | Value::Array => return scan.skip(),
            _ => return Ok(()),
        };
        match key.as_plain() {
            Some("specversion") => event.version = is_known(text.raw().as_bytes()),
            Some("id") => event.id = Some(text).filter(|id| !id.raw().is_empty()),
            Some("source") => event.source = Some(text).filter(|source| !source.raw().is_empty()),
            Some("time") => event.time = Some(text).filter(|time| !time.raw().is_empty()),
            Some("datacontenttype") => event.other_type = !is_json(text.raw()),
            Some("data_base64") => event.base64 = Some(text),
            _ => {}
        }
        Ok(())
    })
    .map(|()| event)
}

/// Whether a content type is JSON: `application/json`, `…+json`, parameters aside. The slash may be escaped.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

#[cfg(test)]
mod tests;
