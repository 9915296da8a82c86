//! Windows summed up: of ten minutes, of an hour, of whatever span is asked for. Nothing is lost in a sum but which window it was.
//!
//! Counts and sketches are merged exactly, so a sum of sums is the sum of all windows, bit for bit, whatever the grouping. Of what cannot be
//! added the worst stays: the highest level, the lowest completeness, the largest saturation. Health is kept as stretches of equal level and
//! reason. Integers only: ratios of records are taken in millionths.

use crate::aggregate::Aggregate;
use crate::history::value::StoredRef;
use crate::signal::completeness::Completeness;
use crate::signal::latency::summary_of_all;
use crate::sketch::Overflow;
use platform_core::codec::{CodecError, Cursor, put_bytes, put_i64, put_u64};
use platform_core::time::EventTime;
use serde::Deserialize;
use std::borrow::Cow;
use std::cmp::Ordering;

/// The sum of some windows of one series.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// How many windows.
    pub windows: u64,
    /// The worst known level of health, 0 to 3; `None` where none is known.
    pub level: Option<u8>,
    /// What the least complete window lacks, in millionths of it.
    lacking: u32,
    /// The largest saturation, in millionths; `None` where none is known.
    pub saturation: Option<u64>,
    /// Health in order of time; only of groupings that have a verdict.
    pub trail: Vec<Stretch>,
    /// Counts, sketches, exemplars.
    pub aggregate: Aggregate,
}

/// Some windows in a row with equal health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Start of the first window.
    pub from: EventTime,
    /// End of the last.
    pub to: EventTime,
    /// Level, 0 to 3; `None`: unknown.
    pub level: Option<u8>,
    /// Why.
    pub reason: String,
    /// How many windows.
    pub windows: u64,
    /// Requests in them.
    pub requests: u64,
    /// Errors in them.
    pub errors: u64,
    /// The window with the lowest availability; of equal ones the slowest, then the first.
    pub worst: Worst,
}

/// The worst window of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worst {
    /// Its start.
    pub start: EventTime,
    /// Its requests.
    pub requests: u64,
    /// Its errors.
    pub errors: u64,
    /// Its 99th percentile of latency, ns; `None` without a duration.
    pub p99: Option<u64>,
}

/// What of windows is wanted; the rest is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detail {
    /// Stretches of health.
    pub trail: bool,
    /// Counts and sketches.
    pub aggregate: bool,
}

impl Detail {
    /// Everything.
    pub const ALL: Self = Self { trail: true, aggregate: true };
}

/// What a record says beside its integers.
#[derive(Deserialize)]
struct Said<'a> {
    completeness: Option<f64>,
    #[serde(borrow)]
    health: Option<SaidHealth<'a>>,
    saturation: Option<SaidSaturation>,
}

#[derive(Deserialize)]
struct SaidHealth<'a> {
    level: Option<u8>,
    #[serde(borrow, default)]
    reason: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SaidSaturation {
    ratio: f64,
}

impl Rolled {
    /// The share of its input that the least complete window has seen.
    #[must_use]
    pub fn completeness(&self) -> Completeness {
        Completeness::from_millionths(Completeness::FULL.millionths().saturating_sub(self.lacking))
    }

    /// Adds a window; they come in order of time.
    ///
    /// # Errors
    /// When the record cannot be read, or a sum has no room. What was summed is to be thrown away then.
    pub(super) fn add(&mut self, start: EventTime, window: &StoredRef<'_>, detail: Detail) -> Result<(), CodecError> {
        let said: Said<'_> = serde_json::from_slice(window.json).map_err(|_| CodecError::Text)?;
        self.windows += 1;
        let seen = said.completeness.map_or(Completeness::FULL, Completeness::from_ratio);
        self.lacking = self.lacking.max(Completeness::FULL.millionths() - seen.millionths());
        self.saturation = self.saturation.max(said.saturation.and_then(|of| crate::resource::millionths(of.ratio)));
        self.level = self.level.max(said.health.as_ref().and_then(|health| health.level));
        let health = said.health.filter(|_| detail.trail);
        if let Some(health) = health {
            let mut own = Aggregate::default();
            if !window.aggregate.is_empty() {
                own.merge_encoded(&mut Cursor::new(window.aggregate))?;
            }
            let (requests, errors) = (own.counts().requests(), own.counts().errors);
            let p99 = summary_of_all(&own).map(|of| of.quantiles_ns).and_then(|of| of.get(4).copied());
            let stretch = Stretch {
                from: start,
                to: start.plus(window.window_nanos),
                level: health.level,
                reason: health.reason.into_owned(),
                windows: 1,
                requests,
                errors,
                worst: Worst { start, requests, errors, p99 },
            };
            self.lengthen(stretch);
        }
        if detail.aggregate && !window.aggregate.is_empty() {
            self.aggregate.merge_encoded(&mut Cursor::new(window.aggregate))?;
        }
        Ok(())
    }

