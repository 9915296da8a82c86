//! Recomputation of published windows from their source, and the comparison (GUARANTEES §5).
//!
//! Plain integer sums in ordered maps, one event at a time: of FOLD and CLOSE it shares only the decoders, the canonical names, verdict, window
//! and bin, each shown right by tests of its own; nothing of aggregates, sketches, partials or closing. Reads records it is handed; finds no
//! logs and prints nothing. Above a cap of series only sums over all series of a window and grouping are compared.

use crate::aggregate::Aggregate;
use crate::decode::timestamp::{TimeUnit, Timestamps};
use crate::decode::{Coordinate, Decoder, Input, Items, Reason, Skip, Wanted};
use crate::emit::json::put_time;
use crate::emit::read::PublicRecord;
use crate::event::Event;
use crate::fold::verdict::{Verdict, verdict};
use crate::fold::{coordinate_hash, coordinate_seed};
use crate::identity::put_key;
use crate::names::{AGGREGATE, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use crate::outcome::Outcome;
use crate::overrides::of_events::EventRules;
use crate::series::{SeriesTable, parts};
use crate::settings::Checked;
use crate::sketch::{bin_of, micros_of};
use platform_core::codec::Cursor;
use platform_core::partitioner::partition_of;
use platform_core::record::{Offset, Record};
use platform_core::time::EventTime;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Which windows, of which service.
#[derive(Clone, Debug)]
pub struct Span {
    /// First instant that a window may start at.
    pub from: EventTime,
    /// First instant behind.
    pub to: EventTime,
    /// Of this service alone.
    pub service: Option<String>,
}

/// What a number is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// Start of the window.
    pub window: EventTime,
    /// Name of the grouping.
    pub grouping: String,
    /// Namespace of the service; may be empty.
    pub namespace: String,
    /// Name of the service.
    pub service: String,
    /// Values of the grouping's dimensions, in its order.
    pub values: Vec<String>,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut window = Vec::new();
        put_time(&mut window, self.window.0);
        write!(f, "window={} grouping={} service={}", String::from_utf8_lossy(&window), self.grouping, self.service)?;
        if !self.namespace.is_empty() {
            write!(f, " namespace={}", self.namespace)?;
        }
        self.values.iter().try_for_each(|value| write!(f, " value={value:?}"))
    }
}

/// Integers of one identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// Raw events.
    pub events: u64,
    /// Σ weight with outcome ok.
    pub ok: u64,
    /// Σ weight with outcome error.
    pub errors: u64,
    /// Σ weight with outcome ignored.
    pub ignored: u64,
    /// Σ hash of coordinates or ids, wrapping.
    pub hash: u64,
    /// Σ duration · weight of ok and of errors, ns.
    pub durations: [u128; 2],
    /// Weighted counts by bin, of ok and of errors.
    pub bins: [BTreeMap<u16, u64>; 2],
}

impl Sums {
    fn add(&mut self, event: &Event<'_>, hash: u64) {
        let weight = u64::from(event.weight);
        self.events += 1;
        self.hash = self.hash.wrapping_add(hash);
        let [of_ok, of_errors] = &mut self.durations;
        let [ok_bins, error_bins] = &mut self.bins;
        let (sum, bins) = match event.outcome {
            Outcome::Ignored => {
                self.ignored += weight;
                return;
            }
            Outcome::Ok => {
                self.ok += weight;
                (of_ok, ok_bins)
            }
            Outcome::Error => {
                self.errors += weight;
                (of_errors, error_bins)
            }
        };
        if let Some(duration) = event.duration {
            *sum += u128::from(duration) * u128::from(weight);
            *bins.entry(bin_of(micros_of(duration).0)).or_default() += weight;
        }
    }

    fn of(aggregate: &Aggregate) -> Self {
        let counts = aggregate.counts();
        let latencies = [Some(aggregate.ok_latency()), aggregate.error_latency()];
        Self {
            events: counts.events,
            ok: counts.ok,
            errors: counts.errors,
            ignored: counts.ignored,
            hash: counts.hash,
            durations: latencies.map(|latency| latency.map_or(0, |l| l.sum_ns)),
            bins: latencies.map(|latency| latency.map(|l| l.sketch.bins().collect()).unwrap_or_default()),
        }
    }

