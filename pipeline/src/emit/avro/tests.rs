//! Both forms of a record say the same, field by field; the schema is as promised; and what the stage copies when.

use super::*;
use crate::emit::json::{put_f64, put_time};
use crate::emit::record::tests::richest_and_poorest;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema_compatibility::SchemaCompatibility;
use apache_avro::types::Value as Avro;
use platform_core::log::CommitError;
use platform_core::record::{BatchBuffer, Topic};
use platform_runtime::memory::MemoryStore;
use std::collections::BTreeSet;

fn encoded(json: &str) -> Vec<u8> {
    let mut out = vec![];
    AvroEncoder::default().put(json.as_bytes(), &mut out).unwrap();
    out
}

/// The datum as a reader has it, who knows nothing but the schema's text.
fn decoded(mut datum: &[u8]) -> Avro {
    let schema = Schema::parse_str(SCHEMA_TEXT).unwrap();
    let value = GenericDatumReader::builder(&schema).build().unwrap().read_value(&mut datum).unwrap();
    assert_eq!(datum, b"", "every byte belongs to the datum");
    value
}

/// What a datum says, as the public record spells it; null is absent.
fn spelled(value: &Avro) -> Option<Value> {
    let time = |nanos: i64| {
        let mut text = vec![];
        put_time(&mut text, nanos);
        Value::from(String::from_utf8(text).unwrap())
    };
    Some(match value {
        Avro::Null => return None,
        Avro::Union(_, value) => return spelled(value),
        Avro::Boolean(value) => (*value).into(),
        Avro::Int(number) => (*number).into(),
        Avro::Long(number) => (*number).into(),
        Avro::Double(number) => {
            let mut text = vec![];
            put_f64(&mut text, *number);
            serde_json::from_slice(&text).unwrap()
        }
        Avro::String(text) => text.as_str().into(),
        Avro::Bytes(bytes) => STANDARD.encode(bytes).into(),
        Avro::TimestampMillis(millis) => time(millis * MILLI),
        Avro::TimestampNanos(nanos) => time(*nanos),
        Avro::Array(items) => items.iter().map(|item| spelled(item).unwrap()).collect(),
        Avro::Map(map) => Value::Object(map.iter().map(|(key, value)| (key.clone(), spelled(value).unwrap())).collect()),
        Avro::Record(fields) => Value::Object(fields.iter().filter_map(|(name, value)| Some((name.clone(), spelled(value)?))).collect()),
        other => panic!("no field has the type of {other:?}"),
    })
}

fn without_nulls(json: &Value) -> Value {
    match json {
        Value::Object(object) => Value::Object(
            object.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.clone(), without_nulls(value))).collect(),
        ),
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        other => other.clone(),
    }
}

/// Every field of a schema, and whether it is of a map or of items.
fn fields(schema: &Schema, names: &ResolvedSchema<'_>, path: &str, all: &mut BTreeSet<String>) {
    match schema {
        Schema::Ref { name } => fields(names.get_names()[name], names, path, all),
        Schema::Union(union) => union.variants().iter().for_each(|variant| fields(variant, names, path, all)),
        Schema::Record(record) => record.fields.iter().for_each(|f| fields(&f.schema, names, &format!("{path}.{}", f.name), all)),
        Schema::Map(map) => fields(&map.types, names, &format!("{path}.*"), all),
        Schema::Array(array) => fields(&array.items, names, &format!("{path}.*"), all),
        Schema::Null => {}
        _ => drop(all.insert(path.to_owned())),
    }
}

/// Every value of a record that is not null, its place in the schema's words.
fn places(json: &Value, schema: &BTreeSet<String>, path: &str, all: &mut BTreeSet<String>) {
    let in_map = schema.iter().any(|place| place.starts_with(&format!("{path}.*")));
    let below = |key: &str| format!("{path}.{}", if in_map { "*" } else { key });
    match json {
        Value::Object(object) => object.iter().for_each(|(key, value)| places(value, schema, &below(key), all)),
        Value::Array(items) => items.iter().for_each(|item| places(item, schema, &below("*"), all)),
        Value::Null => {}
        _ => drop(all.insert(path.to_owned())),
    }
}

