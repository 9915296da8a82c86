//! The data folder: whose it is, of which format, and how much room is left.
//!
//! `LOCK` is held as long as anything from the folder is open, and taken before anything in it is read. `FORMAT` says which program can
//! read the rest; it is written once, into an empty folder. Opening reads, and writes nothing into a folder that is not empty or ours.

use crate::rocks::OpenError;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Format of folders that this program writes. Raise it when an older program would misread a folder.
const FORMAT: u64 = 1;
const FORMAT_PREFIX: &str = "golden-signals data folder, format ";

/// A data folder that is locked by us.
pub struct Folder {
    dir: PathBuf,
    _lock: File,
}

impl Folder {
    /// Locks a folder and checks that it is ours, or empty, or makes it.
    ///
    /// # Errors
    /// When it is in use, not ours, of a newer format, damaged, or cannot be read or written.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(|source| io_error(dir, source))?;
        let format = dir.join("FORMAT");
        let ours = format.try_exists().map_err(|source| io_error(&format, source))?;
        if !ours && !holds_only(dir, &["LOCK", "FORMAT.new"])? {
            return Err(OpenError::NotOurs { dir: dir.to_path_buf() });
        }
        let path = dir.join("LOCK");
        let lock = File::options().create(true).truncate(false).write(true).open(&path).map_err(|source| io_error(&path, source))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { dir: dir.to_path_buf() }),
            Err(TryLockError::Error(source)) => return Err(io_error(&path, source)),
        }
        // Looked for again, because another process may have made it while we waited for nothing but the lock.
        if format.try_exists().map_err(|source| io_error(&format, source))? {
            check_format(dir, &format)?;
        } else {
            write_format(dir, &format)?;
        }
        Ok(Self { dir: dir.to_path_buf(), _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Free bytes on its device for programs that are not privileged; `None` when the system does not say.
    #[must_use]
    pub fn free(&self) -> Option<u64> {
        let device = rustix::fs::statvfs(&self.dir).ok()?;
        Some(device.f_bavail.saturating_mul(device.f_frsize))
    }
}

fn holds_only(dir: &Path, names: &[&str]) -> Result<bool, OpenError> {
    for entry in fs::read_dir(dir).map_err(|source| io_error(dir, source))? {
        let name = entry.map_err(|source| io_error(dir, source))?.file_name();
        if !names.iter().any(|known| name == *known) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn check_format(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let bytes = fs::read(path).map_err(|source| io_error(path, source))?;
    let text = String::from_utf8_lossy(&bytes);
    let found = text.trim_end().strip_prefix(FORMAT_PREFIX).and_then(|number| number.parse::<u64>().ok());
    match found {
        Some(found) if found > FORMAT => Err(OpenError::Newer { dir: dir.to_path_buf(), found, known: FORMAT }),
        Some(_) => Ok(()),
        None => Err(OpenError::Corrupt { path: path.to_path_buf(), detail: "it does not name a format".into() }),
    }
}

/// Written beside and renamed, so that it is there as a whole or not at all.
fn write_format(dir: &Path, path: &Path) -> Result<(), OpenError> {
    let new = dir.join("FORMAT.new");
    let failed = |source| io_error(&new, source);
    let mut file = File::create(&new).map_err(failed)?;
    writeln!(file, "{FORMAT_PREFIX}{FORMAT}").map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&new, path).map_err(|source| io_error(path, source))?;
    sync_parent(path)
}

/// Makes the name of a new file durable.
///
/// # Errors
/// Those of the device.
pub(crate) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| io_error(dir, source))
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_path_buf(), source }
}
