//! Events from topics of others, each in its own format: many services in a record, CloudEvents in both modes, Avro by a schema registry that is
//! away at first. All of it is counted once, and a recomputation agrees.

use crate::fleet::{Cluster, ONE};
use crate::ledger::{SECOND, SETTINGS, verify};
use crate::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::record::{NewRecord, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::topics::Needed;
use platform_runtime::clock::SystemClock;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const SCHEMA: &str = r#"{"type":"record","name":"Event","fields":[{"name":"timestamp","type":"long"},{"name":"service","type":"string"},{"name":"operation","type":"string"},{"name":"latency_ms","type":"double"},{"name":"status","type":"int"}]}"#;

/// A registry that knows schema 7.
fn registry(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    let serve = move || listener.incoming().for_each(|stream| drop(answer(&stream.unwrap())));
    std::thread::Builder::new().name("registry".to_owned()).spawn(serve).unwrap();
}

fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().unwrap()?;
    let rest: Vec<String> = lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    assert!(rest.iter().any(|line| line.eq_ignore_ascii_case("authorization: Basic dXNlcjpjYW5hcnk=")), "{rest:?}");
    let (status, body) = match request.split(' ').nth(1) {
        Some("/schemas/ids/7") => ("200 OK", serde_json::json!({ "schema": SCHEMA }).to_string()),
        _ => ("404 Not Found", r#"{"error_code":40403,"message":"Schema not found"}"#.to_owned()),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A zigzag varint, as Avro writes numbers and lengths.
fn number(value: i64, out: &mut Vec<u8>) {
    let mut bits = ((value << 1) ^ (value >> 63)) as u64;
    while bits > 127 {
        out.push(bits as u8 | 128);
        bits >>= 7;
    }
    out.push(bits as u8);
}

fn avro(id: u32, millis: i64, service: &str, status: i64) -> Vec<u8> {
    let mut out = vec![0];
    out.extend(id.to_be_bytes());
    number(millis, &mut out);
    for text in [service, "GET /"] {
        number(text.len() as i64, &mut out);
        out.extend(text.as_bytes());
    }
    out.extend(12.5_f64.to_le_bytes());
    number(status, &mut out);
    out
}

fn otlp(nanos: i64, services: &[&str]) -> String {
    let span = |service: &&str| {
        serde_json::json!({
            "resource": { "attributes": [{ "key": "service.name", "value": { "stringValue": service } }] },
            "scopeSpans": [{ "spans": [{
                "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "kind": 2, "name": "GET /",
                "startTimeUnixNano": (nanos - 5_000_000).to_string(), "endTimeUnixNano": nanos.to_string(),
            }] }],
        })
    };
    serde_json::json!({ "resourceSpans": services.iter().map(span).collect::<Vec<_>>() }).to_string()
}

/// Requests of a service, over all windows so far.
fn requests(service: &Service, name: &str) -> u64 {
    let records = service.get(&format!("/api/v1/services/{name}/signals")).map(|found| found["records"].clone());
    records.iter().flat_map(|all| all.as_array().cloned()).flatten().filter_map(|record| record["requests"]["count"].as_u64()).sum()
}

#[test]
fn topics_of_others_are_read_each_in_its_format_and_records_wait_for_their_schemas() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens on yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mapping = folder.path().join("orders.yaml").display().to_string();
    let others = format!("{{topic: clouds, format: cloudevents}}, {{topic: orders, mapping: \"{mapping}\"}}");
    let sources = format!("sources: [{{topic: spans, format: otlp_json}}, {others}]");
    let registry_set = format!("registry: {{url: \"http://{address}\", user: user, password: canary}}");
    let kafka = format!("kafka: {{bootstrap: \"{}\", dev: true, {registry_set}}}", cluster.bootstrap);
    std::fs::write(folder.path().join("orders.yaml"), "source: orders\nformat: avro\n").unwrap();
    std::fs::write(folder.path().join("golden.yaml"), format!("{SETTINGS}log: {{partitions: 2, {sources}, {kafka}}}\n")).unwrap();

    let clock = Arc::new(SystemClock::new());
    let settings = platform_kafka::settings::Settings { bootstrap: cluster.bootstrap.clone(), dev: true, ..Default::default() };
    let log = Kafka::new(&settings, "test", Arc::clone(&clock) as Arc<dyn Clock>).unwrap();
    let topics = ["spans", "clouds", "orders"].map(Topic::new);
    let needed: Vec<Needed> = topics
        .iter()
        .map(|topic| Needed { topic: topic.clone(), partitions: 3, retention: Duration::from_secs(3600), foreign: false })
        .collect();
    log.apply(&log.plan(&needed).unwrap()).unwrap();
    let applied = Command::new(env!("CARGO_BIN_EXE_golden")).args(["topics", "apply"]).current_dir(folder.path()).output().unwrap();
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let [spans, clouds, orders] = topics;
    let producer = log.producer().unwrap();
    let append = |topic: &Topic, partition: u32, headers: &[(&str, &[u8])], value: &[u8]| {
        producer.append(&Partition::new(topic, partition), &[NewRecord { key: None, headers, value: Some(value) }]).unwrap();
    };
    let now = clock.wall();
    append(&spans, 0, &[], otlp(now, &["cart", "checkout", "cart"]).as_bytes());
    append(&spans, 2, &[], otlp(now, &["checkout"]).as_bytes());
    let event = format!(r#"{{"timestamp":{},"service":"search","operation":"find","latency_ms":3,"status":200}}"#, now / 1_000_000);
    let binary: [(&str, &[u8]); 5] =
        [("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/a"), ("ce_type", b"t"), ("content-type", b"application/json")];
    append(&clouds, 0, &binary, event.as_bytes());
    let structured =
        format!(r#"{{"specversion":"1.0","id":"2","source":"/a","type":"t","datacontenttype":"application/json","data":{event}}}"#);
    append(&clouds, 1, &[("content-type", b"application/cloudevents+json")], structured.as_bytes());
    for partition in 0..3 {
        append(&orders, partition, &[], &avro(7, now / 1_000_000, "orders", if partition == 0 { 503 } else { 200 }));
    }
    append(&orders, 1, &[], &avro(8, now / 1_000_000, "orders", 200));

    let data = folder.path().join("data").display().to_string();
    let mut service = Service::start(&["--data", &data], Some(&folder.path().join("golden.yaml")));
    let probe = |path: &str| {
        let mut answer = ureq::get(format!("{}{path}", service.url)).config().http_status_as_error(false).build().call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    eventually("readiness names the registry", 60, || {
        let (status, text) = probe("/-/ready");
        assert!(!text.contains("canary"));
        status == 503 && text.contains("log.kafka.registry.url")
    });
    assert_eq!(probe("/-/healthy").0, 200);
    assert_eq!(requests(&service, "orders"), 0);
    registry(&address);
    eventually("it is ready again by itself", 60, || probe("/-/ready").0 == 200);
    // Events of their own, so that every window closes.
    let mut seconds = 0;
    eventually("all events are counted", 120, || {
        seconds += 1;
        if seconds % 10 == 0 {
            let now = clock.wall();
            append(&spans, 1, &[], otlp(now, &["clock"]).as_bytes());
        }
        let expected = [("cart", 2), ("checkout", 2), ("search", 2), ("orders", 3)];
        expected.iter().all(|(name, count)| requests(&service, name) == *count)
    });
    eventually("the record of an unknown schema is a dead letter", 30, || {
        let dead = service.get("/api/v1/dead-letters").map(|found| found.to_string()).unwrap_or_default();
        dead.contains("schema_unknown") && dead.contains("orders")
    });
    assert!(service.stop());
    let (code, text) = verify(folder.path(), &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
    assert!(clock.wall() - now < 600 * SECOND, "within the windows that were asked for");
}
