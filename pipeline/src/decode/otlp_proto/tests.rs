use super::*;
use crate::decode::Skip;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::outcome::Outcome;
use crate::source::{Condition, Dedup, Format, Path};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as ProtoSpan, Status as ProtoStatus};
use proptest::prelude::*;
use prost::Message;

const START: u64 = 1_700_000_000_000_000_000;

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Value::StringValue(value.to_owned()))
}

fn span(attributes: Vec<KeyValue>) -> ProtoSpan {
    ProtoSpan {
        trace_id: vec![7; 16],
        span_id: vec![9; 8],
        name: "GET".to_owned(),
        kind: 2,
        start_time_unix_nano: START,
        end_time_unix_nano: START + 5,
        attributes,
        ..ProtoSpan::default()
    }
}

fn request(resource: Vec<KeyValue>, spans: Vec<ProtoSpan>) -> Request {
    let scope = InstrumentationScope { attributes: vec![text("scope.tag", "s")], ..InstrumentationScope::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    let resource = Some(Resource { attributes: resource, ..Resource::default() });
    Request { resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }] }
}

fn shop() -> Vec<KeyValue> {
    vec![text("service.name", "shop"), text("service.namespace", "eu"), text("host.name", "h1"), text("deployment.environment", "prod")]
}

fn read(request: &Request) -> Collected {
    decode(&mut OtlpProto::new(&source(Format::OtlpProto), &wanted(&["env", "scope.tag"])), &request.encode_to_vec())
}

fn bytes(value: &[u8]) -> Collected {
    decode(&mut OtlpProto::new(&source(Format::OtlpProto), &Wanted::default()), value)
}

#[test]
fn a_span_takes_what_its_resource_and_scope_say() {
    let attributes = vec![
        text("http.request.method", "GET"),
        text("http.route", "/a/{id}"),
        pair("http.response.status_code", Value::IntValue(503)),
        pair("server.address", Value::StringValue("proxy".to_owned())),
    ];
    let found = read(&request(shop(), vec![span(attributes)]));
    let event = found.only();
    assert_eq!((event.service.as_str(), event.namespace.as_str(), event.operation.as_str()), ("shop", "eu", "GET /a/{id}"));
    assert_eq!((event.time, event.duration, event.host.as_str()), (START as i64, Some(5), "h1"));
    assert_eq!((event.outcome, event.error_type.as_str(), event.weight), (Outcome::Error, "503", 1));
    assert_eq!(event.tags, ["prod", "s"]);
    let trace = event.trace.unwrap();
    assert_eq!((trace.trace_id, trace.span_id, trace.sampled), (0x0707_0707_0707_0707_0707_0707_0707_0707, 0x0909_0909_0909_0909, true));
}

#[test]
fn only_requests_count_and_each_span_is_one_item() {
    let of_kind = |kind| ProtoSpan { kind, ..span(Vec::new()) };
    let found = read(&request(shop(), [0, 1, 2, 3, 4, 5, 9].map(of_kind).to_vec()));
    assert_eq!(found.events.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2, 5]);
    assert_eq!(found.skipped, [0, 1, 3, 4, 6].map(|at| (at, Skip::SpanKind)));
}

#[test]
fn operations_follow_the_order_of_names() {
    let operation = |attributes: &[(&str, &str)]| {
        let attributes = attributes.iter().map(|(key, value)| text(key, value)).collect();
        read(&request(shop(), vec![span(attributes)])).only().operation.clone()
    };
    let http = [("http.method", "geti"), ("http.route", "/r")];
    assert_eq!(operation(&http), "_OTHER /r");
    assert_eq!(operation(&http[..1]), "GET");
    assert_eq!(operation(&[("rpc.service", "pkg.Cart"), ("rpc.method", "Add")]), "pkg.Cart/Add");
    assert_eq!(operation(&[("rpc.service", "x"), ("rpc.method", "pkg.Cart/Add")]), "pkg.Cart/Add");
    assert_eq!(
        operation(&[("messaging.operation.name", "process"), ("messaging.destination.template", "orders-{id}")]),
        "process orders-{id}"
    );
    assert_eq!(operation(&[]), "GET");
    let unnamed = ProtoSpan { name: String::new(), ..span(Vec::new()) };
    assert_eq!(read(&request(shop(), vec![unnamed])).only().operation, "unknown");
}

