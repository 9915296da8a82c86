//! Every topic, header and schema name, spelled here and nowhere else.

use platform_core::record::Topic;

/// Name of the pipeline; the prefix of its own topics.
pub const PIPELINE: &str = "golden-signals";

/// Name of the part of the pipeline that one deployment computes alone: the prefix of its groups, transactional ids and stores.
#[must_use]
pub fn part_of(colour: &str, epoch: u32) -> String {
    format!("{PIPELINE}.{colour}.{epoch}")
}

/// The topics of one colour of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Source of events.
    pub events: Topic,
    /// From FOLD to CLOSE.
    pub partials: Topic,
    /// From CLOSE to ROUTER.
    pub signals: Topic,
    /// Public: one record per series and window.
    pub public: Topic,
    /// Public: what came too late for its window.
    pub late: Topic,
    /// What could not be read.
    pub dead_letters: Topic,
    /// Decisions: which overrides are in force from when on.
    pub control: Topic,
}

impl Topics {
    /// The names of `colour`.
    #[must_use]
    pub fn of(colour: &str) -> Self {
        Self {
            events: Topic::new("service-events"),
            partials: Topic::new(&format!("{PIPELINE}.{colour}.partials")),
            signals: Topic::new(&format!("{PIPELINE}.{colour}.signals")),
            public: Topic::new(PIPELINE),
            late: Topic::new(&format!("{PIPELINE}.late")),
            dead_letters: Topic::new(&format!("{PIPELINE}.dead-letters")),
            control: Topic::new(&format!("{PIPELINE}.control")),
        }
    }
}

/// Header: which form the value has; one of the `SCHEMA_…` names. Readers pass over a schema that they do not know.
pub const SCHEMA: &str = "schema";
/// Header of an event that HTTP took in: its format (`source::Format::name`).
pub const FORMAT: &str = "format";
/// Header: media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
pub use platform_core::growth::{COLOUR_HEADER, EPOCH_HEADER, SUMS_HEADER as SUMS};
pub use platform_core::growth::{GROWTH_HEADER as GROWTH, HASH_HEADER as HASH, IDENTITY_HEADER as IDENTITY, REVISION_HEADER as REVISION};
/// Header: tenant.
pub const TENANT: &str = "tenant";
/// Header: the integers that the value was made from (`aggregate::Aggregate`), encoded.
pub const AGGREGATE: &str = "aggregate";
/// A signals record (SIGNALS §8).
pub const SCHEMA_SIGNALS: &str = "golden-signals/1";
/// A line of the late ledger.
pub const SCHEMA_LATE: &str = "golden-signals-late/1";
/// A progress record: a window is done in this partition.
pub const SCHEMA_PROGRESS: &str = "golden-signals-progress/1";
/// What a rule that is tried gives beside the one in force.
pub const SCHEMA_SHADOW: &str = "golden-signals-shadow/1";
/// A dead letter.
pub const SCHEMA_DEAD_LETTER: &str = "golden-signals-dead-letter/1";
