//! A small world for tests: two deployments and router workers on a log in memory, as simple as they can be, under time that is moved.

use crate::control::give;
use crate::controller::Controller;
use crate::controller::observe::SCHEMA;
use crate::deployment::{Colour, Deployment};
use crate::health::{Answer, Answers, Health, Items};
use crate::marks::{Cut, SCHEMA_CUT, SCHEMA_SEALED, Sealed};
use crate::orders::{Entry, FlipKind, Order, Orders, Start};
use crate::settings::{Checks, ColourTopics, ControllerSettings};
use crate::worker::state::{Beside, put_name};
use platform_core::clock::Clock;
use platform_core::growth::{
    COLOUR_HEADER, EPOCH_HEADER, GROWTH_HEADER, Growth, HASH_HEADER, IDENTITY_HEADER, REVISION_HEADER, SUMS_HEADER, Sums,
};
use platform_core::log::{Claim, Committed, Log};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_core::stage::COMMIT_NUMBER;
use platform_core::time::SECOND;
use platform_runtime::memory::{AppendTimes, MemoryLog, TopicSettings};
use platform_testkit::clock::SimClock;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };
pub(crate) const GREEN: Deployment = Deployment { colour: Colour::Green, epoch: 2 };
const WINDOW: i64 = 60 * SECOND;
const RESULTS: &str = "results/1";
const PROGRESS: &str = "progress/1";

pub(crate) fn settings() -> ControllerSettings {
    let topics = |colour: Colour| ColourTopics {
        partials: Topic::new(&format!("p.{colour}.partials")),
        signals: Topic::new(&format!("p.{colour}.signals")),
    };
    ControllerSettings {
        pipeline: "p".to_owned(),
        control: Topic::new("p.control"),
        public: Topic::new("p"),
        colours: Colour::ALL.into_iter().map(|colour| (colour, topics(colour))).collect(),
        close_group: |of| format!("p.{of}.close"),
        router_group: "p.router".to_owned(),
        controller_group: "p.controller".to_owned(),
        progress: PROGRESS,
        results: RESULTS,
        name_of: |identity| format!("{} bytes", identity.len()),
        window: WINDOW,
        checks: Checks::default(),
    }
}

/// What is wrong with what workers publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spoilt {
    #[default]
    Nothing,
    /// A result that the progress record counts is not there.
    Lost,
    /// A first result is there twice.
    Doubled,
    /// A result is of blue, whoever is live.
    Foreign,
    /// A result has another hash than the progress record counts.
    Tampered,
}

/// What the processes say, as a test wants it.
#[derive(Default)]
struct Asked(Mutex<BTreeMap<Colour, Answers>>);

impl Health for Asked {
    fn answers(&self) -> BTreeMap<Colour, Answers> {
        self.0.lock().unwrap().clone()
    }
}

#[derive(Default)]
struct Side {
    folds: bool,
    closes: bool,
    torn: bool,
    miscounts: bool,
    /// Newest closed window, by its start.
    closed: i64,
    /// Windows from here on.
    results: BTreeSet<u64>,
}

/// Newest published window, whose and since when, cuts by flip, and flips that are sealed.
type Published = (u64, Option<(Deployment, i64)>, BTreeMap<u64, u64>, BTreeSet<u64>);

pub(crate) struct World {
    clock: Arc<SimClock>,
    memory: MemoryLog,
    partitions: u32,
    sides: BTreeMap<Colour, (Deployment, u32, Side)>,
    idle: bool,
    /// Workers do not come to reading the new deployment once more.
    slow: bool,
    spoilt: Spoilt,
    answers: Arc<Asked>,
    /// By partition.
    published: Vec<Published>,
    /// True time, which the clock of the log may be off from.
    now: i64,
}

fn sortable(start: i64) -> u64 {
    start.cast_unsigned() ^ (1 << 63)
}

impl World {
    pub(crate) fn new(partitions: u32) -> Self {
        Self::with_counts(partitions, partitions)
    }

