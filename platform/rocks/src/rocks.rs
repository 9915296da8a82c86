//! What is set, and how a data folder is opened: the folder first, then the log, then the stores.
//!
//! Every refusal leaves the folder as it was, and says which folder or file it is about and what to do.

use crate::engine::Memory;
use crate::folder::Folder;
use crate::log::RocksLog;
use crate::stores::RocksStores;
use platform_core::clock::Clock;
use platform_core::record::Topic;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is set for a data folder.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Topics that must be there; missing ones are made. A topic of the folder that is not named keeps all its records.
    pub topics: Vec<TopicSettings>,
    /// Go on from what is there although records that were already answered for are gone.
    pub accept_loss: bool,
    /// How long producers' records wait for company before they are synced together.
    pub group_commit_wait: Duration,
    /// From how many waiting bytes on nothing waits for company.
    pub group_commit_bytes: usize,
    /// From how many waiting bytes on producers are told that the log cannot keep up.
    pub max_queued_bytes: usize,
    /// Free bytes on the device below which nothing is taken. It must hold what RocksDB writes later for what it took already: all write
    /// buffers, and a compaction.
    pub reserve: u64,
    /// How often retention is enforced.
    pub retention_every: Duration,
    /// Bytes of the block cache of all databases.
    pub cache: usize,
    /// Bytes of the write buffers of all databases, counted in the cache.
    pub write_buffers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            topics: Vec::new(),
            accept_loss: false,
            group_commit_wait: Duration::from_millis(2),
            group_commit_bytes: 1 << 20,
            max_queued_bytes: 32 << 20,
            reserve: 256 << 20,
            retention_every: Duration::from_secs(60),
            cache: 128 << 20,
            write_buffers: 64 << 20,
        }
    }
}

/// What is set for a topic.
#[derive(Clone, Debug)]
pub struct TopicSettings {
    /// Which.
    pub topic: Topic,
    /// How many partitions; cannot be changed once the topic is there.
    pub partitions: u32,
    /// Records older than this, by append time, are deleted; `Duration::MAX` keeps all.
    pub retention: Duration,
}

/// Why a data folder was not opened. In every case nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data folder {} is in use by another process: stop that process, or choose another folder", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
    },
    /// Something else lives there.
    #[error("folder {} holds files that are not ours: choose an empty or a new folder", dir.display())]
    NotOurs {
        /// The folder.
        dir: PathBuf,
    },
    /// Written by a newer program.
    #[error("data folder {} has format {found}, and this program knows only up to {known}: start the newer program, or choose another folder", dir.display())]
    Newer {
        /// The folder.
        dir: PathBuf,
        /// Format of the folder.
        found: u64,
        /// Newest format that is known here.
        known: u64,
    },
    /// Damaged.
    #[error("{} is damaged ({detail}): restore the data folder from a copy, or move it away to start with an empty one", path.display())]
    Corrupt {
        /// Folder or file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// Fewer records came back than were synced.
    #[error(
        "the log in {} has lost records that were already answered for: it ends at sequence {recovered}, but was synced up to {synced}; \
         restore the data folder from a copy, or go on without them with --accept-loss",
        dir.display()
    )]
    LostWrites {
        /// The data folder.
        dir: PathBuf,
        /// Last sequence number that is there.
        recovered: u64,
        /// Last sequence number that was synced.
        synced: u64,
    },
    /// Keys would go to other partitions than before.
    #[error(
        "topic {topic} has {held} partitions, and the settings say {wanted}: partitions cannot be changed, so set {held}, or choose another folder"
    )]
    PartitionsChanged {
        /// Which topic.
        topic: Topic,
        /// Partitions in the folder.
        held: u32,
        /// Partitions in the settings.
        wanted: u32,
    },
    /// Too little room to start.
    #[error("the device of {} has {free} bytes free, and {reserve} are needed: free some space", dir.display())]
    Full {
        /// The data folder.
        dir: PathBuf,
        /// Free bytes.
        free: u64,
        /// Bytes that must be free.
        reserve: u64,
    },
    /// The device or its permissions.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// Folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The engine, for none of the reasons above.
    #[error("cannot open {}: {detail}", path.display())]
    Engine {
        /// Which database.
        path: PathBuf,
        /// What the engine said.
        detail: String,
    },
}

/// An open data folder. It stays locked until this, and every log and store handle from it, is dropped.
pub struct Rocks {
    log: Arc<RocksLog>,
    stores: Arc<RocksStores>,
}

impl Rocks {
    /// Opens a data folder, or makes it.
    ///
    /// # Errors
    /// Whatever would lose or mix up data, with what to do about it.
    pub fn open(dir: &Path, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        let folder = Arc::new(Folder::open(dir)?);
        if let Some(free) = folder.free().filter(|free| *free < settings.reserve) {
            return Err(OpenError::Full { dir: dir.to_path_buf(), free, reserve: settings.reserve });
        }
        let memory = Memory::new(settings);
        let log = Arc::new(RocksLog::open(&folder, settings, &memory, clock)?);
        let stores = Arc::new(RocksStores::open(&folder, &memory)?);
        Ok(Self { log, stores })
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> Arc<RocksLog> {
        Arc::clone(&self.log)
    }

    /// The state stores.
    #[must_use]
    pub fn stores(&self) -> Arc<RocksStores> {
        Arc::clone(&self.stores)
    }
}
