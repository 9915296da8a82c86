//! A schema registry: schemas by the ids that stand in front of Avro records, and the id of the schema that we write by.
//!
//! A record whose schema cannot be had now is no bad record: its task waits, with growing waits, and the trouble is shown; a schema that the
//! registry does not know makes a dead letter. What was fetched is kept for good: an id never means another schema.

use crate::failure::Failure;
use crate::settings::Settings;
use golden_pipeline::source::{Schemas, UnknownSchema};
use platform_kafka::log::Kafka;
use platform_kafka::settings::Registry as Place;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(10);

/// A registry that can be asked.
pub(crate) struct Client {
    place: Place,
    agent: ureq::Agent,
}

impl Client {
    /// The registry of the settings, if one is set; nothing is asked yet.
    ///
    /// # Errors
    /// When its certificates cannot be read.
    pub(crate) fn of(settings: &Settings) -> Result<Option<Self>, Failure> {
        let Some(place) = settings.log.kafka.as_ref().and_then(|kafka| kafka.registry.clone()) else { return Ok(None) };
        let roots = match &place.ca {
            None => ureq::tls::RootCerts::PlatformVerifier,
            Some(path) => {
                let unusable = |why: &dyn std::fmt::Display| Failure::usage(format!("log.kafka.registry.ca {}: {why}", path.display()));
                let pem = std::fs::read(path).map_err(|error| unusable(&error))?;
                let certificates = ureq::tls::parse_pem(&pem).filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                    Ok(_) => None,
                    Err(error) => Some(Err(error)),
                });
                let certificates = certificates.collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
                if certificates.is_empty() {
                    return Err(unusable(&"there is no certificate in it"));
                }
                ureq::tls::RootCerts::new_with_certs(&certificates)
            }
        };
        let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
        let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).tls_config(tls).build();
        Ok(Some(Self { place, agent: agent.new_agent() }))
    }

    /// The id of a schema under a subject. With `register` it gets one where it has none; else `Err` says that it has none.
    ///
    /// # Errors
    /// When there is no id now: why, without secrets.
    pub(crate) fn id(&self, subject: &str, schema: &str, register: bool) -> Result<u32, String> {
        let path = if register { format!("/subjects/{subject}/versions") } else { format!("/subjects/{subject}") };
        let (status, body) = self.ask(&path, Some(&serde_json::json!({ "schema": schema }).to_string()))?;
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let said = answer.get("message").and_then(serde_json::Value::as_str).unwrap_or(&body);
        let id = answer.get("id").and_then(serde_json::Value::as_u64).and_then(|id| id.try_into().ok());
        match (status, id) {
            (200, Some(id)) => Ok(id),
            (404, _) if !register => Err(format!("the schema registry does not have the schema under {subject}: register it there")),
            (409, _) => Err(format!("the schema registry finds the schema not compatible with what stands under {subject}: {said}")),
            _ => Err(format!("the schema registry answers {status} to a schema under {subject}: {said}")),
        }
    }

    /// `Ok(None)`: the registry does not know the id.
    fn fetch(&self, id: u32) -> Result<Option<Arc<str>>, String> {
        let waits = |why: &dyn std::fmt::Display| format!("{why}. Records of schema {id} wait for it");
        let (status, body) = self.ask(&format!("/schemas/ids/{id}"), None).map_err(|why| waits(&why))?;
        match status {
            200 => {
                let document: serde_json::Value = serde_json::from_str(&body).map_err(|error| waits(&away(&error)))?;
                let kind = document.get("schemaType").and_then(serde_json::Value::as_str).unwrap_or("AVRO");
                let schema = document.get("schema").and_then(serde_json::Value::as_str).filter(|_| kind == "AVRO");
                Ok(schema.map(Arc::from))
            }
            404 => Ok(None),
            other => Err(waits(&away(&format!("status {other}")))),
        }
    }

    /// Status and body of an answer; a POST where there is something to send.
    fn ask(&self, path: &str, body: Option<&str>) -> Result<(u16, String), String> {
        const JSON: &str = "application/vnd.schemaregistry.v1+json";
        let url = format!("{}{path}", self.place.url.trim_end_matches('/'));
        let accept = format!("{JSON}, application/json");
        let authorization = self.place.authorization().map_err(|error| error.to_string())?;
        let answer = match body {
            None => {
                let request = self.agent.get(&url).header("accept", &accept);
                authorization.iter().fold(request, |request, text| request.header("authorization", text)).call()
            }
            Some(body) => {
                let request = self.agent.post(&url).header("accept", &accept).header("content-type", JSON);
                authorization.iter().fold(request, |request, text| request.header("authorization", text)).send(body)
            }
        };
        let mut answer = answer.map_err(|error| away(&error))?;
        let status = answer.status().as_u16();
        if matches!(status, 401 | 403) {
            return Err(format!("the schema registry refuses the user of log.kafka.registry ({status}): correct user and password"));
        }
        let body = answer.body_mut().with_config().limit(4 << 20).read_to_string().map_err(|error| away(&error))?;
        Ok((status, body))
    }
}

fn away(why: &dyn std::fmt::Display) -> String {
    format!("the schema registry at log.kafka.registry.url does not answer: {why}")
}

/// Schemas for the records of sources.
pub(crate) struct Registry {
    client: Client,
    kafka: Kafka,
    known: Mutex<BTreeMap<u32, Arc<str>>>,
}

impl Registry {
    /// The registry of the settings, if one is set.
    ///
    /// # Errors
    /// When its certificates cannot be read.
    pub(crate) fn of(settings: &Settings, kafka: Option<&Kafka>) -> Result<Option<Self>, Failure> {
        let (Some(client), Some(kafka)) = (Client::of(settings)?, kafka) else { return Ok(None) };
        Ok(Some(Self { client, kafka: kafka.clone(), known: Mutex::default() }))
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "registry at {}", self.client.place.url)
    }
}

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Result<Arc<str>, UnknownSchema> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone);
        if let Some(schema) = known {
            return Ok(schema);
        }
        let Some(found) = self.kafka.insist("registry", || self.client.fetch(id)) else {
            // The process is ending. Whatever is said here could be committed, so nothing is said any more.
            loop {
                std::thread::park();
            }
        };
        let schema = found.ok_or(UnknownSchema)?;
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::clone(&schema));
        Ok(schema)
    }
}
