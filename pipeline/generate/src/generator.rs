//! Lines of load, one by one, each with what it means.
//!
//! Lines come evenly over event time, and each is moved by its disorder and, rarely, by lateness. Series follow Zipf's law; latency is
//! log-normal with a median and a spread of the service's own. Nothing is allocated per line once the buffers are warm.

use crate::fact::{Bad, Event, Fact, Outcome};
use crate::latency::Latency;
use crate::line::{CLIENTS, Line, PLACES};
use crate::names::Names;
use crate::random::{Random, Share};
use crate::settings::{BadSetting, Settings};
use crate::timestamp::Timestamps;
use crate::zipf::Zipf;
use platform_core::time::{SECOND, nanos};

pub(crate) mod bad;

/// Statuses of requests that did not fail: 3 in 32 are the client's fault.
const GOOD: [u16; 32] = {
    let mut statuses = [200; 32];
    [statuses[0], statuses[1], statuses[2]] = [400, 404, 429];
    [statuses[3], statuses[4], statuses[5], statuses[6]] = [201, 201, 204, 302];
    statuses
};
/// Statuses of errors.
const FAILED: [u16; 4] = [500, 502, 503, 504];
/// The caller went away.
const GIVEN_UP: u16 = 499;
/// How much longer a slow request takes.
const SLOW: u64 = 20;

/// Makes the lines of one run.
#[derive(Debug)]
pub struct Generator {
    settings: Settings,
    shares: Shares,
    disorder: u64,
    lateness: u64,
    names: Names,
    services: Vec<Service>,
    zipf: Zipf,
    latency: Latency,
    timestamps: Timestamps,
    random: Random,
    /// A stream of its own for faults, so that the good lines are the same with and without bad ones between them.
    faults: Random,
    /// Lines written so far.
    written: u64,
    /// A recent line and its event, for duplicates.
    recent: Option<(Vec<u8>, Event)>,
}

#[derive(Debug)]
struct Shares {
    ignored: Share,
    no_latency: Share,
    slow: Share,
    late: Share,
    bad: Share,
    duplicate: Share,
    /// How often a line becomes the one that duplicates repeat.
    remembered: Share,
}

#[derive(Debug)]
struct Service {
    median: u64,
    spread: u32,
    errors: Share,
    version: String,
}

impl Generator {
    /// A run from its first line.
    ///
    /// # Errors
    /// When a setting is out of its range.
    pub fn new(settings: &Settings) -> Result<Self, BadSetting> {
        settings.check()?;
        let mut random = Random::new(settings.seed);
        let latency = Latency::new();
        let median = nanos(settings.latency).unsigned_abs();
        let services = (0..settings.services)
            .map(|number| Service {
                median: latency.draw(median, 1536, &mut random),
                spread: 512 + random.below(1024) as u32,
                errors: Share::of(if number % 10 == 9 { settings.error_share * 10.0 } else { settings.error_share }),
                version: format!("{}.{}", 1 + random.below(4), random.below(30)),
            })
            .collect();
        Ok(Self {
            shares: Shares {
                ignored: Share::of(settings.ignored_share),
                no_latency: Share::of(settings.no_latency_share),
                slow: Share::of(settings.slow_share),
                late: Share::of(settings.late_share),
                bad: Share::of(settings.bad_share),
                duplicate: Share::of(settings.duplicate_share),
                remembered: Share::of(1.0 / 64.0),
            },
            disorder: nanos(settings.disorder).unsigned_abs(),
            lateness: nanos(settings.lateness).unsigned_abs(),
            names: Names::invented(settings.services, settings.operations),
            services,
            zipf: Zipf::new(settings.services.saturating_mul(settings.operations), settings.zipf, &mut random),
            latency,
            timestamps: Timestamps::new(),
            random,
            faults: Random::new(!settings.seed),
            written: 0,
            recent: None,
            settings: settings.clone(),
        })
    }

