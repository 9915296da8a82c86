use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn files(entries: &[(&str, &str)]) -> Files {
    entries.iter().map(|(path, content)| ((*path).to_owned(), content.as_bytes().to_vec())).collect()
}

#[test]
fn a_bad_file_touches_no_other() {
    let good = "owner: a\nhealth: 'requestCount > 5 ? 1 : 0'\n";
    let set = Set::compile(&files(&[
        ("a/one.yaml", good),
        ("b/two.yaml", "owner: b\nhealth: 'oops'\n"),
        ("c/bad name.yaml", good),
        ("d/&.yaml", "&"),
    ]))
    .unwrap();
    assert!(set.find("", "one").is_some_and(|found| found.health.is_some()));
    assert!(set.find("", "two").is_none() && set.has_errors());
    assert_eq!(set.overrides().count(), 1);
    let reported: Vec<&str> = set.reports().map(|report| report.file).collect();
    assert_eq!(reported, ["b/two.yaml", "c/bad name.yaml", "d/&.yaml"]);
    assert_eq!(set.files().count(), 4);
}

#[test]
fn two_files_for_one_service_refuse_each_other() {
    let set =
        Set::compile(&files(&[("a/cart.yaml", "owner: a\n"), ("b/cart.yaml", "owner: b\n"), ("c/cart.yaml", "owner: c\nnamespace: eu\n")]))
            .unwrap();
    assert!(set.find("", "cart").is_none() && set.has_errors());
    assert_eq!(set.files().filter(|(_, checked)| checked.result.is_none()).count(), 2);
    assert!(set.find("eu", "cart").is_some());
    let said: Vec<&str> = set.reports().map(|report| report.diagnostics[0].message.as_str()).collect();
    assert_eq!(said, ["service `cart` has another file: b/cart.yaml", "service `cart` has another file: a/cart.yaml"]);
}

#[test]
fn the_hash_is_of_all_paths_and_contents() {
    let hash = |entries: &[(&str, &str)]| Set::compile(&files(entries)).unwrap().hash;
    let one = hash(&[("a/s.yaml", "owner: a\n")]);
    assert_eq!(one, hash(&[("a/s.yaml", "owner: a\n")]));
    for other in [hash(&[]), hash(&[("a/t.yaml", "owner: a\n")]), hash(&[("a/s.yaml", "owner: a\n#")])] {
        assert_ne!(one, other);
    }
    assert_eq!(Set::compile(&Files::new()).unwrap().hash, archive::sha256(&archive::pack(&Files::new()).unwrap()));
}

#[test]
fn as_many_services_as_the_limits_allow_are_compiled() {
    let file = b"owner: a\nhealth: 'requestCount<60?0:availability>99?0:3'\n";
    let many: Files = (0..archive::MAX_FILES).map(|n| (format!("a/s{n}.yaml"), file.to_vec())).collect();
    assert_eq!(Set::compile(&many).unwrap().overrides().count(), archive::MAX_FILES);
    let more: Files = (0..=archive::MAX_FILES).map(|n| (format!("a/s{n}.yaml"), Vec::new())).collect();
    assert!(matches!(Set::compile(&more), Err(ArchiveError::TooMany { .. })));
}

const GOOD: &str = "owner: a\n";
const BAD: &str = "owner: a\nhealth: oops\n";

/// Paths of what becomes active, and of what is rejected with what stays instead.
fn merged(last: &[(&str, &str)], new: &[(&str, &str)]) -> (Files, Vec<(String, Vec<String>)>) {
    let merged = Set::merged(&files(last), &files(new)).unwrap();
    assert!(!Set::compile(&merged.files).unwrap().has_errors());
    assert!(merged.rejected.iter().all(|rejected| rejected.diagnostics.iter().any(Diagnostic::is_error)));
    (merged.files, merged.rejected.into_iter().map(|rejected| (rejected.path, rejected.kept)).collect())
}

fn rejected(entries: &[(&str, &[&str])]) -> Vec<(String, Vec<String>)> {
    entries.iter().map(|(path, kept)| ((*path).to_owned(), kept.iter().map(|k| (*k).to_owned()).collect())).collect()
}

#[test]
fn a_bad_file_keeps_its_last_good_version_and_all_others_move_on() {
    let last = [("a/one.yaml", GOOD), ("a/two.yaml", GOOD), ("a/gone.yaml", GOOD)];
    let new = [("a/one.yaml", BAD), ("a/two.yaml", "owner: b\n"), ("a/new.yaml", GOOD), ("a/bad.yaml", BAD)];
    let expected = files(&[("a/one.yaml", GOOD), ("a/two.yaml", "owner: b\n"), ("a/new.yaml", GOOD)]);
    assert_eq!(merged(&last, &new), (expected, rejected(&[("a/bad.yaml", &[]), ("a/one.yaml", &["a/one.yaml"])])));
}

