//! Records that kill: each is put aside after a few deaths, all others pass once, and deaths that others cause put nothing aside.

use crate::words::{partials, source};
use crate::world::{On, World};
use platform_core::clock::Clock as _;
use platform_core::log::{CommitError, Committed};
use platform_core::record::{Batch, NewRecord, Offset, Partition, Topic};
use platform_core::stage::{Emit, MapStage};
use platform_core::time::AppendTime;
use platform_runtime::map_task::MapTask;
use platform_runtime::memory::TopicSettings;
use platform_runtime::moments::{Moment, Moments};
use platform_runtime::task::{Place, RuntimeSettings, TaskSetup};
use platform_testkit::clock::SimClock;
use platform_testkit::log::Fault;
use platform_testkit::seed::Seed;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

/// Deaths until a record is put aside: of whoever was at work, whole, in a part, and eight times alone; three times where a restart takes long.
const DEATHS: u32 = 11;
const DEATHS_SLOW: u32 = 6;

/// Passes on what it reads, and dies of poison.
#[derive(Default)]
struct Fragile {
    lines: String,
}

impl MapStage for Fragile {
    fn assigned(&mut self, _: &[(Partition, Committed)]) {
        self.lines.clear();
    }

    fn process(&mut self, batch: &Batch<'_>) {
        for record in batch.iter() {
            let text = std::str::from_utf8(record.value.unwrap()).unwrap();
            assert!(!text.contains("poison"), "as it must");
            self.lines += &format!("{}/{text}\n", batch.partition.index);
        }
    }

    fn crashed(&mut self, batch: &Batch<'_>) {
        assert_eq!(batch.len(), 1);
        let record = batch.iter().next().unwrap();
        self.lines += &format!("aside {}/{} {}\n", batch.partition.index, record.offset, String::from_utf8_lossy(record.value.unwrap()));
    }

    fn idle(&mut self, _: &Partition, _: Offset, _: AppendTime) {}

    fn held(&self) -> usize {
        self.lines.len()
    }

    fn has_output(&self) -> bool {
        !self.lines.is_empty()
    }

    fn emit(&mut self, out: &mut dyn Emit) -> Result<(), CommitError> {
        if self.lines.is_empty() {
            return Ok(());
        }
        out.append(&Partition::new(&partials(), 0), NewRecord { value: Some(self.lines.as_bytes()), ..NewRecord::default() })
    }

    fn committed(&mut self) {
        self.lines.clear();
    }

    fn aborted(&mut self) {
        self.lines.clear();
    }

    fn ended(&mut self) {}
}

/// Deaths that are meant are not printed.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let other = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload_as_str().unwrap_or_default();
            if text != "as it must" && text != "killed by others" {
                other(panic);
            }
        }));
    });
}

fn start(world: &World, slot: usize, moments: Moments) -> MapTask {
    let setup = TaskSetup { place: Arc::new(Place { moments, ..Place::default() }), ..world.setup("add", slot, &world.sources) };
    let reader = world.reader(&setup);
    MapTask::new(setup, Box::new(Fragile::default()), reader).unwrap()
}

fn fill(world: &World, partition: u32, values: &[String]) {
    let records: Vec<_> = values.iter().map(|value| NewRecord { value: Some(value.as_bytes()), ..NewRecord::default() }).collect();
    world.log.inner().producer().unwrap().append(&Partition::new(&world.sources[0], partition), &records).unwrap();
}

fn numbers(count: usize) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}

/// What came out, with how often, and in how many transactions.
fn came_out(world: &World) -> (BTreeMap<String, u32>, usize) {
    let texts = world.texts(&partials(), 0);
    let mut lines = BTreeMap::new();
    texts.iter().flat_map(|text| text.lines()).for_each(|line| *lines.entry(line.to_owned()).or_default() += 1);
    (lines, texts.len())
}

/// Makes a task where there is none, and steps it so often; gives whether it lived.
fn lives(world: &World, slot: usize, moments: &Moments, task: &mut Option<MapTask>, steps: u32) -> bool {
    let alive = catch_unwind(AssertUnwindSafe(|| {
        let task = task.get_or_insert_with(|| start(world, slot, moments.clone()));
        for _ in 0..steps {
            task.step(Duration::ZERO).unwrap();
            world.clock.advance(Duration::from_millis(50));
        }
    }));
    if alive.is_err() {
        *task = None;
    }
    alive.is_ok()
}

/// A process that lives for so many steps, or dies before.
fn process(world: &World, moments: &Moments, steps: u32) -> bool {
    lives(world, 0, moments, &mut None, steps)
}

