//! Keys of the history store. Texts end with a zero byte, which no name may hold; times sort as they run (`identity::sortable`).
//!
//! Records lie by hour first, so that what has expired is one range, and a page over a long span reads hour by hour and stops when full.

use crate::identity::{Identity, sortable, unsortable};
use platform_core::codec::CodecError;
use platform_core::time::{EventTime, SECOND};

/// Nanoseconds in one hour. Every window lies inside one hour, since its length divides it.
pub const HOUR: i64 = 3600 * SECOND;

/// The kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)] // on disk: never renumber, never reuse
pub enum KeyKind {
    /// `1 | hour, 8 B | tenant 0 service 0 namespace 0 grouping 0 | window start, 8 B | dimension 0 …` → `value::Stored`.
    /// Lives until its hour lies `retention` behind the newest.
    Record = 1,
    /// `2 | tenant 0 service 0 namespace 0` → `value::Latest`: newest window of grouping `service`. Lives as long as that window's record.
    Service = 2,
    /// `3 | hour, 8 B` → first offset of a record in that hour (LEB128). Says what is there, and from where a lost store is built again.
    Hour = 3,
    /// `4 | hour, 8 B | tenant 0 service 0 namespace 0` → sums of the hour's windows of grouping `service` (`slo::counts::Counts`). Lives
    /// until its hour lies `SUMS` behind the newest.
    Sums = 4,
    /// `5 | hour, 8 B | tenant 0 service 0 namespace 0 grouping 0` → nothing. Not rolled up yet, or again: the records say what there was.
    Open = 5,
    /// `6 | hour, 8 B | tenant 0 service 0 namespace 0 grouping 0 | dimension 0 …` → spans of ten minutes (`roll::Tens`). Lives until its hour
    /// lies the retention of ten minutes behind the newest.
    Tens = 6,
    /// `7 | day, 8 B | tenant 0 service 0 namespace 0 grouping 0 | hour, 8 B | dimension 0 …` → the sum of the hour (`roll::Rolled`). Lives until
    /// its day lies the retention of hours behind the newest.
    Hours = 7,
    /// `8 | hour, 8 B` → bytes of keys and values of the hour's records, spans of ten minutes, and hours (LEB128).
    Size = 8,
    /// `9` → where rolling up and expiry stand (`stage::Standing`).
    Standing = 9,
}

/// Nanoseconds in ten minutes.
pub const TEN_MINUTES: i64 = 600 * SECOND;
/// Nanoseconds in a day.
pub const DAY: i64 = 24 * HOUR;

/// How far back of the newest hour sums of hours are kept, in ns: a quarter of a year and some days. Longer than any record.
pub const SUMS: i64 = 100 * 24 * HOUR;

/// Where the sums of a service in an hour lie.
#[must_use]
pub fn sums(hour: EventTime, tenant: &str, service: &str, namespace: &str) -> Vec<u8> {
    let mut key = timed(KeyKind::Sums, hour);
    [tenant, service, namespace].into_iter().for_each(|t| put_text(t, &mut key));
    key
}

/// First instant of the hour that holds `time`.
#[must_use]
pub fn hour_of(time: EventTime) -> EventTime {
    EventTime(time.0.saturating_sub(time.0.rem_euclid(HOUR)))
}

/// Where the record of an identity lies.
#[must_use]
pub fn record(identity: &Identity) -> Vec<u8> {
    let mut key = timed(KeyKind::Record, hour_of(identity.window_start));
    [&identity.tenant, &identity.service, &identity.namespace, &identity.grouping].into_iter().for_each(|t| put_text(t, &mut key));
    key.extend_from_slice(&sortable(identity.window_start));
    for dimension in &identity.dimensions {
        put_text(dimension, &mut key);
    }
    key
}

/// Keys of one hour whose texts begin with these: (tenant), (tenant, service), … up to (tenant, service, namespace, grouping).
#[must_use]
pub fn records_of(hour: EventTime, texts: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let mut from = timed(KeyKind::Record, hour);
    texts.iter().for_each(|t| put_text(t, &mut from));
    let to = behind(&from);
    (from, to)
}

