//! `golden verify`: recomputes windows from the source and compares them with what was published.
//!
//! Reads both topics to the ends they have at the start. Embedded, the data folder must not be in use.

use crate::commands::VerifyArgs;
use crate::engine::{self, Engine};
use crate::failure::{Failure, Outcome};
use crate::{settings, sources};
use golden_pipeline::dead_letter;
use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use golden_pipeline::fold::place;
use golden_pipeline::overrides::of_events::{EventRules, Lead};
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::verify::{Span, Verify};
use platform_core::clock::Clock;
use platform_core::log::{Log, LogError, Polled, Subscription};
use platform_core::record::{Batch, Offset, Partition, Topic};
use platform_core::time::EventTime;
use platform_runtime::clock::SystemClock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long nothing may come before the log counts as unreadable.
const QUIET: u32 = 150;
const WAIT: Duration = Duration::from_millis(200);

pub(crate) fn verify(args: &VerifyArgs) -> Outcome {
    let mut settings = settings::load(args.settings.config.as_deref())?.settings;
    if let Some(data) = &args.data {
        settings.data.clone_from(data);
    }
    let checked = settings.pipeline.check().map_err(Failure::usage)?;
    let time = |name: &str, text: &str| {
        let parsed = Timestamps::new(TimeUnit::Rfc3339, None).parse_text(text);
        parsed.map(EventTime).map_err(|_| Failure::usage(format!("--{name}: `{text}` is not a time such as 2026-01-01T00:00:00Z")))
    };
    let (from, to) = (time("from", &args.from)?, time("to", &args.to)?);
    if from >= to {
        return Err(Failure::usage("--from must lie before --to"));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let topics = engine::topics(&settings);
    let kafka = engine::kafka(&settings, &clock)?;
    let inlets = sources::inlets(&settings, kafka.as_ref())?;
    // With Kafka nothing of the data folder is needed, and a running service may hold it.
    let (log, _open): (Arc<dyn Log>, Option<Engine>) = match kafka {
        Some(kafka) => (Arc::new(kafka.impatient(Duration::from_secs(10))), None),
        None => {
            let engine = Engine::open(&settings, None, &topics, false, &clock)?;
            (engine.log(), Some(engine))
        }
    };
    let skew = checked.verdicts.skew;
    let failed = |error: LogError| Failure::missing(format!("the log cannot be read: {error}"));
    let rules = Rules::of_log(Arc::clone(&log), &topics.control, checked.window, i64::MAX);
    let mut rules = EventRules::new(rules, &checked.groupings, Lead::default());
    if !rules.read_now().map_err(failed)? {
        return Err(Failure::missing(format!("topic {} was not read to its end in time", topics.control)));
    }
    let wanted = rules.wanted(false);
    let mut verify = Verify::new(checked, "default", Span { from, to, service: args.service.clone() }, rules);
    // Partitions whose beginning retention has taken, by their first record left.
    let mut begun = BTreeMap::new();
    // What killed every process that looked into it would kill this one.
    let mut unread = BTreeSet::new();
    read(&*log, &topics.dead_letters, |batch| unread.extend(batch.iter().filter_map(|record| dead_letter::unread(record.value?))))
        .map_err(failed)?;
    for (number, inlet) in inlets.iter().enumerate() {
        let mut decoder = inlet.decoders()(&wanted);
        read(&*log, &inlet.topic, |batch| {
            let place = place(number, batch.partition.index);
            for record in batch.iter() {
                begun.entry(place).or_insert(record.append_time.filter(|_| record.offset > Offset(0)));
                if unread.is_empty() || !unread.contains(&(batch.partition.clone(), record.offset)) {
                    verify.source(place, &record, &mut *decoder);
                }
            }
        })
        .map_err(failed)?;
    }
    if begun.values().flatten().any(|first| first.0 > from.0 - skew) {
        return Err(Failure::missing("the source does not reach back to --from any more: its retention has taken the beginning"));
    }
    read(&*log, &topics.public, |batch| batch.iter().for_each(|record| verify.public(batch.partition.index, &record))).map_err(failed)?;
    let report = verify.compare(log.partitions(&topics.public).map_err(failed)?);
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
