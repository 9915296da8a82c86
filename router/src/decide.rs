//! What is seen → what is done: a pure function over probes and orders, for automatic flips and for those that people ask for.
//!
//! A deployment *fails* when the same trouble shows at `failed` of the last `of` probes; a standby is *fit* when it did not fail at any of the
//! last `recovered` ones: it takes less to leave than to be chosen. Never to one that is worse. Both in the same trouble: the input is away, which no flip
//! mends, so people are paged. Both in different trouble: a flip of need gives the live one up for good, so only a dead one is left for one
//! that is not well, and only for one that lives; between two dead ones and between two that live the live one is kept, and people are paged.
//! What counts is whether positions and ends move, not whether there is traffic, so a pipeline that is idle is judged as a busy one.
//! What this does not do: it reads no log and no clock, and orders nothing.

use crate::controller::observe::{ColourSeen, InputSeen, Probe, WindowSeen};
use crate::deployment::{Colour, Deployment};
use crate::health;
use crate::orders::{Flip, FlipKind, Flipped, Orders};
use crate::settings::{Checks, shown, start_of};
use platform_core::growth::Sums;
use platform_core::time::nanos;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// Offsets behind the last record that a log may use for itself.
const OWN: u64 = 1;
/// An hour in ns, over which automatic flips are counted.
const HOUR: i64 = 3600 * platform_core::time::SECOND;
/// How controllers sign.
pub const CONTROLLER: &str = "controller";

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Flip away from a live deployment that fails.
    Flip {
        /// To which one.
        to: Deployment,
        /// Why, in a sentence.
        reason: String,
        /// Whether a person must know at once: the other one is not well either.
        page: bool,
    },
    /// Give up the old deployment of a flip: it died before it was sealed.
    Abandon {
        /// Which one.
        deployment: Deployment,
        /// Why, in a sentence.
        reason: String,
    },
    /// Call a person: something is wrong that no flip mends.
    Page {
        /// What, in a sentence.
        reason: String,
    },
}

/// What is wrong with a deployment, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// More of its results are incomplete than of the other's.
    Incomplete,
    /// It puts aside more of the same input than the other one.
    Erring,
    /// None of its processes says that it is ready.
    Unready,
    /// The other one has closed windows that it has not.
    Behind,
    /// Its results are damaged, or are not those that its progress records name.
    Torn,
    /// Its last stage commits nothing although there is something to read.
    Silent,
    /// Nothing comes of its first stage.
    Stuck,
    /// It is not there.
    Absent,
}

impl Trouble {
    /// Whether nothing more will come of it.
    #[must_use]
    pub fn is_dead(self) -> bool {
        self >= Self::Torn
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "more of its results are incomplete than of the other's",
            Self::Erring => "it puts aside more of the same input than the other one",
            Self::Unready => "none of its processes answers that it is ready",
            Self::Behind => "it is behind the other one",
            Self::Torn => "its results are torn: damaged, or other than its progress records say",
            Self::Silent => "CLOSE commits nothing although there are partials to read",
            Self::Stuck => "FOLD writes nothing",
            Self::Absent => "it does not run",
        })
    }
}

/// A condition of a flip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precondition {
    /// What must hold, in a few words.
    pub what: String,
    /// Why it does not, and what to do; `None`: it holds.
    pub refused: Option<String>,
}

/// A flip as somebody asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which colour is to be live.
    pub to: Colour,
    /// Whether a person has accepted that windows differ.
    pub accept_difference: bool,
}

/// Probes, oldest first, and by what they are judged.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// What was seen.
    pub probes: &'a [Probe],
    /// What was ordered.
    pub orders: &'a Orders,
    /// By what is judged.
    pub checks: &'a Checks,
    /// Length of a window in ns.
    pub window: i64,
}

