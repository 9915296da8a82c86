//! `golden verify`: recomputes windows from the source and compares them with what was published.
//!
//! Reads both topics to the ends they have at the start. Embedded, the data folder must not be in use.

use crate::commands::VerifyArgs;
use crate::engine::{self, Engine};
use crate::failure::{Failure, Outcome};
use crate::settings;
use crate::sources::{self, Inlet};
use golden_pipeline::dead_letter;
use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use golden_pipeline::fold::place;
use golden_pipeline::names::Topics;
use golden_pipeline::overrides::of_events::{EventRules, Lead};
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::settings::Checked;
use golden_pipeline::verify::{Span, Verify};
use golden_router::deployment::Colour;
use platform_core::clock::Clock;
use platform_core::log::{Log, LogError, Polled, Subscription};
use platform_core::record::{Batch, Offset, Partition, Topic};
use platform_core::time::EventTime;
use platform_runtime::clock::SystemClock;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long nothing may come before the log counts as unreadable.
const QUIET: u32 = 150;
const WAIT: Duration = Duration::from_millis(200);

/// The source of a deployment that is not running, or runs on Kafka, and the windows that are asked for.
pub(crate) struct Source {
    pub(crate) checked: Checked,
    pub(crate) span: Span,
    topics: Topics,
    inlets: Vec<Inlet>,
    log: Arc<dyn Log>,
    /// Holds the data folder.
    _open: Option<Engine>,
}

impl Source {
    /// Opens it.
    ///
    /// # Errors
    /// When settings, times or the log cannot be used.
    pub(crate) fn open(
        config: Option<&Path>,
        data: Option<&Path>,
        (from, to): (&str, &str),
        service: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut settings = settings::load(config)?.settings;
        if let Some(data) = data {
            settings.data = data.to_owned();
        }
        let checked = settings.pipeline.check().map_err(Failure::usage)?;
        let time = |name: &str, text: &str| {
            let parsed = Timestamps::new(TimeUnit::Rfc3339, None).parse_text(text);
            parsed.map(EventTime).map_err(|_| Failure::usage(format!("--{name}: `{text}` is not a time such as 2026-01-01T00:00:00Z")))
        };
        let span = Span { from: time("from", from)?, to: time("to", to)?, service: service.map(str::to_owned) };
        if span.from >= span.to {
            return Err(Failure::usage("--from must lie before --to"));
        }
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        // Of what is read here both have the same.
        let topics = engine::topics(&settings, Colour::Blue);
        let kafka = engine::kafka(&settings, &clock)?;
        let inlets = sources::inlets(&settings, kafka.as_ref())?;
        // With Kafka nothing of the data folder is needed, and a running service may hold it.
        let (log, open): (Arc<dyn Log>, Option<Engine>) = match kafka {
            Some(kafka) => (Arc::new(kafka.impatient(Duration::from_secs(10))), None),
            None => {
                let engine = Engine::open(&settings, None, false, &clock)?;
                (engine.log(), Some(engine))
            }
        };
        Ok(Self { checked, span, topics, inlets, log, _open: open })
    }

    /// Rules that know all decisions there are.
    ///
    /// # Errors
    /// When the control log cannot be read.
    pub(crate) fn rules_in_force(&self) -> Result<EventRules, Failure> {
        let rules = Rules::of_log(Arc::clone(&self.log), &self.topics.control, self.checked.window, i64::MAX);
        let mut rules = EventRules::new(rules, &self.checked.groupings, Lead::default());
        if !rules.read_now().map_err(failed)? {
            return Err(Failure::missing(format!("topic {} was not read to its end in time", self.topics.control)));
        }
        Ok(rules)
    }

    /// Gives every record of the source to each of these.
    ///
    /// # Errors
    /// When the log cannot be read, or does not reach back to the first window.
    pub(crate) fn events(&self, to: &mut [&mut Verify]) -> Outcome {
        // Partitions whose beginning retention has taken, by their first record left.
        let mut begun = BTreeMap::new();
        // What killed every process that looked into it would kill this one.
        let mut unread = BTreeSet::new();
        read(&*self.log, &self.topics.dead_letters, |batch| {
            unread.extend(batch.iter().filter_map(|record| dead_letter::unread(record.value?)));
        })
        .map_err(failed)?;
        for (number, inlet) in self.inlets.iter().enumerate() {
            let mut decoders: Vec<_> = to.iter().map(|verify| inlet.decoders()(&verify.wanted())).collect();
            read(&*self.log, &inlet.topic, |batch| {
                let place = place(number, batch.partition.index);
                for record in batch.iter() {
                    begun.entry(place).or_insert(record.append_time.filter(|_| record.offset > Offset(0)));
                    if unread.is_empty() || !unread.contains(&(batch.partition.clone(), record.offset)) {
                        to.iter_mut().zip(&mut decoders).for_each(|(verify, decoder)| verify.source(place, &record, &mut **decoder));
                    }
                }
            })
            .map_err(failed)?;
        }
        if begun.values().flatten().any(|first| first.0 > self.span.from.0 - self.checked.verdicts.skew) {
            return Err(Failure::missing("the source does not reach back to --from any more: its retention has taken the beginning"));
        }
        Ok(())
    }
}

fn failed(error: LogError) -> Failure {
    Failure::missing(format!("the log cannot be read: {error}"))
}

pub(crate) fn verify(args: &VerifyArgs) -> Outcome {
    let times = (args.from.as_str(), args.to.as_str());
    let source = Source::open(args.settings.config.as_deref(), args.data.as_deref(), times, args.service.as_deref())?;
    let mut verify = Verify::new(source.checked.clone(), "default", source.span.clone(), source.rules_in_force()?);
    source.events(&mut [&mut verify])?;
    let public = &source.topics.public;
    read(&*source.log, public, |batch| batch.iter().for_each(|record| verify.public(batch.partition.index, &record))).map_err(failed)?;
    let report = verify.compare(source.log.partitions(public).map_err(failed)?);
    for difference in &report.differences {
        println!("{difference}");
    }
    if !report.not_final.is_empty() {
        println!("not yet final: {} windows", report.not_final.len());
    }
    println!(
        "{} windows, {} series, {} events: {}",
        report.windows,
        report.compared,
        report.events,
        match report.differences.len() {
            0 => "as published".to_owned(),
            count => format!("{count} differences"),
        }
    );
    if report.differences.is_empty() { Ok(()) } else { Err(Failure::failed("what was published is not what the source gives")) }
}

/// Reads a topic from its beginning to the end it has now.
fn read(log: &dyn Log, topic: &Topic, mut take: impl FnMut(&Batch<'_>)) -> Result<(), LogError> {
    let mut ends = BTreeMap::new();
    for index in 0..log.partitions(topic)? {
        let partition = Partition::new(topic, index);
        let (start, end) = log.bounds(&partition)?;
        if start < end {
            ends.insert(partition, end);
        }
    }
    let mut reader = log.reader(&Subscription { group: None, topics: vec![topic.clone()] })?;
    let mut quiet = 0;
    while !ends.is_empty() {
        quiet += 1;
        match reader.poll(WAIT)? {
            Polled::Batch(batch) => {
                quiet = 0;
                take(&batch);
            }
            Polled::Assigned(_) => {}
            Polled::Nothing if quiet > QUIET => {
                return Err(LogError::Engine(format!("nothing came of {topic} for {} s", QUIET * WAIT.as_millis() as u32 / 1000)));
            }
            Polled::Nothing => {}
        }
        ends.retain(|partition, end| reader.position(partition) < *end);
    }
    Ok(())
}
