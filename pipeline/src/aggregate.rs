//! The aggregate of one (window, series): integer counts, sums and sketches of its events, and a few of their traces.
//!
//! Everything in it commutes and associates: whatever the order and grouping in which events are added and aggregates merged, the encoded
//! bytes are the same. Where a limit forces a choice, the choice is by value (the smallest names, the slowest trace), never by arrival.
//! Every total only grows. No ratio is here: `signal/` divides, at the edge.
//!
//! Most events are no errors, so all that only errors need stands behind one pointer; a quiet series with sixty samples takes some
//! 600 bytes.

use crate::event::{Event, Trace};
use crate::outcome::Outcome;
use crate::resource::Usage;
use crate::sketch::{Overflow, Sketch, bin_of, micros_of, sum};
use platform_core::codec::{self, CodecError, Cursor};
use platform_core::planted::{Bug, planted};
use std::borrow::Cow;
use std::cmp::Ordering;

/// Error types counted by name in one aggregate. Of more, the smallest names stay and the rest is counted together: a choice that does
/// not depend on the order of events, and that moves a type only ever from its name to the rest, never back.
pub const ERROR_TYPES: usize = 20;
/// Numbers in `Aggregate::totals`.
pub const TOTALS: usize = 14;

/// Integer state of one (window, series).
#[derive(Clone, Debug, Default)]
pub struct Aggregate {
    counts: Counts,
    /// Durations of the events with outcome ok.
    ok_latency: Latency,
    /// The slowest traced event.
    slowest: Option<Box<Exemplar>>,
    /// What errors alone need.
    errors: Option<Box<Errors>>,
    /// What the service used of its resources: only in the finished sum of a whole service.
    usage: Option<Box<Usage>>,
}

/// Plain counts. All but `hash` are bounded to 63 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Raw events: ok, error and ignored.
    pub events: u64,
    /// Those of them that were merged after the window's close.
    pub late_events: u64,
    /// Σ weight with outcome ok.
    pub ok: u64,
    /// Σ weight with outcome error.
    pub errors: u64,
    /// Σ weight with outcome ignored.
    pub ignored: u64,
    /// Σ weight of ok and error by `StatusClass`.
    pub status_classes: [u64; 6],
    /// Raw events, ok or error, with a duration.
    pub samples: u64,
    /// Those of them that took more than an hour.
    pub clamped: u64,
    /// Σ hash of all events, wrapping.
    pub hash: u64,
}

impl Counts {
    /// Σ weight of ok and error.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.ok + self.errors
    }

    /// Adds every count, or says that one has no room.
    fn add(&mut self, other: &Self) -> Result<(), Overflow> {
        let mut status_classes = self.status_classes;
        for (mine, theirs) in status_classes.iter_mut().zip(other.status_classes) {
            *mine = sum(*mine, theirs)?;
        }
        let new = Self {
            events: sum(self.events, other.events)?,
            late_events: sum(self.late_events, other.late_events)?,
            ok: sum(self.ok, other.ok)?,
            errors: sum(self.errors, other.errors)?,
            ignored: sum(self.ignored, other.ignored)?,
            status_classes,
            samples: sum(self.samples, other.samples)?,
            clamped: sum(self.clamped, other.clamped)?,
            hash: self.hash.wrapping_add(other.hash),
        };
        sum(new.ok, new.errors)?;
        *self = new;
        Ok(())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        for count in [self.events, self.late_events, self.ok, self.errors, self.ignored] {
            codec::put_u64(out, count);
        }
        // Most series answer with one or two classes.
        let classes = self.status_classes.iter().enumerate();
        out.push(classes.clone().fold(0, |bits, (n, count)| bits | u8::from(*count > 0) << n));
        classes.filter(|(_, count)| **count > 0).for_each(|(_, count)| codec::put_u64(out, *count));
        codec::put_u64(out, self.samples);
        codec::put_u64(out, self.clamped);
        out.extend_from_slice(&self.hash.to_le_bytes());
    }

    fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let [events, late_events, ok, errors, ignored] = [from.u64()?, from.u64()?, from.u64()?, from.u64()?, from.u64()?];
        let classes = from.u8()?;
        let mut status_classes = [0; 6];
        if classes >> status_classes.len() != 0 {
            return Err(CodecError::Unknown { what: "status class", value: u64::from(classes) });
        }
        for (_, count) in status_classes.iter_mut().enumerate().filter(|(n, _)| classes >> n & 1 == 1) {
            *count = from.u64()?;
        }
        let [samples, clamped] = [from.u64()?, from.u64()?];
        let hash = from.take(8)?.try_into().map_or(0, u64::from_le_bytes);
        Ok(Self { events, late_events, ok, errors, ignored, status_classes, samples, clamped, hash })
    }
}

