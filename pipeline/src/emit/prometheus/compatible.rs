//! Names of other tools: which of their metrics a series of operations gives once more, and under which labels (docs/metrics.md). It writes
//! nothing itself; the page and the outputs that push do.

use super::points::Pairs;
use super::{Series, labels};
use std::collections::BTreeMap;

/// The grouping that these are made of.
const OPERATIONS: &str = "service_operation";
/// What tells errors apart.
const ANY_ERROR: &Pairs<'_> = &[("error_type", "_OTHER")];
const UNSET: &Pairs<'_> = &[("status_code", "STATUS_CODE_UNSET")];
const ERROR: &Pairs<'_> = &[("status_code", "STATUS_CODE_ERROR")];

/// Families under names that dashboards made for other tools know. They repeat what is there already, so all are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compatibility {
    /// `http_server_request_duration_seconds` of `OpenTelemetry`, of operations that are known to be HTTP.
    pub http_server: bool,
    /// `rpc_server_call_duration_seconds` of `OpenTelemetry`, of operations that are known to be calls.
    pub rpc_server: bool,
    /// `traces_spanmetrics_calls_total` and `traces_spanmetrics_latency`.
    pub spanmetrics: bool,
    /// `traces_span_metrics_calls_total` and `traces_span_metrics_duration_seconds`.
    pub span_metrics: bool,
}

/// Whose names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tool {
    HttpServer,
    RpcServer,
    /// Tempo's metrics generator.
    Spanmetrics,
    /// The collector's span metrics connector.
    SpanMetrics,
}

/// One outcome of a series, as a tool names it.
pub(super) struct Renamed<'a> {
    pub(super) tool: Tool,
    /// Labels of the series, in the order in which they are written; none is empty.
    pub(super) labels: &'a Pairs<'a>,
    /// Labels that say the outcome.
    pub(super) outcome: &'static Pairs<'static>,
    pub(super) is_error: bool,
    /// Requests of this outcome, by weight.
    pub(super) calls: u64,
}

impl Compatibility {
    /// Shows a series as these tools name it, both outcomes of one after the other; nothing, if it is not one of operations alone.
    pub(super) fn each(self, series: &Series, put: &mut dyn FnMut(&Renamed<'_>)) {
        if self == Self::default() {
            return;
        }
        let mut parts = BTreeMap::new();
        labels::each(&series.labels, |name, value| drop(parts.insert(name.to_owned(), value.to_owned())));
        let of = |name: &str| parts.get(name).map_or("", String::as_str);
        let known = ["grouping", "service_name", "service_namespace", "operation", "http_request_method", "http_route", "rpc_method"];
        let operation = of("operation");
        // Another grouping or dimension would give several series one set of labels.
        if of("grouping") != OPERATIONS
            || operation.is_empty()
            || parts.keys().any(|name| name != "otel_metric_overflow" && !known.contains(&name.as_str()))
        {
            return;
        }
        let errors = series.errors();
        let mut both = |tool, labels: &Pairs<'_>, outcomes: [&'static Pairs<'static>; 2]| {
            let labels: Vec<_> = labels.iter().copied().filter(|(_, value)| !value.is_empty()).collect();
            for (outcome, is_error) in outcomes.into_iter().zip([false, true]) {
                let calls = if is_error { errors } else { series.requests.saturating_sub(errors) };
                put(&Renamed { tool, labels: &labels, outcome, is_error, calls });
            }
        };
        let pair = |name: &'static str| (name, of(name));
        let [name, namespace] = [pair("service_name"), pair("service_namespace")];
        let [method, route, call] = [pair("http_request_method"), pair("http_route"), pair("rpc_method")];
        if self.http_server && !method.1.is_empty() && !route.1.is_empty() {
            both(Tool::HttpServer, &[name, namespace, method, route], [&[], ANY_ERROR]);
        }
        if self.rpc_server && !call.1.is_empty() {
            both(Tool::RpcServer, &[name, namespace, call], [&[], ANY_ERROR]);
        }
        let (span, kind) = (("span_name", operation), ("span_kind", "SPAN_KIND_SERVER"));
        if self.spanmetrics {
            both(Tool::Spanmetrics, &[("service", name.1), namespace, span, kind], [UNSET, ERROR]);
        }
        if self.span_metrics {
            both(Tool::SpanMetrics, &[name, namespace, span, kind], [UNSET, ERROR]);
        }
    }
}
