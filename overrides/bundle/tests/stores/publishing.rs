//! What publishers are promised, on every store; and what becomes of one that fails at any of its writes.

use crate::memory::{Fate, Memory};
use crate::{AT, active, files, new, nonce, on_each_store, poller, published, try_publish};
use golden_bundle::blob::{Blob, Put, When};
use golden_bundle::history::{HistoryError, changes, versions};
use golden_bundle::poll::Found;
use golden_bundle::publish::{Order, PublishError, Published, What, publish};
use golden_overrides::archive::{ArchiveError, Files, sha256};
use std::sync::Arc;

#[test]
fn what_is_published_is_found_by_the_next_poll() {
    on_each_store(|open| {
        let mut poller = poller(open(), None);
        assert_eq!(poller.poll(0, None), Ok(Found::Nothing));
        let first = published(&*open(), What::Files(&files("a")));
        let found = new(poller.poll(1, None));
        assert_eq!((first.version, &found.publication, &found.files), (1, &first, &files("a")));
        assert_eq!(sha256(&found.archive), first.sha256);
        // What was not activated is found again; what was, is not read again.
        assert_eq!(new(poller.poll(2, None)), found);
        for now in 3..6 {
            assert_eq!(poller.poll(now, active(&found).as_ref()), Ok(Found::Unchanged));
        }
        assert!(matches!(try_publish(&*open(), What::Files(&files("a")), None), Ok(Published::Same(same)) if same == first));
        let second = published(&*open(), What::Files(&files("b")));
        let in_force = active(&found);
        new(poller.poll(6, in_force.as_ref()));
        // Its activation failed.
        let found = new(poller.poll(6, in_force.as_ref()));
        assert_eq!((second.version, found.publication.clone()), (2, second));
        assert_eq!(poller.poll(7, active(&found).as_ref()), Ok(Found::Unchanged));
        assert_eq!(poller.failing(), None);
    });
}

#[test]
fn a_rollback_is_a_new_version_with_the_old_content() {
    on_each_store(|open| {
        let store = open();
        for to in [0, 1] {
            assert!(matches!(try_publish(&*store, What::Rollback(to), None), Err(PublishError::Rollback { .. })));
        }
        let first = published(&*store, What::Files(&files("a")));
        let second = published(&*store, What::Files(&files("b")));
        let back = published(&*store, What::Rollback(1));
        assert_eq!((back.version, back.rollback_of, &back.sha256), (3, Some(1), &first.sha256));
        let mut poller = poller(open(), None);
        let found = new(poller.poll(0, None));
        assert_eq!((found.publication, found.files), (back.clone(), files("a")));
        for to in [0, 3, 4] {
            let error = try_publish(&*store, What::Rollback(to), None).unwrap_err().to_string();
            assert!(error.contains("the current version is 3"), "{error}");
        }
        assert!(matches!(try_publish(&*store, What::Rollback(1), None), Ok(Published::Same(same)) if same == back));
        assert_eq!(versions(&*store, 9).unwrap(), [back, second, first]);
    });
}

#[test]
fn the_history_of_a_service_has_the_versions_that_changed_its_file() {
    on_each_store(|open| {
        let store = open();
        assert_eq!(versions(&*store, 9).unwrap(), []);
        let with = |entries: &[(&str, &str)]| -> Files {
            entries.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
        };
        for entries in [
            with(&[("shop/a%2Fb.yaml", "1")]),
            with(&[("shop/a%2Fb.yaml", "1"), ("shop/other.yaml", "1")]),
            with(&[("shop/a%2Fb.yaml", "2"), ("shop/other.yaml", "1")]),
            with(&[("shop/other.yaml", "2")]),
            with(&[("team/a%2Fb.yaml", "2")]),
        ] {
            published(&*store, What::Files(&entries));
        }
        let told = |most| -> Vec<(u64, Vec<String>)> {
            let changes = changes(&*store, "a/b", most).unwrap();
            changes.into_iter().map(|change| (change.publication.version, change.files.into_keys().collect())).collect()
        };
        let shop = vec!["shop/a%2Fb.yaml".to_owned()];
        assert_eq!(told(9), [(5, vec!["team/a%2Fb.yaml".to_owned()]), (4, vec![]), (3, shop.clone()), (1, shop.clone())]);
        assert_eq!(told(3).len(), 3);
        assert_eq!(told(4).last(), Some(&(3, shop)), "version 2 changed nothing");
        assert_eq!(changes(&*store, "nobody", 9).unwrap(), []);
        let newest: Vec<u64> = versions(&*store, 2).unwrap().iter().map(|publication| publication.version).collect();
        assert_eq!(newest, [5, 4]);
    });
}

