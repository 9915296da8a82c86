use super::*;
use crate::event::StatusClass;
use platform_core::time::EventTime;
use proptest::prelude::*;

/// An event with owned texts, as the strategies make them.
#[derive(Clone, Debug)]
struct Owned {
    outcome: Outcome,
    weight: u32,
    class: StatusClass,
    duration: Option<u64>,
    error_type: String,
    event_time: i64,
    trace: Option<Trace>,
    operation: String,
    hash: u64,
}

impl Owned {
    fn event(&self) -> Event<'_> {
        Event {
            event_time: EventTime(self.event_time),
            duration: self.duration,
            service: "shop",
            operation: &self.operation,
            outcome: self.outcome,
            error_type: if self.outcome == Outcome::Error { &self.error_type } else { "" },
            status_class: self.class,
            weight: self.weight,
            trace: self.trace,
            ..Event::EMPTY
        }
    }
}

fn event() -> impl Strategy<Value = Owned> {
    let outcome = prop_oneof![5 => Just(Outcome::Ok), 4 => Just(Outcome::Error), 1 => Just(Outcome::Ignored)];
    let weight = prop_oneof![9 => Just(1_u32), 1 => 1_u32..=1_000_000];
    let class = prop_oneof![Just(StatusClass::None), Just(StatusClass::Success), Just(StatusClass::ServerError)];
    let duration = prop::option::of(prop_oneof![0_u64..100_000_000, Just(4_000_000_000_000)]);
    let trace = prop::option::of((0_u128..4, 0_u64..2, any::<bool>()));
    (outcome, weight, class, duration, 0_u32..40, 0_i64..6, trace, 0_u8..3, any::<u64>()).prop_map(
        |(outcome, weight, class, duration, kind, event_time, trace, operation, hash)| Owned {
            outcome,
            weight,
            class,
            duration,
            error_type: format!("E{kind}"),
            event_time,
            trace: trace.map(|(trace_id, span_id, sampled)| Trace { trace_id, span_id, sampled }),
            operation: format!("GET /{operation}"),
            hash,
        },
    )
}

fn aggregate_of(events: &[Owned]) -> Aggregate {
    let mut aggregate = Aggregate::default();
    events.iter().for_each(|e| aggregate.add(&e.event(), e.hash));
    aggregate
}

fn encoded(aggregate: &Aggregate) -> Vec<u8> {
    let mut out = Vec::new();
    aggregate.encode(&mut out);
    out
}

fn plain(outcome: Outcome, duration: Option<u64>) -> Owned {
    let trace = Some(Trace { trace_id: 7, span_id: 1, sampled: true });
    let (error_type, operation) = ("503".into(), "GET /".into());
    Owned { outcome, weight: 2, class: StatusClass::ServerError, duration, error_type, event_time: 5, trace, operation, hash: u64::MAX }
}

#[test]
fn counts_are_weighted_where_requests_are_meant_and_raw_where_events_are() {
    let aggregate = aggregate_of(&[
        plain(Outcome::Ok, Some(1500)),
        plain(Outcome::Ok, None),
        plain(Outcome::Error, Some(7_200_000_000_001_000)),
        plain(Outcome::Ignored, Some(9)),
    ]);
    let counts = *aggregate.counts();
    assert_eq!((counts.events, counts.ok, counts.errors, counts.ignored, counts.requests()), (4, 4, 2, 2, 6));
    assert_eq!((counts.samples, counts.clamped, counts.status_classes), (2, 1, [0, 0, 0, 0, 0, 6]));
    assert_eq!(counts.hash, 0_u64.wrapping_sub(4));
    assert_eq!(aggregate.ok_latency().sketch.bins().collect::<Vec<_>>(), [(2, 2)]);
    assert_eq!((aggregate.ok_latency().sum_ns, aggregate.ok_latency().max_ns), (3000, 1500));
    assert_eq!(aggregate.error_latency().unwrap().max_ns, 7_200_000_000_001_000);
    assert_eq!(aggregate.error_types(), [("503".into(), 2)]);
}

#[test]
fn a_million_quiet_series_fit() {
    assert!(size_of::<Aggregate>() <= 256, "{}", size_of::<Aggregate>());
    let events: Vec<Owned> = (0..60).map(|n| Owned { weight: 1, ..plain(Outcome::Ok, Some(1_000_000 + 170_000 * n)) }).collect();
    let aggregate = aggregate_of(&events);
    let bytes = size_of::<Aggregate>() + aggregate.heap_bytes();
    assert!(bytes <= 700, "{bytes}");
}

#[test]
fn sampled_traces_come_first_then_slower_ones_then_smaller_ids() {
    let traced = |trace_id, sampled, duration| Owned {
        trace: Some(Trace { trace_id, span_id: 0, sampled }),
        ..plain(Outcome::Error, Some(duration))
    };
    let events = [traced(9, true, 20), traced(4, true, 20), traced(1, false, 90), traced(2, true, 10)];
    let aggregate = aggregate_of(&events);
    let ids = [aggregate.slowest(), aggregate.slowest_error(), aggregate.first_error()].map(|e| e.unwrap().trace_id);
    assert_eq!(ids, [4, 4, 2]);
}

