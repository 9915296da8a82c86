//! Distribution of durations: the bins of an `HdrHistogram` (2 significant digits, 1 µs to 1 h, 64-bit counts), stored small.
//!
//! The dense histogram of the crate takes 26 KiB however few samples it holds; a million series cannot afford that. Here an empty sketch
//! owns no memory, a sparse one is a sorted list of (bin, count) in four bytes each, and a dense one has pages of 128 counters that start
//! as bytes and widen when a count needs it. Which form a sketch is in depends on its history and never shows: bins, equality and encoded
//! bytes are those of the counts alone. Merging adds counts, so it commutes and associates.
//!
//! The bins are part of the state format: `new_with_bounds(1, 3_600_000_000, 2)`, never changed. The crate itself is the oracle of the
//! tests and writes the published V2 bytes (`Scratch`); quantiles are the business of `signal/latency.rs`.

use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use platform_core::codec::{self, CodecError, Cursor};

/// Largest duration that has a bin of its own, in µs: one hour. What is longer is clamped to it, and counted.
pub const MAX_MICROS: u64 = 3_600_000_000;
/// Number of bins; every bin is below.
pub const BINS: u16 = 3328;
/// Counters in a page.
const PAGE: usize = 128;
/// Pages that cover all bins.
const PAGES: usize = BINS as usize / PAGE;
/// Most entries of the sorted form; one more and it becomes pages.
const FEW: usize = 64;
/// Bits of an entry's count; its bin stands above them.
const COUNT_BITS: u32 = 20;
/// Largest count of an entry.
const MAX_ENTRY: u64 = (1 << COUNT_BITS) - 1;

/// A sum would have passed 63 bits. Real traffic is some ten million times too small for that: the bytes it came from were forged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum has more than 63 bits")]
pub struct Overflow;

impl From<Overflow> for CodecError {
    fn from(_: Overflow) -> Self {
        Self::Overlong
    }
}

/// The sum, as long as it fits 63 bits.
pub(crate) fn sum(a: u64, b: u64) -> Result<u64, Overflow> {
    a.checked_add(b).filter(|s| i64::try_from(*s).is_ok()).ok_or(Overflow)
}

/// A duration in whole µs, rounded up, and whether it was clamped to one hour. 0 stays 0.
#[must_use]
#[inline]
pub fn micros_of(duration_ns: u64) -> (u64, bool) {
    let micros = duration_ns.div_ceil(1000);
    if micros > MAX_MICROS { (MAX_MICROS, true) } else { (micros, false) }
}

/// The bin that counts a duration in µs; what is above one hour falls into the bin of one hour.
#[must_use]
#[inline]
pub fn bin_of(micros: u64) -> u16 {
    let micros = micros.min(MAX_MICROS);
    // Below 256 every µs has its bin; from there on each power of two is cut into 128.
    let shift = (micros | 255).ilog2() - 7;
    (u64::from(shift) * PAGE as u64 + (micros >> shift)) as u16
}

/// Smallest and largest duration in µs that fall into a bin: its values are not told apart.
#[must_use]
pub const fn range_of(bin: u16) -> (u64, u64) {
    let shift = (bin as u32 / PAGE as u32).saturating_sub(1);
    let first = ((bin as u32 - shift * PAGE as u32) as u64) << shift;
    (first, first + (1 << shift) - 1)
}

/// Counts by bin.
#[derive(Clone, Default)]
pub struct Sketch {
    /// Sum of all counts; stays below 2^63, so no single counter can overflow.
    total: u64,
    form: Form,
}

#[derive(Clone)]
enum Form {
    /// Ascending entries `bin << COUNT_BITS | count`, at most `FEW`.
    Few(Vec<u32>),
    Pages(Box<Pages>),
}

impl Default for Form {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Sketch {
    /// Adds `count` durations of one bin. Weights are at most 10^6, so the total cannot pass 63 bits within any window; should it ever,
    /// that is a panic (the release profile checks sums), not a small number.
    #[inline]
    pub fn record(&mut self, bin: u16, count: u64) {
        debug_assert!(bin < BINS, "bins come from `bin_of`");
        if count > 0 {
            self.total += count;
            self.put(bin, count);
        }
    }

    /// Adds all counts of another.
    ///
    /// # Errors
    /// When the total would pass 63 bits; nothing is changed then.
    pub fn add(&mut self, other: &Self) -> Result<(), Overflow> {
        let total = sum(self.total, other.total)?;
        match &other.form {
            Form::Few(entries) => self.put_few(entries, total),
            // A page that is hardly used (its sketch was cleared) is no reason to become pages too.
            Form::Pages(pages) if pages.bins() as usize > FEW => self.paged().add(pages),
            Form::Pages(_) => other.bins().for_each(|(bin, count)| self.put(bin, count)),
        }
        self.total = total;
        Ok(())
    }

