//! What the running program shows of itself: readiness, tasks, lag, metrics.

use super::colours::Standing;
use crate::engine::Gauge;
use crate::settings::MetricsSettings;
use golden_http::{Lag, Status, Vitals};
use golden_pipeline::emit::json::put_time;
use golden_pipeline::emit::prometheus::{Format, PageSettings};
use golden_pipeline::emit::scrape::Scrapes;
use golden_pipeline::history::History;
use golden_pipeline::names::part_of;
use golden_pipeline::overrides::board::Board;
use golden_pipeline::slo;
use golden_pipeline::tally::{self, Tally};
use golden_router::deployment::Deployment;
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::metric::{Family, Kind, Value};
use platform_core::pipeline::Pipeline;
use platform_core::record::{Partition, Topic};
use platform_core::time::EventTime;
use platform_runtime::metrics::MetricsHandle;
use platform_runtime::runtime::Watch;
use platform_runtime::task::{Place, TaskState};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long service levels are shown as they were computed: windows do not come faster.
const LEVELS_FOR: Duration = Duration::from_secs(10);
/// ns after the window behind a series' last one until its gauges say unknown.
const STALE_AFTER: i64 = 180 * platform_core::time::SECOND;

/// Who reads what: pipeline and stage, their group, their topics' partitions.
pub(super) struct Reads {
    pipeline: String,
    stage: String,
    group: String,
    partitions: Vec<Partition>,
}

/// The readers of pipelines' topics.
pub(super) fn readers(pipelines: &[Pipeline], place: &Place, log: &dyn Log) -> Vec<Reads> {
    let partitions = |stage: &platform_core::pipeline::Stage| {
        let all = stage.reads.iter().flat_map(|topic| (0..log.partitions(topic).unwrap_or(0)).map(|i| Partition::new(topic, i)));
        all.collect()
    };
    let reads = |name: &str, stage: &platform_core::pipeline::Stage| Reads {
        pipeline: name.to_owned(),
        stage: stage.name.clone(),
        group: place.group(name, &stage.name),
        partitions: partitions(stage),
    };
    pipelines.iter().flat_map(|pipeline| pipeline.stages.iter().map(|stage| reads(&pipeline.name, stage))).collect()
}

/// A deployment of this process, and what it counts.
pub(super) struct Computed {
    pub(super) deployment: Deployment,
    pub(super) tally: Arc<Tally>,
    /// The topic whose partitions have watermarks.
    pub(super) partials: Topic,
}

pub(super) struct RunVitals {
    pub(super) watch: Watch,
    pub(super) log: Arc<dyn Log>,
    pub(super) gauge: Gauge,
    pub(super) readers: Vec<Reads>,
    pub(super) metrics: MetricsHandle,
    pub(super) scrapes: Arc<Scrapes>,
    pub(super) computed: Vec<Computed>,
    pub(super) standing: Arc<Standing>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) settings: MetricsSettings,
    pub(super) history: History,
    pub(super) board: Arc<Board>,
    /// Service levels as they were last computed, and when that was.
    pub(super) levels: Mutex<Option<(Duration, Vec<Family>)>>,
}

impl RunVitals {
    /// Every window that ends by then is closed, in all partitions that have said anything: by the live deployment, if it is one of these.
    fn watermark(&self) -> Option<String> {
        let live = self.standing.live();
        let of = self.computed.iter().find(|of| live == Some(of.deployment)).or(self.computed.first())?;
        let least = of.tally.watermarks().into_iter().map(|(_, at)| at).min()?;
        let mut text = Vec::new();
        put_time(&mut text, least.0);
        String::from_utf8(text).ok()
    }

    fn lag(&self) -> Vec<Lag> {
        let mut all = Vec::new();
        for reads in &self.readers {
            for partition in &reads.partitions {
                let end = self.log.bounds(partition).map_or(0, |(_, end)| end.0);
                let position = self.log.committed(&reads.group, partition).ok().flatten().map_or(0, |c| c.offset.0);
                let records = end.saturating_sub(position);
                let (pipeline, stage) = (reads.pipeline.clone(), reads.stage.clone());
                all.push(Lag { pipeline, stage, topic: partition.topic.to_string(), partition: partition.index, position, records });
            }
        }
        all
    }
}

