//! Alerts: what pages whom, when, and for how long.
//!
//! An alert of a service goes to its team: labels `team` and `criticality` come from what its override says of its owner, joined here, and are
//! empty where nobody said so; it then fires all the same, and goes to whoever runs golden-signals. Series are joined over instances first: a
//! partition that moves to another process is no new alert.

use crate::rules::{Alert, Group, Rule};
use std::collections::BTreeMap;

/// Who runs golden-signals: gets the alerts of the pipeline, and of services without a team.
const OPERATORS: &str = "golden-signals";
/// One owner for each service, whatever processes say during a change of it.
const OWNER: &str = "service:golden_signals_service_info:topk1";

/// The groups of `alerts.yaml`.
#[must_use]
pub fn groups() -> Vec<Group> {
    vec![
        Group { name: "golden-signals-services", interval: None, rules: services() },
        Group { name: "golden-signals-budgets", interval: None, rules: budgets() },
        Group { name: "golden-signals-pipeline", interval: None, rules: pipeline() },
    ]
}

/// What an alert says, beside its condition.
struct Words {
    name: &'static str,
    severity: &'static str,
    wait: &'static str,
    keep: &'static str,
    summary: &'static str,
    description: &'static str,
    board: &'static str,
}

impl Words {
    fn alert(self, expr: String, team: Option<&str>) -> Rule {
        let name = format!("GoldenSignals{}", self.name);
        let mut labels = BTreeMap::from([("severity", self.severity.to_owned())]);
        if let Some(team) = team {
            labels.insert("team", team.to_owned());
        }
        let service = if team.is_none() { "?var-service={{ $labels.service_name }}" } else { "" };
        let annotations = BTreeMap::from([
            ("summary", self.summary.to_owned()),
            ("description", self.description.to_owned()),
            ("runbook_url", format!("runbooks/{name}.md")),
            ("dashboard_url", format!("/d/golden-signals-{}{service}", self.board)),
        ]);
        Rule::Alert(Alert { alert: name, expr, r#for: self.wait.to_owned(), keep_firing_for: self.keep.to_owned(), labels, annotations })
    }
}

/// The condition with the labels of the service's owner. `more` are labels of the condition that the owner has not.
fn owned(condition: &str, more: &[&str]) -> String {
    let ignored = [&["grouping", "team", "criticality"], more].concat().join(", ");
    format!(
        "(\n  {condition}\n)\n* ignoring ({ignored}) group_left (team, criticality) {OWNER}\nor ignoring (team, criticality) (\n  {condition}\n)"
    )
}

/// Growth of a counter that is not there before its first count, so that its first count is growth, too.
fn grown(counter: &str, selector: &str, window: &str) -> String {
    format!("increase({counter}{selector}[{window}]) > 0 or ({counter}{selector} > 0 unless {counter}{selector} offset {window})")
}

fn services() -> Vec<Rule> {
    // One owner for each service: the highest level of criticality that any process says.
    let owner = "topk without (team, criticality) (1, max without (instance, pod) (golden_signals_service_info))";
    let level = "max without (instance, pod) (golden_signals_health_level{grouping=\"service\"})";
    vec![
        Rule::record(OWNER, owner),
        Words {
            name: "ServiceCritical",
            severity: "critical",
            wait: "1m",
            keep: "5m",
            summary: "{{ $labels.service_name }} is critical",
            description: "By the rule in force, the newest window of {{ $labels.service_name }} is critical. `golden explain {{ $labels.service_name }}` shows why.",
            board: "service",
        }
        .alert(owned(&format!("{level} == 3"), &[]), None),
        Words {
            name: "ServiceDegraded",
            severity: "warning",
            wait: "5m",
            keep: "10m",
            summary: "{{ $labels.service_name }} is degraded or impaired",
            description: "By the rule in force, {{ $labels.service_name }} has been at level {{ $value }} (1 degraded, 2 impaired) for 5 minutes.",
            board: "service",
        }
        .alert(owned(&format!("({level} >= 1) < 3"), &[]), None),
        Words {
            name: "HealthUnknown",
            severity: "warning",
            wait: "10m",
            keep: "5m",
            summary: "health of {{ $labels.service_name }} is unknown",
            description: "For 10 minutes {{ $labels.service_name }} has had no level: part of its input is missing, or it is silent.",
            board: "service",
        }
        .alert(
            owned("max without (instance, pod, state) (golden_signals_health_state{grouping=\"service\", state=\"unknown\"}) == 1", &[]),
            None,
        ),
        Words {
            name: "SaturationHigh",
            severity: "warning",
            wait: "15m",
            keep: "15m",
            summary: "{{ $labels.service_name }} is at {{ $value | humanizePercentage }} of its {{ $labels.resource }}",
            description: "More than 90 % of a resource of {{ $labels.service_name }} has been in use for 15 minutes.",
            board: "service",
        }
        .alert(
            owned("max without (instance, pod) (golden_signals_saturation_ratio{grouping=\"service\"}) > 0.9", &["resource"]),
            None,
        ),
        Words {
            name: "LateLedgerGrows",
            severity: "warning",
            wait: "0m",
            keep: "1h",
            summary: "events of {{ $labels.service_name }} come too late to be counted in their window",
            description: "In the last hour {{ $value | humanize }} events were older than `pipeline.retain` when they arrived. They are in the late ledger, in no window.",
            board: "service",
        }
        .alert(
            owned("sum without (instance, pod, disposition) (increase(golden_signals_late_events_total{disposition=\"ledger\"}[1h])) > 0", &[]),
            None,
        ),
        Words {
            name: "CardinalityOverflow",
            severity: "warning",
            wait: "15m",
            keep: "1h",
            summary: "{{ $labels.service_name }} has too many values of {{ $labels.label }}",
            description: "{{ $value }} series of {{ $labels.service_name }} found no place and are counted together as `__overflow__`.",
            board: "service",
        }
        .alert(owned("max without (instance, pod) (golden_signals_overflow_series) > 0", &["label"]), None),
        Words {
            name: "OverrideRejected",
            severity: "warning",
            wait: "0m",
            keep: "30m",
            summary: "an override {{ with $labels.service_name }}of {{ . }} {{ end }}was refused or failed: {{ $labels.reason }}",
            description: "The last good version, or the built-in rule, decides in its place.",
            board: "overrides",
        }
        .alert(
            owned(
                &format!("sum without (instance, pod) ({})", grown("golden_signals_override_errors_total", "", "10m")),
                &["reason"],
            ),
            None,
        ),
    ]
}

fn budgets() -> Vec<Rule> {
    let exceeds = |factor: &str, long: &str, short: &str| {
        let above =
            |window: &str| format!("max without (sloth_window) (slo:sli_error:ratio_rate{window}) > {factor} * slo:error_budget:ratio");
        format!(
            "(\n      {}\n    and\n      {}\n    and\n      slo:sli_total:increase{long} >= slo:min_requests:count\n  )",
            above(long),
            above(short)
        )
    };
    // Bad requests of an outage that was paged already are no news, also for as long after it as they fill the short window. Alertmanager
    // holds this alert back only while the outage lasts, and would then tell of it as of another one.
    let ignored = ["sloth_id", "sloth_service", "sloth_slo"];
    let told = |(condition, short): (String, &str)| {
        let labels = [&["alertname", "alertstate", "grouping", "severity", "team", "criticality"], &ignored[..]].concat().join(", ");
        let outage = format!("last_over_time(ALERTS{{alertname=\"GoldenSignalsServiceCritical\", alertstate=\"firing\"}}[{short}])");
        format!("({condition}\n  unless ignoring ({labels})\n    {outage}\n  )")
    };
    let pages = |factor, long, short| told((exceeds(factor, long, short), short));
    let either = |(a, b): (String, String)| format!("{a}\n  or\n  {b}");
    let words = |severity, wait, keep, description| Words {
        name: "ErrorBudgetBurn",
        severity,
        wait,
        keep,
        summary: "the error budget of {{ $labels.service_name }} for {{ $labels.sloth_slo }} burns too fast",
        description,
        board: "slo",
    };
    // Who has Sloth's dashboards finds alerts by this.
    let known_to_sloth = |rule, severity: &str| match rule {
        Rule::Alert(mut alert) => {
            alert.labels.insert("sloth_severity", severity.to_owned());
            Rule::Alert(alert)
        }
        other => other,
    };
    let critical = words(
            "critical",
            // Longer than `ServiceCritical` waits, which is to be first where both see the same outage.
            "2m",
            "10m",
            "{{ $value | humanizePercentage }} of requests are bad: at this pace a fiftieth of 30 days' budget goes in an hour, or a twentieth in six.",
        )
        .alert(owned(&either((pages("14.4", "1h", "5m"), pages("6", "6h", "30m"))), &ignored), None);
    let warning = words(
        "warning",
        "15m",
        "1h",
        "{{ $value | humanizePercentage }} of requests are bad: at this pace a tenth of 30 days' budget goes in one to three days.",
    )
    .alert(owned(&either((exceeds("3", "1d", "2h"), exceeds("1", "3d", "6h"))), &ignored), None);
    vec![known_to_sloth(critical, "page"), known_to_sloth(warning, "ticket")]
}

fn pipeline() -> Vec<Rule> {
    let of = "{pipeline=~\"golden-signals([.].*)?\"}";
    let alert = |words: Words, expr: String| words.alert(expr, Some(OPERATORS));
    // A standby reads hours of input when it begins, and is behind while it does: only what is shown counts.
    let shown = format!(
        "max without (instance, pod) (label_replace(platform_watermark_timestamp_seconds{of}, \"colour\", \"$1\", \"pipeline\", \"golden-signals[.]([a-z]+)[.].*\"))\n    \
         unless on (colour) (max by (colour) (platform_router_live) == 0)"
    );
    vec![
        alert(
            Words {
                name: "SignalsStale",
                severity: "critical",
                wait: "1m",
                keep: "5m",
                summary: "signals are stale: nothing newer is published",
                description: "Windows of the last minutes are not closed, or golden-signals cannot be scraped. What dashboards show is old; other alerts of services are blind.",
                board: "pipeline",
            },
            format!("time() - min by (topic) (\n    {shown}\n  ) > 90\nor absent(golden_signals_build_info)"),
        ),
        alert(
            Words {
                name: "WindowIncomplete",
                severity: "warning",
                wait: "5m",
                keep: "10m",
                summary: "windows are incomplete: only {{ $value | humanizePercentage }} of their input was seen",
                description: "A source partition is absent, was given up or has a gap. Services are not called healthy on what is left.",
                board: "pipeline",
            },
            "min without (instance, pod) (golden_signals_window_completeness_ratio) < 1".to_owned(),
        ),
        alert(
            Words {
                name: "DetectionSlow",
                severity: "warning",
                wait: "10m",
                keep: "30m",
                summary: "outages take {{ $value | humanizeDuration }} to show",
                description: "99 of 100 rises of a level are to be published within 180 s of the first error.",
                board: "pipeline",
            },
            "(\n  histogram_quantile(0.99, sum(rate(golden_signals_detection_duration_seconds{stage=\"total\"}[30m])))\n  or\n  \
             histogram_quantile(0.99, sum by (le) (rate(golden_signals_detection_duration_seconds_bucket{stage=\"total\"}[30m])))\n) > 180"
                .to_owned(),
        ),
        alert(
            Words {
                name: "DeadLetters",
                severity: "warning",
                wait: "5m",
                keep: "15m",
                summary: "more than 1 % of what comes from {{ $labels.source }} cannot be read",
                description: "{{ $value | humanize }} items per second are dead letters. `/api/v1/dead-letters` has them with reason and place.",
                board: "pipeline",
            },
            "sum by (source) (rate(golden_signals_dead_letters_total[10m])) > 0.01 * sum by (source) (rate(golden_signals_decoded_total[10m]))"
                .to_owned(),
        ),
        alert(
            Words {
                name: "OverridesStale",
                severity: "warning",
                wait: "5m",
                keep: "10m",
                summary: "overrides have not been polled for {{ $value | humanizeDuration }}",
                description: "The place where they are published does not answer, or not with what can be read. What is in force stays.",
                board: "overrides",
            },
            "time() - max without (instance, pod) (golden_signals_override_last_success_timestamp_seconds) > 900".to_owned(),
        ),
        alert(
            Words {
                name: "ConsumerLagHigh",
                severity: "warning",
                wait: "10m",
                keep: "10m",
                summary: "{{ $value | humanize }} records of {{ $labels.topic }} wait, and it gets more",
                description: "A stage is slower than its input. Signals will be late.",
                board: "pipeline",
            },
            format!("sum by (topic) (platform_consumer_lag{of}) > 1e5\nand\nsum by (topic) (delta(platform_consumer_lag{of}[10m])) > 0"),
        ),
        alert(
            Words {
                name: "RouterFlipped",
                severity: "info",
                wait: "0m",
                keep: "15m",
                summary: "the live deployment was changed: {{ $labels.reason }}",
                description: "`golden router status` has the flip and its receipt.",
                board: "router",
            },
            format!("sum without (instance, pod) ({})", grown("platform_router_flips_total", of, "15m")),
        ),
        alert(
            Words {
                name: "RouterNeedsPerson",
                severity: "critical",
                wait: "0m",
                keep: "15m",
                summary: "the router cannot mend what is wrong by a flip",
                description: "`golden router status` says what: both deployments fail, flips are on hold, or there were too many of them.",
                board: "router",
            },
            format!("sum without (instance, pod) ({})", grown("platform_router_pages_total", of, "10m")),
        ),
        alert(
            Words {
                name: "ShadowDiffers",
                severity: "warning",
                wait: "10m",
                keep: "30m",
                summary: "blue and green of one version differ in {{ $value | humanizePercentage }} of their windows",
                description: "A few windows may differ for a while by late events. `golden router diff` shows series and windows.",
                board: "router",
            },
            {
                let compared = |selector: &str| {
                    format!("sum without (instance, pod, result) (rate(platform_router_compared_windows_total{selector}[15m]))")
                };
                let different = of.replace('}', ",result=\"different\"}");
                format!("{} / {} > 0.1", compared(&different), compared(of))
            },
        ),
        alert(
            Words {
                name: "InvariantBroken",
                severity: "critical",
                wait: "0m",
                keep: "1h",
                summary: "what must never be was found: {{ $labels.name }}",
                description: "Published numbers may be wrong. `golden verify` recomputes windows from their events.",
                board: "pipeline",
            },
            format!("sum without (instance, pod) ({})", grown("platform_invariant_violations_total", of, "10m")),
        ),
    ]
}
