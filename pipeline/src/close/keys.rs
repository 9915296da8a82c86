//! Keys of CLOSE's store: each kind spelled here. Numbers on disk are never reused.

use crate::identity::{sortable, unsortable};
use platform_core::time::EventTime;

/// Number of the state's format; another one starts from an empty store and replays.
pub const FORMAT: u32 = 5;

/// Kinds of key.
#[derive(Clone, Copy, Debug)]
#[repr(u8)] // on disk: never renumber, never reuse
pub enum KeyKind {
    /// `1` → sources, closed through.
    Meta = 1,
    /// `2 | window start, 8 B sortable | series key` → aggregate. Lives until the window is purged.
    Aggregate = 2,
    /// `3 | window start, 8 B sortable | key of the series or the service` → previous level, level (255: none). Lives as the aggregate.
    Health = 3,
    /// `4 | window start, 8 B sortable | id, 16 B` → nothing. Lives as the aggregate.
    Unique = 4,
    /// `5 | window start, 8 B sortable` → completeness in millionths, varint: of closed windows that are not complete.
    Incomplete = 5,
    /// `6 | window start, 8 B sortable | service key` → aggregate of the late ledger. Lives as the aggregate.
    LateLine = 6,
    /// `7 | series key` → nothing: the series has a place of its own. Lives until it is idle.
    Admitted = 7,
    /// `8 | window start, 8 B sortable | service key` → largest samples of its instances (`resource::Resources`). Lives as the aggregate.
    Gauges = 8,
    /// `9 | key of the series or the service` → last known level, and the window it is of, 8 B sortable. Lives until whose it is becomes idle.
    Level = 9,
}

/// Key of the meta entry.
#[must_use]
pub fn meta() -> Vec<u8> {
    vec![KeyKind::Meta as u8]
}

/// Key of a series that has a place.
#[must_use]
pub fn admitted(series: &[u8]) -> Vec<u8> {
    let mut key = vec![KeyKind::Admitted as u8];
    key.extend_from_slice(series);
    key
}

/// Key of the last known level of a series or a service.
#[must_use]
pub fn level(of: &[u8]) -> Vec<u8> {
    let mut key = vec![KeyKind::Level as u8];
    key.extend_from_slice(of);
    key
}

/// Prefix of all keys of one kind and window.
#[must_use]
pub fn of_window(kind: KeyKind, start: EventTime) -> Vec<u8> {
    let mut key = vec![kind as u8];
    key.extend_from_slice(&sortable(start));
    key
}

/// A key of one kind and window.
#[must_use]
pub fn in_window(kind: KeyKind, start: EventTime, rest: &[u8]) -> Vec<u8> {
    let mut key = of_window(kind, start);
    key.extend_from_slice(rest);
    key
}

/// The window and the rest of a key that `in_window` made.
#[must_use]
pub fn split(key: &[u8]) -> Option<(EventTime, &[u8])> {
    let (start, rest) = key.get(1..)?.split_first_chunk::<8>()?;
    Some((unsortable(*start), rest))
}

/// The first key behind all that start with `prefix`.
#[must_use]
pub fn behind(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_split_and_sort_by_window() {
        let early = in_window(KeyKind::Aggregate, EventTime(-60), b"b");
        let late = in_window(KeyKind::Aggregate, EventTime(60), b"a");
        assert!(early < late);
        assert_eq!(split(&early), Some((EventTime(-60), &b"b"[..])));
        assert!(behind(&of_window(KeyKind::Aggregate, EventTime(-60))) > early);
        assert_eq!(behind(&[1, 255]), [2]);
    }
}
