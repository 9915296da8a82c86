//! `golden run` in all roles on the topic, and what it publishes.

use crate::kafka::exact::{Key, Rows, equal, rfc3339};
use crate::kafka::{BOUND, PARTITIONS, connect};
use crate::measure::{Took, now, used_by_children};
use crate::running::Running;
use anyhow::{Context, Result, anyhow, ensure};
use golden_pipeline::decode::timestamp::{TimeUnit, Timestamps};
use golden_pipeline::emit::read::PublicRecord;
use golden_pipeline::names::{PIPELINE, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use platform_core::clock::Clock as _;
use platform_core::log::{Log as _, Polled, Reader, Subscription};
use platform_core::record::{Batch, Topic};
use platform_core::time::EventTime;
use platform_runtime::clock::SystemClock;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The program, and the settings it runs with.
pub(crate) struct Golden {
    program: PathBuf,
    folder: PathBuf,
    pub(crate) bootstrap: String,
    pub(crate) window: Duration,
}

/// What stands in the public topic, read as it comes.
pub(crate) struct Published {
    reader: Box<dyn Reader>,
    /// The newest revision of each row.
    pub(crate) rows: Rows,
    /// By partition: end of the newest window that it says is done, ns.
    through: Vec<i64>,
    /// Of each first result: end of its window, append time, when it was read; all ns.
    pub(crate) firsts: Vec<(i64, i64, i64)>,
}

impl Golden {
    /// Writes the settings; `pipeline` are those of the pipeline beside window and bound, `log` those of the log beside cluster and partitions.
    pub(crate) fn new(program: &Path, folder: &Path, bootstrap: &str, window: Duration, pipeline: &str, log: &str) -> Result<Self> {
        if folder.exists() {
            std::fs::remove_dir_all(folder)?;
        }
        std::fs::create_dir_all(folder)?;
        let settings = format!(
            "mapping: json.yaml\nlog: {{partitions: {PARTITIONS}, kafka: {{bootstrap: \"{bootstrap}\", dev: true}}{log}}}\n\
             pipeline: {{window: {}s, bound: {BOUND}s{pipeline}}}\nruntime: {{commit_interval: 1s}}\n",
            window.as_secs()
        );
        std::fs::write(folder.join("golden.yaml"), settings)?;
        // Records without headers are looked at twice, unless their format is declared, as a peer's is by its program.
        std::fs::write(folder.join("json.yaml"), "source: events\nformat: json\n")?;
        let program = std::path::absolute(program)?;
        Ok(Self { program, folder: folder.to_owned(), bootstrap: bootstrap.to_owned(), window })
    }

    /// Makes the topics that are missing, and forgets the data folder.
    pub(crate) fn prepare(&self) -> Result<()> {
        let data = self.folder.join("data");
        if data.exists() {
            std::fs::remove_dir_all(data)?;
        }
        let output = self.command(&["topics", "apply", "--dev"]).output()?;
        ensure!(output.status.success(), "golden topics apply: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts it.
    pub(crate) fn start(&self) -> Result<Running> {
        let log = File::create(self.folder.join("golden.log"))?;
        Ok(Running::new(self.command(&["run", "--listen", "127.0.0.1:0"]).stderr(log).spawn()?))
    }

    /// Runs until every window is published, and compares. CPU is that of the whole process, its start and stop included; the time is that
    /// until the last window could be read.
    pub(crate) fn run(&self, exact: &Rows, end: EventTime) -> Result<Took> {
        let (before, start) = (used_by_children()?, now());
        let mut running = self.start()?;
        let mut published = Published::open(&self.bootstrap)?;
        while !published.is_through(end) {
            published.poll()?;
            running.check(now().duration_since(start))?;
        }
        let wall = now().duration_since(start).as_secs_f64();
        let peak = running.peak()?;
        running.stop()?;
        let cpu = used_by_children()? - before;
        published.rows.retain(|(window, ..), _| *window < rfc3339(end.0));
        equal(&published.rows, exact)?;
        Ok(Took { wall, cpu, peak })
    }

    /// Runs with these arguments until something is so; CPU is that of the whole process.
    pub(crate) fn until(&self, args: &[&str], look: Duration, done: impl Fn() -> Result<bool>) -> Result<Took> {
        let (before, start) = (used_by_children()?, now());
        let log = File::create(self.folder.join("golden.log"))?;
        let mut running = Running::new(self.command(args).stderr(log).spawn()?);
        while !done()? {
            running.check(now().duration_since(start))?;
            std::thread::park_timeout(look);
        }
        let wall = now().duration_since(start).as_secs_f64();
        let peak = running.peak()?;
        running.stop()?;
        Ok(Took { wall, cpu: used_by_children()? - before, peak })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).current_dir(&self.folder);
        command
    }
}

impl Published {
    /// From the start of the public topic.
    pub(crate) fn open(bootstrap: &str) -> Result<Self> {
        let subscription = Subscription { group: None, topics: vec![Topic::new(PIPELINE)] };
        let reader = connect(bootstrap)?.reader(&subscription)?;
        Ok(Self { reader, rows: Rows::new(), through: vec![0; PARTITIONS as usize], firsts: Vec::new() })
    }

    /// Whether all windows up to `end` are done.
    pub(crate) fn is_through(&self, end: EventTime) -> bool {
        self.through.iter().all(|through| *through >= end.0)
    }

    /// Takes in what there is.
    pub(crate) fn poll(&mut self) -> Result<()> {
        if let Polled::Batch(batch) = self.reader.poll(Duration::from_millis(50))? {
            let seen = wall();
            take(batch, seen, &mut self.rows, &mut self.through, &mut self.firsts)?;
        }
        Ok(())
    }
}

fn take(batch: Batch<'_>, seen: i64, rows: &mut Rows, through: &mut [i64], firsts: &mut Vec<(i64, i64, i64)>) -> Result<()> {
    let mut times = Timestamps::new(TimeUnit::Rfc3339, None);
    for record in batch.iter() {
        let (schema, value) = (record.headers.get(SCHEMA), record.value.unwrap_or_default());
        if schema == Some(SCHEMA_SIGNALS.as_bytes()) {
            let public: PublicRecord<'_> = serde_json::from_slice(value)?;
            let operation = public.dimensions.get("operation").map(ToString::to_string);
            let key: Key = (public.window_start.to_string(), public.service.to_string(), operation);
            rows.insert(key, (public.requests.count, public.errors.count));
            if public.revision == 0 {
                let end = times.parse_text(&public.window_end).map_err(|_| anyhow!("no end of a window: {}", public.window_end))?;
                firsts.push((end, record.append_time.context("no append time")?.0, seen));
            }
        } else if schema == Some(SCHEMA_PROGRESS.as_bytes()) {
            let progress: serde_json::Value = serde_json::from_slice(value)?;
            let end = progress.get("window_end").and_then(serde_json::Value::as_i64).context("no window end")?;
            let through = through.get_mut(batch.partition.index as usize).context("more partitions than there are")?;
            *through = end.max(*through);
        }
    }
    Ok(())
}

/// ns since the epoch.
pub(crate) fn wall() -> i64 {
    SystemClock::new().wall()
}
