//! Kinds of key in the log's database, and the forms of their values. All integers are big-endian, so that keys sort as numbers do.

use platform_core::codec::{CodecError, Cursor, put_bytes, put_u64};
use platform_core::log::Committed;
use platform_core::record::{NewRecord, Offset, put_headers};
use platform_core::time::AppendTime;

/// Kinds of key; the first byte of each key.
#[derive(Clone, Copy)]
#[repr(u8)] // on disk: never renumber, never reuse
pub(crate) enum Kind {
    /// `1 | topic id u32 | partition u32 | offset u64` → a record, see `put_record`. Deleted by retention.
    Record = 1,
    /// `2 | topic id u32` → partitions, as varint, and the name up to the end. Never deleted, ids are never reused.
    Topic = 2,
    /// `3 | topic id u32 | partition u32` → `start u64 | end u64` when retention last moved the start, so that an emptied partition does
    /// not use its offsets again.
    Bounds = 3,
    /// `4 | topic id u32 | partition u32 | group` → `offset u64 | metadata`. Never deleted.
    Committed = 4,
    /// `5` → the newest append time given, `i64`. Written with every batch.
    Clock = 5,
}

/// A record's value begins with its append time, which is known last.
pub(crate) const TIME_BYTES: usize = 8;
const HAS_KEY: u8 = 1;
const HAS_VALUE: u8 = 2;

/// Key of a record.
pub(crate) fn record_key(topic: u32, partition: u32, offset: u64) -> [u8; 17] {
    let mut key = [0; 17];
    fill(&mut key, partition_prefix(Kind::Record, topic, partition).into_iter().chain(offset.to_be_bytes()));
    key
}

/// Offset in a record's key.
pub(crate) fn record_offset(key: &[u8]) -> Option<u64> {
    key.last_chunk::<8>().map(|offset| u64::from_be_bytes(*offset))
}

/// Key of a topic.
pub(crate) fn topic_key(topic: u32) -> [u8; 5] {
    let mut key = [0; 5];
    fill(&mut key, std::iter::once(Kind::Topic as u8).chain(topic.to_be_bytes()));
    key
}

/// Key of a partition's bounds.
pub(crate) fn bounds_key(topic: u32, partition: u32) -> [u8; 9] {
    partition_prefix(Kind::Bounds, topic, partition)
}

/// Key of what a group committed.
pub(crate) fn committed_key(topic: u32, partition: u32, group: &str) -> Vec<u8> {
    [&partition_prefix(Kind::Committed, topic, partition), group.as_bytes()].concat()
}

/// Key of the newest append time.
pub(crate) fn clock_key() -> [u8; 1] {
    [Kind::Clock as u8]
}

fn partition_prefix(kind: Kind, topic: u32, partition: u32) -> [u8; 9] {
    let mut key = [0; 9];
    fill(&mut key, std::iter::once(kind as u8).chain(topic.to_be_bytes()).chain(partition.to_be_bytes()));
    key
}

fn fill(key: &mut [u8], bytes: impl Iterator<Item = u8>) {
    key.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
}

/// Appends a record's value: `append time i64, still 0 | flags u8 | key behind its length, if any | headers behind their length | value up
/// to the end, if any`.
pub(crate) fn put_record(out: &mut Vec<u8>, record: &NewRecord<'_>) {
    out.extend_from_slice(&[0; TIME_BYTES]);
    out.push(if record.key.is_some() { HAS_KEY } else { 0 } | if record.value.is_some() { HAS_VALUE } else { 0 });
    if let Some(key) = record.key {
        put_bytes(out, key);
    }
    let mut headers = Vec::new();
    put_headers(&mut headers, record.headers);
    put_bytes(out, &headers);
    out.extend_from_slice(record.value.unwrap_or_default());
}

/// Writes the append time into a record's value.
pub(crate) fn stamp(value: &mut [u8], time: AppendTime) {
    if let Some(place) = value.first_chunk_mut::<TIME_BYTES>() {
        *place = time.0.to_be_bytes();
    }
}

/// A record's value, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored<'a> {
    pub(crate) time: AppendTime,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) headers: &'a [u8],
    pub(crate) value: Option<&'a [u8]>,
}

/// Reads a record's value.
pub(crate) fn read_record(bytes: &[u8]) -> Result<Stored<'_>, CodecError> {
    let time = read_time(bytes)?;
    let mut cursor = Cursor::new(bytes.get(TIME_BYTES..).unwrap_or_default());
    let flags = cursor.u8()?;
    if flags & !(HAS_KEY | HAS_VALUE) != 0 {
        return Err(CodecError::Unknown { what: "record flags", value: flags.into() });
    }
    let key = if flags & HAS_KEY != 0 { Some(cursor.bytes()?) } else { None };
    let headers = cursor.bytes()?;
    if flags & HAS_VALUE == 0 {
        cursor.end()?;
        return Ok(Stored { time, key, headers, value: None });
    }
    Ok(Stored { time, key, headers, value: Some(cursor.rest()) })
}

