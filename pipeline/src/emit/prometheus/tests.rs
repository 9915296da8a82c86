use super::*;
use crate::emit::record::{Final, RecordEncoder, Subject};
use crate::event::{Event, Trace};
use crate::outcome::Outcome;
use crate::resource::Resource;
use crate::signal::health::{DEFAULT_RULE_SHA256, Health, Reason};
use crate::signal::saturation::Saturation;
use platform_core::metric::{Family, Kind, Value};
use platform_core::time::SECOND;
use platform_core::window::WindowLength;
use proptest::prelude::*;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: i64 = 60_000_000_000;
const TEXT: PageSettings = PageSettings {
    format: Format::Text,
    tenant_label: false,
    max_series: 100,
    stale_after_nanos: 3 * MINUTE,
    quantiles: false,
    compatibility: Compatibility { http_server: false, rpc_server: false, spanmetrics: false, span_metrics: false },
};

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
        operation: "GET /",
        outcome,
        error_type,
        ..Event::EMPTY
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
    let (id, json) = record(id, names, revision, level, new);
    state.apply(&id, &PublicRecord::parse(&json).unwrap(), old, new);
}

/// A record as it is published.
fn record(id: &Identity, names: &[&str], revision: u64, level: Option<Level>, new: &Aggregate) -> (Identity, Vec<u8>) {
    record_with(id, names, revision, level, new, None)
}

/// The same of a service whose resources are known.
fn record_with(
    id: &Identity,
    names: &[&str],
    revision: u64,
    level: Option<Level>,
    new: &Aggregate,
    saturation: Option<Saturation>,
) -> (Identity, Vec<u8>) {
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
        saturation,
        health: (grouping == SERVICE).then_some(health),
        override_version: 0,
        override_sha256: DEFAULT_RULE_SHA256,
        sources: None,
    };
    RecordEncoder::default().put_final(&result, &mut json);
    (id.clone(), json)
}

