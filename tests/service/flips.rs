//! Flips of real processes on real brokers, under load (docs/flips.md): an edge that takes events, both colours, and two processes of router
//! workers and controllers. Planned flips and flips of need in turn, and what is killed or put to sleep while they are under way.
//!
//! In the test of every change the clocks of whoever controls and forwards are off by minutes, which nobody may notice.
//!
//! Every flip must end with a clean receipt that is found again when it is counted again, no window may be older than promised, and in the end
//! every acknowledged event must have been counted once, by a ledger that knows nothing of flips.

use crate::fleet::{Cluster, Fleet, ONE, Odd, settle};
use crate::ledger::{Account, Client, Pace, SECOND, SETTINGS, Stopping};
use crate::namespace::{Cut, Namespace};
use crate::process::{Service, within};
use platform_core::clock::Clock;
use platform_core::growth::{EPOCH_HEADER, IDENTITY_HEADER, REVISION_HEADER};
use platform_core::log::{Polled, Reader, Subscription};
use platform_core::record::Topic;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const COLOURS: [&str; 2] = ["blue", "green"];
/// Places of the processes: the edge, both colours, and two that route.
const PLACES: [&[&str]; 5] = [
    &["--role", "ingest"],
    &["--role", "fold,close", "--colour", "blue"],
    &["--role", "fold,close", "--colour", "green"],
    &["--role", "router,api"],
    &["--role", "router,api"],
];
const ROUTERS: [usize; 2] = [3, 4];
/// How long a member may be silent and a transaction open in these tests.
const TAKEOVER: Duration = Duration::from_secs(4);
/// Longer than that, with what brokers need to notice.
const LONG: Duration = Duration::from_secs(9);
/// From an event to its public record, s: the promise, which holds for windows of 60 s and a bound of 30 s.
const PROMISE: f64 = 180.0;
/// Windows and bounds, s: short ones, so that flips follow one another, and those of the promise. How much shorter they are, the promise is.
const SHORT: Span = Span { window: 10, bound: 1 };
const MINUTE: Span = Span { window: 60, bound: 30 };
/// Most flips on one cluster and one ledger, which must fit into memory.
const ROUND: usize = 20;
/// Where a worker is stopped: moments of a merge task.
const MOMENTS: [&str; 7] = ["after_poll", "before_commit", "after_commit", "applied", "store_write", "endtxn_sent", "in_assign"];

/// Where a controller is stopped that gives an order: moments of its transaction.
const ORDERING: [&str; 5] = ["in_init", "mid_produce", "before_commit", "endtxn_sent", "after_commit"];

/// How long windows are and how long they are waited for, s.
#[derive(Clone, Copy)]
struct Span {
    window: u16,
    bound: u16,
}

impl Span {
    fn promise(self) -> f64 {
        PROMISE - f64::from(MINUTE.window - self.window) - f64::from(MINUTE.bound - self.bound)
    }
}

/// What is done to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hurt {
    /// `kill -9`.
    Kill,
    /// SIGSTOP until others have taken over, then SIGCONT: a zombie.
    Sleep,
    /// Cut off from the brokers until others have taken over: it lives, and nobody is told.
    Cut,
}

/// To whom, while a flip is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    /// Router workers that stand at a moment of their work when the flip is ordered.
    Worker,
    /// For a planned flip, the controller that orders it, at a moment of its order; else the one that leads.
    Controller,
    /// The broker that leads partition 0 of the public topic.
    Broker,
}

/// A flip, and what goes wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn {
    /// What befalls the live colour: then it is a flip of need; else a planned one.
    live: Option<Hurt>,
    who: Who,
    hurt: Hurt,
}

