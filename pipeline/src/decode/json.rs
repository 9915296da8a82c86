//! The `json` format: one object, an array of objects, or newline-delimited objects, with field names from the source's mapping.
//!
//! An object is an item, and its place is its byte offset. Objects may span lines. Text that is no object is a dead letter up to the end
//! of its line, and the next line is tried: a broken line does not touch its neighbours. An array is one document: it is checked wholly
//! before its first element counts. UTF-8 is checked once per record, and line by line only in records that fail.
//!
//! What a field may be: times and durations a number or its text; names a text; a status a number or a text; tags any scalar. Null, an
//! empty text and an empty array are absent. Unknown fields are passed over, but must be JSON.

use super::ids::{self, DedupId};
use super::timestamp::{Timestamps, Unit, duration_ns};
use super::{Coordinate, Decoder, Input, Items, MAX_ITEM, Reason, Skip, Wanted};
use crate::event::{Event, MAX_WANTED, Trace};
use crate::operation;
use crate::outcome::{Grpc, Outcome, Status, classify, whole_number};
use crate::source::{Dedup, OperationRule, Path, Source};
use platform_core::record::Headers;
use platform_core::time::EventTime;
use reader::{Found, Reader, Slot};
use scan::{Fault, Keys, Scan, space_end};

/// Wanted fields of objects that look alike, fast.
pub mod reader;
/// Strict pulling of values out of JSON text.
pub mod scan;

/// Decodes the `json` format.
#[derive(Debug)]
pub struct Json {
    objects: Objects,
    keys: Keys,
}

/// What an object's record says beside the object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// Headers of the record.
    pub headers: Headers<'a>,
    /// Key of the record.
    pub key: Option<&'a [u8]>,
    /// Where the record lies.
    pub coordinate: Coordinate,
    /// Time that a wrapper gives, for objects without one.
    pub time: Option<&'a str>,
    /// Id that a wrapper gives: the one that `Dedup::OfFormat` means.
    pub id: Option<[&'a str; 2]>,
}

impl<'a> Around<'a> {
    /// A record without a wrapper.
    #[must_use]
    pub fn of(input: &Input<'a>) -> Self {
        Self { headers: input.headers, key: input.key, coordinate: input.coordinate, time: None, id: None }
    }
}

