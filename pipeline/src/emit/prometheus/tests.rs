use super::*;
use crate::emit::record::{Final, RecordEncoder, Subject};
use crate::event::{Event, StatusClass, Trace};
use crate::outcome::Outcome;
use crate::signal::health::{DEFAULT_RULE_SHA256, Health, Reason};
use platform_core::window::WindowLength;
use proptest::prelude::*;
use std::time::Duration;

const MINUTE: i64 = 60_000_000_000;
const TEXT: PageSettings = PageSettings { format: Format::Text, tenant_label: false, max_series: 100, stale_after_nanos: 3 * MINUTE };

fn identity(service: &str, start: i64, grouping: &str, dimensions: &[&str]) -> Identity {
    Identity {
        window_start: EventTime(start),
        window_nanos: MINUTE,
        tenant: "default".into(),
        namespace: String::new(),
        service: service.into(),
        grouping: grouping.into(),
        dimensions: dimensions.iter().map(|d| (*d).to_owned()).collect(),
    }
}

fn event(outcome: Outcome, error_type: &str, millis: u64) -> Event<'_> {
    Event {
        event_time: EventTime(5_500_000_000),
        duration: (millis > 0).then_some(millis * 1_000_000),
        service: "shop",
        namespace: "",
        operation: "GET /",
        outcome,
        error_type,
        status: &crate::outcome::Status::NONE,
        status_class: StatusClass::None,
        host: "",
        tags: &[],
        weight: 1,
        trace: None,
        dedup: None,
        raw: &[],
    }
}

fn aggregate_of(events: &[Event<'_>]) -> Aggregate {
    let mut aggregate = Aggregate::default();
    events.iter().for_each(|e| aggregate.add(e, 0));
    aggregate
}

/// Applies a revision as the sink does: from the record as it is published.
fn apply(
    state: &mut ScrapeState,
    id: &Identity,
    names: &[&str],
    revision: u64,
    level: Option<Level>,
    old: Option<&Aggregate>,
    new: &Aggregate,
) {
    let dimensions: Vec<(&str, &str)> = names.iter().copied().zip(id.dimensions.iter().map(String::as_str)).collect();
    let (tenant, namespace, service, grouping) = (&id.tenant, &id.namespace, &id.service, &id.grouping);
    let health = Health { level, reason: Reason::Rule, previous: Level::Healthy };
    let mut json = Vec::new();
    let result = Final {
        subject: Subject { tenant, namespace, service, grouping, dimensions: &dimensions, overflow: false },
        window_start: id.window_start,
        window: WindowLength::new(Duration::from_secs(60)).unwrap(),
        revision,
        completeness: Completeness::from_millionths(if level.is_some() { 1_000_000 } else { 250_000 }),
        aggregate: new,
        saturation: None,
        health: (grouping == SERVICE).then_some(health),
        override_version: 0,
        override_sha256: DEFAULT_RULE_SHA256,
        sources: None,
    };
    RecordEncoder::default().put_final(&result, &mut json);
    state.apply(id, &PublicRecord::parse(&json).unwrap(), old, new);
}

fn page(state: &ScrapeState, settings: PageSettings, now: Option<i64>) -> String {
    let mut out = Vec::new();
    put_page(&[state], &settings, now.map(EventTime), &mut out);
    String::from_utf8(out).unwrap()
}

fn sample(page: &str, start: &str) -> Option<String> {
    page.lines().find(|line| line.starts_with(start)).and_then(|line| line.rsplit_once("} ")).map(|(_, value)| value.to_owned())
}

#[test]
fn a_page_has_every_family_once_and_in_order() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 4), event(Outcome::Error, "503", 0), event(Outcome::Ignored, "", 9)]);
    apply(&mut state, &identity("shop", 0, SERVICE, &[]), &[], 0, Some(Level::Critical), None, &aggregate);
    let expected = r#"# HELP golden_signals_requests_total Requests, ok and error, by weight.
