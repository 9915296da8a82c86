//! Every metric of the runtime, in one place: name, labels, unit, meaning. Applications keep theirs elsewhere.
//!
//! Numbers here are about *this process* and may be lost with it; nothing that must be exact goes through this recorder. Labels come from
//! the pipeline's description and from partitions, so their number is bounded by the topology. Handles are taken once per task: install the
//! recorder before tasks are made. Names end in their unit, counters in `_total`.

use metrics::{Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use platform_core::record::Partition;
use platform_core::time::EventTime;
use std::time::Duration;

/// Records read, silent replay included. `pipeline`, `stage`.
pub const RECORDS_READ: &str = "platform_records_read_total";
/// Bytes read, silent replay included. `pipeline`, `stage`.
pub const BYTES_READ: &str = "platform_bytes_read_total";
/// Transactions by what became of them. `pipeline`, `stage`,
/// `outcome` = `committed`, `aborted`, `full`, `doubtful_committed`, `doubtful_aborted`.
pub const TRANSACTIONS: &str = "platform_transactions_total";
/// Seconds that a transaction took, from its first output to its outcome. `pipeline`, `stage`.
pub const COMMIT_SECONDS: &str = "platform_commit_duration_seconds";
/// Bytes that the stages of a task hold. `pipeline`, `stage`, `task`.
pub const HELD_BYTES: &str = "platform_held_bytes";
/// Seconds from the assignment of a partition until its state was rebuilt. `pipeline`, `stage`.
pub const RESTORE_SECONDS: &str = "platform_restore_duration_seconds";
/// Stores that were cleared because they were ahead of what is committed, unreadable, or behind the log's start. `pipeline`, `stage`.
pub const STORES_DISCARDED: &str = "platform_stores_discarded_total";
/// Tasks that ended by an error. `task`.
pub const TASK_FAILURES: &str = "platform_task_failures_total";
/// Records between the position of a task and the end of its partition. `pipeline`, `stage`, `topic`, `partition`.
pub const CONSUMER_LAG: &str = "platform_consumer_lag";
/// Event time up to which a partition is complete, in seconds since 1970; set by applications. `pipeline`, `topic`, `partition`.
pub const WATERMARK_SECONDS: &str = "platform_watermark_timestamp_seconds";
/// Invariants found broken. Any increase is an alarm. `pipeline`, `name`.
pub const INVARIANT_VIOLATIONS: &str = "platform_invariant_violations_total";

const DURATION_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Renders what was recorded.
#[derive(Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// Prometheus text.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Moves recorded samples into their buckets. Without it histograms grow with every sample: whoever installs the recorder calls this
    /// every few seconds; `Runtime` does not.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

/// Installs the recorder of this process and describes the runtime's metrics. `buckets` gives further histograms, of the application, their bounds.
///
/// # Errors
/// When a recorder is there already, or a list of bounds is empty.
pub fn install_metrics(buckets: &[(&str, &[f64])]) -> Result<MetricsHandle, BuildError> {
    // Without buckets a histogram would render as a summary, which cannot be added up over processes.
    let mut builder = PrometheusBuilder::new().set_buckets(&DURATION_BUCKETS)?;
    for (name, bounds) in buckets {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)?;
    }
    let handle = MetricsHandle(builder.install_recorder()?);
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!(RECORDS_READ, Unit::Count, "Records read, silent replay included");
    describe_counter!(BYTES_READ, Unit::Bytes, "Bytes read, silent replay included");
    describe_counter!(TRANSACTIONS, Unit::Count, "Transactions by outcome");
    describe_histogram!(COMMIT_SECONDS, Unit::Seconds, "From the first output of a transaction to its outcome");
    describe_gauge!(HELD_BYTES, Unit::Bytes, "Memory that the stages of a task hold");
    describe_histogram!(RESTORE_SECONDS, Unit::Seconds, "From the assignment of a partition until its state was rebuilt");
    describe_counter!(STORES_DISCARDED, Unit::Count, "Stores cleared because they could not be trusted");
    describe_counter!(TASK_FAILURES, Unit::Count, "Tasks that ended by an error");
    describe_gauge!(CONSUMER_LAG, Unit::Count, "Records between a task's position and the end of its partition");
    describe_gauge!(WATERMARK_SECONDS, Unit::Seconds, "Event time up to which a partition is complete");
    describe_counter!(INVARIANT_VIOLATIONS, Unit::Count, "Invariants found broken");
}

