//! Objects in memory, with failures at chosen writes.

use golden_bundle::blob::{Blob, BlobError, Got, Put, When};
use golden_overrides::archive::sha256;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// What becomes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// Not done, and an error.
    Failed,
    /// Done, and an error.
    AnswerLost,
}

/// Clones share the objects, and each has a fate of its own.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) objects: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    pub(crate) puts: Arc<Mutex<usize>>,
    /// Number of the put from 0 on and what becomes of it.
    pub(crate) fate: Option<fn(usize, usize) -> Fate>,
    pub(crate) at: usize,
    /// Whether reads fail once a put has failed.
    pub(crate) dies: bool,
    /// Whether no condition ever holds.
    pub(crate) refuses: bool,
    /// Runs after each put that lost its answer.
    pub(crate) then: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl Memory {
    fn failed(&self, key: &str) -> BlobError {
        BlobError { url: self.url(key), reason: "away".to_owned() }
    }

    fn fate_of(&self, put: usize) -> Fate {
        self.fate.map_or(Fate::Done, |fate| fate(put, self.at))
    }
}

impl Blob for Memory {
    fn url(&self, key: &str) -> String {
        format!("memory/{key}")
    }

    fn get(&self, key: &str, known: Option<&str>, most: usize) -> Result<Got, BlobError> {
        let puts = *self.puts.lock().unwrap();
        if self.dies && puts > 0 && self.fate_of(puts - 1) != Fate::Done {
            return Err(self.failed(key));
        }
        let objects = self.objects.lock().unwrap();
        let Some(content) = objects.get(key) else { return Ok(Got::Missing) };
        let etag = sha256(content);
        Ok(if known == Some(etag.as_str()) {
            Got::Same
        } else if content.len() > most {
            Got::TooLarge
        } else {
            Got::Found { content: content.clone(), etag }
        })
    }

    fn put(&self, key: &str, content: &[u8], when: When<'_>) -> Result<Put, BlobError> {
        let number = {
            let mut puts = self.puts.lock().unwrap();
            *puts += 1;
            *puts - 1
        };
        let fate = self.fate_of(number);
        if fate == Fate::Failed {
            return Err(self.failed(key));
        }
        let mut objects = self.objects.lock().unwrap();
        let holds = match when {
            When::Always => true,
            _ if self.refuses => false,
            When::Absent => !objects.contains_key(key),
            When::Is(etag) => objects.get(key).is_some_and(|present| sha256(present) == etag),
        };
        if holds {
            objects.insert(key.to_owned(), content.to_vec());
        }
        drop(objects);
        if fate == Fate::AnswerLost {
            if let Some(then) = &self.then {
                then();
            }
            return Err(self.failed(key));
        }
        Ok(if holds { Put::Done } else { Put::Refused })
    }
}
