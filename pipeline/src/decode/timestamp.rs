//! Times and durations, from text or number to whole nanoseconds, never through a float (SIGNALS §3.1).
//!
//! A number's unit is told by its magnitude unless the source says it. Dates need an offset unless the source has one. Most records of a
//! topic lie in one minute, so the last minute's text and its value are kept: a date costs a comparison of 16 bytes and the seconds.
//! What a time means (start or end of the request) is applied here too; lateness is not known here.

use crate::decode::Reason;
use crate::decode::json::scan::{leading_digits, word_at};
use platform_core::time::SECOND;

/// What a number means as a time; dates are told by their form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// By magnitude: below 1e11 seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Dates too.
    #[default]
    Auto,
    /// Numbers in this unit, no dates.
    Number(Unit),
    /// Dates, no numbers.
    Rfc3339,
}

/// Unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// s
    Seconds,
    /// ms
    Millis,
    /// µs
    Micros,
    /// ns
    Nanos,
}

impl Unit {
    /// Decimal places from this unit to a nanosecond.
    fn places(self) -> i32 {
        match self {
            Self::Seconds => 9,
            Self::Millis => 6,
            Self::Micros => 3,
            Self::Nanos => 0,
        }
    }
}

/// Beginning or end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// When it came.
    Start,
    /// When it was answered.
    End,
}

/// Turns given times into event times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    /// What the given time denotes; `None`: not known, so it is taken as it is.
    pub given: Option<Moment>,
    /// What the event time shall be; `None`: as given.
    pub wanted: Option<Moment>,
}

impl Placing {
    /// The event time of a request with this time and duration; without a duration it is the given one.
    ///
    /// # Errors
    /// `TimeInvalid` when the result is not above zero or does not fit.
    pub fn event_time(self, given: i64, duration: Option<u64>) -> Result<i64, Reason> {
        let duration = duration.unwrap_or(0);
        let moved = match (self.given, self.wanted) {
            (Some(Moment::Start), Some(Moment::End)) => given.checked_add_unsigned(duration),
            (Some(Moment::End), Some(Moment::Start)) => given.checked_sub_unsigned(duration),
            _ => Some(given),
        };
        moved.filter(|t| *t > 0).ok_or(Reason::TimeInvalid)
    }
}

/// Reads the times of one source. Holds the last minute read, which nothing but speed depends on.
#[derive(Clone, Debug)]
pub struct Timestamps {
    unit: TimeUnit,
    /// Seconds east of UTC for dates without an offset.
    timezone: Option<i32>,
    minute: Minute,
}

/// The text of a minute and its seconds since the epoch, before any offset.
#[derive(Clone, Debug, Default)]
struct Minute {
    text: [u8; 17],
    seconds: i64,
}

impl Timestamps {
    /// Reads times of this unit; dates without an offset lie `timezone` seconds east of UTC, or are refused.
    #[must_use]
    pub fn new(unit: TimeUnit, timezone: Option<i32>) -> Self {
        Self { unit, timezone, minute: Minute::default() }
    }

    /// A date (`2024-01-31T05:28:29.209Z`, `17/May/2015:10:05:03 +0000`) or a number, in ns since the epoch.
    ///
    /// # Errors
    /// `TimeMissing` for an empty text; `TimeInvalid` for what is no time, is not above zero, or does not fit.
    pub fn parse_text(&mut self, text: &str) -> Result<i64, Reason> {
        let bytes = text.as_bytes();
        let numbers = matches!(self.unit, TimeUnit::Auto | TimeUnit::Number(_));
        let dates = matches!(self.unit, TimeUnit::Auto | TimeUnit::Rfc3339);
        let time = match (bytes.get(2), bytes.get(4)) {
            _ if bytes.is_empty() => return Err(Reason::TimeMissing),
            (_, Some(b'-')) if dates && bytes.len() >= 16 => self.parse_date(bytes),
            (Some(b'/'), _) if dates => self.parse_log_date(bytes),
            _ if numbers => return self.parse_number(text),
            _ => None,
        };
        time.filter(|t| *t > 0).ok_or(Reason::TimeInvalid)
    }

