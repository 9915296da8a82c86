//! Requests: count = Σ weight over the events with outcome ok or error; rate = count / seconds of the window.
//!
//! Ignored events are no requests. A window without requests has count 0 and rate 0: these are values.

use platform_core::window::WindowLength;

/// Requests, or any other count, per second.
#[must_use]
pub fn rate(count: u64, window: WindowLength) -> f64 {
    count as f64 / window.seconds()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_rate_is_the_count_by_the_seconds_of_the_window() {
        let minute = WindowLength::new(Duration::from_secs(60)).unwrap();
        assert_eq!((rate(199, minute), rate(0, minute)), (3.316666666666667, 0.0));
    }
}