    /// The second count is of green.
    pub(crate) fn with_counts(partitions: u32, green: u32) -> Self {
        let now = 1_767_225_600 * SECOND;
        let clock = Arc::new(SimClock::at(now));
        let memory = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as _));
        let set = settings();
        memory.create_topic(&set.control, 1, TopicSettings::default());
        memory.create_topic(&set.public, partitions, TopicSettings { markers: true, ..TopicSettings::default() });
        let mut sides = BTreeMap::new();
        for (deployment, count) in [(BLUE, partitions), (GREEN, green)] {
            let topics = &set.colours[&deployment.colour];
            memory.create_topic(&topics.partials, count, TopicSettings { markers: true, ..TopicSettings::default() });
            memory.create_topic(&topics.signals, count, TopicSettings { markers: true, ..TopicSettings::default() });
            sides.insert(deployment.colour, (deployment, count, Side { folds: true, closes: true, closed: now, ..Side::default() }));
        }
        let published = vec![(0, None, BTreeMap::new(), BTreeSet::new()); partitions as usize];
        let world = Self {
            clock,
            memory,
            partitions,
            sides,
            idle: false,
            slow: false,
            spoilt: Spoilt::Nothing,
            answers: Arc::default(),
            published,
            now,
        };
        world.start(BLUE, 0);
        world.start(GREEN, 0);
        world
    }

    fn start(&self, deployment: Deployment, owned_from: u64) {
        self.start_version(deployment, owned_from, "1");
    }

    fn start_version(&self, deployment: Deployment, owned_from: u64, version: &str) {
        let order = Order::Start(Start { deployment, version: version.to_owned(), owned_from, positions: vec![] });
        let entry = Entry { by: "world".to_owned(), reason: "a deploy".to_owned(), order };
        give(&self.log(), "p", &settings().control, |_| Some(entry)).unwrap();
    }

    pub(crate) fn redeploy(&mut self, deployment: Deployment, owned_from: u64) {
        self.redeploy_version(deployment, owned_from, "1");
    }

    pub(crate) fn redeploy_version(&mut self, deployment: Deployment, owned_from: u64, version: &str) {
        self.start_version(deployment, owned_from, version);
        let (of, _, side) = self.sides.get_mut(&deployment.colour).unwrap();
        *of = deployment;
        *side = Side { folds: true, closes: true, closed: side.closed, ..Side::default() };
        // It reads back as far as results may still be needed.
        side.closed = self.now - self.now.rem_euclid(WINDOW) - 10 * WINDOW;
    }

    pub(crate) fn window_in(&self, seconds: i64) -> u64 {
        sortable(self.now - self.now.rem_euclid(WINDOW) + seconds * SECOND)
    }

    pub(crate) fn log(&self) -> Arc<dyn Log> {
        Arc::new(self.memory.clone())
    }

    pub(crate) fn memory(&self) -> &MemoryLog {
        &self.memory
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    pub(crate) fn controller(&self, name: &str, leads: bool) -> Controller {
        Controller::new(self.log(), settings(), Arc::clone(&self.answers) as _, name, leads)
    }

    /// The process of a colour reads on: so much in all, and put aside so much of it.
    pub(crate) fn answer(&self, colour: Colour, ready: bool, read: u64, put_aside: u64) {
        let deployments = BTreeMap::from([(self.sides[&colour].0, Items { read, put_aside })]);
        self.answers.0.lock().unwrap().insert(colour, vec![Some(Answer { ready, deployments })]);
    }

    pub(crate) fn idle(&mut self) {
        self.idle = true;
    }

    /// What is wrong with what is published from now on.
    pub(crate) fn spoil(&mut self, spoilt: Spoilt) {
        self.spoilt = spoilt;
    }

    /// Whether workers come to reading the new deployment of a failure flip once more.
    pub(crate) fn slow(&mut self, slow: bool) {
        self.slow = slow;
    }

    pub(crate) fn stop_folding(&mut self, colour: Colour) {
        self.sides.get_mut(&colour).unwrap().2.folds = false;
    }

    pub(crate) fn stop_closing(&mut self, colour: Colour) {
        self.sides.get_mut(&colour).unwrap().2.closes = false;
    }

    pub(crate) fn tear(&mut self, colour: Colour) {
        self.sides.get_mut(&colour).unwrap().2.torn = true;
    }

    pub(crate) fn miscount(&mut self, colour: Colour) {
        self.sides.get_mut(&colour).unwrap().2.miscounts = true;
    }

    /// The clock of this machine and of the log is set to another time; nothing else notices.
    pub(crate) fn step_clock(&self, seconds: i64) {
        self.clock.step_wall(seconds * SECOND);
    }

    /// Seconds pass; each with a step of everybody.
    pub(crate) fn run(&mut self, controller: &mut Controller, seconds: u64) {
        for _ in 0..seconds {
            self.pass_a_second();
            controller.step(self.now()).unwrap();
        }
    }

    /// As `run`, without a controller.
    pub(crate) fn pass_a_second(&mut self) {
        self.clock.advance(Duration::from_secs(1));
        self.now += SECOND;
        self.fold_and_close();
        self.forward();
    }

    /// An order of a program that does not exist yet.
    pub(crate) fn order_of_a_newer_program(&self) {
        let headers = [(SCHEMA, b"platform-order/2".as_slice())];
        let newer = [NewRecord { key: None, headers: &headers, value: Some(b"{}") }];
        self.log().producer().unwrap().append(&Partition::new(&settings().control, 0), &newer).unwrap();
    }

    /// The first order is deleted.
    pub(crate) fn forget_the_first_order(&self) {
        self.memory.forget_before(&Partition::new(&settings().control, 0), Offset(1));
    }

    fn fold_and_close(&mut self) {
        let set = settings();
        for (deployment, count, side) in self.sides.values_mut() {
            let topics = &set.colours[&deployment.colour];
            let mut writer = self.memory.writer(&format!("{deployment}.fold")).unwrap();
            if side.folds {
                for index in 0..*count {
                    let record = NewRecord { value: Some(b"entries"), ..NewRecord::default() };
                    writer.append(&Partition::new(&topics.partials, index), record).unwrap();
                }
                writer.commit(&Claim { group: String::new(), member: 0, generation: 0 }, &[]).unwrap();
            }
            if !side.closes {
                continue;
            }
            let mut writer = self.memory.writer(&format!("{deployment}.close")).unwrap();
            if side.folds && !self.idle {
                while side.closed + WINDOW + 30 * SECOND <= self.now {
                    let window = sortable(side.closed);
                    (0..*count).for_each(|index| {
                        close(
                            *deployment,
                            side.miscounts,
                            &mut *writer,
                            &Partition::new(&topics.signals, index),
                            window,
                            (None, Spoilt::Nothing),
                        )
                    });
                    side.results.insert(window);
                    side.closed += WINDOW;
                }
            }
            let group = (set.close_group)(*deployment);
            let read: Vec<_> = (0..*count)
                .map(|index| {
                    let partition = Partition::new(&topics.partials, index);
                    let end = self.memory.bounds(&partition).unwrap().1;
                    (partition, Committed { offset: Offset(end.0.saturating_sub(1)), metadata: vec![] })
                })
                .collect();
            writer.commit(&Claim { group, member: 0, generation: 0 }, &read).unwrap();
        }
    }

    /// Router workers: one for each partition, all in one.
    fn forward(&mut self) {
        let set = settings();
        let mut reader = crate::control::OrdersReader::new(self.log(), &set.control);
        assert!(reader.refresh().unwrap());
        let orders = reader.orders();
        let mut writer = self.memory.writer("p.router").unwrap();
        let claim = Claim { group: set.router_group.clone(), member: 0, generation: 0 };
        for (index, (newest, of, cuts, sealed)) in (0..).zip(&mut self.published) {
            let to = Partition::new(&set.public, index);
            for flip in orders.flips() {
                let order = &flip.order;
                if cuts.contains_key(&order.flip) {
                    continue;
                }
                let at = if order.kind == FlipKind::Planned { order.window.max(*newest) } else { *newest };
                let (partition, flip, from, behind, kind) = (index, order.flip, order.from, order.to, order.kind);
                let cut = Cut { flip, partition, from, to: behind, kind, cut: at, positions: (1, 2), compared: None };
                let headers = [(SCHEMA, SCHEMA_CUT.as_bytes())];
                writer.append(&to, NewRecord { key: None, headers: &headers, value: Some(&cut.encode()) }).unwrap();
                cuts.insert(order.flip, at);
            }
            for flip in orders.flips().iter().filter(|flip| !self.slow && flip.order.kind == FlipKind::Failure) {
                let flip = flip.order.flip;
                if sealed.insert(flip) {
                    let mark = Sealed { flip, partition: index, looked_at: 0, revisions: 0 }.encode();
                    let headers = [(SCHEMA, SCHEMA_SEALED.as_bytes())];
                    writer.append(&to, NewRecord { key: None, headers: &headers, value: Some(&mark) }).unwrap();
                }
            }
            loop {
                let next = if *newest == 0 {
                    self.sides.values().filter_map(|s| s.2.results.first().copied()).min()
                } else {
                    Some(*newest + WINDOW as u64)
                };
                let Some(next) = next else { break };
                let owner = owner(orders, cuts, next);
                let (deployment, _, side) = &self.sides[&owner.colour];
                if *deployment != owner || side.torn || !side.results.contains(&next) {
                    break;
                }
                close(owner, side.miscounts, &mut *writer, &to, next, (Some("0"), self.spoilt));
                (*newest, *of) = (next, Some((owner, self.clock.wall())));
            }
        }
        let inputs = Colour::ALL.into_iter().flat_map(|colour| (0..self.partitions).map(move |index| (colour, index)));
        let read = inputs.map(|(colour, index)| {
            let (progress, of, ..) = &self.published[index as usize];
            let (progress, of) = (*progress, *of);
            let torn = self.sides[&colour].2.torn;
            let mut metadata = Vec::new();
            Beside { torn, progress, of, named: true, ..Beside::default() }.put(&mut metadata);
            put_name(&format!("process {index} on w"), &mut metadata);
            metadata.extend_from_slice(&[0; COMMIT_NUMBER]);
            (Partition::new(&set.colours[&colour].signals, index), Committed { offset: Offset(0), metadata })
        });
        writer.commit(&claim, &read.collect::<Vec<_>>()).unwrap();
    }
}

