#![allow(clippy::panic, reason = "a test stops at what it does not expect")]

use super::*;
use crate::deployment::Deployment;
use crate::health::Unasked;
use crate::receipt::{Receipt, verify};
use crate::world::{BLUE, GREEN, Spoilt, World, settings};
use platform_core::record::{NewRecord, Partition};
use platform_runtime::memory::TopicSettings;
use platform_testkit::log::{Fault, FaultyLog};

fn request(wanted: Wanted) -> Request {
    Request { by: "mina".to_owned(), reason: "a release".to_owned(), dry_run: false, wanted }
}

fn flip_to_green() -> Request {
    request(Wanted::Flip { to: Some(Colour::Green), accept_difference: false })
}

/// A world in which both have run for ten windows, and a controller that leads.
fn warm() -> (World, Controller) {
    let mut world = World::new(2);
    let mut controller = world.controller("a", true);
    world.run(&mut controller, 600);
    (world, controller)
}

fn receipt_of(controller: &Controller, flip: u64) -> Receipt {
    let found = controller.orders().flip(flip).unwrap_or_else(|| panic!("no flip {flip}"));
    serde_json::from_value(found.receipt.clone().unwrap_or_else(|| panic!("flip {flip} has no receipt"))).unwrap()
}

fn assert_proved(world: &World, controller: &Controller, flip: u64) -> Receipt {
    let receipt = receipt_of(controller, flip);
    assert!(receipt.is_clean(), "{receipt:#?}");
    let flipped = controller.orders().flip(flip).unwrap();
    let lines = verify(&world.log(), &settings(), controller.orders(), flipped, &receipt).unwrap();
    assert!(lines.len() > 20 && lines.iter().all(crate::receipt::Line::holds), "{lines:#?}");
    receipt
}

#[test]
fn nothing_is_done_while_both_are_well() {
    let (mut world, mut controller) = warm();
    world.run(&mut controller, 600);
    assert!(controller.orders().flips().is_empty() && controller.orders().refused().is_empty());
    let status = controller.status();
    assert!(status.leads && status.page.is_none() && status.live == Some(BLUE), "{status:#?}");
    assert!(status.colours.iter().all(|colour| colour.trouble.is_none() && colour.torn.is_empty()), "{status:#?}");
    assert!(status.shadow.compared >= 30 && status.shadow.different == 0, "{status:#?}");
}

#[test]
fn a_planned_flip_is_ordered_cut_proved_and_sealed() {
    let (mut world, mut controller) = warm();
    let dry = controller.ask(&Request { dry_run: true, ..flip_to_green() }).unwrap();
    assert!(dry.granted && controller.orders().flips().is_empty(), "{dry:#?}");
    let answer = controller.ask(&flip_to_green()).unwrap();
    assert_eq!(answer.flip.as_ref().map(|flip| (flip.flip, flip.kind)), Some((1, FlipKind::Planned)), "{answer:#?}");
    world.run(&mut controller, 200);
    let receipt = assert_proved(&world, &controller, 1);
    assert_eq!((receipt.lost, receipt.doubled, receipt.by.as_str()), (0, 0, "mina"));
    assert!(receipt.partitions.iter().all(|p| p.last_old.is_some() && p.first_new.is_some() && p.windows >= 5), "{receipt:#?}");
    assert!(receipt.observed.iter().all(|both| both.from.is_some() && both.from == both.to), "{receipt:#?}");
    assert!(!controller.orders().flips()[0].sealed);
    world.run(&mut controller, 900);
    assert!(controller.orders().flips()[0].sealed);
    assert_eq!(controller.status().flips[0].state, "sealed");
    assert_eq!(controller.orders().live(), Some(GREEN));
}

