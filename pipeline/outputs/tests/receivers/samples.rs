//! Chunks as the pipeline makes them.

use golden_pipeline::aggregate::Aggregate;
use golden_pipeline::emit::outbox::{Chunk, Outbox};
use golden_pipeline::emit::record::{Final, RecordEncoder, Subject};
use golden_pipeline::emit::scrape::push::Push;
use golden_pipeline::event::{Event, StatusClass};
use golden_pipeline::identity::Identity;
use golden_pipeline::names::{AGGREGATE, IDENTITY, SCHEMA, SCHEMA_PROGRESS, SCHEMA_SIGNALS};
use golden_pipeline::outcome::{Outcome, Status};
use golden_pipeline::signal::completeness::Completeness;
use golden_pipeline::signal::health::DEFAULT_RULE_SHA256;
use platform_core::record::{BatchBuffer, Offset, Partition, Topic, put_headers};
use platform_core::stage::KeyedStage;
use platform_core::store::Changes;
use platform_core::time::{EventTime, SECOND};
use platform_core::window::WindowLength;
use platform_runtime::memory::MemoryStore;
use std::sync::Arc;
use std::time::Duration;

const MINUTE: i64 = 60 * SECOND;

/// The chunk of one window with one request of each of these services; a service called `bad` has a bad one.
pub(crate) fn chunk(services: &[&str]) -> Chunk {
    let outbox = Arc::new(Outbox::new(1 << 20));
    // Its chunks go with it.
    let _stage = fill(&outbox, services);
    (*outbox.next(Duration::ZERO).unwrap().1).clone()
}

/// Puts that chunk into an outbox; what it was made with must stay, or it goes.
pub(crate) fn fill(outbox: &Arc<Outbox>, services: &[&str]) -> Push {
    let store = MemoryStore::default();
    let mut stage = Push::new(outbox, 0, 60 * MINUTE, 60 * MINUTE);
    stage.restore(&store, &[]).unwrap();
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("public"), 0));
    services.iter().for_each(|service| put(&mut buffer, service));
    let mut headers = vec![];
    put_headers(&mut headers, &[(SCHEMA, SCHEMA_PROGRESS.as_bytes())]);
    let progress = format!(r#"{{"window_start":0,"window_end":{MINUTE}}}"#);
    buffer.push(Offset(9), None, None, &headers, Some(progress.as_bytes()));
    buffer.batch().unwrap().iter().for_each(|record| stage.apply(&record, &store).unwrap());
    stage.changes(&mut Changes::default());
    stage
}

fn put(buffer: &mut BatchBuffer, service: &str) {
    let event = Event {
        event_time: EventTime(1),
        duration: Some(20_000_000),
        service: "",
        namespace: "",
        operation: "",
        outcome: Outcome::Ok,
        error_type: "",
        status: &Status::NONE,
        status_class: StatusClass::None,
        host: "",
        tags: &[],
        weight: 1,
        trace: None,
        dedup: None,
        raw: &[],
    };
    let mut aggregate = Aggregate::default();
    aggregate.add(&event, 1);
    let (mut value, mut identity, mut integers, mut headers) = (vec![], vec![], vec![], vec![]);
    let result = Final {
        subject: Subject { tenant: "default", namespace: "", service, grouping: "service", dimensions: &[], overflow: false },
        window_start: EventTime(0),
        window: WindowLength::new(Duration::from_secs(60)).unwrap(),
        revision: 0,
        completeness: Completeness::FULL,
        aggregate: &aggregate,
        saturation: None,
        health: None,
        override_version: 0,
        override_sha256: DEFAULT_RULE_SHA256,
        sources: None,
    };
    RecordEncoder::default().put_final(&result, &mut value);
    let id = Identity {
        window_start: EventTime(0),
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
