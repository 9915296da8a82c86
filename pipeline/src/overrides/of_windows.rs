//! What CLOSE asks of overrides: the health of a series in a window, by the version in force at the window's start.
//!
//! The rule in force is evaluated lazily against the integers of the window, so a quantile that it does not reach is not computed. A rule
//! that fails leaves the verdict to the default rule and is counted. Production, backtest and explanation evaluate here and nowhere else.

use crate::aggregate::Aggregate;
use crate::overrides::activation::tag_of;
use crate::overrides::of_events::guarded;
use crate::signal::completeness::Completeness;
use crate::signal::health::{Level, Ruled};
use crate::signal::latency::{self, Summary};
use crate::signal::saturation::{self, Saturation};
use crate::signal::{availability, requests};
use golden_overrides::file::Override;
use golden_overrides::language::{HealthRule, Number, Text};
use golden_overrides::scope::Scope;
use platform_core::window::WindowLength;
use std::cell::OnceCell;

/// What a health rule reads: one series in one window.
pub struct WindowScope<'a> {
    /// All counts.
    pub aggregate: &'a Aggregate,
    /// Length of the window.
    pub window: WindowLength,
    /// Share of the input that was seen.
    pub completeness: Completeness,
    /// Last known level before this window.
    pub previous: Level,
    /// Name of the service.
    pub service: &'a str,
    /// Names and values of the series' dimensions.
    pub dimensions: &'a [(&'a str, &'a str)],
    /// How much of its resources the service used, where that is known.
    pub saturation: Option<Saturation>,
    summary: OnceCell<Option<Summary>>,
}

impl<'a> WindowScope<'a> {
    /// A scope that has computed no latency yet; `found` is the override whose capacities count.
    #[must_use]
    pub fn new(
        aggregate: &'a Aggregate,
        window: WindowLength,
        completeness: Completeness,
        previous: Level,
        service: &'a str,
        dimensions: &'a [(&'a str, &'a str)],
        found: Option<&Override>,
    ) -> Self {
        // Of a part of a service it is not known: resources are those of the whole.
        let whole = dimensions.is_empty();
        let requests = aggregate.counts().requests();
        let saturation = whole.then(|| saturation::saturation(aggregate.usage(), requests, window, found)).flatten();
        Self { aggregate, window, completeness, previous, service, dimensions, saturation, summary: OnceCell::new() }
    }

    fn latency(&self) -> Option<&Summary> {
        self.summary.get_or_init(|| latency::summary_of_all(self.aggregate)).as_ref()
    }

    fn quantile(&self, place: usize) -> Option<f64> {
        self.latency()?.quantiles_ms().get(place).copied()
    }
}

impl Scope for WindowScope<'_> {
    fn number(&self, name: Number) -> Option<f64> {
        let counts = self.aggregate.counts();
        match name {
            Number::RequestCount => Some(counts.requests() as f64),
            Number::RequestRate => Some(requests::rate(counts.requests(), self.window)),
            Number::ErrorCount => Some(counts.errors as f64),
            Number::ErrorRate => Some(requests::rate(counts.errors, self.window)),
            Number::Availability => availability::percent(counts.requests(), counts.errors),
            Number::LatencyP50 => self.quantile(0),
            Number::LatencyP75 => self.quantile(1),
            Number::LatencyP90 => self.quantile(2),
            Number::LatencyP95 => self.quantile(3),
            Number::LatencyP99 => self.quantile(4),
            Number::LatencyP999 => self.quantile(5),
            Number::LatencyMean => self.latency().map(Summary::mean_ms),
            Number::LatencyMax => self.latency().map(Summary::max_ms),
            Number::Completeness => Some(self.completeness.ratio()),
            Number::PreviousHealth => Some(f64::from(self.previous.number())),
            Number::Saturation => self.saturation.map(|saturation| saturation.percent()),
            // Of single requests.
            Number::Status | Number::Latency => None,
        }
    }

    fn text(&self, name: Text) -> &str {
        match name {
            Text::Service => self.service,
            Text::Operation => self.tag("operation"),
            Text::SvcHost => self.tag("svc_host"),
            Text::Env | Text::Region | Text::Swimlane => tag_of(name).map_or("", |tag| self.tag(tag)),
            Text::GrpcStatus | Text::StatusText | Text::ErrorType | Text::Outcome => "",
        }
    }

    fn tag(&self, name: &str) -> &str {
        self.dimensions.iter().find(|(dimension, _)| *dimension == name).map_or("", |(_, value)| value)
    }
}

/// What the rule of an override gives for a series in a window, and why it gave nothing if it did not.
#[must_use]
pub fn ruled(rule: Option<&HealthRule>, scope: &WindowScope<'_>) -> (Ruled, Option<&'static str>) {
    let Some(rule) = rule else { return (Ruled::Default, None) };
    match guarded(|| rule.level(scope)) {
        Ok(level) => (Ruled::Gave(f64::from(level)), None),
        Err(reason) => (Ruled::Failed, Some(reason)),
    }
}

/// The health rule of an override, if it has one.
#[must_use]
pub fn rule_of(found: Option<&Override>) -> Option<&HealthRule> {
    found.and_then(|found| found.health.as_ref()).map(|written| &written.rule)
}