/// Durations of one outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Weighted counts by bin; their total is the count.
    pub sketch: Sketch,
    /// Exact Σ duration · weight, ns.
    pub sum_ns: u128,
    /// Exact largest duration, ns; not clamped.
    pub max_ns: u64,
}

impl Latency {
    fn add(&mut self, other: &Self) -> Result<(), Overflow> {
        let sum_ns = added(self.sum_ns, other.sum_ns)?;
        self.sketch.add(&other.sketch)?;
        self.sum_ns = sum_ns;
        self.max_ns = self.max_ns.max(other.max_ns);
        Ok(())
    }

    fn clear(&mut self) {
        self.sketch.clear();
        self.sum_ns = 0;
        self.max_ns = 0;
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.sketch.encode(out);
        if !self.sketch.is_empty() {
            codec::put_u128(out, self.sum_ns);
            codec::put_u64(out, self.max_ns);
        }
    }

    fn merge_encoded(&mut self, from: &mut Cursor<'_>) -> Result<(), CodecError> {
        let before = self.sketch.total();
        self.sketch.merge_encoded(from)?;
        if self.sketch.total() > before {
            self.sum_ns = added(self.sum_ns, from.u128()?)?;
            self.max_ns = self.max_ns.max(from.u64()?);
        }
        Ok(())
    }
}

fn added(one: u128, other: u128) -> Result<u128, Overflow> {
    if planted(Bug::FloatSum) {
        return Ok((one as f32 + other as f32) as u128);
    }
    one.checked_add(other).ok_or(Overflow)
}

/// What only errors have.
#[derive(Clone, Debug, Default)]
struct Errors {
    latency: Latency,
    /// Σ weight by type, the smallest names, ascending; at most `ERROR_TYPES`.
    types: Vec<(Box<str>, u64)>,
    /// Σ weight of the types beyond these.
    other_types: u64,
    slowest: Exemplar,
    first: Exemplar,
}

impl Errors {
    fn count(&mut self, name: &str, count: u64) -> Result<(), Overflow> {
        let at = match self.types.binary_search_by(|(held, _)| (**held).cmp(name)) {
            Ok(at) => {
                if let Some((_, held)) = self.types.get_mut(at) {
                    *held = sum(*held, count)?;
                }
                return Ok(());
            }
            Err(at) => at,
        };
        if at < ERROR_TYPES {
            if let Some((_, last)) = self.types.get(ERROR_TYPES - 1) {
                self.other_types = sum(self.other_types, *last)?;
                self.types.truncate(ERROR_TYPES - 1);
            }
            self.types.insert(at, (name.into(), count));
        } else {
            self.other_types = sum(self.other_types, count)?;
        }
        Ok(())
    }
}

/// A name that came from outside: two underscores in front are ours alone.
fn input_name(name: &str) -> Cow<'_, str> {
    if name.starts_with("__") { Cow::Owned(format!("x{name}")) } else { Cow::Borrowed(name) }
}

/// One traced event, kept as an example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemplar {
    /// False: none has been seen, the rest means nothing.
    held: bool,
    /// Whether the trace was kept.
    pub sampled: bool,
    /// Whether it was an error.
    pub error: bool,
    /// ns, if known.
    pub duration: Option<u64>,
    /// When it happened.
    pub event_time: i64,
    /// 16 bytes.
    pub trace_id: u128,
    /// 8 bytes.
    pub span_id: u64,
    /// Its operation.
    pub operation: String,
}

/// A traced event that may become an exemplar: nothing is allocated to find out that it does not.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    trace: Trace,
    error: bool,
    duration: Option<u64>,
    event_time: i64,
    operation: &'a str,
}

/// Which of two traced events is the better example.
#[derive(Clone, Copy)]
enum Prefer {
    Slower,
    Earlier,
}

