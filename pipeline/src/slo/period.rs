//! When a period of an objective began, in UTC and at a whole hour.

use golden_overrides::file::Period;
use platform_core::time::{EventTime, SECOND};

const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// First instant of the period that holds the instant before `to`, or of the days that end there. A rolling period begins at a whole hour,
/// up to one earlier than its length says.
#[must_use]
pub fn start(period: Period, to: EventTime) -> EventTime {
    let last = to.0.saturating_sub(1);
    let today = last.div_euclid(DAY);
    let first_day = match period {
        Period::Days(days) => {
            let from = to.0.saturating_sub(i64::from(days) * DAY);
            return EventTime(from - from.rem_euclid(HOUR));
        }
        // 1970 began on a Thursday.
        Period::Week => today - (today + 3).rem_euclid(7),
        Period::Month => {
            let (year, month) = month_of(today);
            day_of(year, month)
        }
        Period::Quarter => {
            let (year, month) = month_of(today);
            day_of(year, (month - 1) / 3 * 3 + 1)
        }
    };
    EventTime(first_day * DAY)
}

/// Year and month (1 to 12) of a day since 1970. Years are counted from March, so that a leap day comes last.
fn month_of(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// The first day of a month, since 1970.
fn day_of(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_era = year.rem_euclid(400);
    let from_march = (month + 9) % 12;
    let of_year = (153 * from_march + 2) / 5;
    year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::json::rfc3339;

    fn at(text: &str) -> EventTime {
        use crate::decode::timestamp::{TimeUnit, Timestamps};
        EventTime(Timestamps::new(TimeUnit::Rfc3339, None).parse_text(text).unwrap())
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        for (period, to, from) in [
            (Period::Days(30), "2024-03-31T12:34:00Z", "2024-03-01T12:00:00Z"),
            (Period::Days(1), "2024-03-31T12:00:00Z", "2024-03-30T12:00:00Z"),
            (Period::Week, "2024-03-31T12:34:00Z", "2024-03-25T00:00:00Z"),
            (Period::Week, "2024-04-01T00:00:00Z", "2024-03-25T00:00:00Z"),
            (Period::Week, "2024-04-01T00:01:00Z", "2024-04-01T00:00:00Z"),
            (Period::Month, "2024-02-29T23:59:00Z", "2024-02-01T00:00:00Z"),
            (Period::Month, "2024-03-01T00:00:00Z", "2024-02-01T00:00:00Z"),
            (Period::Month, "2100-03-01T00:01:00Z", "2100-03-01T00:00:00Z"),
            (Period::Quarter, "2023-12-31T23:59:00Z", "2023-10-01T00:00:00Z"),
            (Period::Quarter, "2024-01-01T00:01:00Z", "2024-01-01T00:00:00Z"),
            (Period::Quarter, "2024-06-30T00:01:00Z", "2024-04-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(start(period, at(to))), from, "{period} at {to}");
        }
    }
}
