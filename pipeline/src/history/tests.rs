//! Records in, store out, pages out; without a log.

use super::keys::HOUR;
use super::*;
use crate::event::Event;
use crate::identity::{Identity, put_key};
use crate::names;
use crate::outcome::Outcome;
use platform_core::partitioner::partition_of;
use platform_core::record::{BatchBuffer, Offset, Partition, Topic, put_headers};
use platform_core::stage::{KeyedStage, StageError};
use platform_core::store::{Change, Changes, Store, StoreError, Stores, Visit};
use platform_core::time::{AppendTime, EventTime, SECOND};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

mod rolls;

const MINUTE: i64 = 60 * SECOND;

fn kept(windows: i64) -> Retention {
    Retention { windows, ..Retention::default() }
}

type Content = (BTreeMap<Vec<u8>, Vec<u8>>, Option<Offset>);

/// A store whose content all handles of it share.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Content>>);

impl Store for Shared {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().0.get(key).cloned())
    }
    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.0.lock().unwrap().0.range(from.to_vec()..to.to_vec()).for_each(|(k, v)| visit(k, v));
        Ok(())
    }
    fn write(&mut self, changes: &Changes, applied: Offset) -> Result<(), StoreError> {
        let mut content = self.0.lock().unwrap();
        for change in &changes.list {
            match change {
                Change::Put(key, value) => drop(content.0.insert(key.clone(), value.clone())),
                Change::Delete(key) => drop(content.0.remove(key)),
                Change::DeleteRange(from, to) => content.0.retain(|key, _| key < from || key >= to),
            }
        }
        content.1 = Some(applied);
        Ok(())
    }
    fn applied(&self) -> Result<Option<Offset>, StoreError> {
        Ok(self.0.lock().unwrap().1)
    }
    fn clear(&mut self) -> Result<(), StoreError> {
        *self.0.lock().unwrap() = Default::default();
        Ok(())
    }
}

#[derive(Default)]
struct Memory(Mutex<BTreeMap<(String, u32), Shared>>);

impl Stores for Memory {
    fn open(&self, stage: &str, partition: u32, _format: u32) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.0.lock().unwrap().entry((stage.into(), partition)).or_default().clone()))
    }
}

#[derive(Clone)]
struct Public {
    service: &'static str,
    namespace: &'static str,
    grouping: &'static str,
    dimensions: Vec<String>,
    start: i64,
    revision: u64,
    requests: u64,
}

fn public(service: &'static str, start: i64, revision: u64, requests: u64) -> Public {
    Public { service, namespace: "", grouping: "service", dimensions: vec![], start, revision, requests }
}

impl Public {
    fn identity(&self) -> Identity {
        Identity {
            window_start: EventTime(self.start),
            window_nanos: MINUTE,
            tenant: "default".into(),
            namespace: self.namespace.into(),
            service: self.service.into(),
            grouping: self.grouping.into(),
            dimensions: self.dimensions.clone(),
        }
    }

    /// All requests took 300 ms, and one of them failed.
    fn aggregate(&self) -> Vec<u8> {
        let mut aggregate = crate::aggregate::Aggregate::default();
        let mut add = |weight: u64, outcome| {
            let event = Event {
                event_time: EventTime(self.start),
                duration: Some(300_000_000),
                service: self.service,
                namespace: self.namespace,
                outcome,
                weight: u32::try_from(weight).unwrap_or(u32::MAX),
                ..Event::EMPTY
            };
            aggregate.add(&event, 1);
        };
        add(1, Outcome::Error);
        if self.requests > 1 {
            add(self.requests - 1, Outcome::Ok);
        }
        let mut out = Vec::new();
        aggregate.encode(&mut out);
        out
    }

