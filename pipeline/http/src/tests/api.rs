//! What was published, as the API gives it.

use super::app::{App, MINUTE, Published, Setup, WINDOW, app, published};
use axum::http::StatusCode;
use base64::Engine as _;
use golden_pipeline::names;
use golden_pipeline::settings::PipelineSettings;
use platform_core::log::Log;
use platform_core::record::{NewRecord, Partition};
use serde_json::{Value, json};

#[tokio::test]
async fn services_are_listed_with_their_newest_window() {
    let app = app();
    assert_eq!(app.get("/api/v1/services").await.json(), json!({"services": [], "total": 0}));
    let mut cart = published("cart", WINDOW, 210);
    cart.level = 3;
    app.publish(&[published("cart", WINDOW - MINUTE, 100), cart, published("<b>&\"shop", WINDOW, 7)], false);
    let body = app.get("/api/v1/services").await.json();
    assert_eq!(body["total"], 2);
    assert_eq!(body["services"][0]["service"], "<b>&\"shop");
    let cart = &body["services"][1];
    let expected = json!({
        "namespace": "", "service": "cart", "window_start": "2022-08-22T03:52:00Z", "window_end": "2022-08-22T03:53:00Z", "revision": 0,
        "requests": 210, "requests_per_second": 3.5, "errors": 2, "availability_ratio": 0.99, "p50_ms": 5.215, "p95_ms": 8.0, "p99_ms": 78.335,
        "saturation_ratio": null, "saturated_resource": null, "health": {"level": 3, "state": "critical", "reason": "rule", "previous": 0}, "completeness": 1.0, "stale": false,
        "team": "", "criticality": "", "swimlanes": [], "regions": [],
        "recent": {
            "starts": [1_661_140_260, 1_661_140_320], "requests": [100, 210], "errors": [2, 2], "p99_ms": [78.335, 78.335], "levels": [0, 3],
        },
    });
    assert_eq!(*cart, expected);
    assert_eq!(app.get("/api/v1/services?limit=1").await.json()["services"].as_array().unwrap().len(), 1);
    assert_eq!(app.get("/api/v1/services?namespace=shop").await.json()["total"], 0);
}

#[tokio::test]
async fn services_are_found_by_the_places_in_which_they_were_seen() {
    let mut settings = PipelineSettings::default();
    settings.groupings.insert("service_place".to_owned(), ["region", "swimlane"].map(str::to_owned).to_vec());
    let app = App::new(Setup { settings, ..Setup::default() });
    let at = |service: &str, start, region: &str, swimlane: &str| {
        let own = Some(("service_place".to_owned(), vec![region.to_owned(), swimlane.to_owned()]));
        Published { own, ..published(service, start, 9) }
    };
    app.publish(
        &[
            published("cart", WINDOW - MINUTE, 18),
            at("cart", WINDOW - MINUTE, "us", "ec2"),
            published("cart", WINDOW, 18),
            at("cart", WINDOW, "eu", "k8s"),
            // Where it was before its newest two windows says nothing of now.
            published("mail", WINDOW - 2 * MINUTE, 9),
            at("mail", WINDOW - 2 * MINUTE, "us", "k8s"),
            published("mail", WINDOW, 9),
            at("mail", WINDOW, "eu", "ec2"),
        ],
        false,
    );
    let all = app.get("/api/v1/services").await.json();
    let of = |number: usize| (all["services"][number]["regions"].clone(), all["services"][number]["swimlanes"].clone());
    assert_eq!(of(0), (json!(["eu", "us"]), json!(["ec2", "k8s"])), "{all:#}");
    assert_eq!(of(1), (json!(["eu"]), json!(["ec2"])), "{all:#}");
    for (query, wanted) in [
        ("region=eu", vec!["cart", "mail"]),
        ("region=us", vec!["cart"]),
        ("swimlane=ec2", vec!["cart", "mail"]),
        ("swimlane=k8s", vec!["cart"]),
        ("swimlane=k8s&region=us", vec!["cart"]),
        ("swimlane=k8s&q=MAIL", vec![]),
        ("region=ap", vec![]),
        ("swimlane=K8S", vec![]),
    ] {
        let found = app.get(&format!("/api/v1/services?{query}")).await.json();
        let names: Vec<&str> = found["services"].as_array().unwrap().iter().map(|one| one["service"].as_str().unwrap()).collect();
        assert_eq!((names, found["total"].as_u64().unwrap()), (wanted.clone(), wanted.len() as u64), "{query}");
    }
}

