use super::*;
use crate::decode::collected::{Collected, changed, changes, decode, source};
use crate::resource::Instance;
use crate::source::Format;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::metrics::v1 as wire;
use opentelemetry_proto::tonic::resource::v1 as resource;
use proptest::prelude::*;

const POD: &str = r#"{"key":"k8s.pod.uid","value":{"stringValue":"uid"}},{"key":"k8s.container.name","value":{"stringValue":"app"}}"#;

fn document(attributes: &str, metrics: &str) -> String {
    format!(
        r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{attributes}]}},"scopeMetrics":[{{"scope":{{"name":"s"}},"metrics":[{metrics}]}}]}}]}}"#
    )
}

fn point(attributes: &str, value: &str) -> String {
    format!(r#"{{"attributes":[{attributes}],"startTimeUnixNano":"1","timeUnixNano":"1700000000000000000",{value}}}"#)
}

fn json(text: &str) -> Collected {
    decode(&mut OtlpMetrics::new(Encoding::Json, &source(Format::OtlpMetricsJson)), text.as_bytes())
}

/// Samples as service, measure and value.
fn told(collected: &Collected) -> Vec<(&str, Measure, u64)> {
    assert_eq!((collected.skipped.as_slice(), collected.dead.len(), collected.events.len()), (&[(0, Skip::Metrics)][..], 0, 0));
    collected.gauges.iter().map(|gauge| (gauge.service.as_str(), gauge.measure, gauge.value)).collect()
}

#[test]
fn gauges_join_on_pod_and_container_and_name_the_deployment_when_there_is_no_service() {
    let attributes = format!(r#"{POD},{{"key":"k8s.deployment.name","value":{{"stringValue":"cart"}}}}"#);
    let metrics = [
        format!(r#"{{"name":"container.cpu.usage","unit":"{{cpu}}","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asDouble":0.25"#)),
        format!(r#"{{"name":"k8s.container.cpu_limit","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asInt":"2""#)),
        format!(r#"{{"name":"container.memory.working_set","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asInt":1024"#)),
        format!(r#"{{"name":"k8s.container.memory_limit","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asInt":"9223372036854771712""#)),
        format!(r#"{{"name":"container.filesystem.usage","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asInt":1"#)),
    ];
    let collected = json(&document(&attributes, &metrics.join(",")));
    let expected =
        [("/cart", Measure::CpuUsed, 250_000), ("/cart", Measure::CpuLimit, 2_000_000), ("/cart", Measure::WorkingSet, 1_024_000_000)];
    let mut all = told(&collected);
    all.sort_by_key(|(_, measure, _)| *measure);
    assert_eq!(all, expected, "what no machine has is no limit");
    assert!(collected.gauges.iter().all(|gauge| gauge.instance == Instance::of("uid", "app") && gauge.time == 1_700_000_000_000_000_000));
}

#[test]
fn parts_of_one_time_are_summed_and_only_those_that_count() {
    let attributes = r#"{"key":"service.name","value":{"stringValue":"cart"}},{"key":"service.namespace","value":{"stringValue":"eu"}},{"key":"service.instance.id","value":{"stringValue":"i"}}"#;
    let of = |kind: &str, pool: &str| {
        format!(
            r#"{{"key":"jvm.memory.type","value":{{"stringValue":"{kind}"}}}},{{"key":"jvm.memory.pool.name","value":{{"stringValue":"{pool}"}}}}"#
        )
    };
    let state = |state: &str| format!(r#"{{"key":"db.client.connection.state","value":{{"stringValue":"{state}"}}}}"#);
    let (eden, old, code) = (
        point(&of("heap", "eden"), r#""asInt":"100""#),
        point(&of("heap", "old"), r#""asInt":"200""#),
        point(&of("non_heap", "code"), r#""asInt":"999""#),
    );
    let (used, idle) = (point(&state("used"), r#""asInt":3"#), point(&state("idle"), r#""asInt":7"#));
    let sums = |points: &str| format!(r#""sum":{{"dataPoints":[{points}],"aggregationTemporality":2}}"#);
    let metrics = [
        format!(r#"{{"name":"jvm.memory.used",{}}}"#, sums(&format!("{eden},{old},{code}"))),
        format!(r#"{{"name":"db.client.connection.count",{}}}"#, sums(&format!("{used},{idle}"))),
        format!(
            r#"{{"name":"jvm.thread.count",{}}}"#,
            sums(&format!("{},{}", point("", r#""asInt":-1"#), point("", r#""asDouble":"NaN""#)))
        ),
        format!(r#"{{"name":"jvm.thread.count","sum":{{"dataPoints":[{used}],"isMonotonic":true}}}}"#),
        format!(
            r#"{{"name":"jvm.thread.count","sum":{{"dataPoints":[{used}],"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA"}}}}"#
        ),
        format!(r#"{{"name":"jvm.thread.count","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asInt":5,"flags":1"#)),
    ];
    let collected = json(&document(attributes, &metrics.join(",")));
    assert_eq!(told(&collected), [("eu/cart", Measure::HeapUsed, 300_000_000), ("eu/cart", Measure::ConnectionsUsed, 3_000_000)]);
    assert_eq!(collected.gauges[0].instance, Instance::of("i", ""));
}

#[test]
fn replicas_against_their_limit_are_of_the_service_that_is_scaled() {
    let attributes = r#"{"key":"k8s.hpa.name","value":{"stringValue":"cart-scaler"}},{"key":"k8s.hpa.uid","value":{"stringValue":"u"}},{"key":"k8s.hpa.scaletargetref.name","value":{"stringValue":"cart"}}"#;
    for (used, limit) in [("k8s.hpa.pod.current", "k8s.hpa.pod.max"), ("k8s.hpa.current_replicas", "k8s.hpa.max_replicas")] {
        let of = |name: &str, value: u64| {
            format!(r#"{{"name":"{name}","gauge":{{"dataPoints":[{}]}}}}"#, point("", &format!(r#""asInt":"{value}""#)))
        };
        let collected = json(&document(attributes, &[of(used, 9), of(limit, 10), of("k8s.hpa.min_replicas", 2)].join(",")));
        assert_eq!(told(&collected), [("/cart", Measure::Replicas, 9_000_000), ("/cart", Measure::ReplicasLimit, 10_000_000)], "{used}");
        assert!(collected.gauges.iter().all(|gauge| gauge.instance == Instance::of("u", "")), "both are of one scaler");
    }
}

#[test]
fn what_is_no_request_of_metrics_is_a_dead_letter() {
    for (text, reason) in [
        ("{", Reason::DecodeJson),
        ("", Reason::EmptyValue),
        (r#"{"resourceMetrics":[{"scopeMetrics":7}]}"#, Reason::SchemaMismatch),
        (r#"{"resourceMetrics":[],"resourceMetrics":[]}"#, Reason::DecodeJson),
    ] {
        assert_eq!(json(text).reasons(), [reason], "{text}");
    }
    assert_eq!(
        decode(&mut OtlpMetrics::new(Encoding::Proto, &source(Format::OtlpMetricsJson)), b"\x0a\x05").reasons(),
        [Reason::DecodeProtobuf]
    );
    assert_eq!(told(&json(r#"{"resourceMetrics":null}"#)), []);
}

/// What exporters of others write.
fn request() -> ExportMetricsServiceRequest {
    let text = |key: &str, value: &str| common::KeyValue {
        key: key.to_owned(),
        value: Some(common::AnyValue { value: Some(common::any_value::Value::StringValue(value.to_owned())) }),
        ..Default::default()
    };
    let point = wire::NumberDataPoint {
        time_unix_nano: 1_700_000_000_000_000_000,
        value: Some(wire::number_data_point::Value::AsInt(150)),
        attributes: vec![text("jvm.thread.state", "runnable")],
        ..Default::default()
    };
    let sum = wire::Sum { data_points: vec![point.clone(), point], aggregation_temporality: 2, is_monotonic: false };
    let metric = wire::Metric { name: "jvm.thread.count".to_owned(), data: Some(wire::metric::Data::Sum(sum)), ..Default::default() };
    let scope = wire::ScopeMetrics { metrics: vec![metric], ..Default::default() };
    let resource =
        resource::Resource { attributes: vec![text("service.name", "cart"), text("service.instance.id", "i")], ..Default::default() };
    let of_resource = wire::ResourceMetrics { resource: Some(resource), scope_metrics: vec![scope], ..Default::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }
}

#[test]
fn protobuf_of_other_exporters_says_the_same() {
    let collected = decode(&mut OtlpMetrics::new(Encoding::Proto, &source(Format::OtlpMetricsJson)), &request().encode_to_vec());
    assert_eq!(told(&collected), [("/cart", Measure::Threads, 300_000_000)]);
}

proptest! {
    #[test]
    fn changed_bytes_are_one_item_whatever_they_are(list in changes()) {
        for (encoding, bytes) in [
            (Encoding::Proto, request().encode_to_vec()),
            (Encoding::Json, document(POD, &format!(r#"{{"name":"container.cpu.usage","gauge":{{"dataPoints":[{}]}}}}"#, point("", r#""asDouble":1"#))).into_bytes()),
        ] {
            let collected = decode(&mut OtlpMetrics::new(encoding, &source(Format::OtlpMetricsJson)), &changed(&bytes, &list));
            prop_assert_eq!(collected.len(), 1);
        }
    }
}
