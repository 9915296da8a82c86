//! One keyed task over a fixed log: whatever the batches, faults, crashes and budgets, what comes out is what a straight run gives.

use crate::words::{counts, partials};
use crate::world::{On, PARTITIONS, SOURCES, Steps, World};
use platform_core::log::{Log, Positions};
use platform_core::record::{Offset, Partition};
use platform_core::store::{Changes, Stores};
use platform_runtime::beside::Beside;
use platform_runtime::keyed_task::KeyedTask;
use platform_runtime::task::{RuntimeSettings, TaskError, TaskState};
use platform_testkit::log::Fault;
use platform_testkit::seed::{Seed, ShowSeed};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Messages as map stages would have written them, the same to every partition but for the words; the last one ends the input.
fn messages(seed: &mut Seed, count: u64) -> Vec<(u32, String)> {
    let mut positions = [[0_u64; SOURCES as usize]; PARTITIONS as usize];
    let mut out = Vec::new();
    for n in 0..count {
        let partition = seed.below(u64::from(PARTITIONS)) as u32;
        let p = seed.below(u64::from(SOURCES)) as usize;
        let from = positions[partition as usize][p];
        let to = from + seed.below(4);
        positions[partition as usize][p] = to;
        let now = n * 3;
        let mut text = format!("r {p} {from} {to} {}\n", now.saturating_sub(3));
        for _ in 0..seed.below(8) {
            text += &format!("w {} word{} {}\n", now.saturating_sub(seed.below(30)) / 10, seed.below(6), 1 + seed.below(3));
        }
        out.push((partition, text));
    }
    out.extend((0..PARTITIONS).map(|partition| (partition, "e 0 100000\ne 1 100000\n".to_owned())));
    out
}

fn relaxed() -> RuntimeSettings {
    RuntimeSettings { commit_interval: Duration::from_secs(1), ..RuntimeSettings::default() }
}

fn finals(outputs: &[String]) -> Vec<String> {
    outputs.iter().filter(|o| !o.starts_with("fix")).cloned().collect()
}

/// Last correction of each key; fails when one stands there twice.
fn fixes(outputs: &[String]) -> BTreeMap<String, String> {
    let mut last: BTreeMap<String, String> = BTreeMap::new();
    for fix in outputs.iter().filter_map(|o| o.strip_prefix("fix ")) {
        let fields: Vec<&str> = fix.split(' ').collect();
        let key = format!("{} {}", fields[0], fields[1]);
        let before = last.insert(key, fix.to_owned());
        assert!(
            before.is_none_or(|b| b.rsplit(' ').next().unwrap().parse::<u64>().unwrap() < fields[3].parse().unwrap()),
            "doubled: {fix}"
        );
    }
    last
}

fn straight(messages: &[(u32, String)]) -> World {
    straight_on(World::new(relaxed()), messages)
}

fn straight_on(world: World, messages: &[(u32, String)]) -> World {
    messages.iter().for_each(|(partition, text)| world.write(&partials(), *partition, text));
    let mut task = world.keyed_task(0).unwrap();
    run_to_the_end(&world, &mut task);
    world
}

fn run_to_the_end(world: &World, task: &mut KeyedTask) {
    let ends: Positions =
        (0..PARTITIONS).map(|i| Partition::new(&partials(), i)).map(|p| (p.clone(), world.log.bounds(&p).unwrap().1)).collect();
    for _ in 0..100_000 {
        task.go().unwrap();
        world.clock.advance(Duration::from_millis(300));
        let status = task.status().get();
        if !task.has_uncommitted() && status.state == TaskState::Running && status.positions == ends {
            return;
        }
    }
    panic!("it does not come to an end: {:?}", task.status().get());
}

const FAULTS: [Fault; 5] = [Fault::Abort, Fault::DoubtfulCommitted, Fault::DoubtfulLost, Fault::Full, Fault::Fenced];

