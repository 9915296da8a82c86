use super::*;

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
