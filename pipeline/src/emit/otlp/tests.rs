//! Requests, read with somebody else's messages.

use super::*;
use crate::emit::scrape::push::tests::{Log, Sink};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use platform_runtime::memory::MemoryStore;

fn requests(log: &Log) -> Vec<(Request, u64)> {
    let mut sink = Sink::new(MemoryStore::default(), &[], 0);
    sink.read(log);
    let encode = |chunk: &crate::emit::outbox::Chunk| {
        encode(&Samples::decode(&chunk.body).unwrap(), Temporality::Cumulative, Compatibility::default())
    };
    sink.send().iter().map(encode).map(|(body, points)| (Request::decode(&*body).unwrap(), points)).collect()
}

fn metric<'a>(request: &'a Request, name: &str) -> &'a Metric {
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    metrics.iter().find(|metric| metric.name == name).unwrap_or_else(|| panic!("{name} is not there"))
}

fn attributes(of: &[KeyValue]) -> Vec<String> {
    of.iter().map(|pair| format!("{}={}", pair.key, pair.value.clone().unwrap().string.unwrap())).collect()
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn counters_are_totals_since_their_start_and_begin_with_a_zero() {
    let mut log = Log::default();
    log.result("cart", 10, 0, 3, &["timeout"]);
    log.progress(10);
    log.result("cart", 11, 0, 2, &[]);
    log.progress(11);
    let requests = requests(&log);
    let sum = metric(&requests[0].0, "golden_signals.requests").sum.clone().unwrap();
    assert!(sum.is_monotonic && sum.temporality == CUMULATIVE);
    let times: Vec<_> = sum.points.iter().map(|point| (point.int, point.start / SECOND, point.time / SECOND)).collect();
    assert_eq!(times, [(Some(0), 600, 600), (Some(4), 600, 660)]);
    assert_eq!(attributes(&sum.points[0].attributes), ["grouping=service", "service.name=cart"]);
    let later = metric(&requests[1].0, "golden_signals.requests").sum.clone().unwrap();
    assert_eq!(later.points.iter().map(|point| (point.int, point.start / SECOND)).collect::<Vec<_>>(), [(Some(6), 600)]);
    let errors = metric(&requests[0].0, "golden_signals.errors").sum.clone().unwrap();
    assert_eq!(attributes(&errors.points.last().unwrap().attributes), ["grouping=service", "service.name=cart", "error.type=timeout"]);
}

#[test]
fn what_has_no_value_says_so_and_the_number_of_points_is_told() {
    let mut log = Log::default();
    log.result("cart", 10, 0, 0, &[]);
    log.progress(10);
    let (request, points) = requests(&log).remove(0);
    let gauge = metric(&request, "golden_signals.availability").gauge.clone().unwrap();
    assert_eq!((gauge.points[0].flags, gauge.points[0].double), (NO_RECORDED_VALUE, None));
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let of = |metric: &Metric| {
        let sums = metric.sum.as_ref().map_or(0, |sum| sum.points.len());
        sums + metric.gauge.as_ref().map_or(0, |gauge| gauge.points.len()) + metric.exponential.as_ref().map_or(0, |all| all.points.len())
    };
    assert_eq!(metrics.iter().map(of).sum::<usize>() as u64, points);
}

#[test]
fn the_answer_has_the_form_of_all_signals() {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "old".to_owned() });
    let bytes = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let read = messages::Response::decode(&*bytes).unwrap().partial_success.unwrap();
    assert_eq!((read.rejected, read.error.as_str()), (3, "old"));
}

#[test]
fn growth_is_what_came_since_the_last_point() {
    let mut log = Log::default();
    log.result("cart", 10, 0, 3, &["timeout"]);
    log.progress(10);
    log.progress(11);
    log.result("cart", 12, 0, 2, &[]);
    log.result("cart", 10, 1, 4, &["timeout"]);
    log.progress(12);
    let mut sink = Sink::with_growth(MemoryStore::default());
    sink.read(&log);
    let requests: Vec<Request> = sink
        .send()
        .iter()
        .map(|chunk| encode(&Samples::decode(&chunk.body).unwrap().growth(), Temporality::Delta, Compatibility::default()).0)
        .map(|body| Request::decode(&*body).unwrap())
        .collect();
    let points = |request: &Request, name| {
        let sum = metric(request, name).sum.clone().unwrap();
        assert_eq!(sum.temporality, DELTA);
        sum.points.iter().map(|point| (point.int.unwrap(), point.start / SECOND, point.time / SECOND)).collect::<Vec<_>>()
    };
    assert_eq!(points(&requests[0], "golden_signals.requests"), [(4, 600, 660)]);
    assert_eq!(points(&requests[1], "golden_signals.requests"), [(3, 660, 780)]);
    assert_eq!(points(&requests[1], "golden_signals.errors"), [(0, 660, 780), (0, 660, 780)]);
}

#[test]
fn names_of_other_tools_are_those_of_opentelemetry() {
    let mut log = Log::default();
    log.result_of("shop", Some("GET /carts/{id}"), 10, 0, 3, &["503"]);
    log.progress(10);
    let mut sink = Sink::new(MemoryStore::default(), &[], 0);
    sink.read(&log);
    let samples = Samples::decode(&sink.send()[0].body).unwrap();
    let names = Compatibility { http_server: true, span_metrics: true, ..Compatibility::default() };
    let request = Request::decode(&*encode(&samples, Temporality::Cumulative, names).0).unwrap();
    let http = metric(&request, "http.server.request.duration");
    let points = &http.exponential.as_ref().unwrap().points;
    assert_eq!((http.unit.as_str(), points.iter().map(|point| point.count).collect::<Vec<_>>()), ("s", vec![0, 3, 0, 1]));
    assert_eq!(
        attributes(&points[3].attributes),
        ["service.name=shop", "http.request.method=GET", "http.route=/carts/{id}", "error.type=_OTHER"]
    );
    let calls = &metric(&request, "traces.span.metrics.calls").sum.as_ref().unwrap().points;
    assert_eq!(
        attributes(&calls[1].attributes),
        ["service.name=shop", "span.name=GET /carts/{id}", "span.kind=SPAN_KIND_SERVER", "status.code=STATUS_CODE_UNSET"]
    );
    assert_eq!(calls.iter().map(|point| point.int).collect::<Vec<_>>(), [Some(0), Some(3), Some(0), Some(1)]);
}
