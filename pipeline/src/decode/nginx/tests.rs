use super::*;
use crate::decode::Skip;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::decode::timestamp::Moment;
use crate::event::StatusClass;
use crate::outcome::Outcome;
use crate::source::{Condition, Dedup, Format, OutcomeRule, Path};
use proptest::prelude::*;

const APACHE: &[u8] = include_bytes!("../samples/apache-combined.log");

/// Lines of ingress-nginx in all the shapes that it writes: lists, nothing upstream, bad methods, IPv6, a user's name.
const INGRESS: &str = r#"10.0.0.1 - - [07/Feb/2024:11:48:51 +0000] "POST /products HTTP/1.1" 200 59 "-" "curl/8.5.0" 89 0.001 [shop-web-8080] [] 10.1.0.5:8080 59 0.000 200 529a007902362a5f51385a5fa7049884
10.0.0.1 - - [07/Feb/2024:11:49:50 +0000] "PATCHp /products/42 HTTP/1.1" 400 163 "-" "-" 0 0.000 [] [] - - - - 4c7d2079340e68353c7d0dfff00b904b
2a02:db8:: - some user [07/Feb/2024:13:04:17 +0200] "GET /a/7?x=1 HTTP/2.0" 502 552 "https://localhost/" "Agent (x; 2022-01-07 00:50:33 +0000 UTC)" 27 1.25 [shop-web-8080] [] [2a02:db8::7]:5000, [2a02:db8::8]:5000 0, 1 0.000, 1.000 502, 403 3db73c6c673c4256ade033a6ce08c2ab
"#;

const JSON: &str = r#"{"time_iso8601":"2024-02-07T11:48:51+00:00","request_method":"GET","request_uri":"/users/7?q=1","status":"200","request_time":"0.250","host":"shop.example","request_id":"r1","env":"prod"}
{"msec":"1707306531.123","request":"POST /pay HTTP/1.1","status":503,"request_time":0.5,"proxy_upstream_name":"shop-pay-80","upstream_response_time":"-"}
"#;

fn with_service(format: Format) -> Source {
    let mut source = source(format);
    source.defaults.service = Some("shop".to_owned());
    source
}

fn combined(text: &str) -> Collected {
    decode(&mut Combined::new(&with_service(Format::Combined), &Wanted::default()), text.as_bytes())
}

fn ingress(text: &str) -> Collected {
    decode(&mut NginxIngress::new(&source(Format::NginxIngress), &Wanted::default()), text.as_bytes())
}

fn json(text: &str) -> Collected {
    decode(&mut NginxJson::new(&with_service(Format::NginxJson), &Wanted::default()), text.as_bytes())
}

#[test]
fn real_lines_of_apache_are_events_at_their_offsets() {
    let found = decode(&mut Combined::new(&with_service(Format::Combined), &Wanted::default()), APACHE);
    assert_eq!((found.events.len(), found.len()), (6, 6));
    let operations: Vec<&str> = found.events.iter().map(|(_, e)| e.operation.as_str()).collect();
    assert_eq!(
        operations[3..],
        ["GET /scripts/grok-py-test/configlib.py", "GET /misc/Title.php.txt", "GET /projects/xdotool/xdotool.xhtml"]
    );
    let (at, first) = &found.events[0];
    assert_eq!((*at, first.time, first.duration, first.service.as_str()), (0, 1_431_857_103_000_000_000, None, "shop"));
    assert_eq!(usize::try_from(found.events[1].0).unwrap(), APACHE.iter().position(|b| *b == b'\n').unwrap() + 1);
    let (_, failed) = &found.events[4];
    assert_eq!((failed.outcome, failed.error_type.as_str(), failed.class), (Outcome::Error, "500", StatusClass::ServerError));
}

#[test]
fn a_line_cut_behind_the_status_still_counts() {
    let line = r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET /a\"b/7 HTTP/1.1" 200 -"#;
    for tail in ["", " \"-\"", " \"-\" \"Mozilla (cut", " \"-\" \"x\" extra"] {
        assert_eq!(combined(&format!("{line}{tail}")).only().operation, "GET /a\\\"b/{id}", "{tail}");
    }
}