    /// Names of the services and operations in the facts.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Appends one line with its newline, and says what it means; `None` after the last.
    pub fn next_line(&mut self, out: &mut Vec<u8>) -> Option<Fact> {
        if self.written >= self.settings.events {
            return None;
        }
        self.written += 1;
        let [is_bad, is_duplicate, is_remembered] =
            [self.shares.bad, self.shares.duplicate, self.shares.remembered].map(|share| self.faults.hits(share));
        let from = out.len();
        let event = self.event(out);
        if is_bad {
            out.truncate(from);
            return Some(Fact::Bad(self.bad(event, out)));
        }
        if let Some((line, event)) = self.recent.as_ref().filter(|_| is_duplicate) {
            out.truncate(from);
            out.extend_from_slice(line);
            return Some(Fact::Event(Event { duplicate: true, ..*event }));
        }
        if is_remembered {
            let (line, of) = self.recent.get_or_insert_with(|| (Vec::new(), event));
            line.clear();
            line.extend_from_slice(out.get(from..).unwrap_or_default());
            *of = event;
        }
        Some(Fact::Event(event))
    }

    /// Appends up to `lines` lines; how many it were. Fewer only at the end.
    pub fn fill(&mut self, out: &mut Vec<u8>, lines: u64) -> u64 {
        (0..lines).take_while(|_| self.next_line(out).is_some()).count() as u64
    }

    /// Draws and writes a good event.
    #[inline]
    fn event(&mut self, out: &mut Vec<u8>) -> Event {
        let random = &mut self.random;
        let series = self.zipf.draw(random);
        let (service, operation) = (series / self.settings.operations, series % self.settings.operations);

        // Within 10^10 lines of at least one a second, the product fits.
        let place = (self.written - 1) * SECOND.unsigned_abs() / self.settings.rate;
        let shift = random.below(2 * self.disorder + 1) as i64 - self.disorder as i64;
        let age = random.below(self.lateness + 1) as i64;
        let age = if random.hits(self.shares.late) { age } else { 0 };
        let time = self.settings.start.plus(i64::try_from(place).unwrap_or(i64::MAX)).plus(shift).plus(-age);

        let (failed, given_up) = (random.one_of(&FAILED, 500), random.one_of(&GOOD, 200));
        let is_ignored = random.hits(self.shares.ignored);
        let (median, spread, errors, version) =
            self.services.get(service as usize).map_or((1, 0, Share::of(0.0), ""), |s| (s.median, s.spread, s.errors, s.version.as_str()));
        let (outcome, status) = match (random.hits(errors), is_ignored) {
            (true, _) => (Outcome::Error, failed),
            (false, true) => (Outcome::Ignored, GIVEN_UP),
            (false, false) => (Outcome::Ok, given_up),
        };

        let usual = median.saturating_mul(2 + u64::from(operation % 5)) / 3;
        let slow = if random.hits(self.shares.slow) { SLOW } else { 1 };
        let latency = self.latency.draw(usual.saturating_mul(slow), spread, random);
        let latency = (!random.hits(self.shares.no_latency)).then_some(latency);

        let trace = [random.next(), random.next()];
        let line = Line {
            time,
            service: self.names.service(service),
            operation: self.names.operation(operation),
            status,
            latency,
            host: random.below(u64::from(self.settings.hosts)) as u32,
            place: random.one_of(&PLACES, PLACES[0]),
            swimlane: "",
            version,
            client: random.one_of(&CLIENTS, CLIENTS[0]),
            trace,
            span: random.next(),
        };
        line.write(&mut self.timestamps, out);
        Event { time, service, operation, outcome, latency, duplicate: false }
    }

    /// Writes a bad record in the place of `event`.
    fn bad(&mut self, event: Event, out: &mut Vec<u8>) -> Bad {
        let kind = self.faults.one_of(Bad::ALL, Bad::NotJson);
        let (service, operation) = (self.names.service(event.service), self.names.operation(event.operation));
        bad::write_bad(kind, event.time, service, operation, &mut self.timestamps, out);
        kind
    }
}

#[cfg(test)]
mod tests;
