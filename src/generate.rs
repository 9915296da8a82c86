//! `golden generate`: seeded load, to a file or to a running service, and its exact expected results.

use crate::commands::GenerateArgs;
use crate::failure::{Failure, Outcome};
use golden_generate::expect::Expect;
use golden_generate::generator::Generator;
use golden_generate::settings::Settings;
use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use platform_core::clock::Clock;
use platform_core::log::{Log, Producer};
use platform_core::record::{NewRecord, Partition, Topic};
use platform_core::time::{EventTime, nanos};
use platform_core::window::WindowLength;
use platform_kafka::log::Kafka;
use platform_runtime::clock::SystemClock;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of lines written at once.
const BLOCK: usize = 1 << 20;
/// How often a request is sent to a service.
const SEND_EVERY: Duration = Duration::from_millis(100);
/// How often a refused request is sent again before giving up.
const TRIES: u32 = 50;

pub(crate) fn generate(args: &GenerateArgs) -> Outcome {
    let clock = SystemClock::new();
    let settings = settings(args, &clock)?;
    let mut generator = Generator::new(&settings).map_err(|bad| Failure::usage(format!("--{bad}")))?;
    let window = WindowLength::new(args.window.0).map_err(|bad| Failure::usage(format!("--window: {bad}")))?;
    let mut expect =
        args.expect.as_ref().map(|_| if args.expect_by_operation { Expect::new(window).by_operation() } else { Expect::new(window) });
    match (&args.out, &args.http, &args.kafka) {
        (Some(path), ..) => write(path, &mut generator, &mut expect)?,
        (None, Some(url), _) => {
            let sender = Sender::new(&format!("{}/api/v1/events", url.trim_end_matches('/')));
            paced(args.rate, &clock, &mut generator, &mut expect, |body| sender.send(body))?;
        }
        (None, None, Some(bootstrap)) => {
            let topic = KafkaTopic::open(bootstrap, &args.topic)?;
            paced(args.rate, &clock, &mut generator, &mut expect, |body| topic.append(body))?;
        }
        (None, None, None) => return Err(Failure::usage("say where to: --out FILE, --http URL or --kafka BOOTSTRAP")),
    }
    if let (Some(expect), Some(path)) = (expect, &args.expect) {
        let failed = |e| Failure::usage(format!("cannot write {}: {e}", path.display()));
        let file = File::create(path).map_err(failed)?;
        for (reason, count) in &expect.totals().dead_letters {
            eprintln!("expected dead letters: {count} ({})", reason);
        }
        let mut out = BufWriter::new(file);
        expect.write(generator.names(), &mut out).and_then(|()| out.flush()).map_err(failed)?;
    }
    Ok(())
}

fn settings(args: &GenerateArgs, clock: &SystemClock) -> Result<Settings, Failure> {
    let mut settings = Settings {
        events: args.events,
        seed: args.seed,
        rate: args.rate,
        services: args.services,
        operations: args.keys,
        hosts: args.hosts,
        zipf: args.zipf,
        error_share: args.errors,
        ignored_share: args.ignored,
        no_latency_share: args.no_latency,
        latency: args.latency.0,
        slow_share: args.slow,
        disorder: args.disorder.0,
        late_share: args.late,
        lateness: args.lateness.0,
        bad_share: args.bad,
        duplicate_share: args.duplicates,
        ..Settings::default()
    };
    if let Some(start) = &args.start {
        let time = Timestamps::new(TimeUnit::Rfc3339, None).parse_text(start);
        settings.start =
            EventTime(time.map_err(|_| Failure::usage(format!("--start: `{start}` is not a time such as 2026-01-01T00:00:00Z")))?);
    } else if args.http.is_some() || args.kafka.is_some() {
        // Events reach a service as they happen; what disorder puts ahead must not come from the future.
        settings.start = EventTime(clock.wall()).plus(-nanos(args.disorder.0));
    }
    Ok(settings)
}

