//! Deployments as processes begin, join and end them (GUARANTEES 3.5): what the control log says of it, and what people see of two colours.

use crate::fleet::{Cluster, ONE};
use crate::process::{Service, eventually};
use golden_router::control::OrdersReader;
use golden_router::deployment::{Colour, Deployment};
use golden_router::orders::{Orders, Start};
use platform_core::clock::Clock;
use platform_core::log::Log;
use platform_core::record::Topic;
use platform_kafka::topics::Needed;
use platform_rocks::rocks::{Rocks, Settings, TopicSettings};
use platform_runtime::clock::SystemClock;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

const PIPELINE: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, retain: 60s, series_ttl: 60s}\nruntime: {commit_interval: 100ms}\n";
const LOG: &str = "log: {partitions: 1, reserve_mib: 1}\n";
const CONTROL: &str = "golden-signals.control";

fn orders(log: Arc<dyn Log>) -> Orders {
    let mut reader = OrdersReader::new(log, &Topic::new(CONTROL));
    assert!(reader.refresh().unwrap());
    reader.orders().clone()
}

/// What stands in the control log of a data folder that nobody uses.
fn orders_in(data: &Path) -> Orders {
    let topics = vec![TopicSettings { topic: Topic::new(CONTROL), partitions: 1, retention: Duration::MAX }];
    let rocks = Rocks::open(data, &Settings { topics, reserve: 0, ..Settings::default() }, Arc::new(SystemClock::new())).unwrap();
    orders(rocks.log())
}

fn of(colour: Colour, epoch: u32) -> Deployment {
    Deployment { colour, epoch }
}

fn running(orders: &Orders, colour: Colour) -> Start {
    orders.running(colour).unwrap().clone()
}

fn metrics(service: &Service) -> String {
    ureq::get(&format!("{}/metrics", service.url)).call().unwrap().body_mut().read_to_string().unwrap()
}

#[test]
fn a_process_joins_what_is_live_or_gives_the_same_and_begins_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("golden.yaml"));
    std::fs::write(&config, format!("{PIPELINE}{LOG}")).unwrap();
    let text = data.display().to_string();
    let run = |args: &[&str]| {
        let mut service = Service::start(&[&["--data", text.as_str()], args].concat(), Some(&config));
        eventually("it serves", 30, || service.get("/api/v1/status").is_some());
        assert!(service.stop());
        orders_in(&data)
    };
    // The first deployment of all is live and answers for everything.
    let first = run(&[]);
    let blue = running(&first, Colour::Blue);
    assert_eq!((blue.deployment, first.live()), (of(Colour::Blue, 1), Some(of(Colour::Blue, 1))));
    assert!(blue.owned_from == 0 && blue.positions.is_empty(), "{blue:?}");
    // Another colour reads everything there ever was, and answers for it too.
    let both = run(&["--colour", "blue,green"]);
    let green = running(&both, Colour::Green);
    assert_eq!((green.deployment, both.live()), (of(Colour::Green, 2), Some(of(Colour::Blue, 1))));
    assert_eq!(green.owned_from, 0, "{green:?}");
    assert_eq!(green.positions, [("service-events".to_owned(), 0, 0)]);
    assert_eq!(green.version, blue.version);
    // The same again joins both.
    assert_eq!(run(&["--colour", "green", "--colour", "blue"]), both);
    // With other results, the standby is begun anew and what is live is joined.
    std::fs::write(&config, format!("{}{LOG}", PIPELINE.replace("bound: 1s", "bound: 2s"))).unwrap();
    let other = run(&["--colour", "blue,green"]);
    assert_eq!(running(&other, Colour::Blue), blue);
    let newer = running(&other, Colour::Green);
    assert_eq!(newer.deployment, of(Colour::Green, 3));
    assert_ne!(newer.version, green.version);
    assert!(other.is_abandoned(of(Colour::Green, 2)));
    // When that is asked for, also with the same.
    let fresh = run(&["--colour", "blue,green", "--fresh"]);
    assert_eq!((running(&fresh, Colour::Green).deployment, fresh.live()), (of(Colour::Green, 4), Some(of(Colour::Blue, 1))));
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).args(["run", "--colour", "red"]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && said.contains("there is no colour `red`: say blue or green"), "{said}");
}

