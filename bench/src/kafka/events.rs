//! Events that golden and the peers read alike, in a topic.
//!
//! A generated line becomes one with a time in ms, a method, and its duration twice: `latency_ms` for golden, `duration_us` for the peers; each
//! passes over what is the other's. They go to the partitions in turn, appended by librdkafka with lz4, some hundred to a batch. Behind them
//! each partition has one closing event: windows close when event time goes on.

use crate::kafka::exact::{Exact, Rows};
use crate::kafka::{BOUND, PARTITIONS, WINDOW};
use anyhow::{Context, Result, bail};
use golden_generate::fact::{Event, Fact};
use golden_generate::generator::Generator;
use golden_generate::settings::Settings;
use memchr::memmem;
use platform_core::log::Producer;
use platform_core::record::{NewRecord, Partition, Topic};
use platform_core::time::{EventTime, SECOND};
use std::io::Write as _;

/// Events of one append.
const APPEND: usize = 400;
/// Service and operation of the closing events.
pub(crate) const CLOSING: &str = "closing";

/// Lines one by one, with the exact results of all so far.
pub(crate) struct Lines {
    generator: Generator,
    exact: Exact,
    window: i64,
    plain: Vec<u8>,
}

impl Lines {
    /// `window` is the length of windows in ns.
    pub(crate) fn new(settings: &Settings, window: i64) -> Result<Self> {
        Ok(Self { generator: Generator::new(settings)?, exact: Exact::default(), window, plain: Vec::new() })
    }

    /// Writes the next line, without a newline, over `out`; `false` after the last.
    pub(crate) fn next(&mut self, out: &mut Vec<u8>) -> Result<bool> {
        self.plain.clear();
        let event = match self.generator.next_line(&mut self.plain) {
            None => return Ok(false),
            Some(Fact::Event(event)) => event,
            Some(Fact::Bad(_)) => bail!("the load has no bad records"),
        };
        self.exact.count(&event, self.window);
        out.clear();
        rewrite(&event, &self.plain, out).context("a line is not as the generator writes it")?;
        Ok(true)
    }

    /// The exact results so far.
    pub(crate) fn rows(&self) -> Rows {
        self.exact.rows(self.generator.names())
    }
}

/// `None` when the line is not as expected.
fn rewrite(event: &Event, plain: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let find = |what: &str| memmem::find(plain, what.as_bytes());
    let (service, latency, host) = (find("\"service\":")?, find(",\"latency_ms\":")?, find(",\"host\":")?);
    let micros = event.latency? / 1000;
    write!(out, "{{\"timestamp\":{},", event.time.0.div_euclid(1_000_000)).ok()?;
    out.extend_from_slice(plain.get(service..latency)?);
    write!(out, ",\"method\":\"GET\",\"duration_us\":{micros},\"latency_ms\":{}.{:03}", micros / 1000, micros % 1000).ok()?;
    out.extend_from_slice(plain.get(host..)?.trim_ascii_end());
    Some(())
}

/// The partitions of a topic.
pub(crate) fn partitions(topic: &str) -> Vec<Partition> {
    (0..PARTITIONS).map(|index| Partition::new(&Topic::new(topic), index)).collect()
}

/// Appends all events and the closing ones to these partitions; exact results of the former, and the bytes of their values. `end` is the end of the last window.
pub(crate) fn fill(producer: &dyn Producer, partitions: &[Partition], settings: &Settings, end: EventTime) -> Result<(Rows, u64)> {
    let mut lines = Lines::new(settings, WINDOW * SECOND)?;
    let (mut batch, mut bytes) = (vec![Vec::new(); APPEND], 0);
    let append = |to: &Partition, lines: &[Vec<u8>]| -> Result<()> {
        let records: Vec<NewRecord<'_>> = lines.iter().map(|line| NewRecord { value: Some(line), ..NewRecord::default() }).collect();
        Ok(producer.append(to, &records).map(drop)?)
    };
    for to in partitions.iter().cycle() {
        let mut filled = 0;
        for line in &mut batch {
            if !lines.next(line)? {
                break;
            }
            bytes += line.len() as u64;
            filled += 1;
        }
        if filled == 0 {
            break;
        }
        append(to, batch.get(..filled).unwrap_or_default())?;
    }
    let at = end.plus((BOUND + WINDOW / 2) * SECOND).0 / 1_000_000;
    let last = format!(
        r#"{{"timestamp":{at},"service":"{CLOSING}","operation":"{CLOSING}","status":200,"method":"GET","duration_us":1,"latency_ms":0.001}}"#
    );
    partitions.iter().try_for_each(|to| append(to, &[last.clone().into_bytes()]))?;
    Ok((lines.rows(), bytes))
}
