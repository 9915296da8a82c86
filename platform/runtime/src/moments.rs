//! Named moments of the transaction loop, so that tests of whole processes can kill one, or let one stand still, exactly there
//! (docs/faults.md).
//!
//! A task only says that it has come to a moment; what follows is the business of whoever listens. Without a listener, and that is always
//! unless the program was told otherwise at its start, a moment is one branch that is never taken: for each batch, record of partials or
//! output, never for each event.

use platform_core::record::Batch;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A moment in the life of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// It has taken its transactional id, and with it fenced an earlier owner.
    InInit,
    /// It knows its new partitions and their positions, and has read nothing yet.
    InAssign,
    /// Records of a silent replay were applied.
    Replay,
    /// The reader was told that it loses partitions; they are still its own. Only on logs that tell it before.
    InRevoke,
    /// Records were read; the stage has not seen them.
    AfterPoll,
    /// The stage was given a newer time of the log, and has read its second input to the end as far as it wants to (map stages).
    ControlRead,
    /// The stage has applied a record; nothing of it is written.
    Applied,
    /// A partition was found to be read to its end, and claimed idle; the claim is not written.
    IdleClaim,
    /// A record of a transaction was handed to the log, and perhaps not all of them.
    MidProduce,
    /// All records of a transaction were handed to the log; positions were not.
    BeforeCommit,
    /// The log is being asked to commit, and has not answered. Only on logs whose client does so in one call.
    EndtxnSent,
    /// The log has said that the transaction is through; the task has not acted on it.
    AfterCommit,
    /// What a transaction covers has gone to the store.
    StoreWrite,
    /// A part of a large emission is committed, and more of it is to come.
    MidCursor,
}

impl Moment {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::InInit,
        Self::InAssign,
        Self::Replay,
        Self::InRevoke,
        Self::AfterPoll,
        Self::ControlRead,
        Self::Applied,
        Self::IdleClaim,
        Self::MidProduce,
        Self::BeforeCommit,
        Self::EndtxnSent,
        Self::AfterCommit,
        Self::StoreWrite,
        Self::MidCursor,
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InInit => "in_init",
            Self::InAssign => "in_assign",
            Self::Replay => "replay",
            Self::InRevoke => "in_revoke",
            Self::AfterPoll => "after_poll",
            Self::ControlRead => "control_read",
            Self::Applied => "applied",
            Self::IdleClaim => "idle_claim",
            Self::MidProduce => "mid_produce",
            Self::BeforeCommit => "before_commit",
            Self::EndtxnSent => "endtxn_sent",
            Self::AfterCommit => "after_commit",
            Self::StoreWrite => "store_write",
            Self::MidCursor => "mid_cursor",
        }
    }
}

/// A text that names no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no moment; there are {names}", names = Moment::ALL.map(Moment::name).join(", "))]
pub struct NoMoment(pub String);

impl FromStr for Moment {
    type Err = NoMoment;
    fn from_str(name: &str) -> Result<Self, NoMoment> {
        Self::ALL.into_iter().find(|moment| moment.name() == name).ok_or_else(|| NoMoment(name.to_owned()))
    }
}

type Listener = dyn Fn(&str, Moment) + Send + Sync;
type Reading = dyn Fn(&str, &Batch<'_>) + Send + Sync;

/// Who is told of moments: nobody by default.
#[derive(Clone, Default)]
pub struct Moments(Option<Arc<Listener>>, Option<Arc<Reading>>);

impl Moments {
    /// `listener` is told the stage and the moment, on the task's thread; the task waits for it.
    #[must_use]
    pub fn told_to(listener: impl Fn(&str, Moment) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)), None)
    }

    /// `listener` is told the stage and the records that it is about to look into, of map stages.
    #[must_use]
    pub fn shown_to(listener: impl Fn(&str, &Batch<'_>) + Send + Sync + 'static) -> Self {
        Self(None, Some(Arc::new(listener)))
    }

    /// A task of `stage` has come to `moment`. Also for logs, of what nobody sees but they.
    #[inline]
    pub fn reached(&self, stage: &str, moment: Moment) {
        if let Some(listener) = &self.0 {
            listener(stage, moment);
        }
    }

    /// A task of `stage` is about to look into these.
    #[inline]
    pub(crate) fn reading(&self, stage: &str, batch: &Batch<'_>) {
        if let Some(listener) = &self.1 {
            listener(stage, batch);
        }
    }
}

impl fmt::Debug for Moments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() || self.1.is_some() { "told" } else { "nobody is told" })
    }
}
