//! The committer: the one thread that writes. Queue in, batches out, answers back.
//!
//! Order within a round: check → write → visible → transactions answered → sync → sequence file → producers answered.

use super::Shared;
use crate::append_clock::AppendClock;
use crate::engine;
use crate::keys;
use crate::synced::SyncedFile;
use crate::wait::{lock, wait_while};
use platform_core::log::{AppendError, Claim, CommitError, Committed, LogError};
use platform_core::record::{NewRecord, Offset};
use platform_core::time::{AppendTime, nanos};
use rocksdb::WriteBatch;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;
use std::time::Duration;

/// Most bytes of one batch, unless a single request has more.
const MAX_BATCH: usize = 8 << 20;

/// Something for the committer to do, and where the answer goes. An answer that nobody waits for any more is dropped.
pub(super) enum Request {
    Append { records: Records, reply: SyncSender<Result<Offset, AppendError>> },
    Commit { transaction: Transaction, reply: SyncSender<Result<AppendTime, CommitError>> },
    Retention { reply: SyncSender<Result<(), LogError>> },
}

/// A transaction that waits for its commit.
pub(super) struct Transaction {
    pub(super) id: String,
    pub(super) epoch: u64,
    pub(super) claim: Claim,
    /// Slots and what is committed there.
    pub(super) read: Vec<(usize, Committed)>,
    pub(super) records: Records,
}

/// Encoded records, each with its slot, back to back.
#[derive(Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    /// Slot, and where the record ends in `bytes`.
    entries: Vec<(usize, usize)>,
}

impl Records {
    pub(super) fn push(&mut self, slot: usize, record: &NewRecord<'_>) {
        keys::put_record(&mut self.bytes, record);
        self.entries.push((slot, self.bytes.len()));
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

/// What waits for the committer.
#[derive(Default)]
pub(super) struct Queue {
    requests: VecDeque<(Request, usize)>,
    /// Bytes of all requests.
    pub(super) bytes: usize,
    /// Requests that do not wait for company.
    urgent: usize,
    /// Nothing more is taken.
    pub(super) closed: bool,
}

impl Queue {
    /// Adds a request of so many bytes.
    pub(super) fn push(&mut self, request: Request, bytes: usize) -> Result<(), LogError> {
        if self.closed {
            return Err(LogError::Closed);
        }
        self.bytes += bytes;
        self.urgent += usize::from(is_urgent(&request));
        self.requests.push_back((request, bytes));
        Ok(())
    }

    fn take(&mut self) -> Vec<Request> {
        let mut taken = Vec::new();
        let mut size = 0;
        while let Some((_, bytes)) = self.requests.front()
            && (taken.is_empty() || size + bytes <= MAX_BATCH)
            && let Some((request, bytes)) = self.requests.pop_front()
        {
            size += bytes;
            self.urgent -= usize::from(is_urgent(&request));
            taken.push(request);
        }
        self.bytes -= size;
        taken
    }
}

fn is_urgent(request: &Request) -> bool {
    !matches!(request, Request::Append { .. })
}

/// Starts the committer's thread.
pub(super) fn start(shared: &Arc<Shared>, clock: AppendClock, synced: SyncedFile) -> std::io::Result<JoinHandle<()>> {
    let retention_at = shared.clock.monotonic();
    let mut committer = Committer { shared: Arc::clone(shared), clock, synced, unsynced: false, retention_at };
    std::thread::Builder::new().name("log-committer".into()).spawn(move || committer.run())
}

struct Committer {
    shared: Arc<Shared>,
    clock: AppendClock,
    synced: SyncedFile,
    /// Whether anything was written since the last sync.
    unsynced: bool,
    /// When retention is due, in monotonic time.
    retention_at: Duration,
}

/// However the thread ends, nobody may wait for it forever.
impl Drop for Committer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.fail("the committer panicked");
        }
        let mut queue = lock(&self.shared.queue);
        queue.closed = true;
        queue.requests.clear();
        drop(queue);
        self.shared.closed.store(true, Ordering::Release);
        self.shared.wake_everybody();
    }
}

/// A round's answers, held back until they are true.
#[derive(Default)]
struct Answers {
    commits: Vec<SyncSender<Result<AppendTime, CommitError>>>,
    appends: Vec<(SyncSender<Result<Offset, AppendError>>, Offset)>,
}

impl Committer {
    fn run(&mut self) {
        while let Some(requests) = self.next() {
            self.retention_when_due();
            let (retentions, writes) = requests.into_iter().partition::<Vec<_>, _>(|r| matches!(r, Request::Retention { .. }));
            if !writes.is_empty() {
                self.round(writes);
            }
            for request in retentions {
                if let Request::Retention { reply } = request {
                    let checked = self.shared.check();
                    answer(&reply, checked.and_then(|()| self.enforce_retention()));
                }
            }
        }
        if self.unsynced && self.shared.failed.get().is_none() {
            self.sync();
        }
    }