#[test]
fn two_colours_in_one_process_count_and_show_the_same_each_thing_once() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data"), folder.path().join("golden.yaml"));
    std::fs::write(&config, format!("{PIPELINE}{LOG}")).unwrap();
    let mut service = Service::start(&["--data", &data.display().to_string(), "--colour", "blue,green"], Some(&config));
    let now = SystemClock::new().wall();
    let event = format!(r#"{{"timestamp":{now},"service":"shop","operation":"pay","status":200,"duration_ns":1000}}"#);
    // The bad line is answered as one, and the good ones are kept.
    let body = format!("{event}\n{{\"service\":\"shop\"}}\n{event}\n");
    let sent = ureq::post(&format!("{}/api/v1/events", service.url)).content_type("application/x-ndjson").send(&body);
    assert!(matches!(sent, Err(ureq::Error::StatusCode(400))), "{sent:?}");
    for colour in ["blue", "green"] {
        let line = format!("golden_signals_decoded_total{{colour=\"{colour}\",source=\"http\"}} 3");
        eventually(&line, 60, || metrics(&service).lines().any(|found| found == line));
    }
    let page = metrics(&service);
    assert_eq!(page.matches("# TYPE golden_signals_decoded_total").count(), 1);
    let letters = service.get("/api/v1/dead-letters").unwrap();
    assert_eq!(letters["dead_letters"].as_array().map(Vec::len), Some(1), "{letters}");
    eventually("the window is published", 60, || {
        service.get("/api/v1/services/shop/signals").is_some_and(|found| found["records"].as_array().is_some_and(|all| !all.is_empty()))
    });
    let found = service.get("/api/v1/services/shop/signals").unwrap();
    assert!(found["records"].as_array().unwrap().iter().all(|record| record["events"] == 2 || record["events"] == 0), "{found}");
    let status = service.get("/api/v1/status").unwrap();
    let tasks = status["tasks"].as_array().unwrap();
    for pipeline in ["golden-signals.blue.1", "golden-signals.green.2"] {
        let stages: Vec<_> = tasks.iter().filter(|task| task["pipeline"] == pipeline).map(|task| task["stage"].as_str().unwrap()).collect();
        assert_eq!(stages, ["fold", "close"], "{status}");
    }
    assert!(service.stop());
}

fn golden(folder: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(folder).output().unwrap()
}

#[test]
fn a_process_whose_deployment_has_ended_stops_and_says_what_to_do() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    // Other partitions in one colour: the router would compare what cannot be compared.
    let (odd, theirs) = (Topic::new("golden-signals.green.signals"), cluster.log());
    let needed = Needed { topic: odd, partitions: 3, retention: Duration::from_secs(24 * 3600), foreign: false };
    theirs.apply(&theirs.plan(&[needed]).unwrap()).unwrap();
    let kafka = format!("log: {{partitions: 1, reserve_mib: 1, kafka: {{bootstrap: \"{}\", dev: true}}}}\n", cluster.bootstrap);
    std::fs::write(folder.join("golden.yaml"), format!("{PIPELINE}{kafka}")).unwrap();
    let said = String::from_utf8(golden(folder, &["topics", "plan"]).stdout).unwrap();
    let also = String::from_utf8(golden(folder, &["topics", "plan"]).stderr).unwrap();
    let (all, config) = (said + &also, folder.join("golden.yaml"));
    assert!(all.contains("golden-signals.green.signals has 3 partitions"), "{all}");
    cluster.delete("golden-signals.green.signals");
    eventually("the topics are made", 60, || golden(folder, &["topics", "apply"]).status.success());

    let start = |name: &str, args: &[&str]| {
        let data = folder.join(name).display().to_string();
        Service::start(&[&["--data", data.as_str()], args].concat(), Some(&config))
    };
    let log: Arc<dyn Log> = Arc::new(cluster.log());
    let mut blue = start("blue", &[]);
    // Two that start at once share what one of them begins.
    let (mut green, mut other) = std::thread::scope(|scope| {
        let other = scope.spawn(|| start("other", &["--colour", "green"]));
        (start("green", &["--colour", "green"]), other.join().unwrap())
    });
    let begun = orders(Arc::clone(&log));
    assert_eq!((begun.live(), running(&begun, Colour::Green).deployment), (Some(of(Colour::Blue, 1)), of(Colour::Green, 2)));
    assert_eq!(begun.next_epoch(), 3);
    // One begins another deployment in their place.
    let mut fresh = start("fresh", &["--colour", "green", "--fresh"]);
    for ended in [&mut green, &mut other] {
        eventually("it has ended", 30, || ended.has_ended());
        assert!(!ended.was_success(), "{}", ended.said());
        let said = ended.said();
        assert!(said.contains("deployment green.2 has ended: green.3 has taken its place"), "{said}");
    }
    // Started again it joins what took its place; what is live never noticed.
    green = start("green", &["--colour", "green"]);
    assert_eq!(orders(log).next_epoch(), 4);
    assert!(blue.stop() && fresh.stop() && green.stop());
}
