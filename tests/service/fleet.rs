//! What tests on Kafka stand on: brokers of their own, processes that are started again when they end, and the end of a run, when everything
//! must have been published.

use crate::ledger::{Account, PARTITIONS, SETTINGS, read, rfc3339, verify, wrongs};
use crate::namespace::Namespace;
use crate::process::{Service, eventually, within};
use platform_core::clock::Clock;
use platform_kafka::log::Kafka;
use platform_runtime::clock::SystemClock;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What sets a clock off.
const CLOCK: &str = "clock_off.so";

/// Held by the test that has brokers: two clusters at once are too much for a small machine.
pub(crate) static ONE: Mutex<()> = Mutex::new(());

/// Brokers in a folder of their own; they end with it.
pub(crate) struct Cluster {
    folder: tempfile::TempDir,
    host: String,
    brokers: u32,
    pub(crate) bootstrap: String,
}

impl Cluster {
    /// On loopback. `None`, and a line that says so, where there can be none.
    pub(crate) fn start(brokers: u32) -> Option<Self> {
        Self::start_on("127.0.0.1", brokers)
    }

    /// At an address of this machine.
    pub(crate) fn start_on(host: &str, brokers: u32) -> Option<Self> {
        let mut cluster = Self { folder: tempfile::tempdir().unwrap(), host: host.to_owned(), brokers, bootstrap: String::new() };
        let installed = cluster.script(&["install"]);
        if !installed.as_ref().is_ok_and(|output| output.status.success()) {
            let why = installed.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
            eprintln!("not run: no Kafka broker can be had here: {why}");
            return None;
        }
        // What a broker notices after 10 s by default is noticed soon.
        let fast = [
            "broker.session.timeout.ms=3000",
            "broker.heartbeat.interval.ms=500",
            "group.min.session.timeout.ms=1000",
            "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000",
        ];
        let count = brokers.to_string();
        let folder = cluster.folder.path().display().to_string();
        let mut args = vec!["start", "--brokers", &count, "--dir", &folder];
        args.extend(fast.iter().flat_map(|set| ["--set", set]));
        let output = cluster.script(&args).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        cluster.bootstrap = String::from_utf8(output.stdout).unwrap().trim().to_owned();
        Some(cluster)
    }