    /// Whether nothing has been counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// Sum of all counts.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bins with a count, ascending.
    #[must_use]
    pub fn bins(&self) -> Bins<'_> {
        Bins(match &self.form {
            Form::Few(entries) => Place::Few(entries.iter()),
            Form::Pages(pages) => Place::Pages { pages, page: 0, occupied: pages.0.first().map_or(0, |p| p.occupied) },
        })
    }

    /// Forgets all counts and keeps the memory, in its present form, for the next use.
    pub fn clear(&mut self) {
        self.total = 0;
        match &mut self.form {
            Form::Few(entries) => entries.clear(),
            Form::Pages(pages) => pages.clear(),
        }
    }

    /// Bytes on the heap.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.form {
            Form::Few(entries) => entries.capacity() * size_of::<u32>(),
            Form::Pages(pages) => size_of::<Pages>() + pages.0.iter().map(|p| p.cells.heap_bytes()).sum::<usize>(),
        }
    }

    /// Appends the encoded form: number of bins, then for each, ascending: `gap << 1 | more`, where the gap is the distance to the bin
    /// before less one (the first: the bin), and with `more` the count less two. A bin with one sample mostly takes one byte.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let bins = match &self.form {
            Form::Few(entries) => entries.len() as u64,
            Form::Pages(pages) => u64::from(pages.bins()),
        };
        codec::put_u64(out, bins);
        let mut next = 0;
        for (bin, count) in self.bins() {
            codec::put_u64(out, u64::from(bin - next) << 1 | u64::from(count > 1));
            if count > 1 {
                codec::put_u64(out, count - 2);
            }
            next = bin + 1;
        }
    }

    /// Adds the counts of an encoded sketch.
    ///
    /// # Errors
    /// When the bytes end early, name a bin that does not exist, or the total would pass 63 bits. Part of the counts may then have been
    /// added: the sketch is to be thrown away.
    pub fn merge_encoded(&mut self, from: &mut Cursor<'_>) -> Result<(), CodecError> {
        let bins = from.count()?;
        if bins > FEW {
            self.paged();
        }
        let mut run = [0_u32; FEW];
        let mut held = 0;
        let mut total = self.total;
        let mut next = 0_u64;
        for _ in 0..bins {
            let head = from.u64()?;
            let bin = next.saturating_add(head >> 1);
            let count = if head & 1 == 0 { 1 } else { from.u64()?.checked_add(2).ok_or(Overflow)? };
            let known = u16::try_from(bin).ok().filter(|b| *b < BINS).ok_or(CodecError::Unknown { what: "bin", value: bin })?;
            total = sum(total, count)?;
            match run.get_mut(held).filter(|_| bins <= FEW && count <= MAX_ENTRY) {
                Some(entry) => {
                    *entry = u32::from(known) << COUNT_BITS | count as u32;
                    held += 1;
                }
                None => self.put(known, count),
            }
            next = bin + 1;
        }
        self.put_few(run.get(..held).unwrap_or_default(), total);
        self.total = total;
        Ok(())
    }

    /// Counts without looking at the total.
    fn put(&mut self, bin: u16, count: u64) {
        let entries = match &mut self.form {
            Form::Few(entries) => entries,
            Form::Pages(pages) => return pages.put(bin, count),
        };
        let at = entries.partition_point(|e| e >> COUNT_BITS < u32::from(bin));
        let held = entries.get(at).filter(|e| **e >> COUNT_BITS == u32::from(bin)).map(|e| u64::from(*e) & MAX_ENTRY);
        let fits = count <= MAX_ENTRY - held.unwrap_or(0) && (held.is_some() || entries.len() < FEW);
        match (fits, held.and_then(|_| entries.get_mut(at))) {
            (false, _) => self.paged().put(bin, count),
            (true, Some(entry)) => *entry += count as u32,
            (true, None) => entries.insert(at, u32::from(bin) << COUNT_BITS | count as u32),
        }
    }

    /// Adds ascending entries; `total` is what the total will be, and so no count will be above it.
    fn put_few(&mut self, run: &[u32], total: u64) {
        match &mut self.form {
            Form::Few(entries) if total <= MAX_ENTRY => {
                merge_ascending(entries, run);
                if entries.len() > FEW {
                    self.paged();
                }
            }
            _ => run.iter().for_each(|e| self.put((e >> COUNT_BITS) as u16, u64::from(*e) & MAX_ENTRY)),
        }
    }

    /// The pages, made from the entries if there are none yet.
    fn paged(&mut self) -> &mut Pages {
        if let Form::Few(entries) = &self.form {
            let mut pages = Box::<Pages>::default();
            entries.iter().for_each(|e| pages.put((e >> COUNT_BITS) as u16, u64::from(*e) & MAX_ENTRY));
            self.form = Form::Pages(pages);
        }
        match &mut self.form {
            Form::Pages(pages) => pages,
            Form::Few(_) => unreachable!("entries have just been turned into pages"),
        }
    }
}

