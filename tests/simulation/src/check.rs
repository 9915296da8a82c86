//! Judges a run by what stands in the log: against a plain recomputation from the source, against a CLOSE that read its input in one go, and
//! against the bounds of the watermark. Shares with the pipeline the form of its records, and no more.

use crate::Report;
use crate::parts::topics;
use crate::plan::{BOUND, HOLD, LEAD, PARTITIONS, SKEW, SOURCES, START, WINDOW, nanos, turns};
use crate::world::World;
use crate::world::operators::window_of;
use flips::{Flips, by};
use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::decode::Reason;
use golden_pipeline::fold::partial::Head;
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{AGGREGATE, IDENTITY, REVISION, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS, part_of};
use golden_router::deployment::{Colour, Deployment};
use golden_router::marks::{SCHEMA_CUT, SCHEMA_SEALED};
use platform_core::codec::Cursor;
use platform_core::log::{CommitError, Log as _};
use platform_core::record::{NewRecord, Offset, Partition, Record, Topic};
use platform_core::stage::Emit;
use platform_core::store::{Changes, Store as _};
use platform_runtime::memory::MemoryStore;
use platform_testkit::ledger::{Difference, Entry, Published};
use std::collections::{BTreeMap, BTreeSet};

/// Flips, and what both colours say.
mod flips;

/// Of the totals that are compared, how many are numbers of events.
const COUNTS: usize = 3;
/// Windows before the first one that is published of which a run may have events.
const EARLY: i64 = 10;
/// How far brokers' clocks may be apart, as the pipeline assumes.
const BROKER_SKEW: i64 = 1;

/// A record of the source, as anybody can read it.
struct Seen {
    offset: u64,
    append: i64,
    event: Option<Event>,
    tombstone: bool,
}

/// ns, names, and what is counted.
struct Event {
    time: i64,
    service: String,
    operation: String,
    error: bool,
    latency: u64,
}

fn event(value: &[u8]) -> Option<Event> {
    let value: serde_json::Value = serde_json::from_slice(value).ok()?;
    let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
    // Whole microseconds: exact after rounding.
    let latency = (value.get("latency_ms")?.as_f64()? * 1000.0).round() as u64 * 1000;
    Some(Event {
        time: value.get("timestamp")?.as_i64()? * 1_000_000,
        service: text("service")?,
        operation: text("operation")?,
        error: value.get("status")?.as_u64()? >= 500,
        latency,
    })
}

/// Everything that a reader of the source sees, by partition.
fn source(world: &World) -> Vec<Vec<Seen>> {
    let read = |index| {
        let mut all = Vec::new();
        world.log.visible(&Partition::new(&world.topics.events, index), Offset(0), |record| {
            let append = record.append_time.map_or(0, |time| time.0);
            all.push(Seen { offset: record.offset.0, append, event: record.value.and_then(event), tombstone: record.value.is_none() });
        });
        all
    };
    (0..SOURCES).map(read).collect()
}

/// Windows, counted from 1970, of which some event came late.
fn event_windows(source: &[Vec<Seen>]) -> BTreeSet<i64> {
    let all = source.iter().flatten().filter_map(|seen| Some((seen.append, seen.event.as_ref()?.time)));
    all.filter(|(append, time)| append - time > nanos(BOUND)).map(|(_, time)| time.div_euclid(nanos(WINDOW))).collect()
}

/// SplitMix64's finaliser, written down again.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Versions of the overrides as the control log has them: each with the first window that it may touch, in ns.
struct Decisions(Vec<(u64, i64)>);

