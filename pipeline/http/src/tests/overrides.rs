//! Backtests, explanations and trials, as the API gives them.

use super::app::{App, MINUTE, Published, WINDOW, app, published};
use axum::http::StatusCode;
use golden_overrides::archive::{Files, sha256};
use golden_pipeline::overrides::activation::Activation;
use golden_pipeline::overrides::record::Activate;
use golden_pipeline::overrides::rules::Rules;
use platform_core::record::Offset;
use platform_core::time::EventTime;
use serde_json::{Value, json};

const BACKTEST: &str = "/api/v1/overrides/backtest";
/// Impaired with any error; 100 requests of which 2 fail are critical by default.
const FILE: &str = "owner: shop\nhealth: 'errorCount > 0 ? 2 : 0'\n";

/// Three windows of cart.
fn cart() -> Vec<Published> {
    (0..3).map(|n| Published { level: 3, ..published("cart", WINDOW + n * MINUTE, 100) }).collect()
}

/// Puts a file in force, as version 4 by mina.
pub(super) fn activate(app: &App, content: &str) {
    let said = json!({"version": 4, "bundle": "b", "live": "", "from_window": 0, "lead": 0, "published_by": "mina", "commit": "c0ffee"});
    let said = Activate::decode(said.to_string().as_bytes()).unwrap();
    let files = Files::from([("shop/cart.yaml".to_owned(), content.as_bytes().to_vec())]);
    let activation = Activation::compile(Offset(0), EventTime::MIN, said, files, Files::new()).unwrap();
    app.board.refresh(&Rules::fixed([activation])).unwrap();
}

