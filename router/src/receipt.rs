//! Receipts: what can be proved of a flip from the public topic alone, once it is over or refused.
//!
//! Between two progress records of a partition stand the first revisions of one window; a progress record says how many there are, of how many
//! events, and what their hashes sum up to. Counting them again shows what is lost, and an identity with two first revisions is doubled. First
//! revisions behind their window's progress record are of series that came late; they are counted apart, but not twice either. A window
//! that a deployment that was given up left half published is proved by the number of its identities, since both deployments wrote of it.
//! What is only seen in the topics of the colours is `observed`: it was looked up then, and is compared for as long as they reach back so far.
//! What this does not do: it judges no flip, and reads no result.

use crate::controller::observe::{Probe, SCHEMA, deployment_of, window_of};
use crate::deployment::Deployment;
use crate::marks::{Cut, SCHEMA_CUT, SCHEMA_SEALED, Sealed};
use crate::orders::{FlipKind, Flipped, Orders};
use crate::settings::{ControllerSettings, shown, start_of};
use crate::tail::{Tail, back_to, ends};
use platform_core::growth::{GROWTH_HEADER, Growth, HASH_HEADER, IDENTITY_HEADER, REVISION_HEADER, SUMS_HEADER, Sums};
use platform_core::log::{Log, LogError, Positions};
use platform_core::map::Set;
use platform_core::record::{Offset, Partition, Record, Topic};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many windows before a flip are looked at, to know what is steady.
const BEFORE: i64 = 10;
/// How many progress records behind a cut are part of the flip.
const BEHIND: usize = 3;

/// What is proved of a flip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// Number of the flip.
    pub flip: u64,
    /// In order, or because the old one could not go on.
    pub kind: FlipKind,
    /// What was live, and its version.
    pub from: (Deployment, String),
    /// What is live, and its version.
    pub to: (Deployment, String),
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When the log took the order, in ns.
    pub ordered_at: i64,
    /// By partition.
    pub partitions: Vec<PartitionReceipt>,
    /// First results that progress records name and that are not there.
    pub lost: u64,
    /// First results that are there twice.
    pub doubled: u64,
    /// How much longer than before the longest pause between windows was, in ns; `None`: no window came behind the cut.
    pub gap: Option<i64>,
    /// How long after its end the latest window around the flip was there, in ns.
    pub freshness: Option<i64>,
    /// What the topics of the colours said then.
    pub observed: Vec<Observed>,
}

/// What is proved in one partition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionReceipt {
    /// Which one.
    pub partition: u32,
    /// The offsets that were read.
    pub read: (u64, u64),
    /// The cut; `None`: there is none.
    pub cut: Option<Cut>,
    /// The newest window at or before the cut.
    pub last_old: Option<WindowReceipt>,
    /// The oldest window behind it.
    pub first_new: Option<WindowReceipt>,
    /// Windows that were counted again.
    pub windows: u64,
    /// Of these, windows whose sums are not those of their progress record.
    pub unequal: u64,
    /// First results that progress records name and that are not there.
    pub lost: u64,
    /// First results that are there twice, or that no progress record names.
    pub doubled: u64,
    /// First results of series that came late.
    pub late: u64,
    /// Records of the old deployment behind the cut, of windows behind it.
    pub foreign: u64,
    /// Revisions of older windows that the new deployment brought.
    pub revised: u64,
    /// The longest pause between two windows before the order, in ns.
    pub steady: i64,
    /// The longest one from the order on, in ns.
    pub longest: Option<i64>,
    /// How long after its end the latest window was there, in ns.
    pub freshness: Option<i64>,
    /// The new deployment answers for all windows.
    pub sealed: Option<Sealed>,
}

/// A window in the public topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowReceipt {
    /// Which one.
    pub window: u64,
    /// What its progress record says.
    pub said: Option<Sums>,
    /// What is there.
    pub found: Sums,
}

