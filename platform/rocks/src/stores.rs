//! The state stores of all tasks, in one RocksDB of one column family, each under a prefix of its own.
//!
//! A store's changes and its `applied` go into one batch, so that whatever comes back after a kill or a power cut is a prefix of what was
//! written, and stands for its `applied`. The write-ahead log is on and never synced: a killed process starts where it was, and a power cut
//! costs some seconds of replay. A database that cannot be read is thrown away: it is a cache, and the log holds the truth.
//!
//! Whether a store is behind or ahead of the log is for the runtime to see; it is not checked here.

use crate::engine::{self, Memory};
use crate::folder::Folder;
use crate::rocks::OpenError;
use crate::wait::lock;
use platform_core::record::Offset;
use platform_core::store::{Change, Changes, Store, StoreError, Stores, Visit};
use rocksdb::{DB, WriteBatch};
use std::sync::{Arc, Mutex};

#[cfg(test)]
mod tests;

/// Kinds of key; the first byte of each key. Integers are big-endian.
#[derive(Clone, Copy)]
#[repr(u8)] // on disk: never renumber, never reuse
enum Kind {
    /// `1 | partition u32 | stage` → `store id u32 | format u32`. Never deleted, ids are never reused.
    Name = 1,
    /// `2 | store id u32` → the store's applied, `u64`. There while the store has content.
    Applied = 2,
    /// `3 | store id u32 | the task's key` → the task's value.
    Entry = 3,
}

/// The state stores in a data folder.
pub struct RocksStores {
    database: Arc<Database>,
    /// Held while a name is given its id.
    naming: Mutex<()>,
    discarded: Option<String>,
}

/// Fields are dropped in this order: the database before the folder's lock.
struct Database {
    db: DB,
    _folder: Arc<Folder>,
}

impl RocksStores {
    /// Opens the stores in a folder, or makes them.
    pub(crate) fn open(folder: &Arc<Folder>, memory: &Memory) -> Result<Self, OpenError> {
        let path = folder.dir().join("state");
        let mut options = memory.options();
        options.create_if_missing(true);
        let mut discarded = None;
        let opened = match DB::open(&options, &path) {
            Err(error) if matches!(engine::open_error(&path, &error), OpenError::Corrupt { .. }) => {
                discarded = Some(error.to_string());
                std::fs::remove_dir_all(&path).map_err(|source| OpenError::Io { path: path.clone(), source })?;
                DB::open(&options, &path)
            }
            opened => opened,
        };
        let db = opened.map_err(|error| engine::open_error(&path, &error))?;
        Ok(Self { database: Arc::new(Database { db, _folder: Arc::clone(folder) }), naming: Mutex::new(()), discarded })
    }

    /// Why the stores start empty although there were some: what was wrong with them. To be logged.
    #[must_use]
    pub fn discarded(&self) -> Option<&str> {
        self.discarded.as_deref()
    }
}

impl Stores for RocksStores {
    fn open(&self, stage: &str, partition: u32, format: u32) -> Result<Box<dyn Store>, StoreError> {
        let _naming = lock(&self.naming);
        let db = &self.database.db;
        let name = [&[Kind::Name as u8][..], &partition.to_be_bytes(), stage.as_bytes()].concat();
        let known = db.get(&name).map_err(failed)?.and_then(|value| read_name(&value));
        let id = match known {
            Some((id, _)) => id,
            None => next_id(db)?,
        };
        let store = RocksStore { database: Arc::clone(&self.database), id, key: Vec::new() };
        if known != Some((id, format)) {
            let mut batch = WriteBatch::default();
            store.clear_into(&mut batch);
            batch.put(&name, [id.to_be_bytes(), format.to_be_bytes()].concat());
            db.write(batch).map_err(failed)?;
        }
        Ok(Box::new(store))
    }
}

/// One task's store.
struct RocksStore {
    database: Arc<Database>,
    id: u32,
    /// Reused for the keys of a batch.
    key: Vec<u8>,
}

