//! Access logs of Envoy and Istio: the default text line, and JSON objects with Istio's keys.
//!
//! A mesh logs a request at both of its ends; `direction` says which one counts. The service is the source's default, else the host that
//! the mesh names: in the cluster, or in the server name that was asked for. A line without a method is TCP, another signal.

use crate::decode::access_log::{AccessLog, Entry};
use crate::decode::fields::{Found, Layer, Refusal, Slot, View, own_names};
use crate::decode::line::{request_line, set, write_operation};
use crate::decode::timestamp::{Unit, duration_ns};
use crate::decode::{Decoder, Input, Items, Reason, Skip, Wanted};
use crate::outcome::{Grpc, Status, whole_number};
use crate::source::{Direction, Route, Source};

own_names! {
    START_TIME = 0 "start_time",
    METHOD = 1 "method",
    PATH = 2 "path",
    RESPONSE_CODE = 3 "response_code",
    RESPONSE_FLAGS = 4 "response_flags",
    GRPC_STATUS = 5 "grpc_status",
    DURATION = 6 "duration",
    REQUEST_ID = 7 "request_id",
    AUTHORITY = 8 "authority",
    UPSTREAM_HOST = 9 "upstream_host",
    UPSTREAM_CLUSTER = 10 "upstream_cluster",
    SERVER_NAME = 11 "requested_server_name",
    ROUTE_NAME = 12 "route_name",
    CODE_DETAILS = 13 "response_code_details",
    FORWARDED_FOR = 14 "x_forwarded_for",
    USER_AGENT = 15 "user_agent",
}

/// Reads Istio's default access log line.
pub struct EnvoyText(AccessLog);

/// Reads access logs in JSON, with Istio's keys.
pub struct EnvoyJson(AccessLog);

impl EnvoyText {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self(AccessLog::new(OWN, alias, request, source, wanted))
    }
}

impl EnvoyJson {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self(AccessLog::new(OWN, alias, request, source, wanted))
    }
}

impl Decoder for EnvoyText {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.0.decode_lines(input, items, read_line);
    }
}

impl Decoder for EnvoyJson {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.0.decode_objects(input, items);
    }
}

/// Reads `[time] "method path protocol" code flags …`.
///
/// Envoy hides no quotes inside its quotes. What callers send stands in the middle (addresses, agent, ids), so the line is read from both of
/// its ends, and no agent's name can shift the fields behind it.
fn read_line<'a>(line: &'a str, layer: &mut Layer<'a>) -> Option<()> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] ")?;
    let mut rest = rest;
    let mut next = || {
        let (field, behind) = first_field(rest)?;
        rest = behind;
        Some(field)
    };
    let (method, path) = request_line(next()?);
    let mut set = |name, text| set(layer, name, Slot::Borrowed(text), "");
    set(START_TIME, time);
    set(METHOD, method);
    set(PATH, path);
    set(RESPONSE_CODE, next().filter(|code| whole_number(code).is_some() || *code == "-")?);
    set(RESPONSE_FLAGS, next()?);
    set(CODE_DETAILS, next()?);
    let _connection_termination_details = next()?;
    let _upstream_transport_failure_reason = next()?;
    let _bytes_received = next()?;
    let _bytes_sent = next()?;
    set(DURATION, next()?);
    let _upstream_service_time = next()?;

    let mut last = || {
        let (before, field) = last_field(rest)?;
        rest = before;
        Some(field)
    };
    set(ROUTE_NAME, last()?);
    set(SERVER_NAME, last()?);
    let _downstream_remote_address = last()?;
    let _downstream_local_address = last()?;
    let _upstream_local_address = last()?;
    set(UPSTREAM_CLUSTER, last()?);
    set(UPSTREAM_HOST, last()?);
    set(AUTHORITY, last()?);
    set(REQUEST_ID, last()?);
    let (forwarded_for, agent) = first_field(rest)?;
    set(FORWARDED_FOR, forwarded_for);
    set(USER_AGENT, agent.trim_matches('"'));
    Some(())
}

/// The first field, quoted or not, and what stands behind it.
fn first_field(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix('"').map_or_else(|| text.split_once(' '), |inner| inner.split_once("\" "))
}