#[test]
fn error_types_beyond_the_cap_are_counted_together_and_none_is_lost() {
    let mut aggregate = Aggregate::default();
    let kinds: Vec<String> = (0..50).rev().map(|n| format!("{n:02}")).collect();
    for kind in &kinds {
        aggregate.add(&Owned { error_type: kind.clone(), ..plain(Outcome::Error, None) }.event(), 0);
    }
    let names: Vec<&str> = aggregate.error_types().iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, (0..20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    assert_eq!(aggregate.other_error_types(), 60);
}

#[test]
fn a_name_from_outside_never_looks_like_one_of_ours() {
    let aggregate = aggregate_of(&[Owned { error_type: "__overflow__".into(), ..plain(Outcome::Error, None) }]);
    assert_eq!(aggregate.error_types(), [("x__overflow__".into(), 2)]);
}

#[test]
fn late_events_are_those_that_came_marked() {
    let mut closed = aggregate_of(&[plain(Outcome::Ok, None)]);
    let mut late = aggregate_of(&[plain(Outcome::Ok, None), plain(Outcome::Ignored, None)]);
    let before = closed.totals();
    late.mark_late();
    closed.merge(&late).unwrap();
    assert_eq!((closed.counts().events, closed.counts().late_events), (3, 2));
    assert!(closed.totals().iter().zip(before).all(|(new, old)| *new >= old));
}

#[test]
fn the_encoded_form_is_this_and_changes_only_with_the_state_format() {
    let bytes = encoded(&aggregate_of(&[plain(Outcome::Ok, Some(1500)), plain(Outcome::Ignored, None), plain(Outcome::Error, None)]));
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let counts = concat!("03", "00", "02", "02", "02", "20", "04", "01", "00", "fdffffffffffffff");
    let ok = concat!("01", "05", "00", "b817", "00", "dc0b");
    let errors = concat!("00", "01", "03353033", "02", "00");
    let [slowest, first] = ["05dc0b", "03"].map(|head| format!("{head}0a07{}01{}05474554202f", "00".repeat(15), "00".repeat(7)));
    assert_eq!(hex, format!("{counts}{ok}0b{errors}{slowest}{first}"));
}

#[test]
fn damaged_bytes_are_refused() {
    let whole = encoded(&aggregate_of(&[plain(Outcome::Ok, Some(5)), plain(Outcome::Error, Some(6))]));
    for end in 0..whole.len() {
        assert!(Aggregate::decode(&mut Cursor::new(&whole[..end])).is_err(), "{end}");
    }
    let mut classes = whole.clone();
    classes[5] = 0xff;
    assert!(matches!(Aggregate::decode(&mut Cursor::new(&classes)), Err(CodecError::Unknown { .. })));
}

#[test]
fn sums_that_would_pass_63_bits_are_refused() {
    let mut huge = encoded(&Aggregate::default());
    let events = {
        let mut out = vec![];
        codec::put_u64(&mut out, i64::MAX.cast_unsigned());
        out
    };
    huge.splice(0..1, events);
    let mut aggregate = Aggregate::decode(&mut Cursor::new(&huge)).unwrap();
    assert_eq!(aggregate.merge_encoded(&mut Cursor::new(&huge)), Err(CodecError::Overlong));
    assert_eq!(aggregate.clone().merge(&aggregate), Err(Overflow));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_order_and_grouping_of_events_and_merges_gives_the_same_bytes(
        (events, shuffled) in prop::collection::vec(event(), 0..60).prop_flat_map(|e| (Just(e.clone()), Just(e).prop_shuffle())),
        cuts in prop::array::uniform2(0_usize..60),
    ) {
        let straight = encoded(&aggregate_of(&events));
        prop_assert_eq!(&encoded(&aggregate_of(&shuffled)), &straight);
        let [a, b] = cuts.map(|c| c.min(shuffled.len()));
        let (a, b) = (a.min(b), a.max(b));
        let parts = [&shuffled[..a], &shuffled[a..b], &shuffled[b..]].map(aggregate_of);
        let mut left = parts[1].clone();
        left.merge(&parts[0]).unwrap();
        left.merge(&parts[2]).unwrap();
        prop_assert_eq!(&encoded(&left), &straight);
        let mut right = parts[2].clone();
        let mut inner = parts[0].clone();
        inner.merge_encoded(&mut Cursor::new(&encoded(&parts[1]))).unwrap();
        right.merge_encoded(&mut Cursor::new(&encoded(&inner))).unwrap();
        prop_assert_eq!(&encoded(&right), &straight);
    }

    #[test]
    fn encoded_bytes_come_back(events in prop::collection::vec(event(), 0..60)) {
        let aggregate = aggregate_of(&events);
        let bytes = encoded(&aggregate);
        let mut cursor = Cursor::new(&bytes);
        prop_assert_eq!(Aggregate::decode(&mut cursor), Ok(aggregate));
        prop_assert_eq!(cursor.end(), Ok(()));
    }

    #[test]
    fn a_cleared_aggregate_is_as_new(before in prop::collection::vec(event(), 0..60), after in prop::collection::vec(event(), 0..10)) {
        let mut used = aggregate_of(&before);
        used.clear();
        prop_assert_eq!(&encoded(&used), &encoded(&Aggregate::default()));
        after.iter().for_each(|e| used.add(&e.event(), e.hash));
        prop_assert_eq!(used, aggregate_of(&after));
    }

    #[test]
    fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        let _ = Aggregate::decode(&mut Cursor::new(&bytes));
    }
}
