//! Publishing: a new version, and nobody's work lost.
//!
//! Everything but one write is preparation: the bundle lies under its hash, the pointer that will be replaced is kept under its version.
//! Then the pointer is replaced, on condition that it still is what was read. Who loses that race starts again, behind the winner. **An answer
//! that was lost is no failure yet:** each round reads the pointer first, and finds its own nonce there, or in the copy that a successor made.
//! A store that does not keep conditions would lose work silently, so it is tried first, and refused.

use crate::blob::{Blob, BlobError, Got, Put, When};
use crate::history::{self, HistoryError};
use crate::paths;
use crate::publication::{self, NoPublication, Previous, Publication};
use crate::signature::SecretKey;
use golden_overrides::archive::{self, ArchiveError, Files, sha256};

/// How often in a row a store may fail before a publisher gives up.
const PATIENCE: u32 = 3;
/// How often others may be faster: far more than there are publishers at once.
const ROUNDS: u32 = 100;
/// An ETag that no object has.
const NO_ETAG: &str = "\"00000000000000000000000000000000\"";

/// What is to be published.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The content.
    pub what: What<'a>,
    /// Who publishes: 1 to 256 bytes without control characters, as the next two.
    pub by: &'a str,
    /// Commit of the files.
    pub commit: Option<&'a str>,
    /// Now, in RFC 3339.
    pub at: &'a str,
    /// Random, and never used before.
    pub nonce: &'a str,
    /// Signs, if pipelines ask for it.
    pub key: Option<&'a SecretKey>,
}

/// Content of a version.
#[derive(Clone, Copy, Debug)]
pub enum What<'a> {
    /// These files. Whether they are right is not looked at here.
    Files(&'a Files),
    /// The bundle of an older version, marked as a rollback.
    Rollback(u64),
}

/// What publishing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// A new version.
    New(Publication),
    /// The current version is the same already.
    Same(Publication),
}

/// Why nothing was published, or why that is not known.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Too many or too large.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The order itself is wrong.
    #[error("`{field}` is not as it must be: 1 to 256 bytes without control characters")]
    Order {
        /// Which part.
        field: &'static str,
    },
    /// Two publishers could lose one another's work there.
    #[error(
        "{url}: this store does not keep the condition {condition}, so two publishers could lose one another's work; use one that does"
    )]
    NoConditions {
        /// Where it was tried.
        url: String,
        /// Which header it ignores.
        condition: &'static str,
    },
    /// The pointer cannot be read, so nobody knows what version is next.
    #[error("{url}: {error}. Somebody else has written here: put back the newest file of `versions/`, or publish to another place")]
    Pointer {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        error: NoPublication,
    },
    /// A kept version is another than the one that was published.
    #[error("{url} is not the version that was published; somebody else has written here")]
    Altered {
        /// Where it is.
        url: String,
    },
    /// Nothing to go back to.
    #[error("version {of} cannot be rolled back to: {reason}")]
    Rollback {
        /// Which was asked for.
        of: u64,
        /// Why.
        reason: String,
    },
    /// The caller does not want to follow what is there.
    #[error("{0}")]
    Unwanted(String),
    /// Others were faster each time, or the store refuses all.
    #[error("{url}: nothing was published: the store has refused {ROUNDS} times to replace the pointer as it was read")]
    Refused {
        /// Where it is.
        url: String,
    },
    /// The store fails, and nothing was published.
    #[error("nothing was published: {0}")]
    Store(#[from] BlobError),
    /// The store failed while the pointer was written, and cannot be asked.
    #[error("it is not known whether version {version} was published: {error}. Publish again: a version that is there is found")]
    Unknown {
        /// Which.
        version: u64,
        /// How the store failed.
        error: BlobError,
    },
}

/// Publishes; `follows` may refuse to follow the current version.
///
/// # Errors
/// When nothing was published, or it is not known (`PublishError::Unknown`).
pub fn publish(
    blob: &dyn Blob,
    order: &Order<'_>,
    follows: &dyn Fn(&Publication) -> Result<(), String>,
) -> Result<Published, PublishError> {
    let bundle = match order.what {
        What::Files(files) => Some(archive::pack(files)?),
        What::Rollback(_) => None,
    };
    probe(blob)?;
    let mut publisher = Publisher { blob, order, bundle, tried: None };
    let (mut failures, mut lost) = (0, 0);
    loop {
        match publisher.round(follows) {
            Ok(Some(published)) => return Ok(published),
            Ok(None) if lost < ROUNDS => (failures, lost) = (0, lost + 1),
            Ok(None) => return Err(PublishError::Refused { url: blob.url(paths::CURRENT) }),
            Err(PublishError::Store(_)) if failures < PATIENCE => failures += 1,
            Err(PublishError::Store(error)) => {
                return Err(match publisher.tried {
                    Some(version) => PublishError::Unknown { version, error },
                    None => PublishError::Store(error),
                });
            }
            Err(error) => return Err(error),
        }
    }
}

