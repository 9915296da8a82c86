//! The topics that events come from, each with what its records are.
//!
//! The first is the one that HTTP writes to, whose records may say their format themselves; the others belong to somebody else.

use crate::failure::{Failure, suggestion};
use crate::registry::Registry;
use crate::settings::{OtherSource, Settings};
use golden_pipeline::decode::{self, Decoder, MakeDecoder, Wanted, by_header};
use golden_pipeline::source::{Format, SchemaSource, Source};
use platform_core::record::Topic;
use platform_kafka::log::Kafka;
use std::sync::Arc;

/// Name of the source of events that come by HTTP.
const HTTP: &str = "http";

/// A topic and the source that its records are of.
pub(crate) struct Inlet {
    pub(crate) topic: Topic,
    pub(crate) source: Arc<Source>,
    /// Whether records say their format in a header.
    by_header: bool,
}

impl Inlet {
    /// Makes decoders of its records.
    pub(crate) fn decoders(&self) -> MakeDecoder {
        let (source, by_header) = (Arc::clone(&self.source), self.by_header);
        Arc::new(move |wanted| decoder(&source, wanted, by_header))
    }

    /// Whether its decoders look at headers.
    pub(crate) fn looks_at_headers(&self) -> bool {
        self.by_header || self.source.looks_at_headers()
    }
}

fn decoder(source: &Arc<Source>, wanted: &Wanted, by_header: bool) -> Box<dyn Decoder> {
    if by_header { by_header::decoder(source, wanted) } else { decode::decoder(source, wanted) }
}

/// All topics that events come from, in the order of the settings.
///
/// # Errors
/// When a mapping or a schema cannot be read.
pub(crate) fn inlets(settings: &Settings, kafka: Option<&Kafka>) -> Result<Vec<Inlet>, Failure> {
    let registry = Registry::of(settings, kafka)?.map(Arc::new);
    let with_schemas = |mut source: Source| -> Result<Arc<Source>, Failure> {
        if source.format == Format::Avro && matches!(source.schemas, SchemaSource::None) {
            let Some(registry) = &registry else {
                let place = "name schema files in the mapping (`schemas:`), or set log.kafka.registry.url";
                return Err(Failure::usage(format!("source {}: Avro needs schemas: {place}", source.name)));
            };
            source.schemas = SchemaSource::Given(Arc::clone(registry) as _);
        }
        Ok(Arc::new(source))
    };
    let mut own = match &settings.mapping {
        Some(path) => crate::mapping::read(path)?,
        None => Source::for_format(Format::Auto),
    };
    own.name = HTTP.to_owned();
    let topic = Topic::new(&settings.log.source.topic);
    let mut inlets = vec![Inlet { topic, source: with_schemas(own)?, by_header: true }];
    for other in &settings.log.sources {
        inlets.push(Inlet { topic: Topic::new(&other.topic), source: with_schemas(read(other)?)?, by_header: false });
    }
    Ok(inlets)
}

fn read(other: &OtherSource) -> Result<Source, Failure> {
    let topic = &other.topic;
    match (&other.mapping, &other.format) {
        (Some(path), None) => crate::mapping::read(path),
        (None, Some(name)) => {
            let Some(format) = Format::parse(name) else {
                let known = suggestion(name, Format::ALL.iter().map(|format| format.name()));
                return Err(Failure::usage(format!("log.sources, topic {topic}: there is no format `{name}`{known}")));
            };
            let mut source = Source::for_format(format);
            source.name.clone_from(topic);
            Ok(source)
        }
        (None, None) => {
            let mut source = Source::for_format(Format::Auto);
            source.name.clone_from(topic);
            Ok(source)
        }
        (Some(_), Some(_)) => Err(Failure::usage(format!("log.sources, topic {topic}: the mapping says the format; leave `format` out"))),
    }
}
