//! Who reads what, and who is fenced: groups of readers, and the newest owner of each transactional id.
//!
//! Members join at their first poll. Any join or leave raises the group's generation and deals all its partitions anew, as Kafka does: a
//! range of each topic to each of the members that subscribe to it, so that equal partition numbers of several topics meet in one member. A
//! claim of an older generation, or of somebody who is no member, is stale, and its commit is aborted: a member learns its new share at its
//! next poll.
//!
//! Facts only, no log: the caller holds one lock around a check and the write that depends on it. That is what keeps a newcomer from
//! reading committed positions before the last commit under the old claim is visible. Nothing here is kept over a restart, because no
//! reader or writer of this log outlives its process.

use crate::wait::Bell;
use platform_core::log::{Claim, CommitError};
use std::collections::BTreeMap;
use std::ops::Range;
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
    /// Partitions of each topic.
    subscribed: Vec<Range<usize>>,
    owned: Vec<usize>,
    bell: Arc<Bell>,
}

impl Groups {
    /// Adds a member that subscribes to the partitions of these topics. Gives its id, which is never used again.
    pub(crate) fn join(&mut self, group: &str, subscribed: &[Range<usize>], bell: &Arc<Bell>) -> u64 {
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
            None => Err(CommitError::Aborted(format!("no member {} in group {}", claim.member, claim.group))),
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
        let mut topics: Vec<Range<usize>> = self.members.iter().flat_map(|m| m.subscribed.iter().cloned()).collect();
        topics.sort_unstable_by_key(|topic| topic.start);
        topics.dedup();
        self.members.iter_mut().for_each(|m| m.owned.clear());
        for topic in topics {
            let subscribers = self.members.iter().filter(|m| m.subscribed.contains(&topic)).count();
            let (each, more) = (topic.len() / subscribers, topic.len() % subscribers);
            let mut from = topic.start;
            for (place, member) in self.members.iter_mut().filter(|m| m.subscribed.contains(&topic)).enumerate() {
                let to = from + each + usize::from(place < more);
                member.owned.extend(from..to);
                from = to;
            }
        }
        self.members.iter().for_each(|m| m.bell.announce(self.generation));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_topic_is_dealt_in_ranges_to_those_who_subscribe_to_it() {
        let mut groups = Groups::default();
        let bell = Arc::new(Bell::default());
        let a = groups.join("g", &[0..5, 5..7], &bell);
        let b = groups.join("g", &[0..5, 5..7], &bell);
        assert_eq!(groups.share("g", a), Some((2, &[0, 1, 2, 5][..])));
        assert_eq!(groups.share("g", b), Some((2, &[3, 4, 6][..])));
        let c = groups.join("g", &[5..7, 9..10], &bell);
        assert_eq!(groups.share("g", a), Some((3, &[0, 1, 2, 5][..])));
        assert_eq!(groups.share("g", b), Some((3, &[3, 4, 6][..])));
        assert_eq!(groups.share("g", c), Some((3, &[9][..])));
        groups.leave("g", a);
        assert_eq!(groups.share("g", b), Some((4, &[0, 1, 2, 3, 4, 5][..])));
        assert_eq!(groups.share("g", c), Some((4, &[6, 9][..])));
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
