//! How everything stands, as one value: what `status` prints, the API gives and the live view shows.
//!
//! Made from probes and orders alone. What this does not do: it decides nothing, and prints nothing.

use crate::controller::flip::Stand;
use crate::controller::observe::Probe;
use crate::decide::Facts;
use crate::deployment::{Colour, Deployment};
use crate::health;
use crate::orders::{FlipKind, Flipped};
use crate::receipt::Receipt;
use crate::settings::{shown, time_shown};
use serde::{Deserialize, Serialize};

/// How many flips and refusals are shown.
const NEWEST: usize = 10;

/// How everything stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// What time it is by the log's clock, RFC 3339; empty while it is not known.
    pub time: String,
    /// What is live; none: nothing was deployed.
    pub live: Option<Deployment>,
    /// Whether automatic flips are on hold.
    pub hold: bool,
    /// Whether this controller leads.
    pub leads: bool,
    /// What a person must know.
    pub page: Option<String>,
    /// Why nothing follows from the control log, where that is so: what stands below may be wrong then, and workers hold.
    pub unusable: Option<String>,
    /// How long ago the newest window ended that every partition has published, in seconds.
    pub age: Option<f64>,
    /// Both colours.
    pub colours: Vec<ColourStatus>,
    /// Public partitions, each with what its worker forwards, and whose worker that is.
    pub partitions: Vec<PartitionStatus>,
    /// Windows of both deployments that were compared by this controller.
    pub shadow: Shadow,
    /// The newest flips, newest first.
    pub flips: Vec<FlipStatus>,
    /// The newest refusals, newest first.
    pub refused: Vec<RefusalStatus>,
}

/// A colour.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ColourStatus {
    /// Which one.
    pub colour: Colour,
    /// What runs there.
    pub deployment: Option<Deployment>,
    /// Of which version.
    pub version: String,
    /// Whether it is live.
    pub live: bool,
    /// What is wrong with it.
    pub trouble: Option<String>,
    /// Partials that are not read yet, of the partition with most.
    pub lag: Option<u64>,
    /// End of the newest window that all partitions with windows have closed, RFC 3339.
    pub closed: Option<String>,
    /// When the log took its newest progress record, RFC 3339.
    pub progress: Option<String>,
    /// The first window that it answers for.
    pub owned_from: Option<String>,
    /// Partitions in which router workers will not go on with it.
    pub torn: Vec<usize>,
    /// How many of its processes were asked whether they are ready, and how many are; `None`: nobody asks.
    pub processes: Option<(usize, usize)>,
    /// Which share of its input it put aside lately, 0 to 1; `None`: too little is known.
    pub error_share: Option<f64>,
}

/// A public partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionStatus {
    /// Which one.
    pub partition: u32,
    /// What its newest window came from.
    pub forwards: Option<Deployment>,
    /// Its newest window.
    pub window: Option<String>,
    /// When the log took that window's progress record.
    pub published: Option<String>,
    /// The process whose worker holds it, as that said with its newest commit; none: nobody committed yet, or one of an older version.
    #[serde(default)]
    pub holder: Option<String>,
}

/// How many windows of both deployments were compared, by partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// All of them.
    pub compared: u64,
    /// Those whose sums differ.
    pub different: u64,
}

/// A flip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlipStatus {
    /// Number.
    pub flip: u64,
    /// What was live.
    pub from: Deployment,
    /// What is.
    pub to: Deployment,
    /// How.
    pub kind: FlipKind,
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When the log took the order.
    pub at: String,
    /// How far it is.
    pub state: String,
    /// What was lost and doubled, once it has a receipt.
    pub lost_and_doubled: Option<(u64, u64)>,
    /// Its gap in seconds.
    pub gap: Option<f64>,
    /// Its worst freshness in seconds.
    pub freshness: Option<f64>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalStatus {
    /// Under which `golden router receipt` shows it.
    pub id: String,
    /// What was asked for.
    pub asked: String,
    /// By whom.
    pub by: String,
    /// Why not.
    pub reason: String,
    /// When.
    pub at: String,
}

