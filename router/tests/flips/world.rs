//! A log with two colours that are written by hand, and a worker that is stepped by hand.

use golden_router::control::{OrdersFeed, give};
use golden_router::deployment::{Colour, Deployment};
use golden_router::marks::{Cut, SCHEMA_CUT, SCHEMA_SEALED, Sealed};
use golden_router::orders::{Entry, Flip, FlipKind, Order, Start};
use golden_router::worker::{FORMAT, Worker, WorkerSettings};
use platform_core::clock::Clock;
use platform_core::growth::*;
use platform_core::log::{Log, Polled, Positions, Subscription};
use platform_core::record::{NewRecord, Offset, Partition, Topic};
use platform_core::store::Stores;
use platform_runtime::memory::{AppendTimes, MemoryLog, MemoryStores, TopicSettings};
use platform_runtime::merge_task::{MergeParts, MergeTask};
use platform_runtime::task::{Place, RuntimeSettings, TaskError, TaskSetup};
use platform_testkit::clock::SimClock;
use platform_testkit::log::FaultyLog;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub const BLUE: Deployment = Deployment { colour: Colour::Blue, epoch: 1 };
pub const GREEN: Deployment = Deployment { colour: Colour::Green, epoch: 2 };
/// Metadata beside a position begins with this where its input is torn.
pub const TORN: u8 = 1;

pub fn topic(name: &str) -> Topic {
    Topic::new(name)
}

fn signals(of: Deployment) -> Partition {
    Partition::new(&topic(&format!("{}.signals", of.colour)), 0)
}

/// What stands in the public partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Window, name, revision, events, and who computed it.
    Result(u64, String, u64, u64, Deployment),
    Progress(u64, Deployment),
    Cut(u64, u64),
    Sealed(u64),
}

/// Name and value.
pub type Header = (Vec<u8>, Vec<u8>);
/// A header that no program of ours writes.
pub const ODD_HEADER: (&str, &[u8]) = ("x-odd", b"\xff\0 \xc3\xa9");

pub struct World {
    pub memory: MemoryLog,
    pub log: FaultyLog,
    pub clock: Arc<SimClock>,
    pub stores: MemoryStores,
    pub task: Option<MergeTask>,
    instance: u32,
    remember: i64,
    /// By deployment and window: what its finals sum up to.
    sums: BTreeMap<(Deployment, u64), Sums>,
    /// What progress records say: no result of a window before this one comes any more.
    pub forgotten: u64,
}