/// Keys of one hour and grouping whose windows start from `from` on and before `to`. The texts are (tenant, service, namespace, grouping).
#[must_use]
pub fn windows_of(hour: EventTime, texts: &[&str; 4], from: EventTime, to: EventTime) -> (Vec<u8>, Vec<u8>) {
    let (first, behind) = records_of(hour, texts);
    let at = |time: EventTime| [first.as_slice(), &sortable(time)].concat();
    if to <= from { (first.clone(), first) } else { (at(from), if hour_of(to) > hour { behind } else { at(to) }) }
}

/// Dimension values of a record key.
///
/// # Errors
/// When the key is none.
pub fn dimensions_of(key: &[u8]) -> Result<Vec<&str>, CodecError> {
    texts_of(behind_texts(key)?.get(8..).ok_or(CodecError::Truncated)?)
}

/// Texts that each end with a zero byte.
fn texts_of(bytes: &[u8]) -> Result<Vec<&str>, CodecError> {
    let Some(texts) = bytes.strip_suffix(&[0]) else { return if bytes.is_empty() { Ok(Vec::new()) } else { Err(CodecError::Truncated) } };
    Ok(std::str::from_utf8(texts).map_err(|_| CodecError::Text)?.split('\0').collect())
}

/// Window start of a record key.
///
/// # Errors
/// When the key is none.
pub fn window_start_of(key: &[u8]) -> Result<EventTime, CodecError> {
    let rest = behind_texts(key)?;
    rest.first_chunk().map(|start| unsortable(*start)).ok_or(CodecError::Truncated)
}

/// Where the newest window of a service lies.
#[must_use]
pub fn service(tenant: &str, service: &str, namespace: &str) -> Vec<u8> {
    let mut key = vec![KeyKind::Service as u8];
    [tenant, service, namespace].into_iter().for_each(|t| put_text(t, &mut key));
    key
}

/// All services of a tenant, or with a name those of that name in any namespace.
#[must_use]
pub fn services(tenant: &str, name: Option<&str>) -> (Vec<u8>, Vec<u8>) {
    let mut from = vec![KeyKind::Service as u8];
    put_text(tenant, &mut from);
    if let Some(name) = name {
        put_text(name, &mut from);
    }
    let to = behind(&from);
    (from, to)
}

/// All services of all tenants.
#[must_use]
pub fn all_services() -> (Vec<u8>, Vec<u8>) {
    (vec![KeyKind::Service as u8], vec![KeyKind::Service as u8 + 1])
}

/// Tenant, service and namespace of a service key.
///
/// # Errors
/// When the key is none.
pub fn service_of(key: &[u8]) -> Result<(&str, &str, &str), CodecError> {
    let texts = key.get(1..).and_then(|k| k.strip_suffix(&[0])).ok_or(CodecError::Truncated)?;
    let mut texts = std::str::from_utf8(texts).map_err(|_| CodecError::Text)?.split('\0');
    let mut next = || texts.next().ok_or(CodecError::Truncated);
    Ok((next()?, next()?, next()?))
}

/// Where an hour's first offset lies.
#[must_use]
pub fn hour(hour: EventTime) -> Vec<u8> {
    timed(KeyKind::Hour, hour)
}

/// All hours.
#[must_use]
pub fn hours() -> (Vec<u8>, Vec<u8>) {
    (vec![KeyKind::Hour as u8], vec![KeyKind::Hour as u8 + 1])
}

/// The hour of an hour key.
///
/// # Errors
/// When the key is none.
pub fn hour_of_key(key: &[u8]) -> Result<EventTime, CodecError> {
    hour_bytes(key.get(1..).ok_or(CodecError::Truncated)?)
}

/// First instant of the day, in UTC, that holds `time`.
#[must_use]
pub fn day_of(time: EventTime) -> EventTime {
    EventTime(time.0.saturating_sub(time.0.rem_euclid(DAY)))
}

/// Says that the records of a grouping in an hour are not rolled up. The texts are (tenant, service, namespace, grouping).
#[must_use]
pub fn open(hour: EventTime, texts: &[&str; 4]) -> Vec<u8> {
    let mut key = timed(KeyKind::Open, hour);
    texts.iter().for_each(|text| put_text(text, &mut key));
    key
}

/// All that is not rolled up.
#[must_use]
pub fn all_open() -> (Vec<u8>, Vec<u8>) {
    (vec![KeyKind::Open as u8], vec![KeyKind::Open as u8 + 1])
}