fn write(path: &Path, generator: &mut Generator, expect: &mut Option<Expect>) -> Outcome {
    let failed = |e: std::io::Error| Failure::usage(format!("cannot write {}: {e}", path.display()));
    let mut out: Box<dyn Write> =
        if path == Path::new("-") { Box::new(std::io::stdout()) } else { Box::new(File::create(path).map_err(failed)?) };
    let mut block = Vec::with_capacity(2 * BLOCK);
    loop {
        block.clear();
        while block.len() < BLOCK {
            let Some(fact) = generator.next_line(&mut block) else { break };
            if let Some(expect) = expect {
                expect.record(&fact);
            }
        }
        match out.write_all(&block) {
            // Whoever reads the pipe has had enough: `head` is no error.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other.map_err(failed)?,
        }
        if block.is_empty() {
            return out.flush().map_err(failed);
        }
    }
}

/// Sends lines at the pace of their rate. A service that cannot keep up is waited for; a line that it refuses is not sent again.
fn paced(
    rate: u64,
    clock: &SystemClock,
    generator: &mut Generator,
    expect: &mut Option<Expect>,
    mut send: impl FnMut(&[u8]) -> Result<(), String>,
) -> Outcome {
    let lines = (rate / 10).max(1);
    let begun = clock.monotonic();
    let mut body = Vec::new();
    for batch in 0_u32.. {
        body.clear();
        for _ in 0..lines {
            let Some(fact) = generator.next_line(&mut body) else { break };
            if let Some(expect) = expect {
                expect.record(&fact);
            }
        }
        if body.is_empty() {
            break;
        }
        let due = SEND_EVERY * batch;
        while let Some(early) = due.checked_sub(clock.monotonic().saturating_sub(begun)).filter(|e| !e.is_zero()) {
            std::thread::park_timeout(early);
        }
        send(&body).map_err(Failure::missing)?;
    }
    Ok(())
}

/// A topic that lines go to, a record each, its partitions in turn.
struct KafkaTopic {
    producer: Box<dyn Producer>,
    partitions: Vec<Partition>,
}

impl KafkaTopic {
    fn open(bootstrap: &str, topic: &str) -> Result<Self, Failure> {
        let settings = platform_kafka::settings::Settings { bootstrap: bootstrap.to_owned(), ..Default::default() };
        let kafka = Kafka::new(&settings, "golden-generate", Arc::new(SystemClock::new())).map_err(Failure::usage)?;
        let kafka = kafka.impatient(Duration::from_secs(10));
        let topic = Topic::new(topic);
        let count = kafka.partitions(&topic).map_err(Failure::missing)?;
        let partitions = (0..count).map(|index| Partition::new(&topic, index)).collect();
        Ok(Self { producer: kafka.producer().map_err(Failure::missing)?, partitions })
    }

    fn append(&self, lines: &[u8]) -> Result<(), String> {
        let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        let share = lines.len().div_ceil(self.partitions.len().max(1)).max(1);
        for (partition, lines) in self.partitions.iter().zip(lines.chunks(share)) {
            let records: Vec<NewRecord<'_>> = lines.iter().map(|line| NewRecord { value: Some(line), ..NewRecord::default() }).collect();
            self.producer.append(partition, &records).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// Posts bodies to a service.
pub(crate) struct Sender {
    url: String,
    agent: ureq::Agent,
}

impl Sender {
    pub(crate) fn new(url: &str) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(30))).build();
        Self { url: url.to_owned(), agent: config.into() }
    }

    /// Sends one body, and again while the service says that it cannot keep up.
    ///
    /// # Errors
    /// When the service is not there or refuses.
    pub(crate) fn send(&self, body: &[u8]) -> Result<(), String> {
        self.send_as("application/x-ndjson", body)
    }

    /// The same of a document.
    ///
    /// # Errors
    /// When the service is not there or refuses.
    pub(crate) fn send_json(&self, body: &[u8]) -> Result<(), String> {
        self.send_as("application/json", body)
    }

    fn send_as(&self, content_type: &str, body: &[u8]) -> Result<(), String> {
        for _ in 0..TRIES {
            let answer = self.agent.post(&self.url).content_type(content_type).send(body);
            let mut answer = answer.map_err(|e| format!("cannot reach {}: {e}: is `golden run` running there?", self.url))?;
            match answer.status().as_u16() {
                // 400 says which lines were refused; the others are in.
                200..=299 | 400 => return Ok(()),
                429 | 503 => std::thread::park_timeout(Duration::from_secs(1)),
                status => {
                    let text = answer.body_mut().read_to_string().unwrap_or_default();
                    return Err(format!("{} answers {status}: {text}", self.url));
                }
            }
        }
        Err(format!("{} cannot keep up", self.url))
    }
}