fn bytes(signals: &[&ScrapeState], late: &[&ScrapeState], settings: PageSettings, now: Option<i64>) -> Vec<u8> {
    let shared = |states: &[&ScrapeState]| states.iter().map(|state| Arc::new(Mutex::new((*state).clone()))).collect::<Vec<_>>();
    let mut out = Vec::new();
    let samples = put_page(&Parts { signals: &shared(signals), late: &shared(late), others: &[] }, &settings, now.map(EventTime), &mut out);
    if settings.format != Format::Protobuf {
        let lines = out.split(|b| *b == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#")).count();
        assert_eq!(samples as usize, lines, "the number of samples");
    }
    out
}

fn page(state: &ScrapeState, settings: PageSettings, now: Option<i64>) -> String {
    String::from_utf8(bytes(&[state], &[], settings, now)).unwrap()
}

fn sample(page: &str, start: &str) -> Option<String> {
    page.lines().find(|line| line.starts_with(start)).and_then(|line| line.rsplit_once("} ")).map(|(_, value)| value.to_owned())
}

#[test]
fn the_fullest_resource_stands_alone_and_every_known_one_by_its_name() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 4)]);
    let used = |millionths: u64, resource: Resource, cpu: u64, replicas: u64| {
        let known =
            |of: Resource| [(Resource::Cpu, cpu), (Resource::Replicas, replicas)].into_iter().find(|(r, _)| *r == of).map(|(_, u)| u);
        Saturation { millionths, resource, utilization: Resource::ALL.map(known) }
    };
    for (minute, saturation, resource, lines) in [
        (0, used(700_000, Resource::Cpu, 700_000, 250_000), "cpu", ["0.7", "0.7", "0.25"]),
        (1, used(1_500_000, Resource::Replicas, 700_000, 1_500_000), "replicas", ["1.5", "0.7", "1.5"]),
    ] {
        let (id, json) = record_with(&identity("shop", minute, SERVICE, &[]), &[], 0, Some(Level::Healthy), &aggregate, Some(saturation));
        state.apply(&id, &PublicRecord::parse(&json).unwrap(), None, &aggregate);
        let page = page(&state, TEXT, None);
        let of = |metric: &str, resource: &str| {
            sample(&page, &format!("golden_signals_{metric}_ratio{{grouping=\"service\",service_name=\"shop\",resource=\"{resource}\"}}"))
        };
        let found = [of("saturation", resource), of("utilization", "cpu"), of("utilization", "replicas")];
        assert_eq!(found, lines.map(|value| Some(value.to_owned())), "{page}");
        assert_eq!(page.lines().filter(|line| line.starts_with("golden_signals_saturation_ratio{")).count(), 1);
        assert_eq!(page.lines().filter(|line| line.starts_with("golden_signals_utilization_ratio{")).count(), 2);
    }
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
# HELP golden_signals_scrape_series_left_out Series that this page has no room for.
# TYPE golden_signals_scrape_series_left_out gauge
golden_signals_scrape_series_left_out 0
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
    let stale = at(5 * MINUTE + 1);
    assert!(stale.contains("state=\"unknown\"} 1") && stale.contains("golden_signals_requests_total{"));
    for gauge in ["golden_signals_availability_ratio", "golden_signals_window_completeness_ratio"] {
        assert!(at(5 * MINUTE).contains(gauge) && !stale.contains(gauge), "{gauge}");
    }
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
fn above_the_cap_services_come_first_and_then_errors_and_then_requests() {
    let mut states = [ScrapeState::default(), ScrapeState::default()];
    let of = |errors: usize, ok: usize| {
        let mut events = vec![event(Outcome::Error, "503", 0); errors];
        events.extend(vec![event(Outcome::Ok, "", 0); ok]);
        aggregate_of(&events)
    };
    for (place, service, grouping, dimensions, aggregate) in [
        (0, "a", "operation", &["quiet"][..], of(0, 1)),
        (1, "b", "operation", &["busy"], of(0, 9)),
        (0, "c", "operation", &["bad"], of(1, 0)),
        (1, "d", SERVICE, &[], of(0, 0)),
        (0, "e", "operation", &["busy as well"], of(0, 9)),
    ] {
        apply(
            &mut states[place],
            &identity(service, 0, grouping, dimensions),
            &["operation"][..dimensions.len()],
            0,
            None,
            None,
            &aggregate,
        );
    }
    let [one, other] = &states;
    let shown = |max_series| {
        let page = String::from_utf8(bytes(&[one, other], &[], PageSettings { max_series, ..TEXT }, None)).unwrap();
        let services = ["a", "b", "c", "d", "e"].into_iter();
        let found: String = services.filter(|name| page.contains(&format!("service_name=\"{name}\""))).collect();
        (found, sample_of(&page, "golden_signals_scrape_series_left_out"))
    };
    let all = [(5, "abcde", "0"), (4, "bcde", "1"), (3, "bcd", "2"), (2, "cd", "3"), (1, "d", "4"), (0, "", "5")];
    for (most, expected, left_out) in all {
        assert_eq!(shown(most), (expected.to_owned(), left_out.to_owned()), "at most {most}");
    }
}

/// Of a sample without labels.
fn sample_of(page: &str, name: &str) -> String {
    page.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned()
}

fn traced() -> (ScrapeState, Identity) {
    let mut state = ScrapeState::default();
    let trace = |trace_id| Some(Trace { trace_id, span_id: 1, sampled: true });
    let slow = Event { trace: trace(0xabc), ..event(Outcome::Ok, "", 40) };
    let failed = Event { trace: trace(0xdef), ..event(Outcome::Error, "503", 7) };
    let id = identity("shop", MINUTE, SERVICE, &[]);
    apply(&mut state, &id, &[], 0, Some(Level::Healthy), None, &aggregate_of(&[slow, failed]));
    (state, id)
}

