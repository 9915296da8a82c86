//! Pieces of JSON, appended to a buffer: no white space, shortest round-trip numbers, times in RFC 3339.

use platform_core::time::EventTime;

/// Appends a text in quotes, escaped as JSON asks and no further.
pub fn put_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\') {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        let (special, tail) = tail.split_at(1);
        match special.bytes().next().unwrap_or_default() {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            control @ 0..0x20 => {
                out.extend_from_slice(b"\\u00");
                put_hex(out, &[control]);
            }
            quoted => out.extend_from_slice(&[b'\\', quoted]),
        }
        rest = tail;
    }
    out.extend_from_slice(rest.as_bytes());
    out.push(b'"');
}

/// Appends a whole number.
pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number as its shortest form that reads back the same; whole ones without `.0`. What is not finite is null.
pub fn put_f64(out: &mut Vec<u8>, number: f64) {
    if !number.is_finite() {
        return out.extend_from_slice(b"null");
    }
    let mut buffer = ryu::Buffer::new();
    let text = buffer.format_finite(number);
    out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
}

/// Appends a number, or null.
pub fn put_option(out: &mut Vec<u8>, number: Option<f64>) {
    put_f64(out, number.unwrap_or(f64::NAN));
}

/// Appends bytes as lower-case hex digits, without quotes.
pub fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    for byte in bytes {
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// Appends a time, ns since the epoch, in RFC 3339 UTC without quotes; fraction digits only as far as needed.
pub fn put_time(out: &mut Vec<u8>, nanos: i64) {
    let (seconds, fraction) = (nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    put_padded(out, year, 4);
    for (mark, part) in [(b'-', month), (b'-', day), (b'T', second / 3600), (b':', second / 60 % 60), (b':', second % 60)] {
        out.push(mark);
        put_padded(out, part, 2);
    }
    if fraction > 0 {
        out.push(b'.');
        put_padded(out, fraction, 9);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    out.push(b'Z');
}

/// The same as a text.
#[must_use]
pub fn rfc3339(time: EventTime) -> String {
    let mut text = Vec::new();
    put_time(&mut text, time.0);
    String::from_utf8_lossy(&text).into_owned()
}

/// Year, month and day of a day since the epoch, in the proleptic Gregorian calendar. Years are counted from March, so that the leap day
/// is the last of its year, and eras of 400 years repeat.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

fn put_padded(out: &mut Vec<u8>, number: i64, digits: usize) {
    let mut buffer = itoa::Buffer::new();
    let text = buffer.format(number);
    out.extend(std::iter::repeat_n(b'0', digits.saturating_sub(text.len())));
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_as_short_as_they_read_back() {
        let cases =
            [(199.0, "199"), (3.316666666666667, "3.316666666666667"), (0.0, "0"), (1e-7, "1e-7"), (f64::NAN, "null"), (-0.5, "-0.5")];
        cases.iter().for_each(|(number, text)| assert_eq!(written(|out| put_f64(out, *number)), *text));
    }

    #[test]
    fn times_carry_as_many_fraction_digits_as_they_need() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (1_661_140_344_384_000_088, "2022-08-22T03:52:24.384000088Z"),
            (1_709_164_800_500_000_000, "2024-02-29T00:00:00.5Z"),
            (-1, "1969-12-31T23:59:59.999999999Z"),
            (i64::MAX, "2262-04-11T23:47:16.854775807Z"),
            (i64::MIN, "1677-09-21T00:12:43.145224192Z"),
        ];
        cases.iter().for_each(|(nanos, text)| assert_eq!(written(|out| put_time(out, *nanos)), *text));
    }

    proptest! {
        #[test]
        fn texts_read_back(text in "\\PC*|[\\x00-\\x7f]*") {
            prop_assert_eq!(serde_json::from_str::<String>(&written(|out| put_text(out, &text))).unwrap(), text);
        }

        #[test]
        fn finite_numbers_read_back(number in prop::num::f64::NORMAL | prop::num::f64::ZERO) {
            prop_assert_eq!(written(|out| put_f64(out, number)).parse::<f64>().unwrap(), number);
        }
    }
}
