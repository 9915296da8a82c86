use super::*;
use proptest::prelude::*;

fn known(text: &str) -> Instance {
    Instance::of(text, "")
}

fn of(samples: &[(Instance, Measure, u64)]) -> Resources {
    let mut resources = Resources::default();
    for (instance, measure, value) in samples {
        resources.note(*instance, *measure, *value);
    }
    resources
}

fn bytes(resources: &Resources) -> Vec<u8> {
    let mut out = Vec::new();
    resources.encode(&mut out);
    out
}

const NO_CAPACITY: fn(&str) -> Option<f64> = |_| None;

#[test]
fn an_instance_counts_with_its_largest_sample_and_one_without_a_limit_is_left_out() {
    let resources = of(&[
        (known("a"), Measure::CpuUsed, 100),
        (known("a"), Measure::CpuUsed, 400),
        (known("a"), Measure::CpuUsed, 200),
        (known("a"), Measure::CpuLimit, 1000),
        (known("b"), Measure::CpuUsed, 9_000_000),
    ]);
    assert_eq!(resources.usage().utilization(Resource::Cpu, NO_CAPACITY), Some(400_000));
    assert_eq!(resources.usage().utilization(Resource::Memory, NO_CAPACITY), None);
    assert!(of(&[(known("b"), Measure::CpuUsed, 1)]).usage().is_empty());
    assert!(of(&[(known("b"), Measure::CpuUsed, 1), (known("b"), Measure::CpuLimit, 0)]).usage().is_empty());
}

#[test]
fn a_pod_is_held_against_the_limits_of_its_containers() {
    let (app, proxy) = (Instance::of("uid", "app"), Instance::of("uid", "proxy"));
    let resources =
        of(&[(Instance::of("uid", ""), Measure::PodCpuUsed, 900), (app, Measure::CpuLimit, 1000), (proxy, Measure::CpuLimit, 500)]);
    assert_eq!(resources.usage().utilization(Resource::Cpu, NO_CAPACITY), Some(600_000));
}

#[test]
fn units_are_not_mixed_and_ratios_are_averaged_over_instances() {
    let ratios = [(known("a"), Measure::CpuLimitRatio, 200_000), (known("b"), Measure::CpuLimitRatio, 600_000)];
    assert_eq!(of(&ratios).usage().utilization(Resource::Cpu, NO_CAPACITY), Some(400_000));
    let mut all = ratios.to_vec();
    all.extend([(known("c"), Measure::CpuUsed, 10), (known("c"), Measure::CpuLimit, 20)]);
    assert_eq!(of(&all).usage().utilization(Resource::Cpu, NO_CAPACITY), Some(500_000));
}

#[test]
fn above_the_cap_the_smallest_ids_stay_and_what_is_left_out_is_told() {
    let id = |pod: u64| Instance { pod, container: 0 };
    let mut resources = Resources::default();
    let taken = (0..=INSTANCES as u64).rev().filter(|pod| resources.note(id(*pod), Measure::Threads, 1)).count();
    assert_eq!((taken, resources.len()), (INSTANCES, INSTANCES));
    assert!(!resources.note(id(u64::MAX), Measure::Threads, 1));
    assert_eq!(resources.instances.first_key_value().map(|(id, _)| id.pod), Some(0));
}

#[test]
fn numbers_from_outside_become_millionths_or_nothing() {
    assert_eq!([0.0, 0.25, 2e9].map(millionths), [Some(0), Some(250_000), Some(2_000_000_000_000_000)]);
    assert_eq!([-1.0, f64::NAN, f64::INFINITY, 1e13].map(millionths), [None; 4]);
}

/// A stored sample: stores and topics may hold this form.
#[test]
fn the_first_form_is_still_read() {
    let sample = [1, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 100, 2, 200, 1];
    let resources = Resources::decode(&mut Cursor::new(&sample)).unwrap();
    assert_eq!(resources.usage().utilization(Resource::Cpu, NO_CAPACITY), Some(500_000));
    assert_eq!(bytes(&resources), sample);
    assert_eq!(Usage::decode(&mut Cursor::new(&[1, 0, 100, 0, 200, 1, 0])).unwrap(), resources.usage());
}

fn samples() -> impl Strategy<Value = Vec<(Instance, Measure, u64)>> {
    let instance = (0..8_u64, 0..2_u64).prop_map(|(pod, container)| Instance { pod, container });
    let measure = (0..18_u8).prop_map(|number| Measure::of(number).unwrap());
    prop::collection::vec((instance, measure, 0..1_u64 << 63), 0..60)
}

proptest! {
    #[test]
    fn whatever_the_order_and_grouping_the_bytes_are_the_same(
        list in samples(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4), seed in any::<u64>(),
    ) {
        let whole = of(&list);
        let mut order = list.clone();
        order.sort_by_key(|(instance, measure, value)| {
            xxhash_rust::xxh64::xxh64(format!("{instance:?}{measure:?}{value}").as_bytes(), seed)
        });
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(order.len() + 1)).collect();
        places.sort_unstable();
        places.push(order.len());
        let (mut merged, mut from) = (Resources::default(), 0);
        for to in places {
            merged.merge_encoded(&mut Cursor::new(&bytes(&of(&order[from..to])))).unwrap();
            from = to;
        }
        prop_assert_eq!(bytes(&merged), bytes(&whole));
        prop_assert_eq!(merged.usage(), whole.usage());
    }

    #[test]
    fn damage_is_refused_or_read_and_never_a_crash(list in samples(), cut in any::<prop::sample::Index>()) {
        let whole = bytes(&of(&list));
        let cut = cut.index(whole.len());
        prop_assert!(Resources::decode(&mut Cursor::new(&whole[..cut])).is_err());
        let mut usage = Vec::new();
        of(&list).usage().encode(&mut usage);
        prop_assert_eq!(Usage::decode(&mut Cursor::new(&usage)).unwrap(), of(&list).usage());
    }
}
