use super::*;
use hdrhistogram::serialization::Deserializer;
use proptest::prelude::*;

fn dense() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_MICROS, 2).unwrap()
}

fn sketch_of(samples: &[(u64, u64)]) -> Sketch {
    let mut sketch = Sketch::default();
    samples.iter().for_each(|(micros, count)| sketch.record(bin_of(*micros), *count));
    sketch
}

fn encoded(sketch: &Sketch) -> Vec<u8> {
    let mut out = Vec::new();
    sketch.encode(&mut out);
    out
}

fn decoded(bytes: &[u8]) -> Result<Sketch, CodecError> {
    let mut sketch = Sketch::default();
    let mut cursor = Cursor::new(bytes);
    sketch.merge_encoded(&mut cursor)?;
    cursor.end()?;
    Ok(sketch)
}

/// Durations in µs over all magnitudes, with weights that are mostly small.
fn samples(most: usize) -> impl Strategy<Value = Vec<(u64, u64)>> {
    let micros = (0_u32..33, any::<u64>()).prop_map(|(bits, n)| (n & ((1 << bits) - 1)).min(MAX_MICROS));
    let narrow = 2_000_u64..40_000;
    let weight = prop_oneof![8 => Just(1_u64), 2 => 1_u64..400, 1 => 1_u64..=1_000_000];
    prop::collection::vec((prop_oneof![micros, narrow], weight), 0..most)
}

#[test]
fn bins_are_those_of_the_crate() {
    let mut histogram = dense();
    assert_eq!(histogram.distinct_values(), usize::from(BINS));
    let edges = (0..32).flat_map(|bit| [-1_i64, 0, 1, 2].map(|d| ((1_i64 << bit) + d).max(0).cast_unsigned()));
    let spread = (0..200_000_u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (32 + n % 31));
    for micros in edges.chain(0..2000).chain(spread).chain([MAX_MICROS - 1, MAX_MICROS]).filter(|m| *m <= MAX_MICROS) {
        let (low, high) = range_of(bin_of(micros));
        assert_eq!((low, high), (histogram.lowest_equivalent(micros), histogram.highest_equivalent(micros)), "{micros}");
    }
    // The crate's index is private; its iteration over all bins tells it.
    let all: Vec<u64> = histogram.iter_all().map(|v| v.value_iterated_to()).collect();
    for (index, high) in all.iter().enumerate().filter(|(_, high)| **high <= MAX_MICROS) {
        assert_eq!(usize::from(bin_of(*high)), index);
    }
    histogram.record(MAX_MICROS).unwrap();
    assert!(bin_of(u64::MAX) < BINS);
}

#[test]
fn durations_round_up_to_micros_and_clamp_at_one_hour() {
    let hour = MAX_MICROS * 1000;
    let cases = [(0, (0, false)), (1, (1, false)), (1000, (1, false)), (1001, (2, false)), (hour, (MAX_MICROS, false))];
    cases.iter().for_each(|(ns, expected)| assert_eq!(micros_of(*ns), *expected, "{ns}"));
    assert_eq!(micros_of(hour + 1), (MAX_MICROS, true));
    assert_eq!(micros_of(u64::MAX), (MAX_MICROS, true));
}

#[test]
fn an_empty_sketch_owns_no_memory_and_sixty_samples_little() {
    let mut sketch = Sketch::default();
    assert_eq!((sketch.heap_bytes(), sketch.is_empty(), encoded(&sketch)), (0, true, vec![0]));
    (0..60).for_each(|n| sketch.record(bin_of(1000 + 37 * n), 1));
    assert!(sketch.heap_bytes() <= 256, "{}", sketch.heap_bytes());
    assert!(size_of::<Sketch>() <= 32);
}

#[test]
fn counters_widen_as_far_as_their_counts_need() {
    let mut sketch = Sketch::default();
    let mut expected = 0_u64;
    for count in [1, 250, 5, 70_000, 1_000_000, 1_000_000, 5_000_000_000, 1 << 50] {
        sketch.record(300, count);
        expected += count;
        assert_eq!(sketch.bins().collect::<Vec<_>>(), [(300, expected)]);
        assert_eq!(decoded(&encoded(&sketch)).unwrap(), sketch);
    }
}

