//! Waiting and trying again: what heals by itself is tried with growing, uneven waits until it is well, or the log is closed.

use crate::client::{Words, heals, words};
use platform_core::log::LogError;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(5);

/// Whether the log is closed, and what is wrong with it at present.
#[derive(Debug, Default)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    trouble: Option<String>,
    /// Of what else is waited for, by its name.
    others: BTreeMap<&'static str, String>,
    /// For waits that differ: not randomness that anything depends on.
    turns: u64,
}

impl State {
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        let inner = self.lock();
        inner.trouble.as_ref().or_else(|| inner.others.values().next()).cloned()
    }

    /// Notes what is wrong, and says it once.
    pub(crate) fn troubled(&self, words: &Words) {
        let mut inner = self.lock();
        if inner.trouble.as_ref() != Some(&words.0) {
            tracing::warn!(trouble = %words.0, "Kafka");
            inner.trouble = Some(words.0.clone());
        }
    }

    pub(crate) fn well(&self) {
        let mut inner = self.lock();
        if inner.trouble.take().is_some() {
            tracing::info!("Kafka is well again");
        }
    }

    /// Does `attempt` until it succeeds, fails for good, or `patience` is used up.
    pub(crate) fn keep_trying<T>(
        &self,
        doing: &str,
        patience: Option<Duration>,
        mut attempt: impl FnMut() -> Result<T, KafkaError>,
    ) -> Result<T, LogError> {
        let (mut wait, mut waited) = (FIRST, Duration::ZERO);
        loop {
            if self.is_closed() {
                return Err(LogError::Closed);
            }
            let error = match attempt() {
                Ok(done) => {
                    self.well();
                    return Ok(done);
                }
                Err(error) => error,
            };
            let words = words(doing, &error);
            if !heals(&error) {
                return Err(LogError::Engine(words.0));
            }
            self.troubled(&words);
            if patience.is_some_and(|patience| waited >= patience) {
                return Err(LogError::Engine(words.0));
            }
            waited += self.pause(wait);
            wait = (wait * 2).min(MOST);
        }
    }

    /// Does `attempt` until it succeeds; meanwhile what it says is shown as trouble under `name`. `None` once the log is closed.
    pub(crate) fn insist<T>(&self, name: &'static str, mut attempt: impl FnMut() -> Result<T, String>) -> Option<T> {
        let mut wait = FIRST;
        while !self.is_closed() {
            match attempt() {
                Ok(done) => {
                    if self.lock().others.remove(name).is_some() {
                        tracing::info!(name, "well again");
                    }
                    return Some(done);
                }
                Err(words) => {
                    if self.lock().others.insert(name, words.clone()).as_ref() != Some(&words) {
                        tracing::warn!(trouble = %words, name, "waiting");
                    }
                }
            }
            self.pause(wait);
            wait = (wait * 2).min(MOST);
        }
        None
    }

    /// Waits between half of `wait` and all of it, or until the log is closed.
    fn pause(&self, wait: Duration) -> Duration {
        let mut inner = self.lock();
        inner.turns = inner.turns.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let wait = wait / 2 + wait.mul_f64((inner.turns >> 33) as f64 / (1_u64 << 32) as f64);
        drop(self.changed.wait_timeout_while(inner, wait, |inner| !inner.closed));
        wait
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
