//! The matrix of faults (docs/faults.md): a process stops itself at a named moment of a task's work, and there it is killed, put to sleep
//! until others have taken over, or cut off; and brokers are killed and put to sleep. After each fault the output must move again within a
//! minute, and in the end every acknowledged event must have been counted once.
//!
//! Of two processes one lives through everything and takes the load; the other is the victim. All cells of a group run one after the other
//! on one cluster and one ledger, in which every request carries the number of its cell.

use crate::fleet::{Cluster, Fleet, ONE, settle};
use crate::ledger::{Account, Client, Stopping};
use crate::namespace::Namespace;
use crate::process::{Service, within};
use platform_core::clock::Clock;
use platform_core::log::{Log, Polled, Reader, Subscription};
use platform_core::record::Topic;
use platform_runtime::clock::SystemClock;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a member may be silent and a transaction open in these tests.
const TAKEOVER: Duration = Duration::from_secs(4);
/// Longer than that, with what brokers need to notice.
const LONG: Duration = Duration::from_secs(9);
/// Within so many seconds the output must move again.
const MOVES: u64 = 60;
/// Between two requests of a client: a ledger of half an hour must fit into memory.
const REST: Duration = Duration::from_millis(30);
/// More clients than one cell has.
const CLIENTS: u64 = 10_000;
/// The victim's place among the processes.
const VICTIM: usize = 1;

/// What is done to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGSTOP until others have taken over, then SIGCONT: a zombie.
    Sleep,
    /// Nothing leaves and nothing arrives.
    Cut,
    /// Requests arrive, answers do not.
    AnswersLost,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "killed",
            Self::Sleep => "put to sleep, then woken",
            Self::Cut => "cut off",
            Self::AnswersLost => "answers lost",
        })
    }
}

/// To whom, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// A process, when a task of this stage comes to this moment.
    Moment(&'static str, &'static str),
    /// The broker that leads partition 0 of this topic.
    Leader(&'static str),
    /// The broker that coordinates the victim's transactions of this stage.
    Transactions(&'static str),
    /// The broker that coordinates this stage's group.
    Group(&'static str),
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Moment(stage, moment) => write!(f, "{stage} at {moment}"),
            Self::Leader(topic) => write!(f, "leader of {topic}"),
            Self::Transactions(stage) => write!(f, "coordinator of {stage}'s transactions"),
            Self::Group(stage) => write!(f, "coordinator of {stage}'s group"),
        }
    }
}

type Cell = (At, Fault);

const FOLD: [&str; 7] = ["in_init", "in_assign", "after_poll", "idle_claim", "mid_produce", "before_commit", "after_commit"];
const CLOSE: [&str; 10] = [
    "in_init",
    "in_assign",
    "replay",
    "after_poll",
    "applied",
    "mid_produce",
    "before_commit",
    "after_commit",
    "store_write",
    "mid_cursor",
];

/// What only the log's client or the second input sees; a commit under way is worth cutting off as well.
const INSIDE: [(&str, &[Fault]); 3] = [
    ("in_revoke", &[Fault::Kill, Fault::Sleep]),
    ("control_read", &[Fault::Kill, Fault::Sleep]),
    ("endtxn_sent", &[Fault::Kill, Fault::Sleep, Fault::Cut, Fault::AnswersLost]),
];

/// What became of a cell: seconds until the output moved, or why it is not known.
struct Row {
    cell: Cell,
    moved: Result<f64, String>,
}

struct Matrix<'a> {
    cluster: &'a Cluster,
    namespace: Option<&'a Namespace>,
    fleet: Fleet<'a>,
    folder: &'a Path,
    golden_yaml: PathBuf,
    urls: &'a Mutex<Vec<String>>,
    account: &'a Mutex<Account>,
    clock: &'a SystemClock,
    public: Box<dyn Reader>,
    /// Operations of probes that were published.
    published: BTreeSet<String>,
    /// Clients so far: each has a number of its own.
    clients: u64,
}

impl<'a> Matrix<'a> {
    /// One cell, from a healthy service to a healthy service.
    fn cell(&mut self, number: u64, (at, fault): Cell) -> Result<f64, String> {
        match at {
            At::Moment(stage, moment) => self.process(number, stage, moment, fault)?,
            At::Leader(topic) => self.broker(number, &self.cluster.leader(topic, 0), fault),
            At::Group(stage) => {
                let broker = self.cluster.coordinator("__consumer_offsets", &format!("golden-signals.{stage}"));
                self.broker(number, &broker, fault);
            }
            At::Transactions(stage) => {
                let instance = std::fs::read_to_string(self.fleet.data(VICTIM).join("INSTANCE")).unwrap();
                let id = format!("golden-signals.{stage}.{}.0", instance.trim());
                self.broker(number, &self.cluster.coordinator("__transaction_state", &id), fault);
            }
        }
        self.moves(number)
    }

