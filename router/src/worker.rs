//! A router worker, a merge stage: results of both colours in, the public topic out, partition by partition.
//!
//! Its state (`state`) is a fold over its own output: what stands on the public topic under which identity, up to where windows are whole, and
//! where it was cut. Which deployment answers for a window follows from the cuts (`authority`), what is published from the growth rule
//! (`rule`). Bytes pass through undecoded; the revision's digit is replaced in the value. An input that cannot be right is *torn*: it stays
//! where it is, says so beside its position, and the other one goes on.
//! What this does not do: it makes no result, judges no window, and decides no flip.

mod reconcile;
pub(crate) mod state;

use crate::authority::{Authority, CutAt, Verdict, cut_at};
use crate::control::{self, OrdersFeed};
use crate::deployment::{Colour, Deployment};
use crate::marks::{Cut, SCHEMA_CUT, SCHEMA_SEALED, Sealed};
use crate::orders::{Flip, Orders};
use crate::rule::{Decision, Published, decide};
use platform_core::codec::CodecError;
use platform_core::growth::{
    COLOUR_HEADER, EPOCH_HEADER, FORGOTTEN_HEADER, GROWTH_HEADER, Growth, HASH_HEADER, IDENTITY_HEADER, REVISION_HEADER, SUMS_HEADER, Sums,
};
use platform_core::log::{CommitError, Committed, Positions};
use platform_core::planted::{Bug, planted};
use platform_core::record::{NewRecord, Offset, Partition, Record, Topic};
use platform_core::stage::{Emit, MergeStage, StageError, Taken};
use platform_core::store::{Changes, Store};
use reconcile::Reconcile;
use state::State;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Number of the state's format; another one starts from an empty store and reads the own output.
pub const FORMAT: u32 = 3;
/// Header that says which form a value has.
const SCHEMA: &str = "schema";
/// Windows of which the sums of both deployments are kept to be compared.
const COMPARED: usize = 64;

/// Settings of a worker.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Label `pipeline` of its metrics.
    pub pipeline: String,
    /// Where each colour writes its results.
    pub inputs: Vec<(Colour, Topic)>,
    /// Schema → public topic; marks and progress records go to the first one. Records of another schema stop their input: nothing may be lost
    /// because it is not known.
    pub routes: Vec<(&'static str, Topic)>,
    /// Schema of progress records, which number no revision.
    pub progress: &'static str,
    /// Schema of the results that progress records sum up.
    pub summed: &'static str,
    /// How long an identity is remembered after its window's start at least, in ns; longer while results of it may come. 0: not at all, which
    /// is for bounded runs without corrections.
    pub remember: i64,
    /// What people call the process that it runs in: stands beside its positions, so that they see who holds a partition. Empty: nothing does.
    pub name: String,
}

/// One worker, for one partition number.
pub struct Worker {
    settings: WorkerSettings,
    feed: Arc<OrdersFeed>,
    /// Nothing follows from the control log: nothing is forwarded, cut or forgotten.
    stopped: bool,
    index: u32,
    routes: Vec<(&'static str, Partition)>,
    inputs: Vec<Input>,
    orders: Arc<Orders>,
    authority: Authority,
    state: State,
    /// Newest public window, or a cut that its owner has passed: what comes behind is waited for.
    through: u64,
    reconcile: Option<Reconcile>,
    /// Sums of windows as each deployment says them.
    sums: BTreeMap<u64, Vec<(Deployment, Sums)>>,
    value: Vec<u8>,
}

/// The results of one colour.
struct Input {
    colour: Colour,
    partition: Partition,
    next: Offset,
    held: Held,
    /// Its newest deployment heard of, and up to which window that has forgotten.
    forgotten: Option<(Deployment, u64)>,
}

/// Whether an input is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    No,
    /// Until something changes.
    Yes,
    /// It cannot be right.
    Torn,
}

/// The headers that a worker decides by, found in one pass: records of an input have about ten, and there are very many records.
#[derive(Clone, Copy, Default)]
struct Said<'a> {
    schema: Option<&'a [u8]>,
    identity: Option<&'a [u8]>,
    colour: Option<&'a [u8]>,
    epoch: Option<&'a [u8]>,
    growth: Option<&'a [u8]>,
    hash: Option<&'a [u8]>,
    sums: Option<&'a [u8]>,
    forgotten: Option<&'a [u8]>,
}

