//! One service: its health, its four signals, and what they are made of.

use super::{ANY, AVAILABILITY, SATURATION, availability, latency, traffic};
use crate::board::{Dashboard, Kind, Panel, Row, Unit, Variable};
use crate::query::{health, quantile};

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-service",
        title: "Service",
        description: "Availability, requests, errors, latency, saturation and health of one service.",
        from: "now-1h",
        variables: vec![Variable::service(false)],
        rows: vec![status(), signals(), operations(), resources()],
    }
}

fn status() -> Row {
    Row {
        title: "Health",
        panels: vec![
            Panel::new(Kind::Stat, "Health", Unit::Health, "The level that the rule in force gives to the newest window.")
                .query(&health("service_name", "service"), "{{service_name}}")
                .size(4, 5),
            Panel::new(
                Kind::StateTimeline,
                "Health over time",
                Unit::Health,
                "Level of each window. Grey: input was missing, or the service was silent for longer than a service stays known.",
            )
            .query(&health("service_name", "service"), "{{service_name}}")
            .size(12, 5),
            Panel::new(
                Kind::Table,
                "Rule in force",
                Unit::Count,
                "Version and SHA-256 of the override that judges the service; version 0 is the built-in rule. `golden explain` shows why a level is what it is.",
            )
            .query("max by (service_name, revision, sha256) (golden_signals_override_info{of_service})", "")
            .column(0, "In force", Unit::Count, &[])
            .size(8, 5),
        ],
    }
}

fn signals() -> Row {
    let availability_panel = Panel::new(
        Kind::Timeseries,
        "Availability and objective",
        Unit::Ratio,
        "Share of requests that did not fail, as a ratio of sums over the rate interval; no value where nothing was asked. The dashed line is the service's objective, where it has one.",
    )
    .query(&availability("service_name", "service"), "availability")
    .query(r#"max(golden_signals_slo_objective_ratio{of_service,slo="availability"})"#, "objective")
    .coloured(&[("availability", "blue"), ("objective", "orange")])
    .range(None, Some(1.0));
    let types = Panel::new(
        Kind::Stacked,
        "Errors by type",
        Unit::RequestsPerSecond,
        "Failed requests per second by what went wrong: HTTP or gRPC status, or what the sender named.",
    )
    .query(r#"sum by (error_type) (rate(golden_signals_errors_total{service,error_type!=""}[$__rate_interval]))"#, "{{error_type}}")
    .range(Some(0.0), None);
    let heat = Panel::new(
        Kind::Heatmap,
        "Latency of all requests",
        Unit::Seconds,
        "How many requests per second took how long. Two bands are two kinds of request.",
    )
    .query(
        "sum(rate(golden_signals_request_duration_seconds{service}[$__rate_interval]))\n\
         or on () sum by (le) (rate(golden_signals_request_duration_seconds_bucket{service}[$__rate_interval]))",
        "{{le}}",
    )
    .exemplars();
    Row {
        title: "Signals",
        panels: vec![
            traffic(),
            availability_panel,
            latency("Latency of successes", "ok", "p50, p90 and p99 of requests that did not fail. Points are traces: a click opens one."),
            types,
            heat,
            latency(
                "Latency of failures",
                "error",
                "p50, p90 and p99 of requests that failed; kept apart because a fast failure would make the service look fast. Empty while nothing fails.",
            ),
        ],
    }
}

fn operations() -> Row {
    let by = "operation";
    Row {
        title: "Operations",
        panels: vec![
            Panel::new(
                Kind::Table,
                "Operations",
                Unit::RequestsPerSecond,
                "What the service offers: requests and errors per second, availability and p99 of each operation in the rate interval.",
            )
            .query(&format!("sum by ({by}) (rate(golden_signals_requests_total{{service_operation}}[$__rate_interval]))"), "")
            .query(&format!("sum by ({by}) (rate(golden_signals_errors_total{{service_operation}}[$__rate_interval]))"), "")
            .query(&availability(by, "service_operation"), "")
            .query(&quantile("0.99", by, "service_operation"), "")
            .column(0, "Requests", Unit::RequestsPerSecond, &[])
            .column(1, "Errors", Unit::RequestsPerSecond, &[(0.1, "yellow"), (1.0, "red")])
            .column(2, "Availability", Unit::Ratio, &AVAILABILITY)
            .column(3, "p99", Unit::Seconds, &[(1.0, "yellow"), (5.0, "red")])
            .sorted_by("Errors")
            .size(24, 9),
        ],
    }
}

fn resources() -> Row {
    let count = |title, description, query: &str, legend| {
        Panel::new(Kind::Timeseries, title, Unit::EventsPerSecond, description).query(query, legend).range(Some(0.0), None)
    };
    Row {
        title: "Saturation, and what is not in the numbers",
        panels: vec![
            Panel::new(
                Kind::Timeseries,
                "Saturation by resource",
                Unit::Ratio,
                "Used of what there is, over all instances of the service; the highest is its saturation. Empty without metrics of resources and without a capacity.",
            )
            .query("max by (resource) (golden_signals_utilization_ratio{service})", "{{resource}}")
            .thresholds(&SATURATION)
            .range(Some(0.0), None),
            count(
                "Ignored and late",
                "Requests that do not count (client cancels), events merged into closed windows, and events that came too late for any.",
                "sum(rate(golden_signals_ignored_total{service}[$__rate_interval]))",
                "ignored",
            )
            .query(r#"sum by (disposition) (rate(golden_signals_late_events_total{of_service}[$__rate_interval]))"#, "late, {{disposition}}"),
            Panel::new(
                Kind::Timeseries,
                "Series above the cap",
                Unit::Count,
                "Series of the service that found no place and are counted together as `__overflow__`: a dimension has too many values.",
            )
            .query("max by (label) (golden_signals_overflow_series{of_service})", "{{label}}")
            .thresholds(&ANY)
            .range(Some(0.0), None),
        ],
    }
}
