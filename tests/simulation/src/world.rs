//! Processes, time, and who goes next. One thread: whoever is stepped runs until its step is over, but the brokers let time pass inside of it,
//! and now and then they let it stand still in the middle of a request while the others go on.

use crate::Report;
use crate::alarms::Alarms;
use crate::check;
use crate::parts::{Common, Made, Part, Recipe, Stepped, Task, settings, topics};
use crate::plan::{LEAD, PARTITIONS, Plan, SERVICES, SOURCES, START, WINDOW, nanos, seconds, turns};
use golden_overrides::archive::{Files, pack, sha256};
use golden_pipeline::names::{PIPELINE, SCHEMA, Topics};
use golden_pipeline::overrides::activate::{Content, activate};
use golden_pipeline::overrides::record::{Activate, SCHEMA_CONTENT};
use golden_pipeline::overrides::rules::Rules;
use golden_router::control::OrdersFeed;
use golden_router::deployment::{Colour, Deployment as Deployed};
use golden_router::worker::{self, Worker};
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::pipeline::MakeMerge;
use platform_core::record::{NewRecord, Partition};
use platform_core::stage::KeyedStage;
use platform_runtime::keyed_task::KeyedParts;
use platform_runtime::merge_task::MergeParts;
use platform_runtime::task::{Place, TaskError, TaskSetup};
use platform_testkit::clock::SimClock;
use platform_testkit::seed::Seed;
use platform_testkit::sim::{Arrival, Chances, SimLog};
use platform_testkit::store::FaultyStores;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use watch::Watch;

/// Those who deploy and flip.
pub(crate) mod operators;
/// Orders and windows as far as they are visible.
mod watch;

/// Steps that one process makes before another is chosen, at most.
const TURN: u64 = 4;
/// How long after its end a window is published at the latest, s, once nothing goes wrong any more.
const BEHIND: i64 = 45;
/// Of a thousand steps of a slow FOLD, how many it does not make.
const SLOW: u64 = 800;
/// How long versions of the overrides are known, s: longer than a run.
const RULES: i64 = 600;
/// Of a thousand seconds, how many bring it home to a process that its deployment has ended, or that another one has begun.
const NOTICES: u64 = 300;

/// What a process is for.
#[derive(Clone, Debug, Default)]
struct Role {
    /// Whether it is of the older deployment, and nothing else.
    old: bool,
    colours: Vec<Colour>,
    controls: bool,
}

/// What a process does next.
enum Next {
    Make(usize),
    Step(Task),
    Finish(Task),
}

/// A process: its tasks are made one after the other when it starts, and all end with it.
struct Process {
    /// As the brokers know it; another one after each start.
    number: u64,
    instance: String,
    role: Role,
    /// The deployments that it computes.
    of: Vec<Deployed>,
    /// What its router worker knows of orders.
    feed: Arc<OrdersFeed>,
    stores: FaultyStores,
    tasks: Vec<Task>,
    /// Stages and slots that are still to be made.
    waiting: Vec<usize>,
    paused_until: Option<Duration>,
    /// Its FOLD falls behind.
    slow_until: Duration,
    /// It stands still in the middle of a step.
    frozen: bool,
    /// It was told to stop: each task commits what it has, and then it begins again.
    stopping: bool,
}

thread_local! {
    /// The run of this thread, for those who go on while one stands still.
    static RUN: RefCell<Option<Rc<RefCell<World>>>> = const { RefCell::new(None) };
}

/// A run.
pub(crate) struct World {
    pub(crate) plan: Plan,
    seed: Seed,
    clock: Arc<SimClock>,
    pub(crate) log: SimLog,
    pub(crate) topics: Topics,
    pub(crate) common: Common,
    parts: Vec<Part>,
    /// FOLD of the older deployment.
    old: Part,
    processes: Vec<Process>,
    numbers: u64,
    /// The newest version of the overrides that is known to be decided.
    version: u64,
    decided: u64,
    /// What was asked for and ordered, by name.
    asked: BTreeMap<&'static str, u64>,
    blacked_out: bool,
    /// There was a flip.
    flipped: bool,
    watch: RefCell<Watch>,
    pub(crate) violations: Vec<String>,
    /// Whether a source partition was out of reach for a while, or its FOLD: then a window may be incomplete.
    pub(crate) may_be_incomplete: bool,
}