impl<'a> Said<'a> {
    fn of(record: &Record<'a>) -> Self {
        const SCHEMA_NAME: &[u8] = SCHEMA.as_bytes();
        const IDENTITY: &[u8] = IDENTITY_HEADER.as_bytes();
        const COLOUR: &[u8] = COLOUR_HEADER.as_bytes();
        const EPOCH: &[u8] = EPOCH_HEADER.as_bytes();
        const GROWTH: &[u8] = GROWTH_HEADER.as_bytes();
        const HASH: &[u8] = HASH_HEADER.as_bytes();
        const SUMS: &[u8] = SUMS_HEADER.as_bytes();
        const FORGOTTEN: &[u8] = FORGOTTEN_HEADER.as_bytes();
        let mut said = Self::default();
        for (name, value) in record.headers.bytes() {
            let place = match name {
                SCHEMA_NAME => &mut said.schema,
                IDENTITY => &mut said.identity,
                COLOUR => &mut said.colour,
                EPOCH => &mut said.epoch,
                GROWTH => &mut said.growth,
                HASH => &mut said.hash,
                SUMS => &mut said.sums,
                FORGOTTEN => &mut said.forgotten,
                _ => continue,
            };
            place.get_or_insert(value);
        }
        said
    }

    /// Which deployment wrote the record.
    fn deployment(&self) -> Result<Deployment, CodecError> {
        let text = |bytes: Option<&'a [u8]>| bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(CodecError::Text);
        let colour = text(self.colour)?.parse().map_err(|_| CodecError::Text)?;
        let epoch = text(self.epoch)?.parse().map_err(|_| CodecError::Text)?;
        Ok(Deployment { colour, epoch })
    }
}

/// What a worker knows of a record without its value.
struct Facts<'a> {
    of: Deployment,
    /// `None`: a progress record.
    route: Option<usize>,
    identity: &'a [u8],
    window: u64,
    said: Said<'a>,
}

impl Worker {
    /// A worker of partition number `index`. It takes orders from `feed`.
    #[must_use]
    pub fn new(settings: WorkerSettings, feed: Arc<OrdersFeed>, index: u32) -> Self {
        let routes = settings.routes.iter().map(|(schema, topic)| (*schema, Partition::new(topic, index))).collect::<Vec<_>>();
        let input = |(colour, topic): &(Colour, Topic)| Input {
            colour: *colour,
            partition: Partition::new(topic, index),
            next: Offset(0),
            held: Held::No,
            forgotten: None,
        };
        let mut outputs: Vec<Partition> = Vec::new();
        for (_, output) in &routes {
            if !outputs.contains(output) {
                outputs.push(output.clone());
            }
        }
        Self {
            inputs: settings.inputs.iter().map(input).collect(),
            state: State::new(outputs, settings.remember),
            settings,
            feed,
            stopped: false,
            index,
            routes,
            orders: Arc::default(),
            authority: Authority::default(),
            through: 0,
            reconcile: None,
            sums: BTreeMap::new(),
            value: Vec::new(),
        }
    }

    fn count(&self, reason: &'static str) {
        metrics::counter!("platform_router_passed_over_total", "pipeline" => self.settings.pipeline.clone(), "reason" => reason)
            .increment(1);
    }

    fn violated(&self, name: &'static str) {
        metrics::counter!("platform_invariant_violations_total", "pipeline" => self.settings.pipeline.clone(), "name" => name).increment(1);
    }

    /// Who is live cannot be known any more: whatever was forwarded now could be of a deployment that was given up.
    fn stop(&mut self, unusable: &control::Unusable) {
        if !std::mem::replace(&mut self.stopped, true) {
            metrics::counter!("platform_router_pages_total", "pipeline" => self.settings.pipeline.clone()).increment(1);
            tracing::error!(partition = self.index, reason = %unusable, "a person is needed: nothing is forwarded");
        }
    }

