//! What forwarding costs: a router worker against a plain loop of the same client, over the same topic of results.
//!
//! The topic holds results of one deployment as CLOSE writes them, window by window, each with its progress record. The plain loop reads
//! them in a group, one by one, appends each with its headers to another topic, and commits records and positions together as often as a
//! worker does; it decides nothing. Both are whole processes; CPU is a process's own, from its start to its end.

use crate::kafka::broker::{self, Broker};
use crate::kafka::golden::{Golden, wall};
use crate::kafka::{PARTITIONS, connect};
use crate::measure::{Took, measured, now};
use crate::report::{Case, Ratio, figures, ratios};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use golden_pipeline::identity::{Identity, sortable};
use golden_pipeline::names::{self, PIPELINE, Topics};
use golden_router::control::give;
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{Entry, Order, Start};
use platform_core::growth::{FORGOTTEN_HEADER, Growth, Sums};
use platform_core::log::{Claim, Committed, Log, Polled, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_core::time::{EventTime, SECOND};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// Results of one window of a partition.
const SERIES: u64 = 5000;
/// Length of a window, ns.
const WINDOW: i64 = 60 * SECOND;
/// Where the plain loop writes: a topic that nothing else is done with here.
const PLAIN: &str = "golden-signals.green.signals";
/// Group and transactional id of the plain loop.
const PLAIN_GROUP: &str = "peer-plain";
/// Group of router workers.
const ROUTER_GROUP: &str = "golden-signals.router";
/// Time between commits, as workers have it here.
const COMMIT: Duration = Duration::from_secs(1);
/// How often it is looked whether a worker is done.
const LOOK: Duration = Duration::from_millis(100);

const ROUTER: &str = "router worker";
const LOOP: &str = "plain loop";
const RATIOS: &[Ratio] = &[Ratio {
    says: "records per CPU-s, router worker / plain loop",
    above: ROUTER,
    below: LOOP,
    part: Took::rate_per_cpu,
    reach: "≥ 0.6",
}];

/// What to run.
#[derive(Args, Debug)]
pub(crate) struct ForwardBench {
    /// The `golden` program.
    #[arg(long)]
    golden: PathBuf,
    /// What starts brokers.
    #[arg(long, default_value = "tests/kafka/kafka")]
    script: PathBuf,
    /// Folder for the broker and state; 4 GB for a million results.
    #[arg(long)]
    dir: PathBuf,
    /// Rounds; each runs both once.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Results of the topic, in whole windows.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
}

/// The plain loop, in a process of its own.
#[derive(Args, Debug)]
pub(crate) struct Forward {
    /// `host:port` of some brokers.
    bootstrap: String,
    /// After how many records it is done.
    records: u64,
}

fn signals() -> Topic {
    Topics::of(Colour::Blue.name()).signals
}

impl ForwardBench {
    pub(crate) fn run(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let broker = Broker::start(&self.script, &self.dir.join("broker"))?;
        let golden = Golden::new(&self.golden, &self.dir.join("golden"), &broker.bootstrap, Duration::from_secs(60), "", "")?;
        let mut cases: Vec<Case> = [ROUTER, LOOP].into_iter().map(Case::new).collect();
        let windows = self.records.div_ceil(SERIES * u64::from(PARTITIONS));
        let records = windows * (SERIES + 1) * u64::from(PARTITIONS);
        for round in 1..=self.rounds {
            // Each round begins with a topic of its own, as a worker goes on from where it was.
            broker.delete("golden-signals.*|peer-.*")?;
            golden.prepare()?;
            fill(&broker.bootstrap, windows)?;
            for case in &mut cases {
                let took = match case.name() {
                    ROUTER => self.router(&golden, &broker.bootstrap),
                    _ => self.plain(&broker.bootstrap, records),
                };
                case.add(round, took.context(case.name())?);
                eprintln!("         load average {}", broker::load_average()?);
            }
        }
        print!("{}{}", figures(&cases, records), ratios(&cases, RATIOS));
        Ok(())
    }

    fn router(&self, golden: &Golden, bootstrap: &str) -> Result<Took> {
        let log = connect(bootstrap)?;
        let partitions: Vec<Partition> = (0..PARTITIONS).map(|index| Partition::new(&signals(), index)).collect();
        let done = || -> Result<bool> {
            for partition in &partitions {
                let end = log.bounds(partition)?.1;
                // The last offset may be the log's own.
                if log.committed(ROUTER_GROUP, partition)?.is_none_or(|committed| committed.offset.0 + 1 < end.0) {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        let took = golden.until(&["run", "--listen", "127.0.0.1:0", "--role", "router"], LOOK, done)?;
        let public = Topics::of(Colour::Blue.name()).public;
        for index in 0..PARTITIONS {
            let end = log.bounds(&Partition::new(&public, index))?.1;
            ensure!(end.0 >= self.records / u64::from(PARTITIONS), "partition {index} has {end:?} records only");
        }
        Ok(took)
    }

    fn plain(&self, bootstrap: &str, records: u64) -> Result<Took> {
        let program = std::env::current_exe()?;
        let command: Vec<OsString> = vec![program.into(), "forward".into(), bootstrap.into(), records.to_string().into()];
        measured(&command, Stdio::null(), &self.dir.join("forward.txt"))
    }
}

impl Forward {
    pub(crate) fn run(&self) -> Result<()> {
        let log = connect(&self.bootstrap)?;
        let mut reader = log.reader(&Subscription { group: Some(PLAIN_GROUP.to_owned()), topics: vec![signals()] })?;
        let mut writer = log.writer(PLAIN_GROUP)?;
        let to: Vec<Partition> = (0..PARTITIONS).map(|index| Partition::new(&Topic::new(PLAIN), index)).collect();
        let (mut claim, mut forwarded) = (None, 0);
        let mut next: Vec<(Partition, Committed)> = Vec::new();
        let mut committed = now();
        while forwarded < self.records {
            match reader.poll(Duration::from_millis(100))? {
                Polled::Nothing => {}
                Polled::Assigned(assignment) => claim = Some(assignment.claim),
                Polled::Batch(batch) => {
                    let to = to.get(batch.partition.index as usize).context("more partitions than there are")?;
                    let mut at = Offset(0);
                    for record in batch.iter() {
                        let headers: Vec<(&str, &[u8])> = record.headers.iter().collect();
                        writer.append(to, NewRecord { key: record.key, headers: &headers, value: record.value })?;
                        (at, forwarded) = (record.offset.next(), forwarded + 1);
                    }
                    next.retain(|(partition, _)| partition.index != to.index);
                    next.push((Partition::new(&signals(), to.index), Committed { offset: at, metadata: Vec::new() }));
                }
            }
            if !next.is_empty() && (now().duration_since(committed) >= COMMIT || forwarded >= self.records) {
                let Some(claim) = &claim else { bail!("records came before an assignment") };
                writer.commit(claim, &next)?;
                next.clear();
                committed = now();
            }
        }
        println!("forwarded={forwarded}");
        Ok(())
    }
}

/// Orders that blue is live, and writes what it would have written.
fn fill(bootstrap: &str, windows: u64) -> Result<()> {
    let topics = Topics::of(Colour::Blue.name());
    let log: Arc<dyn Log> = Arc::new(connect(bootstrap)?);
    let deployment = Deployment { colour: Colour::Blue, epoch: 1 };
    let start = Start { deployment, version: "bench".to_owned(), owned_from: 0, positions: Vec::new() };
    let entry = Entry { by: "bench".to_owned(), reason: "bench".to_owned(), order: Order::Start(start) };
    give(&log, PIPELINE, &topics.control, |_| Some(entry))?;
    let mut writer = log.writer("peer-fill")?;
    let nobody = Claim { group: String::new(), member: 0, generation: 0 };
    let first = wall() / WINDOW * WINDOW - i64::try_from(windows)? * WINDOW;
    for window in (0..windows).map(|number| first + number as i64 * WINDOW) {
        for index in 0..PARTITIONS {
            let to = Partition::new(&topics.signals, index);
            let mut sums = Sums::default();
            let mut before = Vec::new();
            for series in 0..SERIES {
                let hash = series.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ window.cast_unsigned();
                let result = Made::of(window, index, series, hash);
                sums.add(series + 1, hash);
                ensure!(before < result.identity, "result {series} of a window does not lie behind the one before it, as CLOSE's do");
                before.clone_from(&result.identity);
                writer.append(&to, NewRecord { key: Some(&result.key), headers: &result.headers(), value: Some(&result.value) })?;
            }
            let window_key = sortable(EventTime(window));
            let value = format!(r#"{{"schema":"{}","window_start":{window},"window_end":{}}}"#, names::SCHEMA_PROGRESS, window + WINDOW);
            let sums = sums.encode();
            let headers: [(&str, &[u8]); 7] = [
                (names::SCHEMA, names::SCHEMA_PROGRESS.as_bytes()),
                (names::CONTENT_TYPE, b"application/json"),
                (names::COLOUR_HEADER, b"blue"),
                (names::EPOCH_HEADER, b"1"),
                (names::SUMS, &sums),
                (names::IDENTITY, &window_key),
                (FORGOTTEN_HEADER, &window_key),
            ];
            writer.append(&to, NewRecord { key: None, headers: &headers, value: Some(value.as_bytes()) })?;
        }
        writer.commit(&nobody, &[])?;
    }
    Ok(())
}

/// A result as CLOSE writes it.
struct Made {
    key: Vec<u8>,
    value: Vec<u8>,
    hash: String,
    identity: Vec<u8>,
    growth: Vec<u8>,
    aggregate: Vec<u8>,
}

impl Made {
    fn of(window: i64, index: u32, series: u64, hash: u64) -> Self {
        // Names as wide as each other: identities rise, as CLOSE writes them.
        let service = format!("service-{index}-{:03}", series / 20);
        let identity = Identity {
            window_start: EventTime(window),
            window_nanos: WINDOW,
            tenant: "default".to_owned(),
            namespace: String::new(),
            service: service.clone(),
            grouping: "service_operation".to_owned(),
            dimensions: vec![format!("GET /operation/{:02}", series % 20)],
        };
        let mut encoded = Vec::new();
        identity.encode(&mut encoded);
        let head = r#"{"schema":"golden-signals/1","revision":"#;
        let value = format!(
            "{head}0,\"service\":\"{service}\",\"window_start\":{window},\"events\":{},\"hash\":\"{hash:016x}\",\"more\":\"{}\"}}",
            series + 1,
            // A public record has some 900 bytes.
            "signal ".repeat(110)
        );
        let mut growth = Vec::new();
        Growth { revision_at: head.len(), complete: true, totals: vec![series + 1, 3, 7, 1] }.encode(&mut growth);
        let aggregate = hash.to_le_bytes().repeat(20);
        let (key, hash) = (service.into_bytes(), format!("{hash:016x}"));
        Self { key, value: value.into_bytes(), hash, identity: encoded, growth, aggregate }
    }

    fn headers(&self) -> [(&'static str, &[u8]); 9] {
        [
            (names::SCHEMA, names::SCHEMA_SIGNALS.as_bytes()),
            (names::CONTENT_TYPE, b"application/json"),
            (names::TENANT, b"default"),
            (names::COLOUR_HEADER, b"blue"),
            (names::EPOCH_HEADER, b"1"),
            (names::HASH, self.hash.as_bytes()),
            (names::IDENTITY, &self.identity),
            (names::GROWTH, &self.growth),
            (names::AGGREGATE, &self.aggregate),
        ]
    }
}