/// What both deployments have in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Partition.
    pub partition: u32,
    /// Window.
    pub window: u64,
    /// The old one.
    pub from: Option<Sums>,
    /// The new one.
    pub to: Option<Sums>,
}

/// A line of a comparison.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What is compared.
    pub what: String,
    /// What the receipt says.
    pub said: String,
    /// What the public topic says.
    pub found: String,
}

impl Line {
    /// Whether both say the same.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.said == self.found
    }
}

/// Makes the receipt of a flip from what the public topic holds now.
///
/// # Errors
/// When the topic cannot be read.
pub fn of_flip(
    log: &Arc<dyn Log>,
    settings: &ControllerSettings,
    orders: &Orders,
    flip: &Flipped,
    probe: &Probe,
) -> Result<Receipt, LogError> {
    let before = settings.window.saturating_mul(BEFORE);
    let from = back_to(log, &settings.public, &|_| flip.at.saturating_sub(before))?;
    let to = ends(&**log, &settings.public)?;
    let mut receipt = read(log, settings, orders, flip, from, &to)?;
    receipt.observed = observed(&receipt, flip, probe);
    Ok(receipt)
}

/// Recomputes a receipt over the offsets that it names, and compares.
///
/// # Errors
/// When the topic cannot be read, or does not reach back as far any more.
pub fn verify(
    log: &Arc<dyn Log>,
    settings: &ControllerSettings,
    orders: &Orders,
    flip: &Flipped,
    said: &Receipt,
) -> Result<Vec<Line>, LogError> {
    let partition = |index| Partition::new(&settings.public, index);
    let range = |p: &PartitionReceipt| (partition(p.partition), Offset(p.read.0), Offset(p.read.1));
    let ranges: Vec<_> = said.partitions.iter().map(range).collect();
    for (partition, position, _) in &ranges {
        let (start, end) = log.bounds(partition)?;
        if *position < start {
            return Err(LogError::OutOfRange { partition: partition.clone(), position: *position, start, end });
        }
    }
    let from = ranges.iter().map(|(partition, from, _)| (partition.clone(), *from)).collect();
    let to: Positions = ranges.iter().map(|(partition, _, to)| (partition.clone(), *to)).collect();
    let mut found = read(log, settings, orders, flip, from, &to)?;
    found.observed = observed_again(log, settings, flip, &said.observed)?;
    let (said, found) = (said.lines(), found.lines());
    let names: std::collections::BTreeSet<&String> = said.keys().chain(found.keys()).collect();
    let text = |lines: &BTreeMap<String, String>, name: &String| lines.get(name).cloned().unwrap_or_else(|| "nothing".to_owned());
    Ok(names.into_iter().map(|name| Line { what: name.clone(), said: text(&said, name), found: text(&found, name) }).collect())
}

fn read(
    log: &Arc<dyn Log>,
    settings: &ControllerSettings,
    orders: &Orders,
    flip: &Flipped,
    from: Positions,
    to: &Positions,
) -> Result<Receipt, LogError> {
    let begins = |partition: &Partition| from.get(partition).copied().unwrap_or_default();
    let mut counts: BTreeMap<u32, Counting> = BTreeMap::new();
    for (partition, end) in to {
        let start = begins(partition);
        let whole = start == log.bounds(partition)?.0;
        counts.insert(partition.index, Counting::new(partition.index, (start.0, end.0), whole, flip));
    }
    let mut tail = Tail::new(Arc::clone(log), &settings.public, from);
    let done = tail.read_to(to, &mut |index, record| {
        if let Some(counting) = counts.get_mut(&index) {
            counting.take(record, settings);
        }
    })?;
    if !done {
        return Err(unfinished(&settings.public));
    }
    let partitions: Vec<PartitionReceipt> = counts.into_values().map(|counting| counting.finish(settings.window)).collect();
    let version = |of: Deployment| (of, orders.start_of(of).map(|start| start.version.clone()).unwrap_or_default());
    let order = &flip.order;
    let gap = |p: &PartitionReceipt| p.longest.map(|longest| longest.saturating_sub(p.steady).max(0));
    Ok(Receipt {
        flip: order.flip,
        kind: order.kind,
        from: version(order.from),
        to: version(order.to),
        by: flip.by.clone(),
        reason: flip.reason.clone(),
        ordered_at: flip.at,
        lost: partitions.iter().map(|p| p.lost).sum(),
        doubled: partitions.iter().map(|p| p.doubled).sum(),
        gap: partitions.iter().filter_map(gap).max(),
        freshness: partitions.iter().filter_map(|p| p.freshness).max(),
        partitions,
        observed: Vec::new(),
    })
}

