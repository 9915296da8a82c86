//! Bundles and pointers that are damaged in every way: each refused with its reason, and what is active stays.

use crate::memory::Memory;
use crate::{active, files, new, poller, try_publish};
use golden_bundle::poll::{Active, Found, PollError};
use golden_bundle::publication::Publication;
use golden_bundle::publish::What;
use golden_bundle::signature::SecretKey;
use golden_overrides::archive::sha256;
use std::time::Duration;

/// A store with two versions, signed; the first is active.
struct Scene {
    store: Memory,
    key: SecretKey,
    active: Option<Active>,
    first: Publication,
    second: Publication,
}

impl Scene {
    fn new() -> Self {
        let (store, (key, _)) = (Memory::default(), SecretKey::generate());
        let publish = |owner: &str| drop(try_publish(&store, What::Files(&files(owner)), Some(&key)).unwrap());
        publish("a");
        let first = new(poller(Box::new(store.clone()), Some(key.public())).poll(0, None));
        publish("b");
        let second = new(poller(Box::new(store.clone()), Some(key.public())).poll(0, None)).publication;
        let active = active(&first);
        Self { store, key, active, first: first.publication, second }
    }

    fn put(&self, key: &str, content: &[u8]) {
        self.store.objects.lock().unwrap().insert(key.to_owned(), content.to_vec());
    }

    fn current(&self) -> Vec<u8> {
        self.store.objects.lock().unwrap()["current.json"].clone()
    }

    fn bundle_key(&self) -> String {
        format!("bundles/{}", self.second.sha256)
    }

    /// Signed by the right key, whatever it says.
    fn offer(&self, publication: Publication) {
        self.put("current.json", &publication.sign(&self.key).to_bytes());
    }

    /// A signed version 3 with this bundle.
    fn offer_bundle(&self, archive: &[u8]) {
        let hash = sha256(archive);
        self.put(&format!("bundles/{hash}"), archive);
        self.offer(Publication { sha256: hash, ..self.second.clone() });
    }
}