/// Hour and texts of a key of kind `Open`.
///
/// # Errors
/// When the key is none.
pub fn open_of(key: &[u8]) -> Result<(EventTime, [&str; 4]), CodecError> {
    let hour = key.get(1..9).map(hour_bytes).ok_or(CodecError::Truncated)??;
    let texts = texts_of(key.get(9..).ok_or(CodecError::Truncated)?)?;
    Ok((hour, texts.try_into().map_err(|_| CodecError::Truncated)?))
}

/// Where the spans of ten minutes of a series lie; with no dimensions, what those of all series of the grouping begin with.
#[must_use]
pub fn tens(hour: EventTime, texts: &[&str; 4], dimensions: &[&str]) -> Vec<u8> {
    let mut key = timed(KeyKind::Tens, hour);
    texts.iter().chain(dimensions).for_each(|text| put_text(text, &mut key));
    key
}

/// The spans of ten minutes of all series of a grouping.
#[must_use]
pub fn tens_of(hour: EventTime, texts: &[&str; 4]) -> (Vec<u8>, Vec<u8>) {
    let from = tens(hour, texts, &[]);
    let to = behind(&from);
    (from, to)
}

/// Where the sum of an hour of a series lies.
#[must_use]
pub fn hours_roll(hour: EventTime, texts: &[&str; 4], dimensions: &[&str]) -> Vec<u8> {
    let mut key = timed(KeyKind::Hours, day_of(hour));
    texts.iter().for_each(|text| put_text(text, &mut key));
    key.extend_from_slice(&sortable(hour));
    dimensions.iter().for_each(|text| put_text(text, &mut key));
    key
}

/// The sums of all series of a grouping for the hours of one day from `from` on and before `to`.
#[must_use]
pub fn hours_rolls(texts: &[&str; 4], from: EventTime, to: EventTime) -> (Vec<u8>, Vec<u8>) {
    let first = hours_roll(from, texts, &[]);
    let mut last = timed(KeyKind::Hours, day_of(from));
    texts.iter().for_each(|text| put_text(text, &mut last));
    last.extend_from_slice(&sortable(to));
    (first, last)
}

/// Dimension values of a key of kind `Tens`.
///
/// # Errors
/// When the key is none.
pub fn dimensions_of_tens(key: &[u8]) -> Result<Vec<&str>, CodecError> {
    texts_of(behind_texts(key)?)
}

/// Hour and dimension values of a key of kind `Hours`.
///
/// # Errors
/// When the key is none.
pub fn hour_and_dimensions_of(key: &[u8]) -> Result<(EventTime, Vec<&str>), CodecError> {
    let (hour, dimensions) = behind_texts(key)?.split_at_checked(8).ok_or(CodecError::Truncated)?;
    Ok((hour_bytes(hour)?, texts_of(dimensions)?))
}

/// Keys of a kind that begin with an hour or day, before `time`.
#[must_use]
pub fn before(kind: KeyKind, time: EventTime) -> (Vec<u8>, Vec<u8>) {
    (vec![kind as u8], timed(kind, time))
}

/// Where the bytes of an hour are counted.
#[must_use]
pub fn size(hour: EventTime) -> Vec<u8> {
    timed(KeyKind::Size, hour)
}

/// The bytes of all hours.
#[must_use]
pub fn sizes() -> (Vec<u8>, Vec<u8>) {
    (vec![KeyKind::Size as u8], vec![KeyKind::Size as u8 + 1])
}

/// Where rolling up and expiry stand.
#[must_use]
pub fn standing() -> Vec<u8> {
    vec![KeyKind::Standing as u8]
}

/// What follows kind, time and the four texts of a series' group.
fn behind_texts(key: &[u8]) -> Result<&[u8], CodecError> {
    let mut rest = key.get(9..).ok_or(CodecError::Truncated)?;
    for _ in 0..4 {
        let end = memchr::memchr(0, rest).ok_or(CodecError::Truncated)?;
        rest = rest.get(end + 1..).ok_or(CodecError::Truncated)?;
    }
    Ok(rest)
}

fn hour_bytes(bytes: &[u8]) -> Result<EventTime, CodecError> {
    <[u8; 8]>::try_from(bytes).map(unsortable).map_err(|_| CodecError::Truncated)
}

