//! Records: what a log holds, where each one lies, and batches of them as borrowed bytes.
//!
//! A `Batch` is one allocation that is reused from poll to poll: readers fill a `BatchBuffer`, stages iterate over it without copying.
//! Headers have one encoded form (`count, (name, value)…`), shared by every log that keeps records itself.

use crate::codec::{Cursor, put_bytes, put_u64};
use crate::time::AppendTime;
use std::fmt;
use std::sync::Arc;

/// Name of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

impl Topic {
    /// Names a topic. Names are built in one file of each application and not checked here.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One ordered part of a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Of which topic.
    pub topic: Topic,
    /// From 0.
    pub index: u32,
}

impl Partition {
    /// Partition `index` of `topic`.
    #[must_use]
    pub fn new(topic: &Topic, index: u32) -> Self {
        Self { topic: topic.clone(), index }
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}

/// A record's number in its partition. Rises, but not always by one: logs may use offsets for themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(pub u64);

impl Offset {
    /// The next one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record on its way into a log.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    /// What a partitioner or a compacting log goes by.
    pub key: Option<&'a [u8]>,
    /// Names and values beside the value.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// A record read from a log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Where it lies in its partition.
    pub offset: Offset,
    /// When the log took it; `None` from bounded sources, which have no such clock.
    pub append_time: Option<AppendTime>,
    /// As written.
    pub key: Option<&'a [u8]>,
    /// As written.
    pub headers: Headers<'a>,
    /// As written; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// Headers of a record, still encoded; few records are asked for more than one or two.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a>(&'a [u8]);

impl<'a> Headers<'a> {
    /// Headers from their encoded form. Damage shows as an end: what cannot be read is not there.
    #[must_use]
    pub fn from_encoded(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The first header of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.bytes().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// Names and values in order; names are not looked at, and may be no text.
    pub fn bytes(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        let count = if self.0.is_empty() { 0 } else { cursor.u64().unwrap_or(0) };
        (0..count).map_while(move |_| Some((cursor.bytes().ok()?, cursor.bytes().ok()?)))
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        let count = if self.0.is_empty() { 0 } else { cursor.u64().unwrap_or(0) };
        (0..count).map_while(move |_| Some((cursor.text().ok()?, cursor.bytes().ok()?)))
    }
}

/// Encodes headers that were read, and more behind them.
pub fn put_more_headers(out: &mut Vec<u8>, read: Headers<'_>, more: &[(&str, &[u8])]) {
    let mut rest = Cursor::new(read.0);
    let count = if read.0.is_empty() { 0 } else { rest.u64().unwrap_or(0) };
    if count == 0 {
        return put_headers(out, more);
    }
    put_u64(out, count + more.len() as u64);
    out.extend_from_slice(rest.rest());
    for (name, value) in more {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value);
    }
}

/// Encodes headers as `Headers` reads them; none at all is no bytes.
pub fn put_headers(out: &mut Vec<u8>, headers: &[(&str, &[u8])]) {
    if headers.is_empty() {
        return;
    }
    put_u64(out, headers.len() as u64);
    for (name, value) in headers {
        put_bytes(out, name.as_bytes());
        put_bytes(out, value);
    }
}

/// Some records of one partition, in order, as borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Where they come from.
    pub partition: &'a Partition,
    bytes: &'a [u8],
    entries: &'a [Entry],
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: Offset,
    append_time: Option<AppendTime>,
    key: Option<Range>,
    headers: Range,
    value: Option<Range>,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    from: usize,
    to: usize,
}

impl<'a> Batch<'a> {
    /// The records in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'a>> + use<'a> {
        let bytes = self.bytes;
        let slice = move |r: Range| bytes.get(r.from..r.to).unwrap_or_default();
        self.entries.iter().map(move |e| Record {
            offset: e.offset,
            append_time: e.append_time,
            key: e.key.map(slice),
            headers: Headers(slice(e.headers)),
            value: e.value.map(slice),
        })
    }

    /// The records in parts of at most `most`, or of one. Each part counts the bytes of the whole batch.
    pub fn parts(&self, most: usize) -> impl Iterator<Item = Self> + use<'a> {
        let Self { partition, bytes, entries } = *self;
        entries.chunks(most.max(1)).map(move |entries| Self { partition, bytes, entries })
    }

    /// The same records, for whoever keeps them while the reader reads on.
    #[must_use]
    pub fn copied(&self) -> BatchBuffer {
        BatchBuffer { partition: Some(self.partition.clone()), bytes: self.bytes.to_vec(), entries: self.entries.to_vec() }
    }

    /// How many records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all records.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// When the log took the last record.
    #[must_use]
    pub fn newest(&self) -> Option<AppendTime> {
        self.entries.last().and_then(|e| e.append_time)
    }

    /// Offset behind the last record.
    #[must_use]
    pub fn next_offset(&self) -> Option<Offset> {
        self.entries.last().map(|e| e.offset.next())
    }
}

