//! What a controller sees: ends and committed positions, progress records, marks. All of it stands in logs.
//!
//! A probe reads on from where the one before ended, without a group; it commits nothing. Times are append times: the
//! clock of this machine says only how long ago the log last gave one, so a clock that is off by minutes changes nothing. What processes say
//! of themselves (`health`) is asked elsewhere and handed in.
//! What this does not do: it judges nothing (`decide`).

use crate::deployment::{Colour, Deployment};
use crate::health::{Answers, Health};
use crate::marks::{Cut, SCHEMA_CUT, SCHEMA_SEALED, Sealed};
use crate::orders::Orders;
use crate::receipt::is_over;
use crate::settings::{ControllerSettings, start_of};
use crate::tail::{Tail, back_to, back_to_enough};
use crate::worker::state::Beside;
use platform_core::codec::Cursor;
use platform_core::growth::{COLOUR_HEADER, EPOCH_HEADER, GROWTH_HEADER, Growth, IDENTITY_HEADER, SUMS_HEADER, Sums};
use platform_core::log::{Committed, Log, LogError};
use platform_core::record::{Partition, Record, Topic};
use platform_core::stage::COMMIT_NUMBER;
use platform_core::time::nanos;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Header that says which form a value has.
pub(crate) const SCHEMA: &str = "schema";
/// How many windows of a deployment are remembered in each partition.
const WINDOWS: usize = 64;

/// Everything that was seen at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Probe {
    /// When, on this process's own steady clock.
    pub at: Duration,
    /// What time it is by the log's clock, in ns; 0 while no record was seen.
    pub time: i64,
    /// Partitions of the public topic.
    pub partitions: u32,
    /// What runs, by colour. A colour without a running deployment, or without topics, is not there.
    pub colours: BTreeMap<Colour, ColourSeen>,
    /// The public topic, by partition.
    pub public: Vec<PublicSeen>,
    /// What the processes of a colour say of themselves, where somebody asks them.
    pub answers: BTreeMap<Colour, Answers>,
}

/// What is seen of a deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct ColourSeen {
    /// Which one.
    pub deployment: Deployment,
    /// Partitions of its `partials` and of its `signals`, which should be as many as of the public topic.
    pub counts: (u32, u32),
    /// By partition.
    pub partitions: Vec<InputSeen>,
}

/// What is seen of a deployment in one partition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InputSeen {
    /// End of its `partials`.
    pub end: u64,
    /// How far its last stage has read them; `None`: it has committed nothing.
    pub position: Option<u64>,
    /// Its newest windows, with their progress records.
    pub windows: BTreeMap<u64, WindowSeen>,
    /// Where router workers stand in its `signals`.
    pub router: Option<u64>,
    /// Whether router workers will not go on with this input: it is damaged, or says other sums than it has.
    pub torn: bool,
}

impl InputSeen {
    /// Its newest closed window.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.windows.last_key_value().map(|(window, _)| *window)
    }
}

/// A closed window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowSeen {
    /// When the log took its progress record, in ns.
    pub at: i64,
    /// What its progress record says.
    pub sums: Option<Sums>,
    /// Results that were not made from all of their input.
    pub incomplete: u64,
}

/// What is seen in one partition of the public topic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PublicSeen {
    /// Its end.
    pub end: u64,
    /// The newest published window, by which deployment, and when the log took its progress record from that.
    pub newest: Option<(u64, Deployment, i64)>,
    /// The process that holds it, as that said with its newest commit.
    pub holder: Option<String>,
    /// Cuts, by flip: those of flips that are not over, and perhaps others.
    pub cuts: BTreeMap<u64, Cut>,
    /// Sealed marks, by flip, as far as cuts are known.
    pub sealed: BTreeMap<u64, Sealed>,
}

/// Looks at the logs.
pub struct Observer {
    log: Arc<dyn Log>,
    settings: ControllerSettings,
    health: Arc<dyn Health>,
    signals: BTreeMap<Colour, (Tail, Vec<SignalsSeen>)>,
    public: Option<(Tail, Vec<PublicSeen>)>,
    /// Newest append time of all, and when it was first seen.
    newest: Option<(i64, Duration)>,
}

/// Windows of one partition of `signals`, of all deployments that wrote there.
#[derive(Default)]
struct SignalsSeen {
    closed: BTreeMap<(Deployment, u64), WindowSeen>,
    /// Incomplete results by window, until its progress record comes.
    incomplete: BTreeMap<(Deployment, u64), u64>,
}

