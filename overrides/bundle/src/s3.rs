//! Objects in S3, or in what speaks its language.
//!
//! Calls block, so they belong on a thread of their own, never on one that runs async code. Each ends within the patience that is set: a
//! server that stands still is an error like one that is away. Requests are tried up to three times, so **an answer may be lost and the write
//! done**, as the trait says. Bodies are signed and carry a checksum. A client that has failed ten times in a row is made anew, since a client
//! may stay stuck after an outage; that also reads credentials again.

use crate::blob::{Blob, BlobError, Got, Put, When};
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// Failures in a row after which a client is made anew.
const STUCK: u32 = 10;
const ATTEMPTS: u32 = 3;

/// How S3 is reached. What is not set here comes from where AWS tools have it: environment, profile, role of the machine or pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// URL of a server that is not AWS.
    pub endpoint: Option<String>,
    /// Region; of other servers mostly meaningless, then `us-east-1`.
    pub region: Option<String>,
    /// Whether the bucket stands in the path, not in the host name; when not set, it does so where an endpoint is set.
    pub path_style: Option<bool>,
    /// File with credentials, in the form of `~/.aws/credentials`.
    pub credentials: Option<PathBuf>,
    /// How long a call may take.
    pub patience: Duration,
}

impl Default for S3Settings {
    fn default() -> Self {
        Self { endpoint: None, region: None, path_style: None, credentials: None, patience: Duration::from_secs(20) }
    }
}

/// The system gives no means to reach S3.
#[derive(Debug, thiserror::Error)]
#[error("cannot reach S3 from this process")]
pub struct S3Error(#[from] std::io::Error);

/// Objects in a bucket.
pub struct S3 {
    bucket: String,
    prefix: String,
    settings: S3Settings,
    runtime: Runtime,
    client: RefCell<Held>,
}

#[derive(Default)]
struct Held {
    client: Option<Client>,
    failures: u32,
}

impl S3 {
    /// Objects of a bucket below a prefix. Nothing is asked of it yet.
    ///
    /// # Errors
    /// When the system has no more sockets or the like.
    pub fn new(bucket: &str, prefix: &str, settings: S3Settings) -> Result<Self, S3Error> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), settings, runtime, client: RefCell::default() })
    }

    fn key(&self, key: &str) -> String {
        if self.prefix.is_empty() { key.to_owned() } else { format!("{}/{key}", self.prefix) }
    }

    /// Runs one call within the patience, with a client that is not stuck.
    fn call<T>(&self, key: &str, call: impl AsyncFnOnce(Client) -> Result<T, String>) -> Result<T, BlobError> {
        let patience = self.settings.patience;
        let bounded = async {
            let client = self.client().await;
            call(client).await
        };
        let late = || Err(format!("no answer within {} s; check the network and the server", patience.as_secs_f32()));
        let result = self.runtime.block_on(async { tokio::time::timeout(patience, bounded).await.unwrap_or_else(|_| late()) });
        let mut held = self.client.borrow_mut();
        held.failures = if result.is_ok() { 0 } else { held.failures + 1 };
        if held.failures >= STUCK {
            *held = Held::default();
        }
        result.map_err(|reason| BlobError { url: self.url(key), reason })
    }

    async fn client(&self) -> Client {
        let held = self.client.borrow().client.clone();
        if let Some(client) = held {
            return client;
        }
        let client = connect(&self.settings).await;
        self.client.borrow_mut().client = Some(client.clone());
        client
    }
}

async fn connect(settings: &S3Settings) -> Client {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(settings.patience / 4)
        .operation_attempt_timeout(settings.patience / 2)
        .operation_timeout(settings.patience)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts)
        // Timeouts are set above; this guard would take a server that pauses for a moment as broken.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(path) = &settings.credentials {
        let files = EnvConfigFiles::builder().with_file(EnvConfigFileKind::Credentials, path).build();
        let provider = ProfileFileCredentialsProvider::builder().profile_files(files).build();
        loader = loader.credentials_provider(provider);
    }
    let loaded = loader.load().await;
    let mut config = aws_sdk_s3::config::Builder::from(&loaded)
        .request_checksum_calculation(RequestChecksumCalculation::WhenSupported)
        .response_checksum_validation(ResponseChecksumValidation::WhenSupported)
        .force_path_style(settings.path_style.unwrap_or(loaded.endpoint_url().is_some()));
    if loaded.region().is_none() {
        config = config.region(Region::from_static("us-east-1"));
    }
    Client::from_conf(config.build())
}

