//! A record that kills every process which reads it, under load by HTTP: within a minute of the first death it is a dead letter, and everything
//! else counts once (I11).

use crate::fleet::{Cluster, Fleet, ONE, settle};
use crate::ledger::{Account, Client, PUBLIC, SECOND, SETTINGS, Stopping, judge, read, rfc3339, verify};
use crate::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_core::record::Topic;
use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Operation of the event that kills.
const POISON: &str = "op-poison";
const CLIENTS: u64 = 2;

fn start(folder: &Path) -> Service {
    let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
    command.args(["run", "--listen", "127.0.0.1:0", "--config", "golden.yaml", "--data", "data"]).current_dir(folder);
    command.env("GOLDEN_FAIL_POINT", format!("fold.reads:{POISON}"));
    Service::of(command)
}

/// Whether the dead letters have it.
fn put_aside(service: &Service) -> bool {
    let Some(page) = service.get("/api/v1/dead-letters?limit=1000").filter(|_| !service.url.is_empty()) else { return false };
    page["dead_letters"].as_array().is_some_and(|all| all.iter().any(|letter| letter["reason"] == "crash"))
}

/// Load on one process that a record kills, until that is put aside and some more was taken. Gives the process, the deaths, and seconds from
/// the first to the dead letter.
fn poisoned(folder: &Path, account: &Mutex<Account>, clock: &SystemClock) -> (Service, u32, f64) {
    let mut service = start(folder);
    let urls = Mutex::new(vec![service.url.clone()]);
    let (acked, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (mut deaths, mut first) = (0, None);
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        for number in 0..CLIENTS {
            let (urls, acked, stop) = (&urls, &acked, &stop);
            scope.spawn(move || Client::new(number, urls, account, clock).run(acked, stop, Duration::from_millis(5)));
        }
        let progress = |requests: u64| {
            let until = acked.load(Ordering::Relaxed) + requests;
            eventually("events are taken", 60, || acked.load(Ordering::Relaxed) >= until);
        };
        progress(100);
        Client::new(CLIENTS, &urls, account, clock).poison(POISON);
        eventually("it is put aside", 100, || {
            if service.has_ended() {
                first = first.or(Some(clock.monotonic()));
                deaths += 1;
                service = start(folder);
                if !service.url.is_empty() {
                    *urls.lock().unwrap() = vec![service.url.clone()];
                }
            }
            put_aside(&service)
        });
        *urls.lock().unwrap() = vec![service.url.clone()];
        progress(100);
    });
    let took = clock.monotonic().saturating_sub(first.expect("it kills")).as_secs_f64();
    eprintln!("{deaths} deaths, a dead letter and 100 requests {took:.1} s after the first");
    (service, deaths, took)
}

#[test]
fn i11_a_record_that_kills_is_a_dead_letter_within_a_minute_and_everything_else_counts_once() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("golden.yaml"), format!("{SETTINGS}log: {{partitions: 2, reserve_mib: 1}}\n")).unwrap();
    let clock = Arc::new(SystemClock::new());
    let account = Mutex::new(Account::default());
    let (mut service, deaths, took) = poisoned(folder.path(), &account, &clock);
    assert!((6..=11).contains(&deaths) && took < 60.0, "{deaths} deaths in {took:.1} s");
    let end = rfc3339(clock.wall() - clock.wall().rem_euclid(10 * SECOND) + 11 * SECOND);
    let is_read = |lag: &serde_json::Value| lag["records"] == 0 || lag["stage"] == "fold" || lag["stage"] == "close";
    eventually("every window is closed and everything is read", 60, || {
        let Some(status) = service.get("/api/v1/status") else { return false };
        status["watermark"].as_str().is_some_and(|w| w >= end.as_str())
            && status["lag"].as_array().is_some_and(|all| all.iter().all(is_read))
    });
    assert!(service.stop());
    let topics = PUBLIC.iter().map(|(n, p)| TopicSettings { topic: Topic::new(n), partitions: *p, retention: Duration::MAX }).collect();
    let settings = Settings { topics, reserve: 0, ..Settings::default() };
    let rocks = Rocks::open(&folder.path().join("data"), &settings, clock).unwrap();
    judge(&account.into_inner().unwrap(), &read(&*rocks.log()));
    drop(rocks);
    let (code, text) = verify(folder.path(), &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
}

#[test]
#[ignore = "takes two minutes and brokers: `make faults`"]
fn i11_on_kafka_too_where_a_restart_takes_as_long_as_the_group_misses_a_member() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let folder = tempfile::tempdir().unwrap();
    cluster.prepare(folder.path(), "", "");
    let clock = SystemClock::new();
    let account = Mutex::new(Account::default());
    let (mut service, deaths, took) = poisoned(folder.path(), &account, &clock);
    assert!((6..=11).contains(&deaths) && took < 60.0, "{deaths} deaths in {took:.1} s");
    assert!(service.stop());
    let urls = Mutex::new(Vec::new());
    let mut fleet = Fleet::start(folder.path(), 1, 1, &urls);
    let wrong = settle(&cluster, &mut fleet, folder.path(), &account.into_inner().unwrap());
    assert!(wrong.is_empty(), "{} wrong, as in {:#?}", wrong.len(), wrong.iter().take(20).collect::<Vec<_>>());
}