impl Json {
    /// A decoder for one source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self { objects: Objects::new(source, wanted), keys: Keys::default() }
    }

    /// Decodes a record's text, or what a wrapper held.
    pub fn decode_bytes(&mut self, bytes: &[u8], around: &Around<'_>, items: &mut dyn Items) {
        if bytes.is_empty() {
            return items.dead(0, Reason::EmptyValue, "zero bytes", bytes);
        }
        if u32::try_from(bytes.len()).is_err() {
            return items.dead(0, Reason::SizeExceeded, "a record above 4 GiB", bytes.get(..MAX_ITEM).unwrap_or_default());
        }
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => self.decode_text(text, around, items),
            Err(_) if bytes.get(space_end(bytes, 0)) == Some(&b'[') => items.dead(0, Reason::DecodeUtf8, "not UTF-8", bytes),
            Err(_) => self.decode_lines(bytes, around, items),
        }
    }

    /// Decodes lines of which some are not UTF-8.
    #[cold]
    fn decode_lines(&mut self, bytes: &[u8], around: &Around<'_>, items: &mut dyn Items) {
        let mut from = 0;
        for line in bytes.split(|byte| *byte == b'\n') {
            match std::str::from_utf8(line) {
                Ok(text) => self.decode_objects(text, from, around, items),
                Err(_) => items.dead(place(from), Reason::DecodeUtf8, "not UTF-8", line),
            }
            from += line.len() + 1;
        }
    }

    fn decode_text(&mut self, text: &str, around: &Around<'_>, items: &mut dyn Items) {
        let start = space_end(text.as_bytes(), 0);
        match text.as_bytes().get(start) {
            None => items.dead(0, Reason::DecodeJson, "white space only", text.as_bytes()),
            Some(b'[') => self.decode_array(text, start, around, items),
            Some(_) => self.decode_objects(text, 0, around, items),
        }
    }

    /// Decodes an array of objects.
    fn decode_array(&mut self, text: &str, start: usize, around: &Around<'_>, items: &mut dyn Items) {
        let mut scan = Scan::starting(text, start, &mut self.keys);
        if let Err(fault) = scan.skip().and_then(|()| scan.end()) {
            return dead_text(place(start), fault, text, items);
        }
        let mut scan = Scan::starting(text, start, &mut self.keys);
        let objects = &mut self.objects;
        let walked = scan.array(|scan| {
            let from = space_end(text.as_bytes(), scan.position());
            let element = scan.skip_raw()?;
            if element.starts_with('{') {
                objects.decode(text, from, 1, around, place(from), items)?;
            } else {
                items.dead(place(from), Reason::SchemaMismatch, "an element that is no object", element.as_bytes());
            }
            Ok(())
        });
        debug_assert_eq!(walked, Ok::<(), Fault>(()), "the array was checked");
    }

    /// Decodes objects, each ended by a line end or the end of the text, which lies at byte `base` of the record.
    fn decode_objects(&mut self, text: &str, base: usize, around: &Around<'_>, items: &mut dyn Items) {
        let bytes = text.as_bytes();
        let mut at = 0;
        loop {
            at = space_end(bytes, at);
            if at == bytes.len() {
                return;
            }
            at = match self.objects.read_line(text, at) {
                Ok((end, behind)) => {
                    self.objects.give(text, at, end, around, place(base + at), items);
                    behind
                }
                Err(fault) => {
                    let end = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)).map_or(bytes.len(), |length| at + length);
                    let line = text.get(at..end).unwrap_or_default().trim_ascii_end();
                    // The fault counts from the text's start; a reader of the dead letter has the line alone.
                    let fault = Fault { at: fault.at.saturating_sub(place(at)), ..fault };
                    match self.is_json(line) {
                        true => items.dead(place(base + at), Reason::SchemaMismatch, "no object", line.as_bytes()),
                        false => dead_text(place(base + at), fault, line, items),
                    }
                    end
                }
            };
        }
    }

    fn is_json(&mut self, line: &str) -> bool {
        let mut scan = Scan::new(line, &mut self.keys);
        scan.skip().and_then(|()| scan.end()).is_ok()
    }
}

impl Decoder for Json {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.decode_bytes(input.value, &Around::of(input), items);
    }
}

/// An item's place from its byte offset; records have less than 4 GiB.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Gives up a text that is not JSON.
pub(crate) fn dead_text(at: u32, fault: Fault, text: &str, items: &mut dyn Items) {
    if text.len() > MAX_ITEM {
        return items.dead(at, Reason::SizeExceeded, TOO_LARGE, text.as_bytes());
    }
    items.dead(at, fault.reason(), &fault.to_string(), text.as_bytes());
}

const TOO_LARGE: &str = "more than 1 MiB";

/// Makes events out of objects, by the mapping of one source.
#[derive(Debug)]
pub struct Objects {
    source: Source,
    mapping: Mapping,
    reader: Reader,
    timestamps: Timestamps,
    id: DedupId,
    operation: String,
}

/// A place of the mapping, as it is looked up.
#[derive(Debug)]
enum Place {
    Body(Slot),
    Header(String),
    Key,
}

/// Places of one field: the first present one wins.
#[derive(Debug)]
struct Places {
    places: Vec<Place>,
    /// The item bits (`Reader::seen`) without which none is present. Most fields of a mapping are absent from most items.
    bits: u64,
}

/// The mapping.
#[derive(Debug)]
struct Mapping {
    timestamp: Places,
    duration: Vec<(Places, Unit)>,
    service: Places,
    namespace: Places,
    operation: Places,
    status: Places,
    grpc_status: Places,
    outcome: Places,
    error_type: Places,
    host: Places,
    weight: Places,
    trace_id: Places,
    span_id: Places,
    sampled: Places,
    /// With the default.
    tags: Vec<(Places, String)>,
    rules: Vec<Places>,
    filter: Vec<Places>,
    id: Vec<Places>,
}

impl From<Vec<Place>> for Places {
    fn from(places: Vec<Place>) -> Self {
        // What a header or the key gives is not seen in the item.
        let bits = places.iter().map(|place| if let Place::Body(slot) = place { slot.bit() } else { u64::MAX });
        Self { bits: bits.fold(0, |all, bit| all | bit), places }
    }
}

