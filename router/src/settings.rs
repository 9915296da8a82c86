//! Settings of a controller: which topics and groups it looks at, and by what it judges. Plain values, nothing is opened here.

use crate::deployment::{Colour, Deployment};
use platform_core::record::Topic;
use platform_core::time::SECOND;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a controller looks at.
#[derive(Clone, Debug)]
pub struct ControllerSettings {
    /// Name of the pipeline: label of metrics, prefix of the transactional id that orders are given under.
    pub pipeline: String,
    /// The control log.
    pub control: Topic,
    /// The public topic.
    pub public: Topic,
    /// What each colour writes.
    pub colours: BTreeMap<Colour, ColourTopics>,
    /// Group in which a deployment's last stage reads its `partials`.
    pub close_group: fn(Deployment) -> String,
    /// Group in which router workers read `signals`.
    pub router_group: String,
    /// Group in which controllers agree who leads.
    pub controller_group: String,
    /// Schema of progress records.
    pub progress: &'static str,
    /// Schema of the results that progress records sum up.
    pub results: &'static str,
    /// An identity, for people.
    pub name_of: fn(&[u8]) -> String,
    /// Length of a window in ns: the next window begins this much later.
    pub window: i64,
    /// By what is judged.
    pub checks: Checks,
}

/// Topics of a colour.
#[derive(Clone, Debug)]
pub struct ColourTopics {
    /// What its first stage writes.
    pub partials: Topic,
    /// What its last stage writes.
    pub signals: Topic,
}

/// By what a controller judges (GUARANTEES 3.8).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checks {
    /// Time between two probes.
    pub probe: Duration,
    /// At how many of the last `of` probes a failure must show before it counts.
    pub failed: usize,
    /// See `failed`.
    pub of: usize,
    /// For how many probes in a row no failure must count before a standby is fit.
    pub recovered: usize,
    /// By how much the share of its input that a live deployment puts aside must be greater than that of the standby to count as a failure, 0 to 1.
    pub error_share: f64,
    /// For how long the standby must have been ahead before the live one counts as behind.
    pub behind: Duration,
    /// Most time by which a warm deployment lags behind its input and behind the live one.
    pub lag: Duration,
    /// For how long it must have done so.
    pub warm: Duration,
    /// How many windows must be equal in both before a planned flip.
    pub windows: usize,
    /// By which share of its events a window of one deployment may differ from that of the other in a planned flip, 0 to 1; 0: they are equal
    /// bit by bit.
    pub tolerance: f64,
    /// Least time between two automatic flips, unless the live deployment is dead.
    pub between: Duration,
    /// Most automatic flips in an hour; after that people decide.
    pub most: usize,
    /// How long the old deployment of a planned flip stays ready for a flip back before it is sealed.
    pub seal_after: Duration,
    /// How long a receipt waits for the first window behind the cut.
    pub proof: Duration,
    /// Whether old deployments are sealed and dead ones replaced without being asked.
    pub automatic: bool,
}

impl Default for Checks {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            probe: seconds(5),
            failed: 3,
            of: 4,
            recovered: 6,
            error_share: 0.05,
            behind: seconds(20),
            lag: seconds(5),
            warm: seconds(60),
            windows: 5,
            tolerance: 0.0,
            between: seconds(60),
            most: 3,
            seal_after: seconds(15 * 60),
            proof: seconds(150),
            automatic: true,
        }
    }
}

/// When a window begins, in ns since 1970, from the first eight bytes of identities read as a number.
#[must_use]
pub fn start_of(window: u64) -> i64 {
    (window ^ (1 << 63)).cast_signed()
}

/// A window for people: when it begins, in UTC, by the second.
#[must_use]
pub fn shown(window: u64) -> String {
    if window == 0 { "none".to_owned() } else { time_shown(start_of(window)) }
}

/// A time for people, in UTC, by the second.
#[must_use]
pub fn time_shown(nanos: i64) -> String {
    let seconds = nanos.div_euclid(SECOND);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Civil date from days since 1970, by eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_shown_as_the_times_that_they_begin_at() {
        let window = |start: i64| start.cast_unsigned() ^ (1 << 63);
        assert_eq!(shown(window(1_767_225_600 * SECOND)), "2026-01-01T00:00:00Z");
        assert_eq!(shown(window(951_782_399 * SECOND)), "2000-02-28T23:59:59Z");
        assert_eq!(shown(window(-1)), "1969-12-31T23:59:59Z");
        assert_eq!(shown(0), "none");
    }
}