impl<'a> Facts<'a> {
    /// What to do without being asked.
    #[must_use]
    pub fn decide(&self) -> Action {
        let Some(live) = self.orders.live() else { return Action::Nothing };
        if let Some(flip) = self.orders.flips().last()
            && let Some(action) = self.during(flip)
        {
            return action;
        }
        let Some(trouble) = self.trouble(live.colour) else { return Action::Nothing };
        let failing = format!("{live} is live and fails: {trouble}");
        let page = |why: &str| Action::Page { reason: format!("{failing}; {why}") };
        if self.orders.on_hold() {
            return page("flips are on hold: release them with `golden router hold --release`, or flip by hand");
        }
        let Some(standby) = self.orders.running(live.colour.other()).map(|start| start.deployment) else {
            return page("there is no other deployment to flip to: start one");
        };
        let other = self.worst_of_late(standby.colour);
        match other {
            Some(same) if same == trouble => {
                return page(&format!("{standby} is in the same trouble, so the input is away: no flip mends that"));
            }
            // A flip of need gives the live one up for good, so nothing less than its end is left for what is not well.
            Some(other) if other.is_dead() => {
                return page(&format!("{standby} is no better, nothing comes of it: {other}. {live} is kept"));
            }
            Some(other) if !trouble.is_dead() && other < trouble => {
                return page(&format!("{standby} is not well either: {other}. {live} is kept, which still goes on: a person must choose"));
            }
            Some(other) if !trouble.is_dead() => return page(&format!("{standby} is no better: {other}. {live} is kept")),
            Some(_) | None => {}
        }
        if let Some(refused) = self.reaches(standby).or_else(|| self.counts(standby)) {
            return page(&refused);
        }
        let automatic = |flip: &&Flipped| flip.by.starts_with(CONTROLLER);
        let time = self.time();
        let since = |flip: &Flipped| time.saturating_sub(flip.at);
        let mut automatic = self.orders.flips().iter().filter(automatic);
        if automatic.clone().filter(|flip| since(flip) < HOUR).count() >= self.checks.most {
            return page("too many automatic flips in the last hour: a person must decide");
        }
        if !trouble.is_dead() && automatic.next_back().is_some_and(|last| since(last) < nanos(self.checks.between)) {
            return page("the last automatic flip is too young for another one");
        }
        let is = other.map_or_else(|| "is well".to_owned(), |other| format!("is better, and not well either: {other}"));
        Action::Flip { to: standby, reason: format!("{failing}. {standby} {is}"), page: other.is_some() }
    }

    /// What a flip that is not over asks for; `None`: it is over, as far as decisions go.
    fn during(&self, flip: &Flipped) -> Option<Action> {
        let old = flip.order.from;
        let needed = self.probe().is_none_or(|probe| needs_old(flip, probe));
        let gone = flip.sealed || self.orders.is_abandoned(old) || self.orders.live() == Some(old);
        if !gone && self.trouble(flip.order.to.colour).is_none() {
            let trouble = if needed { self.trouble(old.colour) } else { self.trouble_throughout(old.colour) };
            if let Some(trouble) = trouble.filter(|trouble| trouble.is_dead()) {
                let flip = flip.order.flip;
                let reason = format!("{old} died before flip {flip} was sealed: {trouble}. {} answers for its windows", self.live_shown());
                return Some(Action::Abandon { deployment: old, reason });
            }
        }
        // A flip that waits for cuts or windows is not joined by another, unless what it flipped to dies too.
        let waits = flip.receipt.is_none() && !self.trouble(flip.order.to.colour).is_some_and(Trouble::is_dead);
        waits.then_some(Action::Nothing)
    }

    fn live_shown(&self) -> String {
        self.orders.live().map_or_else(|| "nothing".to_owned(), |live| live.to_string())
    }

