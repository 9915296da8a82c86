//! Cutting: workers cut, each its own partitions, when it comes to them. Nobody waits for another.

use super::{At, Cut};

/// Some partitions are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cutting {
    /// How many.
    pub(super) cuts: usize,
    /// Of how many.
    pub(super) of: usize,
}

impl<'a> At<'a, Cutting> {
    /// Goes on once all partitions are cut, or the receipt says that they are.
    ///
    /// # Errors
    /// Some are not.
    pub fn look(self) -> Result<At<'a, Cut>, Self> {
        let all = self.state.cuts >= self.state.of && self.state.of > 0;
        if all || self.flip.receipt.is_some() { Ok(self.then(Cut(()))) } else { Err(self) }
    }
}
