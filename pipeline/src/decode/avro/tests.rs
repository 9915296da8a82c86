use super::*;
use crate::decode::collected::{Collected, changed, changes, decode, decode_twice, source, wanted};
use crate::decode::json::Json;
use crate::decode::{MAX_DEPTH, decoder};
use crate::event::Event;
use crate::source::{Format, SchemaTexts, Schemas, UnknownSchema};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use platform_core::record::{Headers, put_headers};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

const ID: u32 = 0x0102_0304;
const START: i64 = 1_700_000_000_123;

/// The names of the `json` format, and things beside them.
const EVENT: &str = r#"{"type": "record", "name": "Event", "namespace": "shop.v1", "fields": [
    {"name": "before", "type": {"type": "array", "items": "string"}},
    {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "service", "type": "string"},
    {"name": "namespace", "type": ["null", "string"]},
    {"name": "operation", "type": ["string", "null"]},
    {"name": "status", "type": ["null", "int", "string"]},
    {"name": "latency_ms", "type": ["null", "double"]},
    {"name": "error_type", "type": ["null", "string"]},
    {"name": "host", "type": ["null", "string"]},
    {"name": "weight", "type": ["null", "long"]},
    {"name": "id", "type": ["null", "string"]},
    {"name": "tags", "type": {"type": "map", "values": ["null", "string", "boolean", "long"]}},
    {"name": "behind", "type": {"type": "record", "name": "Build", "fields": [{"name": "commit", "type": {"type": "fixed", "name": "Hash", "size": 4}}]}}
]}"#;

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

/// The branch of a union.
fn branch(number: u32, value: Value) -> Value {
    Value::Union(number, Box::new(value))
}

fn record<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
}

fn framed(datum: &[u8]) -> Vec<u8> {
    [&[0], &ID.to_be_bytes()[..], datum].concat()
}

/// A record as a producer writes it.
fn written(schema: &str, value: Value) -> Vec<u8> {
    let schema = Schema::parse_str(schema).unwrap();
    framed(&GenericDatumWriter::builder(&schema).build().unwrap().write_value_to_vec(value).unwrap())
}

fn avro(schema: &str) -> Source {
    Source { schemas: SchemaSource::Given(Arc::new(SchemaTexts::new([(ID, schema.to_owned())]).unwrap())), ..source(Format::Avro) }
}

/// The source of a mapping file, with one schema.
fn mapped(yaml: &str, schema: &str) -> Source {
    Source { schemas: avro(schema).schemas, ..Source::from_yaml("s.yaml", &format!("source: s\nformat: avro\n{yaml}")).unwrap() }
}

fn read(source: &Source, value: &[u8]) -> Collected {
    decode(&mut Avro::new(source, &wanted(&["region", "deep.er"])), value)
}

fn reasons(source: &Source, value: &[u8]) -> Vec<Reason> {
    let collected = read(source, value);
    assert!(collected.events.is_empty() && collected.dead.iter().all(|(at, _, bytes)| *at == 0 && bytes == value));
    collected.reasons()
}

/// A record of one field, which is the service, or beside one.
fn only(field_type: &str) -> String {
    format!(
        r#"{{"type": "record", "name": "R", "fields": [{{"name": "timestamp", "type": "long"}}, {{"name": "service", "type": {field_type}}}]}}"#
    )
}

/// One request; absent texts are null.
#[derive(Clone, Debug)]
struct Request {
    time: i64,
    service: String,
    namespace: Option<String>,
    operation: Option<String>,
    status: Option<Result<i32, String>>,
    latency: Option<f64>,
    error_type: Option<String>,
    weight: Option<i64>,
    id: Option<String>,
    region: Option<String>,
    deeper: Option<i64>,
}

impl Request {
    fn simple() -> Self {
        Self {
            time: START,
            service: "shop".to_owned(),
            namespace: Some("eu".to_owned()),
            operation: Some("GET /a/{id}".to_owned()),
            status: Some(Ok(503)),
            latency: Some(12.5),
            error_type: Some("Down".to_owned()),
            weight: Some(3),
            id: Some("a-1".to_owned()),
            region: Some("eu-1".to_owned()),
            deeper: Some(-7),
        }
    }

