use super::*;
use crate::language::Number;
use crate::report::{Report, place};
use crate::scope::Sample;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

const FULL: &str = include_str!("../../samples/shop/cart.yaml");

fn read(source: &str) -> Override {
    let checked = check("shop/cart.yaml", source.as_bytes());
    let report = Report { file: "shop/cart.yaml", source, diagnostics: &checked.diagnostics };
    checked.result.unwrap_or_else(|| panic!("{}", report.to_text()))
}

/// What is found in a file with an owner and these lines: `line:column severity code: message`.
fn found(lines: &str) -> Vec<String> {
    let source = format!("owner: shop\n{lines}");
    let at = |d: &Diagnostic| place(&source, d.span.start);
    let show = |d: &Diagnostic| format!("{}:{} {} {}: {}", at(d).line, at(d).column, d.severity.name(), d.code.name(), d.message);
    check("shop/cart.yaml", source.as_bytes()).diagnostics.iter().map(show).collect()
}

fn code(lines: &str) -> Code {
    let source = format!("owner: shop\n{lines}");
    let checked = check("shop/cart.yaml", source.as_bytes());
    assert_eq!(checked.diagnostics.len(), 1, "{source}: {:?}", checked.diagnostics);
    checked.diagnostics[0].code
}

#[test]
fn a_full_file_is_read_as_it_was_meant() {
    let read = read(FULL);
    assert_eq!(
        (read.team.as_str(), read.service.as_str(), read.namespace.as_str(), read.owner.as_str()),
        ("shop", "cart", "eu", "team-shop@example.com")
    );
    let health = read.health.unwrap();
    assert!(FULL[health.span.start..].starts_with("requestCount < 60"));
    let window =
        Sample::default().number(Number::RequestCount, 100.0).number(Number::Availability, 98.0).number(Number::PreviousHealth, 0.0);
    assert_eq!(health.rule.level(&window), Ok(3));
    assert_eq!(read.tags.keys().collect::<Vec<_>>(), ["swimlane", "tier"]);
    assert!(read.errors.unwrap().text.starts_with("status == 429"));
    assert_eq!(read.groupings, BTreeMap::from([("service_region".to_owned(), vec!["region".to_owned(), "svc_host".to_owned()])]));
    let latency = LatencyObjective { threshold_ms: 250.0, share: 99.0 };
    assert_eq!(read.objectives, Objectives { availability: Some(99.9), latency: Some(latency), ..Objectives::default() });
    assert_eq!(read.capacity, BTreeMap::from([("max_requests_per_second".to_owned(), 500.0), ("threads".to_owned(), 200.0)]));
    assert_eq!((read.saturation, read.shadow), (vec!["cpu".to_owned(), "threads".to_owned()], false));
    assert_eq!(read.sha256, sha256(FULL.as_bytes()));
    assert_eq!(check("shop/cart.yaml", FULL.as_bytes()).examples, 5);
}

#[test]
fn an_owner_is_enough_and_is_needed() {
    assert_eq!(read("owner: shop\n").health, None);
    for source in ["", "health: '0'\n", "owner: ''\n", "owner: \"a\\u0007\"\n", "owner: [a]\n", "[owner]\n", "owner\n"] {
        assert!(check("shop/cart.yaml", source.as_bytes()).result.is_none(), "{source}");
    }
}

#[test]
fn a_complaint_about_an_expression_stands_at_its_letters_in_the_file() {
    assert_eq!(
        found("health: |\n  requestCount < 60 ? 0 :\n  availabilty > 99 ? 0 : 3\n"),
        ["4:3 error unknown-name: unknown name `availabilty`"]
    );
    assert_eq!(
        found("tags: {swimlane: \"svcHost in ['é'] ? \\\"a\\\" : 3\"}\n"),
        ["2:39 error type: one branch gives a text, the other a number", "2:46 error type: a tag is a text, not a number",]
    );
    assert_eq!(
        found("health: 'availability > 0.99 ? 0 : 3'\n"),
        [
            "2:10 warning may-be-missing: `availability` has no value in a window without requests; the rule fails there",
            "2:25 warning scale: availability is 0–100",
        ]
    );
    assert_eq!(found("health: ''\n"), ["2:9 error syntax: nothing is written here"]);
    assert_eq!(found("health: [1]\n"), ["2:9 error type: a text is needed here"]);
}

#[test]
fn every_mistake_of_a_file_is_found_at_once() {
    let lines = "helth: '0'\ntags: {a: b}\nobjectives: {availability: 0.999}\nshadow: yes\nsaturation: [cpus]\n";
    assert_eq!(
        found(lines),
        [
            "2:1 error unknown-name: unknown key `helth`",
            "3:11 error unknown-name: unknown name `b`",
            "4:28 error scale: an objective is 0–100",
            "5:9 error type: `true` or `false` is needed here",
            "6:14 error unknown-name: unknown resource `cpus`",
        ]
    );
}

