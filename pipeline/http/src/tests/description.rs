//! Every route of the description: what it answers when it is asked wrongly, or for too much.

use super::app::{Answer, App, Setup, app};
use crate::{CrowdLimits, Limits, lobby};
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Path, method and description of every operation.
async fn operations() -> Vec<(String, Method, Value)> {
    let described = app().get("/api/openapi.json").await.json();
    let mut all = vec![];
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let path = path.replace("{service}", "cart").replace("{id}", "1");
            all.push((path, method.to_uppercase().parse().unwrap(), operation.clone()));
        }
    }
    assert!(all.len() > 30);
    all
}

fn request(method: &Method, path: &str, body: &'static str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    request.body(Body::from(body)).unwrap()
}

fn assert_problem(answer: &Answer, status: StatusCode, of: &str) {
    assert_eq!((answer.status, answer.header("content-type")), (status, "application/problem+json"), "{of}");
    let problem = answer.json();
    assert_eq!((&problem["type"], &problem["status"]), (&json!("about:blank"), &json!(status.as_u16())), "{of}");
    for name in ["title", "detail"] {
        assert!(problem[name].as_str().is_some_and(|text| !text.is_empty()), "{of}: {problem}");
    }
}

#[tokio::test]
async fn every_route_answers_a_wrong_method_a_wrong_parameter_and_a_wrong_body_with_a_problem() {
    let app = app();
    for (path, method, operation) in operations().await {
        assert_problem(&app.send(request(&Method::DELETE, &path, "")).await, StatusCode::METHOD_NOT_ALLOWED, &path);
        // Answers of OTLP are Protobuf or JSON of its own; probes and scrapes are answered whatever was asked.
        if path.starts_with("/v1/") || !path.starts_with("/api/") {
            continue;
        }
        let (query, body) = if method == Method::GET { ("?nonsense=1", "") } else { ("", "{") };
        let answer = app.send(request(&method, &format!("{path}{query}"), body)).await;
        // Remote write takes Protobuf alone.
        let status = if path == "/api/v1/write" { StatusCode::UNSUPPORTED_MEDIA_TYPE } else { StatusCode::BAD_REQUEST };
        assert_problem(&answer, status, &format!("{method} {path}"));
        assert!(operation["responses"][status.as_str()].is_object(), "{method} {path} may answer {status}, and says so");
    }
    for path in ["/nowhere", "/api/v1/nothing", "/api/v1/services/cart/nothing"] {
        assert_problem(&app.get(path).await, StatusCode::NOT_FOUND, path);
    }
}

#[tokio::test]
async fn every_route_that_refuses_who_has_too_much_under_way_says_so() {
    let none = CrowdLimits { pages: 0, queries: 0, waits: 0, streams: 0, ..CrowdLimits::default() };
    let busy = CrowdLimits { queries_at_once: 0, logs_at_once: 0, turn: std::time::Duration::ZERO, ..CrowdLimits::default() };
    let with = |crowd| App::new(Setup { limits: Limits { crowd, held: 0, ..Limits::default() }, ..Setup::default() });
    let (none, busy) = (with(none), with(busy));
    for (path, method, operation) in operations().await {
        let says = |status: StatusCode| operation["responses"][status.as_str()]["content"]["application/problem+json"].is_object();
        let ingest = operation["tags"][0] == "ingest";
        if !ingest && path.starts_with("/api/") {
            assert_problem(&none.send(request(&method, &path, "")).await, StatusCode::TOO_MANY_REQUESTS, &path);
        }
        assert_eq!(operation["responses"]["429"].is_object(), ingest || path.starts_with("/api/"), "{method} {path}");
        if path.starts_with("/api/") && !ingest {
            assert!(says(StatusCode::TOO_MANY_REQUESTS), "{method} {path}");
            // A stream waits for no turn, and its answer has no end.
            if path != "/api/v1/stream" && busy.send(request(&method, &path, "")).await.json()["title"] == "busy" {
                assert!(says(StatusCode::SERVICE_UNAVAILABLE), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn while_the_log_is_waited_for_programs_get_a_problem_and_probes_a_line() {
    let ask = async |path: &str| {
        let response = lobby(|| "no broker answers".to_owned()).oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        Answer { status: parts.status, headers: parts.headers, body: body.collect().await.unwrap().to_bytes().to_vec() }
    };
    for path in ["/api/v1/services", "/api/v1/events", "/v1/traces", "/api/v1/nothing"] {
        let answer = ask(path).await;
        assert_problem(&answer, StatusCode::SERVICE_UNAVAILABLE, path);
        assert_eq!((answer.header("retry-after"), &answer.json()["retry_after"]), ("5", &json!(5)));
        assert!(answer.json()["detail"].as_str().unwrap().contains("no broker answers"));
    }
    for path in ["/-/ready", "/"] {
        let answer = ask(path).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::SERVICE_UNAVAILABLE, &b"not ready: no broker answers\n"[..]), "{path}");
    }
    assert_eq!(ask("/-/healthy").await.status, StatusCode::OK);
}
