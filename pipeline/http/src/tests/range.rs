//! Questions about spans of time: ranges, heat maps, timelines, exemplars, and what is kept.

use super::app::{App, MINUTE, Published, Setup, WINDOW, app, published};
use crate::Limits;
use axum::http::StatusCode;
use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::history::Most;
use golden_pipeline::settings::PipelineSettings;
use golden_pipeline::signal::latency::summary_of_all;
use platform_core::codec::Cursor;
use serde_json::{Value, json};

const HOUR: i64 = 60 * MINUTE;

/// So many windows of a service, the last of which starts at `WINDOW`.
fn windows(service: &str, count: i64) -> Vec<Published> {
    let one = |n: i64| Published {
        spread: 100_000 + n as u64 * 7_000,
        ..published(service, WINDOW - (count - 1 - n) * MINUTE, 20 + (n % 5) as u64)
    };
    (0..count).map(one).collect()
}

/// All events of some windows in one aggregate.
fn merged(records: &[Published]) -> Aggregate {
    let mut all = Aggregate::default();
    records.iter().for_each(|record| all.merge_encoded(&mut Cursor::new(&record.aggregate())).unwrap());
    all
}

fn assert_is(point: &Value, records: &[Published]) {
    let all = merged(records);
    let latency = summary_of_all(&all).unwrap();
    let [p50, p75, p90, p95, p99, p999] = latency.quantiles_ms();
    assert_eq!((&point["windows"], &point["requests"]), (&json!(records.len()), &json!(all.counts().requests())));
    assert_eq!(point["errors"], json!(2 * records.len()));
    let expected = json!({
        "count": latency.count, "mean_ms": latency.mean_ms(), "p50_ms": p50, "p75_ms": p75, "p90_ms": p90, "p95_ms": p95, "p99_ms": p99,
        "p99_9_ms": p999, "max_ms": latency.max_ms(),
    });
    assert_eq!(point["latency"], expected);
}

#[tokio::test]
async fn percentiles_of_a_range_are_those_of_all_its_events() {
    let app = app();
    let records = windows("cart", 200);
    app.publish(&records, false);
    let body = app.get("/api/v1/services/cart/range").await.json();
    assert_eq!((&body["from"], &body["to"]), (&json!("2022-08-22T02:53:00Z"), &json!("2022-08-22T03:53:00Z")));
    assert_eq!((&body["step_seconds"], &body["window_seconds"], &body["other_groups"]), (&json!(60), &json!(60), &json!(0)));
    let points = body["groups"][0]["points"].as_array().unwrap();
    assert_eq!(points.len(), 60);
    assert_is(&points[0], &records[140..141]);
    assert_is(&body["groups"][0]["total"], &records[140..]);
    assert_eq!((&points[0]["level"], &points[0]["completeness"]), (&json!(0), &json!(1.0)));
    // All of it, of which most is rolled up; steps begin at multiples of themselves.
    for (step, first) in [(600, 7), (1200, 7), (3600, 27), (900, 12)] {
        let path = format!("/api/v1/services/cart/range?from={}&step={step}", (WINDOW - 199 * MINUTE) / 1_000_000_000);
        let body = app.get(&path).await.json();
        assert_is(&body["groups"][0]["total"], &records);
        assert_is(&body["groups"][0]["points"][0], &records[..first]);
        assert_eq!(body["groups"][0]["points"][0]["start"], "2022-08-22T00:33:00Z");
    }
}

#[tokio::test]
async fn a_range_by_operation_has_a_group_for_each_and_can_ask_for_one() {
    let app = app();
    let names = ["GET /", "<script>alert(1)</script>", "a&b=c\"'%\u{202e}é"];
    let mut all = vec![];
    for (n, name) in names.iter().enumerate() {
        let of = windows("cart", 30).into_iter().skip(n).map(|record| Published { operation: Some((*name).into()), ..record });
        all.extend(of);
    }
    all.extend(windows("cart", 30));
    app.publish(&all, false);
    let path = "/api/v1/services/cart/range?grouping=service_operation";
    let body = app.get(path).await.json();
    let order: Vec<&str> = body["groups"].as_array().unwrap().iter().map(|g| g["dimensions"]["operation"].as_str().unwrap()).collect();
    assert_eq!(order, names, "most requests first");
    let few = app.get(&format!("{path}&limit=1")).await.json();
    assert_eq!((few["groups"].as_array().unwrap().len(), &few["other_groups"]), (1, &json!(2)));
    let one = app.get(&format!("{path}&operation=%3Cscript%3Ealert(1)%3C%2Fscript%3E")).await.json();
    assert_eq!((one["groups"].as_array().unwrap().len(), &one["groups"][0]["dimensions"]["operation"]), (1, &json!(names[1])));
    assert_eq!(app.get(&format!("{path}&operation=none")).await.json()["groups"], json!([]));
}

