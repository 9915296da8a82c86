//! Sums of windows that budgets are made of: requests, errors, and durations by the classic buckets, of ok and errors together.
//!
//! A duration counts where the highest equivalent value of its bin falls, as on the metrics page, so both say the same.

use crate::aggregate::{Aggregate, Latency};
use crate::sketch::range_of;
use golden_overrides::file::LATENCY_BOUNDS_MS;
use platform_core::codec::{CodecError, Cursor, put_u64};

/// Buckets, the unbounded one included.
const BUCKETS: usize = LATENCY_BOUNDS_MS.len() + 1;

/// Sums over some windows; weighted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests.
    pub requests: u64,
    /// Those of them that failed.
    pub errors: u64,
    /// Durations by bucket, not cumulative.
    buckets: [u64; BUCKETS],
}

impl Counts {
    /// The sums of one window.
    #[must_use]
    pub fn of(aggregate: &Aggregate) -> Self {
        let counts = aggregate.counts();
        let mut sums = Self { requests: counts.requests(), errors: counts.errors, buckets: [0; BUCKETS] };
        sums.take(aggregate.ok_latency());
        aggregate.error_latency().into_iter().for_each(|latency| sums.take(latency));
        sums
    }

    /// The sums of an encoded aggregate; of none, nothing.
    pub(crate) fn of_bytes(aggregate: &[u8]) -> Result<Self, CodecError> {
        if aggregate.is_empty() {
            return Ok(Self::default());
        }
        Ok(Self::of(&Aggregate::decode(&mut Cursor::new(aggregate))?))
    }

    fn take(&mut self, latency: &Latency) {
        for (bin, count) in latency.sketch.bins() {
            let (_, highest) = range_of(bin);
            // Bounds are whole milliseconds, bins microseconds.
            let bucket = LATENCY_BOUNDS_MS.iter().position(|bound| highest <= (bound * 1000.0) as u64).unwrap_or(BUCKETS - 1);
            if let Some(held) = self.buckets.get_mut(bucket) {
                *held = held.saturating_add(count);
            }
        }
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.errors = self.errors.saturating_add(other.errors);
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// Takes off what an earlier revision of a window had added.
    pub(crate) fn take_off(&mut self, other: &Self) {
        self.requests = self.requests.saturating_sub(other.requests);
        self.errors = self.errors.saturating_sub(other.errors);
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine = mine.saturating_sub(theirs);
        }
    }

    /// Requests that took longer than a bound.
    #[must_use]
    pub fn slower_than(&self, bound_ms: f64) -> u64 {
        let above = LATENCY_BOUNDS_MS.iter().filter(|bound| **bound <= bound_ms).count();
        self.buckets.iter().skip(above).sum()
    }

    /// The encoded form: requests, errors, and the counts of the buckets up to the last that is not empty.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.requests);
        put_u64(&mut out, self.errors);
        let used = self.buckets.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        self.buckets.iter().take(used).for_each(|count| put_u64(&mut out, *count));
        out
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let mut counts = Self { requests: from.u64()?, errors: from.u64()?, buckets: [0; BUCKETS] };
        for bucket in &mut counts.buckets {
            if from.is_empty() {
                break;
            }
            *bucket = from.u64()?;
        }
        from.end()?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(numbers: &[u64]) -> Counts {
        let mut counts = Counts { requests: 10, errors: 1, buckets: [0; BUCKETS] };
        for (bucket, number) in counts.buckets.iter_mut().zip(numbers) {
            *bucket = *number;
        }
        counts
    }

    #[test]
    fn slow_is_what_lies_above_the_bound() {
        let counts = counts(&[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384]);
        assert_eq!(counts.slower_than(5.0), 32766);
        assert_eq!(counts.slower_than(250.0), 32768 - 128);
        assert_eq!(counts.slower_than(10_000.0), 16384);
    }

    proptest! {
        #[test]
        fn sums_come_back_and_what_was_added_can_be_taken_off(a in prop::array::uniform15(0..1_u64 << 40), b in prop::array::uniform15(0..1_u64 << 40)) {
            let (a, b) = (counts(&a), counts(&b));
            prop_assert_eq!(Counts::decode(&a.encode()).unwrap(), a.clone());
            let mut sum = a.clone();
            sum.add(&b);
            sum.take_off(&b);
            prop_assert_eq!(sum, a);
        }
    }
}