/// A version of the overrides: `turns` says what stands in it.
fn version(version: u64) -> Content {
    let rule = "owner: t\nerrors: 'outcome == \"error\" ? \"ok\" : \"error\"'\nhealth: 'requestCount > 0 ? 2 : 1'\n";
    let file = |service: u64| (format!("t/s{service}.yaml"), rule.as_bytes().to_vec());
    let live: Files = (0..SERVICES).filter(|service| turns(version, *service)).map(file).collect();
    let said = Activate {
        version,
        bundle: pack(&live).map(|packed| sha256(&packed)).unwrap_or_default(),
        live: String::new(),
        shadow: String::new(),
        from_window: i64::MIN,
        lead: nanos(LEAD),
        published_by: String::new(),
        published_at: String::new(),
        commit: String::new(),
        rollback_of: None,
        rejected: Vec::new(),
    };
    Content { said, live, shadow: Files::new() }
}

impl World {
    fn new(plan: Plan) -> Self {
        let mut seed = Seed::new(plan.seed.wrapping_mul(3));
        let clock = Arc::new(SimClock::at(nanos(START)));
        let log = SimLog::new(Seed::new(seed.number()), Arc::clone(&clock)).freezing(frozen);
        let shared = topics(Colour::Blue);
        // Half of what the pipeline assumes at most.
        let clocks = Duration::from_millis(500);
        log.create_topic(&shared.events, SOURCES, clocks);
        log.create_topic(&shared.dead_letters, 1, clocks);
        log.create_topic(&shared.control, 1, clocks);
        for topic in [&shared.public, &shared.late] {
            log.create_topic(topic, PARTITIONS, clocks);
        }
        for of in Colour::ALL.map(topics) {
            log.create_topic(&of.partials, PARTITIONS, clocks);
            log.create_topic(&of.signals, PARTITIONS, clocks);
        }
        let common = Common {
            retain: plan.retain,
            fold_tasks: plan.fold_tasks,
            automatic: plan.automatic,
            rules: Rules::of_log(Arc::new(log.of_process(0)), &shared.control, settings(plan.retain).window, nanos(RULES)),
        };
        let (parts, old) = (vec![common.router(), common.control()], common.old_fold());
        for (due, partition, value) in plan.records(&mut seed) {
            let open = seed.chance(plan.open).then(|| (Duration::from_millis(seed.below(8000)), seed.chance(800)));
            let to = Partition::new(&shared.events, partition);
            log.schedule(due, Arrival { to, value: value.map(String::into_bytes), transaction: open });
        }
        let may_be_incomplete = !plan.blackout;
        let (processes, zombie_epoch) = (plan.processes, plan.zombie_epoch);
        let mut world = Self {
            plan,
            seed,
            clock,
            log,
            topics: shared,
            common,
            parts,
            old,
            processes: Vec::new(),
            numbers: 0,
            version: 0,
            decided: 0,
            asked: BTreeMap::new(),
            flipped: false,
            watch: RefCell::new(Watch::new()),
            blacked_out: false,
            violations: Vec::new(),
            may_be_incomplete,
        };
        world.begin();
        for place in 0..processes {
            // All in one, or a colour each with whatever is shared.
            let colours = match place {
                0 | 1 if processes > 1 && !world.plan.embedded => vec![if place == 0 { Colour::Blue } else { Colour::Green }],
                _ => Colour::ALL.to_vec(),
            };
            let role = Role { old: false, colours, controls: place < world.plan.controllers };
            world.start(format!("p{place}"), role, FaultyStores::default());
        }
        if zombie_epoch {
            world.start("old".to_owned(), Role { old: true, ..Role::default() }, FaultyStores::default());
        }
        world
    }

    /// ns since 1970.
    pub(crate) fn wall(&self) -> i64 {
        self.clock.wall()
    }

