//! How long the page waits: questions about a day and about a fleet, by HTTP, from stores on a device, while windows come in.
//!
//! Two threads work half of the time, for as long as it is asked: the sink, which folds windows of the whole fleet into the stores that are
//! read, and one that counts events, as FOLD does. Every fold moves event time on by a minute, so a minute of the fleet's life passes in far
//! less than a minute. Answers are read to the end; times are those of the client.

use crate::sample::aggregate;
use anyhow::{Context, Result, ensure};
use clap::Args;
use golden_http::{AppState, Doors, Limits, Page, Parts, Status as Told, Vitals};
use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::decode::{Wanted, decoder};
use golden_pipeline::emit::prometheus::Format as MetricsFormat;
use golden_pipeline::emit::record::{Final, RecordEncoder, Subject};
use golden_pipeline::history::{FORMAT, History, HistoryStage, Retention, SIGNALS_STAGE, store_name};
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{AGGREGATE, IDENTITY, SCHEMA, SCHEMA_SIGNALS, Topics};
use golden_pipeline::overrides::board::Board;
use golden_pipeline::settings::PipelineSettings;
use golden_pipeline::signal::completeness::Completeness;
use golden_pipeline::signal::health::{DEFAULT_RULE_SHA256, Health, Level, Reason};
use golden_pipeline::source::Source;
use platform_core::clock::Clock;
use platform_core::record::{BatchBuffer, Offset, Partition, put_headers};
use platform_core::stage::KeyedStage;
use platform_core::store::{Changes, Store, Stores};
use platform_core::time::{EventTime, SECOND};
use platform_core::window::WindowLength;
use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;
/// 2026-01-01T00:00:00Z.
const BEGIN: i64 = 1_767_225_600 * SECOND;

/// How much to ask of how much.
#[derive(Args, Debug)]
pub(crate) struct HistoryBench {
    /// Folder for the stores, made anew; about 1 GB.
    #[arg(long)]
    dir: PathBuf,
    /// Services of the fleet.
    #[arg(long, default_value_t = 5000)]
    services: usize,
    /// Services among them that have a day of history, by operation too.
    #[arg(long, default_value_t = 5)]
    asked: usize,
    /// Operations of each of these.
    #[arg(long, default_value_t = 10)]
    operations: usize,
    /// Questions of each kind.
    #[arg(long, default_value_t = 100)]
    questions: usize,
}

impl HistoryBench {
    pub(crate) fn run(&self) -> Result<()> {
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir)?;
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let topics = Topics::of("blue");
        let all = [&topics.events, &topics.public, &topics.late, &topics.dead_letters];
        let topic = |topic: &_| TopicSettings { topic: Clone::clone(topic), partitions: 1, retention: Duration::MAX };
        let settings = Settings { topics: all.into_iter().map(topic).collect(), ..Settings::default() };
        let rocks = Rocks::open(&self.dir, &settings, Arc::clone(&clock))?;
        let stores = rocks.stores();
        let mut sink = Sink::new(self, stores.open(&store_name(SIGNALS_STAGE), 0, FORMAT)?)?;
        let before = clock.monotonic();
        for minute in 0..26 * 60 {
            let services = if minute < 25 * 60 + 25 { self.asked } else { self.services };
            sink.fold(minute, services)?;
        }
        eprintln!("{} windows folded in {:.1} s", sink.folded, (clock.monotonic() - before).as_secs_f64());
        let before = clock.monotonic();
        sink.fold(26 * 60, self.services)?;
        eprintln!("one window of the fleet, made and folded: {:.2} s", (clock.monotonic() - before).as_secs_f64());

