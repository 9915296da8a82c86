mod explained;
mod generate;
mod hostile;
mod naive;
mod properties;

use super::*;
use crate::diagnostic::Code;
use crate::scope::Sample;

const HEALTH: &str = "requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3";
const SWIMLANE: &str = "svcHost in ['host1.example.com'] ? \"ec2\" : \"\"";

/// A rule without any finding.
fn clean<R: Rule>(source: &str) -> R {
    let compiled = R::compile(source);
    assert_eq!(compiled.diagnostics, [], "{source}");
    compiled.rule.unwrap()
}

/// All findings as `code: message (help) at text`.
fn said<R: Rule>(source: &str) -> Vec<String> {
    let show = |d: &Diagnostic| {
        let help = d.help.as_deref().map_or(String::new(), |help| format!(" ({help})"));
        format!("{} {}: {}{help} @ {}", d.severity.name(), d.code.name(), d.message, &source[d.span.start..d.span.end])
    };
    R::compile(source).diagnostics.iter().map(show).collect()
}

fn health(source: &str) -> Vec<String> {
    said::<HealthRule>(source)
}

/// The code of the only finding.
fn only(source: &str) -> Code {
    let compiled = HealthRule::compile(source);
    assert_eq!(compiled.diagnostics.len(), 1, "{source}: {:?}", compiled.diagnostics);
    compiled.diagnostics[0].code
}

fn level(source: &str, sample: &Sample) -> Result<u8, RunError> {
    let compiled = HealthRule::compile(source);
    compiled.rule.unwrap_or_else(|| panic!("{source}: {:?}", compiled.diagnostics)).level(sample)
}

fn window(requests: f64, errors: f64) -> Sample {
    let sample = Sample::default().number(Number::RequestCount, requests).number(Number::ErrorCount, errors);
    if requests > 0.0 { sample.number(Number::Availability, 100.0 * (requests - errors) / requests) } else { sample }
}

fn tag_value(source: &str, sample: &Sample) -> String {
    clean::<TagRule>(source).value(sample, &mut String::new()).unwrap().to_owned()
}

#[test]
fn the_published_expressions_work_verbatim() {
    let rule = clean::<HealthRule>(HEALTH);
    for (requests, errors, expected) in
        [(59.0, 59.0, 0), (60.0, 60.0, 3), (60.0, 0.0, 0), (1000.0, 10.0, 3), (1000.0, 9.0, 0), (0.0, 0.0, 0)]
    {
        assert_eq!(rule.level(&window(requests, errors)), Ok(expected), "{requests} {errors}");
    }
    assert_eq!(tag_value(SWIMLANE, &Sample::default().text(Text::SvcHost, "host1.example.com")), "ec2");
    assert_eq!(tag_value(SWIMLANE, &Sample::default().text(Text::SvcHost, "host2.example.com")), "");
}

#[test]
fn every_form_of_the_language_gives_what_it_says() {
    let sample = window(200.0, 10.0)
        .number(Number::LatencyP99, 1500.0)
        .number(Number::PreviousHealth, 3.0)
        .number(Number::Completeness, 1.0)
        .text(Text::SvcHost, "Host1.example.com")
        .text(Text::Region, "eu-1")
        .tag("canary", "Yes");
    for (condition, expected) in [
        ("1 + 2 * 3 == 7 and (1 + 2) * 3 == 9 and 7 - 2 - 1 == 4 and 8 / 4 / 2 == 1", true),
        ("-2 * -3 == 6 and --2 == 2 and 2 - -2 == 4", true),
        ("3 / 2 == 1.5", true),
        ("latencyP99 > 1s and latencyP99 < 2s and latencyP99 == 1500ms and latencyP99 <= 0.5m", true),
        ("availability == 95% and availability != 95.5%", true),
        ("1 < 2 || 1 / 0.5 > 3", true),
        ("not region == 'eu-1'", false),
        ("!(region == 'eu-1')", false),
        ("not not region == 'eu-1'", true),
        ("region in ['eu-1', 'eu-2'] && region not in ['us-1']", true),
        ("requestCount in [1, 200] and requestCount not in [-1]", true),
        ("startsWith(svcHost, 'Host') and endsWith(svcHost, '.com') and contains(svcHost, 'example')", true),
        ("startsWith(svcHost, 'host')", false),
        ("lower(svcHost) == 'host1.example.com' and contains(lower(svcHost), 'HOST') or contains(lower(svcHost), 'st1.ex')", true),
        ("lower(tag('canary')) in ['no', 'yes']", true),
        ("tag('absent') == ''", true),
        ("min(requestCount, 60) == 60 and max(1, 2, 3) == 3 and abs(-2.5) == 2.5", true),
        ("round(2.5) == 3 and round(-2.5) == -3 and round(2.4) == 2", true),
        ("previousHealth == 3 ? availability < 99.5 : availability < 99", true),
        ("(region == 'eu-1' ? 'a' : 'b') == 'a'", true),
        ("svcHost == region", false),
        ("'it\\'s' == \"it's\"", true),
        ("1e2 == 100 and 2.5e-1 == 0.25", true),
    ] {
        let rule = format!("({condition}) ? 1 : 2");
        assert_eq!(level(&rule, &sample), Ok(if expected { 1 } else { 2 }), "{condition}");
    }
}

