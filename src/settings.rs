//! Settings of the program: defaults < `golden.yaml` < `GOLDEN_*` environment < flags. Unknown keys are refused with a suggestion.
//!
//! Plain values; nothing is opened or started here. This file alone reads the environment.

use crate::failure::{Failure, suggestion};
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Yaml};
use figment::value::Value;
use golden_outputs::settings::OutputsSettings;
use golden_pipeline::emit::prometheus::Compatibility;
use golden_pipeline::settings::{PipelineSettings, Span};
use golden_router::deployment::Colour;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is read when it is there and no other is named.
const DEFAULT_FILE: &str = "golden.yaml";

/// All settings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// Folder for the log and all state.
    pub(crate) data: PathBuf,
    /// HTTP.
    pub(crate) http: HttpSettings,
    /// The embedded log.
    pub(crate) log: LogSettings,
    /// What is computed.
    pub(crate) pipeline: PipelineSettings,
    /// Mapping file of events that come by HTTP; none: the built-in names.
    pub(crate) mapping: Option<PathBuf>,
    /// What teams override for their services.
    pub(crate) overrides: OverridesSettings,
    /// How work is spread and committed.
    pub(crate) runtime: TaskSettings,
    /// By what a router's controller judges and flips.
    pub(crate) router: RouterSettings,
    /// What is kept for the API and pages.
    pub(crate) history: HistorySettings,
    /// What the web page links to.
    pub(crate) page: PageSettings,
    /// What the metrics page shows.
    pub(crate) metrics: MetricsSettings,
    /// Where results are sent.
    pub(crate) outputs: OutputsSettings,
    /// Where traces of the program itself go.
    pub(crate) traces: TracesSettings,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpSettings {
    /// Address to listen on.
    pub(crate) listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct LogSettings {
    /// Partitions of every topic. Cannot be changed on an existing data folder.
    pub(crate) partitions: u32,
    /// How long events are kept after they were appended.
    pub(crate) events_retention: Span,
    /// How long public records, late ledger and dead letters are kept.
    pub(crate) public_retention: Span,
    /// Bytes that stay free on the device; below it nothing is taken in.
    pub(crate) reserve_mib: u64,
    /// Where events come from.
    pub(crate) source: SourceSettings,
    /// Other topics that events come from; on Kafka only. New ones go to the end: a topic's place in the list is part of its coordinates.
    pub(crate) sources: Vec<OtherSource>,
    /// An Apache Kafka cluster in place of the embedded log.
    pub(crate) kafka: Option<platform_kafka::settings::Settings>,
    /// On Kafka: name of this process among those that share the work; none: one is made and kept in the data folder.
    pub(crate) instance: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SourceSettings {
    /// Topic that events are read from, and that HTTP writes to.
    pub(crate) topic: String,
    /// Whether others own the topic: it is then neither made nor changed, and may have any number of partitions. Kafka only.
    pub(crate) foreign: bool,
}

/// A topic of somebody else's, and what its records are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OtherSource {
    /// The topic.
    pub(crate) topic: String,
    /// Format of its records, where their fields have the usual names.
    #[serde(default)]
    pub(crate) format: Option<String>,
    /// Mapping file, which says the format too.
    #[serde(default)]
    pub(crate) mapping: Option<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TaskSettings {
    /// Longest time between two commits of a stage.
    pub(crate) commit_interval: Span,
    /// FOLD tasks; 0: one for each core, at most one for each partition.
    pub(crate) fold_tasks: usize,
    /// CLOSE tasks.
    pub(crate) close_tasks: usize,
    /// Bytes of output of a keyed stage in one transaction, in KiB; a window with more leaves in several.
    pub(crate) emit_kib: usize,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct OverridesSettings {
    /// Where bundles are published: `s3://bucket/prefix` or a folder; none: nothing is polled, and what is in force stays.
    pub(crate) from: Option<String>,
    /// How often it is asked for what is new, a tenth more or less; at least 1 s.
    pub(crate) poll: Span,
    /// Public key, as `golden overrides keygen` prints it: only bundles signed with its secret one are taken.
    pub(crate) public_key: Option<String>,
    /// How S3 is reached; what is not set comes from where AWS tools have it.
    pub(crate) s3: S3Settings,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct S3Settings {
    /// URL of a server that is not AWS.
    pub(crate) endpoint: Option<String>,
    /// Region of the bucket.
    pub(crate) region: Option<String>,
    /// Whether the bucket stands in the path of URLs; not set: where an endpoint is set.
    pub(crate) path_style: Option<bool>,
    /// File with credentials, in the form of `~/.aws/credentials`.
    pub(crate) credentials: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HistorySettings {
    /// How long single windows stay readable, in event time.
    pub(crate) retention: Span,
    /// How long sums of ten minutes do; at least as long.
    pub(crate) ten_minutes: Span,
    /// How long sums of hours do; at least as long.
    pub(crate) hours: Span,
    /// Most MiB of keys and values, before they are compressed; above it the oldest go first.
    pub(crate) max_mib: u64,
}

/// What the web page links to.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PageSettings {
    /// URL that shows a trace, with `{trace_id}` in it.
    pub(crate) trace_link: Option<String>,
    /// URL of Grafana.
    pub(crate) grafana: Option<String>,
}

/// What the metrics page shows, and by which names outputs push (docs/metrics.md).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MetricsSettings {
    /// Most series on the page: of each service first, then those with most errors and requests.
    pub(crate) max_series: usize,
    /// Whether there are gauges of quantiles, which cannot be aggregated.
    pub(crate) quantiles: bool,
    /// The same numbers under names of other tools.
    pub(crate) compatibility: CompatibilitySettings,
}

/// Names of other tools, each a switch.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompatibilitySettings {
    /// `http_server_request_duration_seconds`.
    pub(crate) http_server: bool,
    /// `rpc_server_call_duration_seconds`.
    pub(crate) rpc_server: bool,
    /// `traces_spanmetrics_calls_total`, `traces_spanmetrics_latency`.
    pub(crate) spanmetrics: bool,
    /// `traces_span_metrics_calls_total`, `traces_span_metrics_duration_seconds`.
    pub(crate) span_metrics: bool,
}

impl From<&CompatibilitySettings> for Compatibility {
    fn from(settings: &CompatibilitySettings) -> Self {
        let CompatibilitySettings { http_server, rpc_server, spanmetrics, span_metrics } = *settings;
        Self { http_server, rpc_server, spanmetrics, span_metrics }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TracesSettings {
    /// Which log lines are written: a level, or levels by module, as in `info,platform_runtime=debug`.
    pub(crate) filter: String,
    /// Whether log lines are JSON.
    pub(crate) json: bool,
    /// OTLP/HTTP endpoint, as in `http://127.0.0.1:4318/v1/traces`; none: traces are off.
    pub(crate) endpoint: Option<String>,
}

/// By what a router's controller judges and flips (docs/router.md).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouterSettings {
    /// Whether it flips, seals and gives up dead deployments without being asked.
    pub(crate) automatic: bool,
    /// Time between two probes.
    pub(crate) probe: Span,
    /// At how many of the last `of` probes a failure must show before it counts.
    pub(crate) failed: usize,
    /// See `failed`.
    pub(crate) of: usize,
    /// For how many probes in a row no failure must count before a standby is fit.
    pub(crate) recovered: usize,
    /// URLs of the processes of each colour, which are asked whether they are ready and how much of their input they put aside.
    pub(crate) health: BTreeMap<Colour, Vec<String>>,
    /// By how much the share of its input that the live deployment puts aside must exceed that of the standby to count as a failure, 0 to 1.
    pub(crate) error_share: f64,
    /// For how long the standby must have been ahead before the live one counts as behind.
    pub(crate) behind: Span,
    /// Most time by which a warm deployment lags behind its input and behind the live one.
    pub(crate) lag: Span,
    /// For how long it must have done so.
    pub(crate) warm: Span,
    /// How many windows must be equal in both before a planned flip.
    pub(crate) windows: usize,
    /// By which share of its events a window may differ in a planned flip, 0 to 1; 0: windows are equal bit by bit.
    pub(crate) tolerance: f64,
    /// Least time between two automatic flips, unless the live deployment is dead.
    pub(crate) between: Span,
    /// Most automatic flips in an hour.
    pub(crate) most: usize,
    /// How long the old deployment of a planned flip stays ready for a flip back.
    pub(crate) seal_after: Span,
    /// How long a receipt waits for the first window behind the cut.
    pub(crate) proof: Span,
}

impl Default for RouterSettings {
    fn default() -> Self {
        let checks = golden_router::settings::Checks::default();
        Self {
            automatic: checks.automatic,
            probe: Span(checks.probe),
            failed: checks.failed,
            of: checks.of,
            recovered: checks.recovered,
            health: BTreeMap::new(),
            error_share: checks.error_share,
            behind: Span(checks.behind),
            lag: Span(checks.lag),
            warm: Span(checks.warm),
            windows: checks.windows,
            tolerance: checks.tolerance,
            between: Span(checks.between),
            most: checks.most,
            seal_after: Span(checks.seal_after),
            proof: Span(checks.proof),
        }
    }
}

fn seconds(s: u64) -> Span {
    Span(Duration::from_secs(s))
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data"),
            http: HttpSettings::default(),
            log: LogSettings::default(),
            pipeline: PipelineSettings::default(),
            mapping: None,
            overrides: OverridesSettings::default(),
            runtime: TaskSettings::default(),
            router: RouterSettings::default(),
            history: HistorySettings::default(),
            page: PageSettings::default(),
            metrics: MetricsSettings::default(),
            outputs: OutputsSettings::default(),
            traces: TracesSettings::default(),
        }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8080)) }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            partitions: 4,
            events_retention: seconds(24 * 3600),
            public_retention: seconds(7 * 24 * 3600),
            reserve_mib: 256,
            source: SourceSettings::default(),
            sources: Vec::new(),
            kafka: None,
            instance: None,
        }
    }
}