impl Decisions {
    fn of(world: &World, report: &mut Report) -> Self {
        let mut all: Vec<(u64, i64)> = Vec::new();
        world.log.visible(&Partition::new(&world.topics.control, 0), Offset(0), |record| {
            let value: serde_json::Value = serde_json::from_slice(record.value.unwrap_or_default()).unwrap_or_default();
            let Some(version) = value.get("version").and_then(serde_json::Value::as_u64) else { return };
            if all.last().is_some_and(|(before, _)| *before >= version) {
                report.violations.push(format!("I21 one writer: version {version} stands behind {:?}", all.last()));
            }
            let earliest = record.append_time.map_or(0, |time| time.0) + nanos(LEAD);
            all.push((version, (earliest + nanos(WINDOW) - 1).div_euclid(nanos(WINDOW)) * nanos(WINDOW)));
        });
        Self(all)
    }

    /// The version in force in a window, ns; 0: none.
    fn at(&self, window: i64) -> u64 {
        self.0.iter().rev().find(|(_, from)| *from <= window).map_or(0, |(version, _)| *version)
    }

    /// Whether outcomes of a service are turned round in a window.
    fn turned(&self, window: i64, service: &str) -> bool {
        let version = self.at(window);
        let number = service.strip_prefix('s').and_then(|number| number.parse().ok());
        version > 0 && number.is_some_and(|number| turns(version, number))
    }
}

/// What must stand in the end.
#[derive(Default)]
struct Expected {
    latest: BTreeMap<String, Entry>,
    /// Events that were on time: these are in revision 0 of a complete window.
    on_time: BTreeMap<String, u64>,
    dead: BTreeSet<(u32, u64)>,
}

fn expected(source: &[Vec<Seen>], decisions: &Decisions, retain: i64) -> Expected {
    let mut all = Expected::default();
    let window = |time: i64| time.div_euclid(nanos(WINDOW)) * WINDOW;
    for (partition, records) in (0_u32..).zip(source) {
        for Seen { offset, append, event, tombstone } in records {
            if *tombstone {
                continue;
            }
            let Some(event) = event.as_ref().filter(|event| event.time <= append + nanos(SKEW)) else {
                all.dead.insert((partition, *offset));
                continue;
            };
            let hash = mix(mix(mix(u64::from(partition)).wrapping_add(*offset)));
            let very_late = append - event.time > nanos(retain);
            let names = if very_late {
                vec![format!("{}/late[] {}", event.service, window(*append))]
            } else {
                let start = window(event.time);
                vec![
                    format!("{}/service[] {start}", event.service),
                    format!("{}/service_operation[{}] {start}", event.service, event.operation),
                ]
            };
            let turned = !very_late && decisions.turned(window(event.time) * nanos(1), &event.service);
            let error = event.error != turned;
            for name in names {
                if append - event.time <= nanos(BOUND) {
                    *all.on_time.entry(name.clone()).or_default() += 1;
                }
                let entry = all.latest.entry(name).or_insert_with(|| Entry { totals: vec![0; 4], ..Entry::default() });
                for (total, more) in entry.totals.iter_mut().zip([1, u64::from(error), 1, event.latency]) {
                    *total += more;
                }
                entry.hash = entry.hash.wrapping_add(hash);
            }
        }
    }
    all
}

fn totals(aggregate: &Aggregate) -> Vec<u64> {
    let counts = aggregate.counts();
    let nanos = aggregate.ok_latency().sum_ns + aggregate.error_latency().map_or(0, |latency| latency.sum_ns);
    vec![counts.events, counts.errors, counts.samples, u64::try_from(nanos).unwrap_or(u64::MAX)]
}

/// What a public record says, when it is a result.
struct Result {
    name: String,
    window: i64,
    whole_service: bool,
    entry: Entry,
    completeness: f64,
    service: String,
    /// Of the override that judged it.
    version: u64,
    /// Who made it.
    of: Option<Deployment>,
    /// Its window, as a number that rises with time.
    number: u64,
}