#[test]
fn statuses_are_read_from_current_and_legacy_names() {
    let verdict = |attribute: KeyValue, code: i32| {
        let status = Some(ProtoStatus { code, ..ProtoStatus::default() });
        let found = read(&request(shop(), vec![ProtoSpan { status, ..span(vec![attribute]) }]));
        found.events.first().map(|(_, e)| (e.outcome, e.error_type.clone())).ok_or_else(|| found.reasons()[0])
    };
    let error = |kind: &str| Ok((Outcome::Error, kind.to_owned()));
    assert_eq!(verdict(pair("rpc.grpc.status_code", Value::IntValue(14)), 0), error("UNAVAILABLE"));
    assert_eq!(verdict(text("rpc.response.status_code", "DEADLINE_EXCEEDED"), 0), error("DEADLINE_EXCEEDED"));
    assert_eq!(verdict(text("rpc.status_code", "-32602"), 2), error("_OTHER"));
    assert_eq!(verdict(text("error.type", "timeout"), 2), error("timeout"));
    assert_eq!(verdict(pair("http.status_code", Value::IntValue(404)), 0), Ok((Outcome::Ok, String::new())));
    assert_eq!(verdict(pair("http.status_code", Value::IntValue(-1)), 0), Err(Reason::StatusInvalid));
    assert_eq!(verdict(pair("rpc.grpc.status_code", Value::IntValue(77)), 0), Err(Reason::StatusInvalid));
    assert_eq!(verdict(text("http.status_code", "many"), 0), Err(Reason::StatusInvalid));
}

#[test]
fn times_that_are_none_are_dead_alone() {
    let at = |start, end| ProtoSpan { start_time_unix_nano: start, end_time_unix_nano: end, ..span(Vec::new()) };
    let found = read(&request(shop(), vec![at(0, 5), at(START, 0), at(START, START - 1), at(u64::MAX, u64::MAX), at(START, START)]));
    assert_eq!(
        found.dead.iter().map(|(at, reason, _)| (*at, *reason)).collect::<Vec<_>>(),
        [(0, Reason::TimeMissing), (2, Reason::LatencyInvalid), (3, Reason::TimeInvalid)]
    );
    assert_eq!(found.events.iter().map(|(at, e)| (*at, e.duration)).collect::<Vec<_>>(), [(1, None), (4, Some(0))]);
    // A start that is on the wire and zero is a time, and a wrong one.
    assert_eq!(bytes(&wrap(&[&[0x30, 2, 0x39], &[0; 8][..]].concat())).reasons(), [Reason::TimeInvalid]);
}

#[test]
fn a_span_without_a_service_is_unknown_unless_the_source_has_a_default() {
    let request = request(Vec::new(), vec![span(Vec::new())]);
    assert_eq!(read(&request).only().service, "unknown_service");
    let mut source = source(Format::OtlpProto);
    source.defaults.service = Some("edge".to_owned());
    assert_eq!(decode(&mut OtlpProto::new(&source, &Wanted::default()), &request.encode_to_vec()).only().service, "edge");
}

#[test]
fn sampling_is_read_from_flags_and_tracestate() {
    let read = |flags, trace_state: &str| {
        let span = ProtoSpan { flags, trace_state: trace_state.to_owned(), ..span(Vec::new()) };
        let found = read(&request(shop(), vec![span]));
        found.events.first().map(|(_, e)| (e.trace.unwrap().sampled, e.weight)).ok_or_else(|| found.reasons()[0])
    };
    assert_eq!(read(0, ""), Ok((true, 1)));
    assert_eq!(read(0x101, "ot=th:c"), Ok((true, 4)));
    assert_eq!(read(0x100, "ot=th:8"), Ok((false, 2)));
    assert_eq!(read(0, "ot=th:ffffffffffffff"), Err(Reason::WeightInvalid));
}

#[test]
fn ids_make_two_copies_one_and_two_spans_two() {
    let mut source = source(Format::OtlpProto);
    source.dedup = Dedup::OfFormat;
    let other = ProtoSpan { span_id: vec![1; 8], ..span(Vec::new()) };
    let none = ProtoSpan { trace_id: Vec::new(), ..span(Vec::new()) };
    let request = request(shop(), vec![span(Vec::new()), span(Vec::new()), other, none]).encode_to_vec();
    let ids = |source: &Source| {
        let found = decode(&mut OtlpProto::new(source, &Wanted::default()), &request);
        found.events.iter().map(|(_, e)| e.dedup).collect::<Vec<_>>()
    };
    let found = ids(&source);
    assert!(found[0].is_some() && found[0] == found[1] && found[0] != found[2] && found[3].is_none());
    source.dedup = Dedup::By(vec![Path::parse("service.name").unwrap()]);
    let found = ids(&source);
    assert!(found[0].is_some() && found.iter().all(|id| *id == found[0]));
}

