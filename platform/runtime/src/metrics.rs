//! Every metric of the runtime, in one place: name, labels, unit, meaning. Applications keep theirs elsewhere.
//!
//! Numbers here are about *this process* and may be lost with it; nothing that must be exact goes through this recorder. Labels come from
//! the pipeline's description and from partitions, so their number is bounded by the topology. Handles are taken once per task: install the
//! recorder before tasks are made. Names end in their unit, counters in `_total`. A gauge that is not a number is not shown.

mod registry;

use metrics::{
    Counter, Gauge, Histogram, SetRecorderError, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use platform_core::metric::Family;
use platform_core::record::Partition;
pub use registry::Registry;
use std::sync::Arc;

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
/// Invariants found broken. Any increase is an alarm. `pipeline`, `name`.
pub const INVARIANT_VIOLATIONS: &str = "platform_invariant_violations_total";

const DURATION_BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

/// Shows what was recorded.
#[derive(Clone)]
pub struct MetricsHandle(Arc<Registry>);

impl MetricsHandle {
    /// All metrics that have a sample, by name.
    #[must_use]
    pub fn families(&self) -> Vec<Family> {
        self.0.families()
    }
}

/// Installs the recorder of this process and describes the runtime's metrics. `buckets` gives further histograms, of the application, their
/// bounds.
///
/// # Errors
/// When a recorder is there already.
pub fn install_metrics(buckets: &[(&'static str, &[f64])]) -> Result<MetricsHandle, SetRecorderError<Arc<Registry>>> {
    let registry = Arc::new(Registry::new(&DURATION_BUCKETS, buckets));
    metrics::set_global_recorder(Arc::clone(&registry))?;
    describe();
    Ok(MetricsHandle(registry))
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
    describe_counter!(INVARIANT_VIOLATIONS, Unit::Count, "Invariants found broken");
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

    /// The partition went to another process: what was shown of its lag would only grow old.
    pub(crate) fn no_lag(&self, partition: &Partition) {
        let [pipeline, stage] = self.labels.clone();
        let labels = [pipeline, stage, ("topic", partition.topic.to_string()), ("partition", partition.index.to_string())];
        gauge!(CONSUMER_LAG, &labels).set(f64::NAN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform_core::metric::{Kind, Value};
    use platform_core::record::Topic;
    use std::time::Duration;

    #[test]
    fn what_is_recorded_is_shown_under_its_documented_name() {
        let handle = install_metrics(&[("app_seconds", &[1.0, 2.0])]).unwrap();
        invariant_violated("p", "contiguous");
        let task = TaskMetrics::new("p", "s", "p.s.0");
        task.outcome("committed");
        task.commit_seconds.record(Duration::from_millis(3));
        let partition = Partition::new(&Topic::new("t"), 3);
        task.lag(&partition, 7);
        histogram!("app_seconds").record(1.5);
        let families = handle.families();
        let family = |name: &str| families.iter().find(|family| family.name == name).unwrap_or_else(|| panic!("{name} is not there"));
        let labels = |of: &Family| of.samples[0].labels.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(",");
        let value = |of: &Family| of.samples[0].value.clone();
        let violations = family("platform_invariant_violations_total");
        assert_eq!((labels(violations), value(violations)), ("pipeline=p,name=contiguous".to_owned(), Value::Count(1)));
        assert_eq!((violations.kind, violations.help.as_str()), (Kind::Counter, "Invariants found broken"));
        assert_eq!(labels(family("platform_transactions_total")), "pipeline=p,stage=s,outcome=committed");
        let lag = family("platform_consumer_lag");
        assert_eq!((labels(lag), value(lag)), ("pipeline=p,stage=s,topic=t,partition=3".to_owned(), Value::Number(7.0)));
        let Value::Histogram { bounds, counts, sum } = value(family("app_seconds")) else { panic!("no histogram") };
        assert_eq!((&*bounds, counts, sum), (&[1.0, 2.0][..], vec![0, 1, 0], 1.5));
        let Value::Histogram { counts, .. } = value(family("platform_commit_duration_seconds")) else { panic!("no histogram") };
        assert_eq!(counts.iter().position(|count| *count > 0), Some(2), "3 ms are below 5 ms");
        // A partition that went to another process has no lag here.
        task.no_lag(&partition);
        assert!(handle.families().iter().all(|family| family.name != "platform_consumer_lag"));
        assert!(install_metrics(&[]).is_err(), "a process has one recorder");
    }
}