    /// What the headers of a record of an input say, which is of `of`.
    fn facts<'a>(&self, of: Deployment, said: Said<'a>) -> Result<Facts<'a>, CodecError> {
        let schema = said.schema.ok_or(CodecError::Truncated)?;
        let identity = said.identity.ok_or(CodecError::Truncated)?;
        let route = self.routes.iter().position(|(name, _)| name.as_bytes() == schema);
        if route.is_none() && schema != self.settings.progress.as_bytes() {
            return Err(CodecError::Unknown { what: "schema of length", value: schema.len() as u64 });
        }
        Ok(Facts { of, route, identity, window: window_of(identity), said })
    }

    /// A result of whoever answers for its window. Gives whether it was published.
    fn offer(&mut self, facts: &Facts<'_>, record: &Record<'_>, store: &dyn Store, out: &mut dyn Emit) -> Result<bool, Unusable> {
        let Facts { of, route: Some(route), identity, window, said } = *facts else { return Ok(false) };
        let growth = Growth::decode(said.growth.ok_or(CodecError::Truncated)?)?;
        let hash = said.hash.map_or(Ok(0), hash_of)?;
        let value = record.value.ok_or(CodecError::Truncated)?;
        if window < self.state.purged() {
            // Whether it was published, and as what, is not known any more.
            self.count("forgotten");
            return Ok(false);
        }
        let before = self.state.published(identity, store)?;
        let decision = if planted(Bug::NoGrowthRule) { next_of(before.as_ref()) } else { decide(before.as_ref(), &growth) };
        let summed = self.routes.get(route).is_some_and(|(schema, _)| *schema == self.settings.summed);
        let passed = match decision {
            Decision::Publish(revision) => {
                self.value.clear();
                splice(value, growth.revision_at, revision, &mut self.value);
                self.state.publish(identity, Published::of(revision, growth, of.epoch), of, summed.then_some(hash));
                self.forward(route, record, Some(revision), out)?;
                return Ok(true);
            }
            Decision::Same => "same",
            Decision::Stale => "stale",
            Decision::Conflict if before.is_some_and(|before| before.by != of.epoch) => "crossed",
            Decision::Conflict => {
                self.violated("I17 growing");
                tracing::error!(offset = record.offset.0, "two results of one identity cannot both be right; the first stands");
                "conflict"
            }
        };
        self.state.seen_again(window, of);
        self.count(passed);
        Ok(false)
    }

    /// The record with the value that lies ready, to its public partition.
    fn forward(&self, route: usize, record: &Record<'_>, revision: Option<u64>, out: &mut dyn Emit) -> Result<(), CommitError> {
        let number = revision.map(|revision| revision.to_string());
        let own = number.as_ref().map(|number| (REVISION_HEADER, number.as_bytes()));
        let passed = NewRecord { key: record.key, headers: own.as_slice(), value: Some(&self.value) };
        self.routes.get(route).map_or(Ok(()), |(_, to)| out.pass_on(to, record.headers, passed))
    }

    /// A progress record of whoever answers for its window: published when everything that it sums up stands on the public topic.
    fn progress(&mut self, facts: &Facts<'_>, record: &Record<'_>, out: &mut dyn Emit) -> Result<(), Unusable> {
        if facts.window <= self.state.progress() {
            return Ok(());
        }
        let said = Sums::decode(facts.said.sums.ok_or(CodecError::Truncated)?)?;
        if !self.state.is_whole(facts.window, facts.of, said) {
            return Err(Unusable::Sums { window: facts.window, said, published: self.state.tally_of(facts.window) });
        }
        self.value.clear();
        self.value.extend_from_slice(record.value.ok_or(CodecError::Truncated)?);
        self.forward(0, record, None, out)?;
        self.state.progressed(facts.window, Some(facts.of), record.append_time.map_or(0, |time| time.0));
        self.through = self.through.max(facts.window);
        let forgotten = self.forgotten();
        self.state.forgets(forgotten);
        if let Some(log) = self.feed.log().filter(|_| self.settings.remember > 0) {
            self.state.look_at_ends(&**log);
        }
        self.wake();
        Ok(())
    }

    /// Up to which window no result can come any more, of any deployment that answers for some; 0 when one has not said.
    fn forgotten(&self) -> u64 {
        let said = |of: Deployment| self.inputs.iter().find_map(|i| i.forgotten.filter(|(d, _)| *d == of)).map_or(0, |(_, at)| at);
        self.authority.owners().map(said).min().unwrap_or(0)
    }

    /// Inputs that were held back are offered again: something has changed.
    fn wake(&mut self) {
        for input in self.inputs.iter_mut().filter(|input| input.held == Held::Yes) {
            input.held = Held::No;
        }
    }

    /// What a progress record says besides, also one that is not published.
    fn note(&mut self, place: usize, facts: &Facts<'_>) {
        if facts.route.is_some() {
            return;
        }
        let forgotten = facts.said.forgotten.map_or(u64::MAX, window_of);
        if let Some(input) = self.inputs.get_mut(place) {
            input.forgotten = Some((facts.of, forgotten));
        }
        let Some(sums) = facts.said.sums.and_then(|bytes| Sums::decode(bytes).ok()) else { return };
        let known = self.sums.entry(facts.window).or_default();
        if known.iter().any(|(of, _)| *of == facts.of) {
            return;
        }
        known.push((facts.of, sums));
        if let [(one, first), (other, second)] = known.as_slice()
            && one.colour != other.colour
        {
            let version = |of: &Deployment| self.orders.start_of(*of).map(|start| &start.version);
            let result = match (first == second, version(one) == version(other)) {
                (true, _) => "equal",
                (false, true) => "different",
                (false, false) => "other_version",
            };
            metrics::counter!("platform_router_compared_windows_total", "pipeline" => self.settings.pipeline.clone(), "result" => result)
                .increment(1);
            if result == "different" {
                tracing::warn!(partition = self.index, window = facts.window, ?first, ?second, "the two deployments differ in a window");
            }
        }
        while self.sums.len() > COMPARED {
            self.sums.pop_first();
        }
    }

    fn take(&mut self, place: usize, record: &Record<'_>, store: &dyn Store, out: &mut dyn Emit) -> Result<Taken, Unusable> {
        let Some(colour) = self.inputs.get(place).map(|input| input.colour) else { return Ok(Taken::Yes) };
        let said = Said::of(record);
        let of = match said.deployment() {
            Ok(of) if planted(Bug::EpochIgnoredByRouter) => self.orders.running(of.colour).map_or(of, |start| start.deployment),
            Ok(of) => of,
            // Whoever had the place then: what has ended does not stand in the way of what comes behind it.
            Err(error) => self.orders.at(colour, record.append_time.map_or(i64::MAX, |time| time.0)).ok_or(error)?,
        };
        let known = self.orders.start_of(of).is_some();
        if !known && self.orders.next_epoch() <= of.epoch {
            // Its order is on the way, or it is nothing of ours: then somebody must look.
            return Ok(Taken::Held);
        }
        let ended = self.orders.is_abandoned(of) && !planted(Bug::AbandonedForwarded);
        if !known || ended || of.colour != colour {
            self.count("foreign");
            return Ok(Taken::Yes);
        }
        let facts = self.facts(of, said)?;
        self.note(place, &facts);
        loop {
            match self.authority.judge(facts.of, facts.window, self.through) {
                Verdict::Hold if planted(Bug::StandbyNotHeld) => return Ok(Taken::Yes),
                Verdict::Hold => return Ok(Taken::Held),
                Verdict::Drop => {
                    self.count("standby");
                    return Ok(Taken::Yes);
                }
                Verdict::Passed(end) => {
                    self.through = end;
                    self.wake();
                }
                Verdict::Forward if facts.route.is_none() => return self.progress(&facts, record, out).map(|()| Taken::Yes),
                Verdict::Forward => return self.offer(&facts, record, store, out).map(|_| Taken::Yes),
            }
        }
    }

    /// Makes the cuts that were ordered and are not made.
    fn cut(&mut self, out: &mut dyn Emit) -> Result<(), CommitError> {
        let orders = Arc::clone(&self.orders);
        self.authority.first = orders.first();
        for flipped in orders.flips() {
            let Flip { flip, from, to, kind, window } = flipped.order;
            if flip <= self.state.flip() {
                if self.state.cuts().iter().all(|cut| cut.flip != flip) {
                    // Made so long ago that its mark lies before everything that is remembered.
                    self.state.cut(CutAt { flip, from, to, at: 0, sealed: true });
                }
                continue;
            }
            let at = cut_at(kind, window, self.state.newest(), self.state.progress());
            let position = |of: Deployment| self.inputs.iter().find(|i| i.colour == of.colour).map_or(0, |i| i.next.0);
            let sums = |of: Deployment| Some(self.sums.get(&self.state.progress())?.iter().find(|(d, _)| *d == of)?.1);
            let compared = Some((self.state.progress(), sums(from), sums(to))).filter(|(window, ..)| *window > 0);
            let mark = Cut { flip, partition: self.index, from, to, kind, cut: at, positions: (position(from), position(to)), compared };
            self.mark(SCHEMA_CUT, &mark.encode(), out)?;
            tracing::info!(partition = self.index, flip, %from, %to, cut = at, "cut");
            self.state.cut(CutAt { flip, from, to, at, sealed: false });
        }
        self.authority.cuts = self.state.cuts().to_vec();
        if !planted(Bug::AbandonedForwarded) {
            self.authority.abandoned = orders.abandoned().clone();
        }
        self.authority.sealing = orders.flips().iter().filter(|flip| flip.sealed).map(|flip| flip.order.flip).collect();
        Ok(())
    }

    fn mark(&self, schema: &str, value: &[u8], out: &mut dyn Emit) -> Result<(), CommitError> {
        let headers = [(SCHEMA, schema.as_bytes()), ("content-type", b"application/json".as_slice())];
        match self.routes.first() {
            Some((_, to)) => out.append(to, NewRecord { key: None, headers: &headers, value: Some(value) }),
            None => Ok(()),
        }
    }

    /// Flips whose old deployment answers no more, and whose new one has not yet answered for the windows before the cut.
    fn unsealed(&self) -> Vec<&CutAt> {
        self.authority.cuts.iter().filter(|cut| !cut.sealed && self.authority.is_out(cut)).collect()
    }

    /// A piece of reading results once more, of the deployment that answers for the windows of one that is out. `true`: there is more.
    fn reconcile(&mut self, store: &dyn Store, out: &mut dyn Emit) -> Result<bool, StageError> {
        if self.reconcile.is_none() {
            let unsealed: Vec<u64> = self.unsealed().iter().map(|cut| cut.flip).collect();
            let heir = unsealed.first().and_then(|flip| self.authority.heir(*flip));
            let (Some(heir), Some(log)) = (heir, self.feed.log()) else { return Ok(false) };
            let flips = unsealed.into_iter().filter(|flip| self.authority.heir(*flip) == Some(heir)).collect();
            let input = self.inputs.iter().find(|input| input.colour == heir.colour);
            let Some(input) = input else { return Ok(false) };
            match Reconcile::new(&**log, heir, flips, &input.partition, input.next) {
                Ok(reconcile) => self.reconcile = Some(reconcile),
                Err(error) => {
                    tracing::warn!(%error, "results cannot be read once more: tried again");
                    return Ok(false);
                }
            }
        }
        let Some(mut reconcile) = self.reconcile.take() else { return Ok(false) };
        let of = reconcile.of();
        if reconcile.flips().iter().any(|flip| self.authority.heir(*flip) != Some(of)) {
            return Ok(true);
        }
        let limit = self.through;
        let read = reconcile.read(|record| {
            let said = Said::of(record);
            let Ok(facts) = said.deployment().and_then(|of| self.facts(of, said)) else { return Ok(None) };
            // What lies behind goes the usual way.
            if facts.of != of || self.authority.owner(facts.window) != Some(of) || facts.route.is_none() || facts.window > limit {
                return Ok(None);
            }
            match self.offer(&facts, record, store, out) {
                Ok(published) => Ok(Some(published)),
                // Where it came the first time its input was torn; nothing is worse than before.
                Err(Unusable::Record(_) | Unusable::Sums { .. }) => Ok(None),
                Err(Unusable::Stage(error)) => Err(error),
            }
        });
        match read {
            Ok(true) => {
                self.reconcile = Some(reconcile);
                Ok(true)
            }
            Ok(false) => {
                for flip in reconcile.flips() {
                    let sealed =
                        Sealed { flip: *flip, partition: self.index, looked_at: reconcile.looked_at, revisions: reconcile.revisions };
                    self.mark(SCHEMA_SEALED, &sealed.encode(), out)?;
                    self.state.seal(*flip);
                }
                tracing::info!(partition = self.index, looked_at = reconcile.looked_at, revisions = reconcile.revisions, "sealed");
                self.authority.cuts = self.state.cuts().to_vec();
                self.wake();
                Ok(true)
            }
            Err(reconcile::Stopped::Stage(error)) => Err(error),
            Err(reconcile::Stopped::Log(error)) => {
                tracing::warn!(%error, "results cannot be read once more: tried again");
                Ok(false)
            }
        }
    }
}