/// Finds out whether the store keeps conditions.
fn probe(blob: &dyn Blob) -> Result<(), PublishError> {
    let ignored = |condition| PublishError::NoConditions { url: blob.url(paths::PROBE), condition };
    let put = |when| blob.put(paths::PROBE, b"\n", when);
    // The first publisher of all makes the object; for the others it is there, and must stay.
    if put(When::Absent)? == Put::Done && put(When::Absent)? == Put::Done {
        return Err(ignored("If-None-Match"));
    }
    if put(When::Is(NO_ETAG))? == Put::Done {
        return Err(ignored("If-Match"));
    }
    Ok(())
}

struct Publisher<'a> {
    blob: &'a dyn Blob,
    order: &'a Order<'a>,
    /// Not yet uploaded.
    bundle: Option<Vec<u8>>,
    /// The version that was last asked for. Unless a later one is there without ours, it may be ours.
    tried: Option<u64>,
}

impl Publisher<'_> {
    /// `None`: somebody was faster, or so it seems.
    fn round(&mut self, follows: &dyn Fn(&Publication) -> Result<(), String>) -> Result<Option<Published>, PublishError> {
        let (blob, order) = (self.blob, self.order);
        let current = read(blob, paths::CURRENT)?;
        if let (Some((current, ..)), Some(tried)) = (&current, self.tried)
            && let Some(own) = self.own(current, tried)?
        {
            return Ok(Some(Published::New(own)));
        }
        let (sha256, rollback_of) = match order.what {
            What::Files(files) => (sha256(&archive::pack(files)?), None),
            What::Rollback(of) => (self.older(of, current.as_ref().map(|(current, ..)| current))?, Some(of)),
        };
        if let Some((current, ..)) = &current {
            if current.sha256 == sha256 && order.key.is_none_or(|key| current.is_signed_by(&key.public())) {
                return Ok(Some(Published::Same(current.clone())));
            }
            follows(current).map_err(PublishError::Unwanted)?;
        }
        let previous = current.as_ref().map(|(p, ..)| Previous { version: p.version, sha256: p.sha256.clone() });
        let next = Publication {
            version: previous.as_ref().map_or(1, |previous| previous.version + 1),
            sha256,
            published_at: order.at.to_owned(),
            published_by: order.by.to_owned(),
            commit: order.commit.map(str::to_owned),
            rollback_of,
            previous,
            nonce: order.nonce.to_owned(),
            signature: None,
        };
        if let Some(field) = next.wrong_field() {
            return Err(PublishError::Order { field });
        }
        let next = match order.key {
            Some(key) => next.sign(key),
            None => next,
        };
        if let Some((current, content, _)) = &current {
            keep(blob, current.version, content)?;
        }
        if let Some(bundle) = &self.bundle {
            blob.put(&paths::bundle(&next.sha256), bundle, When::Always)?;
            self.bundle = None;
        }
        self.tried = Some(next.version);
        let when = current.as_ref().map_or(When::Absent, |(_, _, etag)| When::Is(etag));
        Ok(match blob.put(paths::CURRENT, &next.to_bytes(), when)? {
            Put::Done => Some(Published::New(next)),
            Put::Refused => None,
        })
    }

    /// What an earlier round published without knowing it.
    fn own(&self, current: &Publication, tried: u64) -> Result<Option<Publication>, PublishError> {
        let there =
            if current.version > tried { read(self.blob, &paths::version(tried))?.map(|(there, ..)| there) } else { Some(current.clone()) };
        Ok(there.filter(|there| there.nonce == self.order.nonce))
    }

    /// Hash of the bundle of an older version, which is looked at, so that a rollback never goes to nothing.
    fn older(&self, of: u64, current: Option<&Publication>) -> Result<String, PublishError> {
        let refused = |reason: String| PublishError::Rollback { of, reason };
        let newest = current.map_or(0, |current| current.version);
        if of == 0 || of >= newest {
            let current = if newest == 0 { "nothing is published".to_owned() } else { format!("the current version is {newest}") };
            return Err(refused(format!("{current}, and only an older one can be chosen")));
        }
        let older = match history::version(self.blob, of) {
            Err(HistoryError::Store(error)) => return Err(error.into()),
            found => found.map_err(|error| refused(error.to_string()))?,
        };
        history::bundle(self.blob, &older.sha256).map_err(|error| refused(error.to_string()))?;
        Ok(older.sha256)
    }
}

type Read = (Publication, Vec<u8>, String);

/// A publication, its bytes and its ETag.
fn read(blob: &dyn Blob, key: &str) -> Result<Option<Read>, PublishError> {
    let wrong = |error| PublishError::Pointer { url: blob.url(key), error };
    match blob.get(key, None, publication::MAX_BYTES)? {
        Got::Found { content, etag } => Ok(Some((Publication::parse(&content).map_err(wrong)?, content, etag))),
        Got::TooLarge => Err(wrong(NoPublication::TooLarge)),
        Got::Missing | Got::Same => Ok(None),
    }
}

/// Keeps the pointer that will be replaced. Another publisher may have done so.
fn keep(blob: &dyn Blob, version: u64, content: &[u8]) -> Result<(), PublishError> {
    let key = paths::version(version);
    if blob.put(&key, content, When::Absent)? == Put::Refused {
        let kept = blob.get(&key, None, publication::MAX_BYTES)?;
        if !matches!(kept, Got::Found { content: kept, .. } if kept == content) {
            return Err(PublishError::Altered { url: blob.url(&key) });
        }
    }
    Ok(())
}
