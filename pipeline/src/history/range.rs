//! Sums over any span of time and any grouping, from what the store holds: sums of hours and of ten minutes where they lie whole within a
//! step, single windows elsewhere. The answer is the same as if all windows were merged one by one.
//!
//! A store is held for one hour of data at a time, so that a long question does not keep others waiting. What would take too much is given
//! up with the reason; nothing is left out.

use super::keys::{self, DAY, HOUR, TEN_MINUTES};
use super::read::{History, ServiceKey, locked, partition};
use super::roll::{Detail, Rolled, Tens};
use super::stage::{Bytes, Standing, bytes_of};
use super::value::StoredRef;
use crate::emit::json::rfc3339;
use platform_core::codec::CodecError;
use platform_core::store::{Store, StoreError};
use platform_core::time::{EventTime, SECOND};
use std::collections::BTreeMap;

/// Most hours looked at for one answer: 14 months.
const MOST_HOURS: i64 = 24 * 31 * 14;

/// How much one answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Most {
    /// Values read.
    pub reads: usize,
    /// Sums held.
    pub sums: usize,
}

impl Default for Most {
    fn default() -> Self {
        Self { reads: 250_000, sums: 50_000 }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// First instant that a window may start at.
    pub from: EventTime,
    /// First instant behind.
    pub to: EventTime,
    /// Length of a step, in ns: steps begin at multiples of it.
    pub step: i64,
    /// Grouping.
    pub grouping: &'a str,
    /// Values of its dimensions, in its order; `None` takes any.
    pub wanted: &'a [Option<String>],
    /// What of the windows is wanted.
    pub detail: Detail,
    /// How much the answer may take.
    pub most: Most,
}

/// Sums by dimension values, then by start of the step. Steps without a window are absent.
pub type Sums = BTreeMap<Vec<String>, BTreeMap<EventTime, Rolled>>;

/// How far back what reaches. `EventTime::MIN`: nothing was thrown away yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// First instant of which single windows are kept.
    pub records: EventTime,
    /// First instant of which sums of ten minutes are kept.
    pub ten_minutes: EventTime,
    /// First instant of which sums of hours are kept.
    pub hours: EventTime,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// More would have to be read than one answer may take.
    #[error("more than {0} stored values would have to be read")]
    Reads(usize),
    /// More would have to be held than one answer may take.
    #[error("there are more than {0} sums, of all groups and steps together")]
    Sums(usize),
    /// What the steps need is not there any more.
    #[error("before {} there are only sums of {} s", rfc3339(*.until), .seconds)]
    Coarser {
        /// Up to where.
        until: EventTime,
        /// Length of the sums that are there.
        seconds: i64,
    },
    /// More time than anything is kept for.
    #[error("the range has more than {} days", MOST_HOURS / 24)]
    Long,
}

impl From<CodecError> for RangeError {
    fn from(error: CodecError) -> Self {
        Self::Store(StoreError(error.to_string()))
    }
}

impl History {
    /// How far back what is kept of a service reaches.
    ///
    /// # Errors
    /// When a store fails.
    pub fn reach(&self, of: &ServiceKey) -> Result<Reach, StoreError> {
        let Some(store) = partition(&self.signals, &of.tenant, &of.service) else { return Ok(Standing::default().reach()) };
        Ok(Standing::read(&**locked(store))?.reach())
    }

    /// The sums of a service.
    ///
    /// # Errors
    /// When a store fails, or it would take too much.
    pub fn range(&self, of: &ServiceKey, asked: &Asked<'_>) -> Result<Sums, RangeError> {
        let mut found =
            Found { asked, texts: [&of.tenant, &of.service, &of.namespace, asked.grouping], sums: Sums::new(), read: 0, held: 0 };
        let Some(store) = partition(&self.signals, &of.tenant, &of.service) else { return Ok(found.sums) };
        let reach = Standing::read(&**locked(store))?.reach();
        let mut hour = keys::hour_of(asked.from);
        if asked.to.since(hour) / HOUR > MOST_HOURS {
            return Err(RangeError::Long);
        }
        while hour < asked.to {
            let until = found.take(&**locked(store), hour, reach)?;
            if found.read > asked.most.reads {
                return Err(RangeError::Reads(asked.most.reads));
            }
            if found.held > asked.most.sums {
                return Err(RangeError::Sums(asked.most.sums));
            }
            hour = until;
        }
        Ok(found.sums)
    }
}

