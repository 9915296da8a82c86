//! `deploy.sh` against a running process with both colours: every step once, and again without doing anything twice.

use crate::process::{Service, eventually};
use std::process::{Command, Output};

/// Probes as quick as a test wants them.
const ROUTER: &str = "router: {probe: 2s, failed: 3, recovered: 3, warm: 10s, windows: 2, seal_after: 5s, proof: 60s}\n";

#[test]
fn a_deploy_flips_proves_waits_and_stops_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data").display().to_string(), folder.path().join("golden.yaml"));
    std::fs::write(&config, ROUTER).unwrap();
    let mut service = Service::start(&["--demo", "--data", &data, "--colour", "blue,green"], Some(&config));
    let deploy = |colour: &str, start: &str| -> Output {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy.sh");
        let mut command = Command::new(script);
        command.args([colour, "--server", &service.url]).current_dir(folder.path());
        command.env("GOLDEN", env!("CARGO_BIN_EXE_golden")).env("PATIENCE", "200");
        command.env("START", start).env("STOP", "echo stopped >> stopped");
        command.output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);

    let wrong = deploy("red", "true");
    assert!(wrong.status.code() == Some(2) && said(&wrong).contains("say which colour"), "{}", said(&wrong));
    let broken = deploy("green", "false");
    assert!(broken.status.code() == Some(3) && said(&broken).contains("did not start"), "{}", said(&broken));
    assert_eq!(service.get("/api/v1/router").unwrap()["live"]["colour"], "blue");

    let done = deploy("green", "echo started >> started");
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    for step in ["starting green", "green is warm", "the flip is ordered", "is clean, counted again", "answers for all windows", "done"] {
        assert!(text.contains(step), "`{step}` is missing in {text}");
    }
    eventually("green is live", 10, || service.get("/api/v1/router").is_some_and(|status| status["live"]["colour"] == "green"));

    let again = deploy("green", "echo started >> started");
    assert!(again.status.success() && said(&again).contains("green is live already"), "{}", said(&again));
    let lines = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
    assert_eq!((lines("started"), lines("stopped")), (1, 2));
    assert!(service.stop());
}
