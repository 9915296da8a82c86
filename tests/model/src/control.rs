//! The control log: short names for orders, and what a reader of the first n of them sees. Folded by the product's own `Orders`.

use crate::colour::{Dep, Window};
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{Entry, Flip, FlipKind, Order, Orders, Start};

/// An order, as it stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cmd {
    /// A deployment begins.
    Start(Dep),
    /// Number, from, to, whether it is a failure flip, last window of the old one.
    Flip(u8, Dep, Dep, bool, Window),
    /// A deployment is given up.
    Abandon(Dep),
    /// The old deployment of a flip answers for nothing any more.
    Seal(u8),
    /// A flip is over.
    Done(u8),
}

/// A flip as a reader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flipped {
    /// Its number.
    pub number: u8,
    /// What was live.
    pub from: Dep,
    /// What will be.
    pub to: Dep,
    /// Whether the old one is abandoned.
    pub failure: bool,
    /// The window it was ordered for.
    pub window: Window,
    /// Whether the old one was sealed.
    pub sealed: bool,
    /// Whether it is over.
    pub done: bool,
}

/// What a reader of the control log sees.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Deployments that have begun.
    pub started: Vec<Dep>,
    /// Deployments that were given up.
    pub abandoned: Vec<Dep>,
    /// Flips in order.
    pub flips: Vec<Flipped>,
    /// What the newest flip flips to.
    pub live: Dep,
}

/// Who a deployment is: its colour alternates in configurations that say nothing else, its epoch is its place.
#[must_use]
pub fn deployment(dep: Dep) -> Deployment {
    Deployment { colour: if colour(dep) == 0 { Colour::Blue } else { Colour::Green }, epoch: u32::from(dep) + 1 }
}

/// Colour of a deployment, 0 or 1: they take turns.
#[must_use]
pub fn colour(dep: Dep) -> usize {
    usize::from(dep % 2)
}

fn dep(deployment: Deployment) -> Dep {
    u8::try_from(deployment.epoch).unwrap_or(u8::MAX).saturating_sub(1)
}

fn order(cmd: Cmd) -> Order {
    match cmd {
        Cmd::Start(d) => Order::Start(Start { deployment: deployment(d), version: String::new(), owned_from: 0, positions: vec![] }),
        Cmd::Flip(flip, from, to, failure, window) => Order::Flip(Flip {
            flip: u64::from(flip),
            from: deployment(from),
            to: deployment(to),
            kind: if failure { FlipKind::Failure } else { FlipKind::Planned },
            window: u64::from(window),
        }),
        Cmd::Abandon(d) => Order::Abandon { deployment: deployment(d) },
        Cmd::Seal(flip) => Order::Seal { flip: u64::from(flip) },
        Cmd::Done(flip) => Order::Done { flip: u64::from(flip), receipt: serde_json::Value::Null },
    }
}

/// What a reader of these orders sees. `any_number`: a planted mistake, flips are taken under any number.
#[must_use]
pub fn view(log: &[Cmd], any_number: bool) -> View {
    let (mut orders, mut started, mut flips) = (Orders::default(), Vec::new(), Vec::<Flipped>::new());
    for cmd in log {
        let mut taken = *cmd;
        if let (Cmd::Flip(number, ..), true) = (&mut taken, any_number) {
            *number = u8::try_from(orders.next_flip()).unwrap_or(u8::MAX);
        }
        if orders.apply(Entry { by: String::new(), reason: String::new(), order: order(taken) }, 0).is_err() {
            continue;
        }
        match *cmd {
            Cmd::Start(d) => started.push(d),
            Cmd::Flip(number, from, to, failure, window) => {
                flips.push(Flipped { number, from, to, failure, window, sealed: false, done: false });
            }
            Cmd::Abandon(_) | Cmd::Seal(_) | Cmd::Done(_) => {}
        }
    }
    for (flip, of) in flips.iter_mut().zip(orders.flips()) {
        (flip.sealed, flip.done) = (of.sealed, of.receipt.is_some());
    }
    let abandoned = started.iter().copied().filter(|d| orders.is_abandoned(deployment(*d))).collect();
    View { started, abandoned, flips, live: orders.live().map_or(0, dep) }
}
