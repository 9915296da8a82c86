//! Load whose every event can be told apart, and the judge of what was made of it (GUARANTEES §5): every acknowledged event is in exactly one
//! final, correction or line of the late ledger, with values bit-equal to a plain recomputation (I1, I2, I3, I17).
//!
//! Each request has an operation of its own, so that a request whose answer was lost can be told: it counts as a whole or not at all.

use base64::Engine as _;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use platform_core::clock::Clock;
use platform_core::log::{Log, Polled, Subscription};
use platform_core::record::Topic;
use platform_runtime::clock::SystemClock;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const SERVICES: u64 = 4;
pub(crate) const SECOND: i64 = 1_000_000_000;
pub(crate) const PARTITIONS: u32 = 2;
/// The public topics, and how many partitions each has.
pub(crate) const PUBLIC: [(&str, u32); 3] =
    [("golden-signals", PARTITIONS), ("golden-signals.late", PARTITIONS), ("golden-signals.dead-letters", 1)];
/// Settings under which windows close soon and nothing is cut.
pub(crate) const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, retain: 60s, series_ttl: 60s, histogram: true, exemplars: false,\n  \
     groupings: {service: [], service_operation: [operation]}, limits: {series_per_service: 100000}}\n\
     runtime: {commit_interval: 100ms}\n";

/// What one request says: its operation, its events, how many of them are for the ledger, how many lines are bad.
#[derive(Clone)]
pub(crate) struct Request {
    service: String,
    operation: String,
    events: Vec<(i64, u64, bool)>,
    ledger: u64,
    bad: u64,
}

impl Request {
    /// How many events it is sure to have been, late ones and bad lines apart.
    pub(crate) fn events(&self) -> usize {
        self.events.len()
    }

    /// A request of client `client`, its `number`-th, of up to `most` events. Most events are of now, some of a window that closed, some older than
    /// `retain`, which is six windows of `window` ns.
    fn new(client: u64, number: u64, now: i64, most: u64, window: i64) -> (Self, String) {
        let mut random = client.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        next(7);
        let service = format!("s{}", next(SERVICES));
        let operation = format!("op-{client}-{number}");
        let mut request = Self { service, operation, events: vec![], ledger: 0, bad: 0 };
        let mut body = String::new();
        for _ in 0..1 + next(most) {
            let (nanos, failed) = (1 + next(3_000_000_000), next(10) == 0);
            let time = match next(20) {
                0 => now - window * 5 / 2,
                1 => {
                    request.ledger += 1;
                    now - window * 60
                }
                _ => now - next(500) as i64 * 1_000_000,
            };
            if now - time < window * 6 {
                request.events.push((time, nanos, failed));
            }
            let status = if failed { 500 } else { 200 };
            writeln!(
                body,
                r#"{{"timestamp":{time},"service":"{}","operation":"{}","status":{status},"duration_ns":{nanos}}}"#,
                request.service, request.operation
            )
            .unwrap();
        }
        if next(8) == 0 {
            request.bad = 1;
            body.push_str("{\"timestamp\":\"never\",\"service\":\"s0\"}\n");
        }
        (request, body)
    }

    /// One event of 25 s ago.
    fn probe(client: u64, service: u64, now: i64) -> (Self, String) {
        let (time, service, operation) = (now - 25 * SECOND, format!("s{service}"), format!("op-{client}-probe-{service}"));
        let body = format!(r#"{{"timestamp":{time},"service":"{service}","operation":"{operation}","status":200,"duration_ns":1000}}"#);
        (Self { service, operation, events: vec![(time, 1000, false)], ledger: 0, bad: 0 }, body)
    }
}

/// What the clients know in the end.
pub(crate) struct Account {
    pub(crate) acked: Vec<Request>,
    pub(crate) unknown: Vec<Request>,
    /// Length of a window, ns.
    pub(crate) window: i64,
}

impl Default for Account {
    fn default() -> Self {
        Self { acked: vec![], unknown: vec![], window: 10 * SECOND }
    }
}

/// How fast a client posts.
#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// With a rest between two requests.
    Rest(Duration),
    /// So many events in a second.
    Events(u32),
}

impl From<Duration> for Pace {
    fn from(rest: Duration) -> Self {
        Self::Rest(rest)
    }
}

