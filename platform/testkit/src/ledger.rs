//! The ledger checker: takes what was published, in order, and a plain recomputation, and says where they differ.
//!
//! Generic over the identity, which is text such as `service=a window=b`; it appears in the answer as it is. Integers only, and a sum of
//! hashes beside them: one lost and one doubled item cancel in a count, not in a sum of hashes. Reads no log and decides nothing else.
//!
//! The promises have the numbers that they have everywhere: I2 one final, I3 value, I17 growing.

use platform_core::invariants;
use std::collections::BTreeMap;
use std::fmt;

/// What is known of one identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// 0 for the first result, then 1, 2, …; not compared by value, since how many corrections there are depends on timing.
    pub revision: u64,
    /// Totals, in an order of the caller's.
    pub totals: Vec<u64>,
    /// Sum of the hashes of all items counted.
    pub hash: u64,
}

/// One thing that is not as promised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number and name of the promise, as `I3 value`.
    pub promise: &'static str,
    /// Of what.
    pub identity: String,
    /// As recomputed, or as it must follow from what came before.
    pub expected: String,
    /// As published.
    pub got: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { promise, identity, expected, got } = self;
        write!(f, "{promise} {identity} expected={expected} got={got}")
    }
}

const ONE_FINAL: &str = "I2 one final";
const VALUE: &str = "I3 value";
const GROWING: &str = "I17 growing";

/// What was published, as far as it was read.
#[derive(Clone, Debug, Default)]
pub struct Published {
    latest: BTreeMap<String, Entry>,
    differences: Vec<Difference>,
    read: u64,
}

impl Published {
    /// The next published result of an identity, in the order of its log.
    pub fn read(&mut self, identity: &str, entry: Entry) {
        self.read += 1;
        let mut differ = |promise, expected: String, got: &Entry| {
            self.differences.push(Difference { promise, identity: identity.to_owned(), expected, got: show(got) });
        };
        match self.latest.get(identity) {
            None if entry.revision != 0 => differ(ONE_FINAL, "revision 0 first".into(), &entry),
            Some(_) if entry.revision == 0 => differ(ONE_FINAL, "no second revision 0".into(), &entry),
            Some(before) if entry.revision != before.revision + 1 => differ(GROWING, format!("revision {}", before.revision + 1), &entry),
            Some(before) if !invariants::totals_grow(&before.totals, &entry.totals) => {
                differ(GROWING, format!("at least {}", show(before)), &entry)
            }
            _ => {}
        }
        self.latest.insert(identity.to_owned(), entry);
    }

    /// Compares the latest results with `expected`.
    #[must_use]
    pub fn check(self, expected: &BTreeMap<String, Entry>) -> Verdict {
        let mut differences = self.differences;
        let mut differ = |identity: &str, expected: Option<&Entry>, got: Option<&Entry>| {
            let text = |e: Option<&Entry>| e.map_or_else(|| "nothing".to_owned(), show);
            differences.push(Difference { promise: VALUE, identity: identity.to_owned(), expected: text(expected), got: text(got) });
        };
        for (identity, wanted) in expected {
            let got = self.latest.get(identity);
            if got.is_none_or(|got| (&got.totals, got.hash) != (&wanted.totals, wanted.hash)) {
                differ(identity, Some(wanted), got);
            }
        }
        for (identity, got) in self.latest.iter().filter(|(identity, _)| !expected.contains_key(*identity)) {
            differ(identity, None, Some(got));
        }
        Verdict { expected: expected.len() as u64, read: self.read, differences }
    }
}

/// The outcome of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Identities recomputed.
    pub expected: u64,
    /// Results read.
    pub read: u64,
    /// What is wrong; empty when everything is as promised.
    pub differences: Vec<Difference>,
}

impl Verdict {
    /// Whether everything is as promised.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.differences.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for promise in [ONE_FINAL, VALUE, GROWING] {
            let count = self.differences.iter().filter(|d| d.promise == promise).count();
            writeln!(f, "{promise}: {count} differences in {} identities, {} results", self.expected, self.read)?;
        }
        self.differences.iter().try_for_each(|d| writeln!(f, "{d}"))
    }
}

fn show(entry: &Entry) -> String {
    format!("{:?}#{:016x}@{}", entry.totals, entry.hash, entry.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(revision: u64, total: u64, hash: u64) -> Entry {
        Entry { revision, totals: vec![total], hash }
    }

    fn verdict(published: &[(&str, Entry)], expected: &[(&str, Entry)]) -> Verdict {
        let mut ledger = Published::default();
        published.iter().for_each(|(identity, e)| ledger.read(identity, e.clone()));
        ledger.check(&expected.iter().map(|(identity, e)| ((*identity).to_owned(), e.clone())).collect())
    }

    #[test]
    fn the_same_totals_by_way_of_a_correction_hold() {
        assert!(verdict(&[("a", entry(0, 2, 5)), ("a", entry(1, 3, 9))], &[("a", entry(0, 3, 9))]).holds());
    }

    #[test]
    fn what_is_lost_doubled_or_invented_is_named() {
        let lost = verdict(&[], &[("service=a window=w", entry(0, 3, 9))]);
        assert_eq!(lost.differences[0].to_string(), "I3 value service=a window=w expected=[3]#0000000000000009@0 got=nothing");
        assert!(!verdict(&[("a", entry(0, 3, 8))], &[("a", entry(0, 3, 9))]).holds(), "one lost and one doubled cancel in the count only");
        assert!(!verdict(&[("b", entry(0, 3, 9))], &[]).holds());
    }

    #[test]
    fn a_second_final_a_gap_and_a_shrinking_total_are_named() {
        let promise = |published: &[(&str, Entry)]| verdict(published, &[("a", entry(0, 3, 9))]).differences.first().map(|d| d.promise);
        assert_eq!(promise(&[("a", entry(0, 3, 9)), ("a", entry(0, 3, 9))]), Some("I2 one final"));
        assert_eq!(promise(&[("a", entry(1, 3, 9))]), Some("I2 one final"));
        assert_eq!(promise(&[("a", entry(0, 1, 1)), ("a", entry(2, 3, 9))]), Some("I17 growing"));
        assert_eq!(promise(&[("a", entry(0, 4, 1)), ("a", entry(1, 3, 9))]), Some("I17 growing"));
        assert_eq!(promise(&[("a", entry(0, 3, 9))]), None);
    }
}
