//! What was published: versions, from the newest back, and what became of one service in them.

use crate::blob::{Blob, BlobError, Got};
use crate::paths;
use crate::publication::{self, NoPublication, Publication};
use golden_overrides::archive::{self, ArchiveError, Files, sha256};
use golden_overrides::path::encode;
use std::collections::BTreeMap;

/// Why a version or its bundle cannot be shown or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] BlobError),
    /// Nothing there.
    #[error("{url} is missing")]
    Missing {
        /// Where it should be.
        url: String,
    },
    /// Not a publication.
    #[error("{url}: {error}")]
    Version {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        error: NoPublication,
    },
    /// It is not what the version after it says.
    #[error("{url} is not the version that its successor names; somebody else has written here")]
    Altered {
        /// Where it is.
        url: String,
    },
    /// Over the limit.
    #[error("{url}: more than {} bytes", archive::MAX_BYTES)]
    TooLarge {
        /// Where it is.
        url: String,
    },
    /// The content is not the one that was published.
    #[error("{url}: its content has another hash, {found}")]
    Hash {
        /// Where it is.
        url: String,
        /// SHA-256 of what is there.
        found: String,
    },
    /// Not an archive.
    #[error("{url}: {error}")]
    Archive {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        error: ArchiveError,
    },
}

/// The newest versions, at most `most`, the newest first. None when nothing was published.
///
/// # Errors
/// When one of them cannot be read, or two do not fit together.
pub fn versions(blob: &dyn Blob, most: usize) -> Result<Vec<Publication>, HistoryError> {
    let mut found: Vec<Publication> = Vec::new();
    match read(blob, paths::CURRENT) {
        Ok(current) => found.push(current),
        Err(HistoryError::Missing { .. }) => return Ok(found),
        Err(error) => return Err(error),
    }
    while found.len() < most
        && let Some(previous) = found.last().and_then(|last| last.previous.clone())
    {
        let older = version(blob, previous.version)?;
        if older.sha256 != previous.sha256 {
            return Err(HistoryError::Altered { url: blob.url(&paths::version(previous.version)) });
        }
        found.push(older);
    }
    Ok(found)
}

/// What a version did to the file of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The version.
    pub publication: Publication,
    /// Files of the service, with the SHA-256 of each; mostly one, none when it was removed.
    pub files: BTreeMap<String, String>,
}

/// Versions in which a service's file became another, the newest first, of the `most` newest versions.
///
/// # Errors
/// When a version or its bundle cannot be read.
pub fn changes(blob: &dyn Blob, service: &str, most: usize) -> Result<Vec<Change>, HistoryError> {
    // One more, to see whether the oldest of them changed anything.
    let versions = versions(blob, most.saturating_add(1))?;
    let name = format!("/{}.yaml", encode(service));
    let (mut changes, mut before, mut hash) = (Vec::new(), BTreeMap::new(), "");
    for (number, publication) in versions.iter().enumerate().rev() {
        if publication.sha256 == hash {
            continue;
        }
        hash = &publication.sha256;
        let (_, files) = bundle(blob, hash)?;
        let own = files.into_iter().filter(|(path, _)| path.ends_with(&name));
        let now: BTreeMap<String, String> = own.map(|(path, content)| (path, sha256(&content))).collect();
        if now != before && number < most {
            changes.push(Change { publication: publication.clone(), files: now.clone() });
        }
        before = now;
    }
    changes.reverse();
    Ok(changes)
}

/// A version that was replaced.
pub(crate) fn version(blob: &dyn Blob, version: u64) -> Result<Publication, HistoryError> {
    let key = paths::version(version);
    let found = read(blob, &key)?;
    if found.version == version { Ok(found) } else { Err(HistoryError::Altered { url: blob.url(&key) }) }
}

fn read(blob: &dyn Blob, key: &str) -> Result<Publication, HistoryError> {
    let wrong = |error| HistoryError::Version { url: blob.url(key), error };
    match blob.get(key, None, publication::MAX_BYTES)? {
        Got::Found { content, .. } => Publication::parse(&content).map_err(wrong),
        Got::TooLarge => Err(wrong(NoPublication::TooLarge)),
        Got::Missing | Got::Same => Err(HistoryError::Missing { url: blob.url(key) }),
    }
}

/// The archive with this hash, and its files: size, then hash, then form.
pub(crate) fn bundle(blob: &dyn Blob, hash: &str) -> Result<(Vec<u8>, Files), HistoryError> {
    let key = paths::bundle(hash);
    let url = || blob.url(&key);
    let content = match blob.get(&key, None, archive::MAX_BYTES)? {
        Got::Found { content, .. } => content,
        Got::TooLarge => return Err(HistoryError::TooLarge { url: url() }),
        Got::Missing | Got::Same => return Err(HistoryError::Missing { url: url() }),
    };
    let found = sha256(&content);
    if found != hash {
        return Err(HistoryError::Hash { url: url(), found });
    }
    let files = archive::unpack(&content).map_err(|error| HistoryError::Archive { url: url(), error })?;
    Ok((content, files))
}
