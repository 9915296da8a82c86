//! The messages of Prometheus remote write, as far as they are sent: `prometheus.WriteRequest` (1.0) and
//! `io.prometheus.write.v2.Request` (2.0). Numbers of fields are those of the published protocol.

/// Version 1.0.
pub mod v1 {
    /// `prometheus.WriteRequest`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct WriteRequest {
        /// Series.
        #[prost(message, repeated, tag = "1")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// One series.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Sorted by name.
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        /// In the order of time.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        /// Examples.
        #[prost(message, repeated, tag = "3")]
        pub exemplars: Vec<Exemplar>,
        /// Native histograms, in the order of time.
        #[prost(message, repeated, tag = "4")]
        pub histograms: Vec<super::v2::Histogram>,
    }

    /// A label.
    #[derive(Clone, PartialEq, Eq, prost::Message)]
    pub struct Label {
        /// Name.
        #[prost(string, tag = "1")]
        pub name: String,
        /// Value.
        #[prost(string, tag = "2")]
        pub value: String,
    }

    /// A sample.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Sample {
        /// Value.
        #[prost(double, tag = "1")]
        pub value: f64,
        /// ms.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
    }

    /// An exemplar.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        /// What it points to.
        #[prost(message, repeated, tag = "1")]
        pub labels: Vec<Label>,
        /// Value.
        #[prost(double, tag = "2")]
        pub value: f64,
        /// ms.
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }
}

/// Version 2.0.
pub mod v2 {
    /// Type of a counter.
    pub const COUNTER: i32 = 1;
    /// Type of a gauge.
    pub const GAUGE: i32 = 2;
    /// Type of a histogram, classic or native.
    pub const HISTOGRAM: i32 = 3;

    /// `io.prometheus.write.v2.Request`.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Request {
        /// Texts; the first one is empty.
        #[prost(string, repeated, tag = "4")]
        pub symbols: Vec<String>,
        /// Series.
        #[prost(message, repeated, tag = "5")]
        pub timeseries: Vec<TimeSeries>,
    }

    /// One series.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct TimeSeries {
        /// Name and value by turns, sorted by name.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// In the order of time.
        #[prost(message, repeated, tag = "2")]
        pub samples: Vec<Sample>,
        /// Native histograms, in the order of time.
        #[prost(message, repeated, tag = "3")]
        pub histograms: Vec<Histogram>,
        /// Examples.
        #[prost(message, repeated, tag = "4")]
        pub exemplars: Vec<Exemplar>,
        /// What it is.
        #[prost(message, optional, tag = "5")]
        pub metadata: Option<Metadata>,
    }

    /// An exemplar.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Exemplar {
        /// What it points to.
        #[prost(uint32, repeated, tag = "1")]
        pub labels_refs: Vec<u32>,
        /// Value.
        #[prost(double, tag = "2")]
        pub value: f64,
        /// ms.
        #[prost(int64, tag = "3")]
        pub timestamp: i64,
    }

    /// A sample.
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub struct Sample {
        /// Value.
        #[prost(double, tag = "1")]
        pub value: f64,
        /// ms.
        #[prost(int64, tag = "2")]
        pub timestamp: i64,
        /// Since when it counts, ms.
        #[prost(int64, tag = "3")]
        pub start_timestamp: i64,
    }

    /// What a series is.
    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub struct Metadata {
        /// One of the types above.
        #[prost(int32, tag = "1")]
        pub r#type: i32,
        /// Text.
        #[prost(uint32, tag = "3")]
        pub help_ref: u32,
        /// Text.
        #[prost(uint32, tag = "4")]
        pub unit_ref: u32,
    }

    /// A native histogram of counts; 1.0 has the same one, without the start.
    #[derive(Clone, PartialEq, prost::Message)]
    pub struct Histogram {
        /// All.
        #[prost(uint64, optional, tag = "1")]
        pub count_int: Option<u64>,
        /// Sum of the values.
        #[prost(double, tag = "3")]
        pub sum: f64,
        /// 2^schema buckets for each power of two.
        #[prost(sint32, tag = "4")]
        pub schema: i32,
        /// Width of the zero bucket.
        #[prost(double, tag = "5")]
        pub zero_threshold: f64,
        /// In the zero bucket.
        #[prost(uint64, optional, tag = "6")]
        pub zero_count_int: Option<u64>,
        /// Runs of buckets.
        #[prost(message, repeated, tag = "11")]
        pub positive_spans: Vec<BucketSpan>,
        /// Count of each bucket less that of the one before.
        #[prost(sint64, repeated, tag = "12")]
        pub positive_deltas: Vec<i64>,
        /// ms.
        #[prost(int64, tag = "15")]
        pub timestamp: i64,
        /// Since when it counts, ms.
        #[prost(int64, tag = "17")]
        pub start_timestamp: i64,
    }

    /// A run of buckets.
    #[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
    pub struct BucketSpan {
        /// Gap before it.
        #[prost(sint32, tag = "1")]
        pub offset: i32,
        /// Buckets in it.
        #[prost(uint32, tag = "2")]
        pub length: u32,
    }
}
