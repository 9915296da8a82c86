//! Stores in memory, by stage and partition.

use super::lock;
use platform_core::record::Offset;
use platform_core::store::{Change, Changes, Store, StoreError, Stores, Visit};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Debug, Default)]
struct Content {
    format: u32,
    applied: Option<Offset>,
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Stores that live as long as this value: opening a name again gives the content that the last handle wrote.
#[derive(Debug, Clone, Default)]
pub struct MemoryStores {
    stores: Arc<Mutex<BTreeMap<(String, u32), MemoryStore>>>,
}

/// One store in memory. Clones share the content.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
}

impl MemoryStore {
    /// A store of the same content that goes its own way from here.
    #[must_use]
    pub fn fork(&self) -> Self {
        let content = lock(&self.content);
        let content = Content { format: content.format, applied: content.applied, entries: content.entries.clone() };
        Self { content: Arc::new(Mutex::new(content)) }
    }
}

impl Stores for MemoryStores {
    fn open(&self, stage: &str, partition: u32, format: u32) -> Result<Box<dyn Store>, StoreError> {
        let store = lock(&self.stores).entry((stage.to_owned(), partition)).or_default().clone();
        let mut content = lock(&store.content);
        if content.format != format {
            *content = Content { format, ..Content::default() };
        }
        drop(content);
        Ok(Box::new(store))
    }
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(lock(&self.content).entries.get(key).cloned())
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        if from < to {
            for (key, value) in
                lock(&self.content).entries.range::<[u8], _>((std::ops::Bound::Included(from), std::ops::Bound::Excluded(to)))
            {
                visit(key, value);
            }
        }
        Ok(())
    }

    fn write(&mut self, changes: &Changes, applied: Offset) -> Result<(), StoreError> {
        let mut content = lock(&self.content);
        for change in &changes.list {
            match change {
                Change::Put(key, value) => {
                    content.entries.insert(key.clone(), value.clone());
                }
                Change::Delete(key) => {
                    content.entries.remove(key);
                }
                Change::DeleteRange(from, to) if from < to => {
                    let mut behind = content.entries.split_off(from.as_slice());
                    let mut kept = behind.split_off(to.as_slice());
                    content.entries.append(&mut kept);
                }
                Change::DeleteRange(..) => {}
            }
        }
        content.applied = Some(applied);
        Ok(())
    }

    fn applied(&self) -> Result<Option<Offset>, StoreError> {
        Ok(lock(&self.content).applied)
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        let mut content = lock(&self.content);
        content.entries.clear();
        content.applied = None;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(store: &dyn Store) -> Vec<u8> {
        let mut keys = Vec::new();
        store.scan(b"", b"\xff", &mut |key, _| keys.extend_from_slice(key)).unwrap();
        keys
    }

    #[test]
    fn changes_apply_in_order_and_content_stays_for_the_next_handle() {
        let stores = MemoryStores::default();
        let mut store = stores.open("s", 0, 1).unwrap();
        let mut changes = Changes::default();
        for key in [b"a", b"b", b"c", b"d"] {
            changes.put(key, vec![1]);
        }
        changes.delete_range(b"b", b"d");
        changes.put(b"c", vec![2]);
        store.write(&changes, Offset(7)).unwrap();
        let again = stores.open("s", 0, 1).unwrap();
        assert_eq!((keys(&*again), again.applied().unwrap(), again.get(b"c").unwrap()), (b"acd".to_vec(), Some(Offset(7)), Some(vec![2])));
    }

    #[test]
    fn another_format_comes_back_empty() {
        let stores = MemoryStores::default();
        stores.open("s", 0, 1).unwrap().write(&Changes::default(), Offset(7)).unwrap();
        assert_eq!(stores.open("s", 0, 2).unwrap().applied().unwrap(), None);
    }
}
