//! The recorder: cells that are counted up without a lock, and a map of them that is locked to make one or to read all.
//!
//! A family is what it was first: a name that is later used for another kind of metric records nothing. Names and labels stay for the life
//! of the process, so whoever makes labels bounds their number; a gauge set to NaN is left out.

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use platform_core::metric::{Family, Kind, Sample, Value};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// All metrics of this process.
#[derive(Debug)]
pub struct Registry {
    families: Mutex<BTreeMap<String, Recorded>>,
    /// Bounds of histograms that have none of their own.
    usual: Arc<[f64]>,
    bounds: BTreeMap<&'static str, Arc<[f64]>>,
}

#[derive(Debug)]
struct Recorded {
    kind: Kind,
    help: String,
    /// By labels, in the order in which they are given.
    cells: BTreeMap<Vec<(String, String)>, Cell>,
}

#[derive(Clone, Debug)]
enum Cell {
    Count(Arc<AtomicU64>),
    /// Bits of a float.
    Number(Arc<AtomicU64>),
    Buckets(Arc<Buckets>),
}

#[derive(Debug)]
struct Buckets {
    bounds: Arc<[f64]>,
    counts: Vec<AtomicU64>,
    /// Bits of a float.
    sum: AtomicU64,
}

impl Registry {
    pub(super) fn new(usual: &[f64], bounds: &[(&'static str, &[f64])]) -> Self {
        let bounds = bounds.iter().map(|(name, bounds)| (*name, Arc::from(*bounds))).collect();
        Self { families: Mutex::default(), usual: Arc::from(usual), bounds }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = families.iter().map(|(name, recorded)| {
            let sample = |(labels, cell): (&Vec<_>, &Cell)| Some(Sample { labels: labels.clone(), value: cell.value()? });
            let samples = recorded.cells.iter().filter_map(sample).collect();
            Family { name: name.clone(), kind: recorded.kind, help: recorded.help.clone(), samples }
        });
        shown.filter(|family| !family.samples.is_empty()).collect()
    }

    fn describe(&self, name: &KeyName, kind: Kind, help: &str) {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Recorded { kind, help: String::new(), cells: BTreeMap::new() };
        help.clone_into(&mut families.entry(name.as_str().to_owned()).or_insert_with(new).help);
    }

    /// The cell of a metric, made by `new` when it is first asked for; none if the name is one of another kind.
    fn cell(&self, key: &Key, kind: Kind, new: impl FnOnce() -> Cell) -> Option<Cell> {
        let labels = key.labels().map(|label| (label.key().to_owned(), label.value().to_owned())).collect();
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        let first = || Recorded { kind, help: String::new(), cells: BTreeMap::new() };
        let recorded = families.entry(key.name().to_owned()).or_insert_with(first);
        (recorded.kind == kind).then(|| recorded.cells.entry(labels).or_insert_with(new).clone())
    }
}

impl Cell {
    fn value(&self) -> Option<Value> {
        match self {
            Self::Count(count) => Some(Value::Count(count.load(Ordering::Acquire))),
            Self::Number(bits) => Some(f64::from_bits(bits.load(Ordering::Acquire))).filter(|n| !n.is_nan()).map(Value::Number),
            Self::Buckets(buckets) => Some(Value::Histogram {
                bounds: Arc::clone(&buckets.bounds),
                counts: buckets.counts.iter().map(|count| count.load(Ordering::Acquire)).collect(),
                sum: f64::from_bits(buckets.sum.load(Ordering::Acquire)),
            }),
        }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::AcqRel);
        }
        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        // It fails only when `add` says none.
        let _ = self.sum.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }
}

impl Recorder for Registry {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&key, Kind::Counter, &help);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&key, Kind::Gauge, &help);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&key, Kind::Histogram, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(key, Kind::Counter, || Cell::Count(Arc::default())) {
            Some(Cell::Count(count)) => Counter::from_arc(count),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key, Kind::Gauge, || Cell::Number(Arc::default())) {
            Some(Cell::Number(bits)) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let new = || {
            let bounds = Arc::clone(self.bounds.get(key.name()).unwrap_or(&self.usual));
            let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
            Cell::Buckets(Arc::new(Buckets { bounds, counts, sum: AtomicU64::new(0) }))
        };
        match self.cell(key, Kind::Histogram, new) {
            Some(Cell::Buckets(buckets)) => Histogram::from_arc(buckets),
            _ => Histogram::noop(),
        }
    }
}
