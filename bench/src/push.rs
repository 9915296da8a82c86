//! What pushing metrics costs: one window of many series through the sink, and its samples encoded and sent to a receiver that takes all.
//!
//! The receiver is a thread that reads bodies and answers; CPU is that of the thread that does the work, as the kernel counts it, so neither the
//! receiver nor the making of records is in it. The window that is measured is the third one: no series is new.

use crate::sample::aggregate;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use golden_outputs::sender::{Outcome, Output};
use golden_outputs::settings::{Access, Histograms, OtlpSettings, Protocol, RemoteWriteSettings, Temporality, Version};
use golden_outputs::{Otlp, RemoteWrite};
use golden_pipeline::emit::outbox::{Chunk, Outbox};
use golden_pipeline::emit::record::{Final, RecordEncoder, Subject};
use golden_pipeline::emit::scrape::push::Push;
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{AGGREGATE, IDENTITY, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use golden_pipeline::signal::completeness::Completeness;
use golden_pipeline::signal::health::{DEFAULT_RULE_SHA256, Health, Level, Reason};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use platform_core::record::{BatchBuffer, Offset, Partition, Topic, put_headers};
use platform_core::stage::KeyedStage;
use platform_core::store::{Changes, Store};
use platform_core::time::{EventTime, SECOND};
use platform_core::window::WindowLength;
use platform_runtime::memory::MemoryStore;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::Builder;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

/// How much to push.
#[derive(Args, Debug)]
pub(crate) struct PushBench {
    /// Series of ours; each becomes about ten of Prometheus with native histograms, about forty with classic ones.
    #[arg(long, default_value_t = 10_000)]
    series: usize,
    /// Requests of each series in a window.
    #[arg(long, default_value_t = 20)]
    requests: u64,
}

impl PushBench {
    pub(crate) fn run(&self) -> Result<()> {
        let outbox = Arc::new(Outbox::new(usize::MAX));
        let mut store = MemoryStore::default();
        let mut stage = Push::new(&outbox, 0, 60 * MINUTE, 60 * MINUTE);
        stage.restore(&store, &[])?;
        let mut chunks = vec![];
        let mut folded = 0.0;
        for minute in 0..3 {
            let records = self.window(minute)?;
            let before = cpu()?;
            records.batch().into_iter().flat_map(|batch| batch.iter().collect::<Vec<_>>()).try_for_each(|r| stage.apply(&r, &store))?;
            let mut changes = Changes::default();
            stage.changes(&mut changes);
            folded = cpu()? - before;
            store.write(&changes, Offset(0))?;
            chunks = taken(&outbox);
        }
        println!(
            "{} series of ours, {} chunks, {} KiB",
            self.series,
            chunks.len(),
            chunks.iter().map(|c| c.body.len()).sum::<usize>() >> 10
        );
        println!("| Step | CPU-s a window | % of a core at a window a minute | samples | of 100,000 samples a minute, % of a core |");
        println!("|---|---|---|---|---|");
        let say = |step: &str, cpu: f64, sent: u64| {
            let percent = cpu / 60.0 * 100.0;
            println!("| {step} | {cpu:.3} | {percent:.2} | {sent} | {:.3} |", percent * 100_000.0 / sent.max(1) as f64);
        };
        let url = receiver()?;
        let mut totals = vec![];
        for (name, mut output) in outputs(&url)? {
            let before = cpu()?;
            let mut all = 0;
            for chunk in &chunks {
                match output.send(chunk) {
                    Outcome::Through { sent, .. } => all += sent,
                    Outcome::Denied { why, .. } | Outcome::Again { why, .. } => return Err(anyhow!("{name}: {why}")),
                }
            }
            totals.push((name, cpu()? - before, all));
        }
        say("fold and sample (each output)", folded, totals.first().map_or(0, |(_, _, sent)| *sent));
        totals.iter().for_each(|(name, cpu, sent)| say(name, *cpu, *sent));
        Ok(())
    }

    /// The records of a window, and that it is done.
    fn window(&self, minute: i64) -> Result<BatchBuffer> {
        let mut buffer = BatchBuffer::default();
        buffer.start(&Partition::new(&Topic::new("public"), 0));
        let window = WindowLength::new(Duration::from_secs(60)).context("a minute")?;
        let (mut value, mut encoded) = (vec![], vec![]);
        for n in 0..self.series {
            let (service, operation) = (format!("service-{}", n / 50), format!("GET /api/v1/resource-{}/{{id}}", n % 50));
            let aggregate = aggregate(n as u64, self.requests);
            let dimensions = [("operation", operation.as_str())];
            value.clear();
            let result = Final {
                subject: Subject {
                    tenant: "default",
                    namespace: "",
                    service: &service,
                    grouping: "service_operation",
                    dimensions: &dimensions,
                    overflow: false,
                },
                window_start: EventTime(minute * MINUTE),
                window,
                revision: 0,
                completeness: Completeness::FULL,
                aggregate: &aggregate,
                saturation: None,
                health: Some(Health { level: Some(Level::Healthy), reason: Reason::Rule, previous: Level::Healthy }),
                override_version: 0,
                override_sha256: DEFAULT_RULE_SHA256,
                sources: None,
            };
            RecordEncoder::default().put_final(&result, &mut value);
            let id = Identity {
                window_start: EventTime(minute * MINUTE),
                window_nanos: MINUTE,
                tenant: "default".to_owned(),
                namespace: String::new(),
                service: service.clone(),
                grouping: "service_operation".to_owned(),
                dimensions: vec![operation.clone()],
            };
            let (mut identity, mut integers) = (vec![], vec![]);
            id.encode(&mut identity);
            aggregate.encode(&mut integers);
            encoded.clear();
            put_headers(&mut encoded, &[(SCHEMA, SCHEMA_SIGNALS.as_bytes()), (IDENTITY, &identity), (AGGREGATE, &integers)]);
            buffer.push(Offset(0), None, None, &encoded, Some(&value));
        }
        let progress = format!(r#"{{"window_start":{},"window_end":{}}}"#, minute * MINUTE, (minute + 1) * MINUTE);
        encoded.clear();
        put_headers(&mut encoded, &[(SCHEMA, SCHEMA_PROGRESS.as_bytes())]);
        buffer.push(Offset(0), None, None, &encoded, Some(progress.as_bytes()));
        Ok(buffer)
    }
}

fn taken(outbox: &Outbox) -> Vec<Arc<Chunk>> {
    let mut all = vec![];
    while let Some((partition, chunk)) = outbox.next(Duration::ZERO) {
        outbox.sent(partition, &chunk);
        all.push(chunk);
    }
    all
}

fn outputs(url: &str) -> Result<Vec<(&'static str, Box<dyn Output>)>> {
    let write = |version, histograms| {
        let labels = [("cluster".to_owned(), "bench".to_owned())].into();
        RemoteWrite::new(&RemoteWriteSettings { url: url.to_owned(), version, histograms, labels, http: Access::default() })
    };
    Ok(vec![
        ("remote write 2.0, both histograms", Box::new(write(Version::V2, Histograms::Both)?)),
        ("remote write 2.0, native histograms", Box::new(write(Version::V2, Histograms::Native)?)),
        ("remote write 1.0, both histograms", Box::new(write(Version::V1, Histograms::Both)?)),
        (
            "OTLP",
            Box::new(Otlp::new(&OtlpSettings {
                url: url.to_owned(),
                protocol: Protocol::Http,
                temporality: Temporality::Cumulative,
                http: Access::default(),
            })?),
        ),
    ])
}

/// CPU-seconds of this thread.
fn cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

/// A receiver that takes everything, at this URL, as long as the process lives.
fn receiver() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    Builder::new().name("receiver".to_owned()).spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that ends is followed by the next one.
            let _ = serve(stream);
        }
    })?;
    Ok(url)
}

fn serve(stream: TcpStream) -> Result<()> {
    let mut answers = stream.try_clone()?;
    let mut requests = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if requests.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
        }
        std::io::copy(&mut (&mut requests).take(length), &mut std::io::sink())?;
        let written = "x-prometheus-remote-write-samples-written: 99999999";
        write!(answers, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{written}\r\n\r\n")?;
    }
}
