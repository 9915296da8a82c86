//! The sketch: recording a duration, merging two, encoding and reading back; sparse (a quiet series) and dense (a busy one).

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use golden_generate::{fact::Fact, generator::Generator, settings::Settings};
use golden_pipeline::sketch::{Sketch, bin_of, micros_of};
use platform_core::codec::Cursor;
use std::hint::black_box;

/// Bins of generated latencies.
fn bins(events: u64, seed: u64) -> Vec<u16> {
    let mut generator =
        Generator::new(&Settings { events, seed, services: 1, operations: 1, ..Settings::default() }).expect("defaults are in range");
    let mut line = Vec::new();
    let facts = std::iter::from_fn(|| {
        line.clear();
        generator.next_line(&mut line)
    });
    let latency = |fact| if let Fact::Event(event) = fact { event.latency } else { None };
    facts.filter_map(latency).map(|nanos| bin_of(micros_of(nanos).0)).collect()
}

fn sketch(bins: &[u16]) -> Sketch {
    let mut sketch = Sketch::default();
    bins.iter().for_each(|bin| sketch.record(*bin, 1));
    sketch
}

fn benches(criterion: &mut Criterion) {
    for (name, samples) in [("20 samples", 20), ("100000 samples", 100_000)] {
        let (drawn, others) = (bins(samples, 1), bins(samples, 2));
        let (full, other) = (sketch(&drawn), sketch(&others));

        let mut group = criterion.benchmark_group("sketch/record");
        group.throughput(Throughput::Elements(samples));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut into = full.clone();
            bencher.iter(|| {
                into.clear();
                drawn.iter().for_each(|bin| into.record(black_box(*bin), 1));
                into.total()
            });
        });
        group.finish();

        let mut group = criterion.benchmark_group("sketch/merge");
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut into = full.clone();
            bencher.iter(|| {
                into.clear();
                into.add(black_box(&full)).and_then(|()| into.add(black_box(&other))).is_ok()
            });
        });
        group.finish();

        let mut encoded = Vec::new();
        full.encode(&mut encoded);
        let mut group = criterion.benchmark_group("sketch/encode");
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut out = Vec::new();
            bencher.iter(|| {
                out.clear();
                black_box(&full).encode(&mut out);
                out.len()
            });
        });
        group.finish();

        let mut group = criterion.benchmark_group("sketch/read back");
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            let mut into = full.clone();
            bencher.iter(|| {
                into.clear();
                into.merge_encoded(&mut Cursor::new(black_box(&encoded))).is_ok()
            });
        });
        group.finish();
    }
}

criterion_group!(all, benches);
criterion_main!(all);