const TURNS: [Turn; 18] = {
    const fn planned(who: Who, hurt: Hurt) -> Turn {
        Turn { live: None, who, hurt }
    }
    const fn need(live: Hurt, who: Who, hurt: Hurt) -> Turn {
        Turn { live: Some(live), who, hurt }
    }
    use Hurt::{Cut, Kill, Sleep};
    use Who::{Broker, Controller, Nobody, Worker};
    [
        planned(Nobody, Kill),
        need(Kill, Nobody, Kill),
        planned(Worker, Kill),
        need(Sleep, Nobody, Kill),
        planned(Controller, Kill),
        need(Kill, Worker, Sleep),
        planned(Broker, Kill),
        need(Kill, Controller, Kill),
        planned(Nobody, Kill),
        need(Kill, Broker, Kill),
        planned(Worker, Sleep),
        need(Sleep, Worker, Kill),
        planned(Controller, Sleep),
        need(Kill, Controller, Sleep),
        planned(Broker, Sleep),
        need(Sleep, Broker, Sleep),
        planned(Nobody, Kill),
        need(Cut, Nobody, Kill),
    ]
};

impl Turn {
    fn name(self) -> String {
        let how = |hurt| match hurt {
            Hurt::Kill => "killed",
            Hurt::Sleep => "put to sleep",
            Hurt::Cut => "cut off",
        };
        let first = self.live.map_or_else(|| "planned".to_owned(), |hurt| format!("live colour {}", how(hurt)));
        match self.who {
            Who::Nobody => first,
            Who::Worker => format!("{first}; worker {}", how(self.hurt)),
            Who::Controller => format!("{first}; controller {}", how(self.hurt)),
            Who::Broker => format!("{first}; broker {}", how(self.hurt)),
        }
    }
}

/// How a flip went, in seconds.
struct Row {
    turn: Turn,
    gap: f64,
    /// From the death of the live colour to the first window of the other, in the partition that waited longest.
    first: Option<f64>,
    /// From the start of a window to its publication, the longest.
    fresh: f64,
}

/// Why a process may end by itself: somebody else writes in its place, or its deployment is not computed any more.
const ENDS: [&str; 2] = ["fenced by a newer owner", " gave it up"];

/// The public topic as it comes.
struct Public {
    reader: Box<dyn Reader>,
    /// Epoch, partition and append time of progress records.
    windows: Vec<(u32, u32, i64)>,
    /// Identities with a first revision.
    first: BTreeSet<Vec<u8>>,
    doubled: Vec<Vec<u8>>,
}

impl Public {
    fn read(&mut self) {
        for _ in 0..1000 {
            // A broker may be away.
            let Ok(Polled::Batch(batch)) = self.reader.poll(Duration::from_millis(20)) else { return };
            for record in batch.iter() {
                let text = |name| record.headers.get(name).and_then(|bytes| std::str::from_utf8(bytes).ok());
                if text("schema") == Some("golden-signals-progress/1") {
                    let epoch = text(EPOCH_HEADER).unwrap().parse().unwrap();
                    self.windows.push((epoch, batch.partition.index, record.append_time.unwrap().0));
                } else if text(REVISION_HEADER) == Some("0") {
                    let identity = record.headers.get(IDENTITY_HEADER).unwrap().to_vec();
                    if !self.first.insert(identity.clone()) {
                        self.doubled.push(identity);
                    }
                }
            }
        }
    }

    /// When each partition had the first window of this deployment behind a time; `None`: not all have.
    fn first_of(&self, epoch: u32, since: i64) -> Option<i64> {
        let mut first: BTreeMap<u32, i64> = BTreeMap::new();
        for (_, partition, at) in self.windows.iter().filter(|(of, _, at)| *of == epoch && *at > since) {
            first.entry(*partition).or_insert(*at);
        }
        first.values().max().copied().filter(|_| first.len() == crate::ledger::PARTITIONS as usize)
    }
}

/// What is hurt just now.
#[derive(Default)]
struct Wounds<'a> {
    asleep: BTreeSet<usize>,
    dead: BTreeSet<usize>,
    cut_off: Option<Cut<'a>>,
    broker: Option<(String, Hurt)>,
}

