//! The whole chain, FOLD, CLOSE and the router, over a log and stores in memory that fail: whatever the batching, the tasks, the restarts and
//! the faults, the same input gives the same signals, and they are those of a plain recomputation.
//!
//! The recomputation shares nothing with the stages but the form of records: windows, verdicts and hashes are computed here again.

use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::decode::{self, Wanted};
use golden_pipeline::fold::TimeMode;
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{
    AGGREGATE, COLOUR, IDENTITY, PIPELINE, REVISION, SCHEMA, SCHEMA_LATE, SCHEMA_PROGRESS, SCHEMA_SIGNALS, Topics,
};
use golden_pipeline::settings::{PipelineSettings, Span};
use golden_pipeline::source::{Format, Source};
use golden_pipeline::tally::Tally;
use golden_pipeline::topology::{Deployment, pipeline};
use golden_router::worker::{self, Worker, WorkerSettings};
use platform_core::clock::Clock;
use platform_core::codec::Cursor;
use platform_core::log::{Log, Polled, Subscription};
use platform_core::pipeline::{Kind, MakeMap, Stage};
use platform_core::record::{NewRecord, Partition, Topic};
use platform_core::time::SECOND;
use platform_runtime::keyed_task::{KeyedParts, KeyedTask};
use platform_runtime::map_task::MapTask;
use platform_runtime::memory::{AppendTimes, MemoryLog, TopicSettings};
use platform_runtime::task::{RuntimeSettings, TaskError, TaskSetup};
use platform_testkit::clock::SimClock;
use platform_testkit::ledger::{Entry, Published};
use platform_testkit::log::{Fault, FaultyLog};
use platform_testkit::seed::{Seed, ShowSeed};
use platform_testkit::store::FaultyStores;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SOURCES: u32 = 3;
const PARTITIONS: u32 = 2;
const WINDOW: i64 = 10;
const BOUND: i64 = 5;
const RETAIN: i64 = 60;
const SKEW: i64 = 5;
const START: i64 = 1_700_000_000;
/// Seconds in which events come, and after which none is known any more.
const BUSY: i64 = 70;
const QUIET: i64 = 130;
const FAULTS: [Fault; 6] = [Fault::Abort, Fault::DoubtfulCommitted, Fault::DoubtfulLost, Fault::Full, Fault::Fenced, Fault::Delayed(5)];

/// What one source record says, and so what must become of it.
#[derive(Clone, Debug)]
enum Item {
    Event { millis: i64, service: u64, operation: u64, error: bool },
    Bad,
    Tombstone,
}

/// Source records by second: partition and item.
type Input = Vec<Vec<(u32, Item)>>;

/// What is late comes only if `late`.
fn input(number: u64, late: bool) -> Input {
    let mut seed = Seed::new(number);
    let mut second = |now: i64| {
        let one = |seed: &mut Seed| {
            let partition = u32::try_from(seed.below(u64::from(SOURCES))).unwrap();
            let kind = seed.below(100);
            let back = match kind {
                0 => return (partition, Item::Bad),
                1 => return (partition, Item::Tombstone),
                2..6 if late => 1000 * (RETAIN + 1) + i64::try_from(seed.below(40_000)).unwrap(),
                6..16 if late => i64::try_from(seed.below(1000 * RETAIN as u64)).unwrap(),
                16 => -1000 * (SKEW + 1),
                17..20 => -i64::try_from(seed.below(1000 * SKEW as u64)).unwrap(),
                _ => i64::try_from(seed.below(1000 * (BOUND as u64 - 1))).unwrap(),
            };
            let event = Item::Event {
                millis: 1000 * (START + now) - back,
                service: seed.below(4),
                operation: seed.below(3),
                error: seed.chance(200),
            };
            (partition, event)
        };
        (0..seed.below(9)).map(|_| one(&mut seed)).collect()
    };
    (0..BUSY).map(&mut second).collect()
}

/// How a run goes about it.
#[derive(Clone, Copy)]
struct Way {
    fold_tasks: usize,
    keyed_tasks: usize,
    settings: RuntimeSettings,
    /// Seed of everything that happens to it; `None`: nothing does.
    trouble: Option<u64>,
    /// Of a thousand ticks, how many pass with a task standing still.
    idling: u64,
}

