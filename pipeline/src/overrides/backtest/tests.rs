//! Levels, episodes and flaps of windows made by hand.

use super::*;
use crate::event::Event;
use crate::outcome::Outcome;
use golden_overrides::file::check;
use platform_core::time::SECOND;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

fn judging() -> Judging {
    let window = WindowLength::new(Duration::from_secs(60)).unwrap();
    Judging { window, min_completeness: Completeness::FULL, series_ttl: 3600 * SECOND }
}

fn file(text: &str) -> Override {
    let checked = check("shop/cart.yaml", text.as_bytes());
    checked.result.unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
}

fn event(error: bool) -> Event<'static> {
    Event {
        event_time: EventTime(0),
        duration: Some(5_000_000),
        service: "cart",
        operation: "o",
        outcome: if error { Outcome::Error } else { Outcome::Ok },
        ..Event::EMPTY
    }
}

/// A window with this many requests and errors.
fn published(minute: i64, requests: u32, errors: u32) -> Published {
    let mut aggregate = Aggregate::default();
    (0..requests).for_each(|n| aggregate.add(&event(n < errors), u64::from(n)));
    Published {
        start: EventTime(minute * MINUTE),
        aggregate,
        completeness: Completeness::FULL,
        previous: Level::Healthy,
        level: Some(Level::Healthy),
        sha256: String::new(),
    }
}

/// Errors by window, of 100 requests each, through two rules.
fn compared(old: &Override, new: &Override, errors: &[u32]) -> Report {
    let mut backtest = Backtest::new(judging(), ("", "cart"), Some(old), Some(new), true);
    (0..).zip(errors).for_each(|(minute, errors)| backtest.window(&published(minute, 100, *errors)));
    backtest.report()
}

/// The level is the number of errors.
fn plain() -> Override {
    file("owner: a\nhealth: 'errorCount / 1'\n")
}

fn levels(report: &Report) -> Vec<(u8, u8)> {
    report.levels.iter().map(|levels| (levels.old.unwrap_or(9), levels.new.unwrap_or(9))).collect()
}

#[test]
fn minutes_episodes_and_flaps_are_counted_by_their_definitions() {
    let report = compared(&plain(), &plain(), &[0, 0, 3, 0, 0, 0, 0, 1, 3, 3, 0, 2, 0, 3]);
    let Side { minutes, episodes, critical_episodes, flaps, .. } = report.old.clone();
    assert_eq!(minutes, Minutes { healthy: 8.0, degraded: 1.0, impaired: 1.0, critical: 4.0, unknown: 0.0 });
    assert_eq!((episodes, critical_episodes), (4, 3));
    // 0 3 0; then 0 1 3 3 0 takes four windows to come back; 0 2 0; the last 3 was there four windows before.
    assert_eq!(flaps, 2);
    assert_eq!((report.changed, report.changes.len(), report.recount), (0, 0, false));
    assert_eq!((report.old, report.windows), (report.new, 14));
}

#[test]
fn what_changed_is_told_as_stretches_and_each_episode_says_who_saw_it_first() {
    let new = file("owner: a\nhealth: 'errorCount >= 2 ? 3 : 0'\n");
    let report = compared(&plain(), &new, &[0, 1, 1, 2, 3, 0, 1]);
    assert_eq!(levels(&report), [(0, 0), (1, 0), (1, 0), (2, 3), (3, 3), (0, 0), (1, 0)]);
    let at = |minute: i64| rfc3339(EventTime(minute * MINUTE));
    let change = |from, to, old, new| Change { from: at(from), to: at(to), windows: (to - from) as u64, old: Some(old), new: Some(new) };
    assert_eq!(report.changes, [change(1, 3, 1, 0), change(3, 4, 2, 3), change(6, 7, 1, 0)]);
    assert_eq!(report.changed, 4);
    let first = &report.episodes[0];
    assert_eq!((&first.from, &first.to, &first.old_first, &first.new_first), (&at(1), &at(5), &Some(at(1)), &Some(at(3))));
    assert_eq!((first.old_worst, first.new_worst), (3, 3));
    assert_eq!((report.episodes.len(), &report.episodes[1].new_first), (2, &None));
}

#[test]
fn each_side_remembers_its_own_level_from_what_was_known_before_the_first_window() {
    let sticky = file("owner: a\nhealth: 'errorCount > 0 ? 3 : previousHealth > 0 ? previousHealth - 1 : 0'\n");
    let mut backtest = Backtest::new(judging(), ("", "cart"), Some(&plain()), Some(&sticky), true).report();
    assert_eq!((backtest.windows, backtest.from.as_str()), (0, ""));
    let (old, new) = (plain(), sticky);
    let mut run = Backtest::new(judging(), ("", "cart"), Some(&old), Some(&new), true);
    run.window(&Published { previous: Level::Critical, ..published(0, 100, 0) });
    run.window(&published(1, 100, 0));
    // Behind a gap longer than levels are remembered nothing is known.
    run.window(&published(2, 100, 1));
    run.window(&published(63, 100, 0));
    backtest = run.report();
    assert_eq!(levels(&backtest), [(0, 2), (0, 1), (1, 3), (0, 0)]);
}

#[test]
fn incomplete_windows_are_unknown_and_end_an_episode_and_keep_what_was_known() {
    let rule = file("owner: a\nhealth: 'errorCount > 0 ? 3 : requestCount == 0 ? 0 : previousHealth > 2 ? 1 : 0'\n");
    let mut run = Backtest::new(judging(), ("", "cart"), None, Some(&rule), true);
    run.window(&published(0, 100, 1));
    run.window(&Published { completeness: Completeness::NONE, ..published(1, 0, 0) });
    run.window(&published(2, 100, 0));
    let report = run.report();
    assert_eq!(levels(&report), [(3, 3), (9, 9), (0, 1)]);
    assert_eq!((report.old.minutes.unknown, report.old.episodes, report.new.episodes), (1.0, 1, 2));
}

#[test]
fn failures_are_counted_and_files_that_count_otherwise_are_named() {
    let failing = file("owner: a\nhealth: 'errorCount > 0 ? 3 : 10 / (requestCount - 100) > 1 ? 3 : 2'\nerrors: 'outcome'\n");
    let report = compared(&plain(), &failing, &[0, 1]);
    assert_eq!(report.new.failures, BTreeMap::from([("division_by_zero".to_owned(), 1)]));
    assert!(report.recount);
    assert_eq!(levels(&report), [(0, 0), (1, 3)]);
}

#[test]
fn the_old_side_is_held_against_what_the_same_file_published() {
    let rule = plain();
    let mut run = Backtest::new(judging(), ("", "cart"), Some(&rule), None, false);
    for (minute, level) in [(0, Level::Critical), (1, Level::Healthy)] {
        run.window(&Published { sha256: rule.sha256.clone(), level: Some(level), ..published(minute, 100, 3) });
    }
    run.window(&published(2, 100, 3));
    assert_eq!(run.report().published, Agreement { compared: 2, differing: 1 });
}

#[test]
fn lists_are_bounded_and_counts_are_not() {
    let errors: Vec<u32> = (0..6 * MAX_LISTED as u32).map(|n| n % 2).collect();
    let none = file("owner: a\nhealth: 'errorCount * 0'\n");
    let report = compared(&plain(), &none, &errors);
    assert_eq!((report.changes.len(), report.episodes.len()), (MAX_LISTED, MAX_LISTED));
    assert_eq!((report.changed, report.old.episodes), (3 * MAX_LISTED as u64, 3 * MAX_LISTED as u64));
    assert!(report.changes.iter().all(|change| change.windows == 1));
}