    /// The next requests, none when it is time to look at the clock; `None` once the log is closed and nothing is left.
    fn next(&self) -> Option<Vec<Request>> {
        let (shared, settings) = (&self.shared, &self.shared.settings);
        let queue = lock(&shared.queue);
        let queue = wait_while(&shared.arrived, queue, settings.retention_every, |q| q.requests.is_empty() && !q.closed);
        let mut queue = if queue.requests.is_empty() {
            queue
        } else {
            let company = |q: &mut Queue| q.bytes < settings.group_commit_bytes && q.urgent == 0 && !q.closed;
            wait_while(&shared.arrived, queue, settings.group_commit_wait, company)
        };
        if queue.closed && queue.requests.is_empty() { None } else { Some(queue.take()) }
    }

    fn round(&mut self, requests: Vec<Request>) {
        if let Some(refusal) = self.refusal(&requests) {
            return refuse(requests, &refusal);
        }
        let shared = Arc::clone(&self.shared);
        let (now, ahead) = self.clock.now(shared.clock.as_ref());
        shared.figures.clock_ahead.store(ahead, Ordering::Relaxed);
        let mut round = Round { shared: &shared, now, batch: WriteBatch::default(), ends: BTreeMap::new() };
        let mut answers = Answers::default();

        // Held until the batch is visible, so that nobody takes over a partition or an id between a check and the write.
        let groups = lock(&shared.groups);
        for request in requests {
            match request {
                Request::Append { records, reply } => {
                    let first = round.add(records);
                    answers.appends.push((reply, first.unwrap_or_default()));
                }
                Request::Commit { transaction, reply } => {
                    let owner = groups.check_owner(&transaction.id, transaction.epoch);
                    match owner.and_then(|()| if transaction.read.is_empty() { Ok(()) } else { groups.check(&transaction.claim) }) {
                        Ok(()) => {
                            round.commit(transaction);
                            answers.commits.push(reply);
                        }
                        Err(error) => answer(&reply, Err(error)),
                    }
                }
                Request::Retention { .. } => {}
            }
        }
        let written = if answers.is_empty() { Ok(()) } else { self.write(round) };
        drop(groups);
        match written {
            Ok(()) => self.answer(answers, now),
            Err(refusal) => {
                answers.refuse(&refusal);
                if let Refusal::Failed(reason) = refusal {
                    shared.fail(&reason);
                }
            }
        }
    }

    /// Why nothing can be written now.
    fn refusal(&self, requests: &[Request]) -> Option<Refusal> {
        if let Some(reason) = self.shared.failed.get() {
            return Some(Refusal::Failed(reason.clone()));
        }
        let size: usize = requests.iter().map(Request::size).sum();
        let free = if size == 0 { None } else { self.shared.folder.free() };
        // Twice, because it is written into the write-ahead log and again into a table.
        let needed = self.shared.settings.reserve.saturating_add(2 * size as u64);
        let free = free.filter(|free| *free < needed)?;
        Some(Refusal::Full(format!("{free} bytes are free, and {needed} must be")))
    }

    /// Writes a round and makes it visible.
    fn write(&mut self, mut round: Round<'_>) -> Result<(), Refusal> {
        let shared = round.shared;
        round.batch.put(keys::clock_key(), round.now.0.to_be_bytes());
        if let Err(error) = shared.db.write(round.batch) {
            if engine::is_full(&error) {
                return Err(Refusal::Full(error.to_string()));
            }
            return Err(Refusal::Failed(format!("a write failed: {error}")));
        }
        self.unsynced = true;
        shared.figures.batches.fetch_add(1, Ordering::Relaxed);
        shared.figures.append_time.store(round.now.0, Ordering::Relaxed);
        for (index, end) in round.ends {
            if let Some(slot) = shared.slots.get(index) {
                slot.end.store(end, Ordering::Release);
                slot.ring();
            }
        }
        Ok(())
    }

    fn answer(&mut self, answers: Answers, now: AppendTime) {
        answers.commits.iter().for_each(|reply| answer(reply, Ok(now)));
        if answers.appends.is_empty() {
            return;
        }
        self.sync();
        for (reply, first) in answers.appends {
            let failed = self.shared.failed.get();
            answer(&reply, failed.map_or(Ok(first), |reason| Err(AppendError::Failed(reason.clone()))));
        }
    }

    /// Brings everything written so far to the device, then notes how far that is.
    fn sync(&mut self) {
        let shared = &self.shared;
        let started = shared.clock.monotonic();
        let sequence = shared.db.latest_sequence_number();
        let synced = shared.db.flush_wal(true).map_err(|e| e.to_string());
        match synced.and_then(|()| self.synced.write(sequence).map_err(|e| e.to_string())) {
            Ok(()) => self.unsynced = false,
            Err(error) => shared.fail(&format!("a sync failed: {error}")),
        }
        let took = shared.clock.monotonic().saturating_sub(started);
        shared.figures.syncs.fetch_add(1, Ordering::Relaxed);
        shared.figures.sync_nanos.fetch_add(nanos(took).unsigned_abs(), Ordering::Relaxed);
    }

    fn retention_when_due(&mut self) {
        let now = self.shared.clock.monotonic();
        if now < self.retention_at {
            return;
        }
        self.retention_at = now.saturating_add(self.shared.settings.retention_every);
        if self.shared.failed.get().is_none()
            && let Err(error) = self.enforce_retention()
        {
            self.shared.fail(&format!("retention failed: {error}"));
        }
    }

