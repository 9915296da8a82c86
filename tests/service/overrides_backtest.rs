//! Backtest, explanation, trial and recount against a running service: what they say is what the service publishes.

use super::process::{Service, eventually};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, skew: 2s, lead: 5s, groupings: {service: [], service_operation: \
                        [operation], service_swimlane: [swimlane]}}\nruntime: {commit_interval: 100ms}\nlog: {partitions: 2}\n";
/// Critical with errors, and then better by a level in each window.
const HEALTH: &str = "errorCount > 1 ? 3 : previousHealth > 0 ? previousHealth - 1 : 0";
/// Changes nothing but tags and outcomes.
const COUNTS: &str = "owner: shop\nerrors: 'status == 503 ? \"ignored\" : outcome'\ntags: {swimlane: \"svcHost == 'h1' ? 'ec2' : ''\"}\n";

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn write(&self, path: &str, content: &str) {
        std::fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        std::fs::write(self.path(path), content).unwrap();
    }

    /// Runs `golden …`, which must succeed; gives what it printed.
    fn golden(&self, args: &[&str]) -> String {
        let done = Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(self.dir.path()).output().unwrap();
        assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&[done.stdout, done.stderr].concat()));
        String::from_utf8(done.stdout).unwrap()
    }
}

/// Sends two requests of each service now, which fail in every third window.
fn feed(service: &Service) {
    let now = SystemClock::new().wall() / 1_000_000;
    let status = if now / 10_000 % 3 == 0 { 503 } else { 200 };
    let event = |name: &str, operation: &str| {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        json!({"service": name, "operation": operation, "timestamp": now, "duration_ns": 5_000_000, "status": status, "host": "h1",
               "trace_id": trace, "span_id": "00f067aa0ba902b7"})
        .to_string()
    };
    let lines = ["cart", "till"].map(|name| [event(name, "buy"), event(name, "look")].join("\n"));
    let request = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    request.send(lines.join("\n").as_bytes()).unwrap();
}

