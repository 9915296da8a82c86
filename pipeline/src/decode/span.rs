//! Spans of all formats to events (SIGNALS §4.1): which attributes say what, current names before legacy ones.
//!
//! A format reads its own encoding into a `Span` and two or three `Layer`s of attributes; what they mean is here, once. A span of a kind
//! that is not counted is skipped before anything else of it is judged.

use crate::decode::fields::{Found, Name, Preset, Refusal, Slot, View, own_names};
use crate::decode::ids::DedupId;
use crate::decode::{Input, Items, MAX_ITEM, Reason, Skip, Wanted};
use crate::event::Trace;
use crate::operation;
use crate::outcome::{Grpc, Status, whole_number};
use crate::source::{OperationRule, Source, SpanKinds};

own_names! {
    SERVICE_NAME = 0 "service.name",
    SERVICE_NAMESPACE = 1 "service.namespace",
    REQUEST_METHOD = 2 "http.request.method",
    METHOD = 3 "http.method",
    ROUTE = 4 "http.route",
    RPC_METHOD = 5 "rpc.method",
    RPC_SERVICE = 6 "rpc.service",
    MESSAGING_OPERATION = 7 "messaging.operation.name",
    MESSAGING_TEMPLATE = 8 "messaging.destination.template",
    RPC_STATUS = 9 "rpc.status_code",
    RPC_RESPONSE_STATUS = 10 "rpc.response.status_code",
    RPC_GRPC_STATUS = 11 "rpc.grpc.status_code",
    GRPC_STATUS = 12 "grpc.status_code",
    RESPONSE_STATUS = 13 "http.response.status_code",
    HTTP_STATUS = 14 "http.status_code",
    ERROR_TYPE = 15 "error.type",
    ERROR = 16 "error",
    OTEL_STATUS = 17 "otel.status_code",
    SPAN_KIND = 18 "span.kind",
    HOST_NAME = 19 "host.name",
    HOSTNAME = 20 "hostname",
    SERVER_ADDRESS = 21 "server.address",
    IPV4 = 22 "localEndpoint.ipv4",
    IPV6 = 23 "localEndpoint.ipv6",
}

/// Attributes of the canonical tags, and of the fields that rules may name.
fn alias(name: &str) -> &'static [&'static str] {
    match name {
        "env" => &["deployment.environment.name", "deployment.environment"],
        "region" => &["cloud.region"],
        "zone" => &["cloud.availability_zone"],
        "version" => &["service.version"],
        "cluster" => &["k8s.cluster.name"],
        "k8s_namespace" => &["k8s.namespace.name"],
        "deployment" => &["k8s.deployment.name"],
        "service" => &["service.name"],
        "namespace" => &["service.namespace"],
        "status" => &["http.response.status_code", "http.status_code"],
        _ => &[],
    }
}

/// A span's part in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Not said.
    #[default]
    Unspecified,
    Internal,
    Server,
    Client,
    Producer,
    Consumer,
}

