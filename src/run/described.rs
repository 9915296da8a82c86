//! What the metrics mean that this process records about itself beside the runtime's own: one sentence each, shown with their samples.
//!
//! Counters that an alarm rests on stand at 0 from the start: the first event of one that has just appeared would be no increase.

use golden_pipeline::names::PIPELINE;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram};
use platform_runtime::metrics::INVARIANT_VIOLATIONS;

/// Broken invariants of the pipeline's parts that deployments compute, and of the shared one.
const BROKEN_IN_PARTS: [&str; 3] = ["I4 replayed", "I4 torn", "I22 purged"];
const BROKEN_IN_ALL: [&str; 3] = ["I17 growing", "I18 whole windows", "I19 receipt"];

/// Describes them.
pub(super) fn describe() {
    for (name, help) in [
        ("golden_signals_override_errors_total", "Overrides that were refused, and rules that gave no level, by reason."),
        ("golden_signals_foreign_epoch_total", "Partials of another deployment, passed over."),
        ("golden_signals_resource_samples_over_cap_total", "Samples of instances above the cap of a service, left out of its utilization."),
        ("golden_signals_overflow_events_total", "Events counted under a series that stands for what went over a cap."),
        ("platform_router_flips_total", "Changes of the live colour, by reason."),
        ("platform_router_pages_total", "Times that the router needed a person."),
        ("platform_router_passed_over_total", "Records that the router did not forward, by reason."),
        ("platform_router_compared_windows_total", "Windows of both colours that the router's workers compared, by result."),
        ("platform_router_shadow_compared_total", "Windows of both deployments that the controller compared."),
        ("platform_router_shadow_differences_total", "Those of them whose sums differ."),
        ("platform_kafka_errors_total", "Errors that the Kafka client reported."),
        ("platform_kafka_lost_calls_total", "Calls that the Kafka client did not come back from in time."),
        ("platform_kafka_fetched_anew_total", "Times that a partition of Kafka was fetched anew."),
        ("platform_kafka_brought_again_total", "Records that the client of Kafka brought once more, which were left out."),
    ] {
        describe_counter!(name, help);
    }
    for (name, help) in [
        ("golden_signals_override_last_success_timestamp_seconds", "When the published overrides were last read, in seconds since 1970."),
        ("platform_router_live", "Whether a colour is live: 1, else 0."),
        ("platform_router_healthy", "Whether nothing is wrong with a colour: 1, else 0."),
        ("platform_kafka_queued_messages", "Records that wait in the Kafka client."),
        ("platform_kafka_queued_bytes", "Bytes of records that wait in the Kafka client."),
        ("platform_kafka_requests_sent", "Requests to brokers, since the client was made."),
        ("platform_kafka_requests_retried", "Requests to brokers that were tried again, since the client was made."),
        ("platform_kafka_requests_timed_out", "Requests that brokers did not answer in time, since the client was made."),
    ] {
        describe_gauge!(name, help);
    }
    describe_histogram!("platform_kafka_end_transaction_seconds", "From the request to end a transaction to its answer.");
}

/// Counts nothing under the labels that alarms look at.
pub(super) fn start_at_zero(parts: &[String]) {
    for reason in ["planned", "failure"] {
        counter!("platform_router_flips_total", "pipeline" => PIPELINE, "reason" => reason).increment(0);
    }
    for name in BROKEN_IN_ALL {
        counter!(INVARIANT_VIOLATIONS, "pipeline" => PIPELINE, "name" => name).increment(0);
    }
    for part in parts {
        for name in BROKEN_IN_PARTS {
            counter!(INVARIANT_VIOLATIONS, "pipeline" => part.clone(), "name" => name).increment(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// All code below a folder.
    fn code(folder: &Path, out: &mut String) {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() {
                code(&entry, out);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                out.push_str(&fs::read_to_string(entry).unwrap());
            }
        }
    }

    #[test]
    fn every_metric_that_is_recorded_under_its_name_is_described() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut all = String::new();
        for folder in ["src", "pipeline/src", "router/src", "platform/kafka/src", "overrides"] {
            code(&root.join(folder), &mut all);
        }
        let described = include_str!("described.rs");
        let recorded: Vec<&str> = ["metrics::counter!(\"", "metrics::gauge!(\"", "metrics::histogram!(\""]
            .iter()
            .flat_map(|call| all.split(call).skip(1).filter_map(|rest| rest.split('"').next()))
            .filter(|name| *name != platform_runtime::metrics::INVARIANT_VIOLATIONS)
            .collect();
        assert!(recorded.len() > 10, "{recorded:?}");
        for name in recorded {
            assert!(described.contains(&format!("\"{name}\"")), "{name} has no description");
        }
    }
}