/// What stands before the last field, and it, quoted or not.
fn last_field(text: &str) -> Option<(&str, &str)> {
    text.strip_suffix('"').map_or_else(|| text.rsplit_once(' '), |inner| inner.rsplit_once(" \""))
}

/// The host that the mesh means, from `outbound|9080|v1|HOST` or `outbound_.9080_.v1_.HOST`; none in a cluster that names no host.
fn mesh_host<'t>(cluster: &'t str, server_name: &'t str) -> Option<&'t str> {
    let of_cluster = cluster.splitn(4, '|').nth(3);
    let of_name = || server_name.strip_prefix("outbound_.").and_then(|rest| rest.splitn(3, "_.").nth(2));
    of_cluster.filter(|host| !host.is_empty()).map_or_else(of_name, Some).filter(|host| !host.is_empty())
}

/// Name and namespace of a host: `X.NS.svc.…` is X in NS; any other is a name alone.
fn service_of(host: &str) -> (&str, &str) {
    match host.split_once('.').map(|(name, rest)| (name, rest.split_once('.'))) {
        Some((name, Some((namespace, rest)))) if rest == "svc" || rest.starts_with("svc.") => (name, namespace),
        _ => (host, ""),
    }
}

/// Turns a line's fields into an event.
fn request(log: &mut AccessLog, entry: &Entry<'_>, layer: &Layer<'_>, items: &mut dyn Items) -> Result<(), Refusal> {
    let AccessLog { preset, times, operation, kept, id, .. } = log;
    let layers = [layer];
    let view = View { layers: &layers, kept };
    preset.pass(&view, entry.input)?;
    let method = view.text(&[METHOD]);
    if method.is_empty() {
        return Err(Skip::OtherSignal.into());
    }
    let cluster = view.text(&[UPSTREAM_CLUSTER]);
    let inbound = cluster.starts_with("inbound|");
    match preset.source.direction {
        Direction::Inbound if !inbound => return Err(Skip::Direction.into()),
        Direction::Outbound if inbound => return Err(Skip::Direction.into()),
        _ => {}
    }

    let time = times.parse_text(view.text(&[START_TIME]))?;
    let (service, namespace) = match preset.default_service() {
        "" => match mesh_host(cluster, view.text(&[SERVER_NAME])) {
            Some(host) => service_of(host),
            None if preset.source.authority => service_of(view.text(&[AUTHORITY]).split(':').next().unwrap_or_default()),
            None => ("", ""),
        },
        service => (service, ""),
    };
    if service.is_empty() {
        return Err(Reason::ServiceMissing.into());
    }
    let duration = view.first_of(&[DURATION]).map(|(_, text)| duration_ns(text, Unit::Millis)).transpose()?;
    let http = view.first_of(&[RESPONSE_CODE]).map(|(_, text)| whole_number(text).ok_or(Reason::StatusInvalid)).transpose()?;
    let grpc = view.first_of(&[GRPC_STATUS]).map(|(_, text)| Grpc::parse(text).ok_or(Reason::StatusInvalid)).transpose()?;
    match (preset.source.route, view.text(&[ROUTE_NAME])) {
        (Route::RouteName, route) if !route.is_empty() => crate::operation::with_route(operation, method, route),
        _ => write_operation(operation, preset.source.operation, method, view.text(&[PATH])),
    }
    let end: &[u8] = if inbound { b"inbound" } else { b"outbound" };
    let request_id = view.first_of(&[REQUEST_ID]).map(|(_, id)| id.as_bytes());
    let found = Found {
        raw: entry.raw,
        time,
        duration,
        service,
        namespace,
        operation,
        status: Status { http, grpc, envoy_flag: view.first_of(&[RESPONSE_FLAGS]).map(|(_, flags)| flags), ..Status::default() },
        host: view.text(&[UPSTREAM_HOST]),
        threshold: 0,
        trace: None,
        id: &[request_id, Some(end)],
    };
    preset.finish(entry.at, &found, &view, entry.input, id, items)
}

/// Rules may say `status` here as elsewhere.
fn alias(name: &str) -> &'static [&'static str] {
    if name == "status" { &["response_code"] } else { &[] }
}

#[cfg(test)]
mod tests;
