use super::*;
use crate::decode::collected::{Collected, changed, changes, decode, source};
use crate::resource::Instance;
use crate::source::Format;
use proptest::prelude::*;

type Series<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

fn packed(message: &impl Message) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(&message.encode_to_vec()).unwrap()
}

fn version_1(all: &[Series<'_>]) -> Vec<u8> {
    let label = |(name, value): &(&str, &str)| v1::Label { name: (*name).into(), value: (*value).into() };
    let timeseries = all
        .iter()
        .map(|(labels, samples)| v1::TimeSeries {
            labels: labels.iter().map(label).collect(),
            samples: samples.iter().map(|(timestamp, value)| v1::Sample { value: *value, timestamp: *timestamp }).collect(),
            ..Default::default()
        })
        .collect();
    packed(&v1::WriteRequest { timeseries })
}

fn version_2(all: &[Series<'_>]) -> Vec<u8> {
    let mut symbols = vec![String::new()];
    let timeseries = all
        .iter()
        .map(|(labels, samples)| {
            let mut labels_refs = Vec::new();
            for text in labels.iter().flat_map(|(name, value)| [name, value]) {
                labels_refs.push(u32::try_from(symbols.len()).unwrap());
                symbols.push((*text).to_owned());
            }
            let sample = |(timestamp, value): &(i64, f64)| v2::Sample { value: *value, timestamp: *timestamp, ..Default::default() };
            v2::TimeSeries { labels_refs, samples: samples.iter().map(sample).collect(), ..Default::default() }
        })
        .collect();
    packed(&v2::Request { symbols, timeseries })
}

fn both(all: &[Series<'_>]) -> Collected {
    let one = decode(&mut RemoteWrite::new(Version::One, &source(Format::RemoteWrite)), &version_1(all));
    assert_eq!(one, decode(&mut RemoteWrite::new(Version::Two, &source(Format::RemoteWrite)), &version_2(all)));
    assert_eq!((one.skipped.as_slice(), one.len()), (&[(0, Skip::Metrics)][..], 1));
    one
}

/// Samples as service, instance, measure and value.
fn told(collected: &Collected) -> Vec<(&str, Instance, Measure, u64)> {
    collected.gauges.iter().map(|gauge| (gauge.service.as_str(), gauge.instance, gauge.measure, gauge.value)).collect()
}

const AT: i64 = 1_700_000_000_000;

#[test]
fn replicas_and_connections_are_known_in_the_spelling_of_their_exporters() {
    let scaler = |name: &'static str| [("__name__", name), ("horizontalpodautoscaler", "cart"), ("namespace", "eu")];
    let (used, limit) =
        (scaler("kube_horizontalpodautoscaler_status_current_replicas"), scaler("kube_horizontalpodautoscaler_spec_max_replicas"));
    let pool = |name: &'static str| [("__name__", name), ("service_name", "cart"), ("instance", "i"), ("state", "used")];
    let (open, most) = (pool("db_client_connection_count"), pool("db_client_connection_max"));
    let collected = both(&[(&used, &[(AT, 9.0)]), (&limit, &[(AT, 10.0)]), (&open, &[(AT, 3.0)]), (&most, &[(AT, 4.0)])]);
    let mut all: Vec<_> = told(&collected).into_iter().map(|(service, _, measure, value)| (service, measure, value)).collect();
    all.sort_by_key(|(_, measure, _)| *measure);
    assert_eq!(
        all,
        [
            ("/cart", Measure::ConnectionsUsed, 3_000_000),
            ("/cart", Measure::ConnectionsLimit, 4_000_000),
            ("/cart", Measure::Replicas, 9_000_000),
            ("/cart", Measure::ReplicasLimit, 10_000_000)
        ]
    );
}

#[test]
fn names_of_opentelemetry_are_known_in_their_prometheus_spelling() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let collected = both(&[
        (
            &[
                ("__name__", "jvm_memory_used_bytes"),
                ("instance", "i"),
                ("job", "eu/cart"),
                ("jvm_memory_type", "heap"),
                ("jvm_memory_pool_name", "eden"),
            ],
            &[(AT, 100.0), (AT + 1, stale)],
        ),
        (
            &[
                ("__name__", "jvm_memory_used_bytes"),
                ("instance", "i"),
                ("job", "eu/cart"),
                ("jvm_memory_type", "heap"),
                ("jvm_memory_pool_name", "old"),
            ],
            &[(AT, 50.0)],
        ),
        (&[("__name__", "jvm_cpu_recent_utilization_ratio"), ("instance", "i"), ("service_name", "cart"), ("job", "other")], &[(AT, 0.5)]),
        (&[("__name__", "jvm_memory_used_bytes_total"), ("instance", "i"), ("job", "eu/cart"), ("jvm_memory_type", "heap")], &[(AT, 1.0)]),
        (&[("__name__", "up"), ("job", "cart")], &[(AT, 1.0)]),
    ]);
    let i = Instance::of("i", "");
    assert_eq!(told(&collected), [("/cart", i, Measure::ProcessCpuRatio, 500_000), ("eu/cart", i, Measure::HeapUsed, 150_000_000)]);
    assert_eq!(collected.gauges[0].time, AT * 1_000_000);
}

#[test]
fn containers_of_cadvisor_join_limits_of_kube_state_metrics() {
    let pod = [("namespace", "shop"), ("pod", "cart-1"), ("deployment", "cart")];
    let labels = |name: &'static str, more: &[(&'static str, &'static str)]| [&[("__name__", name)][..], &pod[..], more].concat();
    let used = labels("container_memory_working_set_bytes", &[("container", "app")]);
    let whole = labels("container_memory_working_set_bytes", &[("container", "")]);
    let pause = labels("container_memory_usage_bytes", &[("container", "POD")]);
    let memory = labels("kube_pod_container_resource_limits", &[("container", "app"), ("resource", "memory"), ("unit", "byte")]);
    let cpu = labels("kube_pod_container_resource_limits", &[("container", "app"), ("resource", "cpu"), ("unit", "core")]);
    let collected = both(&[
        (&used, &[(AT, 600.0)]),
        (&whole, &[(AT, 700.0)]),
        (&pause, &[(AT, 1.0)]),
        (&memory, &[(AT, 1000.0)]),
        (&cpu, &[(AT, 2.0)]),
    ]);
    let app = Instance::of("cart-1", "app");
    let mut all = told(&collected);
    all.sort_by_key(|(_, _, measure, _)| *measure);
    let expected = [
        ("/cart", app, Measure::CpuLimit, 2_000_000),
        ("/cart", app, Measure::WorkingSet, 600_000_000),
        ("/cart", app, Measure::MemoryLimit, 1_000_000_000),
    ];
    assert_eq!(all, expected);
}

#[test]
fn what_cannot_be_opened_is_a_dead_letter() {
    let huge = snap::raw::Encoder::new().compress_vec(&vec![0; MAX_INFLATED + 1]).unwrap();
    let no_message = snap::raw::Encoder::new().compress_vec(b"\x0a\x05").unwrap();
    let no_symbol =
        packed(&v2::Request { symbols: vec![], timeseries: vec![v2::TimeSeries { labels_refs: vec![1, 2], ..Default::default() }] });
    let cases: [(&[u8], Reason); 6] = [
        (b"", Reason::EmptyValue),
        (b"\xff\xff\xff\xff\xff\xff", Reason::EnvelopeInvalid),
        (&huge, Reason::DecompressLimit),
        (b"\x80\x80\x80\x01\x00", Reason::DecompressLimit),
        (&no_message, Reason::DecodeProtobuf),
        (&no_symbol, Reason::SchemaMismatch),
    ];
    for (value, reason) in cases {
        assert_eq!(decode(&mut RemoteWrite::new(Version::Two, &source(Format::RemoteWrite)), value).reasons(), [reason]);
    }
}

#[test]
fn a_source_may_map_further_gauges() {
    let yaml = "source: apps\nformat: remote_write\ngauges: {app_queue_depth: queue, app_pool_active: connections.used, app_pool_max: connections.limit}\n";
    let source = Source::from_yaml("apps.yaml", yaml).unwrap();
    let labels = |name: &'static str| [("__name__", name), ("job", "cart"), ("instance", "i")];
    let (depth, active, other) = (labels("app_queue_depth"), labels("app_pool_active"), labels("app_pool_idle"));
    let value = version_1(&[(&depth, &[(AT, 7.0)]), (&active, &[(AT, 3.0)]), (&other, &[(AT, 1.0)])]);
    let collected = decode(&mut RemoteWrite::new(Version::One, &source), &value);
    let i = Instance::of("i", "");
    assert_eq!(told(&collected), [("/cart", i, Measure::ConnectionsUsed, 3_000_000), ("/cart", i, Measure::Queued, 7_000_000)]);
    let refused = Source::from_yaml("apps.yaml", "source: apps\nformat: remote_write\ngauges: {a: queue.limit}\n").unwrap_err().to_string();
    assert!(refused.contains("gauges") && refused.contains("queue.limit"), "{refused}");
}

proptest! {
    #[test]
    fn changed_bytes_are_one_item_whatever_they_are(list in changes()) {
        let series: [Series<'_>; 1] = [(&[("__name__", "jvm_thread_count"), ("job", "cart")], &[(AT, 1.0)])];
        for (version, bytes) in [(Version::One, version_1(&series)), (Version::Two, version_2(&series))] {
            prop_assert_eq!(decode(&mut RemoteWrite::new(version, &source(Format::RemoteWrite)), &changed(&bytes, &list)).len(), 1);
        }
    }
}