impl Default for SourceSettings {
    fn default() -> Self {
        Self { topic: "service-events".to_owned(), foreign: false }
    }
}

impl Default for OverridesSettings {
    fn default() -> Self {
        Self { from: None, poll: seconds(300), public_key: None, s3: S3Settings::default() }
    }
}

impl Default for TaskSettings {
    fn default() -> Self {
        Self { commit_interval: seconds(1), fold_tasks: 0, close_tasks: 1, emit_kib: 8192 }
    }
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { max_series: 50_000, quantiles: false, compatibility: CompatibilitySettings::default() }
    }
}

impl Default for TracesSettings {
    fn default() -> Self {
        Self { filter: "info,platform_runtime=warn".to_owned(), json: false, endpoint: None }
    }
}

impl Default for HistorySettings {
    fn default() -> Self {
        let day = 24 * 3600;
        Self { retention: seconds(30 * day), ten_minutes: seconds(395 * day), hours: seconds(395 * day), max_mib: 20 << 10 }
    }
}

/// Settings and where each came from.
pub(crate) struct Loaded {
    pub(crate) settings: Settings,
    figment: Figment,
}

impl Loaded {
    /// Every setting on a line of its own, with its source behind it.
    pub(crate) fn lines(&self) -> Result<Vec<String>, Failure> {
        let values = Value::serialize(&self.settings).map_err(Failure::failed)?;
        let mut lines = Vec::new();
        walk(&values, &mut Vec::new(), &mut |path, value| {
            let origin = self.figment.find_metadata(path).map_or("default", |m| match m.name.as_ref() {
                name if name.contains("environment") => "environment",
                name if name.contains("YAML") => "file",
                _ => "default",
            });
            lines.push(format!("{path}: {value}  # {origin}"));
        });
        Ok(lines)
    }
}

