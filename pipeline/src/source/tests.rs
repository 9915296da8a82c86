use super::*;

fn read(yaml: &str) -> Source {
    Source::from_yaml("s.yaml", yaml).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(yaml: &str) -> String {
    Source::from_yaml("s.yaml", yaml).unwrap_err().to_string()
}

fn body(text: &str) -> Path {
    Path::parse(text).unwrap()
}

#[test]
fn the_example_of_the_specification_is_read() {
    let source = read(
        r#"
source: uptime-checks
topic: uptime
format: json
event_time: as_given
defaults: {namespace: shop, env: prod}
fields:
  service: [service]
  duration: {path: [latency_ms], unit: ms}
outcome:
  - {path: tags.state, in: [down], is: error}
  - {path: status, in: ["429", "5xx"], service: [search], is: error}
filter: {path: tags.kind, not_in: [probe]}
dedup: {id: [tags.trace_id, tags.span_id]}
"#,
    );
    assert_eq!((source.name.as_str(), source.topic.as_deref()), ("uptime-checks", Some("uptime")));
    assert_eq!(source.format, Format::Json);
    assert_eq!(source.placing, Placing::default());
    assert_eq!(source.defaults.namespace.as_deref(), Some("shop"));
    assert_eq!(source.defaults.tag("env"), "prod");
    assert_eq!(source.fields.duration, [(body("latency_ms"), Unit::Millis)]);
    assert_eq!(source.fields.timestamp, [body("timestamp")]);
    assert_eq!(source.outcome[1].services, ["search"]);
    assert_eq!(source.dedup, Dedup::By(vec![body("tags.trace_id"), body("tags.span_id")]));
    let at = |state, status| move |_: usize, path: &Path| if *path == body("status") { status } else { state };
    assert_eq!(source.stated_outcome("a", at(Some("down"), None)), Some(Outcome::Error));
    assert_eq!(source.stated_outcome("search", at(None, Some("503"))), Some(Outcome::Error));
    assert_eq!(source.stated_outcome("search", at(None, Some("5xx"))), Some(Outcome::Error));
    assert_eq!(source.stated_outcome("search", at(None, Some("5030"))), None);
    assert_eq!(source.stated_outcome("a", at(None, Some("429"))), None);
    assert!(source.passes(|_, _| None));
    assert!(!source.passes(|_, _| Some("probe")));
}

#[test]
fn what_a_file_leaves_out_is_the_formats_default() {
    for format in Format::ALL {
        let source = read(&format!("source: {0}\nformat: {0}\n", format.name()));
        assert_eq!(source, Source::for_format(format));
    }
    let nginx = Source::for_format(Format::NginxJson);
    assert_eq!(nginx.placing, Placing { given: Some(Moment::End), wanted: None });
    let spans = Source::for_format(Format::OtlpProto);
    assert_eq!(spans.placing, Placing { given: Some(Moment::Start), wanted: Some(Moment::End) });
}

#[test]
fn every_setting_can_be_said() {
    let source = read(
        "
source: a
format: json
event_time: start
timestamp_is: end
timestamp_unit: us
timezone: '+02:00'
operation: template
span_kinds: [client]
direction: both
route: route_name
authority: true
bounded: true
tenant_from: header
fields:
  timestamp: '@timestamp'
  duration: [{path: a.b, unit: s}, {path: [c], unit: us}]
  host: header:x-host
  trace_id: key
  tags: {method: [method]}
filter: [{path: a, in: [1, true, x]}, {path: b, not_in: []}]
dedup: on
",
    );
    assert_eq!(source.placing, Placing { given: Some(Moment::End), wanted: Some(Moment::Start) });
    assert_eq!(source.timestamp_unit, TimeUnit::Number(Unit::Micros));
    assert_eq!(source.timezone, Some(7200));
    assert_eq!(source.operation, OperationRule::Template);
    assert!(source.span_kinds.client && !source.span_kinds.server && source.authority && source.bounded);
    assert_eq!(source.tenant, Tenant::Header("X-Scope-OrgID".to_owned()));
    assert_eq!(source.fields.duration, [(body("a.b"), Unit::Seconds), (body("c"), Unit::Micros)]);
    assert_eq!(source.fields.host, [Path::Header("x-host".to_owned())]);
    assert!(source.looks_at_headers());
    assert_eq!(source.fields.trace_id, [Path::Key]);
    assert_eq!(source.fields.tag("method"), [body("method")]);
    assert_eq!(source.fields.tag("region"), [body("tags.region")]);
    assert_eq!(source.filter[0].values, ["1", "true", "x"]);
    assert_eq!(source.dedup, Dedup::OfFormat);
    for off in ["off", "false", "'off'"] {
        assert_eq!(read(&format!("source: a\ndedup: {off}\n")).dedup, Dedup::Off);
    }
}

#[test]
fn a_misspelt_name_is_answered_with_the_nearest_one() {
    assert_eq!(refused("source: a\nfilds: {}\n"), "s.yaml, line 2: unknown field `filds`; did you mean `fields`?");
    assert!(refused("source: a\nfields: {servce: [x]}\n").contains("did you mean `service`?"));
    assert!(refused("source: a\nevent_time: ends\n").contains("did you mean `end`?"));
    assert!(refused("source: a\nfields: {duration: {path: x, unit: ms, untit: s}}\n").contains("did you mean `unit`?"));
    assert!(refused("source: a\noutcome: [{path: a, in: [b], is: eror}]\n").contains("did you mean `error`?"));
    assert!(refused("source: a\nqqqqqq: 1\n").contains("expected one of `source`, `topic`"));
}

#[test]
fn schemas_are_files_by_id_or_a_folder() {
    let schemas = |yaml: &str| read(&format!("source: a\nformat: avro\nschemas: {yaml}\n")).schemas;
    let files = [(1, "one.avsc".to_owned()), (100_007, "../two.avsc".to_owned())];
    assert_eq!(schemas("{1: one.avsc, 100007: ../two.avsc}"), SchemaSource::Files(files.into()));
    assert_eq!(schemas("/etc/schemas"), SchemaSource::Folder("/etc/schemas".to_owned()));
    assert_eq!(read("source: a\nformat: avro\n").schemas, SchemaSource::None);
    let given: std::sync::Arc<dyn Schemas> = std::sync::Arc::new(SchemaTexts::default());
    assert_eq!(SchemaSource::Given(std::sync::Arc::clone(&given)), SchemaSource::Given(given.clone()));
    assert_ne!(SchemaSource::Given(given), SchemaSource::Given(std::sync::Arc::new(SchemaTexts::default())));
}

#[test]
fn formats_of_the_design_that_are_not_read_yet_are_told_so() {
    assert!(refused("source: a\nformat: confluent\n").contains("does not read the format `confluent`"));
}

#[test]
fn values_that_cannot_be_are_refused_with_what_would_be_right() {
    for (yaml, expected) in [
        ("source: ''", "a name of 1 to 128 bytes"),
        ("source: a\ntopic: ''", "is empty; leave it out"),
        ("source: a\nformat: json\nevent_time: end", "need `timestamp_is: start`"),
        ("source: a\ntimezone: Mars", "such as `UTC`"),
        ("source: a\nspan_kinds: []", "nothing would count"),
        ("source: a\nformat: combined\nfields: {service: [x]}", "this format has its own"),
        ("source: a\nfields: {service: ['a..b']}", "`a..b` is no place; write `a.b`"),
        ("source: a\nfields: {service: ['header:']}", "is no place"),
        ("source: a\nfilter: {path: a}", "needs either `in` or `not_in`"),
        ("source: a\nfilter: {path: a, in: [b], not_in: [c]}", "needs either `in` or `not_in`"),
        ("source: a\ndedup: {id: []}", "write `off`, `on`"),
        ("source: a\ndedup: maybe", "write `off`, `on`"),
        ("source: a\ndefaults: {service: ''}", "`service` must have 1 to 256 bytes"),
        ("source: a\ntenant: A", "a-z, 0-9 and `-`"),
        ("source: a\ntenant: a\ntenant_from: key", "either `tenant` or `tenant_from`"),
        ("source: a\ntenant_from: body", "`header:NAME` or `key`"),
        ("source: a\nformat: json\nschemas: here", "only records of the format `avro`"),
        ("source: a\nformat: avro\nschemas: ''", "a folder that holds files `ID.avsc`"),
        ("source: a\nformat: avro\nschemas: {}", "a folder that holds files `ID.avsc`"),
        ("source: a\nformat: avro\nschemas: {1: ''}", "a folder that holds files `ID.avsc`"),
        ("source: a\nformat: avro\nschemas: {a: b}", "expected a folder or `{ID: FILE, …}`"),
        ("source: a\nformat: avro\nschemas: {4294967296: b}", "expected a folder or `{ID: FILE, …}`"),
        ("source: a\n  b: c", "line 2"),
        ("format: json", "missing field `source`"),
    ] {
        let error = refused(yaml);
        assert!(error.contains(expected) && error.starts_with("s.yaml"), "{yaml}: {error}");
    }
}

#[test]
fn only_mapped_objects_without_a_place_in_a_header_do_without_headers() {
    assert!(!read("source: a\nformat: json\nfields: {service: [svc]}").looks_at_headers());
    for yaml in [
        "source: a",
        "source: a\nformat: avro",
        "source: a\nformat: json\ntenant_from: header",
        "source: a\nformat: json\nfilter: {path: 'header:h', in: [b]}",
    ] {
        assert!(read(yaml).looks_at_headers(), "{yaml}");
    }
}

#[test]
fn a_file_may_not_name_more_places_than_are_read() {
    let many: Vec<String> = (0..70).map(|n| format!("f{n}")).collect();
    assert!(refused(&format!("source: a\nfields: {{service: [{}]}}", many.join(", "))).contains("more than 64 places"));
}