/// Shows where a partition's watermark stands.
pub fn watermark(pipeline: &str, partition: &Partition, at: EventTime) {
    let seconds = Duration::from_nanos(at.0.unsigned_abs()).as_secs_f64();
    let labels = [("pipeline", pipeline.to_owned()), ("topic", partition.topic.to_string()), ("partition", partition.index.to_string())];
    gauge!(WATERMARK_SECONDS, &labels).set(if at.0 < 0 { -seconds } else { seconds });
}

/// Counts a broken invariant; `name` is its name among the promises.
pub fn invariant_violated(pipeline: &str, name: &'static str) {
    counter!(INVARIANT_VIOLATIONS, "pipeline" => pipeline.to_owned(), "name" => name).increment(1);
}

/// Counts a task that ended by an error.
pub(crate) fn task_failed(task: &str) {
    counter!(TASK_FAILURES, "task" => task.to_owned()).increment(1);
}

/// Handles of one task.
pub(crate) struct TaskMetrics {
    labels: [(&'static str, String); 2],
    pub(crate) records: Counter,
    pub(crate) bytes: Counter,
    pub(crate) commit_seconds: Histogram,
    pub(crate) held: Gauge,
    pub(crate) restore_seconds: Histogram,
    pub(crate) discarded: Counter,
}

impl TaskMetrics {
    pub(crate) fn new(pipeline: &str, stage: &str, task: &str) -> Self {
        let labels = [("pipeline", pipeline.to_owned()), ("stage", stage.to_owned())];
        let [pipeline, stage] = labels.clone();
        Self {
            records: counter!(RECORDS_READ, &labels),
            bytes: counter!(BYTES_READ, &labels),
            commit_seconds: histogram!(COMMIT_SECONDS, &labels),
            held: gauge!(HELD_BYTES, &[pipeline, stage, ("task", task.to_owned())]),
            restore_seconds: histogram!(RESTORE_SECONDS, &labels),
            discarded: counter!(STORES_DISCARDED, &labels),
            labels,
        }
    }

    pub(crate) fn outcome(&self, outcome: &'static str) {
        let [pipeline, stage] = self.labels.clone();
        counter!(TRANSACTIONS, &[pipeline, stage, ("outcome", outcome.to_owned())]).increment(1);
    }

    pub(crate) fn lag(&self, partition: &Partition, lag: u64) {
        let [pipeline, stage] = self.labels.clone();
        let labels = [pipeline, stage, ("topic", partition.topic.to_string()), ("partition", partition.index.to_string())];
        gauge!(CONSUMER_LAG, &labels).set(lag as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::record::Topic;

    #[test]
    fn what_is_recorded_is_rendered_under_its_documented_name() {
        let handle = install_metrics(&[("app_seconds", &[1.0, 2.0])]).unwrap();
        watermark("p", &Partition::new(&Topic::new("t"), 3), EventTime(1_500_000_000));
        invariant_violated("p", "contiguous");
        let task = TaskMetrics::new("p", "s", "p.s.0");
        task.outcome("committed");
        task.commit_seconds.record(Duration::from_millis(3));
        histogram!("app_seconds").record(1.5);
        handle.upkeep();
        let text = handle.render();
        for line in [
            r#"platform_watermark_timestamp_seconds{pipeline="p",topic="t",partition="3"} 1.5"#,
            r#"platform_invariant_violations_total{pipeline="p",name="contiguous"} 1"#,
            r#"platform_transactions_total{pipeline="p",stage="s",outcome="committed"} 1"#,
            r#"platform_commit_duration_seconds_bucket{pipeline="p",stage="s",le="0.005"} 1"#,
            r#"app_seconds_bucket{le="2"} 1"#,
            "# TYPE platform_watermark_timestamp_seconds gauge",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(install_metrics(&[]).is_err(), "a process has one recorder");
    }
}