impl Status {
    /// From what is known.
    #[must_use]
    pub fn of(facts: &Facts<'_>) -> Self {
        let Facts { orders, .. } = facts;
        let probe = facts.probe();
        let public = probe.map(|probe| probe.public.as_slice()).unwrap_or_default();
        let partition = |(partition, seen): (u32, &crate::controller::observe::PublicSeen)| PartitionStatus {
            partition,
            forwards: seen.newest.map(|(_, by, _)| by),
            window: seen.newest.map(|(window, _, _)| shown(window)),
            published: seen.newest.map(|(_, _, at)| time_shown(at)),
            holder: seen.holder.clone(),
        };
        let refusal = |(number, refusal): (usize, &crate::orders::Refusal)| RefusalStatus {
            id: format!("r{}", number + 1),
            asked: refusal.asked.clone(),
            by: refusal.by.clone(),
            reason: refusal.reason.clone(),
            at: time_shown(refusal.at),
        };
        Self {
            time: probe.filter(|probe| probe.time != 0).map(|probe| time_shown(probe.time)).unwrap_or_default(),
            live: orders.live(),
            hold: orders.on_hold(),
            age: probe.and_then(|probe| probe.age(facts.window)).map(|nanos| nanos as f64 / 1e9),
            colours: Colour::ALL.into_iter().map(|colour| of_colour(facts, colour)).collect(),
            partitions: (0..).zip(public).map(partition).collect(),
            flips: orders.flips().iter().rev().take(NEWEST).map(|flip| of_flip(facts, flip)).collect(),
            refused: orders.refused().iter().enumerate().rev().take(NEWEST).map(refusal).collect(),
            ..Self::default()
        }
    }
}

fn of_colour(facts: &Facts<'_>, colour: Colour) -> ColourStatus {
    let start = facts.orders.running(colour);
    let seen = facts.probe().and_then(|probe| probe.colours.get(&colour));
    let inputs = || seen.iter().flat_map(|seen| &seen.partitions);
    let closed = inputs().filter_map(|input| input.newest()).min();
    let answers = |probe: &'_ Probe| probe.answers.get(&colour).cloned();
    let asked = start.zip(facts.probe().and_then(answers));
    let earlier = facts.probes.iter().rev().nth(facts.checks.failed).and_then(answers);
    let progress = inputs().filter_map(|input| input.windows.last_key_value()).map(|(_, window)| window.at).max();
    ColourStatus {
        colour,
        deployment: start.map(|start| start.deployment),
        version: start.map(|start| start.version.clone()).unwrap_or_default(),
        live: facts.orders.live().is_some_and(|live| live.colour == colour),
        trouble: facts.trouble(colour).map(|trouble| trouble.to_string()),
        lag: inputs().map(|input| input.end.saturating_sub(input.position.unwrap_or(0))).max(),
        closed: closed.map(|window| shown(window.saturating_add(facts.window.unsigned_abs()))),
        progress: progress.map(time_shown),
        owned_from: start.filter(|start| start.owned_from > 0).map(|start| shown(start.owned_from)),
        torn: inputs().enumerate().filter(|(_, input)| input.torn).map(|(index, _)| index).collect(),
        processes: asked.as_ref().map(|(start, answers)| health::ready(answers, start.deployment)),
        error_share: asked.zip(earlier).and_then(|((start, now), then)| health::error_share(&then, &now, start.deployment)),
    }
}

fn of_flip(facts: &Facts<'_>, flip: &Flipped) -> FlipStatus {
    let receipt: Option<Receipt> = flip.receipt.clone().and_then(|receipt| serde_json::from_value(receipt).ok());
    let seconds = |nanos: i64| nanos as f64 / 1e9;
    let order = &flip.order;
    FlipStatus {
        flip: order.flip,
        from: order.from,
        to: order.to,
        kind: order.kind,
        by: flip.by.clone(),
        reason: flip.reason.clone(),
        at: time_shown(flip.at),
        state: facts.probe().map_or("ordered", |probe| Stand::of(flip, probe).name()).to_owned(),
        lost_and_doubled: receipt.as_ref().map(|receipt| (receipt.lost, receipt.doubled)),
        gap: receipt.as_ref().and_then(|receipt| receipt.gap).map(seconds),
        freshness: receipt.as_ref().and_then(|receipt| receipt.freshness).map(seconds),
    }
}