#[test]
fn a_choice_binds_to_the_right_and_a_long_chain_is_not_deep() {
    let sample = window(5.0, 0.0);
    assert_eq!(level("requestCount > 9 ? 1 : requestCount > 4 ? 2 : 3", &sample), Ok(2));
    assert_eq!(level("requestCount > 4 ? requestCount > 9 ? 1 : 2 : 3", &sample), Ok(2));
    let chain: String = (10..60).map(|n| format!("requestCount == {n} ? 1 : ")).collect();
    assert_eq!(level(&format!("{chain}2"), &sample), Ok(2));
}

#[test]
fn only_what_decides_is_evaluated() {
    let empty = window(0.0, 0.0);
    for (rule, expected) in [
        ("requestCount > 0 ? (errorCount / requestCount > 0.5 ? 3 : 0) : 1", 1),
        ("requestCount > 0 && availability < 99 ? 3 : 1", 1),
        ("requestCount == 0 || availability > 99 ? 1 : 3", 1),
    ] {
        assert_eq!(level(rule, &empty), Ok(expected), "{rule}");
    }
}

#[test]
fn a_run_that_fails_says_why() {
    let empty = window(0.0, 0.0);
    for (rule, expected) in [
        ("availability > 99 ? 0 : 3", RunError::Missing(Number::Availability)),
        ("latencyP99 > 1s ? 3 : 0", RunError::Missing(Number::LatencyP99)),
        ("saturation > 90 ? 1 : 0", RunError::Missing(Number::Saturation)),
        ("availabilityLower(0.95) > 99 ? 0 : 3", RunError::Missing(Number::Availability)),
        ("errorCount / requestCount > 2 ? 3 : 0", RunError::DivisionByZero),
        ("requestCount + 1e15 * 1e15 * 1e300 > 2 ? 3 : 0", RunError::NotFinite),
        ("requestCount * 1 + 0.5", RunError::NotALevel(0.5)),
    ] {
        let source = rule.replace("1e15 * 1e15 * 1e300", &vec!["1e15"; 22].join(" * "));
        assert_eq!(level(&source, &empty), Err(expected), "{rule}");
    }
    assert_eq!(level("requestCount * 1", &window(4.0, 0.0)), Err(RunError::NotALevel(4.0)));
    let nan = Sample::default().number(Number::RequestCount, f64::NAN);
    assert_eq!(level("requestCount > 1 ? 1 : 0", &nan), Err(RunError::Missing(Number::RequestCount)));
}

#[test]
fn few_requests_prove_little() {
    let rule = "requestCount < 1 ? 0 : availabilityLower(0.95) > 90 ? 0 : 3";
    assert_eq!((level(rule, &window(10.0, 0.0)), level(rule, &window(1000.0, 0.0))), (Ok(3), Ok(0)));
    assert_eq!(level("requestCount > 0 && availabilityLower(95%) < 50 ? 3 : 0", &window(10.0, 9.0)), Ok(3));
    assert_eq!(only("requestCount > 0 and availabilityLower(1.5) > 90 ? 0 : 3"), Code::Range);
    assert_eq!(only("requestCount > 0 and availabilityLower(completeness) > 90 ? 0 : 3"), Code::Range);
}

