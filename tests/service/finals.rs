//! Values on every output of a process are those of the finals in its public topic: all of them are read back and held to it, series by series and
//! window by window.
//!
//! | Output | Read back | Held to the finals |
//! |---|---|---|
//! | `/metrics` | a real Prometheus scrapes it each second | counters only have values that some first finals add up to, and at last all of them; gauges those of finals, in order |
//! | remote write 2.0 | the same Prometheus | each sample of each series, buckets and native histograms too, with its time; no other |
//! | OTLP over HTTP | a receiver that decodes it by the published protocol | the same |
//! | Avro topic | from the log, by its schema | every field of every revision |
//! | webhook | a receiver | every field of each change of health |
//! | `/api/v1/services/…/signals` | JSON | every field of the newest revisions |
//! | `/api/v1/services/…/value` | JSON | the number |
//!
//! How finals become samples is written once more here, plainly, from docs/outputs.md and docs/metrics.md: nothing of the program's own does it.

use crate::avro::{COPIES, Stands, committed, opened, same, signals};
use crate::ledger::rfc3339;
use crate::process::{Service, eventually};
use crate::prometheus::Prometheus;
use crate::receiver::Receiver;
use crate::webhook::{SECRET, changes, checked};
use base64::Engine as _;
use golden_pipeline::emit::avro::SCHEMA_TEXT;
use hdrhistogram::serialization::Deserializer;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::{AggregationTemporality, metric, number_data_point};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use prost::Message as _;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::Command;

const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, histogram: true, exemplars: false}\nruntime: {commit_interval: 100ms}\n\
     log: {partitions: 2, reserve_mib: 1}\n";
