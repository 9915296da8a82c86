//! Outputs of one transaction of a keyed task, kept as bytes so that a refused transaction is sent again identically.
//!
//! One buffer for all partitions of the task, reused from transaction to transaction.

use platform_core::log::CommitError;
use platform_core::record::{Headers, NewRecord, Partition, put_more_headers};
use platform_core::stage::Emit;

#[derive(Debug, Default)]
pub(crate) struct Outputs {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    size: usize,
}

/// Lengths of the parts, which lie one behind the other.
#[derive(Debug)]
struct Entry {
    to: Partition,
    key: Option<usize>,
    headers: usize,
    value: Option<usize>,
}

impl Outputs {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
        self.size = 0;
    }

    /// Writes all records, in order; as often as asked.
    pub(crate) fn send(&self, out: &mut dyn Emit) -> Result<(), CommitError> {
        let mut rest = self.bytes.as_slice();
        let mut take = |length: usize| {
            let (taken, behind) = rest.split_at_checked(length).unwrap_or_default();
            rest = behind;
            taken
        };
        let mut headers: Vec<(&str, &[u8])> = Vec::new();
        for entry in &self.entries {
            let key = entry.key.map(&mut take);
            headers.clear();
            headers.extend(Headers::from_encoded(take(entry.headers)).iter());
            let value = entry.value.map(&mut take);
            out.append(&entry.to, NewRecord { key, headers: &headers, value })?;
        }
        Ok(())
    }
}

impl Emit for Outputs {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.pass_on(to, Headers::default(), record)
    }

    fn pass_on(&mut self, to: &Partition, headers: Headers<'_>, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.bytes.extend_from_slice(record.key.unwrap_or_default());
        let before = self.bytes.len();
        put_more_headers(&mut self.bytes, headers, record.headers);
        let headers = self.bytes.len() - before;
        self.bytes.extend_from_slice(record.value.unwrap_or_default());
        let (key, value) = (record.key.map(<[u8]>::len), record.value.map(<[u8]>::len));
        self.size += headers + key.unwrap_or(0) + value.unwrap_or(0);
        self.entries.push(Entry { to: to.clone(), key, headers, value });
        Ok(())
    }

    fn size(&self) -> usize {
        self.size
    }
}

/// Takes what is emitted and keeps nothing.
pub(crate) struct Discard;

impl Emit for Discard {
    fn append(&mut self, _: &Partition, _: NewRecord<'_>) -> Result<(), CommitError> {
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}