#[test]
fn a_total_beyond_63_bits_is_refused_and_changes_nothing() {
    let mut sketch = sketch_of(&[(5, i64::MAX.cast_unsigned() - 1)]);
    let two = sketch_of(&[(5, 1), (6, 1)]);
    assert_eq!(sketch.add(&two), Err(Overflow));
    assert_eq!(sketch, sketch_of(&[(5, i64::MAX.cast_unsigned() - 1)]));
    assert_eq!(sketch.merge_encoded(&mut Cursor::new(&encoded(&two))), Err(CodecError::Overlong));
}

#[test]
fn damaged_bytes_are_refused() {
    let bin = |gap: u64| {
        let mut bytes = vec![1];
        codec::put_u64(&mut bytes, gap << 1);
        bytes
    };
    assert!(decoded(&bin(u64::from(BINS) - 1)).is_ok());
    assert_eq!(decoded(&bin(u64::from(BINS))), Err(CodecError::Unknown { what: "bin", value: u64::from(BINS) }));
    assert!(matches!(decoded(&bin(u64::MAX >> 1)), Err(CodecError::Unknown { .. })));
    assert_eq!(decoded(&[]), Err(CodecError::Truncated));
    assert_eq!(decoded(&[200]), Err(CodecError::Truncated));
    assert_eq!(decoded(&[1, 1]), Err(CodecError::Truncated));
    assert_eq!(decoded(&[1, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), Err(CodecError::Overlong));
}

#[test]
fn a_cleared_sketch_is_empty_keeps_its_memory_and_counts_anew() {
    let dense: Vec<(u64, u64)> = (0..500).map(|n| (n * n, 300)).collect();
    for samples in [&dense[..10], &dense[..]] {
        let mut sketch = sketch_of(samples);
        let memory = sketch.heap_bytes();
        sketch.clear();
        assert_eq!((sketch.bins().count(), sketch.heap_bytes(), sketch == Sketch::default()), (0, memory, true));
        sketch.record(7, 2);
        assert_eq!(encoded(&sketch), encoded(&sketch_of(&[(7, 2)])));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn counts_and_v2_bytes_are_those_of_the_crate(samples in samples(400)) {
        let mut histogram = dense();
        samples.iter().for_each(|(micros, count)| histogram.record_n(*micros, *count).unwrap());
        let sketch = sketch_of(&samples);
        prop_assert_eq!(sketch.total(), histogram.len());
        let ours: Vec<_> = sketch.bins().map(|(bin, count)| (range_of(bin).1, count)).collect();
        let theirs: Vec<_> = histogram.iter_recorded().map(|v| (v.value_iterated_to(), v.count_at_value())).collect();
        prop_assert_eq!(ours, theirs);
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        let mut scratch = Scratch::default();
        scratch.v2(&sketch_of(&[(77, 7)]));
        prop_assert_eq!(scratch.v2(&sketch), &bytes[..]);
        let back: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
        prop_assert_eq!(back, histogram);
    }

    #[test]
    fn merging_is_recording_the_union_in_any_order_and_grouping(a in samples(90), b in samples(90), c in samples(300)) {
        let union: Vec<_> = a.iter().chain(&b).chain(&c).copied().collect();
        let expected = encoded(&sketch_of(&union));
        let [a, b, c] = [&a, &b, &c].map(|s| sketch_of(s));
        for order in [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]] {
            let mut left = order[0].clone();
            left.add(order[1]).unwrap();
            left.add(order[2]).unwrap();
            let mut right = order[1].clone();
            right.merge_encoded(&mut Cursor::new(&encoded(order[2]))).unwrap();
            right.merge_encoded(&mut Cursor::new(&encoded(order[0]))).unwrap();
            prop_assert_eq!(encoded(&left), expected.clone());
            prop_assert_eq!(encoded(&right), expected.clone());
            prop_assert_eq!(left.total(), right.total());
        }
    }

    #[test]
    fn encoded_bytes_come_back(samples in samples(400)) {
        let sketch = sketch_of(&samples);
        prop_assert_eq!(decoded(&encoded(&sketch)).unwrap(), sketch);
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(sketch) = decoded(&bytes) {
            prop_assert_eq!(decoded(&encoded(&sketch)).unwrap(), sketch);
        }
    }
}