#[test]
fn settings_out_of_range_are_refused() {
    for (lines, expected) in [
        ("objectives: {availability: 100}", Code::Range),
        ("objectives: {availability: 0}", Code::Range),
        ("objectives: {availability: -1}", Code::Range),
        ("objectives: {availability: 5ms}", Code::Unit),
        ("objectives: {availability: high}", Code::Type),
        ("objectives: {latency: {threshold: 250, share: 99}}", Code::Unit),
        ("objectives: {latency: {threshold: 300ms, share: 99}}", Code::Range),
        ("objectives: {latency: {threshold: 250ms}}", Code::Range),
        ("objectives: {latencies: 3}", Code::UnknownName),
        ("objectives: {period: 91d}", Code::Range),
        ("objectives: {period: year}", Code::Range),
        ("objectives: {min_requests: 0.5}", Code::Range),
        ("criticality: huge", Code::UnknownName),
        ("objectives: 99", Code::Type),
        ("capacity: {threads: 0}", Code::Range),
        ("capacity: {threads: 5s}", Code::Range),
        ("capacity: {thread: 5}", Code::UnknownName),
        ("saturation: [cpu, cpu]", Code::Duplicate),
        ("saturation: cpu", Code::Type),
        ("groupings: {service: [region]}", Code::Duplicate),
        ("groupings: {Region: [region]}", Code::Range),
        ("groupings: {by_host: [svcHost]}", Code::UnknownName),
        ("groupings: {by_host: [service]}", Code::Duplicate),
        ("groupings: {by_host: [a, a]}", Code::Duplicate),
        ("groupings: {by_host: []}", Code::Range),
        ("groupings: {g: [a, b, c, d, e]}", Code::Limit),
        ("groupings: {a: [x], b: [x], c: [x], d: [x], e: [x], f: [x], g: [x], h: [x], i: [x]}", Code::Limit),
        ("tags: {'a b': \"'x'\"}", Code::Range),
        ("tags: {__a: \"'x'\"}", Code::Range),
        ("namespace: \"\\u202e\"", Code::Range),
        ("shadow: 'true'", Code::Type),
        ("owner: again", Code::Duplicate),
    ] {
        assert_eq!(code(lines), expected, "{lines}");
    }
    let many: String = (0..17).map(|n| format!("t{n}: \"''\", ")).collect();
    assert_eq!(code(&format!("tags: {{{many}}}")), Code::Limit);
}

#[test]
fn examples_are_run_and_say_what_they_gave() {
    let rules = "health: 'requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3'\nerrors: 'status == 429 ? \"ok\" : outcome'\ntags: {lane: \"lower(svcHost) == 'a' ? lower(tag('Kind')) : ''\"}\nexamples:\n";
    let one = |example: &str| found(&format!("{rules}  - {example}\n"));
    for example in [
        "{given: {requestCount: 100, availability: 98}, expect: 3}",
        "{given: {requestCount: 100, errorCount: 1}, expect: 3}",
        "{given: {requestCount: 100, availability: 99.5%}, expect: 0}",
        "{given: {requestCount: 0}, expect: 0}",
        "{given: {status: 429}, expect: ok}",
        "{given: {status: 500, outcome: error}, expect: error}",
        "{given: {svcHost: A, tags: {Kind: X}}, expect: {lane: x}}",
        "{given: {svcHost: B}, expect: {lane: ''}}",
    ] {
        assert_eq!(one(example), [""; 0], "{example}");
    }
    for (example, expected) in [
        ("{given: {requestCount: 100, availability: 99.5}, expect: 3}", "6:62 error example: the example gives 0, not 3"),
        ("{given: {requestCount: 100}, expect: 3}", "6:42 error example: the example fails: availability has no value"),
        ("{given: {status: 429}, expect: error}", "6:36 error example: the example gives \"ok\", not \"error\""),
        ("{given: {svcHost: a, tags: {Kind: X}}, expect: {lane: X}}", "6:52 error example: the example gives \"x\", not \"X\""),
        ("{given: {}, expect: {line: X}}", "6:25 error example: there is no rule for the tag `line`"),
        ("{given: {}, expect: 4}", "6:25 error range: a health level is 0, 1, 2 or 3"),
        ("{given: {}, expect: 'on fire'}", "6:25 error range: `on fire` is neither a health level nor an outcome"),
        ("{given: {}}", "6:5 error range: an example has `given` and `expect`"),
        ("{given: {requestCuont: 3}, expect: 0}", "6:14 error unknown-name: unknown key `requestCuont`"),
        ("{given: {availability: 101}, expect: 0}", "6:28 error range: `availability` is from 0 to 100"),
        ("{given: {requestCount: 1.5}, expect: 0}", "6:28 error range: `requestCount` is a whole number not below 0"),
        ("{given: {latencyP99: 5%}, expect: 0}", "6:26 error unit: `latencyP99` is not a percentage, 0–100"),
    ] {
        assert_eq!(one(example).first().map(String::as_str), Some(expected), "{example}");
    }
    assert_eq!(found("examples: [{given: {}, expect: 0}]\n"), ["2:32 error example: there is no `health` rule to give a level"]);
    assert_eq!(code(&format!("examples: [{}]", "{given: {}, expect: 0}, ".repeat(65))), Code::Limit);
}

