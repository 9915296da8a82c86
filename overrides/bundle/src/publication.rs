//! A publication: what a version is. The newest one is the pointer, `current.json`; older ones lie beside it, `versions/<version>.json`.
//!
//! Versions count from 1, without gaps. A publication names its bundle by content hash, the one before it, who made it, when, and from which
//! commit. `nonce` is random: by it a publisher knows its own work again after an answer was lost. What is signed is `SIGNED`, then the JSON
//! of all fields but the signature, in the order of this struct and without spaces.

use crate::signature::{PublicKey, SecretKey};
use golden_overrides::path::fits_name;
use serde::{Deserialize, Serialize};

/// Most bytes of a publication.
pub const MAX_BYTES: usize = 8 * 1024;
/// In front of what is signed, so that a signature is good for nothing else.
const SIGNED: &str = "golden-overrides-publication/1\n";
/// Versions and the numbers of other tools: all whole numbers below it are exact in a float.
const MAX_VERSION: u64 = 1 << 53;

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// From 1; each is one more than the one before.
    pub version: u64,
    /// SHA-256 of the bundle, in hexadecimal digits.
    pub sha256: String,
    /// When, as its publisher's clock said: RFC 3339.
    pub published_at: String,
    /// Who.
    pub published_by: String,
    /// Commit of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Older version whose bundle this is once more, in a rollback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<u64>,
    /// The version before; the first has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Random; two publications never have the same.
    pub nonce: String,
    /// Ed25519, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// The version before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its number.
    pub version: u64,
    /// SHA-256 of its bundle.
    pub sha256: String,
}

/// Why bytes are no publication.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPublication {
    /// Over `MAX_BYTES`.
    #[error("more than {MAX_BYTES} bytes")]
    TooLarge,
    /// Of another form.
    #[error("{0}")]
    Form(String),
    /// A field holds what it cannot hold.
    #[error("`{field}` is not as it must be")]
    Field {
        /// Which.
        field: &'static str,
    },
}

impl Publication {
    /// Reads one.
    ///
    /// # Errors
    /// When it is too large, of another form, or contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoPublication> {
        if bytes.len() > MAX_BYTES {
            return Err(NoPublication::TooLarge);
        }
        let read: Self = serde_json::from_slice(bytes).map_err(|error| NoPublication::Form(error.to_string()))?;
        match read.wrong_field() {
            Some(field) => Err(NoPublication::Field { field }),
            None => Ok(read),
        }
    }

    /// The bytes of it, for people too.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("texts and numbers can always be written");
        bytes.push(b'\n');
        bytes
    }

    /// The first field that holds what it cannot hold.
    #[must_use]
    pub fn wrong_field(&self) -> Option<&'static str> {
        let hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let follows = match &self.previous {
            None => self.version == 1,
            Some(previous) => previous.version.checked_add(1) == Some(self.version) && previous.version > 0 && hash(&previous.sha256),
        };
        let checks = [
            ("version", (1..MAX_VERSION).contains(&self.version)),
            ("sha256", hash(&self.sha256)),
            ("published_at", fits_name(&self.published_at)),
            ("published_by", fits_name(&self.published_by)),
            ("commit", self.commit.as_deref().is_none_or(fits_name)),
            ("rollback_of", self.rollback_of.is_none_or(|of| (1..self.version).contains(&of))),
            ("previous", follows),
            ("nonce", fits_name(&self.nonce)),
            ("signature", self.signature.as_deref().is_none_or(fits_name)),
        ];
        checks.into_iter().find(|(_, fits)| !fits).map(|(field, _)| field)
    }

    /// The same, signed.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> Self {
        let signature = key.sign(&self.signed_bytes());
        Self { signature: Some(signature), ..self }
    }

    /// Whether the owner of this key has signed it.
    #[must_use]
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.signature.as_deref().is_some_and(|signature| key.has_signed(&self.signed_bytes(), signature))
    }

    fn signed_bytes(&self) -> Vec<u8> {
        let unsigned = Self { signature: None, ..self.clone() };
        let json = serde_json::to_vec(&unsigned).expect("texts and numbers can always be written");
        [SIGNED.as_bytes(), &json].concat()
    }
}
