//! A router over a log in memory, with the decoders of the pipeline.

use crate::serve::Peer;
use crate::{AppState, Doors, Limits, Parts, Status, Vitals, router};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::decode::{Wanted, decoder};
use golden_pipeline::emit::prometheus::Format as MetricsFormat;
use golden_pipeline::event::{Event, Trace};
use golden_pipeline::history::{FORMAT, History, HistoryStage, LATE_STAGE, Retention, SIGNALS_STAGE, store_name};
use golden_pipeline::identity::{Identity, put_key};
use golden_pipeline::names::{self, Topics};
use golden_pipeline::outcome::Outcome;
use golden_pipeline::overrides::board::Board;
use golden_pipeline::settings::PipelineSettings;
use golden_pipeline::signal::health::DEFAULT_RULE_SHA256;
use golden_pipeline::source::Source;
use http_body_util::BodyExt;
use platform_core::clock::Clock;
use platform_core::log::{AppendError, Committed, Log, LogError, Polled, Positions, Producer, Reader, Subscription, Writer};
use platform_core::partitioner::partition_of;
use platform_core::record::{BatchBuffer, NewRecord, Offset, Partition, Topic, put_headers};
use platform_core::stage::KeyedStage;
use platform_core::store::{Changes, Stores};
use platform_core::time::{AppendTime, EventTime, SECOND};
use platform_runtime::memory::{AppendTimes, MemoryLog, MemoryStores, TopicSettings};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::ServiceExt;

pub(super) const MINUTE: i64 = 60 * SECOND;
/// Start of the window that tests speak of: 2022-08-22T03:52:00Z.
pub(super) const WINDOW: i64 = 1_661_140_320 * SECOND;
pub(super) const PARTITIONS: u32 = 3;

pub(super) struct FixedClock(pub i64);

impl Clock for FixedClock {
    fn wall(&self) -> i64 {
        self.0
    }
    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}

/// A reader whose first polls bring nothing, as those of brokers do.
struct Hesitating(Box<dyn Reader>, u32);

impl Reader for Hesitating {
    fn poll(&mut self, wait: Duration) -> Result<Polled<'_>, LogError> {
        if self.1 == 0 {
            return self.0.poll(wait);
        }
        self.1 -= 1;
        Ok(Polled::Nothing)
    }
    fn seek(&mut self, to: &Positions) -> Result<(), LogError> {
        self.0.seek(to)
    }
    fn pause(&mut self, these: &std::collections::BTreeSet<Partition>) -> Result<(), LogError> {
        self.0.pause(these)
    }
    fn position(&self, of: &Partition) -> Offset {
        self.0.position(of)
    }
    fn end(&self, of: &Partition) -> Result<Option<Offset>, LogError> {
        self.0.end(of)
    }
}

/// A log whose producer refuses.
struct Refusing(MemoryLog, Option<AppendError>);

struct RefusingProducer(AppendError);

impl Producer for RefusingProducer {
    fn append(&self, _to: &Partition, _records: &[NewRecord<'_>]) -> Result<Offset, AppendError> {
        Err(self.0.clone())
    }
}

impl Log for Refusing {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        Ok(Box::new(Hesitating(self.0.reader(subscription)?, 2)))
    }
    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        self.0.writer(transactional_id)
    }
    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        match &self.1 {
            Some(error) => Ok(Box::new(RefusingProducer(error.clone()))),
            None => self.0.producer(),
        }
    }
    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        self.0.partitions(topic)
    }
    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        self.0.bounds(partition)
    }
    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        self.0.offset_at(partition, from)
    }
    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        self.0.committed(group, partition)
    }
}

/// What the pipeline says in tests.
pub(super) struct TestVitals(pub Mutex<Result<(), String>>);

impl Vitals for TestVitals {
    fn ready(&self) -> Result<(), String> {
        self.0.lock().unwrap().clone()
    }
    fn status(&self) -> Status {
        Status { version: "1.2.3".into(), ..Status::default() }
    }
    fn metrics(&self, format: MetricsFormat, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("golden_signals_build_info 1 {format:?}\n").repeat(100).as_bytes());
    }
}

/// A published record.
#[derive(Clone)]
pub(super) struct Published {
    pub service: String,
    pub namespace: String,
    pub start: i64,
    pub requests: u64,
    pub level: u8,
    /// Name and value of a dimension, of grouping `service_operation`.
    pub operation: Option<String>,
    /// A grouping of another name, and the values of its dimensions.
    pub own: Option<(String, Vec<String>)>,
    /// Version and SHA-256 of the rule in force.
    pub rule: (u64, String),
    /// A line of a rule that is tried, which gives this level.
    pub shadow: Option<u8>,
    /// Share of its CPU that the service uses, where that is known.
    pub saturation: Option<f64>,
    /// By how much each request takes longer than the one before, ns; the first takes 5 ms.
    pub spread: u64,
    /// Trace of every request.
    pub trace: Option<u128>,
}

