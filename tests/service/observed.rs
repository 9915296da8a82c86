//! The demo as teams see it: in a real Prometheus, by every query of the dashboards and rules, and by the pages of a real Alertmanager.
//!
//! The demo's windows are a sixth of a minute, so rules wait a sixth of their time (`golden_dashboards::rules_for`); everything else of rules,
//! boards and Alertmanager's configuration is what is installed.

use crate::process::{Service, eventually, within};
use crate::prometheus::Prometheus;
use crate::receiver::Receiver;
use golden_dashboards::metrics::ALL;
use golden_dashboards::rules::{Group, Rule};
use golden_dashboards::{alerts, boards, recording, slo};
use platform_core::clock::Clock;
use platform_runtime::clock::SystemClock;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How many times shorter than a minute the demo's windows are.
const TIMES: u64 = 6;
/// Metrics that the demo does not have, and why. A query may be empty only for the want of one of them, and only while it is not there at all.
const NOT_IN_THE_DEMO: [(&str, &str); 10] = [
    ("golden_signals_overflow_series", "the demo has fewer series than the cap"),
    ("golden_signals_skipped_total", "all that the demo sends are requests"),
    ("golden_signals_override_errors_total", "no rule of the demo is wrong"),
    ("platform_router_flips_total", "one colour runs"),
    ("platform_router_pages_total", "nobody is needed"),
    ("platform_router_compared_windows_total", "one colour runs"),
    ("platform_router_shadow_compared_total", "one colour runs"),
    ("platform_router_shadow_differences_total", "one colour runs"),
    ("platform_task_failures_total", "no task fails"),
    ("platform_invariant_violations_total", "no invariant is broken"),
];

/// What dashboards made for Sloth ask (its own are 14348 and 14643 at grafana.com): their choices, tables and panels, of one objective. A demo
/// is too young for steps of an hour, so months are looked at in minutes.
const SLOTH: [&str; 20] = [
    "count by (sloth_service) (sloth_slo_info)",
    "count by (sloth_slo) (sloth_slo_info{sloth_service=\"payment\"})",
    "max by (sloth_id, sloth_service, sloth_slo, sloth_objective, sloth_version, sloth_mode, sloth_spec) (sloth_slo_info{OF})",
    "max by (sloth_id) (slo:time_period:days{sloth_id!=\"\"})",
    "slo:objective:ratio{OF}",
    "slo:error_budget:ratio{OF}",
    "1 - max(slo:sli_error:ratio_rate5m{OF})",
    "slo:sli_error:ratio_rate5m{OF,sloth_window=\"5m\"} > bool on (sloth_id) (14.4 * slo:error_budget:ratio{OF})",
    "slo:sli_error:ratio_rate30m{OF,sloth_window=\"30m\"}",
    "slo:sli_error:ratio_rate1h{OF,sloth_window=\"1h\"}",
    "slo:sli_error:ratio_rate2h{OF,sloth_window=\"2h\"}",
    "slo:sli_error:ratio_rate6h{OF,sloth_window=\"6h\"}",
    "slo:sli_error:ratio_rate1d{OF,sloth_window=\"1d\"}",
    "slo:sli_error:ratio_rate3d{OF,sloth_window=\"3d\"}",
    "slo:sli_error:ratio_rate30d{OF,sloth_window=\"30d\"}",
    "slo:current_burn_rate:ratio{OF}",
    "slo:period_burn_rate:ratio{OF}",
    "slo:period_error_budget_remaining:ratio{OF} * on (sloth_id) group_left (sloth_objective) sloth_slo_info",
    "topk(5, slo:current_burn_rate:ratio * on (sloth_id) group_left () sloth_slo_info)",
    "1 - sum_over_time((slo:sli_error:ratio_rate1h{OF} * on () group_left () (month() == bool month()))[32d:1m])\n\
     / on (sloth_id) (slo:error_budget:ratio{OF} * on () group_left () (24 * 60 * days_in_month()))",
];

