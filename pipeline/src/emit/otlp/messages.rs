//! The messages of OTLP metrics, as far as they are sent and answered. Numbers of fields are those of the published protocol.

/// The flag of a point that says that there is no value.
pub const NO_RECORDED_VALUE: u32 = 1;
/// Points are what came since the last one.
pub const DELTA: i32 = 1;
/// Points are totals since their start.
pub const CUMULATIVE: i32 = 2;

/// `ExportMetricsServiceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// One.
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// Metrics of a resource.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceMetrics {
    /// Who says this.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One.
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
}

/// Who says something.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// By name.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Metrics of an instrumentation scope.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeMetrics {
    /// Which one.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// By name.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
}

/// An instrumentation scope.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Scope {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// An attribute.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyValue {
    /// Name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value; always a text here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AnyValue {
    /// The text.
    #[prost(string, optional, tag = "1")]
    pub string: Option<String>,
}

/// A metric: one of the four.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// What it means.
    #[prost(string, tag = "2")]
    pub description: String,
    /// Unit.
    #[prost(string, tag = "3")]
    pub unit: String,
    /// Gauge.
    #[prost(message, optional, tag = "5")]
    pub gauge: Option<Numbers>,
    /// Counter.
    #[prost(message, optional, tag = "7")]
    pub sum: Option<Sum>,
    /// Histogram.
    #[prost(message, optional, tag = "10")]
    pub exponential: Option<Exponentials>,
}

/// Points of a gauge.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Numbers {
    /// In the order of series.
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<NumberPoint>,
}

/// Points of a counter.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sum {
    /// In the order of series.
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<NumberPoint>,
    /// Totals or growth.
    #[prost(int32, tag = "2")]
    pub temporality: i32,
    /// It only grows.
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

/// A number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NumberPoint {
    /// ns.
    #[prost(fixed64, tag = "2")]
    pub start: u64,
    /// ns.
    #[prost(fixed64, tag = "3")]
    pub time: u64,
    /// A gauge's value.
    #[prost(double, optional, tag = "4")]
    pub double: Option<f64>,
    /// A counter's value.
    #[prost(sfixed64, optional, tag = "6")]
    pub int: Option<i64>,
    /// By name.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// Whether there is a value.
    #[prost(uint32, tag = "8")]
    pub flags: u32,
}

/// Points of an exponential histogram.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exponentials {
    /// In the order of series.
    #[prost(message, repeated, tag = "1")]
    pub points: Vec<ExponentialPoint>,
    /// Totals or growth.
    #[prost(int32, tag = "2")]
    pub temporality: i32,
}

/// An exponential histogram.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExponentialPoint {
    /// By name.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// ns.
    #[prost(fixed64, tag = "2")]
    pub start: u64,
    /// ns.
    #[prost(fixed64, tag = "3")]
    pub time: u64,
    /// All.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Of the values.
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// 2^scale buckets for each power of two.
    #[prost(sint32, tag = "6")]
    pub scale: i32,
    /// In the zero bucket.
    #[prost(fixed64, tag = "7")]
    pub zero_count: u64,
    /// Of positive values.
    #[prost(message, optional, tag = "8")]
    pub positive: Option<Counts>,
    /// Whether there is a value.
    #[prost(uint32, tag = "10")]
    pub flags: u32,
    /// Examples.
    #[prost(message, repeated, tag = "11")]
    pub exemplars: Vec<Exemplar>,
}

/// Buckets one after the other.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Counts {
    /// Index of the first one.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// Counts.
    #[prost(uint64, repeated, tag = "2")]
    pub counts: Vec<u64>,
}

/// An example.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// ns.
    #[prost(fixed64, tag = "2")]
    pub time: u64,
    /// s.
    #[prost(double, optional, tag = "3")]
    pub double: Option<f64>,
    /// 16 bytes.
    #[prost(bytes = "vec", tag = "5")]
    pub trace_id: Vec<u8>,
}

/// `ExportMetricsServiceResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Response {
    /// What was not taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// What was not taken.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PartialSuccess {
    /// How many points.
    #[prost(int64, tag = "1")]
    pub rejected: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error: String,
}
