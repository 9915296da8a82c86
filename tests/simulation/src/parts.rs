//! What processes run: FOLD and CLOSE of each deployment, router workers, controllers; and how a task of it is made.

use crate::plan::{BOUND, COLOUR, EPOCH, HOLD, LEAD, PARTITIONS, SKEW, SOURCES, WINDOW, nanos, seconds};
use golden_pipeline::dead_letter::Stamp;
use golden_pipeline::decode::{self, MakeDecoder};
use golden_pipeline::fold::{Fold, FoldSettings, FoldSource, TimeMode};
use golden_pipeline::names::{PIPELINE, SCHEMA_LATE, SCHEMA_PROGRESS, SCHEMA_SIGNALS, Topics, part_of};
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::settings::{Checked, PipelineSettings, Span};
use golden_pipeline::source::{Format, Source};
use golden_pipeline::tally::Tally;
use golden_pipeline::topology::{self, Deployment, SourceTopic};
use golden_router::controller::Controller;
use golden_router::deployment::{Colour, Deployment as Deployed};
use golden_router::health::Unasked;
use golden_router::orders::Start;
use golden_router::settings::{Checks, ColourTopics, ControllerSettings};
use golden_router::worker::WorkerSettings;
use platform_core::clock::Clock;
use platform_core::log::{Log, Positions};
use platform_core::pipeline::{Kind, MakeKeyed, MakeMap, Pipeline, Stage};
use platform_core::record::{Offset, Partition, Topic};
use platform_core::stage::MapStage;
use platform_runtime::keyed_task::{KeyedParts, KeyedTask};
use platform_runtime::map_task::MapTask;
use platform_runtime::merge_task::{MergeParts, MergeTask};
use platform_runtime::task::{TaskError, TaskSetup};
use std::sync::Arc;
use std::time::Duration;

/// The zombie's pipeline: its own groups and transactional ids.
const OLD: &str = "golden-signals.old";

/// What a stage is made from.
pub(crate) enum Made {
    Map(MakeMap),
    Keyed(Arc<MakeKeyed>, u32),
    Router(Box<WorkerSettings>),
    Control(Box<ControllerSettings>),
}

/// A stage, or a controller.
pub(crate) struct Part {
    /// Whose it is; `None`: shared.
    pub(crate) of: Option<Deployed>,
    pub(crate) pipeline: String,
    pub(crate) name: String,
    pub(crate) reads: Vec<Topic>,
    pub(crate) made: Made,
    pub(crate) tasks: usize,
}

/// A running task.
pub(crate) enum Task {
    Map(Box<MapTask>),
    Keyed(Box<KeyedTask>),
    Merge(Box<MergeTask>),
    Control(Box<Controller>, Arc<dyn Clock>),
}

impl Task {
    pub(crate) fn step(&mut self) -> Result<(), TaskError> {
        match self {
            Self::Map(task) => task.step(Duration::ZERO).map(drop),
            Self::Keyed(task) => task.step(Duration::ZERO).map(drop),
            Self::Merge(task) => task.step(Duration::ZERO).map(drop),
            Self::Control(controller, clock) => {
                // What fails is tried again by the next step.
                drop(controller.step(clock.monotonic()));
                Ok(())
            }
        }
    }

    /// Commits what it has, as the runtime has tasks do that are told to stop. `false`: not yet; call again.
    pub(crate) fn finish(&mut self) -> Result<bool, TaskError> {
        match self {
            // What the log refuses now is read again after the restart.
            Self::Map(task) => task.commit_now().map(|_| true),
            Self::Keyed(task) => task.drain(Duration::ZERO),
            Self::Merge(task) => task.drain(Duration::ZERO),
            Self::Control(..) => Ok(true),
        }
    }
}

/// How a task is made.
pub(crate) enum Stepped {
    Map(Box<dyn MapStage>),
    Keyed(KeyedParts),
    Merge(MergeParts),
    Control(Box<ControllerSettings>),
}

/// What it takes to make a task.
pub(crate) struct Recipe {
    pub(crate) setup: TaskSetup,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) stage: Stepped,
}

impl Recipe {
    pub(crate) fn make(self) -> Result<Task, TaskError> {
        if let Stepped::Control(settings) = self.stage {
            let (clock, instance) = (Arc::clone(&self.setup.clock), self.setup.place.instance.clone());
            return Ok(Task::Control(Box::new(Controller::new(self.log, *settings, Arc::new(Unasked), &instance, true)), clock));
        }
        let reader = self.log.reader(&self.setup.subscription())?;
        Ok(match self.stage {
            Stepped::Map(stage) => Task::Map(Box::new(MapTask::new(self.setup, stage, reader)?)),
            Stepped::Keyed(parts) => Task::Keyed(Box::new(KeyedTask::new(self.setup, parts, reader)?)),
            Stepped::Merge(parts) => Task::Merge(Box::new(MergeTask::new(self.setup, parts, reader)?)),
            Stepped::Control(_) => unreachable!("it was made before"),
        })
    }
}

/// What all deployments of a run have in common.
pub(crate) struct Common {
    pub(crate) retain: i64,
    pub(crate) fold_tasks: usize,
    pub(crate) automatic: bool,
    pub(crate) rules: Arc<Rules>,
}

/// Topics of a colour.
pub(crate) fn topics(colour: Colour) -> Topics {
    Topics::of(colour.name())
}

fn decoder() -> MakeDecoder {
    let source = Arc::new(Source::for_format(Format::Json));
    Arc::new(move |wanted| decode::decoder(&source, wanted))
}