impl Candidate<'_> {
    /// Sampled traces first, then the preference, then the smaller trace id; the rest makes the order total.
    fn better_than(&self, held: &Candidate<'_>, prefer: Prefer) -> bool {
        let wanted = match prefer {
            Prefer::Slower => self.duration.cmp(&held.duration),
            Prefer::Earlier => held.event_time.cmp(&self.event_time),
        };
        let order = self.trace.sampled.cmp(&held.trace.sampled).then(wanted).then_with(|| {
            let rest = |c: &Candidate<'_>| (c.trace.trace_id, c.trace.span_id, c.event_time, c.duration, c.error);
            rest(held).cmp(&rest(self)).then_with(|| held.operation.cmp(self.operation))
        });
        order == Ordering::Greater
    }
}

impl Exemplar {
    fn candidate(&self) -> Option<Candidate<'_>> {
        let trace = Trace { trace_id: self.trace_id, span_id: self.span_id, sampled: self.sampled };
        let &Self { held, error, duration, event_time, ref operation, .. } = self;
        held.then_some(Candidate { trace, error, duration, event_time, operation })
    }

    fn offer(&mut self, new: &Candidate<'_>, prefer: Prefer) {
        if self.candidate().is_some_and(|held| !new.better_than(&held, prefer)) {
            return;
        }
        self.held = true;
        self.sampled = new.trace.sampled;
        self.error = new.error;
        self.duration = new.duration;
        self.event_time = new.event_time;
        self.trace_id = new.trace.trace_id;
        self.span_id = new.trace.span_id;
        self.operation.clear();
        self.operation.push_str(new.operation);
    }
}

impl Candidate<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.trace.sampled) | u8::from(self.error) << 1 | u8::from(self.duration.is_some()) << 2);
        if let Some(duration) = self.duration {
            codec::put_u64(out, duration);
        }
        codec::put_i64(out, self.event_time);
        out.extend_from_slice(&self.trace.trace_id.to_le_bytes());
        out.extend_from_slice(&self.trace.span_id.to_le_bytes());
        codec::put_bytes(out, self.operation.as_bytes());
    }
}

impl<'a> Candidate<'a> {
    fn decode(from: &mut Cursor<'a>) -> Result<Self, CodecError> {
        let flags = from.u8()?;
        if flags > 7 {
            return Err(CodecError::Unknown { what: "exemplar flags", value: u64::from(flags) });
        }
        let duration = if flags & 4 != 0 { Some(from.u64()?) } else { None };
        let event_time = from.i64()?;
        let trace_id = from.take(16)?.try_into().map_or(0, u128::from_le_bytes);
        let span_id = from.take(8)?.try_into().map_or(0, u64::from_le_bytes);
        let trace = Trace { trace_id, span_id, sampled: flags & 1 != 0 };
        Ok(Self { trace, error: flags & 2 != 0, duration, event_time, operation: from.text()? })
    }
}

/// Bits of the byte that says which parts follow the counts.
const HAS_ERRORS: u8 = 1;
const HAS_SLOWEST: u8 = 2;
const HAS_SLOWEST_ERROR: u8 = 4;
const HAS_FIRST_ERROR: u8 = 8;
/// Since resources are told; aggregates of before do not have it.
const HAS_USAGE: u8 = 16;

impl Aggregate {
    /// Counts one event; `hash` is what the ledger sums for it: h(source partition, offset, item), or of its id. Weights are at most 10^6: no sum can pass 63 bits within any window (should one ever, that is a panic, since
    /// the release profile checks sums, and never a small number).
    pub fn add(&mut self, event: &Event<'_>, hash: u64) {
        let weight = u64::from(event.weight);
        let counts = &mut self.counts;
        counts.events += 1;
        counts.hash = counts.hash.wrapping_add(hash);
        match event.outcome {
            Outcome::Ignored => {
                counts.ignored += weight;
                return;
            }
            Outcome::Ok => counts.ok += weight,
            Outcome::Error => counts.errors += weight,
        }
        if let Some(class) = counts.status_classes.get_mut(event.status_class as usize) {
            *class += weight;
        }
        let is_error = event.outcome == Outcome::Error;
        let latency = if is_error {
            let errors = self.errors.get_or_insert_default();
            errors.count(&input_name(event.error_type), weight).expect("sums of weights are below 2^63");
            &mut errors.latency
        } else {
            &mut self.ok_latency
        };
        if let Some(duration) = event.duration {
            let (micros, clamped) = micros_of(duration);
            counts.samples += 1;
            counts.clamped += u64::from(clamped);
            latency.sketch.record(bin_of(micros), weight);
            latency.sum_ns += u128::from(duration) * u128::from(weight);
            latency.max_ns = latency.max_ns.max(duration);
        }
        if let Some(trace) = event.trace {
            let event_time = event.event_time.0;
            self.offer(&Candidate { trace, error: is_error, duration: event.duration, event_time, operation: event.operation });
        }
    }