struct Flips<'a> {
    cluster: &'a Cluster,
    fleet: Fleet<'a>,
    folder: &'a Path,
    public: Public,
    clock: &'a SystemClock,
    agent: ureq::Agent,
    wounds: Wounds<'a>,
    span: Span,
    /// Who can be cut off.
    inside: Option<(usize, &'a Namespace)>,
    /// How often a process that had ended by itself was started again.
    ended: usize,
    /// Up to which flip receipts were looked at.
    proved: u64,
}

impl Flips<'_> {
    /// A deadline that windows of 10 s leave room for, with more of it for longer ones.
    fn room(&self, seconds: u64) -> u64 {
        seconds + 4 * u64::from(self.span.window - SHORT.window) + u64::from(self.span.bound)
    }

    fn well(&self) -> impl Iterator<Item = usize> + '_ {
        ROUTERS.into_iter().filter(|n| !self.wounds.asleep.contains(n) && !self.wounds.dead.contains(n))
    }

    fn get(&self, n: usize) -> Option<Value> {
        let mut answer = self.agent.get(format!("{}/api/v1/router", self.fleet.services[n].url)).call().ok()?;
        serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
    }

    /// What the controllers know: of the one that leads, if it answers.
    fn status(&self) -> Option<Value> {
        let all: Vec<Value> = self.well().filter_map(|n| self.get(n)).collect();
        all.iter().find(|status| status["leads"] == true).or(all.first()).cloned()
    }

    /// What is known of a flip.
    fn found(&self, flip: u64) -> Option<Value> {
        self.status()?["flips"].as_array()?.iter().find(|found| found["flip"] == flip).cloned()
    }

    /// Asks for a flip, first who may stop over it; gives the answer.
    fn ask(&self, dry_run: bool) -> Option<Value> {
        let body = json!({"by": "judge", "reason": "it is its turn", "dry_run": dry_run}).to_string();
        let well: Vec<usize> = self.well().collect();
        well.into_iter().rev().find_map(|n| {
            let url = format!("{}/api/v1/router/flip", self.fleet.services[n].url);
            let mut answer = self.agent.post(url).content_type("application/json").send(&body).ok()?;
            serde_json::from_str::<Value>(&answer.body_mut().read_to_string().ok()?).ok()
        })
    }

    /// That a process has another time of day than the others, by its own answer, and that nothing was flipped because of it.
    fn is_off(&mut self, n: usize, seconds: i64) {
        let (next, _) = self.ready();
        assert_eq!(next, 1, "clocks that are off flip nothing: {:#?}", self.status());
        let answer = self.agent.get(format!("{}/-/healthy", self.fleet.services[n].url)).call().unwrap();
        let date = answer.headers()["date"].to_str().unwrap().to_owned();
        // As in `Sun, 06 Nov 1994 08:49:37 GMT`.
        let clock: Vec<i64> = date.split([' ', ':']).filter_map(|part| part.parse().ok()).collect();
        let [.., hour, minute, second] = clock[..] else { panic!("{date}") };
        let of_day = self.clock.wall() / SECOND % 86_400;
        let by = (hour * 3600 + minute * 60 + second - of_day + 43_200).rem_euclid(86_400) - 43_200;
        assert!((by - seconds).abs() < 20, "its clock is off by {by} s, not by {seconds} s: {date}");
        // Whose worker holds which partition.
        let holder = format!("process {} on", self.fleet.services[n].id());
        let holds = |one: &Value| one["holder"].as_str().is_some_and(|held| held.contains(&holder));
        let found = within(30, || self.status().is_some_and(|status| status["partitions"].as_array().unwrap().iter().any(holds)));
        assert!(found, "{holder}: {:#?}", self.status());
    }

    /// Starts again what has ended by itself, as by whatever keeps processes alive; who was killed or is cut off is not.
    fn revive(&mut self) {
        let cut_off = self.inside.filter(|_| self.wounds.cut_off.is_some()).map(|(n, _)| n);
        let is_dead = |n: usize| self.wounds.dead.contains(&n) || cut_off == Some(n);
        for n in (0..PLACES.len()).filter(|n| !is_dead(*n)) {
            if self.fleet.services[n].has_ended() {
                let said = || self.fleet.services[n].said();
                // Its last line may still be on its way.
                let is_meant = within(5, || ENDS.iter().any(|why| said().lines().last().is_some_and(|last| last.contains(why))));
                assert!(is_meant, "process {n} has ended: {}", said());
            }
        }
        self.ended += self.fleet.revive_but(is_dead);
    }

    /// Waits until a flip would be granted; gives its number and from which colour.
    fn ready(&mut self) -> (u64, usize) {
        let mut said = Value::Null;
        let mut found = None;
        let ready = within(self.room(240), || {
            self.revive();
            self.public.read();
            said = self.ask(true).unwrap_or_default();
            let flip = &said["flip"];
            let from = COLOURS.iter().position(|colour| flip["from"]["colour"] == *colour);
            found = flip["flip"].as_u64().zip(from).filter(|_| said["granted"] == true);
            found.is_some()
        });
        assert!(ready, "no flip is granted: {said:#}\n{:#?}", self.status());
        found.unwrap()
    }

    fn hurt(&mut self, n: usize, hurt: Hurt) {
        match hurt {
            Hurt::Kill => {
                self.fleet.services[n].kill();
                self.wounds.dead.insert(n);
            }
            Hurt::Sleep => {
                self.fleet.services[n].pause();
                self.wounds.asleep.insert(n);
            }
            Hurt::Cut => {
                let namespace = self.inside.filter(|(of, _)| *of == n).map(|(_, namespace)| namespace.cut(true));
                self.wounds.cut_off = Some(namespace.expect("it is where it can be cut off"));
            }
        }
    }

    /// Starts, wakes and restarts whatever was hurt.
    fn heal(&mut self) {
        if let Some((broker, hurt)) = self.wounds.broker.take() {
            self.cluster.does(if hurt == Hurt::Kill { "restart" } else { "resume" }, &broker);
        }
        for n in std::mem::take(&mut self.wounds.asleep) {
            self.fleet.services[n].resume();
        }
        self.wounds.cut_off = None;
        for n in std::mem::take(&mut self.wounds.dead) {
            self.fleet.restart(n);
        }
    }

    /// A process of workers that stops itself at a moment of their work, and stands there.
    fn stop_worker(&mut self, number: usize) -> usize {
        let victim = ROUTERS[1];
        let moment = MOMENTS[number % MOMENTS.len()];
        self.fleet.services[victim].end();
        let times = match moment {
            "in_assign" => "1".to_owned(),
            "endtxn_sent" => "3+1".to_owned(),
            _ => "3".to_owned(),
        };
        let mut command = self.fleet.command(victim);
        command.env("GOLDEN_FAIL_POINT", format!("router.{moment}:{times}"));
        self.fleet.services[victim] = Service::of(command);
        self.wounds.asleep.insert(victim);
        let stands = within(40, || self.fleet.services[victim].stands_still());
        eprintln!("a worker stands at {moment}: {stands}");
        if !stands {
            self.fleet.services[victim].pause();
        }
        victim
    }

    /// A process whose controller stops itself, and everything with it, at a moment of its next order.
    fn arm_controller(&mut self, number: usize) {
        let victim = ROUTERS[1];
        let moment = ORDERING[number % ORDERING.len()];
        let later = if moment == "endtxn_sent" { "+1" } else { "" };
        self.fleet.services[victim].end();
        let mut command = self.fleet.command(victim);
        command.env("GOLDEN_FAIL_POINT", format!("control.{moment}:1{later}"));
        self.fleet.services[victim] = Service::of(command);
        eprintln!("a controller is to stop at {moment}");
    }

    /// What goes wrong besides. A worker stands still already.
    fn strike(&mut self, number: usize, turn: Turn) {
        match turn.who {
            Who::Nobody => {}
            Who::Worker if turn.hurt == Hurt::Sleep => {}
            Who::Worker => {
                self.fleet.services[ROUTERS[1]].kill();
                self.wounds.asleep.remove(&ROUTERS[1]);
                self.wounds.dead.insert(ROUTERS[1]);
            }
            Who::Controller if turn.live.is_none() => {
                let stands = within(20, || self.fleet.services[ROUTERS[1]].stands_still());
                eprintln!("the controller stands there: {stands}");
                // An answer to `endtxn_sent` may be quicker than the process is stopped.
                let may_miss = ORDERING[number % ORDERING.len()] == "endtxn_sent";
                assert!(stands || may_miss, "the controller went past the moment: {}", self.fleet.services[ROUTERS[1]].said());
                self.hurt(ROUTERS[1], turn.hurt);
            }
            Who::Controller => {
                let leader = self.well().find(|n| self.get(*n).is_some_and(|status| status["leads"] == true));
                self.hurt(leader.unwrap_or(ROUTERS[0]), turn.hurt);
            }
            Who::Broker => {
                let broker = self.cluster.leader("golden-signals", 0);
                self.cluster.does(if turn.hurt == Hurt::Kill { "kill" } else { "pause" }, &broker);
                self.wounds.broker = Some((broker, turn.hurt));
            }
        }
    }

    /// One flip, from a healthy router to a healthy router.
    fn flip(&mut self, number: usize, mut turn: Turn) -> Row {
        for n in ROUTERS {
            // It stopped before it said where it listens, and has been woken since.
            if self.fleet.services[n].url.is_empty() {
                self.fleet.restart(n);
            }
        }
        self.ready();
        if turn.who == Who::Worker {
            self.stop_worker(number);
        }
        if (turn.who, turn.live) == (Who::Controller, None) {
            self.arm_controller(number);
        }
        let wanted = self.ready();
        if turn.live == Some(Hurt::Cut) && self.inside.is_none_or(|(of, _)| of != 1 + wanted.1) {
            // One flip more than was asked for, and the other colour is live.
            turn.live = Some(Hurt::Sleep);
        }
        let name = turn.name();
        if turn.live.is_some() {
            // In the middle of a window.
            let window = i64::from(self.span.window) * SECOND;
            within(self.room(20), || (window * 2 / 5..window * 3 / 5).contains(&self.clock.wall().rem_euclid(window)));
        }
        let since = self.clock.wall();
        match turn.live {
            Some(hurt) => self.hurt(1 + wanted.1, hurt),
            None => {
                let mut answer = Value::Null;
                // An answer may be lost: then it stands among the flips.
                let ordered = within(60, || {
                    answer = self.ask(false).unwrap_or_default();
                    answer["granted"] == true || self.found(wanted.0).is_some()
                });
                assert!(ordered, "flip {}, {name}: {answer:#}", wanted.0);
            }
        }
        self.strike(number, turn);
        let struck = self.clock.monotonic();
        let mut healed = false;
        let mut found = Value::Null;
        let done = within(self.room(180), || {
            self.public.read();
            found = self.found(wanted.0).unwrap_or_default();
            // Whoever sleeps does so until others have taken over; whoever lives lives on once the flip is made.
            if !healed && found.is_object() && self.clock.monotonic() - struck > LONG {
                self.heal();
                healed = true;
            }
            self.revive();
            found["gap"].is_number()
        });
        assert!(done, "flip {}, {name}, is not over: {:#?}", wanted.0, self.status());
        if !healed {
            self.heal();
        }
        let epoch = found["to"]["epoch"].as_u64().unwrap().try_into().unwrap();
        let mut first = None;
        let moves = within(self.room(60), || {
            self.revive();
            self.public.read();
            first = self.public.first_of(epoch, since);
            // The new one may have died of the same, and another flip have come before its first window.
            first.is_some() || turn.live.is_none() && self.found(wanted.0 + 1).is_some()
        });
        assert!(moves, "flip {}, {name}: no window of {} in some partition: {:#?}", wanted.0, found["to"], self.status());
        self.receipts(wanted.0);
        let seconds = |name: &str| found[name].as_f64().unwrap();
        let first = turn.live.and(first).map(|at| (at - since) as f64 / 1e9);
        let row = Row { turn, gap: seconds("gap"), first, fresh: seconds("freshness") + f64::from(self.span.window) };
        eprintln!("flip {}, {name}: gap {:.2} s, first window after {:.1?} s, freshness {:.1} s", wanted.0, row.gap, row.first, row.fresh);
        row
    }

    /// The same of each flip up to this one, also of those that nobody asked for.
    fn receipts(&mut self, through: u64) {
        for flip in self.proved + 1..=through {
            self.receipt(flip);
        }
        self.proved = through;
    }

    /// The receipt of a flip is clean, and is found again in the public topic.
    fn receipt(&self, flip: u64) {
        let golden = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(self.folder).output().unwrap();
        let mut said = String::new();
        // A broker may just have come back.
        let verified = within(60, || {
            let output = golden(&["router", "receipt", &flip.to_string(), "--verify", "--json"]);
            said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
            output.status.code() != Some(3)
        });
        assert!(verified, "flip {flip}: {said}");
        let receipt: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("flip {flip}: {said}"));
        let found = &receipt["receipt"];
        assert!(receipt["clean"] == true && found["lost"] == 0 && found["doubled"] == 0, "flip {flip}: {said}");
    }
}