#[test]
fn open_metrics_pages_carry_exemplars_of_sampled_traces_created_times_units_and_an_end() {
    let (state, _) = traced();
    let page = page(&state, PageSettings { format: Format::OpenMetrics, ..TEXT }, None);
    for part in [
        "outcome=\"ok\",le=\"0.05\"} 1 # {trace_id=\"00000000000000000000000000000abc\"} 0.04 5.5\n",
        "outcome=\"error\",le=\"0.01\"} 1 # {trace_id=\"00000000000000000000000000000def\"} 0.007 5.5\n",
        "# TYPE golden_signals_requests counter\n# HELP golden_signals_requests ",
        "golden_signals_requests_total{grouping=\"service\",service_name=\"shop\"} 2\ngolden_signals_requests_created{grouping=\"service\",service_name=\"shop\"} 60\n",
        "golden_signals_request_duration_seconds_created{grouping=\"service\",service_name=\"shop\",outcome=\"error\"} 60\n",
        "# UNIT golden_signals_request_duration_seconds seconds\n",
        "# UNIT golden_signals_availability_ratio ratio\n",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(page.ends_with("# EOF\n") && !page.contains("health_level_created"));
    let text = self::page(&state, TEXT, None);
    assert!(!text.contains("_created") && !text.contains(" # {") && !text.contains("# UNIT") && !text.contains("EOF"));
}

/// A whole message, as a reader of Prometheus' own definition has it.
#[derive(Clone, PartialEq, prost::Message)]
struct ReadFamily {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    help: String,
    #[prost(int32, tag = "3")]
    kind: i32,
    #[prost(message, repeated, tag = "4")]
    metrics: Vec<ReadMetric>,
    #[prost(string, tag = "5")]
    unit: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReadMetric {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<protobuf::Label>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<protobuf::Gauge>,
    #[prost(message, optional, tag = "3")]
    counter: Option<protobuf::Counter>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<protobuf::Histogram>,
}

impl ReadMetric {
    fn labels(&self) -> String {
        let text = |label: &protobuf::Label| format!("{}={}", label.name.as_deref().unwrap(), label.value.as_deref().unwrap());
        self.labels.iter().map(text).collect::<Vec<_>>().join(",")
    }
}

fn read(mut page: &[u8]) -> Vec<ReadFamily> {
    let mut families = Vec::new();
    while !page.is_empty() {
        families.push(prost::Message::decode_length_delimited(&mut page).unwrap());
    }
    families
}

#[test]
fn protobuf_pages_say_the_same_and_have_native_histograms() {
    let (state, _) = traced();
    let families = read(&bytes(&[&state], &[], PageSettings { format: Format::Protobuf, tenant_label: true, ..TEXT }, None));
    let family = |name: &str| families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name} is not there"));
    let requests = family("golden_signals_requests_total");
    assert_eq!((requests.kind, requests.metrics[0].labels()), (0, "tenant=default,grouping=service,service_name=shop".to_owned()));
    let counter = requests.metrics[0].counter.clone().unwrap();
    assert_eq!((counter.value, counter.created.map(|at| at.seconds)), (Some(2.0), Some(60)));
    let level = family("golden_signals_health_level");
    assert_eq!((level.kind, level.metrics[0].gauge.unwrap().value), (1, Some(0.0)));
    let durations = family("golden_signals_request_duration_seconds");
    assert_eq!((durations.kind, durations.unit.as_str(), durations.metrics.len()), (4, "seconds", 2));
    let of = |n: usize| durations.metrics[n].histogram.clone().unwrap();
    assert!(durations.metrics[1].labels().ends_with("outcome=error"));
    let (ok, error) = (of(0), of(1));
    assert_eq!((ok.count, ok.sum, ok.schema, ok.zero_count), (Some(1), Some(0.04), Some(6), Some(0)));
    assert_eq!((ok.spans.len(), ok.spans[0].length, ok.deltas.as_slice()), (1, Some(1), &[1][..]));
    // The bucket that 40 ms fall into, one further than OTLP numbers it.
    assert_eq!(ok.spans[0].offset, Some((64.0 * (range_of(crate::sketch::bin_of(40_000)).1 as f64 / 1e6).log2()).floor() as i32 + 1));
    let cumulative: Vec<u64> = ok.buckets.iter().map(|bucket| bucket.cumulative.unwrap()).collect();
    assert_eq!((cumulative.len(), cumulative.iter().sum::<u64>()), (BUCKETS, 12), "0 below 0.05 s, 1 from there on");
    assert_eq!(ok.buckets.last().unwrap().bound, Some(f64::INFINITY));
    for (histogram, trace, at) in [(&ok, "00000000000000000000000000000abc", 3), (&error, "00000000000000000000000000000def", 1)] {
        let labels = |exemplar: &protobuf::Exemplar| exemplar.labels[0].value.clone().unwrap();
        assert_eq!(histogram.exemplars.iter().map(labels).collect::<Vec<_>>(), [trace]);
        let places: Vec<usize> = (0..BUCKETS).filter(|n| histogram.buckets[*n].exemplar.is_some()).collect();
        assert_eq!(places, [at], "in the bucket that its duration falls into");
    }
    assert_eq!(error.created.map(|at| at.seconds), Some(60));
}

#[test]
fn the_times_at_which_counters_began_stay_over_a_restart() {
    let (mut state, id) = traced();
    let mut kept = Vec::new();
    state.encode_series(&series_key(&id), &mut kept);
    let mut restarted = ScrapeState::default();
    restarted.load_series(&series_key(&id), &kept).unwrap();
    let more = identity("shop", 9 * MINUTE, SERVICE, &[]);
    for state in [&mut state, &mut restarted] {
        apply(state, &more, &[], 0, Some(Level::Healthy), None, &aggregate_of(&[event(Outcome::Ok, "", 3)]));
    }
    let open = PageSettings { format: Format::OpenMetrics, ..TEXT };
    let page = page(&restarted, open, None);
    assert!(page.contains("golden_signals_requests_created{grouping=\"service\",service_name=\"shop\"} 60\n"), "{page}");
    assert_eq!(page, self::page(&state, open, None));
    assert!(
        bytes(&[&state], &[], PageSettings { format: Format::Protobuf, ..TEXT }, None)
            == bytes(&[&restarted], &[], PageSettings { format: Format::Protobuf, ..TEXT }, None)
    );
}

#[test]
fn a_level_that_rose_is_counted_by_how_long_it_took_and_kept() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Error, "503", 0)]);
    for (start, level, revision, told) in
        [(0, Level::Critical, 0, 95 * SECOND), (MINUTE, Level::Healthy, 0, 999 * SECOND), (2 * MINUTE, Level::Critical, 1, 999 * SECOND)]
    {
        let (id, json) = record(&identity("shop", start, SERVICE, &[]), &[], revision, Some(level), &aggregate);
        state.detect(&id, &PublicRecord::parse(&json).unwrap(), AppendTime(told));
    }
    let mut kept = Vec::new();
    state.encode_rest(&mut kept);
    let mut restarted = ScrapeState::default();
    restarted.load_rest(&kept).unwrap();
    assert!((0..kept.len()).all(|end| ScrapeState::default().load_rest(&kept[..end]).is_err()));
    let page = page(&restarted, TEXT, None);
    let name = "golden_signals_detection_duration_seconds";
    for part in [
        format!("{name}_bucket{{stage=\"total\",le=\"90.0\"}} 0\n"),
        format!("{name}_bucket{{stage=\"total\",le=\"120.0\"}} 1\n"),
        format!("{name}_sum{{stage=\"total\"}} 95\n"),
    ] {
        assert!(page.contains(&part), "{part} is not in\n{page}");
    }
}

