//! Ordered: the control log has it, and no worker has cut.

use super::{At, Cutting};
use crate::controller::observe::Probe;

/// No worker has cut.
#[derive(Clone, Copy, Debug)]
pub struct Ordered(pub(super) ());

impl<'a> At<'a, Ordered> {
    /// Goes on once a worker has cut, or the receipt says that all have.
    ///
    /// # Errors
    /// None has.
    pub fn look(self, probe: &Probe) -> Result<At<'a, Cutting>, Self> {
        let number = self.flip.order.flip;
        let cuts = probe.public.iter().filter(|public| public.cuts.contains_key(&number)).count();
        if cuts == 0 && self.flip.receipt.is_none() {
            return Err(self);
        }
        Ok(self.then(Cutting { cuts, of: probe.public.len() }))
    }
}
