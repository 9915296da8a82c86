//! The seeds that are run with every change: some fresh ones, and all that ever failed. In builds with `--cfg planted`: each planted mistake at a
//! seed that finds it.

#![allow(clippy::panic, reason = "a test stops at what it does not expect")]

#[cfg(not(planted))]
mod plain {
    use golden_simulation::{FOUND, FOUND_WITH_FLIPS, Report, run, run_flips};
    use std::collections::BTreeMap;

    fn hold(seeds: impl Iterator<Item = u64>) -> BTreeMap<&'static str, u64> {
        hold_as("--seeds 1", seeds, |seed| run(seed, None))
    }

    fn hold_as(kind: &str, seeds: impl Iterator<Item = u64>, run: impl Fn(u64) -> Report) -> BTreeMap<&'static str, u64> {
        let (mut injected, mut compared, mut count) = (BTreeMap::new(), 0, 0);
        for seed in seeds {
            let report = run(seed);
            count += 1;
            assert!(
                report.violations.is_empty(),
                "again: golden-simulate --from {seed} {kind} --verbose\n{}\n{}",
                report.plan,
                report.violations.join("\n")
            );
            assert!(report.injected.get("flip").is_some_and(|flips| *flips > 0), "seed {seed} ({kind}) has no flip\n{}", report.plan);
            compared += report.compared;
            report.injected.into_iter().for_each(|(name, count)| *injected.entry(name).or_default() += count);
        }
        assert!(compared > 100 * count, "{count} seeds compared {compared} results");
        injected
    }

    /// 600 seeds with every change, each with a flip or more, here in two halves that run side by side.
    #[test]
    fn i1_to_i22_hold_in_the_first_half_of_the_seeds() {
        hold(1..=300);
    }

    #[test]
    fn i1_to_i22_hold_in_the_second_half_of_the_seeds() {
        hold(301..=600);
    }

    /// Longer runs, with processes that fall far behind.
    #[test]
    fn i1_to_i22_hold_in_long_runs() {
        hold(61_000..61_050);
    }

    /// Somebody orders something every few seconds: a dozen flips in each, one after the other.
    #[test]
    fn i1_to_i22_hold_in_runs_of_many_flips() {
        let injected = hold_as("--flips 1", 1..=25, run_flips);
        assert!(injected["flip"] > 200, "{injected:?}");
    }

    #[test]
    fn what_was_found_once_is_not_there_any_more() {
        hold(FOUND.iter().copied());
        hold_as("--flips 1", FOUND_WITH_FLIPS.iter().copied(), run_flips);
    }

    #[test]
    fn every_kind_of_trouble_takes_place() {
        let injected = hold(3000..3100);
        for name in [
            "slow request",
            "refused",
            "end lost",
            "end late",
            "end unanswered",
            "late marker",
            "unnoticed generation",
            "stale claim",
            "group begun anew",
            "no leader",
            "open transaction from outside",
            "flip, planned",
            "flip, failure",
            "flip, with receipt",
            "order: abandon",
            "order: seal",
            "order: deployment",
            "outage of a colour",
            "window of both colours",
        ] {
            assert!(injected.contains_key(name), "{name} never took place: {injected:?}");
        }
    }

    #[test]
    fn a_seed_is_one_run() {
        let twice = [run(7, None), run(7, None)].map(|report| format!("{report:?}"));
        assert_eq!(twice[0], twice[1]);
    }
}

#[cfg(planted)]
mod planted {
    use golden_simulation::run;
    use platform_core::planted::Bug;

    /// For each mistake a seed that finds it; docs/simulation.md says how it was found.
    const PINNED: [(Bug, u64); 29] = [
        (Bug::NoSeekAfterAbort, 1),
        (Bug::ClaimRefreshed, 8),
        (Bug::PositionsApart, 1),
        (Bug::PositionOfLastRecord, 1),
        (Bug::UnchangedPositionsLeftOut, 37),
        (Bug::WriterKeptAfterDoubt, 7),
        (Bug::ControlReadFirst, 11),
        (Bug::EndIsStableOffset, 4),
        (Bug::EpochIgnored, 2),
        (Bug::StoreBeforeCommit, 11),
        (Bug::ReplayFromPosition, 1),
        (Bug::CursorForgotten, 2),
        (Bug::ClockInClose, 1),
        (Bug::EmitAtBatchEnd, 1),
        (Bug::FloatSum, 1),
        (Bug::NoClampAbove, 1),
        (Bug::NoClampBelow, 3),
        (Bug::IdleTimeAfterEnd, 6),
        (Bug::AbsenceByGaps, 3),
        (Bug::PurgePastAbsent, 34),
        (Bug::LateByClose, 1),
        (Bug::DeadLettersApart, 1),
        (Bug::CountsWhenRead, 1),
        (Bug::ControlToItsEnd, 16),
        (Bug::ControlNotAwaited, 14),
        (Bug::EpochIgnoredByRouter, 18),
        (Bug::StandbyNotHeld, 4),
        (Bug::NoGrowthRule, 2),
        (Bug::AbandonedForwarded, 2),
    ];

    #[test]
    fn every_planted_mistake_is_found_and_nothing_where_none_is() {
        std::panic::set_hook(Box::new(|_| {}));
        for (bug, seed) in PINNED {
            assert!(run(seed, None).violations.is_empty(), "seed {seed} fails without a planted mistake");
            assert!(!run(seed, Some(bug)).violations.is_empty(), "{bug:?} is not found at seed {seed}");
        }
        assert!(Bug::ALL.iter().all(|bug| PINNED.iter().any(|(pinned, _)| pinned == bug)));
    }
}