        let vitals: Arc<dyn Vitals> = Arc::new(Still);
        let parts = Parts {
            log: rocks.log(),
            topics,
            history: History::open(&*stores, 1, 1)?,
            board: Arc::new(Board::default()),
            settings: PipelineSettings::default().check()?,
            clock: Arc::clone(&clock),
            decoders: Box::new(|format| decoder(&Source::for_format(format), &Wanted::default())),
            vitals,
            router: None,
            limits: Limits::default(),
            page: Page::default(),
            retention: Retention::default(),
        };
        let router = golden_http::router(AppState::new(parts)?, Doors { ingest: false, api: true, router: false });
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = runtime.spawn(golden_http::serve(listener, router, async move { drop(stopped.await) }));
        let ended = Arc::new(AtomicBool::new(false));
        println!("| Question | Load | Median ms | 95 % ms | To reach | Slowest ms | KiB |\n|---|---|---|---|---|---|---|");
        self.ask(address, &*clock, "none")?;
        let folding = {
            let (ended, clock, services) = (Arc::clone(&ended), Arc::clone(&clock), self.services);
            named("sink", move || {
                let mut minute = 26 * 60 + 1;
                half(&ended, &*clock, || {
                    minute += 1;
                    sink.fold(minute, services)
                })?;
                Ok(minute - 26 * 60 - 1)
            })?
        };
        let counting = {
            let (ended, clock) = (Arc::clone(&ended), Arc::clone(&clock));
            named("fold", move || {
                half(&ended, &*clock, || {
                    (0..200).for_each(|n| drop(aggregate(n, 500)));
                    Ok(())
                })?;
                Ok(0)
            })?
        };
        self.ask(address, &*clock, "half")?;
        ended.store(true, Ordering::Relaxed);
        let folded = folding.join().map_err(|_| anyhow::anyhow!("the sink died"))??;
        counting.join().map_err(|_| anyhow::anyhow!("the counter died"))??;
        eprintln!("{folded} windows of the fleet came in meanwhile");
        let _ = stop.send(());
        runtime.block_on(serving)??;
        Ok(())
    }

    fn ask(&self, address: SocketAddr, clock: &dyn Clock, load: &str) -> Result<()> {
        let day = 24 * 3600;
        for (name, route, wanted) in [
            ("a day of a service", "range", 100),
            ("a day of a service, by operation", "range?grouping=service_operation", 100),
            ("a day of a service, steps of 6 minutes", "range?step=360", 100),
            ("heat map of a day", "heatmap", 100),
            ("health of a day", "timeline", 100),
            ("exemplars of a day", "exemplars", 100),
            ("the fleet", "/api/v1/services?limit=10000", 300),
        ] {
            let (mut times, mut bytes) = (vec![], 0);
            for n in 0..self.questions {
                let path = if route.starts_with('/') {
                    route.to_owned()
                } else {
                    let newest = get(address, &format!("/api/v1/services/service-{}/health", n % self.asked))?;
                    let newest: serde_json::Value = serde_json::from_slice(&newest)?;
                    let end = newest.get("window_end").and_then(serde_json::Value::as_str).context("a window")?.to_owned();
                    let (from, sign) = (seconds(&end)? - day, if route.contains('?') { '&' } else { '?' });
                    format!("/api/v1/services/service-{}/{route}{sign}from={from}&to={end}", n % self.asked)
                };
                let before = clock.monotonic();
                bytes = get(address, &path)?.len();
                times.push((clock.monotonic() - before).as_secs_f64() * 1000.0);
            }
            times.sort_by(f64::total_cmp);
            let at = |part: usize| times.get((times.len() * part / 100).min(times.len() - 1)).copied().unwrap_or_default();
            println!("| {name} | {load} | {:.1} | {:.1} | ≤ {wanted} | {:.1} | {} |", at(50), at(95), at(100), bytes >> 10);
        }
        Ok(())
    }
}

/// Seconds since 1970 of an instant as the API writes it.
fn seconds(text: &str) -> Result<i64> {
    let field = |range: std::ops::Range<usize>| -> Result<i64> { Ok(text.get(range).context("an instant")?.parse()?) };
    let (month, day, hour, minute) = (field(5..7)?, field(8..10)?, field(11..13)?, field(14..16)?);
    ensure!(month <= 2 && text.starts_with("2026"), "{text} lies beyond February");
    Ok(BEGIN / SECOND + ((month - 1) * 31 + day - 1) * 86_400 + hour * 3600 + minute * 60)
}

fn get(address: SocketAddr, path: &str) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path}: {}", String::from_utf8_lossy(answer.get(..400).unwrap_or(&answer)));
    let body = memchr::memmem::find(&answer, b"\r\n\r\n").context("a body")?;
    Ok(answer.split_off(body + 4))
}

fn named<T: Send + 'static>(name: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<std::thread::JoinHandle<Result<T>>> {
    Ok(std::thread::Builder::new().name(name.to_owned()).spawn(work)?)
}

