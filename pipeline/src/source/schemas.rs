//! Where the schemas of a source come from, for formats whose records name theirs by a number.
//!
//! A mapping file names files; a registry is asked over the network. Neither happens here: whoever may open files and sockets puts what it
//! found in the place of the names, as `SchemaSource::Given`, before a decoder is made.

use crate::decode::avro::{self, Unfit};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Schemas by id. An id means one schema for ever.
pub trait Schemas: Send + Sync + fmt::Debug {
    /// The text of a schema, with every type that it refers to in it. Decoders keep what they were given and ask again only for ids that
    /// were unknown, so an implementation that has to ask somebody else limits how often it does.
    ///
    /// # Errors
    /// There is no such schema. Its record is a dead letter, for good: who cannot know, because a registry does not answer, waits in here
    /// until it does, and with it the partition.
    fn schema(&self, id: u32) -> Result<Arc<str>, UnknownSchema>;
}

/// No schema has the id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no schema has this id")]
pub struct UnknownSchema;

/// Where a source's schemas are.
#[derive(Clone, Debug, Default)]
pub enum SchemaSource {
    /// Nowhere: every id is unknown.
    #[default]
    None,
    /// In these files, as the mapping file spells them; relative ones lie beside it.
    Files(BTreeMap<u32, String>),
    /// In the files `ID.avsc` of this folder.
    Folder(String),
    /// Here.
    Given(Arc<dyn Schemas>),
}

impl PartialEq for SchemaSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Files(one), Self::Files(another)) => one == another,
            (Self::Folder(one), Self::Folder(another)) => one == another,
            (Self::Given(one), Self::Given(another)) => Arc::ptr_eq(one, another),
            _ => false,
        }
    }
}

impl Eq for SchemaSource {}

/// Schemas that were all read beforehand: those of files.
///
/// ```
/// use golden_pipeline::source::{SchemaTexts, Schemas};
///
/// let event = r#"{"type": "record", "name": "Event", "fields": [{"name": "service", "type": "string"}]}"#;
/// let schemas = SchemaTexts::new([(7, event.to_owned())]).unwrap();
/// assert_eq!(&*schemas.schema(7).unwrap(), event);
/// assert!(schemas.schema(8).is_err());
///
/// let list = r#"{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}"#;
/// assert!(SchemaTexts::new([(9, list.to_owned())]).unwrap_err().to_string().contains("contains itself"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SchemaTexts(BTreeMap<u32, Arc<str>>);

/// Why schemas were refused before a record was read with them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema {id}: {unfit}")]
pub struct SchemaError {
    /// The schema's number.
    pub id: u32,
    /// What is wrong with it.
    pub unfit: Unfit,
}

impl SchemaTexts {
    /// Schemas by their ids.
    ///
    /// # Errors
    /// The first schema by which no record could be read, and why.
    pub fn new(texts: impl IntoIterator<Item = (u32, String)>) -> Result<Self, SchemaError> {
        let checked = |(id, text): (u32, String)| match avro::check(&text) {
            Ok(()) => Ok((id, text.into())),
            Err(unfit) => Err(SchemaError { id, unfit }),
        };
        texts.into_iter().map(checked).collect::<Result<_, _>>().map(Self)
    }
}

impl Schemas for SchemaTexts {
    fn schema(&self, id: u32) -> Result<Arc<str>, UnknownSchema> {
        self.0.get(&id).cloned().ok_or(UnknownSchema)
    }
}
