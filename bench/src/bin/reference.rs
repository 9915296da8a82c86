//! The plain reference: what a good engineer writes in an afternoon with `serde_json`, `HashMap` and `hdrhistogram`.
//!
//! Reads NDJSON in the field names of our `json` format, one thread, and prints the columns of `golden replay --output csv`. It borrows
//! from the line, reuses its buffers, looks keys up without allocating and closes windows behind a watermark, so memory stays small: a
//! fair opponent, not a straw man. It does no more than the generated file needs: no dead letters, no late data beyond ten seconds, no
//! sampling weights, no other format, no state that outlives the process.
#![expect(clippy::disallowed_types, reason = "the standard HashMap is the point of a plain reference; what leaves the process is sorted")]

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};

const SECOND: i64 = 1_000_000_000;
const WINDOW: i64 = 60 * SECOND;
/// How far behind the newest event time a window's end must lie before it closes.
const BOUND: i64 = 10 * SECOND;

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow)]
    service: Cow<'a, str>,
    #[serde(borrow)]
    operation: Cow<'a, str>,
    status: u16,
    latency_ms: Option<f64>,
}

struct Signals {
    requests: u64,
    errors: u64,
    /// µs
    latency: Histogram<u32>,
    sum_nanos: u64,
    max_nanos: u64,
}

impl Signals {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, 3_600_000_000, 2)?;
        Ok(Self { requests: 0, errors: 0, latency, sum_nanos: 0, max_nanos: 0 })
    }

    fn record(&mut self, event: &Event<'_>) {
        self.requests += 1;
        self.errors += u64::from(event.status >= 500);
        if let Some(ms) = event.latency_ms {
            let nanos = (ms * 1e6).round() as u64;
            self.latency.saturating_record(nanos.div_ceil(1000));
            self.sum_nanos += nanos;
            self.max_nanos = self.max_nanos.max(nanos);
        }
    }
}

/// Signals of one window by `service,operation`.
type Window = HashMap<String, Signals>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (path, parse_only) = match args.as_slice() {
        [path] => (path, false),
        [flag, path] if flag == "--parse-only" => (path, true),
        _ => bail!("usage: golden-reference [--parse-only] FILE"),
    };
    let mut input = BufReader::with_capacity(1 << 20, File::open(path).with_context(|| format!("cannot open {path}"))?);
    let mut out = BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut open: BTreeMap<i64, Window> = BTreeMap::new();
    let (mut line, mut key) = (Vec::new(), String::new());
    let (mut newest, mut closed_up_to, mut events, mut checksum) = (i64::MIN, i64::MIN, 0_u64, 0_i64);
    if !parse_only {
        write!(out, "window_start,service,operation,requests,errors,availability_pct,latency_count")?;
        writeln!(out, ",p50_ms,p75_ms,p90_ms,p95_ms,p99_ms,p999_ms,max_ms,mean_ms,health,completeness")?;
    }
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        events += 1;
        let event: Event<'_> = serde_json::from_slice(&line).with_context(|| format!("line {events}"))?;
        let time = nanos_of(&event.timestamp).with_context(|| format!("line {events}: not a timestamp"))?;
        if parse_only {
            checksum = checksum.wrapping_add(time ^ event.service.len() as i64 ^ event.operation.len() as i64 ^ i64::from(event.status));
            continue;
        }
        let start = time - time.rem_euclid(WINDOW);
        if start < closed_up_to {
            bail!("line {events}: more than {}s late", BOUND / SECOND);
        }
        key.clear();
        key.push_str(&event.service);
        key.push(',');
        key.push_str(&event.operation);
        let window = open.entry(start).or_default();
        if let Some(signals) = window.get_mut(&key) {
            signals.record(&event);
        } else {
            window.entry(key.clone()).or_insert(Signals::new()?).record(&event);
        }
        if time > newest {
            newest = time;
            while let Some(first) = open.first_entry().filter(|first| first.key() + WINDOW + BOUND <= newest) {
                closed_up_to = first.key() + WINDOW;
                write_window(*first.key(), first.get(), &mut out)?;
                first.remove();
            }
        }
    }
    for (start, window) in &open {
        write_window(*start, window, &mut out)?;
    }
    if parse_only {
        writeln!(out, "decoded={events} checksum={checksum:x}")?;
    }
    Ok(out.flush()?)
}

fn write_window(start: i64, window: &Window, out: &mut impl Write) -> Result<()> {
    let mut rows: Vec<_> = window.iter().collect();
    rows.sort_unstable_by_key(|(key, _)| *key);
    let start = date(start / SECOND);
    for (key, signals) in rows {
        let Signals { requests, errors, latency, sum_nanos, max_nanos } = signals;
        let availability = 100.0 * (requests - errors) as f64 / *requests as f64;
        write!(out, "{start},{key},{requests},{errors},{},{}", (availability * 1e10).round() / 1e10, latency.len())?;
        if latency.is_empty() {
            write!(out, ",,,,,,,,")?;
        } else {
            let max = *max_nanos as f64 / 1e6;
            for quantile in [0.5, 0.75, 0.9, 0.95, 0.99, 0.999] {
                write!(out, ",{}", (latency.value_at_quantile(quantile) as f64 / 1e3).min(max))?;
            }
            write!(out, ",{max},{}", *sum_nanos as f64 / 1e6 / latency.len() as f64)?;
        }
        let healthy = *requests < 60 || availability > 99.0;
        writeln!(out, ",{},1", if healthy { "healthy" } else { "critical" })?;
    }
    Ok(())
}

/// `2026-01-01T00:00:00.123456789Z` to ns since 1970; the fraction may have one to nine digits or be absent.
fn nanos_of(text: &str) -> Option<i64> {
    let number = |range| text.get(range).and_then(|digits: &str| digits.parse::<i64>().ok());
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fraction = text.get(19..)?.strip_suffix('Z')?;
    let nanos = match fraction.strip_prefix('.') {
        Some(digits) => digits.parse::<i64>().ok()? * 10_i64.pow(9_u32.checked_sub(digits.len() as u32)?),
        None if fraction.is_empty() => 0,
        None => return None,
    };
    // Days since 1970, in years that begin on 1 March.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((days * 86_400 + hour * 3600 + minute * 60 + second) * SECOND + nanos)
}

/// Seconds since 1970 as `2026-01-01T00:00:00Z`.
fn date(second: i64) -> String {
    let (days, of_day) = (second.div_euclid(86_400) + 719_468, second.rem_euclid(86_400));
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (year_of_era + era * 400 + i64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3600, of_day / 60 % 60, of_day % 60)
}
