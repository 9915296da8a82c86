//! Hash maps with a fixed hasher: the same input gives the same order in every run and on every machine.
//!
//! Iteration order is still an accident of the hash; whatever leaves the process is sorted first.

use foldhash::fast::FixedState;

/// A hash map with a fixed seed.
pub type Map<K, V> = hashbrown::HashMap<K, V, FixedState>;
/// A hash set with a fixed seed.
pub type Set<K> = hashbrown::HashSet<K, FixedState>;
/// A table that is given hashes, for keys that live elsewhere (an arena).
pub type Table<T> = hashbrown::HashTable<T>;

/// Hash of some bytes, the same in every run.
#[must_use]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = FixedState::with_seed(0x676f_6c64_656e).build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
