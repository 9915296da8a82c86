//! Jaeger spans in JSON: what its UI exports, and what its collector writes, one span per record.
//!
//! The export is `{"data": [trace, …]}`, or one trace, with times in microseconds and processes beside the spans. The collector's form is
//! Protobuf's JSON: ids in base64, times in RFC 3339, durations such as `"0.0001s"`, typed tags, the process inside the span. Each value is
//! told by its own shape, so mixtures are read too.

use crate::decode::document::{NO_OBJECT, NO_SPANS, container_at, each, members, object_at, open, pairs, span_id, trace_id};
use crate::decode::fields::{Layer, Name, Refusal, Slot, View};
use crate::decode::json::scan::{Fault, Keys, Scan, Value};
use crate::decode::line::scalar;
use crate::decode::span::{Dialect, ERROR, HOST_NAME, HOSTNAME, Item, Kind, OTEL_STATUS, SERVICE_NAME, SPAN_KIND, Span, Spans};
use crate::decode::timestamp::{TimeUnit, Timestamps, Unit, duration_ns};
use crate::decode::{Decoder, Input, Items, Reason, Wanted};
use crate::outcome::whole_number;
use crate::source::Source;

const DIALECT: Dialect = Dialect { unknown_service: "", host: &[HOSTNAME, HOST_NAME], shared_ids: false };

/// Reads Jaeger's JSON.
pub struct JaegerJson {
    spans: Spans,
    micros: Timestamps,
    dates: Timestamps,
    /// Unescaped texts: those of the processes, then of the span.
    kept: String,
    keys: Keys,
    trace_keys: Keys,
    span_keys: Keys,
}

impl JaegerJson {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self {
            spans: Spans::new(DIALECT, source, wanted),
            micros: Timestamps::new(TimeUnit::Number(Unit::Micros), None),
            dates: Timestamps::new(TimeUnit::Rfc3339, None),
            kept: String::new(),
            keys: Keys::default(),
            trace_keys: Keys::default(),
            span_keys: Keys::default(),
        }
    }
}

