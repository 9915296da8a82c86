use super::*;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// The text of the value of `health`, its place and its style.
fn health(source: &str) -> (Span, String) {
    let Value::Map(map) = parse(source).unwrap().value else { panic!("{source}") };
    match &map.iter().find(|(key, _)| key.name == "health").unwrap().1 {
        Node { span, value: Value::Scalar(text, _) } => (*span, text.clone()),
        other => panic!("{other:?}"),
    }
}

fn code(source: &str) -> Code {
    parse(source).unwrap_err().code
}

#[test]
fn a_place_in_a_text_is_found_in_the_file_in_every_style() {
    for source in [
        "health: a < wrong\n",
        "é: 1\nhealth:   a < wrong  # wrong\n",
        "health: \"a < wrong\"\n",
        "health: 'a < wrong'\n",
        "health: 'it''s < wrong'\n",
        "health: \"\\\"x\\\" < wrong\"\n",
        "health: '\"x\" < wrong'\n",
        "health: |\n  a <\n  wrong\n  and b\n",
        "health: >-\n    a <\n    wrong\n",
        "health: |2-\n    a < wrong\n",
        "health: \"a <\n  wrong\"\n",
        "health: a <\n  wrong ? 1\n",
        "x: {health: 1}\nhealth: \"a\\\\b < wrong\"\r\n",
        "{health: 'é < wrong'}",
    ] {
        let (span, text) = health(source);
        let start = text.find("wrong").unwrap();
        let found = place_within(source, span, &text, Span { start, end: start + 5 });
        assert_eq!(&source[found.start..found.end], "wrong", "{source}");
        assert_eq!(found.start, source.find("wrong").unwrap(), "{source}");
        let end = place_within(source, span, &text, Span { start: text.len(), end: text.len() });
        assert!(span.start <= end.start && end.end <= span.end, "{source}: {end:?} {span:?}");
    }
}

#[test]
fn a_quote_that_opens_a_scalar_is_not_the_quote_that_its_text_starts_with() {
    for source in ["health: \"\\\"x\\\" == y\"\n", "health: '''x'' == y'\n", "health: '\"x\" == y'\n"] {
        let (span, text) = health(source);
        let found = place_within(source, span, &text, Span { start: 0, end: 1 });
        assert!(found.start > span.start && source[found.end..].starts_with(['x', '\'']), "{source}: {found:?}");
    }
}

#[test]
fn a_letter_that_an_escape_wrote_is_placed_before_it() {
    let source = "health: \"ab\\x41 < wrong\"\n";
    let (span, text) = health(source);
    assert_eq!(text, "abA < wrong");
    assert_eq!(place_within(source, span, &text, Span { start: 6, end: 11 }), Span { start: 11, end: 11 });
}

#[test]
fn what_could_expand_or_surprise_is_refused_where_it_stands() {
    for (source, message) in [
        ("a: &x 1\nb: *x\n", "anchors are not allowed"),
        ("a: &x [1]\n", "anchors are not allowed"),
        ("a: &x {b: 1}\n", "anchors are not allowed"),
        ("&x a: 1\n", "anchors are not allowed"),
        ("a: !!str 1\n", "tags are not allowed"),
        ("a: !own {b: 1}\n", "tags are not allowed"),
        ("a: !own [1]\n", "tags are not allowed"),
        ("? [a]\n: b\n", "a key is a text"),
    ] {
        let found = parse(source).unwrap_err();
        assert_eq!((found.code, found.message.as_str()), (Code::Yaml, message), "{source}");
        assert_eq!(crate::report::place(source, found.span.start).line, 1, "{source}");
    }
    assert_eq!(code("a: *x\n"), Code::Yaml);
    assert_eq!(code("a: 1\na: 2\n"), Code::Duplicate);
    assert_eq!(code("a: 1\n---\nb: 1\n"), Code::Yaml);
    assert_eq!(code("<<: *x\n"), Code::Yaml);
    assert!(matches!(code(&"[".repeat(60_000)), Code::Yaml | Code::Limit));
    assert_eq!(code(&format!("{}1{}", "[".repeat(10), "]".repeat(10))), Code::Limit);
    assert_eq!(code(&format!("a: [{}]", "1,".repeat(5000))), Code::Limit);
    assert_eq!(code(&format!("a: {}\n", "- ".repeat(1000))), Code::Yaml);
    assert_eq!(code(&"- ".repeat(1000)), Code::Limit);
    assert_eq!(code("\u{feff}\u{0}"), Code::Yaml);
}

#[test]
fn an_expression_without_quotes_gets_the_cure() {
    let found = parse("owner: x\nhealth: requestCount < 60 ? 0 : 3\n").unwrap_err();
    assert_eq!(found.code, Code::Yaml);
    assert!(found.help.as_deref().is_some_and(|help| help.starts_with("put an expression in quotes")), "{found:?}");
}

#[test]
fn an_empty_file_is_an_empty_map() {
    for source in ["", "# nothing\n", "---\n"] {
        assert!(matches!(parse(source).unwrap().value, Value::Map(_) | Value::Scalar(..)), "{source}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, rng_seed: RngSeed::Fixed(1), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_file_crashes_the_reader(pieces in proptest::collection::vec(prop::sample::select(vec![
        "a", ": ", "- ", "\n", "  ", "\"", "'", "|", ">-", "[", "]", "{", "}", ",", "&x ", "*x", "!!t ", "#", "? ", "---", "...", "%", "\\", "é", "\t", "\0", "\u{feff}", "\r\n", "1",
    ]), 0..60)) {
        let source = pieces.concat();
        if let Err(found) = parse(&source) {
            prop_assert!(source.get(found.span.start..found.span.end).is_some(), "{:?}: {:?}", source, found);
        }
    }

    #[test]
    fn places_lie_in_the_file(text in "[ a'\"\\\\é\n]{0,20}", start in 0_usize..30, length in 0_usize..9, quote in 0..2) {
        let source = if quote == 0 { format!("k: '{}'", text.replace('\'', "''")) } else { format!("k: |\n  {}", text.replace('\n', "\n  ")) };
        if let Ok(Node { value: Value::Map(map), .. }) = parse(&source)
            && let Some((_, Node { span, value: Value::Scalar(text, _) })) = map.first() {
            let found = place_within(&source, *span, text, Span { start, end: start + length });
            prop_assert!(source.get(found.start..found.end).is_some());
        }
    }
}
