//! Those who deploy, flip, seal and give up: through a controller, which looks first, or by writing the order themselves, which is what a
//! controller with other settings might do at this moment.

use super::World;
use crate::parts::{Task, topics};
use crate::plan::{EPOCH, SKEW, SOURCES, WINDOW, nanos};
use golden_pipeline::names::PIPELINE;
use golden_router::control::give;
use golden_router::controller::{Request, Wanted};
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{Entry, Flip, FlipKind, Order, Orders, Start};
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::record::Partition;
use platform_core::time::AppendTime;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

impl World {
    /// What stands in the control log.
    pub(crate) fn orders(&self) -> Rc<Orders> {
        self.watch.borrow_mut().orders(&self.log)
    }

    /// The newest whole window of each public partition, as a number that rises with time.
    pub(crate) fn published(&self) -> Vec<Option<u64>> {
        self.watch.borrow_mut().newest(&self.log)
    }

    fn count(&mut self, what: &'static str) {
        *self.asked.entry(what).or_default() += 1;
    }

    /// Blue is there from the beginning; green too, mostly.
    pub(super) fn begin(&mut self) {
        let green = self.seed.chance(800);
        let start = |colour, epoch| {
            Order::Start(Start { deployment: Deployment { colour, epoch }, version: "1".to_owned(), owned_from: 0, positions: Vec::new() })
        };
        self.order("begins", |_| Some(start(Colour::Blue, EPOCH)));
        if green {
            self.order("begins", |_| Some(start(Colour::Green, EPOCH + 1)));
        }
    }

    /// Gives an order, as a process of its own. Whether it took place, the log says.
    fn order(&mut self, reason: &str, decide: impl FnOnce(&Orders) -> Option<Order>) -> bool {
        self.numbers += 1;
        let log: Arc<dyn Log> = Arc::new(self.log.of_process(self.numbers));
        let entry = |order| Entry { by: "mina".to_owned(), reason: reason.to_owned(), order };
        let given = give(&log, PIPELINE, &self.topics.control, |orders| decide(orders).map(entry));
        self.log.kill(self.numbers);
        matches!(given, Ok(Some(_)))
    }

    /// Somebody wants something.
    pub(super) fn operate(&mut self) {
        let orders = self.orders();
        let Some(live) = orders.live() else { return };
        let Some(standby) = orders.running(live.colour.other()).cloned() else { return self.deploy(live.colour.other()) };
        match self.seed.below(16) {
            0..4 => self.ask(),
            4..8 => self.flip(live, &standby, FlipKind::Planned),
            8..11 => self.flip(live, &standby, FlipKind::Failure),
            11 => self.deploy(standby.deployment.colour),
            12 => {
                let deployment = standby.deployment;
                if self.order("abandon", |now| (now.live() != Some(deployment)).then_some(Order::Abandon { deployment })) {
                    self.count("order: abandon");
                }
            }
            13 | 14 => {
                let last = |now: &Orders| now.flips().last().filter(|flip| !flip.sealed).map(|flip| Order::Seal { flip: flip.order.flip });
                if self.order("seal", last) {
                    self.count("order: seal");
                }
            }
            _ => {
                let hold = self.seed.chance(300);
                if self.order("hold", |_| Some(Order::Hold { hold })) {
                    self.count("order: hold");
                }
            }
        }
    }

    /// No run is without a flip: whoever sees towards the end that there was none orders one.
    pub(super) fn flip_at_last(&mut self) {
        if self.flipped {
            return;
        }
        let orders = self.orders();
        self.flipped = !orders.flips().is_empty();
        let Some(live) = orders.live().filter(|_| !self.flipped) else { return };
        let Some(standby) = orders.running(live.colour.other()) else { return self.deploy(live.colour.other()) };
        // Nobody dies any more once it is quiet.
        let failure = self.now() < self.plan.busy && self.seed.chance(300);
        let kind = if failure { FlipKind::Failure } else { FlipKind::Planned };
        self.flip(live, standby, kind);
    }

    /// A person asks a controller, which may refuse.
    fn ask(&mut self) {
        let (accept_difference, dry_run) = (self.seed.chance(500), self.seed.chance(100));
        let wanted = match self.seed.below(3) {
            0 => Wanted::Rollback { accept_difference },
            1 => Wanted::Flip { to: self.seed.pick(&Colour::ALL).copied(), accept_difference },
            _ => Wanted::Flip { to: None, accept_difference },
        };
        let request = Request { by: "mina".to_owned(), reason: "asked".to_owned(), dry_run, wanted };
        let tasks = self.processes.iter().filter(|process| process.paused_until.is_none()).flat_map(|process| &process.tasks);
        let controller = tasks.into_iter().find_map(|task| if let Task::Control(controller, _) = task { Some(controller) } else { None });
        let answer = controller.map(|controller| controller.ask(&request));
        match answer {
            Some(Ok(answer)) if answer.granted && !dry_run => self.count("asked: granted"),
            Some(Ok(_)) => self.count("asked: refused or dry"),
            _ => {}
        }
    }

