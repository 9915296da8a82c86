use super::*;
use proptest::prelude::*;

fn auto(text: &str) -> Result<i64, Reason> {
    Timestamps::new(TimeUnit::Auto, None).parse_text(text)
}

#[test]
fn dates_of_both_forms_are_read_with_their_offset() {
    let noon = 1_431_857_103_000_000_000;
    for text in
        ["2015-05-17T10:05:03Z", "2015-05-17t10:05:03z", "2015-05-17 12:05:03+02:00", "2015-05-17T09:35:03-0030", "2015-05-17T11:05:03+01"]
    {
        assert_eq!(auto(text), Ok(noon), "{text}");
    }
    assert_eq!(auto("17/May/2015:10:05:03 +0000"), Ok(noon));
    assert_eq!(auto("17/May/2015:12:05:03 +0200"), Ok(noon));
    assert_eq!(auto("2022-07-20T09:52:24.955Z"), Ok(1_658_310_744_955_000_000));
}

#[test]
fn fractions_are_cut_after_nine_digits() {
    let base = 1_658_310_744_000_000_000;
    assert_eq!(auto("2022-07-20T09:52:24.000000001Z"), Ok(base + 1));
    assert_eq!(auto("2022-07-20T09:52:24.1Z"), Ok(base + 100_000_000));
    assert_eq!(auto("2022-07-20T09:52:24.9999999999999Z"), Ok(base + 999_999_999));
    assert_eq!(auto("2022-07-20T09:52:24.Z"), Err(Reason::TimeInvalid));
}

#[test]
fn a_leap_second_is_the_last_moment_of_its_minute() {
    assert_eq!(auto("2016-12-31T23:59:60Z"), Ok(1_483_228_799_999_999_999));
    assert_eq!(auto("2016-12-31T23:59:60.5Z"), Ok(1_483_228_799_999_999_999));
    assert_eq!(auto("2016-12-31T23:59:61Z"), Err(Reason::TimeInvalid));
}

#[test]
fn an_offset_is_required_unless_the_source_has_one() {
    assert_eq!(auto("2015-05-17T10:05:03"), Err(Reason::TimeInvalid));
    let mut local = Timestamps::new(TimeUnit::Auto, Some(7200));
    assert_eq!(local.parse_text("2015-05-17T12:05:03"), Ok(1_431_857_103_000_000_000));
    assert_eq!(local.parse_text("17/May/2015:12:05:03"), Ok(1_431_857_103_000_000_000));
    assert_eq!(local.parse_text("2015-05-17T10:05:03Z"), Ok(1_431_857_103_000_000_000));
}

#[test]
fn what_the_calendar_does_not_have_is_refused() {
    for text in [
        "2023-02-29T00:00:00Z",
        "2023-13-01T00:00:00Z",
        "2023-00-01T00:00:00Z",
        "2023-01-00T00:00:00Z",
        "2023-04-31T00:00:00Z",
        "2023-01-01T24:00:00Z",
        "2023-01-01T00:60:00Z",
        "2023-01-01T00:00:00+24:00",
        "2023-01-01T00:00:00+00:60",
        "2023-01-01",
        "2023-01-01T00:00Z",
        "2023-01-01T00:00:00ZZ",
        "31/Foo/2023:00:00:00 +0000",
        "2023-01-01T00:00:00 ",
        "9999-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "1970-01-01T00:00:00Z",
        "yesterday",
        "-",
        "é/é/",
    ] {
        assert_eq!(auto(text), Err(Reason::TimeInvalid), "{text}");
    }
    assert_eq!(auto("2024-02-29T00:00:00Z"), Ok(1_709_164_800_000_000_000));
    assert_eq!(auto(""), Err(Reason::TimeMissing));
}

#[test]
fn the_remembered_minute_does_not_leak_into_another() {
    let mut times = Timestamps::new(TimeUnit::Auto, None);
    for _ in 0..2 {
        assert_eq!(times.parse_text("2015-05-17T10:05:03Z"), Ok(1_431_857_103_000_000_000));
        assert_eq!(times.parse_text("2015-05-17T10:06:03Z"), Ok(1_431_857_163_000_000_000));
        assert_eq!(times.parse_text("17/May/2015:10:05:03 +0000"), Ok(1_431_857_103_000_000_000));
        assert_eq!(times.parse_text("2015-05-17T10:65:03Z"), Err(Reason::TimeInvalid));
    }
}

