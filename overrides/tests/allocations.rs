//! Evaluation allocates nothing: not for health, not for a tag, not for an outcome, whether it succeeds or fails.
#![expect(unsafe_code, reason = "a global allocator that counts can be written in no other way; it only forwards")]

use golden_overrides::language::{HealthRule, Number, OutcomeRule, Rule, TagRule, Text};
use golden_overrides::scope::Sample;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is forwarded unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(of: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    of();
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn nothing_is_allocated_once_an_expression_is_compiled() {
    let sample = Sample::default()
        .number(Number::RequestCount, 100.0)
        .number(Number::ErrorCount, 3.0)
        .number(Number::Status, 429.0)
        .text(Text::SvcHost, "Host1.example.com")
        .text(Text::Outcome, "error")
        .tag("tier", "Gold");
    let health = HealthRule::compile(
        "requestCount < 60 ? 0 : lower(tag('tier')) in ['gold', 'silver'] and availabilityLower(0.95) > 99 \
         ? 0 : contains(lower(svcHost), 'EXAMPLE') or endsWith(svcHost, '.org') ? max(1, errorCount / requestCount) : 3",
    );
    let fails = HealthRule::compile("latencyP99 > 1s ? 3 : 0").rule.unwrap();
    let tag = TagRule::compile("svcHost in ['Host1.example.com', 'b', 'c'] ? lower(svcHost) : \"\"").rule.unwrap();
    let outcome = OutcomeRule::compile("status in [429, 503] ? outcome : 'ok'").rule.unwrap();
    let health = health.rule.unwrap();
    let mut room = String::with_capacity(256);
    let count = allocations(|| {
        for _ in 0..100 {
            assert_eq!(health.level(&sample), Ok(3));
            assert!(fails.level(&sample).is_err());
            assert_eq!(tag.value(&sample, &mut room), Ok("host1.example.com"));
            assert_eq!(outcome.outcome(&sample), Ok("error"));
        }
    });
    assert_eq!(count, 0);
    assert!(allocations(|| drop(vec![1])) > 0, "the count counts");
}
