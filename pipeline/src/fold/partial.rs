//! Partials: what FOLD sends to the owner of each series, one message per transaction and partition (in chunks when large).
//!
//! Form 3: `form u8 | flags u8 | epoch | chunk | control position | ranges: count, (source × 2 + idle, from, to, watermark)… |
//! windows: count, start…`, then entries to the end: `window × 4 + kind | key | [id, kind 1] | aggregate` (kind 3: `resource::Resources`).
//! Integers are varints. Form 2, which is still read, has three kinds, and `window × 3 + kind`. The ranges make loss visible: CLOSE checks
//! that those of a source follow each other without a gap. Every partition gets a message, if only for the ranges.

use platform_core::codec::{CodecError, Cursor, put_bytes, put_i64, put_u64, put_u128};
use platform_core::record::Offset;
use platform_core::time::EventTime;

const FORM: u8 = 3;
/// Before there were gauges.
const FORM_2: u8 = 2;
const LAST: u8 = 1;
const ENDED: u8 = 2;

/// Above this many bytes a message is cut.
pub const CHUNK: usize = 1 << 20;

/// Which records of a source partition a transaction covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The source partition, by its place among those of all sources (`fold::place`).
    pub source: u32,
    /// First offset covered.
    pub from: Offset,
    /// First offset not covered.
    pub to: Offset,
    /// Whether the partition was found to be read to its end without a record. A range that is empty and not idle says nothing new: it is
    /// what a FOLD states of a partition that it cannot read, or has just taken over.
    pub idle: bool,
    /// The partition's watermark at `to`.
    pub watermark: EventTime,
}

/// What stands in front of the entries of every chunk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Deployment counter of the colour.
    pub epoch: u32,
    /// Place of this chunk in its message, from 0.
    pub chunk: u32,
    /// Whether it is the message's last one.
    pub last: bool,
    /// The input is bounded and has ended: every window closes behind this message.
    pub ended: bool,
    /// How far the control log was read.
    pub control: Offset,
    /// Read ranges.
    pub ranges: Vec<Range>,
    /// Starts of the windows that the entries name by place.
    pub windows: Vec<EventTime>,
    /// Kinds of entry that its form knows.
    pub kinds: Kinds,
}

/// How many kinds of entry a form knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u64);

impl Default for Kinds {
    fn default() -> Self {
        Self(4)
    }
}

impl Head {
    /// Appends the head.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORM);
        out.push(if self.last { LAST } else { 0 } | if self.ended { ENDED } else { 0 });
        put_u64(out, u64::from(self.epoch));
        put_u64(out, u64::from(self.chunk));
        put_u64(out, self.control.0);
        put_u64(out, self.ranges.len() as u64);
        for range in &self.ranges {
            put_u64(out, u64::from(range.source) * 2 + u64::from(range.idle));
            put_u64(out, range.from.0);
            put_u64(out, range.to.0);
            put_i64(out, range.watermark.0);
        }
        put_u64(out, self.windows.len() as u64);
        for start in &self.windows {
            put_i64(out, start.0);
        }
    }

    /// Reads a head; the entries follow in `from`.
    ///
    /// # Errors
    /// When the bytes are damaged or of a later form.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let form = from.u8()?;
        if form != FORM && form != FORM_2 {
            return Err(CodecError::Unknown { what: "partial form", value: u64::from(form) });
        }
        let flags = from.u8()?;
        let mut head = Self {
            last: flags & LAST != 0,
            ended: flags & ENDED != 0,
            epoch: narrow(from.u64()?)?,
            chunk: narrow(from.u64()?)?,
            kinds: if form == FORM_2 { Kinds(3) } else { Kinds::default() },
            ..Self::default()
        };
        head.control = Offset(from.u64()?);
        for _ in 0..from.count()? {
            let source = from.u64()?;
            let (idle, source) = (source % 2 == 1, narrow(source / 2)?);
            let (start, to) = (Offset(from.u64()?), Offset(from.u64()?));
            head.ranges.push(Range { source, from: start, to, idle, watermark: EventTime(from.i64()?) });
        }
        for _ in 0..from.count()? {
            head.windows.push(EventTime(from.i64()?));
        }
        Ok(head)
    }
}

