//! Reads history stores. Handles of its own, of the same names; it never writes.
//!
//! A service lives in one partition, found as the log's writers find it. A page never cuts a window: it ends behind the window in which its
//! limit was reached, and names the window to go on from.

use super::keys;
use super::value::{Latest, Recent, Stored};
use super::{FORMAT, LATE_STAGE, SIGNALS_STAGE};
use crate::identity::put_key;
use crate::slo::counts::Counts;
use platform_core::codec::CodecError;
use platform_core::partitioner::partition_of;
use platform_core::record::Offset;
use platform_core::store::{Store, StoreError, Stores};
use platform_core::time::EventTime;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The stores of all partitions.
pub struct History {
    pub(super) signals: Vec<Mutex<Box<dyn Store>>>,
    pub(super) late: Vec<Mutex<Box<dyn Store>>>,
    /// All services, and the positions that the stores stood for when they were read.
    overview: Mutex<Option<Overview>>,
}

struct Overview {
    at: Vec<Option<Offset>>,
    services: Arc<[ServiceNow]>,
}

/// Which service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceKey {
    /// Tenant.
    pub tenant: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// Name.
    pub service: String,
}

/// A service and its newest window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceNow {
    /// Which service.
    pub key: ServiceKey,
    /// Start of its newest window.
    pub window_start: EventTime,
    /// Length of that window, in ns.
    pub window_nanos: i64,
    /// Revision of the record.
    pub revision: u64,
    /// The public record's JSON.
    pub json: Vec<u8>,
    /// Counts of the last windows, oldest first.
    pub trail: Vec<Recent>,
}

/// Which records of a service.
#[derive(Clone, Debug)]
pub struct Query {
    /// First instant that a window may start at.
    pub from: EventTime,
    /// First instant behind.
    pub to: EventTime,
    /// The page ends with the window in which this many records are reached.
    pub limit: usize,
}

/// Records in order of window, then dimensions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The records.
    pub records: Vec<Stored>,
    /// Where to go on; `None` when this is all.
    pub next_from: Option<EventTime>,
}

impl History {
    /// Opens the stores of both stages, whose topics have this many partitions.
    ///
    /// # Errors
    /// When a store cannot be opened.
    pub fn open(stores: &dyn Stores, signals: u32, late: u32) -> Result<Self, StoreError> {
        let open = |stage, partitions| {
            let name = super::store_name(stage);
            (0..partitions).map(|p| Ok(Mutex::new(stores.open(&name, p, FORMAT)?))).collect::<Result<_, StoreError>>()
        };
        Ok(Self { signals: open(SIGNALS_STAGE, signals)?, late: open(LATE_STAGE, late)?, overview: Mutex::new(None) })
    }

    /// All services, by tenant, namespace and name. Read anew only when a store has moved.
    ///
    /// # Errors
    /// When a store fails.
    pub fn services(&self) -> Result<Arc<[ServiceNow]>, StoreError> {
        let mut overview = locked(&self.overview);
        let at = self.signals.iter().map(|s| locked(s).applied()).collect::<Result<Vec<_>, _>>()?;
        if let Some(known) = overview.as_ref().filter(|known| known.at == at) {
            return Ok(Arc::clone(&known.services));
        }
        let mut services = Vec::new();
        let (from, to) = keys::all_services();
        for store in &self.signals {
            read_services(&**locked(store), &from, &to, &mut services)?;
        }
        services.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        let services: Arc<[ServiceNow]> = services.into();
        *overview = Some(Overview { at, services: Arc::clone(&services) });
        Ok(services)
    }

    /// The services of one name, one for each namespace that has it.
    ///
    /// # Errors
    /// When a store fails.
    pub fn named(&self, tenant: &str, service: &str) -> Result<Vec<ServiceNow>, StoreError> {
        let mut services = Vec::new();
        if let Some(store) = partition(&self.signals, tenant, service) {
            let (from, to) = keys::services(tenant, Some(service));
            read_services(&**locked(store), &from, &to, &mut services)?;
        }
        Ok(services)
    }

