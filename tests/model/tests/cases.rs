//! Every order of steps in each of the smaller situations keeps every promise, and planted mistakes are found. All others: `make model`.

use golden_model::cases::{PLANTED, cases};
use golden_model::planted::Planted;
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeMap;

/// Situations that seconds are enough for.
const SMALLER: [&str; 5] = ["there and back", "half a window", "sealed, then back", "a zombie colour", "a new epoch"];
/// Mistakes that seconds are enough for; what is known of the others stands in docs/model.md.
const QUICK: [Planted; 11] = [
    Planted::StandbyNotHeld,
    Planted::NoGrowthRule,
    Planted::AbandonedForwarded,
    Planted::FailureCutNewest,
    Planted::NoReconcile,
    Planted::ReconcileForgotten,
    Planted::ForwardForgotten,
    Planted::ForgetWhileOwed,
    Planted::OutToLive,
    Planted::NotFenced,
    Planted::NeverAbandons,
];

#[test]
fn in_small_situations_every_order_of_steps_keeps_every_promise() {
    let mut states = BTreeMap::new();
    for case in cases(false).into_iter().filter(|case| SMALLER.contains(&case.name)) {
        let checker = case.with(None).checker().threads(2).spawn_dfs().join();
        assert!(checker.is_done(), "{}: not searched to the end", case.name);
        let broken: Vec<_> =
            checker.discoveries().into_iter().map(|(property, path)| format!("{property}: {:?}", path.into_actions())).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", case.name);
        states.insert(case.name, checker.unique_state_count());
    }
    assert!(states.len() == SMALLER.len() && states.values().all(|states| *states > 100_000), "{states:?}");
}

#[test]
fn planted_mistakes_are_found() {
    let is_found = |planted: Planted, name: &str| {
        let case = cases(false).into_iter().find(|case| case.name == name).unwrap();
        let checker = case.with(Some(planted)).checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        !checker.discoveries().is_empty()
    };
    let quick: Vec<_> = PLANTED.iter().filter(|(planted, _)| QUICK.contains(planted)).collect();
    assert_eq!(quick.len(), QUICK.len());
    let missed: Vec<_> = quick.into_iter().filter(|(planted, name)| !is_found(*planted, name)).collect();
    assert!(missed.is_empty(), "{missed:?}");
}
