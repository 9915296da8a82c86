//! What a process shows of overrides: the versions that it has seen in the control log, and how its polls for new ones go.
//!
//! Written by whoever polls and reads the log, read by the API, metrics and pages. Decides nothing: tasks keep timelines of their own.

use crate::overrides::activation::Activation;
use crate::overrides::rules::{Rules, Timeline};
use platform_core::log::LogError;
use std::sync::{Arc, Mutex, PoisonError};

/// How polls for new versions go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polls {
    /// Where bundles are published; empty in a process that does not poll.
    pub place: String,
    /// When a poll last succeeded, in ns since 1970.
    pub last_success: Option<i64>,
    /// Since when polls fail, in ns since 1970, and why the last one did.
    pub failing: Option<(i64, String)>,
}

/// Shared by those who write it and those who show it.
#[derive(Debug, Default)]
pub struct Board {
    timeline: Mutex<Timeline>,
    polls: Mutex<Polls>,
}

impl Board {
    /// Takes over what is new in the control log.
    ///
    /// # Errors
    /// When it cannot be read; what was known stays.
    pub fn refresh(&self, rules: &Rules) -> Result<(), LogError> {
        // Reading may take a while, and whoever looks meanwhile sees what was known.
        let mut timeline = self.timeline();
        rules.refresh(&mut timeline)?;
        *self.timeline.lock().unwrap_or_else(PoisonError::into_inner) = timeline;
        Ok(())
    }

    /// Says how polls go.
    pub fn polled(&self, polls: Polls) {
        *self.polls.lock().unwrap_or_else(PoisonError::into_inner) = polls;
    }

    /// All versions that can be asked for, as far as they are known here.
    #[must_use]
    pub fn timeline(&self) -> Timeline {
        self.timeline.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest version, which may not be in force yet.
    #[must_use]
    pub fn newest(&self) -> Option<Arc<Activation>> {
        self.timeline().versions().last().cloned()
    }

    /// How polls go.
    #[must_use]
    pub fn polls(&self) -> Polls {
        self.polls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
