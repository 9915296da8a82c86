//! Pages and the description of the API.

use super::app::app;
use crate::pages::SOURCES;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::io::Read;
use std::path::Path;

const BUILT: [&str; 6] = ["/", "/assets/page.js", "/assets/page.css", "/assets/theme.js", "/assets/icon.svg", "/assets/licences.txt"];
const PATHS: [&str; 4] = ["/api/docs", "/assets/docs.js", "/assets/docs.css", "/api/openapi.json"];

/// Sources of the page.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dashboards/page");

/// Files below a folder of the page, by their path from there.
fn below(path: &str, out: &mut Vec<String>) {
    for entry in std::fs::read_dir(Path::new(PAGE).join(path)).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{path}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            below(&name, out);
        } else {
            out.push(name);
        }
    }
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(Path::new(PAGE).join(path)).unwrap()
}

#[tokio::test]
async fn every_answer_forbids_what_a_browser_need_not_do() {
    let app = app();
    for path in BUILT.into_iter().chain(PATHS).chain(["/api/v1/services", "/nowhere", "/api/v1/events", "/metrics"]) {
        let answer = app.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'"), "{path}");
        assert!(!policy.contains("unsafe") && answer.header("x-content-type-options") == "nosniff", "{path}");
    }
}

/// What makes markup of text, or would have to be inline.
const BAD: [&str; 10] = [
    "innerHTML",
    "outerHTML",
    "insertAdjacentHTML",
    "document.write",
    "eval(",
    "dangerously",
    " style=\"",
    "onclick=\"",
    "onload",
    "<style",
];

fn holds_nothing_bad(name: &str, text: &str) {
    for bad in BAD {
        assert!(!text.contains(bad), "{name} has {bad}");
    }
    let foreign = text.replace("http://www.w3.org/2000/svg", "");
    for elsewhere in ["src=\"http", "href=\"http", "src=\"//", "url(http", "import(\"http"] {
        assert!(!foreign.contains(elsewhere), "{name} has {elsewhere}");
    }
    assert_eq!(
        text.matches("<script").count(),
        text.matches("<script src=\"/").count() + text.matches("<script type=\"module\"").count(),
        "{name}"
    );
}

#[tokio::test]
async fn pages_hold_nothing_inline_and_load_nothing_from_elsewhere() {
    let app = app();
    for path in BUILT.into_iter().chain(PATHS) {
        let answer = app.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        // What is bundled has words of libraries that the page does not use; its own sources are looked at below.
        if path != "/assets/page.js" && path != "/assets/licences.txt" {
            holds_nothing_bad(path, std::str::from_utf8(&answer.body).unwrap());
        }
    }
    let mut sources = Vec::new();
    below("src", &mut sources);
    assert!(sources.len() > 20);
    for path in sources {
        holds_nothing_bad(&path, std::str::from_utf8(&read(&path)).unwrap());
    }
}

#[test]
fn the_page_is_built_from_the_sources_that_lie_beside_it() {
    let mut paths: Vec<String> =
        ["index.html", "package.json", "package-lock.json", "seal.mjs", "tsconfig.json", "vite.config.ts"].map(str::to_owned).into();
    below("public", &mut paths);
    below("src", &mut paths);
    paths.sort();
    let mut hash = Sha256::new();
    for path in &paths {
        let bytes = read(path);
        hash.update(format!("{path} {}\n", bytes.len()));
        hash.update(&bytes);
    }
    let found = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(SOURCES.trim(), found, "dashboards/page/dist is of other sources: run `make page` and commit what it writes");
}

#[tokio::test]
async fn the_page_is_sent_compressed_and_only_once() {
    let app = app();
    for path in BUILT {
        let plain = app.get(path).await;
        let ask = |name: &str, value: &str| Request::get(path).header(name, value).body(Body::empty()).unwrap();
        let packed = app.send(ask("accept-encoding", "br, gzip")).await;
        assert_eq!(packed.header("content-encoding"), "gzip", "{path}");
        let mut unpacked = Vec::new();
        GzDecoder::new(&*packed.body).read_to_end(&mut unpacked).unwrap();
        assert!(unpacked == plain.body && packed.header("vary") == "accept-encoding", "{path}");
        let again = app.send(ask("if-none-match", plain.header("etag"))).await;
        assert!(again.status == StatusCode::NOT_MODIFIED && again.body.is_empty(), "{path}");
        assert_eq!(app.send(ask("if-none-match", "W/\"older\"")).await.status, StatusCode::OK, "{path}");
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
