//! Backtest: what an override would have made of windows that were published, beside what another one makes of them.
//!
//! The integers of published finals go through both rules with the evaluator that CLOSE uses (`of_windows`, `signal::health`). The chain of
//! `previousHealth` begins with what was known before the first window, as it would if the new file came into force there, and goes on from
//! each side's own levels. So what a backtest says of a window is what CLOSE publishes of it, with two exceptions. A window that was corrected
//! after its close is judged by its last counts, while later windows remember the level of its first ones. And rules for tags and outcomes
//! change the counts themselves: the history has them as they were counted, `recount` in the report says so, and only the source can tell more.
//!
//! - An **episode** is a longest run of windows, each right behind the other, with a level of 1 or more (critical: of 3). An unknown window,
//!   or one that was not published, ends it.
//! - A **flap** is a change back: to a level that was there two or three windows before. `0 3 0` is one, `0 3 0 3` two. Unknown windows are
//!   passed over.

/// Windows out of the history.
pub mod replay;

use crate::aggregate::Aggregate;
use crate::decode::timestamp::{TimeUnit, Timestamps};
use crate::emit::json::rfc3339;
use crate::emit::read::PublicRecord;
use crate::history::Stored;
use crate::overrides::of_windows::{WindowScope, rule_of, ruled};
use crate::settings::Checked;
use crate::signal::completeness::Completeness;
use crate::signal::health::{self, DEFAULT_RULE_SHA256, Health, Level};
use golden_overrides::file::Override;
use platform_core::codec::Cursor;
use platform_core::store::StoreError;
use platform_core::time::EventTime;
use platform_core::window::WindowLength;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most entries of a list in a report; what is above is counted.
pub const MAX_LISTED: usize = 1000;
/// How many windows back a level is looked for that a flap returns to.
const FLAP: i64 = 3;

/// What decides about health beside the rule.
#[derive(Clone, Copy, Debug)]
pub struct Judging {
    /// Length of windows.
    pub window: WindowLength,
    /// A less complete window is never healthy.
    pub min_completeness: Completeness,
    /// How long a level is remembered, in ns.
    pub series_ttl: i64,
}

impl Judging {
    /// As the settings have it.
    #[must_use]
    pub fn of(settings: &Checked) -> Self {
        Self { window: settings.window, min_completeness: settings.min_completeness, series_ttl: settings.series_ttl }
    }

    /// The verdict on a published window, and why the rule failed if it did.
    #[must_use]
    pub fn health(&self, service: &str, found: Option<&Override>, of: &Published, previous: Level) -> (Health, Option<&'static str>) {
        let scope = WindowScope::new(&of.aggregate, self.window, of.completeness, previous, service, &[], found);
        let (ruled, failure) = ruled(rule_of(found), &scope);
        let counts = of.aggregate.counts();
        let health = health::decide(ruled, counts.requests(), counts.errors, of.completeness, self.min_completeness, previous);
        (health, failure)
    }
}

/// One published window of a service, in grouping `service`.
#[derive(Clone, Debug)]
pub struct Published {
    /// Start of the window.
    pub start: EventTime,
    /// All counts.
    pub aggregate: Aggregate,
    /// Share of the input that was seen.
    pub completeness: Completeness,
    /// Last known level before, as published.
    pub previous: Level,
    /// Level as published; `None`: unknown.
    pub level: Option<Level>,
    /// SHA-256 of the file in force.
    pub sha256: String,
}

/// Why a record of the history cannot be judged again.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// Not a public record.
    #[error("a record of the history cannot be read: {0}")]
    Form(String),
    /// It was kept without its integers.
    #[error("a record of the history has no exact counts")]
    Counts,
}

/// Why nothing is said of what the history holds.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What stands in it cannot be used.
    #[error(transparent)]
    Record(#[from] Unusable),
}

