use super::*;
use crate::log::tests::{TestClock, settings};
use crate::rocks::Rocks;
use std::path::Path;

fn open(dir: &Path) -> Rocks {
    Rocks::open(dir, &settings(&[]), TestClock::new()).unwrap()
}

fn content(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    store.scan(b"", &[0xff; 8], &mut |key, value| found.push((key.to_vec(), value.to_vec()))).unwrap();
    found
}

fn pair(key: &[u8], value: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (key.to_vec(), value.to_vec())
}

#[test]
fn changes_apply_in_order_and_survive_a_reopen_with_their_position() {
    let dir = tempfile::tempdir().unwrap();
    {
        let rocks = open(dir.path());
        let mut store = rocks.stores().open("close", 3, 1).unwrap();
        assert_eq!(store.applied().unwrap(), None);
        let mut changes = Changes::default();
        changes.put(b"b", b"1".to_vec());
        changes.put(b"a", b"2".to_vec());
        changes.put(&[0xff, 0xff], b"3".to_vec());
        changes.put(b"gone", b"4".to_vec());
        changes.delete(b"gone");
        changes.put(b"d1", b"5".to_vec());
        changes.delete_range(b"d", b"e");
        changes.delete_range(b"z", b"a");
        changes.put(b"d2", b"6".to_vec());
        store.write(&changes, Offset(17)).unwrap();
    }
    let rocks = open(dir.path());
    let store = rocks.stores().open("close", 3, 1).unwrap();
    assert_eq!(store.applied().unwrap(), Some(Offset(17)));
    assert_eq!(content(store.as_ref()), [pair(b"a", b"2"), pair(b"b", b"1"), pair(b"d2", b"6"), pair(&[0xff, 0xff], b"3")]);
    assert_eq!(store.get(b"a").unwrap(), Some(b"2".to_vec()));
    assert_eq!(store.get(b"gone").unwrap(), None);
}

#[test]
fn stores_do_not_see_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let rocks = open(dir.path());
    let names = [("close", 0), ("close", 1), ("clos", 0), ("other", 0)];
    let mut stores: Vec<_> = names.iter().map(|(stage, partition)| rocks.stores().open(stage, *partition, 1).unwrap()).collect();
    for (i, store) in stores.iter_mut().enumerate() {
        let mut changes = Changes::default();
        changes.put(b"k", vec![u8::try_from(i).unwrap()]);
        changes.put(&[0xff; 6], Vec::new());
        store.write(&changes, Offset(i as u64)).unwrap();
    }
    stores[1].clear().unwrap();
    for (i, store) in stores.iter().enumerate() {
        let there = i != 1;
        assert_eq!(store.get(b"k").unwrap(), there.then(|| vec![u8::try_from(i).unwrap()]));
        assert_eq!(content(store.as_ref()).len(), if there { 2 } else { 0 });
        assert_eq!(store.applied().unwrap(), there.then_some(Offset(i as u64)));
    }
}

#[test]
fn another_format_comes_back_empty_and_the_same_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let rocks = open(dir.path());
    let mut changes = Changes::default();
    changes.put(b"k", b"v".to_vec());
    rocks.stores().open("close", 0, 1).unwrap().write(&changes, Offset(5)).unwrap();
    assert_eq!(rocks.stores().open("close", 0, 1).unwrap().applied().unwrap(), Some(Offset(5)));
    let other = rocks.stores().open("close", 0, 2).unwrap();
    assert_eq!((other.applied().unwrap(), content(other.as_ref())), (None, Vec::new()));
    drop(other);
    assert_eq!(rocks.stores().open("close", 0, 1).unwrap().applied().unwrap(), None);
}

#[test]
fn a_database_that_cannot_be_read_is_thrown_away_and_named() {
    let dir = tempfile::tempdir().unwrap();
    {
        let rocks = open(dir.path());
        let mut changes = Changes::default();
        changes.put(b"k", b"v".to_vec());
        rocks.stores().open("close", 0, 1).unwrap().write(&changes, Offset(5)).unwrap();
    }
    std::fs::write(dir.path().join("state").join("CURRENT"), b"nonsense").unwrap();
    let rocks = open(dir.path());
    assert!(rocks.stores().discarded().is_some());
    assert_eq!(rocks.stores().open("close", 0, 1).unwrap().applied().unwrap(), None);
}