    /// The records of a service in one grouping.
    ///
    /// # Errors
    /// When a store fails.
    pub fn signals(&self, of: &ServiceKey, grouping: &str, query: &Query) -> Result<Page, StoreError> {
        let texts = [&*of.tenant, &of.service, &of.namespace, grouping];
        pages(partition(&self.signals, &of.tenant, &of.service).as_slice(), &texts, query, query.limit)
    }

    /// Values that the dimension at this place has in records whose windows start from `from` on and before `to`.
    ///
    /// # Errors
    /// When a store fails.
    pub fn values(
        &self,
        of: &ServiceKey,
        grouping: &str,
        place: usize,
        from: EventTime,
        to: EventTime,
    ) -> Result<BTreeSet<String>, StoreError> {
        let texts = [&*of.tenant, &of.service, &of.namespace, grouping];
        let mut values = BTreeSet::new();
        let Some(store) = partition(&self.signals, &of.tenant, &of.service) else { return Ok(values) };
        let mut hour = keys::hour_of(from);
        while hour < to {
            let (first, behind) = keys::windows_of(hour, &texts, from, to);
            let mut damage = None;
            locked(store).scan(&first, &behind, &mut |key, _| match keys::dimensions_of(key) {
                Ok(of) => values.extend(of.get(place).copied().map(str::to_owned)),
                Err(error) => damage = Some(error),
            })?;
            damage.map_or(Ok(()), |error: CodecError| Err(StoreError(error.to_string())))?;
            hour = hour.plus(keys::HOUR);
        }
        Ok(values)
    }

    /// Sums of a service over the hours that begin from `from` on and before `to`, and the first hour of which something is known.
    ///
    /// # Errors
    /// When a store fails.
    pub fn counts(&self, of: &ServiceKey, from: EventTime, to: EventTime) -> Result<(Counts, Option<EventTime>), StoreError> {
        let (mut sums, mut first) = (Counts::default(), None);
        let Some(store) = partition(&self.signals, &of.tenant, &of.service) else { return Ok((sums, first)) };
        let store = locked(store);
        let mut hour = keys::hour_of(from);
        while hour < to {
            if let Some(bytes) = store.get(&keys::sums(hour, &of.tenant, &of.service, &of.namespace))? {
                sums.add(&Counts::decode(&bytes).map_err(|error| StoreError(error.to_string()))?);
                first = first.or(Some(hour));
            }
            hour = hour.plus(keys::HOUR);
        }
        Ok((sums, first))
    }

    /// Start and sums of each window of a service from `from` on and before `to`.
    ///
    /// # Errors
    /// When a store fails.
    pub fn windows(&self, of: &ServiceKey, from: EventTime, to: EventTime) -> Result<Vec<(EventTime, Counts)>, StoreError> {
        let texts = [&*of.tenant, &of.service, &of.namespace, "service"];
        let query = Query { from, to, limit: usize::MAX };
        let mut found = Vec::new();
        if let Some(store) = partition(&self.signals, &of.tenant, &of.service) {
            let store = locked(store);
            let mut hour = keys::hour_of(from);
            while hour < to {
                read_hour(&**store, hour, &texts, &query, usize::MAX, &mut found)?;
                hour = hour.plus(keys::HOUR);
            }
        }
        let sums = |(start, stored): (EventTime, Stored)| Ok((start, Counts::of_bytes(&stored.aggregate)?));
        found.into_iter().map(sums).collect::<Result<_, CodecError>>().map_err(|error| StoreError(error.to_string()))
    }

    /// The late lines of one service, in one namespace or in all that have its name, or of all services of a tenant.
    ///
    /// # Errors
    /// When a store fails.
    pub fn late(&self, tenant: &str, service: Option<&str>, namespace: Option<&str>, query: &Query) -> Result<Page, StoreError> {
        match service {
            Some(service) => {
                let texts: Vec<&str> = [tenant, service].into_iter().chain(namespace).collect();
                pages(partition(&self.late, tenant, service).as_slice(), &texts, query, usize::MAX)
            }
            None => pages(&self.late.iter().collect::<Vec<_>>(), &[tenant], query, usize::MAX),
        }
    }
}

