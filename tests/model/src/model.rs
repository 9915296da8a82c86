//! The whole: colours, workers, controllers, faults; every step that can be taken, and what must hold behind each.
//!
//! No step leads back: a path ends when nothing can be done. So "in the end" is what holds where the protocol has no step left, whether or not
//! a fault could still come; that is stronger than to ask it of the last states only.

use crate::authority::Cut;
use crate::colour::{Dep, Late, Script, Window, whole};
use crate::control::{Cmd, View, colour, view};
use crate::planted::Planted;
use crate::worker::{Out, Part, Take, Transaction};
use stateright::{Model, Property};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};

/// How often what is not required may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Planned flips.
    pub planned: u8,
    /// Failure flips away from a deployment that lives.
    pub mistaken: u8,
    /// Deaths of deployments.
    pub deaths: u8,
    /// Deployments beyond the first two.
    pub starts: u8,
    /// Seals.
    pub seals: u8,
    /// Orders of a controller that decides now and writes later.
    pub stale: u8,
    /// Workers that stop and are replaced, and wake later.
    pub paused: u8,
}

/// A situation.
#[derive(Debug)]
pub struct Router {
    /// Number of partitions.
    pub partitions: usize,
    /// Number of windows.
    pub windows: Window,
    /// Number of series.
    pub series: u8,
    /// Late events, one list for each beginning that is tried.
    pub late: Vec<Vec<Late>>,
    /// Scripts by beginning, deployment, partition.
    pub scripts: Vec<Vec<Vec<Script>>>,
    /// First window that each deployment answers for.
    pub owned_from: Vec<Window>,
    /// How many windows a worker remembers.
    pub remember: u8,
    /// What may happen.
    pub budget: Budget,
    /// What is done wrongly.
    pub planted: Option<Planted>,
    /// What readers of a control log see, by what stands in it.
    pub views: RwLock<BTreeMap<Vec<Cmd>, Arc<View>>>,
}

/// What was found wrong; the first counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Broken {
    /// I2: a second revision 0.
    Doubled,
    /// I17: a number left out, or a total that shrank.
    Shrunk,
    /// I8: something of a deployment that has no right to it.
    Foreign,
    /// I18: a progress record out of turn, or of a window whose first results are not all there.
    Torn,
    /// I19: a failure cut that says more is whole than is.
    Receipt,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Which scripts.
    pub beginning: u8,
    /// The control log.
    pub control: Vec<Cmd>,
    /// Partitions.
    pub parts: Vec<Part>,
    /// How many transactions of its script a deployment has written, by partition.
    pub written: Vec<Vec<u8>>,
    /// Deployments that live.
    pub alive: Vec<bool>,
    /// By partition: how much of the control log the worker looked at for the transaction that it is in.
    pub looked: Vec<Option<u8>>,
    /// A paused worker: its partition, what it looked at, what it stands on.
    pub paused: Option<Box<(usize, u8, Part)>>,
    /// What a slow controller has decided.
    pub decided: Option<Cmd>,
    /// What may still happen.
    pub budget: Budget,
    /// What was found wrong.
    pub broken: Option<Broken>,
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A deployment writes its next transaction into a partition.
    Write(Dep, usize),
    /// A worker looks at the control log.
    Look(usize),
    /// A worker commits a transaction.
    Take(usize, Take),
    /// A controller orders something.
    Order(Cmd),
    /// A slow controller decides.
    Decide(Cmd),
    /// A slow controller writes what it decided.
    Give,
    /// A deployment dies.
    Die(Dep),
    /// A worker stops inside of a transaction, and another takes its place.
    Replace(usize),
    /// A worker that was replaced wakes and tries to commit.
    Wake(Take),
}

impl Router {
    /// What a reader of the first `n` orders sees.
    fn view(&self, control: &[Cmd], n: usize) -> Arc<View> {
        let seen = control.get(..n).unwrap_or(control);
        if let Some(view) = self.views.read().ok().and_then(|views| views.get(seen).cloned()) {
            return view;
        }
        let new = Arc::new(view(seen, self.planted == Some(Planted::StaleNumber)));
        if let Ok(mut views) = self.views.write() {
            views.insert(seen.to_vec(), Arc::clone(&new));
        }
        new
    }

    fn now(&self, state: &State) -> Arc<View> {
        self.view(&state.control, state.control.len())
    }

    fn owned_from(&self, dep: Dep) -> Window {
        self.owned_from.get(usize::from(dep)).copied().unwrap_or(0)
    }

