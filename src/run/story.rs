//! The story of `golden run --demo --flip`: a release of green is flipped to, dies, and the controller flips back by itself.
//!
//! Green's tasks are a run of their own, so that they can be dropped as a crash would drop them: what they had not committed is gone, and
//! nobody is told. The controller sees of it what it sees of a process that died. What this does not do: it orders no flip back.

use crate::router::door::Door;
use golden_http::{RouterDoor, RouterError, RouterOrder, RouterRequest};
use golden_router::controller::Answer;
use golden_router::deployment::Colour;
use golden_router::status::{FlipStatus, Status};
use platform_core::clock::Clock;
use platform_runtime::runtime::{Running, STOP_DEADLINE};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks how far things are.
const LOOK: Duration = Duration::from_millis(500);
/// The colour whose release fails.
pub(super) const RELEASE: Colour = Colour::Green;

/// Tells it until it is dropped.
pub(super) struct Story {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Story {
    /// Begins with both colours running; `green` is the run of the release.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(door: Arc<Door>, green: Running, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let body = move || {
            let begun = clock.monotonic();
            let teller = Teller { door, clock, begun, stopped };
            // Nothing to tell any more: the program ends.
            let _ = teller.tell(green);
        };
        let thread = std::thread::Builder::new().name("story".to_owned()).spawn(body)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the demo's story ended by a panic");
        }
    }
}

struct Teller {
    door: Arc<Door>,
    clock: Arc<dyn Clock>,
    begun: Duration,
    stopped: Receiver<()>,
}

impl Teller {
    /// `None`: the program ends.
    fn tell(&self, mut green: Running) -> Option<()> {
        let released = self.release();
        if released.is_none() {
            // In order, as a program ends that nothing happened to.
            if let Err(error) = green.stop(STOP_DEADLINE / 2) {
                tracing::warn!(%error, "the release did not stop in order");
            }
        }
        let flip = released?;
        drop(green);
        self.say("the release fails: all tasks of green are gone, in the middle of a window. Nobody tells the controller");
        let back = self.until(|status| newest(status).filter(|newest| newest.flip > flip).cloned())?;
        self.say(&format!("flip {}, {} to {}, ordered by {}: {}", back.flip, back.from, back.to, back.by, back.reason));
        self.proved(back.flip)?;
        self.say(&format!("{} is live again; `golden router status` and `golden router diff` show how it stands", back.to));
        Some(())
    }

    /// Flips to the release once it is fit, and waits for the receipt. Gives the number of the flip.
    fn release(&self) -> Option<u64> {
        let live = self.until(|status| status.live)?;
        if live.colour != RELEASE {
            self.say(&format!(
                "{live} is live, a release of {RELEASE} computes the same windows beside it; it is flipped to once it is warm"
            ));
            let mut missing = String::new();
            while !self.order(true, &mut missing) || !self.order(false, &mut missing) {
                self.pause()?;
            }
        }
        let flip = self.until(|status| newest(status).filter(|newest| newest.to.colour == RELEASE).cloned())?;
        self.say(&format!("flip {}, {} to {}, is ordered: a cut between two windows in each partition", flip.flip, flip.from, flip.to));
        self.proved(flip.flip)?;
        Some(flip.flip)
    }

    /// Asks for the flip; gives whether it is granted. What it still waits for is said when that changes.
    fn order(&self, dry_run: bool, missing: &mut String) -> bool {
        let order = RouterOrder::Flip { to: Some(RELEASE.to_string()), accept_difference: false };
        let request = RouterRequest { by: "the demo".to_owned(), reason: format!("a release of {RELEASE}"), dry_run, order };
        let answer = self
            .door
            .ask(&request)
            .and_then(|value| serde_json::from_value::<Answer>(value).map_err(|error| RouterError::Away(error.to_string())));
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                tracing::debug!(?error, "not yet");
                return false;
            }
        };
        let refused = answer.preconditions.iter().find(|condition| condition.refused.is_some());
        let waits = refused.map(|condition| condition.what.clone()).unwrap_or_default();
        if !answer.granted && waits != *missing {
            self.say(&format!("not yet: waits until {waits}"));
            *missing = waits;
        }
        answer.granted
    }

    /// Waits for the receipt of a flip and says what it proves.
    fn proved(&self, flip: u64) -> Option<()> {
        let proved = |status: &Status| {
            let flip = status.flips.iter().find(|known| known.flip == flip)?;
            Some((flip.lost_and_doubled?, flip.gap, flip.freshness))
        };
        let ((lost, doubled), gap, freshness) = self.until(proved)?;
        let seconds = |value: Option<f64>| value.map_or_else(|| "unknown".to_owned(), |value| format!("{value:.1} s"));
        self.say(&format!(
            "receipt {flip}: lost {lost}, doubled {doubled}, gap {}, worst freshness {}; `golden router receipt {flip} --verify` counts again",
            seconds(gap),
            seconds(freshness)
        ));
        Some(())
    }

    /// Waits for something to be seen.
    fn until<T>(&self, seen: impl Fn(&Status) -> Option<T>) -> Option<T> {
        loop {
            let status = self.door.status().ok().and_then(|value| serde_json::from_value::<Status>(value).ok());
            if let Some(found) = status.as_ref().and_then(&seen) {
                return Some(found);
            }
            self.pause()?;
        }
    }

    /// `None`: the program ends.
    fn pause(&self) -> Option<()> {
        matches!(self.stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)).then_some(())
    }

    fn say(&self, text: &str) {
        eprintln!("  {:>7} s  {text}", self.clock.monotonic().saturating_sub(self.begun).as_secs());
    }
}

fn newest(status: &Status) -> Option<&FlipStatus> {
    status.flips.first()
}