const SECOND: i64 = 1_000_000_000;
/// Services with their namespaces.
const SERVICES: [(&str, &str); 2] = [("shop", ""), ("pay", "money")];
/// Operations, and what labels beside their name say of them.
const OPERATIONS: [(&str, &[(&str, &str)]); 3] = [
    ("GET /carts/{id}", &[("http_request_method", "GET"), ("http_route", "/carts/{id}")]),
    ("shop.Carts/Get", &[("rpc_method", "shop.Carts/Get")]),
    ("nightly", &[]),
];
/// Bounds of classic buckets: µs, label.
const BOUNDS: [(u64, &str); 14] = [
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (75_000, "0.075"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (750_000, "0.75"),
    (1_000_000, "1.0"),
    (2_500_000, "2.5"),
    (5_000_000, "5.0"),
    (7_500_000, "7.5"),
    (10_000_000, "10.0"),
];

/// Labels with `__name__`, without those that say by which way it came.
type Labels = BTreeMap<String, String>;
/// Samples by series and time, s.
type Samples = BTreeMap<(Labels, i64), f64>;

fn labelled(of: &Labels, name: &str, more: &[(&str, &str)]) -> Labels {
    let own = [("__name__", name)];
    let more = more.iter().chain(&own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    of.iter().map(|(name, value)| (name.clone(), value.clone())).chain(more).collect()
}

/// What finals say that metrics must be.
#[derive(Default)]
struct Wanted {
    /// By remote write; classic histograms are series of their own.
    pushed: Samples,
    /// Values of each counter, one behind each record.
    steps: BTreeMap<Labels, Vec<f64>>,
    /// Values of each gauge, one for each window.
    gauges: BTreeMap<Labels, Vec<f64>>,
}

/// A series of ours while its records are added up.
#[derive(Default)]
struct Series {
    /// Counters by labels.
    totals: BTreeMap<Labels, f64>,
    /// Nanoseconds by outcome: a double is made of them in the end.
    nanos: BTreeMap<String, u64>,
    /// Gauges of its newest window, which starts here.
    newest: Option<(String, BTreeMap<Labels, f64>)>,
    /// Something came for it since its last sample.
    due: bool,
    sampled: BTreeSet<Labels>,
}

/// Labels of the series of a record.
fn labels_of(record: &Value) -> Labels {
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    let mut labels = Labels::from([("grouping".to_owned(), text("grouping")), ("service_name".to_owned(), text("service"))]);
    if record["service_namespace"] != "" {
        labels.insert("service_namespace".to_owned(), text("service_namespace"));
    }
    if let Some(operation) = record["dimensions"]["operation"].as_str() {
        labels.insert("operation".to_owned(), operation.to_owned());
        let (_, known) = OPERATIONS.iter().find(|(name, _)| *name == operation).unwrap();
        labels.extend(known.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    }
    labels
}

/// Counters of one record: value by labels, and nanoseconds by outcome.
type Counts = (BTreeMap<Labels, f64>, BTreeMap<String, u64>);

/// Counters of one record, as if there were no other.
fn counts(record: &Value) -> Counts {
    let (labels, mut counts, mut nanos) = (labels_of(record), BTreeMap::new(), BTreeMap::new());
    let of_service = (record["grouping"] == "service").then(|| {
        let mut labels = labels.clone();
        labels.remove("grouping");
        labels
    });
    let mut put = |of: &Labels, name: &str, more: &[(&str, &str)], count: u64| {
        counts.insert(labelled(of, &format!("golden_signals_{name}"), more), count as f64);
    };
    put(&labels, "requests_total", &[], record["requests"]["count"].as_u64().unwrap());
    put(&labels, "ignored_total", &[], record["ignored"].as_u64().unwrap());
    put(&labels, "errors_total", &[], 0);
    for (error, count) in record["errors"]["by_type"].as_object().unwrap() {
        put(&labels, "errors_total", &[("error_type", error)], count.as_u64().unwrap());
    }
    if let Some(service) = &of_service {
        put(service, "late_events_total", &[("disposition", "merged")], record["late_events"].as_u64().unwrap());
        put(service, "corrections_total", &[], u64::from(record["revision"] != 0));
        put(service, "latency_clamped_total", &[], record["latency"]["clamped"].as_u64().unwrap_or(0));
    }
    for outcome in ["ok", "error"] {
        let durations = &record["latency"][outcome];
        let Some(count) = durations["count"].as_u64() else { continue };
        let outcome_is = [("outcome", outcome)];
        put(&labels, "request_duration_seconds_count", &outcome_is, count);
        // Whole ms were sent.
        nanos.insert(outcome.to_owned(), durations["sum"].as_f64().unwrap() as u64 * 1_000_000);
        let bytes = base64::engine::general_purpose::STANDARD.decode(record["histogram"][outcome].as_str().unwrap()).unwrap();
        let histogram: hdrhistogram::Histogram<u64> = Deserializer::new().deserialize(&mut &*bytes).unwrap();
        let below = |bound: u64| {
            let bins = histogram.iter_recorded().map(|bin| (histogram.highest_equivalent(bin.value_iterated_to()), bin.count_at_value()));
            bins.filter(|(highest, _)| *highest <= bound).map(|(_, count)| count).sum::<u64>()
        };
        for (bound, le) in BOUNDS.into_iter().chain([(u64::MAX, "+Inf")]) {
            put(&labels, "request_duration_seconds_bucket", &[("outcome", outcome), ("le", le)], below(bound));
        }
    }
    (counts, nanos)
}

/// Gauges of one record.
fn gauges(record: &Value) -> BTreeMap<Labels, f64> {
    let (mut labels, mut gauges) = (labels_of(record), BTreeMap::new());
    let mut put = |labels: &Labels, name: &str, more: &[(&str, &str)], value: Option<f64>| {
        if let Some(value) = value {
            gauges.insert(labelled(labels, &format!("golden_signals_{name}"), more), value);
        }
    };
    put(&labels, "availability_ratio", &[], record["availability_ratio"].as_f64());
    if let Some(now) = record["health"]["state"].as_str() {
        put(&labels, "health_level", &[], record["health"]["level"].as_f64());
        for state in ["healthy", "degraded", "impaired", "critical", "unknown"] {
            put(&labels, "health_state", &[("state", state)], Some(f64::from(u8::from(state == now))));
        }
    }
    if record["grouping"] == "service" {
        labels.remove("grouping");
        let (version, sha256) = (record["override"]["version"].to_string(), record["override"]["sha256"].as_str().unwrap());
        put(&labels, "override_info", &[("revision", &version), ("sha256", sha256)], Some(1.0));
    }
    gauges
}

fn seconds(nanos: &Value) -> i64 {
    nanos.as_i64().unwrap() / SECOND
}

/// What the records of the public topic say that metrics must be.
fn wanted(public: &[Stands]) -> Wanted {
    let mut wanted = Wanted::default();
    // Of each result so far, by identity.
    let mut before: BTreeMap<Vec<u8>, Counts> = BTreeMap::new();
    let mut series: BTreeMap<(u32, Labels), Series> = BTreeMap::new();
    for stands in public {
        let record: Value = serde_json::from_slice(&stands.value).unwrap();
        if record["schema"] == "golden-signals/1" {
            let one = series.entry((stands.partition, labels_of(&record))).or_default();
            one.due = true;
            let ((counts, nanos), identity) = (counts(&record), stands.headers["identity"].clone());
            let known = before.insert(identity, (counts.clone(), nanos.clone())).unwrap_or_default();
            for (labels, count) in counts {
                // A correction is one more; all else grows by what its record has above the one before.
                let less = if labels["__name__"].contains("corrections") { 0.0 } else { known.0.get(&labels).copied().unwrap_or(0.0) };
                *one.totals.entry(labels).or_default() += count - less;
            }
            for (outcome, sum) in nanos {
                let total = one.nanos.entry(outcome.clone()).or_default();
                *total += sum - known.1.get(&outcome).copied().unwrap_or(0);
                let sum = labelled(&labels_of(&record), "golden_signals_request_duration_seconds_sum", &[("outcome", &outcome)]);
                one.totals.insert(sum, *total as f64 / 1e9);
            }
            one.totals.iter().for_each(|(labels, total)| wanted.steps.entry(labels.clone()).or_default().push(*total));
            let start = record["window_start"].as_str().unwrap();
            if one.newest.as_ref().is_none_or(|(newest, _)| &**newest < start) {
                let gauges = gauges(&record);
                gauges.iter().for_each(|(labels, value)| wanted.gauges.entry(labels.clone()).or_default().push(*value));
                one.newest = Some((start.to_owned(), gauges));
            }
        } else if record["schema"] == "golden-signals-progress/1" {
            let (start, end) = (seconds(&record["window_start"]), seconds(&record["window_end"]));
            for (_, one) in series.iter_mut().filter(|((partition, _), one)| *partition == stands.partition && one.due) {
                one.due = false;
                for (labels, total) in &one.totals {
                    if one.sampled.insert(labels.clone()) {
                        wanted.pushed.insert((labels.clone(), start), 0.0);
                    }
                    wanted.pushed.insert((labels.clone(), end), *total);
                }
                if let Some((_, gauges)) = one.newest.as_ref().filter(|(newest, _)| *newest == rfc3339(start * SECOND)) {
                    wanted.pushed.extend(gauges.iter().map(|(labels, value)| ((labels.clone(), end), *value)));
                }
            }
        }
    }
    wanted
}

/// All samples in Prometheus that came by one way, of ours: numbers, and native histograms as their count and sum.
fn stored(prometheus: &Prometheus, way: &str) -> (BTreeMap<Labels, Vec<(f64, f64)>>, Samples) {
    let (mut numbers, mut natives) = (BTreeMap::new(), Samples::new());
    for series in prometheus.query(&format!("{{{way},__name__=~\"golden_signals_.+\"}}[1h]")).unwrap() {
        let mut labels: Labels = serde_json::from_value(series["metric"].clone()).unwrap();
        ["by", "job", "instance"].iter().for_each(|name| drop(labels.remove(*name)));
        let number = |value: &Value| value.as_str().unwrap().parse::<f64>().unwrap();
        for pair in series["values"].as_array().into_iter().flatten() {
            numbers.entry(labels.clone()).or_insert_with(Vec::new).push((pair[0].as_f64().unwrap(), number(&pair[1])));
        }
        for pair in series["histograms"].as_array().into_iter().flatten() {
            for (suffix, what) in [("_count", "count"), ("_sum", "sum")] {
                let name = format!("{}{suffix}", labels["__name__"]);
                natives.insert((labelled(&labels, &name, &[]), pair[0].as_f64().unwrap() as i64), number(&pair[1][what]));
            }
        }
    }
    (numbers, natives)
}

/// Labels by Prometheus' names.
fn labels_from(attributes: &[KeyValue], name: &str) -> Labels {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        other => panic!("{other:?} is no text"),
    };
    labelled(&attributes.iter().map(|pair| (pair.key.replace('.', "_"), text(pair))).collect(), name, &[])
}

/// The points of an export, under Prometheus' names; those without a value are left out.
fn points(body: &[u8], into: &mut Samples) {
    let at = |nanos: u64| i64::try_from(nanos).unwrap() / SECOND;
    let mut put = |labels: Labels, nanos: u64, value: f64| {
        let before = into.insert((labels.clone(), at(nanos)), value);
        assert!(before.is_none_or(|before| before == value), "{labels:?} was {before:?} and is {value}");
    };
    for of_resource in ExportMetricsServiceRequest::decode(body).unwrap().resource_metrics {
        for metric in of_resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
            let base = metric.name.replace('.', "_");
            let cumulative = AggregationTemporality::Cumulative as i32;
            match metric.data.unwrap() {
                metric::Data::Sum(sum) => {
                    assert!(sum.is_monotonic && sum.aggregation_temporality == cumulative, "{base}");
                    for point in sum.data_points {
                        let Some(number_data_point::Value::AsInt(value)) = point.value else { panic!("{base} has {point:?}") };
                        put(labels_from(&point.attributes, &format!("{base}_total")), point.time_unix_nano, value as f64);
                    }
                }
                metric::Data::Gauge(gauge) => {
                    let name = if metric.unit == "1" { format!("{base}_ratio") } else { base };
                    for point in gauge.data_points {
                        match point.value {
                            Some(number_data_point::Value::AsDouble(value)) => {
                                put(labels_from(&point.attributes, &name), point.time_unix_nano, value);
                            }
                            other => assert!(other.is_none() && point.flags == 1, "{name} is {other:?}"),
                        }
                    }
                }
                metric::Data::ExponentialHistogram(histogram) => {
                    assert!(metric.unit == "s" && histogram.aggregation_temporality == cumulative, "{base}");
                    for point in histogram.data_points {
                        let buckets: u64 = point.positive.iter().flat_map(|positive| &positive.bucket_counts).sum();
                        assert_eq!(buckets + point.zero_count, point.count, "{base}: its buckets");
                        let name = |suffix: &str| labels_from(&point.attributes, &format!("{base}_seconds_{suffix}"));
                        put(name("count"), point.time_unix_nano, point.count as f64);
                        put(name("sum"), point.time_unix_nano, point.sum.unwrap());
                    }
                }
                other => panic!("{base} is {other:?}"),
            }
        }
    }
}

/// Samples from the first one up to those of a time, s, of metrics whose name these begin with.
fn upto(samples: &Samples, end: i64, names: &str) -> Samples {
    let there = |labels: &Labels, at: i64| at <= end && labels["__name__"].starts_with(names);
    samples.iter().filter(|((labels, at), _)| there(labels, *at)).map(|(key, value)| (key.clone(), *value)).collect()
}

/// Shows what is different, and not all that is equal.
fn equal(way: &str, found: &Samples, wanted: &Samples) {
    assert!(wanted.len() > 100, "{way}: {}", wanted.len());
    let missing: Vec<_> = wanted.iter().filter(|(key, value)| found.get(*key) != Some(*value)).take(5).collect();
    let other: Vec<_> = found.iter().filter(|(key, value)| wanted.get(*key) != Some(*value)).take(5).collect();
    assert!(missing.is_empty() && other.is_empty(), "{way}: the finals say {missing:#?}\nand it says {other:#?}");
}

/// A round of events of now, and `late` ones of then; gives how many that were.
fn send(service: &Service, round: u64, late: Option<i64>) -> u64 {
    let now = SystemClock::new().wall();
    let event = |n: u64, time: i64| {
        let (name, namespace) = SERVICES[usize::from(n.is_multiple_of(5))];
        let (operation, _) = OPERATIONS[(n % 3) as usize];
        // Only shop fails, and only in one round.
        let failing = round == 1 && name == "shop";
        let status = match n % 8 {
            0 => 499,
            1 | 3 if failing => 503,
            6 if failing => 500,
            7 => 404,
            _ => 200,
        };
        let weight = if n.is_multiple_of(7) { 3 } else { 1 };
        let millis = [0, 3, 30, 400, 3_000, 20_000][(n % 6) as usize] + n % 2;
        json!({
            "service": name, "namespace": namespace, "operation": operation, "timestamp": time, "duration_ns": millis * 1_000_000,
            "status": status, "weight": weight,
        })
    };
    let events: Vec<_> = (0..400).map(|n| event(n, now)).chain((0..40).filter_map(|n| Some(event(n, late?)))).collect();
    let body = events.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let post = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    assert!(post.send(body.as_bytes()).unwrap().status().is_success());
    events.len() as u64
}

/// What the API says of all series.
fn shown(service: &Service) -> Vec<Value> {
    let paths = SERVICES.iter().flat_map(|(name, _)| ["service", "service_operation"].map(|grouping| (name, grouping)));
    let records = |(name, grouping): (&&str, &str)| {
        let found = service.get(&format!("/api/v1/services/{name}/signals?grouping={grouping}&limit=10000"));
        found.and_then(|found| found["records"].as_array().cloned()).unwrap_or_default()
    };
    paths.flat_map(records).collect()
}

#[test]
fn values_on_every_output_are_those_of_the_finals() {
    let folder = tempfile::tempdir().unwrap();
    let collector = Receiver::start();
    let hook = Receiver::start();
    // A port that nobody listens on yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let prometheus = Prometheus::start(&["--interval", "1s", "--ooo", "2h", "--scrape", &format!("scrape={address}/metrics")]);
    let outputs = format!(
        "outputs:\n  remote_write: {{url: \"{}/api/v1/write\", labels: {{by: write}}}}\n  otlp: {{url: \"{}/v1/metrics\"}}\n  \
         webhook: {{url: \"{}/hook\", secret: {SECRET}, allow: [\"127.0.0.1\"]}}\n  avro: {{frame: single_object}}\n",
        prometheus.url, collector.url, hook.url
    );
    let config = folder.path().join("golden.yaml");
    std::fs::write(&config, format!("{SETTINGS}{outputs}")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
    command.args(["run", "--listen", &address, "--data"]).arg(folder.path().join("data")).arg("--config").arg(&config);
    let mut service = Service::of(command);

    // The third round corrects a window that is closed.
    let (mut sent, mut then) = (0, None);
    for round in 0..4 {
        let now = SystemClock::new().wall();
        sent += send(&service, round, then.filter(|_| round == 2));
        then = Some(now);
        eventually("all of a round is published, and scraped", 90, || {
            let of_service = |record: &&Value| record["grouping"] == "service";
            let all = shown(&service);
            let events: u64 = all.iter().filter(of_service).filter_map(|record| record["events"].as_u64()).sum();
            let requests: u64 = all.iter().filter(of_service).filter_map(|record| record["requests"]["count"].as_u64()).sum();
            let scraped = "sum(golden_signals_requests_total{job=\"scrape\",grouping=\"service\"})";
            events == sent && prometheus.value(scraped) == Some(requests as f64)
        });
    }
    let end =
        shown(&service).iter().filter(|record| record["events"] != 0).filter_map(|r| Some(r["window_end"].as_str()?.to_owned())).max();
    let numbers = ["requests", "errors", "ignored", "availability", "samples", "max", "health", "completeness"];
    let values: Vec<Value> = SERVICES
        .iter()
        .flat_map(|(name, _)| numbers.map(|signal| service.get(&format!("/api/v1/services/{name}/value?signal={signal}")).unwrap()))
        .collect();
    let end_of = |record: &Value| record["window_end"].as_str().unwrap().to_owned();
    // A window later everything of the last round was sent, and its corrections were.
    let beyond = shown(&service).iter().map(end_of).max().unwrap();
    eventually("a window more is published", 60, || shown(&service).iter().any(|record| end_of(record) > beyond));
    let shown = shown(&service);
    let unsent = "golden_signals_output_oldest_unsent_timestamp_seconds";
    eventually("nothing waits to be sent", 60, || {
        let page = ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap();
        page.lines().filter(|line| line.starts_with(unsent)).all(|line| line.ends_with(" 0"))
    });
    assert!(service.stop(), "{}", service.said());

    let rocks = opened(folder.path());
    let log = rocks.log();
    let public = committed(&*log, "golden-signals");
    let wanted = wanted(&public);
    // Windows behind may have been published and not sent when it was stopped.
    let last = wanted.pushed.keys().map(|(_, at)| *at).find(|at| Some(rfc3339(at * SECOND)) == end).unwrap();

    let (numbers, natives) = stored(&prometheus, r#"by="write""#);
    let found: Samples =
        numbers.iter().flat_map(|(labels, all)| all.iter().map(|(at, value)| ((labels.clone(), *at as i64), *value))).collect();
    equal("remote write", &upto(&found, last, ""), &upto(&wanted.pushed, last, ""));
    let durations = upto(&wanted.pushed, last, "golden_signals_request_duration_seconds_");
    let plain = |samples: Samples| samples.into_iter().filter(|((labels, _), _)| !labels.contains_key("le")).collect::<Samples>();
    equal("native histograms by remote write", &upto(&natives, last, ""), &plain(durations));

    let mut exported = Samples::new();
    collector.calls().iter().for_each(|call| points(&call.body, &mut exported));
    equal("OTLP", &upto(&exported, last, ""), &plain(upto(&wanted.pushed, last, "")));

    let (scraped, natives) = stored(&prometheus, r#"job="scrape""#);
    let natives: BTreeMap<Labels, f64> = natives.into_iter().map(|((labels, _), value)| (labels, value)).collect();
    for (labels, steps) in &wanted.steps {
        let values = scraped.get(labels).unwrap_or_else(|| panic!("{labels:?} is not on the page"));
        assert_eq!(values.last().map(|(_, value)| value), steps.last(), "{labels:?}");
        assert!(natives.get(labels).is_none_or(|native| Some(native) == steps.last()), "{labels:?} of the native histogram");
        let strange: Vec<_> = values.iter().filter(|(_, value)| !steps.contains(value)).collect();
        assert!(strange.is_empty(), "{labels:?} is {strange:?}, and never was but {steps:?}");
    }
    for (labels, windows) in &wanted.gauges {
        let mut values: Vec<f64> = scraped.get(labels).into_iter().flatten().map(|(_, value)| *value).collect();
        values.dedup();
        // A busy machine may close two windows between two scrapes.
        let mut of_windows = windows.iter();
        assert!(values.iter().all(|value| of_windows.any(|window| window == value)), "{labels:?} is {values:?}, not {windows:?}");
    }
    let failing = |(labels, values): (&Labels, &Vec<(f64, f64)>)| {
        labels["__name__"] == "golden_signals_availability_ratio" && values.iter().any(|(_, value)| *value < 0.9)
    };
    assert!(natives.len() > 10 && scraped.iter().filter(|one| failing(*one)).count() == 1 + OPERATIONS.len());

    let (records, copies) = (signals(&*log, "golden-signals"), signals(&*log, COPIES));
    let frame = copies.values().next().unwrap().0.value[..10].to_vec();
    same(&records, &copies, &frame, SCHEMA_TEXT);

    let told: BTreeMap<String, Value> = hook.calls().iter().map(checked).collect();
    assert!(told.values().any(|notice| notice["service"] == "shop" && notice["state"] == "critical"), "{told:#?}");
    assert_eq!(told, changes(&public));

    let mut newest: BTreeMap<Vec<u8>, Value> = BTreeMap::new();
    for stands in public.iter().filter(|stands| stands.headers["schema"] == b"golden-signals/1") {
        newest.insert(stands.headers["identity"].clone(), serde_json::from_slice(&stands.value).unwrap());
    }
    let newest: Vec<Value> = newest.into_values().collect();
    for record in &shown {
        assert!(newest.contains(record), "the API says {record:#}, which is not published");
    }
    let unshown: Vec<_> = newest.iter().filter(|record| record["events"] != 0 && !shown.contains(record)).collect();
    assert!(unshown.is_empty() && shown.iter().any(|record| record["revision"] != 0), "{unshown:#?}");
    for value in &values {
        let is = |record: &&Value| ["service", "grouping", "window_start"].iter().all(|field| record[field] == value[field]);
        let record = newest.iter().find(is).unwrap();
        let wanted = match value["signal"].as_str().unwrap() {
            "requests" => &record["requests"]["count"],
            "errors" => &record["errors"]["count"],
            "ignored" => &record["ignored"],
            "availability" => &record["availability_ratio"],
            "samples" => &record["latency"]["samples"],
            "max" => &record["latency"]["all"]["max"],
            "health" => &record["health"]["level"],
            "completeness" => &record["completeness"],
            other => panic!("{other}"),
        };
        assert_eq!(value["value"].as_f64(), wanted.as_f64(), "{value:#}");
    }
}
