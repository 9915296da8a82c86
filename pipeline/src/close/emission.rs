//! Records out of aggregates: finals and corrections of one service, lines of the late ledger, progress records.
//!
//! One order for all: services, then groupings by name, then dimension values. Each record says in its headers what the router and the
//! sinks need, so that nobody reads the value twice. Decides health; keeps no state but reused buffers.

use crate::aggregate::Aggregate;
use crate::close::{CloseSettings, Failure};
use crate::emit::record::{Final, LateLine, RecordEncoder, RecordSettings, ShadowLine, Subject, put_shadow};
use crate::grouping::Grouping;
use crate::identity::{Identity, put_key};
use crate::names;
use crate::overrides::activation::Activation;
use crate::overrides::of_windows::{WindowScope, rule_of, ruled};
use crate::resource::Resources;
use crate::series::{OVERFLOW, parts};
use crate::signal::completeness::Completeness;
use crate::signal::health::{self, DEFAULT_RULE_SHA256, Health, Level};
use crate::signal::saturation::saturation;
use golden_overrides::file::Override;
use platform_core::codec::CodecError;
use platform_core::growth::{Growth, Sums};
use platform_core::record::{NewRecord, Partition};
use platform_core::stage::Emit;
use platform_core::time::EventTime;
use platform_core::window::Window;
use std::collections::{BTreeMap, BTreeSet};

/// Name in identities of the late ledger, where records have their grouping.
const LATE: &str = "late";
/// The same of what a rule that is tried gives.
const SHADOW: &str = "shadow";

/// What is the same for all records of a window.
#[derive(Clone, Copy)]
pub(super) struct Closed<'a> {
    /// Which one.
    pub(super) window: Window,
    /// Share of the input that was seen.
    pub(super) completeness: Completeness,
    /// Overrides in force.
    pub(super) version: Option<&'a Activation>,
    /// What instances of the service used of their resources.
    pub(super) resources: Option<&'a Resources>,
}

/// What is the same for all records of one service and grouping in it.
struct Of<'a> {
    closed: &'a Closed<'a>,
    grouping: &'a Grouping,
    found: Option<&'a Override>,
}

/// Key of the levels that a rule which is tried has given a service: behind all keys of its series, and that of no series.
pub(super) fn shadow_key(service: &[u8]) -> Vec<u8> {
    [service, b"\xff"].concat()
}

/// Writes the records of one partition.
pub(super) struct Emission {
    settings: CloseSettings,
    to: Partition,
    encoder: RecordEncoder,
    value: Vec<u8>,
    growth: Vec<u8>,
    identity: Vec<u8>,
    aggregate: Vec<u8>,
    key: Vec<u8>,
    /// Of the service that is being written.
    sums: Sums,
}

/// What was written of one service or of a window.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Written {
    /// Its events, each once.
    pub(super) events: u64,
    /// Sum of their hashes.
    pub(super) hash: u64,
    /// Over all records, of every grouping.
    pub(super) all: Sums,
}

impl Written {
    /// And that of another service.
    pub(super) fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.hash = self.hash.wrapping_add(other.hash);
        self.all.finals += other.all.finals;
        self.all.events = self.all.events.wrapping_add(other.all.events);
        self.all.hash = self.all.hash.wrapping_add(other.all.hash);
    }
}

/// Asked for the level that was known before, by series or service key.
pub(super) type Before<'a> = &'a mut dyn FnMut(&[u8]) -> u8;
/// Told the level before and the one decided (`None`: unknown), by series or service key.
pub(super) type Decided<'a> = &'a mut dyn FnMut(&[u8], u8, Option<u8>);

impl Emission {
    pub(super) fn new(settings: &CloseSettings, partition: u32) -> Self {
        let record = RecordSettings { histogram: settings.histogram, suppress_low_confidence: settings.suppress_low_confidence };
        Self {
            to: Partition::new(&settings.signals, partition),
            encoder: RecordEncoder::new(record),
            settings: settings.clone(),
            value: vec![],
            growth: vec![],
            identity: vec![],
            aggregate: vec![],
            key: vec![],
            sums: Sums::default(),
        }
    }

    /// Which partition it writes for.
    pub(super) fn partition(&self) -> u32 {
        self.to.index
    }