#[test]
fn filters_read_attributes() {
    let mut source = source(Format::OtlpProto);
    source.filter = vec![Condition { path: Path::parse("url.path").unwrap(), values: vec!["/healthz".to_owned()], inside: false }];
    let request = request(shop(), vec![span(vec![text("url.path", "/healthz")]), span(Vec::new())]);
    let found = decode(&mut OtlpProto::new(&source, &Wanted::default()), &request.encode_to_vec());
    assert_eq!((found.events.len(), found.skipped), (1, vec![(0, Skip::Filtered)]));
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    platform_core::codec::put_bytes(&mut out, bytes);
    out
}

/// A span's bytes in a request.
fn wrap(span: &[u8]) -> Vec<u8> {
    field(1, &field(2, &field(2, span)))
}

#[test]
fn a_broken_span_is_dead_alone_and_a_broken_container_with_all() {
    let good = span(Vec::new()).encode_to_vec();
    let container = |spans: &[&[u8]]| field(1, &field(2, &spans.iter().flat_map(|span| field(2, span)).collect::<Vec<_>>()));
    let found = bytes(&container(&[&good, &good[..good.len() - 3], &good]));
    assert_eq!((found.events.len(), found.reasons()), (2, vec![Reason::DecodeProtobuf]));
    assert_eq!(found.dead[0].2, good[..good.len() - 3]);
    let whole = container(&[&good, &good]);
    for cut in 1..whole.len() {
        assert_eq!((bytes(&whole[..cut]).events.len(), bytes(&whole[..cut]).reasons()), (0, vec![Reason::DecodeProtobuf]), "{cut}");
    }
    assert_eq!(bytes(b"").reasons(), [Reason::EmptyValue]);
    assert_eq!(bytes(br#"{"resourceSpans":[]}"#).reasons(), [Reason::DecodeProtobuf]);
}

#[test]
fn a_resource_may_stand_behind_its_spans_and_come_in_parts() {
    let spans = field(2, &field(2, &span(Vec::new()).encode_to_vec()));
    let resource = |pair: KeyValue| field(1, &field(1, &pair.encode_to_vec()));
    let parts = [spans, resource(text("service.name", "late")), resource(text("host.name", "h"))].concat();
    let found = bytes(&field(1, &parts));
    assert_eq!((found.only().service.as_str(), found.only().host.as_str()), ("late", "h"));
}

#[test]
fn unknown_fields_of_every_wire_type_are_passed_over() {
    let mut unknown = vec![0x98, 0x06, 0xff, 0x01]; // 99: varint
    unknown.extend([0x99, 0x06, 1, 2, 3, 4, 5, 6, 7, 8]); // fixed64
    unknown.extend([0x9a, 0x06, 2, 1, 1]); // bytes
    unknown.extend([0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06]); // group
    unknown.extend([0x9d, 0x06, 1, 2, 3, 4]); // fixed32
    let mut bytes_of_span = unknown.clone();
    bytes_of_span.extend(span(Vec::new()).encode_to_vec());
    let request =
        [unknown.clone(), field(1, &[unknown.clone(), field(2, &[unknown.clone(), field(2, &bytes_of_span)].concat())].concat())].concat();
    assert_eq!(bytes(&request).only().operation, "GET");
    unknown.truncate(unknown.len() - 1);
    assert_eq!(bytes(&unknown).reasons(), [Reason::DecodeProtobuf]);
    // A group that never ends, one that ends as another, and groups in groups.
    assert_eq!(bytes(&[0x9b, 0x06]).reasons(), [Reason::DecodeProtobuf]);
    assert_eq!(bytes(&[0x9b, 0x06, 0x0c]).reasons(), [Reason::DecodeProtobuf]);
    assert_eq!(bytes(&[0x0b; 100_000]).reasons(), [Reason::DepthExceeded]);
}

#[test]
fn nesting_is_bounded_and_only_its_span_is_dead() {
    let nested = |levels: usize| {
        (0..levels).fold(AnyValue { value: Some(Value::BoolValue(true)) }, |inner, level| AnyValue {
            value: Some(if level % 2 == 0 {
                Value::ArrayValue(ArrayValue { values: vec![inner] })
            } else {
                Value::KvlistValue(KeyValueList { values: vec![KeyValue { value: Some(inner), ..KeyValue::default() }] })
            }),
        })
    };
    let of = |levels| span(vec![KeyValue { key: "deep".to_owned(), value: Some(nested(levels)), ..KeyValue::default() }]);
    let found = read(&request(shop(), vec![of(10), of(11), of(30), of(0)]));
    assert_eq!((found.events.len(), found.reasons()), (2, vec![Reason::DepthExceeded, Reason::DepthExceeded]));
}

#[test]
fn texts_are_checked_where_they_are_used() {
    let bad = |key: &[u8]| field(9, &[field(1, key), field(2, &field(1, &[0xff, 0xfe]))].concat());
    let head = span(Vec::new()).encode_to_vec();
    assert_eq!(bytes(&wrap(&[head.clone(), bad(b"http.route")].concat())).reasons(), [Reason::DecodeUtf8]);
    assert_eq!(bytes(&wrap(&[head.clone(), bad(b"whatever")].concat())).events.len(), 1);
    assert_eq!(bytes(&wrap(&[head, field(5, &[0xff])].concat())).reasons(), [Reason::DecodeUtf8]);
}

#[test]
fn an_item_above_the_limit_is_dead_with_its_reason() {
    let large = span(vec![text("blob", &"x".repeat(crate::decode::MAX_ITEM))]);
    let found = read(&request(shop(), vec![large, span(Vec::new())]));
    assert_eq!((found.events.len(), found.reasons()), (1, vec![Reason::SizeExceeded]));
}

fn any_pair() -> impl Strategy<Value = KeyValue> {
    let keys =
        vec!["service.name", "http.route", "http.method", "http.status_code", "rpc.method", "error.type", "host.name", "env", "other", ""];
    let value = prop_oneof![
        "[a-z0-9]{0,6}".prop_map(Value::StringValue),
        any::<bool>().prop_map(Value::BoolValue),
        prop_oneof![Just(200_i64), Just(503), any::<i64>()].prop_map(Value::IntValue),
        any::<f64>().prop_map(Value::DoubleValue),
        Just(Value::BytesValue(vec![1, 2])),
        Just(Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Value::BoolValue(true)) }, AnyValue::default()] })),
    ];
    (prop::sample::select(keys), prop::option::of(value)).prop_map(|(key, value)| KeyValue {
        key: key.to_owned(),
        value: value.map(|v| AnyValue { value: Some(v) }),
        ..KeyValue::default()
    })
}