impl RocksStore {
    fn prefix(&self, kind: Kind) -> [u8; 5] {
        let [a, b, c, d] = self.id.to_be_bytes();
        [kind as u8, a, b, c, d]
    }

    fn entry(&self, key: &[u8]) -> Vec<u8> {
        [&self.prefix(Kind::Entry), key].concat()
    }

    fn entry_into<'a>(&self, buffer: &'a mut Vec<u8>, key: &[u8]) -> &'a [u8] {
        buffer.clear();
        buffer.extend_from_slice(&self.prefix(Kind::Entry));
        buffer.extend_from_slice(key);
        buffer
    }

    fn clear_into(&self, batch: &mut WriteBatch) {
        let behind = match self.id.checked_add(1) {
            Some(next) => [&[Kind::Entry as u8][..], &next.to_be_bytes()].concat(),
            None => vec![Kind::Entry as u8 + 1],
        };
        batch.delete_range(self.prefix(Kind::Entry).to_vec(), behind);
        batch.delete(self.prefix(Kind::Applied));
    }
}

impl Store for RocksStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.database.db.get(self.entry(key)).map_err(failed)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        if from >= to {
            return Ok(());
        }
        let prefix = self.prefix(Kind::Entry).len();
        engine::scan(&self.database.db, &self.entry(from), &self.entry(to), |key, value| {
            visit(key.get(prefix..).unwrap_or_default(), value);
            true
        })
        .map_err(failed)
    }

    fn write(&mut self, changes: &Changes, applied: Offset) -> Result<(), StoreError> {
        let mut batch = WriteBatch::with_capacity_bytes(changes.list.iter().map(size_in_batch).sum());
        let mut key = std::mem::take(&mut self.key);
        for change in &changes.list {
            match change {
                Change::Put(at, value) => batch.put(self.entry_into(&mut key, at), value),
                Change::Delete(at) => batch.delete(self.entry_into(&mut key, at)),
                Change::DeleteRange(from, to) if from < to => batch.delete_range(self.entry(from), self.entry(to)),
                Change::DeleteRange(..) => {}
            }
        }
        self.key = key;
        batch.put(self.prefix(Kind::Applied), applied.0.to_be_bytes());
        self.database.db.write(batch).map_err(failed)
    }

    fn applied(&self) -> Result<Option<Offset>, StoreError> {
        let Some(value) = self.database.db.get_pinned(self.prefix(Kind::Applied)).map_err(failed)? else {
            return Ok(None);
        };
        let offset = value.first_chunk::<8>().ok_or_else(|| StoreError("the applied position is damaged".into()))?;
        Ok(Some(Offset(u64::from_be_bytes(*offset))))
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        let mut batch = WriteBatch::default();
        self.clear_into(&mut batch);
        self.database.db.write(batch).map_err(failed)
    }
}

/// Bytes of a change in a batch: of what it holds, and of its prefixes and lengths at most.
fn size_in_batch(change: &Change) -> usize {
    const BESIDE: usize = 32;
    BESIDE
        + match change {
            Change::Put(one, other) | Change::DeleteRange(one, other) => one.len() + other.len(),
            Change::Delete(key) => key.len(),
        }
}

/// Store id and format of a name. Damage shows as no name: the store then starts empty under a new id.
fn read_name(value: &[u8]) -> Option<(u32, u32)> {
    let (id, rest) = value.split_first_chunk::<4>()?;
    let (format, _) = rest.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*id), u32::from_be_bytes(*format)))
}

fn next_id(db: &DB) -> Result<u32, StoreError> {
    let mut next = 0;
    let visit = |_: &[u8], value: &[u8]| {
        next = next.max(read_name(value).map_or(0, |(id, _)| id.saturating_add(1)));
        true
    };
    engine::scan(db, &[Kind::Name as u8], &[Kind::Name as u8 + 1], visit).map_err(failed)?;
    Ok(next)
}

fn failed(error: rocksdb::Error) -> StoreError {
    StoreError(error.into_string())
}
