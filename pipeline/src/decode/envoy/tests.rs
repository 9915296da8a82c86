use super::*;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::outcome::Outcome;
use crate::source::{Dedup, Format};
use proptest::prelude::*;

/// The same request at both ends of a mesh, one at a gateway that found no route, and a TCP line.
const TEXT: &str = r#"[2024-07-20T09:52:24.955Z] "GET /details/0?x=1 HTTP/1.1" 200 - via_upstream - "-" 0 178 2 1 "-" "Agent "quoted" (x)" "785918d6-06b6-9312-bf77-6d9bd968dc21" "details:9080" "10.68.2.10:9080" inbound|9080|| 127.0.0.6:47889 10.68.2.10:9080 10.68.1.7:39696 outbound_.9080_.v1_.details.shop.svc.cluster.local default
[2024-07-20T09:52:24.954Z] "GET /details/0?x=1 HTTP/1.1" 503 UF,URX via_upstream - "connect error" 0 178 3 1 "-" "curl/8.5.0" "785918d6-06b6-9312-bf77-6d9bd968dc21" "details:9080" "10.68.2.10:9080" outbound|9080|v1|details.shop.svc.cluster.local 10.68.1.7:39696 10.0.18.132:9080 10.68.1.7:52930 - details-route
[2024-07-20T09:52:25.000Z] "GET /nowhere HTTP/1.1" 404 NR route_not_found - "-" 0 0 0 - "-" "curl/8.5.0" "r3" "shop.example:8080" "-" - - 10.0.0.1:80 10.0.0.2:3 - -
[2024-07-20T09:52:26.000Z] "- - -" 0 - - - "-" 10 20 5000 - "-" "-" "-" "-" "10.0.0.9:5432" inbound|5432|| 127.0.0.6:1 10.0.0.9:5432 10.0.0.3:4 outbound_.5432_._.db.shop.svc.cluster.local -
"#;

const JSON: &str = r#"{"start_time":"2024-07-20T09:52:24.955Z","method":"POST","path":"/pkg.Cart/Add","response_code":200,"response_flags":"-","grpc_status":"14","duration":"12","request_id":"r1","upstream_host":"10.0.0.1:80","upstream_cluster":"inbound|80||","requested_server_name":"outbound_.80_._.cart.shop.svc.cluster.local","route_name":null,"authority":""}"#;

fn text(direction: Direction, value: &str) -> Collected {
    let mut source = source(Format::EnvoyText);
    source.direction = direction;
    decode(&mut EnvoyText::new(&source, &Wanted::default()), value.as_bytes())
}

fn json(value: &str) -> Collected {
    decode(&mut EnvoyJson::new(&source(Format::EnvoyJson), &Wanted::default()), value.as_bytes())
}

#[test]
fn the_inbound_end_counts_a_request_once() {
    let found = text(Direction::Inbound, TEXT);
    let (_, event) = &found.events[0];
    assert_eq!((event.service.as_str(), event.namespace.as_str(), event.operation.as_str()), ("details", "shop", "GET /details/{id}"));
    assert_eq!((event.time, event.duration, event.host.as_str()), (1_721_469_144_955_000_000, Some(2_000_000), "10.68.2.10:9080"));
    let skips: Vec<Skip> = found.skipped.iter().map(|(_, skip)| *skip).collect();
    assert_eq!((found.events.len(), skips), (1, vec![Skip::Direction, Skip::Direction, Skip::OtherSignal]));
}

#[test]
fn a_gateway_counts_what_goes_out_and_what_found_no_route() {
    let found = text(Direction::Outbound, TEXT);
    let (_, event) = &found.events[0];
    assert_eq!((event.service.as_str(), event.error_type.as_str()), ("details", "UF"));
    // No cluster names a service for the request without a route.
    assert_eq!((found.events.len(), found.reasons(), found.skipped.len()), (1, vec![Reason::ServiceMissing], 2));
    let mut source = source(Format::EnvoyText);
    (source.direction, source.authority, source.route) = (Direction::Both, true, Route::RouteName);
    let all = decode(&mut EnvoyText::new(&source, &Wanted::default()), TEXT.as_bytes());
    let names: Vec<(&str, &str)> = all.events.iter().map(|(_, e)| (e.service.as_str(), e.operation.as_str())).collect();
    assert_eq!(names, [("details", "GET default"), ("details", "GET details-route"), ("shop.example", "GET /nowhere")]);
}

