use super::*;
use crate::decode::Skip;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::outcome::Outcome;
use crate::source::{Dedup, Format};
use proptest::prelude::*;

const TELEMETRYGEN: &str = include_str!("../samples/jaeger-telemetrygen.json");

/// A trace as the UI exports it: processes behind the spans, one span with a process of its own, one of a process that is not there.
const EXPORT: &str = r#"{"data":[{"spans":[
  {"traceID":"84b3fad94c6112edd6af3347d06f6f1d","spanID":"d81ccf159d71bc66","operationName":"HTTP GET","startTime":1660049722779884,"duration":967066,"flags":1,"processID":"p1",
   "references":[{"refType":"CHILD_OF","span":{"operationName":"other","processID":"p2","startTime":1}}],
   "tags":[{"key":"http.method","type":"string","value":"GET"},{"key":"http.route","type":"string","value":"/bike\/{id}"},{"key":"http.status_code","type":"int64","value":200},
     {"key":"error","type":"bool","value":true},{"key":"span.kind","type":"string","value":"server"}]},
  {"traceID":"84b3fad94c6112edd6af3347d06f6f1d","spanID":"1","operationName":"own","startTime":1660049722779884,"duration":1,"flags":0,"processID":"p1",
   "process":{"serviceName":"inner","tags":[]},"tags":[{"key":"span.kind","value":"consumer"},{"key":"otel.status_code","value":"ERROR"}]},
  {"operationName":"lost","startTime":1660049722779884,"processID":"p9","tags":[{"key":"span.kind","value":"server"}]},
  {"operationName":"client","startTime":1660049722779884,"processID":"p1","tags":[{"key":"span.kind","value":"client"}]}],
 "processes":{"p2":{"serviceName":"load-generator","tags":[]},"p1":{"tags":[{"key":"hostname","type":"string","value":"h\u00f6st"},{"key":"deployment.environment","value":"prod"}],"serviceName":"ride"}}}]}"#;

/// A span as the collector writes it.
const SINGLE: &str = r#"{"traceId":"g6nv0VwcmKl34HEcyT7iiw==","spanId":"4SevmePj4HQ=","operationName":"okey","startTime":"2024-01-31T05:28:29.209712Z","duration":"0.000123s",
 "tags":[{"key":"span.kind","vStr":"server"},{"key":"rpc.grpc.status_code","vType":"INT64","vInt64":"14"},{"key":"error","vType":"BOOL"}],
 "process":{"serviceName":"telemetrygen","tags":[{"key":"hostname","vStr":"h1"}]}}"#;

fn read(text: &str) -> Collected {
    decode(&mut JaegerJson::new(&source(Format::JaegerJson), &wanted(&["env"])), text.as_bytes())
}

#[test]
fn a_published_export_is_read() {
    let found = read(TELEMETRYGEN);
    assert_eq!((found.events.len(), found.len()), (2, 2));
    let (_, event) = &found.events[0];
    assert_eq!((event.service.as_str(), event.operation.as_str(), event.duration), ("telemetrygen", "okey-dokey-0", Some(123_000)));
    assert_eq!(event.time, 1_706_678_909_209_712_000);
}

#[test]
fn spans_find_their_process_behind_them_or_inside() {
    let found = read(EXPORT);
    let (_, event) = &found.events[0];
    assert_eq!((event.service.as_str(), event.operation.as_str(), event.host.as_str()), ("ride", "GET /bike/{id}", "höst"));
    assert_eq!((event.outcome, event.error_type.as_str(), event.tags[0].as_str()), (Outcome::Error, "_OTHER", "prod"));
    let (_, own) = &found.events[1];
    assert_eq!((own.service.as_str(), own.outcome, own.host.as_str(), own.trace), ("inner", Outcome::Error, "", None));
    assert_eq!(
        (found.reasons(), found.dead[0].0, found.skipped.as_slice()),
        (vec![Reason::ServiceMissing], 2, [(3, Skip::SpanKind)].as_slice())
    );
}

