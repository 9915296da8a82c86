//! The command line: every command and flag, with the help that a newcomer reads.

use crate::overrides::OverridesArgs;
use crate::overrides::slo::SloArgs;
use crate::router::command::RouterArgs;
use crate::server::ServerArgs;
use clap::{Args, Parser, Subcommand, ValueEnum};
use golden_pipeline::settings::Span;
use golden_router::deployment::Colour;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Golden signals of your services: availability, requests, errors, latency and health, per service and minute, each event counted once.
#[derive(Debug, Parser)]
#[command(name = "golden", version, about, long_about = None, propagate_version = true, after_help = FIRST_STEPS)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const FIRST_STEPS: &str = "First steps:
  golden run --demo                       a small shop with incidents; open http://127.0.0.1:8080/
  golden run --demo --flip                the same, with a release that fails and is taken back
  golden replay access.log --format combined --service shop
                                          the signals of a file, as a table
  golden generate --events 100000 --out events.ndjson
  golden replay events.ndjson --output csv

Exit codes: 0 fine, 1 a failed check, 2 bad usage or input, 3 something it depends on is missing.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Takes events by HTTP and publishes signals, until it is stopped
    Run(RunArgs),
    /// Computes the signals of files, and ends
    Replay(ReplayArgs),
    /// Makes seeded load whose exact results are known
    Generate(GenerateArgs),
    /// Checks or shows the settings
    Config(ConfigArgs),
    /// Recomputes windows from the source and compares them with what was published; exit code 1 on any difference
    Verify(VerifyArgs),
    /// Shows or makes the Kafka topics that the settings need
    Topics(TopicsArgs),
    /// Checks, publishes and shows the overrides of teams (docs/overrides.md)
    Overrides(OverridesArgs),
    /// Takes over service levels that others have written down (docs/slo.md)
    Slo(SloArgs),
    /// Tells why a service had the level it had in a window
    Explain(ExplainArgs),
    /// Shows which deployment is forwarded, flips between both, and proves what a flip did (docs/router.md)
    Router(RouterArgs),
    /// Prints completions for a shell: `golden completions bash > /etc/bash_completion.d/golden`
    Completions {
        /// For which shell
        shell: clap_complete::Shell,
    },
}

/// Where settings come from.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Settings file; `golden.yaml` in this folder is read when there is one. Environment: GOLDEN_PIPELINE__WINDOW=10s and so on
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Feeds a seeded scenario of a small shop with incidents, in 10-second windows, from a data folder of its own
    #[arg(long)]
    pub(crate) demo: bool,
    /// Folder for the log and all state [default: data, or with --demo a new temporary folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Address to listen on [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Starts although acknowledged events were lost with the device's last writes
    #[arg(long)]
    pub(crate) accept_loss: bool,
    /// What this process does; without it everything. Processes that share a Kafka cluster may split the work
    #[arg(long, value_name = "ROLES", value_delimiter = ',')]
    pub(crate) role: Vec<Role>,
    /// Which deployment it computes, blue or green; both with `blue,green`. It joins the one that is there, or begins another
    #[arg(long, value_name = "COLOUR", value_delimiter = ',', default_value = "blue")]
    pub(crate) colour: Vec<Colour>,
    /// Begins a new deployment of its colour although one with the same version runs; never of the colour that is live
    #[arg(long)]
    pub(crate) fresh: bool,
    /// With --demo: both colours run, a release of green is flipped to, its health fails, and the controller flips back by itself
    #[arg(long, requires = "demo", conflicts_with_all = ["role", "colour"])]
    pub(crate) flip: bool,
    /// With --demo: starts a Kafka broker of its own and runs on it. Needs Java 17 and Maven
    #[arg(long, requires = "demo")]
    pub(crate) kafka: bool,
    /// Accepts a Kafka cluster of one broker and other settings that can lose data: for trying out
    #[arg(long)]
    pub(crate) dev: bool,
}