/// What is done to a scene, what the refusal is called, and what it says.
type Case = (&'static str, &'static str, &'static str, fn(&Scene));

const CASES: [Case; 22] = [
    ("the pointer is empty", "pointer", "EOF", |s| s.put("current.json", b"")),
    ("the pointer is cut", "pointer", "EOF", |s| s.put("current.json", &s.current()[..100])),
    ("the pointer is an error page", "pointer", "expected value", |s| s.put("current.json", b"<Error><Code>AccessDenied</Code></Error>")),
    ("the pointer is huge", "pointer", "8192", |s| s.put("current.json", &[b' '; 9000])),
    ("the pointer has fields nobody knows", "pointer", "unknown field", |s| {
        let text = String::from_utf8(s.current()).unwrap();
        s.put("current.json", text.replacen('{', "{\"more\": 1,", 1).as_bytes());
    }),
    ("the pointer names a file instead of a hash", "pointer", "`sha256`", |s| {
        s.offer(Publication { sha256: "../../secret".to_owned(), ..s.second.clone() });
    }),
    ("the pointer steers terminals", "pointer", "`published_by`", |s| {
        s.offer(Publication { published_by: "\u{1b}[2Jann".to_owned(), ..s.second.clone() });
    }),
    ("the pointer has gone", "gone", "version 1 stays", |s| drop(s.store.objects.lock().unwrap().remove("current.json"))),
    ("nobody signed", "unsigned", "--sign", |s| {
        s.put("current.json", &Publication { signature: None, ..s.second.clone() }.to_bytes());
    }),
    ("somebody else signed", "signature", "not signed with the key", |s| {
        s.put("current.json", &s.second.clone().sign(&SecretKey::generate().0).to_bytes());
    }),
    ("the signature is of another version", "signature", "version 2", |s| {
        s.put("current.json", &Publication { signature: s.first.signature.clone(), ..s.second.clone() }.to_bytes());
    }),
    ("the version was raised after the signature", "signature", "version 3", |s| {
        let previous = s.second.previous.clone().map(|p| golden_bundle::publication::Previous { version: 2, ..p });
        s.put("current.json", &Publication { version: 3, previous, ..s.second.clone() }.to_bytes());
    }),
    ("the mark of a rollback was added after the signature", "signature", "changed afterwards", |s| {
        s.put("current.json", &Publication { rollback_of: Some(1), ..s.second.clone() }.to_bytes());
    }),
    ("a rollback goes forward", "pointer", "`rollback_of`", |s| s.offer(Publication { rollback_of: Some(2), ..s.second.clone() })),
    ("the same version has another content", "altered", "versions never change", |s| {
        s.offer(Publication { sha256: s.second.sha256.clone(), ..s.first.clone() });
    }),
    ("the bundle is missing", "bundle_missing", "is missing", |s| drop(s.store.objects.lock().unwrap().remove(&s.bundle_key()))),
    ("the bundle is too large", "too_large", "1048576", |s| s.put(&s.bundle_key(), &vec![0; (1 << 20) + 1])),
    ("a bit of the bundle flipped", "hash", "another hash", |s| {
        s.store.objects.lock().unwrap().get_mut(&s.bundle_key()).unwrap()[30] ^= 1;
    }),
    ("the bundle is cut", "hash", "another hash", |s| {
        s.store.objects.lock().unwrap().get_mut(&s.bundle_key()).unwrap().pop();
    }),
    ("the bundle is no archive", "bundle", "at byte 0", |s| s.offer_bundle(b"PK\x03\x04")),
    ("a length in the bundle points behind its end", "bundle", "at byte 19", |s| {
        s.offer_bundle(b"golden-overrides/1\n\xff\xff\xff\xffa");
    }),
    ("the bundle has too many files", "bundle", "at most 10000", |s| {
        let mut archive = b"golden-overrides/1\n".to_vec();
        for number in 0..10_001 {
            archive.extend_from_slice(&[&[0, 0, 0, 5], format!("{number:05}").as_bytes(), &[0, 0, 0, 0]].concat());
        }
        s.offer_bundle(&archive);
    }),
];

#[test]
fn each_damage_is_refused_with_its_reason_and_mending_it_is_enough() {
    for (name, reason, said, damage) in CASES {
        let scene = Scene::new();
        let whole = scene.store.objects.lock().unwrap().clone();
        damage(&scene);
        let mut poller = poller(Box::new(scene.store.clone()), Some(scene.key.public()));
        for poll in 1..=2 {
            let error = poller.poll(poll, scene.active.as_ref()).expect_err(name);
            assert_eq!(error.reason(), reason, "{name}: {error}");
            assert!(error.to_string().contains(said), "{name}: {error}");
            assert!(error.to_string().contains("memory/") || matches!(error, PollError::Bundle { .. }), "{name}: {error}");
            // Nobody waits longer for a publisher who mends it.
            assert_eq!(poller.wait(500), Duration::from_secs(300));
        }
        assert_eq!(poller.failing().map(|failing| failing.since), Some(1));
        *scene.store.objects.lock().unwrap() = whole;
        assert_eq!(new(poller.poll(3, scene.active.as_ref())).publication, scene.second, "{name}");
    }
}

#[test]
fn an_old_pointer_that_comes_back_is_refused() {
    let scene = Scene::new();
    let old = scene.store.objects.lock().unwrap()["versions/1.json"].clone();
    let mut poller = poller(Box::new(scene.store.clone()), Some(scene.key.public()));
    let second = active(&new(poller.poll(0, scene.active.as_ref())));
    scene.put("current.json", &old);
    let error = poller.poll(1, second.as_ref()).unwrap_err();
    assert!(error.reason() == "older" && error.to_string().contains("--rollback"), "{error}");
}

#[test]
fn without_a_key_signatures_do_not_matter() {
    let scene = Scene::new();
    scene.put("current.json", &Publication { signature: None, ..scene.second.clone() }.to_bytes());
    let found = poller(Box::new(scene.store.clone()), None).poll(0, scene.active.as_ref());
    assert!(matches!(found, Ok(Found::New(_))));
}

#[test]
fn waits_differ_by_a_tenth_and_grow_to_a_minute_while_a_store_is_away() {
    let away = Memory { dies: true, fate: Some(|_, _| crate::memory::Fate::Failed), ..Memory::default() };
    *away.puts.lock().unwrap() = 1;
    let mut failing = poller(Box::new(away), None);
    let seconds = |poller: &golden_bundle::poll::Poller, random| poller.wait(random).as_secs_f64();
    assert_eq!((seconds(&failing, 0), seconds(&failing, 1000)), (270.0, 330.0));
    let mut waits = Vec::new();
    for now in 0..100 {
        assert!(failing.poll(now, None).is_err());
        waits.push(seconds(&failing, 1000).round() as u64);
        assert_eq!(seconds(&failing, 0) * 2.0, seconds(&failing, 1000));
    }
    assert_eq!(waits[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(waits[99], 60);
    assert_eq!(failing.failing().unwrap().since, 0);
    let often = golden_bundle::poll::Poller::new(Box::new(Memory::default()), None, Duration::ZERO);
    assert_eq!(often.wait(500), Duration::from_secs(1));
}
