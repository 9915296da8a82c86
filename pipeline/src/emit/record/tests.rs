use super::*;
use crate::emit::read::PublicRecord;
use crate::event::{Event, StatusClass, Trace};
use crate::outcome::Outcome;
use crate::resource::Resource;
use crate::signal::health::{DEFAULT_RULE_SHA256, Reason};
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use std::time::Duration;

/// The example of SIGNALS §8, as published.
const EXAMPLE: &str = concat!(
    r#"{"schema":"golden-signals/1","tenant":"default","service_namespace":"","service":"adservice","grouping":"service","dimensions":{},"overflow":false,"#,
    r#""window_start":"2022-08-22T03:52:00Z","window_end":"2022-08-22T03:53:00Z","window_seconds":60,"revision":0,"completeness":1,"events":199,"late_events":0,"#,
    r#""requests":{"count":199,"rate":3.316666666666667},"errors":{"count":0,"rate":0,"ratio":0,"by_type":{}},"#,
    r#""ignored":0,"status_classes":{"1xx":0,"2xx":0,"3xx":0,"4xx":0,"5xx":0,"none":199},"availability_ratio":1,"#,
    r#""latency":{"unit":"ms","samples":199,"clamped":0,"#,
    r#""all":{"count":199,"sum":1746.444318,"mean":8.776102100502513,"max":427.74482,"p50":5.215,"p75":8.831,"p90":9.791,"p95":10.751,"p99":78.335,"p999":427.74482},"#,
    r#""ok":{"count":199,"sum":1746.444318,"mean":8.776102100502513,"max":427.74482,"p50":5.215,"p75":8.831,"p90":9.791,"p95":10.751,"p99":78.335,"p999":427.74482},"#,
    r#""error":null,"low_confidence":["p999"],"error_bound":{"relative":0.01,"absolute":0.001}},"#,
    r#""saturation":null,"health":{"level":0,"state":"healthy","reason":"rule","previous":0},"#,
    r#""override":{"version":0,"sha256":"34fe0e2b2cdc1a46828c4915e13963a4726898e40f616aa2e1c2dda32eb9611a"},"#,
    r#""histogram":{"encoding":"hdr-v2","unit":"us","ok":"HISTEwAAAG4AAAAAAAAAAgAAAAAAAAABAAAAANaTpAA/8AAAAAAAAJEMAgACCAgEDAYCEgoICgYMCAwOChAIAgYIBAoIBAQCBAQIAAIEBAgCBAIAAgMCAgAEAgQDAgUCHQIDAgsCUQICAAQEAAQGAgQCBAQCCAYEBgQAAgQDBAAEAAICBQIJBAMCAwIABCECnwUC7QQC","error":null},"#,
    r#""sources":[{"topic":"service-events","partition":0,"first_offset":17,"last_offset":5977}],"#,
    r#""exemplars":[{"reason":"slowest","trace_id":"287ef44c0c671fc443464b41403bdb59","span_id":"1895b6f0df3f5fef","operation":"hipstershop.AdService/GetAds","outcome":"ok","latency_ms":427.74482,"event_time":"2022-08-22T03:52:24.384000088Z"}]}"#,
);
/// Exact sum and maximum of the example's durations, ns.
const SUM: u128 = 1_746_444_318;
const MAX: u64 = 427_744_820;

fn minute() -> WindowLength {
    WindowLength::new(Duration::from_secs(60)).unwrap()
}

fn event(duration: Option<u64>, outcome: Outcome) -> Event<'static> {
    Event {
        event_time: EventTime(1_661_140_344_384_000_088),
        duration,
        service: "adservice",
        operation: "hipstershop.AdService/GetAds",
        outcome,
        error_type: if outcome == Outcome::Error { "503" } else { "" },
        ..Event::EMPTY
    }
}