fn any_faults_any_restarts(number: u64, world: impl Fn(RuntimeSettings) -> World) -> Vec<Fault> {
    let _show = ShowSeed(number);
    let seed = &mut Seed::new(number);
    let messages = messages(seed, 60);
    let expected = straight(&messages);

    let settings = RuntimeSettings {
        commit_interval: Duration::from_millis(1 + seed.below(2000)),
        read_budget: 1 + seed.below(2000) as usize,
        held_budget: 1 + seed.below(2000) as usize,
        emit_budget: 1 + seed.below(120) as usize,
    };
    let world = world(settings);
    world.log.seeded(number, 300, &FAULTS);
    let mut rest = messages.iter();
    let mut task = Some(world.keyed_task(0).unwrap());
    let mut zombies: Vec<KeyedTask> = Vec::new();
    loop {
        let fed: Vec<_> = rest.by_ref().take(seed.below(4) as usize).collect();
        fed.iter().for_each(|(partition, text)| world.write(&partials(), *partition, text));
        let ended = task.as_mut().is_none_or(|task| (0..=seed.below(6)).any(|_| task.go().is_err()));
        world.clock.advance(Duration::from_millis(seed.below(400)));
        if ended || seed.chance(100) {
            match task.take() {
                Some(old) if !ended && world.memory.is_some() && seed.chance(300) => zombies.push(old),
                _ => world.stores.crash(seed),
            }
            world.evict();
            task = Some(world.keyed_task(0).unwrap());
        } else if seed.chance(200) {
            world.stores.flush();
        }
        for partition in 0..PARTITIONS {
            let applied = world.stores.open("words.close", partition, 1).unwrap().applied().unwrap();
            let committed = world.log.committed("words.close", &Partition::new(&partials(), partition)).unwrap().map(|c| c.offset);
            assert!(applied <= committed.max(Some(Offset(0))), "store {partition} is at {applied:?}, committed is {committed:?}");
        }
        // A zombie wakes up, and goes on until it notices.
        zombies.retain_mut(|zombie| zombie.go().is_ok());
        if rest.len() == 0 && seed.chance(100) {
            break;
        }
    }
    drop((zombies, task));
    world.log.heal();
    run_to_the_end(&world, &mut world.keyed_task(0).unwrap());
    for partition in 0..PARTITIONS {
        let (want, got) = (expected.outputs(partition), world.outputs(partition));
        assert_eq!(finals(&got), finals(&want), "finals of partition {partition}");
        assert_eq!(fixes(&got), fixes(&want), "corrections of partition {partition}");
    }
    world.log.injected()
}

#[test]
fn these_runs_meet_every_kind_of_fault() {
    let met: BTreeSet<Fault> = (0..20).flat_map(|number| any_faults_any_restarts(number, World::new)).collect();
    assert_eq!(met, FAULTS.into());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_batching_faults_and_restarts_give_the_outputs_of_a_straight_run(number in any::<u64>()) {
        any_faults_any_restarts(number, World::new);
    }
}

#[test]
fn faults_and_restarts_on_the_embedded_log_give_the_outputs_of_a_straight_run() {
    (0..6).for_each(|number| drop(any_faults_any_restarts(number, |settings| World::on(On::Embedded, settings))));
}

/// A world whose first partition holds messages that close many windows of many words at once.
fn large_emission(on: On, settings: RuntimeSettings) -> World {
    let world = World::on(on, settings);
    let words: String = (0..40).map(|i| format!("w {} word{i:02} 1\n", i % 4)).collect();
    world.write(&partials(), 0, &format!("r 0 0 5 0\n{words}"));
    world.write(&partials(), 0, "r 0 5 6 500\nr 1 0 5 500\nw 50 last 1\n");
    world
}

#[test]
fn a_restart_inside_an_emission_goes_on_behind_the_cursor() {
    On::EACH.into_iter().for_each(goes_on_behind_the_cursor);
}

fn goes_on_behind_the_cursor(on: On) {
    let settings = RuntimeSettings { emit_budget: 30, ..relaxed() };
    let expected = large_emission(on, relaxed());
    run_to_the_end(&expected, &mut expected.keyed_task(0).unwrap());

    let world = large_emission(on, settings);
    let mut with_cursor = 0;
    for _ in 0..60 {
        let mut task = world.keyed_task(0).unwrap();
        for _ in 0..3 {
            task.go().unwrap(); // assigned, one batch up to the first part, one part more
        }
        let committed = world.log.committed("words.close", &Partition::new(&partials(), 0)).unwrap().unwrap();
        let beside = Beside::decode(&committed.metadata, committed.offset).unwrap();
        if beside.cursor.is_some() {
            with_cursor += 1;
            assert_eq!((committed.offset, beside.stage), (Offset(1), b"0".to_vec()), "as before the record that is being emitted");
        }
        let applied = world.stores.open("words.close", 0, 1).unwrap().applied().unwrap();
        assert!(applied <= Some(committed.offset), "the store stands for {applied:?}, and {} is committed", committed.offset);
    }
    run_to_the_end(&world, &mut world.keyed_task(0).unwrap());
    assert!(with_cursor > 3, "the emission left in {with_cursor} parts only");
    assert_eq!(world.outputs(0), expected.outputs(0));
}

#[test]
fn a_store_ahead_of_what_is_committed_is_discarded() {
    let messages = messages(&mut Seed::new(7), 40);
    let expected = straight(&messages);
    let world = World::new(relaxed());
    messages.iter().for_each(|(partition, text)| world.write(&partials(), *partition, text));
    for partition in 0..PARTITIONS {
        let mut store = world.stores.open("words.close", partition, 1).unwrap();
        let mut changes = Changes::default();
        changes.put(b"w0", b"0\nword1 1000 0\n".to_vec());
        store.write(&changes, Offset(3)).unwrap();
    }
    run_to_the_end(&world, &mut world.keyed_task(0).unwrap());
    assert_eq!(finals(&world.outputs(0)), finals(&expected.outputs(0)));
}