    fn script(&self, args: &[&str]) -> std::io::Result<std::process::Output> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/kafka");
        Command::new(script).args(args).env("KAFKA_HOST", &self.host).output()
    }

    /// `kill`, `restart`, `pause` or `resume` one broker.
    pub(crate) fn does(&self, command: &str, broker: &str) {
        let output = self.script(&[command, &self.folder.path().display().to_string(), broker]).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Deletes a topic.
    pub(crate) fn delete(&self, topic: &str) {
        let output =
            self.script(&["tool", &self.folder.path().display().to_string(), "TopicCommand", "--delete", "--topic", topic]).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Deletes everything before an offset of a topic's first partition.
    pub(crate) fn truncate(&self, topic: &str, before: u64) {
        let file = self.folder.path().join("truncate.json");
        let what = serde_json::json!({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": before}]});
        std::fs::write(&file, what.to_string()).unwrap();
        let folder = self.folder.path().display().to_string();
        let args = ["tool", &folder, "DeleteRecordsCommand", "--offset-json-file", &file.display().to_string()];
        let output = self.script(&args).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The broker that leads a partition.
    pub(crate) fn leader(&self, topic: &str, partition: u32) -> String {
        let output = self.script(&["tool", &self.folder.path().display().to_string(), "TopicCommand", "--describe", "--topic", topic]);
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        let at = format!("Partition: {partition}\t");
        let line = text.lines().find(|line| line.contains(&at)).unwrap_or_else(|| panic!("no {topic}/{partition} in {text}"));
        line.split("Leader: ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned()
    }

    /// The broker that coordinates a group (`__consumer_offsets`) or a transactional id (`__transaction_state`).
    pub(crate) fn coordinator(&self, topic: &str, of: &str) -> String {
        // Java's hash of a string, without its sign, over the five partitions that the script gives these topics.
        let hash = of.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) & 0x7fff_ffff;
        self.leader(topic, hash % 5)
    }

    /// Writes the settings and makes the topics; before that the program refuses to start.
    pub(crate) fn prepare(&self, folder: &Path, kafka: &str, runtime: &str) {
        self.prepare_with(&SETTINGS.replace("commit_interval: 100ms", &format!("commit_interval: 100ms{runtime}")), folder, kafka);
    }

    /// The same with other settings.
    pub(crate) fn prepare_with(&self, settings: &str, folder: &Path, kafka: &str) {
        // One broker can keep no copies.
        let (bootstrap, dev) = (&self.bootstrap, self.brokers < 3);
        let kafka =
            format!("log: {{partitions: {PARTITIONS}, reserve_mib: 1, kafka: {{bootstrap: \"{bootstrap}\", dev: {dev}{kafka}}}}}\n");
        std::fs::write(folder.join("golden.yaml"), format!("{settings}{kafka}")).unwrap();
        let golden = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(folder).output().unwrap();
        let planned = golden(&["topics", "plan"]);
        let text = String::from_utf8_lossy(&planned.stderr).into_owned();
        assert!(planned.status.code() == Some(1) && text.contains("golden topics apply"), "{text}");
        let applied = golden(&["topics", "apply"]);
        assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    }

    /// The log, as its judge sees it.
    pub(crate) fn log(&self) -> Kafka {
        let settings = platform_kafka::settings::Settings { bootstrap: self.bootstrap.clone(), dev: true, ..Default::default() };
        Kafka::new(&settings, "judge", Arc::new(SystemClock::new())).unwrap()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.script(&["stop", &self.folder.path().display().to_string(), "--now"]));
    }
}

/// The processes of a test; one that ends is started again, as by whatever keeps processes alive.
pub(crate) struct Fleet<'a> {
    folder: PathBuf,
    pub(crate) services: Vec<Service>,
    urls: &'a Mutex<Vec<String>>,
    /// How many of them take load.
    takers: usize,
    /// What each is started with besides; none for those behind the last.
    args: &'static [&'static [&'static str]],
    odd: Odd<'a>,
}

/// What is odd about some of the processes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Odd<'a> {
    /// By how many seconds whose clocks are off.
    pub(crate) off: &'static [(usize, i64)],
    /// Who is where it can be cut off from the brokers.
    pub(crate) inside: Option<(usize, &'a Namespace)>,
}

impl<'a> Fleet<'a> {
    /// `takers` of the processes take load.
    pub(crate) fn start(folder: &Path, count: usize, takers: usize, urls: &'a Mutex<Vec<String>>) -> Self {
        Self::with(folder, count, takers, urls, &[])
    }

    /// Each process is started with arguments of its own, one after the other.
    pub(crate) fn with(
        folder: &Path,
        count: usize,
        takers: usize,
        urls: &'a Mutex<Vec<String>>,
        args: &'static [&'static [&'static str]],
    ) -> Self {
        Self::with_odd(folder, count, takers, urls, args, Odd::default())
    }

    /// The same, and some of them are not as the others.
    pub(crate) fn with_odd(
        folder: &Path,
        count: usize,
        takers: usize,
        urls: &'a Mutex<Vec<String>>,
        args: &'static [&'static [&'static str]],
        odd: Odd<'a>,
    ) -> Self {
        if !odd.off.is_empty() {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/service/clock_off.c");
            let made =
                Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(folder.join(CLOCK)).arg(source).arg("-ldl").output().unwrap();
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        }
        let mut fleet = Self { folder: folder.to_owned(), services: Vec::new(), urls, takers, args, odd };
        fleet.services = (0..count).map(|n| fleet.service(n)).collect();
        fleet.tell();
        fleet
    }

    /// The data folder of a process.
    pub(crate) fn data(&self, n: usize) -> PathBuf {
        self.folder.join(format!("data-{n}"))
    }

    fn service(&self, n: usize) -> Service {
        Service::of(self.command(n))
    }

    /// What starts a process.
    pub(crate) fn command(&self, n: usize) -> Command {
        let program = env!("CARGO_BIN_EXE_golden");
        let inside = self.odd.inside.filter(|(of, _)| *of == n).map(|(_, namespace)| namespace);
        let (mut command, address) = match inside {
            Some(namespace) => (namespace.inside(program), namespace.inner()),
            None => (Command::new(program), "127.0.0.1"),
        };
        command.args(["run", "--listen", &format!("{address}:0"), "--data"]).arg(self.data(n));
        command.arg("--config").arg(self.folder.join("golden.yaml")).args(self.args.get(n).copied().unwrap_or_default());
        if let Some((_, seconds)) = self.odd.off.iter().find(|(of, _)| *of == n) {
            command.env("LD_PRELOAD", self.folder.join(CLOCK)).env("CLOCK_OFF_SECONDS", seconds.to_string());
        }
        command
    }

    pub(crate) fn restart(&mut self, n: usize) {
        self.services[n].kill();
        self.services[n] = self.service(n);
        self.tell();
    }

    /// Starts what has ended by itself.
    pub(crate) fn revive(&mut self) {
        self.revive_but(|_| false);
    }

    /// The same, but not those that a test keeps dead. One that ends before it listens, since its brokers are away, is tried again by the next
    /// call, as a supervisor would. Gives how many were started.
    pub(crate) fn revive_but(&mut self, dead: impl Fn(usize) -> bool) -> usize {
        let mut started = 0;
        for n in 0..self.services.len() {
            if dead(n) || !self.services[n].has_ended() {
                continue;
            }
            eprintln!("process {n} has ended: {}", self.services[n].said().lines().last().unwrap_or_default());
            match Service::try_of(self.command(n)) {
                Ok(service) => {
                    self.services[n] = service;
                    self.tell();
                    started += 1;
                }
                Err(said) => eprintln!("it does not start again yet: {}", said.back().map_or("", String::as_str)),
            }
        }
        started
    }

    fn tell(&self) {
        *self.urls.lock().unwrap() = self.services.iter().take(self.takers).map(|service| service.url.clone()).collect();
    }
}

/// The load has ended: waits until all of it must be published, and ends the processes. `verify` finds nothing; what the judge finds is given.
pub(crate) fn settle(cluster: &Cluster, fleet: &mut Fleet<'_>, folder: &Path, account: &Account) -> Vec<String> {
    eprintln!("{} requests acknowledged, {} unknown", account.acked.len(), account.unknown.len());
    let now = SystemClock::new().wall();
    let end = now - now.rem_euclid(account.window) + account.window;
    let log = cluster.log();
    // The topics say it themselves: in every partition all windows of the load are done.
    let mut through = [0; PARTITIONS as usize];
    let closed = within(180, || {
        fleet.revive();
        through = read(&log).through;
        through.iter().all(|done| *done >= end)
    });
    let statuses = || fleet.services.iter().filter_map(|service| service.get("/api/v1/status")).collect::<Vec<_>>();
    assert!(closed, "windows up to {} are not closed, but up to {:?}: {:#?}", rfc3339(end), through.map(rfc3339), statuses());
    // Corrections may come behind: until nothing more comes.
    let mut count = 0;
    eventually("everything is published", 60, || {
        std::thread::park_timeout(Duration::from_secs(2));
        let before = std::mem::replace(&mut count, read(&log).records);
        before == count && count > 0
    });
    assert!(fleet.services.iter_mut().all(Service::stop));
    // It says where something was lost, should anything be.
    let (code, text) = verify(folder, &[]);
    let published = read(&log);
    let mut wrong = wrongs(account, &published);
    // Several deployments, several letters.
    if fleet.args.is_empty() && published.again > 0 {
        wrong.push(format!("{} dead letters stand twice", published.again));
    }
    if code != Some(0) || !text.contains("as published") {
        wrong.push(format!("golden verify: {text}"));
    }
    wrong
}
