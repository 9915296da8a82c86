//! Bad input of the router, as whole processes on a real broker: each is refused with what to do, and nothing changes (docs/router.md).
//!
//! What rights are missing is another test's matter (`surroundings`), and so are clocks that are off (`flips`).

use crate::fleet::{Cluster, ONE};
use crate::process::{Service, eventually, within};
use platform_core::log::Log as _;
use platform_core::record::{NewRecord, Partition, Topic};
use platform_kafka::log::Kafka;
use platform_kafka::topics::Needed;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::PoisonError;
use std::time::Duration;

const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, retain: 60s, series_ttl: 60s}\nruntime: {commit_interval: 100ms}\n\
                        router: {probe: 1s, failed: 3, recovered: 3, warm: 5s, lag: 4s, windows: 1}\n";
const CONTROL: &str = "golden-signals.control";
/// Of green; a standby.
const SIGNALS: &str = "golden-signals.green.signals";
/// People who ask at once.
const OPERATORS: usize = 5;

/// Settings and topics, and no process that stays.
struct Place<'a> {
    folder: &'a Path,
    log: &'a Kafka,
}

impl Place<'_> {
    /// Exit code, and what was said.
    fn golden(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_golden")).args(args).current_dir(self.folder).output().unwrap();
        (output.status.code(), [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat())
    }

    /// A process that must not start: its exit code, and what it said.
    fn start(&self, args: &[&str]) -> (Option<i32>, String) {
        let said = self.folder.join("said");
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        command.args(["run", "--listen", "127.0.0.1:0", "--data", "never"]).args(args).current_dir(self.folder);
        let mut child = command.stdout(Stdio::null()).stderr(std::fs::File::create(&said).unwrap()).spawn().unwrap();
        let mut ended = None;
        within(60, || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        let said = std::fs::read_to_string(said).unwrap();
        let ended = ended.unwrap_or_else(|| {
            child.kill().and_then(|()| child.wait()).unwrap();
            panic!("it started: {said}")
        });
        (ended.code(), said)
    }

    /// Where the control log begins and ends.
    fn control(&self) -> (u64, u64) {
        let (start, end) = self.log.bounds(&Partition::new(&Topic::new(CONTROL), 0)).unwrap();
        (start.0, end.0)
    }

    /// What was flipped, and what is live.
    fn stands(&self) -> (usize, String) {
        let (_, said) = self.golden(&["router", "status", "--json"]);
        let status: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
        (status["flips"].as_array().unwrap().len(), status["live"]["colour"].as_str().unwrap_or_default().to_owned())
    }

    /// That a command is refused with this exit code and says all of `parts`, and blue stays live.
    fn refuses(&self, args: &[&str], wanted: i32, parts: &[&str]) {
        let (code, said) = self.golden(&[&["router"], args].concat());
        assert_eq!(code, Some(wanted), "{args:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?}: `{part}` is missing in {said}");
        }
        assert_eq!(self.stands(), (0, "blue".to_owned()), "{args:?}");
    }

    /// Nobody gives an order, and no process begins a deployment, in a control log that says nothing; both say what to do.
    fn holds(&self, what_to_do: &str) {
        let before = self.control();
        for args in [&["router", "flip"][..], &["router", "rollback"], &["router", "hold"]] {
            let (code, said) = self.golden(args);
            assert!(
                code == Some(1) && said.contains("refused, and nothing changed") && said.contains(what_to_do),
                "{args:?} {code:?} {said}"
            );
        }
        let (code, said) = self.golden(&["router", "status"]);
        assert!(code == Some(0) && said.contains("attention  the control log") && said.contains(what_to_do), "{code:?} {said}");
        for args in [&["--colour", "green", "--fresh"][..], &["--colour", "blue"]] {
            let (code, said) = self.start(args);
            assert!(code == Some(3) && said.contains("can be joined or begun") && said.contains(what_to_do), "{args:?} {code:?} {said}");
        }
        assert_eq!(self.control(), before, "nothing was written");
    }

    /// Several people order something at the same moment: each is told what became of it, and that is what stands in the record.
    fn several_at_once(&self) {
        let names: Vec<String> = (0..OPERATORS).map(|n| format!("operator {n}")).collect();
        let asked = std::thread::scope(|scope| {
            let ask = |name: &str| self.golden(&["router", "hold", "--by", name, "--reason", "all at once"]);
            let all: Vec<_> = names.iter().map(|name| scope.spawn(move || ask(name))).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
        });
        let (code, said) = self.golden(&["router", "log", "--json"]);
        assert_eq!(code, Some(0), "each order was given upon those before it: {said}");
        let audit: Value = serde_json::from_str(&said).unwrap();
        let taken = |name: &str| audit["entries"].as_array().unwrap().iter().filter(|entry| entry["by"] == name).count();
        for (name, (code, said)) in names.iter().zip(&asked) {
            match code {
                Some(0) => assert_eq!(taken(name), 1, "{name}: {said}"),
                _ if said.contains("nothing changed") => assert_eq!(taken(name), 0, "{name}: {said}"),
                _ => assert!(*code == Some(3) && said.contains("`golden router log` says"), "{name}: {said}"),
            }
        }
        assert!(asked.iter().any(|(code, _)| *code == Some(0)), "{asked:#?}");
        eprintln!("{} of {OPERATORS} orders at once were taken", asked.iter().filter(|(code, _)| *code == Some(0)).count());
    }
}

