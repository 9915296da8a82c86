//! Orders: what the control log says of deployments and flips, and what follows from it.
//!
//! The control log has one writer at a time (a transactional id; take it, read to the end, then write). Everybody else folds what stands
//! there. A record that does not follow from those before it is passed over, by all readers alike: so two who decide at once can annoy
//! each other, and never do harm. Orders ask; workers cut (`marks`), each its own partition, when it comes to it.
//! What this does not do: it decides nothing, reads no log, and knows no clock.

use crate::deployment::{Colour, Deployment};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Schema of an order.
pub const SCHEMA_ORDER: &str = "platform-order/1";

/// An order as it stands in the log: who gives it, why, and what it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Who: a person or a controller, as they said.
    pub by: String,
    /// Why, in a sentence.
    pub reason: String,
    /// What.
    #[serde(flatten)]
    pub order: Order,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// A deployment begins. The first one of all is live from the beginning.
    Start(Start),
    /// Forward another deployment.
    Flip(Flip),
    /// A deployment is given up for good: nothing of it is forwarded any more, and others answer for its windows.
    Abandon {
        /// Which one.
        deployment: Deployment,
    },
    /// The old deployment of a flip answers for no window any more; the new one does for all.
    Seal {
        /// Number of the flip.
        flip: u64,
    },
    /// A flip is over.
    Done {
        /// Its number.
        flip: u64,
        /// What is proved of it (`receipt`).
        receipt: serde_json::Value,
    },
    /// Whether controllers leave flips to people.
    Hold {
        /// Whether.
        hold: bool,
    },
    /// Something was asked for and refused; `reason` says why.
    Refused {
        /// What was asked for.
        asked: String,
        /// What is proved of it: nothing changed.
        receipt: serde_json::Value,
    },
}

/// A deployment begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Which one.
    pub deployment: Deployment,
    /// Version of the program and of what it is set to, for people and for comparisons: equal versions give equal totals.
    pub version: String,
    /// First window that it answers for, as the first eight bytes of identities, read as a number; 0: all.
    pub owned_from: u64,
    /// Where it begins to read its sources: topic, partition, offset. A partition that is not named is read from its start.
    pub positions: Vec<(String, u32, u64)>,
}

/// Forward another deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flip {
    /// One more than the flip before; the first has 1.
    pub flip: u64,
    /// What is live.
    pub from: Deployment,
    /// What will be.
    pub to: Deployment,
    /// In order, or because the live one cannot go on.
    pub kind: FlipKind,
    /// For a planned one: the last window of the old deployment, or a later one where more of it is published already.
    pub window: u64,
}

/// Why a flip is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlipKind {
    /// Both go on; the old one corrects its windows until it is sealed.
    Planned,
    /// The old one is abandoned where it stands.
    Failure,
}

/// How far a flip has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Flipped {
    /// What was ordered.
    pub order: Flip,
    /// Who ordered it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When the log took it, in ns.
    pub at: i64,
    /// Whether the old one was sealed.
    pub sealed: bool,
    /// What is proved of it, once it is over.
    pub receipt: Option<serde_json::Value>,
}

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What was asked for.
    pub asked: String,
    /// By whom.
    pub by: String,
    /// Why not.
    pub reason: String,
    /// When the log took it, in ns.
    pub at: i64,
    /// What is proved of it.
    pub receipt: serde_json::Value,
}

/// What the control log says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Orders {
    started: BTreeMap<Deployment, Start>,
    /// When the log took their starts, in ns.
    started_at: BTreeMap<Deployment, i64>,
    first: Option<Deployment>,
    flips: Vec<Flipped>,
    abandoned: BTreeSet<Deployment>,
    hold: bool,
    refused: Vec<Refusal>,
}

/// Why a record of the control log is passed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Passed {
    /// Not of this form: of a newer version, or damaged.
    #[error("it cannot be read: {0}")]
    Form(String),
    /// It does not follow from what stands before it.
    #[error("it does not follow from what stands before it: {0}")]
    Order(&'static str),
}

impl Entry {
    /// As a record's value.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// From a record's value.
    ///
    /// # Errors
    /// When it is none.
    pub fn decode(value: &[u8]) -> Result<Self, Passed> {
        serde_json::from_slice(value).map_err(|error| Passed::Form(error.to_string()))
    }
}

