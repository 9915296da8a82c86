//! From a Kafka broker on this machine: golden against reading alone by the same client, and against peers on the same topic; then how soon
//! public records follow the end of their windows.
//!
//! Whole processes in turn on one topic, each result checked before its speed counts. CPU is a process's own, from its start to its end; the
//! broker's is said beside it. What golden wrote is deleted before each of its rounds, so that each begins with nothing.

use crate::measure::measured;
use crate::report::{Case, Ratio, figures, ratios};
use crate::{kafka::broker::Broker, kafka::exact::Rows, kafka::golden::Golden, measure::Took};
use anyhow::{Context, Result, ensure};
use clap::Args;
use golden_generate::settings::Settings as Generate;
use platform_core::log::Log as _;
use platform_core::record::Topic;
use platform_core::time::{EventTime, SECOND};
use platform_kafka::log::Kafka;
use platform_kafka::settings::Settings;
use platform_kafka::topics::Needed;
use platform_runtime::clock::SystemClock;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

mod broker;
mod events;
mod exact;
pub(crate) mod forward;
mod golden;
mod latency;
mod peers;

/// The topic of events while speed is measured: one that others fill, in a format that is declared, which is how peers see it too.
const TOPIC: &str = "bench-events";
/// The topic of events while latency is measured: golden's own.
const OWN: &str = "service-events";
/// Partitions of all topics: two cores.
const PARTITIONS: u32 = 2;
/// Length of windows while speed is measured, s.
const WINDOW: i64 = 60;
/// How many windows the events are spread over.
const WINDOWS: i64 = 5;
/// How far events may lie behind the newest, s; as in the peers' jobs.
const BOUND: i64 = 5;
/// How far an event may lie from its place in the order, s, either way.
const DISORDER: u64 = 2;
/// How long before its start the load of a run ends, s: an event is never ahead of its append.
const AGO: i64 = 120;

/// The topic as golden is told of it.
const THEIRS: &str = ", sources: [{topic: bench-events, mapping: json.yaml}]";

/// Minutes of events are appended within seconds here: a partition whose events are that old at their append is not to be taken for one with a
/// slow clock.
const HOLD: &str = ", hold: 20m";

/// Cases by their names in the table.
const DRAIN: &str = "drain only";
const GOLDEN: &str = "golden";

/// What to run.
#[derive(Args, Debug)]
pub(crate) struct KafkaBench {
    /// The `golden` program.
    #[arg(long)]
    golden: PathBuf,
    /// What starts brokers.
    #[arg(long, default_value = "tests/kafka/kafka")]
    script: PathBuf,
    /// Folder for the broker, state and results; 2 GB for 6 million events, best on a tmpfs.
    #[arg(long)]
    dir: PathBuf,
    /// Rounds; each runs every case once.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Events of the topic.
    #[arg(long, default_value_t = 6_000_000)]
    events: u64,
    /// Folder with the built peers, `flink/lib` and `kstreams/lib` in it; without it they do not run.
    #[arg(long)]
    peers: Option<PathBuf>,
    /// Events per second while latency is measured; 0: not measured.
    #[arg(long, default_value_t = 20_000)]
    rate: u64,
    /// Windows of 10 s whose latency is measured.
    #[arg(long, default_value_t = 12)]
    windows: u32,
}

/// Reading alone, in a process of its own.
#[derive(Args, Debug)]
pub(crate) struct Drain {
    /// `host:port` of some brokers.
    bootstrap: String,
}

impl Drain {
    pub(crate) fn run(&self) -> Result<()> {
        let drained = connect(&self.bootstrap)?.drain(&Topic::new(TOPIC))?;
        println!("drained={} bytes={}", drained.records, drained.bytes);
        Ok(())
    }
}

/// The cluster, with the settings of all clients of golden.
fn connect(bootstrap: &str) -> Result<Kafka> {
    let settings = Settings { bootstrap: bootstrap.to_owned(), dev: true, ..Settings::default() };
    Ok(Kafka::new(&settings, "golden-bench", Arc::new(SystemClock::new()))?)
}