    fn json(&self) -> String {
        format!(r#"{{"requests":{{"count":{}}},"errors":{{"count":1}},"revision":{}}}"#, self.requests, self.revision)
    }
}

fn apply(stage: &mut HistoryStage, store: &dyn Store, schema: &str, at: u64, record: &Public) -> Result<(), StageError> {
    let (mut identity, mut headers, mut buffer) = (vec![], vec![], BatchBuffer::default());
    record.identity().encode(&mut identity);
    let revision = record.revision.to_string();
    put_headers(
        &mut headers,
        &[
            (names::SCHEMA, schema.as_bytes()),
            (names::REVISION, revision.as_bytes()),
            (names::IDENTITY, &identity),
            (names::AGGREGATE, &record.aggregate()),
        ],
    );
    buffer.start(&Partition::new(&Topic::new("t"), 0));
    buffer.push(Offset(at), Some(AppendTime(0)), None, &headers, Some(record.json().as_bytes()));
    buffer.batch().unwrap().iter().try_for_each(|r| stage.apply(&r, store))
}

/// Folds `records`, handing changes over after each `commit_every`.
fn fold(store: &mut dyn Store, records: &[Public], commit_every: usize) -> Vec<u8> {
    let mut stage = HistoryStage::signals(kept(2 * HOUR));
    stage.restore(&*store, &[]).unwrap();
    for (at, record) in records.iter().enumerate() {
        apply(&mut stage, &*store, names::SCHEMA_SIGNALS, at as u64, record).unwrap();
        if at % commit_every == commit_every - 1 || at + 1 == records.len() {
            let mut changes = Changes::default();
            stage.changes(&mut changes);
            store.write(&changes, Offset(at as u64 + 1)).unwrap();
            assert_eq!(stage.held(), 0);
        }
    }
    stage.metadata()
}

fn history_of(records: &[Public]) -> History {
    let stores = Memory::default();
    fold(&mut *stores.open(&store_name(SIGNALS_STAGE), 0, FORMAT).unwrap(), records, 3);
    History::open(&stores, 1, 0).unwrap()
}

fn key(service: &str) -> ServiceKey {
    ServiceKey { tenant: "default".into(), namespace: String::new(), service: service.into() }
}

fn query(from: i64, to: i64, limit: usize) -> Query {
    Query { from: EventTime(from), to: EventTime(to), limit }
}

fn texts(page: &Page) -> Vec<String> {
    page.records.iter().map(|r| String::from_utf8(r.json.clone()).unwrap()).collect()
}

#[test]
fn the_highest_revision_replaces_lower_ones_and_duplicates_change_nothing() {
    let (first, corrected) = (public("cart", 0, 0, 5), public("cart", 0, 1, 7));
    let history = history_of(&[first.clone(), corrected.clone(), first.clone(), corrected.clone()]);
    let page = history.signals(&key("cart"), "service", &query(0, MINUTE, 10)).unwrap();
    assert_eq!(texts(&page), [corrected.json()]);
    assert_eq!((page.records[0].revision, page.records[0].aggregate.clone()), (1, corrected.aggregate()));
    let now = &history.services().unwrap()[0];
    assert_eq!((now.revision, now.trail.len(), now.trail[0].requests), (1, 1, 7));
}

#[test]
fn a_correction_of_an_older_window_does_not_become_the_newest() {
    let history = history_of(&[public("cart", 0, 0, 5), public("cart", MINUTE, 0, 6), public("cart", 0, 1, 9)]);
    let now = &history.services().unwrap()[0];
    assert_eq!((now.window_start, now.json.clone()), (EventTime(MINUTE), public("cart", MINUTE, 0, 6).json().into_bytes()));
    assert_eq!(now.trail.iter().map(|r| r.requests).collect::<Vec<_>>(), [9, 6]);
}

#[test]
fn the_store_is_the_same_whatever_the_batches_were() {
    let records: Vec<Public> =
        (0..400).map(|i| public(["a", "b", "c"][i as usize % 3], (i * 37 % 400) * MINUTE, u64::from(i % 5 == 0), 1)).collect();
    let contents: Vec<_> = [1, 2, 7, 1000]
        .map(|every| {
            let mut store = Shared::default();
            let metadata = fold(&mut store, &records, every);
            let content = store.0.lock().unwrap().0.clone();
            (content, metadata)
        })
        .into();
    contents.windows(2).for_each(|pair| assert_eq!(pair[0], pair[1]));
}

#[test]
fn what_lies_behind_the_retention_is_gone_and_does_not_come_back() {
    let records = [public("old", 0, 0, 1), public("cart", 10 * MINUTE, 0, 2), public("cart", 5 * HOUR, 0, 3), public("old", MINUTE, 0, 4)];
    for every in [1, 10] {
        let mut store = Shared::default();
        let metadata = fold(&mut store, &records, every);
        let kinds: Vec<u8> = store.0.lock().unwrap().0.keys().map(|k| k[0]).collect();
        let there = [1, 2, 3, 4, 4, 4, 5, 6, 6, 7, 7, 8, 8, 9];
        assert_eq!(
            kinds, there,
            "one record, one service, one hour; sums of all hours, rolled up but for the last, their bytes, the standing"
        );
        // Built again from nothing: from the first record of the oldest hour held.
        let mut stage = HistoryStage::signals(kept(2 * HOUR));
        stage.restore(&Shared::default(), &metadata).unwrap();
        assert_eq!(stage.replay_from(Offset(4)), Offset(2));
        stage.restore(&store, &metadata).unwrap();
        assert_eq!(stage.replay_from(Offset(4)), Offset(2));
    }
}

#[test]
fn pages_never_cut_a_window_and_go_on_where_they_ended() {
    let mut records = vec![];
    for minute in 50..70 {
        for operation in ["GET /", "POST /"] {
            let mut record = public("cart", minute * MINUTE, 0, minute as u64);
            (record.grouping, record.dimensions) = ("service_operation", vec![operation.into()]);
            records.push(record);
        }
    }
    let history = history_of(&records);
    let (mut from, mut seen) = (EventTime(0), vec![]);
    loop {
        let page = history.signals(&key("cart"), "service_operation", &query(from.0, 100 * MINUTE, 3)).unwrap();
        assert!(page.records.len().is_multiple_of(2) && page.records.len() <= 4);
        seen.extend(texts(&page));
        let Some(next) = page.next_from else { break };
        assert!(next > from);
        from = next;
    }
    assert_eq!(seen, records.iter().map(Public::json).collect::<Vec<_>>());
    let some = history.signals(&key("cart"), "service_operation", &query(55 * MINUTE, 57 * MINUTE, 100)).unwrap();
    assert_eq!((some.records.len(), some.next_from), (4, None));
    assert_eq!(history.signals(&key("cart"), "service", &query(0, 100 * MINUTE, 9)).unwrap(), Page::default());
}

#[test]
fn services_of_one_name_in_several_namespaces_are_apart() {
    let mut shop = public("cart", 0, 0, 5);
    shop.namespace = "shop";
    let history = history_of(&[public("cart", 0, 0, 6), shop, public("cart2", 0, 0, 7)]);
    let named: Vec<String> = history.named("default", "cart").unwrap().into_iter().map(|s| s.key.namespace).collect();
    assert_eq!(named, ["", "shop"]);
    assert_eq!(history.services().unwrap().len(), 3);
    assert!(history.named("other", "cart").unwrap().is_empty());
}

#[test]
fn a_service_is_read_from_the_partition_where_its_key_belongs() {
    let stores = Memory::default();
    for service in ["a", "b", "c", "yelp/proxy"] {
        let mut key = vec![];
        put_key("default", service, &mut key);
        fold(&mut *stores.open(&store_name(SIGNALS_STAGE), partition_of(&key, 4), FORMAT).unwrap(), &[public(service, 0, 0, 1)], 1);
    }
    let history = History::open(&stores, 4, 4).unwrap();
    for service in ["a", "b", "c", "yelp/proxy"] {
        assert_eq!(history.named("default", service).unwrap().len(), 1, "{service}");
    }
}

#[test]
fn late_lines_come_in_order_of_window_over_all_partitions() {
    let stores = Memory::default();
    for (partition, starts) in [(0, [3 * MINUTE, 5 * MINUTE]), (1, [0, 4 * MINUTE])] {
        let mut store = stores.open(&store_name(LATE_STAGE), partition, FORMAT).unwrap();
        let mut stage = HistoryStage::late(2 * HOUR);
        stage.restore(&*store, &[]).unwrap();
        for (at, start) in starts.into_iter().enumerate() {
            apply(&mut stage, &*store, names::SCHEMA_LATE, at as u64, &public("cart", start, 0, start as u64)).unwrap();
            apply(&mut stage, &*store, names::SCHEMA_SIGNALS, at as u64, &public("other", start, 0, 0)).unwrap();
        }
        let mut changes = Changes::default();
        stage.changes(&mut changes);
        store.write(&changes, Offset(2)).unwrap();
    }
    let history = History::open(&stores, 0, 2).unwrap();
    let page = history.late("default", None, None, &query(0, HOUR, 3)).unwrap();
    assert_eq!(texts(&page), [0, 3, 4].map(|m| public("cart", m * MINUTE, 0, (m * MINUTE) as u64).json()));
    assert_eq!(page.next_from, Some(EventTime(5 * MINUTE)));
    // What they take is counted apart.
    let there = |partition: u32| -> usize {
        let store = stores.0.lock().unwrap()[&(store_name(LATE_STAGE), partition)].clone();
        let content = store.0.lock().unwrap();
        content.0.iter().filter(|(key, _)| key[0] == 1).map(|(key, value)| key.len() + value.len()).sum()
    };
    let sizes = history.sizes().unwrap();
    assert_eq!((sizes.late.bytes, sizes.records.bytes), ((there(0) + there(1)) as u64, 0));
}

#[test]
fn a_damaged_record_of_ours_stops_the_partition_and_an_unknown_schema_does_not() {
    let mut stage = HistoryStage::signals(kept(HOUR));
    let store = Shared::default();
    assert!(apply(&mut stage, &store, names::SCHEMA_PROGRESS, 0, &public("a", 0, 0, 0)).is_ok());
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("t"), 0));
    let mut headers = vec![];
    put_headers(&mut headers, &[(names::SCHEMA, names::SCHEMA_SIGNALS.as_bytes()), (names::IDENTITY, b"short")]);
    buffer.push(Offset(9), None, None, &headers, Some(b"{}"));
    let record = buffer.batch().unwrap().iter().next().unwrap();
    assert!(matches!(stage.apply(&record, &store), Err(StageError::Unreadable { offset: Offset(9), .. })));
}