/// A cluster, and how hard it is on.
struct Setting {
    span: Span,
    brokers: u32,
    clients: u64,
    /// Most events of a request.
    most: u64,
    pace: Pace,
    commit_interval: &'static str,
    router: &'static str,
    /// Which of the processes can be cut off: the colour that is live when it is that turn.
    inside: usize,
    /// By how many seconds clocks of processes are off.
    off: &'static [(usize, i64)],
}

/// These flips, one after the other, on a cluster of their own. Gives how each went and how many events there were in a second.
fn run(setting: &Setting, turns: &[(usize, Turn)]) -> Option<(Vec<Row>, f64)> {
    let cuts = |turn: &Turn| turn.live == Some(Hurt::Cut);
    let namespace = if turns.iter().any(|(_, turn)| cuts(turn)) { Namespace::make() } else { None };
    let cluster = Cluster::start_on(namespace.as_ref().map_or("127.0.0.1", Namespace::outer), setting.brokers)?;
    let folder = tempfile::tempdir().unwrap();
    let Span { window, bound } = setting.span;
    let mut settings = SETTINGS.to_owned();
    for (short, set) in [
        ("commit_interval: 100ms", format!("commit_interval: {}", setting.commit_interval)),
        ("window: 10s, bound: 1s", format!("window: {window}s, bound: {bound}s")),
        ("retain: 60s, series_ttl: 60s", format!("retain: {0}s, series_ttl: {0}s", 6 * window)),
    ] {
        assert!(settings.contains(short));
        settings = settings.replace(short, &set);
    }
    settings += &format!("router: {}\n", setting.router);
    cluster.prepare_with(&settings, folder.path(), &format!(", takeover_ms: {}", TAKEOVER.as_millis()));
    let clock = SystemClock::new();
    let (urls, account) = (Mutex::new(Vec::new()), Mutex::new(Account { window: i64::from(window) * SECOND, ..Account::default() }));
    let inside = namespace.as_ref().map(|namespace| (setting.inside, namespace));
    let fleet = Fleet::with_odd(folder.path(), PLACES.len(), 1, &urls, &PLACES, Odd { off: setting.off, inside });
    let reader = platform_core::log::Log::reader(&cluster.log(), &Subscription { group: None, topics: vec![Topic::new("golden-signals")] });
    let public = Public { reader: reader.unwrap(), windows: Vec::new(), first: BTreeSet::new(), doubled: Vec::new() };
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build().into();
    let mut flips = Flips {
        cluster: &cluster,
        fleet,
        folder: folder.path(),
        public,
        clock: &clock,
        agent,
        wounds: Wounds::default(),
        span: setting.span,
        inside,
        ended: 0,
        proved: 0,
    };
    let (stop, acked) = (AtomicBool::new(false), AtomicU64::new(0));
    let begun = clock.monotonic();
    let rows = std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        for number in 0..setting.clients {
            let mut client = Client::new(number, &urls, &account, &clock);
            client.most = setting.most;
            let (stop, acked) = (&stop, &acked);
            scope.spawn(move || client.run(acked, stop, setting.pace));
        }
        setting.off.iter().for_each(|(n, seconds)| flips.is_off(*n, *seconds));
        let can_be = turns.iter().filter(|(_, turn)| !cuts(turn) || inside.is_some());
        let rows: Vec<Row> = can_be.map(|(number, turn)| flips.flip(*number, *turn)).collect();
        // Until no flip is under way.
        let (next, _) = flips.ready();
        flips.receipts(next - 1);
        rows
    });
    let took = (clock.monotonic() - begun).as_secs_f64();
    let account = account.into_inner().unwrap();
    let rate = account.acked.iter().map(crate::ledger::Request::events).sum::<usize>() as f64 / took;
    let (ended, unasked) = (flips.ended, flips.proved - rows.len() as u64);
    eprintln!("{rate:.0} events a second over {took:.0} s; {unasked} flips that nobody asked for; {ended} times a process ended by itself");
    flips.revive();
    let wrong = settle(&cluster, &mut flips.fleet, folder.path(), &account);
    flips.public.read();
    assert!(wrong.is_empty(), "{} wrong, as in {:#?}", wrong.len(), wrong.iter().take(20).collect::<Vec<_>>());
    assert!(flips.public.doubled.is_empty(), "{} identities have two first revisions", flips.public.doubled.len());
    let promise = setting.span.promise();
    let late =
        rows.iter().filter(|row| row.fresh > promise).map(|row| format!("{}: {:.1} s", row.turn.name(), row.fresh)).collect::<Vec<_>>();
    assert!(late.is_empty(), "windows came later than {promise} s: {late:#?}");
    Some((rows, rate))
}