#[test]
fn who_had_a_service_keeps_it() {
    let last = [("a/s.yaml", GOOD)];
    // Another team wants it too.
    let new = [("a/s.yaml", "owner: b\n"), ("b/s.yaml", GOOD)];
    let stays = rejected(&[("a/s.yaml", &["a/s.yaml"]), ("b/s.yaml", &[])]);
    assert_eq!(merged(&last, &new), (files(&last), stays.clone()));
    // Also while its own file is bad.
    assert_eq!(merged(&last, &[("a/s.yaml", BAD), ("b/s.yaml", GOOD)]), (files(&last), stays));
    // Nobody had it.
    assert_eq!(merged(&[], &new).0, Files::new());
    // It was given away.
    assert_eq!(merged(&last, &[("b/s.yaml", GOOD)]), (files(&[("b/s.yaml", GOOD)]), vec![]));
    // Whoever must give way gets back what it had.
    let (eu, us) = ("owner: a\nnamespace: eu\n", "owner: a\nnamespace: us\n");
    let last = [("a/s.yaml", eu), ("b/s.yaml", us)];
    let new = [("a/s.yaml", BAD), ("b/s.yaml", eu), ("c/s.yaml", us)];
    let all = rejected(&[("a/s.yaml", &["a/s.yaml"]), ("b/s.yaml", &["b/s.yaml"]), ("c/s.yaml", &[])]);
    assert_eq!(merged(&last, &new), (files(&last), all));
}

#[test]
fn a_file_that_went_bad_while_it_moved_keeps_its_last_good_version() {
    let last = [("a/s.yaml", GOOD), ("a/t.yaml", GOOD)];
    let expected = (files(&[("a/s.yaml", GOOD)]), rejected(&[("b/s.yaml", &["a/s.yaml"])]));
    assert_eq!(merged(&last, &[("b/s.yaml", BAD)]), expected);
    // Somebody else has it by now.
    let new = [("b/s.yaml", BAD), ("c/s.yaml", GOOD)];
    assert_eq!(merged(&last, &new), (files(&[("c/s.yaml", GOOD)]), rejected(&[("b/s.yaml", &[])])));
}

#[test]
fn what_would_be_too_large_is_refused_whole() {
    let large = |content: &str| -> String { format!("{content}#{}\n", "x".repeat(60_000)) };
    let (good, bad) = (large(GOOD), "owner: [\n".to_owned());
    let named = |content: &String, from: u8| -> Files {
        (from..from + 17).map(|n| (format!("a/s{n}.yaml"), content.clone().into_bytes())).collect()
    };
    let mut new = named(&bad, 0);
    new.extend(named(&good, 17));
    assert!(matches!(Set::merged(&named(&good, 0), &new), Err(ArchiveError::TooLarge { .. })));
}

#[test]
fn as_many_bad_files_as_the_limits_allow_keep_what_was_before() {
    let all = |team: &str, content: &str| -> Files {
        (0..archive::MAX_FILES).map(|n| (format!("{team}/s{n}.yaml"), content.as_bytes().to_vec())).collect()
    };
    for team in ["a", "b"] {
        let merged = Set::merged(&all("a", GOOD), &all(team, BAD)).unwrap();
        assert_eq!((merged.files, merged.rejected.len()), (all("a", GOOD), archive::MAX_FILES));
    }
}

/// Files of three teams for two services, in two namespaces, some of them bad.
fn some_files() -> impl Strategy<Value = Files> {
    let content = prop::sample::select(vec![GOOD, "owner: b\n", BAD, "owner: [", "owner: a\nnamespace: eu\n", "owner: b\nnamespace: eu\n"]);
    let path = ("[abc]", "[st]").prop_map(|(team, service)| format!("{team}/{service}.yaml"));
    prop::collection::btree_map(path, content.prop_map(|content| content.as_bytes().to_vec()), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_becomes_active_is_always_good_and_nothing_else_than_what_was_said(last in some_files(), new in some_files()) {
        let merged = Set::merged(&last, &new).unwrap();
        let active = Set::compile(&merged.files).unwrap();
        prop_assert!(!active.has_errors());
        for (path, content) in &merged.files {
            prop_assert!(new.get(path) == Some(content) || last.get(path) == Some(content));
        }
        let rejected: Vec<&String> = merged.rejected.iter().map(|rejected| &rejected.path).collect();
        for path in new.keys() {
            prop_assert!(merged.files.get(path) == new.get(path) || rejected.contains(&path), "{path} is lost without a word");
        }
        // A service with an override in force loses it only when its file was removed or given away.
        let before = Set::compile(&last).unwrap();
        for held in before.overrides() {
            let path = format!("{}/{}.yaml", held.team, held.service);
            let still = active.find(&held.namespace, &held.service).is_some();
            let moved = new.contains_key(&path) && !rejected.contains(&&path);
            prop_assert!(still || moved || !new.contains_key(&path), "{path}");
        }
        // The same again changes nothing.
        prop_assert_eq!(Set::merged(&merged.files, &new).unwrap().files, merged.files);
    }
}
