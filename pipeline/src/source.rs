//! A source: its format, and what its fields mean (SIGNALS: source mapping file).
//!
//! Plain values. Reading them from YAML with suggestions for misspelt keys, and checking them, happens here; decoding does not.

/// Encoding of a source's records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// Told by the record itself.
    #[default]
    Auto,
    /// Objects, arrays of objects, or newline-delimited objects, with names from the mapping.
    Json,
    /// `ExportTraceServiceRequest`, Protobuf.
    OtlpProto,
    /// `ExportTraceServiceRequest`, JSON.
    OtlpJson,
    /// Zipkin v2 list or single span.
    ZipkinJson,
    /// Jaeger UI export, or one span per record.
    JaegerJson,
    /// Istio's and Envoy's access log, JSON.
    EnvoyJson,
    /// Istio's default access log line.
    EnvoyText,
    /// nginx with `escape=json`.
    NginxJson,
    /// ingress-nginx's default line.
    NginxIngress,
    /// nginx `combined` and Apache `combined`.
    Combined,
    /// CloudEvents, structured or binary, around `json`.
    CloudEvents,
}