fn timed(kind: KeyKind, time: EventTime) -> Vec<u8> {
    [&[kind as u8][..], &sortable(time)].concat()
}

/// Behind all keys that begin with `prefix`, whose last byte is the zero that ends a text.
fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut to = prefix.to_vec();
    if let Some(last) = to.last_mut() {
        *last = 1;
    }
    to
}

fn put_text(text: &str, key: &mut Vec<u8>) {
    key.extend_from_slice(text.as_bytes());
    key.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(start: i64, dimensions: &[&str]) -> Identity {
        Identity {
            window_start: EventTime(start),
            window_nanos: 60 * SECOND,
            tenant: "default".into(),
            namespace: "shop".into(),
            service: "cart".into(),
            grouping: "service".into(),
            dimensions: dimensions.iter().map(|d| (*d).into()).collect(),
        }
    }

    #[test]
    fn a_record_lies_within_the_range_of_its_hour_and_series_and_tells_its_window() {
        for start in [-HOUR, -60 * SECOND, 0, HOUR - 60 * SECOND, HOUR] {
            for dimensions in [&[][..], &["GET /"], &["", "é"]] {
                let key = record(&identity(start, dimensions));
                for texts in [&["default"][..], &["default", "cart"], &["default", "cart", "shop", "service"]] {
                    let (from, to) = records_of(hour_of(EventTime(start)), texts);
                    assert!(from <= key && key < to, "{start} {dimensions:?}");
                }
                assert_eq!((window_start_of(&key), dimensions_of(&key)), (Ok(EventTime(start)), Ok(dimensions.to_vec())));
                let texts = ["default", "cart", "shop", "service"];
                let within = |from: i64, to: i64| {
                    let (from, to) = windows_of(hour_of(EventTime(start)), &texts, EventTime(from), EventTime(to));
                    from <= key && key < to
                };
                assert!(within(start, start + 1) && within(start - HOUR, start + HOUR));
                assert!(!within(start + 1, start + HOUR) && !within(start - HOUR, start) && !within(start, start));
                assert!(key < before(KeyKind::Record, EventTime(2 * HOUR)).1);
            }
        }
    }

    #[test]
    fn rolled_up_windows_lie_by_hour_and_day_and_tell_their_series() {
        let texts = ["default", "cart", "shop", "service"];
        for hour in [EventTime(-HOUR), EventTime(0), EventTime(23 * HOUR), EventTime(24 * HOUR)] {
            assert_eq!(open_of(&open(hour, &texts)), Ok((hour, texts)));
            for dimensions in [&[][..], &["GET /"], &["", "é"]] {
                let (from, to) = tens_of(hour, &texts);
                let key = tens(hour, &texts, dimensions);
                assert!(from <= key && key < to);
                assert_eq!(dimensions_of_tens(&key), Ok(dimensions.to_vec()));
                let (from, to) = hours_rolls(&texts, hour, hour.plus(HOUR));
                let key = hours_roll(hour, &texts, dimensions);
                assert!(from <= key && key < to);
                assert_eq!(hour_and_dimensions_of(&key), Ok((hour, dimensions.to_vec())));
                assert!(key < before(KeyKind::Hours, day_of(hour).plus(DAY)).1);
            }
        }
        let other = ["default", "cart", "shop", "service_operation"];
        assert!(!(tens_of(EventTime(0), &texts).0..tens_of(EventTime(0), &texts).1).contains(&tens(EventTime(0), &other, &["a"])));
    }

    #[test]
    fn services_of_one_name_do_not_mix_with_longer_names() {
        let (from, to) = services("default", Some("cart"));
        assert!((from.clone()..to.clone()).contains(&service("default", "cart", "a")));
        assert!(!(from.clone()..to.clone()).contains(&service("default", "cart2", "")));
        assert!(!(from..to).contains(&service("default", "car", "t")));
        assert_eq!(service_of(&service("t", "s", "")), Ok(("t", "s", "")));
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        assert!(open_of(&[5; 9]).is_err() && dimensions_of_tens(&[6; 9]).is_err() && hour_and_dimensions_of(&[7; 9]).is_err());
        assert!(service_of(&[2]).is_err() && hour_of_key(&[3, 1]).is_err() && window_start_of(&[1; 12]).is_err());
    }
}
