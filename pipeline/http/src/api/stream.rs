//! `GET /api/v1/stream`: what changes, as it changes, as server-sent events.
//!
//! An event's id says up to which change of the fleet its reader has seen everything. Who comes back with it gets what changed since, and
//! everything where that is not known: after a restart of this process, or when a service is gone. Each event is made when the connection
//! can take it, so a slow reader skips what was overtaken and nothing piles up.

use super::params::Params;
use crate::crowd::{Kind, Place};
use crate::problem::Problem;
use crate::serve::Peer;
use crate::state::AppState;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::State;
use axum::http::{Extensions, HeaderMap, Uri, header};
use axum::response::{IntoResponse as _, Response};
use hyper::body::Frame;
use serde::Serialize;
use serde_json::value::RawValue;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;

/// Looks, of a second each, between two events of status.
const STATUS: u32 = 5;
/// Looks between two pings.
const PING: u32 = 15;

/// Data of an event `services`.
#[derive(Serialize, ToSchema)]
pub(crate) struct ServicesEvent<'a> {
    /// Services that changed, as `GET /api/v1/services` gives them.
    #[schema(value_type = Vec<Object>)]
    services: Vec<&'a RawValue>,
    /// How many there are.
    total: usize,
    /// These are all: whatever else is known is gone.
    full: bool,
}

/// Tells what changes, as it changes.
///
/// Events: `services` (changed ones; all of them in the first), `status` (as `GET /api/v1/status`), `router` (as `GET /api/v1/router`, where
/// there is one), `ping` each 15 s. With `Last-Event-ID` what changed since is told at once.
#[utoipa::path(
    get, path = "/api/v1/stream", tag = "signals",
    params(
        ("services" = Option<String>, Query, description = "`1`: events of services; both kinds unless one is named"),
        ("status" = Option<String>, Query, description = "`1`: events of status and router"),
        ("service" = Option<String>, Query, description = "Only the service of this name"),
        ("last_event_id" = Option<String>, Query, description = "As the header `Last-Event-ID`, for those who cannot set it"),
    ),
    responses(
        (status = 200, body = ServicesEvent<'_>, content_type = "text/event-stream"),
        (status = 400, body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem, content_type = "application/problem+json"),
        (status = 503, body = Problem, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn stream(
    State(state): State<AppState>,
    headers: HeaderMap,
    extensions: Extensions,
    uri: Uri,
) -> Result<Response, Problem> {
    let params = Params::of(&uri, &["services", "status", "service", "last_event_id"])?;
    let on = |name: &str| match params.text(name) {
        None => Ok(None),
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        Some(_) => Err(Problem::bad_request(format!("{name} is 1 or 0"))),
    };
    let (services, status) = (on("services")?, on("status")?);
    let neither = services.is_none() && status.is_none();
    let peer: Option<&Peer> = extensions.get();
    let place = state.inner().crowd.place(Kind::Stream, peer)?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or_else(|| params.text("last_event_id"));
    let begun = state.inner().begun;
    let known = last.and_then(|id| id.split_once('-')).filter(|(of, _)| *of == format!("{begun:x}")).and_then(|(_, at)| at.parse().ok());
    let mut ticks = interval(state.inner().parts.limits.crowd.look);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream = Stream {
        services: services.unwrap_or(neither),
        status: status.unwrap_or(neither),
        service: params.text("service").map(str::to_owned),
        known,
        said: [Arc::default(), Arc::default()],
        looks: 0,
        ticks,
        peer: peer.cloned(),
        state,
        _place: place,
    };
    let body = Body::new(Events(Some(Box::pin(stream.next()))));
    Ok(([(header::CONTENT_TYPE, "text/event-stream"), (header::HeaderName::from_static("x-accel-buffering"), "no")], body).into_response())
}

/// One reader.
struct Stream {
    services: bool,
    status: bool,
    service: Option<String>,
    /// Up to which change of the fleet it has seen everything.
    known: Option<u64>,
    /// The last status and router that it was told.
    said: [Arc<String>; 2],
    looks: u32,
    ticks: Interval,
    peer: Option<Peer>,
    state: AppState,
    _place: Place,
}

impl Stream {
    /// Waits until there is something to tell; `None` at the end of this process.
    async fn next(mut self) -> Option<(Bytes, Self)> {
        loop {
            match self.peer.as_mut().map(|peer| &mut peer.closing) {
                Some(closing) => {
                    tokio::select! {
                        _ = closing.wait_for(|closing| *closing) => return None,
                        _ = self.ticks.tick() => {}
                    }
                }
                None => drop(self.ticks.tick().await),
            }
            let (state, mut own) = (self.state.clone(), self);
            // A defect in there is logged by the runtime, and the connection ends.
            let (text, back) = super::blocking(state, move |_| {
                let text = own.look();
                Ok((text, own))
            })
            .await
            .ok()?;
            self = back;
            if !text.is_empty() {
                return Some((text.into(), self));
            }
        }
    }

    fn look(&mut self) -> String {
        let mut text = String::new();
        // What cannot be read just now was logged, and is told once it can be.
        if self.services && self.tell_services(&mut text).is_err() {
            text.clear();
        }
        if self.status && self.looks.is_multiple_of(STATUS) {
            self.tell_status(&mut text);
        }
        if self.looks > 0 && self.looks.is_multiple_of(PING) {
            put(&mut text, "ping", None, "{}");
        }
        self.looks = self.looks.wrapping_add(1);
        text
    }

    fn tell_services(&mut self, text: &mut String) -> Result<(), Problem> {
        let inner = self.state.inner();
        let seen = inner.fleet.seen(&self.state)?;
        let known = self.known.filter(|known| (seen.whole_since..=seen.changed).contains(known));
        if known == Some(seen.changed) {
            return Ok(());
        }
        let is_wanted = |name: &str| self.service.as_ref().is_none_or(|wanted| wanted == name);
        let all = || seen.entries.iter().filter(|entry| is_wanted(&entry.now.key.service));
        let changed = all().filter(|entry| known.is_none_or(|known| entry.changed > known));
        let data = ServicesEvent { services: changed.map(|entry| &*entry.json).collect(), total: all().count(), full: known.is_none() };
        if data.full || !data.services.is_empty() {
            let id = format!("{:x}-{}", inner.begun, seen.changed);
            put(text, "services", Some(&id), &serde_json::to_string(&data)?);
        }
        self.known = Some(seen.changed);
        Ok(())
    }

    fn tell_status(&mut self, text: &mut String) {
        let all = [("status", self.state.status()), ("router", self.state.router())];
        for ((name, now), said) in all.into_iter().zip(&mut self.said) {
            if !now.is_empty() && now != *said {
                put(text, name, None, &now);
                *said = now;
            }
        }
    }
}

/// Appends an event. JSON has no line breaks outside of texts, where they are escaped.
fn put(text: &mut String, name: &str, id: Option<&str>, data: &str) {
    let _ = writeln!(text, "event: {name}");
    if let Some(id) = id {
        let _ = writeln!(text, "id: {id}");
    }
    let _ = write!(text, "data: {data}\n\n");
}

type Next = Pin<Box<dyn Future<Output = Option<(Bytes, Stream)>> + Send>>;

/// A body that is made piece by piece; nothing is left of it once its reader is gone.
struct Events(Option<Next>);

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(next) = self.0.as_mut() else { return Poll::Ready(None) };
        let told = ready!(next.as_mut().poll(context));
        self.0 = None;
        let Some((bytes, stream)) = told else { return Poll::Ready(None) };
        self.0 = Some(Box::pin(stream.next()));
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}
