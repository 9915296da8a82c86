//! Rolled-up windows against all windows merged one by one, bit for bit: with corrections before and after, restarts, and expiry.

use super::*;
use crate::aggregate::Aggregate;
use crate::history::roll::Rolled;
use crate::history::value::StoredRef;

const DAY: i64 = 24 * HOUR;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// A published record.
#[derive(Clone)]
struct Result {
    identity: Identity,
    revision: u64,
    json: String,
    aggregate: Vec<u8>,
}

fn result(dice: &mut Dice, start: i64, operation: Option<&str>, revision: u64) -> Result {
    let mut aggregate = Aggregate::default();
    let events = dice.roll(30);
    for n in 0..events {
        let event = Event {
            event_time: EventTime(start),
            duration: (dice.roll(10) > 0).then(|| dice.roll(5_000_000_000)),
            service: "cart",
            operation: operation.unwrap_or_default(),
            outcome: if dice.roll(8) == 0 { Outcome::Error } else { Outcome::Ok },
            error_type: ["timeout", "refused", "5xx"][dice.roll(3) as usize],
            weight: 1 + u32::try_from(dice.roll(3)).unwrap(),
            trace: Some(crate::event::Trace { trace_id: u128::from(dice.roll(1 << 30)), span_id: n, sampled: dice.roll(2) == 0 }),
            ..Event::EMPTY
        };
        aggregate.add(&event, n);
    }
    let mut encoded = vec![];
    aggregate.encode(&mut encoded);
    let health = match (operation, dice.roll(12)) {
        (Some(_), _) => "null".to_owned(),
        (None, 0) => r#"{"level":null,"state":"unknown","reason":"incomplete","previous":0}"#.to_owned(),
        (None, 1) => r#"{"level":3,"state":"critical","reason":"rule","previous":0}"#.to_owned(),
        _ => r#"{"level":0,"state":"healthy","reason":"rule","previous":0}"#.to_owned(),
    };
    let completeness = if dice.roll(50) == 0 { "0.5" } else { "1" };
    let json = format!(r#"{{"completeness":{completeness},"health":{health},"saturation":{{"ratio":0.{}}}}}"#, dice.roll(90) + 10);
    let grouping = if operation.is_some() { "service_operation" } else { "service" };
    let dimensions = operation.iter().map(|operation| (*operation).to_owned()).collect();
    let identity = Identity { grouping: grouping.into(), dimensions, ..public("cart", start, 0, 0).identity() };
    Result { identity, revision, json, aggregate: encoded }
}

/// The results of so many hours of two groupings, with corrections soon, late, and twice.
fn results(hours: i64) -> Vec<Result> {
    let (mut dice, mut all) = (Dice(7), vec![]);
    let operations = [None, Some("GET /"), Some("POST /cart"), Some("")];
    for minute in 0..hours * 60 {
        for operation in operations {
            // Not every series has every window.
            if operation.is_none() || dice.roll(4) > 0 {
                all.push(result(&mut dice, minute * MINUTE, operation, 0));
            }
        }
        // Soon, within the hour, and long after the hour was rolled up.
        for (every, back) in [(5, 3), (17, 50), (29, 200), (101, 600)] {
            if minute % every == 0 && minute >= back {
                let operation = operations[dice.roll(4) as usize];
                let revision = 1 + dice.roll(3);
                all.push(result(&mut dice, (minute - back) * MINUTE, operation, revision));
            }
        }
        if minute % 50 == 0 && minute > 0 {
            all.push(all[all.len() - 5].clone());
        }
    }
    all
}

fn apply_result(stage: &mut HistoryStage, store: &dyn Store, at: u64, of: &Result) {
    let (mut identity, mut headers, mut buffer) = (vec![], vec![], BatchBuffer::default());
    of.identity.encode(&mut identity);
    let revision = of.revision.to_string();
    let all = [
        (names::SCHEMA, names::SCHEMA_SIGNALS.as_bytes()),
        (names::REVISION, revision.as_bytes()),
        (names::IDENTITY, &*identity),
        (names::AGGREGATE, &*of.aggregate),
    ];
    put_headers(&mut headers, &all);
    buffer.start(&Partition::new(&Topic::new("t"), 0));
    buffer.push(Offset(at), Some(AppendTime(0)), None, &headers, Some(of.json.as_bytes()));
    buffer.batch().unwrap().iter().for_each(|record| stage.apply(&record, store).unwrap());
}

/// Folds all, with a commit after each `commit_every`, and a restart after every so many commits.
fn folded(retention: Retention, results: &[Result], commit_every: usize, restart_every: usize) -> Shared {
    let mut store = Shared::default();
    let mut stage = HistoryStage::signals(retention);
    stage.restore(&store, &[]).unwrap();
    let mut commits = 0;
    for (at, of) in results.iter().enumerate() {
        apply_result(&mut stage, &store, at as u64, of);
        if at % commit_every == commit_every - 1 || at + 1 == results.len() {
            let mut changes = Changes::default();
            stage.changes(&mut changes);
            store.write(&changes, Offset(at as u64 + 1)).unwrap();
            commits += 1;
            if commits % restart_every == 0 {
                let metadata = stage.metadata();
                stage = HistoryStage::signals(retention);
                stage.restore(&store, &metadata).unwrap();
            }
        }
    }
    store
}

fn history(store: &Shared) -> History {
    let stores = Memory::default();
    stores.0.lock().unwrap().insert((store_name(SIGNALS_STAGE), 0), store.clone());
    History::open(&stores, 1, 0).unwrap()
}

/// The sums as they must be: of the highest revision of each window, merged one by one.
fn expected(results: &[Result], asked: &Asked<'_>) -> Sums {
    let mut newest: BTreeMap<Identity, &Result> = BTreeMap::new();
    for of in results {
        let held = newest.entry(of.identity.clone()).or_insert(of);
        if of.revision > held.revision {
            *held = of;
        }
    }
    let mut sums = Sums::new();
    for (identity, of) in newest {
        let start = identity.window_start;
        if identity.grouping != asked.grouping || start < asked.from || start >= asked.to {
            continue;
        }
        let step = EventTime(start.0 - start.0.rem_euclid(asked.step));
        let window = StoredRef { revision: of.revision, window_nanos: MINUTE, json: of.json.as_bytes(), aggregate: &of.aggregate };
        let sum: &mut Rolled = sums.entry(identity.dimensions.clone()).or_default().entry(step).or_default();
        sum.add(start, &window, asked.detail).unwrap();
    }
    sums
}

fn bytes(sums: &Sums) -> Vec<(&Vec<String>, EventTime, Vec<u8>)> {
    let encoded = |sum: &Rolled| {
        let mut out = vec![];
        sum.encode(&mut out);
        out
    };
    sums.iter().flat_map(|(values, steps)| steps.iter().map(move |(start, sum)| (values, *start, encoded(sum)))).collect()
}

fn asked(grouping: &str, from: i64, to: i64, step: i64) -> Asked<'_> {
    Asked { from: EventTime(from), to: EventTime(to), step, grouping, wanted: &[], detail: Detail::ALL, most: Most::default() }
}