    /// Lets a traced event, ok or error, try to become an exemplar.
    fn offer(&mut self, new: &Candidate<'_>) {
        if new.duration.is_some() {
            self.slowest.get_or_insert_default().offer(new, Prefer::Slower);
        }
        if new.error {
            let errors = self.errors.get_or_insert_default();
            if new.duration.is_some() {
                errors.slowest.offer(new, Prefer::Slower);
            }
            errors.first.offer(new, Prefer::Earlier);
        }
    }

    /// Adds another aggregate.
    ///
    /// # Errors
    /// When a sum would pass 63 bits, which only forged bytes can bring about. This aggregate is to be thrown away then.
    pub fn merge(&mut self, other: &Self) -> Result<(), Overflow> {
        self.counts.add(&other.counts)?;
        self.ok_latency.add(&other.ok_latency)?;
        if let Some(slowest) = other.slowest() {
            self.offer_held(slowest);
        }
        if let Some(theirs) = other.errors() {
            let mine = self.errors.get_or_insert_default();
            mine.latency.add(&theirs.latency)?;
            for (name, count) in &theirs.types {
                mine.count(name, *count)?;
            }
            mine.other_types = sum(mine.other_types, theirs.other_types)?;
            other.slowest_error().into_iter().chain(other.first_error()).for_each(|e| self.offer_held(e));
        }
        if let Some(usage) = &other.usage {
            self.usage.get_or_insert_default().merge(usage);
        }
        Ok(())
    }

    fn offer_held(&mut self, exemplar: &Exemplar) {
        if let Some(candidate) = exemplar.candidate() {
            self.offer(&candidate);
        }
    }

