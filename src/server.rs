//! Asks a running `golden run`: JSON by HTTP, with what it says when it refuses.

use crate::failure::Failure;
use clap::Args;
use golden_overrides::path::encode;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long an answer may take: a backtest of many windows takes a while.
const PATIENCE: Duration = Duration::from_secs(120);
/// Largest answer in bytes.
const MAX_ANSWER: u64 = 64 << 20;
/// How often a server that is busy is asked again.
const TRIES: u32 = 30;

/// Which server.
#[derive(Debug, Args)]
pub(crate) struct ServerArgs {
    /// URL of a running `golden run`
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
}

/// A running `golden run`.
pub(crate) struct Server {
    agent: ureq::Agent,
    url: String,
}

impl Server {
    /// At this address; nothing is asked yet.
    pub(crate) fn at(url: &str) -> Self {
        let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).tls_config(tls).build();
        let agent = agent.new_agent();
        Self { agent, url: url.trim_end_matches('/').to_owned() }
    }

    /// The answer to a GET.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.answer(|| self.agent.get(&format!("{}{path}", self.url)).call())
    }

    /// The answer to a POST of JSON.
    pub(crate) fn post<T: DeserializeOwned>(&self, path: &str, body: &serde_json::Value) -> Result<T, Failure> {
        let body = body.to_string();
        let request = || self.agent.post(&format!("{}{path}", self.url)).header("content-type", "application/json");
        self.answer(|| request().send(body.as_bytes()))
    }

    fn answer<T: DeserializeOwned>(&self, ask: impl Fn() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<T, Failure> {
        let away = |error: &dyn std::fmt::Display| Failure::missing(format!("{} does not answer: {error}", self.url));
        let none = |error: ureq::Error| match error {
            ureq::Error::Io(_) | ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => {
                away(&format!("{error}; 'golden run' starts one, and --server says where it is"))
            }
            error => away(&error),
        };
        let mut tries = 0;
        loop {
            let mut response = ask().map_err(none)?;
            let status = response.status().as_u16();
            let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().map_err(|error| away(&error))?;
            tries += 1;
            match status {
                200 => return serde_json::from_slice(&body).map_err(|error| away(&format!("its answer cannot be read: {error}"))),
                429 if tries < TRIES => std::thread::park_timeout(Duration::from_secs(2)),
                400..500 => return Err(Failure::usage(detail(&body))),
                _ => return Err(Failure::missing(format!("{}: {status}: {}", self.url, detail(&body)))),
            }
        }
    }
}

/// What a server says of an error.
fn detail(body: &[u8]) -> String {
    let problem: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| problem.get(name).and_then(serde_json::Value::as_str);
    text("detail").map_or_else(|| String::from_utf8_lossy(body).into_owned(), str::to_owned)
}

/// The path of a service below `/api/v1/services` or `/api/v1/overrides`, with these parameters where they are given.
pub(crate) fn of_service(resource: &str, service: &str, leaf: &str, params: &[(&str, Option<&str>)]) -> String {
    let given = params.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode((*value)?))));
    let query = given.collect::<Vec<_>>().join("&");
    let mark = if query.is_empty() { "" } else { "?" };
    format!("/api/v1/{resource}/{}/{leaf}{mark}{query}", encode(service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_encoded() {
        let path = of_service("services", "yelp/api proxy", "explain", &[("at", Some("2026-01-01T00:00:00+01:00")), ("namespace", None)]);
        assert_eq!(path, "/api/v1/services/yelp%2Fapi%20proxy/explain?at=2026-01-01T00%3A00%3A00%2B01%3A00");
        assert_eq!(of_service("overrides", "a", "shadow", &[]), "/api/v1/overrides/a/shadow");
    }
}
