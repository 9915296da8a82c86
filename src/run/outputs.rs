//! Outputs of a running process: for each that is set, a stage that fills its outbox and a thread that empties it. The one that stays in the log
//! has no outbox.

/// The public topic in Avro.
pub(super) mod avro;

use crate::failure::Failure;
use crate::settings::Settings;
use golden_outputs::sender::{self, Sender};
use golden_outputs::settings::{Access, BadOutput, Temporality};
use golden_outputs::{Otlp, RemoteWrite, Webhook};
use golden_pipeline::emit::health::{self, HealthNotices};
use golden_pipeline::emit::outbox::Outbox;
use golden_pipeline::emit::prometheus::Compatibility;
use golden_pipeline::emit::scrape::push::{self, Push};
use golden_pipeline::settings::{Checked, Span};
use platform_core::clock::Clock;
use platform_core::pipeline::{Kind, Stage};
use platform_core::record::Topic;
use platform_core::time::nanos;
use std::sync::Arc;

/// What sends, not started yet.
pub(super) struct Output {
    output: Box<dyn sender::Output>,
    outbox: Arc<Outbox>,
    patience: Span,
}

impl Output {
    pub(super) fn start(self) -> Result<Sender, Failure> {
        Sender::start(self.output, self.outbox, self.patience.0).map_err(Failure::failed)
    }
}

/// The stage and the sender of each output that is set.
///
/// # Errors
/// When settings cannot be used.
pub(super) fn of(settings: &Settings, checked: &Checked, reads: &Topic, clock: &Arc<dyn Clock>) -> Result<Vec<(Stage, Output)>, Failure> {
    let (remember, ttl) = (nanos(checked.plain.retain.0) * 2, checked.series_ttl);
    let stage = |name: &str, kind| Stage { name: name.to_owned(), reads: vec![reads.clone()], writes: vec![], tasks: 1, kind };
    let outbox = || Arc::new(Outbox::new(settings.outputs.queue_mib << 20));
    let metrics = |name: &str, outbox: &Arc<Outbox>, growth: bool| {
        let outbox = Arc::clone(outbox);
        let make = move |p| Push::new(&outbox, p, remember, ttl);
        let make = move |p| if growth { make(p).with_growth() } else { make(p) };
        stage(name, Kind::Keyed(Box::new(move |p| Box::new(make(p))), push::FORMAT))
    };
    let mut all = Vec::new();
    let mut add = |stage: Stage, output: Box<dyn sender::Output>, outbox, http: &Access| {
        all.push((stage, Output { output, outbox, patience: http.patience }));
    };
    let usage = |error: BadOutput| Failure::usage(error);
    let names = Compatibility::from(&settings.metrics.compatibility);
    if let Some(of) = &settings.outputs.remote_write {
        let outbox = outbox();
        let output = RemoteWrite::new(of).map_err(usage)?.with_names(names);
        add(metrics("output-remote-write", &outbox, false), Box::new(output), outbox, &of.http);
    }
    if let Some(of) = &settings.outputs.otlp {
        let outbox = outbox();
        let output = Otlp::new(of).map_err(usage)?.with_names(names);
        add(metrics("output-otlp", &outbox, of.temporality == Temporality::Delta), Box::new(output), outbox, &of.http);
    }
    if let Some(of) = &settings.outputs.webhook {
        let outbox = outbox();
        let filled = Arc::clone(&outbox);
        let kind = Kind::Keyed(Box::new(move |p| Box::new(HealthNotices::new(&filled, p))), health::FORMAT);
        add(stage("output-webhook", kind), Box::new(Webhook::new(of, Arc::clone(clock)).map_err(usage)?), outbox, &of.http);
    }
    Ok(all)
}