#[tokio::test]
async fn a_team_s_own_grouping_has_true_percentiles_in_each_of_its_groups_and_is_known_for_its_service_alone() {
    let mut settings = PipelineSettings::default();
    settings.groupings.insert("service_region".into(), vec!["region".into()]);
    let app = App::new(Setup { settings, ..Setup::default() });
    // Dimensions stand in the order of the settings, whatever the team's file says.
    let own = |operation: &str, region: &str| Some(("journeys".to_owned(), vec![operation.to_owned(), region.to_owned()]));
    let of = |operation: &str, region: &str, skip: usize| -> Vec<Published> {
        windows("cart", 90).into_iter().skip(skip).map(|record| Published { own: own(operation, region), ..record }).collect()
    };
    let groups = [of("GET /", "eu", 0), of("GET /", "us", 10), of("POST /", "eu", 30)];
    app.publish(&[groups.concat(), windows("cart", 90), windows("till", 90)].concat(), false);
    let path = format!("range?grouping=journeys&step=600&from={}", (WINDOW - 89 * MINUTE) / 1_000_000_000);
    let unknown = app.get(&format!("/api/v1/services/cart/{path}")).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "nobody has named it yet");
    super::overrides::activate(&app, "owner: shop\ngroupings: {journeys: [region, operation]}\n");

    let body = app.get(&format!("/api/v1/services/cart/{path}")).await.json();
    let found = body["groups"].as_array().unwrap();
    assert_eq!(found.len(), 3, "{body}");
    for (group, (records, names)) in found.iter().zip(groups.iter().zip([("GET /", "eu"), ("GET /", "us"), ("POST /", "eu")])) {
        assert_eq!(group["dimensions"], json!({"operation": names.0, "region": names.1}));
        assert_is(&group["total"], records);
    }
    let one = app.get(&format!("/api/v1/services/cart/{path}&region=us")).await.json();
    assert_eq!(one["groups"].as_array().unwrap().len(), 1);
    assert_is(&one["groups"][0]["total"], &groups[1]);
    for (service, more) in [("till", ""), ("cart", "&svc_host=a")] {
        assert_eq!(app.get(&format!("/api/v1/services/{service}/{path}{more}")).await.status, StatusCode::BAD_REQUEST, "{service}{more}");
    }
    let misspelt = app.get("/api/v1/services/cart/range?grouping=journey").await.json();
    assert_eq!(misspelt["suggestions"][0], "journeys");
}

