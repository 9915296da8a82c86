//! Bad surroundings on a secured Kafka: what is missing or wrong is said by name at `/-/ready`, `/-/healthy` stays green, no secret is shown, and
//! once it is mended the work goes on by itself with nothing lost. The rights are granted by the very commands of docs/kafka.md.

use crate::fleet::ONE;
use crate::ledger::{Account, Client, PARTITIONS, SECOND, SETTINGS, Stopping, judge, read, rfc3339, verify};
use crate::process::within;
use platform_core::clock::Clock;
use platform_core::secret::Secret;
use platform_kafka::log::Kafka;
use platform_kafka::settings::{Login, Sasl};
use platform_runtime::clock::SystemClock;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Where rights are documented.
const DOCUMENT: &str = include_str!("../../docs/kafka.md");
/// Every secret has it, and no output may.
const CANARY: &str = "canary";
const PASSWORD: &str = "canary-password";
/// The user of all roles.
const GOLDEN: (&str, &str) = ("golden", PASSWORD);

/// A broker with secured listeners in a folder of its own; it ends with it.
struct Cluster {
    folder: tempfile::TempDir,
}

fn script() -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/kafka"))
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl Cluster {
    /// `None`, and a line that says so, where there can be none.
    fn start(users: &[&str]) -> Option<Self> {
        let installed = script().arg("install").output();
        if !installed.as_ref().is_ok_and(|output| output.status.success()) {
            let why = installed.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
            eprintln!("not run: no Kafka broker can be had here: {why}");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let users = users.iter().flat_map(|user| ["--user".to_owned(), format!("{user}:{PASSWORD}")]);
        done(&script().args(["start", "--tls"]).args(users).arg("--dir").arg(folder.path()).output().unwrap());
        Some(Self { folder })
    }

    fn does(&self, command: &str) {
        done(&script().arg(command).arg(self.folder.path()).arg("1").output().unwrap());
    }

    /// Runs those of the documentation's commands that contain `part`.
    fn grant(&self, part: &str) {
        self.acls(part, str::to_owned);
    }

    /// Takes back what `grant` gives.
    fn revoke(&self, part: &str) {
        self.acls(part, |args| args.replace("--add", "--remove --force"));
    }

    fn acls(&self, part: &str, change: impl Fn(&str) -> String) {
        let lines = DOCUMENT.lines().filter_map(|line| line.strip_prefix("kafka-acls ")).filter(|line| line.contains(part));
        let commands: Vec<String> = lines.map(change).collect();
        assert!(!commands.is_empty(), "no command of docs/kafka.md contains {part}");
        self.run(&commands);
    }

    /// Grants a user rights, each written as operations and resources of `kafka-acls`.
    fn allow(&self, user: &str, rights: &[String]) {
        self.run(&rights.iter().map(|right| format!("--add --allow-principal User:{user} {right}")).collect::<Vec<_>>());
    }

    fn run(&self, commands: &[String]) {
        let start = |args: &String| {
            let mut command = script();
            command.arg("tool").arg(self.folder.path()).arg("AclCommand").args(args.split(' '));
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let started: Vec<Child> = commands.iter().map(start).collect();
        started.into_iter().for_each(|command| done(&command.wait_with_output().unwrap()));
    }

    fn servers(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("bootstrap-sasl-ssl")).unwrap().trim().to_owned()
    }

    fn certificate(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("tls").join(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(script().arg("stop").arg(self.folder.path()).arg("--now").output());
    }
}

/// A `golden run` whose answers are asked for before it is ready. Ended with it.
struct Golden {
    child: Child,
    url: String,
    folder: std::path::PathBuf,
}

/// Settings in a folder of their own, with the password and the trusted authority in files beside them.
fn settings(folder: &Path, servers: &str, (user, password): (&str, &str), ca: &Path, more: &str) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("password"), password).unwrap();
    std::fs::copy(ca, folder.join("ca.pem")).unwrap();
    let kafka = format!(
        "log: {{partitions: {PARTITIONS}, reserve_mib: 1, kafka: {{bootstrap: \"{servers}\", dev: true, tls: {{ca: ca.pem}},\n  \
         sasl: {{mechanism: SCRAM-SHA-512, user: {user}, password_file: password}}{more}}}}}\n"
    );
    std::fs::write(folder.join("golden.yaml"), format!("{SETTINGS}{kafka}")).unwrap();
}