    /// The records of one service in one window: of every grouping, or of those keys that sum a series in `only`.
    #[expect(clippy::too_many_arguments, reason = "all of them are facts of one window and service; a struct would be built once per call")]
    pub(super) fn service(
        &mut self,
        closed: &Closed<'_>,
        service: &[u8],
        series: &[(&[u8], &Aggregate)],
        only: Option<&BTreeSet<Box<[u8]>>>,
        before: Before<'_>,
        decided: Decided<'_>,
        out: &mut dyn Emit,
    ) -> Result<Written, Failure> {
        let all = self.settings.groupings.dimensions().len();
        let mut written = Written::default();
        self.sums = Sums::default();
        for (_, aggregate) in series {
            written.events += aggregate.counts().events;
            written.hash = written.hash.wrapping_add(aggregate.counts().hash);
        }
        let found = closed.version.and_then(|version| version.find_by_key(service));
        let groupings = self.groupings_of(found);
        for grouping in &groupings {
            let of = Of { closed, grouping, found };
            let whole = grouping.dimensions.is_empty();
            let finest = grouping.dimensions.len() == all;
            let wanted = |key: &[u8]| only.is_none_or(|only| only.contains(key));
            let usage = closed.resources.filter(|_| whole).map(Resources::usage);
            // A sum of one is what it sums; everything else is summed afresh.
            if finest && !(whole && series.is_empty()) && usage.is_none() {
                for (key, aggregate) in series.iter().filter(|(key, _)| wanted(key)) {
                    let level_key = if whole { service } else { key };
                    self.one(&of, key, level_key, aggregate, before, decided, out)?;
                }
                continue;
            }
            for (key, mut aggregate) in roll_up(grouping, service, series, &wanted)? {
                usage.iter().for_each(|usage| aggregate.set_usage(usage.clone()));
                self.one(&of, &key, service, &aggregate, before, decided, out)?;
            }
        }
        written.all = self.sums;
        Ok(written)
    }

    /// Groupings of a service, by name: everybody's, and those of its override that have only dimensions which series have.
    fn groupings_of(&self, found: Option<&Override>) -> Vec<Grouping> {
        let mut list = self.settings.groupings.list().to_vec();
        let names = self.settings.groupings.dimensions();
        for (name, dimensions) in found.iter().flat_map(|found| &found.groupings) {
            let places = dimensions.iter().map(|dimension| names.iter().position(|known| known == dimension));
            let Some(mut places) = places.collect::<Option<Vec<usize>>>() else { continue };
            places.sort_unstable();
            if list.iter().all(|known| known.name != *name) {
                list.push(Grouping { name: name.clone(), dimensions: places });
            }
        }
        list.sort_by(|a, b| a.name.cmp(&b.name));
        list
    }

    #[expect(clippy::too_many_arguments, reason = "one record is made of this many facts")]
    fn one(
        &mut self,
        of: &Of<'_>,
        key: &[u8],
        level_key: &[u8],
        aggregate: &Aggregate,
        before: Before<'_>,
        decided: Decided<'_>,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let names = self.settings.groupings.dimensions().to_vec();
        let texts: Vec<&str> = parts(key).collect();
        let service = texts.get(2).copied().unwrap_or_default();
        let dimension = |place: &usize| (names.get(*place).map_or("", String::as_str), texts.get(place + 3).copied().unwrap_or_default());
        let dimensions: Vec<(&str, &str)> = of.grouping.dimensions.iter().map(dimension).collect();
        let whole = of.grouping.dimensions.is_empty();
        let finest = of.grouping.dimensions.len() == names.len();
        // Levels are remembered per service and per finest series; other sums have no memory to compare with.
        let health = (whole || finest && self.settings.health_of_all).then(|| {
            let previous = Level::of(f64::from(before(level_key))).unwrap_or(Level::Healthy);
            let health = self.health(of, of.found, aggregate, service, &dimensions, previous);
            decided(level_key, previous.number(), health.level.map(Level::number));
            health
        });
        if whole && let Some(shadow) = of.closed.version.and_then(|version| version.shadow_by_key(key)) {
            let own_key = shadow_key(level_key);
            let previous = Level::of(f64::from(before(&own_key))).unwrap_or(Level::Healthy);
            let beside = self.health(of, Some(shadow), aggregate, service, &dimensions, previous);
            decided(&own_key, previous.number(), beside.level.map(Level::number));
            self.shadow(of, &texts, aggregate, health, beside, shadow, out)?;
        }
        self.record(of, &texts, &dimensions, aggregate, health, out)
    }