/// Visits every leaf of a tree of settings with its dotted path.
fn walk(value: &Value, path: &mut Vec<String>, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::Dict(_, dict) if !dict.is_empty() => {
            for (key, value) in dict {
                path.push(key.clone());
                walk(value, path, visit);
                path.pop();
            }
        }
        leaf => {
            let text = serde_json::to_string(leaf).unwrap_or_default();
            visit(&path.join("."), &text);
        }
    }
}

/// Reads the settings.
///
/// # Errors
/// What cannot be used, where it stands, and what would be right.
pub(crate) fn load(file: Option<&Path>) -> Result<Loaded, Failure> {
    let mut given = Figment::new();
    let found = file.map(Path::to_owned).or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|p| p.exists()));
    if let Some(path) = &found {
        let text = std::fs::read_to_string(path).map_err(|e| Failure::usage(format!("cannot read settings {}: {e}", path.display())))?;
        given = given.merge(Yaml::string(&text));
    }
    let given = given.merge(Env::prefixed("GOLDEN_").ignore(&["fail_point"]).split("__"));
    let mut defaults = Settings::default();
    if given.find_value("pipeline.groupings").is_ok() {
        // Groupings are one choice: those that are given replace the default ones, and do not join them.
        defaults.pipeline.groupings.clear();
    }
    let figment = Figment::from(Serialized::defaults(defaults)).merge(given);
    let place = found.map_or_else(|| "the environment".to_owned(), |p| p.display().to_string());
    let mut settings: Settings = figment.extract().map_err(|error| Failure::usage(explain(error, &place)))?;
    if settings.log.kafka.is_none() {
        // One process gives all append times: there is nothing to be apart.
        settings.pipeline.broker_skew = Span(Duration::ZERO);
    }
    settings.pipeline.check().map_err(|e| Failure::usage(format!("{place}: {e}")))?;
    if settings.log.partitions == 0 || settings.log.partitions > 256 {
        return Err(Failure::usage(format!("{place}: log.partitions is {}, and must be from 1 to 256", settings.log.partitions)));
    }
    if settings.runtime.emit_kib == 0 || settings.runtime.emit_kib > 65_536 {
        return Err(Failure::usage(format!("{place}: runtime.emit_kib is {}, and must be from 1 to 65536", settings.runtime.emit_kib)));
    }
    if settings.overrides.poll < seconds(1) {
        return Err(Failure::usage(format!("{place}: overrides.poll is {}, and must be at least 1s", settings.overrides.poll)));
    }
    let RouterSettings { probe, failed, of, recovered, windows, lag, warm, error_share, tolerance, .. } = &settings.router;
    if *probe < seconds(1) {
        return Err(Failure::usage(format!("{place}: router.probe is {probe}, and must be at least 1s")));
    }
    if warm.0 < lag.0 + probe.0 {
        let least = Span(lag.0 + probe.0);
        return Err(Failure::usage(format!(
            "{place}: router.warm is {warm}, and must be at least {least}, which is router.lag and router.probe: else no two probes can be compared"
        )));
    }
    for url in settings.router.health.values().flatten() {
        let host = url.parse::<ureq::http::Uri>().ok().filter(|uri| uri.scheme().is_some() && uri.host().is_some());
        host.ok_or_else(|| Failure::usage(format!("{place}: router.health has `{url}`, and must have URLs like http://host:8080")))?;
    }
    for (name, share) in [("error_share", error_share), ("tolerance", tolerance)] {
        if !(0.0..=1.0).contains(share) {
            return Err(Failure::usage(format!("{place}: router.{name} is {share}, and must be from 0 to 1")));
        }
    }
    for (name, url) in [("trace_link", &settings.page.trace_link), ("grafana", &settings.page.grafana)] {
        let is_link = |url: &String| ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme));
        if let Some(url) = url.as_ref().filter(|url| !is_link(url)) {
            return Err(Failure::usage(format!("{place}: page.{name} is `{url}`, and must be a URL of http or https")));
        }
    }
    for (name, count, most) in [("failed", *failed, 30), ("of", *of, 30), ("recovered", *recovered, 30), ("windows", *windows, 60)] {
        if count == 0 || count > most {
            return Err(Failure::usage(format!("{place}: router.{name} is {count}, and must be from 1 to {most}")));
        }
    }
    let HistorySettings { retention, ten_minutes, hours, max_mib } = settings.history;
    for (name, kept, least_name, least) in
        [("ten_minutes", ten_minutes, "retention", retention), ("hours", hours, "ten_minutes", ten_minutes)]
    {
        if kept < least {
            return Err(Failure::usage(format!(
                "{place}: history.{name} is {kept}, and must be at least history.{least_name}, which is {least}"
            )));
        }
    }
    if max_mib < 64 {
        return Err(Failure::usage(format!("{place}: history.max_mib is {max_mib}, and must be at least 64")));
    }
    if settings.outputs.queue_mib == 0 {
        return Err(Failure::usage(format!("{place}: outputs.queue_mib is 0, and must be at least 1")));
    }
    if settings.runtime.close_tasks == 0 {
        return Err(Failure::usage(format!("{place}: runtime.close_tasks is 0, and must be at least 1")));
    }
    if settings.log.kafka.is_none() && !settings.log.sources.is_empty() {
        return Err(Failure::usage(format!("{place}: log.sources are topics of Kafka, and log.kafka is not set")));
    }
    let topics = settings.log.sources.iter().map(|other| &other.topic);
    let mut seen = std::collections::BTreeSet::from([&settings.log.source.topic]);
    if let Some(twice) = topics.into_iter().find(|topic| !seen.insert(topic)) {
        return Err(Failure::usage(format!("{place}: log.sources has topic {twice} twice: its events would count twice")));
    }
    if let Some(kafka) = &settings.log.kafka {
        kafka.check().map_err(|e| Failure::usage(format!("{place}: {e}")))?;
    }
    let named = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if let Some(instance) = settings.log.instance.as_ref().filter(|name| name.is_empty() || name.len() > 64 || !name.chars().all(named)) {
        return Err(Failure::usage(format!("{place}: log.instance is `{instance}`, and must be 1 to 64 letters, digits, `-` and `_`")));
    }
    Ok(Loaded { settings, figment })
}

