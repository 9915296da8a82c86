//! Results of `golden replay` on standard output: a table for people, CSV for scripts, or the public records as they are.
//!
//! Reads nothing but public records. Of several partitions the rows come in the order of identities: window, service, dimensions.

use crate::commands::OutputForm;
use golden_pipeline::emit::read::{Durations, PublicRecord};
use golden_pipeline::names::{IDENTITY, SCHEMA};
use platform_core::record::Record;
use platform_runtime::bounded::Chain;
use platform_runtime::task::TaskError;
use std::collections::VecDeque;
use std::io::{self, BufWriter, Stdout, Write};

/// Rows of a table that are laid out together.
const TABLE_ROWS: usize = 1000;

/// Why results could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutputError {
    #[error("cannot write the results: {0}")]
    Io(#[from] io::Error),
    #[error("a result cannot be read back: {0}")]
    Record(#[from] serde_json::Error),
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Writes results.
pub(super) struct Output {
    form: OutputForm,
    dimensions: Vec<String>,
    schema: &'static str,
    out: BufWriter<Stdout>,
    header_done: bool,
    rows: u64,
    table: Vec<Vec<String>>,
    /// The first error, kept until somebody can be told.
    failed: Option<OutputError>,
}

impl Output {
    pub(super) fn new(form: OutputForm, dimensions: &[String], schema: &'static str) -> Self {
        let out = BufWriter::with_capacity(1 << 20, io::stdout());
        Self { form, dimensions: dimensions.to_vec(), schema, out, header_done: false, rows: 0, table: vec![], failed: None }
    }

    /// Takes a record of the public topic; others than results are passed over.
    pub(super) fn record(&mut self, record: &Record<'_>) {
        if record.headers.get(SCHEMA) == Some(self.schema.as_bytes())
            && self.failed.is_none()
            && let Err(error) = self.row(record.value.unwrap_or_default())
        {
            self.failed = Some(error);
        }
    }

    /// Takes what the chains still give, merged by identity.
    pub(super) fn chains(&mut self, mut chains: Vec<Chain>) -> Result<(), OutputError> {
        let mut queues: Vec<VecDeque<(Vec<u8>, Vec<u8>)>> = chains.iter().map(|_| VecDeque::new()).collect();
        let mut live: Vec<bool> = chains.iter().map(|_| true).collect();
        loop {
            for ((chain, queue), live) in chains.iter_mut().zip(&mut queues).zip(&mut live) {
                while *live && queue.is_empty() {
                    match chain.next_batch()? {
                        Some(batch) => queue.extend(
                            batch
                                .iter()
                                .filter(|r| r.headers.get(SCHEMA) == Some(self.schema.as_bytes()))
                                .map(|r| (r.headers.get(IDENTITY).unwrap_or_default().to_vec(), r.value.unwrap_or_default().to_vec())),
                        ),
                        None => *live = false,
                    }
                }
            }
            let next = queues.iter_mut().filter(|q| !q.is_empty()).min_by(|a, b| a.front().cmp(&b.front()));
            let Some((_, value)) = next.and_then(VecDeque::pop_front) else { return Ok(()) };
            self.row(&value)?;
        }
    }

    /// Writes what is left and gives the number of rows.
    pub(super) fn finish(mut self) -> Result<u64, OutputError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if self.form == OutputForm::Csv {
            self.csv_header()?;
        }
        self.flush_table()?;
        self.out.flush()?;
        Ok(self.rows)
    }

    fn row(&mut self, value: &[u8]) -> Result<(), OutputError> {
        self.rows += 1;
        match self.form {
            OutputForm::Ndjson => {
                self.out.write_all(value)?;
                self.out.write_all(b"\n")?;
            }
            OutputForm::Csv => {
                self.csv_header()?;
                let record: PublicRecord<'_> = serde_json::from_slice(value)?;
                let cells = self.cells(&record);
                for (i, cell) in cells.iter().enumerate() {
                    let separator = if i == 0 { "" } else { "," };
                    write!(self.out, "{separator}{}", quoted(cell))?;
                }
                writeln!(self.out)?;
            }
            OutputForm::Table => {
                let record: PublicRecord<'_> = serde_json::from_slice(value)?;
                let row = self.table_row(&record);
                self.table.push(row);
                if self.table.len() >= TABLE_ROWS {
                    self.flush_table()?;
                }
            }
        }
        Ok(())
    }

    fn csv_header(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.header_done, true) {
            return Ok(());
        }
        let dimensions: String = self.dimensions.iter().map(|d| format!(",{}", quoted(d))).collect();
        writeln!(
            self.out,
            "window_start,service{dimensions},requests,errors,availability_pct,latency_count,p50_ms,p75_ms,p90_ms,p95_ms,p99_ms,p999_ms,max_ms,mean_ms,health,completeness,namespace,ignored,status_4xx,late_events,revision"
        )
    }

    /// The cells of a CSV row; an empty one has no value.
    fn cells(&self, record: &PublicRecord<'_>) -> Vec<String> {
        let mut cells = vec![record.window_start.to_string(), record.service.to_string()];
        cells.extend(self.dimensions.iter().map(|d| record.dimensions.get(d.as_str()).map(ToString::to_string).unwrap_or_default()));
        let all = record.latency.as_ref().and_then(|l| l.all.as_ref());
        let of = |pick: fn(&Durations) -> Option<f64>| all.and_then(pick).map(|v| v.to_string()).unwrap_or_default();
        cells.extend([record.requests.count.to_string(), record.errors.count.to_string()]);
        cells.push(availability(record).map(|v| v.to_string()).unwrap_or_default());
        cells.push(all.map_or(0, |l| l.count).to_string());
        cells.extend([
            of(|l| l.p50),
            of(|l| l.p75),
            of(|l| l.p90),
            of(|l| l.p95),
            of(|l| l.p99),
            of(|l| l.p999),
            of(|l| Some(l.max)),
            of(|l| Some(l.mean)),
        ]);
        cells.push(record.health.as_ref().map(|h| h.state.to_string()).unwrap_or_default());
        cells.push(record.completeness.to_string());
        cells.push(record.service_namespace.to_string());
        cells.extend(
            [record.ignored, record.status_classes.get("4xx").copied().unwrap_or(0), record.late_events, record.revision]
                .map(|v| v.to_string()),
        );
        cells
    }

    fn table_row(&self, record: &PublicRecord<'_>) -> Vec<String> {
        let mut row = vec![record.window_start.trim_end_matches('Z').replace('T', " "), record.service.to_string()];
        row.extend(self.dimensions.iter().map(|d| record.dimensions.get(d.as_str()).map(ToString::to_string).unwrap_or_default()));
        let all = record.latency.as_ref().and_then(|l| l.all.as_ref());
        let of = |pick: fn(&Durations) -> Option<f64>| all.and_then(pick).map_or_else(|| "-".to_owned(), |v| format!("{v:.1}"));
        row.extend([record.requests.count.to_string(), record.errors.count.to_string()]);
        row.push(availability(record).map_or_else(|| "-".to_owned(), |v| format!("{v:.2} %")));
        row.extend([of(|l| l.p50), of(|l| l.p90), of(|l| l.p99), of(|l| Some(l.max))]);
        row.push(record.health.as_ref().map_or_else(|| "-".to_owned(), |h| h.state.to_string()));
        row
    }

    fn flush_table(&mut self) -> io::Result<()> {
        if self.form != OutputForm::Table || self.table.is_empty() && self.header_done {
            return Ok(());
        }
        let mut titles = vec!["window".to_owned(), "service".to_owned()];
        titles.extend(self.dimensions.iter().cloned());
        titles.extend(["requests", "errors", "availability", "p50 ms", "p90 ms", "p99 ms", "max ms", "health"].map(str::to_owned));
        let widths: Vec<usize> = titles
            .iter()
            .enumerate()
            .map(|(i, title)| {
                self.table.iter().filter_map(|row| row.get(i)).map(|c| c.chars().count()).chain([title.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let texts = 2 + self.dimensions.len();
        let last = titles.len() - 1;
        let rows = std::mem::take(&mut self.table);
        let shown = (!std::mem::replace(&mut self.header_done, true)).then_some(titles).into_iter().chain(rows);
        for row in shown {
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = if i == 0 { "" } else { "  " };
                if i == last {
                    write!(self.out, "{gap}{cell}")?;
                } else if i < texts {
                    write!(self.out, "{gap}{cell:<width$}")?;
                } else {
                    write!(self.out, "{gap}{cell:>width$}")?;
                }
            }
            writeln!(self.out)?;
        }
        Ok(())
    }
}

/// 100 · (requests − errors) / requests, rounded to 10 decimals.
fn availability(record: &PublicRecord<'_>) -> Option<f64> {
    let (requests, errors) = (record.requests.count, record.errors.count);
    (requests > 0).then(|| (100.0 * (requests - errors) as f64 / requests as f64 * 1e10).round() / 1e10)
}

/// A cell as CSV needs it (RFC 4180). Cells that spreadsheets would take for formulas are left as they are: this is data.
fn quoted(cell: &str) -> std::borrow::Cow<'_, str> {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")).into() } else { cell.into() }
}