#[test]
fn a_range_is_the_merge_of_all_its_windows_bit_for_bit() {
    let results = results(30);
    let store = folded(Retention::default(), &results, 100, usize::MAX);
    let rolled = store.0.lock().unwrap().0.keys().filter(|key| key[0] == 6).count();
    assert!(rolled > 27 * 3, "most hours are rolled up: {rolled}");
    let history = history(&store);
    let spans = [
        (0, 30 * HOUR, HOUR),
        (0, 30 * HOUR, 10 * MINUTE),
        (0, 30 * HOUR, MINUTE),
        (0, 30 * HOUR, 100 * HOUR),
        (0, 24 * HOUR, 6 * HOUR),
        (7 * MINUTE, 29 * HOUR + 13 * MINUTE, HOUR),
        (7 * MINUTE, 29 * HOUR + 13 * MINUTE, 15 * MINUTE),
        (70 * MINUTE, 290 * MINUTE, 20 * MINUTE),
        (25 * HOUR, 26 * HOUR, 7 * MINUTE),
    ];
    for grouping in ["service", "service_operation"] {
        for (from, to, step) in spans {
            let asked = asked(grouping, from, to, step);
            let found = history.range(&key("cart"), &asked).unwrap();
            assert_eq!(bytes(&found), bytes(&expected(&results, &asked)), "{grouping} {from} {to} {step}");
        }
    }
    let wanted = [Some("GET /".to_owned())];
    let one = Asked { wanted: &wanted, ..asked("service_operation", 0, 30 * HOUR, HOUR) };
    let found = history.range(&key("cart"), &one).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), [&vec!["GET /".to_owned()]]);
    assert_eq!(history.range(&key("other"), &asked("service", 0, HOUR, HOUR)).unwrap(), Sums::new());
}

