//! Both stages over a live source: two map tasks and two keyed tasks that come and go, over a log that fails, against a plain recomputation.

use crate::words::{WINDOW, partials, source};
use crate::world::{On, PARTITIONS, SOURCES, Steps, World};
use platform_core::clock::Clock as _;
use platform_core::log::{Claim, Log as _};
use platform_core::record::{NewRecord, Partition};
use platform_core::time::SECOND;
use platform_runtime::keyed_task::KeyedTask;
use platform_runtime::map_task::MapTask;
use platform_runtime::task::RuntimeSettings;
use platform_testkit::ledger::{Entry, Published, Verdict};
use platform_testkit::log::Fault;
use platform_testkit::seed::{Seed, ShowSeed};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;

const FAULTS: [Fault; 6] = [Fault::Abort, Fault::DoubtfulCommitted, Fault::DoubtfulLost, Fault::Full, Fault::Fenced, Fault::Delayed(5)];

struct Tasks {
    map: Vec<Option<MapTask>>,
    keyed: Vec<Option<KeyedTask>>,
}

impl Tasks {
    /// Steps all, lets some die, and brings the dead back.
    fn go(&mut self, world: &World, seed: &mut Seed, deaths: u64) {
        for (slot, task) in self.map.iter_mut().enumerate() {
            step(task, seed, deaths, || world.map_task(slot).unwrap());
        }
        for (slot, task) in self.keyed.iter_mut().enumerate() {
            step(task, seed, deaths, || world.keyed_task(slot).unwrap());
        }
    }
}

fn step<T: Steps>(task: &mut Option<T>, seed: &mut Seed, deaths: u64, make: impl FnOnce() -> T) {
    let dead = task.as_mut().is_none_or(|t| (0..=seed.below(3)).any(|_| t.go().is_err())) || seed.chance(deaths);
    if dead {
        *task = None; // the old one leaves its group before the new one joins
        *task = Some(make());
    }
}

fn verdict(world: &World, expected: &BTreeMap<String, Entry>) -> Verdict {
    let mut published = Published::default();
    let mut revisions: BTreeMap<String, u64> = BTreeMap::new();
    for line in (0..PARTITIONS).flat_map(|p| world.outputs(p)) {
        let fields: Vec<&str> = line.split(' ').collect();
        let (kind, window, word, count) = match fields[..] {
            [kind, window, word, count] => (kind, window, word, count),
            [kind, window, word, count, _] => (kind, window, word, count),
            _ => continue,
        };
        let identity = format!("window={window} word={word}");
        // A word that comes first in a closed window has no final; its first correction is its first result.
        let next = revisions.get(&identity).map_or(0, |r| r + 1);
        let revision = if kind == "final" { 0 } else { next };
        revisions.insert(identity.clone(), revision);
        published.read(&identity, Entry { revision, totals: vec![count.parse().unwrap()], hash: 0 });
    }
    published.check(expected)
}

fn exactly_once(number: u64, on: On) {
    let _show = ShowSeed(number);
    let seed = &mut Seed::new(number);
    let settings = RuntimeSettings {
        commit_interval: Duration::from_millis(100 + seed.below(3000)),
        read_budget: 1 + seed.below(500) as usize,
        held_budget: 1 + seed.below(500) as usize,
        emit_budget: 1 + seed.below(300) as usize,
    };
    let world = World::on(on, settings);
    world.log.seeded(number, 150, &FAULTS);
    let mut tasks = Tasks { map: vec![None, None], keyed: vec![None, None] };
    let mut expected: BTreeMap<String, Entry> = BTreeMap::new();
    for _ in 0..80 {
        for _ in 0..seed.below(6) {
            let now = u64::try_from(world.clock.wall() / SECOND).unwrap();
            let (time, word) = (now - seed.below(40), format!("word{}", seed.below(12)));
            world.write(&source(), seed.below(u64::from(SOURCES)) as u32, &format!("{time} {word}"));
            let entry = expected
                .entry(format!("window={} word={word}", time / WINDOW))
                .or_insert_with(|| Entry { totals: vec![0], ..Entry::default() });
            entry.totals[0] += 1;
        }
        tasks.go(&world, seed, 30);
        if seed.chance(100) {
            world.stores.crash(seed);
            tasks.keyed = vec![None, None];
        }
        world.clock.advance(Duration::from_millis(seed.below(1500)));
    }
    world.log.heal();
    // Nothing more comes: idle claims alone move the watermarks past everything.
    for _ in 0..200 {
        tasks.go(&world, seed, 0);
        world.clock.advance(Duration::from_secs(1));
    }
    let verdict = verdict(&world, &expected);
    assert!(verdict.holds() && verdict.expected > 20, "{verdict}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_word_is_counted_once_under_any_faults_and_restarts(number in any::<u64>()) {
        exactly_once(number, On::Memory);
    }
}

#[test]
fn every_word_is_counted_once_on_the_embedded_log_too() {
    (0..6).for_each(|number| exactly_once(number, On::Embedded));
}

#[test]
fn a_partition_with_records_that_cannot_be_read_yet_is_not_claimed_idle() {
    On::EACH.into_iter().for_each(not_claimed_idle);
}

fn not_claimed_idle(on: On) {
    let world = World::on(on, RuntimeSettings::default());
    let partition = Partition::new(&source(), 0);
    let mut task = world.map_task(0).unwrap();
    let mut steps = |count| {
        for _ in 0..count {
            task.go().unwrap();
            world.clock.advance(Duration::from_secs(1));
        }
        let messages = world.texts(&partials(), 0);
        messages.iter().flat_map(|m| m.lines()).filter_map(|l| l.strip_prefix("r 0 0 0 ")?.parse::<u64>().ok()).max()
    };
    let before = steps(5).unwrap();
    assert!(before > 990, "an idle partition is claimed: {before}");
    world.log.script([Some(Fault::Delayed(10))]);
    let mut writer = world.log.writer("outside").unwrap();
    writer.append(&partition, NewRecord { value: Some(b"900 word"), ..NewRecord::default() }).unwrap();
    writer.commit(&Claim { group: "outside".into(), member: 0, generation: 0 }, &[]).unwrap();
    assert_eq!(steps(8), Some(before));
}