/// What an entry counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// Part of its window's aggregate.
    Folded,
    /// One event that counts once per id in its window.
    Unique(u128),
    /// A line of the late ledger; the window is one of append time, the key ends behind the service.
    Late,
    /// Samples of resources instead of an aggregate; the key ends behind the service.
    Gauges,
}

/// Appends the front of an entry; its aggregate, or its samples, follow.
pub fn put_entry(window: usize, kind: EntryKind, key: &[u8], out: &mut Vec<u8>) {
    let code = match kind {
        EntryKind::Folded => 0,
        EntryKind::Unique(_) => 1,
        EntryKind::Late => 2,
        EntryKind::Gauges => 3,
    };
    put_u64(out, window as u64 * Kinds::default().0 + code);
    put_bytes(out, key);
    if let EntryKind::Unique(id) = kind {
        put_u128(out, id);
    }
}

/// Reads the front of an entry: its window's start, what it counts as, and its key. The aggregate follows in `from`.
///
/// # Errors
/// When the bytes are damaged, or name a window that the head does not.
pub fn entry<'a>(head: &Head, from: &mut Cursor<'a>) -> Result<(EventTime, EntryKind, &'a [u8]), CodecError> {
    let code = from.u64()?;
    let Kinds(kinds) = head.kinds;
    let unknown = CodecError::Unknown { what: "window of an entry", value: code / kinds };
    let window = usize::try_from(code / kinds).ok().and_then(|place| head.windows.get(place)).copied().ok_or(unknown)?;
    let key = from.bytes()?;
    let kind = match code % kinds {
        0 => EntryKind::Folded,
        1 => EntryKind::Unique(from.u128()?),
        2 => EntryKind::Late,
        _ => EntryKind::Gauges,
    };
    Ok((window, kind, key))
}

fn narrow(value: u64) -> Result<u32, CodecError> {
    u32::try_from(value).map_err(|_| CodecError::Overlong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_and_damage_is_refused() {
        let range = Range { source: 3, from: Offset(7), to: Offset(9), idle: true, watermark: EventTime(-4) };
        let head = Head {
            epoch: 2,
            chunk: 1,
            last: true,
            ended: false,
            control: Offset(5),
            ranges: vec![range],
            windows: vec![EventTime(60)],
            ..Head::default()
        };
        let mut bytes = Vec::new();
        head.encode(&mut bytes);
        put_entry(0, EntryKind::Unique(u128::MAX), b"key", &mut bytes);
        let mut cursor = Cursor::new(&bytes);
        assert_eq!(Head::decode(&mut cursor).unwrap(), head);
        assert_eq!(entry(&head, &mut cursor).unwrap(), (EventTime(60), EntryKind::Unique(u128::MAX), &b"key"[..]));
        assert!(cursor.is_empty());
        for cut in 0..bytes.len() {
            let mut cursor = Cursor::new(&bytes[..cut]);
            assert!(Head::decode(&mut cursor).and_then(|h| entry(&h, &mut cursor).map(|_| ())).is_err(), "cut at {cut}");
        }
    }

    /// Stored samples: these forms must be read for as long as logs may hold them.
    #[test]
    fn forms_2_and_3_are_still_read() {
        for (form, late) in [(2, 2), (3, 2)] {
            let sample = [form, 1, 1, 0, 0, 1, 0, 4, 6, 20, 2, 120, 240, 1, late + 1 + form, 1, b'k'];
            let mut from = Cursor::new(&sample);
            let head = Head::decode(&mut from).unwrap();
            assert_eq!(head.ranges, [Range { source: 0, from: Offset(4), to: Offset(6), idle: false, watermark: EventTime(10) }]);
            assert_eq!(head.windows, [EventTime(60), EventTime(120)]);
            assert_eq!(entry(&head, &mut from).unwrap(), (EventTime(120), EntryKind::Late, &b"k"[..]), "form {form}");
        }
    }
}