    /// The newest probe.
    #[must_use]
    pub fn probe(&self) -> Option<&'a Probe> {
        self.probes.last()
    }

    fn time(&self) -> i64 {
        self.probe().map_or(0, |probe| probe.time)
    }

    /// What is wrong with the running deployment of a colour now, at `failed` of the last `of` probes.
    #[must_use]
    pub fn trouble(&self, colour: Colour) -> Option<Trouble> {
        trouble_at(self.probes, colour, self.orders, self.checks)
    }

    /// The worst that was wrong with it over the last `recovered` probes.
    fn worst_of_late(&self, colour: Colour) -> Option<Trouble> {
        let count = self.probes.len();
        let from = count.saturating_sub(self.checks.recovered);
        (from + 1..=count).filter_map(|to| trouble_at(self.probes.get(..to)?, colour, self.orders, self.checks)).max()
    }

    /// What was wrong with it at each of the last `recovered` probes.
    fn trouble_throughout(&self, colour: Colour) -> Option<Trouble> {
        let count = self.probes.len();
        let from = count.checked_sub(self.checks.recovered)?;
        (from + 1..=count).map(|to| trouble_at(self.probes.get(..to)?, colour, self.orders, self.checks)).min().flatten()
    }

    /// Whether a deployment has everything that comes after what is published; if not, why, and what to do.
    fn reaches(&self, to: Deployment) -> Option<String> {
        let probe = self.probe()?;
        let start = self.orders.start_of(to)?;
        let next = |window: u64| window.saturating_add(self.window.unsigned_abs());
        if let Some((oldest, _)) = probe.published()
            && start.owned_from > next(oldest)
        {
            let (from, at) = (shown(start.owned_from), shown(oldest));
            return Some(format!(
                "{to} answers for windows from {from} on only, and {at} was the last one published: wait until that is past"
            ));
        }
        if probe.published().is_none() && start.owned_from > 0 && start_of(start.owned_from) > probe.time {
            let from = shown(start.owned_from);
            return Some(format!("{to} answers for windows from {from} on only, and that is still to come: wait until it is past"));
        }
        let live = self.orders.live()?;
        if start.owned_from > self.orders.start_of(live).map_or(0, |start| start.owned_from) && self.withholds(live, to, probe) {
            let from = shown(start.owned_from);
            return Some(format!(
                "{to} answers for windows from {from} on only, and {live} has earlier ones that are not published yet: wait until they are"
            ));
        }
        let seen = probe.colours.get(&to.colour)?;
        let behind = seen.partitions.iter().zip(&probe.public).zip(0_u32..).find_map(|((input, public), index)| {
            let (published, _, _) = public.newest?;
            (input.newest().unwrap_or(0) < published && published >= start.owned_from).then_some((index, published))
        });
        let (index, published) = behind?;
        let at = shown(published);
        Some(format!("{to} has not closed window {at} of partition {index} yet, which is published already: wait until it has caught up"))
    }

    /// Whether the live deployment may have something for partitions that have published nothing: then nobody knows where another one would
    /// have to begin. What the other one closes shows which of these partitions are empty.
    fn withholds(&self, live: Deployment, to: Deployment, probe: &Probe) -> bool {
        let silent = |index: usize| probe.public.get(index).is_some_and(|public| public.newest.is_none());
        if !(0..probe.public.len()).any(silent) {
            return false;
        }
        let inputs = |of: Deployment| probe.colours.get(&of.colour).into_iter().flat_map(|seen| seen.partitions.iter().enumerate());
        let closes_there = [live, to].iter().any(|of| inputs(*of).any(|(index, input)| silent(index) && !input.windows.is_empty()));
        let owned = self.orders.start_of(to).map_or(0, |start| start.owned_from);
        let shows = || inputs(to).filter_map(|(_, input)| input.newest()).any(|newest| newest > owned);
        closes_there || self.trouble(live.colour).is_some() && !shows()
    }

    /// Whether all topics of a deployment have as many partitions as the public topic.
    fn counts(&self, to: Deployment) -> Option<String> {
        let probe = self.probe()?;
        let (partials, signals) = probe.colours.get(&to.colour)?.counts;
        let public = probe.partitions;
        (partials != public || signals != public).then(|| {
            format!(
                "{to} has {partials} partitions of partials and {signals} of signals, and the public topic has {public}: a service would \
                 change its place. Make its topics anew with {public} partitions, and deploy it again"
            )
        })
    }

    /// Whether a flip that a person asks for may be ordered. A live deployment that fails is not asked to agree.
    #[must_use]
    pub fn preconditions(&self, wish: &Wish) -> Vec<Precondition> {
        let mut all = Vec::new();
        let mut ask = |what: &str, refused: Option<String>| {
            let holds = refused.is_none();
            all.push(Precondition { what: what.to_owned(), refused });
            holds
        };
        let to = wish.to;
        let Some(live) = self.orders.live() else {
            let why = "the control log names no live deployment: deploy one with `golden run --colour blue`";
            ask("a deployment is live", Some(why.to_owned()));
            return all;
        };
        if !ask("it is not live already", (live.colour == to).then(|| format!("{to} is live already, as {live}: nothing to do"))) {
            return all;
        }
        let running = self.orders.running(to).map(|start| start.deployment);
        let given_up = || self.orders.flips().iter().rev().find(|flip| flip.order.from.colour == to).map(|flip| flip.order.from);
        let not_there = match given_up() {
            Some(old) => format!("{old} was given up and does not come back: deploy {to} anew, under epoch {}", self.orders.next_epoch()),
            None => format!("no deployment of {to} runs: start one with `golden run --colour {to}`"),
        };
        let Some(target) = running.filter(|_| ask("it runs", None)) else {
            ask("it runs", Some(not_there));
            return all;
        };
        let open = self.orders.flips().last().filter(|flip| flip.receipt.is_none());
        let under_way = open.map(|flip| {
            let Flip { flip: number, to, .. } = &flip.order;
            format!("flip {number} to {to} by {} is under way: wait for its receipt, `golden router receipt {number}`", flip.by)
        });
        ask("no flip is under way", under_way);
        let seen = self.probe().is_some_and(|probe| probe.colours.contains_key(&to));
        let Some(seen) = self.probe().and_then(|probe| probe.colours.get(&to)).filter(|_| seen) else {
            ask(
                "its topics are there",
                Some(format!("nothing is seen of {target}: its topics do not exist; is it deployed to this cluster?")),
            );
            return all;
        };
        ask("its topics are there", None);
        if !ask("its topics have as many partitions as the public one", self.counts(target)) {
            return all;
        }
        ask("it has all windows from the published ones on", self.reaches(target));
        let trouble = self.worst_of_late(to).map(|trouble| format!("{target}: {trouble}. Mend it, then ask again"));
        ask("it is well", trouble);
        ask("it keeps up with its input", self.lags(target));
        if self.trouble(live.colour).is_none() {
            ask("it closes windows when the live one does", self.late(live.colour, seen));
            ask("its windows are equal to those of the live one", self.differs(wish, live, target));
        }
        all
    }

    /// Whether the deployment has read within `lag` what its input had.
    fn lags(&self, to: Deployment) -> Option<String> {
        let Checks { lag, warm, .. } = *self.checks;
        let now = self.probe()?.at;
        let of = |probe: &'a Probe| probe.colours.get(&to.colour).filter(|seen| seen.deployment == to);
        let looked = self.probes.iter().filter(|probe| now.saturating_sub(probe.at) <= warm);
        let mut compared = false;
        for (number, later) in looked.clone().enumerate() {
            let Some(earlier) = looked.clone().take(number).filter(|earlier| later.at.saturating_sub(earlier.at) >= lag).last() else {
                continue;
            };
            let Some((then, at)) = of(earlier).zip(of(later)) else { continue };
            compared = true;
            let late = then.partitions.iter().zip(&at.partitions).zip(0_u32..).find(|((then, at), _)| {
                let read = at.position.unwrap_or(0);
                read + OWN < then.end
            });
            if let Some(((then, at), index)) = late {
                let behind = then.end.saturating_sub(at.position.unwrap_or(0));
                return Some(format!(
                    "{to} is cold: in partition {index} it was {behind} partials behind what lay there {} s before. Wait until it has caught up",
                    lag.as_secs()
                ));
            }
        }
        (!compared).then(|| format!("{to} has been watched for less than {} s: ask again in a moment", lag.as_secs()))
    }

    /// Windows that both deployments have closed and the standby answers for: partition, window, old, new; in each partition newest first.
    fn common(&self, live: Colour, to: Colour) -> Vec<(u32, u64, WindowSeen, WindowSeen)> {
        let Some((old, new)) = self.probe().and_then(|p| p.colours.get(&live).zip(p.colours.get(&to))) else { return Vec::new() };
        let from = self.orders.start_of(new.deployment).map_or(0, |start| start.owned_from);
        let mut all = Vec::new();
        for ((old, new), index) in old.partitions.iter().zip(&new.partitions).zip(0_u32..) {
            let both = old.windows.range(from..).rev().filter_map(|(window, old)| Some((index, *window, *old, *new.windows.get(window)?)));
            all.extend(both);
        }
        all
    }

    /// Whether it closed the windows of the last while as soon as the live one, by the log's clock.
    fn late(&self, live: Colour, to: &ColourSeen) -> Option<String> {
        let (lag, since) = (nanos(self.checks.lag), self.time().saturating_sub(nanos(self.checks.warm)));
        let common = self.common(live, to.deployment.colour);
        let late = common
            .iter()
            .filter(|(_, _, old, new)| new.at >= since || old.at >= since)
            .max_by_key(|(_, _, old, new)| new.at.saturating_sub(old.at));
        let (index, window, old, new) = late.filter(|(_, _, old, new)| new.at.saturating_sub(old.at) > lag)?;
        Some(format!(
            "{} closed window {} of partition {index} {:.1} s after {live}, and {} s are allowed: wait until it keeps up for {} s",
            to.deployment,
            shown(*window),
            new.at.saturating_sub(old.at) as f64 / 1e9,
            self.checks.lag.as_secs(),
            self.checks.warm.as_secs(),
        ))
    }

    /// Whether enough windows are equal.
    fn differs(&self, wish: &Wish, live: Deployment, to: Deployment) -> Option<String> {
        let common = self.common(live.colour, to.colour);
        let owned = self.orders.start_of(to).map_or(0, |start| start.owned_from);
        let inputs = self.probe()?.colours.get(&live.colour)?.partitions.iter().zip(0_u32..);
        let wanted = self.checks.windows;
        let newest = |index: u32| common.iter().filter(move |(at, ..)| *at == index).take(wanted);
        // A partition in which nothing was ever published has nothing to compare.
        let compared: Vec<u32> = inputs.filter(|(input, _)| closes(input, owned)).map(|(_, index)| index).collect();
        let least = compared.iter().map(|index| newest(*index).count()).min().unwrap_or(wanted);
        if least < wanted {
            let minutes = (wanted - least) as f64 * self.window as f64 / 60e9;
            return Some(format!("{to} and {live} have {least} windows in common, and {wanted} are compared: wait {minutes:.0} min"));
        }
        let tolerance = self.checks.tolerance;
        let different: Vec<_> =
            compared.iter().flat_map(|index| newest(*index)).filter(|(_, _, old, new)| !agree(old, new, tolerance)).collect();
        let (index, window, ..) = different.first().filter(|_| !wish.accept_difference)?;
        let version = |of: Deployment| self.orders.start_of(of).map(|start| start.version.as_str()).unwrap_or_default();
        let (was, is) = (version(live), version(to));
        let why = if was == is { format!("both are of version {was}") } else { format!("versions differ: {was} and {is}") };
        Some(format!(
            "{} of the last windows differ, first {} in partition {index} ({why}): look at `golden router diff`, then mend it or repeat with \
             --accept-difference",
            different.len(),
            shown(*window),
        ))
    }

    /// The flip that a wish comes to, once its preconditions hold.
    #[must_use]
    pub fn flip(&self, wish: &Wish) -> Option<Flip> {
        let (from, to) = (self.orders.live()?, self.orders.running(wish.to)?.deployment);
        let kind = if self.trouble(from.colour).is_some() { FlipKind::Failure } else { FlipKind::Planned };
        self.flip_of(from, to, kind)
    }

    /// A flip as it would be ordered now.
    #[must_use]
    pub fn flip_of(&self, from: Deployment, to: Deployment, kind: FlipKind) -> Option<Flip> {
        let newest = self.probe()?.published().map(|(_, newest)| newest);
        let window = match (kind, newest) {
            (FlipKind::Planned, Some(newest)) => newest.saturating_add(self.window.unsigned_abs()),
            _ => 0,
        };
        Some(Flip { flip: self.orders.next_flip(), from, to, kind, window })
    }
}