/// The demo with Prometheus and Alertmanager beside it.
struct Stack {
    service: Service,
    prometheus: Prometheus,
    _folder: tempfile::TempDir,
}

fn dashboards() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards")
}

impl Stack {
    /// `files` are overrides that are in force from the start.
    fn start(files: &Path, webhook: Option<&Receiver>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let bundles = at("bundles");
        std::fs::create_dir_all(&bundles).unwrap();
        let mut publish = Command::new(env!("CARGO_BIN_EXE_golden"));
        let published = publish.args(["overrides", "publish"]).arg(files).arg("--to").arg(&bundles).output().unwrap();
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
        let config = at("golden.yaml");
        let overrides = format!("{{from: {:?}, poll: 1s}}", bundles.display().to_string());
        // Nothing else is set: what is asked is what `make demo-stack` shows.
        std::fs::write(&config, format!("overrides: {overrides}\n")).unwrap();
        let service = Service::start(&["--demo", "--data", &at("data").display().to_string()], Some(&config));

        let target = format!("golden-signals={}/metrics", service.url.trim_start_matches("http://"));
        let mut args: Vec<String> = ["--interval", "1s", "--scrape", &target].map(str::to_owned).to_vec();
        for (name, content) in golden_dashboards::rules_for(TIMES) {
            let path = at(name.rsplit('/').next().unwrap());
            std::fs::write(&path, content).unwrap();
            args.extend(["--rules".to_owned(), path.display().to_string()]);
        }
        if let Some(webhook) = webhook {
            let original = std::fs::read_to_string(dashboards().join("alertmanager/alertmanager.yml")).unwrap();
            let templates = dashboards().join("alertmanager/templates");
            let mine = original
                .replace("http://127.0.0.1:9095", &webhook.url)
                .replace("templates/*.tmpl", &format!("{}/*.tmpl", templates.display()))
                .replace("group_wait: 10s", "group_wait: 1s")
                .replace("group_interval: 1m", "group_interval: 10s");
            let path = at("alertmanager.yml");
            std::fs::write(&path, mine).unwrap();
            args.extend(["--alertmanager-config".to_owned(), path.display().to_string()]);
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        Self { service, prometheus: Prometheus::start(&args), _folder: folder }
    }

    /// Whether there are samples of a metric, of any kind.
    fn has(&self, metric: &str) -> bool {
        let any = format!("{{__name__=~\"{metric}(_bucket|_count|_sum)?\"}}");
        !self.prometheus.query(&format!("last_over_time({any}[10m])")).unwrap().is_empty()
    }
}

/// The query as Grafana would send it.
fn filled(query: &str) -> String {
    let names = [
        ("$__rate_interval", "40s"),
        ("$__range", "5m"),
        ("$window", "10s"),
        ("$tenant", ".*"),
        ("$env", ".*"),
        ("$service", "payment"),
        ("$slo", ".*"),
    ];
    names.iter().fold(query.to_owned(), |query, (name, value)| query.replace(name, value))
}

/// Metrics that a query reads.
fn metrics_of(query: &str) -> Vec<&'static str> {
    ALL.iter().map(|(name, _)| *name).filter(|name| query.contains(name)).collect()
}

fn has_nan(series: &[Value]) -> bool {
    series.iter().any(|one| one["value"][1] == "NaN")
}

/// What is wrong with a query now; `None` when it answers.
fn trouble(stack: &Stack, place: &str, query: &str, is_alert: bool) -> Option<String> {
    let found = match stack.prometheus.query(query) {
        Ok(found) => found,
        Err(why) => return Some(format!("{place}: {why}\n{query}")),
    };
    let wanting = |metric: &&str| NOT_IN_THE_DEMO.iter().any(|(name, _)| name == metric) && !stack.has(metric);
    let metrics = metrics_of(query);
    if is_alert {
        // It is empty while all is well, but what it looks at is there.
        let missing = metrics.iter().find(|metric| !wanting(metric) && !stack.has(metric))?;
        return Some(format!("{place}: there is no {missing}"));
    }
    (found.is_empty() && !metrics.iter().any(wanting)).then(|| format!("{place} is empty:\n{query}"))
}

