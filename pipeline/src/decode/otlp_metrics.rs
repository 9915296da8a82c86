//! `ExportMetricsServiceRequest` in Protobuf and JSON: gauges and non-monotonic sums of resources, for saturation.
//!
//! A record is one item, which is skipped: no event is in it. Both encodings are read into the same messages, which hold only what is looked
//! at. Metrics are few beside events, so clarity goes before speed here.

use crate::decode::document::open;
use crate::decode::gauges::{Attributes, Owner, Parts, measures};
use crate::decode::json::scan::Keys;
use crate::decode::{Decoder, Input, Items, MAX_ITEM, Reason, Skip};
use crate::resource::Measure;
use crate::source::Source;
use platform_core::time::EventTime;
use prost::Message;
use serde::{Deserialize, Deserializer};

/// `AGGREGATION_TEMPORALITY_DELTA`: differences, which are no levels.
const DELTA: i32 = 1;
/// Bit of a data point: there is no value.
const NO_RECORDED_VALUE: u32 = 1;

/// How a record is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Protobuf.
    Proto,
    /// JSON, as OTLP/HTTP has it.
    Json,
}

/// Reads metrics of OTLP.
pub struct OtlpMetrics {
    encoding: Encoding,
    mapped: Vec<(String, Measure)>,
    keys: Keys,
    parts: Parts,
}

impl OtlpMetrics {
    /// Reads records in this encoding, with further names from the source.
    #[must_use]
    pub fn new(encoding: Encoding, source: &Source) -> Self {
        Self { encoding, mapped: source.gauges.clone(), keys: Keys::default(), parts: Parts::default() }
    }

    /// The request of a record; `None`: it was told as dead.
    fn request(&mut self, value: &[u8], items: &mut dyn Items) -> Option<Request> {
        let refused = if value.len() > MAX_ITEM {
            (Reason::SizeExceeded, "an item may have 1 MiB")
        } else if self.encoding == Encoding::Json {
            match serde_json::from_str(open(value, &mut self.keys, items)?) {
                Ok(request) => return Some(request),
                Err(_) => (Reason::SchemaMismatch, "a field has another type than in OTLP"),
            }
        } else if value.is_empty() {
            (Reason::EmptyValue, "zero bytes")
        } else {
            match Request::decode(value) {
                Ok(request) => return Some(request),
                Err(_) => (Reason::DecodeProtobuf, "not an `ExportMetricsServiceRequest`"),
            }
        };
        items.dead(0, refused.0, refused.1, value);
        None
    }
}

impl Decoder for OtlpMetrics {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        let Some(request) = self.request(input.value, items) else { return };
        for of_resource in &request.resource_metrics {
            let resource = of_resource.resource.as_ref().map_or(&[][..], |resource| resource.attributes.as_slice());
            let owner = Owner::of(&Layers { own: &[], resource });
            for metric in of_resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
                for point in metric.points() {
                    let attributes = Layers { own: &point.attributes, resource };
                    let Some(value) = point.value() else { continue };
                    for known in measures(&metric.name, |own, name| own == name, &attributes, &self.mapped) {
                        let time = EventTime(i64::try_from(point.time_unix_nano).unwrap_or_default());
                        self.parts.add(&owner, known, time, value);
                    }
                }
            }
        }
        self.parts.tell(items);
        items.skipped(0, Skip::Metrics);
    }
}

/// Attributes of a data point in front of those of its resource.
struct Layers<'a> {
    own: &'a [KeyValue],
    resource: &'a [KeyValue],
}

impl Attributes for Layers<'_> {
    fn get(&self, name: &str) -> &str {
        let all = self.own.iter().chain(self.resource);
        let found = all.filter(|pair| pair.key == name).find_map(|pair| pair.value.as_ref()?.string_value.as_deref());
        found.unwrap_or_default()
    }
}

/// `ExportMetricsServiceRequest`, wire-equal to `MetricsData`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request {
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "nullable")]
    resource_metrics: Vec<ResourceMetrics>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ResourceMetrics {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    #[serde(deserialize_with = "nullable")]
    scope_metrics: Vec<ScopeMetrics>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct KeyValue {
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "nullable")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// Only texts are looked at.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    string_value: Option<String>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ScopeMetrics {
    #[prost(message, repeated, tag = "2")]
    #[serde(deserialize_with = "nullable")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Metric {
    #[prost(string, tag = "1")]
    #[serde(deserialize_with = "nullable")]
    name: String,
    #[prost(message, optional, tag = "5")]
    gauge: Option<Points>,
    #[prost(message, optional, tag = "7")]
    sum: Option<Points>,
}

impl Metric {
    /// Data points that say a level: of a gauge, or of a sum that also falls.
    fn points(&self) -> &[Point] {
        let sum = self.sum.as_ref().filter(|sum| !sum.is_monotonic && sum.aggregation_temporality != DELTA);
        self.gauge.as_ref().or(sum).map_or(&[], |points| &points.data_points)
    }
}

/// A gauge, or a sum, which says more.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Points {
    #[prost(message, repeated, tag = "1")]
    #[serde(deserialize_with = "nullable")]
    data_points: Vec<Point>,
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "temporality")]
    aggregation_temporality: i32,
    #[prost(bool, tag = "3")]
    #[serde(deserialize_with = "nullable")]
    is_monotonic: bool,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Point {
    #[prost(message, repeated, tag = "7")]
    #[serde(deserialize_with = "nullable")]
    attributes: Vec<KeyValue>,
    #[prost(fixed64, tag = "3")]
    #[serde(deserialize_with = "whole")]
    time_unix_nano: u64,
    #[prost(double, optional, tag = "4")]
    #[serde(deserialize_with = "number")]
    as_double: Option<f64>,
    #[prost(sfixed64, optional, tag = "6")]
    #[serde(deserialize_with = "integer")]
    as_int: Option<i64>,
    #[prost(uint32, tag = "8")]
    #[serde(deserialize_with = "nullable")]
    flags: u32,
}

impl Point {
    fn value(&self) -> Option<f64> {
        let value = self.as_double.or_else(|| self.as_int.map(|value| value as f64));
        value.filter(|_| self.flags & NO_RECORDED_VALUE == 0)
    }
}

/// A 64-bit number, which JSON of Protobuf writes as text; or a name.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
}

fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

fn parsed<'de, D: Deserializer<'de>, T: std::str::FromStr>(from: D) -> Result<Option<T>, D::Error> {
    let text = match Option::deserialize(from)? {
        None => return Ok(None),
        Some(NumberOrText::Unsigned(value)) => value.to_string(),
        Some(NumberOrText::Signed(value)) => value.to_string(),
        Some(NumberOrText::Float(value)) => value.to_string(),
        Some(NumberOrText::Text(text)) => text,
    };
    text.parse().map(Some).map_err(|_| serde::de::Error::custom("not a number of this type"))
}

fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    Ok(parsed(from)?.unwrap_or_default())
}

fn integer<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    parsed(from)
}

fn number<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
    parsed(from)
}

fn temporality<'de, D: Deserializer<'de>>(from: D) -> Result<i32, D::Error> {
    Ok(match Option::deserialize(from)? {
        Some(NumberOrText::Unsigned(value)) => i32::try_from(value).unwrap_or_default(),
        Some(NumberOrText::Text(name)) if name == "AGGREGATION_TEMPORALITY_DELTA" => DELTA,
        _ => 0,
    })
}

#[cfg(test)]
mod tests;