/// Settings of both colours.
pub(crate) fn settings(retain: i64) -> Checked {
    let plain = PipelineSettings {
        window: Span(seconds(WINDOW)),
        bound: Span(seconds(BOUND)),
        hold: Span(seconds(HOLD)),
        skew: Span(seconds(SKEW)),
        lead: Span(seconds(LEAD)),
        retain: Span(seconds(retain)),
        series_ttl: Span(seconds(retain)),
        histogram: true,
        ..PipelineSettings::default()
    };
    plain.check().unwrap_or_else(|error| unreachable!("these settings are good: {error}"))
}

impl Common {
    /// FOLD and CLOSE of a deployment.
    pub(crate) fn parts_of(&self, start: &Start) -> Vec<Part> {
        let Deployed { colour, epoch } = start.deployment;
        let topics = topics(colour);
        let starts = start.positions.iter().map(|(topic, index, at)| (Partition::new(&Topic::new(topic), *index), Offset(*at))).collect();
        let events = SourceTopic { topic: topics.events.clone(), name: "test".to_owned(), partitions: SOURCES, decoder: decoder() };
        let deployment = Deployment {
            colour: colour.name(),
            epoch,
            owned_from: start.owned_from,
            starts,
            settings: settings(self.retain),
            topics,
            sources: vec![events],
            tenant: "default".to_owned(),
            partitions: PARTITIONS,
            time: TimeMode::Live,
            health_of_all: true,
            fold_tasks: self.fold_tasks,
            close_tasks: 1,
            rules: Arc::clone(&self.rules),
            tally: Arc::new(Tally::default()),
        };
        let Pipeline { name, stages } = topology::part(deployment);
        let part = |Stage { name: stage, reads, tasks, kind, .. }| {
            let made = match kind {
                Kind::Map(make) => Made::Map(make),
                Kind::Keyed(make, format) => Made::Keyed(Arc::new(make), format),
                Kind::Merge(..) => unreachable!("a deployment has no router of its own"),
            };
            Part { of: Some(start.deployment), pipeline: name.clone(), name: stage, reads, made, tasks }
        };
        stages.into_iter().map(part).collect()
    }

    /// A router worker for both colours.
    pub(crate) fn router(&self) -> Part {
        let own = topics(Colour::Blue);
        let settings = WorkerSettings {
            pipeline: PIPELINE.to_owned(),
            inputs: Colour::ALL.map(|colour| (colour, topics(colour).signals)).to_vec(),
            routes: vec![(SCHEMA_SIGNALS, own.public), (SCHEMA_LATE, own.late)],
            progress: SCHEMA_PROGRESS,
            summed: SCHEMA_SIGNALS,
            remember: 2 * nanos(self.retain),
            name: String::new(),
        };
        let reads = Colour::ALL.map(|colour| topics(colour).signals).to_vec();
        Part { of: None, pipeline: PIPELINE.to_owned(), name: "router".to_owned(), reads, made: Made::Router(Box::new(settings)), tasks: 1 }
    }

    /// A controller.
    pub(crate) fn control(&self) -> Part {
        let made = Made::Control(Box::new(self.control_settings()));
        Part { of: None, pipeline: PIPELINE.to_owned(), name: "controller".to_owned(), reads: Vec::new(), made, tasks: 1 }
    }

    /// What a controller looks at, in times that fit a run.
    pub(crate) fn control_settings(&self) -> ControllerSettings {
        let (own, s) = (topics(Colour::Blue), Duration::from_secs);
        let of = |colour: Colour| {
            let Topics { partials, signals, .. } = topics(colour);
            (colour, ColourTopics { partials, signals })
        };
        let checks = Checks {
            probe: s(2),
            failed: 2,
            of: 2,
            recovered: 3,
            error_share: 0.05,
            behind: s(8),
            lag: s(4),
            warm: s(8),
            windows: 1,
            tolerance: 0.0,
            between: s(10),
            most: 6,
            seal_after: s(20),
            proof: s(20),
            automatic: self.automatic,
        };
        ControllerSettings {
            pipeline: PIPELINE.to_owned(),
            control: own.control,
            public: own.public,
            colours: Colour::ALL.into_iter().map(of).collect(),
            close_group: |Deployed { colour, epoch }| format!("{}.close", part_of(colour.name(), epoch)),
            router_group: format!("{PIPELINE}.router"),
            controller_group: format!("{PIPELINE}.controller"),
            progress: SCHEMA_PROGRESS,
            results: SCHEMA_SIGNALS,
            name_of: |identity| format!("{identity:?}"),
            window: nanos(WINDOW),
            checks,
        }
    }

    /// FOLD of a deployment that was there before all of these.
    pub(crate) fn old_fold(&self) -> Part {
        let (checked, topics, decoder) = (settings(self.retain), Topics::of(COLOUR), decoder());
        let settings = FoldSettings {
            stamp: Stamp { colour: COLOUR, epoch: EPOCH - 1, tenant: "default".to_owned() },
            groupings: checked.groupings.clone(),
            window: checked.window,
            verdicts: checked.verdicts,
            watermark: checked.watermark,
            time: TimeMode::Live,
            traces: true,
            lead: nanos(LEAD),
            partials: topics.partials,
            partitions: PARTITIONS,
            dead_letters: topics.dead_letters,
            starts: Positions::new(),
        };
        let events = topics.events.clone();
        let make = move || -> Box<dyn MapStage> {
            let source = FoldSource { topic: events.clone(), name: "old".to_owned(), decoder: Arc::clone(&decoder) };
            Box::new(Fold::new(settings.clone(), vec![source], Rules::none(), Arc::default()))
        };
        let (pipeline, name, reads, made) = (OLD.to_owned(), "fold".to_owned(), vec![topics.events], Made::Map(Box::new(make)));
        Part { of: None, pipeline, name, reads, made, tasks: 1 }
    }
}
