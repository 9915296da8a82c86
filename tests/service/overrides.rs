//! Overrides in the running service: from `golden overrides publish` to the records, over restarts, with good and bad files.
//!
//! How bundles are stored is shown in `overrides/bundle`, what rules do to events and windows in `pipeline`.

use super::process::{Service, eventually, within};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// Windows that close soon, and decisions that count soon.
const SETTINGS: &str = "pipeline: {window: 10s, bound: 1s, hold: 5s, skew: 2s, lead: 5s, exemplars: false, groupings: {service: [], \
                        service_swimlane: [swimlane]}}\nruntime: {commit_interval: 100ms}\nlog: {partitions: 2}\n";

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.dir.path().join("git").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Runs `golden overrides …`; gives whether it succeeded, and what it said.
    fn overrides(&self, args: &[&str]) -> (bool, String) {
        let done = Command::new(env!("CARGO_BIN_EXE_golden")).arg("overrides").args(args).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    fn publish(&self) {
        let (done, said) = self.overrides(&["publish", &self.path("git"), "--to", &self.path("bundles")]);
        assert!(done, "{said}");
    }

    fn start(&self) -> Service {
        let settings = format!("{SETTINGS}overrides: {{from: {:?}, poll: 1s}}\n", self.path("bundles"));
        std::fs::write(self.path("golden.yaml"), settings).unwrap();
        Service::start(&["--data", &self.path("data")], Some(Path::new(&self.path("golden.yaml"))))
    }
}

/// Sends two requests of each service now, one of them a 429.
fn feed(service: &Service) -> bool {
    let now = SystemClock::new().wall() / 1_000_000;
    let event = |name: &str, status: u16| {
        json!({"service": name, "timestamp": now, "duration_ns": 5_000_000, "status": status, "host": "h1"}).to_string()
    };
    let lines: Vec<String> = ["cart", "till"].iter().flat_map(|name| [event(name, 200), event(name, 429)]).collect();
    let request = ureq::post(&format!("{}/api/v1/events", service.url)).header("content-type", "application/x-ndjson");
    request.send(lines.join("\n").as_bytes()).is_ok()
}

/// Records of a service and grouping, by start of the window.
fn records(service: &Service, name: &str, grouping: &str) -> BTreeMap<String, Value> {
    let all = service.get(&format!("/api/v1/services/{name}/signals?grouping={grouping}&limit=10000"));
    let all = all.map(|answer| answer["records"].as_array().cloned().unwrap_or_default()).unwrap_or_default();
    all.into_iter().map(|record| (record["window_start"].as_str().unwrap().to_owned(), record)).collect()
}

fn versions(records: &BTreeMap<String, Value>) -> Vec<u64> {
    let mut versions: Vec<u64> = records.values().map(|record| record["override"]["version"].as_u64().unwrap()).collect();
    versions.dedup();
    versions
}

/// Feeds until it is so.
fn feeding(service: &Service, what: &str, seconds: u64, mut so: impl FnMut() -> bool) {
    eventually(what, seconds, || {
        assert!(feed(service));
        so()
    });
}