/// Why a record of an input cannot be forwarded.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("it cannot be read: {0}")]
    Record(#[from] CodecError),
    #[error("window {window}: it sums up to {said:?}, and what is published to {published:?}")]
    Sums { window: u64, said: Sums, published: Sums },
    /// Nothing is wrong with the record.
    #[error(transparent)]
    Stage(StageError),
}

impl From<StageError> for Unusable {
    fn from(error: StageError) -> Self {
        Self::Stage(error)
    }
}

impl From<CommitError> for Unusable {
    fn from(error: CommitError) -> Self {
        Self::Stage(error.into())
    }
}

fn hash_of(text: &[u8]) -> Result<u64, CodecError> {
    std::str::from_utf8(text).ok().and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or(CodecError::Text)
}

/// The planted mistake of publishing whatever comes.
fn next_of(before: Option<&Published>) -> Decision {
    Decision::Publish(before.map_or(0, |published| published.revision + 1))
}

/// Replaces the digit at `at` by a number. A position outside of the value leaves it as it is.
fn splice(value: &[u8], at: usize, revision: u64, out: &mut Vec<u8>) {
    match (value.get(..at), value.get(at + 1..)) {
        (Some(head), Some(tail)) => {
            out.extend_from_slice(head);
            if revision < 10 {
                out.push(b'0' + revision.to_le_bytes()[0]);
            } else {
                out.extend_from_slice(revision.to_string().as_bytes());
            }
            out.extend_from_slice(tail);
        }
        _ => out.extend_from_slice(value),
    }
}