/// A field that does not do, and why.
type Refused = (Reason, &'static str);

impl Objects {
    /// Makes events for one source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        let mut reader = Reader::default();
        let fields = &source.fields;
        let mut all = |paths: &[Path]| Places::from(paths.iter().flat_map(|path| places_of(path, &mut reader)).collect::<Vec<_>>());
        let traces = |paths: &[Path]| if wanted.traces { paths.to_vec() } else { Vec::new() };
        let id = match &source.dedup {
            Dedup::Off => Vec::new(),
            Dedup::OfFormat => vec![all(&[Path::Body(vec!["id".to_owned()])])],
            Dedup::By(paths) => paths.iter().map(|path| all(std::slice::from_ref(path))).collect(),
        };
        let mapping = Mapping {
            timestamp: all(&fields.timestamp),
            duration: fields.duration.iter().map(|(path, unit)| (all(std::slice::from_ref(path)), *unit)).collect(),
            service: all(&fields.service),
            namespace: all(&fields.namespace),
            operation: all(&fields.operation),
            status: all(&fields.status),
            grpc_status: all(&fields.grpc_status),
            outcome: all(&fields.outcome),
            error_type: all(&fields.error_type),
            host: all(&fields.host),
            weight: all(&fields.weight),
            trace_id: all(&traces(&fields.trace_id)),
            span_id: all(&traces(&fields.span_id)),
            sampled: all(&traces(&fields.sampled)),
            tags: wanted.tags.iter().take(MAX_WANTED).map(|tag| (all(&fields.tag(tag)), source.defaults.tag(tag).to_owned())).collect(),
            rules: source.outcome.iter().map(|rule| all(std::slice::from_ref(&rule.when.path))).collect(),
            filter: source.filter.iter().map(|condition| all(std::slice::from_ref(&condition.path))).collect(),
            id,
        };
        Self {
            mapping,
            reader,
            timestamps: Timestamps::new(source.timestamp_unit, source.timezone),
            id: DedupId::default(),
            operation: String::new(),
            source: source.clone(),
        }
    }

    /// Decodes the object at byte `from` of `text`, inside `depth` open containers; gives the offset behind it.
    ///
    /// # Errors
    /// It is no object of strict JSON; nothing was given to `items`.
    pub fn decode(
        &mut self,
        text: &str,
        from: usize,
        depth: usize,
        around: &Around<'_>,
        at: u32,
        items: &mut dyn Items,
    ) -> Result<usize, Fault> {
        let end = self.reader.read(text, from, depth)?;
        self.give(text, from, end, around, at, items);
        Ok(end)
    }

    /// Reads the object at byte `from` that must be the last of its line: the offsets behind it and behind the line's end.
    #[inline]
    fn read_line(&mut self, text: &str, from: usize) -> Result<(usize, usize), Fault> {
        let end = self.reader.read(text, from, 0)?;
        let bytes = text.as_bytes();
        let mut behind = end;
        while let Some(b' ' | b'\t' | b'\r') = bytes.get(behind) {
            behind += 1;
        }
        match bytes.get(behind) {
            Some(b'\n') => Ok((end, behind + 1)),
            None => Ok((end, behind)),
            Some(_) => Err(Fault { at: place(behind), kind: scan::FaultKind::Trailing }),
        }
    }

    /// Gives the object that was read last as what it is.
    fn give(&mut self, text: &str, from: usize, end: usize, around: &Around<'_>, at: u32, items: &mut dyn Items) {
        let given =
            if end - from > MAX_ITEM { Err((Reason::SizeExceeded, TOO_LARGE)) } else { self.event(text, from..end, around, at, items) };
        if let Err((reason, detail)) = given {
            items.dead(at, reason, detail, text.as_bytes().get(from..end).unwrap_or_default());
        }
    }

    fn event(
        &mut self,
        text: &str,
        object: std::ops::Range<usize>,
        around: &Around<'_>,
        at: u32,
        items: &mut dyn Items,
    ) -> Result<(), Refused> {
        let Self { source, mapping, reader, timestamps, id, operation } = self;
        let look = Look { reader, text, around };
        if !source.passes(|rule, _| mapping.filter.get(rule).and_then(|place| look.text(place))) {
            items.skipped(at, Skip::Filtered);
            return Ok(());
        }
        if reader.misshapen() {
            return Err((Reason::MappingFailed, "a mapped path leads through a value that is no object"));
        }
        let time = time(&look, &mapping.timestamp, timestamps)?;
        let duration = duration(&look, &mapping.duration)?;
        let event_time = source.placing.event_time(time, duration).map_err(|reason| (reason, "the event time does not fit"))?;
        let service = look.name(&mapping.service, source.defaults.service.as_deref(), "service")?;
        if service.is_empty() {
            return Err((Reason::ServiceMissing, "no service, and the source has no default"));
        }
        let mut name = look.name(&mapping.operation, source.defaults.operation.as_deref(), "operation")?;
        if source.operation == OperationRule::Template && !name.is_empty() {
            operation::from_text(operation, name);
            name = operation;
        }
        let mut status = look.status(mapping)?;
        if let Some(stated) = source.stated_outcome(service, |rule, _| mapping.rules.get(rule).and_then(|place| look.text(place))) {
            status.stated = Some(stated);
        }
        let verdict = classify(&status).map_err(|reason| (reason, "a status that is none"))?;
        set_id(id, &look, source, mapping)?;
        let weight = match look.find(&mapping.weight) {
            None => 1,
            Some(Found::Number(number) | Found::Text(number)) => {
                ids::weight(number, || id.draw(around.coordinate, at)).map_err(|reason| (reason, "weight outside 1 to 1 000 000"))?
            }
            Some(_) => return Err((Reason::WeightInvalid, "weight is no number")),
        };
        let mut held;
        let tags: &[&str] = if mapping.tags.is_empty() {
            &[]
        } else {
            held = [""; MAX_WANTED];
            for (value, (place, default)) in held.iter_mut().zip(&mapping.tags) {
                *value = match look.find(place) {
                    None => default,
                    Some(found) => found.as_text().ok_or((Reason::MappingFailed, "a tag that is no scalar"))?,
                };
            }
            held.get(..mapping.tags.len()).unwrap_or_default()
        };
        items.event(
            at,
            &Event {
                event_time: EventTime(event_time),
                duration,
                service,
                namespace: look.name(&mapping.namespace, source.defaults.namespace.as_deref(), "namespace")?,
                operation: if name.is_empty() { "unknown" } else { name },
                outcome: verdict.outcome,
                error_type: verdict.error_type,
                status: &status,
                status_class: verdict.status_class,
                host: look.name(&mapping.host, source.defaults.host.as_deref(), "host")?,
                tags,
                weight,
                trace: look.trace(mapping),
                dedup: id.hash(),
                raw: text.as_bytes().get(object).unwrap_or_default(),
            },
        );
        Ok(())
    }
}