#[test]
fn a_restore_emits_nothing_twice_and_shows_when_it_is_done() {
    On::EACH.into_iter().for_each(emits_nothing_twice);
}

fn emits_nothing_twice(on: On) {
    let world = straight_on(World::on(on, relaxed()), &messages(&mut Seed::new(3), 40));
    let before = world.outputs(0);
    world.stores.open("words.close", 0, 1).unwrap().clear().unwrap();
    let mut task = world.keyed_task(0).unwrap();
    assert_eq!(task.status().get().state, TaskState::Restoring);
    run_to_the_end(&world, &mut task);
    assert_eq!(task.status().get().state, TaskState::Running);
    assert_eq!(world.outputs(0), before);
    let applied = world.stores.open("words.close", 0, 1).unwrap().applied().unwrap();
    assert_eq!(applied, world.log.committed("words.close", &Partition::new(&partials(), 0)).unwrap().map(|c| c.offset));
}

#[test]
fn a_log_that_begins_behind_what_a_restore_needs_is_refused() {
    let world = straight(&messages(&mut Seed::new(3), 40));
    world.stores.open("words.close", 0, 1).unwrap().clear().unwrap();
    world.memory.as_ref().unwrap().forget_before(&Partition::new(&partials(), 0), Offset(10));
    let ended = world.keyed_task(0).unwrap().go();
    assert!(matches!(ended, Err(TaskError::StateLost { start: Offset(10), .. })), "{ended:?}");
}

#[test]
fn a_full_log_is_waited_for_and_what_it_refused_is_sent_again_once() {
    let messages = messages(&mut Seed::new(9), 30);
    let expected = straight(&messages);
    let world = World::new(relaxed());
    messages.iter().for_each(|(partition, text)| world.write(&partials(), *partition, text));
    world.log.script([Some(Fault::Full); 5]);
    let mut task = world.keyed_task(0).unwrap();
    for _ in 0..6 {
        world.clock.advance(Duration::from_secs(2));
        task.go().unwrap();
    }
    assert_eq!((task.status().get().state, world.outputs(0).len()), (TaskState::Refused, 0));
    run_to_the_end(&world, &mut task);
    assert_eq!(world.log.injected(), [Fault::Full; 5]);
    assert_eq!(finals(&world.outputs(0)), finals(&expected.outputs(0)));
}

#[test]
fn outputs_wait_for_a_fifth_of_the_commit_interval_and_all_else_for_the_whole() {
    let world = World::new(relaxed());
    let mut task = world.keyed_task(0).unwrap();
    task.go().unwrap();
    world.clock.advance(Duration::from_millis(300));
    world.write(&partials(), 0, "w 5 a 1");
    task.go().unwrap();
    assert!(task.has_uncommitted());
    world.write(&partials(), 0, "e 0 100000\ne 1 100000");
    task.go().unwrap();
    assert!(!task.has_uncommitted() && !world.outputs(0).is_empty(), "{:?}", world.outputs(0));
}

#[test]
fn a_doubtful_outcome_is_settled_without_ending_the_task() {
    On::EACH.into_iter().for_each(is_settled);
}

fn is_settled(on: On) {
    let messages = messages(&mut Seed::new(9), 30);
    let expected = straight(&messages);
    let world = World::on(on, RuntimeSettings { emit_budget: 50, ..relaxed() });
    messages.iter().for_each(|(partition, text)| world.write(&partials(), *partition, text));
    world.log.script([Some(Fault::DoubtfulCommitted), Some(Fault::DoubtfulLost), None, Some(Fault::DoubtfulCommitted)]);
    run_to_the_end(&world, &mut world.keyed_task(0).unwrap());
    assert_eq!(world.log.injected().len(), 3);
    assert_eq!(finals(&world.outputs(0)), finals(&expected.outputs(0)));
}

#[test]
fn a_fenced_task_ends_and_writes_nothing() {
    let world = straight(&messages(&mut Seed::new(5), 20));
    let mut old = world.keyed_task(0).unwrap();
    old.go().unwrap();
    let before = world.log.inner().bounds(&Partition::new(&counts(), 0)).unwrap();
    let _new = world.keyed_task(0).unwrap();
    world.write(&partials(), 0, "w 50 zombie 1\ne 0 200000\ne 1 200000");
    world.evict();
    let ended = (0..20).find_map(|_| {
        world.clock.advance(Duration::from_secs(2));
        old.go().err()
    });
    assert!(ended.is_none() || matches!(ended, Some(TaskError::Fenced(_))), "{ended:?}");
    assert_eq!(world.log.inner().bounds(&Partition::new(&counts(), 0)).unwrap(), before);
}
