use super::*;
use platform_core::log::CommitError;
use platform_core::record::BatchBuffer;
use platform_core::store::{Change, StoreError, Visit};
use std::collections::BTreeMap;

#[derive(Default)]
struct MapStore(BTreeMap<Vec<u8>, Vec<u8>>);

impl Store for MapStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.0.range(from.to_vec()..to.to_vec()).for_each(|(k, v)| visit(k, v));
        Ok(())
    }

    fn write(&mut self, changes: &Changes, _applied: Offset) -> Result<(), StoreError> {
        for change in &changes.list {
            match change {
                Change::Put(k, v) => drop(self.0.insert(k.clone(), v.clone())),
                Change::Delete(k) => drop(self.0.remove(k)),
                Change::DeleteRange(from, to) => self.0.retain(|k, _| !(from..to).contains(&k)),
            }
        }
        Ok(())
    }

    fn applied(&self) -> Result<Option<Offset>, StoreError> {
        Ok(None)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.0.clear();
        Ok(())
    }
}

#[derive(Default)]
struct Out(Vec<(String, String, Option<String>)>);

impl Emit for Out {
    fn append(&mut self, to: &Partition, record: NewRecord<'_>) -> Result<(), CommitError> {
        let revision = record.headers.iter().find(|(n, _)| *n == REVISION_HEADER).map(|(_, v)| String::from_utf8_lossy(v).into_owned());
        assert!(record.headers.iter().all(|(n, _)| *n != GROWTH_HEADER));
        self.0.push((to.to_string(), String::from_utf8_lossy(record.value.unwrap()).into_owned(), revision));
        Ok(())
    }

    fn size(&self) -> usize {
        0
    }
}

fn worker() -> Worker {
    let routes = vec![("r/1", Topic::new("public")), ("l/1", Topic::new("late"))];
    Worker::new(WorkerSettings { pipeline: "p".into(), routes, progress: "w/1", remember: 100 }, 3)
}

/// Offers a record as CLOSE would write it: identity at a window, some totals.
fn offer(worker: &mut Worker, store: &MapStore, out: &mut Out, schema: &str, window: u64, totals: &[u64]) {
    offer_with(worker, store, out, schema, window, totals, &[]);
}

/// Offers a progress record that says up to which window nothing comes any more.
fn offer_forgotten(worker: &mut Worker, store: &MapStore, out: &mut Out, window: u64, forgotten: u64) {
    offer_with(worker, store, out, "w/1", window, &[], &[(FORGOTTEN_HEADER, &forgotten.to_be_bytes())]);
}

fn offer_with(worker: &mut Worker, store: &MapStore, out: &mut Out, schema: &str, window: u64, totals: &[u64], more: &[(&str, &[u8])]) {
    let mut growth = Vec::new();
    Growth { revision_at: 5, complete: true, totals: totals.to_vec() }.encode(&mut growth);
    let identity = window.to_be_bytes();
    let mut headers = Vec::new();
    let own: [(&str, &[u8]); 3] = [("schema", schema.as_bytes()), (IDENTITY_HEADER, &identity), (GROWTH_HEADER, &growth)];
    platform_core::record::put_headers(&mut headers, &[&own, more].concat());
    let mut buffer = BatchBuffer::default();
    buffer.start(&Partition::new(&Topic::new("signals"), 3));
    buffer.push(Offset(0), None, Some(b"k"), &headers, Some(br#"{"r":0,"x":1}"#));
    for record in buffer.batch().unwrap().iter() {
        worker.apply(&record, store).unwrap();
        assert_eq!(worker.emit_due(1 << 20, store, out).unwrap(), Emitted::All);
    }
}

#[test]
fn revisions_are_numbered_and_a_repetition_publishes_nothing_even_after_a_restart() {
    let (mut store, mut out, mut first) = (MapStore::default(), Out::default(), worker());
    offer(&mut first, &store, &mut out, "r/1", 7, &[1]);
    offer(&mut first, &store, &mut out, "r/1", 7, &[1]);
    let mut changes = Changes::default();
    first.changes(&mut changes);
    store.write(&changes, Offset(1)).unwrap();
    let mut second = worker();
    second.restore(&store, &[]).unwrap();
    offer(&mut second, &store, &mut out, "r/1", 7, &[1]);
    offer(&mut second, &store, &mut out, "r/1", 7, &[12]);
    offer(&mut second, &store, &mut out, "l/1", 8, &[1]);
    let expected = [
        ("public/3", r#"{"r":0,"x":1}"#, Some("0")),
        ("public/3", r#"{"r":1,"x":1}"#, Some("1")),
        ("late/3", r#"{"r":0,"x":1}"#, Some("0")),
    ];
    assert_eq!(out.0, expected.map(|(t, v, r)| (t.to_owned(), v.to_owned(), r.map(str::to_owned))));
}

#[test]
fn progress_goes_out_once_and_old_identities_are_forgotten() {
    let (mut store, mut out, mut worker) = (MapStore::default(), Out::default(), worker());
    offer(&mut worker, &store, &mut out, "r/1", 7, &[1]);
    offer(&mut worker, &store, &mut out, "w/1", 1000, &[]);
    offer(&mut worker, &store, &mut out, "w/1", 1000, &[]);
    offer(&mut worker, &store, &mut out, "w/1", 900, &[]);
    assert_eq!(out.0.len(), 2);
    let mut changes = Changes::default();
    worker.changes(&mut changes);
    store.write(&changes, Offset(1)).unwrap();
    assert_eq!(store.0.keys().collect::<Vec<_>>(), [&PROGRESS.to_vec(), &REACH.to_vec()]);
    assert_eq!(worker.replay_from(Offset(50)), Offset(50), "what is forgotten need not be read again");
}

#[test]
fn an_identity_of_which_results_may_come_is_remembered_however_old_it_is() {
    let (mut store, mut out, mut worker) = (MapStore::default(), Out::default(), worker());
    offer(&mut worker, &store, &mut out, "r/1", 7, &[1]);
    offer_forgotten(&mut worker, &store, &mut out, 1000, 7);
    let mut changes = Changes::default();
    worker.changes(&mut changes);
    store.write(&changes, Offset(1)).unwrap();
    offer(&mut worker, &store, &mut out, "r/1", 7, &[2]);
    assert_eq!(out.0.last().unwrap().2.as_deref(), Some("1"), "not a second revision 0");
    offer_forgotten(&mut worker, &store, &mut out, 1010, 8);
    let mut changes = Changes::default();
    worker.changes(&mut changes);
    store.write(&changes, Offset(2)).unwrap();
    assert_eq!(store.0.len(), 2);
}

#[test]
fn an_unknown_schema_stops_the_worker() {
    let store = MapStore::default();
    let mut buffer = BatchBuffer::default();
    let mut headers = Vec::new();
    platform_core::record::put_headers(&mut headers, &[("schema", b"x/9"), (IDENTITY_HEADER, b"i")]);
    buffer.start(&Partition::new(&Topic::new("signals"), 3));
    buffer.push(Offset(5), None, None, &headers, Some(b"v"));
    let batch = buffer.batch().unwrap();
    let error = worker().apply(&batch.iter().next().unwrap(), &store).unwrap_err();
    assert!(error.to_string().contains('5'));
}
