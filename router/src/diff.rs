//! The shadow comparison in detail: which results of the newest windows differ between both deployments, and by how much.
//!
//! Two deployments of one version hold equal totals in every window that both own, once both have read the same input (GUARANTEES I20). For
//! each identity the newest result of either is taken, corrections included, in windows that both have closed.
//! What this does not do: it changes nothing, and does not say which one is right.

use crate::controller::observe::{SCHEMA, deployment_of, window_of};
use crate::deployment::{Colour, Deployment};
use crate::orders::Orders;
use crate::settings::{ControllerSettings, shown};
use crate::tail::{Tail, back_to};
use platform_core::growth::{GROWTH_HEADER, Growth, HASH_HEADER, IDENTITY_HEADER};
use platform_core::log::{Log, LogError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Most differences that are listed.
const LISTED: usize = 1000;

/// How both deployments differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Blue and green, each with its version.
    pub deployments: Vec<(Deployment, String)>,
    /// Windows that were compared, by partition.
    pub windows: usize,
    /// Results that were compared.
    pub compared: usize,
    /// Results that differ.
    pub different: usize,
    /// Why that may be, and what to do; empty when nothing differs.
    pub why: String,
    /// The first of them, by window and identity.
    pub differences: Vec<Difference>,
}

/// A result that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Partition.
    pub partition: u32,
    /// Window, by its start.
    pub window: String,
    /// Which series.
    pub series: String,
    /// In blue; none: it has no such result.
    pub blue: Option<Totals>,
    /// In green.
    pub green: Option<Totals>,
}

/// What a result says in its headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Counts; events come first.
    pub totals: Vec<u64>,
    /// Sum of the hashes of its events.
    pub hash: String,
    /// Whether all input was seen.
    pub complete: bool,
}

/// Why both cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// One of them is not there.
    #[error("no deployment of {0} runs, so there is nothing to compare: start one with `golden run --colour {0}`")]
    Absent(Colour),
    /// A topic cannot be read.
    #[error("{0}")]
    Log(#[from] LogError),
}

/// Results of one deployment by partition and identity, and the windows that it has closed by partition.
#[derive(Default)]
struct Side {
    results: BTreeMap<(u32, Vec<u8>), Totals>,
    closed: BTreeSet<(u32, u64)>,
}

/// Compares the newest `windows` windows.
///
/// # Errors
/// When there are no two deployments, or they cannot be read.
pub fn diff(log: &Arc<dyn Log>, settings: &ControllerSettings, orders: &Orders, windows: usize) -> Result<Diff, DiffError> {
    let start = |colour| orders.running(colour).ok_or(DiffError::Absent(colour));
    let (blue, green) = (start(Colour::Blue)?, start(Colour::Green)?);
    let sides = [side(log, settings, blue.deployment, windows)?, side(log, settings, green.deployment, windows)?];
    let [of_blue, of_green] = &sides;
    let owned = blue.owned_from.max(green.owned_from);
    let mut common: Vec<(u32, u64)> =
        of_blue.closed.intersection(&of_green.closed).filter(|(_, window)| *window >= owned).copied().collect();
    common.sort_by_key(|(partition, window)| (*partition, std::cmp::Reverse(*window)));
    let mut counted = BTreeMap::<u32, usize>::new();
    common.retain(|(partition, _)| {
        let count = counted.entry(*partition).or_default();
        *count += 1;
        *count <= windows
    });
    let common: BTreeSet<(u32, u64)> = common.into_iter().collect();
    let is_common =
        |(partition, identity): &(u32, Vec<u8>)| window_of(identity).is_some_and(|window| common.contains(&(*partition, window)));
    let identities: BTreeSet<&(u32, Vec<u8>)> = of_blue.results.keys().chain(of_green.results.keys()).filter(|of| is_common(of)).collect();
    let mut found = Diff {
        deployments: vec![(blue.deployment, blue.version.clone()), (green.deployment, green.version.clone())],
        windows: common.len(),
        compared: identities.len(),
        different: 0,
        why: String::new(),
        differences: Vec::new(),
    };
    for of in identities {
        let (blue, green) = (of_blue.results.get(of), of_green.results.get(of));
        if blue == green {
            continue;
        }
        found.different += 1;
        if found.differences.len() < LISTED {
            let (partition, identity) = of;
            found.differences.push(Difference {
                partition: *partition,
                window: window_of(identity).map(shown).unwrap_or_default(),
                series: (settings.name_of)(identity),
                blue: blue.cloned(),
                green: green.cloned(),
            });
        }
    }
    if found.different > 0 {
        found.why = if blue.version == green.version {
            "both are of one version, which must agree: late events may be under way, so look again in a minute; what stays is a defect"
                .to_owned()
        } else {
            format!(
                "versions differ ({} and {}): a difference may be wanted, and is then accepted with --accept-difference",
                blue.version, green.version
            )
        };
    }
    Ok(found)
}

fn side(log: &Arc<dyn Log>, settings: &ControllerSettings, of: Deployment, windows: usize) -> Result<Side, DiffError> {
    let topics = settings.colours.get(&of.colour).ok_or(DiffError::Absent(of.colour))?;
    // One window more on either side: a window's results lie between its progress record and the one before.
    let span = settings.window.saturating_mul(i64::try_from(windows).unwrap_or(i64::MAX).saturating_add(3));
    let from = back_to(log, &topics.signals, &|newest| newest.saturating_sub(span))?;
    // The first window of each partition is only half there, unless the log begins with it.
    let mut whole: BTreeMap<u32, bool> = BTreeMap::new();
    for (partition, from) in &from {
        whole.insert(partition.index, *from == log.bounds(partition)?.0);
    }
    let mut side = Side::default();
    Tail::new(Arc::clone(log), &topics.signals, from).read(&mut |index, record| {
        if deployment_of(record) != Some(of) {
            return;
        }
        let Some(identity) = record.headers.get(IDENTITY_HEADER) else { return };
        let Some(window) = window_of(identity) else { return };
        let schema = record.headers.get(SCHEMA).unwrap_or_default();
        if schema == settings.progress.as_bytes() {
            if whole.insert(index, true) == Some(true) {
                side.closed.insert((index, window));
            }
        } else if schema == settings.results.as_bytes()
            && let Some(Ok(growth)) = record.headers.get(GROWTH_HEADER).map(Growth::decode)
        {
            let hash = record.headers.get(HASH_HEADER).map(|hash| String::from_utf8_lossy(hash).into_owned()).unwrap_or_default();
            side.results.insert((index, identity.to_vec()), Totals { totals: growth.totals, hash, complete: growth.complete });
        }
    })?;
    Ok(side)
}