#[test]
fn what_a_team_publishes_is_in_force_from_one_window_on_and_stays_without_the_place_it_was_published_to() {
    let world = World::new();
    let mut service = world.start();
    feeding(&service, "a window without overrides", 60, || !records(&service, "cart", "service").is_empty());
    world.write(
        "shop/cart.yaml",
        "owner: shop\nhealth: 'errorCount > 0 ? 3 : 1'\nerrors: 'status == 429 ? \"error\" : outcome'\ntags: {swimlane: \"svcHost == 'h1' ? 'ec2' : ''\"}\n",
    );
    world.publish();
    feeding(&service, "the override in records", 60, || versions(&records(&service, "cart", "service")).ends_with(&[1]));
    let cart = records(&service, "cart", "service");
    assert_eq!(versions(&cart), [0, 1], "one change, at one window");
    let (before, after) = (cart.values().next().unwrap(), cart.values().next_back().unwrap());
    assert_eq!((&before["errors"]["count"], &before["health"]["level"]), (&json!(0), &json!(0)));
    assert_eq!((&after["health"]["level"], &after["health"]["reason"]), (&json!(3), &json!("rule")));
    assert_eq!(after["errors"]["count"].as_u64().unwrap() * 2, after["requests"]["count"].as_u64().unwrap());
    // FOLD and CLOSE have changed at the same window: all of it has the tag, or none.
    let lanes = records(&service, "cart", "service_swimlane");
    for (start, record) in &lanes {
        let lane = if cart[start]["override"]["version"] == 1 { "ec2" } else { "" };
        assert_eq!((&record["dimensions"]["swimlane"], &record["events"]), (&json!(lane), &cart[start]["events"]), "{start}");
    }
    assert_eq!(versions(&records(&service, "till", "service")), [0], "nobody else is touched");
    assert_eq!(service.get("/api/v1/overrides").unwrap()["in_force"], 1);
    let shown = service.get("/api/v1/overrides/cart").unwrap();
    assert_eq!((&shown["files"][0]["version"], &shown["files"][0]["path"]), (&json!(1), &json!("shop/cart.yaml")));

    // A bad file keeps what its service had; the others move on, and it is said where it is wrong.
    world.write("shop/cart.yaml", "owner: shop\nhealth: 'availabilty > 99 ? 0 : 3'\n");
    world.write("shop/till.yaml", "owner: shop\nhealth: 'requestCount > 0 ? 2 : 0'\n");
    let (done, said) = world.overrides(&["check", &world.path("git")]);
    assert!(!done && said.contains("did you mean `availability`"), "{said}");
    publish_unchecked(&world);
    feeding(&service, "the other team's override", 60, || versions(&records(&service, "till", "service")).ends_with(&[2]));
    let cart = records(&service, "cart", "service");
    let last = cart.values().next_back().unwrap();
    assert_eq!((&last["override"]["version"], &last["health"]["level"]), (&json!(2), &json!(3)), "the last good file stays");
    let rejected = service.get("/api/v1/overrides/cart").unwrap()["rejected"].clone();
    assert_eq!((&rejected["path"], &rejected["line"]), (&json!("shop/cart.yaml"), &json!(2)));

    // Without the place, and after a restart, the last good version is in force.
    assert!(service.stop());
    std::fs::remove_dir_all(world.path("bundles")).unwrap();
    let mut service = world.start();
    let seen = records(&service, "till", "service").len();
    feeding(&service, "windows after the restart", 60, || records(&service, "till", "service").len() > seen + 1);
    assert_eq!(records(&service, "till", "service").values().next_back().unwrap()["override"]["version"], 2);
    assert!(within(10, || service.get("/api/v1/overrides").is_some_and(|o| o["polls"]["error"].is_string())));
    assert_eq!(service.get("/api/v1/overrides").unwrap()["in_force"], 2);

    // Recomputed from the events, with the control log as the second input: the same, window by window.
    let cart = records(&service, "cart", "service");
    assert!(service.stop());
    let (from, to) = (cart.keys().next().unwrap(), cart.keys().next_back().unwrap());
    let args = ["verify", "--from", from, "--to", to, "--data", &world.path("data"), "--config", &world.path("golden.yaml")];
    let verified = Command::new(env!("CARGO_BIN_EXE_golden")).args(args).output().unwrap();
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && said.contains("as published"), "{said}{}", String::from_utf8_lossy(&verified.stderr));
}

/// What no check stood before, such as an older publisher: the bundle as the crate makes it.
fn publish_unchecked(world: &World) {
    use golden_bundle::folder::Folder;
    use golden_bundle::publish::{Order, What, publish};
    let mut files = golden_overrides::archive::Files::new();
    for name in ["shop/cart.yaml", "shop/till.yaml"] {
        files.insert(name.to_owned(), std::fs::read(world.dir.path().join("git").join(name)).unwrap());
    }
    let order = Order { what: What::Files(&files), by: "somebody", commit: None, at: "2026-01-01T00:00:00Z", nonce: "5eed", key: None };
    publish(&Folder::new(Path::new(&world.path("bundles"))), &order, &|_| Ok(())).unwrap();
}

