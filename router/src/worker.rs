//! A router worker, a keyed stage: results of one colour in, the public topic out, partition by partition.
//!
//! The *published map* (identity → revision, totals) says what stands on the public topic. With one colour it is a fold over the input, since
//! input, output and map move in one transaction. Bytes pass through undecoded; the revision's digit is replaced in the value.
//! What this does not do: it makes no result, judges no window, and does not choose between colours.

use crate::rule::{Decision, Published, decide};
use platform_core::codec::CodecError;
use platform_core::growth::{FORGOTTEN_HEADER, GROWTH_HEADER, Growth, IDENTITY_HEADER, REVISION_HEADER};
use platform_core::map::Map;
use platform_core::reach::Reach;
use platform_core::record::{NewRecord, Offset, Partition, Record, Topic};
use platform_core::stage::{Emit, Emitted, KeyedStage, StageError};
use platform_core::store::{Changes, Store};

/// Number of the state's format; another one starts from an empty store and replays.
pub const FORMAT: u32 = 1;
/// Header that says which form a value has.
const SCHEMA: &str = "schema";
/// Prefix of keys of the published map: `1 | identity` → `Published`. Identities sort by window, so old ones leave as a range.
const PUBLISHED: u8 = 1;
/// Key of the newest progress record's identity.
const PROGRESS: [u8; 1] = [2];
/// Key of how far back in the input the published map reaches.
const REACH: [u8; 1] = [3];

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Label `pipeline` of its metrics.
    pub pipeline: String,
    /// Schema → public topic. Records of another schema stop the worker: it must not lose what it does not know.
    pub routes: Vec<(&'static str, Topic)>,
    /// Schema of progress records, which number no revision.
    pub progress: &'static str,
    /// How long an identity is remembered after its window's start at least, in ns; longer while results of it may come. 0: until the
    /// process ends, in memory only, which is for bounded runs without corrections.
    pub remember: i64,
}

/// One worker, for one partition.
pub struct Worker {
    settings: WorkerSettings,
    routes: Vec<(&'static str, Partition)>,
    /// The published map, as far as it is not in the store.
    changed: Map<Vec<u8>, Published>,
    progress: Option<Vec<u8>>,
    unsaved_progress: bool,
    /// Results of windows before this one cannot come any more, as the newest progress record says.
    forgotten: u64,
    reach: Reach,
    /// The record to forward: encoded once it is decided.
    due: Option<Due>,
    value: Vec<u8>,
}

struct Due {
    route: usize,
    revision: Option<u64>,
    key: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    value: Vec<u8>,
}

impl Worker {
    /// A worker of partition `partition`.
    #[must_use]
    pub fn new(settings: WorkerSettings, partition: u32) -> Self {
        let routes = settings.routes.iter().map(|(schema, topic)| (*schema, Partition::new(topic, partition))).collect();
        Self {
            settings,
            routes,
            changed: Map::default(),
            progress: None,
            unsaved_progress: false,
            forgotten: u64::MAX,
            reach: Reach::default(),
            due: None,
            value: Vec::new(),
        }
    }

    fn take(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: record.offset, source };
        let header = |name| record.headers.get(name).ok_or(unreadable(CodecError::Truncated));
        let schema = header(SCHEMA)?;
        let identity = header(IDENTITY_HEADER)?;
        let value = record.value.ok_or(unreadable(CodecError::Truncated))?;
        if schema == self.settings.progress.as_bytes() {
            self.take_progress(record, identity, value);
            return Ok(());
        }
        if self.settings.remember > 0 {
            self.reach.note(window_of(identity), record.offset);
        }
        let route = self.routes.iter().position(|(name, _)| name.as_bytes() == schema);
        let route = route.ok_or(unreadable(CodecError::Unknown { what: "schema of length", value: schema.len() as u64 }))?;
        let growth = Growth::decode(header(GROWTH_HEADER)?).map_err(unreadable)?;
        let before = match self.changed.get(identity) {
            Some(published) => Some(published.clone()),
            None if self.settings.remember == 0 => None,
            None => store.get(&published_key(identity))?.map(|bytes| Published::decode(&bytes)).transpose().map_err(unreadable)?,
        };
        let name = match decide(before.as_ref(), &growth) {
            Decision::Publish(revision) => {
                if self.settings.remember > 0 {
                    self.changed.insert(identity.to_vec(), Published::of(revision, &growth));
                }
                self.value.clear();
                splice(value, growth.revision_at, revision, &mut self.value);
                self.due = Some(Due {
                    route,
                    revision: Some(revision),
                    key: record.key.map(<[u8]>::to_vec),
                    headers: owned(record),
                    value: self.value.clone(),
                });
                return Ok(());
            }
            Decision::Same => "same",
            Decision::Stale => "stale",
            Decision::Conflict => {
                metrics::counter!("platform_invariant_violations_total", "pipeline" => self.settings.pipeline.clone(), "name" => "I17 growing").increment(1);
                tracing::error!(offset = record.offset.0, "two results of one identity cannot both be right; the first stands");
                "conflict"
            }
        };
        metrics::counter!("platform_router_passed_over_total", "pipeline" => self.settings.pipeline.clone(), "reason" => name).increment(1);
        Ok(())
    }

