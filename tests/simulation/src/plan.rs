//! What comes in and what may happen in one run: all of it follows from the seed.
//!
//! Each run allows some kinds of trouble and not others: all of them at once would hide much of what each alone can show.

use platform_core::time::SECOND;
use platform_runtime::task::RuntimeSettings;
use platform_testkit::seed::Seed;
use platform_testkit::sim::Chances;
use std::time::Duration;

/// Partitions of the source.
pub(crate) const SOURCES: u32 = 3;
/// Colour of the first deployment.
pub(crate) const COLOUR: &str = "blue";
/// Its epoch.
pub(crate) const EPOCH: u32 = 1;
/// Partitions of everything behind FOLD.
pub(crate) const PARTITIONS: u32 = 2;
/// Length of windows, s.
pub(crate) const WINDOW: i64 = 10;
/// How far an event may be behind, s.
pub(crate) const BOUND: i64 = 5;
/// How long a silent partition is waited for, s.
pub(crate) const HOLD: i64 = 10;
/// How far an event may be ahead, s.
pub(crate) const SKEW: i64 = 5;
/// How long a window can be corrected at most, s.
const RETAIN: i64 = 60;
/// From the append of a decision to the first window that it can touch, s.
pub(crate) const LEAD: i64 = 10;
/// Services.
pub(crate) const SERVICES: u64 = 4;
/// When the run begins, s since 1970.
pub(crate) const START: i64 = 1_700_000_000;
/// For so long events come and things go wrong, mostly.
const BUSY: Duration = Duration::from_secs(75);
/// What makes the plans of seeds with many flips others than those without.
const FLIPS: u64 = 0x0066_6c69_7073;
/// From this seed on runs may last longer, keep windows for a shorter time, and have slow processes.
pub(crate) const LONG: u64 = 50_000;
/// For so long nothing does, before it is judged.
const QUIET: Duration = Duration::from_secs(75);

/// How a partition's producers behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Producers {
    /// Events are a few seconds old.
    Honest,
    /// Their clocks are far behind.
    Slow,
    /// Their clocks are ahead.
    Fast,
    /// They send what nobody can read.
    Garbage,
    /// They fall silent in the middle.
    Silent,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) seed: u64,
    pub(crate) producers: [Producers; SOURCES as usize],
    /// Records of the source in a second, at most.
    pub(crate) rate: u64,
    /// Of a thousand events, how many are late, and very late.
    pub(crate) late: u64,
    /// Of a thousand records, how many come in a transaction that stays open for a while.
    pub(crate) open: u64,
    pub(crate) processes: u64,
    pub(crate) fold_tasks: usize,
    pub(crate) settings: RuntimeSettings,
    pub(crate) chances: Chances,
    /// Of a thousand seconds, how many bring each of these.
    pub(crate) kills: u64,
    pub(crate) pauses: u64,
    pub(crate) evictions: u64,
    pub(crate) leaderless: u64,
    /// Of a thousand seconds, how many bring a process that reaches no broker for a while; then whole colours are cut off too.
    pub(crate) cuts: u64,
    /// Whether a paused process is replaced by another one meanwhile.
    pub(crate) replaced: bool,
    /// Whether restarted processes find their disks empty, now and then.
    pub(crate) disks_lost: bool,
    /// Whether a FOLD of an older deployment goes on writing.
    pub(crate) zombie_epoch: bool,
    /// Everything dies at once for a while, and nothing else happens.
    pub(crate) blackout: bool,
    /// Of a thousand seconds, how many bring a decision on overrides; and how many a control log that is away for a while.
    pub(crate) decisions: u64,
    pub(crate) control_away: u64,
    /// Whether every process computes both colours; otherwise the first two compute one each.
    pub(crate) embedded: bool,
    /// How many processes have a controller, and whether it flips and seals by itself.
    pub(crate) controllers: u64,
    pub(crate) automatic: bool,
    /// Of a thousand seconds, how many bring an order of somebody; and how many an outage of a whole colour.
    pub(crate) orders: u64,
    pub(crate) outages: u64,
    /// For so long events come and things go wrong.
    pub(crate) busy: Duration,
    /// And for so long nothing does any more.
    pub(crate) quiet: Duration,
    /// How long a window can be corrected, s.
    pub(crate) retain: i64,
    /// Of a thousand seconds, how many make a process slow for a while: it falls far behind. So does each start, in half of the cases.
    pub(crate) slow: u64,
}

/// What version `version` of the overrides says of a service: whether failures count as successes and successes as failures.
pub(crate) fn turns(version: u64, service: u64) -> bool {
    version.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (60 + service % SERVICES) & 1 == 1
}