    /// A JSON number, or numeric text, in ns since the epoch. What is finer than a nanosecond is cut.
    ///
    /// # Errors
    /// `TimeInvalid` for what is no number, is not above zero, or does not fit; also when the source's times are dates.
    pub fn parse_number(&self, text: &str) -> Result<i64, Reason> {
        let number = Decimal::parse(text.as_bytes()).filter(|n| !n.negative).ok_or(Reason::TimeInvalid)?;
        let places = match self.unit {
            TimeUnit::Number(unit) => unit.places(),
            TimeUnit::Auto => match number.scaled(0).ok_or(Reason::TimeInvalid)? {
                0..100_000_000_000 => Unit::Seconds.places(),
                100_000_000_000..100_000_000_000_000 => Unit::Millis.places(),
                100_000_000_000_000..100_000_000_000_000_000 => Unit::Micros.places(),
                _ => Unit::Nanos.places(),
            },
            TimeUnit::Rfc3339 => return Err(Reason::TimeInvalid),
        };
        let time = number.scaled(places).and_then(|t| i64::try_from(t).ok());
        time.filter(|t| *t > 0).ok_or(Reason::TimeInvalid)
    }

    /// `YYYY-MM-DDTHH:MM:SS[.fraction][offset]`; `t` and a space serve as `T` too.
    fn parse_date(&mut self, bytes: &[u8]) -> Option<i64> {
        let (prefix, rest) = bytes.split_first_chunk::<16>()?;
        if self.minute.text.first_chunk() != Some(prefix) {
            let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T' | b't' | b' ', h1, h2, b':', i1, i2] = *prefix else { return None };
            let seconds =
                minute_seconds(digits(&[y1, y2, y3, y4])?, digits(&[m1, m2])?, digits(&[d1, d2])?, digits(&[h1, h2])?, digits(&[i1, i2])?)?;
            self.minute.keep(prefix, seconds);
        }
        self.finish(rest)
    }

    /// `DD/Mon/YYYY:HH:MM:SS [offset]`, the form of Apache and nginx.
    fn parse_log_date(&mut self, bytes: &[u8]) -> Option<i64> {
        let (prefix, rest) = bytes.split_first_chunk::<17>()?;
        if self.minute.text != *prefix {
            let [d1, d2, b'/', n1, n2, n3, b'/', y1, y2, y3, y4, b':', h1, h2, b':', i1, i2] = *prefix else { return None };
            let month = MONTHS.iter().zip(1..).find(|(name, _)| ***name == [n1, n2, n3])?.1;
            let seconds = minute_seconds(digits(&[y1, y2, y3, y4])?, month, digits(&[d1, d2])?, digits(&[h1, h2])?, digits(&[i1, i2])?)?;
            self.minute.keep(prefix, seconds);
        }
        self.finish(rest)
    }

    /// Adds what stands behind the minute: `:SS`, a fraction, and the offset.
    fn finish(&self, rest: &[u8]) -> Option<i64> {
        let (&[colon, s1, s2], rest) = rest.split_first_chunk::<3>()?;
        let mut seconds = digits(&[s1, s2]).filter(|s| colon == b':' && *s <= 60)?;
        let (mut nanos, rest) = match rest {
            [b'.', rest @ ..] => {
                let (nanos, length) = fraction(rest)?;
                (nanos, rest.get(length..)?)
            }
            rest => (0, rest),
        };
        if seconds == 60 {
            (seconds, nanos) = (59, SECOND - 1); // a leap second is the last moment of its minute
        }
        let offset = if rest.is_empty() { self.timezone? } else { parse_offset(rest)? };
        (self.minute.seconds + seconds - i64::from(offset)).checked_mul(SECOND)?.checked_add(nanos)
    }
}

impl Minute {
    fn keep(&mut self, text: &[u8], seconds: i64) {
        self.text = [0; 17];
        self.text.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        self.seconds = seconds;
    }
}

