//! What a question about a span of time asks for: from when to when, in which steps, of which series. Shared by ranges, heat maps,
//! timelines and exemplars.
//!
//! Steps are chosen so that an answer fits a screen; what would be too much is refused with what to narrow. Where single windows are gone,
//! the span is widened to whole ten minutes or hours, and the answer says so.

use super::find_service;
use super::params::{Params, nearest};
use crate::instant::rfc3339;
use crate::problem::Problem;
use crate::state::AppState;
use axum::http::Uri;
use golden_pipeline::history::keys::{DAY, HOUR, TEN_MINUTES};
use golden_pipeline::history::{Asked, Detail, RangeError, ServiceNow, Sums};
use platform_core::time::{EventTime, SECOND};
use std::collections::BTreeMap;

/// Most points of one group.
const MOST_POINTS: i64 = 1500;
/// Points of one group unless told, at most.
const POINTS: i64 = 240;
/// Steps that people read easily, s; multiples of the window are taken from them.
const STEPS: [i64; 16] = [10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10_800, 14_400, 21_600, 43_200, 86_400];
/// Names of parameters that are no dimensions.
const PARAMETERS: [&str; 6] = ["from", "to", "step", "grouping", "namespace", "limit"];

/// What is asked for.
pub(super) struct Question {
    pub service: ServiceNow,
    pub from: EventTime,
    pub to: EventTime,
    /// ns.
    pub step: i64,
    /// Length of the sums that there are for the whole span, ns.
    pub resolution: i64,
    pub grouping: String,
    /// Names of the grouping's dimensions, in its order.
    pub dimensions: Vec<String>,
    /// The value of each that is asked for.
    wanted: Vec<Option<String>>,
}

/// The parameters of a question, of which dimensions are a part.
pub(super) fn parameters(state: &AppState, uri: &Uri) -> Result<Params, Problem> {
    let dimensions = state.inner().parts.settings.groupings.dimensions();
    let known: Vec<&str> = PARAMETERS.into_iter().chain(dimensions.iter().map(String::as_str)).collect();
    Params::of(uri, &known)
}

impl Question {
    /// Reads the parameters; the span is `span` long unless told.
    pub(super) fn of(state: &AppState, service: &str, params: &Params, span: i64) -> Result<Self, Problem> {
        let history = &state.inner().parts.history;
        let service = find_service(history, service, params.text("namespace"))?;
        let newest = service.window_start.plus(service.window_nanos);
        let (from, to) = (params.time("from")?, params.time("to")?);
        let mut to = to.unwrap_or_else(|| from.map_or(newest, |from| newest.max(from.plus(1))));
        let mut from = from.unwrap_or_else(|| to.plus(-span));
        if from >= to {
            return Err(Problem::bad_request(format!("from ({}) must lie before to ({})", rfc3339(from), rfc3339(to))));
        }
        let reach = history.reach(&service.key)?;
        let window = service.window_nanos.max(SECOND);
        let (resolution, until) = if from >= reach.records {
            (window, reach.records)
        } else if from >= reach.ten_minutes {
            (TEN_MINUTES.max(window), reach.records)
        } else {
            (HOUR, reach.ten_minutes)
        };
        if resolution > window {
            from = from.plus(-from.0.rem_euclid(resolution));
            to = to.plus((resolution - to.0.rem_euclid(resolution)) % resolution);
        }
        let step = step(params, to.since(from), resolution, until)?;
        let grouping = params.text("grouping").unwrap_or("service").to_owned();
        let dimensions = dimensions(state, &service, &grouping)?;
        for name in state.inner().parts.settings.groupings.dimensions() {
            if params.text(name).is_some() && !dimensions.contains(name) {
                let has = if dimensions.is_empty() { "none".to_owned() } else { dimensions.join(", ") };
                return Err(Problem::bad_request(format!("grouping {grouping:?} has no dimension {name:?}; its dimensions: {has}")));
            }
        }
        let wanted = dimensions.iter().map(|name| params.text(name).map(str::to_owned)).collect();
        Ok(Self { service, from, to, step, resolution, grouping, dimensions, wanted })
    }