impl Observer {
    /// An observer that has looked at nothing.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, settings: ControllerSettings, health: Arc<dyn Health>) -> Self {
        Self { log, settings, health, signals: BTreeMap::new(), public: None, newest: None }
    }

    /// Looks. `now` is this process's steady clock.
    ///
    /// # Errors
    /// When the public topic or what is committed cannot be read.
    pub fn probe(&mut self, orders: &Orders, now: Duration) -> Result<Probe, LogError> {
        let routed = self.look_at_workers()?;
        let (count, public) = self.look_at_public(orders, &routed)?;
        let answers = self.health.answers();
        let mut probe = Probe { at: now, time: 0, partitions: count, colours: BTreeMap::new(), public, answers };
        for colour in Colour::ALL {
            let Some(start) = orders.running(colour) else { continue };
            match self.look_at(start.deployment, &routed) {
                Ok(seen) => drop(probe.colours.insert(colour, seen)),
                // A colour may not be there yet.
                Err(LogError::UnknownTopic(_)) => drop(self.signals.remove(&colour)),
                Err(error) => return Err(error),
            }
        }
        let newest = probe.public.iter().filter_map(|p| p.newest.map(|(_, _, at)| at));
        let signals = self.signals.values().flat_map(|(_, seen)| seen.iter().flat_map(|p| p.closed.values().map(|w| w.at)));
        let orders = orders.flips().last().map(|flip| flip.at);
        if let Some(newest) = newest.chain(signals).chain(orders).max()
            && self.newest.is_none_or(|(before, _)| newest > before)
        {
            self.newest = Some((newest, now));
        }
        probe.time = self.newest.map_or(0, |(time, seen)| time.saturating_add(nanos(now.saturating_sub(seen))));
        Ok(probe)
    }

    /// Where router workers stand in the results of each colour that has any, and what they say beside it.
    fn look_at_workers(&self) -> Result<BTreeMap<Partition, Committed>, LogError> {
        let mut routed = BTreeMap::new();
        for topics in self.settings.colours.values() {
            let count = match self.log.partitions(&topics.signals) {
                Err(LogError::UnknownTopic(_)) => continue,
                count => count?,
            };
            for partition in (0..count).map(|index| Partition::new(&topics.signals, index)) {
                if let Some(committed) = self.log.committed(&self.settings.router_group, &partition)? {
                    routed.insert(partition, committed);
                }
            }
        }
        Ok(routed)
    }

    fn look_at(&mut self, deployment: Deployment, routed: &BTreeMap<Partition, Committed>) -> Result<ColourSeen, LogError> {
        let Self { log, settings, signals, .. } = self;
        let topics =
            settings.colours.get(&deployment.colour).ok_or_else(|| LogError::UnknownTopic(Topic::new(deployment.colour.name())))?;
        let counts = (log.partitions(&topics.partials)?, log.partitions(&topics.signals)?);
        let (tail, seen) = match signals.remove(&deployment.colour) {
            Some(known) => signals.entry(deployment.colour).or_insert(known),
            None => {
                // One that has just caught up has very much of little time.
                let windows = settings.checks.windows.saturating_add(3);
                let span = settings.window.saturating_mul(i64::try_from(windows).unwrap_or(i64::MAX));
                let progress = |record: &Record<'_>| {
                    record.headers.get(SCHEMA) == Some(settings.progress.as_bytes()) && deployment_of(record) == Some(deployment)
                };
                let from = back_to_enough(log, &topics.signals, &|newest| newest.saturating_sub(span), (windows, &progress))?;
                let tail = Tail::new(Arc::clone(log), &topics.signals, from);
                signals.entry(deployment.colour).or_insert((tail, Vec::new()))
            }
        };
        seen.resize_with(seen.len().max(counts.1 as usize), SignalsSeen::default);
        let progress = settings.progress.as_bytes();
        tail.read(&mut |index, record| {
            if let Some(partition) = seen.get_mut(index as usize) {
                partition.take(record, progress);
            }
        })?;
        let group = (settings.close_group)(deployment);
        let mut partitions = Vec::new();
        for (index, windows) in (0..counts.0.min(counts.1)).zip(seen.iter()) {
            let partials = Partition::new(&topics.partials, index);
            let routed = routed.get(&Partition::new(&topics.signals, index));
            partitions.push(InputSeen {
                end: log.bounds(&partials)?.1.0,
                position: log.committed(&group, &partials)?.map(|committed| committed.offset.0),
                windows: windows.of(deployment),
                router: routed.map(|committed| committed.offset.0),
                torn: routed.and_then(beside).is_some_and(|beside| beside.torn),
            });
        }
        Ok(ColourSeen { deployment, counts, partitions })
    }

    /// How far each partition is published stands beside the positions of router workers. The topic itself, which is large, is read for the
    /// marks of flips that are not over, and only while there is one.
    fn look_at_public(&mut self, orders: &Orders, routed: &BTreeMap<Partition, Committed>) -> Result<(u32, Vec<PublicSeen>), LogError> {
        let Self { log, settings, public, .. } = self;
        let count = log.partitions(&settings.public)?;
        let newest = orders.flips().last().filter(|newest| !is_over(newest)).map(|newest| newest.order.flip);
        let open = orders.flips().iter().find(|flip| flip.receipt.is_none() || newest == Some(flip.order.flip)).map(|flip| flip.at);
        let mut all = match open {
            None => {
                *public = None;
                vec![PublicSeen::default(); count as usize]
            }
            Some(since) => {
                let (tail, seen) = match public.take() {
                    Some(known) => public.insert(known),
                    None => {
                        // Marks lie behind the order. What another process ordered just now is seen a moment later than its marks.
                        let since = since.saturating_sub(settings.window);
                        let from = back_to(log, &settings.public, &|newest| newest.min(since))?;
                        public.insert((Tail::new(Arc::clone(log), &settings.public, from), Vec::new()))
                    }
                };
                seen.resize_with(seen.len().max(count as usize), PublicSeen::default);
                tail.read(&mut |index, record| {
                    if let Some(partition) = seen.get_mut(index as usize) {
                        partition.take(record);
                    }
                })?;
                seen.clone()
            }
        };
        for (index, partition) in (0..).zip(all.iter_mut()) {
            partition.end = log.bounds(&Partition::new(&settings.public, index))?.1.0;
            let committed = settings.colours.values().filter_map(|topics| routed.get(&Partition::new(&topics.signals, index)));
            // One commit speaks of all inputs.
            partition.holder = committed.clone().find_map(holder);
            for committed in committed {
                let newest = beside(committed).and_then(|beside| Some((beside.progress, beside.of?)));
                if let Some((window, (of, at))) = newest.filter(|(window, _)| partition.newest.is_none_or(|(known, ..)| *window > known)) {
                    partition.newest = Some((window, of, at));
                }
            }
        }
        Ok((count, all))
    }
}