impl RunVitals {
    /// What services promise and how much of their budgets is left, computed anew when it is older than `LEVELS_FOR`.
    fn service_levels(&self) -> Vec<Family> {
        let now = self.clock.monotonic();
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, families)) = levels.as_ref().filter(|(at, _)| now.saturating_sub(*at) < LEVELS_FOR) {
            return families.clone();
        }
        let Some(rules) = self.board.newest() else { return vec![] };
        match slo::families::families(&self.history, golden_http::TENANT, &rules) {
            Ok(families) => {
                *levels = Some((now, families.clone()));
                families
            }
            Err(error) => {
                tracing::warn!(%error, "service levels cannot be read");
                vec![]
            }
        }
    }

    /// Up to where windows are closed, by deployment and partition; of those that are closed here.
    fn watermarks(&self) -> Family {
        let help = "Event time up to which windows are closed, in seconds since 1970.";
        let mut family = Family::new("platform_watermark_timestamp_seconds", Kind::Gauge, help);
        for of in &self.computed {
            let name = part_of(of.deployment.colour.name(), of.deployment.epoch);
            for (partition, at) in of.tally.watermarks() {
                let labels = [("pipeline", &*name), ("topic", of.partials.as_str()), ("partition", &partition.to_string())];
                family.push(&labels, Value::Number(at.0 as f64 / 1e9));
            }
        }
        family
    }
}

impl Vitals for RunVitals {
    fn ready(&self) -> Result<(), String> {
        if let Some(trouble) = self.gauge.trouble() {
            return Err(trouble);
        }
        match self.watch.tasks().iter().find(|t| t.state != TaskState::Running) {
            None => Ok(()),
            Some(task) => Err(format!("task {} is {}", task.name, task.state.name())),
        }
    }

    fn status(&self) -> Status {
        let failure = self.watch.failure().map(|f| f.to_string());
        let tasks = self.watch.tasks().into_iter().map(|task| {
            let mut names = task.name.rsplitn(3, '.');
            let slot = names.next().and_then(|n| n.parse().ok()).unwrap_or(0);
            let stage = names.next().unwrap_or_default().to_owned();
            let failed = task.state == TaskState::Failed;
            golden_http::TaskStatus {
                pipeline: names.next().unwrap_or_default().to_owned(),
                stage,
                task: slot,
                state: task.state.name().to_owned(),
                error: failure.clone().filter(|_| failed),
            }
        });
        let deployments = self.computed.iter().map(|of| {
            let total = of.tally.total();
            let Deployment { colour, epoch } = of.deployment;
            golden_http::DeploymentStatus {
                colour: colour.name().to_owned(),
                epoch,
                decoded: total.decoded,
                dead_letters: total.dead_letters(),
            }
        });
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            watermark: self.watermark(),
            tasks: tasks.collect(),
            lag: self.lag(),
            waits_for: self.ready().err(),
            deployments: deployments.collect(),
        }
    }

    fn metrics(&self, format: Format, out: &mut Vec<u8>) {
        let tallies: Vec<(&str, &Tally)> = self.computed.iter().map(|of| (of.deployment.colour.name(), &*of.tally)).collect();
        let mut others = tally::families(&tallies);
        others.push(build());
        others.push(self.watermarks());
        others.extend(self.service_levels());
        others.extend(self.metrics.families());
        others.extend(self.gauge.figures());
        let MetricsSettings { max_series, quantiles, compatibility } = &self.settings;
        let settings = PageSettings {
            format,
            tenant_label: false,
            max_series: *max_series,
            stale_after_nanos: STALE_AFTER,
            quantiles: *quantiles,
            compatibility: compatibility.into(),
        };
        self.scrapes.page(&settings, EventTime(self.clock.wall()), &others, out);
    }
}

/// What runs here.
fn build() -> Family {
    let mut family =
        Family::new("golden_signals_build_info", Kind::Gauge, "The running program: its version, and the commit it was built from.");
    family.push(
        &[("version", env!("CARGO_PKG_VERSION")), ("revision", option_env!("SOURCE_REVISION").unwrap_or("unknown"))],
        Value::Number(1.0),
    );
    family
}