impl Kind {
    /// By its number in OTLP; unknown numbers say nothing.
    pub(crate) fn from_number(number: i64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// By its name in any format: `server`, `SERVER`, `SPAN_KIND_SERVER`, or a number as text.
    pub(crate) fn parse(text: &str) -> Self {
        if let Some(number) = whole_number(text) {
            return Self::from_number(number);
        }
        let name = text.strip_prefix("SPAN_KIND_").unwrap_or(text);
        let named = [
            ("internal", Self::Internal),
            ("server", Self::Server),
            ("client", Self::Client),
            ("producer", Self::Producer),
            ("consumer", Self::Consumer),
        ];
        named.into_iter().find(|(n, _)| name.eq_ignore_ascii_case(n)).map_or(Self::Unspecified, |(_, kind)| kind)
    }

    fn is_one_of(self, kinds: SpanKinds) -> bool {
        match self {
            Self::Unspecified => false,
            Self::Internal => kinds.internal,
            Self::Server => kinds.server,
            Self::Client => kinds.client,
            Self::Producer => kinds.producer,
            Self::Consumer => kinds.consumer,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// What a span says beside its attributes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: Slot<'a>,
    /// In ns.
    pub(crate) start: Result<i64, Reason>,
    pub(crate) duration: Result<Option<u64>, Reason>,
    pub(crate) trace_id: Option<u128>,
    pub(crate) span_id: Option<u64>,
    /// Whether the trace was kept; no flag is kept.
    pub(crate) sampled: bool,
    /// Sampling threshold; 0: all are kept.
    pub(crate) threshold: u64,
    /// The format's own word for failure.
    pub(crate) failed: bool,
}

impl Default for Span<'_> {
    fn default() -> Self {
        Self {
            kind: Kind::Unspecified,
            name: Slot::default(),
            start: Err(Reason::TimeMissing),
            duration: Ok(None),
            trace_id: None,
            span_id: None,
            sampled: true,
            threshold: 0,
            failed: false,
        }
    }
}

/// What differs between the formats in the meaning of a span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dialect {
    /// Service of a span that names none; empty: it is dead.
    pub(crate) unknown_service: &'static str,
    /// Where the host is.
    pub(crate) host: &'static [Name],
    /// Whether client and server may share one span id, so that the kind is part of the id.
    pub(crate) shared_ids: bool,
}

/// A span at its place.
pub(crate) struct Item<'t, 'a> {
    /// Its number in the record.
    pub(crate) at: u32,
    /// Its attributes, and those of what it lies in.
    pub(crate) view: View<'t, 'a>,
    /// The span as it came.
    pub(crate) bytes: &'t [u8],
    pub(crate) input: &'t Input<'t>,
}

/// Turns spans of one source into events.
pub(crate) struct Spans {
    pub(crate) preset: Preset,
    dialect: Dialect,
    operation: String,
    id: DedupId,
}

impl Spans {
    pub(crate) fn new(dialect: Dialect, source: &Source, wanted: &Wanted) -> Self {
        Self { preset: Preset::new(OWN, alias, source, wanted), dialect, operation: String::new(), id: DedupId::default() }
    }

    /// Whether spans of this kind are counted; a format may save itself the rest of a span that is not.
    pub(crate) fn counts(&self, kind: Kind) -> bool {
        kind.is_one_of(self.preset.source.span_kinds)
    }

    /// Turns a span into an event, a skip or a dead letter.
    pub(crate) fn take(&mut self, span: &Span<'_>, item: &Item<'_, '_>, items: &mut dyn Items) {
        if let Err(refusal) = self.event(span, item, items) {
            refusal.tell(item.at, item.bytes, items);
        }
    }

