//! One thing at a time, by hand.

use crate::world::{BLUE, GREEN, Header, Seen, World};
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{FlipKind, Order};
use platform_core::growth::{REVISION_HEADER, Sums};

fn result(window: u64, revision: u64, events: u64, by: Deployment) -> Seen {
    Seen::Result(window, "a".to_owned(), revision, events, by)
}

#[test]
fn the_live_colour_is_forwarded_and_the_other_is_held_behind_the_newest_public_window() {
    let mut world = World::new(1000);
    for window in 1..=3 {
        world.window(GREEN, window, 5);
    }
    world.settle();
    assert_eq!((world.public(), world.stands(GREEN).0), (vec![], 0), "nothing is whole yet");
    world.window(BLUE, 1, 5);
    world.window(BLUE, 2, 5);
    world.settle();
    let expected = [result(1, 0, 5, BLUE), Seen::Progress(1, BLUE), result(2, 0, 5, BLUE), Seen::Progress(2, BLUE)];
    assert_eq!(world.public(), expected);
    // Two windows of two records; each append is a transaction without a marker of its own.
    assert_eq!(world.stands(GREEN).0, 4, "it stays behind its progress record of window 2");
}

#[test]
fn i8_a_planned_flip_takes_every_window_once_and_corrections_from_the_one_that_answers_for_them() {
    let mut world = World::new(1000);
    world.window(BLUE, 1, 5);
    world.window(GREEN, 1, 5);
    world.window(GREEN, 2, 5);
    world.window(GREEN, 3, 5);
    world.settle();
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 2);
    world.settle();
    assert_eq!(world.public(), [result(1, 0, 5, BLUE), Seen::Progress(1, BLUE), Seen::Cut(1, 2)], "window 2 is blue's still");
    world.window(BLUE, 2, 5);
    world.window(BLUE, 3, 5);
    world.settle();
    let cut = [result(2, 0, 5, BLUE), Seen::Progress(2, BLUE), result(3, 0, 5, GREEN), Seen::Progress(3, GREEN)];
    assert_eq!(world.public()[3..], cut);
    // Late events of a window before the cut and of one behind it, seen by both.
    for of in [BLUE, GREEN] {
        world.result(of, 2, "a", 6, false);
        world.result(of, 3, "a", 7, false);
    }
    world.settle();
    let mut corrections = world.public()[7..].to_vec();
    corrections.sort_by_key(|seen| matches!(seen, Seen::Result(3, ..)));
    assert_eq!(corrections, [result(2, 1, 6, BLUE), result(3, 1, 7, GREEN)]);
}

#[test]
fn a_worker_holds_everything_when_the_control_log_is_newer_or_has_no_beginning() {
    for (newer, with_disk) in [(true, true), (false, true), (false, false)] {
        let mut world = World::new(1000);
        for of in [BLUE, GREEN] {
            world.window(of, 1, 5);
        }
        world.settle();
        let before = (world.public(), world.stands(BLUE), world.stands(GREEN));
        assert_eq!(before.0.len(), 2);
        if newer {
            world.order_of_a_newer_program();
            world.settle();
        } else {
            world.forget_the_first_order();
            // One that has read the beginning goes on: it knows what follows from it.
            world.restart(with_disk);
        }
        for of in [BLUE, GREEN] {
            world.window(of, 2, 5);
            world.result(of, 1, "a", 6, false);
        }
        world.settle();
        assert_eq!((world.public(), world.stands(BLUE), world.stands(GREEN)), before, "newer {newer}, with disk {with_disk}");
    }
}