#[test]
fn a_number_is_read_by_its_size() {
    assert_eq!(auto("1431857103"), Ok(1_431_857_103_000_000_000));
    assert_eq!(auto("1431857103.5"), Ok(1_431_857_103_500_000_000));
    assert_eq!(auto("1431857103123"), Ok(1_431_857_103_123_000_000));
    assert_eq!(auto("1431857103123456"), Ok(1_431_857_103_123_456_000));
    assert_eq!(auto("1431857103123456789"), Ok(1_431_857_103_123_456_789));
    assert_eq!(auto("1.431857103123456789e9"), Ok(1_431_857_103_123_456_789));
    assert_eq!(auto("1.4318571031234567891e+9"), Ok(1_431_857_103_123_456_789));
    // The first of each unit.
    assert_eq!(auto("99999999999"), Err(Reason::TimeInvalid));
    assert_eq!(auto("100000000000"), Ok(100_000_000_000_000_000));
    assert_eq!(auto("100000000000000"), Ok(100_000_000_000_000_000));
    assert_eq!(auto("100000000000000000"), Ok(100_000_000_000_000_000));
}

#[test]
fn zero_negative_and_huge_numbers_are_no_times() {
    for text in [
        "0",
        "-0",
        "0.0",
        "-5",
        "-1431857103",
        "1e400",
        "9223372036854775808",
        "1e19",
        "0.0000000001",
        "NaN",
        "inf",
        "1e",
        "1e+",
        "1.2.3",
        ".",
        "+",
        "1_000",
        "0x10",
    ] {
        assert_eq!(auto(text), Err(Reason::TimeInvalid), "{text}");
    }
    assert_eq!(auto("9223372036854775807"), Ok(i64::MAX));
}

#[test]
fn a_declared_unit_overrides_the_guess() {
    let mut millis = Timestamps::new(TimeUnit::Number(Unit::Millis), None);
    assert_eq!(millis.parse_text("5"), Ok(5_000_000));
    assert_eq!(millis.parse_text("2015-05-17T10:05:03Z"), Err(Reason::TimeInvalid));
    assert_eq!(millis.parse_number("0.5"), Ok(500_000));
    let mut dates = Timestamps::new(TimeUnit::Rfc3339, None);
    assert_eq!(dates.parse_text("1431857103"), Err(Reason::TimeInvalid));
    assert_eq!(dates.parse_number("1431857103"), Err(Reason::TimeInvalid));
    assert_eq!(dates.parse_text("2015-05-17T10:05:03Z"), Ok(1_431_857_103_000_000_000));
}

#[test]
fn durations_are_exact() {
    assert_eq!(duration_ns("427.74482", Unit::Millis), Ok(427_744_820));
    assert_eq!(duration_ns("0.000123", Unit::Seconds), Ok(123_000));
    assert_eq!(duration_ns("1.5e2", Unit::Micros), Ok(150_000));
    assert_eq!(duration_ns("1e-9", Unit::Seconds), Ok(1));
    assert_eq!(duration_ns("0.9", Unit::Nanos), Ok(0));
    assert_eq!(duration_ns("-0.0", Unit::Nanos), Ok(0));
    assert_eq!(duration_ns("0e999999999999", Unit::Seconds), Ok(0));
    assert_eq!(duration_ns("18446744073709551615", Unit::Nanos), Ok(u64::MAX));
    assert_eq!(duration_ns("18446744073709.551615", Unit::Millis), Ok(18_446_744_073_709_551_615));
    for text in ["-1", "-1e-400", "NaN", "inf", "-inf", "Infinity", "", "-", "fast", "1e308", "18446744073709551616", "1 ", " 1"] {
        assert_eq!(duration_ns(text, Unit::Nanos), Err(Reason::LatencyInvalid), "{text}");
    }
}