fn straight() -> Way {
    Way { fold_tasks: 1, keyed_tasks: 1, settings: RuntimeSettings::default(), trouble: None, idling: 0 }
}

fn way(seed: &mut Seed, trouble: Option<u64>) -> Way {
    let settings = RuntimeSettings {
        commit_interval: Duration::from_millis(100 + seed.below(3000)),
        read_budget: 100 + seed.below(5000) as usize,
        held_budget: 100 + seed.below(20_000) as usize,
        emit_budget: 100 + seed.below(20_000) as usize,
    };
    Way { fold_tasks: 1 + seed.below(3) as usize, keyed_tasks: 1 + seed.below(2) as usize, settings, trouble, idling: seed.below(300) }
}

enum Made {
    Map(MakeMap),
    Keyed(KeyedParts),
}

enum Task {
    Map(Box<MapTask>),
    Keyed(Box<KeyedTask>),
}

impl Task {
    fn go(&mut self) -> Result<(), TaskError> {
        match self {
            Self::Map(task) => task.step(Duration::ZERO).map(drop),
            Self::Keyed(task) => task.step(Duration::ZERO).map(drop),
        }
    }
}

struct World {
    clock: Arc<SimClock>,
    log: FaultyLog,
    stores: FaultyStores,
    settings: RuntimeSettings,
    topics: Topics,
    tally: Arc<Tally>,
    stages: Vec<(String, Topic, Made)>,
    /// Stage, slot.
    tasks: Vec<(usize, usize, Option<Task>)>,
}

fn router(topics: &Topics) -> Stage {
    let routes = vec![(SCHEMA_SIGNALS, topics.public.clone()), (SCHEMA_LATE, topics.late.clone())];
    let settings = WorkerSettings { pipeline: PIPELINE.to_owned(), routes, progress: SCHEMA_PROGRESS, remember: 2 * RETAIN * SECOND };
    Stage {
        name: "router".to_owned(),
        reads: vec![topics.signals.clone()],
        writes: vec![topics.public.clone(), topics.late.clone()],
        tasks: 1,
        kind: Kind::Keyed(Box::new(move |partition| Box::new(Worker::new(settings.clone(), partition))), worker::FORMAT),
    }
}