#[test]
fn sums_of_hours_are_exact_with_corrections_and_whatever_the_commits() {
    let mut records: Vec<Public> = (0..180).map(|minute| public("cart", minute * MINUTE, 0, 10)).collect();
    records.push(public("cart", 170 * MINUTE, 1, 25));
    records.push(public("cart", 170 * MINUTE, 1, 25));
    records.push(public("cart", 170 * MINUTE, 0, 10));
    let sums = |every| {
        let stores = Memory::default();
        fold(&mut *stores.open(&store_name(SIGNALS_STAGE), 0, FORMAT).unwrap(), &records, every);
        let history = History::open(&stores, 1, 0).unwrap();
        let (all, first) = history.counts(&key("cart"), EventTime(0), EventTime(3 * HOUR)).unwrap();
        assert_eq!((all.requests, all.errors, all.slower_than(250.0), all.slower_than(500.0)), (1815, 180, 1815, 0));
        assert_eq!(first, Some(EventTime(0)), "hours stay longer than their records");
        let (last, first) = history.counts(&key("cart"), EventTime(2 * HOUR), EventTime(3 * HOUR)).unwrap();
        assert_eq!((last.requests, first), (615, Some(EventTime(2 * HOUR))));
        assert_eq!(history.counts(&key("other"), EventTime(0), EventTime(HOUR)).unwrap().1, None);
        let windows = history.windows(&key("cart"), EventTime(169 * MINUTE), EventTime(3 * HOUR)).unwrap();
        let requests: Vec<u64> = windows.iter().map(|(_, counts)| counts.requests).collect();
        assert_eq!(requests, [10, 25, 10, 10, 10, 10, 10, 10, 10, 10, 10]);
        all
    };
    assert_eq!(sums(1), sums(50));
}

