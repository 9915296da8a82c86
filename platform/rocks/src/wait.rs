//! Locks and bells. A lock whose holder panicked is taken all the same: the state behind ours is never left half changed, and the log
//! marks itself as failed when its committer dies.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Takes a lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on a condition as long as `waiting` holds, at most for `time`.
pub(crate) fn wait_while<'a, T>(
    condition: &Condvar,
    guard: MutexGuard<'a, T>,
    time: Duration,
    waiting: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    condition.wait_timeout_while(guard, time, waiting).unwrap_or_else(PoisonError::into_inner).0
}

/// Wakes one reader. Rung after whatever it announces is visible, silenced before the reader looks: so no ring is missed.
#[derive(Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
    /// Newest generation of the reader's group.
    pub(crate) generation: AtomicU64,
}

impl Bell {
    /// Wakes the reader, now or at its next wait.
    pub(crate) fn ring(&self) {
        *lock(&self.rung) = true;
        self.changed.notify_one();
    }

    /// Forgets earlier rings.
    pub(crate) fn silence(&self) {
        *lock(&self.rung) = false;
    }

    /// Waits for a ring. Gives whether one came.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        *wait_while(&self.changed, lock(&self.rung), time, |rung| !*rung)
    }

    /// Announces a new generation.
    pub(crate) fn announce(&self, generation: u64) {
        self.generation.store(generation, Ordering::Release);
        self.ring();
    }
}
