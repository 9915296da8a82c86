//! Polling: what is new, for a pipeline that must never take a bad bundle and never lose its good one.
//!
//! Checks come in the order in which they protect: signature, version, size, hash, form. Only what passes all of them is given out, whole;
//! everything else is an error, the caller goes on with what it has, and the next poll tries again. What is active is the caller's to keep:
//! it is told with each poll, so that a bundle that could not be activated is found again, also after a restart.

use crate::blob::{Blob, BlobError, Got};
use crate::history::{self, HistoryError};
use crate::paths;
use crate::publication::{self, NoPublication, Publication};
use crate::signature::PublicKey;
use golden_overrides::archive::Files;
use std::time::Duration;

/// Shortest interval between polls.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// Longest wait after a store failed.
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);

/// Asks a store for what is new.
pub struct Poller {
    blob: Box<dyn Blob>,
    key: Option<PublicKey>,
    interval: Duration,
    /// ETag of the pointer to a version that was active then.
    seen: Option<(String, u64)>,
    failing: Option<Failing>,
}

/// What the caller has in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Active {
    /// Version.
    pub version: u64,
    /// SHA-256 of its bundle.
    pub sha256: String,
}

/// What a poll finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing was published yet.
    Nothing,
    /// What is active is the newest.
    Unchanged,
    /// A newer version.
    New(Box<Bundle>),
}

/// A bundle that passed all checks of the whole. Its files are not compiled yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Version, hash, who, when, and whether it is a rollback.
    pub publication: Publication,
    /// Files by path.
    pub files: Files,
    /// The same as one object, to be kept.
    pub archive: Vec<u8>,
}

/// Polls that fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Nanoseconds since the epoch: when the first of them failed.
    pub since: i64,
    /// How many, in a row.
    pub polls: u32,
    /// Why the last one failed.
    pub error: PollError,
}

/// Why a poll brought nothing. What is active stays.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PollError {
    /// The store fails.
    #[error(transparent)]
    Store(BlobError),
    /// There was a version, and now there is none.
    #[error("{url} is gone; version {active} stays in force. Publish again, or put the pointer back")]
    Gone {
        /// Where it was.
        url: String,
        /// What stays.
        active: u64,
    },
    /// Not a pointer.
    #[error("{url}: {error}")]
    Pointer {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        error: NoPublication,
    },
    /// A key is set, and nobody signed.
    #[error("{url}: version {offered} has no signature, and one is required: publish it with --sign")]
    Unsigned {
        /// Where it is.
        url: String,
        /// Its version.
        offered: u64,
    },
    /// Signed by somebody else, or changed after it was signed.
    #[error("{url}: version {offered} is not signed with the key that is required, or was changed afterwards")]
    Signature {
        /// Where it is.
        url: String,
        /// Its version.
        offered: u64,
    },
    /// An older version came back.
    #[error("{url}: version {offered} is older than {active}, which is in force; to go back, publish with --rollback")]
    Older {
        /// Where it is.
        url: String,
        /// Its version.
        offered: u64,
        /// What stays.
        active: u64,
    },
    /// The same version with another content.
    #[error("{url}: version {offered} is in force with another content; versions never change, so publish a new one")]
    Altered {
        /// Where it is.
        url: String,
        /// Its version.
        offered: u64,
    },
    /// The bundle is missing, too large, of another hash or form.
    #[error("version {offered}: {error}")]
    Bundle {
        /// Its version.
        offered: u64,
        /// What is wrong with it.
        error: HistoryError,
    },
}

impl PollError {
    /// A word for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Store(_) => "unreachable",
            Self::Gone { .. } => "gone",
            Self::Pointer { .. } => "pointer",
            Self::Unsigned { .. } => "unsigned",
            Self::Signature { .. } => "signature",
            Self::Older { .. } => "older",
            Self::Altered { .. } => "altered",
            Self::Bundle { error, .. } => match error {
                HistoryError::TooLarge { .. } => "too_large",
                HistoryError::Hash { .. } => "hash",
                HistoryError::Missing { .. } => "bundle_missing",
                _ => "bundle",
            },
        }
    }
}

