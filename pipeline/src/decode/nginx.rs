//! Access logs of nginx: ingress-nginx's default line, the `combined` line of nginx and Apache, and JSON lines.
//!
//! Fields go by nginx's own names, so that tags, filters and rules can name them in all three. The time of nginx is the end of a request,
//! Apache's the start (`Source::placing`). `upstream_response_time` may be `-` or a list, and is never a duration.

use crate::decode::access_log::{AccessLog, Entry};
use crate::decode::fields::{Found, Layer, Refusal, Slot, View, own_names};
use crate::decode::line::{Head, referrer_and_agent, request_line, set, write_operation};
use crate::decode::timestamp::{Unit, duration_ns};
use crate::decode::{Decoder, Input, Items, Reason, Wanted};
use crate::outcome::{Status, whole_number};
use crate::source::Source;

own_names! {
    MSEC = 0 "msec",
    TIME_ISO8601 = 1 "time_iso8601",
    TIMESTAMP = 2 "@timestamp",
    TIME_LOCAL = 3 "time_local",
    REQUEST_TIME = 4 "request_time",
    UPSTREAM_NAME = 5 "proxy_upstream_name",
    METHOD = 6 "request_method",
    REQUEST_URI = 7 "request_uri",
    URI = 8 "uri",
    REQUEST = 9 "request",
    STATUS = 10 "status",
    HOST = 11 "host",
    HTTP_HOST = 12 "http_host",
    REQUEST_ID = 13 "request_id",
    REQ_ID = 14 "req_id",
    REMOTE_ADDR = 15 "remote_addr",
    REMOTE_USER = 16 "remote_user",
    BODY_BYTES = 17 "body_bytes_sent",
    REFERRER = 18 "http_referer",
    AGENT = 19 "http_user_agent",
    REQUEST_LENGTH = 20 "request_length",
}

/// Reads nginx's JSON lines.
pub struct NginxJson(AccessLog);

/// Reads ingress-nginx's default line.
pub struct NginxIngress(AccessLog);

/// Reads the `combined` line of nginx and Apache.
pub struct Combined(AccessLog);

fn log(source: &Source, wanted: &Wanted) -> AccessLog {
    AccessLog::new(OWN, |_| &[], request, source, wanted)
}

impl NginxJson {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self(log(source, wanted))
    }
}

impl NginxIngress {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self(log(source, wanted))
    }
}

impl Combined {
    /// Reads records of this source.
    #[must_use]
    pub fn new(source: &Source, wanted: &Wanted) -> Self {
        Self(log(source, wanted))
    }
}

impl Decoder for NginxJson {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.0.decode_objects(input, items);
    }
}

impl Decoder for NginxIngress {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.0.decode_lines(input, items, read_ingress);
    }
}

impl Decoder for Combined {
    fn decode(&mut self, input: &Input<'_>, items: &mut dyn Items) {
        self.0.decode_lines(input, items, read_combined);
    }
}

fn set_head<'a>(head: &Head<'a>, layer: &mut Layer<'a>) {
    let (method, uri) = request_line(head.request);
    for (name, text) in [
        (TIME_LOCAL, head.time),
        (METHOD, method),
        (REQUEST_URI, uri),
        (STATUS, head.status),
        (REMOTE_ADDR, head.address),
        (REMOTE_USER, head.user),
        (BODY_BYTES, head.bytes),
        (REQUEST, head.request),
    ] {
        set(layer, name, Slot::Borrowed(text), "");
    }
}

fn set_callers<'a>(texts: Option<(&'a str, &'a str)>, layer: &mut Layer<'a>) {
    if let Some((referrer, agent)) = texts {
        set(layer, REFERRER, Slot::Borrowed(referrer), "");
        set(layer, AGENT, Slot::Borrowed(agent), "");
    }
}

/// `head "referrer" "agent"`, and whatever a server was told to add.
fn read_combined<'a>(line: &'a str, layer: &mut Layer<'a>) -> Option<()> {
    let (head, rest) = Head::read(line)?;
    // Servers cut long lines: what the callers' texts at the end would have been changes nothing about the request.
    if !rest.is_empty() && !rest.starts_with('"') {
        return None;
    }
    set_callers(referrer_and_agent(rest).map(|(referrer, agent, _)| (referrer, agent)), layer);
    set_head(&head, layer);
    Some(())
}

/// `head length time [upstream] [alternative] address… lengths… times… statuses… id`, where the four before the id may be lists.
fn read_ingress<'a>(line: &'a str, layer: &mut Layer<'a>) -> Option<()> {
    let (head, rest) = Head::read(line)?;
    let (referrer, agent, rest) = referrer_and_agent(rest)?;
    let (length, rest) = rest.strip_prefix(' ')?.split_once(' ')?;
    let (time, rest) = rest.split_once(' ')?;
    let (upstream, rest) = rest.strip_prefix('[')?.split_once("] [")?;
    let (_, rest) = rest.split_once("] ")?;
    let (lists, id) = rest.rsplit_once(' ')?;
    if lists.split(' ').count() < 4 {
        return None;
    }
    set_head(&head, layer);
    set_callers(Some((referrer, agent)), layer);
    for (name, text) in [(REQUEST_LENGTH, length), (REQUEST_TIME, time), (UPSTREAM_NAME, upstream), (REQ_ID, id)] {
        set(layer, name, Slot::Borrowed(text), "");
    }
    Some(())
}

/// Turns a line's fields into an event.
fn request(log: &mut AccessLog, entry: &Entry<'_>, layer: &Layer<'_>, items: &mut dyn Items) -> Result<(), Refusal> {
    let AccessLog { preset, times, operation, kept, id, .. } = log;
    let layers = [layer];
    let view = View { layers: &layers, kept };
    preset.pass(&view, entry.input)?;

    let time = times.parse_text(view.text(&[MSEC, TIME_ISO8601, TIMESTAMP, TIME_LOCAL]))?;
    let service = match preset.default_service() {
        "" => view.text(&[UPSTREAM_NAME]),
        service => service,
    };
    if service.is_empty() {
        return Err(Reason::ServiceMissing.into());
    }
    let duration = view.first_of(&[REQUEST_TIME]).map(|(_, text)| duration_ns(text, Unit::Seconds)).transpose()?;
    let status = view.first_of(&[STATUS]).map(|(_, text)| whole_number(text).ok_or(Reason::StatusInvalid)).transpose()?;
    let (method, path) = match view.text(&[METHOD]) {
        "" => request_line(view.text(&[REQUEST])),
        method => (method, view.text(&[REQUEST_URI, URI])),
    };
    write_operation(operation, preset.source.operation, method, path);
    let request_id = view.first_of(&[REQUEST_ID, REQ_ID]).map(|(_, id)| id.as_bytes());
    let found = Found {
        raw: entry.raw,
        time,
        duration,
        service,
        namespace: "",
        operation,
        status: Status { http: status, ..Status::default() },
        host: view.text(&[HOST, HTTP_HOST]),
        threshold: 0,
        trace: None,
        id: &[request_id],
    };
    preset.finish(entry.at, &found, &view, entry.input, id, items)
}

#[cfg(test)]
mod tests;