impl Blob for S3 {
    fn url(&self, key: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(key))
    }

    fn get(&self, key: &str, known: Option<&str>, most: usize) -> Result<Got, BlobError> {
        self.call(key, async |client| {
            let request = client.get_object().bucket(&self.bucket).key(self.key(key)).set_if_none_match(known.map(str::to_owned));
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) => {
                    return match answered(&error) {
                        Some((304, _)) if known.is_some() => Ok(Got::Same),
                        Some((404, "NoSuchKey")) => Ok(Got::Missing),
                        _ => Err(reason(&error)),
                    };
                }
            };
            let etag = answer.e_tag.ok_or("the answer has no ETag")?;
            let mut content = Vec::new();
            let mut body = answer.body;
            while let Some(part) = body.next().await {
                content.extend_from_slice(&part.map_err(|error| format!("the answer breaks off: {}", DisplayErrorContext(&error)))?);
                if content.len() > most {
                    return Ok(Got::TooLarge);
                }
            }
            Ok(Got::Found { content, etag })
        })
    }

    fn put(&self, key: &str, content: &[u8], when: When<'_>) -> Result<Put, BlobError> {
        self.call(key, async |client| {
            let request = client.put_object().bucket(&self.bucket).key(self.key(key)).body(ByteStream::from(content.to_vec()));
            let request = match when {
                When::Always => request,
                When::Absent => request.if_none_match("*"),
                When::Is(etag) => request.if_match(etag),
            };
            match request.send().await {
                // An answer that is no answer of S3, such as an error behind a status of 200, has none.
                Ok(answer) => answer.e_tag.map(|_| Put::Done).ok_or_else(|| "the answer has no ETag".to_owned()),
                Err(error) => match answered(&error) {
                    Some((412, _)) => Ok(Put::Refused),
                    Some((409, "ConditionalRequestConflict" | "OperationAborted")) => Ok(Put::Refused),
                    Some((404, "NoSuchKey")) if matches!(when, When::Is(_)) => Ok(Put::Refused),
                    _ => Err(reason(&error)),
                },
            }
        })
    }
}

/// Status and code of an answer, if there was one.
fn answered<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<(u16, &str)> {
    error.raw_response().map(|answer| (answer.status().as_u16(), error.code().unwrap_or_default()))
}

/// What happened, and what can be done about it.
fn reason<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &SdkError<E>) -> String {
    let Some((status, code)) = answered(error) else {
        let all = DisplayErrorContext(error).to_string();
        return if all.contains("credentials") {
            "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a credentials file, or a role for this machine or pod"
                .to_owned()
        } else if matches!(error, SdkError::TimeoutError(_)) {
            "no answer in time; check the network and the server".to_owned()
        } else {
            format!("no answer: {}; check the network and the endpoint", innermost(error))
        };
    };
    let advice = match (status, code) {
        (_, "NoSuchBucket") => "make the bucket, or correct its name",
        (_, "ExpiredToken" | "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken") => "correct or renew the credentials",
        (_, "RequestTimeTooSkewed") => "set this machine's clock",
        (301, _) => "set the region of the bucket",
        (401 | 403, _) => "give this process s3:GetObject and s3:ListBucket there, and a publisher s3:PutObject",
        (429 | 500.., _) => "the server is in trouble",
        _ => "the server does not do what S3 does",
    };
    let said = error.message().map(|message| format!(", {message}")).unwrap_or_default();
    let code = if code.is_empty() { String::new() } else { format!(" {code}") };
    format!("status {status}{code}{said}: {advice}")
}

/// The cause behind all causes.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