    fn flip(&mut self, from: Deployment, to: &Start, kind: FlipKind) {
        let published: Vec<u64> = self.published().into_iter().map(Option::unwrap_or_default).collect();
        // As `Facts::reaches` has it, and stricter where nothing is published.
        let oldest = published.iter().min().copied().unwrap_or(0);
        if to.owned_from > oldest.saturating_add(nanos(WINDOW).unsigned_abs()) {
            return;
        }
        let newest = published.iter().max().copied().unwrap_or(0);
        let ahead = self.seed.below(3) * nanos(WINDOW).unsigned_abs();
        // Not before the cut of an earlier flip: a controller waits until that is past, and receipts rely on it.
        let before = self.orders().flips().iter().map(|flip| flip.order.window).max().unwrap_or(0);
        let window = if kind == FlipKind::Planned && newest > 0 { before.max(newest + ahead) } else { 0 };
        if kind == FlipKind::Failure && self.seed.chance(500) {
            self.kill(from.colour);
        }
        let to = to.deployment;
        let given = self.order("flips", |now| {
            let flip = Flip { flip: now.next_flip(), from, to, kind, window };
            now.check(&flip).is_ok().then_some(Order::Flip(flip))
        });
        if given {
            self.count("order: flip");
        }
    }

    /// All processes of a colour die.
    fn kill(&mut self, colour: Colour) {
        for place in (0..self.processes.len()).rev() {
            let of = self.processes.get(place).is_some_and(|process| process.role.colours.contains(&colour) && !process.frozen);
            if of && !self.plan.blackout {
                self.end(place, true);
            }
        }
    }

    /// All processes of one colour, and of no other, stand still for a while, or are cut off.
    pub(super) fn outage(&mut self) {
        let Some(colour) = self.seed.pick(&Colour::ALL).copied() else { return };
        let lasting = Duration::from_secs(5 + self.seed.below(40));
        if self.plan.cuts > 0 && self.seed.chance(500) {
            for place in 0..self.processes.len() {
                if self.processes.get(place).is_some_and(|process| process.role.colours == [colour]) {
                    self.cut_off(place, lasting);
                    self.count("colour cut off");
                }
            }
            return;
        }
        let until = self.now() + lasting;
        for process in self.processes.iter_mut().filter(|process| process.role.colours == [colour] && process.paused_until.is_none()) {
            process.paused_until = Some(until);
            self.log.pause(process.number);
            *self.asked.entry("outage of a colour").or_default() += 1;
        }
    }

    /// A new deployment takes the place of a colour that is not live.
    fn deploy(&mut self, colour: Colour) {
        self.numbers += 1;
        let log = self.log.of_process(self.numbers);
        let from = AppendTime(self.clock.wall().saturating_sub(nanos(self.plan.retain)).saturating_sub(nanos(SKEW)));
        let events = topics(colour).events;
        let at = |index| Some((events.to_string(), index, log.offset_at(&Partition::new(&events, index), from).ok()?.0));
        let Some(positions) = (0..SOURCES).map(at).collect::<Option<Vec<_>>>() else { return };
        // The first window that begins as much later as an event may be ahead of its append.
        let whole = from.0.saturating_add(nanos(SKEW));
        let first = (whole + nanos(WINDOW) - 1).div_euclid(nanos(WINDOW)) * nanos(WINDOW);
        // One that reads everything there ever was answers for everything.
        let all = positions.iter().all(|(_, _, at)| *at == 0);
        let owned_from = if all { 0 } else { first.cast_unsigned() ^ (1 << 63) };
        let given = self.order("deploys", |now| {
            let deployment = Deployment { colour, epoch: now.next_epoch() };
            (now.live().is_none_or(|live| live.colour != colour))
                .then(|| Order::Start(Start { deployment, version: "1".to_owned(), owned_from, positions }))
        });
        if given {
            self.count("order: deployment");
        }
    }
}

/// The window of an identity, as a number that rises with time.
pub(crate) fn window_of(identity: &[u8]) -> u64 {
    identity.first_chunk::<8>().map_or(0, |start| u64::from_be_bytes(*start))
}
