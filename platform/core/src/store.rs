//! Ordered keyed state of one task.
//!
//! A store holds the state *as of* position `applied` of the task's input, written with it in one batch, and only after the outputs up to
//! there are committed. It is a cache: one that is missing, of another format, or ahead of the committed position is cleared, and the log
//! is read again.

use crate::record::Offset;

/// Why a store cannot be used. The remedy is always the same: clear it and replay; if that fails too, stop.
#[derive(Debug, thiserror::Error)]
#[error("the state store failed: {0}")]
pub struct StoreError(pub String);

/// Called with each key and value of a scan.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

/// Ordered keyed state of one task.
pub trait Store: Send {
    /// The value of a key.
    ///
    /// # Errors
    /// When the engine fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Visits keys from `from` (inclusive) to `to` (exclusive), in order.
    ///
    /// # Errors
    /// When the engine fails.
    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError>;

    /// Applies all changes and the new position in one step.
    ///
    /// # Errors
    /// When the engine fails; then nothing of it is there.
    fn write(&mut self, changes: &Changes, applied: Offset) -> Result<(), StoreError>;

    /// The position that the content stands for; `None` when there is no content.
    ///
    /// # Errors
    /// When the engine fails.
    fn applied(&self) -> Result<Option<Offset>, StoreError>;

    /// Forgets everything, the position too.
    ///
    /// # Errors
    /// When the engine fails.
    fn clear(&mut self) -> Result<(), StoreError>;
}

/// Opens the stores of tasks by name.
pub trait Stores: Send + Sync {
    /// The store of one stage and partition. The same name gives the same content; `format` is the stage's state format, and a store of
    /// another format comes back empty.
    ///
    /// # Errors
    /// When the engine fails.
    fn open(&self, stage: &str, partition: u32, format: u32) -> Result<Box<dyn Store>, StoreError>;
}

/// Changes to a store, applied in order.
#[derive(Debug, Default)]
pub struct Changes {
    /// In order.
    pub list: Vec<Change>,
}

/// One change.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets a key.
    Put(Vec<u8>, Vec<u8>),
    /// Removes a key.
    Delete(Vec<u8>),
    /// Removes keys from the first (inclusive) to the second (exclusive).
    DeleteRange(Vec<u8>, Vec<u8>),
}

impl Changes {
    /// Sets a key.
    pub fn put(&mut self, key: &[u8], value: Vec<u8>) {
        self.list.push(Change::Put(key.to_vec(), value));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: &[u8]) {
        self.list.push(Change::Delete(key.to_vec()));
    }

    /// Removes keys from `from` (inclusive) to `to` (exclusive).
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        self.list.push(Change::DeleteRange(from.to_vec(), to.to_vec()));
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}
