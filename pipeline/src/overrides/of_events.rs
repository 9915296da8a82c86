//! What FOLD asks of overrides: the tags of an event and what it counts as, by the version in force at its time.
//!
//! A tag rule is evaluated once per distinct set of the texts that it reads; a classifier per event, since it may read a duration. A rule
//! that fails leaves what the event brought. Nothing is asked of services without rules but a look into a table.
//! The control log is read to its end about once a second of the log's time. As long as that succeeded less than `lead` ago, a version that
//! was not seen cannot touch a window that is folded into; after that FOLD waits.

use crate::decode::Wanted;
use crate::event::{Event, MAX_WANTED};
use crate::grouping::Groupings;
use crate::outcome::{Grpc, Outcome, error_type};
use crate::overrides::activation::{Activation, tag_of};
use crate::overrides::rules::{Rules, Timeline};
use crate::series::{are, put_raw};
use golden_overrides::file::Override;
use golden_overrides::language::{Number, Rule, RunError, Text};
use golden_overrides::scope::Scope;
use platform_core::log::LogError;
use platform_core::map::{Table, hash_texts};
use platform_core::planted::{Bug, planted};
use platform_core::record::Offset;
use platform_core::time::{AppendTime, EventTime};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// How often the control log is asked for its end, in ns of the log's time.
const EVERY: i64 = 1_000_000_000;
/// Bytes of remembered tags at which they are forgotten.
const MEMO: usize = 16 << 20;

/// Distances that decide for how long FOLD may go on without having read the control log, in ns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lead {
    /// From the append of an activation to the first window that it can touch.
    pub lead: i64,
    /// How far an event may be ahead of its append.
    pub skew: i64,
    /// How far the clocks of brokers may be apart.
    pub broker_skew: i64,
}

impl Lead {
    /// For how long FOLD may go on without having read the control log.
    fn slack(self) -> i64 {
        self.lead.saturating_sub(self.skew).saturating_sub(self.broker_skew)
    }
}

/// Overrides as one FOLD task sees them.
pub struct EventRules {
    rules: Arc<Rules>,
    lead: Lead,
    timeline: Timeline,
    /// The log's time, known before the control log was last read to its end.
    read_at: AppendTime,
    /// The same of the last try.
    tried_at: AppendTime,
    /// Names of tags in the order of `Event::tags`, and how many of them are dimensions.
    wanted: Vec<String>,
    dimensions: usize,
    /// By version of the timeline.
    versions: Vec<Version>,
    /// The stretch of time around the last event, and the version in force in it.
    stretch: (i64, i64),
    current: Option<usize>,
    failures: BTreeMap<(String, &'static str), u64>,
}

/// A version and what was found out of its rules.
struct Version {
    activation: Arc<Activation>,
    /// By number of the override.
    prepared: Vec<Option<Prepared>>,
    memo: Memo,
}

/// What the tag rules of one service need of an event.
#[derive(Clone, Default)]
struct Prepared {
    operation: bool,
    host: bool,
    /// Places of the tags that they read.
    reads: Vec<usize>,
    /// Places of the dimensions that they set, and the names of the tags.
    sets: Vec<(usize, String)>,
}

/// Values of tags by what they were made from.
#[derive(Default)]
struct Memo {
    table: Table<Remembered>,
    texts: Vec<u8>,
    /// `None`: the rule failed, and the tag stays as received.
    values: Vec<Option<Box<str>>>,
}

struct Remembered {
    hash: u64,
    from: usize,
    to: usize,
    /// Where in `values` the first one is.
    values: usize,
}

/// What rules made of an event, beside its tags.
#[derive(Clone, Copy, Debug)]
struct Judged<'e> {
    /// The outcome that counts.
    outcome: Outcome,
    /// The kind of error that goes with it.
    error_type: &'e str,
}

impl EventRules {
    /// Rules for a task whose series have these groupings.
    #[must_use]
    pub fn new(rules: Arc<Rules>, groupings: &Groupings, lead: Lead) -> Self {
        let wanted = groupings.wanted(false).tags;
        let never = AppendTime(i64::MIN);
        let mut new = Self {
            rules,
            lead,
            timeline: Timeline::default(),
            read_at: never,
            tried_at: never,
            dimensions: wanted.len(),
            wanted,
            versions: Vec::new(),
            stretch: (i64::MIN, i64::MAX),
            current: None,
            failures: BTreeMap::new(),
        };
        if !new.rules.can_change() && new.refresh().is_ok() {
            new.changed();
        }
        new
    }