    fn process(&mut self, number: u64, stage: &str, moment: &str, fault: Fault) -> Result<(), String> {
        self.fleet.services[VICTIM].end();
        let data = self.fleet.data(VICTIM);
        if moment == "replay" {
            std::fs::remove_dir_all(&data).unwrap();
        }
        // What happens once happens to the first; the rest when the task is in full swing.
        let times = if moment.starts_with("in_") || ["mid_cursor", "control_read"].contains(&moment) { 1 } else { 3 };
        let point = match (stage, moment) {
            // CLOSE reads the control log while it applies a message, and the first one after a start makes it do so.
            ("close", "control_read") => {
                publish(self.folder, number);
                "close.applied:1".to_owned()
            }
            // Some ms after the client was asked to commit: an answer takes longer.
            (_, "endtxn_sent") => format!("{stage}.{moment}:{times}+{}", 1 + number % 3),
            _ => format!("{stage}.{moment}:{times}"),
        };
        let (program, address) = match self.namespace {
            Some(namespace) => (namespace.inside(env!("CARGO_BIN_EXE_golden")), namespace.inner()),
            None => (std::process::Command::new(env!("CARGO_BIN_EXE_golden")), "127.0.0.1"),
        };
        let mut command = program;
        command.args(["run", "--listen", &format!("{address}:0"), "--data"]).arg(&data).arg("--config").arg(&self.golden_yaml);
        command.env("GOLDEN_FAIL_POINT", point);
        let mut third = None;
        let stopped = |matrix: &mut Self| {
            matrix.fleet.services[VICTIM] = Service::of(command);
            if moment == "in_revoke" {
                // One more member takes partitions away as it comes; had it come together with the victim, then as it goes.
                let data = matrix.fleet.data(VICTIM + 1).display().to_string();
                let mut one_more = Service::start(&["--data", &data], Some(&matrix.golden_yaml));
                if !within(20, || matrix.fleet.services[VICTIM].stands_still()) {
                    one_more.end();
                }
                third = Some(one_more);
            }
            within(60, || matrix.fleet.services[VICTIM].stands_still() || matrix.fleet.services[VICTIM].has_ended())
        };
        // Idle are partitions only without load.
        let stopped = if moment == "idle_claim" { stopped(self) } else { self.loaded(number, stopped) };
        if !stopped || self.fleet.services[VICTIM].has_ended() {
            return Err("the moment was not reached".to_owned());
        }
        self.loaded(number, |matrix| matrix.strike(fault));
        if let Some(third) = &mut third {
            third.end();
        }
        Ok(())
    }

    /// The fault, and its end.
    fn strike(&mut self, fault: Fault) {
        let victim = &mut self.fleet.services[VICTIM];
        match (fault, self.namespace) {
            (Fault::Kill, _) => victim.kill(),
            (Fault::Cut | Fault::AnswersLost, Some(namespace)) => {
                let cut = namespace.cut(fault == Fault::Cut);
                victim.resume();
                std::thread::park_timeout(LONG);
                drop(cut);
            }
            (Fault::Sleep | Fault::Cut | Fault::AnswersLost, _) => {
                std::thread::park_timeout(LONG);
                victim.resume();
            }
        }
    }

    fn broker(&mut self, number: u64, broker: &str, fault: Fault) {
        let (hurt, heal) = if fault == Fault::Kill { ("kill", "restart") } else { ("pause", "resume") };
        self.loaded(number, |matrix| {
            matrix.cluster.does(hurt, broker);
            std::thread::park_timeout(if fault == Fault::Kill { Duration::from_secs(2) } else { LONG });
            matrix.cluster.does(heal, broker);
        });
    }

    /// Load while something happens.
    fn loaded<T>(&mut self, number: u64, happens: impl FnOnce(&mut Self) -> T) -> T {
        let (stop, acked) = (AtomicBool::new(false), AtomicU64::new(0));
        let client = self.client(number);
        std::thread::scope(|scope| {
            scope.spawn(|| client.run(&acked, &stop, REST));
            let _stopping = Stopping(&stop);
            happens(self)
        })
    }

