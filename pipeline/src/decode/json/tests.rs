use super::*;
use crate::decode::collected::{Collected, OwnedEvent};
use crate::event::StatusClass;
use crate::source::Format;
use platform_core::record::put_headers;
use proptest::prelude::*;

const LINE: &str = r#"{"timestamp":"2024-12-08T23:09:02.987Z","service":"cart","namespace":"shop","operation":"GET /cart","status":503,"latency_ms":2.5,"host":"h1","tags":{"region":"eu","build":7,"canary":true,"k8s":{"pod":"p1"},"trace_id":"0087f677c0a2cf3f80a551987167911b","span_id":"ee744a66e6efcb2e"}}"#;

fn wanted(tags: &[&str]) -> Wanted {
    Wanted { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), traces: true }
}

fn mapping(yaml: &str) -> Source {
    Source::from_yaml("s.yaml", &format!("source: s\nformat: json\n{yaml}")).unwrap()
}

fn decode_with(source: &Source, tags: &[&str], value: &[u8]) -> Collected {
    let mut collected = Collected::default();
    Json::new(source, &wanted(tags)).decode(&Input::new(value), &mut collected);
    collected
}

fn decode(value: &str) -> Collected {
    decode_with(&Source::for_format(Format::Json), &[], value.as_bytes())
}

fn event(value: &str) -> OwnedEvent {
    let mut collected = decode(value);
    assert_eq!((collected.dead.len(), collected.skipped.len(), collected.events.len()), (0, 0, 1), "{value}: {collected:?}");
    collected.events.remove(0).1
}

