//! Gauges of resources from those who have them already, into a whole process: OTLP metrics in topics of Kafka, and a real Prometheus that writes
//! to it. What the public records, the API and the page say of saturation is exact.

use crate::fleet::{Cluster, ONE};
use crate::ledger::SETTINGS;
use crate::process::{Service, eventually};
use crate::prometheus::Prometheus;
use crate::receiver::Receiver;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric, number_data_point};
use opentelemetry_proto::tonic::resource::v1::Resource;
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::record::{NewRecord, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::topics::Needed;
use platform_runtime::clock::SystemClock;
use prost::Message as _;
use serde_json::{Value, json};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const MIB: f64 = (1 << 20) as f64;

fn attributes(pairs: &[(&str, &str)]) -> Vec<KeyValue> {
    let value = |text: &str| Some(AnyValue { value: Some(any_value::Value::StringValue(text.to_owned())) });
    pairs.iter().map(|(key, text)| KeyValue { key: (*key).to_owned(), value: value(text), ..KeyValue::default() }).collect()
}

/// A gauge: name, attributes of its point, value.
type Given<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Gauges of one container.
fn container(service: &str, pod: &str, time: i64, gauges: &[Given<'_>]) -> ResourceMetrics {
    let resource = attributes(&[("service.name", service), ("k8s.pod.uid", pod), ("k8s.container.name", "main")]);
    let metric = |(name, more, value): &Given<'_>| {
        let point = NumberDataPoint {
            attributes: attributes(more),
            time_unix_nano: time as u64,
            value: Some(number_data_point::Value::AsDouble(*value)),
            ..NumberDataPoint::default()
        };
        let data = Some(metric::Data::Gauge(Gauge { data_points: vec![point] }));
        Metric { name: (*name).to_owned(), data, ..Metric::default() }
    };
    ResourceMetrics {
        resource: Some(Resource { attributes: resource, ..Resource::default() }),
        scope_metrics: vec![ScopeMetrics { metrics: gauges.iter().map(metric).collect(), ..ScopeMetrics::default() }],
        ..ResourceMetrics::default()
    }
}

/// Two containers that are bounded, and one that is not, which is left out.
fn of_shop(time: i64) -> Vec<u8> {
    let used: &[(&str, &str)] = &[("db.client.connection.state", "used")];
    let idle: &[(&str, &str)] = &[("db.client.connection.state", "idle")];
    let bounded = |pod, cores, mib| {
        let gauges: [Given<'_>; 7] = [
            ("container.cpu.usage", &[], cores),
            ("k8s.container.cpu_limit", &[], 2.0),
            ("container.memory.working_set", &[], mib * MIB),
            ("k8s.container.memory_limit", &[], 1000.0 * MIB),
            ("db.client.connection.count", used, 45.0),
            ("db.client.connection.count", idle, 5.0),
            ("db.client.connection.max", &[], 50.0),
        ];
        container("shop", pod, time, &gauges)
    };
    let unbounded = container("shop", "c", time, &[("container.memory.working_set", &[], 9000.0 * MIB)]);
    let resource_metrics = vec![bounded("a", 0.5, 600.0), bounded("b", 1.0, 300.0), unbounded];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}

fn of_cart(time: i64) -> String {
    let gauge = |name: &str, more: Value, value: f64| json!({"name": name, "gauge": {"dataPoints": [{"timeUnixNano": time.to_string(), "asDouble": value, "attributes": more}]}});
    let heap = json!([{"key": "jvm.memory.type", "value": {"stringValue": "heap"}}]);
    let metrics = [
        gauge("jvm.memory.used", heap.clone(), 300.0 * MIB),
        gauge("jvm.memory.limit", heap, 400.0 * MIB),
        gauge("jvm.cpu.recent_utilization", json!([]), 0.125),
    ];
    let attributes = json!([
        {"key": "service.name", "value": {"stringValue": "cart"}}, {"key": "service.instance.id", "value": {"stringValue": "1"}},
    ]);
    json!({"resourceMetrics": [{"resource": {"attributes": attributes}, "scopeMetrics": [{"metrics": metrics}]}]}).to_string()
}

/// A request of now of each service.
fn requests(service: &Service, names: &[&str]) {
    let now = SystemClock::new().wall();
    let event = |name: &&str| json!({"service": name, "timestamp": now, "duration_ns": 1_000_000, "status": 200}).to_string();
    let body = names.iter().map(event).collect::<Vec<_>>().join("\n");
    let post = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    assert!(post.send(body.as_bytes()).unwrap().status().is_success());
}

/// What the windows with requests say of saturation, from the second one on: the first may have begun before all gauges were there.
fn published(service: &Service, name: &str) -> Vec<Value> {
    let found = service.get(&format!("/api/v1/services/{name}/signals?limit=10000")).unwrap_or_default();
    let mut records = found["records"].as_array().cloned().unwrap_or_default();
    records.retain(|record| record["requests"]["count"] != 0);
    records.sort_by_key(|record| record["window_start"].as_str().unwrap().to_owned());
    records.iter().skip(1).map(|record| record["saturation"].clone()).collect()
}

/// Whether the page and the one number of the API say what a record says.
fn shown(service: &Service, name: &str, saturation: &Value) -> bool {
    let page = ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let line = |metric: &str, resource: &str, value: &Value| {
        format!(r#"golden_signals_{metric}_ratio{{grouping="service",service_name="{name}",resource="{resource}"}} {value}"#)
    };
    let utilization = saturation["utilization"].as_object().unwrap();
    let mut wanted: Vec<String> = utilization.iter().map(|(resource, value)| line("utilization", resource, value)).collect();
    wanted.push(line("saturation", saturation["resource"].as_str().unwrap(), &saturation["ratio"]));
    let of_service = format!(r#"grouping="service",service_name="{name}""#);
    let is = |line: &&str| {
        let of_gauges = line.starts_with("golden_signals_saturation_ratio") || line.starts_with("golden_signals_utilization_ratio");
        of_gauges && line.contains(&of_service)
    };
    let mut found: Vec<&str> = page.lines().filter(is).collect();
    found.sort_unstable();
    wanted.sort_unstable();
    let number = service.get(&format!("/api/v1/services/{name}/value?signal=saturation")).unwrap_or_default();
    found == wanted && number["value"] == saturation["ratio"]
}

#[test]
fn otlp_metrics_in_topics_of_kafka_are_the_saturation_of_their_windows() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    let sources = "[{topic: otlp_metrics, format: otlp_metrics_proto}, {topic: otlp_metrics_json, format: otlp_metrics_json}]";
    let kafka = format!("kafka: {{bootstrap: \"{}\", dev: true}}", cluster.bootstrap);
    let config = folder.path().join("golden.yaml");
    std::fs::write(&config, format!("{SETTINGS}log: {{partitions: 2, reserve_mib: 1, sources: {sources}, {kafka}}}\n")).unwrap();

    let clock = Arc::new(SystemClock::new());
    let settings = platform_kafka::settings::Settings { bootstrap: cluster.bootstrap.clone(), dev: true, ..Default::default() };
    let log = Kafka::new(&settings, "test", Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let topics = ["otlp_metrics", "otlp_metrics_json"].map(Topic::new);
    let needed = |topic: &Topic| Needed { topic: topic.clone(), partitions: 2, retention: Duration::from_secs(3600), foreign: false };
    log.apply(&log.plan(&topics.each_ref().map(needed)).unwrap()).unwrap();
    let applied = Command::new(env!("CARGO_BIN_EXE_golden")).args(["topics", "apply"]).current_dir(folder.path()).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let [proto, text] = topics;
    let producer = log.producer().unwrap();
    let append = |topic: &Topic, partition: u32, value: &[u8]| {
        let record = NewRecord { key: None, headers: &[], value: Some(value) };
        producer.append(&Partition::new(topic, partition), &[record]).unwrap();
    };

    let mut service = Service::start(&["--data", &folder.path().join("data").display().to_string()], Some(&config));
    let of = |ratio: f64, resource: &str, utilization: Value| json!({"ratio": ratio, "resource": resource, "utilization": utilization});
    let wanted = [
        ("shop", of(0.9, "connections", json!({"connections": 0.9, "cpu": 0.375, "memory": 0.45}))),
        ("cart", of(0.75, "memory", json!({"cpu": 0.125, "memory": 0.75}))),
    ];
    let mut turns = 0_u32;
    eventually("the saturation of both is published, and shown", 120, || {
        if turns.is_multiple_of(5) {
            let now = clock.wall();
            append(&proto, turns % 2, &of_shop(now));
            append(&text, turns % 2, of_cart(now).as_bytes());
            requests(&service, &["shop", "cart", "search"]);
        }
        turns += 1;
        wanted.iter().all(|(name, saturation)| published(&service, name).len() > 1 && shown(&service, name, saturation))
    });
    for (name, saturation) in &wanted {
        let all = published(&service, name);
        assert!(all.iter().all(|said| said == saturation), "{name}: {all:#?}, not {saturation:#}");
    }
    assert!(published(&service, "search").iter().all(Value::is_null), "it has no gauges");
    assert!(service.stop(), "{}", service.said());
}

/// What a Prometheus finds at its target, of both services.
fn exposition(mib: u64) -> String {
    let mut page = String::new();
    for service in ["one", "two"] {
        let labels = format!("service_name=\"{service}\",pod=\"a\",container=\"main\"");
        for (name, more, value) in [
            ("container_memory_working_set_bytes", "", mib as f64 * MIB),
            ("container_spec_memory_limit_bytes", "", 1000.0 * MIB),
            ("container_cpu_usage", "", 0.5),
            ("kube_pod_container_resource_limits", ",resource=\"cpu\",unit=\"core\"", 2.0),
            ("container_threads", "", 40.0),
        ] {
            page += &format!("# TYPE {name} gauge\n{name}{{{labels}{more}}} {value}\n");
        }
    }
    // A family stands in one piece.
    let mut lines: Vec<&str> = page.lines().collect();
    lines.sort_by_key(|line| {
        (line.trim_start_matches("# TYPE ").split(['{', ' ']).next().unwrap_or_default().to_owned(), !line.starts_with('#'))
    });
    lines.dedup();
    lines.join("\n") + "\n"
}

#[test]
fn a_real_prometheus_writes_gauges_by_both_versions_and_they_are_the_saturation() {
    let folder = tempfile::tempdir().unwrap();
    let golden = folder.path().join("golden.yaml");
    std::fs::write(&golden, format!("{SETTINGS}log: {{partitions: 2, reserve_mib: 1}}\n")).unwrap();
    let mut service = Service::start(&["--data", &folder.path().join("data").display().to_string()], Some(&golden));
    let mib = Arc::new(AtomicU64::new(600));
    let held = Arc::clone(&mib);
    let target = Receiver::at("127.0.0.1:0", move |_| (200, exposition(held.load(Ordering::Relaxed))));
    // A service for each version, so that neither stands in for the other.
    let write = |service_name: &str, message: &str| {
        format!(
            "- name: {service_name}\n  url: {}/api/v1/write\n  protobuf_message: {message}\n  queue_config: {{batch_send_deadline: 500ms}}\n  \
             write_relabel_configs: [{{source_labels: [service_name], regex: {service_name}, action: keep}}]\n",
            service.url
        )
    };
    let config = folder.path().join("prometheus.yml");
    let scrape = format!(
        "global: {{scrape_interval: 1s}}\nscrape_configs:\n- job_name: agent\n  fallback_scrape_protocol: PrometheusText0.0.4\n  \
         static_configs: [{{targets: ['{}']}}]\n",
        target.url.trim_start_matches("http://")
    );
    let writes = [write("one", "prometheus.WriteRequest"), write("two", "io.prometheus.write.v2.Request")].concat();
    std::fs::write(&config, format!("{scrape}remote_write:\n{writes}")).unwrap();
    let prometheus = Prometheus::start(&["--config", &config.display().to_string()]);

    let saturation = |ratio: f64| json!({"ratio": ratio, "resource": "memory", "utilization": {"cpu": 0.25, "memory": ratio}});
    for (now, ratio) in [(600, 0.6), (900, 0.9)] {
        mib.store(now, Ordering::Relaxed);
        let mut turns = 0_u32;
        eventually("what was written is the saturation of both", 120, || {
            if turns.is_multiple_of(5) {
                requests(&service, &["one", "two"]);
            }
            turns += 1;
            ["one", "two"].iter().all(|name| shown(&service, name, &saturation(ratio)))
        });
    }
    for name in ["one", "two"] {
        let ratios: Vec<Value> = published(&service, name);
        assert!(ratios.iter().all(|said| [saturation(0.6), saturation(0.9)].contains(said)), "{name}: {ratios:#?}");
        assert!(ratios.is_sorted_by_key(|said| said["ratio"].as_f64().map(|ratio| (ratio * 10.0) as u64)), "{name}: {ratios:#?}");
    }
    let page = ureq::get(&format!("{}/metrics", prometheus.url)).call().unwrap().body_mut().read_to_string().unwrap();
    let of = |name: &str| -> Vec<f64> {
        let lines = page.lines().filter(|line| line.starts_with(name));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect()
    };
    let sent = of("prometheus_remote_storage_samples_total{");
    assert!(sent.len() == 2 && sent.iter().all(|count| *count > 50.0), "{sent:?}");
    assert_eq!(of("prometheus_remote_storage_samples_failed_total{"), [0.0, 0.0], "nothing was refused");
    assert!(service.stop(), "{}", service.said());
}