#[test]
fn a_classifier_starts_from_the_usual_outcome() {
    let rule = clean::<OutcomeRule>("status == 429 ? \"ok\" : latency > 2s ? 'error' : outcome");
    let event = |status, latency: f64| {
        Sample::default().number(Number::Status, status).number(Number::Latency, latency).text(Text::Outcome, "ignored")
    };
    let outcomes = [rule.outcome(&event(429.0, 1.0)), rule.outcome(&event(200.0, 2001.0)), rule.outcome(&event(200.0, 1.0))];
    assert_eq!(outcomes, [Ok("ok"), Ok("error"), Ok("ignored")]);
    assert_eq!(rule.outcome(&Sample::default()), Err(RunError::Missing(Number::Status)));
    let given = clean::<OutcomeRule>("outcome");
    assert_eq!(given.outcome(&Sample::default()), Err(RunError::NotAnOutcome));
    assert_eq!(
        said::<OutcomeRule>("status in [400, 404] ? 'client_error' : 'eror'"),
        [
            "error range: \"client_error\" is no outcome; there are \"ok\", \"error\" and \"ignored\" (4xx is counted apart, by status class; \
             give \"ok\" or \"error\") @ 'client_error'",
            "error range: \"eror\" is no outcome; there are \"ok\", \"error\" and \"ignored\" (did you mean `error`?) @ 'eror'",
        ]
    );
    assert!(said::<OutcomeRule>("svcHost")[0].contains("can be any text"));
    assert!(said::<OutcomeRule>("outcome == 'eror' ? 'ok' : outcome")[0].contains("never taken"));
}

#[test]
fn a_tag_in_lower_case_needs_room_only_when_it_changes() {
    let rule = clean::<TagRule>("lower(svcHost)");
    let (plain, capital) = (Sample::default().text(Text::SvcHost, "host-é"), Sample::default().text(Text::SvcHost, "Host-É"));
    let mut room = String::new();
    assert_eq!(rule.value(&plain, &mut room), Ok("host-é"));
    assert_eq!(room.capacity(), 0);
    assert_eq!(rule.value(&capital, &mut room), Ok("host-É"));
}

#[test]
fn a_rule_names_what_it_may_read() {
    let rule = clean::<HealthRule>("requestCount < 60 ? 0 : tag('tier') == 'gold' and region != '' ? (availability > 99.9 ? 0 : 3) : 0");
    assert_eq!(rule.reads().numbers, BTreeSet::from([Number::RequestCount, Number::Availability]));
    assert_eq!(rule.reads().texts, BTreeSet::from([Text::Region]));
    assert_eq!(rule.reads().tags, BTreeSet::from(["tier".into()]));
}

#[test]
fn names_that_are_not_known_get_the_closest_one() {
    assert_eq!(
        health("requestCount < 60 ? 0 : availabilty > 99.0 ? 0 : 3"),
        ["error unknown-name: unknown name `availabilty` (did you mean `availability`?) @ availabilty"]
    );
    assert_eq!(health("svchost == 'a' ? 0 : 3"), ["error unknown-name: unknown name `svchost` (did you mean `svcHost`?) @ svchost"]);
    assert_eq!(
        health("svcHost == frontend ? 0 : 3"),
        ["error unknown-name: unknown name `frontend` (if it is a text, put it in quotes: 'frontend') @ frontend"]
    );
    assert_eq!(
        health("startswith(svcHost, 'a') ? 0 : 3"),
        ["error unknown-name: unknown function `startswith` (did you mean `startsWith`?) @ startswith(svcHost, 'a')"]
    );
    assert_eq!(health("lower == 'a' ? 0 : 3"), ["error unknown-name: unknown name `lower` (it is a function: `lower(text)`) @ lower"]);
    assert!(said::<TagRule>("requestCount > 1 ? 'a' : ''")[0].starts_with("error not-here: `requestCount` cannot be read in a tag"));
}

