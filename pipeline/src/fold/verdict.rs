//! Verdicts: what becomes of an event, by its event time and its append time alone.
//!
//! Up to `retain` old it counts in its window, as a correction once that is closed; older ones go to the late ledger; more than `skew` ahead
//! is a dead letter. What else was read, and when, does not enter: so both colours of a deployment agree (I22). Decides only.

use platform_core::time::{AppendTime, EventTime};

/// Limits of a verdict, in ns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerdictLimits {
    /// Largest append time − event time that still counts in its window.
    pub retain: i64,
    /// Largest event time − append time.
    pub skew: i64,
}

/// Where an event goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its window counts it.
    Folded,
    /// The late ledger of its service, in the window of its append time.
    LateLedger,
    /// A dead letter `time_future`.
    Future,
}

/// Where an event goes. Facts in, decision out: no log, no store, no clock.
#[must_use]
pub fn verdict(event: EventTime, append: AppendTime, limits: &VerdictLimits) -> Verdict {
    let age = append.age_of(event);
    if age > limits.retain {
        Verdict::LateLedger
    } else if age < -limits.skew {
        Verdict::Future
    } else {
        Verdict::Folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limits_themselves_still_count() {
        let limits = VerdictLimits { retain: 100, skew: 10 };
        let at = |event| verdict(EventTime(event), AppendTime(1000), &limits);
        assert_eq!((at(900), at(899)), (Verdict::Folded, Verdict::LateLedger));
        assert_eq!((at(1010), at(1011)), (Verdict::Folded, Verdict::Future));
        assert_eq!(at(i64::MIN), Verdict::LateLedger);
        assert_eq!(at(i64::MAX), Verdict::Future);
    }
}
