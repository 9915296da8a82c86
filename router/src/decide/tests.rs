use super::*;
use crate::controller::observe::PublicSeen;
use crate::orders::{Entry, Order, Start};
use platform_core::time::SECOND;
use proptest::prelude::*;
use std::collections::BTreeMap;

const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };
const GREEN: Deployment = Deployment { colour: Colour::Green, epoch: 2 };
const MINUTE: i64 = 60 * SECOND;

/// How one colour does between two probes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Does {
    Well,
    Stuck,
    Silent,
    Torn,
    Late,
    Gone,
}
use Does::{Gone, Late, Silent, Stuck, Torn, Well};

fn orders(hold: bool, green: bool) -> Orders {
    let mut orders = Orders::default();
    let mut give = |order| orders.apply(Entry { by: "t".to_owned(), reason: String::new(), order }, 0).unwrap();
    let start = |deployment| Order::Start(Start { deployment, version: "1".to_owned(), owned_from: 0, positions: vec![] });
    give(start(BLUE));
    if green {
        give(start(GREEN));
    }
    give(Order::Hold { hold });
    orders
}

/// A probe each five seconds, a window each time; what each colour does is listed oldest first.
fn probes(blue: &[Does], green: &[Does]) -> Vec<Probe> {
    let mut at = BTreeMap::from([(Colour::Blue, (10_u64, 10_u64, 1_u64)), (Colour::Green, (10, 10, 1))]);
    let mut probes = Vec::new();
    for (number, (blue, green)) in (1_u32..).zip(blue.iter().zip(green)) {
        let mut colours = BTreeMap::new();
        for (deployment, does) in [(BLUE, *blue), (GREEN, *green)] {
            let (end, position, window) = at.get_mut(&deployment.colour).unwrap();
            *end += if does == Stuck { 0 } else { 5 };
            *position = if does == Silent { *position } else { *end };
            *window += u64::from(!matches!(does, Stuck | Silent | Late));
            let windows = (window.saturating_sub(8)..=*window).map(|w| (w * MINUTE as u64, WindowSeen::default())).collect();
            let input = InputSeen { end: *end, position: Some(*position), windows, router: None, torn: does == Torn };
            if does != Gone {
                colours.insert(deployment.colour, ColourSeen { deployment, counts: (1, 1), partitions: vec![input] });
            }
        }
        let time = i64::from(number) * 5 * SECOND;
        let public = vec![PublicSeen { newest: Some((MINUTE as u64, BLUE, time)), ..PublicSeen::default() }];
        probes.push(Probe {
            at: Duration::from_secs(u64::from(number) * 5),
            time,
            partitions: 1,
            colours,
            public,
            answers: BTreeMap::new(),
        });
    }
    probes
}

fn decide(blue: &[Does], green: &[Does], orders: &Orders) -> Action {
    Facts { probes: &probes(blue, green), orders, checks: &Checks::default(), window: MINUTE }.decide()
}

/// Well at first, then this.
fn then(does: Does) -> Vec<Does> {
    [vec![Well; 10], vec![does; 5]].concat()
}

#[test]
fn what_is_done_follows_from_what_both_do() {
    let both = orders(false, true);
    let kind = |action: Action| match action {
        Action::Nothing => "nothing".to_owned(),
        Action::Flip { to, .. } => format!("flip to {to}"),
        Action::Abandon { deployment, .. } => format!("abandon {deployment}"),
        Action::Page { reason } => format!("page: {reason}"),
    };
    for (blue, green, expected) in [
        (Well, Well, "nothing"),
        (Stuck, Well, "flip to green.2"),
        (Silent, Well, "flip to green.2"),
        (Torn, Well, "flip to green.2"),
        (Late, Well, "flip to green.2"),
        (Gone, Well, "flip to green.2"),
        (Well, Stuck, "nothing"),
        (Well, Torn, "nothing"),
        (Stuck, Stuck, "page: blue.1 is live and fails: FOLD writes nothing; green.2 is in the same trouble"),
        (Silent, Silent, "page: blue.1 is live and fails: CLOSE commits nothing"),
        (Late, Late, "nothing"),
        (Stuck, Torn, "page: blue.1 is live and fails: FOLD writes nothing; green.2 is no better"),
        (Torn, Stuck, "page: blue.1 is live and fails: its results are torn"),
        // A dead one is left for one that is only late.
        (Gone, Late, "flip to green.2"),
    ] {
        let found = kind(decide(&then(blue), &then(green), &both));
        assert!(found.starts_with(expected), "{blue:?} and {green:?}: {found}");
    }
    let held = kind(decide(&then(Stuck), &then(Well), &orders(true, true)));
    assert!(held.contains("on hold"), "{held}");
    let alone = kind(decide(&then(Stuck), &then(Gone), &orders(false, false)));
    assert!(alone.contains("there is no other deployment"), "{alone}");
}