    fn enforce_retention(&mut self) -> Result<(), LogError> {
        let shared = Arc::clone(&self.shared);
        let failed = |error: rocksdb::Error| LogError::Engine(error.to_string());
        let (now, _) = self.clock.now(shared.clock.as_ref());
        let (mut batch, mut ranges) = (WriteBatch::default(), Vec::new());
        for slot in shared.slots.iter().filter(|slot| slot.retention != Duration::MAX) {
            let oldest = AppendTime(now.0.saturating_sub(nanos(slot.retention)));
            let (start, end) = (slot.start(), slot.end());
            let keep = first_at(start, end, |offset| Ok(shared.time_at(slot, offset)? >= oldest))?;
            if keep > start {
                // Readers are refused what is going before it goes.
                slot.start.store(keep, Ordering::Release);
                // From the first offset ever, so that what dropped files left behind of earlier deletions goes as well.
                let (from, to) = (slot.key(0), slot.key(keep));
                batch.delete_range(from, to);
                batch.put(keys::bounds_key(slot.topic, slot.partition.index), keys::bounds_value(keep, end));
                ranges.push((from, to));
            }
        }
        if ranges.is_empty() {
            return Ok(());
        }
        match shared.db.write(batch) {
            // A device so full that not even this fits: nobody reads the ranges, and they are deleted after the next start.
            Err(error) if engine::is_full(&error) => return Ok(()),
            written => written.map_err(failed)?,
        }
        // Dropping a file cannot be lost in a power cut, so the bounds must not be either: without them an emptied partition would use its
        // offsets again.
        self.sync();
        shared.check()?;
        // Whole files go at once; what shares a file with younger records goes when that is compacted.
        ranges.iter().try_for_each(|(from, to)| shared.db.delete_file_in_range(from, to)).map_err(failed)
    }
}

/// First offset from `start` on for which `holds`, which holds for all later ones too; `end` when there is none.
fn first_at(start: u64, end: u64, holds: impl Fn(u64) -> Result<bool, LogError>) -> Result<u64, LogError> {
    let (mut low, mut high) = (start, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// A batch in the making.
struct Round<'a> {
    shared: &'a Shared,
    now: AppendTime,
    batch: WriteBatch,
    /// Ends as they are once the batch is written.
    ends: BTreeMap<usize, u64>,
}

impl Round<'_> {
    /// Adds records. Gives the offset of the first.
    fn add(&mut self, mut records: Records) -> Option<Offset> {
        let mut first = None;
        let mut rest = records.bytes.as_mut_slice();
        let mut at = 0;
        for (index, to) in &records.entries {
            let (value, behind) = std::mem::take(&mut rest).split_at_mut_checked(to - at)?;
            (rest, at) = (behind, *to);
            let slot = self.shared.slots.get(*index)?;
            let end = self.ends.entry(*index).or_insert_with(|| slot.end());
            keys::stamp(value, self.now);
            self.batch.put(slot.key(*end), &*value);
            first = first.or(Some(Offset(*end)));
            *end += 1;
        }
        first
    }

    fn commit(&mut self, transaction: Transaction) {
        self.add(transaction.records);
        for (index, committed) in &transaction.read {
            if let Some(slot) = self.shared.slots.get(*index) {
                let key = keys::committed_key(slot.topic, slot.partition.index, &transaction.claim.group);
                self.batch.put(key, keys::committed_value(committed));
            }
        }
    }
}

/// Why a whole round is not taken.
enum Refusal {
    Full(String),
    Failed(String),
}

impl Refusal {
    fn to_append(&self) -> AppendError {
        match self {
            Self::Full(reason) => AppendError::Full(reason.clone()),
            Self::Failed(reason) => AppendError::Failed(reason.clone()),
        }
    }

    fn to_commit(&self) -> CommitError {
        match self {
            Self::Full(reason) => CommitError::Full(reason.clone()),
            Self::Failed(reason) => CommitError::Failed(reason.clone()),
        }
    }
}

impl Request {
    fn size(&self) -> usize {
        match self {
            Self::Append { records, .. } => records.size(),
            Self::Commit { transaction, .. } => transaction.records.size(),
            Self::Retention { .. } => 0,
        }
    }
}

impl Answers {
    fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.appends.is_empty()
    }

    fn refuse(self, refusal: &Refusal) {
        self.commits.iter().for_each(|reply| answer(reply, Err(refusal.to_commit())));
        self.appends.iter().for_each(|(reply, _)| answer(reply, Err(refusal.to_append())));
    }
}

fn refuse(requests: Vec<Request>, refusal: &Refusal) {
    for request in requests {
        match request {
            Request::Append { reply, .. } => answer(&reply, Err(refusal.to_append())),
            Request::Commit { reply, .. } => answer(&reply, Err(refusal.to_commit())),
            Request::Retention { .. } => {}
        }
    }
}

/// Sends an answer to whoever still waits for it.
fn answer<T>(reply: &SyncSender<T>, with: T) {
    drop(reply.try_send(with));
}
