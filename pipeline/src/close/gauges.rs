//! Samples of resources by window and service: they wait for the record of their service, and make none.
//!
//! A sample of a closed window is added to what the store has of it and shows when an event brings a correction. No sample opens a window,
//! makes a service known or moves a watermark. Of more services in a window than the cap those with the smallest keys stay: a choice that
//! does not depend on order. What is left out is counted.

use super::Failure;
use super::keys::{KeyKind, behind, in_window, of_window, split};
use crate::resource::Resources;
use platform_core::codec::Cursor;
use platform_core::store::{Changes, Store, StoreError};
use platform_core::time::EventTime;
use std::collections::BTreeMap;

/// Samples in memory.
#[derive(Debug)]
pub(super) struct Gauges {
    windows: BTreeMap<i64, BTreeMap<Box<[u8]>, Held>>,
    /// Services of one window.
    services: usize,
}

#[derive(Debug, Default)]
struct Held {
    resources: Resources,
    /// Not in the store as it is here.
    unsaved: bool,
}

impl Gauges {
    /// None yet, and room for this many services in a window.
    pub(super) fn new(services: usize) -> Self {
        Self { windows: BTreeMap::new(), services }
    }

    /// Adds encoded samples of a service. Of a closed window the store is asked for those of before.
    pub(super) fn merge(
        &mut self,
        start: EventTime,
        closed: bool,
        service: &[u8],
        from: &mut Cursor<'_>,
        store: &dyn Store,
        pending: &mut Changes,
    ) -> Result<(), Failure> {
        let of_window = self.windows.entry(start.0).or_default();
        if closed && !of_window.contains_key(service) {
            let resources = stored(start, service, store)?.unwrap_or_default();
            of_window.insert(service.into(), Held { resources, unsaved: false });
        }
        let held = of_window.entry(service.into()).or_default();
        held.unsaved = true;
        let mut left_out = held.resources.merge_encoded(from)?;
        if of_window.len() > self.services
            && let Some((last, held)) = of_window.pop_last()
        {
            left_out += held.resources.len() as u64;
            pending.delete(&in_window(KeyKind::Gauges, start, &last));
        }
        if left_out > 0 {
            metrics::counter!("golden_signals_resource_samples_over_cap_total").increment(left_out);
        }
        Ok(())
    }

    /// Brings what the store has of a service in a closed window into memory.
    pub(super) fn load(&mut self, start: EventTime, service: &[u8], store: &dyn Store) -> Result<(), Failure> {
        let of_window = self.windows.entry(start.0).or_default();
        if !of_window.contains_key(service)
            && let Some(resources) = stored(start, service, store)?
        {
            of_window.insert(service.into(), Held { resources, unsaved: false });
        }
        Ok(())
    }

    /// What is known of a service in a window that is open, or was closed since the last save.
    pub(super) fn get(&self, start: EventTime, service: &[u8]) -> Option<&Resources> {
        self.windows.get(&start.0)?.get(service).map(|held| &held.resources)
    }

    /// What is known of a service in a window that is closed.
    pub(super) fn find(&self, start: EventTime, service: &[u8], store: &dyn Store) -> Result<Option<Resources>, Failure> {
        match self.get(start, service) {
            Some(resources) => Ok(Some(resources.clone())),
            None => stored(start, service, store),
        }
    }

    /// Windows that end by then are over.
    pub(super) fn forget_before(&mut self, start: EventTime) {
        self.windows.retain(|held, _| *held >= start.0);
    }

    /// A window that nothing will ask for again.
    pub(super) fn forget(&mut self, start: EventTime) {
        self.windows.remove(&start.0);
    }

    /// Writes what the store does not have of windows that `wanted` names, and lets go of those that are `closed`.
    pub(super) fn save(&mut self, wanted: impl Fn(i64) -> bool, closed: impl Fn(i64) -> bool, changes: &mut Changes) {
        for (start, services) in self.windows.iter_mut().filter(|(start, _)| wanted(**start)) {
            for (service, held) in services.iter_mut().filter(|(_, held)| held.unsaved) {
                let mut value = Vec::new();
                held.resources.encode(&mut value);
                changes.put(&in_window(KeyKind::Gauges, EventTime(*start), service), value);
                held.unsaved = false;
            }
        }
        self.windows.retain(|start, _| !closed(*start));
    }

    /// Samples of windows that start at `open_from` or later come back from a store.
    pub(super) fn restore(&mut self, open_from: EventTime, store: &dyn Store) -> Result<(), Failure> {
        let mut damaged = None;
        let windows = &mut self.windows;
        store.scan(&of_window(KeyKind::Gauges, open_from), &behind(&[KeyKind::Gauges as u8]), &mut |key, value| {
            let Some((start, service)) = split(key) else { return };
            match Resources::decode(&mut Cursor::new(value)) {
                Ok(resources) => {
                    windows.entry(start.0).or_default().insert(service.into(), Held { resources, unsaved: false });
                }
                Err(error) => damaged = Some(error),
            }
        })?;
        damaged.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// Passes over the samples of a service for which there is no room.
pub(super) fn left_out(from: &mut Cursor<'_>) -> Result<(), Failure> {
    let samples = Resources::decode(from)?.len();
    metrics::counter!("golden_signals_resource_samples_over_cap_total").increment(samples as u64);
    Ok(())
}

fn stored(start: EventTime, service: &[u8], store: &dyn Store) -> Result<Option<Resources>, Failure> {
    let value: Result<Option<Vec<u8>>, StoreError> = store.get(&in_window(KeyKind::Gauges, start, service));
    Ok(value?.map(|bytes| Resources::decode(&mut Cursor::new(&bytes))).transpose()?)
}
