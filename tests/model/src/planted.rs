//! Mistakes: each is one rule of the protocol left out or taken wrongly. A model that finds none of them would show nothing.

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The standby is read on without limit, and what it says is passed over.
    StandbyNotHeld,
    /// Results go out as they come: a final is revision 0, a correction the next number.
    NoGrowthRule,
    /// The worker looks at the colour of a record only, not at its epoch.
    EpochIgnored,
    /// What was abandoned keeps its windows.
    AbandonedForwarded,
    /// A planned cut is what was ordered, even where more is published.
    CutAsOrdered,
    /// A failure cut is the newest window of which anything was published.
    FailureCutNewest,
    /// Nothing is read once more after a failure, an abandonment, a seal.
    NoReconcile,
    /// Reading once more reaches results that the worker has forgotten.
    ReconcileForgotten,
    /// Results that the worker has forgotten are forwarded as if they were new.
    ForwardForgotten,
    /// Results are forgotten while a reading once more is due.
    ForgetWhileOwed,
    /// The newest flip is cut first.
    CutsOutOfOrder,
    /// The control log's readers take an order under any number.
    StaleNumber,
    /// Windows of what was sealed or abandoned go to the live deployment, not to the one after it in the list of cuts.
    OutToLive,
    /// A record of a deployment that the worker has not heard of yet is passed over.
    UnknownPassedOver,
    /// A paused worker that wakes may still write.
    NotFenced,
    /// The controller flips to a deployment that does not answer for the next window.
    OwnedFromIgnored,
    /// The controller leaves an old deployment alone that dies between cut and seal.
    NeverAbandons,
}
