//! Timestamps as text: RFC 3339, UTC, always nine digits of fraction.

use platform_core::time::{EventTime, SECOND};

/// Seconds that were written lately; disorder makes neighbours jump between a few of them.
const SLOTS: usize = 64;

/// `2026-01-01T00:00:00`.
type Text = [u8; 19];

/// Writes timestamps, remembering the part up to the seconds.
#[derive(Debug)]
pub(crate) struct Timestamps {
    slots: [(i64, Text); SLOTS],
}

impl Timestamps {
    pub(crate) fn new() -> Self {
        Self { slots: [(0, seconds_text(0)); SLOTS] }
    }

    /// Appends `time` as `2026-01-01T00:00:00.000000000Z`.
    #[inline]
    pub(crate) fn write(&mut self, time: EventTime, out: &mut Vec<u8>) {
        let (second, nanos) = (time.0.div_euclid(SECOND), time.0.rem_euclid(SECOND));
        if let Some((held, text)) = self.slots.get_mut(second.rem_euclid(SLOTS as i64) as usize) {
            if *held != second {
                (*held, *text) = (second, seconds_text(second));
            }
            out.extend_from_slice(text);
        }
        out.push(b'.');
        digits::<9>(nanos as u64, out);
        out.push(b'Z');
    }
}

/// A whole second as `2026-01-01T00:00:00Z`; what is below the second is left out.
pub(crate) fn whole_seconds(time: EventTime) -> String {
    format!("{}Z", String::from_utf8_lossy(&seconds_text(time.0.div_euclid(SECOND))))
}

/// Appends `value` with leading zeros in `N` digits, the highest left out when it has more.
#[inline]
pub(crate) fn digits<const N: usize>(value: u64, out: &mut Vec<u8>) {
    let mut rest = value;
    let mut text = [b'0'; N];
    for digit in text.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text);
}

/// Years have four digits: an `i64` of nanoseconds reaches from 1677 to 2262.
fn seconds_text(second: i64) -> Text {
    let (days, of_day) = (second.div_euclid(86_400), second.rem_euclid(86_400));
    // Years begin on 1 March here, so that the leap day is their last (the well-known algorithm of civil days).
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [(0..4, year), (5..7, month), (8..10, day), (11..13, of_day / 3600), (14..16, of_day / 60 % 60), (17..19, of_day % 60)];
    for (place, value) in parts {
        let mut rest = value;
        for digit in text.get_mut(place).into_iter().flatten().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(nanos: i64) -> String {
        let mut out = Vec::new();
        Timestamps::new().write(EventTime(nanos), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(1_767_225_600 * SECOND + 12_345), "2026-01-01T00:00:00.000012345Z");
        assert_eq!(text(951_782_399 * SECOND), "2000-02-28T23:59:59.000000000Z");
        assert_eq!(text(951_782_400 * SECOND), "2000-02-29T00:00:00.000000000Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(text(i64::MAX), "2262-04-11T23:47:16.854775807Z");
    }

    #[test]
    fn a_remembered_second_is_not_taken_for_another() {
        let mut timestamps = Timestamps::new();
        let mut out = Vec::new();
        for second in [5, 5 + SLOTS as i64, 5] {
            timestamps.write(EventTime(second * SECOND), &mut out);
        }
        assert_eq!(out, b"1970-01-01T00:00:05.000000000Z1970-01-01T00:01:09.000000000Z1970-01-01T00:00:05.000000000Z");
    }
}
