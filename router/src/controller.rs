//! The controller: looks, decides, orders, and sees each flip through to its receipt and its seal.
//!
//! One step at a time, driven by whoever owns the thread; `now` is a steady clock, and no other is read. Any number of controllers may run:
//! membership in a group says which of them leads, and `control::give` is what keeps two that both think so from doing harm, since each
//! decides once more on what stands in the log when nobody else can write. Nothing is remembered that is not in a log: a controller that dies
//! at any step leaves the next one where it stood.
//! What this does not do: it cuts nothing (workers do) and starts no deployment.

/// States of a flip.
pub mod flip;
/// What is seen.
pub mod observe;

use crate::control::{GiveError, OrdersReader, give_upon};
use crate::decide::{Action, CONTROLLER, Facts, Precondition, Wish};
use crate::deployment::Colour;
use crate::health::Health;
use crate::orders::{Entry, Flip, FlipKind, Flipped, Order, Orders};
use crate::receipt;
use crate::settings::ControllerSettings;
use crate::status::{Shadow, Status};
use flip::Stand;
use observe::{Observer, Probe};
use platform_core::log::{Log, LogError, Polled, Reader, Subscription};
use platform_core::planted::{Bug, planted};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// How many probes are kept.
const PROBES: usize = 40;
/// Polls of the group in one step at most.
const POLLS: usize = 16;

/// A controller.
pub struct Controller {
    log: Arc<dyn Log>,
    settings: ControllerSettings,
    /// How it signs.
    name: String,
    orders: OrdersReader,
    observer: Observer,
    probes: Vec<Probe>,
    /// `None` in one that never leads.
    group: Option<Option<Box<dyn Reader>>>,
    leads: bool,
    due: Duration,
    paged: Option<String>,
    /// What was to be ordered last could not be.
    unable: bool,
    counted: Counted,
}

/// What metrics have counted already.
#[derive(Default)]
struct Counted {
    /// Newest flip; `None` before the control log was first read.
    flip: Option<u64>,
    /// Windows that were compared, by partition.
    windows: BTreeSet<(u64, u32)>,
    shadow: Shadow,
}

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Only says what would happen.
    #[serde(default)]
    pub dry_run: bool,
    /// What is asked for.
    #[serde(flatten)]
    pub wanted: Wanted,
}

/// What may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "wanted", rename_all = "snake_case")]
pub enum Wanted {
    /// Forward another colour.
    Flip {
        /// Which one; none: the one that is not live.
        #[serde(default)]
        to: Option<Colour>,
        /// Whether windows may differ.
        #[serde(default)]
        accept_difference: bool,
    },
    /// Forward again what was forwarded before the last flip.
    Rollback {
        /// Whether windows may differ.
        #[serde(default)]
        accept_difference: bool,
    },
    /// No automatic flips, or again.
    Hold {
        /// Whether.
        hold: bool,
    },
}

impl Wanted {
    fn shown(self) -> String {
        match self {
            Self::Flip { to: Some(to), .. } => format!("flip to {to}"),
            Self::Flip { to: None, .. } => "flip".to_owned(),
            Self::Rollback { .. } => "rollback".to_owned(),
            Self::Hold { hold: true } => "hold".to_owned(),
            Self::Hold { hold: false } => "release".to_owned(),
        }
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was ordered, or in a dry run would be.
    pub granted: bool,
    /// What was ordered, or would be.
    pub flip: Option<Flip>,
    /// Every condition, in order.
    pub preconditions: Vec<Precondition>,
    /// In a sentence.
    pub said: String,
}

impl Controller {
    /// A controller that has seen nothing, and hears from `health` what processes say of themselves. One that does not `lead` only looks, and orders what people ask it to.
    #[must_use]
    pub fn new(log: Arc<dyn Log>, settings: ControllerSettings, health: Arc<dyn Health>, instance: &str, lead: bool) -> Self {
        Self {
            orders: OrdersReader::new(Arc::clone(&log), &settings.control),
            observer: Observer::new(Arc::clone(&log), settings.clone(), health),
            name: if instance.is_empty() { CONTROLLER.to_owned() } else { format!("{CONTROLLER} {instance}") },
            probes: Vec::new(),
            group: lead.then_some(None),
            leads: false,
            due: Duration::ZERO,
            paged: None,
            unable: false,
            counted: Counted::default(),
            log,
            settings,
        }
    }

    /// Looks when it is time to, and does what is to be done. Whatever fails here is tried again by the next step.
    ///
    /// # Errors
    /// What could not be read or ordered.
    pub fn step(&mut self, now: Duration) -> Result<(), GiveError> {
        let led = self.leads;
        self.lead()?;
        if now < self.due && led == self.leads {
            return Ok(());
        }
        self.due = now.saturating_add(self.settings.checks.probe);
        self.look(now)?;
        if self.leads && self.settings.checks.automatic { self.act() } else { Ok(()) }
    }