impl Published {
    /// From the history.
    ///
    /// # Errors
    /// When the record is not one with counts and a verdict.
    pub fn of(stored: &Stored) -> Result<Self, Unusable> {
        let record = PublicRecord::parse(&stored.json).map_err(|error| Unusable::Form(error.to_string()))?;
        let start = Timestamps::new(TimeUnit::Rfc3339, None).parse_text(&record.window_start);
        let start = start.map(EventTime).map_err(|_| Unusable::Form("its window".to_owned()))?;
        let aggregate = Aggregate::decode(&mut Cursor::new(&stored.aggregate)).map_err(|_| Unusable::Counts)?;
        let level = |number: u8| Level::of(f64::from(number));
        let health = record.health.as_ref();
        Ok(Self {
            start,
            aggregate,
            completeness: Completeness::from_ratio(record.completeness),
            previous: health.and_then(|health| level(health.previous)).unwrap_or(Level::Healthy),
            level: health.and_then(|health| health.level).and_then(level),
            sha256: record.rule.sha256.into_owned(),
        })
    }
}

/// What a backtest gives for one service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name.
    pub service: String,
    /// Namespace; may be empty.
    pub namespace: String,
    /// Start of the first window, RFC 3339; empty without windows.
    pub from: String,
    /// End of the last window, RFC 3339; empty without windows.
    pub to: String,
    /// Length of windows.
    pub window_seconds: f64,
    /// Windows that were judged.
    pub windows: u64,
    /// By the rule that is compared with.
    pub old: Side,
    /// By the new rule.
    pub new: Side,
    /// Windows with another level.
    pub changed: u64,
    /// The same as stretches of one change each, oldest first; at most `MAX_LISTED`.
    pub changes: Vec<Change>,
    /// Times at which either side saw something, oldest first; at most `MAX_LISTED`.
    pub episodes: Vec<Episode>,
    /// The files differ in what sets tags or outcomes: counts would be others, and only a recount from the source says which.
    pub recount: bool,
    /// How the old side agrees with what was published by the very same file.
    pub published: Agreement,
    /// Every window, when asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub levels: Vec<Levels>,
}

/// What one side gives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Side {
    /// SHA-256 of the file; that of the default rule when there is none.
    pub sha256: String,
    /// Minutes per level.
    pub minutes: Minutes,
    /// Runs of windows with a level of 1 or more.
    pub episodes: u64,
    /// Runs of windows with level 3.
    pub critical_episodes: u64,
    /// Changes back to a level of two or three windows before.
    pub flaps: u64,
    /// Windows in which the rule failed and the default rule decided, by reason.
    pub failures: BTreeMap<String, u64>,
}

/// Minutes per level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Minutes {
    /// Level 0.
    pub healthy: f64,
    /// Level 1.
    pub degraded: f64,
    /// Level 2.
    pub impaired: f64,
    /// Level 3.
    pub critical: f64,
    /// No level: input is missing.
    pub unknown: f64,
}

/// Neighbouring windows that changed alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Start of the first window, RFC 3339.
    pub from: String,
    /// End of the last window, RFC 3339.
    pub to: String,
    /// How many.
    pub windows: u64,
    /// Level before; null: unknown.
    pub old: Option<u8>,
    /// Level after; null: unknown.
    pub new: Option<u8>,
}

/// A run of windows in which at least one side has a level of 1 or more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Episode {
    /// Start of the first window, RFC 3339.
    pub from: String,
    /// End of the last window, RFC 3339.
    pub to: String,
    /// Start of the window in which the old side first rose; null: it saw nothing.
    pub old_first: Option<String>,
    /// Start of the window in which the new side first rose; null: it saw nothing.
    pub new_first: Option<String>,
    /// Highest level of the old side.
    pub old_worst: u8,
    /// Highest level of the new side.
    pub new_worst: u8,
}

/// How a side agrees with what was published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Windows that were published by the same file.
    pub compared: u64,
    /// Those of them with another level.
    pub differing: u64,
}

