//! `kill -9` at 30 moments under load by HTTP, on the embedded log: nothing acknowledged is lost or doubled (I1, I2, I3, I13, I17).

use crate::ledger::{Account, Client, PUBLIC, SECOND, SETTINGS, judge, read, rfc3339, verify};
use crate::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_core::record::Topic;
use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const KILLS: u64 = 30;
const CLIENTS: u64 = 3;

#[test]
fn i1_i3_every_acknowledged_event_counts_once_whatever_is_killed_when() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("golden.yaml"));
    std::fs::write(&config, format!("{SETTINGS}log: {{partitions: 2, reserve_mib: 1}}\n")).unwrap();
    let folder_text = data.display().to_string();
    let start = || Service::start(&["--data", &folder_text], Some(&config));
    let clock = Arc::new(SystemClock::new());
    let mut service = start();
    let urls = Mutex::new(vec![service.url.clone()]);
    let (account, acked, stop) = (Mutex::new(Account::default()), AtomicU64::new(0), AtomicBool::new(false));
    let mut seed = 0x5eed_u64;
    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (urls, account, acked, stop, clock) = (&urls, &account, &acked, &stop, &*clock);
            scope.spawn(move || Client::new(number, urls, account, clock).run(acked, stop, Duration::ZERO));
        }
        for _ in 0..KILLS {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let until = acked.load(Ordering::Relaxed) + 1 + (seed >> 33) % 150;
            eventually("progress", 60, || acked.load(Ordering::Relaxed) >= until);
            service.kill();
            service = start();
            *urls.lock().unwrap() = vec![service.url.clone()];
        }
        stop.store(true, Ordering::Relaxed);
    });
    let account = account.into_inner().unwrap();
    eprintln!("{} requests acknowledged, {} unknown, {KILLS} kills", account.acked.len(), account.unknown.len());
    // Idle partitions close what is open: every window ends within its length, bound and hold.
    // One second more, so that what closed them is committed.
    let end = rfc3339(clock.wall() - clock.wall().rem_euclid(10 * SECOND) + 11 * SECOND);
    let is_read = |lag: &serde_json::Value| lag["records"] == 0 || lag["stage"] == "fold" || lag["stage"] == "close";
    eventually("every window is closed and everything is read", 60, || {
        let Some(status) = service.get("/api/v1/status") else { return false };
        status["watermark"].as_str().is_some_and(|w| w >= end.as_str())
            && status["lag"].as_array().is_some_and(|all| all.iter().all(is_read))
    });
    assert!(service.stop());

    let topics = PUBLIC.iter().map(|(n, p)| TopicSettings { topic: Topic::new(n), partitions: *p, retention: Duration::MAX }).collect();
    let rocks = Rocks::open(&data, &Settings { topics, reserve: 0, ..Settings::default() }, clock).unwrap();
    judge(&account, &read(&*rocks.log()));
    drop(rocks);
    let (code, text) = verify(folder.path(), &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
    // What went to the late ledger would have counted under another promise: a difference in each of its windows.
    let (code, text) = verify(folder.path(), &[("GOLDEN_PIPELINE__RETAIN", "2h")]);
    assert!(code == Some(1) && text.contains("I3 value") && text.contains("missing="), "{text}");
}