/// An object with these members beside a time and a service.
fn with(members: &str) -> String {
    format!(r#"{{"timestamp":1700000000,"service":"a"{}{members}}}"#, if members.is_empty() { "" } else { "," })
}

fn reasons(collected: &Collected) -> Vec<Reason> {
    collected.dead.iter().map(|(_, reason, _)| *reason).collect()
}

#[test]
fn every_field_of_the_canonical_names_is_read() {
    let source = mapping("defaults: {env: prod, zone: z1}\n");
    let collected = decode_with(&source, &["region", "build", "canary", "k8s.pod", "env", "version"], LINE.as_bytes());
    let (at, event) = &collected.events[0];
    assert_eq!(*at, 0);
    assert_eq!(
        *event,
        OwnedEvent {
            time: 1_733_699_342_987_000_000,
            duration: Some(2_500_000),
            service: "cart".into(),
            namespace: "shop".into(),
            operation: "GET /cart".into(),
            outcome: Outcome::Error,
            error_type: "503".into(),
            class: StatusClass::ServerError,
            host: "h1".into(),
            tags: ["eu", "7", "true", "p1", "prod", ""].map(str::to_owned).to_vec(),
            weight: 1,
            trace: Some(Trace { trace_id: 0x0087_f677_c0a2_cf3f_80a5_5198_7167_911b, span_id: 0xee74_4a66_e6ef_cb2e, sampled: true }),
            dedup: None,
        }
    );
}

#[test]
fn dots_in_a_path_are_nesting_or_part_of_a_key() {
    for tags in [r#""tags":{"k8s":{"pod":"p1"}}"#, r#""tags":{"k8s.pod":"p1"}"#, r#""tags.k8s.pod":"p1""#] {
        let collected = decode_with(&mapping(""), &["k8s.pod"], with(tags).as_bytes());
        assert_eq!(collected.events[0].1.tags, ["p1"], "{tags}");
    }
}

#[test]
fn absent_fields_have_their_defaults() {
    let event = event(&with(""));
    assert_eq!((event.operation.as_str(), event.namespace.as_str(), event.duration, event.outcome), ("unknown", "", None, Outcome::Ok));
    let source = mapping("defaults: {service: fallback, namespace: n, operation: o, host: h}\n");
    let nothing = r#"{"timestamp":1700000000,"service":null,"operation":"","host":[]}"#;
    let event = &decode_with(&source, &[], nothing.as_bytes()).events[0].1;
    assert_eq!([&event.service, &event.namespace, &event.operation, &event.host], ["fallback", "n", "o", "h"]);
}

#[test]
fn places_are_tried_in_order_and_headers_and_keys_count() {
    let source = mapping("fields: {service: [a, b.c, 'header:svc'], host: key}\n");
    let mut headers = Vec::new();
    put_headers(&mut headers, &[("svc", b"from-header")]);
    let service = |object: &str| {
        let mut collected = Collected::default();
        let input = Input { headers: Headers::from_encoded(&headers), key: Some(b"from-key"), ..Input::new(object.as_bytes()) };
        Json::new(&source, &wanted(&[])).decode(&input, &mut collected);
        assert_eq!(collected.events[0].1.host, "from-key");
        collected.events[0].1.service.clone()
    };
    assert_eq!(service(r#"{"timestamp":1,"b":{"c":"two"},"a":"one"}"#), "one");
    assert_eq!(service(r#"{"timestamp":1,"b":{"c":"two"},"a":null}"#), "two");
    assert_eq!(service(r#"{"timestamp":1}"#), "from-header");
}

#[test]
fn text_is_unescaped_where_it_is_wanted() {
    let event = event(
        &with(r#""operation":"caf\u00e9 \"\ud83d\ude00\"","host":"a\\b""#).replace("\"service\":\"a\"", "\"service\":\"\\u0061\\/\""),
    );
    assert_eq!([event.service.as_str(), event.operation.as_str(), event.host.as_str()], ["a/", "café \"😀\"", "a\\b"]);
}

#[test]
fn one_object_arrays_and_lines_give_the_same_events() {
    let (a, b) = (with(r#""host":"1""#), with(r#""host":"2""#));
    let hosts = |value: String, expected: [usize; 2]| {
        let collected = decode(&value);
        assert_eq!(
            collected.events.iter().map(|(at, event)| (*at as usize, event.host.as_str())).collect::<Vec<_>>(),
            [(expected[0], "1"), (expected[1], "2")]
        );
        assert!(collected.dead.is_empty(), "{value}");
    };
    let next = a.len();
    hosts(format!("{a}\n{b}"), [0, next + 1]);
    hosts(format!("{a}\r\n{b}\r\n"), [0, next + 2]);
    hosts(format!("\n  {a} \n\n \t\n{b}\n\n"), [3, next + 9]);
    hosts(format!("[{a},{b}]"), [1, next + 2]);
    hosts(format!(" [ {a} ,\n{b} ]\n"), [3, next + 6]);
    hosts(format!("{}\n{b}", a.replace(',', ",\n  ")), [0, a.replace(',', ",\n  ").len() + 1]);
    assert_eq!(decode("[]"), Collected::default());
}

#[test]
fn a_broken_line_does_not_touch_its_neighbours() {
    let good = with("");
    for bad in
        ["{", "{\"a\":1", "{\"a\":\"x", "{\"a\":[", "garbage", "}", "{\"a\":1} x", "{\"a\":1,\"a\":2}", "{\"a\":01}", "\u{feff}{}", "NaN"]
    {
        let text = format!("{good}\n{bad}\n{good}\n");
        let collected = decode(&text);
        assert_eq!((collected.events.len(), reasons(&collected)), (2, vec![Reason::DecodeJson]), "{bad}");
        assert_eq!(collected.dead[0].0 as usize, good.len() + 1);
        assert_eq!(collected.dead[0].2, bad.as_bytes());
    }
    let nested = format!("{{\"a\":{}{}}}", "[".repeat(32), "]".repeat(32));
    let collected = decode(&format!("{nested}\n{good}"));
    assert_eq!((collected.events.len(), reasons(&collected)), (1, vec![Reason::DepthExceeded]));
}

#[test]
fn bytes_that_are_not_utf8_condemn_their_line_alone() {
    let good = with("");
    let mut bytes = format!("{good}\n").into_bytes();
    bytes.extend_from_slice(b"{\"service\":\"\xff\"}\r\n");
    bytes.extend_from_slice(good.as_bytes());
    let collected = decode_with(&mapping(""), &[], &bytes);
    assert_eq!(collected.events.iter().map(|(at, _)| *at as usize).collect::<Vec<_>>(), [0, good.len() + 18]);
    assert_eq!(
        collected.dead.iter().map(|(at, reason, _)| (*at as usize, *reason)).collect::<Vec<_>>(),
        [(good.len() + 1, Reason::DecodeUtf8)]
    );
    assert_eq!(reasons(&decode_with(&mapping(""), &[], b"[{\"a\":\"\xff\"}]")), [Reason::DecodeUtf8]);
}

#[test]
fn a_broken_array_is_one_dead_letter_and_a_bad_element_is_one_too() {
    let good = with("");
    for broken in [format!("[{good},"), format!("[{good}] x"), format!("[{good},{{\"a\":1,\"a\":2}}]"), format!("[{good} {good}]")] {
        let collected = decode(&broken);
        assert_eq!((collected.events.len(), reasons(&collected)), (0, vec![Reason::DecodeJson]), "{broken}");
        assert_eq!(collected.dead[0].2, broken.as_bytes());
    }
    let collected = decode(&format!("[{good},5,{{\"service\":\"a\"}},{good},[{good}]]"));
    assert_eq!(collected.events.len(), 2);
    assert_eq!(reasons(&collected), [Reason::SchemaMismatch, Reason::TimeMissing, Reason::SchemaMismatch]);
    assert_eq!(collected.dead[1].2, b"{\"service\":\"a\"}");
}

#[test]
fn each_bad_value_has_its_reason() {
    let no_time = r#"{"service":"a"}"#.to_owned();
    let cases: &[(String, Reason)] = &[
        (String::new(), Reason::EmptyValue),
        (" \n ".into(), Reason::DecodeJson),
        ("5".into(), Reason::SchemaMismatch),
        ("null".into(), Reason::SchemaMismatch),
        ("\"text\"".into(), Reason::SchemaMismatch),
        (with(r#""a":NaN"#), Reason::DecodeJson),
        (with(r#""a":-Infinity"#), Reason::DecodeJson),
        (with("\"a\":\"\u{1}\""), Reason::DecodeJson),
        (with("\"a\":\"\u{0}\""), Reason::DecodeJson),
        (with(r#""a":"\ud800""#), Reason::DecodeJson),
        (no_time.clone(), Reason::TimeMissing),
        (r#"{"timestamp":null,"service":"a"}"#.into(), Reason::TimeMissing),
        (r#"{"timestamp":"","service":"a"}"#.into(), Reason::TimeMissing),
        (r#"{"timestamp":0,"service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":-5,"service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":9223372036854775808,"service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":1e400,"service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":"soon","service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":true,"service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":{"$date":1},"service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":"2024-01-01T00:00:00","service":"a"}"#.into(), Reason::TimeInvalid),
        (r#"{"timestamp":1700000000}"#.into(), Reason::ServiceMissing),
        (r#"{"timestamp":1700000000,"service":""}"#.into(), Reason::ServiceMissing),
        (r#"{"timestamp":1700000000,"service":5}"#.into(), Reason::SchemaMismatch),
        (r#"{"timestamp":1700000000,"service":{"name":"a"}}"#.into(), Reason::MappingFailed),
        (with(r#""operation":true"#), Reason::SchemaMismatch),
        (with(r#""host":["h"]"#), Reason::MappingFailed),
        (with(r#""latency_ms":-1"#), Reason::LatencyInvalid),
        (with(r#""latency_ms":1e308"#), Reason::LatencyInvalid),
        (with(r#""latency_ms":"NaN""#), Reason::LatencyInvalid),
        (with(r#""latency_ms":"inf""#), Reason::LatencyInvalid),
        (with(r#""latency_ms":"fast""#), Reason::LatencyInvalid),
        (with(r#""latency_ms":{"p50":1}"#), Reason::LatencyInvalid),
        (with(r#""latency_ms":[1,2]"#), Reason::LatencyInvalid),
        (with(r#""duration_ns":18446744073709551616"#), Reason::LatencyInvalid),
        (with(r#""status":42"#), Reason::StatusInvalid),
        (with(r#""status":1000"#), Reason::StatusInvalid),
        (with(r#""status":-1"#), Reason::StatusInvalid),
        (with(r#""status":200.5"#), Reason::StatusInvalid),
        (with(r#""status":"weird""#), Reason::StatusInvalid),
        (with(r#""status":{}"#), Reason::StatusInvalid),
        (with(r#""outcome":"perhaps""#), Reason::StatusInvalid),
        (with(r#""weight":0"#), Reason::WeightInvalid),
        (with(r#""weight":-1"#), Reason::WeightInvalid),
        (with(r#""weight":9223372036854775808"#), Reason::WeightInvalid),
        (with(r#""weight":1000001"#), Reason::WeightInvalid),
        (with(r#""weight":[2]"#), Reason::WeightInvalid),
        (with(r#""tags":"none""#), Reason::MappingFailed),
        (with(r#""tags":[1]"#), Reason::MappingFailed),
        (with(r#""tags":{"region":{"a":1}}"#), Reason::MappingFailed),
        (with(&format!(r#""a":"{}""#, "x".repeat(MAX_ITEM))), Reason::SizeExceeded),
        (format!("{{\"a\":\"{}", "x".repeat(MAX_ITEM)), Reason::SizeExceeded),
    ];
    for (value, reason) in cases {
        let collected = decode_with(&mapping(""), &["region"], value.as_bytes());
        let shown: String = value.chars().take(80).collect();
        assert_eq!((collected.events.len(), reasons(&collected)), (0, vec![*reason]), "{shown}");
        assert_eq!(collected.dead[0].2, value.as_bytes());
    }
}

#[test]
fn details_hold_no_text_of_the_payload() {
    struct Details(Vec<String>);
    impl Items for Details {
        fn event(&mut self, _: u32, _: &Event<'_>) {}
        fn skipped(&mut self, _: u32, _: Skip) {}
        fn dead(&mut self, _: u32, _: Reason, detail: &str, _: &[u8]) {
            self.0.push(detail.to_owned());
        }
    }
    let mut details = Details(Vec::new());
    let value = "{\"secret\":}\n{\"timestamp\":\"secret\"}\n{\"timestamp\":1,\"service\":\"secret\",\"status\":\"secret\"}\nsecret\n";
    Json::new(&mapping(""), &wanted(&[])).decode(&Input::new(value.as_bytes()), &mut details);
    assert_eq!(details.0.len(), 4);
    assert_eq!(details.0[0], "unexpected character at byte 10");
    assert!(details.0.iter().all(|detail| !detail.contains("secret")), "{:?}", details.0);
}

#[test]
fn numbers_may_be_text_where_they_are_numbers() {
    let event = event(r#"{"timestamp":"1700000000.5","service":"a","latency_ms":"12.345678","status":"404","weight":"3"}"#);
    assert_eq!(
        (event.time, event.duration, event.weight, event.class),
        (1_700_000_000_500_000_000, Some(12_345_678), 3, StatusClass::ClientError)
    );
    assert_eq!(self::event(&with(r#""status":200.0"#)).class, StatusClass::Success);
    assert_eq!(self::event(&with(r#""duration_ns":0"#)).duration, Some(0));
    assert_eq!(self::event(&with(r#""latency_ms":null,"duration_ns":7"#)).duration, Some(7));
}

#[test]
fn outcomes_are_stated_by_rules_then_by_the_object_then_by_its_status() {
    let source = mapping("outcome:\n- {path: tags.state, in: [down], is: error}\n- {path: status, in: [5xx], service: [b], is: ignored}\n");
    let outcome = |members: &str| {
        let event = decode_with(&source, &[], with(members).as_bytes()).events.remove(0).1;
        (event.outcome, event.error_type)
    };
    assert_eq!(outcome(r#""tags":{"state":"down"},"status":200,"outcome":"ok""#), (Outcome::Error, "_OTHER".into()));
    assert_eq!(outcome(r#""status":503,"outcome":"ok""#), (Outcome::Ok, String::new()));
    assert_eq!(outcome(r#""status":503"#), (Outcome::Error, "503".into()));
    assert_eq!(outcome(r#""status":"timeout","error_type":"Slow""#), (Outcome::Error, "Slow".into()));
    assert_eq!(outcome(r#""status":499"#), (Outcome::Ignored, String::new()));
    let b = with(r#""status":503"#).replace("\"a\"", "\"b\"");
    assert_eq!(decode_with(&source, &[], b.as_bytes()).events[0].1.outcome, Outcome::Ignored);
}

#[test]
fn what_the_filter_stops_is_skipped_before_anything_else_can_be_wrong() {
    let source = mapping("filter: {path: tags.kind, not_in: [probe]}\n");
    let text = format!("{}\n{{\"tags\":{{\"kind\":\"probe\"}}}}\n", with(r#""tags":{"kind":"user"}"#));
    let collected = decode_with(&source, &[], text.as_bytes());
    assert_eq!((collected.events.len(), collected.dead.len(), collected.skipped[0].1), (1, 0, Skip::Filtered));
}

#[test]
fn event_times_move_by_the_duration_when_the_source_says_so() {
    let time = |rule: &str, given: &str| {
        let source = mapping(&format!("event_time: {rule}\ntimestamp_is: {given}\n"));
        let text = r#"{"timestamp":1700000000,"service":"a","latency_ms":1500}"#;
        decode_with(&source, &[], text.as_bytes()).events[0].1.time - 1_700_000_000_000_000_000
    };
    assert_eq!(
        [time("end", "start"), time("start", "end"), time("end", "end"), time("as_given", "start")],
        [1_500_000_000, -1_500_000_000, 0, 0]
    );
    let source = mapping("event_time: end\ntimestamp_is: start\n");
    let text = r#"{"timestamp":9223372036854775807,"service":"a","latency_ms":1}"#;
    assert_eq!(reasons(&decode_with(&source, &[], text.as_bytes())), [Reason::TimeInvalid]);
}

#[test]
fn raw_paths_become_templates_when_the_source_says_so() {
    let text = with(r#""operation":"GET /cart/123?x=1""#);
    assert_eq!(decode_with(&mapping("operation: template\n"), &[], text.as_bytes()).events[0].1.operation, "GET /cart/{id}");
    assert_eq!(decode_with(&mapping(""), &[], text.as_bytes()).events[0].1.operation, "GET /cart/123?x=1");
}

#[test]
fn equal_ids_are_equal_and_an_event_without_one_has_none() {
    let source = mapping("dedup: {id: [tags.trace_id, tags.span_id]}\n");
    let id = |members: &str| decode_with(&source, &[], with(members).as_bytes()).events[0].1.dedup;
    let one = id(r#""tags":{"trace_id":"t","span_id":"s"}"#);
    assert!(one.is_some());
    assert_eq!(one, id(r#""host":"x","tags":{"span_id":"\u0073","trace_id":"t"}"#));
    assert_ne!(one, id(r#""tags":{"trace_id":"ts","span_id":"s"}"#));
    assert_eq!(id(r#""tags":{"trace_id":"t"}"#), None);
    assert_eq!(decode_with(&mapping("dedup: on\n"), &[], with(r#""id":5"#).as_bytes()).events[0].1.dedup.map(|_| ()), Some(()));
    let long = with(&format!(r#""id":"{}""#, "x".repeat(129)));
    assert_eq!(reasons(&decode_with(&mapping("dedup: on\n"), &[], long.as_bytes())), [Reason::SizeExceeded]);
}

#[test]
fn fractional_weights_are_right_on_average_and_repeatable() {
    let line = with(r#""weight":2.25"#);
    let text = vec![line; 4_000].join("\n");
    let weights = || decode(&text).events.iter().map(|(_, event)| u64::from(event.weight)).sum::<u64>();
    assert!((8_850..9_150).contains(&weights()), "{}", weights());
    assert_eq!(weights(), weights());
}

#[test]
fn malformed_traces_cost_no_event() {
    assert_eq!(event(&with(r#""trace_id":"xyz","span_id":5"#)).trace, None);
    assert!(event(&with(r#""trace_id":"ee744a66e6efcb2e","span_id":"ee744a66e6efcb2e""#)).trace.is_some());
    let source = mapping("fields: {sampled: sampled}\n");
    let text = with(r#""sampled":false,"trace_id":"ee744a66e6efcb2e","span_id":"ee744a66e6efcb2e""#);
    assert!(!decode_with(&source, &[], text.as_bytes()).events[0].1.trace.unwrap().sampled);
}

#[test]
fn unwanted_parts_are_passed_over_but_must_be_json() {
    let mut collected = Collected::default();
    let mut decoder = Json::new(&mapping(""), &Wanted::default());
    let text = format!("{}\n{}", with(r#""tags":5,"x":{"y":[{"z":[]}]}"#), with(r#""x":{"y":[{"z":[]]}"#));
    decoder.decode(&Input::new(text.as_bytes()), &mut collected);
    assert_eq!((collected.events.len(), reasons(&collected)), (1, vec![Reason::DecodeJson]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn each_item_is_one_thing_and_a_warm_decoder_says_what_a_cold_one_does(
        parts in prop::collection::vec(prop_oneof![
            3 => Just(LINE.as_bytes().to_vec()),
            2 => Just(with(r#""host":"h\n""#).into_bytes()),
            1 => "\\PC{0,40}".prop_map(String::into_bytes),
            1 => prop::collection::vec(any::<u8>(), 0..40),
            1 => Just(b"{\"a\":{\"b\":[1,2".to_vec()),
        ], 0..8),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        glue in prop::sample::select(vec!["\n", "\r\n", "", ","]),
    ) {
        let mut bytes = parts.join(glue.as_bytes());
        for (place, byte) in changes {
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] = byte;
            }
        }
        let source = mapping("dedup: on\n");
        let mut warm = Json::new(&source, &wanted(&["region"]));
        warm.decode(&Input::new(LINE.as_bytes()), &mut Collected::default());
        warm.decode(&Input::new(with(r#""x":{"y":1}"#).as_bytes()), &mut Collected::default());
        let mut collected = Collected::default();
        warm.decode(&Input::new(&bytes), &mut collected);
        prop_assert_eq!(&collected, &decode_with(&source, &["region"], &bytes));
        let mut places: Vec<u32> = collected.events.iter().map(|e| e.0).chain(collected.dead.iter().map(|d| d.0)).collect();
        let items = places.len();
        places.sort_unstable();
        places.dedup();
        prop_assert_eq!(places.len(), items, "two items at one place");
    }
}