/// What was found so far.
struct Found<'a> {
    asked: &'a Asked<'a>,
    texts: [&'a str; 4],
    sums: Sums,
    /// Values read.
    read: usize,
    /// Sums held.
    held: usize,
}

impl Found<'_> {
    /// Takes what begins with this hour, and gives the first hour behind it.
    fn take(&mut self, store: &dyn Store, hour: EventTime, reach: Reach) -> Result<EventTime, RangeError> {
        let next = hour.plus(HOUR);
        let (from, to) = (hour.max(self.asked.from), next.min(self.asked.to));
        let whole = from == hour && to == next;
        // What records there are is true even where they were rolled up; sums are not while the hour is open.
        if hour >= reach.records && store.get(&keys::open(hour, &self.texts))?.is_some() {
            self.windows(store, hour, from, to)?;
        } else if whole && self.one_step(hour, HOUR) {
            // Days lie together. An open hour ends what may be taken at once.
            let mut end = next;
            let limit = keys::day_of(hour).plus(DAY).min(self.asked.to);
            while end.plus(HOUR) <= limit && self.one_step(end, HOUR) && end < reach.records {
                end = end.plus(HOUR);
            }
            self.hours(store, hour, end)?;
            return Ok(end);
        } else if [from, to].iter().all(|at| at.0.rem_euclid(TEN_MINUTES) == 0)
            && (0..6).all(|ten| self.one_step(hour.plus(ten * TEN_MINUTES), TEN_MINUTES))
        {
            if hour < reach.ten_minutes {
                return Err(RangeError::Coarser { until: reach.ten_minutes, seconds: HOUR / SECOND });
            }
            self.tens(store, hour, from, to)?;
        } else {
            if hour < reach.records {
                return Err(RangeError::Coarser { until: reach.records, seconds: TEN_MINUTES / SECOND });
            }
            self.windows(store, hour, from, to)?;
        }
        Ok(next)
    }

    /// Whether so much time from `start` on lies within one step.
    fn one_step(&self, start: EventTime, length: i64) -> bool {
        self.step_of(start) == self.step_of(start.plus(length - 1))
    }

    fn step_of(&self, time: EventTime) -> EventTime {
        EventTime(time.0.saturating_sub(time.0.rem_euclid(self.asked.step.max(1))))
    }

    fn is_wanted(&self, dimensions: &[&str]) -> bool {
        let wanted = self.asked.wanted.iter().zip(dimensions);
        wanted.into_iter().all(|(wanted, value)| wanted.as_ref().is_none_or(|wanted| wanted == value))
    }

    /// The sum that holds this time.
    fn sum(&mut self, dimensions: &[&str], time: EventTime) -> &mut Rolled {
        let step = self.step_of(time);
        let key: Vec<String> = dimensions.iter().map(|value| (*value).to_owned()).collect();
        let steps = self.sums.entry(key).or_default();
        self.held += usize::from(!steps.contains_key(&step));
        steps.entry(step).or_default()
    }

    fn windows(&mut self, store: &dyn Store, hour: EventTime, from: EventTime, to: EventTime) -> Result<(), RangeError> {
        let (first, behind) = keys::windows_of(hour, &self.texts, from, to);
        self.scan(store, &first, &behind, |found, key, value| {
            let (start, dimensions) = (keys::window_start_of(key)?, keys::dimensions_of(key)?);
            if found.is_wanted(&dimensions) {
                let detail = found.asked.detail;
                found.sum(&dimensions, start).add(start, &StoredRef::decode(value)?, detail)?;
            }
            Ok(())
        })
    }

    fn tens(&mut self, store: &dyn Store, hour: EventTime, from: EventTime, to: EventTime) -> Result<(), RangeError> {
        let (first, behind) = keys::tens_of(hour, &self.texts);
        self.scan(store, &first, &behind, |found, key, value| {
            let dimensions = keys::dimensions_of_tens(key)?;
            if !found.is_wanted(&dimensions) {
                return Ok(());
            }
            Tens::visit(value, |number, sum| {
                let start = hour.plus(i64::from(number) * TEN_MINUTES);
                if start < from || start >= to {
                    return Ok(());
                }
                let detail = found.asked.detail;
                found.sum(&dimensions, start).merge_encoded(sum, detail)
            })
        })
    }

    fn hours(&mut self, store: &dyn Store, from: EventTime, to: EventTime) -> Result<(), RangeError> {
        let (first, behind) = keys::hours_rolls(&self.texts, from, to);
        self.scan(store, &first, &behind, |found, key, value| {
            let (hour, dimensions) = keys::hour_and_dimensions_of(key)?;
            if found.is_wanted(&dimensions) {
                let detail = found.asked.detail;
                found.sum(&dimensions, hour).merge_encoded(value, detail)?;
            }
            Ok(())
        })
    }

    fn scan(
        &mut self,
        store: &dyn Store,
        first: &[u8],
        behind: &[u8],
        mut take: impl FnMut(&mut Self, &[u8], &[u8]) -> Result<(), CodecError>,
    ) -> Result<(), RangeError> {
        let (mut damage, most) = (None, self.asked.most);
        store.scan(first, behind, &mut |key, value| {
            self.read += 1;
            if self.read <= most.reads && self.held <= most.sums && damage.is_none() {
                damage = take(self, key, value).err();
            }
        })?;
        damage.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// What a kind of value takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// First and last hour that has something; `None` where nothing is.
    pub hours: Option<(EventTime, EventTime)>,
    /// Bytes of keys and values, before they are compressed.
    pub bytes: u64,
}

