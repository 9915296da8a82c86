//! On Apache Kafka: several processes that share the work, each killed, paused and woken, and a broker killed, under load by HTTP: nothing
//! acknowledged is lost or doubled, and the numbers move again (I1, I2, I3, I14, I17, I21).

use crate::fleet::{Cluster, Fleet, ONE, settle};
use crate::ledger::{Account, Client, Stopping};
use crate::process::eventually;
use platform_runtime::clock::SystemClock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const CLIENTS: u64 = 2;

/// Load on some processes while `faults` does its worst; then everything must be there, once.
fn under_load(brokers: u32, processes: usize, faults: impl FnOnce(&Cluster, &mut Fleet<'_>, &dyn Fn(u64))) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(brokers) else { return };
    let folder = tempfile::tempdir().unwrap();
    cluster.prepare(folder.path(), "", "");
    let clock = SystemClock::new();
    let urls = Mutex::new(Vec::new());
    let mut fleet = Fleet::start(folder.path(), processes, processes, &urls);
    let (account, acked, stop) = (Mutex::new(Account::default()), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        for number in 0..CLIENTS {
            let (urls, account, acked, stop, clock) = (&urls, &account, &acked, &stop, &clock);
            scope.spawn(move || Client::new(number, urls, account, clock).run(acked, stop, Duration::ZERO));
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
    let wrong = settle(&cluster, &mut fleet, folder.path(), &account);
    assert!(wrong.is_empty(), "{} wrong, as in {:#?}", wrong.len(), wrong.iter().take(20).collect::<Vec<_>>());
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