#[test]
fn budgets_are_made_of_counts_and_say_nothing_of_a_few_requests() {
    let history = history_of(&(0..120).map(|minute| public("cart", minute * MINUTE, 0, 100)).collect::<Vec<_>>());
    let file = |objectives: &str| {
        let text = format!("owner: shop\nobjectives: {{{objectives}}}\n");
        golden_overrides::file::check("shop/cart.yaml", text.as_bytes()).result.unwrap()
    };
    let to = crate::slo::newest(&history).unwrap().unwrap();
    assert_eq!(to, EventTime(2 * HOUR));
    let of = |objectives: &str| crate::slo::budgets(&history, &key("cart"), &file(objectives), to).unwrap();
    let all = of("availability: 98%, latency: {threshold: 250ms, share: 99%}");
    let [availability, latency] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((availability.counts.requests, availability.promise.bad(&availability.counts)), (12_000, 120));
    assert_eq!((availability.remaining, availability.promise.allowed(&availability.counts)), (Some(0.5), 240.0));
    assert_eq!((latency.remaining, latency.promise.threshold_seconds()), (Some(-99.0), "0.25".to_owned()));
    assert_eq!((availability.from, availability.known_from), (EventTime(2 * HOUR - 720 * HOUR), Some(EventTime(0))));
    // Another objective has its budget at once.
    assert_eq!(of("availability: 99%")[0].remaining, Some(0.0));
    assert_eq!(of("availability: 99%, min_requests: 12001")[0].remaining, None);
    assert_eq!(of("period: week"), []);
    let burned = crate::slo::burned(&history, &key("cart"), to).unwrap();
    let promise = &availability.promise;
    let rates: Vec<_> = burned.iter().map(|of| (of.window, of.counts.requests, promise.burn_rate(&of.counts, 60))).collect();
    let expected =
        [("5m", 500), ("30m", 3000), ("1h", 6000), ("2h", 12_000), ("6h", 12_000), ("1d", 12_000), ("3d", 12_000), ("30d", 12_000)];
    assert_eq!(rates, expected.map(|(window, requests)| (window, requests, Some(0.5))));
    assert_eq!(promise.burn_rate(&burned[0].counts, 501), None);
    assert_eq!(promise.burn_rate(&crate::slo::counts::Counts::default(), 0), None, "no requests, no ratio");
}
