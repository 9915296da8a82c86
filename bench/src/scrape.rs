//! The metrics page: lines per CPU-second in each form, against a plain `write!` loop over the same values, and what a scrape costs the
//! sink that feeds it. In this process, on one thread each; rounds take turns.

use crate::measure::{Took, now};
use crate::report::{Case, Ratio, ratios};
use crate::sample::aggregate;
use anyhow::{Context, Result, bail};
use clap::Args;
use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::emit::prometheus::{Compatibility, Format, PageSettings, Parts, ScrapeState, put_page};
use golden_pipeline::emit::read::PublicRecord;
use golden_pipeline::emit::record::{Final, RecordEncoder, Subject};
use golden_pipeline::identity::Identity;
use golden_pipeline::signal::completeness::Completeness;
use golden_pipeline::signal::health::{DEFAULT_RULE_SHA256, Health, Level, Reason};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use platform_core::time::EventTime;
use platform_core::window::WindowLength;
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Names of the cases.
const TEXT: &str = "page, text";
const OPEN: &str = "page, OpenMetrics";
const PROTOBUF: &str = "page, protobuf";
const PLAIN: &str = "plain write! loop";
const ALONE: &str = "records applied, no scrape";
const SCRAPED: &str = "records applied, scraped all the time";

/// How large the page is.
#[derive(Args, Debug)]
pub(crate) struct Scrape {
    /// Services, each with 20 series.
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Rounds.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
}

/// A line of a text page, taken apart.
struct Line {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

impl Scrape {
    pub(crate) fn run(&self) -> Result<()> {
        let state = Arc::new(Mutex::new(self.state()?));
        let states = [Arc::clone(&state)];
        let mut page = Vec::new();
        let samples = put(&states, Format::Text, &mut page);
        let text = std::str::from_utf8(&page)?;
        let lines = text.lines().filter(|line| !line.starts_with('#')).map(taken_apart).collect::<Result<Vec<_>>>()?;
        if lines.len() as u64 != samples {
            bail!("the page has {} lines, and says {samples}", lines.len());
        }
        let mut cases = [Case::new(TEXT), Case::new(OPEN), Case::new(PROTOBUF), Case::new(PLAIN), Case::new(ALONE), Case::new(SCRAPED)];
        let mut counts = [0; 4];
        for round in 0..self.rounds {
            for ((case, format), count) in cases.iter_mut().zip([Format::Text, Format::OpenMetrics, Format::Protobuf]).zip(&mut counts) {
                page.clear();
                let took = timed(|| *count = put(&states, format, &mut page))?;
                case.add(round, took);
            }
            page.clear();
            let [.., plain, alone, scraped] = &mut cases;
            let took = timed(|| plainly(&lines, &mut page))?;
            counts[3] = lines.len() as u64;
            plain.add(round, took);
            alone.add(round, self.apply(&state, false)?);
            scraped.add(round, self.apply(&state, true)?);
        }
        let mut table =
            format!("{} series, {samples} lines of text\n\n| Case | M lines per CPU-s, median |\n|---|---|\n", self.services * 20);
        for (case, count) in cases.iter().zip(counts) {
            table += &format!("| {} | {:.2} |\n", case.name(), count as f64 / 1e6 / case.median(Took::cpu));
        }
        table += &ratios(
            &cases,
            &[
                Ratio { says: "time of a plain loop / of the page, text", above: PLAIN, below: TEXT, part: Took::cpu, reach: "≥ 1" },
                Ratio { says: "the same, OpenMetrics", above: PLAIN, below: OPEN, part: Took::cpu, reach: "" },
                Ratio { says: "the same, protobuf", above: PLAIN, below: PROTOBUF, part: Took::cpu, reach: "" },
                Ratio {
                    says: "records applied per CPU-s, scraped / not", above: ALONE, below: SCRAPED, part: Took::cpu, reach: "≥ 0.95"
                },
                Ratio { says: "records applied per s, scraped / not", above: ALONE, below: SCRAPED, part: |took| took.wall, reach: "" },
            ],
        );
        println!("{table}");
        Ok(())
    }

    /// Series with two windows each, durations over three powers of ten, some errors.
    fn state(&self) -> Result<ScrapeState> {
        let mut state = ScrapeState::default();
        for minute in 0..2 {
            for service in 0..self.services {
                for operation in 0..20 {
                    let record = Published::new(service, operation, minute, 60)?;
                    record.apply(&mut state)?;
                }
            }
        }
        Ok(state)
    }

