//! The thread of one output: takes chunks from its outbox in order, has each sent until it is through, and counts.
//!
//! Between two tries of a chunk it waits (`backoff`). Nothing behind a chunk is sent before it is through, since receivers want samples in
//! the order of time. A receiver that denies what somebody can repair is given as long as is set; then chunks are dropped until it takes one.

/// How long to wait.
mod backoff;

use crate::settings::BadOutput;
use backoff::Backoff;
use golden_pipeline::emit::outbox::{Chunk, Outbox};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Counts what receivers took. `output`.
const SENT: &str = "golden_signals_output_sent_total";
/// Counts what they refused. `output`, `reason`.
const DROPPED: &str = "golden_signals_output_dropped_total";
/// Counts calls made again. `output`.
const RETRIED: &str = "golden_signals_output_retried_total";
/// Bytes that wait. `output`.
const QUEUE: &str = "golden_signals_output_queue_bytes";
/// Oldest window that waits. `output`.
const OLDEST: &str = "golden_signals_output_oldest_unsent_timestamp_seconds";

/// How long nobody looks when there is nothing to send.
const IDLE: Duration = Duration::from_secs(1);

/// What became of a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is through.
    Through {
        /// What the receiver took.
        sent: u64,
        /// What it refused, by reason.
        dropped: Vec<(&'static str, u64)>,
    },
    /// Refused for something that can be repaired: it is sent once more, and dropped once patience is at an end.
    Denied {
        /// What the receiver took before.
        sent: u64,
        /// What is lost if it is dropped now, by reason: all that was not taken.
        dropped: Vec<(&'static str, u64)>,
        /// Why, without secrets.
        why: String,
    },
    /// Nothing can be said yet: it has to be sent once more.
    Again {
        /// After how long, if the receiver said so.
        after: Option<Duration>,
        /// Why, without secrets.
        why: String,
    },
}

impl Outcome {
    pub(crate) fn again(why: String) -> Self {
        Self::Again { after: None, why }
    }
}

/// Why the parts of a chunk were not all sent: what the receiver said, without secrets.
#[derive(Debug)]
pub(crate) enum Stop {
    /// It is away, or says how long to wait.
    Again(Option<Duration>, String),
    /// It does not let us, by this reason.
    Denied(&'static str, String),
}

impl Stop {
    pub(crate) fn away(why: String) -> Self {
        Self::Again(None, why)
    }

    /// What that means for a chunk of which some went through; `all` says how much it holds.
    pub(crate) fn outcome(self, sent: u64, mut dropped: Vec<(&'static str, u64)>, all: impl FnOnce() -> u64) -> Outcome {
        match self {
            Self::Again(after, why) => Outcome::Again { after, why },
            Self::Denied(reason, why) => {
                let done = sent + dropped.iter().map(|(_, count)| count).sum::<u64>();
                dropped.push((reason, all().saturating_sub(done)));
                Outcome::Denied { sent, dropped, why }
            }
        }
    }
}

/// What knows a protocol.
pub trait Output: Send {
    /// Name in settings, metrics and messages.
    fn name(&self) -> &'static str;

    /// Sends a chunk. May wait for the receiver as long as is set.
    fn send(&mut self, chunk: &Chunk) -> Outcome;
}

/// A thread that ends when this is dropped; what it has not sent stays in its outbox's store.
pub struct Sender {
    outbox: Arc<Outbox>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Starts it. `patience` is how long a receiver is tried that denies what somebody can repair.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(output: Box<dyn Output>, outbox: Arc<Outbox>, patience: Duration) -> Result<Self, BadOutput> {
        describe_counter!(SENT, "What a receiver has taken: samples, points or notices");
        describe_counter!(DROPPED, "What a receiver has refused for good, by reason");
        describe_counter!(RETRIED, "Calls that are made again");
        describe_gauge!(QUEUE, "Bytes that wait to be sent");
        describe_gauge!(OLDEST, "End of the oldest window that waits to be sent; 0 when none does");
        let of = Arc::clone(&outbox);
        let thread = Builder::new().name(format!("output-{}", output.name())).spawn(move || run(output, &of, patience));
        Ok(Self { outbox, thread: Some(thread.map_err(BadOutput::Thread)?) })
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.outbox.close();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("an output ended by a panic");
        }
    }
}

fn run(mut output: Box<dyn Output>, outbox: &Outbox, patience: Duration) {
    let name = output.name();
    let mut backoff = Backoff::default();
    counter!(SENT, "output" => name).increment(0);
    counter!(RETRIED, "output" => name).increment(0);
    while !outbox.is_closed() {
        gauge!(QUEUE, "output" => name).set(outbox.size() as f64);
        gauge!(OLDEST, "output" => name).set(outbox.oldest().map_or(0.0, |end| end.0 as f64 / 1e9));
        let Some((partition, chunk)) = outbox.next(IDLE) else { continue };
        let (after, why) = match output.send(&chunk) {
            Outcome::Through { sent, dropped } => {
                backoff.reset();
                count(name, sent, dropped);
                outbox.sent(partition, &chunk);
                continue;
            }
            Outcome::Denied { sent, dropped, why } if backoff.denied() >= patience => {
                tracing::warn!(output = name, partition, chunk = chunk.number, %why, "dropped: nobody repaired it in time");
                count(name, sent, dropped);
                outbox.sent(partition, &chunk);
                continue;
            }
            Outcome::Denied { why, .. } => (backoff.deny(), why),
            Outcome::Again { after, why } => (backoff.wait(after), why),
        };
        counter!(RETRIED, "output" => name).increment(1);
        tracing::warn!(output = name, partition, chunk = chunk.number, %why, "not sent; it is tried again");
        outbox.pause(after);
    }
}

fn count(name: &'static str, sent: u64, dropped: Vec<(&'static str, u64)>) {
    counter!(SENT, "output" => name).increment(sent);
    for (reason, count) in dropped {
        counter!(DROPPED, "output" => name, "reason" => reason).increment(count);
    }
}