/// Merges an ascending run into ascending entries, from the back, so that nothing is moved twice. Counts must not pass `MAX_ENTRY`.
fn merge_ascending(entries: &mut Vec<u32>, run: &[u32]) {
    let (Some(first), last) = (run.first(), entries.last()) else { return };
    if last.is_none_or(|l| l >> COUNT_BITS < first >> COUNT_BITS) {
        return entries.extend_from_slice(run);
    }
    let mut left = entries.len();
    let mut right = run.len();
    let mut free = left + right;
    entries.resize(free, 0);
    while let Some(new) = right.checked_sub(1).and_then(|r| run.get(r)) {
        let old = left.checked_sub(1).and_then(|l| entries.get(l)).copied();
        let value = match old {
            Some(old) if old >> COUNT_BITS > new >> COUNT_BITS => {
                left -= 1;
                old
            }
            Some(old) if old >> COUNT_BITS == new >> COUNT_BITS => {
                left -= 1;
                right -= 1;
                old + (new & MAX_ENTRY as u32)
            }
            _ => {
                right -= 1;
                *new
            }
        };
        free -= 1;
        if let Some(place) = entries.get_mut(free) {
            *place = value;
        }
    }
    // Bins that both had leave a hole between what has not moved and what has.
    entries.drain(left..free);
}

impl PartialEq for Sketch {
    fn eq(&self, other: &Self) -> bool {
        self.total == other.total && self.bins().eq(other.bins())
    }
}

impl Eq for Sketch {}

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_map().entries(self.bins()).finish()
    }
}

/// Iterator over bins and their counts, ascending, zeros left out.
#[derive(Clone)]
pub struct Bins<'a>(Place<'a>);

#[derive(Clone)]
enum Place<'a> {
    Few(std::slice::Iter<'a, u32>),
    /// `occupied`: what is left of the present page.
    Pages {
        pages: &'a Pages,
        page: usize,
        occupied: u128,
    },
}

impl Iterator for Bins<'_> {
    type Item = (u16, u64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Place::Few(entries) => entries.next().map(|e| ((e >> COUNT_BITS) as u16, u64::from(*e) & MAX_ENTRY)),
            Place::Pages { pages, page, occupied } => {
                while *occupied == 0 {
                    *page += 1;
                    *occupied = pages.0.get(*page)?.occupied;
                }
                let slot = occupied.trailing_zeros() as usize;
                *occupied &= *occupied - 1;
                let count = pages.0.get(*page).map_or(0, |p| p.cells.get(slot));
                Some(((*page * PAGE + slot) as u16, count))
            }
        }
    }
}

/// Counters of all bins, by page; pages own no memory until first used, and keep it when cleared.
#[derive(Clone, Default)]
struct Pages([Page; PAGES]);

impl Pages {
    fn put(&mut self, bin: u16, count: u64) {
        if let Some(page) = self.0.get_mut(usize::from(bin) / PAGE) {
            page.put(usize::from(bin) % PAGE, count);
        }
    }

    fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0).filter(|(_, theirs)| theirs.occupied != 0) {
            mine.add(theirs);
        }
    }

    fn clear(&mut self) {
        self.0.iter_mut().filter(|page| page.occupied != 0).for_each(Page::clear);
    }

    /// Number of bins with a count.
    fn bins(&self) -> u32 {
        self.0.iter().map(|page| page.occupied.count_ones()).sum()
    }
}

/// Counters of 128 neighbouring bins.
#[derive(Clone, Default)]
struct Page {
    /// Bit per counter: it is not zero. Reading a page costs as much as it has counts.
    occupied: u128,
    cells: Cells,
}

/// Counters as narrow as the largest of them allows.
#[derive(Clone, Default)]
enum Cells {
    #[default]
    Absent,
    U8(Box<[u8; PAGE]>),
    U16(Box<[u16; PAGE]>),
    U32(Box<[u32; PAGE]>),
    U64(Box<[u64; PAGE]>),
}

impl Page {
    fn put(&mut self, slot: usize, count: u64) {
        self.occupied |= 1 << slot;
        while !self.cells.bump(slot, count) {
            self.cells.widen();
        }
    }

    fn add(&mut self, other: &Self) {
        self.occupied |= other.occupied;
        let counts = other.cells.all();
        while !self.cells.bump_all(&counts) {
            self.cells.widen();
        }
    }

    fn clear(&mut self) {
        self.occupied = 0;
        self.cells.clear();
    }
}

