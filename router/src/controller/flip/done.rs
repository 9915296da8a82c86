//! Done: the receipt stands in the control log. The old deployment stays, corrects its windows, and can be flipped back to, until it is sealed.

use super::{At, Sealed, is_sealed_everywhere};
use crate::controller::observe::Probe;
use crate::orders::{FlipKind, Flipped, Orders};
use crate::receipt;
use crate::settings::Checks;
use platform_core::time::nanos;

/// The receipt is there.
#[derive(Clone, Copy, Debug)]
pub struct Done(pub(super) ());

impl<'a> At<'a, Done> {
    /// Goes on once the new deployment answers for everything: a planned flip's old one is sealed by an order; after a failure every
    /// partition has read the new one once more.
    ///
    /// # Errors
    /// It does not.
    pub fn look(self, probe: &Probe) -> Result<At<'a, Sealed>, Self> {
        if receipt::is_over(self.flip) || is_failure(self.flip) && is_sealed_everywhere(self.flip, probe) {
            Ok(self.then(Sealed(())))
        } else {
            Err(self)
        }
    }

    /// Whether the old deployment of a planned flip has been ready for long enough: then it is sealed. What a failure leaves is given up.
    #[must_use]
    pub fn is_ripe(&self, probe: &Probe, orders: &Orders, checks: &Checks) -> bool {
        let last = orders.flips().last().is_some_and(|last| last.order.flip == self.flip.order.flip);
        last && !is_failure(self.flip) && !orders.on_hold() && probe.time.saturating_sub(self.flip.at) >= nanos(checks.seal_after)
    }
}

fn is_failure(flip: &Flipped) -> bool {
    flip.order.kind == FlipKind::Failure
}