/// One event for each sample of the example's histogram, whose durations add up to the exact sum.
fn example() -> Aggregate {
    let base64 = EXAMPLE.split_once(r#""unit":"us","ok":""#).and_then(|(_, rest)| rest.split_once('"')).unwrap().0;
    let bytes = STANDARD.decode(base64).unwrap();
    let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
    assert_eq!((histogram.len(), histogram.low(), histogram.high(), histogram.sigfig()), (199, 1, 3_600_000_000, 2));
    let bins = histogram.iter_recorded().flat_map(|v| std::iter::repeat_n(v.value_iterated_to(), v.count_at_value() as usize));
    let mut durations: Vec<u64> = bins.map(|micros| micros * 1000).collect();
    *durations.last_mut().unwrap() = MAX;
    // The bins say each duration up to their width; take what is too much off where it does not change the bin.
    let mut surplus = durations.iter().map(|d| u128::from(*d)).sum::<u128>().checked_sub(SUM).unwrap();
    for duration in durations.iter_mut().take(198) {
        let low = histogram.lowest_equivalent(*duration / 1000) * 1000 - 999;
        let part = surplus.min(u128::from(*duration - low)) as u64;
        *duration -= part;
        surplus -= u128::from(part);
    }
    assert_eq!(surplus, 0);
    let mut aggregate = Aggregate::default();
    for duration in durations {
        let mut event = event(Some(duration), Outcome::Ok);
        if duration == MAX {
            event.trace =
                Some(Trace { trace_id: 0x287e_f44c_0c67_1fc4_4346_4b41_403b_db59, span_id: 0x1895_b6f0_df3f_5fef, sampled: true });
        }
        aggregate.add(&event, 0);
    }
    aggregate
}

fn adservice(aggregate: &Aggregate) -> Final<'_> {
    Final {
        subject: Subject { tenant: "default", namespace: "", service: "adservice", grouping: "service", dimensions: &[], overflow: false },
        window_start: EventTime(1_661_140_320_000_000_000),
        window: minute(),
        revision: 0,
        completeness: Completeness::FULL,
        aggregate,
        saturation: None,
        health: Some(Health { level: Some(Level::Healthy), reason: Reason::Rule, previous: Level::Healthy }),
        override_version: 0,
        override_sha256: DEFAULT_RULE_SHA256,
        sources: None,
    }
}

fn written(settings: RecordSettings, result: &Final<'_>) -> (String, usize) {
    let mut out = b"before".to_vec();
    let at = RecordEncoder::new(settings).put_final(result, &mut out);
    (String::from_utf8(out[6..].to_vec()).unwrap(), at - 6)
}

#[test]
fn the_example_of_the_specification_comes_out_byte_for_byte() {
    let aggregate = example();
    let sources = [SourceRange { topic: "service-events", partition: 0, first_offset: 17, last_offset: 5977 }];
    let settings = RecordSettings { histogram: true, ..RecordSettings::default() };
    let (record, _) = written(settings, &Final { sources: Some(&sources), ..adservice(&aggregate) });
    assert_eq!(record, EXAMPLE);
}

