//! `deploy.sh` against a running process with both colours: killed between steps it goes on where it was and does nothing twice; what does not
//! come in time and what is taken back ends with 1.

use crate::process::{Service, eventually};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// Probes as quick as a test wants them.
const ROUTER: &str = "router: {probe: 2s, failed: 3, recovered: 3, warm: 10s, windows: 2, seal_after: 60s, proof: 60s}\n";

#[test]
fn a_deploy_flips_proves_waits_and_stops_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (data, config) = (folder.path().join("data").display().to_string(), folder.path().join("golden.yaml"));
    std::fs::write(&config, ROUTER).unwrap();
    let mut service = Service::start(&["--demo", "--data", &data, "--colour", "blue,green"], Some(&config));
    let script = |colour: &str, start: &str, more: &[(&str, &str)]| -> Command {
        let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy.sh"));
        command.args([colour, "--server", &service.url]).current_dir(folder.path());
        command.env("GOLDEN", env!("CARGO_BIN_EXE_golden")).env("PATIENCE", "200");
        command.env("START", start).env("STOP", "echo stopped >> stopped").envs(more.iter().copied());
        command
    };
    let deploy = |colour: &str, start: &str| -> Output { script(colour, start, &[]).output().unwrap() };
    // Runs it until it says this, and does something then; gives what it said so far and whether it was let go on.
    let until = |at: &str, go_on: bool, then: &dyn Fn()| -> (Option<i32>, String) {
        let mut running = script("green", "echo started >> started", &[]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = String::new();
        for line in lines.by_ref() {
            said += &(line + "\n");
            if said.contains(at) {
                break;
            }
        }
        then();
        if !go_on {
            running.kill().unwrap();
        }
        said.extend(lines.map(|line| line + "\n"));
        let output = running.wait_with_output().unwrap();
        (output.status.code(), said + &String::from_utf8_lossy(&output.stderr))
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);

    let wrong = deploy("red", "true");
    assert!(wrong.status.code() == Some(2) && said(&wrong).contains("say which colour"), "{}", said(&wrong));
    let broken = deploy("green", "false");
    assert!(broken.status.code() == Some(3) && said(&broken).contains("did not start"), "{}", said(&broken));
    assert_eq!(service.get("/api/v1/router").unwrap()["live"]["colour"], "blue");

    // What does not come in time ends it, and nothing has changed.
    let other = script("green", "true", &[("VERSION", "of another world"), ("PATIENCE", "3")]).output().unwrap();
    let text = said(&other);
    assert!(other.status.code() == Some(1) && text.contains("not within 3 s: green runs with version of another world"), "{text}");
    assert_eq!(service.get("/api/v1/router").unwrap()["live"]["colour"], "blue");

    // Killed behind the order, and behind the receipt.
    let (code, text) = until("the flip is ordered", false, &|| ());
    assert!(code.is_none(), "it was killed: {text}");
    for step in ["starting green", "green is warm"] {
        assert!(text.contains(step), "`{step}` is missing in {text}");
    }
    let (_, text) = until("is clean, counted again", false, &|| ());
    assert!(text.contains("green is live already: going on behind the flip"), "{text}");
    // Taken back while the old colour is kept.
    let back = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        command.args(["router", "rollback", "--accept-difference", "--server", &service.url]);
        eventually("it is taken back", 60, || command.output().unwrap().status.success());
    };
    let (code, text) = until("is clean, counted again", true, &back);
    assert!(code == Some(1) && text.contains("blue is live again"), "{code:?} {text}");
    assert!(!folder.path().join("stopped").exists(), "the old colour runs on");
    // Again from the start, and to the end; a person has said that windows may differ.
    let done = script("green", "true", &[("ACCEPT", "1")]).output().unwrap();
    let text = said(&done);
    assert!(done.status.success(), "{text}");
    for step in ["green is warm", "the flip is ordered", "is clean, counted again", "answers for all windows", "done"] {
        assert!(text.contains(step), "`{step}` is missing in {text}");
    }
    eventually("green is live", 10, || service.get("/api/v1/router").is_some_and(|status| status["live"]["colour"] == "green"));

    let again = deploy("green", "echo started >> started");
    assert!(again.status.success() && said(&again).contains("green is live already"), "{}", said(&again));
    let lines = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap().lines().count();
    // A run that comes at once after one that was killed may not see its flip yet, and starts what runs: that does nothing.
    assert!((1..=2).contains(&lines("started")) && lines("stopped") == 2, "{} {}", lines("started"), lines("stopped"));
    assert!(service.stop());
}