    /// The verdict of an override, or of the default rule when it says nothing of health.
    fn health(
        &self,
        of: &Of<'_>,
        found: Option<&Override>,
        aggregate: &Aggregate,
        service: &str,
        dimensions: &[(&str, &str)],
        previous: Level,
    ) -> Health {
        let Closed { completeness, .. } = *of.closed;
        let scope = WindowScope::new(aggregate, self.settings.window, completeness, previous, service, dimensions, found);
        let (ruled, failure) = ruled(rule_of(found), &scope);
        if let Some(reason) = failure {
            let service = service.to_owned();
            metrics::counter!("golden_signals_override_errors_total", "service_name" => service, "reason" => reason).increment(1);
        }
        let counts = aggregate.counts();
        health::decide(ruled, counts.requests(), counts.errors, completeness, self.settings.min_completeness, previous)
    }

    fn record(
        &mut self,
        of: &Of<'_>,
        texts: &[&str],
        dimensions: &[(&str, &str)],
        aggregate: &Aggregate,
        health: Option<Health>,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let text = |place: usize| texts.get(place).copied().unwrap_or_default();
        let (tenant, namespace, service) = (text(0), text(1), text(2));
        let Closed { window, completeness, version, resources: _ } = *of.closed;
        let saturation = dimensions
            .is_empty()
            .then(|| saturation(aggregate.usage(), aggregate.counts().requests(), self.settings.window, of.found))
            .flatten();
        let overflow = service.starts_with(OVERFLOW) || dimensions.iter().any(|(_, value)| *value == OVERFLOW);
        let in_force = of.found.zip(version);
        let result = Final {
            subject: Subject { tenant, namespace, service, grouping: &of.grouping.name, dimensions, overflow },
            window_start: window.start,
            window: self.settings.window,
            revision: 0,
            completeness,
            aggregate,
            saturation,
            health,
            override_version: in_force.map_or(0, |(_, version)| version.said.version),
            override_sha256: in_force.map_or(DEFAULT_RULE_SHA256, |(found, _)| &found.sha256),
            sources: None,
        };
        self.value.clear();
        let revision_at = self.encoder.put_final(&result, &mut self.value);
        let values = dimensions.iter().map(|(_, value)| (*value).to_owned()).collect();
        let identity = self.identity_of(window, texts, &of.grouping.name, values);
        let growth = Growth { revision_at, complete: completeness.is_full(), totals: aggregate.totals().to_vec() };
        self.sums.add(growth.totals.first().copied().unwrap_or(0), aggregate.counts().hash);
        self.send(names::SCHEMA_SIGNALS, &identity, &growth, aggregate, out)
    }

    /// What a rule that is tried gives beside the one in force.
    #[expect(clippy::too_many_arguments, reason = "one record is made of this many facts")]
    fn shadow(
        &mut self,
        of: &Of<'_>,
        texts: &[&str],
        aggregate: &Aggregate,
        live: Option<Health>,
        beside: Health,
        found: &Override,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let text = |place: usize| texts.get(place).copied().unwrap_or_default();
        let window = of.closed.window;
        let line = ShadowLine {
            tenant: text(0),
            namespace: text(1),
            service: text(2),
            window_start: window.start,
            window: self.settings.window,
            revision: 0,
            live,
            shadow: beside,
            version: of.closed.version.map_or(0, |version| version.said.version),
            sha256: &found.sha256,
        };
        self.value.clear();
        let revision_at = put_shadow(&line, &mut self.value);
        let identity = self.identity_of(window, texts, SHADOW, vec![]);
        let growth = Growth { revision_at, complete: of.closed.completeness.is_full(), totals: aggregate.totals().to_vec() };
        self.send(names::SCHEMA_SHADOW, &identity, &growth, &Aggregate::default(), out)
    }

    fn identity_of(&self, window: Window, texts: &[&str], grouping: &str, dimensions: Vec<String>) -> Identity {
        let text = |place: usize| texts.get(place).copied().unwrap_or_default().to_owned();
        Identity {
            window_start: window.start,
            window_nanos: self.settings.window.nanos(),
            tenant: text(0),
            namespace: text(1),
            service: text(2),
            grouping: grouping.to_owned(),
            dimensions,
        }
    }