    /// One more client of a cell.
    fn client(&mut self, number: u64) -> Client<'a> {
        self.clients += 1;
        Client::new(number * CLIENTS + self.clients % CLIENTS, self.urls, self.account, self.clock)
    }

    /// The fault has ended: seconds until events sent from now on are published, for services of all partitions.
    fn moves(&mut self, number: u64) -> Result<f64, String> {
        let start = self.clock.monotonic();
        let mut awaited = None;
        let moved = within(MOVES, || {
            self.fleet.revive();
            if awaited.is_none() {
                awaited = self.client(number).probe();
            }
            self.read();
            awaited.as_ref().is_some_and(|probes| probes.iter().all(|operation| self.published.contains(operation)))
        });
        let took = self.clock.monotonic().saturating_sub(start).as_secs_f64();
        if moved { Ok(took) } else { Err(format!("the output did not move within {took:.0} s")) }
    }

    fn read(&mut self) {
        for _ in 0..100 {
            match self.public.poll(Duration::from_millis(50)).unwrap() {
                Polled::Batch(batch) => {
                    for record in batch.iter() {
                        let value: serde_json::Value = serde_json::from_slice(record.value.unwrap()).unwrap();
                        self.published.extend(value["dimensions"]["operation"].as_str().filter(|o| o.contains("probe")).map(str::to_owned));
                    }
                }
                Polled::Assigned(_) => {}
                Polled::Nothing => return,
            }
        }
    }
}

/// Publishes a new version of overrides, of a service that sends nothing: it changes no number, and all must take it in.
fn publish(folder: &Path, number: u64) {
    let (git, bundles) = (folder.join("git"), folder.join("bundles"));
    std::fs::create_dir_all(git.join("shop")).unwrap();
    std::fs::write(git.join("shop/nobody.yaml"), format!("owner: shop\nhealth: 'errorCount > {number} ? 3 : 1'\n")).unwrap();
    let mut publish = std::process::Command::new(env!("CARGO_BIN_EXE_golden"));
    let done = publish.args(["overrides", "publish"]).arg(git).arg("--to").arg(bundles).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Runs cells on a cluster of their own; gives what became of each, and what the judge found.
fn run(brokers: u32, namespace: Option<&Namespace>, cells: &[Cell]) -> Option<(Vec<Row>, Vec<String>)> {
    let cluster = match namespace {
        Some(namespace) => Cluster::start_on(namespace.outer(), brokers)?,
        None => Cluster::start(brokers)?,
    };
    let folder = tempfile::tempdir().unwrap();
    // Windows leave in several parts, and each process has one task of each stage.
    cluster.prepare(folder.path(), &format!(", takeover_ms: {}", TAKEOVER.as_millis()), ", emit_kib: 16, fold_tasks: 1");
    publish(folder.path(), cells.len() as u64);
    let golden_yaml = folder.path().join("golden.yaml");
    let settings = std::fs::read_to_string(&golden_yaml).unwrap();
    let bundles = folder.path().join("bundles");
    std::fs::write(&golden_yaml, format!("{settings}overrides: {{from: {:?}, poll: 1s}}\n", bundles.display().to_string())).unwrap();
    let clock = SystemClock::new();
    let (urls, account) = (Mutex::new(Vec::new()), Mutex::new(Account::default()));
    let log = cluster.log();
    let public = log.reader(&Subscription { group: None, topics: vec![Topic::new("golden-signals")] }).unwrap();
    let fleet = Fleet::start(folder.path(), 2, 1, &urls);
    let mut matrix = Matrix {
        cluster: &cluster,
        namespace,
        fleet,
        folder: folder.path(),
        golden_yaml,
        urls: &urls,
        account: &account,
        clock: &clock,
        public,
        published: BTreeSet::new(),
        clients: 0,
    };
    // A cell goes from a healthy service to a healthy service.
    let first = matrix.moves(cells.len() as u64);
    eprintln!("the first output: {first:?}");
    let mut rows = Vec::new();
    for (number, cell) in (0..).zip(cells) {
        let moved = matrix.cell(number, *cell);
        eprintln!("{}: {}: {}", cell.0, cell.1, moved.as_ref().map_or_else(Clone::clone, |s| format!("moves after {s:.1} s")));
        rows.push(Row { cell: *cell, moved });
    }
    let mut fleet = matrix.fleet;
    fleet.services[VICTIM].end();
    fleet.revive();
    let wrong = settle(&cluster, &mut fleet, folder.path(), &account.lock().unwrap());
    Some((rows, wrong))
}

/// Seconds until the output moved, or what is wrong with a cell. A wrong request names its cell; what names none counts for all.
fn verdict(number: usize, row: &Row, wrong: &[String]) -> Result<f64, String> {
    let seconds = row.moved.clone()?;
    let cell_of = |line: &str| {
        let digits = line.split_once("op-")?.1.split_once('-')?.0;
        Some(digits.parse::<u64>().ok()? / CLIENTS)
    };
    match wrong.iter().find(|line| cell_of(line).is_none_or(|cell| cell == number as u64)) {
        Some(line) => Err(format!("moved after {seconds:.1} s, but {}", line.chars().take(120).collect::<String>())),
        None => Ok(seconds),
    }
}

fn judged(rows: &[Row], wrong: &[String]) {
    for line in wrong.iter().take(40) {
        eprintln!("{line}");
    }
    let bad: Vec<String> = rows
        .iter()
        .enumerate()
        .filter_map(|(n, row)| verdict(n, row, wrong).err().map(|why| format!("{}: {}: {why}", row.cell.0, row.cell.1)))
        .collect();
    assert!(bad.is_empty() && wrong.is_empty(), "{} of {} cells: {bad:#?}", bad.len(), rows.len());
}

#[test]
fn a_sample_of_the_matrix_of_faults() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cells = [
        (At::Moment("fold", "mid_produce"), Fault::Sleep),
        (At::Moment("fold", "after_commit"), Fault::Kill),
        (At::Moment("close", "before_commit"), Fault::Sleep),
        (At::Moment("close", "mid_cursor"), Fault::Kill),
        (At::Moment("close", "after_commit"), Fault::Kill),
    ];
    if let Some((rows, wrong)) = run(1, None, &cells) {
        judged(&rows, &wrong);
    }
}