#[test]
fn the_revision_stands_where_the_encoder_says() {
    let aggregate = Aggregate::default();
    let (record, at) = written(RecordSettings::default(), &Final { revision: 4711, ..adservice(&aggregate) });
    assert!(record[..at].ends_with(r#""revision":"#) && record[at..].starts_with(r#"4711,"completeness""#));
}

#[test]
fn what_is_switched_off_is_absent_and_what_has_no_value_is_null() {
    let aggregate = Aggregate::default();
    let (record, _) = written(RecordSettings::default(), &Final { health: None, ..adservice(&aggregate) });
    assert!(!record.contains("histogram") && !record.contains("sources"));
    for part in [
        r#""requests":{"count":0,"rate":0},"errors":{"count":0,"rate":0,"ratio":null,"by_type":{}}"#,
        r#""availability_ratio":null,"latency":null,"saturation":null,"health":null"#,
        r#""exemplars":[]"#,
    ] {
        assert!(record.contains(part), "{part} in {record}");
    }
    assert_eq!(PublicRecord::parse(record.as_bytes()).unwrap().latency, None);
}

#[test]
fn quantiles_of_low_confidence_are_null_on_request_and_named_always() {
    let mut aggregate = Aggregate::default();
    (0..50).for_each(|_| aggregate.add(&event(Some(2_000_000), Outcome::Ok), 0));
    let settings = RecordSettings { suppress_low_confidence: true, ..RecordSettings::default() };
    let (record, _) = written(settings, &adservice(&aggregate));
    let latency = PublicRecord::parse(record.as_bytes()).unwrap().latency.unwrap();
    let all = latency.all.unwrap();
    assert_eq!((all.p95, all.p99, all.p999, latency.low_confidence), (Some(2.0), None, None, vec!["p99".into(), "p999".into()]));
}

/// A record in which every field has a value, and one in which all that may be missing is.
pub(crate) fn richest_and_poorest() -> [String; 2] {
    let mut aggregate = Aggregate::default();
    let trace = Some(Trace { trace_id: 1, span_id: 2, sampled: true });
    aggregate.add(&Event { trace, status_class: StatusClass::ServerError, ..event(Some(1_500_000), Outcome::Error) }, 0);
    aggregate.add(&Event { trace, status_class: StatusClass::Success, weight: 3, ..event(Some(1_234_567), Outcome::Ok) }, 0);
    let dimensions = [("operation", "GET /\"q\"\n{id}"), ("region", "")];
    let subject = Subject { grouping: "service_operation", dimensions: &dimensions, overflow: true, ..adservice(&aggregate).subject };
    let mut saturation = Saturation { millionths: 666_666, resource: Resource::Cpu, utilization: [None; Resource::ALL.len()] };
    saturation.utilization[0] = Some(666_666);
    let sources = [SourceRange { topic: "service-events", partition: 3, first_offset: 17, last_offset: 1 << 40 }];
    let rich = Final {
        subject,
        saturation: Some(saturation),
        revision: 2,
        completeness: Completeness::from_millionths(666_666),
        override_version: 7,
        sources: Some(&sources),
        ..adservice(&aggregate)
    };
    let nothing = Aggregate::default();
    let poor = Final { health: None, ..adservice(&nothing) };
    let all = RecordSettings { histogram: true, ..RecordSettings::default() };
    [written(all, &rich).0, written(RecordSettings::default(), &poor).0]
}

#[test]
fn records_read_back() {
    let mut aggregate = Aggregate::default();
    let trace = Some(Trace { trace_id: 1, span_id: 2, sampled: true });
    aggregate.add(&Event { trace, status_class: StatusClass::ServerError, ..event(Some(1_500_000), Outcome::Error) }, 0);
    aggregate.add(&Event { status_class: StatusClass::Success, weight: 3, ..event(Some(1_000_000), Outcome::Ok) }, 0);
    aggregate.add(&event(None, Outcome::Ignored), 0);
    let unknown = Health { level: None, reason: Reason::Incomplete, previous: Level::Critical };
    let dimensions = [("operation", "GET /\"q\"\n{id}"), ("region", "")];
    let subject = Subject { grouping: "service_operation", dimensions: &dimensions, overflow: true, ..adservice(&aggregate).subject };
    let completeness = Completeness::from_millionths(666_666);
    let result = Final { subject, health: Some(unknown), completeness, revision: 2, ..adservice(&aggregate) };
    let (record, _) = written(RecordSettings::default(), &result);
    let read = PublicRecord::parse(record.as_bytes()).unwrap();
    assert_eq!(read.dimensions.get("operation").map(|v| &**v), Some("GET /\"q\"\n{id}"));
    assert_eq!((read.overflow, read.revision, read.completeness, read.events, read.ignored), (true, 2, 0.666_666, 3, 1));
    assert_eq!((read.requests.count, read.errors.count, read.errors.ratio), (4, 1, Some(0.25)));
    assert_eq!(read.errors.by_type.get("503"), Some(&1));
    assert_eq!((read.status_classes.get("2xx"), read.status_classes.get("5xx")), (Some(&3), Some(&1)));
    let health = read.health.unwrap();
    assert_eq!((health.level, &*health.state, &*health.reason, health.previous), (None, "unknown", "incomplete", 3));
    let latency = read.latency.unwrap();
    assert_eq!((latency.samples, latency.all.unwrap().count, latency.error.unwrap().max), (2, 4, 1.5));
    assert_eq!(read.exemplars.iter().map(|e| &*e.reason).collect::<Vec<_>>(), ["slowest", "slowest_error", "first_error"]);
}

#[test]
fn a_line_of_the_late_ledger_has_the_counts_of_a_record_and_no_verdict() {
    let aggregate = example();
    let mut encoder = RecordEncoder::new(RecordSettings { histogram: true, ..RecordSettings::default() });
    let mut out = Vec::new();
    let window_start = EventTime(1_661_140_320_000_000_000);
    let line = LateLine {
        tenant: "default",
        namespace: "shop",
        service: "adservice",
        window_start,
        window: minute(),
        revision: 3,
        aggregate: &aggregate,
    };
    let at = encoder.put_late(&line, &mut out);
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert!(out[at..].starts_with(b"3,"));
    assert_eq!((&json["schema"], &json["events"], &json["requests"]["count"]), (&"golden-signals-late/1".into(), &199.into(), &199.into()));
    assert!(json["histogram"]["ok"].is_string() && json["status_classes"]["none"] == 199 && json.get("health").is_none());
}