fn observed(receipt: &Receipt, flip: &Flipped, probe: &Probe) -> Vec<Observed> {
    let sums = |of: Deployment, partition: u32, window: u64| {
        let seen = probe.colours.get(&of.colour).filter(|seen| seen.deployment == of)?;
        seen.partitions.get(partition as usize)?.windows.get(&window)?.sums
    };
    let order = &flip.order;
    let both = |p: &PartitionReceipt| p.last_old.into_iter().chain(p.first_new).map(|w| (p.partition, w.window)).collect::<Vec<_>>();
    let all = receipt.partitions.iter().flat_map(both);
    let of = |(partition, window)| Observed {
        partition,
        window,
        from: sums(order.from, partition, window),
        to: sums(order.to, partition, window),
    };
    all.map(of).collect()
}

/// What the topics of the colours say now of what was observed then. What they do not reach back to any more stands as it was said.
fn observed_again(log: &Arc<dyn Log>, settings: &ControllerSettings, flip: &Flipped, said: &[Observed]) -> Result<Vec<Observed>, LogError> {
    let from = sums_again(log, settings, flip, flip.order.from, said.iter().map(|o| (o, o.from)))?;
    let to = sums_again(log, settings, flip, flip.order.to, said.iter().map(|o| (o, o.to)))?;
    Ok(said.iter().zip(from.into_iter().zip(to)).map(|(of, (from, to))| Observed { from, to, ..*of }).collect())
}

/// The same for one deployment, in the same order. What was not seen then may have come since, and is not looked for.
fn sums_again<'a>(
    log: &Arc<dyn Log>,
    settings: &ControllerSettings,
    flip: &Flipped,
    of: Deployment,
    said: impl Iterator<Item = (&'a Observed, Option<Sums>)>,
) -> Result<Vec<Option<Sums>>, LogError> {
    let said: Vec<_> = said.collect();
    let Some(topic) = settings.colours.get(&of.colour).map(|topics| &topics.signals) else {
        return Ok(said.into_iter().map(|(_, sums)| sums).collect());
    };
    // No window is closed before it begins, and one that is published late may have been closed long before the flip.
    let oldest = said.iter().filter(|(_, sums)| sums.is_some()).map(|(of, _)| start_of(of.window)).min().unwrap_or(flip.at);
    let since = flip.at.saturating_sub(settings.window.saturating_mul(BEFORE)).min(oldest);
    let from = match back_to(log, topic, &|_| since) {
        Ok(from) => from,
        Err(LogError::UnknownTopic(_)) => return Ok(said.into_iter().map(|(_, sums)| sums).collect()),
        Err(error) => return Err(error),
    };
    // Where the log has lost its beginning, what is not met may have stood there.
    let mut cut_short = BTreeSet::new();
    for (partition, from) in &from {
        let start = log.bounds(partition)?.0;
        if start > Offset(0) && *from == start {
            cut_short.insert(partition.index);
        }
    }
    let mut found: BTreeMap<(u32, u64), Option<Sums>> = BTreeMap::new();
    let done = Tail::new(Arc::clone(log), topic, from).read(&mut |index, record| {
        if record.headers.get(SCHEMA) == Some(settings.progress.as_bytes())
            && deployment_of(record) == Some(of)
            && let Some(window) = record.headers.get(IDENTITY_HEADER).and_then(window_of)
        {
            found.insert((index, window), record.headers.get(SUMS_HEADER).and_then(|bytes| Sums::decode(bytes).ok()));
        }
    })?;
    if !done {
        return Err(unfinished(topic));
    }
    let again = |(of, sums): (&Observed, Option<Sums>)| {
        sums.and_then(|sums| match found.get(&(of.partition, of.window)) {
            Some(found) => *found,
            None if cut_short.contains(&of.partition) => Some(sums),
            None => None,
        })
    };
    Ok(said.into_iter().map(again).collect())
}