    /// Whether a deployment can be flipped to: it runs, lives, and answers for the next window everywhere.
    fn fit(&self, state: &State, view: &View, dep: Dep) -> bool {
        let next = state.parts.iter().map(|p| p.progress).min().unwrap_or(0) + 1;
        view.started.contains(&dep)
            && !view.abandoned.contains(&dep)
            && alive(state, dep)
            && (self.owned_from(dep) <= next || self.planted == Some(Planted::OwnedFromIgnored))
    }

    /// What a controller may order, as far as it is not required of it: planned flips, mistaken ones, seals, new deployments.
    fn may_order(&self, state: &State, view: &View) -> Vec<Cmd> {
        let (mut out, budget, live) = (Vec::new(), &state.budget, view.live);
        let settled = view.flips.iter().all(|f| f.done);
        let others = view.started.iter().copied().filter(|d| colour(*d) != colour(live) && self.fit(state, view, *d));
        for to in others {
            let (number, window) = (self.number(view), state.parts.iter().map(|p| p.progress).max().unwrap_or(0) + 1);
            if budget.planned > 0 && settled {
                out.push(Cmd::Flip(number, live, to, false, window));
            }
            if budget.mistaken > 0 && alive(state, live) {
                out.push(Cmd::Flip(number, live, to, true, 0));
            }
        }
        for flip in view.flips.iter().filter(|f| budget.seals > 0 && f.done && !f.failure && !f.sealed && !view.abandoned.contains(&f.from))
        {
            // The new one has all that is remembered, and lives.
            let whole = state.parts.iter().all(|p| self.owned_from(flip.to) <= p.forgotten + 1) && alive(state, flip.to);
            if whole && !view.abandoned.contains(&flip.to) {
                out.push(Cmd::Seal(flip.number));
            }
        }
        let next = u8::try_from(view.started.len()).unwrap_or(u8::MAX);
        let known = usize::from(next) < self.owned_from.len();
        let replaced = view.started.iter().copied().rfind(|d| colour(*d) == colour(next));
        // A colour starts anew when it was given up, or sealed.
        let free = replaced.is_none_or(|d| view.abandoned.contains(&d) || view.flips.iter().any(|f| f.from == d && f.sealed));
        if budget.starts > 0 && known && free && colour(next) != colour(live) {
            out.push(Cmd::Start(next));
        }
        out
    }

    /// What a controller has to order.
    fn must_order(&self, state: &State, view: &View) -> Option<Cmd> {
        let live = view.live;
        if !alive(state, live) {
            let to = view.started.iter().copied().find(|d| colour(*d) != colour(live) && self.fit(state, view, *d));
            if let Some(to) = to {
                return Some(Cmd::Flip(self.number(view), live, to, true, 0));
            }
        }
        let dead = |d: &Dep| *d != live && !alive(state, *d) && !view.abandoned.contains(d);
        if self.planted != Some(Planted::NeverAbandons)
            && let Some(gone) = view.started.iter().copied().find(|d| dead(d) && view.flips.iter().any(|f| f.from == *d && !f.sealed))
        {
            return Some(Cmd::Abandon(gone));
        }
        let cut = |f: u8| state.parts.iter().all(|p| p.cuts.iter().any(|c| c.flip == f));
        let sealed = |f: u8| state.parts.iter().all(|p| p.sealed.contains(&f));
        view.flips
            .iter()
            .find(|f| !f.done && cut(f.number) && (!f.failure || sealed(f.number) || self.planted == Some(Planted::NoReconcile)))
            .map(|f| Cmd::Done(f.number))
    }

    fn number(&self, view: &View) -> u8 {
        u8::try_from(view.flips.len()).unwrap_or(u8::MAX).saturating_add(1)
    }

    /// What happens by itself when no fault comes.
    fn required(&self, state: &State, out: &mut Vec<Step>) {
        for (i, part) in state.parts.iter().enumerate() {
            for (d, written) in state.written.iter().enumerate() {
                let dep = u8::try_from(d).unwrap_or(u8::MAX);
                let length = self.script(state, d, i).map_or(0, Vec::len);
                if alive(state, dep) && self.now(state).started.contains(&dep) && written.get(i).is_some_and(|w| usize::from(*w) < length) {
                    out.push(Step::Write(dep, i));
                }
            }
            let looked = state.looked.get(i).copied().flatten();
            let mut open = false;
            if let Some(n) = looked {
                let view = self.view(&state.control, usize::from(n));
                for take in [Take::Cut, Take::Read(0), Take::Read(1), Take::Again] {
                    if part.transaction(take, &view, self.planted).is_some() {
                        open = true;
                        out.push(Step::Take(i, take));
                    }
                }
            }
            if looked.is_none_or(|n| !open && usize::from(n) < state.control.len()) {
                out.push(Step::Look(i));
            }
        }
        if let Some(cmd) = self.must_order(state, &self.now(state)) {
            out.push(Step::Order(cmd));
        }
    }