#[test]
fn a_lost_a_doubled_a_foreign_or_a_tampered_result_makes_a_receipt_unclean() {
    for spoilt in [Spoilt::Nothing, Spoilt::Lost, Spoilt::Doubled, Spoilt::Foreign, Spoilt::Tampered] {
        let (mut world, mut controller) = warm();
        assert!(controller.ask(&flip_to_green()).unwrap().granted);
        world.spoil(spoilt);
        world.run(&mut controller, 200);
        let receipt = receipt_of(&controller, 1);
        let foreign: u64 = receipt.partitions.iter().map(|p| p.foreign).sum();
        let unequal: u64 = receipt.partitions.iter().map(|p| p.unequal).sum();
        assert_eq!(receipt.is_clean(), spoilt == Spoilt::Nothing, "{spoilt:?}: {receipt:#?}");
        let seen = [receipt.lost > 0, receipt.doubled > 0, foreign > 0, unequal > 0];
        let expected = match spoilt {
            Spoilt::Nothing => [false; 4],
            Spoilt::Lost => [true, false, false, true],
            Spoilt::Doubled => [false, true, false, false],
            Spoilt::Foreign => [false, false, true, false],
            Spoilt::Tampered => [false, false, false, true],
        };
        assert_eq!(seen, expected, "{spoilt:?}: {receipt:#?}");
    }
}

/// A window that is published late was closed long before the flip that it is part of.
#[test]
fn what_was_seen_of_a_window_is_looked_for_from_when_it_began() {
    let (mut world, mut controller) = warm();
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 200);
    let receipt = assert_proved(&world, &controller, 1);
    world.run(&mut controller, 900);
    let flip = controller.orders().flip(1).unwrap();
    let late = Flipped { at: flip.at + 1000 * settings().window, ..flip.clone() };
    let lines = verify(&world.log(), &settings(), controller.orders(), &late, &receipt).unwrap();
    let seen: Vec<_> = lines.iter().filter(|line| line.what.contains(" of blue.1") || line.what.contains(" of green.2")).collect();
    assert!(seen.len() == 8 && seen.iter().all(|line| line.holds()), "{seen:#?}");
}

#[test]
fn what_a_receipt_says_and_the_topics_do_not_shows_when_it_is_counted_again() {
    let (mut world, mut controller) = warm();
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 200);
    let honest = assert_proved(&world, &controller, 1);
    let flip = controller.orders().flip(1).unwrap();
    let differs = |receipt: &Receipt| -> Vec<String> {
        let lines = verify(&world.log(), &settings(), controller.orders(), flip, receipt).unwrap();
        lines.into_iter().filter(|line| !line.holds()).map(|line| line.what).collect()
    };
    let lines = honest.lines();
    assert_eq!((lines["from"].as_str(), lines["to"].as_str()), ("blue.1, version 1", "green.2, version 1"));
    assert_eq!(lines["by"], "mina: a release");
    assert_eq!(lines.keys().filter(|name| name.contains(" of blue.1") || name.contains(" of green.2")).count(), 8, "{lines:#?}");
    let mut said = honest.clone();
    said.partitions[0].windows += 1;
    assert_eq!(differs(&said), ["partition 0 windows counted again"]);
    let mut said = honest.clone();
    said.observed[0].to.as_mut().unwrap().events += 1;
    assert!(matches!(&differs(&said)[..], [one] if one.contains(" of green.2")));
    let mut said = honest.clone();
    said.by = "mallory".to_owned();
    assert_eq!(differs(&said), ["by"]);
    // What retention has taken from the topics of the colours is not held against it.
    for colour in Colour::ALL {
        for index in 0..2 {
            let partition = Partition::new(&settings().colours[&colour].signals, index);
            let end = world.log().bounds(&partition).unwrap().1;
            world.memory().forget_before(&partition, end);
        }
    }
    assert_eq!(differs(&honest), Vec::<String>::new());
}

#[test]
fn a_refusal_has_a_receipt_that_says_that_nothing_changed() {
    let (world, mut controller) = warm();
    let refused = controller.ask(&request(Wanted::Rollback { accept_difference: false })).unwrap();
    controller.look(world.now()).unwrap();
    let refusal = &controller.orders().refused()[0];
    assert_eq!((refusal.by.as_str(), refusal.asked.as_str(), &refusal.reason), ("mina", "rollback", &refused.said));
    let receipt = &refusal.receipt;
    assert_eq!((&receipt["changed"], &receipt["live"], &receipt["why"]), (&false.into(), &"blue.1".into(), &"a release".into()));
    let conditions = receipt["preconditions"].as_array().unwrap();
    assert!(conditions.len() >= 5, "{receipt}");
    let unmet: Vec<_> = conditions.iter().filter(|condition| !condition["refused"].is_null()).collect();
    assert!(matches!(&unmet[..], [one] if one["what"] == "there is a flip to take back"), "{receipt}");
    let status = controller.status();
    assert_eq!((status.refused[0].id.as_str(), status.live), ("r1", Some(BLUE)));
}

