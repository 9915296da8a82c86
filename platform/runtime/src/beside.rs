//! What a keyed task keeps beside a committed position, under `MAX_METADATA` bytes:
//!
//! `replay_from: varint | cursor: varint, 0 for none, else its length + 1, then its bytes | the stage's metadata: the rest`
//!
//! Empty bytes stand for a position that was committed by hand or never: replay from that position, no cursor.

use platform_core::codec::{CodecError, Cursor, put_u64};
use platform_core::record::Offset;

/// What stands beside a committed position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// First offset that a restore from nothing must read.
    pub replay_from: Offset,
    /// How far the output of the record at the position has been emitted.
    pub cursor: Option<Vec<u8>>,
    /// The stage's own, as of the position.
    pub stage: Vec<u8>,
}

impl Beside {
    /// As bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(16 + self.cursor.as_ref().map_or(0, Vec::len) + self.stage.len());
        put_u64(&mut bytes, self.replay_from.0);
        match &self.cursor {
            None => put_u64(&mut bytes, 0),
            Some(cursor) => {
                put_u64(&mut bytes, cursor.len() as u64 + 1);
                bytes.extend_from_slice(cursor);
            }
        }
        bytes.extend_from_slice(&self.stage);
        bytes
    }

    /// Reads what was committed at `position`.
    ///
    /// # Errors
    /// When the bytes end too early.
    pub fn decode(bytes: &[u8], position: Offset) -> Result<Self, CodecError> {
        if bytes.is_empty() {
            return Ok(Self { replay_from: position, ..Self::default() });
        }
        let mut fields = Cursor::new(bytes);
        let replay_from = Offset(fields.u64()?);
        let cursor = match fields.u64()?.checked_sub(1) {
            None => None,
            Some(length) => Some(fields.take(usize::try_from(length).map_err(|_| CodecError::Truncated)?)?.to_vec()),
        };
        Ok(Self { replay_from, cursor, stage: fields.rest().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_as_documented_and_come_back() {
        let beside = Beside { replay_from: Offset(300), cursor: Some(vec![7, 8]), stage: vec![9] };
        assert_eq!(beside.encode(), [0xac, 0x02, 3, 7, 8, 9]);
        for cursor in [None, Some(vec![]), Some(vec![1; 128])] {
            let beside = Beside { cursor, ..beside.clone() };
            assert_eq!(Beside::decode(&beside.encode(), Offset(9)), Ok(beside));
        }
        assert_eq!(Beside::decode(&[], Offset(9)), Ok(Beside { replay_from: Offset(9), ..Beside::default() }));
    }

    #[test]
    fn damage_is_refused() {
        assert_eq!(Beside::decode(&[0x80], Offset(0)), Err(CodecError::Truncated));
        assert_eq!(Beside::decode(&[1, 4, 7], Offset(0)), Err(CodecError::Truncated));
    }
}
