use super::*;
use crate::decode::collected::{Collected, wanted};
use crate::source::{Dedup, Format};
use platform_core::record::{Headers, put_headers};

const DATA: &str = r#"{"service":"a","latency_ms":1}"#;

fn decode_with(headers: &[(&str, &[u8])], value: &str) -> Collected {
    let mut encoded = Vec::new();
    put_headers(&mut encoded, headers);
    let source = Source { dedup: Dedup::OfFormat, ..Source::for_format(Format::CloudEvents) };
    let input = Input { headers: Headers::from_encoded(&encoded), ..Input::new(value.as_bytes()) };
    let (mut collected, mut again) = (Collected::default(), Collected::default());
    let mut decoder = CloudEvents::new(&source, &wanted(&[]));
    decoder.decode(&input, &mut collected);
    decoder.decode(&input, &mut again);
    assert_eq!(collected, again);
    collected
}

fn structured(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"2023-11-14T22:13:20Z",{members}}}"#)
}

#[test]
fn both_modes_give_the_same_event() {
    let binary =
        decode_with(&[("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/s"), ("ce_time", b"2023-11-14T22:13:20Z")], DATA);
    let http =
        decode_with(&[("Ce-Specversion", b"1.0"), ("ce-id", b"1"), ("CE-SOURCE", b"/s"), ("ce-time", b"2023-11-14T22:13:20Z")], DATA);
    let text = decode_with(&[], &structured(&format!(r#""data":{DATA}"#)));
    let base64 = decode_with(&[], &structured(&format!(r#""data_base64":"{}""#, STANDARD.encode(DATA))));
    assert_eq!(binary.only().time, 1_700_000_000_000_000_000);
    assert!(binary.only().dedup.is_some());
    assert_eq!([&http, &text, &base64], [&binary; 3]);
    let escaped = STANDARD.encode(r#"{"service":"???"}"#).replace('/', "\\/");
    assert!(escaped.contains('\\'));
    assert_eq!(decode_with(&[], &structured(&format!(r#""data_base64":"{escaped}""#))).only().service, "???");
}

#[test]
fn the_datas_own_time_wins() {
    let collected = decode_with(&[], &structured(r#""data":{"service":"a","timestamp":1600000000}"#));
    assert_eq!(collected.only().time, 1_600_000_000_000_000_000);
}

#[test]
fn a_batch_is_many_events_at_their_places() {
    let one = structured(&format!(r#""data":{DATA}"#));
    let batch = format!("[{one}, {}, 5, {{}}]", one.replace("\"1\"", "\"2\""));
    let collected = decode_with(&[("content-type", b"application/cloudevents-batch+json")], &batch);
    assert_eq!(collected.events.iter().map(|(at, _)| *at as usize).collect::<Vec<_>>(), [1, one.len() + 3]);
    assert_ne!(collected.events[0].1.dedup, collected.events[1].1.dedup);
    assert_eq!(collected.reasons(), [Reason::EnvelopeInvalid; 2]);
    assert_eq!(collected.dead[0].2, b"5");
}

#[test]
fn requests_under_one_id_have_no_id() {
    let collected = decode_with(&[], &structured(&format!(r#""data":[{DATA},{DATA}]"#)));
    assert_eq!(collected.events.iter().map(|(_, event)| event.dedup).collect::<Vec<_>>(), [None, None]);
}

#[test]
fn what_is_no_cloud_event_is_told() {
    let binary = [("ce_specversion", &b"1.0"[..]), ("ce_source", b"/s")];
    assert_eq!(decode_with(&binary, DATA).reasons(), [Reason::EnvelopeInvalid]);
    let version = [("ce_specversion", &b"9"[..]), ("ce_id", b"1"), ("ce_source", b"/s")];
    assert_eq!(decode_with(&version, DATA).reasons(), [Reason::EnvelopeInvalid]);
    let whole = structured(&format!(r#""data":{DATA}"#));
    for (value, reason) in [
        (DATA.to_owned(), Reason::EnvelopeInvalid),
        ("5".to_owned(), Reason::EnvelopeInvalid),
        (whole.replace("1.0", "2.0"), Reason::EnvelopeInvalid),
        (whole.replace("\"id\"", "\"ID\""), Reason::EnvelopeInvalid),
        (structured(r#""data_base64":"***""#), Reason::EnvelopeInvalid),
        (structured(r#""data":"text""#), Reason::SchemaMismatch),
        (structured(r#""subject":"x""#), Reason::SchemaMismatch),
        (structured(&format!(r#""datacontenttype":"text/xml","data":{DATA}"#)), Reason::SchemaMismatch),
        (structured(r#""data":{"latency_ms":1}"#), Reason::ServiceMissing),
        (String::new(), Reason::EmptyValue),
        (whole.replace("}}", "}"), Reason::DecodeJson),
        (structured(r#""data":{"a":1,"a":2}"#), Reason::DecodeJson),
        (format!("[{whole},"), Reason::DecodeJson),
    ] {
        let collected = decode_with(&[], &value);
        assert_eq!((collected.len(), collected.reasons()), (1, vec![reason]), "{value}");
    }
}

#[test]
fn json_content_types_are_known_by_their_suffix() {
    for (content_type, expected) in [
        ("application/json", true),
        ("application/json; charset=utf-8", true),
        ("application\\/vnd.x+JSON", true),
        ("text/xml", false),
        ("", false),
    ] {
        assert_eq!(is_json(content_type), expected, "{content_type}");
    }
}
