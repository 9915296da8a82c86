//! Series: from the raw texts of an event to one small number, decided once per distinct set of texts.
//!
//! The canonical key of a series is `tenant 0 namespace 0 service 0 dimension 0 …` (texts, each ended by a zero byte): it sorts as identities
//! do. Canonical means: NFC, no zero byte, at most 256 bytes, not starting with `__` (SIGNALS §1, §5). A longer text is its first 239 bytes,
//! cut at a character, `~`, and 16 hex digits of xxh64 of the whole, so two long texts are never merged silently. A service's name is not
//! mended: a bad one is a dead letter.

use crate::event::{Event, MAX_NAME};
use crate::grouping::Groupings;
use crate::identity::put_key;
use platform_core::map::{Table, hash_bytes, hash_texts};
use platform_core::partitioner::partition_of;
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// What stands in for values above a cap.
pub const OVERFLOW: &str = "__overflow__";

/// Number of a series within one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SeriesId(pub u32);

/// A service's name is too long, or holds control or bidi characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadService;

/// Interned series of one task. Grows with distinct texts; its owner clears it when it has grown too large.
#[derive(Debug, Default)]
pub struct SeriesTable {
    /// By the texts as they came.
    raw: Table<Known>,
    /// The texts of `raw`, each behind its length: they may hold any byte.
    texts: Vec<u8>,
    /// The canonical keys, numbered from 0.
    canonical: Interned,
    /// By number.
    partitions: Vec<u32>,
}

/// What texts were resolved to: a series, or that the service is bad.
#[derive(Debug)]
struct Known {
    hash: u64,
    /// Where in `texts` they lie.
    from: usize,
    to: usize,
    series: Result<SeriesId, BadService>,
}

/// Byte strings in one arena, numbered from 0.
#[derive(Debug, Default)]
struct Interned {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    table: Table<u32>,
}

impl Interned {
    fn get(&self, number: u32) -> &[u8] {
        let at = number as usize;
        let from = if at == 0 { 0 } else { self.ends.get(at - 1).copied().unwrap_or_default() };
        self.ends.get(at).and_then(|to| self.bytes.get(from..*to)).unwrap_or_default()
    }

    /// The number of these bytes, and whether they are new.
    fn intern(&mut self, bytes: &[u8]) -> (u32, bool) {
        let hash = hash_bytes(bytes);
        if let Some(found) = self.table.find(hash, |n| self.get(*n) == bytes) {
            return (*found, false);
        }
        let number = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
        let Self { bytes, ends, table } = self;
        table.insert_unique(hash, number, |n| {
            let at = *n as usize;
            let from = if at == 0 { 0 } else { ends.get(at - 1).copied().unwrap_or_default() };
            hash_bytes(ends.get(at).and_then(|to| bytes.get(from..*to)).unwrap_or_default())
        });
        (number, true)
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.table.clear();
    }
}

impl SeriesTable {
    /// The series of an event.
    ///
    /// # Errors
    /// When the service's name is none.
    pub fn of_event(&mut self, tenant: &str, event: &Event<'_>, groupings: &Groupings, partitions: u32) -> Result<SeriesId, BadService> {
        let texts = || [tenant, event.namespace, event.service].into_iter().chain(groupings.values(event));
        let hash = hash_texts(texts());
        let are_these = |known: &Known| known.hash == hash && self.texts.get(known.from..known.to).is_some_and(|held| are(held, texts()));
        if let Some(known) = self.raw.find(hash, are_these) {
            return known.series;
        }
        let series = self.resolve(tenant, event, groupings, partitions);
        let from = self.texts.len();
        texts().for_each(|text| put_raw(text, &mut self.texts));
        self.raw.insert_unique(hash, Known { hash, from, to: self.texts.len(), series }, |known| known.hash);
        series
    }

    /// The head of the canonical keys of a service, and the partition that owns it. Nothing is interned.
    ///
    /// # Errors
    /// When the service's name is none.
    pub fn of_service(tenant: &str, namespace: &str, service: &str, partitions: u32) -> Result<(Vec<u8>, u32), BadService> {
        let mut service = canonical_service(service)?;
        if service.starts_with("__") {
            service.insert(0, 'x');
        }
        let (mut key, mut owner) = (Vec::new(), Vec::new());
        for text in [tenant, &canonical(namespace), &service] {
            put_text(text, &mut key);
        }
        put_key(tenant, &service, &mut owner);
        Ok((key, partition_of(&owner, partitions)))
    }