    /// Reads the control log to its end now, for whoever has no stream of times to go by. `false`: the end did not come.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_now(&mut self) -> Result<bool, LogError> {
        let done = self.refresh()?.is_some();
        self.changed();
        Ok(done)
    }

    fn refresh(&mut self) -> Result<Option<()>, LogError> {
        self.rules.refresh(&mut self.timeline)
    }

    /// Whether a record appended at `newest` may be folded, when `known` is a time that the log gave before: `false` asks for a newer one.
    pub fn ready(&mut self, newest: AppendTime, known: Option<AppendTime>) -> bool {
        if !self.rules.can_change() {
            return true;
        }
        if let Some(known) = known.filter(|known| known.0 >= self.tried_at.0.saturating_add(EVERY)) {
            self.tried_at = known;
            let before = self.timeline.changes();
            let trouble = match self.refresh() {
                Ok(Some(())) => None,
                Ok(None) => Some("its end did not come".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            match trouble {
                None => self.read_at = known,
                Some(error) => {
                    // Asking costs seconds where brokers are away, and there is time.
                    self.tried_at = AppendTime(known.0.saturating_add(self.lead.slack() / 6));
                    tracing::warn!(%error, "the control log cannot be read: what is in force stays, for a while");
                }
            }
            if self.timeline.changes() != before {
                self.changed();
            }
        }
        let Lead { lead, skew, broker_skew } = self.lead;
        // An event is at most `skew` ahead of its append, and so is the start of its window.
        let in_reach = newest.0.saturating_add(skew).saturating_add(broker_skew) < self.read_at.0.saturating_add(lead);
        in_reach || planted(Bug::ControlNotAwaited)
    }

    /// How far the control log was read.
    #[must_use]
    pub fn position(&self) -> Offset {
        self.timeline.position()
    }

    /// Rises whenever there is a new version.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.timeline.changes()
    }

    /// Whether no rule can be in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.versions.is_empty()
    }

    /// What decoders must look for.
    #[must_use]
    pub fn wanted(&self, traces: bool) -> Wanted {
        Wanted { tags: self.wanted.clone(), traces }
    }

    /// Counts what failed in a transaction that is through.
    pub fn committed(&mut self) {
        for ((service, reason), count) in std::mem::take(&mut self.failures) {
            metrics::counter!("golden_signals_override_errors_total", "service_name" => service, "reason" => reason).increment(count);
        }
    }

    /// Forgets what failed in a transaction that is gone.
    pub fn aborted(&mut self) {
        self.failures.clear();
    }

    fn changed(&mut self) {
        let known = std::mem::take(&mut self.wanted);
        self.wanted = known.into_iter().take(self.dimensions).collect();
        for version in self.timeline.versions() {
            for tag in version.tags() {
                if self.wanted.len() < MAX_WANTED && !self.wanted.contains(tag) {
                    self.wanted.push(tag.clone());
                }
            }
        }
        let fresh = |activation: &Arc<Activation>| Version {
            prepared: vec![None; activation.live().len()],
            activation: Arc::clone(activation),
            memo: Memo::default(),
        };
        self.versions = self.timeline.versions().iter().map(fresh).collect();
        self.stretch = (i64::MAX, i64::MIN);
    }

    fn find_current(&mut self, time: EventTime) {
        if (self.stretch.0..self.stretch.1).contains(&time.0) {
            return;
        }
        self.stretch = self.timeline.stretch(time);
        self.current = self.versions.iter().rposition(|version| version.activation.from <= time);
    }

    /// Hands on an event with the tags and the outcome that count, and gives what is made of that. The event itself comes back with the
    /// outcome alone: its tags are borrowed from here.
    #[inline]
    pub fn seen<'e, R>(&mut self, event: &Event<'e>, take: impl FnOnce(&Event<'_>) -> R) -> (R, Option<Event<'e>>) {
        if self.is_empty() {
            return (take(event), None);
        }
        let mut tags = [""; MAX_WANTED];
        let Some(Judged { outcome, error_type }) = self.judge(event, &mut tags) else { return (take(event), None) };
        let judged = Event { outcome, error_type, ..*event };
        let tags = tags.get(..event.tags.len()).unwrap_or_default();
        (take(&Event { tags, ..judged }), Some(judged))
    }

    /// What rules make of an event: its tags go into `tags`, as many as are wanted. `None`: there is no rule for its service.
    fn judge<'s, 'e: 's>(&'s mut self, event: &Event<'e>, tags: &mut [&'s str; MAX_WANTED]) -> Option<Judged<'e>> {
        self.find_current(event.event_time);
        let Self { versions, wanted, dimensions, failures, current, .. } = self;
        let Version { activation, prepared, memo } = versions.get_mut((*current)?)?;
        let (number, found) = activation.find(event.namespace, event.service)?;
        if found.tags.is_empty() && found.errors.is_none() {
            return None;
        }
        let mut failed = |reason| *failures.entry((event.service.to_owned(), reason)).or_default() += 1;
        let scope = EventScope { event, wanted };
        let mut judged = Judged { outcome: event.outcome, error_type: event.error_type };
        if let Some(written) = &found.errors {
            match guarded(|| written.rule.outcome(&scope)) {
                Ok(outcome) => judged = judged.turned(outcome, event),
                Err(reason) => failed(reason),
            }
        }
        for (slot, received) in tags.iter_mut().zip(event.tags) {
            *slot = received;
        }
        let prepared = prepared.get_mut(number)?.get_or_insert_with(|| Prepared::of(found, wanted, *dimensions));
        if !prepared.sets.is_empty() {
            let first = memo.values_of(number, found, prepared, &scope, &mut failed);
            for ((place, _), value) in prepared.sets.iter().zip(memo.values.get(first..).unwrap_or_default()) {
                if let (Some(slot), Some(value)) = (tags.get_mut(*place), value) {
                    *slot = value;
                }
            }
        }
        Some(judged)
    }
}

