//! The tally of decoded items: what became of each, per source, in this process (SIGNALS §1, accounting).
//!
//! FOLD adds to it when its transaction has committed, so what is counted is what counts. It starts at zero with the process; the exact
//! account over restarts is that of the topics.

use crate::decode::{Reason, Skip};
use platform_core::metric::{Family, Kind, Value};
use platform_core::time::EventTime;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Counts of items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All items.
    pub decoded: u64,
    /// Events that went into a window (ignored ones and copies too; CLOSE tells copies apart).
    pub folded: u64,
    /// Events that went into the late ledger.
    pub late: u64,
    /// Items that are not requests, by reason.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Dead letters, by reason.
    pub dead: BTreeMap<&'static str, u64>,
    /// Samples of resources by what became of them; they are no items, and in no sum of those.
    pub samples: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts one item that is not a request.
    pub fn skip(&mut self, reason: Skip) {
        self.decoded += 1;
        *self.skipped.entry(reason.name()).or_default() += 1;
    }

    /// Counts one dead letter.
    pub fn dead(&mut self, reason: Reason) {
        self.decoded += 1;
        *self.dead.entry(reason.code()).or_default() += 1;
    }

    /// Number of dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> u64 {
        self.dead.values().sum()
    }

    /// Number of skipped items.
    #[must_use]
    pub fn skipped_items(&self) -> u64 {
        self.skipped.values().sum()
    }

    /// I1: every decoded item became exactly one thing.
    #[must_use]
    pub fn accounted(&self) -> bool {
        platform_core::invariants::accounted(self.decoded, self.folded, self.skipped_items(), self.late, self.dead_letters())
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.decoded += other.decoded;
        self.folded += other.folded;
        self.late += other.late;
        for (reason, count) in &other.skipped {
            *self.skipped.entry(reason).or_default() += count;
        }
        for (reason, count) in &other.dead {
            *self.dead.entry(reason).or_default() += count;
        }
        for (became, count) in &other.samples {
            *self.samples.entry(became).or_default() += count;
        }
    }
}

/// Counts by source and watermarks by partition, shared by the tasks of this process and whoever shows them.
#[derive(Debug, Default)]
pub struct Tally {
    sources: Mutex<BTreeMap<String, Counts>>,
    duplicates: AtomicU64,
    watermarks: Mutex<BTreeMap<u32, EventTime>>,
}

impl Tally {
    /// Adds the counts of one committed transaction.
    pub fn add(&self, source: &str, counts: &Counts) {
        debug_assert!(counts.accounted(), "I1: {counts:?}");
        let mut all = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(source) {
            Some(sum) => sum.add(counts),
            None => drop(all.insert(source.to_owned(), counts.clone())),
        }
    }

    /// Adds events that CLOSE found to be copies.
    pub fn duplicates(&self, count: u64) {
        self.duplicates.fetch_add(count, Ordering::Relaxed);
    }

    /// Events that CLOSE found to be copies.
    #[must_use]
    pub fn duplicate_events(&self) -> u64 {
        self.duplicates.load(Ordering::Relaxed)
    }

    /// Notes how far CLOSE has come with a partition: every window that ends by then is closed.
    pub fn reached(&self, partition: u32, watermark: EventTime) {
        self.watermarks.lock().unwrap_or_else(PoisonError::into_inner).insert(partition, watermark);
    }

    /// A partition went to another process: what is shown here of its watermark would only grow old.
    pub fn gone(&self, partition: u32) {
        self.watermarks.lock().unwrap_or_else(PoisonError::into_inner).remove(&partition);
    }

    /// Watermarks by partition of `partials`, of those whose input has said one.
    #[must_use]
    pub fn watermarks(&self) -> Vec<(u32, EventTime)> {
        let all = self.watermarks.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(partition, at)| (*partition, *at)).filter(|(_, at)| *at > EventTime::MIN).collect()
    }

    /// The sum over all sources.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(|c| total.add(c));
        total
    }

    fn counts(&self) -> BTreeMap<String, Counts> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Picks some of the counts, by reason.
type Pick = fn(&Counts) -> &BTreeMap<&'static str, u64>;

/// `golden_signals_decoded_total`, `…_duplicates_total`, `…_skipped_total` and `…_dead_letters_total`, each with the colour that counted:
/// both read the same source, so a sum over colours counts everything twice.
#[must_use]
pub fn families(tallies: &[(&str, &Tally)]) -> Vec<Family> {
    let counter = |name: &str, help: &str| Family::new(name, Kind::Counter, &format!("{help}, since the process started."));
    let all: Vec<_> = tallies.iter().map(|(colour, tally)| (*colour, tally.counts(), tally.duplicate_events())).collect();
    let mut decoded = counter("golden_signals_decoded_total", "Items decoded from source records");
    let mut duplicates = counter("golden_signals_duplicates_total", "Events that were there before under their id");
    for (colour, counts, copies) in &all {
        for (source, counts) in counts {
            decoded.push(&[("colour", colour), ("source", source)], Value::Count(counts.decoded));
        }
        duplicates.push(&[("colour", colour)], Value::Count(*copies));
    }
    let mut families = vec![decoded, duplicates];
    // A reason that has just appeared would be no increase: those that alarms look at stand at 0 from a source's first item on.
    let dead = || Reason::ALL.iter().map(|reason| (reason.code(), 0)).collect::<BTreeMap<_, _>>();
    let none = BTreeMap::new;
    for (name, what, label, known, pick) in [
        ("golden_signals_skipped_total", "Items that are not requests here, by reason", "reason", none(), (|c| &c.skipped) as Pick),
        ("golden_signals_dead_letters_total", "Items that could not be read, by reason", "reason", dead(), |c| &c.dead),
        ("golden_signals_resource_samples_total", "Samples of resources, by what became of them", "disposition", none(), |c| &c.samples),
    ] {
        let mut family = counter(name, what);
        for (colour, counts, _) in &all {
            for (source, counts) in counts {
                let mut by_reason: BTreeMap<&str, u64> = known.clone();
                by_reason.extend(pick(counts));
                for (reason, count) in by_reason {
                    family.push(&[("colour", colour), ("source", source), (label, reason)], Value::Count(count));
                }
            }
        }
        families.push(family);
    }
    families
}
