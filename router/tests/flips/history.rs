//! Many things at once: two colours that see late events at different times, flips of all kinds, restarts with and without a disk, commits
//! that fail, markers that come late. In the end everything stands there once, and whole.

use crate::world::{BLUE, GREEN, Seen, World};
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{FlipKind, Order};
use platform_testkit::log::Fault;
use platform_testkit::seed::Seed;
use std::collections::{BTreeMap, BTreeSet};

const WINDOWS: u64 = 9;
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Events of a window and name, as they come: how many are on time, and how many come late.
#[derive(Clone, Default)]
struct Source(BTreeMap<(u64, &'static str), (u64, u64)>);

impl Source {
    fn new(seed: &mut Seed) -> Self {
        let mut all = BTreeMap::new();
        for window in 1..=WINDOWS {
            for name in NAMES {
                let on_time = seed.below(4);
                let late = seed.below(3) * seed.below(2);
                if on_time + late > 0 {
                    all.insert((window, name), (on_time, late));
                }
            }
        }
        Self(all)
    }
}

/// A colour that writes what it has read, some late events before it closes a window, the others after it.
struct Writer {
    of: Deployment,
    window: u64,
    /// Finals of the window that have left.
    sent: usize,
    /// What still has to be corrected: totals by window and name.
    owed: Vec<(u64, &'static str, u64)>,
    alive: bool,
}

impl Writer {
    fn new(of: Deployment) -> Self {
        Self { of, window: 1, sent: 0, owed: Vec::new(), alive: true }
    }

    fn write(&mut self, world: &mut World, source: &Source, seed: &mut Seed) {
        if !self.alive {
            return;
        }
        // Only windows that are closed are corrected.
        let due: Vec<usize> = (0..self.owed.len()).filter(|at| self.owed[*at].0 < self.window).collect();
        if !due.is_empty() && (seed.chance(300) || self.window > WINDOWS) {
            let at = seed.pick(&due).copied().unwrap();
            let (window, name, events) = self.owed.remove(at);
            world.result(self.of, window, name, events, false);
            return;
        }
        if self.window > WINDOWS {
            return;
        }
        match NAMES.get(self.sent) {
            Some(name) => {
                self.sent += 1;
                let Some((on_time, late)) = source.0.get(&(self.window, name)) else { return };
                let early = if *late > 0 { seed.below(late + 1) } else { 0 };
                if on_time + early > 0 {
                    world.result(self.of, self.window, name, on_time + early, true);
                }
                if early < *late {
                    self.owed.push((self.window, name, on_time + late));
                }
            }
            None => {
                world.progress(self.of, self.window);
                self.window += 1;
                self.sent = 0;
            }
        }
    }

    /// Everything that it has still to say.
    fn finish(&mut self, world: &mut World, source: &Source, seed: &mut Seed) {
        while self.alive && (self.window <= WINDOWS || !self.owed.is_empty()) {
            self.write(world, source, seed);
        }
    }
}

fn run(number: u64, faults: bool) {
    let mut seed = Seed::new(number);
    let mut world = World::new(1000);
    let source = Source::new(&mut seed);
    let mut writers = vec![Writer::new(BLUE), Writer::new(GREEN)];
    if faults {
        let kinds = [Fault::Abort, Fault::DoubtfulCommitted, Fault::DoubtfulLost, Fault::Delayed(3), Fault::Fenced];
        world.log.seeded(number, 150, &kinds);
    }
    let (mut live, mut standby, mut flip, mut epoch) = (BLUE, GREEN, 0, 2);
    let mut dead: BTreeSet<Deployment> = BTreeSet::new();
    for _ in 0..260 {
        let place = usize::try_from(seed.below(2)).unwrap();
        let chosen = if seed.chance(700) { place } else { 0 };
        writers[chosen].write(&mut world, &source, &mut seed);
        if seed.chance(600) {
            world.step();
        }
        if seed.chance(15) {
            world.restart(seed.chance(500));
        }
        if flip < 4 && !dead.contains(&standby) && seed.chance(20) {
            flip += 1;
            let kind = if seed.chance(500) { FlipKind::Planned } else { FlipKind::Failure };
            let newest = world.public().iter().filter_map(|s| if let Seen::Progress(w, _) = s { Some(*w) } else { None }).max();
            world.flip(flip, live, standby, kind, newest.unwrap_or(0) + seed.below(2));
            (live, standby) = (standby, live);
            if kind == FlipKind::Failure {
                dead.insert(standby);
                // It may be dead, or not know.
                let still = seed.chance(500);
                writers.iter_mut().filter(|w| w.of == standby).for_each(|w| w.alive = still);
            } else if seed.chance(300) {
                let order = if seed.chance(500) { Order::Seal { flip } } else { Order::Abandon { deployment: standby } };
                if matches!(order, Order::Abandon { .. }) {
                    dead.insert(standby);
                }
                world.order(order);
            }
        }
        if dead.contains(&standby) && seed.chance(30) {
            // Another deployment in the place of the one that was given up, from the beginning.
            epoch += 1;
            standby = Deployment { colour: standby.colour, epoch };
            world.start(standby);
            let place = usize::from(standby.colour == Colour::Green);
            writers[place] = Writer::new(standby);
        }
    }
    world.log.heal();
    for writer in &mut writers {
        if !dead.contains(&writer.of) {
            writer.finish(&mut world, &source, &mut seed);
        }
    }
    world.settle();
    world.settle();
    judge(&world, &source, number, live);
}

fn judge(world: &World, source: &Source, number: u64, live: Deployment) {
    let public = world.public();
    let mut latest: BTreeMap<(u64, String), (u64, u64)> = BTreeMap::new();
    let mut progress = Vec::new();
    for seen in &public {
        match seen {
            Seen::Result(window, name, revision, events, _) => {
                let before = latest.insert((*window, name.clone()), (*revision, *events));
                let expected = before.map_or(0, |(revision, _)| revision + 1);
                assert_eq!(*revision, expected, "seed {number}: I2 I17, window {window} {name}: {public:#?}");
                assert!(before.is_none_or(|(_, then)| then < *events), "seed {number}: I17 a total shrinks");
            }
            Seen::Progress(window, _) => progress.push(*window),
            Seen::Cut(..) | Seen::Sealed(_) => {}
        }
    }
    assert_eq!(progress, (1..=WINDOWS).collect::<Vec<_>>(), "seed {number}: I18, live {live}: {public:#?}");
    let whole: BTreeMap<(u64, String), u64> = source.0.iter().map(|((w, name), (a, b))| ((*w, (*name).to_owned()), a + b)).collect();
    let found: BTreeMap<(u64, String), u64> = latest.into_iter().map(|(identity, (_, events))| (identity, events)).collect();
    // Corrections of windows whose colour is alive and not sealed come in the end; those of a colour that was given up, from the other one.
    assert_eq!(found, whole, "seed {number}: I3: {public:#?}");
    // I8: nothing of the old colour for windows behind a cut.
    let mut cuts: Vec<(u64, u64)> = Vec::new();
    for seen in &public {
        match seen {
            Seen::Cut(flip, at) => cuts.push((*flip, *at)),
            Seen::Result(window, _, _, _, by) if cuts.len() == 1 && *window > cuts[0].1 => {
                assert_eq!(by.colour, Colour::Green, "seed {number}: I8");
            }
            _ => {}
        }
    }
    assert!(cuts.iter().map(|(flip, _)| *flip).eq(1..=cuts.len() as u64), "seed {number}: cuts in order, once: {cuts:?}");
}

#[test]
fn any_interleaving_of_colours_flips_and_restarts_gives_every_window_once_and_whole() {
    (0..1000).for_each(|seed| run(seed, false));
}

#[test]
fn and_so_it_does_when_commits_fail_and_markers_come_late() {
    (1000..2000).for_each(|seed| run(seed, true));
}
