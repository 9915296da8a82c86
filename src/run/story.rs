//! The story of `golden run --demo --flip`: a release of green is flipped to, its health fails, and the controller flips back by itself.
//!
//! The release has a mistake that shows some time after the flip: it cannot read a part of the events any more, and puts them aside as dead
//! letters. The controller asks both colours by HTTP how they are (`router.health`), as it would in a cluster, and hears of it there. Green's
//! tasks are a run of their own, which ends once green is given up, as a process of its own would.
//! What this does not do: it tells the controller nothing, and orders no flip back.

use crate::router::door::Door;
use golden_http::{RouterDoor, RouterError, RouterOrder, RouterRequest};
use golden_pipeline::decode::{Decoder, Input, Items, MakeDecoder, Reason, Skip};
use golden_pipeline::event::Event;
use golden_pipeline::resource::Gauge;
use golden_router::controller::Answer;
use golden_router::deployment::Colour;
use golden_router::status::{FlipStatus, Status};
use platform_core::clock::Clock;
use platform_runtime::runtime::{Running, STOP_DEADLINE};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it looks how far things are.
const LOOK: Duration = Duration::from_millis(500);
/// The colour whose release fails.
pub(super) const RELEASE: Colour = Colour::Green;

/// The mistake of the release. Until it shows, the release is as good as what it replaces.
#[derive(Clone, Default)]
pub(super) struct Mistake(Arc<AtomicBool>);

impl Mistake {
    /// Decoders that have it.
    pub(super) fn within(&self, decoders: &MakeDecoder) -> MakeDecoder {
        let (decoders, mistake) = (Arc::clone(decoders), self.clone());
        Arc::new(move |wanted| Box::new(Mistaken { decoder: decoders(wanted), mistake: mistake.clone() }))
    }
}

/// A decoder with the mistake.
struct Mistaken {
    decoder: Box<dyn Decoder>,
    mistake: Mistake,
}

impl Decoder for Mistaken {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        if self.mistake.0.load(Ordering::Relaxed) {
            self.decoder.decode(input, &mut Misread { items, record: input.value });
        } else {
            self.decoder.decode(input, items);
        }
    }
}

/// Items of which every fourth event is refused.
struct Misread<'a> {
    items: &'a mut dyn Items,
    record: &'a [u8],
}

impl Items for Misread<'_> {
    fn event(&mut self, at: u32, event: &Event<'_>) {
        // By the event alone: whoever reads it once more refuses the same.
        let drawn = event.event_time.0.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62;
        if drawn == 0 {
            let item = if event.raw.is_empty() { self.record } else { event.raw };
            self.items.dead(at, Reason::StatusInvalid, "the demo's release cannot read this status", item);
        } else {
            self.items.event(at, event);
        }
    }

    fn skipped(&mut self, at: u32, reason: Skip) {
        self.items.skipped(at, reason);
    }

    fn gauge(&mut self, gauge: &Gauge<'_>) {
        self.items.gauge(gauge);
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, bytes: &[u8]) {
        self.items.dead(at, reason, detail, bytes);
    }
}

/// Tells it until it is dropped.
pub(super) struct Story {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Story {
    /// Begins with both colours running; `green` is the run of the release, which has this mistake.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(door: Arc<Door>, green: Running, mistake: Mistake, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let body = move || {
            let begun = clock.monotonic();
            let teller = Teller { door, clock, begun, stopped };
            // Nothing to tell any more: the program ends.
            let _ = teller.tell(green, &mistake);
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
    fn tell(&self, mut green: Running, mistake: &Mistake) -> Option<()> {
        let back = self.release().and_then(|flip| self.taken_back(flip, mistake));
        // As a process ends whose deployment was given up, or whose program is told to stop.
        if let Err(error) = green.stop(STOP_DEADLINE / 2) {
            tracing::warn!(%error, "the release did not stop in order");
        }
        let back = back?;
        self.say(&format!("{} was given up, so its tasks have ended", back.from));
        self.proved(back.flip)?;
        self.say(&format!("{} is live again; `golden router status` and `golden router log` show how it came", back.to));
        Some(())
    }

    /// Lets the mistake show, and waits for the flip behind this one.
    fn taken_back(&self, flip: u64, mistake: &Mistake) -> Option<FlipStatus> {
        mistake.0.store(true, Ordering::Relaxed);
        self.say(
            "the health of the release fails: it cannot read every fourth event any more, and puts it aside. Nobody tells the controller",
        );
        let back = self.until(|status| newest(status).filter(|newest| newest.flip > flip).cloned())?;
        self.say(&format!("flip {}, {} to {}, ordered by {}: {}", back.flip, back.from, back.to, back.by, back.reason));
        Some(back)
    }

    /// Flips to the release once it is fit, and waits for the receipt. Gives the number of the flip.
    fn release(&self) -> Option<u64> {
        let live = self.until(|status| status.live)?;
        if live.colour != RELEASE {
            self.say(&format!(
                "{live} is live, a release of {RELEASE} computes the same windows beside it; it is flipped to once it is warm"
            ));
            // Before that a flip would change nothing that anybody sees.
            self.until(|status| status.colours.iter().all(|colour| colour.closed.is_some()).then_some(()))?;
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
