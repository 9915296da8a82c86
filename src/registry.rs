//! Schemas from a schema registry, by the ids that stand in front of Avro records.
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

pub(crate) struct Registry {
    place: Place,
    agent: ureq::Agent,
    kafka: Kafka,
    known: Mutex<BTreeMap<u32, Arc<str>>>,
}

impl Registry {
    /// The registry of the settings, if one is set.
    ///
    /// # Errors
    /// When its password cannot be read.
    pub(crate) fn of(settings: &Settings, kafka: Option<&Kafka>) -> Result<Option<Self>, Failure> {
        let place = settings.log.kafka.as_ref().and_then(|kafka| kafka.registry.clone());
        let (Some(place), Some(kafka)) = (place, kafka) else { return Ok(None) };
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
        let agent = agent.new_agent();
        Ok(Some(Self { place, agent, kafka: kafka.clone(), known: Mutex::default() }))
    }

    /// `Ok(None)`: the registry does not know the id.
    fn fetch(&self, id: u32) -> Result<Option<Arc<str>>, String> {
        let url = format!("{}/schemas/ids/{id}", self.place.url.trim_end_matches('/'));
        let away = |error: &dyn std::fmt::Display| {
            format!("the schema registry at log.kafka.registry.url does not answer: {error}. Records of schema {id} wait for it")
        };
        let mut request = self.agent.get(&url).header("accept", "application/vnd.schemaregistry.v1+json, application/json");
        if let Some(authorization) = self.place.authorization().map_err(|error| error.to_string())? {
            request = request.header("authorization", authorization);
        }
        let mut response = request.call().map_err(|error| away(&error))?;
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(4 << 20).read_to_string().map_err(|error| away(&error))?;
        match status {
            200 => {
                let document: serde_json::Value = serde_json::from_str(&body).map_err(|error| away(&error))?;
                let kind = document.get("schemaType").and_then(serde_json::Value::as_str).unwrap_or("AVRO");
                let schema = document.get("schema").and_then(serde_json::Value::as_str).filter(|_| kind == "AVRO");
                Ok(schema.map(Arc::from))
            }
            404 => Ok(None),
            401 | 403 => Err(format!("the schema registry refuses the user of log.kafka.registry ({status}): correct user and password")),
            other => Err(away(&format!("status {other}"))),
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "registry at {}", self.place.url)
    }
}

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Result<Arc<str>, UnknownSchema> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&id).map(Arc::clone);
        if let Some(schema) = known {
            return Ok(schema);
        }
        let Some(found) = self.kafka.insist("registry", || self.fetch(id)) else {
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
