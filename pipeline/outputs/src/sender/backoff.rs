//! How long to wait between two tries. Pure: time is what was waited.

use std::time::Duration;

/// First wait after a failure, and the longest.
const WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Waits that double from half a second to half a minute, and begin anew once something was through.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    denied: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: WAITS.0, denied: Duration::ZERO }
    }
}

impl Backoff {
    /// The wait before the next try: as long as the receiver asks for, if it does.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> Duration {
        let own = self.next;
        self.next = (own * 2).min(WAITS.1);
        asked.unwrap_or(own)
    }

    /// The wait after a denial.
    pub(super) fn deny(&mut self) -> Duration {
        let wait = self.wait(None);
        self.denied += wait;
        wait
    }

    /// How long was waited after denials since something was through.
    pub(super) fn denied(&self) -> Duration {
        self.denied
    }

    /// Something was through.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(waits: &[Duration]) -> Vec<u128> {
        waits.iter().map(Duration::as_millis).collect()
    }

    #[test]
    fn waits_double_from_half_a_second_to_half_a_minute_and_begin_anew() {
        let mut backoff = Backoff::default();
        let mut waits = || (0..9).map(|_| backoff.wait(None)).collect::<Vec<_>>();
        assert_eq!(millis(&waits()), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
        assert_eq!(millis(&waits()[..1]), [30_000]);
        backoff.reset();
        assert_eq!(millis(&[backoff.wait(None), backoff.wait(None)]), [500, 1000]);
    }

    #[test]
    fn a_receiver_that_says_how_long_is_obeyed_and_its_own_wait_grows_meanwhile() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(Some(Duration::from_secs(120))), Duration::from_secs(120));
        assert_eq!(backoff.wait(Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(millis(&[backoff.wait(None)]), [2000]);
    }

    #[test]
    fn only_waits_after_denials_count_against_patience() {
        let mut backoff = Backoff::default();
        backoff.wait(None);
        assert_eq!(backoff.denied(), Duration::ZERO);
        backoff.deny();
        backoff.deny();
        assert_eq!(backoff.denied(), Duration::from_millis(3000));
        backoff.reset();
        assert_eq!(backoff.denied(), Duration::ZERO);
    }
}
