//! How a rule that is tried agrees with the one in force: figures from the lines that CLOSE publishes of both (`golden-signals-shadow/1`).
//!
//! They count the newest file that is tried, and no other: a changed file begins anew.

use crate::history::{History, Query, ServiceKey};
use crate::overrides::backtest::{HistoryError, Levels, MAX_LISTED, Unusable};
use serde::{Deserialize, Serialize};

/// Name under which the history has these lines, where records have their grouping.
const GROUPING: &str = "shadow";
/// Lines of a page.
const PAGE: usize = 360;

/// What came of a trial.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// SHA-256 of the file that is tried; empty when nothing was.
    pub sha256: String,
    /// First version with it, of those that were read.
    pub version: u64,
    /// Start of the first window with it, RFC 3339.
    pub since: String,
    /// Start of the last window with it, RFC 3339.
    pub last: String,
    /// Windows in which both gave a verdict.
    pub windows: u64,
    /// Those of them with the same level.
    pub agreeing: u64,
    /// Those with another one, oldest first; `old` is the level that counts, `new` the one that is tried. At most `MAX_LISTED`.
    pub differing: Vec<Levels>,
}

#[derive(Deserialize)]
struct Line {
    window_start: String,
    health: Option<Level>,
    shadow: Level,
    #[serde(rename = "override")]
    of: Of,
}

#[derive(Deserialize)]
struct Level {
    level: Option<u8>,
}

#[derive(Deserialize)]
struct Of {
    version: u64,
    sha256: String,
}

impl Trial {
    fn line(&mut self, json: &[u8]) -> Result<(), Unusable> {
        let Line { window_start, health, shadow, of } = serde_json::from_slice(json).map_err(|error| Unusable::Form(error.to_string()))?;
        if self.sha256 != of.sha256 {
            *self = Self { sha256: of.sha256, version: of.version, since: window_start.clone(), ..Self::default() };
        }
        self.last.clone_from(&window_start);
        let Some(live) = health else { return Ok(()) };
        self.windows += 1;
        if live.level == shadow.level {
            self.agreeing += 1;
        } else if self.differing.len() < MAX_LISTED {
            self.differing.push(Levels { start: window_start, old: live.level, new: shadow.level });
        }
        Ok(())
    }
}

/// The figures of a service in a range of windows.
///
/// # Errors
/// When the history cannot be read.
pub fn trial(history: &History, key: &ServiceKey, mut query: Query) -> Result<Trial, HistoryError> {
    let mut trial = Trial::default();
    query.limit = PAGE;
    loop {
        let page = history.signals(key, GROUPING, &query)?;
        for stored in &page.records {
            trial.line(&stored.json)?;
        }
        match page.next_from {
            Some(next) => query.from = next,
            None => return Ok(trial),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(start: &str, live: &str, shadow: &str, version: u64, sha256: &str) -> Vec<u8> {
        format!(
            r#"{{"schema":"golden-signals-shadow/1","window_start":"{start}","health":{{"level":{live}}},"shadow":{{"level":{shadow}}},"agree":true,"override":{{"version":{version},"sha256":"{sha256}"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn a_trial_counts_the_newest_file_alone() {
        let mut trial = Trial::default();
        for (start, live, shadow, version, sha256) in
            [("a", "0", "3", 1, "x"), ("b", "0", "0", 2, "y"), ("c", "3", "null", 3, "y"), ("d", "null", "null", 3, "y")]
        {
            trial.line(&line(start, live, shadow, version, sha256)).unwrap();
        }
        let differing = vec![Levels { start: "c".to_owned(), old: Some(3), new: None }];
        let expected =
            Trial { sha256: "y".to_owned(), version: 2, since: "b".to_owned(), last: "d".to_owned(), windows: 3, agreeing: 2, differing };
        assert_eq!(trial, expected);
        assert!(trial.line(b"{}").is_err());
    }
}
