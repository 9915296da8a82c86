//! Every order of steps in each small situation keeps every promise, and each planted mistake is found. The larger ones: `make model`.

use golden_model::cases::{PLANTED, cases};
use stateright::{Checker, HasDiscoveries, Model};
use std::collections::BTreeMap;

#[test]
fn in_small_situations_every_order_of_steps_keeps_every_promise() {
    let mut states = BTreeMap::new();
    for case in cases(false) {
        let checker = case.with(None).checker().threads(2).spawn_dfs().join();
        assert!(checker.is_done(), "{}: not searched to the end", case.name);
        let broken: Vec<_> =
            checker.discoveries().into_iter().map(|(property, path)| format!("{property}: {:?}", path.into_actions())).collect();
        assert!(broken.is_empty(), "{}: {broken:#?}", case.name);
        states.insert(case.name, checker.unique_state_count());
    }
    assert!(states.len() == 9 && states.values().all(|states| *states > 1000), "{states:?}");
}

#[test]
fn each_planted_mistake_is_found() {
    for (planted, name) in PLANTED {
        let case = cases(false).into_iter().find(|case| case.name == *name).unwrap();
        let checker = case.with(Some(*planted)).checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
        assert!(!checker.discoveries().is_empty(), "{planted:?} is not found in `{name}`");
    }
}