    /// Adds an encoded sum of later windows.
    ///
    /// # Errors
    /// As `add`.
    pub(super) fn merge_encoded(&mut self, bytes: &[u8], detail: Detail) -> Result<(), CodecError> {
        let mut from = Cursor::new(bytes);
        self.windows += from.u64()?;
        self.level = self.level.max(from.u8()?.checked_sub(1));
        self.lacking = self.lacking.max(u32::try_from(from.u64()?).map_err(|_| CodecError::Overlong)?);
        self.saturation = self.saturation.max(from.u64()?.checked_sub(1));
        let mut trail = Cursor::new(from.bytes()?);
        while detail.trail && !trail.is_empty() {
            self.lengthen(Stretch::decode(&mut trail)?);
        }
        if detail.aggregate {
            self.aggregate.merge_encoded(&mut from)?;
            from.end()?;
        }
        Ok(())
    }

    /// Adds a sum of later windows.
    ///
    /// # Errors
    /// When a sum has no room, which only forged bytes can bring about.
    pub fn merge(&mut self, other: &Self) -> Result<(), Overflow> {
        self.windows += other.windows;
        self.level = self.level.max(other.level);
        self.lacking = self.lacking.max(other.lacking);
        self.saturation = self.saturation.max(other.saturation);
        other.trail.iter().for_each(|stretch| self.lengthen(stretch.clone()));
        self.aggregate.merge(&other.aggregate)
    }

    /// Appends the encoded form: `windows | level + 1 | lacking | saturation + 1 | stretches behind their length | aggregate`.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.windows);
        out.push(self.level.map_or(0, |level| level.saturating_add(1)));
        put_u64(out, u64::from(self.lacking));
        put_u64(out, self.saturation.map_or(0, |ratio| ratio.saturating_add(1)));
        let mut trail = Vec::new();
        self.trail.iter().for_each(|stretch| stretch.encode(&mut trail));
        put_bytes(out, &trail);
        self.aggregate.encode(out);
    }

    /// Adds a stretch behind the others, or makes the last one longer.
    fn lengthen(&mut self, next: Stretch) {
        match self.trail.last_mut() {
            Some(last) if (last.level, &last.reason, last.to) == (next.level, &next.reason, next.from) => {
                last.to = next.to;
                last.windows += next.windows;
                last.requests = last.requests.saturating_add(next.requests);
                last.errors = last.errors.saturating_add(next.errors);
                if next.worst.is_worse_than(&last.worst) {
                    last.worst = next.worst;
                }
            }
            _ => self.trail.push(next),
        }
    }
}

impl Worst {
    fn is_worse_than(&self, other: &Self) -> bool {
        // errors / requests, compared without dividing.
        let cross = |one: &Self, other: &Self| u128::from(one.errors) * u128::from(other.requests.max(1));
        let order = cross(self, other).cmp(&cross(other, self)).then(self.p99.cmp(&other.p99));
        order == Ordering::Greater
    }
}

impl Stretch {
    fn encode(&self, out: &mut Vec<u8>) {
        put_i64(out, self.from.0);
        put_i64(out, self.to.since(self.from));
        out.push(self.level.map_or(0, |level| level.saturating_add(1)));
        put_bytes(out, self.reason.as_bytes());
        for number in [self.windows, self.requests, self.errors] {
            put_u64(out, number);
        }
        put_i64(out, self.worst.start.since(self.from));
        put_u64(out, self.worst.requests);
        put_u64(out, self.worst.errors);
        put_u64(out, self.worst.p99.map_or(0, |p99| p99.saturating_add(1)));
    }

    fn decode(bytes: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let from = EventTime(bytes.i64()?);
        let to = from.plus(bytes.i64()?);
        let (level, reason) = (bytes.u8()?.checked_sub(1), bytes.text()?.to_owned());
        let (windows, requests, errors) = (bytes.u64()?, bytes.u64()?, bytes.u64()?);
        let start = from.plus(bytes.i64()?);
        let worst = Worst { start, requests: bytes.u64()?, errors: bytes.u64()?, p99: bytes.u64()?.checked_sub(1) };
        Ok(Self { from, to, level, reason, windows, requests, errors, worst })
    }
}

