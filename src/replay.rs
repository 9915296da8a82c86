//! `golden replay`: the pipeline over files, bounded. Assembles inputs, the stages in memory, and the output; counts nothing itself.

mod input;
mod output;
mod summary;

use crate::commands::{Moment, OutputForm, ReplayArgs};
use crate::failure::{Failure, Outcome, suggestion};
use golden_pipeline::decode;
use golden_pipeline::event::MAX_NAME;
use golden_pipeline::fold::TimeMode;
use golden_pipeline::names::{SCHEMA_SIGNALS, Topics};
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::settings::{Checked, PipelineSettings};
use golden_pipeline::source::{Format, Source};
use golden_pipeline::tally::Tally;
use golden_pipeline::topology::{Deployment, SourceTopic, chain};
use golden_router::control::OrdersFeed;
use golden_router::deployment::{Colour, Deployment as Deployed};
use output::Output;
use platform_core::clock::Clock;
use platform_core::log::Positions;
use platform_core::time::nanos;
use platform_runtime::bounded::Bounded;
use platform_runtime::clock::SystemClock;
use platform_runtime::memory::{AppendTimes, MemoryLog, MemoryStores, TopicSettings};
use platform_runtime::task::RuntimeSettings;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use summary::DeadLetters;

/// Bytes that aggregates of FOLD may take before they are handed on. Large: there is nothing to wait for but the end.
const HELD: usize = 256 << 20;
/// Bytes of results made at once.
const EMITTED: usize = 4 << 20;

/// There is one deployment, and it is forwarded.
const ONLY: Deployed = Deployed { colour: Colour::Blue, epoch: 1 };

