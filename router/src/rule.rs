//! The growth rule (GUARANTEES §3.7): public revisions of an identity are 0, 1, 2 …, and no total ever shrinks.
//!
//! Not yet published → revision 0. Published → the next number, only if the first total (events) grew and no total shrank, or if all are
//! equal and the window became complete. Anything else is the same, stale, or a conflict, and publishes nothing. So a replay is a no-op,
//! and results that arrive in another order converge on the whole one. Facts in, decision out.

use platform_core::codec::{CodecError, Cursor, put_u64};
use platform_core::growth::Growth;
use platform_core::invariants::totals_grow;

/// What was published under an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its newest revision.
    pub revision: u64,
    /// Whether that was complete.
    pub complete: bool,
    /// Its totals; none: it is not known what they were, and nothing is published over it.
    pub totals: Vec<u64>,
    /// Epoch of the deployment that it is of.
    pub by: u32,
}

/// What becomes of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is published under this number.
    Publish(u64),
    /// It says what was said.
    Same,
    /// It says less than what was said.
    Stale,
    /// It says more of one thing and less of another. Two results of one deployment cannot both be right then. Two deployments may have read
    /// late events in another order: each will have read the others' too, and the one that answers says so then.
    Conflict,
}

/// Whether a result is published, and under which number.
#[must_use]
pub fn decide(published: Option<&Published>, offered: &Growth) -> Decision {
    let Some(before) = published else { return Decision::Publish(0) };
    if before.totals.is_empty() {
        return Decision::Stale;
    }
    let grows = totals_grow(&before.totals, &offered.totals);
    let shrinks = totals_grow(&offered.totals, &before.totals);
    match (grows, shrinks) {
        (true, true) if offered.complete && !before.complete => Decision::Publish(before.revision + 1),
        (true, true) => Decision::Same,
        (true, false) if offered.totals.first() > before.totals.first() => Decision::Publish(before.revision + 1),
        (false, true) => Decision::Stale,
        _ => Decision::Conflict,
    }
}

impl Published {
    /// What stands published once `offered`, of the deployment of epoch `by`, is out under `revision`.
    #[must_use]
    pub fn of(revision: u64, offered: Growth, by: u32) -> Self {
        Self { revision, complete: offered.complete, totals: offered.totals, by }
    }

    /// `revision | complete u8 | totals: count, numbers… | by`, varints.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        put_u64(&mut out, self.revision);
        out.push(u8::from(self.complete));
        put_u64(&mut out, self.totals.len() as u64);
        self.totals.iter().for_each(|t| put_u64(&mut out, *t));
        put_u64(&mut out, u64::from(self.by));
        out
    }

    /// Reads what `encode` wrote.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut from = Cursor::new(bytes);
        let revision = from.u64()?;
        let complete = from.u8()? == 1;
        let totals = (0..from.count()?).map(|_| from.u64()).collect::<Result<_, _>>()?;
        let by = from.u64()?;
        from.end()?;
        let by = u32::try_from(by).map_err(|_| CodecError::Unknown { what: "epoch", value: by })?;
        Ok(Self { revision, complete, totals, by })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn growth(totals: &[u64], complete: bool) -> Growth {
        Growth { revision_at: 0, complete, totals: totals.to_vec() }
    }

    fn published(totals: &[u64], complete: bool) -> Published {
        Published { revision: 4, complete, totals: totals.to_vec(), by: 1 }
    }

    #[test]
    fn i17_only_growth_or_completion_is_published() {
        let before = published(&[5, 2], false);
        assert_eq!(decide(None, &growth(&[0, 0], true)), Decision::Publish(0));
        assert_eq!(decide(Some(&before), &growth(&[6, 2], false)), Decision::Publish(5));
        assert_eq!(decide(Some(&before), &growth(&[5, 2], true)), Decision::Publish(5));
        assert_eq!(decide(Some(&before), &growth(&[5, 2], false)), Decision::Same);
        assert_eq!(decide(Some(&published(&[5, 2], true)), &growth(&[5, 2], false)), Decision::Same);
        assert_eq!(decide(Some(&before), &growth(&[4, 2], true)), Decision::Stale);
        assert_eq!(decide(Some(&before), &growth(&[6, 1], true)), Decision::Conflict);
        assert_eq!(decide(Some(&before), &growth(&[5, 3], true)), Decision::Conflict, "something grew without an event");
    }

    proptest! {
        /// I17: whatever is offered in whatever order and however often, revisions are 0, 1, 2 … and the totals end at the whole.
        #[test]
        fn i17_offers_in_any_order_converge_and_a_second_time_publish_nothing(sizes in proptest::collection::vec(1_u64..5, 1..8), order in any::<u64>()) {
            // A history of growing totals, as one colour would emit it; offered twice, in some order.
            let history: Vec<Growth> = sizes.iter().scan([0, 0], |sum, s| { sum[0] += s; sum[1] += s / 2; Some(growth(&sum[..], true)) }).collect();
            let mut offers: Vec<&Growth> = history.iter().chain(&history).collect();
            let rotate = usize::try_from(order).unwrap_or(0) % offers.len();
            offers.rotate_left(rotate);
            let (mut last, mut next) = (None::<Published>, 0);
            for offer in offers {
                if let Decision::Publish(revision) = decide(last.as_ref(), offer) {
                    prop_assert_eq!(revision, next);
                    next += 1;
                    prop_assert!(last.is_none_or(|l| totals_grow(&l.totals, &offer.totals)));
                    last = Some(Published::of(revision, offer.clone(), 1));
                }
            }
            prop_assert_eq!(&last.as_ref().unwrap().totals, &history.last().unwrap().totals);
            prop_assert!(history.iter().all(|offer| !matches!(decide(last.as_ref(), offer), Decision::Publish(_))));
        }

        #[test]
        fn what_is_stored_comes_back(revision: u64, complete: bool, totals in proptest::collection::vec(any::<u64>(), 0..20), by: u32) {
            let published = Published { revision, complete, totals, by };
            prop_assert_eq!(Published::decode(&published.encode()), Ok(published));
        }
    }
}