/// What the error says, and the pointer and the bundle that it is about, where they are.
type Damage = (&'static str, Option<Vec<u8>>, Option<Vec<u8>>);

/// What `publish` makes of a folder, in a place of its own: pointer, and bundle with its name.
fn offered(world: &World, folder: &str, to: &str) -> (Vec<u8>, String, Vec<u8>) {
    let (done, said) = world.overrides(&["publish", &world.path(folder), "--to", &world.path(to), "--sign", &world.path("key.pem")]);
    assert!(done, "{said}");
    let pointer = std::fs::read(world.dir.path().join(to).join("current.json")).unwrap();
    let name = serde_json::from_slice::<Value>(&pointer).unwrap()["sha256"].as_str().unwrap().to_owned();
    let bundle = std::fs::read(world.dir.path().join(to).join("bundles").join(&name)).unwrap();
    (pointer, name, bundle)
}

#[test]
fn a_damaged_bundle_changes_nothing_under_load_and_a_mended_one_is_enough() {
    let world = World::new();
    let (done, key) = world.overrides(&["keygen", &world.path("key.pem")]);
    assert!(done, "{key}");
    let key = key.lines().find_map(|line| line.split_whitespace().find(|word| word.len() == 44 && word.ends_with('='))).unwrap().to_owned();
    world.write("shop/cart.yaml", "owner: shop\nhealth: 'requestCount > 0 ? 2 : 0'\n");
    let (first, first_name, first_bundle) = offered(&world, "git", "bundles");
    let settings = format!("{SETTINGS}overrides: {{from: {:?}, poll: 1s, public_key: {key:?}}}\n", world.path("bundles"));
    std::fs::write(world.path("golden.yaml"), settings).unwrap();
    let service = Service::start(&["--data", &world.path("data")], Some(Path::new(&world.path("golden.yaml"))));
    feeding(&service, "the first version in force", 60, || service.get("/api/v1/overrides").is_some_and(|shown| shown["in_force"] == 1));

    // The second version, and another first one, as their publishers made them elsewhere.
    world.write("shop/cart.yaml", "owner: shop\nhealth: 'requestCount > 0 ? 3 : 0'\n");
    let (other, _, _) = offered(&world, "git", "elsewhere");
    for (path, content) in [("next/current.json", &first), (&format!("next/bundles/{first_name}"), &first_bundle)] {
        let path = world.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    let (second, name, bundle) = offered(&world, "git", "next");
    let (pointer_path, bundle_path) = (world.path("bundles/current.json"), world.path(&format!("bundles/bundles/{name}")));
    let changed = |from: &str, to: &str| String::from_utf8(second.clone()).unwrap().replacen(from, to, 1).into_bytes();
    let edited = |edit: fn(&mut Value)| {
        let mut pointer: Value = serde_json::from_slice(&second).unwrap();
        edit(&mut pointer);
        pointer.to_string().into_bytes()
    };
    let unsigned = edited(|pointer| drop(pointer.as_object_mut().unwrap().remove("signature")));
    let forged = edited(|pointer| pointer["published_by"] = json!("somebody else"));
    let mut flipped = bundle.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let whole = Some(bundle.clone());
    let damages: [Damage; 14] = [
        ("EOF", Some(vec![]), whole.clone()),
        ("EOF", Some(second[..100].to_vec()), whole.clone()),
        ("expected value", Some(b"<Error><Code>AccessDenied</Code></Error>".to_vec()), whole.clone()),
        ("8192", Some(vec![b' '; 9000]), whole.clone()),
        ("unknown field", Some(changed("{", "{\"more\": 1,")), whole.clone()),
        ("version 1 stays", None, whole.clone()),
        ("--sign", Some(unsigned), whole.clone()),
        ("not signed with the key", Some(forged), whole.clone()),
        ("`sha256`", Some(changed(&name, "../../etc/passwd")), whole.clone()),
        ("versions never change", Some(other), whole),
        ("is missing", Some(second.clone()), None),
        ("1048576", Some(second.clone()), Some(vec![0; (1 << 20) + 1])),
        ("another hash", Some(second.clone()), Some(flipped)),
        ("another hash", Some(second.clone()), Some(bundle[..bundle.len() / 2].to_vec())),
    ];
    let put = |path: &str, content: Option<&[u8]>| match content {
        Some(content) => {
            // Whole at once, as stores do it.
            std::fs::write(format!("{path}.new"), content).unwrap();
            std::fs::rename(format!("{path}.new"), path).unwrap();
        }
        None => drop(std::fs::remove_file(path)),
    };
    let error = || service.get("/api/v1/overrides").and_then(|shown| shown["polls"]["error"].as_str().map(str::to_owned));
    for (why, pointer, content) in &damages {
        put(&bundle_path, content.as_deref());
        put(&pointer_path, pointer.as_deref());
        feeding(&service, why, 20, || error().is_some_and(|said| said.contains(why)));
        put(&pointer_path, Some(&first));
        feeding(&service, "a poll that succeeds", 20, || error().is_none());
    }
    let shown = service.get("/api/v1/overrides").unwrap();
    assert_eq!((&shown["in_force"], shown["versions"].as_array().unwrap().len()), (&json!(1), 1), "nothing of all this counts");
    put(&bundle_path, Some(&bundle));
    put(&pointer_path, Some(&second));
    feeding(&service, "the second version in records", 60, || versions(&records(&service, "cart", "service")).ends_with(&[2]));
    assert!(records(&service, "till", "service").values().all(|record| record["override"]["version"] == 0));
}