    fn avro(&self) -> Vec<u8> {
        let or_null = |value: &Option<String>| value.as_ref().map_or(branch(0, Value::Null), |t| branch(1, text(t)));
        let status = match &self.status {
            None => branch(0, Value::Null),
            Some(Ok(code)) => branch(1, Value::Int(*code)),
            Some(Err(word)) => branch(2, text(word)),
        };
        let value = record([
            ("before", Value::Array(vec![text("x"), text("")])),
            ("timestamp", Value::TimestampMillis(self.time)),
            ("service", text(&self.service)),
            ("namespace", or_null(&self.namespace)),
            ("operation", self.operation.as_ref().map_or(branch(1, Value::Null), |t| branch(0, text(t)))),
            ("status", status),
            ("latency_ms", self.latency.map_or(branch(0, Value::Null), |ms| branch(1, Value::Double(ms)))),
            ("error_type", or_null(&self.error_type)),
            ("host", branch(0, Value::Null)),
            ("weight", self.weight.map_or(branch(0, Value::Null), |weight| branch(1, Value::Long(weight)))),
            ("id", or_null(&self.id)),
            (
                "tags",
                map([
                    ("region", or_null(&self.region)),
                    ("other", branch(2, Value::Boolean(true))),
                    ("deep.er", self.deeper.map_or(branch(0, Value::Null), |number| branch(3, Value::Long(number)))),
                ]),
            ),
            ("behind", record([("commit", Value::Fixed(4, vec![1, 2, 3, 4]))])),
        ]);
        written(EVENT, value)
    }

    fn json(&self) -> String {
        let latency = self.latency.filter(|ms| ms.is_finite());
        let value = serde_json::json!({
            "timestamp": self.time, "service": self.service, "namespace": self.namespace, "operation": self.operation,
            "status": self.status.as_ref().map(|s| s.as_ref().map_or_else(|word| serde_json::json!(word), |code| serde_json::json!(code))),
            "latency_ms": latency, "error_type": self.error_type, "weight": self.weight, "id": self.id,
            "tags": {"region": self.region, "deep.er": self.deeper},
        });
        value.to_string()
    }
}

#[test]
fn a_record_is_the_event_that_the_same_json_is() {
    let request = Request::simple();
    let read = read(&avro(EVENT), &request.avro());
    let event = read.only();
    assert_eq!((event.time, event.duration), (START * 1_000_000, Some(12_500_000)));
    assert_eq!([&event.service, &event.namespace, &event.operation, &event.error_type], ["shop", "eu", "GET /a/{id}", "Down"]);
    assert_eq!((event.weight, event.tags.as_slice()), (3, ["eu-1".to_owned(), "-7".to_owned()].as_slice()));
    let json = Json::new(&source(Format::Json), &wanted(&["region", "deep.er"]));
    assert_eq!(*decode(&mut { json }, request.json().as_bytes()).only(), *event);
}

#[test]
fn the_decoder_of_a_source_reads_avro_and_keeps_no_text_of_ours() {
    struct Raw(Vec<usize>);
    impl Items for Raw {
        fn event(&mut self, _: u32, event: &Event<'_>) {
            self.0.push(event.raw.len());
        }
        fn skipped(&mut self, _: u32, _: Skip) {
            self.0.push(usize::MAX);
        }
        fn dead(&mut self, _: u32, _: Reason, _: &str, bytes: &[u8]) {
            self.0.push(bytes.len());
        }
    }
    let (good, mut bad) = (Request::simple().avro(), Request::simple());
    bad.service = String::new();
    let bad = bad.avro();
    let mut raw = Raw(Vec::new());
    let mut decoder = decoder(&avro(EVENT), &Wanted::default());
    decoder.decode(&Input::new(&good), &mut raw);
    decoder.decode(&Input::new(&bad), &mut raw);
    assert_eq!(raw.0, [0, bad.len()]);
}