    /// Takes a probe.
    ///
    /// # Errors
    /// When a log cannot be read.
    pub fn look(&mut self, now: Duration) -> Result<(), GiveError> {
        self.refresh()?;
        let probe = self.observer.probe(self.orders.orders(), now)?;
        self.probes.push(probe);
        if self.probes.len() > PROBES {
            self.probes.remove(0);
        }
        self.count();
        Ok(())
    }

    /// Reads what was ordered since the last probe: who asks for something sees it in the next answer.
    ///
    /// # Errors
    /// When the control log cannot be read.
    pub fn refresh(&mut self) -> Result<(), GiveError> {
        if self.orders.refresh()? { Ok(()) } else { Err(GiveError::End) }
    }

    /// Polls the group: whoever is assigned the control log's partition leads.
    fn lead(&mut self) -> Result<(), LogError> {
        let Some(group) = &mut self.group else { return Ok(()) };
        let polled = poll(&self.log, &self.settings, group);
        if polled.is_err() {
            *group = None;
            self.leads = false;
        }
        if let Some(leads) = polled? {
            if leads != self.leads {
                tracing::info!(leads, name = self.name, "the controllers have agreed who leads");
            }
            self.leads = leads;
        }
        Ok(())
    }

    /// What is known, for a decision on these orders.
    fn facts<'a>(&'a self, orders: &'a Orders) -> Facts<'a> {
        Facts { probes: &self.probes, orders, checks: &self.settings.checks, window: self.settings.window }
    }

    fn act(&mut self) -> Result<(), GiveError> {
        if let Some(unusable) = self.orders.unusable() {
            self.page(Some(unusable.to_string()));
            return Ok(());
        }
        let action = self.facts(self.orders.orders()).decide();
        let done = self.carry_out(&action);
        let unable = done.as_ref().is_err_and(|error| !matches!(error, GiveError::Passed(_)));
        // Once may be a broker that is just leaving.
        let stays_unable = std::mem::replace(&mut self.unable, unable) && unable;
        self.page(match (action, &done) {
            // The log lost its beginning, or a newer program wrote, since it was read.
            (_, Err(GiveError::Unusable(unusable))) => Some(unusable.to_string()),
            (Action::Flip { reason, .. } | Action::Abandon { reason, .. }, Err(error)) if stays_unable => {
                Some(format!("{reason}; that cannot be ordered: {error}"))
            }
            (Action::Page { reason } | Action::Flip { reason, page: true, .. }, _) => Some(reason),
            _ => None,
        });
        done
    }

    fn carry_out(&self, action: &Action) -> Result<(), GiveError> {
        let again = |orders: &Orders| self.facts(orders).decide() == *action;
        let entry = |reason: &String, order| Some(Entry { by: self.name.clone(), reason: reason.clone(), order });
        match action {
            Action::Nothing | Action::Page { .. } => self.see_through(),
            Action::Flip { to, reason, .. } => {
                tracing::error!(%to, %reason, "the router flips");
                self.give(|orders| {
                    let flip = self.facts(orders).flip_of(orders.live()?, *to, FlipKind::Failure)?;
                    if again(orders) { entry(reason, Order::Flip(flip)) } else { None }
                })
            }
            Action::Abandon { deployment, reason } => {
                tracing::error!(%deployment, %reason, "a deployment is given up");
                let order = Order::Abandon { deployment: *deployment };
                self.give(|orders| if again(orders) { entry(reason, order) } else { None })
            }
        }
    }

    /// Says once what a person must know, until it changes.
    fn page(&mut self, reason: Option<String>) {
        if reason == self.paged {
            return;
        }
        if let Some(reason) = &reason {
            metrics::counter!("platform_router_pages_total", "pipeline" => self.settings.pipeline.clone()).increment(1);
            tracing::error!(%reason, "a person is needed");
        }
        self.paged = reason;
    }