impl<'e> Judged<'e> {
    fn turned(self, outcome: &str, event: &Event<'e>) -> Self {
        let Some(outcome) = Outcome::parse(outcome).filter(|outcome| *outcome != self.outcome) else { return self };
        let error_type = if outcome == Outcome::Error { error_type(event.status) } else { "" };
        Self { outcome, error_type }
    }
}

impl Prepared {
    fn of(found: &Override, wanted: &[String], dimensions: usize) -> Self {
        let place = |tag: &str| wanted.iter().position(|name| name == tag);
        let mut prepared = Self::default();
        for (tag, written) in &found.tags {
            // What nothing is summed by would be set for nobody.
            let Some(set) = place(tag).filter(|place| *place < dimensions) else { continue };
            prepared.sets.push((set, tag.clone()));
            let reads = written.rule.reads();
            prepared.operation |= reads.texts.contains(&Text::Operation);
            prepared.host |= reads.texts.contains(&Text::SvcHost);
            let tags = reads.tags.iter().map(|tag| &**tag).chain(reads.texts.iter().filter_map(|text| tag_of(*text)));
            prepared.reads.extend(tags.filter_map(place));
        }
        prepared.reads.sort_unstable();
        prepared.reads.dedup();
        prepared
    }
}

impl Memo {
    /// Where in `values` those of this event begin: as they were found before for the same texts, or as the rules give them now.
    fn values_of(
        &mut self,
        number: usize,
        found: &Override,
        prepared: &Prepared,
        scope: &EventScope<'_, '_>,
        failed: &mut dyn FnMut(&'static str),
    ) -> usize {
        let event = scope.event;
        let texts = || {
            let operation = prepared.operation.then_some(event.operation);
            let host = prepared.host.then_some(event.host);
            let tags = prepared.reads.iter().map(|place| event.tags.get(*place).copied().unwrap_or_default());
            [event.namespace, event.service].into_iter().chain(operation).chain(host).chain(tags)
        };
        let hash = hash_texts(texts()) ^ number as u64;
        let Self { table, texts: held, values } = self;
        let same = |r: &Remembered| r.hash == hash && held.get(r.from..r.to).is_some_and(|held| are(held, texts()));
        if let Some(known) = table.find(hash, same) {
            return known.values;
        }
        if held.len() + 64 * values.len() > MEMO {
            table.clear();
            held.clear();
            values.clear();
        }
        let first = values.len();
        for (_, tag) in &prepared.sets {
            let mut room = String::new();
            let value = found.tags.get(tag).map(|written| guarded(|| written.rule.value(scope, &mut room).map(Box::from)));
            values.push(match value {
                Some(Ok(value)) => Some(value),
                Some(Err(reason)) => {
                    failed(reason);
                    None
                }
                None => None,
            });
        }
        let from = held.len();
        texts().for_each(|text| put_raw(text, held));
        table.insert_unique(hash, Remembered { hash, from, to: held.len(), values: first }, |r| r.hash);
        first
    }
}

/// Runs a rule. One that panics is a fault of ours, and still costs one service one result and nobody else anything.
pub(crate) fn guarded<T>(rule: impl FnOnce() -> Result<T, RunError>) -> Result<T, &'static str> {
    match catch_unwind(AssertUnwindSafe(rule)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(code(&error)),
        Err(_) => Err("panic"),
    }
}

/// Why a rule failed, as metrics have it.
fn code(error: &RunError) -> &'static str {
    match error {
        RunError::Missing(_) => "missing_value",
        RunError::DivisionByZero => "division_by_zero",
        RunError::NotFinite => "not_finite",
        RunError::NotALevel(_) => "not_a_level",
        RunError::NotAnOutcome => "not_an_outcome",
    }
}

/// One event, as an expression reads it.
struct EventScope<'a, 'e> {
    event: &'a Event<'e>,
    wanted: &'a [String],
}

impl Scope for EventScope<'_, '_> {
    fn number(&self, name: Number) -> Option<f64> {
        match name {
            Number::Status => self.event.status.http.map(|code| code as f64),
            Number::Latency => self.event.duration.map(crate::signal::latency::ms),
            _ => None,
        }
    }

    fn text(&self, name: Text) -> &str {
        match name {
            Text::Service => self.event.service,
            Text::Operation => self.event.operation,
            Text::SvcHost => self.event.host,
            Text::GrpcStatus => self.event.status.grpc.map_or("", Grpc::name),
            Text::StatusText => self.event.status.text.unwrap_or_default(),
            Text::ErrorType => self.event.error_type,
            Text::Outcome => self.event.outcome.name(),
            Text::Env | Text::Region | Text::Swimlane => tag_of(name).map_or("", |tag| self.tag(tag)),
        }
    }

    fn tag(&self, name: &str) -> &str {
        let place = self.wanted.iter().position(|wanted| wanted == name);
        place.and_then(|place| self.event.tags.get(place)).copied().unwrap_or_default()
    }
}
