//! The public topic once more, in Avro: a stage that copies its signals into a topic of its own, record by record, in their order.
//!
//! The schema is the file `avro/golden-signals.avsc`. What a field is called and which type it has is said there alone: a record is read as
//! JSON and written as the schema says, so nothing is computed anew and both forms say the same. Times become numbers, base64 becomes bytes,
//! what is absent becomes null; a key that the schema does not know is left out, and a test says that there is none.
//!
//! The copy keeps its key, its partition and its headers, with two exceptions: the content type is another, and `growth` is left out, since it
//! says where in the JSON its revision stands. Progress records and marks of the router are not copied: whoever reads this topic has one schema.
//!
//! In front of each datum stands a *frame*, by which readers find the schema. Where a registry gives its number the stage waits for it, and
//! nobody else does. The stage has no state: what is not committed is copied again.

use crate::decode::timestamp::{TimeUnit, Timestamps};
use crate::names::{CONTENT_TYPE, GROWTH, SCHEMA, SCHEMA_SIGNALS};
use apache_avro::Schema;
use apache_avro::headers::{HeaderBuilder as _, RabinFingerprintHeader};
use apache_avro::schema::{RecordSchema, ResolvedSchema};
use apache_avro::writer::datum::GenericDatumWriter;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform_core::codec::CodecError;
use platform_core::record::{Headers, NewRecord, Offset, Partition, Record, put_headers};
use platform_core::stage::{Emit, Emitted, KeyedStage, StageError};
use platform_core::store::{Changes, Store};
use serde::ser::{Error as _, Serialize, SerializeMap as _, SerializeSeq as _, SerializeStruct as _, Serializer};
use serde_json::Value;
use std::sync::{Arc, LazyLock, OnceLock};

/// The schema of the copies, as registries and readers get it.
pub const SCHEMA_TEXT: &str = include_str!("avro/golden-signals.avsc");
/// Number of the state's format: there is none.
pub const FORMAT: u32 = 1;
/// What the header `content-type` says.
pub const MEDIA_TYPE: &str = "application/vnd.apache.avro";

/// The schema, with the types that it names.
static COMPILED: LazyLock<Schema> =
    LazyLock::new(|| Schema::parse_str(SCHEMA_TEXT).expect("it is part of the program, and a test reads it"));

/// Nanoseconds of a millisecond.
const MILLI: i64 = 1_000_000;

/// What stands in front of each datum; known at once, or as soon as somebody has asked for it.
#[derive(Clone, Debug, Default)]
pub struct Frame(Arc<OnceLock<Vec<u8>>>);

impl Frame {
    /// Avro's single-object encoding: `C3 01`, and the CRC-64 fingerprint of the schema, least byte first. Readers need the schema's file.
    #[must_use]
    pub fn single_object() -> Self {
        Self(Arc::new(RabinFingerprintHeader::from_schema(&COMPILED).build_header().into()))
    }

    /// Confluent's: a zero, and the number that a registry gave the schema, in four bytes, the highest first. The first number stays.
    pub fn number(&self, id: u32) {
        self.0.get_or_init(|| [&[0][..], &id.to_be_bytes()].concat());
    }
}

/// Why a record has no form in Avro.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// It is not JSON.
    #[error("no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A field is missing, or of another type.
    #[error("not as the Avro schema has it: {0}")]
    Schema(#[from] Box<apache_avro::Error>),
}

/// Writes records in Avro.
pub struct AvroEncoder(GenericDatumWriter<'static>, ResolvedSchema<'static>);

impl Default for AvroEncoder {
    fn default() -> Self {
        let resolved = || ResolvedSchema::try_from(&*COMPILED).expect("a test reads the schema");
        let writer = GenericDatumWriter::builder(&COMPILED).resolved_schemata(resolved()).human_readable(false).build();
        Self(writer.expect("a test reads the schema"), resolved())
    }
}

impl AvroEncoder {
    /// Appends the datum of a public record.
    ///
    /// # Errors
    /// When it is no public record.
    pub fn put(&self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Misfit> {
        let json = serde_json::from_slice(json)?;
        let whole = Fitted { json: &json, schema: &COMPILED, names: &self.1 };
        self.0.write_ser(out, &whole).map_err(Box::new)?;
        Ok(())
    }
}

/// A piece of a record, and how the schema has it.
struct Fitted<'a> {
    json: &'a Value,
    schema: &'static Schema,
    names: &'a ResolvedSchema<'static>,
}

impl Fitted<'_> {
    fn record<S: Serializer>(&self, fields: &'static RecordSchema, to: S) -> Result<S::Ok, S::Error> {
        let Value::Object(object) = self.json else { return Err(self.misfit()) };
        let mut to = to.serialize_struct("", fields.fields.len())?;
        for field in &fields.fields {
            match object.get(&field.name) {
                Some(json) => to.serialize_field(&field.name, &Fitted { json, schema: &field.schema, names: self.names })?,
                None => to.skip_field(&field.name)?,
            }
        }
        to.end()
    }

    /// A time of RFC 3339, ns since 1970.
    fn time<E: serde::ser::Error>(&self) -> Result<i64, E> {
        let time = self.json.as_str().and_then(|text| Timestamps::new(TimeUnit::Rfc3339, None).parse_text(text).ok());
        time.ok_or_else(|| self.misfit())
    }

    fn misfit<E: serde::ser::Error>(&self) -> E {
        E::custom(format!("{} is not {:?}", self.json, self.schema))
    }
}