impl Orders {
    /// Takes the next entry, which the log took at `at` ns.
    ///
    /// # Errors
    /// When it does not follow from those before; then nothing has changed.
    pub fn apply(&mut self, entry: Entry, at: i64) -> Result<(), Passed> {
        let Entry { by, reason, order } = entry;
        match order {
            Order::Start(start) => self.start(start, at)?,
            Order::Flip(order) => {
                self.check(&order)?;
                if order.kind == FlipKind::Failure {
                    self.abandoned.insert(order.from);
                }
                self.flips.push(Flipped { order, by, reason, at, sealed: false, receipt: None });
            }
            Order::Abandon { deployment } => {
                if self.live() == Some(deployment) {
                    return Err(Passed::Order("the live deployment is abandoned by a flip only"));
                }
                if !self.started.contains_key(&deployment) {
                    return Err(Passed::Order("no such deployment"));
                }
                self.abandoned.insert(deployment);
            }
            Order::Seal { flip } => self.of(flip)?.sealed = true,
            Order::Done { flip, receipt } => self.of(flip)?.receipt = Some(receipt),
            Order::Hold { hold } => self.hold = hold,
            Order::Refused { asked, receipt } => self.refused.push(Refusal { asked, by, reason, at, receipt }),
        }
        Ok(())
    }

    fn start(&mut self, start: Start, at: i64) -> Result<(), Passed> {
        let deployment = start.deployment;
        if self.started.keys().any(|other| other.epoch >= deployment.epoch) {
            return Err(Passed::Order("its epoch does not rise"));
        }
        if self.live().is_some_and(|live| live.colour == deployment.colour) {
            return Err(Passed::Order("its colour is live"));
        }
        // Whoever had the place before has ended.
        self.abandoned.extend(self.started.keys().filter(|other| other.colour == deployment.colour));
        self.first.get_or_insert(deployment);
        self.started.insert(deployment, start);
        self.started_at.insert(deployment, at);
        Ok(())
    }

    /// Whether a flip follows from what stands here.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, flip: &Flip) -> Result<(), Passed> {
        if flip.flip != self.next_flip() {
            return Err(Passed::Order("its number is not the next one"));
        }
        if self.live() != Some(flip.from) {
            return Err(Passed::Order("what it flips from is not live"));
        }
        if !self.started.contains_key(&flip.to) || self.abandoned.contains(&flip.to) || flip.to.colour == flip.from.colour {
            return Err(Passed::Order("what it flips to does not run"));
        }
        Ok(())
    }

    fn of(&mut self, flip: u64) -> Result<&mut Flipped, Passed> {
        self.flips.iter_mut().find(|f| f.order.flip == flip).ok_or(Passed::Order("no such flip"))
    }

    /// The deployment whose new windows are forwarded, once every worker has cut.
    #[must_use]
    pub fn live(&self) -> Option<Deployment> {
        self.flips.last().map(|flip| flip.order.to).or(self.first)
    }

    /// The deployment that was live before any flip.
    #[must_use]
    pub fn first(&self) -> Option<Deployment> {
        self.first
    }

    /// The newest deployment of a colour that has not ended.
    #[must_use]
    pub fn running(&self, colour: Colour) -> Option<&Start> {
        self.started.iter().rev().find(|(d, _)| d.colour == colour && !self.abandoned.contains(d)).map(|(_, start)| start)
    }

    /// The deployment that had a colour's place at a time of the log, in ns: for what does not say who wrote it.
    #[must_use]
    pub fn at(&self, colour: Colour, time: i64) -> Option<Deployment> {
        self.started_at.iter().rev().find(|(d, at)| d.colour == colour && **at <= time).map(|(d, _)| *d)
    }

    /// What was said when a deployment began.
    #[must_use]
    pub fn start_of(&self, deployment: Deployment) -> Option<&Start> {
        self.started.get(&deployment)
    }

    /// Everything that was given up.
    #[must_use]
    pub fn abandoned(&self) -> &BTreeSet<Deployment> {
        &self.abandoned
    }

    /// Whether a deployment was given up.
    #[must_use]
    pub fn is_abandoned(&self, deployment: Deployment) -> bool {
        self.abandoned.contains(&deployment)
    }

    /// All flips, oldest first.
    #[must_use]
    pub fn flips(&self) -> &[Flipped] {
        &self.flips
    }

    /// The flip of a number.
    #[must_use]
    pub fn flip(&self, number: u64) -> Option<&Flipped> {
        self.flips.iter().find(|flip| flip.order.flip == number)
    }

    /// Number of the next flip.
    #[must_use]
    pub fn next_flip(&self) -> u64 {
        self.flips.last().map_or(1, |flip| flip.order.flip + 1)
    }

    /// Epoch of the next deployment.
    #[must_use]
    pub fn next_epoch(&self) -> u32 {
        self.started.keys().map(|d| d.epoch).max().unwrap_or(0) + 1
    }

    /// Whether controllers leave flips to people.
    #[must_use]
    pub fn on_hold(&self) -> bool {
        self.hold
    }

    /// What was refused, oldest first.
    #[must_use]
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }
}

#[cfg(test)]
mod tests;
