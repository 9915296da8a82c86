use super::*;
use crate::sketch::{MAX_MICROS, bin_of};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Durations in µs over all magnitudes, many of them close together, with weights that are mostly small.
fn samples(most: usize) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let micros = (0_u32..33, any::<u64>()).prop_map(|(bits, n)| (n & ((1 << bits) - 1)).min(MAX_MICROS));
    let narrow = 20_000_u64..90_000;
    let weight = prop_oneof![8 => Just(1_u64), 2 => 1_u64..400, 1 => 1_u64..=1_000_000];
    let wide = prop::collection::vec((prop_oneof![micros, narrow.clone()], weight.clone()), 0..most);
    let near = prop::collection::vec((narrow, weight), 0..most);
    prop_oneof![wide, near]
}

fn sketch_of(samples: &[(u64, u64)]) -> Sketch {
    let mut sketch = Sketch::default();
    samples.iter().for_each(|(micros, count)| sketch.record(bin_of(*micros), *count));
    sketch
}

fn histogram_of(samples: &[(u64, u64)]) -> Exponential {
    let mut histogram = Exponential::default();
    histogram.grow(None, &sketch_of(samples));
    histogram
}

/// Upper bound in s of a bucket, by OTLP's index.
fn upper(index: i32, scale: i32) -> f64 {
    (f64::from(index + 1) / f64::from(1 << scale)).exp2()
}

/// Counts by Prometheus' index, as a reader of spans and deltas finds them.
fn read(native: &Native) -> BTreeMap<i32, i64> {
    let mut counts = BTreeMap::new();
    let mut deltas = native.deltas.iter();
    let (mut index, mut count) = (0, 0);
    for (offset, length) in &native.spans {
        index += offset;
        for _ in 0..*length {
            count += deltas.next().unwrap();
            counts.insert(index, count);
            index += 1;
        }
    }
    assert!(deltas.next().is_none());
    counts
}

#[test]
fn every_bin_lies_in_the_bucket_of_its_highest_duration_and_on_no_bound() {
    for bin in 1..BINS {
        let micros = range_of(bin).1;
        let exact = 64.0 * (micros as f64 / 1e6).log2();
        assert_eq!(f64::from(FINEST[usize::from(bin)]), exact.floor(), "{micros}");
        assert!((exact - exact.round()).abs() > 1e-9, "{micros} lies on a bound");
    }
}

#[test]
fn one_duration_is_in_one_bucket_of_the_finest_scale() {
    let histogram = histogram_of(&[(1_000_000, 3)]);
    assert_eq!((histogram.scale(), histogram.bucket_counts(), histogram.zero_count()), (6, &[3][..], 0));
    let index = histogram.offset();
    assert!(upper(index - 1, 6) <= 1.0 && upper(index, 6) > 1.0);
    let mut native = Native::default();
    histogram.native(&mut native);
    assert_eq!(native, Native { spans: vec![(index + 1, 1)], deltas: vec![3] });
}

#[test]
fn a_duration_of_zero_is_in_no_bucket() {
    let histogram = histogram_of(&[(0, 7)]);
    assert_eq!((histogram.zero_count(), histogram.count(), histogram.bucket_counts().len(), histogram.scale()), (7, 7, 0, 6));
    let mut native = Native { spans: vec![(1, 1)], deltas: vec![1] };
    histogram.native(&mut native);
    assert_eq!(native, Native::default());
}

#[test]
fn the_scale_falls_only_when_the_buckets_no_longer_fit() {
    let mut histogram = Exponential::default();
    let mut last = histogram.scale();
    // 2.5 powers of two fit at scale 6.
    for (micros, scale) in [(100_000, 6), (560_000, 6), (700_000, 5), (700_001, 5), (10_000, 4), (1, 3), (MAX_MICROS, 2), (5, 2)] {
        histogram.record(bin_of(micros), 1);
        assert_eq!(histogram.scale(), scale, "after {micros}");
        assert!(histogram.scale() <= last && histogram.bucket_counts().len() <= MAX_BUCKETS);
        last = histogram.scale();
    }
    assert_eq!(histogram.count(), 8);
}

#[test]
fn small_gaps_are_bridged_and_wide_ones_begin_a_span() {
    let histogram = Exponential { zero: 0, coarser: 0, offset: -10, counts: vec![5, 0, 0, 2, 3, 0, 0, 0, 1] };
    let mut native = Native::default();
    histogram.native(&mut native);
    assert_eq!(native, Native { spans: vec![(-9, 5), (3, 1)], deltas: vec![5, -5, 0, 2, 1, -2] });
}

#[test]
fn damaged_bytes_are_refused() {
    let mut bytes = Vec::new();
    histogram_of(&[(0, 1), (17, 2), (40, 9)]).encode(&mut bytes);
    for end in 0..bytes.len() {
        assert!(Exponential::decode(&mut Cursor::new(&bytes[..end])).is_err(), "cut at {end}");
    }
    let mut coarse = bytes.clone();
    coarse[1] = 7;
    assert!(Exponential::decode(&mut Cursor::new(&coarse)).is_err());
    let mut wide = vec![0, 0, 0];
    codec::put_u64(&mut wide, 161);
    wide.extend([0; 161]);
    assert!(Exponential::decode(&mut Cursor::new(&wide)).is_err());
}

