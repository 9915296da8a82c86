//! Fail points: the process stops itself (SIGSTOP) at a named moment of a task's work, so that a test can kill it there, cut it off, or let
//! it sleep until others have taken over (docs/faults.md).
//!
//! Besides, `GOLDEN_FAIL_POINT=STAGE.reads:TEXT` makes of every record that holds the text one that kills: the process aborts before the stage
//! looks into it.
//!
//! Armed by `GOLDEN_FAIL_POINT=STAGE.MOMENT:N`: the N-th time that a task of the stage comes to the moment. With `+MS` behind it the task goes
//! on, and the process is stopped so many ms later, unless the task has come to another moment by then: then it is tried the next time.
//! The program says at its start that it is armed. What happens while it is stopped is not decided here.

use crate::failure::Failure;
use nix::sys::signal::{Signal, raise};
use platform_kafka::log::{Inside, Kafka};
use platform_runtime::moments::{Moment, Moments};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

mod controller;

pub(crate) use controller::watched;

/// Stages whose groups and transactional ids tell what happens inside Kafka's client.
const STAGES: [&str; 5] = ["fold", "close", "router", "control", "output-avro"];

/// Somebody who stops the process when it comes there.
///
/// # Errors
/// When the text names no place.
pub(crate) fn arm(text: &str) -> Result<Moments, Failure> {
    if let Some((stage, text)) = text.split_once(".reads:").filter(|(_, text)| !text.is_empty()) {
        return Ok(poison(stage.to_owned(), text.to_owned()));
    }
    let bad = |why: &str| Failure::usage(format!("GOLDEN_FAIL_POINT is `{text}`, and must be as `close.after_commit:1`: {why}"));
    let (place, times) = text.split_once(':').ok_or_else(|| bad("there is no `:`"))?;
    let (stage, moment) = place.split_once('.').ok_or_else(|| bad("there is no `.`"))?;
    let moment: Moment = moment.parse().map_err(|error: platform_runtime::moments::NoMoment| bad(&error.to_string()))?;
    let (times, later) = times.split_once('+').map_or((times, None), |(times, later)| (times, Some(later)));
    let later =
        later.map(|ms| ms.parse().map(Duration::from_millis).map_err(|_| bad("behind the `+` stands no number of ms"))).transpose()?;
    let times: u64 = times.parse().ok().filter(|times| *times > 0).ok_or_else(|| bad("the number is not one from 1 on"))?;
    tracing::warn!("a fail point is armed: this process will stop at {text}");
    let (stage, name) = (stage.to_owned(), text.to_owned());
    let point = Arc::new(Point { name, left: AtomicU64::new(times), went_on: AtomicBool::new(false) });
    Ok(Moments::told_to(move |at, reached| {
        if at != stage {
            return;
        }
        if reached != moment {
            point.went_on.store(true, Ordering::Relaxed);
            return;
        }
        // Below 1 it was reached before.
        if point.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) == Ok(1) {
            match later {
                None => point.stop(),
                Some(later) => Arc::clone(&point).stop_in(later),
            }
        }
    }))
}

struct Point {
    name: String,
    /// How often it must still be reached.
    left: AtomicU64,
    /// The task has come to another moment since.
    went_on: AtomicBool,
}

impl Point {
    fn stop(&self) {
        eprintln!("stopped at {}", self.name);
        // To this thread, not to any of the process: it goes no step further before all stand still.
        if let Err(error) = raise(Signal::SIGSTOP) {
            tracing::error!(%error, "the process could not be stopped");
        }
    }

    fn stop_in(self: Arc<Self>, later: Duration) {
        self.went_on.store(false, Ordering::Relaxed);
        let stop = move || {
            std::thread::park_timeout(later);
            if self.went_on.load(Ordering::Relaxed) {
                self.left.store(1, Ordering::Relaxed);
            } else {
                self.stop();
            }
        };
        if let Err(error) = std::thread::Builder::new().name("fail-point".to_owned()).spawn(stop) {
            tracing::error!(%error, "the process could not be stopped");
        }
    }
}

/// Hears of moments inside calls of Kafka's client, too.
pub(crate) fn watch(kafka: &Kafka, moments: &Moments) {
    let moments = moments.clone();
    kafka.tell(move |inside, of| {
        let moment = match inside {
            Inside::Revoked => Moment::InRevoke,
            Inside::Committing => Moment::EndtxnSent,
        };
        // Groups are `PIPELINE.STAGE`, transactional ids have more behind it; the pipeline's name has points of its own.
        if let Some(stage) = of.split('.').find(|part| STAGES.contains(part)) {
            moments.reached(stage, moment);
        }
    });
}

/// Somebody whom a record that holds `text` kills.
fn poison(stage: String, text: String) -> Moments {
    tracing::warn!("a fail point is armed: this process will abort when {stage} reads `{text}`");
    Moments::shown_to(move |at, batch| {
        let holds = |value: &[u8]| value.windows(text.len()).any(|part| part == text.as_bytes());
        if at == stage && batch.iter().filter_map(|record| record.value).any(holds) {
            eprintln!("aborts at {stage}.reads:{text}");
            std::process::abort();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::arm;

    #[test]
    fn what_names_no_place_is_refused() {
        for text in ["", "close", "close.after_commit", "close.after_commit:0", "close.endtxn_sent:1+", "close.lunch:1", "after_commit:1"] {
            assert!(arm(text).is_err(), "{text}");
        }
        assert!(arm("fold.reads:").is_err());
        assert!(arm("close.after_commit:3").is_ok() && arm("close.endtxn_sent:3+2").is_ok() && arm("fold.reads:poison").is_ok());
    }
}
