//! Authority: which deployment answers for a window, where a flip cuts, what is read on. GUARANTEES 3.7 and 3.8, facts in, decision out.

use crate::colour::{Dep, Window};
use crate::control::{Flipped, View};
use crate::planted::Planted;

/// A cut as it stands in a public partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cut {
    /// Number of the flip.
    pub flip: u8,
    /// Last window of the old deployment.
    pub cut: Window,
    /// The old deployment.
    pub from: Dep,
    /// The new one.
    pub to: Dep,
    /// Whether the old one was abandoned.
    pub failure: bool,
}

/// Whether the old deployment of a cut answers for no window any more.
fn out(cut: &Cut, view: &View, planted: Option<Planted>) -> bool {
    let sealed = view.flips.iter().any(|f| f.number == cut.flip && f.sealed);
    sealed || view.abandoned.contains(&cut.from) && planted != Some(Planted::AbandonedForwarded)
}

/// Who answers for the windows of the old deployment of the `i`-th cut and before, once it is out.
#[must_use]
pub fn heir(i: usize, cuts: &[Cut], view: &View, planted: Option<Planted>) -> Option<Dep> {
    let cut = cuts.get(i)?;
    let next = cuts.get(i + 1).filter(|next| out(next, view, planted));
    if planted == Some(Planted::OutToLive) {
        return cuts.last().map(|last| last.to);
    }
    if next.is_some() { heir(i + 1, cuts, view, planted) } else { Some(cut.to) }
}

/// Who answers for a window: the deployment between two cuts; if that is out, the one behind it in the list.
#[must_use]
pub fn owner(window: Window, cuts: &[Cut], view: &View, planted: Option<Planted>) -> Dep {
    let segment = cuts.iter().rposition(|c| window > c.cut).map_or(0, |i| i + 1);
    match cuts.get(segment) {
        Some(cut) if out(cut, view, planted) => heir(segment, cuts, view, planted).unwrap_or(cut.to),
        Some(cut) => cut.from,
        None => cuts.last().map_or(0, |last| last.to),
    }
}

/// The flip to cut next: one that was ordered and has no cut here, lowest number first.
#[must_use]
pub fn next_cut<'a>(cuts: &[Cut], view: &'a View, planted: Option<Planted>) -> Option<&'a Flipped> {
    let uncut = |f: &&Flipped| !cuts.iter().any(|c| c.flip == f.number);
    if planted == Some(Planted::CutsOutOfOrder) { view.flips.iter().rev().find(uncut) } else { view.flips.iter().find(uncut) }
}

/// Where a flip cuts: `progress` is the newest window whose progress record is public, `newest` the newest of which anything is.
#[must_use]
pub fn cut_of(flip: &Flipped, progress: Window, newest: Window, planted: Option<Planted>) -> Window {
    match (flip.failure, planted) {
        (true, Some(Planted::FailureCutNewest)) => newest,
        (true, _) => progress,
        (false, Some(Planted::CutAsOrdered)) => flip.window,
        (false, _) => flip.window.max(newest),
    }
}

/// Whether a record of a deployment that runs waits until it may be needed: it speaks of a window that is not public yet, and another
/// deployment answers for the next one.
#[must_use]
pub fn held(dep: Dep, window: Window, progress: Window, next_owner: Dep, planted: Option<Planted>) -> bool {
    dep != next_owner && window > progress && planted != Some(Planted::StandbyNotHeld)
}

/// The first flip whose new deployment has to be read once more: the old one is out, and nothing sealed says that it was done.
#[must_use]
pub fn owed(cuts: &[Cut], sealed: &[u8], view: &View, planted: Option<Planted>) -> Option<(u8, Dep)> {
    if planted == Some(Planted::NoReconcile) {
        return None;
    }
    let i = cuts.iter().position(|c| out(c, view, planted) && !sealed.contains(&c.flip))?;
    Some((cuts.get(i)?.flip, heir(i, cuts, view, planted)?))
}
