//! A deployment that begins in the middle of its source, over logs in memory: for the windows that it answers for it gives what one gives
//! that has read everything (I3, I20), and it says nothing of earlier ones, nor of what an older deployment left in its topics.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use golden_pipeline::decode::{self, MakeDecoder};
use golden_pipeline::fold::TimeMode;
use golden_pipeline::identity::{Identity, sortable};
use golden_pipeline::names::{
    COLOUR_HEADER, EPOCH_HEADER, GROWTH, HASH, IDENTITY, SCHEMA, SCHEMA_LATE, SCHEMA_PROGRESS, SCHEMA_SIGNALS, Topics,
};
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::settings::{Checked, PipelineSettings, Span};
use golden_pipeline::source::{Format, Source};
use golden_pipeline::topology::{self, Deployment, SourceTopic};
use platform_core::clock::Clock;
use platform_core::growth::Growth;
use platform_core::log::{Log, Polled, Positions, Subscription};
use platform_core::pipeline::{Kind, MakeKeyed, MakeMap};
use platform_core::record::{NewRecord, Partition, Topic};
use platform_core::time::{AppendTime, EventTime, SECOND};
use platform_runtime::keyed_task::{KeyedParts, KeyedTask};
use platform_runtime::map_task::MapTask;
use platform_runtime::memory::{AppendTimes, MemoryLog, MemoryStores, TopicSettings};
use platform_runtime::task::{RuntimeSettings, Step, TaskSetup};
use platform_testkit::clock::SimClock;
use platform_testkit::seed::{Seed, ShowSeed};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const SOURCES: u32 = 2;
const PARTITIONS: u32 = 2;
const WINDOW: i64 = 10;
const BOUND: i64 = 3;
const HOLD: i64 = 20;
const SKEW: i64 = 15;
const RETAIN: i64 = 60;
/// When a run begins, in seconds: the start of a window.
const BEGIN: i64 = 1_700_000_000;

fn seconds(seconds: i64) -> Span {
    Span(Duration::from_secs(seconds.unsigned_abs()))
}

fn settings() -> Checked {
    let plain = PipelineSettings {
        window: seconds(WINDOW),
        bound: seconds(BOUND),
        hold: seconds(HOLD),
        skew: seconds(SKEW),
        lead: seconds(30),
        retain: seconds(RETAIN),
        series_ttl: seconds(20),
        histogram: true,
        exemplars: false,
        ..PipelineSettings::default()
    };
    plain.check().unwrap()
}

fn topics(colour: &str) -> Topics {
    Topics::of(colour)
}

/// The tasks of one deployment.
struct Part {
    name: String,
    fold: (MakeMap, Topic),
    close: (Arc<MakeKeyed>, u32, Topic),
    stores: Arc<MemoryStores>,
    tasks: Option<(MapTask, KeyedTask)>,
}

struct World {
    log: MemoryLog,
    clock: Arc<SimClock>,
    seed: Seed,
}

impl World {
    fn new(seed: u64) -> Self {
        let clock = Arc::new(SimClock::at(BEGIN * SECOND));
        let log = MemoryLog::new(AppendTimes::Clock(Arc::clone(&clock) as _));
        let settings = TopicSettings { markers: true, ..TopicSettings::default() };
        let shared = topics("blue");
        log.create_topic(&shared.events, SOURCES, settings);
        log.create_topic(&shared.dead_letters, 1, settings);
        for of in ["blue", "green"].map(topics) {
            log.create_topic(&of.partials, PARTITIONS, settings);
            log.create_topic(&of.signals, PARTITIONS, settings);
        }
        Self { log, clock, seed: Seed::new(seed) }
    }

    fn part(&self, colour: &'static str, epoch: u32, owned_from: u64, starts: Positions) -> Part {
        let source = Arc::new(Source::for_format(Format::Json));
        let decoder: MakeDecoder = Arc::new(move |wanted| decode::decoder(&source, wanted));
        let topics = topics(colour);
        let deployment = Deployment {
            colour,
            epoch,
            owned_from,
            starts,
            settings: settings(),
            sources: vec![SourceTopic { topic: topics.events.clone(), name: "test".to_owned(), partitions: SOURCES, decoder }],
            topics,
            tenant: "default".to_owned(),
            partitions: PARTITIONS,
            time: TimeMode::Live,
            health_of_all: false,
            fold_tasks: 1,
            close_tasks: 1,
            rules: Rules::none(),
            tally: Arc::default(),
        };
        let pipeline = topology::part(deployment);
        let [fold, close] = <[_; 2]>::try_from(pipeline.stages).unwrap_or_else(|_| panic!("two stages"));
        let (Kind::Map(map), Kind::Keyed(keyed, format)) = (fold.kind, close.kind) else { panic!("FOLD, then CLOSE") };
        Part {
            name: pipeline.name,
            fold: (map, fold.reads[0].clone()),
            close: (Arc::new(keyed), format, close.reads[0].clone()),
            stores: Arc::default(),
            tasks: None,
        }
    }