#[test]
fn times_are_exact_whatever_the_unit_of_the_source() {
    for (logical, value, nanos) in [
        ("timestamp-millis", Value::TimestampMillis(START), START * 1_000_000),
        ("timestamp-micros", Value::TimestampMicros(1_700_000_000_123_456), 1_700_000_000_123_456_000),
        ("timestamp-nanos", Value::TimestampNanos(1_700_000_000_123_456_789), 1_700_000_000_123_456_789),
        // In 1970, where the size of a number would tell another unit.
        ("timestamp-micros", Value::TimestampMicros(70_000_001), 70_000_001_000),
        ("timestamp-nanos", Value::TimestampNanos(1), 1),
        ("timestamp-nanos", Value::TimestampNanos(i64::MAX), i64::MAX),
    ] {
        let schema = only(r#""string""#).replace(r#""long""#, &format!(r#"{{"type": "long", "logicalType": "{logical}"}}"#));
        let bytes = written(&schema, record([("timestamp", value), ("service", text("s"))]));
        for unit in ["auto", "s", "ms", "us", "ns"] {
            assert_eq!(read(&mapped(&format!("timestamp_unit: {unit}"), &schema), &bytes).only().time, nanos, "{logical} {unit}");
        }
    }
    for (logical, value) in [
        ("timestamp-millis", Value::TimestampMillis(i64::MAX)),
        ("timestamp-millis", Value::TimestampMillis(1_000_000_000_000_000)),
        ("timestamp-micros", Value::TimestampMicros(-1)),
        ("timestamp-nanos", Value::TimestampNanos(i64::MIN)),
        ("timestamp-nanos", Value::TimestampNanos(0)),
    ] {
        let schema = only(r#""string""#).replace(r#""long""#, &format!(r#"{{"type": "long", "logicalType": "{logical}"}}"#));
        let bytes = written(&schema, record([("timestamp", value), ("service", text("s"))]));
        assert_eq!(reasons(&avro(&schema), &bytes), [Reason::TimeInvalid], "{logical}");
    }
}

#[test]
fn local_times_need_the_time_zone_of_the_source() {
    let schema = only(r#""string""#).replace(r#""long""#, r#"{"type": "long", "logicalType": "local-timestamp-micros"}"#);
    let bytes = written(&schema, record([("timestamp", Value::LocalTimestampMicros(START * 1000)), ("service", text("s"))]));
    assert_eq!(reasons(&avro(&schema), &bytes), [Reason::TimeInvalid]);
    let east = read(&mapped("timezone: '+02:00'", &schema), &bytes);
    assert_eq!(east.only().time, START * 1_000_000 - 7_200_000_000_000);
}

#[test]
fn every_place_of_a_mapping_is_looked_at() {
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "in", "type": {"type": "record", "name": "In", "fields": [
        {"name": "at", "type": "long"}, {"name": "took", "type": "float"}, {"name": "app", "type": "string"}, {"name": "ns", "type": "string"},
        {"name": "op", "type": "string"}, {"name": "code", "type": "int"}, {"name": "grpc", "type": "int"}, {"name": "result", "type": "string"},
        {"name": "kind", "type": "string"}, {"name": "box", "type": "string"}, {"name": "times", "type": "long"}, {"name": "t", "type": "string"},
        {"name": "sp", "type": "string"}, {"name": "kept", "type": "boolean"}, {"name": "state", "type": {"type": "enum", "name": "S", "symbols": ["UP", "DOWN"]}},
        {"name": "probe", "type": "boolean"}, {"name": "key", "type": "string"}, {"name": "zone", "type": "string"}]}}]}"#;
    let value = |probe| {
        let fields = [
            ("at", Value::Long(START)),
            ("took", Value::Float(0.5)),
            ("app", text("a")),
            ("ns", text("n")),
            ("op", text("o")),
            ("code", Value::Int(404)),
            ("grpc", Value::Int(0)),
            ("result", text("ok")),
            ("kind", text("k")),
            ("box", text("b")),
            ("times", Value::Long(2)),
            ("t", text("ee744a66e6efcb2e")),
            ("sp", text("00000000000000ff")),
            ("kept", Value::Boolean(false)),
            ("state", Value::Enum(1, "DOWN".to_owned())),
            ("probe", Value::Boolean(probe)),
            ("key", text("unique")),
            ("zone", text("z")),
        ];
        written(schema, record([("in", record(fields))]))
    };
    let yaml = "
fields:
  timestamp: in.at
  duration: {path: in.took, unit: s}
  service: in.app
  namespace: in.ns
  operation: in.op
  status: in.code
  grpc_status: in.grpc
  outcome: in.result
  error_type: in.kind
  host: in.box
  weight: in.times
  trace_id: in.t
  span_id: in.sp
  sampled: in.kept
  tags: {region: in.zone}
outcome: [{path: in.state, in: [DOWN], is: error}]
filter: {path: in.probe, not_in: [true]}
dedup: {id: in.key}
";
    let source = mapped(yaml, schema);
    let read_event = read(&source, &value(false));
    let event = read_event.only();
    let texts = [&event.service, &event.namespace, &event.operation, &event.error_type, &event.host, &event.tags[0]];
    assert_eq!(texts, ["a", "n", "o", "k", "b", "z"]);
    assert_eq!((event.time, event.duration, event.weight), (START * 1_000_000, Some(500_000_000), 2));
    assert_eq!(event.class, crate::event::StatusClass::ClientError);
    assert!(event.dedup.is_some() && event.trace.is_some_and(|trace| trace.span_id == 255 && !trace.sampled));
    assert_eq!(read(&source, &value(true)).skipped, [(0, Skip::Filtered)]);
}

