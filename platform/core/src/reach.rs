//! Reach: how far back in its input a fold looks, when it forgets by time.
//!
//! A fold that remembers windows for a while is rebuilt from nothing by reading its input from the first record of the oldest window that it
//! still remembers. This keeps that offset, window by window. It does not forget by itself: the fold says when.

use crate::codec::{CodecError, Cursor, put_u64};
use crate::record::Offset;
use std::collections::BTreeMap;

/// First offsets of the windows that are remembered, by any number that rises with the window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach(BTreeMap<u64, Offset>);

impl Reach {
    /// A record of a window was read. True when it is the first one, so that there is something new to keep.
    pub fn note(&mut self, window: u64, offset: Offset) -> bool {
        let new = !self.0.contains_key(&window);
        let first = self.0.entry(window).or_insert(offset);
        *first = (*first).min(offset);
        new
    }

    /// Windows before this one are not remembered any more.
    pub fn forget_before(&mut self, window: u64) {
        self.0 = self.0.split_off(&window);
    }

    /// Where a restore from nothing must begin, when everything below `position` is applied.
    #[must_use]
    pub fn replay_from(&self, position: Offset) -> Offset {
        self.0.values().min().map_or(position, |first| (*first).min(position))
    }

    /// `count | window, offset…`, varints.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_u64(&mut out, self.0.len() as u64);
        for (window, offset) in &self.0 {
            put_u64(&mut out, *window);
            put_u64(&mut out, offset.0);
        }
        out
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let mut reach = Self::default();
        for _ in 0..from.count()? {
            let window = from.u64()?;
            reach.0.insert(window, Offset(from.u64()?));
        }
        from.end()?;
        Ok(reach)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_back_to_the_first_record_of_the_oldest_window_remembered() {
        let mut reach = Reach::default();
        assert_eq!(reach.replay_from(Offset(9)), Offset(9));
        assert!(reach.note(60, Offset(3)) && reach.note(120, Offset(2)) && !reach.note(60, Offset(7)));
        assert_eq!(reach.replay_from(Offset(9)), Offset(2));
        assert_eq!(Reach::decode(&reach.encode()), Ok(reach.clone()));
        reach.forget_before(121);
        assert_eq!(reach.replay_from(Offset(9)), Offset(9));
    }

    #[test]
    fn damage_is_refused() {
        assert!(Reach::decode(&[5, 1]).is_err() && Reach::decode(&[0, 0]).is_err());
    }
}