fn everything_once(world: &World, partitions: &[Vec<String>]) -> Vec<String> {
    let (mut lines, _) = came_out(world);
    for (index, values) in partitions.iter().enumerate() {
        for value in values.iter().filter(|value| !value.contains("poison")) {
            assert_eq!(lines.remove(&format!("{index}/{value}")), Some(1), "{index}/{value}");
        }
    }
    assert!(lines.values().all(|count| *count == 1), "{lines:?}");
    lines.into_keys().collect()
}

#[test]
fn a_record_that_kills_is_put_aside_and_all_others_pass_once() {
    quiet();
    On::EACH.into_iter().for_each(put_aside);
}

fn put_aside(on: On) {
    for (place, restart) in [(0, 0), (1, 10), (255, 10), (256, 2), (257, 0), (700, 10)] {
        let world = World::on(on, RuntimeSettings::default());
        let mut values = [numbers(1000), numbers(300)];
        values[0][place] = format!("poison {place}");
        let mut task = None;
        assert!(lives(&world, 0, &Moments::default(), &mut task, 10));
        fill(&world, 0, &values[0]);
        fill(&world, 1, &values[1]);
        assert!(!lives(&world, 0, &Moments::default(), &mut task, 10));
        let (mut deaths, first) = (1, world.clock.monotonic());
        world.clock.advance(Duration::from_secs(restart));
        while !process(&world, &Moments::default(), 200) {
            deaths += 1;
            world.clock.advance(Duration::from_secs(restart));
            assert!(deaths <= DEATHS, "{place}: still dying");
        }
        // With the ten seconds in which it lived.
        let took = world.clock.monotonic() - first - Duration::from_secs(10);
        assert!(took < Duration::from_secs(63), "{took:?} besides the reading");
        assert!(deaths == if restart == 10 { DEATHS_SLOW } else { DEATHS } || restart == 2, "{place}: {deaths} deaths");
        assert_eq!(everything_once(&world, &values), [format!("aside 0/{place} poison {place}")]);
    }
}

#[test]
fn several_that_kill_are_put_aside_whoever_has_their_partitions() {
    quiet();
    let world = World::new(RuntimeSettings::default());
    let mut values = [numbers(600), numbers(600)];
    for place in [20, 21, 400] {
        values[0][place] = format!("poison {place}");
    }
    values[1][20] = "poison".to_owned();
    (0..2).for_each(|index| fill(&world, index, &values[index as usize]));
    let (mut tasks, mut deaths): ([Option<MapTask>; 2], u32) = ([None, None], 0);
    for _ in 0..3000 {
        for (slot, task) in tasks.iter_mut().enumerate() {
            deaths += u32::from(!lives(&world, slot, &Moments::default(), task, 1));
        }
    }
    // The death of one makes the other start too.
    assert!((3 * DEATHS_SLOW..=4 * DEATHS).contains(&deaths), "{deaths}");
    assert_eq!(
        everything_once(&world, &values),
        ["aside 0/20 poison 20", "aside 0/21 poison 21", "aside 0/400 poison 400", "aside 1/20 poison"]
    );
}

/// Two processes die of others with records before them: from the next one on each is read alone.
fn make_careful(world: &World) {
    let third = Moments::told_to(|_, moment| assert!(moment != Moment::AfterPoll, "killed by others"));
    assert!(!process(world, &third, 10) && !process(world, &third, 10));
}

#[test]
fn care_ends() {
    quiet();
    let world = World::new(RuntimeSettings { commit_interval: Duration::from_millis(1), ..RuntimeSettings::default() });
    let values = [numbers(5000), vec![]];
    fill(&world, 0, &values[0]);
    make_careful(&world);
    assert!(process(&world, &Moments::default(), 50));
    assert_eq!(everything_once(&world, &values), Vec::<String>::new());
    let transactions = came_out(&world).1;
    assert!((200..300).contains(&transactions), "{transactions} transactions");
    // Nothing of it is left: the next start reads as always.
    fill(&world, 0, &numbers(100));
    assert!(process(&world, &Moments::default(), 10));
    assert_eq!(came_out(&world).1, transactions + 1);
}

/// Whoever gets a partition soon after another one took it must not think that one died.
#[test]
fn the_first_records_behind_a_start_are_committed_at_once() {
    let world = World::new(RuntimeSettings { commit_interval: Duration::from_secs(60), ..RuntimeSettings::default() });
    let values = [numbers(40), numbers(5)];
    (0..2).for_each(|index| fill(&world, index, &values[index as usize]));
    for _ in 0..4 {
        // Much shorter than the interval, and each but the last one just goes away.
        assert!(process(&world, &Moments::default(), 6));
        fill(&world, 0, &numbers(1));
    }
    let lines = came_out(&world).0;
    assert_eq!((lines.len(), lines.values().sum::<u32>()), (45, 48), "three that came later are the first again");
}