    /// Appends the encoded form: counts, ok durations, a byte of flags, then the parts that it names.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.counts.encode(out);
        self.ok_latency.encode(out);
        let errors = self.errors();
        let exemplars = [(HAS_SLOWEST, self.slowest()), (HAS_SLOWEST_ERROR, self.slowest_error()), (HAS_FIRST_ERROR, self.first_error())];
        let flags = exemplars.iter().filter(|(_, e)| e.is_some()).fold(0, |flags, (flag, _)| flags | flag);
        let usage = if self.usage.is_some() { HAS_USAGE } else { 0 };
        out.push(flags | usage | if errors.is_some() { HAS_ERRORS } else { 0 });
        if let Some(errors) = errors {
            errors.latency.encode(out);
            codec::put_u64(out, errors.types.len() as u64);
            for (name, count) in &errors.types {
                codec::put_bytes(out, name.as_bytes());
                codec::put_u64(out, *count);
            }
            codec::put_u64(out, errors.other_types);
        }
        exemplars.iter().filter_map(|(_, e)| e.and_then(Exemplar::candidate)).for_each(|c| c.encode(out));
        if let Some(usage) = &self.usage {
            usage.encode(out);
        }
    }

    /// Adds an encoded aggregate, without building it first.
    ///
    /// # Errors
    /// When the bytes are damaged or a sum would pass 63 bits. Part may then have been added: this aggregate is to be thrown away.
    pub fn merge_encoded(&mut self, from: &mut Cursor<'_>) -> Result<(), CodecError> {
        self.counts.add(&Counts::decode(from)?)?;
        self.ok_latency.merge_encoded(from)?;
        let flags = from.u8()?;
        if flags > 31 {
            return Err(CodecError::Unknown { what: "aggregate flags", value: u64::from(flags) });
        }
        if flags & HAS_ERRORS != 0 {
            let errors = self.errors.get_or_insert_default();
            errors.latency.merge_encoded(from)?;
            for _ in 0..from.count()? {
                let name = from.text()?;
                errors.count(name, from.u64()?)?;
            }
            errors.other_types = sum(errors.other_types, from.u64()?)?;
        }
        for _ in 0..(flags & (HAS_SLOWEST | HAS_SLOWEST_ERROR | HAS_FIRST_ERROR)).count_ones() {
            self.offer(&Candidate::decode(from)?);
        }
        if flags & HAS_USAGE != 0 {
            self.usage.get_or_insert_default().merge(&Usage::decode(from)?);
        }
        Ok(())
    }

    /// Reads one encoded aggregate.
    ///
    /// # Errors
    /// As `merge_encoded`.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let mut aggregate = Self::default();
        aggregate.merge_encoded(from)?;
        Ok(aggregate)
    }

    /// Forgets everything and keeps the memory for the next use.
    pub fn clear(&mut self) {
        self.counts = Counts::default();
        self.ok_latency.clear();
        if let Some(slowest) = &mut self.slowest {
            slowest.held = false;
        }
        if let Some(errors) = &mut self.errors {
            errors.latency.clear();
            errors.types.clear();
            errors.other_types = 0;
            errors.slowest.held = false;
            errors.first.held = false;
        }
        self.usage = None;
    }

    /// Says what the service used of its resources; nothing when that is not known.
    pub fn set_usage(&mut self, usage: Usage) {
        self.usage = (!usage.is_empty()).then(|| Box::new(usage));
    }

    /// What the service used of its resources, if it is known: only in the sum of a whole service.
    #[must_use]
    pub fn usage(&self) -> Option<&Usage> {
        self.usage.as_deref()
    }

    /// Counts all events in it as merged after the close: CLOSE says so of what it adds to a closed window.
    pub fn mark_late(&mut self) {
        self.counts.late_events = self.counts.events;
    }

    /// What errors have, unless it is only memory kept by `clear`.
    fn errors(&self) -> Option<&Errors> {
        self.errors.as_deref().filter(|e| !e.types.is_empty() || e.other_types > 0 || !e.latency.sketch.is_empty() || e.first.held)
    }

    /// The plain counts.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The totals that the growth rule compares: none of them ever shrinks, and both colours agree on them (on `late_events` they do not).
    #[must_use]
    pub fn totals(&self) -> [u64; TOTALS] {
        let Counts { events, late_events: _, ok, errors, ignored, status_classes: [a, b, c, d, e, f], samples, clamped, hash: _ } =
            self.counts;
        let [ok_count, error_count] = [self.ok_latency.sketch.total(), self.error_latency().map_or(0, |l| l.sketch.total())];
        [events, ok, errors, ignored, a, b, c, d, e, f, samples, clamped, ok_count, error_count]
    }

    /// Durations of the events with outcome ok.
    #[must_use]
    pub fn ok_latency(&self) -> &Latency {
        &self.ok_latency
    }

    /// Durations of the errors, if there is one.
    #[must_use]
    pub fn error_latency(&self) -> Option<&Latency> {
        self.errors().map(|e| &e.latency).filter(|l| !l.sketch.is_empty())
    }

    /// Σ weight by error type, names ascending.
    #[must_use]
    pub fn error_types(&self) -> &[(Box<str>, u64)] {
        self.errors().map_or(&[], |e| &e.types)
    }

    /// Σ weight of the error types that are not counted by name.
    #[must_use]
    pub fn other_error_types(&self) -> u64 {
        self.errors().map_or(0, |e| e.other_types)
    }

    /// The slowest traced event.
    #[must_use]
    pub fn slowest(&self) -> Option<&Exemplar> {
        self.slowest.as_deref().filter(|e| e.held)
    }

    /// The slowest traced error.
    #[must_use]
    pub fn slowest_error(&self) -> Option<&Exemplar> {
        self.errors().map(|e| &e.slowest).filter(|e| e.held)
    }

    /// The earliest traced error.
    #[must_use]
    pub fn first_error(&self) -> Option<&Exemplar> {
        self.errors().map(|e| &e.first).filter(|e| e.held)
    }

    /// Bytes on the heap; `size_of::<Aggregate>()` comes on top.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let slowest = self.slowest.as_deref().map_or(0, |e| size_of::<Exemplar>() + e.operation.capacity());
        let errors = self.errors.as_deref().map_or(0, |e| {
            let names = e.types.iter().map(|(name, _)| name.len()).sum::<usize>() + e.types.capacity() * size_of::<(Box<str>, u64)>();
            size_of::<Errors>() + e.latency.sketch.heap_bytes() + names + e.slowest.operation.capacity() + e.first.operation.capacity()
        });
        self.ok_latency.sketch.heap_bytes() + slowest + errors
    }
}

impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        let bytes = |a: &Self| {
            let mut out = Vec::new();
            a.encode(&mut out);
            out
        };
        bytes(self) == bytes(other)
    }
}

impl Eq for Aggregate {}

#[cfg(test)]
mod tests;
