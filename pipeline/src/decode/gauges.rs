//! From named samples to gauges of resources: which names mean what, who the service and the instance are, and how parts make a whole.
//!
//! An instance may tell a measure in parts (pools of a heap, states of threads): parts of one name, one time and one record are summed.
//! Names are those of OpenTelemetry; what came through Prometheus has its spelling of the same names, beside those of cAdvisor and
//! kube-state-metrics. Everything else is passed over. What does not make sense as a level (negative, no number) is passed over too.

use crate::decode::Items;
use crate::resource::{Gauge, Instance, Measure, millionths};
use platform_core::time::EventTime;
use std::collections::BTreeMap;

/// Bytes of memory from which on a limit is none: what kernels and runtimes say when there is no limit.
const NO_LIMIT: f64 = (1_u64 << 60) as f64;

/// A name, what it measures, and the attribute that a sample must have for that.
struct Known {
    names: &'static [&'static str],
    measure: Measure,
    only: Option<(&'static str, &'static str)>,
    /// Whether the value is nonsense above `NO_LIMIT`.
    bytes: bool,
}

const fn known(measure: Measure, names: &'static [&'static str]) -> Known {
    Known { names, measure, only: None, bytes: false }
}

const fn bytes(measure: Measure, names: &'static [&'static str]) -> Known {
    Known { names, measure, only: None, bytes: true }
}

const HEAP: Option<(&str, &str)> = Some(("jvm.memory.type", "heap"));
const USED: Option<(&str, &str)> = Some(("db.client.connection.state", "used"));
const USED_BEFORE: Option<(&str, &str)> = Some(("state", "used"));

/// Names of OpenTelemetry, older ones behind newer ones. In Prometheus' spelling they stand with `_` for `.`, and units and `_ratio` behind.
const KNOWN: [Known; 22] = [
    known(Measure::CpuUsed, &["container.cpu.usage"]),
    known(Measure::PodCpuUsed, &["k8s.pod.cpu.usage"]),
    known(Measure::CpuLimit, &["k8s.container.cpu.limit.current", "k8s.container.cpu_limit"]),
    known(Measure::CpuLimitRatio, &["k8s.container.cpu.limit.utilization", "k8s.container.cpu_limit_utilization"]),
    known(Measure::ProcessCpuRatio, &["jvm.cpu.recent_utilization", "process.cpu.utilization"]),
    bytes(Measure::WorkingSet, &["container.memory.working_set"]),
    bytes(Measure::MemoryUsed, &["container.memory.usage"]),
    bytes(Measure::MemoryLimit, &["k8s.container.memory.limit.current", "k8s.container.memory_limit"]),
    Known { only: HEAP, ..bytes(Measure::HeapUsed, &["jvm.memory.used"]) },
    Known { only: HEAP, ..bytes(Measure::HeapLimit, &["jvm.memory.limit"]) },
    known(Measure::MemoryLimitRatio, &["k8s.container.memory_limit_utilization"]),
    known(Measure::ProcessMemoryRatio, &["process.memory.utilization"]),
    known(Measure::Threads, &["jvm.thread.count", "dotnet.thread_pool.thread.count"]),
    Known { only: USED, ..known(Measure::ConnectionsUsed, &["db.client.connection.count"]) },
    Known { only: USED_BEFORE, ..known(Measure::ConnectionsUsed, &["db.client.connections.usage"]) },
    known(Measure::ConnectionsLimit, &["db.client.connection.max", "db.client.connections.max"]),
    known(Measure::Queued, &["dotnet.thread_pool.queue.length"]),
    known(Measure::Replicas, &["k8s.hpa.pod.current", "k8s.hpa.current_replicas", "kube.horizontalpodautoscaler.status.current.replicas"]),
    known(Measure::ReplicasLimit, &["k8s.hpa.pod.max", "k8s.hpa.max_replicas", "kube.horizontalpodautoscaler.spec.max.replicas"]),
    // cAdvisor and kube-state-metrics.
    bytes(Measure::MemoryLimit, &["container.spec.memory.limit"]),
    Known { only: Some(("resource", "memory")), ..bytes(Measure::MemoryLimit, &["kube.pod.container.resource.limits"]) },
    Known { only: Some(("resource", "cpu")), ..known(Measure::CpuLimit, &["kube.pod.container.resource.limits"]) },
];

/// Names and values that a sample carries: its own first, then those of its resource.
pub(super) trait Attributes {
    /// The text under an OpenTelemetry name, however the format spells it; empty when there is none.
    fn get(&self, name: &str) -> &str;
}

/// A name that is known: its number, what it measures, and whether it counts bytes of memory.
type Meaning = (usize, Measure, bool);

/// What a name means, to everybody and by the source's own mapping; it may mean several things by its attributes.
pub(super) fn measures<'a>(
    name: &'a str,
    same: impl Fn(&str, &str) -> bool + 'a,
    attributes: &'a impl Attributes,
    mapped: &'a [(String, Measure)],
) -> impl Iterator<Item = Meaning> + 'a {
    let known = KNOWN.iter().enumerate().filter(move |(_, known)| {
        known.names.iter().any(|own| same(own, name)) && known.only.is_none_or(|(key, value)| attributes.get(key) == value)
    });
    let mapped = mapped.iter().enumerate().filter(move |(_, (own, _))| own == name);
    let known = known.map(|(number, known)| (number, known.measure, known.bytes));
    known.chain(mapped.map(|(number, (_, measure))| (KNOWN.len() + number, *measure, false)))
}

/// Whose sample it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Owner {
    pub(super) service: String,
    pub(super) namespace: String,
    pub(super) instance: Instance,
}

impl Owner {
    /// The service and the instance that attributes name (SIGNALS §6.5).
    pub(super) fn of(attributes: &impl Attributes) -> Self {
        let first = |names: &[&str]| names.iter().map(|name| attributes.get(name)).find(|text| !text.is_empty()).unwrap_or_default();
        let service = first(&["service.name", "k8s.deployment.name", "k8s.hpa.scaletargetref.name"]);
        let pod = attributes.get("k8s.pod.uid");
        let instance = if pod.is_empty() {
            Instance::of(first(&["service.instance.id", "k8s.hpa.uid", "k8s.hpa.name"]), "")
        } else {
            Instance::of(pod, attributes.get("k8s.container.name"))
        };
        Self { service: service.to_owned(), namespace: attributes.get("service.namespace").to_owned(), instance }
    }
}

/// Samples of one record, parts summed.
#[derive(Debug, Default)]
pub(super) struct Parts {
    sums: BTreeMap<(Owner, usize, Measure, EventTime), f64>,
}

impl Parts {
    /// Takes a sample, in ns since 1970.
    pub(super) fn add(&mut self, owner: &Owner, (name, measure, bytes): Meaning, time: EventTime, value: f64) {
        let is_level = value >= 0.0 && value.is_finite() && time.0 > 0 && !(bytes && value >= NO_LIMIT);
        if is_level {
            *self.sums.entry((owner.clone(), name, measure, time)).or_default() += value;
        }
    }

    /// Gives all gauges, and begins anew.
    pub(super) fn tell(&mut self, items: &mut dyn Items) {
        for ((owner, _, measure, time), value) in std::mem::take(&mut self.sums) {
            let Some(value) = millionths(value) else { continue };
            let Owner { service, namespace, instance } = &owner;
            items.gauge(&Gauge { time, service, namespace, instance: *instance, measure, value });
        }
    }
}