    /// Begun at this moment, as `golden run` does it: read from `retain` and `skew` ago on, whole from `skew` behind that on.
    fn begun_now(&self, epoch: u32) -> (Part, u64) {
        let from = AppendTime(self.clock.wall() - (RETAIN + SKEW) * SECOND);
        let whole = (from.0 + SKEW * SECOND).div_euclid(WINDOW * SECOND) * WINDOW * SECOND + WINDOW * SECOND;
        let owned_from = u64::from_be_bytes(sortable(EventTime(whole)));
        let events = topics("green").events;
        let at = |index| {
            let partition = Partition::new(&events, index);
            let at = self.log.offset_at(&partition, from).unwrap();
            (partition, at)
        };
        (self.part("green", epoch, owned_from, (0..SOURCES).map(at).collect()), owned_from)
    }

    fn setup(&self, part: &Part, stage: &str, reads: &Topic) -> TaskSetup {
        TaskSetup {
            pipeline: part.name.clone(),
            stage: stage.to_owned(),
            reads: vec![reads.clone()],
            slot: 0,
            place: Arc::default(),
            log: Arc::new(self.log.clone()),
            clock: Arc::clone(&self.clock) as _,
            settings: RuntimeSettings { commit_interval: Duration::from_millis(500), ..RuntimeSettings::default() },
            signal: Arc::default(),
        }
    }

    fn start(&self, part: &mut Part) {
        part.tasks = None;
        let setup = self.setup(part, "fold", &part.fold.1);
        let of_source = self.log.reader(&setup.subscription()).unwrap();
        let fold = MapTask::new(setup, (part.fold.0)(), of_source).unwrap();
        let setup = self.setup(part, "close", &part.close.2);
        let of_partials = self.log.reader(&setup.subscription()).unwrap();
        let parts = KeyedParts { make: Arc::clone(&part.close.0), format: part.close.1, stores: Arc::clone(&part.stores) as _ };
        part.tasks = Some((fold, KeyedTask::new(setup, parts, of_partials).unwrap()));
    }

    /// Some steps, and now and then a new start.
    fn work(&mut self, part: &mut Part, most: u64) {
        if part.tasks.is_none() || self.seed.chance(10) {
            self.start(part);
        }
        let steps = self.seed.below(most);
        let (fold, close) = part.tasks.as_mut().unwrap();
        for _ in 0..steps {
            let folded = fold.step(Duration::ZERO).unwrap();
            let closed = close.step(Duration::ZERO).unwrap();
            if (folded, closed) == (Step::Idle, Step::Idle) {
                break;
            }
        }
    }

    /// One record; most of its events are of now, some late, some too late, some ahead.
    fn record(&mut self) {
        let now = self.clock.wall() / SECOND;
        let mut value = Vec::new();
        for _ in 0..1 + self.seed.below(3) {
            let behind = match self.seed.below(20) {
                0 => -i64::try_from(self.seed.below(SKEW.unsigned_abs())).unwrap(),
                1 => i64::try_from(self.seed.below(RETAIN.unsigned_abs())).unwrap(),
                2 => RETAIN + 1 + i64::try_from(self.seed.below(100)).unwrap(),
                _ => i64::try_from(self.seed.below(3)).unwrap(),
            };
            let (time, service, operation) = ((now - behind) * SECOND, self.seed.below(4), self.seed.below(2));
            let (status, duration) = (if self.seed.chance(100) { 503 } else { 200 }, 1 + self.seed.below(1_000_000));
            let line = format!(
                r#"{{"timestamp":{time},"service":"s{service}","operation":"o{operation}","status":{status},"duration_ns":{duration}}}"#
            );
            value.extend_from_slice(line.as_bytes());
            value.push(b'\n');
        }
        let to = Partition::new(&topics("blue").events, u32::try_from(self.seed.below(u64::from(SOURCES))).unwrap());
        let record = NewRecord { value: Some(&value), ..NewRecord::default() };
        self.log.producer().unwrap().append(&to, &[record]).unwrap();
    }

    /// What a deployment has said in the end: the last totals and hash of each identity, its finals as they are, and its progress.
    fn said(&self, colour: &str, epoch: u32) -> Said {
        let topic = topics(colour).signals;
        let mut said = Said::default();
        let mut reader = self.log.reader(&Subscription { group: None, topics: vec![topic.clone()] }).unwrap();
        let (number, epoch) = (u64::from(epoch), epoch.to_string());
        let is_read = |reader: &dyn platform_core::log::Reader| {
            (0..PARTITIONS).map(|i| Partition::new(&topic, i)).all(|p| reader.end(&p).unwrap() == Some(reader.position(&p)))
        };
        while !is_read(&*reader) {
            let Polled::Batch(batch) = reader.poll(Duration::ZERO).unwrap() else { continue };
            for record in batch.iter() {
                let header = |name: &str| record.headers.get(name).map(<[u8]>::to_vec);
                let schema = String::from_utf8(header(SCHEMA).unwrap()).unwrap();
                let identity = header(IDENTITY).unwrap();
                let value: serde_json::Value = serde_json::from_slice(record.value.unwrap()).unwrap();
                if schema == SCHEMA_PROGRESS {
                    if value["epoch"].as_u64() == Some(number) {
                        said.progress.push(identity);
                    }
                    continue;
                }
                assert!([SCHEMA_SIGNALS, SCHEMA_LATE].contains(&schema.as_str()), "{schema}");
                assert_eq!(header(COLOUR_HEADER).as_deref(), Some(colour.as_bytes()));
                if header(EPOCH_HEADER).as_deref() != Some(epoch.as_bytes()) {
                    continue;
                }
                let growth = Growth::decode(&header(GROWTH).unwrap()).unwrap();
                let late = value["late_events"].as_u64().unwrap_or(0);
                let key = (schema, identity);
                said.finals.entry(key.clone()).or_insert((late, record.value.unwrap().to_vec()));
                said.last.insert(key, (growth.totals, growth.complete, header(HASH)));
            }
        }
        said
    }
}

