//! Orders read from the control log, and orders written into it.
//!
//! One writer at a time: taking the transactional id fences whoever had it, then the log is read to its end, and only then something is
//! written; so a newcomer either fences the old writer or sees what it wrote (GUARANTEES R2). An order that would not follow from what
//! stands there by then is not written. Records of others in the same log are passed over.

use crate::chain::{CHAIN_HEADER, Chain};
use crate::deployment::Deployment;
use crate::orders::{Entry, Order, Orders, Passed, SCHEMA_ORDER, Start};
use platform_core::control::ControlReader;
use platform_core::log::{Claim, CommitError, Log, LogError};
use platform_core::record::{NewRecord, Offset, Partition, Record, Topic};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Polls without a record before a read to the end gives up for now; each waits 100 ms at most.
const PATIENCE: u32 = 20;
/// Header that says which form a value has.
const SCHEMA: &str = "schema";

/// What schemas of orders begin with, of whatever version.
const FAMILY: &str = "platform-order/";

/// Orders as far as they were read.
pub struct OrdersReader {
    control: ControlReader,
    orders: Orders,
    chain: Chain,
    newer: Option<String>,
}

/// Why nothing follows from a control log: whoever reads it holds, and gives no order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Its beginning is gone.
    #[error(
        "the control log begins at offset {0}, so what was ordered before is gone: restore the topic from a copy, set its retention to \
         unlimited, and start the router's processes again"
    )]
    Truncated(Offset),
    /// It holds orders of a version that this program does not know.
    #[error("the control log holds orders of version `{0}`, which this program does not know: upgrade it first")]
    Newer(String),
}

/// Why no order was given. Nothing changed; `Write` alone leaves open whether it was.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// The control log cannot be read.
    #[error("the control log cannot be read: {0}")]
    Read(#[from] LogError),
    /// Its end did not come in time.
    #[error("the control log was not read to its end in time")]
    End,
    /// Nobody can know from it what is live.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The transactional id of orders cannot be had.
    #[error("the control log cannot be written: {0}")]
    Writer(LogError),
    /// The transaction did not take place, or nobody knows.
    #[error("the control log cannot be written: {0}")]
    Write(#[from] CommitError),
    /// It would not follow from what others ordered meanwhile.
    #[error("{0}")]
    Passed(#[from] Passed),
}

impl OrdersReader {
    /// A reader that has read nothing.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, topic: &Topic) -> Self {
        Self { control: ControlReader::new(log, topic), orders: Orders::default(), chain: Chain::default(), newer: None }
    }

    /// What was read so far.
    #[must_use]
    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Why nothing follows from what was read; none: all is well.
    #[must_use]
    pub fn unusable(&self) -> Option<Unusable> {
        let truncated = self.control.began().filter(|began| *began > Offset(0)).map(Unusable::Truncated);
        truncated.or_else(|| self.newer.clone().map(Unusable::Newer))
    }

    /// Offset of the first order that is not behind the orders that its writer saw: something was changed, or taken out.
    #[must_use]
    pub fn broken(&self) -> Option<Offset> {
        self.chain.broken()
    }

    /// Reads to the end as it is now. `false`: it did not come in time.
    ///
    /// # Errors
    /// When the log cannot be read; what was read before stays read.
    pub fn refresh(&mut self) -> Result<bool, LogError> {
        self.refresh_with(&mut |_| {})
    }

    /// As `refresh`, and gives each order to be looked at once it was taken.
    ///
    /// # Errors
    /// As `refresh`.
    pub(crate) fn refresh_with(&mut self, each: &mut dyn FnMut(&Taken<'_>)) -> Result<bool, LogError> {
        let Self { control, orders, chain, newer } = self;
        control.read_to_end(PATIENCE, &mut |record| {
            take(orders, chain, newer, record, each);
        })
    }

    /// Reads what has come, and waits for nothing. `changed` is set when an order was among it.
    fn read_on(&mut self, changed: &mut bool) -> Result<(), LogError> {
        let Self { control, orders, chain, newer } = self;
        control.read_on(&mut |record| *changed |= take(orders, chain, newer, record, &mut |_| {}))
    }
}

/// An order of the control log that was just taken.
pub(crate) struct Taken<'a> {
    /// Where it stands.
    pub(crate) offset: Offset,
    /// When the log took it, in ns.
    pub(crate) at: i64,
    /// What it says; none: it cannot be read.
    pub(crate) entry: Option<&'a Entry>,
    /// Why it was passed over, if it was.
    pub(crate) passed: Option<&'a Passed>,
    /// What follows from all orders with it.
    pub(crate) orders: &'a Orders,
}

/// Takes a record of the control log; `true` for an order. Of one of another version its schema is kept.
fn take(orders: &mut Orders, chain: &mut Chain, newer: &mut Option<String>, record: &Record<'_>, each: &mut dyn FnMut(&Taken<'_>)) -> bool {
    let schema = record.headers.get(SCHEMA).unwrap_or_default();
    if schema != SCHEMA_ORDER.as_bytes() {
        if schema.starts_with(FAMILY.as_bytes()) {
            *newer = Some(String::from_utf8_lossy(schema).into_owned());
        }
        return false;
    }
    let (at, value) = (record.append_time.map_or(0, |time| time.0), record.value.unwrap_or_default());
    chain.take(record.offset, record.headers.get(CHAIN_HEADER), value);
    let entry = Entry::decode(value);
    let applied = entry.clone().and_then(|entry| orders.apply(entry, at));
    if let Err(passed) = &applied {
        tracing::warn!(offset = record.offset.0, %passed, "an order in the control log is passed over");
    }
    each(&Taken { offset: record.offset, at, entry: entry.as_ref().ok(), passed: applied.as_ref().err(), orders });
    true
}