const MONTHS: [&[u8; 3]; 12] = [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// An offset in seconds east of UTC: `Z`, `UTC`, `+02:00`, `+0200` or `+02`, with or without a space in front.
#[must_use]
pub fn parse_offset(text: &[u8]) -> Option<i32> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, hours, minutes) = match *text {
        [b'Z' | b'z'] | [b'U', b'T', b'C'] => return Some(0),
        [sign, h1, h2] => (sign, digits(&[h1, h2])?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, digits(&[h1, h2])?, digits(&[m1, m2])?),
        _ => return None,
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok().filter(|_| hours < 24 && minutes < 60)?;
    match sign {
        b'+' => Some(seconds),
        b'-' => Some(-seconds),
        _ => None,
    }
}

/// A number of digits alone.
fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
}

/// Seconds from the epoch to the start of a minute; `None` when the calendar has no such minute.
fn minute_seconds(year: i64, month: i64, day: i64, hour: i64, minute: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=length).contains(&day) || hour > 23 || minute > 59 {
        return None;
    }
    // Years begin in March here, so that the leap day is a year's last; 153 days are five months from March on.
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60)
}

/// A duration in ns, exact; what is finer is cut.
///
/// # Errors
/// `LatencyInvalid` for what is negative, no number (also `NaN` and `inf`), or beyond a `u64`.
pub fn duration_ns(text: &str, unit: Unit) -> Result<u64, Reason> {
    // Most durations fit 64 bits on the whole way.
    if let Some((mantissa, exponent)) = short(text.as_bytes())
        && let Some(power) = usize::try_from(exponent + unit.places()).ok().and_then(|places| POWERS.get(places))
        && let Some(nanos) = mantissa.checked_mul(*power)
    {
        return Ok(nanos);
    }
    let number = Decimal::parse(text.as_bytes()).filter(|n| !n.negative).ok_or(Reason::LatencyInvalid)?;
    number.scaled(unit.places()).and_then(|n| u64::try_from(n).ok()).ok_or(Reason::LatencyInvalid)
}

/// A decimal number as written: `mantissa · 10^exponent`, with at least 37 digits kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decimal {
    /// Below zero; never set for zero itself.
    negative: bool,
    mantissa: u128,
    exponent: i32,
}

impl Decimal {
    /// `[+-]digits[.digits][e[+-]digits]`, with digits on at least one side of the point.
    fn parse(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            all => (false, all),
        };
        if let Some((mantissa, exponent)) = short(text) {
            return Some(Self { negative: negative && mantissa != 0, mantissa: u128::from(mantissa), exponent });
        }
        let mut mantissa = 0_u128;
        let mut exponent = 0_i32;
        let (mut seen, mut point) = (false, false);
        let mut bytes = text.iter();
        while let Some(&byte) = bytes.next() {
            match byte {
                b'0'..=b'9' if mantissa < MANTISSA_FULL => {
                    mantissa = mantissa * 10 + u128::from(byte - b'0');
                    exponent -= i32::from(point);
                    seen = true;
                }
                // Digits beyond 37 are far below a nanosecond, or far above what fits.
                b'0'..=b'9' => exponent = exponent.saturating_add(i32::from(!point)),
                b'.' if !point => point = true,
                b'e' | b'E' if seen => {
                    exponent = exponent.saturating_add(parse_exponent(bytes.as_slice())?);
                    break;
                }
                _ => return None,
            }
        }
        seen.then_some(Self { negative: negative && mantissa != 0, mantissa, exponent })
    }

    /// The whole part of this number's size times `10^places`; `None` when it does not fit.
    fn scaled(self, places: i32) -> Option<u128> {
        let shift = self.exponent.saturating_add(places);
        if self.mantissa == 0 {
            return Some(0);
        }
        // Most numbers and powers have less than 64 bits, where arithmetic is many times as fast.
        let power = usize::try_from(shift.unsigned_abs()).ok().and_then(|places| POWERS.get(places));
        if let (Some(power), Ok(mantissa)) = (power, u64::try_from(self.mantissa)) {
            if shift < 0 {
                return Some(u128::from(mantissa / power));
            }
            return Some(u128::from(mantissa) * u128::from(*power));
        }
        match (10_u128.checked_pow(shift.unsigned_abs()), shift >= 0) {
            (Some(1), _) => Some(self.mantissa),
            (Some(power), true) => self.mantissa.checked_mul(power),
            (Some(power), false) => Some(self.mantissa / power),
            (None, true) => None,
            (None, false) => Some(0),
        }
    }
}