/// Records of a service by start of the window.
fn records(service: &Service, name: &str) -> BTreeMap<String, Value> {
    let all = service.get(&format!("/api/v1/services/{name}/signals?limit=10000"));
    let all = all.map(|answer| answer["records"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    all.into_iter().map(|record| (record["window_start"].as_str().unwrap().to_owned(), record)).collect()
}

/// Records that were published by a file of version 1.
fn of_version(records: &BTreeMap<String, Value>) -> Vec<&Value> {
    records.values().filter(|record| record["override"]["version"] == 1).collect()
}

fn post(service: &Service, order: &Value) -> Value {
    let request = ureq::post(&format!("{}/api/v1/overrides/backtest", service.url)).header("content-type", "application/json");
    let mut answer = request.send(order.to_string().as_bytes()).unwrap();
    let body: Value = serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap();
    body["reports"][0].clone()
}

#[test]
fn a_backtest_says_what_the_service_publishes_and_a_level_can_be_explained() {
    let world = World { dir: tempfile::tempdir().unwrap() };
    let (config, data) = (world.text("golden.yaml"), world.text("data"));
    world.write("golden.yaml", &format!("{SETTINGS}overrides: {{from: {:?}, poll: 1s}}\n", world.text("bundles")));
    let mut service = Service::start(&["--data", &data], Some(Path::new(&config)));
    eventually("windows without overrides", 60, || {
        feed(&service);
        records(&service, "cart").len() > 2
    });

    let file = format!("owner: shop\nhealth: '{HEALTH}'\n");
    world.write("git/shop/cart.yaml", &file);
    world.write("git/shop/till.yaml", &format!("{file}shadow: true\n"));
    let before = world.golden(&["overrides", "backtest", "git", "--server", &service.url, "--against", "default", "--format", "json"]);
    let before: Value = serde_json::from_str(&before).unwrap();
    assert_eq!((&before[0]["service"], &before[1]["service"]), (&json!("cart"), &json!("till")));
    // What is in force now agrees with itself.
    assert!(before[0]["published"]["compared"].as_u64() > Some(2) && before[0]["published"]["differing"] == 0, "{before}");

    world.golden(&["overrides", "publish", "git", "--to", "bundles", "--by", "mina"]);
    eventually("four windows by the new file, a critical one among them", 120, || {
        feed(&service);
        let all = records(&service, "cart");
        let ours = of_version(&all);
        ours.len() > 3 && ours.iter().any(|record| record["health"]["level"] == 3)
    });
    let all = records(&service, "cart");
    let ours = of_version(&all);
    let (first, last) = (ours.first().unwrap(), ours.last().unwrap());
    let order = json!({"files": {"shop/cart.yaml": file}, "against": "default", "levels": true,
                       "from": first["window_start"], "to": last["window_end"]});
    let report = post(&service, &order);
    let tested: Vec<(&Value, &Value)> =
        report["levels"].as_array().unwrap().iter().map(|levels| (&levels["start"], &levels["new"])).collect();
    let published: Vec<(&Value, &Value)> = ours.iter().map(|record| (&record["window_start"], &record["health"]["level"])).collect();
    assert_eq!(tested, published);
    let current = post(&service, &json!({"files": {"shop/cart.yaml": file}, "from": first["window_start"], "to": last["window_end"]}));
    let agreement = &current["published"];
    assert_eq!((&agreement["compared"], &agreement["differing"]), (&json!(ours.len()), &json!(0)), "{current}");
    assert_eq!((&current["changed"], &current["old"]), (&json!(0), &current["new"]));
    the_workflow_comments(&world, &service.url);
    let comment = world.golden(&["overrides", "backtest", "git", "--server", &service.url, "--against", "default", "--format", "markdown"]);
    assert!(comment.contains("| cart |"), "{comment}");

    let critical = ours.iter().find(|record| record["health"]["level"] == 3).unwrap();
    let at = critical["window_start"].as_str().unwrap();
    let told = world.golden(&["explain", "cart", "--at", at, "--server", &service.url, "--format", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let rule = &told["rule"];
    assert_eq!((&rule["path"], &rule["version"], &rule["published_by"]), (&json!("shop/cart.yaml"), &json!(1), &json!("mina")), "{told}");
    assert_eq!((&rule["expression"], &rule["line"], &told["agrees"]), (&json!(HEALTH), &json!(2), &json!(true)));
    let explanation = &told["explanation"];
    assert_eq!(explanation["branches"][0]["taken"]["text"], "3");
    let errors = critical["errors"]["count"].as_u64().unwrap() as f64;
    let compared = &explanation["comparisons"][0];
    assert_eq!((compared["left"].as_f64(), compared["distance"].as_f64()), (Some(errors), Some(errors - 1.0)));
    let most = &told["contributors"]["service_operation"];
    assert_eq!((most.as_array().unwrap().len(), most[0]["share_of_errors"].as_f64()), (2, Some(0.5)));
    assert_eq!(told["exemplars"], critical["exemplars"]);
    let text = world.golden(&["explain", "cart", "--at", at, "--server", &service.url]);
    assert!(text.contains("critical (3), reason rule") && text.contains("shop/cart.yaml:2, owner shop, version 1 by mina"), "{text}");

    eventually("windows in which the tried file says something else", 60, || {
        feed(&service);
        let trial = service.get("/api/v1/overrides/till/shadow").unwrap_or_default();
        trial["agreeing"].as_u64() < trial["windows"].as_u64()
    });
    let trial = world.golden(&["overrides", "shadow", "till", "--server", &service.url]);
    assert!(trial.contains("of version 1 is tried since") && trial.contains(" counts, "), "{trial}");

    // Without the service, from its folder.
    assert!(service.stop());
    let offline = ["overrides", "backtest", "git", "--data", &data, "--config", &config, "--service", "cart", "--format", "json"];
    let offline: Value = serde_json::from_str(&world.golden(&offline)).unwrap();
    assert_eq!((offline[0]["changed"].as_u64(), &offline[0]["new"]["sha256"]), (Some(0), &critical["override"]["sha256"]));
    let mut rules = COUNTS.to_owned();
    for service in ["cart", "till"] {
        world.write(&format!("other/shop/{service}.yaml"), &rules);
        rules = "owner: shop\n".to_owned();
    }
    let (from, to) = (all.keys().next().unwrap(), last["window_end"].as_str().unwrap());
    let args = ["overrides", "recount", "other", "--from", from, "--to", to, "--data", &data, "--config", &config, "--format", "json"];
    let counted: Value = serde_json::from_str(&world.golden(&args)).unwrap();
    let (cart, till) = (&counted[0], &counted[1]);
    assert_eq!((&cart["service"], &till["service"]), (&json!("cart"), &json!("till")));
    let failed = &cart["all"]["before"]["errors"];
    assert!(failed.as_u64() > Some(0), "{counted}");
    assert_eq!((&cart["all"]["after"]["errors"], &cart["all"]["after"]["ignored"]), (&json!(0), failed));
    let lanes = &cart["series"]["service_swimlane"];
    assert_eq!(
        (&lanes[1]["dimensions"]["swimlane"], &lanes[1]["counts"]["after"]["events"]),
        (&json!("ec2"), &cart["all"]["before"]["events"])
    );
    assert_eq!((&till["all"]["before"], &till["series"]), (&till["all"]["after"], &json!({})));
}

/// The step of the ready workflow that tells a pull request, with a `gh` that keeps what it is given.
fn the_workflow_comments(world: &World, url: &str) {
    let workflow = std::fs::read_to_string(format!("{}/overrides/ci/github-actions.yml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let workflow: serde_yaml_ng::Value = serde_yaml_ng::from_str(&workflow).unwrap();
    let steps = workflow["jobs"]["backtest"]["steps"].as_sequence().unwrap();
    let script = steps.iter().find_map(|step| step["run"].as_str()).unwrap();
    std::os::unix::fs::symlink(world.path("git"), world.path("overrides")).unwrap();
    world.write("bin/gh", "#!/bin/sh\necho \"$@\" > told\n");
    assert!(Command::new("chmod").arg("+x").arg(world.path("bin/gh")).status().unwrap().success());
    let golden = Path::new(env!("CARGO_BIN_EXE_golden")).parent().unwrap();
    let run = format!("PATH={}:{}:$PATH\n{script}", world.text("bin"), golden.display());
    let mut shell = Command::new("bash");
    shell.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &run]).current_dir(world.dir.path());
    let done = shell.env("GOLDEN_SERVER", url).env("PULL_REQUEST", "7").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(std::fs::read_to_string(world.path("told")).unwrap(), "pr comment 7 --body-file backtest.md\n");
    assert!(std::fs::read_to_string(world.path("backtest.md")).unwrap().contains("cart"));
}

#[test]
fn promoting_takes_one_line_out_of_the_file_and_nothing_else() {
    let world = World { dir: tempfile::tempdir().unwrap() };
    world.write("git/shop/cart.yaml", "owner: shop   # who to ask\nshadow: true\nhealth: 'requestCount > 0 ? 1 : 0'\n");
    let said = world.golden(&["overrides", "promote", "git", "cart"]);
    assert!(said.contains("git/shop/cart.yaml") && said.contains("publish"), "{said}");
    let left = std::fs::read_to_string(world.path("git/shop/cart.yaml")).unwrap();
    assert_eq!(left, "owner: shop   # who to ask\nhealth: 'requestCount > 0 ? 1 : 0'\n");
    let again = Command::new(env!("CARGO_BIN_EXE_golden")).args(["overrides", "promote", &world.text("git"), "cart"]).output().unwrap();
    assert_eq!(again.status.code(), Some(2));
}
