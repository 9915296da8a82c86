//! Bodies in; answers and log records out.

use super::app::{App, Setup, app};
use crate::Limits;
use axum::body::Body;
use axum::http::StatusCode;
use flate2::Compression;
use flate2::write::GzEncoder;
use golden_pipeline::decode::MAX_ITEM;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use platform_core::log::AppendError;
use prost::Message;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

const GOOD: &str = r#"{"service":"s","timestamp":1661140320}"#;
const BAD: &str = r#"{"service":"s"}"#;
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");
const JSON: (&str, &str) = ("content-type", "application/json");
const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn span(start: u64, padding: usize) -> Span {
    Span { name: "x".repeat(padding), start_time_unix_nano: start, kind: 2, ..Span::default() }
}

fn otlp(scopes: Vec<Vec<Span>>) -> ExportTraceServiceRequest {
    let resource = Resource { dropped_attributes_count: 7, ..Resource::default() };
    let scope = |(i, spans)| ScopeSpans {
        scope: Some(InstrumentationScope { name: format!("scope {i}"), ..Default::default() }),
        spans,
        ..Default::default()
    };
    let scope_spans = scopes.into_iter().enumerate().map(scope).collect();
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { resource: Some(resource), scope_spans, schema_url: "url".into() }] }
}

#[tokio::test]
async fn good_events_are_stored_as_they_came_and_counted() {
    let app = app();
    let body = format!("{GOOD}\n{GOOD}\n");
    let answer = app.post("/api/v1/events", &[NDJSON], body.clone()).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({"accepted": 2, "skipped": 0})));
    let written = app.written();
    assert_eq!((written.len(), &*written[0].value), (1, body.as_bytes()));
    assert_eq!((written[0].header("format"), written[0].header("content-type")), (Some("json"), Some("application/x-ndjson")));
}

#[tokio::test]
async fn requests_take_the_partitions_in_turn() {
    let app = app();
    for _ in 0..6 {
        assert_eq!(app.post_json("/api/v1/events", GOOD).await.status, StatusCode::OK);
    }
    let partitions: Vec<u32> = app.written().iter().map(|w| w.partition).collect();
    assert_eq!(partitions, [0, 0, 1, 1, 2, 2]);
}

#[tokio::test]
async fn bad_events_are_named_and_the_good_ones_kept() {
    let app = app();
    let answer = app.post("/api/v1/events", &[NDJSON], format!("{GOOD}\n\n{BAD}\n{{\n{GOOD}")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::BAD_REQUEST, "application/problem+json"));
    let body = answer.json();
    assert_eq!((&body["accepted"], &body["rejected_total"]), (&json!(2), &json!(2)));
    let first = json!({"item": 1, "line": 3, "reason": "time_missing", "detail": "no time"});
    assert_eq!((&body["rejected"][0], &body["rejected"][1]["line"]), (&first, &json!(4)));
    assert_eq!(app.written().len(), 1, "written whole: the bad ones become dead letters");

    let answer = app.post_json("/api/v1/events", format!("[{GOOD},{BAD}]")).await.json();
    assert_eq!(answer["rejected"], json!([{"item": 1, "reason": "time_missing", "detail": "no time"}]));
}

#[tokio::test]
async fn when_all_are_bad_nothing_is_written_and_at_most_a_hundred_are_named() {
    let app = app();
    let answer = app.post_json("/api/v1/events", format!("[{}]", vec![BAD; 500].join(","))).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    let body = answer.json();
    assert_eq!((body["rejected"].as_array().unwrap().len(), &body["rejected_total"], &body["accepted"]), (100, &json!(500), &json!(0)));
    assert_eq!(app.written(), []);
}

#[tokio::test]
async fn an_empty_list_is_no_error_and_not_written() {
    let app = app();
    assert_eq!(app.post_json("/api/v1/events", "[]").await.status, StatusCode::OK);
    assert_eq!(app.post("/v1/traces", &[PROTOBUF], "").await.status, StatusCode::OK);
    assert_eq!(app.written(), []);
}