#[test]
fn each_bad_input_of_the_router_is_refused_with_what_to_do_and_changes_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(1) else { return };
    let (dir, log) = (tempfile::tempdir().unwrap(), cluster.log());
    let place = Place { folder: dir.path(), log: &log };
    let kafka = format!("log: {{partitions: 1, reserve_mib: 1, kafka: {{bootstrap: \"{}\", dev: true}}}}\n", cluster.bootstrap);
    let config = dir.path().join("golden.yaml");
    std::fs::write(&config, format!("{SETTINGS}{kafka}")).unwrap();
    eventually("the topics are made", 60, || place.golden(&["topics", "apply"]).0 == Some(0));
    let start = |name: &str, args: &[&str]| {
        let data = dir.path().join(name).display().to_string();
        Service::start(&[&["--data", data.as_str()], args].concat(), Some(&config))
    };
    let mut blue = start("blue", &[]);
    place.refuses(&["flip", "--to", "green"], 1, &["no deployment of green runs", "start one with `golden run --colour green`"]);
    let mut green = start("green", &["--colour", "green", "--role", "fold,close"]);

    place.refuses(&["flip", "--to", "red"], 2, &["there is no colour `red`: say blue or green"]);
    place.refuses(&["flip", "--to", "blue"], 1, &["blue is live already, as blue.1: nothing to do"]);
    place.refuses(&["rollback"], 1, &["nothing was flipped yet, so there is nothing to go back to"]);
    // Green has been started and does nothing.
    green.pause();
    place.refuses(
        &["flip", "--to", "green"],
        1,
        &["refused, and nothing changed", "green.2: FOLD writes nothing. Mend it, then ask again"],
    );
    green.resume();
    eventually("green would be flipped to", 60, || place.golden(&["router", "flip", "--to", "green", "--dry-run"]).0 == Some(0));
    place.several_at_once();

    // Topics of green with other partitions: nobody can flip to it, and nobody can run it.
    assert!(green.stop() && blue.stop());
    let odd = |partitions| Needed { topic: Topic::new(SIGNALS), partitions, retention: Duration::from_secs(24 * 3600), foreign: false };
    cluster.delete(SIGNALS);
    eventually("there are other partitions", 30, || log.plan(&[odd(3)]).and_then(|plan| log.apply(&plan)).is_ok());
    place.refuses(&["flip", "--to", "green"], 1, &["1 partitions of partials and 3 of signals", "Make its topics anew with 1 partitions"]);
    let (code, said) = place.start(&["--colour", "green"]);
    assert!(code == Some(3) && said.contains("golden-signals.green.signals has 3 partitions"), "{code:?} {said}");
    cluster.delete(SIGNALS);
    eventually("the topics are as before", 60, || place.golden(&["topics", "apply"]).0 == Some(0));

    // An order of a program that does not exist yet, and a log without its beginning.
    let newer = NewRecord { headers: &[("schema", b"platform-order/2")], value: Some(b"{}"), ..NewRecord::default() };
    log.producer().unwrap().append(&Partition::new(&Topic::new(CONTROL), 0), &[newer]).unwrap();
    place.holds("upgrade it first");
    cluster.truncate(CONTROL, 1);
    place.holds("restore the topic from a copy");
}