/// Whether two deployments say the same of a window, or no more differs than is tolerated.
fn agree(old: &WindowSeen, new: &WindowSeen, tolerance: f64) -> bool {
    let near = |(old, new): (Sums, Sums)| old.events.abs_diff(new.events) as f64 <= tolerance * old.events.max(new.events) as f64;
    old.sums == new.sums || tolerance > 0.0 && old.sums.zip(new.sums).is_some_and(near)
}

/// Whether a partition closes windows that a standby must be compared in: more of them than the newest one, which may be half owned.
fn closes(input: &InputSeen, owned: u64) -> bool {
    input.windows.range(owned..).next().is_some()
}

/// Whether windows of the old deployment are still to be published: it has them, and some partition is not past its cut.
fn needs_old(flip: &Flipped, probe: &Probe) -> bool {
    let number = flip.order.flip;
    probe.public.iter().any(|public| {
        let cut = public.cuts.get(&number).map_or(flip.order.window, |cut| cut.cut);
        public.newest.is_some_and(|(window, _, _)| window < cut)
    })
}

/// What is wrong with the running deployment of a colour: the worst that showed at `failed` of the last `of` of these probes.
fn trouble_at(probes: &[Probe], colour: Colour, orders: &Orders, checks: &Checks) -> Option<Trouble> {
    let Some(deployment) = orders.running(colour).map(|start| start.deployment) else { return Some(Trouble::Absent) };
    let enough = checks.failed + 1;
    let span = probes.get(probes.len().saturating_sub(checks.of.max(checks.failed) + 1)..).filter(|span| span.len() >= enough)?;
    let steps: Vec<Step<'_>> = span.windows(2).filter_map(|pair| Step::of(pair, colour, deployment)).collect();
    let often = |shows: &dyn Fn(&Step<'_>) -> bool| steps.iter().filter(|step| shows(step)).count() >= checks.failed;
    if often(&|step| step.is_absent()) {
        return Some(Trouble::Absent);
    }
    if often(&|step| step.is_stuck()) {
        return Some(Trouble::Stuck);
    }
    let partitions = steps.iter().map(Step::partitions).max().unwrap_or(0);
    if (0..partitions).any(|index| often(&|step| step.is_silent(index))) {
        return Some(Trouble::Silent);
    }
    if often(&|step| step.is_torn()) {
        return Some(Trouble::Torn);
    }
    if behind(probes, colour, deployment, checks.behind) {
        return Some(Trouble::Behind);
    }
    let unready = |step: &Step<'_>| {
        let answers = step.probe.answers.get(&colour);
        answers.is_some_and(|answers| matches!(health::ready(answers, deployment), (1.., 0)))
    };
    if often(&|step| step.both().is_some() && unready(step)) {
        return Some(Trouble::Unready);
    }
    if errs(probes.get(probes.len().checked_sub(enough)?..)?, deployment, orders, checks) {
        return Some(Trouble::Erring);
    }
    often(&|step| step.both().is_some() && less_complete(step.probe, colour)).then_some(Trouble::Incomplete)
}

