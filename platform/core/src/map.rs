//! Hash maps with a fixed hasher: the same input gives the same order in every run and on every machine.
//!
//! Iteration order is still an accident of the hash; whatever leaves the process is sorted first.

use foldhash::fast::FixedState;
use std::hash::{BuildHasher, Hasher};

/// A hash map with a fixed seed.
pub type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// A hash map with a fixed seed that gives its entries in the order in which their keys came.
pub type OrderedMap<K, V> = indexmap::IndexMap<K, V, FixedState>;
/// A hash set with a fixed seed.
pub type Set<K> = hashbrown::HashSet<K, FixedState>;
/// A table that is given hashes, for keys that live elsewhere (an arena).
pub type Table<T> = hashbrown::HashTable<T>;

/// Hash of some bytes, the same in every run.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = hasher();
    hasher.write(bytes);
    hasher.finish()
}

/// Hash of some texts, the same in every run; where one ends and the next begins hardly ever matters to it.
#[must_use]
#[inline]
pub fn hash_texts<'a>(texts: impl Iterator<Item = &'a str>) -> u64 {
    let mut hasher = hasher();
    texts.for_each(|text| hasher.write(text.as_bytes()));
    hasher.finish()
}

fn hasher() -> impl Hasher {
    FixedState::with_seed(0x676f_6c64_656e).build_hasher()
}
