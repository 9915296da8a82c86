//! `golden overrides`, from a folder of Git to a store, as people and their CI run it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use serde_yaml_ng::Value;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A clone of Git with the samples in its `overrides`, and places to publish to.
struct Clone {
    folder: tempfile::TempDir,
}

impl Clone {
    fn new() -> Self {
        let clone = Self { folder: tempfile::tempdir().unwrap() };
        for sample in ["search/yelp_main%2Fapi_proxy.yaml", "shop/cart.yaml"] {
            let content = std::fs::read_to_string(format!("{ROOT}/overrides/samples/{sample}")).unwrap();
            clone.write(sample, &content);
        }
        clone.git(&["init", "--quiet", "--initial-branch", "main"]);
        clone.commit();
        clone
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.path("overrides").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn git(&self, args: &[&str]) -> String {
        let set = ["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"];
        let output = Command::new("git").arg("-C").arg(self.folder.path()).args(set).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "overrides"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Exit code, standard output and standard error.
    fn golden(&self, args: &[&str]) -> (i32, String, String) {
        said(&self.command(args).output().unwrap())
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        command.arg("overrides").args(args).current_dir(self.folder.path()).env("USER", "ann");
        command
    }

    /// What must succeed.
    fn done(&self, args: &[&str]) -> String {
        let (code, out, err) = self.golden(args);
        assert_eq!(code, 0, "{args:?}: {out}{err}");
        out
    }
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn check_names_what_is_wrong_in_every_form_and_fails() {
    let clone = Clone::new();
    assert_eq!(clone.done(&["check", "overrides"]), "2 files: nothing is wrong\n");
    clone.write("shop/pay.yaml", "owner: a\nhealth: 'availabilty > 1 ? 0 : 3'\n");
    for format in ["text", "json", "github"] {
        let (code, out, err) = clone.golden(&["check", "overrides", "--format", format]);
        assert_eq!((code, err.as_str()), (1, "error: 1 of 3 files refused\n"), "{out}");
        let expected = match format {
            "text" => "─[overrides/shop/pay.yaml:2:10]",
            "json" => r#""file":"overrides/shop/pay.yaml""#,
            _ => "::error file=overrides/shop/pay.yaml,line=2,",
        };
        assert!(out.contains(expected) && out.contains("did you mean `availability`?"), "{out}");
    }
    let (_, out, _) = clone.golden(&["check", "overrides", "--format", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()[0]["code"], "unknown-name");
    // Warnings fail nothing.
    clone.write("shop/pay.yaml", "owner: a\nhealth: 'requestCount < 60 ? 0 : availability > 0.99 ? 0 : 3'\n");
    let out = clone.done(&["check", "overrides"]);
    assert!(out.contains("did you mean 99.0?") && out.contains("3 files"), "{out}");
}

#[test]
fn examples_are_counted_and_failures_shown() {
    let clone = Clone::new();
    assert_eq!(clone.done(&["test", "overrides"]), "9 examples passed, in 2 files\n");
    clone.write(
        "shop/pay.yaml",
        "owner: a\nhealth: '2'\nexamples:\n  - {given: {requestCount: 1}, expect: 2}\n  - {given: {requestCount: 1}, expect: 3}\n",
    );
    let (code, out, err) = clone.golden(&["test", "overrides"]);
    assert_eq!((code, err.as_str()), (1, "error: 1 of 11 examples failed\n"));
    assert!(out.contains("overrides/shop/pay.yaml:5:"), "{out}");
    clone.write("shop/pay.yaml", "owner: a\nhealth: oops\nexamples: []\n");
    let (code, _, err) = clone.golden(&["test", "overrides"]);
    assert!(code == 1 && err.contains("overrides/shop/pay.yaml") && err.contains("golden overrides check"), "{err}");
}

#[test]
fn folders_that_are_no_folders_of_overrides_are_told() {
    let clone = Clone::new();
    for (folder, part) in [("none", "No such file"), (".git/refs/tags", "no overrides"), ("overrides/shop/cart.yaml", "directory")] {
        let (code, _, err) = clone.golden(&["check", folder]);
        assert!(code == 2 && err.contains(folder) && err.contains(part), "{err}");
    }
    // What does not belong there is not looked at, or told where it belongs.
    clone.write("README.md", "# Our overrides\n");
    clone.write(".hidden/x.yaml", "&");
    clone.done(&["check", "overrides"]);
    clone.write("cart.yml", "owner: a\n");
    let (code, out, _) = clone.golden(&["check", "overrides"]);
    assert!(code == 1 && out.contains("overrides/cart.yml") && out.contains("<team>/<service>.yaml"), "{out}");
    std::os::unix::fs::symlink("/etc/passwd", clone.path("overrides/shop/link.yaml")).unwrap();
    let (code, _, err) = clone.golden(&["check", "overrides"]);
    assert!(code == 2 && err.contains("link.yaml") && err.contains("links are not followed"), "{err}");
}

#[test]
fn versions_are_published_rolled_back_and_listed() {
    let clone = Clone::new();
    let first = clone.git(&["rev-parse", "HEAD"]);
    let out = clone.done(&["publish", "overrides", "--to", "store"]);
    assert!(out.starts_with("version 1 is published at store, 2 files, sha256 "), "{out}");
    assert_eq!(clone.done(&["publish", "overrides", "--to", "store"]), "version 1 at store is the same; nothing to publish\n");
    clone.write("shop/cart.yaml", "owner: someone else\n");
    let second = clone.commit();
    clone.done(&["publish", "overrides", "--to", "store", "--by", "bob"]);
    let out = clone.done(&["publish", "--rollback", "1", "--to", "store"]);
    assert!(out.starts_with("version 3 is published at store, a rollback to version 1, sha256 "), "{out}");

    let lines: Vec<String> = clone.done(&["history", "--from", "store"]).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3);
    for (line, parts) in
        lines.iter().zip([["    3  ", "ann", "rollback to 1"], ["    2  ", "bob", &second[..12]], ["    1  ", "ann", &first[..12]]])
    {
        assert!(parts.iter().all(|part| line.contains(part)), "{line}");
    }
    assert_eq!(clone.done(&["history", "cart", "--from", "store"]).lines().count(), 3);
    let service = clone.done(&["history", "yelp_main/api_proxy", "--from", "store"]);
    assert!(service.lines().count() == 1 && service.contains("search/yelp_main%2Fapi_proxy.yaml"), "{service}");
    let json = clone.done(&["history", "--from", "store", "--json", "--last", "1"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["publication"]["rollback_of"], 1);

    let (code, _, err) = clone.golden(&["publish", "--rollback", "7", "--to", "store"]);
    assert!(code == 2 && err.contains("version 7 cannot be rolled back to"), "{err}");
    clone.write("shop/cart.yaml", "owner: [\n");
    let (code, out, err) = clone.golden(&["publish", "overrides", "--to", "store"]);
    assert!(
        code == 1 && err.contains("nothing was published: 1 of 2 files refused") && out.contains("overrides/shop/cart.yaml"),
        "{out}{err}"
    );
    assert_eq!(clone.done(&["history", "--from", "store"]).lines().count(), 3);
}

#[test]
fn a_commit_that_does_not_build_on_what_is_published_is_not_published_over_it() {
    let clone = Clone::new();
    clone.git(&["checkout", "--quiet", "-b", "other"]);
    clone.write("shop/cart.yaml", "owner: other\n");
    let other = clone.commit();
    clone.done(&["publish", "overrides", "--to", "store"]);
    clone.git(&["checkout", "--quiet", "main"]);
    clone.write("shop/new.yaml", "owner: new\n");
    clone.commit();
    let (code, _, err) = clone.golden(&["publish", "overrides", "--to", "store"]);
    assert!(code == 1 && err.contains(&other) && err.contains("--over-others"), "{err}");
    clone.git(&["merge", "--quiet", "other"]);
    assert!(clone.done(&["publish", "overrides", "--to", "store"]).starts_with("version 2 "));
    // The older commit again, by a job that was late.
    clone.git(&["checkout", "--quiet", "other"]);
    assert_eq!(clone.golden(&["publish", "overrides", "--to", "store"]).0, 1);
    assert!(clone.done(&["publish", "overrides", "--to", "store", "--over-others"]).starts_with("version 3 "));
}

#[test]
fn keys_are_made_once_readable_by_their_owner_only_and_never_shown() {
    use std::os::unix::fs::PermissionsExt;
    let clone = Clone::new();
    let (code, public, err) = clone.golden(&["keygen", "key.pem"]);
    assert!(code == 0 && err.contains("key.pem"), "{err}");
    let pem = std::fs::read_to_string(clone.path("key.pem")).unwrap();
    let secret = pem.lines().nth(1).unwrap();
    assert_eq!(std::fs::metadata(clone.path("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(clone.golden(&["keygen", "key.pem"]).0, 2);
    assert_eq!(std::fs::read_to_string(clone.path("key.pem")).unwrap(), pem);

    let mut all = clone.done(&["publish", "overrides", "--to", "store", "--sign", "key.pem"]);
    all += &clone.done(&["history", "--from", "store"]);
    assert!(all.contains("signed"));
    let by_key = |key: &str| clone.golden(&["history", "--from", "store", "--key", key.trim()]);
    assert!(by_key(&public).1.trim_end().ends_with("  signed with this key"));
    let (_, other, _) = clone.golden(&["keygen", "other.pem"]);
    let (code, out, err) = by_key(&other);
    assert!(code == 1 && out.contains("NOT signed") && err.contains("1 of 1 version not signed"), "{out}{err}");
    std::fs::write(clone.path("bad.pem"), format!("{secret}\n")).unwrap();
    let (code, out, err) = clone.golden(&["publish", "overrides", "--to", "store", "--sign", "bad.pem"]);
    assert!(code == 2 && err.contains("bad.pem"), "{err}");
    assert!(![all, public, out, err].iter().any(|text| text.contains(secret)));
}

/// Calls a command of the S3 script; `None` where there is no server.
fn s3(args: &[&str]) -> Option<String> {
    let output = Command::new(format!("{ROOT}/tests/s3/s3")).args(args).output().unwrap();
    if !output.status.success() {
        // Not by a macro, whose lines the test harness keeps to itself.
        let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        std::io::stderr().write_all(format!("SKIPPED: a test on a real S3 server: {why}\n").as_bytes()).unwrap();
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn s3_is_reached_by_flags_and_by_what_other_aws_tools_read() {
    let clone = Clone::new();
    let dir = clone.path("s3").display().to_string();
    if s3(&["install"]).is_none() {
        return;
    }
    let owner = std::process::id().to_string();
    let url = s3(&["start", "--dir", &dir, "--bucket", "golden", "--owner", &owner]).unwrap();
    let run = |args: &[&str], set: &[(&str, &str)]| {
        let mut command = clone.command(args);
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_PROFILE"] {
            command.env_remove(name);
        }
        said(&command.envs(set.iter().copied()).output().unwrap())
    };
    let keys = [("AWS_ACCESS_KEY_ID", "golden"), ("AWS_SECRET_ACCESS_KEY", "golden-secret"), ("AWS_REGION", "us-east-1")];
    let place = "s3://golden/overrides";
    let (code, out, err) = run(&["publish", "overrides", "--to", place, "--endpoint", &url], &keys);
    assert!(code == 0 && out.starts_with("version 1 is published at s3://golden/overrides"), "{out}{err}");
    let endpoint = [keys.as_slice(), &[("AWS_ENDPOINT_URL", url.as_str())]].concat();
    let (code, out, err) = run(&["history", "--from", place], &endpoint);
    assert!(code == 0 && out.starts_with("    1  "), "{out}{err}");
    s3(&["kill", &dir]).unwrap();
    let (code, _, err) = run(&["history", "--from", place], &endpoint);
    assert!(code == 3 && err.contains("s3://golden/overrides/current.json") && err.contains("check the network"), "{err}");
    assert!(!err.contains("golden-secret"));
}

/// Runs a step of CI in a shell, with the program on its PATH.
fn step(clone: &Clone, shell: &[&str], script: &str, set: &[(String, String)]) -> (i32, String, String) {
    let golden = Path::new(env!("CARGO_BIN_EXE_golden")).parent().unwrap().display().to_string();
    let path = std::env::vars().find(|(name, _)| name == "PATH").map(|(_, value)| format!("{golden}:{value}")).unwrap();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).arg(script).current_dir(clone.folder.path()).env("PATH", path).envs(set.iter().cloned());
    said(&command.output().unwrap())
}

/// After the steps of a commit: one signed version more.
fn assert_published(clone: &Clone, versions: usize, commit: &str) {
    let history = clone.done(&["history", "--from", "store"]);
    let newest = history.lines().next().unwrap();
    assert_eq!(history.lines().count(), versions, "{history}");
    assert!(newest.contains(&commit[..12]) && newest.contains("signed") && newest.contains("robot"), "{newest}");
}

#[test]
fn the_workflow_for_github_checks_and_publishes() {
    let text = std::fs::read_to_string(format!("{ROOT}/overrides/ci/github-actions.yml")).unwrap();
    let workflow: Value = serde_yaml_ng::from_str(&text).unwrap();
    assert_eq!(workflow["jobs"]["publish"]["needs"], "check");
    assert_eq!(workflow["jobs"]["publish"]["steps"][0]["with"]["fetch-depth"], 0);
    let clone = Clone::new();
    clone.done(&["keygen", "key.pem"]);
    let steps = |job: &str, commit: &str| -> Vec<(i32, String, String)> {
        let steps = workflow["jobs"][job]["steps"].as_sequence().unwrap().iter().filter(|step| step.get("run").is_some());
        let run = |one: &Value| {
            let given = |value: &str| match value {
                "${{ vars.OVERRIDES_PLACE }}" => "store".to_owned(),
                "${{ secrets.OVERRIDES_SIGNING_KEY }}" => std::fs::read_to_string(clone.path("key.pem")).unwrap(),
                other => panic!("{other} is not set in a repository"),
            };
            let own = one["env"].as_mapping().into_iter().flatten();
            let mut set: Vec<_> = own.map(|(name, value)| (name.as_str().unwrap().to_owned(), given(value.as_str().unwrap()))).collect();
            set.push(("GITHUB_ACTOR".to_owned(), "robot".to_owned()));
            set.push(("GITHUB_SHA".to_owned(), commit.to_owned()));
            step(&clone, &["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"], one["run"].as_str().unwrap(), &set)
        };
        steps.map(run).collect()
    };
    for version in 1..=2 {
        clone.write("shop/cart.yaml", &format!("owner: number {version}\n"));
        let commit = clone.commit();
        for (code, out, err) in steps("check", &commit).into_iter().chain(steps("publish", &commit)) {
            assert_eq!(code, 0, "{out}{err}");
        }
        assert_published(&clone, version, &commit);
    }
    clone.write("shop/cart.yaml", "owner: [\n");
    let commit = clone.commit();
    let checks = steps("check", &commit);
    assert_eq!(checks.iter().map(|(code, ..)| *code).collect::<Vec<_>>(), [1, 1]);
    assert!(checks[0].1.starts_with("::error file=overrides/shop/cart.yaml,line="), "{}", checks[0].1);
    assert_eq!(steps("publish", &commit)[0].0, 1);
    let left: Vec<_> = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten().map(|entry| entry.path()).collect();
    let pem = std::fs::read_to_string(clone.path("key.pem")).unwrap();
    assert!(!left.iter().any(|path| std::fs::read_to_string(path).is_ok_and(|text| text == pem)), "a key is left behind");
}

#[test]
fn the_jenkinsfile_checks_and_publishes() {
    let text = std::fs::read_to_string(format!("{ROOT}/overrides/ci/Jenkinsfile")).unwrap();
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
        assert_eq!(code.matches(open).count(), code.matches(close).count(), "{open}");
    }
    assert!(code.starts_with("pipeline {") && code.contains("when { branch 'main' }"));
    let mut scripts: Vec<String> = code
        .split("sh '")
        .skip(1)
        .map(|rest| match rest.strip_prefix("''") {
            Some(long) => long.split("'''").next().unwrap().to_owned(),
            None => rest.split('\'').next().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(scripts.len(), 4, "{scripts:?}");
    // That one needs a running service: tests/service/overrides_backtest.rs runs its like.
    scripts.retain(|script| !script.contains("backtest"));
    let clone = Clone::new();
    clone.done(&["keygen", "key.pem"]);
    let run = |commit: &str| -> Vec<(i32, String, String)> {
        let given = [("OVERRIDES_PLACE", "store"), ("SIGNING_KEY_FILE", "key.pem"), ("BUILD_TAG", "robot"), ("GIT_COMMIT", commit)];
        let set: Vec<_> = given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        scripts.iter().map(|script| step(&clone, &["sh", "-xe", "-c"], script, &set)).collect()
    };
    for version in 1..=2 {
        clone.write("shop/cart.yaml", &format!("owner: number {version}\n"));
        let commit = clone.commit();
        for (code, out, err) in run(&commit) {
            assert_eq!(code, 0, "{out}{err}");
        }
        assert_published(&clone, version, &commit);
    }
    clone.write("shop/cart.yaml", "owner: [\n");
    let commit = clone.commit();
    assert!(run(&commit).iter().all(|(code, ..)| *code == 1));
}

const OPENSLO: &str = r#"apiVersion: openslo/v1
kind: SLO
metadata: {name: cart-availability}
spec:
  service: cart
  indicator:
    metadata: {name: good}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total{code!~"5.."}[5m]))'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(rate(http_requests_total[5m]))'}}}
  timeWindow: [{duration: 4w, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{displayName: good, target: 0.9995}]
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: mailer-latency}
spec:
  service: mailer
  indicator: {metadata: {name: p}, spec: {thresholdMetric: {metricSource: {spec: {query: latency}}}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{op: lte, value: 1, target: 0.95}]
"#;

#[test]
fn objectives_of_openslo_are_printed_or_written_into_files_and_all_or_none_of_them() {
    let clone = Clone::new();
    let import = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_golden"));
        said(&command.args(["slo", "import"]).args(args).current_dir(clone.folder.path()).output().unwrap())
    };
    let file = |path: &str| std::fs::read_to_string(clone.path("overrides").join(path)).unwrap_or_default();
    let before = file("shop/cart.yaml");
    std::fs::write(clone.path("openslo.yaml"), OPENSLO).unwrap();
    let (code, out, err) = import(&["openslo.yaml"]);
    assert!(code == 0 && out.contains("# cart\n") && out.contains("99.95") && out.contains("# mailer\n"), "{code}: {out}{err}");

    // Whose file it is must be said of a service that has none, and then nothing is written at all.
    let (code, _, err) = import(&["openslo.yaml", "--into", "overrides"]);
    assert!(code == 2 && err.contains("--team") && file("shop/cart.yaml") == before, "{code}: {err}");
    let bad = OPENSLO.replace("op: lte", "op: gte");
    std::fs::write(clone.path("bad.yaml"), bad).unwrap();
    let (code, _, err) = import(&["bad.yaml", "--into", "overrides", "--team", "post"]);
    assert!(code == 1 && err.contains("mailer-latency") && file("shop/cart.yaml") == before, "{code}: {err}");
    assert!(!clone.path("overrides/post").exists(), "nothing is written when a document is refused");

    let (code, out, err) = import(&["openslo.yaml", "--into", "overrides", "--team", "post"]);
    assert!(code == 0 && out.contains("post/mailer.yaml"), "{code}: {out}{err}");
    let objectives = |path: &str| serde_yaml_ng::from_str::<Value>(&file(path)).unwrap()["objectives"].clone();
    assert_eq!(objectives("shop/cart.yaml")["availability"].as_str(), Some("99.95%"), "{}", file("shop/cart.yaml"));
    assert_eq!(objectives("post/mailer.yaml")["latency"]["threshold"].as_str(), Some("1000ms"), "{}", file("post/mailer.yaml"));
    assert!(file("post/mailer.yaml").starts_with("owner: post\n"));
    let (code, _, err) = clone.golden(&["check", "overrides"]);
    assert_eq!(code, 0, "what was written is a file of overrides: {err}");
}
