//! The embedded log: topics, partitions, transactions, groups, on one RocksDB.
//!
//! One thread, the committer, writes. It takes what is queued, gives offsets and append times in that order, and writes all of it in one
//! batch, of which a crash leaves all or nothing. Readers see no record before its batch is written; partitions show it one right after the
//! other, and whoever takes over a partition or an id sees all of it. Offsets are dense: a transaction needs no markers here.
//!
//! **Durable.** A producer is answered after the write-ahead log is on the device and `synced.rs` says so. A transaction is answered once it
//! is visible: it waits for no sync of its own. Why that is right: the write-ahead log is one sequence, so what survives a power cut is
//! a prefix of it. A transaction that is lost takes with it everything that was written after it, and so whatever was read from it and
//! committed; its own input positions go back with it, the input itself was synced before it was answered for, and the stages do the same
//! again. A kill of the process loses nothing at all. For the same reason readers may see a record before its producer is answered.
//!
//! **Full.** Below the reserve of free space nothing is taken, so that RocksDB has room to finish what it took; reads go on, retention
//! too. **Failed.** After any other error of the engine or of a sync nothing is believed any more: every later call fails, and the process
//! must stop. A sync is never tried again, because the kernel forgets what it failed to write.

mod committer;
mod open;
mod reader;
mod writer;

#[cfg(test)]
pub(crate) mod tests;

use crate::append_clock::AppendClock;
use crate::engine::Memory;
use crate::folder::Folder;
use crate::groups::Groups;
use crate::keys;
use crate::rocks::{OpenError, Settings};
use crate::wait::{Bell, lock};
use committer::{Queue, Request};
use platform_core::clock::Clock;
use platform_core::log::{Committed, Log, LogError, Producer, Reader, Subscription, Writer};
use platform_core::map::Map;
use platform_core::record::{Offset, Partition, Topic};
use platform_core::time::AppendTime;
use reader::RocksReader;
use rocksdb::DB;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use writer::{RocksProducer, RocksWriter};

/// The embedded log.
pub struct RocksLog {
    shared: Arc<Shared>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

/// Figures about the log, all read at one call; for metrics.
#[derive(Clone, Debug, Default)]
pub struct LogFigures {
    /// Every partition with its first offset held and its end.
    pub partitions: Vec<(Partition, Offset, Offset)>,
    /// Bytes that wait for the committer.
    pub queued_bytes: usize,
    /// Batches written.
    pub batches: u64,
    /// Syncs of the write-ahead log.
    pub syncs: u64,
    /// Time that all syncs took together.
    pub sync_time: Duration,
    /// Newest append time given, in ns since the epoch.
    pub append_time: i64,
    /// How far the append clock is ahead of the wall clock, in ns. More than 2 s either way is worth an alarm.
    pub clock_ahead: i64,
    /// Free bytes on the device; `None` when the system does not say.
    pub free: Option<u64>,
    /// Bytes of the tables on the device, without the write-ahead log.
    pub table_bytes: u64,
    /// Bytes of the cache that all databases share, their write buffers included.
    pub memory: u64,
}

/// What the committer, readers and writers share. Fields are dropped in this order: the database before the folder's lock.
struct Shared {
    db: DB,
    folder: Arc<Folder>,
    topics: Map<Topic, Slots>,
    slots: Vec<Slot>,
    settings: Settings,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    groups: Mutex<Groups>,
    closed: AtomicBool,
    failed: OnceLock<String>,
    figures: Counters,
}

/// A topic's place among the slots.
#[derive(Clone, Copy)]
struct Slots {
    first: usize,
    partitions: u32,
}

/// One partition. Only the committer changes the bounds.
struct Slot {
    partition: Partition,
    topic: u32,
    retention: Duration,
    start: AtomicU64,
    end: AtomicU64,
    /// Readers that own it.
    watchers: Mutex<Vec<Arc<Bell>>>,
}

#[derive(Default)]
struct Counters {
    batches: AtomicU64,
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    append_time: AtomicI64,
    clock_ahead: AtomicI64,
}

impl RocksLog {
    /// Opens the log in a folder, or makes it, and starts its committer.
    pub(crate) fn open(folder: &Arc<Folder>, settings: &Settings, memory: &Memory, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let opened = open::open(folder, settings, memory)?;
        Self::start(folder, settings, clock, opened)
    }