/// What was not read must not count as what is not there.
fn unfinished(topic: &Topic) -> LogError {
    LogError::Engine(format!("topic {topic} was not read to its end in time"))
}

/// One partition as it is read.
struct Counting<'a> {
    receipt: PartitionReceipt,
    flip: &'a Flipped,
    /// The cut of the next flip, once its mark was met: from there on that one says who answers.
    until: Option<u64>,
    /// Whether what comes before the first progress record is all of its window.
    whole: bool,
    /// First revisions since the last progress record, and who made them.
    open: BTreeMap<u64, (Sums, BTreeSet<Option<Deployment>>)>,
    /// Identities with a first revision.
    first: Set<Vec<u8>>,
    windows: BTreeMap<u64, WindowReceipt>,
    /// Window and append time of progress records, and whether they stand behind the cut.
    progress: Vec<(u64, i64, bool)>,
}

impl<'a> Counting<'a> {
    fn new(partition: u32, read: (u64, u64), whole: bool, flip: &'a Flipped) -> Self {
        Self {
            receipt: PartitionReceipt { partition, read, ..PartitionReceipt::default() },
            flip,
            until: None,
            whole,
            open: BTreeMap::new(),
            first: Set::default(),
            windows: BTreeMap::new(),
            progress: Vec::new(),
        }
    }