#[test]
fn the_audit_record_says_who_did_what_and_what_was_live_before_and_after() {
    let (mut world, mut controller) = warm();
    controller.ask(&request(Wanted::Rollback { accept_difference: false })).unwrap();
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 200);
    controller.ask(&request(Wanted::Hold { hold: true })).unwrap();
    let audit = crate::audit::read(&world.log(), &settings().control).unwrap();
    assert_eq!((audit.broken, audit.newer), (None, None));
    let said: Vec<_> = audit.entries.iter().map(|e| (e.by.as_str(), e.what.as_str(), e.before, e.after, e.result.as_str())).collect();
    let (blue, green) = (Some(BLUE), Some(GREEN));
    assert_eq!(
        said,
        [
            ("world", "start blue.1, version 1", None, blue, "taken"),
            ("world", "start green.2, version 1", blue, blue, "taken"),
            ("mina", "rollback", blue, blue, "refused"),
            ("mina", "flip 1 from blue.1 to green.2, planned", blue, green, "taken"),
            ("controller a", "receipt of flip 1: lost 0, doubled 0", green, green, "taken"),
            ("mina", "hold automatic flips", green, green, "taken"),
        ]
    );
    // Somebody who writes past the door is seen.
    let mut writer = world.memory().writer("somebody").unwrap();
    let value = crate::orders::Entry { by: "mallory".to_owned(), reason: String::new(), order: crate::orders::Order::Hold { hold: false } };
    let headers = [("schema", crate::orders::SCHEMA_ORDER.as_bytes()), ("chain", &[7; 32][..])];
    let record = NewRecord { key: None, headers: &headers, value: Some(&value.encode()) };
    writer.append(&Partition::new(&settings().control, 0), record).unwrap();
    writer.commit(&platform_core::log::Claim { group: String::new(), member: 0, generation: 0 }, &[]).unwrap();
    let audit = crate::audit::read(&world.log(), &settings().control).unwrap();
    assert_eq!(audit.broken, audit.entries.last().map(|entry| entry.offset));
    assert!(audit.broken.is_some());
}

#[test]
fn a_rollback_is_a_flip_back_while_the_old_one_is_ready() {
    let (mut world, mut controller) = warm();
    let refused = controller.ask(&request(Wanted::Rollback { accept_difference: false })).unwrap();
    assert!(refused.said.contains("nothing was flipped yet"), "{refused:?}");
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 200);
    assert!(controller.ask(&request(Wanted::Rollback { accept_difference: false })).unwrap().granted);
    world.run(&mut controller, 200);
    assert_proved(&world, &controller, 2);
    assert_eq!(controller.orders().live(), Some(BLUE));
    // What was asked for and refused stands in the log, as what was granted does.
    assert_eq!(controller.orders().refused()[0].asked, "rollback");
}

#[test]
fn a_dead_live_deployment_is_left_within_thirty_seconds() {
    let (mut world, mut controller) = warm();
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 30);
    let flip = controller.orders().flips().first().unwrap_or_else(|| panic!("no flip: {:#?}", controller.status())).clone();
    assert_eq!((flip.order.kind, flip.order.to, flip.by.as_str()), (FlipKind::Failure, GREEN, "controller a"));
    assert!(flip.reason.contains("FOLD writes nothing"), "{}", flip.reason);
    world.run(&mut controller, 200);
    assert_proved(&world, &controller, 1);
    assert!(controller.orders().is_abandoned(BLUE));
}

#[test]
fn a_failure_flip_is_over_once_every_partition_has_read_the_new_deployment_once_more() {
    let (mut world, mut controller) = warm();
    world.slow(true);
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 130);
    let state = |controller: &Controller| controller.status().flips[0].state.clone();
    assert_eq!(state(&controller), "cut", "windows of green are there, and nothing says yet that it was read once more");
    world.slow(false);
    world.run(&mut controller, 10);
    let receipt = assert_proved(&world, &controller, 1);
    assert!(receipt.partitions.iter().all(|p| p.sealed.is_some()), "{receipt:#?}");
    assert_eq!(state(&controller), "sealed");
    // A controller that knows nothing but the logs says so too.
    let mut other = world.controller("b", false);
    other.look(world.now()).unwrap();
    assert_eq!(state(&other), "sealed");
}