/// Works, then rests as long as that took, until it is told to end.
fn half(ended: &AtomicBool, clock: &dyn Clock, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let (_quiet, bell) = mpsc::channel::<()>();
    while !ended.load(Ordering::Relaxed) {
        let before = clock.monotonic();
        work()?;
        let _ = bell.recv_timeout(clock.monotonic() - before);
    }
    Ok(())
}

/// Nothing of a pipeline is asked for.
struct Still;

impl Vitals for Still {
    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
    fn status(&self) -> Told {
        Told::default()
    }
    fn metrics(&self, _: MetricsFormat, _: &mut Vec<u8>) {}
}

/// The stage that folds the public topic, with its store.
struct Sink {
    stage: HistoryStage,
    store: Box<dyn Store>,
    /// Encoded integers of some windows, used in turn.
    aggregates: Vec<Aggregate>,
    asked: usize,
    operations: usize,
    folded: u64,
}

impl Sink {
    fn new(bench: &HistoryBench, store: Box<dyn Store>) -> Result<Self> {
        let mut stage = HistoryStage::signals(Retention::default());
        stage.restore(&*store, &[])?;
        let aggregates = (0..64).map(|seed| aggregate(seed, 120)).collect();
        Ok(Self { stage, store, aggregates, asked: bench.asked, operations: bench.operations, folded: 0 })
    }

    /// One window of the first services, in one transaction.
    fn fold(&mut self, minute: i64, services: usize) -> Result<()> {
        let mut buffer = BatchBuffer::default();
        buffer.start(&Partition::new(&platform_core::record::Topic::new("public"), 0));
        let start = EventTime(BEGIN + minute * MINUTE);
        let (mut value, mut headers) = (vec![], vec![]);
        for service in 0..services {
            let name = format!("service-{service}");
            let operations = if service < self.asked { self.operations } else { 0 };
            for operation in 0..=operations {
                let operation = operation.checked_sub(1).map(|n| format!("GET /api/v1/resource-{n}/{{id}}"));
                let seed = service * 31 + usize::try_from(minute)? * 7 + operation.as_ref().map_or(0, String::len);
                let aggregate = self.aggregates.get(seed % self.aggregates.len()).context("an aggregate")?;
                let dimensions: Vec<(&str, &str)> = operation.iter().map(|operation| ("operation", operation.as_str())).collect();
                let grouping = if operation.is_some() { "service_operation" } else { "service" };
                let subject =
                    Subject { tenant: "default", namespace: "", service: &name, grouping, dimensions: &dimensions, overflow: false };
                let health = Health { level: Some(Level::Healthy), reason: Reason::Rule, previous: Level::Healthy };
                value.clear();
                RecordEncoder::default().put_final(
                    &Final {
                        subject,
                        window_start: start,
                        window: WindowLength::new(Duration::from_secs(60))?,
                        revision: 0,
                        completeness: Completeness::FULL,
                        aggregate,
                        saturation: None,
                        health: operation.is_none().then_some(health),
                        override_version: 0,
                        override_sha256: DEFAULT_RULE_SHA256,
                        sources: None,
                    },
                    &mut value,
                );
                let identity = Identity {
                    window_start: start,
                    window_nanos: MINUTE,
                    tenant: "default".to_owned(),
                    namespace: String::new(),
                    service: name.clone(),
                    grouping: grouping.to_owned(),
                    dimensions: operation.iter().cloned().collect(),
                };
                let (mut id, mut integers) = (vec![], vec![]);
                identity.encode(&mut id);
                aggregate.encode(&mut integers);
                headers.clear();
                put_headers(&mut headers, &[(SCHEMA, SCHEMA_SIGNALS.as_bytes()), (IDENTITY, &id), (AGGREGATE, &integers)]);
                buffer.push(Offset(self.folded), None, None, &headers, Some(&value));
                self.folded += 1;
            }
        }
        let batch = buffer.batch().context("a batch")?;
        batch.iter().try_for_each(|record| self.stage.apply(&record, &*self.store))?;
        let mut changes = Changes::default();
        self.stage.changes(&mut changes);
        self.store.write(&changes, Offset(self.folded))?;
        Ok(())
    }
}
