//! Waiting and trying again: what heals by itself is tried with growing, uneven waits until it is well, or the log is closed.

use crate::client::{Words, heals, words};
use platform_core::log::LogError;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub(crate) const FIRST: Duration = Duration::from_millis(50);
pub(crate) const MOST: Duration = Duration::from_secs(5);

/// Whether the log is closed, and what is wrong with it at present.
#[derive(Debug, Default)]
pub(crate) struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    /// What is wrong, by what is being done: gone once the same is done.
    troubles: BTreeMap<String, Words>,
    /// Why there is no connection, and whether it is our credentials or certificates: gone once anything is answered.
    connection: Option<(Words, bool)>,
    /// What was said last.
    said: Option<String>,
    /// For waits that differ: not randomness that anything depends on.
    turns: u64,
}

impl Inner {
    /// The most telling of what is wrong.
    fn worst(&self) -> Option<&str> {
        let connection = self.connection.iter().map(|(words, _)| words);
        let all = || self.troubles.values().chain(connection.clone());
        all().find(|words| !words.is_silence).or_else(|| all().next()).map(|words| words.text.as_str())
    }

    /// Says once what has changed.
    fn say(&mut self) {
        let worst = self.worst().map(str::to_owned);
        if worst == self.said {
            return;
        }
        match &worst {
            Some(trouble) => tracing::warn!(%trouble, "Kafka"),
            None => tracing::info!("Kafka is well again"),
        }
        self.said = worst;
    }
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
        self.lock().worst().map(str::to_owned)
    }

    /// Notes what is wrong with something that is being done, and says it once.
    pub(crate) fn troubled(&self, doing: &str, words: Words) {
        let mut inner = self.lock();
        inner.troubles.insert(doing.to_owned(), words);
        inner.say();
    }

    /// It was done, or is not wanted any more.
    pub(crate) fn well(&self, doing: &str) {
        let mut inner = self.lock();
        inner.troubles.remove(doing);
        inner.say();
    }

    /// No connection comes about; `ours`: because of what is set here.
    pub(crate) fn unconnected(&self, words: Words, ours: bool) {
        let mut inner = self.lock();
        // That nobody answers follows from it, and says less.
        if ours || inner.connection.as_ref().is_none_or(|(_, ours)| !ours) {
            inner.connection = Some((words, ours));
            inner.say();
        }
    }

    /// A broker answers.
    pub(crate) fn connected(&self) {
        let mut inner = self.lock();
        inner.connection = None;
        inner.troubles.retain(|_, words| !words.is_silence);
        inner.say();
    }

    /// Whether brokers refuse what is set here, so that clients are worth making anew: a password file may have been mended.
    pub(crate) fn is_refused(&self) -> bool {
        self.lock().connection.as_ref().is_some_and(|(_, ours)| *ours)
    }

    /// Does `attempt`, which needs `right`, until it succeeds, fails for good, or `patience` is used up.
    pub(crate) fn keep_trying<T>(
        &self,
        doing: &str,
        right: &str,
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
                    self.connected();
                    self.well(doing);
                    return Ok(done);
                }
                Err(error) => error,
            };
            let words = words(doing, right, &error);
            if !heals(&error) {
                return Err(LogError::Engine(words.text));
            }
            self.troubled(doing, words.clone());
            if let Some(patience) = patience.filter(|patience| waited >= *patience) {
                // A caller of some patience hears it, and nobody asks again: it would never be taken back.
                if !words.is_silence && !patience.is_zero() {
                    self.well(doing);
                }
                return Err(LogError::Engine(words.text));
            }
            waited += self.pause(wait);
            wait = (wait * 2).min(MOST);
        }
    }

    /// Does `attempt` until it succeeds; meanwhile what it says is shown as trouble with `doing`. `None` once the log is closed.
    pub(crate) fn insist<T>(&self, doing: &str, mut attempt: impl FnMut() -> Result<T, String>) -> Option<T> {
        let mut wait = FIRST;
        while !self.is_closed() {
            match attempt() {
                Ok(done) => {
                    self.well(doing);
                    return Some(done);
                }
                Err(text) => self.troubled(doing, Words { text, is_silence: false }),
            }
            self.pause(wait);
            wait = (wait * 2).min(MOST);
        }
        None
    }

    /// Waits between half of `wait` and all of it, or until the log is closed.
    pub(crate) fn pause(&self, wait: Duration) -> Duration {
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

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::error::RDKafkaErrorCode as Code;

    fn failing<T>(code: Code) -> Result<T, KafkaError> {
        Err(KafkaError::MetadataFetch(code))
    }

    #[test]
    fn a_trouble_goes_when_the_same_is_done_and_not_before() {
        let state = State::default();
        let denied = || words("writing to t", "WRITE", &KafkaError::MessageProduction(Code::TopicAuthorizationFailed));
        state.troubled("writing as x", denied());
        assert_eq!(state.keep_trying("asking", "DESCRIBE", None, || Ok(7)).unwrap(), 7);
        state.connected();
        assert!(state.trouble().unwrap().contains("grant WRITE on the topic"), "{:?}", state.trouble());
        state.well("writing as x");
        assert_eq!(state.trouble(), None);
    }

    #[test]
    fn the_reason_is_shown_before_the_silence_that_follows_from_it() {
        let state = State::default();
        let silent = state.keep_trying::<()>("asking", "DESCRIBE", Some(Duration::ZERO), || failing(Code::BrokerTransportFailure));
        assert!(silent.unwrap_err().to_string().contains("log.kafka.bootstrap"));
        assert!(state.trouble().unwrap().contains("no broker answers"));
        state.unconnected(words("talking", "", &KafkaError::Global(Code::Authentication)), true);
        state.unconnected(words("talking", "", &KafkaError::Global(Code::AllBrokersDown)), false);
        assert!(state.trouble().unwrap().contains("log.kafka.sasl") && state.is_refused());
        state.connected();
        assert_eq!(state.trouble(), None);
    }

    #[test]
    fn what_a_caller_gave_up_is_not_shown_for_ever() {
        let state = State::default();
        let patience = Some(Duration::from_millis(1));
        let denied = state.keep_trying::<()>("asking", "DESCRIBE", patience, || failing(Code::GroupAuthorizationFailed));
        assert!(denied.unwrap_err().to_string().contains("grant READ on groups"));
        assert_eq!(state.trouble(), None);
    }
}
