//! Who reads what, and who is fenced: groups of readers, and the newest owner of each transactional id.
//!
//! Members join at their first poll. Any join or leave raises the group's generation and deals all its partitions anew: each goes to the
//! member that subscribes to it and owns fewest so far, the earlier one on a tie. So shares differ by at most one where all subscribe to the
//! same. A claim of an older generation is stale, and its commit is aborted: its member is alive and learns its new share at its next poll.
//! A claim of somebody who is no member is fenced.
//!
//! Facts only, no log: the caller holds one lock around a check and the write that depends on it. That is what keeps a newcomer from
//! reading committed positions before the last commit under the old claim is visible. Nothing here is kept over a restart, because no
//! reader or writer of this log outlives its process.

use crate::wait::Bell;
use platform_core::log::{Claim, CommitError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All groups and transactional ids of a log.
#[derive(Default)]
pub(crate) struct Groups {
    groups: BTreeMap<String, Group>,
    epochs: BTreeMap<String, u64>,
    last_member: u64,
}

#[derive(Default)]
struct Group {
    generation: u64,
    /// In the order in which they joined.
    members: Vec<Member>,
}

struct Member {
    id: u64,
    subscribed: Vec<usize>,
    owned: Vec<usize>,
    bell: Arc<Bell>,
}

impl Groups {
    /// Adds a member that subscribes to these partitions. Gives its id, which is never used again.
    pub(crate) fn join(&mut self, group: &str, subscribed: &[usize], bell: &Arc<Bell>) -> u64 {
        self.last_member += 1;
        let id = self.last_member;
        let group = self.groups.entry(group.to_owned()).or_default();
        group.members.push(Member { id, subscribed: subscribed.to_vec(), owned: Vec::new(), bell: Arc::clone(bell) });
        group.deal();
        id
    }

    /// Removes a member.
    pub(crate) fn leave(&mut self, group: &str, member: u64) {
        if let Some(group) = self.groups.get_mut(group) {
            group.members.retain(|m| m.id != member);
            group.deal();
        }
    }

    /// Generation and partitions of a member.
    pub(crate) fn share(&self, group: &str, member: u64) -> Option<(u64, &[usize])> {
        let group = self.groups.get(group)?;
        Some((group.generation, group.members.iter().find(|m| m.id == member)?.owned.as_slice()))
    }

    /// Whether positions may be committed under a claim.
    pub(crate) fn check(&self, claim: &Claim) -> Result<(), CommitError> {
        match self.share(&claim.group, claim.member) {
            None => Err(CommitError::Fenced(format!("no member {} in group {}", claim.member, claim.group))),
            Some((generation, _)) if generation != claim.generation => Err(CommitError::Aborted(format!(
                "group {} is in generation {generation}, the claim is of generation {}",
                claim.group, claim.generation
            ))),
            Some(_) => Ok(()),
        }
    }

    /// Makes the caller the owner of a transactional id. Gives its epoch.
    pub(crate) fn take_over(&mut self, transactional_id: &str) -> u64 {
        let epoch = self.epochs.entry(transactional_id.to_owned()).or_default();
        *epoch += 1;
        *epoch
    }

    /// Whether an epoch of a transactional id is the newest.
    pub(crate) fn check_owner(&self, transactional_id: &str, epoch: u64) -> Result<(), CommitError> {
        match self.epochs.get(transactional_id) {
            Some(newest) if *newest == epoch => Ok(()),
            newest => Err(CommitError::Fenced(format!("writer {transactional_id} has epoch {epoch}, the newest is {newest:?}"))),
        }
    }

    /// Rings for every member, so that it sees that the log has ended.
    pub(crate) fn ring_all(&self) {
        self.groups.values().flat_map(|g| &g.members).for_each(|m| m.bell.ring());
    }
}

impl Group {
    fn deal(&mut self) {
        self.generation += 1;
        let mut partitions: Vec<usize> = self.members.iter().flat_map(|m| m.subscribed.iter().copied()).collect();
        partitions.sort_unstable();
        partitions.dedup();
        self.members.iter_mut().for_each(|m| m.owned.clear());
        for partition in partitions {
            let subscribers = self.members.iter_mut().filter(|m| m.subscribed.contains(&partition));
            if let Some(member) = subscribers.min_by_key(|m| m.owned.len()) {
                member.owned.push(partition);
            }
        }
        self.members.iter().for_each(|m| m.bell.announce(self.generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(member: u64, generation: u64) -> Claim {
        Claim { group: "g".into(), member, generation }
    }

    #[test]
    fn every_partition_is_dealt_once_and_evenly_at_every_join_and_leave() {
        let mut groups = Groups::default();
        let bell = Arc::new(Bell::default());
        let a = groups.join("g", &[0, 1, 2, 3, 4], &bell);
        let b = groups.join("g", &[0, 1, 2, 3, 4], &bell);
        assert_eq!(groups.share("g", a), Some((2, &[0, 2, 4][..])));
        assert_eq!(groups.share("g", b), Some((2, &[1, 3][..])));
        let c = groups.join("g", &[9], &bell);
        assert_eq!(groups.share("g", c), Some((3, &[9][..])));
        groups.leave("g", a);
        assert_eq!(groups.share("g", b), Some((4, &[0, 1, 2, 3, 4][..])));
        assert_eq!(groups.share("g", a), None);
    }

    #[test]
    fn a_stale_claim_is_aborted_and_a_strangers_fenced() {
        let mut groups = Groups::default();
        let bell = Arc::new(Bell::default());
        let a = groups.join("g", &[0], &bell);
        assert_eq!(groups.check(&claim(a, 1)), Ok(()));
        let b = groups.join("g", &[0], &bell);
        assert!(matches!(groups.check(&claim(a, 1)), Err(CommitError::Aborted(_))));
        assert_eq!(groups.check(&claim(a, 2)), Ok(()));
        groups.leave("g", b);
        assert!(matches!(groups.check(&claim(b, 3)), Err(CommitError::Fenced(_))));
    }

    #[test]
    fn only_the_newest_owner_of_an_id_is_not_fenced() {
        let mut groups = Groups::default();
        let first = groups.take_over("id");
        assert_eq!(groups.check_owner("id", first), Ok(()));
        let second = groups.take_over("id");
        assert!(matches!(groups.check_owner("id", first), Err(CommitError::Fenced(_))));
        assert_eq!(groups.check_owner("id", second), Ok(()));
    }
}
