//! Explanations: what they tell, and that their results are those of the evaluator.

use super::generate::{Random, condition, number, text};
use super::properties::sample;
use crate::language::explain::{Explanation, Value, explain};
use crate::language::{HealthRule, Number, Rule, RunError, TagRule, Text};
use crate::scope::Sample;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn told(source: &str, scope: &Sample) -> Explanation {
    explain::<HealthRule>(source, scope).unwrap()
}

#[test]
fn branches_comparisons_and_distances_are_told_with_their_places() {
    let source = "requestCount < 60 ? 0 : 99.0 < availability ? 0 : 3";
    let scope = Sample::default().number(Number::RequestCount, 1000.0).number(Number::Availability, 98.5);
    let told = told(source, &scope);
    assert_eq!(told.result, Some(Value::Number(3.0)));
    let branches: Vec<(&str, bool, &str)> = told.branches.iter().map(|b| (&*b.condition.text, b.holds, &*b.taken.text)).collect();
    assert_eq!(branches, [("requestCount < 60", false, "99.0 < availability ? 0 : 3"), ("99.0 < availability", false, "3")]);
    let last = &told.branches[1].taken;
    assert_eq!(&source[last.start..last.end], "3");
    let distances: Vec<Option<f64>> = told.comparisons.iter().map(|c| c.distance).collect();
    assert_eq!(distances, [Some(940.0), Some(-0.5)]);
    let variables: Vec<(&str, Option<Value>)> = told.variables.iter().map(|v| (&*v.name, v.value.clone())).collect();
    assert_eq!(variables, [("requestCount", Some(Value::Number(1000.0))), ("availability", Some(Value::Number(98.5)))]);
}

#[test]
fn what_was_not_reached_is_no_step_but_its_variables_are_shown_even_without_a_value() {
    let lazy = told("requestCount < 60 ? 0 : latencyP99 > 2s ? 2 : 0", &Sample::default().number(Number::RequestCount, 1.0));
    assert_eq!((lazy.branches.len(), lazy.comparisons.len()), (1, 1));
    assert_eq!((lazy.variables[1].name.as_str(), &lazy.variables[1].value), ("latencyP99", &None));
    let failed = told("latencyP99 > 2s ? 2 : 0", &Sample::default());
    assert_eq!((failed.result, failed.failure.as_deref()), (None, Some("latencyP99 has no value")));
}

#[test]
fn lists_and_functions_are_steps_too() {
    let scope = Sample::default().text(Text::SvcHost, "Host1").tag("k", "v");
    let source = "lower(svcHost) in ['host1', 'host2'] and startsWith(tag('k'), 'v') ? 1 : 0";
    let told = told(source, &scope);
    let steps: Vec<(Value, &str, Value)> = told.comparisons.iter().map(|c| (c.left.clone(), c.sign.as_str(), c.right.clone())).collect();
    let text = |text: &str| Value::Text(text.to_owned());
    assert_eq!(steps, [(text("host1"), "in", text("['host1', 'host2']")), (text("v"), "startsWith", text("v"))]);
    assert_eq!(told.variables.iter().map(|v| v.name.as_str()).collect::<Vec<_>>(), ["svcHost", "tag(\"k\")"]);
}

#[test]
fn what_the_checks_refuse_is_not_explained() {
    assert_eq!(explain::<HealthRule>("availabilty > 1 ? 0 : 3", &Sample::default()), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_explained_level_is_that_of_the_evaluator(seed: u64, depth in 0_usize..4) {
        let mut random = Random(seed);
        let bound = random.pick(&["availabilityLower(0.95) > 98", "availabilityLower(99%) < 99.5", "1 < 2"]);
        let source = format!("({}) ? {} : {bound} ? {} : 3", condition(&mut random, depth), random.below(4), number(&mut random, depth));
        let sample = sample(&mut random);
        if let Some(rule) = HealthRule::compile(&source).rule {
            let told = told(&source, &sample);
            let (result, failure) = match rule.level(&sample) {
                Ok(level) => (Some(Value::Number(f64::from(level))), None),
                Err(RunError::NotALevel(value)) => (Some(Value::Number(value)), None),
                Err(error) => (None, Some(error.to_string())),
            };
            prop_assert_eq!((told.result, told.failure), (result, failure), "{}", source);
        }
    }

    #[test]
    fn an_explained_text_is_that_of_the_evaluator(seed: u64, depth in 0_usize..5) {
        let mut random = Random(seed);
        let source = text(&mut random, depth).replace("requestCount", "1").replace("errorCount", "2");
        let source = source.replace("availability", "3").replace("previousHealth", "0");
        let sample = sample(&mut random);
        if let Some(rule) = TagRule::compile(&source).rule {
            let told = explain::<TagRule>(&source, &sample).unwrap();
            let (mut room, mut own) = (String::new(), None);
            let failure = match rule.value(&sample, &mut room) {
                Ok(value) => { own = Some(Value::Text(value.to_owned())); None }
                Err(error) => Some(error.to_string()),
            };
            prop_assert_eq!((told.result, told.failure), (own, failure), "{}", source);
        }
    }
}