/// The levels of one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Levels {
    /// Start of the window, RFC 3339.
    pub start: String,
    /// By the old side; null: unknown.
    pub old: Option<u8>,
    /// By the new side; null: unknown.
    pub new: Option<u8>,
}

/// A backtest of one service under way.
pub struct Backtest<'a> {
    judging: Judging,
    old: Judge<'a>,
    new: Judge<'a>,
    /// Start of the window before.
    last: Option<EventTime>,
    /// Whether the last change, and the last episode, of the report reach to the window before.
    in_change: bool,
    in_episode: bool,
    keep_levels: bool,
    report: Report,
}

impl<'a> Backtest<'a> {
    /// Of a service, from one override to another; `None` is the default rule. `keep_levels`: the report lists every window.
    #[must_use]
    pub fn new(
        judging: Judging,
        (namespace, service): (&str, &str),
        old: Option<&'a Override>,
        new: Option<&'a Override>,
        keep_levels: bool,
    ) -> Self {
        let report = Report {
            service: service.to_owned(),
            namespace: namespace.to_owned(),
            from: String::new(),
            to: String::new(),
            window_seconds: judging.window.seconds(),
            windows: 0,
            old: Side::default(),
            new: Side::default(),
            changed: 0,
            changes: Vec::new(),
            episodes: Vec::new(),
            recount: counts_by(old) != counts_by(new),
            published: Agreement::default(),
            levels: Vec::new(),
        };
        let (old, new) = (Judge::new(old), Judge::new(new));
        Self { judging, old, new, last: None, in_change: false, in_episode: false, keep_levels, report }
    }

    /// Takes the next window; windows come in the order of time, each once.
    pub fn window(&mut self, of: &Published) {
        let length = self.judging.window.nanos();
        let end = of.start.plus(length);
        let follows = self.last.is_some_and(|last| last.plus(length) == of.start);
        let service = self.report.service.clone();
        let old = self.old.window(&self.judging, &service, of, follows);
        let new = self.new.window(&self.judging, &service, of, follows);
        let report = &mut self.report;
        if report.windows == 0 {
            report.from = rfc3339(of.start);
        }
        report.to = rfc3339(end);
        report.windows += 1;
        if of.sha256 == self.old.sha256() {
            report.published.compared += 1;
            report.published.differing += u64::from(old != of.level);
        }
        let (old, new) = (old.map(Level::number), new.map(Level::number));
        if self.keep_levels {
            report.levels.push(Levels { start: rfc3339(of.start), old, new });
        }
        self.changed(of.start, follows, old, new);
        self.seen(of.start, follows, old.unwrap_or(0), new.unwrap_or(0));
        self.last = Some(of.start);
    }

    fn changed(&mut self, start: EventTime, follows: bool, old: Option<u8>, new: Option<u8>) {
        let report = &mut self.report;
        let to = rfc3339(start.plus(self.judging.window.nanos()));
        let goes_on = |last: &&mut Change| self.in_change && follows && (last.old, last.new) == (old, new);
        self.in_change = if old == new {
            false
        } else if let Some(last) = report.changes.last_mut().filter(goes_on) {
            last.to = to;
            last.windows += 1;
            true
        } else if report.changes.len() < MAX_LISTED {
            report.changes.push(Change { from: rfc3339(start), to, windows: 1, old, new });
            true
        } else {
            false
        };
        report.changed += u64::from(old != new);
    }

    fn seen(&mut self, start: EventTime, follows: bool, old: u8, new: u8) {
        let episodes = &mut self.report.episodes;
        let goes_on = self.in_episode && follows;
        self.in_episode = old.max(new) > 0 && (goes_on || episodes.len() < MAX_LISTED);
        if !self.in_episode {
            return;
        }
        if !goes_on {
            let from = rfc3339(start);
            episodes.push(Episode { from, to: String::new(), old_first: None, new_first: None, old_worst: 0, new_worst: 0 });
        }
        let Some(episode) = episodes.last_mut() else { return };
        episode.to = rfc3339(start.plus(self.judging.window.nanos()));
        for (level, first, worst) in
            [(old, &mut episode.old_first, &mut episode.old_worst), (new, &mut episode.new_first, &mut episode.new_worst)]
        {
            *worst = level.max(*worst);
            if level > 0 {
                first.get_or_insert_with(|| rfc3339(start));
            }
        }
    }

