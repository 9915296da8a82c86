//! The demo's load: sends the seeded scenario to the program's own HTTP door, as any client would. And its first rules: who owns two of the
//! services, and what is promised of them.

use crate::failure::Failure;
use crate::generate::Sender;
use golden_bundle::folder::Folder;
use golden_bundle::publish::{Order, PublishError, What, publish};
use golden_generate::demo::{Demo, TICK};
use golden_pipeline::emit::json::put_time;
use platform_core::clock::Clock;
use platform_core::time::{EventTime, SECOND};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Same seed, same shop.
const SEED: u64 = 7;

/// Rules of the demo, part of the program so that it needs nothing beside it.
const RULES: [(&str, &[u8]); 2] = [
    ("shop/checkout.yaml", include_bytes!("../../dashboards/demo/shop/checkout.yaml")),
    ("shop/payment.yaml", include_bytes!("../../dashboards/demo/shop/payment.yaml")),
];

/// Publishes the demo's rules to its own folder, unless something was published there before: that is whose demo it is.
pub(super) fn publish_rules(to: &Path, clock: &dyn Clock) -> Result<(), Failure> {
    let files = RULES.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
    let mut at = Vec::new();
    put_time(&mut at, clock.wall() / SECOND * SECOND);
    // It is the only one that publishes there by itself, and does so once: the nonce need not be random.
    let order =
        Order { what: What::Files(&files), by: "the demo", commit: None, at: &String::from_utf8_lossy(&at), nonce: "demo", key: None };
    match publish(&Folder::new(to), &order, &|_| Err(String::new())) {
        Ok(_) | Err(PublishError::Unwanted(_)) => Ok(()),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// Feeds until it is dropped.
pub(super) struct Feed {
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    pub(super) fn start(address: SocketAddr, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let thread = std::thread::Builder::new().name("demo".to_owned()).spawn(move || feed(address, &*clock, &stop))?;
        Ok(Self { stopped, thread: Some(thread) })
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            if thread.join().is_err() {
                tracing::error!("the demo's load ended by a panic");
            }
        }
    }
}

fn feed(address: SocketAddr, clock: &dyn Clock, stop: &AtomicBool) {
    let demo = Demo::new(SEED);
    let sender = Sender::new(&format!("http://{address}/api/v1/events"));
    let metrics = Sender::new(&format!("http://{address}/v1/metrics"));
    let start = EventTime(clock.wall());
    let begun = clock.monotonic();
    let mut lines = Vec::new();
    for tick in 0_u32.. {
        // A tick is sent when it is over, so that nothing in it lies ahead.
        let due = TICK * (tick + 1);
        while let Some(early) = due.checked_sub(clock.monotonic().saturating_sub(begun)).filter(|e| !e.is_zero()) {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            std::thread::park_timeout(early);
        }
        if let Some(gauges) = demo.gauges(start, u64::from(tick))
            && let Err(error) = metrics.send_json(gauges.as_bytes())
            && !stop.load(Ordering::Relaxed)
        {
            tracing::warn!(error, "the demo's gauges were not taken");
        }
        lines.clear();
        demo.tick(start, u64::from(tick), &mut lines);
        if lines.is_empty() {
            continue;
        }
        if let Err(error) = sender.send(&lines)
            && !stop.load(Ordering::Relaxed)
        {
            tracing::warn!(error, "the demo's load was not taken");
        }
    }
}

/// What happens when, for a person to look out for.
pub(super) fn print_timetable() {
    for incident in Demo::timetable() {
        eprintln!("  {:>3}–{:<3} s  {:16} {}", incident.from, incident.to, incident.service, incident.story);
    }
}
