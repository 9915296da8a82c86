//! Situations: small, each made for something that flips can meet.

use crate::colour::{Late, Window, script};
use crate::model::{Budget, Router};
use crate::planted::Planted;
use std::collections::BTreeMap;
use std::sync::RwLock;

/// A situation, before it is spelled out.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// Number of partitions.
    pub partitions: usize,
    /// Number of windows.
    pub windows: Window,
    /// Number of series.
    pub series: u8,
    /// Whether each result is a transaction of its own, so that colours die inside of windows too.
    pub halves: bool,
    /// First window of each deployment that there can be.
    pub owned_from: &'static [Window],
    /// When each deployment sees the late event, by beginning: window, and the places (see `Late`); `true`: an event.
    pub late: &'static [&'static [(Window, &'static [u8], bool)]],
    /// How many windows a worker remembers.
    pub remember: u8,
    /// What may happen.
    pub budget: Budget,
}

const NOTHING: Budget = Budget { planned: 0, mistaken: 0, deaths: 0, starts: 0, seals: 0, stale: 0, paused: 0 };
/// A late event of the first window: one of them sees it in time, or the other, or both late, or the window turns complete late.
const LATE: &[&[(Window, &[u8], bool)]] = &[&[(1, &[0, 1], true)], &[(1, &[1, 0], true)], &[(1, &[2, 1], true)], &[(1, &[1, 2], false)]];
/// Shorter: the second deployment sees it after the first, or before.
const TWO: &[&[(Window, &[u8], bool)]] = &[&[(1, &[1, 2, 0], true)], &[(1, &[2, 1, 0], true)]];
const ALL: u8 = 9;

/// All situations: `full`, as large as a machine bears; else as large as a minute bears.
#[must_use]
pub fn cases(full: bool) -> Vec<Case> {
    let more = u8::from(full);
    let base = Case {
        name: "",
        partitions: 1,
        windows: 3,
        series: 1,
        halves: false,
        owned_from: &[1, 1],
        late: TWO,
        remember: ALL,
        budget: NOTHING,
    };
    vec![
        Case { name: "there and back", late: LATE, budget: Budget { planned: 2, seals: 1, ..NOTHING }, ..base.clone() },
        Case {
            name: "half a window",
            series: 2,
            halves: true,
            windows: 2 + more,
            late: LATE,
            budget: Budget { planned: 1, deaths: 1, ..NOTHING },
            ..base.clone()
        },
        Case { name: "sealed, then back", budget: Budget { planned: 2, seals: 2, deaths: more, ..NOTHING }, ..base.clone() },
        Case {
            name: "a zombie colour",
            series: 2,
            halves: true,
            windows: 2 + more,
            late: LATE,
            budget: Budget { mistaken: 1, planned: 1, ..NOTHING },
            ..base.clone()
        },
        Case {
            name: "a new epoch",
            owned_from: &[1, 1, 3],
            budget: Budget { mistaken: 1, starts: 1, planned: 1, deaths: more, ..NOTHING },
            ..base.clone()
        },
        Case { name: "a slow controller", budget: Budget { planned: 1 + more, mistaken: 1, stale: 1, ..NOTHING }, ..base.clone() },
        Case {
            name: "a paused worker",
            series: 1 + more,
            budget: Budget { planned: 1, mistaken: 1, paused: 1, ..NOTHING },
            ..base.clone()
        },
        Case { name: "two partitions", partitions: 2, windows: 2, budget: Budget { planned: 1, deaths: 1, ..NOTHING }, ..base.clone() },
        Case {
            name: "forgotten windows",
            windows: 4,
            remember: 2,
            budget: Budget { planned: more, mistaken: 1, deaths: more, ..NOTHING },
            ..base
        },
    ]
}

impl Case {
    /// With a mistake in it, or none.
    #[must_use]
    pub fn with(&self, planted: Option<Planted>) -> Router {
        let late: Vec<Vec<Late>> = self
            .late
            .iter()
            .map(|l| {
                l.iter().map(|(window, seen, event)| Late { window: *window, series: 0, seen: seen.to_vec(), event: *event }).collect()
            })
            .collect();
        let deployment = |d: usize, late: &[Late]| {
            let from = self.owned_from.get(d).copied().unwrap_or(1);
            let one = script(u8::try_from(d).unwrap_or(0), from, self.windows, self.series, late, self.halves);
            vec![one; self.partitions]
        };
        Router {
            partitions: self.partitions,
            windows: self.windows,
            series: self.series,
            scripts: late.iter().map(|l| (0..self.owned_from.len()).map(|d| deployment(d, l)).collect()).collect(),
            late,
            owned_from: self.owned_from.to_vec(),
            remember: self.remember,
            budget: self.budget,
            planted,
            views: RwLock::new(BTreeMap::new()),
        }
    }
}

/// Each mistake, and the small situation in which it is looked for.
pub const PLANTED: &[(Planted, &str)] = &[
    (Planted::StandbyNotHeld, "there and back"),
    (Planted::NoGrowthRule, "half a window"),
    (Planted::EpochIgnored, "a new epoch"),
    (Planted::AbandonedForwarded, "a zombie colour"),
    (Planted::CutAsOrdered, "there and back"),
    (Planted::FailureCutNewest, "half a window"),
    (Planted::NoReconcile, "half a window"),
    (Planted::ReconcileForgotten, "forgotten windows"),
    (Planted::ForwardForgotten, "forgotten windows"),
    (Planted::ForgetWhileOwed, "forgotten windows"),
    (Planted::CutsOutOfOrder, "a slow controller"),
    (Planted::StaleNumber, "a slow controller"),
    (Planted::OutToLive, "sealed, then back"),
    (Planted::UnknownPassedOver, "a new epoch"),
    (Planted::NotFenced, "a paused worker"),
    (Planted::OwnedFromIgnored, "a new epoch"),
    (Planted::NeverAbandons, "half a window"),
];