impl Decoder for JaegerJson {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let Self { spans, micros, dates, kept, keys, trace_keys, span_keys } = self;
        let Some(text) = open(input.value, keys, items) else { return };
        let layers = [Layer::default(), Layer::default()];
        let mut walk = Walk { text, input, items, spans, micros, dates, kept, layers, processes: Vec::new(), texts: Vec::new(), at: 0 };
        let mut scan = Scan::new(text, keys);
        let walked = match scan.value() {
            Ok(Value::Array) => scan.array(|scan| walk.part(scan, None, span_keys)),
            Ok(Value::Object) => walk.part(&mut scan, Some(trace_keys), span_keys),
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
    micros: &'d Timestamps,
    dates: &'d mut Timestamps,
    kept: &'d mut String,
    /// Of the span and its process.
    layers: [Layer<'a>; 2],
    /// Of the trace, in order of their ids.
    processes: Vec<Process<'a>>,
    /// Of all processes.
    texts: Vec<(Name, Slot<'a>)>,
    at: u32,
}

/// What spans of a trace share: its id, as it stands in the document, and its range among `texts`.
struct Process<'a> {
    id: &'a str,
    from: usize,
    to: usize,
}

impl<'a> Walk<'a, '_> {
    /// Reads an export, a trace or a span, told apart by its keys. Only the outermost object can be an export: it has `trace_keys`.
    fn part(&mut self, scan: &mut Scan<'a, '_>, trace_keys: Option<&mut Keys>, span_keys: &mut Keys) -> Result<(), Fault> {
        let before = scan.position();
        let Some(from) = object_at(scan)? else {
            self.refuse(NO_OBJECT, before, scan);
            return Ok(());
        };
        let (mut data, mut spans, mut processes, mut span) = (None, None, None, false);
        scan.object(|scan, key| {
            let place = match key.as_plain().unwrap_or_default() {
                "data" => &mut data,
                "spans" => &mut spans,
                "processes" => &mut processes,
                name => {
                    span |= matches!(name, "operationName" | "startTime" | "spanID" | "spanId");
                    return scan.skip();
                }
            };
            *place = Some(container_at(scan)?);
            Ok(())
        })?;
        match (data, trace_keys, spans) {
            // No data, no traces: `null` says so too.
            (Some(data), Some(keys), None) => {
                let Some(at) = data else { return Ok(()) };
                each(&mut Scan::starting(self.text, at, keys), |scan| self.part(scan, None, span_keys))
            }
            (_, _, Some(spans)) => {
                self.read_processes(processes.flatten(), span_keys)?;
                let Some(at) = spans else { return Ok(()) };
                each(&mut Scan::starting(self.text, at, span_keys), |scan| self.span(scan))
            }
            _ if span => {
                self.read_processes(None, span_keys)?;
                self.span(&mut Scan::starting(self.text, from, span_keys))
            }
            _ => {
                self.refuse(NO_SPANS, from, scan);
                Ok(())
            }
        }
    }

    fn read_processes(&mut self, at: Option<usize>, keys: &mut Keys) -> Result<(), Fault> {
        self.kept.clear();
        self.processes.clear();
        self.texts.clear();
        let Some(at) = at else { return Ok(()) };
        members(&mut Scan::starting(self.text, at, keys), |scan, key| {
            let [_, layer] = &mut self.layers;
            layer.clear();
            process(scan, self.spans, layer, self.kept)?;
            let from = self.texts.len();
            self.texts.extend(layer.iter());
            self.processes.push(Process { id: key.raw(), from, to: self.texts.len() });
            Ok(())
        })?;
        self.processes.sort_unstable_by_key(|process| process.id);
        Ok(())
    }

    fn span(&mut self, scan: &mut Scan<'a, '_>) -> Result<(), Fault> {
        let before = scan.position();
        let Some(from) = object_at(scan)? else {
            self.refuse(NO_OBJECT, before, scan);
            return Ok(());
        };
        let processes_end = self.kept.len();
        let Self { spans, kept, layers: [layer, of_process], .. } = self;
        layer.clear();
        of_process.clear();
        let mut span = Span::default();
        let (mut start, mut duration, mut process_id, mut inside) = (None, None, None, false);
        scan.object(|scan, key| {
            match key.as_plain().unwrap_or_default() {
                "tags" => return pairs(scan, &spans.preset.names, layer, kept),
                "process" => {
                    inside = process(scan, spans, of_process, kept)?;
                    return Ok(());
                }
                "processID" | "processId" => match scan.value()? {
                    Value::Text(id) => process_id = Some(id.raw()),
                    Value::Object | Value::Array => scan.skip()?,
                    _ => {}
                },
                "operationName" => span.name = scalar(scan, kept)?.unwrap_or_default(),
                "traceID" | "traceId" => span.trace_id = scalar(scan, kept)?.and_then(|id| trace_id(id.text(kept))),
                "spanID" | "spanId" => span.span_id = scalar(scan, kept)?.and_then(|id| span_id(id.text(kept))),
                "flags" => {
                    span.sampled = scalar(scan, kept)?.and_then(|flags| whole_number(flags.text(kept))).is_none_or(|flags| flags & 1 == 1)
                }
                "startTime" => start = scalar(scan, kept)?,
                "duration" => duration = scalar(scan, kept)?,
                _ => return scan.skip(),
            }
            Ok(())
        })?;
        if let Some(process) = process_id.filter(|_| !inside).and_then(|id| {
            let found = self.processes.binary_search_by_key(&id, |process| process.id).ok()?;
            self.processes.get(found)
        }) {
            self.texts.get(process.from..process.to).unwrap_or_default().iter().for_each(|(name, slot)| of_process.set(*name, *slot));
        }
        span.start = start.map_or(Err(Reason::TimeMissing), |time| match time.text(kept) {
            date if date.contains('-') && date.contains(':') => self.dates.parse_text(date),
            number => self.micros.parse_number(number),
        });
        span.duration = duration.map(|duration| duration_of(duration.text(kept))).transpose();
        let view = View { layers: &[layer], kept };
        span.kind = Kind::parse(view.text(&[SPAN_KIND]));
        span.failed = view.text(&[ERROR]).eq_ignore_ascii_case("true") || view.text(&[OTEL_STATUS]).eq_ignore_ascii_case("error");
        let bytes = self.text.get(from..scan.position()).unwrap_or_default().as_bytes();
        spans.take(&span, &Item { at: self.at, view: View { layers: &[layer, of_process], kept }, bytes, input: self.input }, self.items);
        self.at += 1;
        kept.truncate(processes_end);
        Ok(())
    }

    /// Something that should be an object, or a document without spans, counts as one item.
    fn refuse(&mut self, refusal: Refusal, from: usize, scan: &Scan<'_, '_>) {
        let bytes = self.text.get(from..scan.position()).unwrap_or_default();
        refusal.tell(self.at, bytes.trim_start().as_bytes(), self.items);
        self.at += 1;
    }
}

/// Reads `{"serviceName": …, "tags": […]}`; says whether there is one.
fn process<'a>(scan: &mut Scan<'a, '_>, spans: &Spans, layer: &mut Layer<'a>, kept: &mut String) -> Result<bool, Fault> {
    if object_at(scan)?.is_none() {
        return Ok(false);
    }
    scan.object(|scan, key| {
        match key.as_plain().unwrap_or_default() {
            "tags" => pairs(scan, &spans.preset.names, layer, kept)?,
            "serviceName" => {
                if let Some(name) = scalar(scan, kept)? {
                    layer.replace(SERVICE_NAME, name);
                }
            }
            _ => scan.skip()?,
        }
        Ok(())
    })?;
    Ok(true)
}

/// Microseconds, or seconds with an `s` behind.
fn duration_of(text: &str) -> Result<u64, Reason> {
    text.strip_suffix('s').map_or_else(|| duration_ns(text, Unit::Micros), |seconds| duration_ns(seconds, Unit::Seconds))
}

#[cfg(test)]
mod tests;
