//! Whatever is written: no crash, and no expression that takes long to refuse, to check or to run.

use super::generate::{Random, hostile};
use crate::language::{HealthRule, OutcomeRule, Rule, RunError, TagRule};
use crate::scope::Sample;

/// How many a change is tested with: about a second. The long run below has a million.
const PER_CHANGE: u64 = 100_000;

/// Reads, checks and runs each; gives how many were accepted.
fn survive(many: u64) -> u64 {
    let (empty, mut accepted, mut room) = (Sample::default(), 0, String::new());
    for seed in 0..many {
        let mut random = Random(seed);
        let source = hostile(&mut random);
        let health = HealthRule::compile(&source);
        for diagnostic in &health.diagnostics {
            assert!(
                source.get(diagnostic.span.start..diagnostic.span.end).is_some(),
                "seed {seed}: {diagnostic:?} lies outside of {source:?}"
            );
        }
        assert_eq!(health.rule.is_none(), health.diagnostics.iter().any(|d| d.is_error()), "seed {seed}: {source:?}");
        if let Some(rule) = health.rule {
            accepted += 1;
            let result = rule.level(&empty);
            assert!(result.is_ok_and(|level| level <= 3) || result.is_err_and(|e| e != RunError::NotAnOutcome), "seed {seed}: {source:?}");
        }
        if let Some(rule) = TagRule::compile(&source).rule {
            assert!(rule.value(&empty, &mut room).is_ok_and(|text| text.len() <= 256), "seed {seed}: {source:?}");
        }
        if let Some(rule) = OutcomeRule::compile(&source).rule {
            let _ = rule.outcome(&empty);
        }
    }
    accepted
}

#[test]
fn hostile_expressions_crash_nothing() {
    assert!(survive(PER_CHANGE) > PER_CHANGE / 20, "too few pass for the run to be tested");
}

#[test]
#[ignore = "a million takes ten seconds or more; run it when the language changes"]
fn a_million_hostile_expressions_crash_nothing() {
    assert!(survive(1_000_000) > 50_000);
}