/// The window of an identity: its first eight bytes, which rise with it.
fn window_of(identity: &[u8]) -> u64 {
    identity.first_chunk::<8>().map_or(0, |start| u64::from_be_bytes(*start))
}

impl MergeStage for Worker {
    fn outputs(&self) -> Vec<Partition> {
        self.state.outputs().to_vec()
    }

    fn restore(&mut self, store: &dyn Store, inputs: &[(Partition, Option<Committed>)]) -> Result<Positions, StageError> {
        for input in &mut self.inputs {
            let committed =
                inputs.iter().find(|(partition, _)| *partition == input.partition).and_then(|(_, committed)| committed.as_ref());
            input.next = committed.map_or(Offset(0), |committed| committed.offset);
        }
        let beside: Vec<&[u8]> = inputs.iter().filter_map(|(_, c)| Some(c.as_ref()?.metadata.as_slice())).collect();
        self.state.restore(store, &beside)
    }

    fn recall(&mut self, of: &Partition, record: &Record<'_>, store: &dyn Store) -> Result<(), StageError> {
        let unreadable = |source| StageError::Unreadable { offset: record.offset, source };
        let schema = record.headers.get(SCHEMA).unwrap_or_default();
        if schema == SCHEMA_CUT.as_bytes() {
            let cut = Cut::decode(record.value.unwrap_or_default()).map_err(|_| unreadable(CodecError::Text))?;
            self.state.recall_cut(of, record.offset, &cut);
        } else if schema == SCHEMA_SEALED.as_bytes() {
            let sealed = Sealed::decode(record.value.unwrap_or_default()).map_err(|_| unreadable(CodecError::Text))?;
            self.state.seal(sealed.flip);
        } else if schema == self.settings.progress.as_bytes() {
            let window = window_of(record.headers.get(IDENTITY_HEADER).unwrap_or_default());
            self.state.progressed(window, Said::of(record).deployment().ok(), record.append_time.map_or(0, |time| time.0));
        } else if let Some((name, _)) = self.routes.iter().find(|(name, _)| name.as_bytes() == schema) {
            let header = |name| record.headers.get(name).ok_or(unreadable(CodecError::Truncated));
            // Records of programs before this one do not say; then nothing is known to grow from.
            let growth = record.headers.get(GROWTH_HEADER).map_or(Ok(Growth::default()), Growth::decode).map_err(unreadable)?;
            let revision = std::str::from_utf8(header(REVISION_HEADER)?).ok().and_then(|text| text.parse().ok());
            let revision = revision.ok_or(unreadable(CodecError::Text))?;
            let hash = record.headers.get(HASH_HEADER).map_or(Ok(0), hash_of).map_err(unreadable)?;
            let by = Said::of(record).deployment().map_err(unreadable)?;
            let published = Published::of(revision, growth, by.epoch);
            let summed = (*name == self.settings.summed).then_some(hash);
            self.state.recall(of, record.offset, header(IDENTITY_HEADER)?, published, by, summed, store).map_err(|error| match error {
                Unusable::Record(source) => unreadable(source),
                Unusable::Stage(error) => error,
                Unusable::Sums { .. } => unreadable(CodecError::Text),
            })?;
        }
        Ok(())
    }

