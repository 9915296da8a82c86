//! Records as scripts write them: `value`, `key=value`, `value{name:value,name:value}`.
//!
//! A value is text, `-` for none at all, `''` for an empty one, `x*300` for three hundred `x`, or `1..9` for nine records.

use platform_core::record::{NewRecord, Record};
use std::fmt;

/// A record without its place and time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) key: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) value: Option<Vec<u8>>,
}

impl Told {
    pub(super) fn of(record: &Record<'_>) -> Self {
        Self {
            key: record.key.map(Into::into),
            headers: record.headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
            value: record.value.map(Into::into),
        }
    }

    /// Calls with the record as a log takes it.
    pub(super) fn lend<T>(&self, take: impl FnOnce(NewRecord<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        take(NewRecord { key: self.key.as_deref(), headers: &headers, value: self.value.as_deref() })
    }
}

/// Bytes, short.
impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |bytes: &[u8]| match bytes {
            [] => "''".to_owned(),
            [first, ..] if bytes.len() > 40 => format!("{}*{}", char::from(*first), bytes.len()),
            _ => String::from_utf8_lossy(bytes).into_owned(),
        };
        if let Some(key) = &self.key {
            write!(f, "{}=", short(key))?;
        }
        f.write_str(&self.value.as_deref().map_or_else(|| "-".to_owned(), short))?;
        let headers: Vec<String> = self.headers.iter().map(|(name, value)| format!("{name}:{}", short(value))).collect();
        if headers.is_empty() { Ok(()) } else { write!(f, "{{{}}}", headers.join(",")) }
    }
}

/// A value as it is written in a script.
pub(super) fn bytes(word: &str) -> Option<Vec<u8>> {
    match word.split_once('*') {
        _ if word == "-" => None,
        _ if word == "''" => Some(Vec::new()),
        Some((unit, count)) => Some(unit.as_bytes().repeat(count.parse().unwrap_or(0))),
        None => Some(word.as_bytes().to_vec()),
    }
}

/// The records of some words.
pub(super) fn records(words: &[&str]) -> Vec<Told> {
    let mut all = Vec::new();
    for word in words {
        if let Some((from, to)) = word.split_once("..")
            && let (Ok(from), Ok(to)) = (from.parse::<u64>(), to.parse::<u64>())
        {
            all.extend((from..=to).map(|n| Told { value: Some(n.to_string().into_bytes()), ..Told::default() }));
            continue;
        }
        let (word, headers) = word.strip_suffix('}').and_then(|w| w.split_once('{')).unwrap_or((word, ""));
        let header = |one: &str| one.split_once(':').map(|(name, value)| (name.to_owned(), bytes(value).unwrap_or_default()));
        let (key, value) = word.split_once('=').map_or((None, word), |(key, value)| (bytes(key), value));
        all.push(Told { key, headers: headers.split(',').filter_map(header).collect(), value: bytes(value) });
    }
    all
}
