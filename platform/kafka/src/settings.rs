//! What is set of a Kafka log. Names are those under `log.kafka` in a settings file; messages name them.
//!
//! Nothing here connects, and no secret is ever shown: a `Secret` prints and serialises as `***`.

use base64::Engine as _;
use platform_core::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// A Kafka cluster and how to talk to it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `host:port` of some brokers, separated by commas.
    pub bootstrap: String,
    /// TLS; none: plain text.
    pub tls: Option<Tls>,
    /// How to log in; none: not at all.
    pub sasl: Option<Sasl>,
    /// How groups are run.
    pub protocol: Protocol,
    /// Copies of each of our topics.
    pub replication: u32,
    /// One broker, small retention, no certificates: for trying out, never for data that matters.
    pub dev: bool,
    /// Cluster id that must be found there; none: any.
    pub cluster: Option<String>,
    /// How long a process may stand still before others take over its partitions and its open transactions are ended, ms. Longer waits
    /// tolerate slower brokers; after a crash as much time passes before the work goes on.
    pub takeover_ms: u64,
    /// Where schemas of Avro records are.
    pub registry: Option<Registry>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bootstrap: String::new(),
            tls: None,
            sasl: None,
            protocol: Protocol::Classic,
            replication: 3,
            dev: false,
            cluster: None,
            takeover_ms: 8_000,
            registry: None,
        }
    }
}

/// Certificates.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Who is trusted, PEM; none: the system's list.
    pub ca: Option<PathBuf>,
    /// Our own certificate (mTLS), PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Of the key.
    pub key_password: Option<Secret>,
    /// Whether certificates and host names are checked. Only `dev` may turn it off.
    pub verify: Option<bool>,
}

/// How to log in.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "mechanism", deny_unknown_fields)]
pub enum Sasl {
    /// User and password as they are; needs TLS to be safe.
    #[serde(rename = "PLAIN")]
    Plain(Login),
    /// Challenge and response.
    #[serde(rename = "SCRAM-SHA-256")]
    Scram256(Login),
    /// Challenge and response.
    #[serde(rename = "SCRAM-SHA-512")]
    Scram512(Login),
    /// A token from an identity provider (OIDC client credentials).
    #[serde(rename = "OAUTHBEARER")]
    Oauth(Oauth),
}

/// User and password.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// Who.
    pub user: String,
    /// The password itself, as from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds nothing but the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

/// Where tokens come from.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Oauth {
    /// Token endpoint.
    pub token_url: String,
    /// Client id.
    pub client: String,
    /// Client secret, as from the environment.
    #[serde(default)]
    pub secret: Option<Secret>,
    /// A file that holds nothing but the client secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// Scope to ask for.
    #[serde(default)]
    pub scope: Option<String>,
}

/// A schema registry, for sources in Avro.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Where it is, as in `https://registry:8081`.
    pub url: String,
    /// Who is trusted, PEM; none: the system's list.
    #[serde(default)]
    pub ca: Option<PathBuf>,
    /// Who asks; none: anybody may.
    #[serde(default)]
    pub user: Option<String>,
    /// The password itself, as from the environment.
    #[serde(default)]
    pub password: Option<Secret>,
    /// A file that holds nothing but the password. Read with each request, so that it can be changed.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
}

impl Registry {
    /// Value of the header `authorization`, where a user is named.
    ///
    /// # Errors
    /// When there is not exactly one password, or its file cannot be read.
    pub fn authorization(&self) -> Result<Option<String>, BadSettings> {
        let Some(user) = &self.user else { return Ok(None) };
        let password = secret("registry.password", self.password.as_ref(), self.password_file.as_ref())?;
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        Ok(Some(format!("Basic {both}")))
    }
}