fn any_span() -> impl Strategy<Value = ProtoSpan> {
    let time = || prop_oneof![4 => START..START + 1000, 1 => Just(0), 1 => any::<u64>()];
    let ids = (prop::collection::vec(any::<u8>(), 0..20), prop::collection::vec(any::<u8>(), 0..12));
    (ids, "[a-z]{0,4}", 0..7_i32, time(), time(), prop::collection::vec(any_pair(), 0..4), prop::option::of(0..4_i32), any::<u32>())
        .prop_map(|((trace_id, span_id), name, kind, start_time_unix_nano, end_time_unix_nano, attributes, code, flags)| ProtoSpan {
            trace_id,
            span_id,
            name,
            kind,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            status: code.map(|code| ProtoStatus { code, message: "m".to_owned() }),
            flags,
            ..ProtoSpan::default()
        })
}

pub(in crate::decode) fn any_request() -> impl Strategy<Value = Request> {
    let scopes = prop::collection::vec(prop::collection::vec(any_span(), 0..4), 0..3);
    let resource = prop::option::of(prop::collection::vec(any_pair(), 0..3));
    prop::collection::vec((resource, scopes), 0..3).prop_map(|parts| Request {
        resource_spans: parts
            .into_iter()
            .map(|(resource, scopes)| ResourceSpans {
                resource: resource.map(|attributes| Resource { attributes, ..Resource::default() }),
                scope_spans: scopes.into_iter().map(|spans| ScopeSpans { spans, ..ScopeSpans::default() }).collect(),
                ..ResourceSpans::default()
            })
            .collect(),
    })
}

