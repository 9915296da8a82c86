//! What is set of outputs, as under `outputs` in a settings file (docs/outputs.md). Plain values; no secret is ever shown.

use golden_pipeline::settings::Span;
use platform_core::secret::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// All outputs; none is on unless it is set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputsSettings {
    /// How much one output may have waiting, in MiB, in memory and on disk; above it, it reads no further.
    pub queue_mib: usize,
    /// Metrics by Prometheus remote write.
    pub remote_write: Option<RemoteWriteSettings>,
    /// Metrics by OTLP.
    pub otlp: Option<OtlpSettings>,
    /// Changes of health.
    pub webhook: Option<WebhookSettings>,
    /// The public topic once more, in Avro.
    pub avro: Option<AvroSettings>,
}

impl Default for OutputsSettings {
    fn default() -> Self {
        Self { queue_mib: 256, remote_write: None, otlp: None, webhook: None, avro: None }
    }
}

/// Metrics by Prometheus remote write.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteWriteSettings {
    /// Where to, as in `http://prometheus:9090/api/v1/write`.
    pub url: String,
    /// Which protocol.
    #[serde(default)]
    pub version: Version,
    /// Which histograms.
    #[serde(default)]
    pub histograms: Histograms,
    /// Labels that every series gets.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// How the receiver is reached.
    #[serde(default)]
    pub http: Access,
}

/// Version of remote write.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum Version {
    /// Refuses a whole request for one bad sample.
    #[serde(rename = "1.0")]
    V1,
    /// Takes what is good, says how much that was, and knows start times.
    #[default]
    #[serde(rename = "2.0")]
    V2,
}

/// Which histograms are sent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Histograms {
    /// With fixed buckets, which rules and alerts use.
    Classic,
    /// Native ones, which are finer and one series each.
    Native,
    /// Both.
    #[default]
    Both,
}

/// Metrics by OTLP.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OtlpSettings {
    /// Where to, as in `http://collector:4318/v1/metrics`, or `http://collector:4317` by gRPC; `https` works as well.
    pub url: String,
    /// Which protocol.
    #[serde(default)]
    pub protocol: Protocol,
    /// What counters and histograms say.
    #[serde(default)]
    pub temporality: Temporality,
    /// How the receiver is reached.
    #[serde(default)]
    pub http: Access,
}

/// What points of counters and histograms are.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// Totals since their start.
    #[default]
    Cumulative,
    /// What came since the last point: a point that is sent twice is counted twice.
    Delta,
}

/// How OTLP is spoken; always in protobuf.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Over HTTP.
    #[default]
    Http,
    /// By gRPC.
    Grpc,
}

/// Changes of health.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// Where to.
    pub url: String,
    /// What calls are signed with; the text itself, as from the environment.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file that holds nothing but the secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Hosts that may be called although their addresses are not public.
    #[serde(default)]
    pub allow: Vec<String>,
    /// Changes of windows that ended longer ago are not told any more.
    #[serde(default = "a_day")]
    pub max_age: Span,
    /// How the receiver is reached.
    #[serde(default)]
    pub http: Access,
}

/// The public topic once more, in Avro.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AvroSettings {
    /// Topic of the copies, in the same log.
    pub topic: String,
    /// What stands in front of each datum.
    pub frame: Frame,
    /// Under which name the registry has the schema; none: that of the topic and `-value`, as serializers have it.
    pub subject: Option<String>,
    /// Whether the schema is registered when the registry does not have it; else somebody else has to.
    pub register: bool,
}

impl Default for AvroSettings {
    fn default() -> Self {
        Self { topic: "golden-signals.avro".to_owned(), frame: Frame::default(), subject: None, register: true }
    }
}

/// By what readers find the schema of a datum.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Frame {
    /// The number that a schema registry gives it.
    #[default]
    Confluent,
    /// Its fingerprint: Avro's single-object encoding.
    SingleObject,
}

fn a_day() -> Span {
    Span(Duration::from_secs(24 * 3600))
}

/// How a receiver is reached.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// How long a call may take.
    pub timeout: Span,
    /// How long calls are made again that were denied for something that whoever runs the receiver can repair; then they are dropped.
    pub patience: Span,
    /// Headers of each call, as `X-Scope-OrgID`; their values are not shown.
    pub headers: BTreeMap<String, Secret>,
    /// A bearer token; the text itself, as from the environment.
    pub bearer: Option<Secret>,
    /// A file that holds nothing but the token. Read with each call.
    pub bearer_file: Option<PathBuf>,
    /// Who calls.
    pub user: Option<String>,
    /// The user's password; the text itself.
    pub password: Option<Secret>,
    /// A file that holds nothing but the password. Read with each call.
    pub password_file: Option<PathBuf>,
    /// Who is trusted, PEM; none: the system's list.
    pub ca: Option<PathBuf>,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            timeout: Span(Duration::from_secs(10)),
            patience: Span(Duration::from_secs(3600)),
            headers: BTreeMap::new(),
            bearer: None,
            bearer_file: None,
            user: None,
            password: None,
            password_file: None,
            ca: None,
        }
    }
}

/// Why an output cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadOutput {
    /// No URL that could be called.
    #[error("outputs.{name}.url is `{url}`, and must begin with http:// or https://")]
    Url {
        /// Of which output.
        name: &'static str,
        /// What is set.
        url: String,
    },
    /// The way to the receiver.
    #[error("outputs.{name}: {why}")]
    Access {
        /// Of which output.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// A label that would make series wrong.
    #[error("outputs.remote_write.labels.{label}: {why}")]
    Label {
        /// Its name.
        label: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A header that calls have already, or that cannot be sent.
    #[error("outputs.{name}.http.headers: `{header}` {why}")]
    Header {
        /// Of which output.
        name: &'static str,
        /// Which one.
        header: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A call that nobody could trust.
    #[error("outputs.webhook needs a secret or a secret_file of at least 16 bytes: calls are signed with it")]
    Unsigned,
    /// The thread.
    #[error("an output's thread cannot be started: {0}")]
    Thread(std::io::Error),
}