#[test]
fn planned_flips_and_flips_of_need_under_load_lose_and_double_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let setting = Setting {
        span: SHORT,
        brokers: 1,
        clients: 2,
        most: 60,
        pace: Pace::Rest(Duration::from_millis(30)),
        commit_interval: "100ms",
        router: "{probe: 1s, failed: 5, recovered: 3, warm: 5s, lag: 4s, windows: 1, between: 1s, most: 1000}",
        inside: 1,
        // Whoever controls and forwards is minutes before and behind its time.
        off: &[(ROUTERS[0], -300), (ROUTERS[1], 420)],
    };
    let turns = [(0, TURNS[0]), (1, TURNS[1]), (2, TURNS[17]), (2, TURNS[12])];
    let Some((rows, _)) = run(&setting, &turns) else { return };
    let cut_off = |turn: Turn| turn.live == Some(Hurt::Cut);
    assert!(rows.len() < turns.len() || rows.iter().any(|row| cut_off(row.turn)), "a flip more than was asked for");
}

/// Percentiles of seconds by nearest rank: the middle, the 99th and the greatest.
fn spread(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let rank = |share: f64| all[((all.len() as f64 * share).ceil() as usize).clamp(1, all.len()) - 1];
    if all.is_empty() { "| | ".to_owned() } else { format!("{:.1} | {:.1} | {:.1}", rank(0.5), rank(0.99), rank(1.0)) }
}

