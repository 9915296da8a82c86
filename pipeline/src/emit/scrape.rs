//! The Prometheus sink, a keyed stage: keeps the counters of the metrics page in its store, with its read position in the same batch, so
//! that a restart never resets a series and a repeated record counts nothing.
//!
//! One stage reads a partition of the public topic, another one of the late ledger. Pages are made from what the stages share
//! (`Scrapes`); no page is made here.

use crate::aggregate::Aggregate;
use crate::emit::prometheus::{PageSettings, Parts, ScrapeState, put_page};
use crate::emit::read::PublicRecord;
use crate::identity::{Identity, sortable};
use crate::names::{AGGREGATE, IDENTITY, SCHEMA, SCHEMA_LATE, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use platform_core::codec::{CodecError, Cursor};
use platform_core::growth::FORGOTTEN_HEADER;
use platform_core::map::Map;
use platform_core::metric::Family;
use platform_core::reach::Reach;
use platform_core::record::{Offset, Record};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use platform_core::time::EventTime;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// The counters of the page, sampled for outputs that push.
pub mod push;

/// Number of the state's format; another one starts from an empty store and replays.
pub const FORMAT: u32 = 2;
/// `1 | series key` → `ScrapeState`'s kept form of the series.
const SERIES: u8 = 1;
/// `2 | identity` → the aggregate that the counters hold of it.
const COUNTED: u8 = 2;
/// `3` → how far back in the input the counted aggregates reach.
const REACH: [u8; 1] = [3];
/// `4` → what `ScrapeState` keeps beside its series.
const REST: [u8; 1] = [4];

type Shared = Arc<Mutex<ScrapeState>>;
/// Schema and partition → the state, for as long as its stage has it.
type States = BTreeMap<(&'static str, u32), Weak<Mutex<ScrapeState>>>;

/// The states of all partitions, as pages need them. A state goes with its stage: what another process has taken over is not shown twice.
#[derive(Debug, Default)]
pub struct Scrapes(Mutex<States>);

impl Scrapes {
    /// The state of a stage and partition, made when it is first asked for.
    fn of(&self, schema: &'static str, partition: u32) -> Shared {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.entry((schema, partition)).or_default();
        held.upgrade().unwrap_or_else(|| {
            let new = Shared::default();
            *held = Arc::downgrade(&new);
            new
        })
    }

    /// Appends the page of all partitions, with `others` behind, and returns how many samples it has.
    pub fn page(&self, settings: &PageSettings, now: EventTime, others: &[Family], out: &mut Vec<u8>) -> u64 {
        let of = |wanted: &str| {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter(|((schema, _), _)| *schema == wanted).filter_map(|(_, state)| state.upgrade()).collect::<Vec<_>>()
        };
        put_page(&Parts { signals: &of(SCHEMA_SIGNALS), late: &of(SCHEMA_LATE), others }, settings, Some(now), out)
    }
}

/// The sink of one partition of one topic.
pub struct Scrape {
    schema: &'static str,
    state: Shared,
    /// How long after its window's start a counted aggregate is remembered at least, in ns; longer while corrections of it may come.
    remember: i64,
    /// How long after its last window a series is shown, in ns.
    ttl: i64,
    counted: Map<Vec<u8>, Vec<u8>>,
    touched: BTreeSet<Vec<u8>>,
    gone: Vec<Vec<u8>>,
    reach: Reach,
    newest: EventTime,
    /// Windows before this one get no corrections any more; the least number while nobody has said so.
    forgotten: u64,
    expired_through: EventTime,
}

impl Scrape {
    /// The sink of the public topic.
    #[must_use]
    pub fn signals(scrapes: &Scrapes, partition: u32, remember: i64, ttl: i64) -> Self {
        Self::new(SCHEMA_SIGNALS, scrapes, partition, remember, ttl, 0)
    }

    /// The sink of the late ledger.
    #[must_use]
    pub fn late(scrapes: &Scrapes, partition: u32, remember: i64, ttl: i64) -> Self {
        // No progress is told beside its lines.
        Self::new(SCHEMA_LATE, scrapes, partition, remember, ttl, u64::MAX)
    }

    fn new(schema: &'static str, scrapes: &Scrapes, partition: u32, remember: i64, ttl: i64, forgotten: u64) -> Self {
        Self {
            schema,
            state: scrapes.of(schema, partition),
            remember,
            ttl,
            counted: Map::default(),
            touched: BTreeSet::new(),
            gone: vec![],
            reach: Reach::default(),
            newest: EventTime::MIN,
            forgotten,
            expired_through: EventTime::MIN,
        }
    }

    fn state(&self) -> MutexGuard<'_, ScrapeState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), Trouble> {
        let header = |name| record.headers.get(name).ok_or(CodecError::Truncated);
        let encoded = header(IDENTITY)?;
        let mut identity = Identity::decode(encoded)?;
        let aggregate = Aggregate::decode(&mut Cursor::new(header(AGGREGATE)?))?;
        let key = [&[COUNTED], encoded].concat();
        let before = match self.counted.get(encoded) {
            Some(bytes) => Some(bytes.clone()),
            None => store.get(&key).map_err(|e| Trouble::Stage(e.into()))?,
        };
        let before = before.map(|bytes| Aggregate::decode(&mut Cursor::new(&bytes))).transpose()?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let series = if self.schema == SCHEMA_LATE {
            identity.grouping = "service".to_owned();
            state.apply_late(&identity, before.as_ref(), &aggregate)
        } else {
            let value = serde_json::from_slice::<PublicRecord<'_>>(record.value.unwrap_or_default()).map_err(|_| CodecError::Text)?;
            if let Some(told) = record.append_time {
                state.detect(&identity, &value, told);
            }
            state.apply(&identity, &value, before.as_ref(), &aggregate)
        };
        drop(state);
        self.touched.insert(series);
        self.reach.note(window_number(identity.window_start), record.offset);
        self.reached(identity.window_start);
        self.counted.insert(encoded.to_vec(), header(AGGREGATE)?.to_vec());
        Ok(())
    }

    /// A window that starts there is done, or has a result: series that are far behind it end.
    fn reached(&mut self, start: EventTime) {
        self.newest = self.newest.max(start);
        let through = self.newest.plus(-self.ttl);
        if through > self.expired_through {
            self.expired_through = through;
            self.gone.extend(self.state.lock().unwrap_or_else(PoisonError::into_inner).expire(through));
        }
    }
}

/// Start of the window that an identity, or that of a progress record, begins with.
fn start_of(identity: &[u8]) -> Option<EventTime> {
    let bytes = identity.first_chunk::<8>()?;
    Some(EventTime((u64::from_be_bytes(*bytes) ^ (1 << 63)).cast_signed()))
}

/// A number that rises with the window.
fn window_number(start: EventTime) -> u64 {
    u64::from_be_bytes(sortable(start))
}

enum Trouble {
    Codec(CodecError),
    Stage(StageError),
}

impl From<CodecError> for Trouble {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl KeyedStage for Scrape {
    fn restore(&mut self, store: &dyn Store, _committed: &[u8]) -> Result<(), StageError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = ScrapeState::default();
        let mut damaged = None;
        store.scan(&[SERIES], &[SERIES + 1], &mut |key, value| {
            if let Err(source) = state.load_series(key.get(1..).unwrap_or_default(), value) {
                damaged = Some(source);
            }
        })?;
        if let Some(rest) = store.get(&REST)? {
            damaged = damaged.or(state.load_rest(&rest).err());
        }
        if let Some(reach) = store.get(&REACH)? {
            self.reach = Reach::decode(&reach).map_err(|source| StageError::Unreadable { offset: Offset(0), source })?;
        }
        damaged.map_or(Ok(()), |source| Err(StageError::Unreadable { offset: Offset(0), source }))
    }

    fn apply(&mut self, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let schema = record.headers.get(SCHEMA).unwrap_or_default();
        if schema == SCHEMA_PROGRESS.as_bytes() {
            let said = record.headers.get(FORGOTTEN_HEADER).and_then(|bytes| bytes.try_into().ok());
            self.forgotten = said.map_or(u64::MAX, u64::from_be_bytes);
            // Services that have fallen silent end too, when there is no other that has results.
            if let Some(start) = record.headers.get(IDENTITY).and_then(start_of) {
                self.reached(start);
            }
        }
        if schema != self.schema.as_bytes() {
            return Ok(());
        }
        self.count(record, store).map_err(|trouble| match trouble {
            Trouble::Codec(source) => StageError::Unreadable { offset: record.offset, source },
            Trouble::Stage(error) => error,
        })
    }

    fn replay_from(&self, position: Offset) -> Offset {
        // A lost store resets the counters, which readers notice; what is still corrected must then count as a whole.
        self.reach.replay_from(position)
    }

    fn changes(&mut self, changes: &mut Changes) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for key in std::mem::take(&mut self.touched) {
            let mut value = Vec::new();
            state.encode_series(&key, &mut value);
            if !value.is_empty() {
                changes.put(&[&[SERIES], key.as_slice()].concat(), value);
            }
        }
        let mut rest = Vec::new();
        state.encode_rest(&mut rest);
        changes.put(&REST, rest);
        self.gone.drain(..).for_each(|key| changes.delete(&[&[SERIES], key.as_slice()].concat()));
        for (identity, aggregate) in self.counted.drain() {
            changes.put(&[&[COUNTED], identity.as_slice()].concat(), aggregate);
        }
        if self.newest > EventTime::MIN {
            let oldest = window_number(self.newest.plus(-self.remember)).min(self.forgotten);
            changes.delete_range(&[COUNTED], &[&[COUNTED][..], &oldest.to_be_bytes()].concat());
            self.reach.forget_before(oldest);
            changes.put(&REACH, self.reach.encode());
        }
    }

    fn held(&self) -> usize {
        self.counted.iter().map(|(k, v)| k.len() + v.len() + 64).sum()
    }
}

#[cfg(test)]
mod tests;
