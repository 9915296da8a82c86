//! Colours: which deployment this process computes, begun where it must be, and whether it has ended meanwhile.
//!
//! The control log says which deployments there are. A process joins the newest of its colour that has not ended, when that one is live or
//! gives the same results; otherwise it begins another one. A deployment that has ended is joined by nobody: other deployments answer for its
//! windows, so whoever computes it stops and says so.
//! A new deployment reads its sources from `retain` and `skew` ago and answers for windows from `skew` behind that place on: an event is taken
//! at most `skew` before it happens, so it sees those windows whole, whatever the clock of this process shows (GUARANTEES 3.5).

use crate::failure::Failure;
use golden_pipeline::identity::sortable;
use golden_router::control::{GiveError, OrdersReader, give};
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{Entry, FlipKind, Order, Orders, Start};
use platform_core::clock::Clock;
use platform_core::log::{Log, LogError, Positions};
use platform_core::record::{Offset, Partition, Topic};
use platform_core::time::{AppendTime, EventTime};
use platform_core::window::WindowLength;
use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

#[cfg(test)]
mod tests;

/// How often the control log is read.
const LOOK: Duration = Duration::from_millis(500);
/// How often an order is tried while others write; each time what they wrote is looked at first.
const TRIES: u32 = 20;
/// Between two of these.
const PAUSE: Duration = Duration::from_millis(250);

/// What decides about joining and beginning.
pub(super) struct Parts<'a> {
    pub(super) log: Arc<dyn Log>,
    pub(super) pipeline: &'a str,
    pub(super) control: &'a Topic,
    /// Topics that events come from.
    pub(super) sources: Vec<Topic>,
    /// Where the partials of a colour are.
    pub(super) partials: &'a dyn Fn(Colour) -> Topic,
    pub(super) clock: &'a dyn Clock,
    pub(super) window: WindowLength,
    /// How far back the log is read, in ns, and how far ahead of its append an event may be.
    pub(super) retain: i64,
    pub(super) skew: i64,
    /// Version of the program and of what it is set to.
    pub(super) version: &'a str,
    /// Whether a deployment that could be joined is replaced, unless it is live.
    pub(super) fresh: bool,
    /// Who begins it.
    pub(super) by: String,
}

/// The deployment of a colour that this process computes: one that is there, or a new one.
///
/// # Errors
/// When the control log or a source cannot be read, or others write without end.
pub(super) fn join_or_begin(parts: &Parts<'_>, colour: Colour) -> Result<Start, Failure> {
    let cannot = |error: &dyn std::fmt::Display| Failure::missing(format!("no deployment of {colour} can be joined or begun: {error}"));
    let mut reader = OrdersReader::new(Arc::clone(&parts.log), parts.control);
    let mut last = None;
    for _ in 0..TRIES {
        if !reader.refresh().map_err(|error| cannot(&error))? {
            last = Some("the control log was not read to its end in time".to_owned());
            continue;
        }
        if let Some(unusable) = reader.unusable() {
            return Err(cannot(&unusable));
        }
        // Most starts find what they look for; only who has something to write fences those who write.
        let why = match choose(reader.orders(), colour, parts.version, parts.fresh) {
            Choice::Join(start) => return Ok(joined(start, parts.version)),
            Choice::Begin(why) => why,
        };
        let beginning = beginning(parts).map_err(|error| cannot(&error))?;
        let used = is_used(parts, colour).map_err(|error| cannot(&error))?;
        let mut found = None;
        let decide = |orders: &Orders| match choose(orders, colour, parts.version, parts.fresh) {
            Choice::Join(start) => {
                found = Some(start);
                None
            }
            Choice::Begin(_) => {
                let first = orders.next_epoch() == 1;
                // What no order speaks of carries the first epoch and has published what it closed: it counts as a deployment.
                let epoch = orders.next_epoch() + u32::from(first && used);
                let (owned_from, positions) = match &beginning {
                    // The very first one answers for everything.
                    _ if first && !used => (0, Vec::new()),
                    // So does one that reads everything there ever was; but not for what nobody knows how it was published.
                    Beginning { all: true, positions, .. } if !first => (0, positions.clone()),
                    Beginning { owned_from, positions, .. } => (*owned_from, positions.clone()),
                };
                let deployment = Deployment { colour, epoch };
                let start = Start { deployment, version: parts.version.to_owned(), owned_from, positions };
                found = Some(start.clone());
                Some(Entry { by: parts.by.clone(), reason: why.to_owned(), order: Order::Start(start) })
            }
        };
        match (give(&parts.log, parts.pipeline, parts.control, decide), found) {
            (Ok(Some(_)), Some(start)) => {
                tracing::info!(deployment = %start.deployment, version = start.version, reason = why, "a deployment begins");
                return Ok(start);
            }
            (Ok(None), Some(start)) => return Ok(joined(start, parts.version)),
            // Somebody else wrote meanwhile, or nobody knows whether this was: the log says.
            (Err(error @ (GiveError::Write(_) | GiveError::Passed(_) | GiveError::End)), _) => last = Some(error.to_string()),
            (Err(error @ (GiveError::Read(_) | GiveError::Writer(_) | GiveError::Unusable(_))), _) => return Err(cannot(&error)),
            (Ok(_), None) => {}
        }
        std::thread::park_timeout(PAUSE);
    }
    Err(cannot(&last.unwrap_or_default()))
}