/// Who answers for a window: the old one of the first flip whose cut it is not behind, unless that was given up.
fn owner(orders: &Orders, cuts: &BTreeMap<u64, u64>, window: u64) -> Deployment {
    let live = orders.live().unwrap();
    let of = orders.flips().iter().find(|flip| window <= cuts[&flip.order.flip]).map_or(live, |flip| flip.order.from);
    if orders.is_abandoned(of) { live } else { of }
}

/// Writes a window of three results and its progress record.
fn close(
    deployment: Deployment,
    miscounts: bool,
    writer: &mut dyn platform_core::log::Writer,
    to: &Partition,
    window: u64,
    (revision, spoilt): (Option<&str>, Spoilt),
) {
    let epoch = deployment.epoch.to_string();
    let mut sums = Sums::default();
    for series in 0..3_u64 {
        let mut identity = window.to_be_bytes().to_vec();
        identity.extend_from_slice(&[to.index as u8, series as u8]);
        let events = 10 + series + u64::from(miscounts && series == 1);
        sums.add(events, window ^ series);
        let mut growth = Vec::new();
        Growth { revision_at: 0, complete: true, totals: vec![events] }.encode(&mut growth);
        if spoilt == Spoilt::Lost && series == 0 {
            continue;
        }
        let tampered = u64::from(spoilt == Spoilt::Tampered && series == 0);
        let hash = format!("{:016x}", window ^ series ^ (tampered << 60));
        let foreign = spoilt == Spoilt::Foreign && series == 0;
        let of_epoch = if foreign { BLUE.epoch.to_string() } else { epoch.clone() };
        let of_colour = if foreign { BLUE.colour } else { deployment.colour };
        let mut headers: Vec<(&str, &[u8])> = vec![
            (SCHEMA, RESULTS.as_bytes()),
            (IDENTITY_HEADER, &identity),
            (GROWTH_HEADER, &growth),
            (HASH_HEADER, hash.as_bytes()),
            (COLOUR_HEADER, of_colour.name().as_bytes()),
            (EPOCH_HEADER, of_epoch.as_bytes()),
        ];
        if let Some(revision) = revision {
            headers.push((REVISION_HEADER, revision.as_bytes()));
        }
        for _ in 0..1 + u64::from(spoilt == Spoilt::Doubled && series == 0) {
            writer.append(to, NewRecord { key: None, headers: &headers, value: Some(b"{}") }).unwrap();
        }
    }
    let identity = window.to_be_bytes();
    let sums = sums.encode();
    let headers: [(&str, &[u8]); 5] = [
        (SCHEMA, PROGRESS.as_bytes()),
        (IDENTITY_HEADER, &identity),
        (SUMS_HEADER, &sums),
        (COLOUR_HEADER, deployment.colour.name().as_bytes()),
        (EPOCH_HEADER, epoch.as_bytes()),
    ];
    writer.append(to, NewRecord { key: None, headers: &headers, value: Some(b"{}") }).unwrap();
}