    /// A line of the late ledger.
    pub(super) fn late(&mut self, window: Window, key: &[u8], aggregate: &Aggregate, out: &mut dyn Emit) -> Result<(), Failure> {
        let mut texts = parts(key);
        let (tenant, namespace, service) =
            (texts.next().unwrap_or_default(), texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        let line =
            LateLine { tenant, namespace, service, window_start: window.start, window: self.settings.window, revision: 0, aggregate };
        self.value.clear();
        let revision_at = self.encoder.put_late(&line, &mut self.value);
        let identity = self.identity_of(window, &[tenant, namespace, service], LATE, vec![]);
        let growth = Growth { revision_at, complete: true, totals: aggregate.totals().to_vec() };
        self.send(names::SCHEMA_LATE, &identity, &growth, aggregate, out)
    }

    fn send(
        &mut self,
        schema: &str,
        identity: &Identity,
        growth: &Growth,
        aggregate: &Aggregate,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        for buffer in [&mut self.identity, &mut self.growth, &mut self.aggregate, &mut self.key] {
            buffer.clear();
        }
        identity.encode(&mut self.identity);
        growth.encode(&mut self.growth);
        aggregate.encode(&mut self.aggregate);
        put_key(&identity.tenant, &identity.service, &mut self.key);
        let hash = format!("{:016x}", aggregate.counts().hash);
        let epoch = self.settings.stamp.epoch.to_string();
        let headers: [(&str, &[u8]); 9] = [
            (names::SCHEMA, schema.as_bytes()),
            (names::CONTENT_TYPE, b"application/json"),
            (names::TENANT, identity.tenant.as_bytes()),
            (names::COLOUR_HEADER, self.settings.stamp.colour.as_bytes()),
            (names::EPOCH_HEADER, epoch.as_bytes()),
            (names::HASH, hash.as_bytes()),
            (names::IDENTITY, &self.identity),
            (names::GROWTH, &self.growth),
            (names::AGGREGATE, &self.aggregate),
        ];
        out.append(&self.to, NewRecord { key: Some(&self.key), headers: &headers, value: Some(&self.value) })?;
        Ok(())
    }

    /// The progress record of a closed window: the watermark, and up to where windows are forgotten; its finals, and the events of its
    /// services and the sum of their hashes; and for the router the sums over all its finals.
    pub(super) fn progress(
        &mut self,
        window: Window,
        (watermark, forgotten): (EventTime, EventTime),
        written: &Written,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let Written { events, hash, all } = written;
        let finals = all.finals;
        let stamp = &self.settings.stamp;
        let value = format!(
            r#"{{"schema":"{}","colour":"{}","epoch":{},"partition":{},"window_start":{},"window_end":{},"watermark":{},"finals":{finals},"events":{events},"hash":"{hash:016x}"}}"#,
            names::SCHEMA_PROGRESS,
            stamp.colour,
            stamp.epoch,
            self.to.index,
            window.start.0,
            window.end.0,
            watermark.0,
        );
        self.identity.clear();
        self.identity.extend_from_slice(&crate::identity::sortable(window.start));
        let forgotten = crate::identity::sortable(forgotten);
        let epoch = stamp.epoch.to_string();
        let headers: [(&str, &[u8]); 7] = [
            (names::SCHEMA, names::SCHEMA_PROGRESS.as_bytes()),
            (names::CONTENT_TYPE, b"application/json"),
            (names::COLOUR_HEADER, stamp.colour.as_bytes()),
            (names::EPOCH_HEADER, epoch.as_bytes()),
            (names::SUMS, &all.encode()),
            (names::IDENTITY, &self.identity),
            (platform_core::growth::FORGOTTEN_HEADER, &forgotten),
        ];
        out.append(&self.to, NewRecord { key: None, headers: &headers, value: Some(value.as_bytes()) })?;
        Ok(())
    }
}

/// Sums of one service by a grouping, in the order of their keys. A service without series gives its sum of nothing, for a grouping that
/// has no dimensions.
fn roll_up(
    grouping: &Grouping,
    service: &[u8],
    series: &[(&[u8], &Aggregate)],
    wanted: &dyn Fn(&[u8]) -> bool,
) -> Result<BTreeMap<Vec<u8>, Aggregate>, CodecError> {
    let mut sums: BTreeMap<Vec<u8>, Aggregate> = BTreeMap::new();
    let mut touched: BTreeSet<Vec<u8>> = BTreeSet::new();
    if grouping.dimensions.is_empty() && series.is_empty() {
        return Ok(BTreeMap::from([(service.to_vec(), Aggregate::default())]));
    }
    for (key, aggregate) in series {
        let projected = project(grouping, key);
        if wanted(key) {
            touched.insert(projected.clone());
        }
        sums.entry(projected).or_default().merge(aggregate).map_err(CodecError::from)?;
    }
    sums.retain(|key, _| touched.contains(key));
    Ok(sums)
}

/// A series key with only the grouping's dimensions; the others are empty, so that places stay.
fn project(grouping: &Grouping, key: &[u8]) -> Vec<u8> {
    let mut projected = Vec::with_capacity(key.len());
    for (place, text) in parts(key).enumerate() {
        if place < 3 || grouping.dimensions.contains(&(place - 3)) {
            projected.extend_from_slice(text.as_bytes());
        }
        projected.push(0);
    }
    projected
}