#[tokio::test]
async fn questions_that_make_no_sense_or_are_too_large_say_what_would_do() {
    let app = app();
    app.publish(&windows("frontend", 3), false);
    let get = async |path: &str| {
        let answer = app.get(&format!("/api/v1/services/{path}")).await;
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        (answer.status, answer.json())
    };
    for route in ["range", "heatmap", "timeline", "exemplars"] {
        let (status, body) = get(&format!("fronted/{route}")).await;
        assert_eq!((status, &body["suggestions"]), (StatusCode::NOT_FOUND, &json!(["frontend"])), "{route}");
        for query in ["from=yesterday", "from=2000000000&to=1000000000", "form=1", "from=1&from=2"] {
            assert_eq!(get(&format!("frontend/{route}?{query}")).await.0, StatusCode::BAD_REQUEST, "{route} {query}");
        }
        let (status, body) = get(&format!("frontend/{route}?from=1000000000")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{route}");
        assert!(body["detail"].as_str().unwrap().contains("shorter range"), "{body}");
    }
    for query in ["step=0", "step=61", "step=x", "step=-60", "limit=101", "operation=x", "grouping=service_operation&svc_host=x"] {
        assert_eq!(get(&format!("frontend/range?{query}")).await.0, StatusCode::BAD_REQUEST, "{query}");
    }
    let (status, body) = get("frontend/range?grouping=service_operatoin").await;
    assert_eq!((status, &body["suggestions"][0]), (StatusCode::BAD_REQUEST, &json!("service_operation")));
    let month = (WINDOW - 30 * 24 * HOUR) / 1_000_000_000;
    let (status, body) = get(&format!("frontend/range?from={month}&step=60")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let detail = body["detail"].as_str().unwrap();
    let least: i64 = detail.split("step=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert_eq!(app.get(&format!("/api/v1/services/frontend/range?from={month}&step={least}")).await.status, StatusCode::OK, "{detail}");
}

#[tokio::test]
async fn what_would_read_or_hold_too_much_is_refused_with_what_to_narrow_and_narrowed_it_is_answered() {
    for (answer, words) in [
        (Most { reads: 40, sums: 50_000 }, "more than 40 stored values would have to be read"),
        (Most { reads: 250_000, sums: 40 }, "there are more than 40 sums"),
    ] {
        let app = App::new(Setup { limits: Limits { answer, ..Limits::default() }, ..Setup::default() });
        app.publish(&windows("cart", 60), false);
        let newest = |minutes: i64| format!("from={}", (WINDOW - (minutes - 1) * MINUTE) / 1_000_000_000);
        for route in ["range", "heatmap"] {
            let path = format!("/api/v1/services/cart/{route}?step=60&{}", newest(60));
            let refused = app.get(&path).await;
            assert_eq!(
                (refused.status, refused.header("content-type")),
                (StatusCode::UNPROCESSABLE_ENTITY, "application/problem+json"),
                "{path}"
            );
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(words) && detail.contains("a shorter range (from, to), a larger step, or one value"), "{detail}");
            let path = format!("/api/v1/services/cart/{route}?step=60&{}", newest(20));
            assert_eq!(app.get(&path).await.status, StatusCode::OK, "{path}");
        }
    }
}

#[tokio::test]
async fn a_span_without_windows_is_empty_and_no_error() {
    let app = app();
    app.publish(&windows("cart", 3), false);
    let span = format!("from={}&to={}", (WINDOW - 9 * HOUR) / 1_000_000_000, (WINDOW - 8 * HOUR) / 1_000_000_000);
    let get = async |route: &str| app.get(&format!("/api/v1/services/cart/{route}?{span}")).await.json();
    assert_eq!(get("range").await["groups"], json!([]));
    let heatmap = get("heatmap").await;
    assert_eq!((&heatmap["columns"], &heatmap["bounds_ms"], &heatmap["max_count"]), (&json!([]), &json!([]), &json!(0)));
    assert_eq!(get("timeline").await["spans"], json!([]));
    assert_eq!(get("exemplars").await["exemplars"], json!([]));
}

#[tokio::test]
async fn a_heat_map_counts_every_request_once_between_ascending_bounds() {
    let app = app();
    let records = windows("cart", 130);
    app.publish(&records, false);
    let body = app.get("/api/v1/services/cart/heatmap?from=1661132580&step=600").await.json();
    let bounds: Vec<f64> = body["bounds_ms"].as_array().unwrap().iter().map(|bound| bound.as_f64().unwrap()).collect();
    assert!(bounds.is_sorted() && (2..=64).contains(&bounds.len()), "{bounds:?}");
    let mut rows = vec![0; bounds.len()];
    for column in body["columns"].as_array().unwrap() {
        for (row, count) in rows.iter_mut().zip(column["counts"].as_array().unwrap()) {
            *row += count.as_u64().unwrap();
        }
    }
    // Exact durations, put between the bounds. A bin rounds up to whole microseconds.
    let mut expected = vec![0_u64; bounds.len()];
    for record in &records {
        for n in 0..record.requests {
            let ms = (5_000_000 + n * record.spread).div_ceil(1000) as f64 / 1000.0;
            expected[bounds.iter().position(|bound| ms <= *bound).unwrap()] += 1;
        }
    }
    assert_eq!(rows, expected);
    let most = body["columns"].as_array().unwrap().iter().flat_map(|c| c["counts"].as_array().unwrap()).max_by_key(|c| c.as_u64()).unwrap();
    assert_eq!(&body["max_count"], most);
}

#[tokio::test]
async fn a_timeline_has_a_span_for_each_stretch_of_equal_health() {
    let app = app();
    let mut records = windows("cart", 100);
    records.iter_mut().skip(40).take(20).for_each(|record| record.level = 3);
    records.remove(80);
    app.publish(&records, false);
    let body = app.get("/api/v1/services/cart/timeline").await.json();
    let spans = body["spans"].as_array().unwrap();
    let said: Vec<_> = spans.iter().map(|s| (s["state"].as_str().unwrap(), s["windows"].as_u64().unwrap())).collect();
    assert_eq!(said, [("healthy", 40), ("critical", 20), ("healthy", 20), ("healthy", 19)], "and nothing where no window is");
    assert_eq!(body["changes"], 2);
    assert_eq!(
        (&spans[1]["from"], &spans[1]["to"], &spans[1]["reason"]),
        (&json!("2022-08-22T02:53:00Z"), &json!("2022-08-22T03:13:00Z"), &json!("rule"))
    );
    assert_eq!(spans[1]["requests"], json!(records[40..60].iter().map(|record| record.requests).sum::<u64>()));
    // Two of twenty requests fail in the worst windows; of these the slowest.
    let worst = &spans[1]["worst"];
    assert_eq!((&worst["availability_ratio"], &worst["window_start"]), (&json!(0.9), &json!("2022-08-22T03:08:00Z")));
}

#[tokio::test]
async fn exemplars_come_newest_first_and_each_once() {
    let app = app();
    let mut records = windows("cart", 10);
    for (n, record) in records.iter_mut().enumerate() {
        record.trace = Some(n as u128 + 1);
    }
    app.publish(&records, false);
    let body = app.get("/api/v1/services/cart/exemplars").await.json();
    let all = body["exemplars"].as_array().unwrap();
    assert_eq!(all.len(), 30, "the slowest, the slowest error and the first of each window");
    let first = &all[0];
    assert_eq!(
        (&first["timestamp"], first["trace_id"].as_str().unwrap()),
        (&json!("2022-08-22T03:52:00Z"), format!("{:032x}", 10).as_str())
    );
    assert!(all.is_sorted_by(|a, b| a["timestamp"].as_str() >= b["timestamp"].as_str()));
    let slowest = all.iter().find(|e| e["reason"] == "slowest").unwrap();
    assert_eq!((&slowest["error"], &slowest["operation"]), (&json!(false), &json!(null)));
    assert_eq!(app.get("/api/v1/services/cart/exemplars?limit=4").await.json()["exemplars"].as_array().unwrap().len(), 4);
    assert_eq!(app.get("/api/v1/services/cart/exemplars?limit=0").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_is_kept_is_told_with_its_size_and_bound() {
    let app = app();
    let empty = app.get("/api/v1/history").await.json();
    assert_eq!((&empty["records"], &empty["bytes"]), (&json!({"from": null, "to": null, "bytes": 0}), &json!(0)));
    app.publish(&windows("cart", 240), false);
    let body = app.get("/api/v1/history").await.json();
    assert_eq!((&body["records"]["from"], &body["records"]["to"]), (&json!("2022-08-21T23:00:00Z"), &json!("2022-08-22T04:00:00Z")));
    let sum: u64 = ["records", "ten_minutes", "hours"].iter().map(|kind| body[kind]["bytes"].as_u64().unwrap()).sum();
    assert!(body["hours"]["bytes"].as_u64().unwrap() > 0 && body["bytes"] == sum);
    assert!(body["services_bytes"].as_u64().unwrap() > 0 && body["late"]["bytes"] == 0);
    app.publish(&windows("cart", 3), true);
    let body = app.get("/api/v1/history").await.json();
    let late = body["late"]["bytes"].as_u64().unwrap();
    assert!(late > 0 && body["total_bytes"] == sum + late + body["services_bytes"].as_u64().unwrap(), "{body}");
    // 30 days of windows, and 13 months of sums, unless told.
    let retention = json!({"records_seconds": 30 * 86_400, "ten_minutes_seconds": 395 * 86_400, "hours_seconds": 395 * 86_400});
    assert_eq!((&body["retention"], &body["missed"]), (&retention, &json!(0)));
}

#[tokio::test]
async fn services_are_found_by_part_of_their_name_state_and_team() {
    let app = app();
    let mut records = vec![published("cart", WINDOW, 3), published("Cart-Payments", WINDOW, 4), published("search", WINDOW, 5)];
    records[2].level = 2;
    app.publish(&records, false);
    for (query, names) in [
        ("", &["Cart-Payments", "cart", "search"][..]),
        ("q=CART", &["Cart-Payments", "cart"]),
        ("q=ar", &["Cart-Payments", "cart", "search"]),
        ("state=impaired", &["search"]),
        ("state=healthy&q=cart", &["Cart-Payments", "cart"]),
        ("team=shop", &[]),
        ("team=&limit=2", &["Cart-Payments", "cart"]),
        ("region=eu", &[]),
        ("swimlane=a", &[]),
    ] {
        let body = app.get(&format!("/api/v1/services?{query}")).await.json();
        let found: Vec<&str> = body["services"].as_array().unwrap().iter().map(|s| s["service"].as_str().unwrap()).collect();
        assert_eq!(found, names, "{query}");
    }
    let answer = app.get("/api/v1/services?state=heathy").await;
    assert_eq!((answer.status, &answer.json()["suggestions"][0]), (StatusCode::BAD_REQUEST, &json!("healthy")));
}

#[tokio::test]
async fn the_page_is_told_where_traces_are() {
    let body = app().get("/api/v1/page").await.json();
    let expected = json!({
        "trace_link": "https://traces.example/{trace_id}", "grafana": null, "version": "1.2.3", "window_seconds": 60.0, "demo": false,
        "groupings": {"service": [], "service_operation": ["operation"]},
    });
    assert_eq!(body, expected);
}