fn result(record: &Record<'_>) -> Option<Result> {
    let id = Identity::decode(record.headers.get(IDENTITY)?).ok()?;
    let window = id.window_start.0;
    let name = format!("{}/{}[{}] {}", id.service, id.grouping, id.dimensions.join(","), window.div_euclid(nanos(1)));
    let revision = std::str::from_utf8(record.headers.get(REVISION)?).ok()?.parse().ok()?;
    let aggregate = Aggregate::decode(&mut Cursor::new(record.headers.get(AGGREGATE)?)).ok()?;
    let value: serde_json::Value = serde_json::from_slice(record.value?).ok()?;
    let completeness = value.get("completeness").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
    let version = value.get("override").and_then(|o| o.get("version")).and_then(serde_json::Value::as_u64).unwrap_or(0);
    let said = value.get("revision").and_then(serde_json::Value::as_u64);
    let entry = Entry { revision, totals: totals(&aggregate), hash: aggregate.counts().hash };
    (said == Some(revision)).then_some(Result {
        name,
        window,
        whole_service: id.grouping == "service",
        entry,
        completeness,
        service: id.service,
        version,
        of: by(record),
        number: window_of(record.headers.get(IDENTITY)?),
    })
}

/// Judges what a run has left behind; `is_broken`: its own alarms have.
pub(crate) fn judge(world: &World, is_broken: bool, report: &mut Report) {
    let source = source(world);
    let decisions = Decisions::of(world, report);
    let expected = expected(&source, &decisions, world.plan.retain);
    let flips = Flips::of(world);
    results(world, expected, &decisions, &flips, report);
    flips::orders(world, report);
    flips.authority(world, report);
    flips::agree(world, &flips, &source, report);
    for colour in Colour::ALL {
        watermarks(world, colour, &flips, &source, report);
    }
    for deployment in flips.deployments() {
        for partition in 0..PARTITIONS {
            one_go(world, deployment, partition, report);
        }
    }
    flips.ends(world, world.wall(), report);
    if is_broken || !report.violations.is_empty() {
        report.history = flips.history(world);
    }
}