impl Cells {
    /// Adds to a counter if the sum fits the width.
    #[inline]
    fn bump(&mut self, slot: usize, count: u64) -> bool {
        match self {
            Self::Absent => false,
            Self::U8(cells) => bump(cells, slot, count),
            Self::U16(cells) => bump(cells, slot, count),
            Self::U32(cells) => bump(cells, slot, count),
            Self::U64(cells) => bump(cells, slot, count),
        }
    }

    /// Adds to all counters if all sums fit the width.
    fn bump_all(&mut self, counts: &[u64; PAGE]) -> bool {
        match self {
            Self::Absent => false,
            Self::U8(cells) => bump_all(cells, counts, |n| n as u8),
            Self::U16(cells) => bump_all(cells, counts, |n| n as u16),
            Self::U32(cells) => bump_all(cells, counts, |n| n as u32),
            Self::U64(cells) => bump_all(cells, counts, |n| n),
        }
    }

    fn widen(&mut self) {
        *self = match self {
            Self::Absent => Self::U8(Box::new([0; PAGE])),
            Self::U8(cells) => Self::U16(Box::new(cells.map(u16::from))),
            Self::U16(cells) => Self::U32(Box::new(cells.map(u32::from))),
            Self::U32(cells) => Self::U64(Box::new(cells.map(u64::from))),
            Self::U64(_) => unreachable!("the total is below 2^63, and so is every count"),
        };
    }

    #[inline]
    fn get(&self, slot: usize) -> u64 {
        match self {
            Self::Absent => None,
            Self::U8(cells) => cells.get(slot).map(|c| u64::from(*c)),
            Self::U16(cells) => cells.get(slot).map(|c| u64::from(*c)),
            Self::U32(cells) => cells.get(slot).map(|c| u64::from(*c)),
            Self::U64(cells) => cells.get(slot).copied(),
        }
        .unwrap_or(0)
    }

    fn all(&self) -> [u64; PAGE] {
        match self {
            Self::Absent => [0; PAGE],
            Self::U8(cells) => cells.map(u64::from),
            Self::U16(cells) => cells.map(u64::from),
            Self::U32(cells) => cells.map(u64::from),
            Self::U64(cells) => **cells,
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Absent => {}
            Self::U8(cells) => cells.fill(0),
            Self::U16(cells) => cells.fill(0),
            Self::U32(cells) => cells.fill(0),
            Self::U64(cells) => cells.fill(0),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::U8(_) => PAGE,
            Self::U16(_) => 2 * PAGE,
            Self::U32(_) => 4 * PAGE,
            Self::U64(_) => 8 * PAGE,
        }
    }
}

#[inline]
fn bump<T: Copy + Into<u64> + TryFrom<u64>>(cells: &mut [T; PAGE], slot: usize, count: u64) -> bool {
    let Some(cell) = cells.get_mut(slot) else { return false };
    match T::try_from((*cell).into() + count) {
        Ok(sum) => {
            *cell = sum;
            true
        }
        Err(_) => false,
    }
}

/// First the largest sum, then the writing: both without a branch per counter. No sum passes 64 bits, since no total does.
fn bump_all<T: Copy + Into<u64> + TryFrom<u64>>(cells: &mut [T; PAGE], counts: &[u64; PAGE], narrow: impl Fn(u64) -> T) -> bool {
    let sums: [u64; PAGE] = std::array::from_fn(|n| {
        let (cell, count) = (cells.get(n).map_or(0, |c| (*c).into()), counts.get(n).map_or(0, |c| *c));
        cell.wrapping_add(count)
    });
    if T::try_from(sums.iter().fold(0, |bits, sum| bits | sum)).is_err() {
        return false;
    }
    cells.iter_mut().zip(sums).for_each(|(cell, sum)| *cell = narrow(sum));
    true
}

/// Dense histogram of the crate, reused: writes what leaves the process in `HdrHistogram`'s own format.
pub struct Scratch {
    histogram: Histogram<u64>,
    serializer: V2Serializer,
    bytes: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, MAX_MICROS, 2).expect("fixed bounds that the crate accepts");
        Self { histogram, serializer: V2Serializer::new(), bytes: Vec::new() }
    }
}

impl Scratch {
    /// The sketch in `HdrHistogram`'s V2 format, uncompressed, in µs; valid until the next call.
    pub fn v2(&mut self, sketch: &Sketch) -> &[u8] {
        self.histogram.reset();
        for (bin, count) in sketch.bins() {
            self.histogram.record_n(range_of(bin).0, count).expect("every bin lies within the bounds");
        }
        self.bytes.clear();
        self.serializer.serialize(&self.histogram, &mut self.bytes).expect("counts are below 2^63, and memory takes all that is written");
        &self.bytes
    }
}

#[cfg(test)]
mod tests;