/// A part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Reads events and sums them
    Fold,
    /// Closes windows
    Close,
    /// Publishes one record for each series and window, of the deployment that is live, and flips between both
    Router,
    /// Keeps counters and gauges for Prometheus, at /metrics
    Sink,
    /// Answers the API and the page
    Api,
    /// Takes events by HTTP
    Ingest,
    /// Polls what teams have published and decides from when on it counts
    Control,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// Start of the first window, as in 2026-01-01T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// End of the last window
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
    /// One service alone
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Folder of the embedded log, which must not be in use [default: data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Name of the service
    #[arg(value_name = "SERVICE")]
    pub(crate) service: String,
    /// An instant in the window, as in 2026-01-01T00:00:00Z [default: the newest window]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// Its namespace, needed when several have a service of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Form of the answer
    #[arg(long, value_name = "FORM", default_value = "text")]
    pub(crate) format: AnswerForm,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AnswerForm {
    /// For people
    Text,
    /// One object
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct TopicsArgs {
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// What to do
    pub(crate) action: TopicsAction,
    /// Accepts a cluster of one broker: for trying out
    #[arg(long)]
    pub(crate) dev: bool,
}

/// What to do about topics.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum TopicsAction {
    /// Shows what is missing or unsafe; exit code 1 when anything is
    Plan,
    /// Makes what is missing, and mends settings
    Apply,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Files to read, in order; `-` is standard input. Plain, .gz or .zst
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Format of the files: json, otlp_json, otlp_proto, zipkin_json, jaeger_json, envoy_text, envoy_json, nginx_ingress, nginx_json,
    /// combined, cloudevents, avro [default: told by their first bytes]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Mapping file: which fields mean what (docs/mapping.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// What to sum by: service, and then operation, svc_host or tags
    #[arg(long, value_name = "NAMES", default_value = "service", value_delimiter = ',')]
    pub(crate) by: Vec<String>,
    /// Which moment of a request is its event time [default: end for spans, as given for the rest]
    #[arg(long, value_name = "MOMENT")]
    pub(crate) event_time: Option<Moment>,
    /// Service of events that name none
    #[arg(long, value_name = "NAME")]
    pub(crate) service: Option<String>,
    /// Kinds of spans that are requests [default: server,consumer]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    pub(crate) span_kinds: Vec<String>,
    /// Length of windows: a divisor of 1h, from 10s
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub(crate) window: Span,
    /// Closes windows as a live run does, with late events and corrections, in bounded memory
    #[arg(long)]
    pub(crate) streaming: bool,
    /// Form of the results
    #[arg(long, value_name = "FORM", default_value = "table")]
    pub(crate) output: OutputForm,
    /// File for what could not be read, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub(crate) dead_letters: Option<PathBuf>,
    /// Threads that read
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) threads: u16,
    /// Says nothing on standard error but errors
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Moment {
    /// When it began
    Start,
    /// When it was answered
    End,
    /// The time in the event as it is
    Given,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// For people
    Table,
    /// For spreadsheets and scripts
    Csv,
    /// The public records, one a line
    Ndjson,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// How many lines
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// Lines per second of event time; with --http also of wall time
    #[arg(long, value_name = "R", default_value_t = 10_000)]
    pub(crate) rate: u64,
    /// Same settings and seed, same lines
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// File to write, `-` for standard output
    #[arg(long, value_name = "FILE", conflicts_with_all = ["http", "kafka"])]
    pub(crate) out: Option<PathBuf>,
    /// Posts to a running `golden run` instead, as fast as --rate says, with event times of now
    #[arg(long, value_name = "URL", conflicts_with = "kafka")]
    pub(crate) http: Option<String>,
    /// Writes to a topic of these Kafka brokers instead, as fast as --rate says, with event times of now
    #[arg(long, value_name = "BOOTSTRAP")]
    pub(crate) kafka: Option<String>,
    /// Which topic
    #[arg(long, value_name = "NAME", default_value = "service-events")]
    pub(crate) topic: String,
    /// Writes the exact expected results: the columns of `replay --output csv`, percentiles by exact nearest rank
    #[arg(long, value_name = "FILE")]
    pub(crate) expect: Option<PathBuf>,
    /// Expected results by service and operation instead of by service
    #[arg(long, requires = "expect")]
    pub(crate) expect_by_operation: bool,
    /// Length of windows in the expected results
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    pub(crate) window: Span,
    /// Event time of the first line, RFC 3339 [default: 2026-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME")]
    pub(crate) start: Option<String>,
    /// How many services
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) services: u32,
    /// Operations of each service
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) keys: u32,
    /// Hosts of each service
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub(crate) hosts: u32,
    /// Exponent of Zipf's law over the series: 0 is all alike
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) zipf: f64,
    /// Share of errors, 0 to 1; every tenth service has ten times as many
    #[arg(long, value_name = "SHARE", default_value_t = 0.005)]
    pub(crate) errors: f64,
    /// Share of requests that their callers gave up (HTTP 499)
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) ignored: f64,
    /// Median latency of the typical service
    #[arg(long, value_name = "DURATION", default_value = "20ms")]
    pub(crate) latency: Span,
    /// Share of requests that take twenty times as long
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub(crate) slow: f64,
    /// Share of events without a latency
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) no_latency: f64,
    /// How far events are out of order, either way
    #[arg(long, value_name = "DURATION", default_value = "5s")]
    pub(crate) disorder: Span,
    /// Share of events that are older still
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) late: f64,
    /// Most by which those are older
    #[arg(long, value_name = "DURATION", default_value = "2m")]
    pub(crate) lateness: Span,
    /// Share of bad records, all kinds alike
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) bad: f64,
    /// Share of lines that repeat a recent one
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub(crate) duplicates: f64,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says whether the settings can be used; exit code 2 and the reason if not
    Check(SettingsArgs),
    /// Prints the settings in force, each with where it comes from
    Show(SettingsArgs),
}
