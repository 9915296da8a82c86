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
    Unready,
    /// Puts 7 of 100 items aside.
    Errs,
    Incomplete,
}
use Does::{Errs, Gone, Incomplete, Late, Silent, Stuck, Torn, Unready, Well};
const ALL: [Does; 9] = [Well, Stuck, Silent, Torn, Late, Gone, Unready, Errs, Incomplete];

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
    let mut read = BTreeMap::from([(Colour::Blue, health::Items::default()), (Colour::Green, health::Items::default())]);
    let mut probes = Vec::new();
    for (number, (blue, green)) in (1_u32..).zip(blue.iter().zip(green)) {
        let (mut colours, mut answers) = (BTreeMap::new(), BTreeMap::new());
        for (deployment, does) in [(BLUE, *blue), (GREEN, *green)] {
            let (end, position, window) = at.get_mut(&deployment.colour).unwrap();
            *end += if does == Stuck { 0 } else { 5 };
            *position = if does == Silent { *position } else { *end };
            *window += u64::from(!matches!(does, Stuck | Silent | Late));
            let seen = WindowSeen { incomplete: u64::from(does == Incomplete), ..WindowSeen::default() };
            let windows = (window.saturating_sub(8)..=*window).map(|w| (w * MINUTE as u64, seen)).collect();
            let input = InputSeen { end: *end, position: Some(*position), windows, router: None, torn: does == Torn };
            let items = read.get_mut(&deployment.colour).unwrap();
            items.read += 100;
            items.put_aside += if does == Errs { 7 } else { 0 };
            let answer = health::Answer { ready: does != Unready, deployments: BTreeMap::from([(deployment, *items)]) };
            answers.insert(deployment.colour, vec![Some(answer)]);
            if does != Gone {
                colours.insert(deployment.colour, ColourSeen { deployment, counts: (1, 1), partitions: vec![input] });
            }
        }
        let time = i64::from(number) * 5 * SECOND;
        let public = vec![PublicSeen { newest: Some((MINUTE as u64, BLUE, time)), ..PublicSeen::default() }];
        probes.push(Probe { at: Duration::from_secs(u64::from(number) * 5), time, partitions: 1, colours, public, answers });
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
        (Unready, Well, "flip to green.2"),
        (Errs, Well, "flip to green.2"),
        (Incomplete, Well, "flip to green.2"),
        (Incomplete, Incomplete, "nothing"),
        (Errs, Errs, "nothing"),
        (Late, Errs, "page: blue.1 is live and fails: it is behind the other one; green.2 is not well either"),
        (Incomplete, Errs, "page: blue.1 is live and fails: more of its results are incomplete than of the other's; green.2 is no better"),
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
fn when_both_fail_the_better_one_is_kept_and_a_person_is_called() {
    let both = orders(false, true);
    let mut met = 0;
    for blue in ALL {
        for green in ALL {
            let probes = probes(&then(blue), &then(green));
            let facts = Facts { probes: &probes, orders: &both, checks: &Checks::default(), window: MINUTE };
            // Some troubles are by comparison: then there is one in one of them only.
            let (Some(live), Some(standby)) = (facts.trouble(Colour::Blue), facts.trouble(Colour::Green)) else { continue };
            met += 1;
            let said = |what: &str| match facts.decide() {
                Action::Page { reason } => reason.contains(what),
                _ => false,
            };
            let kept = match () {
                () if live == standby => said("in the same trouble, so the input is away"),
                () if standby.is_dead() => said("is no better, nothing comes of it"),
                () if live.is_dead() => {
                    matches!(facts.decide(), Action::Flip { reason, page: true, .. } if reason.contains("better, and not well either"))
                }
                () if standby < live => said("which still goes on: a person must choose"),
                () => said("is no better: "),
            };
            assert!(kept, "{blue:?} {live:?} and {green:?} {standby:?}: {:?}", facts.decide());
        }
    }
    assert!(met >= 40, "{met}");
}

#[test]
fn the_last_automatic_flip_must_be_old_enough_unless_the_live_one_is_dead() {
    for (does, age, flips) in [(Late, 59, false), (Late, 60, true), (Stuck, 1, true)] {
        let mut orders = orders(false, true);
        let time = 75 - age;
        for (flip, from, to, at) in [(1, BLUE, GREEN, time - 10), (2, GREEN, BLUE, time)] {
            let order = Flip { flip, from, to, kind: FlipKind::Planned, window: 0 };
            let over = [Order::Flip(order), Order::Done { flip, receipt: serde_json::Value::Null }, Order::Seal { flip }];
            for order in over {
                orders.apply(Entry { by: "controller a".to_owned(), reason: String::new(), order }, at * SECOND).unwrap();
            }
        }
        let found = decide(&then(does), &then(Well), &orders);
        assert_eq!(matches!(found, Action::Flip { .. }), flips, "{does:?} {age}: {found:?}");
        assert!(flips || matches!(&found, Action::Page { reason } if reason.contains("too young")), "{found:?}");
    }
}

#[test]
fn each_trouble_counts_once_it_showed_at_three_of_the_last_four_probes() {
    let both = orders(false, true);
    let flips = |blue: &[Does]| matches!(decide(blue, &vec![Well; blue.len()], &both), Action::Flip { .. });
    // What is there to be read when a deployment falls silent lies behind the first probe; lag is measured in seconds.
    for (does, enough) in [(Stuck, 3), (Silent, 4), (Torn, 3), (Unready, 3), (Errs, 3), (Incomplete, 3), (Late, 5)] {
        for failing in 1..=6 {
            let blue = [vec![Well; 10], vec![does; failing]].concat();
            assert_eq!(flips(&blue), failing >= enough, "{does:?} {failing}");
        }
    }
    for does in [Stuck, Torn, Unready, Incomplete] {
        assert!(flips(&[vec![Well; 10], vec![does, does, Well, does]].concat()), "{does:?} two of three");
        // One that stands still so often closes its windows later than the other.
        if does != Stuck {
            assert!(!flips(&[vec![Well; 10], [does, Well, Well].repeat(4), vec![does]].concat()), "{does:?} one of three");
        }
    }
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
