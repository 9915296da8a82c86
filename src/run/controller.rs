//! Overrides in a running process: reads what was activated, and in the role `control` polls for what was published and activates it.
//!
//! One thread, since a store of bundles may make it wait. Whatever fails here leaves what is in force where it is: the last good version
//! stands in the control log, content and all, so the place of bundles may be away for days, restarts included. Several processes may have
//! the role; the log lets one of them write, and a version that stands in it is not written again.

use crate::failure::Failure;
use crate::settings::OverridesSettings;
use golden_bundle::poll::{Active, Bundle, Found, PollError, Poller};
use golden_bundle::s3::{S3Error, S3Settings};
use golden_bundle::signature::PublicKey;
use golden_overrides::archive::{ArchiveError, Files};
use golden_overrides::diagnostic::Diagnostic;
use golden_overrides::report::place;
use golden_overrides::set::{Merged, Rejected as Refused, Set};
use golden_pipeline::overrides::activate::{ActivateError, Activated, Content, activate};
use golden_pipeline::overrides::board::{Board, Polls};
use golden_pipeline::overrides::record::{Activate, Rejected};
use golden_pipeline::overrides::rules::Rules;
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::record::Topic;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the control log is read.
const LOOK: Duration = Duration::from_secs(1);

/// What the controller works with.
pub(super) struct Parts {
    pub(super) log: Arc<dyn Log>,
    pub(super) topic: Topic,
    pub(super) rules: Arc<Rules>,
    pub(super) board: Arc<Board>,
    pub(super) clock: Arc<dyn Clock>,
    /// From the append of an activation to the first window that it can touch, in ns.
    pub(super) lead: i64,
}

/// A thread that ends when this is dropped.
pub(super) struct Controller {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Running {
    parts: Parts,
    /// Where bundles are, and what asks there; in the role `control` only.
    poller: Option<(String, Poller)>,
    due: Duration,
    random: u64,
}

impl Controller {
    /// Starts it. With `settings` it polls.
    ///
    /// # Errors
    /// When settings cannot be used.
    pub(super) fn start(parts: Parts, settings: Option<&OverridesSettings>) -> Result<Self, Failure> {
        let made = settings.map(poller).transpose()?.flatten();
        let (stop, stopped) = std::sync::mpsc::channel();
        // Jitter need not be secret: two processes that start at the same nanosecond differ by their ids.
        let random = parts.clock.wall().cast_unsigned() ^ u64::from(std::process::id()) << 32;
        let run = move || {
            // What opens sockets is made on the thread that uses it.
            let poller = made.and_then(|open| open.poller().map_err(|error| tracing::error!(%error, "no overrides are polled")).ok());
            Running { parts, poller, due: Duration::ZERO, random }.run(&stopped);
        };
        let thread = std::thread::Builder::new().name("controller".to_owned()).spawn(run).map_err(Failure::failed)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the controller ended by a panic");
        }
    }
}

/// Settings that were checked.
struct Open {
    place: golden_bundle::place::Place,
    s3: S3Settings,
    key: Option<PublicKey>,
    poll: Duration,
}

impl Open {
    fn poller(self) -> Result<(String, Poller), S3Error> {
        let blob = self.place.open(&self.s3)?;
        Ok((self.place.to_string(), Poller::new(blob, self.key, self.poll)))
    }
}

fn poller(settings: &OverridesSettings) -> Result<Option<Open>, Failure> {
    let Some(from) = &settings.from else { return Ok(None) };
    let place = from.parse().map_err(|error| Failure::usage(format!("overrides.from: {error}")))?;
    let key = settings.public_key.as_ref().map(|key| key.parse::<PublicKey>());
    let key = key.transpose().map_err(|error| Failure::usage(format!("overrides.public_key: {error}")))?;
    let s3 = S3Settings {
        endpoint: settings.s3.endpoint.clone(),
        region: settings.s3.region.clone(),
        path_style: settings.s3.path_style,
        credentials: settings.s3.credentials.clone(),
        ..S3Settings::default()
    };
    Ok(Some(Open { place, s3, key, poll: settings.poll.0 }))
}

