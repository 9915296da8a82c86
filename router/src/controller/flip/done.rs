//! Done: the receipt stands in the control log. The old deployment stays, corrects its windows, and can be flipped back to, until it is sealed.

use super::{At, Sealed};
use crate::controller::observe::Probe;
use crate::orders::{FlipKind, Orders};
use crate::settings::Checks;
use platform_core::time::nanos;

/// The receipt is there.
#[derive(Clone, Copy, Debug)]
pub struct Done;

impl<'a> At<'a, Done> {
    /// Goes on once the old deployment is sealed.
    ///
    /// # Errors
    /// It is not.
    pub fn look(self) -> Result<At<'a, Sealed>, Self> {
        // What a failure flip leaves is abandoned, and has nothing to be sealed.
        if self.flip.sealed || self.flip.order.kind == FlipKind::Failure { Ok(self.then(Sealed)) } else { Err(self) }
    }

    /// Whether the old deployment has been ready for long enough: then it is sealed.
    #[must_use]
    pub fn is_ripe(&self, probe: &Probe, orders: &Orders, checks: &Checks) -> bool {
        let last = orders.flips().last().is_some_and(|last| last.order.flip == self.flip.order.flip);
        last && !orders.on_hold() && probe.time.saturating_sub(self.flip.at) >= nanos(checks.seal_after)
    }
}
