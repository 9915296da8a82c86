//! What the decoders of access logs share: the way from a record over its lines or objects to the fields of a request.
//!
//! A format says how one line is read and what its fields mean (`Request`); walking, reuse of memory and dead letters are here, once.

use crate::decode::fields::{Layer, Preset, Refusal};
use crate::decode::ids::DedupId;
use crate::decode::json::scan::Keys;
use crate::decode::line::{each_line, each_text, flat_object};
use crate::decode::timestamp::Timestamps;
use crate::decode::{Input, Items, Reason, Wanted};
use crate::source::Source;

/// A line, or an object, in its record.
pub(crate) struct Entry<'a> {
    /// Byte offset in the record.
    pub(crate) at: u32,
    /// As it came, for a dead letter.
    pub(crate) raw: &'a [u8],
    /// The record.
    pub(crate) input: &'a Input<'a>,
}

/// Turns the fields of an entry into an event, or says why there is none.
pub(crate) type Request = fn(&mut AccessLog, &Entry<'_>, &Layer<'_>, &mut dyn Items) -> Result<(), Refusal>;

/// What a decoder of access logs keeps from line to line: settings, and memory that is used again.
pub(crate) struct AccessLog {
    pub(crate) preset: Preset,
    pub(crate) times: Timestamps,
    pub(crate) operation: String,
    pub(crate) kept: String,
    pub(crate) id: DedupId,
    keys: Keys,
    request: Request,
}

impl AccessLog {
    /// For a format with these names of its own, and with `alias` names for canonical tags.
    pub(crate) fn new(
        own: &[&str],
        alias: fn(&str) -> &'static [&'static str],
        request: Request,
        source: &Source,
        wanted: &Wanted,
    ) -> Self {
        Self {
            preset: Preset::new(own, alias, source, wanted),
            times: Timestamps::new(source.timestamp_unit, source.timezone),
            operation: String::new(),
            kept: String::new(),
            id: DedupId::default(),
            keys: Keys::default(),
            request,
        }
    }

    /// Decodes a record of text lines, of which `read` takes one apart.
    pub(crate) fn decode_lines<'a>(
        &mut self,
        input: &'a Input<'a>,
        items: &mut dyn Items,
        mut read: impl FnMut(&'a str, &mut Layer<'a>) -> Option<()>,
    ) {
        let mut layer = Layer::default();
        each_line(input.value, items, |at, line, items| {
            layer.clear();
            let not_this_line = Refusal::Dead(Reason::DecodeText, "the line is not of the declared format");
            read(line, &mut layer).ok_or(not_this_line)?;
            (self.request)(self, &Entry { at, raw: line.as_bytes(), input }, &layer, items)
        });
    }

    /// Decodes a record of flat JSON objects.
    pub(crate) fn decode_objects<'a>(&mut self, input: &'a Input<'a>, items: &mut dyn Items) {
        let mut keys = std::mem::take(&mut self.keys);
        each_text(input.value, items, |mut objects, items| {
            let mut layer = Layer::default();
            loop {
                layer.clear();
                self.kept.clear();
                let Self { preset, kept, .. } = self;
                let Some(object) = objects.next(&mut keys, |scan| flat_object(scan, &preset.names, &mut layer, kept)) else { break };
                let raw = object.text.as_bytes();
                let result = object.result.and_then(|()| (self.request)(self, &Entry { at: object.at, raw, input }, &layer, items));
                if let Err(refusal) = result {
                    refusal.tell(object.at, raw, items);
                }
            }
        });
        self.keys = keys;
    }
}