/// Who posts requests and keeps the account of them.
pub(crate) struct Client<'a> {
    /// Different for each client of a test: it stands in the names of operations.
    pub(crate) number: u64,
    /// Where to; each time to another of them.
    pub(crate) urls: &'a Mutex<Vec<String>>,
    /// What is known of the requests.
    pub(crate) account: &'a Mutex<Account>,
    /// For the times of events.
    pub(crate) clock: &'a SystemClock,
    /// Most events of a request.
    pub(crate) most: u64,
    agent: ureq::Agent,
}

impl<'a> Client<'a> {
    pub(crate) fn new(number: u64, urls: &'a Mutex<Vec<String>>, account: &'a Mutex<Account>, clock: &'a SystemClock) -> Self {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build();
        Self { number, urls, account, clock, most: 30, agent: config.into() }
    }

    /// Posts until told to stop, counting what is acknowledged, at a pace.
    pub(crate) fn run(&self, acked: &AtomicU64, stop: &AtomicBool, pace: impl Into<Pace>) {
        let pace = pace.into();
        let begun = self.clock.monotonic();
        let mut events = 0_u32;
        let window = self.account.lock().unwrap().window;
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let (request, body) = Request::new(self.number, n, self.clock.wall(), self.most, window);
            events = events.saturating_add(request.events.len() as u32);
            if self.post(n, request, &body) {
                acked.fetch_add(1, Ordering::Relaxed);
                std::thread::park_timeout(match pace {
                    Pace::Rest(rest) => rest,
                    // Whoever had to wait catches up: the pace is kept over the whole run.
                    Pace::Events(rate) => (begun + Duration::from_secs(1) * events / rate).saturating_sub(self.clock.monotonic()),
                });
            } else {
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }

    /// Posts an event of a window that is closed, for each service: what comes of them leaves with the next commit. The operations, when all
    /// are acknowledged.
    pub(crate) fn probe(&self) -> Option<Vec<String>> {
        let probe = |service: u64| {
            let (request, body) = Request::probe(self.number, service, self.clock.wall());
            let operation = request.operation.clone();
            self.post(service, request, &body).then_some(operation)
        };
        (0..SERVICES).map(probe).collect()
    }

    /// Posts a record of one good event with this operation, once; it will be put aside.
    pub(crate) fn poison(&self, operation: &str) {
        let (service, time) = ("s0".to_owned(), self.clock.wall());
        let body = format!(r#"{{"timestamp":{time},"service":"{service}","operation":"{operation}","status":200,"duration_ns":1000}}"#);
        self.post(0, Request { service, operation: operation.to_owned(), events: vec![], ledger: 0, bad: 1 }, &body);
    }

    /// Whether it was acknowledged: by 200, or 400 as some lines were bad. No answer, or one that says that the outcome is unknown, leaves the
    /// request unknown.
    fn post(&self, n: u64, request: Request, body: &str) -> bool {
        let to = {
            let urls = self.urls.lock().unwrap();
            format!("{}/api/v1/events", urls[n as usize % urls.len()])
        };
        match self.agent.post(&to).content_type("application/x-ndjson").send(body).map(|a| a.status().as_u16()) {
            Ok(200..=299 | 400) => {
                self.account.lock().unwrap().acked.push(request);
                return true;
            }
            Ok(429 | 503) | Err(ureq::Error::ConnectionFailed) => {}
            Ok(500) | Err(_) => self.account.lock().unwrap().unknown.push(request),
            Ok(status) => panic!("answered {status}"),
        }
        false
    }
}

/// Tells clients to stop, also when the test fails: the scope waits for them.
pub(crate) struct Stopping<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// All that stands in the public topics and the dead letters.
#[derive(Default)]
pub(crate) struct Published {
    /// By operation (or `SERVICE` and the service) and window: the newest record, and how many revisions there were.
    signals: BTreeMap<(String, String), (serde_json::Value, u64)>,
    /// By service and window of append time: events, and how many revisions there were.
    ledger: BTreeMap<(String, String), (u64, u64)>,
    dead: u64,
    /// Dead letters that were there already: each deployment writes them, and readers take each once.
    pub(crate) again: u64,
    /// By partition: end of the newest window that it says is done, ns.
    pub(crate) through: [i64; PARTITIONS as usize],
    /// All records that were read.
    pub(crate) records: usize,
}

/// In front of the service, in the place of an operation.
const SERVICE: &str = "service ";

/// Everything that is committed in the public topics.
pub(crate) fn read(log: &dyn Log) -> Published {
    let mut published = Published::default();
    let mut keys = std::collections::BTreeSet::new();
    // Where the newest revision of a record stands, for people.
    let mut stands = std::collections::BTreeMap::new();
    let topics = PUBLIC.iter().map(|(n, _)| Topic::new(n)).collect();
    let mut reader = log.reader(&Subscription { group: None, topics }).unwrap();
    let mut quiet = 0;
    loop {
        match reader.poll(Duration::from_millis(200)).unwrap() {
            // A broker may take its time with the first answer.
            Polled::Nothing if quiet == 10 => return published,
            Polled::Nothing => quiet += 1,
            Polled::Assigned(_) => {}
            Polled::Batch(batch) => {
                quiet = 0;
                published.records += batch.len();
                for record in batch.iter() {
                    let at = format!("{} offset {} at {:?}", batch.partition, record.offset, record.append_time.map(|at| rfc3339(at.0)));
                    let value: serde_json::Value = serde_json::from_slice(record.value.unwrap()).unwrap();
                    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
                    match text("schema").as_str() {
                        "golden-signals/1" => {
                            let operation = value["dimensions"]["operation"].as_str().map(str::to_owned);
                            let key = (operation.unwrap_or_else(|| format!("{SERVICE}{}", text("service"))), text("window_start"));
                            let revisions = published.signals.get(&key).map_or(0, |(_, n)| *n);
                            let before = stands.insert(key.clone(), at.clone());
                            assert_eq!(
                                value["revision"].as_u64(),
                                Some(revisions),
                                "I17: revisions are 0, 1, 2 …: {key:?}, {at}, behind {before:?}"
                            );
                            published.signals.insert(key, (value, revisions + 1));
                        }
                        "golden-signals-late/1" => {
                            let key = (text("service"), text("window_start"));
                            let revisions = published.ledger.get(&key).map_or(0, |(_, n)| *n);
                            assert_eq!(value["revision"].as_u64(), Some(revisions), "I17: revisions are 0, 1, 2 …: ledger line {key:?}");
                            published.ledger.insert(key, (value["events"].as_u64().unwrap(), revisions + 1));
                        }
                        "golden-signals-dead-letter/1" => {
                            let new = keys.insert(record.key.unwrap().to_vec());
                            *(if new { &mut published.dead } else { &mut published.again }) += 1;
                        }
                        "golden-signals-progress/1" => {
                            let through = &mut published.through[batch.partition.index as usize];
                            *through = value["window_end"].as_i64().unwrap().max(*through);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

/// The record that some events of one window must give, as far as it does not depend on the rest of the world.
fn recomputed(events: &[(i64, u64, bool)]) -> serde_json::Value {
    let outcome = |failed: bool| {
        let mut histogram = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 3_600_000_000, 2).unwrap();
        events.iter().filter(|e| e.2 == failed).for_each(|e| histogram.record(e.1.div_ceil(1000)).unwrap());
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(&histogram, &mut bytes).unwrap();
        if histogram.is_empty() { serde_json::Value::Null } else { base64::engine::general_purpose::STANDARD.encode(bytes).into() }
    };
    let sum: u128 = events.iter().map(|e| u128::from(e.1)).sum();
    serde_json::json!({
        "events": events.len(),
        "errors": events.iter().filter(|e| e.2).count(),
        "sum": sum as f64 / 1e6,
        "max": events.iter().map(|e| e.1).max().unwrap() as f64 / 1e6,
        "ok": outcome(false),
        "error": outcome(true),
    })
}

fn shown(record: &serde_json::Value) -> serde_json::Value {
    let (all, histogram) = (&record["latency"]["all"], &record["histogram"]);
    serde_json::json!({
        "events": record["events"], "errors": record["errors"]["count"], "sum": all["sum"].as_f64(), "max": all["max"].as_f64(),
        "ok": histogram["ok"], "error": histogram["error"],
    })
}

/// A request's events by window of this length, ns, in the form of records.
pub(crate) fn windows(request: &Request, length: i64) -> BTreeMap<String, Vec<(i64, u64, bool)>> {
    let mut windows: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for event in &request.events {
        windows.entry(rfc3339(event.0 - event.0.rem_euclid(length))).or_default().push(*event);
    }
    windows
}

pub(crate) fn rfc3339(nanos: i64) -> String {
    let mut text = Vec::new();
    golden_pipeline::emit::json::put_time(&mut text, nanos);
    String::from_utf8(text).unwrap()
}

/// Events (time, ns, failed) by service and window.
type ByService = BTreeMap<(String, String), Vec<(i64, u64, bool)>>;

/// Judges what was published against what was sent.
pub(crate) fn judge(account: &Account, published: &Published) {
    let wrong = wrongs(account, published);
    assert_eq!(published.again, 0, "a dead letter stands twice");
    assert!(wrong.is_empty(), "{} wrong, as in\n{}", wrong.len(), wrong.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n"));
}

/// What is wrong with what was published, a line for each fact.
pub(crate) fn wrongs(account: &Account, published: &Published) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut equal = |what: &dyn std::fmt::Debug, found: &serde_json::Value, wanted: &serde_json::Value| {
        if found != wanted {
            wrong.push(format!("I3: {what:?} is {found}, not {wanted}"));
        }
    };
    let mut missing = Vec::new();
    let mut known = std::collections::BTreeSet::new();
    let mut by_service: ByService = BTreeMap::new();
    for (request, sure) in account.acked.iter().map(|r| (r, true)).chain(account.unknown.iter().map(|r| (r, false))) {
        let windows = windows(request, account.window);
        let there = windows.keys().filter(|w| published.signals.contains_key(&(request.operation.clone(), (*w).clone()))).count();
        if there < windows.len() && (sure || there > 0) {
            missing.push(format!("I1: {} is in {there} of {} windows", request.operation, windows.len()));
        }
        for (window, events) in &windows {
            let key = (request.operation.clone(), window.clone());
            let Some((record, _)) = published.signals.get(&key) else { continue };
            equal(&key, &shown(record), &recomputed(events));
            equal(&key, &record["service"], &request.service.as_str().into());
            known.insert(key);
            by_service.entry((format!("{SERVICE}{}", request.service), window.clone())).or_default().extend(events);
        }
    }
    for (key, (record, _)) in &published.signals {
        match by_service.get(key) {
            Some(events) => equal(key, &shown(record), &recomputed(events)),
            None if key.0.starts_with(SERVICE) => equal(key, &record["events"], &0.into()),
            None if known.contains(key) => {}
            None => missing.push(format!("I1: {key:?} was never sent")),
        }
    }
    for key in by_service.keys() {
        if !published.signals.contains_key(key) {
            missing.push(format!("I1: {key:?} is missing"));
        }
    }
    assert!(published.signals.values().any(|(_, revisions)| *revisions > 1), "nothing was corrected: this test shows less than it should");
    for service in (0..SERVICES).map(|n| format!("s{n}")) {
        let sum = |list: &[Request]| list.iter().filter(|r| r.service == service).map(|r| r.ledger).sum::<u64>();
        let (sure, perhaps) = (sum(&account.acked), sum(&account.unknown));
        let ledger: u64 = published.ledger.iter().filter(|((s, _), _)| *s == service).map(|(_, (events, _))| events).sum();
        if !(sure..=sure + perhaps).contains(&ledger) {
            missing.push(format!("I1: late ledger of {service}: {ledger}, not from {sure} to {}", sure + perhaps));
        }
    }
    let bad = |list: &[Request]| list.iter().map(|r| r.bad).sum::<u64>();
    let sure = bad(&account.acked);
    if !(sure..=sure + bad(&account.unknown)).contains(&published.dead) {
        missing.push(format!("I1: {} dead letters, {sure} sent", published.dead));
    }
    wrong.extend(missing);
    wrong
}

/// What `golden verify` says of the windows from an hour ago until now, with these settings, and its exit code.
pub(crate) fn verify(folder: &std::path::Path, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let now = SystemClock::new().wall();
    let (from, to) = (rfc3339(now - 3600 * SECOND), rfc3339(now));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_golden"))
        .args(["verify", "--from", &from, "--to", &to, "--config", "golden.yaml", "--data", "data"])
        .envs(settings.iter().copied())
        .current_dir(folder)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), text)
}