impl Plan {
    /// The plan of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let from = &mut Seed::new(seed);
        let mut sometimes = |per_mille: u64, value: u64| if from.chance(per_mille) { from.below(value) + 1 } else { 0 };
        let blackout = sometimes(80, 1) == 1;
        let chances = Chances {
            slow: sometimes(500, 20),
            refused: sometimes(500, 200),
            lost: sometimes(400, 100),
            late: sometimes(400, 150),
            unanswered: sometimes(400, 100),
            late_markers: sometimes(500, 500),
            unnoticed: sometimes(500, 900),
            frozen: sometimes(400, 3),
        };
        let (kills, pauses, evictions, leaderless) = (sometimes(500, 60), sometimes(500, 60), sometimes(500, 100), sometimes(300, 30));
        let (late, open) = (sometimes(700, 200), sometimes(300, 300));
        let (decisions, control_away) = (sometimes(600, 120), sometimes(300, 30));
        let kinds = [
            Producers::Honest,
            Producers::Honest,
            Producers::Honest,
            Producers::Slow,
            Producers::Fast,
            Producers::Garbage,
            Producers::Silent,
        ];
        let producers = [0; SOURCES as usize].map(|_| from.pick(&kinds).copied().unwrap_or(Producers::Honest));
        let settings = RuntimeSettings {
            commit_interval: Duration::from_millis(100 + from.below(3000)),
            read_budget: 100 + usize::try_from(from.below(20_000)).unwrap_or(0),
            held_budget: 100 + usize::try_from(from.below(40_000)).unwrap_or(0),
            emit_budget: 100 + usize::try_from(from.below(20_000)).unwrap_or(0),
        };
        let mut plan = Self {
            seed,
            producers,
            rate: 2 + from.below(8),
            late,
            open,
            processes: 1 + from.below(3),
            fold_tasks: 1 + usize::try_from(from.below(2)).unwrap_or(0),
            settings,
            chances,
            kills,
            pauses,
            evictions,
            leaderless,
            cuts: 0,
            replaced: from.chance(500),
            disks_lost: from.chance(300),
            zombie_epoch: from.chance(150),
            blackout,
            decisions,
            control_away,
            embedded: from.chance(300),
            controllers: from.below(3),
            automatic: from.chance(500),
            orders: 40 + from.below(160),
            outages: if from.chance(300) { 1 + from.below(60) } else { 0 },
            busy: BUSY,
            quiet: QUIET,
            retain: RETAIN,
            slow: 0,
        };
        if blackout {
            (plan.kills, plan.pauses, plan.evictions, plan.leaderless) = (0, 0, 0, 0);
            (plan.decisions, plan.control_away, plan.outages) = (0, 0, 0);
            (plan.chances, plan.zombie_epoch, plan.processes, plan.open) = (Chances::default(), false, 1, 0);
        } else if seed >= LONG {
            // These runs take several times as long: the others stay quick, and what they were.
            if from.chance(250) {
                plan.slow = 1 + from.below(60);
            }
            if from.chance(250) {
                plan.retain = RETAIN / 4 + i64::try_from(from.below(30)).unwrap_or(0);
            }
            if from.chance(250) {
                // Longer than windows are kept: what is forgotten while things go wrong cannot be read again.
                plan.busy += Duration::from_secs(from.below(240));
            }
        }
        plan
    }

    /// The plan of a seed in which somebody orders something every few seconds, for several minutes.
    #[must_use]
    pub fn of_flips(seed: u64) -> Self {
        let from = &mut Seed::new(seed ^ FLIPS);
        let mut plan = Self::new(seed);
        plan.orders = 300 + from.below(500);
        plan.busy += Duration::from_secs(from.below(240));
        // Whoever is deployed last reads back as far as windows are kept.
        plan.quiet *= 2;
        plan.controllers = 1 + from.below(2);
        if !plan.blackout && from.chance(400) {
            plan.cuts = 1 + from.below(60);
        }
        plan
    }

    /// Everything that comes from outside: when after the start, to which partition, and what.
    pub(crate) fn records(&self, seed: &mut Seed) -> Vec<(Duration, u32, Option<String>)> {
        let mut records = Vec::new();
        let whole = u64::try_from(self.busy.as_millis()).unwrap_or(u64::MAX);
        let mut at = 0;
        while at < whole {
            at += seed.below(2000 / self.rate);
            let partition = u32::try_from(seed.below(u64::from(SOURCES))).unwrap_or(0);
            let kind = self.producers.get(partition as usize).copied().unwrap_or(Producers::Honest);
            if kind == Producers::Silent && at > whole / 3 {
                continue;
            }
            let text = match seed.below(100) {
                0 => None,
                1 => Some("{\"service\":".to_owned()),
                _ if kind == Producers::Garbage => Some("not an event".to_owned()),
                _ => Some(self.event(at, kind, seed)),
            };
            records.push((Duration::from_millis(at), partition, text));
        }
        records
    }

    fn event(&self, at: u64, kind: Producers, seed: &mut Seed) -> String {
        let at = i64::try_from(at).unwrap_or(0);
        let mut below = |seconds: i64| i64::try_from(seed.below(1000 * seconds.unsigned_abs())).unwrap_or(0);
        let back = match kind {
            Producers::Slow => 1000 * (BOUND + HOLD) + below(20),
            Producers::Fast => -below(SKEW - 1),
            _ => below(BOUND - 1),
        };
        let back = if seed.chance(self.late) {
            match seed.below(4) {
                0 => 1000 * (self.retain + 1) + i64::try_from(seed.below(40_000)).unwrap_or(0),
                _ => i64::try_from(seed.below(1000 * self.retain.unsigned_abs())).unwrap_or(0),
            }
        } else if seed.chance(10) {
            -1000 * (SKEW + 3)
        } else {
            back
        };
        let millis = 1000 * START + at - back;
        let status = if seed.chance(200) { 503 } else { 200 };
        let micros = 1 + seed.below(2_000_000);
        format!(
            r#"{{"timestamp":{millis},"service":"s{}","operation":"o{}","latency_ms":{}.{:03},"status":{status}}}"#,
            seed.below(SERVICES),
            seed.below(3),
            micros / 1000,
            micros % 1000,
        )
    }
}

/// A span of settings in seconds.
pub(crate) fn seconds(s: i64) -> Duration {
    Duration::from_secs(s.unsigned_abs())
}

/// Nanoseconds of so many seconds.
pub(crate) fn nanos(s: i64) -> i64 {
    s * SECOND
}
