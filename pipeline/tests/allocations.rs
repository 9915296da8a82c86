//! Decoding and folding allocate nothing per event once they are warm: a batch that was read before is read again without one call to the
//! allocator, and a whole transaction of FOLD makes a few calls, however many events it holds.
#![expect(unsafe_code, reason = "a global allocator that counts can be written in no other way; it only forwards")]

use golden_pipeline::dead_letter::Stamp;
use golden_pipeline::decode::{Input, Items, Reason, Skip, Wanted, decoder};
use golden_pipeline::event::Event;
use golden_pipeline::fold::verdict::VerdictLimits;
use golden_pipeline::fold::{Fold, FoldSettings, FoldSource, TimeMode};
use golden_pipeline::grouping::Groupings;
use golden_pipeline::overrides::rules::Rules;
use golden_pipeline::source::{Format, Source};
use golden_pipeline::tally::Tally;
use platform_core::log::{CommitError, Committed, Positions};
use platform_core::record::{BatchBuffer, NewRecord, Offset, Partition, Topic};
use platform_core::stage::{Emit, MapStage};
use platform_core::time::{AppendTime, SECOND};
use platform_core::watermark::WatermarkLimits;
use platform_core::window::WindowLength;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

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

/// Takes outputs and keeps nothing.
#[derive(Default)]
struct Sink(usize);

impl Emit for Sink {
    fn append(&mut self, _: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        self.0 += record.value.map_or(0, <[u8]>::len);
        Ok(())
    }

    fn size(&self) -> usize {
        self.0
    }
}

#[test]
fn a_warm_fold_allocates_nothing_per_event() {
    let groupings = BTreeMap::from([("service".to_owned(), vec![]), ("by".to_owned(), vec!["operation".to_owned(), "region".to_owned()])]);
    let groupings = Groupings::new(&groupings).expect("valid groupings");
    let mut decoder_source = Source::for_format(Format::Json);
    "s".clone_into(&mut decoder_source.name);
    let settings = FoldSettings {
        stamp: Stamp { colour: "blue", epoch: 1, tenant: "default".into() },
        groupings,
        window: WindowLength::new(Duration::from_secs(10)).expect("a divisor of an hour"),
        verdicts: VerdictLimits { retain: 3600 * SECOND, skew: 60 * SECOND },
        watermark: WatermarkLimits { bound: 30 * SECOND, hold: 45 * SECOND, broker_skew: 0 },
        time: TimeMode::Live,
        traces: true,
        lead: 120 * SECOND,
        partials: Topic::new("partials"),
        partitions: 4,
        dead_letters: Topic::new("dead"),
        starts: Positions::new(),
    };
    let mut fold = Fold::new(
        settings,
        vec![FoldSource {
            topic: Topic::new("events"),
            name: "s".to_owned(),
            decoder: Arc::new(move |wanted| decoder(&decoder_source, wanted)),
        }],
        Rules::none(),
        Arc::new(Tally::default()),
    );
    let partition = Partition::new(&Topic::new("events"), 0);
    fold.assigned(&[(partition.clone(), Committed::default())]);
    // Over three windows, with errors, late by up to 20 s.
    let mut lines = String::new();
    for n in 0..20_000_u64 {
        let (status, time) = (if n % 9 == 0 { 503 } else { 200 }, 1_700_000_000_000 - n % 20 * 1000);
        lines.push_str(&format!(
            "{{\"timestamp\":{time},\"service\":\"service-{}\",\"operation\":\"GET /a/{}\",\"status\":{status},\"latency_ms\":{}.25,\"tags\":{{\"region\":\"eu-{}\",\"trace_id\":\"{n:032x}\",\"span_id\":\"{n:016x}\"}}}}\n",
            n % 10, n % 3, n % 900, n % 2,
        ));
    }
    let mut transaction = |offset: u64| {
        let mut buffer = BatchBuffer::default();
        buffer.start(&partition);
        for (n, part) in lines.as_bytes().chunk_by(|a, _| *a != b'\n').enumerate() {
            buffer.push(Offset(offset + n as u64), Some(AppendTime(1_700_000_000 * SECOND)), None, &[], Some(part));
        }
        let batch = buffer.batch().expect("it was filled");
        let mut out = Sink::default();
        let before = ALLOCATIONS.with(Cell::get);
        fold.process(&batch);
        let read = ALLOCATIONS.with(Cell::get);
        fold.emit(&mut out).expect("the sink takes everything");
        fold.committed();
        assert!(out.0 > 10_000);
        (read - before, ALLOCATIONS.with(Cell::get) - read)
    };
    // Memory of windows changes hands from one to the next.
    for n in 0..4 {
        transaction(n * 20_000);
    }
    let (read, sent) = transaction(80_000);
    // What is left is the name of an error type, once for each series and transaction that has errors.
    assert!(read + sent < 200, "{read} allocations in 20,000 events, {sent} to send them");
}