/// Runs a part of the matrix on three brokers and writes its table.
fn part(name: &str, cells: &[Cell]) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let namespace = Namespace::make();
    let needs_one = |cell: &&Cell| matches!(cell.1, Fault::Cut | Fault::AnswersLost);
    let (not_run, runs): (Vec<&Cell>, Vec<&Cell>) = cells.iter().partition(|cell| needs_one(cell) && namespace.is_none());
    let runs: Vec<Cell> = runs.into_iter().copied().collect();
    let Some((rows, wrong)) = run(3, namespace.as_ref(), &runs) else { return };
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/faults.md");
    let old = std::fs::read_to_string(&page).unwrap();
    let (begin, end) = (format!("<!-- {name} -->\n"), "<!-- end -->");
    let (head, rest) = old.split_once(&begin).expect("docs/faults.md has a place for each part");
    let (_, tail) = rest.split_once(end).expect("a place has an end");
    std::fs::write(page, format!("{head}{begin}{}{end}{tail}", table(&rows, &wrong, &not_run))).unwrap();
    judged(&rows, &wrong);
}

fn table(rows: &[Row], wrong: &[String], not_run: &[&Cell]) -> String {
    let mut lines = vec!["| Where | What | Ledger | Output moves after |".to_owned(), "|---|---|---|---|".to_owned()];
    for (n, row) in rows.iter().enumerate() {
        let (at, fault) = &row.cell;
        lines.push(match verdict(n, row, wrong) {
            Ok(seconds) => format!("| {at} | {fault} | exact | {seconds:.1} s |"),
            Err(why) => format!("| {at} | {fault} | **failed** | {} |", why.replace(['|', '\n'], " ")),
        });
    }
    lines.extend(not_run.iter().map(|(at, fault)| format!("| {at} | {fault} | not run | no network namespaces here |")));
    lines.join("\n") + "\n"
}

fn moments(stage: &'static str, moments: &[&'static str]) -> Vec<Cell> {
    let faults = [Fault::Kill, Fault::Sleep, Fault::Cut, Fault::AnswersLost];
    moments.iter().flat_map(|moment| faults.map(|fault| (At::Moment(stage, moment), fault))).collect()
}

#[test]
#[ignore = "a quarter of an hour on a machine of its own: `make faults`"]
fn the_matrix_of_fold() {
    part("FOLD", &moments("fold", &FOLD));
}

#[test]
#[ignore = "a quarter of an hour on a machine of its own: `make faults`"]
fn the_matrix_of_close() {
    part("CLOSE", &moments("close", &CLOSE));
}

#[test]
#[ignore = "minutes on a machine of its own: `make faults`"]
fn the_matrix_of_what_happens_inside() {
    let cells = |stage| INSIDE.iter().flat_map(move |(moment, faults)| faults.iter().map(move |fault| (At::Moment(stage, moment), *fault)));
    part("Inside", &["fold", "close"].into_iter().flat_map(cells).collect::<Vec<_>>());
}

#[test]
#[ignore = "minutes on a machine of its own: `make faults`"]
fn the_matrix_of_brokers() {
    let whom = [
        At::Leader("service-events"),
        At::Leader("golden-signals.blue.partials"),
        At::Leader("golden-signals"),
        At::Transactions("fold"),
        At::Transactions("close"),
        At::Group("fold"),
        At::Group("close"),
    ];
    let cells: Vec<Cell> = whom.iter().flat_map(|at| [Fault::Kill, Fault::Sleep].map(|fault| (*at, fault))).collect();
    part("Brokers", &cells);
}
