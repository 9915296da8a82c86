use super::*;
use crate::decode::collected::{Collected, wanted};
use crate::decode::decoder;
use platform_core::record::{Headers, put_headers};

fn told(headers: &[(&str, &[u8])], topic: Option<&str>, value: &[u8]) -> Detected {
    let mut encoded = Vec::new();
    put_headers(&mut encoded, headers);
    detect(&Input { headers: Headers::from_encoded(&encoded), ..Input::new(value) }, topic, &mut Keys::default())
}

#[test]
fn headers_speak_first() {
    let json = b"{}";
    for (headers, expected) in [
        (&[("Content-Type", &b"Application/CloudEvents+json"[..])], Format::CloudEvents),
        (&[("content-type", b"application/cloudevents-batch+json; charset=utf-8")], Format::CloudEvents),
        (&[("ce_specversion", b"1.0")], Format::CloudEvents),
        (&[("ce-specversion", b"1.0")], Format::CloudEvents),
        (&[("content-type", b"application/x-protobuf")], Format::OtlpProto),
        (&[("content-type", b"application/json")], Format::Json),
    ] {
        assert_eq!(told(headers, None, json), Detected::Is(expected), "{headers:?}");
    }
    assert!(matches!(told(&[("__value_schema_id", b"\x01")], None, json), Detected::Unknown(_)));
}

#[test]
fn first_bytes_speak_next() {
    for value in
        [&b"\x00\x00\x00\x00\x01xyz"[..], b"\x03\x00aaaaaaaaaaaaaaaaaaaa", b"\x0c\x00\x00\x00\x01", b"\x0a\x20abc", b"plain text", b"\xff"]
    {
        assert!(matches!(told(&[], None, value), Detected::Unknown(_)), "{value:?}");
    }
    assert_eq!(told(&[], Some("otlp_spans"), b"\x0a\x20abc"), Detected::Is(Format::OtlpProto));
    assert_eq!(told(&[], None, "\u{feff}{}".as_bytes()), Detected::Is(Format::Json));
}

#[test]
fn keys_of_the_first_object_speak_last() {
    for (value, expected) in [
        (r#"{"resourceSpans":[]}"#, Format::OtlpJson),
        (r#"{"batches":[]}"#, Format::OtlpJson),
        (r#"{"resourceMetrics":[]}"#, Format::OtlpMetricsJson),
        (r#"{"resourceLogs":[]}"#, Format::OtlpJson),
        (r#"{"id":"1","specversion":"1.0"}"#, Format::CloudEvents),
        (r#"[{"id":"1","specversion":"1.0"}]"#, Format::CloudEvents),
        (r#"[{"traceId":"1","id":"2"}]"#, Format::ZipkinJson),
        (r#"{"traceId":"1","id":"2","kind":"SERVER"}"#, Format::ZipkinJson),
        (r#"{"traceID":"1","operationName":"x"}"#, Format::JaegerJson),
        (r#"{"traceId":"1","operationName":"x"}"#, Format::JaegerJson),
        (r#"{"data":[{"traceID":"1","spans":[]}]}"#, Format::JaegerJson),
        (r#"{"data":{"spans":[]}}"#, Format::JaegerJson),
        (r#"{"response_flags":"-","message":"x"}"#, Format::EnvoyJson),
        (r#"{"timestamp":1,"data":5}"#, Format::Json),
        (r#"{"timestamp":1}"#, Format::Json),
        (r#"{"id":1,"resource\u0053pans":"x"}"#, Format::Json),
        ("{broken", Format::Json),
        ("[]", Format::Json),
        ("[5]", Format::Json),
    ] {
        assert_eq!(told(&[], None, value.as_bytes()), Detected::Is(expected), "{value}");
    }
    for value in [r#"{"schema":{},"payload":{}}"#, r#"{"log":"x"}"#, r#"{"message":"x"}"#] {
        assert_eq!(told(&[], None, value.as_bytes()), Detected::Wrapper, "{value}");
    }
}

#[test]
fn one_source_may_carry_many_formats() {
    let mut decoder = decoder(&Source::for_format(Format::Auto), &wanted(&[]));
    let mut collected = Collected::default();
    for value in [
        r#"{"timestamp":1700000000,"service":"json"}"#,
        r#"[{"traceId":"aaaaaaaaaaaaaaaa","id":"bbbbbbbbbbbbbbbb","kind":"SERVER","timestamp":1700000000000000,"localEndpoint":{"serviceName":"zipkin"}}]"#,
        r#"{"specversion":"1.0","id":"1","source":"s","time":"2023-11-14T22:13:20Z","data":{"service":"ce"}}"#,
        r#"{"resourceMetrics":[]}"#,
        "garbage",
        "",
        "{garbage",
        r#"{"message":"hello","timestamp":1700000000,"service":"json"}"#,
    ] {
        decoder.decode(&Input::new(value.as_bytes()), &mut collected);
    }
    let services: Vec<&str> = collected.events.iter().map(|(_, event)| event.service.as_str()).collect();
    assert_eq!(services, ["json", "zipkin", "ce", "json"]);
    assert_eq!(collected.skipped, [(0, Skip::Metrics)]);
    assert_eq!(collected.reasons(), [Reason::FormatUnknown, Reason::EmptyValue, Reason::DecodeJson]);
}

#[test]
fn wrappers_in_wrappers_end_somewhere() {
    let mut value = r#"{"timestamp":1700000000,"service":"a"}"#.to_owned();
    let mut decoder = decoder(&Source::for_format(Format::Auto), &wanted(&[]));
    for wrappers in 1..6 {
        value = format!(r#"{{"schema":null,"payload":{value}}}"#);
        let mut collected = Collected::default();
        decoder.decode(&Input::new(value.as_bytes()), &mut collected);
        assert_eq!((collected.len(), collected.events.len()), (1, usize::from(wrappers <= MAX_WRAPPERS)), "{wrappers}");
    }
}

#[test]
fn every_format_is_made_and_refuses_zero_bytes() {
    for format in Format::ALL {
        let mut collected = Collected::default();
        decoder(&Source::for_format(format), &wanted(&[])).decode(&Input::new(b""), &mut collected);
        // An empty Protobuf message is a valid one, without spans.
        let expected = if format == Format::OtlpProto { collected.reasons() } else { vec![Reason::EmptyValue] };
        assert_eq!(collected.reasons(), expected, "{}", format.name());
    }
}
