//! `ExportTraceServiceRequest` in JSON, as exporters write it and as Tempo answers it.
//!
//! Keys come in any order: a resource or scope that stands behind its spans is read first, from a remembered position. Ids are hex, base64
//! too; 64-bit integers are text or number; enums are numbers or names.

use crate::decode::document::{NO_OBJECT, NO_SPANS, container_at, each, members, object_at, open, pairs, span_id, trace_id};
use crate::decode::fields::{Layer, View};
use crate::decode::json::scan::{Fault, Keys, Scan};
use crate::decode::line::scalar;
use crate::decode::otlp_proto::{DIALECT, times};
use crate::decode::span::{Item, Kind, Span, Spans, threshold};
use crate::decode::timestamp::{Unit, duration_ns};
use crate::decode::{Decoder, Input, Items, Reason, Skip, Wanted};
use crate::outcome::whole_number;
use crate::source::Source;

/// Reads OTLP in JSON.
pub struct OtlpJson {
    spans: Spans,
    /// Unescaped texts: those of the resource, then of the scope, then of the span.
    kept: String,
    keys: Keys,
    scope_keys: Keys,
    span_keys: Keys,
}

impl OtlpJson {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        let [keys, scope_keys, span_keys] = [Keys::default(), Keys::default(), Keys::default()];
        Self { spans: Spans::new(DIALECT, source, wanted), kept: String::new(), keys, scope_keys, span_keys }
    }
}

impl Decoder for OtlpJson {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let Some(text) = open(input.value, &mut self.keys, items) else { return };
        let layers = [Layer::default(), Layer::default(), Layer::default()];
        let mut walk = Walk { text, input, items, spans: &mut self.spans, kept: &mut self.kept, layers, at: 0 };
        let (scope_keys, span_keys) = (&mut self.scope_keys, &mut self.span_keys);
        let (mut spans, mut other, mut empty) = (false, false, true);
        let mut scan = Scan::new(text, &mut self.keys);
        let walked = match object_at(&mut scan) {
            Ok(None) => return NO_OBJECT.tell(0, input.value, items),
            Ok(Some(_)) => scan.object(|scan, key| {
                empty = false;
                if key.is("resourceSpans") || key.is("batches") {
                    spans = true;
                    return each(scan, |scan| walk.resource_spans(scan, scope_keys, span_keys));
                }
                other |= key.is("resourceMetrics") || key.is("resourceLogs");
                scan.skip()
            }),
            Err(fault) => Err(fault),
        };
        let at = walk.at;
        match walked {
            // The text has been checked, so this is not met; if it were, it must not be lost.
            Err(fault) => items.dead(at, fault.reason(), fault.what(), input.value),
            Ok(()) if other && !spans => items.skipped(at, Skip::OtherSignal),
            Ok(()) if !empty && !spans => NO_SPANS.tell(at, input.value, items),
            Ok(()) => {}
        }
    }
}

/// A walk through one document.
struct Walk<'a, 'd> {
    text: &'a str,
    input: &'d Input<'d>,
    items: &'d mut dyn Items,
    spans: &'d mut Spans,
    kept: &'d mut String,
    /// Of the span, the scope and the resource.
    layers: [Layer<'a>; 3],
    at: u32,
}

impl<'a> Walk<'a, '_> {
    fn resource_spans(&mut self, scan: &mut Scan<'a, '_>, scope_keys: &mut Keys, span_keys: &mut Keys) -> Result<(), Fault> {
        let [_, _, resource] = &mut self.layers;
        resource.clear();
        self.kept.clear();
        let mut known = false;
        let mut later = [None; 2];
        let before = scan.position();
        if object_at(scan)?.is_none() {
            return self.refuse(before, scan);
        }
        scan.object(|scan, key| {
            if key.is("resource") {
                known = true;
                let [_, _, resource] = &mut self.layers;
                return attributes(scan, self.spans, resource, self.kept);
            }
            if key.is("scopeSpans") || key.is("instrumentationLibrarySpans") {
                if known {
                    return self.scopes(scan, span_keys);
                }
                let [first, second] = &mut later;
                *(if first.is_none() { first } else { second }) = container_at(scan)?;
                return Ok(());
            }
            scan.skip()
        })?;
        later.into_iter().flatten().try_for_each(|at| self.scopes(&mut Scan::starting(self.text, at, scope_keys), span_keys))
    }

    fn scopes(&mut self, scan: &mut Scan<'a, '_>, span_keys: &mut Keys) -> Result<(), Fault> {
        let resource_end = self.kept.len();
        each(scan, |scan| {
            self.kept.truncate(resource_end);
            self.scope_spans(scan, span_keys)
        })
    }

