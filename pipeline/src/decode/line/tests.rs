use super::*;
use proptest::prelude::*;

fn walk(text: &str) -> Vec<(u32, String, Option<Reason>)> {
    let mut keys = Keys::default();
    let mut objects = Objects::new(text, 0);
    let mut found = Vec::new();
    while let Some(object) = objects.next(&mut keys, |scan| scan.skip().map(Ok)) {
        let reason = object.result.err().map(|refusal| match refusal {
            Refusal::Dead(reason, _) => reason,
            Refusal::Skip(_) => Reason::Crash,
        });
        found.push((object.at, object.text.trim_end_matches([',', ']', '\n', ' ']).to_owned(), reason));
    }
    found
}

fn item(at: u32, text: &str, reason: Option<Reason>) -> (u32, String, Option<Reason>) {
    (at, text.to_owned(), reason)
}

#[test]
fn objects_come_alone_one_a_line_or_in_an_array() {
    assert_eq!(walk(" {\"a\":\n1}\n"), [item(1, "{\"a\":\n1}", None)]);
    assert_eq!(walk("{\"a\":1}\n\n{\"b\":2}\n"), [item(0, "{\"a\":1}", None), item(9, "{\"b\":2}", None)]);
    assert_eq!(walk("[{\"a\":1}, {\"b\":2}]"), [item(1, "{\"a\":1}", None), item(10, "{\"b\":2}", None)]);
    assert_eq!(walk("[]\n"), []);
    assert_eq!(walk("\n \n"), []);
}

#[test]
fn a_bad_line_leaves_its_neighbours_alone() {
    let bad = Some(Reason::DecodeJson);
    assert_eq!(walk("{\"a\":1}\n{oops\n{\"b\":2}"), [item(0, "{\"a\":1}", None), item(8, "{oops", bad), item(14, "{\"b\":2}", None)]);
    assert_eq!(walk("{\"a\":1} {\"b\":2}\n{\"c\":3}"), [item(0, "{\"a\":1} {\"b\":2}", bad), item(16, "{\"c\":3}", None)]);
    assert_eq!(walk("\u{feff}{}").len(), 1);
}

#[test]
fn behind_a_fault_in_an_array_or_a_long_object_all_is_one_dead_item() {
    assert_eq!(walk("[{},{oops},{}]").len(), 2);
    assert_eq!(walk("[{},]").iter().filter(|(_, _, r)| r.is_some()).count(), 1);
    assert_eq!(walk("[{}] x").iter().filter(|(_, _, r)| r.is_some()).count(), 1);
    assert_eq!(walk("[{}").iter().filter(|(_, _, r)| r.is_some()).count(), 1);
    assert_eq!(walk("{\"a\":\noops}\n{}\n").len(), 1);
}

#[test]
fn request_lines_are_split_at_the_outer_spaces() {
    for (line, expected) in [
        ("GET /a HTTP/1.1", ("GET", "/a")),
        ("GET /a b HTTP/2.0", ("GET", "/a b")),
        ("GET /a", ("GET", "/a")),
        ("GET HTTP/1.1", ("GET", "")),
        ("-", ("-", "")),
        (r"\x16\x03", (r"\x16\x03", "")),
        ("", ("", "")),
    ] {
        assert_eq!(request_line(line), expected, "{line}");
    }
}

#[test]
fn a_quoted_text_ends_at_the_first_quote_that_is_not_hidden() {
    assert_eq!(quoted(r#""a\"b" rest"#), Some((r#"a\"b"#, " rest")));
    assert_eq!(quoted(r#""a\\" rest"#), Some((r"a\\", " rest")));
    assert_eq!(quoted(r#""open"#), None);
    assert_eq!(quoted("x"), None);
}

#[test]
fn a_users_name_cannot_forge_the_time() {
    let line = r#"1.2.3.4 - eve [01/Jan/2020:00:00:00 +0000] x [17/May/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5 "-" "-""#;
    let (head, rest) = Head::read(line).unwrap();
    assert_eq!((head.time, head.user), ("17/May/2015:10:05:03 +0000", "eve [01/Jan/2020:00:00:00 +0000] x"));
    assert_eq!(referrer_and_agent(rest), Some(("-", "-", "")));
}

proptest! {
    #[test]
    fn walking_ends_and_never_gives_more_objects_than_lines_or_braces(text in "([\\[\\]{},:\" \n1a]|\\{\\}|\n){0,40}") {
        let lines = text.lines().count();
        prop_assert!(walk(&text).len() <= lines + text.matches(',').count() + 1);
    }
}