/// From one probe to the next, as one deployment is seen; `None`: it is not.
struct Step<'a> {
    probe: &'a Probe,
    then: Option<&'a ColourSeen>,
    now: Option<&'a ColourSeen>,
}

impl<'a> Step<'a> {
    fn of(pair: &'a [Probe], colour: Colour, deployment: Deployment) -> Option<Self> {
        let seen = |probe: &'a Probe| probe.colours.get(&colour).filter(|seen| seen.deployment == deployment);
        let [then, now] = pair else { return None };
        Some(Self { probe: now, then: seen(then), now: seen(now) })
    }

    /// What is seen at both; one that has just come is watched first.
    fn both(&self) -> Option<(&'a ColourSeen, &'a ColourSeen)> {
        self.then.zip(self.now)
    }

    fn partitions(&self) -> usize {
        self.both().map_or(0, |(then, now)| then.partitions.len().min(now.partitions.len()))
    }

    fn is_absent(&self) -> bool {
        self.then.is_none() && self.now.is_none()
    }

    fn is_stuck(&self) -> bool {
        self.both().is_some_and(|(then, now)| then.partitions.iter().zip(&now.partitions).all(|(then, now)| then.end == now.end))
    }

    fn is_silent(&self, partition: usize) -> bool {
        let input = |(then, now): (&'a ColourSeen, &'a ColourSeen)| then.partitions.get(partition).zip(now.partitions.get(partition));
        self.both().and_then(input).is_some_and(|(then, now)| then.position == now.position && now.position.unwrap_or(0) + OWN < then.end)
    }

