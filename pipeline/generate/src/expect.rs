//! The exact results of what was generated: one row per window and service, or per window, service and operation.
//!
//! Percentiles are exact (nearest rank over all latencies), so every latency is held: eight bytes an event. Counts are those of a reader
//! that sees the whole input before it answers: late events are in their windows. A row stands for each series and window with an event.

use crate::fact::{Event, Fact, Outcome};
use crate::names::Names;
use crate::timestamp::whole_seconds;
use platform_core::map::Map;
use platform_core::time::EventTime;
use platform_core::window::WindowLength;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Collects facts and writes what must come out of them.
#[derive(Debug)]
pub struct Expect {
    window: WindowLength,
    by_operation: bool,
    without_duplicates: bool,
    rows: Map<(EventTime, u32, u32), Row>,
    totals: Totals,
}

/// What became of the lines: `decoded = counted + ignored + duplicates + dead letters`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All lines.
    pub decoded: u64,
    /// Events with outcome ok or error.
    pub counted: u64,
    /// Events that their caller gave up.
    pub ignored: u64,
    /// Events left out as duplicates; 0 unless duplicates are left out.
    pub duplicates: u64,
    /// Bad records by reason code.
    pub dead_letters: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct Row {
    requests: u64,
    errors: u64,
    latencies: Vec<u64>,
}

/// Tenths of a percent of the percentiles, in the order of columns.
const PERCENTILES: [u64; 6] = [500, 750, 900, 950, 990, 999];

impl Expect {
    /// Results by service, duplicates counted like any other event.
    #[must_use]
    pub fn new(window: WindowLength) -> Self {
        Self { window, by_operation: false, without_duplicates: false, rows: Map::default(), totals: Totals::default() }
    }

    /// By service and operation instead.
    #[must_use]
    pub fn by_operation(self) -> Self {
        Self { by_operation: true, ..self }
    }

    /// As a source must answer whose `dedup.id` is `[tags.trace_id, tags.span_id]`.
    #[must_use]
    pub fn without_duplicates(self) -> Self {
        Self { without_duplicates: true, ..self }
    }

    /// Takes one line in.
    pub fn record(&mut self, fact: &Fact) {
        self.totals.decoded += 1;
        match fact {
            Fact::Bad(bad) => *self.totals.dead_letters.entry(bad.reason()).or_default() += 1,
            Fact::Event(event) if event.duplicate && self.without_duplicates => self.totals.duplicates += 1,
            Fact::Event(event) => self.count(event),
        }
    }

    fn count(&mut self, event: &Event) {
        let key = (self.window.window_of(event.time).start, event.service, if self.by_operation { event.operation } else { 0 });
        let row = self.rows.entry(key).or_default();
        if event.outcome == Outcome::Ignored {
            self.totals.ignored += 1;
            return;
        }
        self.totals.counted += 1;
        row.requests += 1;
        row.errors += u64::from(event.outcome == Outcome::Error);
        row.latencies.extend(event.latency);
    }

    /// What became of the lines so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Writes the results as CSV with a header, in the order of window, service, operation. `names` are those of the facts.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn write(mut self, names: &Names, out: &mut impl Write) -> io::Result<()> {
        let mut rows: Vec<_> = self.rows.iter_mut().collect();
        let operation = |number: u32| if self.by_operation { names.operation(number) } else { "" };
        rows.sort_unstable_by_key(|((start, service, number), _)| (*start, names.service(*service), operation(*number)));
        let by = if self.by_operation { "service,operation" } else { "service" };
        write!(out, "window_start,{by},requests,errors,availability_pct,latency_count")?;
        writeln!(out, ",p50_ms,p75_ms,p90_ms,p95_ms,p99_ms,p999_ms,max_ms,mean_ms,health,completeness")?;
        for ((start, service, number), row) in rows {
            write!(out, "{},{}", whole_seconds(*start), names.service(*service))?;
            if self.by_operation {
                write!(out, ",{}", names.operation(*number))?;
            }
            row.write(out)?;
        }
        out.flush()
    }
}

impl Row {
    fn write(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.latencies.sort_unstable();
        write!(out, ",{},{},", self.requests, self.errors)?;
        if let Some(availability) = self.availability() {
            // Ten decimals; below 10^12 the product is exact enough to round.
            write!(out, "{}", (availability * 1e10).round() / 1e10)?;
        }
        write!(out, ",{}", self.latencies.len())?;
        for k in PERCENTILES {
            field(self.percentile(k), out)?;
        }
        field(self.latencies.last().map(|max| milliseconds(*max)), out)?;
        let sum: u64 = self.latencies.iter().sum();
        field((!self.latencies.is_empty()).then(|| milliseconds(sum) / self.latencies.len() as f64), out)?;
        // The default rule: requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3.
        let healthy = self.requests < 60 || self.availability().is_some_and(|availability| availability > 99.0);
        writeln!(out, ",{},1", if healthy { "healthy" } else { "critical" })
    }

    /// 0 to 100; no value without requests.
    fn availability(&self) -> Option<f64> {
        (self.requests > 0).then(|| 100.0 * (self.requests - self.errors) as f64 / self.requests as f64)
    }

    /// Nearest rank, in ms: the value of rank max(1, ⌈n · k / 1000⌉) of the sorted latencies.
    fn percentile(&self, k: u64) -> Option<f64> {
        let rank = (self.latencies.len() as u64 * k).div_ceil(1000).max(1);
        self.latencies.get(rank as usize - 1).map(|nanos| milliseconds(*nanos))
    }
}

fn milliseconds(nanos: u64) -> f64 {
    nanos as f64 / 1e6
}

/// A field with its comma: the shortest decimal that reads back as the same number, or nothing.
fn field(value: Option<f64>, out: &mut impl Write) -> io::Result<()> {
    match value {
        Some(value) => write!(out, ",{value}"),
        None => write!(out, ","),
    }
}

#[cfg(test)]
mod tests;
