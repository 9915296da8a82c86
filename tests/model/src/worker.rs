//! One partition: both inputs, what is public, and what one transaction of its worker does (GUARANTEES 3.7).
//!
//! What is public is kept as its fold: the order of records of different identities leads nowhere else. A worker remembers nothing that is
//! not such a fold or a committed position, so that a successor begins where it stands.

use crate::authority::{self, Cut};
use crate::colour::{Dep, Rec, Window};
use crate::control::{View, colour};
use crate::planted::Planted;
use golden_router::rule::{Decision, Published, decide};
use platform_core::growth::Growth;

/// Most windows and most series of a configuration.
const WINDOWS: usize = 5;
const SERIES: usize = 2;

/// What stands public of an identity: number of revisions, events, whether complete.
pub type Stands = (u8, u8, bool);

/// One partition of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Part {
    /// Both colours' `signals`: deployment and record.
    pub logs: [Vec<(Dep, Rec)>; 2],
    /// Committed positions in them.
    pub positions: [u8; 2],
    /// What is public, by window and series.
    pub public: [[Stands; SERIES]; WINDOWS],
    /// Newest window whose progress record is public; newest of which anything is.
    pub progress: Window,
    /// See `progress`.
    pub newest: Window,
    /// Cuts in this partition, in the order in which they were written.
    pub cuts: Vec<Cut>,
    /// Flips sealed in this partition.
    pub sealed: Vec<u8>,
    /// Results up to this window are forgotten.
    pub forgotten: Window,
    /// Reading once more: flip, deployment, position.
    pub again: Option<(u8, Dep, u8)>,
}

/// What a worker writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// A result: of whom, window, series, revision, events, whether complete.
    Result(Dep, Window, u8, u8, u8, bool),
    /// A progress record.
    Progress(Dep, Window),
    /// A cut.
    Cut(Cut),
    /// A flip is sealed here.
    Sealed(u8),
}

/// What a worker does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Take {
    /// Cuts.
    Cut,
    /// Reads a record of a colour.
    Read(usize),
    /// Reads once more, up to the next result that says something new, or to the end.
    Again,
}

/// A transaction: what it writes, and what it moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Records for the public partition.
    pub out: Vec<Out>,
    /// Positions behind it.
    pub positions: [u8; 2],
    /// Reading once more, behind it.
    pub again: Option<(u8, Dep, u8)>,
}

impl Part {
    fn stands(&self, window: Window, series: u8) -> Option<Stands> {
        self.public.get(usize::from(window)).and_then(|of| of.get(usize::from(series))).copied()
    }

    /// What the worker remembers of an identity.
    fn remembered(&self, window: Window, series: u8, planted: Option<Planted>) -> Option<Published> {
        let forgotten = window <= self.forgotten || planted == Some(Planted::NoGrowthRule);
        let (revisions, events, complete) = self.stands(window, series).filter(|s| s.0 > 0 && !forgotten)?;
        Some(Published { revision: u64::from(revisions) - 1, complete, totals: vec![u64::from(events)], by: 0 })
    }

    /// The growth rule: what becomes public of a result.
    fn grow(&self, dep: Dep, rec: Rec, planted: Option<Planted>) -> Option<Out> {
        let Rec::Result(window, series, events, complete) = rec else { return None };
        let offered = Growth { revision_at: 0, complete, totals: vec![u64::from(events)] };
        let before = self.remembered(window, series, planted);
        match decide(before.as_ref(), &offered) {
            Decision::Publish(revision) => {
                Some(Out::Result(dep, window, series, u8::try_from(revision).unwrap_or(u8::MAX), events, complete))
            }
            Decision::Same | Decision::Stale | Decision::Conflict => None,
        }
    }

    /// Who answers for a window, as a worker sees it that sees `view` of the control log.
    #[must_use]
    pub fn owner(&self, window: Window, view: &View, planted: Option<Planted>) -> Dep {
        authority::owner(window, &self.cuts, view, planted)
    }

    fn answers(&self, dep: Dep, window: Window, view: &View, planted: Option<Planted>) -> bool {
        let owner = self.owner(window, view, planted);
        dep == owner || planted == Some(Planted::EpochIgnored) && colour(dep) == colour(owner)
    }

