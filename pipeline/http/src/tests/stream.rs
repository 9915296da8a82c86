//! The stream of events: what it tells first, what it tells later, and to whom it tells what was missed.

use super::app::{App, MINUTE, Setup, WINDOW, published};
use crate::{CrowdLimits, Limits};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt as _;

/// Streams look often, so that a test need not wait.
fn quick(crowd: CrowdLimits) -> App {
    let crowd = CrowdLimits { look: Duration::from_millis(5), ..crowd };
    App::new(Setup { limits: Limits { crowd, ..Limits::default() }, ..Setup::default() })
}

/// Events of a stream, read one by one.
struct Reader {
    body: Body,
    held: String,
}

/// Name, id and data of an event.
type Event = (String, String, Value);

impl Reader {
    async fn of(app: &App, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!((response.status(), response.headers()["content-type"].to_str().unwrap()), (StatusCode::OK, "text/event-stream"));
        Self { body: response.into_body(), held: String::new() }
    }

    async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.held.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
                let said = (field("event: "), field("id: "), serde_json::from_str(&field("data: ")).unwrap());
                self.held = rest.to_owned();
                return said;
            }
            let frame = self.body.frame().await.unwrap().unwrap();
            self.held.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

fn names(event: &Event) -> Vec<&str> {
    event.2["services"].as_array().unwrap().iter().map(|service| service["service"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_first_event_tells_everything_and_later_ones_what_changed() {
    let app = quick(CrowdLimits::default());
    app.publish(&[published("cart", WINDOW, 5), published("<b>\nshop", WINDOW, 6)], false);
    let mut reader = Reader::of(&app, "/api/v1/stream?services=1", None).await;
    let first = reader.next().await;
    assert_eq!(
        (first.0.as_str(), names(&first), &first.2["total"], &first.2["full"]),
        ("services", vec!["<b>\nshop", "cart"], &json!(2), &json!(true))
    );
    let listed = app.get("/api/v1/services").await.json();
    assert_eq!(first.2["services"], listed["services"]);
    app.publish(&[published("cart", WINDOW + MINUTE, 7)], false);
    let second = reader.next().await;
    assert_eq!((names(&second), &second.2["total"], &second.2["full"]), (vec!["cart"], &json!(2), &json!(false)));
    assert_eq!(second.2["services"][0]["requests"], 7);
    assert_eq!(reader.next().await.0, "ping", "nothing else happens");
}

#[tokio::test]
async fn who_comes_back_is_told_what_was_missed() {
    let app = quick(CrowdLimits::default());
    app.publish(&[published("cart", WINDOW, 5), published("shop", WINDOW, 6)], false);
    let (_, id, _) = Reader::of(&app, "/api/v1/stream?services=1", None).await.next().await;
    let nothing = Reader::of(&app, "/api/v1/stream?services=1", Some(&id)).await.next().await;
    assert_eq!(nothing.0, "ping", "nothing was missed");
    app.publish(&[published("shop", WINDOW + MINUTE, 7)], false);
    for (path, last) in [("/api/v1/stream", Some(id.as_str())), (&*format!("/api/v1/stream?last_event_id={id}"), None)] {
        let missed = Reader::of(&app, path, last).await.next().await;
        assert_eq!((names(&missed), &missed.2["full"]), (vec!["shop"], &json!(false)));
    }
    // An id of another process, one from the future, and nonsense.
    let (begun, _) = id.split_once('-').unwrap();
    for other in ["1-1", &format!("{begun}-99"), "é", "-", ""] {
        let all = Reader::of(&app, "/api/v1/stream?services=1&status=0", Some(other)).await.next().await;
        assert_eq!((names(&all).len(), &all.2["full"]), (2, &json!(true)), "{other:?}");
    }
}

#[tokio::test]
async fn one_service_and_the_status_can_be_asked_for() {
    let app = quick(CrowdLimits::default());
    app.publish(&[published("cart", WINDOW, 5), published("shop", WINDOW, 6)], false);
    let one = Reader::of(&app, "/api/v1/stream?services=1&service=shop", None).await.next().await;
    assert_eq!((names(&one), &one.2["total"]), (vec!["shop"], &json!(1)));
    let mut status = Reader::of(&app, "/api/v1/stream?status=1", None).await;
    let said = status.next().await;
    assert_eq!((said.0.as_str(), &said.2["version"]), ("status", &json!("1.2.3")));
    assert_eq!(status.next().await.0, "ping", "a status that stays the same is told once");
    for query in ["services=yes", "serivces=1"] {
        assert_eq!(app.get(&format!("/api/v1/stream?{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn streams_are_limited_and_a_reader_that_goes_gives_its_place_back() {
    let crowd = CrowdLimits { streams: 2, ..CrowdLimits::default() };
    let app = quick(crowd);
    let readers = [Reader::of(&app, "/api/v1/stream", None).await, Reader::of(&app, "/api/v1/stream", None).await];
    let refused = app.get("/api/v1/stream").await;
    assert_eq!((refused.status, refused.header("retry-after")), (StatusCode::TOO_MANY_REQUESTS, "1"));
    drop(readers);
    Reader::of(&app, "/api/v1/stream", None).await;
    let crowd = CrowdLimits { all_streams: 0, ..CrowdLimits::default() };
    let app = quick(crowd);
    assert_eq!(app.get("/api/v1/stream").await.status, StatusCode::SERVICE_UNAVAILABLE);
}