fn each(world: &World, topic: &Topic, partitions: u32, mut each: impl FnMut(u32, &Record<'_>)) {
    for index in 0..partitions {
        world.log.visible(&Partition::new(topic, index), Offset(0), |record| each(index, record));
    }
}

/// Whether the newest window of each public partition ended at most so long before now, in ns.
pub(crate) fn keeps_up(world: &World, behind: i64) -> bool {
    let now = nanos(START) + i64::try_from(world.now().as_nanos()).unwrap_or(i64::MAX);
    let newest = world.published().into_iter().map(|newest| newest.map_or(i64::MIN, |window| (window ^ (1 << 63)).cast_signed()));
    newest.into_iter().all(|start: i64| start.saturating_add(nanos(WINDOW)).saturating_add(behind) >= now)
}

/// I1, I2, I3, I17, I18, and I14: what is not final in the end is missing here.
fn results(world: &World, mut expected: Expected, decisions: &Decisions, flips: &Flips, report: &mut Report) {
    let mut published = Published::default();
    let mut empty: BTreeMap<String, Entry> = BTreeMap::new();
    let mut violations = Vec::new();
    let mut incomplete = BTreeSet::new();
    // Windows that were first published without some of their input, by partition.
    let mut partial: BTreeSet<(u32, u64)> = BTreeSet::new();
    let mut sums: BTreeMap<(u32, i64), (u64, u64, u64)> = BTreeMap::new();
    // By whom first revisions are, by partition and window.
    let mut makers: BTreeMap<(u32, i64), BTreeSet<Option<Deployment>>> = BTreeMap::new();
    let mut latest: BTreeMap<String, (u32, u64, Entry)> = BTreeMap::new();
    let mut makers_of: BTreeMap<String, Option<Deployment>> = BTreeMap::new();
    // What one deployment took over from another, which may have read other late events before: numbers of events grow, and how long they took
    // is no total that the growth rule looks at.
    let mut handed: BTreeSet<String> = BTreeSet::new();
    let mut newest: BTreeMap<u32, i64> = BTreeMap::new();
    // Windows that were published or passed over: partition, start in ns, by whom, and when.
    let mut passed_over: Vec<(u32, i64, Option<Deployment>, i64)> = Vec::new();
    each(world, &world.topics.public, PARTITIONS, |partition, record| {
        let schema = record.headers.get(SCHEMA).unwrap_or_default();
        if [SCHEMA_CUT.as_bytes(), SCHEMA_SEALED.as_bytes()].contains(&schema) {
            return;
        }
        if schema == SCHEMA_PROGRESS.as_bytes() {
            let value: serde_json::Value = serde_json::from_slice(record.value.unwrap_or_default()).unwrap_or_default();
            let number = |name: &str| value.get(name).and_then(serde_json::Value::as_i64).unwrap_or(0);
            let window = number("window_start");
            let before = newest.insert(partition, window);
            if before.is_some_and(|before| before >= window) {
                violations.push(format!("I18 whole windows: partition {partition} goes back to {window}"));
            }
            // Of a window of which nothing was known when it was passed over no record says that a source partition was away: partials do.
            let first = before.map_or(window - EARLY * nanos(WINDOW), |before| before + nanos(WINDOW));
            let passed = if number("finals") == 0 { window + nanos(WINDOW) } else { window };
            let passed = (first..passed).step_by(nanos(WINDOW).unsigned_abs() as usize);
            passed_over.extend(passed.map(|start| (partition, start, by(record), record.append_time.map_or(i64::MAX, |time| time.0))));
            let hash = value.get("hash").and_then(|v| v.as_str()).and_then(|text| u64::from_str_radix(text, 16).ok()).unwrap_or(0);
            let said = (number("finals").unsigned_abs(), number("events").unsigned_abs(), hash);
            let found = sums.get(&(partition, window)).copied().unwrap_or_default();
            // A window that a flip found half published has first revisions of both colours: then their number tells.
            let mixed = makers.get(&(partition, window)).is_some_and(|makers| makers.iter().any(|maker| *maker != by(record)));
            if mixed {
                // Whoever closed it may not have seen all of it.
                partial.insert((partition, window_of(record.headers.get(IDENTITY).unwrap_or_default())));
            }
            let holds = if mixed { found.0 >= said.0 } else { said == found };
            if !holds {
                violations.push(format!("I18 whole windows: partition {partition} window {window} said={said:?} found={found:?}"));
            }
            return;
        }
        let Some(result) = result(record) else {
            violations.push(format!("record {} of partition {partition} cannot be read", record.offset));
            return;
        };
        let Result { name, window, whole_service, entry, completeness, service, version, of, number } = result;
        let in_force = if decisions.turned(window, &service) { decisions.at(window) } else { 0 };
        if version != in_force {
            violations.push(format!("I10 override: {name} revision {} is judged by version {version}, not {in_force}", entry.revision));
        }
        if entry.revision == 0 {
            let (finals, events, hash) = sums.entry((partition, window)).or_default();
            *finals += 1;
            makers.entry((partition, window)).or_default().insert(of);
            if whole_service {
                *events += entry.totals.first().copied().unwrap_or(0);
                *hash = hash.wrapping_add(entry.hash);
            }
            let on_time = expected.on_time.get(&name).copied().unwrap_or(0);
            if completeness >= 1.0 && entry.totals.first().is_none_or(|events| *events < on_time) {
                violations
                    .push(format!("I3 value: {name} revision 0 has {:?} of {on_time} events that were on time", entry.totals.first()));
            }
            if completeness < 1.0 && !world.may_be_incomplete {
                violations.push(format!("I3 value: {name} is incomplete though nothing was away"));
            }
        }
        if completeness < 1.0 {
            partial.insert((partition, number));
            incomplete.insert(name.clone());
        } else {
            incomplete.remove(&name);
        }
        if entry.totals.first() == Some(&0) {
            empty.insert(name.clone(), entry.clone());
        } else {
            empty.remove(&name);
        }
        if let Some((_, _, before)) = latest.insert(name.clone(), (partition, number, entry.clone()))
            && makers_of.insert(name.clone(), of).is_some_and(|maker| maker != of)
            && before.totals.iter().zip(&entry.totals).take(COUNTS).all(|(before, now)| before <= now)
        {
            handed.insert(name.clone());
        }
        makers_of.insert(name.clone(), of);
        published.read(&name, entry);
    });
    for (partition, start, of, by) in passed_over {
        let number = start.cast_unsigned() ^ (1 << 63);
        if flips.is_excused(partition, number) && of.is_some_and(|of| behind(world, of, partition, by) < start + nanos(WINDOW)) {
            partial.insert((partition, number));
        }
    }
    each(world, &world.topics.late, PARTITIONS, |partition, record| match result(record) {
        Some(result) => {
            latest.insert(result.name.clone(), (partition, result.number, result.entry.clone()));
            published.read(&result.name, result.entry);
        }
        None => violations.push(format!("line {} of the late ledger, partition {partition}, cannot be read", record.offset)),
    });
    // A record of nothing is completed by whoever made it only, since the other may not know the service.
    incomplete.retain(|name| {
        let gone = makers_of.get(name).copied().flatten().is_some_and(|of| flips.is_gone(of));
        !(gone && empty.contains_key(name))
    });
    // A service that is known and silent has a record of nothing; whether it is known depends on when late events were read.
    for (name, entry) in empty {
        expected.latest.entry(name).or_insert(entry);
    }
    // What was late of a window, or came from a partition that was away at its close, is missing where whoever had seen it is gone and its
    // heir began too late.
    for (name, (partition, number, got)) in latest.iter().filter(|(_, (partition, number, _))| flips.is_excused(*partition, *number)) {
        let Some(wanted) = expected.latest.get_mut(name) else { continue };
        let some = got.totals.iter().zip(&wanted.totals).all(|(got, wanted)| got <= wanted);
        let on_time = expected.on_time.get(name).copied().unwrap_or(0);
        if some
            && (incomplete.remove(name)
                || partial.contains(&(*partition, *number))
                || got.totals.first().is_some_and(|events| *events >= on_time))
        {
            *report.injected.entry("excused").or_default() += u64::from(wanted.hash != got.hash);
            *wanted = got.clone();
        }
    }
    expected.latest.retain(|name, _| {
        let missing = !latest.contains_key(name);
        let on_time = expected.on_time.contains_key(name);
        let window = name.rsplit(' ').next().and_then(|start| start.parse::<i64>().ok()).unwrap_or(0);
        let number = nanos(window).cast_unsigned() ^ (1 << 63);
        let may_be = |partition| flips.is_excused(partition, number) && (!on_time || partial.contains(&(partition, number)));
        !(missing && (0..PARTITIONS).any(may_be))
    });
    // In the end every partition was read to its end: what was missing has been added, and said to be there.
    violations.extend(incomplete.iter().map(|name| format!("I3 value: {name} is incomplete in the end")));
    let verdict = published.check(&expected.latest);
    report.compared += verdict.read;
    let taken_over = |found: &&Difference| found.promise == "I17 growing" && handed.contains(&found.identity);
    violations.extend(verdict.differences.iter().filter(|found| !taken_over(found)).map(ToString::to_string));
    dead_letters(world, &expected.dead, flips, &mut violations);
    report.violations.append(&mut violations);
}

/// I1: what nobody can read is put aside once by each deployment that came across it.
fn dead_letters(world: &World, expected: &BTreeSet<(u32, u64)>, flips: &Flips, violations: &mut Vec<String>) {
    let mut dead: BTreeMap<Deployment, BTreeSet<(u32, u64)>> = BTreeMap::new();
    each(world, &world.topics.dead_letters, 1, |_, record| {
        let value: serde_json::Value = serde_json::from_slice(record.value.unwrap_or_default()).unwrap_or_default();
        let number = |name: &str| value.get(name).and_then(serde_json::Value::as_u64).unwrap_or(u64::MAX);
        let colour = value.get("colour").and_then(serde_json::Value::as_str).and_then(|colour| colour.parse().ok());
        let epoch = u32::try_from(number("epoch")).ok();
        let of = colour.zip(epoch).map(|(colour, epoch)| Deployment { colour, epoch });
        let Some(of) = of.filter(|of| flips.is_known(*of)) else { return };
        let at = (u32::try_from(number("partition")).unwrap_or(u32::MAX), number("offset"));
        if value.get("reason").and_then(serde_json::Value::as_str) == Some(Reason::Crash.code()) {
            violations.push(format!("I11 poison: record {at:?} kills nobody and was put aside"));
        }
        if !dead.entry(of).or_default().insert(at) {
            violations.push(format!("I1 accounted: record {at:?} is dead twice for {of}"));
        }
    });
    for of in flips.deployments() {
        let found = dead.remove(&of).unwrap_or_default();
        let missing = expected.difference(&found).filter(|(source, at)| *at >= flips.reads_from(of, *source));
        // One that has ended may have got less far.
        for at in missing.filter(|_| !flips.is_abandoned(of)) {
            violations.push(format!("I1 accounted: record {at:?} is not dead for {of}"));
        }
        for at in found.difference(expected) {
            violations.push(format!("I1 accounted: record {at:?} is dead for {of} and should not be"));
        }
    }
}

/// How far the source partition that is furthest behind had come for a CLOSE by some time of the log, ns; the least there is when one had
/// said nothing.
fn behind(world: &World, of: Deployment, partition: u32, by: i64) -> i64 {
    let mut come = [i64::MIN; SOURCES as usize];
    world.log.visible(&Partition::new(&topics(of.colour).partials, partition), Offset(0), |record| {
        let head = Head::decode(&mut Cursor::new(record.value.unwrap_or_default())).ok();
        let mine = head.filter(|head| head.epoch == of.epoch && record.append_time.is_some_and(|time| time.0 <= by));
        for range in mine.iter().flat_map(|head| &head.ranges) {
            come.get_mut(range.source as usize).into_iter().for_each(|known| *known = range.watermark.0.max(*known));
        }
    });
    come.into_iter().min().unwrap_or(i64::MIN)
}

/// I7 no drag: a watermark passes no record that was not read, and none is held back by what was.
fn watermarks(world: &World, colour: Colour, flips: &Flips, source: &[Vec<Seen>], report: &mut Report) {
    each(world, &topics(colour).partials, PARTITIONS, |_, record| {
        let Ok(head) = Head::decode(&mut Cursor::new(record.value.unwrap_or_default())) else {
            report.violations.push(format!("partial {} cannot be read", record.offset));
            return;
        };
        if !flips.is_known(Deployment { colour, epoch: head.epoch }) {
            return;
        }
        let written = record.append_time.map_or(0, |time| time.0);
        for range in &head.ranges {
            let Some(records) = source.get(range.source as usize) else { continue };
            let at = format!("source partition {} up to {}", range.source, range.to);
            let watermark = range.watermark.0;
            let unread = records.iter().find(|record| record.offset >= range.to.0);
            if let Some(unread) = unread.filter(|unread| watermark > unread.append - nanos(BOUND)) {
                let by = watermark - unread.append + nanos(BOUND);
                report.violations.push(format!("I7 no drag: {at}: the watermark passes record {} by {by} ns", unread.offset));
            }
            if watermark > written + nanos(BROKER_SKEW) - nanos(BOUND) {
                report.violations.push(format!("I7 no drag: {at}: the watermark is ahead of its own record"));
            }
            let read = records.iter().filter(|record| (range.from.0..range.to.0).contains(&record.offset));
            if let Some(newest) = read.map(|record| record.append).max()
                && watermark < newest - nanos(HOLD) - nanos(BOUND)
            {
                report.violations.push(format!("I7 no drag: {at}: the watermark is held back"));
            }
        }
    });
}

/// Keeps what is emitted.
#[derive(Default)]
struct Kept(Vec<(Vec<u8>, Vec<u8>)>);

impl Emit for Kept {
    fn append(&mut self, _: &Partition, record: NewRecord<'_>) -> std::result::Result<(), CommitError> {
        let header = |name: &str| record.headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.to_vec());
        let schema = header(SCHEMA).unwrap_or_default();
        if [SCHEMA_SIGNALS.as_bytes(), SCHEMA_PROGRESS.as_bytes()].contains(&schema.as_slice()) {
            self.0.push((name(&schema, &header(IDENTITY).unwrap_or_default()), record.value.unwrap_or_default().to_vec()));
        }
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

fn name(schema: &[u8], identity: &[u8]) -> Vec<u8> {
    [schema, b" ", identity].concat()
}

/// I5 deterministic: finals and progress are those of a CLOSE that applies the same messages one by one and never restarts.
fn one_go(world: &World, of: Deployment, partition: u32, report: &mut Report) {
    let Some(mut close) = world.fresh_close(of, partition) else { return };
    let mut store = MemoryStore::default();
    let mut kept = Kept::default();
    let mut failed = None;
    let restored = close.restore(&store, &[]);
    let partials = Partition::new(&topics(of.colour).partials, partition);
    let committed =
        world.log.committed(&format!("{}.close", part_of(of.colour.name(), of.epoch)), &partials).ok().flatten().map_or(0, |c| c.offset.0);
    let mut due = 0;
    world.log.visible(&partials, Offset(0), |record| {
        let mut step = || {
            close.apply(record, &store)?;
            close.emit_due(usize::MAX, &store, &mut kept)?;
            close.emit_at_commit(&store, &mut Kept::default())
        };
        if let Err(error) = step() {
            failed = failed.take().or(Some(error.to_string()));
        }
        if record.offset.0 < committed {
            due = kept.0.len();
        }
        let mut changes = Changes::default();
        close.changes(&mut changes);
        if store.write(&changes, record.offset.next()).is_err() {
            failed = failed.take().or(Some("a store in memory failed".to_owned()));
        }
    });
    if let Some(error) = failed.or(restored.err().map(|error| error.to_string())) {
        report.violations.push(format!("I5 deterministic: CLOSE of partition {partition} in one go failed: {error}"));
        return;
    }
    let mut finals: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let mut order = Vec::new();
    // Windows by their start, in the eight bytes that every identity begins with. What comes behind a progress record for its window or an
    // older one corrects that.
    let mut closed: Option<Vec<u8>> = None;
    world.log.visible(&Partition::new(&topics(of.colour).signals, partition), Offset(0), |record| {
        if by(record) != Some(of) {
            return;
        }
        let schema = record.headers.get(SCHEMA).unwrap_or_default();
        let identity = record.headers.get(IDENTITY).unwrap_or_default();
        let window = identity.get(..8).unwrap_or_default().to_vec();
        let progress = schema == SCHEMA_PROGRESS.as_bytes();
        if !(progress || schema == SCHEMA_SIGNALS.as_bytes()) || closed.as_ref().is_some_and(|closed| window <= *closed) {
            return;
        }
        if progress {
            closed = Some(window);
        }
        order.push(name(schema, identity));
        finals.insert(name(schema, identity), record.value.unwrap_or_default().to_vec());
    });
    let wanted: Vec<&Vec<u8>> = kept.0.iter().map(|(name, _)| name).collect();
    // What is behind its committed position may have left in part.
    let at = wanted.iter().zip(&order).take_while(|(a, b)| **a == *b).count();
    if at < order.len() || at < due {
        report.violations.push(format!(
            "I5 deterministic: {of} partition {partition} has {} finals and progress records, in one go {due} to {}; they part at {at}",
            order.len(),
            wanted.len()
        ));
    }
    for (name, value) in &kept.0 {
        if finals.get(name).is_some_and(|found| found != value) {
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let found = finals.get(name).map(|found| text(found)).unwrap_or_default();
            report.violations.push(format!("I5 deterministic: expected={} got={found}", text(value)));
        }
    }
}
