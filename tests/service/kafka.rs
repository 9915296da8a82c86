//! On Apache Kafka: several processes that share the work, each killed, paused and woken, and a broker killed, under load by HTTP: nothing
//! acknowledged is lost or doubled, and the numbers move again (I1, I2, I3, I14, I17, I21).

use crate::ledger::{Account, PARTITIONS, SECOND, SETTINGS, client, judge, read, rfc3339, verify};
use crate::process::{Service, eventually, within};
use platform_core::clock::Clock;
use platform_kafka::log::Kafka;
use platform_runtime::clock::SystemClock;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const CLIENTS: u64 = 2;

/// Held by the test that has brokers: two clusters at once are too much for a small machine.
pub(crate) static ONE: Mutex<()> = Mutex::new(());

/// Brokers in a folder of their own; they end with it.
struct Cluster {
    folder: tempfile::TempDir,
    bootstrap: String,
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/kafka"))
}

impl Cluster {
    /// `None`, and a line that says so, where there can be none.
    fn start(brokers: u32) -> Option<Self> {
        let installed = script().arg("install").output();
        if !installed.as_ref().is_ok_and(|output| output.status.success()) {
            let why = installed.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
            eprintln!("not run: no Kafka broker can be had here: {why}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let fast = ["--set", "broker.session.timeout.ms=3000", "--set", "broker.heartbeat.interval.ms=500"];
        let output =
            script().args(["start", "--brokers", &brokers.to_string()]).args(fast).arg("--dir").arg(folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Self { folder, bootstrap: String::from_utf8(output.stdout).unwrap().trim().to_owned() })
    }

    fn does(&self, command: &str, broker: &str) {
        let output = script().arg(command).arg(self.folder.path()).arg(broker).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(script().arg("stop").arg(self.folder.path()).arg("--now").output());
    }
}

/// The processes of a test; one that ends is started again, as by whatever keeps processes alive.
struct Fleet<'a> {
    folder: &'a Path,
    services: Vec<Service>,
    urls: &'a Mutex<Vec<String>>,
}

impl<'a> Fleet<'a> {
    fn start(folder: &'a Path, count: usize, urls: &'a Mutex<Vec<String>>) -> Self {
        let mut fleet = Self { folder, services: Vec::new(), urls };
        fleet.services = (0..count).map(|n| fleet.service(n)).collect();
        fleet.tell();
        fleet
    }

    fn service(&self, n: usize) -> Service {
        let data = self.folder.join(format!("data-{n}")).display().to_string();
        Service::start(&["--data", &data], Some(&self.folder.join("golden.yaml")))
    }

    fn restart(&mut self, n: usize) {
        self.services[n].kill();
        self.services[n] = self.service(n);
        self.tell();
    }

    /// Starts what has ended by itself.
    fn revive(&mut self) {
        for n in 0..self.services.len() {
            if self.services[n].has_ended() {
                self.restart(n);
            }
        }
    }

    fn tell(&self) {
        *self.urls.lock().unwrap() = self.services.iter().map(|service| service.url.clone()).collect();
    }
}

/// Tells the clients to stop, also when the test fails: the scope waits for them.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Load on some processes while `faults` does its worst; then everything must be there, once.
fn under_load(brokers: u32, processes: usize, faults: impl FnOnce(&Cluster, &mut Fleet<'_>, &dyn Fn(u64))) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(brokers) else { return };
    let folder = tempfile::tempdir().unwrap();
    // One broker can keep no copies.
    let (bootstrap, dev) = (&cluster.bootstrap, brokers < 3);
    let kafka = format!("log: {{partitions: {PARTITIONS}, reserve_mib: 1, kafka: {{bootstrap: \"{bootstrap}\", dev: {dev}}}}}\n");
    std::fs::write(folder.path().join("golden.yaml"), format!("{SETTINGS}{kafka}")).unwrap();
    let golden = |args: &[&str]| Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(folder.path()).output().unwrap();
    let planned = golden(&["topics", "plan"]);
    let text = String::from_utf8_lossy(&planned.stderr).into_owned();
    assert!(planned.status.code() == Some(1) && text.contains("golden topics apply"), "{text}");
    let applied = golden(&["topics", "apply"]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let clock = Arc::new(SystemClock::new());
    let urls = Mutex::new(Vec::new());
    let mut fleet = Fleet::start(folder.path(), processes, &urls);
    let (account, acked, stop) = (Mutex::new(Account::default()), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        for number in 0..CLIENTS {
            let (urls, account, acked, stop, clock) = (&urls, &account, &acked, &stop, &*clock);
            scope.spawn(move || client(number, urls, account, acked, stop, clock));
        }
        let progress = |requests: u64| {
            let until = acked.load(Ordering::Relaxed) + requests;
            eventually("events are taken", 90, || acked.load(Ordering::Relaxed) >= until);
        };
        progress(200);
        faults(&cluster, &mut fleet, &progress);
        fleet.revive();
        progress(200);
    });
    let account = account.into_inner().unwrap();
    eprintln!("{} requests acknowledged, {} unknown", account.acked.len(), account.unknown.len());
    let end = rfc3339(clock.wall() - clock.wall().rem_euclid(10 * SECOND) + 11 * SECOND);
    let mut statuses = Vec::new();
    let closed = within(120, || {
        fleet.revive();
        statuses = fleet.services.iter().filter_map(|service| service.get("/api/v1/status")).collect::<Vec<_>>();
        let watermarks: Vec<&str> = statuses.iter().filter_map(|status| status["watermark"].as_str()).collect();
        statuses.len() == fleet.services.len() && !watermarks.is_empty() && watermarks.iter().all(|w| *w >= end.as_str())
    });
    assert!(closed, "windows up to {end} are not closed: {statuses:#?}");
    let settings = platform_kafka::settings::Settings { bootstrap: cluster.bootstrap.clone(), dev: true, ..Default::default() };
    let log = Kafka::new(&settings, "judge", clock).unwrap();
    // Closed is not yet published: until nothing more comes.
    let mut count = 0;
    eventually("everything is published", 60, || {
        std::thread::park_timeout(Duration::from_secs(2));
        let before = std::mem::replace(&mut count, read(&log).records);
        before == count && count > 0
    });
    assert!(fleet.services.iter_mut().all(Service::stop));
    judge(&account, &read(&log));
    let (code, text) = verify(folder.path(), &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
}

#[test]
fn processes_share_the_work_and_may_be_killed_and_paused_at_any_moment() {
    under_load(1, 2, |_, fleet, progress| {
        for turn in 0..6 {
            fleet.revive();
            fleet.restart(turn % 2);
            progress(60);
        }
        // Longer than a session and a transaction may last: what wakes up is a zombie.
        fleet.services[0].pause();
        std::thread::park_timeout(Duration::from_secs(14));
        fleet.services[0].resume();
        progress(100);
    });
}

#[test]
#[ignore = "takes minutes and a machine of its own: `make faults`"]
fn brokers_may_be_killed_while_processes_come_and_go() {
    under_load(3, 2, |cluster, fleet, progress| {
        for broker in ["1", "2", "3"] {
            cluster.does("kill", broker);
            progress(50);
            fleet.revive();
            if broker == "2" {
                fleet.restart(1);
            }
            cluster.does("restart", broker);
            progress(50);
        }
    });
}
