//! Whether a result is right: its counts equal the exact ones, and its percentiles are within the bound of SIGNALS §6.1.

use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns that name a row.
const KEY: [&str; 3] = ["window_start", "service", "operation"];
/// Columns that must be equal as numbers.
const EXACT: [&str; 4] = ["requests", "errors", "latency_count", "max_ms"];
/// Columns that may be above the exact value by 1 % or 1 µs, and below it by nothing but the reference's rounding.
const WITHIN: [&str; 6] = ["p50_ms", "p75_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms"];
/// Columns that must be equal but for the last digits of a float.
const NEARLY: [&str; 2] = ["availability_pct", "mean_ms"];

/// A result, its numbers by column name.
struct Table {
    rows: BTreeMap<Vec<String>, BTreeMap<String, Option<f64>>>,
}

/// Compares a result with the exact one.
///
/// # Errors
/// Says the first difference.
pub(crate) fn equals(result: &Path, exact: &Path) -> Result<()> {
    let (result, exact) = (Table::read(result)?, Table::read(exact)?);
    ensure!(result.rows.len() == exact.rows.len(), "{} rows instead of {}", result.rows.len(), exact.rows.len());
    for (key, exact) in &exact.rows {
        let row = result.rows.get(key).with_context(|| format!("no row for {}", key.join(", ")))?;
        for column in EXACT.iter().chain(&WITHIN).chain(&NEARLY) {
            let value = |row: &BTreeMap<String, Option<f64>>| row.get(*column).copied().with_context(|| format!("no column {column}"));
            let fits = match (value(row)?, value(exact)?) {
                (None, None) => true,
                (Some(value), Some(exact)) if EXACT.contains(column) => value == exact,
                (Some(value), Some(exact)) if WITHIN.contains(column) => (value - exact).abs() <= (exact * 0.01).max(0.001) + 1e-9,
                (Some(value), Some(exact)) => (value - exact).abs() <= 1e-9 * exact.abs().max(1.0),
                _ => false,
            };
            ensure!(fits, "{} of {} is {:?}, not {:?}", column, key.join(", "), value(row)?, value(exact)?);
        }
    }
    Ok(())
}

/// Rows and requests of a result.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn totals(result: &Path) -> Result<(usize, u64)> {
    let text = std::io::BufReader::new(std::fs::File::open(result)?);
    let (mut rows, mut requests, mut place) = (0, 0, None);
    for line in std::io::BufRead::lines(text) {
        let line = line?;
        match place {
            None => place = Some(line.split(',').position(|name| name == "requests").context("no column requests")?),
            Some(place) => {
                rows += 1;
                requests += line.split(',').nth(place).context("a short row")?.parse::<u64>()?;
            }
        }
    }
    Ok((rows, requests))
}

impl Table {
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().with_context(|| format!("{} is empty", path.display()))?.split(',').collect();
        let mut rows = BTreeMap::new();
        for line in lines {
            let (mut key, mut numbers) = (Vec::new(), BTreeMap::new());
            for (name, field) in names.iter().zip(line.split(',')) {
                if KEY.contains(name) {
                    key.push(field.to_owned());
                } else {
                    // Health is a word; it follows from the counts.
                    numbers.insert((*name).to_owned(), field.parse().ok());
                }
            }
            if rows.insert(key, numbers).is_some() {
                bail!("{}: twice the same series and window: {line}", path.display());
            }
        }
        Ok(Self { rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT_CSV: &str = "window_start,service,operation,requests,errors,availability_pct,latency_count,p50_ms,p75_ms,p90_ms,p95_ms,p99_ms,p999_ms,max_ms,mean_ms,health,completeness\n\
        w,a,x,10,1,90,10,5,8,9,10,10,10,10,5.5,healthy,1\nw,a,y,1,0,100,0,,,,,,,,,healthy,1\n";

    fn verdict(replace: &str, by: &str) -> Result<()> {
        let dir = tempfile::tempdir()?;
        let (result, exact) = (dir.path().join("result"), dir.path().join("exact"));
        std::fs::write(&result, EXACT_CSV.replace(replace, by))?;
        std::fs::write(&exact, EXACT_CSV)?;
        assert_eq!(totals(&exact)?, (2, 11));
        equals(&result, &exact)
    }

    #[test]
    fn a_percentile_within_one_percent_is_right() {
        verdict("5,8,9", "5.05,8,9").unwrap();
    }

    #[test]
    fn what_differs_is_named() {
        for (replace, by, says) in [
            ("5,8,9", "5.06,8,9", "p50_ms of w, a, x is Some(5.06), not Some(5.0)"),
            ("10,1,90", "10,2,90", "errors of w, a, x"),
            ("w,a,y,1,0,100,0,,", "w,a,y,1,0,100,0,1,", "p50_ms of w, a, y is Some(1.0), not None"),
            ("w,a,y,1,0,100,0,,,,,,,,,healthy,1\n", "", "1 rows instead of 2"),
            ("w,a,y", "w,b,y", "no row for w, a, y"),
            ("w,a,y", "w,a,x", "twice"),
            ("p50_ms", "median", "no column p50_ms"),
        ] {
            let text = verdict(replace, by).unwrap_err().to_string();
            assert!(text.contains(says), "{text}, not {says}");
        }
    }
}