#[test]
fn a_rebuild_gives_the_same_bytes_whatever_the_commits_and_restarts_were() {
    let results = results(9);
    let retention = Retention { windows: 3 * HOUR, ..Retention::default() };
    let content = |store: Shared| store.0.lock().unwrap().0.clone();
    let first = content(folded(retention, &results, 1, usize::MAX));
    for (commit_every, restart_every) in [(1, 1), (7, 3), (1000, 1), (usize::MAX, usize::MAX)] {
        let other = content(folded(retention, &results, commit_every, restart_every));
        assert!(first == other, "{commit_every} {restart_every}");
    }
}

#[test]
fn what_was_rolled_up_outlives_its_windows_and_finer_questions_are_refused() {
    let results = results(30);
    let store = folded(Retention { windows: 12 * HOUR, ten_minutes: 18 * HOUR, ..Retention::default() }, &results, 50, 2);
    let history = history(&store);
    let reach = history.reach(&key("cart")).unwrap();
    assert_eq!(reach, Reach { records: EventTime(17 * HOUR), ten_minutes: EventTime(11 * HOUR), hours: EventTime(reach.hours.0) });
    for (from, to, step) in [(0, 30 * HOUR, HOUR), (11 * HOUR, 30 * HOUR, 10 * MINUTE), (17 * HOUR, 30 * HOUR, MINUTE)] {
        let asked = asked("service_operation", from, to, step);
        let found = history.range(&key("cart"), &asked).unwrap();
        assert_eq!(bytes(&found), bytes(&expected(&results, &asked)), "{from} {step}");
    }
    let refused = |from, step| history.range(&key("cart"), &asked("service", from, 30 * HOUR, step)).unwrap_err();
    assert!(matches!(refused(10 * HOUR, 10 * MINUTE), RangeError::Coarser { seconds: 3600, .. }));
    assert!(matches!(refused(16 * HOUR, MINUTE), RangeError::Coarser { seconds: 600, .. }));
    assert!(matches!(refused(i64::MIN / 4, HOUR), RangeError::Long));
}

#[test]
fn an_answer_takes_what_it_may_and_not_one_value_more() {
    let results = results(9);
    let store = folded(Retention::default(), &results, 50, usize::MAX);
    let history = history(&store);
    for (step, to) in [(MINUTE, HOUR), (10 * MINUTE, 3 * HOUR), (HOUR, 9 * HOUR)] {
        let asked = asked("service_operation", 0, to, step);
        let sums: usize = history.range(&key("cart"), &asked).unwrap().values().map(BTreeMap::len).sum();
        let with = |reads, sums| history.range(&key("cart"), &Asked { most: Most { reads, sums }, ..asked });
        assert!(with(usize::MAX, sums).is_ok(), "{step}");
        assert!(matches!(with(usize::MAX, sums - 1), Err(RangeError::Sums(most)) if most == sums - 1), "{step}");
        let reads = (1..).find(|reads| with(*reads, usize::MAX).is_ok()).unwrap();
        assert!(reads > 1 && reads <= sums * 60, "{step}: {reads}");
        let refused = with(reads - 1, usize::MAX).unwrap_err();
        assert_eq!(refused.to_string(), format!("more than {} stored values would have to be read", reads - 1));
    }
}

