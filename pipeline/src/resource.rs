//! What instances use of resources and how much there is of them: the integer state behind saturation (SIGNALS §6.5).
//!
//! Of each instance the largest sample of each measure in a window is kept, so samples may come in any order, twice, and in any grouping:
//! merging takes the larger one. Of more than `INSTANCES` instances of one service those with the smallest ids stay, a choice that does not
//! depend on order either, and that more samples only ever confirm. When a window closes, instances are summed to a `Usage`, which is what
//! records carry. No ratio is here: `signal/saturation.rs` divides, at the edge.

use platform_core::codec::{CodecError, Cursor, put_u64, put_u128};
use platform_core::time::EventTime;
use std::collections::BTreeMap;

/// Instances told apart in one service and window; samples of others are left out, and counted by whoever leaves them out.
pub const INSTANCES: usize = 500;
/// One in a quantity of millionths.
pub const MILLION: u64 = 1_000_000;

/// Something that a service can run out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// Processors.
    Cpu,
    /// Memory.
    Memory,
    /// Threads of a pool.
    Threads,
    /// Connections of a pool.
    Connections,
    /// Places of a queue.
    Queue,
    /// Replicas that a scaler may start.
    Replicas,
    /// Requests per second, against the capacity that an override states.
    Requests,
}

impl Resource {
    /// All of them, in the order in which equal utilizations are named.
    pub const ALL: [Self; 7] = [Self::Cpu, Self::Memory, Self::Threads, Self::Connections, Self::Queue, Self::Replicas, Self::Requests];

    /// As in records, labels and overrides.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Threads => "threads",
            Self::Connections => "connections",
            Self::Queue => "queue",
            Self::Replicas => "replicas",
            Self::Requests => "requests",
        }
    }
}

/// What a gauge says of a resource. Values are millionths of the unit: cores, bytes, threads, or 1 for ratios.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)] // in state and messages: never renumber, never reuse
pub enum Measure {
    /// Cores used by a container.
    CpuUsed = 0,
    /// Cores used by a pod.
    PodCpuUsed = 1,
    /// Cores that a container may use.
    CpuLimit = 2,
    /// Cores used by cores allowed.
    CpuLimitRatio = 3,
    /// Share of the machine's processors that a process uses.
    ProcessCpuRatio = 4,
    /// Bytes of memory that cannot be taken back.
    WorkingSet = 5,
    /// Bytes of memory.
    MemoryUsed = 6,
    /// Bytes that a container may use.
    MemoryLimit = 7,
    /// Bytes of a heap.
    HeapUsed = 8,
    /// Bytes that a heap may have.
    HeapLimit = 9,
    /// Memory used by memory allowed.
    MemoryLimitRatio = 10,
    /// Share of the machine's memory that a process uses.
    ProcessMemoryRatio = 11,
    /// Threads.
    Threads = 12,
    /// Connections in use.
    ConnectionsUsed = 13,
    /// Connections that a pool may have.
    ConnectionsLimit = 14,
    /// What waits in a queue.
    Queued = 15,
    /// Replicas that run.
    Replicas = 16,
    /// Replicas that may run.
    ReplicasLimit = 17,
}

impl Measure {
    const ALL: [Self; 18] = [
        Self::CpuUsed,
        Self::PodCpuUsed,
        Self::CpuLimit,
        Self::CpuLimitRatio,
        Self::ProcessCpuRatio,
        Self::WorkingSet,
        Self::MemoryUsed,
        Self::MemoryLimit,
        Self::HeapUsed,
        Self::HeapLimit,
        Self::MemoryLimitRatio,
        Self::ProcessMemoryRatio,
        Self::Threads,
        Self::ConnectionsUsed,
        Self::ConnectionsLimit,
        Self::Queued,
        Self::Replicas,
        Self::ReplicasLimit,
    ];

    /// Spellings in mapping files.
    pub const MAPPED: [(&'static str, Self); 15] = [
        ("cpu.used", Self::CpuUsed),
        ("cpu.limit", Self::CpuLimit),
        ("cpu.ratio", Self::CpuLimitRatio),
        ("memory.used", Self::MemoryUsed),
        ("memory.limit", Self::MemoryLimit),
        ("memory.ratio", Self::MemoryLimitRatio),
        ("threads", Self::Threads),
        ("threads.used", Self::Threads),
        ("connections", Self::ConnectionsUsed),
        ("connections.used", Self::ConnectionsUsed),
        ("connections.limit", Self::ConnectionsLimit),
        ("queue", Self::Queued),
        ("queue.used", Self::Queued),
        ("replicas.used", Self::Replicas),
        ("replicas.limit", Self::ReplicasLimit),
    ];

    /// The measure that a mapping file means.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::MAPPED.iter().find(|(spelling, _)| *spelling == text).map(|(_, measure)| *measure)
    }

    fn of(number: u8) -> Result<Self, CodecError> {
        let unknown = CodecError::Unknown { what: "measure", value: u64::from(number) };
        Self::ALL.get(usize::from(number)).copied().ok_or(unknown)
    }
}

