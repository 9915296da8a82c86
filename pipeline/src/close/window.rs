//! What CLOSE holds in memory of one window: an aggregate for each series in it, what was counted once per id, and the late ledger's lines.
//!
//! A window is in memory while it is open; once it is closed its content goes to the store and comes back, service by service, when late
//! events touch it.

use crate::aggregate::Aggregate;
use platform_core::map::{Map, Set};
use platform_core::window::Window;
use std::collections::BTreeMap;

/// Content of one window in one partition.
#[derive(Debug)]
pub struct WindowState {
    /// Which one.
    pub window: Window,
    /// By series: place in `aggregates` plus one; 0 is none.
    places: Vec<u32>,
    aggregates: Vec<Entry>,
    /// Series told apart, by service.
    apart: Map<u32, usize>,
    /// Ids seen, and those of them that the store has not seen.
    pub ids: Set<u128>,
    /// Ids that the store has not seen.
    pub unsaved_ids: Vec<u128>,
    /// Lines of the late ledger, by service key; this is their window of append time.
    pub late: BTreeMap<Vec<u8>, Aggregate>,
    /// Services whose stored content is in memory (closed windows only).
    pub loaded: Set<u32>,
    /// It was closed as it is here and not saved since: what the store has of it is older.
    pub whole: bool,
}

#[derive(Debug)]
struct Entry {
    series: u32,
    /// Not in the store as it is here.
    unsaved: bool,
    aggregate: Aggregate,
}

impl WindowState {
    /// An empty window.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            window,
            places: vec![],
            aggregates: vec![],
            apart: Map::default(),
            ids: Set::default(),
            unsaved_ids: vec![],
            late: BTreeMap::new(),
            loaded: Set::default(),
            whole: false,
        }
    }

    /// Whether a series is in this window.
    #[must_use]
    pub fn holds(&self, series: u32) -> bool {
        self.places.get(series as usize).is_some_and(|p| *p != 0)
    }

    /// How many series of a service are told apart here.
    #[must_use]
    pub fn apart(&self, service: u32) -> usize {
        self.apart.get(&service).copied().unwrap_or_default()
    }

    /// The aggregate of a series, which will change.
    pub fn change(&mut self, series: u32, service: u32) -> &mut Aggregate {
        let entry = self.entry(series, service);
        entry.unsaved = true;
        &mut entry.aggregate
    }

    /// Takes the aggregate of a series as the store has it.
    pub fn load(&mut self, series: u32, service: u32, aggregate: Aggregate) {
        self.entry(series, service).aggregate = aggregate;
    }

    fn entry(&mut self, series: u32, service: u32) -> &mut Entry {
        let at = series as usize;
        if at >= self.places.len() {
            self.places.resize((at + 1).next_power_of_two(), 0);
        }
        let place = self.places.get_mut(at).expect("the list was made long enough above");
        if *place == 0 {
            self.aggregates.push(Entry { series, unsaved: false, aggregate: Aggregate::default() });
            *place = u32::try_from(self.aggregates.len()).unwrap_or(u32::MAX);
            *self.apart.entry(service).or_default() += 1;
        }
        self.aggregates.get_mut(*place as usize - 1).expect("every place but 0 was given out above")
    }

    /// The aggregate of a series.
    #[must_use]
    pub fn get(&self, series: u32) -> Option<&Aggregate> {
        let place = self.places.get(series as usize).copied().filter(|p| *p != 0)?;
        self.aggregates.get(place as usize - 1).map(|e| &e.aggregate)
    }

    /// Takes a series out, to be merged into another.
    pub fn take(&mut self, series: u32, service: u32) -> Option<Aggregate> {
        let place = self.places.get_mut(series as usize).filter(|p| **p != 0)?;
        let at = *place as usize - 1;
        *place = 0;
        let taken = self.aggregates.swap_remove(at);
        if let Some(moved) = self.aggregates.get(at).map(|e| e.series as usize)
            && let Some(place) = self.places.get_mut(moved)
        {
            *place = u32::try_from(at + 1).unwrap_or(u32::MAX);
        }
        if let Some(apart) = self.apart.get_mut(&service) {
            *apart -= 1;
        }
        Some(taken.aggregate)
    }

    /// Numbers of all series in it, in no particular order.
    pub fn series(&self) -> impl Iterator<Item = u32> + '_ {
        self.aggregates.iter().map(|e| e.series)
    }

    /// Visits what the store does not have, and takes it as saved.
    pub fn save(&mut self, mut each: impl FnMut(u32, &Aggregate)) {
        for entry in self.aggregates.iter_mut().filter(|e| e.unsaved) {
            each(entry.series, &entry.aggregate);
            entry.unsaved = false;
        }
    }

    /// How many series are in it.
    #[must_use]
    pub fn len(&self) -> usize {
        self.aggregates.len()
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.aggregates.is_empty() && self.late.is_empty()
    }
}
