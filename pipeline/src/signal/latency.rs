//! Latency: quantile q = k / 1000 has rank r = max(1, ⌈count · k / 1000⌉), in integers; its value is the highest duration of the bin that
//! holds the r-th smallest, but never above the exact maximum. mean = sum / count, from the exact sum; the maximum is exact.
//!
//! So exact ≤ published ≤ exact + max(1 % of exact, 1 µs), where exact is the nearest-rank value. Several sketches are summed by adding
//! counts: a quantile is never computed from quantiles. Without a duration there is no latency, which is not 0.
//!
//! Ranks are taken in one pass over the bins that have counts; the dense histogram of the crate would be cleared and scanned from its
//! first bin for each series. The tests hold both to the same values.

use crate::aggregate::{Aggregate, Latency};
use crate::sketch::range_of;

/// The published quantiles: name, and k = 1000 q. Ascending.
pub const QUANTILES: [(&str, u64); 6] = [("p50", 500), ("p75", 750), ("p90", 900), ("p95", 950), ("p99", 990), ("p999", 999)];
/// Largest relative error of a published quantile.
pub const RELATIVE_BOUND: f64 = 0.01;
/// Largest absolute error of a published quantile below 100 µs, ms.
pub const ABSOLUTE_BOUND_MS: f64 = 0.001;

/// What is published about some durations. Times are ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Σ weight.
    pub count: u64,
    /// Exact Σ duration · weight.
    pub sum_ns: u128,
    /// Exact maximum.
    pub max_ns: u64,
    /// In the order of `QUANTILES`.
    pub quantiles_ns: [u64; QUANTILES.len()],
}

impl Summary {
    /// Sum, ms.
    #[must_use]
    pub fn sum_ms(&self) -> f64 {
        self.sum_ns as f64 / 1e6
    }

    /// Mean, ms.
    #[must_use]
    pub fn mean_ms(&self) -> f64 {
        self.sum_ns as f64 / (self.count as f64 * 1e6)
    }

    /// Maximum, ms.
    #[must_use]
    pub fn max_ms(&self) -> f64 {
        ms(self.max_ns)
    }

    /// Quantiles, ms, in the order of `QUANTILES`.
    #[must_use]
    pub fn quantiles_ms(&self) -> [f64; QUANTILES.len()] {
        self.quantiles_ns.map(ms)
    }
}

/// Nanoseconds as milliseconds.
#[must_use]
pub fn ms(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// Summary of one outcome's durations; none without one.
#[must_use]
pub fn summary(latency: &Latency) -> Option<Summary> {
    summarize(latency.sketch.bins(), latency.sketch.total(), latency.sum_ns, latency.max_ns)
}

/// Summary of both outcomes together.
#[must_use]
pub fn summary_of_both(ok: &Latency, error: &Latency) -> Option<Summary> {
    let (mut left, mut right) = (ok.sketch.bins().peekable(), error.sketch.bins().peekable());
    let ascending = std::iter::from_fn(|| match (left.peek(), right.peek()) {
        (Some(l), Some(r)) if l.0 > r.0 => right.next(),
        (None, _) => right.next(),
        _ => left.next(),
    });
    let count = ok.sketch.total() + error.sketch.total();
    summarize(ascending, count, ok.sum_ns + error.sum_ns, ok.max_ns.max(error.max_ns))
}

/// Summary of all durations of an aggregate.
#[must_use]
pub fn summary_of_all(aggregate: &Aggregate) -> Option<Summary> {
    match aggregate.error_latency().filter(|error| !error.sketch.is_empty()) {
        Some(error) => summary_of_both(aggregate.ok_latency(), error),
        None => summary(aggregate.ok_latency()),
    }
}

/// Quantiles that too few samples stand behind: n · (1 − q) < 1, where n counts raw events.
pub fn low_confidence(samples: u64) -> impl Iterator<Item = &'static str> + Clone {
    QUANTILES.iter().filter(move |(_, k)| is_low_confidence(samples, *k)).map(|(name, _)| *name)
}

/// Whether the quantile k / 1000 of so many raw events is one of those.
#[must_use]
pub fn is_low_confidence(samples: u64, k: u64) -> bool {
    u128::from(samples) * u128::from(1000 - k) < 1000
}

