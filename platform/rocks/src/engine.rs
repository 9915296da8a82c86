//! What both databases share: one block cache and one budget of write buffers, options, and the kinds of failure.

use crate::rocks::{OpenError, Settings};
use rocksdb::{BlockBasedOptions, Cache, DB, DBCompressionType, DBRecoveryMode, ErrorKind, LogLevel, Options, WriteBufferManager};
use std::path::Path;

/// Largest write-ahead log, which a start has to read.
const MAX_WAL: u64 = 128 << 20;

/// Memory of all databases of this process.
pub(crate) struct Memory {
    cache: Cache,
    buffers: WriteBufferManager,
    write_buffer: usize,
}

impl Memory {
    /// By the settings. Write buffers are counted in the cache, so that the cache is all there is.
    pub(crate) fn new(settings: &Settings) -> Self {
        let cache = Cache::new_hyper_clock_cache(settings.cache, 0);
        let buffers = WriteBufferManager::new_write_buffer_manager_with_cache(settings.write_buffers, false, cache.clone());
        Self { cache, buffers, write_buffer: settings.write_buffers / 2 }
    }

    /// Options of a database of one column family.
    ///
    /// The write-ahead log is taken up to its first bad record (`synced.rs` says whether that is far enough), is never buffered by RocksDB,
    /// and is not tracked in the manifest, which has refused sound databases.
    pub(crate) fn options(&self) -> Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        table.set_block_size(16 << 10);
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_manager(&self.buffers);
        options.set_write_buffer_size(self.write_buffer);
        options.set_max_write_buffer_number(3);
        options.set_max_total_wal_size(MAX_WAL);
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_manual_wal_flush(false);
        options.set_track_and_verify_wals_in_manifest(false);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_max_background_jobs(2);
        options.set_bytes_per_sync(1 << 20);
        options.set_max_open_files(512);
        options.set_keep_log_file_num(2);
        options.set_max_log_file_size(1 << 20);
        options.set_log_level(LogLevel::Warn);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options
    }
}

/// Why a database did not open, in our terms.
pub(crate) fn open_error(path: &Path, error: &rocksdb::Error) -> OpenError {
    let (path, detail) = (path.to_path_buf(), error.to_string());
    match error.kind() {
        // A file that should be there and is not shows as `InvalidArgument` (CURRENT) or as an I/O error (all others).
        ErrorKind::Corruption | ErrorKind::InvalidArgument | ErrorKind::NotFound => OpenError::Corrupt { path, detail },
        ErrorKind::IOError if detail.contains("No such file") => OpenError::Corrupt { path, detail },
        _ => OpenError::Engine { path, detail },
    }
}

/// Whether a write failed for want of room. RocksDB has then taken nothing, and takes writes again by itself once there is room.
pub(crate) fn is_full(error: &rocksdb::Error) -> bool {
    error.as_ref().contains("No space left")
}

/// Visits keys from `from` (inclusive) to `to` (exclusive) in order, until `visit` gives `false`.
pub(crate) fn scan(db: &DB, from: &[u8], to: &[u8], mut visit: impl FnMut(&[u8], &[u8]) -> bool) -> Result<(), rocksdb::Error> {
    let mut options = rocksdb::ReadOptions::default();
    options.set_iterate_upper_bound(to);
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek(from);
    while let Some((key, value)) = iterator.item() {
        if !visit(key, value) {
            return Ok(());
        }
        iterator.next();
    }
    iterator.status()
}
