//! Decoding one record of fifty requests, for every format; beside it, what a general parser takes for the same bytes.
//!
//! Each sample is decoded once before it is measured: every item must come out as an event, so no figure stands for refusals.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use golden_generate::{fact::Fact, generator::Generator, settings::Settings};
use golden_pipeline::decode::{Input, Items, Reason, Skip, Wanted, decoder};
use golden_pipeline::event::Event;
use golden_pipeline::source::{Format, Source};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::fmt::Write;
use std::hint::black_box;

/// Requests in a record.
const ITEMS: u64 = 50;

/// One request, from which the samples of all formats are made.
struct Request {
    /// ns since 1970, in the first hour of 2026.
    start: i64,
    /// µs
    duration: u64,
    status: u16,
    id: u64,
}

fn settings() -> Settings {
    Settings { events: ITEMS, services: 1, operations: 1, ..Settings::default() }
}

/// The record of our own format as it is generated.
fn json() -> Vec<u8> {
    let mut lines = Vec::new();
    Generator::new(&settings()).expect("defaults are in range").fill(&mut lines, ITEMS);
    lines
}

fn requests() -> Vec<Request> {
    let mut generator = Generator::new(&settings()).expect("defaults are in range");
    let mut lines = Vec::new();
    let facts = std::iter::from_fn(|| generator.next_line(&mut lines));
    let events = facts.filter_map(|fact| if let Fact::Event(event) = fact { Some(event) } else { None });
    let request = |(id, event): (u64, golden_generate::fact::Event)| Request {
        start: event.time.0.max(settings().start.0),
        duration: event.latency.unwrap_or(0) / 1000 + 1,
        status: if id % 20 == 0 { 503 } else { 200 },
        id: id + 0x1234_5678_9abc_def0,
    };
    (0..).zip(events).map(request).collect()
}

impl Request {
    /// Second and millisecond in the hour.
    fn clock(&self) -> (i64, i64) {
        let millis = (self.start - settings().start.0) / 1_000_000;
        (millis / 1000, millis % 1000)
    }

    /// `2026-01-01T00:00:00.000Z`
    fn date(&self) -> String {
        let (second, millis) = self.clock();
        format!("2026-01-01T00:{:02}:{:02}.{millis:03}Z", second / 60, second % 60)
    }