    /// Adds other sums.
    pub fn merge(&mut self, other: &Self) {
        self.events += other.events;
        self.ok += other.ok;
        self.errors += other.errors;
        self.ignored += other.ignored;
        self.hash = self.hash.wrapping_add(other.hash);
        for (mine, theirs) in self.durations.iter_mut().zip(other.durations) {
            *mine += theirs;
        }
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            theirs.iter().for_each(|(bin, count)| *mine.entry(*bin).or_default() += count);
        }
    }
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Of what.
    pub identity: Identity,
    /// By the source.
    pub expected: Sums,
    /// As published.
    pub published: Sums,
    /// Partition and offset of the one record that explains the difference of hashes, and whether it is missing (else it stands twice).
    pub record: Option<(u32, Offset, bool)>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identity, expected, published, record } = self;
        write!(f, "I3 value {identity}")?;
        for (name, expected, published) in [
            ("events", expected.events, published.events),
            ("ok", expected.ok, published.ok),
            ("errors", expected.errors, published.errors),
            ("ignored", expected.ignored, published.ignored),
        ] {
            if expected != published {
                write!(f, " {name}: expected {expected}, published {published}")?;
            }
        }
        if expected.hash != published.hash {
            write!(f, " hash: expected {:016x}, published {:016x}", expected.hash, published.hash)?;
        }
        if expected.durations != published.durations {
            write!(f, " durations differ")?;
        }
        if expected.bins != published.bins {
            write!(f, " bins differ")?;
        }
        match record {
            Some((partition, offset, true)) => write!(f, " missing=[({partition}, {offset})]"),
            Some((partition, offset, false)) => write!(f, " twice=[({partition}, {offset})]"),
            None => Ok(()),
        }
    }
}

/// What a comparison gave.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Windows that were compared.
    pub windows: usize,
    /// Identities that were compared.
    pub compared: usize,
    /// Events in them, by the source; an event counts once in each grouping.
    pub events: u64,
    /// Windows that are not final yet, and so were not compared.
    pub not_final: BTreeSet<EventTime>,
    /// In order of their identities.
    pub differences: Vec<Difference>,
}

/// Coordinates of the events of one identity, by hash.
type Coordinates = Vec<(u64, u32, Offset)>;

/// A recomputation under way.
pub struct Verify {
    settings: Checked,
    tenant: String,
    span: Span,
    series: SeriesTable,
    expected: BTreeMap<Identity, (Sums, Coordinates)>,
    /// Whether the coordinates of single events are kept, to name the one that makes a difference.
    traced: bool,
    seen: BTreeSet<(EventTime, Vec<u8>, u128)>,
    /// With partition and revision.
    published: BTreeMap<Identity, (u32, u64, Sums)>,
    /// Windows and groupings in which a cap was passed.
    capped: BTreeSet<(EventTime, String)>,
    /// By partition of the public topic, up to where windows are final.
    final_to: BTreeMap<u32, EventTime>,
    rules: EventRules,
    times: Timestamps,
}

impl Verify {
    /// For these windows, by rules that know all decisions there are.
    #[must_use]
    pub fn new(settings: Checked, tenant: &str, span: Span, rules: EventRules) -> Self {
        Self {
            settings,
            tenant: tenant.to_owned(),
            span,
            series: SeriesTable::default(),
            expected: BTreeMap::new(),
            traced: true,
            seen: BTreeSet::new(),
            published: BTreeMap::new(),
            capped: BTreeSet::new(),
            final_to: BTreeMap::new(),
            rules,
            times: Timestamps::new(TimeUnit::Rfc3339, None),
        }
    }

    /// The same for whoever wants the sums and compares nothing with what was published.
    #[must_use]
    pub fn counting(settings: Checked, tenant: &str, span: Span, rules: EventRules) -> Self {
        Self { traced: false, ..Self::new(settings, tenant, span, rules) }
    }