/// What a process does about its colour.
#[derive(Debug, PartialEq)]
enum Choice {
    /// Computes what is there.
    Join(Start),
    /// Begins another one, for this reason.
    Begin(&'static str),
}

fn choose(orders: &Orders, colour: Colour, version: &str, fresh: bool) -> Choice {
    let Some(start) = orders.running(colour) else { return Choice::Begin("none of its colour runs") };
    let live = orders.live() == Some(start.deployment);
    match () {
        () if live => Choice::Join(start.clone()),
        () if fresh => Choice::Begin("asked for with --fresh"),
        () if start.version != version => Choice::Begin("another version of the program or its settings"),
        () => Choice::Join(start.clone()),
    }
}

fn joined(start: Start, version: &str) -> Start {
    if start.version != version {
        let (deployment, there) = (start.deployment, &start.version);
        tracing::warn!(%deployment, there, here = version, "joins a live deployment that was begun by another version or other settings");
    }
    start
}

/// Where a deployment begins.
struct Beginning {
    /// First window that is seen whole whatever lies before.
    owned_from: u64,
    /// Topic, partition and offset of each place to read from.
    positions: Vec<(String, u32, u64)>,
    /// Whether nothing lies before, nor ever did.
    all: bool,
}

/// Where sources are read from now.
fn beginning(parts: &Parts<'_>) -> Result<Beginning, LogError> {
    // A clock that is wrong makes it more or less that is read, and not wrong.
    let from = AppendTime(parts.clock.wall().saturating_sub(parts.retain).saturating_sub(parts.skew));
    let mut positions = Vec::new();
    let mut all = true;
    for topic in &parts.sources {
        for index in 0..parts.log.partitions(topic)? {
            let at = parts.log.offset_at(&Partition::new(topic, index), from)?;
            all &= at == Offset(0);
            positions.push((topic.to_string(), index, at.0));
        }
    }
    Ok(Beginning { owned_from: owned_from(from, parts.skew, parts.window), positions, all })
}

/// The first window that starts `skew` behind a time or later.
fn owned_from(from: AppendTime, skew: i64, length: WindowLength) -> u64 {
    let whole = EventTime(from.0.saturating_add(skew));
    let window = length.window_of(whole);
    u64::from_be_bytes(sortable(if window.start == whole { window.start } else { window.end }))
}

/// Whether there are partials of the colour.
fn is_used(parts: &Parts<'_>, colour: Colour) -> Result<bool, LogError> {
    let topic = (parts.partials)(colour);
    for index in 0..parts.log.partitions(&topic)? {
        if parts.log.bounds(&Partition::new(&topic, index))?.1 > Offset(0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Positions of an order as readers take them.
pub(super) fn positions(start: &Start) -> Positions {
    start.positions.iter().map(|(topic, index, at)| (Partition::new(&Topic::new(topic), *index), Offset(*at))).collect()
}

/// What the control log says of the deployments of this process, as of the last look.
#[derive(Default)]
pub(super) struct Standing {
    live: Mutex<Option<Deployment>>,
    ended: OnceLock<String>,
}

impl Standing {
    /// What is live.
    pub(super) fn live(&self) -> Option<Deployment> {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this process has nothing more to compute, and what to do.
    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.get().map(String::as_str)
    }

    fn look(&self, orders: &Orders, own: &[Deployment]) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = orders.live();
        if let Some(text) = own.iter().find_map(|deployment| end_of(orders, *deployment)) {
            self.ended.get_or_init(|| text);
        }
    }
}

/// Why a deployment has ended, if it has.
fn end_of(orders: &Orders, own: Deployment) -> Option<String> {
    if !orders.is_abandoned(own) {
        return None;
    }
    let colour = own.colour;
    let flip = orders.flips().iter().find(|flip| flip.order.from == own && flip.order.kind == FlipKind::Failure);
    Some(match (orders.running(colour), flip) {
        (Some(newer), _) => format!(
            "deployment {own} has ended: {} has taken its place, begun with version {}. A process of that version that is started with \
             --colour {colour} joins it; one of another version begins a deployment of its own and ends that one",
            newer.deployment, newer.version
        ),
        (None, Some(flip)) => format!(
            "deployment {own} has ended: flip {} to {} gave it up ({}). Results are those of {} now. Started again, this process begins a \
             new deployment of {colour} beside it",
            flip.order.flip, flip.order.to, flip.reason, flip.order.to
        ),
        (None, None) => {
            format!("deployment {own} has ended: it was given up. Started again, this process begins a new deployment of {colour}")
        }
    })
}

/// A thread that reads the control log until this is dropped.
pub(super) struct Lookout {
    standing: Arc<Standing>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Lookout {
    /// Starts it, for the deployments of this process.
    ///
    /// # Errors
    /// When there is no thread.
    pub(super) fn start(log: Arc<dyn Log>, control: &Topic, own: Vec<Deployment>) -> std::io::Result<Self> {
        let standing = Arc::new(Standing::default());
        let (stop, stopped) = std::sync::mpsc::channel();
        let mut reader = OrdersReader::new(log, control);
        let shown = Arc::clone(&standing);
        let body = move || {
            loop {
                match reader.refresh() {
                    Ok(_) => shown.look(reader.orders(), &own),
                    // It goes on with what it was told to; workers forward no more of it than the log says.
                    Err(error) => tracing::warn!(%error, "the control log cannot be read"),
                }
                if !matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("lookout".to_owned()).spawn(body)?;
        Ok(Self { standing, stop: Some(stop), thread: Some(thread) })
    }

    /// What it has found.
    pub(super) fn standing(&self) -> Arc<Standing> {
        Arc::clone(&self.standing)
    }
}

impl Drop for Lookout {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the lookout ended by a panic");
        }
    }
}