#[test]
fn what_stands_for_a_cap_is_counted_by_service_and_label() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 0)]);
    for dimensions in [["__overflow__", "eu"], ["__overflow__", "us"], ["GET /", "eu"]] {
        apply(&mut state, &identity("shop", 0, "deep", &dimensions), &["operation", "region"], 0, None, None, &aggregate);
    }
    apply(&mut state, &identity("__overflow__", 0, SERVICE, &[]), &[], 0, None, None, &aggregate);
    let page = page(&state, TEXT, None);
    assert!(page.contains("golden_signals_overflow_series{service_name=\"shop\",label=\"operation\"} 2\n"), "{page}");
    assert!(page.contains("golden_signals_overflow_series{service_name=\"__overflow__\",label=\"service_name\"} 1\n"), "{page}");
    assert!(!self::page(&state, TEXT, Some(9 * MINUTE)).contains("overflow_series{"), "only while it happens");
}

#[test]
fn quantiles_are_there_on_request_and_only_those_that_enough_samples_stand_behind() {
    let mut state = ScrapeState::default();
    let events: Vec<_> = (1..=100).map(|n| event(Outcome::Ok, "", n)).collect();
    apply(&mut state, &identity("shop", 0, SERVICE, &[]), &[], 0, None, None, &aggregate_of(&events));
    let page = page(&state, PageSettings { quantiles: true, ..TEXT }, None);
    let of = |quantile: &str| {
        let start =
            format!("golden_signals_request_duration_quantile_seconds{{grouping=\"service\",service_name=\"shop\",quantile=\"{quantile}\"");
        sample(&page, &start).map(|value| value.parse::<f64>().unwrap())
    };
    assert!((0.05..0.0506).contains(&of("0.5").unwrap()) && (0.099..=0.1).contains(&of("0.99").unwrap()));
    assert_eq!(of("0.999"), None);
    assert!(!self::page(&state, TEXT, None).contains("quantile"));
}

