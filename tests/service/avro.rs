//! The public topic in Avro, by a whole process that is killed wherever its copying may stand: each revision of each result stands there exactly
//! once, with the values, the key, the partition and the headers of the public topic. A reader knows nothing but the topic and the schema.

use crate::fleet::{Cluster, ONE};
use crate::ledger::{Account, Client, PARTITIONS, PUBLIC, SETTINGS, Stopping, verify};
use crate::process::{Service, eventually, within};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use base64::Engine as _;
use golden_pipeline::emit::avro::SCHEMA_TEXT;
use golden_pipeline::emit::json::{put_f64, put_time};
use platform_core::log::{Log, Polled, Subscription};
use platform_core::record::Topic;
use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(crate) const COPIES: &str = "golden-signals.avro";
/// Where a process is killed: moments of a task that copies.
const MOMENTS: [&str; 7] =
    ["after_poll:3", "applied:20", "mid_produce:2", "before_commit:2", "after_commit:2", "store_write:3", "in_assign:1"];
/// The number that the registry gives the schema: each of its bytes is another.
const NUMBER: u32 = 0x0102_0304;

/// What is there of a record, by identity and revision; and how often.
pub(crate) type Found = BTreeMap<(Vec<u8>, Vec<u8>), (Stands, usize)>;

/// A record where it stands.
#[derive(Debug, PartialEq)]
pub(crate) struct Stands {
    pub(crate) partition: u32,
    pub(crate) offset: u64,
    key: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, Vec<u8>>,
    pub(crate) value: Vec<u8>,
}

/// All records of a topic that are committed, those of a partition in their order.
pub(crate) fn committed(log: &dyn Log, topic: &str) -> Vec<Stands> {
    let mut found = vec![];
    let mut reader = log.reader(&Subscription { group: None, topics: vec![Topic::new(topic)] }).unwrap();
    let mut quiet = 0;
    while quiet < 10 {
        match reader.poll(Duration::from_millis(200)).unwrap() {
            // A broker may take its time with the first answer.
            Polled::Nothing => quiet += 1,
            Polled::Assigned(_) => {}
            Polled::Batch(batch) => {
                quiet = 0;
                found.extend(batch.iter().map(|record| Stands {
                    partition: batch.partition.index,
                    offset: record.offset.0,
                    key: record.key.map(<[u8]>::to_vec),
                    headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
                    value: record.value.unwrap().to_vec(),
                }));
            }
        }
    }
    found
}

/// The signals of a topic.
pub(crate) fn signals(log: &dyn Log, topic: &str) -> Found {
    let mut found = Found::new();
    for stands in committed(log, topic) {
        let header = |name: &str| stands.headers.get(name).cloned();
        if header("schema").as_deref() != Some(b"golden-signals/1") {
            assert_ne!(topic, COPIES, "only signals are copied");
            continue;
        }
        let entry = found.entry((header("identity").unwrap(), header("revision").unwrap()));
        entry.and_modify(|(_, times)| *times += 1).or_insert((stands, 1));
    }
    found
}

/// The embedded log of a process that has stopped, with its public topics and the copies.
pub(crate) fn opened(folder: &Path) -> Rocks {
    let topics = PUBLIC.iter().copied().chain([(COPIES, PARTITIONS)]);
    let topics = topics.map(|(n, p)| TopicSettings { topic: Topic::new(n), partitions: p, retention: Duration::MAX }).collect();
    let settings = Settings { topics, reserve: 0, ..Settings::default() };
    Rocks::open(&folder.join("data"), &settings, Arc::new(SystemClock::new())).unwrap()
}

/// What a datum says, as the public record spells it; null is absent.
fn spelled(value: &Avro) -> Value {
    let time = |nanos: i64| {
        let mut text = vec![];
        put_time(&mut text, nanos);
        Value::from(String::from_utf8(text).unwrap())
    };
    match value {
        Avro::Null => Value::Null,
        Avro::Union(_, value) => spelled(value),
        Avro::Boolean(value) => (*value).into(),
        Avro::Int(number) => (*number).into(),
        Avro::Long(number) => (*number).into(),
        Avro::Double(number) => {
            let mut text = vec![];
            put_f64(&mut text, *number);
            serde_json::from_slice(&text).unwrap()
        }
        Avro::String(text) => text.as_str().into(),
        Avro::Bytes(bytes) => base64::engine::general_purpose::STANDARD.encode(bytes).into(),
        Avro::TimestampMillis(millis) => time(millis * 1_000_000),
        Avro::TimestampNanos(nanos) => time(*nanos),
        Avro::Array(items) => items.iter().map(spelled).collect(),
        Avro::Map(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), spelled(value))).collect()),
        Avro::Record(fields) => Value::Object(fields.iter().map(|(name, value)| (name.clone(), spelled(value))).collect()),
        other => panic!("no field has the type of {other:?}"),
    }
}

