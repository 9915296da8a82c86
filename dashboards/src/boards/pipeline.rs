//! Pipeline operations: what comes in, what becomes of it, how far behind it is, and how fast trouble shows.

use super::{ALARM, ANY};
use crate::board::{Dashboard, Kind, Panel, Row, Unit};

pub(super) fn board() -> Dashboard {
    Dashboard {
        uid: "golden-signals-pipeline",
        title: "Pipeline operations",
        description: "The pipeline itself: input and what became of it, delay, lag, late events, completeness, time to detect, limits.",
        from: "now-1h",
        variables: vec![],
        rows: vec![input(), time(), trust(), limits()],
    }
}

/// Both colours read the same input: a sum over them would count it twice.
fn once(metric: &str, by: &str) -> String {
    format!("max by ({by}) (sum by ({by}, colour) (rate({metric}{{own}}[$__rate_interval])))")
}

fn input() -> Row {
    let lines = |title, description, query: &str, legend| {
        Panel::new(Kind::Timeseries, title, Unit::EventsPerSecond, description).query(query, legend).range(Some(0.0), None).size(6, 8)
    };
    Row {
        title: "Input",
        panels: vec![
            lines(
                "Decoded",
                "Items read from each source per second, good and bad.",
                &once("golden_signals_decoded_total", "source"),
                "{{source}}",
            ),
            lines(
                "Counted",
                "Requests that were counted in a window, per second, over all services.",
                "sum(rate(golden_signals_requests_total{fleet}[$__rate_interval]))",
                "requests",
            ),
            lines(
                "Skipped and duplicates",
                "Items that are well formed and no request here, by reason, and events that were there before under their id.",
                &once("golden_signals_skipped_total", "source, reason"),
                "{{source}}: {{reason}}",
            )
            .query("max(sum by (colour) (rate(golden_signals_duplicates_total{own}[$__rate_interval])))", "duplicates"),
            lines(
                "Dead letters",
                "Items that could not be read, by reason. Each one is kept with its place: /api/v1/dead-letters.",
                &once("golden_signals_dead_letters_total", "source, reason"),
                "{{source}}: {{reason}}",
            ),
        ],
    }
}

fn time() -> Row {
    Row {
        title: "Time",
        panels: vec![
            Panel::new(
                Kind::Timeseries,
                "Watermark's delay by partition",
                Unit::Seconds,
                "How far the event time up to which a partition is complete lies behind now. One line above the others: a partition that is slow or silent.",
            )
            .query("time() - max by (topic, partition) (platform_watermark_timestamp_seconds{own})", "{{topic}}/{{partition}}")
            .thresholds(&[(90.0, "yellow"), (150.0, "red")])
            .range(Some(0.0), None),
            Panel::new(
                Kind::Timeseries,
                "Consumer lag",
                Unit::Count,
                "Records between a stage and the end of its topic. It grows when a stage is slower than its input.",
            )
            .query("sum by (stage, topic) (platform_consumer_lag{own})", "{{stage}} of {{topic}}")
            .range(Some(0.0), None),
            Panel::new(
                Kind::Timeseries,
                "Time to detect, p99, by stage",
                Unit::Seconds,
                "From the append of the first error of a window whose level rose to the commit of its record. The promise is 180 s in total. Empty while no level rises.",
            )
            .query(
                "histogram_quantile(0.99, sum by (stage) (rate(golden_signals_detection_duration_seconds{own}[30m])))\n\
                 or histogram_quantile(0.99, sum by (stage, le) (rate(golden_signals_detection_duration_seconds_bucket{own}[30m])))",
                "{{stage}}",
            )
            .thresholds(&[(180.0, "red")])
            .range(Some(0.0), None),
        ],
    }
}

fn trust() -> Row {
    Row {
        title: "Late and incomplete",
        panels: vec![
            Panel::new(
                Kind::Timeseries,
                "Late events",
                Unit::EventsPerSecond,
                "Events that came after the close of their window: merged into it by a correction, or too old and in the late ledger.",
            )
            .query("sum by (disposition) (rate(golden_signals_late_events_total{fleet_of}[$__rate_interval]))", "{{disposition}}")
            .query("sum(rate(golden_signals_corrections_total{fleet_of}[$__rate_interval]))", "corrections")
            .range(Some(0.0), None),
            Panel::new(
                Kind::Timeseries,
                "Completeness",
                Unit::Ratio,
                "Share of its input that the newest window has seen. Below 1 a partition was absent, given up or has a gap.",
            )
            .query("min(golden_signals_window_completeness_ratio{own})", "newest window")
            .range(None, Some(1.0)),
            Panel::new(
                Kind::Stat,
                "Broken invariants",
                Unit::Count,
                "Things found in the last hour that must never be, by name. More than none is an alarm.",
            )
            .query("sum by (name) (increase(platform_invariant_violations_total{own}[1h])) or vector(0)", "{{name}}")
            .thresholds(&ALARM),
        ],
    }
}

fn limits() -> Row {
    Row {
        title: "Limits and work",
        panels: vec![
            Panel::new(
                Kind::Timeseries,
                "Series above the cap",
                Unit::Count,
                "Series that found no place, by service and label: they are counted together as `__overflow__`, and sums stay exact.",
            )
            .query("topk(10, max by (service_name, label) (golden_signals_overflow_series{fleet_of}))", "{{service_name}}: {{label}}")
            .thresholds(&ANY)
            .range(Some(0.0), None),
            Panel::new(
                Kind::Timeseries,
                "Time to commit, p99",
                Unit::Seconds,
                "From the first output of a transaction to its outcome, by stage.",
            )
            .query(
                "histogram_quantile(0.99, sum by (stage, le) (rate(platform_commit_duration_seconds_bucket{own}[$__rate_interval])))",
                "{{stage}}",
            )
            .range(Some(0.0), None),
            Panel::new(Kind::Timeseries, "Memory that stages hold", Unit::Count, "Bytes of open windows and unsent output, by stage.")
                .query("sum by (stage) (platform_held_bytes{own})", "{{stage}}")
                .range(Some(0.0), None),
            Panel::new(Kind::Table, "Programs", Unit::Count, "How many processes run each version of the program.")
                .query("count by (version) (golden_signals_build_info{own})", "")
                .column(0, "Processes", Unit::Count, &[])
                .size(12, 6),
            Panel::new(Kind::Timeseries, "Flips of the router", Unit::Count, "Changes of the live colour in the last hour, by reason.")
                .query("sum by (reason) (increase(platform_router_flips_total{own}[1h]))", "{{reason}}")
                .range(Some(0.0), None)
                .size(12, 6),
        ],
    }
}