/// What a reader fills and lends out as a `Batch`.
#[derive(Debug, Default)]
pub struct BatchBuffer {
    partition: Option<Partition>,
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl BatchBuffer {
    /// Forgets the records and keeps the memory.
    pub fn start(&mut self, partition: &Partition) {
        self.bytes.clear();
        self.entries.clear();
        if self.partition.as_ref() != Some(partition) {
            self.partition = Some(partition.clone());
        }
    }

    /// Starts a batch on bytes that hold its records already, without copying them; gives the memory of the one before, with what it held.
    #[must_use]
    pub fn start_on(&mut self, partition: &Partition, bytes: Vec<u8>) -> Vec<u8> {
        let before = std::mem::take(&mut self.bytes);
        self.start(partition);
        self.bytes = bytes;
        before
    }

    /// Adds a record of a value alone that lies in the batch's bytes at these places.
    pub fn push_lying(&mut self, offset: Offset, append_time: Option<AppendTime>, value: std::ops::Range<usize>) {
        let (from, to) = (value.start, value.end);
        self.entries.push(Entry { offset, append_time, key: None, headers: Range { from, to: from }, value: Some(Range { from, to }) });
    }

    /// Adds a record whose headers are already encoded.
    pub fn push(&mut self, offset: Offset, append_time: Option<AppendTime>, key: Option<&[u8]>, headers: &[u8], value: Option<&[u8]>) {
        let key = key.map(|k| self.copy(k));
        let headers = self.copy(headers);
        let value = value.map(|v| self.copy(v));
        self.entries.push(Entry { offset, append_time, key, headers, value });
    }

    /// How many records it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of the records so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The records as a batch; `None` before the first `start`.
    #[must_use]
    pub fn batch(&self) -> Option<Batch<'_>> {
        let partition = self.partition.as_ref()?;
        Some(Batch { partition, bytes: &self.bytes, entries: &self.entries })
    }

    fn copy(&mut self, bytes: &[u8]) -> Range {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        Range { from, to: self.bytes.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_gives_back_what_was_pushed() {
        let partition = Partition::new(&Topic::new("t"), 3);
        let mut headers = Vec::new();
        put_headers(&mut headers, &[("a", b"1"), ("b", b"")]);
        let mut buffer = BatchBuffer::default();
        buffer.start(&partition);
        buffer.push(Offset(4), Some(AppendTime(9)), Some(b"k"), &headers, Some(b"v"));
        buffer.push(Offset(6), None, None, &[], None);
        let batch = buffer.batch().unwrap();
        let records: Vec<_> = batch.iter().collect();
        assert_eq!(records[0].key, Some(&b"k"[..]));
        assert_eq!(records[0].headers.get("b"), Some(&b""[..]));
        assert_eq!(records[0].headers.get("c"), None);
        assert_eq!((records[1].key, records[1].value), (None, None));
        assert_eq!(batch.next_offset(), Some(Offset(7)));
    }

    #[test]
    fn headers_that_were_read_go_on_as_they_came_with_others_behind_them() {
        let list: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"")];
        let mut read = Vec::new();
        put_headers(&mut read, &list);
        for (first, more) in [(&read[..], &list[..1]), (&read[..], &[]), (&[], &list[..]), (&[], &[])] {
            let mut out = Vec::new();
            put_more_headers(&mut out, Headers::from_encoded(first), more);
            let expected: Vec<_> = Headers::from_encoded(first).iter().chain(more.iter().copied()).collect();
            assert_eq!(Headers::from_encoded(&out).iter().collect::<Vec<_>>(), expected);
        }
    }

    #[test]
    fn a_batch_comes_apart_into_its_records_in_order() {
        let mut buffer = BatchBuffer::default();
        buffer.start(&Partition::new(&Topic::new("t"), 0));
        (0..5).for_each(|n| buffer.push(Offset(2 * n), None, None, &[], Some(&[b'a' + n as u8])));
        let copy = buffer.batch().unwrap().copied();
        buffer.start(&Partition::new(&Topic::new("u"), 0));
        let parts: Vec<_> = copy.batch().unwrap().parts(2).collect();
        assert_eq!(parts.iter().map(Batch::len).collect::<Vec<_>>(), [2, 2, 1]);
        assert_eq!((parts[1].next_offset(), parts[1].partition.topic.as_str()), (Some(Offset(7)), "t"));
        assert_eq!(parts[2].iter().map(|record| record.value).collect::<Vec<_>>(), [Some(&b"e"[..])]);
    }

    #[test]
    fn records_may_lie_in_bytes_that_were_there() {
        let partition = Partition::new(&Topic::new("t"), 0);
        let mut buffer = BatchBuffer::default();
        assert_eq!(buffer.start_on(&partition, b"..one two".to_vec()), b"");
        buffer.push_lying(Offset(2), None, 2..5);
        buffer.push_lying(Offset(6), None, 6..9);
        let values: Vec<_> = buffer.batch().unwrap().iter().map(|record| record.value.unwrap()).collect();
        assert_eq!(values, [b"one", b"two"]);
        assert_eq!(buffer.start_on(&partition, vec![]), b"..one two");
        assert!(buffer.is_empty());
    }

    #[test]
    fn damaged_headers_are_absent_and_do_not_panic() {
        assert_eq!(Headers::from_encoded(&[9, 200]).iter().count(), 0);
    }
}