    fn take(&mut self, record: &Record<'_>, settings: &ControllerSettings) {
        let value = record.value.unwrap_or_default();
        let number = self.flip.order.flip;
        let Some(schema) = record.headers.get(SCHEMA) else { return };
        if schema == SCHEMA_CUT.as_bytes() {
            match Cut::decode(value) {
                Ok(cut) if cut.flip == number => self.receipt.cut = Some(cut),
                Ok(cut) if cut.flip > number => drop(self.until.get_or_insert(cut.cut)),
                _ => {}
            }
            return;
        }
        if schema == SCHEMA_SEALED.as_bytes() {
            if let Some(sealed) = Sealed::decode(value).ok().filter(|sealed| sealed.flip == number) {
                self.receipt.sealed = Some(sealed);
            }
            return;
        }
        let Some(identity) = record.headers.get(IDENTITY_HEADER) else { return };
        let Some(window) = window_of(identity) else { return };
        let by = deployment_of(record);
        let cut = self.receipt.cut.as_ref().map(|cut| cut.cut);
        if let Some(cut) = cut.filter(|_| self.until.is_none()) {
            let old = by == Some(self.flip.order.from);
            self.receipt.foreign += u64::from(old && window > cut);
            self.receipt.revised += u64::from(by == Some(self.flip.order.to) && window <= cut);
        }
        if schema == settings.progress.as_bytes() {
            let said = record.headers.get(SUMS_HEADER).and_then(|bytes| Sums::decode(bytes).ok());
            let (found, makers) = self.open.remove(&window).unwrap_or_default();
            if std::mem::replace(&mut self.whole, true) {
                let both = makers.iter().any(|maker| *maker != by);
                self.close(WindowReceipt { window, said, found }, both);
            }
            let at = record.append_time.map_or(0, |time| time.0);
            self.progress.push((window, at, cut.is_some()));
            return;
        }
        if record.headers.get(REVISION_HEADER) != Some(b"0") {
            return;
        }
        if !self.first.insert(identity.to_vec()) {
            self.receipt.doubled += 1;
        } else if self.progress.last().is_some_and(|(closed, _, _)| window <= *closed) {
            self.receipt.late += 1;
        } else if schema == settings.results.as_bytes() {
            let growth = record.headers.get(GROWTH_HEADER).and_then(|bytes| Growth::decode(bytes).ok());
            let events = growth.and_then(|growth| growth.totals.first().copied()).unwrap_or(0);
            let hash = record.headers.get(HASH_HEADER).and_then(|hex| u64::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
            let (sums, makers) = self.open.entry(window).or_default();
            sums.add(events, hash.unwrap_or(0));
            makers.insert(by);
        }
    }

    /// `both`: the window has results of both deployments, since the old one left it half published and was given up.
    fn close(&mut self, window: WindowReceipt, both: bool) {
        let WindowReceipt { said, found, .. } = window;
        self.windows.insert(window.window, window);
        self.receipt.windows += 1;
        let Some(said) = said else { return };
        self.receipt.lost += said.finals.saturating_sub(found.finals);
        if !both {
            self.receipt.doubled += found.finals.saturating_sub(said.finals);
            self.receipt.unequal += u64::from(said != found);
        }
    }

    fn finish(mut self, length: i64) -> PartitionReceipt {
        let cut = self.receipt.cut.as_ref().map(|cut| cut.cut);
        if let Some(cut) = cut {
            self.receipt.last_old = self.windows.range(..=cut).next_back().map(|(_, window)| *window);
            self.receipt.first_new = self
                .windows
                .range(cut.saturating_add(1)..)
                .next()
                .filter(|(window, _)| self.until.is_none_or(|until| **window <= until))
                .map(|(_, window)| *window);
        }
        let ordered = self.flip.at;
        let pauses = self.progress.windows(2).filter_map(|pair| match pair {
            [(_, before, _), (window, after, behind)] => Some((after.saturating_sub(*before), *after, *behind, *window)),
            _ => None,
        });
        let pauses: Vec<_> = pauses.collect();
        // A pause as long as a window is none, also where those before were shorter since a deployment was catching up.
        let before = pauses.iter().filter(|(_, after, ..)| *after <= ordered).map(|(pause, ..)| *pause);
        self.receipt.steady = before.max().unwrap_or(length).max(length);
        let first_behind = pauses.iter().position(|(_, _, behind, _)| *behind);
        let around = || {
            let last = first_behind.map_or(pauses.len(), |first| first + BEHIND);
            pauses.iter().take(last).filter(|(_, after, ..)| *after > ordered)
        };
        self.receipt.longest = first_behind.and_then(|_| around().map(|(pause, ..)| *pause).max());
        let fresh = |at: i64, window: u64| at.saturating_sub(start_of(window).saturating_add(length));
        self.receipt.freshness = around().map(|(_, after, _, window)| fresh(*after, *window)).max();
        self.receipt
    }
}

/// Whether nothing more comes of a flip: the old deployment is sealed, or was given up and everything of the new one was read once more.
#[must_use]
pub fn is_over(flip: &Flipped) -> bool {
    let sealed = |p: &serde_json::Value| p.get("sealed").is_some_and(|sealed| !sealed.is_null());
    let everywhere = |receipt: &serde_json::Value| receipt.get("partitions")?.as_array().map(|all| all.iter().all(sealed));
    match flip.order.kind {
        FlipKind::Planned => flip.sealed,
        FlipKind::Failure => flip.receipt.as_ref().and_then(everywhere) == Some(true),
    }
}

impl Receipt {
    /// Whether nothing is lost, nothing doubled, and nothing of the old deployment came behind a cut.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let clean = |p: &PartitionReceipt| p.cut.is_some() && p.unequal == 0 && p.foreign == 0;
        self.lost == 0 && self.doubled == 0 && self.partitions.iter().all(clean)
    }

