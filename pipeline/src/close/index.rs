//! Which series and services one partition knows, and which series have a place of their own under the caps (SIGNALS §5).
//!
//! A series is *admitted* when it has a place; it keeps it until it has been idle for `series_ttl` of event time. What is idle counts no more,
//! whether or not it is still in memory: when memory is freed depends on commits, and no cap may. Numbers are small and are used again, so
//! they mean something only as long as nothing older holds them. Depends on the log alone: no clock, no order of hashing.

use crate::series::{OVERFLOW, parts, service_length};
use platform_core::map::{Table, hash_bytes};

/// Caps on series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Admitted series of one service; four times as many are told apart within a window.
    pub series_per_service: usize,
    /// Services of a tenant in one partition.
    pub services: usize,
    /// Admitted series in one partition.
    pub series_total: usize,
}

/// What something idle has no more; with its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost<'a> {
    /// A series has no place of its own.
    Place(&'a [u8]),
    /// The last level of a series or a service is forgotten.
    Level(&'a [u8]),
    /// The same by the rule that is tried for a service.
    ShadowLevel(&'a [u8]),
}

/// A known series.
#[derive(Debug)]
pub struct Series {
    /// Canonical key.
    pub key: Box<[u8]>,
    /// Its service.
    pub service: u32,
    /// Whether it has a place of its own.
    pub admitted: bool,
    /// Start of the newest window with an event of it.
    pub last: i64,
    /// Last known health level and the window it is of.
    pub level: Option<(u8, i64)>,
}

/// A known service.
#[derive(Debug)]
pub struct Service {
    /// Head of the canonical keys of its series.
    pub key: Box<[u8]>,
    /// Admitted series.
    pub admitted: usize,
    /// Start of the newest window with an event of it.
    pub last: i64,
    /// Start of the newest closed window with an event of it.
    pub last_closed: i64,
    /// Last known health level and the window it is of.
    pub level: Option<(u8, i64)>,
    /// The same by the rule that is tried.
    pub shadow_level: Option<(u8, i64)>,
}

/// Things by key, numbered, with numbers used again.
#[derive(Debug)]
struct Slab<T> {
    list: Vec<Option<T>>,
    free: Vec<u32>,
    table: Table<u32>,
    key: fn(&T) -> &[u8],
}

impl<T> Slab<T> {
    fn new(key: fn(&T) -> &[u8]) -> Self {
        Self { list: vec![], free: vec![], table: Table::new(), key }
    }

    fn find(&self, key: &[u8]) -> Option<u32> {
        self.table.find(hash_bytes(key), |n| self.get(*n).is_some_and(|t| (self.key)(t) == key)).copied()
    }

    fn get(&self, number: u32) -> Option<&T> {
        self.list.get(number as usize).and_then(Option::as_ref)
    }

    fn insert(&mut self, thing: T) -> u32 {
        let hash = hash_bytes((self.key)(&thing));
        let number = self.free.pop().unwrap_or_else(|| {
            self.list.push(None);
            u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
        });
        if let Some(slot) = self.list.get_mut(number as usize) {
            *slot = Some(thing);
        }
        let Self { list, table, key, .. } = self;
        let key = *key;
        table.insert_unique(hash, number, |n| hash_bytes(list.get(*n as usize).and_then(Option::as_ref).map_or(&[], key)));
        number
    }

    fn remove(&mut self, number: u32) {
        let Some(thing) = self.list.get_mut(number as usize).and_then(Option::take) else { return };
        if let Ok(entry) = self.table.find_entry(hash_bytes((self.key)(&thing)), |n| *n == number) {
            entry.remove();
        }
        self.free.push(number);
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.list.get_mut(number as usize).and_then(Option::as_mut)
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.list.iter().enumerate().filter_map(|(n, t)| Some((u32::try_from(n).ok()?, t.as_ref()?)))
    }
}

/// Known series and services.
#[derive(Debug)]
pub struct Index {
    series: Slab<Series>,
    services: Slab<Service>,
    caps: Caps,
    admitted: usize,
    /// What has no event in a window that starts here or later is idle.
    idle_before: i64,
    /// Series that are not idle.
    active: usize,
    /// Services that are not idle and have their own name.
    active_services: usize,
    /// Name of the service that takes what is above the cap on services. It says which partition it is of: without another shuffle,
    /// those of several partitions cannot be summed, and one name for several sums would break the rule of one final per identity.
    overflow_service: String,
}

impl Index {
    /// An empty index of partition `partition` of `partitions`.
    #[must_use]
    pub fn new(caps: Caps, partition: u32, partitions: u32) -> Self {
        let overflow_service = if partitions == 1 { OVERFLOW.to_owned() } else { format!("{OVERFLOW}.{partition}") };
        Self {
            series: Slab::new(|s| &s.key),
            services: Slab::new(|s| &s.key),
            caps,
            admitted: 0,
            idle_before: i64::MIN,
            active: 0,
            active_services: 0,
            overflow_service,
        }
    }

    /// The caps.
    #[must_use]
    pub fn caps(&self) -> Caps {
        self.caps
    }

    /// A known series.
    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<u32> {
        self.series.find(key)
    }

    /// The series of a key, made known if it is not. Its service must be known (`service_of`).
    pub fn intern(&mut self, key: &[u8], service: u32) -> u32 {
        self.series
            .find(key)
            .unwrap_or_else(|| self.series.insert(Series { key: key.into(), service, admitted: false, last: i64::MIN, level: None }))
    }

    /// The service of a series key, made known while the cap on services allows it. Gives its number, and whether it is another one than
    /// the key names, because the cap is reached.
    pub fn service_of(&mut self, key: &[u8]) -> (u32, bool) {
        let head = key.get(..service_length(key)).unwrap_or(key);
        let known = self.services.find(head);
        let active = known.filter(|n| self.services.get(*n).is_some_and(|s| is_active(s.last, self.idle_before)));
        if let Some(active) = active {
            return (active, false);
        }
        if self.active_services < self.caps.services {
            return (known.unwrap_or_else(|| self.insert_service(head)), false);
        }
        let tenant = parts(head).next().unwrap_or_default();
        let mut overflow = Vec::new();
        for text in [tenant, "", &self.overflow_service] {
            overflow.extend_from_slice(text.as_bytes());
            overflow.push(0);
        }
        (self.named_service(&overflow), true)
    }

    /// The service that a key names, whatever the cap says: for what was counted under its name before.
    pub fn named_service(&mut self, key: &[u8]) -> u32 {
        let head = key.get(..service_length(key)).unwrap_or(key);
        self.services.find(head).unwrap_or_else(|| self.insert_service(head))
    }

    /// The service that a key names, if it is known.
    #[must_use]
    pub fn find_service(&self, key: &[u8]) -> Option<u32> {
        self.services.find(key.get(..service_length(key)).unwrap_or(key))
    }

    fn insert_service(&mut self, key: &[u8]) -> u32 {
        self.services.insert(Service {
            key: key.into(),
            admitted: 0,
            last: i64::MIN,
            last_closed: i64::MIN,
            level: None,
            shadow_level: None,
        })
    }

    /// A series by its number.
    #[must_use]
    pub fn series(&self, number: u32) -> Option<&Series> {
        self.series.get(number)
    }

    /// A series by its number.
    pub fn series_mut(&mut self, number: u32) -> Option<&mut Series> {
        self.series.get_mut(number)
    }

    /// A service by its number.
    #[must_use]
    pub fn service(&self, number: u32) -> Option<&Service> {
        self.services.get(number)
    }

    /// A service by its number.
    pub fn service_mut(&mut self, number: u32) -> Option<&mut Service> {
        self.services.get_mut(number)
    }

    /// All services and their numbers.
    pub fn services(&self) -> impl Iterator<Item = (u32, &Service)> {
        self.services.iter()
    }

    /// Notes an event of a series in the window that starts at `start`, which is closed or not.
    pub fn touch(&mut self, series: u32, start: i64, closed: bool) {
        let idle_before = self.idle_before;
        let Some(known) = self.series.get_mut(series) else { return };
        self.active += usize::from(!is_active(known.last, idle_before) && is_active(start, idle_before));
        known.last = known.last.max(start);
        let Some(service) = self.services.get_mut(known.service) else { return };
        self.active_services +=
            usize::from(!is_active(service.last, idle_before) && is_active(start, idle_before) && !is_overflow(&service.key));
        service.last = service.last.max(start);
        if closed {
            service.last_closed = service.last_closed.max(start);
        }
    }

    /// Whether a service has a free place.
    #[must_use]
    pub fn has_place(&self, service: u32) -> bool {
        self.admitted < self.caps.series_total && self.services.get(service).is_some_and(|s| s.admitted < self.caps.series_per_service)
    }

    /// Gives a series a place of its own.
    pub fn admit(&mut self, series: u32) {
        let Some(known) = self.series_mut(series).filter(|s| !s.admitted) else { return };
        known.admitted = true;
        let service = known.service;
        self.admitted += 1;
        if let Some(service) = self.service_mut(service) {
            service.admitted += 1;
        }
    }

    /// The key of the series that takes what has no place in a service: all dimensions are `__overflow__`.
    #[must_use]
    pub fn overflow_key(&self, service: u32, dimensions: usize) -> Vec<u8> {
        let mut key = self.services.get(service).map_or_else(Vec::new, |s| s.key.to_vec());
        for _ in 0..dimensions {
            key.extend_from_slice(OVERFLOW.as_bytes());
            key.push(0);
        }
        key
    }

    /// What has no event in a window that starts at or after `before` is idle from now on: it loses its place and its level, told to `lost` by
    /// key. Its number is free when `forget` says that nothing in memory holds it.
    pub fn expire(&mut self, before: i64, forget: bool, mut lost: impl FnMut(Lost<'_>)) {
        let Self { series, services, admitted, idle_before, active, active_services, .. } = self;
        let was = std::mem::replace(idle_before, before);
        let mut idle = Vec::new();
        for (number, known) in series.list.iter_mut().enumerate() {
            let Some(known) = known.as_mut().filter(|s| s.last < before) else { continue };
            *active -= usize::from(is_active(known.last, was));
            if known.level.take().is_some() {
                lost(Lost::Level(&known.key));
            }
            if std::mem::take(&mut known.admitted) {
                *admitted -= 1;
                if let Some(service) = services.get_mut(known.service) {
                    service.admitted -= 1;
                }
                lost(Lost::Place(&known.key));
            }
            idle.extend(u32::try_from(number));
        }
        let mut idle_services = Vec::new();
        for (number, known) in services.list.iter_mut().enumerate() {
            let Some(known) = known.as_mut().filter(|s| s.last < before) else { continue };
            *active_services -= usize::from(is_active(known.last, was) && !is_overflow(&known.key));
            if known.level.take().is_some() {
                lost(Lost::Level(&known.key));
            }
            if known.shadow_level.take().is_some() {
                lost(Lost::ShadowLevel(&known.key));
            }
            idle_services.extend(u32::try_from(number));
        }
        if forget {
            idle.into_iter().for_each(|n| series.remove(n));
            idle_services.into_iter().for_each(|n| services.remove(n));
        }
    }

    /// How many series are not idle.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active
    }

    /// Series with a place.
    #[must_use]
    pub fn admitted(&self) -> usize {
        self.admitted
    }
}

/// Whether something whose newest event is in the window at `last` is not idle.
fn is_active(last: i64, idle_before: i64) -> bool {
    last > i64::MIN && last >= idle_before
}

/// Whether a service stands for those above the cap.
fn is_overflow(service: &[u8]) -> bool {
    parts(service).nth(2).is_some_and(|name| name.starts_with(OVERFLOW))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caps() -> Caps {
        Caps { series_per_service: 2, services: 2, series_total: 3 }
    }

    fn admit(index: &mut Index, key: &[u8]) -> bool {
        let (service, _) = index.service_of(key);
        let series = index.intern(key, service);
        let free = index.has_place(service);
        if free {
            index.admit(series);
        }
        index.touch(series, 60, false);
        free
    }

    #[test]
    fn places_are_given_until_a_cap_and_freed_by_idleness() {
        let mut index = Index::new(caps(), 0, 1);
        assert!(admit(&mut index, b"t\0\0a\0x\0") && admit(&mut index, b"t\0\0a\0y\0"));
        assert!(!admit(&mut index, b"t\0\0a\0z\0"), "two series a service");
        assert!(admit(&mut index, b"t\0\0b\0x\0"));
        assert!(!admit(&mut index, b"t\0\0b\0y\0"), "three series in all");
        let mut lost = 0;
        index.expire(61, true, |what| lost += usize::from(matches!(what, Lost::Place(_))));
        assert_eq!((lost, index.active(), index.admitted(), index.services().count()), (3, 0, 0, 0));
        assert!(admit(&mut index, b"t\0\0b\0y\0"));
    }

    #[test]
    fn services_above_the_cap_become_one() {
        let mut index = Index::new(caps(), 3, 4);
        for key in [b"t\0\0a\0x\0", b"t\0\0b\0x\0"] {
            admit(&mut index, key);
        }
        let (c, other) = index.service_of(b"t\0\0c\0x\0");
        assert!(other && index.service_of(b"t\0\0d\0x\0") == (c, true));
        assert_eq!(index.overflow_key(c, 1), b"t\0\0__overflow__.3\0__overflow__\0");
    }
}
