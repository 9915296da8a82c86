//! Which series an event belongs to: Zipf's law by the alias method, one random number and one look into a table for each draw.

use crate::random::Random;

/// Most series; sums of weights stay within a u64 up to here.
pub(crate) const MOST_SERIES: u64 = 10_000_000;

/// Numbers `0..n`, the one of rank r in proportion to 1 / r^skew; ranks are dealt by the seed.
#[derive(Debug)]
pub(crate) struct Zipf {
    n: u32,
    /// Empty without skew: then every number is as good as its rank, and a million series need no table that leaves the cache.
    columns: Vec<Column>,
}

/// One column of the alias table: below `cut` (in 1/2^32) the first number, above it the other.
#[derive(Clone, Copy, Debug)]
struct Column {
    cut: u32,
    first: u32,
    other: u32,
}

impl Zipf {
    /// `n` from 1 to [`MOST_SERIES`].
    pub(crate) fn new(n: u32, skew: f64, random: &mut Random) -> Self {
        if skew == 0.0 {
            return Self { n, columns: Vec::new() };
        }
        let mut numbers: Vec<u32> = (0..n).collect();
        for at in (1..numbers.len()).rev() {
            let with = random.below(at as u64 + 1) as usize;
            numbers.swap(at, with);
        }
        // Weights are integers from 1 to 2^36, so that the last bit of a platform's `powf` practically never matters.
        let weight = |rank: u32| ((68_719_476_736.0 / (f64::from(rank) + 1.0).powf(skew)).round() as u64).max(1);
        let total: u64 = (0..n).map(weight).sum();
        // Every column is to hold total / n; in units of 1 / n, that is `total`.
        let mut left: Vec<u64> = (0..n).map(|rank| weight(rank) * u64::from(n)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) = (0..n).partition(|rank| left.get(*rank as usize).is_some_and(|w| *w < total));
        let mut columns: Vec<Column> = numbers.iter().map(|number| Column { cut: u32::MAX, first: *number, other: *number }).collect();
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let has = left.get(poor as usize).copied().unwrap_or(total);
            let rich_number = numbers.get(rich as usize).copied().unwrap_or(0);
            if let Some(column) = columns.get_mut(poor as usize) {
                column.cut = ((u128::from(has) << 32) / u128::from(total)) as u32;
                column.other = rich_number;
            }
            if let Some(rest) = left.get_mut(rich as usize) {
                *rest -= total - has;
                if *rest < total {
                    large.pop();
                    small.push(rich);
                }
            }
        }
        Self { n, columns }
    }

    /// One number.
    #[inline]
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let drawn = u128::from(random.next()) * u128::from(self.n);
        let (at, fraction) = ((drawn >> 64) as u32, (drawn >> 32) as u32);
        self.columns.get(at as usize).map_or(at, |column| if fraction < column.cut { column.first } else { column.other })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(n: u32, skew: f64, draws: u64) -> Vec<u64> {
        let mut random = Random::new(11);
        let zipf = Zipf::new(n, skew, &mut random);
        let mut counts = vec![0; n as usize];
        (0..draws).for_each(|_| counts[zipf.draw(&mut random) as usize] += 1);
        counts.sort_unstable_by(|a, b| b.cmp(a));
        counts
    }

    #[test]
    fn shares_follow_the_law() {
        let counts = counts(100, 1.0, 1_000_000);
        let harmonic: f64 = (1..=100).map(|rank| 1.0 / f64::from(rank)).sum();
        for rank in [1_usize, 2, 5, 10, 50] {
            let want = 1_000_000.0 / (rank as f64 * harmonic);
            let got = counts[rank - 1] as f64;
            assert!((got / want - 1.0).abs() < 0.05, "rank {rank}: {got}, not about {want}");
        }
    }

    #[test]
    fn without_skew_all_are_alike() {
        let counts = counts(7, 0.0, 700_000);
        assert!(counts.iter().all(|count| (98_000..102_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_series_is_always_drawn() {
        assert_eq!(counts(1, 1.5, 10), [10]);
    }
}