/// A mapping's path as places. Dots may be nesting or part of a key: wholly nested, or the rest behind the first key in one key, or all.
fn places_of(path: &Path, reader: &mut Reader) -> Vec<Place> {
    match path {
        Path::Header(name) => vec![Place::Header(name.clone())],
        Path::Key => vec![Place::Key],
        Path::Body(keys) => {
            let nested: Vec<&str> = keys.iter().map(String::as_str).collect();
            let mut places = vec![Place::Body(reader.want(&nested))];
            if let [first, rest @ ..] = nested.as_slice()
                && rest.len() > 1
            {
                places.push(Place::Body(reader.want(&[first, &rest.join(".")])));
            }
            if nested.len() > 1 {
                places.push(Place::Body(reader.want(&[&nested.join(".")])));
            }
            places
        }
    }
}

/// An item and its record, to look into.
struct Look<'t> {
    reader: &'t Reader,
    text: &'t str,
    around: &'t Around<'t>,
}

impl<'t> Look<'t> {
    #[inline(always)]
    fn find(&self, places: &Places) -> Option<Found<'t>> {
        match places.places.as_slice() {
            // Most fields of a mapping are absent from most items, and some have no places at all.
            _ if self.reader.seen() & places.bits == 0 && places.bits != u64::MAX => None,
            [Place::Body(slot)] => self.reader.get(*slot, self.text),
            _ => self.found(places),
        }
    }

    fn found(&self, places: &Places) -> Option<Found<'t>> {
        for place in &places.places {
            let found = match place {
                Place::Body(slot) => self.reader.get(*slot, self.text),
                Place::Header(name) => text_of(self.around.headers.get(name)),
                Place::Key => text_of(self.around.key),
            };
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn text(&self, places: &Places) -> Option<&'t str> {
        self.find(places)?.as_text()
    }

    /// A name, which must be a text; its default, or nothing, when it is absent.
    #[inline]
    fn name(&self, places: &Places, default: Option<&'t str>, what: &'static str) -> Result<&'t str, Refused> {
        match self.find(places) {
            Some(Found::Text(text)) => Ok(text),
            None => Ok(default.unwrap_or_default()),
            Some(Found::Container) => Err((Reason::MappingFailed, what)),
            Some(_) => Err((Reason::SchemaMismatch, what)),
        }
    }

    #[inline(always)]
    fn status(&self, mapping: &Mapping) -> Result<Status<'t>, Refused> {
        let mut status = Status::default();
        match self.find(&mapping.status) {
            None => {}
            Some(Found::Text(text)) => status.set_text(text),
            Some(Found::Number(number)) => {
                // 200.0 is what some languages make of 200.
                let plain = || number.split_once('.').filter(|(_, fraction)| fraction.bytes().all(|digit| digit == b'0'));
                let code = whole_number(number).or_else(|| whole_number(plain()?.0));
                status.http = Some(code.ok_or((Reason::StatusInvalid, "a status that is no whole number"))?);
            }
            Some(_) => return Err((Reason::StatusInvalid, "a status that is neither number nor text")),
        }
        if let Some(grpc) = self.find(&mapping.grpc_status) {
            let code = grpc.as_text().and_then(Grpc::parse).ok_or((Reason::StatusInvalid, "an unknown gRPC status"))?;
            status.grpc = Some(code);
        }
        if let Some(outcome) = self.find(&mapping.outcome) {
            let stated = outcome.as_text().and_then(Outcome::parse);
            status.stated = Some(stated.ok_or((Reason::StatusInvalid, "an outcome that is not ok, error or ignored"))?);
        }
        status.error_type = Some(self.name(&mapping.error_type, None, "error_type")?);
        Ok(status)
    }

    /// The trace, when its ids are well-formed; a wrong one costs an example, not the event.
    fn trace(&self, mapping: &Mapping) -> Option<Trace> {
        let trace_id = ids::trace_id(self.text(&mapping.trace_id)?)?;
        let span_id = ids::span_id(self.text(&mapping.span_id)?)?;
        Some(Trace { trace_id, span_id, sampled: !matches!(self.text(&mapping.sampled), Some("false" | "0")) })
    }
}

