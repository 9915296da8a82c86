//! The router's stage, as both `run` and `replay` put it between CLOSE and the public topics.

pub(crate) mod command;
pub(crate) mod door;
mod show;

use golden_pipeline::names::{PIPELINE, SCHEMA_LATE, SCHEMA_PROGRESS, SCHEMA_SHADOW, SCHEMA_SIGNALS, Topics};
use golden_router::control::OrdersFeed;
use golden_router::deployment::Colour;
use golden_router::worker::{self, Worker, WorkerSettings};
use platform_core::pipeline::{Kind, Stage};
use platform_core::record::Topic;
use std::sync::Arc;

/// What people call this process where several share the work: its name, if it has one, its number, and the machine.
pub(crate) fn name_of_process(instance: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = if instance.is_empty() { String::new() } else { format!("{instance}, ") };
    let on = if host.trim().is_empty() { String::new() } else { format!(" on {}", host.trim()) };
    format!("{name}process {}{on}", std::process::id())
}

/// The stage, which forwards one of these colours as `feed` orders. `remember` is how long an identity is known after its window's start, in
/// ns; 0 when no window is ever corrected. `name` is what people call this process, empty where nobody looks.
pub(crate) fn stage(colours: &[Colour], feed: Arc<OrdersFeed>, remember: i64, name: String) -> Stage {
    let of = |colour: &Colour| Topics::of(colour.name());
    let inputs: Vec<(Colour, Topic)> = colours.iter().map(|colour| (*colour, of(colour).signals)).collect();
    let topics = of(&Colour::Blue);
    let routes: Vec<(&'static str, Topic)> = [SCHEMA_SIGNALS, SCHEMA_SHADOW]
        .map(|schema| (schema, topics.public.clone()))
        .into_iter()
        .chain([(SCHEMA_LATE, topics.late.clone())])
        .collect();
    let reads = inputs.iter().map(|(_, topic)| topic.clone()).collect();
    let settings =
        WorkerSettings { pipeline: PIPELINE.to_owned(), inputs, routes, progress: SCHEMA_PROGRESS, summed: SCHEMA_SIGNALS, remember, name };
    Stage {
        name: "router".to_owned(),
        reads,
        writes: vec![topics.public, topics.late],
        tasks: 1,
        kind: Kind::Merge(Box::new(move |index| Box::new(Worker::new(settings.clone(), Arc::clone(&feed), index))), worker::FORMAT),
    }
}