    pub(crate) fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn start(&mut self, instance: String, role: Role, stores: FaultyStores) {
        self.numbers += 1;
        let orders = self.orders();
        let starts: Vec<_> = role.colours.iter().filter_map(|colour| orders.running(*colour)).collect();
        for start in &starts {
            if self.parts.iter().all(|part| part.of != Some(start.deployment)) {
                self.parts.extend(self.common.parts_of(start));
            }
        }
        let of: Vec<Deployed> = starts.iter().map(|start| start.deployment).collect();
        let runs = |part: &Part| match part.made {
            Made::Control(_) => role.controls,
            Made::Router(_) => true,
            Made::Map(_) | Made::Keyed(..) => part.of.is_some_and(|deployment| of.contains(&deployment)),
        };
        let all = self.parts.iter().enumerate().filter(|(_, part)| runs(part));
        let mut waiting: Vec<usize> = all.flat_map(|(place, part)| std::iter::repeat_n(place, part.tasks)).collect();
        if role.old {
            waiting = vec![0];
        }
        let (number, tasks) = (self.numbers, Vec::new());
        let feed = OrdersFeed::of_log(Arc::new(self.log.of_process(number)), &self.topics.control);
        self.processes.push(Process {
            number,
            instance,
            role,
            of,
            feed,
            stores,
            tasks,
            waiting,
            paused_until: None,
            slow_until: Duration::ZERO,
            frozen: false,
            stopping: false,
        });
        if self.plan.slow > 0 && self.now() < self.plan.busy && self.seed.chance(500) {
            self.slow_down(self.processes.len() - 1);
        }
    }

    /// What it takes to make a task, which talks to the brokers when it is made.
    fn recipe(&self, number: u64, place: usize) -> Option<Recipe> {
        let process = self.processes.get(self.place_of(number)?)?;
        let part = if process.role.old { &self.old } else { self.parts.get(place)? };
        let log: Arc<dyn Log> = Arc::new(self.log.of_process(process.number));
        let setup = TaskSetup {
            pipeline: part.pipeline.clone(),
            stage: part.name.clone(),
            reads: part.reads.clone(),
            slot: process.waiting.iter().filter(|waiting| **waiting == place).count(),
            place: Arc::new(Place { instance: process.instance.clone(), ..Place::default() }),
            log: Arc::clone(&log),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            settings: self.plan.settings,
            signal: Arc::default(),
        };
        let stage = match &part.made {
            Made::Map(make) => Stepped::Map(make()),
            Made::Keyed(make, format) => {
                Stepped::Keyed(KeyedParts { make: Arc::clone(make), format: *format, stores: Arc::new(process.stores.clone()) })
            }
            Made::Router(settings) => {
                let (settings, feed) = (settings.clone(), Arc::clone(&process.feed));
                let make: MakeMerge = Box::new(move |index| Box::new(Worker::new((*settings).clone(), Arc::clone(&feed), index)));
                Stepped::Merge(MergeParts { make: Arc::new(make), format: worker::FORMAT, stores: Arc::new(process.stores.clone()) })
            }
            Made::Control(settings) => Stepped::Control(settings.clone()),
        };
        Some(Recipe { setup, log, stage })
    }

    /// Time passes, up to so many ms, and somebody is chosen to do something.
    fn choose(&mut self, most: u64) -> Option<u64> {
        #[cfg(planted)]
        platform_core::planted::set_now(self.clock.wall());
        let by = Duration::from_millis(self.seed.below(most));
        self.log.pass(by);
        let place = usize::try_from(self.seed.below(self.processes.len() as u64)).ok()?;
        let now = self.now();
        let process = self.processes.get_mut(place).filter(|process| !process.frozen)?;
        if let Some(until) = process.paused_until {
            if now < until {
                return None;
            }
            process.paused_until = None;
            self.log.resume(process.number);
        }
        Some(process.number)
    }

    fn place_of(&self, number: u64) -> Option<usize> {
        self.processes.iter().position(|process| process.number == number)
    }

    /// What a process does next.
    fn next(&mut self, number: u64) -> Option<Next> {
        let (place, now) = (self.place_of(number)?, self.now());
        let process = self.processes.get_mut(place)?;
        if process.slow_until > Duration::ZERO && now >= process.slow_until {
            process.slow_until = Duration::ZERO;
            self.log.set_slow(number, false);
        }
        if process.stopping {
            let Some(task) = process.tasks.pop() else {
                self.end(place, false);
                return None;
            };
            return Some(Next::Finish(task));
        }
        if let Some(stage) = process.waiting.pop() {
            return Some(Next::Make(stage));
        }
        let task = usize::try_from(self.seed.below(process.tasks.len() as u64)).ok()?;
        let slow = now < process.slow_until && matches!(process.tasks.get(task), Some(Task::Map(_)));
        if slow && self.seed.chance(SLOW) {
            return None;
        }
        (task < process.tasks.len()).then(|| Next::Step(process.tasks.swap_remove(task)))
    }

