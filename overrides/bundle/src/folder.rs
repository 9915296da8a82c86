//! Objects as files of a folder, for one machine and for tests.
//!
//! Conditions hold between processes: a writer holds the lock of `.lock`, which ends with its process, while it compares and replaces.
//! Readers need no lock, since a file is replaced whole. The ETag of a file is the SHA-256 of its content.

use crate::blob::{Blob, BlobError, Got, Put, When};
use golden_overrides::archive::sha256;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

const LOCK: &str = ".lock";
/// What a writer that died leaves behind; the next one replaces it.
const PART: &str = ".part";

/// A folder that holds objects.
#[derive(Clone, Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Objects below `root`, which is made by the first write.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn replace(&self, key: &str, content: &[u8], when: When<'_>) -> io::Result<Put> {
        fs::create_dir_all(&self.root)?;
        let lock = File::create(self.root.join(LOCK))?;
        lock.lock()?;
        let path = self.root.join(key);
        let holds = match (when, read(&path, usize::MAX)?) {
            (When::Always, _) | (When::Absent, None) => true,
            (When::Is(etag), Some(present)) => sha256(&present) == etag,
            (When::Absent, Some(_)) | (When::Is(_), None) => false,
        };
        if !holds {
            return Ok(Put::Refused);
        }
        let folder = path.parent().unwrap_or(&self.root);
        fs::create_dir_all(folder)?;
        let part = self.root.join(PART);
        let mut file = File::create(&part)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&part, &path)?;
        for folder in [folder, &self.root] {
            File::open(folder)?.sync_all()?;
        }
        Ok(Put::Done)
    }
}

impl Blob for Folder {
    fn url(&self, key: &str) -> String {
        self.root.join(key).display().to_string()
    }

    fn get(&self, key: &str, known: Option<&str>, most: usize) -> Result<Got, BlobError> {
        let content = read(&self.root.join(key), most).map_err(|error| self.failed(key, &error))?;
        let Some(content) = content else { return Ok(Got::Missing) };
        if content.len() > most {
            return Ok(Got::TooLarge);
        }
        let etag = sha256(&content);
        Ok(if known == Some(etag.as_str()) { Got::Same } else { Got::Found { content, etag } })
    }

    fn put(&self, key: &str, content: &[u8], when: When<'_>) -> Result<Put, BlobError> {
        self.replace(key, content, when).map_err(|error| self.failed(key, &error))
    }
}

impl Folder {
    fn failed(&self, key: &str, error: &io::Error) -> BlobError {
        BlobError { url: self.url(key), reason: error.to_string() }
    }
}

/// A file's content, or the first `most` bytes of it and one more.
fn read(path: &Path, most: usize) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut content = Vec::new();
    file.take((most as u64).saturating_add(1)).read_to_end(&mut content)?;
    Ok(Some(content))
}