/// How groups are run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Members agree among themselves; every broker knows it.
    #[default]
    Classic,
    /// The broker decides (KIP-848); brokers from 4.3 on.
    Consumer,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// Nobody to talk to.
    #[error("log.kafka.bootstrap is empty: name some brokers, as in `broker-1:9092,broker-2:9092`")]
    NoBootstrap,
    /// Certificates unchecked.
    #[error("log.kafka.tls.verify may be false only with log.kafka.dev")]
    Unverified,
    /// Half of a pair.
    #[error("log.kafka.tls needs `certificate` and `key` together")]
    HalfAPair,
    /// No password, or two.
    #[error("log.kafka needs exactly one of `{0}` and `{0}_file`")]
    OneSecret(&'static str),
    /// Too short for brokers to answer in, or too long to be of use.
    #[error("log.kafka.takeover_ms is {0}, and must be from 2000 to 60000")]
    Takeover(u64),
    /// A file that cannot be read.
    #[error("log.kafka: cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Settings {
    /// Whether they can be used, without connecting.
    ///
    /// # Errors
    /// Names the setting that is wrong.
    pub fn check(&self) -> Result<(), BadSettings> {
        if !(2000..=60_000).contains(&self.takeover_ms) {
            return Err(BadSettings::Takeover(self.takeover_ms));
        }
        self.registry.as_ref().map_or(Ok(None), Registry::authorization)?;
        self.client().map(drop)
    }

    /// How long a transaction may stay open, and a member be silent (R6).
    pub(crate) fn takeover(&self) -> Duration {
        Duration::from_millis(self.takeover_ms)
    }

    /// What librdkafka is told of the cluster and the way to it; the same for all clients.
    pub(crate) fn client(&self) -> Result<Vec<(&'static str, String)>, BadSettings> {
        if self.bootstrap.trim().is_empty() {
            return Err(BadSettings::NoBootstrap);
        }
        let protocol = match (&self.tls, &self.sasl) {
            (None, None) => "plaintext",
            (Some(_), None) => "ssl",
            (None, Some(_)) => "sasl_plaintext",
            (Some(_), Some(_)) => "sasl_ssl",
        };
        let mut list = vec![("bootstrap.servers", self.bootstrap.clone()), ("security.protocol", protocol.to_owned())];
        if let Some(tls) = &self.tls {
            list.extend(self.tls(tls)?);
        }
        match &self.sasl {
            None => {}
            Some(Sasl::Plain(login)) => list.extend(login.client("PLAIN")?),
            Some(Sasl::Scram256(login)) => list.extend(login.client("SCRAM-SHA-256")?),
            Some(Sasl::Scram512(login)) => list.extend(login.client("SCRAM-SHA-512")?),
            Some(Sasl::Oauth(oauth)) => list.extend(oauth.client()?),
        }
        Ok(list)
    }

    fn tls(&self, tls: &Tls) -> Result<Vec<(&'static str, String)>, BadSettings> {
        let path = |path: &PathBuf| path.display().to_string();
        let mut list = vec![("ssl.endpoint.identification.algorithm", "https".to_owned())];
        if tls.verify == Some(false) {
            if !self.dev {
                return Err(BadSettings::Unverified);
            }
            list = vec![
                ("enable.ssl.certificate.verification", "false".to_owned()),
                ("ssl.endpoint.identification.algorithm", "none".to_owned()),
            ];
        }
        list.extend(tls.ca.iter().map(|ca| ("ssl.ca.location", path(ca))));
        match (&tls.certificate, &tls.key) {
            (None, None) => {}
            (Some(certificate), Some(key)) => {
                list.extend([("ssl.certificate.location", path(certificate)), ("ssl.key.location", path(key))]);
                list.extend(tls.key_password.iter().map(|secret| ("ssl.key.password", secret.reveal().to_owned())));
            }
            _ => return Err(BadSettings::HalfAPair),
        }
        Ok(list)
    }

    /// Longest message that our topics and clients take.
    pub(crate) const MAX_MESSAGE: usize = 8 << 20;
}