    fn recalled(&mut self, ends: &Positions) {
        self.state.recalled(ends);
        self.through = self.state.progress();
    }

    fn goes_on(&self, input: &Partition) -> bool {
        !self.stopped && self.authority.first.is_some() && self.inputs.iter().any(|i| i.partition == *input && i.held == Held::No)
    }

    fn apply(&mut self, input: &Partition, record: &Record<'_>, store: &dyn Store, out: &mut dyn Emit) -> Result<Taken, StageError> {
        let Some(place) = self.inputs.iter().position(|i| i.partition == *input) else { return Ok(Taken::Yes) };
        if self.stopped {
            return Ok(Taken::Held);
        }
        let (taken, held) = match self.take(place, record, store, out) {
            Ok(Taken::Yes) => (Taken::Yes, Held::No),
            Ok(Taken::Held) => (Taken::Held, Held::Yes),
            Err(Unusable::Stage(error)) => return Err(error),
            Err(error) => {
                self.violated("I18 whole windows");
                tracing::error!(%input, offset = record.offset.0, %error, "a deployment's results are torn: nothing more of it is forwarded");
                (Taken::Held, Held::Torn)
            }
        };
        if let Some(input) = self.inputs.get_mut(place) {
            input.held = held;
            if taken == Taken::Yes {
                input.next = record.offset.next();
            }
        }
        Ok(taken)
    }