/// Each in turn reads the first record alone, lives, is refused, and loses the partition to the next: a few would be enough if they were deaths.
#[test]
fn refusals_and_changes_of_hands_are_no_deaths() {
    quiet();
    // In the second case whoever lost the record has nothing of its topic left.
    for sources in [vec![source()], vec![single(), source()]] {
        from_hand_to_hand(&doubted(sources));
    }
}

/// A topic of one partition.
fn single() -> Topic {
    Topic::new("single")
}

/// What lies in the first partition of such a world, and in the second.
fn three() -> [Vec<String>; 2] {
    [numbers(3), vec![]]
}

/// A world in which commits come seldom, and where the first partition holds three records that are read one by one.
fn doubted(sources: Vec<Topic>) -> World {
    let mut world = World::new(RuntimeSettings { commit_interval: Duration::from_secs(60), ..RuntimeSettings::default() });
    world.memory.as_ref().unwrap().create_topic(&single(), 1, TopicSettings::default());
    world.sources = sources;
    fill(&world, 0, &three()[0]);
    make_careful(&world);
    world
}

fn from_hand_to_hand(world: &World) {
    let mut tasks: [Option<MapTask>; 10] = Default::default();
    for slot in 0..tasks.len() {
        world.memory.as_ref().unwrap().evict("words.add");
        // Whoever is careful waits before it does anything.
        let mut step = |slot: usize| {
            world.clock.advance(Duration::from_secs(10));
            assert!(lives(world, slot, &Moments::default(), &mut tasks[slot], 1));
        };
        // The first that comes back has partition 0, and whoever had it before has the other one; it hears of it when it has said its word.
        step(slot);
        slot.checked_sub(1).into_iter().flat_map(|before| [before, before, slot]).for_each(&mut step);
        world.log.script([None, Some(Fault::Abort)]);
        step(slot);
    }
    assert_eq!(world.log.injected().len(), tasks.len(), "each was refused");
    drop(tasks);
    assert!(process(world, &Moments::default(), 200));
    assert_eq!(everything_once(world, &three()), Vec::<String>::new());
}

/// Whoever reads the first record lives, is refused, and is told to stop: that is no death either.
#[test]
fn refusals_and_orderly_stops_are_no_deaths() {
    quiet();
    // A second partition could be idle, and make a commit on its own account.
    let world = doubted(vec![single()]);
    for _ in 0..10 {
        let mut task = None;
        assert!(lives(&world, 0, &Moments::default(), &mut task, 1));
        world.clock.advance(Duration::from_secs(10));
        world.log.script([None, Some(Fault::Abort)]);
        assert!(lives(&world, 0, &Moments::default(), &mut task, 1));
        // As it is when a process is told to stop.
        assert!(task.unwrap().commit_now().unwrap());
    }
    assert_eq!(world.log.injected().len(), 10, "each was refused");
    assert!(process(&world, &Moments::default(), 200));
    assert_eq!(everything_once(&world, &three()), Vec::<String>::new());
}

/// One process lived through the first record, and says so as long as it lives; all others die of it.
#[test]
fn who_lived_once_excuses_no_later_death() {
    quiet();
    let world = doubted(vec![source()]);
    let mut witness = None;
    assert!(lives(&world, 0, &Moments::default(), &mut witness, 1));
    world.clock.advance(Duration::from_secs(10));
    world.log.script([None, Some(Fault::Abort)]);
    assert!(lives(&world, 0, &Moments::default(), &mut witness, 1));
    world.clock.advance(Duration::from_secs(10));
    assert!(lives(&world, 0, &Moments::default(), &mut witness, 1));
    let mut deaths = 0;
    while !came_out(&world).0.contains_key("aside 0/0 0") {
        let marked = Arc::new(AtomicBool::new(false));
        let dies = Arc::clone(&marked);
        let dies = Moments::told_to(move |_, moment| {
            assert!(moment != Moment::AfterCommit || !dies.load(Ordering::Relaxed), "killed by others");
        });
        world.memory.as_ref().unwrap().evict("words.add");
        let mut task = None;
        // The first that comes back has partition 0.
        assert!(lives(&world, 1, &dies, &mut task, 1));
        assert!(lives(&world, 0, &Moments::default(), &mut witness, 1));
        // Whoever is careful waits before it does anything.
        world.clock.advance(Duration::from_secs(10));
        assert!(lives(&world, 1, &dies, &mut task, 1));
        world.clock.advance(Duration::from_secs(10));
        marked.store(true, Ordering::Relaxed);
        assert!(!lives(&world, 1, &dies, &mut task, 1));
        deaths += 1;
        assert!(deaths < 20, "still dying");
    }
    // The first of these found a mark that was lived through; the last one put the record aside, and died of something else.
    assert_eq!(deaths, 1 + 3);
}