#[tokio::test]
async fn health_is_unknown_once_nothing_was_published_for_a_while() {
    for (late_by, stale) in [(3 * MINUTE, false), (3 * MINUTE + 1, true)] {
        let app = App::new(Setup { late_by, ..Setup::default() });
        app.publish(&[published("cart", WINDOW, 1)], false);
        let health = app.get("/api/v1/services/cart/health").await.json();
        assert_eq!(health["stale"], stale);
        assert_eq!(health["published"]["state"], "healthy");
        let now =
            if stale { json!({"level": null, "state": "unknown", "reason": "stale", "previous": 0}) } else { health["published"].clone() };
        assert_eq!(health["health"], now);
        assert_eq!(app.get("/api/v1/services").await.json()["services"][0]["health"], now);
    }
}

#[tokio::test]
async fn signals_are_the_public_records_as_they_are() {
    let app = app();
    let records = [published("yelp/api proxy", WINDOW, 1), published("yelp/api proxy", WINDOW + MINUTE, 2)];
    app.publish(&records, false);
    let path = "/api/v1/services/yelp%2Fapi%20proxy/signals";
    let answer = app.get(path).await;
    let text = String::from_utf8(answer.body.clone()).unwrap();
    assert!(text.contains(&format!("[{},{}]", records[0].json(), records[1].json())), "{text}");
    let body = answer.json();
    assert_eq!((&body["from"], &body["to"]), (&json!("2022-08-22T02:54:00Z"), &json!("2022-08-22T03:54:00Z")));
    for range in ["from=2022-08-22T03:53:00Z&to=1661140440", "from=1661140380", "from=2022-08-22T05:53:00+02:00"] {
        let some = app.get(&format!("{path}?{range}")).await.json();
        assert_eq!(some["records"], json!([serde_json::from_str::<Value>(&records[1].json()).unwrap()]), "{range}");
    }
    let first = app.get(&format!("{path}?limit=1&grouping=service")).await.json();
    assert_eq!((first["records"].as_array().unwrap().len(), &first["next_from"]), (1, &json!("2022-08-22T03:53:00Z")));
}

#[tokio::test]
async fn a_misspelt_service_or_parameter_gets_a_suggestion() {
    let app = app();
    app.publish(&[published("frontend", WINDOW, 1), published("cart", WINDOW, 1)], false);
    let answer = app.get("/api/v1/services/fronted/health").await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::NOT_FOUND, "application/problem+json"));
    assert_eq!(answer.json()["suggestions"], json!(["frontend"]));
    let answer = app.get("/api/v1/services/cart/signals?form=1").await;
    assert_eq!((answer.status, &answer.json()["suggestions"][0]), (StatusCode::BAD_REQUEST, &json!("from")));
    assert!(answer.json()["detail"].as_str().unwrap().contains("grouping"));
}

