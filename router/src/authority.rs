//! Authority: which deployment answers for a window of one public partition, and so what becomes of a record.
//!
//! Cuts divide the windows into segments, each with one owner; segments of a deployment that was abandoned or sealed go to the one behind it,
//! and stay there whatever is live later: it has been read once more, a third one has not (docs/model.md). The router is *through* up to the
//! newest published window, or up to a cut that the owner before it has been seen to pass. Only the owner of what comes next is read on; the
//! other input is *held* at its first record behind that, because what it has emitted already is what a flip must forward (GUARANTEES §3.7,
//! *held position*). Facts in, decision out: no log, no clock.
//!
//! Windows are numbers that rise with time: the first eight bytes of identities. 0 stands for none.

use crate::deployment::Deployment;
use crate::orders::FlipKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A cut of this partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CutAt {
    /// Number of the flip.
    pub flip: u64,
    /// What was forwarded.
    pub from: Deployment,
    /// What is forwarded behind it.
    pub to: Deployment,
    /// The last window of the old one.
    pub at: u64,
    /// Whether the new one has answered for the windows before it too.
    pub sealed: bool,
}

/// Who answers for which window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Live before any cut.
    pub first: Option<Deployment>,
    /// In the order of flips.
    pub cuts: Vec<CutAt>,
    /// Given up for good.
    pub abandoned: BTreeSet<Deployment>,
    /// Flips whose old deployment is to be sealed. From the order on the new one answers: what it says while it is read once more counts.
    pub sealing: BTreeSet<u64>,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its deployment answers for its window: it goes to the growth rule.
    Forward,
    /// Another one does: it is passed over.
    Drop,
    /// Not yet: its input stays before it.
    Hold,
    /// It shows that its deployment has nothing more up to this cut: the router is through up to there, and the record is judged anew.
    Passed(u64),
}

impl Authority {
    /// The deployment behind the last cut.
    #[must_use]
    pub fn live(&self) -> Option<Deployment> {
        self.cuts.last().map(|cut| cut.to).or(self.first)
    }

    /// Who answers for a window.
    #[must_use]
    pub fn owner(&self, window: u64) -> Option<Deployment> {
        self.cuts.iter().position(|cut| window <= cut.at).map_or(self.live(), |place| self.owner_from(place))
    }

    /// Who answers for what comes behind `through`, and up to which window; `None`: without an end.
    #[must_use]
    pub fn next(&self, through: u64) -> (Option<Deployment>, Option<u64>) {
        let end = self.cuts.iter().enumerate().find(|(_, cut)| through < cut.at);
        end.map_or((self.live(), None), |(place, cut)| (self.owner_from(place), Some(cut.at)))
    }

    /// Whether the old deployment of a cut answers for no window before it any more.
    #[must_use]
    pub fn is_out(&self, cut: &CutAt) -> bool {
        cut.sealed || self.sealing.contains(&cut.flip) || self.abandoned.contains(&cut.from)
    }

    /// Who answers for the windows before the cut of a flip.
    #[must_use]
    pub fn heir(&self, flip: u64) -> Option<Deployment> {
        self.cuts.iter().position(|cut| cut.flip == flip).and_then(|place| self.owner_from(place))
    }

    /// Everybody who answers for some window.
    pub fn owners(&self) -> impl Iterator<Item = Deployment> + '_ {
        self.cuts.iter().filter(|cut| !self.is_out(cut)).map(|cut| cut.from).chain(self.live())
    }

    fn owner_from(&self, place: usize) -> Option<Deployment> {
        self.cuts.iter().skip(place).find(|cut| !self.is_out(cut)).map(|cut| cut.from).or(self.live())
    }

    /// What becomes of a record of deployment `of` and this window, when the router is through up to `through`.
    #[must_use]
    pub fn judge(&self, of: Deployment, window: u64, through: u64) -> Verdict {
        let (next, end) = self.next(through);
        if self.owner(window) == Some(of) {
            return if window <= through || next == Some(of) && end.is_none_or(|end| window <= end) {
                Verdict::Forward
            } else if let Some(end) = end.filter(|_| next == Some(of)) {
                Verdict::Passed(end)
            } else {
                Verdict::Hold
            };
        }
        match end {
            // Results of a deployment come window by window.
            Some(end) if next == Some(of) && window > end => Verdict::Passed(end),
            _ if window > through => Verdict::Hold,
            _ => Verdict::Drop,
        }
    }
}

