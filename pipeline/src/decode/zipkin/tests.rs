use super::*;
use crate::decode::Skip;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::outcome::Outcome;
use crate::source::{Dedup, Format};
use proptest::prelude::*;

const YELP: &str = include_str!("../samples/zipkin-yelp.json");

/// One span id on both sides, as in the traces of SmartThings; the server without duration, and failed by its tag alone.
const SHARED: &str = r#"[
 {"traceId":"14b60fd9ae504820","parentId":"017bfc73a014d42c","id":"60e1ace16723844a","kind":"CLIENT","name":"post /events","timestamp":1543549826259342,"duration":2120,
  "localEndpoint":{"serviceName":"pusher","ipv4":"10.6.83.20","port":8197},"annotations":[{"timestamp":1543549826261000,"value":"Body Part Received"}]},
 {"tags":{"http.path":"/events/86","error":"","http.status_code":"404","environment":"t\u00e9st"},"shared":true,"timestamp":1543549826259400,"id":"60e1ace16723844a","kind":"SERVER",
  "traceId":"14b60fd9ae504820","name":"post \/events","localEndpoint":{"serviceName":"events","ipv6":"2001:db8::1"}}
]"#;

fn read(text: &str) -> Collected {
    decode(&mut ZipkinJson::new(&source(Format::ZipkinJson), &wanted(&["environment"])), text.as_bytes())
}

#[test]
fn a_published_trace_is_read() {
    let found = read(YELP);
    assert_eq!((found.events.len(), found.skipped.len(), found.dead.len()), (4, 12, 0));
    let (_, event) = found.events.iter().find(|(_, e)| e.service == "spectre").unwrap();
    assert_eq!((event.time, event.duration, event.operation.as_str()), (1_571_896_375_310_740_000, Some(1_490_000), "get"));
}

#[test]
fn a_shared_span_is_counted_at_its_server() {
    let found = read(SHARED);
    assert_eq!(found.skipped, [(0, Skip::SpanKind)]);
    let (at, event) = &found.events[0];
    assert_eq!((*at, event.service.as_str(), event.operation.as_str(), event.host.as_str()), (1, "events", "post /events", "2001:db8::1"));
    assert_eq!((event.outcome, event.error_type.as_str(), event.duration, event.tags[0].as_str()), (Outcome::Error, "404", None, "tést"));
    assert_eq!(event.trace.unwrap().trace_id, 0x14b6_0fd9_ae50_4820);
}

#[test]
fn the_kind_is_part_of_the_id() {
    let mut source = source(Format::ZipkinJson);
    source.dedup = Dedup::OfFormat;
    source.span_kinds.client = true;
    let found = decode(&mut ZipkinJson::new(&source, &Wanted::default()), SHARED.as_bytes());
    let ids: Vec<u128> = found.events.iter().map(|(_, e)| e.dedup.unwrap()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn a_client_span_that_counts_takes_4xx_as_an_error() {
    let mut source = source(Format::ZipkinJson);
    source.span_kinds.client = true;
    let text = r#"{"kind":"CLIENT","timestamp":5,"tags":{"http.status_code":"404"}}"#;
    let found = decode(&mut ZipkinJson::new(&source, &Wanted::default()), text.as_bytes());
    assert_eq!((found.only().outcome, found.only().service.as_str()), (Outcome::Error, "unknown_service"));
}

#[test]
fn one_span_stands_alone_and_bad_ones_are_dead_alone() {
    let span = |rest: &str| format!(r#"{{"kind":"SERVER","localEndpoint":{{"serviceName":"s"}}{rest}}}"#);
    assert_eq!(read(&span(r#","timestamp":5"#)).only().time, 5000);
    let spans = [
        span(""),
        span(r#","timestamp":0"#),
        span(r#","timestamp":5,"duration":-1"#),
        span(r#","timestamp":5,"tags":{"grpc.status_code":"99"}"#),
        "null".to_owned(),
        span(r#","timestamp":"5","duration":"0","tags":{"http.method":"GET","http.route":"/r"}"#),
    ];
    let found = read(&format!("[{}]", spans.join(",")));
    use Reason::{LatencyInvalid, SchemaMismatch, StatusInvalid, TimeInvalid, TimeMissing};
    assert_eq!(found.reasons(), [TimeMissing, TimeInvalid, LatencyInvalid, StatusInvalid, SchemaMismatch]);
    assert_eq!((found.events[0].0, found.events[0].1.operation.as_str(), found.events[0].1.duration), (5, "GET /r", Some(0)));
    assert_eq!(read("[]").len(), 0);
    assert_eq!(
        [read(""), read("7"), read("[{]")].map(|found| found.reasons()),
        [[Reason::EmptyValue], [SchemaMismatch], [Reason::DecodeJson]]
    );
}

proptest! {
    #[test]
    fn changed_documents_never_panic_and_never_give_more_items_than_they_have(changes in changes(), garbage in ".{0,60}") {
        let (source, wanted) = (source(Format::ZipkinJson), wanted(&["environment"]));
        for sample in [YELP, SHARED, &garbage] {
            let value = changed(sample.as_bytes(), &changes);
            let mut warm = ZipkinJson::new(&source, &wanted);
            decode(&mut warm, sample.as_bytes());
            let found = decode_twice(&mut warm, &mut ZipkinJson::new(&source, &wanted), &value);
            // Elements are counted without reading their numbers, which may be of any size.
            let elements = serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&value).map(|list| list.len());
            prop_assert!(found.len() <= elements.unwrap_or(1));
        }
    }
}