fn without_nulls(json: Value) -> Value {
    match json {
        Value::Object(object) => object.into_iter().filter(|(_, v)| !v.is_null()).map(|(key, v)| (key, without_nulls(v))).collect(),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Holds both topics against each other. `frame`: what stands in front of each datum. What was published last, of windows without events, may
/// have been copied or not when the process was stopped.
pub(crate) fn same(public: &Found, copies: &Found, frame: &[u8], schema: &str) {
    let schema = Schema::parse_str(schema).unwrap();
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    let doubled: Vec<_> = public.iter().chain(copies).filter(|(_, (_, times))| *times > 1).map(|(key, _)| key).collect();
    assert!(doubled.is_empty(), "{} stand more than once: {doubled:?}", doubled.len());
    let invented = copies.keys().filter(|key| !public.contains_key(*key)).count();
    assert_eq!(invented, 0, "copies of nothing");
    let mut places: Vec<(u32, u64, u64)> = vec![];
    for (id, (copy, _)) in copies {
        let (original, _) = &public[id];
        places.push((copy.partition, original.offset, copy.offset));
        let mut datum = copy.value.strip_prefix(frame).unwrap_or_else(|| panic!("{:?}", &copy.value[..frame.len()]));
        let found = without_nulls(spelled(&reader.read_value(&mut datum).unwrap()));
        assert_eq!(datum, b"", "every byte belongs to the datum");
        assert_eq!(found, without_nulls(serde_json::from_slice(&original.value).unwrap()));
        let mut headers = original.headers.clone();
        headers.remove("growth").unwrap();
        headers.insert("content-type".to_owned(), b"application/vnd.apache.avro".to_vec());
        assert_eq!((copy.partition, &copy.key, &copy.headers), (original.partition, &original.key, &headers));
    }
    places.sort_unstable();
    assert!(
        places.windows(2).all(|two| two[0].0 < two[1].0 || two[0].2 < two[1].2),
        "copies are not in the order of what they are copies of"
    );
    for (id, (original, _)) in public.iter().filter(|(id, _)| !copies.contains_key(*id)) {
        let behind = places.iter().all(|(partition, offset, _)| *partition != original.partition || *offset < original.offset);
        let record: Value = serde_json::from_slice(&original.value).unwrap();
        assert!(behind && record["events"] == 0, "{id:?} is not copied: {record:#}");
    }
    assert!(copies.values().any(|(stands, _)| stands.headers["revision"] != b"0"), "nothing was corrected: this shows less than it should");
}

/// A `golden run` in the folder, on its `golden.yaml`; with a place where it stops itself.
fn start(folder: &Path, stops: Option<&str>) -> Service {
    let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
    command.args(["run", "--listen", "127.0.0.1:0", "--data"]).arg(folder.join("data"));
    command.arg("--config").arg(folder.join("golden.yaml"));
    if let Some(place) = stops {
        command.env("GOLDEN_FAIL_POINT", place);
    }
    Service::of(command)
}

/// Under load, kills the process at each of these moments of its copying; gives the one that runs in the end.
fn killed_at(folder: &Path, moments: &[&str]) -> Service {
    let (account, acked, stop) = (Mutex::new(Account::default()), AtomicU64::new(0), AtomicBool::new(false));
    let (clock, urls) = (SystemClock::new(), Mutex::new(vec![]));
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        let mut service = start(folder, None);
        *urls.lock().unwrap() = vec![service.url.clone()];
        scope.spawn(|| Client::new(0, &urls, &account, &clock).run(&acked, &stop, Duration::from_millis(20)));
        eventually("load is taken", 60, || acked.load(Ordering::Relaxed) > 50);
        for moment in moments {
            service.kill();
            service = start(folder, Some(&format!("output-avro.{moment}")));
            *urls.lock().unwrap() = vec![service.url.clone()];
            let stands = within(60, || service.stands_still());
            eprintln!("it stands at {moment}: {stands}");
            assert!(stands, "it never came to {moment}");
        }
        service.kill();
        service = start(folder, None);
        *urls.lock().unwrap() = vec![service.url.clone()];
        let before = acked.load(Ordering::Relaxed);
        eventually("load is taken again", 60, || acked.load(Ordering::Relaxed) > before + 50);
        service
    })
}