    /// A progress record goes out if it is newer than the last one, into the first route's topic.
    fn take_progress(&mut self, record: &Record<'_>, identity: &[u8], value: &[u8]) {
        if self.progress.as_deref().is_some_and(|last| last >= identity) {
            return;
        }
        self.progress = Some(identity.to_vec());
        self.unsaved_progress = true;
        self.forgotten = record.headers.get(FORGOTTEN_HEADER).map_or(u64::MAX, window_of);
        self.due = Some(Due { route: 0, revision: None, key: None, headers: owned(record), value: value.to_vec() });
    }
}

/// Replaces the digit at `at` by a number. A position outside of the value leaves it as it is.
fn splice(value: &[u8], at: usize, revision: u64, out: &mut Vec<u8>) {
    match (value.get(..at), value.get(at + 1..)) {
        (Some(head), Some(tail)) => {
            out.extend_from_slice(head);
            out.extend_from_slice(revision.to_string().as_bytes());
            out.extend_from_slice(tail);
        }
        _ => out.extend_from_slice(value),
    }
}

fn owned(record: &Record<'_>) -> Vec<(String, Vec<u8>)> {
    record.headers.iter().filter(|(name, _)| *name != GROWTH_HEADER).map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
}

fn published_key(identity: &[u8]) -> Vec<u8> {
    let mut key = vec![PUBLISHED];
    key.extend_from_slice(identity);
    key
}

/// The window of an identity: its first eight bytes, which rise with it.
fn window_of(identity: &[u8]) -> u64 {
    identity.first_chunk::<8>().map_or(0, |start| u64::from_be_bytes(*start))
}

impl KeyedStage for Worker {
    fn restore(&mut self, store: &dyn Store, _committed: &[u8]) -> Result<(), StageError> {
        self.progress = store.get(&PROGRESS)?;
        if let Some(reach) = store.get(&REACH)? {
            self.reach = Reach::decode(&reach).map_err(|source| StageError::Unreadable { offset: Offset(0), source })?;
        }
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        self.take(record, store)
    }

    fn emit_due(&mut self, _budget: usize, _store: &dyn Store, out: &mut dyn Emit) -> Result<Emitted, StageError> {
        let Some(due) = self.due.take() else { return Ok(Emitted::All) };
        let number = due.revision.map(|r| r.to_string());
        let mut headers: Vec<(&str, &[u8])> = due.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        if let Some(number) = &number {
            headers.push((REVISION_HEADER, number.as_bytes()));
        }
        if let Some((_, to)) = self.routes.get(due.route) {
            out.append(to, NewRecord { key: due.key.as_deref(), headers: &headers, value: Some(&due.value) })?;
        }
        Ok(Emitted::All)
    }

    fn skip_output(&mut self) {
        self.due = None;
    }

    fn replay_from(&self, position: Offset) -> Offset {
        self.reach.replay_from(position)
    }

    fn changes(&mut self, changes: &mut Changes) {
        if self.settings.remember == 0 {
            return;
        }
        for (identity, published) in self.changed.drain() {
            changes.put(&published_key(&identity), published.encode());
        }
        if std::mem::take(&mut self.unsaved_progress)
            && let Some(progress) = &self.progress
        {
            let oldest = window_of(progress).saturating_sub(self.settings.remember.unsigned_abs());
            // A source partition that is far behind makes corrections of windows as old as itself.
            let oldest = oldest.min(self.forgotten);
            changes.put(&PROGRESS, progress.clone());
            changes.delete_range(&[PUBLISHED], &published_key(&oldest.to_be_bytes()));
            self.reach.forget_before(oldest);
        }
        changes.put(&REACH, self.reach.encode());
    }

    fn held(&self) -> usize {
        self.changed.len() * 256
    }
}

#[cfg(test)]
mod tests;
