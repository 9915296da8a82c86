//! Opening the log: look first without writing, refuse what would lose records, then open and read what is there.

use super::{Slot, Slots};
use crate::engine::{self, Memory};
use crate::folder::Folder;
use crate::keys;
use crate::rocks::{OpenError, Settings, TopicSettings};
use crate::synced::SyncedFile;
use platform_core::map::Map;
use platform_core::record::{Partition, Topic};
use platform_core::time::AppendTime;
use rocksdb::{DB, WriteBatch, WriteOptions};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// What an open log is made of.
pub(super) struct Opened {
    pub(super) db: DB,
    pub(super) synced: SyncedFile,
    pub(super) topics: Map<Topic, Slots>,
    pub(super) slots: Vec<Slot>,
    /// Newest append time given.
    pub(super) last_time: AppendTime,
}

/// A topic of the folder or of the settings.
struct Held {
    id: u32,
    topic: Topic,
    partitions: u32,
    retention: Duration,
}

/// Opens or makes the log.
pub(super) fn open(folder: &Folder, settings: &Settings, memory: &Memory) -> Result<Opened, OpenError> {
    let path = folder.dir().join("log");
    let synced_path = folder.dir().join("log.synced");
    let engine_error = |error: rocksdb::Error| engine::open_error(&path, &error);
    let mut options = memory.options();

    // The file of the synced sequence is made last. As long as it is missing nobody was answered, and the log may be made; from then on
    // a database that is missing is a lost one.
    let exists = synced_path.try_exists().map_err(|source| OpenError::Io { path: synced_path.clone(), source })?;
    let synced = if exists { check_synced(folder, &synced_path, &path, settings, memory)? } else { None };
    options.create_if_missing(!exists);
    let db = DB::open(&options, &path).map_err(engine_error)?;
    let synced = match synced {
        Some(file) => file,
        None => {
            db.flush_wal(true).map_err(engine_error)?;
            SyncedFile::create(&synced_path, db.latest_sequence_number())?
        }
    };

    let held = topics(&db, &path, &settings.topics)?;
    let mut topics = Map::default();
    let mut slots = Vec::new();
    for held in held {
        topics.insert(held.topic.clone(), Slots { first: slots.len(), partitions: held.partitions });
        for index in 0..held.partitions {
            let (start, end) = bounds(&db, &path, held.id, index)?;
            slots.push(Slot {
                partition: Partition::new(&held.topic, index),
                topic: held.id,
                retention: held.retention,
                start: AtomicU64::new(start),
                end: AtomicU64::new(end),
                watchers: Mutex::default(),
            });
        }
    }
    let last_time = match db.get(keys::clock_key()).map_err(engine_error)? {
        Some(value) => keys::read_time(&value).map_err(|e| corrupt(&path, format!("the newest append time: {e}")))?,
        None => AppendTime(i64::MIN),
    };
    Ok(Opened { db, synced, topics, slots, last_time })
}

/// Compares what comes back with what was synced, before anything is written: opening for writing would throw away what lies behind the
/// first bad record. `None` means that the loss is accepted and the file is to be made anew.
fn check_synced(
    folder: &Folder,
    synced_path: &Path,
    path: &Path,
    settings: &Settings,
    memory: &Memory,
) -> Result<Option<SyncedFile>, OpenError> {
    let (file, synced) = match SyncedFile::open(synced_path) {
        Err(OpenError::Corrupt { .. }) if settings.accept_loss => return Ok(None),
        opened => opened?,
    };
    let look = DB::open_for_read_only(&memory.options(), path, false).map_err(|error| engine::open_error(path, &error))?;
    let recovered = look.latest_sequence_number();
    if recovered >= synced {
        Ok(Some(file))
    } else if settings.accept_loss {
        Ok(None)
    } else {
        Err(OpenError::LostWrites { dir: folder.dir().to_path_buf(), recovered, synced })
    }
}

/// Topics of the folder and of the settings; new ones are written only when nothing is refused.
fn topics(db: &DB, path: &Path, wanted: &[TopicSettings]) -> Result<Vec<Held>, OpenError> {
    let mut held = Vec::new();
    let mut damaged = None;
    let visit = |key: &[u8], value: &[u8]| match keys::read_topic(key, value) {
        Ok((id, partitions, name)) => {
            held.push(Held { id, topic: Topic::new(name), partitions, retention: Duration::MAX });
            true
        }
        Err(error) => {
            damaged = Some(corrupt(path, format!("a topic: {error}")));
            false
        }
    };
    engine::scan(db, &keys::topic_key(0), &keys::topic_key(u32::MAX), visit).map_err(|error| engine::open_error(path, &error))?;
    if let Some(error) = damaged {
        return Err(error);
    }
    let mut new = WriteBatch::default();
    for topic in wanted {
        match held.iter_mut().find(|h| h.topic == topic.topic) {
            Some(held) if held.partitions == topic.partitions => held.retention = topic.retention,
            Some(held) => {
                return Err(OpenError::PartitionsChanged { topic: topic.topic.clone(), held: held.partitions, wanted: topic.partitions });
            }
            None => {
                let id = held.iter().map(|h| h.id + 1).max().unwrap_or(0);
                new.put(keys::topic_key(id), keys::topic_value(topic.partitions, topic.topic.as_str()));
                held.push(Held { id, topic: topic.topic.clone(), partitions: topic.partitions, retention: topic.retention });
            }
        }
    }
    if !new.is_empty() {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        db.write_opt(new, &options).map_err(|error| engine::open_error(path, &error))?;
    }
    Ok(held)
}

/// First offset held and end of a partition: from its newest record, or from when retention emptied it.
fn bounds(db: &DB, path: &Path, topic: u32, partition: u32) -> Result<(u64, u64), OpenError> {
    let engine_error = |error: rocksdb::Error| engine::open_error(path, &error);
    let (start, emptied_at) = match db.get(keys::bounds_key(topic, partition)).map_err(engine_error)? {
        Some(value) => keys::read_bounds(&value).map_err(|e| corrupt(path, format!("the bounds of a partition: {e}")))?,
        None => (0, 0),
    };
    let mut options = rocksdb::ReadOptions::default();
    options.set_iterate_lower_bound(keys::record_key(topic, partition, start));
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek_for_prev(keys::record_key(topic, partition, u64::MAX));
    let newest = iterator.key().and_then(keys::record_offset);
    iterator.status().map_err(engine_error)?;
    Ok((start, newest.map_or(0, |offset| offset + 1).max(emptied_at)))
}

fn corrupt(path: &Path, detail: String) -> OpenError {
    OpenError::Corrupt { path: path.to_path_buf(), detail }
}