#[test]
fn the_event_time_is_moved_only_when_the_wanted_moment_differs() {
    let place = |given, wanted| Placing { given, wanted }.event_time(100, Some(30));
    assert_eq!(place(Some(Moment::Start), Some(Moment::End)), Ok(130));
    assert_eq!(place(Some(Moment::End), Some(Moment::Start)), Ok(70));
    for (given, wanted) in [(None, Some(Moment::End)), (Some(Moment::End), None), (Some(Moment::End), Some(Moment::End)), (None, None)] {
        assert_eq!(place(given, wanted), Ok(100));
    }
    let back = Placing { given: Some(Moment::End), wanted: Some(Moment::Start) };
    assert_eq!(back.event_time(100, Some(100)), Err(Reason::TimeInvalid));
    assert_eq!(back.event_time(100, Some(u64::MAX)), Err(Reason::TimeInvalid));
    assert_eq!(back.event_time(100, None), Ok(100));
    let on = Placing { given: Some(Moment::Start), wanted: Some(Moment::End) };
    assert_eq!(on.event_time(i64::MAX, Some(1)), Err(Reason::TimeInvalid));
}

/// Days from the epoch by counting, one year and one month at a time.
fn slow_days(year: i64, month: i64, day: i64) -> i64 {
    let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
    let months = |y: i64| [31, if leap(y) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    (1970..year).map(|y| months(y).iter().sum::<i64>()).sum::<i64>() + months(year).iter().take(month as usize - 1).sum::<i64>() + day - 1
}

/// Writes a number's digits out without an exponent and shifts the point by hand; `None` when it does not fit.
fn slow_scaled(whole: &str, fraction: &str, exponent: i32, places: i32) -> Option<u64> {
    let mut digits = format!("{whole}{fraction}");
    let point = whole.len() as i32 + exponent + places;
    if point <= 0 {
        return Some(0);
    }
    while (digits.len() as i32) < point {
        digits.push('0');
    }
    digits.get(..point as usize)?.parse().ok().or_else(|| {
        let significant = digits.get(..point as usize)?.trim_start_matches('0');
        if significant.is_empty() { Some(0) } else { significant.parse().ok() }
    })
}

proptest! {
    #[test]
    fn dates_agree_with_a_calendar_that_counts(
        year in 1971_i64..2262, month in 1_i64..13, day in 1_i64..29, hour in 0_i64..24, minute in 0_i64..60, second in 0_i64..60, nanos in 0_i64..SECOND,
        offset in -1439_i64..1440,
    ) {
        let expected = (((slow_days(year, month, day) * 24 + hour) * 60 + minute - offset) * 60 + second) * SECOND + nanos;
        let sign = if offset < 0 { '-' } else { '+' };
        let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
        let mut times = Timestamps::new(TimeUnit::Auto, None);
        let date = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}{sign}{hours:02}:{minutes:02}");
        prop_assert_eq!(times.parse_text(&date), Ok(expected));
        prop_assert_eq!(times.parse_text(&date), Ok(expected));
        let name = std::str::from_utf8(MONTHS[month as usize - 1]).unwrap();
        let log = format!("{day:02}/{name}/{year:04}:{hour:02}:{minute:02}:{second:02} {sign}{hours:02}{minutes:02}");
        prop_assert_eq!(times.parse_text(&log), Ok(expected - nanos));
    }

    #[test]
    fn durations_agree_with_a_point_shifted_by_hand(whole in "[0-9]{1,25}", fraction in "[0-9]{0,45}", exponent in -60_i32..30, places in 0_usize..4) {
        let unit = [Unit::Nanos, Unit::Micros, Unit::Millis, Unit::Seconds][places];
        let text = format!("{whole}.{fraction}e{exponent}");
        prop_assert_eq!(duration_ns(&text, unit).ok(), slow_scaled(&whole, &fraction, exponent, places as i32 * 3));
    }

    #[test]
    fn any_text_is_a_positive_time_or_refused(text in "\\PC{0,40}|[0-9T:.+/Z -]{0,40}|[0-9.eE+-]{0,30}") {
        if let Ok(time) = auto(&text) {
            prop_assert!(time > 0);
        }
        let _ = duration_ns(&text, Unit::Seconds);
    }
}