/// Where a partition is cut: for a planned flip behind everything that the old deployment has published, for a failure behind the newest
/// window that is whole.
#[must_use]
pub fn cut_at(kind: FlipKind, ordered: u64, newest_published: u64, progress: u64) -> u64 {
    match kind {
        FlipKind::Planned => ordered.max(newest_published),
        FlipKind::Failure => progress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployment::Colour;

    const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };
    const GREEN: Deployment = Deployment { colour: Colour::Green, epoch: 2 };

    fn flipped(at: u64) -> Authority {
        Authority { first: Some(BLUE), cuts: vec![CutAt { flip: 1, from: BLUE, to: GREEN, at, sealed: false }], ..Authority::default() }
    }

    #[test]
    fn without_a_cut_the_live_one_is_forwarded_and_the_other_is_held_behind_the_newest_window() {
        let one = Authority { first: Some(BLUE), ..Authority::default() };
        assert_eq!([1, 5, 9].map(|w| one.judge(BLUE, w, 5)), [Verdict::Forward; 3]);
        assert_eq!([1, 5, 6].map(|w| one.judge(GREEN, w, 5)), [Verdict::Drop, Verdict::Drop, Verdict::Hold]);
    }

    #[test]
    fn a_cut_gives_the_windows_up_to_it_to_the_old_one_and_the_others_to_the_new_one() {
        let one = flipped(7);
        assert_eq!([3, 6, 7, 8].map(|w| one.judge(BLUE, w, 5)), [Verdict::Forward, Verdict::Forward, Verdict::Forward, Verdict::Passed(7)]);
        assert_eq!([3, 6, 8].map(|w| one.judge(GREEN, w, 5)), [Verdict::Drop, Verdict::Hold, Verdict::Hold]);
        assert_eq!([3, 7, 8].map(|w| one.judge(BLUE, w, 7)), [Verdict::Forward, Verdict::Forward, Verdict::Hold]);
        assert_eq!([3, 7, 8, 9].map(|w| one.judge(GREEN, w, 7)), [Verdict::Drop, Verdict::Drop, Verdict::Forward, Verdict::Forward]);
    }

    #[test]
    fn windows_of_what_is_gone_go_to_the_one_behind_it() {
        let mut one = flipped(7);
        one.cuts[0].sealed = true;
        assert_eq!(one.judge(GREEN, 3, 7), Verdict::Forward);
        assert_eq!(one.judge(BLUE, 3, 7), Verdict::Drop);
        let mut one = flipped(7);
        one.abandoned.insert(BLUE);
        assert_eq!([3, 6, 7].map(|w| one.judge(GREEN, w, 5)), [Verdict::Forward; 3]);
        assert_eq!(one.judge(GREEN, 8, 5), Verdict::Passed(7), "its own segments follow each other");
    }

    #[test]
    fn windows_of_what_is_gone_stay_with_its_heir_when_a_third_one_is_live() {
        let blue = Deployment { colour: Colour::Blue, epoch: 3 };
        let mut one = flipped(7);
        one.abandoned.insert(BLUE);
        one.cuts.push(CutAt { flip: 2, from: GREEN, to: blue, at: 9, sealed: false });
        assert_eq!([3, 7, 9, 10].map(|w| one.owner(w)), [Some(GREEN), Some(GREEN), Some(GREEN), Some(blue)]);
        assert_eq!((one.heir(1), one.heir(2)), (Some(GREEN), Some(GREEN)));
        one.sealing.insert(2);
        assert_eq!([3, 9].map(|w| one.owner(w)), [Some(blue); 2], "from the order on, before its windows are read once more");
        assert_eq!((one.heir(1), one.heir(2)), (Some(blue), Some(blue)));
    }

    #[test]
    fn a_flip_back_makes_three_segments() {
        let mut one = flipped(7);
        one.cuts.push(CutAt { flip: 2, from: GREEN, to: BLUE, at: 9, sealed: false });
        assert_eq!([7, 8, 9, 10].map(|w| one.owner(w)), [Some(BLUE), Some(GREEN), Some(GREEN), Some(BLUE)]);
        assert_eq!(one.judge(BLUE, 8, 7), Verdict::Hold);
        assert_eq!(one.judge(GREEN, 10, 8), Verdict::Passed(9));
        assert_eq!(one.judge(BLUE, 10, 9), Verdict::Forward);
        // The second cut may lie before the first: then nothing of it is ever forwarded.
        one.cuts[1].at = 6;
        assert_eq!([5, 7, 8].map(|w| one.owner(w)), [Some(BLUE); 3]);
    }

    #[test]
    fn a_planned_cut_lies_behind_everything_published_and_another_one_behind_the_newest_whole_window() {
        assert_eq!(cut_at(FlipKind::Planned, 7, 9, 6), 9);
        assert_eq!(cut_at(FlipKind::Planned, 7, 6, 6), 7);
        assert_eq!(cut_at(FlipKind::Failure, 0, 7, 6), 6);
    }
}