#[test]
fn a_receipt_does_not_wait_for_ever_and_then_says_that_nothing_was_sealed() {
    let (mut world, mut controller) = warm();
    world.slow(true);
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 1500);
    let receipt = assert_proved(&world, &controller, 1);
    assert!(receipt.lines().iter().any(|(name, said)| name.ends_with("sealed") && said == "no"), "{receipt:#?}");
    let flip = &controller.status().flips[0];
    assert_eq!((flip.state.as_str(), controller.orders().flips()[0].sealed), ("done", false), "what failed is not sealed by order");
    world.slow(false);
    world.run(&mut controller, 10);
    assert_eq!(controller.status().flips[0].state, "sealed");
}

#[test]
fn a_close_that_commits_nothing_and_a_torn_input_are_left_too() {
    for broken in [World::stop_closing as fn(&mut World, Colour), World::tear] {
        let (mut world, mut controller) = warm();
        broken(&mut world, Colour::Blue);
        world.run(&mut controller, 40);
        assert_eq!(controller.orders().live(), Some(GREEN), "{:#?}", controller.status());
    }
}

#[test]
fn a_deployment_that_puts_aside_what_the_other_reads_is_left_and_bad_input_of_both_is_not() {
    for (blue, green, live) in [(20, 0, GREEN), (20, 19, BLUE), (4, 0, BLUE)] {
        let (mut world, mut controller) = warm();
        for minute in 1..30 {
            world.answer(Colour::Blue, true, minute * 100, minute * blue);
            world.answer(Colour::Green, true, minute * 100, minute * green);
            world.run(&mut controller, 10);
        }
        assert_eq!(controller.orders().live(), Some(live), "{blue} {green}: {:#?}", controller.status());
        if live == GREEN {
            assert!(controller.orders().flips()[0].reason.contains("puts aside more of the same input"));
            world.run(&mut controller, 200);
            assert_proved(&world, &controller, 1);
        }
    }
}

#[test]
fn a_deployment_none_of_whose_processes_is_ready_is_left_unless_the_other_is_no_better() {
    for (green, live) in [(true, GREEN), (false, BLUE)] {
        let (mut world, mut controller) = warm();
        world.answer(Colour::Blue, true, 0, 0);
        world.answer(Colour::Green, green, 0, 0);
        world.run(&mut controller, 60);
        assert!(controller.orders().flips().is_empty());
        world.answer(Colour::Blue, false, 0, 0);
        world.run(&mut controller, 12);
        assert!(controller.orders().flips().is_empty(), "two probes are not three");
        world.run(&mut controller, 20);
        let status = controller.status();
        assert_eq!(controller.orders().live(), Some(live), "{status:#?}");
        if live == BLUE {
            assert!(status.page.is_some_and(|page| page.contains("in the same trouble")));
            assert!(status.colours.iter().all(|colour| colour.processes == Some((1, 0))));
        }
    }
}

#[test]
fn an_idle_pipeline_flips_as_a_busy_one_does() {
    let mut world = World::new(2);
    world.idle();
    let mut controller = world.controller("a", true);
    world.run(&mut controller, 600);
    assert!(controller.status().partitions.iter().all(|p| p.window.is_none()));
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 200);
    let receipt = receipt_of(&controller, 1);
    assert_eq!((receipt.lost, receipt.doubled, receipt.gap), (0, 0, None));
    world.stop_folding(Colour::Green);
    world.run(&mut controller, 30);
    assert_eq!(controller.orders().live(), Some(BLUE), "{:#?}", controller.status());
}

#[test]
fn an_input_that_is_away_flips_nothing_and_calls_a_person() {
    let (mut world, mut controller) = warm();
    world.stop_folding(Colour::Blue);
    world.stop_folding(Colour::Green);
    world.run(&mut controller, 120);
    assert!(controller.orders().flips().is_empty());
    assert!(controller.status().page.is_some_and(|page| page.contains("the input is away")));
}