    /// A task that ends takes its process with it, which starts again: in order, so that what it wrote stays.
    fn failed(&mut self, place: usize, error: &TaskError) {
        let cut_off = self.processes.get(place).is_some_and(|process| self.log.is_cut_off(process.number).is_some());
        if !cut_off && !matches!(error, TaskError::Fenced(_)) {
            self.violations.push(format!("a task ended: {error}"));
        }
        let name = self.processes.get(place).map(|process| process.instance.clone());
        let others = self.processes.iter().enumerate().filter(|(at, _)| *at != place);
        if others.map(|(_, process)| &process.instance).any(|other| Some(other) == name.as_ref()) {
            // Another has its name: it stays away, else the two would fence one another for ever.
            self.processes.remove(place);
            return;
        }
        self.end(place, false);
    }

    /// A process ends, and another takes its place.
    fn end(&mut self, place: usize, killed: bool) {
        let Process { number, instance, role, mut stores, tasks, .. } = self.processes.remove(place);
        let cut_off = self.log.is_cut_off(number);
        if killed {
            self.log.kill(number);
            if self.plan.disks_lost && self.seed.chance(500) {
                stores = FaultyStores::default();
            } else {
                stores.crash(&mut self.seed);
            }
        } else {
            stores.flush();
        }
        drop(tasks);
        if !role.old || self.now() < self.plan.busy {
            self.start(instance, role, stores);
            // The machine is, not the process.
            if let Some(until) = cut_off {
                self.log.cut_off(self.numbers, until);
            }
        }
    }

    fn trouble(&mut self) {
        let (kills, pauses) = (self.plan.kills, self.plan.pauses);
        let Some(place) = usize::try_from(self.seed.below(self.processes.len() as u64)).ok() else { return };
        if self.seed.chance(kills) {
            self.end(place, true);
        } else if self.seed.chance(pauses) {
            self.pause(place);
        }
        if self.plan.slow > 0 && self.seed.chance(self.plan.slow) {
            self.slow_down(place.min(self.processes.len() - 1));
        }
        if self.plan.cuts > 0 && self.seed.chance(self.plan.cuts) {
            let lasting = Duration::from_millis(500 + self.seed.below(40_000));
            self.cut_off(place.min(self.processes.len() - 1), lasting);
        }
        if self.seed.chance(self.plan.evictions) {
            let part = self.seed.pick(&self.parts);
            part.into_iter().for_each(|part| self.log.evict(&format!("{}.{}", part.pipeline, part.name)));
        }
        if self.seed.chance(self.plan.leaderless) {
            let partition = u32::try_from(self.seed.below(u64::from(SOURCES))).unwrap_or(0);
            let lasting = Duration::from_secs(5 + self.seed.below(90)).min(self.plan.busy.saturating_sub(self.now()));
            self.log.lose_leader(&Partition::new(&self.topics.events, partition), lasting);
        }
        if self.seed.chance(self.plan.decisions) {
            self.decide();
        }
        if self.seed.chance(self.plan.control_away) {
            let lasting = Duration::from_secs(1 + self.seed.below(25)).min(self.plan.busy.saturating_sub(self.now()));
            self.log.lose_leader(&Partition::new(&self.topics.control, 0), lasting);
        }
        if self.seed.chance(self.plan.orders) {
            self.operate();
        }
        if self.now() > self.plan.busy / 3 * 2 {
            self.flip_at_last();
        }
        if self.seed.chance(self.plan.outages) {
            self.outage();
        }
        self.notice(NOTICES);
        if self.seed.chance(100) {
            self.processes.iter().for_each(|process| process.stores.flush());
        }
    }

