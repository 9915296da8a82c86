//! `golden router` and its API against one process with both colours: what operators ask, what they are told, and what the audit record keeps.

use crate::process::{Service, eventually};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Probes as quick as a test wants them; nothing is sealed while it runs.
const ROUTER: &str = "router: {probe: 2s, failed: 3, recovered: 3, warm: 30s, lag: 25s, windows: 2, seal_after: 10m, proof: 60s}\n";

/// What a command said, and its exit code.
fn router(service: &Service, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).arg("router").args(args).args(["--server", &service.url]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code(), said)
}

fn post(service: &Service, what: &str, body: &Value) -> u16 {
    let sent = ureq::post(&format!("{}/api/v1/router/{what}", service.url)).content_type("application/json").send(body.to_string());
    match sent {
        Ok(answer) => answer.status().as_u16(),
        Err(ureq::Error::StatusCode(code)) => code,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn operators_see_flip_take_back_hold_and_compare_and_all_of_it_stands_in_the_audit_record() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data").display().to_string(), folder.path().join("golden.yaml"));
    std::fs::write(&config, ROUTER).unwrap();
    let mut service = Service::start(&["--demo", "--data", &data, "--colour", "blue,green"], Some(&config));
    let receipts = || {
        let flips = service.get("/api/v1/router").and_then(|status| status["flips"].as_array().cloned()).unwrap_or_default();
        flips.iter().filter(|flip| !flip["lost_and_doubled"].is_null()).count()
    };

    // What cannot be done is refused, says what to do, and stands in the record.
    let (code, said) = router(&service, &["rollback", "--by", "mina", "--reason", "a look"]);
    assert!(code == Some(2) && said.contains("nothing was flipped yet, so there is nothing to go back to"), "{code:?} {said}");
    assert_eq!(post(&service, "flip", &json!({"by": "mina", "reason": "a slip", "to": "red"})), 400);
    let (code, said) = router(&service, &["receipt", "r1"]);
    assert!(code == Some(0) && said.contains("rollback was refused") && said.contains("Nothing changed"), "{code:?} {said}");
    let (code, said) = router(&service, &["receipt", "99"]);
    assert!(code != Some(0) && said.contains("there is no flip 99"), "{code:?} {said}");

    // Held and released, by the API and by the command.
    assert_eq!(post(&service, "hold", &json!({"by": "jo", "reason": "a sale", "hold": true})), 200);
    eventually("it is held", 30, || service.get("/api/v1/router").is_some_and(|status| status["hold"] == true));
    let (_, said) = router(&service, &["status"]);
    assert!(said.contains("automatic flips on hold"), "{said}");
    let (code, said) = router(&service, &["hold", "--release", "--by", "jo", "--reason", "the sale is over"]);
    assert!(code == Some(0) && said.contains("automatic flips again from now on"), "{code:?} {said}");

    // Refused while nobody knows yet whether it keeps up.
    let (code, said) = router(&service, &["flip", "--to", "green", "--by", "ann", "--reason", "too soon"]);
    assert!(code == Some(2) && said.contains("ask again in a moment"), "{code:?} {said}");
    assert_eq!(service.get("/api/v1/router").unwrap()["live"]["colour"], "blue");

    // Flipped once it is warm, by one of two who ask at once.
    eventually("green is warm", 200, || router(&service, &["flip", "--dry-run"]).0 == Some(0));
    let (code, said) = router(&service, &["flip", "--to", "green", "--dry-run"]);
    assert!(code == Some(0) && said.contains("yes  its windows are equal to those of the live one") && said.contains("would be"), "{said}");
    let ask = || post(&service, "flip", &json!({"by": "mina", "reason": "a release", "to": "green"}));
    let mut answers = std::thread::scope(|scope| [scope.spawn(ask), scope.spawn(ask)].map(|asked| asked.join().unwrap()));
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);
    eventually("the flip is proved", 120, || receipts() == 1);
    let (code, said) = router(&service, &["receipt", "1", "--verify"]);
    assert!(code == Some(0) && said.contains("clean: nothing lost, nothing doubled") && !said.contains("READ AGAIN"), "{code:?} {said}");
    for line in ["mina: a release", "blue.1, version ", "green.2, version ", " of blue.1 ", " of green.2 "] {
        assert!(said.contains(line), "`{line}` is missing in {said}");
    }

    // How it stands, as text, as JSON, and again and again.
    let (_, said) = router(&service, &["status"]);
    for line in [
        "live       green.2",
        "blue       blue.1 standby",
        "closed up to ",
        ", lag ",
        "forwards green.2",
        &format!("held by process {}", service.id()),
        "flip       1 blue.1 to green.2, planned",
    ] {
        assert!(said.contains(line), "`{line}` is missing in {said}");
    }
    let (_, said) = router(&service, &["status", "--json"]);
    let status: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&status["live"]["colour"], &status["flips"][0]["by"]), (&json!("green"), &json!("mina")), "{status:#}");
    let holder = format!("process {}", service.id());
    assert!(status["partitions"][0]["holder"].as_str().is_some_and(|held| held.starts_with(&holder)), "{status:#}");
    let mut watch = Command::new(env!("CARGO_BIN_EXE_golden"))
        .args(["router", "status", "--watch", "--server", &service.url])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    let screens = lines.filter(|line| line.contains("live       green.2")).take(2).count();
    watch.kill().unwrap();
    watch.wait().unwrap();
    assert_eq!(screens, 2, "the screen is drawn anew");

    // Both have the same results.
    let (code, said) = router(&service, &["diff", "--windows", "2"]);
    assert!(code == Some(0) && said.contains("results compared, 0 differ"), "{code:?} {said}");

    // Taken back, from one end to the other.
    eventually("blue is fit", 100, || router(&service, &["rollback", "--dry-run"]).0 == Some(0));
    let (code, said) = router(&service, &["rollback", "--by", "jo", "--reason", "it looks odd"]);
    assert!(code == Some(0) && said.contains("flip 2 from green.2 to blue.1"), "{code:?} {said}");
    eventually("the flip back is proved", 120, || receipts() == 2);
    let (code, said) = router(&service, &["receipt", "2", "--verify"]);
    assert!(code == Some(0) && said.contains("jo: it looks odd"), "{code:?} {said}");
    assert_eq!(service.get("/api/v1/router").unwrap()["live"]["colour"], "blue");

    // Who did what, what was live before and after, what came of it.
    let audit = service.get("/api/v1/router/log").unwrap();
    let name =
        |of: &Value| of.as_object().map_or_else(|| "none".to_owned(), |of| format!("{}.{}", of["colour"].as_str().unwrap(), of["epoch"]));
    let text = |entry: &Value, field: &str| entry[field].as_str().unwrap_or_default().to_owned();
    let entries = audit["entries"].as_array().unwrap();
    let said: Vec<_> = entries
        .iter()
        .filter(|entry| ["mina", "jo"].contains(&entry["by"].as_str().unwrap_or_default()))
        .map(|entry| {
            [text(entry, "by"), text(entry, "what"), name(&entry["before"]), name(&entry["after"]), text(entry, "result")].join("; ")
        })
        .collect();
    assert_eq!(
        said,
        [
            "mina; rollback; blue.1; blue.1; refused",
            "mina; flip to red; blue.1; blue.1; refused",
            "jo; hold automatic flips; blue.1; blue.1; taken",
            "jo; release automatic flips; blue.1; blue.1; taken",
            "mina; flip 1 from blue.1 to green.2, planned; blue.1; green.2; taken",
            "mina; flip to green; green.2; green.2; refused",
            "jo; flip 2 from green.2 to blue.1, planned; green.2; blue.1; taken",
        ],
        "{audit:#}"
    );
    let (code, said) = router(&service, &["log"]);
    assert!(code == Some(0) && said.contains("live blue.1 -> green.2; by mina: a release"), "{code:?} {said}");
    assert!(service.stop());
}