/// The newest orders, for all workers of a process: whoever asks reads what has come, and waits for nothing.
pub struct OrdersFeed {
    log: Option<Arc<dyn Log>>,
    reader: Mutex<Option<OrdersReader>>,
    newest: Mutex<Known>,
}

/// What follows from the control log as far as it was read, or why nothing does.
type Known = Result<Arc<Orders>, Unusable>;

impl OrdersFeed {
    /// Orders of a control log.
    #[must_use]
    pub fn of_log(log: Arc<dyn Log>, topic: &Topic) -> Arc<Self> {
        let reader = OrdersReader::new(Arc::clone(&log), topic);
        Arc::new(Self { log: Some(log), reader: Mutex::new(Some(reader)), newest: Mutex::new(Ok(Arc::default())) })
    }

    /// One deployment, live for ever: for runs that have no control log.
    #[must_use]
    pub fn only(deployment: Deployment) -> Arc<Self> {
        let mut orders = Orders::default();
        let start = Start { deployment, version: String::new(), owned_from: 0, positions: Vec::new() };
        let applied = orders.apply(Entry { by: String::new(), reason: String::new(), order: Order::Start(start) }, 0);
        debug_assert!(applied.is_ok(), "a first deployment follows from nothing");
        Arc::new(Self { log: None, reader: Mutex::default(), newest: Mutex::new(Ok(Arc::new(orders))) })
    }

    /// The log that they stand in.
    pub(crate) fn log(&self) -> Option<&Arc<dyn Log>> {
        self.log.as_ref()
    }

    /// What is known by now. While the control log cannot be read, what was known before.
    ///
    /// # Errors
    /// When nothing follows from it, which stays so until the process is started again.
    pub fn newest(&self) -> Result<Arc<Orders>, Unusable> {
        if let Some(reader) = &mut *lock(&self.reader) {
            let mut changed = false;
            if let Err(error) = reader.read_on(&mut changed) {
                tracing::debug!(%error, "the control log cannot be read: what was ordered before stands");
            }
            if let Some(unusable) = reader.unusable() {
                *lock(&self.newest) = Err(unusable);
            } else if changed {
                *lock(&self.newest) = Ok(Arc::new(reader.orders().clone()));
            }
        }
        lock(&self.newest).clone()
    }
}

/// Every change below is complete before its lock is given back, also after a panic elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Gives an order: `decide` is shown what stands in the log once nobody else can write, and says what to order, or nothing.
///
/// # Errors
/// What failed. After `Write` the log itself says whether it took place.
pub fn give(
    log: &Arc<dyn Log>,
    pipeline: &str,
    topic: &Topic,
    decide: impl FnOnce(&Orders) -> Option<Entry>,
) -> Result<Option<Entry>, GiveError> {
    give_upon(None, log, pipeline, topic, decide)
}

/// As `give`; upon what was read before, which is a planted mistake: others may have ordered something since.
pub(crate) fn give_upon(
    before: Option<&OrdersReader>,
    log: &Arc<dyn Log>,
    pipeline: &str,
    topic: &Topic,
    decide: impl FnOnce(&Orders) -> Option<Entry>,
) -> Result<Option<Entry>, GiveError> {
    let start = log.bounds(&Partition::new(topic, 0))?.0;
    if start > Offset(0) {
        return Err(Unusable::Truncated(start).into());
    }
    let mut writer = log.writer(&format!("{pipeline}.control")).map_err(GiveError::Writer)?;
    let mut now = OrdersReader::new(Arc::clone(log), topic);
    if before.is_none() && !now.refresh()? {
        return Err(GiveError::End);
    }
    let reader = before.unwrap_or(&now);
    if let Some(unusable) = reader.unusable() {
        return Err(unusable.into());
    }
    let Some(entry) = decide(reader.orders()) else { return Ok(None) };
    reader.orders.clone().apply(entry.clone(), i64::MAX)?;
    let seen = reader.chain.head();
    let headers = [(SCHEMA, SCHEMA_ORDER.as_bytes()), ("content-type", b"application/json".as_slice()), (CHAIN_HEADER, seen.as_slice())];
    writer.append(&Partition::new(topic, 0), NewRecord { key: None, headers: &headers, value: Some(&entry.encode()) })?;
    // No positions are committed with it, so no claim is looked at.
    writer.commit(&Claim { group: String::new(), member: 0, generation: 0 }, &[])?;
    Ok(Some(entry))
}