    /// The transaction that does `take`, for a worker that sees `view` of the control log; `None`: there is nothing to do.
    #[must_use]
    pub fn transaction(&self, take: Take, view: &View, planted: Option<Planted>) -> Option<Transaction> {
        let mut transaction = Transaction { out: Vec::new(), positions: self.positions, again: self.again };
        let due = authority::next_cut(&self.cuts, view, planted);
        match (take, due) {
            (Take::Cut, Some(flip)) => {
                let cut = authority::cut_of(flip, self.progress, self.newest, planted);
                transaction.out.push(Out::Cut(Cut { flip: flip.number, cut, from: flip.from, to: flip.to, failure: flip.failure }));
            }
            (Take::Read(of), None) => {
                let position = self.positions.get(of)?;
                let (dep, rec) = *self.logs.get(of)?.get(usize::from(*position))?;
                transaction.out.extend(self.read(dep, rec, view, planted)?);
                *transaction.positions.get_mut(of)? += 1;
            }
            (Take::Again, None) => self.again(&mut transaction, view, planted)?,
            _ => return None,
        }
        Some(transaction)
    }

    /// What becomes public of the next record of an input; `None`: it is held.
    fn read(&self, dep: Dep, rec: Rec, view: &View, planted: Option<Planted>) -> Option<Option<Out>> {
        let window = rec.window();
        if !view.started.contains(&dep) && planted != Some(Planted::UnknownPassedOver) {
            return None;
        }
        let abandoned = view.abandoned.contains(&dep) && planted != Some(Planted::AbandonedForwarded);
        let passed = abandoned || !view.started.contains(&dep);
        if passed && planted != Some(Planted::EpochIgnored) {
            return Some(None);
        }
        let next = self.owner(self.progress + 1, view, planted);
        if authority::held(dep, window, self.progress, next, planted)
            && (planted != Some(Planted::EpochIgnored) || colour(dep) != colour(next))
        {
            return None;
        }
        if !self.answers(dep, window, view, planted) {
            return Some(None);
        }
        Some(match rec {
            Rec::Result(..) if window <= self.forgotten && planted != Some(Planted::ForwardForgotten) => None,
            Rec::Result(..) => self.grow(dep, rec, planted),
            Rec::Progress(_) => (window == self.progress + 1).then_some(Out::Progress(dep, window)),
        })
    }

    fn again(&self, transaction: &mut Transaction, view: &View, planted: Option<Planted>) -> Option<()> {
        let (flip, dep) = authority::owed(&self.cuts, &self.sealed, view, planted)?;
        let of = colour(dep);
        let mut at = self.again.filter(|(f, d, _)| (*f, *d) == (flip, dep)).map_or(0, |(.., at)| at);
        let end = *self.positions.get(of)?;
        while at < end {
            let (by, rec) = *self.logs.get(of)?.get(usize::from(at))?;
            at += 1;
            let known = rec.window() > self.forgotten || planted == Some(Planted::ReconcileForgotten);
            if by == dep
                && known
                && self.answers(dep, rec.window(), view, planted)
                && let Some(out) = self.grow(dep, rec, planted)
            {
                transaction.out.push(out);
                break;
            }
        }
        transaction.again = if at < end { Some((flip, dep, at)) } else { None };
        if at >= end {
            transaction.out.push(Out::Sealed(flip));
        }
        Some(())
    }

    /// The newest progress record of a deployment that was read.
    fn read_progress(&self, dep: Dep) -> Window {
        let of = colour(dep);
        let read = self.positions.get(of).map_or(0, |p| usize::from(*p));
        let progress = |(by, rec): &(Dep, Rec)| matches!(rec, Rec::Progress(_)).then_some(rec.window()).filter(|_| *by == dep);
        self.logs.get(of).into_iter().flat_map(|log| log.iter().take(read)).filter_map(progress).max().unwrap_or(0)
    }

    /// Forgets results `remember` windows behind the newest progress of everybody who still answers for windows; nothing while a reading
    /// once more is due.
    pub fn forget(&mut self, remember: u8, view: &View, planted: Option<Planted>) {
        if authority::owed(&self.cuts, &self.sealed, view, planted).is_some() && planted != Some(Planted::ForgetWhileOwed) {
            return;
        }
        let answering = (self.forgotten + 1..=self.progress + 1).map(|w| self.owner(w, view, planted));
        let oldest = answering.map(|d| self.read_progress(d)).min().unwrap_or(0).min(self.progress);
        self.forgotten = self.forgotten.max(oldest.saturating_sub(remember));
    }
}
