//! Utilization and saturation: utilization of a resource = Σ used / Σ limit over the instances that know both, each with its largest sample
//! of the window, in integer millionths, rounded down. Of `requests` it is requests / (window · what the service can bear per second).
//! Saturation is the largest utilization of the resources that count; of equal ones the first in the order of `Resource::ALL`.
//!
//! An override states capacities and which resources count. Without a gauge and without a capacity there is no value, which is not 0.

use crate::resource::{MILLION, Resource, Usage, millionths, share};
use golden_overrides::file::Override;
use platform_core::time::SECOND;
use platform_core::window::WindowLength;

/// How much of its resources a service used in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saturation {
    /// The largest utilization, in millionths.
    pub millionths: u64,
    /// What it is of.
    pub resource: Resource,
    /// In the order of `Resource::ALL`, millionths; only resources that count.
    pub utilization: [Option<u64>; Resource::ALL.len()],
}

impl Saturation {
    /// 0 to 1, and above.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        ratio(self.millionths)
    }

    /// 0 to 100, and above: as rules read it.
    #[must_use]
    pub fn percent(&self) -> f64 {
        self.millionths as f64 / (MILLION as f64 / 100.0)
    }

    /// Resources that are known, with their utilization, 0 to 1 and above.
    pub fn utilizations(&self) -> impl Iterator<Item = (Resource, f64)> {
        Resource::ALL.into_iter().zip(self.utilization).filter_map(|(resource, known)| Some((resource, ratio(known?))))
    }
}

fn ratio(millionths: u64) -> f64 {
    millionths as f64 / MILLION as f64
}

/// What is known of a service in a window, by the override that is in force for it.
#[must_use]
pub fn saturation(usage: Option<&Usage>, requests: u64, window: WindowLength, found: Option<&Override>) -> Option<Saturation> {
    let capacity = |name: &str| found.and_then(|found| found.capacity.get(name)).copied();
    let counts = |resource: Resource| {
        found.is_none_or(|found| found.saturation.is_empty() || found.saturation.iter().any(|name| name == resource.name()))
    };
    let utilization = Resource::ALL.map(|resource| match resource {
        resource if !counts(resource) => None,
        Resource::Requests => {
            // Both sides in millionths of a request and ns.
            let limit = u128::from(capacity("max_requests_per_second").and_then(millionths)?) * u128::from(window.nanos().unsigned_abs());
            share(u128::from(requests) * u128::from(MILLION) * SECOND.unsigned_abs() as u128, limit)
        }
        resource => usage?.utilization(resource, capacity),
    });
    let known = Resource::ALL.into_iter().zip(utilization).filter_map(|(resource, known)| Some((resource, known?)));
    // The first of equal ones stays.
    let (resource, millionths) = known.reduce(|most, next| if next.1 > most.1 { next } else { most })?;
    Some(Saturation { millionths, resource, utilization })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{Instance, Measure, Resources};
    use std::time::Duration;

    fn window() -> WindowLength {
        WindowLength::new(Duration::from_secs(60)).unwrap()
    }

    fn file(text: &str) -> Override {
        golden_overrides::file::check("shop/cart.yaml", format!("owner: shop\n{text}").as_bytes()).result.unwrap()
    }

    fn usage(samples: &[(&str, Measure, f64)]) -> Usage {
        let mut resources = Resources::default();
        samples.iter().for_each(|(instance, measure, value)| {
            assert!(resources.note(Instance::of(instance, ""), *measure, millionths(*value).unwrap()));
        });
        resources.usage()
    }

    #[test]
    fn saturation_is_the_largest_utilization_and_names_its_resource() {
        let usage = usage(&[
            ("a", Measure::CpuUsed, 0.5),
            ("a", Measure::CpuLimit, 1.0),
            ("b", Measure::CpuUsed, 1.5),
            ("b", Measure::CpuLimit, 2.0),
            ("a", Measure::WorkingSet, 600.0),
            ("a", Measure::MemoryLimit, 1000.0),
        ]);
        let found = saturation(Some(&usage), 0, window(), None).unwrap();
        assert_eq!((found.millionths, found.resource), (666_666, Resource::Cpu));
        assert_eq!(found.utilization, [Some(666_666), Some(600_000), None, None, None, None, None]);
        let counted = saturation(Some(&usage), 0, window(), Some(&file("saturation: [memory]\n"))).unwrap();
        assert_eq!((counted.ratio(), counted.resource, counted.percent()), (0.6, Resource::Memory, 60.0));
    }

    #[test]
    fn replicas_and_connections_count_like_every_resource() {
        let usage = usage(&[
            ("scaler", Measure::Replicas, 9.0),
            ("scaler", Measure::ReplicasLimit, 10.0),
            ("a", Measure::ConnectionsUsed, 30.0),
            ("a", Measure::ConnectionsLimit, 40.0),
            ("b", Measure::ConnectionsUsed, 10.0),
            ("b", Measure::ConnectionsLimit, 40.0),
        ]);
        let found = saturation(Some(&usage), 0, window(), None).unwrap();
        assert_eq!((found.resource, found.ratio()), (Resource::Replicas, 0.9));
        assert_eq!(found.utilizations().collect::<Vec<_>>(), [(Resource::Connections, 0.5), (Resource::Replicas, 0.9)]);
    }

    #[test]
    fn capacities_are_of_one_instance_and_of_requests_of_the_service() {
        let usage = usage(&[("a", Measure::Threads, 90.0), ("b", Measure::Threads, 30.0), ("a", Measure::Queued, 5.0)]);
        assert_eq!(saturation(Some(&usage), 600, window(), None), None, "plain numbers say nothing without a capacity");
        let file = file("capacity: {threads: 200, queue: 4, max_requests_per_second: 40}\n");
        let found = saturation(Some(&usage), 600, window(), Some(&file)).unwrap();
        let known: Vec<_> = found.utilizations().collect();
        assert_eq!(known, [(Resource::Threads, 0.3), (Resource::Queue, 1.25), (Resource::Requests, 0.25)]);
        assert_eq!(found.resource, Resource::Queue);
        let alone = saturation(None, 600, window(), Some(&file)).unwrap();
        assert_eq!((alone.millionths, alone.resource), (250_000, Resource::Requests));
    }
}
