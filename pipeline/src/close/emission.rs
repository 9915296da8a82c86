//! Records out of aggregates: finals and corrections of one service, lines of the late ledger, progress records.
//!
//! One order for all: services, then groupings by name, then dimension values. Each record says in its headers what the router and the
//! sinks need, so that nobody reads the value twice. Decides health; keeps no state but reused buffers.

use crate::aggregate::Aggregate;
use crate::close::{CloseSettings, Failure};
use crate::emit::record::{Final, LateLine, RecordEncoder, RecordSettings, Subject};
use crate::grouping::Grouping;
use crate::identity::{Identity, put_key};
use crate::names;
use crate::series::{OVERFLOW, parts};
use crate::signal::completeness::Completeness;
use crate::signal::health::{self, DEFAULT_RULE_SHA256, Health, Level, Ruled};
use platform_core::codec::CodecError;
use platform_core::growth::Growth;
use platform_core::record::{NewRecord, Partition};
use platform_core::stage::Emit;
use platform_core::time::EventTime;
use platform_core::window::Window;
use std::collections::{BTreeMap, BTreeSet};

/// Name in identities of the late ledger, where records have their grouping.
const LATE: &str = "late";

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
        }
    }

    /// Which partition it writes for.
    pub(super) fn partition(&self) -> u32 {
        self.to.index
    }

    /// The records of one service in one window: of every grouping, or of those keys that sum a series in `only`.
    /// Gives the number of records, the service's events, and the sum of their hashes.
    #[expect(clippy::too_many_arguments, reason = "all of them are facts of one window and service; a struct would be built once per call")]
    pub(super) fn service(
        &mut self,
        window: Window,
        completeness: Completeness,
        service: &[u8],
        series: &[(&[u8], &Aggregate)],
        only: Option<&BTreeSet<Box<[u8]>>>,
        before: Before<'_>,
        decided: Decided<'_>,
        out: &mut dyn Emit,
    ) -> Result<(u64, u64, u64), Failure> {
        let all = self.settings.groupings.dimensions().len();
        let groupings = self.settings.groupings.clone();
        let (mut records, mut events, mut hash) = (0, 0, 0_u64);
        for (_, aggregate) in series {
            events += aggregate.counts().events;
            hash = hash.wrapping_add(aggregate.counts().hash);
        }
        for grouping in groupings.list() {
            let whole = grouping.dimensions.is_empty();
            let finest = grouping.dimensions.len() == all;
            let wanted = |key: &[u8]| only.is_none_or(|only| only.contains(key));
            // A sum of one is what it sums; everything else is summed afresh.
            if finest && !(whole && series.is_empty()) {
                for (key, aggregate) in series.iter().filter(|(key, _)| wanted(key)) {
                    let level_key = if whole { service } else { key };
                    self.one(window, completeness, grouping, key, level_key, aggregate, before, decided, out)?;
                    records += 1;
                }
                continue;
            }
            for (key, aggregate) in roll_up(grouping, service, series, &wanted)? {
                self.one(window, completeness, grouping, &key, service, &aggregate, before, decided, out)?;
                records += 1;
            }
        }
        Ok((records, events, hash))
    }

    #[expect(clippy::too_many_arguments, reason = "one record is made of this many facts")]
    fn one(
        &mut self,
        window: Window,
        completeness: Completeness,
        grouping: &Grouping,
        key: &[u8],
        level_key: &[u8],
        aggregate: &Aggregate,
        before: Before<'_>,
        decided: Decided<'_>,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let whole = grouping.dimensions.is_empty();
        let finest = grouping.dimensions.len() == self.settings.groupings.dimensions().len();
        // Levels are remembered per service and per finest series; other sums have no memory to compare with.
        let health = (whole || finest && self.settings.health_of_all).then(|| {
            let previous = Level::of(f64::from(before(level_key))).unwrap_or(Level::Healthy);
            let counts = aggregate.counts();
            let health =
                health::decide(Ruled::Default, counts.requests(), counts.errors, completeness, self.settings.min_completeness, previous);
            decided(level_key, previous.number(), health.level.map(Level::number));
            health
        });
        self.record(window, completeness, grouping, key, aggregate, health, out)
    }

    #[expect(clippy::too_many_arguments, reason = "one record is made of this many facts")]
    fn record(
        &mut self,
        window: Window,
        completeness: Completeness,
        grouping: &Grouping,
        key: &[u8],
        aggregate: &Aggregate,
        health: Option<Health>,
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let mut texts = parts(key);
        let (tenant, namespace, service) =
            (texts.next().unwrap_or_default(), texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
        let values: Vec<&str> = texts.collect();
        let names = self.settings.groupings.dimensions();
        let dimensions: Vec<(&str, &str)> = grouping
            .dimensions
            .iter()
            .map(|place| (names.get(*place).map_or("", String::as_str), values.get(*place).copied().unwrap_or_default()))
            .collect();
        let overflow = service.starts_with(OVERFLOW) || dimensions.iter().any(|(_, value)| *value == OVERFLOW);
        let result = Final {
            subject: Subject { tenant, namespace, service, grouping: &grouping.name, dimensions: &dimensions, overflow },
            window_start: window.start,
            window: self.settings.window,
            revision: 0,
            completeness,
            aggregate,
            health,
            override_version: 0,
            override_sha256: DEFAULT_RULE_SHA256,
            sources: None,
        };
        self.value.clear();
        let revision_at = self.encoder.put_final(&result, &mut self.value);
        let identity = Identity {
            window_start: window.start,
            window_nanos: self.settings.window.nanos(),
            tenant: tenant.to_owned(),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            grouping: grouping.name.clone(),
            dimensions: dimensions.iter().map(|(_, value)| (*value).to_owned()).collect(),
        };
        let growth = Growth { revision_at, complete: completeness.is_full(), totals: aggregate.totals().to_vec() };
        self.send(names::SCHEMA_SIGNALS, &identity, &growth, aggregate, out)
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
        let identity = Identity {
            window_start: window.start,
            window_nanos: self.settings.window.nanos(),
            tenant: tenant.to_owned(),
            namespace: namespace.to_owned(),
            service: service.to_owned(),
            grouping: LATE.to_owned(),
            dimensions: vec![],
        };
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

    /// The progress record of a closed window: its finals, and the events of its services and the sum of their hashes.
    pub(super) fn progress(
        &mut self,
        window: Window,
        watermark: EventTime,
        sums: (u64, u64, u64),
        out: &mut dyn Emit,
    ) -> Result<(), Failure> {
        let (finals, events, hash) = sums;
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
        let headers: [(&str, &[u8]); 3] = [
            (names::SCHEMA, names::SCHEMA_PROGRESS.as_bytes()),
            (names::CONTENT_TYPE, b"application/json"),
            (names::IDENTITY, &self.identity),
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
