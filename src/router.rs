//! The router's stage, as both `run` and `replay` put it between CLOSE and the public topics.

pub(crate) mod command;
pub(crate) mod door;
mod show;

use golden_pipeline::names::{PIPELINE, SCHEMA_LATE, SCHEMA_PROGRESS, SCHEMA_SHADOW, SCHEMA_SIGNALS, Topics};
use golden_router::worker::{self, Worker, WorkerSettings};
use platform_core::pipeline::{Kind, Stage};
use platform_core::record::Topic;

/// The stage. `remember` is how long an identity is known after its window's start, in ns; 0 when no window is ever corrected.
pub(crate) fn stage(topics: &Topics, remember: i64) -> Stage {
    let routes: Vec<(&'static str, Topic)> = [SCHEMA_SIGNALS, SCHEMA_SHADOW]
        .map(|schema| (schema, topics.public.clone()))
        .into_iter()
        .chain([(SCHEMA_LATE, topics.late.clone())])
        .collect();
    let settings = WorkerSettings { pipeline: PIPELINE.to_owned(), routes, progress: SCHEMA_PROGRESS, remember };
    Stage {
        name: "router".to_owned(),
        reads: vec![topics.signals.clone()],
        writes: vec![topics.public.clone(), topics.late.clone()],
        tasks: 1,
        kind: Kind::Keyed(Box::new(move |partition| Box::new(Worker::new(settings.clone(), partition))), worker::FORMAT),
    }
}
