//! Explain: what changed the level, by which rule, and which part of the service is to blame.

use super::{ALARM, availability, latency};
use crate::board::{Dashboard, Kind, Panel, Row, Unit, Variable};
use crate::query::{health, quantile};

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-explain",
        title: "Explain",
        description: "Why the health of a service is what it is. `golden explain SERVICE` walks through its rule with the numbers of a window.",
        from: "now-3h",
        variables: vec![Variable::service(false)],
        rows: vec![what(), read(), blame()],
    }
}

fn what() -> Row {
    Row {
        title: "What happened",
        panels: vec![
            Panel::new(Kind::StateTimeline, "Level", Unit::Health, "Level of each window, as the rule in force judged it.")
                .query(&health("service_name", "service"), "{{service_name}}")
                .size(14, 5),
            Panel::new(
                Kind::Stat,
                "Changes of level in the last hour",
                Unit::Count,
                "Many changes in an hour: the rule stands at the edge. A band by `previousHealth` steadies it.",
            )
            .query("max by (service_name) (changes(golden_signals_health_level{service}[1h]))", "{{service_name}}")
            .thresholds(&[(4.0, "yellow"), (12.0, "red")])
            .size(4, 5),
            Panel::new(
                Kind::StateTimeline,
                "Rule in force",
                Unit::Count,
                "Version of the override that judged, over time: whether the level changed with the service or with its rule.",
            )
            .query("max by (revision, sha256) (golden_signals_override_info{of_service})", "version {{revision}}, {{sha256}}")
            .size(6, 5),
        ],
    }
}

fn read() -> Row {
    Row {
        title: "What the rule read",
        panels: vec![
            Panel::new(
                Kind::Timeseries,
                "Requests in a window",
                Unit::Count,
                "Requests of one window. Below 60, the dashed line, the built-in rule and most others say nothing: too few to tell.",
            )
            .query("sum(increase(golden_signals_requests_total{service}[$window]))", "requests")
            .thresholds(&[(f64::NEG_INFINITY, "yellow"), (60.0, "green")])
            .range(Some(0.0), None),
            Panel::new(
                Kind::Timeseries,
                "Availability",
                Unit::Ratio,
                "Of the newest window, as the rule read it, and over the rate interval. The dashed line is 99 %, where the built-in rule turns critical.",
            )
            .query("min(golden_signals_availability_ratio{service})", "window")
            .query(&availability("service_name", "service"), "rate interval")
            .thresholds(&[(f64::NEG_INFINITY, "red"), (0.99, "green")])
            .range(None, Some(1.0)),
            Panel::new(
                Kind::Timeseries,
                "p99 of all requests",
                Unit::Seconds,
                "What latencyP99 of a rule reads (there in ms), over the rate interval.",
            )
            .query(&quantile("0.99", "", "service"), "p99")
            .exemplars()
            .range(Some(0.0), None),
        ],
    }
}

fn blame() -> Row {
    let top = |title, description, query: &str, field: &'static str| {
        Panel::new(Kind::Table, title, Unit::Count, description).query(query, "").column(0, field, Unit::Count, &ALARM).sorted_by(field)
    };
    Row {
        title: "Who is to blame",
        panels: vec![
            top(
                "Errors by operation",
                "Failed requests in the time range by operation, the worst ten.",
                "topk(10, sum by (operation) (increase(golden_signals_errors_total{service_operation}[$__range])))",
                "Errors",
            ),
            top(
                "Errors by region",
                "Failed requests in the time range by region; empty unless a grouping `service_region: [region]` is set.",
                "topk(10, sum by (cloud_region) (increase(golden_signals_errors_total{service_region}[$__range])))",
                "Errors",
            ),
            top(
                "Errors by host",
                "Failed requests in the time range by host; empty unless a grouping `service_host: [svc_host]` is set.",
                "topk(10, sum by (server_address) (increase(golden_signals_errors_total{service_host}[$__range])))",
                "Errors",
            ),
            latency(
                "Traces of failures",
                "error",
                "Latency of failed requests; each point is a trace that was kept because it failed first or took longest. A click opens it.",
            )
            .size(24, 8),
        ],
    }
}
