//! Pages and the description of the API.

use super::app::app;
use axum::http::StatusCode;
use serde_json::Value;

const PATHS: [&str; 6] = ["/", "/api/docs", "/assets/services.js", "/assets/docs.js", "/assets/style.css", "/api/openapi.json"];

#[tokio::test]
async fn every_answer_forbids_what_a_browser_need_not_do() {
    let app = app();
    for path in PATHS.into_iter().chain(["/api/v1/services", "/nowhere", "/api/v1/events", "/metrics"]) {
        let answer = app.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe") && answer.header("x-content-type-options") == "nosniff", "{path}");
    }
}

#[tokio::test]
async fn pages_hold_nothing_inline_and_load_nothing_from_elsewhere() {
    let app = app();
    for path in PATHS {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let text = String::from_utf8(answer.body).unwrap();
        for bad in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "onclick", "onload", "<style"] {
            assert!(!text.contains(bad), "{path} has {bad}");
        }
        if path.ends_with(".js") || answer.headers["content-type"].to_str().unwrap().starts_with("text/html") {
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http://") && !foreign.contains("https://") && !foreign.contains("src=\"//"), "{path}");
            assert!(text.matches("<script").count() == text.matches("<script src=\"/assets/").count(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_description_names_every_route_and_is_the_copy_that_lies_here() {
    let app = app();
    let text = String::from_utf8(app.get("/api/openapi.json").await.body).unwrap();
    let description: Value = serde_json::from_str(&text).unwrap();
    let routes =
        include_str!("../lib.rs").lines().filter_map(|l| l.trim().strip_prefix(".route(\"")?.split_once("\", ")).collect::<Vec<_>>();
    assert_eq!(routes.len(), description["paths"].as_object().unwrap().len());
    for (path, method) in routes {
        assert!(description["paths"][path][method.split('(').next().unwrap()].is_object(), "{path}");
    }
    // The copy makes a change of the API visible in review. To accept one, save what `/api/openapi.json` gives over the file.
    assert!(text == include_str!("../openapi.json"), "the API is not the one in pipeline/http/src/openapi.json; it now is:\n{text}");
}