/// The load has ended: waits until all of it is published. Empty windows come for as long as the services are remembered.
fn settle(service: &Service) {
    let mut before = 0;
    eventually("everything is published", 180, || {
        // Longer than a window.
        std::thread::park_timeout(Duration::from_secs(12));
        let all = (0..4).filter_map(|n| service.get(&format!("/api/v1/services/s{n}/signals?limit=10000")));
        let events =
            |found: &Value| found["records"].as_array().unwrap().iter().filter_map(|record| record["events"].as_u64()).sum::<u64>();
        let now = all.map(|found| events(&found)).sum();
        std::mem::replace(&mut before, now) == now && now > 0
    });
}

/// What the API says of all services.
fn shown(service: &Service) -> Vec<Value> {
    let pages =
        (0..4).flat_map(|n| ["service", "service_operation"].map(|grouping| format!("s{n}/signals?limit=10000&grouping={grouping}")));
    let records = |page: String| service.get(&format!("/api/v1/services/{page}")).unwrap()["records"].as_array().unwrap().clone();
    pages.flat_map(records).collect()
}

#[test]
fn every_revision_stands_once_in_avro_whatever_is_killed_when() {
    let folder = tempfile::tempdir().unwrap();
    let outputs = "outputs: {avro: {frame: single_object}}\n";
    std::fs::write(folder.path().join("golden.yaml"), format!("{SETTINGS}log: {{partitions: 2, reserve_mib: 1}}\n{outputs}")).unwrap();
    let mut service = killed_at(folder.path(), &MOMENTS);
    settle(&service);
    let shown = shown(&service);
    assert!(service.stop(), "{}", service.said());
    let rocks = opened(folder.path());
    let log = rocks.log();
    let (public, copies) = (signals(&*log, "golden-signals"), signals(&*log, COPIES));
    // Rabin's fingerprint, as its unit test computes it by hand.
    let frame = copies.values().next().unwrap().0.value[..10].to_vec();
    assert_eq!(frame[..2], [0xC3, 0x01]);
    same(&public, &copies, &frame, SCHEMA_TEXT);
    // And the API says of each window what its last revision says.
    let mut newest = BTreeMap::new();
    for ((identity, _), (stands, _)) in &public {
        let record: Value = serde_json::from_slice(&stands.value).unwrap();
        let held = newest.entry(identity).or_insert_with(|| record.clone());
        if held["revision"].as_u64() < record["revision"].as_u64() {
            *held = record;
        }
    }
    let newest: Vec<Value> = newest.into_values().collect();
    assert!(shown.len() > 100 && shown.iter().any(|record| record["revision"] != 0));
    for record in &shown {
        assert!(newest.contains(record), "the API says {record:#}, which is not published");
    }
    eprintln!("{} revisions, {} kills", copies.len(), MOMENTS.len());
    drop((log, rocks));
    let (code, text) = verify(folder.path(), &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
}

/// A schema registry: gives the first schema under a subject a number. Its first answers are failures.
struct Registry {
    schemas: Mutex<BTreeMap<String, String>>,
    asked: AtomicU64,
}

impl Registry {
    fn start(address: &str) -> Arc<Self> {
        let registry = Arc::new(Self { schemas: Mutex::default(), asked: AtomicU64::new(0) });
        let (listener, serves) = (TcpListener::bind(address).unwrap(), Arc::clone(&registry));
        let serve = move || listener.incoming().flatten().for_each(|stream| drop(serves.answer(&stream)));
        std::thread::Builder::new().name("registry".to_owned()).spawn(serve).unwrap();
        registry
    }

    fn answer(&self, mut stream: &TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        let (mut request, mut length, mut knows) = (String::new(), 0, false);
        reader.read_line(&mut request)?;
        for line in reader.by_ref().lines() {
            let line = line?.to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            knows |= line == "authorization: basic dxnlcjpjyw5hcnk=";
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = request.split(' ');
        let what = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        let (status, answer) = if !knows {
            (401, json!({"error_code": 401, "message": "who are you?"}))
        } else if asked < 2 {
            (500, json!({"error_code": 50003, "message": "no leader"}))
        } else {
            self.known(what, &body)
        };
        let answer = answer.to_string();
        write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{answer}", answer.len())
    }

    fn known(&self, (method, path): (&str, &str), body: &[u8]) -> (u16, Value) {
        let mut schemas = self.schemas.lock().unwrap();
        let given = || {
            let request: Value = serde_json::from_slice(body).unwrap();
            request["schema"].as_str().unwrap().to_owned()
        };
        match (method, path.strip_prefix("/subjects/").and_then(|rest| rest.strip_suffix("/versions"))) {
            ("POST", Some(subject)) => {
                let schema = schemas.entry(subject.to_owned()).or_insert_with(given);
                assert_eq!(*schema, given(), "one schema under a subject");
                (200, json!({"id": NUMBER}))
            }
            ("POST", None) => match schemas.get(path.trim_start_matches("/subjects/")) {
                Some(schema) if *schema == given() => (200, json!({"id": NUMBER, "version": 1, "schema": schema})),
                _ => (404, json!({"error_code": 40403, "message": "Schema not found"})),
            },
            _ if path == format!("/schemas/ids/{NUMBER}") => (200, json!({"schema": schemas.values().next()})),
            _ => (404, json!({"error_code": 40403, "message": "Schema not found"})),
        }
    }
}

#[test]
fn on_kafka_a_reader_finds_the_schema_in_the_registry_and_each_revision_once() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    // A port that nobody listens on yet.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let registry = format!("registry: {{url: \"http://{address}\", user: user, password: canary}}");
    let kafka = format!("kafka: {{bootstrap: \"{}\", dev: true, {registry}}}", cluster.bootstrap);
    let config = folder.path().join("golden.yaml");
    let settings =
        |avro: &str| format!("{SETTINGS}log: {{partitions: {PARTITIONS}, reserve_mib: 1, {kafka}}}\noutputs: {{avro: {{{avro}}}}}\n");
    std::fs::write(&config, settings("")).unwrap();
    let golden = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(folder.path()).output().unwrap();
    let applied = golden(&["topics", "apply"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    let log = cluster.log();
    assert_eq!(log.partitions(&Topic::new(COPIES)).unwrap(), PARTITIONS);

    // Nothing but the copies waits for the registry.
    let (account, acked, stop) = (Mutex::new(Account::default()), AtomicU64::new(0), AtomicBool::new(false));
    let clock = SystemClock::new();
    let mut service = start(folder.path(), None);
    let urls = Mutex::new(vec![service.url.clone()]);
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        scope.spawn(|| Client::new(1, &urls, &account, &clock).run(&acked, &stop, Duration::from_millis(20)));
        eventually("windows are published", 120, || {
            let found = service.get("/api/v1/services/s0/signals").unwrap_or_default();
            found["records"].as_array().is_some_and(|records| records.len() > 1)
        });
    });
    assert!(ureq::get(&format!("{}/-/ready", service.url)).call().is_ok());
    assert!(signals(&log, COPIES).is_empty() && !signals(&log, "golden-signals").is_empty());
    let registry = Registry::start(&address);
    eventually("what was published meanwhile is copied", 120, || !signals(&log, COPIES).is_empty());
    assert_eq!(registry.schemas.lock().unwrap().keys().collect::<Vec<_>>(), ["golden-signals.avro-value"]);
    assert!(service.said().contains("no leader") && !service.said().contains("canary"), "{}", service.said());
    assert!(service.stop());

    // From now on it is only looked up.
    std::fs::write(&config, settings("register: false")).unwrap();
    let moments = ["mid_produce:2", "before_commit:2", "endtxn_sent:2+1", "after_commit:2"];
    let mut service = killed_at(folder.path(), &moments);
    settle(&service);
    assert!(service.stop());
    let (public, copies) = (signals(&log, "golden-signals"), signals(&log, COPIES));
    let frame = [&[0][..], &NUMBER.to_be_bytes()].concat();
    let url = format!("http://{address}/schemas/ids/{NUMBER}");
    let text = ureq::get(&url).header("authorization", "Basic dXNlcjpjYW5hcnk=").call().unwrap().body_mut().read_to_string().unwrap();
    let answer: Value = serde_json::from_str(&text).unwrap();
    same(&public, &copies, &frame, answer["schema"].as_str().unwrap());
    eprintln!("{} revisions, {} kills", copies.len(), moments.len());
}