#[test]
fn a_publisher_can_refuse_whom_it_would_follow() {
    on_each_store(|open| {
        let store = open();
        published(&*store, What::Files(&files("a")));
        let other = files("b");
        let order = Order { what: What::Files(&other), by: "bob", commit: None, at: AT, nonce: &nonce(), key: None };
        let refused = publish(&*store, &order, &|current| Err(format!("not behind {}", current.published_by)));
        assert!(matches!(refused, Err(PublishError::Unwanted(why)) if why == "not behind ann"));
        assert_eq!(versions(&*store, 9).unwrap().len(), 1);
    });
}

#[test]
fn wrong_orders_and_too_large_bundles_are_refused() {
    let store = Memory::default();
    let large = Files::from([("a/s.yaml".to_owned(), vec![b'#'; 1 << 20])]);
    assert!(matches!(try_publish(&store, What::Files(&large), None), Err(PublishError::Archive(ArchiveError::TooLarge { .. }))));
    let small = files("a");
    for (by, at, field) in [("", AT, "published_by"), ("a\nb", AT, "published_by"), ("ann", "\u{1b}[31m", "published_at")] {
        let order = Order { what: What::Files(&small), by, commit: None, at, nonce: "n", key: None };
        assert!(matches!(publish(&store, &order, &|_| Ok(())), Err(PublishError::Order { field: wrong }) if wrong == field));
    }
    assert!(!store.objects.lock().unwrap().contains_key("current.json"));
}

#[test]
fn a_publisher_that_dies_at_any_write_leaves_a_store_that_others_go_on_with() {
    // Of the first publication, and of a later one.
    for before in [0, 1, 2] {
        for at in 0..8 {
            for fate in [Fate::Failed, Fate::AnswerLost] {
                let store = Memory::default();
                for version in 0..before {
                    published(&store, What::Files(&files(&version.to_string())));
                }
                let from = *store.puts.lock().unwrap();
                let dying = Memory {
                    fate: Some(if fate == Fate::Failed {
                        |put, at| if put >= at { Fate::Failed } else { Fate::Done }
                    } else {
                        |put, at| if put >= at { Fate::AnswerLost } else { Fate::Done }
                    }),
                    at: from + at,
                    dies: true,
                    ..store.clone()
                };
                let died = try_publish(&dying, What::Files(&files("dying")), None);
                let landed = versions(&store, 9).unwrap().len() > before;
                match &died {
                    Ok(_) => assert!(landed),
                    Err(PublishError::Unknown { version, .. }) => assert_eq!(*version, before as u64 + 1),
                    Err(PublishError::Store(_)) => assert!(!landed, "{before} {at} {fate:?}"),
                    Err(other) => panic!("{other}"),
                }
                let next = published(&store, What::Files(&files("next")));
                let all = versions(&store, 9).unwrap();
                assert_eq!(all.len() as u64, next.version, "{before} {at} {fate:?}");
                assert_eq!(next.version, before as u64 + 1 + u64::from(landed));
            }
        }
    }
}