#[test]
fn data_may_be_one_trace_and_a_trace_may_stand_alone() {
    let trace = EXPORT.strip_prefix("{\"data\":[").unwrap().strip_suffix("]}").unwrap();
    assert_eq!(read(trace), read(EXPORT));
    assert_eq!(read(&format!("{{\"data\":{trace},\"errors\":null}}")), read(EXPORT));
    assert_eq!(read(&format!("[{trace}]")), read(EXPORT));
    assert_eq!(read(&format!("{{\"data\":[{trace},{trace}]}}")).len(), 8);
    assert_eq!(read(r#"{"data":null}"#).len() + read(r#"{"data":[]}"#).len() + read(r#"{"data":[{"spans":null}]}"#).len(), 0);
}

#[test]
fn a_single_span_of_the_collector_is_read() {
    let found = read(SINGLE);
    let event = found.only();
    assert_eq!((event.service.as_str(), event.time, event.duration), ("telemetrygen", 1_706_678_909_209_712_000, Some(123_000)));
    assert_eq!((event.error_type.as_str(), event.host.as_str()), ("UNAVAILABLE", "h1"));
    assert_eq!(event.trace.unwrap().span_id, 0xe127_af99_e3e3_e074);
}

#[test]
fn copies_of_a_span_have_one_id() {
    let mut source = source(Format::JaegerJson);
    source.dedup = Dedup::OfFormat;
    let found = decode(&mut JaegerJson::new(&source, &Wanted::default()), TELEMETRYGEN.as_bytes());
    assert!(found.events[0].1.dedup.is_some() && found.events[0].1.dedup == found.events[1].1.dedup);
}

#[test]
fn faults_are_dead_with_their_reason() {
    for (bad, reason) in [
        (SINGLE.replace("2024-01-31T05:28:29.209712Z", "2024-01-32T05:28:29Z"), Reason::TimeInvalid),
        (SINGLE.replace("\"startTime\"", "\"when\""), Reason::TimeMissing),
        (SINGLE.replace("0.000123s", "-1s"), Reason::LatencyInvalid),
        (SINGLE.replace("0.000123s", "1h"), Reason::LatencyInvalid),
        (SINGLE.replace("\"14\"", "\"x\""), Reason::StatusInvalid),
        (SINGLE.replace("serviceName", "name"), Reason::ServiceMissing),
        (SINGLE.replace("\"spanId\"", "\"traceId\""), Reason::DecodeJson),
        (r#"{"a":1}"#.to_owned(), Reason::SchemaMismatch),
        (r#"{"data":{"data":[]}}"#.to_owned(), Reason::SchemaMismatch),
        (r#"{"data":[5]}"#.to_owned(), Reason::SchemaMismatch),
        ("5".to_owned(), Reason::SchemaMismatch),
        (String::new(), Reason::EmptyValue),
    ] {
        assert_eq!(read(&bad).reasons(), [reason], "{bad}");
    }
}

proptest! {
    #[test]
    fn changed_documents_never_panic_and_never_give_more_items_than_they_have(changes in changes(), garbage in ".{0,60}") {
        let (source, wanted) = (source(Format::JaegerJson), wanted(&["env"]));
        for sample in [EXPORT, SINGLE, TELEMETRYGEN, &garbage] {
            let value = changed(sample.as_bytes(), &changes);
            let mut warm = JaegerJson::new(&source, &wanted);
            decode(&mut warm, sample.as_bytes());
            let found = decode_twice(&mut warm, &mut JaegerJson::new(&source, &wanted), &value);
            prop_assert!(found.len() <= value.len().max(1));
            if serde_json::from_slice::<serde::de::IgnoredAny>(&value).is_err() {
                prop_assert_eq!((found.events.len(), found.dead.len()), (0, 1));
            }
        }
    }
}