    fn script(&self, state: &State, dep: usize, partition: usize) -> Option<&Script> {
        self.scripts.get(usize::from(state.beginning))?.get(dep)?.get(partition)
    }

    /// Whether all that was promised is there, once nothing is left to do.
    fn whole(&self, state: &State) -> bool {
        let view = self.now(state);
        if !alive(state, view.live) {
            // No deployment is left that could answer: a page, not a promise.
            return true;
        }
        let late = self.late.get(usize::from(state.beginning));
        let flipped = view.flips.iter().all(|f| f.done);
        let answered = |w: Window| {
            let mut able = view.started.iter().filter(|d| alive(state, **d) && !view.abandoned.contains(d));
            able.any(|d| self.owned_from(*d) <= w)
        };
        let identity = |p: &Part, w: Window, s: u8| {
            let stands = p.public.get(usize::from(w)).and_then(|of| of.get(usize::from(s)));
            stands.is_some_and(|(_, events, complete)| *complete && Some(*events) == late.map(|l| whole(w, s, l)))
        };
        let part = |p: &Part| {
            p.progress == self.windows && (1..=self.windows).filter(|w| answered(*w)).all(|w| (0..self.series).all(|s| identity(p, w, s)))
        };
        flipped && state.parts.iter().all(part)
    }

    fn commit(&self, state: &mut State, i: usize, transaction: &Transaction, view: &View) {
        let mut broken = None;
        let Some(part) = state.parts.get_mut(i) else { return };
        for out in &transaction.out {
            broken = broken.or(self.append(part, *out, view));
        }
        (part.positions, part.again) = (transaction.positions, transaction.again);
        part.forget(self.remember, view, self.planted);
        state.broken = state.broken.or(broken);
    }

    /// Writes one public record, and says what is wrong with it: judged by what stands public, not by what the worker remembers.
    fn append(&self, part: &mut Part, out: Out, view: &View) -> Option<Broken> {
        let mut broken = None;
        match out {
            Out::Result(dep, window, series, revision, events, complete) => {
                broken = foreign(&part.cuts, dep, window, view);
                let stands = part.public.get_mut(usize::from(window)).and_then(|of| of.get_mut(usize::from(series)))?;
                if revision == 0 && stands.0 > 0 {
                    broken = Some(Broken::Doubled);
                } else if revision != stands.0 || events < stands.1 {
                    broken = Some(Broken::Shrunk);
                }
                *stands = (stands.0.max(revision + 1), events, complete);
                part.newest = part.newest.max(window);
            }
            Out::Progress(dep, window) => {
                broken = foreign(&part.cuts, dep, window, view);
                let finals =
                    part.public.get(usize::from(window)).is_some_and(|of| of.iter().take(usize::from(self.series)).all(|s| s.0 > 0));
                if window != part.progress + 1 || !finals {
                    broken = Some(Broken::Torn);
                }
                part.progress = part.progress.max(window);
                part.newest = part.newest.max(window);
            }
            Out::Cut(cut) => {
                if cut.failure && cut.cut > part.progress {
                    broken = Some(Broken::Receipt);
                }
                part.cuts.push(cut);
            }
            Out::Sealed(flip) => part.sealed.push(flip),
        }
        broken
    }
}

/// I8, by the cuts in the partition and by what the worker had read of the control log when it began.
fn foreign(cuts: &[Cut], dep: Dep, window: Window, view: &View) -> Option<Broken> {
    let newest = cuts.iter().rev().find(|c| c.from == dep || c.to == dep);
    let behind = newest.is_some_and(|c| c.from == dep && (window > c.cut || c.failure));
    let known = view.started.contains(&dep) && !view.abandoned.contains(&dep);
    (behind || !known).then_some(Broken::Foreign)
}

fn alive(state: &State, dep: Dep) -> bool {
    state.alive.get(usize::from(dep)).copied().unwrap_or(false)
}