#[test]
fn a_lost_answer_publishes_once_and_is_success() {
    // The pointer is the fourth write of a first publication and the fourth or so of a later one: every single write is tried.
    for before in [0, 1] {
        for at in 0..6 {
            let store = Memory::default();
            for version in 0..before {
                published(&store, What::Files(&files(&version.to_string())));
            }
            let from = *store.puts.lock().unwrap();
            let lossy =
                Memory { fate: Some(|put, at| if put == at { Fate::AnswerLost } else { Fate::Done }), at: from + at, ..store.clone() };
            let result = try_publish(&lossy, What::Files(&files("b")), None);
            let versions = versions(&store, 9).unwrap();
            match result {
                Ok(Published::New(made)) => assert_eq!((made.version, versions.len()), (before as u64 + 1, before + 1)),
                // The probe comes first, and fails at once.
                Err(PublishError::Store(_)) => assert!(at < 3 && versions.len() == before, "{at}"),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn own_work_is_found_behind_a_successor() {
    let store = Memory::default();
    published(&store, What::Files(&files("a")));
    let from = *store.puts.lock().unwrap();
    for at in 0..6 {
        let others = store.clone();
        let successor = Arc::new(move || drop(published(&others, What::Files(&files(&nonce())))));
        let lossy = Memory {
            puts: Arc::default(),
            fate: Some(|put, at| if put == at { Fate::AnswerLost } else { Fate::Done }),
            at,
            then: Some(successor),
            ..store.clone()
        };
        let content = files(&nonce());
        if let Ok(Published::New(made)) = try_publish(&lossy, What::Files(&content), None) {
            let all = versions(&store, 99).unwrap();
            assert_eq!(all.iter().filter(|one| one.sha256 == made.sha256).collect::<Vec<_>>(), [&made], "at {at}: once, and where it says");
        }
    }
    assert!(from > 0);
}

#[test]
fn a_store_that_refuses_every_condition_is_given_up() {
    let store = Memory { refuses: true, ..Memory::default() };
    let error = try_publish(&store, What::Files(&files("a")), None).unwrap_err();
    assert!(matches!(error, PublishError::Refused { .. }), "{error}");
}

#[test]
fn publishing_again_after_an_unknown_end_finds_the_version() {
    let store = Memory::default();
    let dying = Memory { fate: Some(|put, _| if put >= 4 { Fate::AnswerLost } else { Fate::Done }), dies: true, ..store.clone() };
    let unknown = try_publish(&dying, What::Files(&files("a")), None).unwrap_err();
    assert!(matches!(unknown, PublishError::Unknown { version: 1, .. }), "{unknown}");
    assert!(unknown.to_string().contains("not known") && unknown.to_string().contains("Publish again"));
    assert!(matches!(try_publish(&store, What::Files(&files("a")), None), Ok(Published::Same(there)) if there.version == 1));
}

#[test]
fn a_store_that_others_wrote_to_is_refused_with_words() {
    let store = Memory::default();
    published(&store, What::Files(&files("a")));
    published(&store, What::Files(&files("b")));
    let put = |key: &str, content: &[u8]| assert_eq!(store.put(key, content, When::Always), Ok(Put::Done));
    let first = store.objects.lock().unwrap()["versions/1.json"].clone();
    let current = store.objects.lock().unwrap()["current.json"].clone();

    put("versions/2.json", &first);
    assert!(
        matches!(try_publish(&store, What::Files(&files("c")), None), Err(PublishError::Altered { url }) if url.ends_with("versions/2.json"))
    );
    store.objects.lock().unwrap().remove("versions/2.json");

    put("versions/1.json", &current);
    assert!(matches!(versions(&store, 9), Err(HistoryError::Altered { .. })));
    assert_eq!(versions(&store, 1).unwrap().len(), 1);
    put("versions/1.json", &first);

    put("current.json", b"hello");
    let error = try_publish(&store, What::Files(&files("c")), None).unwrap_err();
    assert!(matches!(&error, PublishError::Pointer { .. }) && error.to_string().contains("memory/current.json"), "{error}");
}