#[test]
fn a_ratio_beside_a_percentage_is_doubted() {
    assert_eq!(
        health("requestCount < 60 ? 0 : availability > 0.99 ? 0 : 3"),
        ["warning scale: availability is 0–100 (did you mean 99.0?) @ 0.99"]
    );
    assert_eq!(health("saturation > 0.57 ? 1 : 0"), ["warning scale: saturation is 0–100 (did you mean 57.0?) @ 0.57"]);
    assert_eq!(health("completeness < 95 ? 1 : 0"), ["warning scale: completeness is 0–1 (did you mean 0.95?) @ 95"]);
    assert_eq!(health("requestCount > 0 and availability > 0.5% ? 0 : 3"), [""; 0]);
}

#[test]
fn units_that_do_not_go_together_are_refused() {
    for source in [
        "requestCount > 0 and latencyP99 > availability ? 3 : 0",
        "requestCount > 0 and availability > 99ms ? 3 : 0",
        "requestCount > errorRate ? 3 : 0",
        "completeness > 99% ? 3 : 0",
        "requestCount + requestRate > 1 ? 3 : 0",
        "max(requestCount, requestRate) > 1 ? 3 : 0",
        "requestCount in [1s] ? 3 : 0",
    ] {
        assert_eq!(only(source), Code::Unit, "{source}");
    }
    assert_eq!(only("requestCount < 60 ? 0 : 3ms"), Code::Range);
    clean::<HealthRule>("requestCount > 60 * requestRate ? 3 : 0");
}

#[test]
fn what_can_never_be_taken_is_doubted() {
    for (source, never) in [
        ("requestCount < 60 ? 0 : requestCount < 30 ? 1 : 3", "1"),
        ("requestCount < 60 ? 0 : availability >= 99 ? 0 : availability > 99.5 ? 1 : 3", "1"),
        ("requestCount >= 0 ? 0 : 3", "3"),
        ("previousHealth > 3 ? 1 : 0", "1"),
        ("requestCount > 5 and requestCount < 3 ? 1 : 0", "requestCount < 3"),
        ("region in ['a', 'b'] ? 0 : region == 'a' ? 1 : 2", "1"),
        ("region == 'a' ? (region == 'b' ? 1 : 2) : 3", "1"),
        ("region == 'a' ? (region != 'b' ? 1 : 2) : 3", "2"),
        ("lower(region) == 'a' ? 0 : lower(region) == 'a' ? 1 : 2", "1"),
        ("requestCount in [1, 2] ? (requestCount > 2 ? 1 : 0) : 3", "1"),
        ("2 > 1 ? 0 : 3", "3"),
        ("lower(region) == 'EU' ? 1 : 2", "1"),
        ("'EU' != lower(region) ? 1 : 2", "2"),
    ] {
        let compiled = HealthRule::compile(source);
        let found: Vec<_> = compiled.diagnostics.iter().map(|d| (d.code, &source[d.span.start..d.span.end])).collect();
        assert_eq!(found, [(Code::NeverTaken, never)], "{source}");
        assert!(compiled.rule.is_some(), "{source}");
    }
}

#[test]
fn a_health_level_is_0_to_3() {
    for source in ["4", "-1", "0.5", "requestCount > 60 ? 3 : 5", "previousHealth + 4"] {
        assert_eq!(only(source), Code::Range, "{source}");
        assert!(HealthRule::compile(source).rule.is_none(), "{source}");
    }
    for source in ["completeness * 3", "previousHealth + 1"] {
        assert_eq!(only(source), Code::Range, "{source}");
        assert!(HealthRule::compile(source).rule.is_some(), "{source}");
    }
    for source in [
        "0",
        "previousHealth",
        "min(previousHealth + 1, 3)",
        "max(previousHealth - 1, 0)",
        "round(completeness * 1)",
        "abs(previousHealth - 5) < 3 ? 1 : 2",
        "requestCount < 1.5 ? (requestCount == 1 ? 1 : 0) : 2",
    ] {
        clean::<HealthRule>(source);
    }
    for source in ["'3'", "requestCount > 3", "requestCount > 3 ? 'a' : 'b'"] {
        assert!(health(source).iter().all(|said| said.starts_with("error type: a health rule gives 0, 1, 2 or 3, not a")), "{source}");
    }
}