    fn resolve(&mut self, tenant: &str, event: &Event<'_>, groupings: &Groupings, partitions: u32) -> Result<SeriesId, BadService> {
        let (mut key, partition) = Self::of_service(tenant, event.namespace, event.service, partitions)?;
        for value in groupings.values(event) {
            put_text(&canonical(value), &mut key);
        }
        let (number, new) = self.canonical.intern(&key);
        if new {
            self.partitions.push(partition);
        }
        Ok(SeriesId(number))
    }

    /// The canonical key of a series.
    #[must_use]
    pub fn key(&self, series: SeriesId) -> &[u8] {
        self.canonical.get(series.0)
    }

    /// The partition that owns a series.
    #[must_use]
    pub fn partition(&self, series: SeriesId) -> u32 {
        self.partitions.get(series.0 as usize).copied().unwrap_or_default()
    }

    /// How many series there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.canonical.ends.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.canonical.ends.is_empty()
    }

    /// Bytes held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.texts.len() + self.canonical.bytes.len() + size_of::<Known>() * self.raw.len() + 24 * self.canonical.ends.len()
    }

    /// Forgets all series; numbers given before mean nothing any more.
    pub fn clear(&mut self) {
        self.raw.clear();
        self.texts.clear();
        self.canonical.clear();
        self.partitions.clear();
    }
}

/// The parts of a canonical key: tenant, namespace, service, and the values of the dimensions. Owned by the key's bytes.
pub fn parts(key: &[u8]) -> impl Iterator<Item = &str> {
    key.strip_suffix(&[0]).unwrap_or(key).split(|b| *b == 0).map(|text| std::str::from_utf8(text).unwrap_or_default())
}

/// Length of the head of a canonical key that names the service: `tenant 0 namespace 0 service 0`.
#[must_use]
pub fn service_length(key: &[u8]) -> usize {
    memchr::memchr_iter(0, key).nth(2).map_or(key.len(), |at| at + 1)
}

/// Raw texts may hold zero bytes, so each goes behind its length.
pub(crate) fn put_raw(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Whether `held` is what `put_raw` wrote for these texts.
#[inline]
pub(crate) fn are<'a>(mut held: &[u8], texts: impl Iterator<Item = &'a str>) -> bool {
    for text in texts {
        let Some((length, rest)) = held.split_first_chunk() else { return false };
        match rest.split_at_checked(u32::from_le_bytes(*length) as usize) {
            Some((bytes, rest)) if same(bytes, text.as_bytes()) => held = rest,
            _ => return false,
        }
    }
    held.is_empty()
}

/// Equality of short texts: a few words decide, without a call to compare memory.
#[inline]
fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(end), Some(other)) => end == other && a.as_chunks::<8>().0 == b.as_chunks::<8>().0,
        _ => a.iter().zip(b).all(|(a, b)| a == b),
    }
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(text.as_bytes());
    out.push(0);
}

fn canonical_service(name: &str) -> Result<String, BadService> {
    let normal: String = if is_nfc(name) { name.to_owned() } else { name.nfc().collect() };
    let fits = (1..=MAX_NAME).contains(&normal.len()) && !normal.chars().any(is_control_or_bidi);
    if fits { Ok(normal) } else { Err(BadService) }
}

fn is_control_or_bidi(c: char) -> bool {
    c.is_control() || matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The canonical form of a value (see the header of this file).
#[must_use]
pub fn canonical(value: &str) -> String {
    let mut normal: String = if is_nfc(value) { value.to_owned() } else { value.nfc().collect() };
    if normal.starts_with("__") {
        normal.insert(0, 'x');
    }
    let has_zero = normal.contains('\0');
    if normal.len() <= MAX_NAME && !has_zero {
        return normal;
    }
    let hash = xxhash_rust::xxh64::xxh64(value.as_bytes(), 0);
    let mut cut: String = normal.replace('\0', "\u{2400}");
    let end = (0..=239.min(cut.len())).rev().find(|at| cut.is_char_boundary(*at)).unwrap_or_default();
    cut.truncate(end);
    cut.push_str(&format!("~{hash:016x}"));
    cut
}

#[cfg(test)]
mod tests;
