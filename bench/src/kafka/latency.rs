//! How soon public records follow the end of their windows, while events come at a steady pace.
//!
//! An event's time is the moment it is sent, give or take some milliseconds. For each first result of a window: from window end + bound, the
//! first moment at which no more events of it are expected, to its append by the broker, and to the moment when this program, a reader of
//! committed records, has it. The first windows and the last are left out.

use crate::kafka::events::{Lines, partitions};
use crate::kafka::exact::{equal, rfc3339};
use crate::kafka::golden::{Golden, Published, wall};
use crate::kafka::{BOUND, OWN, connect};
use crate::measure::now;
use anyhow::{Context, Result, ensure};
use golden_generate::settings::Settings;
use platform_core::log::{Log as _, Producer};
use platform_core::record::NewRecord;
use platform_core::time::{EventTime, SECOND, nanos};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::park_timeout;
use std::time::Duration;

/// How often events are sent.
const EVERY: Duration = Duration::from_millis(20);
/// How far an event's time may lie from its place in the order, either way.
const DISORDER: Duration = Duration::from_millis(10);
/// Windows before those that are measured: the first may have begun before the start, the second warms up.
const BEFORE: i64 = 2;
/// Windows behind those that are measured: event time must go on until the last of these is closed.
const BEHIND: i64 = 1;

/// The table of one run: `windows` are measured.
pub(crate) fn measure(golden: &Golden, rate: u64, windows: u32) -> Result<String> {
    golden.prepare()?;
    let mut running = golden.start()?;
    let mut published = Published::open(&golden.bootstrap)?;
    let length = nanos(golden.window);
    // The first events come when the program has started.
    let begun = wall() + 10 * SECOND;
    let first = (begun / length + BEFORE) * length;
    let last = first + i64::from(windows) * length;
    let until = last + BEHIND * length + BOUND * SECOND;
    let events = (until - begun).unsigned_abs() / 1000 * rate / 1_000_000;
    let settings = Settings { events, start: EventTime(begun), rate, disorder: DISORDER, ..Settings::default() };
    let producer = connect(&golden.bootstrap)?.producer()?;
    let (mut lines, start, stopped) = (Lines::new(&settings, length)?, now(), AtomicBool::new(false));
    let exact = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let fed = feed(&*producer, &mut lines, begun, rate, &stopped);
            fed.map(|late| (lines.rows(), late))
        });
        let watched = (|| {
            while !published.is_through(EventTime(last)) {
                published.poll()?;
                running.check(now().duration_since(start))?;
            }
            Ok(())
        })();
        stopped.store(watched.is_err(), Ordering::Relaxed);
        let fed = feeding.join().ok().context("the feeder panicked")?;
        watched.and(fed)
    });
    let (mut exact, behind) = exact?;
    running.stop()?;
    let measured = |start: &String| (rfc3339(first)..rfc3339(last)).contains(start);
    exact.retain(|(start, ..), _| measured(start));
    published.rows.retain(|(start, ..), _| measured(start));
    equal(&published.rows, &exact)?;
    let inside = published.firsts.iter().filter(|(end, ..)| (first + 1..=last).contains(end));
    let after = |end: i64, at: i64| (at - end - BOUND * SECOND) as f64 / SECOND as f64;
    let (mut appended, mut read): (Vec<f64>, Vec<f64>) = inside.map(|(end, at, seen)| (after(*end, *at), after(*end, *seen))).unzip();
    ensure!(!read.is_empty(), "nothing was published");
    let mut text = format!(
        "{rate} events/s, {windows} windows of {} s, bound {} s, commits every 1 s: {} records; events were appended at most {behind:.2} s \
         behind their times\n\n| Window end + bound → public record | p50 s | p99 s | max s | To reach |\n|---|---|---|---|---|\n",
        golden.window.as_secs(),
        BOUND,
        read.len()
    );
    for (says, figures, reach) in
        [("appended by the broker", &mut appended, "p99 ≤ 2"), ("had by a reader of committed records", &mut read, "")]
    {
        figures.sort_by(f64::total_cmp);
        let at = |share: f64| figures.get(((figures.len() - 1) as f64 * share).ceil() as usize).copied().unwrap_or(f64::NAN);
        text += &format!("| {says} | {:.2} | {:.2} | {:.2} | {reach} |\n", at(0.5), at(0.99), at(1.0));
    }
    Ok(text)
}

/// Sends all events at their times; how far it fell behind, s.
fn feed(producer: &dyn Producer, lines: &mut Lines, begun: i64, rate: u64, stopped: &AtomicBool) -> Result<f64> {
    let (mut line, mut sent, mut behind) = (Vec::new(), 0_u64, 0_i64);
    let partitions = partitions(OWN);
    loop {
        let due = u64::try_from(wall() - begun).unwrap_or(0) / 1000 * rate / 1_000_000;
        let mut batch: Vec<Vec<u8>> = Vec::new();
        while sent < due && lines.next(&mut line)? {
            batch.push(line.clone());
            sent += 1;
        }
        if due > sent || stopped.load(Ordering::Relaxed) {
            return Ok(behind as f64 / SECOND as f64);
        }
        let share = batch.len().div_ceil(partitions.len()).max(1);
        let oldest = begun + ((sent - batch.len() as u64) * 1_000_000 / rate * 1000) as i64;
        for (to, lines) in partitions.iter().zip(batch.chunks(share)) {
            let records: Vec<NewRecord<'_>> = lines.iter().map(|line| NewRecord { value: Some(line), ..NewRecord::default() }).collect();
            producer.append(to, &records)?;
        }
        if !batch.is_empty() {
            behind = behind.max(wall() - oldest);
        }
        park_timeout(EVERY);
    }
}