type Key = (String, Vec<u8>);
/// Totals, whether complete, and hash.
type Totals = (Vec<u64>, bool, Option<Vec<u8>>);

#[derive(Default)]
struct Said {
    last: BTreeMap<Key, Totals>,
    /// Late events in it, and the value.
    finals: BTreeMap<Key, (u64, Vec<u8>)>,
    progress: Vec<Vec<u8>>,
}

impl Said {
    /// Of windows that start here or later, without services that were silent in them: who is known to have been there before is another
    /// question, which the past decides.
    fn of(&self, owned_from: u64) -> BTreeMap<&Key, &Totals> {
        self.last.iter().filter(|((_, identity), (totals, ..))| window(identity) >= owned_from && totals[0] > 0).collect()
    }
}

impl Said {
    /// The first record of a result that has all its events and was complete.
    fn on_time(&self, key: &Key, events: u64) -> Option<&Vec<u8>> {
        let (_, value) = self.finals.get(key).filter(|(late, _)| *late == 0)?;
        let read: serde_json::Value = serde_json::from_slice(value).unwrap();
        (read["events"] == events && read["completeness"] == 1.0).then_some(value)
    }
}

fn window(identity: &[u8]) -> u64 {
    u64::from_be_bytes(identity[..8].try_into().unwrap())
}

fn shown(key: &Key) -> String {
    format!("{} {:?}", key.0, Identity::decode(&key.1))
}

fn begun_in_the_middle_gives_the_same(seed: u64) -> (usize, usize) {
    let mut world = World::new(seed);
    let mut blue = world.part("blue", 1, 0, Positions::new());
    let first = 60 + world.seed.below(120);
    let second = first + 1 + world.seed.below(60);
    let (mut green, mut older) = (None, None);
    for second_now in 0..400 {
        for _ in 0..world.seed.below(4) {
            world.record();
        }
        world.clock.advance(Duration::from_secs(1));
        if second_now == first {
            older = Some(world.begun_now(2).0);
        } else if second_now == second {
            green = Some(world.begun_now(3));
        }
        world.work(&mut blue, 8);
        // The older one goes on for a while beside its successor, as a process that has not noticed.
        if let Some(older) = older.as_mut().filter(|_| second_now < second + 20) {
            world.work(older, 8);
        }
        if let Some((green, _)) = &mut green {
            world.work(green, 6);
        }
    }
    let (mut green, owned_from) = green.unwrap();
    drop(older);
    for _ in 0..3 * (RETAIN + HOLD) {
        world.clock.advance(Duration::from_millis(500));
        world.work(&mut blue, 20);
        world.work(&mut green, 20);
    }
    let (all, some) = (world.said("blue", 1), world.said("green", 3));
    for key in some.last.keys() {
        assert!(window(&key.1) >= owned_from, "it answers for no such window: {}", shown(key));
    }
    assert!(some.progress.iter().all(|identity| window(identity) >= owned_from));
    let newer: Vec<_> = all.progress.iter().filter(|identity| window(identity) >= owned_from).collect();
    let mut progress: Vec<_> = some.progress.iter().collect();
    let mut expected = newer;
    progress.sort();
    expected.sort();
    assert_eq!(progress, expected, "each window is done once in each partition");
    let (all_of, some_of) = (all.of(owned_from), some.of(owned_from));
    for (key, totals) in &all_of {
        assert_eq!(some_of.get(key), Some(totals), "{}", shown(key));
    }
    assert_eq!(all_of.len(), some_of.len());
    let compared = all_of.len();
    // Windows without late events are the same to the byte.
    let mut same = 0;
    for (key, (totals, ..)) in all_of {
        let (left, right) = (all.on_time(key, totals[0]), some.on_time(key, totals[0]));
        if let (Some(left), Some(right)) = (left, right) {
            assert_eq!(String::from_utf8_lossy(left), String::from_utf8_lossy(right));
            same += 1;
        }
    }
    (compared, same)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn i3_i20_a_deployment_that_begins_in_the_middle_gives_the_same_for_the_windows_it_owns(seed in any::<u64>()) {
        let _show = ShowSeed(seed);
        let (compared, same) = begun_in_the_middle_gives_the_same(seed);
        prop_assert!(compared > 100 && same > compared / 4, "{compared} results compared, {same} of them to the byte");
    }
}
