//! How many requests one client may have under way, and how many long questions may be answered at once.
//!
//! A client is an address: behind a proxy all are one. Counts are of what is under way, not of what was asked before, so whoever waits for
//! answers is never refused. Questions that read much wait for each other, so that they never take more than a few processors' worth from
//! the pipeline; who would wait too long is asked to come again.

use crate::problem::Problem;
use crate::serve::Peer;
use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How much clients may have under way. The defaults suit one machine.
#[derive(Clone, Copy, Debug)]
pub struct CrowdLimits {
    /// Pages and plain requests of one client.
    pub pages: usize,
    /// Questions of one client that read much: ranges, heat maps, timelines, exemplars.
    pub queries: usize,
    /// Questions of all clients that are answered at once; others wait.
    pub queries_at_once: usize,
    /// Streams of one client.
    pub streams: usize,
    /// Streams of all clients.
    pub all_streams: usize,
    /// How long a question waits for its turn.
    pub turn: Duration,
    /// How often a stream looks for changes.
    pub look: Duration,
}

impl Default for CrowdLimits {
    fn default() -> Self {
        let (turn, look) = (Duration::from_secs(3), Duration::from_secs(1));
        Self { pages: 64, queries: 16, queries_at_once: 4, streams: 16, all_streams: 256, turn, look }
    }
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Page,
    Query,
    Stream,
}

type Counts = BTreeMap<(Kind, IpAddr), usize>;

/// What is under way.
pub(crate) struct Crowd {
    limits: CrowdLimits,
    counts: Arc<Mutex<Counts>>,
    turns: Semaphore,
}

/// One request under way, until this is dropped.
pub(crate) struct Place {
    counts: Arc<Mutex<Counts>>,
    key: (Kind, IpAddr),
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let left = counts.get(&self.key).map_or(0, |count| count - 1);
        // Only who has something under way is remembered.
        if left == 0 {
            counts.remove(&self.key)
        } else {
            counts.insert(self.key, left)
        };
    }
}

impl Crowd {
    pub(crate) fn new(limits: CrowdLimits) -> Self {
        Self { limits, counts: Arc::default(), turns: Semaphore::new(limits.queries_at_once) }
    }

    /// A place among the requests of a client.
    pub(crate) fn place(&self, kind: Kind, peer: Option<&Peer>) -> Result<Place, Problem> {
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
        let (most, what) = match kind {
            Kind::Page => (self.limits.pages, "requests"),
            Kind::Query => (self.limits.queries, "questions about time"),
            Kind::Stream => (self.limits.streams, "streams"),
        };
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = counts.iter().filter(|((of, _), _)| *of == Kind::Stream).map(|(_, count)| count).sum();
        let full = kind == Kind::Stream && all >= self.limits.all_streams;
        let count = counts.entry((kind, address)).or_default();
        if full || *count >= most {
            let count = *count;
            counts.retain(|_, count| *count > 0);
            let detail = if full {
                format!("{all} streams are open, which is all there may be: ask again")
            } else {
                format!("this client has {count} {what} under way, which is all it may have: wait for their answers")
            };
            let (status, seconds) = if full { (StatusCode::SERVICE_UNAVAILABLE, 10) } else { (StatusCode::TOO_MANY_REQUESTS, 1) };
            return Err(Problem::new(status, "too many", detail).with_retry_after(seconds));
        }
        *count += 1;
        drop(counts);
        Ok(Place { counts: Arc::clone(&self.counts), key: (kind, address) })
    }
}

/// Lets a request in, or says to come again.
pub(crate) async fn enter(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_query = ["/range", "/heatmap", "/timeline", "/exemplars"].iter().any(|end| path.ends_with(end));
    // Streams, and answers that wait for windows, last long and are counted apart.
    if path.ends_with("/stream") || path.ends_with("/value") {
        return next.run(request).await;
    }
    let crowd = &state.inner().crowd;
    let _place = match crowd.place(if is_query { Kind::Query } else { Kind::Page }, request.extensions().get()) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    if !is_query {
        return next.run(request).await;
    }
    let Ok(Ok(_turn)) = timeout(crowd.limits.turn, crowd.turns.acquire()).await else {
        let detail = "other questions about time are being answered, for some seconds already: ask again, or for shorter ranges";
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with_retry_after(2).into_response();
    };
    next.run(request).await
}