#[tokio::test]
async fn compressed_bodies_are_stored_inflated() {
    let app = app();
    let gzipped = gzip(GOOD.as_bytes());
    let zstandard = zstd::encode_all(GOOD.as_bytes(), 1).unwrap();
    for (coding, body) in [("gzip", gzipped), ("zstd", zstandard)] {
        let answer = app.post("/api/v1/events", &[JSON, ("content-encoding", coding)], body).await;
        assert_eq!(answer.status, StatusCode::OK, "{coding}");
    }
    assert!(app.written().iter().all(|w| w.value == GOOD.as_bytes()));
    for (coding, body) in [("br", "x"), ("gzip", "not gzip"), ("zstd", "not zstd")] {
        let status = app.post("/api/v1/events", &[JSON, ("content-encoding", coding)], body).await.status;
        assert!(status == StatusCode::UNSUPPORTED_MEDIA_TYPE || status == StatusCode::BAD_REQUEST, "{coding}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused_before_and_after_inflating() {
    let app = App::new(Setup { limits: Limits { body: 2 << 20, ..Limits::default() }, ..Setup::default() });
    let large = vec![b' '; (2 << 20) + 1];
    assert_eq!(app.post_json("/api/v1/events", large.clone()).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    let bomb = gzip(&large);
    assert!(bomb.len() < 100_000);
    assert_eq!(app.post("/api/v1/events", &[JSON, ("content-encoding", "gzip")], bomb).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(app.written(), []);
}

#[tokio::test]
async fn a_body_of_unknown_kind_is_refused_with_the_kinds_there_are() {
    let app = app();
    // No content-type, and those of an HTML form: what a foreign web page can send without being asked.
    for headers in [&[][..], &[("content-type", "text/plain")], &[("content-type", "application/x-www-form-urlencoded")], &[PROTOBUF]] {
        let answer = app.post("/api/v1/events", headers, GOOD).await;
        assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert!(answer.json()["detail"].as_str().unwrap().contains("application/json"));
    }
    assert_eq!(app.post("/v1/traces", &[NDJSON], GOOD).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(app.post("/api/v2/spans", &[PROTOBUF], GOOD).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn only_the_default_tenant_is_known() {
    let app = app();
    let other = app.post("/api/v1/events", &[JSON, ("X-Scope-OrgID", "acme")], GOOD).await;
    assert_eq!((other.status, app.written().len()), (StatusCode::BAD_REQUEST, 0));
    assert_eq!(app.post("/api/v1/events", &[JSON, ("X-Scope-OrgID", "default")], GOOD).await.status, StatusCode::OK);
}

#[tokio::test]
async fn each_refusal_of_the_log_has_its_status_and_a_time_to_wait() {
    let cases = [
        (AppendError::Overloaded, StatusCode::TOO_MANY_REQUESTS, "1"),
        (AppendError::Full("device".into()), StatusCode::SERVICE_UNAVAILABLE, "10"),
        (AppendError::Failed("secret path".into()), StatusCode::SERVICE_UNAVAILABLE, "10"),
    ];
    for (error, status, wait) in cases {
        let app = App::new(Setup { refuse: Some(error), ..Setup::default() });
        for (path, content_type, body) in
            [("/api/v1/events", JSON, GOOD.as_bytes().to_vec()), ("/v1/traces", PROTOBUF, otlp(vec![vec![span(1, 1)]]).encode_to_vec())]
        {
            let answer = app.post(path, &[content_type], body).await;
            assert_eq!((answer.status, answer.header("retry-after")), (status, wait));
            assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
        }
    }
}

#[tokio::test]
async fn bodies_beyond_the_budget_are_told_to_come_again_and_the_budget_is_given_back() {
    let app = App::new(Setup { limits: Limits { held: 400 << 10, ..Limits::default() }, ..Setup::default() });
    let large = format!("[{}]", vec![GOOD; 6000].join(","));
    let answer = app.post_json("/api/v1/events", large).await;
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    for _ in 0..10 {
        assert_eq!(app.post_json("/api/v1/events", GOOD).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_given_up() {
    struct Never;
    impl axum::body::HttpBody for Never {
        type Data = bytes::Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, std::io::Error>>> {
            std::task::Poll::Pending
        }
    }
    let app = App::new(Setup { limits: Limits { body_wait: Duration::ZERO, ..Limits::default() }, ..Setup::default() });
    assert_eq!(app.post_json("/api/v1/events", Body::new(Never)).await.status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn cloud_events_come_structured_in_batches_and_binary() {
    let app = app();
    let event = format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","datacontenttype":"application/json","data":{GOOD}}}"#);
    let structured = app.post("/api/v1/events", &[("content-type", "application/cloudevents+json; charset=utf-8")], event.clone()).await;
    let batch = app.post("/api/v1/events", &[("content-type", "application/cloudevents-batch+json")], format!("[{event}, {event}]")).await;
    let binary = [JSON, ("ce-specversion", "1.0"), ("ce-id", "a1"), ("ce-source", "/s"), ("ce-type", "t"), ("x-forwarded-for", "10.0.0.1")];
    let binary = app.post("/api/v1/events", &binary, GOOD).await;
    for (answer, accepted) in [(structured, 1), (batch, 2), (binary, 1)] {
        assert_eq!((answer.status, answer.json()["accepted"].as_u64()), (StatusCode::OK, Some(accepted)));
    }
    let written = app.written();
    assert_eq!(written.len(), 4);
    assert!(written.iter().all(|w| w.header("format") == Some("cloudevents")));
    let binary = written.iter().find(|w| w.value == GOOD.as_bytes()).unwrap();
    assert_eq!((binary.header("ce_id"), binary.header("ce_specversion"), binary.headers.len()), (Some("a1"), Some("1.0"), 6));
}

#[tokio::test]
async fn headers_of_other_requests_do_not_get_into_records() {
    let app = app();
    app.post("/api/v1/events", &[JSON, ("ce-id", "x"), ("__value_schema_id", "x"), ("format", "otlp_proto")], GOOD).await;
    let names: Vec<String> = app.written()[0].headers.iter().map(|(n, _)| n.clone()).collect();
    assert_eq!(names, ["content-type", "format"]);
}

fn zipkin(kind: &str) -> String {
    let endpoint = json!({"serviceName": "s"});
    json!({"traceId": "0af7651916cd43dd", "id": "b7ad6b7169203331", "kind": kind, "timestamp": 1_661_140_320_000_000_u64, "duration": 5, "localEndpoint": endpoint}).to_string()
}

#[tokio::test]
async fn zipkin_spans_are_taken_with_202() {
    let app = app();
    let answer = app.post_json("/api/v2/spans", format!("[{},{}]", zipkin("SERVER"), zipkin("CLIENT"))).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::ACCEPTED, json!({"accepted": 1, "skipped": 1})));
    assert_eq!(app.written()[0].header("format"), Some("zipkin_json"));
}

#[tokio::test]
async fn otlp_answers_are_in_the_encoding_of_the_request() {
    let app = app();
    let all_good = app.post("/v1/traces", &[PROTOBUF], otlp(vec![vec![span(1, 1)]]).encode_to_vec()).await;
    assert_eq!((all_good.status, all_good.header("content-type"), &*all_good.body), (StatusCode::OK, "application/x-protobuf", &b""[..]));
    let partly = app.post("/v1/traces", &[PROTOBUF], otlp(vec![vec![span(1, 1), span(0, 1)]]).encode_to_vec()).await;
    let partial = ExportTraceServiceResponse::decode(&*partly.body).unwrap().partial_success.unwrap();
    assert_eq!((partly.status, partial.rejected_spans), (StatusCode::OK, 1));
    assert!(partial.error_message.contains("time_missing"));

    let json = app.post_json("/v1/traces", r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":2,"startTimeUnixNano":"1661140320000000000","endTimeUnixNano":"1661140320000000001"},{"kind":2}]}]}]}"#).await;
    assert_eq!((json.status, json.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(json.json()["partialSuccess"]["rejectedSpans"], "1");
    assert_eq!(app.written().len(), 3);
}

#[tokio::test]
async fn undecodable_otlp_is_a_google_status_and_not_written() {
    #[derive(Message)]
    struct RpcStatus {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    let app = app();
    let protobuf = app.post("/v1/traces", &[PROTOBUF], "\u{1}\u{2}garbage").await;
    let status = RpcStatus::decode(&*protobuf.body).unwrap();
    assert_eq!((protobuf.status, protobuf.header("content-type"), status.code), (StatusCode::BAD_REQUEST, "application/x-protobuf", 3));
    assert!(status.message.contains("decode_protobuf"));
    let json = app.post_json("/v1/traces", "{").await;
    assert_eq!((json.status, &json.json()["code"]), (StatusCode::BAD_REQUEST, &json!(3)));
    assert_eq!(app.written(), []);
}

#[tokio::test]
async fn large_bodies_are_cut_between_items_and_items_keep_their_numbers() {
    let app = app();
    let padding = "x".repeat(1000);
    let good = format!(r#"{{"service":"s","timestamp":1661140320,"p":"{padding}"}}"#);
    let mut items = vec![good.clone(); 3000];
    items[2500] = BAD.into();
    let ndjson = app.post("/api/v1/events", &[NDJSON], items.join("\n")).await.json();
    assert_eq!((&ndjson["accepted"], &ndjson["rejected"][0]["line"]), (&json!(2999), &json!(2501)));
    let array = app.post_json("/api/v1/events", format!("[{}]", items.join(" , "))).await.json();
    assert_eq!((&array["accepted"], &array["rejected"][0]["item"]), (&json!(2999), &json!(2500)));
    let written = app.written();
    assert!(written.len() >= 6 && written.iter().all(|w| w.value.len() <= MAX_ITEM));
    let turns: std::collections::BTreeSet<u32> = written.iter().map(|w| w.partition).collect();
    assert_eq!(turns.len(), 2, "the pieces of a body lie together");
    let lines: Vec<u8> = written.iter().filter(|w| w.value[0] == b'{').flat_map(|w| w.value.clone()).collect();
    assert_eq!(lines, items.join("\n").into_bytes());
}

#[tokio::test]
async fn a_single_item_above_the_limit_is_refused_and_its_neighbours_kept() {
    let app = app();
    let huge = format!(r#"{{"service":"s","timestamp":1661140320,"p":"{}"}}"#, "x".repeat(MAX_ITEM));
    let bodies = [
        (NDJSON, format!("{GOOD}\n{huge}\n{GOOD}\n")),
        (JSON, format!("[{GOOD},{huge},{GOOD}]")),
        (JSON, format!("{GOOD} {huge}\n {GOOD}")),
    ];
    for (content_type, body) in bodies {
        let answer = app.post("/api/v1/events", &[content_type], body).await.json();
        assert_eq!((&answer["accepted"], &answer["rejected"][0]["reason"]), (&json!(2), &json!("size_exceeded")));
    }
    let spans = vec![vec![span(1, 10), span(1, MAX_ITEM)], vec![span(1, 10)]];
    let answer = app.post("/v1/traces", &[PROTOBUF], otlp(spans).encode_to_vec()).await;
    assert_eq!(ExportTraceServiceResponse::decode(&*answer.body).unwrap().partial_success.unwrap().rejected_spans, 1);
    assert!(app.written().iter().all(|w| w.value.len() <= MAX_ITEM));
}

#[tokio::test]
async fn large_otlp_requests_are_cut_between_spans_with_resource_and_scope_repeated() {
    let request = otlp((0..4).map(|scope| (0..400).map(|i| span(scope * 1000 + i + 1, 1500)).collect()).collect());
    let starts = |request: &ExportTraceServiceRequest| -> Vec<(String, u64)> {
        let scopes = request.resource_spans.iter().flat_map(|r| {
            assert_eq!((r.resource.as_ref().unwrap().dropped_attributes_count, &*r.schema_url), (7, "url"));
            &r.scope_spans
        });
        scopes.flat_map(|s| s.spans.iter().map(|span| (s.scope.clone().unwrap().name, span.start_time_unix_nano))).collect()
    };
    let app = app();
    assert_eq!(app.post("/v1/traces", &[PROTOBUF], request.encode_to_vec()).await.status, StatusCode::OK);
    let written = app.written();
    assert!((3..=4).contains(&written.len()) && written.iter().all(|w| w.value.len() <= MAX_ITEM));
    let read: Vec<_> = written.iter().flat_map(|w| starts(&ExportTraceServiceRequest::decode(&*w.value).unwrap())).collect();
    assert_eq!(read, starts(&request));
}

#[tokio::test]
async fn large_otlp_json_is_cut_the_same_way() {
    let spans: Vec<Value> = (0..900)
        .map(|i| json!({"kind": 2, "startTimeUnixNano": (1_661_140_320_000_000_000_u64 + i).to_string(), "name": "x".repeat(1500)}))
        .collect();
    let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": "é"}}]});
    let request = json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "a"}, "spans": spans}, {"spans": [{"kind": 2}]}]}]});
    let app = app();
    let answer = app.post_json("/v1/traces", request.to_string()).await;
    assert_eq!(answer.json()["partialSuccess"]["rejectedSpans"], "1");
    assert!(answer.json()["partialSuccess"]["errorMessage"].as_str().unwrap().contains("item 900"));
    let written: Vec<Value> = app.written().iter().map(|w| serde_json::from_slice(&w.value).unwrap()).collect();
    assert_eq!(written.len(), 2);
    let mut read = vec![];
    for piece in &written {
        for group in piece["resourceSpans"].as_array().unwrap() {
            assert_eq!(group["resource"], resource);
            read.extend(group["scopeSpans"][0]["spans"].as_array().unwrap().clone());
        }
    }
    assert_eq!((read.len(), &read[..900]), (901, &spans[..]));
}

#[tokio::test]
async fn large_documents_that_are_broken_are_refused_whole() {
    let app = app();
    let many = vec![GOOD; 40_000].join(",");
    for (path, content_type, body) in [
        ("/api/v1/events", JSON, format!("[{many}")),
        ("/api/v2/spans", JSON, format!("[{many},]")),
        ("/v1/traces", JSON, format!(r#"{{"resourceSpans":[{many}"#)),
        ("/v1/traces", PROTOBUF, "\u{f}".repeat(2 << 20)),
        ("/api/v1/events", ("content-type", "application/cloudevents-batch+json"), "{".into()),
    ] {
        let answer = app.post(path, &[content_type], body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        assert!(String::from_utf8_lossy(&answer.body).contains("decode_"), "{path}");
    }
    assert_eq!(app.written(), []);
}

/// A gauge of one instance, with so many bytes that are not looked at.
fn gauges(metrics: usize, padding: usize) -> String {
    let point = r#"{"timeUnixNano":"1661140320000000000","asDouble":0.5}"#;
    let metric = format!(r#"{{"name":"container.cpu.usage","description":"{}","gauge":{{"dataPoints":[{point}]}}}}"#, "x".repeat(padding));
    let all = vec![metric; metrics].join(",");
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"s"}}}}]}},"scopeMetrics":[{{"metrics":[{all}]}}]}}]}}"#
    )
}

