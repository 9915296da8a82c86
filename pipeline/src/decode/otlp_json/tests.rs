use super::*;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::decode::otlp_proto::{OtlpProto, tests::any_request};
use crate::outcome::Outcome;
use crate::source::Format;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value as Any};
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value as Json, json};

const TELEMETRYGEN: &str = include_str!("../samples/otlp-telemetrygen.json");
const EXAMPLE: &str = include_str!("../samples/otlp-proto-example.json");

/// Everything in the order that is hardest to read: spans first, what they lie in last.
const BACKWARDS: &str = r#"{"resourceSpans":[{"scopeSpans":[{"spans":[
  {"attributes":[{"value":{"stringValue":"\/a\u002fb"},"key":"http.route"},{"key":"http.request.method","value":{"stringValue":"GET"}},
    {"key":"http.response.status_code","value":{"intValue":"503"}},{"key":"list","value":{"arrayValue":{"values":[{"intValue":1}]}}}],
   "status":{"code":"STATUS_CODE_ERROR"},"endTimeUnixNano":1700000000000000005,"startTimeUnixNano":"1700000000000000000",
   "kind":"SPAN_KIND_SERVER","spanId":"4SevmePj4HQ=","traceId":"g6nv0VwcmKl34HEcyT7iiw==","flags":256,"traceState":"ot=th:8","name":"n"}],
  "scope":{"attributes":[{"key":"scope.tag","value":{"stringValue":"s"}}]}}],
  "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"sh\u00f6p"}}]}}]}"#;

fn read(text: &str) -> Collected {
    decode(&mut OtlpJson::new(&source(Format::OtlpJson), &wanted(&["scope.tag"])), text.as_bytes())
}

#[test]
fn published_samples_are_read() {
    let found = read(TELEMETRYGEN);
    assert_eq!((found.events.len(), found.len()), (2, 2));
    let (at, event) = &found.events[1];
    assert_eq!((*at, event.service.as_str(), event.operation.as_str(), event.duration), (1, "telemetrygen", "okey-dokey-0", Some(123_000)));
    assert_eq!(event.trace.unwrap().trace_id, 0x83a9_efd1_5c1c_98a9_77e0_711c_c93e_e28b);
    let example = read(EXAMPLE);
    assert_eq!((example.only().service.as_str(), example.only().operation.as_str()), ("my.service", "I'm a server span"));
    assert_eq!((example.only().time, example.only().duration), (1_544_712_660_000_000_000, Some(1_000_000_000)));
}

#[test]
fn keys_in_any_order_say_the_same() {
    let found = read(BACKWARDS);
    let event = found.only();
    assert_eq!((event.service.as_str(), event.operation.as_str(), event.tags[0].as_str()), ("shöp", "GET /a/b", "s"));
    assert_eq!((event.outcome, event.error_type.as_str(), event.weight, event.duration), (Outcome::Error, "503", 2, Some(5)));
    let trace = event.trace.unwrap();
    assert_eq!((trace.trace_id, trace.span_id, trace.sampled), (0x83a9_efd1_5c1c_98a9_77e0_711c_c93e_e28b, 0xe127_af99_e3e3_e074, false));
}

#[test]
fn old_and_foreign_names_of_containers_are_read() {
    let old = BACKWARDS
        .replace("resourceSpans", "batches")
        .replace("scopeSpans", "instrumentationLibrarySpans")
        .replace("\"scope\"", "\"instrumentationLibrary\"");
    assert_eq!(read(&old), read(BACKWARDS));
}

