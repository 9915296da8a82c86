//! Random damage of pointers and bundles: a poll ends with an answer, whatever lies in the store, and takes nothing that was not signed.

use crate::memory::Memory;
use crate::{files, new, poller, try_publish};
use golden_bundle::poll::Found;
use golden_bundle::publication::Publication;
use golden_bundle::publish::What;
use golden_bundle::signature::SecretKey;
use proptest::prelude::Rng;
use proptest::test_runner::{RngAlgorithm, TestRng};
fn damage(content: &mut Vec<u8>, rng: &mut TestRng) {
    for _ in 0..=rng.next_u32() % 3 {
        let at = rng.next_u32() as usize % (content.len() + 1);
        match rng.next_u32() % 5 {
            0 => content.truncate(at),
            1 => content.insert(at, rng.next_u32() as u8),
            2 if at < content.len() => drop(content.remove(at)),
            3 if at < content.len() => content[at] ^= 1 << (rng.next_u32() % 8),
            _ => {
                let until = content.len().min(at + rng.next_u32() as usize % 64);
                content.extend_from_within(at..until);
            }
        }
    }
}

#[test]
fn a_hundred_thousand_damages_never_panic_and_never_pass() {
    let (store, (key, _)) = (Memory::default(), SecretKey::generate());
    try_publish(&store, What::Files(&files("a")), Some(&key)).unwrap();
    try_publish(&store, What::Files(&files("b")), Some(&key)).unwrap();
    let whole = store.objects.lock().unwrap().clone();
    let good = new(poller(Box::new(store.clone()), Some(key.public())).poll(0, None));
    let mut rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let (mut refused, mut passed) = (0, 0);
    for round in 0..120_000 {
        let bundle = format!("bundles/{}", good.publication.sha256);
        let key_of = if round % 2 == 0 { "current.json" } else { bundle.as_str() };
        let mut content = whole[key_of].clone();
        damage(&mut content, &mut rng);
        if let Ok(read) = Publication::parse(&content) {
            assert_eq!(Publication::parse(&read.to_bytes()), Ok(read));
        }
        store.objects.lock().unwrap().insert(key_of.to_owned(), content);
        match poller(Box::new(store.clone()), Some(key.public())).poll(0, None) {
            // Damage that changes no meaning, such as one more space.
            Ok(Found::New(found)) => {
                assert_eq!(*found, good);
                passed += 1;
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                refused += 1;
            }
        }
        store.objects.lock().unwrap().insert(key_of.to_owned(), whole[key_of].clone());
    }
    assert!(refused > 100_000 && passed > 100, "{refused} {passed}");
}
