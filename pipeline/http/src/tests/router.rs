//! Orders pass the door with who and why, and everything else stays outside.

use super::app::{App, Setup, app};
use crate::state::{RouterDoor, RouterError, RouterOrder, RouterRequest};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Door(Mutex<Vec<RouterRequest>>);

impl RouterDoor for Door {
    fn status(&self) -> Result<Value, RouterError> {
        Ok(json!({"live": "blue"}))
    }
    fn ask(&self, request: &RouterRequest) -> Result<Value, RouterError> {
        self.0.lock().unwrap().push(request.clone());
        match &request.order {
            RouterOrder::Flip { to: Some(to), .. } if to == "red" => Err(RouterError::Bad("there is no colour `red`".to_owned())),
            RouterOrder::Rollback { .. } => Err(RouterError::Refused("nothing was flipped yet".to_owned())),
            _ => Ok(json!({"granted": true})),
        }
    }
    fn receipt(&self, id: &str, verify: bool) -> Result<Value, RouterError> {
        if id == "1" { Ok(json!({"verify": verify})) } else { Err(RouterError::Unknown(format!("there is no flip {id}"))) }
    }
    fn diff(&self, windows: usize) -> Result<Value, RouterError> {
        if windows == 7 { Ok(json!({"windows": windows})) } else { Err(RouterError::Away("the log is away".to_owned())) }
    }
    fn log(&self) -> Result<Value, RouterError> {
        Ok(json!({"entries": []}))
    }
}

#[tokio::test]
async fn orders_reach_the_router_with_who_and_why() {
    let door = Arc::new(Door::default());
    let app = App::new(Setup { router: Some(Arc::clone(&door) as _), ..Setup::default() });
    assert_eq!(app.get("/api/v1/router").await.json(), json!({"live": "blue"}));
    let flip = r#"{"by":"mina","reason":"a release","to":"green","dry_run":true}"#;
    assert_eq!(app.post_json("/api/v1/router/flip", flip).await.json(), json!({"granted": true}));
    let order = RouterOrder::Flip { to: Some("green".to_owned()), accept_difference: false };
    let expected = RouterRequest { by: "mina".to_owned(), reason: "a release".to_owned(), dry_run: true, order };
    assert_eq!(*door.0.lock().unwrap(), [expected]);
    assert_eq!(app.post_json("/api/v1/router/hold", r#"{"by":"a","reason":"b","hold":true}"#).await.status, StatusCode::OK);
    assert_eq!(app.get("/api/v1/router/receipts/1?verify=true").await.json(), json!({"verify": true}));
    assert_eq!(app.get("/api/v1/router/log").await.json(), json!({"entries": []}));
    assert_eq!(app.get("/api/v1/router/diff?limit=7").await.json(), json!({"windows": 7}));
}

#[tokio::test]
async fn what_is_refused_says_why() {
    let app = App::new(Setup { router: Some(Arc::new(Door::default()) as _), ..Setup::default() });
    for (path, body, status, detail) in [
        ("flip", r#"{"by":"a","reason":"b","to":"red"}"#, 400, "there is no colour `red`"),
        ("flip", r#"{"by":"","reason":"b"}"#, 400, "say who and why"),
        ("flip", r#"{"by":"a"}"#, 400, "missing field `reason`"),
        ("flip", r#"{"by":"a","reason":"b","too":"green"}"#, 400, "unknown field `too`"),
        ("rollback", r#"{"by":"a","reason":"b"}"#, 409, "nothing was flipped yet"),
    ] {
        let answer = app.post_json(&format!("/api/v1/router/{path}"), body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert!(answer.json()["detail"].as_str().unwrap().contains(detail), "{:?}", answer.json());
    }
    let form = app.post("/api/v1/router/flip", &[("content-type", "text/plain")], r#"{"by":"a","reason":"b"}"#).await;
    assert_eq!(form.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(app.get("/api/v1/router/receipts/9").await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/api/v1/router/diff").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(app.get("/api/v1/router/diff?limit=0").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_process_that_is_no_router_says_so() {
    let answer = app().get("/api/v1/router").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert!(answer.json()["detail"].as_str().unwrap().contains("role `router`"));
}