#[test]
fn every_field_of_a_record_is_in_the_schema_and_every_field_of_the_schema_in_a_record() {
    let schema = Schema::parse_str(SCHEMA_TEXT).unwrap();
    let (mut of_schema, mut of_records) = (BTreeSet::new(), BTreeSet::new());
    fields(&schema, &ResolvedSchema::try_from(&schema).unwrap(), "", &mut of_schema);
    for record in richest_and_poorest() {
        places(&serde_json::from_str(&record).unwrap(), &of_schema, "", &mut of_records);
    }
    assert_eq!(of_schema, of_records);
    assert!(of_schema.contains(".latency.ok.p999") && of_schema.contains(".exemplars.*.event_time"), "{of_schema:?}");
}

#[test]
fn both_forms_say_the_same() {
    for record in richest_and_poorest() {
        let json: Value = serde_json::from_str(&record).unwrap();
        assert_eq!(spelled(&decoded(&encoded(&record))).unwrap(), without_nulls(&json));
    }
}

#[test]
fn numbers_keep_every_bit() {
    let [record, _] = richest_and_poorest();
    let mut bits = 1_u64;
    for _ in 0..10_000 {
        bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // 0 to 2^20: what rates and durations are.
        let number = (bits >> 11) as f64 / (1_u64 << 33) as f64;
        let mut text = vec![];
        put_f64(&mut text, number);
        let text = String::from_utf8(text).unwrap();
        let json = record.replace(r#""window_seconds":60"#, &format!(r#""window_seconds":{text}"#));
        let Avro::Record(fields) = decoded(&encoded(&json)) else { panic!("a record") };
        let found = fields.iter().find(|(name, _)| name == "window_seconds").unwrap();
        assert_eq!(found.1, Avro::Double(number), "{text}");
    }
}

#[test]
fn what_does_not_fit_is_refused_and_what_is_not_known_is_left_out() {
    let [record, _] = richest_and_poorest();
    let refused = |from: &str, to: &str| {
        let changed = record.replace(from, to);
        assert_ne!(changed, record, "{from}");
        AvroEncoder::default().put(changed.as_bytes(), &mut vec![]).unwrap_err().to_string()
    };
    assert!(refused(r#""events":2"#, r#""events":9223372036854775808"#).contains("events"));
    assert!(refused(r#""events":2"#, r#""events":"2""#).contains("events"));
    assert!(refused(r#""service":"adservice","#, "").contains("service"));
    assert!(refused(r#""window_start":"2022"#, r#""window_start":"soon 2022"#).contains("window_start"));
    assert!(refused("{", "").contains("no JSON"));
    let newer = record.replace(r#""events":2"#, r#""of_later":{"x":1},"events":2"#);
    assert_eq!(encoded(&newer), encoded(&record));
}

/// Readers of each version read records of each other one: what is added has a default, and nothing else changes.
#[test]
fn a_field_may_be_added_with_a_default_and_none_be_taken_away() {
    let newer = SCHEMA_TEXT.replacen(r#""fields": ["#, r#""fields": [{"name": "added", "type": ["null", "long"], "default": null},"#, 1);
    let (now, newer) = (Schema::parse_str(SCHEMA_TEXT).unwrap(), Schema::parse_str(&newer).unwrap());
    SchemaCompatibility::mutual_read(&now, &newer).unwrap();
    let less: Value = serde_json::from_str(SCHEMA_TEXT).unwrap();
    for (at, field) in less["fields"].as_array().unwrap().iter().enumerate() {
        let mut less = less.clone();
        less["fields"].as_array_mut().unwrap().remove(at);
        // Some hold the definition of a type that others name.
        let Ok(less) = Schema::parse(&less) else { continue };
        let optional = field.get("default").is_some();
        assert_eq!(SchemaCompatibility::can_read(&less, &now).is_ok(), optional, "{field}");
    }
}

/// What a stage emits.
#[derive(Default)]
struct Out(Vec<Copied>);

/// Partition, key, headers, value.
type Copied = (Partition, Option<Vec<u8>>, Vec<(String, Vec<u8>)>, Vec<u8>);

impl Emit for Out {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        let headers = record.headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect();
        self.0.push((to.clone(), record.key.map(<[u8]>::to_vec), headers, record.value.unwrap().to_vec()));
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

#[test]
fn signals_are_copied_with_key_and_headers_and_nothing_else_is() {
    let [record, other] = richest_and_poorest();
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("golden-signals"), 3));
    let mut push = |at: u64, schema: &str, value: &str| {
        let mut headers = vec![];
        let all: [(&str, &[u8]); 4] =
            [(SCHEMA, schema.as_bytes()), (CONTENT_TYPE, b"application/json"), (GROWTH, b"\x01"), ("revision", b"2")];
        put_headers(&mut headers, &all);
        buffer.push(Offset(at), None, Some(b"default/adservice"), &headers, Some(value.as_bytes()));
    };
    push(4, SCHEMA_SIGNALS, &record);
    push(5, crate::names::SCHEMA_PROGRESS, "{}");
    push(7, SCHEMA_SIGNALS, &other);
    let to = Partition::new(&Topic::new("golden-signals.avro"), 3);
    let (frame, store, mut out) = (Frame::default(), MemoryStore::default(), Out::default());
    let mut stage = AvroCopies::new(frame.clone(), to.clone());
    assert!(!stage.goes_on(), "nobody has said the number yet");
    frame.number(0x0102_0304);
    frame.number(9);
    assert!(stage.goes_on());
    for record in buffer.batch().unwrap().iter() {
        stage.apply(&record, &store).unwrap();
        assert_eq!(stage.emit_due(0, &store, &mut out).unwrap(), Emitted::All);
        assert_eq!(stage.emit_due(0, &store, &mut out).unwrap(), Emitted::All, "once");
    }
    let framed = |json: &str| [&[0, 1, 2, 3, 4][..], &encoded(json)].concat();
    let headers = [(SCHEMA, SCHEMA_SIGNALS), (CONTENT_TYPE, MEDIA_TYPE), ("revision", "2")];
    let headers: Vec<(String, Vec<u8>)> = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    let key = Some(b"default/adservice".to_vec());
    assert_eq!(out.0, [&record, &other].map(|json| (to.clone(), key.clone(), headers.clone(), framed(json))));
    assert_eq!((stage.replay_from(Offset(8)), stage.metadata()), (Offset(8), vec![]));
}

#[test]
fn what_was_committed_before_a_restart_is_not_copied_again() {
    let [record, _] = richest_and_poorest();
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("golden-signals"), 0));
    let mut headers = vec![];
    put_headers(&mut headers, &[(SCHEMA, SCHEMA_SIGNALS.as_bytes())]);
    buffer.push(Offset(0), None, None, &headers, Some(record.as_bytes()));
    let (store, mut out) = (MemoryStore::default(), Out::default());
    let mut stage = AvroCopies::new(Frame::single_object(), Partition::new(&Topic::new("golden-signals.avro"), 0));
    buffer.batch().unwrap().iter().for_each(|record| stage.apply(&record, &store).unwrap());
    stage.skip_output();
    stage.emit_due(0, &store, &mut out).unwrap();
    assert!(out.0.is_empty());
}

/// The fingerprint is part of every record of this frame: it changes with the schema, and with nothing else.
#[test]
fn single_objects_begin_with_the_fingerprint_of_the_schema() {
    let frame = Frame::single_object().0.get().unwrap().clone();
    assert_eq!(frame[..2], [0xC3, 0x01]);
    // CRC-64-AVRO of the parsing canonical form, by the algorithm as the specification prints it.
    let canonical = Schema::parse_str(SCHEMA_TEXT).unwrap().canonical_form();
    const EMPTY: u64 = 0xc15d_213a_a4d7_a795;
    let step = |fingerprint: u64, byte: &u8| {
        let mut row = (fingerprint ^ u64::from(*byte)) & 0xff;
        (0..8).for_each(|_| row = (row >> 1) ^ (EMPTY & (row & 1).wrapping_neg()));
        (fingerprint >> 8) ^ row
    };
    assert_eq!(frame[2..], canonical.as_bytes().iter().fold(EMPTY, step).to_le_bytes());
}
