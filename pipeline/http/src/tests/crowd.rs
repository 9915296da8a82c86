//! How much one client may have under way, and that others do not pay for it.

use super::app::{App, Setup, WINDOW, peer, published};
use crate::crowd::{Kind, Reads};
use crate::state::{RouterDoor, RouterError, RouterRequest};
use crate::{CrowdLimits, Limits};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use tokio::task::{JoinSet, yield_now};
use tower::ServiceExt as _;

const ANNE: [u8; 4] = [10, 0, 0, 1];
const BOB: [u8; 4] = [10, 0, 0, 2];

/// A router that answers once it may; it counts who waits.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
    waiting: Mutex<usize>,
}

impl Gate {
    fn pass(&self) -> Result<Value, RouterError> {
        *self.waiting.lock().unwrap() += 1;
        drop(self.opened.wait_while(self.open.lock().unwrap(), |open| !*open).unwrap());
        *self.waiting.lock().unwrap() -= 1;
        Ok(json!({}))
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    /// Until so many wait. A test that waits for ever fails by the limit of its runner.
    async fn has(&self, count: usize) {
        while *self.waiting.lock().unwrap() != count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl RouterDoor for Gate {
    fn status(&self) -> Result<Value, RouterError> {
        self.pass()
    }
    fn ask(&self, _: &RouterRequest) -> Result<Value, RouterError> {
        self.pass()
    }
    fn receipt(&self, _: &str, _: bool) -> Result<Value, RouterError> {
        self.pass()
    }
    fn diff(&self, _: usize) -> Result<Value, RouterError> {
        self.pass()
    }
    fn log(&self) -> Result<Value, RouterError> {
        self.pass()
    }
}

fn with(crowd: CrowdLimits, gate: &Arc<Gate>) -> App {
    let app = App::new(Setup { limits: Limits { crowd, ..Limits::default() }, router: Some(Arc::clone(gate) as _), ..Setup::default() });
    app.publish(&[published("cart", WINDOW, 3)], false);
    app
}

fn assert_refused(answer: &super::app::Answer, words: &str) {
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.json()["detail"].as_str().unwrap().contains(words), "{}", answer.json());
}

#[tokio::test]
async fn what_one_client_has_under_way_is_not_counted_against_another() {
    // Questions wait here for a turn that never comes, so they stay under way.
    let for_ever = Duration::from_secs(100_000);
    let crowd = CrowdLimits { pages: 2, queries: 2, waits: 2, queries_at_once: 0, turn: for_ever, ..CrowdLimits::default() };
    let wait = "/api/v1/services/cart/value?signal=requests&wait_for_windows=1&wait=300";
    for (path, words) in [
        ("/api/v1/router", "2 requests under way"),
        ("/api/v1/services/cart/range", "2 questions to the history under way"),
        ("/api/v1/router/diff", "2 questions to the log under way"),
        (wait, "2 requests that wait for windows under way"),
    ] {
        let gate = Arc::new(Gate::default());
        let app = with(crowd, &gate);
        let mut under_way = JoinSet::new();
        for _ in 0..2 {
            let app = app.clone();
            under_way.spawn(async move { app.get_as(ANNE, path).await });
        }
        // The places are taken before the first wait of each.
        for _ in 0..100 {
            yield_now().await;
        }
        for _ in 0..3 {
            assert_refused(&app.get_as(ANNE, path).await, words);
        }
        let other = app.clone();
        let mut bobs = JoinSet::new();
        bobs.spawn(async move { other.get_as(BOB, path).await });
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(bobs.try_join_next().is_none(), "{path}: another client is let in");
        gate.open();
        under_way.abort_all();
        bobs.abort_all();
        while under_way.join_next().await.is_some() || bobs.join_next().await.is_some() {}
        gate.has(0).await;
    }
}

#[tokio::test]
async fn places_are_given_back_and_a_limit_counts_only_what_is_under_way() {
    let crowd = CrowdLimits { pages: 1, queries: 1, waits: 1, queries_at_once: 1, logs_at_once: 1, ..CrowdLimits::default() };
    let gate = Arc::new(Gate::default());
    gate.open();
    let app = with(crowd, &gate);
    for path in ["/api/v1/status", "/api/v1/services/cart/range", "/api/v1/router/diff", "/api/v1/services/cart/value?signal=p99"] {
        for _ in 0..5 {
            assert_eq!(app.get_as(ANNE, path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn streams_are_counted_by_client() {
    let app = with(CrowdLimits { streams: 1, ..CrowdLimits::default() }, &Arc::default());
    let open = async |client| {
        let mut request = Request::get("/api/v1/stream?services=1").body(Body::empty()).unwrap();
        request.extensions_mut().insert(peer(client));
        app.router.clone().oneshot(request).await.unwrap()
    };
    let (anne, bob) = (open(ANNE).await, open(BOB).await);
    assert_eq!((anne.status(), bob.status()), (StatusCode::OK, StatusCode::OK));
    assert_refused(&app.get_as(ANNE, "/api/v1/stream").await, "1 streams under way");
    drop(anne);
    assert_eq!(open(ANNE).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn who_hangs_up_has_under_way_what_still_runs() {
    for path in ["/api/v1/router", "/api/v1/router/diff"] {
        let gate = Arc::new(Gate::default());
        let app = with(CrowdLimits { pages: 1, queries: 1, ..CrowdLimits::default() }, &gate);
        let mut asked = JoinSet::new();
        let own = app.clone();
        asked.spawn(async move { own.get_as(ANNE, path).await });
        gate.has(1).await;
        asked.abort_all();
        assert!(asked.join_next().await.unwrap().is_err());
        assert_eq!(app.get_as(ANNE, path).await.status, StatusCode::TOO_MANY_REQUESTS, "{path}");
        gate.open();
        // The thread that does the work gives the place back a moment after its end.
        while app.get_as(ANNE, path).await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn no_more_questions_are_answered_at_once_than_there_are_turns_and_the_history_does_not_wait_for_the_log() {
    let gate = Arc::new(Gate::default());
    let turn = Duration::from_millis(20);
    let app = with(CrowdLimits { logs_at_once: 2, turn, ..CrowdLimits::default() }, &gate);
    let mut asked = JoinSet::new();
    for client in 1..=2 {
        let app = app.clone();
        asked.spawn(async move { app.get_as([10, 0, 0, client], "/api/v1/router/receipts/1?verify=true").await });
    }
    gate.has(2).await;
    for path in ["/api/v1/router/diff", "/api/v1/router/log", "/api/v1/dead-letters"] {
        let late = app.get_as([10, 0, 0, 3], path).await;
        assert_eq!((late.status, late.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "2"), "{path}");
        assert!(late.json()["detail"].as_str().unwrap().contains("a shorter range, a smaller limit"));
    }
    assert_eq!(app.get("/api/v1/services/cart/range").await.status, StatusCode::OK);
    assert_eq!(app.get("/api/v1/status").await.status, StatusCode::OK);
    gate.open();
    for answer in asked.join_all().await {
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(app.get("/api/v1/router/diff").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_names_of_services_do_not_choose_the_limit() {
    let app = with(CrowdLimits { pages: 0, queries: 0, waits: 0, streams: 0, ..CrowdLimits::default() }, &Arc::default());
    for name in ["stream", "value", "range"] {
        assert_refused(&app.get(&format!("/api/v1/overrides/{name}")).await, "requests");
        assert_refused(&app.get(&format!("/api/v1/services/{name}/value?signal=p99")).await, "wait for windows");
    }
    for path in ["/", "/api/v1/services", "/api/v1/status", "/api/openapi.json"] {
        assert_refused(&app.get(path).await, "requests");
    }
    for path in ["/-/healthy", "/-/ready", "/metrics"] {
        assert_eq!(app.get(path).await.status, StatusCode::OK, "{path}: probes and scrapes are not counted");
    }
}

#[test]
fn what_costs_like_a_question_about_time_is_one() {
    for route in ["services/{service}/signals", "services/{service}/explain", "services/{service}/slo", "slo", "late"] {
        assert_eq!(Kind::of(&format!("/api/v1/{route}")), Kind::Query(Reads::History), "{route}");
    }
    for route in ["dead-letters", "router/receipts/{id}", "router/diff", "router/log"] {
        assert_eq!(Kind::of(&format!("/api/v1/{route}")), Kind::Query(Reads::Log), "{route}");
    }
}