    /// Starts the committer of an open log.
    fn start(folder: &Arc<Folder>, settings: &Settings, clock: Arc<dyn Clock>, opened: open::Opened) -> Result<Self, OpenError> {
        let append_clock = AppendClock::start(clock.as_ref(), opened.last_time);
        let shared = Arc::new(Shared {
            db: opened.db,
            folder: Arc::clone(folder),
            topics: opened.topics,
            slots: opened.slots,
            settings: settings.clone(),
            clock,
            queue: Mutex::default(),
            arrived: Condvar::new(),
            groups: Mutex::default(),
            closed: AtomicBool::new(false),
            failed: OnceLock::new(),
            figures: Counters { append_time: AtomicI64::new(opened.last_time.0), ..Counters::default() },
        });
        let committer = committer::start(&shared, append_clock, opened.synced)
            .map_err(|source| OpenError::Io { path: folder.dir().to_path_buf(), source })?;
        Ok(Self { shared, committer: Mutex::new(Some(committer)) })
    }

    /// Takes nothing more, writes and syncs what is queued, and waits until that is done. Readers and writers then find the log closed.
    pub fn close(&self) {
        lock(&self.shared.queue).closed = true;
        self.shared.arrived.notify_all();
        if let Some(committer) = lock(&self.committer).take()
            && committer.join().is_err()
        {
            self.shared.fail("the committer panicked");
        }
    }

    /// Deletes what is older than its topic's retention now, as the committer does from time to time.
    ///
    /// # Errors
    /// When the log is closed or the engine fails.
    pub fn enforce_retention(&self) -> Result<(), LogError> {
        let (reply, answer) = mpsc::sync_channel(1);
        lock(&self.shared.queue).push(Request::Retention { reply }, 0)?;
        self.shared.arrived.notify_all();
        answer.recv().map_err(|_| LogError::Closed)?
    }

    /// Figures about the log as it is now.
    #[must_use]
    pub fn figures(&self) -> LogFigures {
        let shared = &self.shared;
        let property = |name: &str| shared.db.property_int_value(name).ok().flatten().unwrap_or(0);
        LogFigures {
            partitions: shared.slots.iter().map(|s| (s.partition.clone(), Offset(s.start()), Offset(s.end()))).collect(),
            queued_bytes: lock(&shared.queue).bytes,
            batches: shared.figures.batches.load(Ordering::Relaxed),
            syncs: shared.figures.syncs.load(Ordering::Relaxed),
            sync_time: Duration::from_nanos(shared.figures.sync_nanos.load(Ordering::Relaxed)),
            append_time: shared.figures.append_time.load(Ordering::Relaxed),
            clock_ahead: shared.figures.clock_ahead.load(Ordering::Relaxed),
            free: shared.folder.free(),
            table_bytes: property("rocksdb.total-sst-files-size"),
            memory: property("rocksdb.block-cache-usage"),
        }
    }
}

impl Drop for RocksLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Log for RocksLog {
    fn reader(&self, subscription: &Subscription) -> Result<Box<dyn Reader>, LogError> {
        self.shared.check()?;
        Ok(Box::new(RocksReader::new(&self.shared, subscription)?))
    }

    fn writer(&self, transactional_id: &str) -> Result<Box<dyn Writer>, LogError> {
        self.shared.check()?;
        // The lock is held by a commit from its check until it is visible: what the earlier owner committed is seen, and nothing follows.
        let epoch = lock(&self.shared.groups).take_over(transactional_id);
        Ok(Box::new(RocksWriter::new(&self.shared, transactional_id, epoch)))
    }

    fn producer(&self) -> Result<Box<dyn Producer>, LogError> {
        self.shared.check()?;
        Ok(Box::new(RocksProducer::new(&self.shared)))
    }