#[tokio::test]
async fn metrics_are_stored_as_they_came_and_answered_as_otlp() {
    let app = app();
    let body = gauges(1, 0);
    let answer = app.post("/v1/metrics", &[JSON], body.clone()).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({})));
    let written = app.written();
    assert_eq!((written.len(), &*written[0].value, written[0].header("format")), (1, body.as_bytes(), Some("otlp_metrics_json")));
    let answer = app.post("/v1/metrics", &[PROTOBUF], b"\x0a\x05".to_vec()).await;
    assert_eq!((answer.status, app.written().len()), (StatusCode::BAD_REQUEST, 1));
    assert_eq!(app.post("/v1/metrics", &[("content-type", "text/plain")], "").await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

#[tokio::test]
async fn large_metrics_are_cut_between_metrics() {
    let app = app();
    let answer = app.post("/v1/metrics", &[JSON], gauges(3, MAX_ITEM / 2 + 1000)).await;
    assert_eq!((answer.status, answer.json()), (StatusCode::OK, json!({})));
    let written = app.written();
    let metrics = |value: &[u8]| {
        let value: Value = serde_json::from_slice(value).unwrap();
        assert_eq!(value["resourceMetrics"][0]["resource"]["attributes"][0]["key"], "service.name");
        value["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().len()
    };
    assert_eq!(written.iter().map(|record| metrics(&record.value)).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn remote_write_is_taken_in_both_versions_and_kept_compressed() {
    let app = app();
    // Snappy blocks of an empty request: no bytes, or the first symbol, which is empty.
    let snappy = ("content-encoding", "snappy");
    let one = app.post("/api/v1/write", &[PROTOBUF, snappy], vec![0]).await;
    assert_eq!((one.status, one.body.len()), (StatusCode::NO_CONTENT, 0));
    let version_2 = ("content-type", "application/x-protobuf;proto=io.prometheus.write.v2.Request");
    let two = app.post("/api/v1/write", &[version_2, snappy], vec![2, 4, 0x22, 0]).await;
    assert_eq!(two.status, StatusCode::NO_CONTENT);
    // Without these a sender of 2.0 takes all for lost.
    let counts = ["samples", "histograms", "exemplars"].map(|what| format!("x-prometheus-remote-write-{what}-written"));
    assert!(counts.iter().all(|name| one.header(name).is_empty() && two.header(name) == "0"));
    let written = app.written();
    let formats: Vec<_> = written.iter().map(|record| (record.header("format"), record.value.len())).collect();
    assert_eq!(formats, [(Some("remote_write"), 1), (Some("remote_write_2"), 4)]);
    let bad = app.post("/api/v1/write", &[PROTOBUF, snappy], "not snappy").await;
    assert_eq!((bad.status, app.written().len()), (StatusCode::BAD_REQUEST, 2));
    let other = ("content-type", "application/x-protobuf;proto=other");
    assert_eq!(app.post("/api/v1/write", &[other, snappy], vec![0]).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(app.post("/api/v1/events", &[NDJSON, snappy], GOOD).await.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
}
