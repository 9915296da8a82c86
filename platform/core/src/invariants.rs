//! Named predicates that must always hold. Production counts a broken one and raises an alarm, tests fail on it.
//!
//! Pure functions over facts: no state, no I/O. The numbers are those of the promise each one guards.

use crate::record::Offset;

/// I1 accounted: every decoded item became exactly one thing.
#[must_use]
pub fn accounted(decoded: u64, folded: u64, skipped: u64, late: u64, dead: u64) -> bool {
    decoded == folded + skipped + late + dead
}

/// I4 contiguous: a range follows the one before it without gap or overlap.
#[must_use]
pub fn ranges_are_contiguous(previous_to: Offset, from: Offset, to: Offset) -> bool {
    previous_to == from && from <= to
}

/// I9 store ≤ commit: a store never stands for more than was committed.
#[must_use]
pub fn store_is_not_ahead(applied: Offset, committed: Offset) -> bool {
    applied <= committed
}

/// I17 growing: totals under one identity never shrink.
#[must_use]
pub fn totals_grow(before: &[u64], after: &[u64]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(b, a)| b <= a)
}