    /// The sums that answer it, in steps of this length in ns.
    pub(super) fn sums(&self, state: &AppState, step: i64, detail: Detail) -> Result<Sums, Problem> {
        let Self { service, from, to, grouping, wanted, .. } = self;
        let asked = Asked { from: *from, to: *to, step, grouping, wanted, detail, most: state.inner().parts.limits.answer };
        state.inner().parts.history.range(&service.key, &asked).map_err(|error| match error {
            RangeError::Store(error) => error.into(),
            RangeError::Reads(_) | RangeError::Sums(_) | RangeError::Long | RangeError::Coarser { .. } => too_large(&error.to_string()),
        })
    }

    /// Start and end of the step that begins at `start`, within the span.
    pub(super) fn bounds(&self, start: EventTime) -> (EventTime, EventTime) {
        (start.max(self.from), start.plus(self.step).min(self.to))
    }

    /// Names and values of the dimensions.
    pub(super) fn named(&self, values: &[String]) -> BTreeMap<String, String> {
        self.dimensions.iter().cloned().zip(values.iter().cloned()).collect()
    }
}

/// Refuses what would take too much.
fn too_large(why: &str) -> Problem {
    Problem::too_large(format!("{why}: ask for a shorter range (from, to), a larger step, or one value of a dimension"))
}

/// The step in ns; `until` is up to when there is nothing finer than `resolution`.
fn step(params: &Params, length: i64, resolution: i64, until: EventTime) -> Result<i64, Problem> {
    let points = |step: i64| length / step + i64::from(length % step > 0);
    let Some(text) = params.text("step") else {
        let nice = STEPS.iter().map(|step| step * SECOND).chain((2..).map(|days| days * DAY));
        let mut fits = nice.filter(|step| step % resolution == 0 && points(*step) <= POINTS);
        return Ok(fits.next().unwrap_or(DAY));
    };
    let seconds = resolution / SECOND;
    let asked = text.parse::<i64>().ok().filter(|step| *step > 0 && *step <= 400 * 86_400).map(|step| step * SECOND);
    let Some(step) = asked.filter(|step| step % resolution == 0) else {
        let finer = if until == EventTime::MIN { String::new() } else { format!(" (before {} there is nothing finer)", rfc3339(until)) };
        return Err(Problem::bad_request(format!("step is a number of seconds, a multiple of {seconds}{finer}")));
    };
    if points(step) > MOST_POINTS {
        let least = length / MOST_POINTS / resolution * seconds + seconds;
        return Err(too_large(&format!("there would be {} points, and at most {MOST_POINTS} are given; step={least} fits", points(step))));
    }
    Ok(step)
}

/// Names of a grouping's dimensions, in the order in which series have them.
fn dimensions(state: &AppState, service: &ServiceNow, grouping: &str) -> Result<Vec<String>, Problem> {
    let parts = &state.inner().parts;
    let all = parts.settings.groupings.dimensions();
    if let Some(of) = parts.settings.groupings.list().iter().find(|of| of.name == grouping) {
        return Ok(of.dimensions.iter().filter_map(|place| all.get(*place).cloned()).collect());
    }
    let rules = parts.board.newest();
    let file = rules.as_ref().and_then(|rules| Some(rules.find(&service.key.namespace, &service.key.service)?.1));
    if let Some(named) = file.and_then(|file| file.groupings.get(grouping)) {
        return Ok(all.iter().filter(|name| named.contains(name)).cloned().collect());
    }
    let own = file.iter().flat_map(|file| file.groupings.keys());
    let names: Vec<&str> = parts.settings.groupings.list().iter().map(|of| of.name.as_str()).chain(own.map(String::as_str)).collect();
    let detail = format!("there is no grouping {grouping:?}; there are {}", names.join(", "));
    Err(Problem::bad_request(detail).with_suggestions(nearest(grouping, names.iter().copied())))
}
