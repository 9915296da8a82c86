//! Stores that fail on command and lose, at a crash, some of what was not flushed: always the newest writes, any number of them.
//!
//! That is how a store without a write-ahead log dies: it flushes by itself when it likes, so what was written *may* be there afterwards.

use crate::seed::Seed;
use platform_core::record::Offset;
use platform_core::store::{Changes, Store, StoreError, Stores, Visit};
use platform_runtime::memory::MemoryStore;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Stores by stage and partition. Clones are the same stores.
#[derive(Clone, Default)]
pub struct FaultyStores {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    stores: BTreeMap<(String, u32), Versions>,
    failing_writes: u32,
}

/// A store as it is, and as it was before each write since the last flush.
#[derive(Default)]
struct Versions {
    format: u32,
    now: MemoryStore,
    before: Vec<MemoryStore>,
}

impl FaultyStores {
    /// Everything written so far survives a crash.
    pub fn flush(&self) {
        self.lock().stores.values_mut().for_each(|v| v.before.clear());
    }

    /// The process dies: each store goes back over any number of its writes since the last flush, also none.
    pub fn crash(&self, seed: &mut Seed) {
        for versions in self.lock().stores.values_mut() {
            let kept = usize::try_from(seed.below(versions.before.len() as u64 + 1)).unwrap_or(0);
            if let Some(back) = versions.before.get(kept) {
                versions.now = back.clone();
            }
            versions.before.clear();
        }
    }

    /// The next `count` writes fail.
    pub fn fail_writes(&self, count: u32) {
        self.lock().failing_writes = count;
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stores for FaultyStores {
    fn open(&self, stage: &str, partition: u32, format: u32) -> Result<Box<dyn Store>, StoreError> {
        let name = (stage.to_owned(), partition);
        let mut shared = self.lock();
        let versions = shared.stores.entry(name.clone()).or_default();
        if versions.format != format {
            *versions = Versions { format, ..Versions::default() };
        }
        Ok(Box::new(FaultyStore { stores: self.clone(), name }))
    }
}

struct FaultyStore {
    stores: FaultyStores,
    name: (String, u32),
}

impl FaultyStore {
    fn now(&self) -> MemoryStore {
        self.stores.lock().stores.get(&self.name).map(|v| v.now.clone()).unwrap_or_default()
    }

    /// A copy to change; the old one is kept for a crash.
    fn next(&self) -> Result<MemoryStore, StoreError> {
        let mut shared = self.stores.lock();
        if shared.failing_writes > 0 {
            shared.failing_writes -= 1;
            return Err(StoreError("on command".into()));
        }
        let versions = shared.stores.entry(self.name.clone()).or_default();
        let next = versions.now.fork();
        versions.before.push(std::mem::replace(&mut versions.now, next.clone()));
        Ok(next)
    }
}

impl Store for FaultyStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.now().get(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), StoreError> {
        self.now().scan(from, to, visit)
    }

    fn write(&mut self, changes: &Changes, applied: Offset) -> Result<(), StoreError> {
        self.next()?.write(changes, applied)
    }

    fn applied(&self) -> Result<Option<Offset>, StoreError> {
        self.now().applied()
    }

    fn clear(&mut self) -> Result<(), StoreError> {
        self.next()?.clear()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_the_newest_writes_since_the_flush_and_no_others() {
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..64 {
            let stores = FaultyStores::default();
            let mut store = stores.open("s", 0, 1).unwrap();
            for applied in 1..=4 {
                store.write(&Changes::default(), Offset(applied)).unwrap();
                if applied == 2 {
                    stores.flush();
                }
            }
            stores.crash(&mut Seed::new(number));
            seen.insert(store.applied().unwrap());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [Some(Offset(2)), Some(Offset(3)), Some(Offset(4))]);
    }

    #[test]
    fn a_failing_write_changes_nothing() {
        let stores = FaultyStores::default();
        let mut store = stores.open("s", 0, 1).unwrap();
        stores.fail_writes(1);
        assert!(store.write(&Changes::default(), Offset(1)).is_err());
        assert_eq!(store.applied().unwrap(), None);
    }
}
