//! Cut: every partition forwards the new deployment behind its cut. What is missing is the proof.

use super::{At, Done, is_sealed_everywhere};
use crate::controller::observe::Probe;
use crate::orders::FlipKind;
use crate::settings::Checks;
use platform_core::time::nanos;

/// All partitions are cut.
#[derive(Clone, Copy, Debug)]
pub struct Cut(pub(super) ());

impl<'a> At<'a, Cut> {
    /// Goes on once the control log has the receipt.
    ///
    /// # Errors
    /// It has none.
    pub fn look(self) -> Result<At<'a, Done>, Self> {
        if self.flip.receipt.is_some() { Ok(self.then(Done(()))) } else { Err(self) }
    }

    /// Whether a receipt would show all there is to show: in each partition that publishes, a window behind the cut, and after a failure that
    /// the new deployment was read once more. An idle pipeline has no windows and reading may take long, so this does not wait for ever.
    #[must_use]
    pub fn is_provable(&self, probe: &Probe, checks: &Checks) -> bool {
        let number = self.flip.order.flip;
        let behind = |public: &crate::controller::observe::PublicSeen| {
            let newest = public.newest.map(|(window, _, _)| window);
            newest.is_none() || newest > public.cuts.get(&number).map(|cut| cut.cut)
        };
        let waited = probe.time.saturating_sub(self.flip.at) >= nanos(checks.proof);
        let publishes = probe.public.iter().any(|public| public.newest.is_some());
        let whole = self.flip.order.kind == FlipKind::Planned || is_sealed_everywhere(self.flip, probe);
        waited || (whole && publishes && probe.public.iter().all(behind))
    }
}
