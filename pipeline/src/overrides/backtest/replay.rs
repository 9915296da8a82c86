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
    let Range { from, to, length } = order.range;
    if from.zip(to).is_some_and(|(from, to)| from >= to) {
        return Err(BacktestError::Empty);
    }
    let mut plan = Vec::new();
    let mut windows = 0_i64;
    for file in order.new.overrides().filter(|file| order.service.is_none_or(|only| file.service == only)) {
        let key = ServiceKey { tenant: order.tenant.to_owned(), namespace: file.namespace.clone(), service: file.service.clone() };
        let now = history.named(order.tenant, &key.service)?.into_iter().find(|now| now.key == key);
        // A service that nothing was published of has no windows, whatever was asked for.
        let query = now.map(|now| {
            let to = to.unwrap_or(now.window_start.plus(now.window_nanos));
            Query { from: from.unwrap_or(to.plus(-length)), to, limit: PAGE }
        });
        let query = query.filter(|query| query.from < query.to);
        windows = windows.saturating_add(query.as_ref().map_or(0, |query| query.to.since(query.from) / judging.window.nanos()));
        plan.push((key, query));
    }
    if windows > MAX_WINDOWS {
        return Err(BacktestError::TooMany { windows });
    }
    plan.into_iter().map(|(key, query)| one(history, judging, order, &key, query)).collect()
}

fn one(history: &History, judging: Judging, order: &Order<'_>, key: &ServiceKey, query: Option<Query>) -> Result<Report, BacktestError> {
    let (namespace, service) = (key.namespace.as_str(), key.service.as_str());
    let (old, new) = (order.against.find(namespace, service), order.new.find(namespace, service));
    let mut backtest = Backtest::new(judging, (namespace, service), old, new, order.levels);
    let mut next = query;
    while let Some(query) = next {
        let page = history.signals(key, "service", &query)?;
        for stored in &page.records {
            backtest.window(&Published::of(stored)?);
        }
        next = page.next_from.map(|from| Query { from, ..query });
    }
    Ok(backtest.report())
}