#[test]
fn bytes_pass_undecoded_and_only_the_number_of_the_revision_is_another() {
    let mut world = World::new(1000);
    world.window(BLUE, 1, 1);
    // No JSON, no UTF-8; with spaces and numbers that whoever writes it anew would write otherwise.
    let (head, tail) = (&b"{ \"r\" :\t"[..], &b" ,\"\xc3\xa9\":1.00e0, \"\\u00e9\"\r\n:[ ]\xff\0} "[..]);
    let value = [head, b"0", tail].concat();
    for events in 2..=12 {
        world.bytes(BLUE, 1, events, &value, head.len());
    }
    world.settle();
    let (sent, public) = (world.raw("blue.signals"), world.raw("public"));
    let (sent, public) = (&sent[2..], &public[2..]);
    assert_eq!((sent.len(), public.len()), (11, 11));
    for (revision, ((before, _), (after, passed))) in (1..).zip(sent.iter().zip(public)) {
        assert_eq!(*passed, [head, format!("{revision}").as_bytes(), tail].concat(), "revision {revision}");
        let (revisions, others): (Vec<_>, Vec<_>) = after.iter().cloned().partition(|(name, _)| name == REVISION_HEADER.as_bytes());
        assert_eq!(revisions, [(REVISION_HEADER.as_bytes().to_vec(), revision.to_string().into_bytes())]);
        let sorted = |mut headers: Vec<Header>| {
            headers.sort();
            headers
        };
        assert_eq!(sorted(others), sorted(before.clone()));
    }
}

#[test]
fn a_planned_cut_lies_behind_everything_that_is_published_already() {
    let mut world = World::new(1000);
    world.window(BLUE, 1, 5);
    world.window(BLUE, 2, 5);
    world.result(BLUE, 3, "a", 5, true);
    world.settle();
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 2);
    world.settle();
    assert_eq!(world.public().last(), Some(&Seen::Cut(1, 3)));
}

#[test]
fn i2_a_failure_flip_completes_a_half_published_window_key_by_key() {
    let mut world = World::new(1000);
    for of in [BLUE, GREEN] {
        world.window(of, 1, 5);
    }
    world.result(BLUE, 2, "a", 4, true);
    world.settle();
    for (name, events) in [("a", 5), ("b", 1)] {
        world.result(GREEN, 2, name, events, true);
    }
    world.progress(GREEN, 2);
    world.flip(1, BLUE, GREEN, FlipKind::Failure, 0);
    world.settle();
    let expected = [
        result(1, 0, 5, BLUE),
        Seen::Progress(1, BLUE),
        result(2, 0, 4, BLUE),
        Seen::Cut(1, 1),
        result(2, 1, 5, GREEN),
        Seen::Result(2, "b".to_owned(), 0, 1, GREEN),
        Seen::Progress(2, GREEN),
    ];
    let public = world.public();
    assert_eq!(public.iter().filter(|seen| **seen != Seen::Sealed(1)).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    assert!(public.contains(&Seen::Sealed(1)));
    // What wakes later changes nothing.
    world.window(BLUE, 2, 9);
    world.window(BLUE, 3, 9);
    world.result(BLUE, 1, "a", 9, false);
    world.settle();
    assert_eq!((world.public(), world.stands(BLUE).0), (public, world.end(BLUE)));
}

#[test]
fn i18_a_half_published_window_is_whole_also_behind_windows_that_only_the_new_colour_has() {
    let mut world = World::new(1000);
    // Blue had read nothing of windows 1 and 2 when it began with window 3, and died in the middle of that.
    world.result(BLUE, 3, "a", 5, true);
    world.settle();
    world.window(GREEN, 1, 5);
    world.window(GREEN, 2, 5);
    for name in ["a", "b"] {
        world.result(GREEN, 3, name, 5, true);
    }
    world.progress(GREEN, 3);
    world.window(GREEN, 4, 5);
    world.flip(1, BLUE, GREEN, FlipKind::Failure, 0);
    world.settle();
    let progress: Vec<Seen> = world.public().into_iter().filter(|seen| matches!(seen, Seen::Progress(..))).collect();
    assert_eq!(progress, [1, 2, 3, 4].map(|window| Seen::Progress(window, GREEN)));
    assert_eq!(world.results().len(), 5, "and each result once");
}

#[test]
fn what_only_the_new_colour_has_read_of_windows_before_a_failure_is_published_by_reading_it_once_more() {
    let mut world = World::new(1000);
    for of in [BLUE, GREEN] {
        world.window(of, 1, 5);
        world.window(of, 2, 5);
    }
    // Late events that blue never comes to publish; green's corrections are passed over, since it does not answer for the window.
    world.result(GREEN, 1, "a", 6, false);
    world.result(GREEN, 1, "late", 1, false);
    world.settle();
    assert_eq!(world.results().len(), 2);
    world.flip(1, BLUE, GREEN, FlipKind::Failure, 0);
    world.settle();
    let expected = [(1, "a", 0, 5), (2, "a", 0, 5), (1, "a", 1, 6), (1, "late", 0, 1)].map(|(w, n, r, e)| (w, n.to_owned(), r, e));
    assert_eq!(world.results(), expected);
    assert_eq!(world.public().last(), Some(&Seen::Sealed(1)));
    world.restart(false);
    world.settle();
    assert_eq!(world.results(), expected, "also when its state is built anew from its own output");
}

#[test]
fn a_planned_flip_whose_old_colour_dies_before_the_cut_goes_on_from_the_new_one() {
    let mut world = World::new(1000);
    for of in [BLUE, GREEN] {
        world.window(of, 1, 5);
    }
    world.window(GREEN, 2, 5);
    world.window(GREEN, 3, 5);
    world.settle();
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 2);
    world.result(BLUE, 2, "a", 5, true);
    world.settle();
    world.order(Order::Abandon { deployment: BLUE });
    world.settle();
    let progress: Vec<Seen> = world.public().into_iter().filter(|seen| matches!(seen, Seen::Progress(..))).collect();
    assert_eq!(progress, [Seen::Progress(1, BLUE), Seen::Progress(2, GREEN), Seen::Progress(3, GREEN)]);
    assert_eq!(world.results().iter().map(|r| (r.0, r.2)).collect::<Vec<_>>(), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn an_idle_pipeline_flips_and_the_first_window_afterwards_is_the_new_colours() {
    let mut world = World::new(1000);
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 40);
    world.settle();
    assert_eq!(world.public(), [Seen::Cut(1, 40)]);
    for of in [BLUE, GREEN] {
        world.window(of, 90, 5);
    }
    world.settle();
    assert_eq!(world.public()[1..], [result(90, 0, 5, GREEN), Seen::Progress(90, GREEN)]);
}

#[test]
fn a_rollback_gives_each_window_to_one_colour_only() {
    let mut world = World::new(1000);
    let both = |world: &mut World, window| [BLUE, GREEN].iter().for_each(|of| world.window(*of, window, 5));
    both(&mut world, 1);
    world.settle();
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 2);
    world.settle();
    (2..=4).for_each(|window| both(&mut world, window));
    world.settle();
    world.flip(2, GREEN, BLUE, FlipKind::Planned, 5);
    world.settle();
    (5..=7).for_each(|window| both(&mut world, window));
    world.settle();
    let by: Vec<Colour> =
        world.public().iter().filter_map(|s| if let Seen::Progress(_, by) = s { Some(by.colour) } else { None }).collect();
    assert_eq!(by, [Colour::Blue, Colour::Blue, Colour::Green, Colour::Green, Colour::Green, Colour::Blue, Colour::Blue]);
    assert!(world.results().iter().all(|(_, _, revision, _)| *revision == 0));
}

