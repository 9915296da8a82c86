//! Asks the processes of both colours how they are (`router.health`): a thread that goes round them, and what they answered last.
//!
//! An answer that does not come in time is none. What this does not do: it judges nothing (`golden_router::decide`).

use crate::failure::Failure;
use golden_http::DeploymentStatus;
use golden_router::deployment::{Colour, Deployment};
use golden_router::health::{Answer, Answers, Health, Items};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest time for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Largest answer in bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// What is read of a process's status.
#[derive(Deserialize)]
struct Said {
    waits_for: Option<String>,
    #[serde(default)]
    deployments: Vec<DeploymentStatus>,
}

/// What was answered last.
#[derive(Default)]
struct Known(Mutex<BTreeMap<Colour, Answers>>);

impl Health for Known {
    fn answers(&self) -> BTreeMap<Colour, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A thread that asks until this is dropped.
pub(super) struct Asker {
    known: Arc<Known>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Asker {
    /// Starts it, where there is anybody to ask: these URLs, once in each `probe`.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(urls: &BTreeMap<Colour, Vec<String>>, probe: Duration) -> Result<Self, Failure> {
        let known = Arc::new(Known::default());
        let urls = urls.clone();
        if urls.values().all(Vec::is_empty) {
            return Ok(Self { known, stop: None, thread: None });
        }
        let (stop, stopped) = std::sync::mpsc::channel();
        let run = {
            let known = Arc::clone(&known);
            move || run(&known, &urls, probe, &stopped)
        };
        let thread = std::thread::Builder::new().name("router-health".to_owned()).spawn(run).map_err(Failure::failed)?;
        Ok(Self { known, stop: Some(stop), thread: Some(thread) })
    }

    /// What the processes answered last.
    pub(super) fn health(&self) -> Arc<dyn Health> {
        Arc::clone(&self.known) as _
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that asks deployments how they are ended by a panic");
        }
    }
}

fn run(known: &Known, urls: &BTreeMap<Colour, Vec<String>>, probe: Duration, stopped: &Receiver<()>) {
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::PlatformVerifier).build();
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).tls_config(tls).build().new_agent();
    let mut trouble = BTreeMap::new();
    loop {
        for (colour, urls) in urls {
            let answers = urls.iter().map(|url| {
                let answer = ask(&agent, url);
                let error = answer.as_ref().err().map(ToString::to_string);
                // Said once, not at each round.
                if let Some(error) = error.as_ref().filter(|_| trouble.get(url) != Some(&error)) {
                    tracing::warn!(%colour, url, error, "a process does not say how it is");
                }
                trouble.insert(url.clone(), error);
                answer.ok()
            });
            let answers = answers.collect();
            known.0.lock().unwrap_or_else(PoisonError::into_inner).insert(*colour, answers);
        }
        if !matches!(stopped.recv_timeout(probe), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

fn ask(agent: &ureq::Agent, url: &str) -> Result<Answer, ureq::Error> {
    let mut response = agent.get(format!("{}/api/v1/status", url.trim_end_matches('/'))).call()?;
    let body = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
    let said: Said = serde_json::from_slice(&body).map_err(|error| ureq::Error::Other(Box::new(error)))?;
    let deployment = |of: DeploymentStatus| {
        let deployment = Deployment { colour: of.colour.parse().ok()?, epoch: of.epoch };
        Some((deployment, Items { read: of.decoded, put_aside: of.dead_letters }))
    };
    Ok(Answer { ready: said.waits_for.is_none(), deployments: said.deployments.into_iter().filter_map(deployment).collect() })
}