#[tokio::test]
async fn requests_that_make_no_sense_are_refused() {
    let app = app();
    app.publish(&[published("cart", WINDOW, 1)], false);
    for path in [
        "/api/v1/services?limit=0",
        "/api/v1/services?limit=x",
        "/api/v1/services?limit=1&limit=2",
        "/api/v1/status?x=1",
        "/api/v1/services/cart/signals?from=yesterday",
        "/api/v1/services/cart/signals?from=2000000000&to=1000000000",
        "/api/v1/services/%ff/health",
        "/api/v1/dead-letters?payload=yes",
    ] {
        let answer = app.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (StatusCode::BAD_REQUEST, "application/problem+json"), "{path}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    assert_eq!(app.get("/nowhere").await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.get("/api/v1/events").await.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn a_name_in_several_namespaces_needs_one() {
    let app = app();
    let mut other = published("cart", WINDOW, 9);
    other.namespace = "shop".into();
    app.publish(&[published("cart", WINDOW, 1), other], false);
    let answer = app.get("/api/v1/services/cart/health").await;
    assert_eq!((answer.status, &answer.json()["suggestions"]), (StatusCode::BAD_REQUEST, &json!(["", "shop"])));
    assert_eq!(app.get("/api/v1/services/cart/health?namespace=shop").await.json()["requests"], 9);
    assert_eq!(app.get("/api/v1/services/cart/health?namespace=").await.json()["requests"], 1);
    assert_eq!(app.get("/api/v1/services/cart/health?namespace=x").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn late_lines_are_given_by_service_and_time() {
    let app = app();
    app.publish(&[published("a", WINDOW, 1), published("b", WINDOW + MINUTE, 2)], true);
    let counts = |body: Value| -> Vec<u64> { body["lines"].as_array().unwrap().iter().map(|l| l["events"].as_u64().unwrap()).collect() };
    assert_eq!(counts(app.get("/api/v1/late").await.json()), [1, 2]);
    assert_eq!(counts(app.get("/api/v1/late?service=b").await.json()), [2]);
    assert_eq!(counts(app.get("/api/v1/late?to=1661140380").await.json()), [1]);
}

#[tokio::test]
async fn late_lines_of_one_name_are_told_apart_by_namespace() {
    let app = app();
    let shop = Published { namespace: "shop".into(), ..published("a", WINDOW, 2) };
    app.publish(&[published("a", WINDOW, 1), shop], true);
    let counts = |body: Value| -> u64 { body["lines"].as_array().unwrap().iter().map(|l| l["events"].as_u64().unwrap()).sum() };
    for (path, expected) in [("service=a", 3), ("service=a&namespace=shop", 2), ("service=a&namespace=", 1), ("service=a&namespace=x", 0)] {
        assert_eq!(counts(app.get(&format!("/api/v1/late?{path}")).await.json()), expected, "{path}");
    }
    assert_eq!(app.get("/api/v1/late?namespace=shop").await.status, StatusCode::BAD_REQUEST, "a namespace alone says nothing of a service");
}

#[tokio::test]
async fn dead_letters_come_newest_first_each_coordinate_once() {
    let app = app();
    let producer = app.log.producer().unwrap();
    let append = |partition: u32, key: &str, item: u64| {
        let value =
            json!({"schema": names::SCHEMA_DEAD_LETTER, "reason": "time_missing", "item": item, "payload_base64": "AAAA"}).to_string();
        let headers = [(names::SCHEMA, names::SCHEMA_DEAD_LETTER.as_bytes())];
        let record = NewRecord { key: Some(key.as_bytes()), headers: &headers, value: Some(value.as_bytes()) };
        producer.append(&Partition::new(&app.topics.dead_letters, partition), &[record]).unwrap();
    };
    assert_eq!(app.get("/api/v1/dead-letters").await.json(), json!({"dead_letters": [], "searched": 0, "without_bytes": 0, "more": false}));
    for i in 0..50 {
        append(i % 3, &format!("service-events/0/{i:03}/0"), u64::from(i));
        append(i % 3, &format!("service-events/0/{i:03}/0"), u64::from(i));
    }
    let all = app.get("/api/v1/dead-letters").await.json();
    let items: Vec<u64> = all["dead_letters"].as_array().unwrap().iter().map(|l| l["item"].as_u64().unwrap()).collect();
    assert_eq!(items, (0..50).rev().collect::<Vec<_>>(), "the test clock stands, so keys decide");
    assert!(all["dead_letters"][0].get("payload_base64").is_none());
    let few = app.get("/api/v1/dead-letters?limit=2&payload=true").await.json();
    assert_eq!((few["dead_letters"].as_array().unwrap().len(), &few["dead_letters"][0]["payload_base64"]), (2, &json!("AAAA")));
    assert_eq!(few["more"], true);
}

#[tokio::test]
async fn dead_letters_of_a_service_are_those_whose_bytes_name_it_however_far_back() {
    let app = app();
    let producer = app.log.producer().unwrap();
    // In one partition, so that the one of `pay` is far behind the newest.
    let append = |item: u32, payload: Option<&str>| {
        let mut value = json!({"schema": names::SCHEMA_DEAD_LETTER, "reason": "time_missing", "item": item});
        if let Some(payload) = payload {
            value["payload_base64"] = base64::engine::general_purpose::STANDARD.encode(payload).into();
        }
        let (key, value) = (format!("service-events/0/{item:05}/0"), value.to_string());
        let headers = [(names::SCHEMA, names::SCHEMA_DEAD_LETTER.as_bytes())];
        let record = NewRecord { key: Some(key.as_bytes()), headers: &headers, value: Some(value.as_bytes()) };
        producer.append(&Partition::new(&app.topics.dead_letters, 0), &[record]).unwrap();
    };
    append(0, Some(r#"{"service":"pay"}"#));
    append(1, Some(r#"{"service":"pay","cut o"#));
    append(2, None);
    for item in 3..500 {
        append(item, Some(r#"{"service":"payment","operation":"GET /pay"}"#));
    }
    let of = async |query: &str| app.get(&format!("/api/v1/dead-letters?{query}")).await.json();
    let found = |body: &Value| -> Vec<(u64, String)> {
        let letters = body["dead_letters"].as_array().unwrap().iter();
        letters.map(|l| (l["item"].as_u64().unwrap(), l["named_by"].as_str().unwrap().to_owned())).collect()
    };
    let pay = of("service=pay&limit=10").await;
    assert_eq!(found(&pay), [(1, "word".to_owned()), (0, "text".to_owned())]);
    assert_eq!((&pay["searched"], &pay["without_bytes"], &pay["more"]), (&json!(500), &json!(1), &json!(false)));
    assert!(pay["dead_letters"][0].get("payload_base64").is_none(), "bytes are given only when asked for");
    assert!(of("service=pay&limit=10&payload=true").await["dead_letters"][0]["payload_base64"].is_string());
    let payment = of("service=payment&limit=10").await;
    assert_eq!((found(&payment).len(), &payment["more"]), (10, &json!(true)));
    assert_eq!(found(&of("service=nobody&limit=10").await), []);
}

#[tokio::test]
async fn probes_metrics_and_status_speak_for_the_pipeline() {
    let app = app();
    assert_eq!(app.get("/-/healthy").await.status, StatusCode::OK);
    assert_eq!(app.get("/-/ready").await.status, StatusCode::OK);
    *app.vitals.0.lock().unwrap() = Err("restoring close 3".into());
    let answer = app.get("/-/ready").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::SERVICE_UNAVAILABLE, &b"not ready: restoring close 3\n"[..]));
    assert_eq!(app.get("/api/v1/status").await.json()["version"], "1.2.3");
    let metrics = app.get("/metrics").await;
    assert!(
        metrics.header("content-type").starts_with("text/plain; version=0.0.4") && metrics.body.starts_with(b"golden_signals_build_info")
    );
}

#[tokio::test]
async fn one_number_is_there_for_those_who_read_one() {
    let app = app();
    app.publish(&[published("cart", WINDOW, 7), published("cart", WINDOW + MINUTE, 8)], false);
    let path = "/api/v1/services/cart/value";
    for (signal, value) in [("requests", 8.0), ("availability", 0.99), ("errors_ratio", 0.01), ("p99", 78.335), ("completeness", 1.0)] {
        let answer = app.get(&format!("{path}?signal={signal}")).await.json();
        assert_eq!((&answer["value"], &answer["window_end"]), (&json!(value), &json!("2022-08-22T03:54:00Z")), "{signal}");
    }
    assert_eq!(app.get(&format!("{path}?signal=saturation")).await.json()["value"], Value::Null, "no resource is known");
    assert_eq!(app.get(&format!("{path}?signal=saturation&default=0")).await.json()["value"], 0.0);
    app.publish(&[Published { saturation: Some(0.7), ..published("full", WINDOW, 7) }], false);
    assert_eq!(app.get("/api/v1/services/full/value?signal=saturation").await.json()["value"], 0.7);
    let full = app.get("/api/v1/services?q=full").await.json();
    assert_eq!((&full["services"][0]["saturation_ratio"], &full["services"][0]["saturated_resource"]), (&json!(0.7), &json!("cpu")));
    let earlier = app.get(&format!("{path}?signal=requests&after=2022-08-22T03:51:30Z")).await.json();
    assert_eq!((&earlier["value"], &earlier["window_start"]), (&json!(7.0), &json!("2022-08-22T03:52:00Z")));
    let both = app.get(&format!("{path}?signal=requests&after=2022-08-22T03:52:00Z&wait_for_windows=2")).await.json();
    assert_eq!(both["value"], 8.0);
    for (query, status) in [
        ("", StatusCode::BAD_REQUEST),
        ("signal=avail", StatusCode::BAD_REQUEST),
        ("signal=requests&wait_for_windows=61", StatusCode::BAD_REQUEST),
        ("signal=requests&dimensions=operation", StatusCode::BAD_REQUEST),
        ("signal=requests&dimensions=operation:a", StatusCode::NOT_FOUND),
        ("signal=requests&grouping=other", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(app.get(&format!("{path}?{query}")).await.status, status, "{query}");
    }
}

#[tokio::test]
async fn one_series_of_a_grouping_is_chosen_by_its_dimensions() {
    let app = app();
    let of = |operation: &str, requests| super::app::Published { operation: Some(operation.into()), ..published("cart", WINDOW, requests) };
    app.publish(&[published("cart", WINDOW, 12), of("GET /a", 5), of("GET /b", 7)], false);
    let path = "/api/v1/services/cart/value?signal=requests&grouping=service_operation";
    assert_eq!(app.get(&format!("{path}&dimensions=operation:GET%20%2Fb")).await.json()["value"], 7.0);
    assert_eq!(app.get(path).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_answer_waits_for_windows_and_is_no_answer_without_them() {
    let app = app();
    app.publish(&[published("cart", WINDOW, 7)], false);
    let path = "/api/v1/services/cart/value?signal=requests&after=2022-08-22T03:53:00Z&wait_for_windows=2";
    let late = app.get(&format!("{path}&wait=0")).await;
    assert_eq!((late.status, late.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "5"));
    let further = async {
        tokio::task::yield_now().await;
        app.publish(&[published("cart", WINDOW + MINUTE, 8)], false);
        tokio::task::yield_now().await;
        app.publish(&[published("cart", WINDOW + 2 * MINUTE, 9)], false);
    };
    let asked = format!("{path}&wait=60");
    let (answer, ()) = tokio::join!(app.get(&asked), further);
    assert_eq!((answer.status, &answer.json()["value"]), (StatusCode::OK, &json!(9.0)));
}

#[test]
fn without_a_time_an_answer_waits_for_windows_behind_the_newest() {
    // Which window is the newest is looked up on a thread for what blocks. There is one: who waits for its turn there comes behind that.
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build().unwrap();
    let turn = || async { tokio::task::spawn_blocking(|| ()).await.unwrap() };
    let path = "/api/v1/services/cart/value?signal=requests&wait_for_windows=2";
    for (windows, wait, wanted) in [(1, 1, None), (2, 60, Some(9.0)), (3, 60, Some(9.0))] {
        let answer = runtime.block_on(async {
            let app = app();
            app.publish(&[published("cart", WINDOW - MINUTE, 6), published("cart", WINDOW, 7)], false);
            let further = async {
                for number in 1..=windows {
                    turn().await;
                    app.publish(&[published("cart", WINDOW + number * MINUTE, 7 + number.unsigned_abs())], false);
                }
            };
            let asked = format!("{path}&wait={wait}");
            tokio::join!(app.get(&asked), further).0
        });
        match wanted {
            Some(_) => assert!(answer.status == StatusCode::OK && answer.json()["value"].as_f64() >= wanted, "{windows}"),
            None => assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "one window is not two"),
        }
    }
}

#[tokio::test]
async fn metrics_come_in_the_form_that_is_asked_for_and_packed_where_that_is_welcome() {
    let app = app();
    let ask = |accept: &str, encoding: &str| {
        let request = axum::http::Request::get("/metrics").header("accept", accept).header("accept-encoding", encoding);
        app.send(request.body(axum::body::Body::empty()).unwrap())
    };
    let open = ask("application/openmetrics-text;version=1.0.0", "identity").await;
    assert!(open.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with(b"OpenMetrics\n") && open.header("vary").contains("accept-encoding"));
    let protobuf = ask("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited", "gzip").await;
    assert!(protobuf.header("content-type").contains("encoding=delimited"));
    assert_eq!(protobuf.header("content-encoding"), "gzip");
    let mut page = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&*protobuf.body), &mut page).unwrap();
    assert!(page.ends_with(b"Protobuf\n") && page.len() > 2 * protobuf.body.len());
}
