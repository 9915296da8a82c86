//! The same job in Flink and in Kafka Streams, built elsewhere: whole processes on the same topic, and what they say.
//!
//! Their program, options and one file of results (`window start in ms,service,operation,method,requests,errors,…`) are given; this only runs
//! them as they are and compares counts.

use crate::kafka::events::CLOSING;
use crate::kafka::exact::{Rows, equal, rfc3339};
use crate::kafka::golden::wall;
use crate::kafka::{PARTITIONS, TOPIC};
use crate::measure::{Took, measured};
use anyhow::{Context, Result};
use platform_core::time::{EventTime, SECOND};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Cases by their names in the table.
pub(crate) const FLINK: &str = "Flink, checkpoints every 10 s";
pub(crate) const COMBINED: &str = "Flink, combined by hand, checkpoints every 10 s";
pub(crate) const STREAMS: &str = "Kafka Streams, exactly once, commits every 10 s";

/// What every Java program gets: 1 GiB of heap, and the collector with the least work beside.
const JAVA: [&str; 9] = [
    "java",
    "-Xms1g",
    "-Xmx1g",
    "-XX:+UseSerialGC",
    "-XX:+UseTransparentHugePages",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.time=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
];

/// One of them.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Jars, relative to the folder of built peers.
    classes: PathBuf,
    program: Vec<String>,
    folder: PathBuf,
    /// Kafka Streams keeps topics of its own: each run has another name.
    named: bool,
}

/// All of them. `built` holds their jars; `end` is the end of the last window.
pub(crate) fn all(built: &Path, folder: &Path, bootstrap: &str, events: u64, exact: &Rows, end: EventTime) -> Vec<Peer> {
    let out = [format!("--out={}", folder.display()), format!("--kafka={bootstrap}")];
    let peer = |name, part: &str, options: &[String]| Peer {
        name,
        classes: built.join(part).join("lib/*"),
        program: out.iter().chain(options).cloned().collect(),
        folder: folder.to_owned(),
        named: part == "kstreams",
    };
    let state = folder.join("state");
    let text = |options: &[&str]| options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>();
    let mut flink = text(&["--parallelism=2", "--checkpoint=10000"]);
    flink.push(format!("--checkpoints={}", state.display()));
    let combined: Vec<String> = flink.iter().cloned().chain(["--combine".to_owned()]).collect();
    // Its windows close when event time goes on by more than the grace, which brokers allow up to an hour ahead of them; then it has one row more, that of the closing events.
    let rows = exact.keys().filter(|(.., operation)| operation.is_some()).count() + 1;
    let mut streams = text(&["--threads=2", "--grace=1200", "--guarantee=exactly_once_v2"]);
    streams.extend([
        format!("--state-dir={}", state.display()),
        format!("--stop-after={rows}"),
        format!("--events={}", events + u64::from(PARTITIONS)),
        format!("--markers-at={}", end.0 / 1_000_000 + 1_800_000),
    ]);
    vec![peer(FLINK, "flink", &flink), peer(COMBINED, "flink", &combined), peer(STREAMS, "kstreams", &streams)]
}

impl Peer {
    /// Runs it from nothing and compares.
    pub(crate) fn run(&self, exact: &Rows) -> Result<Took> {
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        std::fs::create_dir_all(self.folder.join("state"))?;
        let mut command: Vec<OsString> = JAVA.map(OsString::from).into();
        command.extend(["-cp".into(), self.classes.clone().into()]);
        command.push(if self.named { "peers.StreamsJob".into() } else { "peers.FlinkJob".into() });
        command.extend(self.program.iter().map(OsString::from));
        if self.named {
            let name = format!("peer-{}", wall());
            command.extend([format!("--app={name}"), format!("--markers={name}-markers")].map(OsString::from));
        }
        command.push(TOPIC.into());
        let took = measured(&command, Stdio::null(), &self.folder.join("said.txt"))?;
        equal(&read(&self.folder.join("result.csv"))?, exact)?;
        Ok(took)
    }
}

/// Rows of a result, and their sums by service.
fn read(path: &Path) -> Result<Rows> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut rows = Rows::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(',').collect();
        let [start, service, operation, _method, requests, errors, ..] = fields.as_slice() else { continue };
        if *service == CLOSING {
            continue;
        }
        let window = rfc3339(start.parse::<i64>()? * (SECOND / 1000));
        for operation in [None, Some((*operation).to_owned())] {
            let row = rows.entry((window.clone(), (*service).to_owned(), operation)).or_default();
            row.0 += requests.parse::<u64>()?;
            row.1 += errors.parse::<u64>()?;
        }
    }
    Ok(rows)
}
