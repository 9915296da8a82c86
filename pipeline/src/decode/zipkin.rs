//! Zipkin v2 spans in JSON: a list of them, or one.
//!
//! Client and server may share one span id, so the kind is part of what makes a span one and the same. Times are microseconds.

use crate::decode::document::{NO_OBJECT, members, object_at, open, span_id, trace_id};
use crate::decode::fields::{Layer, View};
use crate::decode::json::scan::{Fault, Keys, Scan, Value};
use crate::decode::line::{named, scalar};
use crate::decode::span::{Dialect, ERROR, IPV4, IPV6, Item, Kind, SERVICE_NAME, Span, Spans};
use crate::decode::timestamp::{TimeUnit, Timestamps, Unit, duration_ns};
use crate::decode::{Decoder, Input, Items, Reason, Wanted};
use crate::source::Source;

const DIALECT: Dialect = Dialect { unknown_service: "unknown_service", host: &[IPV4, IPV6], shared_ids: true };

/// Reads Zipkin v2 in JSON.
pub struct ZipkinJson {
    spans: Spans,
    times: Timestamps,
    kept: String,
    keys: Keys,
}

impl ZipkinJson {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        let times = Timestamps::new(TimeUnit::Number(Unit::Micros), None);
        Self { spans: Spans::new(DIALECT, source, wanted), times, kept: String::new(), keys: Keys::default() }
    }
}

impl Decoder for ZipkinJson {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let Self { spans, times, kept, keys } = self;
        let Some(text) = open(input.value, keys, items) else { return };
        let mut walk = Walk { text, input, items, spans, times, kept, layer: Layer::default(), at: 0 };
        let mut scan = Scan::new(text, keys);
        let walked = match scan.value() {
            Ok(Value::Array) => scan.array(|scan| walk.span(scan)),
            Ok(Value::Object) => walk.span(&mut scan),
            Ok(_) => return NO_OBJECT.tell(0, input.value, items),
            Err(fault) => Err(fault),
        };
        if let Err(fault) = walked {
            // The text has been checked, so this is not met; if it were, it must not be lost.
            walk.items.dead(walk.at, fault.reason(), fault.what(), input.value);
        }
    }
}

/// A walk through one document.
struct Walk<'a, 'd> {
    text: &'a str,
    input: &'d Input<'d>,
    items: &'d mut dyn Items,
    spans: &'d mut Spans,
    times: &'d Timestamps,
    kept: &'d mut String,
    layer: Layer<'a>,
    at: u32,
}

impl<'a> Walk<'a, '_> {
    fn span(&mut self, scan: &mut Scan<'a, '_>) -> Result<(), Fault> {
        let before = scan.position();
        let from = object_at(scan)?;
        let at = self.at;
        self.at += 1;
        let Some(from) = from else {
            let bytes = self.text.get(before..scan.position()).unwrap_or_default();
            NO_OBJECT.tell(at, bytes.trim_start().as_bytes(), self.items);
            return Ok(());
        };
        let Self { spans, kept, layer, .. } = self;
        kept.clear();
        layer.clear();
        let mut span = Span::default();
        let (mut start, mut duration) = (None, None);
        scan.object(|scan, key| {
            match key.as_plain().unwrap_or_default() {
                "tags" => {
                    return members(scan, |scan, key| {
                        let name = named(&spans.preset.names, key, kept);
                        let value = scalar(scan, kept)?;
                        // The tag alone says that the span failed, whatever it holds.
                        span.failed |= name == Some(ERROR);
                        if let Some((name, slot)) = name.zip(value) {
                            layer.set(name, slot);
                        }
                        Ok(())
                    });
                }
                "localEndpoint" => {
                    return members(scan, |scan, key| {
                        let name = match key.as_plain().unwrap_or_default() {
                            "serviceName" => SERVICE_NAME,
                            "ipv4" => IPV4,
                            "ipv6" => IPV6,
                            _ => return scan.skip(),
                        };
                        if let Some(slot) = scalar(scan, kept)? {
                            layer.replace(name, slot);
                        }
                        Ok(())
                    });
                }
                "name" => span.name = scalar(scan, kept)?.unwrap_or_default(),
                "traceId" => span.trace_id = scalar(scan, kept)?.and_then(|id| trace_id(id.text(kept))),
                "id" => span.span_id = scalar(scan, kept)?.and_then(|id| span_id(id.text(kept))),
                "kind" => span.kind = scalar(scan, kept)?.map_or(Kind::Unspecified, |kind| Kind::parse(kind.text(kept))),
                "timestamp" => start = scalar(scan, kept)?,
                "duration" => duration = scalar(scan, kept)?,
                _ => return scan.skip(),
            }
            Ok(())
        })?;
        span.start = start.map_or(Err(Reason::TimeMissing), |time| self.times.parse_number(time.text(kept)));
        span.duration = duration.map(|duration| duration_ns(duration.text(kept), Unit::Micros)).transpose();
        let bytes = self.text.get(from..scan.position()).unwrap_or_default().as_bytes();
        spans.take(&span, &Item { at, view: View { layers: &[layer], kept }, bytes, input: self.input }, self.items);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