fn table(rows: &[Row]) -> String {
    let mut lines = vec![
        "| Flip | Number | Gap p50 | p99 | max | First window p50 | p99 | max | Worst freshness |".to_owned(),
        "|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    let mut line = |name: &str, of: &dyn Fn(&Row) -> bool| {
        let of: Vec<&Row> = rows.iter().filter(|row| of(row)).collect();
        if of.is_empty() {
            return;
        }
        let gaps = spread(of.iter().map(|row| row.gap).collect());
        let firsts = spread(of.iter().filter_map(|row| row.first).collect());
        let fresh = of.iter().map(|row| row.fresh).fold(0.0, f64::max);
        lines.push(format!("| {name} | {} | {gaps} | {firsts} | {fresh:.1} |", of.len()));
    };
    line("**planned, nothing else**", &|row| row.turn.live.is_none() && row.turn.who == Who::Nobody);
    line("**live colour dies, nothing else**", &|row| row.turn.live.is_some() && row.turn.who == Who::Nobody);
    for turn in TURNS.iter().filter(|turn| turn.who != Who::Nobody || matches!(turn.live, Some(Hurt::Sleep | Hurt::Cut))) {
        line(&turn.name(), &|row| row.turn == *turn);
    }
    line("all planned", &|row| row.turn.live.is_none());
    line("all of need", &|row| row.turn.live.is_some());
    lines.join("\n") + "\n"
}