impl Running {
    fn run(mut self, stopped: &Receiver<()>) {
        loop {
            if let Err(error) = self.parts.board.refresh(&self.parts.rules) {
                tracing::warn!(%error, "the control log cannot be read: what is shown of overrides may be old");
            }
            let now = self.parts.clock.monotonic();
            if self.poller.is_some() && now >= self.due {
                self.poll();
            }
            if !matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                return;
            }
        }
    }

    fn poll(&mut self) {
        let Some((place, poller)) = &mut self.poller else { return };
        let Parts { board, clock, .. } = &self.parts;
        let newest = board.newest();
        let active = newest.map(|version| Active { version: version.said.version, sha256: version.said.bundle.clone() });
        let now = clock.wall();
        let found = poller.poll(now, active.as_ref());
        let before = board.polls();
        let failing = poller.failing().map(|failing| (failing.since, failing.error.to_string()));
        let last_success = if failing.is_none() { Some(now) } else { before.last_success };
        if let Some(at) = last_success {
            metrics::gauge!("golden_signals_override_last_success_timestamp_seconds").set(at as f64 / 1e9);
        }
        board.polled(Polls { place: place.clone(), last_success, failing });
        // SplitMix64's step: another number each time.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.due = clock.monotonic().saturating_add(poller.wait(mix(self.random)));
        match found {
            Ok(Found::New(bundle)) => {
                if let Some(why) = self.activate(&bundle) {
                    let Parts { board, .. } = &self.parts;
                    let polls = board.polls();
                    board.polled(Polls { failing: polls.failing.clone().or(Some((now, why))), ..polls });
                }
            }
            Ok(Found::Nothing | Found::Unchanged) => {}
            Err(error @ PollError::Store(_)) => tracing::warn!(%error, "overrides cannot be polled: what is in force stays"),
            Err(error) => {
                metrics::counter!("golden_signals_override_errors_total", "service_name" => "", "reason" => error.reason()).increment(1);
                tracing::error!(%error, "what was published is refused: what is in force stays");
            }
        }
    }

    /// Puts a bundle in force. Gives why it is not, where it is not.
    fn activate(&self, bundle: &Bundle) -> Option<String> {
        let Parts { log, topic, rules, board, lead, .. } = &self.parts;
        let version = bundle.publication.version;
        let done = activate(&**log, topic, rules, version, |versions| content(bundle, versions.last().map(|v| &**v), *lead));
        match done {
            Ok(Activated::Known) => {}
            Ok(Activated::Written) => {
                if let Err(error) = board.refresh(rules) {
                    tracing::warn!(%error, "the control log cannot be read");
                }
                for rejected in board.newest().iter().flat_map(|newest| &newest.said.rejected) {
                    let Rejected { path, line, reason } = rejected;
                    let service = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".yaml").to_owned();
                    metrics::counter!("golden_signals_override_errors_total", "service_name" => service, "reason" => "rejected")
                        .increment(1);
                    tracing::error!(%path, line, %reason, version, "an override is refused: its service keeps what it had");
                }
            }
            // Another process may be at it; the next poll finds the bundle again and sees how it went.
            Err(error @ ActivateError::Write(_)) => {
                tracing::info!(%error, version, "overrides were not activated: once more with the next poll")
            }
            Err(error) => {
                tracing::warn!(%error, version, "overrides were not activated: once more with the next poll");
                return Some(format!("version {version} is not in force: {error}"));
            }
        }
        None
    }
}

/// What becomes of a bundle: good files, the last good ones in place of bad ones, and those that are only tried.
fn content(
    bundle: &Bundle,
    before: Option<&golden_pipeline::overrides::activation::Activation>,
    lead: i64,
) -> Result<Content, ArchiveError> {
    let publication = &bundle.publication;
    let (live_before, shadow_before) = before.map(|version| (version.files().clone(), version.shadow_files().clone())).unwrap_or_default();
    // A file that is only tried leaves in force what its service has.
    let tried: Vec<String> = Set::compile(&bundle.files)
        .map(|set| set.files().filter(|(_, c)| c.result.as_ref().is_some_and(|o| o.shadow)).map(|(path, _)| path.to_owned()).collect())
        .unwrap_or_default();
    let (mut live_new, mut shadow_new) = (bundle.files.clone(), Files::new());
    for path in &tried {
        let Some(content) = live_new.remove(path) else { continue };
        shadow_new.insert(path.clone(), content);
        if let Some(live) = live_before.get(path) {
            live_new.insert(path.clone(), live.clone());
        }
    }
    let Merged { files: live, rejected } = Set::merged(&live_before, &live_new)?;
    // What was tried before stays while its file cannot be read.
    for Refused { path, .. } in &rejected {
        if let Some(content) = shadow_before.get(path) {
            shadow_new.insert(path.clone(), content.clone());
        }
    }
    let rejected = rejected.iter().map(|refused| rejected_of(refused, bundle.files.get(&refused.path))).collect();
    let said = Activate {
        version: publication.version,
        bundle: publication.sha256.clone(),
        live: String::new(),
        shadow: String::new(),
        from_window: i64::MIN,
        lead,
        published_by: publication.published_by.clone(),
        published_at: publication.published_at.clone(),
        commit: publication.commit.clone().unwrap_or_default(),
        rollback_of: publication.rollback_of,
        rejected,
    };
    Ok(Content { said, live, shadow: shadow_new })
}

fn rejected_of(refused: &Refused, content: Option<&Vec<u8>>) -> Rejected {
    let first = refused.diagnostics.iter().find(|found| found.is_error());
    let source = content.map(|content| String::from_utf8_lossy(content).into_owned()).unwrap_or_default();
    let line = first.map_or(1, |found| place(&source, found.span.start).line);
    Rejected { path: refused.path.clone(), line, reason: first.map(|found: &Diagnostic| found.message.clone()).unwrap_or_default() }
}

/// SplitMix64's finaliser.
fn mix(value: u64) -> u64 {
    let mut z = value;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
