//! The door to a router: what the API and the command line ask of a controller, as JSON.
//!
//! One controller behind a lock: its own thread steps it where there is one, and questions look at what it knows. What this does not do: it
//! decides nothing.

use crate::settings::{RouterSettings, Settings};
use golden_http::{RouterDoor, RouterError, RouterOrder, RouterRequest};
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{PIPELINE, SCHEMA_PROGRESS, SCHEMA_SIGNALS, Topics, part_of};
use golden_router::audit;
use golden_router::control::GiveError;
use golden_router::controller::{Controller, Request, Wanted};
use golden_router::deployment::{Colour, Deployment};
use golden_router::diff;
use golden_router::receipt::{self, Receipt};
use golden_router::settings::{Checks, ColourTopics, ControllerSettings};
use platform_core::log::CommitError;
use platform_core::time::nanos;
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a controller of this deployment looks at.
pub(crate) fn settings_of(settings: &Settings) -> ControllerSettings {
    let topics = Topics::of(Colour::Blue.name());
    let of = |colour: Colour| {
        let Topics { partials, signals, .. } = Topics::of(colour.name());
        (colour, ColourTopics { partials, signals })
    };
    ControllerSettings {
        pipeline: PIPELINE.to_owned(),
        control: topics.control,
        public: topics.public,
        colours: Colour::ALL.into_iter().map(of).collect(),
        close_group: |Deployment { colour, epoch }| format!("{}.close", part_of(colour.name(), epoch)),
        router_group: format!("{PIPELINE}.router"),
        controller_group: format!("{PIPELINE}.controller"),
        progress: SCHEMA_PROGRESS,
        results: SCHEMA_SIGNALS,
        name_of,
        window: nanos(settings.pipeline.window.0),
        checks: checks(&settings.router),
    }
}

fn checks(of: &RouterSettings) -> Checks {
    Checks {
        probe: of.probe.0,
        failed: of.failed,
        of: of.of,
        recovered: of.recovered,
        error_share: of.error_share,
        behind: of.behind.0,
        lag: of.lag.0,
        warm: of.warm.0,
        windows: of.windows,
        tolerance: of.tolerance,
        between: of.between.0,
        most: of.most,
        seal_after: of.seal_after.0,
        proof: of.proof.0,
        automatic: of.automatic,
    }
}

/// A series for people: its service, its grouping and the values of that.
fn name_of(identity: &[u8]) -> String {
    let Ok(Identity { namespace, service, grouping, dimensions, .. }) = Identity::decode(identity) else {
        return format!("an identity of {} bytes that cannot be read", identity.len());
    };
    let space = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    let values = if dimensions.is_empty() { String::new() } else { format!(" {dimensions:?}") };
    format!("{space}{service} {grouping}{values}")
}

/// A controller that several threads ask.
pub(crate) struct Door(Mutex<Controller>);

impl Door {
    /// In front of this controller.
    pub(crate) fn new(controller: Controller) -> Self {
        Self(Mutex::new(controller))
    }

    fn controller(&self) -> MutexGuard<'_, Controller> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets it look and do what is to be done.
    pub(crate) fn step(&self, now: Duration) -> Result<(), GiveError> {
        self.controller().step(now)
    }

    /// Lets it look.
    pub(crate) fn look(&self, now: Duration) -> Result<(), GiveError> {
        self.controller().look(now)
    }

    /// Whoever ordered something sees it in the next answer. Where that cannot be, the next probe brings it.
    fn refresh(&self) {
        if let Err(error) = self.controller().refresh() {
            tracing::debug!(%error, "an order is seen with the next probe");
        }
    }
}

fn away(error: &dyn std::fmt::Display) -> RouterError {
    RouterError::Away(error.to_string())
}

/// The request as the controller takes it.
fn request_of(of: &RouterRequest) -> Result<Request, RouterError> {
    let wanted = match &of.order {
        RouterOrder::Flip { to, accept_difference } => {
            let to = to
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|error: golden_router::deployment::NoColour| RouterError::Bad(error.to_string()))?;
            Wanted::Flip { to, accept_difference: *accept_difference }
        }
        RouterOrder::Rollback { accept_difference } => Wanted::Rollback { accept_difference: *accept_difference },
        RouterOrder::Hold { hold } => Wanted::Hold { hold: *hold },
    };
    Ok(Request { by: of.by.clone(), reason: of.reason.clone(), dry_run: of.dry_run, wanted })
}

impl RouterDoor for Door {
    fn status(&self) -> Result<Value, RouterError> {
        serde_json::to_value(self.controller().status()).map_err(|error| away(&error))
    }

