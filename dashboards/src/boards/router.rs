//! Router and deploys: which colour is live, what it was flipped for, and whether both agree.

use super::ALARM;
use crate::board::{Dashboard, Kind, Panel, Row, Unit};

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-router",
        title: "Router and deploys",
        description: "Which deployment is shown, which one stands by, flips and their reasons, and whether both compute the same.",
        from: "now-6h",
        variables: vec![],
        rows: vec![
            Row {
                title: "Live and standby",
                panels: vec![
                    Panel::new(
                        Kind::StateTimeline,
                        "Live",
                        Unit::Count,
                        "1 while the colour is the one that is shown. Exactly one is, once a deployment began.",
                    )
                    .query("max by (colour) (platform_router_live{own})", "{{colour}}")
                    .size(12, 6),
                    Panel::new(
                        Kind::StateTimeline,
                        "Fit",
                        Unit::Count,
                        "1 while the controller finds no trouble with the colour. A colour that nobody deployed is 0. Why: `golden router status`.",
                    )
                    .query("max by (colour) (platform_router_healthy{own})", "{{colour}}")
                    .size(12, 6),
                    Panel::new(
                        Kind::Timeseries,
                        "Flips",
                        Unit::Count,
                        "Changes of the live colour in the last hour: planned ones, and those of need. The receipt: `golden router receipt NUMBER --verify`.",
                    )
                    .query("sum by (reason) (increase(platform_router_flips_total{own}[1h]))", "{{reason}}")
                    .thresholds(&ALARM)
                    .range(Some(0.0), None),
                    Panel::new(
                        Kind::Timeseries,
                        "Watermark of each colour",
                        Unit::Seconds,
                        "How far the slowest partition of each deployment lies behind now. A standby that is behind cannot be flipped to.",
                    )
                    .query("time() - min by (pipeline) (platform_watermark_timestamp_seconds{own})", "{{pipeline}}")
                    .range(Some(0.0), None),
                    Panel::new(
                        Kind::Timeseries,
                        "Compared windows",
                        Unit::EventsPerSecond,
                        "Windows that both deployments computed, and those of them that differ: of one version, none may. Empty with one deployment.",
                    )
                    .query("sum(rate(platform_router_shadow_compared_total{own}[$__rate_interval]))", "compared")
                    .query("sum(rate(platform_router_shadow_differences_total{own}[$__rate_interval]))", "different")
                    .coloured(&[("different", "red"), ("compared", "blue")])
                    .range(Some(0.0), None),
                ],
            },
            Row {
                title: "Programs",
                panels: vec![
                    Panel::new(Kind::Table, "Versions that run", Unit::Count, "How many processes run each version of the program.")
                        .query("count by (version) (golden_signals_build_info{own})", "")
                        .column(0, "Processes", Unit::Count, &[]),
                    Panel::new(
                        Kind::Timeseries,
                        "Lag of the router",
                        Unit::Count,
                        "Results that wait to be forwarded, by topic; the other colour's are held on purpose, behind the newest public window.",
                    )
                    .query(r#"sum by (topic) (platform_consumer_lag{own,stage="router"})"#, "{{topic}}")
                    .range(Some(0.0), None),
                    Panel::new(
                        Kind::Timeseries,
                        "Tasks that ended by an error",
                        Unit::Count,
                        "Tasks that failed and were started again, in the last hour. Some at a deploy or a broker's restart are normal.",
                    )
                    .query("sum by (task) (increase(platform_task_failures_total{own}[1h]))", "{{task}}")
                    .range(Some(0.0), None),
                ],
            },
        ],
    }
}