    fn is_torn(&self) -> bool {
        self.both().is_some_and(|(_, now)| now.partitions.iter().any(|input| input.torn))
    }
}

/// Whether a deployment put aside a greater share of its input than the other one over these probes. Alone, it is the input that is bad.
fn errs(span: &[Probe], deployment: Deployment, orders: &Orders, checks: &Checks) -> bool {
    let share = |of: Deployment| {
        let (then, now) = span.first().zip(span.last())?;
        health::error_share(then.answers.get(&of.colour)?, now.answers.get(&of.colour)?, of)
    };
    let other = orders.running(deployment.colour.other()).and_then(|start| share(start.deployment));
    share(deployment).zip(other).is_some_and(|(mine, other)| mine > other + checks.error_share)
}

/// Whether the other colour had closed a window that this one had not, in one partition, at each probe of the last `long`.
fn behind(probes: &[Probe], colour: Colour, deployment: Deployment, long: Duration) -> bool {
    let Some(now) = probes.last() else { return false };
    let since = now.at.saturating_sub(long);
    let Some(first) = probes.iter().rposition(|probe| probe.at <= since).filter(|_| now.at >= long) else { return false };
    let span = probes.get(first..).unwrap_or_default();
    let ahead = |probe: &Probe, index: usize| {
        let mine = probe.colours.get(&colour).filter(|seen| seen.deployment == deployment)?.partitions.get(index)?.newest();
        let other = probe.colours.get(&colour.other())?.partitions.get(index)?.newest();
        Some(other > mine)
    };
    let partitions = now.colours.get(&colour).map_or(0, |seen| seen.partitions.len());
    (0..partitions).any(|index| span.iter().all(|probe| ahead(probe, index) == Some(true)))
}

/// Whether more results of the newest window that both have closed are incomplete in this colour, in some partition.
fn less_complete(probe: &Probe, colour: Colour) -> bool {
    let Some((mine, other)) = probe.colours.get(&colour).zip(probe.colours.get(&colour.other())) else { return false };
    mine.partitions.iter().zip(&other.partitions).any(|(mine, other)| {
        let common = mine.windows.iter().rev().find_map(|(window, seen)| Some((seen, other.windows.get(window)?)));
        common.is_some_and(|(mine, other)| mine.incomplete > other.incomplete)
    })
}

#[cfg(test)]
mod tests;
