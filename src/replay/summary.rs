//! What a person sees of a replay on standard error, and the file of dead letters.

use super::input::Inputs;
use crate::failure::Failure;
use golden_pipeline::tally::Tally;
use indicatif::{ProgressBar, ProgressStyle};
use platform_core::log::{Log, Polled, Subscription};
use platform_core::record::{Offset, Partition, Topic};
use platform_runtime::memory::MemoryLog;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A bar on a terminal, nothing elsewhere.
pub(super) struct Progress(Option<(ProgressBar, Arc<AtomicBool>, JoinHandle<()>)>);

impl Progress {
    pub(super) fn start(inputs: &Inputs, quiet: bool) -> Self {
        if quiet || !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let bar = match inputs.size {
            Some(size) => ProgressBar::new(size).with_style(style("{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {bytes} {bytes_per_sec}")),
        };
        let ended = Arc::new(AtomicBool::new(false));
        let (read, shown, stop) = (Arc::clone(&inputs.read), bar.clone(), Arc::clone(&ended));
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                shown.set_position(read.load(Ordering::Relaxed));
                std::thread::park_timeout(Duration::from_millis(100));
            }
        });
        Self(thread.ok().map(|thread| (bar, ended, thread)))
    }

    pub(super) fn finish(self) {
        if let Some((bar, ended, thread)) = self.0 {
            ended.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            // The thread only draws: there is nothing to learn from how it ended.
            thread.join().unwrap_or_default();
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Takes dead letters out of the log as they come, into a file or away, so that a flood of them takes no memory.
pub(super) struct DeadLetters {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Result<u64, String>>,
    path: Option<PathBuf>,
}

impl DeadLetters {
    pub(super) fn start(log: &MemoryLog, topic: &Topic, path: Option<&Path>) -> Result<Self, Failure> {
        let mut file = path
            .map(|p| File::create(p).map(BufWriter::new).map_err(|e| Failure::usage(format!("cannot write {}: {e}", p.display()))))
            .transpose()?;
        let ended = Arc::new(AtomicBool::new(false));
        let (stop, log, partition) = (Arc::clone(&ended), log.clone(), Partition::new(topic, 0));
        let subscription = Subscription { group: None, topics: vec![topic.clone()] };
        let mut reader = log.reader(&subscription).map_err(Failure::failed)?;
        let drain = move || {
            let mut kept = 0;
            loop {
                // Read first, look at the flag then: what was written before the end is not missed.
                let last = stop.load(Ordering::Acquire);
                let mut through = None;
                match reader.poll(if last { Duration::ZERO } else { Duration::from_millis(50) }).map_err(|e| e.to_string())? {
                    Polled::Batch(batch) => {
                        for record in batch.iter() {
                            kept += 1;
                            if let Some(file) = &mut file {
                                let line = record.value.unwrap_or_default();
                                file.write_all(line).and_then(|()| file.write_all(b"\n")).map_err(|e| e.to_string())?;
                            }
                        }
                        through = batch.next_offset();
                    }
                    Polled::Assigned(_) => {}
                    Polled::Nothing if last => break,
                    Polled::Nothing => {}
                }
                log.forget_before(&partition, through.unwrap_or(Offset(0)));
            }
            file.map_or(Ok(()), |mut f| f.flush()).map_err(|e| e.to_string())?;
            Ok(kept)
        };
        let thread = std::thread::Builder::new().name("dead-letters".to_owned()).spawn(drain).map_err(Failure::failed)?;
        Ok(Self { ended, thread, path: path.map(Path::to_owned) })
    }

    /// Waits until all are out; gives where they are.
    pub(super) fn finish(self) -> Result<Option<PathBuf>, Failure> {
        self.ended.store(true, Ordering::Release);
        let result = self.thread.join().map_err(|_| Failure::failed("writing dead letters failed"))?;
        result.map_err(|e| Failure::failed(format!("cannot write dead letters: {e}")))?;
        Ok(self.path)
    }
}

/// The summary at the end.
pub(super) fn print(tally: &Tally, log: &MemoryLog, late: &Topic, rows: u64, dead_letters: Option<PathBuf>, took: Duration) {
    let total = tally.total();
    let rate = total.decoded as f64 / took.as_secs_f64().max(1e-9);
    eprintln!("{} items in {:.2} s ({:.0} per second), {rows} rows", total.decoded, took.as_secs_f64(), rate);
    eprintln!("  counted      {}", total.folded - tally.duplicate_events());
    let ledger =
        (0..log.partitions(late).unwrap_or(0)).filter_map(|i| log.bounds(&Partition::new(late, i)).ok()).map(|(_, end)| end.0).sum::<u64>();
    for (name, count) in [("duplicates", tally.duplicate_events()), ("late ledger", total.late)] {
        if count > 0 {
            eprintln!("  {name:12} {count}");
        }
    }
    if ledger > 0 {
        eprintln!("  ledger lines {ledger}");
    }
    for (reason, count) in &total.skipped {
        eprintln!("  skipped      {count} ({reason})");
    }
    for (reason, count) in &total.dead {
        eprintln!("  dead letters {count} ({reason})");
    }
    match dead_letters {
        Some(path) => eprintln!("  dead letters are in {}", path.display()),
        None if total.dead_letters() > 0 => eprintln!("  see them with --dead-letters FILE"),
        None => {}
    }
}
