//! Latencies: whole nanoseconds, skewed to the right like a log-normal, drawn with integers only.
//!
//! The logarithm is a binomial number (64 coin flips, smoothed), close to normal within four standard deviations and never beyond eight;
//! powers of two come from a table built with square roots, which IEEE-754 makes exact to the last bit: no `exp` or `ln` of a platform.

use crate::random::Random;

/// Longest latency: one hour, where the pipeline's histograms end, so that exact and published values can be compared.
pub(crate) const LONGEST: u64 = 3_600_000_000_000;

/// Steps in an octave.
const STEPS: usize = 1024;

/// Draws latencies.
#[derive(Debug)]
pub(crate) struct Latency {
    /// 2^(i / 1024) in 1/2^32.
    powers: [u64; STEPS],
}

impl Latency {
    pub(crate) fn new() -> Self {
        let step = (0..10).fold(2.0_f64, |root, _| root.sqrt());
        let mut power = 1.0;
        let powers = std::array::from_fn(|_| {
            let now = (power * 4_294_967_296.0) as u64;
            power *= step;
            now
        });
        Self { powers }
    }

    /// A latency whose median is `median` ns, and whose standard deviation is `spread` / 1024 octaves; 1 ns at least, an hour at most.
    #[inline]
    pub(crate) fn draw(&self, median: u64, spread: u32, random: &mut Random) -> u64 {
        let (flips, fine) = (random.next(), random.next());
        // In 1/4096 standard deviations: the count of heads has a standard deviation of 4.
        let deviation = (i64::from(flips.count_ones()) - 32) * 1024 + (fine & 1023) as i64 - 512;
        let octaves = (deviation * i64::from(spread)) >> 12;
        let power = self.powers.get((octaves & 1023) as usize).copied().unwrap_or(1 << 32);
        let scaled = (u128::from(median.min(LONGEST)) * u128::from(power)) >> 32;
        let whole = octaves >> 10;
        let shift = whole.unsigned_abs().min(40) as u32;
        let value = if whole < 0 { scaled >> shift } else { scaled << shift };
        let value = value.min(u128::from(LONGEST)) as u64;
        // Up to 0.1 % more, so that values are not on a grid.
        (value + ((value * ((fine >> 10) & 1023)) >> 20)).clamp(1, LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_asked_for_and_the_tail_is_to_the_right() {
        let latency = Latency::new();
        let mut random = Random::new(3);
        let mut drawn: Vec<u64> = (0..100_001).map(|_| latency.draw(10_000_000, 1024, &mut random)).collect();
        drawn.sort_unstable();
        let (p50, p99) = (drawn[50_000], drawn[99_000]);
        assert!((9_900_000..10_100_000).contains(&p50), "{p50}");
        // A spread of one octave: p99 is 2^2.33 = 5 medians.
        assert!((4 * p50..6 * p50).contains(&p99), "{p99}");
    }

    #[test]
    fn extremes_stay_in_range() {
        let latency = Latency::new();
        let mut random = Random::new(3);
        assert!((0..1000).all(|_| latency.draw(LONGEST, 20_000, &mut random) <= LONGEST));
        assert!((0..1000).all(|_| latency.draw(1, 20_000, &mut random) >= 1));
    }
}