    fn ask(&self, request: &RouterRequest) -> Result<Value, RouterError> {
        let RouterRequest { by, reason, dry_run, order } = request;
        let asked = match request_of(request) {
            Err(RouterError::Bad(why)) if !dry_run => {
                let to = if let RouterOrder::Flip { to: Some(to), .. } = order { to.as_str() } else { "nothing" };
                let asked = format!("flip to {}", to.escape_default().take(64).collect::<String>());
                let written = self.controller().refuse(by, reason, &asked, &why);
                written.unwrap_or_else(|error| tracing::warn!(%by, %why, %error, "a refusal is not in the control log"));
                self.refresh();
                return Err(RouterError::Bad(why));
            }
            asked => asked?,
        };
        let answer = self.controller().ask(&asked);
        self.refresh();
        let answer = answer.map_err(|error| {
            // The control log, which would say so, is what cannot be written.
            tracing::warn!(%by, %reason, wanted = ?asked.wanted, %error, "an order was not given");
            match error {
                GiveError::Passed(_) | GiveError::Unusable(_) => RouterError::Refused(error.to_string()),
                GiveError::Write(CommitError::Doubtful(_)) => {
                    RouterError::Away(format!("whether it was ordered, `golden router log` says: {error}"))
                }
                error => RouterError::Away(format!("nothing changed: {error}")),
            }
        })?;
        if !answer.granted && !asked.dry_run {
            return Err(RouterError::Refused(answer.said));
        }
        serde_json::to_value(answer).map_err(|error| away(&error))
    }

    fn receipt(&self, id: &str, verify: bool) -> Result<Value, RouterError> {
        let (log, settings, orders) = {
            let controller = self.controller();
            (controller.log().clone(), controller.settings().clone(), controller.orders().clone())
        };
        if let Some(number) = id.strip_prefix('r').and_then(|number| number.parse::<usize>().ok()) {
            let refusal = number.checked_sub(1).and_then(|at| orders.refused().get(at));
            let refusal = refusal
                .ok_or_else(|| RouterError::Unknown(format!("there is no refusal {id}: `golden router status` lists the newest")))?;
            return Ok(json!({ "refused": refusal.asked, "by": refusal.by, "reason": refusal.reason, "receipt": refusal.receipt }));
        }
        let unknown = || RouterError::Unknown(format!("there is no flip {id}: `golden router status` lists the newest"));
        let flip = id.parse().ok().and_then(|number| orders.flip(number)).ok_or_else(unknown)?;
        let said =
            flip.receipt.clone().ok_or_else(|| RouterError::Unknown(format!("flip {id} has no receipt yet: it is still under way")))?;
        let said: Receipt = serde_json::from_value(said)
            .map_err(|error| RouterError::Unknown(format!("the receipt of flip {id} cannot be read by this version: {error}")))?;
        let lines = verify.then(|| receipt::verify(&log, &settings, &orders, flip, &said)).transpose().map_err(|error| away(&error))?;
        Ok(json!({ "clean": said.is_clean(), "lines": said.lines(), "receipt": said, "verified": lines }))
    }

    fn diff(&self, windows: usize) -> Result<Value, RouterError> {
        let (log, settings, orders) = {
            let controller = self.controller();
            (controller.log().clone(), controller.settings().clone(), controller.orders().clone())
        };
        let found = diff::diff(&log, &settings, &orders, windows).map_err(|error| match error {
            diff::DiffError::Absent(_) => RouterError::Refused(error.to_string()),
            error @ diff::DiffError::Log(_) => away(&error),
        })?;
        serde_json::to_value(found).map_err(|error| away(&error))
    }

    fn log(&self) -> Result<Value, RouterError> {
        let (log, control) = {
            let controller = self.controller();
            (controller.log().clone(), controller.settings().control.clone())
        };
        let audit = audit::read(&log, &control).map_err(|error| match error {
            GiveError::Unusable(_) => RouterError::Refused(error.to_string()),
            error => away(&error),
        })?;
        serde_json::to_value(audit).map_err(|error| away(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_named_for_people_and_an_unknown_colour_is_refused() {
        let identity = Identity {
            window_start: platform_core::time::EventTime(0),
            window_nanos: 60,
            tenant: "default".to_owned(),
            namespace: "shop".to_owned(),
            service: "cart".to_owned(),
            grouping: "service_operation".to_owned(),
            dimensions: vec!["GET /".to_owned()],
        };
        let mut bytes = Vec::new();
        identity.encode(&mut bytes);
        assert_eq!(name_of(&bytes), "shop/cart service_operation [\"GET /\"]");
        assert!(name_of(b"x").contains("cannot be read"));
        let order = RouterOrder::Flip { to: Some("red".to_owned()), accept_difference: false };
        let request = RouterRequest { by: "a".to_owned(), reason: "b".to_owned(), dry_run: false, order };
        assert_eq!(request_of(&request), Err(RouterError::Bad("there is no colour `red`: say blue or green".to_owned())));
    }
}
