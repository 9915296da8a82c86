//! Chunks as the pipeline makes them.

use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::emit::outbox::{Chunk, Outbox};
use golden_pipeline::emit::record::{Final, RecordEncoder, Subject};
use golden_pipeline::emit::scrape::push::Push;
use golden_pipeline::event::{Event, Trace};
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{AGGREGATE, IDENTITY, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use golden_pipeline::outcome::Outcome;
use golden_pipeline::resource::Resource;
use golden_pipeline::signal::completeness::Completeness;
use golden_pipeline::signal::health::DEFAULT_RULE_SHA256;
use golden_pipeline::signal::saturation::Saturation;
use platform_core::record::{BatchBuffer, Offset, Partition, Topic, put_headers};
use platform_core::stage::KeyedStage;
use platform_core::store::Changes;
use platform_core::time::{EventTime, SECOND};
use platform_core::window::WindowLength;
use platform_runtime::memory::MemoryStore;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

/// The chunk of one window with one request of each of these services. One called `busy` has 300, of 1 to 300 ms, ten of them failed, and uses
/// 70 % of its CPU; one called `traced` has a trace.
pub(crate) fn chunk(services: &[&str]) -> Chunk {
    chunk_at(EventTime(0), services)
}

/// The same of the window that starts then.
pub(crate) fn chunk_at(start: EventTime, services: &[&str]) -> Chunk {
    let outbox = Arc::new(Outbox::new(1 << 20));
    // Its chunks go with it.
    let _stage = fill_at(&outbox, start, services);
    (*outbox.next(Duration::ZERO).unwrap().1).clone()
}

/// Puts that chunk into an outbox; what it was made with must stay, or it goes.
pub(crate) fn fill(outbox: &Arc<Outbox>, services: &[&str]) -> Push {
    fill_at(outbox, EventTime(0), services)
}

fn fill_at(outbox: &Arc<Outbox>, start: EventTime, services: &[&str]) -> Push {
    let store = MemoryStore::default();
    let mut stage = Push::new(outbox, 0, 60 * MINUTE, 60 * MINUTE);
    stage.restore(&store, &[]).unwrap();
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("public"), 0));
    services.iter().for_each(|service| put(&mut buffer, start, service));
    let mut headers = vec![];
    put_headers(&mut headers, &[(SCHEMA, SCHEMA_PROGRESS.as_bytes())]);
    let progress = format!(r#"{{"window_start":{},"window_end":{}}}"#, start.0, start.0 + MINUTE);
    buffer.push(Offset(9), None, None, &headers, Some(progress.as_bytes()));
    buffer.batch().unwrap().iter().for_each(|record| stage.apply(&record, &store).unwrap());
    stage.changes(&mut Changes::default());
    stage
}

fn put(buffer: &mut BatchBuffer, start: EventTime, service: &str) {
    let event = |millis: u64, outcome| Event {
        event_time: start.plus(1),
        duration: Some(millis * 1_000_000),
        outcome,
        error_type: if outcome == Outcome::Error { "503" } else { "" },
        trace: (service == "traced").then_some(Trace { trace_id: 0xabc, span_id: 1, sampled: true }),
        ..Event::EMPTY
    };
    let mut aggregate = Aggregate::default();
    let mut saturation = None;
    if service == "busy" {
        for n in 1..=300 {
            aggregate.add(&event(n, if n % 30 == 0 { Outcome::Error } else { Outcome::Ok }), n);
        }
        let mut utilization = [None; Resource::ALL.len()];
        (utilization[0], utilization[1]) = (Some(700_000), Some(250_000));
        saturation = Some(Saturation { millionths: 700_000, resource: Resource::ALL[0], utilization });
    } else {
        aggregate.add(&event(20, Outcome::Ok), 1);
    }
    let (mut value, mut identity, mut integers, mut headers) = (vec![], vec![], vec![], vec![]);
    let result = Final {
        subject: Subject { tenant: "default", namespace: "", service, grouping: "service", dimensions: &[], overflow: false },
        window_start: start,
        window: WindowLength::new(Duration::from_secs(60)).unwrap(),
        revision: 0,
        completeness: Completeness::FULL,
        aggregate: &aggregate,
        saturation,
        health: None,
        override_version: 0,
        override_sha256: DEFAULT_RULE_SHA256,
        sources: None,
    };
    RecordEncoder::default().put_final(&result, &mut value);
    let id = Identity {
        window_start: start,
        window_nanos: MINUTE,
        tenant: "default".to_owned(),
        namespace: String::new(),
        service: service.to_owned(),
        grouping: "service".to_owned(),
        dimensions: vec![],
    };
    id.encode(&mut identity);
    aggregate.encode(&mut integers);
    put_headers(&mut headers, &[(SCHEMA, SCHEMA_SIGNALS.as_bytes()), (IDENTITY, &identity), (AGGREGATE, &integers)]);
    buffer.push(Offset(0), None, None, &headers, Some(&value));
}
