//! How a receiver is reached: one POST at a time over connections that stay open, with whatever it wants to see of us.
//!
//! Secrets are read with each call, so that a file can be changed; they are in no message and no log.

use crate::guard::Guard;
use crate::settings::{Access, BadOutput};
use base64::Engine as _;
use platform_core::secret::Secret;
use std::path::{Path, PathBuf};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::unversioned::transport::DefaultConnector;

/// Most bytes of an answer that are looked at.
const MAX_ANSWER: u64 = 64 << 10;
/// Bytes of an answer that a log line has.
const SHOWN: usize = 300;

/// A receiver.
pub(crate) struct Receiver {
    agent: ureq::Agent,
    url: String,
    access: Access,
}

/// What it said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// A header, its name in small letters.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    /// Status and the beginning of the body, for a log line.
    pub(crate) fn said(&self) -> String {
        let body = String::from_utf8_lossy(self.body.get(..SHOWN.min(self.body.len())).unwrap_or_default());
        format!("{} {}", self.status, body.split_whitespace().collect::<Vec<_>>().join(" ")).trim_end().to_owned()
    }
}

impl Receiver {
    /// The receiver at a URL. With a guard, which addresses it may have is looked at.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub(crate) fn new(name: &'static str, url: &str, access: &Access, guard: Option<Guard>) -> Result<Self, BadOutput> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(BadOutput::Url { name, url: url.to_owned() });
        }
        let roots = access.ca.as_deref().map_or(Ok(RootCerts::PlatformVerifier), |path| roots(name, path))?;
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(access.timeout.0))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .user_agent(concat!("golden-signals/", env!("CARGO_PKG_VERSION")))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build();
        let agent = match guard {
            Some(guard) => ureq::Agent::with_parts(config, DefaultConnector::new(), guard),
            None => ureq::Agent::new_with_config(config),
        };
        access.check_headers(name)?;
        let receiver = Self { agent, url: url.to_owned(), access: access.clone() };
        // Said at the start, and not with the first window.
        receiver.access.authorization().map_err(|why| BadOutput::Access { name, why })?;
        Ok(receiver)
    }

    /// Sends a body.
    ///
    /// # Errors
    /// When nobody answered, or a secret cannot be read: what it was, without secrets.
    pub(crate) fn post(&self, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
        let mut request = self.agent.post(&self.url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        for (name, value) in &self.access.headers {
            request = request.header(name, value.reveal());
        }
        if let Some(authorization) = self.access.authorization()? {
            request = request.header("authorization", authorization);
        }
        let mut response = request.send(body).map_err(|error| error.to_string())?;
        let text = |value: &ureq::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
        let status = response.status().as_u16();
        // The status has said it all: an answer that breaks off or is too long changes nothing.
        let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().unwrap_or_default();
        Ok(Answer { status, headers, body })
    }
}

/// Headers of calls that are not for settings to give: a second one would make a call that nobody has to understand.
const RESERVED: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "idempotency-key",
    "transfer-encoding",
    "user-agent",
    "x-golden-signature",
    "x-prometheus-remote-write-version",
];

impl Access {
    /// Looks at the headers that are set.
    ///
    /// # Errors
    /// When calls have one already, or it cannot be sent.
    pub(crate) fn check_headers(&self, name: &'static str) -> Result<(), BadOutput> {
        let mut seen = std::collections::BTreeSet::new();
        for (header, value) in &self.headers {
            let small = header.to_ascii_lowercase();
            let why = if RESERVED.contains(&small.as_str()) {
                "is ours to give"
            } else if small == "authorization" && (self.bearer.is_some() || self.bearer_file.is_some() || self.user.is_some()) {
                "is given by bearer or user already"
            } else if http::HeaderName::from_bytes(header.as_bytes()).is_err() {
                "is no name of a header"
            } else if http::HeaderValue::from_str(value.reveal()).is_err() {
                "has a value that no header can have"
            } else if !seen.insert(small) {
                "is given twice"
            } else {
                continue;
            };
            return Err(BadOutput::Header { name, header: header.clone(), why });
        }
        Ok(())
    }

    /// What stands in the header of that name.
    ///
    /// # Errors
    /// When a secret cannot be read.
    pub(crate) fn authorization(&self) -> Result<Option<String>, String> {
        let Self { bearer, bearer_file, user, password, password_file, .. } = self;
        if let Some(token) = secret("bearer", bearer.as_ref(), bearer_file.as_ref())? {
            return Ok(Some(format!("Bearer {token}")));
        }
        let Some(user) = user else { return Ok(None) };
        let password = secret("password", password.as_ref(), password_file.as_ref())?.unwrap_or_default();
        Ok(Some(format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))))
    }
}

/// A secret that is given, or is all that a file holds.
///
/// # Errors
/// When there are two, or the file cannot be read.
pub(crate) fn secret(name: &str, given: Option<&Secret>, file: Option<&PathBuf>) -> Result<Option<String>, String> {
    match (given, file) {
        (Some(_), Some(_)) => Err(format!("both {name} and {name}_file are set")),
        (Some(secret), None) => Ok(Some(secret.reveal().to_owned())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| format!("{name}_file {}: {error}", path.display()))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
        }
        (None, None) => Ok(None),
    }
}

fn roots(name: &'static str, path: &Path) -> Result<RootCerts, BadOutput> {
    certificates(path).map(|all| RootCerts::new_with_certs(&all)).map_err(|why| BadOutput::Access { name, why })
}

/// Who is trusted, of a PEM file.
///
/// # Errors
/// When it cannot be read, or holds none.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let unusable = |why: &dyn std::fmt::Display| format!("ca {}: {why}", path.display());
    let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
        Ok(_) => None,
        Err(error) => Some(Err(error)),
    });
    let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    if certificates.is_empty() { Err(unusable(&"there is no certificate in it")) } else { Ok(certificates) }
}