/// Kills whoever it likes, at a moment, and lets time pass there.
fn killer(clock: &Arc<SimClock>, kills: impl Fn(Duration) -> bool + Send + Sync + 'static) -> Moments {
    let clock = Arc::clone(clock);
    Moments::told_to(move |_, _| {
        clock.advance(Duration::from_millis(2));
        assert!(!kills(clock.monotonic()), "killed by others");
    })
}

#[test]
fn deaths_that_others_cause_put_nothing_aside() {
    quiet();
    for number in 0..20 {
        let world = World::new(RuntimeSettings { commit_interval: Duration::from_millis(200), ..RuntimeSettings::default() });
        world.log.seeded(number, 50, &[Fault::Abort, Fault::DoubtfulCommitted, Fault::DoubtfulLost, Fault::Full]);
        let mut seed = Seed::new(number);
        let values = [numbers(3000), numbers(1000)];
        (0..2).for_each(|index| fill(&world, index, &values[index as usize]));
        let mut deaths = 0;
        while deaths < 100 {
            // Whatever it is doing then: some 8 ms lie between a mark and the end of its try.
            let end = world.clock.monotonic() + Duration::from_millis(seed.below(3000));
            let moments = killer(&world.clock, move |now| now >= end);
            deaths += u32::from(!process(&world, &moments, 100));
        }
        world.log.heal();
        assert!(process(&world, &Moments::default(), 1000));
        assert_eq!(everything_once(&world, &values), Vec::<String>::new(), "seed {number}");
    }
}

/// Far more often than anything kills: a try meets some four moments, so one in twelve ends in it. Even then each record comes out once, as itself
/// or as what killed; and as that none, unless restarts are so slow that three such tries in a row are enough.
#[test]
fn deaths_at_one_of_fifty_moments_lose_and_double_nothing() {
    quiet();
    for (number, restart) in (0..40).flat_map(|number| [(number, 1), (number, 8)]) {
        let world = World::new(RuntimeSettings { commit_interval: Duration::from_millis(200), ..RuntimeSettings::default() });
        world.log.seeded(number, 50, &[Fault::Abort, Fault::DoubtfulCommitted, Fault::DoubtfulLost, Fault::Full]);
        let values = [numbers(1500), numbers(500)];
        (0..2).for_each(|index| fill(&world, index, &values[index as usize]));
        let (seed, mut deaths) = (Arc::new(Mutex::new(Seed::new(number))), 0);
        let moments = Moments::told_to(move |_, _| {
            let kills = seed.lock().unwrap_or_else(PoisonError::into_inner).chance(20);
            assert!(!kills, "killed by others");
        });
        while deaths < 200 {
            deaths += u32::from(!process(&world, &moments, 100));
            world.clock.advance(Duration::from_secs(restart));
        }
        world.log.heal();
        assert!(process(&world, &Moments::default(), 1000));
        let lines = came_out(&world).0;
        for (place, value) in values.iter().enumerate().flat_map(|(index, values)| values.iter().map(move |value| (index, value))) {
            let count = |line: &str| lines.get(line).copied().unwrap_or_default();
            let (good, aside) = (count(&format!("{place}/{value}")), count(&format!("aside {place}/{value} {value}")));
            assert!(good + aside == 1 && (aside == 0 || restart == 8), "seed {number}: {place}/{value} {good} times, {aside} aside");
        }
    }
}

#[test]
fn deaths_at_the_same_time_after_each_start_put_nothing_aside() {
    quiet();
    for after in (2..2200).step_by(2).map(Duration::from_millis) {
        let world = World::new(RuntimeSettings::default());
        let values = [numbers(40), vec![]];
        fill(&world, 0, &values[0]);
        for _ in 0..2 * DEATHS {
            let end = world.clock.monotonic() + after;
            let moments = killer(&world.clock, move |now| now >= end);
            if process(&world, &moments, 100) {
                break;
            }
        }
        assert!(process(&world, &Moments::default(), 100));
        assert_eq!(everything_once(&world, &values), Vec::<String>::new(), "{after:?}");
    }
}