/// The digits that a text begins with, as nanoseconds of a second, and their number; what is finer is cut.
fn fraction(text: &[u8]) -> Option<(i64, usize)> {
    let (first, places) = digit_run(text, 0);
    let (second, more) = if places == 8 { digit_run(text, 8) } else { (0, 0) };
    if places + more <= 9 {
        let value = if more == 0 { first } else { first * 10 + second };
        let power = POWERS.get(9 - places - more)?;
        return (places > 0).then_some(((value * power).cast_signed(), places + more));
    }
    let length = text.iter().take_while(|b| b.is_ascii_digit()).count();
    Some((text.iter().take(9).fold(0, |n, d| n * 10 + i64::from(d - b'0')), length))
}

/// Mantissa and exponent of up to 18 digits with at most one point and nothing else; other numbers take the long way.
fn short(text: &[u8]) -> Option<(u64, i32)> {
    if text.len() > 19 {
        return None;
    }
    let (mut mantissa, mut at) = (0, 0);
    let mut point = None;
    loop {
        let (value, digits) = digit_run(text, at);
        mantissa = mantissa * POWERS.get(digits)? + value;
        at += digits;
        match text.get(at) {
            None => break,
            Some(b'.') if point.is_none() => {
                at += 1;
                point = Some(at);
            }
            Some(_) if digits == 8 => {}
            Some(_) => return None,
        }
    }
    let digits = text.len() - usize::from(point.is_some());
    let exponent = -i32::try_from(point.map_or(0, |point| text.len() - point)).ok()?;
    (1..=18).contains(&digits).then_some((mantissa, exponent))
}

/// The value and number of the digits at `at`, the first eight at most.
#[inline]
fn digit_run(text: &[u8], at: usize) -> (u64, usize) {
    let word = word_at(text, at).unwrap_or_else(|| last_word(text, at));
    let digits = leading_digits(word).min(8);
    // The digits move to the end of the word, zeros come in front; then neighbours are added up in pairs: 8, 4, 2.
    let word = (word & 0x0F0F_0F0F_0F0F_0F0F).checked_shl(64 - 8 * digits).unwrap_or(0);
    let word = word.wrapping_mul(10 << 8 | 1) >> 8 & 0x00FF_00FF_00FF_00FF;
    let word = word.wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_FFFF_0000_FFFF;
    (word.wrapping_mul(10_000 << 32 | 1) >> 32, digits as usize)
}

/// The last bytes of a text as a word that ends in zeros.
fn last_word(text: &[u8], at: usize) -> u64 {
    match text.last_chunk::<8>() {
        Some(last) => u64::from_le_bytes(*last).checked_shr(8 * (at + 8 - text.len()) as u32).unwrap_or(0),
        None => text.get(at..).unwrap_or_default().iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Powers of ten that fit 64 bits.
const POWERS: [u64; 20] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
    10_000_000_000,
    100_000_000_000,
    1_000_000_000_000,
    10_000_000_000_000,
    100_000_000_000_000,
    1_000_000_000_000_000,
    10_000_000_000_000_000,
    100_000_000_000_000_000,
    1_000_000_000_000_000_000,
    10_000_000_000_000_000_000,
];

/// One more digit always fits below this.
const MANTISSA_FULL: u128 = 10_u128.pow(37);

/// An exponent; one beyond a million stops there, which is out of every range.
fn parse_exponent(text: &[u8]) -> Option<i32> {
    let (sign, digits) = match text {
        [b'-', rest @ ..] => (-1, rest),
        [b'+', rest @ ..] => (1, rest),
        all => (1, all),
    };
    if digits.is_empty() {
        return None;
    }
    let size = digits.iter().try_fold(0_i32, |n, d| d.is_ascii_digit().then(|| (n * 10 + i32::from(d - b'0')).min(1_000_000)))?;
    Some(sign * size)
}

#[cfg(test)]
mod tests;
