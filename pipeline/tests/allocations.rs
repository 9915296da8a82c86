//! Decoding allocates nothing once it is warm: a batch that was read before is read again without one call to the allocator.
#![expect(unsafe_code, reason = "a global allocator that counts can be written in no other way; it only forwards")]

use golden_pipeline::decode::{Input, Items, Reason, Skip, Wanted, decoder};
use golden_pipeline::event::Event;
use golden_pipeline::source::Source;
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

#[derive(Default)]
struct Count {
    events: u64,
    other: u64,
}

impl Items for Count {
    fn event(&mut self, _: u32, _: &Event<'_>) {
        self.events += 1;
    }

    fn skipped(&mut self, _: u32, _: Skip) {
        self.other += 1;
    }

    fn dead(&mut self, _: u32, _: Reason, _: &str, _: &[u8]) {
        self.other += 1;
    }
}

/// Lines whose keys come in several orders, some missing, some with escapes, some with tags that no one wants.
fn lines() -> String {
    let mut lines = String::new();
    for n in 0..2_000 {
        let host = if n % 3 == 0 { r#","host":"h\u0031""# } else { "" };
        let tags = format!(r#","tags":{{"region":"eu-{}","trace_id":"{n:032x}","x{}":[1,{{"y":"\n"}}]}}"#, n % 4, n % 5);
        let (first, second) = if n % 2 == 0 { (host, tags.as_str()) } else { (tags.as_str(), host) };
        lines.push_str(&format!(
            "{{\"timestamp\":{},\"service\":\"service-{}\"{first},\"operation\":\"GET /a\\/{}\"{second},\"status\":200,\"latency_ms\":{}.25,\"weight\":1.5}}\n",
            1_700_000_000_000_u64 + n,
            n % 50,
            n % 7,
            n % 900,
        ));
    }
    lines
}

#[test]
fn a_warm_decoder_does_not_allocate() {
    let yaml = "
source: s
format: json
operation: template
filter: {path: tags.kind, not_in: [probe]}
outcome: [{path: status, in: [5xx], is: error}]
dedup: {id: [tags.trace_id, service]}
";
    let source = Source::from_yaml("s.yaml", yaml).expect("a valid mapping");
    let wanted = Wanted { tags: vec!["region".to_owned(), "env".to_owned()], traces: true };
    let mut decoder = decoder(&source, &wanted);
    let lines = lines();
    let mut count = Count::default();
    decoder.decode(&Input::new(lines.as_bytes()), &mut count);
    let before = ALLOCATIONS.with(Cell::get);
    decoder.decode(&Input::new(lines.as_bytes()), &mut count);
    let after = ALLOCATIONS.with(Cell::get);
    assert_eq!((count.events, count.other), (4_000, 0));
    assert_eq!(after - before, 0, "allocations in 2,000 events");
}
