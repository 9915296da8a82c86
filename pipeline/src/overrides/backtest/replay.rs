//! Reads published windows out of the history, page by page, and puts them through backtests: no lock is held while rules are evaluated.

use super::{Backtest, Judging, Published, Report, Unusable};
use crate::history::{History, Query, ServiceKey};
use crate::overrides::activation::Activation;
use golden_overrides::file::Override;
use golden_overrides::set::Set;
use platform_core::store::StoreError;
use platform_core::time::EventTime;

/// Most windows of one backtest, over all services.
pub const MAX_WINDOWS: i64 = 200_000;
/// Windows of a page: about an hour of the shortest ones.
const PAGE: usize = 360;

/// What new files are compared with.
#[derive(Clone, Copy, Debug)]
pub enum Against<'a> {
    /// The default rule.
    Default,
    /// A version of the control log.
    Version(&'a Activation),
    /// Other files.
    Files(&'a Set),
}

impl<'a> Against<'a> {
    fn find(self, namespace: &str, service: &str) -> Option<&'a Override> {
        match self {
            Self::Default => None,
            Self::Version(version) => version.find(namespace, service).map(|(_, found)| found),
            Self::Files(set) => set.find(namespace, service),
        }
    }
}

/// Which windows.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// First instant that a window may start at; when not told, `length` before `to`.
    pub from: Option<EventTime>,
    /// First instant behind; when not told, behind the service's newest window.
    pub to: Option<EventTime>,
    /// How far back from `to`, in ns.
    pub length: i64,
}

/// A backtest of several services.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Tenant.
    pub tenant: &'a str,
    /// New files; each service that has one is tested.
    pub new: &'a Set,
    /// What they are compared with.
    pub against: Against<'a>,
    /// This service alone.
    pub service: Option<&'a str>,
    /// Which windows.
    pub range: Range,
    /// Whether reports list every window.
    pub levels: bool,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    /// The history cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What stands in it cannot be used.
    #[error(transparent)]
    Record(#[from] Unusable),
    /// Too much at once.
    #[error("{windows} windows are too many; at most {MAX_WINDOWS} at once: take fewer services or a shorter time")]
    TooMany {
        /// How many.
        windows: i64,
    },
    /// An empty stretch of time.
    #[error("from must lie before to")]
    Empty,
}

/// The reports, in the order of namespace and service.
///
/// # Errors
/// When the order is too large, or the history cannot be read.
pub fn backtest(history: &History, judging: Judging, order: &Order<'_>) -> Result<Vec<Report>, BacktestError> {
    let mut plan = Vec::new();
    let mut windows = 0_i64;
    for file in order.new.overrides().filter(|file| order.service.is_none_or(|only| file.service == only)) {
        let key = ServiceKey { tenant: order.tenant.to_owned(), namespace: file.namespace.clone(), service: file.service.clone() };
        let now = history.named(order.tenant, &key.service)?.into_iter().find(|now| now.key == key);
        let newest = now.map_or(EventTime(0), |now| now.window_start.plus(now.window_nanos));
        let to = order.range.to.unwrap_or(newest);
        let from = order.range.from.unwrap_or(to.plus(-order.range.length));
        if from >= to {
            return Err(BacktestError::Empty);
        }
        windows = windows.saturating_add(to.since(from) / judging.window.nanos());
        plan.push((key, from, to));
    }
    if windows > MAX_WINDOWS {
        return Err(BacktestError::TooMany { windows });
    }
    plan.iter().map(|(key, from, to)| one(history, judging, order, key, Query { from: *from, to: *to, limit: PAGE })).collect()
}

fn one(history: &History, judging: Judging, order: &Order<'_>, key: &ServiceKey, mut query: Query) -> Result<Report, BacktestError> {
    let (namespace, service) = (key.namespace.as_str(), key.service.as_str());
    let (old, new) = (order.against.find(namespace, service), order.new.find(namespace, service));
    let mut backtest = Backtest::new(judging, (namespace, service), old, new, order.levels);
    loop {
        let page = history.signals(key, "service", &query)?;
        for stored in &page.records {
            backtest.window(&Published::of(stored)?);
        }
        match page.next_from {
            Some(next) => query.from = next,
            None => return Ok(backtest.report()),
        }
    }
}