    /// The end.
    #[must_use]
    pub fn report(self) -> Report {
        let minutes = self.judging.window.seconds() / 60.0;
        Report { old: self.old.side(minutes), new: self.new.side(minutes), ..self.report }
    }
}

/// What of an override changes counts.
fn counts_by(found: Option<&Override>) -> (Option<&str>, Vec<(&str, &str)>) {
    let errors = found.and_then(|found| found.errors.as_ref()).map(|written| written.text.as_str());
    let tags = found.iter().flat_map(|found| &found.tags).map(|(tag, written)| (tag.as_str(), written.text.as_str())).collect();
    (errors, tags)
}

/// One side under way.
struct Judge<'a> {
    rule: Option<&'a Override>,
    /// Last known level, and the window it is of.
    known: Option<(Level, EventTime)>,
    /// Levels of the last windows that had one, oldest first.
    recent: [Option<(EventTime, Level)>; FLAP as usize],
    /// Whether the window before was part of an episode, and of a critical one.
    risen: bool,
    critical: bool,
    windows: [u64; 4],
    unknown: u64,
    side: Side,
}

impl<'a> Judge<'a> {
    fn new(rule: Option<&'a Override>) -> Self {
        let side = Side::default();
        Self { rule, known: None, recent: [None; FLAP as usize], risen: false, critical: false, windows: [0; 4], unknown: 0, side }
    }

    fn sha256(&self) -> &str {
        self.rule.map_or(DEFAULT_RULE_SHA256, |rule| &rule.sha256)
    }

    /// The level; `follows`: the window before is the one taken before.
    fn window(&mut self, judging: &Judging, service: &str, of: &Published, follows: bool) -> Option<Level> {
        let (known, at) = *self.known.get_or_insert((of.previous, of.start));
        let previous = if at >= of.start.plus(-judging.series_ttl) { known } else { Level::Healthy };
        let (health, failure) = judging.health(service, self.rule, of, previous);
        if let Some(reason) = failure {
            *self.side.failures.entry(reason.to_owned()).or_default() += 1;
        }
        let (risen, critical) = (health.level > Some(Level::Healthy), health.level == Some(Level::Critical));
        self.side.episodes += u64::from(risen && !(self.risen && follows));
        self.side.critical_episodes += u64::from(critical && !(self.critical && follows));
        (self.risen, self.critical) = (risen, critical);
        let Some(level) = health.level else {
            self.unknown += 1;
            return None;
        };
        if let Some(count) = self.windows.get_mut(usize::from(level.number())) {
            *count += 1;
        }
        let reaches = |(at, _): &(EventTime, Level)| of.start.since(*at) <= FLAP * judging.window.nanos();
        let changed = self.recent.last().copied().flatten().is_some_and(|(_, last)| last != level);
        let back = self.recent.iter().flatten().filter(|one| reaches(one)).any(|(_, before)| *before == level);
        self.side.flaps += u64::from(changed && back);
        self.recent.rotate_left(1);
        if let Some(last) = self.recent.last_mut() {
            *last = Some((of.start, level));
        }
        self.known = Some((level, of.start));
        Some(level)
    }

    fn side(self, minutes: f64) -> Side {
        let of = |windows: u64| windows as f64 * minutes;
        let [healthy, degraded, impaired, critical] = self.windows.map(of);
        let minutes = Minutes { healthy, degraded, impaired, critical, unknown: of(self.unknown) };
        Side { sha256: self.sha256().to_owned(), minutes, ..self.side }
    }
}

#[cfg(test)]
mod tests;