#[test]
fn other_signals_are_skipped_and_other_documents_dead() {
    assert_eq!(read(r#"{"resourceLogs":[]}"#).skipped, [(0, Skip::OtherSignal)]);
    assert_eq!(read(r#"{"resourceMetrics":[{}]}"#).skipped, [(0, Skip::OtherSignal)]);
    assert_eq!(read(r#"{"traces":[]}"#).reasons(), [Reason::SchemaMismatch]);
    assert_eq!(read("[]").reasons(), [Reason::SchemaMismatch]);
    assert_eq!(read("7").reasons(), [Reason::SchemaMismatch]);
    assert_eq!(read("{}").len() + read(r#"{"resourceSpans":null}"#).len() + read(r#"{"resourceSpans":[]}"#).len(), 0);
}

#[test]
fn a_fault_of_the_text_is_one_dead_record_and_no_event() {
    for (bad, reason) in [
        (format!("{BACKWARDS} x"), Reason::DecodeJson),
        (BACKWARDS.replace("\"flags\"", "\"name\""), Reason::DecodeJson),
        (format!("\u{feff}{BACKWARDS}"), Reason::DecodeJson),
        (BACKWARDS[..BACKWARDS.len() - 1].to_owned(), Reason::DecodeJson),
        (BACKWARDS.replace("256", &format!("{}{}", "[".repeat(40), "]".repeat(40))), Reason::DepthExceeded),
        (String::new(), Reason::EmptyValue),
    ] {
        let found = read(&bad);
        assert_eq!((found.events.len(), found.reasons()), (0, vec![reason]));
    }
    let mut latin = EXAMPLE.as_bytes().to_vec();
    latin[100] = 0xff;
    assert_eq!(decode(&mut OtlpJson::new(&source(Format::OtlpJson), &Wanted::default()), &latin).reasons(), [Reason::DecodeUtf8]);
}

#[test]
fn a_bad_span_is_dead_alone_with_its_own_bytes() {
    let span = |start: &str, end: &str| format!(r#"{{"kind":2,"startTimeUnixNano":{start},"endTimeUnixNano":{end},"attributes":[]}}"#);
    let spans = [
        span("\"5\"", "\"6\""),
        span("null", "6"),
        span("0", "6"),
        span("\"x\"", "6"),
        span("5", "4"),
        span("5", "-1"),
        span("5", "\"\""),
        "3".to_owned(),
        format!(
            r#"{{"kind":2,"startTimeUnixNano":5,"attributes":[{{"key":"http.status_code","value":{{"stringValue":"no"}}}}],"x":"{}"}}"#,
            "y".repeat(9)
        ),
        format!(r#"{{"kind":2,"startTimeUnixNano":5,"x":"{}"}}"#, "y".repeat(crate::decode::MAX_ITEM)),
    ];
    let found = read(&format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(" , ")));
    assert_eq!(found.events.iter().map(|(at, e)| (*at, e.duration)).collect::<Vec<_>>(), [(0, Some(1)), (6, None)]);
    use Reason::{LatencyInvalid, SchemaMismatch, SizeExceeded, StatusInvalid, TimeInvalid, TimeMissing};
    let reasons = [TimeMissing, TimeInvalid, TimeInvalid, LatencyInvalid, LatencyInvalid, SchemaMismatch, StatusInvalid, SizeExceeded];
    assert_eq!(found.reasons(), reasons);
    assert_eq!(found.dead.iter().map(|(at, ..)| *at).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 7, 8, 9]);
    assert_eq!(found.dead[0].2, spans[1].as_bytes());
    assert_eq!(found.dead[5].2, b"3");
}

/// How a document is written: each bit chooses one of two forms that mean the same.
#[derive(Clone, Copy, Debug)]
struct Form(u32);

impl Form {
    fn bit(self, n: u32) -> bool {
        self.0 >> n & 1 == 1
    }

    fn number(self, n: u32, value: u64) -> Json {
        if self.bit(n) { json!(value) } else { json!(value.to_string()) }
    }

    fn id(self, bytes: &[u8]) -> Json {
        if self.bit(0) { json!(STANDARD.encode(bytes)) } else { json!(bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()) }
    }

    fn pairs(self, pairs: &[KeyValue]) -> Json {
        let any = |pair: &KeyValue| match pair.value.as_ref()?.value.as_ref()? {
            Any::StringValue(text) => Some(json!({ "stringValue": text })),
            Any::BoolValue(value) => Some(json!({ "boolValue": value })),
            Any::IntValue(value) => Some(if self.bit(1) { json!({ "intValue": value }) } else { json!({ "intValue": value.to_string() }) }),
            Any::DoubleValue(value) => Some(json!({ "doubleValue": value.to_string() })),
            Any::BytesValue(bytes) => Some(json!({ "bytesValue": STANDARD.encode(bytes) })),
            _ => Some(json!({ "arrayValue": { "values": [{ "boolValue": true }, {}] } })),
        };
        pairs.iter().map(|pair| json!({ "key": pair.key, "value": any(pair).unwrap_or_else(|| json!({})) })).collect()
    }

    /// The members in this order, or backwards.
    fn object(self, n: u32, members: &[(&str, Json)]) -> String {
        let mut parts: Vec<String> = members.iter().map(|(key, value)| format!("{}:{}", json!(key), raw(value))).collect();
        if self.bit(n) {
            parts.reverse();
        }
        format!("{{{}}}", parts.join(","))
    }

    fn write(self, request: &Request) -> String {
        let list = |parts: Vec<String>| Json::String(format!("\u{1}[{}]", parts.join(",")));
        let resources = request.resource_spans.iter().map(|resource| {
            let scopes = resource.scope_spans.iter().map(|scope| {
                let spans = scope.spans.iter().map(|span| {
                    let mut members = vec![
                        ("traceId", self.id(&span.trace_id)),
                        ("spanId", self.id(&span.span_id)),
                        ("name", json!(span.name)),
                        ("kind", if self.bit(2) { json!(span.kind) } else { json!(KINDS[span.kind as usize]) }),
                        ("attributes", self.pairs(&span.attributes)),
                    ];
                    // What is zero is not on Protobuf's wire.
                    if span.start_time_unix_nano != 0 {
                        members.push(("startTimeUnixNano", self.number(3, span.start_time_unix_nano)));
                    }
                    members.push(("endTimeUnixNano", self.number(4, span.end_time_unix_nano)));
                    if span.flags != 0 {
                        members.push(("flags", json!(span.flags)));
                    }
                    if let Some(status) = &span.status {
                        let code = if status.code == 2 && self.bit(5) { json!("STATUS_CODE_ERROR") } else { json!(status.code) };
                        members.push(("status", json!({ "code": code })));
                    }
                    self.object(6, &members)
                });
                self.object(7, &[("scope", json!({})), ("spans", list(spans.collect()))])
            });
            let outer = resource.resource.as_ref().map(|r| json!({ "attributes": self.pairs(&r.attributes) }));
            self.object(8, &[("resource", outer.unwrap_or(Json::Null)), ("scopeSpans", list(scopes.collect()))])
        });
        self.object(9, &[("resourceSpans", list(resources.collect()))])
    }
}

/// A value, or the text behind the mark.
fn raw(value: &Json) -> String {
    value.as_str().and_then(|text| text.strip_prefix('\u{1}')).map_or_else(|| value.to_string(), str::to_owned)
}

const KINDS: [&str; 7] = [
    "SPAN_KIND_UNSPECIFIED",
    "SPAN_KIND_INTERNAL",
    "SPAN_KIND_SERVER",
    "SPAN_KIND_CLIENT",
    "SPAN_KIND_PRODUCER",
    "SPAN_KIND_CONSUMER",
    "SPAN_KIND_OTHER",
];

/// The same without the bytes of the dead, and without ids of odd lengths, which only Protobuf can write.
fn comparable(mut found: Collected) -> Collected {
    found.dead.iter_mut().for_each(|(_, _, bytes)| bytes.clear());
    found
}

proptest! {
    #[test]
    fn both_encodings_of_a_request_give_the_same_events(request in any_request(), form in any::<u32>()) {
        let mut request = request;
        for span in request.resource_spans.iter_mut().flat_map(|r| &mut r.scope_spans).flat_map(|s| &mut s.spans) {
            span.trace_id.resize(16, 1);
            span.span_id.resize(8, 1);
        }
        let value = request.encode_to_vec();
        prop_assume!(!value.is_empty());
        let text = Form(form).write(&request);
        let wanted = wanted(&["env", "other"]);
        let proto = decode(&mut OtlpProto::new(&source(Format::OtlpProto), &wanted), &value);
        let json = decode(&mut OtlpJson::new(&source(Format::OtlpJson), &wanted), text.as_bytes());
        prop_assert_eq!(comparable(json), comparable(proto), "{}", text);
    }

    #[test]
    fn changed_documents_never_panic_and_never_give_more_items_than_they_have(changes in changes(), garbage in ".{0,60}") {
        let (source, wanted) = (source(Format::OtlpJson), wanted(&["scope.tag"]));
        for sample in [BACKWARDS, TELEMETRYGEN, &garbage] {
            let value = changed(sample.as_bytes(), &changes);
            let mut warm = OtlpJson::new(&source, &wanted);
            decode(&mut warm, sample.as_bytes());
            let found = decode_twice(&mut warm, &mut OtlpJson::new(&source, &wanted), &value);
            prop_assert!(found.len() <= value.len().max(1));
            if serde_json::from_slice::<serde::de::IgnoredAny>(&value).is_err() {
                prop_assert_eq!((found.events.len(), found.dead.len()), (0, 1));
            }
        }
    }
}
