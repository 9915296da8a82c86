//! Override quality: which rules are in force, which were refused, and which of them judge nervously.

use super::{ALARM, ANY};
use crate::board::{Dashboard, Kind, Panel, Row, Unit, Variable};

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-overrides",
        title: "Override quality",
        description: "What teams' rules do: versions in force, refusals, failures while judging, and levels that flap.",
        from: "now-6h",
        variables: vec![Variable::service(true)],
        rows: vec![
            Row {
                title: "In force",
                panels: vec![
                    Panel::new(
                        Kind::Table,
                        "Version by service",
                        Unit::Count,
                        "Version and SHA-256 of the override that judges each service; version 0 is the built-in rule. The files: `golden overrides history SERVICE`.",
                    )
                    .query("max by (service_name, revision, sha256) (golden_signals_override_info{of_service})", "")
                    .column(0, "In force", Unit::Count, &[])
                    .linked()
                    .size(12, 9),
                    Panel::new(
                        Kind::Table,
                        "Owners",
                        Unit::Count,
                        "Team of each service, as its override says. Alerts of a service without one go to whoever runs golden-signals.",
                    )
                    .query("max by (service_name, team, criticality) (golden_signals_service_info{of_service})", "")
                    .column(0, "Known", Unit::Count, &[])
                    .linked()
                    .size(8, 9),
                    Panel::new(
                        Kind::Stat,
                        "Last successful poll",
                        Unit::Seconds,
                        "How long ago the place where overrides are published answered. After 15 minutes nobody's new rules arrive; what is in force stays.",
                    )
                    .query("time() - max(golden_signals_override_last_success_timestamp_seconds{own})", "ago")
                    .thresholds(&[(600.0, "yellow"), (900.0, "red")])
                    .size(4, 9),
                ],
            },
            Row {
                title: "Trouble",
                panels: vec![
                    Panel::new(
                        Kind::Timeseries,
                        "Refused or failed, by reason",
                        Unit::Count,
                        "Bundles that were refused and rules that failed while judging, in the rate interval. What fails is judged by the built-in rule.",
                    )
                    .query("sum by (reason) (increase(golden_signals_override_errors_total{own}[$__rate_interval]))", "{{reason}}")
                    .thresholds(&ALARM)
                    .range(Some(0.0), None),
                    Panel::new(
                        Kind::Table,
                        "Failures by service",
                        Unit::Count,
                        "Failures in the time range by service and reason; a row without service is the whole bundle.",
                    )
                    .query("sum by (service_name, reason) (increase(golden_signals_override_errors_total{own}[$__range]))", "")
                    .column(0, "Failures", Unit::Count, &ALARM)
                    .sorted_by("Failures"),
                    Panel::new(
                        Kind::BarGauge,
                        "Changes of level in an hour",
                        Unit::Count,
                        "Services whose level changes most often: their rules stand at the edge. A band by `previousHealth`, or `availabilityLower`, steadies them.",
                    )
                    .query("topk(10, max by (service_name) (changes(golden_signals_health_level{service}[1h])))", "{{service_name}}")
                    .thresholds(&[ANY[0], (6.0, "red")])
                    .linked()
                    .range(Some(0.0), None),
                ],
            },
        ],
    }
}
