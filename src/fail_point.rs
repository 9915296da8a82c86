//! Fail points: the process stops itself (SIGSTOP) at a named moment of a task's work, so that a test can kill it there, cut it off, or let
//! it sleep until others have taken over (docs/faults.md).
//!
//! Besides, `GOLDEN_FAIL_POINT=STAGE.reads:TEXT` makes of every record that holds the text one that kills: the process aborts before the stage
//! looks into it.
//!
//! Armed by `GOLDEN_FAIL_POINT=STAGE.MOMENT:N`: the N-th time that a task of the stage comes to the moment. The program says at its start
//! that it is armed. What happens while it is stopped is not decided here.

use crate::failure::Failure;
use nix::sys::signal::{Signal, raise};
use platform_runtime::moments::{Moment, Moments};
use std::sync::atomic::{AtomicU64, Ordering};

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
    let times: u64 = times.parse().ok().filter(|times| *times > 0).ok_or_else(|| bad("the number is not one from 1 on"))?;
    tracing::warn!("a fail point is armed: this process will stop at {text}");
    let (stage, name, left) = (stage.to_owned(), text.to_owned(), AtomicU64::new(times));
    Ok(Moments::told_to(move |at, reached| {
        if reached != moment || at != stage {
            return;
        }
        // Below 1 it was reached before.
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) == Ok(1) {
            eprintln!("stopped at {name}");
            // To this thread, not to any of the process: it goes no step further before all stand still.
            if let Err(error) = raise(Signal::SIGSTOP) {
                tracing::error!(%error, "the process could not be stopped");
            }
        }
    }))
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
        for text in ["", "close", "close.after_commit", "close.after_commit:0", "close.lunch:1", "after_commit:1"] {
            assert!(arm(text).is_err(), "{text}");
        }
        assert!(arm("fold.reads:").is_err());
        assert!(arm("close.after_commit:3").is_ok() && arm("fold.reads:poison").is_ok());
    }
}
