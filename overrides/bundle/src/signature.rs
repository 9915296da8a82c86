//! Who may publish: a pair of Ed25519 keys. The secret one stays where bundles are published; pipelines know the public one.
//!
//! A secret key is a PEM file of PKCS #8, as openssl has it too; a public key is its 32 bytes in base64. A secret key shows nothing of
//! itself, and is read from a file only.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Signs publications.
pub struct SecretKey(Ed25519KeyPair);

/// Proves who signed.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

/// Why a text is no key. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Not a secret key.
    #[error("not an Ed25519 secret key in PEM (PKCS #8), as `golden overrides keygen` makes it")]
    Secret,
    /// Not a public key.
    #[error("not an Ed25519 public key: 32 bytes in base64, as `golden overrides keygen` prints it")]
    Public,
}

impl SecretKey {
    /// A new one, and the PEM of it, which is to be kept secret.
    #[must_use]
    pub fn generate() -> (Self, String) {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).expect("the system has random numbers");
        let pem = format!("{BEGIN}\n{}\n{END}\n", STANDARD.encode(document.as_ref()));
        (Self::from_pem(&pem).expect("it was just made"), pem)
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is not one.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        let body = pem.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(BadKey::Secret)?;
        let body: String = body.split_ascii_whitespace().collect();
        let document = STANDARD.decode(body).map_err(|_| BadKey::Secret)?;
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).map(Self).map_err(|_| BadKey::Secret)
    }

    /// The key by which others know its signatures.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes"))
    }

    pub(crate) fn sign(&self, bytes: &[u8]) -> String {
        STANDARD.encode(self.0.sign(bytes).as_ref())
    }
}

impl PublicKey {
    pub(crate) fn has_signed(&self, bytes: &[u8], signature: &str) -> bool {
        let Ok(signature) = STANDARD.decode(signature) else { return false };
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, &signature).is_ok()
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| BadKey::Public)?;
        bytes.try_into().map(Self).map_err(|_| BadKey::Public)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}
