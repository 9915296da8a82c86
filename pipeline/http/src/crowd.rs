//! How many requests one client may have under way, and how many long questions may be answered at once.
//!
//! A client is an address: behind a proxy all are one. Counts are of what is under way, not of what was asked before, so whoever waits for
//! answers is never refused. Questions that read much wait for each other, so that they never take more than a few processors' worth from
//! the pipeline; who would wait too long is asked to come again. A request is under way until its work is done, also when nobody waits for
//! its answer any more: who hangs up and asks anew gains nothing.

use crate::problem::Problem;
use crate::serve::Peer;
use crate::state::AppState;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How much clients may have under way. The defaults suit one machine.
#[derive(Clone, Copy, Debug)]
pub struct CrowdLimits {
    /// Pages and plain requests of one client.
    pub pages: usize,
    /// Questions of one client that read much of the history or of the log.
    pub queries: usize,
    /// Requests of one client that may wait for windows.
    pub waits: usize,
    /// Questions to the history, of all clients, that are answered at once; others wait.
    pub queries_at_once: usize,
    /// Questions that read the log, of all clients, that are answered at once; others wait.
    pub logs_at_once: usize,
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
        Self { pages: 64, queries: 16, waits: 64, queries_at_once: 4, logs_at_once: 2, streams: 16, all_streams: 256, turn, look }
    }
}

/// What a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Plain.
    Page,
    /// Reads much.
    Query(Reads),
    /// Waits for windows.
    Wait,
    /// Lasts as long as its reader.
    Stream,
}

/// What a question reads. Reading a log may take seconds where that is Kafka; it must not hold up those who ask the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reads {
    History,
    Log,
}

impl Kind {
    /// The kind of a route, by the path that it was declared with: names of services are free, so they must not matter.
    pub(crate) fn of(route: &str) -> Self {
        match route.strip_prefix("/api/v1/").unwrap_or_default() {
            "stream" => Self::Stream,
            "services/{service}/value" => Self::Wait,
            "services/{service}/range"
            | "services/{service}/heatmap"
            | "services/{service}/timeline"
            | "services/{service}/exemplars"
            | "services/{service}/signals"
            | "services/{service}/explain"
            | "services/{service}/slo"
            | "overrides/{service}/shadow"
            | "slo"
            | "late" => Self::Query(Reads::History),
            "dead-letters" | "router/receipts/{id}" | "router/diff" | "router/log" => Self::Query(Reads::Log),
            _ => Self::Page,
        }
    }
}

type Counts = BTreeMap<(Kind, IpAddr), usize>;

/// What is under way.
pub(crate) struct Crowd {
    limits: CrowdLimits,
    counts: Arc<Mutex<Counts>>,
    history: Arc<Semaphore>,
    log: Arc<Semaphore>,
}

/// One request under way, until this is dropped.
pub(crate) struct Place {
    counts: Arc<Mutex<Counts>>,
    key: (Kind, IpAddr),
    /// Its turn, where it reads much.
    turn: Option<OwnedSemaphorePermit>,
}

tokio::task_local! {
    /// The place of the request that is being answered.
    static PLACE: Arc<Place>;
}

/// The place of the request that is being answered: work that goes on without it takes this along. `None` for what is not counted.
pub(crate) fn place_of_this_request() -> Option<Arc<Place>> {
    PLACE.try_with(Arc::clone).ok()
}

impl Drop for Place {
    fn drop(&mut self) {
        // First the turn: who sees the place free finds the turn free too.
        self.turn = None;
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
        let turns = |at_once| Arc::new(Semaphore::new(at_once));
        Self { limits, counts: Arc::default(), history: turns(limits.queries_at_once), log: turns(limits.logs_at_once) }
    }

    /// A place among the requests of a client.
    pub(crate) fn place(&self, kind: Kind, peer: Option<&Peer>) -> Result<Place, Problem> {
        let address = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.address);
        let (most, what) = match kind {
            Kind::Page => (self.limits.pages, "requests"),
            Kind::Query(Reads::History) => (self.limits.queries, "questions to the history"),
            Kind::Query(Reads::Log) => (self.limits.queries, "questions to the log"),
            Kind::Wait => (self.limits.waits, "requests that wait for windows"),
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
        Ok(Place { counts: Arc::clone(&self.counts), key: (kind, address), turn: None })
    }

    /// Waits for the turn of a question, not for long.
    async fn turn(&self, reads: Reads) -> Result<OwnedSemaphorePermit, Problem> {
        let turns = Arc::clone(if reads == Reads::History { &self.history } else { &self.log });
        let Ok(Ok(turn)) = timeout(self.limits.turn, turns.acquire_owned()).await else {
            let detail =
                "other questions are being answered, for some seconds already: ask again, or for less (a shorter range, a smaller limit)";
            return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).with_retry_after(2));
        };
        Ok(turn)
    }
}

/// Lets a request in, or says to come again.
pub(crate) async fn enter(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let kind = request.extensions().get::<MatchedPath>().map_or(Kind::Page, |route| Kind::of(route.as_str()));
    // A stream's place is that of its body, which outlives the answer's head.
    if kind == Kind::Stream {
        return next.run(request).await;
    }
    let crowd = &state.inner().crowd;
    let mut place = match crowd.place(kind, request.extensions().get()) {
        Ok(place) => place,
        Err(problem) => return problem.into_response(),
    };
    if let Kind::Query(reads) = kind {
        match crowd.turn(reads).await {
            Ok(turn) => place.turn = Some(turn),
            Err(problem) => return problem.into_response(),
        }
    }
    PLACE.scope(Arc::new(place), next.run(request)).await
}