/// What a router worker says beside its position.
fn beside(committed: &Committed) -> Option<Beside> {
    Beside::read(&mut Cursor::new(&committed.metadata)).ok()
}

/// What its process is called.
fn holder(committed: &Committed) -> Option<String> {
    let kept = committed.metadata.len().checked_sub(COMMIT_NUMBER).and_then(|length| committed.metadata.get(..length))?;
    Beside::name(kept).map(str::to_owned)
}

impl SignalsSeen {
    fn take(&mut self, record: &Record<'_>, progress: &[u8]) {
        let Some(deployment) = deployment_of(record) else { return };
        let Some(window) = record.headers.get(IDENTITY_HEADER).and_then(window_of) else { return };
        let of = (deployment, window);
        if record.headers.get(SCHEMA) == Some(progress) {
            let sums = record.headers.get(SUMS_HEADER).and_then(|bytes| Sums::decode(bytes).ok());
            let incomplete = self.incomplete.remove(&of).unwrap_or(0);
            self.closed.insert(of, WindowSeen { at: record.append_time.map_or(0, |time| time.0), sums, incomplete });
            let mine = |(d, _): &&(Deployment, u64)| *d == deployment;
            while self.closed.keys().filter(mine).count() > WINDOWS {
                let Some(oldest) = self.closed.keys().find(mine).copied() else { break };
                self.closed.remove(&oldest);
            }
            self.incomplete.retain(|(d, w), _| *d != deployment || *w > window);
        } else if !self.closed.contains_key(&of)
            && let Some(Ok(growth)) = record.headers.get(GROWTH_HEADER).map(Growth::decode)
            && !growth.complete
        {
            *self.incomplete.entry(of).or_default() += 1;
        }
    }

    fn of(&self, deployment: Deployment) -> BTreeMap<u64, WindowSeen> {
        self.closed.iter().filter(|((d, _), _)| *d == deployment).map(|((_, window), seen)| (*window, *seen)).collect()
    }
}

impl PublicSeen {
    fn take(&mut self, record: &Record<'_>) {
        let value = record.value.unwrap_or_default();
        match record.headers.get(SCHEMA) {
            Some(schema) if schema == SCHEMA_CUT.as_bytes() => match Cut::decode(value) {
                Ok(cut) => drop(self.cuts.insert(cut.flip, cut)),
                Err(error) => tracing::error!(offset = record.offset.0, %error, "a cut in the public topic cannot be read"),
            },
            Some(schema) if schema == SCHEMA_SEALED.as_bytes() => match Sealed::decode(value) {
                Ok(sealed) => drop(self.sealed.insert(sealed.flip, sealed)),
                Err(error) => tracing::error!(offset = record.offset.0, %error, "a sealed mark in the public topic cannot be read"),
            },
            _ => {}
        }
    }
}

/// Which deployment wrote a record.
pub(crate) fn deployment_of(record: &Record<'_>) -> Option<Deployment> {
    let text = |name| record.headers.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
    Some(Deployment { colour: text(COLOUR_HEADER)?.parse().ok()?, epoch: text(EPOCH_HEADER)?.parse().ok()? })
}

/// The window of an identity: its first eight bytes.
pub(crate) fn window_of(identity: &[u8]) -> Option<u64> {
    identity.first_chunk::<8>().map(|start| u64::from_be_bytes(*start))
}

impl Probe {
    /// The oldest and the newest published window over the partitions that have one.
    #[must_use]
    pub fn published(&self) -> Option<(u64, u64)> {
        let windows = || self.public.iter().filter_map(|p| p.newest.map(|(window, _, _)| window));
        windows().min().zip(windows().max())
    }

    /// The worst freshness of what is published: how long ago the newest window of a partition ended, in ns by the log's clock.
    #[must_use]
    pub fn age(&self, window_nanos: i64) -> Option<i64> {
        let (oldest, _) = self.published()?;
        Some(self.time.saturating_sub(start_of(oldest).saturating_add(window_nanos)))
    }
}
