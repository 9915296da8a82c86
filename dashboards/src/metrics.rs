//! Names of the metrics that golden-signals exports (docs/dashboards.md): what queries of panels, rules and alerts may use.
//!
//! A test refuses a query on any other name, and one on a metric of a grouping that does not select exactly one.

/// What a metric's series are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Repeated in every grouping: a query selects one.
    Series,
    /// One for each service.
    Service,
    /// The program's own.
    Program,
}

/// Every metric, without the suffixes of a histogram's samples.
pub const ALL: [(&str, Of); 42] = [
    ("golden_signals_requests_total", Of::Series),
    ("golden_signals_errors_total", Of::Series),
    ("golden_signals_ignored_total", Of::Series),
    ("golden_signals_request_duration_seconds", Of::Series),
    ("golden_signals_availability_ratio", Of::Series),
    ("golden_signals_health_level", Of::Series),
    ("golden_signals_health_state", Of::Series),
    ("golden_signals_saturation_ratio", Of::Series),
    ("golden_signals_utilization_ratio", Of::Series),
    ("golden_signals_late_events_total", Of::Service),
    ("golden_signals_corrections_total", Of::Service),
    ("golden_signals_latency_clamped_total", Of::Service),
    ("golden_signals_override_info", Of::Service),
    ("golden_signals_override_errors_total", Of::Service),
    ("golden_signals_overflow_series", Of::Service),
    ("golden_signals_service_info", Of::Service),
    ("golden_signals_slo_objective_ratio", Of::Service),
    ("golden_signals_slo_min_requests", Of::Service),
    ("golden_signals_slo_error_budget_remaining_ratio", Of::Service),
    ("golden_signals_window_completeness_ratio", Of::Program),
    ("golden_signals_detection_duration_seconds", Of::Program),
    ("golden_signals_decoded_total", Of::Program),
    ("golden_signals_duplicates_total", Of::Program),
    ("golden_signals_skipped_total", Of::Program),
    ("golden_signals_dead_letters_total", Of::Program),
    ("golden_signals_override_last_success_timestamp_seconds", Of::Program),
    ("golden_signals_build_info", Of::Program),
    ("platform_watermark_timestamp_seconds", Of::Program),
    ("platform_consumer_lag", Of::Program),
    ("platform_router_flips_total", Of::Program),
    ("platform_router_live", Of::Program),
    ("platform_router_healthy", Of::Program),
    ("platform_router_pages_total", Of::Program),
    ("platform_router_compared_windows_total", Of::Program),
    ("platform_router_shadow_compared_total", Of::Program),
    ("platform_router_shadow_differences_total", Of::Program),
    ("platform_invariant_violations_total", Of::Program),
    ("platform_task_failures_total", Of::Program),
    ("platform_commit_duration_seconds", Of::Program),
    ("platform_held_bytes", Of::Program),
    ("platform_transactions_total", Of::Program),
    ("platform_stores_discarded_total", Of::Program),
];

/// What the metric of this name is told apart by; `None` for a name that golden-signals does not export.
#[must_use]
pub fn of(name: &str) -> Option<Of> {
    let is = |known: &str| name == known || ["_bucket", "_count", "_sum"].iter().any(|end| name.strip_suffix(end) == Some(known));
    ALL.iter().find(|(known, _)| is(known)).map(|(_, of)| *of)
}
