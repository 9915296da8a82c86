//! The files that people install are what the definitions make, and fit together: boards with Grafana's schema, alerts with runbooks, the compose
//! file with what it names.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test stops at what it does not expect")]

#[path = "files/schema.rs"]
mod schema;

use golden_dashboards::board::{Dashboard, Kind};
use golden_dashboards::metrics::{Of, of};
use golden_dashboards::rules::{Alert, Group, Rule};
use golden_dashboards::{alerts, boards, recording, slo};
use schema::Schema;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(here(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_yaml_ng::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn groups() -> Vec<Group> {
    [recording::groups(), slo::groups(), alerts::groups()].concat()
}

fn all_alerts() -> Vec<Alert> {
    let rules = alerts::groups().into_iter().flat_map(|group| group.rules);
    rules.filter_map(|rule| if let Rule::Alert(alert) = rule { Some(alert) } else { None }).collect()
}

#[test]
fn the_files_are_what_the_definitions_make() {
    for (path, content) in golden_dashboards::files() {
        let found = std::fs::read_to_string(here(&path)).unwrap_or_default();
        assert!(found == content, "{path} is not what the definitions make: run `make dashboards`");
    }
}

#[test]
fn boards_are_what_grafanas_schema_allows() {
    let dashboard = Schema::new(&text("schema/dashboard.json"));
    for (name, board) in boards::all() {
        let json: Value = serde_json::from_str(&board.json()).unwrap();
        dashboard.check("Dashboard", &json).unwrap_or_else(|why| panic!("{name}: {why}"));
        for panel in json["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
            let plugin = panel["type"].as_str().unwrap().replace('-', "");
            let schema = Schema::new(&text(&format!("schema/{plugin}.json")));
            let title = &panel["title"];
            schema.check("Options", &panel["options"]).unwrap_or_else(|why| panic!("{name}, {title}: options {why}"));
            if schema.has("FieldConfig") {
                let custom = &panel["fieldConfig"]["defaults"]["custom"];
                schema.check("FieldConfig", custom).unwrap_or_else(|why| panic!("{name}, {title}: custom {why}"));
            }
        }
    }
}

#[test]
fn the_schema_refuses_what_grafana_does_not_know() {
    let schema = Schema::new(&text("schema/dashboard.json"));
    let (_, board) = boards::all().remove(0);
    let good: Value = serde_json::from_str(&board.json()).unwrap();
    let breaks: [fn(&mut Value); 4] = [
        |json| json["titel"] = "x".into(),
        |json| json["schemaVersion"] = "42".into(),
        |json| json["panels"][1]["gridPos"]["x"] = Value::Null,
        |json| json["templating"]["list"][0]["type"] = "nonsense".into(),
    ];
    for (number, wrong) in breaks.iter().enumerate() {
        let mut json = good.clone();
        wrong(&mut json);
        assert!(schema.check("Dashboard", &json).is_err(), "break {number} is not found");
    }
}

/// Every query with the place it stands in.
fn queries() -> Vec<(String, String)> {
    let of_boards = boards::all().into_iter().flat_map(|(name, board)| {
        let of = |board: &Dashboard| -> Vec<_> {
            board.panels().flat_map(|p| p.targets.iter().map(move |t| (format!("{name}, {}", p.title), t.query.clone()))).collect()
        };
        of(&board)
    });
    let of_rules =
        groups().into_iter().flat_map(|group| group.rules.into_iter().map(move |rule| (group.name.to_owned(), rule.expr().to_owned())));
    of_boards.chain(of_rules).collect()
}

/// Names of metrics in a query, each with the text of its selector, if it has one.
fn selectors(query: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = vec![];
    for prefix in ["golden_signals_", "platform_"] {
        for (at, _) in query.match_indices(prefix) {
            let before = query[..at].chars().next_back();
            // Part of a recorded name, or of a text.
            if before.is_some_and(|c| is_name(c) || c == '"') {
                continue;
            }
            let end = query[at..].find(|c| !is_name(c)).map_or(query.len(), |length| at + length);
            let selector = query[end..].strip_prefix('{').and_then(|rest| rest.split('}').next()).unwrap_or_default();
            found.push((&query[at..end], selector));
        }
    }
    found
}

#[test]
fn every_metric_is_exported_and_selects_one_grouping() {
    for (place, query) in queries() {
        for (metric, selector) in selectors(&query) {
            let kind = of(metric).unwrap_or_else(|| panic!("{place}: {metric} is not exported"));
            let one = selector.matches("grouping=\"").count();
            assert_eq!(one, usize::from(kind == Of::Series), "{place}: {metric}{{{selector}}}");
        }
        assert!(!query.contains("job="), "{place}: a job is the scraper's to name: {query}");
    }
}

#[test]
fn ranges_hold_four_scrapes_of_a_minute() {
    let long = ["$__rate_interval", "$__range", "$window", "5m", "10m", "15m", "30m", "1h", "2h", "6h", "1d", "3d", "30d"];
    for (place, query) in queries() {
        for range in query.match_indices('[').filter_map(|(at, _)| query[at + 1..].split(']').next()) {
            // `[.]` and `[a-z]` stand in regular expressions.
            let is_range = range.starts_with(|c: char| c == '$' || c.is_ascii_digit()) && !range.contains('-');
            assert!(!is_range || long.contains(&range), "{place}: [{range}] is shorter than four scrapes");
        }
    }
}

#[test]
fn every_panel_says_what_it_shows() {
    let mut uids = BTreeSet::new();
    for (name, board) in boards::all() {
        assert_eq!(board.uid, format!("golden-signals-{name}"));
        assert!(uids.insert(board.uid) && !board.description.is_empty());
        let json: Value = serde_json::from_str(&board.json()).unwrap();
        let variables = json["templating"]["list"].as_array().unwrap();
        assert!(["datasource", "tenant", "env"].iter().all(|name| variables.iter().any(|v| v["name"] == *name)), "{name}");
        let mut ids = BTreeSet::new();
        for panel in json["panels"].as_array().unwrap() {
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {panel:#}");
            let (right, bottom) = (&panel["gridPos"], panel["gridPos"]["h"].as_u64().unwrap());
            assert!(right["x"].as_u64().unwrap() + right["w"].as_u64().unwrap() <= 24 && bottom > 0, "{name}: {panel:#}");
            if panel["type"] == "row" {
                continue;
            }
            let title = panel["title"].as_str().unwrap();
            assert!(panel["description"].as_str().unwrap().len() > 30, "{name}, {title}: no description");
            assert!(!panel["fieldConfig"]["defaults"]["unit"].as_str().unwrap().is_empty(), "{name}, {title}: no unit");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}, {title}");
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty() && targets.iter().all(|t| t["datasource"]["uid"] == "${datasource}"), "{name}, {title}");
            let latency = title.starts_with("Latency") || title.starts_with("Traces") || title.starts_with("p99 of");
            assert!(!latency || targets.iter().all(|t| t["exemplar"] == true), "{name}, {title}: no exemplars");
        }
        assert!(board.panels().count() > 3);
    }
}

/// Every text of a board that is an address within Grafana.
fn addresses(json: &Value, found: &mut Vec<String>) {
    match json {
        Value::String(text) if text.starts_with("/d/") => found.push(text.clone()),
        Value::Array(all) => all.iter().for_each(|one| addresses(one, found)),
        Value::Object(all) => all.values().for_each(|one| addresses(one, found)),
        _ => {}
    }
}

#[test]
fn links_lead_to_boards_that_are_there_and_thresholds_ascend() {
    let uids: BTreeSet<&str> = boards::all().iter().map(|(_, board)| board.uid).collect();
    let mut linked = 0;
    for (name, board) in boards::all() {
        let json: Value = serde_json::from_str(&board.json()).unwrap();
        let mut found = vec![];
        addresses(&json, &mut found);
        for address in &found {
            let (uid, query) = address.trim_start_matches("/d/").split_once('?').unwrap_or((address, ""));
            assert!(uids.contains(uid), "{name}: {address} leads nowhere");
            assert!(!query.contains("var-service") || uid == "golden-signals-service", "{name}: {address}");
        }
        linked += found.len();
        for panel in json["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
            let defaults = &panel["fieldConfig"]["defaults"];
            let overrides = panel["fieldConfig"]["overrides"].as_array().into_iter().flatten();
            let of_columns =
                overrides.flat_map(|one| one["properties"].as_array().into_iter().flatten()).filter(|p| p["id"] == "thresholds");
            for thresholds in std::iter::once(&defaults["thresholds"]).chain(of_columns.map(|property| &property["value"])) {
                let steps: Vec<&Value> = thresholds["steps"].as_array().into_iter().flatten().map(|step| &step["value"]).collect();
                assert!(steps.first().is_none_or(|first| first.is_null()), "{name}, {}: the first step has no lower end", panel["title"]);
                let values: Vec<f64> = steps.iter().skip(1).map(|value| value.as_f64().unwrap()).collect();
                assert!(values.is_sorted_by(|a, b| a < b), "{name}, {}: {values:?}", panel["title"]);
            }
        }
    }
    assert!(linked > 3, "boards link to each other");
}

#[test]
fn every_alert_has_labels_words_and_a_runbook() {
    let mut named = BTreeSet::new();
    for alert in all_alerts() {
        let name = &alert.alert;
        assert!(name.starts_with("GoldenSignals"), "{name}");
        assert!(["critical", "warning", "info"].contains(&alert.labels["severity"].as_str()), "{name}");
        assert!(alert.labels.contains_key("team") || alert.expr.contains("group_left (team"), "{name} goes to nobody");
        for annotation in ["summary", "description", "runbook_url", "dashboard_url"] {
            assert!(!alert.annotations[annotation].is_empty(), "{name}: {annotation}");
        }
        let runbook = text(&alert.annotations["runbook_url"]);
        for heading in ["Meaning", "Impact", "First checks", "Remedies", "Silencing"] {
            assert!(runbook.contains(&format!("\n## {heading}\n")), "{name}: its runbook has no {heading}");
        }
        let board = alert.annotations["dashboard_url"].trim_start_matches("/d/").split('?').next().unwrap().to_owned();
        assert!(boards::all().iter().any(|(_, b)| b.uid == board), "{name}: no board {board}");
        named.insert(format!("{name}.md"));
    }
    let files: BTreeSet<String> =
        std::fs::read_dir(here("runbooks")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(files, named, "runbooks and alerts");
}

#[test]
fn health_has_its_colours_and_words() {
    let (_, fleet) = boards::all().remove(0);
    let json = fleet.json();
    for (word, colour) in
        [("healthy", "green"), ("degraded", "yellow"), ("impaired", "orange"), ("critical", "red"), ("unknown", "#8e8e8e")]
    {
        assert!(json.contains(&format!("\"text\": \"{word}\"")) && json.contains(&format!("\"{colour}\"")), "{word}");
    }
    assert!(fleet.panels().any(|panel| panel.targets[0].query.contains("health_level")));
    assert_ne!(Kind::Stat, Kind::Table);
}

#[test]
fn the_compose_file_names_what_is_there() {
    let compose = yaml("docker-compose.yaml");
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["alertmanager", "golden", "grafana", "prometheus"]);
    for (name, service) in services {
        for volume in service["volumes"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()) {
            if let Some(path) = volume.strip_prefix("./").and_then(|rest| rest.split(':').next()) {
                assert!(here(path).exists(), "{name} mounts {path}, which is not there");
            }
        }
    }
    // Prometheus finds golden and Alertmanager by the names and ports of the services.
    let prometheus = yaml("prometheus/prometheus.yml");
    assert_eq!(prometheus["scrape_configs"][0]["static_configs"][0]["targets"][0], "golden:8080");
    assert_eq!(prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"][0], "alertmanager:9093");
    let mounted = services["prometheus"]["volumes"].to_string();
    assert!(["rules", "slo", "alerts"].iter().all(|name| mounted.contains(&format!("/etc/prometheus/rules/{name}.yaml"))), "{mounted}");
    // Grafana's provisioning reads what the environment names, and its versions are those of the schema and of the script.
    let environment = services["grafana"]["environment"].to_string();
    for path in ["provisioning/datasources/golden-signals.yaml", "provisioning/dashboards/golden-signals.yaml"] {
        assert_eq!(yaml(path)["apiVersion"], 1);
        for name in text(path).split('$').skip(1).map(|rest| rest.split(|c: char| c != '_' && !c.is_ascii_uppercase()).next().unwrap()) {
            assert!(environment.contains(name), "{path} wants {name}");
        }
    }
    let script = text("../tests/prometheus/prometheus-stack");
    for (service, variable) in [("prometheus", "PROM_NAME="), ("alertmanager", "AM=")] {
        let version = script.lines().find_map(|line| line.strip_prefix(variable)).unwrap().split_whitespace().next().unwrap();
        let image = services[service]["image"].as_str().unwrap();
        assert!(image.ends_with(&format!(":v{version}")), "{image} is not {version}");
    }
}

#[test]
fn grafanas_own_alerts_are_the_same() {
    let provisioned = yaml("provisioning/alerting/golden-signals.yaml");
    let rules: Vec<&Value> = provisioned["groups"].as_array().unwrap().iter().flat_map(|g| g["rules"].as_array().unwrap()).collect();
    let alerts = all_alerts();
    assert_eq!(rules.len(), alerts.len());
    let mut uids = BTreeSet::new();
    for (rule, alert) in rules.iter().zip(&alerts) {
        let uid = rule["uid"].as_str().unwrap();
        assert!(uid.len() <= 40 && uids.insert(uid), "{uid}");
        assert_eq!(rule["data"][0]["model"]["expr"], alert.expr.as_str());
        assert_eq!(rule["for"], alert.r#for);
    }
}

#[test]
fn the_mixin_imports_every_file() {
    let mixin = text("mixin.libsonnet");
    for path in golden_dashboards::files().keys().filter(|path| !path.starts_with("provisioning")) {
        assert!(mixin.contains(&format!("'{path}'")), "the mixin does not import {path}");
    }
}