/// One sample of one instance, as a decoder gives it.
#[derive(Clone, Copy, Debug)]
pub struct Gauge<'a> {
    /// When it was taken.
    pub time: EventTime,
    /// Raw name of the service; empty when the gauge names none.
    pub service: &'a str,
    /// Raw namespace; may be empty.
    pub namespace: &'a str,
    /// Which instance.
    pub instance: Instance,
    /// What was measured.
    pub measure: Measure,
    /// Millionths.
    pub value: u64,
}

/// Hashes that tell an instance: of the pod (or whatever else identifies it), and of the container in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instance {
    /// Pod, or whole instance.
    pub pod: u64,
    /// Container of the pod; 0 when there is none.
    pub container: u64,
}

impl Instance {
    /// The instance of these texts; the second may be empty.
    #[must_use]
    pub fn of(pod: &str, container: &str) -> Self {
        let hash = |text: &str| if text.is_empty() { 0 } else { xxhash_rust::xxh64::xxh64(text.as_bytes(), 0) };
        Self { pod: hash(pod), container: hash(container) }
    }
}

/// Largest samples by measure, ascending: a handful.
type Samples = Vec<(Measure, u64)>;

/// Largest samples of the instances of one service in one window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    instances: BTreeMap<Instance, Samples>,
}

impl Resources {
    /// Takes a sample. `false`: there is no place for its instance, or for one that had one.
    pub fn note(&mut self, instance: Instance, measure: Measure, value: u64) -> bool {
        let samples = self.instances.entry(instance).or_default();
        match samples.binary_search_by_key(&measure, |(held, _)| *held) {
            Ok(at) => {
                if let Some((_, held)) = samples.get_mut(at) {
                    *held = value.max(*held);
                }
            }
            Err(at) => samples.insert(at, (measure, value)),
        }
        self.instances.len() <= INSTANCES || self.instances.pop_last().is_none()
    }

    /// How many instances are told apart.
    #[must_use]
    pub fn len(&self) -> usize {
        self.instances.len()
    }

    /// Whether there is no sample.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty()
    }

    /// Appends the encoded form: number of instances, then of each `pod, 8 B | container, 8 B | number of samples | (measure, value)…`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.instances.len() as u64);
        for (instance, samples) in &self.instances {
            out.extend_from_slice(&instance.pod.to_be_bytes());
            out.extend_from_slice(&instance.container.to_be_bytes());
            put_u64(out, samples.len() as u64);
            for (measure, value) in samples {
                out.push(*measure as u8);
                put_u64(out, *value);
            }
        }
    }

    /// Adds encoded samples. Gives how many of them had no place.
    ///
    /// # Errors
    /// When the bytes are damaged, or name a measure of a later version.
    pub fn merge_encoded(&mut self, from: &mut Cursor<'_>) -> Result<u64, CodecError> {
        let mut left_out = 0;
        for _ in 0..from.count()? {
            let mut hash = || from.take(8).map(|bytes| bytes.try_into().map_or(0, u64::from_be_bytes));
            let instance = Instance { pod: hash()?, container: hash()? };
            for _ in 0..from.count()? {
                let measure = Measure::of(from.u8()?)?;
                left_out += u64::from(!self.note(instance, measure, from.u64()?));
            }
        }
        Ok(left_out)
    }

    /// Reads encoded samples.
    ///
    /// # Errors
    /// As `merge_encoded`.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let mut resources = Self::default();
        resources.merge_encoded(from)?;
        Ok(resources)
    }

    /// The sums over all instances.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut pods: BTreeMap<u64, Samples> = BTreeMap::new();
        for (instance, samples) in &self.instances {
            let pod = pods.entry(instance.pod).or_default();
            for (measure, value) in samples {
                match pod.iter_mut().find(|(held, _)| held == measure) {
                    Some((_, sum)) => *sum = sum.saturating_add(*value),
                    None => pod.push((*measure, *value)),
                }
            }
        }
        let mut usage = Usage::default();
        for way in &WAYS {
            let sums = match way.join {
                Join::Instance => sums(way, self.instances.values()),
                Join::Pod => sums(way, pods.values()),
            };
            if let Some(sums) = sums {
                usage.sums.push((way.number, sums));
            }
        }
        usage
    }
}

/// Σ over the instances that tell what a way needs.
fn sums<'a>(way: &Way, instances: impl Iterator<Item = &'a Samples>) -> Option<Sums> {
    let value = |samples: &Samples, measure: Measure| samples.iter().find(|(held, _)| *held == measure).map(|(_, value)| *value);
    let mut sums = Sums::default();
    for samples in instances {
        let Some(used) = value(samples, way.used) else { continue };
        // A limit of 0 is how some say that there is none.
        let limit = way.limit.map_or(Some(MILLION), |limit| value(samples, limit)).filter(|limit| *limit > 0);
        let Some(limit) = limit else { continue };
        sums.used += u128::from(used);
        sums.limit += u128::from(limit);
    }
    (sums.limit > 0).then_some(sums)
}