    fn event(&mut self, span: &Span<'_>, item: &Item<'_, '_>, items: &mut dyn Items) -> Result<(), Refusal> {
        let Item { at, view, bytes, input } = item;
        if bytes.len() > MAX_ITEM {
            return Err(Reason::SizeExceeded.into());
        }
        if !self.counts(span.kind) {
            return Err(Skip::SpanKind.into());
        }
        self.preset.pass(view, input)?;
        let time = span.start?;
        let duration = span.duration?;
        let service = [view.text(&[SERVICE_NAME]), self.preset.default_service(), self.dialect.unknown_service];
        let service = service.into_iter().find(|name| !name.is_empty()).ok_or(Reason::ServiceMissing)?;
        write_operation(&mut self.operation, view, span.name.text(view.kept), self.preset.source.operation);
        let trace_id = span.trace_id.unwrap_or_default().to_be_bytes();
        let span_id = span.span_id.unwrap_or_default().to_be_bytes();
        let parts = [span.trace_id.map(|_| &trace_id[..]), span.span_id.map(|_| &span_id[..]), Some(span.kind.name().as_bytes())];
        let found = Found {
            raw: bytes,
            time,
            duration,
            service,
            namespace: view.text(&[SERVICE_NAMESPACE]),
            operation: &self.operation,
            status: status(span, view)?,
            host: view.text(self.dialect.host),
            threshold: span.threshold,
            trace: span.trace_id.zip(span.span_id).map(|(trace_id, span_id)| Trace { trace_id, span_id, sampled: span.sampled }),
            id: if self.dialect.shared_ids { &parts } else { parts.get(..2).unwrap_or_default() },
        };
        self.preset.finish(*at, &found, view, input, &mut self.id, items)
    }
}

/// Writes the operation: method and route, RPC method, messaging operation, or the span's name; nothing when all are absent.
fn write_operation(out: &mut String, view: &View<'_, '_>, name: &str, rule: OperationRule) {
    let texts = |names: &[Name]| Some(view.text(names)).filter(|text| !text.is_empty());
    out.clear();
    if let Some((method, route)) = texts(&[REQUEST_METHOD, METHOD]).zip(texts(&[ROUTE])) {
        operation::with_route(out, method, route);
    } else if let Some(method) = texts(&[RPC_METHOD]) {
        if let Some(service) = texts(&[RPC_SERVICE]).filter(|_| !method.contains('/')) {
            out.push_str(service);
            out.push('/');
        }
        out.push_str(method);
    } else if let Some((verb, template)) = texts(&[MESSAGING_OPERATION]).zip(texts(&[MESSAGING_TEMPLATE])) {
        out.push_str(verb);
        out.push(' ');
        out.push_str(template);
    } else if rule == OperationRule::Template {
        operation::from_text(out, name);
    } else {
        out.push_str(name);
    }
}

fn status<'t>(span: &Span<'_>, view: &View<'t, '_>) -> Result<Status<'t>, Reason> {
    let grpc = match view.first_of(&[RPC_STATUS, RPC_RESPONSE_STATUS, RPC_GRPC_STATUS, GRPC_STATUS]) {
        None => None,
        // The general names hold codes of other RPC systems too; those are told by the span's own status.
        Some((RPC_STATUS | RPC_RESPONSE_STATUS, text)) => Grpc::parse(text),
        Some((_, text)) => Some(Grpc::parse(text).ok_or(Reason::StatusInvalid)?),
    };
    let http =
        view.first_of(&[RESPONSE_STATUS, HTTP_STATUS]).map(|(_, text)| whole_number(text).ok_or(Reason::StatusInvalid)).transpose()?;
    let error_type = Some(view.text(&[ERROR_TYPE])).filter(|text| !text.is_empty());
    Ok(Status { http, grpc, span_error: span.failed, client_span: span.kind == Kind::Client, error_type, ..Status::default() })
}

/// The threshold T in `ot=th:T` of a tracestate, right-padded to 14 hex digits; 0 when there is none, or none that can be read.
pub(crate) fn threshold(tracestate: &str) -> u64 {
    let vendor = tracestate.split(',').find_map(|member| member.trim().strip_prefix("ot="));
    let digits = vendor.and_then(|value| value.split(';').find_map(|pair| pair.trim().strip_prefix("th:"))).unwrap_or_default();
    if digits.is_empty() || digits.len() > 14 {
        return 0;
    }
    let padded = digits.bytes().chain(std::iter::repeat(b'0')).take(14);
    padded.map(|d| char::from(d).to_digit(16)).try_fold(0, |t, d| Some(t << 4 | u64::from(d?))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_padded_to_14_digits_and_ignored_when_broken() {
        assert_eq!(threshold("ot=th:8"), 0x80_0000_0000_0000);
        assert_eq!(threshold("vendor=x, ot=rv:1;th:c00 ,b=c"), 0xc0_0000_0000_0000);
        assert_eq!(threshold("ot=th:0"), 0);
        for broken in ["", "ot=", "ot=th:", "ot=th:xyz", "ot=th:123456789012345", "th:8", "dot=th:8"] {
            assert_eq!(threshold(broken), 0, "{broken}");
        }
    }

    #[test]
    fn kinds_are_read_by_number_and_name() {
        assert_eq!([2, 5, 0, 9].map(Kind::from_number), [Kind::Server, Kind::Consumer, Kind::Unspecified, Kind::Unspecified]);
        assert_eq!(["SPAN_KIND_SERVER", "server", "SERVER", "2", "", "other"].map(Kind::parse), {
            use Kind::{Server, Unspecified};
            [Server, Server, Server, Server, Unspecified, Unspecified]
        });
    }
}