/// Three brokers, and 5,000 events a second and a little more.
fn hard(span: Span) -> Setting {
    Setting {
        span,
        brokers: 3,
        clients: 4,
        most: 300,
        pace: Pace::Events(1300),
        // As by default, so is the time until a failure counts: 15 s. What only makes people wait is shorter.
        commit_interval: "1s",
        router: "{probe: 3s, failed: 5, recovered: 2, warm: 9s, windows: 1, between: 1s, most: 1000}",
        // A planned flip comes before each flip of need.
        inside: 2,
        off: &[],
    }
}

/// Writes into docs/flips.md, between `<!-- name -->` and `<!-- end name -->`.
fn write(name: &str, text: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/flips.md");
    let old = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end {name} -->"));
    let (head, rest) = old.split_once(&begin).expect("docs/flips.md has a place for the table");
    let (_, tail) = rest.split_once(&end).expect("the place has an end");
    std::fs::write(page, format!("{head}{begin}{text}{end}{tail}")).unwrap();
}

#[test]
#[ignore = "a minute for each flip on a machine of its own: `make flips`"]
fn flips_whatever_dies_lose_and_double_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    #[expect(clippy::disallowed_methods, reason = "`make flips` says how many")]
    let count: usize = std::env::var("FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    #[expect(clippy::disallowed_methods, reason = "and from which turn on")]
    let from: usize = std::env::var("FROM").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let all: Vec<(usize, Turn)> = TURNS.iter().copied().cycle().enumerate().skip(from.saturating_sub(1)).take(count).collect();
    let (mut rows, mut slowest) = (Vec::new(), f64::INFINITY);
    for turns in all.chunks(ROUND) {
        let Some((more, rate)) = run(&hard(SHORT), turns) else { return };
        rows.extend(more);
        slowest = slowest.min(rate);
        let count = rows.len();
        let said = format!("`make flips FLIPS={count}`: {count} flips at {slowest:.0} events a second or more; seconds.\n\n");
        write("flips", &(said + &table(&rows)));
    }
}

#[test]
#[ignore = "four minutes for each of four flips on a machine of its own: `make flips`"]
fn the_promise_of_three_minutes_holds_over_flips_with_windows_of_a_minute() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((rows, rate)) = run(&hard(MINUTE), &[(0, TURNS[0]), (1, TURNS[1]), (2, TURNS[3]), (3, TURNS[9])]) else { return };
    let said = format!("Windows of 60 s, bound 30 s, {rate:.0} events a second; seconds.\n\n");
    write("minute", &(said + &table(&rows)));
}