    /// Processes whose deployment has ended end, and begin again with what is to be computed now.
    fn notice(&mut self, per_mille: u64) {
        let orders = self.orders();
        for place in (0..self.processes.len()).rev() {
            let Some(process) =
                self.processes.get(place).filter(|process| !(process.frozen || process.stopping || process.paused_until.is_some()))
            else {
                continue;
            };
            let now: Vec<Deployed> =
                process.role.colours.iter().filter_map(|colour| orders.running(*colour)).map(|start| start.deployment).collect();
            if now != process.of && self.seed.chance(per_mille) {
                self.processes.get_mut(place).into_iter().for_each(|process| process.stopping = true);
            }
        }
    }

    /// Whoever controls decides on the next version of the overrides, or dies while it writes it.
    fn decide(&mut self) {
        self.numbers += 1;
        let log = self.log.of_process(self.numbers);
        let control = self.topics.control.clone();
        let dies = self.seed.chance(150);
        if dies {
            // What it leaves behind is neither done nor undone until brokers give it up.
            let headers = [(SCHEMA, SCHEMA_CONTENT.as_bytes())];
            let piece = NewRecord { key: Some(b"half"), headers: &headers, value: Some(b"half") };
            if let Ok(mut writer) = log.writer(&format!("{PIPELINE}.control")) {
                drop(writer.append(&Partition::new(&control, 0), piece));
            }
        } else {
            let Some(window) = platform_core::window::WindowLength::new(seconds(WINDOW)).ok() else { return };
            let rules = Rules::of_log(Arc::new(self.log.of_process(self.numbers)), &control, window, nanos(RULES));
            let next = self.version + 1;
            // What fails may have taken place: the next one finds out, and goes on from there.
            let decided = activate(&log, &control, &rules, next, |_| Ok(version(next)));
            self.decided += u64::from(decided.is_ok());
            self.version += u64::from(decided.is_ok());
        }
        self.log.kill(self.numbers);
    }

    fn pause(&mut self, place: usize) {
        let until = self.now() + Duration::from_millis(500 + self.seed.below(40_000));
        let Some(process) = self.processes.get_mut(place) else { return };
        if process.paused_until.is_some() {
            return;
        }
        process.paused_until = Some(until);
        self.log.pause(process.number);
        if self.plan.replaced {
            // Another process under the same name, or under a name of its own.
            let (instance, role) = (process.instance.clone(), process.role.clone());
            let instance = if self.seed.chance(500) { instance } else { format!("q{}", self.numbers) };
            self.start(instance, role, FaultyStores::default());
        }
    }

    /// A process lives and reaches no broker for a while.
    fn cut_off(&mut self, place: usize, lasting: Duration) {
        let until = (self.now() + lasting).min(self.plan.busy);
        if let Some(process) = self.processes.get(place) {
            self.log.cut_off(process.number, until);
        }
    }

    /// A process reads record by record, and seldom.
    fn slow_down(&mut self, place: usize) {
        let until = self.now() + Duration::from_secs(5 + self.seed.below(60));
        let Some(process) = self.processes.get_mut(place) else { return };
        process.slow_until = until;
        self.log.set_slow(process.number, true);
    }

    /// Nothing goes wrong any more, and nobody stays away.
    fn calm(&mut self) {
        self.log.set_chances(Chances::default());
        if let Some(old) = self.processes.iter().position(|process| process.role.old) {
            self.end(old, true);
        }
        let busy = self.plan.busy;
        for process in &mut self.processes {
            process.paused_until = process.paused_until.map(|_| busy);
            process.slow_until = Duration::ZERO;
            self.log.set_slow(process.number, false);
        }
    }

    /// Everything dies, and comes back after a while.
    fn black_out(&mut self) {
        for place in (0..self.processes.len()).rev() {
            self.end(place, true);
        }
        let lasting = Duration::from_secs(15 + self.seed.below(30));
        self.log.pass(lasting);
    }

    /// A CLOSE of a deployment made anew, of one partition.
    pub(crate) fn fresh_close(&self, of: Deployed, partition: u32) -> Option<Box<dyn KeyedStage>> {
        self.parts.iter().find_map(|part| match &part.made {
            Made::Keyed(make, _) if part.of == Some(of) => Some(make(partition)),
            _ => None,
        })
    }
}

