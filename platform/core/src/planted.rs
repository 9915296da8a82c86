//! Mistakes planted on purpose, to show that the simulation finds them (docs/simulation.md).
//!
//! They exist only in builds with `--cfg planted`; in every other build `planted` is a constant `false` and nothing of them is compiled in.
//! One mistake at a time, and per thread. Each stands at the place where somebody could really make it.

/// A mistake. The numbers in the comments are those of the table in GUARANTEES §6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bug {
    /// 1: the reader is not sent back after an aborted transaction.
    NoSeekAfterAbort,
    /// 2: a commit takes the group's present generation instead of the one at assignment.
    ClaimRefreshed,
    /// 3: positions are committed in a transaction of their own.
    PositionsApart,
    /// 4: the position of the last record is committed instead of the one behind it.
    PositionOfLastRecord,
    /// 5: positions that did not move are not committed, and a claim on idle partitions is never checked.
    UnchangedPositionsLeftOut,
    /// 6: a writer is used on after a doubtful commit.
    WriterKeptAfterDoubt,
    /// 7: a controller orders upon what it had read of the control log before it took its writer.
    ControlReadFirst,
    /// 8 and 23: the end of a partition is taken to be its last stable offset.
    EndIsStableOffset,
    /// 9: CLOSE takes messages of another deployment.
    EpochIgnored,
    /// 11: the store is written before the commit, and one that is ahead is trusted.
    StoreBeforeCommit,
    /// 14: a restore from nothing reads from the committed position.
    ReplayFromPosition,
    /// 15: a restart inside a large emission begins it anew.
    CursorForgotten,
    /// 16: CLOSE asks a clock how much time has passed.
    ClockInClose,
    /// 17: what is due leaves at the end of a batch.
    EmitAtBatchEnd,
    /// 19: latencies are summed as floating-point numbers.
    FloatSum,
    /// 20: watermarks are not clamped by the append time.
    NoClampAbove,
    /// 21: watermarks of slow clocks are not lifted.
    NoClampBelow,
    /// 22: the time of an idle claim was taken after the end was asked for.
    IdleTimeAfterEnd,
    /// 24: a pause of everything counts as absence in full.
    AbsenceByGaps,
    /// 24: windows are purged although an absent partition may still bring events for them.
    PurgePastAbsent,
    /// 25: CLOSE drops what comes behind its watermark.
    LateByClose,
    /// 26: dead letters do not wait for the commit.
    DeadLettersApart,
    /// 27: a decision counts as soon as it is read, for all windows.
    CountsWhenRead,
    /// 27: CLOSE takes in all of the control log, and not as much as FOLD had read.
    ControlToItsEnd,
    /// FOLD goes on although it cannot read the control log.
    ControlNotAwaited,
    /// 10: the router takes records of deployments that have ended.
    EpochIgnoredByRouter,
    /// 28: what the standby has emitted already is read and passed over.
    StandbyNotHeld,
    /// 29: the router publishes whatever comes.
    NoGrowthRule,
    /// 30: what was abandoned is forwarded still.
    AbandonedForwarded,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::NoSeekAfterAbort,
        Self::ClaimRefreshed,
        Self::PositionsApart,
        Self::PositionOfLastRecord,
        Self::UnchangedPositionsLeftOut,
        Self::WriterKeptAfterDoubt,
        Self::ControlReadFirst,
        Self::EndIsStableOffset,
        Self::EpochIgnored,
        Self::StoreBeforeCommit,
        Self::ReplayFromPosition,
        Self::CursorForgotten,
        Self::ClockInClose,
        Self::EmitAtBatchEnd,
        Self::FloatSum,
        Self::NoClampAbove,
        Self::NoClampBelow,
        Self::IdleTimeAfterEnd,
        Self::AbsenceByGaps,
        Self::PurgePastAbsent,
        Self::LateByClose,
        Self::DeadLettersApart,
        Self::CountsWhenRead,
        Self::ControlToItsEnd,
        Self::ControlNotAwaited,
        Self::EpochIgnoredByRouter,
        Self::StandbyNotHeld,
        Self::NoGrowthRule,
        Self::AbandonedForwarded,
    ];
}

/// Whether this mistake is to be made.
#[cfg(not(planted))]
#[inline(always)]
#[must_use]
pub const fn planted(_: Bug) -> bool {
    false
}

#[cfg(planted)]
mod switch {
    use super::Bug;
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
        static NOW: Cell<i64> = const { Cell::new(0) };
    }

    /// Whether this mistake is to be made.
    #[must_use]
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }

    /// From now on this thread makes this mistake, or none.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// What a clock shows to those who must not ask: ns since 1970.
    #[must_use]
    pub fn now() -> i64 {
        NOW.get()
    }

    /// Sets that clock.
    pub fn set_now(now: i64) {
        NOW.set(now);
    }
}
#[cfg(planted)]
pub use switch::{now, plant, planted, set_now};