/// One pass over ascending bins; a bin may come twice.
fn summarize(bins: impl Iterator<Item = (u16, u64)>, count: u64, sum_ns: u128, max_ns: u64) -> Option<Summary> {
    if count == 0 {
        return None;
    }
    // ⌈count · k / 1000⌉ without leaving 64 bits.
    let rank = |k: u64| (count / 1000 * k + (count % 1000 * k).div_ceil(1000)).max(1);
    // A rank that no bin reaches cannot be: the last one is at most the count.
    let mut quantiles_ns = [max_ns; QUANTILES.len()];
    let mut open = quantiles_ns.iter_mut().zip(QUANTILES.map(|(_, k)| rank(k))).peekable();
    let mut seen = 0;
    for (bin, count) in bins {
        seen += count;
        while let Some((value, _)) = open.next_if(|(_, rank)| *rank <= seen) {
            *value = max_ns.min(range_of(bin).1 * 1000);
        }
        if open.peek().is_none() {
            break;
        }
    }
    Some(Summary { count, sum_ns, max_ns, quantiles_ns })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sketch::{MAX_MICROS, bin_of, micros_of};
    use hdrhistogram::Histogram;
    use proptest::prelude::*;

    fn latency_of(samples: &[(u64, u64)]) -> Latency {
        let mut latency = Latency::default();
        for (ns, weight) in samples {
            latency.sketch.record(bin_of(micros_of(*ns).0), *weight);
            latency.sum_ns += u128::from(*ns) * u128::from(*weight);
            latency.max_ns = latency.max_ns.max(*ns);
        }
        latency
    }

    fn samples() -> impl Strategy<Value = Vec<(u64, u64)>> {
        let ns = prop_oneof![0_u64..2_000_000, 0_u64..90_000_000_000, Just(4_000_000_000_000)];
        prop::collection::vec((ns, prop_oneof![4 => Just(1_u64), 1 => 1_u64..500]), 1..200)
    }

    #[test]
    fn no_duration_is_no_latency_and_zero_is_one() {
        assert_eq!(summary(&Latency::default()), None);
        let zero = summary(&latency_of(&[(0, 1)])).unwrap();
        assert_eq!((zero.count, zero.quantiles_ns, zero.mean_ms()), (1, [0; 6], 0.0));
    }

    #[test]
    fn quantiles_never_pass_the_exact_maximum() {
        let one = summary(&latency_of(&[(427_744_820, 1)])).unwrap();
        assert_eq!(one.quantiles_ns, [427_744_820; 6]);
        let beyond_an_hour = summary(&latency_of(&[(3_600_000_000_001, 1)])).unwrap();
        assert_eq!(beyond_an_hour.quantiles_ns, [3_600_000_000_001; 6]);
    }

    #[test]
    fn p99_below_100_events_and_p999_below_1000_are_of_low_confidence() {
        let of = |samples| low_confidence(samples).collect::<Vec<_>>();
        assert_eq!(of(1000), [""; 0]);
        assert_eq!((of(999), of(100), of(99)), (vec!["p999"], vec!["p999"], vec!["p99", "p999"]));
        assert_eq!(of(1).len(), 6);
        assert_eq!(of(2), ["p75", "p90", "p95", "p99", "p999"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn quantiles_lie_within_the_bound_of_the_nearest_rank_and_are_those_of_the_crate(samples in samples()) {
            let found = summary(&latency_of(&samples)).unwrap();
            let mut exact: Vec<u64> = samples.iter().flat_map(|(ns, weight)| std::iter::repeat_n(*ns, *weight as usize)).collect();
            exact.sort_unstable();
            let mut histogram = Histogram::<u64>::new_with_bounds(1, MAX_MICROS, 2).unwrap();
            samples.iter().for_each(|(ns, weight)| histogram.record_n(micros_of(*ns).0, *weight).unwrap());
            for ((_, k), value) in QUANTILES.iter().zip(found.quantiles_ns) {
                let rank = (exact.len() * *k as usize).div_ceil(1000).max(1);
                let exact = exact[rank - 1];
                if exact <= MAX_MICROS * 1000 {
                    prop_assert!(exact <= value && value <= exact + (exact / 100).max(1000), "{k}: {exact} {value}");
                }
                // The crate takes a rank that it rounds from a float; this one names the r-th smallest without doubt.
                let theirs = histogram.value_at_quantile((rank as f64 - 0.5) / histogram.len() as f64);
                prop_assert_eq!(value, found.max_ns.min(theirs * 1000));
            }
        }

        #[test]
        fn ranks_are_exact_up_to_63_bits(count in 1..=i64::MAX.cast_unsigned(), other in 1..=i64::MAX.cast_unsigned()) {
            let mut latency = Latency { max_ns: u64::MAX, ..Latency::default() };
            latency.sketch.record(1, count.min(other));
            latency.sketch.record(2, count - count.min(other));
            let found = summary(&latency).unwrap();
            for ((_, k), value) in QUANTILES.iter().zip(found.quantiles_ns) {
                let rank = (u128::from(count) * u128::from(*k)).div_ceil(1000);
                prop_assert_eq!(value, if rank <= u128::from(count.min(other)) { 1000 } else { 2000 });
            }
        }

        #[test]
        fn both_outcomes_together_are_the_union(ok in samples(), error in samples()) {
            let union: Vec<_> = ok.iter().chain(&error).copied().collect();
            prop_assert_eq!(summary_of_both(&latency_of(&ok), &latency_of(&error)), summary(&latency_of(&union)));
        }
    }
}