#[test]
fn names_of_other_tools_repeat_operations_when_they_are_switched_on() {
    let mut state = ScrapeState::default();
    let aggregate = aggregate_of(&[event(Outcome::Ok, "", 40), event(Outcome::Ok, "", 0), event(Outcome::Error, "503", 3)]);
    for operation in ["GET /carts/{id}", "shop.Carts/Get", "settle"] {
        apply(&mut state, &identity("shop", 0, "service_operation", &[operation]), &["operation"], 0, None, None, &aggregate);
    }
    apply(&mut state, &identity("shop", 0, SERVICE, &[]), &[], 0, None, None, &aggregate);
    apply(&mut state, &identity("shop", 0, "deep", &["settle", "eu"]), &["operation", "region"], 0, None, None, &aggregate);
    let compatibility = Compatibility { http_server: true, rpc_server: true, spanmetrics: true, span_metrics: true };
    let page = page(&state, PageSettings { compatibility, ..TEXT }, None);
    for line in [
        r#"http_server_request_duration_seconds_count{service_name="shop",http_request_method="GET",http_route="/carts/{id}"} 1"#,
        r#"http_server_request_duration_seconds_count{service_name="shop",http_request_method="GET",http_route="/carts/{id}",error_type="_OTHER"} 1"#,
        r#"rpc_server_call_duration_seconds_sum{service_name="shop",rpc_method="shop.Carts/Get"} 0.04"#,
        r#"traces_spanmetrics_calls_total{service="shop",span_name="settle",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"} 2"#,
        r#"traces_spanmetrics_latency_bucket{service="shop",span_name="settle",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR",le="0.005"} 1"#,
        r#"traces_span_metrics_calls_total{service_name="shop",span_name="settle",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_ERROR"} 1"#,
        r#"traces_span_metrics_duration_seconds_count{service_name="shop",span_name="GET /carts/{id}",span_kind="SPAN_KIND_SERVER",status_code="STATUS_CODE_UNSET"} 1"#,
    ] {
        assert_eq!(page.lines().filter(|found| *found == line).count(), 1, "{line} is not once in\n{page}");
    }
    assert_eq!(page.matches("traces_spanmetrics_calls_total{").count(), 6, "three operations, two outcomes");
    assert_eq!(
        (
            page.matches("http_server_request_duration_seconds_count{").count(),
            page.matches("rpc_server_call_duration_seconds_count{").count()
        ),
        (2, 2)
    );
    assert!(!self::page(&state, TEXT, None).contains("traces_"));
}