    fn scope_spans(&mut self, scan: &mut Scan<'a, '_>, span_keys: &mut Keys) -> Result<(), Fault> {
        let [_, scope, _] = &mut self.layers;
        scope.clear();
        let mut known = false;
        let mut later = None;
        let before = scan.position();
        if object_at(scan)?.is_none() {
            return self.refuse(before, scan);
        }
        scan.object(|scan, key| {
            if key.is("scope") || key.is("instrumentationLibrary") {
                known = true;
                let [_, scope, _] = &mut self.layers;
                return attributes(scan, self.spans, scope, self.kept);
            }
            if key.is("spans") {
                if known {
                    return self.all_spans(scan);
                }
                later = container_at(scan)?;
                return Ok(());
            }
            scan.skip()
        })?;
        later.map_or(Ok(()), |at| self.all_spans(&mut Scan::starting(self.text, at, span_keys)))
    }

    fn all_spans(&mut self, scan: &mut Scan<'a, '_>) -> Result<(), Fault> {
        let scope_end = self.kept.len();
        each(scan, |scan| {
            self.kept.truncate(scope_end);
            self.span(scan)
        })
    }

    fn span(&mut self, scan: &mut Scan<'a, '_>) -> Result<(), Fault> {
        let before = scan.position();
        let Some(from) = object_at(scan)? else { return self.refuse(before, scan) };
        let Self { spans, kept, layers: [layer, _, _], .. } = self;
        layer.clear();
        let mut span = Span::default();
        let (mut start, mut end) = (None, None);
        scan.object(|scan, key| {
            match key.as_plain().unwrap_or_default() {
                "attributes" => return pairs(scan, &spans.preset.names, layer, kept),
                "status" => {
                    return members(scan, |scan, key| {
                        if !key.is("code") {
                            return scan.skip();
                        }
                        span.failed = scalar(scan, kept)?.is_some_and(|code| matches!(code.text(kept), "2" | "STATUS_CODE_ERROR"));
                        Ok(())
                    });
                }
                "name" => span.name = scalar(scan, kept)?.unwrap_or_default(),
                "traceId" => span.trace_id = scalar(scan, kept)?.and_then(|id| trace_id(id.text(kept))),
                "spanId" => span.span_id = scalar(scan, kept)?.and_then(|id| span_id(id.text(kept))),
                "kind" => span.kind = scalar(scan, kept)?.map_or(Kind::Unspecified, |kind| Kind::parse(kind.text(kept))),
                "startTimeUnixNano" => start = scalar(scan, kept)?,
                "endTimeUnixNano" => end = scalar(scan, kept)?,
                "flags" => {
                    span.sampled = scalar(scan, kept)?.and_then(|flags| whole_number(flags.text(kept))).is_none_or(|flags| flags & 1 == 1)
                }
                "traceState" => span.threshold = scalar(scan, kept)?.map_or(0, |state| threshold(state.text(kept))),
                _ => return scan.skip(),
            }
            Ok(())
        })?;
        let nanos = |text: &str| duration_ns(text, Unit::Nanos);
        let start = start.map(|slot| slot.text(kept)).filter(|text| !text.is_empty()).map(nanos);
        let end = end.map(|slot| slot.text(kept)).filter(|text| !text.is_empty()).map_or(Ok(0), nanos);
        (span.start, span.duration) = match (start, end) {
            (Some(Err(_)), _) => (Err(Reason::TimeInvalid), Ok(None)),
            (start, Ok(end)) => times(start.and_then(Result::ok), end),
            (start, Err(reason)) => (times(start.and_then(Result::ok), 0).0, Err(reason)),
        };
        let [layer, scope, resource] = &self.layers;
        let bytes = self.text.get(from..scan.position()).unwrap_or_default().as_bytes();
        self.spans.take(
            &span,
            &Item { at: self.at, view: View { layers: &[layer, scope, resource], kept: self.kept }, bytes, input: self.input },
            self.items,
        );
        self.at += 1;
        Ok(())
    }

    /// Something that should be an object counts as one item.
    fn refuse(&mut self, from: usize, scan: &Scan<'_, '_>) -> Result<(), Fault> {
        let bytes = self.text.get(from..scan.position()).unwrap_or_default();
        NO_OBJECT.tell(self.at, bytes.trim_start().as_bytes(), self.items);
        self.at += 1;
        Ok(())
    }
}

/// Reads the attributes of a resource or a scope.
fn attributes<'a>(scan: &mut Scan<'a, '_>, spans: &Spans, layer: &mut Layer<'a>, kept: &mut String) -> Result<(), Fault> {
    members(scan, |scan, key| if key.is("attributes") { pairs(scan, &spans.preset.names, layer, kept) } else { scan.skip() })
}

#[cfg(test)]
mod tests;
