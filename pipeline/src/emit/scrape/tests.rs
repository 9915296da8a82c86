//! What counters hold when results come late and are corrected, over commits and restarts.

use super::*;
use crate::emit::prometheus::{Compatibility, Format};
use crate::emit::record::{Final, RecordEncoder, Subject};
use crate::event::Event;
use crate::names::PIPELINE;
use crate::signal::health::{DEFAULT_RULE_SHA256, Health, Level, Reason};
use platform_core::record::{BatchBuffer, Partition, Topic, put_headers};
use platform_core::time::SECOND;
use platform_core::window::WindowLength;
use platform_runtime::memory::MemoryStore;
use std::time::Duration;

const HOUR: i64 = 3600 * SECOND;

fn sink(scrapes: &Scrapes) -> Scrape {
    Scrape::signals(scrapes, 0, 2 * HOUR, HOUR)
}

fn aggregate(events: u64) -> Aggregate {
    let mut aggregate = Aggregate::default();
    let event = Event { ..Event::EMPTY };
    (0..events).for_each(|n| aggregate.add(&event, n));
    aggregate
}

/// Offers a record of the public topic and commits.
fn offer(sink: &mut Scrape, store: &mut MemoryStore, headers: &[(&str, &[u8])], value: &[u8]) {
    let mut encoded = Vec::new();
    put_headers(&mut encoded, headers);
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new(PIPELINE), 0));
    buffer.push(Offset(0), None, None, &encoded, Some(value));
    for record in buffer.batch().unwrap().iter() {
        sink.apply(&record, store).unwrap();
    }
    let mut changes = Changes::default();
    sink.changes(&mut changes);
    store.write(&changes, Offset(1)).unwrap();
}

/// The result of a service in the minute that starts at `start`.
fn result(sink: &mut Scrape, store: &mut MemoryStore, start: i64, events: u64) {
    let (window, aggregate) = (WindowLength::new(Duration::from_secs(60)).unwrap(), aggregate(events));
    let mut value = Vec::new();
    let health = Health { level: Some(Level::Healthy), reason: Reason::Rule, previous: Level::Healthy };
    let subject = Subject { tenant: "default", namespace: "", service: "cart", grouping: "service", dimensions: &[], overflow: false };
    let result = Final {
        subject,
        window_start: EventTime(start),
        window,
        revision: 0,
        completeness: crate::signal::completeness::Completeness::FULL,
        aggregate: &aggregate,
        saturation: None,
        health: Some(health),
        override_version: 0,
        override_sha256: DEFAULT_RULE_SHA256,
        sources: None,
    };
    RecordEncoder::default().put_final(&result, &mut value);
    let (mut identity, mut integers) = (Vec::new(), Vec::new());
    let id = Identity {
        window_start: EventTime(start),
        window_nanos: window.nanos(),
        tenant: "default".to_owned(),
        namespace: String::new(),
        service: "cart".to_owned(),
        grouping: "service".to_owned(),
        dimensions: vec![],
    };
    id.encode(&mut identity);
    aggregate.encode(&mut integers);
    let headers: [(&str, &[u8]); 3] = [(SCHEMA, SCHEMA_SIGNALS.as_bytes()), (IDENTITY, &identity), (AGGREGATE, &integers)];
    offer(sink, store, &headers, &value);
}

/// No correction of windows before `forgotten` comes any more.
fn progress(sink: &mut Scrape, store: &mut MemoryStore, forgotten: i64) {
    progress_of(sink, store, 0, forgotten);
}

/// The window that starts at `start` is done.
fn progress_of(sink: &mut Scrape, store: &mut MemoryStore, start: i64, forgotten: i64) {
    let (start, forgotten) = (sortable(EventTime(start)), sortable(EventTime(forgotten)));
    let headers: [(&str, &[u8]); 3] = [(SCHEMA, SCHEMA_PROGRESS.as_bytes()), (IDENTITY, &start), (FORGOTTEN_HEADER, &forgotten)];
    offer(sink, store, &headers, b"{}");
}

/// Requests on the metrics page.
fn requests(scrapes: &Scrapes) -> u64 {
    let mut page = Vec::new();
    let settings = PageSettings {
        format: Format::Text,
        tenant_label: false,
        max_series: 100,
        stale_after_nanos: HOUR,
        quantiles: false,
        compatibility: Compatibility::default(),
    };
    scrapes.page(&settings, EventTime(0), &[], &mut page);
    let page = String::from_utf8(page).unwrap();
    let sample = page.lines().find(|line| line.starts_with("golden_signals_requests_total{"));
    sample.map_or(0, |sample| sample.rsplit(' ').next().unwrap().parse().unwrap())
}

fn kept(store: &MemoryStore) -> usize {
    let mut kept = 0;
    store.scan(&[COUNTED], &[COUNTED + 1], &mut |_, _| kept += 1).unwrap();
    kept
}

#[test]
fn a_correction_counts_what_it_adds_however_far_behind_its_source_partition_is() {
    let (scrapes, mut store) = (Scrapes::default(), MemoryStore::default());
    let mut first = sink(&scrapes);
    result(&mut first, &mut store, 0, 2);
    progress(&mut first, &mut store, 0);
    result(&mut first, &mut store, 5 * HOUR, 1);
    result(&mut first, &mut store, 0, 3);
    assert_eq!(requests(&scrapes), 4);
    // After a restart nobody has said yet what can be forgotten, so nothing is.
    let mut second = sink(&scrapes);
    second.restore(&store, &[]).unwrap();
    result(&mut second, &mut store, 6 * HOUR, 1);
    result(&mut second, &mut store, 0, 4);
    assert_eq!(requests(&scrapes), 6);
}

#[test]
fn what_gets_no_corrections_any_more_is_forgotten() {
    let (scrapes, mut store) = (Scrapes::default(), MemoryStore::default());
    let mut sink = sink(&scrapes);
    result(&mut sink, &mut store, 0, 2);
    result(&mut sink, &mut store, 5 * HOUR, 1);
    assert_eq!(kept(&store), 2);
    progress(&mut sink, &mut store, 4 * HOUR);
    assert_eq!((kept(&store), requests(&scrapes)), (1, 3));
    assert_eq!(sink.replay_from(Offset(7)), Offset(0), "the newest window is needed again");
}

#[test]
fn a_series_ends_when_windows_go_on_without_it_and_no_other_has_results() {
    let (scrapes, mut store) = (Scrapes::default(), MemoryStore::default());
    let mut first = sink(&scrapes);
    result(&mut first, &mut store, 0, 2);
    progress_of(&mut first, &mut store, HOUR, 0);
    assert_eq!(requests(&scrapes), 2, "its time to live is not over");
    progress_of(&mut first, &mut store, HOUR + 120 * SECOND, 0);
    assert_eq!(requests(&scrapes), 0);
    let mut second = sink(&scrapes);
    second.restore(&store, &[]).unwrap();
    assert_eq!(requests(&scrapes), 0, "nor does a restart bring it back");
}

#[test]
fn what_another_process_has_taken_over_is_not_shown_any_more() {
    let (scrapes, mut store) = (Scrapes::default(), MemoryStore::default());
    let mut first = sink(&scrapes);
    result(&mut first, &mut store, 0, 2);
    assert_eq!(requests(&scrapes), 2);
    drop(first);
    assert_eq!(requests(&scrapes), 0);
}
