//! The public topic in Avro: the stage that copies, and for Confluent's frame a thread that asks the schema registry for the schema's number.
//!
//! Nothing but this output waits for the registry. It is asked until it has answered once, with growing waits; the number holds for the life of
//! the process.

use crate::engine;
use crate::failure::Failure;
use crate::registry::Client;
use crate::settings::Settings;
use golden_outputs::settings::{AvroSettings, Frame as Set};
use golden_pipeline::emit::avro::{self, AvroCopies, Frame};
use golden_pipeline::names::Topics;
use platform_core::pipeline::{Kind, Stage};
use platform_core::record::{Partition, Topic};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// First wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Longest name of a topic.
const MAX_TOPIC: usize = 249;

/// Who asks for the number; not started yet.
pub(in crate::run) struct Asking {
    client: Client,
    subject: String,
    register: bool,
    frame: Frame,
}

/// The stage, and who asks for what it waits for; `None` when the output is not set.
///
/// # Errors
/// When settings cannot be used.
pub(in crate::run) fn of(settings: &Settings, topics: &Topics) -> Result<Option<(Stage, Option<Asking>)>, Failure> {
    let Some(set) = &settings.outputs.avro else { return Ok(None) };
    check(settings, set)?;
    let to = Topic::new(&set.topic);
    let (frame, asking) = match set.frame {
        Set::SingleObject => (Frame::single_object(), None),
        Set::Confluent => {
            let client = Client::of(settings)?.ok_or_else(|| {
                Failure::usage(
                    "outputs.avro: the frame `confluent` holds a schema registry's number, and log.kafka.registry is not set: \
                     set it, or `frame: single_object`, which needs none",
                )
            })?;
            let frame = Frame::default();
            let subject = set.subject.clone().unwrap_or_else(|| format!("{to}-value"));
            (frame.clone(), Some(Asking { client, subject, register: set.register, frame }))
        }
    };
    let writes = vec![to.clone()];
    let kind = Kind::Keyed(Box::new(move |index| Box::new(AvroCopies::new(frame.clone(), Partition::new(&to, index)))), avro::FORMAT);
    let stage = Stage { name: "output-avro".to_owned(), reads: vec![topics.public.clone()], writes, tasks: 1, kind };
    Ok(Some((stage, asking)))
}

/// A topic that nobody else writes to: copies of copies would have no end.
fn check(settings: &Settings, set: &AvroSettings) -> Result<(), Failure> {
    let AvroSettings { topic, subject, .. } = set;
    let fits = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if !fits(topic) || topic.len() > MAX_TOPIC || topic.chars().all(|c| c == '.') {
        let must = format!("and must be 1 to {MAX_TOPIC} letters, digits, `.`, `_` and `-`");
        return Err(Failure::usage(format!("outputs.avro.topic is `{topic}`, {must}")));
    }
    if engine::needed(settings).iter().filter(|needed| needed.topic.as_str() == topic).count() > 1 {
        return Err(Failure::usage(format!("outputs.avro.topic is {topic}, which has another use: give the copies a topic of their own")));
    }
    // It becomes part of a URL.
    if let Some(subject) = subject.as_ref().filter(|name| !fits(name)) {
        return Err(Failure::usage(format!("outputs.avro.subject is `{subject}`, and must be letters, digits, `.`, `_` and `-`")));
    }
    Ok(())
}

/// The thread that asks; it ends when this is dropped, or once it has its answer.
pub(in crate::run) struct Asked {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Asking {
    pub(in crate::run) fn start(self) -> Result<Asked, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("output-avro-schema".to_owned()).spawn(move || self.run(&stopping));
        Ok(Asked { stop, thread: Some(thread.map_err(Failure::failed)?) })
    }

    fn run(&self, stop: &AtomicBool) {
        let mut wait = WAITS.0;
        while !stop.load(Ordering::Relaxed) {
            match self.client.id(&self.subject, avro::SCHEMA_TEXT, self.register) {
                Ok(id) => {
                    tracing::info!(subject = %self.subject, id, "the schema of the copies in Avro has its number");
                    return self.frame.number(id);
                }
                Err(why) => {
                    tracing::warn!(output = "avro", %why, "nothing is copied yet; it is tried again");
                    std::thread::park_timeout(wait);
                    wait = (wait * 2).min(WAITS.1);
                }
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("asking for the schema's number ended by a panic");
        }
    }
}