#[test]
fn a_file_too_large_misplaced_or_not_text_is_refused() {
    let one = |path: &str, content: &[u8]| check(path, content).diagnostics[0].code;
    assert_eq!(one("shop/cart.yaml", &vec![b'#'; MAX_FILE + 1]), Code::Limit);
    assert_eq!(one("cart.yaml", b"owner: a\n"), Code::Path);
    assert_eq!(one("shop/cart.yaml", b"owner: \xff\n"), Code::Yaml);
    assert!(check("shop/cart.yaml", &vec![b'\n'; MAX_FILE]).result.is_none());
}

#[test]
fn the_published_schema_knows_the_keys_of_a_file_and_no_others() {
    let schema: serde_json::Value = serde_json::from_str(crate::SCHEMA).unwrap();
    let keys = |pointer: &str| {
        let part = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer}"));
        assert_eq!(part["additionalProperties"], false, "{pointer}");
        let mut keys: Vec<String> = part["properties"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(""), sorted(&KEYS));
    assert_eq!(schema["required"], serde_json::json!(["owner"]));
    assert_eq!(keys("/properties/objectives"), sorted(&settings::OBJECTIVE_KEYS));
    assert_eq!(keys("/properties/objectives/properties/latency"), sorted(&settings::LATENCY_KEYS));
    assert_eq!(keys("/properties/capacity"), sorted(&settings::CAPACITIES));
    assert_eq!(schema.pointer("/properties/saturation/items/enum").unwrap(), &serde_json::json!(RESOURCES));
    assert_eq!(keys("/properties/examples/items"), sorted(&example::EXAMPLE_KEYS));
    let given: Vec<&str> =
        Number::ALL.into_iter().map(Number::name).chain(crate::language::Text::ALL.map(|t| t.name())).chain(["tags"]).collect();
    assert_eq!(keys("/properties/examples/items/properties/given"), sorted(&given));
    for (pointer, limit) in [
        ("/properties/tags/maxProperties", MAX_TAGS),
        ("/properties/groupings/maxProperties", 8),
        ("/properties/groupings/additionalProperties/maxItems", 4),
        ("/properties/examples/maxItems", 64),
        ("/$defs/expression/maxLength", crate::language::MAX_SOURCE),
    ] {
        assert_eq!(schema.pointer(pointer), Some(&limit.into()), "{pointer}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    /// Lines of a good file, shuffled, cut and with something foreign put in.
    #[test]
    fn no_file_crashes_the_check(
        lines in proptest::collection::vec(prop::sample::select(FULL.lines().collect::<Vec<_>>()), 0..30),
        at: prop::sample::Index, cut in 0_usize..4,
        foreign in prop::sample::select(vec!["", "\0", "'", "\"", "*a", "&a ", "{", "]", ": ", "\n", "\t", "é", "\u{202e}", "999e999", "||", "- ", "|", "%"]),
    ) {
        let mut source = lines.join("\n");
        let place = source.floor_char_boundary(at.index(source.len() + 1));
        source.insert_str(place, foreign);
        source.truncate(source.floor_char_boundary(source.len() - source.len() * cut / 8));
        let checked = check("shop/cart.yaml", source.as_bytes());
        prop_assert_eq!(checked.result.is_none(), checked.diagnostics.iter().any(Diagnostic::is_error));
        for found in &checked.diagnostics {
            prop_assert!(source.get(found.span.start..found.span.end).is_some(), "{:?}", found);
        }
        let report = Report { file: "shop/cart.yaml", source: &source, diagnostics: &checked.diagnostics };
        prop_assert_eq!(report.to_github().lines().count(), checked.diagnostics.len());
        let unsafe_to_show = report.to_text().contains(['\0', '\u{202e}']);
        prop_assert!(!unsafe_to_show);
    }
}

#[test]
fn periods_are_days_or_the_calendars() {
    for (text, period) in [("30d", Period::Days(30)), ("90d", Period::Days(90)), ("month", Period::Month), ("quarter", Period::Quarter)] {
        let read =
            read(&format!("owner: shop\ncriticality: high\nobjectives: {{availability: 99.9%, period: {text}, min_requests: 100}}\n"));
        assert_eq!((read.objectives.period, read.objectives.min_requests, read.criticality.as_str()), (period, 100, "high"));
        assert_eq!(period.to_string(), text);
    }
    assert_eq!(read("owner: shop\n").objectives.period, Period::Days(30));
}
