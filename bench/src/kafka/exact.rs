//! The exact results of a load, counted beside it, and the comparison with what somebody made of it.

use anyhow::{Result, bail, ensure};
use golden_generate::fact::{Event, Outcome};
use golden_generate::names::Names;
use golden_pipeline::emit::json::put_time;
use platform_core::map::Map;
use std::collections::BTreeMap;

/// Start of the window (RFC 3339), service, operation; no operation: all of them.
pub(crate) type Key = (String, String, Option<String>);
/// Requests and errors.
pub(crate) type Rows = BTreeMap<Key, (u64, u64)>;

/// Counts events.
#[derive(Default)]
pub(crate) struct Exact {
    rows: Map<(i64, u32, u32), (u64, u64)>,
}

impl Exact {
    /// Takes an event in; `window` is the length of windows in ns.
    pub(crate) fn count(&mut self, event: &Event, window: i64) {
        let row = self.rows.entry((event.time.0.div_euclid(window) * window, event.service, event.operation)).or_default();
        row.0 += 1;
        row.1 += u64::from(event.outcome == Outcome::Error);
    }

    /// By service and operation, and by service.
    pub(crate) fn rows(&self, names: &Names) -> Rows {
        let mut rows = Rows::new();
        for ((start, service, operation), (requests, errors)) in &self.rows {
            for operation in [None, Some(names.operation(*operation).to_owned())] {
                let row = rows.entry((rfc3339(*start), names.service(*service).to_owned(), operation)).or_default();
                row.0 += requests;
                row.1 += errors;
            }
        }
        rows
    }
}

/// A time in ns as text.
pub(crate) fn rfc3339(nanos: i64) -> String {
    let mut text = Vec::new();
    put_time(&mut text, nanos);
    String::from_utf8_lossy(&text).into_owned()
}

/// Whether both are the same; rows without requests count for nothing.
///
/// # Errors
/// Says how many rows differ, and one of them.
pub(crate) fn equal(found: &Rows, exact: &Rows) -> Result<()> {
    ensure!(!exact.is_empty(), "there is nothing to compare with");
    let rows = |rows: &Rows| rows.iter().filter(|(_, counts)| counts.0 > 0).map(|(key, counts)| (key.clone(), *counts)).collect::<Rows>();
    let (found, exact) = (rows(found), rows(exact));
    let wrong: Vec<&Key> = exact.keys().chain(found.keys()).filter(|key| found.get(*key) != exact.get(*key)).collect();
    if let Some(key) = wrong.first() {
        bail!("{} rows differ, as {key:?}: {:?} instead of {:?}", wrong.len(), found.get(*key), exact.get(*key));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_too_many_too_few_or_other_is_a_difference() {
        let row = |service: &str, requests| ((String::new(), service.to_owned(), None), (requests, 0));
        let exact = Rows::from([row("a", 1), row("b", 2)]);
        assert!(equal(&Rows::from([row("a", 1), row("b", 2), row("c", 0)]), &exact).is_ok());
        for wrong in [vec![row("a", 1)], vec![row("a", 1), row("b", 3)], vec![row("a", 1), row("b", 2), row("c", 1)]] {
            assert!(equal(&wrong.into_iter().collect(), &exact).is_err());
        }
        assert!(equal(&Rows::new(), &Rows::new()).is_err());
    }
}