impl Serialize for Fitted<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self { json, schema, names } = *self;
        let wanted = || self.misfit::<S::Error>();
        match schema {
            Schema::Ref { name } => {
                let schema = names.get_names().get(name).copied().ok_or_else(wanted)?;
                Fitted { json, schema, names }.serialize(to)
            }
            Schema::Union(union) => match (json, union.variants()) {
                (Value::Null, [Schema::Null, _]) => to.serialize_none(),
                (_, [Schema::Null, schema]) => to.serialize_some(&Fitted { json, schema, names }),
                _ => Err(wanted()),
            },
            Schema::Record(fields) => self.record(fields, to),
            Schema::Map(map) => {
                let object = json.as_object().ok_or_else(wanted)?;
                let mut to = to.serialize_map(Some(object.len()))?;
                for (key, json) in object {
                    to.serialize_entry(key, &Fitted { json, schema: &map.types, names })?;
                }
                to.end()
            }
            Schema::Array(array) => {
                let items = json.as_array().ok_or_else(wanted)?;
                let mut to = to.serialize_seq(Some(items.len()))?;
                for json in items {
                    to.serialize_element(&Fitted { json, schema: &array.items, names })?;
                }
                to.end()
            }
            Schema::Boolean => to.serialize_bool(json.as_bool().ok_or_else(wanted)?),
            Schema::Int => to.serialize_i32(json.as_i64().and_then(|number| number.try_into().ok()).ok_or_else(wanted)?),
            Schema::Long => to.serialize_i64(json.as_i64().ok_or_else(wanted)?),
            Schema::Double => to.serialize_f64(json.as_f64().ok_or_else(wanted)?),
            Schema::String => to.serialize_str(json.as_str().ok_or_else(wanted)?),
            Schema::Bytes => {
                let bytes = json.as_str().and_then(|text| STANDARD.decode(text).ok());
                to.serialize_bytes(&bytes.ok_or_else(wanted)?)
            }
            Schema::TimestampMillis => to.serialize_i64(self.time::<S::Error>()?.div_euclid(MILLI)),
            Schema::TimestampNanos => to.serialize_i64(self.time()?),
            _ => Err(S::Error::custom("a type that no field has")),
        }
    }
}

/// The stage of one partition of the public topic.
pub struct AvroCopies {
    encoder: AvroEncoder,
    frame: Frame,
    to: Partition,
    /// Whether the copy below has still to leave.
    due: bool,
    key: Option<Vec<u8>>,
    /// Encoded.
    headers: Vec<u8>,
    value: Vec<u8>,
}

impl AvroCopies {
    /// The stage that copies to a partition of the same number.
    #[must_use]
    pub fn new(frame: Frame, to: Partition) -> Self {
        Self { encoder: AvroEncoder::default(), frame, to, due: false, key: None, headers: vec![], value: vec![] }
    }
}

impl KeyedStage for AvroCopies {
    fn restore(&mut self, _: &dyn Store, _: &[u8]) -> Result<(), StageError> {
        Ok(())
    }

    fn apply(&mut self, record: &Record<'_>, _: &dyn Store) -> Result<(), StageError> {
        self.due = false;
        if record.headers.get(SCHEMA) != Some(SCHEMA_SIGNALS.as_bytes()) {
            return Ok(());
        }
        self.value.clear();
        self.value.extend_from_slice(self.frame.0.get().map(Vec::as_slice).unwrap_or_default());
        self.encoder.put(record.value.unwrap_or_default(), &mut self.value).map_err(|misfit| {
            tracing::error!(offset = %record.offset, %misfit, "a public record cannot be copied");
            StageError::Unreadable { offset: record.offset, source: CodecError::Unknown { what: "form of a public record", value: 0 } }
        })?;
        let kept = record.headers.iter().filter(|(name, _)| *name != GROWTH);
        let headers: Vec<(&str, &[u8])> =
            kept.map(|(name, value)| (name, if name == CONTENT_TYPE { MEDIA_TYPE.as_bytes() } else { value })).collect();
        self.headers.clear();
        put_headers(&mut self.headers, &headers);
        self.key = record.key.map(<[u8]>::to_vec);
        self.due = true;
        Ok(())
    }

    fn emit_due(&mut self, _: usize, _: &dyn Store, out: &mut dyn Emit) -> Result<Emitted, StageError> {
        if std::mem::take(&mut self.due) {
            let headers: Vec<(&str, &[u8])> = Headers::from_encoded(&self.headers).iter().collect();
            out.append(&self.to, NewRecord { key: self.key.as_deref(), headers: &headers, value: Some(&self.value) })?;
        }
        Ok(Emitted::All)
    }

    fn skip_output(&mut self) {
        self.due = false;
    }

    fn replay_from(&self, position: Offset) -> Offset {
        position
    }

    fn changes(&mut self, _: &mut Changes) {}

    fn goes_on(&self) -> bool {
        self.frame.0.get().is_some()
    }

    fn held(&self) -> usize {
        self.value.len()
    }
}

#[cfg(test)]
mod tests;
