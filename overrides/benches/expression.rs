//! What one evaluation costs: the two published expressions, and the worst that the limits let through, compiled and run.

use criterion::{Criterion, criterion_group, criterion_main};
use golden_overrides::language::{HealthRule, Number, Rule, TagRule, Text};
use golden_overrides::scope::Scope;
use std::hint::black_box;

/// A series as a pipeline would lend it: plain fields, no map.
struct Series {
    requests: f64,
    availability: Option<f64>,
    host: &'static str,
}

impl Scope for Series {
    fn number(&self, name: Number) -> Option<f64> {
        match name {
            Number::RequestCount => Some(self.requests),
            Number::Availability => self.availability,
            _ => None,
        }
    }

    fn text(&self, name: Text) -> &str {
        if name == Text::SvcHost { self.host } else { "" }
    }

    fn tag(&self, _: &str) -> &str {
        ""
    }
}

fn expressions(c: &mut Criterion) {
    let series = Series { requests: 1000.0, availability: Some(99.5), host: "host1.example.com" };
    let text = "requestCount < 60 ? 0 : availability > 99.0 ? 0 : 3";
    let Some(health) = HealthRule::compile(text).rule else { return };
    c.bench_function("health", |b| b.iter(|| black_box(&health).level(black_box(&series))));
    let Some(swimlane) = TagRule::compile("svcHost in ['host1.example.com'] ? \"ec2\" : \"\"").rule else { return };
    c.bench_function("swimlane", |b| {
        let mut room = String::new();
        b.iter(|| black_box(&swimlane).value(black_box(&series), &mut room).map(str::len));
    });
    c.bench_function("compile health", |b| b.iter(|| HealthRule::compile(black_box(text))));
    for (name, source) in worst() {
        c.bench_function(&format!("compile {name}"), |b| b.iter(|| HealthRule::compile(black_box(&source))));
        let Some(rule) = HealthRule::compile(&source).rule else { continue };
        c.bench_function(name, |b| b.iter(|| black_box(&rule).level(black_box(&series))));
    }
}

/// Long chains of choices, of texts that differ in the last letter, and of searches.
fn worst() -> [(&'static str, String); 3] {
    let chain: String = (0..50).map(|n| format!("requestCount == {n} ? 1 : ")).collect();
    let hosts: String = (0..49).map(|n| format!("svcHost == '{}{n:02}' ? 1 : ", "host1.example.com.long".repeat(2))).collect();
    let search: String = (0..31).map(|n| format!("contains(lower(svcHost), 'zzz{n}') ? 1 : ")).collect();
    [("worst chain", format!("{chain}0")), ("worst texts", format!("{hosts}0")), ("worst search", format!("{search}0"))]
}

criterion_group!(benches, expressions);
criterion_main!(benches);
