//! Growth: what a router must know of a result to number its revisions, without reading the result.
//!
//! A stage that produces results puts this header beside each; the router decides by it and splices the number into the value.
//! Form: `where the revision stands in the value | complete u8 | totals: count, numbers…`, varints. Under one identity totals only grow.

use crate::codec::{CodecError, Cursor, put_u64};
use serde::{Deserialize, Serialize};

/// Header: identity of a result; any bytes that sort by window first.
pub const IDENTITY_HEADER: &str = "identity";
/// Header of a progress record: the end of the newest window of which no result can come any more, in eight bytes that sort, as identities
/// begin. Whoever remembers results, to number their revisions or to count what they add, needs those behind it only.
pub const FORGOTTEN_HEADER: &str = "forgotten";
/// Header: the growth of a result.
pub const GROWTH_HEADER: &str = "growth";
/// Header: the number of a revision, decimal; set by the router.
pub const REVISION_HEADER: &str = "revision";

/// Header of a progress record: what its window's results sum up to (`Sums`).
pub const SUMS_HEADER: &str = "sums";
/// Header of everything a deployment writes: its colour.
pub const COLOUR_HEADER: &str = "colour";
/// Header of everything a deployment writes: its epoch, decimal.
pub const EPOCH_HEADER: &str = "epoch";
/// Header of a result: sum of the coordinate hashes of its events, 16 hex digits.
pub const HASH_HEADER: &str = "hash";

/// What the first revisions of a window sum up to, in one partition: one lost and one doubled event cancel in a count, not in a sum of hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Results.
    pub finals: u64,
    /// First totals of them, added up.
    pub events: u64,
    /// Their hashes, added up modulo 2⁶⁴.
    pub hash: u64,
}

impl Sums {
    /// One result more.
    pub fn add(&mut self, events: u64, hash: u64) {
        self.finals += 1;
        self.events = self.events.wrapping_add(events);
        self.hash = self.hash.wrapping_add(hash);
    }

    /// `finals | events | hash`, 8 bytes each, big-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; 24] {
        let mut out = [0; 24];
        for (to, number) in out.chunks_exact_mut(8).zip([self.finals, self.events, self.hash]) {
            to.copy_from_slice(&number.to_be_bytes());
        }
        out
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When it has another length.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let (chunks, rest) = bytes.as_chunks::<8>();
        match (chunks, rest) {
            ([finals, events, hash], []) => {
                let [finals, events, hash] = [finals, events, hash].map(|number| u64::from_be_bytes(*number));
                Ok(Self { finals, events, hash })
            }
            _ => Err(CodecError::Truncated),
        }
    }
}

/// What a router decides by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Growth {
    /// Byte position of the single digit `0` that stands for the revision in the value.
    pub revision_at: usize,
    /// Whether all of the window's input was seen.
    pub complete: bool,
    /// Counts that only grow; the number of events comes first.
    pub totals: Vec<u64>,
}

impl Growth {
    /// Appends the header's value.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.revision_at as u64);
        out.push(u8::from(self.complete));
        put_u64(out, self.totals.len() as u64);
        self.totals.iter().for_each(|t| put_u64(out, *t));
    }

    /// Reads the header's value.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let revision_at = usize::try_from(from.u64()?).map_err(|_| CodecError::Overlong)?;
        let complete = from.u8()? == 1;
        let totals = (0..from.count()?).map(|_| from.u64()).collect::<Result<_, _>>()?;
        from.end()?;
        Ok(Self { revision_at, complete, totals })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_growth_comes_back_and_damage_is_refused() {
        let growth = Growth { revision_at: 300, complete: true, totals: vec![5, 0, u64::MAX] };
        let mut bytes = Vec::new();
        growth.encode(&mut bytes);
        assert_eq!(Growth::decode(&bytes), Ok(growth));
        assert!((0..bytes.len()).all(|cut| Growth::decode(&bytes[..cut]).is_err()));
    }
}