async fn order(app: &App, order: Value) -> Value {
    let answer = app.post_json(BACKTEST, order.to_string()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

#[tokio::test]
async fn a_backtest_judges_published_windows_by_files_that_are_sent() {
    let app = app();
    app.publish(&cart(), false);
    let found = order(&app, json!({"files": {"shop/cart.yaml": FILE}, "levels": true})).await;
    let report = &found["reports"][0];
    assert_eq!((&report["service"], &report["windows"], &report["changed"]), (&json!("cart"), &json!(3), &json!(3)));
    assert_eq!((&report["old"]["minutes"]["critical"], &report["new"]["minutes"]["impaired"]), (&json!(3.0), &json!(3.0)));
    assert_eq!(report["levels"][0], json!({"start": "2022-08-22T03:52:00Z", "old": 3, "new": 2}));
    assert_eq!(report["published"], json!({"compared": 3, "differing": 0}));
    // What is in force, other files, a part of the time, and a service without windows.
    activate(&app, FILE);
    let against = |against: Value| json!({"files": {"shop/cart.yaml": FILE, "shop/till.yaml": FILE}, "against": against, "window": "2m"});
    let current = order(&app, against(json!("current"))).await;
    assert_eq!((&current["reports"][0]["changed"], &current["reports"][0]["windows"]), (&json!(0), &json!(2)));
    assert_eq!(current["reports"][1]["windows"], 0);
    assert_eq!(order(&app, against(json!("default"))).await["reports"][0]["changed"], 2);
    let files = json!({"files": {"a/cart.yaml": "owner: a\nhealth: '1'\n"}});
    assert_eq!(order(&app, against(files)).await["reports"][0]["old"]["minutes"]["degraded"], 2.0);
}

#[tokio::test]
async fn orders_that_cannot_be_followed_are_refused_with_what_is_wrong() {
    let app = app();
    app.publish(&cart(), false);
    let bad = "owner: shop\nhealth: 'availabilty > 99 ? 0 : 3'\n";
    let refused = app.post_json(BACKTEST, json!({"files": {"shop/cart.yaml": bad}}).to_string()).await;
    let body = refused.json();
    assert_eq!((refused.status, &body["diagnostics"][0]["file"]), (StatusCode::BAD_REQUEST, &json!("shop/cart.yaml")));
    assert_eq!(body["diagnostics"][0]["help"], "did you mean `availability`?");
    let ordered = |more: Value| {
        let mut order = json!({"files": {"shop/cart.yaml": FILE}});
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order.to_string()
    };
    for (body, status) in [
        ("{}".to_owned(), 400),
        (ordered(json!({"agains": "default"})), 400),
        (ordered(json!({"window": "soon"})), 400),
        (ordered(json!({"from": "noon"})), 400),
        (ordered(json!({"from": "2022-08-22T04:00:00Z", "to": "2022-08-22T03:00:00Z"})), 400),
        (ordered(json!({"from": "2002-08-22T04:00:00Z"})), 422),
        (format!("{}{}", ordered(json!({})), " ".repeat(1 << 20)), 413),
    ] {
        assert_eq!(app.post_json(BACKTEST, body.clone()).await.status.as_u16(), status, "{}", &body[..body.len().min(200)]);
    }
}

#[tokio::test]
async fn a_backtest_of_too_much_is_refused_with_what_to_narrow() {
    let app = app();
    app.publish(&cart(), false);
    let order = |window: &str| json!({"files": {"shop/cart.yaml": FILE}, "window": window}).to_string();
    let refused = app.post_json(BACKTEST, order("10000d")).await;
    assert_eq!((refused.status, refused.header("content-type")), (StatusCode::UNPROCESSABLE_ENTITY, "application/problem+json"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("take fewer services or a shorter time"), "{}", refused.json());
    assert_eq!(app.post_json(BACKTEST, order("1d")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn each_version_of_a_file_says_which_lines_it_changed() {
    let app = app();
    let version = |number: u64, content: &str| {
        let said = json!({"version": number, "bundle": "b", "live": "", "from_window": 0, "lead": 0, "published_by": "mina", "commit": ""});
        let said = Activate::decode(said.to_string().as_bytes()).unwrap();
        let of = |path: &str, content: &str| Files::from([(path.to_owned(), content.as_bytes().to_vec())]);
        let live = if content.is_empty() { Files::new() } else { of("shop/cart.yaml", content) };
        let tried = of("shop/cart.yaml", "owner: shop\nhealth: '2'\n");
        Activation::compile(Offset(0), EventTime::MIN, said, live, tried).unwrap()
    };
    let versions = [
        version(1, "owner: shop\nhealth: '0'\n"),
        version(2, "owner: shop\n# <why>\nhealth: '1'\n"),
        version(3, "owner: shop\n# <why>\nhealth: '1'\n"),
        version(4, ""),
        version(5, "owner: shop\nhealth: '1'\n"),
    ];
    app.board.refresh(&Rules::fixed(versions)).unwrap();
    let body = app.get("/api/v1/overrides/cart").await.json();
    let lines = |file: &Value| -> Vec<String> {
        let line = |of: &Value| format!("{} {}", of["change"].as_str().unwrap(), of["text"].as_str().unwrap());
        file["diff"].as_array().unwrap().iter().map(line).collect()
    };
    let files: Vec<_> = body["files"].as_array().unwrap().iter().map(|file| (file["version"].as_u64().unwrap(), lines(file))).collect();
    let expected = [
        (1, &["added owner: shop", "added health: '0'"][..]),
        (2, &["kept owner: shop", "removed health: '0'", "added # <why>", "added health: '1'"]),
        (4, &["removed owner: shop", "removed # <why>", "removed health: '1'"]),
        (5, &["added owner: shop", "added health: '1'"]),
    ];
    assert_eq!(
        files.iter().map(|(version, lines)| (*version, lines.clone())).collect::<Vec<_>>(),
        expected.map(|(version, lines)| (version, lines.iter().map(|line| (*line).to_owned()).collect()))
    );
    assert_eq!(lines(&body["shadow"]), ["kept owner: shop", "removed health: '1'", "added health: '2'"], "against what is in force");
}

#[tokio::test]
async fn a_level_is_explained_by_the_file_the_branch_and_what_weighed_most() {
    let app = app();
    let operation = |name: &str, requests| {
        let operation = Some(name.to_owned());
        Published { operation, ..published("cart", WINDOW, requests) }
    };
    app.publish(&[cart(), (0..7).map(|n| operation(&format!("o{n}"), 10 + n)).collect()].concat(), false);
    let path = "/api/v1/services/cart/explain";
    let told = app.get(&format!("{path}?at=2022-08-22T03:52:30Z")).await.json();
    assert_eq!((&told["window_start"], &told["health"]["level"]), (&json!("2022-08-22T03:52:00Z"), &json!(3)));
    assert_eq!((&told["rule"]["default"], &told["agrees"], &told["explanation"]["result"]), (&json!(true), &json!(true), &json!(3.0)));
    let most = told["contributors"]["service_operation"].as_array().unwrap();
    assert_eq!((most.len(), &most[0]["dimensions"], &most[0]["share_of_requests"]), (5, &json!({"operation": "o6"}), &json!(0.16)));

    activate(&app, FILE);
    let rule = (4, sha256(FILE.as_bytes()));
    app.publish(&[Published { level: 2, rule, ..published("cart", WINDOW + 3 * MINUTE, 100) }], false);
    let told = app.get(path).await.json();
    let rule = &told["rule"];
    assert_eq!((&rule["path"], &rule["line"], &rule["published_by"]), (&json!("shop/cart.yaml"), &json!(2), &json!("mina")));
    let step = &told["explanation"]["comparisons"][0];
    assert_eq!((&step["left"], &step["distance"], &step["at"]["text"]), (&json!(2.0), &json!(2.0), &json!("errorCount > 0")));
    assert_eq!((&told["explanation"]["branches"][0]["taken"]["text"], &told["agrees"]), (&json!("2"), &json!(true)));

    for (path, status) in [
        (format!("{path}?at=2022-08-22T01:00:00Z"), 404),
        ("/api/v1/services/till/explain".to_owned(), 404),
        (format!("{path}?at=noon"), 400),
        (format!("{path}?time=1"), 400),
    ] {
        assert_eq!(app.get(&path).await.status.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_in_memory_any_more_is_named_and_not_shown() {
    let app = app();
    app.publish(&[Published { rule: (2, "ab".to_owned()), ..published("cart", WINDOW, 100) }], false);
    let told = app.get("/api/v1/services/cart/explain").await.json();
    assert_eq!((&told["rule"]["sha256"], &told["rule"]["expression"]), (&json!("ab"), &json!("")));
    assert_eq!((&told["explanation"], &told["agrees"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_trial_is_told_by_how_it_agrees_with_what_counts() {
    let app = app();
    app.publish(&cart(), false);
    assert_eq!(app.get("/api/v1/overrides/cart/shadow").await.status, StatusCode::NOT_FOUND);
    let tried = |n: i64, shadow| {
        let rule = (5, "cd".to_owned());
        Published { shadow: Some(shadow), level: 3, rule, ..published("cart", WINDOW + n * MINUTE, 100) }
    };
    app.publish(&[tried(0, 3), tried(1, 0), tried(2, 3)], false);
    let trial = app.get("/api/v1/overrides/cart/shadow").await.json();
    let expected = json!({
        "sha256": "cd", "version": 5, "since": "2022-08-22T03:52:00Z", "last": "2022-08-22T03:54:00Z", "windows": 3, "agreeing": 2,
        "differing": [{"start": "2022-08-22T03:53:00Z", "old": 3, "new": 0}],
    });
    assert_eq!(trial, expected);
    let later = app.get("/api/v1/overrides/cart/shadow?from=2022-08-22T03:54:00Z").await.json();
    assert_eq!((&later["windows"], &later["agreeing"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn service_levels_are_exact_and_follow_a_changed_objective_at_once() {
    let app = app();
    app.publish(&cart(), false);
    let none = app.get("/api/v1/services/cart/slo").await.json();
    assert_eq!((&none["slos"], &none["team"]), (&json!([]), &json!("")));
    activate(&app, "owner: shop\ncriticality: high\nobjectives: {availability: 99%}\n");
    let found = app.get("/api/v1/services/cart/slo").await.json();
    assert_eq!((&found["team"], &found["criticality"], &found["at"]), (&json!("shop"), &json!("high"), &json!("2022-08-22T03:55:00Z")));
    let slo = &found["slos"][0];
    assert_eq!((&slo["slo"], &slo["objective_ratio"], &slo["threshold_seconds"]), (&json!("availability"), &json!(0.99), &json!(null)));
    assert_eq!((&slo["requests"], &slo["bad"], &slo["allowed"]), (&json!(300), &json!(6), &json!(3.0)));
    assert_eq!((&slo["budget_remaining_ratio"], &slo["period"]), (&json!(-1.0), &json!("30d")));
    assert_eq!((&slo["from"], &slo["known_from"]), (&json!("2022-07-23T03:00:00Z"), &json!("2022-08-22T03:00:00Z")));
    let rates: Vec<&str> = slo["burn_rates"].as_array().unwrap().iter().map(|rate| rate["window"].as_str().unwrap()).collect();
    assert_eq!(rates, ["5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"]);
    assert_eq!((&slo["burn_rates"][0]["requests"], &slo["burn_rates"][0]["burn_rate"]), (&json!(300), &json!(2.0)));
    let app = super::app::app();
    app.publish(&cart(), false);
    activate(
        &app,
        "owner: shop\nobjectives: {availability: 96%, latency: {threshold: 10s, share: 99%}, min_requests: 301, period: month}\n",
    );
    let found = app.get("/api/v1/services/cart/slo").await.json();
    let slo = &found["slos"][0];
    assert_eq!((&slo["budget_remaining_ratio"], &slo["burn_rates"][0]["burn_rate"]), (&json!(null), &json!(null)), "too few requests");
    assert_eq!((&slo["from"], &slo["allowed"]), (&json!("2022-08-01T00:00:00Z"), &json!(12.0)));
    assert_eq!(
        (&found["slos"][1]["slo"], &found["slos"][1]["threshold_seconds"], &found["slos"][1]["bad"]),
        (&json!("latency"), &json!(10.0), &json!(0))
    );
    assert_eq!(app.get("/api/v1/services/till/slo").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_fleet_is_sorted_by_what_is_left_of_budgets() {
    let app = app();
    assert_eq!(app.get("/api/v1/slo").await.json(), json!({"at": null, "slos": [], "total": 0}));
    app.publish(&cart(), false);
    activate(&app, "owner: shop\nobjectives: {availability: 99%, latency: {threshold: 10s, share: 99%}}\n");
    let fleet = app.get("/api/v1/slo").await.json();
    let shown: Vec<_> = fleet["slos"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slo| (slo["slo"].as_str().unwrap(), slo["budget_remaining_ratio"].as_f64().unwrap()))
        .collect();
    assert_eq!((shown, &fleet["total"]), (vec![("availability", -1.0), ("latency", 1.0)], &json!(2)));
    assert_eq!(app.get("/api/v1/slo?limit=1").await.json()["slos"].as_array().unwrap().len(), 1);
}
