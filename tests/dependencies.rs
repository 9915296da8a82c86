//! Dependencies point one way (ARCHITECTURE.md), engines are linked in one place, and licences are permissive. Read from `cargo metadata`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Packages by id: name, licence, direct normal dependencies.
struct Graph {
    names: BTreeMap<String, String>,
    licences: BTreeMap<String, String>,
    edges: BTreeMap<String, BTreeSet<String>>,
}

fn graph() -> Graph {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let args =
        ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu", "--manifest-path", manifest];
    let output = Command::new(env!("CARGO")).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |v: &serde_json::Value| v.as_str().unwrap_or_default().to_owned();
    let packages = || all["packages"].as_array().unwrap().iter();
    let normal = |dep: &serde_json::Value| dep["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null());
    let edges = |node: &serde_json::Value| node["deps"].as_array().unwrap().iter().filter(|d| normal(d)).map(|d| text(&d["pkg"])).collect();
    Graph {
        names: packages().map(|p| (text(&p["id"]), text(&p["name"]))).collect(),
        licences: packages().map(|p| (text(&p["name"]), text(&p["license"]))).collect(),
        edges: all["resolve"]["nodes"].as_array().unwrap().iter().map(|n| (text(&n["id"]), edges(n))).collect(),
    }
}

impl Graph {
    /// Names of all that a package needs to run, itself left out.
    fn needs(&self, name: &str) -> BTreeSet<String> {
        let start = self.names.iter().find(|(_, n)| *n == name).map(|(id, _)| id.clone()).unwrap();
        let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
        while let Some(id) = open.pop() {
            for next in &self.edges[&id] {
                if seen.insert(next.clone()) {
                    open.push(next.clone());
                }
            }
        }
        seen.iter().map(|id| self.names[id].clone()).collect()
    }
}

#[test]
fn dependencies_point_one_way() {
    let graph = graph();
    let core = graph.needs("platform-core");
    let allowed = [
        "equivalent",
        "foldhash",
        "hashbrown",
        "indexmap",
        "serde",
        "serde_core",
        "serde_derive",
        "thiserror",
        "thiserror-impl",
        "proc-macro2",
        "quote",
        "syn",
        "unicode-ident",
    ];
    assert!(core.iter().all(|n| allowed.contains(&n.as_str())), "platform-core needs {core:?}");
    for platform in ["platform-core", "platform-rocks", "platform-kafka", "platform-runtime", "platform-testkit"] {
        assert!(!graph.needs(platform).iter().any(|n| n.starts_with("golden-")), "{platform} knows a golden signal");
    }
    assert!(!graph.needs("golden-pipeline").contains("golden-router") && !graph.needs("golden-router").contains("golden-pipeline"));
    assert!(
        !graph.needs("golden-dashboards").iter().any(|n| n.starts_with("golden-") || n.starts_with("platform-")),
        "boards know names only"
    );
    for pure in ["golden-pipeline", "golden-router", "golden-generate", "golden-overrides"] {
        let needs = graph.needs(pure);
        for engine in ["tokio", "axum", "hyper", "rocksdb", "librocksdb-sys", "rdkafka", "rdkafka-sys"] {
            assert!(!needs.contains(engine), "{pure} needs {engine}");
        }
    }
}

#[test]
fn each_engine_is_linked_in_one_place() {
    let graph = graph();
    for (engine, place) in [("rocksdb", "platform-rocks"), ("rdkafka", "platform-kafka"), ("aws-sdk-s3", "golden-bundle")] {
        let needing =
            |(id, deps): (&String, &BTreeSet<String>)| deps.iter().any(|d| graph.names[d] == engine).then(|| graph.names[id].clone());
        let linking: Vec<String> = graph.edges.iter().filter_map(needing).collect();
        assert_eq!(linking, [place]);
    }
}

#[test]
fn licences_are_permissive() {
    let allowed = [
        "MIT",
        "MIT-0",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "0BSD",
        "CC0-1.0",
        "BSL-1.0",
        "Unlicense",
    ];
    let fits = |one: &str| allowed.contains(&one.trim_matches(|c: char| c == '(' || c == ')' || c.is_whitespace()));
    let graph = graph();
    // What runs in the program; tools that only build or test may have others.
    for name in graph.needs("golden-signals") {
        let licence = graph.licences[&name].replace('/', " OR ");
        assert!(licence.split(" OR ").any(|choice| choice.split(" AND ").all(fits)), "{name} is under {licence}");
    }
}