    fn milliseconds(&self) -> u64 {
        self.duration / 1000
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn otlp_proto(requests: &[Request]) -> Vec<u8> {
    let span = |request: &Request| Span {
        trace_id: u128::from(request.id).to_be_bytes().to_vec(),
        span_id: request.id.to_be_bytes().to_vec(),
        parent_span_id: (!request.id).to_be_bytes().to_vec(),
        name: "GET /orders/{id}".to_owned(),
        kind: 2,
        start_time_unix_nano: request.start.unsigned_abs(),
        end_time_unix_nano: request.start.unsigned_abs() + request.duration * 1000,
        attributes: vec![
            text("http.request.method", "GET"),
            text("http.route", "/orders/{id}"),
            attribute("http.response.status_code", Value::IntValue(request.status.into())),
            text("url.path", "/orders/4711"),
            text("user_agent.original", "okhttp/4.12.0"),
            text("server.address", "orders.example.com"),
        ],
        ..Span::default()
    };
    let resource = Resource {
        attributes: vec![
            text("service.name", "orders"),
            text("service.version", "1.2.3"),
            text("host.name", "orders-1"),
            text("cloud.region", "eu-west-1"),
        ],
        ..Resource::default()
    };
    let scope = ScopeSpans { spans: requests.iter().map(span).collect(), ..ScopeSpans::default() };
    let spans = ResourceSpans { resource: Some(resource), scope_spans: vec![scope], ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec()
}

fn otlp_json(requests: &[Request]) -> String {
    let span = |request: &Request| {
        let Request { start, duration, status, id } = request;
        let attribute = |key: &str, value: &str| format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#);
        format!(
            r#"{{"traceId":"{id:032x}","spanId":"{id:016x}","name":"GET /orders/{{id}}","kind":2,"startTimeUnixNano":"{start}","endTimeUnixNano":"{}","attributes":[{},{},{{"key":"http.response.status_code","value":{{"intValue":"{status}"}}}},{}]}}"#,
            start.unsigned_abs() + duration * 1000,
            attribute("http.request.method", "GET"),
            attribute("http.route", "/orders/{id}"),
            attribute("user_agent.original", "okhttp/4.12.0"),
        )
    };
    format!(
        r#"{{"resourceSpans":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"orders"}}}}]}},"scopeSpans":[{{"scope":{{"name":"http"}},"spans":[{}]}}]}}]}}"#,
        joined(requests, span)
    )
}

fn zipkin_json(requests: &[Request]) -> String {
    let span = |request: &Request| {
        let Request { start, duration, status, id } = request;
        format!(
            r#"{{"traceId":"{id:016x}","id":"{id:016x}","kind":"SERVER","name":"get /orders","timestamp":{},"duration":{duration},"localEndpoint":{{"serviceName":"orders","ipv4":"10.0.0.1","port":8080}},"tags":{{"http.method":"GET","http.path":"/orders/4711","http.status_code":"{status}"}}}}"#,
            start / 1000
        )
    };
    format!("[{}]", joined(requests, span))
}

fn jaeger_json(requests: &[Request]) -> String {
    let span = |request: &Request| {
        let Request { start, duration, status, id } = request;
        format!(
            r#"{{"traceID":"{id:016x}","spanID":"{id:016x}","operationName":"GET /orders","references":[],"startTime":{},"duration":{duration},"tags":[{{"key":"span.kind","type":"string","value":"server"}},{{"key":"http.status_code","type":"int64","value":{status}}}],"logs":[],"processID":"p1"}}"#,
            start / 1000
        )
    };
    format!(
        r#"{{"data":[{{"traceID":"1234567890abcdef","spans":[{}],"processes":{{"p1":{{"serviceName":"orders","tags":[{{"key":"hostname","type":"string","value":"orders-1"}}]}}}}}}]}}"#,
        joined(requests, span)
    )
}

fn envoy_json(requests: &[Request]) -> String {
    lines(requests, |request| {
        format!(
            r#"{{"start_time":"{}","method":"GET","path":"/orders/4711?full=1","protocol":"HTTP/1.1","response_code":{},"response_flags":"-","bytes_received":0,"bytes_sent":178,"duration":{},"upstream_cluster":"inbound|9080||orders.shop.svc.cluster.local","upstream_host":"10.68.2.10:9080","user_agent":"okhttp/4.12.0","request_id":"{:016x}","requested_server_name":"outbound_.9080_._.orders.shop.svc.cluster.local","route_name":"default"}}"#,
            request.date(),
            request.status,
            request.milliseconds(),
            request.id
        )
    })
}

fn envoy_text(requests: &[Request]) -> String {
    lines(requests, |request| {
        format!(
            r#"[{}] "GET /orders/4711 HTTP/1.1" {} - via_upstream - "-" 0 178 {} 1 "-" "okhttp/4.12.0" "{:016x}" "orders:9080" "10.68.2.10:9080" inbound|9080|| 127.0.0.6:47889 10.68.2.10:9080 10.68.1.7:39696 outbound_.9080_._.orders.shop.svc.cluster.local default"#,
            request.date(),
            request.status,
            request.milliseconds(),
            request.id
        )
    })
}

fn nginx_json(requests: &[Request]) -> String {
    lines(requests, |request| {
        format!(
            r#"{{"time_iso8601":"{}","remote_addr":"10.1.2.3","request_method":"GET","request_uri":"/orders/4711","status":"{}","body_bytes_sent":"59","request_time":"0.{:03}","http_user_agent":"okhttp/4.12.0","host":"shop.example.com","request_id":"{:032x}"}}"#,
            request.date(),
            request.status,
            request.milliseconds() % 1000,
            request.id
        )
    })
}

fn nginx_ingress(requests: &[Request]) -> String {
    lines(requests, |request| {
        let (seconds, id) = (format!("0.{:03}", request.milliseconds() % 1000), request.id);
        format!(
            r#"10.1.2.3 - - [01/Jan/2026:00:00:{:02} +0000] "GET /orders/4711 HTTP/1.1" {} 59 "-" "okhttp/4.12.0" 91 {seconds} [shop-orders-8080] [] 172.17.0.5:8080 59 {seconds} {} {id:032x}"#,
            request.clock().0 % 60,
            request.status,
            request.status
        )
    })
}

fn combined(requests: &[Request]) -> String {
    lines(requests, |request| {
        format!(
            r#"10.1.2.3 - - [01/Jan/2026:00:00:{:02} +0000] "GET /orders/4711 HTTP/1.1" {} 59 "https://shop.example.com/" "Mozilla/5.0 (X11; Linux x86_64)""#,
            request.clock().0 % 60,
            request.status
        )
    })
}

/// One event only: a structured CloudEvent holds one.
fn cloudevents(requests: &[Request]) -> String {
    requests.first().map_or_else(String::new, |request| {
        format!(
            r#"{{"specversion":"1.0","id":"{:016x}","source":"/shop/orders","type":"request","time":"{}","datacontenttype":"application/json","data":{{"service":"orders","operation":"GET /orders/{{id}}","status":{},"latency_ms":{}}}}}"#,
            request.id,
            request.date(),
            request.status,
            request.milliseconds()
        )
    })
}

fn joined(requests: &[Request], one: impl Fn(&Request) -> String) -> String {
    requests.iter().map(one).collect::<Vec<_>>().join(",")
}

fn lines(requests: &[Request], one: impl Fn(&Request) -> String) -> String {
    requests.iter().fold(String::new(), |mut all, request| {
        // Writing to a text does not fail.
        let _ = writeln!(all, "{}", one(request));
        all
    })
}

#[derive(Default)]
struct Count {
    events: u64,
    refused: Vec<String>,
}

impl Items for Count {
    fn event(&mut self, _: u32, event: &Event<'_>) {
        black_box(event);
        self.events += 1;
    }

    fn skipped(&mut self, at: u32, reason: Skip) {
        self.refused.push(format!("{at}: {reason:?}"));
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, _: &[u8]) {
        self.refused.push(format!("{at}: {reason:?}: {detail}"));
    }
}

fn benches(criterion: &mut Criterion) {
    let requests = requests();
    let samples = [
        (Format::Json, json(), ITEMS),
        (Format::OtlpProto, otlp_proto(&requests), ITEMS),
        (Format::OtlpJson, otlp_json(&requests).into_bytes(), ITEMS),
        (Format::ZipkinJson, zipkin_json(&requests).into_bytes(), ITEMS),
        (Format::JaegerJson, jaeger_json(&requests).into_bytes(), ITEMS),
        (Format::EnvoyJson, envoy_json(&requests).into_bytes(), ITEMS),
        (Format::EnvoyText, envoy_text(&requests).into_bytes(), ITEMS),
        (Format::NginxJson, nginx_json(&requests).into_bytes(), ITEMS),
        (Format::NginxIngress, nginx_ingress(&requests).into_bytes(), ITEMS),
        (Format::Combined, combined(&requests).into_bytes(), ITEMS),
        (Format::CloudEvents, cloudevents(&requests).into_bytes(), 1),
    ];
    let mut group = criterion.benchmark_group("decode");
    for (format, value, items) in &samples {
        let mut source = Source::for_format(*format);
        source.defaults.service = Some("orders".to_owned());
        let mut decoder = decoder(&source, &Wanted::default());
        let input = Input::new(value);
        let mut once = Count::default();
        decoder.decode(&input, &mut once);
        assert!(once.events == *items && once.refused.is_empty(), "{}: {} events, {:?}", format.name(), once.events, once.refused);
        group.throughput(Throughput::Elements(*items));
        group.bench_function(BenchmarkId::from_parameter(format.name()), |bencher| {
            let mut count = Count::default();
            bencher.iter(|| decoder.decode(black_box(&input), &mut count));
        });
    }
    // What the general parsers take for the same bytes.
    group.throughput(Throughput::Elements(ITEMS));
    for (format, value, _) in &samples {
        match format {
            Format::OtlpProto => {
                group.bench_function("otlp_proto, prost to structs", |bencher| {
                    bencher.iter(|| ExportTraceServiceRequest::decode(black_box(value.as_slice())).is_ok());
                });
            }
            Format::OtlpJson => {
                group.bench_function("otlp_json, serde_json checked only", |bencher| {
                    bencher.iter(|| serde_json::from_slice::<serde::de::IgnoredAny>(black_box(value)).is_ok());
                });
            }
            _ => {}
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