pub(super) fn published(service: &str, start: i64, requests: u64) -> Published {
    let (namespace, rule) = (String::new(), (0, DEFAULT_RULE_SHA256.to_owned()));
    Published {
        service: service.into(),
        namespace,
        start,
        requests,
        level: 0,
        operation: None,
        own: None,
        rule,
        shadow: None,
        saturation: None,
        spread: 0,
        trace: None,
    }
}

impl Published {
    fn grouping(&self) -> &str {
        if let Some((name, _)) = &self.own {
            return name;
        }
        match (self.shadow, &self.operation) {
            (Some(_), _) => "shadow",
            (None, Some(_)) => "service_operation",
            (None, None) => "service",
        }
    }

    /// The integers: the requests, two of which failed.
    pub(super) fn aggregate(&self) -> Vec<u8> {
        let mut aggregate = Aggregate::default();
        for n in 0..self.requests {
            let outcome = if n < 2 { Outcome::Error } else { Outcome::Ok };
            let event = Event {
                event_time: EventTime(self.start),
                duration: Some(5_000_000 + n * self.spread),
                service: &self.service,
                outcome,
                trace: self.trace.map(|trace_id| Trace { trace_id, span_id: n, sampled: true }),
                ..Event::EMPTY
            };
            aggregate.add(&event, n);
        }
        let mut encoded = vec![];
        aggregate.encode(&mut encoded);
        encoded
    }

    pub(super) fn json(&self) -> String {
        let Self { service, namespace, start, requests, level, rule: (version, sha256), .. } = self;
        let (start, end) = (crate::instant::rfc3339(EventTime(*start)), crate::instant::rfc3339(EventTime(start + MINUTE)));
        let state = ["healthy", "degraded", "impaired", "critical"][usize::from(*level)];
        let service = Value::from(service.as_str());
        let dimensions =
            self.operation.as_ref().map(|operation| format!("\"operation\":{}", Value::from(operation.as_str()))).unwrap_or_default();
        let grouping = self.grouping();
        let saturation = self.saturation.map_or_else(
            || "null".to_owned(),
            |ratio| format!(r#"{{"ratio":{ratio},"resource":"cpu","utilization":{{"cpu":{ratio},"memory":0.25}}}}"#),
        );
        if let Some(shadow) = self.shadow {
            return format!(
                r#"{{"schema":"golden-signals-shadow/1","service":{service},"window_start":"{start}","health":{{"level":{level}}},"shadow":{{"level":{shadow}}},"override":{{"version":{version},"sha256":"{sha256}"}}}}"#
            );
        }
        format!(
            r#"{{"schema":"golden-signals/1","tenant":"default","service_namespace":"{namespace}","service":{service},"grouping":"{grouping}","dimensions":{{{dimensions}}},"overflow":false,"window_start":"{start}","window_end":"{end}","window_seconds":60,"revision":0,"completeness":1,"events":{requests},"late_events":0,"requests":{{"count":{requests},"rate":3.5}},"errors":{{"count":2,"rate":0.03,"ratio":0.01,"by_type":{{}}}},"ignored":0,"status_classes":{{}},"availability_ratio":0.99,"latency":{{"unit":"ms","samples":9,"clamped":0,"all":{{"count":9,"sum":1,"mean":1,"max":9,"p50":5.215,"p75":6,"p90":7,"p95":8,"p99":78.335,"p999":90}},"ok":null,"error":null,"low_confidence":[]}},"saturation":{saturation},"health":{{"level":{level},"state":"{state}","reason":"rule","previous":0}},"override":{{"version":{version},"sha256":"{sha256}"}}}}"#
        )
    }
}

#[derive(Clone)]
pub(super) struct App {
    pub router: Router,
    pub log: MemoryLog,
    pub topics: Topics,
    pub stores: MemoryStores,
    pub vitals: Arc<TestVitals>,
    pub board: Arc<Board>,
}

#[derive(Default)]
pub(super) struct Setup {
    pub settings: PipelineSettings,
    pub refuse: Option<AppendError>,
    pub limits: Limits,
    pub late_by: i64,
    pub router: Option<Arc<dyn crate::RouterDoor>>,
}

pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// A client with this address, of a server that goes on.
pub(super) fn peer(address: [u8; 4]) -> Peer {
    Peer { address: address.into(), closing: tokio::sync::watch::channel(false).1 }
}

pub(super) fn app() -> App {
    App::new(Setup::default())
}

impl App {
    pub(super) fn new(setup: Setup) -> Self {
        let log = MemoryLog::new(AppendTimes::Clock(Arc::new(FixedClock(WINDOW))));
        let topics = Topics::of("blue");
        for topic in [&topics.events, &topics.public, &topics.late, &topics.dead_letters] {
            log.create_topic(topic, PARTITIONS, TopicSettings::default());
        }
        let stores = MemoryStores::default();
        let vitals = Arc::new(TestVitals(Mutex::new(Ok(()))));
        let board = Arc::new(Board::default());
        let parts = Parts {
            board: Arc::clone(&board),
            log: Arc::new(Refusing(log.clone(), setup.refuse)),
            topics: topics.clone(),
            history: History::open(&stores, PARTITIONS, PARTITIONS).unwrap(),
            settings: setup.settings.check().unwrap(),
            clock: Arc::new(FixedClock(WINDOW + 2 * MINUTE + setup.late_by)),
            decoders: Box::new(|format| decoder(&Source::for_format(format), &Wanted::default())),
            vitals: vitals.clone(),
            router: setup.router,
            limits: setup.limits,
            retention: Retention::default(),
            page: crate::Page {
                trace_link: Some("https://traces.example/{trace_id}".into()),
                version: "1.2.3".into(),
                ..crate::Page::default()
            },
        };
        Self {
            router: router(AppState::new(parts).unwrap(), Doors { ingest: true, api: true, router: true }),
            log,
            topics,
            stores,
            vitals,
            board,
        }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
    }

