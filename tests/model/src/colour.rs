//! Deployments: what each writes, in which order.
//!
//! All deployments compute the same totals; a late event is in the first result of one and in a correction of another. What a deployment
//! writes is fixed; when it writes it, and how far it comes before it dies, is not.

/// Windows are 1, 2, 3 …
pub type Window = u8;
/// Place of a deployment in the configuration; its epoch is one more.
pub type Dep = u8;

/// A record of a `signals` partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rec {
    /// What is known of an identity: window, series, number of events, whether all input was seen.
    Result(Window, u8, u8, bool),
    /// No first result of this window can come any more.
    Progress(Window),
}

impl Rec {
    /// The window that it speaks of.
    #[must_use]
    pub fn window(self) -> Window {
        match self {
            Self::Result(window, ..) | Self::Progress(window) => window,
        }
    }
}

/// A late event: in the first result of deployments that see it at 0; else in a correction behind the n-th progress record from its
/// window's own on.
#[derive(Clone, Debug)]
pub struct Late {
    /// Window it belongs to.
    pub window: Window,
    /// Series.
    pub series: u8,
    /// When each deployment sees it.
    pub seen: Vec<u8>,
    /// Whether it is an event; else the window was incomplete before, and only turns complete.
    pub event: bool,
}

/// What one deployment writes into one partition, transaction by transaction.
pub type Script = Vec<Vec<Rec>>;

/// The script of deployment `dep`: windows from `from` to `to`, `series` identities each; `halves`: each result is a transaction of its own.
#[must_use]
pub fn script(dep: Dep, from: Window, to: Window, series: u8, late: &[Late], halves: bool) -> Script {
    let mut out = Script::new();
    let seen = |l: &Late| l.seen.get(usize::from(dep)).copied().unwrap_or(0);
    for window in from..=to {
        let mut records = Vec::new();
        for s in 0..series {
            let of: Vec<&Late> = late.iter().filter(|l| (l.window, l.series) == (window, s)).collect();
            let events = 1 + of.iter().filter(|l| l.event && seen(l) == 0).count() as u8;
            records.push(Rec::Result(window, s, events, !of.iter().any(|l| !l.event && seen(l) > 0)));
        }
        records.push(Rec::Progress(window));
        if halves {
            out.extend(records.into_iter().map(|r| vec![r]));
        } else {
            out.push(records);
        }
        let due = |l: &&Late| {
            seen(l) > 0 && l.window >= from && (l.window + seen(l) - 1 == window || window == to && l.window + seen(l) > to + 1)
        };
        out.extend(late.iter().filter(due).map(|l| vec![Rec::Result(l.window, l.series, whole(l.window, l.series, late), true)]));
    }
    out
}

/// All events of an identity.
#[must_use]
pub fn whole(window: Window, series: u8, late: &[Late]) -> u8 {
    1 + late.iter().filter(|l| l.event && (l.window, l.series) == (window, series)).count() as u8
}
