//! Objects that are read and written whole, on condition: all that publishing and polling need of S3.
//!
//! A writer that names the ETag it has read changes the object only if nobody else has. **A write that gives an error may have happened, or
//! may happen later**: who must know reads it back. Objects are never deleted here.

/// A place that holds objects by key. Keys are those of `paths`.
pub trait Blob: Send {
    /// Where an object is, as people write it.
    fn url(&self, key: &str) -> String;

    /// Reads an object of at most `most` bytes; with `known`, only if its ETag is another.
    ///
    /// # Errors
    /// When it cannot be told what is there.
    fn get(&self, key: &str, known: Option<&str>, most: usize) -> Result<Got, BlobError>;

    /// Writes an object on a condition. When it returns, the object is durable.
    ///
    /// # Errors
    /// When it is not known to be written; it may be, now or later.
    fn put(&self, key: &str, content: &[u8], when: When<'_>) -> Result<Put, BlobError>;
}

/// What reading gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// It is there.
    Found {
        /// All of it.
        content: Vec<u8>,
        /// Names this content; for `When::Is` and the next `get`.
        etag: String,
    },
    /// It is what was known.
    Same,
    /// There is none.
    Missing,
    /// It has more bytes than were asked for.
    TooLarge,
}

/// Condition of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When<'a> {
    /// None.
    Always,
    /// There is no object.
    Absent,
    /// The object has this ETag.
    Is(&'a str),
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// Written.
    Done,
    /// The condition does not hold. After a lost answer this may be the writer's own doing.
    Refused,
}

/// Why it is not known what is there, or what became of a write. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {reason}")]
pub struct BlobError {
    /// Which object.
    pub url: String,
    /// What happened, and what can be done about it.
    pub reason: String,
}