#[test]
fn requests_that_were_never_read_have_an_unknown_or_other_operation() {
    let line = |request: &str, status: &str| format!("1.2.3.4 - - [17/May/2015:10:05:03 +0000] \"{request}\" {status} 0 \"-\" \"-\"\r\n");
    assert_eq!(combined(&line("-", "408")).only().operation, "unknown");
    assert_eq!(combined(&line(r"\x16\x03\x01", "400")).only().operation, "_OTHER");
    assert_eq!(combined(&line("GET / HTTP/1.0", "-")).only().outcome, Outcome::Ok);
    assert_eq!(combined(&line("GET / HTTP/1.0", "000")).only().error_type, "no_response");
}

#[test]
fn lines_of_another_format_are_dead_alone() {
    let good = r#"1.2.3.4 - - [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    let found = combined(&format!("{good}\n\nnot a line\n{good}\n"));
    assert_eq!((found.events.len(), found.reasons()), (2, vec![Reason::DecodeText]));
    assert_eq!(found.dead[0].0 as usize, good.len() + 2);
    assert_eq!(combined("").reasons(), [Reason::EmptyValue]);
    assert_eq!(combined("\n \r\n").len(), 0);
    for (bad, reason) in [
        (good.replace("200", "2x0"), Reason::DecodeText),
        (good.replace("200", "1000"), Reason::StatusInvalid),
        (good.replace("17/May", "32/May"), Reason::TimeInvalid),
        (good.replace(" +0000", ""), Reason::TimeInvalid),
        (good.replace("] ", "]"), Reason::DecodeText),
        (format!("{good}{}", "x".repeat(crate::decode::MAX_ITEM)), Reason::SizeExceeded),
    ] {
        assert_eq!(combined(&bad).reasons(), [reason]);
    }
    let mut latin = good.as_bytes().to_vec();
    latin[50] = 0xe9;
    assert_eq!(decode(&mut Combined::new(&with_service(Format::Combined), &Wanted::default()), &latin).reasons(), [Reason::DecodeUtf8]);
    assert_eq!(
        decode(&mut Combined::new(&source(Format::Combined), &Wanted::default()), good.as_bytes()).reasons(),
        [Reason::ServiceMissing]
    );
}

#[test]
fn ingress_lines_of_all_shapes_are_events() {
    let found = ingress(INGRESS);
    assert_eq!((found.events.len(), found.reasons()), (2, vec![Reason::ServiceMissing]));
    let (_, first) = &found.events[0];
    assert_eq!((first.service.as_str(), first.operation.as_str(), first.duration), ("shop-web-8080", "POST /products", Some(1_000_000)));
    let (_, last) = &found.events[1];
    assert_eq!((last.operation.as_str(), last.error_type.as_str(), last.duration), ("GET /a/{id}", "502", Some(1_250_000_000)));
    assert_eq!(last.time, 1_707_303_857_000_000_000);
    let all = decode(&mut NginxIngress::new(&with_service(Format::NginxIngress), &Wanted::default()), INGRESS.as_bytes());
    assert_eq!(all.events[1].1.operation, "_OTHER /products/{id}");
    assert_eq!(all.len(), 3);
}

#[test]
fn the_time_of_nginx_is_the_end_of_the_request() {
    let mut source = source(Format::NginxIngress);
    source.placing.wanted = Some(Moment::Start);
    let found = decode(&mut NginxIngress::new(&source, &Wanted::default()), INGRESS.as_bytes());
    assert_eq!(found.events[1].1.time, 1_707_303_857_000_000_000 - 1_250_000_000);
}

#[test]
fn ingress_lines_that_lack_fields_are_dead() {
    let line = INGRESS.lines().next().unwrap();
    for cut in [" 529a007902362a5f51385a5fa7049884", " [shop-web-8080]", " 89 0.001", "\"-\" "] {
        assert_eq!(ingress(&line.replace(cut, "")).reasons(), [Reason::DecodeText], "{cut}");
    }
    assert_eq!(ingress(&line.replace("0.001", "-0.001")).reasons(), [Reason::LatencyInvalid]);
}