    /// What decoders of the source must look for.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        self.rules.wanted(false)
    }

    /// The sums by the source.
    #[must_use]
    pub fn counted(self) -> BTreeMap<Identity, Sums> {
        self.expected.into_iter().map(|(identity, (sums, _))| (identity, sums)).collect()
    }

    /// Takes a record of the source.
    pub fn source(&mut self, partition: u32, record: &Record<'_>, decoder: &mut dyn Decoder) {
        let Some(value) = record.value else { return };
        // No event of these windows was appended earlier or later than this, or it is none of theirs.
        let limits = self.settings.verdicts;
        if record.append_time.is_some_and(|t| t.0 < self.span.from.0 - limits.skew || t.0 > self.span.to.0 + limits.retain) {
            return;
        }
        let coordinate = Coordinate { partition, offset: record.offset.0 };
        let mut counting = Counting { verify: self, partition, record };
        decoder.decode(&Input { headers: record.headers, key: record.key, value, coordinate }, &mut counting);
    }

    /// Takes a record of the public topic. Later ones of an identity replace earlier ones.
    pub fn public(&mut self, partition: u32, record: &Record<'_>) {
        let Some(value) = record.value else { return };
        match record.headers.get(SCHEMA) {
            Some(schema) if schema == SCHEMA_SIGNALS.as_bytes() => self.signals(partition, record, value),
            Some(schema) if schema == SCHEMA_PROGRESS.as_bytes() => {
                if let Ok(Progress { window_end }) = serde_json::from_slice(value) {
                    let known = self.final_to.entry(partition).or_insert(EventTime(window_end));
                    *known = EventTime(window_end).max(*known);
                }
            }
            _ => {}
        }
    }

    fn signals(&mut self, partition: u32, record: &Record<'_>, value: &[u8]) {
        let Ok(public) = serde_json::from_slice::<PublicRecord<'_>>(value) else { return };
        let Ok(start) = self.times.parse_text(&public.window_start) else { return };
        let window = EventTime(start);
        if !self.wants(window, &public.service) || public.tenant != self.tenant.as_str() {
            return;
        }
        if public.overflow {
            self.capped.insert((window, public.grouping.to_string()));
        }
        let Some(grouping) = self.settings.groupings.list().iter().find(|g| *g.name == *public.grouping) else { return };
        let names = self.settings.groupings.dimensions();
        let values = grouping.dimensions.iter().filter_map(|place| names.get(*place));
        let values = values.map(|name| public.dimensions.get(name.as_str()).map(ToString::to_string).unwrap_or_default()).collect();
        let (namespace, service) = (public.service_namespace.to_string(), public.service.to_string());
        let identity = Identity { window, grouping: public.grouping.to_string(), namespace, service, values };
        let integers = record.headers.get(AGGREGATE).and_then(|bytes| Aggregate::decode(&mut Cursor::new(bytes)).ok());
        let sums = integers.as_ref().map(Sums::of).unwrap_or_default();
        let newest = self.published.get(&identity).is_none_or(|(_, revision, _)| *revision <= public.revision);
        if newest {
            self.published.insert(identity, (partition, public.revision, sums));
        }
    }

    fn wants(&self, window: EventTime, service: &str) -> bool {
        self.span.from <= window && window < self.span.to && self.span.service.as_deref().is_none_or(|wanted| wanted == service)
    }

    /// Whether the window is final in the partition of the service. A partition that never had a service never says so.
    fn is_final(&self, identity: &Identity, partitions: u32) -> bool {
        let partition = self.published.get(identity).map_or_else(
            || {
                let mut key = Vec::new();
                put_key(&self.tenant, &identity.service, &mut key);
                partition_of(&key, partitions)
            },
            |(partition, ..)| *partition,
        );
        let end = self.settings.window.window_of(identity.window).end;
        self.final_to.get(&partition).is_some_and(|final_to| end <= *final_to)
    }

    /// Compares; the public topic has this many partitions.
    #[must_use]
    pub fn compare(mut self, partitions: u32) -> Report {
        let mut report = Report::default();
        let mut windows = BTreeSet::new();
        let mut together: BTreeMap<(EventTime, String), (Sums, Sums)> = BTreeMap::new();
        let identities: BTreeSet<Identity> = self.expected.keys().chain(self.published.keys()).cloned().collect();
        for identity in identities {
            if !self.is_final(&identity, partitions) {
                report.not_final.insert(identity.window);
                continue;
            }
            windows.insert(identity.window);
            report.compared += 1;
            let (expected, coordinates) = self.expected.remove(&identity).unwrap_or_default();
            let published = self.published.remove(&identity).map(|(_, _, sums)| sums).unwrap_or_default();
            report.events += expected.events;
            let place = (identity.window, identity.grouping.clone());
            if self.capped.contains(&place) {
                let (all_expected, all_published) = together.entry(place).or_default();
                all_expected.merge(&expected);
                all_published.merge(&published);
            } else if expected != published {
                let gap = |hash: u64, from: u64| from.wrapping_sub(hash);
                let missing = coordinates.iter().find(|(hash, ..)| gap(published.hash, expected.hash) == *hash);
                let twice = coordinates.iter().find(|(hash, ..)| gap(expected.hash, published.hash) == *hash);
                let record = missing.map(|(_, p, o)| (*p, *o, true)).or_else(|| twice.map(|(_, p, o)| (*p, *o, false)));
                report.differences.push(Difference { identity, expected, published, record });
            }
        }
        for ((window, grouping), (expected, published)) in together.into_iter().filter(|(_, (e, p))| e != p) {
            let service = "(all, above a cap)".to_owned();
            let identity = Identity { window, grouping, namespace: String::new(), service, values: vec![] };
            report.differences.push(Difference { identity, expected, published, record: None });
        }
        report.windows = windows.len();
        report
    }
}