impl World {
    fn new(way: &Way) -> Self {
        let span = |s: i64| Span(Duration::from_secs(s.unsigned_abs()));
        let plain = PipelineSettings {
            window: span(WINDOW),
            bound: span(BOUND),
            hold: span(10),
            skew: span(SKEW),
            retain: span(RETAIN),
            series_ttl: span(RETAIN),
            histogram: true,
            ..PipelineSettings::default()
        };
        let settings = plain.check().unwrap();
        let (topics, tally) = (Topics::of(COLOUR), Arc::new(Tally::default()));
        let source = Arc::new(Source::for_format(Format::Json));
        let wanted: Wanted = settings.groupings.wanted(true);
        let deployment = Deployment {
            settings,
            topics: topics.clone(),
            source: "test".to_owned(),
            tenant: "default".to_owned(),
            source_partitions: SOURCES,
            partitions: PARTITIONS,
            time: TimeMode::Live,
            health_of_all: true,
            fold_tasks: way.fold_tasks,
            close_tasks: way.keyed_tasks,
            decoder: Arc::new(move || decode::decoder(&source, &wanted)),
            tally: Arc::clone(&tally),
        };
        let clock = Arc::new(SimClock::at(START * SECOND));
        let log = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as Arc<dyn Clock>));
        let markers = TopicSettings { markers: true, ..TopicSettings::default() };
        log.create_topic(&topics.events, SOURCES, TopicSettings::default());
        log.create_topic(&topics.dead_letters, 1, markers);
        for topic in [&topics.partials, &topics.signals, &topics.public, &topics.late] {
            log.create_topic(topic, PARTITIONS, markers);
        }
        let stores = FaultyStores::default();
        let mut tasks = Vec::new();
        let mut made = Vec::new();
        for (n, stage) in pipeline(deployment, router(&topics), vec![]).stages.into_iter().enumerate() {
            tasks.extend((0..stage.tasks).map(|slot| (n, slot, None)));
            let make = match stage.kind {
                Kind::Map(make) => Made::Map(make),
                Kind::Keyed(make, format) => Made::Keyed(KeyedParts { make: Arc::new(make), format, stores: Arc::new(stores.clone()) }),
            };
            made.push((stage.name, stage.reads[0].clone(), make));
        }
        Self { clock, log: FaultyLog::new(log), stores, settings: way.settings, topics, tally, stages: made, tasks }
    }

    fn make(&self, stage: usize, slot: usize) -> Task {
        let (name, reads, made) = &self.stages[stage];
        let setup = TaskSetup {
            pipeline: PIPELINE.to_owned(),
            stage: name.clone(),
            slot,
            place: Arc::default(),
            log: Arc::new(self.log.clone()),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            settings: self.settings,
            signal: Arc::default(),
        };
        let reader = self.log.reader(&Subscription { group: Some(setup.group()), topics: vec![reads.clone()] }).unwrap();
        match made {
            Made::Map(make) => Task::Map(Box::new(MapTask::new(setup, make(), reader).unwrap())),
            Made::Keyed(parts) => Task::Keyed(Box::new(KeyedTask::new(setup, parts.clone(), reader).unwrap())),
        }
    }

    /// Steps all tasks a few times, lets some die, and brings the dead back.
    fn go(&mut self, seed: &mut Seed, deaths: u64, idling: u64) {
        for place in 0..self.tasks.len() {
            let (stage, slot, ref mut task) = self.tasks[place];
            if task.is_some() && seed.chance(idling) {
                continue;
            }
            let dead = task.as_mut().is_none_or(|t| (0..1 + seed.below(3)).any(|_| t.go().is_err())) || seed.chance(deaths);
            if dead {
                *task = None; // the old one leaves its group before the new one joins
                let made = self.make(stage, slot);
                self.tasks[place].2 = Some(made);
            }
        }
    }

    fn keyed_tasks_die(&mut self) {
        self.tasks.iter_mut().filter(|t| matches!(t.2, Some(Task::Keyed(_)))).for_each(|t| t.2 = None);
    }

    fn write(&self, partition: u32, item: &Item) {
        let text = match item {
            Item::Event { millis, service, operation, error } => Some(format!(
                r#"{{"timestamp":{millis},"service":"s{service}","operation":"o{operation}","latency_ms":{},"status":{},"tags":{{"trace_id":"{millis:032x}","span_id":"{millis:016x}"}}}}"#,
                1 + millis % 97,
                if *error { 503 } else { 200 }
            )),
            Item::Bad => Some("{\"service\":".to_owned()),
            Item::Tombstone => None,
        };
        let record = NewRecord { value: text.as_ref().map(String::as_bytes), ..NewRecord::default() };
        self.log.producer().unwrap().append(&Partition::new(&self.topics.events, partition), &[record]).unwrap();
    }

    /// Everything visible in a topic, partition by partition: headers wanted by name, and the value.
    fn read(&self, topic: &Topic, mut each: impl FnMut(&platform_core::record::Record<'_>)) {
        let mut reader = self.log.inner().reader(&Subscription { group: None, topics: vec![topic.clone()] }).unwrap();
        while let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() {
            batch.iter().for_each(|record| each(&record));
        }
    }
}

/// What stands on the public topics when a run is over.
#[derive(Default)]
struct Outcome {
    /// By identity: its revision and value.
    latest: BTreeMap<String, (u64, serde_json::Value)>,
    bytes: BTreeMap<String, Vec<u8>>,
    published: Published,
    /// Events of whole services.
    counted: u64,
    empty: BTreeMap<String, Entry>,
    dead: Vec<String>,
    faults: usize,
}