/// A way in which the utilization of a resource can be told. Of several the first that any instance knows is taken for all instances, so
/// that units are never mixed.
struct Way {
    /// On disk and in records: never renumber, never reuse.
    number: u8,
    resource: Resource,
    used: Measure,
    /// `None`: each instance counts as 1: of ratios that is their mean, of plain numbers what an override says of one instance is needed.
    limit: Option<Measure>,
    by_capacity: Option<&'static str>,
    join: Join,
}

enum Join {
    Instance,
    Pod,
}

const fn way(number: u8, resource: Resource, used: Measure, limit: Option<Measure>) -> Way {
    Way { number, resource, used, limit, by_capacity: None, join: Join::Instance }
}

/// In order of preference.
const WAYS: [Way; 13] = [
    way(0, Resource::Cpu, Measure::CpuUsed, Some(Measure::CpuLimit)),
    Way { join: Join::Pod, ..way(1, Resource::Cpu, Measure::PodCpuUsed, Some(Measure::CpuLimit)) },
    way(2, Resource::Cpu, Measure::CpuLimitRatio, None),
    way(3, Resource::Cpu, Measure::ProcessCpuRatio, None),
    way(4, Resource::Memory, Measure::WorkingSet, Some(Measure::MemoryLimit)),
    way(5, Resource::Memory, Measure::MemoryUsed, Some(Measure::MemoryLimit)),
    way(6, Resource::Memory, Measure::HeapUsed, Some(Measure::HeapLimit)),
    way(7, Resource::Memory, Measure::MemoryLimitRatio, None),
    way(8, Resource::Memory, Measure::ProcessMemoryRatio, None),
    Way { by_capacity: Some("threads"), ..way(9, Resource::Threads, Measure::Threads, None) },
    way(10, Resource::Connections, Measure::ConnectionsUsed, Some(Measure::ConnectionsLimit)),
    Way { by_capacity: Some("queue"), ..way(11, Resource::Queue, Measure::Queued, None) },
    way(12, Resource::Replicas, Measure::Replicas, Some(Measure::ReplicasLimit)),
];

/// Σ used and Σ limit, millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Sums {
    used: u128,
    limit: u128,
}

/// What a service used of its resources in a window, summed over its instances: what a record is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// By number of the way, ascending.
    sums: Vec<(u8, Sums)>,
}

impl Usage {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sums.is_empty()
    }

    /// Millionths of a resource that were in use; above one million when a limit was passed. `capacity` gives what one instance can bear.
    #[must_use]
    pub fn utilization(&self, resource: Resource, capacity: impl Fn(&str) -> Option<f64>) -> Option<u64> {
        WAYS.iter().filter(|way| way.resource == resource).find_map(|way| {
            let (_, sums) = self.sums.iter().find(|(number, _)| *number == way.number)?;
            let of_one = match way.by_capacity {
                Some(name) => capacity(name).and_then(millionths)?,
                None => MILLION,
            };
            share(sums.used, sums.limit.checked_mul(u128::from(of_one))? / u128::from(MILLION))
        })
    }

    /// Appends the encoded form: `count | (way, used, limit)…`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.sums.len() as u64);
        for (number, sums) in &self.sums {
            out.push(*number);
            put_u128(out, sums.used);
            put_u128(out, sums.limit);
        }
    }

    /// Reads what `encode` wrote. Ways of a later version are kept and mean nothing here.
    ///
    /// # Errors
    /// When the bytes are damaged.
    pub fn decode(from: &mut Cursor<'_>) -> Result<Self, CodecError> {
        let mut usage = Self::default();
        for _ in 0..from.count()? {
            usage.sums.push((from.u8()?, Sums { used: from.u128()?, limit: from.u128()? }));
        }
        Ok(usage)
    }

    /// Takes over what another one knows: of both, the larger sums.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (number, theirs) in &other.sums {
            match self.sums.binary_search_by_key(number, |(held, _)| *held) {
                Ok(at) => {
                    if let Some((_, held)) = self.sums.get_mut(at) {
                        *held = (*held).max(*theirs);
                    }
                }
                Err(at) => self.sums.insert(at, (*number, *theirs)),
            }
        }
    }
}

/// `used / limit` in millionths, rounded down.
pub(crate) fn share(used: u128, limit: u128) -> Option<u64> {
    let scaled = used.checked_mul(u128::from(MILLION))?.checked_div(limit)?;
    Some(u64::try_from(scaled).unwrap_or(u64::MAX))
}

/// A number from outside in millionths, to the nearest; none when it is negative, no number, or beyond 63 bits.
#[must_use]
pub fn millionths(value: f64) -> Option<u64> {
    let scaled = (value * 1e6).round();
    (0.0..9.2e18).contains(&scaled).then_some(scaled as u64)
}

#[cfg(test)]
mod tests;
