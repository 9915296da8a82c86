//! A small web shop with incidents on a timetable, so that a newcomer sees signals at once and health change within two minutes.
//!
//! A pure function of seed and tick: whoever asks for a tick again gets the same lines. Requests come evenly (never so few that chance
//! decides on health), and errors outside incidents are counted out rather than drawn: at most one in a window of ten seconds, in
//! services with more than 100 requests in it, so that availability stays above 99 %. What the sender owes: to send tick n once
//! `TICK` · (n + 1) have passed since the start, so that no event comes from the future.

/// What the shop's instances use.
mod gauges;

use crate::fact::{Bad, Event, Fact, Outcome};
use crate::generator::bad::write_bad;
use crate::latency::Latency;
use crate::line::{CLIENTS, Line, PLACES};
use crate::names::Names;
use crate::random::{Random, Share, mix};
use crate::timestamp::Timestamps;
use platform_core::time::{EventTime, SECOND};
use std::time::Duration;

/// The step in which events are made.
pub const TICK: Duration = Duration::from_millis(200);
/// After this time the timetable starts again.
pub const CYCLE: Duration = Duration::from_secs(240);

/// ns in a tick.
const TICK_NANOS: i64 = SECOND / 5;
/// Ticks in a minute.
const TICKS_A_MINUTE: u64 = 300;
/// How much older than its tick one event in eight may be.
const DISORDER: u64 = 2_000_000_000;
/// One late event comes every so many ticks (30 s), after the first of them …
const LATE_EVERY: u64 = 150;
/// … and is this old: long after its window of ten seconds was closed.
const LATE: i64 = 25 * SECOND;
/// One bad record comes every so many ticks (15 s).
const BAD_EVERY: u64 = 75;

/// What goes wrong with a service for a while.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident {
    /// The service it shows in.
    pub service: &'static str,
    /// What happens.
    pub kind: Kind,
    /// First second of it in each cycle.
    pub from: u32,
    /// First second after it in each cycle.
    pub to: u32,
    /// For a reader.
    pub story: &'static str,
}

/// Kinds of incident.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// This share of requests fails: the service turns critical, and healthy again afterwards.
    Failing(f64),
    /// Half of the requests take ten times as long; none fails, health stays.
    Slow,
    /// This share of requests fails, but there are too few of them to tell: health stays.
    FailingUnnoticed(f64),
}

const TIMETABLE: [Incident; 4] = [
    Incident {
        service: "payment",
        kind: Kind::Failing(0.45),
        from: 30,
        to: 70,
        story: "the card provider is down: half of all payments fail",
    },
    Incident { service: "checkout", kind: Kind::Failing(0.25), from: 30, to: 70, story: "orders fail with the payments they need" },
    Incident {
        service: "catalog",
        kind: Kind::Slow,
        from: 60,
        to: 100,
        story: "a slow database: p99 is ten times as high, and nothing fails",
    },
    Incident {
        service: "mailer",
        kind: Kind::FailingUnnoticed(0.5),
        from: 100,
        to: 160,
        story: "half of the mails bounce, but six a minute are too few to call it critical",
    },
];

/// One service of the shop.
struct Service {
    name: &'static str,
    version: &'static str,
    /// Requests a minute.
    rate: u64,
    hosts: u64,
    /// Median latency in ms.
    median: u64,
    /// One in so many requests fails in quiet times; 0: none.
    errors: u64,
    /// Numbers of its operations in [`OPERATIONS`].
    operations: [u32; 3],
}

const OPERATIONS: [&str; 20] = [
    "GET /",
    "GET /product/{id}",
    "POST /cart/checkout",
    "POST /orders",
    "GET /orders/{id}",
    "DELETE /orders/{id}",
    "POST /payments",
    "GET /payments/{id}",
    "POST /refunds",
    "GET /cart",
    "POST /cart/items",
    "DELETE /cart/items/{id}",
    "GET /products",
    "GET /products/{id}",
    "GET /categories",
    "GET /search",
    "GET /suggest",
    "GET /recommendations",
    "POST /mails",
    "GET /mails/{id}",
];

const SHOP: [Service; 8] = [
    Service { name: "frontend", version: "4.2.0", rate: 2400, hosts: 4, median: 45, errors: 500, operations: [0, 1, 2] },
    Service { name: "checkout", version: "2.8.1", rate: 900, hosts: 2, median: 80, errors: 400, operations: [3, 4, 5] },
    Service { name: "payment", version: "1.9.4", rate: 900, hosts: 2, median: 120, errors: 0, operations: [6, 7, 8] },
    Service { name: "cart", version: "3.0.2", rate: 1200, hosts: 3, median: 8, errors: 600, operations: [9, 10, 11] },
    Service { name: "catalog", version: "5.1.0", rate: 1800, hosts: 3, median: 15, errors: 0, operations: [12, 13, 14] },
    Service { name: "search", version: "2.2.7", rate: 900, hosts: 2, median: 30, errors: 450, operations: [15, 16, 15] },
    Service { name: "recommendations", version: "0.9.3", rate: 1200, hosts: 2, median: 60, errors: 600, operations: [17, 17, 17] },
    Service { name: "mailer", version: "1.0.5", rate: 6, hosts: 1, median: 300, errors: 0, operations: [18, 18, 19] },
];

/// The shop.
#[derive(Debug)]
pub struct Demo {
    seed: u64,
    names: Names,
    latency: Latency,
}