#[test]
fn a_divisor_that_can_be_zero_is_doubted_until_it_is_guarded() {
    for source in ["errorCount / requestCount > 0.1 ? 3 : 0", "1 / (completeness - 1) > 0.1 ? 3 : 0", "1 / previousHealth > 1 ? 0 : 1"] {
        assert_eq!(only(source), Code::DivisionByZero, "{source}");
        assert!(HealthRule::compile(source).rule.is_some());
    }
    assert_eq!(only("requestCount / 0 > 1 ? 0 : 1"), Code::DivisionByZero);
    for source in [
        "requestCount > 0 ? (errorCount / requestCount > 0.1 ? 3 : 0) : 0",
        "requestCount > 0 && errorCount / requestCount > 0.1 ? 3 : 0",
        "requestCount == 0 || errorCount / requestCount > 0.1 ? 3 : 0",
        "not requestCount != 0 ? 1 : errorCount / requestCount > 0.1 ? 3 : 0",
        "errorCount / max(requestCount, 1) > 0.1 ? 3 : 0",
        "errorCount / (requestCount + 1) > 0.1 ? 3 : 0",
    ] {
        clean::<HealthRule>(source);
    }
}

#[test]
fn a_number_that_an_empty_window_lacks_is_doubted_until_it_is_guarded() {
    assert_eq!(
        health("availability > 99 ? 0 : availability > 95 ? 1 : 3"),
        ["warning may-be-missing: `availability` has no value in a window without requests; the rule fails there \
          (guard it: `requestCount < 60 ? 0 : …`) @ availability"]
    );
    // What is always true beside a condition does not make the whole certain.
    let found = HealthRule::compile("requestCount >= 0 and region == 'a' ? 0 : availability > 99 ? 0 : 3").diagnostics;
    assert_eq!(found.iter().map(|d| d.code).collect::<Vec<_>>(), [Code::NeverTaken, Code::MayBeMissing]);
    clean::<HealthRule>("errorCount > 3 and availability < 99 ? 3 : 0");
    clean::<HealthRule>("requestRate > 1 and latencyP99 > 1s ? 3 : 0");
}

#[test]
fn mixed_types_are_refused_with_the_cure() {
    for (source, expected) in [
        ("requestCount > '60' ? 0 : 3", "error type: number compared with text (write 60 without quotes) @ requestCount > '60'"),
        ("svcHost == 1 ? 0 : 3", "error type: text compared with number (write '1' in quotes) @ svcHost == 1"),
        ("requestCount in ['a'] ? 0 : 3", "error type: text compared with number @ 'a'"),
        ("svcHost in [1] ? 0 : 3", "error type: text compared with number (put it in quotes) @ 1"),
        ("region < 'b' ? 0 : 3", "error type: texts have no order; they are equal or not @ region < 'b'"),
        (
            "(1 < 2) == (2 < 3) ? 0 : 3",
            "error type: a condition cannot be compared (join conditions with and, or, not) @ (1 < 2) == (2 < 3)",
        ),
        ("requestCount > 1 ? 0 : 'x' + 1", "error type: a number is needed here, not a text @ 'x'"),
        ("lower(requestCount) == '' ? 0 : 1", "error type: a text is needed here, not a number @ requestCount"),
        ("lower(region, region) == '' ? 0 : 1", "error type: `lower` is not called like this (`lower(text)`) @ lower(region, region)"),
        ("(requestCount > 3 ? 1 : 'a') == 1 ? 0 : 1", "error type: one branch gives a number, the other a text @ 1 : 'a'"),
    ] {
        assert_eq!(health(source), [expected], "{source}");
    }
    assert!(health("requestCount ? 0 : 3")[0].contains("a condition is needed here, not a number (compare it: `… > 0`"));
    assert!(health("!region == 'a' ? 0 : 3")[0].contains("to negate a whole comparison write `not` or brackets"));
    assert_eq!(health("foo > 1 ? bar : 7").len(), 3, "all mistakes are found at once");
}