    /// Writes what a flip is owed: its receipt, its seal.
    fn see_through(&self) -> Result<(), GiveError> {
        let (orders, checks) = (self.orders.orders(), &self.settings.checks);
        let Some((probe, last)) = self.probes.last().zip(orders.flips().last()) else { return Ok(()) };
        // A flip may have been followed by another one before it was proved.
        let provable = |flip: &&Flipped| matches!(Stand::of(flip, probe), Stand::Cut(cut) if cut.is_provable(probe, checks));
        let flip = orders.flips().iter().find(provable).unwrap_or(last);
        let number = flip.order.flip;
        let order = match Stand::of(flip, probe) {
            Stand::Cut(cut) if cut.is_provable(probe, checks) => {
                let receipt = receipt::of_flip(&self.log, &self.settings, orders, flip, probe)?;
                if !receipt.is_clean() {
                    metrics::counter!("platform_invariant_violations_total", "pipeline" => self.settings.pipeline.clone(), "name" => "I19 receipt")
                        .increment(1);
                    tracing::error!(flip = number, lost = receipt.lost, doubled = receipt.doubled, "a flip's receipt is not clean");
                }
                Order::Done { flip: number, receipt: serde_json::to_value(receipt).unwrap_or_default() }
            }
            Stand::Done(done) if done.is_ripe(probe, orders, checks) => Order::Seal { flip: number },
            _ => return Ok(()),
        };
        let reason = match &order {
            Order::Seal { .. } => "the old deployment was ready for long enough",
            _ => "every partition is cut",
        };
        self.give(|orders| {
            let known = orders.flip(number)?;
            let there = match &order {
                Order::Seal { .. } => known.sealed || orders.next_flip() != number + 1 || orders.on_hold(),
                _ => known.receipt.is_some(),
            };
            (!there).then(|| Entry { by: self.name.clone(), reason: reason.to_owned(), order: order.clone() })
        })
    }

    fn give(&self, decide: impl FnOnce(&Orders) -> Option<Entry>) -> Result<(), GiveError> {
        let before = planted(Bug::ControlReadFirst).then_some(&self.orders);
        give_upon(before, &self.log, &self.settings.pipeline, &self.settings.control, decide).map(drop)
    }

    /// Does what a person asks for, or says why not. Both stand in the control log then, unless it was a dry run.
    ///
    /// # Errors
    /// When the control log cannot be read or written, so that nothing changed, or nobody knows.
    pub fn ask(&self, request: &Request) -> Result<Answer, GiveError> {
        let signed = |order| Entry { by: request.by.clone(), reason: request.reason.clone(), order };
        let (to, accept_difference) = match request.wanted {
            Wanted::Hold { hold } => {
                if !request.dry_run {
                    self.give(|_| Some(signed(Order::Hold { hold })))?;
                }
                let said = if hold { "no automatic flips from now on" } else { "automatic flips again from now on" };
                return Ok(Answer { granted: true, flip: None, preconditions: Vec::new(), said: said.to_owned() });
            }
            Wanted::Flip { to, accept_difference } => (to, accept_difference),
            Wanted::Rollback { accept_difference } => (None, accept_difference),
        };
        let answer = |orders: &Orders| self.answer(orders, to, accept_difference, request.wanted);
        if request.dry_run {
            return Ok(answer(self.orders.orders()));
        }
        let mut given = None;
        self.give(|orders| {
            let answer = given.insert(answer(orders));
            Some(match &answer.flip {
                Some(flip) => signed(Order::Flip(flip.clone())),
                None => {
                    let asked = (request.wanted.shown(), answer.said.clone());
                    refusal(orders, (&request.by, &request.reason), asked, &answer.preconditions)
                }
            })
        })?;
        given.ok_or(GiveError::End)
    }

    /// Writes down that something was asked for that makes no sense: who tried what is part of the audit record.
    ///
    /// # Errors
    /// When the control log cannot be read or written.
    pub fn refuse(&self, by: &str, reason: &str, asked: &str, why: &str) -> Result<(), GiveError> {
        self.give(|orders| Some(refusal(orders, (by, reason), (asked.to_owned(), why.to_owned()), &[])))
    }

    fn answer(&self, orders: &Orders, to: Option<Colour>, accept_difference: bool, wanted: Wanted) -> Answer {
        let facts = self.facts(orders);
        let to = to.or_else(|| orders.live().map(|live| live.colour.other())).unwrap_or(Colour::Blue);
        let wish = Wish { to, accept_difference };
        let mut preconditions = Vec::new();
        if matches!(wanted, Wanted::Rollback { .. }) {
            let never = orders.flips().is_empty().then(|| "nothing was flipped yet, so there is nothing to go back to".to_owned());
            preconditions.push(Precondition { what: "there is a flip to take back".to_owned(), refused: never });
        }
        preconditions.extend(facts.preconditions(&wish));
        let refused: Vec<&str> = preconditions.iter().filter_map(|condition| condition.refused.as_deref()).collect();
        let flip = if refused.is_empty() { facts.flip(&wish) } else { None };
        let said = match &flip {
            Some(flip) => format!("flip {} from {} to {}, {}", flip.flip, flip.from, flip.to, kind_shown(flip)),
            None if refused.is_empty() => "nothing was seen of the public topic yet: ask again in a moment".to_owned(),
            None => refused.join(". "),
        };
        Answer { granted: flip.is_some(), flip, preconditions, said }
    }