#[test]
fn it_takes_three_probes_to_fail_and_six_to_be_fit_again() {
    let both = orders(false, true);
    for (failing, flips) in [(1, false), (2, false), (3, true)] {
        let blue = [vec![Well; 10], vec![Stuck; failing]].concat();
        let found = decide(&blue, &vec![Well; 10 + failing], &both);
        assert_eq!(matches!(found, Action::Flip { .. }), flips, "{failing}: {found:?}");
    }
    for (well, flips) in [(3, false), (9, true)] {
        let green = [vec![Well; 6], vec![Torn; 5], vec![Well; well]].concat();
        let blue = [vec![Well; 8 + well], vec![Stuck; 3]].concat();
        let found = decide(&blue, &green, &both);
        assert_eq!(matches!(found, Action::Flip { .. }), flips, "{well}: {found:?}");
    }
}

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![8 => Just(Well), 1 => Just(Stuck), 1 => Just(Silent), 1 => Just(Torn), 1 => Just(Late), 1 => Just(Gone)]
}

proptest! {
    #[test]
    fn nothing_flips_from_a_well_deployment_or_to_a_dead_one_or_on_hold(
        runs in proptest::collection::vec((does(), does(), 1..6_usize), 1..8),
        hold: bool,
    ) {
        let line = |of: fn(&(Does, Does, usize)) -> Does| runs.iter().flat_map(|run| vec![of(run); run.2]).collect::<Vec<_>>();
        let (blue, green) = (line(|run| run.0), line(|run| run.1));
        let orders = orders(hold, true);
        let checks = Checks::default();
        let probes = probes(&blue, &green);
        let facts = Facts { probes: &probes, orders: &orders, checks: &checks, window: MINUTE };
        if let Action::Flip { to, .. } = facts.decide() {
            prop_assert!(!hold && to == GREEN);
            prop_assert!(facts.trouble(Colour::Blue).is_some());
            prop_assert!(facts.trouble(Colour::Green) < facts.trouble(Colour::Blue));
            prop_assert!(!facts.trouble(Colour::Green).is_some_and(Trouble::is_dead));
        }
    }
}

/// Partition 1 has never published anything: the live deployment died before it closed a window there. Whoever began later cannot stand in for it.
#[test]
fn nothing_flips_away_from_a_partition_of_which_only_the_dead_one_has_the_beginning() {
    let mut orders = Orders::default();
    for (deployment, owned_from) in [(BLUE, 0), (GREEN, MINUTE as u64)] {
        let start = Start { deployment, version: "1".to_owned(), owned_from, positions: vec![] };
        orders.apply(Entry { by: "t".to_owned(), reason: String::new(), order: Order::Start(start) }, 0).unwrap();
    }
    let checks = Checks::default();
    for (closes, closes_there, flips) in [(true, true, false), (true, false, true), (false, false, false)] {
        let mut probes = probes(&then(Stuck), &then(Well));
        for probe in &mut probes {
            probe.public.push(PublicSeen::default());
            for seen in probe.colours.values_mut() {
                if seen.deployment == GREEN && !closes {
                    seen.partitions[0].windows.retain(|window, _| *window <= MINUTE as u64);
                }
                let input = seen.partitions[0].clone();
                let windows = if seen.deployment == GREEN && closes_there { input.windows.clone() } else { BTreeMap::new() };
                seen.partitions.push(InputSeen { windows, ..input });
                seen.counts = (2, 2);
            }
            probe.partitions = 2;
        }
        let action = Facts { probes: &probes, orders: &orders, checks: &checks, window: MINUTE }.decide();
        assert_eq!(matches!(action, Action::Flip { to: GREEN, .. }), flips, "{action:?}");
    }
}