impl World {
    pub fn new(remember: i64) -> Self {
        let clock = Arc::new(SimClock::at(1_000_000));
        let memory = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as Arc<dyn Clock>));
        for name in ["blue.signals", "green.signals", "public", "late", "control"] {
            memory.create_topic(&topic(name), 1, TopicSettings { markers: true, ..TopicSettings::default() });
        }
        let log = FaultyLog::new(Arc::new(memory.clone()));
        let mut world = Self {
            memory,
            log,
            clock,
            stores: MemoryStores::default(),
            task: None,
            instance: 0,
            remember,
            sums: BTreeMap::new(),
            forgotten: 0,
        };
        world.start(BLUE);
        world.start(GREEN);
        world.restart(true);
        world
    }

    pub fn start(&self, deployment: Deployment) {
        self.order(Order::Start(Start { deployment, version: "1".to_owned(), owned_from: 0, positions: vec![] }));
    }

    pub fn order(&self, order: Order) {
        let log: Arc<dyn Log> = Arc::new(self.memory.clone());
        give(&log, "p", &topic("control"), |_| Some(Entry { by: "mina".to_owned(), reason: String::new(), order })).unwrap();
    }

    pub fn flip(&self, flip: u64, from: Deployment, to: Deployment, kind: FlipKind, window: u64) {
        self.order(Order::Flip(Flip { flip, from, to, kind, window }));
    }

    /// An order of a program that does not exist yet.
    pub fn order_of_a_newer_program(&self) {
        let newer = NewRecord { key: None, headers: &[("schema", b"platform-order/2")], value: Some(b"{}") };
        self.memory.producer().unwrap().append(&Partition::new(&topic("control"), 0), &[newer]).unwrap();
    }

    /// The first order is deleted.
    pub fn forget_the_first_order(&self) {
        self.memory.forget_before(&Partition::new(&topic("control"), 0), Offset(1));
    }

    /// The worker's process ends and another one begins, with its disk or without.
    pub fn restart(&mut self, with_disk: bool) {
        self.task = None;
        if !with_disk {
            self.stores = MemoryStores::default();
        }
        self.instance += 1;
        self.task = Some(self.worker().unwrap());
    }

    fn worker(&self) -> Result<MergeTask, TaskError> {
        let log: Arc<dyn Log> = Arc::new(self.log.clone());
        let setup = TaskSetup {
            pipeline: "p".to_owned(),
            stage: "router".to_owned(),
            reads: Colour::ALL.iter().map(|colour| topic(&format!("{colour}.signals"))).collect(),
            slot: 0,
            place: Arc::new(Place { instance: format!("i{}", self.instance), ..Place::default() }),
            log: Arc::clone(&log),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            settings: RuntimeSettings { commit_interval: Duration::from_millis(100), ..RuntimeSettings::default() },
            signal: Arc::default(),
        };
        let settings = WorkerSettings {
            pipeline: "p".to_owned(),
            inputs: Colour::ALL.iter().map(|colour| (*colour, topic(&format!("{colour}.signals")))).collect(),
            routes: vec![("r/1", topic("public")), ("l/1", topic("late"))],
            progress: "w/1",
            summed: "r/1",
            remember: self.remember,
            name: format!("i{}", self.instance),
        };
        let feed = OrdersFeed::of_log(Arc::clone(&log), &topic("control"));
        let make =
            move |index| -> Box<dyn platform_core::stage::MergeStage> { Box::new(Worker::new(settings.clone(), Arc::clone(&feed), index)) };
        let reader = log.reader(&setup.subscription())?;
        let stores: Arc<dyn Stores> = Arc::new(self.stores.clone());
        MergeTask::new(setup, MergeParts { make: Arc::new(Box::new(make)), format: FORMAT, stores }, reader)
    }

    /// One step, and time goes on. A task that the log has ended begins anew.
    pub fn step(&mut self) {
        self.clock.advance(Duration::from_millis(30));
        let done = self.task.as_mut().unwrap().step(Duration::ZERO);
        match done {
            Ok(_) => {}
            Err(TaskError::Fenced(_)) => self.restart(true),
            Err(error) => panic!("{error}"),
        }
    }

    pub fn settle(&mut self) {
        (0..120).for_each(|_| self.step());
    }

    fn append(&self, of: Deployment, headers: &[(&str, &[u8])], value: &[u8]) {
        let producer = self.memory.producer().unwrap();
        let epoch = of.epoch.to_string();
        let own: [(&str, &[u8]); 2] = [(COLOUR_HEADER, of.colour.name().as_bytes()), (EPOCH_HEADER, epoch.as_bytes())];
        let headers = [headers, &own].concat();
        producer.append(&signals(of), &[NewRecord { key: None, headers: &headers, value: Some(value) }]).unwrap();
    }

    /// A correction of these bytes, the digit of its revision at `at`; with one header more than a worker knows.
    pub fn bytes(&self, of: Deployment, window: u64, events: u64, value: &[u8], at: usize) {
        let mut growth = Vec::new();
        Growth { revision_at: at, complete: true, totals: vec![events] }.encode(&mut growth);
        let identity = [&window.to_be_bytes()[..], b"a"].concat();
        let headers: [(&str, &[u8]); 4] = [("schema", b"r/1"), (IDENTITY_HEADER, &identity), (GROWTH_HEADER, &growth), ODD_HEADER];
        self.append(of, &headers, value);
    }

    /// Headers and values of a partition, byte by byte.
    pub fn raw(&self, topic_name: &str) -> Vec<(Vec<Header>, Vec<u8>)> {
        let partition = Partition::new(&topic(topic_name), 0);
        let end = self.memory.bounds(&partition).unwrap().1;
        let mut reader = self.memory.reader(&Subscription { group: None, topics: vec![topic(topic_name)] }).unwrap();
        let mut all = Vec::new();
        while reader.position(&partition) < end {
            let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() else { continue };
            let owned = |(name, value): (&[u8], &[u8])| (name.to_vec(), value.to_vec());
            all.extend(batch.iter().map(|record| (record.headers.bytes().map(owned).collect(), record.value.unwrap().to_vec())));
        }
        all
    }

    /// A result as CLOSE would write it. `first`: it belongs to the window's finals.
    pub fn result(&mut self, of: Deployment, window: u64, name: &str, events: u64, first: bool) {
        let mut growth = Vec::new();
        Growth { revision_at: 5, complete: true, totals: vec![events] }.encode(&mut growth);
        let identity = [&window.to_be_bytes()[..], name.as_bytes()].concat();
        let hash = format!("{:016x}", events.wrapping_mul(0x9e37_79b9));
        if first {
            self.sums.entry((of, window)).or_default().add(events, events.wrapping_mul(0x9e37_79b9));
        }
        let headers: [(&str, &[u8]); 4] =
            [("schema", b"r/1"), (IDENTITY_HEADER, &identity), (GROWTH_HEADER, &growth), (HASH_HEADER, hash.as_bytes())];
        self.append(of, &headers, format!(r#"{{"r":0,"events":{events}}}"#).as_bytes());
    }

    pub fn progress(&mut self, of: Deployment, window: u64) {
        let sums = self.sums.get(&(of, window)).copied().unwrap_or_default();
        self.progress_with(of, window, sums);
    }

    pub fn progress_with(&mut self, of: Deployment, window: u64, sums: Sums) {
        let headers: [(&str, &[u8]); 4] = [
            ("schema", b"w/1"),
            (IDENTITY_HEADER, &window.to_be_bytes()),
            (SUMS_HEADER, &sums.encode()),
            (FORGOTTEN_HEADER, &self.forgotten.to_be_bytes()),
        ];
        self.append(of, &headers, b"{}");
    }

    /// A line of the late ledger as CLOSE would write it.
    pub fn late(&self, of: Deployment, window: u64, events: u64) {
        let mut growth = Vec::new();
        Growth { revision_at: 5, complete: true, totals: vec![events] }.encode(&mut growth);
        let identity = [&window.to_be_bytes()[..], b"late"].concat();
        let headers: [(&str, &[u8]); 3] = [("schema", b"l/1"), (IDENTITY_HEADER, &identity), (GROWTH_HEADER, &growth)];
        self.append(of, &headers, br#"{"r":0}"#);
    }

    /// Values of the late ledger.
    pub fn ledger(&self) -> Vec<String> {
        let partition = Partition::new(&topic("late"), 0);
        let end = self.memory.bounds(&partition).unwrap().1;
        let mut reader = self.memory.reader(&Subscription { group: None, topics: vec![topic("late")] }).unwrap();
        let mut all = Vec::new();
        while reader.position(&partition) < end {
            let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() else { continue };
            all.extend(batch.iter().map(|record| String::from_utf8_lossy(record.value.unwrap()).into_owned()));
        }
        all
    }

    /// A whole window of one result.
    pub fn window(&mut self, of: Deployment, window: u64, events: u64) {
        self.result(of, window, "a", events, true);
        self.progress(of, window);
    }

    /// Something that is no result.
    pub fn garbage(&self, of: Deployment) {
        self.append(of, &[("schema", b"r/1")], b"\0\0");
    }

    /// Where the worker has committed that it stands in a colour's results, and whether they are torn.
    pub fn stands(&self, of: Deployment) -> (u64, bool) {
        let committed = self.memory.committed("p.router", &signals(of)).unwrap().unwrap_or_default();
        (committed.offset.0, committed.metadata.first().is_some_and(|bits| bits & TORN != 0))
    }

    pub fn end(&self, of: Deployment) -> u64 {
        self.memory.bounds(&signals(of)).unwrap().1.0
    }

    pub fn public(&self) -> Vec<Seen> {
        let partition = Partition::new(&topic("public"), 0);
        let end = self.memory.bounds(&partition).unwrap().1;
        let mut reader = self.memory.reader(&Subscription { group: None, topics: vec![topic("public")] }).unwrap();
        let mut all = Vec::new();
        reader.seek(&Positions::from([(partition.clone(), Offset(0))])).unwrap();
        while reader.position(&partition) < end {
            let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() else { continue };
            for record in batch.iter() {
                let header = |name| record.headers.get(name).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                let schema = header("schema").unwrap();
                if schema == SCHEMA_CUT {
                    let cut = Cut::decode(record.value.unwrap()).unwrap();
                    all.push(Seen::Cut(cut.flip, cut.cut));
                    continue;
                }
                if schema == SCHEMA_SEALED {
                    all.push(Seen::Sealed(Sealed::decode(record.value.unwrap()).unwrap().flip));
                    continue;
                }
                let by = Deployment {
                    colour: header(COLOUR_HEADER).unwrap().parse().unwrap(),
                    epoch: header(EPOCH_HEADER).unwrap().parse().unwrap(),
                };
                let identity = record.headers.get(IDENTITY_HEADER).unwrap();
                let window = u64::from_be_bytes(*identity.first_chunk().unwrap());
                if schema == "w/1" {
                    all.push(Seen::Progress(window, by));
                    continue;
                }
                let growth = Growth::decode(record.headers.get(GROWTH_HEADER).unwrap()).unwrap();
                let revision: u64 = header(REVISION_HEADER).unwrap().parse().unwrap();
                let value: serde_json::Value = serde_json::from_slice(record.value.unwrap()).unwrap();
                assert_eq!(value["r"].as_u64(), Some(revision), "the number stands in the value too");
                let name = String::from_utf8_lossy(&identity[8..]).into_owned();
                all.push(Seen::Result(window, name, revision, growth.totals[0], by));
            }
        }
        all
    }

    /// Results in a short form: window, name, revision, events.
    pub fn results(&self) -> Vec<(u64, String, u64, u64)> {
        let short = |seen| match seen {
            Seen::Result(window, name, revision, events, _) => Some((window, name, revision, events)),
            _ => None,
        };
        self.public().into_iter().filter_map(short).collect()
    }
}
