//! Our evaluation against two others: the naive one on everything, evalexpr on arithmetic and comparison.

use super::generate::{Random, condition, number, text};
use super::naive::{self, Value};
use crate::diagnostic::Code;
use crate::language::{HealthRule, Number, Rule, RunError, TagRule, Text, parser};
use crate::scope::{Sample, Scope};
use evalexpr::{ContextWithMutableVariables, HashMapContext, eval_with_context};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// All that the generator names; the availability has no value without requests.
pub(super) fn sample(random: &mut Random) -> Sample {
    let requests = [0.0, 1.0, 2.0, 3.0, 6.0, 7.0, 59.0, 60.0, 99.0, 1000.0][random.below(10)];
    let errors = f64::min([0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 7.0, 60.0][random.below(8)], requests);
    let sample = Sample::default()
        .number(Number::RequestCount, requests)
        .number(Number::ErrorCount, errors)
        .number(Number::PreviousHealth, random.below(4) as f64)
        .text(Text::Region, random.pick(&["", "a", "B", "ab"]))
        .text(Text::SvcHost, random.pick(&["b", "A", "host"]))
        .tag("t", random.pick(&["", "b"]));
    if requests > 0.0 { sample.number(Number::Availability, 100.0 * (requests - errors) / requests) } else { sample }
}

/// The rule of a generated expression; those above a limit, or with a division by a constant zero, are left out.
fn rule<R: Rule>(source: &str) -> Option<R> {
    let compiled = R::compile(source);
    let left_out = |code| matches!(code, Code::Limit | Code::DivisionByZero);
    let wrong = compiled.diagnostics.iter().find(|d| d.is_error() && !left_out(d.code));
    assert!(wrong.is_none(), "{source}: {wrong:?}");
    compiled.rule
}

/// A generated number as a health rule: whether it is what the naive evaluator says.
fn same_number(source: &str, sample: &Sample) {
    let whole = format!("({source}) == ({source}) * 2 / 2 ? 1 : 2");
    for (text, results) in [(format!("({source}) > 5 ? 1 : 2"), [1.0, 2.0]), (whole, [1.0, 2.0])] {
        let Some(rule) = rule::<HealthRule>(&text) else { continue };
        let naive = naive::evaluate(&parser::parse(&text).unwrap(), sample);
        let own = rule.level(sample).ok().map(|level| Value::Number(f64::from(level)));
        assert_eq!(own, naive, "{text}");
        assert!(own.is_none_or(|v| results.map(Value::Number).contains(&v)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn numbers_are_what_a_naive_evaluator_says(seed: u64, depth in 0_usize..4) {
        let mut random = Random(seed);
        let source = number(&mut random, depth);
        same_number(&source, &sample(&mut random));
    }

    #[test]
    fn conditions_are_what_a_naive_evaluator_says(seed: u64, depth in 0_usize..5) {
        let mut random = Random(seed);
        let source = format!("{} ? 1 : 2", condition(&mut random, depth));
        let sample = sample(&mut random);
        if let Some(rule) = rule::<HealthRule>(&source) {
            let naive = naive::evaluate(&parser::parse(&source).unwrap(), &sample);
            prop_assert_eq!(rule.level(&sample).ok().map(|level| Value::Number(f64::from(level))), naive, "{}", source);
        }
    }

    #[test]
    fn texts_are_what_a_naive_evaluator_says(seed: u64, depth in 0_usize..5) {
        let mut random = Random(seed);
        // Numbers are not for tags: the conditions inside compare texts only.
        let source = text(&mut random, depth).replace("requestCount", "1").replace("errorCount", "2");
        let source = source.replace("availability", "3").replace("previousHealth", "0");
        let sample = sample(&mut random);
        if let Some(rule) = rule::<TagRule>(&source) {
            let naive = naive::evaluate(&parser::parse(&source).unwrap(), &sample);
            let mut room = String::new();
            prop_assert_eq!(rule.value(&sample, &mut room).ok().map(|text| Value::Text(text.to_owned())), naive, "{}", source);
        }
    }

    #[test]
    fn arithmetic_and_comparison_are_what_evalexpr_says(seed: u64, depth in 0_usize..4) {
        let mut random = Random(seed);
        let source = condition(&mut random, depth);
        let sample = sample(&mut random);
        let tree = parser::parse(&source);
        let other = tree.as_ref().ok().and_then(naive::to_evalexpr);
        if let (Some(rule), Some(other)) = (rule::<HealthRule>(&format!("({source}) ? 1 : 2")), other) {
            let mut context = HashMapContext::new();
            for name in Number::ALL {
                if let Some(value) = Scope::number(&sample, name) {
                    context.set_value(name.name().to_owned(), evalexpr::Value::Float(value)).unwrap();
                }
            }
            // evalexpr is not lazy and divides by zero: where ours fails, it has nothing to say.
            if let (Ok(level), Ok(result)) = (rule.level(&sample), eval_with_context(&other, &context)) {
                prop_assert_eq!(result, evalexpr::Value::Boolean(level == 1), "{}", other);
            }
        }
    }

    /// Every branch gives another level, so a level says which branch was taken; the same few numbers come again and again.
    #[test]
    fn a_branch_that_is_called_never_taken_is_never_taken(seed: u64, depth in 0_usize..3) {
        let mut random = Random(seed);
        let mut one = || condition(&mut random, depth);
        let source = format!("{} ? ({} ?  0 :  1) : ({} ?  2 :  3)", one(), one(), one());
        let compiled = HealthRule::compile(&source);
        let Some(rule) = compiled.rule else { return Ok(()) };
        // Two spaces stand before the levels and nowhere else.
        let never = compiled.diagnostics.iter().filter(|d| d.message == "this branch is never taken");
        let never: Vec<std::ops::Range<usize>> = never.map(|d| d.span.start..d.span.end).collect();
        let level_at = |level: u8| source.find(&format!("  {level}")).map(|at| at + 2);
        for _ in 0..if never.is_empty() { 0 } else { 100 } {
            if let Ok(level) = rule.level(&sample(&mut random)) {
                let taken = level_at(level).unwrap();
                prop_assert!(!never.iter().any(|branch| branch.contains(&taken)), "{}: {} {:?}", source, level, never);
            }
        }
    }

    #[test]
    fn a_rule_without_doubts_does_not_fail(seed: u64, depth in 0_usize..4) {
        let mut random = Random(seed);
        let guard = random.pick(&["requestCount > 0", "requestCount >= 60", "errorCount != 0", "not requestCount == 0"]);
        let source = format!("{guard} ? ({} ? 1 : 2) : ({} ? 1 : 2)", condition(&mut random, depth), condition(&mut random, depth));
        let compiled = HealthRule::compile(&source);
        let Some(rule) = compiled.rule else { return Ok(()) };
        let doubted = compiled.diagnostics.iter().any(|d| matches!(d.code, Code::MayBeMissing | Code::DivisionByZero));
        let result = rule.level(&sample(&mut random));
        prop_assert!(doubted || result.is_ok() || result == Err(RunError::NotFinite), "{}: {:?}", source, result);
    }
}