#[test]
fn headers_and_the_key_serve_as_places() {
    let schema = only(r#""string""#);
    let source = mapped("fields: {service: 'header:app', operation: key}", &schema);
    let value = written(&schema, record([("timestamp", Value::Long(START)), ("service", text("s"))]));
    let mut headers = Vec::new();
    put_headers(&mut headers, &[("app", b"a")]);
    let input = Input { headers: Headers::from_encoded(&headers), key: Some(b"k"), ..Input::new(&value) };
    let mut collected = Collected::default();
    Avro::new(&source, &Wanted::default()).decode(&input, &mut collected);
    assert_eq!([&collected.only().service, &collected.only().operation], ["a", "k"]);
}

#[test]
fn a_datum_may_be_a_union_of_records_or_a_map() {
    let schema = format!(r#"["null", {}, {{"type": "map", "values": "string"}}, "string"]"#, only(r#""string""#));
    let source = avro(&schema);
    let of_record = written(&schema, branch(1, record([("timestamp", Value::Long(START)), ("service", text("r"))])));
    let of_map = written(&schema, branch(2, map([("timestamp", text("2023-11-14T22:13:20Z")), ("service", text("m"))])));
    assert_eq!(read(&source, &of_record).only().service, "r");
    assert_eq!(read(&source, &of_map).only().service, "m");
    for other in [branch(0, Value::Null), branch(3, text("{"))] {
        assert_eq!(reasons(&source, &written(&schema, other)), [Reason::SchemaMismatch]);
    }
}

#[test]
fn a_wanted_field_of_another_type_is_a_mismatch() {
    for (field_type, value, reason) in [
        (r#""bytes""#, Value::Bytes(b"s".to_vec()), Reason::SchemaMismatch),
        (r#"{"type": "fixed", "name": "F", "size": 1}"#, Value::Fixed(1, b"s".to_vec()), Reason::SchemaMismatch),
        (r#"{"type": "int", "logicalType": "date"}"#, Value::Date(1), Reason::SchemaMismatch),
        (r#""long""#, Value::Long(1), Reason::SchemaMismatch),
        (r#""boolean""#, Value::Boolean(true), Reason::SchemaMismatch),
        (r#"{"type": "array", "items": "string"}"#, Value::Array(vec![text("s")]), Reason::MappingFailed),
        (r#"{"type": "map", "values": "string"}"#, map([("s", text("s"))]), Reason::MappingFailed),
        (r#"{"type": "array", "items": "string"}"#, Value::Array(vec![]), Reason::ServiceMissing),
        (r#"["null", "string"]"#, branch(0, Value::Null), Reason::ServiceMissing),
        (r#""string""#, text(""), Reason::ServiceMissing),
    ] {
        let schema = only(field_type);
        let bytes = written(&schema, record([("timestamp", Value::Long(START)), ("service", value)]));
        assert_eq!(reasons(&avro(&schema), &bytes), [reason], "{field_type}");
    }
}

#[test]
fn a_latency_that_is_no_number_is_none() {
    for latency in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e308] {
        let bytes = Request { latency: Some(latency), ..Request::simple() }.avro();
        assert_eq!(reasons(&avro(EVENT), &bytes), [Reason::LatencyInvalid], "{latency}");
    }
}

#[test]
fn blocks_may_say_their_size_and_must_have_it() {
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "timestamp", "type": "long"}, {"name": "service", "type": "string"},
        {"name": "tags", "type": {"type": "map", "values": "string"}}]}"#;
    let datum = |tags: &[u8]| framed(&[&[0x02, 0x02, b's'], tags].concat());
    // Of one entry (-1) of four bytes, then of one without a size, then the end.
    let good = datum(b"\x01\x14\x0cregion\x04eu\x02\x02k\x02v\x00");
    assert_eq!(read(&avro(schema), &good).only().tags[0], "eu");
    for bad in [
        &b"\x01\x12\x0cregion\x04eu\x00"[..],            // a byte too few
        b"\x01\x16\x0cregion\x04eu\x00",                 // one too many
        b"\x01\x01\x0cregion\x04eu\x00",                 // a size below zero
        b"\x02\x0cregion\x04eu",                         // no end
        b"\x04\x0cregion\x04eu\x0cregion\x04us\x00",     // a key twice
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", // 2^63 entries
    ] {
        assert_eq!(reasons(&avro(schema), &datum(bad)), [Reason::DecodeAvro], "{bad:?}");
    }
}

#[test]
fn bytes_that_are_no_datum_are_refused() {
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "timestamp", "type": "long"}, {"name": "service", "type": "string"},
        {"name": "u", "type": ["null", "int", "boolean", {"type": "enum", "name": "E", "symbols": ["A"]}]}]}"#;
    let datum = |service: &[u8], u: &[u8]| framed(&[&[0x02], service, u].concat());
    assert_eq!(read(&avro(schema), &datum(b"\x02s", b"\x00")).only().service, "s");
    for (service, u, reason) in [
        (&b"\x02s"[..], &b"\x00\x00"[..], Reason::DecodeAvro), // bytes behind it
        (b"\x02s", b"", Reason::DecodeAvro),
        (b"\x02s", b"\x08", Reason::DecodeAvro),                                     // a fifth branch
        (b"\x02s", b"\x01", Reason::DecodeAvro),                                     // a branch below zero
        (b"\x02s", b"\x04\x02", Reason::DecodeAvro),                                 // a boolean of 2
        (b"\x02s", b"\x06\x02", Reason::DecodeAvro),                                 // a second symbol
        (b"\x02s", b"\x02\x80\x80\x80\x80\x10", Reason::DecodeAvro),                 // an int of 2^31
        (b"\x02s", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02", Reason::DecodeAvro), // 65 bits
        (b"\x02s", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", Reason::DecodeAvro),
        (b"\x01", b"\x00", Reason::DecodeAvro), // a length below zero
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x00", Reason::DecodeAvro), // of 2^63 - 1
        (b"\x02\xff", b"\x00", Reason::DecodeUtf8),
    ] {
        assert_eq!(reasons(&avro(schema), &datum(service, u)), [reason], "{service:?} {u:?}");
    }
    let whole = Request::simple().avro();
    for end in FRAME..whole.len() {
        assert_eq!(reasons(&avro(EVENT), &whole[..end]), [Reason::DecodeAvro], "cut at {end}");
    }
}

#[test]
fn values_of_no_bytes_are_counted() {
    let nulls = r#"{"type": "record", "name": "R", "fields": [{"name": "timestamp", "type": "long"}, {"name": "service", "type": "string"},
        {"name": "n", "type": {"type": "array", "items": "null"}}]}"#;
    let few = [&[0x02, 0x02, b's'][..], b"\x80\x10\x00"].concat();
    assert_eq!(read(&avro(nulls), &framed(&few)).only().service, "s");
    let many = [&[0x02, 0x02, b's'][..], b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"].concat();
    assert_eq!(reasons(&avro(nulls), &framed(&many)), [Reason::SizeExceeded]);
}

/// Records that each hold the one before twice, so that a datum has 2^`levels` of the innermost.
fn doubling(levels: usize) -> String {
    let mut schema = r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned();
    for n in 1..=levels {
        schema = format!(
            r#"{{"type": "record", "name": "R{n}", "fields": [{{"name": "a", "type": {schema}}}, {{"name": "service", "type": "R{}"}}]}}"#,
            n - 1
        );
    }
    schema
}

#[test]
fn types_that_are_used_again_and_again_cost_a_plan_and_a_datum_little() {
    let source = mapped("fields: {service: service.service.service}", &doubling(24));
    assert_eq!(reasons(&source, &framed(b"")), [Reason::SizeExceeded]);
}

fn nested(containers: usize) -> String {
    let arrays = containers - 1;
    only(&format!("{}\"long\"{}", r#"{"type": "array", "items": "#.repeat(arrays), "}".repeat(arrays)))
}

#[test]
fn schemas_by_which_nothing_can_be_read_are_refused_when_they_are_loaded() {
    assert_eq!(check(EVENT), Ok(()));
    assert_eq!(check(&nested(MAX_DEPTH)), Ok(()));
    assert_eq!(check(&nested(MAX_DEPTH + 1)), Err(Unfit::TooDeep));
    assert_eq!(check(&doubling(MAX_DEPTH - 1)), Ok(()));
    assert_eq!(check(&doubling(MAX_DEPTH)), Err(Unfit::TooDeep));
    let list = |link: &str| only(&format!(r#"["null", {link}]"#));
    assert_eq!(check(&list(r#""R""#)), Err(Unfit::Recursive("R".to_owned())));
    assert_eq!(check(&list(r#"{"type": "map", "values": {"type": "array", "items": "R"}}"#)), Err(Unfit::Recursive("R".to_owned())));
    for no_avro in ["", "{", "7", r#"{"type": "record", "name": "R"}"#, r#""Elsewhere""#, &only(r#""Elsewhere""#), &"[".repeat(100_000)] {
        assert!(matches!(check(no_avro), Err(Unfit::NotAvro(_))), "{no_avro:.40}");
    }
    assert_eq!(check(&format!("{EVENT}{}", " ".repeat(MAX_ITEM))), Err(Unfit::TooLarge));
    let error = SchemaTexts::new([(1, EVENT.to_owned()), (2, list(r#""R""#))]).unwrap_err();
    assert_eq!(error.to_string(), "schema 2: the type `R` contains itself");
}

#[test]
fn a_type_that_fits_at_one_depth_does_not_at_another() {
    let deep = nested(MAX_DEPTH - 1);
    assert_eq!(check(&format!(r#"{{"type": "record", "name": "Top", "fields": [{{"name": "a", "type": {deep}}}]}}"#)), Ok(()));
    let again = r#"{"type": "array", "items": "R"}"#;
    let twice =
        format!(r#"{{"type": "record", "name": "Top", "fields": [{{"name": "a", "type": {deep}}}, {{"name": "b", "type": {again}}}]}}"#);
    assert_eq!(check(&twice), Err(Unfit::TooDeep));
}

/// Schemas of a registry: counts how often it is asked.
#[derive(Debug, Default)]
struct Registry(AtomicUsize);

impl Schemas for Registry {
    fn schema(&self, id: u32) -> Result<Arc<str>, UnknownSchema> {
        self.0.fetch_add(1, Ordering::Relaxed);
        match id {
            ID => Ok(EVENT.into()),
            1 => Ok(only(r#"["null", "R"]"#).into()),
            2 => Ok("not a schema".into()),
            _ => Err(UnknownSchema),
        }
    }
}

#[test]
fn a_schema_is_asked_for_once_and_an_unknown_one_each_time() {
    let registry = Arc::new(Registry::default());
    let source = Source { schemas: SchemaSource::Given(Arc::clone(&registry) as Arc<dyn Schemas>), ..source(Format::Avro) };
    let mut decoder = Avro::new(&source, &Wanted::default());
    let mut of = |value: &[u8], asked: usize| {
        let collected = decode(&mut decoder, value);
        assert_eq!(registry.0.load(Ordering::Relaxed), asked);
        collected.reasons()
    };
    let good = Request::simple().avro();
    assert_eq!([of(&good, 1), of(&good, 1)], [vec![], vec![]]);
    assert_eq!(of(&[0, 0, 0, 0, 1, 0], 2), [Reason::DepthExceeded]);
    assert_eq!(of(&[0, 0, 0, 0, 1, 0], 2), [Reason::DepthExceeded]);
    assert_eq!(of(&[0, 0, 0, 0, 2, 0], 3), [Reason::SchemaMismatch]);
    assert_eq!(of(&[0, 9, 0, 0, 0, 0], 4), [Reason::SchemaUnknown]);
    assert_eq!(of(&[0, 9, 0, 0, 0, 0], 5), [Reason::SchemaUnknown]);
}

#[test]
fn what_has_no_frame_is_no_record_of_a_registry() {
    let source = avro(EVENT);
    assert_eq!(reasons(&source, b""), [Reason::EmptyValue]);
    for value in [&b"\x00"[..], b"\x00\x01\x02\x03", b"{\"service\":1}", b"\x01\x01\x02\x03\x04\x00", b"Obj\x01"] {
        assert_eq!(reasons(&source, value), [Reason::EnvelopeInvalid], "{value:?}");
    }
    assert_eq!(reasons(&source, &framed(&vec![0; MAX_ITEM + 1])), [Reason::SizeExceeded]);
    assert_eq!(reasons(&super::super::collected::source(Format::Avro), &framed(b"")), [Reason::SchemaUnknown]);
    let (mut headers, value, mut collected) = (Vec::new(), Request::simple().avro(), Collected::default());
    put_headers(&mut headers, &[(ID_HEADER, b"\x01")]);
    Avro::new(&source, &Wanted::default())
        .decode(&Input { headers: Headers::from_encoded(&headers), ..Input::new(&value) }, &mut collected);
    assert_eq!(collected.reasons(), [Reason::EnvelopeInvalid]);
}

#[test]
fn a_text_that_grows_beyond_the_limit_is_too_large() {
    let control = Request { service: "\u{1}".repeat(MAX_ITEM / 4), ..Request::simple() }.avro();
    assert_eq!(reasons(&avro(EVENT), &control), [Reason::SizeExceeded]);
}

/// A type and a value of it; names are given when the schema is written.
#[derive(Clone, Debug)]
enum Any {
    Leaf(&'static str, Value),
    Fixed(Vec<u8>),
    Enum,
    Nullable(Box<Any>, bool),
    Array(Box<Any>, usize),
    Map(Box<Any>, usize),
    Record(Vec<Any>),
}

impl Any {
    /// Writes the schema, and gives the value.
    fn schema(&self, names: &mut usize, out: &mut String) -> Value {
        *names += 1;
        let name = *names;
        match self {
            Self::Leaf(leaf, value) => {
                out.push_str(leaf);
                value.clone()
            }
            Self::Fixed(bytes) => {
                out.push_str(&format!(r#"{{"type": "fixed", "name": "F{name}", "size": {}}}"#, bytes.len()));
                Value::Fixed(bytes.len(), bytes.clone())
            }
            Self::Enum => {
                out.push_str(&format!(r#"{{"type": "enum", "name": "E{name}", "symbols": ["A", "B"]}}"#));
                Value::Enum(1, "B".to_owned())
            }
            Self::Nullable(some, there) => {
                out.push_str(r#"["null", "#);
                let value = some.schema(names, out);
                out.push(']');
                if *there { branch(1, value) } else { branch(0, Value::Null) }
            }
            Self::Array(items, count) => {
                out.push_str(r#"{"type": "array", "items": "#);
                let value = items.schema(names, out);
                out.push('}');
                Value::Array(vec![value; *count])
            }
            Self::Map(values, count) => {
                out.push_str(r#"{"type": "map", "values": "#);
                let value = values.schema(names, out);
                out.push('}');
                Value::Map((0..*count).map(|n| (format!("key {n}"), value.clone())).collect())
            }
            Self::Record(fields) => {
                out.push_str(&format!(r#"{{"type": "record", "name": "R{name}", "fields": ["#));
                let mut values = Vec::new();
                for (n, field) in fields.iter().enumerate() {
                    out.push_str(if n > 0 { ", " } else { "" });
                    out.push_str(&format!(r#"{{"name": "f{n}", "type": "#));
                    values.push((format!("f{n}"), field.schema(names, out)));
                    out.push('}');
                }
                out.push_str("]}");
                Value::Record(values)
            }
        }
    }
}

fn any_type() -> impl Strategy<Value = Any> {
    let leaf = prop_oneof![
        Just(Any::Leaf(r#"{"type": "null"}"#, Value::Null)),
        any::<bool>().prop_map(|b| Any::Leaf(r#""boolean""#, Value::Boolean(b))),
        any::<i32>().prop_map(|n| Any::Leaf(r#""int""#, Value::Int(n))),
        any::<i64>().prop_map(|n| Any::Leaf(r#""long""#, Value::Long(n))),
        any::<f32>().prop_map(|n| Any::Leaf(r#""float""#, Value::Float(n))),
        any::<f64>().prop_map(|n| Any::Leaf(r#""double""#, Value::Double(n))),
        any::<String>().prop_map(|t| Any::Leaf(r#""string""#, Value::String(t))),
        any::<Vec<u8>>().prop_map(|b| Any::Leaf(r#""bytes""#, Value::Bytes(b))),
        any::<i64>().prop_map(|n| Any::Leaf(r#"{"type": "long", "logicalType": "timestamp-micros"}"#, Value::TimestampMicros(n))),
        any::<i64>().prop_map(|n| Any::Leaf(r#"{"type": "long", "logicalType": "time-micros"}"#, Value::TimeMicros(n))),
        any::<i32>().prop_map(|n| Any::Leaf(r#"{"type": "int", "logicalType": "date"}"#, Value::Date(n))),
        any::<u128>().prop_map(|n| Any::Leaf(r#"{"type": "string", "logicalType": "uuid"}"#, Value::Uuid(apache_avro::Uuid::from_u128(n)))),
        any::<[u8; 8]>().prop_map(|b| Any::Leaf(
            r#"{"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 2}"#,
            Value::Decimal(b.into())
        )),
        prop::collection::vec(any::<u8>(), 1..20).prop_map(Any::Fixed),
        Just(Any::Enum),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let not_null = inner
            .clone()
            .prop_filter("a union holds neither unions nor two nulls", |any| !matches!(any, Any::Nullable(..) | Any::Leaf(_, Value::Null)));
        prop_oneof![
            (not_null, any::<bool>()).prop_map(|(some, there)| Any::Nullable(Box::new(some), there)),
            (inner.clone(), 0..4_usize).prop_map(|(items, count)| Any::Array(Box::new(items), count)),
            (inner.clone(), 0..4_usize).prop_map(|(values, count)| Any::Map(Box::new(values), count)),
            prop::collection::vec(inner, 0..4).prop_map(Any::Record),
        ]
    })
}

fn requests() -> impl Strategy<Value = Request> {
    let name = || prop::option::of(prop_oneof![any::<String>(), "[a-z\"\\\\\n\u{0}é]{0,12}"]);
    let status = prop::option::of(prop_oneof![
        (0..700).prop_map(Ok),
        any::<i32>().prop_map(Ok),
        prop_oneof![Just("ok".to_owned()), Just("timeout".to_owned()), any::<String>()].prop_map(Err),
    ]);
    let latency = prop::option::of(prop_oneof![0.0..1e6, any::<f64>().prop_filter("JSON has no others", |f| f.is_finite())]);
    // Above 1e11, where JSON takes a number for milliseconds.
    let time = 100_000_000_000_i64..9_000_000_000_000;
    (
        (time, any::<String>(), name(), name(), status, latency),
        (name(), prop::option::of(-1..2_000_000_i64), name(), name(), any::<Option<i64>>()),
    )
        .prop_map(|((time, service, namespace, operation, status, latency), (error_type, weight, id, region, deeper))| Request {
            time,
            service,
            namespace,
            operation,
            status,
            latency,
            error_type,
            weight,
            id,
            region,
            deeper,
        })
}

proptest! {
    #[test]
    fn avro_and_json_tell_the_same(requests in prop::collection::vec(requests(), 1..4)) {
        let on = |format| Source { dedup: crate::source::Dedup::OfFormat, ..source(format) };
        let of_avro = Source { schemas: avro(EVENT).schemas, ..on(Format::Avro) };
        let wanted = wanted(&["region", "deep.er"]);
        let mut warm = Avro::new(&of_avro, &wanted);
        for request in requests {
            let told = decode_twice(&mut warm, &mut Avro::new(&of_avro, &wanted), &request.avro());
            let by_json = decode(&mut Json::new(&on(Format::Json), &wanted), request.json().as_bytes());
            prop_assert_eq!(told.reasons(), by_json.reasons());
            prop_assert_eq!(told.events, by_json.events);
        }
    }

    #[test]
    fn what_is_not_wanted_is_passed_over_whatever_it_is(before in any_type(), behind in any_type(), small_blocks in any::<bool>()) {
        let (mut names, mut first, mut second) = (0, String::new(), String::new());
        let (first_value, second_value) = (before.schema(&mut names, &mut first), behind.schema(&mut names, &mut second));
        let schema = format!(
            r#"{{"type": "record", "name": "Top", "fields": [{{"name": "before", "type": {first}}}, {{"name": "timestamp", "type": "long"}},
                {{"name": "service", "type": "string"}}, {{"name": "behind", "type": {second}}}]}}"#
        );
        let value = record([("before", first_value), ("timestamp", Value::Long(START)), ("service", text("s")), ("behind", second_value)]);
        let parsed = Schema::parse_str(&schema).unwrap();
        let writer = GenericDatumWriter::builder(&parsed).maybe_target_block_size(small_blocks.then_some(4)).build().unwrap();
        let bytes = framed(&writer.write_value_to_vec(value).unwrap());
        let passed = read(&avro(&schema), &bytes);
        prop_assert_eq!(&passed.only().service, "s");
        // The same where it stands at wanted places: one item, whatever it means.
        let source = mapped("fields: {host: before, namespace: before.f0, operation: behind.f0.f0, error_type: 'behind.key 0'}", &schema);
        prop_assert_eq!(read(&source, &bytes).len(), 1);
    }

    #[test]
    fn no_bytes_make_the_decoder_panic_or_remember(values in prop::collection::vec(any::<Vec<u8>>(), 1..8)) {
        let source = avro(EVENT);
        let mut warm = Avro::new(&source, &Wanted::default());
        for value in values {
            for value in [framed(&value), value] {
                prop_assert_eq!(decode_twice(&mut warm, &mut Avro::new(&source, &Wanted::default()), &value).len(), 1);
            }
        }
    }

    #[test]
    fn changed_records_are_events_only_where_the_reference_reads_them(changes in changes(), request in requests()) {
        let source = avro(EVENT);
        let schema = Schema::parse_str(EVENT).unwrap();
        let bytes = changed(&request.avro(), &changes);
        let mut warm = Avro::new(&source, &Wanted::default());
        decode(&mut warm, &Request::simple().avro());
        let collected = decode_twice(&mut warm, &mut Avro::new(&source, &Wanted::default()), &bytes);
        prop_assert_eq!(collected.len(), 1);
        if let [(_, event)] = collected.events.as_slice() {
            let mut rest = &bytes[FRAME..];
            let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut rest);
            // The reference looks at texts that nobody wanted, too.
            if let Ok(Value::Record(fields)) = value {
                prop_assert!(rest.is_empty());
                let named = |name: &str| fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone());
                prop_assert_eq!(named("service"), Some(text(&event.service)));
                prop_assert_eq!(named("timestamp"), Some(Value::TimestampMillis(event.time / 1_000_000)));
            } else {
                prop_assert!(std::str::from_utf8(&bytes[FRAME..]).is_err(), "{value:?}");
            }
        }
    }
}