# TYPE golden_signals_requests_total counter
golden_signals_requests_total{grouping="service",service_name="shop"} 2
# HELP golden_signals_errors_total Requests with outcome error; the sample without error_type is always 0.
# TYPE golden_signals_errors_total counter
golden_signals_errors_total{grouping="service",service_name="shop"} 0
golden_signals_errors_total{grouping="service",service_name="shop",error_type="503"} 1
# HELP golden_signals_ignored_total Requests with outcome ignored, by weight.
# TYPE golden_signals_ignored_total counter
golden_signals_ignored_total{grouping="service",service_name="shop"} 1
# HELP golden_signals_request_duration_seconds Durations of requests, by outcome.
# TYPE golden_signals_request_duration_seconds histogram
BUCKETS
golden_signals_request_duration_seconds_sum{grouping="service",service_name="shop",outcome="ok"} 0.004
golden_signals_request_duration_seconds_count{grouping="service",service_name="shop",outcome="ok"} 1
# HELP golden_signals_availability_ratio Share of the requests of the newest window that did not fail.
# TYPE golden_signals_availability_ratio gauge
golden_signals_availability_ratio{grouping="service",service_name="shop"} 0.5
# HELP golden_signals_health_level Health: 0 healthy, 1 degraded, 2 impaired, 3 critical; absent when unknown.
# TYPE golden_signals_health_level gauge
golden_signals_health_level{grouping="service",service_name="shop"} 3
# HELP golden_signals_health_state Health by name: 1 for the state it is in, else 0.
# TYPE golden_signals_health_state gauge
golden_signals_health_state{grouping="service",service_name="shop",state="healthy"} 0
golden_signals_health_state{grouping="service",service_name="shop",state="degraded"} 0
golden_signals_health_state{grouping="service",service_name="shop",state="impaired"} 0
golden_signals_health_state{grouping="service",service_name="shop",state="critical"} 1
golden_signals_health_state{grouping="service",service_name="shop",state="unknown"} 0
# HELP golden_signals_window_completeness_ratio Share of its input that the newest window has seen.
# TYPE golden_signals_window_completeness_ratio gauge
golden_signals_window_completeness_ratio 1
# HELP golden_signals_override_info Rule in force for a service: bundle version (0: built in) and SHA-256 of its file.
# TYPE golden_signals_override_info gauge
golden_signals_override_info{service_name="shop",revision="0",sha256="34fe0e2b2cdc1a46828c4915e13963a4726898e40f616aa2e1c2dda32eb9611a"} 1
# HELP golden_signals_late_events_total Events that came after the close of their window, merged into it or counted in the late ledger.
# TYPE golden_signals_late_events_total counter
golden_signals_late_events_total{service_name="shop",disposition="merged"} 0
golden_signals_late_events_total{service_name="shop",disposition="ledger"} 0
# HELP golden_signals_corrections_total Records that replaced an earlier one of the same window.
# TYPE golden_signals_corrections_total counter
golden_signals_corrections_total{service_name="shop"} 0
# HELP golden_signals_latency_clamped_total Events whose duration was counted as one hour, being longer.
# TYPE golden_signals_latency_clamped_total counter
golden_signals_latency_clamped_total{service_name="shop"} 0
"#;
    let bucket = |bound| {
        format!(
            "golden_signals_request_duration_seconds_bucket{{grouping=\"service\",service_name=\"shop\",outcome=\"ok\",le=\"{bound}\"}} 1"
        )
    };
    let buckets: Vec<String> = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]).map(bucket).collect();
    assert_eq!(page(&state, TEXT, None), expected.replace("BUCKETS", &buckets.join("\n")));
}

