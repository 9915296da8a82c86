//! All versions of overrides that the control log says, read once per process and shared by its tasks.
//!
//! Each task keeps a `Timeline`: what it has seen of them, and which of those is in force for a window. FOLD reads to the end of the log
//! and says in its messages how far it came; CLOSE reads exactly that far. Versions that no retained window can ask for are dropped from memory.
//! A version in the log that cannot be used changes nothing and is counted: what was in force stays.

use crate::emit::json::rfc3339;
use crate::names::SCHEMA;
use crate::overrides::activation::Activation;
use crate::overrides::record::{Activate, BadActivate, Pieces, SCHEMA_ACTIVATE, SCHEMA_CONTENT};
use golden_overrides::archive::Files;
use platform_core::control::ControlReader;
use platform_core::log::{Log, LogError};
use platform_core::planted::{Bug, planted};
use platform_core::record::{Offset, Record, Topic};
use platform_core::time::EventTime;
use platform_core::window::WindowLength;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Polls without a record, of 100 ms, that a task waits when it cannot go on without the control log: a minute.
const PATIENCE: u32 = 600;
/// How often it asks again after a failure, each of which takes seconds where brokers are away.
const TRIES: u32 = 10;
/// Polls without a record that a task waits when it can go on without.
const SHORT: u32 = 2;

/// Versions by the order of the log, newest last.
pub type Versions = Vec<Arc<Activation>>;

/// What the control log says, for all tasks of a process.
pub struct Rules {
    /// `None`: there is no control log, and nothing changes.
    shared: Option<Mutex<Shared>>,
    fixed: Versions,
}

struct Shared {
    reader: ControlReader,
    window: WindowLength,
    /// How far behind the newest decision a window can still be asked for, in ns.
    reach: i64,
    pieces: Pieces,
    versions: Versions,
}

impl Rules {
    /// No overrides, ever.
    #[must_use]
    pub fn none() -> Arc<Self> {
        Arc::new(Self { shared: None, fixed: Vec::new() })
    }

    /// Versions that are all there is, oldest first: replays and tests.
    #[must_use]
    pub fn fixed(versions: impl IntoIterator<Item = Activation>) -> Arc<Self> {
        Arc::new(Self { shared: None, fixed: versions.into_iter().map(Arc::new).collect() })
    }

    /// What the log of this topic says. `reach`: how old, in ns, a window can be that is still asked for.
    #[must_use]
    pub fn of_log(log: Arc<dyn Log>, topic: &Topic, window: WindowLength, reach: i64) -> Arc<Self> {
        let reader = ControlReader::new(log, topic);
        let shared = Shared { reader, window, reach, pieces: Pieces::default(), versions: Vec::new() };
        Arc::new(Self { shared: Some(Mutex::new(shared)), fixed: Vec::new() })
    }

    /// Whether there is a log that can change anything.
    #[must_use]
    pub fn can_change(&self) -> bool {
        self.shared.is_some()
    }

    /// Reads to the end of the control log, and takes over what is new. `None`: the end is not known or did not come in time.
    ///
    /// # Errors
    /// When the log cannot be read; what was known stays.
    pub fn refresh(&self, timeline: &mut Timeline) -> Result<Option<()>, LogError> {
        let Some(shared) = &self.shared else {
            timeline.take(&self.fixed, Offset(0));
            return Ok(Some(()));
        };
        let mut shared = lock(shared);
        let Shared { reader, .. } = &mut *shared;
        let mut records = Vec::new();
        let read = reader.read_to_end(SHORT, &mut |record| records.push(Kept::of(record)));
        shared.took(records);
        let done = read?;
        let position = shared.reader.position();
        timeline.take(&shared.versions, position);
        Ok(done.then_some(()))
    }