/// What the stores take, over all partitions. Sums of hours for error budgets are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Single windows.
    pub records: Held,
    /// Sums of ten minutes.
    pub ten_minutes: Held,
    /// Sums of hours.
    pub hours: Held,
    /// Lines of the late ledger, in a store of their own.
    pub late: Held,
    /// Bytes of what is kept of each service's newest windows.
    pub services: u64,
    /// Groupings of services and hours that are not rolled up.
    pub open: u64,
    /// Records that came for windows that were thrown away already; they changed nothing.
    pub missed: u64,
}

impl Held {
    fn take(&mut self, hour: EventTime, bytes: u64) {
        if bytes > 0 {
            let (first, last) = self.hours.unwrap_or((hour, hour));
            self.hours = Some((first.min(hour), last.max(hour)));
            self.bytes += bytes;
        }
    }
}

impl History {
    /// What is held, and how much it takes.
    ///
    /// # Errors
    /// When a store fails.
    pub fn sizes(&self) -> Result<Sizes, StoreError> {
        let mut all = Sizes::default();
        for store in &self.signals {
            let store = locked(store);
            all.missed += Standing::read(&**store)?.missed;
            let (from, to) = keys::all_open();
            store.scan(&from, &to, &mut |_, _| all.open += 1)?;
            let (from, to) = keys::all_services();
            store.scan(&from, &to, &mut |key, value| all.services += (key.len() + value.len()) as u64)?;
            each_size(&**store, |hour, [records, ten_minutes, hours]| {
                all.records.take(hour, records);
                all.ten_minutes.take(hour, ten_minutes);
                all.hours.take(hour, hours);
            })?;
        }
        for store in &self.late {
            each_size(&**locked(store), |hour, [lines, ..]| all.late.take(hour, lines))?;
        }
        Ok(all)
    }
}

/// The bytes of each hour of a store.
fn each_size(store: &dyn Store, mut take: impl FnMut(EventTime, Bytes)) -> Result<(), StoreError> {
    let (from, to) = keys::sizes();
    let mut damage = None;
    store.scan(&from, &to, &mut |key, value| match (keys::hour_of_key(key), bytes_of(value)) {
        (Ok(hour), Ok(bytes)) => take(hour, bytes),
        (Err(error), _) | (_, Err(error)) => damage = Some(error),
    })?;
    damage.map_or(Ok(()), |error: CodecError| Err(StoreError(error.to_string())))
}
