//! An answer that costs and is the same for everybody: made at most once in a while, and given to all who ask meanwhile.

use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

/// How long an answer is given again.
const KEEP: Duration = Duration::from_secs(1);

/// The newest answer.
pub(crate) struct Shared<T> {
    /// When it was made, by a clock that only goes forward.
    kept: Mutex<Option<(Duration, Arc<T>)>>,
    /// Held by whoever makes the next one.
    making: Mutex<()>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self { kept: Mutex::default(), making: Mutex::default() }
    }
}

impl<T> Shared<T> {
    /// The newest answer, made anew when it is older than a second. While somebody else makes it, the one before is given; only the first is
    /// waited for.
    pub(crate) fn get(&self, now: Duration, make: impl FnOnce() -> T) -> Arc<T> {
        let before = self.newest();
        if let Some((_, kept)) = before.as_ref().filter(|(made, _)| now.saturating_sub(*made) < KEEP) {
            return Arc::clone(kept);
        }
        let making = match (self.making.try_lock(), before) {
            (Ok(making), _) => making,
            // Whoever made one panicked: the next one is made all the same.
            (Err(TryLockError::Poisoned(making)), _) => making.into_inner(),
            (Err(TryLockError::WouldBlock), Some((_, kept))) => return kept,
            (Err(TryLockError::WouldBlock), None) => self.making.lock().unwrap_or_else(PoisonError::into_inner),
        };
        // Perhaps it was made while this waited.
        if let Some((_, kept)) = self.newest().filter(|(made, _)| now.saturating_sub(*made) < KEEP) {
            return kept;
        }
        let made = Arc::new(make());
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, Arc::clone(&made)));
        drop(making);
        made
    }

    fn newest(&self) -> Option<(Duration, Arc<T>)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn an_answer_is_made_once_a_second_however_many_ask() {
        let (shared, made) = (Shared::default(), AtomicU32::new(0));
        let ask = |ms: u64| *shared.get(Duration::from_millis(ms), || made.fetch_add(1, Ordering::Relaxed));
        assert_eq!([ask(0), ask(0), ask(999), ask(1000), ask(1500), ask(2000), ask(1900)], [0, 0, 0, 1, 1, 2, 2]);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| ask(5000));
            }
        });
        assert_eq!(made.into_inner(), 4);
    }

    #[test]
    fn who_asks_while_it_is_made_gets_the_one_before() {
        let shared = Shared::default();
        let first = shared.get(Duration::ZERO, || 1);
        let late = Duration::from_secs(9);
        let second = shared.get(late, || {
            assert_eq!(*shared.get(late, || 3), 1, "one is being made already");
            2
        });
        assert_eq!((*first, *second, *shared.get(late, || 4)), (1, 2, 2));
    }

    #[test]
    fn an_answer_that_could_not_be_made_keeps_no_later_one_away() {
        let shared = Shared::default();
        shared.get(Duration::ZERO, || 1);
        let panics = || shared.get(Duration::from_secs(2), || panic!("a defect"));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics)).is_err());
        assert_eq!(*shared.get(Duration::from_secs(3), || 2), 2);
    }
}
