//! Exponential histograms of durations in seconds, as Prometheus (native) and OTLP have them: counters that only grow (SIGNALS §9).
//!
//! Scale s cuts each power of two into 2^s buckets. A histogram begins at scale 6 and falls as soon as its counts span more than 160
//! buckets, by merging neighbours; it never rises. The scale follows from the smallest and largest count alone, so the order in which
//! counts came never shows, and adding two histograms gives what one would have become.
//!
//! A count goes where the highest duration of its bin of the sketch falls (`sketch.rs`). None of these lies on a bucket's bound, so it
//! does not matter that Prometheus and OTLP number buckets differently: OTLP's index is used here, Prometheus' is one more. A duration
//! of 0 goes into the zero bucket, whose width is 0. Integers only, down to the table that finds the buckets. The sum of durations is
//! the business of whoever holds the histogram.

use crate::sketch::{BINS, Sketch, range_of};
use platform_core::codec::{self, CodecError, Cursor};

/// Finest scale: buckets 1.09 % wide.
pub const MAX_SCALE: u8 = 6;
/// Most buckets from the first to the last with a count, the zero bucket left out.
pub const MAX_BUCKETS: usize = 160;
/// Empty buckets between two with counts that a native histogram writes out: up to here that is shorter than another span.
const BRIDGED: usize = 2;

/// Bucket of each bin at the finest scale; that of bin 0 means nothing.
static FINEST: [i16; BINS as usize] = finest();

/// Weighted counts by exponential bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exponential {
    /// Durations of 0.
    zero: u64,
    /// By how much the scale lies below the finest.
    coarser: u8,
    /// Index of the first bucket; 0 without any.
    offset: i32,
    /// From the first bucket with a count to the last.
    counts: Vec<u64>,
}

/// The buckets of a histogram as Prometheus writes them (protobuf exposition and remote write).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Native {
    /// (distance to the end of the span before, or for the first one the index of its first bucket; number of buckets).
    pub spans: Vec<(i32, u32)>,
    /// Count of each bucket less that of the one before.
    pub deltas: Vec<i64>,
}

impl Exponential {
    /// Adds the counts that `new` has above `previous`, which is an earlier state of it. What has shrunk all the same changes nothing.
    pub fn grow(&mut self, previous: Option<&Sketch>, new: &Sketch) {
        let mut before = previous.map(Sketch::bins).into_iter().flatten().peekable();
        for (bin, count) in new.bins() {
            while before.next_if(|(old, _)| *old < bin).is_some() {}
            let held = before.next_if(|(old, _)| *old == bin).map_or(0, |(_, held)| held);
            self.record(bin, count.saturating_sub(held));
        }
    }

    /// Adds counts of one bin of a sketch.
    pub fn record(&mut self, bin: u16, count: u64) {
        if count == 0 {
            return;
        }
        match FINEST.get(usize::from(bin)).filter(|_| bin > 0) {
            Some(index) => self.put(i32::from(*index) >> self.coarser, count),
            None => self.zero = self.zero.saturating_add(count),
        }
    }

    /// Adds all counts of another, at the coarser of both scales or below.
    pub fn add(&mut self, other: &Self) {
        self.coarsen(other.coarser.saturating_sub(self.coarser));
        self.zero = self.zero.saturating_add(other.zero);
        for (index, count) in (other.offset..).zip(&other.counts).filter(|(_, count)| **count > 0) {
            // The scale may fall on the way.
            self.put(index >> self.coarser.saturating_sub(other.coarser), *count);
        }
    }

    /// What it has above `previous`, which is an earlier state of it, at its own scale.
    #[must_use]
    pub fn since(&self, previous: &Self) -> Self {
        let (mut grown, mut before) = (self.clone(), previous.clone());
        before.coarsen(self.coarser.saturating_sub(previous.coarser));
        grown.zero = grown.zero.saturating_sub(before.zero);
        for (index, count) in (before.offset..).zip(&before.counts) {
            let place = usize::try_from(index.saturating_sub(grown.offset)).ok();
            if let Some(held) = place.and_then(|place| grown.counts.get_mut(place)) {
                *held = held.saturating_sub(*count);
            }
        }
        let last = grown.counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        grown.counts.truncate(last);
        let empty = grown.counts.iter().position(|count| *count > 0).unwrap_or(0);
        grown.counts.drain(..empty);
        grown.offset = if grown.counts.is_empty() { 0 } else { grown.offset.saturating_add(empty as i32) };
        grown
    }

