//! Instants as text: RFC 3339 in UTC out, RFC 3339 or a number since 1970 in.

use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use platform_core::time::{EventTime, SECOND};

/// `2022-08-22T03:52:00Z`, with as many fraction digits as are needed.
pub(crate) fn rfc3339(time: EventTime) -> String {
    let (seconds, nanos) = (time.0.div_euclid(SECOND), time.0.rem_euclid(SECOND));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let fraction = if nanos == 0 { String::new() } else { format!(".{nanos:09}").trim_end_matches('0').to_owned() };
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}{fraction}Z", second / 3600, second / 60 % 60, second % 60)
}

/// An instant; the unit of a number is told by its size.
pub(crate) fn parse(text: &str) -> Option<EventTime> {
    // An unescaped `+` of an offset arrives as a space.
    let text = if text.contains('T') { text.replace(' ', "+") } else { text.to_owned() };
    Timestamps::new(TimeUnit::Auto, None).parse_text(&text).ok().map(EventTime)
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years begin in March here, so that the leap day comes last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_come_back() {
        for (nanos, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_661_140_320 * SECOND, "2022-08-22T03:52:00Z"),
            (951_782_400 * SECOND + 500_000_000, "2000-02-29T00:00:00.5Z"),
            (4_107_542_399 * SECOND + 1, "2100-02-28T23:59:59.000000001Z"),
        ] {
            assert_eq!(rfc3339(EventTime(nanos)), text);
            assert!(nanos == 0 || parse(text) == Some(EventTime(nanos)));
        }
        assert_eq!(rfc3339(EventTime(-SECOND)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn numbers_and_offsets_are_taken_and_nonsense_is_not() {
        let minute = Some(EventTime(1_661_140_320 * SECOND));
        assert_eq!(parse("1661140320"), minute);
        assert_eq!(parse("2022-08-22T05:52:00 02:00"), minute);
        assert_eq!(parse("yesterday"), None);
    }
}