impl Golden {
    fn start(folder: &Path) -> Self {
        Self::does(folder, &["run"])
    }

    /// Does what a process does for so long as it lives.
    fn does(folder: &Path, what: &[&str]) -> Self {
        // Of a listener that is gone: nobody else asks for this port so soon.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let said = std::fs::File::options().create(true).append(true).open(folder.join("said")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        command.args(what).args(["--listen", &address, "--data", "data"]).current_dir(folder);
        let child = command.stdout(said.try_clone().unwrap()).stderr(said).spawn().unwrap();
        Self { child, url: format!("http://{address}"), folder: folder.to_owned() }
    }

    /// Status and text of an answer; 0 while there is none.
    fn get(&self, path: &str) -> (u16, String) {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10))).build();
        match ureq::Agent::from(config).get(format!("{}{path}", self.url)).call() {
            Ok(mut answer) => (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap()),
            Err(_) => (0, String::new()),
        }
    }

    /// That it becomes not ready and says all of `parts`, and lives.
    fn says(&mut self, parts: &[&str]) {
        let start = SystemClock::new();
        let mut last = (0, String::new());
        let said = within(60, || {
            last = self.get("/-/ready");
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.said());
            last.0 == 503 && parts.iter().all(|part| last.1.contains(part))
        });
        assert!(said, "{parts:?}: {last:?}\n{}", self.said());
        eprintln!("{:.1?} {}", start.monotonic(), last.1.trim());
        assert_eq!(self.get("/-/healthy"), (200, "healthy\n".to_owned()));
    }

    fn is_ready_soon(&mut self) {
        let start = SystemClock::new();
        let mut last = (0, String::new());
        let ready = within(60, || {
            last = self.get("/-/ready");
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.said());
            last.0 == 200
        });
        assert!(ready, "{last:?}\n{}", self.said());
        eprintln!("{:.1?} ready", start.monotonic());
    }

    /// All that it has said on its outputs.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.join("said")).unwrap()
    }

    fn has_told_no_secret(&self) {
        let all = [self.said(), self.get("/metrics").1, self.get("/api/v1/status").1, self.get("/-/ready").1].concat();
        assert!(!all.contains(CANARY), "a secret was told: {all}");
    }

    fn stop(&mut self) -> bool {
        assert!(Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success());
        self.child.wait().unwrap().success()
    }
}

impl Drop for Golden {
    fn drop(&mut self) {
        // An error says that it has ended already.
        drop(self.child.kill().and_then(|()| self.child.wait()));
    }
}

fn apply(home: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_golden")).args(["topics", "apply"]).current_dir(home).output().unwrap()
}