    /// Takes over what stands in the control log below `position`, and nothing that stands behind it. Waits for it up to a minute.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn up_to(&self, position: Offset, timeline: &mut Timeline) -> Result<(), LogError> {
        let Some(shared) = &self.shared else {
            timeline.take(&self.fixed, position);
            return Ok(());
        };
        let mut shared = lock(shared);
        let mut tries = 0;
        while shared.reader.position() < position {
            let Shared { reader, .. } = &mut *shared;
            let mut records = Vec::new();
            let read = reader.read_to(position, PATIENCE, &mut |record| records.push(Kept::of(record)));
            shared.took(records);
            tries += 1;
            match read {
                Ok(true) => {}
                Ok(false) => return Err(LogError::Engine(format!("the control log was not read up to {position} within a minute"))),
                Err(error) if tries > TRIES => return Err(error),
                Err(error) => tracing::warn!(%error, "the control log cannot be read: once more"),
            }
        }
        let seen = if planted(Bug::ControlToItsEnd) { Offset(u64::MAX) } else { position };
        timeline.take(&shared.versions, seen);
        Ok(())
    }
}

/// A record, kept while the reader is borrowed.
struct Kept {
    position: Offset,
    append: i64,
    activate: bool,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Kept {
    fn of(record: &Record<'_>) -> Option<Self> {
        let schema = record.headers.get(SCHEMA)?;
        let activate = schema == SCHEMA_ACTIVATE.as_bytes();
        (activate || schema == SCHEMA_CONTENT.as_bytes()).then(|| Self {
            position: record.offset.next(),
            append: record.append_time.map_or(0, |time| time.0),
            activate,
            key: record.key.unwrap_or_default().to_vec(),
            value: record.value.unwrap_or_default().to_vec(),
        })
    }
}

impl Shared {
    fn took(&mut self, records: Vec<Option<Kept>>) {
        for record in records.into_iter().flatten() {
            if !record.activate {
                self.pieces.add(&record.key, &record.value);
                continue;
            }
            match self.compiled(&record) {
                Ok(activation) => {
                    let (version, from) = (activation.said.version, rfc3339(activation.from));
                    tracing::info!(version, from, "overrides activated");
                    self.versions.push(Arc::new(activation));
                    self.forget(record.append);
                }
                Err(error) => {
                    metrics::counter!("golden_signals_override_errors_total", "service_name" => "", "reason" => "activation").increment(1);
                    tracing::error!(%error, position = record.position.0, "an activation cannot be used: what is in force stays");
                }
            }
            self.pieces.clear();
        }
    }

    fn compiled(&self, record: &Kept) -> Result<Activation, BadActivate> {
        let said = Activate::decode(&record.value)?;
        let (live, shadow): (Files, Files) = (self.pieces.files(&said.live)?, self.pieces.files(&said.shadow)?);
        let from = said.effective(record.append, self.window.nanos());
        let content = said.live.clone();
        Activation::compile(record.position, from, said, live, shadow).map_err(|_| BadActivate::Content(content))
    }

    /// Drops versions that a newer one has replaced for every window that can still be asked for.
    fn forget(&mut self, now: i64) {
        let oldest = now.saturating_sub(self.reach);
        let replaced = self.versions.iter().rposition(|version| version.from.0 <= oldest).unwrap_or(0);
        self.versions.drain(..replaced);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What one task has seen of the control log.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    position: Offset,
    versions: Versions,
    changes: u64,
}

impl Timeline {
    fn take(&mut self, versions: &[Arc<Activation>], position: Offset) {
        let seen = versions.iter().filter(|version| version.position <= position);
        let newest = |versions: &mut dyn Iterator<Item = &Arc<Activation>>| versions.last().map(|version| version.position);
        if newest(&mut seen.clone()) != newest(&mut self.versions.iter()) {
            self.versions = seen.cloned().collect();
            self.changes += 1;
        }
        self.position = self.position.max(position);
    }

    /// How far the control log was read.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.position
    }

    /// Rises whenever there is a new version.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Versions that were seen, newest last.
    #[must_use]
    pub fn versions(&self) -> &[Arc<Activation>] {
        &self.versions
    }

    /// Whether there is nothing that could be in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// The newest version that is in force at `time`.
    #[must_use]
    pub fn in_force(&self, time: EventTime) -> Option<&Arc<Activation>> {
        self.versions.iter().rev().find(|version| version.from <= time)
    }

    /// The stretch of time around `time` in which the same version is in force.
    #[must_use]
    pub fn stretch(&self, time: EventTime) -> (i64, i64) {
        let starts = || self.versions.iter().map(|version| version.from.0);
        (
            starts().filter(|from| *from <= time.0).max().unwrap_or(i64::MIN),
            starts().filter(|from| *from > time.0).min().unwrap_or(i64::MAX),
        )
    }
}
