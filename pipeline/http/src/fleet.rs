//! The fleet as the API tells it: one entry for each service, made once and kept until the service changes.
//!
//! Each change has a number that rises, so that a stream says what changed since the last one that a client has seen. Which beginning the
//! numbers count from is named too: after a restart, or when a service is gone, the whole fleet is told again.

use crate::api::services;
use crate::problem::Problem;
use crate::state::AppState;
use golden_pipeline::history::ServiceNow;
use golden_pipeline::overrides::activation::Activation;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// One service, ready to be sent.
#[derive(Debug)]
pub(crate) struct Entry {
    /// What it was made from.
    pub now: ServiceNow,
    /// Who answers for it; empty when no override says so.
    pub team: String,
    /// Values of this dimension in its newest windows.
    pub swimlanes: BTreeSet<String>,
    /// Values of this dimension in its newest windows.
    pub regions: BTreeSet<String>,
    /// Its health as a word.
    pub state: String,
    /// As `GET /api/v1/services` gives it.
    pub json: Box<RawValue>,
    /// Number of its last change.
    pub changed: u64,
    stale: bool,
}

/// All services at one time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// By tenant, namespace and name.
    pub entries: Arc<[Arc<Entry>]>,
    /// Number of the last change of any.
    pub changed: u64,
    /// Up to which change everything has to be told again: a service went away then.
    pub whole_since: u64,
}

#[derive(Default)]
struct Known {
    read: Option<Arc<[ServiceNow]>>,
    rules: Option<Arc<Activation>>,
    seen: Seen,
}

/// Kept between requests.
#[derive(Default)]
pub(crate) struct Fleet(Mutex<Known>);

impl Fleet {
    /// All services as they are now. Blocks while stores are read.
    pub(crate) fn seen(&self, state: &AppState) -> Result<Seen, Problem> {
        let parts = &state.inner().parts;
        let all = parts.history.services()?;
        let rules = parts.board.newest();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same_rules = match (&known.rules, &rules) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (before, now) => before.is_none() && now.is_none(),
        };
        let same = same_rules && known.read.as_ref().is_some_and(|read| Arc::ptr_eq(read, &all));
        if same && known.seen.entries.iter().all(|entry| entry.stale == services::is_stale(state, &entry.now)) {
            return Ok(known.seen.clone());
        }
        let before: BTreeMap<_, _> = known.seen.entries.iter().map(|entry| (&entry.now.key, entry)).collect();
        let next = known.seen.changed + 1;
        let (mut entries, mut changed, mut kept) = (Vec::with_capacity(all.len()), known.seen.changed, 0);
        for now in all.iter().filter(|now| now.key.tenant == crate::TENANT) {
            let held = before.get(&now.key).copied();
            kept += usize::from(held.is_some());
            let stale = services::is_stale(state, now);
            match held.filter(|held| same_rules && held.stale == stale && held.now == *now) {
                Some(held) => entries.push(Arc::clone(held)),
                None => {
                    changed = next;
                    entries.push(Arc::new(entry(state, now, rules.as_deref(), stale, next)?));
                }
            }
        }
        let gone = kept < before.len();
        if gone {
            changed = next;
        }
        let whole_since = if gone { next } else { known.seen.whole_since };
        let seen = Seen { entries: entries.into(), changed, whole_since };
        *known = Known { read: Some(all), rules, seen: seen.clone() };
        Ok(seen)
    }
}

fn entry(state: &AppState, now: &ServiceNow, rules: Option<&Activation>, stale: bool, changed: u64) -> Result<Entry, Problem> {
    let said = rules.and_then(|rules| rules.find(&now.key.namespace, &now.key.service)).map(|(_, file)| file);
    let team = said.map(|file| file.owner.clone()).unwrap_or_default();
    let criticality = said.map(|file| file.criticality.clone()).unwrap_or_default();
    let swimlanes = services::values(state, now, "swimlane")?;
    let regions = services::values(state, now, "region")?;
    let service = services::overview(now, stale, (&team, &criticality), (&swimlanes, &regions))?;
    let json = serde_json::value::to_raw_value(&service)?;
    Ok(Entry { now: now.clone(), team, swimlanes, regions, state: service.health.state, json, changed, stale })
}