impl Login {
    fn client(&self, mechanism: &str) -> Result<Vec<(&'static str, String)>, BadSettings> {
        let password = secret("sasl.password", self.password.as_ref(), self.password_file.as_ref())?;
        Ok(vec![("sasl.mechanism", mechanism.to_owned()), ("sasl.username", self.user.clone()), ("sasl.password", password)])
    }
}

impl Oauth {
    fn client(&self) -> Result<Vec<(&'static str, String)>, BadSettings> {
        let mut list = vec![
            ("sasl.mechanism", "OAUTHBEARER".to_owned()),
            ("sasl.oauthbearer.method", "oidc".to_owned()),
            ("sasl.oauthbearer.token.endpoint.url", self.token_url.clone()),
            ("sasl.oauthbearer.client.id", self.client.clone()),
            ("sasl.oauthbearer.client.secret", secret("sasl.secret", self.secret.as_ref(), self.secret_file.as_ref())?),
        ];
        list.extend(self.scope.iter().map(|scope| ("sasl.oauthbearer.scope", scope.clone())));
        Ok(list)
    }
}

fn secret(name: &'static str, given: Option<&Secret>, file: Option<&PathBuf>) -> Result<String, BadSettings> {
    match (given, file) {
        (Some(secret), None) => Ok(secret.reveal().to_owned()),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|source| BadSettings::File { path: path.clone(), source })?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
        _ => Err(BadSettings::OneSecret(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login() -> Login {
        Login { user: "u".into(), password: Some(Secret::new("canary")), password_file: None }
    }

    #[test]
    fn a_secret_is_shown_nowhere() {
        let settings = Settings { bootstrap: "b:1".into(), sasl: Some(Sasl::Plain(login())), ..Settings::default() };
        for shown in [format!("{settings:?}"), serde_json::to_string(&settings).unwrap()] {
            assert!(shown.contains("***") && !shown.contains("canary"), "{shown}");
        }
        assert!(settings.client().unwrap().contains(&("sasl.password", "canary".to_owned())));
    }

    #[test]
    fn the_way_to_the_cluster_follows_from_what_is_set() {
        let protocol = |tls: bool, sasl: bool| {
            let tls = tls.then(Tls::default);
            let sasl = sasl.then(|| Sasl::Scram512(login()));
            let list = Settings { bootstrap: "b:1".into(), tls, sasl, ..Settings::default() }.client().unwrap();
            list.into_iter().find(|(name, _)| *name == "security.protocol").unwrap().1
        };
        assert_eq!(protocol(false, false), "plaintext");
        assert_eq!(protocol(true, false), "ssl");
        assert_eq!(protocol(false, true), "sasl_plaintext");
        assert_eq!(protocol(true, true), "sasl_ssl");
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let with = |change: &dyn Fn(&mut Settings)| {
            let mut settings = Settings { bootstrap: "b:1".into(), ..Settings::default() };
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(with(&|s| s.bootstrap = " ".into()).contains("log.kafka.bootstrap"));
        assert!(with(&|s| s.tls = Some(Tls { verify: Some(false), ..Tls::default() })).contains("log.kafka.dev"));
        assert!(with(&|s| s.tls = Some(Tls { key: Some("k".into()), ..Tls::default() })).contains("`certificate` and `key`"));
        assert!(with(&|s| s.takeover_ms = 100).contains("log.kafka.takeover_ms is 100"));
        assert!(with(&|s| s.sasl = Some(Sasl::Plain(Login { password: None, ..login() }))).contains("`sasl.password_file`"));
        let registry = Registry { url: "http://r".into(), ca: None, user: Some("u".into()), password: None, password_file: None };
        assert!(with(&|s| s.registry = Some(registry.clone())).contains("`registry.password_file`"));
        let missing = Login { password: None, password_file: Some("/no/such".into()), ..login() };
        assert!(with(&|s| s.sasl = Some(Sasl::Plain(missing.clone()))).contains("/no/such"));
    }
}