#[derive(serde::Deserialize)]
struct Progress {
    /// ns
    window_end: i64,
}

/// Items of one source record.
struct Counting<'v, 'r> {
    verify: &'v mut Verify,
    partition: u32,
    record: &'r Record<'r>,
}

impl Items for Counting<'_, '_> {
    fn event(&mut self, at: u32, event: &Event<'_>) {
        let Self { verify, partition, record } = self;
        let Verify { settings, tenant, series, expected, traced, seen, span, rules, .. } = &mut **verify;
        if record.append_time.is_some_and(|append| verdict(event.event_time, append, &settings.verdicts) != Verdict::Folded) {
            return;
        }
        let window = settings.window.window_of(event.event_time).start;
        if window < span.from || window >= span.to {
            return;
        }
        let (id, judged) = rules.seen(event, |event| series.of_event(tenant, event, &settings.groupings, 1));
        let event = judged.as_ref().unwrap_or(event);
        let Ok(id) = id else { return };
        let key = series.key(id);
        if event.dedup.is_some_and(|id| !seen.insert((window, key.to_vec(), id))) {
            return;
        }
        let hash = match event.dedup {
            Some(id) => (id as u64) ^ ((id >> 64) as u64),
            None => coordinate_hash(coordinate_seed(*partition, record.offset), at),
        };
        let texts: Vec<&str> = parts(key).collect();
        let [_, namespace, service, values @ ..] = texts.as_slice() else { return };
        if span.service.as_deref().is_some_and(|wanted| wanted != *service) {
            return;
        }
        for grouping in settings.groupings.list() {
            let values = grouping.dimensions.iter().filter_map(|place| values.get(*place)).map(|v| (*v).to_owned()).collect();
            let (namespace, service) = ((*namespace).to_owned(), (*service).to_owned());
            let (sums, coordinates) =
                expected.entry(Identity { window, grouping: grouping.name.clone(), namespace, service, values }).or_default();
            sums.add(event, hash);
            if *traced {
                coordinates.push((hash, *partition, record.offset));
            }
        }
    }

    fn skipped(&mut self, _: u32, _: Skip) {}

    fn dead(&mut self, _: u32, _: Reason, _: &str, _: &[u8]) {}
}