    /// Applies windows of every service, as the sink does, with a page made beside it again and again or without.
    fn apply(&self, state: &Arc<Mutex<ScrapeState>>, scraped: bool) -> Result<Took> {
        let records = (0..self.services.min(500)).map(|service| Published::new(service, 0, 2, 5)).collect::<Result<Vec<_>>>()?;
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            if scraped {
                scope.spawn(|| {
                    let (states, mut page) = ([Arc::clone(state)], Vec::new());
                    while !done.load(Ordering::Acquire) {
                        page.clear();
                        put(&states, Format::Text, &mut page);
                    }
                });
            }
            let took = timed(|| {
                for record in records.iter().cycle().take(50_000) {
                    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                    // Records are good: they were made here.
                    let _ = record.apply(&mut state);
                }
            });
            done.store(true, Ordering::Release);
            took
        })
    }
}

/// A record of the public topic.
struct Published {
    identity: Identity,
    json: Vec<u8>,
    aggregate: Aggregate,
}

impl Published {
    fn new(service: usize, operation: usize, minute: i64, events: usize) -> Result<Self> {
        let window = WindowLength::new(Duration::from_secs(60))?;
        let (service, path) = (format!("service-{service:05}"), format!("GET /path/{operation}/of/some/length"));
        let dimensions: &[(&str, &str)] = if operation == 0 { &[] } else { &[("operation", &path)] };
        let grouping = if operation == 0 { "service" } else { "service_operation" };
        let aggregate = aggregate((service.len() * 31 + operation) as u64, events as u64);
        let subject = Subject { tenant: "default", namespace: "", service: &service, grouping, dimensions, overflow: false };
        let start = EventTime(minute * window.nanos());
        let result = Final {
            subject,
            window_start: start,
            window,
            revision: 0,
            completeness: Completeness::FULL,
            aggregate: &aggregate,
            saturation: None,
            health: (operation == 0).then_some(Health { level: Some(Level::Healthy), reason: Reason::Rule, previous: Level::Healthy }),
            override_version: 0,
            override_sha256: DEFAULT_RULE_SHA256,
            sources: None,
        };
        let mut json = Vec::new();
        RecordEncoder::default().put_final(&result, &mut json);
        let identity = Identity {
            window_start: start,
            window_nanos: window.nanos(),
            tenant: "default".to_owned(),
            namespace: String::new(),
            service: service.clone(),
            grouping: grouping.to_owned(),
            dimensions: dimensions.iter().map(|(_, value)| (*value).to_owned()).collect(),
        };
        Ok(Self { identity, json, aggregate })
    }

    fn apply(&self, state: &mut ScrapeState) -> Result<()> {
        state.apply(&self.identity, &PublicRecord::parse(&self.json)?, None, &self.aggregate);
        Ok(())
    }
}

fn put(states: &[Arc<Mutex<ScrapeState>>], format: Format, page: &mut Vec<u8>) -> u64 {
    let settings = PageSettings {
        format,
        tenant_label: false,
        max_series: usize::MAX,
        stale_after_nanos: 0,
        quantiles: false,
        compatibility: Compatibility::default(),
    };
    put_page(&Parts { signals: states, late: &[], others: &[] }, &settings, None, page)
}

/// What one would write without thinking of its speed.
fn plainly(lines: &[Line], page: &mut Vec<u8>) {
    for Line { name, labels, value } in lines {
        // Writing to memory does not fail.
        let _ = write!(page, "{name}");
        for (n, (label, value)) in labels.iter().enumerate() {
            let _ = write!(page, "{}{label}=\"{value}\"", if n == 0 { "{" } else { "," });
        }
        let _ = writeln!(page, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }
}

fn taken_apart(line: &str) -> Result<Line> {
    let (series, value) = line.rsplit_once(' ').context("a line without a value")?;
    let (name, labels) = series.strip_suffix('}').and_then(|series| series.split_once('{')).unwrap_or((series, ""));
    let label = |text: &str| text.split_once("=\"").map(|(name, value)| (name.to_owned(), value.trim_end_matches('"').to_owned()));
    let labels = labels.split(',').filter_map(label).collect();
    Ok(Line { name: name.to_owned(), labels, value: value.parse()? })
}

/// What a piece of work took on this thread.
fn timed(work: impl FnOnce()) -> Result<Took> {
    let (start, before) = (now(), used()?);
    work();
    let (wall, cpu) = (now().duration_since(start).as_secs_f64(), used()? - before);
    let peak = getrusage(UsageWho::RUSAGE_SELF)?.max_rss() as f64 / 1024.0; // Linux gives KiB
    Ok(Took { wall, cpu, peak })
}

fn used() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD)?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}