impl Model for Router {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let deployments = self.owned_from.len();
        let state = |beginning: usize| State {
            beginning: u8::try_from(beginning).unwrap_or(0),
            control: vec![Cmd::Start(0), Cmd::Start(1)],
            parts: vec![Part::default(); self.partitions],
            written: vec![vec![0; self.partitions]; deployments],
            alive: vec![true; deployments],
            looked: vec![None; self.partitions],
            paused: None,
            decided: None,
            budget: self.budget,
            broken: None,
        };
        (0..self.scripts.len()).map(state).collect()
    }

    fn actions(&self, state: &State, out: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        self.required(state, out);
        let view = self.now(state);
        let may = self.may_order(state, &view);
        out.extend(may.iter().map(|cmd| Step::Order(*cmd)));
        if state.budget.stale > 0 {
            out.extend(may.iter().filter(|c| matches!(c, Cmd::Flip(..))).map(|cmd| Step::Decide(*cmd)));
        }
        if state.decided.is_some() {
            out.push(Step::Give);
        }
        if state.budget.deaths > 0 {
            for d in view.started.iter().copied().filter(|d| alive(state, *d)) {
                // Somebody must be left to answer.
                let left = view.started.iter().any(|other| *other != d && self.fit(state, &view, *other));
                if left {
                    out.push(Step::Die(d));
                }
            }
        }
        for (i, looked) in state.looked.iter().enumerate() {
            if looked.is_some() && state.budget.paused > 0 && state.paused.is_none() {
                out.push(Step::Replace(i));
            }
        }
        if let Some(paused) = &state.paused {
            let (_, n, part) = paused.as_ref();
            let seen = self.view(&state.control, usize::from(*n));
            let takes = [Take::Cut, Take::Read(0), Take::Read(1), Take::Again];
            out.extend(takes.into_iter().filter(|t| part.transaction(*t, &seen, self.planted).is_some()).map(Step::Wake));
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Write(dep, i) => {
                let written = state.written.get_mut(usize::from(dep))?.get_mut(i)?;
                let records = self.script(last, usize::from(dep), i)?.get(usize::from(*written))?;
                *written += 1;
                state.parts.get_mut(i)?.logs.get_mut(colour(dep))?.extend(records.iter().map(|r| (dep, *r)));
            }
            Step::Look(i) => *state.looked.get_mut(i)? = u8::try_from(state.control.len()).ok(),
            Step::Take(i, take) => {
                let view = self.view(&state.control, usize::from(state.looked.get_mut(i)?.take()?));
                let transaction = state.parts.get(i)?.transaction(take, &view, self.planted)?;
                self.commit(&mut state, i, &transaction, &view);
            }
            Step::Order(cmd) => {
                match cmd {
                    Cmd::Flip(_, from, _, true, _) if alive(last, from) => state.budget.mistaken -= 1,
                    Cmd::Flip(.., false, _) => state.budget.planned -= 1,
                    Cmd::Seal(_) => state.budget.seals -= 1,
                    Cmd::Start(_) => state.budget.starts -= 1,
                    Cmd::Flip(..) | Cmd::Abandon(_) | Cmd::Done(_) => {}
                }
                state.control.push(cmd);
            }
            Step::Decide(cmd) => {
                state.budget.stale -= 1;
                state.decided = Some(cmd);
            }
            Step::Give => state.control.push(state.decided.take()?),
            Step::Die(dep) => {
                state.budget.deaths -= 1;
                *state.alive.get_mut(usize::from(dep))? = false;
            }
            Step::Replace(i) => {
                state.budget.paused -= 1;
                let n = state.looked.get_mut(i)?.take()?;
                state.paused = Some(Box::new((i, n, state.parts.get(i)?.clone())));
            }
            Step::Wake(take) => {
                let (i, n, part) = *state.paused.take()?;
                if self.planted == Some(Planted::NotFenced) {
                    let view = self.view(&state.control, usize::from(n));
                    let transaction = part.transaction(take, &view, self.planted)?;
                    self.commit(&mut state, i, &transaction, &view);
                }
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I2 one final", |_, s: &State| s.broken != Some(Broken::Doubled)),
            Property::always("I17 growing", |_, s: &State| s.broken != Some(Broken::Shrunk)),
            Property::always("I8 cut", |_, s: &State| s.broken != Some(Broken::Foreign)),
            Property::always("I18 whole windows", |_, s: &State| s.broken != Some(Broken::Torn)),
            Property::always("I19 receipt", |_, s: &State| s.broken != Some(Broken::Receipt)),
            Property::always("I14 in the end all is there and every flip over", |m: &Self, s: &State| {
                let mut open = Vec::new();
                m.required(s, &mut open);
                s.broken.is_some() || !open.is_empty() || m.whole(s)
            }),
        ]
    }
}