    /// Everything that is proved, by name.
    #[must_use]
    pub fn lines(&self) -> BTreeMap<String, String> {
        let mut lines = BTreeMap::new();
        let sums = |s: Sums| format!("{} results, {} events, hash {:016x}", s.finals, s.events, s.hash);
        let nanos = |of: Option<i64>| of.map_or_else(|| "none".to_owned(), |nanos| format!("{:.3} s", nanos as f64 / 1e9));
        let mut put = |name: String, value: String| drop(lines.insert(name, value));
        let version = |(of, version): &(Deployment, String)| format!("{of}, version {version}");
        put("from".to_owned(), version(&self.from));
        put("to".to_owned(), version(&self.to));
        put("by".to_owned(), format!("{}: {}", self.by, self.reason));
        put("lost".to_owned(), self.lost.to_string());
        put("doubled".to_owned(), self.doubled.to_string());
        put("gap".to_owned(), nanos(self.gap));
        put("worst freshness".to_owned(), nanos(self.freshness));
        for p in &self.partitions {
            let mut put = |name: &str, value: String| put(format!("partition {} {name}", p.partition), value);
            let cut = p.cut.as_ref();
            let window = |of: Option<WindowReceipt>| {
                of.map_or_else(
                    || "none".to_owned(),
                    |w| format!("{}: says {}, has {}", shown(w.window), w.said.map_or_else(|| "nothing".to_owned(), sums), sums(w.found)),
                )
            };
            put("cut", cut.map_or_else(|| "none".to_owned(), |cut| shown(cut.cut)));
            put("positions", cut.map_or_else(|| "none".to_owned(), |cut| format!("{} and {}", cut.positions.0, cut.positions.1)));
            put("last old window", window(p.last_old));
            put("first new window", window(p.first_new));
            put("windows counted again", p.windows.to_string());
            put("windows with other sums", p.unequal.to_string());
            put("lost", p.lost.to_string());
            put("doubled", p.doubled.to_string());
            put("late series", p.late.to_string());
            put("old behind the cut", p.foreign.to_string());
            put("revisions before the cut by the new one", p.revised.to_string());
            put("steady pause", nanos(Some(p.steady)));
            put("longest pause", nanos(p.longest));
            put(
                "sealed",
                p.sealed.as_ref().map_or_else(|| "no".to_owned(), |s| format!("{} revisions of {} results", s.revisions, s.looked_at)),
            );
        }
        for Observed { partition, window, from, to } in &self.observed {
            for (of, seen) in [(self.from.0, from), (self.to.0, to)] {
                let name = format!("partition {partition} window {} of {of}", shown(*window));
                lines.insert(name, seen.map_or_else(|| "not seen".to_owned(), sums));
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::Colour;
    use crate::orders::Flip;

    const LENGTH: i64 = 10_000;

    /// Of a flip that was ordered at 25 s: when windows came, and whether behind the cut.
    fn of(progress: &[(i64, bool)]) -> (i64, Option<i64>) {
        let deployment = |colour, epoch| Deployment { colour, epoch };
        let (from, to) = (deployment(Colour::Blue, 1), deployment(Colour::Green, 2));
        let order = Flip { flip: 1, from, to, kind: FlipKind::Planned, window: 0 };
        let flip = Flipped { order, by: String::new(), reason: String::new(), at: 25_000, sealed: false, receipt: None };
        let mut counting = Counting::new(0, (0, 9), true, &flip);
        counting.progress = progress.iter().map(|(at, behind)| (0, *at, *behind)).collect();
        let receipt = counting.finish(LENGTH);
        (receipt.steady, receipt.longest)
    }

    #[test]
    fn a_pause_as_long_as_a_window_is_no_gap_whatever_came_before() {
        // Windows that were caught up on came one after the other.
        assert_eq!(of(&[(14_000, false), (14_100, false), (21_000, false), (31_000, false), (41_000, true)]), (10_000, Some(10_000)));
        // A longer pause was usual before.
        assert_eq!(of(&[(10_000, false), (22_000, false), (31_000, false), (44_000, true)]), (12_000, Some(13_000)));
    }
}
