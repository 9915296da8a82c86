//! Randomness by seed: xoshiro256++, the same on every machine and in every release. Not for secrets.

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: [u64; 4],
}

/// A probability, as the share of all `u64` that count as a hit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(u64);

impl Share {
    /// `share` from 0 to 1; what lies outside counts as the nearer end.
    pub(crate) fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u64) // `as` stops at the ends: 1.0 gives u64::MAX
    }
}

impl Random {
    /// A stream of its own for every seed; SplitMix64 spreads seeds that differ in one bit.
    pub(crate) fn new(seed: u64) -> Self {
        let mut spread = seed;
        let state = std::array::from_fn(|_| {
            spread = spread.wrapping_add(0x9E37_79B9_7F4A_7C15);
            mix(spread)
        });
        Self { state }
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Uniform in `0..n`; 0 when `n` is 0. The bias, below n / 2^64, is left in.
    #[inline]
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// Whether something of this probability happens. Draws one number whatever the probability, so that changing one share of the
    /// settings leaves all else that is drawn as it was.
    #[inline]
    pub(crate) fn hits(&mut self, share: Share) -> bool {
        self.next() < share.0
    }

    /// One of `choices`; `otherwise` when there are none.
    #[inline]
    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T], otherwise: T) -> T {
        let at = self.below(choices.len() as u64) as usize;
        choices.get(at).copied().unwrap_or(otherwise)
    }
}

/// SplitMix64's finisher: every bit of the result depends on every bit of `value`.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_the_published_algorithm() {
        // First results of xoshiro256++ from the state 1, 2, 3, 4, as its authors' C code prints them.
        let mut random = Random { state: [1, 2, 3, 4] };
        assert_eq!([random.next(), random.next(), random.next()], [41_943_041, 58_720_359, 3_588_806_011_781_223]);
    }

    #[test]
    fn shares_at_the_ends_never_and_always_hit() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| !random.hits(Share::of(0.0)) && random.hits(Share::of(1.0))));
    }

    #[test]
    fn a_quarter_hits_a_quarter_of_the_time() {
        let mut random = Random::new(7);
        let hits = (0..100_000).filter(|_| random.hits(Share::of(0.25))).count();
        assert!((24_500..25_500).contains(&hits), "{hits}");
    }
}