#[test]
fn every_query_of_boards_and_rules_answers() {
    let stack = Stack::start(&dashboards().join("demo"), None);
    let past_incident = r#"sum(increase(golden_signals_errors_total{grouping="service",service_name="payment"}[5m])) > 20"#;
    eventually("payment has failed", 180, || stack.prometheus.value(past_incident).is_some());

    let mut queries = vec![];
    for (name, board) in boards::all() {
        for panel in board.panels() {
            queries.extend(panel.targets.iter().map(|t| (format!("{name}, {}", panel.title), filled(&t.query), false)));
        }
    }
    for rule in [recording::groups(), slo::groups(), alerts::groups()].concat().into_iter().flat_map(|group: Group| group.rules) {
        queries.push(match rule {
            Rule::Record(rule) => (rule.record.clone(), rule.expr, false),
            Rule::Alert(rule) => (rule.alert, rule.expr, true),
        });
    }
    let of = r#"sloth_service="payment",sloth_slo="availability""#;
    queries.extend(SLOTH.iter().map(|query| ("Sloth".to_owned(), query.replace("OF", of), false)));
    // Some need a second look: long windows are evaluated every 20 s, and errors are there only in the incident.
    let mut troubles = vec![];
    within(60, || {
        queries.retain(|(place, query, is_alert)| trouble(&stack, place, query, *is_alert).is_some());
        queries.is_empty()
    });
    troubles.extend(queries.iter().filter_map(|(place, query, is_alert)| trouble(&stack, place, query, *is_alert)));
    assert!(troubles.is_empty(), "{} queries do not answer:\n{}", troubles.len(), troubles.join("\n\n"));

    // What the choices above each board offer.
    for (name, board) in boards::all() {
        let json: Value = serde_json::from_str(&board.json()).unwrap();
        let variables = json["templating"]["list"].as_array().unwrap().clone();
        for query in variables.iter().filter_map(|variable| variable["query"]["query"].as_str()) {
            let (series, label) = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", ")).unwrap();
            let values = stack.prometheus.query(&filled(&format!("count by ({label}) ({series})"))).unwrap();
            // The demo has one tenant and one environment, which no label names.
            assert!(!values.is_empty(), "{name}: {query}");
            let named = values.iter().any(|one| !one["metric"][label].is_null());
            assert!(named || ["tenant", "deployment_environment_name"].contains(&label), "{name}: {query} offers nothing");
        }
    }
    let recorded = stack.prometheus.query(r#"{__name__=~"(service|service_operation|slo):.+"}"#).unwrap();
    assert!(!recorded.is_empty() && !has_nan(&recorded), "a record is not a number");
    // Of the service itself, and what is the case unless told.
    for (service, requests) in [("checkout", 100.0), ("payment", 60.0)] {
        let fewest = format!("max(slo:min_requests:count{{service_name=\"{service}\"}})");
        assert_eq!(stack.prometheus.value(&fewest), Some(requests), "{service}");
    }
    let known = stack.prometheus.query(r#"sloth_slo_info{sloth_id="payment-availability"}"#).unwrap();
    let label = |name: &str| known[0]["metric"][name].as_str().unwrap_or_default().to_owned();
    let objective = stack.prometheus.value(r#"max(slo:objective:ratio{sloth_id="payment-availability"}) * 100"#).unwrap();
    assert_eq!(label("sloth_objective").parse(), Ok((objective * 1e6).round() / 1e6));
    assert!(["sloth_version", "sloth_mode", "sloth_spec"].iter().all(|name| !label(name).is_empty()), "{known:?}");
    let places = stack.service.get("/api/v1/services?q=payment").unwrap();
    assert_eq!(places["services"][0]["swimlanes"], json!(["ec2", "k8s"]), "{places:#}");
    assert_eq!(places["services"][0]["regions"].as_array().unwrap().len(), 4, "{places:#}");
    let failed = stack.prometheus.query("sum(prometheus_rule_evaluation_failures_total)").unwrap();
    assert!(failed.iter().all(|one| one["value"][1] == "0"), "rules failed: {failed:?}");
}

#[test]
fn an_outage_pages_the_owning_team_once_and_ends_once() {
    let webhook = Receiver::start();
    let clock = SystemClock::new();
    // Owners and objectives of the demo: the outage burns budgets as well.
    let stack = Stack::start(&dashboards().join("demo"), Some(&webhook));
    let of = |service: &str| {
        let concerns = |call: &(String, Value)| call.1["groupLabels"]["service_name"] == service;
        webhook.calls().iter().map(|call| (call.path.clone(), call.json())).filter(concerns).collect::<Vec<_>>()
    };
    let pages = |service: &str| {
        let pages = of(service).into_iter().filter(|(path, _)| path == "/team-page");
        pages.map(|(_, call)| call["status"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    eventually("the team of payment is paged", 240, || !pages("payment").is_empty());
    let paged = clock.wall();
    let (path, page) = of("payment").remove(0);
    assert_eq!(path, "/team-page");
    assert_eq!(page["groupLabels"]["team"], "team-payments@example.com");
    assert_eq!(page["commonLabels"]["alertname"], "GoldenSignalsServiceCritical");
    assert_eq!(page["alerts"].as_array().unwrap().len(), 1, "{page:#}");

    // From the start of the first window in which payment failed to the page: 193 s at most by the settings that are shipped, 27 s by these
    // (docs/dashboards.md). Twice that and a bit for a machine that does much else.
    let signals = stack.service.get("/api/v1/services/payment/signals?limit=1000").unwrap();
    let failed = |record: &&Value| record["errors"]["count"].as_u64().is_some_and(|count| count > 0);
    let starts = signals["records"].as_array().unwrap().iter().filter(failed).filter_map(|record| record["window_start"].as_str());
    let first = starts.min().unwrap().to_owned();
    let mut times = golden_pipeline::decode::timestamp::Timestamps::new(golden_pipeline::decode::timestamp::TimeUnit::Rfc3339, None);
    let took = Duration::from_nanos(u64::try_from(paged - times.parse_text(&first).unwrap()).unwrap());
    eprintln!("from the start of the first window with failures to the page: {took:.1?}");
    assert!(took < Duration::from_secs(60), "{took:?}");

    // Its budget burns from the outage on, which is no other one, neither during it nor behind it; the next outage of the timetable is.
    let burns = r#"count(slo:current_burn_rate:ratio{service_name="payment",sloth_slo="availability"} > 14.4)"#;
    eventually("the budget of payment burns", 60, || stack.prometheus.value(burns).is_some());
    eventually("the page of payment ends", 180, || pages("payment").len() > 1);
    assert_eq!(pages("payment"), ["firing", "resolved"], "{:#?}", of("payment"));
    assert!(stack.prometheus.value(burns).is_some(), "it burns longer than the outage lasts");
    eventually("the next outage pages", 300, || pages("payment").len() > 2);
    assert_eq!(pages("payment"), ["firing", "resolved", "firing"], "{:#?}", of("payment"));
    // Checkout fails with it, and has a team of its own.
    assert_eq!(pages("checkout").get(..2).unwrap_or_default(), ["firing", "resolved"], "{:#?}", of("checkout"));
    assert!(of("checkout").iter().all(|(_, call)| call["groupLabels"]["team"] == "team-checkout@example.com"));
    // Nobody owns the others, and none of them fails.
    let woken = stack
        .prometheus
        .query(r#"count by (service_name) (ALERTS{severity="critical",alertstate="firing",service_name!~"payment|checkout"})"#);
    assert_eq!(woken.unwrap(), Vec::<Value>::new());
}
