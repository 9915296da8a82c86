//! The metrics of a series: the names that each output gives them, and what they mean. One list for pages and for outputs that push; what only
//! pages have stands there.

use platform_core::metric::Kind;

/// A metric: its names and what it means.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Name in Prometheus, with the suffix of a counter.
    pub name: &'static str,
    /// Name in OpenTelemetry.
    pub otel: &'static str,
    /// Unit, as OpenTelemetry writes it.
    pub unit: &'static str,
    /// What it is.
    pub kind: Kind,
    /// In one sentence.
    pub help: &'static str,
}

impl Family {
    /// As a page shows it.
    pub(super) const fn shown(&self) -> (&'static str, Kind, &'static str) {
        (self.name, self.kind, self.help)
    }
}

const fn family(name: &'static str, otel: &'static str, unit: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, otel, unit, kind, help }
}

pub(super) static REQUESTS: Family =
    family("golden_signals_requests_total", "golden_signals.requests", "{request}", Kind::Counter, "Requests, ok and error, by weight.");
pub(super) static ERRORS: Family = family(
    "golden_signals_errors_total",
    "golden_signals.errors",
    "{request}",
    Kind::Counter,
    "Requests with outcome error; the sample without error_type is always 0.",
);
pub(super) static IGNORED: Family = family(
    "golden_signals_ignored_total",
    "golden_signals.ignored",
    "{request}",
    Kind::Counter,
    "Requests with outcome ignored, by weight.",
);
pub(super) static DURATION: Family = family(
    "golden_signals_request_duration_seconds",
    "golden_signals.request.duration",
    "s",
    Kind::Histogram,
    "Durations of requests, by outcome.",
);
pub(super) static AVAILABILITY: Family = family(
    "golden_signals_availability_ratio",
    "golden_signals.availability",
    "1",
    Kind::Gauge,
    "Share of the requests of the newest window that did not fail.",
);
pub(super) static SATURATION: Family = family(
    "golden_signals_saturation_ratio",
    "golden_signals.saturation",
    "1",
    Kind::Gauge,
    "The largest utilization of a service's resources in the newest window.",
);
pub(super) static UTILIZATION: Family = family(
    "golden_signals_utilization_ratio",
    "golden_signals.utilization",
    "1",
    Kind::Gauge,
    "Used by allowed of a resource, over a service's instances, in the newest window.",
);
pub(super) static LEVEL: Family = family(
    "golden_signals_health_level",
    "golden_signals.health.level",
    "",
    Kind::Gauge,
    "Health: 0 healthy, 1 degraded, 2 impaired, 3 critical; absent when unknown.",
);
pub(super) static STATE: Family = family(
    "golden_signals_health_state",
    "golden_signals.health.state",
    "",
    Kind::Gauge,
    "Health by name: 1 for the state it is in, else 0.",
);
pub(super) static RULE: Family = family(
    "golden_signals_override_info",
    "golden_signals.override.info",
    "",
    Kind::Gauge,
    "Rule in force for a service: bundle version (0: built in) and SHA-256 of its file.",
);
pub(super) static LATE: Family = family(
    "golden_signals_late_events_total",
    "golden_signals.late_events",
    "{event}",
    Kind::Counter,
    "Events that came after the close of their window, merged into it or counted in the late ledger.",
);
pub(super) static CORRECTIONS: Family = family(
    "golden_signals_corrections_total",
    "golden_signals.corrections",
    "{record}",
    Kind::Counter,
    "Records that replaced an earlier one of the same window.",
);
pub(super) static CLAMPED: Family = family(
    "golden_signals_latency_clamped_total",
    "golden_signals.latency.clamped",
    "{event}",
    Kind::Counter,
    "Events whose duration was counted as one hour, being longer.",
);

pub(super) static HTTP_SERVER: Family = family(
    "http_server_request_duration_seconds",
    "http.server.request.duration",
    "s",
    Kind::Histogram,
    "Durations of HTTP requests, errors with error_type _OTHER.",
);
pub(super) static RPC_SERVER: Family = family(
    "rpc_server_call_duration_seconds",
    "rpc.server.call.duration",
    "s",
    Kind::Histogram,
    "Durations of calls, errors with error_type _OTHER.",
);
pub(super) static SPANMETRICS_CALLS: Family =
    family("traces_spanmetrics_calls_total", "traces.spanmetrics.calls", "", Kind::Counter, "Requests by operation and status.");
pub(super) static SPANMETRICS_LATENCY: Family = family(
    "traces_spanmetrics_latency",
    "traces.spanmetrics.latency",
    "",
    Kind::Histogram,
    "Durations of requests in seconds, by operation and status.",
);
pub(super) static SPAN_METRICS_CALLS: Family =
    family("traces_span_metrics_calls_total", "traces.span.metrics.calls", "", Kind::Counter, "Requests by operation and status.");
pub(super) static SPAN_METRICS_DURATION: Family = family(
    "traces_span_metrics_duration_seconds",
    "traces.span.metrics.duration",
    "s",
    Kind::Histogram,
    "Durations of requests, by operation and status.",
);
