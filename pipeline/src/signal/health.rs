//! Health: a level from 0 to 3 by a rule, or `unknown` when the input does not allow a verdict. In this order:
//!
//! 1. The rule in force gives the level, with 0 requests too. If it fails, or gives anything but 0, 1, 2 or 3, the default rule decides.
//! 2. A window less complete than `min_completeness` whose level is 0 is `unknown`: missing input is never green, and never hides red.
//! 3. A series whose last published window lies too far back is shown as `unknown` by gauges and pages; no record says so.
//!
//! Default rule: `requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3`. Rules of teams are evaluated elsewhere; here is what follows.

use crate::signal::availability;
use crate::signal::completeness::Completeness;
use platform_core::time::EventTime;
use platform_core::window::Window;

/// The default rule, verbatim; records name it by the SHA-256 of this text, as bundle version 0.
pub const DEFAULT_RULE: &str = "requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3";
/// SHA-256 of `DEFAULT_RULE`.
pub const DEFAULT_RULE_SHA256: &str = "34fe0e2b2cdc1a46828c4915e13963a4726898e40f616aa2e1c2dda32eb9611a";

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)] // in state and records: never renumber
pub enum Level {
    /// As it should be.
    Healthy = 0,
    /// Worse than it should be.
    Degraded = 1,
    /// Users notice.
    Impaired = 2,
    /// Users fail.
    Critical = 3,
}

impl Level {
    /// All levels, ascending.
    pub const ALL: [Self; 4] = [Self::Healthy, Self::Degraded, Self::Impaired, Self::Critical];

    /// The level of a rule's result, if it is one.
    #[must_use]
    pub fn of(result: f64) -> Option<Self> {
        Self::ALL.into_iter().find(|level| f64::from(level.number()) == result)
    }

    /// 0 to 3.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The state's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Impaired => "impaired",
            Self::Critical => "critical",
        }
    }
}

/// Name of the state without a level.
pub const UNKNOWN: &str = "unknown";

/// Why a level is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The rule in force says so.
    Rule,
    /// The rule in force failed; the default rule says so.
    RuleError,
    /// Unknown: not all input has been seen.
    Incomplete,
}

impl Reason {
    /// As records have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::RuleError => "rule_error",
            Self::Incomplete => "incomplete",
        }
    }
}

/// What came of the rule in force.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ruled {
    /// No override: the default rule is in force.
    Default,
    /// The override gave this.
    Gave(f64),
    /// The override failed.
    Failed,
}

/// The verdict on a series in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Health {
    /// `None`: unknown.
    pub level: Option<Level>,
    /// Why.
    pub reason: Reason,
    /// Last known level before this window; healthy when there is none.
    pub previous: Level,
}

impl Health {
    /// Name of the state.
    #[must_use]
    pub fn state(&self) -> &'static str {
        self.level.map_or(UNKNOWN, Level::name)
    }

    /// What `previousHealth` is for the next window: this level, or the one before while this is unknown.
    #[must_use]
    pub fn known(&self) -> Level {
        self.level.unwrap_or(self.previous)
    }
}

/// The default rule.
#[must_use]
pub fn default_rule(requests: u64, errors: u64) -> Level {
    let available = availability::percent(requests, errors).is_some_and(|percent| percent > 99.0);
    if requests < 60 || available { Level::Healthy } else { Level::Critical }
}

/// Rules 1 and 2 of the header.
#[must_use]
pub fn decide(ruled: Ruled, requests: u64, errors: u64, completeness: Completeness, least: Completeness, previous: Level) -> Health {
    let (level, reason) = match ruled {
        Ruled::Default => (default_rule(requests, errors), Reason::Rule),
        Ruled::Gave(result) => Level::of(result).map_or_else(|| (default_rule(requests, errors), Reason::RuleError), |l| (l, Reason::Rule)),
        Ruled::Failed => (default_rule(requests, errors), Reason::RuleError),
    };
    if level == Level::Healthy && completeness < least {
        return Health { level: None, reason: Reason::Incomplete, previous };
    }
    Health { level: Some(level), reason, previous }
}

/// Rule 3 of the header: whether at `now` the last published window no longer says how the series is.
#[must_use]
pub fn is_stale(now: EventTime, last: Window, stale_after_nanos: i64) -> bool {
    now > last.end.plus(last.end.since(last.start)).plus(stale_after_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest, Sha256};

    fn full(ruled: Ruled, requests: u64, errors: u64) -> Health {
        decide(ruled, requests, errors, Completeness::FULL, Completeness::FULL, Level::Degraded)
    }

    #[test]
    fn the_default_rule_is_named_by_the_hash_of_its_text() {
        let hash: String = Sha256::digest(DEFAULT_RULE).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hash, DEFAULT_RULE_SHA256);
    }

    #[test]
    fn the_default_rule_is_critical_from_60_requests_on_unless_more_than_99_percent_succeed() {
        let cases = [(59, 59, 0), (60, 60, 3), (60, 0, 0), (1000, 10, 3), (1000, 9, 0), (0, 0, 0)];
        for (requests, errors, level) in cases {
            assert_eq!(default_rule(requests, errors).number(), level, "{requests} {errors}");
        }
    }

    #[test]
    fn a_rule_that_fails_or_gives_no_level_leaves_the_default_rule_to_decide() {
        assert_eq!(full(Ruled::Gave(2.0), 0, 0), Health { level: Some(Level::Impaired), reason: Reason::Rule, previous: Level::Degraded });
        for ruled in [Ruled::Failed, Ruled::Gave(4.0), Ruled::Gave(-1.0), Ruled::Gave(0.5), Ruled::Gave(f64::NAN)] {
            let health = full(ruled, 100, 100);
            assert_eq!((health.level, health.reason), (Some(Level::Critical), Reason::RuleError), "{ruled:?}");
        }
    }

    #[test]
    fn missing_input_is_never_green_and_never_hides_red() {
        let incomplete =
            |requests, errors| decide(Ruled::Default, requests, errors, Completeness::NONE, Completeness::FULL, Level::Critical);
        let unknown = incomplete(100, 0);
        assert_eq!(
            (unknown.level, unknown.state(), unknown.reason, unknown.known()),
            (None, "unknown", Reason::Incomplete, Level::Critical)
        );
        assert_eq!(incomplete(100, 50).state(), "critical");
    }

    #[test]
    fn a_series_is_stale_once_a_window_and_the_grace_have_passed() {
        let last = Window { start: EventTime(-60_000_000_000), end: EventTime(0) };
        let stale = |now| is_stale(EventTime(now), last, 180_000_000_000);
        assert!(!stale(240_000_000_000) && stale(240_000_000_001));
    }
}