#[test]
fn router_run_forwards_computes_nothing_and_answers_for_the_router() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
    command.args(["router", "run", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
    let mut service = Service::of(command);
    let tasks = || service.get("/api/v1/status").and_then(|status| status["tasks"].as_array().cloned()).unwrap_or_default();
    eventually("its workers run", 60, || tasks().iter().any(|task| task["state"] == "running"));
    assert!(tasks().iter().all(|task| task["stage"] == "router"), "{:#?}", tasks());
    // Every address that it prints answers, and it prints none of what others do.
    eventually("all is said", 10, || service.said().contains("Stop with Ctrl-C"));
    let links: Vec<String> = service.said().lines().filter_map(|line| line.find("http://").map(|at| line[at..].to_owned())).collect();
    let paths: Vec<&str> = links.iter().filter_map(|link| link.strip_prefix(&service.url)).collect();
    assert_eq!(paths, ["/api/v1/router", "/api/docs", "/metrics"], "{}", service.said());
    for link in &links {
        assert_eq!(ureq::get(link).call().unwrap().status(), 200, "{link}");
    }
    for path in ["/-/healthy", "/-/ready", "/api/v1/router/log"] {
        assert_eq!(ureq::get(format!("{}{path}", service.url)).call().unwrap().status(), 200, "{path}");
    }
    for path in ["/", "/api/v1/services", "/api/v1/events"] {
        assert!(matches!(ureq::get(format!("{}{path}", service.url)).call(), Err(ureq::Error::StatusCode(404))), "{path}");
    }
    // It takes orders, and says what it cannot do.
    let (code, said) = router(&service, &["status"]);
    assert!(code == Some(0) && said.contains("live       nothing: no deployment was started"), "{code:?} {said}");
    let (code, said) = router(&service, &["flip", "--by", "mina", "--reason", "a try"]);
    assert!(code == Some(2) && said.contains("deploy one with `golden run --colour blue`"), "{code:?} {said}");
    let (code, said) = router(&service, &["hold", "--by", "mina", "--reason", "nothing is deployed"]);
    assert!(code == Some(0) && said.contains("no automatic flips from now on"), "{code:?} {said}");
    let (code, said) = router(&service, &["log"]);
    assert!(code == Some(0) && said.contains("flip; refused") && said.contains("hold automatic flips; taken"), "{code:?} {said}");
    assert!(service.stop());
}