    fn look(&mut self, store: &dyn Store, out: &mut dyn Emit) -> Result<bool, StageError> {
        let orders = match self.feed.newest() {
            Ok(orders) => orders,
            Err(unusable) => {
                self.stop(&unusable);
                return Ok(false);
            }
        };
        if !Arc::ptr_eq(&orders, &self.orders) || self.authority.first.is_none() {
            self.orders = orders;
            self.cut(out)?;
            self.inputs.iter_mut().for_each(|input| input.held = Held::No);
        }
        self.reconcile(store, out)
    }

    fn metadata(&self, input: &Partition) -> Vec<u8> {
        let torn = self.inputs.iter().any(|i| i.partition == *input && i.held == Held::Torn);
        let mut bytes = Vec::new();
        self.state.put_beside(torn, &self.settings.name, &mut bytes);
        bytes
    }

    fn changes(&mut self, changes: &mut Changes) {
        // Before the orders are known nobody can say whether something is to be read once more.
        let keep = self.stopped || self.authority.first.is_none() || !self.unsealed().is_empty();
        self.state.changes(changes, keep);
    }

    fn held(&self) -> usize {
        self.state.held()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digit_of_the_revision_is_replaced_and_nothing_else() {
        for (value, at, revision, expected) in [
            (&b"r 0 \xff"[..], 2, 7, &b"r 7 \xff"[..]),
            (b"r 0 \xff", 2, 10, b"r 10 \xff"),
            (b"0", 0, u64::MAX, b"18446744073709551615"),
            (b"r 0", 2, 3, b"r 3"),
            (b"r 0", 3, 3, b"r 0"),
            (b"", 0, 3, b""),
        ] {
            let mut out = Vec::new();
            splice(value, at, revision, &mut out);
            assert_eq!(out, expected, "{revision} at {at}");
        }
    }
}