#[test]
fn nothing_flips_to_a_deployment_that_is_no_better() {
    let (mut world, mut controller) = warm();
    world.tear(Colour::Green);
    world.run(&mut controller, 40);
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 120);
    assert!(controller.orders().flips().is_empty());
    assert!(controller.status().page.is_some_and(|page| page.contains("is no better")));
}

#[test]
fn on_hold_a_person_is_called_and_once_released_it_flips() {
    let (mut world, mut controller) = warm();
    controller.ask(&request(Wanted::Hold { hold: true })).unwrap();
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 120);
    assert!(controller.orders().flips().is_empty());
    assert!(controller.status().hold && controller.status().page.is_some_and(|page| page.contains("on hold")));
    controller.ask(&request(Wanted::Hold { hold: false })).unwrap();
    world.run(&mut controller, 20);
    assert_eq!(controller.orders().live(), Some(GREEN));
}

#[test]
fn a_person_may_flip_away_from_a_dead_deployment_on_hold() {
    let (mut world, mut controller) = warm();
    controller.ask(&request(Wanted::Hold { hold: true })).unwrap();
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 60);
    let answer = controller.ask(&flip_to_green()).unwrap();
    assert_eq!(answer.flip.map(|flip| flip.kind), Some(FlipKind::Failure));
}

#[test]
fn an_old_deployment_that_dies_before_the_cut_is_reached_is_given_up() {
    let (mut world, mut controller) = warm();
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 2);
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 300);
    assert!(controller.orders().is_abandoned(BLUE), "{:#?}", controller.status());
    assert_proved(&world, &controller, 1);
}

#[test]
fn a_flip_that_another_one_follows_before_it_is_proved_gets_its_receipt_too() {
    let (mut world, mut controller) = warm();
    assert!(controller.ask(&flip_to_green()).unwrap().granted);
    world.run(&mut controller, 3);
    world.stop_folding(Colour::Green);
    world.run(&mut controller, 300);
    let kinds: Vec<_> = controller.orders().flips().iter().map(|flip| (flip.order.kind, flip.order.to)).collect();
    assert_eq!(kinds, [(FlipKind::Planned, GREEN), (FlipKind::Failure, BLUE)], "{:#?}", controller.status());
    for flip in [1, 2] {
        assert_proved(&world, &controller, flip);
    }
    assert!(receipt_of(&controller, 1).partitions.iter().all(|p| p.first_new.is_none() && p.foreign == 0));
}

#[test]
fn controllers_that_begin_anew_at_every_step_finish_what_others_began() {
    for failure in [false, true] {
        let (mut world, controller) = warm();
        if failure {
            world.stop_folding(Colour::Blue);
            let mut one = world.controller("b", true);
            drop(controller);
            world.run(&mut one, 40);
        } else {
            assert!(controller.ask(&flip_to_green()).unwrap().granted);
            drop(controller);
        }
        for _ in 0..50 {
            let mut next = world.controller("b", true);
            world.run(&mut next, 5);
        }
        let mut last = world.controller("b", true);
        world.run(&mut last, 5);
        assert_proved(&world, &last, 1);
        assert_eq!(last.orders().flips().len(), 1);
    }
}

#[test]
fn of_two_controllers_one_leads_and_the_other_takes_over() {
    let mut world = World::new(2);
    let (mut one, mut two) = (world.controller("a", true), world.controller("b", true));
    for _ in 0..300 {
        world.run(&mut one, 1);
        two.step(world.now()).unwrap();
    }
    assert!(one.status().leads != two.status().leads);
    world.stop_folding(Colour::Blue);
    for _ in 0..40 {
        world.run(&mut one, 1);
        two.step(world.now()).unwrap();
    }
    assert_eq!(one.orders().flips().len(), 1);
    let (stays, goes) = if one.status().leads { (two, one) } else { (one, two) };
    drop(goes);
    let mut stays = stays;
    world.run(&mut stays, 10);
    assert!(stays.status().leads);
}

#[test]
fn of_two_operators_at_once_the_second_is_refused() {
    let (world, one) = warm();
    let mut two = world.controller("b", false);
    two.look(world.now()).unwrap();
    assert!(one.ask(&flip_to_green()).unwrap().granted);
    let second = one.ask(&flip_to_green()).unwrap();
    assert!(!second.granted && second.said.contains("is live already"), "{second:?}");
    let back = one.ask(&request(Wanted::Flip { to: Some(Colour::Blue), accept_difference: false })).unwrap();
    assert!(!back.granted && back.said.contains("flip 1 to green.2 by mina is under way"), "{back:?}");
    let other = two.ask(&flip_to_green()).unwrap();
    assert!(!other.granted && other.said.contains("is live already"), "{other:?}");
}

