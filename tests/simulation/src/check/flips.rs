//! Judges flips: whether orders stand one behind the other, who may publish which window behind which mark, whether every flip came to its end,
//! whether receipts can be made again, and whether both colours say the same where nothing was late.

use super::{each, event_windows};
use crate::Report;
use crate::parts::topics;
use crate::plan::{PARTITIONS, START, WINDOW, nanos};
use crate::world::World;
use crate::world::operators::window_of;
use golden_pipeline::names::{IDENTITY, REVISION, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use golden_router::chain::{CHAIN_HEADER, Chain};
use golden_router::deployment::{Colour, Deployment};
use golden_router::marks::{Cut, SCHEMA_CUT, SCHEMA_SEALED, Sealed};
use golden_router::orders::{Entry, FlipKind, Orders, SCHEMA_ORDER};
use golden_router::receipt::{self, Receipt};
use golden_router::settings::shown;
use platform_core::growth::{COLOUR_HEADER, EPOCH_HEADER, GROWTH_HEADER, Growth, SUMS_HEADER, Sums};
use platform_core::log::Log;
use platform_core::record::Record;
use platform_core::time::SECOND;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A flip that was ordered so long before the end has all its cuts, ns.
const CUT_WITHIN: i64 = 30 * SECOND;
/// And so long, its receipt, where controllers flip and seal by themselves.
const DONE_WITHIN: i64 = 60 * SECOND;

/// Who wrote a record.
pub(super) fn by(record: &Record<'_>) -> Option<Deployment> {
    let text = |name| record.headers.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    Some(Deployment { colour: text(COLOUR_HEADER)?.parse().ok()?, epoch: text(EPOCH_HEADER)?.parse().ok()? })
}

/// What the orders and the marks of each public partition say in the end.
pub(super) struct Flips {
    orders: Orders,
    /// By partition, in the order of the log.
    cuts: BTreeMap<u32, Vec<Cut>>,
    /// How long windows are kept, in ns.
    retain: u64,
}

impl Flips {
    pub(super) fn of(world: &World) -> Self {
        let mut cuts: BTreeMap<u32, Vec<Cut>> = BTreeMap::new();
        each(world, &world.topics.public, PARTITIONS, |partition, record| {
            if record.headers.get(SCHEMA) == Some(SCHEMA_CUT.as_bytes())
                && let Ok(cut) = Cut::decode(record.value.unwrap_or_default())
            {
                cuts.entry(partition).or_default().push(cut);
            }
        });
        Self { orders: (*world.orders()).clone(), cuts, retain: nanos(world.plan.retain).unsigned_abs() }
    }

    /// Everybody who began.
    pub(super) fn deployments(&self) -> Vec<Deployment> {
        let all = |colour| (0..self.orders.next_epoch()).map(move |epoch| Deployment { colour, epoch });
        Colour::ALL.into_iter().flat_map(all).filter(|of| self.orders.start_of(*of).is_some()).collect()
    }

    pub(super) fn is_known(&self, of: Deployment) -> bool {
        self.orders.start_of(of).is_some()
    }

    /// First window that a deployment answers for.
    pub(super) fn owned_from(&self, of: Deployment) -> u64 {
        self.orders.start_of(of).map_or(0, |start| start.owned_from)
    }

    /// Where it began to read a source partition.
    pub(super) fn reads_from(&self, of: Deployment, source: u32) -> u64 {
        let start = self.orders.start_of(of);
        start.and_then(|start| start.positions.iter().find(|(_, index, _)| *index == source)).map_or(0, |(_, _, at)| *at)
    }

    pub(super) fn is_abandoned(&self, of: Deployment) -> bool {
        self.orders.is_abandoned(of)
    }

    /// Whether it was abandoned, or sealed in some flip.
    pub(super) fn is_gone(&self, of: Deployment) -> bool {
        self.is_abandoned(of) || self.orders.flips().iter().any(|flip| flip.sealed && flip.order.from == of)
    }

    /// Whether the old one of a cut answers for nothing in the end.
    fn is_out(&self, cut: &Cut) -> bool {
        self.orders.is_abandoned(cut.from) || self.orders.flip(cut.flip).is_some_and(|flip| flip.sealed)
    }

    /// Whether what was late of a window may be missing: whoever answered for it is gone, and its heir began too late for it; or the heir was out
    /// itself, and came back when the others had forgotten the window.
    pub(super) fn is_excused(&self, partition: u32, window: u64) -> bool {
        let cuts = self.cuts.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let Some(place) = cuts.iter().position(|cut| window <= cut.cut) else { return false };
        let mut gone = cuts.get(place..).unwrap_or_default().iter();
        let heir = gone.find(|cut| !self.is_out(cut)).map(|cut| cut.from).or_else(|| cuts.last().map(|cut| cut.to));
        let was_out = |heir| cuts.get(place..).unwrap_or_default().iter().any(|cut| cut.from == heir && self.is_out(cut));
        let forgotten = |heir| cuts.iter().rfind(|cut| cut.to == heir).map_or(0, |cut| cut.cut.saturating_sub(self.retain));
        heir.is_some_and(|heir| self.owned_from(heir) > window || was_out(heir) && forgotten(heir) > window)
    }

    /// What was ordered, and what each public partition has, for people.
    pub(super) fn history(&self, world: &World) -> Vec<String> {
        let mut lines = Vec::new();
        let time = |record: &Record<'_>| record.append_time.map_or(0, |time| time.0 - nanos(START)) as f64 / 1e9;
        each(world, &world.topics.control, 1, |_, record| {
            let value = String::from_utf8_lossy(record.value.unwrap_or_default());
            if value.contains("\"order\"") {
                lines.push(format!("{:7.3} s: {}", time(record), value));
            }
        });
        each(world, &world.topics.public, PARTITIONS, |partition, record| {
            let schema = String::from_utf8_lossy(record.headers.get(SCHEMA).unwrap_or_default());
            let window = window_of(record.headers.get(IDENTITY).unwrap_or_default());
            let second = ((window ^ (1 << 63)).cast_signed().saturating_sub(nanos(START))) as f64 / 1e9;
            let revision = String::from_utf8_lossy(record.headers.get(REVISION).unwrap_or_default());
            let growth = record.headers.get(GROWTH_HEADER).and_then(|bytes| Growth::decode(bytes).ok());
            let what = match by(record) {
                Some(of) => {
                    format!("{of} window {second} {}@{revision} {growth:?}", String::from_utf8_lossy(record.key.unwrap_or_default()))
                }
                None => String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned(),
            };
            lines.push(format!("{partition}/{} {:7.3} s: {schema} {what}", record.offset, time(record)));
        });
        lines
    }

    /// I8: each record is of somebody who answers for its window, and nothing is of one that has ended.
    pub(super) fn authority(&self, world: &World, report: &mut Report) {
        let mut seen: BTreeMap<u32, Vec<Cut>> = BTreeMap::new();
        let mut sealed: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        let mut violations = Vec::new();
        let first = self.orders.first();
        let mut one = |partition: u32, record: &Record<'_>, marked: bool| {
            let (value, schema) = (record.value.unwrap_or_default(), record.headers.get(SCHEMA).unwrap_or_default());
            let cuts = seen.entry(partition).or_default();
            if schema == SCHEMA_CUT.as_bytes() {
                match Cut::decode(value) {
                    Ok(cut) if cut.flip == cuts.last().map_or(1, |before| before.flip + 1) => cuts.push(cut),
                    other => violations
                        .push(format!("I8 one colour: partition {partition}: the cut {other:?} does not follow {:?}", cuts.last())),
                }
                return;
            }
            if schema == SCHEMA_SEALED.as_bytes() {
                sealed.entry(partition).or_default().extend(Sealed::decode(value).ok().map(|sealed| sealed.flip));
                return;
            }
            let window = window_of(record.headers.get(IDENTITY).unwrap_or_default());
            let Some(of) = by(record).filter(|of| self.is_known(*of)) else {
                violations.push(format!("I8 one colour: record {} of partition {partition} is of nobody", record.offset));
                return;
            };
            let at = format!("partition {partition} record {} of {of}, window {}", record.offset, shown(window));
            if window < self.owned_from(of) {
                violations.push(format!("I8 one colour: {at}: it does not answer for it"));
            }
            // Marks stand in the public topic only; what is said of the late ledger follows from the orders alone.
            if !marked {
                return;
            }
            let live = cuts.last().map(|cut| cut.to).or(first);
            let behind: Vec<&Cut> = cuts.iter().skip_while(|cut| cut.cut < window).collect();
            let mut heirs = behind.iter().map(|cut| (cut.from, self.is_out(cut))).chain(live.map(|live| (live, false)));
            let mut may = false;
            while let Some((heir, out)) = heirs.next().filter(|_| !may) {
                may = heir == of;
                if !out {
                    break;
                }
            }
            if !may {
                violations.push(format!("I8 one colour: {at}: others answer for it"));
            }
            let done = sealed.get(&partition);
            let ended = cuts.iter().any(|cut| {
                let asked = self.orders.flip(cut.flip).is_some_and(|flip| flip.sealed);
                let gone = self.orders.is_abandoned(cut.from) && !asked && done.is_some_and(|done| done.contains(&cut.flip));
                (cut.from == of && (cut.kind == FlipKind::Failure || gone)) || (cut.to.colour == of.colour && cut.to.epoch > of.epoch)
            });
            if ended {
                violations.push(format!("I8 one colour: {at}: it had ended"));
            }
        };
        each(world, &world.topics.public, PARTITIONS, |partition, record| one(partition, record, true));
        each(world, &world.topics.late, PARTITIONS, |partition, record| one(partition, record, false));
        report.violations.append(&mut violations);
    }

    /// Every flip comes to its end.
    pub(super) fn ends(&self, world: &World, now: i64, report: &mut Report) {
        let count = |report: &mut Report, name| *report.injected.entry(name).or_default() += 1;
        for flip in self.orders.flips() {
            let number = flip.order.flip;
            count(report, "flip");
            count(report, if flip.order.kind == FlipKind::Planned { "flip, planned" } else { "flip, failure" });
            let cut = (0..PARTITIONS).filter(|p| self.cuts.get(p).is_some_and(|cuts| cuts.iter().any(|cut| cut.flip == number))).count();
            if now - flip.at > CUT_WITHIN && cut < PARTITIONS as usize {
                report.violations.push(format!("I19 ends: flip {number} has {cut} cuts in the end"));
            }
            if let Some(receipt) = &flip.receipt {
                count(report, "flip, with receipt");
                self.verify(world, number, receipt, report);
            }
        }
        let controlled = world.plan.controllers > 0 && world.plan.automatic;
        for flip in self.orders.flips().iter().filter(|flip| controlled && flip.receipt.is_none() && now - flip.at > DONE_WITHIN) {
            report.violations.push(format!("I19 ends: flip {} has no receipt in the end", flip.order.flip));
        }
    }

    /// I19: a receipt made again from the public topic says the same.
    fn verify(&self, world: &World, number: u64, said: &serde_json::Value, report: &mut Report) {
        let log: Arc<dyn Log> = Arc::new(world.log.of_process(0));
        let Some((flip, said)) = self.orders.flip(number).zip(serde_json::from_value::<Receipt>(said.clone()).ok()) else {
            report.violations.push(format!("I19 receipt: that of flip {number} cannot be read"));
            return;
        };
        match receipt::verify(&log, &world.common.control_settings(), &self.orders, flip, &said) {
            Ok(lines) => {
                let other = lines.iter().filter(|line| !line.holds());
                report
                    .violations
                    .extend(other.map(|line| format!("I19 receipt: flip {number} {}: {} is {}", line.what, line.said, line.found)));
            }
            Err(error) => report.violations.push(format!("I19 receipt: that of flip {number} cannot be made again: {error}")),
        }
    }
}

