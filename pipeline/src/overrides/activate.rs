//! Writes an activation: content and the record that names it, in one transaction.
//!
//! One writer at a time: taking the transactional id fences whoever had it, then the log is read to its end, and only then something is
//! written, so the newcomer either fences the old writer or sees what it wrote (GUARANTEES R2). Any process may do it; a version that
//! stands in the log already is not written again.

use crate::names::{CONTENT_TYPE, PIPELINE, SCHEMA};
use crate::overrides::record::{Activate, PIECE, SCHEMA_ACTIVATE, SCHEMA_CONTENT};
use crate::overrides::rules::{Rules, Timeline, Versions};
use golden_overrides::archive::{self, ArchiveError, Files};
use platform_core::log::{Claim, CommitError, Log, LogError};
use platform_core::record::{NewRecord, Partition, Topic};

/// Why nothing was activated. What was in force stays, and it may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ActivateError {
    /// The control log cannot be read.
    #[error("the control log cannot be read: {0}")]
    Read(#[from] LogError),
    /// Its end did not come in time.
    #[error("the control log was not read to its end in time")]
    End,
    /// The transaction did not take place, or nobody knows.
    #[error("the control log cannot be written: {0}")]
    Write(#[from] CommitError),
    /// Too many files, or too large.
    #[error("the files cannot be activated: {0}")]
    Files(#[from] ArchiveError),
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activated {
    /// It stands in the log.
    Written,
    /// The log had this version, or a newer one, already.
    Known,
}

/// What an activation is made of, once everything that was activated before is known.
pub struct Content {
    /// What the record says; hashes of files are filled in.
    pub said: Activate,
    /// Files that will be in force.
    pub live: Files,
    /// Files that are evaluated beside them.
    pub shadow: Files,
}

/// Activates a version unless the log has it or a newer one. `content` is given what was activated so far, newest last.
///
/// # Errors
/// What failed; then trying again is right, and finds out what took place.
pub fn activate(
    log: &dyn Log,
    topic: &Topic,
    rules: &Rules,
    version: u64,
    content: impl FnOnce(&Versions) -> Result<Content, ArchiveError>,
) -> Result<Activated, ActivateError> {
    let mut writer = log.writer(&format!("{PIPELINE}.control"))?;
    let mut timeline = Timeline::default();
    rules.refresh(&mut timeline)?.ok_or(ActivateError::End)?;
    if timeline.versions().last().is_some_and(|newest| newest.said.version >= version) {
        return Ok(Activated::Known);
    }
    let Content { mut said, live, shadow } = content(&timeline.versions().to_vec())?;
    let to = Partition::new(topic, 0);
    for (files, name) in [(live, &mut said.live), (shadow, &mut said.shadow)] {
        name.clear();
        if files.is_empty() {
            continue;
        }
        let packed = archive::pack(&files)?;
        *name = archive::sha256(&packed);
        let headers = [(SCHEMA, SCHEMA_CONTENT.as_bytes())];
        for piece in packed.chunks(PIECE) {
            writer.append(&to, NewRecord { key: Some(name.as_bytes()), headers: &headers, value: Some(piece) })?;
        }
    }
    let headers = [(SCHEMA, SCHEMA_ACTIVATE.as_bytes()), (CONTENT_TYPE, b"application/json".as_slice())];
    writer.append(&to, NewRecord { key: None, headers: &headers, value: Some(&said.encode()) })?;
    // No positions are committed with it, so no claim is looked at.
    writer.commit(&Claim { group: String::new(), member: 0, generation: 0 }, &[])?;
    Ok(Activated::Written)
}
