//! How far the log is certainly on the device: a file of two slots, written in turn, each with a checksum.
//!
//! Why: after a crash RocksDB takes its write-ahead log up to the first record that cannot be read, and cannot tell a torn tail from rot in
//! the middle. This file can: what it says was synced must come back. It is written after the write-ahead log was synced and before
//! anybody is answered, so it is never ahead of what the device holds. A torn write spoils one slot; the other then gives the sync before.
//!
//! Slot at byte 0 and at byte 4096: `count u64 | sequence u64 | xxh64 of both u64`, big-endian. The valid slot of the larger count holds.

use crate::rocks::OpenError;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh64::xxh64;

/// Distance of the slots: more than any device writes in one piece of which the other slot must be no part.
const SLOT: usize = 4096;
/// Not zero, so that a zeroed slot is no valid one.
const SEED: u64 = 0x676f_6c64;

/// The open file.
pub(crate) struct SyncedFile {
    file: File,
    count: u64,
}

impl SyncedFile {
    /// Makes the file, or makes it anew, with `sequence` in it, durable with its name.
    ///
    /// # Errors
    /// Those of the device.
    pub(crate) fn create(path: &Path, sequence: u64) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Io { path: path.to_path_buf(), source };
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(path).map_err(failed)?;
        file.write_all_at(&[0; 2 * SLOT], 0).map_err(failed)?;
        let mut made = Self { file, count: 0 };
        made.write(sequence).map_err(failed)?;
        made.file.sync_all().map_err(failed)?;
        crate::folder::sync_parent(path)?;
        Ok(made)
    }

    /// Opens the file and reads the synced sequence.
    ///
    /// # Errors
    /// Those of the device, and when neither slot is valid.
    pub(crate) fn open(path: &Path) -> Result<(Self, u64), OpenError> {
        let failed = |source| OpenError::Io { path: path.to_path_buf(), source };
        let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let mut bytes = Vec::with_capacity(2 * SLOT);
        (&mut file).take(2 * SLOT as u64).read_to_end(&mut bytes).map_err(failed)?;
        let newest = bytes.chunks(SLOT).filter_map(read_slot).max();
        let (count, sequence) = newest.ok_or_else(|| OpenError::Corrupt {
            path: path.to_path_buf(),
            detail: "neither of its two slots has a valid checksum".into(),
        })?;
        Ok((Self { file, count }, sequence))
    }

    /// A file that cannot be written.
    #[cfg(test)]
    pub(crate) fn that_fails(path: &Path) -> Self {
        Self { file: File::open(path).unwrap(), count: 0 }
    }

    /// Writes the sequence into the older slot and waits for the device.
    ///
    /// # Errors
    /// Those of the device; then nothing may be believed about it any more.
    pub(crate) fn write(&mut self, sequence: u64) -> io::Result<()> {
        self.count += 1;
        let mut slot = [self.count.to_be_bytes(), sequence.to_be_bytes()].concat();
        slot.extend_from_slice(&xxh64(&slot, SEED).to_be_bytes());
        self.file.write_all_at(&slot, (self.count % 2) * SLOT as u64)?;
        self.file.sync_data()
    }
}

/// Count and sequence of a slot, when its checksum is right.
fn read_slot(slot: &[u8]) -> Option<(u64, u64)> {
    let (count, rest) = slot.split_first_chunk::<8>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (checksum, _) = rest.split_first_chunk::<8>()?;
    let valid = xxh64(slot.get(..16)?, SEED) == u64::from_be_bytes(*checksum);
    valid.then(|| (u64::from_be_bytes(*count), u64::from_be_bytes(*sequence)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_sequence_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synced");
        let mut file = SyncedFile::create(&path, 5).unwrap();
        (6..12).for_each(|sequence| file.write(sequence).unwrap());
        drop(file);
        let (mut file, sequence) = SyncedFile::open(&path).unwrap();
        assert_eq!(sequence, 11);
        file.write(40).unwrap();
        assert_eq!(SyncedFile::open(&path).unwrap().1, 40);
    }

    #[test]
    fn a_torn_slot_gives_the_sync_before_and_two_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synced");
        let mut file = SyncedFile::create(&path, 5).unwrap();
        file.write(6).unwrap();
        file.write(7).unwrap();
        let newest = (file.count % 2) * SLOT as u64;
        file.file.write_all_at(&[0xff], newest + 9).unwrap();
        assert_eq!(SyncedFile::open(&path).unwrap().1, 6);
        file.file.write_all_at(&[0xff; 2 * SLOT], 0).unwrap();
        assert!(matches!(SyncedFile::open(&path), Err(OpenError::Corrupt { .. })));
    }
}
