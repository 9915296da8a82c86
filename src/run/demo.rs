//! The demo's load: sends the seeded scenario to the program's own HTTP door, as any client would.

use crate::generate::Sender;
use golden_generate::demo::{Demo, TICK};
use platform_core::clock::Clock;
use platform_core::time::EventTime;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Same seed, same shop.
const SEED: u64 = 7;

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