impl KafkaBench {
    pub(crate) fn run(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir)?;
        let broker = Broker::start(&self.script, &self.dir.join("broker"))?;
        if self.rounds > 0 {
            self.speed(&broker)?;
        }
        if self.rate > 0 {
            let golden = Golden::new(&self.golden, &self.dir.join("latency"), &broker.bootstrap, Duration::from_secs(10), "", "")?;
            broker.delete(&format!("{TOPIC}|{OWN}|golden-signals.*"))?;
            println!("\n{}", latency::measure(&golden, self.rate, self.windows)?);
        }
        Ok(())
    }

    fn speed(&self, broker: &Broker) -> Result<()> {
        let golden =
            Golden::new(&self.golden, &self.dir.join("golden"), &broker.bootstrap, Duration::from_secs(WINDOW as u64), HOLD, THEIRS)?;
        let kafka = connect(&broker.bootstrap)?;
        let needed = Needed { topic: Topic::new(TOPIC), partitions: PARTITIONS, retention: Duration::from_secs(86_400), foreign: false };
        kafka.apply(&kafka.plan(&[needed])?)?;
        golden.prepare()?;
        let (exact, end) = self.fill(&broker.bootstrap)?;
        let peers =
            self.peers.iter().flat_map(|built| peers::all(built, &self.dir.join("peers"), &broker.bootstrap, self.events, &exact, end));
        let peers: Vec<peers::Peer> = peers.collect();
        if peers.is_empty() {
            eprintln!("not run: peers, because --peers names no folder of theirs");
        }
        let mut cases: Vec<Case> = [DRAIN, GOLDEN].into_iter().chain(peers.iter().map(|peer| peer.name)).map(Case::new).collect();
        for round in 1..=self.rounds {
            for case in &mut cases {
                broker.delete("golden-signals.*|peer-.*")?;
                let before = broker.cpu()?;
                let took = match peers.iter().find(|peer| peer.name == case.name()) {
                    Some(peer) => peer.run(&exact),
                    None if case.name() == DRAIN => self.drain(&broker.bootstrap),
                    None => golden.prepare().and_then(|()| golden.run(&exact, end)),
                };
                case.add(round, took.context(case.name())?);
                eprintln!("         broker: {:.2} CPU-s; load average {}", broker.cpu()? - before, broker::load_average()?);
            }
        }
        print!("{}{}", figures(&cases, self.events), ratios(&cases, RATIOS));
        Ok(())
    }

    /// Fills the topic; the exact results, and the end of the last window.
    fn fill(&self, bootstrap: &str) -> Result<(Rows, EventTime)> {
        let now = golden::wall();
        let end = (now / SECOND - AGO) / WINDOW * WINDOW;
        // Disorder stays inside of the windows.
        let span = (WINDOWS * WINDOW) as u64 - 2 * DISORDER;
        let settings = Generate {
            events: self.events,
            start: EventTime((end - WINDOWS * WINDOW + DISORDER as i64) * SECOND),
            rate: self.events.div_ceil(span).max(1),
            disorder: Duration::from_secs(DISORDER),
            ..Generate::default()
        };
        let kafka = connect(bootstrap)?;
        let end = EventTime(end * SECOND);
        let (rows, bytes) = events::fill(&*kafka.producer()?, &events::partitions(TOPIC), &settings, end)?;
        eprintln!("{} events, {:.1} bytes each, lz4", self.events, bytes as f64 / self.events.max(1) as f64);
        Ok((rows, end))
    }

    fn drain(&self, bootstrap: &str) -> Result<Took> {
        let command: Vec<OsString> = vec![std::env::current_exe()?.into(), "drain".into(), bootstrap.into()];
        let output = self.dir.join("drain.txt");
        let took = measured(&command, Stdio::null(), &output)?;
        let (text, wanted) = (std::fs::read_to_string(output)?, self.events + u64::from(PARTITIONS));
        ensure!(text.starts_with(&format!("drained={wanted} ")), "{text} instead of {wanted} records");
        Ok(took)
    }
}

/// What is compared.
const RATIOS: &[Ratio] = &[
    Ratio { says: "events per CPU-s, golden / drain only", above: GOLDEN, below: DRAIN, part: Took::rate_per_cpu, reach: "≥ 0.5" },
    Ratio { says: "CPU of Flink with checkpoints / golden", above: peers::FLINK, below: GOLDEN, part: Took::cpu, reach: "≥ 3" },
    Ratio {
        says: "CPU of Flink, combined by hand, with checkpoints / golden",
        above: peers::COMBINED,
        below: GOLDEN,
        part: Took::cpu,
        reach: "",
    },
    Ratio { says: "CPU of Kafka Streams exactly once / golden", above: peers::STREAMS, below: GOLDEN, part: Took::cpu, reach: "≥ 14" },
];