impl Demo {
    /// The shop of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let services: Vec<&str> = SHOP.iter().map(|service| service.name).collect();
        Self { seed, names: Names::new(owned(&services), owned(&OPERATIONS)), latency: Latency::new() }
    }

    /// The planned incidents, in seconds of each cycle.
    #[must_use]
    pub fn timetable() -> &'static [Incident] {
        &TIMETABLE
    }

    /// Names of the services and operations in the facts.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Appends the lines of tick number `tick`, which ends `TICK` · (`tick` + 1) after `start`, and says what they mean, in order.
    pub fn tick(&self, start: EventTime, tick: u64, out: &mut Vec<u8>) -> Vec<Fact> {
        let mut scene = Scene {
            latency: &self.latency,
            names: &self.names,
            start,
            from: i64::try_from(tick).unwrap_or(i64::MAX).saturating_mul(TICK_NANOS),
            random: Random::new(mix(self.seed) ^ tick),
            timestamps: Timestamps::new(),
        };
        let mut facts = Vec::new();
        for (number, service) in (0_u32..).zip(&SHOP) {
            // The requests of a service are numbered from the start, so that any span of time has its exact share.
            let upto = |tick: u64| tick.saturating_mul(service.rate) / TICKS_A_MINUTE;
            for request in upto(tick)..upto(tick.saturating_add(1)) {
                let age = scene.disorder();
                facts.push(Fact::Event(scene.request(number, service, request, age, out)));
            }
        }
        if let (Some(frontend), true) = (SHOP.first(), tick % LATE_EVERY == LATE_EVERY - 1) {
            facts.push(Fact::Event(scene.request(0, frontend, 0, LATE, out)));
        }
        if tick % BAD_EVERY == BAD_EVERY - 1 {
            facts.push(Fact::Bad(scene.bad(out)));
        }
        facts
    }
}

impl Demo {
    /// What the shop's instances use of their resources at the end of tick number `tick`, as OTLP metrics in JSON; nothing in most ticks.
    #[must_use]
    pub fn gauges(&self, start: EventTime, tick: u64) -> Option<String> {
        gauges::document(self.seed, start, tick)
    }
}

/// One tick being made.
struct Scene<'a> {
    latency: &'a Latency,
    names: &'a Names,
    start: EventTime,
    /// ns from the start to this tick.
    from: i64,
    random: Random,
    timestamps: Timestamps,
}

impl Scene<'_> {
    /// How much older than its tick the next event is.
    fn disorder(&mut self) -> i64 {
        let (age, is_moved) = (self.random.below(DISORDER) as i64, self.random.hits(Share::of(0.125)));
        if is_moved { age } else { 0 }
    }

    fn request(&mut self, number: u32, service: &Service, request: u64, age: i64, out: &mut Vec<u8>) -> Event {
        let since = self.from + self.random.below(TICK_NANOS.unsigned_abs()) as i64 - age;
        let time = self.start.plus(since);
        let incident = ongoing(service.name, since);
        let failing = match incident {
            Some(Kind::Failing(share) | Kind::FailingUnnoticed(share)) => share,
            Some(Kind::Slow) | None => 0.0,
        };
        let (status, failed) = (self.random.one_of(&[200, 200, 200, 201, 404], 200), self.random.one_of(&[503, 503, 502, 504], 503));
        let in_quiet_times = service.errors > 0 && request % service.errors == service.errors - 1;
        let is_error = self.random.hits(Share::of(failing)) || in_quiet_times;
        let is_slow = self.random.hits(Share::of(0.5)) && incident == Some(Kind::Slow);
        let median = service.median * 1_000_000 * if is_slow { 10 } else { 1 };
        let latency = Some(self.latency.draw(median, 614, &mut self.random));
        let operation = self.random.one_of(&service.operations, 0);
        let place = self.random.one_of(&PLACES, PLACES[0]);
        let host = 1 + self.random.below(service.hosts) as u32;
        let line = Line {
            time,
            service: service.name,
            operation: self.names.operation(operation),
            status: if is_error { failed } else { status },
            latency,
            host,
            place,
            swimlane: if host.is_multiple_of(2) { "k8s" } else { "ec2" },
            version: service.version,
            client: self.random.one_of(&CLIENTS, CLIENTS[0]),
            trace: [self.random.next(), self.random.next()],
            span: self.random.next(),
        };
        line.write(&mut self.timestamps, out);
        let outcome = if is_error { Outcome::Error } else { Outcome::Ok };
        Event { time, service: number, operation, outcome, latency, duplicate: false }
    }

    fn bad(&mut self, out: &mut Vec<u8>) -> Bad {
        let kind = self.random.one_of(Bad::ALL, Bad::NotJson);
        write_bad(kind, self.start.plus(self.from), self.names.service(0), self.names.operation(0), &mut self.timestamps, out);
        kind
    }
}

/// What is wrong with a service this long (ns) after the start; events from before it are quiet.
fn ongoing(service: &str, since: i64) -> Option<Kind> {
    let second = u64::try_from(since.div_euclid(SECOND)).ok()? % CYCLE.as_secs();
    let holds = |incident: &&Incident| incident.service == service && (u64::from(incident.from)..u64::from(incident.to)).contains(&second);
    TIMETABLE.iter().find(holds).map(|incident| incident.kind)
}

#[cfg(test)]
mod tests;
