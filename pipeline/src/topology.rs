//! The whole chain, in one place: which stages there are and how they are joined.
//!
//! `service-events → FOLD → partials → CLOSE → signals → (router) → public topic and late ledger → sinks`. The router is handed in: it
//! knows no golden signal and is known here only by what it reads and writes.
//!
//! FOLD and CLOSE are the part of one deployment: there may be several, each under a name of its own. Router and sinks are shared.

use crate::close::{Close, CloseSettings, Keep, keys};
use crate::dead_letter::Stamp;
use crate::decode::MakeDecoder;
use crate::fold::{Fold, FoldSettings, FoldSource, TimeMode, place};
use crate::names::{PIPELINE, Topics, part_of};
use crate::overrides::rules::Rules;
use crate::settings::Checked;
use crate::tally::Tally;
use platform_core::log::Positions;
use platform_core::pipeline::{Kind, Pipeline, Stage};
use platform_core::record::Topic;
use platform_core::time::nanos;
use std::sync::Arc;

/// A topic that events come from.
pub struct SourceTopic {
    /// The topic.
    pub topic: Topic,
    /// Name of the source, in counters and dead letters.
    pub name: String,
    /// Partitions of the topic.
    pub partitions: u32,
    /// Decoders.
    pub decoder: MakeDecoder,
}

/// What a deployment adds to the settings.
pub struct Deployment {
    /// Its colour.
    pub colour: &'static str,
    /// Counts the deployments of all colours.
    pub epoch: u32,
    /// First window that it answers for, as the first eight bytes of identities, read as a number; 0: all.
    pub owned_from: u64,
    /// Where it begins to read its sources; partitions that are not named from their start.
    pub starts: Positions,
    /// Settings.
    pub settings: Checked,
    /// Names of topics.
    pub topics: Topics,
    /// Where events come from. Their order is part of every coordinate: new ones go behind those that were there.
    pub sources: Vec<SourceTopic>,
    /// Tenant of all events.
    pub tenant: String,
    /// Partitions of `partials`, `signals` and the public topics.
    pub partitions: u32,
    /// Where append times come from, and so how windows close.
    pub time: TimeMode,
    /// Whether records of every grouping carry a health.
    pub health_of_all: bool,
    /// FOLD tasks.
    pub fold_tasks: usize,
    /// CLOSE tasks.
    pub close_tasks: usize,
    /// What teams override.
    pub rules: Arc<Rules>,
    /// What became of every item.
    pub tally: Arc<Tally>,
}

/// The part of one deployment: FOLD and CLOSE.
#[must_use]
pub fn part(deployment: Deployment) -> Pipeline {
    let name = part_of(deployment.colour, deployment.epoch);
    let close = close(&deployment);
    Pipeline { name, stages: vec![fold(deployment), close] }
}

/// The shared part: the router, then the sinks, which read the public topics.
#[must_use]
pub fn shared(router: Stage, sinks: Vec<Stage>) -> Pipeline {
    Pipeline { name: PIPELINE.to_owned(), stages: std::iter::once(router).chain(sinks).collect() }
}

/// One deployment with its router as one chain, for a bounded run.
#[must_use]
pub fn chain(deployment: Deployment, router: Stage) -> Pipeline {
    let mut pipeline = part(deployment);
    pipeline.stages.push(router);
    pipeline
}

fn stamp(deployment: &Deployment) -> Stamp {
    Stamp { colour: deployment.colour, epoch: deployment.epoch, tenant: deployment.tenant.clone() }
}

fn fold(deployment: Deployment) -> Stage {
    let topics = &deployment.topics;
    let settings = FoldSettings {
        stamp: stamp(&deployment),
        groupings: deployment.settings.groupings.clone(),
        window: deployment.settings.window,
        verdicts: deployment.settings.verdicts,
        watermark: deployment.settings.watermark,
        time: deployment.time,
        traces: deployment.settings.plain.exemplars,
        lead: nanos(deployment.settings.plain.lead.0),
        partials: topics.partials.clone(),
        partitions: deployment.partitions,
        dead_letters: topics.dead_letters.clone(),
        starts: deployment.starts,
    };
    let (sources, rules, tally) = (deployment.sources, deployment.rules, deployment.tally);
    let reads = sources.iter().map(|source| source.topic.clone()).collect();
    let read = move || {
        let made = |source: &SourceTopic| FoldSource {
            topic: source.topic.clone(),
            name: source.name.clone(),
            decoder: Arc::clone(&source.decoder),
        };
        sources.iter().map(made).collect()
    };
    Stage {
        name: "fold".to_owned(),
        reads,
        writes: vec![topics.partials.clone(), topics.dead_letters.clone()],
        tasks: deployment.fold_tasks,
        kind: Kind::Map(Box::new(move || Box::new(Fold::new(settings.clone(), read(), Arc::clone(&rules), Arc::clone(&tally))))),
    }
}

/// Places of all source partitions.
fn declared(sources: &[SourceTopic]) -> Vec<u32> {
    sources.iter().enumerate().flat_map(|(number, source)| (0..source.partitions).map(move |index| place(number, index))).collect()
}

fn close(deployment: &Deployment) -> Stage {
    let (topics, checked) = (&deployment.topics, &deployment.settings);
    let bounded = deployment.time == TimeMode::Bounded;
    let settings = CloseSettings {
        stamp: stamp(deployment),
        owned_from: deployment.owned_from,
        groupings: checked.groupings.clone(),
        window: checked.window,
        retain: nanos(checked.plain.retain.0),
        hold: nanos(checked.plain.hold.0),
        series_ttl: checked.series_ttl,
        caps: checked.caps(deployment.partitions),
        min_completeness: checked.min_completeness,
        empty_windows: deployment.time == TimeMode::Live,
        health_of_all: deployment.health_of_all,
        histogram: checked.plain.histogram,
        suppress_low_confidence: checked.plain.suppress_low_confidence,
        keep: match deployment.time {
            TimeMode::Live => Keep::All,
            TimeMode::Streaming => Keep::Closed,
            TimeMode::Bounded => Keep::Nothing,
        },
        // A bounded input proves nothing by ranges: it is complete when it has ended.
        declared: if bounded { Vec::new() } else { declared(&deployment.sources) },
        signals: topics.signals.clone(),
        partitions: deployment.partitions,
    };
    let (rules, tally) = (Arc::clone(&deployment.rules), Arc::clone(&deployment.tally));
    Stage {
        name: "close".to_owned(),
        reads: vec![topics.partials.clone()],
        writes: vec![topics.signals.clone()],
        tasks: deployment.close_tasks,
        kind: Kind::Keyed(
            Box::new(move |partition| Box::new(Close::new(settings.clone(), partition, Arc::clone(&rules), Arc::clone(&tally)))),
            keys::FORMAT,
        ),
    }
}
