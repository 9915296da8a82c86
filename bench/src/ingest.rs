//! What a whole process takes in while it is scraped: `golden run` on its own log, with events of now by HTTP as fast as it takes them, in phases
//! that take turns: alone, and scraped as Prometheus does it, with protobuf and gzip.
//!
//! A phase is a minute, so each has one window that closes, and ends when all that was sent in it is counted. What sends and what scrapes runs on
//! the same cores; the scraper throws away what it reads.

use crate::measure::{Took, now};
use crate::report::{Case, Ratio, figures, ratios};
use crate::running::Running;
use anyhow::{Context, Result, ensure};
use clap::Args;
use platform_core::clock::Clock as _;
use platform_runtime::clock::SystemClock;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

/// Cases by their names in the table.
const ALONE: &str = "alone";
const REAL: &str = "scraped every 15 s";
const FAST: &str = "scraped every second";
/// Operations of each service.
const OPERATIONS: u64 = 20;
/// Who sends at once.
const SENDERS: u64 = 2;
/// Scrapes whose CPU is measured without load.
const SCRAPES: u32 = 20;
/// What Prometheus asks for when it wants native histograms.
const ACCEPT: &str =
    "accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited\r\naccept-encoding: gzip\r\n";
/// Events of a request.
const BATCH: u64 = 500;

/// How much of it.
#[derive(Args, Debug)]
pub(crate) struct Ingest {
    /// The `golden` program.
    #[arg(long)]
    golden: PathBuf,
    /// Folder for its data, made anew; some GB.
    #[arg(long)]
    dir: PathBuf,
    /// Services, each with 21 series.
    #[arg(long, default_value_t = 1000)]
    services: u64,
    /// Rounds; each runs every case once.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Length of a phase, s.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// The process under load.
struct Loaded {
    running: Running,
    address: String,
    services: u64,
    /// Events that were acknowledged so far.
    sent: AtomicU64,
}

impl Ingest {
    pub(crate) fn run(&self) -> Result<()> {
        if self.dir.exists() {
            std::fs::remove_dir_all(&self.dir)?;
        }
        std::fs::create_dir_all(&self.dir)?;
        let mut loaded = Loaded::start(&self.golden, &self.dir, self.services)?;
        // Every series is there, and caches are warm, before anything counts.
        loaded.phase(Duration::from_secs(self.seconds), None)?;
        let mut cases = [(ALONE, None), (REAL, Some(15)), (FAST, Some(1))].map(|(name, every)| (Case::new(name), every));
        for round in 1..=self.rounds {
            for (case, every) in &mut cases {
                let took = loaded.phase(Duration::from_secs(self.seconds), every.map(Duration::from_secs))?;
                case.add(round, took);
            }
        }
        let page = loaded.get("/metrics", "")?;
        let lines = page.split(|byte| *byte == b'\n').filter(|line| line.first().is_some_and(|first| *first != b'#')).count();
        // Alone, which other programs on the machine change least.
        let before = loaded.running.cpu()?;
        (0..SCRAPES).try_for_each(|_| loaded.get("/metrics", ACCEPT).map(drop))?;
        let scrape = (loaded.running.cpu()? - before) / f64::from(SCRAPES);
        loaded.running.stop()?;
        let cases = cases.map(|(case, _)| case);
        println!("{} series, {lines} lines of text; a scrape takes {scrape:.3} CPU-s", self.services * (OPERATIONS + 1));
        print!("{}{}", figures(&cases, 1_000_000), ratios(&cases, RATIOS));
        Ok(())
    }
}

/// What is compared. A case is what a million events took.
const RATIOS: &[Ratio] = &[
    Ratio { says: "events per s, scraped every 15 s / alone", above: ALONE, below: REAL, part: |took| took.wall, reach: "≥ 0.95" },
    Ratio { says: "events per CPU-s, scraped every 15 s / alone", above: ALONE, below: REAL, part: Took::cpu, reach: "≥ 0.95" },
    Ratio { says: "events per s, scraped every second / alone", above: ALONE, below: FAST, part: |took| took.wall, reach: "" },
    Ratio { says: "events per CPU-s, scraped every second / alone", above: ALONE, below: FAST, part: Took::cpu, reach: "" },
];

impl Loaded {
    fn start(program: &Path, dir: &Path, services: u64) -> Result<Self> {
        let log = dir.join("golden.log");
        let mut command = Command::new(std::path::absolute(program)?);
        command.args(["run", "--listen", "127.0.0.1:0", "--data", "data"]).current_dir(dir).stderr(File::create(&log)?);
        let (mut running, begun) = (Running::new(command.spawn()?), now());
        let address = loop {
            running.check(now().duration_since(begun))?;
            let said = std::fs::read_to_string(&log)?;
            let line = said.lines().find(|line| line.contains("send events to"));
            if let Some((_, rest)) = line.and_then(|line| line.split_once("http://")) {
                break rest.split('/').next().context("no address")?.to_owned();
            }
            park_timeout(Duration::from_millis(100));
        };
        Ok(Self { running, address, services, sent: AtomicU64::new(0) })
    }