fn run(input: &Input, way: &Way) -> Outcome {
    let mut world = World::new(way);
    let seed = &mut Seed::new(way.trouble.unwrap_or(1));
    let (deaths, crashes) = if way.trouble.is_some() { (20, 60) } else { (0, 0) };
    if let Some(number) = way.trouble {
        world.log.seeded(number, 120, &FAULTS);
    }
    for second in 0..BUSY + QUIET {
        for (partition, item) in input.get(second as usize).into_iter().flatten() {
            world.write(*partition, item);
        }
        if second == BUSY {
            world.log.heal();
        }
        let busy = second < BUSY;
        for _ in 0..2 {
            world.go(seed, if busy { deaths } else { 0 }, if busy { way.idling } else { 0 });
        }
        if busy && seed.chance(crashes) {
            world.keyed_tasks_die();
            if seed.chance(300) {
                for (_, _, made) in &mut world.stages {
                    if let Made::Keyed(parts) = made {
                        world.stores = FaultyStores::default();
                        parts.stores = Arc::new(world.stores.clone());
                    }
                }
            } else {
                world.stores.crash(seed);
            }
        }
        world.clock.advance(Duration::from_secs(1));
    }
    assert!(world.tally.total().accounted());
    if way.trouble.is_none() {
        assert_eq!(world.tally.total().decoded as usize, input.iter().map(Vec::len).sum::<usize>());
    }
    outcome(&world)
}

fn outcome(world: &World) -> Outcome {
    let mut outcome = Outcome { faults: world.log.injected().len(), ..Outcome::default() };
    for topic in [&world.topics.public, &world.topics.late] {
        world.read(topic, |record| {
            let header = |name| record.headers.get(name).unwrap();
            if header(SCHEMA) == SCHEMA_PROGRESS.as_bytes() {
                return;
            }
            let id = Identity::decode(header(IDENTITY)).unwrap();
            let identity = format!("{}/{}[{}] {}", id.service, id.grouping, id.dimensions.join(","), id.window_start.0 / SECOND);
            let revision: u64 = std::str::from_utf8(header(REVISION)).unwrap().parse().unwrap();
            let value: serde_json::Value = serde_json::from_slice(record.value.unwrap()).unwrap();
            assert_eq!(value["revision"], revision, "{identity}");
            let aggregate = Aggregate::decode(&mut Cursor::new(header(AGGREGATE))).unwrap();
            let entry =
                Entry { revision, totals: vec![aggregate.counts().events, aggregate.counts().errors], hash: aggregate.counts().hash };
            if entry.totals[0] == 0 {
                outcome.empty.insert(identity.clone(), entry.clone());
            } else {
                outcome.empty.remove(&identity);
            }
            outcome.published.read(&identity, entry);
            outcome.bytes.insert(identity.clone(), record.value.unwrap().to_vec());
            outcome.latest.insert(identity, (revision, value));
        });
    }
    let whole = outcome.latest.iter().filter(|(identity, _)| identity.contains("/service[") || identity.contains("/late["));
    outcome.counted = whole.map(|(_, (_, value))| value["events"].as_u64().unwrap()).sum();
    world.read(&world.topics.dead_letters, |record| outcome.dead.push(String::from_utf8(record.key.unwrap().to_vec()).unwrap()));
    outcome
}

/// SplitMix64's finaliser, written down again.
fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The plain recomputation: what must stand in the end, how many events are counted, how many items are dead, how many skipped.
fn expected(input: &Input) -> (BTreeMap<String, Entry>, u64, usize, u64) {
    let mut all: BTreeMap<String, Entry> = BTreeMap::new();
    let (mut counted, mut dead, mut skipped) = (0, 0, 0);
    let mut offsets = [0_u64; SOURCES as usize];
    for (second, items) in input.iter().enumerate() {
        let append = 1000 * (START + second as i64);
        for (partition, item) in items {
            let offset = offsets[*partition as usize];
            offsets[*partition as usize] += 1;
            let (millis, service, operation, error) = match item {
                Item::Event { millis, .. } if *millis > append + 1000 * SKEW => {
                    dead += 1;
                    continue;
                }
                Item::Bad => {
                    dead += 1;
                    continue;
                }
                Item::Tombstone => {
                    skipped += 1;
                    continue;
                }
                Item::Event { millis, service, operation, error } => (*millis, service, operation, *error),
            };
            counted += 1;
            let hash = mix(mix(mix(u64::from(*partition)).wrapping_add(offset)));
            let window = |millis: i64| millis / (1000 * WINDOW) * WINDOW;
            let identities = if append - millis > 1000 * RETAIN {
                vec![format!("s{service}/late[] {}", window(append))]
            } else {
                vec![
                    format!("s{service}/service[] {}", window(millis)),
                    format!("s{service}/service_operation[o{operation}] {}", window(millis)),
                ]
            };
            for identity in identities {
                let entry = all.entry(identity).or_insert_with(|| Entry { totals: vec![0, 0], ..Entry::default() });
                entry.totals[0] += 1;
                entry.totals[1] += u64::from(error);
                entry.hash = entry.hash.wrapping_add(hash);
            }
        }
    }
    (all, counted, dead, skipped)
}