pub(crate) fn replay(args: &ReplayArgs) -> Outcome {
    let checked = settings(args)?;
    let time = if args.streaming { TimeMode::Streaming } else { TimeMode::Bounded };
    let threads = if args.streaming { 1 } else { u32::from(args.threads) };
    let mapping = args.mapping.as_deref().map(crate::mapping::read).transpose()?;
    let inputs = input::open(args, mapping.as_ref().map(|m| m.format))?;
    let source = Arc::new(source(args, mapping, inputs.format)?);
    let tally = Arc::new(Tally::default());
    let topics = Topics::of(ONLY.colour.name());
    let clock = Arc::new(SystemClock::new());
    let log = log(&topics, threads);
    let dead_letters = DeadLetters::start(&log, &topics.dead_letters, args.dead_letters.as_deref())?;
    let output = Mutex::new(Output::new(args.output, checked.groupings.dimensions(), SCHEMA_SIGNALS));
    let deployment = Deployment {
        colour: ONLY.colour.name(),
        epoch: ONLY.epoch,
        owned_from: 0,
        starts: Positions::new(),
        settings: checked,
        topics: topics.clone(),
        sources: vec![SourceTopic {
            topic: topics.events.clone(),
            name: source.name.clone(),
            partitions: 1,
            decoder: Arc::new(move |wanted| decode::decoder(&source, wanted)),
        }],
        tenant: "default".to_owned(),
        partitions: threads,
        time,
        health_of_all: true,
        fold_tasks: 1,
        close_tasks: 1,
        rules: Rules::none(),
        tally: Arc::clone(&tally),
    };
    let remember = if args.streaming { nanos(deployment.settings.plain.retain.0) * 2 } else { 0 };
    let feed = OrdersFeed::only(ONLY);
    let router = crate::router::stage(&[ONLY.colour], feed, remember, String::new());
    let bounded = Bounded {
        pipeline: chain(deployment, router),
        log: log.clone(),
        stores: Arc::new(MemoryStores::default()),
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        settings: runtime(args.streaming),
    };
    let readers = (0..threads).map(|_| inputs.files.reader()).collect();
    let progress = summary::Progress::start(&inputs, args.quiet);
    // In a streaming run results leave as windows close; else all of them do at the end, in one order over all partitions.
    let take = |batch: &platform_core::record::Batch<'_>| {
        for record in batch.iter() {
            output.lock().unwrap_or_else(PoisonError::into_inner).record(&record);
        }
    };
    let while_reading: Option<&(dyn Fn(&platform_core::record::Batch<'_>) + Sync)> = if args.streaming { Some(&take) } else { None };
    let begun = clock.monotonic();
    let run = bounded.run(readers, while_reading);
    progress.finish();
    let chains = run.map_err(Failure::usage)?;
    let mut output = output.into_inner().unwrap_or_else(PoisonError::into_inner);
    output.chains(chains).map_err(Failure::failed)?;
    let rows = output.finish().map_err(Failure::failed)?;
    let kept = dead_letters.finish()?;
    let took = clock.monotonic().saturating_sub(begun);
    if !args.quiet {
        summary::print(&tally, &log, &topics.late, rows, kept, took);
    }
    Ok(())
}

/// Settings of the pipeline from the flags.
fn settings(args: &ReplayArgs) -> Result<Checked, Failure> {
    let mut by = args.by.iter().map(|name| name.trim().to_owned());
    if by.next().as_deref() != Some("service") {
        return Err(Failure::usage(format!("--by {}: begin with `service`, as in --by service,operation", args.by.join(","))));
    }
    let dimensions: Vec<String> = by.collect();
    if let Some(bad) = dimensions.iter().find(|d| d.is_empty() || d.len() > MAX_NAME) {
        return Err(Failure::usage(format!("--by: `{bad}` is not a name of a tag: name operation, svc_host or tags")));
    }
    let grouping = std::iter::once("service").chain(dimensions.iter().map(String::as_str)).collect::<Vec<_>>().join("_");
    let settings = PipelineSettings {
        window: args.window,
        groupings: BTreeMap::from([(grouping, dimensions)]),
        exemplars: args.output == OutputForm::Ndjson,
        ..PipelineSettings::default()
    };
    settings
        .check()
        .map_err(|error| Failure::usage(error.to_string().replace("pipeline.window", "--window").replace("pipeline.groupings", "--by")))
}

/// The source from the mapping file and the flags, which win.
fn source(args: &ReplayArgs, mapping: Option<Source>, told: Format) -> Result<Source, Failure> {
    let mut source = match mapping {
        Some(source) if source.format != told => source.as_format(told),
        Some(source) => source,
        None => Source::for_format(told),
    };
    if let Some(service) = &args.service {
        source.defaults.service = Some(service.clone());
    }
    if let Some(moment) = args.event_time {
        source.placing.wanted = match moment {
            Moment::Start => Some(golden_pipeline::decode::timestamp::Moment::Start),
            Moment::End => Some(golden_pipeline::decode::timestamp::Moment::End),
            Moment::Given => None,
        };
    }
    if !args.span_kinds.is_empty() {
        let kinds = &mut source.span_kinds;
        (kinds.server, kinds.consumer, kinds.client, kinds.producer, kinds.internal) = Default::default();
        for kind in &args.span_kinds {
            *match kind.as_str() {
                "server" => &mut kinds.server,
                "consumer" => &mut kinds.consumer,
                "client" => &mut kinds.client,
                "producer" => &mut kinds.producer,
                "internal" => &mut kinds.internal,
                other => {
                    let hint = suggestion(other, ["server", "consumer", "client", "producer", "internal"]);
                    return Err(Failure::usage(format!("--span-kinds: there is no kind `{other}`{hint}")));
                }
            } = true;
        }
    }
    Ok(source)
}

/// Topics of a bounded run, in memory; what was read between stages is forgotten.
fn log(topics: &Topics, partitions: u32) -> MemoryLog {
    let log = MemoryLog::new(AppendTimes::None);
    let passing = TopicSettings { forget_after_read: true, ..TopicSettings::default() };
    for topic in [&topics.partials, &topics.signals] {
        log.create_topic(topic, partitions, passing);
    }
    for topic in [&topics.public, &topics.late] {
        log.create_topic(topic, partitions, TopicSettings::default());
    }
    log.create_topic(&topics.dead_letters, 1, TopicSettings::default());
    log
}

/// In a streaming run every block is a transaction, so that windows close and corrections leave as they do live; else memory alone decides.
fn runtime(streaming: bool) -> RuntimeSettings {
    let commit_interval = if streaming { Duration::ZERO } else { Duration::from_secs(24 * 3600) };
    RuntimeSettings { commit_interval, read_budget: usize::MAX, held_budget: HELD, emit_budget: EMITTED }
}
