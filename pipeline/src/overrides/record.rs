//! A decision as it stands in the control log: content in pieces, then the record that names it and says from when on it counts.
//!
//! All of it is one transaction, so S3 may vanish afterwards. A piece is `sha256 of the whole` in the key and bytes in the value; whoever
//! reads the log puts pieces together and needs them only until the record behind them. Records of other schemas are passed over.

use golden_overrides::archive::{self, Files};
use platform_core::planted::{Bug, planted};
use platform_core::time::EventTime;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Schema of a piece of content.
pub const SCHEMA_CONTENT: &str = "golden-signals-content/1";
/// Schema of an activation.
pub const SCHEMA_ACTIVATE: &str = "golden-signals-activate/1";
/// Largest piece: fits the message limit that brokers have by default.
pub const PIECE: usize = 512 * 1024;

/// From a window on, these files are in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activate {
    /// Version of the bundle; rises.
    pub version: u64,
    /// SHA-256 of the bundle as it was published.
    pub bundle: String,
    /// SHA-256 of the archive of files that are in force: good ones, and the last good ones in place of bad ones.
    pub live: String,
    /// SHA-256 of the archive of files that are evaluated beside the live ones; empty when there are none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub shadow: String,
    /// Not before this window, in ns; the log's own time bounds it from below.
    pub from_window: i64,
    /// Distance from the append of this record to the first window that it can touch, in ns.
    pub lead: i64,
    /// Who published it, as they said.
    #[serde(default)]
    pub published_by: String,
    /// When it was published, RFC 3339, as they said.
    #[serde(default)]
    pub published_at: String,
    /// The commit that it was made from, as they said.
    #[serde(default)]
    pub commit: String,
    /// An older version whose content this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<u64>,
    /// Files that were refused; their services keep what they had.
    #[serde(default)]
    pub rejected: Vec<Rejected>,
}

/// A file that was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Path below the folder of overrides.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an activation that stands in the log cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadActivate {
    /// Not of this form.
    #[error("it cannot be read: {0}")]
    Form(String),
    /// Its content does not stand before it.
    #[error("its content {0} is not there as it was written")]
    Content(String),
}

impl Activate {
    /// As the record's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Texts and integers only: there is nothing in it that JSON has no form for.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From the record's value.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(value: &[u8]) -> Result<Self, BadActivate> {
        serde_json::from_slice(value).map_err(|error| BadActivate::Form(error.to_string()))
    }

    /// First window of this length, in the epoch's grid, that it can touch, when the log took it at `append` ns.
    #[must_use]
    pub fn effective(&self, append: i64, window_nanos: i64) -> EventTime {
        if planted(Bug::CountsWhenRead) {
            return EventTime::MIN;
        }
        let length = window_nanos.max(1);
        let up = |time: i64| time.div_euclid(length).saturating_add(i64::from(time.rem_euclid(length) > 0)).saturating_mul(length);
        EventTime(up(append.saturating_add(self.lead)).max(up(self.from_window)))
    }
}

/// Pieces of content that wait for the record that names them.
#[derive(Debug, Default)]
pub struct Pieces(BTreeMap<String, Vec<u8>>);

impl Pieces {
    /// Adds a piece. More than a bundle may have is not kept, and shows as content that is not there.
    pub fn add(&mut self, key: &[u8], value: &[u8]) {
        let content = self.0.entry(String::from_utf8_lossy(key).into_owned()).or_default();
        if content.len() + value.len() <= archive::MAX_BYTES {
            content.extend_from_slice(value);
        }
    }

    /// The files that an activation names by the hash of their archive. No hash, no files.
    ///
    /// # Errors
    /// When they are not there, or not as they were written.
    pub fn files(&self, sha256: &str) -> Result<Files, BadActivate> {
        if sha256.is_empty() {
            return Ok(Files::new());
        }
        let missing = || BadActivate::Content(sha256.to_owned());
        let content = self.0.get(sha256).filter(|content| archive::sha256(content) == sha256).ok_or_else(missing)?;
        archive::unpack(content).map_err(|_| missing())
    }

    /// Forgets all pieces.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activate() -> Activate {
        Activate {
            version: 7,
            bundle: "b".to_owned(),
            live: String::new(),
            shadow: String::new(),
            from_window: 0,
            lead: 120,
            published_by: "mina".to_owned(),
            published_at: "2026-11-21T10:00:00Z".to_owned(),
            commit: String::new(),
            rollback_of: None,
            rejected: vec![Rejected { path: "a/b.yaml".to_owned(), line: 3, reason: "no".to_owned() }],
        }
    }

    #[test]
    fn an_activation_comes_out_as_it_went_in() {
        assert_eq!(Activate::decode(&activate().encode()), Ok(activate()));
        assert!(matches!(Activate::decode(b"{}"), Err(BadActivate::Form(_))));
    }

    #[test]
    fn it_counts_from_the_first_window_that_starts_lead_after_its_append_or_later_when_it_says_so() {
        let of = |from_window, append| Activate { from_window, ..activate() }.effective(append, 60).0;
        assert_eq!([of(0, 0), of(0, 1), of(0, 60), of(0, 61)], [120, 180, 180, 240]);
        assert_eq!([of(600, 0), of(601, 0)], [600, 660]);
        assert_eq!(of(i64::MIN, -500), -360);
    }

    #[test]
    fn content_is_what_was_written_or_is_not_there() {
        let files = Files::from([("a/b.yaml".to_owned(), b"owner: a".to_vec())]);
        let packed = archive::pack(&files).unwrap();
        let name = archive::sha256(&packed);
        let (first, second) = packed.split_at(20);
        let mut pieces = Pieces::default();
        pieces.add(name.as_bytes(), first);
        assert_eq!(pieces.files(&name), Err(BadActivate::Content(name.clone())));
        pieces.add(name.as_bytes(), second);
        assert_eq!(pieces.files(&name), Ok(files));
        pieces.add(name.as_bytes(), b"more");
        assert!(pieces.files(&name).is_err());
        assert_eq!(pieces.files(""), Ok(Files::new()));
    }
}