/// I1, I2, I3, I17 against the recomputation.
fn check(input: &Input, outcome: &mut Outcome) {
    let (mut all, counted, dead, skipped) = expected(input);
    assert_eq!(outcome.counted, counted, "I1");
    assert_eq!(outcome.dead.len(), dead, "I1: {:?}", outcome.dead);
    outcome.dead.sort();
    outcome.dead.dedup();
    assert_eq!(outcome.dead.len(), dead, "each once");
    assert_eq!(input.iter().map(Vec::len).sum::<usize>() as u64, counted + dead as u64 + skipped);
    for (identity, entry) in std::mem::take(&mut outcome.empty) {
        assert!(identity.contains("/service["), "{identity}");
        all.entry(identity).or_insert(entry);
    }
    let verdict = std::mem::take(&mut outcome.published).check(&all);
    assert!(verdict.holds() && verdict.expected > 50, "{verdict}");
}

/// Latest values without what depends on when a late event was read. Whether a service is known in a window it is silent in does too.
fn settled(outcome: &Outcome) -> BTreeMap<&String, serde_json::Value> {
    let plain = |value: &serde_json::Value| {
        let mut value = value.clone();
        for key in ["revision", "late_events"] {
            value.as_object_mut().unwrap().remove(key);
        }
        if let Some(health) = value["health"].as_object_mut() {
            health.remove("previous");
        }
        value
    };
    outcome.latest.iter().filter(|(_, (_, value))| value["events"] != 0).map(|(identity, (_, value))| (identity, plain(value))).collect()
}

fn same(one: &BTreeMap<&String, serde_json::Value>, other: &BTreeMap<&String, serde_json::Value>) {
    for (identity, value) in one {
        assert_eq!(other.get(identity), Some(value), "{identity}");
    }
    assert_eq!(one.len(), other.len());
}

fn in_order(number: u64) {
    let _show = ShowSeed(number);
    let seed = &mut Seed::new(number);
    let input = input(number, false);
    let mut one = run(&input, &straight());
    let mut other = run(&input, &way(seed, None));
    check(&input, &mut one);
    check(&input, &mut other);
    for (identity, (revision, _)) in &other.latest {
        assert_eq!(*revision, 0, "{identity}");
    }
    assert_eq!(one.bytes.keys().collect::<Vec<_>>(), other.bytes.keys().collect::<Vec<_>>());
    for (identity, bytes) in &one.bytes {
        assert!(other.bytes[identity] == *bytes, "{identity}: {:?}\n{:?}", one.latest[identity], other.latest[identity]);
    }
}

fn in_trouble(number: u64) {
    let _show = ShowSeed(number);
    let seed = &mut Seed::new(number);
    let input = input(number, true);
    let mut one = run(&input, &straight());
    let mut other = run(&input, &way(seed, Some(number)));
    check(&input, &mut one);
    check(&input, &mut other);
    same(&settled(&one), &settled(&other));
    assert!(one.latest.values().any(|(revision, _)| *revision > 0), "something was late");
    assert!(one.latest.keys().any(|identity| identity.contains("/late[")), "something was very late");
    assert!(other.faults > 3, "{} faults took place", other.faults);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn i5_within_the_bound_every_batching_and_any_number_of_tasks_give_the_same_bytes_in_revision_0(number in any::<u64>()) {
        in_order(number);
    }

    #[test]
    fn i3_under_any_faults_and_restarts_the_latest_revisions_are_those_of_a_plain_recomputation(number in any::<u64>()) {
        in_trouble(number);
    }
}