#[test]
fn families_of_the_process_stand_behind_in_every_form() {
    let mut counter = Family::new("platform_things_total", Kind::Counter, "Things, \"quoted\".");
    counter.push(&[("pipeline", "p\n")], Value::Count(3));
    let mut odd = Family::new("platform_odd", Kind::Counter, "No suffix.");
    odd.push(&[], Value::Number(1.5));
    let mut histogram = Family::new("platform_wait_seconds", Kind::Histogram, "Waits.");
    histogram.push(&[], Value::Histogram { bounds: Arc::from([0.5, 2.0]), counts: vec![1, 0, 2], sum: 7.25 });
    let others = [counter, odd, histogram, Family::new("platform_none", Kind::Gauge, "Not shown.")];
    let put = |format| {
        let mut out = Vec::new();
        put_page(&Parts { signals: &[], late: &[], others: &others }, &PageSettings { format, ..TEXT }, None, &mut out);
        out
    };
    let text = String::from_utf8(put(Format::Text)).unwrap();
    let behind = text.split_once("golden_signals_scrape_series_left_out 0\n").unwrap().1;
    let expected = r#"# HELP platform_things_total Things, "quoted".
# TYPE platform_things_total counter
platform_things_total{pipeline="p\n"} 3
# HELP platform_odd No suffix.
# TYPE platform_odd counter
platform_odd 1.5
# HELP platform_wait_seconds Waits.
# TYPE platform_wait_seconds histogram
platform_wait_seconds_bucket{le="0.5"} 1
platform_wait_seconds_bucket{le="2.0"} 1
platform_wait_seconds_bucket{le="+Inf"} 3
platform_wait_seconds_sum 7.25
platform_wait_seconds_count 3
"#;
    assert_eq!(behind, expected);
    let open = String::from_utf8(put(Format::OpenMetrics)).unwrap();
    assert!(
        open.contains("# TYPE platform_things counter\n# HELP platform_things Things, \\\"quoted\\\".\nplatform_things_total{"),
        "{open}"
    );
    assert!(open.contains("# TYPE platform_odd unknown\n"));
    let families = read(&put(Format::Protobuf));
    let histogram = families.last().unwrap().metrics[0].histogram.clone().unwrap();
    assert_eq!((histogram.count, histogram.sum, histogram.schema, histogram.spans.len()), (Some(3), Some(7.25), None, 0));
    assert_eq!(families[1].metrics[0].labels(), "pipeline=p\n");
}

#[test]
fn lines_of_the_late_ledger_count_by_service() {
    let mut state = ScrapeState::default();
    let id = identity("shop", 0, SERVICE, &[]);
    let (one, two) = (aggregate_of(&[event(Outcome::Ok, "", 0)]), aggregate_of(&[event(Outcome::Ok, "", 0), event(Outcome::Ok, "", 0)]));
    state.apply_late(&id, None, &one);
    state.apply_late(&id, Some(&one), &two);
    let ledger = r#"golden_signals_late_events_total{service_name="shop",disposition="ledger""#;
    // Its partition of the public topic has the service as well, or not.
    let mut signals = ScrapeState::default();
    let alone = String::from_utf8(bytes(&[&signals], &[&state], TEXT, None)).unwrap();
    apply(&mut signals, &id, &[], 0, None, None, &one);
    let both = String::from_utf8(bytes(&[&signals], &[&state], TEXT, None)).unwrap();
    for page in [&alone, &both] {
        assert_eq!(sample(page, ledger).unwrap(), "2");
        let mut series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split("} ").next()).collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all, "no series twice");
    }
    assert!(!alone.contains("golden_signals_requests_total"));
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