#[test]
fn whatever_is_missing_is_named_and_once_mended_the_work_goes_on() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(&["golden"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (servers, ca) = (cluster.servers(), cluster.certificate("ca.pem"));

    // What the settings of a process say wrongly is not mended while it runs, but a file of theirs is.
    let by_name = folder.path().join("by-name");
    settings(&by_name, &servers.replace("127.0.0.1", "localhost"), GOLDEN, &ca, "");
    let untrusted = folder.path().join("untrusted");
    settings(&untrusted, &servers, GOLDEN, &cluster.certificate("other-ca.pem"), "");
    let elsewhere = folder.path().join("elsewhere");
    settings(&elsewhere, &servers, GOLDEN, &ca, ", cluster: another");
    let mut wrong = [&by_name, &untrusted, &elsewhere].map(|folder| Golden::start(folder));
    wrong[0].says(&["certificate", "host name in log.kafka.bootstrap"]);
    wrong[1].says(&["certificate", "log.kafka.tls"]);
    wrong[2].says(&["log.kafka.cluster wants another"]);
    std::fs::copy(&ca, untrusted.join("ca.pem")).unwrap();
    wrong[1].says(&["grant DESCRIBE on the topic"]);
    wrong.iter().for_each(Golden::has_told_no_secret);
    drop(wrong);

    // One process, and one thing after the other.
    cluster.does("pause");
    let home = folder.path().join("home");
    settings(&home, &servers, ("golden", "canary-wrong"), &ca, "");
    let mut golden = Golden::start(&home);
    golden.says(&["no broker answers at log.kafka.bootstrap"]);
    cluster.does("resume");
    golden.says(&["correct log.kafka.sasl"]);
    std::fs::write(home.join("password"), PASSWORD).unwrap();
    golden.says(&["topic service-events", "grant DESCRIBE on the topic"]);
    cluster.grant("DescribeConfigs --topic");
    golden.says(&["settings of the brokers", "grant DESCRIBE_CONFIGS on the cluster"]);
    cluster.grant("--cluster");
    golden.says(&["create service-events", "golden topics apply"]);
    let refused = String::from_utf8(apply(&home).stderr).unwrap();
    assert!(refused.contains("create service-events") && refused.contains("grant CREATE"), "{refused}");
    cluster.grant("--operation Create");
    done(&apply(&home));
    golden.says(&["transactional id golden-signals.", "grant WRITE and DESCRIBE on transactional ids"]);
    cluster.grant("--transactional-id");
    golden.says(&["group golden-signals.", "grant READ on groups"]);
    cluster.grant("--group");
    golden.is_ready_soon();
    golden.has_told_no_secret();
    assert!(golden.stop(), "{}", golden.said());
}

/// What docs/kafka.md gives to a role that has a user of its own: topics to read, topics to write, groups, transactional ids.
fn rights_of(role: &str) -> [Vec<&'static str>; 4] {
    let line = DOCUMENT.lines().find(|line| line.starts_with(&format!("| `{role}` |"))).unwrap_or_else(|| panic!("no rights of {role}"));
    let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
    [1, 2, 3, 4].map(|at| cells[at].split('`').skip(1).step_by(2).collect())
}

/// `golden router` in a folder with settings: exit code, and what it said.
fn router(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_golden")).arg("router").args(args).current_dir(folder).output().unwrap();
    (output.status.code(), [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap()).concat())
}

#[test]
fn a_router_without_the_right_to_order_says_which_one_is_missing_and_changes_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(&["golden", "router"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let (servers, ca) = (cluster.servers(), cluster.certificate("ca.pem"));
    let (home, other) = (folder.path().join("home"), folder.path().join("other"));
    settings(&home, &servers, GOLDEN, &ca, "");
    settings(&other, &servers, ("router", PASSWORD), &ca, "");
    cluster.grant("--add");
    done(&apply(&home));
    let mut golden = Golden::start(&home);
    golden.is_ready_soon();

    // All that the router's user has by the documentation, but what orders need.
    let control = "golden-signals.control";
    let [read, write, groups, ids] = rights_of("--role router");
    assert!(write.contains(&control) && ids.contains(&control), "{write:?} {ids:?}");
    let of = |operation: &str, kind: &str, names: &[&str]| {
        let names: String =
            names.iter().filter(|name| **name != control || operation == "Read").map(|n| format!(" --{kind} {n}")).collect();
        format!("--operation {operation}{names}")
    };
    let prefixed = |right: String| right + " --resource-pattern-type prefixed";
    cluster.allow(
        "router",
        &[
            "--operation Describe --operation DescribeConfigs --topic service-events".to_owned(),
            prefixed("--operation Describe --operation DescribeConfigs --topic golden-signals".to_owned()),
            "--operation DescribeConfigs --cluster".to_owned(),
            of("Read", "topic", &read),
            of("Write", "topic", &write),
            prefixed(of("Read", "group", &groups)),
            prefixed("--operation Describe --group golden-signals.blue. --group golden-signals.green.".to_owned()),
            prefixed(of("Write", "transactional-id", &ids)),
        ],
    );
    let mut process = Golden::does(&other, &["router", "run"]);
    process.is_ready_soon();
    let (code, said) = router(&other, &["status"]);
    assert!(code == Some(0) && said.contains("live       blue.1"), "{code:?} {said}");
    let log = || router(&home, &["log", "--json"]);
    let before = log();
    assert!(before.0 == Some(0) && before.1.contains("start blue.1"), "{before:?}");

    // The command and the running controller are refused alike, and each right is named until it is granted.
    let hold = ["hold", "--by", "eve", "--reason", "a try"];
    let post = |process: &Golden| {
        let config = ureq::Agent::config_builder().http_status_as_error(false).build();
        let body = r#"{"by": "eve", "reason": "a try", "hold": true}"#;
        let answer =
            ureq::Agent::from(config).post(format!("{}/api/v1/router/hold", process.url)).content_type("application/json").send(body);
        let mut answer = answer.unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    };
    let refused = |process: &mut Golden, parts: &[&str]| {
        let ((code, said), (status, detail)) = (router(&other, &hold), post(process));
        assert_eq!((code, status), (Some(3), 503), "{said} {detail}");
        for part in [&["nothing changed: the control log cannot be written", "docs/kafka.md"], parts].concat() {
            assert!(said.contains(part) && detail.contains(part), "{part}: {said} {detail}");
        }
        assert!(![said, detail].concat().contains(CANARY));
        assert_eq!(log(), before, "nothing changed");
        // It forwards as before.
        process.is_ready_soon();
    };
    refused(&mut process, &["transactional id golden-signals.control", "grant WRITE and DESCRIBE on transactional ids"]);
    cluster.allow("router", &[format!("--operation Write --transactional-id {control}")]);
    refused(&mut process, &["writing to golden-signals.control", "grant WRITE on the topic"]);
    cluster.allow("router", &[format!("--operation Write --topic {control}")]);
    let (code, said) = router(&other, &hold);
    assert!(code == Some(0) && said.contains("no automatic flips from now on"), "{code:?} {said}");
    let (status, detail) = post(&process);
    assert_eq!(status, 200, "{detail}");
    let after = log().1;
    assert_eq!(after.matches("hold automatic flips").count(), 2, "{after}");
    [&golden, &process].iter().for_each(|process| process.has_told_no_secret());
    assert!(process.stop() && golden.stop(), "{}", process.said());
}

#[test]
#[ignore = "takes minutes: `make faults`"]
fn rights_may_be_taken_away_and_given_back_under_load() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(cluster) = Cluster::start(&["golden"]) else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    settings(home, &cluster.servers(), GOLDEN, &cluster.certificate("ca.pem"), "");
    cluster.grant("--add");
    done(&apply(home));
    let mut golden = Golden::start(home);
    golden.is_ready_soon();
    let clock = Arc::new(SystemClock::new());
    let urls = Mutex::new(vec![golden.url.clone()]);
    let (account, acked, stop) = (Mutex::new(Account::default()), AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let _stopping = Stopping(&stop);
        scope.spawn(|| Client::new(0, &urls, &account, &clock).run(&acked, &stop, Duration::ZERO));
        let progress = || {
            let until = acked.load(Ordering::Relaxed) + 50;
            assert!(within(60, || acked.load(Ordering::Relaxed) >= until), "nothing is taken in");
        };
        progress();
        for (right, says) in [
            ("--operation Write --transactional-id", "grant WRITE and DESCRIBE on transactional ids"),
            ("DescribeConfigs --topic golden-signals", "on the topic"),
            ("--group", "grant READ on groups"),
        ] {
            cluster.revoke(right);
            golden.says(&[says]);
            cluster.grant(right);
            golden.is_ready_soon();
            progress();
        }
        cluster.does("kill");
        golden.says(&["log.kafka.bootstrap"]);
        cluster.does("restart");
        golden.is_ready_soon();
        progress();
    });
    let account = account.into_inner().unwrap();
    let end = rfc3339(clock.wall() - clock.wall().rem_euclid(10 * SECOND) + 11 * SECOND);
    let mut status = serde_json::Value::Null;
    let closed = within(120, || {
        status = serde_json::from_str(&golden.get("/api/v1/status").1).unwrap_or_default();
        status["watermark"].as_str().is_some_and(|watermark| watermark >= end.as_str())
    });
    assert!(closed, "windows up to {end} are not closed: {status:#?}");
    let admin = Login { user: "golden".to_owned(), password: Some(Secret::new(PASSWORD)), password_file: None };
    let settings = platform_kafka::settings::Settings {
        bootstrap: cluster.servers(),
        dev: true,
        tls: Some(platform_kafka::settings::Tls { ca: Some(cluster.certificate("ca.pem")), ..Default::default() }),
        sasl: Some(Sasl::Scram512(admin)),
        ..Default::default()
    };
    let log = Kafka::new(&settings, "judge", clock).unwrap();
    // Closed is not yet published: until nothing more comes.
    let mut count = 0;
    let published = within(60, || {
        std::thread::park_timeout(Duration::from_secs(2));
        let before = std::mem::replace(&mut count, read(&log).records);
        before == count && count > 0
    });
    assert!(published, "{count} records");
    golden.has_told_no_secret();
    assert!(golden.stop(), "{}", golden.said());
    judge(&account, &read(&log));
    let (code, text) = verify(folder.path(), &[]);
    assert!(code == Some(0) && text.contains("as published"), "{text}");
}