#[test]
fn clocks_that_are_off_by_minutes_flip_nothing() {
    for off in [-600, 600] {
        let (mut world, mut controller) = warm();
        world.step_clock(off);
        world.run(&mut controller, 300);
        assert!(controller.orders().flips().is_empty() && controller.status().page.is_none(), "{off}: {:#?}", controller.status());
    }
}

#[test]
fn a_person_flips_while_clocks_are_off_by_minutes() {
    for off in [-600, 600] {
        let (mut world, mut controller) = warm();
        world.step_clock(off);
        world.run(&mut controller, 300);
        let answer = controller.ask(&flip_to_green()).unwrap();
        assert!(answer.granted, "{off}: {answer:#?}");
        world.run(&mut controller, 400);
        assert_proved(&world, &controller, 1);
        assert_eq!((controller.orders().live(), controller.orders().flips().len()), (Some(GREEN), 1));
    }
}

#[test]
fn a_cold_deployment_is_refused_with_what_to_do() {
    let mut world = World::new(2);
    world.stop_closing(Colour::Green);
    let mut controller = world.controller("a", true);
    world.run(&mut controller, 600);
    let refused = controller.ask(&flip_to_green()).unwrap();
    assert!(!refused.granted, "{refused:?}");
    for what in ["has not closed window", "is cold: in partition 0", "CLOSE commits nothing", "Wait until it has caught up"] {
        assert!(refused.said.contains(what), "{what}: {}", refused.said);
    }
}

#[test]
fn windows_that_differ_are_refused_until_a_person_accepts_them() {
    let mut world = World::new(2);
    world.miscount(Colour::Green);
    let mut controller = world.controller("a", true);
    world.run(&mut controller, 600);
    let refused = controller.ask(&flip_to_green()).unwrap();
    assert!(!refused.granted && refused.said.contains("both are of version 1"), "{refused:?}");
    assert!(controller.status().shadow.different > 0);
    let diff = crate::diff::diff(&world.log(), &settings(), controller.orders(), 5).unwrap();
    assert!(diff.different > 0 && diff.different == diff.differences.len() && diff.compared >= diff.different, "{diff:#?}");
    assert_eq!(diff.windows, 10);
    let accepted = request(Wanted::Flip { to: Some(Colour::Green), accept_difference: true });
    assert!(controller.ask(&accepted).unwrap().granted);
}

#[test]
fn windows_may_differ_by_as_much_as_is_tolerated() {
    // One of 34 events.
    for (tolerance, granted) in [(0.0, false), (0.029, false), (0.03, true)] {
        let mut world = World::new(2);
        world.miscount(Colour::Green);
        let mut one = settings();
        one.checks.tolerance = tolerance;
        let mut controller = Controller::new(world.log(), one, Arc::new(Unasked), "a", true);
        world.run(&mut controller, 600);
        let answer = controller.ask(&flip_to_green()).unwrap();
        assert_eq!(answer.granted, granted, "{tolerance}: {answer:#?}");
        assert!(granted || answer.said.contains("of the last windows differ"), "{answer:#?}");
    }
}

#[test]
fn status_says_how_far_each_colour_is_behind_its_input_and_up_to_which_window_it_has_closed() {
    let (mut world, mut controller) = warm();
    let closed = |controller: &Controller| {
        controller.status().colours.into_iter().map(|one| (one.lag.unwrap(), one.closed.unwrap())).collect::<Vec<_>>()
    };
    let before = closed(&controller);
    assert!(before.iter().all(|(lag, _)| *lag <= 2) && before[0].1 == before[1].1, "{before:?}");
    world.stop_closing(Colour::Green);
    world.run(&mut controller, 120);
    let after = closed(&controller);
    assert!(after[0].0 <= 2 && after[1].0 >= 110, "{after:?}");
    assert!(after[0].1 > before[0].1 && after[1].1 == before[1].1, "{before:?} {after:?}");
    // The end of the newest window that is closed everywhere, in UTC.
    assert!(before[0].1.starts_with("2026-01-01T00:") && before[0].1.ends_with(":00Z"), "{before:?}");
    let holders: Vec<_> = controller.status().partitions.into_iter().map(|one| one.holder.unwrap_or_default()).collect();
    assert_eq!(holders, ["process 0 on w", "process 1 on w"]);
}