#[test]
fn a_sealed_flip_asks_the_new_colour_for_the_windows_before_the_cut() {
    let mut world = World::new(1000);
    for of in [BLUE, GREEN] {
        world.window(of, 1, 5);
        world.window(of, 2, 5);
    }
    world.settle();
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 2);
    world.result(GREEN, 1, "a", 8, false);
    world.settle();
    assert!(world.results().iter().all(|(_, _, _, events)| *events == 5));
    world.order(Order::Seal { flip: 1 });
    world.settle();
    assert_eq!(world.public()[5..], [result(1, 1, 8, GREEN), Seen::Sealed(1)]);
    // From now on directly.
    world.result(GREEN, 2, "a", 9, false);
    world.result(BLUE, 2, "a", 11, false);
    world.settle();
    assert_eq!(world.public()[7..], [result(2, 1, 9, GREEN)]);
}

#[test]
fn what_the_new_colour_says_while_its_results_are_read_once_more_counts() {
    let mut world = World::new(1000);
    for of in [BLUE, GREEN] {
        (1..=3).for_each(|window| world.window(of, window, 5));
    }
    world.settle();
    world.flip(1, BLUE, GREEN, FlipKind::Planned, 3);
    world.settle();
    world.order(Order::Seal { flip: 1 });
    for events in 6..26 {
        world.result(GREEN, 2, "a", events, false);
        world.step();
    }
    world.settle();
    assert_eq!(world.results().last(), Some(&(2, "a".to_owned(), world.results().len() as u64 - 3, 25)));
}