/// Busy, then quiet, then judged.
pub(crate) fn run(plan: Plan, alarms: &Alarms) -> Report {
    let (chances, blackout, busy, quiet) = (plan.chances, plan.blackout, plan.busy, plan.quiet);
    let world = Rc::new(RefCell::new(World::new(plan)));
    RUN.set(Some(Rc::clone(&world)));
    world.borrow().log.set_chances(chances);
    let blackout = blackout.then(|| Duration::from_secs(20 + world.borrow_mut().seed.below(20)));
    let now = || world.borrow().now();
    let mut second = Duration::ZERO;
    while now() < busy {
        go(&world, 60);
        let mut world = world.borrow_mut();
        if world.now() >= second {
            second = world.now() + Duration::from_secs(1);
            world.trouble();
        }
        if blackout.is_some_and(|at| world.now() >= at) && !world.blacked_out {
            world.blacked_out = true;
            world.black_out();
        }
    }
    world.borrow_mut().calm();
    // Who fell far behind gets more time, and much of it where budgets are small and each transaction holds a few records; but not for ever:
    // what is not there then is missing.
    let over = |at: Duration| at >= busy + quiet && (at >= busy + 16 * quiet || check::keeps_up(&world.borrow(), nanos(BEHIND)));
    while !over(now()) {
        go(&world, 120);
        let mut world = world.borrow_mut();
        if world.now() >= second {
            second = world.now() + Duration::from_secs(1);
            world.notice(1000);
            if world.now() < busy + quiet / 3 {
                world.flip_at_last();
            }
        }
    }
    RUN.set(None);
    let mut world = world.borrow_mut();
    let mut report = Report { injected: world.log.injected(), ..Report::default() };
    if world.decided > 0 {
        report.injected.insert("decision", world.decided);
    }
    report.injected.append(&mut world.asked);
    check::judge(&world, !alarms.broken().is_empty(), &mut report);
    report.violations.append(&mut world.violations);
    report
}

/// Somebody does something. The world is not held meanwhile: whoever stands still in the middle of it lets others go on.
fn go(world: &Rc<RefCell<World>>, most: u64) {
    let Some(number) = world.borrow_mut().choose(most) else { return };
    let turns = world.borrow_mut().seed.below(TURN);
    for _ in 0..=turns {
        let next = world.borrow_mut().next(number);
        let done = match next {
            None => return,
            Some(Next::Step(mut task)) => task.step().map(|()| Some(task)),
            Some(Next::Finish(mut task)) => task.finish().map(|done| (!done).then_some(task)),
            Some(Next::Make(stage)) => {
                let recipe = world.borrow().recipe(number, stage);
                let Some(recipe) = recipe else { return };
                recipe.make().map(Some)
            }
        };
        let mut world = world.borrow_mut();
        // It may have been killed in the middle; then what it was doing goes with it.
        let Some(place) = world.place_of(number) else { return };
        match done {
            Ok(task) => {
                if let Some(process) = world.processes.get_mut(place) {
                    process.tasks.extend(task);
                }
            }
            Err(error) => return world.failed(place, &error),
        }
    }
}

/// A process stands still in the middle of a request, until this time or for a while, and the others go on.
fn frozen(number: u64, until: Option<Duration>) {
    let Some(world) = RUN.with_borrow(Option::clone) else { return };
    let until = {
        let Ok(mut world) = world.try_borrow_mut() else { return };
        // One at a time: a second one that stands still is as if both had gone on at the same moment.
        if world.processes.iter().any(|process| process.frozen) {
            return;
        }
        let Some(place) = world.place_of(number) else { return };
        let until = until.unwrap_or_else(|| {
            let lasting = if world.seed.chance(500) { 1000 } else { 40_000 };
            world.now() + Duration::from_millis(world.seed.below(lasting))
        });
        world.log.pause(number);
        if let Some(process) = world.processes.get_mut(place) {
            process.frozen = true;
        }
        until.min(world.plan.busy)
    };
    while world.borrow().now() < until {
        go(&world, 60);
    }
    let mut world = world.borrow_mut();
    if let Some(process) = world.processes.iter_mut().find(|process| process.number == number) {
        process.frozen = false;
        world.log.resume(number);
    }
}
