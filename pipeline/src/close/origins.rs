//! Where a restore from nothing begins: what was first said of each window that is kept, and what had been decided by then.
//!
//! From the first message of the oldest such window on everything is applied, so all that follows from it comes out as it did. What is not
//! said again is what came before: which partitions are absent then, which watermark they have, and which windows are closed. The first two
//! are told by earlier messages, of which a restore reads the ranges only; the last is kept here, for it may rest on a partition that was away
//! and has come back behind what was closed without it.

use platform_core::codec::{CodecError, Cursor, put_i64, put_u64};
use platform_core::record::Offset;
use platform_core::time::EventTime;
use std::collections::BTreeMap;

/// What had been decided before a message was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// That message.
    pub message: Offset,
    /// First message that says what is known of the source partitions there.
    pub from: Offset,
    /// The watermark.
    pub watermark: EventTime,
    /// End of the newest closed window.
    pub closed_through: EventTime,
}

impl Origin {
    /// Appends it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.message.0);
        put_u64(out, self.from.0);
        put_i64(out, self.watermark.0);
        put_i64(out, self.closed_through.0);
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes end too early.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            message: Offset(from.u64()?),
            from: Offset(from.u64()?),
            watermark: EventTime(from.i64()?),
            closed_through: EventTime(from.i64()?),
        })
    }
}

/// The origins of the windows that are kept, by their starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(BTreeMap<i64, Origin>);

impl Origins {
    /// Something of a window was read; the first time counts.
    pub fn note(&mut self, window: EventTime, origin: Origin) {
        self.0.entry(window.0).or_insert(origin);
    }

    /// Windows before this one are not kept any more.
    pub fn forget_before(&mut self, window: EventTime) {
        self.0 = self.0.split_off(&window.0);
    }

    /// The one before all others.
    #[must_use]
    pub fn first(&self) -> Option<Origin> {
        self.0.values().min_by_key(|origin| origin.message).copied()
    }

    /// Appends all.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.0.len() as u64);
        for (window, origin) in &self.0 {
            put_i64(out, *window);
            origin.encode(out);
        }
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes end too early.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let mut all = Self::default();
        for _ in 0..from.count()? {
            let window = from.i64()?;
            all.0.insert(window, Origin::decode(from)?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_the_windows_that_are_kept_counts_and_what_is_stored_comes_back() {
        let at = |message: u64| Origin {
            message: Offset(message),
            from: Offset(message - 2),
            watermark: EventTime(-7),
            closed_through: EventTime(60),
        };
        let mut origins = Origins::default();
        assert_eq!(origins.first(), None);
        for (window, message) in [(60, 3), (120, 2), (60, 7)] {
            origins.note(EventTime(window), at(message));
        }
        assert_eq!(origins.first(), Some(at(2)));
        let mut bytes = Vec::new();
        origins.encode(&mut bytes);
        assert_eq!(Origins::decode(&mut Cursor::new(&bytes)), Ok(origins.clone()));
        assert!(Origins::decode(&mut Cursor::new(&[5, 1])).is_err());
        origins.forget_before(EventTime(121));
        assert_eq!(origins.first(), None);
    }
}