    /// The same, as a client of its own.
    pub(super) async fn get_as(&self, client: [u8; 4], path: &str) -> Answer {
        let mut request = Request::get(path).body(Body::empty()).unwrap();
        request.extensions_mut().insert(peer(client));
        self.send(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    pub(super) async fn post(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(super) async fn post_json(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.post(path, &[("content-type", "application/json")], body).await
    }

    /// Partition, headers and value of every record of the events topic.
    pub(super) fn written(&self) -> Vec<Written> {
        let mut reader = self.log.reader(&Subscription { group: None, topics: vec![self.topics.events.clone()] }).unwrap();
        let mut all = vec![];
        loop {
            match reader.poll(Duration::ZERO).unwrap() {
                Polled::Batch(batch) => {
                    for record in batch.iter() {
                        let headers = record.headers.iter().map(|(n, v)| (n.to_owned(), String::from_utf8(v.to_vec()).unwrap())).collect();
                        all.push(Written { partition: batch.partition.index, headers, value: record.value.unwrap().to_vec() });
                    }
                }
                Polled::Assigned(_) => {}
                Polled::Nothing => return all,
            }
        }
    }

    /// Folds records into the history, as the stages do.
    pub(super) fn publish(&self, records: &[Published], late: bool) {
        let (stage_name, schema) = if late { (LATE_STAGE, names::SCHEMA_LATE) } else { (SIGNALS_STAGE, names::SCHEMA_SIGNALS) };
        for partition in 0..PARTITIONS {
            let mut store = self.stores.open(&store_name(stage_name), partition, FORMAT).unwrap();
            let mut stage = if late { HistoryStage::late(7 * 24 * 60 * MINUTE) } else { HistoryStage::signals(Retention::default()) };
            stage.restore(&*store, &[]).unwrap();
            let mut buffer = BatchBuffer::default();
            buffer.start(&Partition::new(&self.topics.public, partition));
            for (at, record) in records.iter().enumerate() {
                let mut key = vec![];
                put_key("default", &record.service, &mut key);
                if partition_of(&key, PARTITIONS) != partition {
                    continue;
                }
                let identity = Identity {
                    window_start: EventTime(record.start),
                    window_nanos: MINUTE,
                    tenant: "default".into(),
                    namespace: record.namespace.clone(),
                    service: record.service.clone(),
                    grouping: record.grouping().into(),
                    dimensions: record
                        .own
                        .as_ref()
                        .map_or_else(|| record.operation.iter().cloned().collect(), |(_, values)| values.clone()),
                };
                let (mut encoded, mut headers) = (vec![], vec![]);
                identity.encode(&mut encoded);
                let schema = if record.shadow.is_some() { names::SCHEMA_SHADOW } else { schema };
                let aggregate = record.aggregate();
                let all = [
                    (names::SCHEMA, schema.as_bytes()),
                    (names::REVISION, b"0"),
                    (names::IDENTITY, &encoded),
                    (names::AGGREGATE, &aggregate),
                ];
                put_headers(&mut headers, &all);
                buffer.push(Offset(at as u64), None, Some(&key), &headers, Some(record.json().as_bytes()));
            }
            buffer.batch().unwrap().iter().for_each(|r| stage.apply(&r, &*store).unwrap());
            let mut changes = Changes::default();
            stage.changes(&mut changes);
            store.write(&changes, Offset(records.len() as u64)).unwrap();
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub partition: u32,
    pub headers: Vec<(String, String)>,
    pub value: Vec<u8>,
}

impl Written {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| &**v)
    }
}