/// I21: each order follows from all those before it, and whoever gave it had seen them.
pub(super) fn orders(world: &World, report: &mut Report) {
    let (mut orders, mut chain) = (Orders::default(), Chain::default());
    each(world, &world.topics.control, 1, |_, record| {
        if record.headers.get(SCHEMA) != Some(SCHEMA_ORDER.as_bytes()) {
            return;
        }
        let value = record.value.unwrap_or_default();
        chain.take(record.offset, record.headers.get(CHAIN_HEADER), value);
        let at = record.append_time.map_or(0, |time| time.0);
        if let Err(passed) = Entry::decode(value).and_then(|entry| orders.apply(entry, at)) {
            report.violations.push(format!("I21 one writer: the order at offset {} is passed over: {passed}", record.offset));
        }
    });
    if let Some(at) = chain.broken() {
        report.violations.push(format!("I21 one writer: the order at offset {at} was given upon others than stand before it"));
    }
}

/// What a deployment says of a window in one partition.
#[derive(Default)]
struct Said {
    sums: Option<Sums>,
    incomplete: bool,
}

/// I20: both colours agree on windows of which nothing was late.
pub(super) fn agree(world: &World, flips: &Flips, source: &[Vec<super::Seen>], report: &mut Report) {
    let late = event_windows(source);
    let mut all: BTreeMap<(u32, u64), BTreeMap<Deployment, Said>> = BTreeMap::new();
    for colour in Colour::ALL {
        each(world, &topics(colour).signals, PARTITIONS, |partition, record| {
            let schema = record.headers.get(SCHEMA);
            let Some(of) = by(record).filter(|of| flips.is_known(*of)) else { return };
            let window = window_of(record.headers.get(IDENTITY).unwrap_or_default());
            let said = all.entry((partition, window)).or_default().entry(of).or_default();
            if schema == Some(SCHEMA_PROGRESS.as_bytes()) {
                said.sums = record.headers.get(SUMS_HEADER).and_then(|bytes| Sums::decode(bytes).ok());
            } else if schema == Some(SCHEMA_SIGNALS.as_bytes()) && record.headers.get(REVISION).is_none() {
                // Only results say that a window closed without some of its input. One that had none then, and has some now, did.
                let growth = record.headers.get(GROWTH_HEADER).and_then(|bytes| Growth::decode(bytes).ok());
                said.incomplete |= said.sums.map_or(growth.is_none_or(|growth| !growth.complete), |sums| sums.finals == 0);
            }
        });
    }
    for ((partition, window), said) in all {
        let start = (window ^ (1 << 63)).cast_signed();
        if late.contains(&start.div_euclid(nanos(WINDOW))) {
            continue;
        }
        // Who is known and silent depends on when late events were read; so events are compared, not the number of results.
        let whole = said.iter().filter(|(of, said)| !said.incomplete && window >= flips.owned_from(**of));
        let mut sums = whole.filter_map(|(of, said)| said.sums.map(|sums| (*of, (sums.events, sums.hash))));
        let Some((first, expected)) = sums.next() else { continue };
        for (of, found) in sums {
            *report.injected.entry("window of both colours").or_default() += 1;
            if found != expected {
                let window = shown(window);
                report.violations.push(format!(
                    "I20 agree: partition {partition} window {window}: {first} has {expected:?} events and hash, {of} has {found:?}"
                ));
            }
        }
    }
}