#[test]
fn a_correction_adds_what_it_has_more_and_rewrites_no_gauge() {
    let mut state = ScrapeState::default();
    let id = identity("shop", 0, SERVICE, &[]);
    let first = aggregate_of(&[event(Outcome::Ok, "", 4)]);
    let mut second = first.clone();
    let mut late = aggregate_of(&[event(Outcome::Error, "503", 30), event(Outcome::Ok, "", 4)]);
    late.mark_late();
    second.merge(&late).unwrap();
    apply(&mut state, &id, &[], 0, Some(Level::Healthy), None, &first);
    apply(&mut state, &id, &[], 1, Some(Level::Critical), Some(&first), &second);
    let page = page(&state, TEXT, None);
    let of = |start: &str| sample(&page, start).unwrap();
    assert_eq!(of("golden_signals_requests_total"), "3");
    assert_eq!(of(r#"golden_signals_errors_total{grouping="service",service_name="shop",error_type="503""#), "1");
    assert_eq!(of(r#"golden_signals_request_duration_seconds_count{grouping="service",service_name="shop",outcome="ok""#), "2");
    assert_eq!(of(r#"golden_signals_request_duration_seconds_sum{grouping="service",service_name="shop",outcome="error""#), "0.03");
    assert_eq!(of(r#"golden_signals_late_events_total{service_name="shop",disposition="merged""#), "2");
    assert_eq!((of("golden_signals_corrections_total"), of("golden_signals_health_level")), ("1".into(), "0".into()));
    assert_eq!(of("golden_signals_availability_ratio"), "1");
}

#[test]
fn gauges_move_forward_in_window_time_alone_and_counters_take_every_window() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 4)]);
    for (start, level) in [(MINUTE, Some(Level::Degraded)), (0, Some(Level::Critical)), (2 * MINUTE, None)] {
        apply(&mut state, &identity("shop", start, SERVICE, &[]), &[], 0, level, None, &aggregate);
        let page = page(&state, TEXT, None);
        let degraded = Some("1".to_owned()).filter(|_| level.is_some());
        assert_eq!(sample(&page, "golden_signals_health_level"), degraded);
        assert_eq!(page.contains("state=\"unknown\"} 1"), level.is_none());
        assert_eq!(page.contains("golden_signals_window_completeness_ratio 0.25\n"), level.is_none());
    }
    assert_eq!(sample(&page(&state, TEXT, None), "golden_signals_requests_total").unwrap(), "3");
}

#[test]
fn health_is_unknown_once_the_last_window_is_stale() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 4)]);
    apply(&mut state, &identity("shop", 0, SERVICE, &[]), &[], 0, Some(Level::Healthy), None, &aggregate);
    let at = |now| page(&state, TEXT, Some(now));
    assert_eq!(sample(&at(5 * MINUTE), "golden_signals_health_level").as_deref(), Some("0"));
    assert_eq!(sample(&at(5 * MINUTE + 1), "golden_signals_health_level"), None);
    assert!(at(5 * MINUTE + 1).contains("state=\"unknown\"} 1"));
}

#[test]
fn labels_are_escaped_mapped_and_never_doubled() {
    let mut state = ScrapeState::default();
    let dimensions = ["say \"hi\"\\\n", "eu", "a", "b", "__overflow__", "", "c"];
    let names = ["operation", "region", "Team", "team", "le", "zone", "__x"];
    let id = Identity { namespace: "ns".into(), ..identity("shop", 0, "deep", &dimensions) };
    apply(&mut state, &id, &names, 0, None, None, &aggregate_of(&[event(Outcome::Ok, "", 0)]));
    let settings = PageSettings { tenant_label: true, ..TEXT };
    let expected = concat!(
        r#"golden_signals_requests_total{tenant="default",grouping="deep",service_name="shop",service_namespace="ns",team="a",x__x="c",le_="__overflow__","#,
        r#"operation="say \"hi\"\\\n",cloud_region="eu",team_="b",otel_metric_overflow="true"} 1"#
    );
    assert_eq!(page(&state, settings, None).lines().nth(2).unwrap(), expected);
}

#[test]
fn a_count_goes_where_the_highest_duration_of_its_bin_falls() {
    for (bound, (micros, _)) in BOUNDS.iter().enumerate() {
        let mut latency = Latency::default();
        // The bin of the bound itself reaches above it, unless its last µs is the bound.
        let high = range_of(crate::sketch::bin_of(*micros)).1;
        latency.sketch.record(crate::sketch::bin_of(*micros), 5);
        let expected = if high == *micros { bound } else { bound + 1 };
        assert_eq!(buckets_of(&latency).iter().position(|count| *count == 5), Some(expected), "{micros} {high}");
    }
}

#[test]
fn the_page_ends_at_its_cap_and_services_come_first() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 0)]);
    for (service, grouping, dimensions) in [("a", "operation", &["x"][..]), ("b", SERVICE, &[]), ("c", SERVICE, &[])] {
        apply(&mut state, &identity(service, 0, grouping, dimensions), &["operation"][..dimensions.len()], 0, None, None, &aggregate);
    }
    let page = page(&state, PageSettings { max_series: 2, ..TEXT }, None);
    assert_eq!(page.matches("golden_signals_requests_total{").count(), 2);
    assert!(!page.contains("\"a\"") && page.ends_with("# 1 series are left out: the page ends at 2\n"));
}