#[test]
fn what_cannot_be_read_is_refused_at_its_place() {
    for (source, expected) in [
        ("", "error syntax: nothing is written here @ "),
        ("requestCount = 3 ? 0 : 1", "error token: `=` has no meaning here (to compare, write `==`; nothing can be assigned) @ ="),
        ("1; 2", "error token: `;` has no meaning here (an expression is one value; `? :` chooses between values) @ ;"),
        ("region == ‘a’ ? 0 : 1", "error token: `‘` has no meaning here (texts stand in straight quotes, '…' or \"…\") @ ‘"),
        ("region == 'a ? 0 : 1", "error token: text without an end (close it with ') @ 'a ? 0 : 1"),
        ("region == 'a\\n' ? 0 : 1", "error token: a backslash stands only before a quote or a backslash @ \\"),
        ("latencyP99 > 5sec ? 0 : 1", "error token: `sec` is no unit (units are % us ms s m h, right behind the number) @ 5sec"),
        ("1 < 2 < 3 ? 0 : 1", "error syntax: two comparisons in a row (join them: `a < b and b < c`) @ <"),
        ("requestCount > 3 ? 0", "error syntax: `:` and the value otherwise is needed here, not the end @ "),
        ("requestCount >", "error syntax: a value is needed here, not the end @ "),
        ("(1", "error syntax: `)` is needed here, not the end @ "),
        ("0 0", "error syntax: an operator or the end is needed here, not 0 @ 0"),
        ("region in [] ? 0 : 1", "error syntax: a constant is needed here, not `]` @ ]"),
        (
            "region in [a] ? 0 : 1",
            "error syntax: a constant is needed here, not `a` (lists hold texts in quotes or numbers, no variables) @ a",
        ),
        ("['a'] == region ? 0 : 1", "error syntax: a list stands only behind `in` (write `svcHost in ['a', 'b']`) @ ["),
        ("1 == not 2 ? 0 : 1", "error syntax: a value is needed here, not `not` (put it in brackets: `(not …)`, or write `!`) @ not"),
    ] {
        assert_eq!(health(source), [expected], "{source}");
    }
    assert_eq!(only("requestCount > 9007199254740993 ? 0 : 1"), Code::Token);
}

#[test]
fn limits_hold_to_the_last_one() {
    let nested = |n: usize| format!("{}0{}", "(".repeat(n), ")".repeat(n));
    let sum = |n: usize| format!("requestCount{} > 1 ? 0 : 1", " + 1".repeat(n));
    let list = |n: usize| format!("requestCount in [{}0] ? 0 : 1", "0,".repeat(n));
    let padded = |n: usize| format!("0{}", " ".repeat(n - 1));
    let text = |n: usize| format!("region == '{}' ? 0 : 1", "a".repeat(n));
    let signs = |sign: &str, n: usize| format!("requestCount > {}1 ? 0 : 1", sign.repeat(n));
    let nots = |n: usize| format!("{}requestCount > 1 ? 0 : 1", "not ".repeat(n));
    for source in [nested(32), sum(125), list(250), padded(4096), text(256), signs("-", 8), nots(8)] {
        assert!(HealthRule::compile(&source).rule.is_some(), "{source}: {:?}", HealthRule::compile(&source).diagnostics);
    }
    for source in [nested(33), sum(126), list(254), padded(4097), text(257), signs("-", 9), nots(9)] {
        assert_eq!(only(&source), Code::Limit, "{source}");
    }
    for part in ["(", "!", "-", "not ", "+1", "max(", "1?", "1?1:", "[", "'", "a in [", "lower(", "\u{1F600}", "|", "a "] {
        let source = part.repeat(100_000);
        assert_eq!(only(&source), Code::Limit, "{part}");
        let short: String = source.chars().take(1000).collect();
        assert!(HealthRule::compile(&short).rule.is_none(), "{part}");
    }
}