fn read_services(store: &dyn Store, from: &[u8], to: &[u8], services: &mut Vec<ServiceNow>) -> Result<(), StoreError> {
    let mut damage = None;
    store.scan(from, to, &mut |key, value| match service(key, value) {
        Ok(service) => services.push(service),
        Err(error) => damage = Some(error),
    })?;
    damage.map_or(Ok(()), |error| Err(StoreError(error.to_string())))
}

fn service(key: &[u8], value: &[u8]) -> Result<ServiceNow, CodecError> {
    let (tenant, service, namespace) = keys::service_of(key)?;
    let Latest { window_start, window_nanos, revision, json, trail } = Latest::decode(value)?;
    let key = ServiceKey { tenant: tenant.into(), namespace: namespace.into(), service: service.into() };
    Ok(ServiceNow { key, window_start, window_nanos, revision, json, trail })
}

/// Reads hour by hour until the limit is reached. Keys below `texts` that are in order of window may be read up to `most` of them in an
/// hour and no further.
fn pages(stores: &[&Mutex<Box<dyn Store>>], texts: &[&str], query: &Query, most: usize) -> Result<Page, StoreError> {
    let mut all_hours = Vec::new();
    for store in stores {
        hours(&**locked(store), query, &mut all_hours)?;
    }
    all_hours.sort_unstable();
    all_hours.dedup();
    let mut page = Page::default();
    for hour in all_hours {
        if page.records.len() >= query.limit {
            page.next_from = Some(hour);
            break;
        }
        let mut found = Vec::new();
        for store in stores {
            read_hour(&**locked(store), hour, texts, query, most.saturating_sub(page.records.len()), &mut found)?;
        }
        found.sort_by_key(|(start, _)| *start);
        let mut last = None;
        for (start, stored) in found {
            if page.records.len() >= query.limit && last != Some(start) {
                page.next_from = Some(start);
                return Ok(page);
            }
            last = Some(start);
            page.records.push(stored);
        }
    }
    Ok(page)
}

fn read_hour(
    store: &dyn Store,
    hour: EventTime,
    texts: &[&str],
    query: &Query,
    most: usize,
    found: &mut Vec<(EventTime, Stored)>,
) -> Result<(), StoreError> {
    let mut damage: Option<CodecError> = None;
    let (from, to) = match texts.first_chunk::<4>() {
        Some(texts) => keys::windows_of(hour, texts, query.from, query.to),
        None => keys::records_of(hour, texts),
    };
    store.scan(&from, &to, &mut |key, value| {
        let start = match keys::window_start_of(key) {
            Ok(start) => start,
            Err(error) => return damage = Some(error),
        };
        // One record behind the window in which the limit is reached says that there is more; further ones are not kept.
        let border = most.checked_sub(1).and_then(|at| found.get(at));
        let full = border.zip(found.last()).is_some_and(|((border, _), (last, _))| border != last);
        if full || start < query.from || start >= query.to {
            return;
        }
        match Stored::decode(value) {
            Ok(stored) => found.push((start, stored)),
            Err(error) => damage = Some(error),
        }
    })?;
    damage.map_or(Ok(()), |error| Err(StoreError(error.to_string())))
}

fn hours(store: &dyn Store, query: &Query, hours: &mut Vec<EventTime>) -> Result<(), StoreError> {
    let (from, to) = (keys::hour(keys::hour_of(query.from)), keys::hour(query.to));
    if from < to {
        store.scan(&from, &to, &mut |key, _| hours.extend(keys::hour_of_key(key)))?;
    }
    Ok(())
}

pub(super) fn partition<'a>(stores: &'a [Mutex<Box<dyn Store>>], tenant: &str, service: &str) -> Option<&'a Mutex<Box<dyn Store>>> {
    let mut key = Vec::new();
    put_key(tenant, service, &mut key);
    let partitions = u32::try_from(stores.len()).ok()?;
    stores.get(usize::try_from(partition_of(&key, partitions)).ok()?)
}

/// A panic while reading leaves nothing half done.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
