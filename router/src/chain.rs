//! The chain of orders: each says the digest of all before it, so that nobody changes or takes out one unseen.
//!
//! The digest of an order is SHA-256 over the digest before it and its value; the first has 32 zeroes before it. Orders of programs that did
//! not write digests yet are taken as they are, as long as none with a digest came before.
//! What this does not do: it keeps nobody from rewriting all of the log.

use platform_core::record::Offset;
use sha2::{Digest, Sha256};

/// Header of an order: the digest of those that its writer saw.
pub const CHAIN_HEADER: &str = "chain";

/// The digest of all orders so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    head: [u8; 32],
    begun: bool,
    broken: Option<Offset>,
}

impl Chain {
    /// Takes the next order, and what it says of those before it.
    pub fn take(&mut self, offset: Offset, said: Option<&[u8]>, value: &[u8]) {
        let holds = said.map_or(!self.begun, |said| said == self.head);
        if !holds {
            self.broken.get_or_insert(offset);
        }
        self.begun |= said.is_some();
        self.head = Sha256::new().chain_update(self.head).chain_update(value).finalize().into();
    }

    /// Digest of all orders so far.
    #[must_use]
    pub fn head(&self) -> [u8; 32] {
        self.head
    }

    /// Offset of the first order that says another digest than those before it have.
    #[must_use]
    pub fn broken(&self) -> Option<Offset> {
        self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUES: [&str; 5] = ["a", "b", "c", "d", "e"];

    /// The log, each order with what it says of those before it.
    fn written() -> Vec<([u8; 32], &'static str)> {
        let mut chain = Chain::default();
        let write = |value: &&'static str| {
            let said = chain.head();
            chain.take(Offset(0), Some(&said), value.as_bytes());
            (said, *value)
        };
        VALUES.iter().map(write).collect()
    }

    fn broken(log: &[([u8; 32], &str)]) -> Option<u64> {
        let mut chain = Chain::default();
        (0..).zip(log).for_each(|(offset, (said, value))| chain.take(Offset(offset), Some(said), value.as_bytes()));
        chain.broken().map(|at| at.0)
    }

    #[test]
    fn an_order_that_is_changed_taken_out_or_moved_shows() {
        let log = written();
        assert_eq!(broken(&log), None);
        let mut changed = log.clone();
        changed[1].1 = "B";
        assert_eq!(broken(&changed), Some(2));
        let mut without = log.clone();
        without.remove(2);
        assert_eq!(broken(&without), Some(2));
        let mut moved = log;
        moved.swap(0, 1);
        assert_eq!(broken(&moved), Some(0));
    }

    #[test]
    fn orders_of_before_there_was_a_chain_hold_until_it_begins() {
        let mut chain = Chain::default();
        chain.take(Offset(0), None, b"old");
        let said = chain.head();
        chain.take(Offset(1), Some(&said), b"new");
        assert_eq!(chain.broken(), None);
        chain.take(Offset(2), None, b"slipped in");
        assert_eq!(chain.broken(), Some(Offset(2)));
    }
}