#[test]
fn a_comparison_says_which_series_and_window_differ_by_how_much_and_why_when_versions_do() {
    let (mut world, mut controller) = warm();
    world.redeploy_version(Deployment { colour: Colour::Green, epoch: 3 }, 0, "2");
    world.miscount(Colour::Green);
    world.run(&mut controller, 400);
    let diff = crate::diff::diff(&world.log(), &settings(), controller.orders(), 5).unwrap();
    assert!(diff.why.starts_with("versions differ (1 and 2)") && diff.why.contains("--accept-difference"), "{diff:#?}");
    // One of the three series of each window has one event more.
    assert_eq!((diff.windows, diff.different, diff.differences.len()), (10, 10, 10), "{diff:#?}");
    for one in &diff.differences {
        let events = |side: &Option<crate::diff::Totals>| side.as_ref().unwrap().totals[0];
        assert_eq!(events(&one.green) - events(&one.blue), 1, "{one:#?}");
        assert!(one.series == "10 bytes" && one.window.ends_with(":00Z"), "{one:#?}");
    }
    let refused = controller.ask(&flip_to_green()).unwrap();
    assert!(refused.said.contains("versions differ: 1 and 2"), "{refused:?}");
}

#[test]
fn deployments_that_agree_have_no_differences() {
    let (world, controller) = warm();
    let diff = crate::diff::diff(&world.log(), &settings(), controller.orders(), 5).unwrap();
    assert_eq!((diff.different, diff.windows, diff.why.as_str()), (0, 10, ""));
    assert!(diff.compared >= 20, "{diff:#?}");
}

#[test]
fn a_deployment_that_answers_from_later_on_only_is_refused() {
    let (mut world, mut controller) = warm();
    let later = world.window_in(3600);
    world.redeploy(Deployment { colour: Colour::Green, epoch: 3 }, later);
    world.run(&mut controller, 600);
    let refused = controller.ask(&flip_to_green()).unwrap();
    assert!(!refused.granted && refused.said.contains("answers for windows from"), "{refused:?}");
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 60);
    assert!(controller.orders().flips().is_empty());
    assert!(controller.status().page.is_some_and(|page| page.contains("answers for windows from")));
}

#[test]
fn a_colour_that_does_not_run_or_was_given_up_is_refused() {
    let (mut world, mut controller) = warm();
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 240);
    let back = controller.ask(&request(Wanted::Rollback { accept_difference: false })).unwrap();
    assert!(!back.granted && back.said.contains("blue.1 was given up and does not come back: deploy blue anew, under epoch 3"), "{back:?}");
}

#[test]
fn other_partition_counts_are_refused() {
    let mut world = World::with_counts(2, 3);
    let mut controller = world.controller("a", true);
    world.run(&mut controller, 600);
    let refused = controller.ask(&flip_to_green()).unwrap();
    assert!(!refused.granted && refused.said.contains("3 partitions of partials"), "{refused:?}");
    world.stop_folding(Colour::Blue);
    world.run(&mut controller, 60);
    assert!(controller.orders().flips().is_empty());
}

#[test]
fn a_control_log_that_lost_its_beginning_or_is_newer_takes_no_orders() {
    let (world, controller) = warm();
    world.order_of_a_newer_program();
    let error = controller.ask(&flip_to_green()).unwrap_err();
    assert!(error.to_string().contains("platform-order/2") && error.to_string().contains("upgrade it first"), "{error}");
    world.forget_the_first_order();
    let error = controller.ask(&flip_to_green()).unwrap_err();
    assert!(error.to_string().contains("begins at offset 1") && error.to_string().contains("restore the topic"), "{error}");
}