#[test]
fn json_objects_use_the_same_keys() {
    let found = json(JSON);
    let event = found.only();
    assert_eq!((event.service.as_str(), event.namespace.as_str(), event.operation.as_str()), ("cart", "shop", "POST /pkg.Cart/Add"));
    assert_eq!((event.outcome, event.error_type.as_str(), event.duration), (Outcome::Error, "UNAVAILABLE", Some(12_000_000)));
    assert_eq!(json(&JSON.replace("\"POST\"", "null")).skipped, [(0, Skip::OtherSignal)]);
    assert_eq!(json(&JSON.replace("inbound|80||", "-")).skipped, [(0, Skip::Direction)]);
}

#[test]
fn the_default_service_stands_before_what_the_mesh_names() {
    let mut source = source(Format::EnvoyJson);
    source.defaults.service = Some("edge".to_owned());
    source.defaults.namespace = Some("infra".to_owned());
    let found = decode(&mut EnvoyJson::new(&source, &Wanted::default()), JSON.as_bytes());
    assert_eq!((found.only().service.as_str(), found.only().namespace.as_str()), ("edge", "infra"));
}

#[test]
fn both_ends_of_one_request_have_different_ids() {
    let mut source = source(Format::EnvoyText);
    (source.direction, source.dedup) = (Direction::Both, Dedup::OfFormat);
    let found = decode(&mut EnvoyText::new(&source, &wanted(&[])), TEXT.lines().take(2).collect::<Vec<_>>().join("\n").as_bytes());
    let ids: Vec<_> = found.events.iter().map(|(_, e)| e.dedup.unwrap()).collect();
    assert_ne!(ids[0], ids[1]);
}

#[test]
fn faults_are_dead_with_their_reason() {
    let line = TEXT.lines().next().unwrap();
    for (bad, reason) in [
        (line.replace("[2024", "2024"), Reason::DecodeText),
        (line.replace(" 200 ", " abc "), Reason::DecodeText),
        (line.replace(" 200 ", " 42 "), Reason::StatusInvalid),
        (line.replace(" 178 2 1", " 178 -2 1"), Reason::LatencyInvalid),
        (line.replace("2024-07-20T", "2024-07-32T"), Reason::TimeInvalid),
        (line.replace("[2024-07-20T09:52:24.955Z]", "[-]"), Reason::TimeMissing),
        (line.split(" inbound").next().unwrap().to_owned(), Reason::DecodeText),
        (line.replace("outbound_.9080_.v1_.details.shop.svc.cluster.local", "-"), Reason::ServiceMissing),
    ] {
        assert_eq!(text(Direction::Inbound, &bad).reasons(), [reason], "{bad}");
    }
    assert_eq!(json(&JSON.replace("\"14\"", "\"99\"")).reasons(), [Reason::StatusInvalid]);
    assert_eq!(json(&JSON.replace("\"2024-07-20T09:52:24.955Z\"", "[]")).reasons(), [Reason::TimeMissing]);
}

#[test]
fn hosts_become_names_and_namespaces() {
    for (host, expected) in [
        ("details.shop.svc.cluster.local", ("details", "shop")),
        ("details.shop.svc", ("details", "shop")),
        ("api.example.com", ("api.example.com", "")),
        ("details", ("details", "")),
        ("a.b", ("a.b", "")),
    ] {
        assert_eq!(service_of(host), expected, "{host}");
    }
    assert_eq!(mesh_host("outbound|80||api.example.com", "-"), Some("api.example.com"));
    assert_eq!(mesh_host("inbound|80||", "outbound_.80_.v2_.a.b.svc"), Some("a.b.svc"));
    assert_eq!([mesh_host("BlackHoleCluster", ""), mesh_host("", "example.com"), mesh_host("inbound|80||", "outbound_.80_._.")], [None; 3]);
}

proptest! {
    #[test]
    fn any_lines_are_at_most_one_item_each(changes in changes(), garbage in prop::collection::vec(any::<u8>(), 0..80)) {
        let (text_source, json_source, wanted) = (source(Format::EnvoyText), source(Format::EnvoyJson), wanted(&["env"]));
        for sample in [TEXT.as_bytes(), JSON.as_bytes(), &garbage] {
            let value = changed(sample, &changes);
            let lines = value.split(|b| *b == b'\n').count();
            let (mut text, mut json) = (EnvoyText::new(&text_source, &wanted), EnvoyJson::new(&json_source, &wanted));
            decode(&mut text, sample);
            decode(&mut json, sample);
            prop_assert!(decode_twice(&mut text, &mut EnvoyText::new(&text_source, &wanted), &value).len() <= lines);
            prop_assert!(decode_twice(&mut json, &mut EnvoyJson::new(&json_source, &wanted), &value).len() <= lines);
        }
    }
}