/// The append time at the beginning of a record's value, or all of the clock's.
pub(crate) fn read_time(bytes: &[u8]) -> Result<AppendTime, CodecError> {
    let time = bytes.first_chunk::<TIME_BYTES>().ok_or(CodecError::Truncated)?;
    Ok(AppendTime(i64::from_be_bytes(*time)))
}

/// A topic's value.
pub(crate) fn topic_value(partitions: u32, name: &str) -> Vec<u8> {
    let mut value = Vec::new();
    put_u64(&mut value, partitions.into());
    value.extend_from_slice(name.as_bytes());
    value
}

/// Id, partitions and name of a topic from its key and value.
pub(crate) fn read_topic<'a>(key: &[u8], value: &'a [u8]) -> Result<(u32, u32, &'a str), CodecError> {
    let id = key.last_chunk::<4>().ok_or(CodecError::Truncated)?;
    let mut cursor = Cursor::new(value);
    let partitions = u32::try_from(cursor.u64()?).map_err(|_| CodecError::Overlong)?;
    let name = std::str::from_utf8(cursor.rest()).map_err(|_| CodecError::Text)?;
    Ok((u32::from_be_bytes(*id), partitions, name))
}

/// A partition's bounds as a value.
pub(crate) fn bounds_value(start: u64, end: u64) -> Vec<u8> {
    [start.to_be_bytes(), end.to_be_bytes()].concat()
}

/// Reads a partition's bounds.
pub(crate) fn read_bounds(value: &[u8]) -> Result<(u64, u64), CodecError> {
    let (start, rest) = value.split_first_chunk::<8>().ok_or(CodecError::Truncated)?;
    let (end, rest) = rest.split_first_chunk::<8>().ok_or(CodecError::Truncated)?;
    Cursor::new(rest).end()?;
    Ok((u64::from_be_bytes(*start), u64::from_be_bytes(*end)))
}

/// A committed position as a value.
pub(crate) fn committed_value(committed: &Committed) -> Vec<u8> {
    [&committed.offset.0.to_be_bytes(), committed.metadata.as_slice()].concat()
}

/// Reads a committed position.
pub(crate) fn read_committed(value: &[u8]) -> Result<Committed, CodecError> {
    let (offset, metadata) = value.split_first_chunk::<8>().ok_or(CodecError::Truncated)?;
    Ok(Committed { offset: Offset(u64::from_be_bytes(*offset)), metadata: metadata.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_and_an_empty_value_is_no_tombstone() {
        let headers: &[(&str, &[u8])] = &[("a", b"1")];
        let mut encoded = Vec::new();
        put_headers(&mut encoded, headers);
        for key in [None, Some(&b""[..]), Some(b"k")] {
            for value in [None, Some(&b""[..]), Some(b"some value")] {
                let mut bytes = Vec::new();
                put_record(&mut bytes, &NewRecord { key, headers, value });
                stamp(&mut bytes, AppendTime(-7));
                assert_eq!(read_record(&bytes), Ok(Stored { time: AppendTime(-7), key, headers: &encoded, value }));
            }
        }
    }

    #[test]
    fn damage_is_refused() {
        assert_eq!(read_record(&[0; 7]), Err(CodecError::Truncated));
        assert_eq!(read_record(&[0, 0, 0, 0, 0, 0, 0, 0, 4, 0]), Err(CodecError::Unknown { what: "record flags", value: 4 }));
        assert_eq!(read_record(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]), Err(CodecError::Trailing(1)));
        assert_eq!(read_bounds(&[0; 15]), Err(CodecError::Truncated));
        assert_eq!(read_bounds(&[0; 17]), Err(CodecError::Trailing(1)));
        assert_eq!(read_committed(&[0; 7]), Err(CodecError::Truncated));
        assert_eq!(read_topic(&[2, 0, 0, 0, 1], &[1, 0xff]), Err(CodecError::Text));
    }

    #[test]
    fn the_stored_forms_are_these() {
        assert_eq!(record_key(1, 2, 3), [1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(topic_key(7), [2, 0, 0, 0, 7]);
        assert_eq!(bounds_key(1, 2), [3, 0, 0, 0, 1, 0, 0, 0, 2]);
        assert_eq!(committed_key(1, 2, "g"), [4, 0, 0, 0, 1, 0, 0, 0, 2, b'g']);
        let mut record = Vec::new();
        put_record(&mut record, &NewRecord { key: Some(b"k"), headers: &[], value: Some(b"v") });
        assert_eq!(record, [0, 0, 0, 0, 0, 0, 0, 0, 3, 1, b'k', 0, b'v']);
        assert_eq!(read_topic(&topic_key(7), &topic_value(12, "t")), Ok((7, 12, "t")));
        assert_eq!(read_bounds(&bounds_value(4, 9)), Ok((4, 9)));
        let committed = Committed { offset: Offset(5), metadata: b"m".to_vec() };
        assert_eq!(read_committed(&committed_value(&committed)), Ok(committed));
    }
}