#[test]
fn json_lines_give_the_same_event_as_the_text() {
    let found = json(JSON);
    assert_eq!(found.len(), 2);
    let (_, first) = &found.events[0];
    assert_eq!((first.operation.as_str(), first.host.as_str(), first.duration), ("GET /users/{id}", "shop.example", Some(250_000_000)));
    assert_eq!(first.time, 1_707_306_531_000_000_000);
    let (at, second) = &found.events[1];
    assert_eq!(*at as usize, JSON.find('\n').unwrap() + 1);
    assert_eq!((second.operation.as_str(), second.error_type.as_str(), second.time), ("POST /pay", "503", 1_707_306_531_123_000_000));
    let own = decode(&mut NginxJson::new(&source(Format::NginxJson), &Wanted::default()), JSON.as_bytes());
    assert_eq!((own.reasons(), own.events[0].1.service.as_str()), (vec![Reason::ServiceMissing], "shop-pay-80"));
}

#[test]
fn json_faults_are_dead_with_their_reason() {
    let line = JSON.lines().next().unwrap();
    for (bad, reason) in [
        (line.replace(r#""status":"200""#, r#""status":"ok""#), Reason::StatusInvalid),
        (line.replace("0.250", "NaN"), Reason::LatencyInvalid),
        (line.replace("time_iso8601", "other"), Reason::TimeMissing),
        (line.replace("2024-02-07T", "2024-02-30T"), Reason::TimeInvalid),
        (line.replace("\"env\"", "\"status\""), Reason::DecodeJson),
        (format!("{line}x"), Reason::DecodeJson),
        (line.replace("\"prod\"", &format!("{}1{}", "[".repeat(40), "]".repeat(40))), Reason::DepthExceeded),
        ("42".to_owned(), Reason::SchemaMismatch),
        (String::new(), Reason::EmptyValue),
    ] {
        assert_eq!(json(&bad).reasons(), [reason], "{bad}");
    }
    let mut broken = JSON.as_bytes().to_vec();
    broken[20] = 0xff;
    let found = decode(&mut NginxJson::new(&with_service(Format::NginxJson), &Wanted::default()), &broken);
    assert_eq!((found.events.len(), found.reasons()), (1, vec![Reason::DecodeUtf8]));
}

#[test]
fn tags_rules_filters_and_ids_go_by_field_names() {
    let mut source = with_service(Format::NginxJson);
    source.defaults.tags = vec![("region".to_owned(), "eu".to_owned())];
    source.dedup = Dedup::OfFormat;
    source.outcome = vec![OutcomeRule {
        when: Condition { path: Path::parse("status").unwrap(), values: vec!["2xx".to_owned()], inside: true },
        services: Vec::new(),
        is: Outcome::Error,
    }];
    source.filter = vec![Condition { path: Path::parse("request").unwrap(), values: vec!["POST /pay HTTP/1.1".to_owned()], inside: false }];
    let found = decode(&mut NginxJson::new(&source, &wanted(&["env", "region"])), JSON.as_bytes());
    let (_, event) = &found.events[0];
    assert_eq!((event.tags.as_slice(), event.outcome), (["prod".to_owned(), "eu".to_owned()].as_slice(), Outcome::Error));
    assert!(event.dedup.is_some());
    assert_eq!(found.skipped.len(), 1);
    assert_eq!(found.skipped[0].1, Skip::Filtered);
}

proptest! {
    #[test]
    fn any_lines_are_at_most_one_item_each(changes in changes(), garbage in prop::collection::vec(any::<u8>(), 0..80)) {
        let wanted = wanted(&["env"]);
        let samples = [APACHE, INGRESS.as_bytes(), JSON.as_bytes(), &garbage];
        for sample in samples {
            let value = changed(sample, &changes);
            let lines = value.split(|b| *b == b'\n').count();
            let of = |format| {
                let source = with_service(format);
                match format {
                    Format::Combined => Box::new(Combined::new(&source, &wanted)) as Box<dyn Decoder>,
                    Format::NginxIngress => Box::new(NginxIngress::new(&source, &wanted)),
                    _ => Box::new(NginxJson::new(&source, &wanted)),
                }
            };
            for format in [Format::Combined, Format::NginxIngress, Format::NginxJson] {
                let mut warm = of(format);
                decode(&mut *warm, sample);
                let found = decode_twice(&mut *warm, &mut *of(format), &value);
                prop_assert!(found.len() <= lines.max(1));
            }
        }
    }
}