fn text_of(bytes: Option<&[u8]>) -> Option<Found<'_>> {
    std::str::from_utf8(bytes?).ok().filter(|text| !text.is_empty()).map(Found::Text)
}

fn time(look: &Look<'_>, places: &Places, timestamps: &mut Timestamps) -> Result<i64, Refused> {
    let time = match look.find(places) {
        Some(Found::Number(number)) => timestamps.parse_number(number),
        Some(Found::Text(text)) => timestamps.parse_text(text),
        Some(_) => Err(Reason::TimeInvalid),
        None => look.around.time.map_or(Err(Reason::TimeMissing), |time| timestamps.parse_text(time)),
    };
    time.map_err(|reason| (reason, if reason == Reason::TimeMissing { "no time" } else { "not a time, not above zero, or out of range" }))
}

fn duration(look: &Look<'_>, places: &[(Places, Unit)]) -> Result<Option<u64>, Refused> {
    for (places, unit) in places {
        let duration = match look.find(places) {
            None => continue,
            Some(Found::Number(text) | Found::Text(text)) => duration_ns(text, *unit),
            Some(_) => Err(Reason::LatencyInvalid),
        };
        return duration.map(Some).map_err(|reason| (reason, "a duration that is negative, no number, or out of range"));
    }
    Ok(None)
}

fn set_id(id: &mut DedupId, look: &Look<'_>, source: &Source, mapping: &Mapping) -> Result<(), Refused> {
    let set = match (&source.dedup, look.around.id) {
        (Dedup::Off, _) => {
            id.clear();
            Ok(())
        }
        (Dedup::OfFormat, Some(given)) => id.set(given.map(|part| Some(part.as_bytes()))),
        _ => id.set(mapping.id.iter().map(|place| look.text(place).map(str::as_bytes))),
    };
    set.map_err(|reason| (reason, "a de-duplication id above 128 bytes"))
}

#[cfg(test)]
mod tests;
