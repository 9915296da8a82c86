//! What the history store keeps: the record as it was published, and for each service its newest window with a short trail of counts.

use platform_core::codec::{CodecError, Cursor, put_bytes, put_i64, put_u64};
use platform_core::time::EventTime;

/// Windows in a service's trail.
pub(super) const TRAIL: usize = 30;

/// A public record: `revision | window length | value | aggregate`, the last two behind their lengths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Higher ones replace lower ones.
    pub revision: u64,
    /// Length of the window, in ns.
    pub window_nanos: i64,
    /// The record's JSON, as published.
    pub json: Vec<u8>,
    /// The integers it was made from, encoded (`names::AGGREGATE`); empty when the record had none.
    pub aggregate: Vec<u8>,
}

impl Stored {
    /// The encoded form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json.len() + self.aggregate.len() + 16);
        put_u64(&mut out, self.revision);
        put_i64(&mut out, self.window_nanos);
        put_bytes(&mut out, &self.json);
        put_bytes(&mut out, &self.aggregate);
        out
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let StoredRef { revision, window_nanos, json, aggregate } = StoredRef::decode(bytes)?;
        Ok(Self { revision, window_nanos, json: json.to_vec(), aggregate: aggregate.to_vec() })
    }

    /// The revision alone.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn revision_of(bytes: &[u8]) -> Result<u64, CodecError> {
        Cursor::new(bytes).u64()
    }
}

/// A `Stored` where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct StoredRef<'a> {
    pub revision: u64,
    pub window_nanos: i64,
    pub json: &'a [u8],
    pub aggregate: &'a [u8],
}

impl<'a> StoredRef<'a> {
    /// Reads what `Stored::encode` wrote.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        let mut cursor = Cursor::new(bytes);
        let stored = Self { revision: cursor.u64()?, window_nanos: cursor.i64()?, json: cursor.bytes()?, aggregate: cursor.bytes()? };
        cursor.end()?;
        Ok(stored)
    }
}

/// One window in a service's trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recent {
    /// Start of the window.
    pub window_start: EventTime,
    /// Requests in it.
    pub requests: u64,
    /// Errors in it.
    pub errors: u64,
    /// Its 99th percentile of latency, ns; `None` without a duration.
    pub p99: Option<u64>,
    /// Level of its health, 0 to 3; `None` where it was unknown.
    pub level: Option<u8>,
}

/// A service's newest window: `window start | window length | revision | JSON | count | (start, requests, errors, p99 + 1 or 0,
/// level + 1 or 0)…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Latest {
    pub window_start: EventTime,
    pub window_nanos: i64,
    pub revision: u64,
    pub json: Vec<u8>,
    /// By window, oldest first; at most `TRAIL`, the newest ones.
    pub trail: Vec<Recent>,
}

impl Latest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.json.len() + self.trail.len() * 16 + 32);
        put_i64(&mut out, self.window_start.0);
        put_i64(&mut out, self.window_nanos);
        put_u64(&mut out, self.revision);
        put_bytes(&mut out, &self.json);
        put_u64(&mut out, self.trail.len() as u64);
        for recent in &self.trail {
            put_i64(&mut out, recent.window_start.0);
            put_u64(&mut out, recent.requests);
            put_u64(&mut out, recent.errors);
            put_u64(&mut out, recent.p99.map_or(0, |p99| p99.saturating_add(1)));
            out.push(recent.level.map_or(0, |level| level.saturating_add(1)));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut cursor = Cursor::new(bytes);
        let (window_start, window_nanos) = (EventTime(cursor.i64()?), cursor.i64()?);
        let (revision, json) = (cursor.u64()?, cursor.bytes()?.to_vec());
        let count = cursor.count()?;
        let trail = (0..count)
            .map(|_| {
                let (window_start, requests, errors) = (EventTime(cursor.i64()?), cursor.u64()?, cursor.u64()?);
                Ok(Recent { window_start, requests, errors, p99: cursor.u64()?.checked_sub(1), level: cursor.u8()?.checked_sub(1) })
            })
            .collect::<Result<_, CodecError>>()?;
        cursor.end()?;
        Ok(Self { window_start, window_nanos, revision, json, trail })
    }

    /// Start of the newest window, without the rest.
    pub(super) fn window_start_of(bytes: &[u8]) -> Result<EventTime, CodecError> {
        Ok(EventTime(Cursor::new(bytes).i64()?))
    }

    /// Puts the counts of a window into the trail, where a later revision replaces an earlier one.
    pub(super) fn note(&mut self, recent: Recent) {
        match self.trail.binary_search_by_key(&recent.window_start, |r| r.window_start) {
            Ok(at) => {
                if let Some(slot) = self.trail.get_mut(at) {
                    *slot = recent;
                }
            }
            Err(at) => self.trail.insert(at, recent),
        }
        if self.trail.len() > TRAIL {
            self.trail.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_damage_is_refused() {
        let stored = Stored { revision: 3, window_nanos: 60, json: b"{}".to_vec(), aggregate: vec![1, 2] };
        assert_eq!(Stored::decode(&stored.encode()), Ok(stored.clone()));
        assert!(Stored::decode(&stored.encode()[..4]).is_err());
        let recent = Recent { window_start: EventTime(-60), requests: 5, errors: 1, p99: Some(7), level: None };
        let latest = Latest { window_start: EventTime(7), window_nanos: 60, revision: 0, json: b"{}".to_vec(), trail: vec![recent] };
        assert_eq!(Latest::decode(&latest.encode()), Ok(latest.clone()));
        assert_eq!(Latest::window_start_of(&latest.encode()), Ok(EventTime(7)));
        assert!(Latest::decode(&latest.encode()[..6]).is_err());
    }

    #[test]
    fn the_trail_keeps_the_newest_windows_in_order_and_takes_corrections() {
        let mut latest = Latest { window_start: EventTime(0), window_nanos: 1, revision: 0, json: vec![], trail: vec![] };
        let at = |start, requests| Recent { window_start: EventTime(start), requests, errors: 0, p99: None, level: Some(3) };
        (0..40).rev().for_each(|start| latest.note(at(start, 1)));
        latest.note(at(20, 9));
        assert_eq!(latest.trail.len(), TRAIL);
        assert_eq!((latest.trail[0].window_start, latest.trail[29].window_start), (EventTime(10), EventTime(39)));
        assert_eq!(latest.trail[10], at(20, 9));
    }
}