    fn partitions(&self, topic: &Topic) -> Result<u32, LogError> {
        self.shared.topic(topic).map(|slots| slots.partitions)
    }

    fn bounds(&self, partition: &Partition) -> Result<(Offset, Offset), LogError> {
        let slot = self.shared.slot(self.shared.find(partition)?)?;
        Ok((Offset(slot.start()), Offset(slot.end())))
    }

    fn offset_at(&self, partition: &Partition, from: AppendTime) -> Result<Offset, LogError> {
        self.shared.check()?;
        let slot = self.shared.slot(self.shared.find(partition)?)?;
        let (mut start, mut end) = (slot.start(), slot.end());
        while start < end {
            let middle = start.midpoint(end);
            match self.shared.time_at(slot, middle) {
                Ok(time) if time < from => start = middle + 1,
                Ok(_) => end = middle,
                // Retention took it meanwhile.
                Err(_) if middle < slot.start() => start = middle + 1,
                Err(error) => return Err(error),
            }
        }
        Ok(Offset(start))
    }

    fn committed(&self, group: &str, partition: &Partition) -> Result<Option<Committed>, LogError> {
        self.shared.check()?;
        self.shared.committed(group, self.shared.slot(self.shared.find(partition)?)?)
    }
}

impl Shared {
    /// Whether the log can be used.
    fn check(&self) -> Result<(), LogError> {
        match self.failed.get() {
            Some(reason) => Err(LogError::Engine(reason.clone())),
            None if self.closed.load(Ordering::Acquire) => Err(LogError::Closed),
            None => Ok(()),
        }
    }

    /// From now on nothing is believed any more. The first reason stays.
    fn fail(&self, reason: &str) {
        self.failed.get_or_init(|| reason.to_owned());
        self.wake_everybody();
    }

    /// Lets every waiting reader see that the log has failed or is closed.
    fn wake_everybody(&self) {
        lock(&self.groups).ring_all();
        self.slots.iter().for_each(Slot::ring);
    }

    fn topic(&self, topic: &Topic) -> Result<Slots, LogError> {
        self.topics.get(topic).copied().ok_or_else(|| LogError::UnknownTopic(topic.clone()))
    }

    /// Index of a partition's slot.
    fn find(&self, partition: &Partition) -> Result<usize, LogError> {
        let slots = self.topic(&partition.topic)?;
        if partition.index < slots.partitions {
            Ok(slots.first + partition.index as usize)
        } else {
            Err(LogError::Engine(format!("there is no partition {partition}, the topic has {}", slots.partitions)))
        }
    }

    fn slot(&self, index: usize) -> Result<&Slot, LogError> {
        self.slots.get(index).ok_or_else(|| LogError::Engine(format!("there is no slot {index}")))
    }

    fn committed(&self, group: &str, slot: &Slot) -> Result<Option<Committed>, LogError> {
        let key = keys::committed_key(slot.topic, slot.partition.index, group);
        let value = self.db.get_pinned(key).map_err(|e| LogError::Engine(e.to_string()))?;
        let committed = value.map(|value| keys::read_committed(&value)).transpose();
        committed.map_err(|e| LogError::Engine(format!("the committed position of group {group} in {} is damaged: {e}", slot.partition)))
    }

    /// Append time of one record.
    fn time_at(&self, slot: &Slot, offset: u64) -> Result<AppendTime, LogError> {
        let damaged = |what: &str| LogError::Engine(format!("record {offset} of {} is {what}", slot.partition));
        let value = self.db.get_pinned(slot.key(offset)).map_err(|e| LogError::Engine(e.to_string()))?;
        keys::read_time(&value.ok_or_else(|| damaged("missing"))?).map_err(|_| damaged("damaged"))
    }
}

impl Slot {
    fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    fn key(&self, offset: u64) -> [u8; 17] {
        keys::record_key(self.topic, self.partition.index, offset)
    }

    fn ring(&self) {
        lock(&self.watchers).iter().for_each(|bell| bell.ring());
    }
}
