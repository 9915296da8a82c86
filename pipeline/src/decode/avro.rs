//! Avro in Confluent's frame: a zero, the schema's id (big-endian), and one datum, which is one event by the mapping of the `json` format.
//!
//! A schema is compiled once into a plan that passes over what the mapping does not name. The rest is written as a JSON object into a text
//! that is reused, and goes the way of all objects: what a field may be, what is absent and what is bad is said there alone. So texts are
//! borrowed from that text, not from the record. Nothing is allocated per event once the schema is known and the text is large enough.
//!
//! Every byte must belong to the datum. Texts that nobody asked for are passed over unread. A map that has a wanted key twice is no Avro
//! here. Times (`timestamp-millis`, `-micros`, `-nanos`) are exact and need no unit; `local-timestamp-…` needs the source's time zone. Bytes,
//! fixed, decimals and dates are neither text nor number: where one is wanted the record is `schema_mismatch`.

use super::json::scan::FaultKind;
use super::json::{Around, Objects};
use super::{Decoder, Input, Items, MAX_ITEM, Reason, Skip, Wanted};
use crate::event::Event;
use crate::source::{SchemaSource, Source};
use plan::{Plan, Wants};
use platform_core::map::Map;
use std::borrow::Cow;
use std::sync::Arc;
use walk::{TimeForm, Walk};

/// Schemas compiled for what is wanted.
mod plan;
/// Bytes to JSON, by a plan.
mod walk;

pub use plan::Unfit;

/// Bytes of a frame: the zero and the id.
const FRAME: usize = 5;
/// Schemas that are kept. When more turn up, all are forgotten and those in use compiled again.
const MAX_SCHEMAS: usize = 1024;
/// Where newer producers of Confluent put the id of a schema that no frame names.
const ID_HEADER: &str = "__value_schema_id";

/// Decodes the `avro` format.
#[derive(Debug)]
pub struct Avro {
    schemas: SchemaSource,
    wants: Wants,
    times: TimeForm,
    plans: Map<u32, Result<Arc<Plan>, Unfit>>,
    objects: Objects,
    text: String,
}

/// Why a record is no event, and in words.
type Refused = (Reason, Cow<'static, str>);

impl Avro {
    /// A decoder for one source, which has its schemas.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self {
            schemas: source.schemas.clone(),
            wants: Wants::of(source, wanted),
            times: TimeForm::of(source),
            plans: Map::default(),
            objects: Objects::new(source, wanted),
            text: String::new(),
        }
    }

    fn record(&mut self, input: &Input<'_>, items: &mut dyn Items) -> Result<(), Refused> {
        let refuse = |reason, detail| Err((reason, Cow::Borrowed(detail)));
        if input.value.is_empty() {
            return refuse(Reason::EmptyValue, "zero bytes");
        }
        if input.value.len() > FRAME + MAX_ITEM {
            return refuse(Reason::SizeExceeded, "more than 1 MiB");
        }
        if input.headers.get(ID_HEADER).is_some() {
            return refuse(Reason::EnvelopeInvalid, "a schema id in a header, which this version does not read");
        }
        let Some((&[0, a, b, c, d], datum)) = input.value.split_first_chunk::<FRAME>() else {
            return refuse(Reason::EnvelopeInvalid, "no frame: a zero and four bytes of a schema id");
        };
        let plan = self.plan(u32::from_be_bytes([a, b, c, d]))?;
        let Self { objects, text, times, .. } = self;
        text.clear();
        let mut walk = Walk::new(datum, text, *times);
        walk.datum(&plan).map_err(|(reason, detail)| (reason, detail.into()))?;
        let opaque = walk.opaque();
        if !text.starts_with('{') {
            return refuse(Reason::SchemaMismatch, "a datum that is neither a record nor a map");
        }
        let mut items = OfRecord { items, record: input.value, opaque };
        match objects.decode(text, 0, 0, &Around::of(input), 0, &mut items) {
            Ok(_) => Ok(()),
            Err(fault) if fault.kind == FaultKind::DuplicateKey => refuse(Reason::DecodeAvro, "a map that has a key twice"),
            Err(fault) => refuse(fault.reason(), fault.what()),
        }
    }

    /// The plan for a schema, which is compiled when its id is first met.
    fn plan(&mut self, id: u32) -> Result<Arc<Plan>, Refused> {
        if !self.plans.contains_key(&id) {
            let SchemaSource::Given(schemas) = &self.schemas else {
                return Err((Reason::SchemaUnknown, "the source has no schemas".into()));
            };
            let text = schemas.schema(id).map_err(|unknown| (Reason::SchemaUnknown, unknown.to_string().into()))?;
            if self.plans.len() >= MAX_SCHEMAS {
                self.plans.clear();
            }
            self.plans.insert(id, Plan::compile(&text, &self.wants));
        }
        match self.plans.get(&id) {
            Some(Ok(plan)) => Ok(Arc::clone(plan)),
            Some(Err(unfit)) => Err((unfit.reason(), unfit.to_string().into())),
            None => Err((Reason::SchemaUnknown, "its schema was not kept".into())),
        }
    }
}

impl Decoder for Avro {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        if let Err((reason, detail)) = self.record(input, items) {
            items.dead(0, reason, &detail, input.value);
        }
    }
}

/// Whether records can be read by a schema.
///
/// # Errors
/// Why not.
pub fn check(schema: &str) -> Result<(), Unfit> {
    Plan::compile(schema, &Wants::default()).map(|_| ())
}

/// What was made of the object, as made of the record: nobody outside is to see the text in between.
struct OfRecord<'i> {
    items: &'i mut dyn Items,
    record: &'i [u8],
    /// Whether something stood at a wanted place that is neither text nor number in Avro.
    opaque: bool,
}

impl Items for OfRecord<'_> {
    fn event(&mut self, at: u32, event: &Event<'_>) {
        self.items.event(at, &Event { raw: &[], ..*event });
    }

    fn skipped(&mut self, at: u32, reason: Skip) {
        self.items.skipped(at, reason);
    }

    fn dead(&mut self, at: u32, reason: Reason, detail: &str, _: &[u8]) {
        match reason {
            Reason::MappingFailed if self.opaque => {
                let detail = "a mapped field is of a type that is neither text nor number";
                self.items.dead(at, Reason::SchemaMismatch, detail, self.record);
            }
            _ => self.items.dead(at, reason, detail, self.record),
        }
    }
}

#[cfg(test)]
mod tests;