impl Poller {
    /// Polls every `interval`, but not more often than `SHORTEST`. With a key, only what its owner signed is taken.
    #[must_use]
    pub fn new(blob: Box<dyn Blob>, key: Option<PublicKey>, interval: Duration) -> Self {
        Self { blob, key, interval: interval.max(SHORTEST), seen: None, failing: None }
    }

    /// Asks once. `now`: nanoseconds since the epoch.
    ///
    /// # Errors
    /// When nothing can be read, or what is there is refused.
    pub fn poll(&mut self, now: i64, active: Option<&Active>) -> Result<Found, PollError> {
        let found = self.look(active);
        match &found {
            Ok(_) => self.failing = None,
            Err(error) => {
                let before = self.failing.take();
                let (since, polls) = before.map_or((now, 0), |before| (before.since, before.polls));
                self.failing = Some(Failing { since, polls: polls.saturating_add(1), error: error.clone() });
            }
        }
        found
    }

    /// Why polls fail, and since when; `None` when the last one did not.
    #[must_use]
    pub fn failing(&self) -> Option<&Failing> {
        self.failing.as_ref()
    }

    /// How long to wait for the next poll: the interval, a tenth more or less, so that many pipelines do not ask at once; after a store failed
    /// 1 s, 2 s, 4 s … to a minute, up to a half less. `random` is any number, another each time.
    #[must_use]
    pub fn wait(&self, random: u64) -> Duration {
        let share = (random % 1001) as f64 / 1000.0;
        match &self.failing {
            Some(Failing { error: PollError::Store(_), polls, .. }) => {
                let doubled = SHORTEST.saturating_mul(1 << (polls - 1).min(16));
                doubled.min(LONGEST_BACKOFF).mul_f64(0.5 + share / 2.0)
            }
            _ => self.interval.mul_f64(0.9 + share / 5.0),
        }
    }

    fn look(&mut self, active: Option<&Active>) -> Result<Found, PollError> {
        let url = || self.blob.url(paths::CURRENT);
        let known = self.seen.as_ref().filter(|(_, version)| active.is_some_and(|active| active.version == *version));
        let known = known.map(|(etag, _)| etag.as_str());
        let (content, etag) = match self.blob.get(paths::CURRENT, known, publication::MAX_BYTES).map_err(PollError::Store)? {
            Got::Found { content, etag } => (content, etag),
            Got::Same => return Ok(Found::Unchanged),
            Got::Missing => return active.map_or(Ok(Found::Nothing), |a| Err(PollError::Gone { url: url(), active: a.version })),
            Got::TooLarge => return Err(PollError::Pointer { url: url(), error: NoPublication::TooLarge }),
        };
        let publication = Publication::parse(&content).map_err(|error| PollError::Pointer { url: url(), error })?;
        let offered = publication.version;
        if let Some(key) = &self.key {
            if publication.signature.is_none() {
                return Err(PollError::Unsigned { url: url(), offered });
            }
            if !publication.is_signed_by(key) {
                return Err(PollError::Signature { url: url(), offered });
            }
        }
        if let Some(active) = active {
            if offered < active.version {
                return Err(PollError::Older { url: url(), offered, active: active.version });
            }
            if offered == active.version && publication.sha256 != active.sha256 {
                return Err(PollError::Altered { url: url(), offered });
            }
            if offered == active.version {
                self.seen = Some((etag, offered));
                return Ok(Found::Unchanged);
            }
        }
        let (archive, files) = match history::bundle(self.blob.as_ref(), &publication.sha256) {
            Err(HistoryError::Store(error)) => return Err(PollError::Store(error)),
            found => found.map_err(|error| PollError::Bundle { offered, error })?,
        };
        // Good for the next poll, if this version is active by then.
        self.seen = Some((etag, offered));
        Ok(Found::New(Box::new(Bundle { publication, files, archive })))
    }
}