proptest! {
    #[test]
    fn counts_are_kept_at_the_largest_scale_that_fits(samples in samples(300)) {
        let histogram = histogram_of(&samples);
        let total: u64 = samples.iter().map(|(_, count)| count).sum();
        let zeros: u64 = samples.iter().filter(|(micros, _)| *micros == 0).map(|(_, count)| count).sum();
        prop_assert_eq!((histogram.count(), histogram.zero_count()), (total, zeros));
        let mut expected = BTreeMap::<i32, u64>::new();
        let coarser = (6 - histogram.scale()) as u8;
        let finest = |micros: u64| i32::from(FINEST[usize::from(bin_of(micros))]);
        for (micros, count) in samples.iter().filter(|(micros, _)| *micros > 0) {
            *expected.entry(finest(*micros) >> coarser).or_default() += count;
        }
        let buckets = (histogram.offset()..).zip(histogram.bucket_counts().iter().copied());
        let found: BTreeMap<i32, u64> = buckets.filter(|(_, count)| *count > 0).collect();
        prop_assert_eq!(&found, &expected);
        let ends = expected.first_key_value().zip(expected.last_key_value());
        let width = ends.map_or(0, |((first, _), (last, _))| last - first + 1);
        prop_assert_eq!(width as usize, histogram.bucket_counts().len(), "no empty bucket at the ends");
        if coarser > 0 {
            let all = samples.iter().filter(|(micros, _)| *micros > 0).map(|(micros, _)| finest(*micros) >> (coarser - 1));
            prop_assert!(all.clone().max().unwrap() - all.min().unwrap() >= 160, "a finer scale would have fitted");
        }
    }

    #[test]
    fn native_buckets_are_those_of_otlp_one_further(samples in samples(200)) {
        let histogram = histogram_of(&samples);
        let mut native = Native::default();
        histogram.native(&mut native);
        let found: BTreeMap<i32, i64> = read(&native).into_iter().filter(|(_, count)| *count > 0).collect();
        let buckets = (histogram.offset() + 1..).zip(histogram.bucket_counts().iter().map(|c| *c as i64));
        prop_assert_eq!(found, buckets.filter(|(_, count)| *count > 0).collect::<BTreeMap<_, _>>());
    }

    #[test]
    fn merging_equals_adding_in_any_order(one in samples(150), other in samples(150)) {
        let mut merged = histogram_of(&one);
        merged.add(&histogram_of(&other));
        let mut turned = histogram_of(&other);
        turned.add(&histogram_of(&one));
        let together: Vec<_> = one.iter().chain(&other).copied().collect();
        prop_assert_eq!(&merged, &histogram_of(&together));
        prop_assert_eq!(&turned, &merged);
        // One by one, from the last to the first.
        let mut single = Exponential::default();
        together.iter().rev().for_each(|(micros, count)| single.record(bin_of(*micros), *count));
        prop_assert_eq!(&single, &merged);
        // As a correction brings it.
        let mut grown = histogram_of(&one);
        grown.grow(Some(&sketch_of(&one)), &sketch_of(&together));
        prop_assert_eq!(&grown, &merged);
    }

    #[test]
    fn quantiles_are_within_their_bound(samples in samples(200), k in 1_u64..=1000) {
        let histogram = histogram_of(&samples);
        let total = histogram.count();
        prop_assume!(total > 0);
        let rank = (u128::from(total) * u128::from(k)).div_ceil(1000).max(1) as u64;
        let mut sorted = samples.clone();
        sorted.sort_unstable();
        let mut below = 0;
        let exact = sorted.iter().find(|(_, count)| { below += count; below >= rank }).unwrap().0 as f64 / 1e6;
        let mut below = histogram.zero_count();
        let mut published = 0.0;
        for (index, count) in (histogram.offset()..).zip(histogram.bucket_counts()) {
            if below >= rank { break; }
            below += count;
            published = upper(index, histogram.scale());
        }
        let bound = (1.0 / f64::from(1 << histogram.scale())).exp2();
        let sketched = exact + (exact * 0.01).max(1e-6);
        prop_assert!(exact <= published * 1.000_000_001 && published <= sketched * bound, "{exact} {published} at {}", histogram.scale());
    }

    #[test]
    fn the_encoded_form_reads_back(samples in samples(200)) {
        let histogram = histogram_of(&samples);
        let mut bytes = Vec::new();
        histogram.encode(&mut bytes);
        let mut cursor = Cursor::new(&bytes);
        prop_assert_eq!(Exponential::decode(&mut cursor).unwrap(), histogram);
        prop_assert!(cursor.is_empty());
    }
}