fn written(pair: &KeyValue) -> Option<String> {
    match pair.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::BoolValue(value) => Some(value.to_string()),
        Value::IntValue(value) => Some(value.to_string()),
        Value::DoubleValue(value) => Some(value.to_string()),
        _ => None,
    }
}

/// Service, time, duration and operation of a span.
type Spanned = (String, i64, Option<u64>, String);

/// What the full decoder's tree says of each span: service, time, duration, operation, or why not. The meaning, written a second time.
fn expected(request: &Request) -> Vec<Result<Spanned, Option<Reason>>> {
    let mut all = Vec::new();
    for resource in &request.resource_spans {
        let outer = resource.resource.as_ref().map(|r| r.attributes.clone()).unwrap_or_default();
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            let get = |key: &str| {
                let first = |pairs: &[KeyValue]| pairs.iter().filter(|p| p.key == key).find_map(written).filter(|t| !t.is_empty());
                first(&span.attributes).or_else(|| first(&outer))
            };
            let start = span.start_time_unix_nano;
            // Whole numbers of any length are statuses, if wrong ones.
            let whole = |s: &str| s.strip_prefix('-').unwrap_or(s).bytes().all(|b| b.is_ascii_digit()).then_some(i64::MAX);
            let status = get("http.status_code").map(|s| s.parse::<i64>().ok().or_else(|| whole(&s)));
            let failed = span.status.as_ref().is_some_and(|s| s.code == 2);
            let result = if span.kind != 2 && span.kind != 5 {
                Err(None)
            } else if start == 0 {
                Err(Some(Reason::TimeMissing))
            } else if i64::try_from(start).is_err() {
                Err(Some(Reason::TimeInvalid))
            } else if span.end_time_unix_nano != 0 && span.end_time_unix_nano < start {
                Err(Some(Reason::LatencyInvalid))
            } else if status == Some(None) || (!failed && matches!(status, Some(Some(1..=99 | 1000.. | i64::MIN..=-1)))) {
                Err(Some(Reason::StatusInvalid))
            } else {
                let service = get("service.name").unwrap_or_else(|| "unknown_service".to_owned());
                let operation = match (get("http.method"), get("http.route"), get("rpc.method")) {
                    (Some(method), Some(route), _) => format!("{} {route}", crate::operation::method(&method)),
                    (_, _, Some(method)) => method,
                    _ => Some(span.name.clone()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unknown".to_owned()),
                };
                let duration = (span.end_time_unix_nano != 0).then(|| span.end_time_unix_nano - start);
                Ok((service, start as i64, duration, operation))
            };
            all.push(result);
        }
    }
    all
}

proptest! {
    #[test]
    fn the_walk_agrees_with_the_full_decoder(request in any_request()) {
        let value = request.encode_to_vec();
        prop_assume!(!value.is_empty());
        let found = bytes(&value);
        let expected = expected(&request);
        prop_assert_eq!(found.len(), expected.len());
        for (at, want) in expected.iter().enumerate() {
            let at = at as u32;
            let event = found.events.iter().find(|(a, _)| *a == at).map(|(_, e)| (e.service.clone(), e.time, e.duration, e.operation.clone()));
            let dead = found.dead.iter().find(|(a, _, _)| *a == at).map(|(_, reason, _)| *reason);
            match want {
                Ok(want) => prop_assert_eq!(event.as_ref(), Some(want)),
                Err(reason) => prop_assert_eq!((event, dead), (None, *reason)),
            }
        }
    }

    #[test]
    fn changed_bytes_never_panic_and_lose_no_span_that_the_full_decoder_sees(request in any_request(), changes in changes()) {
        let (source, wanted) = (source(Format::OtlpProto), wanted(&["env"]));
        let mut warm = OtlpProto::new(&source, &wanted);
        decode(&mut warm, &request.encode_to_vec());
        let value = changed(&request.encode_to_vec(), &changes);
        let found = decode_twice(&mut warm, &mut OtlpProto::new(&source, &wanted), &value);
        if let Ok(tree) = Request::decode(value.as_slice()) && !value.is_empty() {
            let spans = tree.resource_spans.iter().flat_map(|r| &r.scope_spans).map(|s| s.spans.len()).sum::<usize>();
            prop_assert_eq!(found.len(), spans);
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(value in prop::collection::vec(any::<u8>(), 0..200)) {
        let found = bytes(&value);
        prop_assert!(found.len() <= value.len().max(1));
        bytes(&wrap(&value));
    }
}
