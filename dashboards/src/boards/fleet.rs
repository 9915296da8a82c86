//! Fleet overview: is anything wrong, where, since when, and can the numbers be trusted.

use super::{ALARM, AVAILABILITY, availability};
use crate::board::{Dashboard, Kind, Panel, Row, Unit, Variable};
use crate::query::{health, quantile};

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-fleet",
        title: "Fleet overview",
        description: "Every service's health, the worst ones first, and whether the numbers can be trusted.",
        from: "now-1h",
        variables: vec![Variable::service(true)],
        rows: vec![now(), worst(), over_time(), trust()],
    }
}

fn now() -> Row {
    let states = ["healthy", "degraded", "impaired", "critical", "unknown"];
    let per_state = states.iter().fold(
        Panel::new(
            Kind::Stat,
            "Services by state",
            Unit::Count,
            "How many services are in each state by their newest window. Unknown: input is missing or the service is silent.",
        )
        .size(24, 4),
        |panel, state| {
            panel.query(
                &format!("sum(max by (service_namespace, service_name) (golden_signals_health_state{{service,state=\"{state}\"}}))"),
                state,
            )
        },
    );
    let grid = Panel::new(
        Kind::Stat,
        "Health of every service",
        Unit::Health,
        "The level that the rule in force gives to the newest window. A click leads to the service.",
    )
    .query(&health("service_namespace, service_name", "service"), "{{service_name}}")
    .linked()
    .size(16, 9);
    let places = Panel::new(
        Kind::Stat,
        "Health by swimlane and region",
        Unit::Ratio,
        "Availability of the worst service in each swimlane and region in the rate interval, of those with at least 60 requests there; \
         empty unless a grouping `service_place: [swimlane, region]` is set.",
    )
    .query(&worst_by_place(), "{{swimlane}} {{cloud_region}}")
    .thresholds(&AVAILABILITY)
    .size(24, 4);
    let regions = Panel::new(
        Kind::Table,
        "Availability by region",
        Unit::Ratio,
        "Availability of each service in each region in the rate interval; empty unless a grouping `service_region: [region]` is set.",
    )
    .query(&availability("service_name, cloud_region", "service_region"), "")
    .column(0, "Availability", Unit::Ratio, &AVAILABILITY)
    .linked()
    .size(8, 9);
    Row {
        title: "Now",
        panels: vec![
            per_state.coloured(&[
                ("healthy", "green"),
                ("degraded", "yellow"),
                ("impaired", "orange"),
                ("critical", "red"),
                ("unknown", "#8e8e8e"),
            ]),
            grid,
            regions,
            places,
        ],
    }
}

/// The lowest availability among the services of a place. Too few requests say nothing of health, as in the built-in rule.
fn worst_by_place() -> String {
    let by = "service_namespace, service_name, swimlane, cloud_region";
    let enough = format!("sum by ({by}) (increase(golden_signals_requests_total{{service_place}}[$__rate_interval])) >= 60");
    format!("min by (swimlane, cloud_region) (\n{}\nand\n{enough})", availability(by, "service_place"))
}

fn worst() -> Row {
    let bars = |title, unit, description, query: String| {
        Panel::new(Kind::BarGauge, title, unit, description).query(&query, "{{service_name}}").linked().size(8, 9)
    };
    let by = "service_namespace, service_name";
    Row {
        title: "The worst ten",
        panels: vec![
            bars(
                "Lowest availability",
                Unit::Ratio,
                "Share of requests that did not fail in the rate interval, of the ten services with the lowest.",
                format!("bottomk(10, {})", availability(by, "service")),
            )
            .thresholds(&AVAILABILITY)
            .range(None, Some(1.0)),
            bars(
                "Most errors per second",
                Unit::RequestsPerSecond,
                "Failed requests per second, of the ten services with the most.",
                format!("topk(10, sum by ({by}) (rate(golden_signals_errors_total{{service}}[$__rate_interval])))"),
            )
            .thresholds(&[(0.1, "yellow"), (1.0, "red")])
            .range(Some(0.0), None),
            bars(
                "Highest p99",
                Unit::Seconds,
                "Duration that 99 of 100 requests stay below, of the ten slowest services.",
                format!("topk(10, {})", quantile("0.99", by, "service")),
            )
            .thresholds(&[(1.0, "yellow"), (5.0, "red")])
            .range(Some(0.0), None),
        ],
    }
}

fn over_time() -> Row {
    Row {
        title: "Over time",
        panels: vec![
            Panel::new(
                Kind::Timeseries,
                "Requests and errors of the fleet",
                Unit::RequestsPerSecond,
                "Sums over the chosen services, per second.",
            )
            .query("sum(rate(golden_signals_requests_total{service}[$__rate_interval]))", "requests")
            .query("sum(rate(golden_signals_errors_total{service}[$__rate_interval]))", "errors")
            .coloured(&[("errors", "red"), ("requests", "blue")])
            .range(Some(0.0), None)
            .size(10, 9),
            Panel::new(
                Kind::StateTimeline,
                "Health",
                Unit::Health,
                "Level of each service's newest window over time; grey where it is unknown.",
            )
            .query(&health("service_namespace, service_name", "service"), "{{service_name}}")
            .linked()
            .size(14, 9),
        ],
    }
}

fn trust() -> Row {
    Row {
        title: "Can this be trusted?",
        panels: vec![
            Panel::new(
                Kind::Stat,
                "Completeness",
                Unit::Ratio,
                "Share of its input that the newest window has seen. Below 100 % something is missing, and nothing is called healthy.",
            )
            .query("min(golden_signals_window_completeness_ratio{own})", "newest window")
            .thresholds(&[(f64::NEG_INFINITY, "red"), (1.0, "green")])
            .size(6, 4),
            Panel::new(
                Kind::Stat,
                "Behind",
                Unit::Seconds,
                "How far the event time up to which everything is known lies behind now. Windows close when it passes their end.",
            )
            .query("time() - min(max by (topic, partition) (platform_watermark_timestamp_seconds{own}))", "watermark")
            .thresholds(&[(90.0, "yellow"), (150.0, "red")])
            .size(6, 4),
            Panel::new(
                Kind::Stat,
                "Late beyond counting",
                Unit::Count,
                "Events in the last hour that came too late for any window; they stand in the late ledger of their service.",
            )
            .query(r#"sum(increase(golden_signals_late_events_total{of_service,disposition="ledger"}[1h]))"#, "last hour")
            .thresholds(&ALARM)
            .size(6, 4),
            Panel::new(
                Kind::Stat,
                "Broken invariants",
                Unit::Count,
                "Things found in the last hour that must never be. More than none: the numbers may be wrong.",
            )
            .query("sum(increase(platform_invariant_violations_total{own}[1h])) or vector(0)", "last hour")
            .thresholds(&ALARM)
            .size(6, 4),
        ],
    }
}
