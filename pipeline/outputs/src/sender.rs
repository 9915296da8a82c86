//! The thread of one output: takes chunks from its outbox in order, has each sent until it is through, and counts.
//!
//! Between two tries of a chunk it waits, twice as long each time up to half a minute, or as long as the receiver asks for. Nothing behind a
//! chunk is sent before it is through, since receivers want samples in the order of time.

use crate::settings::BadOutput;
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

/// First wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
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
    /// Starts it.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(output: Box<dyn Output>, outbox: Arc<Outbox>) -> Result<Self, BadOutput> {
        describe_counter!(SENT, "What a receiver has taken: samples, points or notices");
        describe_counter!(DROPPED, "What a receiver has refused for good, by reason");
        describe_counter!(RETRIED, "Calls that are made again");
        describe_gauge!(QUEUE, "Bytes that wait to be sent");
        describe_gauge!(OLDEST, "End of the oldest window that waits to be sent; 0 when none does");
        let of = Arc::clone(&outbox);
        let thread = Builder::new().name(format!("output-{}", output.name())).spawn(move || run(output, &of));
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

fn run(mut output: Box<dyn Output>, outbox: &Outbox) {
    let name = output.name();
    let mut wait = WAITS.0;
    counter!(SENT, "output" => name).increment(0);
    counter!(RETRIED, "output" => name).increment(0);
    while !outbox.is_closed() {
        gauge!(QUEUE, "output" => name).set(outbox.size() as f64);
        gauge!(OLDEST, "output" => name).set(outbox.oldest().map_or(0.0, |end| end.0 as f64 / 1e9));
        let Some((partition, chunk)) = outbox.next(IDLE) else { continue };
        match output.send(&chunk) {
            Outcome::Through { sent, dropped } => {
                wait = WAITS.0;
                counter!(SENT, "output" => name).increment(sent);
                for (reason, count) in dropped {
                    counter!(DROPPED, "output" => name, "reason" => reason).increment(count);
                }
                outbox.sent(partition, &chunk);
            }
            Outcome::Again { after, why } => {
                counter!(RETRIED, "output" => name).increment(1);
                tracing::warn!(output = name, partition, chunk = chunk.number, %why, "not sent; it is tried again");
                outbox.pause(after.unwrap_or(wait));
                wait = (wait * 2).min(WAITS.1);
            }
        }
    }
}
