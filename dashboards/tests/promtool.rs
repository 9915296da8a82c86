//! Rules, queries and Alertmanager's configuration before Prometheus' own tools: every query is `PromQL`, no lint of promtool complains, the test
//! cases beside the rules hold, and alerts go where they must.
//!
//! Where promtool is neither installed nor can be built these tests fail, and say how to get it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

use golden_dashboards::{alerts, boards, recording, slo};
use std::path::{Path, PathBuf};
use std::process::Command;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What `promtool` or `amtool` says, or why it is not content.
fn tool(args: &[&str]) -> Result<String, String> {
    let output = Command::new(here("../tests/prometheus/prometheus-stack")).args(args).current_dir(here(".")).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(
        !said.contains("needs Go"),
        "{said}\nthis test wants promtool and amtool: `tests/prometheus/prometheus-stack install` builds them, once, with Go 1.26 or newer"
    );
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn content(args: &[&str]) {
    tool(args).unwrap_or_else(|said| panic!("{args:?}: {said}"));
}

#[test]
fn rules_pass_every_lint() {
    content(&[
        "promtool",
        "check",
        "rules",
        "--lint=all",
        "--lint-fatal",
        "prometheus/rules.yaml",
        "prometheus/slo.yaml",
        "prometheus/alerts.yaml",
    ]);
}

#[test]
fn records_and_alerts_are_what_their_test_cases_say() {
    let mut files: Vec<String> = std::fs::read_dir(here("prometheus/tests"))
        .unwrap()
        .map(|file| format!("prometheus/tests/{}", file.unwrap().file_name().into_string().unwrap()))
        .collect();
    files.sort();
    let args: Vec<&str> = ["promtool", "test", "rules"].into_iter().chain(files.iter().map(String::as_str)).collect();
    content(&args);
}

#[test]
fn every_alert_has_test_cases() {
    let cases: String =
        ["services", "pipeline", "burn"].map(|n| std::fs::read_to_string(here(&format!("prometheus/tests/{n}.yaml"))).unwrap()).concat();
    for rule in alerts::groups().into_iter().flat_map(|group| group.rules) {
        let golden_dashboards::rules::Rule::Alert(alert) = rule else { continue };
        let of = |expected: &str| {
            let lines: Vec<&str> = cases.lines().collect();
            lines.windows(2).any(|pair| pair[0].contains(&format!("\"{}\"", alert.alert)) && pair[1].trim() == expected)
        };
        assert!(of("exp_samples:"), "no case in which {} fires", alert.alert);
        assert!(of("exp_samples: []"), "no case in which {} does not", alert.alert);
    }
}

#[test]
fn every_alert_has_its_words_tested() {
    let cases = std::fs::read_to_string(here("prometheus/tests/words.yaml")).unwrap();
    let (mut wanted, mut found) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for rule in alerts::groups().into_iter().flat_map(|group| group.rules) {
        let golden_dashboards::rules::Rule::Alert(alert) = rule else { continue };
        wanted.insert(alert.alert);
    }
    for name in cases.lines().filter_map(|line| line.trim().strip_prefix("alertname: ")) {
        found.insert(name.to_owned());
    }
    assert_eq!(found, wanted);
}

/// The query as Grafana would send it.
fn filled(query: &str) -> String {
    let names = [
        ("$__rate_interval", "4m"),
        ("$__range", "1h"),
        ("$window", "1m"),
        ("$tenant", ".*"),
        ("$env", ".*"),
        ("$service", "cart"),
        ("$slo", ".*"),
    ];
    names.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
}

#[test]
fn every_query_is_promql() {
    let of_boards = boards::all()
        .into_iter()
        .flat_map(|(_, board)| board.panels().flat_map(|p| p.targets.clone()).map(|t| filled(&t.query)).collect::<Vec<_>>());
    let of_rules =
        [recording::groups(), slo::groups(), alerts::groups()].concat().into_iter().flat_map(|g| g.rules).map(|r| r.expr().to_owned());
    for query in of_boards.chain(of_rules) {
        assert!(!query.contains("$__") && !query.contains("{service"), "a variable is left: {query}");
        content(&["promtool", "--experimental", "promql", "format", &query]);
    }
}

#[test]
fn the_scrape_configuration_is_accepted() {
    let folder = std::env::temp_dir().join(format!("golden-dashboards-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("rules")).unwrap();
    for name in ["rules", "slo", "alerts"] {
        std::fs::copy(here(&format!("prometheus/{name}.yaml")), folder.join(format!("rules/{name}.yaml"))).unwrap();
    }
    std::fs::copy(here("prometheus/prometheus.yml"), folder.join("prometheus.yml")).unwrap();
    let said = tool(&["promtool", "check", "config", "--lint=all", "--lint-fatal", folder.join("prometheus.yml").to_str().unwrap()]);
    std::fs::remove_dir_all(&folder).unwrap();
    said.unwrap();
}

#[test]
fn alerts_go_to_whom_they_concern() {
    content(&["amtool", "check-config", "alertmanager/alertmanager.yml"]);
    for (receiver, labels) in [
        ("team-page", "alertname=GoldenSignalsServiceCritical severity=critical team=shop@example.com criticality=high service_name=cart"),
        ("team-page", "alertname=GoldenSignalsServiceCritical severity=critical team=shop@example.com service_name=cart"),
        ("team-page", "alertname=GoldenSignalsErrorBudgetBurn severity=critical team=shop@example.com service_name=cart"),
        ("team-mail", "alertname=GoldenSignalsServiceCritical severity=critical team=shop@example.com criticality=low service_name=cart"),
        ("team-mail", "alertname=GoldenSignalsErrorBudgetBurn severity=warning team=shop@example.com service_name=cart"),
        ("team-mail", "alertname=GoldenSignalsSaturationHigh severity=warning team=shop@example.com criticality=high service_name=cart"),
        ("operators", "alertname=GoldenSignalsServiceCritical severity=critical service_name=cart"),
        ("operators", "alertname=GoldenSignalsSignalsStale severity=critical team=golden-signals"),
        ("operators", "alertname=GoldenSignalsWindowIncomplete severity=warning team=golden-signals"),
        ("notes", "alertname=GoldenSignalsRouterFlipped severity=info team=golden-signals"),
        ("operators", "alertname=SomethingElse severity=none team=shop"),
    ] {
        let verify = format!("--verify.receivers={receiver}");
        let mut args = vec!["amtool", "config", "routes", "test", "--config.file=alertmanager/alertmanager.yml", &verify];
        args.extend(labels.split(' '));
        content(&args);
    }
}

#[test]
fn templates_say_who_is_ill_what_to_do_and_where_to_look() {
    let data = serde_json::json!({
        "receiver": "team-mail", "status": "firing", "externalURL": "http://127.0.0.1:9093",
        "groupLabels": {"team": "shop@example.com", "service_name": "cart"},
        "commonLabels": {"service_name": "cart", "severity": "critical"},
        "commonAnnotations": {"summary": "cart is critical"},
        "alerts": [
            {
                "status": "firing", "labels": {"severity": "critical", "service_name": "cart"},
                "annotations": {
                    "summary": "cart is critical", "description": "By the rule in force.",
                    "runbook_url": "runbooks/GoldenSignalsServiceCritical.md", "dashboard_url": "/d/golden-signals-service?var-service=cart",
                },
                "startsAt": "2026-01-05T10:00:00Z", "endsAt": "0001-01-01T00:00:00Z",
            },
            {
                "status": "resolved", "labels": {"severity": "warning", "service_name": "cart"},
                "annotations": {
                    "summary": "cart was degraded", "description": "Over.",
                    "runbook_url": "runbooks/GoldenSignalsServiceDegraded.md", "dashboard_url": "/d/golden-signals-service?var-service=cart",
                },
                "startsAt": "2026-01-05T09:00:00Z", "endsAt": "2026-01-05T09:30:00Z",
            },
        ],
    });
    let folder = std::env::temp_dir().join(format!("golden-templates-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("data.json");
    std::fs::write(&path, data.to_string()).unwrap();
    let render = |text: &str| {
        let (glob, data) = ("--template.glob=alertmanager/templates/*.tmpl", format!("--template.data={}", path.display()));
        tool(&["amtool", "template", "render", glob, &data, &format!("--template.text={{{{ template \"{text}\" . }}}}")]).unwrap()
    };
    let (title, text) = (render("golden_signals.title"), render("golden_signals.text"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(title.trim(), "[FIRING 1] cart: cart is critical");
    let runbooks = "https://git.example.com/golden-signals/src/branch/main/dashboards/runbooks";
    for line in [
        "FIRING critical: cart is critical",
        "By the rule in force.",
        "Since 2026-01-05 10:00:00 UTC",
        &format!("Runbook: {runbooks}/GoldenSignalsServiceCritical.md"),
        "Board: http://127.0.0.1:3000/d/golden-signals-service?var-service=cart",
        "RESOLVED warning: cart was degraded",
        "Since 2026-01-05 09:00:00 UTC, until 2026-01-05 09:30:00 UTC",
    ] {
        assert!(text.lines().any(|found| found.trim() == line), "{line:?} is not in\n{text}");
    }
}