    /// What a million events took in a phase, with a scrape in each of these spans.
    fn phase(&mut self, length: Duration, every: Option<Duration>) -> Result<Took> {
        let (start, cpu, before, over) = (now(), self.running.cpu()?, self.sent.load(Ordering::Relaxed), AtomicBool::new(false));
        let until = start + length;
        std::thread::scope(|scope| {
            let senders: Vec<_> =
                (0..SENDERS).map(|number| (number, &*self)).map(|(n, it)| scope.spawn(move || it.send(n, until))).collect();
            let scraper = every.map(|every| (every, &over, &*self)).map(|(every, over, it)| scope.spawn(move || it.scrape(every, over)));
            let sent = senders.into_iter().try_for_each(|sender| sender.join().ok().context("a sender panicked")?);
            let counted = sent.and_then(|()| self.wait());
            over.store(true, Ordering::Relaxed);
            let scraped = scraper.map_or(Ok(()), |scraper| scraper.join().ok().context("the scraper panicked")?);
            counted.and(scraped)
        })?;
        let millions = (self.sent.load(Ordering::Relaxed) - before) as f64 / 1e6;
        let wall = now().duration_since(start).as_secs_f64();
        Ok(Took { wall: wall / millions, cpu: (self.running.cpu()? - cpu) / millions, peak: self.running.peak()? })
    }

    /// Sends events of now until then.
    fn send(&self, number: u64, until: Instant) -> Result<()> {
        let (clock, mut stream) = (SystemClock::new(), TcpStream::connect(&self.address)?);
        let mut answers = BufReader::new(stream.try_clone()?);
        let (mut body, mut n) = (Vec::new(), number * BATCH);
        while now() < until {
            body.clear();
            let time = clock.wall();
            for event in n..n + BATCH {
                // Each series in turn.
                let (service, operation) = (event / OPERATIONS % self.services, event % OPERATIONS);
                let (status, nanos) = (if event % 50 == 0 { 503 } else { 200 }, 1_000_000 + event * 7919 % 300_000_000);
                writeln!(
                    body,
                    r#"{{"timestamp":{time},"service":"service-{service:05}","operation":"GET /path/{operation}/of/some/length","status":{status},"duration_ns":{nanos}}}"#
                )?;
            }
            n += SENDERS * BATCH;
            let head = format!(
                "POST /api/v1/events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/x-ndjson\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body)?;
            if answered(&mut answers)? == 200 {
                self.sent.fetch_add(BATCH, Ordering::Relaxed);
            } else {
                // It takes no more for the moment.
                park_timeout(Duration::from_millis(50));
            }
        }
        Ok(())
    }

    /// Waits until all that was sent is counted.
    fn wait(&self) -> Result<()> {
        let begun = now();
        loop {
            let status: serde_json::Value = serde_json::from_slice(&self.get("/api/v1/status", "")?)?;
            let decoded = status.get("deployments").and_then(serde_json::Value::as_array).into_iter().flatten();
            let decoded = decoded.filter_map(|one| one.get("decoded")?.as_u64()).sum::<u64>();
            let sent = self.sent.load(Ordering::Relaxed);
            if decoded >= sent {
                ensure!(decoded == sent, "{decoded} events are counted, and {sent} were sent");
                return Ok(());
            }
            ensure!(now().duration_since(begun) < Duration::from_secs(300), "{decoded} of {sent} events are counted");
            park_timeout(Duration::from_millis(50));
        }
    }

    /// Scrapes once in each span until it is over.
    fn scrape(&self, every: Duration, over: &AtomicBool) -> Result<()> {
        while !over.load(Ordering::Relaxed) {
            let begun = now();
            ensure!(self.get("/metrics", ACCEPT)?.len() > 10_000, "there is next to nothing on the page");
            while !over.load(Ordering::Relaxed) && now().duration_since(begun) < every {
                park_timeout(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    fn get(&self, path: &str, headers: &str) -> Result<Vec<u8>> {
        let mut stream = TcpStream::connect(&self.address)?;
        write!(stream, "GET {path} HTTP/1.0\r\nhost: bench\r\n{headers}\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        ensure!(answer.get(8..12) == Some(b" 200"), "{path}: {}", String::from_utf8_lossy(answer.get(..400).unwrap_or(&answer)));
        let body = memchr::memmem::find(&answer, b"\r\n\r\n").context("a body")?;
        Ok(answer.split_off(body + 4))
    }
}

/// The status of the next answer, which is read to its end.
fn answered(answers: &mut BufReader<TcpStream>) -> Result<u16> {
    let (mut line, mut status, mut length) = (String::new(), 0, 0);
    loop {
        line.clear();
        ensure!(answers.read_line(&mut line)? > 0, "golden hung up");
        let text = line.trim_end().to_ascii_lowercase();
        if text.starts_with("http/") {
            status = text.split(' ').nth(1).context("no status")?.parse()?;
        } else if let Some(value) = text.strip_prefix("content-length:") {
            length = value.trim().parse()?;
        } else if text.is_empty() {
            let mut body = vec![0; length];
            answers.read_exact(&mut body)?;
            return Ok(status);
        }
    }
}
