//! Recount: the same events by two sets of rules, and whether every event is in both sums exactly once.
//!
//! Rules for tags move events between series, rules for outcomes between ok, error and ignored. None of them makes or loses an event: in every
//! window and grouping of a service the events, the sum of their hashes, and their weight over all outcomes stay. Compares sums that
//! `verify` made; reads nothing.

use crate::emit::json::rfc3339;
use crate::grouping::Groupings;
use crate::verify::{Identity, Sums};
use platform_core::time::EventTime;
use serde::Serialize;
use std::collections::BTreeMap;

/// The counts of one service, before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OfService {
    /// Namespace; may be empty.
    pub namespace: String,
    /// Name.
    pub service: String,
    /// Of all its events.
    pub all: Both,
    /// Of its series, by grouping and by the values of its dimensions; those that are alike are left out.
    pub series: BTreeMap<String, Vec<Series>>,
    /// Windows and groupings in which something is not conserved, with what.
    pub broken: Vec<String>,
}

/// Counts before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Both {
    /// By the rules in force.
    pub before: Counts,
    /// By the other rules.
    pub after: Counts,
}

/// Counts by outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Raw events.
    pub events: u64,
    /// Σ weight with outcome ok.
    pub ok: u64,
    /// Σ weight with outcome error.
    pub errors: u64,
    /// Σ weight with outcome ignored.
    pub ignored: u64,
}

impl Counts {
    fn add(&mut self, sums: &Sums) {
        self.events += sums.events;
        self.ok += sums.ok;
        self.errors += sums.errors;
        self.ignored += sums.ignored;
    }
}

/// The counts of one series, over all windows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Series {
    /// Values of its dimensions, by name.
    pub dimensions: BTreeMap<String, String>,
    /// Its counts.
    pub counts: Both,
}

type Sides<'a> = [&'a BTreeMap<Identity, Sums>; 2];

/// Holds sums against each other. Services come in the order of namespace and name.
#[must_use]
pub fn recount(groupings: &Groupings, before: &BTreeMap<Identity, Sums>, after: &BTreeMap<Identity, Sums>) -> Vec<OfService> {
    let sides = [before, after];
    let mut services: BTreeMap<(&str, &str), OfService> = BTreeMap::new();
    let mut series: BTreeMap<(&str, &str, &str, &[String]), Both> = BTreeMap::new();
    for (side, sums) in sides.iter().enumerate() {
        for (identity, sums) in *sums {
            let Identity { namespace, service, grouping, values, .. } = identity;
            let add = |both: &mut Both| if side == 0 { both.before.add(sums) } else { both.after.add(sums) };
            let of = services.entry((namespace, service)).or_default();
            of.namespace.clone_from(namespace);
            of.service.clone_from(service);
            if grouping == "service" {
                add(&mut of.all);
            } else {
                add(series.entry((namespace, service, grouping, values)).or_default());
            }
        }
    }
    for ((namespace, service, grouping, values), counts) in series.into_iter().filter(|(_, both)| both.before != both.after) {
        let Some(of) = services.get_mut(&(namespace, service)) else { continue };
        let dimensions = names(groupings, grouping).zip(values).map(|(name, value)| (name.clone(), value.clone())).collect();
        of.series.entry(grouping.to_owned()).or_default().push(Series { dimensions, counts });
    }
    for ((namespace, service), what) in broken(&sides) {
        if let Some(of) = services.get_mut(&(namespace, service)) {
            of.broken.push(what);
        }
    }
    services.into_values().collect()
}

fn names<'g>(groupings: &'g Groupings, grouping: &str) -> impl Iterator<Item = &'g String> {
    let found = groupings.list().iter().find(|known| known.name == grouping);
    found.into_iter().flat_map(|found| &found.dimensions).filter_map(|place| groupings.dimensions().get(*place))
}

/// What must stay: events, their hashes, and their weight.
type Kept = (u64, u64, u64);

fn broken<'a>(sides: &Sides<'a>) -> Vec<((&'a str, &'a str), String)> {
    let mut kept: BTreeMap<(&str, &str, EventTime, &str), [Kept; 2]> = BTreeMap::new();
    for (side, sums) in sides.iter().enumerate() {
        for (identity, sums) in *sums {
            let key = (identity.namespace.as_str(), identity.service.as_str(), identity.window, identity.grouping.as_str());
            if let Some((events, hash, weight)) = kept.entry(key).or_default().get_mut(side) {
                *events += sums.events;
                *hash = hash.wrapping_add(sums.hash);
                *weight += sums.ok + sums.errors + sums.ignored;
            }
        }
    }
    let differs = |((namespace, service, window, grouping), [before, after]): ((&'a str, &'a str, EventTime, &str), [Kept; 2])| {
        let what = match () {
            () if before == after => return None,
            () if before.0 != after.0 => format!("{} events before, {} after", before.0, after.0),
            () if before.2 != after.2 => format!("{} requests and ignored before, {} after", before.2, after.2),
            () => "other events".to_owned(),
        };
        Some(((namespace, service), format!("window {} of {grouping}: {what}", rfc3339(window))))
    };
    kept.into_iter().filter_map(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(grouping: &str, values: &[&str]) -> Identity {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Identity { window: EventTime(0), grouping: grouping.to_owned(), namespace: String::new(), service: "cart".to_owned(), values }
    }

    fn sums(events: u64, errors: u64, hash: u64) -> Sums {
        Sums { events, ok: events - errors, errors, hash, ..Sums::default() }
    }

    fn groupings() -> Groupings {
        let named = [("service", vec![]), ("service_swimlane", vec!["swimlane".to_owned()])];
        Groupings::new(&named.map(|(name, of)| (name.to_owned(), of)).into()).unwrap()
    }

    #[test]
    fn events_may_move_between_series_and_outcomes_and_their_sums_stay() {
        let before = BTreeMap::from([(identity("service", &[]), sums(5, 2, 9)), (identity("service_swimlane", &[""]), sums(5, 2, 9))]);
        let after = BTreeMap::from([
            (identity("service", &[]), sums(5, 3, 9)),
            (identity("service_swimlane", &[""]), sums(1, 0, 4)),
            (identity("service_swimlane", &["ec2"]), sums(4, 3, 5)),
        ]);
        let found = recount(&groupings(), &before, &after);
        let [of] = found.as_slice() else { panic!("{found:?}") };
        assert_eq!((of.all.before.errors, of.all.after.errors, of.all.after.events), (2, 3, 5));
        let moved: Vec<(&str, u64, u64)> = of.series["service_swimlane"]
            .iter()
            .map(|series| (series.dimensions["swimlane"].as_str(), series.counts.before.events, series.counts.after.events))
            .collect();
        assert_eq!(moved, [("", 5, 1), ("ec2", 0, 4)]);
        assert_eq!(of.broken, [""; 0]);
    }

    #[test]
    fn what_is_lost_or_another_event_is_named() {
        let of = |events, hash| BTreeMap::from([(identity("service", &[]), sums(events, 0, hash))]);
        let broken = |after: &BTreeMap<Identity, Sums>| recount(&groupings(), &of(5, 9), after)[0].broken.clone();
        assert_eq!(broken(&of(4, 9)), ["window 1970-01-01T00:00:00Z of service: 5 events before, 4 after"]);
        assert_eq!(broken(&of(5, 8)), ["window 1970-01-01T00:00:00Z of service: other events"]);
        assert_eq!(broken(&BTreeMap::new()).len(), 1);
        assert_eq!(broken(&of(5, 9)), [""; 0]);
    }
}