#[test]
fn open_metrics_pages_carry_exemplars_of_sampled_traces_and_an_end() {
    let mut state = ScrapeState::default();
    let trace = Some(Trace { trace_id: 0xabc, span_id: 1, sampled: true });
    let aggregate = aggregate_of(&[Event { trace, ..event(Outcome::Ok, "", 40) }]);
    apply(&mut state, &identity("shop", 0, SERVICE, &[]), &[], 0, None, None, &aggregate);
    let page = page(&state, PageSettings { format: Format::OpenMetrics, ..TEXT }, None);
    assert!(page.contains("le=\"0.05\"} 1 # {trace_id=\"00000000000000000000000000000abc\"} 0.04 5.5\n"), "{page}");
    assert!(page.contains("# TYPE golden_signals_requests counter\n") && page.ends_with("# EOF\n"));
}

#[test]
fn lines_of_the_late_ledger_count_by_service() {
    let mut state = ScrapeState::default();
    let id = identity("shop", 0, SERVICE, &[]);
    let (one, two) = (aggregate_of(&[event(Outcome::Ok, "", 0)]), aggregate_of(&[event(Outcome::Ok, "", 0), event(Outcome::Ok, "", 0)]));
    state.apply_late(&id, None, &one);
    state.apply_late(&id, Some(&one), &two);
    let page = page(&state, TEXT, None);
    assert_eq!(sample(&page, r#"golden_signals_late_events_total{service_name="shop",disposition="ledger""#).unwrap(), "2");
}

#[test]
fn a_series_ends_when_its_newest_window_is_long_past() {
    let mut state = ScrapeState::default();
    let (old, new) = (identity("a", 0, SERVICE, &[]), identity("b", MINUTE, SERVICE, &[]));
    for id in [&old, &new] {
        apply(&mut state, id, &[], 0, None, None, &Aggregate::default());
    }
    state.apply_late(&identity("c", 0, SERVICE, &[]), None, &Aggregate::default());
    state.apply_late(&new, None, &Aggregate::default());
    assert_eq!(state.expire(EventTime(MINUTE + 1)), [series_key(&old), series_key(&identity("c", 0, SERVICE, &[]))]);
    assert_eq!(state.len(), 1);
}

fn types() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(0_u32..45, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_revisions_of_any_windows_add_up_to_the_last_of_each(windows in prop::collection::vec(prop::collection::vec(types(), 1..4), 1..4)) {
        let mut state = ScrapeState::default();
        let mut expected = 0;
        for (n, revisions) in windows.iter().enumerate() {
            let id = identity("shop", n as i64 * MINUTE, SERVICE, &[]);
            let mut old: Option<Aggregate> = None;
            for (revision, kinds) in revisions.iter().enumerate() {
                let mut new = old.clone().unwrap_or_default();
                for kind in kinds {
                    new.add(&event(Outcome::Error, &format!("E{kind:02}"), u64::from(*kind)), 0);
                }
                apply(&mut state, &id, &[], revision as u64, None, old.as_ref(), &new);
                old = Some(new);
            }
            expected += old.unwrap().counts().errors;
        }
        let series = state.series.values().next().unwrap();
        let by_type: u64 = series.error_types.iter().map(|(_, count)| count).sum();
        prop_assert_eq!(series.requests, expected);
        prop_assert_eq!(by_type + series.other_types, expected);
        prop_assert!(series.error_types.len() <= ERROR_TYPES);
        let key = state.series.keys().next().unwrap();
        let mut bytes = Vec::new();
        state.encode_series(key, &mut bytes);
        let mut loaded = ScrapeState::default();
        loaded.load_series(key, &bytes).unwrap();
        prop_assert_eq!(loaded.series.values().next(), Some(series));
        for end in 0..bytes.len() {
            prop_assert!(loaded.load_series(key, &bytes[..end]).is_err());
        }
    }

    #[test]
    fn any_kept_bytes_load_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut state = ScrapeState::default();
        let _ = state.load_series(b"key", &[&[VERSION][..], &bytes].concat());
        let _ = page(&state, TEXT, Some(0));
    }
}