#[test]
fn a_correction_of_what_is_gone_changes_nothing_and_is_counted() {
    let mut results = results(9);
    let retention = Retention { windows: 3 * HOUR, ..Retention::default() };
    let before = folded(retention, &results, 10, 4);
    results.push(result(&mut Dice(1), MINUTE, None, 9));
    let after = folded(retention, &results, 10, 4);
    let range = |store: &Shared| history(store).range(&key("cart"), &asked("service", 0, 9 * HOUR, HOUR)).unwrap();
    assert_eq!(bytes(&range(&before)), bytes(&range(&after)));
    let missed = |store: &Shared| history(store).sizes().unwrap().missed;
    assert_eq!(missed(&after), missed(&before) + 1);
}

#[test]
fn the_bytes_that_are_counted_are_those_that_are_there_and_stay_within_the_bound() {
    let sparse: Vec<Result> = {
        let mut dice = Dice(3);
        (0..6 * 24 * 20).map(|n| result(&mut dice, n * 3 * MINUTE, if n % 2 == 0 { None } else { Some("GET /") }, 0)).collect()
    };
    let all = folded(Retention::default(), &sparse, 60, 7);
    let unbounded = history(&all).sizes().unwrap();
    let total = |of: &Sizes| of.records.bytes + of.ten_minutes.bytes + of.hours.bytes;
    for bound in [u64::MAX, total(&unbounded) * 2 / 3, total(&unbounded) / 3] {
        let store = folded(Retention { bytes: bound, ..Retention::default() }, &sparse, 60, 7);
        let sizes = history(&store).sizes().unwrap();
        for (kind, held) in [(1, sizes.records), (6, sizes.ten_minutes), (7, sizes.hours)] {
            let content = store.0.lock().unwrap();
            let there: usize = content.0.iter().filter(|(key, _)| key[0] == kind).map(|(key, value)| key.len() + value.len()).sum();
            assert_eq!(there as u64, held.bytes, "kind {kind} of {bound}");
        }
        let services: usize =
            store.0.lock().unwrap().0.iter().filter(|(key, _)| key[0] == 2).map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(services as u64, sizes.services);
        assert!(total(&sizes) <= bound, "{} of {bound}", total(&sizes));
        let (_, last) = sizes.records.hours.unwrap();
        assert!(sizes.records.hours.unwrap().0 <= last.plus(-DAY + HOUR), "the newest day stays");
        // What is left is still exact.
        let reach = history(&store).reach(&key("cart")).unwrap();
        let asked = asked("service", reach.hours.0.max(0), 12 * DAY, HOUR);
        let found = history(&store).range(&key("cart"), &asked).unwrap();
        assert_eq!(bytes(&found), bytes(&expected(&sparse, &asked)));
    }
}

#[test]
fn a_jump_of_a_year_loses_nothing_that_sums_are_kept_for() {
    let mut results = results(3);
    let mut dice = Dice(5);
    results.extend((0..300).map(|minute| result(&mut dice, 300 * DAY + minute * MINUTE, None, 0)));
    let store = folded(Retention::default(), &results, 20, 3);
    let asked = asked("service", 0, 3 * HOUR, HOUR);
    assert_eq!(bytes(&history(&store).range(&key("cart"), &asked).unwrap()), bytes(&expected(&results, &asked)));
    assert_eq!(history(&store).sizes().unwrap().records.hours.map(|(first, _)| first), Some(EventTime(300 * DAY)));
}
