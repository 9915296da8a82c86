//! Completeness = mean over the source partitions of clamp((watermark − start) / (end − start), 0, 1), rounded down to 6 decimals.
//!
//! A partition counts 0 when it is unread, or has a gap or an overlap of offsets in the window. Kept in whole millionths: 1 is exact, and
//! nothing rounds up to it. Whether a closed window is complete is decided where it is closed.

use platform_core::time::EventTime;
use platform_core::window::Window;

/// Share of a window's input that has been seen, in millionths: 0 to 1 000 000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Completeness(u32);

impl Completeness {
    /// Nothing has been seen.
    pub const NONE: Self = Self(0);
    /// Everything has been seen.
    pub const FULL: Self = Self(1_000_000);

    /// From the watermarks of all source partitions; `None` for one that is unread or has a gap. No partitions: nothing seen.
    #[must_use]
    pub fn of(window: Window, watermarks: impl IntoIterator<Item = Option<EventTime>>) -> Self {
        let length = window.end.since(window.start).max(1);
        let (mut partitions, mut seen) = (0_i128, 0_i128);
        for watermark in watermarks {
            partitions += 1;
            seen += i128::from(watermark.map_or(0, |w| w.since(window.start).clamp(0, length)));
        }
        let millionths = seen * 1_000_000 / (partitions.max(1) * i128::from(length));
        Self(u32::try_from(millionths).unwrap_or(0))
    }

    /// From millionths as `millionths` gave them; more than 1 000 000 is that.
    #[must_use]
    pub fn from_millionths(millionths: u32) -> Self {
        Self(millionths.min(Self::FULL.0))
    }

    /// From a share as settings and records state it, 0 to 1: the nearest millionth.
    #[must_use]
    pub fn from_ratio(ratio: f64) -> Self {
        Self((ratio.clamp(0.0, 1.0) * 1e6).round() as u32)
    }

    /// Millionths.
    #[must_use]
    pub fn millionths(self) -> u32 {
        self.0
    }

    /// From 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// Whether everything has been seen.
    #[must_use]
    pub fn is_full(self) -> bool {
        self == Self::FULL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { start: EventTime(60_000_000_000), end: EventTime(120_000_000_000) };

    fn of(watermarks: &[Option<i64>]) -> u32 {
        Completeness::of(WINDOW, watermarks.iter().map(|w| w.map(EventTime))).millionths()
    }

    #[test]
    fn each_partition_counts_by_how_far_it_has_come_and_a_gap_counts_nothing() {
        assert_eq!(of(&[Some(120_000_000_000), Some(i64::MAX)]), 1_000_000);
        assert_eq!(of(&[Some(i64::MIN), Some(90_000_000_000)]), 250_000);
        assert_eq!(of(&[Some(i64::MAX), None]), 500_000);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn nothing_short_of_the_end_rounds_up_to_one() {
        assert_eq!(of(&[Some(119_999_999_999)]), 999_999);
        assert_eq!(of(&[Some(i64::MAX), Some(i64::MAX), Some(0)]), 666_666);
        assert_eq!(Completeness::from_millionths(666_666).ratio(), 0.666_666);
        for millionths in (0..=1_000_000).step_by(997).chain([1_000_000]) {
            let completeness = Completeness::from_millionths(millionths);
            assert_eq!(Completeness::from_ratio(completeness.ratio()), completeness);
        }
    }
}