/// The spans of ten minutes of one hour and series, by their number in the hour: `(number | sum behind its length)…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tens(pub Vec<(u8, Vec<u8>)>);

impl Tens {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (number, sum) in &self.0 {
            out.push(*number);
            put_bytes(&mut out, sum);
        }
        out
    }

    /// Visits each span's number and encoded sum, in order.
    ///
    /// # Errors
    /// When the bytes are damaged, or as `visit`.
    pub(super) fn visit(bytes: &[u8], mut visit: impl FnMut(u8, &[u8]) -> Result<(), CodecError>) -> Result<(), CodecError> {
        let mut from = Cursor::new(bytes);
        while !from.is_empty() {
            let number = from.u8()?;
            visit(number, from.bytes()?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window<'a>(json: &'a str, aggregate: &'a [u8]) -> StoredRef<'a> {
        StoredRef { revision: 0, window_nanos: 60, json: json.as_bytes(), aggregate }
    }

    const JSON: [&str; 4] = [
        r#"{"completeness":1,"health":{"level":0,"reason":"rule"},"saturation":{"ratio":0.5}}"#,
        r#"{"completeness":0.25,"health":{"level":0,"reason":"rule"},"saturation":null}"#,
        r#"{"completeness":1,"health":{"level":3,"reason":"rule"},"saturation":{"ratio":1.5}}"#,
        r#"{"completeness":1,"health":{"level":null,"reason":"incomplete"}}"#,
    ];

    #[test]
    fn of_what_cannot_be_added_the_worst_stays_and_equal_health_is_one_stretch() {
        let mut rolled = Rolled::default();
        for (at, json) in JSON.iter().enumerate() {
            rolled.add(EventTime(at as i64 * 60), &window(json, &[]), Detail::ALL).unwrap();
        }
        assert_eq!((rolled.windows, rolled.level, rolled.saturation), (4, Some(3), Some(1_500_000)));
        assert_eq!(rolled.completeness().ratio(), 0.25);
        let trail: Vec<_> = rolled.trail.iter().map(|s| (s.from.0, s.to.0, s.level, s.reason.as_str(), s.windows)).collect();
        assert_eq!(trail, [(0, 120, Some(0), "rule", 2), (120, 180, Some(3), "rule", 1), (180, 240, None, "incomplete", 1)]);
        // The same in two parts.
        let mut again = Rolled::default();
        for part in [0..1, 1..4] {
            let mut some = Rolled::default();
            for at in part {
                some.add(EventTime(at as i64 * 60), &window(JSON[at], &[]), Detail::ALL).unwrap();
            }
            let mut bytes = vec![];
            some.encode(&mut bytes);
            again.merge_encoded(&bytes, Detail::ALL).unwrap();
            assert!(Rolled::default().merge_encoded(&bytes[..bytes.len() - 1], Detail::ALL).is_err());
        }
        assert_eq!(again, rolled);
        let mut bare = Rolled::default();
        bare.add(EventTime(0), &window(JSON[0], &[]), Detail { trail: false, aggregate: false }).unwrap();
        assert!(bare.trail.is_empty());
    }

    #[test]
    fn windows_that_do_not_follow_each_other_are_no_stretch() {
        let mut rolled = Rolled::default();
        for start in [0, 60, 180] {
            rolled.add(EventTime(start), &window(JSON[0], &[]), Detail::ALL).unwrap();
        }
        assert_eq!(rolled.trail.iter().map(|s| (s.from.0, s.to.0)).collect::<Vec<_>>(), [(0, 120), (180, 240)]);
    }

    #[test]
    fn the_worst_window_has_the_lowest_availability_then_the_slowest() {
        let worst = |requests, errors, p99| Worst { start: EventTime(0), requests, errors, p99 };
        assert!(worst(10, 2, None).is_worse_than(&worst(100, 19, Some(9))));
        assert!(worst(10, 2, Some(5)).is_worse_than(&worst(100, 20, Some(4))));
        assert!(!worst(10, 2, Some(5)).is_worse_than(&worst(10, 2, Some(5))));
        assert!(worst(1, 1, None).is_worse_than(&worst(0, 0, None)));
    }

    #[test]
    fn spans_come_back_in_order_and_damage_is_refused() {
        let tens = Tens(vec![(0, vec![1, 2]), (5, vec![])]);
        let mut seen = vec![];
        Tens::visit(&tens.encode(), |number, sum| {
            seen.push((number, sum.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, tens.0);
        assert!(Tens::visit(&tens.encode()[..2], |_, _| Ok(())).is_err());
    }
}