#[test]
fn from_a_control_log_that_is_newer_or_has_no_beginning_nothing_follows_and_a_person_is_called() {
    for (spoil, said) in [
        (World::order_of_a_newer_program as fn(&World), "upgrade it first"),
        (World::forget_the_first_order, "restore the topic from a copy"),
    ] {
        let (mut world, mut first) = warm();
        spoil(&world);
        let mut second = world.controller("b", false);
        second.look(world.now()).unwrap();
        assert!(second.status().unusable.is_some_and(|unusable| unusable.contains(said)), "{said}");
        // Now there would be something to do.
        world.stop_folding(Colour::Blue);
        let before = world.log().bounds(&Partition::new(&settings().control, 0)).unwrap().1;
        for _ in 0..60 {
            world.pass_a_second();
            // Who read the beginning before it went may find out by what it cannot order.
            drop(first.step(world.now()));
        }
        let page = first.status().page;
        assert!(page.as_ref().is_some_and(|page| page.contains(said)), "{page:?}");
        drop(first);
        let mut next = world.controller("c", true);
        world.run(&mut next, 60);
        let page = next.status().page;
        assert!(page.as_ref().is_some_and(|page| page.contains(said)), "{page:?}");
        let end = world.log().bounds(&Partition::new(&settings().control, 0)).unwrap().1;
        assert_eq!(end, before, "nothing was ordered");
    }
}

#[test]
fn without_the_right_to_write_nothing_changes_and_the_error_says_so() {
    let (mut world, controller) = warm();
    drop(controller);
    let faulty = FaultyLog::new(world.log());
    let mut controller = Controller::new(Arc::new(faulty.clone()), settings(), Arc::new(Unasked), "a", false);
    world.run(&mut controller, 30);
    faulty.script([Some(Fault::Failed)]);
    let error = controller.ask(&flip_to_green()).unwrap_err();
    assert!(error.to_string().contains("the control log cannot be written"), "{error}");
    controller.look(world.now()).unwrap();
    assert!(controller.orders().flips().is_empty());
}

#[test]
fn a_controller_that_cannot_order_what_is_needed_calls_a_person_and_goes_on_once_it_can() {
    let (mut world, controller) = warm();
    drop(controller);
    let faulty = FaultyLog::new(world.log());
    let mut controller = Controller::new(Arc::new(faulty.clone()), settings(), Arc::new(Unasked), "a", true);
    world.run(&mut controller, 60);
    world.stop_folding(Colour::Blue);
    faulty.seeded(1, 1000, &[Fault::Failed]);
    let mut paged = Vec::new();
    for _ in 0..60 {
        world.pass_a_second();
        let failed = controller.step(world.now()).is_err();
        paged.extend(controller.status().page.filter(|page| paged.last() != Some(page)));
        assert!(failed || controller.orders().flips().is_empty());
    }
    assert!(
        matches!(&paged[..], [page] if page.contains("blue.1 is live and fails") && page.contains("that cannot be ordered")),
        "{paged:?}"
    );
    assert!(controller.orders().flips().is_empty() && faulty.injected().len() > 2);
    faulty.heal();
    world.run(&mut controller, 120);
    assert_eq!((controller.orders().live(), controller.status().page), (Some(GREEN), None));
}

#[test]
fn only_so_many_automatic_flips_are_made_in_an_hour() {
    let mut world = World::new(2);
    let mut controller = world.controller("a", true);
    world.run(&mut controller, 600);
    let (mut live, mut epoch) = (BLUE, 3);
    for flips in 1..=4 {
        world.stop_folding(live.colour);
        world.run(&mut controller, 240);
        let expected = if flips <= 3 { flips } else { 3 };
        assert_eq!(controller.orders().flips().len(), expected, "{:#?}", controller.status());
        if flips <= 3 {
            let to = controller.orders().live().unwrap();
            world.redeploy(Deployment { colour: live.colour, epoch }, 0);
            epoch += 1;
            live = to;
            world.run(&mut controller, 240);
        }
    }
    assert!(controller.status().page.is_some_and(|page| page.contains("too many automatic flips")));
}

#[test]
fn a_topic_that_comes_later_is_seen_when_it_is_there() {
    let world = World::new(1);
    let mut one = settings();
    one.public = platform_core::record::Topic::new("later");
    let mut controller = Controller::new(world.log(), one, Arc::new(Unasked), "a", false);
    assert!(controller.look(world.now()).is_err());
    world.memory().create_topic(&platform_core::record::Topic::new("later"), 1, TopicSettings::default());
    assert!(controller.look(world.now()).is_ok());
}