    /// How everything stands.
    #[must_use]
    pub fn status(&self) -> Status {
        let mut status = Status::of(&self.facts(self.orders.orders()));
        status.leads = self.leads;
        status.page.clone_from(&self.paged);
        status.shadow = self.counted.shadow;
        status.unusable = self.orders.unusable().map(|unusable| unusable.to_string());
        status
    }

    /// What was ordered, as far as it was read.
    #[must_use]
    pub fn orders(&self) -> &Orders {
        self.orders.orders()
    }

    /// The log that it looks at.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Its settings.
    #[must_use]
    pub fn settings(&self) -> &ControllerSettings {
        &self.settings
    }

    /// Metrics: flips, who is live and well, windows that were compared.
    fn count(&mut self) {
        let (orders, pipeline) = (self.orders.orders(), &self.settings.pipeline);
        let newest = orders.flips().last().map_or(0, |flip| flip.order.flip);
        // Only one of all controllers counts, and none counts what was before it.
        let known = self.counted.flip.replace(newest).unwrap_or(newest);
        for flip in orders.flips().iter().filter(|flip| flip.order.flip > known && self.leads) {
            let reason = if flip.order.kind == FlipKind::Planned { "planned" } else { "failure" };
            metrics::counter!("platform_router_flips_total", "pipeline" => pipeline.clone(), "reason" => reason).increment(1);
        }
        let facts = Facts { probes: &self.probes, orders, checks: &self.settings.checks, window: self.settings.window };
        for colour in Colour::ALL {
            let live = orders.live().is_some_and(|live| live.colour == colour);
            let well = facts.trouble(colour).is_none();
            let set = |name: &'static str, on: bool| {
                metrics::gauge!(name, "pipeline" => pipeline.clone(), "colour" => colour.name()).set(f64::from(u8::from(on)));
            };
            set("platform_router_live", live);
            set("platform_router_healthy", well);
        }
        let Counted { windows, shadow, .. } = &mut self.counted;
        let Some((blue, green)) = self.probes.last().and_then(|p| p.colours.get(&Colour::Blue).zip(p.colours.get(&Colour::Green))) else {
            return;
        };
        let owned = |of| orders.start_of(of).map_or(0, |start| start.owned_from);
        let from = owned(blue.deployment).max(owned(green.deployment));
        for ((blue, green), index) in blue.partitions.iter().zip(&green.partitions).zip(0..) {
            for (window, blue) in blue.windows.range(from..) {
                let Some(green) = green.windows.get(window).filter(|_| windows.insert((*window, index))) else { continue };
                shadow.compared += 1;
                metrics::counter!("platform_router_shadow_compared_total", "pipeline" => pipeline.clone()).increment(1);
                if blue.sums != green.sums {
                    shadow.different += 1;
                    metrics::counter!("platform_router_shadow_differences_total", "pipeline" => pipeline.clone()).increment(1);
                }
            }
        }
        // Windows leave probes by their age; what is older than all that are left is not met again.
        while windows.len() > 100_000 {
            windows.pop_first();
        }
    }
}

/// What was asked for by whom and for what reason, and why it is refused.
fn refusal(orders: &Orders, (by, reason): (&str, &str), (asked, why): (String, String), preconditions: &[Precondition]) -> Entry {
    let live = orders.live().map(|live| live.to_string());
    let receipt = serde_json::json!({"changed": false, "live": live, "why": reason, "preconditions": preconditions});
    Entry { by: by.to_owned(), reason: why, order: Order::Refused { asked, receipt } }
}

fn kind_shown(flip: &Flip) -> String {
    match flip.kind {
        FlipKind::Planned => format!("behind window {}", crate::settings::shown(flip.window)),
        FlipKind::Failure => "at once, since the live one fails; it is given up".to_owned(),
    }
}

/// Whether this member leads; `None`: as before.
fn poll(log: &Arc<dyn Log>, settings: &ControllerSettings, group: &mut Option<Box<dyn Reader>>) -> Result<Option<bool>, LogError> {
    let reader = match group.take() {
        Some(reader) => group.insert(reader),
        None => {
            let subscription = Subscription { group: Some(settings.controller_group.clone()), topics: vec![settings.control.clone()] };
            group.insert(log.reader(&subscription)?)
        }
    };
    let mut leads = None;
    for _ in 0..POLLS {
        match reader.poll(Duration::ZERO)? {
            Polled::Assigned(assignment) => leads = Some(!assignment.partitions.is_empty()),
            // What stands in the control log is read by a reader without a group.
            Polled::Batch(_) => {}
            Polled::Nothing => break,
        }
    }
    Ok(leads)
}

#[cfg(test)]
mod tests;