/// Where tests want this process to stop (docs/faults.md). Not a setting: no file can hold it, and nothing shows it but the line at the start.
#[expect(clippy::disallowed_methods, reason = "this file reads the environment")]
pub(crate) fn fail_point() -> Option<String> {
    std::env::var("GOLDEN_FAIL_POINT").ok()
}

/// One message for whatever is wrong first.
fn explain(error: figment::Error, place: &str) -> String {
    let Some(first) = error.into_iter().next() else { return format!("{place}: the settings cannot be used") };
    let path = first.path.join(".");
    let from = first.metadata.as_ref().filter(|m| m.name.contains("environment")).map_or(place, |_| "the environment");
    match &first.kind {
        figment::error::Kind::UnknownField(field, known) => {
            let path = if path.is_empty() { field.clone() } else { path };
            format!("{from}: there is no setting `{path}`{}", suggestion(field, known.iter().copied()))
        }
        kind if path.is_empty() => format!("{from}: {kind}"),
        kind => format!("{from}: {path}: {kind}"),
    }
}

/// Cores of this machine, at least one.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_kept_for_30_days_and_sums_for_13_months_as_the_documents_say() {
        let HistorySettings { retention, ten_minutes, hours, max_mib } = Settings::default().history;
        assert_eq!([retention.to_string(), ten_minutes.to_string(), hours.to_string()], ["30d", "395d", "395d"]);
        let text = include_str!("../docs/settings.md");
        for (name, value) in [
            ("retention", "30d".to_owned()),
            ("ten_minutes", "395d".to_owned()),
            ("hours", "395d".to_owned()),
            ("max_mib", max_mib.to_string()),
        ] {
            assert!(text.contains(&format!("| `history.{name}` | `{value}` |")), "docs/settings.md says another default of history.{name}");
        }
    }

    #[test]
    fn every_setting_is_documented() {
        let text = include_str!("../docs/settings.md");
        let values = Value::serialize(Settings::default()).unwrap();
        walk(&values, &mut Vec::new(), &mut |path, _| {
            // Groupings are named by their users.
            let path = if path.starts_with("pipeline.groupings.") { "pipeline.groupings" } else { path };
            assert!(text.contains(path), "docs/settings.md does not name {path}");
        });
    }
}