#[test]
fn i18_a_progress_record_that_does_not_fit_tears_its_input_and_the_other_one_goes_on() {
    for garbage in [true, false] {
        let mut world = World::new(1000);
        for of in [BLUE, GREEN] {
            world.window(of, 1, 5);
        }
        world.result(BLUE, 2, "a", 5, true);
        if garbage {
            world.garbage(BLUE);
        } else {
            world.progress_with(BLUE, 2, Sums { finals: 2, events: 5, hash: 0 });
        }
        world.window(BLUE, 3, 5);
        world.window(GREEN, 2, 5);
        world.settle();
        assert_eq!(world.public().len(), 3, "nothing behind it is forwarded");
        assert!(world.stands(BLUE).0 < world.end(BLUE) && world.stands(BLUE).1, "{:?}", world.stands(BLUE));
        world.restart(garbage);
        world.settle();
        assert!(world.stands(BLUE).1);
        world.flip(1, BLUE, GREEN, FlipKind::Failure, 0);
        world.window(GREEN, 3, 5);
        world.settle();
        let progress = world.public().into_iter().filter(|seen| matches!(seen, Seen::Progress(_, GREEN))).count();
        assert_eq!((progress, world.stands(BLUE)), (2, (world.end(BLUE), false)));
    }
}

#[test]
fn records_of_a_deployment_that_ended_or_was_never_ordered_are_not_forwarded() {
    let mut world = World::new(1000);
    let older = Deployment { colour: Colour::Green, epoch: 1 };
    world.window(older, 1, 7);
    world.window(BLUE, 1, 5);
    world.settle();
    assert_eq!(world.stands(GREEN).0, world.end(GREEN), "what has ended is passed over");
    let unknown = Deployment { colour: Colour::Green, epoch: 3 };
    world.window(unknown, 2, 5);
    world.settle();
    assert!(world.stands(GREEN).0 < world.end(GREEN), "what may be ordered yet is waited for");
    world.start(unknown);
    world.window(BLUE, 2, 5);
    world.flip(1, BLUE, unknown, FlipKind::Planned, 2);
    world.settle();
    world.window(unknown, 3, 5);
    world.window(BLUE, 3, 5);
    world.settle();
    assert_eq!(world.public().last(), Some(&Seen::Progress(3, unknown)));
    assert_eq!(world.results().len(), 3);
}

#[test]
fn an_identity_is_remembered_as_long_as_results_of_it_may_come_and_never_published_anew_afterwards() {
    let mut world = World::new(2);
    (1..=9).for_each(|window| world.window(BLUE, window, 5));
    world.settle();
    let before = world.public().len();
    world.result(BLUE, 1, "a", 6, false);
    world.settle();
    assert_eq!(world.public()[before..], [result(1, 1, 6, BLUE)], "its progress records say that results of any window may come");
    world.forgotten = 9;
    world.window(BLUE, 10, 5);
    world.window(BLUE, 11, 5);
    world.settle();
    let before = world.public().len();
    for events in [7, 8] {
        world.result(BLUE, 1, "a", events, false);
        world.result(BLUE, 9, "a", events, false);
        world.settle();
        world.restart(false);
    }
    let corrected = [result(9, 1, 7, BLUE), result(9, 2, 8, BLUE)];
    assert_eq!(world.public()[before..], corrected, "what it was published as is not known any more");
}

#[test]
fn lines_of_the_late_ledger_go_to_their_own_topic_with_revisions_of_their_own() {
    let mut world = World::new(1000);
    world.window(BLUE, 1, 5);
    for (window, events) in [(1, 1), (1, 3), (1, 3), (2, 1)] {
        world.late(BLUE, window, events);
    }
    world.settle();
    world.restart(false);
    world.late(BLUE, 1, 4);
    world.settle();
    assert_eq!(world.ledger(), [r#"{"r":0}"#, r#"{"r":1}"#, r#"{"r":0}"#, r#"{"r":2}"#]);
    assert_eq!(world.public().len(), 2);
}
