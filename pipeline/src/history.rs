//! The history store: what the API and the web page read, folded from the public topic (and, by a second instance, from the late ledger).
//!
//! One keyed stage without outputs. The highest revision of an identity replaces lower ones and the same record again changes nothing, so
//! the store is a pure function of the log and can be thrown away. What lies `retention` behind the newest window seen is gone, at whole
//! hours of event time: no clock enters. Only sums of whole hours stay longer (`keys::SUMS`), for error budgets; they do not survive the
//! loss of a store further back than the log reaches. Readers open the same stores by name and never write.

/// Which keys the store holds, byte for byte.
pub mod keys;
/// Sums over any span of time.
mod range;
/// Reads the stores: services, signals of one service, late lines.
mod read;
/// Windows summed up, and what their health was.
mod roll;
/// Folds a public partition into its store.
mod stage;
#[cfg(test)]
mod tests;
/// What lies behind the keys.
mod value;

pub use range::{Asked, Held, Most, RangeError, Reach, Sizes, Sums};
pub use read::{History, Page, Query, ServiceKey, ServiceNow};
pub use roll::{Detail, Rolled, Stretch, Worst};
pub use stage::{HistoryStage, Retention};
pub use value::{Recent, Stored};

/// Name of the stage that reads the public topic; its stores carry it.
pub const SIGNALS_STAGE: &str = "history";
/// Name of the stage that reads the late ledger.
pub const LATE_STAGE: &str = "late-history";
/// State format of both. A store of an earlier one is built again from the log, so that what is new in it (2: sums of hours, 3: roll-ups)
/// reaches as far back as the log does.
pub const FORMAT: u32 = 3;
/// Name of a stage's stores, as the runtime gives it: stages of several pipelines may lie side by side.
#[must_use]
pub fn store_name(stage: &str) -> String {
    format!("{}.{stage}", crate::names::PIPELINE)
}
