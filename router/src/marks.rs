//! Marks: what a worker writes into its own public partition beside the results, so that everything about a flip can be read from there.
//!
//! A *cut* says up to which window the old deployment is forwarded in this partition; a *sealed* says that the new one has answered for all
//! windows before it too. Readers of results pass over both: their schema is none of a result.

use crate::deployment::Deployment;
use crate::orders::FlipKind;
use platform_core::growth::Sums;
use serde::{Deserialize, Serialize};

/// Schema of a cut.
pub const SCHEMA_CUT: &str = "platform-cut/1";
/// Schema of a seal.
pub const SCHEMA_SEALED: &str = "platform-sealed/1";

/// From here on another deployment is forwarded in this partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Number of the flip.
    pub flip: u64,
    /// Partition, of both inputs and of the public topic.
    pub partition: u32,
    /// What was forwarded.
    pub from: Deployment,
    /// What is forwarded behind it.
    pub to: Deployment,
    /// How the flip was ordered.
    pub kind: FlipKind,
    /// The last window of the old deployment, as the first eight bytes of identities, read as a number; 0: none.
    pub cut: u64,
    /// Where the worker stands in the old one's log, and in the new one's.
    pub positions: (u64, u64),
    /// What the newest public window has in both deployments, as far as the worker has read it: window, old sums, new sums.
    pub compared: Option<(u64, Option<Sums>, Option<Sums>)>,
}

/// The new deployment answers for every window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// Number of the flip.
    pub flip: u64,
    /// Partition.
    pub partition: u32,
    /// Results of the new deployment that were looked at once more.
    pub looked_at: u64,
    /// Revisions that came of it.
    pub revisions: u64,
}

impl Cut {
    /// As a record's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a record's value.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(value: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(value)
    }
}

impl Sealed {
    /// As a record's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a record's value.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(value: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(value)
    }
}