    /// Sum of all counts.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().copied().fold(self.zero, u64::saturating_add)
    }

    /// Whether nothing has been counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.zero == 0 && self.counts.is_empty()
    }

    /// Durations of 0.
    #[must_use]
    pub fn zero_count(&self) -> u64 {
        self.zero
    }

    /// Scale (OTLP), schema (Prometheus): each power of two has 2^scale buckets. 0 to 6.
    #[must_use]
    pub fn scale(&self) -> i32 {
        i32::from(MAX_SCALE.saturating_sub(self.coarser))
    }

    /// OTLP's offset: bucket `offset + n` holds durations above 2^((offset + n) / 2^scale) s, up to and including the next such bound.
    #[must_use]
    pub fn offset(&self) -> i32 {
        self.offset
    }

    /// OTLP's bucket counts: from the first bucket with a count to the last.
    #[must_use]
    pub fn bucket_counts(&self) -> &[u64] {
        &self.counts
    }

    /// Puts Prometheus' spans and deltas into `native`, whatever it held. A histogram with nothing but zeros has neither.
    pub fn native(&self, native: &mut Native) {
        native.spans.clear();
        native.deltas.clear();
        let mut gap = 0_usize;
        let mut last = 0_i64;
        let mut start = self.offset.saturating_add(1);
        for count in &self.counts {
            if *count == 0 {
                gap += 1;
                continue;
            }
            match native.spans.last_mut() {
                Some((_, length)) if gap <= BRIDGED => {
                    for _ in 0..gap {
                        native.deltas.push(-last);
                        last = 0;
                    }
                    *length += gap as u32 + 1;
                }
                _ => {
                    native.spans.push((start.saturating_add(gap as i32), 1));
                    // From the second span on, the distance to the one before counts alone.
                    start = 0;
                }
            }
            gap = 0;
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            native.deltas.push(count - last);
            last = count;
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<u64>()
    }

    /// Appends `zero | coarser | offset | number of buckets | counts`; integers are varints.
    pub fn encode(&self, out: &mut Vec<u8>) {
        codec::put_u64(out, self.zero);
        out.push(self.coarser);
        codec::put_i64(out, i64::from(self.offset));
        codec::put_u64(out, self.counts.len() as u64);
        self.counts.iter().for_each(|count| codec::put_u64(out, *count));
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes end early, or are of no histogram that `record` could have made.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let zero = from.u64()?;
        let coarser = from.u8()?;
        let offset = from.i64()?;
        let buckets = from.count()?;
        let known = |what, value: u64, good: bool| if good { Ok(()) } else { Err(CodecError::Unknown { what, value }) };
        known("scale of a histogram", u64::from(coarser), coarser <= MAX_SCALE)?;
        known("number of buckets", buckets as u64, buckets <= MAX_BUCKETS)?;
        let finest = i64::from(i16::MIN)..=i64::from(i16::MAX);
        known("offset of a histogram", offset.unsigned_abs(), finest.contains(&offset))?;
        let counts = (0..buckets).map(|_| from.u64()).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { zero, coarser, offset: offset as i32, counts })
    }

    /// Adds to a bucket of the present scale, which falls if it must.
    fn put(&mut self, index: i32, count: u64) {
        if self.counts.is_empty() {
            self.offset = index;
        }
        let last = self.offset.saturating_add(self.counts.len() as i32 - 1);
        let (mut low, mut high) = (self.offset.min(index), last.max(index));
        let mut steps = 0;
        while high.abs_diff(low) as usize >= MAX_BUCKETS && self.coarser + steps < MAX_SCALE {
            (low, high) = (low >> 1, high >> 1);
            steps += 1;
        }
        self.coarsen(steps);
        if low < self.offset {
            let missing = self.offset.abs_diff(low) as usize;
            self.counts.splice(..0, std::iter::repeat_n(0, missing));
            self.offset = low;
        }
        let width = high.abs_diff(low) as usize + 1;
        if width > self.counts.len() {
            self.counts.reserve_exact(width - self.counts.len());
            self.counts.resize(width, 0);
        }
        if let Some(held) = self.counts.get_mut((index >> steps).abs_diff(low) as usize) {
            *held = held.saturating_add(count);
        }
    }

    /// Merges neighbours, 2^steps each.
    fn coarsen(&mut self, steps: u8) {
        if steps == 0 {
            return;
        }
        self.coarser += steps;
        let first = self.offset >> steps;
        let last = self.offset.saturating_add(self.counts.len() as i32 - 1) >> steps;
        let mut merged = vec![0_u64; if self.counts.is_empty() { 0 } else { last.abs_diff(first) as usize + 1 }];
        for (index, count) in (self.offset..).zip(&self.counts) {
            if let Some(held) = merged.get_mut((index >> steps).abs_diff(first) as usize) {
                *held = held.saturating_add(*count);
            }
        }
        self.counts = merged;
        self.offset = if self.counts.is_empty() { 0 } else { first };
    }
}

/// ⌊64 · log2(highest duration of each bin in s)⌋.
const fn finest() -> [i16; BINS as usize] {
    let mut table = [0; BINS as usize];
    let mut bin = 1;
    while bin < BINS {
        #[expect(clippy::indexing_slicing, reason = "the table has BINS places, and a wrong index would not compile")]
        {
            table[bin as usize] = log2_64ths(range_of(bin).1);
        }
        bin += 1;
    }
    table
}

/// ⌊64 · log2(micros / 10^6)⌋, by squaring: each square that passes 2 gives the next bit. The errors stay below 2^-50, and no µs but
/// powers of two times 10^6 come nearer to a bound than that.
const fn log2_64ths(micros: u64) -> i16 {
    // In units of 2^-90.
    let ratio = ((micros as u128) << 90) / 1_000_000;
    let whole = ratio.ilog2() as i16 - 90;
    // Between 1 and 2, in units of 2^-62.
    let mut mantissa = if ratio.ilog2() > 62 { ratio >> (ratio.ilog2() - 62) } else { ratio << (62 - ratio.ilog2()) };
    let mut fraction = 0;
    let mut bit = 0;
    while bit < MAX_SCALE {
        mantissa = (mantissa * mantissa) >> 62;
        fraction <<= 1;
        if mantissa >> 63 != 0 {
            fraction |= 1;
            mantissa >>= 1;
        }
        bit += 1;
    }
    whole * (1 << MAX_SCALE) + fraction
}

#[cfg(test)]
mod tests;
