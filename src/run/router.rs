//! The router's controller in a running process: a thread that steps it, and the door to it.

use super::health::Asker;
use crate::failure::Failure;
use crate::router::door::{Door, settings_of};
use crate::settings::Settings;
use golden_router::controller::Controller;
use platform_core::clock::Clock;
use platform_core::log::Log;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often it is asked whether there is something to do. Probes have a time of their own.
const LOOK: Duration = Duration::from_secs(1);

/// A thread that ends when this is dropped.
pub(super) struct Router {
    door: Arc<Door>,
    /// Held for as long as the controller hears from it.
    _asker: Asker,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Router {
    /// Starts it. `log` must not keep anybody waiting for long; `instance` is the name of this process.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(super) fn start(log: Arc<dyn Log>, settings: &Settings, instance: &str, clock: Arc<dyn Clock>) -> Result<Self, Failure> {
        let asker = Asker::start(&settings.router.health, settings.router.probe.0)?;
        let door = Arc::new(Door::new(Controller::new(log, settings_of(settings), asker.health(), instance, true)));
        let (stop, stopped) = std::sync::mpsc::channel();
        let stepped = Arc::clone(&door);
        let run = move || run(&stepped, &*clock, &stopped);
        let thread = std::thread::Builder::new().name("router-controller".to_owned()).spawn(run).map_err(Failure::failed)?;
        Ok(Self { door, _asker: asker, stop: Some(stop), thread: Some(thread) })
    }

    /// For the API.
    pub(super) fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the router's controller ended by a panic");
        }
    }
}

fn run(door: &Door, clock: &dyn Clock, stopped: &Receiver<()>) {
    let mut trouble = None;
    loop {
        let now = door.step(clock.monotonic()).err().map(|error| error.to_string());
        if now != trouble {
            if let Some(error) = &now {
                tracing::warn!(%error, "the router's controller cannot do its work just now: what is forwarded stays");
            }
            trouble = now;
        }
        if !matches!(stopped.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}
